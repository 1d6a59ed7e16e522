/*
 * Nodes of the block graph: see node.h.
 *
 * A file's node is only where the bytes lie: it is opened by the format that stands on it, which holds both in one
 * BlockImage, or by a device that takes it as it is. Filters, and formats over formats, are refused by name.
 */
#include "block/node.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/json-options.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/sandbox.h"
#include "block/fat.h"
#include "block/internal.h"
#include "block/nbd-client.h"
#include "block/null.h"

enum { DEPTH_MAX = 64, NAME_MAX_LEN = 31 };

typedef struct Driver {
    const char *name;
    bool format, backing; /* stands on a file; may have an image behind it */
} Driver;

static const Driver drivers[] = {
    { "nbd", false, false },  { "null-co", false, false },     { "null-aio", false, false },
    { "vvfat", false, false },
    { "throttle", true, false }, { "copy-on-read", true, false },
    { "file", false, false }, { "host_device", false, false }, { "host_cdrom", false, false },
    { "raw", true, false },   { "qcow2", true, true },         { "vdi", true, false },
    { "vpc", true, false },   { "vmdk", true, true },        { "vhdx", true, false },
};
/* QEMU's other ones. */
static const char *const not_yet[] = { "blkdebug", "blkverify", "bochs", "cloop", "compress", "copy-before-write",
                                       "dmg", "ftp", "ftps", "http", "https", "iscsi", "luks", "nfs",
                                       "nvme", "parallels", "preallocate", "qcow", "qed", "quorum", "rbd",
                                       "replication", "ssh" };

typedef struct BlockNode {
    char *name;
    const Driver *drv;
    bool owned;       /* has a name of the user's, and goes by blockdev-del; else with the node above */
    unsigned parents; /* nodes that stand on it, or in front of it */
    char *filename;   /* of a file */
    bool read_only, auto_read_only, direct, no_flush, discard, no_locks, force_share;
    BlockDetect detect;
    HostAio aio;       /* of a file */
    struct BlockNode *file, *backing, *data; /* data: the one with a qcow2 image's data, or NULL */
    bool no_backing;   /* not the one either that the image names */
    BlockImage *img;   /* opened, or NULL */
    bool keeps_reads;  /* a copy-on-read node */
    char *group;       /* of a throttle node: an object */
    const BlockLimits *limits; /* that one's */
    unsigned flags;    /* of node_open(): more for image_open_split() */
    BlockCache cache;  /* the same */
    BlockBackend *blk; /* for a device, or NULL */
    struct BlockNode *next;
} BlockNode;

/* A format that is found out; only where node_open() is not told of one. */
static const Driver probing = { "", true, true };

static BlockNode *nodes; /* loop thread */
static unsigned made;    /* names that were made up */

static BlockNode *find(const char *name)
{
    BlockNode *n = nodes;

    while (n != NULL && strcmp(n->name, name) != 0) {
        n = n->next;
    }
    return n;
}

char *node_auto_name(void)
{
    return xasprintf("#block%03u", ++made);
}

/* ---- away ---- */

static void drop(BlockNode *n)
{
    if (n != NULL && --n->parents == 0 && !n->owned) {
        BlockNode **p = &nodes;

        while (*p != n) {
            p = &(*p)->next;
        }
        *p = n->next;
        drop(n->file);
        drop(n->backing);
        drop(n->data);
        if (n->blk != NULL) {
            blk_free(n->blk);
        }
        image_unref(n->img);
        if (n->limits != NULL) {
            throttle_object_give(n->group);
        }
        free(n->group);
        free(n->filename);
        free(n->name);
        free(n);
    }
}

/* discard_node - one that the user gave, or that was half made. */
static void discard_node(BlockNode *n)
{
    n->owned = false;
    n->parents++;
    drop(n);
}

/* ---- options ---- */

typedef struct Parse {
    OptList *l;
    Error **errp;
    unsigned depth;
    bool guesses;   /* node_open(): the root needs no name, and drivers may be left out */
    unsigned flags; /* and for that */
    BlockCache cache;
} Parse;

static const char *text_of(Parse *p, const char *prefix, const char *key)
{
    autofree char *name = xasprintf("%s%s", prefix, key);

    return opt_get_str(p->l, name, NULL);
}

