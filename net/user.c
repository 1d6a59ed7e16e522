/*
 * -netdev user: a network behind the host's sockets, by libslirp. DHCP, DNS, TFTP, and TCP, UDP and ping into
 * the world, without any privilege.
 *
 * libslirp knows one thread: all calls are on the loop thread, without the machine lock. What the guest sends
 * waits in `in` for a posted call; what libslirp sends goes to the port under the lock. Its descriptors are in an
 * epoll set of their own, which is one descriptor of the loop's; its times are of CLK_VIRTUAL.
 *
 * Sources: libslirp.h of libslirp 4.7.
 */
#include "net/backend.h"

#include <config.h>
#include "base/sandbox.h"
#include "base/error.h"
#ifdef CONFIG_SLIRP
#include "net/user.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/library.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "chardev/chardev.h"

enum { IN_FRAMES = 512 };

SlirpLibrary slirp_lib;

static const LibrarySymbol symbols[] = {
#define SYMBOL(name) { #name, offsetof(SlirpLibrary, name) },
    SLIRP_LIBRARY(SYMBOL)
#undef SYMBOL
};

static const Library library = {
    .file = "libslirp.so.0",
    .what = "a user network",
    .package = "libslirp0",
    .symbols = symbols,
    .count = ARRAY_SIZE(symbols),
};

typedef struct InFrame {
    struct InFrame *next;
    size_t len;
    uint8_t data[];
} InFrame;

typedef struct User User;

/* One of guestfwd=, while it is there. */
typedef struct UserGuest {
    User *u;
    GuestForward fwd;
    Chardev *chr;
} UserGuest;

struct User {
    NetBackend b; /* first member */
    /* loop thread */
    Slirp *slirp;
    SlirpConfig cfg; /* numbers only */
    int epoll;
    struct pollfd *fds; /* what libslirp waits for */
    int *polled;        /* descriptors in the epoll set, in the order of fds */
    unsigned fd_count, fd_cap, polled_count;
    short *polled_events;
    UserGuest *guests;
    unsigned guest_count;
    bool closed;
    Timer wake;
    struct {
        Timer t;
        User *u;
        void *arg;
        bool due; /* atomic */
    } timers[SLIRP_TIMER_NUM];
    /* under the machine lock */
    InFrame *in, **in_tail;
    unsigned in_count;
    bool posted; /* atomic */
};

bool slirp_library_load(Error **errp)
{
    return slirp_lib.slirp_new != NULL || library_load(&library, &slirp_lib, errp);
}

bool net_user_available(void)
{
    return slirp_library_load(NULL);
}

/* ---- running it ---- */

static void serve_posted(void *opaque);

static void kick(User *u)
{
    if (!__atomic_exchange_n(&u->posted, true, __ATOMIC_ACQ_REL)) {
        loop_post(serve_posted, u);
    }
}

static int add_poll(int fd, int events, void *opaque)
{
    User *u = opaque;
    struct pollfd *p;

    if (u->fd_count == u->fd_cap) {
        u->fd_cap = MAX(16, u->fd_cap * 2);
        u->fds = xrealloc(u->fds, u->fd_cap, sizeof(*u->fds));
        u->polled = xrealloc(u->polled, u->fd_cap, sizeof(*u->polled));
        u->polled_events = xrealloc(u->polled_events, u->fd_cap, sizeof(*u->polled_events));
    }
    p = &u->fds[u->fd_count];
    p->fd = fd;
    p->events = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                        (events & SLIRP_POLL_PRI ? POLLPRI : 0));
    p->revents = 0;
    return (int)u->fd_count++;
}

