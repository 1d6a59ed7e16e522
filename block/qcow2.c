/*
 * qcow2: opening, the header, flush, a larger size. See qcow2.h.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/error.h"
#include "block/qcow2-bitmap.h"
#include "block/qcow2-data.h"
#include <config.h>

enum { NAME_MAX_BYTES = 1023 };
#define BEYOND_MAX (1u << 20) /* clusters in use behind the end of the file */

static bool qcow2_probe(const uint8_t *head, size_t len)
{
    return len >= 8 && ld_be32(head) == QCOW2_MAGIC && (ld_be32(head + 4) == 2 || ld_be32(head + 4) == 3);
}

static bool bad(const BlockImage *img, Error **errp, const char *why)
{
    error_set(errp, "Could not open '%s': %s", img->file, why);
    return false;
}

/* read_features - "incompatible_features": those that change the meaning of the tables. */
static bool read_features(Qcow2 *q, const uint8_t *h, Error **errp)
{
    BlockImage *img = q->img;

    if (q->version < 3) {
        q->refcount_order = 4;
        return true;
    }
    q->incompatible = ld_be64(h + QH_INCOMPATIBLE);
    q->compatible = ld_be64(h + QH_COMPATIBLE);
    q->refcount_order = ld_be32(h + QH_REFCOUNT_ORDER);
    q->compression = ld_be32(h + QH_LENGTH) > QH_COMPRESSION ? h[QH_COMPRESSION] : 0;
    q->extended = q->incompatible & INCOMPAT_EXTENDED_L2;
    if (q->extended && q->cluster_bits < QCOW2_EXTENDED_BITS_MIN) {
        return bad(img, errp, "extended L2 entries need clusters of at least 16 KiB");
    }
    if (q->incompatible & ~31ull) {
        error_set(errp, "Could not open '%s': unknown incompatible features 0x%llx", img->file,
                  (unsigned long long)(q->incompatible & ~31ull));
        return false;
    }
    if ((q->incompatible & INCOMPAT_CORRUPT) && !img->read_only) {
        return bad(img, errp, "the image is marked as corrupt; it can be opened read-only, or repaired");
    }
    if (q->refcount_order > 6) {
        return bad(img, errp, "reference counts have more than 64 bits");
    }
    if (q->compression > 1) {
        return bad(img, errp, "unknown compression type");
    }
#ifndef CONFIG_ZSTD
    if (q->compression == 1) {
        return bad(img, errp, "it is compressed by zstd, for which this doppel was built without libzstd");
    }
#endif
    return true;
}

static bool read_header(Qcow2 *q, uint8_t *h, Error **errp)
{
    BlockImage *img = q->img;
    int r = host_read(&img->host, 0, h, QH_V3_LENGTH);

    if (r != 0) {
        error_set_errno(errp, -r, "Could not read '%s'", img->file);
        return false;
    }
    if (!qcow2_probe(h, QH_V3_LENGTH)) {
        return bad(img, errp, "Image is not in qcow2 format");
    }
    q->version = ld_be32(h + QH_VERSION);
    q->cluster_bits = ld_be32(h + QH_CLUSTER_BITS);
    if (q->cluster_bits < 9 || q->cluster_bits > 21) {
        return bad(img, errp, "the cluster size is not 512 bytes to 2 MiB");
    }
    if (ld_be32(h + QH_CRYPT) != 0) {
        return bad(img, errp, "encrypted images are not supported yet");
    }
    if (!read_features(q, h, errp)) {
        return false;
    }
    q->cluster_size = 1u << q->cluster_bits;
    q->l2_bits = q->cluster_bits - (q->extended ? 4 : 3);
    q->unit_bits = q->cluster_bits - (q->extended ? 5 : 0);
    q->block_bits = q->cluster_bits + 3 - q->refcount_order;
    img->size = (ld_be64(h + QH_SIZE) + 511) & ~511ull;
    q->l1_size = ld_be32(h + QH_L1_SIZE);
    q->l1_offset = ld_be64(h + QH_L1_OFFSET);
    q->reftable_offset = ld_be64(h + QH_REFTABLE_OFFSET);
    q->snapshots = ld_be32(h + QH_SNAPSHOTS);
    q->snapshots_offset = ld_be64(h + QH_SNAPSHOTS_OFFSET);
    if (img->size > 1ull << 62 || q->l1_size > QCOW2_L1_MAX / 8 || q->l1_offset % q->cluster_size != 0 ||
        q->reftable_offset % q->cluster_size != 0 || q->reftable_offset == 0 ||
        ld_be32(h + QH_REFTABLE_CLUSTERS) > QCOW2_REFTABLE_MAX >> q->cluster_bits ||
        q->l1_offset > 1ull << 60 || q->snapshots > QCOW2_SNAPSHOTS_MAX ||
        q->snapshots_offset > 1ull << 60 || q->reftable_offset > 1ull << 60) {
        return bad(img, errp, "its header does not make sense");
    }
    q->reftable_clusters = ld_be32(h + QH_REFTABLE_CLUSTERS);
    q->reftable_size = q->reftable_clusters << (q->cluster_bits - 3);
    if (qcow2_l1_entries(q, img->size) > q->l1_size) {
        return bad(img, errp, "its L1 table is too small");
    }
    return true;
}

