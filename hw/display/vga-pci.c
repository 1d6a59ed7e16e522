/*
 * The VGA as a PCI card, "Standard VGA": BAR 0 is video memory, BAR 2 has registers, the ROM is the VGA
 * BIOS. Source: QEMU's "QEMU Standard VGA" specification.
 *
 * BAR 2: 000h EDID, 400h ports 3C0h-3DFh, 500h the dispi registers, 16 bits each, 600h QEMU extended
 * registers: their size, and the byte order of the frame buffer.
 */
#include "hw/display/vga.h"

#include "base/error.h"
#include "base/mem.h"
#include "hw/display/edid.h"
#include "hw/pci/pci.h"

#define MMIO_SIZE 0x1000u
#define MMIO_PORTS 0x400u
#define MMIO_VBE 0x500u
#define MMIO_EXT 0x600u
#define EXT_SIZE 8u
#define ORDER_LITTLE 0x1e1e1e1eu
#define ORDER_BIG 0xbebebebeu

typedef struct VgaPci {
    PciDevice pci; /* first member */
    Vga vga;
    bool edid;     /* properties */
    uint32_t xres, yres, vgamem_mb;
    uint8_t edid_block[EDID_SIZE];
    IoRegion lfb, mmio;
} VgaPci;

static VgaPci *card_of(Device *dev)
{
    return container_of(dev, VgaPci, pci.dev);
}

static uint8_t mmio_read_byte(VgaPci *c, uint64_t at)
{
    if (at < MMIO_PORTS) {
        return at < EDID_SIZE && c->edid ? c->edid_block[at] : 0;
    }
    if (at < MMIO_PORTS + 0x20) {
        return vga_port_read(&c->vga, 0x3c0 + (unsigned)(at - MMIO_PORTS));
    }
    if (at >= MMIO_VBE && at < MMIO_VBE + 2 * VBE_COUNT) {
        return (uint8_t)(vga_vbe_read(&c->vga, (unsigned)(at - MMIO_VBE) / 2) >> 8 * (at & 1));
    }
    if (at >= MMIO_EXT && at < MMIO_EXT + EXT_SIZE) {
        uint32_t v = at < MMIO_EXT + 4 ? EXT_SIZE : c->vga.big_endian ? ORDER_BIG : ORDER_LITTLE;

        return (uint8_t)(v >> 8 * (at & 3));
    }
    return 0xff;
}

static uint64_t mmio_read_any(void *opaque, uint64_t at, unsigned size)
{
    uint64_t val = 0;

    for (unsigned n = 0; n < size; n++) {
        val |= (uint64_t)mmio_read_byte(opaque, at + n) << 8 * n;
    }
    return val;
}

/* The dispi registers and the byte order are written whole; ports byte by byte. */
static void mmio_write_any(void *opaque, uint64_t at, uint64_t val, unsigned size)
{
    VgaPci *c = opaque;

    if (at >= MMIO_PORTS && at < MMIO_PORTS + 0x20) {
        for (unsigned n = 0; n < size; n++) {
            vga_port_write(&c->vga, 0x3c0 + (unsigned)(at - MMIO_PORTS) + n, (uint8_t)(val >> 8 * n));
        }
    } else if (at >= MMIO_VBE && at < MMIO_VBE + 2 * VBE_COUNT && size >= 2) {
        for (unsigned n = 0; n < size; n += 2) {
            vga_vbe_write(&c->vga, (unsigned)(at - MMIO_VBE + n) / 2, (uint16_t)(val >> 8 * n));
        }
    } else if (at == MMIO_EXT + 4 && size == 4 && (val == ORDER_BIG || val == ORDER_LITTLE)) {
        c->vga.big_endian = val == ORDER_BIG;
    }
}

static const IoOps mmio_ops = { .read = mmio_read_any, .write = mmio_write_any, .max_size = 4 };

static bool check(const VgaPci *c, Error **errp)
{
    if (!vga_check_size(c->pci.dev.id, c->vgamem_mb, errp)) {
        return false;
    }
    if (c->xres > EDID_MAX_SIDE || c->yres > EDID_MAX_SIDE || c->xres < 8 || c->yres < 8) {
        error_set(errp, "%s: a display of xres %u and yres %u cannot be described (8 to %u each)",
                  c->pci.dev.id, c->xres, c->yres, EDID_MAX_SIDE);
        return false;
    }
    return true;
}

static bool card_realize(Device *dev, Error **errp)
{
    VgaPci *c = card_of(dev);
    PciDevice *d = &c->pci;

    if (!check(c, errp) || !pci_plug(d, 0x1234, 0x1111, 0x030000, 2, 0, errp)) {
        return false;
    }
    if (!vga_init(&c->vga, dev->id, c->vgamem_mb << 20, dev->board, errp)) {
        pci_remove(d);
        return false;
    }
    edid_make(c->edid_block, c->xres, c->yres);
    st_le16(d->config + PCI_SUBSYS_VENDOR, 0x1af4);
    st_le16(d->config + PCI_SUBSYS, 0x1100);
    ram_region_init(&c->lfb, "vga.vram", c->vga.ram_offset, c->vga.ram_bytes);
    io_region_init(&c->mmio, &mmio_ops, c, "vga.mmio", MMIO_SIZE);
    pci_bar(d, 0, &c->lfb, PCI_BAR_PREFETCH);
    pci_bar(d, 2, &c->mmio, 0);
    pci_ready(d);
    return true;
}

static void card_unrealize(Device *dev)
{
    pci_remove(&card_of(dev)->pci);
    vga_fini(&card_of(dev)->vga);
}

static void card_reset(Device *dev)
{
    pci_reset(&card_of(dev)->pci);
    vga_reset(&card_of(dev)->vga);
}

static bool card_post_load(Device *dev, Error **errp)
{
    pci_post_load(&card_of(dev)->pci);
    return vga_post_load(&card_of(dev)->vga, errp);
}

static const Property card_props[] = {
    PCI_PROPS(VgaPci, "vgabios-stdvga.bin"),
    PROP_U32("vgamem_mb", VgaPci, vgamem_mb, 16, "MiB of video memory, a power of two"),
    PROP_BOOL("edid", VgaPci, edid, true, "a description of the display for the guest"),
    PROP_U32("xres", VgaPci, xres, 1280, "width that the display prefers"),
    PROP_U32("yres", VgaPci, yres, 800, "height that the display prefers"),
    PROP_END,
};

static const StateField card_fields[] = {
    STATE_STRUCT(VgaPci, pci, pci_fields), STATE_STRUCT(VgaPci, vga, vga_fields), STATE_END,
};

const DeviceClass vga_pci_class = {
    .name = "VGA",
    .desc = "standard VGA with the Bochs display interface",
    .size = sizeof(VgaPci),
    .bus = BUS_PCI,
    .user_creatable = true,
    .no_hotplug = true,
    .props = card_props,
    .fields = card_fields,
    .realize = card_realize,
    .unrealize = card_unrealize,
    .reset = card_reset,
    .post_load = card_post_load,
};
