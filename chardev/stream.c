/*
 * Bytes through descriptors: a bounded queue outwards, and inwards only what the front end can
 * take. Writing starts on the caller's thread; what the peer does not take at once waits for the
 * loop. No call here blocks, but stream_drain() at exit.
 *
 * A descriptor may be shared with other programs (the terminal), so O_NONBLOCK is not ours to set;
 * sockets are sent to with MSG_DONTWAIT, others are the back end's own open file description or
 * are asked by poll() before each write.
 */
#include "chardev/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/loop.h"
#include "base/mem.h"
#include "chardev/registry.h"
#include "chardev/trace.h"

enum { CAREFUL_WRITE = 256 }; /* to a blocking descriptor that says it is writable */

/* ---- out ---- */

static OutKind out_kind(int fd)
{
    struct stat st;
    int flags;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return OUT_NONBLOCK;
    }
    if (S_ISSOCK(st.st_mode)) {
        return OUT_SOCKET;
    }
    flags = fcntl(fd, F_GETFL);
    return S_ISREG(st.st_mode) || (flags >= 0 && (flags & O_NONBLOCK) != 0) ? OUT_NONBLOCK
                                                                             : OUT_CAREFUL;
}

static ssize_t write_some(const Chardev *c, const uint8_t *buf, size_t len)
{
    if (c->out_kind == OUT_SOCKET) {
        return send(c->out_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (c->out_kind == OUT_CAREFUL) {
        struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };
        if (poll(&p, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        len = MIN(len, CAREFUL_WRITE);
    }
    return write(c->out_fd, buf, len);
}

void stream_flush(Chardev *c)
{
    size_t done = 0;

    while (done < c->out_len && c->out_fd >= 0) {
        ssize_t n = write_some(c, c->out + done, c->out_len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            if (n < 0 && errno != EAGAIN) {
                c->broken = true;
                c->out_len = done = 0;
                chardev_kick_locked(c);
            }
            break;
        }
        done += (size_t)n;
    }
    if (c->out_fd < 0) {
        c->out_len = done = 0;
    }
    if (done > 0) {
        c->out_len -= done;
        memmove(c->out, c->out + done, c->out_len);
        trace_chardev_out(c->id, done, c->out_len);
    }
}

static void queue(Chardev *c, const uint8_t *buf, size_t len)
{
    if (len > c->out_cap - c->out_len) {
        c->out_cap = MIN((size_t)CHAR_OUT_MAX + 64, MAX(c->out_len + len, 2 * c->out_cap));
        c->out_cap = MAX(c->out_cap, c->out_len + len);
        c->out = xrealloc(c->out, c->out_cap, 1);
    }
    memcpy(c->out + c->out_len, buf, len);
    c->out_len += len;
}

size_t stream_write(Chardev *c, const uint8_t *buf, size_t len)
{
    bool doubles = c->be->doubles_ff != NULL && c->be->doubles_ff(c);
    size_t took = 0;

    for (;;) {
        size_t before = took;
        if (!doubles) {
            size_t room = c->out_len < CHAR_OUT_MAX ? CHAR_OUT_MAX - c->out_len : 0;
            size_t n = MIN(room, len - took);
            queue(c, buf + took, n);
            took += n;
        }
        for (; doubles && took < len && c->out_len + 2 <= CHAR_OUT_MAX; took++) {
            uint8_t two[2] = { buf[took], 0xff };
            queue(c, two, buf[took] == 0xff ? 2 : 1);
        }
        stream_flush(c);
        if (took == len || took == before) {
            break;
        }
    }
    if (c->out_len > 0) {
        chardev_kick_locked(c); /* the loop waits until the peer reads */
    }
    return took;
}

void stream_write_raw(Chardev *c, const uint8_t *buf, size_t len)
{
    pthread_mutex_lock(&c->lock);
    if (c->out_len + len <= CHAR_OUT_MAX) { /* else the peer asks and does not read: its loss */
        queue(c, buf, len);
        stream_flush(c);
    }
    if (c->out_len > 0) {
        chardev_kick_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
}

void stream_drain(Chardev *c, int ms)
{
    int64_t end = clock_now(CLK_REAL) + ms * NS_PER_MS;

    pthread_mutex_lock(&c->lock);
    stream_flush(c);
    while (c->out_len > 0 && c->out_fd >= 0 && clock_now(CLK_REAL) < end) {
        struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };
        if (poll(&p, 1, 10) < 0 && errno != EINTR) {
            break;
        }
        stream_flush(c);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- in ---- */

static void end_of_stream(Chardev *c)
{
    if (c->be->hangup != NULL) {
        c->be->hangup(c);
    } else {
        stream_set(c, -1, -1);
        chardev_set_open(c, false);
    }
}

/* One read of what the front end can take. */
static void read_some(Chardev *c)
{
    uint8_t buf[CHAR_READ_MAX];
    size_t room;
    ssize_t n;

    chardev_lock_front();
    room = chardev_room(c);
    if (room == 0) {
        c->held = true;
        chardev_unlock_front();
        return;
    }
    n = read(c->in_fd, buf, MIN(room, sizeof(buf)));
    if (n > 0) {
        size_t len = (size_t)n;
        trace_chardev_in(c->id, len);
        if (c->be->filter != NULL) {
            len = c->be->filter(c, buf, len);
        }
        chardev_input(c, buf, len);
    }
    chardev_unlock_front();
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        end_of_stream(c);
    }
}

static void ready(void *opaque, int fd, unsigned events)
{
    Chardev *c = opaque;

    if (fd == c->out_fd && (events & (LOOP_WRITE | LOOP_HANGUP))) {
        pthread_mutex_lock(&c->lock);
        stream_flush(c);
        pthread_mutex_unlock(&c->lock);
    }
    if (fd == c->in_fd && (events & (LOOP_READ | LOOP_HANGUP)) && !c->held) {
        read_some(c);
    }
    stream_update(c);
}

/* ---- watching ---- */

static void watch(int fd, unsigned events, bool *watching, Chardev *c)
{
    if (fd >= 0 && events != 0) {
        *watching = loop_fd_set(fd, events, ready, c) == 0;
    } else if (*watching) {
        loop_fd_remove(fd);
        *watching = false;
    }
}

void stream_update(Chardev *c)
{
    unsigned in = 0, out = 0;

    if (c->dead) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    if (c->in_fd >= 0 && !c->held && !c->in_eof && (c->front_count > 0 || (c->mux && c->tty_in))) {
        in = LOOP_READ;
    }
    if (c->out_fd >= 0 && c->out_len > 0) {
        out = LOOP_WRITE;
    }
    pthread_mutex_unlock(&c->lock);
    if (c->in_fd == c->out_fd) {
        watch(c->in_fd, in | out, &c->watching_both, c);
    } else {
        watch(c->in_fd, in, &c->watching_in, c);
        watch(c->out_fd, out, &c->watching_out, c);
    }
}

void stream_set(Chardev *c, int in_fd, int out_fd)
{
    watch(c->in_fd, 0, c->in_fd == c->out_fd ? &c->watching_both : &c->watching_in, c);
    watch(c->out_fd, 0, &c->watching_out, c);
    pthread_mutex_lock(&c->lock);
    c->in_fd = in_fd;
    c->out_fd = out_fd;
    c->out_kind = out_kind(out_fd);
    c->out_len = 0;
    c->broken = false;
    pthread_mutex_unlock(&c->lock);
    c->held = false;
    c->in_eof = false;
    if (in_fd >= 0 || out_fd >= 0) {
        stream_update(c);
    }
}
