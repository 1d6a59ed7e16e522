/*
 * doppel-nbd: the command line, and the image that it names. Options are those of options.inc.
 */
#include "img/nbd/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/text.h"
#include "block/node.h"
#include "block/qcow2.h"
#include <config.h>

enum {
    OPT_IMAGE_OPTS = 256,
    OPT_CACHE,
    OPT_AIO,
    OPT_DISCARD,
    OPT_DETECT_ZEROES,
    OPT_FORK,
    OPT_PID_FILE,
    OPT_LATER, /* qemu-nbd's other ones */
};

typedef struct NbdOption {
    int letter; /* 0: none */
    const char *name, *arg, *help;
    int code;   /* what getopt_long() gives */
} NbdOption;

static const NbdOption options[] = {
#define NBD_HEAD(text) { 0, NULL, NULL, text, 0 },
#define NBD_OPTION(letter, name, arg, help, code) { letter, name, arg, help, code },
#include "img/nbd/options.inc"
#undef NBD_HEAD
#undef NBD_OPTION
};

/* Known to qemu-nbd, refused here. */
static const NbdOption later[] = {
    { 'c', "connect", "DEV", "needs the kernel's NBD client, which doppel-nbd does not set up (nbd-client does)", OPT_LATER },
    { 'd', "disconnect", "", "needs the kernel's NBD client, which doppel-nbd does not set up (nbd-client does)", OPT_LATER },
    { 'B', "bitmap", "NAME", "is not supported yet", OPT_LATER },
    { 'L', "list", "", "is not supported yet", OPT_LATER },
    { 'T', "trace", "SPEC", "is not supported yet", OPT_LATER },
    { 0, "object", "SPEC", "is not supported yet", OPT_LATER },
    { 0, "tls-creds", "ID", "is not supported yet", OPT_LATER },
    { 0, "tls-authz", "ID", "is not supported yet", OPT_LATER },
    { 0, "tls-hostname", "NAME", "is not supported yet", OPT_LATER },
    { 0, "selinux-label", "LABEL", "is not supported yet", OPT_LATER },
    { 'P', "partition", "NUM", "is gone from qemu-nbd, too: use -o, or the options of a raw node", OPT_LATER },
};

static void usage(void)
{
    printf("doppel-nbd %s (qemu-nbd version %s compatible)\nusage: doppel-nbd [options] FILE\n", DOPPEL_VERSION,
           QEMU_COMPAT_VERSION);
    for (size_t n = 0; n < ARRAY_SIZE(options); n++) {
        const NbdOption *o = &options[n];

        if (o->name == NULL) {
            printf("\n%s:\n", o->help);
        } else {
            printf("%s%.1s%s--%s%s%s\n                %s\n", o->letter != 0 ? "-" : "", o->letter != 0 ? (const char[]){ (char)o->letter, 0 } : "",
                   o->letter != 0 ? ", " : "", o->name, *o->arg != 0 ? "=" : "", o->arg, o->help);
        }
    }
}

/* ---- values ---- */

static bool bad(const char *option, const char *value)
{
    report("Invalid %s: '%s'", option, value);
    return false;
}

static bool take_choice(const char *option, const char *value, const char *const *names, int *index)
{
    for (*index = 0; names[*index] != NULL; ++*index) {
        if (strcmp(names[*index], value) == 0) {
            return true;
        }
    }
    return bad(option, value);
}

static bool take_cache(NbdArgs *a, const char *value)
{
    static const char *const names[] = { "writeback", "none", "off", "writethrough", "directsync", "unsafe", NULL };
    static const struct {
        BlockCache mode;
        unsigned flags;
    } modes[] = { { BLK_WRITEBACK, 0 },           { BLK_WRITEBACK, IMAGE_DIRECT },    { BLK_WRITEBACK, IMAGE_DIRECT },
                  { BLK_WRITETHROUGH, 0 },        { BLK_WRITETHROUGH, IMAGE_DIRECT }, { BLK_UNSAFE, 0 } };
    int n;

    if (!take_choice("cache mode", value, names, &n)) {
        return false;
    }
    a->cache = modes[n].mode;
    a->flags = (a->flags & ~(unsigned)IMAGE_DIRECT) | modes[n].flags;
    return true;
}

static bool take_number(const char *option, const char *value, uint64_t max, uint64_t *v)
{
    return text_u64(value, max, v) || bad(option, value);
}

