/* 82P35 host bridge (MCH) of the q35 board. */
#ifndef HW_PCI_Q35_MCH_H
#define HW_PCI_Q35_MCH_H

#include "bus/device.h"

struct PciBus;

extern const DeviceClass q35_mch_class;

#define MCH_ECAM_DEFAULT 0xb0000000u /* where firmware puts the configuration window */
#define MCH_ECAM_SIZE 0x10000000u

/* mch_connect - before realize: the bus it makes, @rom as i440fx_connect() has it, the end of RAM below 4 GiB. */
void mch_connect(Device *dev, struct PciBus *bus, uint8_t *rom, uint64_t below_4g);
/* mch_ecam - where the window is, and its size in *size; 0: it is off. */
uint64_t mch_ecam(Device *dev, uint64_t *size);
/* mch_firmware - what firmware does first: the window is on. */
void mch_firmware(Device *dev);

#endif
