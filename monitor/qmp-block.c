/*
 * QMP: disks and media.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <string.h>
#include <json-c/json.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/json-options.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "block/block.h"
#include "block/node.h"
#include "bus/lock.h"
#include "monitor/ops.h"


static void add_limits(Json *o, BlockBackend *b)
{
    const char *group = NULL;
    const BlockLimits *l = b != NULL ? blk_limits(b, &group) : NULL;

    for (unsigned n = 0; n < LIMITS; n++) {
        autofree char *max = xasprintf("%s_max", limit_names[n]), *length = xasprintf("%s_length", max);

        json_add_int(o, limit_names[n], l != NULL ? (int64_t)l->of[n].average : 0);
        if (l != NULL && l->of[n].max != 0) {
            json_add_int(o, max, (int64_t)l->of[n].max);
            json_add_int(o, length, (int64_t)l->of[n].length);
        }
    }
    if (l != NULL) {
        if (l->iops_size != 0) {
            json_add_int(o, "iops_size", (int64_t)l->iops_size);
        }
        json_add_text(o, "group", group);
    }
}

static int64_t limit_arg(Json *args, const char *name, int64_t def)
{
    Json *v = json_object_object_get(args, name);

    return v != NULL ? json_object_get_int64(v) : def;
}

/* inserted_json - @b NULL: of a node. */
static Json *inserted_json(BlockBackend *b, const char *node, const BlockInfo *i)
{
    static const char *const detects[] = { "off", "on", "unmap" };
    Json *o = json_object_new_object(), *image = json_object_new_object(), *cache = json_object_new_object();

    json_add_text(o, "file", i->file);
    json_add_text(o, "node-name", node);
    json_add_bool(o, "ro", i->read_only);
    json_add_text(o, "drv", i->format);
    json_add_int(o, "backing_file_depth", i->depth);
    if (i->backing != NULL) {
        json_add_text(o, "backing_file", i->backing);
    }
    json_add_bool(o, "encrypted", false);
    json_add_text(o, "detect_zeroes", detects[i->detect_zeroes]);
    add_limits(o, b);
    json_add_text(image, "filename", i->file);
    json_add_text(image, "format", i->format);
    json_add_int(image, "virtual-size", (int64_t)i->size);
    json_add_int(image, "actual-size", (int64_t)i->used);
    json_add_bool(image, "dirty-flag", i->dirty);
    if (i->cluster_size != 0) {
        json_add_int(image, "cluster-size", i->cluster_size);
    }
    json_add(o, "image", image);
    json_add_bool(cache, "writeback", i->cache != BLK_WRITETHROUGH);
    json_add_bool(cache, "direct", i->direct);
    json_add_bool(cache, "no-flush", i->cache == BLK_UNSAFE);
    json_add(o, "cache", cache);
    json_add_int(o, "write_threshold", 0);
    return o;
}

static void add_block(void *opaque, BlockBackend *b)
{
    static const char *const states[] = { [BLK_OK] = "ok", [BLK_FAILED] = "failed", [BLK_NO_SPACE] = "nospace" };
    Json *o;
    BlockInfo i;

    blk_info(b, &i);
    if (i.is_node && i.attached == NULL) { /* made for a device that is gone */
        return;
    }
    o = json_object_new_object();
    json_add_text(o, "device", i.is_node ? "" : i.name);
    json_add_text(o, "qdev", i.attached);
    json_add_text(o, "type", "unknown");
    json_add_bool(o, "removable", i.removable);
    json_add_bool(o, "locked", i.locked);
    if (i.file != NULL) {
        json_add(o, "inserted", inserted_json(b, i.node, &i));
    }
    if (i.has_tray) {
        json_add_bool(o, "tray_open", i.tray_open);
    }
    if (i.attached != NULL) {
        json_add_text(o, "io-status", states[i.io_status]);
    }
    json_object_array_add(opaque, o);
}

static void add_count(Json *o, const char *name, const BlockCount *c, bool bytes)
{
    static const char *const keys[] = { "%s_operations", "failed_%s_operations", "invalid_%s_operations",
                                        "%s_total_time_ns", "%s_bytes", "%s_merged" };
    const uint64_t values[] = { c->operations, c->failed, c->invalid, c->ns, c->bytes, 0 };

    for (size_t n = 0; n < ARRAY_SIZE(keys) - (bytes ? 0u : 2u); n++) {
        const char *mark = strstr(keys[n], "%s");
        autofree char *key = xasprintf("%.*s%s%s", (int)(mark - keys[n]), keys[n], name, mark + 2);

        json_add_int(o, key, (int64_t)values[n]);
    }
}

static void add_stats(void *opaque, BlockBackend *b)
{
    Json *o = json_object_new_object(), *stats = json_object_new_object();
    const BlockStats *s = blk_stats(b);
    BlockInfo i;

    blk_info(b, &i);
    json_add_text(o, "device", i.name);
    if (i.attached != NULL) {
        json_add_text(o, "qdev", i.attached);
    }
    add_count(stats, "rd", &s->read, true);
    add_count(stats, "wr", &s->write, true);
    add_count(stats, "flush", &s->flush, false);
    add_count(stats, "unmap", &s->unmap, true);
    json_add_int(stats, "wr_highest_offset", (int64_t)s->highest);
    if (s->last_ns != 0) {
        json_add_int(stats, "idle_time_ns", clock_now(CLK_REAL) - s->last_ns);
    }
    json_add_bool(stats, "account_invalid", true);
    json_add_bool(stats, "account_failed", true);
    json_add(stats, "timed_stats", json_object_new_array());
    json_add(o, "stats", stats);
    json_object_array_add(opaque, o);
}

