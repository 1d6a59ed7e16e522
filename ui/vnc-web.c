/*
 * The web server of VNC, on the loop thread: the listener and who is connected. See vnc-web.h.
 */
#include <config.h>
#if defined(CONFIG_VNC) && defined(CONFIG_GNUTLS)
#include "ui/vnc-web-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "ui/web-library.h"

enum { CONNECTIONS_MAX = 64, STACK = 256 << 10 };

static const char folder[] = "/usr/share/novnc";

struct VncWeb {
    int listen_fd;
    SockAddr addr; /* only its path, for the end */
    char *where;
    bool files, closed;
    void (*client)(void *opaque, int fd, const char *peer);
    void *opaque;
    WebAccess access;
    WebConnection *connections;
    unsigned count;
};

/* A connection that was upgraded, on its way to the loop. */
typedef struct NewClient {
    VncWeb *web;
    int fd;
    char *peer;
} NewClient;

void web_secret(char out[WEB_SECRET])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[WEB_SECRET / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
        abort(); /* cannot be: so few come at once, once there are any */
    }
    for (size_t n = 0; n < sizeof(bytes); n++) {
        *out++ = digits[bytes[n] >> 4];
        *out++ = digits[bytes[n] & 15];
    }
    *out = '\0';
}

static void web_free(VncWeb *w)
{
    pthread_mutex_destroy(&w->access.lock);
    free(w->addr.path);
    free(w->where);
    free(w);
}

static void connection_free(WebConnection *c)
{
    VncWeb *w = c->web;

    pthread_join(c->thread, NULL);
    for (WebConnection **p = &w->connections; *p != NULL; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    w->count--;
    close(c->fd);
    free(c->peer);
    free(c);
    if (w->closed && w->connections == NULL) {
        web_free(w);
    }
}

static void on_left(void *opaque)
{
    connection_free(opaque);
}

static void on_connect(void *opaque, int listen_fd, unsigned events)
{
    VncWeb *w = opaque;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;
    WebConnection *c;
    pthread_attr_t attr;

    if (fd < 0) {
        return;
    }
    if (w->count >= CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    c = xnew(WebConnection);
    c->web = w;
    c->fd = fd;
    c->peer = addr_show_fd(fd, true);
    c->access = &w->access;
    c->folder = w->files ? folder : NULL;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    r = pthread_create(&c->thread, &attr, web_thread, c);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        report("vnc: no thread for a browser: %s", strerror(r));
        close(fd);
        free(c->peer);
        free(c);
        return;
    }
    c->next = w->connections;
    w->connections = c;
    w->count++;
}

VncWeb *vnc_web_open(const SockAddr *addr, bool files,
                     void (*client)(void *opaque, int fd, const char *peer), void *opaque,
                     Error **errp)
{
    VncWeb *w;
    int fd, r;

    fd = files ? host_open(folder, O_RDONLY | O_DIRECTORY, 0) : -1;
    if (fd >= 0) {
        close(fd);
    } else if (files) {
        error_set(errp, "web=on: there is no noVNC in %s (Debian: apt-get install novnc)", folder);
        return NULL;
    }
    if (!web_library_load(errp)) {
        return NULL;
    }
    fd = addr_listen(addr, errp);
    if (fd < 0) {
        return NULL;
    }
    listen(fd, CONNECTIONS_MAX); /* the queue of addr_listen() is for one peer */
    w = xnew(VncWeb);
    w->listen_fd = fd;
    w->addr.path = xstrdup(addr->path);
    w->where = addr->path != NULL ? xstrdup(addr->path) : addr_show_fd(fd, false);
    w->files = files;
    w->client = client;
    w->opaque = opaque;
    pthread_mutex_init(&w->access.lock, NULL);
    if (files) {
        web_secret(w->access.session);
    }
    r = loop_fd_set(fd, LOOP_READ, on_connect, w);
    if (r < 0) {
        error_set_errno(errp, -r, "vnc: cannot watch the socket");
        close(fd);
        web_free(w);
        return NULL;
    }
    return w;
}

void vnc_web_close(VncWeb *w, bool wait)
{
    WebConnection *next;

    if (w == NULL) {
        return;
    }
    loop_fd_remove(w->listen_fd);
    close(w->listen_fd);
    if (w->addr.path != NULL) {
        host_unlink(w->addr.path);
    }
    w->closed = true;
    for (WebConnection *c = w->connections; c != NULL; c = c->next) {
        shutdown(c->fd, SHUT_RDWR);
    }
    if (w->connections == NULL) {
        web_free(w);
        return;
    }
    for (WebConnection *c = w->connections; wait && c != NULL; c = next) {
        next = c->next;
        connection_free(c);
    }
}

const char *vnc_web_where(const VncWeb *w)
{
    return w->where;
}

char *vnc_web_url(VncWeb *w)
{
    char token[WEB_SECRET];

    if (!w->files) {
        return NULL;
    }
    pthread_mutex_lock(&w->access.lock);
    if (w->access.token[0] == '\0') {
        web_secret(w->access.token);
    }
    memcpy(token, w->access.token, sizeof(token));
    pthread_mutex_unlock(&w->access.lock);
    return xasprintf("http://%s/?token=%s", w->where, token);
}

/* ---- on connections' threads ---- */

static void on_client(void *opaque)
{
    NewClient *n = opaque;

    if (n->web->closed) {
        close(n->fd);
    } else {
        n->web->client(n->web->opaque, n->fd, n->peer);
    }
    free(n->peer);
    free(n);
}

void web_client(WebConnection *c, int fd)
{
    NewClient *n = xnew(NewClient);

    n->web = c->web;
    n->fd = fd;
    n->peer = xstrdup(c->peer);
    loop_post(on_client, n); /* before web_leave()'s: the web server is there */
}

void web_leave(WebConnection *c)
{
    loop_post(on_left, c);
}

#endif
