/*
 * doppel-img convert: what is asked for, the images, and what is left when it fails. convert-copy.c copies.
 */
#include "img/convert.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "block/node.h"
#include "block/qcow2-bitmap.h"
#include "img/create.h"

#define SPARSE_DEFAULT 4096u

typedef struct ConvertArgs {
    const char *from, *to, *base, *base_format, *snapshot;
    bool existing, quiet, progress, bad, compressed, any_order, bitmaps, skip_broken;
    bool offload, salvage, zero_target, target_opts, has_sparse;
    uint64_t sparse, rate;
    unsigned threads, share; /* share: IMAGE_FORCE_SHARE */
    ImgCache cache, source_cache;
    OptList *opts;
} ConvertArgs;

/* threads_arg - as many as qemu-img takes. */
static bool threads_arg(const char *text, unsigned *n, Error **errp)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    if (*end != 0 || end == text || v < 1 || v > CONVERT_THREADS_MAX) {
        error_set(errp, "Invalid number of coroutines. Allowed number of coroutines is between 1 and %d",
                  CONVERT_THREADS_MAX);
        return false;
    }
    *n = (unsigned)v;
    return true;
}

/* convert_fit - options that need another, or bear it not. */
static bool convert_fit(const ConvertArgs *a, Error **errp)
{
    const struct {
        bool wrong;
        const char *why;
    } rules[] = {
        { a->skip_broken && !a->bitmaps, "Use of --skip-broken-bitmaps requires --bitmaps" },
        { a->zero_target && !a->existing, "--target-is-zero requires use of -n flag" },
        { a->target_opts && !a->existing, "--target-image-opts requires use of -n flag" },
        { a->target_opts && a->to != NULL, "-O and --target-image-opts are mutually exclusive" },
        { a->offload && a->has_sparse, "Cannot enable copy offloading when -S is used" },
        { a->offload && a->compressed, "Cannot enable copy offloading when -c is used" },
    };

    for (size_t n = 0; n < ARRAY_SIZE(rules); n++) {
        if (rules[n].wrong) {
            error_set(errp, "%s", rules[n].why);
            return false;
        }
    }
    return true;
}

