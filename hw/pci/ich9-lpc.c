/*
 * ICH9, device 31 function 0: LPC bridge. Interrupt router with eight inputs and reset control (hw/pci/isa-bridge.h), ACPI
 * power management and APM (hw/acpi/pm1.h), SMI control, and the part of the root complex's registers that says how
 * functions' interrupts are routed.
 *
 * Source: Intel I/O Controller Hub 9 data sheet (316972), "LPC Interface Bridge Registers (D31:F0)", "Chipset
 * Configuration Registers" (headings quoted). The routes of DxxIR are fixed at their reset values. TCO: hw/watchdog/ich9-tco.h.
 * Not modelled: GPIO; its bits read as zeros, and CAP bits do not claim them.
 */
#include "hw/pci/ich9-lpc.h"

#include "base/mem.h"
#include "hw/acpi/pm1.h"
#include "hw/board.h"
#include "hw/pci/isa-bridge.h"
#include "hw/watchdog/ich9-tco.h"

enum { R_PMBASE = 0x40, R_ACPI_CNTL = 0x44, R_RCBA = 0xf0, RCBA_SIZE = 0x4000, PM_IO_SIZE = 128 };
#define ACPI_EN 0x80
#define SMI_EN 0x30
#define SMI_STS 0x34
#define GBL_SMI_EN 0x01u
#define SMI_APMC 0x20u /* APMC_EN, APM_STS */
#define SMI_TCO 0x2000u /* TCO_EN, TCO_STS */
#define SMI_EN_MASK (GBL_SMI_EN | SMI_APMC | SMI_TCO)
#define PM_TCO 0x60     /* TCOBASE, from PMBASE */
#define GPE_SIZE 16    /* status, then enable */
#define D31IR 0x3140   /* "Device 31 Interrupt Route Register"; D25IR is the lowest */
#define D25IR 0x3150
#define ROUTE_DEFAULT 0x3210u
#define GCS 0x3410     /* "General Control and Status Register" */
#define GCS_NO_REBOOT 0x20u

typedef struct Ich9Lpc {
    IsaBridge bridge; /* first member */
    Pm1 pm1;
    uint32_t smi_en, smi_sts;
    uint8_t gpe[GPE_SIZE];
    Tco tco;
    bool strapped;    /* property: NO_REBOOT is set by a strap, and stays so */
    uint32_t gcs;
    bool io_mapped, rcba_mapped;
    uint16_t io_base;
    uint32_t rcba_base;
    IrqLine smi; /* wiring */
    IoRegion io, rcba;
} Ich9Lpc;

static Ich9Lpc *lpc_of(Device *dev)
{
    return container_of(dev, Ich9Lpc, bridge.pci.dev);
}

unsigned ich9_pirq(unsigned devfn, unsigned pin)
{
    unsigned slot = devfn >> 3;

    /* the chipset's own functions by DxxIR; others: PIRQE to PIRQH, one further with each slot */
    return slot >= 25 ? ROUTE_DEFAULT >> 4 * pin & 7 : 4 + ((slot + pin) & 3);
}

/* ---- power management ---- */

static uint64_t lpc_pm_read(void *opaque, uint64_t offset, unsigned size)
{
    Ich9Lpc *s = opaque;

    if (offset < PM1_SIZE) {
        return pm1_read(&s->pm1, (unsigned)offset);
    }
    if (offset >= PM_TCO) {
        return tco_read(&s->tco, (unsigned)offset - PM_TCO, size);
    }
    if (offset >= ICH9_GPE0 && offset < ICH9_GPE0 + GPE_SIZE) {
        uint32_t val = 0;

        for (unsigned n = 0; n < size && offset + n < ICH9_GPE0 + GPE_SIZE; n++) {
            val |= (uint32_t)s->gpe[offset - ICH9_GPE0 + n] << 8 * n;
        }
        return val;
    }
    switch (offset & ~3ull) {
    case SMI_EN:
        return s->smi_en >> (offset & 3) * 8;
    case SMI_STS:
        return s->smi_sts >> (offset & 3) * 8;
    default:
        return 0;
    }
}

static void lpc_pm_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Ich9Lpc *s = opaque;
    unsigned shift = (offset & 3) * 8;
    uint32_t mask = (uint32_t)((size == 4 ? UINT32_MAX : BIT(size * 8) - 1) << shift), v = (uint32_t)val << shift;

    if (offset < PM1_SIZE) {
        pm1_write(&s->pm1, (unsigned)offset, (uint32_t)val, size);
    } else if (offset >= PM_TCO) {
        tco_write(&s->tco, (unsigned)offset - PM_TCO, (uint32_t)val, size);
    } else if (offset >= ICH9_GPE0 && offset < ICH9_GPE0 + GPE_SIZE) {
        for (unsigned n = 0; n < size && offset + n < ICH9_GPE0 + GPE_SIZE; n++) {
            uint8_t *p = &s->gpe[offset - ICH9_GPE0 + n], byte = (uint8_t)(val >> 8 * n);

            *p = offset + n < ICH9_GPE0 + GPE_SIZE / 2 ? *p & (uint8_t)~byte : byte;
        }
        pm1_update(&s->pm1);
    } else if ((offset & ~3ull) == SMI_EN) {
        s->smi_en = ((s->smi_en & ~mask) | (v & mask)) & SMI_EN_MASK;
    } else if ((offset & ~3ull) == SMI_STS) {
        s->smi_sts &= ~(v & mask);
    }
}

