/*
 * The AHCI controller of an ICH9, as a card: the registers, its interrupts, the function. Ports are in ahci-port.c.
 *
 * Sources: Serial ATA AHCI 1.3.1, section 3 "HBA Memory Registers"; Intel I/O Controller Hub 9 data sheet (316972),
 * "SATA Controller Registers (D31:F2)". Not modelled: port multipliers, staggered spin-up, power management of links,
 * command completion coalescing, enclosure management: CAP does not claim them.
 */
#include "hw/ide/ahci.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/ide/trace.h"

/* CAP: 64 bits, queued commands, command list override, first generation links, AHCI only, 32 slots. */
#define CAP (0xc1140000u | (SATA_TAGS - 1) << 8 | (AHCI_PORTS - 1))
#define VERSION 0x00010301u
#define GHC_RESET BIT(0)
#define GHC_IE BIT(1)
#define GHC_AE BIT(31)
enum { R_CAP = 0x00, R_GHC = 0x04, R_IS = 0x08, R_PI = 0x0c, R_VS = 0x10, PORTS_AT = 0x100, PORT_SIZE = 0x80,
       BAR_SIZE = 0x1000, IDP_SIZE = 32, IDP_INDEX = 16, IDP_DATA = 20 };
enum { P_CLB = 0x00, P_CLBU = 0x04, P_FB = 0x08, P_FBU = 0x0c, P_IS = 0x10, P_IE = 0x14, P_CMD = 0x18, P_TFD = 0x20,
       P_SIG = 0x24, P_SSTS = 0x28, P_SCTL = 0x2c, P_SERR = 0x30, P_SACT = 0x34, P_CI = 0x38 };
#define PCMD_WRITABLE (PCMD_ST | PCMD_FRE | BIT(24) | BIT(25)) /* and two that say what the drive is */
#define PCMD_FIXED 0x6u                                        /* powered, spun up */
#define PIE_WRITABLE 0x7dc000ffu

struct Ahci {
    PciDevice pci; /* first member */
    uint32_t ghc, is, index;
    AhciPort port[AHCI_PORTS];
    IoRegion bar, idp;
};

/* ---- interrupts ---- */

/* pending - PxIS with the two bits that follow PxSERR. */
static uint32_t pending(const AhciPort *p)
{
    return p->is | (p->serr & BIT(26) ? PIS_PCS : 0) | (p->serr & BIT(16) ? PIS_PRCS : 0);
}

static void update_irq(Ahci *s)
{
    uint32_t was = s->is;

    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        if (pending(&s->port[n]) & s->port[n].ie) {
            s->is |= BIT(n);
        }
    }
    if ((s->is & ~was) && (s->ghc & GHC_IE)) {
        msi_notify(&s->pci, 0);
    }
    pci_set_irq(&s->pci, s->is != 0 && (s->ghc & GHC_IE));
}

void ahci_raise(AhciPort *p, uint32_t bits)
{
    p->is |= bits;
    update_irq(p->hba);
}

bool ahci_may_run(const AhciPort *p)
{
    return (p->cmd & PCMD_ST) && !p->halted && (ld_le16(p->hba->pci.config + PCI_COMMAND) & PCI_CMD_MASTER);
}

/* ---- ports ---- */

static uint32_t port_status(const AhciPort *p)
{
    return p->bus.drive[0] == NULL ? 0 : (p->sctl & 15) == 4 ? 4 : 0x113; /* there, first generation, active */
}

