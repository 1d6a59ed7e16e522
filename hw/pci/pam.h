/*
 * What Intel's host bridges do between 640 KiB and 1 MiB: each area shows RAM or the PCI bus (PAM0-PAM6), and the VGA
 * window RAM in SMM (SMRAM). Sources: 82441FX and 82P35 data sheets, "Programmable Attribute Map", "System Management RAM
 * Control".
 */
#ifndef HW_PCI_PAM_H
#define HW_PCI_PAM_H

#include "bus/memory.h"
#include "hw/pci/pci.h"

#define PAM_SEGMENTS 13
#define PAM_REGISTERS 7

/* SMRAM control */
#define SMRAM_OPEN 0x40
#define SMRAM_CLOSED 0x20
#define SMRAM_LOCK 0x10
#define SMRAM_ENABLE 0x08

/* One of the 12 areas of 16 KiB from C0000h, and the one of 64 KiB at F0000h. */
typedef struct PamSegment {
    IoRegion ram;       /* read and write */
    IoRegion ram_ro;    /* read RAM; writes go to the PCI bus, where nothing takes them */
    IoRegion rom_shadow; /* read the PCI bus, write RAM */
    IoRegion *mapped;   /* one of the three; NULL: all from the PCI bus */
    uint32_t base, size;
} PamSegment;

typedef struct Pam {
    PamSegment segment[PAM_SEGMENTS];
    IoRegion rom, smram;
    bool smram_mapped, smram_open;
} Pam;

/* pam_ready - the end of a host bridge's realize: its configuration space stands, ports CF8h to CFFh are @bus's, and
 * @rom, 256 KiB that stand for what the PCI bus shows at C0000h-FFFFFh, is mapped. False: @d was removed.
 * pam_remove - all that back, @d too. */
bool pam_ready(Pam *p, PciDevice *d, PciBus *bus, uint8_t *rom, struct Error **errp);
void pam_remove(Pam *p, PciDevice *d, PciBus *bus);
/* pam_update - after @regs (PAM0-PAM6) or the SMRAM control register have changed. */
void pam_update(Pam *p, const uint8_t *regs, uint8_t smram);

#endif
