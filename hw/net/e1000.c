/*
 * Intel 82540EM and 82545EM gigabit Ethernet controllers, which differ in their names: registers, interrupts, the device.
 *
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (8254x), headings quoted.
 * Not modelled: wake-up, flow control frames, the flash, LEDs, the FIFO's memory (reads as 0).
 */
#include "hw/net/e1000.h"

#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/net/trace.h"

#define STATUS_INITIAL 0x00008281u /* full duplex, 1000 Mb/s */
#define CTRL_INITIAL 0x00000a09u   /* ... */
#define CTRL_SELF_CLEARING (E1000_CTRL_RST | E1000_CTRL_PHY_RST)
#define ICR_MASK 0x0001ffffu
#define RDTR_FPD 0x80000000u

static E1000 *e1000_of(Device *dev)
{
    return container_of(dev, E1000, pci.dev);
}

/* ---- interrupts ---- */

void e1000_update_irq(E1000 *s)
{
    uint32_t icr = *e1000_reg(s, E1000_ICR), ims = *e1000_reg(s, E1000_IMS);
    uint32_t itr = *e1000_reg(s, E1000_ITR) & 0xffff;
    bool level = icr & ims;

    if (level && !s->level) {
        if (timer_pending(&s->itr)) {
            return; /* "Interrupt Throttling": when it is over */
        }
        if (itr != 0) {
            timer_arm(&s->itr, clock_now(CLK_VIRTUAL) + (int64_t)itr * 256);
        }
    }
    if (level != s->level) {
        trace_e1000_irq(icr, ims, level);
        s->level = level;
        pci_set_irq(&s->pci, level);
    }
}

void e1000_raise(E1000 *s, uint32_t causes)
{
    *e1000_reg(s, E1000_ICR) |= causes & ICR_MASK;
    e1000_update_irq(s);
}

static void on_itr(void *opaque)
{
    e1000_update_irq(opaque);
}

static void on_rx_delay(void *opaque)
{
    e1000_raise(opaque, E1000_INT_RXT0);
}

static void on_tx_delay(void *opaque)
{
    e1000_raise(opaque, E1000_INT_TXDW);
}

static void on_tx_more(void *opaque)
{
    e1000_transmit(opaque);
}

/* ---- registers ---- */

static void reset_mac(E1000 *s)
{
    uint32_t *ra = e1000_reg(s, E1000_RA);

    timer_cancel(&s->itr);
    timer_cancel(&s->rx_delay);
    timer_cancel(&s->tx_delay);
    timer_cancel(&s->tx_more);
    memset(s->regs, 0, sizeof(s->regs));
    *e1000_reg(s, E1000_CTRL) = CTRL_INITIAL;
    *e1000_reg(s, E1000_STATUS) = STATUS_INITIAL;
    *e1000_reg(s, E1000_PBA) = 0x00100030; /* KiB of the FIFO for each direction */
    *e1000_reg(s, E1000_LEDCTL) = 0x07061302;
    *e1000_reg(s, E1000_VET) = 0x8100;
    *e1000_reg(s, E1000_TIPG) = 0x00602008;
    *e1000_reg(s, E1000_RXDCTL) = 0x00010000;
    *e1000_reg(s, E1000_TXDCTL) = 0x00000000;
    ra[0] = ld_le32(s->nic.mac); /* "loaded from the EEPROM" */
    ra[1] = ld_le16(s->nic.mac + 4) | 0x80000000u;
    s->tx_len = 0;
    s->tx_bad = s->tx_stopped = false;
    s->tx_popts = 0;
    s->tx_special = 0;
    memset(s->tx_ctx, 0, sizeof(s->tx_ctx));
    e1000_eeprom_reset(s);
    e1000_link(s);
    e1000_update_irq(s);
}

static void write_ctrl(E1000 *s, uint32_t val)
{
    if (val & E1000_CTRL_RST) {
        reset_mac(s);
        net_accept(&s->nic.port);
        return;
    }
    if (val & E1000_CTRL_PHY_RST) {
        e1000_phy_reset(s);
    }
    *e1000_reg(s, E1000_CTRL) = val & ~CTRL_SELF_CLEARING;
}

