/*
 * qcow2: making a new image. A smallest one is written by hand; the rest is done by opening and enlarging it.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/error.h"
#include "block/image-lock.h"

/* "Feature name table": for software that does not know a feature. */
static const struct {
    uint8_t type, bit;
    const char *name;
} features[] = {
    { 0, 0, "dirty bit" },       { 0, 1, "corrupt bit" },     { 0, 2, "external data file" },
    { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" },
    { 2, 0, "bitmaps" },         { 2, 1, "raw external data" },
};

static size_t put_extension(uint8_t *c, size_t at, uint32_t type, const void *data, uint32_t len)
{
    st_be32(c + at, type);
    st_be32(c + at + 4, len);
    memcpy(c + at + 8, data, len);
    return at + 8 + ((len + 7u) & ~7u);
}

/* make_header - the first cluster: header, extensions, the backing file's name. */
static bool make_header(uint8_t *c, const Qcow2Options *o, Error **errp)
{
    uint8_t names[ARRAY_SIZE(features) * 48] = { 0 };
    size_t at = o->version >= 3 ? QH_V3_LENGTH : QH_V2_LENGTH;
    unsigned bits = (unsigned)__builtin_ctz(o->cluster_size);

    st_be32(c, QCOW2_MAGIC);
    st_be32(c + QH_VERSION, o->version);
    st_be32(c + QH_CLUSTER_BITS, bits);
    st_be64(c + QH_REFTABLE_OFFSET, o->cluster_size);
    st_be32(c + QH_REFTABLE_CLUSTERS, 1);
    if (o->version >= 3) {
        st_be64(c + QH_INCOMPATIBLE, (o->compression != 0 ? INCOMPAT_COMPRESSION : 0) |
                                         (o->data_file != NULL ? INCOMPAT_DATA_FILE : 0) |
                                         (o->extended_l2 ? INCOMPAT_EXTENDED_L2 : 0));
        st_be64(c + QH_AUTOCLEAR, o->data_raw ? AUTOCLEAR_RAW_DATA : 0);
        st_be64(c + QH_COMPATIBLE, o->lazy_refcounts ? COMPAT_LAZY_REFCOUNTS : 0);
        st_be32(c + QH_REFCOUNT_ORDER, (uint32_t)__builtin_ctz(o->refcount_bits));
        st_be32(c + QH_LENGTH, QH_V3_LENGTH);
        c[QH_COMPRESSION] = (uint8_t)o->compression;
    }
    if (o->backing_format != NULL) {
        at = put_extension(c, at, QEXT_BACKING_FORMAT, o->backing_format, (uint32_t)strlen(o->backing_format));
    }
    if (o->data_file != NULL) {
        size_t len = strlen(o->data_file);

        if (len > 1023 || at + len + 24 > o->cluster_size) {
            error_set(errp, "the data file's name is too long for clusters of %u bytes", o->cluster_size);
            return false;
        }
        at = put_extension(c, at, QEXT_DATA_FILE, o->data_file, (uint32_t)len);
    }
    if (o->version >= 3 && o->cluster_size - at > sizeof(names) + 64) {
        for (size_t n = 0; n < ARRAY_SIZE(features); n++) {
            names[48 * n] = features[n].type;
            names[48 * n + 1] = features[n].bit;
            memcpy(names + 48 * n + 2, features[n].name, strlen(features[n].name));
        }
        at = put_extension(c, at, QEXT_FEATURE_NAMES, names, sizeof(names));
    }
    at += 8; /* the end of the extensions */
    if (o->backing_file != NULL) {
        size_t len = strlen(o->backing_file);

        if (len > 1023 || at + len > o->cluster_size) {
            error_set(errp, "the backing file's name is too long for clusters of %u bytes", o->cluster_size);
            return false;
        }
        memcpy(c + at, o->backing_file, len);
        st_be64(c + QH_BACKING_OFFSET, at);
        st_be32(c + QH_BACKING_SIZE, (uint32_t)len);
    }
    return true;
}

/* write_smallest - an image of no size: header, refcount table, one refcount block. */
static bool write_smallest(HostFile *f, const Qcow2Options *o, Error **errp)
{
    uint8_t *c = xnewn(uint8_t, 3ull * o->cluster_size), *block = c + 2ull * o->cluster_size;
    unsigned bits = o->version >= 3 ? o->refcount_bits : 16;
    bool ok = make_header(c, o, errp);
    int r;

    st_be64(c + o->cluster_size, 2ull * o->cluster_size);
    for (unsigned n = 0; n < 3; n++) { /* counts of 1 for these three */
        if (bits >= 8) {
            block[(n + 1) * bits / 8 - 1] = 1;
        } else {
            block[n * bits / 8] |= (uint8_t)(1u << n * bits % 8);
        }
    }
    r = ok ? host_write(f, 0, c, 3ull * o->cluster_size) : 0;
    if (r != 0) {
        error_set_errno(errp, -r, "cannot write");
    }
    free(c);
    return ok && r == 0;
}

/* fill - the clusters of [@from, end), which were placed just now, on the host. Those that had been given back before hold
 * anything: they are among the first @used bytes of the file. */
static int fill(BlockImage *img, uint64_t from, unsigned how, uint64_t used)
{
    Qcow2 *q = img->priv;
    uint8_t *zeros = try_newn(uint8_t, q->cluster_size);
    int r = zeros == NULL ? -ENOMEM : 0;

    for (uint64_t at = from; r == 0 && at < img->size; at += q->cluster_size) {
        uint64_t len = MIN(q->cluster_size, img->size - at), offset;
        QEntry e;

        r = l2_find(q, at, &e);
        if (r != 0 || !qcow2_has_place(q, e)) {
            continue;
        }
        offset = qcow2_place(q, e, at);
        len = q->data_file != NULL ? len : q->cluster_size;
        if (how == QCOW2_PREALLOC_FULL || (q->data_file == NULL && offset < used)) {
            r = host_write(q->data, offset, zeros, len);
        } else if (how == QCOW2_PREALLOC_FALLOC) {
            r = host_allocate(q->data, offset, len);
        }
    }
    free(zeros);
    return r;
}

int qcow2_preallocate(BlockImage *img, uint64_t from, unsigned how)
{
    Qcow2 *q = img->priv;
    uint64_t used;
    int r;

    if (q->extended && img->backing != NULL) {
        return -ENOTSUP; /* what is behind would show through */
    }
    from = (from + q->cluster_size - 1) & ~(uint64_t)(q->cluster_size - 1);
    pthread_mutex_lock(&q->lock);
    used = q->end << q->cluster_bits;
    r = qcow2_place_all(q, from, img->size);
    r = r == 0 ? fill(img, from, how, used) : r;
    r = r == 0 ? qcow2_flush_locked(q, true) : r;
    r = r == 0 ? host_truncate(&img->host, q->end << q->cluster_bits) : r;
    q->touched = q->end << q->cluster_bits;
    pthread_mutex_unlock(&q->lock);
    return r;
}

/* make_data_file - empty. */
static bool make_data_file(const char *name, Error **errp)
{
    int fd = image_create_file(name, errp);

    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

/* name_backing - the first cluster anew, with the backing file's name; what has changed since is kept. */
static bool name_backing(HostFile *f, const Qcow2Options *o, Error **errp)
{
    uint8_t *c = xnewn(uint8_t, o->cluster_size), old[QH_V2_LENGTH];
    bool ok = make_header(c, o, errp);
    int r = ok ? host_read(f, 0, old, sizeof(old)) : 0;

    memcpy(c + QH_SIZE, old + QH_SIZE, QH_V2_LENGTH - QH_SIZE);
    r = ok && r == 0 ? host_write(f, 0, c, o->cluster_size) : r;
    r = ok && r == 0 ? host_flush(f) : r;
    if (r != 0) {
        error_set_errno(errp, -r, "cannot write");
    }
    free(c);
    return ok && r == 0;
}

bool qcow2_create(const char *path, const Qcow2Options *o, Error **errp)
{
    int fd = image_create_file(path, errp);
    Qcow2Options bare = *o;
    BlockImage *img = NULL;
    Error *err = NULL;
    HostFile file;
    int r;

    if (fd < 0) {
        return false;
    }
    if (o->data_file != NULL && !make_data_file(o->data_file, errp)) {
        close(fd);
        unlink(path);
        return false;
    }
    r = host_file_init(&file, fd, false);
    bare.backing_file = bare.backing_format = NULL; /* which need not be there yet */
    if (write_smallest(&file, &bare, &err)) {
        img = image_open_with(path, "qcow2", IMAGE_NO_LOCK, BLK_UNSAFE, &err);
    }
    if (img != NULL) {
        r = image_truncate(img, o->size);
        r = r == 0 && o->preallocation != QCOW2_PREALLOC_OFF ? qcow2_preallocate(img, 0, o->preallocation) : r;
        img->cache = BLK_WRITEBACK;
        r = r == 0 ? image_flush(img) : r;
        image_unref(img);
    }
    if (r != 0) {
        error_set_errno(&err, -r, "cannot make the image");
    }
    if (err == NULL && o->backing_file != NULL) {
        name_backing(&file, o, &err);
    }
    host_file_fini(&file);
    if (err != NULL) {
        error_prepend(&err, "%s: ", path);
        error_move(errp, err);
        unlink(path);
        return false;
    }
    return true;
}
