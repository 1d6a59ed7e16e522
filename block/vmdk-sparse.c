/*
 * VMDK's sparse extents: a header, a directory of tables of grains, grains; the directory and its tables twice mostly.
 * Source: "Virtual Disk Format 5.0", "Hosted Sparse Extents" and "Compressed Grains".
 *
 * New grains go to the end of the file; the tables are written at a flush, when what they lead to is on stable storage.
 * A crash before that loses the new grains, nothing else. The copy of a table is written before the table, which is the
 * one that is read; where they differ when an image is opened, a crash came between, and the copy is written again.
 *
 * A compressed grain is written whole, to a new place each time.
 */
#include "block/vmdk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include "base/mem.h"

enum { PER_TABLE_MAX = 512, MARKER = 12 };
#define TABLES_MAX (4u << 20)
#define GRAIN_MAX (2u << 20)
#define GD_AT_END UINT64_MAX
#define IS_ZEROS 1u /* an entry that says so, with MF_ZEROED; 0: no grain */

/* ---- opening ---- */

static const char *check_header(const uint8_t *h)
{
    uint32_t version = ld_le32(h + MH_VERSION), flags = ld_le32(h + MH_FLAGS), per_table = ld_le32(h + MH_PER_TABLE);
    uint64_t grain = ld_le64(h + MH_GRAIN);

    if (memcmp(h, VMDK_MAGIC, 4) != 0) {
        return "a sparse extent has no header";
    }
    if (version < 1 || version > 3) {
        return "unsupported VMDK version";
    }
    if ((flags & MF_NEWLINES) && memcmp(h + MH_NEWLINES, "\n \r\n", 4) != 0) {
        return "it was copied as if it were text: its bytes have changed";
    }
    if (grain < 2 || grain > GRAIN_MAX / VMDK_SECTOR || (grain & (grain - 1)) != 0 || per_table == 0 || per_table > PER_TABLE_MAX) {
        return "its grains do not make sense";
    }
    if ((flags & MF_COMPRESSED) && (ld_le16(h + MH_COMPRESS) != 1 || !(flags & MF_MARKERS))) {
        return "unsupported VMDK compression";
    }
    if (ld_le64(h + MH_CAPACITY) == 0 || ld_le64(h + MH_CAPACITY) > INT64_MAX / VMDK_SECTOR) {
        return "its size does not make sense";
    }
    return NULL;
}

/* read_dir - and that its tables are inside of the file. */
static const char *read_dir(const VmdkExtent *e, uint32_t *dir, uint64_t at, uint64_t file_size, bool write)
{
    uint64_t last = file_size / VMDK_SECTOR;
    int r;

    if (at >= last || e->tables * 4ull > file_size - at * VMDK_SECTOR) {
        return "its directory is not in the file";
    }
    r = host_read(e->host, at * VMDK_SECTOR, dir, e->tables * 4ull);
    if (r != 0) {
        return strerror(-r);
    }
    for (uint32_t n = 0; n < e->tables; n++) {
        if (dir[n] >= last) {
            return "a table of grains is not in the file";
        }
        if (dir[n] == 0 && write) {
            return "some of its tables are missing, so it can only be read";
        }
    }
    return NULL;
}

static const char *open_tables(VmdkExtent *e, const uint8_t *h, uint64_t file_size, bool write)
{
    uint64_t sectors = ld_le64(h + MH_CAPACITY), per_table = (uint64_t)e->per_table * (e->grain / VMDK_SECTOR);
    uint64_t tables = (sectors + per_table - 1) / per_table, overhead = ld_le64(h + MH_OVERHEAD);
    const char *why;

    if (tables > TABLES_MAX) {
        return "it has too many tables of grains";
    }
    e->tables = (uint32_t)tables;
    e->dir = try_newn(uint32_t, tables);
    e->table = try_newn(VmdkTable, tables);
    if (e->dir == NULL || e->table == NULL) {
        return strerror(ENOMEM);
    }
    why = read_dir(e, e->dir, ld_le64(h + MH_GD), file_size, write);
    if (why == NULL && write && (ld_le32(h + MH_FLAGS) & MF_REDUNDANT) && ld_le64(h + MH_RGD) != 0) {
        e->spare = try_newn(uint32_t, tables);
        why = e->spare == NULL ? strerror(ENOMEM) : read_dir(e, e->spare, ld_le64(h + MH_RGD), file_size, write);
    }
    e->next = MAX(file_size, MIN(overhead, UINT32_MAX) * VMDK_SECTOR);
    e->next = (e->next + e->grain - 1) & ~(uint64_t)(e->grain - 1);
    return why;
}

