/*
 * 82441FX (PMC): host bridge of the i440FX. What it does here: shows RAM or the PCI bus in the
 * areas between 768 KiB and 1 MiB (PAM), and RAM behind the VGA window in SMM (SMRAM).
 *
 * Source: Intel 82441FX data sheet (headings quoted).
 */
#include "hw/pci/i440fx.h"

#include "base/mem.h"
#include "hw/pci/pci.h"

#define I440FX_PAM 0x59   /* PAM0-PAM6 */
#define I440FX_SMRAM 0x72
#define SMRAM_OPEN 0x40
#define SMRAM_CLOSED 0x20
#define SMRAM_LOCK 0x10
#define SMRAM_ENABLE 0x08

#define PAM_READ 1u
#define PAM_WRITE 2u
#define PAM_SEGMENTS 13

/* One of the 12 areas of 16 KiB from C0000h, and the one of 64 KiB at F0000h. */
typedef struct PamSegment {
    IoRegion ram;       /* read and write */
    IoRegion ram_ro;    /* read RAM; writes go to the PCI bus, where nothing takes them */
    IoRegion rom_shadow; /* read the PCI bus, write RAM */
    IoRegion *mapped;   /* one of the three; NULL: all from the PCI bus */
    uint32_t base, size;
} PamSegment;

typedef struct I440fx {
    PciDevice pci; /* first member */
    struct PciBus *bus; /* wiring */
    uint8_t *rom;
    IoRegion rom_region, smram;
    PamSegment pam[PAM_SEGMENTS];
    bool smram_mapped, smram_open;
} I440fx;

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
static unsigned pam_attr(const I440fx *s, unsigned n)
{
    const uint8_t *pam = s->pci.config + I440FX_PAM;

    return n == 12 ? pam[0] >> 4 & 3u : pam[1 + n / 2] >> (n & 1) * 4 & 3u;
}

static void pam_update(I440fx *s, unsigned n)
{
    PamSegment *seg = &s->pam[n];
    IoRegion *want = NULL;

    switch (pam_attr(s, n)) {
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

/* "System Management RAM Control Register" */
static void smram_update(I440fx *s)
{
    uint8_t v = s->pci.config[I440FX_SMRAM];
    bool open = (v & SMRAM_ENABLE) && (v & SMRAM_OPEN);
    bool want = (v & SMRAM_ENABLE) != 0;

    if (s->smram_mapped && (!want || open != s->smram_open)) {
        mem_unmap(&s->smram);
        s->smram_mapped = false;
    }
    if (want && !s->smram_mapped) {
        s->smram_mapped = mem_map(&s->smram, 0xa0000, 3, !open, NULL);
        s->smram_open = open;
    }
}

static void i440fx_update(I440fx *s)
{
    mem_begin();
    for (unsigned n = 0; n < PAM_SEGMENTS; n++) {
        pam_update(s, n);
    }
    smram_update(s);
    mem_commit();
}

static void i440fx_written(PciDevice *d, unsigned offset, unsigned len)
{
    I440fx *s = container_of(d, I440fx, pci);
    uint8_t *smram = &d->config[I440FX_SMRAM];

    if (offset <= I440FX_SMRAM && offset + len > I440FX_SMRAM && (*smram & SMRAM_LOCK)) {
        /* "D_LCK ... D_OPEN is reset and both become read only" */
        *smram &= (uint8_t)~SMRAM_OPEN;
        d->wmask[I440FX_SMRAM] = SMRAM_CLOSED;
    }
    if ((offset < I440FX_PAM + 7 && offset + len > I440FX_PAM) ||
        (offset <= I440FX_SMRAM && offset + len > I440FX_SMRAM)) {
        i440fx_update(s);
    }
}

void i440fx_connect(Device *dev, struct PciBus *bus, uint8_t *rom)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    s->bus = bus;
    s->rom = rom;
}

static void pam_init(I440fx *s, unsigned n)
{
    PamSegment *seg = &s->pam[n];

    seg->base = n == 12 ? 0xf0000 : 0xc0000 + n * 0x4000;
    seg->size = n == 12 ? 0x10000 : 0x4000;
    ram_region_init(&seg->ram, "pam-ram", seg->base, seg->size);
    rom_region_init(&seg->ram_ro, "pam-rom", ram_host() + seg->base, seg->size);
    rom_region_init(&seg->rom_shadow, "pam-pci", s->rom + (seg->base - 0xc0000), seg->size);
    seg->rom_shadow.ops = &pam_shadow_ops;
    seg->rom_shadow.opaque = seg;
}

static bool i440fx_realize(Device *dev, struct Error **errp)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);
    PciDevice *d = &s->pci;

    if (!pci_add(d, s->bus, 0, 0x8086, 0x1237, 0x060000, 0x02, 0, errp)) {
        return false;
    }
    d->config[0x53] = 0x80; /* DRAMC etc. have no effect; these are their defaults */
    d->config[0x57] = 0x01;
    d->config[0x58] = 0x10;
    d->config[I440FX_SMRAM] = 0x02;
    st_le16(d->config + PCI_STATUS, 0x0280);
    memset(d->wmask + 0x50, 0xff, 9);
    memset(d->wmask + I440FX_PAM, 0x33, 7);
    d->wmask[I440FX_PAM] = 0x30;
    memset(d->wmask + 0x60, 0xff, 8); /* DRB */
    d->wmask[I440FX_SMRAM] = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
    d->config_written = i440fx_written;
    pci_ready(d);
    if (!pci_bus_map(s->bus, errp)) {
        pci_remove(d);
        return false;
    }
    for (unsigned n = 0; n < PAM_SEGMENTS; n++) {
        pam_init(s, n);
    }
    ram_region_init(&s->smram, "smram", 0xa0000, 0x20000);
    rom_region_init(&s->rom_region, "pc.rom", s->rom, 0x40000);
    if (!mem_map(&s->rom_region, 0xc0000, 1, false, errp)) {
        pci_bus_unmap(s->bus);
        pci_remove(d);
        return false;
    }
    return true;
}

static void i440fx_unrealize(Device *dev)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    memset(s->pci.config + I440FX_PAM, 0, 7);
    s->pci.config[I440FX_SMRAM] = 0;
    i440fx_update(s);
    mem_unmap(&s->rom_region);
    pci_bus_unmap(s->bus);
    pci_remove(&s->pci);
}

static void i440fx_reset(Device *dev)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    pci_bus_reset(s->bus);
    s->pci.wmask[I440FX_SMRAM] = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
    pci_reset(&s->pci);
    i440fx_update(s);
}

static const StateField i440fx_fields[] = { STATE_STRUCT(I440fx, pci, pci_fields), STATE_END };

static bool i440fx_post_load(Device *dev, struct Error **errp)
{
    I440fx *s = container_of(dev, I440fx, pci.dev);

    if (s->pci.config[I440FX_SMRAM] & SMRAM_LOCK) {
        s->pci.wmask[I440FX_SMRAM] = SMRAM_CLOSED;
    }
    pci_post_load(&s->pci);
    i440fx_update(s);
    return true;
}

const DeviceClass i440fx_class = {
    .name = "i440FX",
    .desc = "82441FX host bridge",
    .size = sizeof(I440fx),
    .bus = BUS_PCI,
    .realize = i440fx_realize,
    .unrealize = i440fx_unrealize,
    .reset = i440fx_reset,
    .fields = i440fx_fields,
    .post_load = i440fx_post_load,
};
