/*
 * The human monitor: disks and media. The shape of `info block` is QEMU's: tools read it.
 */
#include "monitor/hmp-internal.h"

#include <inttypes.h>
#include <string.h>
#include "accel/accel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "block/block.h"
#include "bus/lock.h"
#include "monitor/ops.h"

typedef struct BlockList {
    FILE *out;
    const char *name; /* NULL: all */
    bool verbose, any;
} BlockList;

static void print_image(FILE *out, const BlockInfo *i)
{
    char used[32], size[32];

    fprintf(out, "\nImages:\nimage: %s\nfile format: %s\nvirtual size: %s (%" PRIu64
                 " bytes)\ndisk size: %s\n",
            i->file, i->format, text_show_size(i->size, size), i->size,
            text_show_size(i->used, used));
    if (i->cluster_size != 0) {
        fprintf(out, "cluster_size: %u\n", i->cluster_size);
    }
    if (i->backing != NULL) {
        fprintf(out, "backing file: %s\n", i->backing);
    }
}

static void print_limits(FILE *out, BlockBackend *b)
{
    const char *group;
    const BlockLimits *l = blk_limits(b, &group);

    if (l != NULL) {
        fprintf(out, "    I/O throttling:   bps=%" PRIu64 " bps_rd=%" PRIu64 " bps_wr=%" PRIu64 " bps_max=%" PRIu64
                " bps_rd_max=%" PRIu64 " bps_wr_max=%" PRIu64 " iops=%" PRIu64 " iops_rd=%" PRIu64 " iops_wr=%" PRIu64
                " iops_max=%" PRIu64 " iops_rd_max=%" PRIu64 " iops_wr_max=%" PRIu64 " iops_size=%" PRIu64 " group=%s\n",
                l->of[0].average, l->of[1].average, l->of[2].average, l->of[0].max, l->of[1].max, l->of[2].max,
                l->of[3].average, l->of[4].average, l->of[5].average, l->of[3].max, l->of[4].max, l->of[5].max,
                l->iops_size, group);
    }
}

static void print_block(void *opaque, BlockBackend *b)
{
    BlockList *l = opaque;
    FILE *out = l->out;
    BlockInfo i;

    blk_info(b, &i);
    if ((l->name != NULL && strcmp(l->name, i.name) != 0) || (i.is_node && i.attached == NULL)) {
        return;
    }
    if (l->any) {
        fprintf(out, "\n");
    }
    l->any = true;
    if (i.file == NULL) {
        fprintf(out, "%s: [not inserted]\n", i.name);
    } else {
        fprintf(out, "%s: %s (%s%s)\n", i.name, i.file, i.format,
                i.read_only ? ", read-only" : "");
    }
    if (i.attached != NULL) {
        fprintf(out, "    Attached to:      %s\n", i.attached);
    }
    if (i.io_status != BLK_OK) {
        fprintf(out, "    I/O status:       %s\n", i.io_status == BLK_NO_SPACE ? "nospace" : "failed");
    }
    if (i.removable) {
        fprintf(out, "    Removable device: %slocked, tray %s\n", i.locked ? "" : "not ",
                i.tray_open ? "open" : "closed");
    }
    if (i.file != NULL) {
        fprintf(out, "    Cache mode:       %s%s%s\n", i.cache == BLK_WRITETHROUGH ? "writethrough" : "writeback",
                i.direct ? ", direct" : "", i.cache == BLK_UNSAFE ? ", ignore flushes" : "");
        if (i.backing != NULL) {
            fprintf(out, "    Backing file:     %s (chain depth: %u)\n", i.backing, i.depth);
        }
        if (i.detect_zeroes != BLK_DETECT_OFF) {
            fprintf(out, "    Detect zeroes:    %s\n", i.detect_zeroes == BLK_DETECT_ON ? "on" : "unmap");
        }
        print_limits(out, b);
        if (l->verbose) {
            print_image(out, &i);
        }
    }
}

void hmp_info_block(HmpSession *m, FILE *out, const Args *a)
{
    BlockList l = { .out = out, .name = arg_str(a, "device"), .verbose = arg_bool(a, "verbose", false) };

    if (l.name != NULL && blk_find(l.name) == NULL) {
        fprintf(out, "Error: Device '%s' not found\n", l.name);
        return;
    }
    machine_lock();
    blk_each(print_block, &l);
    machine_unlock();
}

static BlockBackend *find(FILE *out, const char *name)
{
    BlockBackend *b = blk_find(name);

    if (b == NULL) {
        fprintf(out, "Error: Device '%s' not found\n", name);
    }
    return b;
}

