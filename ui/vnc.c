/*
 * VNC servers: where they listen, and what the monitor asks of them. All on the loop thread. Their clients are in
 * vnc-clients.c.
 */
#include <config.h>
#ifdef CONFIG_VNC
#include "ui/vnc-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/secret.h"
#include "ui/vnc-web.h"
#include "ui/vnc.h"

VncServer *vnc_servers;
static VncServer *ended; /* those whose clients' threads have not ended yet */

/* ---- servers ---- */

/* server_free - it is in no list but perhaps that of the ended. */
static void server_free(VncServer *s)
{
    for (VncServer **p = &ended; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    surface_unref(s->empty);
    vnc_auth_fini(&s->auth);
    vnc_options_free(&s->opts);
    free(s->id);
    free(s);
}

/* vnc_client_gone - with its server, where that waits for its last client. */
void vnc_client_gone(VncClient *c)
{
    VncServer *s = c->server;

    vnc_client_free(c);
    for (const VncServer *e = ended; e != NULL; e = e->next) {
        if (e == s && s->clients == NULL) {
            server_free(s);
            return;
        }
    }
}

/* web_listen - where the port is not said, it goes by the display that was found. */
static bool web_listen(VncServer *s, Error **errp)
{
    SockAddr addr = s->opts.web_addr;
    autofree char *port = NULL, *url = NULL;

    if (addr.port == NULL) {
        port = xasprintf("%d", atoi(strrchr(s->where, ':') + 1) - VNC_PORT + VNC_WEB_PORT);
        addr.port = port;
    }
    s->web = vnc_web_open(&addr, s->opts.web, vnc_take_client, s, errp);
    url = s->web != NULL ? vnc_web_url(s->web) : NULL;
    if (url != NULL) {
        printf("VNC in a browser: %s\n", url);
        fflush(stdout);
    }
    return s->web != NULL;
}

static bool server_listen(VncServer *s, Error **errp)
{
    int r;

    s->listen_fd = addr_listen(&s->opts.addr, errp);
    if (s->listen_fd < 0) {
        return false;
    }
    listen(s->listen_fd, 64); /* the queue of addr_listen() is for one peer */
    r = loop_fd_set(s->listen_fd, LOOP_READ, vnc_on_connect, s);
    if (r < 0) {
        error_set_errno(errp, -r, "vnc: cannot watch the socket");
        close(s->listen_fd);
        s->listen_fd = -1;
        return false;
    }
    s->where = s->opts.addr.path != NULL ? xstrdup(s->opts.addr.path)
                                         : addr_show_fd(s->listen_fd, false);
    s->family = s->opts.addr.path != NULL ? "unix" : *s->where == '[' ? "ipv6" : "ipv4";
    return true;
}

/* server_open - all that it serves at. */
static bool server_open(VncServer *s, Error **errp)
{
    return (s->opts.none || server_listen(s, errp)) && (!s->opts.websocket || web_listen(s, errp));
}

/* server_close - and no longer. With @wait the loop is over. */
static void server_close(VncServer *s, bool wait)
{
    vnc_web_close(s->web, wait);
    s->web = NULL;
    if (s->listen_fd >= 0) {
        loop_fd_remove(s->listen_fd);
        close(s->listen_fd);
        if (s->opts.addr.path != NULL) {
            host_unlink(s->opts.addr.path);
        }
    }
    s->listen_fd = -1;
    free(s->where);
    s->where = NULL;
}

static VncServer *server_new(const VncOptions *o)
{
    VncServer *s = xnew(VncServer), **p = &vnc_servers;

    s->listen_fd = -1;
    s->opts = *o;
    s->id = xstrdup(o->id != NULL ? o->id : "default");
    vnc_auth_init(&s->auth, o->password, o->secret != NULL ? secret_find(o->secret, NULL) : NULL);
    timer_init(&s->retry, CLK_REAL, vnc_on_retry, s, NULL);
    while (*p != NULL) {
        p = &(*p)->next;
    }
    *p = s;
    return s;
}

/* server_end - it serves nobody any more and is freed: now, or when the last of its clients' threads has ended. */
static void server_end(VncServer *s, bool wait)
{
    for (VncServer **p = &vnc_servers; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    server_close(s, wait);
    timer_cancel(&s->retry);
    if (s->clients == NULL) {
        server_free(s);
        return;
    }
    s->next = ended;
    ended = s;
    for (VncClient *c = s->clients; c != NULL; c = c->next) {
        vnc_hang_up(c);
    }
}

bool vnc_open(const char *spec, Error **errp)
{
    VncOptions o;
    VncServer *s;

    if (!vnc_options_parse(&o, spec, errp)) {
        return false;
    }
    if (!vnc_library_init(errp)) {
        vnc_options_free(&o);
        return false;
    }
    if (o.secret != NULL && secret_find(o.secret, NULL) == NULL) {
        error_set(errp, "there is no secret '%s' (-object secret,id=...)", o.secret);
        vnc_options_free(&o);
        return false;
    }
    s = server_new(&o);
    if (!server_open(s, errp)) {
        server_end(s, false);
        return false;
    }
    return true;
}

bool vnc_open_default(Error **errp)
{
    VncServer *s;

    if (!vnc_open("127.0.0.1:0,to=99", errp)) {
        return false;
    }
    for (s = vnc_servers; s->next != NULL; s = s->next) {
    }
    printf("VNC server running on %s\n", s->where);
    fflush(stdout);
    return true;
}

void vnc_close_all(void)
{
    while (vnc_servers != NULL) {
        server_end(vnc_servers, true);
    }
    while (ended != NULL) {
        vnc_client_gone(ended->clients); /* the loop is over: nobody else does it */
    }
}

/* web_info - of a web server; each time it is a URL for one more browser. */
static void web_info(const VncServer *s, FILE *out)
{
    autofree char *url = s->web != NULL ? vnc_web_url(s->web) : NULL;

    if (url != NULL) {
        fprintf(out, "  Browser: %s\n", url);
    } else if (s->web != NULL) {
        fprintf(out, "  WebSocket: %s\n", vnc_web_where(s->web));
    }
}

/* ---- what QMP tells of them ---- */

/* split - "127.0.0.1:5900", "[::1]:5900" or a path into @copy, which @a points into. */
static void split(VncAddress *a, char *copy, const char *where, const char *family)
{
    char *colon = strrchr(copy, ':');

    *a = (VncAddress){ .host = where != NULL ? copy : NULL, .service = copy, .family = family };
    if (where == NULL || strcmp(family, "unix") == 0 || colon == NULL) {
        return;
    }
    *colon = '\0';
    a->service = colon + 1;
    if (copy[0] == '[' && colon > copy + 1) {
        colon[-1] = '\0';
        a->host = copy + 1;
    }
}

void vnc_each(void (*server)(void *opaque, const char *id, const char *auth, const VncAddress *a),
              void (*client)(void *opaque, const VncAddress *a), void *opaque)
{
    for (const VncServer *s = vnc_servers; s != NULL; s = s->next) {
        autofree char *where = xstrdup(s->where != NULL ? s->where : "");
        VncAddress a;

        split(&a, where, s->where, s->family);
        server(opaque, s->id, s->auth.on ? "vnc" : "none", &a);
        for (const VncClient *c = s->clients; c != NULL; c = c->next) {
            autofree char *peer = xstrdup(c->peer);

            if (c->seat != NULL) {
                split(&a, peer, c->peer, s->family);
                client(opaque, &a);
            }
        }
    }
}

/* tell - an event about @c. */
void vnc_tell(const char *event, const VncClient *c)
{
    const VncServer *s = c->server;
    autofree char *where = xstrdup(s->where != NULL ? s->where : ""), *peer = xstrdup(c->peer);
    const char *family = s->family != NULL ? s->family : "unknown";
    VncAddress to, from;

    split(&to, where, where, family);
    split(&from, peer, peer, family);
    const EventField fields[] = {
        EV_STR("server.auth", s->auth.on ? "vnc" : "none"),
        EV_STR("server.family", to.family), EV_STR("server.service", to.service),
        EV_STR("server.host", to.host), EV_BOOL("server.websocket", to.websocket),
        EV_STR("client.family", from.family), EV_STR("client.service", from.service),
        EV_STR("client.host", from.host), EV_BOOL("client.websocket", from.websocket), EV_END,
    };
    event_emit(event, fields);
}

void vnc_info(FILE *out)
{
    if (vnc_servers == NULL) {
        fprintf(out, "None\n");
    }
    for (const VncServer *s = vnc_servers; s != NULL; s = s->next) {
        fprintf(out, "%s:\n", s->id);
        if (s->where != NULL) {
            fprintf(out, "  Server: %s (%s)\n    Auth: %s (Sub: none)\n", s->where, s->family,
                    s->auth.on ? "vnc" : "none");
        }
        web_info(s, out);
        for (const VncClient *c = s->clients; c != NULL; c = c->next) {
            if (c->seat != NULL) {
                fprintf(out, "  Client: %s (%s)\n    x509_dname: none\n    sasl_username: none\n",
                        c->peer, s->family != NULL ? s->family : "websocket");
            }
        }
        if (s->where == NULL) {
            fprintf(out, "    Auth: %s (Sub: none)\n", s->auth.on ? "vnc" : "none");
        }
    }
}

/* ---- for the monitor ---- */

/* find_server - by its id; NULL: the first one. */
static VncServer *find_server(const char *id, Error **errp)
{
    for (VncServer *s = vnc_servers; s != NULL; s = s->next) {
        if (id == NULL || strcmp(s->id, id) == 0) {
            return s;
        }
    }
    error_set(errp, id != NULL ? "there is no VNC server '%s'" : "there is no VNC server", id);
    return NULL;
}

static VncServer *find_with_password(const char *id, Error **errp)
{
    VncServer *s = find_server(id, errp);

    if (s != NULL && !s->auth.on) {
        error_set(errp, "VNC server '%s' asks for no password (-vnc ...,password=on)", s->id);
        return NULL;
    }
    return s;
}

bool vnc_set_password(const char *id, const char *password, Error **errp)
{
    VncServer *s = find_with_password(id, errp);

    if (s != NULL) {
        vnc_auth_set(&s->auth, password);
    }
    return s != NULL;
}

bool vnc_expire_password(const char *id, int64_t when, Error **errp)
{
    VncServer *s = find_with_password(id, errp);

    if (s != NULL) {
        vnc_auth_expire(&s->auth, when);
    }
    return s != NULL;
}

/* The new one is where the old one was, perhaps at the same address; so that goes first, and comes back if the
 * new one cannot be. Its viewers go. */
bool vnc_change(const char *spec, Error **errp)
{
    VncServer *old = vnc_servers, *s;
    Error *err = NULL, *again = NULL;
    bool ok;

    if (old == NULL) {
        return vnc_open(spec, errp);
    }
    if (!vnc_check(spec, errp)) {
        return false;
    }
    server_close(old, false);
    ok = vnc_open(spec, &err);
    if (!ok) {
        error_move(errp, err);
        if (!server_open(old, &again)) {
            error_free(again);
        }
        return false;
    }
    for (s = vnc_servers; s->next != NULL; s = s->next) {
    }
    if (s->auth.on && old->auth.set && !s->auth.set) {
        vnc_auth_set(&s->auth, old->auth.password);
    }
    server_end(old, false);
    return true;
}

#endif
