/*
 * Cards that are plugged in: their place on the bus and their expansion ROM.
 * Source: PCI Local Bus Specification 3.0, "Expansion ROM Base Address Register".
 */
#include "hw/pci/pci.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/board.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/rom-file.h"

/* pci_choose - the place on @bus that addr= names, or the first free slot; -1 with errp set. */
static int pci_choose(const PciDevice *d, PciBus *bus, Error **errp)
{
    unsigned long slot, fn = 0;
    char *end;

    unsigned first, last;

    pci_bus_slots(bus, &first, &last);
    if (d->addr == NULL) {
        for (slot = first; slot <= last; slot++) {
            if (pci_bus_find(bus, PCI_DEVFN(slot, 0)) == NULL) {
                return PCI_DEVFN((int)slot, 0);
            }
        }
        error_set(errp, first != last ? "%s: no free slot on the PCI bus" :
                  "%s: slot 0 of the port is taken", d->dev.id);
        return -1;
    }
    slot = strtoul(d->addr, &end, 16);
    if (*end == '.' && end != d->addr) {
        const char *text = end + 1;

        fn = strtoul(text, &end, 16);
        end = end == text ? d->addr : end;
    }
    if (end == d->addr || *end != '\0' || slot > 31 || fn > 7) {
        error_set(errp, "%s: addr '%s' is no slot (0 to 1f) or slot.function", d->dev.id, d->addr);
        return -1;
    }
    if (pci_bus_name(bus) != NULL && (slot < first || slot > last)) {
        error_set(errp, "PCI: slot %lu is not valid for %s, parent device only allows plugging into slot%s %u%s", slot,
                  d->dev.cls->name, first != last ? "s" : "", first, first != last ? " to 31." : ".");
        return -1;
    }
    return PCI_DEVFN((int)slot, (int)fn);
}

/* pci_choose_bus - the one that bus= names, or the root; NULL with errp. */
static PciBus *pci_choose_bus(const PciDevice *d, Error **errp)
{
    const Board *board = d->dev.board;
    const char *root = board->pci_name != NULL ? board->pci_name : "pci.0";
    PciBus *bus;

    if (d->bus_name == NULL || strcmp(d->bus_name, root) == 0 ||
        (board->pci_name == NULL && strcmp(d->bus_name, "pci") == 0)) {
        return board->pci;
    }
    bus = device_bus_find(BUS_PCI, d->bus_name, NULL);
    if (bus == NULL) {
        error_set(errp, "Bus '%s' not found", d->bus_name);
    }
    return bus;
}

/* The ROM that comes with a card is for this one, whatever it says (iPXE's for ne2k_pci: none in particular; for virtio:
 * the modern one alone), or firmware would leave it. PCI Firmware Specification 3.0, 5.1.1 "PCI Expansion ROM Header
 * Format" and 5.1.2 "PCI Data Structure Format": vendor and device there; all bytes add up to 0, which a byte in front
 * of what the architecture uses sees to. */
static void name_card(const PciDevice *d, uint8_t *rom, size_t len)
{
    enum { SUM_BYTE = 6, PCIR = 0x18, IDS = 4 };
    size_t at = len >= PCIR + 2 ? ld_le16(rom + PCIR) : len;

    if (len < 512 || ld_le16(rom) != 0xaa55 || at > len - 24 || memcmp(rom + at, "PCIR", 4) != 0) {
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        uint8_t id = d->config[PCI_VENDOR + n];

        rom[SUM_BYTE] = (uint8_t)(rom[SUM_BYTE] + rom[at + IDS + n] - id);
        rom[at + IDS + n] = id;
    }
}

static bool load_rom(PciDevice *d, Error **errp)
{
    const Board *board = d->dev.board;
    autofree char *name = NULL;
    size_t len, padded;

    if (d->romfile == NULL || *d->romfile == '\0') {
        return true;
    }
    d->rom = rom_file_read(&d->dev, d->romfile, &len, &padded, errp);
    if (d->rom == NULL) {
        return false;
    }
    if (d->rom_own) {
        name_card(d, d->rom, len);
    }
    if (d->rombar != 0) {
        rom_region_init(&d->rom_region, "pci-rom", d->rom, padded);
        pci_bar(d, PCI_BAR_ROM, &d->rom_region, 0);
        return true;
    }
    if (board->complete) {
        error_set(errp, "%s: rombar=0: the firmware's list of ROMs is made; give romfile= too", d->dev.id);
        return false;
    }
    name = xasprintf("%s/%s", ld_le16(d->config + PCI_CLASS) == 0x0300 ? "vgaroms" : "genroms",
                     rom_file_base(d->romfile));
    return board->fw_cfg == NULL || fw_cfg_add_file(board->fw_cfg, name, d->rom, len, errp);
}

bool pci_plug(PciDevice *d, uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision,
              uint8_t pin, Error **errp)
{
    const Board *board = d->dev.board;
    PciBus *bus;
    int devfn;

    if (board == NULL || board->pci == NULL) {
        error_set(errp, "No 'PCI' bus found for device '%s'", d->dev.cls->name);
        return false;
    }
    bus = pci_choose_bus(d, errp);
    devfn = bus != NULL ? pci_choose(d, bus, errp) : -1;
    if (devfn < 0 || !pci_add(d, bus, (unsigned)devfn, vendor, device, class_code, revision, pin, errp)) {
        return false;
    }
    d->config[PCI_HEADER] = d->multifunction ? 0x80 : 0;
    if (!load_rom(d, errp)) {
        pci_remove(d);
        return false;
    }
    return true;
}