static bool flag_of(Parse *p, const char *prefix, const char *key, bool def)
{
    autofree char *name = xasprintf("%s%s", prefix, key);

    return opt_get_bool(p->l, name, def);
}

static int choice_of(Parse *p, const char *prefix, const char *key, const char *const *names, int def)
{
    autofree char *name = xasprintf("%s%s", prefix, key);

    return opt_get_choice(p->l, name, names, def);
}

static bool has_key(Parse *p, const char *prefix, const char *key)
{
    autofree char *name = xasprintf("%s%s", prefix, key);

    return opt_has(p->l, name);
}

static const Driver *find_driver(Parse *p, const char *prefix)
{
    const char *name = text_of(p, prefix, "driver");

    if (name == NULL && p->guesses && has_key(p, prefix, "filename") && *prefix != 0) {
        name = "file";
    }
    if (name == NULL && p->guesses && (has_key(p, prefix, "file.filename") || has_key(p, prefix, "file.driver"))) {
        return &probing;
    }
    if (name == NULL) {
        error_set(p->errp, "Parameter '%sdriver' is missing", prefix);
        return NULL;
    }
    for (size_t n = 0; n < ARRAY_SIZE(drivers); n++) {
        if (strcmp(drivers[n].name, name) == 0) {
            return &drivers[n];
        }
    }
    for (size_t n = 0; n < ARRAY_SIZE(not_yet); n++) {
        if (strcmp(not_yet[n], name) == 0) {
            error_set(p->errp, "driver '%s' is not supported yet", name);
            return NULL;
        }
    }
    error_set(p->errp, "Parameter '%sdriver' does not accept value '%s'", prefix, name);
    return NULL;
}

static bool name_ok(const char *name, Error **errp)
{
    bool ok = isalpha((unsigned char)name[0]) && strlen(name) <= NAME_MAX_LEN;

    for (const char *c = name; *c != 0; c++) {
        ok = ok && (isalnum((unsigned char)*c) || strchr("-._", *c) != NULL);
    }
    if (!ok) {
        error_set(errp, "Invalid node-name: '%s'", name);
    } else if (find(name) != NULL) {
        error_set(errp, "Duplicate nodes with node-name='%s'", name);
        ok = false;
    } else if (blk_find(name) != NULL) {
        error_set(errp, "node-name=%s is conflicting with a device id", name);
        ok = false;
    }
    return ok;
}

/* is_behind - @prefix is of a node behind another, which nobody writes to but `commit`. */
static bool is_behind(const char *prefix)
{
    static const char key[] = "backing.";
    size_t len = strlen(prefix);

    return len >= strlen(key) && strcmp(prefix + len - strlen(key), key) == 0;
}

/* common - what all drivers have; a node inside of another is like that where it does not say. */
static void common(Parse *p, const char *prefix, BlockNode *n, const BlockNode *above)
{
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL }; /* as BlockDetect */

    n->read_only = flag_of(p, prefix, "read-only", is_behind(prefix) || (above != NULL && above->read_only));
    n->auto_read_only = flag_of(p, prefix, "auto-read-only", false);
    n->direct = flag_of(p, prefix, "cache.direct", above != NULL && above->direct);
    n->no_flush = flag_of(p, prefix, "cache.no-flush", above != NULL && above->no_flush);
    n->discard = choice_of(p, prefix, "discard", discards, above != NULL && above->discard ? 2 : 0) >= 2;
    n->detect = (BlockDetect)choice_of(p, prefix, "detect-zeroes", detects, 0);
    n->force_share = flag_of(p, prefix, "force-share", above != NULL && above->force_share);
}

static bool parse_file(Parse *p, const char *prefix, BlockNode *n)
{
    static const char *const aios[] = { "threads", "native", "io_uring", NULL }; /* as HostAio */
    static const char *const locks[] = { "auto", "on", "off", NULL };
    const char *name = text_of(p, prefix, "filename");
    int fd;

    if (name == NULL) {
        error_set(p->errp, "Parameter '%sfilename' is missing", prefix);
        return false;
    }
    /* a name is a name: what looks like a protocol is none */
    n->filename = strcspn(name, ":/") < strlen(name) && name[strcspn(name, ":/")] == ':' ? xasprintf("./%s", name) : xstrdup(name);
    n->aio = (HostAio)choice_of(p, prefix, "aio", aios, 0);
    if (n->aio == HOST_AIO_NATIVE && !n->direct) {
        error_set(p->errp, "aio=native was specified, but it requires cache.direct=on, which was not specified.");
        return false;
    }
    n->no_locks = choice_of(p, prefix, "locking", locks, 0) == 2;
    flag_of(p, prefix, "x-check-cache-dropped", false); /* looks at what live migration leaves behind: nothing here */
    fd = host_open(n->filename, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) {
        error_set_errno(p->errp, -fd, "Could not open '%s'", name);
        return false;
    }
    close(fd);
    return true;
}

