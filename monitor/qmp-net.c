/*
 * QMP: networks.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <string.h>
#include <json-c/json.h>
#include "base/optlist.h"
#include "net/backend.h"

/* take - members of @args become sub-options; lists (hostfwd) are of {"str": text}. */
static bool take(OptList *l, Json *args, Error **errp)
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

bool qmp_netdev_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    OptList *l = opt_new();
    bool ok = take(l, args, errp) && net_backend_new(l, NULL, errp) != NULL;

    opt_free(l);
    return ok;
}
#endif
