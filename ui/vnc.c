/*
 * VNC servers: listeners, who is connected, what of the screen has changed. All on the loop thread but
 * the last section. The protocol is in vnc-client.c, on a thread for each client.
 */
#include <config.h>
#ifdef CONFIG_VNC
#include "ui/vnc-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/secret.h"
#include "bus/lock.h"
#include "hw/input/input.h"
#include "ui/keymap.h"
#include "ui/trace.h"
#include "ui/vnc-web.h"
#include "ui/vnc.h"

enum { CLIENT_STACK = 512 << 10, RETRY_MS = 5, DISPLAY_PORT = 5900, WEB_PORT = 5700 };

typedef struct VncServer {
    struct VncServer *next;
    VncOptions opts;
    VncAuth auth;
    char *id;
    int listen_fd; /* -1: none */
    char *where;   /* "127.0.0.1:5900" or a path; NULL: nowhere */
    const char *family;
    VncClient *clients; /* the newest first */
    unsigned client_count;
    Surface *empty; /* what is shown without a screen */
    Timer retry;
    VncWeb *web; /* NULL: none */
} VncServer;

static VncServer *servers; /* loop thread */
static VncServer *ended;   /* those whose clients' threads have not ended yet; loop thread */
static const Keymap *vnc_map;  /* constant after vnc_setup(), as the next */
static const char *guest_name;

static const VncPowerOps *vnc_power;

static void on_lamps(void);

void vnc_setup(const char *name, const Keymap *map, const VncPowerOps *power)
{
    guest_name = name;
    vnc_map = map;
    vnc_power = power;
    input_on_lamps(on_lamps);
}

static void tell(const char *event, const VncClient *c);

/* ---- clients ---- */

/* hang_up - the client's thread will end soon. */
static void hang_up(VncClient *c)
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
        hang_up(c);
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
    for (VncServer *s = servers; s != NULL; s = s->next) {
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
            hang_up(o);
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
        hang_up(c);
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
            hang_up(c);
        }
    }
    machine_unlock();
    tell("VNC_INITIALIZED", c);
}

/* The client's thread is at its end, or will be after hang_up(). */
static void client_free(VncClient *c)
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
    tell("VNC_DISCONNECTED", c);
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

/* server_free - it is in no list but perhaps that of the ended. */
static void server_free(VncServer *s)
{
    for (VncServer **p = &ended; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    surface_unref(s->empty);
    vnc_auth_fini(&s->auth);
    vnc_options_free(&s->opts);
    free(s->id);
    free(s);
}

/* client_end - with its server, where that waits for its last client. */
static void client_end(VncClient *c)
{
    VncServer *s = c->server;

    client_free(c);
    for (const VncServer *e = ended; e != NULL; e = e->next) {
        if (e == s && s->clients == NULL) {
            server_free(s);
            return;
        }
    }
}

static void on_left(void *opaque)
{
    client_end(opaque);
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

static void on_retry(void *opaque)
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
    tell("VNC_CONNECTED", c);
}

/* Who stands in the door the longest without a handshake makes room for the next. */
static void hang_up_oldest(VncServer *s)
{
    VncClient *oldest = NULL;

    for (VncClient *c = s->clients; c != NULL; c = c->next) {
        oldest = c->seat == NULL && !c->closing ? c : oldest;
    }
    if (oldest != NULL) {
        hang_up(oldest);
    }
}

/* take_client - where there is no room, somebody else may be gone at the next try. */
static void take_client(void *opaque, int fd, const char *peer)
{
    VncServer *s = opaque;

    if (s->client_count >= VNC_CLIENTS_MAX) {
        hang_up_oldest(s);
        close(fd);
        return;
    }
    client_new(s, fd, peer);
}

static void on_connect(void *opaque, int listen_fd, unsigned events)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    autofree char *peer = fd >= 0 ? addr_show_fd(fd, true) : NULL;

    if (fd >= 0) {
        take_client(opaque, fd, peer);
    }
}

/* ---- servers ---- */

/* web_listen - where the port is not said, it goes by the display that was found. */
static bool web_listen(VncServer *s, Error **errp)
{
    SockAddr addr = s->opts.web_addr;
    autofree char *port = NULL, *url = NULL;

    if (addr.port == NULL) {
        port = xasprintf("%d", atoi(strrchr(s->where, ':') + 1) - DISPLAY_PORT + WEB_PORT);
        addr.port = port;
    }
    s->web = vnc_web_open(&addr, s->opts.web, take_client, s, errp);
    url = s->web != NULL ? vnc_web_url(s->web) : NULL;
    if (url != NULL) {
        printf("VNC in a browser: %s\n", url);
        fflush(stdout);
    }
    return s->web != NULL;
}

