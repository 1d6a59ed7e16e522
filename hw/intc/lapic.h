/*
 * The local APICs of all processors and the bus between them.
 *
 * A local APIC belongs to its processor: its registers are atomics, and messages to it (IPIs, the
 * I/O APIC, MSIs) need no lock. Only what leaves it takes the machine lock: the acknowledge of an
 * ExtINT at the PIC and the EOI of a level-triggered vector at the I/O APIC.
 */
#ifndef HW_INTC_LAPIC_H
#define HW_INTC_LAPIC_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"
#include "bus/irq.h"

struct CpuState;
typedef struct LapicBus LapicBus;

extern const DeviceClass lapic_class;

#define LAPIC_BASE 0xfee00000u
#define LAPIC_BROADCAST 0xffffffffu
/* Input clock of the APIC timer before its divider (CPUID leaf 15h must agree where present). */
#define LAPIC_TIMER_HZ 1000000000u

/* Delivery modes: SDM vol. 3, "Interrupt Command Register (ICR)". */
enum { LAPIC_FIXED = 0, LAPIC_LOWEST = 1, LAPIC_SMI = 2, LAPIC_NMI = 4, LAPIC_INIT = 5,
       LAPIC_STARTUP = 6, LAPIC_EXTINT = 7 };

typedef struct LapicMsg {
    uint32_t dest; /* LAPIC_BROADCAST for all: senders turn their FFh into it */
    bool logical;
    uint8_t mode;
    uint8_t vector;
    bool level; /* trigger mode */
} LapicMsg;

/* lapic_bus_new - room for @cpus local APICs. Freed after the devices. */
LapicBus *lapic_bus_new(unsigned cpus);
void lapic_bus_free(LapicBus *bus);
/* lapic_bus_on_eoi - @fn gets the vector of each level-triggered interrupt that ended (an I/O
 * APIC; machine lock held). At most 4. */
void lapic_bus_on_eoi(LapicBus *bus, void (*fn)(void *opaque, unsigned vector), void *opaque);
/* lapic_bus_set_pic - who answers the INTA cycle of an ExtINT; called with the machine lock. */
void lapic_bus_set_pic(LapicBus *bus, unsigned (*ack)(Device *pic), Device *pic);
/* lapic_bus_map/unmap - the register page at LAPIC_BASE. Machine lock held. */
bool lapic_bus_map(LapicBus *bus, struct Error **errp);
void lapic_bus_unmap(LapicBus *bus);

/* lapic_connect - before realize: put @dev on @bus and fill in @c's hooks (opaque, interrupt, CR8,
 * APIC MSR and INIT ones). */
void lapic_connect(Device *dev, LapicBus *bus, struct CpuState *c);

/* lapic_deliver - a message to whom it names. False when nobody took it. Any thread. */
bool lapic_deliver(LapicBus *bus, const LapicMsg *msg);
/* lapic_msi - a write of @data to FEEx_xxxxh: SDM vol. 3, "Message Signalled Interrupts". */
void lapic_msi(LapicBus *bus, uint64_t addr, uint32_t data);

/* lapic_lint0 - the wire from the PIC's INTR to LINT0 (or INTR, with the APIC disabled). */
IrqLine lapic_lint0(Device *dev);
/* lapic_nmi - pulse LINT1, where boards wire NMI. Any thread. */
void lapic_nmi(Device *dev);
/* lapic_virtual_wire - the state in which firmware hands the boot processor over: SDM vol. 3,
 * "Virtual Wire Mode" of the MP specification 3.6.2.2. */
void lapic_virtual_wire(Device *dev);

/* lapic_mmio_read/write - an access by processor @c to its register page. Its own thread. */
uint64_t lapic_mmio_read(struct CpuState *c, uint64_t offset, unsigned size);
void lapic_mmio_write(struct CpuState *c, uint64_t offset, uint64_t val, unsigned size);

#endif
