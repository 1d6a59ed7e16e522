/*
 * VirtualBox's disk images (VDI), dynamic and static: a header, a map of blocks, blocks.
 *
 * Source: VirtualBox's documented header, version 1.1. All fields are little-endian. A block that the map does not have
 * reads as zeros. New blocks go to the end of the file; the map and the count of blocks are written at a flush, when
 * what they lead to is on stable storage. A crash before that loses the new blocks, nothing else.
 *
 * Not there: images with a parent, another size, giving blocks back (the format has no way to use their place again).
 */
#include "block/vdi.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/host-file.h"
#include "block/image-lock.h"

/* The header's fields */
enum { VH_SIGNATURE = 0x40, VH_VERSION = 0x44, VH_SIZE = 0x48, VH_TYPE = 0x4c, VH_MAP = 0x154, VH_DATA = 0x158,
       VH_SECTOR = 0x168, VH_DISK = 0x170, VH_BLOCK = 0x178, VH_EXTRA = 0x17c, VH_BLOCKS = 0x180,
       VH_ALLOCATED = 0x184, VH_UUID = 0x188, VH_LINK = 0x1a8, VH_PARENT = 0x1b8, VH_BYTES = 512 };
#define SIGNATURE 0xbeda107fu
#define VERSION_1_1 0x00010001u
#define BLOCK VDI_BLOCK
#define BLOCKS_MAX (1u << 26)
#define NOT_THERE 0xfffffffeu /* and above: no block, which reads as zeros */
enum { TYPE_DYNAMIC = 1, TYPE_STATIC = 2 };

typedef struct Vdi {
    uint32_t blocks;      /* of the disk; constant */
    uint64_t map_at, data_at;
    pthread_mutex_t lock; /* for what follows; held over the writing of a new block */
    uint32_t *map;        /* host order */
    uint32_t allocated, next; /* next: the first block of the file that is free */
    uint32_t dirty_from, dirty_to; /* entries that have changed */
} Vdi;

static bool vdi_probe(const uint8_t *head, size_t len)
{
    return len >= VH_BYTES && ld_le32(head + VH_SIGNATURE) == SIGNATURE;
}

static bool zeros(const uint8_t *p, size_t n)
{
    while (n > 0 && p[n - 1] == 0) {
        n--;
    }
    return n == 0;
}

/* wrong - what is with the header; NULL: it is well. */
static const char *wrong(const BlockImage *img, const uint8_t *h)
{
    uint64_t map = ld_le32(h + VH_MAP), data = ld_le32(h + VH_DATA), blocks = ld_le32(h + VH_BLOCKS);
    uint32_t type = ld_le32(h + VH_TYPE);

    if (!vdi_probe(h, VH_BYTES)) {
        return "Image not in VDI format (bad signature)";
    }
    if (ld_le32(h + VH_VERSION) != VERSION_1_1) {
        return "unsupported VDI image (another version than 1.1)";
    }
    if (type != TYPE_DYNAMIC && type != TYPE_STATIC) {
        return "unsupported VDI image (neither dynamic nor static)";
    }
    if (!zeros(h + VH_LINK, 16) || !zeros(h + VH_PARENT, 16)) {
        return "unsupported VDI image (it has a parent)";
    }
    if (ld_le32(h + VH_SECTOR) != 512 || ld_le32(h + VH_BLOCK) != BLOCK || ld_le32(h + VH_EXTRA) != 0) {
        return "unsupported VDI image (other than blocks of 1 MiB, sectors of 512 bytes)";
    }
    if (map % 512 != 0 || data % 512 != 0 || map < VH_BYTES || data < map + blocks * 4 || blocks > BLOCKS_MAX ||
        ld_le64(h + VH_DISK) > blocks * BLOCK || map + blocks * 4 > ((img->file_size + 511) & ~511ull)) {
        return "its header does not make sense";
    }
    return NULL;
}

/* read_map - and what it says; false: blocks twice, or outside of the file. */
static bool read_map(const BlockImage *img, Vdi *v)
{
    uint64_t places = img->file_size > v->data_at ? (img->file_size - v->data_at + BLOCK - 1) / BLOCK : 0;
    uint8_t *seen = try_newn(uint8_t, places / 8 + 1);
    bool ok = seen != NULL && host_read(&img->host, v->map_at, v->map, v->blocks * 4ull) == 0;

    for (uint32_t n = 0; n < v->blocks && ok; n++) {
        uint32_t b = v->map[n];

        if (b >= NOT_THERE) {
            continue;
        }
        ok = b < places && !(seen[b / 8] & BIT(b % 8));
        if (ok) {
            seen[b / 8] |= (uint8_t)BIT(b % 8);
            v->allocated++;
            v->next = MAX(v->next, b + 1);
        }
    }
    free(seen);
    return ok;
}

