/*
 * QMP: what is made of options while the machine runs.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <string.h>
#include <json-c/json.h>
#include "base/mem.h"
#include "base/optlist.h"
#include "chardev/chardev.h"
#include "machine/objects.h"
#include "machine/plug.h"
#include "monitor/ops.h"
#include "net/backend.h"

/* flatten - {"addr": {"type": "unix"}} is what the command line calls addr.type=unix. */
static Json *flatten(Json *args)
{
    Json *flat = json_object_new_object();

    json_object_object_foreach(args, key, val)
    {
        if (!json_object_is_type(val, json_type_object)) {
            json_object_object_add(flat, key, json_object_get(val));
            continue;
        }
        for (struct lh_entry *e = json_object_get_object(val)->head; e != NULL; e = e->next) {
            autofree char *name = xasprintf("%s.%s", key, (const char *)e->k);

            json_object_object_add(flat, name, json_object_get((Json *)e->v));
        }
    }
    return flat;
}

bool qmp_netdev_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    OptList *l = opt_new();
    Json *flat = flatten(args);
    bool ok = qmp_options(l, flat, errp) && net_backend_new(l, NULL, errp) != NULL;

    json_object_put(flat);
    opt_free(l);
    return ok;
}

bool qmp_device_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    OptList *l = opt_new();
    bool ok = qmp_options(l, args, errp) && plug_hot(l, errp);

    opt_free(l);
    return ok;
}

bool qmp_object_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    OptList *l = opt_new();
    bool ok = qmp_options(l, args, errp) && object_new(l, errp);

    opt_free(l);
    return ok;
}

bool qmp_address(OptList *l, Json *addr, Error **errp)
{
    Json *data;
    const char *type;

    if (!qmp_check("type:inet|unix|fd data:dict", addr, "addr.", errp)) {
        return false;
    }
    data = qmp_member(addr, "data");
    type = qmp_str(addr, "type");
    if (strcmp(type, "fd") == 0) {
        if (!qmp_check("str:str", data, "addr.data.", errp)) {
            return false;
        }
        opt_set(l, "fd", qmp_str(data, "str"));
        return true;
    }
    return qmp_check(strcmp(type, "unix") == 0 ? "path:str" : "host:str port:str ?to:any ?ipv4:bool ?ipv6:bool", data,
                     "addr.data.", errp) && qmp_options(l, data, errp);
}

/* take_backend - {"type": ..., "data": {...}}, whose members are called as the sub-options of -chardev, but for
 * those that stand for a path. */
static bool take_backend(OptList *l, Json *backend, Error **errp)
{
    static const char *const paths[] = { "out", "device" };
    Json *data, *addr, *rest;
    bool ok;

    if (!qmp_check("type:str data:dict", backend, "backend.", errp)) {
        return false;
    }
    opt_set(l, "backend", qmp_str(backend, "type"));
    data = qmp_member(backend, "data");
    addr = qmp_member(data, "addr");
    if (addr != NULL && (json_object_get_type(addr) != json_type_object || !qmp_address(l, addr, errp))) {
        if (errp != NULL && *errp == NULL) {
            error_set(errp, "Invalid parameter type for 'backend.data.addr', expected: object");
        }
        return false;
    }
    rest = json_object_new_object();
    for (struct lh_entry *e = json_object_get_object(data)->head; e != NULL; e = e->next) {
        const char *key = e->k;

        for (size_t n = 0; n < ARRAY_SIZE(paths); n++) {
            key = strcmp(key, paths[n]) == 0 ? "path" : key;
        }
        if (strcmp(key, "addr") != 0) {
            json_object_object_add(rest, key, json_object_get((Json *)e->v));
        }
    }
    ok = qmp_options(l, rest, errp);
    json_object_put(rest);
    return ok;
}

bool qmp_chardev_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    OptList *l = opt_new();
    Chardev *c = NULL;

    opt_set(l, "id", qmp_str(args, "id"));
    if (take_backend(l, qmp_member(args, "backend"), errp)) {
        c = op_chardev_add(l, errp);
    }
    opt_free(l);
    if (c != NULL) {
        autofree char *text = chardev_describe(c);

        *ret = json_object_new_object();
        if (strncmp(text, "pty:", 4) == 0) {
            json_add_text(*ret, "pty", text + 4);
        }
    }
    return c != NULL;
}
#endif
