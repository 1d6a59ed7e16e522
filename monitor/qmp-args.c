/*
 * QMP: the arguments of a command against what the table says, with QEMU's messages.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"
#include "monitor/qmp.h"

#include <string.h>
#include <json-c/json.h>
#include "accel/accel.h"
#include "base/mem.h"
#include "base/optlist.h"

static bool check_type(const ArgField *a, Json *v, const char *where, Error **errp)
{
    static const struct {
        const char *expected;
        json_type is;
    } types[] = {
        [ARG_STR] = { "string", json_type_string },  [ARG_CHOICE] = { "string", json_type_string },
        [ARG_INT] = { "integer", json_type_int },    [ARG_EXPR] = { "integer", json_type_int },
        [ARG_CPU] = { "integer", json_type_int },    [ARG_BOOL] = { "boolean", json_type_boolean },
        [ARG_LIST] = { "array", json_type_array },   [ARG_DICT] = { "object", json_type_object },
        [ARG_TEXT] = { "string", json_type_string },
    };
    json_type is;

    if (a->type == ARG_ANY) {
        return true;
    }
    is = types[a->type].is;
    if (json_object_get_type(v) != is) {
        error_set(errp, "Invalid parameter type for '%s%s', expected: %s", where, a->name,
                  types[a->type].expected);
        return false;
    }
    if (is != json_type_string) {
        return true;
    }
    if (strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v)) {
        error_set(errp, "Parameter '%s%s' has a character U+0000", where, a->name);
        return false;
    }
    if (a->type == ARG_CHOICE && !arg_choice_has(a->kind, json_object_get_string(v), strlen(json_object_get_string(v)))) {
        error_set(errp, "Parameter '%s' does not accept value '%s'", a->name, json_object_get_string(v));
        return false;
    }
    return true;
}

static bool is_known(const char *spec, const char *name)
{
    ArgField a;

    while (arg_next(&spec, &a)) {
        if (strcmp(a.name, name) == 0 || strcmp(a.name, "...") == 0) {
            return true;
        }
    }
    return false;
}

bool qmp_check(const char *spec, Json *args, const char *where, Error **errp)
{
    const char *rest = spec;
    ArgField a;

    while (arg_next(&rest, &a)) {
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

bool qmp_take(const char *spec, Json *args, Args *a, Error **errp)
{
    args_init(a, spec);
    for (unsigned n = 0; n < a->count; n++) {
        Arg *arg = &a->args[n];
        Json *v = qmp_member(args, arg->field.name);

        arg->given = v != NULL;
        if (v != NULL && json_object_get_type(v) == json_type_string) {
            arg->text = xstrdup(json_object_get_string(v));
        } else if (v != NULL) {
            arg->num = json_object_get_int64(v); /* of a boolean 0 or 1 */
        }
        if (arg->field.type == ARG_CPU && (arg->num < 0 || arg->num >= accel_cpu_count())) {
            error_set(errp, "Parameter '%s' expects a CPU number", arg->field.name);
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

bool qmp_options(OptList *l, Json *args, Error **errp)
{
    json_object_object_foreach(args, key, val)
    {
        switch (json_object_get_type(val)) {
        case json_type_boolean:
            opt_set(l, key, json_object_get_boolean(val) ? "on" : "off");
            break;
        case json_type_array:
            for (size_t n = 0; n < json_object_array_length(val); n++) {
                Json *o = json_object_array_get_idx(val, n);
                const char *text = json_object_is_type(o, json_type_object) ? qmp_str(o, "str") : NULL;

                if (text == NULL) {
                    error_set(errp, "Invalid parameter type for '%s[%zu]', expected: object with str", key, n);
                    return false;
                }
                opt_set(l, key, text);
            }
            break;
        case json_type_string:
        case json_type_int:
            if (strlen(json_object_get_string(val)) != (size_t)json_object_get_string_len(val) &&
                json_object_is_type(val, json_type_string)) {
                error_set(errp, "Parameter '%s' has a character U+0000", key);
                return false;
            }
            opt_set(l, key, json_object_get_string(val));
            break;
        default:
            error_set(errp, "Invalid parameter type for '%s'", key);
            return false;
        }
    }
    return true;
}
#endif
