/*
 * doppel-img convert. Several threads take a piece each, read and compress it; they write in the order of the
 * pieces, so that the target is laid out as the guest sees it, unless -W says that it does not matter.
 */
#include "block/qcow2-bitmap.h"
#include "img/create.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (2u << 20) /* also the largest cluster */
#define DATA_MAX (1u << 20) /* bytes of a piece that is only copied: what a core's cache holds */
#define SPARSE_DEFAULT 4096u
enum { THREADS_DEFAULT = 8, THREADS_MAX = 16 };

typedef struct Convert {
    /* constant */
    BlockImage *out, **in;
    int count;
    uint64_t sparse;   /* runs of zeros of at least so many bytes are left out; 0: none */
    bool dirty_target; /* what is not written there is not zero */
    uint32_t cluster; /* pieces are whole ones of the target, or 1 */
    bool compressed, own, any_order; /* own: only what the source itself holds; the rest is behind the target */
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t turn[THREADS_MAX]; /* of the piece with this number, modulo: no more are under way */
    int current;       /* the source */
    uint64_t at, base; /* in it; where it starts in the target */
    ImageRange range;  /* what is known from there on */
    uint64_t taken, written; /* pieces */
    int error;
    Progress progress;
} Convert;

/* A piece of work: bytes of one source. */
typedef struct Piece {
    BlockImage *in;
    uint64_t from, to, len, number;
    bool zero, skip;
} Piece;

/* put_data - write what is not zero. */
static int put_data(Convert *c, uint64_t at, const uint8_t *buf, uint32_t len)
{
    int r = 0;

    for (uint32_t n = 0; n < len && r == 0;) {
        uint32_t step = (uint32_t)(c->sparse != 0 ? MIN(c->sparse, len - n) : len - n), run = step;
        bool zero = c->sparse != 0 && mem_is_zero(buf + n, step);

        while (n + run < len && c->sparse != 0) {
            step = (uint32_t)MIN(c->sparse, len - n - run);
            if (mem_is_zero(buf + n + run, step) != zero) {
                break;
            }
            run += step;
        }
        if (!zero) {
            r = image_write(c->out, at + n, buf + n, run);
        } else if (c->dirty_target) {
            r = image_zero(c->out, at + n, run);
        }
        n += run;
    }
    return r;
}

/* put_clusters - compressed by @packed (NULL: as it is where it does not shrink), cluster by cluster. */
static int put_clusters(Convert *c, uint64_t at, const uint8_t *buf, uint32_t len, uint8_t *packed,
                        const uint32_t *lens)
{
    uint32_t size = ((const Qcow2 *)c->out->priv)->cluster_size;
    int r = 0;

    for (uint32_t n = 0, k = 0; n < len && r == 0; n += size, k++) {
        uint32_t part = MIN(size, len - n);

        if (lens[k] == 0) {
            r = put_data(c, at + n, buf + n, part);
        } else {
            r = qcow2_write_compressed(c->out, at + n, packed + n, lens[k]);
            r = r == -EEXIST ? put_data(c, at + n, buf + n, part) : r; /* a target that was there before */
        }
    }
    return r;
}

/* put_whole - to an image that compresses what it is given: whole clusters, but for those that are zero. */
static int put_whole(Convert *c, uint64_t at, const uint8_t *buf, uint32_t len)
{
    int r = 0;

    for (uint32_t n = 0, part; n < len && r == 0; n += part) {
        part = MIN(c->cluster - (uint32_t)((at + n) & (c->cluster - 1)), len - n);
        if (c->dirty_target || !mem_is_zero(buf + n, part)) {
            r = image_write(c->out, at + n, buf + n, part);
        }
    }
    return r;
}

/* pack_clusters - lens[]: bytes of each compressed cluster, 0: write it as it is. */
static void pack_clusters(const Convert *c, Qcow2Packer *p, uint64_t at, uint8_t *buf, uint32_t len, uint8_t *packed,
                          uint32_t *lens)
{
    const Qcow2 *q = c->out->priv;
    uint32_t size = q->cluster_size;

    memset(buf + len, 0, -len & (size - 1)); /* the disk may end inside of a cluster */
    for (uint32_t n = 0, k = 0; n < len; n += size, k++) {
        lens[k] = 0;
        if (at % size == 0 && !mem_is_zero(buf + n, size) &&
            (len - n >= size || at + len == c->out->size) && qcow2_compress(q, p, buf + n, packed + n, &lens[k]) != 0) {
            lens[k] = 0;
        }
    }
}