static void add_node(void *opaque, const char *name, const char *driver, const BlockInfo *info)
{
    json_object_array_add(opaque, inserted_json(NULL, name, info));
}

/* A drive's medium has a node too, whose name was made up. */
static void add_drive_node(void *opaque, BlockBackend *b)
{
    BlockInfo i;

    blk_info(b, &i);
    if (i.file != NULL && !(i.is_node && strcmp(i.node, i.name) == 0)) {
        json_object_array_add(opaque, inserted_json(b, i.node, &i));
    }
}

bool qmp_query_named_block_nodes(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    machine_lock();
    node_each(add_node, *ret);
    blk_each(add_drive_node, *ret);
    machine_unlock();
    return true;
}

bool qmp_blockdev_add(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    OptList *l = opt_new();
    bool ok = json_tree(l, args, "", errp) && node_add(l, errp);

    opt_free(l);
    return ok;
}

bool qmp_blockdev_del(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    return op_blockdev_del(qmp_str(args, "node-name"), errp);
}

bool qmp_query_blockstats(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    if (qmp_bool(args, "query-nodes", false)) {
        error_set(errp, "query-nodes is not supported yet");
        return false;
    }
    *ret = json_object_new_array();
    machine_lock();
    blk_each(add_stats, *ret);
    machine_unlock();
    return true;
}

bool qmp_block_resize(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    const char *device = qmp_str(args, "device"), *node = qmp_str(args, "node-name");
    BlockBackend *b = device != NULL ? blk_find(device) : node != NULL ? blk_find(node) : NULL;
    int64_t size = qmp_int(args, "size", 0);

    if (b == NULL) {
        error_set(errp, "Cannot find device='%s' nor node-name='%s'", device != NULL ? device : "",
                  node != NULL ? node : "");
        return false;
    }
    if (size < 0) {
        error_set(errp, "Parameter 'size' expects a >0 size");
        return false;
    }
    return op_block_resize(b, (uint64_t)size, errp);
}

bool qmp_query_block(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    machine_lock();
    blk_each(add_block, *ret);
    machine_unlock();
    return true;
}

typedef struct Wanted {
    const char *device; /* id of the guest's device */
    BlockBackend *found;
} Wanted;

static void match_device(void *opaque, BlockBackend *b)
{
    Wanted *w = opaque;
    BlockInfo i;

    blk_info(b, &i);
    w->found = i.attached != NULL && strcmp(i.attached, w->device) == 0 ? b : w->found;
}

/* find - by "device", the back end's name, or by "id", the guest's device. */
static BlockBackend *find(Json *args, Error **errp)
{
    const char *device = qmp_str(args, "device");
    Wanted w = { .device = qmp_str(args, "id") };

    if ((device == NULL) == (w.device == NULL)) {
        error_set(errp, "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    if (device != NULL) {
        w.found = blk_find(device);
    } else {
        machine_lock();
        blk_each(match_device, &w);
        machine_unlock();
    }
    if (w.found == NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
                        device != NULL ? device : w.device);
    }
    return w.found;
}

bool qmp_block_set_io_throttle(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    BlockBackend *b = find(args, errp);
    BlockLimits l = { 0 };
    bool ok;

    if (b == NULL) {
        return false;
    }
    for (unsigned n = 0; n < LIMITS; n++) {
        autofree char *max = xasprintf("%s_max", limit_names[n]), *length = xasprintf("%s_length", max);

        l.of[n].average = (uint64_t)limit_arg(args, limit_names[n], 0);
        l.of[n].max = (uint64_t)limit_arg(args, max, 0);
        l.of[n].length = (uint64_t)limit_arg(args, length, 1);
    }
    l.iops_size = (uint64_t)limit_arg(args, "iops_size", 0);
    machine_lock();
    ok = blk_set_limits(b, &l, qmp_str(args, "group"), errp);
    machine_unlock();
    return ok;
}

bool qmp_blockdev_change_medium(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    BlockBackend *b = find(args, errp);
    const char *mode = qmp_str(args, "read-only-mode");
    bool read_only;

    if (b == NULL) {
        return false;
    }
    machine_lock();
    read_only = mode == NULL || strcmp(mode, "retain") == 0 ? blk_wants_read_only(b)
                                                            : strcmp(mode, "read-only") == 0;
    machine_unlock();
    return blk_change(b, qmp_str(args, "filename"), qmp_str(args, "format"), read_only,
                      qmp_bool(args, "force", false), errp);
}

bool qmp_blockdev_open_tray(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    BlockBackend *b = find(args, errp);

    return b != NULL && blk_tray(b, true, qmp_bool(args, "force", false), errp);
}

bool qmp_blockdev_close_tray(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    BlockBackend *b = find(args, errp);

    return b != NULL && blk_tray(b, false, false, errp);
}

bool qmp_eject(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    BlockBackend *b = find(args, errp);

    return b != NULL && blk_eject(b, qmp_bool(args, "force", false), errp);
}
#endif
