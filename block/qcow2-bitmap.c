/*
 * qcow2: persistent dirty bitmaps. A bitmap has a bit for each 1 << granularity_bits bytes of the guest's disk, set where
 * something was written since the bitmap was made or cleared. One with the flag "auto" is kept up by whoever writes.
 *
 * Source: QEMU's specification of the format, "Bitmaps extension", "Bitmaps" and what is below it.
 *
 * header extension -> directory -> entry: name, granularity, flags, table -> entries: a cluster of bits, or all 0 or 1
 *
 * While an image is open for writing, its "auto" bitmaps are in memory and marked as in use in the file; at the end they go
 * to new clusters, then the header leads to a new directory, then the old clusters are given up. After a crash a bitmap
 * in use is inconsistent: it is good for nothing but to be removed.
 */
#include "block/qcow2-bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include "base/error.h"

/* "Bitmap directory entry": offsets of its fields */
enum { BD_TABLE = 0, BD_TABLE_SIZE = 8, BD_FLAGS = 12, BD_TYPE = 16, BD_GRANULARITY = 17, BD_NAME_SIZE = 18,
       BD_EXTRA_SIZE = 20, BD_NAME = 24 };
enum { DIRECTORY_MAX = 64 << 20 }; /* bytes */

/* "Bitmap table entry" */
#define BT_OFFSET 0x00fffffffffffe00ull
#define BT_ONES 1ull

static uint64_t bits_of(const Qcow2Bitmap *b, uint64_t size)
{
    return (size >> b->granularity_bits) + ((size & ((1ull << b->granularity_bits) - 1)) != 0);
}

uint64_t qcow2_bitmap_bytes(const Qcow2Bitmap *b, uint64_t size)
{
    return (bits_of(b, size) + 7) / 8;
}

static uint64_t entry_bytes(size_t name)
{
    return (BD_NAME + name + 7) & ~7ull;
}

static void forget(Qcow2Bitmap *b)
{
    free(b->name);
    free(b->bits);
    *b = (Qcow2Bitmap){ 0 };
}

void qcow2_bitmaps_free(Qcow2 *q)
{
    for (unsigned n = 0; n < q->bitmap_count; n++) {
        forget(&q->bitmaps[n]);
    }
    free(q->bitmaps);
    free(q->bitmaps_gone.cluster);
    q->bitmaps = NULL;
    q->bitmap_count = 0;
}

Qcow2Bitmap *qcow2_bitmap_find(const Qcow2 *q, const char *name)
{
    for (unsigned n = 0; n < q->bitmap_count; n++) {
        if (strcmp(q->bitmaps[n].name, name) == 0) {
            return &q->bitmaps[n];
        }
    }
    return NULL;
}

/* ---- from the file ---- */

/* One entry of the directory, with @left bytes from @e on. NULL: it is as it should be; else what is wrong. */
static const char *read_entry(Qcow2 *q, const uint8_t *e, uint64_t left, Qcow2Bitmap *b)
{
    uint64_t name = left >= BD_NAME ? ld_be16(e + BD_NAME_SIZE) : 0;

    if (left < BD_NAME || name == 0 || name > BITMAP_NAME_MAX || entry_bytes(name) > left) {
        return "an entry of its bitmap directory does not make sense";
    }
    if (ld_be32(e + BD_EXTRA_SIZE) != 0 || e[BD_TYPE] != 1) {
        return "it has bitmaps of an unknown kind";
    }
    *b = (Qcow2Bitmap){ .table_offset = ld_be64(e + BD_TABLE), .table_size = ld_be32(e + BD_TABLE_SIZE),
                        .flags = ld_be32(e + BD_FLAGS), .granularity_bits = e[BD_GRANULARITY] };
    if (b->granularity_bits < GRANULARITY_BITS_MIN || b->granularity_bits > GRANULARITY_BITS_MAX || b->table_offset % q->cluster_size != 0 ||
        b->table_offset == 0 || b->table_offset > 1ull << 60 || b->table_size > BITMAP_TABLE_MAX ||
        (b->flags & ~(BITMAP_IN_USE | BITMAP_AUTO))) {
        return "a bitmap of it does not make sense";
    }
    if (!(b->flags & BITMAP_IN_USE) && (qcow2_bitmap_bytes(b, q->img->size) > BITMAP_BYTES_MAX ||
        b->table_size != qcow2_clusters(q, qcow2_bitmap_bytes(b, q->img->size)))) {
        return "a bitmap of it is not of the disk's size";
    }
    b->name = xstrndup((const char *)e + BD_NAME, name);
    return NULL;
}

