/*
 * AMD Am79C970A PCnet-PCI II Ethernet controller: registers, interrupts, the device.
 *
 * Source: Am79C970A data sheet (headings quoted). Not modelled: Magic Packet, sleep, the EEPROM's wires, LEDs but the
 * link's, the boundary scan and the general purpose serial interface.
 */
#include "hw/net/pcnet.h"

#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/net/trace.h"

enum { RDP = 0x10, RAP_WIO = 0x12, RESET_WIO = 0x14, BDP_WIO = 0x16, RAP_DWIO = 0x14, RESET_DWIO = 0x18, BDP_DWIO = 0x1c };
enum { BCR_MISC = 2, BCR_LNKST = 4, BCR_BURST = 18, BCR_EEPROM = 19, BCR_SWS = 20 };

#define CSR0_EVENTS (PCNET_IDON | PCNET_TINT | PCNET_RINT | PCNET_MERR | PCNET_MISS | PCNET_CERR | PCNET_BABL)
#define CSR0_INTERRUPTS (CSR0_EVENTS & ~PCNET_CERR)
#define CSR0_ERRORS (PCNET_MERR | PCNET_MISS | PCNET_CERR | PCNET_BABL)
#define CSR4_EVENTS 0x022au    /* MFCO, RCVCCO, TXSTRT, JAB: each above its mask */
#define CSR4_UINT 0x0040u
#define CSR4_UINTCMD 0x0080u
#define CSR5_EVENTS 0x0a90u    /* SINT, SLPINT, EXDINT, MPINT */
#define CSR5_SINT 0x0800u
#define CSR5_SINTE 0x0400u
#define BCR2_APROMWE 0x0100u
#define BCR18_DWIO 0x0080u
#define CHIP_ID 0x02621003u

static Pcnet *pcnet_of(Device *dev)
{
    return container_of(dev, Pcnet, pci.dev);
}

/* ---- interrupts ---- */

void pcnet_update_irq(Pcnet *s)
{
    uint16_t csr4 = s->csr[CSR_TEST];
    bool up = (s->csr[0] & CSR0_INTERRUPTS & ~s->csr[CSR_MASKS]) != 0 || (csr4 & CSR4_UINT) ||
              (csr4 & CSR4_EVENTS & ~(csr4 << 1)) != 0 ||
              ((s->csr[CSR_EXT] & CSR5_SINT) && (s->csr[CSR_EXT] & CSR5_SINTE));

    s->csr[0] = (uint16_t)((s->csr[0] & ~PCNET_INTR) | (up ? PCNET_INTR : 0));
    pci_set_irq(&s->pci, up && (s->csr[0] & PCNET_IENA));
}

void pcnet_raise(Pcnet *s, uint16_t events)
{
    s->csr[0] |= events;
    pcnet_update_irq(s);
}

/* ---- control and status registers ---- */

/* stop - "STOP": nothing runs, CSR0 and the events of CSR4 and CSR5 are as after power-on; settings stay. */
static void stop(Pcnet *s)
{
    timer_cancel(&s->poll);
    s->csr[0] = PCNET_STOP;
    s->csr[CSR_TEST] &= (uint16_t)~(CSR4_EVENTS | CSR4_UINT);
    s->csr[CSR_EXT] &= (uint16_t)~PCNET_SPND;
    s->tx_begun = s->tx_stopped = false;
    s->tx_bytes = 0;
    pcnet_update_irq(s);
}

/* run - what became possible: frames that wait both ways. */
static void run(Pcnet *s, bool polled)
{
    net_accept(&s->nic.port);
    pcnet_transmit(s, polled);
    if (!timer_pending(&s->poll)) {
        pcnet_schedule_poll(s);
    }
}

static void on_poll(void *opaque)
{
    run(opaque, true);
}