static bool server_listen(VncServer *s, Error **errp)
{
    int r;

    s->listen_fd = addr_listen(&s->opts.addr, errp);
    if (s->listen_fd < 0) {
        return false;
    }
    listen(s->listen_fd, 64); /* the queue of addr_listen() is for one peer */
    r = loop_fd_set(s->listen_fd, LOOP_READ, on_connect, s);
    if (r < 0) {
        error_set_errno(errp, -r, "vnc: cannot watch the socket");
        close(s->listen_fd);
        s->listen_fd = -1;
        return false;
    }
    s->where = s->opts.addr.path != NULL ? xstrdup(s->opts.addr.path)
                                         : addr_show_fd(s->listen_fd, false);
    s->family = s->opts.addr.path != NULL ? "unix" : *s->where == '[' ? "ipv6" : "ipv4";
    return true;
}

/* server_open - all that it serves at. */
static bool server_open(VncServer *s, Error **errp)
{
    return (s->opts.none || server_listen(s, errp)) && (!s->opts.websocket || web_listen(s, errp));
}

/* server_close - and no longer. With @wait the loop is over. */
static void server_close(VncServer *s, bool wait)
{
    vnc_web_close(s->web, wait);
    s->web = NULL;
    if (s->listen_fd >= 0) {
        loop_fd_remove(s->listen_fd);
        close(s->listen_fd);
        if (s->opts.addr.path != NULL) {
            host_unlink(s->opts.addr.path);
        }
    }
    s->listen_fd = -1;
    free(s->where);
    s->where = NULL;
}

static VncServer *server_new(const VncOptions *o)
{
    VncServer *s = xnew(VncServer), **p = &servers;

    s->listen_fd = -1;
    s->opts = *o;
    s->id = xstrdup(o->id != NULL ? o->id : "default");
    vnc_auth_init(&s->auth, o->password, o->secret != NULL ? secret_find(o->secret, NULL) : NULL);
    timer_init(&s->retry, CLK_REAL, on_retry, s, NULL);
    while (*p != NULL) {
        p = &(*p)->next;
    }
    *p = s;
    return s;
}