bool qcow2_bitmaps_read(Qcow2 *q, const uint8_t *ext, uint32_t len, Error **errp)
{
    uint32_t count = len == 24 ? ld_be32(ext) : 0;
    uint64_t bytes = len == 24 ? ld_be64(ext + 8) : 0, at = 0;
    const char *why = "its header extension of bitmaps does not make sense";
    uint8_t *dir = NULL;
    int r = 0;

    q->directory = len == 24 ? ld_be64(ext + 16) : 0;
    q->directory_bytes = bytes;
    if (count != 0 && count <= BITMAPS_MAX && bytes <= DIRECTORY_MAX && q->directory % q->cluster_size == 0 &&
        q->directory != 0 && q->directory < 1ull << 60) {
        dir = try_newn(uint8_t, bytes);
        q->bitmaps = try_newn(Qcow2Bitmap, count);
        r = dir == NULL || q->bitmaps == NULL ? -ENOMEM : host_read(&q->img->host, q->directory, dir, bytes);
        why = NULL;
    }
    while (r == 0 && why == NULL && q->bitmap_count < count) {
        Qcow2Bitmap *b = &q->bitmaps[q->bitmap_count];

        why = read_entry(q, dir + at, bytes - at, b);
        if (why == NULL) {
            b->entry = at;
            at += entry_bytes(ld_be16(dir + at + BD_NAME_SIZE)); /* the name may have a NUL in it */
            why = qcow2_bitmap_find(q, b->name) != NULL ? "two of its bitmaps have one name" : NULL;
            q->bitmap_count++;
        }
    }
    free(dir);
    if (r != 0) {
        error_set_errno(errp, -r, "Could not read the bitmaps of '%s'", q->img->file);
    } else if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", q->img->file, why);
    }
    return r == 0 && why == NULL;
}

/* The table of @b, in host order. */
static int read_table(const Qcow2 *q, const Qcow2Bitmap *b, uint64_t **table)
{
    uint64_t *t = try_newn(uint64_t, MAX(b->table_size, 1u));
    int r = t == NULL ? -ENOMEM : host_read(&q->img->host, b->table_offset, t, b->table_size * 8ull);

    for (uint32_t n = 0; r == 0 && n < b->table_size; n++) {
        t[n] = __builtin_bswap64(t[n]);
        if ((t[n] & ~(BT_OFFSET | BT_ONES)) || ((t[n] & BT_OFFSET) && (t[n] & (BT_ONES | (q->cluster_size - 1))))) {
            r = -EINVAL;
        }
    }
    if (r != 0) {
        free(t);
        t = NULL;
    }
    *table = t;
    return r;
}

/* Bytes of memory for @b: whole words. */
static uint64_t room(const Qcow2Bitmap *b, uint64_t size)
{
    return (qcow2_bitmap_bytes(b, size) + 7) & ~7ull;
}

/* No bits behind the last. */
static void trim(Qcow2Bitmap *b, uint64_t size)
{
    uint64_t bits = bits_of(b, size);

    if (bits % 64 != 0) {
        b->bits[bits / 64] &= (1ull << bits % 64) - 1;
    }
}

