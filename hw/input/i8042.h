/* 8042 keyboard controller. */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include <stdbool.h>
#include "bus/device.h"

extern const DeviceClass i8042_class;

/* i8042_connect - output port bit 1: the A20 gate, set and asked. Before realize. */
void i8042_connect(Device *dev, void (*set_a20)(Device *gate, bool on), bool (*a20)(Device *gate),
                   Device *gate);

/* i8042_mouse_report - its mouse sends a report that nothing has moved: an interrupt for a device beside it. */
void i8042_mouse_report(Device *dev);

#endif
