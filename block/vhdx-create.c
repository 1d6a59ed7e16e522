/*
 * VHDX: a new image. Source: [MS-VHDX]. The log is at 1 MiB, the table of blocks behind it, then the metadata.
 */
#include "block/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/image-lock.h"

enum { TYPE_BYTES = 64 << 10, REGION_ENTRY = 32, ITEMS_AT = 64 << 10, METADATA = 1 << 20, META_REQUIRED = 4, META_DISK = 2 };
#define DISK_MAX (64ull << 40)
#define LOG_MAX (64u << 20)

/* Where things are, and how large. */
typedef struct Layout {
    uint64_t log, bat, bat_bytes, meta, data, blocks, chunk;
    uint32_t block, sector;
} Layout;

/* choose_block - larger ones for larger disks, as other tools have it. */
static uint32_t choose_block(uint64_t size)
{
    return size > 32ull << 40 ? 64 << 20 : size > 100ull << 30 ? 32 << 20 : size > 1ull << 30 ? 16 << 20 : 8 << 20;
}

static Layout lay_out(const VhdxOptions *o)
{
    Layout l = { .log = (MAX(o->log_size, 1u) + VHDX_MIB - 1) & ~(VHDX_MIB - 1), .sector = o->sector != 0 ? o->sector : 512 };
    uint64_t entries;

    l.block = o->block_size == 0 ? choose_block(o->size) : MAX(o->block_size, VHDX_BLOCK_MIN);
    l.blocks = (o->size + l.block - 1) / l.block;
    l.chunk = ((uint64_t)l.sector << 23) / l.block;
    entries = l.blocks + (l.blocks != 0 ? (l.blocks - 1) / l.chunk : 0);
    l.bat = VHDX_MIB + l.log;
    l.bat_bytes = MAX((entries * 8 + VHDX_MIB - 1) & ~(VHDX_MIB - 1), VHDX_MIB);
    l.meta = l.bat + l.bat_bytes;
    l.data = l.meta + METADATA;
    return l;
}

/* write_type - what the file is, and who made it (UTF-16). */
static int write_type(HostFile *f)
{
    uint8_t type[512] = "vhdxfile";
    const char *creator = "doppel";

    for (unsigned n = 0; creator[n] != 0; n++) {
        type[8 + 2 * n] = (uint8_t)creator[n];
    }
    return host_write(f, 0, type, sizeof(type));
}

static int write_regions(HostFile *f, const Layout *l)
{
    uint8_t *t = xnewn(uint8_t, VHDX_REGIONS_BYTES), *e = t + 16;
    int r;

    memcpy(t, "regi", 4);
    st_le32(t + 8, 2);
    memcpy(e, vhdx_bat_guid, 16);
    st_le64(e + 16, l->bat);
    st_le32(e + 24, (uint32_t)l->bat_bytes);
    st_le32(e + 28, 1);
    e += REGION_ENTRY;
    memcpy(e, vhdx_metadata_guid, 16);
    st_le64(e + 16, l->meta);
    st_le32(e + 24, METADATA);
    st_le32(e + 28, 1);
    st_le32(t + 4, vhdx_crc(t, VHDX_REGIONS_BYTES, 4));
    r = host_write(f, VHDX_REGIONS_1, t, VHDX_REGIONS_BYTES);
    r = r == 0 ? host_write(f, VHDX_REGIONS_2, t, VHDX_REGIONS_BYTES) : r;
    free(t);
    return r;
}

