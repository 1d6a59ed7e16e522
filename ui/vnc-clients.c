/*
 * The clients of VNC servers: what each is shown of the screen, what they do, and their coming and going. All on the
 * loop thread but the last section. The protocol is in vnc-client.c, on a thread for each client.
 */
#include <config.h>
#ifdef CONFIG_VNC
#include "ui/vnc-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/input/input.h"
#include "ui/keymap.h"
#include "ui/trace.h"
#include "ui/vnc.h"

enum { CLIENT_STACK = 512 << 10, RETRY_MS = 5 };

static const Keymap *vnc_map; /* constant after vnc_setup(), as the next */
static const char *guest_name;
static const VncPowerOps *vnc_power;

/* ---- what they are shown ---- */

void vnc_hang_up(VncClient *c)
{
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_broadcast(&c->room);
    pthread_cond_broadcast(&c->start);
    pthread_mutex_unlock(&c->lock);
    shutdown(c->fd, SHUT_RDWR);
}

static void wake_locked(VncClient *c)
{
    uint64_t one = 1;

    if (!c->woken) {
        c->woken = true;
        if (write(c->wake_fd, &one, sizeof(one)) < 0) {
            c->woken = false; /* cannot be: nobody else counts it up */
        }
    }
}

/* give_surface - @s is what the client shall show, all of it new. */
static void give_surface(VncClient *c, Surface *s)
{
    unsigned words = (s->width + 64 * VNC_TILE - 1) / (64 * VNC_TILE);
    unsigned rows = (s->height + VNC_TILE - 1) / VNC_TILE;
    uint64_t *dirty = try_newn(uint64_t, (size_t)words * rows);

    if (dirty == NULL) {
        vnc_hang_up(c);
        return;
    }
    memset(dirty, 0xff, (size_t)words * rows * sizeof(uint64_t));
    pthread_mutex_lock(&c->lock);
    free(c->dirty);
    surface_unref(c->surface);
    c->surface = surface_ref(s);
    c->dirty = dirty;
    c->dirty_words = words;
    c->dirty_rows = rows;
    pthread_cond_broadcast(&c->start);
    wake_locked(c);
    pthread_mutex_unlock(&c->lock);
}

static void on_surface(void *opaque, Surface *surface)
{
    give_surface(opaque, surface);
}

static void add_damage(VncClient *c, unsigned x, unsigned y, unsigned w, unsigned h)
{
    unsigned x1 = (x + w - 1) / VNC_TILE, y1 = (y + h - 1) / VNC_TILE;

    pthread_mutex_lock(&c->lock);
    for (unsigned row = y / VNC_TILE; row <= y1 && row < c->dirty_rows; row++) {
        for (unsigned col = x / VNC_TILE; col <= x1 && col / 64 < c->dirty_words; col++) {
            c->dirty[(size_t)row * c->dirty_words + col / 64] |= BIT64(col % 64);
        }
    }
    wake_locked(c);
    pthread_mutex_unlock(&c->lock);
}

static void on_damage(void *opaque, unsigned x, unsigned y, unsigned w, unsigned h)
{
    if (w > 0 && h > 0) {
        add_damage(opaque, x, y, w, h);
    }
}

static void on_bell(void *opaque)
{
    VncClient *c = opaque;

    pthread_mutex_lock(&c->lock);
    c->bell = true;
    wake_locked(c);
    pthread_mutex_unlock(&c->lock);
}

static void give_lamps(VncClient *c)
{
    pthread_mutex_lock(&c->lock);
    c->lamps = input_leds();
    wake_locked(c);
    pthread_mutex_unlock(&c->lock);
}

/* Machine lock held, on whatever thread the guest's keyboard has it. */
static void tell_lamps(void *opaque)
{
    machine_lock();
    for (VncServer *s = vnc_servers; s != NULL; s = s->next) {
        for (VncClient *c = s->clients; c != NULL; c = c->next) {
            give_lamps(c);
        }
    }
    machine_unlock();
}

static void on_lamps(void)
{
    loop_post(tell_lamps, NULL);
}

void vnc_setup(const char *name, const Keymap *map, const VncPowerOps *power)
{
    guest_name = name;
    vnc_map = map;
    vnc_power = power;
    input_on_lamps(on_lamps);
}