/* parse_nbd - the server is asked when something stands on the node. */
static bool parse_nbd(Parse *p, const char *prefix, BlockNode *n)
{
    n->filename = nbd_address_take(p->l, prefix, p->errp);
    return n->filename != NULL;
}

static bool parse_null(Parse *p, const char *prefix, BlockNode *n)
{
    RemoteFile *f;

    n->filename = null_address(p->l, prefix, n->drv->name);
    f = null_open(n->filename, p->errp); /* only to see whether it can be */
    if (f != NULL) {
        f->ops->close(f);
    }
    return f != NULL;
}

static bool parse_folder(Parse *p, const char *prefix, BlockNode *n)
{
    RemoteFile *f;

    n->filename = fat_address(p->l, prefix, p->errp);
    f = n->filename != NULL ? fat_open(n->filename, p->errp) : NULL; /* only to see whether it can be */
    if (f != NULL) {
        f->ops->close(f);
    }
    return f != NULL;
}

static BlockNode *parse_node(Parse *p, const char *prefix, const BlockNode *above);

/* parse_child - `file` or `backing`: a name of a node that is there, or one that is described. */
static bool parse_child(Parse *p, const char *prefix, const char *key, const BlockNode *n, BlockNode **child)
{
    autofree char *inner = xasprintf("%s%s.", prefix, key);
    const char *name = text_of(p, prefix, key);

    *child = NULL;
    if (name == NULL) {
        *child = parse_node(p, inner, n);
    } else {
        *child = find(name);
        if (*child == NULL) {
            error_set(p->errp, "Cannot find device='%s' nor node-name='%s'", name, name);
        }
    }
    if (*child != NULL) {
        (*child)->parents++;
    }
    return *child != NULL;
}

static bool has_inner(Parse *p, const char *prefix, const char *key)
{
    autofree char *inner = xasprintf("%s%s.", prefix, key);

    return has_key(p, inner, "driver") || (p->guesses && (has_key(p, inner, "filename") || has_key(p, inner, "file.filename")));
}

static bool parse_format(Parse *p, const char *prefix, BlockNode *n)
{
    const char *behind = n->drv->backing ? text_of(p, prefix, "backing") : NULL;

    if (text_of(p, prefix, "file") == NULL && !has_inner(p, prefix, "file")) {
        error_set(p->errp, "Parameter '%sfile' is missing", prefix);
        return false;
    }
    if (!parse_child(p, prefix, "file", n, &n->file)) {
        return false;
    }
    if (n->file->drv->format) {
        error_set(p->errp, "node '%s' is of the format %s: a format over another is not supported yet", n->file->name,
                  n->file->drv->name);
        return false;
    }
    if (strcmp(n->drv->name, "qcow2") == 0 && (text_of(p, prefix, "data-file") != NULL || has_inner(p, prefix, "data-file"))) {
        if (!parse_child(p, prefix, "data-file", n, &n->data)) {
            return false;
        }
        if (strcmp(n->data->drv->name, "file") != 0 && strncmp(n->data->drv->name, "host_", 5) != 0) {
            error_set(p->errp, "node '%s' is not a file: data-file=%s over it is not supported yet", n->data->name, n->data->drv->name);
            return false;
        }
    }
    n->no_backing = behind != NULL && *behind == 0;
    if (!n->drv->backing || n->no_backing || (behind == NULL && !has_inner(p, prefix, "backing"))) {
        return true;
    }
    return parse_child(p, prefix, "backing", n, &n->backing);
}