/* stop - for an error; under the lock. */
static void stop(Convert *c, int error)
{
    c->error = c->error != 0 ? c->error : error;
    for (unsigned n = 0; n < THREADS_MAX; n++) {
        pthread_cond_signal(&c->turn[n]);
    }
}

/* next_piece - under the lock; false: none is left, or there was an error. */
static bool next_piece(Convert *c, Piece *p)
{
    uint32_t cluster = c->cluster;
    ImageRange r;
    uint64_t to;
    int ret = 0;

    while (c->current < c->count && c->at >= c->in[c->current]->size) {
        c->base += c->in[c->current++]->size;
        c->at = 0;
    }
    if (c->current == c->count || c->error != 0) {
        return false;
    }
    *p = (Piece){ .in = c->in[c->current], .from = c->at, .to = c->base + c->at, .number = c->taken };
    if (c->range.len == 0) {
        ret = image_status(p->in, c->at, p->in->size - c->at, !c->own, &c->range);
    }
    if (ret != 0) {
        stop(c, ret);
        return false;
    }
    r = c->range;
    p->skip = c->own && !(r.flags & IMAGE_ALLOCATED);
    p->zero = !p->skip && (r.flags & IMAGE_ZERO) && (c->sparse != 0 || c->own);
    p->len = r.len;
    to = p->to + r.len;
    if (to % cluster != 0 && c->at + r.len < p->in->size) { /* whole clusters of the target */
        p->len = to - to % cluster > p->to ? r.len - to % cluster : 0;
        if (p->len == 0) {
            p->zero = p->skip = false;
            p->len = cluster - p->to % cluster;
        }
    }
    p->len = MIN(p->len, p->in->size - c->at);
    if (!p->zero && !p->skip) {
        p->len = MIN(p->len, (cluster > 1 ? CHUNK : DATA_MAX) - (p->to & (cluster - 1)));
    }
    c->at += p->len;
    c->range.len -= MIN(p->len, r.len);
    c->taken++;
    return true;
}

/* wait_turn - until all pieces before @number are written; false: stop, there was an error. */
static bool wait_turn(Convert *c, uint64_t number)
{
    bool go;

    pthread_mutex_lock(&c->lock);
    while (!c->any_order && c->written != number && c->error == 0) {
        pthread_cond_wait(&c->turn[number % THREADS_MAX], &c->lock);
    }
    go = c->error == 0;
    pthread_mutex_unlock(&c->lock);
    return go;
}

static void *work(void *opaque)
{
    Convert *c = opaque;
    uint8_t *buf = mem_large(CHUNK), *packed = c->compressed ? xnewn(uint8_t, CHUNK) : NULL;
    uint32_t *lens = xnewn(uint32_t, CHUNK / 512);
    Qcow2Packer *packer = qcow2_packer_new();
    Piece p;

    pthread_mutex_lock(&c->lock);
    while (next_piece(c, &p)) {
        bool data = !p.zero && !p.skip;
        int r;

        pthread_mutex_unlock(&c->lock);
        r = data ? image_read(p.in, p.from, buf, (uint32_t)p.len) : 0;
        if (r == 0 && data && c->compressed) {
            pack_clusters(c, packer, p.to, buf, (uint32_t)p.len, packed, lens);
        }
        if (r == 0 && wait_turn(c, p.number)) {
            if (data) {
                r = c->compressed    ? put_clusters(c, p.to, buf, (uint32_t)p.len, packed, lens)
                    : c->cluster > 1 ? put_whole(c, p.to, buf, (uint32_t)p.len)
                                     : put_data(c, p.to, buf, (uint32_t)p.len);
            } else if (p.zero && (c->dirty_target || c->own)) {
                r = image_zero(c->out, p.to, p.len);
            }
        }
        pthread_mutex_lock(&c->lock);
        c->written++;
        if (r != 0) {
            stop(c, r);
        }
        pthread_cond_signal(&c->turn[c->written % THREADS_MAX]);
        progress_add(&c->progress, r == 0 ? p.len : 0);
    }
    pthread_mutex_unlock(&c->lock);
    free(buf);
    free(packed);
    free(lens);
    qcow2_packer_free(packer);
    return NULL;
}