const char *vmdk_sparse_open(VmdkExtent *e, uint64_t file_size, bool write)
{
    uint8_t h[MH_BYTES];
    int r = host_read(e->host, 0, h, sizeof(h));
    const char *why = r != 0 ? strerror(-r) : check_header(h);

    if (why == NULL && ld_le64(h + MH_GD) == GD_AT_END) { /* "Footer": written when all was known */
        r = file_size < 2 * MH_BYTES ? -EIO : host_read(e->host, file_size - 2 * MH_BYTES, h, sizeof(h));
        why = r != 0 ? strerror(-r) : write ? "a streamOptimized image with its directory at the end can only be read" : check_header(h);
    }
    if (why != NULL) {
        return why;
    }
    if (e->size > ld_le64(h + MH_CAPACITY) * VMDK_SECTOR) {
        return "an extent that is smaller than the descriptor says";
    }
    e->size = e->size != 0 ? e->size : ld_le64(h + MH_CAPACITY) * VMDK_SECTOR;
    e->grain = (uint32_t)ld_le64(h + MH_GRAIN) * VMDK_SECTOR;
    e->per_table = ld_le32(h + MH_PER_TABLE);
    e->compressed = ld_le32(h + MH_FLAGS) & MF_COMPRESSED;
    e->zeroed = ld_le32(h + MH_FLAGS) & MF_ZEROED;
    pthread_mutex_init(&e->lock, NULL);
    why = open_tables(e, h, file_size, write);
    if (why != NULL) {
        vmdk_sparse_fini(e);
    }
    return why;
}

void vmdk_sparse_fini(VmdkExtent *e)
{
    if (e->grain != 0) {
        for (uint32_t n = 0; n < e->tables && e->table != NULL; n++) {
            free(e->table[n].entry);
        }
        free(e->table);
        free(e->dir);
        free(e->spare);
        e->table = NULL;
        e->dir = e->spare = NULL;
        e->grain = 0;
        pthread_mutex_destroy(&e->lock);
    }
}

/* ---- tables; lock held ---- */

static void dirtied(VmdkExtent *e, VmdkTable *t, uint32_t from, uint32_t to)
{
    t->dirty_from = t->dirty_to == 0 ? from : MIN(t->dirty_from, from);
    t->dirty_to = MAX(t->dirty_to, to);
    e->dirty = true;
}

/* load - table @n; -errno. */
static int load(VmdkExtent *e, uint32_t n)
{
    VmdkTable *t = &e->table[n];
    size_t bytes = e->per_table * sizeof(uint32_t);
    uint32_t *entry = try_newn(uint32_t, e->per_table);
    int r = entry == NULL ? -ENOMEM : 0;

    if (r == 0 && e->dir[n] != 0) {
        r = host_read(e->host, (uint64_t)e->dir[n] * VMDK_SECTOR, entry, bytes);
    }
    if (r == 0 && e->spare != NULL) {
        uint32_t copy[PER_TABLE_MAX];

        r = host_read(e->host, (uint64_t)e->spare[n] * VMDK_SECTOR, copy, bytes);
        if (r == 0 && memcmp(copy, entry, bytes) != 0) {
            dirtied(e, t, 0, e->per_table);
        }
    }
    if (r != 0) {
        free(entry);
        return r;
    }
    t->entry = entry;
    return 0;
}

/* lookup - the entry of the grain at @offset. */
static int lookup(VmdkExtent *e, uint64_t offset, uint32_t **entry)
{
    uint64_t grain = offset / e->grain;
    uint32_t n = (uint32_t)(grain / e->per_table);
    int r = e->table[n].entry == NULL ? load(e, n) : 0;

    if (r == 0) {
        *entry = &e->table[n].entry[grain % e->per_table];
        if (**entry > IS_ZEROS || (**entry == IS_ZEROS && !e->zeroed)) {
            r = (uint64_t)**entry * VMDK_SECTOR < e->next ? 0 : -EIO; /* behind the end of the file */
        }
    }
    return r;
}

static void set(VmdkExtent *e, uint64_t offset, uint32_t value)
{
    uint64_t grain = offset / e->grain;
    VmdkTable *t = &e->table[grain / e->per_table];
    uint32_t k = (uint32_t)(grain % e->per_table);

    t->entry[k] = value;
    dirtied(e, t, k, k + 1);
}

