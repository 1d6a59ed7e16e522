/*
 * NBD server: the fixed newstyle negotiation. See nbd-server.h.
 */
#include "block/nbd-link.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "block/big-endian.h"
#include "block/nbd.h"

enum {
    OPTION_MAX = 64 << 10, /* bytes of an option's data that are looked at, and */
    SKIP_MAX = 1 << 20,    /* that are read at all */
    PREFERRED_BLOCK = 4096,
    NAMESPACE_LEN = 5,     /* "base:", "qemu:" */
};

typedef struct Option {
    NbdLink *l;
    uint32_t number;
    const uint8_t *p; /* what is not read yet of its data */
    size_t left;
} Option;

typedef enum Next {
    NEXT_OPTION,
    NEXT_REQUESTS,
    NEXT_END,
} Next;

static const struct {
    const char *name;
    unsigned id;
} contexts[] = {
    { "base:allocation", NBD_CONTEXT_ALLOCATION },
    { "qemu:allocation-depth", NBD_CONTEXT_DEPTH },
};

/* ---- replies ---- */

static bool reply(const Option *o, uint32_t type, const void *data, size_t len)
{
    uint8_t head[20];

    st_be64(head, NBD_REP_MAGIC);
    st_be32(head + 8, o->number);
    st_be32(head + 12, type);
    st_be32(head + 16, (uint32_t)len);
    return nbd_send(o->l, head, sizeof(head), data, len);
}

static Next acknowledge(const Option *o)
{
    return reply(o, NBD_REP_ACK, NULL, 0) ? NEXT_OPTION : NEXT_END;
}

static Next refuse(const Option *o, uint32_t type, const char *why)
{
    return reply(o, type, why, strlen(why)) ? NEXT_OPTION : NEXT_END;
}

/* ---- what a client says ---- */

static bool take_u16(Option *o, uint16_t *v)
{
    if (o->left < 2) {
        return false;
    }
    *v = ld_be16(o->p);
    o->p += 2;
    o->left -= 2;
    return true;
}

static bool take_u32(Option *o, uint32_t *v)
{
    if (o->left < 4) {
        return false;
    }
    *v = ld_be32(o->p);
    o->p += 4;
    o->left -= 4;
    return true;
}

/* take_string - its length goes before it. */
static bool take_string(Option *o, const uint8_t **text, uint32_t *len)
{
    if (!take_u32(o, len) || *len > NBD_STRING_MAX || *len > o->left) {
        return false;
    }
    *text = o->p;
    o->p += *len;
    o->left -= *len;
    return true;
}

/* ---- options ---- */

uint16_t nbd_flags(const NbdLink *l, const NbdExport *e)
{
    return (uint16_t)(NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_CACHE |
                      (e->read_only ? NBD_READ_ONLY : NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES) |
                      (l->structured ? NBD_SEND_DF : 0) | (e->shared ? NBD_CAN_MULTI_CONN : 0));
}

/* export_name - the oldest way: no answer but the export itself, or the end. */
static Next export_name(Option *o)
{
    NbdExport *e = nbd_export_find(o->l->server, o->p, o->left);
    uint8_t out[10 + 124] = { 0 };

    if (e == NULL) {
        return NEXT_END;
    }
    o->l->exp = e;
    st_be64(out, e->size);
    st_be16(out + 8, nbd_flags(o->l, e));
    return nbd_send(o->l, out, o->l->no_zeroes ? 10 : sizeof(out), NULL, 0) ? NEXT_REQUESTS : NEXT_END;
}

static Next list(Option *o)
{
    NbdExport **all;
    unsigned count;
    bool ok = true;

    if (o->left != 0) {
        return refuse(o, NBD_REP_ERR_INVALID, "the option has no data");
    }
    all = nbd_exports(o->l->server, &count);
    for (unsigned n = 0; n < count; n++) {
        const char *text = all[n]->description != NULL ? all[n]->description : "";
        size_t name_len = strlen(all[n]->name), len = 4 + name_len + strlen(text);
        autofree uint8_t *data = xnewn(uint8_t, len);

        st_be32(data, (uint32_t)name_len);
        memcpy(data + 4, all[n]->name, name_len);
        memcpy(data + 4 + name_len, text, strlen(text));
        ok = ok && reply(o, NBD_REP_SERVER, data, len);
        nbd_export_unref(all[n]);
    }
    free(all);
    return ok ? acknowledge(o) : NEXT_END;
}