/* read_table - @n big-endian numbers at @offset. */
static uint64_t *read_table(const BlockImage *img, uint64_t offset, uint32_t n)
{
    uint64_t *t = try_newn(uint64_t, MAX(n, 1u));

    if (t == NULL || host_read(&img->host, offset, t, n * 8ull) != 0) {
        free(t);
        return NULL;
    }
    for (uint32_t k = 0; k < n; k++) {
        t[k] = __builtin_bswap64(t[k]);
    }
    return t;
}

/* read_names - the backing file's name, and its format from "Header extensions". */
static bool read_names(Qcow2 *q, const uint8_t *h, Error **errp)
{
    uint64_t at = ld_be64(h + QH_BACKING_OFFSET), ext;
    uint32_t len = ld_be32(h + QH_BACKING_SIZE), head = q->version < 3 ? QH_V2_LENGTH : ld_be32(h + QH_LENGTH);
    uint8_t *c = try_newn(uint8_t, q->cluster_size);
    bool ok = false;

    if (c == NULL || host_read(&q->img->host, 0, c, q->cluster_size) != 0) {
        bad(q->img, errp, "cannot read its header");
        goto out;
    }
    if (at != 0 && (len > NAME_MAX_BYTES || at > q->cluster_size || len > q->cluster_size - at)) {
        bad(q->img, errp, "the name of its backing file is too long");
        goto out;
    }
    if (at != 0 && len != 0) {
        q->backing_file = xstrndup((char *)c + at, len);
    }
    for (ext = head; ext <= q->cluster_size - 8u && ld_be32(c + ext) != 0;) {
        uint32_t type = ld_be32(c + ext), size = ld_be32(c + ext + 4);

        if (size > q->cluster_size - ext - 8) {
            bad(q->img, errp, "a header extension is too long");
            goto out;
        }
        if (type == QEXT_BACKING_FORMAT && size < 16) {
            free(q->backing_format);
            q->backing_format = xstrndup((char *)c + ext + 8, size);
        }
        if (type == QEXT_DATA_FILE && size <= NAME_MAX_BYTES && size != 0) {
            free(q->data_name);
            q->data_name = xstrndup((char *)c + ext + 8, size);
        }
        if (type == QEXT_BITMAPS && q->version >= 3 && (ld_be64(h + QH_AUTOCLEAR) & AUTOCLEAR_BITMAPS) &&
            q->bitmaps == NULL) {
            if (!qcow2_bitmaps_read(q, c + ext + 8, size, errp)) {
                goto out;
            }
            q->autoclear |= AUTOCLEAR_BITMAPS;
        }
        ext += 8 + ((size + 7ull) & ~7ull);
    }
    ok = true;
out:
    free(c);
    return ok;
}

/* open_backing - a name in the image is a file name, relative to the image's folder. */
static bool open_backing(Qcow2 *q, Error **errp)
{
    BlockImage *img = q->img;
    autofree char *path = NULL;

    if (q->backing_file == NULL || (img->flags & IMAGE_NO_BACKING)) {
        return true;
    }
    path = qcow2_backing_path(img, q->backing_file);
    img->backing = image_open_chain(path, q->backing_format, 0, errp);
    if (img->backing == NULL) {
        error_prepend(errp, "Could not open backing file: ");
        return false;
    }
    return true;
}

/* open_data - the file with the data: the one that the user names, else a plain name in the image. That is not relative to
 * the image's folder: qemu-img has it so. */
