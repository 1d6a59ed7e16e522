/*
 * The argument of -vnc: "host:display", ":display", "unix:path" or "none", and sub-options.
 */
#include <config.h>
#include "ui/vnc-internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/text.h"
#include "ui/vnc.h"

enum { WEB_PORT_LAST = 5799 };

/* take_port - "host:display", with "[::1]:display" too. */
static bool take_port(VncOptions *o, OptList *l, const char *text, Error **errp)
{
    const char *colon = strrchr(text, ':');
    uint64_t display, to;
    size_t n;

    if (colon == NULL) {
        error_set(errp, "no vnc port specified (host:display, unix:path or none)");
        return false;
    }
    if (!text_u64(colon + 1, 65535, &display)) {
        error_set(errp, "'%s' is not a display's number", colon + 1);
        return false;
    }
    if (display > 65535 - VNC_PORT) {
        error_set(errp, "port %s out of range", colon + 1);
        return false;
    }
    to = opt_get_u64(l, "to", 65535 - VNC_PORT, display);
    if (to < display) {
        error_set(errp, "to=%llu is below the display's number", (unsigned long long)to);
        return false;
    }
    n = (size_t)(colon - text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    o->addr.host = xstrndup(text, n);
    o->addr.port = xasprintf("%llu", (unsigned long long)display + VNC_PORT);
    o->addr.to = to > display ? (unsigned)to + VNC_PORT : 0;
    return true;
}

static bool take_address(VncOptions *o, OptList *l, Error **errp)
{
    const char *text = opt_get_str(l, "vnc", NULL);
    bool v4 = opt_get_bool(l, "ipv4", false), v6 = opt_get_bool(l, "ipv6", false);

    o->addr = (SockAddr){ .fd = -1, .family = v4 == v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6 };
    if (text == NULL) {
        error_set(errp, "no vnc port specified (host:display, unix:path or none)");
        return false;
    }
    o->none = strcmp(text, "none") == 0;
    if (o->none) {
        return true;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        if (text[5] == '\0' || strlen(text) - 5 > 107) {
            error_set(errp, "the path of %s is %s", text, text[5] == '\0' ? "empty" : "too long");
            return false;
        }
        o->addr.path = xstrdup(text + 5);
        return true;
    }
    return take_port(o, l, text, errp);
}

/* What is known to others and refused here until it exists. */
static void refuse(OptList *l)
{
    static const char *const not_yet[] = { "reverse", "tls-creds", "tls-authz", "sasl", "sasl-authz", "acl",
                                           "audiodev", "display", "head" };

    for (size_t n = 0; n < ARRAY_SIZE(not_yet); n++) {
        const char *value = opt_get_str(l, not_yet[n], NULL);

        if (value != NULL && strcmp(value, "off") != 0) {
            opt_bad(l, "%s=%s: not supported yet", not_yet[n], value);
        }
    }
}

/* take_web - websocket=on|port|host:port and web=on. */
static bool take_web(VncOptions *o, OptList *l, Error **errp)
{
    const char *text = opt_get_str(l, "websocket", NULL), *colon;
    bool here = o->none || o->addr.path != NULL, on = text == NULL;
    uint64_t port;

    o->web = opt_get_bool(l, "web", false);
    o->web_addr = (SockAddr){ .fd = -1, .family = o->addr.family };
    if ((text == NULL && !o->web) || (text != NULL && text_bool(text, &on) && !on)) {
        if (o->web) {
            error_set(errp, "web=on needs websocket=on");
        }
        return !o->web;
    }
#ifndef CONFIG_GNUTLS
    error_set(errp, "websocket: this doppel was built without GnuTLS (Debian: apt-get install libgnutls28-dev, then "
                    "./configure)");
    return false;
#endif
    o->websocket = true;
    o->web_addr.host = xstrdup(here ? "127.0.0.1" : o->addr.host);
    if (on) {
        o->web_addr.port = here ? xasprintf("%d", VNC_WEB_PORT) : NULL;
        o->web_addr.to = here ? WEB_PORT_LAST : 0;
        return true;
    }
    colon = strrchr(text, ':');
    if (!text_u64(colon != NULL ? colon + 1 : text, 65535, &port) || port == 0) {
        error_set(errp, "websocket=%s: on, a port or host:port expected", text);
        return false;
    }
    if (colon != NULL) {
        free(o->web_addr.host);
        o->web_addr.host = xstrndup(text, (size_t)(colon - text));
    }
    o->web_addr.port = xasprintf("%llu", (unsigned long long)port);
    return true;
}

bool vnc_options_parse(VncOptions *o, const char *spec, Error **errp)
{
    static const char *const shares[] = { "allow-exclusive", "force-shared", "ignore", NULL };
    OptList *l = opt_parse(spec, "vnc", errp);
    bool ok;

    *o = (VncOptions){ .addr = { .fd = -1 }, .web_addr = { .fd = -1 } };
    if (l == NULL) {
        return false;
    }
    ok = take_address(o, l, errp) && take_web(o, l, errp);
    if (ok) {
        o->share = (VncShare)opt_get_choice(l, "share", shares, VNC_ALLOW_EXCLUSIVE);
        o->key_delay_ms = (unsigned)opt_get_u64(l, "key-delay-ms", 10000, 10);
        o->lock_key_sync = opt_get_bool(l, "lock-key-sync", true);
        o->id = xstrdup(opt_get_str(l, "id", NULL));
        o->secret = xstrdup(opt_get_str(l, "password-secret", NULL));
        o->password = opt_get_bool(l, "password", false) || o->secret != NULL;
        o->power = opt_get_bool(l, "power-control", false);
        o->lossy = opt_get_bool(l, "lossy", false);
        opt_get_bool(l, "non-adaptive", false); /* what is sent does not adapt itself anyway */
        opt_known(l, "to");
        refuse(l);
        ok = opt_done(l, errp);
    }
    opt_free(l);
    if (!ok) {
        vnc_options_free(o);
    }
    return ok;
}

void vnc_options_free(VncOptions *o)
{
    addr_free(&o->addr);
    addr_free(&o->web_addr);
    free(o->id);
    free(o->secret);
    o->id = o->secret = NULL;
}

bool vnc_check(const char *spec, Error **errp)
{
    VncOptions o;

    if (!vnc_options_parse(&o, spec, errp)) {
        return false;
    }
    vnc_options_free(&o);
    return true;
}
