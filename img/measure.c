/*
 * doppel-img measure: how large would the file of a new image be?
 */
#include "block/qcow2-bitmap.h"
#include "img/create.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPT_SIZE = 256, OPT_OUTPUT };

typedef struct MeasureArgs {
    const char *from, *to, *snapshot;
    uint64_t size;
    bool size_given, json, bad;
    unsigned share;
    OptList *opts;
} MeasureArgs;

static uint64_t up(uint64_t v, uint64_t unit)
{
    return (v + unit - 1) / unit;
}

/* qcow2_metadata - bytes of an image of @size all of which is data, but for that: header, L1, L2 tables, counts. */
static uint64_t qcow2_metadata(const Qcow2Options *o, uint64_t size)
{
    uint64_t cluster = o->cluster_size, data = up(size, cluster), l2 = up(data, cluster / 8);
    uint64_t fixed = 1 + up(l2 * 8, cluster) + l2, per_block = cluster * 8 / o->refcount_bits, blocks = 0, table = 0;

    for (;;) { /* what counts has counts too */
        uint64_t all = fixed + data + blocks + table, b = up(all, per_block), t = up(b * 8, cluster);

        if (b == blocks && t == table) {
            return (fixed + blocks + table) * cluster;
        }
        blocks = b;
        table = t;
    }
}

/* count_data - bytes of the clusters that would hold data. */
static int count_data(BlockImage *img, uint64_t cluster, uint64_t *bytes)
{
    uint64_t last = UINT64_MAX; /* the cluster that was counted last */

    *bytes = 0;
    for (uint64_t at = 0; at < img->size;) {
        ImageRange range;
        int r = image_status(img, at, img->size - at, true, &range);

        if (r != 0) {
            return r;
        }
        if ((range.flags & IMAGE_DATA) && !(range.flags & IMAGE_ZERO)) {
            uint64_t first = at / cluster, end = up(at + range.len, cluster);

            first += first == last;
            *bytes += end > first ? (end - first) * cluster : 0;
            last = end - 1;
        }
        at += range.len;
    }
    return 0;
}

static bool measure_args(MeasureArgs *a, int argc, char **argv, Error **errp)
{
    static const struct option options[] = {
        { "size", required_argument, NULL, OPT_SIZE }, { "output", required_argument, NULL, OPT_OUTPUT }, { NULL, 0, NULL, 0 },
    };
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, ":f:O:o:l:U", options, NULL)) != -1) {
        switch (c) {
        case 'f': a->from = optarg; break;
        case 'O': a->to = optarg; break;
        case 'l': a->snapshot = img_snapshot_name(optarg); break;
        case 'U': a->share = IMAGE_FORCE_SHARE; break;
        case OPT_SIZE:
            a->size_given = true;
            if (!img_size(optarg, &a->size, errp)) {
                return false;
            }
            break;
        case OPT_OUTPUT:
            if (!img_output(optarg, &a->json, errp)) {
                return false;
            }
            break;
        case 'o':
            if (!opt_add(a->opts, optarg, NULL, errp)) {
                return false;
            }
            break;
        default: a->bad = true; return true;
        }
    }
    if (a->size_given ? argc != optind : argc - optind != 1) {
        error_set(errp, a->size_given ? "--size N cannot be used together with a filename."
                                      : "Either --size N or one filename must be specified.");
        return false;
    }
    return true;
}

/* @bitmaps: what those would take, -1: there can be none. */
static void print_sizes(const MeasureArgs *a, uint64_t required, uint64_t all, int64_t bitmaps)
{
    if (a->json) {
        printf("{\n");
        if (bitmaps >= 0) {
            printf("    \"bitmaps\": %" PRIi64 ",\n", bitmaps);
        }
        printf("    \"required\": %" PRIu64 ",\n    \"fully-allocated\": %" PRIu64 "\n}\n", required, all);
        return;
    }
    printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", required, all);
    if (bitmaps >= 0) {
        printf("bitmaps size: %" PRIi64 "\n", bitmaps);
    }
}

static bool can_measure(const char *format)
{
    return strcmp(format, "vdi") != 0 && strcmp(format, "vpc") != 0 && strcmp(format, "vmdk") != 0 &&
           strcmp(format, "vhdx") != 0;
}

static bool measure(MeasureArgs *a, const char *file, Error **errp)
{
    NewImage image = { .q = { .version = 3, .refcount_bits = 16 } };
    const Qcow2Options *o = &image.q;
    bool qcow2 = strcmp(a->to, "qcow2") == 0, ok = true;
    uint64_t data = 0, meta;
    int64_t bitmaps = -1;
    BlockImage *img = NULL;
    int r = 0;

    if (!can_measure(a->to)) {
        error_set(errp, "Block driver '%s' does not support size measurement", a->to);
        return false;
    }
    if (image_format_find(a->to, errp) == NULL || !new_image_options(a->to, a->opts, &image, errp)) {
        return false;
    }
    if (!a->size_given) {
        img = img_open(file, a->from, IMAGE_READ_ONLY | a->share, BLK_WRITEBACK, errp);
        ok = img != NULL && (a->snapshot == NULL || img_view_snapshot(img, a->snapshot, errp));
    }
    if (img != NULL && ok) {
        a->size = img->size;
        r = qcow2 ? count_data(img, o->cluster_size, &data) : 0;
        if (qcow2 && img->fmt == &qcow2_format && ((const Qcow2 *)img->priv)->version >= 3 && o->version >= 3) {
            bitmaps = (int64_t)qcow2_bitmaps_measure(img, o->cluster_size);
        }
    }
    image_unref(img);
    if (r != 0) {
        error_set_errno(errp, -r, "%s", file);
    }
    if (ok && qcow2 && up(a->size, (uint64_t)o->cluster_size * o->cluster_size / 8) > QCOW2_L1_MAX / 8) {
        error_set(errp, "The image size is too large (try using a larger cluster size)");
        ok = false;
    }
    if (ok && r == 0) {
        meta = qcow2 ? qcow2_metadata(o, a->size) : 0;
        data = !qcow2 || o->preallocation >= QCOW2_PREALLOC_FALLOC ? up(a->size, 512) * 512 : data;
        print_sizes(a, meta + data, meta + (qcow2 ? up(a->size, o->cluster_size) * o->cluster_size : data), bitmaps);
    }
    return ok && r == 0;
}

int cmd_measure(int argc, char **argv)
{
    MeasureArgs a = { .to = "raw", .opts = opt_new() };
    Error *err = NULL;
    int code = 0;

    if (measure_args(&a, argc, argv, &err)) {
        if (a.bad) {
            code = img_usage("measure", "an option that it does not have");
        } else {
            measure(&a, argv[optind], &err);
        }
    }
    opt_free(a.opts);
    return err != NULL ? img_fail(err) : code;
}
