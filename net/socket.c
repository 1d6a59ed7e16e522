/*
 * -netdev socket: guests' networks joined by sockets of the host. A TCP connection carries each frame behind its
 * length (32 bits, big-endian); datagrams (to a multicast group, or one peer) are a frame each.
 *
 * Descriptors are the loop thread's; what is sent goes out at once from whatever thread sends it, which holds the
 * machine lock as everybody does who changes `fd`. A TCP peer that does not read loses frames, and holds nobody up.
 */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/lock.h"

enum { OUT_MAX = 1 << 20, IN_ROOM = 4 + NET_FRAME_MAX, READS_PER_TURN = 64 };

static void watch(SocketNet *s);

static void tell(const SocketNet *s, bool connected)
{
    autofree char *peer = s->fd >= 0 && connected ? addr_show_fd(s->fd, true) : NULL;
    const char *colon = peer != NULL ? strrchr(peer, ':') : NULL;
    autofree char *host = colon != NULL ? xstrndup(peer, (size_t)(colon - peer)) : NULL;

    if (!s->events) {
        return;
    }
    if (connected) {
        event_emit("NETDEV_STREAM_CONNECTED", (const EventField[]){ EV_STR("netdev-id", s->b.id),
                   EV_STR("addr.type", host != NULL ? "inet" : "unix"), EV_STR("addr.host", host),
                   EV_STR("addr.port", colon != NULL ? colon + 1 : NULL),
                   EV_STR("addr.path", host == NULL ? s->addr.path : NULL), EV_END });
    } else {
        event_emit("NETDEV_STREAM_DISCONNECTED", (const EventField[]){ EV_STR("netdev-id", s->b.id), EV_END });
    }
}

/* try_again - with reconnect=, later. */
static void try_again(SocketNet *s)
{
    if (s->again_ns != 0 && !s->closed) {
        timer_arm(&s->again, clock_now(CLK_REAL) + s->again_ns);
    }
}

static void on_again(void *opaque)
{
    SocketNet *s = opaque;
    bool connecting = false;
    int fd = addr_connect(&s->addr, true, &connecting, NULL);

    if (fd < 0) {
        try_again(s);
        return;
    }
    machine_lock();
    s->fd = s->out_fd = fd;
    s->connecting = connecting;
    machine_unlock();
    if (!connecting) {
        tell(s, true);
    }
    watch(s);
}

static void disconnect(SocketNet *s)
{
    bool was = !s->connecting;

    loop_fd_remove(s->fd);
    machine_lock();
    close(s->fd);
    s->fd = s->out_fd = -1;
    s->out_len = 0;
    s->connecting = false;
    machine_unlock();
    s->in_len = 0;
    if (was) {
        tell(s, false);
    }
    try_again(s);
    watch(s);
}

/* ---- out ---- */

static void on_posted(void *opaque)
{
    SocketNet *s = opaque;

    machine_lock();
    s->posted = false;
    machine_unlock();
    if (!s->closed) {
        watch(s);
    }
}

static void post(SocketNet *s)
{
    if (!s->posted) {
        s->posted = true;
        loop_post(on_posted, s);
    }
}

