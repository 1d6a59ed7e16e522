/*
 * fw_cfg on ports 510h (selector), 511h (data) and 514h (DMA).
 *
 * Source: QEMU's published specification "QEMU Firmware Configuration (fw_cfg) Device" (headings
 * quoted).
 */
#include "hw/misc/fw_cfg.h"

#include <assert.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/misc/trace.h"

#define FW_CFG_FILES 64
#define FW_CFG_GENERIC (FW_CFG_FILE_FIRST + FW_CFG_FILES)
#define FW_CFG_LOCAL 16
#define FW_CFG_NAME 56

/* "Guest-side DMA Interface" */
#define DMA_ERROR 0x01u
#define DMA_READ 0x02u
#define DMA_SKIP 0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE 0x10u
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */
/* Beyond an item's end zeros are read; a guest gets no more of them than this at once. */
#define DMA_ZEROS_MAX (1u << 20)

typedef struct FwItem {
    uint8_t *data;
    uint32_t len;
    bool writable;                 /* then data is a device's own */
    void (*written)(void *opaque); /* may be NULL */
    void *opaque;
} FwItem;

struct FwCfg {
    Device dev;
    void (*on_select)(void *opaque); /* wiring: before file on_key is read */
    void *on_opaque;
    uint16_t on_key;
    FwItem generic[FW_CFG_GENERIC], local[FW_CFG_LOCAL];
    char names[FW_CFG_FILES][FW_CFG_NAME];
    unsigned files;
    uint16_t key;
    uint32_t offset;
    uint32_t dma_high; /* upper half of the DMA address, host order */
    IoRegion io, io_dma;
};

static FwItem *fw_item(FwCfg *f, uint16_t key)
{
    if (key >= FW_CFG_ARCH_LOCAL) {
        key -= FW_CFG_ARCH_LOCAL;
        return key < FW_CFG_LOCAL ? &f->local[key] : NULL;
    }
    return key < FW_CFG_GENERIC ? &f->generic[key] : NULL;
}

static void fw_select(FwCfg *f, uint16_t key)
{
    trace_fw_select(key);
    if (f->on_select != NULL && (key & 0xbfff) == f->on_key) {
        f->on_select(f->on_opaque);
    }
    f->key = key & 0xbfff; /* bit 14: write, of no meaning any more */
    f->offset = 0;
}

static uint8_t fw_next(FwCfg *f)
{
    const FwItem *item = fw_item(f, f->key);

    return item != NULL && f->offset < item->len ? item->data[f->offset++] : 0;
}

/* fw_dma_read - copy from the item, then zeros. */
static bool fw_dma_read(FwCfg *f, uint64_t addr, uint32_t len)
{
    const FwItem *item = fw_item(f, f->key);
    uint32_t left = item != NULL && f->offset < item->len ? item->len - f->offset : 0;
    uint32_t n = MIN(len, left);
    static const uint8_t zeros[4096];

    if (addr + len < addr || len - n > DMA_ZEROS_MAX) {
        return false;
    }
    if (n > 0 && !dma_write(addr, item->data + f->offset, n)) {
        return false;
    }
    f->offset += n;
    for (addr += n, len -= n; len > 0; addr += n, len -= n) {
        n = MIN(len, (uint32_t)sizeof(zeros));
        if (!dma_write(addr, zeros, n)) {
            return false;
        }
    }
    return true;
}

/* fw_dma_write - "Guest-side DMA Interface", bit 4: a part of an item that can be written, and no byte more. */
static bool fw_dma_write(FwCfg *f, uint64_t addr, uint32_t len)
{
    const FwItem *item = fw_item(f, f->key);
    autofree uint8_t *part = NULL;

    if (item == NULL || !item->writable || f->offset > item->len || len > item->len - f->offset) {
        return false;
    }
    part = xnewn(uint8_t, len + 1);
    if (!dma_read(addr, part, len)) {
        return false;
    }
    memcpy(item->data + f->offset, part, len);
    f->offset += len;
    if (item->written != NULL) {
        item->written(item->opaque);
    }
    return true;
}

