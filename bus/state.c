/*
 * Saved state: sections written and read by the field tables of devices. A nested table is a field
 * whose bytes are, for each element, the fields of the table in the same form.
 *
 * The bytes that are read come from outside: every length is checked against what is left.
 */
#include "bus/state.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/device.h"
#include "bus/internal-state.h"

static const char magic[8] = "DOPPELST";
enum { STREAM_VERSION = 1, TIMER_BYTES = 9 };

/* ---- buffer ---- */

void state_buf_free(StateBuf *b)
{
    free(b->data);
    *b = (StateBuf){ .data = NULL };
}

void state_bytes(StateBuf *b, const void *p, size_t n)
{
    if (n > b->cap - b->len) {
        size_t cap = MAX(b->cap * 2, (size_t)4096);
        while (n > cap - b->len) {
            cap *= 2;
        }
        b->data = xrealloc(b->data, cap, 1);
        b->cap = cap;
    }
    if (n != 0) {
        memcpy(b->data + b->len, p, n);
    }
    b->len += n;
}

void state_u16(StateBuf *b, uint16_t v)
{
    state_bytes(b, &v, sizeof(v));
}

void state_u32(StateBuf *b, uint32_t v)
{
    state_bytes(b, &v, sizeof(v));
}

void state_u64(StateBuf *b, uint64_t v)
{
    state_bytes(b, &v, sizeof(v));
}

const void *state_take(StateBuf *b, size_t n)
{
    const void *p = b->data + b->pos;

    if (n > b->len - b->pos) {
        return NULL;
    }
    b->pos += n;
    return p;
}

static bool take_int(StateBuf *b, void *v, size_t n)
{
    const void *p = state_take(b, n);

    if (p != NULL) {
        memcpy(v, p, n);
    }
    return p != NULL;
}

static void put_name(StateBuf *b, const char *name)
{
    size_t n = strlen(name);

    state_u16(b, (uint16_t)n);
    state_bytes(b, name, n);
}

/* True when the next name in @b is @name; otherwise says in @errp what it is. */
static bool take_name(StateBuf *b, const char *what, const char *name, Error **errp)
{
    const char *p = NULL;
    uint16_t n = 0;

    if (take_int(b, &n, sizeof(n))) {
        p = state_take(b, n);
    }
    if (p == NULL) {
        error_set(errp, "saved state ends where %s \"%s\" should be", what, name);
        return false;
    }
    if (n != strlen(name) || memcmp(p, name, n) != 0) {
        error_set(errp, "saved state has %s \"%.*s\" where \"%s\" should be", what, (int)MIN(n, 64),
                  p, name);
        return false;
    }
    return true;
}

/* ---- sections ---- */

void state_section_begin(StateBuf *b, const char *id, unsigned version)
{
    if (b->len == 0) {
        state_bytes(b, magic, sizeof(magic));
        state_u32(b, STREAM_VERSION);
    }
    put_name(b, id);
    state_u32(b, version);
}

bool state_section_open(StateBuf *b, const char *id, unsigned version, Error **errp)
{
    uint32_t v;

    if (b->pos == 0) {
        const void *m = state_take(b, sizeof(magic));
        if (m == NULL || memcmp(m, magic, sizeof(magic)) != 0) {
            error_set(errp, "this is not a saved state of doppel");
            return false;
        }
        if (!take_int(b, &v, sizeof(v)) || v != STREAM_VERSION) {
            error_set(errp, "the saved state has a format that this doppel does not know");
            return false;
        }
    }
    if (!take_name(b, "section", id, errp)) {
        return false;
    }
    if (!take_int(b, &v, sizeof(v))) {
        error_set(errp, "saved state ends inside section \"%s\"", id);
        return false;
    }
    if (v != version) {
        error_set(errp, "section \"%s\" has version %u; this doppel knows %u", id, v, version);
        return false;
    }
    return true;
}

/* ---- writing ---- */

static void put_fields(StateBuf *b, const StateField *f, const void *obj);

static void put_value(StateBuf *b, const StateField *f, const char *p)
{
    switch (f->type) {
    case ST_BOOL: {
        uint8_t v = *(const bool *)p;
        state_bytes(b, &v, 1);
        break;
    }
    case ST_TIMER: {
        const Timer *t = (const Timer *)p;
        uint8_t pending = timer_pending(t);
        state_bytes(b, &pending, 1);
        state_u64(b, pending ? (uint64_t)t->deadline : 0);
        break;
    }
    case ST_STRUCT:
        for (size_t i = 0; i < f->count; i++) {
            put_fields(b, f->sub, p + i * f->size);
        }
        break;
    default:
        state_bytes(b, p, f->size * f->count);
        break;
    }
}

static void put_fields(StateBuf *b, const StateField *f, const void *obj)
{
    uint32_t n = 0;

    while (f != NULL && f[n].type != ST_END) {
        n++;
    }
    state_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        size_t size_at, start;
        uint64_t size;

        put_name(b, f[i].name);
        size_at = b->len;
        state_u64(b, 0);
        start = b->len;
        put_value(b, &f[i], (const char *)obj + f[i].offset);
        size = b->len - start;
        memcpy(b->data + size_at, &size, sizeof(size));
    }
}

