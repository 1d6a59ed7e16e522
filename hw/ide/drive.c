/*
 * The devices ide-hd and ide-cd: properties, place on the bus, saved state.
 */
#include "hw/ide/internal.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/boot-order.h"

#define AUTO 0xffffffffu
#define CHS_MAX_CYLS 16383u /* what IDENTIFY says at most; the rest is reached by LBA */

static IdeDrive *drive_of(Device *dev)
{
    return container_of(dev, IdeDrive, dev);
}

/* ---- place ---- */

static bool take_place(IdeBus *bus, uint32_t unit, IdeDrive *d)
{
    for (unsigned n = 0; n < bus->units; n++) {
        if ((unit == AUTO || unit == n) && bus->drive[n] == NULL) {
            bus->drive[n] = d;
            d->bus = bus;
            d->unit = n;
            return true;
        }
    }
    return false;
}

static bool check_unit(const IdeDrive *d, unsigned units, Error **errp)
{
    if (d->unit != AUTO && d->unit >= units) {
        error_set(errp, "Can't create IDE unit %u, bus supports only %u units", d->unit, units);
        return false;
    }
    return true;
}

static void told(IdeBus *bus)
{
    if (bus->dma != NULL && bus->dma->plugged != NULL) {
        bus->dma->plugged(bus->dma_opaque);
    }
}

/* find_place - bus= and unit= where they are given, else the first free one. */
static bool find_place(IdeDrive *d, Error **errp)
{
    IdeBus *bus;

    if (d->bus_name != NULL) {
        bus = device_bus_find(BUS_IDE, d->bus_name, errp);
        if (bus == NULL || !check_unit(d, bus->units, errp)) {
            return false;
        }
        if (take_place(bus, d->unit, d)) {
            return true;
        }
        if (d->unit == AUTO) {
            error_set(errp, "Bus '%s' is full", d->bus_name);
        } else {
            error_set(errp, "IDE unit %u is in use", d->unit);
        }
        return false;
    }
    if (!check_unit(d, 2, errp)) {
        return false;
    }
    for (unsigned n = 0; (bus = device_bus_nth(BUS_IDE, n)) != NULL; n++) {
        if (take_place(bus, d->unit, d)) {
            return true;
        }
    }
    error_set(errp, device_bus_nth(BUS_IDE, 0) != NULL ? "No free place on the IDE buses"
                                                       : "No 'IDE' bus found for device '%s'",
              d->dev.cls->name);
    return false;
}

/* ---- geometry ---- */

static bool set_geometry(IdeDrive *d, Error **errp)
{
    static const char *const names[] = { "none", "lba", "large", "rechs", "auto" };
    bool known = false;

    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        known |= strcmp(d->translation, names[n]) == 0;
    }
    if (!known) {
        error_set(errp, "bios-chs-trans=%s: not auto, none, lba, large or rechs", d->translation);
        return false;
    }
    if (d->cyls == 0 && d->heads == 0 && d->secs == 0) {
        d->heads = 16;
        d->secs = 63;
        d->cyls = (uint32_t)MIN(MAX(d->sectors / (16 * 63), 2u), CHS_MAX_CYLS);
    }
    if (d->cyls < 1 || d->cyls > 65535 || d->heads < 1 || d->heads > 16 || d->secs < 1 ||
        d->secs > 255) {
        error_set(errp, "cyls=%u, heads=%u, secs=%u: not within 1 to 65535, 16 and 255", d->cyls,
                  d->heads, d->secs);
        return false;
    }
    return true;
}

/* How firmware should fold the disk's cylinders into the 1024 that INT 13h can name. */
static unsigned translation(const IdeDrive *d)
{
    if (strcmp(d->translation, "auto") != 0) {
        return strcmp(d->translation, "none") == 0  ? 0
               : strcmp(d->translation, "lba") == 0 ? 1
               : strcmp(d->translation, "large") == 0 ? 2
                                                      : 3;
    }
    return d->cyls <= 1024 ? 0 : d->cyls * d->heads <= 131072 ? 2 : 1;
}

/* place_number - 0 to 3 on a PC. */
static unsigned place_number(const IdeDrive *d)
{
    unsigned n = 0;

    while (device_bus_nth(BUS_IDE, n) != d->bus) {
        n++;
    }
    return n * 2 + d->unit;
}

bool ide_geometry(Device *dev, IdeGeometry *g)
{
    IdeDrive *d = drive_of(dev);

    if (dev->cls != &ide_hd_class || d->bus->sata) {
        return false;
    }
    *g = (IdeGeometry){ place_number(d), d->cyls, d->heads, d->secs, translation(d) };
    return true;
}

/* ---- life ---- */

static void disk_resized(void *opaque)
{
    IdeDrive *d = opaque;

    d->sectors = MAX(MIN(blk_size(d->blk) / IDE_SECTOR, BIT64(48)), 1u);
}

static const BlockDevOps disk_block_ops = { .resized = disk_resized };