static void write_csr0(Pcnet *s, uint16_t val)
{
    bool was_stopped = s->csr[0] & PCNET_STOP;

    s->csr[0] &= (uint16_t)~(val & CSR0_EVENTS);
    if (val & PCNET_STOP) { /* "STOP ... has precedence" */
        stop(s);
        return;
    }
    s->csr[0] = (uint16_t)((s->csr[0] & ~PCNET_IENA) | (val & PCNET_IENA));
    if ((val & PCNET_INIT) && !(s->csr[0] & PCNET_INIT)) {
        s->csr[0] = (uint16_t)((s->csr[0] & ~PCNET_STOP) | PCNET_INIT);
        pcnet_initialize(s);
    }
    if ((val & PCNET_STRT) && !(s->csr[0] & PCNET_STRT)) {
        s->csr[0] = (uint16_t)((s->csr[0] & ~PCNET_STOP) | PCNET_STRT);
        s->csr[0] |= s->csr[CSR_MODE] & PCNET_DTX ? 0 : PCNET_TXON;
        s->csr[0] |= s->csr[CSR_MODE] & PCNET_DRX ? 0 : PCNET_RXON;
        s->idle_polls = 0;
    }
    pcnet_update_irq(s);
    if (val & (PCNET_TDMD | PCNET_STRT)) {
        run(s, false);
    } else if (!was_stopped) {
        net_accept(&s->nic.port); /* buffers are given back about when interrupts are acknowledged */
    }
}

static void write_csr4(Pcnet *s, uint16_t val)
{
    uint16_t old = s->csr[CSR_TEST];

    s->csr[CSR_TEST] = (uint16_t)((val & ~(CSR4_EVENTS | CSR4_UINT | CSR4_UINTCMD)) |
                                  (old & (CSR4_EVENTS | CSR4_UINT) & ~val) | (val & CSR4_UINTCMD ? CSR4_UINT : 0));
    pcnet_update_irq(s);
}

static void write_csr5(Pcnet *s, uint16_t val)
{
    uint16_t old = s->csr[CSR_EXT];

    s->csr[CSR_EXT] = (uint16_t)((val & ~CSR5_EVENTS) | (old & CSR5_EVENTS & ~val));
    if (s->csr[0] & PCNET_STOP) {
        s->csr[CSR_EXT] &= (uint16_t)~PCNET_SPND;
    }
    pcnet_update_irq(s);
    if ((old & ~s->csr[CSR_EXT]) & PCNET_SPND) {
        run(s, false);
    }
}

/* set_style - "BCR20: Software Style", CSR58 is the same register. */
static void set_style(Pcnet *s, uint16_t val)
{
    static const uint16_t bits[4] = { 0x0200, 0x0100, 0x0300, 0x0300 }; /* CSRPCNET, SSIZE32 */
    unsigned n = val & 0xff;

    if (n < ARRAY_SIZE(bits)) {
        s->bcr[BCR_SWS] = (uint16_t)(n | bits[n]);
    }
}

/* ring_counter - "CSR72", "CSR74": a two's complement number that counts up to the end of the ring. */
static uint16_t to_counter(uint16_t at, uint16_t len)
{
    return (uint16_t)(at - len);
}
static uint16_t from_counter(uint16_t val, uint16_t len)
{
    return (uint16_t)((uint16_t)(val + len) % len);
}

static uint16_t csr_read(Pcnet *s, unsigned n)
{
    switch (n) {
    case 0:
        return s->csr[0] | (s->csr[0] & CSR0_ERRORS ? PCNET_ERR : 0);
    case 16:
    case 17:
        return s->csr[n - 15];
    case CSR_SWS:
        return s->bcr[BCR_SWS];
    case CSR_RCVRC:
        return to_counter(s->rx_at, s->rx_len);
    case CSR_XMTRC:
        return to_counter(s->tx_at, s->tx_len);
    case CSR_RCVRL:
        return (uint16_t)-s->rx_len;
    case CSR_XMTRL:
        return (uint16_t)-s->tx_len;
    case CSR_ID_LOW:
        return (uint16_t)CHIP_ID;
    case CSR_ID_HIGH:
        return CHIP_ID >> 16;
    default:
        return n < PCNET_CSRS ? s->csr[n] : 0;
    }
}