static bool has_grain(const VmdkExtent *e, uint32_t entry)
{
    return entry > IS_ZEROS || (entry == IS_ZEROS && !e->zeroed);
}

/* find - the entry as it is now, without the lock. */
static int find(VmdkExtent *e, uint64_t offset, uint32_t *value)
{
    uint32_t *entry;
    int r;

    pthread_mutex_lock(&e->lock);
    r = lookup(e, offset, &entry);
    *value = r == 0 ? *entry : 0;
    pthread_mutex_unlock(&e->lock);
    return r;
}

/* write_table - what has changed in table @n, to the tables whose sectors are in @dir. */
static int write_table(VmdkExtent *e, uint32_t n, const uint32_t *dir)
{
    const VmdkTable *t = &e->table[n];
    uint32_t from = t->dirty_from & ~127u, to = MIN((t->dirty_to + 127) & ~127u, e->per_table);

    return host_write(e->host, (uint64_t)dir[n] * VMDK_SECTOR + from * 4ull, t->entry + from, (to - from) * 4ull);
}

int vmdk_sparse_flush(VmdkExtent *e, bool sync)
{
    int r = 0;

    pthread_mutex_lock(&e->lock);
    if (e->dirty) {
        r = sync ? host_flush(e->host) : 0;
        for (uint32_t n = 0; n < e->tables && r == 0; n++) {
            if (e->table[n].dirty_to != 0) {
                r = e->spare != NULL ? write_table(e, n, e->spare) : 0;
                r = r == 0 ? write_table(e, n, e->dir) : r;
            }
        }
        r = r == 0 && sync ? host_flush(e->host) : r;
        for (uint32_t n = 0; n < e->tables && r == 0; n++) {
            e->table[n].dirty_to = 0;
        }
        e->dirty = r != 0;
    }
    pthread_mutex_unlock(&e->lock);
    return r;
}

/* ---- reading ---- */

/* read_behind - what shows through at @offset of the extent. */
static int read_behind(const BlockImage *img, const VmdkExtent *e, uint64_t offset, uint8_t *buf, uint32_t len)
{
    BlockImage *back = img->backing;
    uint64_t at = e->start + offset;
    uint32_t n = back == NULL || at >= back->size ? 0 : (uint32_t)MIN(len, back->size - at);

    memset(buf + n, 0, len - n);
    return n > 0 ? image_read(back, at, buf, n) : 0;
}

/* read_packed - the compressed grain at @entry; @out has room for a grain. */
static int read_packed(const VmdkExtent *e, uint32_t entry, uint8_t *out)
{
    uint64_t at = (uint64_t)entry * VMDK_SECTOR;
    uLongf len = e->grain;
    uint8_t marker[MARKER], *in;
    uint32_t size;
    int r = host_read(e->host, at, marker, sizeof(marker));

    size = ld_le32(marker + 8);
    if (r != 0 || size == 0 || size > 2 * e->grain + VMDK_SECTOR) {
        return r != 0 ? r : -EIO;
    }
    in = try_newn(uint8_t, size);
    r = in == NULL ? -ENOMEM : host_read(e->host, at + MARKER, in, size);
    if (r == 0) {
        r = uncompress(out, &len, in, size) == Z_OK ? 0 : -EIO;
        memset(out + (r == 0 ? len : 0), 0, e->grain - (r == 0 ? len : 0));
    }
    free(in);
    return r;
}

static int read_part_packed(const VmdkExtent *e, uint32_t entry, uint32_t in, uint8_t *buf, uint32_t len)
{
    uint8_t *whole = try_newn(uint8_t, e->grain);
    int r = whole == NULL ? -ENOMEM : read_packed(e, entry, whole);

    if (r == 0) {
        memcpy(buf, whole + in, len);
    }
    free(whole);
    return r;
}

int vmdk_sparse_read(BlockImage *img, VmdkExtent *e, uint64_t offset, uint8_t *buf, uint32_t len)
{
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t in = (uint32_t)(offset & (e->grain - 1)), n = MIN(len, e->grain - in), entry;

        r = find(e, offset, &entry);
        if (r == 0 && !has_grain(e, entry)) {
            if (entry == IS_ZEROS) {
                memset(buf, 0, n);
            } else {
                r = read_behind(img, e, offset, buf, n);
            }
        } else if (r == 0 && e->compressed) {
            r = read_part_packed(e, entry, in, buf, n);
        } else if (r == 0) {
            r = host_read(e->host, (uint64_t)entry * VMDK_SECTOR + in, buf, n);
        }
        offset += n;
        buf += n;
        len -= n;
    }
    return r;
}

