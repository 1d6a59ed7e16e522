/* 82441FX host bridge. */
#ifndef HW_PCI_I440FX_H
#define HW_PCI_I440FX_H

#include "bus/device.h"

struct PciBus;

extern const DeviceClass i440fx_class;

/* i440fx_connect - before realize: the bus it makes, and @rom, 256 KiB that stand for what the PCI
 * bus shows at C0000h-FFFFFh (firmware's shadow; all ones where there is nothing). Guest RAM below
 * A0000h and above FFFFFh is mapped by the board, RAM from A0000h to FFFFFh by this device. */
void i440fx_connect(Device *dev, struct PciBus *bus, uint8_t *rom);

#endif
