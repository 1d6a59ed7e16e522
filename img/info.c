/*
 * doppel-img info, check and map.
 */
#include "img/img.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "block/qcow2-bitmap.h"
#include "block/vdi.h"
#include "block/vhdx.h"
#include "block/vmdk.h"
#include "block/vpc.h"

/* The options that these commands share. */
typedef struct ShowArgs {
    const char *format;
    bool json, chain, quiet, bad;
    unsigned fix, share; /* share: IMAGE_FORCE_SHARE */
    ImgCache cache;
    uint64_t start, length; /* of map */
} ShowArgs;

enum { OPT_OUTPUT = 256, OPT_CHAIN };

static const struct option show_options[] = {
    { "output", required_argument, NULL, OPT_OUTPUT },
    { "backing-chain", no_argument, NULL, OPT_CHAIN },
    { "repair", required_argument, NULL, 'r' },
    { "start-offset", required_argument, NULL, 's' },
    { "max-length", required_argument, NULL, 'l' },
    { NULL, 0, NULL, 0 },
};

static bool show_args(ShowArgs *a, int argc, char **argv, const char *letters, Error **errp)
{
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, letters, show_options, NULL)) != -1) {
        switch (c) {
        case 'f': a->format = optarg; break;
        case 'q': a->quiet = true; break;
        case 'U': a->share = IMAGE_FORCE_SHARE; break;
        case 'T':
            if (!img_cache(optarg, &a->cache, errp)) {
                return false;
            }
            break;
        case 's':
        case 'l':
            if (!img_size(optarg, c == 's' ? &a->start : &a->length, errp)) {
                return false;
            }
            break;
        case OPT_CHAIN: a->chain = true; break;
        case OPT_OUTPUT:
            if (!img_output(optarg, &a->json, errp)) {
                return false;
            }
            break;
        case 'r':
            if (strcmp(optarg, "leaks") != 0 && strcmp(optarg, "all") != 0) {
                error_set(errp, "-r %s: leaks or all", optarg);
                return false;
            }
            a->fix = QCOW2_FIX_LEAKS | (strcmp(optarg, "all") == 0 ? QCOW2_FIX_ERRORS : 0);
            break;
        default: a->bad = true; return true;
        }
    }
    a->bad = argc - optind != 1;
    return true;
}

/* ---- info ---- */

const char *img_backing_name(const BlockImage *img)
{
    return img->fmt == &qcow2_format ? ((const Qcow2 *)img->priv)->backing_file : vmdk_parent(img);
}

