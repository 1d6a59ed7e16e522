/*
 * The table of all device classes, from machine/device-list.inc.
 */
#include "bus/device.h"

#define DEVICE(cls) extern const DeviceClass cls;
#include "machine/device-list.inc"
#undef DEVICE

#define DEVICE(cls) &cls,
const DeviceClass *const device_classes[] = {
#include "machine/device-list.inc"
    NULL,
};
#undef DEVICE