static bool open_data(Qcow2 *q, const uint8_t *h, Error **errp)
{
    const char *given = q->img->data;

    q->data = &q->img->host;
    if (!(q->incompatible & INCOMPAT_DATA_FILE)) {
        return given == NULL || bad(q->img, errp, "'data-file' can only be set for images with an external data file");
    }
    if (given == NULL && q->data_name == NULL) {
        return bad(q->img, errp, "'data-file' is required for this image");
    }
    q->data_file = image_open_data(q->img, given != NULL ? given : q->data_name, errp);
    if (q->data_file == NULL) {
        return false;
    }
    q->data = &q->data_file->host;
    q->data_raw = ld_be64(h + QH_AUTOCLEAR) & AUTOCLEAR_RAW_DATA;
    q->autoclear |= q->data_raw ? AUTOCLEAR_RAW_DATA : 0;
    if (q->data_raw && q->backing_file != NULL) {
        return bad(q->img, errp, "a raw data file and an image behind it cannot be");
    }
    return true;
}

/* find_end - behind the last cluster that is in use; -EIO when that is nowhere near the file's end. */
static int find_end(Qcow2 *q)
{
    uint64_t file_end = qcow2_clusters(q, q->img->file_size), last;
    uint32_t n = q->reftable_size;
    int r;

    q->touched = q->img->file_size;
    q->end = file_end;
    while (n > 0 && (q->reftable[n - 1] & REFTABLE_OFFSET) == 0) {
        n--;
    }
    if (n == 0) {
        return 0;
    }
    r = refcount_last(q, n - 1, &last);
    if (r == 0 && last > file_end + BEYOND_MAX) {
        return -EIO;
    }
    q->end = MAX(q->end, last);
    return r;
}

int qcow2_write_header(Qcow2 *q)
{
    uint8_t h[QH_V3_LENGTH];
    int r = host_read(&q->img->host, 0, h, sizeof(h));

    if (r != 0) {
        return r;
    }
    st_be64(h + QH_SIZE, q->img->size);
    st_be32(h + QH_L1_SIZE, q->l1_size);
    st_be64(h + QH_L1_OFFSET, q->l1_offset);
    st_be64(h + QH_REFTABLE_OFFSET, q->reftable_offset);
    st_be32(h + QH_REFTABLE_CLUSTERS, q->reftable_clusters);
    st_be32(h + QH_SNAPSHOTS, q->snapshots);
    st_be64(h + QH_SNAPSHOTS_OFFSET, q->snapshots_offset);
    if (q->version >= 3) {
        st_be64(h + QH_INCOMPATIBLE, q->incompatible);
        st_be64(h + QH_COMPATIBLE, q->compatible);
        st_be64(h + QH_AUTOCLEAR, q->autoclear); /* "must be cleared by software that does not know them" */
    }
    return host_write(&q->img->host, 0, h, q->version >= 3 ? QH_V3_LENGTH : QH_V2_LENGTH);
}

QHeader qcow2_header(const Qcow2 *q)
{
    return (QHeader){ q->l1_offset, q->reftable_offset, q->snapshots_offset, q->img->size,
                      q->l1_size, q->reftable_size, q->reftable_clusters, q->snapshots };
}

int qcow2_change_header(Qcow2 *q, const QHeader *before)
{
    int r = qcow2_write_header(q);

    r = r == 0 ? host_flush(&q->img->host) : r;
    if (r != 0) {
        q->l1_offset = before->l1_offset;
        q->l1_size = before->l1_size;
        q->reftable_offset = before->reftable_offset;
        q->reftable_size = before->reftable_size;
        q->reftable_clusters = before->reftable_clusters;
        q->snapshots = before->snapshots;
        q->snapshots_offset = before->snapshots_offset;
        q->img->size = before->size;
        q->unsure = true;
        q->broken = qcow2_write_header(q) != 0 || host_flush(&q->img->host) != 0;
    }
    return r;
}

int qcow2_set_dirty(Qcow2 *q, bool dirty)
{
    uint64_t bits = dirty ? q->incompatible | INCOMPAT_DIRTY : q->incompatible & ~(uint64_t)INCOMPAT_DIRTY;
    uint8_t be[8];
    int r = 0;

    if (q->version >= 3 && bits != q->incompatible) { /* not more: the rest in memory can be ahead of the file */
        st_be64(be, bits);
        r = host_write(&q->img->host, QH_INCOMPATIBLE, be, sizeof(be));
        r = r == 0 && q->img->cache != BLK_UNSAFE ? host_flush(&q->img->host) : r;
        if (r == 0) {
            q->incompatible = bits;
        }
    }
    return r;
}