static void vdi_close_private(Vdi *v)
{
    pthread_mutex_destroy(&v->lock);
    free(v->map);
    free(v);
}

static bool vdi_open(BlockImage *img, Error **errp)
{
    uint8_t h[VH_BYTES];
    int r = host_read(&img->host, 0, h, sizeof(h));
    const char *why = r == 0 ? wrong(img, h) : strerror(-r);
    Vdi *v;

    if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", img->file, why);
        return false;
    }
    v = xnew(Vdi);
    v->blocks = ld_le32(h + VH_BLOCKS);
    v->map_at = ld_le32(h + VH_MAP);
    v->data_at = ld_le32(h + VH_DATA);
    v->dirty_from = UINT32_MAX;
    v->map = try_newn(uint32_t, MAX(v->blocks, 1u));
    pthread_mutex_init(&v->lock, NULL);
    if (v->map == NULL || !read_map(img, v)) {
        error_set(errp, "Could not open '%s': its map of blocks does not make sense", img->file);
        vdi_close_private(v);
        return false;
    }
    if (!img->read_only && ld_le32(h + VH_ALLOCATED) != v->allocated) { /* a crash came between the map and its count */
        v->dirty_from = 0;
        v->dirty_to = 1;
    }
    img->size = ld_le64(h + VH_DISK) & ~511ull;
    img->priv = v;
    return true;
}

/* place - of the block in the file. */
static uint64_t place(const Vdi *v, uint32_t b)
{
    return v->data_at + (uint64_t)b * BLOCK;
}

static uint32_t block_of(Vdi *v, uint64_t offset)
{
    uint32_t b;

    pthread_mutex_lock(&v->lock);
    b = v->map[offset / BLOCK];
    pthread_mutex_unlock(&v->lock);
    return b;
}

static int vdi_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    Vdi *v = img->priv;
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t n = MIN(len, BLOCK - (uint32_t)(offset % BLOCK)), b = block_of(v, offset);

        if (b >= NOT_THERE) {
            memset(buf, 0, n);
        } else {
            r = host_read(&img->host, place(v, b) + offset % BLOCK, buf, n);
        }
        offset += n;
        buf += n;
        len -= n;
    }
    return r;
}

/* write_new - a block of its own for the first write to it; what was in the file at its place before is gone first.
 * Lock held. */
static int write_new(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t n)
{
    Vdi *v = img->priv;
    uint32_t index = (uint32_t)(offset / BLOCK), b = v->next;
    uint64_t at = place(v, b);
    int r = host_truncate(&img->host, at);

    r = r == 0 ? host_truncate(&img->host, at + BLOCK) : r; /* a hole */
    r = r == 0 ? host_write(&img->host, at + offset % BLOCK, buf, n) : r;
    if (r == 0) {
        v->map[index] = b;
        v->next++;
        v->allocated++;
        v->dirty_from = MIN(v->dirty_from, index);
        v->dirty_to = MAX(v->dirty_to, index + 1);
    }
    return r;
}

static int vdi_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    Vdi *v = img->priv;
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t n = MIN(len, BLOCK - (uint32_t)(offset % BLOCK)), b;

        pthread_mutex_lock(&v->lock);
        b = v->map[offset / BLOCK];
        r = b >= NOT_THERE ? write_new(img, offset, buf, n) : 0;
        pthread_mutex_unlock(&v->lock);
        if (b < NOT_THERE) {
            r = host_write(&img->host, place(v, b) + offset % BLOCK, buf, n);
        }
        offset += n;
        buf += n;
        len -= n;
    }
    return r;
}

static int vdi_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    Vdi *v = img->priv;
    int r = 0;

    while (len > 0 && r == 0) {
        uint64_t n = MIN(len, BLOCK - offset % BLOCK);
        uint32_t b = block_of(v, offset);

        r = b < NOT_THERE ? host_zero(&img->host, place(v, b) + offset % BLOCK, n, unmap) : 0;
        offset += n;
        len -= n;
    }
    return r;
}

static int vdi_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    return vdi_zero(img, offset, len, true);
}

/* write_map - the sectors with entries that have changed, and the count. Lock held. */
static int write_map(BlockImage *img)
{
    Vdi *v = img->priv;
    uint32_t from = v->dirty_from & ~127u, to = MIN((v->dirty_to + 127) & ~127u, v->blocks);
    uint8_t count[4];
    int r = host_write(&img->host, v->map_at + from * 4ull, v->map + from, (to - from) * 4ull);

    st_le32(count, v->allocated);
    r = r == 0 ? host_write(&img->host, VH_ALLOCATED, count, sizeof(count)) : r;
    if (r == 0) {
        v->dirty_from = UINT32_MAX;
        v->dirty_to = 0;
    }
    return r;
}

