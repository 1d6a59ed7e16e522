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
#include "hw/board.h"
#include "hw/pci/pci.h"
#include "hw/pci/trace.h"

#define PM_BASE 0x40
#define PM_DEVACTB 0x58
#define DEVACTB_APMC_EN 0x02000000u
#define PM_REGMISC 0x80
#define PM1_STS 0x00
#define PM1_EN 0x02
#define PM1_CNT 0x04
#define PM1_TMR 0x08
#define PM_IO_SIZE 64

#define TMR_STS 0x0001
#define BM_STS 0x0010
#define GBL_STS 0x0020
#define PWRBTN_STS 0x0100
#define RTC_STS 0x0400
#define WAK_STS 0x8000
#define PM1_STS_MASK (TMR_STS | BM_STS | GBL_STS | PWRBTN_STS | RTC_STS | WAK_STS)
#define PM1_EN_MASK (TMR_STS | GBL_STS | PWRBTN_STS | RTC_STS)
#define CNT_SCI_EN 0x0001
#define CNT_SLP_TYP_SHIFT 10
#define CNT_SLP_EN 0x2000
#define CNT_MASK 0x1c03
#define SLP_TYP_S5 0 /* "SUS_TYP": 000 is soft off */

typedef struct Piix4Pm {
    PciDevice pci; /* first member */
    uint16_t sts, en, cnt;
    uint16_t gpe_sts, gpe_en;
    uint8_t apmc, apms;
    uint32_t tmr_seen; /* bit 23 periods of the PM timer that TMR_STS knows */
    Timer timer;       /* next change of bit 23, while TMR_EN is set */
    bool io_mapped;
    uint16_t io_base;
    struct PciBus *bus; /* wiring */
    IrqLine sci, smi;
    IoRegion io, io_gpe, io_apm;
} Piix4Pm;

static uint64_t pm_ticks(void)
{
    return (uint64_t)((unsigned __int128)clock_now(CLK_VIRTUAL) * PM_TIMER_HZ / NS_PER_SEC);
}

/* pm_sync_timer - "TMROF_STS ... set anytime bit 22 goes high to low or low to high": the timer's
 * highest bit, which of 24 bits is bit 23. */
static void pm_sync_timer(Piix4Pm *s)
{
    uint32_t half = (uint32_t)(pm_ticks() >> 23);

    if (half != s->tmr_seen) {
        s->tmr_seen = half;
        s->sts |= TMR_STS;
    }
}

static void pm_update(Piix4Pm *s)
{
    bool level;
    uint64_t next;

    pm_sync_timer(s);
    level = (s->cnt & CNT_SCI_EN) &&
            ((s->sts & s->en & PM1_EN_MASK) || (s->gpe_sts & s->gpe_en));
    irq_set(&s->sci, level);
    if ((s->en & TMR_STS) && !(s->sts & TMR_STS)) {
        next = ((pm_ticks() >> 23) + 1) << 23;
        timer_arm(&s->timer, (int64_t)(((unsigned __int128)next * NS_PER_SEC + PM_TIMER_HZ - 1) /
                                       PM_TIMER_HZ));
    } else {
        timer_cancel(&s->timer);
    }
}

static void pm_timer(void *opaque)
{
    pm_update(opaque);
}

static void pm_write_cnt(Piix4Pm *s, uint16_t val)
{
    Board *board = s->pci.dev.board;

    s->cnt = val & CNT_MASK;
    if ((val & CNT_SLP_EN) && (val >> CNT_SLP_TYP_SHIFT & 7) == SLP_TYP_S5 && board != NULL &&
        board->shutdown_request != NULL) {
        board->shutdown_request();
    }
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix4Pm *s = opaque;
    uint32_t val = 0;

    switch (offset & ~3ull) {
    case PM1_STS:
        pm_sync_timer(s);
        val = s->sts | (uint32_t)s->en << 16;
        break;
    case PM1_CNT:
        val = s->cnt;
        break;
    case PM1_TMR:
        val = pm_ticks() & 0xffffff;
        break;
    default:
        break;
    }
    return val >> (offset & 3) * 8;
}

/* merge16 - @old with the bytes of a write of @size bytes at byte @at of it replaced. */
static uint16_t merge16(uint16_t old, unsigned at, uint32_t val, unsigned size)
{
    uint16_t mask = (uint16_t)((size >= 2 ? 0xffffu : 0xffu) << at * 8);

    return (uint16_t)((old & ~mask) | ((val << at * 8) & mask));
}

