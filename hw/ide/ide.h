/*
 * An IDE channel: one cable, two places, their registers and interrupt. What stands behind the
 * channel (the bus master) is reached by IdeDmaOps; what hangs on it are devices of the classes
 * ide-hd and ide-cd.
 *
 * Sources: ATA/ATAPI-6 (T13 1410D); SFF-8020i and MMC-3 for CD-ROM drives.
 */
#ifndef HW_IDE_IDE_H
#define HW_IDE_IDE_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"
#include "bus/irq.h"
#include "bus/memory.h"
#include "bus/state.h"

struct IdeDrive;

/* The bus master of a channel. Machine lock held. */
typedef struct IdeDmaOps {
    /* ready - it was started in this direction and may reach memory. */
    bool (*ready)(void *opaque, bool to_memory);
    /* copy - between @buf and the guest's next scattered bytes; how many there was room for. When
     * that is less than @len it has stopped. */
    uint32_t (*copy)(void *opaque, uint8_t *buf, uint32_t len, bool to_memory);
    /* interrupt - INTRQ was asserted. */
    void (*interrupt)(void *opaque);
    /* plugged - a drive came or went. May be NULL. */
    void (*plugged)(void *opaque);
} IdeDmaOps;

typedef struct IdeBus {
    const char *name;          /* ide.0; constant, like all wiring */
    const char *path;          /* what firmware calls it */
    struct IdeDrive *drive[2]; /* NULL: the place is free */
    unsigned units;            /* places */
    bool sata;                 /* a link of its own for one drive: no master, no slave */
    uint8_t device;            /* Device register: bit 4 selects */
    uint8_t control;           /* Device Control register */
    bool line;                 /* INTRQ as the interrupt controller sees it */
    IrqLine irq;
    const IdeDmaOps *dma;      /* NULL: there is no bus master */
    void *dma_opaque;
} IdeBus;
extern const StateField ide_bus_fields[]; /* of IdeBus; its drives save themselves */

/* ide_bus_init - of a cable: two places, no SATA; and make it known by its name to `-device ide-hd,bus=`. */
void ide_bus_init(IdeBus *bus, const char *name, const char *path, IrqLine irq, 
                  const IdeDmaOps *dma, void *opaque);
void ide_bus_fini(IdeBus *bus);
void ide_bus_reset(IdeBus *bus); /* the channel's registers; drives are devices of their own */

/* The eight ports of the command block, and the one of the control block; opaque is the IdeBus. */
extern const IoOps ide_command_ops, ide_control_ops;

/* ide_dma_kick - the bus master has become ready. ide_dma_stop - it was stopped by the guest: what
 * is under way is forgotten. */
void ide_dma_kick(IdeBus *bus);
void ide_dma_stop(IdeBus *bus);

/* Disk @dev's geometry as firmware is to be told in CMOS; false when it is no disk. Translation:
 * 0 none, 1 LBA, 2 large, 3 revised ECHS. */
typedef struct IdeGeometry {
    unsigned place; /* 0 to 3: channel and unit */
    unsigned cyls, heads, secs, translation;
} IdeGeometry;
bool ide_geometry(Device *dev, IdeGeometry *g);

extern const DeviceClass ide_hd_class, ide_cd_class, isa_ide_class, piix3_ide_class, ich9_ahci_class;

#endif
