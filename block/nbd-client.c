/*
 * NBD client: see nbd-client.h. Its connections, and the requests on them.
 */
#include "block/nbd-client.h"

#include <config.h>

#ifdef CONFIG_LIBNBD
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "block/nbd-connection.h"
#include "block/nbd.h"

enum {
    CONNECTIONS = 4,
    IN_FLIGHT = 16,      /* commands on one */
    CONNECT_MS = 15000,  /* to connect, and to negotiate */
    ONE_MORE_MS = 1000,  /* the same where there is a connection already */
    RETRY_MS = 200,
    EXTENT_MAX = 1 << 30, /* bytes whose status is asked for at a time */
    ALIGN_MAX = 4096,     /* host-file.c's */
};

/* A place for a connection. */
typedef struct Slot {
    NbdConnection *k; /* NULL: none */
    unsigned users;   /* commands under way */
    bool making, lost; /* lost: it goes with its last user */
    int wake_fd;      /* constant */
} Slot;

typedef struct NbdClient {
    RemoteFile file; /* first member */
    NbdAddress address;
    /* constant once it is open */
    NbdAbout about;
    uint32_t payload; /* bytes of a request */
    unsigned max;     /* slots that are used */
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Slot slot[CONNECTIONS];
    unsigned failures; /* to connect */
    bool full;         /* the server would take no more connections */
} NbdClient;

/* ---- connections ---- */

/* choose - the connection with the fewest users, NULL if there is none; *free_one: a place for another, or NULL. Under the lock. */
static Slot *choose(NbdClient *c, Slot **free_one, bool *making)
{
    Slot *best = NULL;

    *free_one = NULL;
    *making = false;
    for (Slot *s = c->slot; s < c->slot + c->max; s++) {
        *making |= s->making;
        if (s->k == NULL && !s->making) {
            *free_one = s;
        } else if (s->k != NULL && !s->lost && s->users < IN_FLIGHT && (best == NULL || s->users < best->users)) {
            best = s;
        }
    }
    return best;
}

/* make - a connection at @s; @others: there are some, so none is needed. Under the lock, which is not held meanwhile. */
static bool make(NbdClient *c, Slot *s, bool others, int64_t patience)
{
    int ms = others ? ONE_MORE_MS : CONNECT_MS;
    NbdConnection *k;

    s->making = true;
    pthread_mutex_unlock(&c->lock);
    while ((k = nbd_connection_open(&c->address, s->wake_fd, ms, NULL)) == NULL && !others &&
           clock_now(CLK_REAL) < patience && !nbd_hurried()) {
        poll(NULL, 0, RETRY_MS);
    }
    pthread_mutex_lock(&c->lock);
    s->making = false;
    s->k = k;
    c->full |= k == NULL && others;
    c->failures += k == NULL && !others;
    pthread_cond_broadcast(&c->changed);
    return k != NULL;
}

/* take - a connection for one command; *fresh: it was made only now. NULL: the server is gone, or was not back at @patience. */
static Slot *take(NbdClient *c, int64_t patience, bool *fresh)
{
    Slot *s, *place;
    unsigned before;
    bool gone = false, making;

    *fresh = false;
    pthread_mutex_lock(&c->lock);
    before = c->failures;
    while ((s = choose(c, &place, &making)) == NULL && !gone) {
        *fresh |= making || place != NULL;
        if (place != NULL && !making) {
            gone = !make(c, place, false, patience);
        } else {
            pthread_cond_wait(&c->changed, &c->lock);
            gone = c->failures != before && (clock_now(CLK_REAL) >= patience || nbd_hurried());
        }
    }
    if (s != NULL && s->users > 0 && place != NULL && !making && !c->full && make(c, place, true, patience)) {
        s = place;
    }
    if (s != NULL) {
        s->users++;
    }
    pthread_mutex_unlock(&c->lock);
    return s;
}

/* give - back; one that is lost is closed when nobody is on it any more. */
static void give(NbdClient *c, Slot *s, bool usable)
{
    NbdConnection *dead = NULL;

    pthread_mutex_lock(&c->lock);
    s->lost |= !usable;
    if (--s->users == 0 && s->lost) {
        dead = s->k;
        s->k = NULL;
        s->lost = false;
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    if (dead != NULL) {
        nbd_connection_close(dead);
    }
}

/* ---- requests ---- */

/* carry_out - as often as the connection is lost, while there is patience; one that was there before, and perhaps was lost
 * unnoticed, does not count once. As with QEMU, it is the server's matter that what it took before it went is there when it is
 * back. */
static int carry_out(NbdClient *c, NbdCommand *command)
{
    int64_t patience = clock_now(CLK_REAL) + (int64_t)c->address.reconnect_s * NS_PER_SEC;
    bool first = true, again = true, fresh;
    int ret;

    do {
        Slot *s = take(c, patience, &fresh);

        if (s == NULL) {
            return -EIO;
        }
        ret = nbd_connection_run(s->k, command);
        give(c, s, ret != -ENOTCONN);
        again = ret == -ENOTCONN && ((first && !fresh) || clock_now(CLK_REAL) < patience) && !nbd_hurried();
        first = false;
    } while (again);
    return ret == -ENOTCONN ? -EIO : ret;
}

/* in_pieces - of what the server takes at a time. */
static int in_pieces(NbdClient *c, NbdCommand r, uint64_t max)
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

    return in_pieces(c, (NbdCommand){ .op = NBD_DO_READ, .offset = offset, .len = len, .buf = buf }, c->payload);
}

