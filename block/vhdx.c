/*
 * Hyper-V's disk images (VHDX), fixed and dynamic.
 *
 *   1 MiB: what it is, two headers, two tables of regions; the log; metadata; the table of blocks; blocks
 *
 * Source: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format". A block that is not there reads as zeros. New
 * blocks go to the end of the file; the table's pages are written at a flush, when what they lead to is on stable
 * storage: to the log first, then to their place. A crash before that loses the new blocks, nothing else.
 *
 * Not there: differencing disks, another size.
 */
#include "block/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"

static bool vhdx_probe(const uint8_t *head, size_t len)
{
    return len >= 8 && memcmp(head, "vhdxfile", 8) == 0;
}

static void free_private(Vhdx *v)
{
    pthread_mutex_destroy(&v->lock);
    free(v->bat);
    free(v->dirty);
    free(v);
}

static bool vhdx_open(BlockImage *img, Error **errp)
{
    uint8_t head[8];
    int r = host_read(&img->host, 0, head, sizeof(head));
    const char *why = r != 0 ? strerror(-r) : vhdx_probe(head, sizeof(head)) ? NULL : "Image not in VHDX format";
    Vhdx *v = xnew(Vhdx);
    uint64_t size = 0;

    pthread_mutex_init(&v->lock, NULL);
    why = why == NULL ? vhdx_open_file(v, &img->host, img->file_size, !img->read_only, &size) : why;
    if (why != NULL) {
        error_set(errp, "Could not open '%s': %s", img->file, why);
        free_private(v);
        return false;
    }
    img->size = size;
    img->priv = v;
    return true;
}

/* vhdx_writable - anew, so that the log is written again if need be. */
static bool vhdx_writable(BlockImage *img, Error **errp)
{
    Vhdx *old = img->priv;

    if (!vhdx_open(img, errp)) {
        return false;
    }
    free_private(old);
    return true;
}

/* ---- requests ---- */

/* entry_of - the block's that has @offset, in the table. */
static uint64_t entry_of(const Vhdx *v, uint64_t offset)
{
    uint64_t n = offset / v->block;

    return n + n / v->chunk;
}

/* place - of the byte at @offset of the disk, in the file; UINT64_MAX: it is zero. */
static uint64_t place(Vhdx *v, uint64_t offset)
{
    uint64_t e;

    pthread_mutex_lock(&v->lock);
    e = v->bat[entry_of(v, offset)];
    pthread_mutex_unlock(&v->lock);
    return (e & XB_STATE) == XB_PRESENT ? VHDX_PLACE(e) + (offset & (v->block - 1)) : UINT64_MAX;
}

static int vhdx_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    Vhdx *v = img->priv;
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t n = MIN(len, v->block - (uint32_t)(offset & (v->block - 1)));
        uint64_t at = place(v, offset);

        if (at == UINT64_MAX) {
            memset(buf, 0, n);
        } else {
            r = host_read(&img->host, at, buf, n);
        }
        offset += n;
        buf += n;
        len -= n;
    }
    return r;
}

/* touch - the header says that the image is being written to, by another name, and which entries of the log are of this
 * time. */
static int touch(Vhdx *v)
{
    int r = 0;

    pthread_mutex_lock(&v->lock);
    if (!v->touched) {
        r = vhdx_guid(v->file_guid);
        r = r == 0 ? vhdx_guid(v->data_guid) : r;
        r = r == 0 ? vhdx_guid(v->log_guid) : r;
        r = r == 0 ? vhdx_write_header(v) : r;
        v->touched = r == 0;
    }
    pthread_mutex_unlock(&v->lock);
    return r;
}

/* write_new - a block of its own for the first write to it; what was in the file at its place before is gone first.
 * Lock held. */
static int write_new(Vhdx *v, uint64_t offset, const uint8_t *buf, uint32_t n)
{
    uint64_t index = entry_of(v, offset), page = index / (VHDX_PAGE / 8);
    int r = host_truncate(v->host, v->next);

    r = r == 0 ? host_truncate(v->host, v->next + v->block) : r; /* a hole */
    r = r == 0 ? host_write(v->host, v->next + (offset & (v->block - 1)), buf, n) : r;
    if (r == 0) {
        v->bat[index] = v->next | XB_PRESENT;
        v->next += v->block;
        v->dirty[page / 8] |= (uint8_t)BIT(page % 8);
        v->any_dirty = true;
    }
    return r;
}

