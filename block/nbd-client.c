/*
 * NBD client: see nbd-client.h.
 */
#include "block/nbd-client.h"

#include <config.h>

#ifdef CONFIG_LIBNBD
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "base/library.h"
#include "base/mem.h"
#include "block/nbd.h"

enum {
    CONNECTIONS = 4,     /* as many as there are workers */
    CONNECT_MS = 15000,  /* to connect and negotiate */
    SILENT_MS = 120000,  /* a server that says nothing for so long is lost */
    HURRY_MS = 2000,     /* the same while the program ends */
    RETRY_MS = 200,
    GOODBYE_MS = 500,
    EXTENT_MAX = 1 << 30, /* bytes whose status is asked for at a time */
    ALIGN_MAX = 4096,     /* host-file.c's */
};

#define NBD_LIBRARY(F)                                                                             \
    F(nbd_create) F(nbd_close) F(nbd_get_error) F(nbd_get_errno) F(nbd_set_export_name)            \
    F(nbd_add_meta_context) F(nbd_can_meta_context) F(nbd_can_multi_conn) F(nbd_can_zero)          \
    F(nbd_can_trim) F(nbd_can_flush) F(nbd_is_read_only) F(nbd_get_size) F(nbd_get_block_size)     \
    F(nbd_poll) F(nbd_aio_connect_socket) F(nbd_aio_is_ready) F(nbd_aio_is_dead)                   \
    F(nbd_aio_is_closed) F(nbd_aio_disconnect) F(nbd_aio_command_completed) F(nbd_aio_pread)       \
    F(nbd_aio_pwrite) F(nbd_aio_flush) F(nbd_aio_trim) F(nbd_aio_zero) F(nbd_aio_block_status)

static struct {
#define MEMBER(name) __typeof__(name) *name;
    NBD_LIBRARY(MEMBER)
#undef MEMBER
} lib;

static const LibrarySymbol symbols[] = {
#define SYMBOL(name) { #name, offsetof(__typeof__(lib), name) },
    NBD_LIBRARY(SYMBOL)
#undef SYMBOL
};

static const Library library = {
    .file = "libnbd.so.0", .what = "a disk on an NBD server", .package = "libnbd0", .symbols = symbols,
    .count = ARRAY_SIZE(symbols),
};

typedef struct NbdClient {
    RemoteFile file; /* first member */
    NbdAddress address;
    /* constant once it is open */
    bool zero, trim, flush, status;
    unsigned max;    /* connections */
    uint32_t payload; /* bytes of a request */
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t free_one;
    struct nbd_handle *idle[CONNECTIONS];
    unsigned idle_count, open;
} NbdClient;

static bool hurried; /* atomic */

void nbd_clients_hurry(void)
{
    __atomic_store_n(&hurried, true, __ATOMIC_RELAXED);
}

static bool in_a_hurry(void)
{
    return __atomic_load_n(&hurried, __ATOMIC_RELAXED);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool lost(struct nbd_handle *h)
{
    return lib.nbd_aio_is_dead(h) != 0 || lib.nbd_aio_is_closed(h) != 0;
}

/* ---- connections ---- */

/* wait_connected - for one that is under way. */
static bool wait_connected(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    return poll(&p, 1, CONNECT_MS) == 1 && !(p.revents & (POLLERR | POLLHUP));
}

/* negotiate - on @fd, which is @h's from now on. */
static bool negotiate(struct nbd_handle *h, const NbdAddress *a, int fd, Error **errp)
{
    int64_t end = now_ms() + CONNECT_MS;

    if (lib.nbd_set_export_name(h, a->export_name) != 0 || lib.nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        lib.nbd_aio_connect_socket(h, fd) != 0) {
        error_set(errp, "%s", lib.nbd_get_error());
        return false;
    }
    while (lib.nbd_aio_is_ready(h) == 0 && !lost(h)) {
        int64_t left = end - now_ms();

        if (left <= 0) {
            error_set(errp, "the server does not answer");
            return false;
        }
        if (lib.nbd_poll(h, (int)left) < 0) {
            break;
        }
    }
    if (lib.nbd_aio_is_ready(h) != 1) {
        error_set(errp, "%s", lib.nbd_get_error());
        return false;
    }
    return true;
}

static struct nbd_handle *connect_one(const NbdAddress *a, Error **errp)
{
    bool pending;
    int fd = addr_connect(&a->addr, a->addr.path == NULL, &pending, errp);
    struct nbd_handle *h;

    if (fd < 0) {
        return NULL;
    }
    if (pending && !wait_connected(fd)) {
        error_set(errp, "cannot connect to tcp:%s:%s", a->addr.host, a->addr.port);
        close(fd);
        return NULL;
    }
    h = lib.nbd_create();
    if (h == NULL) {
        error_set(errp, "%s", lib.nbd_get_error());
        close(fd);
        return NULL;
    }
    if (!negotiate(h, a, fd, errp)) {
        lib.nbd_close(h);
        return NULL;
    }
    return h;
}

/* take - a connection for one request; *fresh: it was made just now. NULL: the server is gone, or was not back at @patience. */
static struct nbd_handle *take(NbdClient *c, int64_t patience, bool *fresh)
{
    struct nbd_handle *h = NULL;
    bool make;

    pthread_mutex_lock(&c->lock);
    while (c->idle_count == 0 && c->open >= c->max) {
        pthread_cond_wait(&c->free_one, &c->lock);
    }
    make = c->idle_count == 0;
    if (make) {
        c->open++;
    } else {
        h = c->idle[--c->idle_count];
    }
    pthread_mutex_unlock(&c->lock);
    *fresh = make;
    while (make && h == NULL) {
        h = connect_one(&c->address, NULL);
        if (h == NULL) {
            if (now_ms() >= patience || in_a_hurry()) {
                break;
            }
            poll(NULL, 0, RETRY_MS);
        }
    }
    if (h == NULL) {
        pthread_mutex_lock(&c->lock);
        c->open--;
        pthread_cond_signal(&c->free_one);
        pthread_mutex_unlock(&c->lock);
    }
    return h;
}

/* give - back; one that is lost is closed. */
static void give(NbdClient *c, struct nbd_handle *h, bool usable)
{
    if (!usable) {
        lib.nbd_close(h);
    }
    pthread_mutex_lock(&c->lock);
    if (usable) {
        c->idle[c->idle_count++] = h;
    } else {
        c->open--;
    }
    pthread_cond_signal(&c->free_one);
    pthread_mutex_unlock(&c->lock);
}

/* ---- requests ---- */

typedef struct Request {
    enum { OP_READ, OP_WRITE, OP_FLUSH, OP_TRIM, OP_ZERO, OP_STATUS } op;
    uint64_t offset;
    uint64_t len;
    void *buf;
    bool keep;          /* OP_ZERO: no hole */
    uint32_t alike, flags; /* OP_STATUS: what comes of it */
} Request;

/* on_extents - the first that is told is enough. */
static int on_extents(void *opaque, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
    Request *r = opaque;

    if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 && offset == r->offset && count >= 2) {
        r->alike = entries[0];
        r->flags = entries[1];
    }
    return 0;
}

