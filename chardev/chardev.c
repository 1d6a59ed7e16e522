/*
 * Character devices: the part between front ends and back ends.
 */
#include "chardev/backend.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "chardev/registry.h"
#include "chardev/trace.h"

static Chardev *all; /* loop thread */
static const TimerGuard *front_guard;
static void (*quit_fn)(void);

void chardev_setup(const TimerGuard *guard, void (*quit)(void))
{
    front_guard = guard;
    quit_fn = quit;
}

void chardev_lock_front(void)
{
    if (front_guard != NULL) {
        front_guard->lock();
    }
}

void chardev_unlock_front(void)
{
    if (front_guard != NULL) {
        front_guard->unlock();
    }
}

void chardev_quit(void)
{
    if (quit_fn != NULL) {
        quit_fn();
    } else {
        loop_quit();
    }
}

/* ---- the list ---- */

Chardev *chardev_make(const CharBackend *be, const char *id)
{
    Chardev *c = xnew(Chardev);

    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of write() */
    c->be = be;
    c->id = xstrdup(id);
    c->in_fd = c->out_fd = c->log_fd = -1;
    c->focus = -1;
    c->stamp_at_bol = true;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void chardev_enlist(Chardev *c)
{
    Chardev **p = &all;

    while (*p != NULL) {
        p = &(*p)->next;
    }
    *p = c;
}

static void destroy(Chardev *c)
{
    for (int i = 0; i < CHAR_FRONTS; i++) {
        free(c->fronts[i].fifo);
    }
    if (c->log_fd >= 0) {
        close(c->log_fd);
    }
    pthread_mutex_destroy(&c->lock);
    free(c->out);
    free(c->id);
    free(c);
}

void chardev_unmake(Chardev *c)
{
    bool kicked;

    pthread_mutex_lock(&c->lock);
    c->dead = true;
    c->open = false;
    kicked = c->kicked;
    pthread_mutex_unlock(&c->lock);
    if (!kicked) {
        destroy(c); /* otherwise the posted call does it */
    }
}

void chardev_free(Chardev *c)
{
    if (c == NULL) {
        return;
    }
    for (Chardev **p = &all; *p != NULL; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    stream_drain(c, 0);
    if (c->be->close != NULL) {
        c->be->close(c);
    }
    stream_set(c, -1, -1);
    chardev_unmake(c);
}

void chardevs_close_all(void)
{
    for (Chardev *c = all; c != NULL; c = c->next) {
        stream_drain(c, 1000);
    }
    while (all != NULL) {
        chardev_free(all);
    }
}

Chardev *chardev_find(const char *id)
{
    for (Chardev *c = all; c != NULL; c = c->next) {
        if (strcmp(c->id, id) == 0) {
            return c;
        }
    }
    return NULL;
}

void chardev_each(void (*fn)(void *opaque, Chardev *c), void *opaque)
{
    for (Chardev *c = all, *next; c != NULL; c = next) {
        next = c->next;
        fn(opaque, c);
    }
}

const char *chardev_id(const Chardev *c)
{
    return c->id;
}

char *chardev_describe(Chardev *c)
{
    return c->be->describe != NULL ? c->be->describe(c) : xstrdup(c->be->name);
}

bool chardev_has_front(const Chardev *c)
{
    return c->front_count > 0;
}

bool chardev_is_mux(const Chardev *c)
{
    return c->mux;
}

bool chardev_is_open(Chardev *c)
{
    bool open;

    pthread_mutex_lock(&c->lock);
    open = c->open;
    pthread_mutex_unlock(&c->lock);
    return open;
}

/* ---- the loop's side ---- */

/* Tell CHAR_OPENED to front ends that have not heard it. The guard is held. */
static void tell_open(Chardev *c)
{
    for (int i = 0; i < CHAR_FRONTS; i++) {
        Front *f = &c->fronts[i];
        if (f->fe != NULL && !f->told_open) {
            f->told_open = true;
            if (f->fe->event != NULL) {
                f->fe->event(f->opaque, CHAR_OPENED);
            }
            if (c->mux && c->focus == i && f->fe != NULL && f->fe->event != NULL) {
                f->fe->event(f->opaque, CHAR_FOCUS_IN);
            }
        }
    }
}

static void kicked(void *opaque)
{
    Chardev *c = opaque;
    bool broken;

    pthread_mutex_lock(&c->lock);
    c->kicked = false;
    if (c->dead) {
        pthread_mutex_unlock(&c->lock);
        destroy(c);
        return;
    }
    /* a one-way output that broke (stdio, pipe) loses its bytes, and input goes on */
    broken = c->broken && c->in_fd == c->out_fd;
    c->broken = false;
    stream_flush(c);
    pthread_mutex_unlock(&c->lock);

    if (broken && c->be->hangup != NULL) {
        c->be->hangup(c);
    } else if (broken) {
        stream_set(c, -1, -1);
        chardev_set_open(c, false);
    }
    chardev_lock_front();
    if (chardev_is_open(c)) {
        tell_open(c);
    }
    if (c->mux) {
        mux_push(c);
    }
    if (c->be->more != NULL) {
        c->be->more(c);
    }
    chardev_unlock_front();
    c->held = false;
    stream_update(c);
}

static void kick_locked(Chardev *c)
{
    if (!c->kicked) {
        c->kicked = true;
        loop_post_always(kicked, c);
    }
}

void chardev_kick(Chardev *c)
{
    pthread_mutex_lock(&c->lock);
    kick_locked(c);
    pthread_mutex_unlock(&c->lock);
}

void chardev_kick_locked(Chardev *c)
{
    kick_locked(c);
}

void chardev_set_open(Chardev *c, bool open)
{
    bool was;

    pthread_mutex_lock(&c->lock);
    was = c->open;
    c->open = open;
    if (!open) {
        c->out_len = 0; /* for nobody */
    }
    pthread_mutex_unlock(&c->lock);
    if (was == open) {
        return;
    }
    trace_chardev_open(c->id, open);
    if (open) {
        chardev_kick(c);
        return;
    }
    chardev_lock_front();
    for (int i = 0; i < CHAR_FRONTS; i++) {
        Front *f = &c->fronts[i];
        bool told = f->told_open;
        f->told_open = false;
        if (f->fe != NULL && told && f->fe->event != NULL) {
            f->fe->event(f->opaque, CHAR_CLOSED);
        }
    }
    chardev_unlock_front();
}

size_t front_room(const Front *f)
{
    return f->fe != NULL && f->fe->can_receive != NULL ? f->fe->can_receive(f->opaque) : 0;
}

size_t chardev_room(Chardev *c)
{
    if (c->mux) {
        return mux_room(c);
    }
    return front_room(&c->fronts[0]);
}

void chardev_input(Chardev *c, const uint8_t *buf, size_t len)
{
    if (c->mux) {
        mux_input(c, buf, len);
        return;
    }
    while (len > 0 && c->fronts[0].fe != NULL) {
        Front *f = &c->fronts[0];
        size_t n = MIN(len, front_room(f));
        if (n == 0) {
            return;
        }
        f->fe->receive(f->opaque, buf, n);
        buf += n;
        len -= n;
    }
}

void chardev_event(Chardev *c, CharEvent ev)
{
    int i = c->mux ? c->focus : 0;

    if (i >= 0 && c->fronts[i].fe != NULL && c->fronts[i].fe->event != NULL) {
        c->fronts[i].fe->event(c->fronts[i].opaque, ev);
    }
}

bool inbox_put(Inbox *in, const void *buf, size_t len)
{
    if (len > sizeof(in->bytes) - in->len) {
        return false;
    }
    memcpy(in->bytes + in->len, buf, len);
    in->len += len;
    return true;
}

void inbox_push(Chardev *c, Inbox *in)
{
    for (;;) {
        size_t room = chardev_room(c), n;
        uint8_t buf[64];

        pthread_mutex_lock(&c->lock);
        n = MIN(MIN(room, in->len), sizeof(buf));
        memcpy(buf, in->bytes, n);
        in->len -= n;
        memmove(in->bytes, in->bytes + n, in->len);
        pthread_mutex_unlock(&c->lock);
        if (n == 0) {
            return;
        }
        chardev_input(c, buf, n);
    }
}

size_t chardev_inject(Chardev *c, const uint8_t *buf, size_t len)
{
    size_t n;

    chardev_lock_front();
    n = MIN(len, chardev_room(c));
    chardev_input(c, buf, n);
    chardev_unlock_front();
    return n;
}

void chardev_inject_break(Chardev *c)
{
    chardev_lock_front();
    chardev_event(c, CHAR_BREAK);
    chardev_unlock_front();
}

/* ---- the front end's side ---- */

bool chardev_attach(Chardev *c, const CharFront *fe, void *opaque, Error **errp)
{
    Front *f = NULL;

    if (fe == NULL) {
        chardev_detach(c, opaque);
        return true;
    }
    if (c->front_count > 0 && !c->mux) {
        error_set(errp, "chardev '%s' is in use already (mux=on lets several share it)", c->id);
        return false;
    }
    for (int i = 0; i < CHAR_FRONTS && f == NULL; i++) {
        if (c->fronts[i].fe == NULL) {
            f = &c->fronts[i];
        }
    }
    if (f == NULL) {
        error_set(errp, "chardev '%s' has %d users already", c->id, CHAR_FRONTS);
        return false;
    }
    f->fe = fe;
    f->opaque = opaque;
    f->told_open = false;
    f->fifo_len = 0;
    c->front_count++;
    if (c->focus < 0) {
        c->focus = (int)(f - c->fronts);
    }
    chardev_kick(c);
    return true;
}

void chardev_detach(Chardev *c, void *opaque)
{
    for (int i = 0; i < CHAR_FRONTS; i++) {
        Front *f = &c->fronts[i];
        if (f->fe == NULL || f->opaque != opaque) {
            continue;
        }
        f->fe = NULL;
        f->fifo_len = 0;
        c->front_count--;
        if (c->focus == i) {
            c->focus = -1;
            for (int k = 0; k < CHAR_FRONTS && c->focus < 0; k++) {
                c->focus = c->fronts[k].fe != NULL ? k : -1;
            }
        }
    }
    chardev_kick(c); /* nobody reads now */
}

static size_t write_locked(Chardev *c, const uint8_t *buf, size_t len)
{
    if (!c->open) {
        return len;
    }
    return c->be->write != NULL ? c->be->write(c, buf, len) : stream_write(c, buf, len);
}

/* The copy of logfile=; a full disk costs lines of the log, not the guest's output. */
static void write_log(Chardev *c, const uint8_t *buf, size_t len)
{
    while (c->log_fd >= 0 && len > 0) {
        ssize_t n = write(c->log_fd, buf, len);
        if (n <= 0) {
            return;
        }
        buf += n;
        len -= (size_t)n;
    }
}

/* Mux with time stamps (Ctrl-A t): lines are taken one by one. */
static size_t write_stamped(Chardev *c, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        const uint8_t *nl = memchr(buf + done, '\n', len - done);
        size_t n = nl != NULL ? (size_t)(nl - buf) + 1 - done : len - done, took;
        if (c->stamp_at_bol) {
            int64_t ms = clock_now(CLK_VIRTUAL) / NS_PER_MS;
            char text[48];
            int k = snprintf(text, sizeof(text), "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000),
                             (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
            if (write_locked(c, (const uint8_t *)text, (size_t)k) == 0) {
                break;
            }
        }
        took = write_locked(c, buf + done, n);
        c->stamp_at_bol = took == n ? nl != NULL : took == 0 && c->stamp_at_bol;
        done += took;
        if (took < n) {
            break;
        }
    }
    return done;
}

size_t chardev_write(Chardev *c, const uint8_t *buf, size_t len)
{
    size_t n;

    if (c == NULL || len == 0) {
        return len;
    }
    pthread_mutex_lock(&c->lock);
    n = c->stamp ? write_stamped(c, buf, len) : write_locked(c, buf, len);
    write_log(c, buf, n);
    pthread_mutex_unlock(&c->lock);
    return n;
}

void chardev_accept_input(Chardev *c)
{
    if (c != NULL) {
        chardev_kick(c);
    }
}

void chardev_set_params(Chardev *c, unsigned baud, char parity, unsigned data_bits,
                        unsigned stop_bits)
{
    if (c != NULL && c->be->set_params != NULL) {
        c->be->set_params(c, baud, parity, data_bits, stop_bits);
    }
}

void chardev_set_break(Chardev *c, bool on)
{
    if (c != NULL && c->be->set_break != NULL) {
        c->be->set_break(c, on);
    }
}

void chardev_set_lines(Chardev *c, bool dtr, bool rts)
{
    if (c != NULL && c->be->set_lines != NULL) {
        c->be->set_lines(c, dtr, rts);
    }
}