int qcow2_bitmap_load(Qcow2 *q, Qcow2Bitmap *b)
{
    uint64_t bytes = qcow2_bitmap_bytes(b, q->img->size), *table = NULL;
    uint8_t *bits;
    int r = 0;

    if (b->bits != NULL) {
        return 0;
    }
    bits = try_newn(uint8_t, MAX(room(b, q->img->size), 8u));
    r = bits == NULL ? -ENOMEM : b->table_size != 0 ? read_table(q, b, &table) : 0;
    for (uint32_t n = 0; r == 0 && n < b->table_size; n++) {
        uint64_t at = (uint64_t)n << q->cluster_bits, here = MIN(q->cluster_size, bytes - at);

        if (table[n] & BT_OFFSET) {
            r = host_read(&q->img->host, table[n] & BT_OFFSET, bits + at, here);
        } else if (table[n] & BT_ONES) {
            memset(bits + at, 0xff, here);
        }
    }
    free(table);
    if (r != 0) {
        free(bits);
        return r;
    }
    b->bits = (uint64_t *)(void *)bits; /* bit n of the file's bytes is bit n of little-endian words */
    trim(b, q->img->size);
    return 0;
}

/* ---- while the image is written to ---- */

/* The flags of @b, in the file. */
static int put_flags(Qcow2 *q, const Qcow2Bitmap *b)
{
    uint8_t be[4];

    st_be32(be, b->flags);
    return host_write(&q->img->host, q->directory + b->entry + BD_FLAGS, be, sizeof(be));
}

int qcow2_bitmaps_begin(Qcow2 *q)
{
    bool any = false;
    int r = 0;

    for (unsigned n = 0; n < q->bitmap_count && r == 0; n++) {
        Qcow2Bitmap *b = &q->bitmaps[n];

        if ((b->flags & (BITMAP_AUTO | BITMAP_IN_USE)) == BITMAP_AUTO) {
            r = qcow2_bitmap_load(q, b);
            if (r == 0) {
                b->flags |= BITMAP_IN_USE;
                r = put_flags(q, b);
                b->kept_up = any = r == 0;
            }
        }
    }
    q->keeps_up = any;
    return r == 0 && any ? host_flush(&q->img->host) : r;
}

void qcow2_bitmap_mark(Qcow2Bitmap *b, uint64_t offset, uint64_t len)
{
    uint64_t first = offset >> b->granularity_bits, last = (offset + len - 1) >> b->granularity_bits;

    for (uint64_t n = first / 64; n <= last / 64; n++) {
        uint64_t set = ~0ull << (n == first / 64 ? first % 64 : 0) & ~0ull >> (n == last / 64 ? 63 - last % 64 : 0);

        if (set & ~__atomic_load_n(&b->bits[n], __ATOMIC_RELAXED)) {
            __atomic_fetch_or(&b->bits[n], set, __ATOMIC_RELAXED);
            __atomic_store_n(&b->changed, true, __ATOMIC_RELAXED);
        }
    }
}

void qcow2_bitmaps_mark_kept(Qcow2 *q, uint64_t offset, uint64_t len)
{
    for (unsigned n = 0; n < q->bitmap_count && len != 0; n++) {
        if (q->bitmaps[n].kept_up) {
            qcow2_bitmap_mark(&q->bitmaps[n], offset, len);
        }
    }
}

int qcow2_bitmaps_room(Qcow2 *q, uint64_t size)
{
    int r = 0;

    for (unsigned n = 0; n < q->bitmap_count && r == 0; n++) {
        Qcow2Bitmap *b = &q->bitmaps[n];
        uint64_t was = room(b, q->img->size), bytes = MAX(room(b, size), was), *bits = NULL;

        if (!b->kept_up && (b->flags & BITMAP_IN_USE)) {
            continue;
        }
        r = bytes > BITMAP_BYTES_MAX ? -EFBIG : qcow2_bitmap_load(q, b);
        if (r == 0) {
            bits = try_newn(uint64_t, MAX(bytes / 8, 1u));
            r = bits == NULL ? -ENOMEM : 0;
        }
        if (r == 0) {
            memcpy(bits, b->bits, was);
            free(b->bits);
            b->bits = bits;
        }
    }
    return r;
}

void qcow2_bitmaps_resized(Qcow2 *q)
{
    for (unsigned n = 0; n < q->bitmap_count; n++) {
        if (q->bitmaps[n].bits != NULL) {
            trim(&q->bitmaps[n], q->img->size);
            q->bitmaps[n].changed = true;
        }
    }
}

/* ---- to the file ---- */