static int get_revents(int n, void *opaque)
{
    User *u = opaque;
    int r = n >= 0 && (unsigned)n < u->fd_count ? u->fds[n].revents : 0;

    return (r & POLLIN ? SLIRP_POLL_IN : 0) | (r & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (r & POLLPRI ? SLIRP_POLL_PRI : 0) | (r & POLLERR ? SLIRP_POLL_ERR : 0) |
           (r & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* unwatch_from - the descriptors from index @n on leave the epoll set. */
static void unwatch_from(User *u, unsigned n)
{
    for (unsigned k = n; k < u->polled_count; k++) {
        epoll_ctl(u->epoll, EPOLL_CTL_DEL, u->polled[k], NULL);
    }
    u->polled_count = MIN(u->polled_count, n);
}

/* watch_fds - the epoll set becomes what `fds` says. */
static void watch_fds(User *u)
{
    unsigned n;

    for (n = 0; n < u->fd_count; n++) {
        struct epoll_event ev = { .data.fd = u->fds[n].fd };
        short e = u->fds[n].events;

        if (n < u->polled_count && u->polled[n] == u->fds[n].fd && u->polled_events[n] == e) {
            continue;
        }
        if (n < u->polled_count && u->polled[n] != u->fds[n].fd) {
            unwatch_from(u, n); /* the order has changed */
        }
        ev.events = (e & POLLIN ? EPOLLIN : 0u) | (e & POLLOUT ? EPOLLOUT : 0u) | (e & POLLPRI ? EPOLLPRI : 0u);
        if (epoll_ctl(u->epoll, EPOLL_CTL_MOD, ev.data.fd, &ev) < 0) {
            epoll_ctl(u->epoll, EPOLL_CTL_ADD, ev.data.fd, &ev);
        }
        u->polled[n] = ev.data.fd;
        u->polled_events[n] = e;
        u->polled_count = MAX(u->polled_count, n + 1);
    }
    unwatch_from(u, n);
}

static void fill(User *u)
{
    uint32_t ms = UINT32_MAX;

    u->fd_count = 0;
    slirp_lib.slirp_pollfds_fill(u->slirp, &ms, add_poll, u);
    watch_fds(u);
    if (u->fd_count > 0 && ms != UINT32_MAX) {
        timer_arm(&u->wake, clock_now(CLK_VIRTUAL) + MAX(ms, 1u) * NS_PER_MS);
    } else {
        timer_cancel(&u->wake); /* nothing can time out */
    }
}

static InFrame *take_in(User *u)
{
    InFrame *f;

    machine_lock();
    f = u->in;
    u->in = NULL;
    u->in_tail = &u->in;
    u->in_count = 0;
    net_accept(&u->b.port);
    machine_unlock();
    return f;
}

static void serve(User *u)
{
    InFrame *f;
    int r;

    for (int n = 0; n < SLIRP_TIMER_NUM; n++) {
        if (__atomic_exchange_n(&u->timers[n].due, false, __ATOMIC_ACQ_REL)) {
            slirp_lib.slirp_handle_timer(u->slirp, (SlirpTimerId)n, u->timers[n].arg);
        }
    }
    r = u->fd_count > 0 ? poll(u->fds, u->fd_count, 0) : 0;
    slirp_lib.slirp_pollfds_poll(u->slirp, r < 0, get_revents, u);
    f = take_in(u);
    while (f != NULL) {
        InFrame *next = f->next;

        slirp_lib.slirp_input(u->slirp, f->data, (int)f->len);
        free(f);
        f = next;
    }
    fill(u);
}

static void serve_posted(void *opaque)
{
    User *u = opaque;

    __atomic_store_n(&u->posted, false, __ATOMIC_RELEASE);
    if (!u->closed) {
        serve(u);
    }
}

static void serve_fd(void *opaque, int fd, unsigned events)
{
    serve(opaque);
}

static void on_wake(void *opaque)
{
    kick(opaque); /* with -icount this is a processor's thread */
}

/* ---- what libslirp calls ---- */

static ssize_t cb_send(const void *buf, size_t len, void *opaque)
{
    User *u = opaque;
    bool lock = !machine_lock_held();

    if (lock) {
        machine_lock();
    }
    net_send(&u->b.port, buf, len);
    if (lock) {
        machine_unlock();
    }
    return (ssize_t)len;
}

static void cb_guest_error(const char *msg, void *opaque)
{
    log_guest("%s: %s\n", ((User *)opaque)->b.id, msg);
}

static int64_t cb_clock(void *opaque)
{
    return clock_now(CLK_VIRTUAL);
}

static void on_timer(void *opaque)
{
    bool *due = opaque;
    User *u;

    __atomic_store_n(due, true, __ATOMIC_RELEASE);
    u = container_of(due, __typeof__(u->timers[0]), due)->u;
    kick(u);
}

static void *cb_timer_new(SlirpTimerId id, void *arg, void *opaque)
{
    User *u = opaque;

    if ((unsigned)id >= SLIRP_TIMER_NUM) {
        return NULL;
    }
    u->timers[id].u = u;
    u->timers[id].arg = arg;
    timer_init(&u->timers[id].t, CLK_VIRTUAL, on_timer, &u->timers[id].due, NULL);
    return &u->timers[id].t;
}

static void cb_timer_free(void *timer, void *opaque)
{
    if (timer != NULL) {
        timer_cancel(timer);
    }
}

static void cb_timer_mod(void *timer, int64_t ms, void *opaque)
{
    if (timer != NULL) {
        timer_arm(timer, ms * NS_PER_MS);
    }
}

/* The number may be another's soon. */
static void cb_forget_fd(int fd, void *opaque)
{
    User *u = opaque;

    unsigned n = 0;

    while (n < u->polled_count && u->polled[n] != fd) {
        n++;
    }
    unwatch_from(u, n);
}

static void cb_notify(void *opaque)
{
    kick(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = cb_send,
    .guest_error = cb_guest_error,
    .clock_get_ns = cb_clock,
    .timer_free = cb_timer_free,
    .timer_mod = cb_timer_mod,
    .register_poll_fd = cb_forget_fd,
    .unregister_poll_fd = cb_forget_fd,
    .notify = cb_notify,
    .timer_new_opaque = cb_timer_new,
};

/* ---- guestfwd ---- */

static ssize_t guest_write(const void *buf, size_t len, void *opaque)
{
    UserGuest *g = opaque;

    return (ssize_t)chardev_write(g->chr, buf, len);
}

static size_t guest_can_receive(void *opaque)
{
    UserGuest *g = opaque;

    return slirp_lib.slirp_socket_can_recv(g->u->slirp, g->fwd.addr, g->fwd.port);
}

static void guest_receive(void *opaque, const uint8_t *buf, size_t len)
{
    UserGuest *g = opaque;

    slirp_lib.slirp_socket_recv(g->u->slirp, g->fwd.addr, g->fwd.port, buf, (int)len);
    kick(g->u);
}

static const CharFront guest_front = { .can_receive = guest_can_receive, .receive = guest_receive };

static bool add_guest(User *u, GuestForward *f, Error **errp)
{
    UserGuest *g = &u->guests[u->guest_count];

    g->u = u;
    g->chr = chardev_find(f->chardev);
    if (g->chr == NULL) {
        error_set(errp, "guestfwd: there is no character device '%s'", f->chardev);
        return false;
    }
    if (!chardev_attach(g->chr, &guest_front, g, errp)) {
        return false;
    }
    g->fwd = *f;
    u->guest_count++;
    if (slirp_lib.slirp_add_guestfwd(u->slirp, guest_write, g, &g->fwd.addr, f->port) < 0) {
        error_set(errp, "guestfwd: address or port is taken");
        return false;
    }
    return true;
}

/* ---- hostfwd ---- */

static socklen_t addr_len(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static int forward_flags(const HostForward *f)
{
    return (f->udp ? SLIRP_HOSTFWD_UDP : 0) | (f->host.ss_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0);
}

static bool add_host(User *u, const HostForward *f, Error **errp)
{
    if (slirp_lib.slirp_add_hostxfwd(u->slirp, (const struct sockaddr *)&f->host, addr_len(&f->host),
                                     (const struct sockaddr *)&f->guest, addr_len(&f->guest),
                                     forward_flags(f)) < 0) {
        int err = errno;
        char text[INET6_ADDRSTRLEN] = "";
        const struct sockaddr_in *in = (const struct sockaddr_in *)&f->host;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&f->host;

        inet_ntop(f->host.ss_family, f->host.ss_family == AF_INET ? (const void *)&in->sin_addr : &in6->sin6_addr,
                  text, sizeof(text));
        error_set_errno(errp, err, "cannot forward %s port %u of %s", f->udp ? "udp" : "tcp", ntohs(in->sin_port),
                        text);
        return false;
    }
    return true;
}

static User *find_user(const char *id, Error **errp)
{
    for (NetBackend *b = net_backend_first(); b != NULL; b = b->next) {
        if (b->type == &net_user && (id == NULL || strcmp(b->id, id) == 0)) {
            return container_of(b, User, b);
        }
    }
    if (id != NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "there is no user network '%s'", id);
    } else {
        error_set(errp, "there is no user network");
    }
    return NULL;
}

bool net_user_forward(const char *id, const char *rule, bool add, Error **errp)
{
    User *u = find_user(id, errp);
    HostForward f;

    if (u == NULL || !user_rule_parse(rule, add, &u->cfg, &f, errp)) {
        return false;
    }
    if (add) {
        if (!add_host(u, &f, errp)) {
            return false;
        }
    } else if (slirp_lib.slirp_remove_hostxfwd(u->slirp, (const struct sockaddr *)&f.host, addr_len(&f.host),
                                               forward_flags(&f)) < 0) {
        error_set(errp, "host forwarding rule '%s' not found", rule);
        return false;
    }
    fill(u);
    return true;
}

void net_user_info(FILE *out)
{
    for (NetBackend *b = net_backend_first(); b != NULL; b = b->next) {
        if (b->type == &net_user) {
            char *text = slirp_lib.slirp_connection_info(container_of(b, User, b)->slirp);

            fprintf(out, "%s:\n%s", b->id, text);
            free(text); /* g_free() is free() */
        }
    }
}

/* ---- the port ---- */

static bool user_can_receive(void *opaque, size_t len)
{
    return ((User *)opaque)->in_count < IN_FRAMES;
}

static void user_receive(void *opaque, const uint8_t *frame, size_t len)
{
    User *u = opaque;
    InFrame *f = try_alloc0(1, sizeof(*f) + len);

    if (f == NULL) {
        return;
    }
    f->len = len;
    memcpy(f->data, frame, len);
    *u->in_tail = f;
    u->in_tail = &f->next;
    u->in_count++;
    kick(u);
}

static void user_describe(void *opaque, FILE *out)
{
    User *u = opaque;
    char text[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &u->cfg.vnetwork, text, sizeof(text));
    fprintf(out, "type=user,net=%s,restrict=%s", text, u->cfg.restricted ? "on" : "off");
}

static const NetPortOps user_ops = {
    .can_receive = user_can_receive, .receive = user_receive, .describe = user_describe,
};

static void user_close(NetBackend *b)
{
    User *u = container_of(b, User, b);

    u->closed = true;
    for (unsigned n = 0; n < u->guest_count; n++) {
        slirp_lib.slirp_remove_guestfwd(u->slirp, u->guests[n].fwd.addr, u->guests[n].fwd.port);
        chardev_detach(u->guests[n].chr, &u->guests[n]);
    }
    timer_cancel(&u->wake);
    slirp_lib.slirp_cleanup(u->slirp);
    loop_fd_remove(u->epoll);
    close(u->epoll);
    while (u->in != NULL) {
        InFrame *f = u->in;

        u->in = f->next;
        free(f);
    }
    free(u->guests);
    free(u->fds);
    free(u->polled);
    free(u->polled_events);
}

static bool start(User *u, UserOptions *o, Error **errp)
{
    for (unsigned n = 0; n < o->host_count; n++) {
        if (!add_host(u, &o->host[n], errp)) {
            return false;
        }
    }
    u->guests = xnewn(UserGuest, o->guest_count + 1);
    for (unsigned n = 0; n < o->guest_count; n++) {
        if (!add_guest(u, &o->guest[n], errp)) {
            return false;
        }
    }
    return true;
}

/* want_rights - libslirp reads the name servers' file at each question: those who write it put a new one in the old
 * one's place, in folders of their own. */
static void want_rights(const UserOptions *o)
{
    static const char *const names[] = {
        "/etc/resolv.conf", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf",
    };

    sandbox_want_network();
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        sandbox_want_read(names[n]);
    }
    if (o->cfg.tftp_path != NULL) {
        sandbox_want_read(o->cfg.tftp_path);
    }
}

static bool user_open(NetBackend *b, OptList *l, Error **errp)
{
    User *u = container_of(b, User, b);
    UserOptions *o = xnew(UserOptions);
    int r;

    if (!sandbox_network()) {
        error_set(errp, "type=user: this process was confined without a user network (-sandbox off)");
        user_options_free(o);
        return false;
    }
    if (!slirp_library_load(errp) || !user_options_take(o, l, errp)) {
        user_options_free(o);
        return false;
    }
    want_rights(o);
    u->in_tail = &u->in;
    timer_init(&u->wake, CLK_VIRTUAL, on_wake, u, NULL);
    u->epoll = epoll_create1(EPOLL_CLOEXEC);
    r = u->epoll < 0 ? -errno : loop_fd_set(u->epoll, LOOP_READ, serve_fd, u);
    machine_lock();
    net_port_init(&b->port, b->id, &user_ops, u, false);
    b->port.sums_good = true; /* the library makes them of what it sends */
    machine_unlock();
    u->slirp = r == 0 ? slirp_lib.slirp_new(&o->cfg, &callbacks, u) : NULL;
    u->cfg = o->cfg;
    if (u->slirp == NULL) {
        error_set_errno(errp, r < 0 ? -r : EINVAL, "cannot make the network");
        if (u->epoll >= 0) {
            loop_fd_remove(u->epoll);
            close(u->epoll);
        }
    } else if (!start(u, o, errp)) {
        user_close(b);
        u->slirp = NULL;
    } else {
        fill(u);
    }
    user_options_free(o);
    if (u->slirp == NULL) {
        machine_lock();
        net_port_fini(&b->port);
        machine_unlock();
        return false;
    }
    return true;
}

const NetBackendType net_user = {
    .name = "user", .help = "the host's network by its sockets, with DHCP, DNS and TFTP; no privileges",
    .size = sizeof(User), .open = user_open, .close = user_close, .lingers = true,
};

#else

static bool user_open(NetBackend *b, OptList *l, Error **errp)
{
    error_set(errp, "this build has no user network (Debian: apt-get install libslirp-dev, then ./configure)");
    return false;
}

static void user_close(NetBackend *b)
{
}

const NetBackendType net_user = {
    .name = "user", .help = "not in this build", .size = sizeof(NetBackend), .open = user_open, .close = user_close,
};

bool net_user_forward(const char *id, const char *rule, bool add, Error **errp)
{
    error_set(errp, "there is no user network");
    return false;
}

void net_user_info(FILE *out)
{
}

bool net_user_available(void)
{
    return false;
}
#endif