/* csr_write_stopped - registers that are written only while the controller is stopped or suspended. */
static void csr_write_stopped(Pcnet *s, unsigned n, uint16_t val)
{
    switch (n) {
    case 16:
    case 17:
        s->csr[n - 15] = val;
        break;
    case CSR_SWS:
        set_style(s, val);
        break;
    case CSR_RCVRL:
        s->rx_len = (uint16_t)MAX((uint16_t)-val, 1);
        s->rx_at = 0;
        break;
    case CSR_XMTRL:
        s->tx_len = (uint16_t)MAX((uint16_t)-val, 1);
        s->tx_at = 0;
        break;
    case CSR_RCVRC:
        s->rx_at = from_counter(val, s->rx_len);
        break;
    case CSR_XMTRC:
        s->tx_at = from_counter(val, s->tx_len);
        break;
    case CSR_LENGTHS:
    case CSR_ID_LOW:
    case CSR_ID_HIGH:
        break; /* "read only" */
    default:
        s->csr[n] = val;
        break;
    }
}

static void csr_write(Pcnet *s, unsigned n, uint16_t val)
{
    trace_pcnet_write("csr", n, val);
    switch (n) {
    case 0:
        write_csr0(s, val);
        break;
    case CSR_MASKS:
        s->csr[n] = val & 0x5f7c;
        pcnet_update_irq(s);
        break;
    case CSR_TEST:
        write_csr4(s, val);
        break;
    case CSR_EXT:
        write_csr5(s, val);
        break;
    case CSR_MFC: /* cleared by a write */
        s->csr[n] = 0;
        break;
    default:
        if (n < PCNET_CSRS && ((s->csr[0] & PCNET_STOP) || (s->csr[CSR_EXT] & PCNET_SPND))) {
            csr_write_stopped(s, n, val);
        }
        break;
    }
}

/* ---- bus configuration registers ---- */

static uint16_t bcr_read(Pcnet *s, unsigned n)
{
    uint16_t val = n < PCNET_BCRS ? s->bcr[n] : 0;

    if (n >= BCR_LNKST && n <= 7) { /* LEDOUT: what one of the enabled events says; the link's is the only steady one */
        val = (uint16_t)((val & 0x7fff) | ((val & 0x40) && net_link(&s->nic.port) ? 0x8000 : 0));
    } else if (n == BCR_BURST) {
        val = (uint16_t)((val & ~BCR18_DWIO) | (s->dwio ? BCR18_DWIO : 0));
    }
    return val;
}

static void bcr_write(Pcnet *s, unsigned n, uint16_t val)
{
    trace_pcnet_write("bcr", n, val);
    switch (n) {
    case BCR_SWS:
        if ((s->csr[0] & PCNET_STOP) || (s->csr[CSR_EXT] & PCNET_SPND)) {
            set_style(s, val);
        }
        break;
    case BCR_MISC:
    case BCR_LNKST ... 7:
    case 9:
    case 16 ... 18:
    case 21 ... 22:
        s->bcr[n] = val;
        break;
    case BCR_EEPROM:
        s->bcr[n] = (uint16_t)((s->bcr[n] & 0x8000) | (val & 0x0016));
        break;
    default:
        break; /* reserved, or read only */
    }
}

/* ---- resets ---- */

/* soft_reset - "S_RESET": a read of the reset port. Bus configuration and the width of registers stay. */
static void soft_reset(Pcnet *s)
{
    uint16_t kept[CSR_MODE - CSR_LADRF]; /* LADRF and PADR: "unaffected" */

    timer_cancel(&s->poll);
    memcpy(kept, s->csr + CSR_LADRF, sizeof(kept));
    memset(s->csr, 0, sizeof(s->csr));
    memcpy(s->csr + CSR_LADRF, kept, sizeof(kept));
    s->csr[CSR_TEST] = 0x0115;
    s->csr[CSR_DMATC] = 0x1410;
    s->csr[CSR_MERRTO] = 0x0200;
    s->rx_len = s->tx_len = 1;
    s->rx_at = s->tx_at = 0;
    s->rap = 0;
    s->idle_polls = 0;
    stop(s);
}

