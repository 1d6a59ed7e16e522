/* ICH9's LPC bridge: interrupt router, reset control, power management. */
#ifndef HW_PCI_ICH9_LPC_H
#define HW_PCI_ICH9_LPC_H

#include "bus/device.h"
#include "bus/irq.h"

struct PciBus;

extern const DeviceClass ich9_lpc_class;

#define ICH9_PM_BASE 0x600    /* where firmware puts it */
#define ICH9_RCBA 0xfed1c000u  /* likewise */
#define ICH9_RCBA_SIZE 0x4000u
#define ICH9_GPE0 0x20        /* from there */
#define ICH9_ACPI_ENABLE 0x02 /* written to port B2h */
#define ICH9_ACPI_DISABLE 0x03

/* ich9_lpc_connect - before realize: the bus; 16 ISA interrupts, those of the I/O APIC for PIRQA-PIRQH; SMI# (pulsed). */
void ich9_lpc_connect(Device *dev, struct PciBus *bus, const IrqLine *irq, const IrqLine *gsi, IrqLine smi);
/* ich9_lpc_isa_input - the wire that an ISA device with IRQ @n drives. */
IrqLine ich9_lpc_isa_input(Device *dev, unsigned n);
/* ich9_pirq - where function @devfn's pin (0..3) goes: 0 to 7, for pci_bus_set_route(). */
unsigned ich9_pirq(unsigned devfn, unsigned pin);
void ich9_lpc_power_button(Device *dev);
/* ich9_lpc_gpe - raise general-purpose event @n (0..63). */
void ich9_lpc_gpe(Device *dev, unsigned n);
/* ich9_lpc_firmware - what firmware does first: PMBASE and RCBA (ICH9_RCBA) set and enabled. */
void ich9_lpc_firmware(Device *dev);

#endif