/* flush - as much as goes. Machine lock held. */
static void flush(SocketNet *s)
{
    ssize_t n = s->out_len > 0 ? send(s->fd, s->out, s->out_len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

    if (n > 0) {
        s->out_len -= (size_t)n;
        memmove(s->out, s->out + n, s->out_len);
    }
}

static void socket_receive(void *opaque, const uint8_t *frame, size_t len)
{
    SocketNet *s = opaque;

    if (s->out_fd < 0 || s->connecting) {
        return;
    }
    if (!s->stream) {
        if (sendto(s->out_fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL, s->to_len != 0 ? (struct sockaddr *)&s->to : NULL,
                   s->to_len) < 0) {
            s->b.port.dropped++;
        }
        return;
    }
    if (len + 4 > OUT_MAX - s->out_len) {
        s->b.port.dropped++;
        return;
    }
    s->out[s->out_len] = (uint8_t)(len >> 24);
    s->out[s->out_len + 1] = (uint8_t)(len >> 16);
    s->out[s->out_len + 2] = (uint8_t)(len >> 8);
    s->out[s->out_len + 3] = (uint8_t)len;
    memcpy(s->out + s->out_len + 4, frame, len);
    s->out_len += len + 4;
    if (s->out_len == len + 4) {
        flush(s);
        if (s->out_len > 0) {
            post(s); /* the loop sends the rest */
        }
    }
}

/* ---- in ---- */

static void socket_can_send(void *opaque)
{
    post(opaque);
}

/* deliver - a frame to the card; false when it is enough for now. */
static bool deliver(SocketNet *s, const uint8_t *frame, size_t len)
{
    bool more;

    machine_lock();
    net_send(&s->b.port, frame, len);
    more = net_can_send(&s->b.port);
    machine_unlock();
    return more;
}

/* frames - those that are complete in `in`; false when the stream makes no sense. */
static bool frames(SocketNet *s)
{
    size_t at = 0;

    while (s->in_len - at >= 4) {
        const uint8_t *p = s->in + at;
        size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];

        if (len > NET_FRAME_MAX) {
            return false;
        }
        if (s->in_len - at - 4 < len) {
            break;
        }
        if (!deliver(s, p + 4, len)) {
            s->paused = true; /* the port keeps what is in here still */
        }
        at += 4 + len;
    }
    s->in_len -= at;
    memmove(s->in, s->in + at, s->in_len);
    return true;
}

static void read_stream(SocketNet *s)
{
    ssize_t n = recv(s->fd, s->in + s->in_len, IN_ROOM - s->in_len, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0) {
        s->in_len += (size_t)n;
        if (frames(s)) {
            return;
        }
        report("%s: the peer's frames make no sense", s->b.id);
    }
    disconnect(s);
}

static void read_datagrams(SocketNet *s)
{
    for (unsigned n = 0; n < READS_PER_TURN && !s->paused; n++) {
        struct sockaddr_in from = { .sin_family = AF_UNSPEC };
        socklen_t size = sizeof(from);
        ssize_t len = recvfrom(s->fd, s->in, IN_ROOM, MSG_DONTWAIT, (struct sockaddr *)&from, &size);

        if (len < 0) {
            return;
        }
        if (s->have_self && from.sin_family == AF_INET && from.sin_port == s->self.sin_port &&
            from.sin_addr.s_addr == s->self.sin_addr.s_addr) {
            continue;
        }
        s->paused = !deliver(s, s->in, (size_t)len);
    }
}

static void on_fd(void *opaque, int fd, unsigned events)
{
    SocketNet *s = opaque;

    if (s->connecting) {
        int err = 0;
        socklen_t len = sizeof(err);

        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err != 0) {
            if (s->again_ns == 0) {
                report("%s: cannot connect to %s: %s", s->b.id, s->what, strerror(err));
            }
            disconnect(s);
            return;
        }
        machine_lock();
        s->connecting = false;
        machine_unlock();
        tell(s, true);
    }
    if (events & LOOP_WRITE) {
        machine_lock();
        flush(s);
        machine_unlock();
    }
    if ((events & (LOOP_READ | LOOP_HANGUP)) && s->stream && (!s->paused || (events & LOOP_HANGUP))) {
        read_stream(s);
    } else if ((events & LOOP_READ) && !s->stream) {
        read_datagrams(s);
    }
    if (s->fd >= 0) {
        watch(s);
    }
}

static void on_accept(void *opaque, int fd, unsigned events)
{
    SocketNet *s = opaque;
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (conn < 0) {
        return;
    }
    machine_lock();
    s->fd = s->out_fd = conn;
    machine_unlock();
    tell(s, true);
    watch(s);
}

/* watch - the loop waits for what matters now. */
static void watch(SocketNet *s)
{
    unsigned events;
    bool pending;

    if (s->listen >= 0) { /* one peer at a time; the next waits */
        if (s->fd < 0) {
            loop_fd_set(s->listen, LOOP_READ, on_accept, s);
        } else {
            loop_fd_remove(s->listen);
        }
    }
    if (s->fd < 0) {
        return;
    }
    machine_lock();
    s->paused = !net_can_send(&s->b.port);
    pending = s->out_len > 0;
    machine_unlock();
    events = s->connecting ? LOOP_WRITE : (s->paused ? 0 : LOOP_READ) | (pending ? LOOP_WRITE : 0);
    loop_fd_set(s->fd, events, on_fd, s);
}