static void qcow2_free(Qcow2 *q)
{
    tables_free(q);
    qcow2_bitmaps_free(q);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->idle);
    free(q->l1);
    free(q->reftable);
    free(q->pending);
    free(q->backing_file);
    free(q->backing_format);
    free(q->data_name);
    image_unref(q->data_file);
    free(q);
}

/* make_writable - what a writer does first: repair after one that did not come to its end, and clear the features that
 * it cannot keep up. */
static bool make_writable(Qcow2 *q, const uint8_t *h, Error **errp)
{
    Qcow2Check result;
    int r = 0;

    q->unsure = q->incompatible & INCOMPAT_DIRTY;
    if (q->unsure && !(q->img->flags & IMAGE_AS_IT_IS)) {
        r = qcow2_check(q->img, QCOW2_FIX_LEAKS | QCOW2_FIX_ERRORS, &result, NULL, NULL);
    }
    if (r == 0 && q->version >= 3 &&
        (ld_be64(h + QH_AUTOCLEAR) != q->autoclear || ld_be64(h + QH_INCOMPATIBLE) != q->incompatible)) {
        r = qcow2_write_header(q);
    }
    if (r == 0 && !(q->img->flags & IMAGE_AS_IT_IS)) {
        r = qcow2_bitmaps_begin(q);
    }
    if (r != 0) {
        error_set_errno(errp, -r, "Could not repair '%s'", q->img->file);
    }
    return r == 0;
}

static bool qcow2_open(BlockImage *img, Error **errp)
{
    Qcow2 *q = xnew(Qcow2);
    uint8_t h[QH_V3_LENGTH];

    q->img = img;
    img->priv = q;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->idle, NULL);
    if (!read_header(q, h, errp) || !read_names(q, h, errp) || !open_data(q, h, errp)) {
        goto fail;
    }
    q->l1 = read_table(img, q->l1_offset, q->l1_size);
    q->reftable = read_table(img, q->reftable_offset, q->reftable_size);
    if (q->l1 == NULL || q->reftable == NULL || find_end(q) != 0) {
        bad(img, errp, "cannot read its tables");
        goto fail;
    }
    if (!open_backing(q, errp) || (!img->read_only && !make_writable(q, h, errp))) {
        goto fail;
    }
    return true;
fail:
    qcow2_free(q);
    img->priv = NULL;
    return false;
}

static bool qcow2_writable(BlockImage *img, Error **errp)
{
    Qcow2 *q = img->priv;
    uint8_t h[QH_V3_LENGTH];
    int r = host_read(&img->host, 0, h, sizeof(h));

    if (r != 0) {
        error_set_errno(errp, -r, "Could not read '%s'", img->file);
        return false;
    }
    if (q->incompatible & INCOMPAT_CORRUPT) {
        return bad(img, errp, "the image is marked as corrupt; it can be opened read-only, or repaired");
    }
    if (q->data_file != NULL && !image_make_writable(q->data_file, errp)) {
        return false;
    }
    return make_writable(q, h, errp);
}

static int qcow2_flush(BlockImage *img)
{
    Qcow2 *q = img->priv;
    int r;

    pthread_mutex_lock(&q->lock);
    r = qcow2_flush_locked(q, true);
    pthread_mutex_unlock(&q->lock);
    return r;
}

static void qcow2_close(BlockImage *img)
{
    Qcow2 *q = img->priv;

    if (!img->read_only) { /* also with cache=unsafe, and counts of what was given up by the last flush */
        int r = qcow2_flush(img);

        r = r == 0 ? qcow2_bitmaps_sync(img) : r;
        if (r == 0) {
            pthread_mutex_lock(&q->lock);
            r = qcow2_settle(q);
            pthread_mutex_unlock(&q->lock);
        }
        if (r == 0 && !q->unsure) {
            r = qcow2_set_dirty(q, false);
        }
        if (r != 0) {
            report("%s: cannot write the image's tables: %s", img->file, strerror(-r));
        }
    }
    qcow2_free(q);
}

