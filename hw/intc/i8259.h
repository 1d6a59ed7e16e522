/* The pair of 8259A interrupt controllers of a PC/AT. */
#ifndef HW_INTC_I8259_H
#define HW_INTC_I8259_H

#include "bus/device.h"
#include "bus/irq.h"

extern const DeviceClass i8259_class;

/* pic_connect - where INTR of the master goes. Before realize. */
void pic_connect(Device *dev, IrqLine intr);
/* pic_input - the wire into IRQ @n (0..15, not 2). */
IrqLine pic_input(Device *dev, unsigned n);
/* pic_ack - the processor's INTA cycles: the vector, a spurious one (IR7) when nothing is pending.
 * Machine lock held. */
unsigned pic_ack(Device *dev);

#endif
