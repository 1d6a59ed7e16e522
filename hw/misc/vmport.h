/* VMware's port: a guest asks its monitor by an IN of port 5658h, with arguments in its registers. */
#ifndef HW_MISC_VMPORT_H
#define HW_MISC_VMPORT_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"

/* The registers' low halves, in and out. */
typedef struct VmportCall {
    uint16_t command; /* of ECX */
    uint32_t eax, ebx, ecx, edx, esi, edi;
} VmportCall;

/* A device behind the port: false when it does not know the command. Machine lock held. */
typedef bool VmportFn(void *opaque, VmportCall *call);

extern const DeviceClass vmport_class;

/* vmport_connect - before realize: who is asked for commands that the port itself does not know. */
void vmport_connect(Device *dev, VmportFn *fn, void *opaque);

#endif
