/*
 * The order in which firmware tries devices: bootindex= of disks, CDs, floppies and cards. It goes to the
 * firmware as the fw_cfg file "bootorder", a line a device, named by Open Firmware device paths as SeaBIOS
 * and OVMF build them ("/pci@i0cf8/ide@1,1/drive@0/disk@0"). Machine lock held for all of it.
 */
#ifndef HW_BOOT_ORDER_H
#define HW_BOOT_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Device;
struct Error;

/* boot_order_add - @dev, known to firmware as @path (copied), is number @index in the order; lower ones go
 * first. A negative index: it is not in the order, which is no error. False when the index is taken. From the
 * device's realize. */
bool boot_order_add(struct Device *dev, int32_t index, const char *path, struct Error **errp);
/* boot_order_remove - all of @dev's entries. */
void boot_order_remove(struct Device *dev);

/* boot_order_text - the lines, freed by the caller; with @strict the last says that nothing else is to be
 * tried. NULL when there is nothing to say. @len counts the zero byte at the end, as firmware expects it. */
char *boot_order_text(bool strict, size_t *len);

#endif
