/*
 * Virtual PC's disk images (VHD; QEMU calls the format vpc), fixed and dynamic.
 *
 *   fixed:    the disk's bytes, the footer
 *   dynamic:  a copy of the footer, a header, a table of blocks, blocks (a map of sectors, then data), the footer
 *
 * Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0. All fields have their highest byte
 * first. A block that the table does not have reads as zeros. New blocks go to where the last footer was; the table and a
 * new footer are written at a flush, when what they lead to is on stable storage. A crash before that loses the new
 * blocks, nothing else: the footer's copy in front is what such an image is opened by.
 *
 * The map of sectors in front of a block says which of them were ever written. The others are zeros in the file too, as
 * whoever makes images writes them, so it is only written here (all ones). Not there: differencing disks, another size.
 */
#include "block/vpc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/host-file.h"
#include "block/image-lock.h"

enum { SECTOR = 512, FOOTER = 512, HEADER = 1024, BLOCK_DEFAULT = 2 << 20, BLOCK_MIN = 4096, BLOCK_MAX = 256 << 20 };
/* The footer's fields */
enum { F_FEATURES = 8, F_VERSION = 12, F_DATA = 16, F_TIME = 24, F_CREATOR = 28, F_CREATOR_VERSION = 32, F_HOST = 36,
       F_ORIGINAL = 40, F_SIZE = 48, F_CYLS = 56, F_HEADS = 58, F_SECS = 59, F_TYPE = 60, F_SUM = 64, F_UUID = 68 };
/* The header's */
enum { H_DATA = 8, H_TABLE = 16, H_VERSION = 24, H_ENTRIES = 28, H_BLOCK = 32, H_SUM = 36 };
enum { TYPE_FIXED = 2, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4 };
#define UNUSED 0xffffffffu
#define ENTRIES_MAX (1u << 22)
#define CHS_MAX (65535ull * 16 * 255)
#define SIZE_MAX_BYTES (2040ull << 30)
#define EPOCH 946684800 /* 2000-01-01, when its time begins */

typedef struct Vpc {
    bool fixed;
    uint8_t footer[FOOTER];
    uint32_t block, map_bytes; /* of a block; constant, like the next two */
    uint32_t entries;
    uint64_t table_at;
    pthread_mutex_t lock; /* for what follows; held over the writing of a new block */
    uint32_t *table;      /* sectors, host order */
    uint64_t next;        /* byte of the file where the next block goes, and the footer is */
    uint32_t dirty_from, dirty_to;
} Vpc;

/* ---- numbers ---- */

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}
static uint32_t get32(const uint8_t *p)
{
    return get16(p) << 16 | get16(p + 2);
}
static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}
static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}
static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)(v >> 32));
    put32(p + 4, (uint32_t)v);
}

/* checksum - "one's complement of the sum of all the bytes", its own field at @at left out. */
static uint32_t checksum(const uint8_t *p, size_t len, size_t at)
{
    uint32_t sum = 0;

    for (size_t n = 0; n < len; n++) {
        sum += n >= at && n < at + 4 ? 0 : p[n];
    }
    return ~sum;
}

/* ---- opening ---- */

static bool vpc_probe(const uint8_t *head, size_t len)
{
    return len >= FOOTER && memcmp(head, "conectix", 8) == 0;
}

static bool is_footer(const uint8_t *f)
{
    return memcmp(f, "conectix", 8) == 0 && get32(f + F_SUM) == checksum(f, FOOTER, F_SUM);
}

/* disk_size - Virtual PC itself goes by cylinders, heads and sectors, all others by the size. */
static uint64_t disk_size(const uint8_t *f)
{
    uint64_t sectors = (uint64_t)get16(f + F_CYLS) * f[F_HEADS] * f[F_SECS], size = get64(f + F_SIZE) & ~511ull;
    bool by_chs = memcmp(f + F_CREATOR, "vpc ", 4) == 0 || memcmp(f + F_CREATOR, "qemu", 4) == 0;

    return by_chs && sectors > 0 && sectors < CHS_MAX ? sectors * SECTOR : size;
}