static uint32_t port_read32(const AhciPort *p, unsigned reg)
{
    switch (reg) {
    case P_CLB:
        return (uint32_t)p->clb;
    case P_CLBU:
        return (uint32_t)(p->clb >> 32);
    case P_FB:
        return (uint32_t)p->fb;
    case P_FBU:
        return (uint32_t)(p->fb >> 32);
    case P_IS:
        return pending(p);
    case P_IE:
        return p->ie;
    case P_CMD:
        return p->cmd | PCMD_FIXED | (p->cmd & PCMD_FRE ? PCMD_FR : 0) | (p->cmd & PCMD_ST ? PCMD_CR : 0) |
               (p->slot != AHCI_NO_SLOT ? (uint32_t)p->slot << 8 : 0);
    case P_TFD:
        return p->tfd;
    case P_SIG:
        return p->sig;
    case P_SSTS:
        return port_status(p);
    case P_SCTL:
        return p->sctl;
    case P_SERR:
        return p->serr;
    case P_SACT:
        return p->sact;
    case P_CI:
        return p->ci;
    default:
        return 0;
    }
}

static void write_cmd(AhciPort *p, uint32_t val)
{
    uint32_t was = p->cmd;

    p->cmd = val & PCMD_WRITABLE;
    if ((was & PCMD_ST) && !(val & PCMD_ST)) {
        ahci_port_stop(p);
    }
    if ((val & PCMD_CLO) && !(was & PCMD_ST)) { /* "shall only be set immediately prior to setting ST" */
        p->tfd &= ~(uint32_t)(ST_BSY | ST_DRQ);
    }
    ahci_port_run(p);
}

static void write_sctl(AhciPort *p, uint32_t val)
{
    uint32_t was = p->sctl & 15;

    p->sctl = val & 0xfff;
    if ((val & 15) == 1) {
        p->tfd = (p->tfd & ~0xffu) | 0x80; /* COMRESET is on the line */
        p->sig = 0xffffffff;
        ahci_queue_cancel(p);
    } else if (was == 1) {
        ahci_port_reset(p);
    }
}

static void port_write32(AhciPort *p, unsigned reg, uint32_t val)
{
    switch (reg) {
    case P_CLB:
        p->clb = (p->clb & ~0xffffffffull) | (val & ~1023u);
        break;
    case P_CLBU:
        p->clb = (uint32_t)p->clb | (uint64_t)val << 32;
        break;
    case P_FB:
        p->fb = (p->fb & ~0xffffffffull) | (val & ~255u);
        break;
    case P_FBU:
        p->fb = (uint32_t)p->fb | (uint64_t)val << 32;
        break;
    case P_IS:
        p->is &= ~val;
        break;
    case P_IE:
        p->ie = val & PIE_WRITABLE;
        break;
    case P_CMD:
        write_cmd(p, val);
        break;
    case P_SCTL:
        write_sctl(p, val);
        break;
    case P_SERR:
        p->serr &= ~val;
        break;
    case P_SACT: /* these two are set by writing ones, while the port runs */
        p->sact |= p->cmd & PCMD_ST ? val : 0;
        break;
    case P_CI:
        p->ci |= p->cmd & PCMD_ST ? val : 0;
        ahci_port_run(p);
        break;
    default:
        break;
    }
    update_irq(p->hba);
}

/* ---- the controller ---- */

static void reset_ports(Ahci *s)
{
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        AhciPort *p = &s->port[n];

        ahci_port_stop(p);
        p->is = p->ie = p->cmd = p->sctl = p->serr = 0;
        ahci_port_reset(p);
    }
}

static void write_ghc(Ahci *s, uint32_t val)
{
    if (val & GHC_RESET) {
        s->ghc = GHC_AE;
        s->is = 0;
        reset_ports(s);
        s->is = 0;
    } else {
        s->ghc = GHC_AE | (val & GHC_IE);
    }
}

static uint32_t read32(Ahci *s, uint32_t at)
{
    if (at >= PORTS_AT) {
        unsigned n = (at - PORTS_AT) / PORT_SIZE;

        return n < AHCI_PORTS ? port_read32(&s->port[n], at % PORT_SIZE) : 0;
    }
    switch (at) {
    case R_CAP:
        return CAP;
    case R_GHC:
        return s->ghc;
    case R_IS:
        return s->is;
    case R_PI:
        return BIT(AHCI_PORTS) - 1;
    case R_VS:
        return VERSION;
    default:
        return 0;
    }
}