static bool check_disk(IdeDrive *d, Error **errp)
{
    if (!blk_present(d->blk)) {
        error_set(errp, "Device needs media, but drive is empty");
        return false;
    }
    if (blk_read_only(d->blk)) {
        error_set(errp, "Block node is read-only");
        return false;
    }
    if (!disk_props_check(&d->disk, 512 << 15, errp)) {
        return false;
    }
    if (d->disk.logical != IDE_SECTOR || (d->disk.granularity != DISK_SIZE_AUTO && d->disk.granularity != IDE_SECTOR)) {
        error_set(errp, "%s must be 512 for ide", d->disk.logical != IDE_SECTOR ? "logical_block_size" : "discard_granularity");
        return false;
    }
    d->sectors = MIN(blk_size(d->blk) / IDE_SECTOR, BIT64(48));
    if (d->sectors == 0) {
        error_set(errp, "%s: the image is empty", blk_name(d->blk));
        return false;
    }
    return set_geometry(d, errp);
}

static void set_names(IdeDrive *d)
{
    if (d->serial == NULL) {
        d->serial = blk_serial(d->blk) != NULL ? xstrdup(blk_serial(d->blk))
                                               : xasprintf("QM%05u", place_number(d) + 1);
    }
    if (d->model == NULL) {
        d->model = xstrdup(d->atapi ? "QEMU DVD-ROM" : "QEMU HARDDISK");
    }
}

static bool check_names(IdeDrive *d, Error **errp)
{
    const char *serial = d->serial != NULL ? d->serial : blk_serial(d->blk);

    if (serial != NULL && strlen(serial) > 20) {
        error_set(errp, "serial=%s: more than 20 characters", serial);
        return false;
    }
    if (d->model != NULL && strlen(d->model) > 40) {
        error_set(errp, "model=%s: more than 40 characters", d->model);
        return false;
    }
    if (strlen(d->ver) > 8) {
        error_set(errp, "ver=%s: more than 8 characters", d->ver);
        return false;
    }
    return true;
}

static bool add_to_boot_order(IdeDrive *d, Error **errp)
{
    autofree char *path = xasprintf("%s/disk@%u", d->bus->path, d->unit);

    if (d->bootindex != AUTO && d->bootindex > INT32_MAX) {
        error_set(errp, "bootindex=%u: too large", d->bootindex);
        return false;
    }
    return boot_order_add(&d->dev, (int32_t)d->bootindex, path, errp);
}

static bool drive_realize(Device *dev, Error **errp)
{
    IdeDrive *d = drive_of(dev);

    d->atapi = dev->cls == &ide_cd_class;
    if (d->blk == NULL && !d->atapi) {
        error_set(errp, "No drive specified");
        return false;
    }
    if (d->blk == NULL) { /* a drive that can be given a disc has a name for that */
        BlockParams p = { .name = dev->id };

        d->blk = blk_new(&p, errp);
        if (d->blk == NULL) {
            return false;
        }
    }
    d->mmc.blk = d->blk;
    if (!check_names(d, errp) || (!d->atapi && !check_disk(d, errp)) ||
        !disk_props_attach(&d->disk, d->blk, dev->id, d->atapi ? &mmc_block_ops : &disk_block_ops,
                           d->atapi ? (void *)&d->mmc : (void *)d, errp)) {
        return false;
    }
    if (find_place(d, errp)) {
        if (add_to_boot_order(d, errp)) {
            set_names(d);
            told(d->bus);
            return true;
        }
        d->bus->drive[d->unit] = NULL;
    }
    blk_detach(d->blk);
    return false;
}

static void drive_unrealize(Device *dev)
{
    IdeDrive *d = drive_of(dev);

    boot_order_remove(dev);
    ide_forget(d);
    ide_update_irq(d->bus);
    d->bus->drive[d->unit] = NULL;
    told(d->bus);
    blk_detach(d->blk);
}

static void drive_reset(Device *dev)
{
    IdeDrive *d = drive_of(dev);

    ide_forget(d);
    ide_signature(d);
    ide_update_irq(d->bus);
    d->command = 0;
    d->multiple = 0;
    d->mwdma = 0;
    d->udma = (uint8_t)BIT(5);
    d->write_cache = d->disk.cache;
    d->standby = false;
    d->smart = true;
    d->smart_test = 0;
    d->cur_heads = (uint16_t)d->heads;
    d->cur_secs = (uint16_t)d->secs;
    d->packet_dma = false;
    d->queue_failed = false;
    mmc_reset(&d->mmc);
}

static void drive_print(Device *dev, FILE *out)
{
    IdeDrive *d = drive_of(dev);

    fprintf(out, "  bus %s, unit %u, drive \"%s\", serial \"%s\"\n", d->bus->name, d->unit,
            blk_name(d->blk), d->serial);
}

/* ---- tables ---- */

