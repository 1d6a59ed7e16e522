/* The PC's serial ports. */
#ifndef HW_CHAR_SERIAL_ISA_H
#define HW_CHAR_SERIAL_ISA_H

#include "bus/device.h"

struct Chardev;

extern const DeviceClass serial_isa_class;

/* serial_isa_set_chardev - what property chardev sets from text. Before realize. */
void serial_isa_set_chardev(Device *dev, struct Chardev *chr);

#endif