/* wrong - what is with a dynamic image's header @h; NULL: it is well. */
static const char *wrong(const BlockImage *img, const Vpc *v, const uint8_t *h)
{
    uint64_t entries = get32(h + H_ENTRIES), block = get32(h + H_BLOCK), at = get64(h + H_TABLE);

    if (memcmp(h, "cxsparse", 8) != 0) {
        return "its header is missing";
    }
    if (block < BLOCK_MIN || block > BLOCK_MAX || (block & (block - 1)) != 0) {
        return "blocks of that size are not supported";
    }
    if (entries > ENTRIES_MAX || entries * block < disk_size(v->footer) || at % SECTOR != 0 || at < FOOTER ||
        at > img->file_size || entries * 4 > img->file_size - at) {
        return "its header does not make sense";
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* read_table - false: blocks that lie in each other, in the table, or outside of the file. */
static bool read_table(const BlockImage *img, Vpc *v)
{
    uint32_t *sorted = try_newn(uint32_t, MAX(v->entries, 1u));
    uint64_t whole = (uint64_t)v->map_bytes + v->block, end = MAX(v->table_at + v->entries * 4ull, FOOTER + HEADER);
    bool ok = sorted != NULL && host_read(&img->host, v->table_at, v->table, v->entries * 4ull) == 0;

    for (uint32_t n = 0; n < v->entries && ok; n++) {
        uint8_t be[4];

        memcpy(be, &v->table[n], 4);
        sorted[n] = v->table[n] = get32(be);
    }
    if (ok) {
        qsort(sorted, v->entries, sizeof(*sorted), compare);
    }
    for (uint32_t n = 0; n < v->entries && ok && sorted[n] != UNUSED; n++) {
        uint64_t at = (uint64_t)sorted[n] * SECTOR;

        ok = at >= end && at < img->file_size;
        end = at + whole;
    }
    free(sorted);
    v->next = (end + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
    return ok;
}

static bool open_dynamic(BlockImage *img, Vpc *v, Error **errp)
{
    uint8_t h[HEADER];
    int r = host_read(&img->host, get64(v->footer + F_DATA), h, sizeof(h));
    const char *why = r == 0 ? wrong(img, v, h) : strerror(-r);

    if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", img->file, why);
        return false;
    }
    v->block = get32(h + H_BLOCK);
    v->map_bytes = (v->block / SECTOR / 8 + SECTOR - 1) & ~(uint32_t)(SECTOR - 1);
    v->entries = get32(h + H_ENTRIES);
    v->table_at = get64(h + H_TABLE);
    v->table = try_newn(uint32_t, MAX(v->entries, 1u));
    if (v->table == NULL || !read_table(img, v)) {
        error_set(errp, "Could not open '%s': its table of blocks does not make sense", img->file);
        return false;
    }
    return true;
}

static void free_private(Vpc *v)
{
    pthread_mutex_destroy(&v->lock);
    free(v->table);
    free(v);
}

/* find_footer - of a dynamic image in front, of a fixed one at the end. */
static const char *find_footer(BlockImage *img, Vpc *v)
{
    uint64_t end = img->file_size;
    uint32_t type;

    if (end < FOOTER || host_read(&img->host, 0, v->footer, FOOTER) != 0) {
        return "Image not in VPC format";
    }
    if (!is_footer(v->footer) && (host_read(&img->host, end - FOOTER, v->footer, FOOTER) != 0 || !is_footer(v->footer))) {
        return "Image not in VPC format";
    }
    type = get32(v->footer + F_TYPE);
    v->fixed = type == TYPE_FIXED;
    if (type == TYPE_DIFFERENCING) {
        return "unsupported VPC image (it has a parent)";
    }
    if (type != TYPE_FIXED && type != TYPE_DYNAMIC) {
        return "unsupported VPC image (neither fixed nor dynamic)";
    }
    if (disk_size(v->footer) > SIZE_MAX_BYTES || (v->fixed && disk_size(v->footer) > end - FOOTER) ||
        (!v->fixed && get64(v->footer + F_DATA) > end)) {
        return "its footer does not make sense";
    }
    return NULL;
}

static bool vpc_open(BlockImage *img, Error **errp)
{
    Vpc *v = xnew(Vpc);
    const char *why;

    *v = (Vpc){ .dirty_from = UINT32_MAX };
    pthread_mutex_init(&v->lock, NULL);
    why = find_footer(img, v);
    if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", img->file, why);
    }
    if (why != NULL || (!v->fixed && !open_dynamic(img, v, errp))) {
        free_private(v);
        return false;
    }
    img->size = disk_size(v->footer);
    img->priv = v;
    return true;
}

uint32_t vpc_block(const BlockImage *img)
{
    return img->fmt == &vpc_format ? ((const Vpc *)img->priv)->block : 0;
}

/* ---- reading and writing ---- */

/* where - byte of the file that holds @offset of the disk; *n is cut to what lies in a row. UINT64_MAX: no block. */
static uint64_t where(Vpc *v, uint64_t offset, uint64_t *n)
{
    uint32_t sector;

    if (v->fixed) {
        return offset;
    }
    *n = MIN(*n, v->block - offset % v->block);
    pthread_mutex_lock(&v->lock);
    sector = v->table[offset / v->block];
    pthread_mutex_unlock(&v->lock);
    return sector == UNUSED ? UINT64_MAX : (uint64_t)sector * SECTOR + v->map_bytes + offset % v->block;
}

static int vpc_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    int r = 0;

    while (len > 0 && r == 0) {
        uint64_t n = len, at = where(img->priv, offset, &n);

        if (at == UINT64_MAX) {
            memset(buf, 0, n);
        } else {
            r = host_read(&img->host, at, buf, n);
        }
        offset += n;
        buf += n;
        len -= (uint32_t)n;
    }
    return r;
}