/* Clusters to be given up when the header no longer leads to them. */
static int old_add(Qcow2 *q, QGone *o, uint64_t offset, uint64_t bytes)
{
    uint64_t n = qcow2_clusters(q, bytes);
    uint64_t *more = realloc(o->cluster, (o->count + n) * sizeof(uint64_t) + 1);

    if (more == NULL) {
        return -ENOMEM;
    }
    o->cluster = more;
    for (uint64_t k = 0; k < n; k++) {
        o->cluster[o->count++] = (offset >> q->cluster_bits) + k;
    }
    return 0;
}

/* What @b takes in the file. */
static int old_bitmap(Qcow2 *q, QGone *o, const Qcow2Bitmap *b)
{
    uint64_t *table = NULL;
    int r = b->table_size != 0 ? read_table(q, b, &table) : 0;

    if (r != 0 || b->table_size == 0) {
        return r == -EINVAL ? 0 : r; /* nobody knows what was meant: they leak */
    }
    for (uint32_t n = 0; r == 0 && n < b->table_size; n++) {
        r = table[n] & BT_OFFSET ? old_add(q, o, table[n] & BT_OFFSET, 1) : 0;
    }
    free(table);
    return r == 0 ? old_add(q, o, b->table_offset, b->table_size * 8ull) : r;
}

/* @bytes at @data to new clusters, the rest of the last one zeros. */
static int put_new(Qcow2 *q, const void *data, uint64_t bytes, uint64_t *offset)
{
    uint64_t whole = qcow2_clusters(q, MAX(bytes, 1u)) << q->cluster_bits;
    uint8_t *buf = try_newn(uint8_t, whole);
    int r = buf == NULL ? -ENOMEM : qcow2_alloc(q, whole >> q->cluster_bits, offset);

    if (r == 0) {
        memcpy(buf, data, bytes);
        q->touched = MAX(q->touched, *offset + whole);
        r = host_write(&q->img->host, *offset, buf, whole);
    }
    free(buf);
    return r;
}

int qcow2_bitmap_remove(Qcow2 *q, Qcow2Bitmap *b)
{
    int r = old_bitmap(q, &q->bitmaps_gone, b);

    if (r == 0) {
        forget(b);
        *b = q->bitmaps[--q->bitmap_count];
        q->bitmaps_changed = true;
    }
    return r;
}

/* put_bitmap - the bits of @b, and its table. */
static int put_bitmap(Qcow2 *q, Qcow2Bitmap *b)
{
    uint64_t bytes = qcow2_bitmap_bytes(b, q->img->size), clusters = qcow2_clusters(q, bytes), at;
    uint8_t *table = try_newn(uint8_t, MAX(clusters * 8, 1u));
    int r = table == NULL ? -ENOMEM : 0;

    for (uint64_t n = 0; r == 0 && n < clusters; n++) {
        const uint8_t *data = (const uint8_t *)b->bits + (n << q->cluster_bits);
        uint64_t here = MIN(q->cluster_size, bytes - (n << q->cluster_bits));

        if (!mem_is_zero(data, here)) {
            r = put_new(q, data, here, &at);
            st_be64(table + 8 * n, at);
        }
    }
    r = r == 0 ? put_new(q, table, clusters * 8, &at) : r;
    if (r == 0) {
        b->table_offset = at;
        b->table_size = (uint32_t)clusters;
    }
    free(table);
    return r;
}

