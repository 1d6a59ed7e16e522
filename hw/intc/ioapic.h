/* 82093AA I/O APIC. */
#ifndef HW_INTC_IOAPIC_H
#define HW_INTC_IOAPIC_H

#include "bus/device.h"
#include "bus/irq.h"

struct LapicBus;

#define IOAPIC_PINS 24

extern const DeviceClass ioapic_class;

/* ioapic_connect - the local APICs that it talks to; also registers for their EOIs. */
void ioapic_connect(Device *dev, struct LapicBus *bus);
/* ioapic_input - the wire into pin @n (0..23). */
IrqLine ioapic_input(Device *dev, unsigned n);

#endif
