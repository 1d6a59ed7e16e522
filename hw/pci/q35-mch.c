/*
 * 82P35 (MCH), function 0: host bridge of the q35 board. The window of configuration space in memory (PCIEXBAR), the areas
 * below 1 MiB (hw/pci/pam.h), and RAM at the top that only SMM sees (TSEG).
 *
 * Source: Intel 3 Series Express Chipset Family data sheet (316966), "DRAM Controller Registers (D0:F0)" (headings
 * quoted); PCI Express Base Specification 2.0, "PCI Express Enhanced Configuration Access Mechanism". Not modelled: the
 * registers of memory timing behind MCHBAR, remapping by TOLUD and TOUUD (the board lays RAM out).
 */
#include "hw/pci/q35-mch.h"

#include "base/mem.h"
#include "hw/pci/pam.h"
#include "hw/pci/pci.h"

#define PCIEXBAR 0x60
#define MCH_PAM 0x90
#define MCH_SMRAM 0x9d
#define MCH_ESMRAMC 0x9e
#define TSEG_ENABLE 0x01
#define ESMRAMC_FIXED 0x38 /* the caches of SMRAM: bits that read as ones */

typedef struct Mch {
    PciDevice pci; /* first member */
    struct PciBus *bus; /* wiring */
    uint8_t *rom;
    uint64_t below_4g;
    Pam pam;
    IoRegion ecam, tseg_hole, tseg;
    uint64_t ecam_base, tseg_base; /* while mapped */
} Mch;

static Mch *mch_of(Device *dev)
{
    return container_of(dev, Mch, pci.dev);
}

/* ---- configuration space in memory ---- */

/* The function that @offset of the window names. */
static PciDevice *ecam_device(const Mch *s, uint64_t offset)
{
    return pci_function(s->bus, (unsigned)(offset >> 20), (unsigned)(offset >> 12) & 0xff);
}

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    PciDevice *d = ecam_device(opaque, offset);

    if (d == NULL) {
        return UINT32_MAX;
    }
    if ((offset & 0xf00) != 0) {
        return 0; /* nothing has extended space: "no capability" */
    }
    return pci_config_read(d, (unsigned)(offset & 0xff), size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PciDevice *d = ecam_device(opaque, offset);

    if (d != NULL && (offset & 0xf00) == 0) {
        pci_config_write(d, (unsigned)(offset & 0xff), (uint32_t)val, size);
    }
}

static const IoOps ecam_ops = { .read = ecam_read, .write = ecam_write, .max_size = 4 };

uint64_t mch_ecam(Device *dev, uint64_t *size)
{
    static const uint32_t sizes[4] = { 256u << 20, 128u << 20, 64u << 20, 0 };
    uint64_t v = ld_le64(mch_of(dev)->pci.config + PCIEXBAR);

    *size = sizes[v >> 1 & 3]; /* "Length" */
    return (v & 1) && *size != 0 ? v & 0xfffffffffull & ~(*size - 1) : 0;
}

static void ecam_update(Mch *s)
{
    uint64_t size, base = mch_ecam(&s->pci.dev, &size);

    if (s->ecam_base != 0 && (base != s->ecam_base || size != s->ecam.size)) {
        mem_unmap(&s->ecam);
        s->ecam_base = 0;
    }
    if (base != 0 && s->ecam_base == 0) {
        io_region_init(&s->ecam, &ecam_ops, s, "pcie-mmcfg", size);
        s->ecam_base = mem_map(&s->ecam, base, 4, false, NULL) ? base : 0;
    }
}

/* ---- TSEG ---- */

static uint64_t hole_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}

static const IoOps hole_ops = { .read = hole_read, .max_size = 8 };

/* tseg_update - "Extended System Management RAM Control": the end of RAM below 4 GiB is SMM's. */
static void tseg_update(Mch *s)
{
    static const uint32_t sizes[4] = { 1u << 20, 2u << 20, 8u << 20, 0 };
    uint8_t v = s->pci.config[MCH_ESMRAMC];
    uint64_t size = (v & TSEG_ENABLE) ? sizes[v >> 1 & 3] : 0;
    uint64_t base = size != 0 && size < s->below_4g ? s->below_4g - size : 0;

    if (s->tseg_base != 0 && base != s->tseg_base) {
        mem_unmap(&s->tseg);
        mem_unmap(&s->tseg_hole);
        s->tseg_base = 0;
    }
    if (base != 0 && s->tseg_base == 0) {
        io_region_init(&s->tseg_hole, &hole_ops, s, "tseg-hole", size);
        ram_region_init(&s->tseg, "tseg", base, size);
        if (mem_map(&s->tseg_hole, base, 5, false, NULL)) {
            s->tseg_base = base;
            if (!mem_map(&s->tseg, base, 6, true, NULL)) {
                mem_unmap(&s->tseg_hole);
                s->tseg_base = 0;
            }
        }
    }
}