static uint64_t file_size(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static uint64_t disk_size(const BlockImage *img)
{
    const Vmdk *v = img->fmt == &vmdk_format ? img->priv : NULL;
    uint64_t size = file_size(img->host.fd);

    for (unsigned n = 0; v != NULL && n < v->extents; n++) {
        size += v->extent[n].host == &v->extent[n].own ? file_size(v->extent[n].own.fd) : 0;
    }
    return size;
}

/* cluster_size - or 0. */
static uint32_t cluster_size(const BlockImage *img)
{
    return img->fmt == &qcow2_format ? ((const Qcow2 *)img->priv)->cluster_size
           : img->fmt == &vdi_format ? VDI_BLOCK
           : img->fmt == &vpc_format ? vpc_block(img)
           : img->fmt == &vhdx_format ? vhdx_block(img)
                                     : vmdk_grain(img);
}

static const char *onoff(bool b)
{
    return b ? "true" : "false";
}

/* info_snapshots - what is inside, if anything: in words, or as JSON behind @pad. */
static void info_snapshots(const BlockImage *img, const char *pad)
{
    Qcow2Snapshot *list;
    uint32_t count;
    uint64_t bytes;
    int r = qcow2_snapshots_read(img->priv, &list, &count, &bytes);

    if (r != 0) {
        report("%s: cannot read its snapshots: %s", img->file, strerror(-r));
        return;
    }
    if (pad == NULL) {
        img_print_snapshots(list, count);
    }
    for (uint32_t n = 0; n < count && pad != NULL; n++) {
        const Qcow2Snapshot *sn = &list[n];

        printf("%s%s        {\n", n == 0 ? "" : ",\n", pad);
        if (sn->icount != UINT64_MAX) {
            printf("%s            \"icount\": %" PRIu64 ",\n", pad, sn->icount);
        }
        printf("%s            \"vm-clock-nsec\": %" PRIu64 ",\n%s            \"name\": ", pad,
               sn->clock_ns % 1000000000, pad);
        img_json(sn->name);
        printf(",\n%s            \"date-sec\": %u,\n%s            \"date-nsec\": %u,\n"
               "%s            \"vm-clock-sec\": %" PRIu64 ",\n%s            \"id\": ", pad, sn->sec, pad,
               sn->nsec, pad, sn->clock_ns / 1000000000, pad);
        img_json(sn->id);
        printf(",\n%s            \"vm-state-size\": %" PRIu64 "\n%s        }", pad, sn->state_bytes, pad);
    }
    qcow2_snapshots_free(list, count);
}

static const char *behind_format(const BlockImage *img)
{
    return img->fmt == &qcow2_format ? ((const Qcow2 *)img->priv)->backing_format : "vmdk";
}

static void vmdk_human(const Vmdk *v)
{
    printf("Format specific information:\n    cid: %u\n    parent cid: %u\n    create type: %s\n    extents:\n", v->text.cid,
           v->text.parent_cid, v->text.create_type);
    for (unsigned n = 0; n < v->extents; n++) {
        const VmdkExtent *e = &v->extent[n];

        printf("        [%u]:\n%s            virtual size: %" PRIu64 "\n            filename: %s\n", n,
               e->compressed ? "            compressed: true\n" : "", e->size, e->file != NULL ? e->file : "");
        if (e->grain != 0) {
            printf("            cluster size: %u\n", e->grain);
        }
        printf("            format: %s\n", e->type);
    }
}

static void vmdk_json(const Vmdk *v, const char *pad)
{
    printf(",\n%s    \"format-specific\": {\n%s        \"type\": \"vmdk\",\n%s        \"data\": {\n"
           "%s            \"cid\": %u,\n%s            \"parent-cid\": %u,\n%s            \"create-type\": ", pad, pad, pad,
           pad, v->text.cid, pad, v->text.parent_cid, pad);
    img_json(v->text.create_type);
    printf(",\n%s            \"extents\": [\n", pad);
    for (unsigned n = 0; n < v->extents; n++) {
        const VmdkExtent *e = &v->extent[n];

        printf("%s                {\n", pad);
        if (e->compressed) {
            printf("%s                    \"compressed\": true,\n", pad);
        }
        printf("%s                    \"virtual-size\": %" PRIu64 ",\n%s                    \"filename\": ", pad, e->size, pad);
        img_json(e->file != NULL ? e->file : "");
        if (e->grain != 0) {
            printf(",\n%s                    \"cluster-size\": %u", pad, e->grain);
        }
        printf(",\n%s                    \"format\": \"%s\"\n%s                }%s\n", pad, e->type, pad,
               n + 1 < v->extents ? "," : "");
    }
    printf("%s            ]\n%s        }\n%s    }", pad, pad, pad);
}

static const struct {
    uint32_t flag;
    const char *name;
} bitmap_flags[] = { { BITMAP_IN_USE, "in-use" }, { BITMAP_AUTO, "auto" } };

static void bitmaps_human(const Qcow2 *q)
{
    for (unsigned n = 0; n < q->bitmap_count; n++) {
        const Qcow2Bitmap *b = &q->bitmaps[n];

        printf("%s        [%u]:\n            flags:\n", n == 0 ? "    bitmaps:\n" : "", n);
        for (unsigned k = 0, at = 0; k < ARRAY_SIZE(bitmap_flags); k++) {
            if (b->flags & bitmap_flags[k].flag) {
                printf("                [%u]: %s\n", at++, bitmap_flags[k].name);
            }
        }
        printf("            name: %s\n            granularity: %llu\n", b->name, 1ull << b->granularity_bits);
    }
}

static void bitmaps_json(const Qcow2 *q, const char *pad)
{
    for (unsigned n = 0; n < q->bitmap_count; n++) {
        const Qcow2Bitmap *b = &q->bitmaps[n];
        const char *between = "\n";

        printf("%s\n%s                {\n%s                    \"flags\": [", n == 0 ? ",\n            \"bitmaps\": [" : ",", pad, pad);
        for (unsigned k = 0; k < ARRAY_SIZE(bitmap_flags); k++) {
            if (b->flags & bitmap_flags[k].flag) {
                printf("%s%s                        \"%s\"", between, pad, bitmap_flags[k].name);
                between = ",\n";
            }
        }
        printf("\n%s                    ],\n%s                    \"name\": ", pad, pad);
        img_json(b->name);
        printf(",\n%s                    \"granularity\": %llu\n%s                }", pad, 1ull << b->granularity_bits, pad);
    }
    printf("%s%s%s", q->bitmap_count != 0 ? "\n" : "", q->bitmap_count != 0 ? pad : "", q->bitmap_count != 0 ? "            ]" : "");
}

static void info_human(const BlockImage *img)
{
    const Qcow2 *q = img->fmt == &qcow2_format ? img->priv : NULL;
    const char *behind = img_backing_name(img);
    char size[32], disk[32];

    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n", img->file,
           img->format, img_human(img->size, size), img->size,
           img->host.remote != NULL ? "unavailable" : img_human(disk_size(img), disk));
    if (cluster_size(img) != 0) {
        printf("cluster_size: %u\n", cluster_size(img));
    }
    if (behind != NULL) {
        printf("backing file: %s", behind);
        if (img->backing != NULL && strcmp(img->backing->file, behind) != 0) {
            printf(" (actual path: %s)", img->backing->file);
        }
        printf("\n");
        if (behind_format(img) != NULL) {
            printf("backing file format: %s\n", behind_format(img));
        }
    }
    if (img->fmt == &vmdk_format) {
        vmdk_human(img->priv);
    }
    if (q == NULL) {
        return;
    }
    info_snapshots(img, NULL);
    printf("Format specific information:\n    compat: %s\n    compression type: %s\n",
           q->version >= 3 ? "1.1" : "0.10", q->compression == 1 ? "zstd" : "zlib");
    if (q->version >= 3) {
        printf("    lazy refcounts: %s\n", onoff(q->compatible & COMPAT_LAZY_REFCOUNTS));
        bitmaps_human(q);
        printf("    refcount bits: %u\n", 1u << q->refcount_order);
        if (q->data_file != NULL) {
            printf("    data file: %s\n    data file raw: %s\n", q->data_name != NULL ? q->data_name : q->data_file->file, onoff(q->data_raw));
        }
        printf("    corrupt: %s\n    extended l2: %s\n", onoff(q->incompatible & INCOMPAT_CORRUPT), onoff(q->extended));
    } else {
        printf("    refcount bits: %u\n", 1u << q->refcount_order);
    }
}