/* ---- opening ---- */

/* split - "host:port" into an address; @text may be ":port" for any. */
static bool split(const char *text, struct sockaddr_in *a, Error **errp)
{
    const char *colon = strrchr(text, ':');
    autofree char *host = colon != NULL ? xstrndup(text, (size_t)(colon - text)) : NULL;
    uint64_t port;

    *a = (struct sockaddr_in){ .sin_family = AF_INET };
    if (colon == NULL || !text_u64(colon + 1, 65535, &port) ||
        (*host != '\0' && inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &a->sin_addr) != 1)) {
        error_set(errp, "'%s' is no IPv4 address with port", text);
        return false;
    }
    a->sin_port = htons((uint16_t)port);
    return true;
}

bool socket_stream(SocketNet *s, const SockAddr *a, bool server, Error **errp)
{
    s->stream = true;
    if (server) {
        s->listen = addr_listen(a, errp);
        if (s->listen >= 0) {
            fcntl(s->listen, F_SETFL, fcntl(s->listen, F_GETFL) | O_NONBLOCK);
        }
        return s->listen >= 0;
    }
    s->fd = s->out_fd = addr_connect(a, true, &s->connecting, errp);
    return s->fd >= 0;
}

static bool open_stream(SocketNet *s, const char *text, bool server, Error **errp)
{
    const char *colon = strrchr(text, ':');
    SockAddr a = { .fd = -1 };
    uint64_t port;
    bool ok;

    if (colon == NULL || !text_u64(colon + 1, 65535, &port)) {
        error_set(errp, "'%s' is not as host:port", text);
        return false;
    }
    a.host = xstrndup(text, (size_t)(colon - text));
    a.port = xstrdup(colon + 1);
    ok = socket_stream(s, &a, server, errp);
    addr_free(&a);
    return ok;
}

static bool fail(Error **errp, const char *what, const char *text)
{
    error_set_errno(errp, errno, "%s %s", what, text);
    return false;
}

/* A multicast network: a socket that gets the group's frames, and one that sends, so that ours can be told by where they
 * come from. */
bool socket_mcast(SocketNet *s, const struct sockaddr_in *a, const char *local, Error **errp)
{
    struct ip_mreq group = { .imr_interface.s_addr = htonl(INADDR_ANY) };
    socklen_t len = sizeof(s->self);
    char text[INET_ADDRSTRLEN];
    int one = 1;

    if (!IN_MULTICAST(ntohl(a->sin_addr.s_addr))) {
        error_set(errp, "mcast=%s is no address of a group (224.0.0.0 to 239.255.255.255)",
                  inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text)));
        return false;
    }
    if (local != NULL && inet_pton(AF_INET, local, &group.imr_interface) != 1) {
        error_set(errp, "localaddr=%s is no IPv4 address", local);
        return false;
    }
    group.imr_multiaddr = a->sin_addr;
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s->out_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || s->out_fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(s->fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ||
        setsockopt(s->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
        (local != NULL && setsockopt(s->out_fd, IPPROTO_IP, IP_MULTICAST_IF, &group.imr_interface,
                                     sizeof(group.imr_interface)) < 0) ||
        connect(s->out_fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ||
        getsockname(s->out_fd, (struct sockaddr *)&s->self, &len) < 0) {
        return fail(errp, "cannot join", inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text)));
    }
    s->have_self = true;
    return true;
}

static bool open_mcast(SocketNet *s, const char *text, const char *local, Error **errp)
{
    struct sockaddr_in a;

    return split(text, &a, errp) && socket_mcast(s, &a, local, errp);
}

