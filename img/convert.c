/*
 * doppel-img convert and compare.
 */
#include "img/create.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (1u << 20)
#define SPARSE_DEFAULT 4096u

static bool all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* ---- convert ---- */

typedef struct Convert {
    BlockImage *out;
    uint64_t sparse;   /* runs of zeros of at least so many bytes are left out; 0: none */
    bool dirty_target; /* what is not written there is not zero */
    uint8_t *buf;
    Progress progress;
} Convert;

/* put_data - write what is not zero. */
static int put_data(Convert *c, uint64_t at, const uint8_t *buf, uint32_t len)
{
    int r = 0;

    for (uint32_t n = 0; n < len && r == 0;) {
        uint32_t step = (uint32_t)(c->sparse != 0 ? MIN(c->sparse, len - n) : len - n), run = step;
        bool zero = c->sparse != 0 && all_zero(buf + n, step);

        while (n + run < len && c->sparse != 0) {
            step = (uint32_t)MIN(c->sparse, len - n - run);
            if (all_zero(buf + n + run, step) != zero) {
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

/* copy - @in to the target, from @to on. */
static int copy(Convert *c, BlockImage *in, uint64_t to)
{
    for (uint64_t at = 0; at < in->size;) {
        ImageRange range;
        int r = image_status(in, at, in->size - at, true, &range);

        if (r != 0) {
            return r;
        }
        if ((range.flags & IMAGE_ZERO) && c->sparse != 0) {
            r = c->dirty_target ? image_zero(c->out, to + at, range.len) : 0;
        } else {
            for (uint64_t n = 0; n < range.len && r == 0;) {
                uint32_t len = (uint32_t)MIN(CHUNK, range.len - n);

                r = image_read(in, at + n, c->buf, len);
                r = r == 0 ? put_data(c, to + at + n, c->buf, len) : r;
                n += len;
                progress_add(&c->progress, r == 0 ? len : 0);
            }
            range.flags = 0;
        }
        if (r != 0) {
            return r;
        }
        progress_add(&c->progress, range.flags & IMAGE_ZERO ? range.len : 0);
        at += range.len;
    }
    return 0;
}

typedef struct ConvertArgs {
    const char *from, *to;
    bool existing, quiet, progress, bad;
    uint64_t sparse;
    OptList *opts;
} ConvertArgs;

static bool convert_args(ConvertArgs *a, int argc, char **argv, Error **errp)
{
    int c;

    optind = 1;
    while ((c = getopt(argc, argv, "+:f:O:o:npqS:Ut:T:m:Wc")) != -1) {
        switch (c) {
        case 'f': a->from = optarg; break;
        case 'O': a->to = optarg; break;
        case 'n': a->existing = true; break;
        case 'p': a->progress = true; break;
        case 'q': a->quiet = true; break;
        case 'U': break;
        case 't':
        case 'T': /* the result is flushed at the end in each of these */
            if (strcmp(optarg, "writeback") != 0 && strcmp(optarg, "unsafe") != 0) {
                error_set(errp, "-%c %s: not supported yet (writeback and unsafe are)", c, optarg);
                return false;
            }
            break;
        case 'm':
        case 'W': error_set(errp, "-%c: converting in parallel is not supported yet", c); return false;
        case 'c': error_set(errp, "-c: writing compressed clusters is not supported yet"); return false;
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
    return true;
}

/* open_target - make it, or (-n) take what is there. */
static BlockImage *open_target(const ConvertArgs *a, const char *path, uint64_t size, Error **errp)
{
    Qcow2Options o = { .size = size };
    BlockImage *img;

    if (image_format_find(a->to, errp) == NULL || !new_image_options(a->to, a->opts, &o, errp)) {
        return NULL;
    }
    if (!a->existing && !new_image(path, a->to, &o, errp)) {
        return NULL;
    }
    img = image_open(path, a->to, false, a->existing ? BLK_WRITEBACK : BLK_UNSAFE, errp);
    if (img != NULL && img->size < size) {
        error_set(errp, "%s: the output is smaller than the input", path);
        image_unref(img);
        return NULL;
    }
    return img;
}

static bool convert(const ConvertArgs *a, char **files, int count, Error **errp)
{
    const char *path = files[count];
    BlockImage **in = xnewn(BlockImage *, (size_t)count);
    Convert c = { .sparse = a->sparse, .dirty_target = a->existing };
    uint64_t size = 0, to = 0;
    int r = 0;
    bool ok = true;

    for (int n = 0; n < count && ok; n++) {
        in[n] = image_open(files[n], a->from, true, BLK_WRITEBACK, errp);
        ok = in[n] != NULL;
        size += ok ? in[n]->size : 0;
    }
    c.out = ok ? open_target(a, path, size, errp) : NULL;
    if (c.out != NULL) {
        c.buf = xnewn(uint8_t, CHUNK);
        c.progress = (Progress){ .on = a->progress, .total = size };
        for (int n = 0; n < count && r == 0; n++) {
            r = copy(&c, in[n], to);
            to += in[n]->size;
        }
        c.out->cache = BLK_WRITEBACK;
        r = r == 0 ? image_flush(c.out) : r;
        image_unref(c.out);
        free(c.buf);
        if (r != 0) {
            error_set_errno(errp, -r, "error while converting to %s", path);
            if (!a->existing) {
                unlink(path); /* nothing half-written is left */
            }
        } else {
            progress_end(&c.progress);
        }
    }
    for (int n = 0; n < count; n++) {
        image_unref(in[n]);
    }
    free(in);
    return c.out != NULL && r == 0;
}

int cmd_convert(int argc, char **argv)
{
    ConvertArgs a = { .to = "raw", .sparse = SPARSE_DEFAULT, .opts = opt_new() };
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

/* ---- compare ---- */

/* differ - the first difference of the two in [@at, +@len), or -1; -errno below that. */
static int64_t differ(BlockImage *a, BlockImage *b, uint64_t at, uint32_t len, uint8_t *x, uint8_t *y)
{
    int r = at < a->size ? image_read(a, at, x, len) : (memset(x, 0, len), 0);

    r = r != 0 ? r : at < b->size ? image_read(b, at, y, len) : (memset(y, 0, len), 0);
    if (r != 0) {
        return r - 1;
    }
    if (memcmp(x, y, len) == 0) {
        return -1;
    }
    for (uint32_t n = 0;; n++) {
        if (x[n] != y[n]) {
            return (int64_t)(at + n);
        }
    }
}

/* same_zeros - neither has anything in the range: its length, else 0. */
static uint64_t same_zeros(BlockImage *a, BlockImage *b, uint64_t at, uint64_t end)
{
    uint64_t len = end - at;
    ImageRange r;

    for (BlockImage **p = (BlockImage *[]){ a, b, NULL }; *p != NULL; p++) {
        if (at >= (*p)->size) {
            continue;
        }
        if (image_status(*p, at, MIN(len, (*p)->size - at), true, &r) != 0 || !(r.flags & IMAGE_ZERO)) {
            return 0;
        }
        len = r.len;
    }
    return len;
}

static int compare(BlockImage *a, BlockImage *b, bool strict, bool quiet, Progress *progress)
{
    uint64_t small = MIN(a->size, b->size), end = MAX(a->size, b->size);
    uint8_t *x = xnewn(uint8_t, CHUNK), *y = xnewn(uint8_t, CHUNK);
    int64_t at = -1;
    int code = 0;

    if (strict && a->size != b->size) {
        if (!quiet) {
            printf("Strict mode: Image size mismatch!\n");
        }
        code = 1;
    }
    progress->total = end;
    for (uint64_t n = 0; n < end && at == -1 && code == 0;) {
        uint64_t stop = n < small ? small : end, zeros = same_zeros(a, b, n, stop);

        if (zeros == 0) {
            zeros = MIN(CHUNK, stop - n);
            at = differ(a, b, n, (uint32_t)zeros, x, y);
        }
        n += zeros;
        progress_add(progress, zeros);
    }
    if (at == -1 && code == 0) {
        progress_end(progress);
    }
    free(x);
    free(y);
    if (at < -1) {
        report("error while reading: %s", strerror((int)-(at + 1)));
        return 4;
    }
    if (at >= 0) {
        code = 1;
        if (!quiet) {
            printf("Content mismatch at offset %" PRId64 "!\n", at);
        }
    }
    if (code == 0 && !quiet) {
        if (a->size != b->size) {
            printf("Warning: Image size mismatch!\n");
        }
        printf("Images are identical.\n");
    }
    return code;
}

int cmd_compare(int argc, char **argv)
{
    const char *format[2] = { NULL, NULL };
    bool strict = false, quiet = false;
    Progress progress = { .on = false };
    BlockImage *img[2] = { NULL, NULL };
    Error *err = NULL;
    int c, code = 2;

    optind = 1;
    while ((c = getopt(argc, argv, "+:f:F:spqU")) != -1) {
        switch (c) {
        case 'f': format[0] = optarg; break;
        case 'F': format[1] = optarg; break;
        case 's': strict = true; break;
        case 'q': quiet = true; break;
        case 'p': progress.on = true; break;
        case 'U': break; /* there are no locks yet that it could pass over */
        default: img_usage("compare", "an option that it does not have"); return 2;
        }
    }
    if (argc - optind != 2) {
        img_usage("compare", "Expecting two image file names");
        return 2;
    }
    for (int n = 0; n < 2 && err == NULL; n++) {
        img[n] = image_open(argv[optind + n], format[n], true, BLK_WRITEBACK, &err);
    }
    if (err != NULL) {
        img_fail(err);
    } else {
        code = compare(img[0], img[1], strict, quiet, &progress);
    }
    image_unref(img[0]);
    image_unref(img[1]);
    return code;
}
