/* VMware's mouse: positions on the screen for a guest that has a PS/2 mouse and asks at VMware's port. */
#ifndef HW_INPUT_VMMOUSE_H
#define HW_INPUT_VMMOUSE_H

#include "bus/device.h"

struct VmportCall;
extern const DeviceClass vmmouse_class;

/* vmmouse_connect - before realize: the 8042 whose mouse raises interrupts for it. */
void vmmouse_connect(Device *dev, Device *i8042);
/* vmmouse_call - for vmport_connect(); @opaque is the Device. */
bool vmmouse_call(void *opaque, struct VmportCall *call);

#endif