static int write_metadata(HostFile *f, const Layout *l, const VhdxOptions *o)
{
    static const uint8_t sizes[] = { [XM_PARAMETERS] = 8, [XM_SIZE] = 8, [XM_DISK_ID] = 16, [XM_LOGICAL] = 4, [XM_PHYSICAL] = 4 };
    uint8_t *t = xnewn(uint8_t, ITEMS_AT + 64), *value = t + ITEMS_AT;
    int r;

    memcpy(t, "metadata", 8);
    t[10] = (uint8_t)ARRAY_SIZE(sizes);
    for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++) {
        uint8_t *e = t + 32 + n * 32;

        memcpy(e, vhdx_item_guid[n], 16);
        st_le32(e + 16, (uint32_t)(value - t));
        st_le32(e + 20, sizes[n]);
        st_le32(e + 24, META_REQUIRED | (n != XM_PARAMETERS ? META_DISK : 0));
        value += sizes[n];
    }
    value = t + ITEMS_AT;
    st_le32(value, l->block);
    st_le32(value + 4, o->fixed); /* "LeaveBlocksAllocated" */
    st_le64(value + 8, o->size);
    r = vhdx_guid(value + 16);
    st_le32(value + 32, l->sector);
    st_le32(value + 36, l->sector);
    r = r == 0 ? host_write(f, l->meta, t, ITEMS_AT + 64) : r;
    free(t);
    return r;
}

static int write_bat(HostFile *f, const Layout *l, const VhdxOptions *o)
{
    uint64_t *bat = try_newn(uint64_t, l->bat_bytes / 8);
    int r = bat == NULL ? -ENOMEM : 0;

    for (uint64_t n = 0; n < l->blocks && r == 0; n++) {
        bat[n + n / l->chunk] = o->fixed      ? (l->data + n * l->block) | XB_PRESENT
                                : o->not_zero ? XB_NOT_PRESENT
                                              : XB_ZERO;
    }
    r = r == 0 ? host_write(f, l->bat, bat, l->bat_bytes) : r;
    free(bat);
    return r;
}

/* write_headers - both. */
static int write_headers(HostFile *f, const Layout *l)
{
    Vhdx v = { .host = f, .log_at = VHDX_MIB, .log_bytes = (uint32_t)l->log, .current = 1 };
    int r = vhdx_guid(v.file_guid);

    r = r == 0 ? vhdx_guid(v.data_guid) : r;
    r = r == 0 ? vhdx_write_header(&v) : r;
    return r == 0 ? vhdx_write_header(&v) : r;
}

static bool suits(const char *path, const VhdxOptions *o, Error **errp)
{
    if (o->size > DISK_MAX) {
        error_set(errp, "%s: Image size too large; max of 64TB", path);
    } else if (o->block_size > VHDX_BLOCK_MAX) {
        error_set(errp, "%s: Block size must not exceed %u", path, VHDX_BLOCK_MAX);
    } else if ((o->block_size & (o->block_size - 1)) != 0) {
        error_set(errp, "%s: Block size must be a power of two", path);
    } else if (o->log_size > LOG_MAX) {
        error_set(errp, "%s: Log size must not exceed %u", path, LOG_MAX);
    } else if (lay_out(o).bat_bytes > 256u << 20) {
        error_set(errp, "%s: with blocks of %u bytes an image of %llu bytes has too many", path, lay_out(o).block,
                  (unsigned long long)o->size);
    } else {
        return true;
    }
    return false;
}

bool vhdx_create(const char *path, const VhdxOptions *o, Error **errp)
{
    Layout l;
    HostFile f;
    int fd, r;

    if (!suits(path, o, errp)) {
        return false;
    }
    fd = image_create_file(path, errp);
    if (fd < 0) {
        return false;
    }
    l = lay_out(o);
    r = host_file_init(&f, fd, false);
    r = r == 0 ? host_truncate(&f, l.data + (o->fixed ? l.blocks * l.block : 0)) : r;
    r = r == 0 ? write_type(&f) : r;
    r = r == 0 ? write_regions(&f, &l) : r;
    r = r == 0 ? write_metadata(&f, &l, o) : r;
    r = r == 0 ? write_bat(&f, &l, o) : r;
    r = r == 0 ? write_headers(&f, &l) : r;
    r = r == 0 ? host_flush(&f) : r;
    host_file_fini(&f);
    if (r != 0) {
        error_set_errno(errp, -r, "%s: cannot make the image", path);
        unlink(path);
    }
    return r == 0;
}