/* plain - registers that keep what is written, by the bits that exist; 0: none, or it is treated by itself. */
static uint32_t plain(uint32_t offset)
{
    switch (offset) {
    case E1000_RDBAL:
    case E1000_TDBAL:
        return 0xfffffff0u;
    case E1000_RDLEN:
    case E1000_TDLEN:
        return 0x000fff80u;
    case E1000_RDH:
    case E1000_RDT:
    case E1000_TDH:
    case E1000_TDT:
    case E1000_RADV:
    case E1000_TIDV:
    case E1000_TADV:
    case E1000_ITR:
    case E1000_VET:
        return 0xffffu;
    case E1000_CTRL_EXT:
    case E1000_FLA:
    case E1000_FCAL:
    case E1000_FCAH:
    case E1000_FCT:
    case E1000_FCTTV:
    case E1000_TXCW:
    case E1000_TIPG:
    case E1000_AIFS:
    case E1000_LEDCTL:
    case E1000_PBA:
    case E1000_FCRTL:
    case E1000_FCRTH:
    case E1000_RDBAH:
    case E1000_RXDCTL:
    case E1000_RSRPD:
    case E1000_TDFH ... E1000_TDFPC:
    case E1000_TDBAH:
    case E1000_TXDCTL:
    case E1000_TSPMT:
    case E1000_RXCSUM:
    case E1000_MTA ... E1000_MTA + 0x1fc:
    case E1000_RA ... E1000_RA_END - 4:
    case E1000_VFTA ... E1000_VFTA_END - 4:
    case E1000_WUC:
    case E1000_WUFC:
    case E1000_WUS:
    case E1000_MANC:
    case E1000_IPAV ... E1000_REGS_END - 4:
        return 0xffffffffu;
    default:
        return 0;
    }
}

/* set_plain - true when @offset is such a register. */
static bool set_plain(E1000 *s, uint32_t offset, uint32_t val)
{
    uint32_t mask = plain(offset);

    if (mask == 0) {
        return false;
    }
    *e1000_reg(s, offset) = val & mask;
    if (offset == E1000_TDT) {
        e1000_transmit(s);
    } else if (offset == E1000_RDT || offset == E1000_RDLEN || offset == E1000_RDH) {
        net_accept(&s->nic.port);
    } else if (offset == E1000_ITR && (val & mask) == 0) {
        timer_cancel(&s->itr);
        e1000_update_irq(s);
    }
    return true;
}

/* The registers of the first 82542 are at other places, and some drivers use them. "Register Summary". */
static uint32_t e1000_alias(uint32_t offset)
{
    switch (offset) {
    case 0x0040 ... 0x00bc:
        return E1000_RA + (offset - 0x0040);
    case 0x0200 ... 0x03fc:
        return E1000_MTA + (offset - 0x0200);
    case 0x0600 ... 0x07fc:
        return E1000_VFTA + (offset - 0x0600);
    case 0x0108:
        return E1000_RDTR;
    case 0x0110:
        return E1000_RDBAL;
    case 0x0114:
        return E1000_RDBAH;
    case 0x0118:
        return E1000_RDLEN;
    case 0x0120:
        return E1000_RDH;
    case 0x0128:
        return E1000_RDT;
    case 0x0420:
        return E1000_TDBAL;
    case 0x0424:
        return E1000_TDBAH;
    case 0x0428:
        return E1000_TDLEN;
    case 0x0430:
        return E1000_TDH;
    case 0x0438:
        return E1000_TDT;
    case 0x0440:
        return E1000_TIDV;
    default:
        return offset;
    }
}

static uint64_t e1000_read(void *opaque, uint64_t offset, unsigned size)
{
    E1000 *s = opaque;
    uint32_t at = e1000_alias((uint32_t)offset & ~3u), val;

    if (at >= E1000_REGS_END) {
        return 0;
    }
    val = *e1000_reg(s, at);
    switch (at) {
    case E1000_EECD:
        return e1000_eecd_read(s);
    case E1000_ICR: /* "reading clears it" */
        *e1000_reg(s, E1000_ICR) = 0;
        e1000_update_irq(s);
        return val;
    case E1000_ICS:
    case E1000_IMC:
        return 0; /* write-only */
    case E1000_STATS ... E1000_STATS_END - 4:
        *e1000_reg(s, at) = 0; /* "cleared after a read" */
        return val;
    default:
        return val;
    }
}

