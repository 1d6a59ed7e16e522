/*
 * -netdev stream and dgram: socket.c's networks with addresses in parts, as addr.type=, local.type= and remote.type=.
 */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/text.h"

/* take_part - the sub-options @prefix.type= and so on, as a list without the prefix; NULL: there is no type. */
static OptList *take_part(OptList *l, const char *prefix, const char **type)
{
    static const char *const keys[] = { "host", "port", "path", "str", "to", "ipv4", "ipv6", "abstract" };
    static const char *const idle[] = { "numeric", "keep-alive", "mptcp", "tight" };
    autofree char *name = xasprintf("%s.type", prefix);
    OptList *part;

    *type = opt_get_str(l, name, NULL);
    if (*type == NULL) {
        return NULL;
    }
    part = opt_new();
    for (size_t n = 0; n < ARRAY_SIZE(keys); n++) {
        autofree char *key = xasprintf("%s.%s", prefix, keys[n]);
        const char *val = opt_get_str(l, key, NULL);

        if (val != NULL) {
            opt_set(part, strcmp(keys[n], "str") == 0 ? "fd" : keys[n], val);
        }
    }
    for (size_t n = 0; n < ARRAY_SIZE(idle); n++) {
        autofree char *key = xasprintf("%s.%s", prefix, idle[n]);

        if (opt_has(l, key) && opt_get_bool(l, key, false) && n >= 1) {
            opt_bad(l, "%s=on is not supported", key);
        }
    }
    return part;
}

/* take_address - what a part says, of one of the types that QEMU has. */
static bool take_address(SockAddr *a, OptList *part, const char *prefix, const char *type, Error **errp)
{
    static const char *const types[][2] = { { "inet", "host" }, { "unix", "path" }, { "fd", "fd" } };

    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        if (strcmp(types[n][0], type) == 0) {
            if (!opt_has(part, types[n][1])) {
                error_set(errp, "%s.%s= is missing", prefix, n == 2 ? "str" : types[n][1]);
                return false;
            }
            return addr_take(a, part, errp) && opt_done(part, errp);
        }
    }
    error_set(errp, "%s.type=%s: want inet, unix or fd", prefix, type);
    return false;
}

/* ---- stream ---- */

static bool stream_begin(SocketNet *s, const SockAddr *a, bool server, Error **errp)
{
    autofree char *text = a->fd >= 0 ? xasprintf("%d", a->fd) : NULL;

    if (a->fd >= 0 && !server) {
        if (!socket_fd(s, text, errp)) {
            return false;
        }
        if (!s->stream) {
            error_set(errp, "addr.str=%s is no stream", text);
        }
        return s->stream;
    }
    return socket_stream(s, a, server, errp);
}

static bool stream_open(NetBackend *b, OptList *l, Error **errp)
{
    SocketNet *s = container_of(b, SocketNet, b);
    bool server = opt_get_bool(l, "server", false), ok;
    uint64_t again = opt_get_u64(l, "reconnect", 3600, 0);
    autofree char *where = NULL;
    const char *type;
    OptList *part = take_part(l, "addr", &type);
    Error *err = NULL;

    if (part == NULL) {
        opt_bad(l, "addr.type= is missing");
    } else if (again != 0 && server) {
        opt_bad(l, "reconnect= is for server=off");
    }
    socket_init(s);
    s->events = s->stream = true;
    ok = opt_done(l, errp) && take_address(&s->addr, part, "addr", type, errp);
    opt_free(part);
    if (!ok) {
        socket_fini(s);
        return false;
    }
    where = s->addr.fd >= 0 ? xasprintf("fd:%d", s->addr.fd) : addr_show(&s->addr);
    s->what = xasprintf("%s%s", where, server ? ",server=on" : "");
    s->again_ns = s->addr.fd < 0 ? (int64_t)again * NS_PER_SEC : 0;
    s->unlink = server && s->addr.path != NULL && !s->addr.abstract ? xstrdup(s->addr.path) : NULL;
    if (!stream_begin(s, &s->addr, server, &err)) {
        if (s->again_ns == 0) {
            error_move(errp, err);
            free(s->unlink); /* it may be another's */
            s->unlink = NULL;
            socket_fini(s);
            return false;
        }
        error_free(err); /* the peer comes later */
        timer_arm(&s->again, clock_now(CLK_REAL) + s->again_ns);
    }
    socket_start(s);
    return true;
}

/* ---- dgram ---- */

typedef struct Ends {
    SockAddr local, remote;
    const char *local_type, *remote_type; /* NULL: not given */
} Ends;

static bool numeric(const SockAddr *a, struct sockaddr_in *to, Error **errp)
{
    const char *host = strcmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;
    uint64_t port;

    *to = (struct sockaddr_in){ .sin_family = AF_INET };
    if (!text_u64(a->port, 65535, &port) || inet_pton(AF_INET, *host != '\0' ? host : "0.0.0.0", &to->sin_addr) != 1) {
        error_set(errp, "'%s:%s' is no IPv4 address with port", a->host, a->port);
        return false;
    }
    to->sin_port = htons((uint16_t)port);
    return true;
}