static void pm_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;
    unsigned at = offset & 1;
    uint32_t v = (uint32_t)val;

    trace_pm_write((unsigned)offset, v);
    pm_sync_timer(s);
    switch (offset & ~1ull) {
    case PM1_STS:
        s->sts &= (uint16_t)~(merge16(0, at, v, size) & PM1_STS_MASK);
        if (size == 4) {
            s->en = v >> 16 & PM1_EN_MASK;
        }
        break;
    case PM1_EN:
        s->en = merge16(s->en, at, v, size) & PM1_EN_MASK;
        break;
    case PM1_CNT:
        pm_write_cnt(s, merge16(s->cnt, at, v, size));
        break;
    default:
        break;
    }
    pm_update(s);
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
        s->gpe_sts &= (uint16_t)~merge16(0, at, v, size);
        if (size == 4) {
            s->gpe_en = (uint16_t)(v >> 16);
        }
    } else {
        s->gpe_en = merge16(s->gpe_en, at, v, size);
    }
    pm_update(s);
}

/* Ports B2h (APMC) and B3h (APMS). */
static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix4Pm *s = opaque;

    return offset ? s->apms : s->apmc;
}

static void apm_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;

    if (offset) {
        s->apms = (uint8_t)val;
        return;
    }
    s->apmc = (uint8_t)val;
    if (s->apmc == PIIX4_ACPI_ENABLE) {
        s->cnt |= CNT_SCI_EN;
    } else if (s->apmc == PIIX4_ACPI_DISABLE) {
        s->cnt &= (uint16_t)~CNT_SCI_EN;
    }
    pm_update(s);
    /* "DEVACTB", APMC_EN: a write of APMC generates an SMI */
    if (ld_le32(s->pci.config + PM_DEVACTB) & DEVACTB_APMC_EN) {
        irq_pulse(&s->smi);
    }
}

static const IoOps pm_ops = { .read = pm_read, .write = pm_write, .max_size = 4 };
static const IoOps gpe_ops = { .read = gpe_read, .write = gpe_write, .max_size = 4 };
static const IoOps apm_ops = { .read = apm_read, .write = apm_write, .max_size = 1 };

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
    pm_of(dev)->sci = sci;
}

void piix4_pm_power_button(Device *dev)
{
    pm_of(dev)->sts |= PWRBTN_STS;
    pm_update(pm_of(dev));
}

void piix4_pm_gpe(Device *dev, unsigned n)
{
    pm_of(dev)->gpe_sts |= (uint16_t)BIT(n & 15);
    pm_update(pm_of(dev));
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
    timer_init(&s->timer, CLK_VIRTUAL, pm_timer, s, &machine_lock_guard);
    io_region_init(&s->io, &pm_ops, s, "piix4-pm", PM_IO_SIZE);
    io_region_init(&s->io_gpe, &gpe_ops, s, "acpi-gpe0", 4);
    io_region_init(&s->io_apm, &apm_ops, s, "apm", 2);
    if (!port_map(&s->io_gpe, PIIX4_GPE0_BASE, errp)) {
        goto fail_gpe;
    }
    if (!port_map(&s->io_apm, 0xb2, errp)) {
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

    timer_cancel(&s->timer);
    if (s->io_mapped) {
        port_unmap(&s->io);
        s->io_mapped = false;
    }
    port_unmap(&s->io_apm);
    port_unmap(&s->io_gpe);
    pci_remove(&s->pci);
}

static void pm_reset(Device *dev)
{
    Piix4Pm *s = pm_of(dev);

    pci_reset(&s->pci);
    pm_map(s);
    s->sts = 0;
    s->en = 0;
    s->cnt = 0;
    s->gpe_sts = 0;
    s->gpe_en = 0;
    s->apmc = 0;
    s->apms = 0;
    s->tmr_seen = (uint32_t)(pm_ticks() >> 23);
    pm_update(s);
}

static const StateField pm_fields[] = {
    STATE_STRUCT(Piix4Pm, pci, pci_fields), STATE_U16(Piix4Pm, sts), STATE_U16(Piix4Pm, en),
    STATE_U16(Piix4Pm, cnt), STATE_U16(Piix4Pm, gpe_sts), STATE_U16(Piix4Pm, gpe_en),
    STATE_U8(Piix4Pm, apmc), STATE_U8(Piix4Pm, apms), STATE_U32(Piix4Pm, tmr_seen),
    STATE_TIMER(Piix4Pm, timer), STATE_END,
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
