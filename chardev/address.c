/*
 * Socket addresses: from sub-options to descriptors.
 */
#include "chardev/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

bool addr_take(SockAddr *a, OptList *l, Error **errp)
{
    const char *path = opt_get_str(l, "path", NULL), *fd = opt_get_str(l, "fd", NULL);
    const char *host = opt_get_str(l, "host", NULL), *port = opt_get_str(l, "port", NULL);
    bool v4 = opt_get_bool(l, "ipv4", false), v6 = opt_get_bool(l, "ipv6", false);
    uint64_t v;

    *a = (SockAddr){ .fd = -1, .family = v4 == v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6 };
    a->abstract = opt_get_bool(l, "abstract", false);
    a->to = (unsigned)opt_get_u64(l, "to", 65535, 0);
    if ((path != NULL) + (fd != NULL) + (host != NULL || port != NULL) != 1) {
        error_set(errp, "socket: one of path=, port= (with host=) and fd= is needed");
        return false;
    }
    if (fd != NULL) {
        if (!text_u64(fd, INT32_MAX, &v) || fcntl((int)v, F_GETFD) < 0) {
            error_set(errp, "socket: fd=%s is not an open descriptor", fd);
            return false;
        }
        a->fd = (int)v;
    } else if (path != NULL) {
        size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
        if (*path == '\0' || strlen(path) > max) {
            error_set(errp, "socket: path=%s is %s (at most %zu bytes)", path,
                      *path == '\0' ? "empty" : "too long", max);
            return false;
        }
        a->path = xstrdup(path);
    } else if (port == NULL || *port == '\0') {
        error_set(errp, "socket: port= is missing");
        return false;
    } else {
        a->host = xstrdup(host != NULL ? host : "");
        a->port = xstrdup(port);
    }
    return true;
}

void addr_free(SockAddr *a)
{
    free(a->path);
    free(a->host);
    free(a->port);
    *a = (SockAddr){ .fd = -1 };
}

/* ---- unix ---- */

static socklen_t unix_name(const SockAddr *a, struct sockaddr_un *un)
{
    size_t n = strlen(a->path);

    *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(un->sun_path + a->abstract, a->path, n);
    return a->abstract ? (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1)
                       : (socklen_t)sizeof(*un);
}