/* parse_throttle - a node that stands on any other: requests through it keep to the limits of a group. */
static bool parse_throttle(Parse *p, const char *prefix, BlockNode *n)
{
    const char *group = text_of(p, prefix, "throttle-group");

    if (group == NULL || (text_of(p, prefix, "file") == NULL && !has_inner(p, prefix, "file"))) {
        error_set(p->errp, "Parameter '%s%s' is missing", prefix, group == NULL ? "throttle-group" : "file");
        return false;
    }
    n->limits = throttle_object_take(group);
    if (n->limits == NULL) {
        error_set(p->errp, "Throttle group '%s' does not exist", group);
        return false;
    }
    n->group = xstrdup(group);
    return parse_child(p, prefix, "file", n, &n->file);
}

/* parse_copy_on_read - a node that stands on any other but a throttle. */
static bool parse_copy_on_read(Parse *p, const char *prefix, BlockNode *n)
{
    if (text_of(p, prefix, "file") == NULL && !has_inner(p, prefix, "file")) {
        error_set(p->errp, "Parameter '%sfile' is missing", prefix);
        return false;
    }
    n->keeps_reads = true;
    if (!parse_child(p, prefix, "file", n, &n->file)) {
        return false;
    }
    if (n->file->group != NULL) {
        error_set(p->errp, "copy-on-read over a throttle is not supported yet (a throttle over it is)");
        return false;
    }
    return true;
}

/* parse_driver - what a node of the kind has of its own. */
static bool parse_driver(Parse *p, const char *prefix, BlockNode *n)
{
    const char *name = n->drv->name;

    return strcmp(name, "throttle") == 0       ? parse_throttle(p, prefix, n)
           : strcmp(name, "copy-on-read") == 0 ? parse_copy_on_read(p, prefix, n)
           : n->drv->format              ? parse_format(p, prefix, n)
           : strcmp(name, "nbd") == 0    ? parse_nbd(p, prefix, n)
           : strcmp(name, "vvfat") == 0  ? parse_folder(p, prefix, n)
           : strncmp(name, "null-", 5) == 0 ? parse_null(p, prefix, n)
                                            : parse_file(p, prefix, n);
}

static BlockNode *parse_node(Parse *p, const char *prefix, const BlockNode *above)
{
    const Driver *drv = find_driver(p, prefix);
    const char *name;
    BlockNode *n, **end = &nodes;
    bool ok;

    if (drv == NULL) {
        return NULL;
    }
    name = text_of(p, prefix, "node-name");
    if (name == NULL && above == NULL && !p->guesses) {
        error_set(p->errp, "'node-name' must be specified for the root node");
        return NULL;
    }
    if ((name != NULL && !name_ok(name, p->errp)) || ++p->depth > DEPTH_MAX) {
        return NULL;
    }
    n = xnew(BlockNode);
    *n = (BlockNode){ .name = name != NULL ? xstrdup(name) : node_auto_name(), .drv = drv };
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = n;
    common(p, prefix, n, above);
    if (above == NULL && p->guesses) {
        n->flags = p->flags;
        n->cache = p->cache;
        n->read_only = n->read_only || (p->flags & IMAGE_READ_ONLY);
        n->force_share = n->force_share || (p->flags & IMAGE_FORCE_SHARE);
    }
    ok = parse_driver(p, prefix, n);
    if (!ok) {
        discard_node(n);
        return NULL;
    }
    return n;
}

/* ---- images ---- */

static bool open_image(BlockNode *n, Error **errp);

static bool open_backing(BlockNode *n, Error **errp)
{
    if (n->backing->img == NULL && !open_image(n->backing, errp)) {
        return false;
    }
    n->img->backing = image_ref(n->backing->img);
    return true;
}

/* is_filter - its image is that of the node that it stands on. */
static bool is_filter(const BlockNode *n)
{
    return n->group != NULL || n->keeps_reads;
}

/* open_below - a filter has the image of the one that it stands on. */
static bool open_below(BlockNode *n, Error **errp)
{
    if (n->file->blk != NULL && n->file->blk->used) {
        error_set(errp, "node '%s' is used by a device already", n->file->name);
        return false;
    }
    if (n->file->img == NULL && !open_image(n->file, errp)) {
        return false;
    }
    if (n->read_only && !n->file->img->read_only) {
        error_set(errp, "node '%s' stands on '%s', which is not read-only", n->name, n->file->name);
        return false;
    }
    if (n->keeps_reads && n->file->img->read_only) {
        error_set(errp, "node '%s' stands on '%s', which is read-only: nothing can be kept there", n->name, n->file->name);
        return false;
    }
    n->img = image_ref(n->file->img);
    return true;
}