static void write32(Ahci *s, uint32_t at, uint32_t val)
{
    trace_ahci_write(at, val);
    if (at >= PORTS_AT) {
        unsigned n = (at - PORTS_AT) / PORT_SIZE;

        if (n < AHCI_PORTS) {
            port_write32(&s->port[n], at % PORT_SIZE, val);
        }
        return;
    }
    if (at == R_GHC) {
        write_ghc(s, val);
    } else if (at == R_IS) {
        s->is &= ~val;
    }
    update_irq(s);
}

/* Registers are read in any size and written as whole words ("3: Locked and partial accesses are not supported"). */
static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
    return read32(opaque, (uint32_t)offset & ~3u) >> 8 * (offset & 3);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    if (size == 4) {
        write32(opaque, (uint32_t)offset, (uint32_t)val);
    }
}

static const IoOps bar_ops = { .read = bar_read, .write = bar_write, .max_size = 4 };

/* The index and data pair: the same registers by ports, for firmware that cannot reach memory up there. */
static uint64_t idp_read(void *opaque, uint64_t offset, unsigned size)
{
    Ahci *s = opaque;

    return offset == IDP_INDEX ? s->index : offset == IDP_DATA ? read32(s, s->index) : 0;
}

static void idp_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Ahci *s = opaque;

    if (offset == IDP_INDEX && size == 4) {
        s->index = (uint32_t)val & (BAR_SIZE - 4);
    } else if (offset == IDP_DATA && size == 4) {
        write32(s, s->index, (uint32_t)val);
    }
}

static const IoOps idp_ops = { .read = idp_read, .write = idp_write, .max_size = 4 };

/* Bus mastering may be allowed now. */
static void config_written(PciDevice *d, unsigned offset, unsigned len)
{
    Ahci *s = container_of(d, Ahci, pci);

    if (offset <= PCI_COMMAND && offset + len > PCI_COMMAND) {
        for (unsigned n = 0; n < AHCI_PORTS; n++) {
            ahci_port_run(&s->port[n]);
        }
    }
}

/* ---- the function ---- */

static void ports_init(Ahci *s)
{
    Device *dev = &s->pci.dev;
    unsigned first = 0, fn = s->pci.devfn & 7;
    autofree char *at = fn != 0 ? xasprintf("%x,%x", s->pci.devfn >> 3, fn) : xasprintf("%x", s->pci.devfn >> 3);

    while (device_bus_nth(BUS_IDE, first) != NULL) {
        first++;
    }
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        AhciPort *p = &s->port[n];

        p->hba = s;
        p->number = (uint8_t)n;
        p->slot = AHCI_NO_SLOT;
        p->name = dev->named ? xasprintf("%s.%u", dev->id, n) : xasprintf("ide.%u", first + n);
        p->path = xasprintf("/pci@i0cf8/pci8086,2922@%s/drive@%x", at, n);
        ide_bus_init(&p->bus, p->name, p->path, (IrqLine){ 0 }, &ahci_dma_ops, p);
        p->bus.units = 1;
        p->bus.sata = true;
    }
}

static bool ahci_realize(Device *dev, Error **errp)
{
    Ahci *s = container_of(dev, Ahci, pci.dev);
    PciDevice *d = &s->pci;
    uint8_t cap;

    if (!pci_plug(d, 0x8086, 0x2922, 0x010601, 0x02, 1, errp)) {
        return false;
    }
    msi_init(d, 0x80, 1, MSI_64);
    cap = pci_add_cap(d, 0x12, 0xa8, 8); /* "Serial ATA Capability": the pair is at 10h of BAR 4 */
    st_le16(d->config + cap + 2, 0x0010);
    st_le32(d->config + cap + 4, (IDP_INDEX / 4) << 4 | 0x8);
    io_region_init(&s->idp, &idp_ops, s, "ahci-idp", IDP_SIZE);
    io_region_init(&s->bar, &bar_ops, s, "ahci", BAR_SIZE);
    pci_bar(d, 4, &s->idp, PCI_BAR_IO);
    pci_bar(d, 5, &s->bar, 0);
    d->config_written = config_written;
    pci_ready(d);
    ports_init(s);
    return true;
}

