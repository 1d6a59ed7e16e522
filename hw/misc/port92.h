/* The two gates of address line A20, and port 92h. */
#ifndef HW_MISC_PORT92_H
#define HW_MISC_PORT92_H

#include <stdbool.h>
#include "bus/device.h"

extern const DeviceClass port92_class;

/* port92_connect - who hears of the gate's new state (any of its users changed it). */
void port92_connect(Device *dev, void (*a20)(void *opaque, bool on), void *opaque);
/* port92_set_a20 - the keyboard controller's output pin; the last writer wins. */
void port92_set_a20(Device *dev, bool on);
bool port92_a20(Device *dev);

#endif
