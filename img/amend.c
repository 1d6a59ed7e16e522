/*
 * doppel-img amend: other options of an image that is there.
 */
#include "img/create.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { OPT_FORCE = 256 };

/* These would have to rewrite the image. */
static bool not_yet(void *opaque, const char *key, const char *value, Error **errp)
{
    static const char *const known[] = { "compat", "refcount_bits", "data_file", "data_file_raw", "encrypt.",
                                         "cluster_size", "preallocation", "compression_type", "extended_l2" };

    for (size_t n = 0; n < ARRAY_SIZE(known); n++) {
        if (strncmp(key, known[n], strlen(known[n])) == 0) {
            error_set(errp, "amend: %s= is not supported yet (lazy_refcounts, size, backing_file and backing_fmt are)", key);
            return false;
        }
    }
    error_set(errp, "Invalid parameter '%s'", key);
    return false;
}

/* amend_lazy - whether counts may be put off is a word to other writers; ours never does. */
static int amend_lazy(BlockImage *img, bool lazy)
{
    Qcow2 *q = img->priv;
    int r;

    if (q->version < 3) {
        return lazy ? -ENOTSUP : 0;
    }
    pthread_mutex_lock(&q->lock);
    q->compatible = lazy ? q->compatible | COMPAT_LAZY_REFCOUNTS : q->compatible & ~(uint64_t)COMPAT_LAZY_REFCOUNTS;
    r = qcow2_flush_locked(q, true);
    r = r == 0 ? qcow2_write_header(q) : r;
    r = r == 0 ? host_flush(&img->host) : r;
    pthread_mutex_unlock(&q->lock);
    return r;
}

static int amend(BlockImage *img, OptList *l, Error **errp)
{
    const Qcow2 *q = img->priv;
    bool lazy = q->compatible & COMPAT_LAZY_REFCOUNTS;
    const char *compat = opt_get_str(l, "compat", NULL);
    const char *file = opt_get_str(l, "backing_file", NULL), *format = opt_get_str(l, "backing_fmt", NULL);
    const char *size_text = opt_get_str(l, "size", NULL);
    bool same = compat == NULL || (strcmp(compat, "1.1") == 0 || strcmp(compat, "v3") == 0) == (q->version >= 3);
    uint64_t size = 0;
    int r = 0;

    lazy = opt_get_bool(l, "lazy_refcounts", lazy);
    if (!same) {
        error_set(errp, "amend: another compat= is not supported yet");
        return -1;
    }
    if (!opt_each_unused(l, not_yet, NULL, errp) || !opt_done(l, errp) ||
        (size_text != NULL && !img_size(size_text, &size, errp))) {
        return -1;
    }
    r = amend_lazy(img, lazy);
    if (r == 0 && (file != NULL || format != NULL)) {
        r = qcow2_set_backing(img, file != NULL ? file : q->backing_file, format != NULL ? format : q->backing_format);
    }
    if (r == 0 && size_text != NULL) {
        r = image_truncate(img, (size + 511) & ~511ull);
    }
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot amend", img->file);
    }
    return r;
}

static void amend_help(void)
{
    printf("Amend options for 'qcow2':\n"
           "  backing_file=<file> - the image behind it\n  backing_fmt=<format> - the format of that\n"
           "  lazy_refcounts=<on|off> - counts may be written late\n  size=<size> - of the disk\n");
}

int cmd_amend(int argc, char **argv)
{
    static const struct option longs[] = { { "force", no_argument, NULL, OPT_FORCE }, { NULL, 0, NULL, 0 } }; /* nothing here needs it */
    const char *format = NULL;
    OptList *opts = opt_new();
    BlockImage *img = NULL;
    Error *err = NULL;
    bool bad = false, any = false;
    int c;

    optind = 1;
    while (err == NULL && (c = getopt_long(argc, argv, ":f:o:pqt:", longs, NULL)) != -1) {
        ImgCache cache;

        switch (c) {
        case 'f': format = optarg; break;
        case 'o':
            any = true;
            opt_add(opts, optarg, NULL, &err);
            break;
        case 't': img_cache(optarg, &cache, &err); break; /* each step is flushed anyway */
        case OPT_FORCE:
        case 'p':
        case 'q': break;
        default: bad = true; break;
        }
    }
    if (err == NULL && !bad && opt_wants_help(opts)) {
        amend_help();
    } else if (err == NULL && !bad && argc - optind == 1) {
        if (!any) {
            error_set(&err, "Must specify options (-o)");
        } else {
            img = img_open(argv[optind], format, 0, BLK_WRITEBACK, &err);
        }
    } else {
        bad |= err == NULL;
    }
    if (img != NULL && img->fmt != &qcow2_format) {
        error_set(&err, "Format driver '%s' does not support option amendment", img->format);
    } else if (img != NULL) {
        amend(img, opts, &err);
    }
    image_unref(img);
    opt_free(opts);
    return err != NULL ? img_fail(err) : bad ? img_usage("amend", "Expecting one image file name") : 0;
}