static void e1000_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    E1000 *s = opaque;
    uint32_t at = e1000_alias((uint32_t)offset & ~3u), val = (uint32_t)value;

    trace_e1000_write(at, val);
    if (at >= E1000_REGS_END || set_plain(s, at, val)) {
        return;
    }
    switch (at) {
    case E1000_CTRL:
    case E1000_CTRL + 4: /* "CTRL shadow" */
        write_ctrl(s, val);
        break;
    case E1000_EECD:
        e1000_eecd_write(s, val);
        break;
    case E1000_EERD:
        e1000_eerd_write(s, val);
        break;
    case E1000_MDIC:
        e1000_mdic_write(s, val);
        break;
    case E1000_ICR: /* ones clear */
        *e1000_reg(s, E1000_ICR) &= ~val;
        e1000_update_irq(s);
        break;
    case E1000_ICS:
        e1000_raise(s, val);
        break;
    case E1000_IMS:
        *e1000_reg(s, E1000_IMS) |= val & ICR_MASK;
        e1000_update_irq(s);
        break;
    case E1000_IMC:
        *e1000_reg(s, E1000_IMS) &= ~val;
        e1000_update_irq(s);
        break;
    case E1000_RCTL:
        *e1000_reg(s, E1000_RCTL) = val;
        net_accept(&s->nic.port);
        break;
    case E1000_TCTL:
        *e1000_reg(s, E1000_TCTL) = val;
        e1000_transmit(s);
        break;
    case E1000_RDTR: /* "Flush Partial Descriptor Block" */
        *e1000_reg(s, E1000_RDTR) = val & 0xffff;
        if ((val & RDTR_FPD) && timer_pending(&s->rx_delay)) {
            timer_cancel(&s->rx_delay);
            e1000_raise(s, E1000_INT_RXT0);
        }
        break;
    default:
        break;
    }
}

static const IoOps e1000_ops = { .read = e1000_read, .write = e1000_write, .min_size = 4, .max_size = 4 };

/* "I/O-Mapped Internal Register": an address and its data. */
static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    E1000 *s = opaque;

    return offset == 0 ? s->io_addr : offset == 4 && s->io_addr < E1000_BAR_SIZE ? e1000_read(s, s->io_addr, 4) : 0;
}

static void io_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    E1000 *s = opaque;

    if (offset == 0) {
        s->io_addr = (uint32_t)val;
    } else if (offset == 4 && s->io_addr < E1000_BAR_SIZE) {
        e1000_write(s, s->io_addr, val, 4);
    }
}

static const IoOps io_ops = { .read = io_read, .write = io_write, .min_size = 4, .max_size = 4 };

/* ---- the port ---- */

static void on_link(void *opaque, bool up)
{
    E1000 *s = opaque;

    e1000_link(s);
    e1000_raise(s, E1000_INT_LSC);
}

static void on_can_send(void *opaque)
{
    E1000 *s = opaque;

    if (s->tx_stopped) {
        e1000_transmit(s);
    }
}

static void describe(void *opaque, FILE *out)
{
    nic_describe(&((E1000 *)opaque)->nic, "e1000", out);
}

static const NetPortOps e1000_port_ops = {
    .can_receive = e1000_can_receive, .receive = e1000_receive, .can_send = on_can_send, .link_changed = on_link,
    .describe = describe,
};

/* ---- the device ---- */

static void config_written(PciDevice *d, unsigned offset, unsigned len)
{
    E1000 *s = container_of(d, E1000, pci);

    if (offset <= PCI_COMMAND && offset + len > PCI_COMMAND) {
        e1000_transmit(s); /* bus mastering may be allowed now */
    }
}

extern const DeviceClass e1000_class, e1000_82545em_class;