static int64_t start(struct nbd_handle *h, Request *r)
{
    const nbd_extent_callback extents = { .callback = on_extents, .user_data = r };

    switch (r->op) {
    case OP_READ: return lib.nbd_aio_pread(h, r->buf, r->len, r->offset, NBD_NULL_COMPLETION, 0);
    case OP_WRITE: return lib.nbd_aio_pwrite(h, r->buf, r->len, r->offset, NBD_NULL_COMPLETION, 0);
    case OP_FLUSH: return lib.nbd_aio_flush(h, NBD_NULL_COMPLETION, 0);
    case OP_TRIM: return lib.nbd_aio_trim(h, r->len, r->offset, NBD_NULL_COMPLETION, 0);
    case OP_ZERO:
        return lib.nbd_aio_zero(h, r->len, r->offset, NBD_NULL_COMPLETION, r->keep ? LIBNBD_CMD_FLAG_NO_HOLE : 0);
    default:
        return lib.nbd_aio_block_status(h, r->len, r->offset, extents, NBD_NULL_COMPLETION, LIBNBD_CMD_FLAG_REQ_ONE);
    }
}

/* perform - on one connection. 0, -errno, or -ENOTCONN when it is lost. */
static int perform(struct nbd_handle *h, Request *r)
{
    int64_t cookie = start(h, r);
    unsigned silent = 0;
    int done = 0, e;

    while (cookie >= 0 && (done = lib.nbd_aio_command_completed(h, (uint64_t)cookie)) == 0) {
        int n = lib.nbd_poll(h, HURRY_MS);

        silent = n == 0 ? silent + HURRY_MS : 0;
        if (n < 0 || silent >= SILENT_MS || (n == 0 && in_a_hurry())) {
            return -ENOTCONN;
        }
    }
    if (cookie >= 0 && done == 1) {
        return 0;
    }
    e = lib.nbd_get_errno();
    return lost(h) ? -ENOTCONN : e > 0 ? -e : -EIO;
}

/* carry_out - as often as the connection is lost, while there is patience; one that was lost before, unnoticed, does not
 * count. As with QEMU, it is the server's matter that what it took before it went is there when it is back. */
static int carry_out(NbdClient *c, Request *r)
{
    int64_t patience = now_ms() + (int64_t)c->address.reconnect_s * 1000;
    bool again = true, fresh;
    int ret;

    do {
        struct nbd_handle *h = take(c, patience, &fresh);

        if (h == NULL) {
            return -EIO;
        }
        ret = perform(h, r);
        give(c, h, ret != -ENOTCONN);
        again = ret == -ENOTCONN && (!fresh || now_ms() < patience) && !in_a_hurry();
    } while (again);
    return ret == -ENOTCONN ? -EIO : ret;
}

/* in_pieces - of what the server takes at a time. */
static int in_pieces(NbdClient *c, Request r, uint64_t max)
{
    uint64_t left = r.len;
    int ret = 0;

    while (left > 0 && ret == 0) {
        r.len = MIN(left, max);
        ret = carry_out(c, &r);
        r.offset += r.len;
        r.buf = r.buf != NULL ? (uint8_t *)r.buf + r.len : NULL;
        left -= r.len;
    }
    return ret;
}

