/*
 * The VGA as an ISA card: its frame buffer is at E0000000h, where the VGA BIOS of a board without PCI looks for it, and
 * that BIOS comes to the firmware by fw_cfg. Source of both: SeaBIOS's documentation, "Runtime config" (vgaroms/), and
 * the Bochs VBE interface, VBE_DISPI_LFB_PHYSICAL_ADDRESS.
 */
#include "hw/display/vga.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/board.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/rom-file.h"

#define LFB_BASE 0xe0000000u

typedef struct VgaIsa {
    Device dev; /* first member */
    Vga vga;
    uint32_t vgamem_mb; /* properties */
    char *romfile;
    IoRegion lfb;
} VgaIsa;

static VgaIsa *card_of(Device *dev)
{
    return container_of(dev, VgaIsa, dev);
}

static bool add_rom(VgaIsa *c, Error **errp)
{
    const Board *board = c->dev.board;
    autofree char *name = NULL;
    autofree uint8_t *rom = NULL;
    size_t len, padded;

    if (c->romfile == NULL || *c->romfile == '\0' || board->fw_cfg == NULL) {
        return true;
    }
    rom = rom_file_read(&c->dev, c->romfile, &len, &padded, errp);
    name = xasprintf("vgaroms/%s", rom_file_base(c->romfile));
    return rom != NULL && fw_cfg_add_file(board->fw_cfg, name, rom, len, errp);
}

static bool card_realize(Device *dev, Error **errp)
{
    VgaIsa *c = card_of(dev);

    if (!vga_check_size(dev->id, c->vgamem_mb, errp) || !add_rom(c, errp) ||
        !vga_init(&c->vga, dev->id, c->vgamem_mb << 20, dev->board, errp)) {
        return false;
    }
    ram_region_init(&c->lfb, "vga.vram", c->vga.ram_offset, c->vga.ram_bytes);
    if (!mem_map(&c->lfb, LFB_BASE, 0, false, errp)) {
        vga_fini(&c->vga);
        return false;
    }
    return true;
}

static void card_unrealize(Device *dev)
{
    mem_unmap(&card_of(dev)->lfb);
    vga_fini(&card_of(dev)->vga);
}

static void card_reset(Device *dev)
{
    vga_reset(&card_of(dev)->vga);
}

static bool card_post_load(Device *dev, Error **errp)
{
    return vga_post_load(&card_of(dev)->vga, errp);
}

static const Property card_props[] = {
    PROP_U32("vgamem_mb", VgaIsa, vgamem_mb, 8, "MiB of video memory, a power of two"),
    PROP_STR("romfile", VgaIsa, romfile, "vgabios.bin", "file of the VGA BIOS; empty: none"),
    PROP_END,
};

static const StateField card_fields[] = { STATE_STRUCT(VgaIsa, vga, vga_fields), STATE_END };

const DeviceClass vga_isa_class = {
    .name = "isa-vga",
    .desc = "standard VGA on the ISA bus",
    .size = sizeof(VgaIsa),
    .bus = BUS_ISA,
    .user_creatable = true,
    .no_hotplug = true,
    .props = card_props,
    .fields = card_fields,
    .realize = card_realize,
    .unrealize = card_unrealize,
    .reset = card_reset,
    .post_load = card_post_load,
};
