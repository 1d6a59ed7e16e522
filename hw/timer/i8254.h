/* 8254 interval timer, with port 61h of a PC/AT. */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include <stdbool.h>
#include "bus/device.h"
#include "bus/irq.h"

#define PIT_HZ 1193182 /* 14.31818 MHz / 12 */

extern const DeviceClass i8254_class;

/* pit_connect - OUT of counter 0 (IRQ 0). Before realize. */
void pit_connect(Device *dev, IrqLine irq0);
/* pit_disable_irq - the HPET's legacy replacement took IRQ 0 (on) or gives it back. */
void pit_disable_irq(void *opaque, bool off);

#endif