static int client_write(RemoteFile *f, uint64_t offset, const void *buf, size_t len)
{
    NbdClient *c = (NbdClient *)f;

    return in_pieces(c, (NbdCommand){ .op = NBD_DO_WRITE, .offset = offset, .len = len, .buf = (void *)buf }, c->payload);
}

static int client_flush(RemoteFile *f)
{
    NbdClient *c = (NbdClient *)f;
    NbdCommand r = { .op = NBD_DO_FLUSH };

    return c->about.flush ? carry_out(c, &r) : 0; /* a server that has no flush writes at once ("NBD_FLAG_SEND_FLUSH") */
}

static int client_zero(RemoteFile *f, uint64_t offset, uint64_t len, bool unmap)
{
    NbdClient *c = (NbdClient *)f;

    return c->about.zero ? in_pieces(c, (NbdCommand){ .op = NBD_DO_ZERO, .offset = offset, .len = len, .keep = !unmap }, EXTENT_MAX)
                   : -ENOTSUP;
}

static int client_discard(RemoteFile *f, uint64_t offset, uint64_t len)
{
    NbdClient *c = (NbdClient *)f;

    return c->about.trim ? in_pieces(c, (NbdCommand){ .op = NBD_DO_TRIM, .offset = offset, .len = len }, EXTENT_MAX) : -ENOTSUP;
}

static uint64_t client_extent(RemoteFile *f, uint64_t offset, uint64_t len, bool *hole)
{
    NbdClient *c = (NbdClient *)f;
    NbdCommand r = { .op = NBD_DO_STATUS, .offset = offset, .len = MIN(len, (uint64_t)EXTENT_MAX) };

    *hole = false;
    if (!c->about.status || carry_out(c, &r) != 0 || r.alike == 0) {
        return len; /* it is read, then */
    }
    *hole = r.flags & NBD_STATE_ZERO;
    return MIN(len, r.alike);
}

static void client_close(RemoteFile *f)
{
    NbdClient *c = (NbdClient *)f;

    for (Slot *s = c->slot; s < c->slot + CONNECTIONS; s++) {
        if (s->k != NULL) {
            nbd_connection_close(s->k);
        }
        if (s->wake_fd >= 0) {
            close(s->wake_fd);
        }
    }
    nbd_address_free(&c->address);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c);
}

static const RemoteOps ops = {
    .read = client_read, .write = client_write, .flush = client_flush, .zero = client_zero, .discard = client_discard,
    .extent = client_extent, .close = client_close,
};

/* learn - what the server said of the export. */
static bool learn(NbdClient *c, Error **errp)
{
    NbdAbout *a = &c->about;
    int64_t min;

    nbd_connection_about(c->slot[0].k, a);
    min = MAX(a->min, 1);
    if (a->size < 0 || min > ALIGN_MAX || (min & (min - 1)) != 0 || a->size % min != 0) {
        error_set(errp, "the server's size (%lld) or block size (%lld) is not supported", (long long)a->size, (long long)min);
        return false;
    }
    c->file.size = (uint64_t)a->size;
    c->file.align = (uint32_t)min;
    c->payload = a->max >= ALIGN_MAX && a->max < NBD_PAYLOAD_MAX ? (uint32_t)a->max & ~(ALIGN_MAX - 1u) : NBD_PAYLOAD_MAX;
    c->max = a->shared ? CONNECTIONS : 1;
    return true;
}

/* prepare - what connections need, made where the sandbox lets one: they come and go on threads of disks. */
static bool prepare(NbdClient *c, Error **errp)
{
    for (Slot *s = c->slot; s < c->slot + CONNECTIONS; s++) {
        s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (s->wake_fd < 0) {
            error_set_errno(errp, errno, "eventfd");
            return false;
        }
    }
    return true;
}

RemoteFile *nbd_client_open(const char *name, bool *read_only, Error **errp)
{
    NbdClient *c = xnew(NbdClient);
    Error *err = NULL;

    *c = (NbdClient){ .file = { .ops = &ops } };
    for (Slot *s = c->slot; s < c->slot + CONNECTIONS; s++) {
        s->wake_fd = -1;
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (!nbd_address_parse(&c->address, name, errp)) {
        client_close(&c->file);
        return NULL;
    }
    if (prepare(c, &err)) {
        c->slot[0].k = nbd_connection_open(&c->address, c->slot[0].wake_fd, CONNECT_MS, &err);
    }
    if (c->slot[0].k == NULL || !learn(c, &err)) {
        error_prepend(&err, "Could not open '%s': ", name);
        error_move(errp, err);
        client_close(&c->file);
        return NULL;
    }
    *read_only = c->about.read_only;
    return &c->file;
}
#endif
