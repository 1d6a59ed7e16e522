/* A parallel port: the standard port of a PC/AT, for a printer. */
#ifndef HW_CHAR_PARALLEL_H
#define HW_CHAR_PARALLEL_H

#include "bus/device.h"

struct Chardev;

extern const DeviceClass parallel_class;

/* parallel_set_chardev - before realize: where the bytes go; NULL: to a printer without paper's end. */
void parallel_set_chardev(Device *dev, struct Chardev *chr);

#endif