void state_put(StateBuf *b, const char *id, unsigned version, const StateField *f, const void *obj)
{
    state_section_begin(b, id, version);
    put_fields(b, f, obj);
}

/* ---- reading ---- */

static bool get_fields(StateBuf *b, const StateField *f, void *obj, Error **errp);

static bool get_timer(Timer *t, const uint8_t *p, const char *name, Error **errp)
{
    int64_t deadline;

    memcpy(&deadline, p + 1, sizeof(deadline));
    if (p[0] > 1) {
        error_set(errp, "field \"%s\" is not a timer", name);
        return false;
    }
    if (p[0] == 1) {
        timer_arm(t, deadline);
    } else {
        timer_cancel(t);
    }
    return true;
}

static bool get_value(StateBuf *b, const StateField *f, char *obj, uint64_t size, Error **errp)
{
    size_t want = f->type == ST_BOOL ? 1 : f->type == ST_TIMER ? TIMER_BYTES : f->size * f->count;
    StateBuf inner = { .data = b->data, .len = b->pos + size, .pos = b->pos };
    const uint8_t *p;

    if (f->type == ST_STRUCT) {
        for (size_t i = 0; i < f->count; i++) {
            if (!get_fields(&inner, f->sub, obj + i * f->size, errp)) {
                error_prepend(errp, "field \"%s\": ", f->name);
                return false;
            }
        }
        want = inner.pos - b->pos;
    }
    if (size != want) {
        error_set(errp, "field \"%s\" has %llu bytes, not %zu", f->name, (unsigned long long)size,
                  want);
        return false;
    }
    p = state_take(b, size);
    if (f->type == ST_BYTES) {
        memcpy(obj, p, size);
    } else if (f->type == ST_TIMER) {
        return get_timer((Timer *)obj, p, f->name, errp);
    } else if (f->type == ST_BOOL) {
        if (*p > 1) {
            error_set(errp, "field \"%s\" is neither 0 nor 1", f->name);
            return false;
        }
        *(bool *)obj = *p == 1;
    }
    return true;
}

static bool get_fields(StateBuf *b, const StateField *f, void *obj, Error **errp)
{
    uint32_t n = 0, have;

    while (f != NULL && f[n].type != ST_END) {
        n++;
    }
    if (!take_int(b, &have, sizeof(have)) || have != n) {
        error_set(errp, "saved state does not have the %u fields that are known", n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t size;
        if (!take_name(b, "field", f[i].name, errp)) {
            return false;
        }
        if (!take_int(b, &size, sizeof(size)) || size > b->len - b->pos) {
            error_set(errp, "saved state ends inside field \"%s\"", f[i].name);
            return false;
        }
        if (!get_value(b, &f[i], (char *)obj + f[i].offset, size, errp)) {
            return false;
        }
    }
    return true;
}

bool state_get(StateBuf *b, const char *id, unsigned version, const StateField *f, void *obj,
               Error **errp)
{
    if (!state_section_open(b, id, version, errp)) {
        return false;
    }
    if (!get_fields(b, f, obj, errp)) {
        error_prepend(errp, "section \"%s\": ", id);
        return false;
    }
    return true;
}

/* ---- devices ---- */

static unsigned device_version(const Device *d)
{
    return d->cls->version != 0 ? d->cls->version : 1;
}

void devices_save(StateBuf *b)
{
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        if (d->cls->fields != NULL && !d->gone) {
            if (d->cls->pre_save != NULL) {
                d->cls->pre_save(d);
            }
            state_put(b, d->id, device_version(d), d->cls->fields, d);
        }
    }
}

/* next_section - the device that the section at the current place is of, if it is not @expected: cards that came while
 * the machine ran stand in the order in which they came. */
static Device *next_section(const StateBuf *b, Device *expected)
{
    size_t at = b->pos + (b->pos == 0 ? sizeof(magic) + 4 : 0);
    uint16_t n;

    if (b->len < at || b->len - at < sizeof(n)) {
        return expected;
    }
    memcpy(&n, b->data + at, sizeof(n));
    if (n > b->len - at - sizeof(n)) {
        return expected;
    }
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        if (d->cls->fields != NULL && !d->gone && !d->loaded && strlen(d->id) == n &&
            memcmp(d->id, b->data + at + sizeof(n), n) == 0) {
            return d;
        }
    }
    return expected;
}

bool devices_load(StateBuf *b, Error **errp)
{
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        d->loaded = false;
    }
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        while (d->cls->fields != NULL && !d->gone && !d->loaded) {
            Device *of = next_section(b, d);

            of->loaded = true;
            if (!state_get(b, of->id, device_version(of), of->cls->fields, of, errp)) {
                return false;
            }
        }
    }
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        if (!d->gone && d->cls->post_load != NULL && !d->cls->post_load(d, errp)) {
            error_prepend(errp, "section \"%s\": ", d->id);
            return false;
        }
    }
    return true;
}
