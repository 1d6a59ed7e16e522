/*
 * A connection of the NBD client: see nbd-connection.h.
 */
#include "block/nbd-connection.h"

#include <config.h>

#ifdef CONFIG_LIBNBD
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/library.h"
#include "base/mem.h"

enum {
    SILENT_MS = 120000, /* a server that says nothing for so long is lost */
    HURRY_MS = 2000,    /* the same while the program ends */
    GOODBYE_MS = 500,
};

#define NBD_LIBRARY(F)                                                                             \
    F(nbd_create) F(nbd_close) F(nbd_get_error) F(nbd_get_errno) F(nbd_set_export_name)            \
    F(nbd_add_meta_context) F(nbd_can_meta_context) F(nbd_can_multi_conn) F(nbd_can_zero)          \
    F(nbd_can_trim) F(nbd_can_flush) F(nbd_is_read_only) F(nbd_get_size) F(nbd_get_block_size)     \
    F(nbd_poll) F(nbd_aio_connect_socket) F(nbd_aio_is_ready) F(nbd_aio_is_dead)                   \
    F(nbd_aio_is_closed) F(nbd_aio_disconnect) F(nbd_aio_command_completed)                        \
    F(nbd_aio_peek_command_completed) F(nbd_aio_get_fd) F(nbd_aio_get_direction)                   \
    F(nbd_aio_notify_read) F(nbd_aio_notify_write) F(nbd_aio_pread) F(nbd_aio_pwrite)              \
    F(nbd_aio_flush) F(nbd_aio_trim) F(nbd_aio_zero) F(nbd_aio_block_status)

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

/* Who waits for a command. */
typedef struct Waiter {
    NbdCommand *c;
    uint64_t cookie; /* the library's name of it */
    bool done;
    int result;
    pthread_cond_t woken;
    struct Waiter *next;
} Waiter;

struct NbdConnection {
    int wake_fd; /* the driver shall poll for other things than it does */
    /* under `lock` */
    pthread_mutex_t lock;
    struct nbd_handle *h;
    Waiter *waiters;
    bool driven, lost;
    short polled;   /* what the driver polls for */
    int64_t heard; /* CLK_REAL when something came or went */
};

static bool hurried; /* atomic */

void nbd_clients_hurry(void)
{
    __atomic_store_n(&hurried, true, __ATOMIC_RELAXED);
}

bool nbd_hurried(void)
{
    return __atomic_load_n(&hurried, __ATOMIC_RELAXED);
}

static bool is_lost(struct nbd_handle *h)
{
    return lib.nbd_aio_is_dead(h) != 0 || lib.nbd_aio_is_closed(h) != 0;
}

/* ---- there and away ---- */

/* wait_connected - for one that is under way. */
static bool wait_connected(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    return poll(&p, 1, ms) == 1 && !(p.revents & (POLLERR | POLLHUP));
}

