/*
 * Sub-options written as a JSON object: see json-options.h.
 */
#include "base/json-options.h"

#include <string.h>
#include <config.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#ifdef CONFIG_JSON
#include <json-c/json.h>
#include "base/json.h"

bool json_tree(OptList *l, Json *args, const char *prefix, Error **errp)
{
    json_object_object_foreach(args, key, val)
    {
        autofree char *name = xasprintf("%s%s", prefix, key), *inner = xasprintf("%s.", name);

        switch (json_object_get_type(val)) {
        case json_type_null:
            opt_set(l, name, "");
            break;
        case json_type_boolean:
            opt_set(l, name, json_object_get_boolean(val) ? "on" : "off");
            break;
        case json_type_object:
            if (!json_tree(l, val, inner, errp)) {
                return false;
            }
            break;
        case json_type_string:
            if (strlen(json_object_get_string(val)) != (size_t)json_object_get_string_len(val)) {
                error_set(errp, "Parameter '%s' has a character U+0000", name);
                return false;
            }
            opt_set(l, name, json_object_get_string(val));
            break;
        case json_type_int:
            opt_set(l, name, json_object_get_string(val));
            break;
        default:
            error_set(errp, "Invalid parameter type for '%s'", name);
            return false;
        }
    }
    return true;
}

bool json_options(OptList *l, const char *text, Error **errp)
{
    JsonReader *r = json_reader_new();
    size_t used = 0, len = strlen(text);
    Json *msg = NULL;
    bool ok = json_read(r, text, len, &used, &msg, errp);

    if (ok && (msg == NULL || !json_object_is_type(msg, json_type_object))) {
        error_set(errp, msg == NULL ? "JSON parse error: the text ends too soon" : "JSON object expected");
        ok = false;
    } else if (ok && strspn(text + used, " \t\r\n") != len - used) {
        error_set(errp, "JSON parse error: there is more behind the object");
        ok = false;
    }
    ok = ok && json_tree(l, msg, "", errp);
    json_object_put(msg);
    json_reader_free(r);
    return ok;
}
#else
bool json_options(OptList *l, const char *text, Error **errp)
{
    error_set(errp, "this build has no JSON: it was made without json-c");
    return false;
}
#endif
