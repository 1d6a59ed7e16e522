/*
 * VHDX: what a file says of itself. Source: [MS-VHDX], "Header Section", "Metadata Region".
 */
#include "block/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include "base/mem.h"

enum { ITEM_BYTES = 32, ITEMS_MAX = 2047, ITEMS_AT = 64 << 10 };
#define ENTRIES_MAX (1u << 25)
#define FILE_MIB_MAX (1ull << 27)
#define DISK_MAX (64ull << 40)

/* As they lie in the file: the first three parts of a name have their lowest byte first. */
const uint8_t vhdx_bat_guid[16] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
const uint8_t vhdx_metadata_guid[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                         0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
const uint8_t vhdx_item_guid[XM_ITEMS][16] = {
    [XM_PARAMETERS] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b },
    [XM_SIZE] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 },
    [XM_DISK_ID] = { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 },
    [XM_LOGICAL] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f },
    [XM_PHYSICAL] = { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 },
    [XM_PARENT] = { 0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c },
};

/* Castagnoli's polynomial, by half bytes. */
uint32_t vhdx_crc(const uint8_t *p, size_t len, size_t sum_at)
{
    static const uint32_t half[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    uint32_t crc = UINT32_MAX;

    for (size_t n = 0; n < len; n++) {
        crc ^= n - sum_at < 4 ? 0 : p[n];
        crc = crc >> 4 ^ half[crc & 15];
        crc = crc >> 4 ^ half[crc & 15];
    }
    return ~crc;
}

int vhdx_guid(uint8_t guid[16])
{
    return getrandom(guid, 16, 0) == 16 ? 0 : -EIO;
}

/* ---- headers ---- */

static bool header_ok(const uint8_t *h)
{
    return memcmp(h, "head", 4) == 0 && ld_le32(h + XH_SUM) == vhdx_crc(h, XH_BYTES, XH_SUM) && ld_le16(h + XH_VERSION) == 1;
}

static const char *take_header(Vhdx *v, unsigned n, const uint8_t *h)
{
    v->current = n;
    v->sequence = ld_le64(h + XH_SEQUENCE);
    memcpy(v->file_guid, h + XH_FILE_GUID, 16);
    memcpy(v->data_guid, h + XH_DATA_GUID, 16);
    memcpy(v->log_guid, h + XH_LOG_GUID, 16);
    v->log_at = ld_le64(h + XH_LOG_OFFSET);
    v->log_bytes = ld_le32(h + XH_LOG_LENGTH);
    return ld_le16(h + XH_LOG_VERSION) != 0                                ? "unsupported VHDX log version"
           : v->log_bytes == 0 || v->log_bytes % VHDX_MIB != 0             ? "its log does not make sense"
           : v->log_at < VHDX_MIB || v->log_at % VHDX_MIB != 0 || v->log_at > INT64_MAX / 2 ? "its log does not make sense"
                                                                           : NULL;
}

/* read_header - the one of both that is whole and newer. */
static const char *read_header(Vhdx *v)
{
    static const uint32_t at[2] = { VHDX_HEADER_1, VHDX_HEADER_2 };
    uint8_t h[2][XH_BYTES];
    bool ok[2];
    unsigned n;

    for (n = 0; n < 2; n++) {
        int r = host_read(v->host, at[n], h[n], XH_BYTES);

        if (r != 0) {
            return strerror(-r);
        }
        ok[n] = header_ok(h[n]);
    }
    if (!ok[0] && !ok[1]) {
        return "neither of its headers is whole";
    }
    n = !ok[0] || (ok[1] && ld_le64(h[1] + XH_SEQUENCE) > ld_le64(h[0] + XH_SEQUENCE));
    return take_header(v, n, h[n]);
}

int vhdx_write_header(Vhdx *v)
{
    uint8_t h[XH_BYTES] = "head";
    int r;

    st_le64(h + XH_SEQUENCE, v->sequence + 1);
    memcpy(h + XH_FILE_GUID, v->file_guid, 16);
    memcpy(h + XH_DATA_GUID, v->data_guid, 16);
    memcpy(h + XH_LOG_GUID, v->log_guid, 16);
    st_le16(h + XH_VERSION, 1);
    st_le32(h + XH_LOG_LENGTH, v->log_bytes);
    st_le64(h + XH_LOG_OFFSET, v->log_at);
    st_le32(h + XH_SUM, vhdx_crc(h, XH_BYTES, XH_SUM));
    r = host_write(v->host, v->current == 0 ? VHDX_HEADER_2 : VHDX_HEADER_1, h, XH_BYTES);
    r = r == 0 ? host_flush(v->host) : r;
    if (r == 0) {
        v->current ^= 1;
        v->sequence++;
    }
    return r;
}

/* ---- regions ---- */

static const char *take_region(Vhdx *v, const uint8_t *e)
{
    uint64_t at = ld_le64(e + 16), bytes = ld_le32(e + 24);
    bool bat = memcmp(e, vhdx_bat_guid, 16) == 0, meta = memcmp(e, vhdx_metadata_guid, 16) == 0;

    if (!bat && !meta) {
        return ld_le32(e + 28) & 1 ? "it needs a region that is not known" : NULL;
    }
    if (at < VHDX_MIB || at % VHDX_MIB != 0 || at > INT64_MAX / 2 || bytes == 0 || bytes % VHDX_MIB != 0) {
        return "its regions do not make sense";
    }
    if (bat) {
        v->bat_at = at;
        v->bat_bytes = bytes;
    } else {
        v->meta_at = at;
        v->meta_bytes = bytes;
    }
    return NULL;
}

static const char *read_regions(Vhdx *v)
{
    static const uint32_t at[2] = { VHDX_REGIONS_1, VHDX_REGIONS_2 };
    uint8_t *t = xnewn(uint8_t, VHDX_REGIONS_BYTES);
    const char *why = "neither table of its regions is whole";

    for (unsigned n = 0; n < 2; n++) {
        uint32_t count;

        if (host_read(v->host, at[n], t, VHDX_REGIONS_BYTES) != 0 || memcmp(t, "regi", 4) != 0 ||
            ld_le32(t + 4) != vhdx_crc(t, VHDX_REGIONS_BYTES, 4) || (count = ld_le32(t + 8)) > ITEMS_MAX) {
            continue;
        }
        why = NULL;
        for (uint32_t k = 0; k < count && why == NULL; k++) {
            why = take_region(v, t + 16 + k * ITEM_BYTES);
        }
        break;
    }
    free(t);
    return why != NULL ? why : v->bat_at == 0 || v->meta_at == 0 ? "it lacks a region" : NULL;
}

/* ---- metadata ---- */

/* An item's value; all that are of use are short. */
typedef struct Items {
    uint8_t value[XM_ITEMS][16];
    bool there[XM_ITEMS];
} Items;

static const char *take_item(const Vhdx *v, const uint8_t *e, Items *items)
{
    static const uint8_t sizes[XM_ITEMS] = { 8, 8, 16, 4, 4, 0 };
    uint32_t at = ld_le32(e + 16), bytes = ld_le32(e + 20);
    unsigned n = 0;

    while (n < XM_ITEMS && memcmp(e, vhdx_item_guid[n], 16) != 0) {
        n++;
    }
    if (n == XM_ITEMS) {
        return ld_le32(e + 24) & 4 ? "it needs metadata that are not known" : NULL;
    }
    items->there[n] = true;
    if (n == XM_PARENT) {
        return NULL;
    }
    if (bytes < sizes[n] || at < ITEMS_AT || at > v->meta_bytes - sizes[n]) {
        return "its metadata do not make sense";
    }
    return vhdx_log_read(v, v->meta_at + at, items->value[n], sizes[n]) == 0 ? NULL : "its metadata cannot be read";
}

static const char *read_metadata(const Vhdx *v, Items *items)
{
    uint8_t *t = xnewn(uint8_t, ITEMS_AT);
    const char *why = vhdx_log_read(v, v->meta_at, t, ITEMS_AT) != 0 ? "its metadata cannot be read" : NULL;
    unsigned count = ld_le16(t + 10);

    if (why == NULL && (memcmp(t, "metadata", 8) != 0 || count > ITEMS_MAX)) {
        why = "its metadata do not make sense";
    }
    for (unsigned n = 0; n < count && why == NULL; n++) {
        why = take_item(v, t + ITEM_BYTES + n * ITEM_BYTES, items);
    }
    free(t);
    return why;
}

static const char *take_metadata(Vhdx *v, uint64_t *disk_size)
{
    Items items = { 0 };
    const char *why = read_metadata(v, &items);
    uint64_t block = ld_le32(items.value[XM_PARAMETERS]), sector = ld_le32(items.value[XM_LOGICAL]), entries;

    if (why != NULL) {
        return why;
    }
    if (!items.there[XM_PARAMETERS] || !items.there[XM_SIZE] || !items.there[XM_LOGICAL]) {
        return "it lacks metadata";
    }
    if (ld_le32(items.value[XM_PARAMETERS] + 4) & 2) {
        return "unsupported VHDX image (it has a parent)";
    }
    *disk_size = ld_le64(items.value[XM_SIZE]);
    if (block < VHDX_BLOCK_MIN || block > VHDX_BLOCK_MAX || (block & (block - 1)) != 0 || (sector != 512 && sector != 4096) ||
        *disk_size > DISK_MAX || *disk_size % 512 != 0) {
        return "its sizes do not make sense";
    }
    v->block = (uint32_t)block;
    v->blocks = (*disk_size + block - 1) / block;
    v->chunk = (sector << 23) / block;
    entries = v->blocks + (v->blocks != 0 ? (v->blocks - 1) / v->chunk : 0);
    if (entries > ENTRIES_MAX || entries * 8 > v->bat_bytes) {
        return "its table of blocks is too small";
    }
    v->bat_bytes = (entries * 8 + VHDX_PAGE - 1) & ~(uint64_t)(VHDX_PAGE - 1);
    return NULL;
}

/* ---- blocks ---- */

/* take_place - nothing else is there, MiB by MiB. */
static bool take_place(uint8_t *seen, uint64_t places, uint64_t at, uint64_t bytes)
{
    uint64_t from = at / VHDX_MIB, count = (bytes + VHDX_MIB - 1) / VHDX_MIB;

    if (from > places || count > places - from) {
        return false;
    }
    for (uint64_t n = from; n < from + count; n++) {
        if (seen[n / 8] & BIT(n % 8)) {
            return false;
        }
        seen[n / 8] |= (uint8_t)BIT(n % 8);
    }
    return true;
}

static bool check_blocks(const Vhdx *v, uint64_t file_size)
{
    uint64_t places = (file_size + VHDX_MIB - 1) / VHDX_MIB;
    uint8_t *seen = places <= FILE_MIB_MAX ? try_newn(uint8_t, places / 8 + 1) : NULL;
    bool ok = seen != NULL && take_place(seen, places, 0, VHDX_MIB) && take_place(seen, places, v->log_at, v->log_bytes) &&
              take_place(seen, places, v->meta_at, 2 * ITEMS_AT) && take_place(seen, places, v->bat_at, v->bat_bytes);

    for (uint64_t n = 0; n < v->blocks && ok; n++) {
        uint64_t e = v->bat[n + n / v->chunk];

        if ((e & XB_STATE) == XB_PRESENT) {
            ok = take_place(seen, places, VHDX_PLACE(e), v->block);
        } else {
            ok = (e & XB_STATE) <= XB_UNMAPPED;
        }
    }
    free(seen);
    return ok;
}

static const char *read_bat(Vhdx *v, uint64_t file_size)
{
    v->bat = try_newn(uint64_t, MAX(v->bat_bytes, VHDX_PAGE) / 8);
    v->dirty = try_newn(uint8_t, v->bat_bytes / VHDX_PAGE / 8 + 1);
    if (v->bat == NULL || v->dirty == NULL) {
        return strerror(ENOMEM);
    }
    if (vhdx_log_read(v, v->bat_at, v->bat, v->bat_bytes) != 0) {
        return "its table of blocks cannot be read";
    }
    v->next = (file_size + VHDX_MIB - 1) & ~(VHDX_MIB - 1);
    return check_blocks(v, file_size) ? NULL : "its table of blocks does not make sense";
}

static bool log_empty(const Vhdx *v)
{
    static const uint8_t none[16];

    return memcmp(v->log_guid, none, 16) == 0;
}

const char *vhdx_open_file(Vhdx *v, HostFile *host, uint64_t file_size, bool write, uint64_t *disk_size)
{
    const char *why;
    int r = 0;

    v->host = host;
    why = read_header(v);
    why = why == NULL ? read_regions(v) : why;
    why = why == NULL && !log_empty(v) ? vhdx_log_find(v, file_size) : why;
    if (why == NULL && v->replay.entries != 0 && write) {
        r = vhdx_log_replay(v, file_size);
    }
    file_size = MAX(file_size, v->replay.last);
    if (why == NULL && r == 0 && write) {
        v->replay = (VhdxReplay){ 0 };
        if (!log_empty(v)) {
            memset(v->log_guid, 0, 16);
            r = vhdx_write_header(v);
        }
    }
    why = why != NULL ? why : r != 0 ? strerror(-r) : take_metadata(v, disk_size);
    if (why == NULL && v->replay.entries != 0 && !vhdx_log_inside(v)) {
        why = "its log has to be written again, and it is opened read-only";
    }
    return why == NULL ? read_bat(v, file_size) : why;
}
