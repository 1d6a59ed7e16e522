/*
 * doppel-img dd: a part of an image, copied into a new one. Operands are qemu-img's: count= is of the input's blocks
 * from its start on, also with skip=.
 */
#include "img/create.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

#define BLOCK_MAX (64u << 20)

typedef struct DdArgs {
    const char *from, *to, *in, *out;
    uint64_t bs, count, skip;
    bool counted, bad;
    unsigned share;
} DdArgs;

static bool operand(DdArgs *a, const char *text, Error **errp)
{
    static const char *const numbers[] = { "bs", "count", "skip" };
    uint64_t *const to[] = { &a->bs, &a->count, &a->skip };
    const char *eq = strchr(text, '=');
    size_t len = eq != NULL ? (size_t)(eq - text) : strlen(text);

    if (len == 2 && strncmp(text, "if", 2) == 0 && eq != NULL) {
        a->in = eq + 1;
        return true;
    }
    if (len == 2 && strncmp(text, "of", 2) == 0 && eq != NULL) {
        a->out = eq + 1;
        return true;
    }
    for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
        if (eq != NULL && strlen(numbers[n]) == len && strncmp(text, numbers[n], len) == 0) {
            if (!text_size(eq + 1, 1, to[n]) || *to[n] > INT64_MAX || (n == 0 && (*to[n] == 0 || *to[n] > BLOCK_MAX))) {
                error_set(errp, "Invalid %s specified. You may use k, M, G, T, P or E suffixes for\nkilobytes, megabytes, "
                          "gigabytes, terabytes, petabytes and exabytes.", numbers[n]);
                return false;
            }
            a->counted |= n == 1;
            return true;
        }
    }
    error_set(errp, "unrecognized operand %.*s", (int)len, text);
    return false;
}

static bool dd_args(DdArgs *a, int argc, char **argv, Error **errp)
{
    int c;

    optind = 1;
    while ((c = getopt(argc, argv, ":f:O:U")) != -1) {
        switch (c) {
        case 'f': a->from = optarg; break;
        case 'O': a->to = optarg; break;
        case 'U': a->share = IMAGE_FORCE_SHARE; break;
        default: a->bad = true; return true;
        }
    }
    for (int n = optind; n < argc; n++) {
        if (!operand(a, argv[n], errp)) {
            return false;
        }
    }
    if (a->in == NULL || a->out == NULL) {
        error_set(errp, "Must specify both input and output files");
        return false;
    }
    return true;
}

/* copy - [@from, @end) of @in to the start of @out. */
static int copy(BlockImage *in, uint64_t from, uint64_t end, BlockImage *out, uint64_t bs)
{
    uint8_t *buf = try_newn(uint8_t, bs);
    int r = buf == NULL ? -ENOMEM : 0;

    for (uint64_t at = from; at < end && r == 0;) {
        ImageRange range;

        r = image_status(in, at, end - at, true, &range);
        if (r == 0 && !(range.flags & IMAGE_ZERO)) {
            range.len = MIN(range.len, bs);
            r = image_read(in, at, buf, (uint32_t)range.len);
            r = r == 0 ? image_write(out, at - from, buf, (uint32_t)range.len) : r;
        }
        at += range.len;
    }
    free(buf);
    return r == 0 ? image_flush(out) : r;
}

static bool dd(const DdArgs *a, Error **errp)
{
    BlockImage *in = NULL, *out = NULL;
    NewImage image = { 0 };
    OptList *none = opt_new();
    uint64_t end, skip;
    int r;
    bool ok = false;

    if (image_format_find(a->to, errp) != NULL && new_image_options(a->to, none, &image, errp)) {
        in = img_open(a->in, a->from, IMAGE_READ_ONLY | a->share, BLK_WRITEBACK, errp);
    }
    opt_free(none);
    if (in == NULL) {
        return false;
    }
    end = a->counted && a->count <= in->size / a->bs ? a->count * a->bs : in->size;
    skip = a->skip <= end / a->bs ? a->skip * a->bs : end;
    image.q.size = (end - skip + 511) & ~511ull;
    if (new_image(a->out, a->to, &image, errp)) {
        out = img_open(a->out, a->to, 0, BLK_WRITEBACK, errp);
    }
    if (out != NULL) {
        r = copy(in, skip, end, out, a->bs);
        ok = r == 0;
        if (!ok) {
            error_set_errno(errp, -r, "error while copying to %s", a->out);
        }
    }
    image_unref(out);
    image_unref(in);
    return ok;
}

int cmd_dd(int argc, char **argv)
{
    DdArgs a = { .to = "raw", .bs = 512 };
    Error *err = NULL;

    if (dd_args(&a, argc, argv, &err)) {
        if (a.bad) {
            return img_usage("dd", "an option that it does not have");
        }
        dd(&a, &err);
    }
    return err != NULL ? img_fail(err) : 0;
}
