/*
 * The raw format: the file is the disk.
 */
#include "block/image.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/host-file.h"
#include "block/probe.h"

#define SECTOR 512u

static bool raw_open(BlockImage *img, Error **errp)
{
    img->size = (img->file_size + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
    img->host.end = img->size;
    return true;
}

/* A file that ends inside its last sector, or was cut, reads as zeros there. */
static int raw_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len)
{
    return host_read(&img->host, offset, buf, len);
}

/* guards_header - a guest that wrote another format's header to sector 0 of a guessed image would
 * choose what the next start makes of it. */
static bool guards_header(const BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    uint8_t sector[SECTOR] = { 0 };

    if (!img->guessed || offset >= 16 || len == 0) {
        return false;
    }
    if (offset != 0) {
        return true; /* devices write whole sectors */
    }
    memcpy(sector, buf, MIN(len, SECTOR));
    return image_probe(sector, SECTOR) != NULL;
}

static int raw_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    return guards_header(img, offset, buf, len) ? -EPERM : host_write(&img->host, offset, buf, len);
}

/* raw_map - not what reaches behind the end of the file: that may have to be cut again. */
static bool raw_map(BlockImage *img, uint64_t offset, uint32_t len, bool write, uint64_t *at, const HostFile **file)
{
    *at = offset;
    *file = &img->host;
    return !(write && img->guessed && offset < 16) && offset + len <= img->host.end;
}

static int raw_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap)
{
    return host_zero(&img->host, offset, len, unmap);
}

static int raw_discard(BlockImage *img, uint64_t offset, uint64_t len)
{
    host_discard(&img->host, offset, len);
    return 0;
}

static int raw_flush(BlockImage *img)
{
    return host_flush(&img->host);
}

/* raw_status - holes of the file are zeros. */
static int raw_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r)
{
    bool hole;

    *r = (ImageRange){ .len = host_extent(&img->host, offset, len, &hole), .offset = offset };
    r->flags = (hole ? IMAGE_ZERO : IMAGE_DATA) | IMAGE_ALLOCATED | IMAGE_OFFSET;
    return 0;
}

static int raw_truncate(BlockImage *img, uint64_t size)
{
    int r = host_truncate(&img->host, size);

    if (r == 0) {
        img->size = img->file_size = size;
        img->host.end = size;
    }
    return r;
}

const ImageFormat raw_format = {
    .name = "raw",
    .open = raw_open,
    .map = raw_map,
    .read = raw_read,
    .write = raw_write,
    .zero = raw_zero,
    .discard = raw_discard,
    .flush = raw_flush,
    .status = raw_status,
    .truncate = raw_truncate,
};