/* negotiate - on @fd, which is @h's from now on. */
static bool negotiate(struct nbd_handle *h, const NbdAddress *a, int fd, int ms, Error **errp)
{
    int64_t end = clock_now(CLK_REAL) + ms * NS_PER_MS;

    if (lib.nbd_set_export_name(h, a->export_name) != 0 || lib.nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        lib.nbd_aio_connect_socket(h, fd) != 0) {
        error_set(errp, "%s", lib.nbd_get_error());
        return false;
    }
    while (lib.nbd_aio_is_ready(h) == 0 && !is_lost(h)) {
        int64_t left = (end - clock_now(CLK_REAL)) / NS_PER_MS;

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

NbdConnection *nbd_connection_open(const NbdAddress *a, int wake_fd, int ms, Error **errp)
{
    NbdConnection *k;
    struct nbd_handle *h;
    bool pending;
    int fd;

    if (lib.nbd_create == NULL && !library_load(&library, &lib, errp)) {
        return NULL;
    }
    fd = addr_connect(&a->addr, a->addr.path == NULL, &pending, errp);
    if (fd < 0) {
        return NULL;
    }
    if (pending && !wait_connected(fd, ms)) {
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
    if (!negotiate(h, a, fd, ms, errp)) {
        lib.nbd_close(h);
        return NULL;
    }
    k = xnew(NbdConnection);
    *k = (NbdConnection){ .wake_fd = wake_fd, .h = h };
    pthread_mutex_init(&k->lock, NULL);
    return k;
}

void nbd_connection_about(NbdConnection *k, NbdAbout *about)
{
    struct nbd_handle *h = k->h;

    *about = (NbdAbout){
        .size = lib.nbd_get_size(h), .min = lib.nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM),
        .max = lib.nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM), .read_only = lib.nbd_is_read_only(h) == 1,
        .zero = lib.nbd_can_zero(h) == 1, .trim = lib.nbd_can_trim(h) == 1, .flush = lib.nbd_can_flush(h) == 1,
        .status = lib.nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1, .shared = lib.nbd_can_multi_conn(h) == 1,
    };
}

void nbd_connection_close(NbdConnection *k)
{
    int64_t end = clock_now(CLK_REAL) + GOODBYE_MS * NS_PER_MS;

    if (!k->lost && lib.nbd_aio_disconnect(k->h, 0) == 0) {
        while (!is_lost(k->h) && clock_now(CLK_REAL) < end && lib.nbd_poll(k->h, GOODBYE_MS) > 0) {
        }
    }
    lib.nbd_close(k->h);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

/* ---- commands ---- */

/* on_extents - the first that is told is enough. */
static int on_extents(void *opaque, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
    NbdCommand *c = opaque;

    if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 && offset == c->offset && count >= 2) {
        c->alike = entries[0];
        c->flags = entries[1];
    }
    return 0;
}

static int64_t issue(struct nbd_handle *h, NbdCommand *c)
{
    const nbd_extent_callback extents = { .callback = on_extents, .user_data = c };

    switch (c->op) {
    case NBD_DO_READ: return lib.nbd_aio_pread(h, c->buf, c->len, c->offset, NBD_NULL_COMPLETION, 0);
    case NBD_DO_WRITE: return lib.nbd_aio_pwrite(h, c->buf, c->len, c->offset, NBD_NULL_COMPLETION, 0);
    case NBD_DO_FLUSH: return lib.nbd_aio_flush(h, NBD_NULL_COMPLETION, 0);
    case NBD_DO_TRIM: return lib.nbd_aio_trim(h, c->len, c->offset, NBD_NULL_COMPLETION, 0);
    case NBD_DO_ZERO:
        return lib.nbd_aio_zero(h, c->len, c->offset, NBD_NULL_COMPLETION, c->keep ? LIBNBD_CMD_FLAG_NO_HOLE : 0);
    default:
        return lib.nbd_aio_block_status(h, c->len, c->offset, extents, NBD_NULL_COMPLETION, LIBNBD_CMD_FLAG_REQ_ONE);
    }
}

/* All below: under the lock. */

static short wanted(const NbdConnection *k)
{
    unsigned d = lib.nbd_aio_get_direction(k->h);

    return (short)((d & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) | (d & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
}

/* lose - all who wait are told. The library is not called again but to close it: their buffers are theirs. */
static void lose(NbdConnection *k)
{
    k->lost = true;
    for (Waiter *w = k->waiters; w != NULL; w = w->next) {
        pthread_cond_signal(&w->woken);
    }
}

/* retire - what has come to an end; whoever waits for it is woken. */
static void retire(NbdConnection *k)
{
    int64_t cookie;

    while ((cookie = lib.nbd_aio_peek_command_completed(k->h)) > 0) {
        Waiter *w = k->waiters;
        int r = lib.nbd_aio_command_completed(k->h, (uint64_t)cookie), e = r < 0 ? lib.nbd_get_errno() : 0;

        while (w != NULL && w->cookie != (uint64_t)cookie) {
            w = w->next;
        }
        if (w != NULL) {
            w->result = r >= 0 ? 0 : e > 0 ? -e : -EIO;
            w->done = true;
            pthread_cond_signal(&w->woken);
        }
    }
}

/* drive - until something happens at the socket, or another shall be polled for; the lock is not held meanwhile. */
static void drive(NbdConnection *k)
{
    struct pollfd p[2] = { { .fd = lib.nbd_aio_get_fd(k->h), .events = wanted(k) }, { .fd = k->wake_fd, .events = POLLIN } };
    int n, r = 0;
    short now;

    k->polled = p[0].events;
    pthread_mutex_unlock(&k->lock);
    n = poll(p, 2, HURRY_MS);
    pthread_mutex_lock(&k->lock);
    if (p[1].revents != 0) {
        uint64_t v;

        r = read(k->wake_fd, &v, sizeof(v)) < 0 && errno != EAGAIN ? -1 : 0;
    }
    now = wanted(k); /* others may have issued commands */
    if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && (now & POLLIN)) {
        r = lib.nbd_aio_notify_read(k->h);
    } else if ((p[0].revents & (POLLOUT | POLLHUP | POLLERR)) && (now & POLLOUT)) {
        r = lib.nbd_aio_notify_write(k->h);
    }
    k->heard = n != 0 ? clock_now(CLK_REAL) : k->heard;
    retire(k);
    if (r < 0 || is_lost(k->h) || (n < 0 && errno != EINTR) || clock_now(CLK_REAL) - k->heard > SILENT_MS * NS_PER_MS ||
        (n == 0 && nbd_hurried())) {
        lose(k);
    }
}

/* enter - issue it. 0 or -errno. */
static int enter(NbdConnection *k, Waiter *w)
{
    int64_t cookie;
    int e;

    k->heard = k->waiters == NULL ? clock_now(CLK_REAL) : k->heard;
    cookie = issue(k->h, w->c);
    e = cookie < 0 ? lib.nbd_get_errno() : 0;
    if (is_lost(k->h)) {
        lose(k);
        return -ENOTCONN;
    }
    if (cookie < 0) {
        return e > 0 ? -e : -EIO;
    }
    w->cookie = (uint64_t)cookie;
    w->next = k->waiters;
    k->waiters = w;
    if (k->driven && (wanted(k) & ~k->polled)) {
        eventfd_write(k->wake_fd, 1);
    }
    return 0;
}

/* leave - and if it drove, another does from now on: the newest, whose answer is likely to come last. */
static void leave(NbdConnection *k, const Waiter *mine)
{
    Waiter **p = &k->waiters, *w;

    while (*p != mine) {
        p = &(*p)->next;
    }
    *p = mine->next;
    for (w = k->waiters; w != NULL && w->done; w = w->next) {
    }
    if (!k->driven && w != NULL) {
        pthread_cond_signal(&w->woken);
    }
}

int nbd_connection_run(NbdConnection *k, NbdCommand *c)
{
    Waiter w = { .c = c, .woken = PTHREAD_COND_INITIALIZER };
    int r;

    pthread_mutex_lock(&k->lock);
    r = k->lost ? -ENOTCONN : enter(k, &w);
    if (r == 0) {
        while (!w.done && !k->lost) {
            if (k->driven) {
                pthread_cond_wait(&w.woken, &k->lock);
            } else {
                k->driven = true;
                drive(k);
                k->driven = false;
            }
        }
        leave(k, &w);
        r = w.done && !(k->lost && w.result != 0) ? w.result : -ENOTCONN;
    }
    pthread_mutex_unlock(&k->lock);
    pthread_cond_destroy(&w.woken);
    return r;
}
#endif
