/*
 * Names of NBD exports: see nbd-client.h.
 *
 * Sources: the NBD project's doc/uri.md; qemu(1), "NBD based disk images".
 */
#include "block/nbd-client.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "block/nbd.h"

enum { RECONNECT_MAX = 86400 };

bool nbd_is_address(const char *name)
{
    return strncmp(name, "nbd:", 4) == 0 || strncmp(name, "nbd+unix:", 9) == 0 || strncmp(name, "nbd+tcp:", 8) == 0;
}

void nbd_address_free(NbdAddress *a)
{
    addr_free(&a->addr);
    free(a->export_name);
    a->export_name = NULL;
}

/* take_socket - @path, or @host and @port. */
static bool take_socket(NbdAddress *a, const char *path, const char *host, const char *port, Error **errp)
{
    OptList *l = opt_new();
    bool ok;

    if (path != NULL) {
        opt_set(l, "path", path);
    } else {
        opt_set(l, "host", host);
        opt_set(l, "port", port);
    }
    ok = addr_take(&a->addr, l, errp);
    opt_free(l);
    return ok;
}

/* ---- nbd:... ---- */

static bool parse_legacy(NbdAddress *a, const char *text, Error **errp)
{
    static const char key[] = ":exportname=";
    const char *name = strstr(text, key), *colon;
    autofree char *where = xstrndup(text, name != NULL ? (size_t)(name - text) : strlen(text));
    autofree char *host = NULL;

    a->export_name = xstrdup(name != NULL ? name + strlen(key) : "");
    if (strncmp(where, "unix:", 5) == 0) {
        return take_socket(a, where + 5, NULL, NULL, errp);
    }
    colon = strrchr(where, ':');
    if (colon == NULL || colon == where) {
        error_set(errp, "host name or port missing");
        return false;
    }
    host = where[0] == '[' && colon[-1] == ']' ? xstrndup(where + 1, (size_t)(colon - where) - 2)
                                               : xstrndup(where, (size_t)(colon - where));
    return take_socket(a, NULL, host, colon + 1, errp);
}

/* ---- URIs ---- */

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* decode - [@text, +@len) without its %XX; NULL: one of them is none, or stands for 0. */
static char *decode(const char *text, size_t len)
{
    char *out = xnewn(char, len + 1);
    size_t at = 0;

    for (size_t n = 0; n < len; n++) {
        int v = (unsigned char)text[n];

        if (v == '%') {
            v = len - n >= 3 && hex(text[n + 1]) >= 0 && hex(text[n + 2]) >= 0 ? hex(text[n + 1]) * 16 + hex(text[n + 2]) : 0;
            n += 2;
        }
        if (v == 0) {
            free(out);
            return NULL;
        }
        out[at++] = (char)v;
    }
    return out;
}

/* take_query - socket= and reconnect-delay= of what is behind the `?`. */
static bool take_query(NbdAddress *a, const char *query, char **socket, Error **errp)
{
    while (*query != 0) {
        size_t len = strcspn(query, "&"), key = strcspn(query, "=");
        autofree char *value = key < len ? decode(query + key + 1, len - key - 1) : NULL;
        uint64_t v;

        if (key == 6 && strncmp(query, "socket", 6) == 0 && value != NULL && *socket == NULL) {
            *socket = value;
            value = NULL;
        } else if (key == 15 && strncmp(query, "reconnect-delay", 15) == 0 && value != NULL &&
                   text_u64(value, RECONNECT_MAX, &v)) {
            a->reconnect_s = (unsigned)v;
        } else {
            error_set(errp, "'%.*s' is no good", (int)len, query);
            return false;
        }
        query += len + (query[len] == '&');
    }
    return true;
}

/* take_host - "host", "host:port", "[address]:port". */
static bool take_host(NbdAddress *a, const char *text, size_t len, Error **errp)
{
    autofree char *all = decode(text, len);
    char *host = all, *port = NULL, *end;

    if (all != NULL && *all == '[' && (end = strchr(all, ']')) != NULL) {
        host = all + 1;
        port = end[1] == ':' ? end + 2 : NULL;
        *end = 0;
    } else if (all != NULL && (end = strrchr(all, ':')) != NULL) {
        port = end + 1;
        *end = 0;
    }
    if (host == NULL || *host == 0) {
        error_set(errp, "the host is missing");
        return false;
    }
    return take_socket(a, NULL, host, port != NULL && *port != 0 ? port : NBD_DEFAULT_PORT, errp);
}

