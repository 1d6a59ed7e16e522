/*
 * fw_cfg: how the emulator hands data to firmware and kernels.
 * Source of the interface: QEMU's published specification "QEMU Firmware Configuration (fw_cfg)
 * Device".
 */
#ifndef HW_MISC_FW_CFG_H
#define HW_MISC_FW_CFG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bus/device.h"

typedef struct FwCfg FwCfg;
extern const DeviceClass fw_cfg_class;

enum {
    FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_UUID = 0x02, FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04, FW_CFG_NB_CPUS = 0x05, FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08, FW_CFG_INITRD_ADDR = 0x0a, FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_DEVICE = 0x0c, FW_CFG_NUMA = 0x0d, FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f, FW_CFG_KERNEL_ENTRY = 0x10, FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12, FW_CFG_CMDLINE_ADDR = 0x13, FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15, FW_CFG_SETUP_ADDR = 0x16, FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18, FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_ARCH_LOCAL = 0x8000,
};

FwCfg *fw_cfg_of(Device *dev);
/* fw_cfg_add_bytes - item @key is a copy of @len bytes; replaces an older one. A key that cannot
 * be (not in the table above nor in the architecture's) is a bug of the caller. */
void fw_cfg_add_bytes(FwCfg *f, uint16_t key, const void *data, size_t len);
void fw_cfg_add_u16(FwCfg *f, uint16_t key, uint16_t val);
void fw_cfg_add_u32(FwCfg *f, uint16_t key, uint32_t val);
void fw_cfg_add_u64(FwCfg *f, uint16_t key, uint64_t val);
/* fw_cfg_add_file - a named file (at most 55 bytes of name), replaced when it is there already.
 * False with errp when the directory is full or the name too long. */
bool fw_cfg_add_file(FwCfg *f, const char *name, const void *data, size_t len, struct Error **errp);

/* fw_cfg_add_writable - a named file that the guest may write by DMA, after which @written (may be NULL) is called. @data is
 * the caller's and stays so; fw_cfg_drop_writable() before it goes. */
bool fw_cfg_add_writable(FwCfg *f, const char *name, uint8_t *data, size_t len, void (*written)(void *opaque),
                         void *opaque, struct Error **errp);
void fw_cfg_drop_writable(FwCfg *f, const uint8_t *data);

/* fw_cfg_on_select - @fn is called before a guest reads the file @name, which it may replace by one of the same length:
 * firmware reads tables when it has laid out what they tell of. */
void fw_cfg_on_select(FwCfg *f, const char *name, void (*fn)(void *opaque), void *opaque);

#endif
