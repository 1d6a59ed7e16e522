/*
 * Lists of sub-options.
 */
#include "base/optlist.h"

#include <stdarg.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

typedef struct Pair {
    char *key, *value;
    bool bare; /* given without "=value" */
    bool used;
} Pair;

struct OptList {
    Pair *pairs;
    size_t count, cap;
    char **known; /* keys that somebody asked for */
    size_t known_count, known_cap;
    char *bad; /* the first mistake, or NULL */
};

OptList *opt_new(void)
{
    return xnew(OptList);
}

void opt_free(OptList *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        free(l->pairs[i].key);
        free(l->pairs[i].value);
    }
    for (size_t i = 0; i < l->known_count; i++) {
        free(l->known[i]);
    }
    free(l->pairs);
    free(l->known);
    free(l->bad);
    free(l);
}

/* ---- parsing ---- */

/* Takes ownership of both strings. */
static void add_pair(OptList *l, char *key, char *value, bool bare)
{
    if (l->count == l->cap) {
        l->cap = MAX(8, l->cap * 2);
        l->pairs = xrealloc(l->pairs, l->cap, sizeof(*l->pairs));
    }
    l->pairs[l->count++] = (Pair){ .key = key, .value = value, .bare = bare };
}

void opt_set(OptList *l, const char *key, const char *value)
{
    add_pair(l, xstrdup(key), xstrdup(value), false);
}

/* Copy up to a single comma, with doubled ones halved; *p ends behind the comma. */
static char *take_value(const char **p)
{
    char *out = xnewn(char, strlen(*p) + 1);
    size_t n = 0;

    for (; **p != '\0'; (*p)++) {
        if (**p == ',') {
            (*p)++;
            if (**p != ',') {
                break;
            }
        }
        out[n++] = **p;
    }
    out[n] = '\0';
    return out;
}

bool opt_add(OptList *l, const char *text, const char *implied, Error **errp)
{
    const char *p = text;

    for (bool first = true; *p != '\0'; first = false) {
        size_t n = strcspn(p, "=,");
        if (p[n] == '=') {
            char *key;
            if (n == 0) {
                error_set(errp, "\"%s\" has a value without a name", text);
                return false;
            }
            key = xstrndup(p, n);
            p += n + 1;
            add_pair(l, key, take_value(&p), false);
        } else if (first && implied != NULL) {
            add_pair(l, xstrdup(implied), take_value(&p), false);
        } else if (n == 0) {
            error_set(errp, "\"%s\" has an empty sub-option", text);
            return false;
        } else {
            add_pair(l, xstrndup(p, n), xstrdup("on"), true);
            p += n + (p[n] == ',');
        }
    }
    return true;
}

OptList *opt_parse(const char *text, const char *implied, Error **errp)
{
    OptList *l = opt_new();

    if (!opt_add(l, text, implied, errp)) {
        opt_free(l);
        return NULL;
    }
    return l;
}

/* ---- asking ---- */

void opt_known(OptList *l, const char *key)
{
    for (size_t i = 0; i < l->known_count; i++) {
        if (text_name_eq(l->known[i], key)) {
            return;
        }
    }
    if (l->known_count == l->known_cap) {
        l->known_cap = MAX(16, l->known_cap * 2);
        l->known = xrealloc(l->known, l->known_cap, sizeof(*l->known));
    }
    l->known[l->known_count++] = xstrdup(key);
}

static bool is_negated(const Pair *p, const char *key)
{
    return p->bare && strncmp(p->key, "no", 2) == 0 && text_name_eq(p->key + 2, key);
}

bool opt_has(const OptList *l, const char *key)
{
    for (size_t i = 0; i < l->count; i++) {
        if (text_name_eq(l->pairs[i].key, key) || is_negated(&l->pairs[i], key)) {
            return true;
        }
    }
    return false;
}

const char *opt_get_str(OptList *l, const char *key, const char *def)
{
    const char *value = def;

    opt_known(l, key);
    for (size_t i = 0; i < l->count; i++) {
        Pair *p = &l->pairs[i];
        if (text_name_eq(p->key, key)) {
            p->used = true;
            value = p->value;
        } else if (is_negated(p, key)) {
            p->used = true;
            value = "off";
        }
    }
    return value;
}