static bool convert_args(ConvertArgs *a, int argc, char **argv, Error **errp)
{
    static const struct option longs[] = { { "bitmaps", no_argument, NULL, 1 }, { "skip-broken-bitmaps", no_argument, NULL, 2 },
                                           { "salvage", no_argument, NULL, 3 }, { "target-is-zero", no_argument, NULL, 4 },
                                           { "target-image-opts", no_argument, NULL, 5 }, { NULL, 0, NULL, 0 } };
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, ":f:O:o:npqS:Ut:T:m:WcB:F:l:r:C", longs, NULL)) != -1) {
        switch (c) {
        case 1: a->bitmaps = true; break;
        case 2: a->skip_broken = true; break;
        case 3: a->salvage = true; break;
        case 4: a->zero_target = true; break;
        case 5: a->target_opts = true; break;
        case 'C': a->offload = true; break;
        case 'f': a->from = optarg; break;
        case 'O': a->to = optarg; break;
        case 'n': a->existing = true; break;
        case 'p': a->progress = true; break;
        case 'q': a->quiet = true; break;
        case 'U': a->share = IMAGE_FORCE_SHARE; break;
        case 'B': a->base = optarg; break;
        case 'F': a->base_format = optarg; break;
        case 'l': a->snapshot = img_snapshot_name(optarg); break;
        case 'W': a->any_order = true; break;
        case 'c': a->compressed = true; break;
        case 't':
        case 'T':
            if (!img_cache(optarg, c == 't' ? &a->cache : &a->source_cache, errp)) {
                return false;
            }
            break;
        case 'm':
            if (!threads_arg(optarg, &a->threads, errp)) {
                return false;
            }
            break;
        case 'S':
        case 'r':
            a->has_sparse |= c == 'S';
            if (!img_size(optarg, c == 'S' ? &a->sparse : &a->rate, errp)) {
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
    a->bad = argc - optind < 2;
    return convert_fit(a, errp);
}

/* open_target_opts - what is there, by options. */
static BlockImage *open_target_opts(const ConvertArgs *a, const char *text, Error **errp)
{
    OptList *l = opt_parse(text, NULL, errp);
    BlockImage *img = l != NULL ? node_open(l, a->cache.flags, a->cache.mode, errp) : NULL;

    opt_free(l);
    return img;
}

/* open_target - make it, or (-n) take what is there. */
static BlockImage *open_target(const ConvertArgs *a, const char *path, uint64_t size, Error **errp)
{
    NewImage image = { .q = { .size = size } };
    Qcow2Options *o = &image.q;

    if (a->target_opts) {
        return open_target_opts(a, path, errp);
    }
    if (image_format_find(a->to, errp) == NULL) {
        return NULL;
    }
    o->backing_file = opt_get_str(a->opts, "backing_file", a->base);
    o->backing_format = opt_get_str(a->opts, "backing_fmt", a->base_format);
    if (!new_image_options(a->to, a->opts, &image, errp)) {
        return NULL;
    }
    if ((a->compressed || o->backing_file != NULL) && !new_image_behind(a->to)) {
        error_set(errp, "%s not supported for this file format", a->compressed ? "Compression" : "Backing file");
        return NULL;
    }
    if (o->backing_file != NULL && o->backing_format == NULL) {
        error_set(errp, "backing file specified without backing format (-F)");
        return NULL;
    }
    if (!a->existing && !new_image(path, a->to, &image, errp)) {
        return NULL;
    }
    return image_open_with(path, a->to, a->cache.flags, a->existing ? a->cache.mode : BLK_UNSAFE, errp);
}

bool img_view_snapshot(BlockImage *img, const char *name, Error **errp)
{
    int r = img->fmt != &qcow2_format ? -ENOTSUP : qcow2_snapshot_view(img, name);

    if (r != 0) {
        error_set(errp, "Failed to load snapshot: %s", r == -ENOENT ? "Can't find snapshot" : strerror(-r));
    }
    return r == 0;
}

static bool open_sources(const ConvertArgs *a, char **files, Convert *c, uint64_t *size, Error **errp)
{
    if (c->count > 1 && (a->base != NULL || a->snapshot != NULL)) {
        error_set(errp, "Having a backing file for the target, or a snapshot, makes no sense when concatenating "
                  "multiple input images");
        return false;
    }
    for (int n = 0; n < c->count; n++) {
        c->in[n] = img_open(files[n], a->from, IMAGE_READ_ONLY | a->share | a->source_cache.flags, BLK_WRITEBACK, errp);
        if (c->in[n] == NULL) {
            return false;
        }
        if (a->snapshot != NULL && !img_view_snapshot(c->in[n], a->snapshot, errp)) {
            return false;
        }
        *size += c->in[n]->size;
    }
    return true;
}

/* Can the bitmaps of the source be the target's? */
static bool bitmaps_fit(const Convert *c, Error **errp)
{
    if (c->count > 1) {
        error_set(errp, "--bitmaps requires exactly one source file");
    } else if (c->in[0]->fmt != &qcow2_format || c->out->fmt != &qcow2_format) {
        error_set(errp, "Format driver '%s' does not support bitmaps",
                  c->in[0]->fmt != &qcow2_format ? c->in[0]->format : c->out->format);
    } else {
        return true;
    }
    return false;
}

static bool convert(const ConvertArgs *a, char **files, int count, Error **errp)
{
    const char *path = files[count];
    Convert c = { .in = xnewn(BlockImage *, (size_t)count), .count = count, .sparse = a->sparse,
                  .dirty_target = a->existing && !a->zero_target, .any_order = a->any_order, .rate = a->rate,
                  .salvage = a->salvage, .quiet = a->quiet, .progress = { .on = a->progress } };
    uint64_t size = 0;
    bool ok = false;
    int r = 0;

    if (open_sources(a, files, &c, &size, errp)) {
        c.out = open_target(a, path, size, errp);
    }
    if (c.out != NULL && c.out->size < size) {
        error_set(errp, "%s: the output is smaller than the input", path);
        image_unref(c.out);
        c.out = NULL;
    }
    if (c.out != NULL) {
        c.own = a->base != NULL;
        c.compressed = a->compressed && c.out->fmt == &qcow2_format; /* VMDK's subformat says by itself whether it is */
        c.cluster = c.compressed                  ? ((const Qcow2 *)c.out->priv)->cluster_size
                    : vmdk_compressed(c.out) ? vmdk_grain(c.out)
                                             : 1;
        c.offload = a->offload && c.out->fmt == &raw_format && c.out->host.fd >= 0;
        c.sparse = a->offload ? 0 : c.sparse;
        progress_start(&c.progress, a->quiet, size);
        ok = !a->bitmaps || bitmaps_fit(&c, errp);
        r = ok ? convert_copy(&c, a->threads) : -EINVAL;
        ok = r == 0 && (!a->bitmaps || qcow2_bitmaps_copy(c.out, c.in[0], a->skip_broken, errp));
        c.out->cache = a->cache.mode; /* a new one is made in one piece, and flushed once unless -t unsafe */
        r = r == 0 && ok ? image_flush(c.out) : r;
        image_unref(c.out);
        if (r != 0 || !ok) {
            progress_clear(&c.progress);
            if (*errp == NULL) {
                error_set_errno(errp, -r, "error while converting to %s", path);
            }
            if (!a->existing) {
                unlink(path); /* nothing half-written is left */
            }
        } else {
            progress_end(&c.progress);
        }
    }
    for (int n = 0; n < count; n++) {
        image_unref(c.in[n]);
    }
    free(c.in);
    return ok;
}

int cmd_convert(int argc, char **argv)
{
    ConvertArgs a = { .sparse = SPARSE_DEFAULT, .opts = opt_new(), .threads = CONVERT_THREADS };
    Error *err = NULL;
    int code = 0;

    if (convert_args(&a, argc, argv, &err)) {
        a.to = a.to != NULL ? a.to : "raw";
        if (opt_wants_help(a.opts)) {
            new_image_help(a.to, &err);
        } else if (a.bad) {
            code = img_usage("convert", "Must specify image file name and output");
        } else {
            convert(&a, argv + optind, argc - optind - 1, &err);
        }
    }
    opt_free(a.opts);
    return err != NULL ? img_fail(err) : code;
}
