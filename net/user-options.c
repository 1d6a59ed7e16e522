/*
 * The sub-options of -netdev user.
 */
#include <config.h>
#ifdef CONFIG_SLIRP
#include "net/user.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

/* ---- addresses ---- */

/* take_v4 - "10.0.2.0/24", where @mask is not NULL. */
static bool take_v4(OptList *l, const char *key, struct in_addr *addr, struct in_addr *mask)
{
    const char *text = opt_get_str(l, key, NULL);
    autofree char *copy = xstrdup(text);
    char *slash = text != NULL && mask != NULL ? strchr(copy, '/') : NULL;
    struct in_addr m;
    uint64_t bits;

    if (text == NULL) {
        return false;
    }
    if (slash != NULL) {
        *slash = '\0';
        if (text_u64(slash + 1, 32, &bits)) {
            m.s_addr = htonl(bits == 0 ? 0 : UINT32_MAX << (32 - bits));
        } else if (inet_pton(AF_INET, slash + 1, &m) != 1) {
            opt_bad(l, "%s=%s: the mask is no number of bits, and no address", key, text);
            return false;
        }
        *mask = m;
    }
    if (inet_pton(AF_INET, copy, addr) != 1) {
        opt_bad(l, "%s=%s is no IPv4 address", key, text);
        return false;
    }
    if (mask != NULL && slash == NULL) { /* by its class, as it always was */
        uint32_t a = ntohl(addr->s_addr);

        mask->s_addr = htonl(a < 0x80000000u ? 0xff000000u : a < 0xc0000000u ? 0xfffff000u : 0xffffff00u);
    }
    return true;
}

static bool take_v6(OptList *l, const char *key, struct in6_addr *addr)
{
    const char *text = opt_get_str(l, key, NULL);

    if (text != NULL && inet_pton(AF_INET6, text, addr) != 1) {
        opt_bad(l, "%s=%s is no IPv6 address", key, text);
    }
    return text != NULL;
}

static bool in_net(const SlirpConfig *c, struct in_addr a)
{
    return (a.s_addr & c->vnetmask.s_addr) == c->vnetwork.s_addr;
}

static struct in_addr nth_host(const SlirpConfig *c, uint32_t n)
{
    return (struct in_addr){ htonl((ntohl(c->vnetwork.s_addr) | n)) };
}

static void take_ipv4(SlirpConfig *c, OptList *l)
{
    c->vnetwork.s_addr = htonl(0x0a000200);
    c->vnetmask.s_addr = htonl(0xffffff00);
    if (take_v4(l, "net", &c->vnetwork, &c->vnetmask)) {
        c->vnetwork.s_addr &= c->vnetmask.s_addr;
    }
    if ((~ntohl(c->vnetmask.s_addr) & 0xffffffffu) < 15) {
        opt_bad(l, "net=: smaller than a /28");
    }
    c->vhost = nth_host(c, 2);
    c->vdhcp_start = nth_host(c, 15);
    c->vnameserver = nth_host(c, 3);
    if (take_v4(l, "host", &c->vhost, NULL) && !in_net(c, c->vhost)) {
        opt_bad(l, "host= is not in net=");
    }
    if (take_v4(l, "dhcpstart", &c->vdhcp_start, NULL) && !in_net(c, c->vdhcp_start)) {
        opt_bad(l, "dhcpstart= is not in net=");
    }
    if (take_v4(l, "dns", &c->vnameserver, NULL) && !in_net(c, c->vnameserver)) {
        opt_bad(l, "dns= is not in net=");
    }
    if (c->vhost.s_addr == c->vnameserver.s_addr || c->vhost.s_addr == c->vdhcp_start.s_addr ||
        c->vdhcp_start.s_addr == c->vnameserver.s_addr) {
        opt_bad(l, "host=, dns= and dhcpstart= must differ");
    }
}

