/*
 * Back ends: names, media, and who uses them.
 */
#include "block/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/error.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "block/export.h"
#include "block/image-gate.h"
#include "block/image-lock.h"
#include "block/nbd-client.h"
#include "block/node.h"
#include "block/qcow2.h"

static BlockBackend *backends; /* in the order in which they were made; loop thread */

BlockBackend *blk_find(const char *name)
{
    BlockBackend *b = backends;

    while (b != NULL && (b->doomed || strcmp(b->name, name) != 0)) {
        b = b->next;
    }
    return b;
}

void blk_each(void (*fn)(void *opaque, BlockBackend *b), void *opaque)
{
    for (BlockBackend *b = backends; b != NULL; b = b->next) {
        if (!b->doomed) {
            fn(opaque, b);
        }
    }
}

/* open_medium - as @p says. */
/* Names of drives and nodes that are opened so that others may write to them: loop thread. */
static char **sharing;
static size_t sharing_count;

void blk_will_share(const char *name)
{
    sharing = xrealloc(sharing, sharing_count + 1, sizeof(*sharing));
    sharing[sharing_count++] = xstrdup(name);
}

bool blk_shared(const char *name)
{
    for (size_t n = 0; n < sharing_count; n++) {
        if (strcmp(sharing[n], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool lock_again(BlockImage *img, bool share, Error **errp)
{
    if (!(img->flags & IMAGE_NO_LOCK) && img->host.fd >= 0) { /* others are locked by who has them */
        image_unlock(img->host.fd);
        if (!image_lock(img->host.fd, img->file, !img->read_only, share, errp)) {
            return false;
        }
    }
    img->flags = share ? img->flags | IMAGE_FORCE_SHARE : img->flags & ~(unsigned)IMAGE_FORCE_SHARE;
    return true;
}

bool blk_share_checked(BlockImage *img, Error **errp)
{
    bool ok = true;

    for (BlockImage *i = img; img->fmt != &raw_format && i != NULL && ok; i = i->backing) {
        ok = lock_again(i, false, errp);
    }
    return ok;
}

static BlockImage *open_medium(const BlockParams *p, Error **errp)
{
    bool several = !p->force_share && p->name != NULL && blk_shared(p->name);
    bool read_only = p->read_only || p->snapshot;
    unsigned flags = (read_only ? IMAGE_READ_ONLY : 0) | (p->direct ? IMAGE_DIRECT : 0) |
                     (p->no_locks ? IMAGE_NO_LOCK : 0) | image_aio_flags(p->aio) |
                     (p->force_share || several ? IMAGE_FORCE_SHARE : 0);
    BlockImage *img, *front;

    if (p->force_share && !read_only) {
        error_set(errp, "force-share=on can only be used with read-only images");
        return NULL;
    }
    if (node_is_json(p->file) && p->format != NULL) {
        error_set(errp, "format=%s: a name in JSON says the driver itself", p->format);
        return NULL;
    }
    img = node_is_json(p->file) ? node_open_json(p->file + strlen("json:"), flags, p->cache, errp)
                                : image_open_with(p->file, p->format, flags, p->cache, errp);
    if (img != NULL && several && !blk_share_checked(img, errp)) {
        image_unref(img);
        return NULL;
    }
    if (img == NULL || !p->snapshot || p->read_only) {
        return img;
    }
    front = image_overlay(img, errp);
    if (front == NULL) {
        image_unref(img);
    }
    return front;
}

/* make - @img is ours now, or NULL. */
static BlockBackend *make(const BlockParams *p, BlockImage *img)
{
    BlockBackend *b = xnew(BlockBackend), **end = &backends;

    b->name = xstrdup(p->name);
    b->img = img;
    b->cache = p->cache;
    b->serial = xstrdup(p->serial);
    b->read_only = p->read_only;
    block_lock();
    b->throttle = limits_any(&p->limits) ? throttle_group(p->group != NULL ? p->group : p->name, &p->limits) : NULL;
    block_unlock();
    b->direct = p->direct;
    b->aio = p->aio;
    b->no_locks = p->no_locks;
    b->discard = p->discard;
    b->copy_on_read = p->copy_on_read;
    b->detect_zeroes = p->detect_zeroes;
    b->write_error = p->write_error;
    b->read_error = p->read_error;
    b->own.cache = p->cache;
    b->own.write_error = p->write_error;
    b->own.read_error = p->read_error;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = b;
    return b;
}

BlockBackend *blk_new_node(const BlockParams *p, BlockImage *img, Error **errp)
{
    BlockBackend *b = make(p, image_ref(img));

    b->is_node = true;
    return b;
}

BlockBackend *blk_new(const BlockParams *p, Error **errp)
{
    BlockImage *img = NULL;
    BlockBackend *b;

    if (blk_find(p->name) != NULL || node_known(p->name)) {
        error_set(errp, "there is a drive '%s' already", p->name);
        return NULL;
    }
    if (limits_any(&p->limits) && !limits_check(&p->limits, errp)) {
        return NULL;
    }
    if (p->file != NULL) {
        img = open_medium(p, errp);
        if (img == NULL) {
            return NULL;
        }
        if (sandbox_on()) {
            block_workers();
        }
    }
    b = make(p, img);
    b->node = img != NULL ? node_auto_name() : NULL;
    return b;
}

/* away - from the list and from memory. */
static void away(BlockBackend *b)
{
    BlockBackend **p = &backends;

    while (*p != b) {
        p = &(*p)->next;
    }
    *p = b->next;
    image_unref(b->img);
    block_lock();
    throttle_unref(b->throttle);
    block_unlock();
    free(b->attached);
    free(b->serial);
    free(b->node);
    free(b->name);
    free(b);
}

void blk_free(BlockBackend *b)
{
    int r;

    block_drain();
    r = b->img != NULL && !b->img->read_only ? image_flush(b->img) : 0;
    if (r < 0) {
        report("%s: cannot write %s: %s", b->name, b->img->file, strerror(-r));
    }
    away(b);
}

static void free_doomed(void *opaque)
{
    for (BlockBackend *b = backends, *next; b != NULL; b = next) {
        next = b->next;
        if (b->doomed && !b->used) {
            blk_free(b);
        }
    }
}

bool block_close_all(void)
{
    bool ok = true;

    exports_free();
    nbd_clients_hurry();
    requests_fini();
    while (backends != NULL) {
        BlockBackend *b = backends;
        int r = b->img != NULL ? image_flush(b->img) : 0;

        if (r < 0) {
            report("%s: cannot write %s: %s", b->name, b->img->file, strerror(-r));
            ok = false;
        }
        away(b);
    }
    nodes_free();
    return ok;
}

/* ---- media ---- */

static bool removable(const BlockBackend *b)
{
    return !b->used || (b->ops != NULL && b->ops->medium_changed != NULL);
}

static bool tray_open(const BlockBackend *b)
{
    return b->ops != NULL && b->ops->tray_open != NULL && b->ops->tray_open(b->opaque);
}

static bool locked(const BlockBackend *b)
{
    return b->ops != NULL && b->ops->locked != NULL && b->ops->locked(b->opaque);
}

/* may_open - the tray can be opened, or is open. A guest that holds it is told of the button. */
static bool may_open(BlockBackend *b, bool force, Error **errp)
{
    if (force || tray_open(b) || !locked(b)) {
        return true;
    }
    if (b->ops->eject_request != NULL) {
        b->ops->eject_request(b->opaque);
    }
    error_set(errp, "Device '%s' is locked and force was not specified, wait for tray to open "
              "and try again", b->name);
    return false;
}

void blk_tray_moved(BlockBackend *b, bool open)
{
    const EventField fields[] = { EV_STR("device", b->name), EV_STR("id", b->attached),
                                  EV_BOOL("tray-open", open), EV_END };

    event_emit("DEVICE_TRAY_MOVED", fields);
}

static void set_tray(BlockBackend *b, bool open)
{
    if (b->ops != NULL && b->ops->set_tray != NULL && tray_open(b) != open) {
        b->ops->set_tray(b->opaque, open);
        blk_tray_moved(b, open);
    }
}

/* swap - @img instead of what is there; the caller owns what is returned. */
static BlockImage *swap(BlockBackend *b, BlockImage *img)
{
    BlockImage *old = b->img;

    b->img = img;
    free(b->node);
    b->node = img != NULL ? node_auto_name() : NULL;
    if ((old != NULL || img != NULL) && b->ops != NULL && b->ops->medium_changed != NULL) {
        b->ops->medium_changed(b->opaque);
    }
    return old;
}

/* put_away - the medium that was taken out; waits for the host, without the machine lock. */
static bool put_away(BlockBackend *b, BlockImage *img, Error **errp)
{
    int r = img != NULL ? image_flush(img) : 0;

    if (r < 0) {
        error_set_errno(errp, -r, "%s: cannot write %s", b->name, img->file);
    }
    image_unref(img);
    return r == 0;
}

/* exchange - both commands; @img is ours now. */
static bool exchange(BlockBackend *b, BlockImage *img, bool force, Error **errp)
{
    BlockImage *old = NULL;
    bool ok;

    block_lock();
    ok = may_open(b, force, errp);
    if (ok) {
        set_tray(b, true);
        if (b->img != NULL) {
            old = swap(b, NULL);
        }
        if (img != NULL) {
            swap(b, img);
            set_tray(b, false);
        }
    }
    block_unlock();
    if (!ok) {
        image_unref(img);
        return false;
    }
    return put_away(b, old, errp);
}

static bool check_removable(const BlockBackend *b, Error **errp)
{
    if (!removable(b)) {
        error_set(errp, "Device '%s' is not removable", b->name);
        return false;
    }
    return true;
}

bool blk_change(BlockBackend *b, const char *file, const char *format, bool read_only, bool force,
                Error **errp)
{
    const BlockParams p = { .file = file, .format = format, .read_only = read_only, .cache = b->cache,
                            .direct = b->direct, .aio = b->aio, .no_locks = b->no_locks };
    BlockImage *img;

    if (!check_removable(b, errp)) {
        return false;
    }
    img = open_medium(&p, errp);
    if (img != NULL && sandbox_on()) {
        block_workers();
    }
    return img != NULL && exchange(b, img, force, errp);
}

bool blk_eject(BlockBackend *b, bool force, Error **errp)
{
    return check_removable(b, errp) && exchange(b, NULL, force, errp);
}

void blk_delete(BlockBackend *b)
{
    BlockImage *img;
    Error *err = NULL;

    if (!b->used) {
        blk_free(b);
        return;
    }
    block_drain();
    block_lock();
    b->doomed = true;
    img = swap(b, NULL);
    block_unlock();
    if (!put_away(b, img, &err)) {
        error_report(err);
    }
}

void blk_goes_too(BlockBackend *b)
{
    block_lock();
    b->doomed = true;
    block_unlock();
}

bool blk_tray(BlockBackend *b, bool open, bool force, Error **errp)
{
    bool ok = check_removable(b, errp);

    if (ok) {
        block_lock();
        ok = !open || may_open(b, force, errp);
        if (ok) {
            set_tray(b, open);
        }
        block_unlock();
    }
    return ok;
}

/* ---- what is behind, and how large it is ---- */

bool blk_commit(BlockBackend *b, Error **errp)
{
    BlockImage *img = b->img, *base = img != NULL ? img->backing : NULL;
    int r;

    if (base == NULL) {
        error_set_errno(errp, img == NULL ? ENOMEDIUM : ENOTSUP, "'commit' error for '%s'", b->name);
        return false;
    }
    block_drain();
    image_gate_shut();
    if (base->read_only && !image_make_writable(base, errp)) {
        image_gate_open();
        error_prepend(errp, "'commit' error for '%s': ", b->name);
        return false;
    }
    r = image_commit(img, base, NULL, NULL);
    if (r == 0 && img->fmt == &qcow2_format && !img->read_only) {
        r = qcow2_make_empty(img);
    }
    image_gate_open();
    if (r != 0) {
        error_set_errno(errp, -r, "'commit' error for '%s'", b->name);
    }
    return r == 0;
}

bool blk_resize(BlockBackend *b, uint64_t size, Error **errp)
{
    int r;

    if (b->img == NULL) {
        error_set(errp, "Device '%s' has no medium", b->name);
        return false;
    }
    size = (size + 511) & ~511ull;
    block_drain();
    image_gate_shut();
    r = image_truncate(b->img, size);
    image_gate_open();
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot resize %s", b->name, b->img->file);
        return false;
    }
    block_lock();
    if (b->ops != NULL && b->ops->resized != NULL) {
        b->ops->resized(b->opaque);
    }
    block_unlock();
    return true;
}

bool blk_set_limits(BlockBackend *b, const BlockLimits *l, const char *group, Error **errp)
{
    ThrottleGroup *old = b->throttle;
    const char *name = b->name;

    if (limits_any(l) && !limits_check(l, errp)) {
        return false;
    }
    if (old != NULL) {
        throttle_limits(old, &name);
    }
    b->throttle = limits_any(l) ? throttle_group(group != NULL ? group : name, l) : NULL;
    throttle_unref(old);
    return true;
}

const BlockLimits *blk_limits(const BlockBackend *b, const char **group)
{
    return b->throttle != NULL ? throttle_limits(b->throttle, group) : NULL;
}

const BlockStats *blk_stats(const BlockBackend *b)
{
    return &b->stats;
}

void blk_image_info(const BlockImage *img, BlockInfo *info)
{
    struct stat st;

    info->file = img->file;
    info->format = img->format;
    info->size = img->size;
    info->read_only = img->read_only;
    info->temporary = img->temporary;
    info->cache = img->cache;
    info->direct = img->flags & IMAGE_DIRECT;
    info->backing = img->backing != NULL ? img->backing->file : NULL;
    for (const BlockImage *i = img->backing; i != NULL; i = i->backing) {
        info->depth++;
    }
    if (img->fmt == &qcow2_format) {
        const Qcow2 *q = img->priv;

        info->cluster_size = q->cluster_size;
        info->dirty = q->incompatible & INCOMPAT_DIRTY;
    }
    info->used = fstat(img->host.fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

void blk_info(BlockBackend *b, BlockInfo *info)
{
    *info = (BlockInfo){
        .name = b->name,
        .node = b->is_node && b->node == NULL ? b->name : b->node,
        .is_node = b->is_node,
        .attached = b->attached,
        .cache = b->cache,
        .io_status = b->io_status,
        .direct = b->direct,
        .detect_zeroes = b->detect_zeroes,
        .removable = removable(b),
        .has_tray = b->ops != NULL && b->ops->tray_open != NULL,
        .tray_open = tray_open(b),
        .locked = locked(b),
    };
    if (b->img != NULL) {
        blk_image_info(b->img, info);
    }
}

/* ---- devices ---- */

bool blk_attach(BlockBackend *b, const char *id, const BlockDevOps *ops, void *opaque,
                Error **errp)
{
    if (b->used) {
        error_set(errp, "Drive '%s' is already in use by device '%s'", b->name, b->attached);
        return false;
    }
    b->used = true;
    b->attached = xstrdup(id);
    b->ops = ops;
    b->opaque = opaque;
    return true;
}

/* set_cache - of the drive, and of the medium that is in it. */
static void set_cache(BlockBackend *b, BlockCache cache)
{
    b->cache = cache;
    if (b->img != NULL && b->img->cache != BLK_UNSAFE) {
        b->img->cache = cache;
    }
}

void blk_set_policy(BlockBackend *b, int write_error, int read_error)
{
    b->write_error = write_error >= 0 ? (BlockOnError)write_error : b->own.write_error;
    b->read_error = read_error >= 0 ? (BlockOnError)read_error : b->own.read_error;
}

void blk_set_write_cache(BlockBackend *b, bool on)
{
    if (b->cache != BLK_UNSAFE) {
        set_cache(b, on ? BLK_WRITEBACK : BLK_WRITETHROUGH);
    }
}

bool blk_write_cache(const BlockBackend *b)
{
    return b->cache != BLK_WRITETHROUGH;
}

bool blk_share(BlockBackend *b, Error **errp)
{
    /* a format's tables bear one writer, whatever the device bears */
    return b->img == NULL || b->img->fmt != &raw_format || (b->img->flags & IMAGE_FORCE_SHARE) || lock_again(b->img, true, errp);
}

void blk_detach(BlockBackend *b)
{
    if (b != NULL) {
        blk_set_policy(b, -1, -1);
        set_cache(b, b->own.cache);
        b->used = false;
        free(b->attached);
        b->attached = NULL;
        b->ops = NULL;
        b->opaque = NULL;
        if (b->doomed) {
            loop_post(free_doomed, NULL);
        }
    }
}

const char *blk_name(const BlockBackend *b)
{
    return b->name;
}

bool blk_present(const BlockBackend *b)
{
    return b->img != NULL;
}

bool blk_read_only(const BlockBackend *b)
{
    return b->img == NULL || b->img->read_only;
}

uint64_t blk_size(const BlockBackend *b)
{
    return b->img != NULL ? b->img->size : 0;
}

bool blk_stops(const BlockBackend *b, bool write)
{
    return (write ? b->write_error : b->read_error) >= BLK_ENOSPC;
}

bool blk_discards(const BlockBackend *b)
{
    return b->discard;
}

const char *blk_serial(const BlockBackend *b)
{
    return b->serial;
}

bool blk_wants_read_only(const BlockBackend *b)
{
    return b->read_only;
}

int blk_pread(BlockBackend *b, uint64_t offset, void *buf, uint32_t len)
{
    if (b->img == NULL) {
        return -ENOMEDIUM;
    }
    if (offset > b->img->size || len > b->img->size - offset) {
        return -EINVAL;
    }
    return image_read(b->img, offset, buf, len);
}