static const IoOps lpc_pm_ops = { .read = lpc_pm_read, .write = lpc_pm_write, .max_size = 4 };

static bool lpc_gpe(void *opaque)
{
    const Ich9Lpc *s = opaque;
    uint8_t any = 0;

    for (unsigned n = 0; n < GPE_SIZE / 2; n++) {
        any |= s->gpe[n] & s->gpe[GPE_SIZE / 2 + n];
    }
    return any != 0;
}

/* "SMI Control and Enable Register": APMC_EN, and GBL_SMI_EN for all */
static void lpc_apm_smi(void *opaque)
{
    Ich9Lpc *s = opaque;

    if ((s->smi_en & SMI_APMC) && (s->smi_en & GBL_SMI_EN)) {
        s->smi_sts |= SMI_APMC;
        irq_pulse(&s->smi);
    }
}

static void tco_first(void *opaque)
{
    Ich9Lpc *s = opaque;

    s->smi_sts |= SMI_TCO;
    if ((s->smi_en & SMI_TCO) && (s->smi_en & GBL_SMI_EN)) {
        irq_pulse(&s->smi);
    }
}

static void tco_second(void *opaque)
{
    Ich9Lpc *s = opaque;
    const Board *board = s->bridge.pci.dev.board;

    if (!(s->gcs & GCS_NO_REBOOT) && board != NULL && board->watchdog_expired != NULL) {
        board->watchdog_expired();
    }
}

/* ---- root complex registers ---- */

static uint64_t rcba_read(void *opaque, uint64_t offset, unsigned size)
{
    const Ich9Lpc *s = opaque;

    if (offset >= GCS && offset < GCS + 4) {
        return s->gcs >> (offset & 3) * 8;
    }
    return offset >= D31IR && offset < D25IR + 4 ? ROUTE_DEFAULT >> (offset & 1) * 8 : 0;
}

static void rcba_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Ich9Lpc *s = opaque;

    if (offset == GCS && !s->strapped) {
        s->gcs = (uint32_t)val & GCS_NO_REBOOT;
    }
}

static const IoOps rcba_ops = { .read = rcba_read, .write = rcba_write, .max_size = 4 };

/* ---- places ---- */

static void lpc_map(Ich9Lpc *s)
{
    const uint8_t *config = s->bridge.pci.config;
    uint16_t base = ld_le16(config + R_PMBASE) & 0xff80;
    uint32_t rcba = ld_le32(config + R_RCBA);
    bool want = (config[R_ACPI_CNTL] & ACPI_EN) && base != 0;

    if (s->io_mapped && (!want || base != s->io_base)) {
        port_unmap(&s->io);
        s->io_mapped = false;
    }
    if (want && !s->io_mapped) {
        s->io_mapped = port_map(&s->io, base, NULL); /* taken ports: not mapped */
        s->io_base = base;
    }
    want = (rcba & 1) != 0;
    rcba &= ~(RCBA_SIZE - 1u);
    if (s->rcba_mapped && (!want || rcba != s->rcba_base)) {
        mem_unmap(&s->rcba);
        s->rcba_mapped = false;
    }
    if (want && !s->rcba_mapped) {
        s->rcba_mapped = mem_map(&s->rcba, rcba, 3, false, NULL);
        s->rcba_base = rcba;
    }
}

static void lpc_written(PciDevice *d, unsigned offset, unsigned len)
{
    Ich9Lpc *s = container_of(d, Ich9Lpc, bridge.pci);

    isa_bridge_written(&s->bridge, offset, len);
    lpc_map(s);
}

/* ---- the function ---- */

void ich9_lpc_connect(Device *dev, struct PciBus *bus, const IrqLine *irq, const IrqLine *gsi, IrqLine smi)
{
    Ich9Lpc *s = lpc_of(dev);

    isa_bridge_connect(&s->bridge, bus, irq, gsi);
    s->smi = smi;
}

IrqLine ich9_lpc_isa_input(Device *dev, unsigned n)
{
    return isa_bridge_input(&lpc_of(dev)->bridge, n);
}

void ich9_lpc_power_button(Device *dev)
{
    pm1_power_button(&lpc_of(dev)->pm1);
}

