/*
 * What `info pci` shows of a bus, in QEMU's shape.
 */
#include "hw/pci/pci.h"

#include <inttypes.h>
#include "base/mem.h"

/* PCI Local Bus Specification 3.0, appendix D, "Class Codes": class and subclass */
static const struct {
    uint16_t code;
    const char *name;
} classes[] = {
    { 0x0100, "SCSI controller" },     { 0x0101, "IDE controller" },
    { 0x0106, "SATA controller" },     { 0x0180, "Storage controller" },
    { 0x0200, "Ethernet controller" }, { 0x0300, "VGA controller" },
    { 0x0380, "Display controller" },  { 0x0401, "Audio controller" },
    { 0x0403, "Audio controller" },    { 0x0500, "RAM controller" },
    { 0x0600, "Host bridge" },         { 0x0601, "ISA bridge" },
    { 0x0604, "PCI bridge" },          { 0x0680, "Bridge" },
    { 0x0700, "Serial port" },         { 0x0780, "Communication controller" },
    { 0x0880, "System peripheral" },   { 0x0c03, "USB controller" },
    { 0x0c05, "SMBus" },
};

const char *pci_class_name(uint16_t code)
{
    for (unsigned n = 0; n < ARRAY_SIZE(classes); n++) {
        if (classes[n].code == code) {
            return classes[n].name;
        }
    }
    return NULL;
}

static void print_class(uint16_t code, FILE *out)
{
    const char *name = pci_class_name(code);

    if (name != NULL) {
        fprintf(out, "    %s", name);
    } else {
        fprintf(out, "    Class %04x", code);
    }
}

static void print_bar(PciDevice *d, unsigned n, FILE *out)
{
    const PciBar *bar = &d->bars[n];
    uint64_t base = bar->mapped ? bar->base : UINT64_MAX;
    uint64_t last = base + bar->region->size - 1;

    if (bar->type & PCI_BAR_IO) {
        fprintf(out, "      BAR%u: I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].\n", n, base, last);
    } else {
        fprintf(out, "      BAR%u: %d bit%s memory at 0x%08" PRIx64 " [0x%08" PRIx64 "].\n", n,
                bar->type & PCI_BAR_64 ? 64 : 32, bar->type & PCI_BAR_PREFETCH ? " prefetchable" : "",
                base, last);
    }
}

static void print_range(const char *name, uint64_t base, uint64_t limit, FILE *out)
{
    fprintf(out, "      %s range [0x%0*" PRIx64 ", 0x%0*" PRIx64 "]\n", name, strcmp(name, "IO") == 0 ? 4 : 8, base,
            strcmp(name, "IO") == 0 ? 4 : 8, limit);
}

static void print_bridge(PciDevice *d, unsigned number, FILE *out)
{
    const uint8_t *c = d->config;

    fprintf(out, "      BUS %u.\n      secondary bus %u.\n      subordinate bus %u.\n", number, c[PCI_SECONDARY],
            c[PCI_SUBORDINATE]);
    print_range("IO", (c[PCI_IO_BASE] & 0xf0u) << 8, (c[PCI_IO_LIMIT] & 0xf0u) << 8 | 0xfff, out);
    print_range("memory", (uint32_t)(ld_le16(c + PCI_MEM_BASE) & 0xfff0) << 16,
                (uint32_t)(ld_le16(c + PCI_MEM_LIMIT) & 0xfff0) << 16 | 0xfffff, out);
    print_range("prefetchable memory",
                (uint64_t)ld_le32(c + PCI_PREF_BASE_HIGH) << 32 | (uint32_t)(ld_le16(c + PCI_PREF_BASE) & 0xfff0) << 16,
                (uint64_t)ld_le32(c + PCI_PREF_LIMIT_HIGH) << 32 | (uint32_t)(ld_le16(c + PCI_PREF_LIMIT) & 0xfff0) << 16 |
                    0xfffff, out);
}

static void print_bus(PciBus *bus, unsigned number, FILE *out)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        PciDevice *d = pci_bus_find(bus, devfn);

        if (d == NULL) {
            continue;
        }
        fprintf(out, "  Bus %2u, device %3u, function %u:\n", number, devfn >> 3, devfn & 7);
        print_class(ld_le16(d->config + PCI_CLASS), out);
        fprintf(out, ": PCI device %04x:%04x\n", ld_le16(d->config + PCI_VENDOR),
                ld_le16(d->config + PCI_DEVICE));
        if (d->below == NULL && ld_le16(d->config + PCI_SUBSYS_VENDOR) != 0) {
            fprintf(out, "      PCI subsystem %04x:%04x\n",
                    ld_le16(d->config + PCI_SUBSYS_VENDOR), ld_le16(d->config + PCI_SUBSYS));
        }
        if (d->config[PCI_INT_PIN] != 0) {
            fprintf(out, "      IRQ %u, pin %c\n", d->config[PCI_INT_LINE],
                    'A' + d->config[PCI_INT_PIN] - 1);
        }
        if (d->below != NULL) {
            print_bridge(d, number, out);
        }
        for (unsigned n = 0; n < ARRAY_SIZE(d->bars); n++) {
            if (d->bars[n].region != NULL) {
                print_bar(d, n, out);
            }
        }
        fprintf(out, "      id \"%s\"\n", d->dev.id);
        if (d->below != NULL) {
            print_bus(d->below, d->config[PCI_SECONDARY], out);
        }
    }
}

void pci_bus_print(PciBus *bus, FILE *out)
{
    print_bus(bus, 0, out);
}