static void take_ipv6(SlirpConfig *c, OptList *l)
{
    inet_pton(AF_INET6, "fec0::", &c->vprefix_addr6);
    take_v6(l, "ipv6-prefix", &c->vprefix_addr6);
    c->vprefix_len = (uint8_t)opt_get_u64(l, "ipv6-prefixlen", 126, 64);
    c->vhost6 = c->vprefix_addr6;
    c->vhost6.s6_addr[15] |= 2;
    c->vnameserver6 = c->vprefix_addr6;
    c->vnameserver6.s6_addr[15] |= 3;
    take_v6(l, "ipv6-host", &c->vhost6);
    take_v6(l, "ipv6-dns", &c->vnameserver6);
}

/* ---- forwarding ---- */

/* cut - the text of *@s up to @end (which must be there, unless it is 0), with the brackets of an IPv6 address
 * taken off; NULL when that cannot be. */
static char *cut(char **s, char end, bool *v6)
{
    char *start = *s, *stop;

    *v6 = *start == '[';
    if (*v6) {
        start++;
        stop = strchr(start, ']');
        if (stop == NULL || stop[1] != end) {
            return NULL;
        }
        *stop++ = '\0';
        *s = end != '\0' ? stop + 1 : stop;
        return start;
    }
    stop = strchr(start, end);
    if (stop == NULL) {
        return NULL;
    }
    *s = end != '\0' ? stop + 1 : stop;
    *stop = '\0';
    return start;
}

static bool set_addr(struct sockaddr_storage *a, const char *host, bool v6, const char *port, bool any_port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)a;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)a;
    uint64_t p;

    memset(a, 0, sizeof(*a));
    if (!text_u64(port, 65535, &p) || (p == 0 && !any_port)) {
        return false;
    }
    if (v6) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)p);
        return *host == '\0' || inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
    }
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)p);
    return *host == '\0' || inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

static bool parse_rule(char *s, bool guest, HostForward *f)
{
    bool v6, g6;
    char *proto = cut(&s, ':', &v6), *host, *port;

    if (proto == NULL || v6 || (*proto != '\0' && strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)) {
        return false;
    }
    f->udp = strcmp(proto, "udp") == 0;
    host = cut(&s, ':', &v6);
    port = host != NULL ? cut(&s, guest ? '-' : '\0', &g6) : NULL;
    if (port == NULL || g6 || !set_addr(&f->host, host, v6, port, true)) {
        return false;
    }
    if (!guest) {
        return true;
    }
    host = cut(&s, ':', &g6);
    return host != NULL && set_addr(&f->guest, host, g6, s, false);
}

bool user_rule_parse(const char *text, bool guest, const SlirpConfig *cfg, HostForward *f, Error **errp)
{
    autofree char *copy = xstrdup(text);
    struct sockaddr_in *in = (struct sockaddr_in *)&f->guest;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&f->guest;

    if (!parse_rule(copy, guest, f)) {
        error_set(errp, "'%s' is not as tcp:%s", text,
                  guest ? "127.0.0.1:2222-10.0.2.15:22 or udp:[::1]:2222-[fec0::15]:22" : "127.0.0.1:2222");
        return false;
    }
    if (guest && f->guest.ss_family == AF_INET && in->sin_addr.s_addr == 0) {
        in->sin_addr = cfg->vdhcp_start;
    } else if (guest && f->guest.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
        error_set(errp, "'%s': the guest's IPv6 address is missing (it is made of its MAC address)", text);
        return false;
    }
    return true;
}

/* "[tcp]:10.0.2.100:1234-chardev:id", or the id alone. */
static bool parse_guestfwd(const char *text, const SlirpConfig *c, GuestForward *g, Error **errp)
{
    autofree char *copy = xstrdup(text);
    char *s = copy, *proto, *host, *port;
    uint64_t p;
    bool v6;

    proto = cut(&s, ':', &v6);
    host = proto != NULL ? cut(&s, ':', &v6) : NULL;
    port = host != NULL ? cut(&s, '-', &v6) : NULL;
    if (port == NULL || (*proto != '\0' && strcmp(proto, "tcp") != 0) || *s == '\0' ||
        inet_pton(AF_INET, host, &g->addr) != 1 || !text_u64(port, 65535, &p) || p == 0) {
        error_set(errp, "guestfwd=%s is not as tcp:10.0.2.100:1234-chardev:id", text);
        return false;
    }
    if (!in_net(c, g->addr) || g->addr.s_addr == c->vhost.s_addr || g->addr.s_addr == c->vnameserver.s_addr) {
        error_set(errp, "guestfwd=%s: the address is not a free one of net=", text);
        return false;
    }
    if (strncmp(s, "cmd:", 4) == 0) {
        error_set(errp, "guestfwd=%s: commands are not run for guests; use chardev:id", text);
        return false;
    }
    g->port = (uint16_t)p;
    g->chardev = xstrdup(strncmp(s, "chardev:", 8) == 0 ? s + 8 : s);
    return true;
}

