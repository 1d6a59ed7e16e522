/* PIIX4 power management and SMBus. */
#ifndef HW_PCI_PIIX4_PM_H
#define HW_PCI_PIIX4_PM_H

#include "bus/device.h"
#include "bus/irq.h"
#include "hw/acpi/pm1.h"

struct PciBus;

extern const DeviceClass piix4_pm_class;

#define PIIX4_PM_DEFAULT_BASE 0x600 /* where firmware puts it */
#define PIIX4_GPE0_BASE 0xafe0
#define PIIX4_ACPI_ENABLE 0xf1      /* written to port B2h */
#define PIIX4_ACPI_DISABLE 0xf0

/* piix4_pm_connect - before realize: the bus, the SCI, IRQ 9 for the SMBus, and SMI# (pulsed). */
void piix4_pm_connect(Device *dev, struct PciBus *bus, IrqLine sci, IrqLine irq9, IrqLine smi);
/* piix4_pm_smbus - the host that the bus's slaves are added to. */
struct SmbusHost *piix4_pm_smbus(Device *dev);
/* piix4_pm_power_button - it was pressed. Machine lock held. */
void piix4_pm_power_button(Device *dev);
/* piix4_pm_base - where the registers are; 0: nowhere. */
uint16_t piix4_pm_base(Device *dev);
/* piix4_pm_gpe - raise general-purpose event @n (0..15). Machine lock held. */
void piix4_pm_gpe(Device *dev, unsigned n);
/* piix4_pm_firmware - what firmware does first: both blocks of ports placed and enabled. */
void piix4_pm_firmware(Device *dev);

#endif