static bool open_image(BlockNode *n, Error **errp)
{
    const BlockNode *f = n->drv->format ? n->file : n;
    bool shared = n->force_share || f->force_share, several = blk_shared(n->name);
    unsigned flags = (n->read_only || (f->read_only && !f->auto_read_only) ? IMAGE_READ_ONLY : 0) |
                     (n->direct || f->direct ? IMAGE_DIRECT : 0) | (f->no_locks ? IMAGE_NO_LOCK : 0) |
                     image_aio_flags(f->aio) | (shared || several ? IMAGE_FORCE_SHARE : 0) |
                     (n->no_backing || n->backing != NULL ? IMAGE_NO_BACKING : 0) | n->flags;
    const char *format = n->drv == &probing ? NULL : n->drv->format ? n->drv->name : "raw";

    if (is_filter(n)) {
        return open_below(n, errp);
    }
    if (shared && !(flags & IMAGE_READ_ONLY)) {
        error_set(errp, "force-share=on can only be used with read-only images");
        return false;
    }
    if (n != f && (f->img != NULL || (n->data != NULL && n->data->img != NULL))) {
        error_set(errp, "node '%s' is used by a device already", f->img != NULL ? f->name : n->data->name);
        return false;
    }
    n->img = image_open_split(f->filename, format, flags, n->no_flush || f->no_flush ? BLK_UNSAFE : n->cache,
                              n->data != NULL ? n->data->filename : NULL, errp);
    if (n->img != NULL && several && !shared && !blk_share_checked(n->img, errp)) {
        image_unref(n->img);
        n->img = NULL;
    }
    if (n->img != NULL && sandbox_on()) {
        block_workers();
    }
    return n->img != NULL && (n->backing == NULL || open_backing(n, errp));
}

static bool open_tree(BlockNode *n, Error **errp)
{
    if (n->backing != NULL && n->backing->drv->format && n->backing->img == NULL && !open_tree(n->backing, errp)) {
        return false;
    }
    return !n->drv->format || open_image(n, errp);
}

static bool unexpected(void *opaque, const char *key, const char *value, Error **errp)
{
    static const char *const later[] = { "l2-cache-size", "l2-cache-entry-size", "refcount-cache-size", "cache-size",
                                         "cache-clean-interval", "lazy-refcounts", "overlap-check", "encrypt",
                                         "discard-no-unref", "pass-discard-request", "pass-discard-snapshot",
                                         "pass-discard-other", "offset", "size", "pr-manager", "drop-cache",
                                         "aio-max-batch", "label", "tls-creds", "tls-hostname", "bottom", "x-dirty-bitmap", "open-timeout" };
    const char *last = strrchr(key, '.') != NULL ? strrchr(key, '.') + 1 : key;

    for (size_t n = 0; n < ARRAY_SIZE(later); n++) {
        if (strcmp(later[n], last) == 0 || strncmp(key, "encrypt.", 8) == 0) {
            error_set(errp, "'%s' is not supported yet", key);
            return false;
        }
    }
    error_set(errp, "Parameter '%s' is unexpected", key);
    return false;
}

bool node_add(OptList *l, Error **errp)
{
    Parse p = { .l = l, .errp = errp };
    BlockNode *n = parse_node(&p, "", NULL);

    if (n == NULL) {
        if (p.depth > DEPTH_MAX) {
            error_set(errp, "more than %d nodes in each other", DEPTH_MAX);
        }
        return false;
    }
    if (!opt_each_unused(l, unexpected, NULL, errp) || !opt_done(l, errp) || !open_tree(n, errp)) {
        discard_node(n);
        return false;
    }
    n->owned = true;
    return true;
}

BlockImage *node_open(OptList *l, unsigned flags, BlockCache cache, Error **errp)
{
    Parse p = { .l = l, .errp = errp, .guesses = true, .flags = flags, .cache = cache };
    BlockNode *n = parse_node(&p, "", NULL);
    BlockImage *img = NULL;

    if (n == NULL) {
        return NULL;
    }
    if (is_filter(n)) {
        error_set(errp, "driver '%s' does nothing here", n->drv->name);
    } else if (opt_each_unused(l, unexpected, NULL, errp) && opt_done(l, errp) && open_tree(n, errp) &&
               (n->img != NULL || open_image(n, errp))) {
        img = image_ref(n->img);
    }
    discard_node(n);
    return img;
}