/* parse_uri - @text is behind the "//". */
static bool parse_uri(NbdAddress *a, const char *text, bool is_unix, Error **errp)
{
    size_t host = strcspn(text, "/?"), path = strcspn(text, "?");
    const char *name = text + host + (text[host] == '/');
    autofree char *socket = NULL;
    bool ok;

    a->export_name = decode(name, (size_t)(text + path - name));
    if (a->export_name == NULL) {
        error_set(errp, "the export's name is no good");
        return false;
    }
    ok = take_query(a, text[path] == '?' ? text + path + 1 : "", &socket, errp);
    if (ok && is_unix != (socket != NULL)) {
        error_set(errp, is_unix ? "socket= is missing" : "socket= is for nbd+unix://");
        return false;
    }
    return ok && (is_unix ? take_socket(a, socket, NULL, NULL, errp) : take_host(a, text, host, errp));
}

bool nbd_address_parse(NbdAddress *a, const char *name, Error **errp)
{
    const char *rest = strchr(name, ':') + 1;
    bool ok;

    *a = (NbdAddress){ .addr = { .fd = -1 } };
    if (strncmp(rest, "//", 2) == 0) {
        ok = parse_uri(a, rest + 2, strncmp(name, "nbd+unix:", 9) == 0, errp);
    } else if (strncmp(name, "nbd:", 4) == 0) {
        ok = parse_legacy(a, rest, errp);
    } else {
        error_set(errp, "'//' is missing");
        ok = false;
    }
    if (ok && strlen(a->export_name) > NBD_STRING_MAX) {
        error_set(errp, "the export's name is longer than %d bytes", NBD_STRING_MAX);
        ok = false;
    }
    if (!ok) {
        error_prepend(errp, "Could not open '%s': ", name);
    }
    return ok;
}

/* ---- options ---- */

/* encode - what decode() gives @text for. */
static char *encode(const char *text)
{
    char *out = xnewn(char, 3 * strlen(text) + 1), *p = out;

    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("/._-~", c) != NULL) {
            *p++ = (char)c;
        } else {
            p += snprintf(p, 4, "%%%02X", c);
        }
    }
    return out;
}

static const char *text_of(OptList *l, const char *prefix, const char *key)
{
    autofree char *name = xasprintf("%s%s", prefix, key);

    return opt_get_str(l, name, NULL);
}

char *nbd_address_take(OptList *l, const char *prefix, Error **errp)
{
    const char *type = text_of(l, prefix, "server.type"), *path = text_of(l, prefix, "server.path");
    const char *host = text_of(l, prefix, "server.host"), *port = text_of(l, prefix, "server.port");
    const char *name = text_of(l, prefix, "export"), *delay = text_of(l, prefix, "reconnect-delay");
    autofree char *e_name = encode(name != NULL ? name : ""), *e_path = NULL;
    autofree char *e_delay = delay != NULL ? xasprintf("reconnect-delay=%s", delay) : NULL;
    uint64_t v;

    if (type == NULL) { /* the older spelling */
        path = path != NULL ? path : text_of(l, prefix, "path");
        host = host != NULL ? host : text_of(l, prefix, "host");
        port = port != NULL ? port : text_of(l, prefix, "port");
        type = path != NULL ? "unix" : "inet";
    }
    if (delay != NULL && !text_u64(delay, RECONNECT_MAX, &v)) {
        error_set(errp, "Parameter 'reconnect-delay' expects a number of seconds, at most %d", RECONNECT_MAX);
        return NULL;
    }
    if (strcmp(type, "unix") == 0 && path != NULL) {
        e_path = encode(path);
        return xasprintf("nbd+unix:///%s?socket=%s%s%s", e_name, e_path, delay != NULL ? "&" : "", delay != NULL ? e_delay : "");
    }
    if (strcmp(type, "inet") == 0 && host != NULL) {
        bool six = strchr(host, ':') != NULL;

        return xasprintf("nbd://%s%s%s:%s/%s%s%s", six ? "[" : "", host, six ? "]" : "", port != NULL ? port : NBD_DEFAULT_PORT,
                         e_name, delay != NULL ? "?" : "", delay != NULL ? e_delay : "");
    }
    if (strcmp(type, "unix") != 0 && strcmp(type, "inet") != 0) {
        error_set(errp, "nbd: server.type=%s is not supported (unix and inet are)", type);
    } else {
        error_set(errp, "nbd: server.%s is missing", strcmp(type, "unix") == 0 ? "path" : "host");
    }
    return NULL;
}
