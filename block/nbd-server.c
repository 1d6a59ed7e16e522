/*
 * NBD server: exports, and the clients at a socket. See nbd-server.h.
 */
#include "block/nbd-link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/nbd.h"

enum {
    HANDSHAKE_MS = 10000, /* a client that has no export by then goes */
    CLIENTS_MAX = 256,    /* where no number is given */
    RETRY_MS = 100,       /* after accept() had no descriptor left */
    BACKLOG = 64,
};

typedef struct Client {
    NbdServer *server;
    int fd;
    int64_t deadline; /* ms; 0: none. Its own threads only */
    bool done;        /* atomic: its thread is about to end */
    pthread_t thread;
    struct Client *next;
} Client;

struct NbdServer {
    NbdServerParams p;
    pthread_mutex_t lock; /* of `exports`, `users` and `links`; cut() is called under it */
    NbdExport *exports;
    unsigned users;   /* clients that have an export */
    NbdLink *links;   /* they */
    int listen_fd, wake_fd;
    pthread_t thread; /* accepts; the rest is its own */
    bool stopping;    /* atomic */
    Client *clients;
    unsigned count;
};

/* ---- exports ---- */

NbdServer *nbd_server_new(const NbdServerParams *p)
{
    NbdServer *s = xnew(NbdServer);

    *s = (NbdServer){ .p = *p, .listen_fd = -1, .wake_fd = -1 };
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static NbdExport *find_locked(NbdServer *s, const uint8_t *name, size_t len)
{
    NbdExport *e = s->exports;

    while (e != NULL && (strlen(e->name) != len || memcmp(e->name, name, len) != 0)) {
        e = e->next;
    }
    return e;
}

NbdExport *nbd_export_find(NbdServer *s, const uint8_t *name, size_t len)
{
    NbdExport *e;

    pthread_mutex_lock(&s->lock);
    e = find_locked(s, name, len);
    if (e != NULL) {
        __atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

NbdExport **nbd_exports(NbdServer *s, unsigned *count)
{
    NbdExport **all;
    unsigned n = 0;

    pthread_mutex_lock(&s->lock);
    for (NbdExport *e = s->exports; e != NULL; e = e->next) {
        n++;
    }
    all = xnewn(NbdExport *, n + 1);
    n = 0;
    for (NbdExport *e = s->exports; e != NULL; e = e->next) {
        __atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
        all[n++] = e;
    }
    pthread_mutex_unlock(&s->lock);
    *count = n;
    return all;
}

void nbd_export_unref(NbdExport *e)
{
    if (e != NULL && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        image_unref(e->img);
        free(e->name);
        free(e->description);
        free(e);
    }
}

bool nbd_server_add(NbdServer *s, const NbdExportParams *p, BlockImage *img, Error **errp)
{
    NbdExport *e, **end = &s->exports;

    if (strlen(p->name) > NBD_STRING_MAX || (p->description != NULL && strlen(p->description) > NBD_STRING_MAX)) {
        error_set(errp, "export name or description is longer than %d bytes", NBD_STRING_MAX);
        return false;
    }
    if (p->offset > img->size) {
        error_set(errp, "Offset (%llu) has to be smaller than the image size (%llu)", (unsigned long long)p->offset,
                  (unsigned long long)img->size);
        return false;
    }
    pthread_mutex_lock(&s->lock);
    if (find_locked(s, (const uint8_t *)p->name, strlen(p->name)) != NULL) {
        pthread_mutex_unlock(&s->lock);
        error_set(errp, "NBD server already has export named '%s'", p->name);
        return false;
    }
    e = xnew(NbdExport);
    *e = (NbdExport){ .refs = 1, .name = xstrdup(p->name), .description = xstrdup(p->description), .img = image_ref(img),
                      .offset = p->offset, .size = img->size - p->offset, .read_only = p->read_only || img->read_only,
                      .shared = p->shared, .discard = p->discard, .depth = p->depth, .detect_zeroes = p->detect_zeroes };
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = e;
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* ---- a client's bytes ---- */

bool nbd_recv(NbdLink *l, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = l->stream.recv(l->stream.opaque, p, len);

        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

bool nbd_skip(NbdLink *l, uint64_t len)
{
    uint8_t buf[16384];
    bool ok = true;

    while (len > 0 && ok) {
        size_t n = MIN(len, sizeof(buf));

        ok = nbd_recv(l, buf, n);
        len -= n;
    }
    return ok;
}

bool nbd_send(NbdLink *l, const void *head, size_t head_len, const void *data, size_t len)
{
    struct iovec iov[2] = { { (void *)head, head_len }, { (void *)data, len } };
    int r;

    pthread_mutex_lock(&l->send_lock);
    r = l->stream.send(l->stream.opaque, iov, len > 0 ? 2 : 1);
    pthread_mutex_unlock(&l->send_lock);
    if (r != 0) {
        l->stream.cut(l->stream.opaque); /* who waits for the next request waits no more */
    }
    return r == 0;
}

/* enlist - a client that has an export now. delist - it has left. */
static void enlist(NbdServer *s, NbdLink *l)
{
    pthread_mutex_lock(&s->lock);
    s->users++;
    l->next = s->links;
    s->links = l;
    if (l->exp->removed) { /* meanwhile */
        l->stream.cut(l->stream.opaque);
    }
    pthread_mutex_unlock(&s->lock);
}

static void delist(NbdServer *s, NbdLink *l)
{
    NbdLink **p = &s->links;

    pthread_mutex_lock(&s->lock);
    while (*p != l) {
        p = &(*p)->next;
    }
    *p = l->next;
    s->users--;
    pthread_mutex_unlock(&s->lock);
}

bool nbd_serve(NbdServer *s, const NbdStream *stream, unsigned threads)
{
    NbdLink l = { .server = s, .stream = *stream, .threads_max = MAX(1, MIN(threads, (unsigned)NBD_THREADS_MAX)) };
    bool ok;

    pthread_mutex_init(&l.turn, NULL);
    pthread_mutex_init(&l.send_lock, NULL);
    pthread_mutex_init(&l.lock, NULL);
    pthread_cond_init(&l.room, NULL);
    nbd_prepare(&l);
    ok = nbd_negotiate(&l);
    if (ok) {
        enlist(s, &l);
        if (stream->negotiated != NULL) {
            stream->negotiated(stream->opaque);
        }
    }
    nbd_transmit(&l, ok);
    if (ok) {
        delist(s, &l);
    }
    nbd_export_unref(l.exp);
    pthread_mutex_destroy(&l.turn);
    pthread_mutex_destroy(&l.send_lock);
    pthread_mutex_destroy(&l.lock);
    pthread_cond_destroy(&l.room);
    return ok;
}

bool nbd_server_remove(NbdServer *s, const char *name, bool force, Error **errp)
{
    NbdExport **p = &s->exports, *e;
    bool used = false;

    pthread_mutex_lock(&s->lock);
    while ((e = *p) != NULL && strcmp(e->name, name) != 0) {
        p = &e->next;
    }
    for (NbdLink *l = s->links; e != NULL && l != NULL; l = l->next) {
        used |= l->exp == e;
        if (l->exp == e && force) {
            l->stream.cut(l->stream.opaque);
        }
    }
    if (e != NULL && (force || !used)) {
        *p = e->next;
        e->removed = true;
    }
    pthread_mutex_unlock(&s->lock);
    if (e == NULL || (used && !force)) {
        error_set(errp, e == NULL ? "Export '%s' is not found" : "export '%s' still in use", name);
        return false;
    }
    nbd_export_unref(e);
    return true;
}

/* ---- sockets ---- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static ssize_t client_recv(void *opaque, void *buf, size_t len)
{
    Client *c = opaque;
    ssize_t n;

    if (c->deadline != 0) {
        struct pollfd p = { .fd = c->fd, .events = POLLIN };
        int64_t left = c->deadline - now_ms();

        if (left <= 0 || poll(&p, 1, (int)left) == 0) {
            return -ETIMEDOUT;
        }
    }
    do {
        n = recv(c->fd, buf, len, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* may_send - before a client has an export, it has to take what it is sent in time. */
static bool may_send(const Client *c)
{
    struct pollfd p = { .fd = c->fd, .events = POLLOUT };
    int64_t left = c->deadline != 0 ? c->deadline - now_ms() : 0;

    return c->deadline == 0 || (left > 0 && poll(&p, 1, (int)left) > 0);
}

static int client_send(void *opaque, struct iovec *iov, unsigned count)
{
    const Client *c = opaque;

    while (count > 0) {
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = count };
        ssize_t n = may_send(c) ? sendmsg(c->fd, &m, MSG_NOSIGNAL | (c->deadline != 0 ? MSG_DONTWAIT : 0)) : -ETIMEDOUT;

        if (n == -ETIMEDOUT || (n < 0 && errno != EINTR && errno != EAGAIN)) {
            return n == -ETIMEDOUT ? -ETIMEDOUT : -errno;
        }
        for (size_t done = n < 0 ? 0 : (size_t)n; count > 0 && done >= iov->iov_len; count--, iov++) {
            done -= iov->iov_len;
            n = (ssize_t)done;
        }
        if (count > 0 && n > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static void client_negotiated(void *opaque)
{
    Client *c = opaque;

    c->deadline = 0;
}

static void client_cut(void *opaque)
{
    const Client *c = opaque;

    shutdown(c->fd, SHUT_RDWR);
}

static void wake(const NbdServer *s)
{
    uint64_t one = 1;

    if (write(s->wake_fd, &one, sizeof(one)) < 0) {
        return; /* it is full: it was woken */
    }
}

static void *client_thread(void *opaque)
{
    Client *c = opaque;
    NbdServer *s = c->server;
    const NbdStream stream = { client_recv, client_send, client_negotiated, client_cut, c };
    bool had = nbd_serve(s, &stream, NBD_THREADS_MAX);
    unsigned left;

    client_cut(c);
    if (s->p.verbose) {
        report(had ? "a client has left" : "a client has left without an export");
    }
    pthread_mutex_lock(&s->lock);
    left = s->users;
    pthread_mutex_unlock(&s->lock);
    if (had && s->p.gone != NULL) {
        s->p.gone(s->p.opaque, left);
    }
    __atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
    wake(s);
    return NULL;
}

/* welcome - a client that was accepted. */
static void welcome(NbdServer *s, int fd)
{
    Client *c = xnew(Client);
    int one = 1;

    *c = (Client){ .server = s, .fd = fd, .deadline = now_ms() + HANDSHAKE_MS, .next = s->clients };
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* a unix socket knows neither */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    if (pthread_create(&c->thread, NULL, client_thread, c) != 0) {
        close(fd);
        free(c);
        return;
    }
    s->clients = c;
    s->count++;
    if (s->p.verbose) {
        report("a client has come");
    }
}

/* sweep - those that have left; with @all, all: they are cut off before. */
static void sweep(NbdServer *s, bool all)
{
    for (Client *c = s->clients; all && c != NULL; c = c->next) {
        client_cut(c);
    }
    for (Client **p = &s->clients, *c; (c = *p) != NULL;) {
        if (all || __atomic_load_n(&c->done, __ATOMIC_ACQUIRE)) {
            *p = c->next;
            pthread_join(c->thread, NULL);
            close(c->fd);
            free(c);
            s->count--;
        } else {
            p = &c->next;
        }
    }
}

static void *accept_clients(void *opaque)
{
    NbdServer *s = opaque;
    unsigned max = s->p.max_clients != 0 ? s->p.max_clients : CLIENTS_MAX;
    bool rest = false;

    while (!__atomic_load_n(&s->stopping, __ATOMIC_ACQUIRE)) {
        struct pollfd p[2] = { { .fd = s->wake_fd, .events = POLLIN }, { .fd = s->listen_fd, .events = POLLIN } };
        uint64_t v;
        int fd;

        if (poll(p, s->count < max && !rest ? 2 : 1, rest ? RETRY_MS : -1) < 0 && errno != EINTR) {
            break;
        }
        rest = false;
        if ((p[0].revents & POLLIN) && read(s->wake_fd, &v, sizeof(v)) < 0) {
            continue;
        }
        sweep(s, false);
        if (p[1].revents & POLLIN) {
            fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
            rest = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
            if (fd >= 0) {
                welcome(s, fd);
            }
        }
    }
    sweep(s, true);
    return NULL;
}

int nbd_server_listen(NbdServer *s, int fd)
{
    int r = 0;

    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake_fd < 0 || listen(fd, BACKLOG) != 0) {
        r = -errno;
    } else {
        s->listen_fd = fd;
        r = -pthread_create(&s->thread, NULL, accept_clients, s);
    }
    if (r != 0) {
        s->listen_fd = -1;
        close(fd);
    }
    return r;
}

void nbd_server_free(NbdServer *s)
{
    if (s == NULL) {
        return;
    }
    if (s->listen_fd >= 0) {
        __atomic_store_n(&s->stopping, true, __ATOMIC_RELEASE);
        wake(s);
        pthread_join(s->thread, NULL);
        close(s->listen_fd);
    }
    if (s->wake_fd >= 0) {
        close(s->wake_fd);
    }
    for (NbdExport *e; (e = s->exports) != NULL;) {
        s->exports = e->next;
        nbd_export_unref(e);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}