BlockImage *node_open_json(const char *text, unsigned flags, BlockCache cache, Error **errp)
{
    OptList *l = opt_new();
    BlockImage *img = json_options(l, text, errp) ? node_open(l, flags, cache, errp) : NULL;

    opt_free(l);
    return img;
}

bool node_is_json(const char *name)
{
    return strncmp(name, "json:", 5) == 0;
}

bool node_del(const char *name, Error **errp)
{
    BlockNode *n = find(name);
    int r;

    if (n == NULL) {
        error_set(errp, "Failed to find node with node-name='%s'", name);
    } else if (n->blk != NULL && n->blk->used) {
        error_set(errp, "Node %s is in use", name);
    } else if (!n->owned) {
        error_set(errp, "Node %s is not owned by the monitor", name);
    } else if (n->parents > 0) {
        error_set(errp, "Block device %s is in use", name);
    } else {
        if (n->blk != NULL) {
            blk_free(n->blk); /* waits for what is under way */
            n->blk = NULL;
        }
        r = n->img != NULL && !n->img->read_only ? image_flush(n->img) : 0;
        if (r < 0) {
            report("%s: cannot write %s: %s", name, n->img->file, strerror(-r));
        }
        discard_node(n);
        return true;
    }
    return false;
}

/* ---- devices ---- */

bool node_known(const char *name)
{
    return find(name) != NULL;
}

BlockBackend *node_drive(const char *name, Error **errp)
{
    BlockNode *n = find(name);

    if (n == NULL) {
        error_set(errp, "Cannot find device='%s' nor node-name='%s'", name, name);
        return NULL;
    }
    for (const BlockNode *t = nodes; t != NULL; t = t->next) {
        if (is_filter(t) && t->file == n) {
            error_set(errp, "node '%s' is used by node '%s' already", n->name, t->name);
            return NULL;
        }
    }
    if (n->blk == NULL) {
        BlockParams p = { .name = n->name, .read_only = n->read_only, .write_error = BLK_ENOSPC, .detect_zeroes = n->detect,
                          .direct = n->direct, .discard = n->discard,
                          .cache = n->no_flush ? BLK_UNSAFE : BLK_WRITEBACK, .group = n->group };

        if (n->img == NULL && !open_image(n, errp)) {
            return NULL;
        }
        if (n->limits != NULL) {
            p.limits = *n->limits;
        }
        for (const BlockNode *t = n; t != NULL; t = is_filter(t) ? t->file : NULL) {
            p.copy_on_read |= t->keeps_reads;
        }
        n->blk = blk_new_node(&p, n->img, errp);
    }
    return n->blk;
}

BlockImage *node_image(const char *name, Error **errp)
{
    BlockNode *n = find(name);

    if (n == NULL) {
        error_set(errp, "Cannot find device='%s' nor node-name='%s'", name, name);
        return NULL;
    }
    return n->img != NULL || open_image(n, errp) ? image_ref(n->img) : NULL;
}

void node_each(void (*fn)(void *opaque, const char *name, const char *driver, const BlockInfo *info), void *opaque)
{
    for (BlockNode *n = nodes; n != NULL; n = n->next) {
        BlockInfo i = { .file = n->filename, .format = n->drv->name, .direct = n->direct, .read_only = n->read_only,
                        .detect_zeroes = n->detect, .cache = n->no_flush ? BLK_UNSAFE : BLK_WRITEBACK };

        if (n->img != NULL) {
            blk_image_info(n->img, &i);
            i.format = n->drv->name;
        }
        fn(opaque, n->name, n->drv->name, &i);
    }
}

void nodes_free(void)
{
    for (BlockNode *n = nodes; n != NULL; n = n->next) {
        n->blk = NULL; /* is gone */
    }
    for (BlockNode *n; (n = nodes) != NULL;) {
        while (n->next != NULL && n->parents > 0) { /* from the top */
            n = n->next;
        }
        discard_node(n);
    }
}