static bool take_mode(NbdArgs *a, int code, const char *value)
{
    static const char *const aios[] = { "threads", "native", "io_uring", NULL };
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL }; /* as BlockDetect */
    int n;

    switch (code) {
    case OPT_AIO: return take_choice("aio mode", value, aios, &n);
    case OPT_DISCARD:
        if (!take_choice("discard mode", value, discards, &n)) {
            return false;
        }
        a->discard = n >= 2;
        return true;
    default:
        if (!take_choice("detect-zeroes mode", value, detects, &n)) {
            return false;
        }
        a->detect_zeroes = (BlockDetect)n;
        return true;
    }
}

/* take_one - false: it was said what is wrong. */
static bool take_one(NbdArgs *a, int code)
{
    uint64_t v = 0;

    switch (code) {
    case 'p': a->port = optarg; return take_number("port", optarg, 65535, &v);
    case 'b': a->bind = optarg; return true;
    case 'k': a->socket = optarg; return true;
    case 'x': a->name = optarg; return true;
    case 'D': a->description = optarg; return true;
    case 'f': a->format = optarg; return true;
    case 't': a->persistent = true; return true;
    case 'v': a->verbose = true; return true;
    case 'A': a->depth = true; return true;
    case 's': a->overlay = true; return true;
    case 'r': a->read_only = true; return true;
    case 'n': return take_cache(a, "none");
    case 'l':
        a->snapshot = optarg;
        a->read_only = true;
        return true;
    case 'e':
        if (!take_number("shared device number", optarg, 10000, &v)) {
            return false;
        }
        a->shared = (unsigned)v;
        return true;
    case 'o': return text_size(optarg, 1, &a->offset) || bad("offset", optarg);
    case OPT_CACHE: return take_cache(a, optarg);
    case OPT_IMAGE_OPTS: a->image_opts = true; return true;
    case OPT_FORK: a->fork = true; return true;
    case OPT_PID_FILE: a->pid_file = optarg; return true;
    default: return take_mode(a, code, optarg);
    }
}

enum { ALL = ARRAY_SIZE(options) + ARRAY_SIZE(later) };

/* getopt_tables - both kinds of options, as getopt_long() wants them. */
static void getopt_tables(struct option longs[ALL + 1], char letters[2 * ALL + 2])
{
    size_t count = 0, at = 0;

    letters[at++] = ':';
    for (size_t n = 0; n < ALL; n++) {
        const NbdOption *o = n < ARRAY_SIZE(options) ? &options[n] : &later[n - ARRAY_SIZE(options)];

        if (o->name == NULL) {
            continue;
        }
        longs[count++] = (struct option){ o->name, *o->arg != 0 ? required_argument : no_argument, NULL,
                                          o->code == OPT_LATER ? OPT_LATER + (int)(n - ARRAY_SIZE(options)) : o->code };
        if (o->letter != 0) {
            letters[at++] = (char)o->letter;
            if (*o->arg != 0) {
                letters[at++] = ':';
            }
        }
    }
    longs[count] = (struct option){ 0 };
    letters[at] = 0;
}

/* refused - @code is of an option that qemu-nbd has and this does not: it is said. */
static bool refused(int code)
{
    for (size_t n = 0; n < ARRAY_SIZE(later); n++) {
        if (code == OPT_LATER + (int)n || (code != 0 && code == later[n].letter)) {
            report("--%s %s", later[n].name, later[n].help);
            return true;
        }
    }
    return false;
}

int nbd_take_args(NbdArgs *a, int argc, char **argv)
{
    struct option longs[ALL + 1];
    char letters[2 * ALL + 2];
    int c;

    *a = (NbdArgs){ .name = "", .shared = 1, .cache = BLK_WRITEBACK };
    getopt_tables(longs, letters);
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (c == 'h') {
            usage();
            return 0;
        }
        if (c == 'V') {
            printf("qemu-nbd %s (doppel %s)\n", QEMU_COMPAT_VERSION, DOPPEL_VERSION);
            return 0;
        }
        if (c == '?' || c == ':') {
            report("%s '%s'; see doppel-nbd --help", c == '?' ? "unknown option" : "an argument is missing behind", argv[optind - 1]);
            return 1;
        }
        if (refused(c) || !take_one(a, c)) {
            return 1;
        }
    }
    if (argc - optind != 1) {
        report("one image is to be named; see doppel-nbd --help");
        return 1;
    }
    a->file = argv[optind];
    if (a->socket != NULL && (a->port != NULL || a->bind != NULL)) {
        report("-k makes no sense with -p or -b");
        return 1;
    }
    if (a->image_opts && a->format != NULL) {
        report("--image-opts and -f are mutually exclusive");
        return 1;
    }
    return -1;
}