static void info_json(const BlockImage *img, const char *pad)
{
    const char *behind = img_backing_name(img);
    const Qcow2 *q = img->fmt == &qcow2_format ? img->priv : NULL;

    printf("%s{\n", pad);
    if (q != NULL && q->snapshots != 0) {
        printf("%s    \"snapshots\": [\n", pad);
        info_snapshots(img, pad);
        printf("\n%s    ],\n", pad);
    }
    printf("%s    \"virtual-size\": %" PRIu64 ",\n%s    \"filename\": ", pad, img->size, pad);
    img_json(img->file);
    if (cluster_size(img) != 0) {
        printf(",\n%s    \"cluster-size\": %u", pad, cluster_size(img));
    }
    printf(",\n%s    \"format\": \"%s\"", pad, img->format);
    if (img->host.remote == NULL) {
        printf(",\n%s    \"actual-size\": %" PRIu64, pad, disk_size(img));
    }
    if (q != NULL) {
        printf(",\n%s    \"format-specific\": {\n%s        \"type\": \"qcow2\",\n%s        \"data\": {\n"
               "%s            \"compat\": \"%s\",\n%s            \"compression-type\": \"%s\"", pad, pad, pad, pad,
               q->version >= 3 ? "1.1" : "0.10", pad, q->compression == 1 ? "zstd" : "zlib");
        if (q->version >= 3) {
            printf(",\n%s            \"lazy-refcounts\": %s", pad, onoff(q->compatible & COMPAT_LAZY_REFCOUNTS));
            bitmaps_json(q, pad);
        }
        printf(",\n%s            \"refcount-bits\": %u", pad, 1u << q->refcount_order);
        if (q->data_file != NULL) {
            printf(",\n%s            \"data-file\": ", pad);
            img_json(q->data_name != NULL ? q->data_name : q->data_file->file);
            printf(",\n%s            \"data-file-raw\": %s", pad, onoff(q->data_raw));
        }
        if (q->version >= 3) {
            printf(",\n%s            \"corrupt\": %s,\n%s            \"extended-l2\": %s", pad,
                   onoff(q->incompatible & INCOMPAT_CORRUPT), pad, onoff(q->extended));
        }
        printf("\n%s        }\n%s    }", pad, pad);
    } else if (img->fmt == &vmdk_format) {
        vmdk_json(img->priv, pad);
    }
    if (behind != NULL) {
        printf(",\n%s    \"full-backing-filename\": ", pad);
        img_json(img->backing != NULL ? img->backing->file : behind);
        printf(",\n%s    \"backing-filename\": ", pad);
        img_json(behind);
        if (behind_format(img) != NULL) {
            printf(",\n%s    \"backing-filename-format\": ", pad);
            img_json(behind_format(img));
        }
    }
    printf(",\n%s    \"dirty-flag\": %s\n%s}", pad, onoff(q != NULL && (q->incompatible & INCOMPAT_DIRTY)), pad);
}