/* put_l1 - @l1 to a new place, or where it is if it fits there; on stable storage. */
static int put_l1(Qcow2 *q, const uint64_t *l1, uint32_t entries, uint64_t *offset)
{
    bool fits = qcow2_clusters(q, entries * 8ull) <= qcow2_clusters(q, q->l1_size * 8ull) && q->l1_offset != 0;
    uint32_t first = fits ? q->l1_size : 0; /* entries to be written */
    uint64_t clusters = qcow2_clusters(q, entries * 8ull), at = q->l1_offset;
    uint8_t *be = try_newn(uint8_t, clusters << q->cluster_bits);
    int r = be == NULL ? -ENOMEM : fits ? 0 : qcow2_alloc(q, clusters, &at);

    if (r == 0) {
        uint64_t bytes = fits ? (entries - first) * 8ull : clusters << q->cluster_bits;

        *offset = at;
        for (uint32_t n = first; n < entries; n++) {
            st_be64(be + 8ull * (n - first), l1[n]);
        }
        q->touched = MAX(q->touched, at + (clusters << q->cluster_bits));
        r = host_write(&q->img->host, at + first * 8ull, be, bytes);
        r = r == 0 ? qcow2_flush_locked(q, true) : r; /* its counts */
        r = r == 0 ? host_flush(&q->img->host) : r;
    }
    free(be);
    return r;
}

/* give_up_l1 - the clusters of a table of @entries at @offset. */
static void give_up_l1(Qcow2 *q, uint64_t offset, uint64_t entries)
{
    for (uint64_t k = 0; offset != 0 && k < qcow2_clusters(q, entries * 8); k++) {
        qcow2_give_up(q, (offset >> q->cluster_bits) + k);
    }
}

/* resize - all is flushed; the header leads to the old table and size, or to the new ones. */
static int resize(Qcow2 *q, uint64_t size, uint32_t entries)
{
    uint64_t *l1 = try_newn(uint64_t, MAX(entries, 1u)), offset = q->l1_offset;
    QHeader before;
    int r = -ENOMEM;

    if (l1 != NULL) {
        memcpy(l1, q->l1, MIN(q->l1_size, entries) * 8ull);
        r = put_l1(q, l1, entries, &offset);
    }
    before = qcow2_header(q);
    if (r == 0) {
        q->l1_offset = offset;
        q->l1_size = entries;
        q->img->size = size;
        r = qcow2_change_header(q, &before);
    }
    if (r == 0) {
        free(q->l1);
        q->l1 = l1;
        l1 = NULL;
    }
    if (offset != before.l1_offset) {
        give_up_l1(q, r == 0 ? before.l1_offset : offset, r == 0 ? before.l1_size : entries);
    }
    free(l1);
    return r;
}

static int qcow2_truncate(BlockImage *img, uint64_t size)
{
    Qcow2 *q = img->priv;
    uint64_t entries = MAX(qcow2_l1_entries(q, size), q->l1_size), old = img->size;
    int r = 0;

    if (q->snapshots != 0 && q->version < 3) {
        return -ENOTSUP; /* snapshots of version 2 need not say how large the disk was */
    }
    if (entries > QCOW2_L1_MAX / 8) {
        return -EFBIG;
    }
    if (size < old) {
        r = qcow2_zero(img, size, old - size, true);
        r = r == 0 ? qcow2_flush(img) : r;
    }
    if (r == 0 && q->data_file != NULL) { /* a shorter one would read as zeros, too; who knows nothing of this image looks at its size */
        r = size > old || q->data_raw ? image_truncate(q->data_file, size) : 0;
    }
    if (r != 0) {
        return r;
    }
    pthread_mutex_lock(&q->lock);
    q->active++; /* nothing is given up until the header leads to the new table */
    r = qcow2_bitmaps_room(q, size);
    r = r == 0 ? qcow2_flush_locked(q, true) : r;
    r = r == 0 ? resize(q, size, (uint32_t)entries) : r;
    q->active--;
    if (r == 0) {
        qcow2_bitmaps_resized(q);
    }
    if (r == 0 && q->data_raw && size > old) {
        r = qcow2_place_all(q, old, size);
    }
    r = r == 0 ? qcow2_flush_locked(q, true) : r;
    pthread_mutex_unlock(&q->lock);
    return r;
}

const ImageFormat qcow2_format = {
    .name = "qcow2",
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .writable = qcow2_writable,
    .map = qcow2_map,
    .unmap = qcow2_unmap,
    .read = qcow2_read,
    .write = qcow2_write,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = qcow2_flush,
    .status = qcow2_status,
    .truncate = qcow2_truncate,
};
