/*
 * What all bridges between PCI buses have: the type 1 header, a bus behind it, the windows that it forwards.
 */
#ifndef HW_PCI_PCI_BRIDGE_H
#define HW_PCI_PCI_BRIDGE_H

#include "hw/pci/pci.h"

typedef struct PciBridge {
    PciDevice pci; /* first member */
    uint16_t control; /* "Bridge Control Register": what it was before the guest's write */
    /* After the guest wrote [offset, offset + len); may be NULL. */
    void (*written)(struct PciBridge *b, unsigned offset, unsigned len);
} PciBridge;

extern const StateField pci_bridge_fields[]; /* STATE_STRUCT(X, bridge, pci_bridge_fields) */

/* pci_bridge_init - behind pci_plug(): the header, and a bus that is called as the device, for slots @first to @last. */
void pci_bridge_init(PciBridge *b, unsigned first, unsigned last);
/* For the class's unrealize, reset, post_load. */
void pci_bridge_remove(PciBridge *b);
void pci_bridge_reset(PciBridge *b);
void pci_bridge_post_load(PciBridge *b);

/* pcie_cap - the PCI Express capability of a function of type @type, version 2: returns its offset. PCI Express Base
 * Specification 2.0, "PCI Express Capability Structure". */
enum { PCIE_ROOT_PORT = 4, PCIE_TO_PCI = 7 };
uint8_t pcie_cap(PciDevice *d, unsigned type);

#endif
