/* 82077AA floppy disk controller. */
#ifndef HW_BLOCK_FDC_H
#define HW_BLOCK_FDC_H

#include "bus/device.h"
#include "hw/block/floppy.h"

struct BlockBackend;

extern const DeviceClass fdc_class;

/* fdc_set_drive - before realize: what is in drive @n (0 or 1); NULL: the drive is not there. */
void fdc_set_drive(Device *dev, unsigned n, struct BlockBackend *blk);
/* fdc_drive_type - of drive @n, for the CMOS. */
FloppyType fdc_drive_type(Device *dev, unsigned n);

#endif