/* ---- the list ---- */

/* Keys that may be there several times; any other is unknown here. */
static bool take_repeated(void *opaque, const char *key, const char *value, Error **errp)
{
    static const char *const known[] = {
        "net", "host", "dhcpstart", "dns", "dnssearch", "domainname", "hostname", "restrict", "tftp", "bootfile",
        "tftp-server-name", "hostfwd", "guestfwd", "ipv4", "ipv6", "ipv6-prefix", "ipv6-prefixlen", "ipv6-host",
        "ipv6-dns",
    };
    UserOptions *o = opaque;
    Nearest near;

    if (o->host_count == USER_RULES_MAX || o->guest_count == USER_RULES_MAX ||
        o->dnssearch_count == USER_RULES_MAX) {
        error_set(errp, "more than %d times %s=", USER_RULES_MAX, key);
        return false;
    }
    if (strcmp(key, "hostfwd") == 0) {
        return user_rule_parse(value, true, &o->cfg, &o->host[o->host_count++], errp);
    }
    if (strcmp(key, "guestfwd") == 0) {
        return parse_guestfwd(value, &o->cfg, &o->guest[o->guest_count], errp) && ++o->guest_count;
    }
    if (strcmp(key, "dnssearch") == 0) {
        o->dnssearch[o->dnssearch_count++] = value;
        return true;
    }
    if (strcmp(key, "smb") == 0 || strcmp(key, "smbserver") == 0) {
        error_set(errp, "%s= is not supported", key);
        return false;
    }
    nearest_init(&near, key);
    for (size_t n = 0; n < ARRAY_SIZE(known); n++) {
        nearest_offer(&near, known[n]);
    }
    error_set(errp, near.best != NULL ? "unknown key '%s'; did you mean '%s'?" : "unknown key '%s'", key, near.best);
    return false;
}

bool user_options_take(UserOptions *o, OptList *l, Error **errp)
{
    SlirpConfig *c = &o->cfg;
    bool v4 = opt_get_bool(l, "ipv4", true), v6 = opt_get_bool(l, "ipv6", true);

    c->version = SLIRP_CONFIG_VERSION_MAX;
    c->restricted = opt_get_bool(l, "restrict", false);
    /* either one alone means without the other */
    c->in_enabled = v4 && (opt_has(l, "ipv4") || !opt_has(l, "ipv6") || !v6);
    c->in6_enabled = v6 && (opt_has(l, "ipv6") || !opt_has(l, "ipv4") || !v4);
    if (!c->in_enabled && !c->in6_enabled) {
        opt_bad(l, "ipv4=off and ipv6=off leave nothing");
    }
    take_ipv4(c, l);
    take_ipv6(c, l);
    c->vhostname = opt_get_str(l, "hostname", NULL);
    c->vdomainname = opt_get_str(l, "domainname", NULL);
    c->tftp_path = opt_get_str(l, "tftp", NULL);
    c->tftp_server_name = opt_get_str(l, "tftp-server-name", NULL);
    c->bootfile = opt_get_str(l, "bootfile", NULL);
    if (!opt_each_unused(l, take_repeated, o, errp) || !opt_done(l, errp)) {
        return false;
    }
    c->vdnssearch = o->dnssearch_count > 0 ? o->dnssearch : NULL;
    return true;
}

void user_options_free(UserOptions *o)
{
    for (unsigned n = 0; o != NULL && n < o->guest_count; n++) {
        free(o->guest[n].chardev);
    }
    free(o);
}
#endif
