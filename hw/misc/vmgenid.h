/* The virtual machine's generation ID: a number that changes when the machine is taken back in time or copied. */
#ifndef HW_MISC_VMGENID_H
#define HW_MISC_VMGENID_H

#include <stdint.h>
#include "bus/device.h"

extern const DeviceClass vmgenid_class;

enum { VMGENID_BLOB = 4096, VMGENID_OFFSET = 40, VMGENID_GPE = 5 };
#define VMGENID_FILE "etc/vmgenid_guid" /* of fw_cfg: firmware puts it somewhere, the number lies at VMGENID_OFFSET */
#define VMGENID_ADDR_FILE "etc/vmgenid_addr" /* and says where */

/* vmgenid_guid - 16 bytes, most significant first. */
const uint8_t *vmgenid_guid(const Device *dev);
/* vmgenid_place - without firmware: the file lies at @base. */
void vmgenid_place(Device *dev, uint64_t base);
/* vmgenid_loaded - a saved state, guest memory included, was loaded: it gets this machine's number. True: the guest
 * is to be told, by VMGENID_GPE. */
bool vmgenid_loaded(Device *dev);

#endif