static bool info_text(const Option *o, uint16_t what, const char *text)
{
    size_t len = strlen(text);
    autofree uint8_t *data = xnewn(uint8_t, 2 + len);

    st_be16(data, what);
    memcpy(data + 2, text, len);
    return reply(o, NBD_REP_INFO, data, 2 + len);
}

/* describe - what is always told of an export, and what the client asked for (@wanted: bits by number). */
static bool describe(const Option *o, const NbdExport *e, unsigned wanted)
{
    uint8_t about[12], sizes[14];

    st_be16(about, NBD_INFO_EXPORT);
    st_be64(about + 2, e->size);
    st_be16(about + 10, nbd_flags(o->l, e));
    st_be16(sizes, NBD_INFO_BLOCK_SIZE);
    st_be32(sizes + 2, 1);
    st_be32(sizes + 6, PREFERRED_BLOCK);
    st_be32(sizes + 10, NBD_PAYLOAD_MAX);
    return (!(wanted & BIT(NBD_INFO_NAME)) || info_text(o, NBD_INFO_NAME, e->name)) &&
           (e->description == NULL || !(wanted & BIT(NBD_INFO_DESCRIPTION)) ||
            info_text(o, NBD_INFO_DESCRIPTION, e->description)) &&
           reply(o, NBD_REP_INFO, sizes, sizeof(sizes)) && reply(o, NBD_REP_INFO, about, sizeof(about));
}

static Next info_or_go(Option *o)
{
    unsigned wanted = 0;
    const uint8_t *name;
    uint16_t count, what;
    uint32_t len;
    NbdExport *e;
    bool ok;

    ok = take_string(o, &name, &len) && take_u16(o, &count) && o->left == 2u * count;
    for (unsigned n = 0; ok && n < count; n++) {
        ok = take_u16(o, &what);
        wanted |= what <= NBD_INFO_BLOCK_SIZE ? BIT(what) : 0; /* others are not to be minded */
    }
    if (!ok) {
        return refuse(o, NBD_REP_ERR_INVALID, "the lengths do not fit");
    }
    e = nbd_export_find(o->l->server, name, len);
    if (e == NULL) {
        return refuse(o, NBD_REP_ERR_UNKNOWN, "there is no export of that name");
    }
    ok = describe(o, e, wanted) && reply(o, NBD_REP_ACK, NULL, 0);
    if (ok && o->number == NBD_OPT_GO) {
        o->l->exp = e;
        return NEXT_REQUESTS;
    }
    nbd_export_unref(e);
    return ok ? NEXT_OPTION : NEXT_END;
}

/* is_context - is @name, asked for by @query, meant? Lists take a namespace ("base:") for all that are in it. */
static bool is_context(const char *name, const uint8_t *query, size_t len, bool listing)
{
    return (len == strlen(name) || (listing && len == NAMESPACE_LEN)) && memcmp(name, query, len) == 0;
}

/* What a client has asked of contexts: kept from SET to GO, which may be about another export. */
typedef struct Contexts {
    NbdExport *exp; /* or NULL */
    bool on[NBD_CONTEXTS];
} Contexts;

static void contexts_drop(Contexts *c)
{
    nbd_export_unref(c->exp);
    *c = (Contexts){ 0 };
}

/* take_queries - sets @c->on; false: the data is no good. */
static bool take_queries(Option *o, Contexts *c, bool listing)
{
    const uint8_t *query;
    uint32_t count, len;

    if (!take_u32(o, &count)) {
        return false;
    }
    for (size_t k = 0; k < ARRAY_SIZE(contexts); k++) {
        c->on[contexts[k].id] = listing && count == 0;
    }
    for (uint32_t n = 0; n < count; n++) {
        if (!take_string(o, &query, &len)) {
            return false;
        }
        for (size_t k = 0; k < ARRAY_SIZE(contexts); k++) {
            c->on[contexts[k].id] |= is_context(contexts[k].name, query, len, listing);
        }
    }
    return o->left == 0;
}