/* copy - all sources to the target. */
static int copy(Convert *c, unsigned threads)
{
    pthread_t thread[THREADS_MAX];
    unsigned n = 0;

    pthread_mutex_init(&c->lock, NULL);
    for (unsigned k = 0; k < THREADS_MAX; k++) {
        pthread_cond_init(&c->turn[k], NULL);
    }
    while (n + 1 < threads && pthread_create(&thread[n], NULL, work, c) == 0) {
        n++;
    }
    work(c);
    while (n > 0) {
        pthread_join(thread[--n], NULL);
    }
    pthread_mutex_destroy(&c->lock);
    for (unsigned k = 0; k < THREADS_MAX; k++) {
        pthread_cond_destroy(&c->turn[k]);
    }
    return c->error;
}

typedef struct ConvertArgs {
    const char *from, *to, *base, *base_format, *snapshot;
    bool existing, quiet, progress, bad, compressed, any_order, bitmaps, skip_broken;
    uint64_t sparse;
    unsigned threads, share; /* share: IMAGE_FORCE_SHARE */
    ImgCache cache, source_cache;
    OptList *opts;
} ConvertArgs;

/* threads_arg - as many as qemu-img takes. */
static bool threads_arg(const char *text, unsigned *n, Error **errp)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    if (*end != 0 || end == text || v < 1 || v > THREADS_MAX) {
        error_set(errp, "Invalid number of coroutines. Allowed number of coroutines is between 1 and %d",
                  THREADS_MAX);
        return false;
    }
    *n = (unsigned)v;
    return true;
}

static bool convert_args(ConvertArgs *a, int argc, char **argv, Error **errp)
{
    static const struct option longs[] = { { "bitmaps", no_argument, NULL, 1 }, { "skip-broken-bitmaps", no_argument, NULL, 2 },
                                           { NULL, 0, NULL, 0 } };
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "+:f:O:o:npqS:Ut:T:m:WcB:F:l:", longs, NULL)) != -1) {
        switch (c) {
        case 1: a->bitmaps = true; break;
        case 2: a->skip_broken = true; break;
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
            if (!img_size(optarg, &a->sparse, errp)) {
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
    if (a->skip_broken && !a->bitmaps) {
        error_set(errp, "Use of --skip-broken-bitmaps requires --bitmaps");
        return false;
    }
    return true;
}

/* open_target - make it, or (-n) take what is there. */
static BlockImage *open_target(const ConvertArgs *a, const char *path, uint64_t size, Error **errp)
{
    NewImage image = { .q = { .size = size } };
    Qcow2Options *o = &image.q;
    BlockImage *img;

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
    img = image_open_with(path, a->to, a->cache.flags, a->existing ? a->cache.mode : BLK_UNSAFE, errp);
    if (img != NULL && img->size < size) {
        error_set(errp, "%s: the output is smaller than the input", path);
        image_unref(img);
        return NULL;
    }
    return img;
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
        c->in[n] = image_open_with(files[n], a->from, IMAGE_READ_ONLY | a->share | a->source_cache.flags, BLK_WRITEBACK, errp);
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
                  .dirty_target = a->existing, .any_order = a->any_order };
    uint64_t size = 0;
    bool ok = false;
    int r = 0;

    if (open_sources(a, files, &c, &size, errp)) {
        c.out = open_target(a, path, size, errp);
    }
    if (c.out != NULL) {
        c.own = a->base != NULL;
        c.compressed = a->compressed && c.out->fmt == &qcow2_format; /* VMDK's subformat says by itself whether it is */
        c.cluster = c.compressed                  ? ((const Qcow2 *)c.out->priv)->cluster_size
                    : vmdk_compressed(c.out) ? vmdk_grain(c.out)
                                             : 1;
        c.progress = (Progress){ .on = a->progress && !a->quiet, .total = size };
        ok = !a->bitmaps || bitmaps_fit(&c, errp);
        r = ok ? copy(&c, a->threads) : -EINVAL;
        ok = r == 0 && (!a->bitmaps || qcow2_bitmaps_copy(c.out, c.in[0], a->skip_broken, errp));
        c.out->cache = a->cache.mode; /* a new one is made in one piece, and flushed once unless -t unsafe */
        r = r == 0 && ok ? image_flush(c.out) : r;
        image_unref(c.out);
        if (r != 0 || !ok) {
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
    ConvertArgs a = { .to = "raw", .sparse = SPARSE_DEFAULT, .opts = opt_new(), .threads = THREADS_DEFAULT };
    Error *err = NULL;
    int code = 0;

    if (convert_args(&a, argc, argv, &err)) {
        if (a.bad) {
            code = img_usage("convert", "Must specify image file name and output");
        } else {
            convert(&a, argv + optind, argc - optind - 1, &err);
        }
    }
    opt_free(a.opts);
    return err != NULL ? img_fail(err) : code;
}