static void fw_dma(FwCfg *f, uint64_t desc)
{
    uint8_t d[16];
    uint32_t control, len;
    uint64_t addr;
    const FwItem *item;

    if (!dma_read(desc, d, sizeof(d))) {
        return;
    }
    control = __builtin_bswap32(ld_le32(d));
    len = __builtin_bswap32(ld_le32(d + 4));
    addr = __builtin_bswap64(ld_le64(d + 8));
    trace_fw_dma(control, len, addr);
    if (control & DMA_SELECT) {
        fw_select(f, (uint16_t)(control >> 16));
    }
    item = fw_item(f, f->key);
    if (control & DMA_READ) {
        control = fw_dma_read(f, addr, len) ? 0 : DMA_ERROR;
    } else if (control & DMA_WRITE) {
        control = fw_dma_write(f, addr, len) ? 0 : DMA_ERROR;
    } else if (control & DMA_SKIP) {
        f->offset += MIN(len, item != NULL && f->offset < item->len ? item->len - f->offset : 0);
        control = 0;
    } else {
        control = 0;
    }
    st_le32(d, __builtin_bswap32(control));
    dma_write(desc, d, 4);
}

static uint64_t fw_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset == 1 && size == 1 ? fw_next(opaque) : 0;
}

static void fw_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    if (offset == 0 && size == 2) {
        fw_select(opaque, (uint16_t)val);
    }
}

static uint64_t fw_dma_reg_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t v = __builtin_bswap64(DMA_SIGNATURE);

    return v >> offset * 8;
}

static void fw_dma_reg_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    FwCfg *f = opaque;

    if (size == 8 && offset == 0) {
        fw_dma(f, __builtin_bswap64(val));
    } else if (size == 4 && offset == 0) {
        f->dma_high = __builtin_bswap32((uint32_t)val);
    } else if (size == 4 && offset == 4) {
        fw_dma(f, (uint64_t)f->dma_high << 32 | __builtin_bswap32((uint32_t)val));
        f->dma_high = 0;
    }
}

static const IoOps fw_ops = {
    .read = fw_read, .write = fw_write, .max_size = 2, .unaligned = true,
};
static const IoOps fw_dma_ops = {
    .read = fw_dma_reg_read, .write = fw_dma_reg_write, .max_size = 8,
};

/* ---- contents ---- */

FwCfg *fw_cfg_of(Device *dev)
{
    return container_of(dev, FwCfg, dev);
}

/* fw_clear - the item is empty then. */
static void fw_clear(FwItem *item)
{
    if (!item->writable) {
        free(item->data);
    }
    *item = (FwItem){ 0 };
}

void fw_cfg_add_bytes(FwCfg *f, uint16_t key, const void *data, size_t len)
{
    FwItem *item = fw_item(f, key);

    assert(item != NULL && len <= UINT32_MAX);
    fw_clear(item);
    item->data = xnewn(uint8_t, len + 1);
    if (len > 0) {
        memcpy(item->data, data, len);
    }
    item->len = (uint32_t)len;
}

void fw_cfg_add_u16(FwCfg *f, uint16_t key, uint16_t val)
{
    fw_cfg_add_bytes(f, key, &val, sizeof(val));
}
void fw_cfg_add_u32(FwCfg *f, uint16_t key, uint32_t val)
{
    fw_cfg_add_bytes(f, key, &val, sizeof(val));
}
void fw_cfg_add_u64(FwCfg *f, uint16_t key, uint64_t val)
{
    fw_cfg_add_bytes(f, key, &val, sizeof(val));
}

/* "File directory": count, then 64 bytes each: size, select, reserved, name. Big-endian. */
static void fw_build_directory(FwCfg *f)
{
    uint8_t dir[4 + FW_CFG_FILES * 64] = { 0 };

    st_le32(dir, __builtin_bswap32(f->files));
    for (unsigned i = 0; i < f->files; i++) {
        uint8_t *e = dir + 4 + i * 64;

        st_le32(e, __builtin_bswap32(f->generic[FW_CFG_FILE_FIRST + i].len));
        st_le16(e + 4, __builtin_bswap16((uint16_t)(FW_CFG_FILE_FIRST + i)));
        memcpy(e + 8, f->names[i], FW_CFG_NAME);
    }
    fw_cfg_add_bytes(f, FW_CFG_FILE_DIR, dir, 4 + f->files * 64);
}