static Next meta_context(Option *o, Contexts *set)
{
    bool listing = o->number == NBD_OPT_LIST_META_CONTEXT;
    Contexts c = { 0 };
    const uint8_t *name;
    uint32_t len;

    if (!listing) {
        contexts_drop(set);
        if (!o->l->structured) {
            return refuse(o, NBD_REP_ERR_INVALID, "structured replies must be negotiated before");
        }
    }
    if (!take_string(o, &name, &len) || !take_queries(o, &c, listing)) {
        return refuse(o, NBD_REP_ERR_INVALID, "the lengths do not fit");
    }
    c.exp = nbd_export_find(o->l->server, name, len);
    if (c.exp == NULL) {
        return refuse(o, NBD_REP_ERR_UNKNOWN, "there is no export of that name");
    }
    c.on[NBD_CONTEXT_DEPTH] &= c.exp->depth;
    for (size_t k = 0; k < ARRAY_SIZE(contexts); k++) {
        uint8_t data[4 + 32];
        size_t n = strlen(contexts[k].name);

        st_be32(data, listing ? 0 : contexts[k].id);
        memcpy(data + 4, contexts[k].name, n);
        if (c.on[contexts[k].id] && !reply(o, NBD_REP_META_CONTEXT, data, 4 + n)) {
            contexts_drop(&c);
            return NEXT_END;
        }
    }
    if (listing) {
        contexts_drop(&c);
    } else {
        *set = c;
    }
    return acknowledge(o);
}

static Next structured_reply(Option *o)
{
    if (o->left != 0) {
        return refuse(o, NBD_REP_ERR_INVALID, "the option has no data");
    }
    o->l->structured = true;
    return acknowledge(o);
}

static Next one_option(Option *o, Contexts *set)
{
    if (!o->l->fixed && o->number != NBD_OPT_EXPORT_NAME) {
        return NEXT_END; /* such a client understands no answer */
    }
    switch (o->number) {
    case NBD_OPT_EXPORT_NAME: return export_name(o);
    case NBD_OPT_LIST: return list(o);
    case NBD_OPT_INFO:
    case NBD_OPT_GO: return info_or_go(o);
    case NBD_OPT_STRUCTURED_REPLY: return structured_reply(o);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT: return meta_context(o, set);
    case NBD_OPT_ABORT:
        acknowledge(o); /* it may be gone already */
        return NEXT_END;
    case NBD_OPT_STARTTLS: return refuse(o, NBD_REP_ERR_POLICY, "TLS is not configured");
    default: return refuse(o, NBD_REP_ERR_UNSUP, "this option is not known");
    }
}

/* next_option - its head and data; data that is too long is skipped, and *big set. */
static bool next_option(Option *o, uint8_t *data, bool *big)
{
    uint8_t head[16];
    uint32_t len;

    if (!nbd_recv(o->l, head, sizeof(head)) || ld_be64(head) != NBD_OPT_MAGIC) {
        return false;
    }
    o->number = ld_be32(head + 8);
    len = ld_be32(head + 12);
    *big = len > OPTION_MAX;
    if (*big) {
        return len <= SKIP_MAX && o->number != NBD_OPT_EXPORT_NAME && nbd_skip(o->l, len);
    }
    o->p = data;
    o->left = len;
    return nbd_recv(o->l, data, len);
}

bool nbd_negotiate(NbdLink *l)
{
    autofree uint8_t *data = xnewn(uint8_t, OPTION_MAX);
    Contexts set = { 0 };
    Next next = NEXT_OPTION;
    uint8_t hello[18];
    uint32_t flags;
    bool big;

    st_be64(hello, NBD_MAGIC);
    st_be64(hello + 8, NBD_OPT_MAGIC);
    st_be16(hello + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    if (!nbd_send(l, hello, sizeof(hello), NULL, 0) || !nbd_recv(l, hello, 4)) {
        return false;
    }
    flags = ld_be32(hello);
    if (flags & ~(uint32_t)(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES)) {
        return false;
    }
    l->fixed = flags & NBD_FIXED_NEWSTYLE;
    l->no_zeroes = flags & NBD_NO_ZEROES;
    while (next == NEXT_OPTION) {
        Option o = { .l = l };

        if (!next_option(&o, data, &big)) {
            break;
        }
        next = big && l->fixed ? refuse(&o, NBD_REP_ERR_TOO_BIG, "too much data") : big ? NEXT_END : one_option(&o, &set);
    }
    if (next == NEXT_REQUESTS && set.exp == l->exp) {
        memcpy(l->contexts, set.on, sizeof(l->contexts));
    }
    contexts_drop(&set);
    return next == NEXT_REQUESTS;
}
