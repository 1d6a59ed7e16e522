/* pvpanic: a port, or a card, by which a guest tells that it panicked. */
#ifndef HW_MISC_PVPANIC_H
#define HW_MISC_PVPANIC_H

#include "bus/device.h"

extern const DeviceClass pvpanic_class, pvpanic_pci_class;

/* pvpanic_port - where @dev, of pvpanic_class, is: for the ACPI tables. */
uint16_t pvpanic_port(const Device *dev);

#endif
