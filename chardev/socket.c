/*
 * Sockets: unix and TCP, server and client, one peer at a time.
 *
 *            +-------- hangup --------+
 *            v                        |
 *   server: listening -- accept --> connected
 *   client: waiting   -- timer ---> connecting --> connected    (reconnect=)
 *
 * A client without reconnect= connects once, and must succeed at start-up.
 */
#include "chardev/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "chardev/address.h"
#include "chardev/telnet.h"

/* Loop thread. */
typedef struct Sock {
    SockAddr addr;
    bool server, telnet, nodelay;
    int listen_fd;     /* -1 for clients */
    int pending_fd;    /* a connect() in progress, else -1 */
    int64_t reconnect; /* ns between attempts; 0: none */
    Timer retry;
    Telnet tn;
} Sock;

static void start(Chardev *c);

static void connected(Chardev *c, int fd)
{
    Sock *s = c->priv;
    int one = 1;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (s->nodelay) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    stream_set(c, fd, fd);
    if (s->telnet) {
        uint8_t greeting[TELNET_GREETING_MAX];
        size_t n = telnet_init(&s->tn, s->server, greeting);
        stream_write_raw(c, greeting, n);
    }
    chardev_set_open(c, true);
}

static void disconnect(Chardev *c)
{
    int fd = c->in_fd;

    stream_set(c, -1, -1);
    if (fd >= 0) {
        close(fd);
    }
}

static void socket_hangup(Chardev *c)
{
    disconnect(c);
    chardev_set_open(c, false);
    start(c);
}

/* ---- server ---- */

static void on_accept(void *opaque, int fd, unsigned events)
{
    Chardev *c = opaque;
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (conn >= 0) {
        loop_fd_remove(fd); /* the next one waits in the backlog */
        connected(c, conn);
    }
}

/* ---- client ---- */

static void arm_retry(Sock *s)
{
    if (s->reconnect > 0) {
        timer_arm(&s->retry, clock_now(CLK_REAL) + s->reconnect);
    }
}

static void on_connect(void *opaque, int fd, unsigned events)
{
    Chardev *c = opaque;
    Sock *s = c->priv;
    int err = 0;
    socklen_t len = sizeof(err);

    loop_fd_remove(fd);
    s->pending_fd = -1;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err != 0) {
        close(fd);
        arm_retry(s);
        return;
    }
    connected(c, fd);
}

static void try_connect(void *opaque)
{
    Chardev *c = opaque;
    Sock *s = c->priv;
    bool pending;
    int fd = addr_connect(&s->addr, true, &pending, NULL);

    if (fd < 0) {
        arm_retry(s);
    } else if (pending) {
        s->pending_fd = fd;
        loop_fd_set(fd, LOOP_WRITE, on_connect, c);
    } else {
        connected(c, fd);
    }
}

/* Nobody is connected: wait for somebody, or try later. */
static void start(Chardev *c)
{
    Sock *s = c->priv;

    if (s->listen_fd >= 0) {
        loop_fd_set(s->listen_fd, LOOP_READ, on_accept, c);
    } else {
        arm_retry(s);
    }
}

/* ---- protocol ---- */

static size_t socket_filter(Chardev *c, uint8_t *buf, size_t len)
{
    Sock *s = c->priv;
    uint8_t reply[CHAR_READ_MAX + 2];
    size_t reply_len;
    unsigned breaks;

    if (!s->telnet) {
        return len;
    }
    len = telnet_input(&s->tn, buf, len, reply, &reply_len, &breaks);
    if (reply_len > 0) {
        stream_write_raw(c, reply, reply_len);
    }
    while (breaks-- > 0) {
        chardev_event(c, CHAR_BREAK);
    }
    return len;
}

static bool socket_doubles_ff(const Chardev *c)
{
    const Sock *s = c->priv;

    return s->telnet;
}

/* ---- opening ---- */

static void sock_free(Sock *s)
{
    if (s->listen_fd >= 0) {
        loop_fd_remove(s->listen_fd);
        close(s->listen_fd);
        if (s->addr.path != NULL && !s->addr.abstract) {
            host_unlink(s->addr.path);
        }
    }
    if (s->pending_fd >= 0) {
        loop_fd_remove(s->pending_fd);
        close(s->pending_fd);
    }
    addr_free(&s->addr);
    free(s);
}

/* wait=on: no machine before there is a peer. */
static bool wait_for_peer(Chardev *c, Error **errp)
{
    autofree char *where = chardev_describe(c);

    report("info: waiting for a connection on %s", where);
    while (!chardev_is_open(c)) {
        if (loop_quit_asked()) {
            error_set(errp, "interrupted while waiting for a connection");
            return false;
        }
        loop_turn(-1);
    }
    return true;
}