int cmd_info(int argc, char **argv)
{
    ShowArgs a = { 0 };
    Error *err = NULL;
    BlockImage *img;

    if (!show_args(&a, argc, argv, ":f:U", &err)) {
        return img_fail(err);
    }
    if (a.bad) {
        return img_usage("info", "Expecting one image file name");
    }
    img = img_open(argv[optind], a.format, IMAGE_READ_ONLY | a.share, BLK_WRITEBACK, &err);
    if (img == NULL) {
        return img_fail(err);
    }
    if (a.json && a.chain) {
        printf("[\n");
    }
    for (const BlockImage *i = img; i != NULL; i = a.chain ? i->backing : NULL) {
        if (a.json) {
            info_json(i, a.chain ? "    " : "");
            printf("%s\n", a.chain && i->backing != NULL ? "," : "");
        } else {
            printf("%s", i != img ? "\n" : "");
            info_human(i);
        }
    }
    if (a.json && a.chain) {
        printf("]\n");
    }
    image_unref(img);
    return 0;
}

/* ---- check ---- */

static void print_finding(void *opaque, const char *line)
{
    const ShowArgs *a = opaque;

    if (!a->json && !a->quiet) {
        printf("%s\n", line);
    }
}

/* check_other - VMDK, and VHDX, whose tables are checked when it is opened; for writing, its log is written again. It
 * says less than qcow2's, as qemu-img does; the exit code. */
static int check_other(BlockImage *img, ShowArgs *a)
{
    uint64_t errors = 0;
    int r = img->fmt == &vhdx_format ? 0 : a->fix != 0 ? -ENOTSUP : vmdk_check(img, &errors, print_finding, a);

    if (r != 0) {
        report("Check failed: %s", strerror(-r));
        return 1;
    }
    if (a->json) {
        printf("{\n    \"check-errors\": 0,\n");
        if (errors != 0) {
            printf("    \"corruptions\": %" PRIu64 ",\n", errors);
        }
        printf("    \"filename\": ");
        img_json(img->file);
        printf(",\n    \"format\": \"%s\"\n}\n", img->format);
    } else if (!a->quiet && errors == 0) {
        printf("No errors were found on the image.\n");
    } else if (!a->quiet) {
        printf("\n%" PRIu64 " errors were found on the image.\nData may be corrupted, or further writes to the "
               "image may corrupt it.\n", errors);
    }
    return errors != 0 ? 2 : 0;
}

