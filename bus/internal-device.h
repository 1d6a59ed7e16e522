/*
 * Between bus/device.c and bus/property.c.
 */
#ifndef BUS_INTERNAL_DEVICE_H
#define BUS_INTERNAL_DEVICE_H

#include "bus/device.h"

void props_default(Device *dev);       /* every property gets its default */
void props_apply_globals(Device *dev); /* what -global said for its class */
void props_free(Device *dev);

#endif
