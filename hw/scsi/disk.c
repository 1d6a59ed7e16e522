/*
 * The devices scsi-hd and scsi-cd: properties, place on the bus, saved state.
 */
#include "hw/scsi/internal.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/boot-order.h"

#define AUTO 0xffffffffu

static ScsiDisk *disk_of(Device *dev)
{
    return container_of(dev, ScsiDisk, dev);
}

/* ---- place ---- */

static void put_in(ScsiBus *bus, ScsiDisk *d)
{
    ScsiDisk **p = &bus->first;

    while (*p != NULL && ((*p)->channel < d->channel || ((*p)->channel == d->channel && ((*p)->id < d->id ||
                                                         ((*p)->id == d->id && (*p)->lun < d->lun))))) {
        p = &(*p)->next;
    }
    d->next = *p;
    *p = d;
    d->bus = bus;
}

/* choose - the first free number where none was given: of a target, or of a unit in the target that was. */
static bool choose(ScsiBus *bus, ScsiDisk *d, Error **errp)
{
    if (d->id == AUTO) {
        uint32_t lun = d->lun != AUTO ? d->lun : 0;

        for (d->id = 0; scsi_unit(bus, d->channel, d->id, lun) != NULL; d->id++) {
            if (d->id == bus->max_id) {
                error_set(errp, "no free target");
                return false;
            }
        }
        d->lun = lun;
    } else if (d->lun == AUTO) {
        for (d->lun = 0; scsi_unit(bus, d->channel, d->id, d->lun) != NULL; d->lun++) {
            if (d->lun == bus->max_lun) {
                error_set(errp, "no free lun");
                return false;
            }
        }
    } else if (scsi_unit(bus, d->channel, d->id, d->lun) != NULL) {
        error_set(errp, "lun already used by '%s'", scsi_unit(bus, d->channel, d->id, d->lun)->dev.id);
        return false;
    }
    return true;
}

static bool find_place(ScsiDisk *d, Error **errp)
{
    ScsiBus *bus = d->bus_name != NULL ? device_bus_find(BUS_SCSI, d->bus_name, errp) : device_bus_nth(BUS_SCSI, 0);

    if (bus == NULL) {
        if (d->bus_name == NULL) {
            error_set(errp, "No 'SCSI' bus found for device '%s'", d->dev.cls->name);
        }
        return false;
    }
    if (d->channel > bus->max_channel) {
        error_set(errp, "bad scsi channel id: %u", d->channel);
        return false;
    }
    if (d->id != AUTO && d->id > bus->max_id) {
        error_set(errp, "bad scsi device id: %u", d->id);
        return false;
    }
    if (d->lun != AUTO && d->lun > bus->max_lun) {
        error_set(errp, "bad scsi device lun: %u", d->lun);
        return false;
    }
    if (!choose(bus, d, errp)) {
        return false;
    }
    put_in(bus, d);
    return true;
}

static void leave(ScsiDisk *d)
{
    for (ScsiDisk **p = d->bus != NULL ? &d->bus->first : NULL; p != NULL && *p != NULL; p = &(*p)->next) {
        if (*p == d) {
            *p = d->next;
            break;
        }
    }
    d->bus = NULL;
}

/* ---- life ---- */

static void on_resized(void *opaque)
{
    ScsiDisk *d = opaque;

    d->attention = (ScsiSense){ SENSE_ATTENTION, 0x2a, 0x09 }; /* capacity data have changed */
    if (d->bus != NULL && d->bus->ops->changed != NULL) {
        d->bus->ops->changed(d->bus->opaque, d, 0x2a, 0x09);
    }
}

static const BlockDevOps disk_block_ops = { .resized = on_resized };

static bool check_disk(ScsiDisk *d, Error **errp)
{
    if (!blk_present(d->blk)) {
        error_set(errp, "Device needs media, but drive is empty");
        return false;
    }
    if (!disk_props_check(&d->disk, 32768, errp)) {
        return false;
    }
    d->block = (uint32_t)d->disk.logical;
    if (scsi_blocks(d) == 0) {
        error_set(errp, "%s: the image is empty", blk_name(d->blk));
        return false;
    }
    return true;
}

static bool check_names(ScsiDisk *d, Error **errp)
{
    if (d->serial != NULL && strlen(d->serial) > 36) {
        error_set(errp, "The serial number can't be longer than 36 characters");
        return false;
    }
    if (d->device_id != NULL && strlen(d->device_id) > 20) {
        error_set(errp, "The device identification can't be longer than 20 characters");
        return false;
    }
    if (d->bootindex != AUTO && d->bootindex > INT32_MAX) {
        error_set(errp, "bootindex=%u: too large", d->bootindex);
        return false;
    }
    return true;
}

static bool add_to_boot_order(ScsiDisk *d, Error **errp)
{
    autofree char *path = xasprintf("%s/channel@%x/disk@%x,%x", d->bus->path, d->channel, d->id, d->lun);

    return boot_order_add(&d->dev, (int32_t)d->bootindex, path, errp);
}

/* a CD drive that has no -drive gets one of its own, by which a disc can be put in */
static bool own_drive(ScsiDisk *d, Error **errp)
{
    BlockParams p = { .name = d->dev.id };

    d->blk = blk_new(&p, errp);
    return d->blk != NULL;
}