static bool dgram_inet(SocketNet *s, const Ends *e, Error **errp)
{
    struct sockaddr_in to, from;
    bool local_inet = e->local_type != NULL && strcmp(e->local_type, "inet") == 0;
    int one = 1;

    if (!numeric(&e->remote, &to, errp)) {
        return false;
    }
    if (IN_MULTICAST(ntohl(to.sin_addr.s_addr))) {
        return socket_mcast(s, &to, local_inet ? e->local.host : NULL, errp);
    }
    if (!local_inet) {
        error_set(errp, "local.type=inet is needed for a remote that is no group");
        return false;
    }
    if (!numeric(&e->local, &from, errp)) {
        return false;
    }
    s->fd = s->out_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(s->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
        connect(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        error_set_errno(errp, errno, "cannot send to %s:%s", e->remote.host, e->remote.port);
        return false;
    }
    return true;
}

static void unix_name(const SockAddr *a, struct sockaddr_un *un)
{
    *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(un->sun_path, a->path, strlen(a->path)); /* fits: addr_take() */
}

/* dgram_unix - the other end may come later: each datagram is addressed. */
static bool dgram_unix(SocketNet *s, const Ends *e, Error **errp)
{
    struct sockaddr_un from;

    if (e->local_type == NULL || strcmp(e->local_type, "unix") != 0) {
        error_set(errp, "local.type=unix is needed for a Unix remote");
        return false;
    }
    unix_name(&e->local, &from);
    unix_name(&e->remote, (struct sockaddr_un *)&s->to);
    s->to_len = sizeof(struct sockaddr_un);
    host_unlink(e->local.path);
    s->fd = s->out_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&from, sizeof(from)) < 0) {
        error_set_errno(errp, errno, "cannot bind unix:%s", e->local.path);
        return false;
    }
    s->unlink = xstrdup(e->local.path);
    return true;
}

static bool dgram_fd(SocketNet *s, const Ends *e, Error **errp)
{
    autofree char *text = xasprintf("%d", e->local.fd);

    if (!socket_fd(s, text, errp)) {
        return false;
    }
    if (s->stream) {
        error_set(errp, "local.str=%s is a stream", text);
    }
    return !s->stream;
}

static bool dgram_begin(SocketNet *s, const Ends *e, Error **errp)
{
    if (sandbox_on() && e->remote_type != NULL) {
        error_set(errp, "dgram cannot be added to a machine that is confined (-sandbox off, or a local.type=fd)");
        return false;
    }
    if (e->remote_type == NULL) {
        if (e->local_type == NULL || strcmp(e->local_type, "fd") != 0) {
            error_set(errp, "remote.type= is missing");
            return false;
        }
        return dgram_fd(s, e, errp);
    }
    if (strcmp(e->remote_type, "inet") == 0) {
        return dgram_inet(s, e, errp);
    }
    if (strcmp(e->remote_type, "unix") == 0) {
        return dgram_unix(s, e, errp);
    }
    error_set(errp, "remote.type=fd: the descriptor is local.type=fd's");
    return false;
}

static bool dgram_open(NetBackend *b, OptList *l, Error **errp)
{
    SocketNet *s = container_of(b, SocketNet, b);
    Ends e = { .local.fd = -1, .remote.fd = -1 };
    OptList *local = take_part(l, "local", &e.local_type), *remote = take_part(l, "remote", &e.remote_type);
    bool ok;

    socket_init(s);
    if (local == NULL && remote == NULL) {
        opt_bad(l, "remote.type= is missing");
    }
    ok = opt_done(l, errp) && (local == NULL || take_address(&e.local, local, "local", e.local_type, errp)) &&
         (remote == NULL || take_address(&e.remote, remote, "remote", e.remote_type, errp)) && dgram_begin(s, &e, errp);
    if (ok) {
        autofree char *to = remote == NULL ? xasprintf("fd:%d", e.local.fd)
                            : e.remote.path != NULL ? addr_show(&e.remote)
                                                    : xasprintf("udp:%s:%s", e.remote.host, e.remote.port);
        s->what = xstrdup(to);
        socket_start(s);
    } else {
        socket_fini(s);
    }
    addr_free(&e.local);
    addr_free(&e.remote);
    opt_free(local);
    opt_free(remote);
    return ok;
}

const NetBackendType net_stream = {
    .name = "stream", .help = "another machine, by a stream: addr.type=inet|unix|fd, server=, reconnect=",
    .size = sizeof(SocketNet), .open = stream_open, .close = socket_close, .lingers = true,
};
const NetBackendType net_dgram = {
    .name = "dgram", .help = "another machine or a group, by datagrams: local.type=, remote.type=inet|unix|fd",
    .size = sizeof(SocketNet), .open = dgram_open, .close = socket_close, .lingers = true,
};