static void hard_reset(Pcnet *s)
{
    static const uint16_t bcrs[][2] = { { 0, 5 },      { 1, 5 },      { BCR_MISC, 2 },       { BCR_LNKST, 0x00c0 },
                                        { 5, 0x0084 }, { 6, 0x0088 }, { 7, 0x0090 },         { BCR_BURST, 0x2101 },
                                        { BCR_EEPROM, 0x8002 },       { BCR_SWS, 0x0200 },   { 22, 0xff06 } };
    unsigned sum = 0;

    memset(s->bcr, 0, sizeof(s->bcr));
    for (size_t n = 0; n < ARRAY_SIZE(bcrs); n++) {
        s->bcr[bcrs[n][0]] = bcrs[n][1];
    }
    s->dwio = false;
    /* "Address PROM": the address, hardware ID 11h, a sum of all and "WW" */
    memset(s->aprom, 0, sizeof(s->aprom));
    memcpy(s->aprom, s->nic.mac, 6);
    s->aprom[9] = 0x11;
    s->aprom[14] = s->aprom[15] = 0x57;
    for (unsigned n = 0; n < PCNET_APROM; n++) {
        sum += s->aprom[n];
    }
    st_le16(s->aprom + 12, (uint16_t)sum);
    soft_reset(s);
    for (unsigned n = 0; n < 3; n++) {
        s->csr[CSR_PADR + n] = ld_le16(s->nic.mac + 2 * n);
    }
}

/* ---- ports ---- */

static uint64_t pcnet_read(void *opaque, uint64_t offset, unsigned size)
{
    Pcnet *s = opaque;
    unsigned at = (unsigned)offset;
    uint8_t b[4] = { 0 };

    if (at < PCNET_APROM) {
        memcpy(b, s->aprom + at, MIN(size, PCNET_APROM - at));
        return ld_le32(b);
    }
    if (size != (s->dwio ? 4u : 2u)) {
        return 0; /* "undefined" */
    }
    if (at == RDP) {
        return csr_read(s, s->rap);
    }
    if (at == (s->dwio ? (unsigned)RAP_DWIO : RAP_WIO)) {
        return s->rap;
    }
    if (at == (s->dwio ? (unsigned)BDP_DWIO : BDP_WIO)) {
        return bcr_read(s, s->rap);
    }
    if (at == (s->dwio ? (unsigned)RESET_DWIO : RESET_WIO)) {
        soft_reset(s);
    }
    return 0;
}

static void pcnet_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Pcnet *s = opaque;
    unsigned at = (unsigned)offset;

    if (at < PCNET_APROM) {
        for (unsigned n = 0; n < size && at + n < PCNET_APROM && (s->bcr[BCR_MISC] & BCR2_APROMWE); n++) {
            s->aprom[at + n] = (uint8_t)(val >> 8 * n);
        }
        return;
    }
    if (at == RDP && size == 4) {
        s->dwio = true; /* "Double Word I/O Mode": entered by such a write */
    }
    if (size != (s->dwio ? 4u : 2u)) {
        return;
    }
    if (at == RDP) {
        csr_write(s, s->rap, (uint16_t)val);
    } else if (at == (s->dwio ? (unsigned)RAP_DWIO : RAP_WIO)) {
        s->rap = (uint8_t)val;
    } else if (at == (s->dwio ? (unsigned)BDP_DWIO : BDP_WIO)) {
        bcr_write(s, s->rap, (uint16_t)val);
    }
}

static const IoOps pcnet_ops = { .read = pcnet_read, .write = pcnet_write, .max_size = 4 };

/* ---- the device ---- */

static void on_can_send(void *opaque)
{
    Pcnet *s = opaque;

    if (s->tx_stopped) {
        pcnet_transmit(s, false);
    }
}

static void describe(void *opaque, FILE *out)
{
    nic_describe(&((Pcnet *)opaque)->nic, "pcnet", out);
}