/* write_new - a block of its own for the first write to it; what was in the file at its place, the footer, is gone
 * first. Lock held. */
static int write_new(BlockImage *img, uint64_t offset, const uint8_t *buf, uint64_t n)
{
    Vpc *v = img->priv;
    uint32_t index = (uint32_t)(offset / v->block);
    uint64_t at = v->next, whole = (uint64_t)v->map_bytes + v->block;
    uint8_t *map = at / SECTOR < UNUSED ? try_newn(uint8_t, v->map_bytes) : NULL;
    int r;

    if (map == NULL) {
        return at / SECTOR < UNUSED ? -ENOMEM : -EFBIG;
    }
    memset(map, 0xff, v->map_bytes);
    r = host_truncate(&img->host, at);
    r = r == 0 ? host_truncate(&img->host, at + whole) : r; /* a hole */
    r = r == 0 ? host_write(&img->host, at, map, v->map_bytes) : r;
    r = r == 0 ? host_write(&img->host, at + v->map_bytes + offset % v->block, buf, n) : r;
    if (r == 0) {
        v->table[index] = (uint32_t)(at / SECTOR);
        v->next = at + whole;
        v->dirty_from = MIN(v->dirty_from, index);
        v->dirty_to = MAX(v->dirty_to, index + 1);
    }
    free(map);
    return r;
}

static int vpc_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    Vpc *v = img->priv;
    int r = 0;

    while (len > 0 && r == 0) {
        uint64_t n = len, at = where(v, offset, &n);

        if (at == UINT64_MAX) {
            pthread_mutex_lock(&v->lock);
            if (v->table[offset / v->block] == UNUSED) { /* nobody else was first */
                r = write_new(img, offset, buf, n);
                pthread_mutex_unlock(&v->lock);
            } else {
                pthread_mutex_unlock(&v->lock);
                continue;
            }
        } else {
            r = host_write(&img->host, at, buf, n);
        }
        offset += n;
        buf += n;
        len -= (uint32_t)n;
    }
    return r;
}

static int vpc_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    int r = 0;

    while (len > 0 && r == 0) {
        uint64_t n = len, at = where(img->priv, offset, &n);

        r = at != UINT64_MAX ? host_zero(&img->host, at, n, unmap) : 0;
        offset += n;
        len -= n;
    }
    return r;
}