static int vhdx_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    Vhdx *v = img->priv;
    int r = touch(v);

    while (len > 0 && r == 0) {
        uint32_t n = MIN(len, v->block - (uint32_t)(offset & (v->block - 1)));
        uint64_t e;

        pthread_mutex_lock(&v->lock);
        e = v->bat[entry_of(v, offset)];
        r = (e & XB_STATE) != XB_PRESENT ? write_new(v, offset, buf, n) : 0;
        pthread_mutex_unlock(&v->lock);
        if ((e & XB_STATE) == XB_PRESENT) {
            r = host_write(&img->host, VHDX_PLACE(e) + (offset & (v->block - 1)), buf, n);
        }
        offset += n;
        buf += n;
        len -= n;
    }
    return r;
}

static int vhdx_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    Vhdx *v = img->priv;
    int r = touch(v);

    while (len > 0 && r == 0) {
        uint64_t n = MIN(len, v->block - (offset & (v->block - 1))), at = place(v, offset);

        r = at != UINT64_MAX ? host_zero(&img->host, at, n, unmap) : 0;
        offset += n;
        len -= n;
    }
    return r;
}

static int vhdx_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    return vhdx_zero(img, offset, len, true);
}

/* ---- the table ---- */

/* write_pages - to their place. */
static int write_pages(const Vhdx *v, const uint32_t *page, unsigned count)
{
    int r = 0;

    for (unsigned n = 0; n < count && r == 0; n++) {
        uint64_t at = (uint64_t)page[n] * VHDX_PAGE;

        r = host_write(v->host, v->bat_at + at, (const uint8_t *)v->bat + at, VHDX_PAGE);
    }
    return r;
}

/* write_table - the pages that have changed, some at a time. @log: through the log. Lock held. */
static int write_table(Vhdx *v, bool log)
{
    uint32_t page[VHDX_LOG_PAGES], pages = (uint32_t)(v->bat_bytes / VHDX_PAGE), n = 0;
    int r = 0;

    while (r == 0 && v->any_dirty) {
        unsigned count = 0;

        for (; n < pages && count < VHDX_LOG_PAGES; n++) {
            if (v->dirty[n / 8] & BIT(n % 8)) {
                page[count++] = n;
            }
        }
        if (count == 0) {
            v->any_dirty = false;
            break;
        }
        r = log ? vhdx_log_write(v, page, count) : 0;
        r = r == 0 ? write_pages(v, page, count) : r;
        r = r == 0 && log ? host_flush(v->host) : r;
        for (unsigned k = 0; k < count && r == 0; k++) {
            v->dirty[page[k] / 8] &= (uint8_t)~BIT(page[k] % 8);
        }
    }
    return r;
}

static int vhdx_flush(BlockImage *img)
{
    Vhdx *v = img->priv;
    int r = host_flush(&img->host);

    pthread_mutex_lock(&v->lock);
    if (r == 0 && v->any_dirty) {
        r = host_flush(&img->host); /* a block that came meanwhile */
        r = r == 0 ? write_table(v, true) : r;
    }
    pthread_mutex_unlock(&v->lock);
    return r;
}

/* finish - all is in its place, and the log is empty. */
static int finish(BlockImage *img, Vhdx *v)
{
    int r = img->cache == BLK_UNSAFE ? write_table(v, false) : v->any_dirty ? vhdx_flush(img) : 0;

    if (r == 0) {
        memset(v->log_guid, 0, 16);
        r = vhdx_write_header(v);
    }
    return r;
}

static void vhdx_close(BlockImage *img)
{
    Vhdx *v = img->priv;
    int r = !img->read_only && v->touched ? finish(img, v) : 0;

    if (r != 0) {
        report("%s: cannot write the image's table: %s", img->file, strerror(-r));
    }
    free_private(v);
}

static int vhdx_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r)
{
    Vhdx *v = img->priv;
    uint64_t n = v->block - (offset & (v->block - 1)), first = place(v, offset);
    bool hole;

    while (n < len) {
        uint64_t at = place(v, offset + n);

        if (first == UINT64_MAX ? at != UINT64_MAX : at != first + n) {
            break;
        }
        n += v->block;
    }
    *r = (ImageRange){ .len = MIN(n, len), .flags = IMAGE_ZERO };
    if (first != UINT64_MAX) {
        r->offset = first;
        r->len = host_extent(&img->host, first, r->len, &hole);
        r->flags = IMAGE_DATA | IMAGE_ALLOCATED | IMAGE_OFFSET | (hole ? IMAGE_ZERO : 0);
    }
    return 0;
}

const ImageFormat vhdx_format = {
    .name = "vhdx", .probe = vhdx_probe, .open = vhdx_open, .writable = vhdx_writable, .close = vhdx_close, .read = vhdx_read,
    .write = vhdx_write, .zero = vhdx_zero, .discard = vhdx_discard, .flush = vhdx_flush, .status = vhdx_status,
};

uint32_t vhdx_block(const BlockImage *img)
{
    return img->fmt == &vhdx_format ? ((const Vhdx *)img->priv)->block : 0;
}
