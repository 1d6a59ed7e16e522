/*
 * QMP: the arguments of a command against what the table says, with QEMU's messages.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <string.h>
#include <json-c/json.h>
#include "base/mem.h"

typedef struct Arg {
    char name[64], type[192];
    bool optional;
} Arg;

/* next_arg - the first of *@spec, which is put behind it. */
static bool next_arg(const char **spec, Arg *a)
{
    const char *s = *spec + strspn(*spec, " ");
    size_t name = strcspn(s, ":"), all = strcspn(s, " ");

    if (*s == '\0') {
        return false;
    }
    a->optional = *s == '?';
    snprintf(a->name, sizeof(a->name), "%.*s", (int)(name - a->optional), s + a->optional);
    snprintf(a->type, sizeof(a->type), "%.*s", (int)(all - name - 1), s + name + 1);
    *spec = s + all;
    return true;
}

static bool one_of(const char *choices, const char *value)
{
    size_t len = strlen(value);

    for (const char *c = choices; *c != '\0'; c += strcspn(c, "|") + (c[strcspn(c, "|")] == '|')) {
        if (strcspn(c, "|") == len && strncmp(c, value, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_type(const Arg *a, Json *v, const char *where, Error **errp)
{
    static const struct {
        const char *type, *expected;
        json_type is;
    } types[] = {
        { "str", "string", json_type_string }, { "int", "integer", json_type_int },
        { "bool", "boolean", json_type_boolean }, { "list", "array", json_type_array },
        { "dict", "object", json_type_object },
    };
    const char *expected = "string";
    json_type is = json_type_string;

    if (strcmp(a->type, "any") == 0) {
        return true;
    }
    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        if (strcmp(types[n].type, a->type) == 0) {
            expected = types[n].expected;
            is = types[n].is;
        }
    }
    if (json_object_get_type(v) != is) {
        error_set(errp, "Invalid parameter type for '%s%s', expected: %s", where, a->name, expected);
        return false;
    }
    if (is != json_type_string) {
        return true;
    }
    if (strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v)) {
        error_set(errp, "Parameter '%s%s' has a character U+0000", where, a->name);
        return false;
    }
    if (strchr(a->type, '|') != NULL && !one_of(a->type, json_object_get_string(v))) {
        error_set(errp, "Parameter '%s' does not accept value '%s'", a->name, json_object_get_string(v));
        return false;
    }
    return true;
}

static bool is_known(const char *spec, const char *name)
{
    Arg a;

    while (next_arg(&spec, &a)) {
        if (strcmp(a.name, name) == 0 || strcmp(a.name, "...") == 0) {
            return true;
        }
    }
    return false;
}

bool qmp_check(const char *spec, Json *args, const char *where, Error **errp)
{
    const char *rest = spec;
    Arg a;

    while (next_arg(&rest, &a)) {
        Json *v = NULL;

        if (!json_object_object_get_ex(args, a.name, &v)) {
            if (!a.optional) {
                error_set(errp, "Parameter '%s%s' is missing", where, a.name);
                return false;
            }
        } else if (!check_type(&a, v, where, errp)) {
            return false;
        }
    }
    for (struct lh_entry *e = json_object_get_object(args)->head; e != NULL; e = e->next) {
        if (!is_known(spec, e->k)) {
            error_set(errp, "Parameter '%s%s' is unexpected", where, (const char *)e->k);
            return false;
        }
    }
    return true;
}

Json *qmp_member(Json *args, const char *name)
{
    Json *v = NULL;

    json_object_object_get_ex(args, name, &v);
    return v;
}

const char *qmp_str(Json *args, const char *name)
{
    Json *v = qmp_member(args, name);

    return v != NULL ? json_object_get_string(v) : NULL;
}

bool qmp_bool(Json *args, const char *name, bool def)
{
    Json *v = qmp_member(args, name);

    return v != NULL ? json_object_get_boolean(v) : def;
}

int64_t qmp_int(Json *args, const char *name, int64_t def)
{
    Json *v = qmp_member(args, name);

    return v != NULL ? json_object_get_int64(v) : def;
}
#endif
