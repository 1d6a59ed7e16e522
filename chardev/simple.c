/*
 * Back ends without a peer to wait for: null, file, pipe, ring buffer.
 */
#include "chardev/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

/* ---- null ---- */

static bool null_open(Chardev *c, OptList *l, Error **errp)
{
    chardev_set_open(c, true);
    return true;
}

static size_t null_write(Chardev *c, const uint8_t *buf, size_t len)
{
    return len;
}

const CharBackend chardev_null = {
    .name = "null",
    .help = "takes everything, says nothing",
    .open = null_open,
    .write = null_write,
};

/* ---- file ---- */

static bool file_open(Chardev *c, OptList *l, Error **errp)
{
    const char *path = opt_get_str(l, "path", NULL);
    bool append = opt_get_bool(l, "append", false);
    int fd;

    if (path == NULL || *path == '\0') {
        error_set(errp, "file: path= is missing");
        return false;
    }
    fd = host_open(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot open %s", path);
        return false;
    }
    c->out_fd = fd;
    chardev_set_open(c, true);
    return true;
}

static void file_close(Chardev *c)
{
    close(c->out_fd);
    c->out_fd = -1;
}

/* A regular file does not block for long; what a full disk refuses is lost, not stuck. */
static size_t file_write(Chardev *c, const uint8_t *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(c->out_fd, buf + done, len - done);
        if (n < 0 && errno != EINTR) {
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return len;
}

const CharBackend chardev_file = {
    .name = "file",
    .help = "path=,append=: what is written goes to a file",
    .open = file_open,
    .close = file_close,
    .write = file_write,
};

/* ---- pipe: PATH.in and PATH.out, or one FIFO PATH for both ---- */

static int open_fifo(const char *path, const char *suffix)
{
    autofree char *name = xasprintf("%s%s", path, suffix);

    /* both ways, so that it opens without a peer and never ends */
    return host_open(name, O_RDWR | O_NONBLOCK, 0);
}

static bool pipe_open(Chardev *c, OptList *l, Error **errp)
{
    const char *path = opt_get_str(l, "path", NULL);
    int in, out;

    if (path == NULL || *path == '\0') {
        error_set(errp, "pipe: path= is missing");
        return false;
    }
    in = open_fifo(path, ".in");
    out = open_fifo(path, ".out");
    if (in < 0 || out < 0) {
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = out = open_fifo(path, "");
        if (in < 0) {
            error_set_errno(errp, errno, "cannot open pipe %s (nor %s.in and %s.out)", path, path,
                            path);
            return false;
        }
    }
    stream_set(c, in, out);
    chardev_set_open(c, true);
    return true;
}

static void pipe_close(Chardev *c)
{
    int in = c->in_fd, out = c->out_fd;

    stream_set(c, -1, -1);
    close(in);
    if (out != in) {
        close(out);
    }
}

const CharBackend chardev_pipe = {
    .name = "pipe",
    .help = "path=: FIFOs PATH.in and PATH.out, or one PATH",
    .open = pipe_open,
    .close = pipe_close,
};

/* ---- ring buffer: keeps the last bytes written ---- */

typedef struct Ring {
    uint8_t *data;
    size_t size;      /* a power of two */
    uint64_t in, out; /* bytes ever written, read; under the chardev's lock */
} Ring;

static bool ring_open(Chardev *c, OptList *l, Error **errp)
{
    uint64_t size = opt_get_size(l, "size", 1, 65536);
    Ring *r;

    if (size == 0 || size > (1u << 30) || (size & (size - 1)) != 0) {
        error_set(errp, "ringbuf: size=%llu is not a power of two up to 1G",
                  (unsigned long long)size);
        return false;
    }
    r = xnew(Ring);
    r->data = try_newn(uint8_t, size);
    r->size = size;
    if (r->data == NULL) {
        free(r);
        error_set(errp, "ringbuf: no memory for %llu bytes", (unsigned long long)size);
        return false;
    }
    c->priv = r;
    chardev_set_open(c, true);
    return true;
}

static void ring_close(Chardev *c)
{
    Ring *r = c->priv;

    pthread_mutex_lock(&c->lock);
    c->open = false;
    c->priv = NULL;
    pthread_mutex_unlock(&c->lock);
    free(r->data);
    free(r);
}

static size_t ring_write(Chardev *c, const uint8_t *buf, size_t len)
{
    Ring *r = c->priv;

    for (size_t i = 0; i < len; i++) {
        r->data[r->in++ & (r->size - 1)] = buf[i];
    }
    if (r->in - r->out > r->size) {
        r->out = r->in - r->size;
    }
    return len;
}

const CharBackend chardev_ringbuf = {
    .name = "ringbuf",
    .alias = "memory",
    .help = "size=: keeps the last bytes for the monitor",
    .open = ring_open,
    .close = ring_close,
    .write = ring_write,
};

long chardev_ringbuf_read(Chardev *c, uint8_t *buf, size_t len)
{
    Ring *r = c->priv;
    size_t n = 0;

    if (c->be != &chardev_ringbuf) {
        return -1;
    }
    pthread_mutex_lock(&c->lock);
    while (n < len && r->out < r->in) {
        buf[n++] = r->data[r->out++ & (r->size - 1)];
    }
    pthread_mutex_unlock(&c->lock);
    return (long)n;
}
