/*
 * A browser's connection, on a thread of its own: one HTTP request, answered by a file, or by WebSocket frames
 * until one side hangs up. All that comes is from a hostile peer.
 *
 * Sources: RFC 9110 (HTTP semantics), RFC 6455 (WebSocket; sections are its).
 */
#include <config.h>
#if defined(CONFIG_VNC) && defined(CONFIG_GNUTLS)
#include "ui/vnc-web-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "ui/http.h"
#include "ui/vnc-handshake.h"
#include "ui/vnc-internal.h"
#include "ui/web-library.h"
#include "ui/websocket.h"

enum { CHUNK = 16384, FILE_MAX = 16 << 20 };

/* ---- HTTP ---- */

static bool give(WebConnection *c, const void *buf, size_t n)
{
    return vnc_give(c->fd, buf, n, clock_now(CLK_REAL) + VNC_STALL_MS * NS_PER_MS);
}

/* answer - a head; @more are fields, each with its line end, and @len bytes follow. */
static bool answer(WebConnection *c, const char *status, const char *more, size_t len)
{
    autofree char *head = xasprintf("HTTP/1.1 %s\r\n"
                                    "Connection: close\r\n"
                                    "Content-Length: %zu\r\n"
                                    "X-Content-Type-Options: nosniff\r\n"
                                    "Referrer-Policy: no-referrer\r\n"
                                    "X-Frame-Options: DENY\r\n"
                                    "%s\r\n",
                                    status, len, more);

    return give(c, head, strlen(head));
}

/* fail - an answer without a page but one line of text. */
static void fail(WebConnection *c, const char *status, const char *text)
{
    if (answer(c, status, "Content-Type: text/plain; charset=utf-8\r\n", strlen(text))) {
        give(c, text, strlen(text));
    }
}

/* same - in a time that does not tell where they differ. */
static bool same(const char a[WEB_SECRET], const char *b)
{
    unsigned differ = 0;

    if (strlen(b) != WEB_SECRET - 1) {
        return false;
    }
    for (size_t k = 0; k < WEB_SECRET - 1; k++) {
        differ |= (unsigned char)(a[k] ^ b[k]);
    }
    return differ == 0;
}

/* may - it has the session's cookie, or needs none. */
static bool may(WebConnection *c, const HttpRequest *r)
{
    char cookie[WEB_SECRET + 1];
    bool ok;

    pthread_mutex_lock(&c->access->lock);
    ok = c->access->session[0] == '\0' ||
         (http_param(r->cookie, ';', "doppel", cookie, sizeof(cookie)) && same(c->access->session, cookie));
    pthread_mutex_unlock(&c->access->lock);
    return ok;
}

/* admit - the URL's token for a cookie, and on to noVNC's page. False: it had none that is good. */
static bool admit(WebConnection *c, const HttpRequest *r)
{
    char token[WEB_SECRET + 1];
    autofree char *fields = NULL;
    bool ok;

    if (!http_param(r->query, '&', "token", token, sizeof(token))) {
        return false;
    }
    pthread_mutex_lock(&c->access->lock);
    ok = c->access->token[0] != '\0' && same(c->access->token, token);
    if (ok) {
        c->access->token[0] = '\0';
        fields = xasprintf("Location: /vnc.html?autoconnect=true&resize=scale&path=websockify\r\n"
                           "Set-Cookie: doppel=%s; Path=/; HttpOnly; SameSite=Lax\r\n"
                           "Cache-Control: no-store\r\n",
                           c->access->session);
    }
    pthread_mutex_unlock(&c->access->lock);
    if (ok) {
        answer(c, "302 Found", fields, 0);
    }
    return ok;
}