static void check_json(const char *file, const Qcow2Check *c)
{
    printf("{\n    \"image-end-offset\": %" PRIu64 ",\n    \"total-clusters\": %" PRIu64
           ",\n    \"check-errors\": %" PRIu64 ",\n", c->end, c->total, c->errors);
    if (c->corruptions) {
        printf("    \"corruptions\": %" PRIu64 ",\n", c->corruptions);
    }
    if (c->leaks) {
        printf("    \"leaks\": %" PRIu64 ",\n", c->leaks);
    }
    if (c->corruptions_fixed) {
        printf("    \"corruptions-fixed\": %" PRIu64 ",\n", c->corruptions_fixed);
    }
    if (c->leaks_fixed) {
        printf("    \"leaks-fixed\": %" PRIu64 ",\n", c->leaks_fixed);
    }
    printf("    \"allocated-clusters\": %" PRIu64 ",\n    \"fragmented-clusters\": %" PRIu64
           ",\n    \"compressed-clusters\": %" PRIu64 ",\n    \"filename\": ", c->allocated, c->fragmented,
           c->compressed);
    img_json(file);
    printf(",\n    \"format\": \"qcow2\"\n}\n");
}

static void check_human(const Qcow2Check *c)
{
    if (c->corruptions_fixed != 0 || c->leaks_fixed != 0) {
        printf("The following inconsistencies were found and repaired:\n\n    %" PRIu64
               " leaked clusters\n    %" PRIu64 " corruptions\n\n", c->leaks_fixed, c->corruptions_fixed);
    }
    if (c->corruptions == 0 && c->leaks == 0 && c->errors == 0) {
        printf("No errors were found on the image.\n");
    }
    if (c->corruptions != 0) {
        printf("\n%" PRIu64 " errors were found on the image.\nData may be corrupted, or further writes to the "
               "image may corrupt it.\n", c->corruptions);
    }
    if (c->leaks != 0) {
        printf("\n%" PRIu64 " leaked clusters were found on the image.\nThis means waste of disk space, but no "
               "harm to data.\n", c->leaks);
    }
    if (c->total != 0 && c->allocated != 0) {
        printf("%" PRIu64 "/%" PRIu64 " = %.2f%% allocated, %.2f%% fragmented, %.2f%% compressed clusters\n",
               c->allocated, c->total, (double)c->allocated * 100 / (double)c->total,
               (double)c->fragmented * 100 / (double)c->allocated,
               (double)c->compressed * 100 / (double)c->allocated);
    }
    printf("Image end offset: %" PRIu64 "\n", c->end);
}

int cmd_check(int argc, char **argv)
{
    ShowArgs a = { 0 };
    Error *err = NULL;
    Qcow2Check result;
    BlockImage *img;
    int r;

    if (!show_args(&a, argc, argv, ":f:r:qUT:", &err)) {
        return img_fail(err);
    }
    if (a.bad) {
        return img_usage("check", "Expecting one image file name");
    }
    img = img_open(argv[optind], a.format, (a.fix == 0 ? IMAGE_READ_ONLY | a.share : IMAGE_AS_IT_IS) | a.cache.flags,
                   a.cache.mode, &err);
    if (img == NULL) {
        return img_fail(err);
    }
    if (img->fmt == &vmdk_format || img->fmt == &vhdx_format) {
        r = check_other(img, &a);
        image_unref(img);
        return r;
    }
    if (img->fmt != &qcow2_format) {
        image_unref(img);
        report("This image format does not support checks");
        return 63;
    }
    r = qcow2_check(img, a.fix, &result, print_finding, &a);
    if (r != 0) {
        report("Check failed: %s", strerror(-r));
    } else if (a.json) {
        check_json(img->file, &result);
    } else if (!a.quiet) {
        check_human(&result);
    }
    image_unref(img);
    return r != 0 ? 1 : result.corruptions != 0 ? 2 : result.leaks != 0 ? 3 : 0;
}