static int unix_listen(const SockAddr *a, Error **errp)
{
    struct sockaddr_un un;
    socklen_t len = unix_name(a, &un);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat st;

    /* a socket left by an earlier run is replaced; any other file is not ours to remove */
    if (!a->abstract && lstat(a->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(a->path);
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, len) < 0 || listen(fd, 1) < 0) {
        error_set_errno(errp, errno, "cannot listen on unix:%s", a->path);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

static int unix_connect(const SockAddr *a, Error **errp)
{
    struct sockaddr_un un;
    socklen_t len = unix_name(a, &un);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&un, len) < 0) {
        error_set_errno(errp, errno, "cannot connect to unix:%s", a->path);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* ---- TCP ---- */

static struct addrinfo *look_up(const SockAddr *a, const char *port, bool server, Error **errp)
{
    struct addrinfo hints = { .ai_family = a->family,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = server ? AI_PASSIVE : 0 };
    struct addrinfo *list = NULL;
    const char *host = *a->host != '\0' ? a->host : server ? "0.0.0.0" : "localhost";
    int r;

    if (server && *a->host == '\0' && a->family == AF_INET6) {
        host = "::";
    }
    r = getaddrinfo(host, port, &hints, &list);
    if (r != 0) {
        error_set(errp, "cannot resolve %s:%s: %s", host, port, gai_strerror(r));
        return NULL;
    }
    return list;
}

/* One address: bind or connect. A descriptor, or -errno. */
static int try_one(const struct addrinfo *ai, bool server, bool async, bool *pending)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | (async ? SOCK_NONBLOCK : 0), 0);
    int one = 1, r;

    if (fd < 0) {
        return -errno;
    }
    if (server) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        r = bind(fd, ai->ai_addr, ai->ai_addrlen);
        r = r == 0 ? listen(fd, 1) : r;
    } else {
        r = connect(fd, ai->ai_addr, ai->ai_addrlen);
        if (r < 0 && errno == EINPROGRESS) {
            *pending = true;
            r = 0;
        }
    }
    if (r < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static int tcp_open(const SockAddr *a, bool server, bool async, bool *pending, Error **errp)
{
    unsigned port = (unsigned)strtoul(a->port, NULL, 10);
    unsigned last = server && a->to > port ? a->to : port;
    int r = -EADDRNOTAVAIL;

    for (;; port++) {
        char text[16];
        struct addrinfo *list;
        snprintf(text, sizeof(text), "%u", port);
        list = look_up(a, last > port || a->to != 0 ? text : a->port, server, errp);
        if (list == NULL) {
            return -1;
        }
        for (const struct addrinfo *ai = list; ai != NULL && r < 0; ai = ai->ai_next) {
            r = try_one(ai, server, async, pending);
        }
        freeaddrinfo(list);
        if (r >= 0) {
            return r;
        }
        if (port >= last) {
            break;
        }
    }
    error_set_errno(errp, -r, server ? "cannot listen on tcp:%s:%s" : "cannot connect to tcp:%s:%s",
                    a->host, a->port);
    return -1;
}

/* ---- by the broker ---- */

/* What the broker is asked for, and what it answers. */
typedef struct SocketRequest {
    bool server, async, abstract;
    int family;
    unsigned to;
    char path[108], host[256], port[64]; /* a path, or the others */
} SocketRequest;

typedef struct SocketAnswer {
    bool pending;
    char error[512]; /* where there is no descriptor */
} SocketAnswer;

static int serve_socket(const void *req, size_t len, void *out, size_t *out_len)
{
    const SocketRequest *r = req;
    SocketAnswer *answer = out;
    SockAddr a = { .fd = -1 };
    Error *err = NULL;
    int fd;

    *out_len = sizeof(*answer);
    memset(answer, 0, sizeof(*answer));
    if (len != sizeof(*r) || r->path[sizeof(r->path) - 1] != '\0' || r->host[sizeof(r->host) - 1] != '\0' ||
        r->port[sizeof(r->port) - 1] != '\0') {
        return -1;
    }
    a.family = r->family;
    a.to = r->to;
    a.abstract = r->abstract;
    a.path = r->path[0] != '\0' ? (char *)r->path : NULL;
    a.host = (char *)r->host;
    a.port = (char *)r->port;
    if (a.path != NULL) {
        fd = r->server ? unix_listen(&a, &err) : unix_connect(&a, &err);
    } else {
        fd = tcp_open(&a, r->server, r->async, &answer->pending, &err);
    }
    if (fd < 0) {
        snprintf(answer->error, sizeof(answer->error), "%s", error_text(err));
        error_free(err);
    }
    return fd;
}

void addr_setup(void)
{
    broker_register(BROKER_SOCKET, serve_socket);
}

/* copy - false: there is no room for it. */
static bool copy(char *out, size_t size, const char *text)
{
    return (size_t)snprintf(out, size, "%s", text != NULL ? text : "") < size;
}

static int addr_open(const SockAddr *a, bool server, bool async, bool *pending, Error **errp)
{
    SocketRequest r = { .server = server, .async = async, .abstract = a->abstract, .family = a->family, .to = a->to };
    union {
        SocketAnswer a;
        char bytes[BROKER_MAX];
    } out;
    size_t len = 0;
    int fd;

    if (!copy(r.path, sizeof(r.path), a->path) || !copy(r.host, sizeof(r.host), a->host) ||
        !copy(r.port, sizeof(r.port), a->port)) {
        error_set(errp, "the address %s is too long", a->path != NULL ? a->path : a->host);
        return -1;
    }
    fd = broker_active() ? broker_call(BROKER_SOCKET, &r, sizeof(r), &out, &len)
                         : serve_socket(&r, sizeof(r), &out, &len);
    if (fd < 0) {
        error_set(errp, "%s", len == sizeof(out.a) ? out.a.error : "the broker does not answer");
    } else {
        *pending = out.a.pending;
    }
    return fd;
}

/* ---- either ---- */

int addr_listen(const SockAddr *a, Error **errp)
{
    bool pending;

    return a->fd >= 0 ? a->fd : addr_open(a, true, false, &pending, errp);
}

int addr_connect(const SockAddr *a, bool async, bool *pending, Error **errp)
{
    *pending = false;
    return a->fd >= 0 ? a->fd : addr_open(a, false, async, pending, errp);
}

char *addr_show(const SockAddr *a)
{
    if (a->fd >= 0) {
        return xasprintf("fd:%d", a->fd);
    }
    return a->path != NULL ? xasprintf("unix:%s", a->path)
                           : xasprintf("tcp:%s:%s", a->host, a->port);
}

char *addr_show_fd(int fd, bool peer)
{
    struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(ss);
    char host[64], port[16];
    int r;

    r = peer ? getpeername(fd, (struct sockaddr *)&ss, &len)
             : getsockname(fd, (struct sockaddr *)&ss, &len);
    if (r < 0 || (ss.ss_family != AF_INET && ss.ss_family != AF_INET6) ||
        getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return NULL;
    }
    return xasprintf(ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
