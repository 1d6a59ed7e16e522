/* MC146818 real-time clock and CMOS RAM. */
#ifndef HW_RTC_MC146818_H
#define HW_RTC_MC146818_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"
#include "bus/irq.h"

extern const DeviceClass mc146818_class;

/* rtc_connect - the interrupt (IRQ 8). Before realize. */
void rtc_connect(Device *dev, IrqLine irq);
/* rtc_set_cmos - what firmware would have stored at @index (0Eh..7Fh); survives a reset. */
void rtc_set_cmos(Device *dev, uint8_t index, uint8_t val);
uint8_t rtc_get_cmos(Device *dev, uint8_t index);
/* rtc_wall_ns - the time that it shows, in nanoseconds since 1970. */
int64_t rtc_wall_ns(Device *dev);
/* rtc_set_irq_off - the HPET's legacy replacement took IRQ 8. */
void rtc_set_irq_off(void *opaque, bool off);

#endif