/* ---- map ---- */

typedef struct Extent {
    uint64_t start, len, offset;
    unsigned flags, depth;
    const char *file;
} Extent;

static void print_json(const Extent *e, bool first)
{
    printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %u, \"present\": %s, \"zero\": %s, "
           "\"data\": %s", first ? "[" : ",\n", e->start, e->len, e->depth, onoff(e->flags & IMAGE_ALLOCATED),
           onoff(e->flags & IMAGE_ZERO), onoff(e->flags & IMAGE_DATA));
    if (e->flags & IMAGE_OFFSET) {
        printf(", \"offset\": %" PRIu64, e->offset);
    }
    printf("}");
}

static void print_human(const Extent *e)
{
    char a[24], b[24], c[24];

    if ((e->flags & IMAGE_DATA) && !(e->flags & IMAGE_ZERO) && (e->flags & IMAGE_OFFSET)) {
        snprintf(a, sizeof(a), "%#" PRIx64, e->start);
        snprintf(b, sizeof(b), "%#" PRIx64, e->len);
        snprintf(c, sizeof(c), "%#" PRIx64, e->offset);
        printf("%-16s%-16s%-16s%s\n", a, b, c, e->file);
    }
}

static void print_extent(const Extent *e, bool json, bool first)
{
    if (json) {
        print_json(e, first);
    } else {
        print_human(e);
    }
}

/* extent_at - what the chain holds at @start, before @end, and which image of it. */
static int extent_at(BlockImage *img, uint64_t start, uint64_t end, Extent *e)
{
    ImageRange r;
    uint64_t len = end - start;
    int ret;

    *e = (Extent){ .start = start, .file = img->file };
    for (BlockImage *i = img; i != NULL; i = i->backing, e->depth++) {
        if (start >= i->size) {
            break; /* behind the end of an image that is smaller */
        }
        ret = image_status(i, start, MIN(len, i->size - start), false, &r);
        if (ret != 0) {
            return ret;
        }
        len = r.len;
        e->file = r.file != NULL ? r.file : i->file;
        e->flags = r.flags;
        e->offset = r.offset;
        if (r.flags & IMAGE_ALLOCATED) {
            break;
        }
        if (i->backing == NULL || start >= i->backing->size) {
            e->flags = IMAGE_ZERO | (i->backing == NULL ? r.flags & IMAGE_OFFSET : 0);
            break;
        }
    }
    e->len = len;
    return 0;
}

static bool joins(const Extent *a, const Extent *b)
{
    return a->flags == b->flags && a->depth == b->depth && a->file == b->file &&
           (!(a->flags & IMAGE_OFFSET) || a->offset + a->len == b->offset);
}

int cmd_map(int argc, char **argv)
{
    ShowArgs a = { .length = INT64_MAX };
    Extent last = { 0 }, e;
    bool first = true;
    Error *err = NULL;
    BlockImage *img;
    uint64_t end;
    int r = 0;

    if (!show_args(&a, argc, argv, ":f:Us:l:", &err)) {
        return img_fail(err);
    }
    if (a.bad) {
        return img_usage("map", "Expecting one image file name");
    }
    img = img_open(argv[optind], a.format, IMAGE_READ_ONLY | a.share, BLK_WRITEBACK, &err);
    if (img == NULL) {
        return img_fail(err);
    }
    if (!a.json) {
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    }
    end = MIN(a.start + a.length, img->size);
    for (uint64_t at = a.start; at < end && r == 0; at += e.len) {
        r = extent_at(img, at, end, &e);
        if (last.len != 0 && joins(&last, &e)) {
            last.len += e.len;
            continue;
        }
        if (last.len != 0) {
            print_extent(&last, a.json, first);
            first = false;
        }
        last = e;
    }
    if (r == 0 && last.len != 0) {
        print_extent(&last, a.json, first);
        first = false;
    }
    if (a.json) {
        printf(first ? "[]\n" : "]\n");
    }
    image_unref(img);
    if (r != 0) {
        report("%s: %s", argv[optind], strerror(-r));
    }
    return r != 0;
}