/* ---- writing ---- */

/* grain_was - what the grain that has @offset holds so far; lock held. */
static int grain_was(const BlockImage *img, const VmdkExtent *e, uint32_t entry, uint64_t offset, uint8_t *out)
{
    if (has_grain(e, entry)) {
        return read_packed(e, entry, out); /* others are written in their place */
    }
    memset(out, 0, e->grain);
    offset &= ~(uint64_t)(e->grain - 1);
    return entry == IS_ZEROS ? 0 : read_behind(img, e, offset, out, (uint32_t)MIN(e->grain, e->size - offset));
}

/* put_grain - a whole one, compressed, at the end of the file. *bytes: how much of the file it takes. */
static int put_packed(VmdkExtent *e, uint64_t offset, const uint8_t *grain, uint64_t *bytes)
{
    uLongf len = compressBound(e->grain);
    uint8_t *out = try_newn(uint8_t, MARKER + len + VMDK_SECTOR);
    int r = out == NULL ? -ENOMEM : compress2(out + MARKER, &len, grain, e->grain, Z_DEFAULT_COMPRESSION) == Z_OK ? 0 : -EIO;

    if (r == 0) {
        st_le64(out, (offset & ~(uint64_t)(e->grain - 1)) / VMDK_SECTOR);
        st_le32(out + 8, (uint32_t)len);
        *bytes = (MARKER + len + VMDK_SECTOR - 1) & ~(uint64_t)(VMDK_SECTOR - 1);
        r = host_write(e->host, e->next, out, *bytes);
    }
    free(out);
    return r;
}

/* put_plain - a hole for the grain, where a write that failed may have left something, and @len bytes in it. */
static int put_plain(VmdkExtent *e, uint32_t in, const uint8_t *buf, uint32_t len)
{
    int r = host_truncate(e->host, e->next);

    r = r == 0 ? host_truncate(e->host, e->next + e->grain) : r;
    return r == 0 ? host_write(e->host, e->next + in, buf, len) : r;
}

/* write_new - a place for the grain that has @offset, with @buf (NULL: zeros) in it; lock held. */
static int write_new(const BlockImage *img, VmdkExtent *e, uint32_t entry, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    uint32_t in = (uint32_t)(offset & (e->grain - 1));
    bool whole = e->compressed || buf == NULL || (img->backing != NULL && entry == 0);
    uint8_t *grain = whole ? try_newn(uint8_t, e->grain) : NULL;
    uint64_t bytes = e->grain;
    int r = whole && grain == NULL ? -ENOMEM : e->next / VMDK_SECTOR > UINT32_MAX ? -EFBIG : 0;

    if (r == 0 && whole && len < e->grain) {
        r = grain_was(img, e, entry, offset, grain);
    }
    if (r == 0 && whole && buf != NULL) {
        memcpy(grain + in, buf, len);
    } else if (r == 0 && whole) {
        memset(grain + in, 0, len);
    }
    if (r == 0) {
        r = e->compressed ? put_packed(e, offset, grain, &bytes)
            : whole       ? put_plain(e, 0, grain, e->grain)
                          : put_plain(e, in, buf, len);
    }
    if (r == 0) {
        set(e, offset, (uint32_t)(e->next / VMDK_SECTOR));
        e->next += bytes;
    }
    free(grain);
    return r;
}

/* zeros_already - nothing is there, and nothing shows through. */
static bool zeros_already(const BlockImage *img, const VmdkExtent *e, uint32_t entry, uint64_t offset)
{
    return entry == IS_ZEROS || img->backing == NULL || e->start + offset >= img->backing->size;
}