static void send_file(WebConnection *c, const HttpRequest *r)
{
    bool head = strcmp(r->method, "HEAD") == 0;
    autofree char *path = NULL, *fields = NULL, *data = NULL;
    struct stat st;
    int fd = -1;

    if (http_file_ok(r->path)) {
        path = xasprintf("%s%s", c->folder, r->path);
        fd = host_open(path, O_RDONLY | O_NONBLOCK, 0);
    }
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX ||
        (data = try_newn(char, (size_t)st.st_size + 1)) == NULL ||
        pread(fd, data, (size_t)st.st_size, 0) != st.st_size) {
        fail(c, "404 Not Found", "There is no such file.\n");
    } else {
        fields = xasprintf("Content-Type: %s\r\n", http_type(r->path));
        if (answer(c, "200 OK", fields, (size_t)st.st_size) && !head) {
            give(c, data, (size_t)st.st_size);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* ---- WebSocket ---- */

/* upgrade - 4.2, "Server-Side Requirements". False: refused, and answered. */
static bool upgrade(WebConnection *c, const HttpRequest *r)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* 1.3 */
    const char *host = strstr(r->origin, "://");
    autofree char *text = xasprintf("%s%s", r->ws_key, guid), *head = NULL;
    char accept[WS_ACCEPT_SIZE];
    uint8_t digest[20];

    if (strcmp(r->ws_version, "13") != 0) {
        answer(c, "426 Upgrade Required", "Sec-WebSocket-Version: 13\r\n", 0);
        return false;
    }
    if (strlen(r->ws_key) != 24 || !http_has(r->connection, "upgrade") ||
        (*r->ws_protocol != '\0' && !http_has(r->ws_protocol, "binary"))) {
        fail(c, "400 Bad Request", "Only the binary protocol is spoken here.\n");
        return false;
    }
    /* Cookies do not tell which page it is that connects; 10.2, "Origin Considerations". */
    if (!may(c, r) || (c->folder != NULL && (host == NULL || strcmp(host + 3, r->host) != 0))) {
        fail(c, "403 Forbidden", "Open the URL that doppel printed.\n");
        return false;
    }
    if (web_library.gnutls_hash_fast(GNUTLS_DIG_SHA1, text, strlen(text), digest) != 0) {
        return false;
    }
    ws_base64(digest, sizeof(digest), accept);
    head = xasprintf("HTTP/1.1 101 Switching Protocols\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n"
                     "%s\r\n",
                     accept, *r->ws_protocol != '\0' ? "Sec-WebSocket-Protocol: binary\r\n" : "");
    return give(c, head, strlen(head));
}

typedef struct Relay {
    int web, rfb;
    WsDecoder dec;
    bool closing;
    uint8_t in[CHUNK];                       /* from the browser, not decoded yet */
    size_t in_at, in_len;
    uint8_t rfb_out[CHUNK];                  /* to the VNC client's thread */
    size_t rfb_at, rfb_len;
    uint8_t web_out[CHUNK + WS_HEAD_MAX + 2 * (WS_HEAD_MAX + WS_CONTROL_MAX)]; /* to the browser */
    size_t web_at, web_len;
} Relay;

/* say - a frame; what finds no room is lost, which only a second answer to a ping can be. */
static void say(Relay *r, WsOpcode opcode, const uint8_t *buf, size_t n)
{
    uint8_t head[WS_HEAD_MAX];
    size_t size = ws_head(head, opcode, n);

    if (size + n <= sizeof(r->web_out) - r->web_len) {
        memcpy(r->web_out + r->web_len, head, size);
        memcpy(r->web_out + r->web_len + size, buf, n);
        r->web_len += size + n;
    }
}

/* decode - what came, as far as there is room behind it. False: the peer may not say that. */
static bool decode(Relay *r)
{
    while (r->in_at < r->in_len && r->rfb_len == 0 && !r->closing) {
        unsigned control;
        ssize_t n = ws_decode(&r->dec, r->in + r->in_at, r->in_len - r->in_at, r->rfb_out, &r->rfb_len, &control);

        if (n < 0) {
            return false;
        }
        r->in_at += (size_t)n;
        if (control == WS_PING) {
            say(r, WS_PONG, r->dec.control, r->dec.control_len);
        } else if (control == WS_CLOSE) { /* 5.5.1: answered by the same */
            say(r, WS_CLOSE, r->dec.control, MIN(r->dec.control_len, 2u));
            r->closing = true;
        }
    }
    return true;
}

/* flush - as much as goes now. False: the other side is gone. */
static bool flush(int fd, const uint8_t *buf, size_t *at, size_t *len)
{
    while (*at < *len) {
        ssize_t n = send(fd, buf + *at, *len - *at, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        *at += (size_t)n;
    }
    *at = *len = 0;
    return true;
}

/* fill - what is there to read. False: the other side is gone. */
static bool fill(int fd, uint8_t *buf, size_t size, size_t *len)
{
    ssize_t n = recv(fd, buf, size, MSG_DONTWAIT);

    *len = n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* step - wait for something to do and do it. False: the end. */
static bool step(Relay *r)
{
    static const uint8_t normal[2] = { 1000 >> 8, 1000 & 0xff }; /* 7.4.1, "Defined Status Codes" */
    bool in = r->in_at == r->in_len && r->rfb_len == 0, out = r->web_len == 0 && !r->closing;
    struct pollfd p[2] = {
        { .fd = r->web, .events = (short)((in ? POLLIN : 0) | (out ? 0 : POLLOUT)) },
        { .fd = r->rfb, .events = (short)((out ? POLLIN : 0) | (r->rfb_len > 0 ? POLLOUT : 0)) },
    };
    uint8_t buf[CHUNK];
    size_t n;

    for (unsigned k = 0; k < 2; k++) {
        p[k].fd = p[k].events != 0 ? p[k].fd : -1; /* that it hung up would be said again and again */
    }
    if (poll(p, 2, r->web_len == 0 && r->rfb_len == 0 ? -1 : VNC_STALL_MS) <= 0) {
        return false; /* stalled: an interrupted wait cannot be, signals are blocked */
    }
    if ((p[0].revents & (POLLERR | POLLNVAL)) || (p[1].revents & (POLLERR | POLLNVAL))) {
        return false;
    }
    if ((p[0].revents & (POLLIN | POLLHUP)) && in) {
        r->in_at = 0;
        if (!fill(r->web, r->in, sizeof(r->in), &r->in_len)) {
            return false;
        }
    }
    if ((p[1].revents & (POLLIN | POLLHUP)) && out) {
        if (!fill(r->rfb, buf, sizeof(buf), &n)) {
            say(r, WS_CLOSE, normal, sizeof(normal));
            r->closing = true;
        } else if (n > 0) {
            say(r, WS_BINARY, buf, n);
        }
    }
    do {
        if (!decode(r) || !flush(r->rfb, r->rfb_out, &r->rfb_at, &r->rfb_len)) {
            return false;
        }
    } while (r->in_at < r->in_len && r->rfb_len == 0 && !r->closing);
    return flush(r->web, r->web_out, &r->web_at, &r->web_len) && !(r->closing && r->web_len == 0);
}

/* relay - between the browser, of which @n bytes at @rest came already, and a new VNC client. */
static void relay(WebConnection *c, const char *rest, size_t n)
{
    Relay *r = xnew(Relay);
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
        web_client(c, pair[0]);
        r->web = c->fd;
        r->rfb = pair[1];
        memcpy(r->in, rest, n);
        r->in_len = n;
        while (step(r)) {
        }
        close(pair[1]);
    }
    free(r);
}

/* ---- life ---- */

/* take_head - the request's head into @text with a NUL behind it; its size, 0 for none. *have: bytes that came. */
static size_t take_head(WebConnection *c, char text[HTTP_HEAD_MAX + 1], size_t *have)
{
    int64_t deadline = clock_now(CLK_REAL) + VNC_HANDSHAKE_MS * NS_PER_MS;
    size_t end = 0;

    *have = 0;
    while (end == 0 && *have < HTTP_HEAD_MAX) {
        ssize_t n = recv(c->fd, text + *have, HTTP_HEAD_MAX - *have, MSG_DONTWAIT);

        if (n > 0) {
            *have += (size_t)n;
            end = http_head_end(text, *have);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !vnc_wait_for(c->fd, POLLIN, deadline)) {
            return 0;
        }
    }
    return end;
}

static void serve(WebConnection *c)
{
    char text[HTTP_HEAD_MAX + 1], rest[HTTP_HEAD_MAX];
    size_t have, end = take_head(c, text, &have);
    HttpRequest r;

    if (end == 0) {
        return;
    }
    memcpy(rest, text + end, have - end);
    text[end] = '\0';
    if (strlen(text) != end || !http_parse(text, &r)) {
        fail(c, "400 Bad Request", "That is no HTTP.\n");
    } else if (strcmp(r.method, "GET") != 0 && strcmp(r.method, "HEAD") != 0) {
        answer(c, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", 0);
    } else if (http_has(r.upgrade, "websocket")) {
        if (upgrade(c, &r)) {
            relay(c, rest, have - end);
        }
    } else if (c->folder == NULL) {
        fail(c, "426 Upgrade Required", "Here is a WebSocket for VNC; web=on serves pages too.\n");
    } else if (!admit(c, &r)) {
        if (!may(c, &r)) {
            fail(c, "403 Forbidden", "Open the URL that doppel printed; `info vnc` in its monitor makes another.\n");
        } else {
            send_file(c, &r);
        }
    }
}

void *web_thread(void *opaque)
{
    WebConnection *c = opaque;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, "vnc-web");
    sandbox_thread(SANDBOX_VIEWER);
    serve(c);
    shutdown(c->fd, SHUT_RDWR);
    web_leave(c);
    return NULL;
}

#endif