/* server_end - it serves nobody any more and is freed: now, or when the last of its clients' threads has ended. */
static void server_end(VncServer *s, bool wait)
{
    for (VncServer **p = &servers; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    server_close(s, wait);
    timer_cancel(&s->retry);
    if (s->clients == NULL) {
        server_free(s);
        return;
    }
    s->next = ended;
    ended = s;
    for (VncClient *c = s->clients; c != NULL; c = c->next) {
        hang_up(c);
    }
}

bool vnc_open(const char *spec, Error **errp)
{
    VncOptions o;
    VncServer *s;

    if (!vnc_options_parse(&o, spec, errp)) {
        return false;
    }
    if (!vnc_library_init(errp)) {
        vnc_options_free(&o);
        return false;
    }
    if (o.secret != NULL && secret_find(o.secret, NULL) == NULL) {
        error_set(errp, "there is no secret '%s' (-object secret,id=...)", o.secret);
        vnc_options_free(&o);
        return false;
    }
    s = server_new(&o);
    if (!server_open(s, errp)) {
        server_end(s, false);
        return false;
    }
    return true;
}

bool vnc_open_default(Error **errp)
{
    VncServer *s;

    if (!vnc_open("127.0.0.1:0,to=99", errp)) {
        return false;
    }
    for (s = servers; s->next != NULL; s = s->next) {
    }
    printf("VNC server running on %s\n", s->where);
    fflush(stdout);
    return true;
}

void vnc_close_all(void)
{
    while (servers != NULL) {
        server_end(servers, true);
    }
    while (ended != NULL) {
        client_end(ended->clients); /* the loop is over: nobody else does it */
    }
}

/* web_info - of a web server; each time it is a URL for one more browser. */
static void web_info(const VncServer *s, FILE *out)
{
    autofree char *url = s->web != NULL ? vnc_web_url(s->web) : NULL;

    if (url != NULL) {
        fprintf(out, "  Browser: %s\n", url);
    } else if (s->web != NULL) {
        fprintf(out, "  WebSocket: %s\n", vnc_web_where(s->web));
    }
}

/* ---- what QMP tells of them ---- */

/* split - "127.0.0.1:5900", "[::1]:5900" or a path into @copy, which @a points into. */
static void split(VncAddress *a, char *copy, const char *where, const char *family)
{
    char *colon = strrchr(copy, ':');

    *a = (VncAddress){ .host = where != NULL ? copy : NULL, .service = copy, .family = family };
    if (where == NULL || strcmp(family, "unix") == 0 || colon == NULL) {
        return;
    }
    *colon = '\0';
    a->service = colon + 1;
    if (copy[0] == '[' && colon > copy + 1) {
        colon[-1] = '\0';
        a->host = copy + 1;
    }
}

void vnc_each(void (*server)(void *opaque, const char *id, const char *auth, const VncAddress *a),
              void (*client)(void *opaque, const VncAddress *a), void *opaque)
{
    for (const VncServer *s = servers; s != NULL; s = s->next) {
        autofree char *where = xstrdup(s->where != NULL ? s->where : "");
        VncAddress a;

        split(&a, where, s->where, s->family);
        server(opaque, s->id, s->auth.on ? "vnc" : "none", &a);
        for (const VncClient *c = s->clients; c != NULL; c = c->next) {
            autofree char *peer = xstrdup(c->peer);

            if (c->seat != NULL) {
                split(&a, peer, c->peer, s->family);
                client(opaque, &a);
            }
        }
    }
}

/* tell - an event about @c. */
static void tell(const char *event, const VncClient *c)
{
    const VncServer *s = c->server;
    autofree char *where = xstrdup(s->where != NULL ? s->where : ""), *peer = xstrdup(c->peer);
    const char *family = s->family != NULL ? s->family : "unknown";
    VncAddress to, from;

    split(&to, where, where, family);
    split(&from, peer, peer, family);
    const EventField fields[] = {
        EV_STR("server.auth", s->auth.on ? "vnc" : "none"),
        EV_STR("server.family", to.family), EV_STR("server.service", to.service),
        EV_STR("server.host", to.host), EV_BOOL("server.websocket", to.websocket),
        EV_STR("client.family", from.family), EV_STR("client.service", from.service),
        EV_STR("client.host", from.host), EV_BOOL("client.websocket", from.websocket), EV_END,
    };
    event_emit(event, fields);
}

void vnc_info(FILE *out)
{
    if (servers == NULL) {
        fprintf(out, "None\n");
    }
    for (const VncServer *s = servers; s != NULL; s = s->next) {
        fprintf(out, "%s:\n", s->id);
        if (s->where != NULL) {
            fprintf(out, "  Server: %s (%s)\n    Auth: %s (Sub: none)\n", s->where, s->family,
                    s->auth.on ? "vnc" : "none");
        }
        web_info(s, out);
        for (const VncClient *c = s->clients; c != NULL; c = c->next) {
            if (c->seat != NULL) {
                fprintf(out, "  Client: %s (%s)\n    x509_dname: none\n    sasl_username: none\n",
                        c->peer, s->family != NULL ? s->family : "websocket");
            }
        }
        if (s->where == NULL) {
            fprintf(out, "    Auth: %s (Sub: none)\n", s->auth.on ? "vnc" : "none");
        }
    }
}

/* ---- for the monitor ---- */

/* find_server - by its id; NULL: the first one. */
static VncServer *find_server(const char *id, Error **errp)
{
    for (VncServer *s = servers; s != NULL; s = s->next) {
        if (id == NULL || strcmp(s->id, id) == 0) {
            return s;
        }
    }
    error_set(errp, id != NULL ? "there is no VNC server '%s'" : "there is no VNC server", id);
    return NULL;
}

static VncServer *find_with_password(const char *id, Error **errp)
{
    VncServer *s = find_server(id, errp);

    if (s != NULL && !s->auth.on) {
        error_set(errp, "VNC server '%s' asks for no password (-vnc ...,password=on)", s->id);
        return NULL;
    }
    return s;
}

bool vnc_set_password(const char *id, const char *password, Error **errp)
{
    VncServer *s = find_with_password(id, errp);

    if (s != NULL) {
        vnc_auth_set(&s->auth, password);
    }
    return s != NULL;
}

bool vnc_expire_password(const char *id, int64_t when, Error **errp)
{
    VncServer *s = find_with_password(id, errp);

    if (s != NULL) {
        vnc_auth_expire(&s->auth, when);
    }
    return s != NULL;
}

/* The new one is where the old one was, perhaps at the same address; so that goes first, and comes back if the
 * new one cannot be. Its viewers go. */
bool vnc_change(const char *spec, Error **errp)
{
    VncServer *old = servers, *s;
    Error *err = NULL, *again = NULL;
    bool ok;

    if (old == NULL) {
        return vnc_open(spec, errp);
    }
    if (!vnc_check(spec, errp)) {
        return false;
    }
    server_close(old, false);
    ok = vnc_open(spec, &err);
    if (!ok) {
        error_move(errp, err);
        if (!server_open(old, &again)) {
            error_free(again);
        }
        return false;
    }
    for (s = servers; s->next != NULL; s = s->next) {
    }
    if (s->auth.on && old->auth.set && !s->auth.set) {
        vnc_auth_set(&s->auth, old->auth.password);
    }
    server_end(old, false);
    return true;
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
