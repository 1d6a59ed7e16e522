/*
 * The areas below 1 MiB: see pam.h.
 */
#include "hw/pci/pam.h"

#include "base/mem.h"

#define PAM_READ 1u
#define PAM_WRITE 2u

/* Write-only RAM: it may hold code that was decoded before PAM changed. */
static void pam_shadow_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PamSegment *seg = opaque;

    if (size <= 8 && offset <= seg->size - size) {
        ram_write(seg->base + offset, &val, size);
    }
}

static const IoOps pam_shadow_ops = { .write = pam_shadow_write, .max_size = 8,
                                      .unaligned = true };

/* pam_attr - "Programmable Attribute Map Registers": PAM0 7:4 is F0000h, then C0000h on, low
 * nibble first. */
static unsigned pam_attr(const uint8_t *regs, unsigned n)
{
    return n == 12 ? regs[0] >> 4 & 3u : regs[1 + n / 2] >> (n & 1) * 4 & 3u;
}

static void segment_update(PamSegment *seg, unsigned attr)
{
    IoRegion *want = NULL;

    switch (attr) {
    case PAM_READ | PAM_WRITE:
        want = &seg->ram;
        break;
    case PAM_READ:
        want = &seg->ram_ro;
        break;
    case PAM_WRITE:
        want = &seg->rom_shadow;
        break;
    default:
        break;
    }
    if (want == seg->mapped) {
        return;
    }
    if (seg->mapped != NULL) {
        mem_unmap(seg->mapped);
    }
    /* the only mappings of this priority there, so that it cannot fail */
    seg->mapped = want != NULL && mem_map(want, seg->base, 2, false, NULL) ? want : NULL;
}

static void smram_update(Pam *p, uint8_t v)
{
    bool open = (v & SMRAM_ENABLE) && (v & SMRAM_OPEN);
    bool want = (v & SMRAM_ENABLE) != 0;

    if (p->smram_mapped && (!want || open != p->smram_open)) {
        mem_unmap(&p->smram);
        p->smram_mapped = false;
    }
    if (want && !p->smram_mapped) {
        p->smram_mapped = mem_map(&p->smram, 0xa0000, 3, !open, NULL);
        p->smram_open = open;
    }
}

void pam_update(Pam *p, const uint8_t *regs, uint8_t smram)
{
    mem_begin();
    for (unsigned n = 0; n < PAM_SEGMENTS; n++) {
        segment_update(&p->segment[n], pam_attr(regs, n));
    }
    smram_update(p, smram);
    mem_commit();
}

static void segment_init(PamSegment *seg, unsigned n, uint8_t *rom)
{
    seg->base = n == 12 ? 0xf0000 : 0xc0000 + n * 0x4000;
    seg->size = n == 12 ? 0x10000 : 0x4000;
    ram_region_init(&seg->ram, "pam-ram", seg->base, seg->size);
    rom_region_init(&seg->ram_ro, "pam-rom", ram_host() + seg->base, seg->size);
    rom_region_init(&seg->rom_shadow, "pam-pci", rom + (seg->base - 0xc0000), seg->size);
    seg->rom_shadow.ops = &pam_shadow_ops;
    seg->rom_shadow.opaque = seg;
}

static bool map_areas(Pam *p, uint8_t *rom, struct Error **errp)
{
    for (unsigned n = 0; n < PAM_SEGMENTS; n++) {
        segment_init(&p->segment[n], n, rom);
    }
    ram_region_init(&p->smram, "smram", 0xa0000, 0x20000);
    rom_region_init(&p->rom, "pc.rom", rom, 0x40000);
    return mem_map(&p->rom, 0xc0000, 1, false, errp);
}

bool pam_ready(Pam *p, PciDevice *d, PciBus *bus, uint8_t *rom, struct Error **errp)
{
    pci_ready(d);
    if (!pci_bus_map(bus, errp)) {
        pci_remove(d);
        return false;
    }
    if (!map_areas(p, rom, errp)) {
        pci_bus_unmap(bus);
        pci_remove(d);
        return false;
    }
    return true;
}

void pam_remove(Pam *p, PciDevice *d, PciBus *bus)
{
    static const uint8_t off[PAM_REGISTERS];

    pam_update(p, off, 0);
    mem_unmap(&p->rom);
    pci_bus_unmap(bus);
    pci_remove(d);
}