void ich9_lpc_gpe(Device *dev, unsigned n)
{
    Ich9Lpc *s = lpc_of(dev);

    s->gpe[n / 8 % (GPE_SIZE / 2)] |= (uint8_t)BIT(n & 7);
    pm1_update(&s->pm1);
}

void ich9_lpc_firmware(Device *dev)
{
    PciDevice *d = &lpc_of(dev)->bridge.pci;

    pci_config_write(d, R_PMBASE, ICH9_PM_BASE, 4);
    pci_config_write(d, R_ACPI_CNTL, ACPI_EN, 1);
    pci_config_write(d, R_RCBA, ICH9_RCBA | 1, 4);
}

static bool lpc_realize(Device *dev, struct Error **errp)
{
    Ich9Lpc *s = lpc_of(dev);
    PciDevice *d = &s->bridge.pci;

    if (!pci_add(d, s->bridge.bus, PCI_DEVFN(31, 0), 0x8086, 0x2918, 0x060100, 0x02, 0, errp)) {
        return false;
    }
    d->config[PCI_HEADER] = 0x80; /* multi-function */
    st_le16(d->config + PCI_COMMAND, 0x0007);
    st_le16(d->config + PCI_STATUS, 0x0200);
    st_le16(d->wmask + PCI_COMMAND, 0x0140);
    st_le32(d->config + R_PMBASE, 1);
    st_le16(d->wmask + R_PMBASE, 0xff80);
    d->wmask[R_ACPI_CNTL] = ACPI_EN;
    st_le32(d->wmask + R_RCBA, 0xffffc001u);
    d->config_written = lpc_written;
    s->pm1.gpe = lpc_gpe;
    s->pm1.apm_smi = lpc_apm_smi;
    s->pm1.opaque = s;
    s->pm1.acpi_enable = ICH9_ACPI_ENABLE;
    s->pm1.acpi_disable = ICH9_ACPI_DISABLE;
    s->pm1.board = dev->board;
    s->pm1.sci = isa_bridge_sci(&s->bridge);
    tco_init(&s->tco, tco_first, tco_second, s);
    io_region_init(&s->io, &lpc_pm_ops, s, "ich9-pm", PM_IO_SIZE);
    io_region_init(&s->rcba, &rcba_ops, s, "ich9-rcba", RCBA_SIZE);
    if (!pm1_init(&s->pm1, errp)) {
        pci_remove(d);
        return false;
    }
    isa_bridge_ready(&s->bridge, 8);
    return true;
}

static void lpc_unrealize(Device *dev)
{
    Ich9Lpc *s = lpc_of(dev);

    st_le32(s->bridge.pci.config + R_RCBA, 0);
    s->bridge.pci.config[R_ACPI_CNTL] = 0;
    lpc_map(s);
    tco_fini(&s->tco);
    pm1_fini(&s->pm1);
    isa_bridge_remove(&s->bridge);
}

static void lpc_reset(Device *dev)
{
    Ich9Lpc *s = lpc_of(dev);

    isa_bridge_reset(&s->bridge);
    lpc_map(s);
    memset(s->gpe, 0, sizeof(s->gpe));
    s->smi_en = s->smi_sts = 0;
    s->gcs = s->strapped ? GCS_NO_REBOOT : 0;
    tco_reset(&s->tco);
    pm1_reset(&s->pm1);
}

static bool lpc_post_load(Device *dev, struct Error **errp)
{
    Ich9Lpc *s = lpc_of(dev);

    pci_post_load(&s->bridge.pci);
    tco_post_load(&s->tco);
    s->gcs &= GCS_NO_REBOOT;
    lpc_map(s);
    return true;
}

static const Property lpc_props[] = {
    PROP_BOOL("noreboot", Ich9Lpc, strapped, false, "the TCO watchdog cannot reset the board"), PROP_END,
};

static const StateField lpc_fields[] = {
    STATE_STRUCT(Ich9Lpc, bridge, isa_bridge_fields), STATE_STRUCT(Ich9Lpc, pm1, pm1_fields),
    STATE_U32(Ich9Lpc, smi_en), STATE_U32(Ich9Lpc, smi_sts), STATE_BYTES(Ich9Lpc, gpe), STATE_U32(Ich9Lpc, gcs),
    STATE_STRUCT(Ich9Lpc, tco, tco_fields), STATE_END,
};

const DeviceClass ich9_lpc_class = {
    .name = "ICH9-LPC",
    .desc = "ICH9 LPC bridge",
    .size = sizeof(Ich9Lpc),
    .bus = BUS_PCI,
    .props = lpc_props,
    .realize = lpc_realize,
    .unrealize = lpc_unrealize,
    .reset = lpc_reset,
    .fields = lpc_fields,
    .post_load = lpc_post_load,
};
