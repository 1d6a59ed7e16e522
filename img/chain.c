/*
 * doppel-img commit and rebase: what goes on between images that stand behind each other.
 */
#include "img/img.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "block/qcow2.h"

#define CHUNK (1u << 20)

typedef struct ChainArgs {
    const char *format, *base, *base_format;
    bool keep, quiet, unsafe, bad;
    ImgCache cache, source_cache;
    unsigned share; /* IMAGE_FORCE_SHARE: of what will be behind */
    uint64_t rate;  /* bytes a second; 0: as fast as it goes */
    uint64_t moved; /* bytes so far */
    struct timespec begun;
    Progress progress;
} ChainArgs;

static void chain_args(ChainArgs *a, int argc, char **argv, const char *letters, Error **errp)
{
    bool ok = true;
    int c;

    optind = 1;
    while (ok && (c = getopt(argc, argv, letters)) != -1) {
        switch (c) {
        case 'f': a->format = optarg; break;
        case 'b': a->base = optarg; break;
        case 'F': a->base_format = optarg; break;
        case 'd': a->keep = true; break;
        case 'u': a->unsafe = true; break;
        case 'p': a->progress.on = true; break;
        case 'q': a->quiet = true; break;
        case 'U': a->share = IMAGE_FORCE_SHARE; break;
        case 'r': ok = img_size(optarg, &a->rate, errp); break;
        case 't': ok = img_cache(optarg, &a->cache, errp); break;
        case 'T': ok = img_cache(optarg, &a->source_cache, errp); break;
        default: a->bad = true; return;
        }
    }
    a->bad = argc - optind != 1;
}

/* ---- commit ---- */

static BlockImage *find_base(BlockImage *img, const char *name, Error **errp)
{
    if (img->backing == NULL && name == NULL) {
        error_set(errp, "Image does not have a backing file");
        return NULL;
    }
    for (BlockImage *i = img; name != NULL && i->backing != NULL; i = i->backing) {
        const char *named = img_backing_name(i);

        if (strcmp(i->backing->file, name) == 0 || (named != NULL && strcmp(named, name) == 0)) {
            return i->backing;
        }
    }
    if (name != NULL) {
        error_set(errp, "Did not find '%s' in the backing chain of '%s'", name, img->file);
        return NULL;
    }
    return img->backing;
}

static void committed(void *opaque, uint64_t bytes, uint64_t moved)
{
    ChainArgs *a = opaque;

    progress_add(&a->progress, bytes);
    a->moved += moved;
    if (a->rate != 0) {
        img_pace(&a->begun, (uint64_t)((double)a->moved / (double)a->rate * 1e9));
    }
}

int cmd_commit(int argc, char **argv)
{
    ChainArgs a = { 0 };
    Error *err = NULL;
    BlockImage *img, *base;
    int r;

    chain_args(&a, argc, argv, ":f:b:dpqt:r:", &err);
    if (err != NULL) {
        return img_fail(err);
    }
    if (a.bad) {
        return img_usage("commit", "Expecting one image file name");
    }
    img = img_open(argv[optind], a.format, a.cache.flags, a.cache.mode, &err);
    base = img != NULL ? find_base(img, a.base, &err) : NULL;
    if (base != NULL && image_make_writable(base, &err)) {
        progress_start(&a.progress, a.quiet, img->size);
        clock_gettime(CLOCK_MONOTONIC, &a.begun);
        r = image_commit(img, base, committed, &a);
        if (r == 0 && !a.keep && a.base == NULL && img->fmt == &qcow2_format) {
            r = qcow2_make_empty(img);
        }
        if (r != 0) {
            progress_clear(&a.progress);
            error_set_errno(&err, -r, "Could not commit '%s' to '%s'", img->file, base->file);
        } else {
            progress_end(&a.progress);
        }
    }
    image_unref(img);
    if (err == NULL && !a.quiet) {
        printf("Image committed.\n");
    }
    return err != NULL ? img_fail(err) : 0;
}

/* ---- rebase ---- */

static int read_or_zeros(BlockImage *img, uint64_t at, uint8_t *buf, uint32_t len)
{
    uint32_t n = img == NULL || at >= img->size ? 0 : (uint32_t)MIN(len, img->size - at);

    memset(buf + n, 0, len - n);
    return n > 0 ? image_read(img, at, buf, n) : 0;
}