static bool open_udp(SocketNet *s, const char *text, const char *local, Error **errp)
{
    struct sockaddr_in to, from;
    int one = 1;

    if (local == NULL) {
        error_set(errp, "udp= needs localaddr=");
        return false;
    }
    if (!split(text, &to, errp) || !split(local, &from, errp)) {
        return false;
    }
    s->fd = s->out_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(s->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
        connect(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        return fail(errp, "cannot send to", text);
    }
    return true;
}

bool socket_fd(SocketNet *s, const char *text, Error **errp)
{
    int type = 0;
    socklen_t len = sizeof(type);
    uint64_t fd;

    if (!text_u64(text, INT32_MAX, &fd) || getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        (type != SOCK_STREAM && type != SOCK_DGRAM)) {
        error_set(errp, "fd=%s is no socket", text);
        return false;
    }
    s->fd = s->out_fd = (int)fd;
    s->stream = type == SOCK_STREAM;
    return true;
}

static void socket_describe(void *opaque, FILE *out)
{
    SocketNet *s = opaque;

    fprintf(out, "type=%s,%s%s", s->b.type->name, s->what,
            s->stream && (s->fd < 0 || s->connecting) ? (s->listen >= 0 ? ",waiting" : ",not connected") : "");
}

static const NetPortOps socket_ops = {
    .receive = socket_receive, .can_send = socket_can_send, .describe = socket_describe,
};

void socket_fini(SocketNet *s)
{
    timer_cancel(&s->again);
    if (s->listen >= 0) {
        loop_fd_remove(s->listen);
        close(s->listen);
    }
    if (s->out_fd >= 0 && s->out_fd != s->fd) {
        close(s->out_fd);
    }
    if (s->fd >= 0) {
        loop_fd_remove(s->fd);
        close(s->fd);
    }
    if (s->unlink != NULL) {
        host_unlink(s->unlink);
    }
    addr_free(&s->addr);
    free(s->unlink);
    free(s->in);
    free(s->out);
    free(s->what);
}

void socket_init(SocketNet *s)
{
    s->listen = s->fd = s->out_fd = -1;
    s->addr.fd = -1;
    s->in = xnewn(uint8_t, IN_ROOM);
    s->out = xnewn(uint8_t, OUT_MAX);
    timer_init(&s->again, CLK_REAL, on_again, s, NULL);
}

void socket_start(SocketNet *s)
{
    machine_lock();
    net_port_init(&s->b.port, s->b.id, &socket_ops, s, false);
    machine_unlock();
    if (s->fd >= 0 && s->stream && !s->connecting) {
        tell(s, true);
    }
    watch(s);
}

void socket_close(NetBackend *b)
{
    SocketNet *s = container_of(b, SocketNet, b);

    s->closed = true;
    socket_fini(s);
}

static bool socket_open(NetBackend *b, OptList *l, Error **errp)
{
    static const char *const keys[] = { "fd", "listen", "connect", "mcast", "udp" };
    SocketNet *s = container_of(b, SocketNet, b);
    const char *val[ARRAY_SIZE(keys)], *local = opt_get_str(l, "localaddr", NULL);
    unsigned given = 0, which = 0;
    bool ok;

    for (unsigned n = 0; n < ARRAY_SIZE(keys); n++) {
        val[n] = opt_get_str(l, keys[n], NULL);
        if (val[n] != NULL) {
            given++;
            which = n;
        }
    }
    if (given != 1) {
        opt_bad(l, "one of fd=, listen=, connect=, mcast= and udp= is needed");
    } else if (local != NULL && which < 3) {
        opt_bad(l, "localaddr= is for mcast= and udp=");
    }
    if (!opt_done(l, errp)) {
        return false;
    }
    socket_init(s);
    s->what = xasprintf("%s=%s", keys[which], val[which]);
    ok = which == 0 ? socket_fd(s, val[0], errp)
         : which < 3 ? open_stream(s, val[which], which == 1, errp)
         : which == 3 ? open_mcast(s, val[3], local, errp)
                      : open_udp(s, val[4], local, errp);
    if (!ok) {
        socket_fini(s);
        return false;
    }
    socket_start(s);
    return true;
}

const NetBackendType net_socket = {
    .name = "socket", .help = "other machines, by TCP (listen=, connect=), a group (mcast=), udp= or fd=",
    .size = sizeof(SocketNet), .open = socket_open, .close = socket_close, .lingers = true,
};