/* write_grain - in the grain that has @offset. */
static int write_grain(BlockImage *img, VmdkExtent *e, uint64_t offset, const uint8_t *buf, uint32_t len, bool unmap)
{
    uint32_t in = (uint32_t)(offset & (e->grain - 1)), *entry, was = 0;
    bool there = false;
    int r;

    pthread_mutex_lock(&e->lock);
    r = lookup(e, offset, &entry);
    if (r == 0) {
        was = *entry;
        there = has_grain(e, was) && !e->compressed;
    }
    if (r == 0 && !there) {
        if (buf == NULL && !has_grain(e, was) && zeros_already(img, e, was, offset)) {
            r = 0;
        } else if (buf == NULL && e->zeroed && !e->compressed && in == 0 && (len == e->grain || offset + len == e->size)) {
            set(e, offset, IS_ZEROS);
        } else {
            r = write_new(img, e, was, offset, buf, len);
        }
    }
    pthread_mutex_unlock(&e->lock);
    if (r == 0 && there) {
        uint64_t at = (uint64_t)was * VMDK_SECTOR + in;

        r = buf != NULL ? host_write(e->host, at, buf, len) : host_zero(e->host, at, len, unmap);
    }
    return r;
}

int vmdk_sparse_write(BlockImage *img, VmdkExtent *e, uint64_t offset, const uint8_t *buf, uint64_t len, bool unmap)
{
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t n = (uint32_t)MIN(len, e->grain - (offset & (e->grain - 1)));

        r = write_grain(img, e, offset, buf, n, unmap);
        offset += n;
        buf = buf != NULL ? buf + n : NULL;
        len -= n;
    }
    return r;
}

int vmdk_sparse_discard(VmdkExtent *e, uint64_t offset, uint64_t len)
{
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t in = (uint32_t)(offset & (e->grain - 1)), n = (uint32_t)MIN(len, e->grain - in), entry;

        r = find(e, offset, &entry);
        if (r == 0 && has_grain(e, entry) && !e->compressed) {
            r = host_zero(e->host, (uint64_t)entry * VMDK_SECTOR + in, n, true);
        }
        offset += n;
        len -= n;
    }
    return r;
}

/* ---- for the tools ---- */

int vmdk_sparse_status(BlockImage *img, VmdkExtent *e, uint64_t offset, uint64_t len, ImageRange *r)
{
    uint32_t in = (uint32_t)(offset & (e->grain - 1)), first, entry, last;
    uint64_t n = e->grain - in;
    int ret = find(e, offset, &first);

    for (last = first; ret == 0 && n < len; n += e->grain, last = entry) {
        ret = find(e, offset + n, &entry);
        if (ret != 0 || has_grain(e, first) != has_grain(e, entry) ||
            (!has_grain(e, first) ? entry != first : !e->compressed && entry != last + e->grain / VMDK_SECTOR)) {
            break;
        }
    }
    *r = (ImageRange){ .len = MIN(n, len) };
    if (ret != 0) {
        return ret;
    }
    if (!has_grain(e, first)) {
        r->flags = first == IS_ZEROS ? IMAGE_ZERO | IMAGE_ALLOCATED : img->backing == NULL ? IMAGE_ZERO : 0;
    } else if (e->compressed) {
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED;
    } else {
        r->offset = (uint64_t)first * VMDK_SECTOR + in;
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED | IMAGE_OFFSET;
    }
    return 0;
}

typedef struct Check {
    uint64_t *errors;
    void (*say)(void *opaque, const char *line);
    void *opaque;
} Check;

static void finding(Check *c, const VmdkExtent *e, uint64_t offset, const char *what)
{
    autofree char *line = xasprintf("ERROR: %s: the grain at %llu %s", e->file, (unsigned long long)offset, what);

    ++*c->errors;
    if (c->say != NULL) {
        c->say(c->opaque, line);
    }
}

int vmdk_sparse_check(VmdkExtent *e, uint64_t *errors, void (*say)(void *opaque, const char *line), void *opaque)
{
    Check c = { errors, say, opaque };
    uint64_t grains = e->next / e->grain + 1;
    uint8_t *seen = try_newn(uint8_t, grains / 8 + 1);
    int r = seen == NULL ? -ENOMEM : 0;

    for (uint64_t offset = 0; offset < e->size && r == 0; offset += e->grain) {
        uint32_t entry = 0;
        uint64_t at;

        r = find(e, offset, &entry);
        if (r == -EIO && e->table[offset / e->grain / e->per_table].entry != NULL) {
            finding(&c, e, offset, "is behind the end of the file");
            r = 0;
            continue;
        }
        if (r != 0 || !has_grain(e, entry) || e->compressed) {
            continue;
        }
        at = (uint64_t)entry * VMDK_SECTOR / e->grain;
        if (seen[at / 8] & BIT(at % 8)) {
            finding(&c, e, offset, "is another one's too");
        }
        seen[at / 8] |= (uint8_t)BIT(at % 8);
    }
    free(seen);
    return r;
}