static const NetPortOps port_ops = {
    .can_receive = pcnet_can_receive, .receive = pcnet_receive, .can_send = on_can_send, .describe = describe,
};

static bool pcnet_realize(Device *dev, Error **errp)
{
    Pcnet *s = pcnet_of(dev);
    PciDevice *d = &s->pci;

    timer_init(&s->poll, CLK_VIRTUAL, on_poll, s, &machine_lock_guard);
    if (!nic_plug(&s->nic, d, 0x1022, 0x2000, 0x10, "pxe-pcnet.rom", &port_ops, s, errp)) {
        return false;
    }
    st_le16(d->config + PCI_STATUS, 0x0280);
    d->config[0x3e] = 6; /* MIN_GNT, MAX_LAT */
    d->config[0x3f] = 0xff;
    io_region_init(&s->io, &pcnet_ops, s, "pcnet-io", PCNET_IO_SIZE);
    io_region_init(&s->mmio, &pcnet_ops, s, "pcnet-mmio", PCNET_IO_SIZE);
    pci_bar(d, 0, &s->io, PCI_BAR_IO);
    pci_bar(d, 1, &s->mmio, 0);
    pci_ready(d);
    return true;
}

static void pcnet_unrealize(Device *dev)
{
    Pcnet *s = pcnet_of(dev);

    timer_cancel(&s->poll);
    nic_unplug(&s->nic, &s->pci);
}

static void pcnet_reset(Device *dev)
{
    Pcnet *s = pcnet_of(dev);

    pci_reset(&s->pci);
    hard_reset(s);
}

static bool pcnet_post_load(Device *dev, Error **errp)
{
    Pcnet *s = pcnet_of(dev);

    pci_post_load(&s->pci);
    if (s->tx_bytes > PCNET_TX_MAX || s->rx_len == 0 || s->tx_len == 0) {
        error_set(errp, "%s: a frame of %u bytes, rings of %u and %u", dev->id, s->tx_bytes, s->rx_len, s->tx_len);
        return false;
    }
    s->rx_at %= s->rx_len;
    s->tx_at %= s->tx_len;
    set_style(s, (s->bcr[BCR_SWS] & 0xff) < 4 ? s->bcr[BCR_SWS] : 0);
    if (s->tx_stopped) {
        timer_arm(&s->poll, clock_now(CLK_VIRTUAL));
    }
    return true;
}

static const Property pcnet_props[] = { NIC_PROPS(Pcnet), PCI_PROPS(Pcnet, "pxe-pcnet.rom"), PROP_END };

static const StateField pcnet_fields[] = {
    STATE_STRUCT(Pcnet, pci, pci_fields), STATE_BYTES(Pcnet, csr), STATE_BYTES(Pcnet, bcr), STATE_U8(Pcnet, rap),
    STATE_BYTES(Pcnet, aprom), STATE_U16(Pcnet, rx_len), STATE_U16(Pcnet, tx_len), STATE_U16(Pcnet, rx_at),
    STATE_U16(Pcnet, tx_at), STATE_U8(Pcnet, idle_polls), STATE_BOOL(Pcnet, tx_stopped), STATE_BOOL(Pcnet, dwio),
    STATE_BOOL(Pcnet, tx_begun), STATE_BOOL(Pcnet, tx_add_fcs), STATE_BOOL(Pcnet, tx_wants_int),
    STATE_U32(Pcnet, tx_bytes), STATE_BYTES(Pcnet, tx_buf), STATE_TIMER(Pcnet, poll), STATE_END,
};

extern const DeviceClass pcnet_class;
const DeviceClass pcnet_class = {
    .name = "pcnet",
    .desc = "AMD PCnet-PCI II Ethernet",
    .size = sizeof(Pcnet),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = pcnet_props,
    .realize = pcnet_realize,
    .unrealize = pcnet_unrealize,
    .reset = pcnet_reset,
    .fields = pcnet_fields,
    .post_load = pcnet_post_load,
};
