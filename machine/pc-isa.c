/*
 * The board "isapc": no chipset, so that all that is not on every PC's ISA bus is missing: PCI, I/O APIC, ACPI, HPET.
 * Two IDE channels on the ISA bus.
 *
 * Where other boards show RAM or ROM as a register says, this one has RAM all the time, with the firmware in it: a BIOS
 * that finds no host bridge takes what it runs in for writable. A reset puts it back.
 */
#include "machine/pc-internal.h"

#include "base/error.h"
#include "hw/ide/ide.h"

static uint64_t isa_below_4g(uint64_t ram)
{
    return ram < PC_RAM_BELOW_4G ? ram : PC_RAM_BELOW_4G; /* the VGA's frame buffer follows */
}

static bool isa_make(Pc *p, Error **errp)
{
    static const char *const places[2][3] = { { "0x1f0", "0x3f6", "14" }, { "0x170", "0x376", "15" } };

    for (unsigned n = 0; n < 16; n++) {
        p->board.isa_irq[n] = n != 2 ? pc_irq(p, n) : (IrqLine){ 0 };
    }
    ram_region_init(&p->ram_rom, "pc.rom", 0xc0000, PC_ROM_SIZE);
    if (!mem_map(&p->ram_rom, 0xc0000, 0, false, errp)) {
        return false;
    }
    for (unsigned n = 0; n < 2; n++) {
        Device *ide = pc_device(p, &isa_ide_class, NULL);

        if (!device_set(ide, "iobase", places[n][0], errp) || !device_set(ide, "iobase2", places[n][1], errp) ||
            !device_set(ide, "irq", places[n][2], errp) || !device_realize(ide, errp)) {
            return false;
        }
    }
    return true;
}

static void isa_reset(Pc *p)
{
    dma_write(0xc0000, p->rom, PC_ROM_SIZE);
}

const Chipset chipset_isa = {
    .below_4g = isa_below_4g,
    .make = isa_make,
    .reset = isa_reset,
};