/* share_ok - apply share=; false: the newcomer has to go. */
static bool share_ok(VncServer *s, VncClient *c)
{
    bool others_exclusive = false;

    for (VncClient *o = s->clients; o != NULL; o = o->next) {
        others_exclusive |= o != c && o->seat != NULL && o->exclusive;
    }
    if (s->opts.share == VNC_IGNORE) {
        return true;
    }
    if (!c->want_exclusive) {
        return !others_exclusive;
    }
    if (s->opts.share == VNC_FORCE_SHARED) {
        return false;
    }
    for (VncClient *o = s->clients; o != NULL; o = o->next) {
        if (o != c) {
            vnc_hang_up(o);
        }
    }
    return true;
}

/* The handshake is over: the client sees the screen and has a seat. */
static void on_joined(void *opaque)
{
    VncClient *c = opaque;
    VncServer *s = c->server;

    if (!share_ok(s, c)) {
        vnc_hang_up(c);
        return;
    }
    machine_lock();
    c->exclusive = c->want_exclusive;
    c->seat = seat_new(vnc_map, s->opts.key_delay_ms, s->opts.lock_key_sync);
    c->listener = (ScreenListener){ .surface = on_surface, .damage = on_damage, .bell = on_bell, .opaque = c };
    if (screen_first() != NULL) {
        screen_refresh(screen_first()); /* its size is that of now, also where nobody has looked yet */
    }
    view_open(&c->view, &c->listener, c->seat, vnc_map);
    give_lamps(c);
    if (c->view.screen == NULL) {
        s->empty = s->empty != NULL ? s->empty : surface_new(640, 480);
        if (s->empty != NULL) {
            give_surface(c, s->empty);
        } else {
            vnc_hang_up(c);
        }
    }
    machine_unlock();
    vnc_tell("VNC_INITIALIZED", c);
}

/* The client's thread is at its end, or will be after vnc_hang_up(). */
void vnc_client_free(VncClient *c)
{
    VncServer *s = c->server;

    pthread_join(c->thread, NULL);
    for (VncClient **p = &s->clients; *p != NULL; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    s->client_count--;
    machine_lock();
    view_close(&c->view);
    seat_free(c->seat);
    machine_unlock();
    trace_vnc_client_gone(c->peer);
    vnc_tell("VNC_DISCONNECTED", c);
    close(c->fd);
    close(c->wake_fd);
    surface_unref(c->surface);
    for (unsigned n = 0; n < c->count; n++) {
        free(c->events[(c->head + n) % VNC_EVENTS_MAX].text);
    }
    free(c->dirty);
    free(c->peer);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->room);
    pthread_cond_destroy(&c->start);
    free(c);
}

static void on_left(void *opaque)
{
    vnc_client_gone(opaque);
}

/* ---- what clients do ---- */

/* The pointer is the guest's alone. */
static void apply(VncClient *c, const VncEvent *e)
{
    Surface *shown = c->view.screen != NULL ? screen_surface(c->view.screen) : c->server->empty;

    if ((e->kind == VNC_POINT || e->kind == VNC_MOVE) && view_console(&c->view)) {
        return;
    }
    switch (e->kind) {
    case VNC_CUT_TEXT:
        view_clipboard(&c->view, e->text);
        break;
    case VNC_POWER:
        if (e->key == VNC_SHUTDOWN) {
            vnc_power->powerdown();
        } else {
            vnc_power->reset();
        }
        break;
    case VNC_KEY:
        view_key(&c->view, e->keysym, e->key, e->down);
        break;
    case VNC_POINT:
        seat_point(c->seat, e->x, e->y, shown->width, shown->height, e->buttons);
        break;
    case VNC_MOVE:
        seat_move(c->seat, (int)e->x - 0x7fff, (int)e->y - 0x7fff, 0, e->buttons);
        break;
    }
}

static bool take_event(VncClient *c, VncEvent *e)
{
    bool any;

    pthread_mutex_lock(&c->lock);
    any = c->count > 0;
    if (any) {
        *e = c->events[c->head];
        c->head = (c->head + 1) % VNC_EVENTS_MAX;
        c->count--;
        pthread_cond_signal(&c->room);
    } else {
        c->posted = false;
    }
    pthread_mutex_unlock(&c->lock);
    return any;
}

/* can_take - a text console takes all. While the machine stands, nothing makes room in the queue of keys, and
 * what is typed for the guest then is lost. */
static bool can_take(const VncClient *c)
{
    return seat_room() || !clock_running() || view_console(&c->view);
}

