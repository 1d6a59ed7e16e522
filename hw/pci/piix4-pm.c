/*
 * 82371AB (PIIX4), function 3: power management. ACPI fixed hardware (PM1, PM timer), a
 * general-purpose event block beside it, and the APM ports B2h and B3h. No SMBus.
 *
 * Sources: Intel 82371AB data sheet (headings quoted); ACPI specification 6.4, "ACPI Hardware
 * Specification". The GPE block stands at AFE0h, as guests of QEMU's i440FX board know it. A write
 * of B2h switches SCI_EN itself, as the SMI handler that ACPI describes would; firmware that wants
 * the SMI as well (SeaBIOS does, to move SMBASE) enables it.
 */
#include "hw/pci/piix4-pm.h"

#include "base/clock.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/acpi/pm1.h"
#include "hw/board.h"
#include "hw/pci/pci.h"
#include "hw/pci/trace.h"

#define PM_BASE 0x40
#define PM_DEVACTB 0x58
#define DEVACTB_APMC_EN 0x02000000u
#define PM_REGMISC 0x80
#define PM_IO_SIZE 64

typedef struct Piix4Pm {
    PciDevice pci; /* first member */
    Pm1 pm1;
    uint16_t gpe_sts, gpe_en;
    bool io_mapped;
    uint16_t io_base;
    struct PciBus *bus; /* wiring */
    IrqLine smi;
    IoRegion io, io_gpe;
} Piix4Pm;

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    return pm1_read(&((Piix4Pm *)opaque)->pm1, (unsigned)offset);
}

static void pm_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    pm1_write(&((Piix4Pm *)opaque)->pm1, (unsigned)offset, (uint32_t)val, size);
}

static bool pm_gpe(void *opaque)
{
    const Piix4Pm *s = opaque;

    return (s->gpe_sts & s->gpe_en) != 0;
}

/* "DEVACTB", APMC_EN: a write of APMC generates an SMI */
static void pm_apm_smi(void *opaque)
{
    Piix4Pm *s = opaque;

    if (ld_le32(s->pci.config + PM_DEVACTB) & DEVACTB_APMC_EN) {
        irq_pulse(&s->smi);
    }
}

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix4Pm *s = opaque;

    return (s->gpe_sts | (uint32_t)s->gpe_en << 16) >> (offset & 3) * 8;
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;
    unsigned at = offset & 1;
    uint32_t v = (uint32_t)val;

    if (offset < 2) {
        s->gpe_sts &= (uint16_t)~pm_merge16(0, at, v, size);
        if (size == 4) {
            s->gpe_en = (uint16_t)(v >> 16);
        }
    } else {
        s->gpe_en = pm_merge16(s->gpe_en, at, v, size);
    }
    pm1_update(&s->pm1);
}

static const IoOps pm_ops = { .read = pm_read, .write = pm_write, .max_size = 4 };
static const IoOps gpe_ops = { .read = gpe_read, .write = gpe_write, .max_size = 4 };

/* pm_map - "PMBA" and "PMREGMISC": where the ports are, if anywhere. */
static void pm_map(Piix4Pm *s)
{
    uint16_t base = ld_le16(s->pci.config + PM_BASE) & 0xffc0;
    bool want = (s->pci.config[PM_REGMISC] & 1) && base != 0;

    if (s->io_mapped && (!want || base != s->io_base)) {
        port_unmap(&s->io);
        s->io_mapped = false;
    }
    if (want && !s->io_mapped) {
        s->io_mapped = port_map(&s->io, base, NULL); /* taken ports: not mapped */
        s->io_base = base;
    }
}

static void pm_written(PciDevice *d, unsigned offset, unsigned len)
{
    if ((offset < PM_BASE + 2 && offset + len > PM_BASE) ||
        (offset <= PM_REGMISC && offset + len > PM_REGMISC)) {
        pm_map(container_of(d, Piix4Pm, pci));
    }
}

static Piix4Pm *pm_of(Device *dev)
{
    return container_of(dev, Piix4Pm, pci.dev);
}