static void ahci_unrealize(Device *dev)
{
    Ahci *s = container_of(dev, Ahci, pci.dev);

    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        ahci_queue_cancel(&s->port[n]);
        ide_bus_fini(&s->port[n].bus);
        free(s->port[n].name);
        free(s->port[n].path);
    }
    pci_remove(&s->pci);
}

static void ahci_reset(Device *dev)
{
    Ahci *s = container_of(dev, Ahci, pci.dev);

    pci_reset(&s->pci);
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        s->port[n].clb = s->port[n].fb = 0;
    }
    s->index = 0;
    write_ghc(s, GHC_RESET);
    update_irq(s);
}

static bool ahci_post_load(Device *dev, Error **errp)
{
    Ahci *s = container_of(dev, Ahci, pci.dev);

    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        AhciPort *p = &s->port[n];

        ahci_queue_cancel(p);
        p->pumping = p->again = false;
        if ((p->slot != AHCI_NO_SLOT && p->slot >= SATA_TAGS) || p->next >= SATA_TAGS || p->t.regions > 0xffff ||
            p->t.offset > PRD_BYTES_MAX || (p->slot != AHCI_NO_SLOT && p->bus.drive[0] == NULL)) {
            error_set(errp, "no such state of an AHCI port");
            return false;
        }
        p->cmd &= PCMD_WRITABLE;
    }
    s->index &= BAR_SIZE - 4;
    pci_post_load(&s->pci);
    return true;
}

/* ---- tables ---- */

static const Property ahci_props[] = { PCI_PROPS(Ahci, NULL), PROP_END };

static const StateField table_fields[] = {
    STATE_U64(AhciTable, header), STATE_U64(AhciTable, table), STATE_U32(AhciTable, regions), STATE_U32(AhciTable, entry),
    STATE_U32(AhciTable, offset), STATE_U32(AhciTable, done), STATE_END,
};
static const StateField port_fields[] = {
    STATE_STRUCT(AhciPort, bus, ide_bus_fields), STATE_U64(AhciPort, clb), STATE_U64(AhciPort, fb), STATE_U32(AhciPort, is),
    STATE_U32(AhciPort, ie), STATE_U32(AhciPort, cmd), STATE_U32(AhciPort, tfd), STATE_U32(AhciPort, sig),
    STATE_U32(AhciPort, sctl), STATE_U32(AhciPort, serr), STATE_U32(AhciPort, sact), STATE_U32(AhciPort, ci),
    STATE_U8(AhciPort, slot), STATE_U8(AhciPort, next), STATE_BOOL(AhciPort, pio_end), STATE_BOOL(AhciPort, halted),
    STATE_BOOL(AhciPort, first_fis), STATE_STRUCT(AhciPort, t, table_fields), STATE_END,
};
static const StateField ahci_fields[] = {
    STATE_STRUCT(Ahci, pci, pci_fields), STATE_U32(Ahci, ghc), STATE_U32(Ahci, is), STATE_U32(Ahci, index),
    STATE_ARRAY(Ahci, port, port_fields), STATE_END,
};

const DeviceClass ich9_ahci_class = {
    .name = "ich9-ahci",
    .alias = "ahci",
    .desc = "ICH9 AHCI controller",
    .size = sizeof(Ahci),
    .bus = BUS_PCI,
    .user_creatable = true,
    .no_hotplug = true, /* its disks do not */
    .props = ahci_props,
    .fields = ahci_fields,
    .realize = ahci_realize,
    .unrealize = ahci_unrealize,
    .reset = ahci_reset,
    .post_load = ahci_post_load,
};
