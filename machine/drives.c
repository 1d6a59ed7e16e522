/*
 * From the drives of the command line to back ends and devices.
 */
#include "machine/drives.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "block/node.h"
#include "bus/device.h"
#include "machine/config.h"
#include "machine/pc.h"

const Drive *drive_find(const MachineConfig *cfg, DriveIf iface, unsigned bus, unsigned unit)
{
    for (size_t n = 0; n < cfg->drive_count; n++) {
        const Drive *d = &cfg->drives[n];

        if (d->iface == iface && d->bus == bus && d->unit == unit) {
            return d;
        }
    }
    return NULL;
}

const char *drive_flash(const MachineConfig *cfg, unsigned unit)
{
    const Drive *d = drive_find(cfg, DRIVE_PFLASH, 0, unit);

    return cfg->pflash[unit] != NULL ? cfg->pflash[unit] : d != NULL ? d->id : NULL;
}

void drives_free(MachineConfig *cfg)
{
    for (size_t n = 0; n < cfg->drive_count; n++) {
        Drive *d = &cfg->drives[n];

        free(d->id);
        free(d->file);
        free(d->format);
        free(d->serial);
        free(d->group);
        free(d->from);
    }
    for (size_t n = 0; n < cfg->blockdev_count; n++) {
        opt_free(cfg->blockdevs[n]);
    }
    free(cfg->blockdevs);
    cfg->blockdevs = NULL;
    cfg->blockdev_count = 0;
    free(cfg->drives);
    cfg->drives = NULL;
    cfg->drive_count = 0;
}

/* default_cd - an empty drive, where index=2 is, for users who need to give it a disc
 * later. A -device for a disk or CD says that the user makes the choice. */
static bool default_cd(const MachineConfig *cfg)
{
    static const char *const choosers[] = { "ide-cd", "ide-hd", "scsi-cd", "scsi-hd" };

    if (cfg->none || cfg->nodefaults || drive_find(cfg, DRIVE_IDE, cfg->kind == PC_Q35 ? 2 : 1, 0) != NULL) {
        return false;
    }
    for (size_t n = 0; n < cfg->device_count; n++) {
        const char *driver = opt_get_str(cfg->devices[n], "driver", "");

        for (size_t i = 0; i < ARRAY_SIZE(choosers); i++) {
            if (strcmp(driver, choosers[i]) == 0) {
                return false;
            }
        }
    }
    return true;
}

bool drive_open(const Drive *d, bool snapshots, Error **errp)
{
    BlockParams p = {
        .name = d->id,
        .file = d->file,
        .format = d->format,
        .serial = d->serial,
        .read_only = d->read_only || d->cdrom,
        .cache = d->cache,
        .write_error = d->write_error,
        .read_error = d->read_error,
        .detect_zeroes = d->detect_zeroes,
        .limits = d->limits,
        .group = d->group,
        .direct = d->direct,
        .aio = d->aio,
        .no_locks = d->no_locks,
        .force_share = d->force_share,
        .discard = d->discard,
        .copy_on_read = d->copy_on_read && !(d->read_only || d->cdrom),
        .snapshot = d->snapshot_said ? d->snapshot : snapshots,
    };

    if (d->copy_on_read && !p.copy_on_read) {
        report("warning: %s: disabling copy-on-read on read-only drive", d->from);
    }
    if (blk_new(&p, errp) == NULL) {
        error_prepend(errp, "%s: ", d->from);
        return false;
    }
    return true;
}

/* add_empty - one more drive, without a medium. */
static bool add_empty(MachineConfig *cfg, Drive d, const char *id, Error **errp)
{
    d.id = xstrdup(id);
    d.from = xasprintf("default drive %s", id);
    cfg->drives = xrealloc(cfg->drives, cfg->drive_count + 1, sizeof(*cfg->drives));
    cfg->drives[cfg->drive_count] = d;
    return drive_open(&cfg->drives[cfg->drive_count++], false, errp);
}

/* note_shared - drives that a device bears others to write to: known before they are opened, since that locks them. */
static void note_shared(const MachineConfig *cfg)
{
    for (size_t n = 0; n < cfg->device_count; n++) {
        autofree char *text = opt_text(cfg->devices[n]);
        OptList *l = opt_parse(text, NULL, NULL); /* to look at: what the device was given stays unasked for */

        if (l != NULL && opt_get_bool(l, "share-rw", false) && opt_has(l, "drive")) {
            blk_will_share(opt_get_str(l, "drive", NULL));
        }
        opt_free(l);
    }
}

bool drives_open(MachineConfig *cfg, Error **errp)
{
    note_shared(cfg);
    for (size_t n = 0; n < cfg->blockdev_count; n++) {
        if (!node_add(cfg->blockdevs[n], errp)) {
            autofree char *text = opt_text(cfg->blockdevs[n]);

            error_prepend(errp, "-blockdev %s: ", text);
            return false;
        }
    }
    for (size_t n = 0; n < cfg->drive_count; n++) {
        const Drive *d = &cfg->drives[n];

        if (cfg->none && d->iface != DRIVE_NONE) {
            error_set(errp, "%s: machine type does not support it: there is no board", d->from);
            return false;
        }
        if (!drive_open(d, cfg->snapshot, errp)) {
            return false;
        }
    }
    return (!default_cd(cfg) ||
            add_empty(cfg, (Drive){ .iface = DRIVE_IDE, .bus = cfg->kind == PC_Q35 ? 2 : 1, .cdrom = true },
                      cfg->kind == PC_Q35 ? "ide2-cd0" : "ide1-cd0", errp)) &&
           (cfg->none || cfg->kind == PC_Q35 || cfg->nodefaults || drive_find(cfg, DRIVE_FLOPPY, 0, 0) != NULL ||
            add_empty(cfg, (Drive){ .iface = DRIVE_FLOPPY }, "floppy0", errp));
}

static bool plug(const Drive *d, Device *dev, Error **errp)
{
    dev->board = pc_board();
    if (!device_set(dev, "drive", d->id, errp) || !device_realize(dev, errp)) {
        error_prepend(errp, "%s: ", d->from);
        device_free(dev);
        return false;
    }
    return true;
}

static bool plug_ide(const Drive *d, Error **errp)
{
    Device *dev = device_new(device_class_find(d->cdrom ? "ide-cd" : "ide-hd"), NULL);
    const char bus[] = { 'i', 'd', 'e', '.', (char)('0' + d->bus), 0 };
    const char unit[] = { (char)('0' + d->unit), 0 };

    device_set(dev, "bus", bus, NULL);
    device_set(dev, "unit", unit, NULL);
    return plug(d, dev, errp);
}

bool drives_plug(const MachineConfig *cfg, Error **errp)
{
    for (unsigned place = 0; place < 12; place++) { /* two on each channel, or one on each of six ports */
        const Drive *d = drive_find(cfg, DRIVE_IDE, place / 2, place % 2);

        if (d != NULL && !plug_ide(d, errp)) {
            return false;
        }
    }
    for (size_t n = 0; n < cfg->drive_count; n++) {
        const Drive *d = &cfg->drives[n];

        if (d->iface == DRIVE_VIRTIO && !plug(d, device_new(device_class_find("virtio-blk-pci"), NULL), errp)) {
            return false;
        }
    }
    return true;
}
