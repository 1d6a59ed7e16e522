/*
 * 82371AB (PIIX4), function 3: power management. ACPI fixed hardware (PM1, PM timer), a
 * general-purpose event block beside it, the APM ports B2h and B3h, and the SMBus host (hw/smbus), which interrupts by
 * IRQ 9; not modelled: by SMI.
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
#include "hw/smbus/smbus.h"

#define PM_BASE 0x40
#define PM_DEVACTB 0x58
#define DEVACTB_APMC_EN 0x02000000u
#define PM_REGMISC 0x80
#define PM_IO_SIZE 64
#define PM_SMBBA 0x90     /* "SMBus Base Address" */
#define PM_SMBHSTCFG 0xd2 /* "SMBus Host Configuration" */
#define SMB_HST_EN 0x01
#define SMB_IRQ9(cfg) (((cfg) >> 1 & 7) == 4)
#define SMB_DEFAULT_BASE 0x700 /* where firmware puts it */
#define SMB_IO_SIZE 16

typedef struct Piix4Pm {
    PciDevice pci; /* first member */
    Pm1 pm1;
    uint16_t gpe_sts, gpe_en;
    SmbusHost smbus;
    bool io_mapped, smb_mapped;
    uint16_t io_base, smb_base;
    struct PciBus *bus; /* wiring */
    IrqLine smi, irq9;
    IoRegion io, io_gpe, io_smb;
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

static uint64_t smb_read(void *opaque, uint64_t offset, unsigned size)
{
    return smbus_read(&((Piix4Pm *)opaque)->smbus, (unsigned)offset);
}

static void smb_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    smbus_write(&((Piix4Pm *)opaque)->smbus, (unsigned)offset, (uint8_t)val, true);
}

static void smb_irq(void *opaque, bool level)
{
    Piix4Pm *s = opaque;

    irq_set(&s->irq9, level && SMB_IRQ9(s->pci.config[PM_SMBHSTCFG]));
}

static const IoOps smb_ops = { .read = smb_read, .write = smb_write, .max_size = 1 };
static const IoOps pm_ops = { .read = pm_read, .write = pm_write, .max_size = 4 };
static const IoOps gpe_ops = { .read = gpe_read, .write = gpe_write, .max_size = 4 };

/* place - @io is wanted at @base, or not at all. */
static void place(IoRegion *io, bool *mapped, uint16_t *at, bool want, uint16_t base)
{
    if (*mapped && (!want || base != *at)) {
        port_unmap(io);
        *mapped = false;
    }
    if (want && !*mapped) {
        *mapped = port_map(io, base, NULL); /* taken ports: not mapped */
        *at = base;
    }
}

/* pm_map - "PMBA" and "PMREGMISC", "SMBBA" and "SMBHSTCFG": where the ports are, if anywhere. */
static void pm_map(Piix4Pm *s)
{
    const uint8_t *config = s->pci.config;
    uint16_t base = ld_le16(config + PM_BASE) & 0xffc0, smb = ld_le16(config + PM_SMBBA) & 0xfff0;

    place(&s->io, &s->io_mapped, &s->io_base, (config[PM_REGMISC] & 1) && base != 0, base);
    place(&s->io_smb, &s->smb_mapped, &s->smb_base, (config[PM_SMBHSTCFG] & SMB_HST_EN) && smb != 0, smb);
}

static void pm_written(PciDevice *d, unsigned offset, unsigned len)
{
    pm_map(container_of(d, Piix4Pm, pci));
}

static Piix4Pm *pm_of(Device *dev)
{
    return container_of(dev, Piix4Pm, pci.dev);
}

struct SmbusHost *piix4_pm_smbus(Device *dev)
{
    return &pm_of(dev)->smbus;
}

void piix4_pm_connect(Device *dev, struct PciBus *bus, IrqLine sci, IrqLine irq9, IrqLine smi)
{
    pm_of(dev)->smi = smi;
    pm_of(dev)->irq9 = irq9;
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
    pci_config_write(d, PM_SMBBA, SMB_DEFAULT_BASE, 4);
    pci_config_write(d, PM_SMBHSTCFG, SMB_HST_EN | 4 << 1, 1);
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
    st_le32(d->config + PM_SMBBA, 1);
    st_le16(d->wmask + PM_SMBBA, 0xfff0);
    d->wmask[PM_SMBHSTCFG] = 0x0f;
    memset(d->wmask + 0x44, 0xff, 0x3c); /* device activity and the like: of no effect */
    d->config_written = pm_written;
    pci_ready(d);
    io_region_init(&s->io, &pm_ops, s, "piix4-pm", PM_IO_SIZE);
    io_region_init(&s->io_gpe, &gpe_ops, s, "acpi-gpe0", 4);
    io_region_init(&s->io_smb, &smb_ops, s, "pm-smbus", SMB_IO_SIZE);
    s->smbus.irq = smb_irq;
    s->smbus.opaque = s;
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

    place(&s->io, &s->io_mapped, &s->io_base, false, 0);
    place(&s->io_smb, &s->smb_mapped, &s->smb_base, false, 0);
    pm1_fini(&s->pm1);
    port_unmap(&s->io_gpe);
    pci_remove(&s->pci);
}

static void pm_reset(Device *dev)
{
    Piix4Pm *s = pm_of(dev);

    pci_reset(&s->pci);
    pm_map(s);
    smbus_reset(&s->smbus);
    s->gpe_sts = 0;
    s->gpe_en = 0;
    pm1_reset(&s->pm1);
}

static const StateField pm_fields[] = {
    STATE_STRUCT(Piix4Pm, pci, pci_fields), STATE_STRUCT(Piix4Pm, pm1, pm1_fields), STATE_U16(Piix4Pm, gpe_sts),
    STATE_U16(Piix4Pm, gpe_en), STATE_STRUCT(Piix4Pm, smbus, smbus_host_fields), STATE_END,
};

static bool pm_post_load(Device *dev, struct Error **errp)
{
    Piix4Pm *s = pm_of(dev);

    pci_post_load(&s->pci);
    smbus_post_load(&s->smbus);
    pm_map(s);
    return true;
}

const DeviceClass piix4_pm_class = {
    .name = "PIIX4_PM",
    .desc = "82371AB power management",
    .version = 2,
    .size = sizeof(Piix4Pm),
    .bus = BUS_PCI,
    .realize = pm_realize,
    .unrealize = pm_unrealize,
    .reset = pm_reset,
    .fields = pm_fields,
    .post_load = pm_post_load,
};