/* take_over - what the new one behind does not show as the old one did is the image's own from now on. */
static int take_over(BlockImage *img, uint64_t at, uint32_t len, const uint8_t *was, const uint8_t *will)
{
    uint32_t step = ((const Qcow2 *)img->priv)->cluster_size;
    int r = 0;

    for (uint32_t n = 0; n < len && r == 0;) {
        uint32_t part = (uint32_t)MIN(step - ((at + n) & (step - 1)), len - n);

        if (memcmp(was + n, will + n, part) != 0) {
            bool zero = was[n] == 0 && memcmp(was + n, was + n + 1, part - 1) == 0;

            r = zero ? image_zero(img, at + n, part) : image_write(img, at + n, was + n, part);
        }
        n += part;
    }
    return r;
}

static int rebase_data(BlockImage *img, BlockImage *to, Progress *progress)
{
    uint8_t *was = xnewn(uint8_t, CHUNK), *will = xnewn(uint8_t, CHUNK);
    int r = 0;

    for (uint64_t at = 0; at < img->size && r == 0;) {
        ImageRange range, all;

        r = image_status(img, at, img->size - at, false, &range);
        if (r == 0 && !(range.flags & IMAGE_ALLOCATED)) {
            range.len = MIN(range.len, CHUNK);
            r = image_status(img, at, range.len, true, &all);
            if (r == 0 && to == NULL && (all.flags & IMAGE_ZERO)) {
                range.len = all.len; /* zeros stay zeros */
            } else if (r == 0) {
                r = image_read(img, at, was, (uint32_t)range.len);
                r = r == 0 ? read_or_zeros(to, at, will, (uint32_t)range.len) : r;
                r = r == 0 ? take_over(img, at, (uint32_t)range.len, was, will) : r;
            }
        }
        at += range.len;
        progress_add(progress, range.len);
    }
    free(was);
    free(will);
    return r == 0 ? image_flush(img) : r;
}

static bool rebase(BlockImage *img, ChainArgs *a, Error **errp)
{
    BlockImage *to = NULL;
    int r = 0;

    if (img->fmt != &qcow2_format) {
        error_set(errp, "Could not change the backing file to '%s': Operation not supported", a->base);
        return false;
    }
    if (*a->base != 0 && !a->unsafe) {
        autofree char *path = qcow2_backing_path(img, a->base);

        to = image_open_chain(path, a->base_format, a->share | a->source_cache.flags, errp);
        if (to == NULL) {
            error_prepend(errp, "Could not open new backing file '%s': ", a->base);
            return false;
        }
    }
    if (*a->base != 0 && a->base_format == NULL) {
        error_set(errp, "Could not change the backing file to '%s': backing format must be specified", a->base);
        image_unref(to);
        return false;
    }
    progress_start(&a->progress, a->quiet, img->size);
    r = a->unsafe ? 0 : rebase_data(img, to, &a->progress);
    r = r == 0 ? qcow2_set_backing(img, a->base, *a->base != 0 ? a->base_format : NULL) : r;
    image_unref(to);
    if (r != 0) {
        progress_clear(&a->progress);
        error_set_errno(errp, -r, "Could not change the backing file to '%s'", a->base);
        return false;
    }
    progress_end(&a->progress);
    return true;
}

int cmd_rebase(int argc, char **argv)
{
    ChainArgs a = { 0 };
    Error *err = NULL;
    BlockImage *img;

    chain_args(&a, argc, argv, ":f:b:F:upqt:T:U", &err);
    if (err != NULL) {
        return img_fail(err);
    }
    if (a.bad || a.base == NULL) {
        return img_usage("rebase", a.bad ? "Expecting one image file name"
                                         : "Must specify backing file (-b) or use unsafe mode (-u)");
    }
    img = img_open(argv[optind], a.format, (a.unsafe ? IMAGE_NO_BACKING : 0) | a.cache.flags, a.cache.mode, &err);
    if (img != NULL) {
        rebase(img, &a, &err);
    }
    image_unref(img);
    return err != NULL ? img_fail(err) : 0;
}