static bool e1000_realize(Device *dev, Error **errp)
{
    E1000 *s = e1000_of(dev);
    PciDevice *d = &s->pci;
    uint16_t id = dev->cls == &e1000_82545em_class ? 0x100f : 0x100e; /* "PCI Configuration": Device IDs; EM, copper */

    timer_init(&s->itr, CLK_VIRTUAL, on_itr, s, &machine_lock_guard);
    timer_init(&s->rx_delay, CLK_VIRTUAL, on_rx_delay, s, &machine_lock_guard);
    timer_init(&s->tx_delay, CLK_VIRTUAL, on_tx_delay, s, &machine_lock_guard);
    timer_init(&s->tx_more, CLK_VIRTUAL, on_tx_more, s, &machine_lock_guard);
    if (!nic_plug(&s->nic, d, 0x8086, id, 0x03, "pxe-e1000.rom", &e1000_port_ops, s, errp)) {
        return false;
    }
    st_le16(d->config + PCI_SUBSYS_VENDOR, 0x1af4);
    st_le16(d->config + PCI_SUBSYS, 0x1100);
    st_le16(d->config + PCI_STATUS, 0x0200);
    d->config_written = config_written;
    io_region_init(&s->mmio, &e1000_ops, s, "e1000-mmio", E1000_BAR_SIZE);
    io_region_init(&s->io, &io_ops, s, "e1000-io", E1000_IO_SIZE);
    pci_bar(d, 0, &s->mmio, 0);
    pci_bar(d, 1, &s->io, PCI_BAR_IO);
    pci_ready(d);
    e1000_eeprom_init(s, id);
    return true;
}

static void e1000_unrealize(Device *dev)
{
    E1000 *s = e1000_of(dev);

    timer_cancel(&s->itr);
    timer_cancel(&s->rx_delay);
    timer_cancel(&s->tx_delay);
    timer_cancel(&s->tx_more);
    nic_unplug(&s->nic, &s->pci);
}

static void e1000_reset(Device *dev)
{
    E1000 *s = e1000_of(dev);

    pci_reset(&s->pci);
    s->io_addr = 0;
    memset(s->phy, 0, sizeof(s->phy));
    reset_mac(s);
    e1000_phy_reset(s);
}

static bool e1000_post_load(Device *dev, Error **errp)
{
    E1000 *s = e1000_of(dev);

    pci_post_load(&s->pci);
    if (s->tx_len > E1000_TX_MAX) {
        error_set(errp, "%s: a frame of %u bytes", dev->id, s->tx_len);
        return false;
    }
    s->ee_in %= 9;
    s->ee_out %= 17;
    s->ee_cmd &= 0x1ff;
    s->level = s->pci.intx;
    e1000_link(s);
    if (s->tx_stopped) { /* that peer is another one now */
        timer_arm(&s->tx_more, clock_now(CLK_VIRTUAL));
    }
    return true;
}

static const Property e1000_props[] = {
    NIC_PROPS(E1000),
    PCI_PROPS(E1000, "pxe-e1000.rom"),
    PROP_END,
};

static const StateField e1000_fields[] = {
    STATE_STRUCT(E1000, pci, pci_fields), STATE_BYTES(E1000, regs), STATE_BYTES(E1000, phy),
    STATE_U32(E1000, io_addr), STATE_U8(E1000, ee_in), STATE_U8(E1000, ee_out), STATE_U16(E1000, ee_cmd),
    STATE_BOOL(E1000, ee_reading), STATE_U32(E1000, tx_len), STATE_BOOL(E1000, tx_bad), STATE_U8(E1000, tx_popts),
    STATE_U16(E1000, tx_special), STATE_BYTES(E1000, tx_ctx), STATE_BYTES(E1000, tx_buf), STATE_TIMER(E1000, tx_more),
    STATE_TIMER(E1000, itr), STATE_TIMER(E1000, rx_delay), STATE_TIMER(E1000, tx_delay), STATE_U64(E1000, rx_first),
    STATE_U64(E1000, tx_first), STATE_BOOL(E1000, tx_stopped),
    STATE_END,
};

#define E1000_CLASS(model, other, what)                                                                                \
    {                                                                                                                  \
        .name = model, .alias = other, .desc = what, .size = sizeof(E1000), .bus = BUS_PCI, .user_creatable = true,    \
        .props = e1000_props, .realize = e1000_realize, .unrealize = e1000_unrealize, .reset = e1000_reset,            \
        .fields = e1000_fields, .post_load = e1000_post_load,                                                          \
    }

const DeviceClass e1000_class = E1000_CLASS("e1000", "e1000-82540em", "Intel 82540EM gigabit Ethernet");
const DeviceClass e1000_82545em_class = E1000_CLASS("e1000-82545em", NULL, "Intel 82545EM gigabit Ethernet");
