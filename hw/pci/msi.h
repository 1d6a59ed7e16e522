/*
 * Message signalled interrupts of a PCI function: the MSI and MSI-X capabilities.
 *
 * Source: PCI Local Bus Specification 3.0, "Message Signaled Interrupts (MSI)", "MSI-X".
 *
 * A device calls msi_init() or msix_init() between pci_add() and pci_ready(), then msi_notify() or
 * msix_notify() where it would pulse its interrupt. pci.c does the rest: configuration writes,
 * reset, and INTx held low while messages are enabled. All under the machine lock.
 */
#ifndef HW_PCI_MSI_H
#define HW_PCI_MSI_H

#include "hw/pci/pci.h"

#define MSI_VECTORS_MAX 32
#define MSIX_VECTORS_MAX 128
#define MSIX_ENTRY 16 /* bytes: address, data, vector control */

enum { MSI_64 = 1, MSI_MASKABLE = 2 };

/* msi_init - the capability at @offset (0: where there is room) for @vectors (a power of two, at
 * most 32), with a 64-bit address and mask bits as @flags say. */
void msi_init(PciDevice *d, uint8_t offset, unsigned vectors, unsigned flags);
bool msi_enabled(const PciDevice *d);
/* msi_notify - vector @n happened: its message is sent, or pending while it is masked. Nothing while
 * MSI is off or the function may not master the bus. Vectors that the guest did not grant wrap. */
void msi_notify(PciDevice *d, unsigned n);

/* What MSI-X keeps in memory; a member of the device's struct, saved by STATE_STRUCT(X, msix,
 * msix_fields). */
typedef struct Msix {
    uint8_t table[MSIX_VECTORS_MAX * MSIX_ENTRY];
    uint64_t pending[MSIX_VECTORS_MAX / 64];
    unsigned vectors; /* constant after realize, like all below */
    uint8_t cap;
    PciDevice *d;
    IoRegion bar; /* of msix_init_bar() */
} Msix;
extern const StateField msix_fields[];

/* msix_init - the capability at @offset (0: where there is room) for @vectors (1 to 128). The table
 * is at @table_offset in BAR @table_bar, the pending bits at @pba_offset in BAR @pba_bar (multiples
 * of 8): the device passes accesses there to the functions below. */
void msix_init(Msix *x, PciDevice *d, uint8_t offset, unsigned vectors, unsigned table_bar,
               uint32_t table_offset, unsigned pba_bar, uint32_t pba_offset);
/* msix_init_bar - the same, with a BAR of 4 KiB for nothing else: table at 0, pending bits at 800h. */
void msix_init_bar(Msix *x, PciDevice *d, uint8_t offset, unsigned vectors, unsigned bar);
uint32_t msix_table_read(Msix *x, uint32_t offset);
void msix_table_write(Msix *x, uint32_t offset, uint32_t val);
uint32_t msix_pba_read(Msix *x, uint32_t offset);
bool msix_enabled(const PciDevice *d);
/* msix_notify - like msi_notify(); vectors beyond the table are ignored. */
void msix_notify(PciDevice *d, unsigned n);

/* ---- for pci.c ---- */
void msi_config_written(PciDevice *d);
void msi_reset(PciDevice *d);

#endif