/* ---- the image ---- */

/* with_driver - a node's list needs one: what the file looks like where none is given. *guessed: that was raw. */
static bool with_driver(OptList *l, bool *guessed, Error **errp)
{
    const char *file = opt_get_str(l, "file.filename", NULL);
    BlockImage *img;

    *guessed = false;
    if (!opt_has(l, "driver")) {
        if (file == NULL) {
            error_set(errp, "--image-opts: driver= or file.filename= is needed");
            return false;
        }
        img = image_open_with(file, NULL, IMAGE_READ_ONLY | IMAGE_FORCE_SHARE | IMAGE_NO_BACKING, BLK_WRITEBACK, errp);
        if (img == NULL) {
            return false;
        }
        opt_set(l, "driver", img->format);
        *guessed = img->guessed;
        image_unref(img);
    }
    if (file != NULL && !opt_has(l, "file.driver")) {
        opt_set(l, "file.driver", "file");
    }
    return true;
}

/* open_options - --image-opts: a node, which lives as long as the program. */
static BlockImage *open_options(NbdArgs *a, unsigned flags, Error **errp)
{
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL };
    OptList *l = opt_parse(a->file, "file.filename", errp);
    BlockImage *img = NULL;
    bool guessed, ok;

    if (l == NULL) {
        return NULL;
    }
    ok = with_driver(l, &guessed, errp);
    if (ok) {
        a->discard |= opt_get_choice(l, "discard", discards, 0) >= 2;
        a->detect_zeroes = (BlockDetect)opt_get_choice(l, "detect-zeroes", detects, (int)a->detect_zeroes);
        a->read_only |= opt_get_bool(l, "read-only", false);
        opt_set(l, "node-name", "served");
        if (flags & IMAGE_READ_ONLY) {
            opt_set(l, "read-only", "on");
        }
        if (flags & IMAGE_DIRECT) {
            opt_set(l, "cache.direct", "on");
        }
        if (a->cache == BLK_UNSAFE) {
            opt_set(l, "cache.no-flush", "on");
        }
        img = node_add(l, errp) ? node_image("served", errp) : NULL;
    }
    opt_free(l);
    if (img != NULL) {
        img->cache = a->cache == BLK_WRITETHROUGH ? BLK_WRITETHROUGH : img->cache;
        img->guessed |= guessed;
    }
    return img;
}

static bool show_snapshot(BlockImage *img, const char *name, Error **errp)
{
    static const char *const keys[] = { "snapshot.name=", "snapshot.id=" };
    int r;

    for (size_t n = 0; n < ARRAY_SIZE(keys); n++) {
        if (strncmp(name, keys[n], strlen(keys[n])) == 0) {
            name += strlen(keys[n]);
        }
    }
    r = img->fmt != &qcow2_format ? -ENOTSUP : qcow2_snapshot_view(img, name);
    if (r != 0) {
        error_set(errp, "Failed to load snapshot: %s", r == -ENOENT ? "Can't find snapshot" : strerror(-r));
    }
    return r == 0;
}

static void warn_guessed(const char *file)
{
    fprintf(stderr, "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
                    "         Automatically detecting the format is dangerous for raw images, write operations on block 0 "
                    "will be restricted.\n"
                    "         Specify the 'raw' format explicitly to remove the restrictions.\n", file);
}

BlockImage *nbd_open_image(NbdArgs *a)
{
    unsigned flags = a->flags | (a->read_only || a->overlay ? IMAGE_READ_ONLY : 0);
    Error *err = NULL;
    BlockImage *img, *front;

    img = a->image_opts ? open_options(a, flags, &err) : image_open_with(a->file, a->format, flags, a->cache, &err);
    if (img != NULL && a->snapshot != NULL && !show_snapshot(img, a->snapshot, &err)) {
        image_unref(img);
        img = NULL;
    }
    if (img != NULL && a->overlay && !a->read_only) {
        front = image_overlay(img, &err);
        if (front == NULL) {
            image_unref(img);
        }
        img = front;
    }
    if (img == NULL) {
        error_report(err);
    } else if (img->guessed && !a->read_only) {
        warn_guessed(a->file);
    }
    return img;
}