#define COMMON_PROPS                                                                               \
    PROP_DRIVE("drive", IdeDrive, blk, "block device to use"),                                     \
    PROP_STR("bus", IdeDrive, bus_name, NULL, "ide.0, ide.1, or a port of an AHCI controller"),                                   \
    PROP_U32("unit", IdeDrive, unit, AUTO, "0: master, 1: slave"),                                 \
    PROP_U32("bootindex", IdeDrive, bootindex, AUTO, "place in the firmware's boot order"),        \
    PROP_STR("serial", IdeDrive, serial, NULL, "serial number"),                                   \
    PROP_STR("model", IdeDrive, model, NULL, "model name"),                                        \
    PROP_STR("ver", IdeDrive, ver, "2.5+", "firmware version"),                                    \
    PROP_U64("wwn", IdeDrive, wwn, 0, "world wide name"),                                          \
    DISK_POLICY_PROPS(IdeDrive, disk)

static const Property hd_props[] = {
    COMMON_PROPS,
    DISK_SIZE_PROPS(IdeDrive, disk),
    PROP_U16("rotation_rate", IdeDrive, rotation_rate, 0, "1: solid state, else turns a minute"),
    PROP_U32("cyls", IdeDrive, cyls, 0, "geometry: cylinders"),
    PROP_U32("heads", IdeDrive, heads, 0, "heads"),
    PROP_U32("secs", IdeDrive, secs, 0, "sectors of a track"),
    PROP_STR("bios-chs-trans", IdeDrive, translation, "auto", "auto, none, lba, large or rechs"),
    PROP_END,
};
static const Property cd_props[] = { COMMON_PROPS, PROP_END };

static const StateField task_file_fields[] = {
    STATE_U8(IdeTaskFile, feature), STATE_U8(IdeTaskFile, count), STATE_BYTES(IdeTaskFile, lba),
    STATE_END,
};
static const StateField drive_fields[] = {
    STATE_STRUCT(IdeDrive, now, task_file_fields), STATE_STRUCT(IdeDrive, hob, task_file_fields),
    STATE_U8(IdeDrive, status), STATE_U8(IdeDrive, error), STATE_U8(IdeDrive, head),
    STATE_BOOL(IdeDrive, irq), STATE_U8(IdeDrive, multiple), STATE_U8(IdeDrive, mwdma),
    STATE_U8(IdeDrive, udma), STATE_BOOL(IdeDrive, write_cache), STATE_BOOL(IdeDrive, standby),
    STATE_BOOL(IdeDrive, smart), STATE_U8(IdeDrive, smart_test), STATE_U16(IdeDrive, cur_heads),
    STATE_U16(IdeDrive, cur_secs), STATE_U8(IdeDrive, command), STATE_U8(IdeDrive, phase),
    STATE_BOOL(IdeDrive, ext), STATE_BOOL(IdeDrive, durable), STATE_BOOL(IdeDrive, careful),
    STATE_BOOL(IdeDrive, stream), STATE_U64(IdeDrive, pos), STATE_U64(IdeDrive, left),
    STATE_U32(IdeDrive, block), STATE_U32(IdeDrive, buf_pos), STATE_U32(IdeDrive, buf_len),
    STATE_U32(IdeDrive, drq_end), STATE_BYTES(IdeDrive, buf),
    STATE_STRUCT(IdeDrive, mmc, mmc_fields), STATE_BOOL(IdeDrive, packet_dma),
    STATE_BOOL(IdeDrive, queue_failed), STATE_BYTES(IdeDrive, queue_log), STATE_END,
};

/* What a saved state may not say: indexes beyond the buffer, divisors of 0. */
static bool state_ok(const IdeDrive *d)
{
    bool blocks = d->phase != PH_IDLE && d->phase != PH_PACKET && d->phase != PH_FLUSH;
    uint32_t end = d->phase == PH_DMA_IN ? d->buf_len : d->drq_end;

    return d->phase < PH_COUNT && mmc_state_ok(&d->mmc) &&
           d->multiple <= IDE_MULTIPLE_MAX && d->buf_len <= IDE_BUF_SIZE &&
           d->drq_end <= IDE_BUF_SIZE && d->buf_pos <= end && d->block <= IDE_BUF_SIZE &&
           (!blocks || d->block != 0) && (d->phase != PH_PIO_IN || d->drq_end <= d->buf_len) &&
           (d->phase != PH_PACKET || d->drq_end == 12) &&
           (d->atapi || (d->cur_heads != 0 && d->cur_secs != 0));
}

static bool drive_post_load(Device *dev, Error **errp)
{
    IdeDrive *d = drive_of(dev);

    blk_cancel(d->req);
    d->req = NULL;
    if (!state_ok(d)) {
        error_set(errp, "no such state of an IDE drive");
        return false;
    }
    d->head &= 15;
    return true;
}

#define DRIVE_CLASS(cname, text, p)                                                                \
    {                                                                                              \
        .name = (cname), .desc = (text), .size = sizeof(IdeDrive), .bus = BUS_IDE,                 \
        .user_creatable = true, .props = (p), .fields = drive_fields, .version = 2, .realize = drive_realize,    \
        .unrealize = drive_unrealize, .reset = drive_reset, .post_load = drive_post_load,          \
        .print = drive_print,                                                                      \
    }
const DeviceClass ide_hd_class = DRIVE_CLASS("ide-hd", "virtual IDE disk", hd_props);
const DeviceClass ide_cd_class = DRIVE_CLASS("ide-cd", "virtual IDE CD-ROM", cd_props);