static int vdi_flush(BlockImage *img)
{
    Vdi *v = img->priv;
    int r = host_flush(&img->host);

    pthread_mutex_lock(&v->lock);
    if (r == 0 && v->dirty_to != 0) {
        r = host_flush(&img->host); /* a block that came meanwhile */
        r = r == 0 ? write_map(img) : r;
        r = r == 0 ? host_flush(&img->host) : r;
    }
    pthread_mutex_unlock(&v->lock);
    return r;
}

static void vdi_close(BlockImage *img)
{
    Vdi *v = img->priv;
    int r = img->read_only || v->dirty_to == 0 ? 0 : img->cache == BLK_UNSAFE ? write_map(img) : vdi_flush(img);

    if (r != 0) {
        report("%s: cannot write the image's map: %s", img->file, strerror(-r));
    }
    vdi_close_private(v);
}

static int vdi_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r)
{
    Vdi *v = img->priv;
    uint64_t n = BLOCK - offset % BLOCK;
    uint32_t first = block_of(v, offset), b = first;
    bool hole;

    while (n < len) {
        uint32_t next = block_of(v, offset + n);

        if (first < NOT_THERE ? next != b + 1 : next < NOT_THERE) {
            break;
        }
        b = next;
        n += BLOCK;
    }
    *r = (ImageRange){ .len = MIN(n, len), .flags = IMAGE_ZERO };
    if (first < NOT_THERE) {
        r->offset = place(v, first) + offset % BLOCK;
        r->len = host_extent(&img->host, r->offset, r->len, &hole);
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED | IMAGE_OFFSET | (hole ? IMAGE_ZERO : 0);
    }
    return 0;
}

const ImageFormat vdi_format = {
    .name = "vdi", .probe = vdi_probe, .open = vdi_open, .close = vdi_close, .read = vdi_read, .write = vdi_write,
    .zero = vdi_zero, .discard = vdi_discard, .flush = vdi_flush, .status = vdi_status,
};

/* ---- a new image ---- */

bool vdi_create(const char *path, uint64_t size, bool whole, Error **errp)
{
    uint64_t blocks = (size + BLOCK - 1) / BLOCK, map_bytes = (blocks * 4 + 511) & ~511ull;
    uint8_t h[VH_BYTES] = "<<< Oracle VM VirtualBox Disk Image >>>\n";
    uint32_t *map = blocks <= BLOCKS_MAX ? try_newn(uint32_t, map_bytes / 4 + 1) : NULL;
    HostFile f;
    int fd, r;

    if (map == NULL) {
        error_set(errp, "%s: an image of %llu bytes is too large for VDI", path, (unsigned long long)size);
        return false;
    }
    fd = image_create_file(path, errp);
    if (fd < 0) {
        free(map);
        return false;
    }
    st_le32(h + VH_SIGNATURE, SIGNATURE);
    st_le32(h + VH_VERSION, VERSION_1_1);
    st_le32(h + VH_SIZE, 0x180); /* from its own field on */
    st_le32(h + VH_TYPE, whole ? TYPE_STATIC : TYPE_DYNAMIC);
    st_le32(h + VH_MAP, VH_BYTES);
    st_le32(h + VH_DATA, (uint32_t)(VH_BYTES + map_bytes));
    st_le32(h + VH_SECTOR, 512);
    st_le64(h + VH_DISK, size);
    st_le32(h + VH_BLOCK, BLOCK);
    st_le32(h + VH_BLOCKS, (uint32_t)blocks);
    st_le32(h + VH_ALLOCATED, whole ? (uint32_t)blocks : 0);
    r = getrandom(h + VH_UUID, 32, 0) == 32 ? 0 : -EIO; /* the image, and its last change */
    for (uint64_t n = 0; n < map_bytes / 4; n++) {
        map[n] = n >= blocks ? 0 : whole ? (uint32_t)n : UINT32_MAX;
    }
    r = host_file_init(&f, fd, false) == 0 ? r : -EIO;
    r = r == 0 ? host_write(&f, 0, h, sizeof(h)) : r;
    r = r == 0 ? host_write(&f, VH_BYTES, map, map_bytes) : r;
    r = r == 0 ? host_truncate(&f, VH_BYTES + map_bytes + (whole ? blocks * BLOCK : 0)) : r;
    r = r == 0 ? host_flush(&f) : r;
    host_file_fini(&f);
    free(map);
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot make the image", path);
        unlink(path);
    }
    return r == 0;
}
