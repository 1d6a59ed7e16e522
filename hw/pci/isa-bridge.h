/*
 * What Intel's bridges to ISA or LPC have in common: the interrupt router and the reset control register.
 * Sources: 82371SB (PIIX3) and ICH9 (316972) data sheets, "PIRQx Route Control", "Reset Control Register".
 */
#ifndef HW_PCI_ISA_BRIDGE_H
#define HW_PCI_ISA_BRIDGE_H

#include "bus/irq.h"
#include "hw/pci/pci.h"

#define PIRQ_ROUTE_OFF 0x80

typedef struct IsaBridge {
    PciDevice pci; /* first member */
    uint8_t rcr;
    uint16_t isa_levels; /* driven by ISA devices */
    uint8_t pirq_levels;
    bool sci;
    uint16_t out;        /* what irq[] was told last */
    struct PciBus *bus;  /* wiring */
    IrqLine irq[16];
    IrqLine gsi[PCI_PIRQS]; /* of the I/O APIC, which has the PIRQs also unrouted; may be none */
    unsigned pirqs;
} IsaBridge;

extern const StateField isa_bridge_fields[]; /* STATE_STRUCT(X, bridge, isa_bridge_fields) */

/* isa_bridge_connect - before realize: the bus, the 16 interrupt inputs it drives, those of the I/O APIC for the PIRQs
 * (NULL: none). */
void isa_bridge_connect(IsaBridge *s, struct PciBus *bus, const IrqLine *irq, const IrqLine *gsi);
/* isa_bridge_ready - in realize, when config[] is set up: route registers, and the bus's PIRQs and CF9h. */
void isa_bridge_ready(IsaBridge *s, unsigned pirqs);
void isa_bridge_remove(IsaBridge *s);
/* isa_bridge_reset - @s->pci is reset. isa_bridge_written - for config_written. */
void isa_bridge_reset(IsaBridge *s);
void isa_bridge_written(IsaBridge *s, unsigned offset, unsigned len);
/* isa_bridge_input - the wire that an ISA device with IRQ @n drives; isa_bridge_sci - the SCI's, on IRQ 9. */
IrqLine isa_bridge_input(IsaBridge *s, unsigned n);
IrqLine isa_bridge_sci(IsaBridge *s);

#endif