static bool disk_realize(Device *dev, Error **errp)
{
    ScsiDisk *d = disk_of(dev);

    d->cd = dev->cls == &scsi_cd_class;
    d->block = CD_SECTOR;
    if (d->blk == NULL && !d->cd) {
        error_set(errp, "drive property not set");
        return false;
    }
    if (d->cd) {
        d->disk.logical = d->disk.physical = CD_SECTOR;
    }
    if (!check_names(d, errp) || (d->blk == NULL && !own_drive(d, errp)) ||
        (d->cd ? !disk_props_check(&d->disk, CD_SECTOR, errp) : !check_disk(d, errp))) {
        return false;
    }
    d->mmc.blk = d->blk;
    if (d->product == NULL) {
        d->product = xstrdup(d->cd ? "QEMU CD-ROM" : "QEMU HARDDISK");
    }
    if (!disk_props_attach(&d->disk, d->blk, dev->id, d->cd ? &mmc_block_ops : &disk_block_ops,
                           d->cd ? (void *)&d->mmc : (void *)d, errp)) {
        return false;
    }
    if (find_place(d, errp)) {
        if (add_to_boot_order(d, errp)) {
            dev->parent = d->bus->owner;
            if (d->bus->ops->came != NULL) {
                d->bus->ops->came(d->bus->opaque, d);
            }
            return true;
        }
        leave(d);
    }
    blk_detach(d->blk);
    return false;
}

static void disk_unrealize(Device *dev)
{
    ScsiDisk *d = disk_of(dev);

    if (d->bus != NULL && d->bus->ops->going != NULL) {
        d->bus->ops->going(d->bus->opaque, d); /* ends its tasks */
    }
    boot_order_remove(dev);
    leave(d);
    blk_detach(d->blk);
}

static void disk_reset(Device *dev)
{
    scsi_unit_reset(disk_of(dev));
}

static bool disk_post_load(Device *dev, Error **errp)
{
    if (!mmc_state_ok(&disk_of(dev)->mmc)) {
        error_set(errp, "no such state of a CD-ROM drive");
        return false;
    }
    return true;
}

static void disk_print(Device *dev, FILE *out)
{
    ScsiDisk *d = disk_of(dev);

    if (d->bus != NULL) {
        fprintf(out, "  bus %s, channel %u, scsi-id %u, lun %u, drive \"%s\"\n", d->bus->name, d->channel, d->id, d->lun,
                blk_name(d->blk));
    }
}

/* ---- tables ---- */

#define COMMON_PROPS                                                                               \
    PROP_DRIVE("drive", ScsiDisk, blk, "block device to use"),                                     \
    PROP_STR("bus", ScsiDisk, bus_name, NULL, "its bus, by name"),                                 \
    PROP_U32("channel", ScsiDisk, channel, 0, "channel of the bus"),                               \
    PROP_U32("scsi-id", ScsiDisk, id, AUTO, "target; none: the first free one"),                   \
    PROP_U32("lun", ScsiDisk, lun, AUTO, "logical unit of the target"),                            \
    PROP_U32("bootindex", ScsiDisk, bootindex, AUTO, "place in the firmware's boot order"),        \
    PROP_STR("serial", ScsiDisk, serial, NULL, "serial number, 36 characters"),                    \
    PROP_STR("vendor", ScsiDisk, vendor, "QEMU", "vendor, 8 characters"),                          \
    PROP_STR("product", ScsiDisk, product, NULL, "product name, 16 characters"),                   \
    PROP_STR("ver", ScsiDisk, ver, "2.5+", "firmware version, 4 characters"),                      \
    PROP_STR("device_id", ScsiDisk, device_id, NULL, "identification, 20 characters"),             \
    PROP_U64("wwn", ScsiDisk, wwn, 0, "world wide name"),                                          \
    DISK_POLICY_PROPS(ScsiDisk, disk)

static const Property hd_props[] = {
    COMMON_PROPS,
    DISK_SIZE_PROPS(ScsiDisk, disk),
    PROP_U16("rotation_rate", ScsiDisk, rotation_rate, 0, "1: solid state, else turns a minute"),
    PROP_BOOL("removable", ScsiDisk, removable, false, "it says so"),
    PROP_BOOL("dpofua", ScsiDisk, dpofua, false, "writes past the cache are offered"),
    PROP_END,
};
static const Property cd_props[] = {
    COMMON_PROPS,
    PROP_SIZE("min_io_size", ScsiDisk, disk.min_io, 0, "what it should read at least"),
    PROP_SIZE("opt_io_size", ScsiDisk, disk.opt_io, 0, "what is best"),
    PROP_END,
};

static const StateField disk_fields[] = {
    STATE_STRUCT(ScsiDisk, attention, scsi_sense_fields), STATE_BOOL(ScsiDisk, write_cache), STATE_BOOL(ScsiDisk, stopped),
    STATE_STRUCT(ScsiDisk, mmc, mmc_fields), STATE_END,
};

#define DISK_CLASS(cname, text, p)                                                                 \
    {                                                                                              \
        .name = (cname), .desc = (text), .size = sizeof(ScsiDisk), .bus = BUS_SCSI,                \
        .user_creatable = true, .props = (p), .fields = disk_fields, .realize = disk_realize,      \
        .unrealize = disk_unrealize, .reset = disk_reset, .post_load = disk_post_load,             \
        .print = disk_print,                                                                       \
    }
const DeviceClass scsi_hd_class = DISK_CLASS("scsi-hd", "virtual SCSI disk", hd_props);
const DeviceClass scsi_cd_class = DISK_CLASS("scsi-cd", "virtual SCSI CD-ROM", cd_props);