void opt_bad(OptList *l, const char *fmt, ...)
{
    va_list ap;

    if (l->bad == NULL) {
        va_start(ap, fmt);
        l->bad = xvasprintf(fmt, ap);
        va_end(ap);
    }
}

bool opt_get_bool(OptList *l, const char *key, bool def)
{
    const char *s = opt_get_str(l, key, NULL);
    bool v = def;

    if (s != NULL && !text_bool(s, &v)) {
        opt_bad(l, "%s=%s: neither on nor off", key, s);
    }
    return v;
}

uint64_t opt_get_u64(OptList *l, const char *key, uint64_t max, uint64_t def)
{
    const char *s = opt_get_str(l, key, NULL);
    uint64_t v = def;

    if (s != NULL && !text_u64(s, max, &v)) {
        opt_bad(l, "%s=%s: not a number from 0 to %llu", key, s, (unsigned long long)max);
    }
    return v;
}

uint64_t opt_get_size(OptList *l, const char *key, uint64_t unit, uint64_t def)
{
    const char *s = opt_get_str(l, key, NULL);
    uint64_t v = def;

    if (s != NULL && !text_size(s, unit, &v)) {
        opt_bad(l, "%s=%s: not a size such as 512M or 1.5G", key, s);
    }
    return v;
}

int opt_get_choice(OptList *l, const char *key, const char *const *names, int def)
{
    const char *s = opt_get_str(l, key, NULL);
    char list[256] = "";

    if (s == NULL) {
        return def;
    }
    for (int i = 0; names[i] != NULL; i++) {
        size_t n = strlen(list);
        if (strcmp(s, names[i]) == 0) {
            return i;
        }
        snprintf(list + n, sizeof(list) - n, "%s%s", n != 0 ? ", " : "", names[i]);
    }
    opt_bad(l, "%s=%s: not one of %s", key, s, list);
    return def;
}

bool opt_each_unused(OptList *l,
                     bool (*fn)(void *opaque, const char *key, const char *value, Error **errp),
                     void *opaque, Error **errp)
{
    for (size_t i = 0; i < l->count; i++) {
        Pair *p = &l->pairs[i];
        if (!p->used) {
            p->used = true;
            if (!fn(opaque, p->key, p->value, errp)) {
                return false;
            }
        }
    }
    return true;
}

bool opt_done(OptList *l, Error **errp)
{
    if (l->bad != NULL) {
        error_set(errp, "%s", l->bad);
        return false;
    }
    for (size_t i = 0; i < l->count; i++) {
        const Pair *p = &l->pairs[i];
        Nearest near;
        if (p->used) {
            continue;
        }
        nearest_init(&near, p->key);
        for (size_t k = 0; k < l->known_count; k++) {
            nearest_offer(&near, l->known[k]);
        }
        if (near.best != NULL) {
            error_set(errp, "unknown sub-option '%s'; did you mean '%s'?", p->key, near.best);
        } else {
            error_set(errp, "unknown sub-option '%s'", p->key);
        }
        return false;
    }
    return true;
}

bool opt_is_help(const char *text)
{
    return strcmp(text, "help") == 0 || strcmp(text, "?") == 0;
}

bool opt_wants_help(OptList *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->pairs[i].bare && opt_is_help(l->pairs[i].key)) {
            l->pairs[i].used = true;
            return true;
        }
    }
    return false;
}

char *opt_text(const OptList *l)
{
    char *text = xstrdup("");

    for (size_t i = 0; i < l->count; i++) {
        autofree char *value = opt_quote(l->pairs[i].value);
        autofree char *old = text;
        text = xasprintf("%s%s%s=%s", old, i > 0 ? "," : "", l->pairs[i].key, value);
    }
    return text;
}

char *opt_quote(const char *value)
{
    char *out = xnewn(char, 2 * strlen(value) + 1), *o = out;

    for (; *value != '\0'; value++) {
        if (*value == ',') {
            *o++ = ',';
        }
        *o++ = *value;
    }
    *o = '\0';
    return out;
}