static int vpc_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    return vpc_zero(img, offset, len, true);
}

/* write_table - the sectors with entries that have changed, and the footer behind the last block. Lock held. */
static int write_table(BlockImage *img)
{
    Vpc *v = img->priv;
    uint32_t from = v->dirty_from & ~127u, to = MIN((v->dirty_to + 127) & ~127u, v->entries);
    uint8_t *be = try_newn(uint8_t, (to - from) * 4ull);
    int r = be != NULL ? 0 : -ENOMEM;

    for (uint32_t n = from; n < to && r == 0; n++) {
        put32(be + (n - from) * 4ull, v->table[n]);
    }
    r = r == 0 ? host_write(&img->host, v->table_at + from * 4ull, be, (to - from) * 4ull) : r;
    r = r == 0 ? host_write(&img->host, v->next, v->footer, FOOTER) : r;
    if (r == 0) {
        v->dirty_from = UINT32_MAX;
        v->dirty_to = 0;
    }
    free(be);
    return r;
}

static int vpc_flush(BlockImage *img)
{
    Vpc *v = img->priv;
    int r = host_flush(&img->host);

    pthread_mutex_lock(&v->lock);
    if (r == 0 && v->dirty_to != 0) {
        r = host_flush(&img->host); /* a block that came meanwhile */
        r = r == 0 ? write_table(img) : r;
        r = r == 0 ? host_flush(&img->host) : r;
    }
    pthread_mutex_unlock(&v->lock);
    return r;
}

static void vpc_close(BlockImage *img)
{
    Vpc *v = img->priv;
    int r = img->read_only || v->dirty_to == 0 ? 0 : img->cache == BLK_UNSAFE ? write_table(img) : vpc_flush(img);

    if (r != 0) {
        report("%s: cannot write the image's table: %s", img->file, strerror(-r));
    }
    free_private(v);
}

static int vpc_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r)
{
    Vpc *v = img->priv;
    uint64_t n = len, at = where(v, offset, &n);
    bool hole;

    *r = (ImageRange){ .len = n, .flags = IMAGE_ZERO };
    if (at != UINT64_MAX) {
        r->offset = at;
        r->len = host_extent(&img->host, at, n, &hole);
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED | IMAGE_OFFSET | (hole ? IMAGE_ZERO : 0);
        return 0;
    }
    while (r->len < len) { /* as far as there are no blocks */
        n = len - r->len;
        if (where(v, offset + r->len, &n) != UINT64_MAX) {
            break;
        }
        r->len += n;
    }
    return 0;
}

const ImageFormat vpc_format = {
    .name = "vpc", .probe = vpc_probe, .open = vpc_open, .close = vpc_close, .read = vpc_read, .write = vpc_write,
    .zero = vpc_zero, .discard = vpc_discard, .flush = vpc_flush, .status = vpc_status,
};

/* ---- a new image ---- */

typedef struct Geometry {
    uint32_t cyls, heads, secs;
} Geometry;

/* geometry - the specification's appendix, "CHS Calculation". */
static Geometry geometry(uint64_t sectors)
{
    uint64_t total = MIN(sectors, CHS_MAX), tracks;
    Geometry g = { .heads = 16, .secs = 255 };

    if (total >= 65535ull * 16 * 63) {
        tracks = total / g.secs;
    } else {
        g.secs = 17;
        tracks = total / 17;
        g.heads = (uint32_t)MAX((tracks + 1023) / 1024, 4u);
        if (tracks >= g.heads * 1024ull || g.heads > 16) {
            g.secs = 31;
            g.heads = 16;
            tracks = total / 31;
        }
        if (tracks >= g.heads * 1024ull) {
            g.secs = 63;
            g.heads = 16;
            tracks = total / 63;
        }
    }
    g.cyls = (uint32_t)(tracks / g.heads);
    return g;
}

/* choose_size - the first geometry that is not too small; *size is what it says, unless the exact one is wanted, or no
 * geometry says as much. */
