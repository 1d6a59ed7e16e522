/* PIIX3 ISA bridge: interrupt router and reset control. */
#ifndef HW_PCI_PIIX3_H
#define HW_PCI_PIIX3_H

#include "bus/device.h"
#include "bus/irq.h"

struct PciBus;

extern const DeviceClass piix3_class;

/* piix3_connect - before realize: the bus, and the 16 interrupt inputs it drives. */
void piix3_connect(Device *dev, struct PciBus *bus, const IrqLine *irq);
/* piix3_isa_input - the wire that an ISA device with IRQ @n drives; PIRQs and the SCI that share
 * the interrupt are added to it. */
IrqLine piix3_isa_input(Device *dev, unsigned n);
/* piix3_sci_input - the wire of the power management's SCI, on IRQ 9. */
IrqLine piix3_sci_input(Device *dev);

#endif