static int client_read(RemoteFile *f, uint64_t offset, void *buf, size_t len)
{
    NbdClient *c = (NbdClient *)f;

    return in_pieces(c, (Request){ .op = OP_READ, .offset = offset, .len = len, .buf = buf }, c->payload);
}

static int client_write(RemoteFile *f, uint64_t offset, const void *buf, size_t len)
{
    NbdClient *c = (NbdClient *)f;

    return in_pieces(c, (Request){ .op = OP_WRITE, .offset = offset, .len = len, .buf = (void *)buf }, c->payload);
}

static int client_flush(RemoteFile *f)
{
    NbdClient *c = (NbdClient *)f;
    Request r = { .op = OP_FLUSH };

    return c->flush ? carry_out(c, &r) : 0; /* a server that has no flush writes at once ("NBD_FLAG_SEND_FLUSH") */
}

static int client_zero(RemoteFile *f, uint64_t offset, uint64_t len, bool unmap)
{
    NbdClient *c = (NbdClient *)f;

    return c->zero ? in_pieces(c, (Request){ .op = OP_ZERO, .offset = offset, .len = len, .keep = !unmap }, EXTENT_MAX)
                   : -ENOTSUP;
}

static int client_discard(RemoteFile *f, uint64_t offset, uint64_t len)
{
    NbdClient *c = (NbdClient *)f;

    return c->trim ? in_pieces(c, (Request){ .op = OP_TRIM, .offset = offset, .len = len }, EXTENT_MAX) : -ENOTSUP;
}

static uint64_t client_extent(RemoteFile *f, uint64_t offset, uint64_t len, bool *hole)
{
    NbdClient *c = (NbdClient *)f;
    Request r = { .op = OP_STATUS, .offset = offset, .len = MIN(len, (uint64_t)EXTENT_MAX) };

    *hole = false;
    if (!c->status || carry_out(c, &r) != 0 || r.alike == 0) {
        return len; /* it is read, then */
    }
    *hole = r.flags & NBD_STATE_ZERO;
    return MIN(len, r.alike);
}

static void client_close(RemoteFile *f)
{
    NbdClient *c = (NbdClient *)f;

    for (unsigned n = 0; n < c->idle_count; n++) {
        int64_t end = now_ms() + GOODBYE_MS;

        if (lib.nbd_aio_disconnect(c->idle[n], 0) == 0) {
            while (!lost(c->idle[n]) && now_ms() < end && lib.nbd_poll(c->idle[n], GOODBYE_MS) > 0) {
            }
        }
        lib.nbd_close(c->idle[n]);
    }
    nbd_address_free(&c->address);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->free_one);
    free(c);
}

static const RemoteOps ops = {
    .read = client_read, .write = client_write, .flush = client_flush, .zero = client_zero, .discard = client_discard,
    .extent = client_extent, .close = client_close,
};

/* learn - what the server said of the export. */
static bool learn(NbdClient *c, struct nbd_handle *h, Error **errp)
{
    int64_t size = lib.nbd_get_size(h), min = lib.nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
    int64_t max = lib.nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);

    min = MAX(min, 1);
    if (size < 0 || min > ALIGN_MAX || (min & (min - 1)) != 0 || size % min != 0) {
        error_set(errp, "the server's size (%lld) or block size (%lld) is not supported", (long long)size, (long long)min);
        return false;
    }
    c->file.size = (uint64_t)size;
    c->file.align = (uint32_t)min;
    c->payload = max >= ALIGN_MAX && max < NBD_PAYLOAD_MAX ? (uint32_t)max & ~(ALIGN_MAX - 1u) : NBD_PAYLOAD_MAX;
    c->zero = lib.nbd_can_zero(h) == 1;
    c->trim = lib.nbd_can_trim(h) == 1;
    c->flush = lib.nbd_can_flush(h) == 1;
    c->status = lib.nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    c->max = lib.nbd_can_multi_conn(h) == 1 ? CONNECTIONS : 1;
    return true;
}

RemoteFile *nbd_client_open(const char *name, bool *read_only, Error **errp)
{
    NbdClient *c = xnew(NbdClient);
    struct nbd_handle *h = NULL;
    Error *err = NULL;

    *c = (NbdClient){ .file = { .ops = &ops } };
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->free_one, NULL);
    if (!nbd_address_parse(&c->address, name, errp)) {
        client_close(&c->file);
        return NULL;
    }
    if (lib.nbd_create != NULL || library_load(&library, &lib, &err)) {
        h = connect_one(&c->address, &err);
    }
    if (h != NULL) {
        c->open = c->idle_count = 1;
        c->idle[0] = h;
        *read_only = lib.nbd_is_read_only(h) == 1;
    }
    if (h == NULL || !learn(c, h, &err)) {
        error_prepend(&err, "Could not open '%s': ", name);
        error_move(errp, err);
        client_close(&c->file);
        return NULL;
    }
    return &c->file;
}
#endif