static Geometry choose_size(const VpcOptions *o, uint64_t *size)
{
    uint64_t sectors = (o->size + SECTOR - 1) / SECTOR, want = sectors;
    Geometry g = geometry(want);

    *size = sectors * SECTOR;
    if (o->exact_size || sectors >= CHS_MAX) {
        return o->exact_size ? g : (Geometry){ 65535, 16, 255 };
    }
    while ((uint64_t)g.cyls * g.heads * g.secs < sectors) {
        g = geometry(++want);
    }
    *size = (uint64_t)g.cyls * g.heads * g.secs * SECTOR;
    return g;
}

static bool make_footer(const VpcOptions *o, uint8_t *f, uint64_t *size)
{
    Geometry g = choose_size(o, size);

    memset(f, 0, FOOTER);
    memcpy(f, "conectix", 8);
    put32(f + F_FEATURES, 2);
    put32(f + F_VERSION, 0x10000);
    put64(f + F_DATA, o->fixed ? UINT64_MAX : FOOTER);
    put32(f + F_TIME, (uint32_t)(time(NULL) - EPOCH));
    memcpy(f + F_CREATOR, o->exact_size || *size >= CHS_MAX * SECTOR ? "qem2" : "qemu", 4); /* by which of the two sizes */
    put32(f + F_CREATOR_VERSION, 0x50003);
    memcpy(f + F_HOST, "Wi2k", 4);
    put64(f + F_ORIGINAL, *size);
    put64(f + F_SIZE, *size);
    put16(f + F_CYLS, g.cyls);
    f[F_HEADS] = (uint8_t)g.heads;
    f[F_SECS] = (uint8_t)g.secs;
    put32(f + F_TYPE, o->fixed ? TYPE_FIXED : TYPE_DYNAMIC);
    if (getrandom(f + F_UUID, 16, 0) != 16) {
        return false;
    }
    put32(f + F_SUM, checksum(f, FOOTER, F_SUM));
    return true;
}

static int write_dynamic(HostFile *f, const uint8_t *footer, uint64_t size)
{
    uint64_t entries = (size + BLOCK_DEFAULT - 1) / BLOCK_DEFAULT, bytes = (entries * 4 + SECTOR - 1) & ~511ull;
    uint8_t h[HEADER] = "cxsparse", *table = try_newn(uint8_t, bytes + FOOTER);
    int r;

    if (table == NULL) {
        return -ENOMEM;
    }
    memset(table, 0xff, bytes);
    memcpy(table + bytes, footer, FOOTER);
    put64(h + H_DATA, UINT64_MAX);
    put64(h + H_TABLE, FOOTER + HEADER);
    put32(h + H_VERSION, 0x10000);
    put32(h + H_ENTRIES, (uint32_t)entries);
    put32(h + H_BLOCK, BLOCK_DEFAULT);
    put32(h + H_SUM, checksum(h, HEADER, H_SUM));
    r = host_write(f, 0, footer, FOOTER);
    r = r == 0 ? host_write(f, FOOTER, h, HEADER) : r;
    r = r == 0 ? host_write(f, FOOTER + HEADER, table, bytes + FOOTER) : r;
    free(table);
    return r;
}

bool vpc_create(const char *path, const VpcOptions *o, Error **errp)
{
    uint8_t footer[FOOTER];
    uint64_t size;
    HostFile f;
    int fd, r;

    if (o->size > SIZE_MAX_BYTES) {
        error_set(errp, "%s: an image of %llu bytes is too large for VPC", path, (unsigned long long)o->size);
        return false;
    }
    fd = image_create_file(path, errp);
    if (fd < 0) {
        return false;
    }
    r = make_footer(o, footer, &size) ? 0 : -EIO;
    r = host_file_init(&f, fd, false) == 0 ? r : -EIO;
    if (r == 0 && o->fixed) {
        r = host_truncate(&f, size);
        r = r == 0 ? host_write(&f, size, footer, FOOTER) : r;
    } else if (r == 0) {
        r = write_dynamic(&f, footer, size);
    }
    r = r == 0 ? host_flush(&f) : r;
    host_file_fini(&f);
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot make the image", path);
        unlink(path);
    }
    return r == 0;
}