void hmp_change(HmpSession *m, FILE *out, const Args *a)
{
    const char *name = arg_str(a, "device"), *file = arg_str(a, "filename"), *format = arg_str(a, "format");
    const char *mode = arg_str(a, "read-only-mode");
    Error *err = NULL;
    BlockBackend *b;
    bool read_only;

    if (strcmp(name, "vnc") == 0) {
        hmp_change_vnc(m, out, file, format);
        return;
    }
    b = find(out, name);
    if (b == NULL) {
        return;
    }
    machine_lock();
    read_only = blk_wants_read_only(b);
    machine_unlock();
    if (mode != NULL && strcmp(mode, "retain") != 0) {
        read_only = strcmp(mode, "read-only") == 0;
    }
    if (!blk_change(b, file, format, read_only, arg_bool(a, "force", false), &err)) {
        hmp_error(out, err);
    }
}

void hmp_eject(HmpSession *m, FILE *out, const Args *a)
{
    BlockBackend *b = find(out, arg_str(a, "device"));
    Error *err = NULL;

    if (b != NULL && !blk_eject(b, arg_bool(a, "force", false), &err)) {
        hmp_error(out, err);
    }
}

void hmp_info_block_jobs(HmpSession *m, FILE *out, const Args *a)
{
    fprintf(out, "No active jobs\n"); /* no command begins one */
}

static void print_stats(void *opaque, BlockBackend *b)
{
    const BlockStats *s = blk_stats(b);

    fprintf(opaque, "%s: rd_bytes=%" PRIu64 " wr_bytes=%" PRIu64 " rd_operations=%" PRIu64 " wr_operations=%" PRIu64
            " flush_operations=%" PRIu64 " wr_total_time_ns=%" PRIu64 " rd_total_time_ns=%" PRIu64
            " flush_total_time_ns=%" PRIu64 " rd_merged=0 wr_merged=0 idle_time_ns=%" PRId64 "\n", blk_name(b),
            s->read.bytes, s->write.bytes, s->read.operations, s->write.operations, s->flush.operations, s->write.ns,
            s->read.ns, s->flush.ns, s->last_ns != 0 ? clock_now(CLK_REAL) - s->last_ns : 0);
}

void hmp_info_blockstats(HmpSession *m, FILE *out, const Args *a)
{
    machine_lock();
    blk_each(print_stats, out);
    machine_unlock();
}

void hmp_block_resize(HmpSession *m, FILE *out, const Args *a)
{
    const char *name = arg_str(a, "device");
    BlockBackend *b = blk_find(name);
    Error *err = NULL;
    uint64_t size;

    if (b == NULL) {
        fprintf(out, "Error: Cannot find device='%s' nor node-name=''\n", name);
    } else if (!text_size(arg_str(a, "size"), 1 << 20, &size) || size > INT64_MAX) {
        fprintf(out, "Error: invalid size '%s'\n", arg_str(a, "size"));
    } else if (!op_block_resize(b, size, &err)) {
        hmp_error(out, err);
    }
}

static void commit_one(void *opaque, BlockBackend *b)
{
    Error *err = NULL;
    BlockInfo i;

    machine_lock();
    blk_info(b, &i);
    machine_unlock();
    if (i.backing != NULL && !blk_commit(b, &err)) {
        hmp_error(opaque, err);
    }
}

void hmp_commit(HmpSession *m, FILE *out, const Args *a)
{
    const char *name = arg_str(a, "device");
    BlockBackend *b = strcmp(name, "all") != 0 ? find(out, name) : NULL;
    Error *err = NULL;

    accel_pause();
    if (strcmp(name, "all") == 0) {
        blk_each(commit_one, out);
    } else if (b != NULL && !blk_commit(b, &err)) {
        hmp_error(out, err);
    }
    accel_resume();
}

void hmp_block_set_io_throttle(HmpSession *m, FILE *out, const Args *a)
{
    BlockBackend *b = find(out, arg_str(a, "device"));
    BlockLimits l = { 0 };
    Error *err = NULL;
    bool ok;

    if (b == NULL) {
        return;
    }
    for (unsigned n = 0; n < LIMITS; n++) {
        l.of[n].average = (uint64_t)arg_int(a, limit_names[n], 0);
        l.of[n].length = 1;
    }
    machine_lock();
    ok = blk_set_limits(b, &l, NULL, &err);
    machine_unlock();
    if (!ok) {
        hmp_error(out, err);
    }
}
