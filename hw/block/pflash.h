/* Parallel NOR flash with the Intel command set (cfi.pflash01): the firmware of a PC. */
#ifndef HW_BLOCK_PFLASH_H
#define HW_BLOCK_PFLASH_H

#include "bus/device.h"
#include "bus/memory.h"

#define PFLASH_BLOCK 4096u /* what is erased at once; the size is a multiple of it */

extern const DeviceClass pflash_class;

/* pflash_connect - before realize: the first address behind the chip. */
void pflash_connect(Device *dev, hwaddr end);
/* pflash_size - bytes; pflash_bytes - what is in it now. Both after realize. */
uint64_t pflash_size(Device *dev);
const uint8_t *pflash_bytes(Device *dev);

#endif
