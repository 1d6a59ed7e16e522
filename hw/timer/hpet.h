/* High precision event timer. */
#ifndef HW_TIMER_HPET_H
#define HW_TIMER_HPET_H

#include <stdbool.h>
#include "bus/device.h"
#include "bus/irq.h"

#define HPET_BASE 0xfed00000u

extern const DeviceClass hpet_class;

/* hpet_connect - outputs before realize: @gsi[n] goes to pin n of the I/O APIC (24 of them);
 * @irq0 and @irq8 to where the PIT's and the RTC's interrupts go; @legacy is told when legacy
 * replacement is switched. */
void hpet_connect(Device *dev, const IrqLine *gsi, IrqLine irq0, IrqLine irq8,
                  void (*legacy)(void *opaque, bool on), void *opaque);

#endif
