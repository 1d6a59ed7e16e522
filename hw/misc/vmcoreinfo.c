/*
 * vmcoreinfo: where a guest's kernel keeps the notes that a dump of its memory needs. Source: QEMU's published
 * "VMCoreInfo device": a file of fw_cfg that the guest writes, little-endian: formats of host and guest (1: ELF notes), size,
 * address.
 */
#include "base/error.h"
#include "base/mem.h"
#include "bus/device.h"
#include "bus/state.h"
#include "hw/board.h"
#include "hw/misc/fw_cfg.h"

enum { HOST_FORMAT = 0, GUEST_FORMAT = 2, SIZE = 4, ADDRESS = 8, INFO_SIZE = 16 };
enum { FORMAT_NONE = 0, FORMAT_ELF = 1 };

typedef struct Vmcoreinfo {
    Device dev;
    uint8_t info[INFO_SIZE];
} Vmcoreinfo;

extern const DeviceClass vmcoreinfo_class;

static Vmcoreinfo *info_of(Device *dev)
{
    return container_of(dev, Vmcoreinfo, dev);
}

static void info_reset(Device *dev)
{
    uint8_t *info = info_of(dev)->info;

    memset(info, 0, INFO_SIZE);
    st_le16(info + HOST_FORMAT, FORMAT_ELF);
}

static bool info_realize(Device *dev, Error **errp)
{
    FwCfg *fw = dev->board != NULL ? ((Board *)dev->board)->fw_cfg : NULL;

    for (Device *d = devices_first(); d != NULL; d = d->next) {
        if (d->cls == &vmcoreinfo_class) {
            error_set(errp, "at most one vmcoreinfo device is permitted");
            return false;
        }
    }
    if (fw == NULL) {
        error_set(errp, "vmcoreinfo requires DMA write support in fw_cfg, which this machine type does not provide");
        return false;
    }
    return fw_cfg_add_writable(fw, "etc/vmcoreinfo", info_of(dev)->info, INFO_SIZE, NULL, NULL, errp);
}

static void info_unrealize(Device *dev)
{
    fw_cfg_drop_writable(((Board *)dev->board)->fw_cfg, info_of(dev)->info);
}

static void info_print(Device *dev, FILE *out)
{
    const uint8_t *info = info_of(dev)->info;

    if (ld_le16(info + GUEST_FORMAT) == FORMAT_NONE) {
        fprintf(out, "  the guest has told nothing\n");
    } else {
        fprintf(out, "  format %u, %u bytes at 0x%llx\n", ld_le16(info + GUEST_FORMAT), ld_le32(info + SIZE),
                (unsigned long long)ld_le64(info + ADDRESS));
    }
}

static const StateField info_fields[] = { STATE_BYTES(Vmcoreinfo, info), STATE_END };

const DeviceClass vmcoreinfo_class = {
    .name = "vmcoreinfo",
    .desc = "where the guest's kernel keeps notes for dumps",
    .size = sizeof(Vmcoreinfo),
    .user_creatable = true,
    .no_hotplug = true,
    .fields = info_fields,
    .realize = info_realize,
    .unrealize = info_unrealize,
    .reset = info_reset,
    .print = info_print,
};