/* put_directory - a new one; the header leads to it then. */
static int put_directory(Qcow2 *q)
{
    uint8_t ext[24] = { 0 }, *dir;
    uint64_t bytes = 0, offset = 0;
    int r = 0;

    for (unsigned n = 0; n < q->bitmap_count; n++) {
        bytes += entry_bytes(strlen(q->bitmaps[n].name));
    }
    dir = try_newn(uint8_t, MAX(bytes, 1u));
    r = dir == NULL ? -ENOMEM : 0;
    for (uint64_t n = 0, at = 0; r == 0 && n < q->bitmap_count; n++) {
        Qcow2Bitmap *b = &q->bitmaps[n];
        size_t len = strlen(b->name);

        st_be64(dir + at + BD_TABLE, b->table_offset);
        st_be32(dir + at + BD_TABLE_SIZE, b->table_size);
        st_be32(dir + at + BD_FLAGS, b->flags);
        dir[at + BD_TYPE] = 1;
        dir[at + BD_GRANULARITY] = b->granularity_bits;
        st_be16(dir + at + BD_NAME_SIZE, (uint16_t)len);
        memcpy(dir + at + BD_NAME, b->name, len);
        b->entry = at;
        at += entry_bytes(len);
    }
    r = r == 0 && bytes != 0 ? put_new(q, dir, bytes, &offset) : r;
    free(dir);
    r = r == 0 ? qcow2_flush_locked(q, true) : r; /* the counts; data and all of the above */
    r = r == 0 ? host_flush(&q->img->host) : r;
    if (r != 0) {
        return r;
    }
    st_be32(ext, q->bitmap_count);
    st_be64(ext + 8, bytes);
    st_be64(ext + 16, offset);
    q->autoclear = (q->autoclear & ~(uint64_t)AUTOCLEAR_BITMAPS) | (q->bitmap_count != 0 ? AUTOCLEAR_BITMAPS : 0);
    r = qcow2_rewrite_header(q, QEXT_BITMAPS, ext, q->bitmap_count != 0 ? sizeof(ext) : 0, q->backing_file);
    if (r == 0) {
        q->directory = offset;
        q->directory_bytes = bytes;
    }
    return r;
}

/* store - what changed to new clusters. */
static int store(Qcow2 *q)
{
    QGone old = q->bitmaps_gone;
    int r = old_add(q, &old, q->directory, q->directory_bytes);

    q->bitmaps_gone = (QGone){ 0 };
    for (unsigned n = 0; n < q->bitmap_count && r == 0; n++) {
        Qcow2Bitmap *b = &q->bitmaps[n];

        b->flags &= ~(b->kept_up ? BITMAP_IN_USE : 0u);
        if (b->changed) {
            r = old_bitmap(q, &old, b);
            r = r == 0 ? put_bitmap(q, b) : r;
        }
    }
    r = r == 0 ? put_directory(q) : r;
    for (size_t n = 0; n < old.count && r == 0; n++) {
        qcow2_give_up(q, old.cluster[n]);
    }
    free(old.cluster);
    return r;
}

int qcow2_bitmaps_store(Qcow2 *q)
{
    bool changed = q->bitmaps_changed, used = false;
    int r = 0;

    for (unsigned n = 0; n < q->bitmap_count; n++) {
        changed |= q->bitmaps[n].changed;
    }
    if (changed) {
        r = store(q);
    }
    for (unsigned n = 0; n < q->bitmap_count && r == 0; n++) {
        Qcow2Bitmap *b = &q->bitmaps[n];

        if (!changed && b->kept_up && (b->flags & BITMAP_IN_USE)) {
            b->flags &= ~BITMAP_IN_USE;
            r = put_flags(q, b);
            used = true;
        }
        b->changed = b->kept_up = false;
    }
    q->bitmaps_changed = q->keeps_up = false;
    return r == 0 && used ? host_flush(&q->img->host) : r;
}

/* ---- for check ---- */

int qcow2_bitmaps_refer(Qcow2 *q, void (*refer)(void *opaque, uint64_t offset, uint64_t bytes, const char *what),
                        void *opaque)
{
    int r = 0;

    refer(opaque, q->directory, q->directory_bytes, "the bitmap directory");
    for (unsigned n = 0; n < q->bitmap_count && r == 0; n++) {
        const Qcow2Bitmap *b = &q->bitmaps[n];
        uint64_t *table;

        refer(opaque, b->table_offset, b->table_size * 8ull, "a bitmap's table");
        r = read_table(q, b, &table);
        for (uint32_t k = 0; r == 0 && k < b->table_size; k++) {
            refer(opaque, table[k] & BT_OFFSET, table[k] & BT_OFFSET ? q->cluster_size : 0, "a bitmap");
        }
        free(table);
    }
    return r;
}
