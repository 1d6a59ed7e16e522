/*
 * doppel-img create and resize; and the options of a new image, for convert.
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
#include "block/image-lock.h"
#include "block/vdi.h"
#include "block/vpc.h"

static const char *const preallocations[] = { "off", "metadata", "falloc", "full", NULL };
static const char *const compressions[] = { "zlib", "zstd", NULL };
static const char *const compats[] = { "0.10", "1.1", "v2", "v3", NULL };

static bool power(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

static void take_qcow2(OptList *l, Qcow2Options *o)
{
    uint64_t cluster = opt_get_size(l, "cluster_size", 1, 65536);
    uint64_t bits = opt_get_u64(l, "refcount_bits", 64, 16);

    o->version = opt_get_choice(l, "compat", compats, 1) % 2 == 0 ? 2 : 3;
    o->compat = opt_get_str(l, "compat", NULL);
    o->cluster_size = (uint32_t)MIN(cluster, UINT32_MAX);
    if (!power(cluster) || cluster < 512 || cluster > 2 << 20) {
        opt_bad(l, "Cluster size must be a power of two between 512 and 2048k");
    }
    o->refcount_bits = (unsigned)bits;
    if (!power(bits)) {
        opt_bad(l, "Refcount width must be a power of two and may not exceed 64 bits");
    } else if (o->version == 2 && bits != 16) {
        opt_bad(l, "Different refcount widths than 16 bits require compatibility level 1.1 or above");
    }
    o->lazy_refcounts = opt_get_bool(l, "lazy_refcounts", false);
    if (o->lazy_refcounts && o->version == 2) {
        opt_bad(l, "Lazy refcounts only supported with compatibility level 1.1 and above");
    }
    o->compression = (unsigned)opt_get_choice(l, "compression_type", compressions, 0);
    if (o->compression != 0 && o->version == 2) {
        opt_bad(l, "Non-zlib compression type is only supported with compatibility level 1.1 and above");
    }
    if (opt_get_bool(l, "extended_l2", false)) {
        opt_bad(l, "extended_l2=on is not supported yet");
    }
    if (o->backing_file != NULL && o->preallocation != QCOW2_PREALLOC_OFF) {
        opt_bad(l, "Backing file and preallocation cannot be used at the same time");
    }
}

bool new_image_options(const char *format, OptList *l, Qcow2Options *o, Error **errp)
{
    o->preallocation = (unsigned)opt_get_choice(l, "preallocation", preallocations, 0);
    o->cluster_size = 65536;
    if (strcmp(format, "qcow2") == 0) {
        take_qcow2(l, o);
    } else if (strcmp(format, "vdi") == 0) {
        o->whole = opt_get_bool(l, "static", false);
        if (o->preallocation == QCOW2_PREALLOC_METADATA) {
            o->whole = true;
        } else if (o->preallocation != QCOW2_PREALLOC_OFF) {
            opt_bad(l, "Preallocation mode '%s' unsupported", preallocations[o->preallocation]);
        }
    } else if (strcmp(format, "vpc") == 0) {
        static const char *const kinds[] = { "dynamic", "fixed", NULL };

        o->whole = opt_get_choice(l, "subformat", kinds, 0) == 1;
        o->exact_size = opt_get_bool(l, "force_size", false);
        if (o->preallocation != QCOW2_PREALLOC_OFF) {
            opt_bad(l, "Preallocation mode '%s' unsupported", preallocations[o->preallocation]);
        }
    } else if (o->preallocation == QCOW2_PREALLOC_METADATA) {
        opt_bad(l, "preallocation=metadata is not for raw images (off, falloc and full are)");
    }
    return opt_done(l, errp);
}

static bool create_raw(const char *path, const Qcow2Options *o, Error **errp)
{
    int fd = image_create_file(path, errp), r;
    HostFile f;

    if (fd < 0) {
        return false;
    }
    r = host_file_init(&f, fd, false);
    r = r == 0 ? host_truncate(&f, o->size) : r;
    if (r == 0 && o->preallocation == QCOW2_PREALLOC_FALLOC && o->size != 0) {
        r = -posix_fallocate(fd, 0, (off_t)o->size);
    } else if (r == 0 && o->preallocation == QCOW2_PREALLOC_FULL) {
        static const uint8_t zeros[1 << 20];

        for (uint64_t at = 0; r == 0 && at < o->size; at += sizeof(zeros)) {
            r = host_write(&f, at, zeros, (size_t)MIN(sizeof(zeros), o->size - at));
        }
    }
    host_file_fini(&f);
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot make the image", path);
        unlink(path);
    }
    return r == 0;
}

bool new_image(const char *path, const char *format, const Qcow2Options *o, Error **errp)
{
    return strcmp(format, "qcow2") == 0 ? qcow2_create(path, o, errp)
           : strcmp(format, "vdi") == 0 ? vdi_create(path, o->size, o->whole, errp)
           : strcmp(format, "vpc") == 0
               ? vpc_create(path, &(VpcOptions){ .size = o->size, .fixed = o->whole, .exact_size = o->exact_size }, errp)
               : create_raw(path, o, errp);
}

void new_image_print(const char *path, const char *format, const Qcow2Options *o)
{
    printf("Formatting '%s', fmt=%s", path, format);
    if (strcmp(format, "qcow2") == 0) {
        printf(" cluster_size=%u extended_l2=off%s%s compression_type=%s size=%llu", o->cluster_size,
               o->preallocation ? " preallocation=" : "", o->preallocation ? preallocations[o->preallocation] : "",
               compressions[o->compression], (unsigned long long)o->size);
        if (o->backing_file != NULL) {
            printf(" backing_file=%s backing_fmt=%s", o->backing_file, o->backing_format);
        }
        if (o->compat != NULL) {
            printf(" compat=%s", o->compat);
        }
        printf(" lazy_refcounts=%s refcount_bits=%u\n", o->lazy_refcounts ? "on" : "off", o->refcount_bits);
    } else if (strcmp(format, "vdi") == 0) {
        printf(" size=%llu static=%s\n", (unsigned long long)o->size, o->whole ? "on" : "off");
    } else if (strcmp(format, "vpc") == 0) {
        printf(" size=%llu%s%s\n", (unsigned long long)o->size, o->whole ? " subformat=fixed" : "",
               o->exact_size ? " force_size=on" : "");
    } else {
        printf(" size=%llu%s%s\n", (unsigned long long)o->size, o->preallocation ? " preallocation=" : "",
               o->preallocation ? preallocations[o->preallocation] : "");
    }
}

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
    Qcow2Options o;
    char *backing, *backing_format; /* from -o */
} CreateArgs;