static bool open_server(Chardev *c, bool wait, Error **errp)
{
    Sock *s = c->priv;

    s->listen_fd = addr_listen(&s->addr, errp);
    if (s->listen_fd < 0) {
        return false;
    }
    fcntl(s->listen_fd, F_SETFL, fcntl(s->listen_fd, F_GETFL) | O_NONBLOCK);
    start(c);
    return !wait || wait_for_peer(c, errp);
}

static bool open_client(Chardev *c, Error **errp)
{
    Sock *s = c->priv;
    bool pending;
    int fd;

    if (s->reconnect > 0) {
        try_connect(c);
        return true;
    }
    fd = addr_connect(&s->addr, false, &pending, errp);
    if (fd < 0) {
        return false;
    }
    connected(c, fd);
    return true;
}

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0;
}

static bool socket_open(Chardev *c, OptList *l, Error **errp)
{
    static const char *const refused[] = { "tls-creds", "websocket", "tls-authz" };
    Sock *s = xnew(Sock);
    bool wait, ok;

    s->listen_fd = s->pending_fd = -1;
    s->addr.fd = -1;
    c->priv = s;
    timer_init(&s->retry, CLK_REAL, try_connect, c, NULL);
    s->server = opt_get_bool(l, "server", false);
    s->telnet = opt_get_bool(l, "telnet", false);
    s->nodelay = opt_get_bool(l, "nodelay", !opt_get_bool(l, "delay", true));
    s->reconnect = (int64_t)opt_get_u64(l, "reconnect", 1000000, 0) * NS_PER_SEC;
    s->reconnect =
        (int64_t)opt_get_u64(l, "reconnect-ms", 1000000000, (uint64_t)(s->reconnect / NS_PER_MS)) *
        NS_PER_MS;
    wait = opt_get_bool(l, "wait", s->server);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        const char *v = opt_get_str(l, refused[i], NULL);
        if (v != NULL && strcmp(v, "off") != 0) {
            opt_bad(l, "%s=%s: not supported yet", refused[i], v);
        }
    }
    if (!s->server && wait) {
        opt_bad(l, "wait=on: only a server (server=on) waits");
    }
    if (s->server && s->reconnect != 0) {
        opt_bad(l, "reconnect=: only a client reconnects");
    }
    /* mistakes are told before a port is taken or a file is made */
    ok = addr_take(&s->addr, l, errp) && opt_done(l, errp);
    if (ok && s->addr.fd >= 0 && s->server != is_listening(s->addr.fd)) {
        error_set(errp, "socket: fd=%d is %sa listening socket", s->addr.fd,
                  s->server ? "not " : "");
        ok = false;
    }
    ok = ok && (s->server ? open_server(c, wait, errp) : open_client(c, errp));
    if (!ok) {
        timer_cancel(&s->retry);
        disconnect(c);
        sock_free(s);
        c->priv = NULL;
    }
    return ok;
}

static void socket_close(Chardev *c)
{
    Sock *s = c->priv;

    timer_cancel(&s->retry);
    disconnect(c);
    sock_free(s);
    c->priv = NULL;
}

static char *socket_describe(Chardev *c)
{
    const Sock *s = c->priv;
    autofree char *configured = addr_show(&s->addr);
    autofree char *local = s->listen_fd >= 0 ? addr_show_fd(s->listen_fd, false) : NULL;
    autofree char *peer = c->in_fd >= 0 ? addr_show_fd(c->in_fd, true) : NULL;
    autofree char *kind = local != NULL ? xasprintf("tcp:%s", local) : NULL;
    const char *base = kind != NULL ? kind : configured;

    if (s->telnet && strncmp(base, "tcp:", 4) == 0) {
        char *t = xasprintf("telnet:%s", base + 4);
        free(kind);
        kind = t;
        base = t;
    }
    return xasprintf("%s%s%s%s%s", c->in_fd < 0 ? "disconnected:" : "", base,
                     s->server ? ",server=on" : "", peer != NULL ? " <-> " : "",
                     peer != NULL ? peer : "");
}

const CharBackend chardev_socket = {
    .name = "socket",
    .help = "path= | host=,port= | fd=,server=,wait=,telnet=,nodelay=,reconnect=",
    .open = socket_open,
    .close = socket_close,
    .hangup = socket_hangup,
    .filter = socket_filter,
    .doubles_ff = socket_doubles_ff,
    .describe = socket_describe,
};