void piix4_pm_connect(Device *dev, struct PciBus *bus, IrqLine sci, IrqLine smi)
{
    pm_of(dev)->smi = smi;
    pm_of(dev)->bus = bus;
    pm_of(dev)->pm1.sci = sci;
}

void piix4_pm_power_button(Device *dev)
{
    pm1_power_button(&pm_of(dev)->pm1);
}

uint16_t piix4_pm_base(Device *dev)
{
    Piix4Pm *s = pm_of(dev);

    return s->io_mapped ? s->io_base : 0;
}

void piix4_pm_gpe(Device *dev, unsigned n)
{
    pm_of(dev)->gpe_sts |= (uint16_t)BIT(n & 15);
    pm1_update(&pm_of(dev)->pm1);
}

void piix4_pm_firmware(Device *dev)
{
    PciDevice *d = &pm_of(dev)->pci;

    pci_config_write(d, PM_BASE, PIIX4_PM_DEFAULT_BASE | 1, 4);
    pci_config_write(d, PM_REGMISC, 1, 1);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO, 2);
    pci_config_write(d, PCI_INT_LINE, 9, 1);
}

static bool pm_realize(Device *dev, struct Error **errp)
{
    Piix4Pm *s = pm_of(dev);
    PciDevice *d = &s->pci;

    if (!pci_add(d, s->bus, PCI_DEVFN(1, 3), 0x8086, 0x7113, 0x068000, 0x03, 1, errp)) {
        return false;
    }
    st_le16(d->config + PCI_STATUS, 0x0280);
    st_le32(d->config + PM_BASE, 1);
    st_le16(d->wmask + PM_BASE, 0xffc0);
    d->wmask[PM_REGMISC] = 1;
    memset(d->wmask + 0x44, 0xff, 0x3c); /* device activity and the like: of no effect */
    d->config_written = pm_written;
    pci_ready(d);
    io_region_init(&s->io, &pm_ops, s, "piix4-pm", PM_IO_SIZE);
    io_region_init(&s->io_gpe, &gpe_ops, s, "acpi-gpe0", 4);
    s->pm1.gpe = pm_gpe;
    s->pm1.apm_smi = pm_apm_smi;
    s->pm1.opaque = s;
    s->pm1.acpi_enable = PIIX4_ACPI_ENABLE;
    s->pm1.acpi_disable = PIIX4_ACPI_DISABLE;
    s->pm1.board = dev->board;
    if (!port_map(&s->io_gpe, PIIX4_GPE0_BASE, errp)) {
        goto fail_gpe;
    }
    if (!pm1_init(&s->pm1, errp)) {
        goto fail_apm;
    }
    return true;
fail_apm:
    port_unmap(&s->io_gpe);
fail_gpe:
    pci_remove(d);
    return false;
}

static void pm_unrealize(Device *dev)
{
    Piix4Pm *s = pm_of(dev);

    if (s->io_mapped) {
        port_unmap(&s->io);
        s->io_mapped = false;
    }
    pm1_fini(&s->pm1);
    port_unmap(&s->io_gpe);
    pci_remove(&s->pci);
}

static void pm_reset(Device *dev)
{
    Piix4Pm *s = pm_of(dev);

    pci_reset(&s->pci);
    pm_map(s);
    s->gpe_sts = 0;
    s->gpe_en = 0;
    pm1_reset(&s->pm1);
}

static const StateField pm_fields[] = {
    STATE_STRUCT(Piix4Pm, pci, pci_fields), STATE_STRUCT(Piix4Pm, pm1, pm1_fields), STATE_U16(Piix4Pm, gpe_sts),
    STATE_U16(Piix4Pm, gpe_en), STATE_END,
};

static bool pm_post_load(Device *dev, struct Error **errp)
{
    Piix4Pm *s = pm_of(dev);

    pci_post_load(&s->pci);
    pm_map(s);
    return true;
}

const DeviceClass piix4_pm_class = {
    .name = "PIIX4_PM",
    .desc = "82371AB power management",
    .size = sizeof(Piix4Pm),
    .bus = BUS_PCI,
    .realize = pm_realize,
    .unrealize = pm_unrealize,
    .reset = pm_reset,
    .fields = pm_fields,
    .post_load = pm_post_load,
};