bool fw_cfg_add_file(FwCfg *f, const char *name, const void *data, size_t len, struct Error **errp)
{
    unsigned i;

    if (strlen(name) >= FW_CFG_NAME) {
        error_set(errp, "fw_cfg: name '%s' is longer than %d bytes", name, FW_CFG_NAME - 1);
        return false;
    }
    for (i = 0; i < f->files && strcmp(f->names[i], name) != 0; i++) {
    }
    if (i == FW_CFG_FILES) {
        error_set(errp, "fw_cfg: no room for '%s': %d files are there", name, FW_CFG_FILES);
        return false;
    }
    if (i == f->files) {
        strcpy(f->names[i], name); /* fits: checked above */
        f->files++;
    }
    fw_cfg_add_bytes(f, (uint16_t)(FW_CFG_FILE_FIRST + i), data, len);
    fw_build_directory(f);
    return true;
}

bool fw_cfg_add_writable(FwCfg *f, const char *name, uint8_t *data, size_t len, void (*written)(void *opaque),
                         void *opaque, struct Error **errp)
{
    if (!fw_cfg_add_file(f, name, data, len, errp)) { /* which finds it a place in the directory */
        return false;
    }
    for (unsigned i = 0; i < f->files; i++) {
        if (strcmp(f->names[i], name) == 0) {
            FwItem *item = &f->generic[FW_CFG_FILE_FIRST + i];

            fw_clear(item);
            *item = (FwItem){ data, (uint32_t)len, true, written, opaque };
        }
    }
    return true;
}

void fw_cfg_drop_writable(FwCfg *f, const uint8_t *data)
{
    for (unsigned i = 0; i < f->files; i++) {
        if (f->generic[FW_CFG_FILE_FIRST + i].data == data) {
            fw_clear(&f->generic[FW_CFG_FILE_FIRST + i]);
        }
    }
}

void fw_cfg_on_select(FwCfg *f, const char *name, void (*fn)(void *opaque), void *opaque)
{
    for (unsigned i = 0; i < f->files; i++) {
        if (strcmp(f->names[i], name) == 0) {
            f->on_key = (uint16_t)(FW_CFG_FILE_FIRST + i);
            f->on_select = fn;
            f->on_opaque = opaque;
        }
    }
}

/* ---- device ---- */

static bool fw_realize(Device *dev, struct Error **errp)
{
    FwCfg *f = fw_cfg_of(dev);

    io_region_init(&f->io, &fw_ops, f, "fwcfg", 2);
    io_region_init(&f->io_dma, &fw_dma_ops, f, "fwcfg.dma", 8);
    if (!port_map(&f->io, 0x510, errp)) {
        return false;
    }
    if (!port_map(&f->io_dma, 0x514, errp)) {
        port_unmap(&f->io);
        return false;
    }
    fw_cfg_add_bytes(f, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_u32(f, FW_CFG_ID, 3); /* traditional and DMA interface */
    fw_build_directory(f);
    return true;
}

static void fw_unrealize(Device *dev)
{
    FwCfg *f = fw_cfg_of(dev);

    port_unmap(&f->io_dma);
    port_unmap(&f->io);
    for (unsigned i = 0; i < FW_CFG_GENERIC; i++) {
        fw_clear(&f->generic[i]);
    }
    for (unsigned i = 0; i < FW_CFG_LOCAL; i++) {
        fw_clear(&f->local[i]);
    }
}

static void fw_reset(Device *dev)
{
    FwCfg *f = fw_cfg_of(dev);

    fw_select(f, 0);
    f->dma_high = 0;
}

static const StateField fw_fields[] = {
    STATE_U16(FwCfg, key), STATE_U32(FwCfg, offset), STATE_U32(FwCfg, dma_high), STATE_END,
};

const DeviceClass fw_cfg_class = {
    .name = "fw_cfg_io",
    .alias = "fw_cfg",
    .desc = "firmware configuration device",
    .size = sizeof(FwCfg),
    .realize = fw_realize,
    .unrealize = fw_unrealize,
    .reset = fw_reset,
    .fields = fw_fields,
};
