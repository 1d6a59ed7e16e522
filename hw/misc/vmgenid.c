/*
 * vmgenid: the virtual machine's generation ID in guest memory. Sources: Microsoft, "Virtual Machine Generation ID" (2018):
 * an ACPI device whose ADDR method says where the number is, an event when it changed; QEMU's published "Virtual Machine
 * Generation ID Device": the files of fw_cfg.
 */
#include "hw/misc/vmgenid.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/board.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/trace.h"

typedef struct Vmgenid {
    Device dev;
    char *text;      /* property */
    uint8_t guid[16]; /* constant after realize; not saved: it is the new machine's that counts */
    uint8_t addr[8]; /* where firmware has put the file, little-endian; 0: not yet */
} Vmgenid;

static Vmgenid *vmgenid_of(const Device *dev)
{
    return container_of(dev, Vmgenid, dev);
}

const uint8_t *vmgenid_guid(const Device *dev)
{
    return vmgenid_of(dev)->guid;
}

/* in_memory - as the guest reads it: the first three numbers little-endian. */
static void in_memory(const Vmgenid *s, uint8_t out[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

    for (unsigned n = 0; n < 16; n++) {
        out[n] = s->guid[order[n]];
    }
}

/* put - to where it belongs; false: nowhere yet. */
static bool put(const Vmgenid *s)
{
    uint64_t base = ld_le64(s->addr);
    uint8_t guid[16];

    if (base == 0 || base + VMGENID_BLOB < base) {
        return false;
    }
    in_memory(s, guid);
    trace_vmgenid_put(base);
    return dma_write(base + VMGENID_OFFSET, guid, sizeof(guid));
}

static void placed(void *opaque)
{
    put(opaque);
}

void vmgenid_place(Device *dev, uint64_t base)
{
    st_le64(vmgenid_of(dev)->addr, base);
    put(vmgenid_of(dev));
}

bool vmgenid_loaded(Device *dev)
{
    return put(vmgenid_of(dev));
}

static bool vmgenid_realize(Device *dev, Error **errp)
{
    Vmgenid *s = vmgenid_of(dev);
    FwCfg *fw = dev->board != NULL ? ((Board *)dev->board)->fw_cfg : NULL;
    uint8_t blob[VMGENID_BLOB] = { 0 };

    for (Device *d = devices_first(); d != NULL; d = d->next) {
        if (d->cls == &vmgenid_class) {
            error_set(errp, "at most one vmgenid device is permitted");
            return false;
        }
    }
    if (fw == NULL) {
        error_set(errp, "vmgenid requires DMA write support in fw_cfg, which this machine type does not provide");
        return false;
    }
    if (strcmp(s->text, "auto") == 0) {
        uuid_random(s->guid);
    } else if (!uuid_parse(s->text, s->guid)) {
        error_set(errp, "guid=%s: neither auto nor a UUID such as 324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87", s->text);
        return false;
    }
    in_memory(s, blob + VMGENID_OFFSET);
    return fw_cfg_add_file(fw, VMGENID_FILE, blob, sizeof(blob), errp) &&
           fw_cfg_add_writable(fw, VMGENID_ADDR_FILE, s->addr, sizeof(s->addr), placed, s, errp);
}

static void vmgenid_unrealize(Device *dev)
{
    fw_cfg_drop_writable(((Board *)dev->board)->fw_cfg, vmgenid_of(dev)->addr);
}

static void vmgenid_reset(Device *dev)
{
    st_le64(vmgenid_of(dev)->addr, 0);
}

static const Property vmgenid_props[] = {
    PROP_STR("guid", Vmgenid, text, "auto", "UUID, or auto: a random one"),
    PROP_END,
};

static const StateField vmgenid_fields[] = { STATE_BYTES(Vmgenid, addr), STATE_END };

const DeviceClass vmgenid_class = {
    .name = "vmgenid",
    .desc = "number that changes when the machine is copied or taken back",
    .size = sizeof(Vmgenid),
    .user_creatable = true,
    .no_hotplug = true,
    .props = vmgenid_props,
    .fields = vmgenid_fields,
    .realize = vmgenid_realize,
    .unrealize = vmgenid_unrealize,
    .reset = vmgenid_reset,
};
