/*
 * doppel-img create and resize.
 */
#include "img/create.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/text.h"

/* backing_size - the size of what will be behind; also that it is there, and what is said of it. */
static bool backing_size(const char *path, const Qcow2Options *o, uint64_t *size, Error **errp)
{
    const char *slash = strrchr(path, '/');
    autofree char *full = *o->backing_file == '/' || slash == NULL
                              ? xstrdup(o->backing_file)
                              : xasprintf("%.*s/%s", (int)(slash - path), path, o->backing_file);
    BlockImage *img = image_open(full, o->backing_format, true, BLK_WRITEBACK, errp);

    if (img == NULL) {
        error_prepend(errp, "%s: ", path);
        return false;
    }
    *size = img->size;
    image_unref(img);
    return true;
}

typedef struct CreateArgs {
    const char *format;
    bool quiet, unsafe, bad;
    OptList *opts;
    NewImage image;
    char *backing, *backing_format; /* from -o */
} CreateArgs;

static bool create_args(CreateArgs *a, int argc, char **argv, Error **errp)
{
    int c;

    optind = 1;
    while ((c = getopt(argc, argv, ":f:b:F:uo:q")) != -1) {
        switch (c) {
        case 'f': a->format = optarg; break;
        case 'b': a->image.q.backing_file = optarg; break;
        case 'F': a->image.q.backing_format = optarg; break;
        case 'u': a->unsafe = true; break;
        case 'q': a->quiet = true; break;
        case 'o':
            if (!opt_add(a->opts, optarg, NULL, errp)) {
                return false;
            }
            break;
        default:
            a->bad = true;
            return true;
        }
    }
    return true;
}

/* create_image - all is known but the size. */
static bool create_image(CreateArgs *a, const char *path, const char *size_text, Error **errp)
{
    const char *text = opt_get_str(a->opts, "size", size_text);
    uint64_t behind = 0;

    if (image_format_find(a->format, errp) == NULL) {
        return false;
    }
    a->image.q.backing_file = opt_get_str(a->opts, "backing_file", a->image.q.backing_file);
    a->image.q.backing_format = opt_get_str(a->opts, "backing_fmt", a->image.q.backing_format);
    if (!new_image_options(a->format, a->opts, &a->image, errp)) {
        error_prepend(errp, "%s: ", path);
        return false;
    }
    if (a->image.q.backing_file != NULL && !new_image_behind(a->format)) {
        error_set(errp, "%s: Backing file not supported for file format '%s'", path, a->format);
        return false;
    }
    if (a->image.q.backing_file != NULL && a->image.q.backing_format == NULL && !a->unsafe) {
        error_set(errp, "%s: backing file specified without backing format (-F)", path);
        return false;
    }
    if (a->image.q.backing_file != NULL && !a->unsafe && !backing_size(path, &a->image.q, &behind, errp)) {
        return false;
    }
    if (text == NULL && (a->image.q.backing_file == NULL || a->unsafe)) {
        error_set(errp, "%s: Image creation needs a size parameter", path);
        return false;
    }
    a->image.q.size = behind;
    if (text != NULL && !img_size(text, &a->image.q.size, errp)) {
        return false;
    }
    a->image.q.size = (a->image.q.size + 511) & ~511ull;
    if (!a->quiet) {
        new_image_print(path, a->format, &a->image);
    }
    return new_image(path, a->format, &a->image, errp);
}

int cmd_create(int argc, char **argv)
{
    CreateArgs a = { .format = "raw", .opts = opt_new() };
    Error *err = NULL;
    int code = 0;

    if (create_args(&a, argc, argv, &err)) {
        if (!a.bad && opt_wants_help(a.opts)) {
            new_image_help(a.format, &err);
        } else if (a.bad || argc - optind < 1 || argc - optind > 2) {
            code = img_usage("create", "Expecting image file name and perhaps a size");
        } else {
            create_image(&a, argv[optind], argc - optind == 2 ? argv[optind + 1] : NULL, &err);
        }
    }
    opt_free(a.opts);
    return err != NULL ? img_fail(err) : code;
}

/* new_size - "+1G", "-1G" or "1G". */
static bool new_size(const char *text, uint64_t old, uint64_t *size, Error **errp)
{
    uint64_t by;

    if (!img_size(text + (*text == '+' || *text == '-'), &by, errp)) {
        return false;
    }
    *size = *text == '+' ? old + by : *text == '-' ? old - MIN(by, old) : by;
    *size = (*size + 511) & ~511ull;
    if (*size == 0 || *size > INT64_MAX) {
        error_set(errp, "New image size must be positive");
        return false;
    }
    return true;
}

/* resize - false where @errp is set, or all is said already. */
static bool resize(const char *file, const char *format, const char *text, bool shrink, unsigned how, Error **errp)
{
    BlockImage *img = img_open(file, format, 0, BLK_WRITEBACK, errp);
    uint64_t size, old = img != NULL ? img->size : 0;
    bool ok = img != NULL && new_size(text, old, &size, errp) && img_preallocates(img, how, errp);
    int r = 0;

    if (ok && size < img->size && !shrink) {
        report("Use the --shrink option to perform a shrink operation.");
        report("warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing "
               "such an operation, make sure there is no important data there.");
        ok = false;
    }
    if (ok && size <= old && how != QCOW2_PREALLOC_OFF) {
        error_set(errp, "Preallocation can only be used for growing images");
        ok = false;
    }
    if (ok && img->fmt->truncate == NULL) {
        error_set(errp, "Image format driver does not support resize");
        ok = false;
    }
    r = ok ? image_truncate(img, size) : 0;
    ok = ok && (r != 0 || img_preallocate(img, old, how, errp));
    r = ok && r == 0 ? image_flush(img) : r;
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot resize", file);
    }
    image_unref(img);
    return ok && r == 0;
}

int cmd_resize(int argc, char **argv)
{
    static const struct option options[] = {
        { "shrink", no_argument, NULL, 's' }, { "preallocation", required_argument, NULL, 'p' }, { NULL, 0, NULL, 0 },
    };
    const char *format = NULL, *text = argc > 2 ? argv[--argc] : ""; /* it may begin with a minus */
    bool quiet = false, shrink = false;
    Error *err = NULL;
    unsigned how = 0;
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, ":f:q", options, NULL)) != -1) {
        switch (c) {
        case 'f': format = optarg; break;
        case 'q': quiet = true; break;
        case 's': shrink = true; break;
        case 'p':
            if (!img_preallocation(optarg, &how, &err)) {
                return img_fail(err);
            }
            break;
        default: return img_usage("resize", "an option that it does not have");
        }
    }
    if (argc - optind != 1) {
        return img_usage("resize", "Expecting image file name and size");
    }
    if (!resize(argv[optind], format, text, shrink, how, &err)) {
        return err != NULL ? img_fail(err) : 1;
    }
    if (!quiet) {
        printf("Image resized.\n");
    }
    return 0;
}
