/*
 * PCI hot-plug by ACPI: the ports through which our DSDT and the board speak of cards that come and go.
 *
 * Interface: QEMU's "docs/specs/acpi_pci_hotplug", as guests and firmware know it: AE00h slots with a new card, AE04h
 * slots whose card shall go, AE08h a written bit ejects the slot's card (read: features, none), AE0Ch slots whose card
 * can be ejected. One bit a slot; double words; general-purpose event 1.
 */
#ifndef HW_ACPI_PCI_HOTPLUG_H
#define HW_ACPI_PCI_HOTPLUG_H

#include "bus/device.h"

struct Error;
struct PciBus;
struct PciDevice;

enum { PCIHP_BASE = 0xae00, PCIHP_UP = 0, PCIHP_DOWN = 4, PCIHP_EJECT = 8, PCIHP_REMOVABLE = 12, PCIHP_SIZE = 16,
       PCIHP_GPE = 1 };

extern const DeviceClass pci_hotplug_class;

/* What the board does. */
typedef struct PciHotplugOps {
    void (*event)(void *opaque);                    /* raise PCIHP_GPE */
    void (*ejected)(void *opaque, struct PciDevice *d); /* pci_hide() was called: free it when processors are paused */
} PciHotplugOps;

/* pci_hotplug_connect - before realize. */
void pci_hotplug_connect(Device *dev, struct PciBus *bus, const PciHotplugOps *ops, void *opaque);
/* pci_hotplug_slots - a bit for each slot whose card may go, or that is free. */
uint32_t pci_hotplug_slots(Device *dev);
/* pci_hotplug_added - the guest is told of a new card. */
void pci_hotplug_added(Device *dev, struct PciDevice *d);
/* pci_hotplug_request - the guest is asked to let go of a card. False: it was asked already, a moment ago. */
bool pci_hotplug_request(Device *dev, struct PciDevice *d, struct Error **errp);
/* pci_hotplug_reset_cards - before a reset of the machine: cards that the guest was asked for are ejected. */
void pci_hotplug_reset_cards(Device *dev);

#endif
