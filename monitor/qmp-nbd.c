/*
 * QMP: disks for NBD clients.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <string.h>
#include <json-c/json.h>
#include "base/error.h"
#include "block/export.h"

enum { CLIENTS = 100 };

/* refuse - a member that is not supported yet. */
static bool refuse(Json *args, const char *name, Error **errp)
{
    if (qmp_member(args, name) != NULL) {
        error_set(errp, "'%s' is not supported yet", name);
        return true;
    }
    return false;
}

bool qmp_nbd_server_start(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    int64_t max = qmp_int(args, "max-connections", CLIENTS);
    OptList *l = opt_new();
    SockAddr addr = { .fd = -1 };
    bool ok;

    if (max < 0 || max > UINT16_MAX) {
        error_set(errp, "Parameter 'max-connections' expects 0 to %d", UINT16_MAX);
        opt_free(l);
        return false;
    }
    ok = !refuse(args, "tls-creds", errp) && !refuse(args, "tls-authz", errp) &&
         qmp_address(l, qmp_member(args, "addr"), errp) && addr_take(&addr, l, errp) && export_start(&addr, (unsigned)max, errp);
    addr_free(&addr);
    opt_free(l);
    return ok;
}

bool qmp_nbd_server_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    const char *device = qmp_str(args, "device"), *name = qmp_str(args, "name");
    ExportParams p = { .id = name != NULL ? name : device, .node = device, .name = name,
                       .description = qmp_str(args, "description"), .writable = qmp_bool(args, "writable", false) };

    return !refuse(args, "bitmap", errp) && export_add(&p, errp);
}

static bool delete(Json *args, const char *key, Error **errp)
{
    const char *mode = qmp_str(args, "mode");

    return export_del(qmp_str(args, key), mode != NULL && strcmp(mode, "hard") == 0, errp);
}

bool qmp_nbd_server_remove(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    return delete(args, "name", errp);
}

bool qmp_nbd_server_stop(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    return export_stop(errp);
}

bool qmp_block_export_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    const char *type = qmp_str(args, "type");
    ExportParams p = { .id = qmp_str(args, "id"), .node_only = true };

    if (strcmp(type, "nbd") != 0) {
        error_set(errp, "Parameter 'type' does not accept value '%s'", type);
        return false;
    }
    if (!qmp_check("type:str id:str node-name:str ?name:str ?description:str ?writable:bool ?writethrough:bool ?iothread:str "
                   "?fixed-iothread:bool ?bitmaps:list ?allocation-depth:bool", args, "", errp) ||
        refuse(args, "bitmaps", errp) || refuse(args, "iothread", errp) || refuse(args, "writethrough", errp)) {
        return false;
    }
    p.node = qmp_str(args, "node-name");
    p.name = qmp_str(args, "name");
    p.description = qmp_str(args, "description");
    p.writable = qmp_bool(args, "writable", false);
    p.depth = qmp_bool(args, "allocation-depth", false);
    return export_add(&p, errp);
}

bool qmp_block_export_del(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    return delete(args, "id", errp);
}

static void add_export(void *opaque, const char *id, const char *node)
{
    Json *o = json_object_new_object();

    json_add_text(o, "id", id);
    json_add_text(o, "type", "nbd");
    json_add_text(o, "node-name", node);
    json_object_object_add(o, "shutting-down", json_object_new_boolean(false));
    json_object_array_add(opaque, o);
}

bool qmp_query_block_exports(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    exports_each(add_export, *ret);
    return true;
}
#endif