static bool create_args(CreateArgs *a, int argc, char **argv, Error **errp)
{
    int c;

    optind = 1;
    while ((c = getopt(argc, argv, "+:f:b:F:uo:q")) != -1) {
        switch (c) {
        case 'f': a->format = optarg; break;
        case 'b': a->o.backing_file = optarg; break;
        case 'F': a->o.backing_format = optarg; break;
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
    a->o.backing_file = opt_get_str(a->opts, "backing_file", a->o.backing_file);
    a->o.backing_format = opt_get_str(a->opts, "backing_fmt", a->o.backing_format);
    if (!new_image_options(a->format, a->opts, &a->o, errp)) {
        error_prepend(errp, "%s: ", path);
        return false;
    }
    if (a->o.backing_file != NULL && strcmp(a->format, "qcow2") != 0) {
        error_set(errp, "%s: Backing file not supported for file format '%s'", path, a->format);
        return false;
    }
    if (a->o.backing_file != NULL && a->o.backing_format == NULL && !a->unsafe) {
        error_set(errp, "%s: backing file specified without backing format (-F)", path);
        return false;
    }
    if (a->o.backing_file != NULL && !a->unsafe && !backing_size(path, &a->o, &behind, errp)) {
        return false;
    }
    if (text == NULL && (a->o.backing_file == NULL || a->unsafe)) {
        error_set(errp, "%s: Image creation needs a size parameter", path);
        return false;
    }
    a->o.size = behind;
    if (text != NULL && !img_size(text, &a->o.size, errp)) {
        return false;
    }
    a->o.size = (a->o.size + 511) & ~511ull;
    if (!a->quiet) {
        new_image_print(path, a->format, &a->o);
    }
    return new_image(path, a->format, &a->o, errp);
}

int cmd_create(int argc, char **argv)
{
    CreateArgs a = { .format = "raw", .opts = opt_new() };
    Error *err = NULL;
    int code = 0;

    if (create_args(&a, argc, argv, &err)) {
        if (a.bad || argc - optind < 1 || argc - optind > 2) {
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
static bool resize(const char *file, const char *format, const char *text, bool shrink, Error **errp)
{
    BlockImage *img = image_open(file, format, false, BLK_WRITEBACK, errp);
    uint64_t size;
    bool ok = img != NULL && new_size(text, img->size, &size, errp);
    int r = 0;

    if (ok && size < img->size && !shrink) {
        report("Use the --shrink option to perform a shrink operation.");
        report("warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing "
               "such an operation, make sure there is no important data there.");
        ok = false;
    }
    r = ok ? image_truncate(img, size) : 0;
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
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "+:f:q", options, NULL)) != -1) {
        switch (c) {
        case 'f': format = optarg; break;
        case 'q': quiet = true; break;
        case 's': shrink = true; break;
        case 'p':
            if (strcmp(optarg, "off") != 0) {
                report("resize: --preallocation=%s is not supported yet (only off)", optarg);
                return 1;
            }
            break;
        default: return img_usage("resize", "an option that it does not have");
        }
    }
    if (argc - optind != 1) {
        return img_usage("resize", "Expecting image file name and size");
    }
    if (!resize(argv[optind], format, text, shrink, &err)) {
        return err != NULL ? img_fail(err) : 1;
    }
    if (!quiet) {
        printf("Image resized.\n");
    }
    return 0;
}