/* All that the queue of keys has room for; the rest when its timer has made some. */
static void take_events(VncClient *c)
{
    VncEvent e;

    machine_lock();
    while (c->seat != NULL && can_take(c) && take_event(c, &e)) {
        apply(c, &e);
    }
    if (c->seat != NULL && !can_take(c)) {
        timer_arm(&c->server->retry, clock_now(CLK_REAL) + RETRY_MS * NS_PER_MS);
    }
    machine_unlock();
}

static void on_events(void *opaque)
{
    take_events(opaque);
}

void vnc_on_retry(void *opaque)
{
    VncServer *s = opaque;

    for (VncClient *c = s->clients; c != NULL; c = c->next) {
        take_events(c);
    }
}

/* ---- connections ---- */

/* client_new - @peer is copied. */
static void client_new(VncServer *s, int fd, const char *peer)
{
    VncClient *c = xnew(VncClient);
    pthread_attr_t attr;
    int r;

    c->server = s;
    c->auth = &s->auth;
    c->guest_name = guest_name;
    c->power = s->opts.power;
    c->lossy = s->opts.lossy;
    c->lamps = -1;
    c->fd = fd;
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->peer = xstrdup(peer != NULL ? peer : "");
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->room, NULL);
    pthread_cond_init(&c->start, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CLIENT_STACK);
    r = c->wake_fd < 0 ? errno : pthread_create(&c->thread, &attr, vnc_client_thread, c);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        report("vnc: no thread for a client: %s", strerror(r));
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->room);
        pthread_cond_destroy(&c->start);
        close(fd);
        if (c->wake_fd >= 0) {
            close(c->wake_fd);
        }
        free(c->peer);
        free(c);
        return;
    }
    trace_vnc_client_new(fd, c->peer);
    c->next = s->clients;
    s->clients = c;
    s->client_count++;
    vnc_tell("VNC_CONNECTED", c);
}

/* Who stands in the door the longest without a handshake makes room for the next. */
static void hang_up_oldest(VncServer *s)
{
    VncClient *oldest = NULL;

    for (VncClient *c = s->clients; c != NULL; c = c->next) {
        oldest = c->seat == NULL && !c->closing ? c : oldest;
    }
    if (oldest != NULL) {
        vnc_hang_up(oldest);
    }
}

/* vnc_take_client - where there is no room, somebody else may be gone at the next try. */
void vnc_take_client(void *opaque, int fd, const char *peer)
{
    VncServer *s = opaque;

    if (s->client_count >= VNC_CLIENTS_MAX) {
        hang_up_oldest(s);
        close(fd);
        return;
    }
    client_new(s, fd, peer);
}

void vnc_on_connect(void *opaque, int listen_fd, unsigned events)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    autofree char *peer = fd >= 0 ? addr_show_fd(fd, true) : NULL;

    if (fd >= 0) {
        vnc_take_client(opaque, fd, peer);
    }
}

/* ---- on clients' threads ---- */

void vnc_post(VncClient *c, const VncEvent *e)
{
    VncEvent *last;
    bool tell;

    pthread_mutex_lock(&c->lock);
    last = c->count > 0 ? &c->events[(c->head + c->count - 1) % VNC_EVENTS_MAX] : NULL;
    if (last != NULL && e->kind == VNC_POINT && last->kind == VNC_POINT &&
        last->buttons == e->buttons) {
        *last = *e; /* only where it is now matters */
        pthread_mutex_unlock(&c->lock);
        return;
    }
    while (c->count == VNC_EVENTS_MAX && !c->closing) {
        pthread_cond_wait(&c->room, &c->lock);
    }
    tell = !c->closing && !c->posted;
    if (c->closing) {
        free(e->text);
    } else {
        c->events[(c->head + c->count++) % VNC_EVENTS_MAX] = *e;
        c->posted = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (tell) {
        loop_post(on_events, c);
    }
}

bool vnc_join_in(VncClient *c, bool exclusive)
{
    bool ok;

    c->want_exclusive = exclusive;
    loop_post(on_joined, c);
    pthread_mutex_lock(&c->lock);
    while (c->surface == NULL && !c->closing) {
        pthread_cond_wait(&c->start, &c->lock);
    }
    ok = !c->closing;
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void vnc_leave(VncClient *c)
{
    loop_post(on_left, c);
}

#endif
