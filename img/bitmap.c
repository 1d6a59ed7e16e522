/*
 * doppel-img bitmap: persistent dirty bitmaps of a qcow2 image.
 */
#include "img/img.h"

#include <getopt.h>
#include <string.h>
#include "block/qcow2-bitmap.h"

typedef struct BitmapAct {
    char what; /* a, r, c, e, d or m */
    const char *source; /* of merge */
} BitmapAct;

typedef struct BitmapArgs {
    const char *format, *src_file, *src_format;
    uint64_t granularity;
    BitmapAct acts[64];
    unsigned count;
    bool add, merge;
} BitmapArgs;

static const struct option longs[] = {
    { "add", no_argument, NULL, 'A' },          { "remove", no_argument, NULL, 'R' },
    { "clear", no_argument, NULL, 'C' },        { "enable", no_argument, NULL, 'E' },
    { "disable", no_argument, NULL, 'D' },      { "merge", required_argument, NULL, 'M' },
    { "granularity", required_argument, NULL, 'g' }, { "source-file", required_argument, NULL, 'b' },
    { "source-format", required_argument, NULL, 'F' }, { NULL, 0, NULL, 0 },
};

/* NULL, or what is wrong. */
static const char *bitmap_args(BitmapArgs *a, int argc, char **argv, Error **errp)
{
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, ":b:f:F:g:", longs, NULL)) != -1) {
        switch (c) {
        case 'b': a->src_file = optarg; break;
        case 'f': a->format = optarg; break;
        case 'F': a->src_format = optarg; break;
        case 'g':
            if (!img_size(optarg, &a->granularity, errp) || a->granularity == 0) {
                return "the granularity is a power of 2, and at least 512";
            }
            break;
        case '?': case ':':
            return c == ':' ? "an option needs a value" : "unrecognized option";
        default:
            if (a->count == ARRAY_SIZE(a->acts)) {
                return "too many actions";
            }
            a->acts[a->count++] = (BitmapAct){ (char)c, optarg };
            a->add |= c == 'A';
            a->merge |= c == 'M';
        }
    }
    if (argc - optind != 2) {
        return "Expecting filename and bitmap name";
    }
    if (a->count == 0) {
        return "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge";
    }
    if (a->granularity != 0 && !a->add) {
        return "granularity only supported with --add";
    }
    if (a->src_format != NULL && a->src_file == NULL) {
        return "-F only supported with -b";
    }
    return a->src_file != NULL && !a->merge ? "Merge bitmap source file only supported with --merge" : NULL;
}

static bool act(BlockImage *img, BlockImage *src, const char *name, const BitmapArgs *a, const BitmapAct *t, Error **errp)
{
    static const struct {
        char what;
        Qcow2BitmapEdit edit;
    } edits[] = { { 'R', BITMAP_REMOVE }, { 'C', BITMAP_CLEAR }, { 'E', BITMAP_ENABLE }, { 'D', BITMAP_DISABLE } };

    for (size_t n = 0; n < ARRAY_SIZE(edits); n++) {
        if (edits[n].what == t->what) {
            return qcow2_bitmap_edit(img, name, edits[n].edit, errp);
        }
    }
    return t->what == 'A' ? qcow2_bitmap_add(img, name, a->granularity, errp)
                          : qcow2_bitmap_merge(img, name, src, t->source, errp);
}

static bool has_bitmaps(const BlockImage *img, Error **errp)
{
    if (img->fmt != &qcow2_format) {
        error_set(errp, "%s: only qcow2 images have bitmaps, and this is %s", img->file, img->format);
    }
    return img->fmt == &qcow2_format;
}

int cmd_bitmap(int argc, char **argv)
{
    BitmapArgs a = { 0 };
    BlockImage *img, *src = NULL;
    Error *err = NULL;
    const char *why = bitmap_args(&a, argc, argv, &err), *name;
    bool ok;
    int r;

    if (err != NULL) {
        return img_fail(err);
    }
    if (why != NULL) {
        return img_usage("bitmap", why);
    }
    name = argv[optind + 1];
    img = img_open(argv[optind], a.format, 0, BLK_WRITEBACK, &err);
    if (img == NULL) {
        return img_fail(err);
    }
    ok = has_bitmaps(img, &err);
    if (ok && a.src_file != NULL) {
        src = img_open(a.src_file, a.src_format, IMAGE_READ_ONLY, BLK_WRITEBACK, &err);
        ok = src != NULL && has_bitmaps(src, &err);
    }
    for (unsigned n = 0; n < a.count && ok; n++) {
        ok = act(img, src != NULL ? src : img, name, &a, &a.acts[n], &err);
    }
    r = img->fmt == &qcow2_format ? qcow2_bitmaps_sync(img) : 0;
    if (ok && r != 0) {
        error_set_errno(&err, -r, "%s: could not write its bitmaps", img->file);
    }
    image_unref(src);
    image_unref(img);
    return ok && r == 0 ? 0 : img_fail(err);
}
