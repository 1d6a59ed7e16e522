/* The IDE function of the PIIX3: two channels and their bus masters. */
#ifndef HW_IDE_PIIX3_IDE_H
#define HW_IDE_PIIX3_IDE_H

#include "bus/device.h"
#include "bus/irq.h"

struct PciBus;

/* piix3_ide_connect - before realize: the bus, and IRQ 14 and 15. */
void piix3_ide_connect(Device *dev, struct PciBus *bus, IrqLine primary, IrqLine secondary);
/* piix3_ide_firmware - both channels decoded, as firmware leaves them. */
void piix3_ide_firmware(Device *dev);

#endif