/* ---- the function ---- */

static void mch_update(Mch *s)
{
    mem_begin();
    pam_update(&s->pam, s->pci.config + MCH_PAM, s->pci.config[MCH_SMRAM]);
    ecam_update(s);
    tseg_update(s);
    mem_commit();
}

static void mch_lock(Mch *s)
{
    bool locked = (s->pci.config[MCH_SMRAM] & SMRAM_LOCK) != 0;

    /* "D_LCK ... D_OPEN is reset and [the others] become read only" */
    s->pci.wmask[MCH_SMRAM] = locked ? SMRAM_CLOSED : SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
    s->pci.wmask[MCH_ESMRAMC] = locked ? 0 : 0x87;
    if (locked) {
        s->pci.config[MCH_SMRAM] &= (uint8_t)~SMRAM_OPEN;
    }
}

static void mch_written(PciDevice *d, unsigned offset, unsigned len)
{
    Mch *s = container_of(d, Mch, pci);

    if (offset < MCH_ESMRAMC + 1 && offset + len > PCIEXBAR) {
        mch_lock(s);
        mch_update(s);
    }
}

void mch_connect(Device *dev, struct PciBus *bus, uint8_t *rom, uint64_t below_4g)
{
    Mch *s = mch_of(dev);

    s->bus = bus;
    s->rom = rom;
    s->below_4g = below_4g;
}

void mch_firmware(Device *dev)
{
    PciDevice *d = &mch_of(dev)->pci;

    pci_config_write(d, PCIEXBAR + 4, 0, 4);
    pci_config_write(d, PCIEXBAR, MCH_ECAM_DEFAULT | 1, 4);
}

static bool mch_realize(Device *dev, struct Error **errp)
{
    Mch *s = mch_of(dev);
    PciDevice *d = &s->pci;

    if (!pci_add(d, s->bus, 0, 0x8086, 0x29c0, 0x060000, 0x00, 0, errp)) {
        return false;
    }
    st_le16(d->config + PCI_STATUS, 0x0090);
    st_le64(d->config + PCIEXBAR, MCH_ECAM_DEFAULT);
    st_le64(d->wmask + PCIEXBAR, 0xffc000007ull);
    memset(d->wmask + MCH_PAM, 0x33, PAM_REGISTERS);
    d->wmask[MCH_PAM] = 0x30;
    d->config[MCH_SMRAM] = 0x02;
    d->config[MCH_ESMRAMC] = ESMRAMC_FIXED;
    mch_lock(s);
    d->config_written = mch_written;
    return pam_ready(&s->pam, d, s->bus, s->rom, errp);
}

static void mch_unrealize(Device *dev)
{
    Mch *s = mch_of(dev);

    st_le64(s->pci.config + PCIEXBAR, 0);
    s->pci.config[MCH_ESMRAMC] = 0;
    mch_update(s);
    pam_remove(&s->pam, &s->pci, s->bus);
}

static void mch_reset(Device *dev)
{
    Mch *s = mch_of(dev);

    pci_bus_reset(s->bus);
    pci_reset(&s->pci);
    mch_lock(s);
    mch_update(s);
}

static bool mch_post_load(Device *dev, struct Error **errp)
{
    Mch *s = mch_of(dev);

    mch_lock(s);
    pci_post_load(&s->pci);
    mch_update(s);
    return true;
}

static const StateField mch_fields[] = { STATE_STRUCT(Mch, pci, pci_fields), STATE_END };

const DeviceClass q35_mch_class = {
    .name = "mch",
    .desc = "82P35 host bridge",
    .size = sizeof(Mch),
    .bus = BUS_PCI,
    .realize = mch_realize,
    .unrealize = mch_unrealize,
    .reset = mch_reset,
    .fields = mch_fields,
    .post_load = mch_post_load,
};
