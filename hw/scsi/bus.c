/*
 * SCSI buses and who sits where.
 */
#include "hw/scsi/internal.h"

#include <stdlib.h>
#include "base/mem.h"

void scsi_bus_init(ScsiBus *bus, Device *owner, const char *path, const ScsiBusOps *ops, void *opaque)
{
    unsigned number = 0;

    while (device_bus_nth(BUS_SCSI, number) != NULL) {
        number++;
    }
    bus->name = owner->named ? xasprintf("%s.0", owner->id) : xasprintf("scsi.%u", number);
    bus->path = xstrdup(path);
    bus->ops = ops;
    bus->opaque = opaque;
    bus->first = NULL;
    bus->owner = owner;
    device_bus_add(BUS_SCSI, bus->name, bus);
}

void scsi_bus_fini(ScsiBus *bus)
{
    while (bus->first != NULL) { /* units without a bus answer nobody */
        ScsiDisk *d = bus->first;

        bus->first = d->next;
        d->bus = NULL;
    }
    device_bus_remove(bus);
    free(bus->name);
    free(bus->path);
}

ScsiDisk *scsi_unit(ScsiBus *bus, unsigned channel, unsigned id, unsigned lun)
{
    for (ScsiDisk *d = bus->first; d != NULL; d = d->next) {
        if (d->channel == channel && d->id == id && d->lun == lun) {
            return d;
        }
    }
    return NULL;
}

ScsiDisk *scsi_target(ScsiBus *bus, unsigned channel, unsigned id)
{
    for (ScsiDisk *d = bus->first; d != NULL; d = d->next) {
        if (d->channel == channel && d->id == id) {
            return d;
        }
    }
    return NULL;
}

void scsi_place(const ScsiDisk *d, unsigned *channel, unsigned *id, unsigned *lun)
{
    *channel = d->channel;
    *id = d->id;
    *lun = d->lun;
}

void scsi_unit_reset(ScsiDisk *d)
{
    d->attention = (ScsiSense){ SENSE_ATTENTION, 0x29, 0 }; /* power on, reset, or bus device reset */
    d->stopped = false;
    d->write_cache = d->disk.cache;
    mmc_reset(&d->mmc);
}
