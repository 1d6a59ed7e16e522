/*
 * Realtek RTL8139C+ fast Ethernet controller: the ring buffer and four transmit registers of the 8139C, and the
 * descriptors of its C+ mode.
 *
 * Sources: RTL8139C(L) and RTL8139C(L)+ data sheets (headings quoted); National Semiconductor NM93C46 data sheet.
 * Not modelled: wake-up, the boot ROM's and flash's registers, early receive and transmit, the high priority ring.
 */
#include "hw/net/nic.h"

#include <zlib.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "hw/net/trace.h"

/* "Register Descriptions" */
enum {
    IDR = 0x00, MAR = 0x08, TSD = 0x10, TSAD = 0x20, RBSTART = 0x30, ERSR = 0x36, CR = 0x37, CAPR = 0x38, CBR = 0x3a,
    IMR = 0x3c, ISR = 0x3e, TCR = 0x40, RCR = 0x44, TCTR = 0x48, MPC = 0x4c, CR9346 = 0x50, CONFIG0 = 0x51,
    CONFIG1 = 0x52, TIMERINT = 0x54, MSR = 0x58, CONFIG3 = 0x59, CONFIG4 = 0x5a, MULINT = 0x5c, TSAD_ALL = 0x60,
    BMCR = 0x62, BMSR = 0x64, ANAR = 0x66, ANLPAR = 0x68, ANER = 0x6a, CSCR = 0x74, CONFIG5 = 0xd8, TPPOLL = 0xd9,
    CPCR = 0xe0, RDSAR = 0xe4, REGS = 0x100,
};

#define CR_RST 0x10u
#define CR_RE 0x08u
#define CR_TE 0x04u
#define CR_BUFE 0x01u
#define INT_ROK 0x0001u
#define INT_TOK 0x0004u
#define INT_RXOVW 0x0010u
#define INT_LINK 0x0020u
#define INT_FOVW 0x0040u
#define INT_TIMEOUT 0x4000u
#define RCR_AAP 0x01u
#define RCR_APM 0x02u
#define RCR_AM 0x04u
#define RCR_AB 0x08u
#define RCR_WRAP 0x80u
#define TSD_OWN 0x2000u
#define TSD_TOK 0x8000u
#define TCR_LOOP 0x00060000u
#define TCR_CRC 0x00010000u /* set: the card appends none */
#define TCR_VERSION 0x74800000u
#define CPCR_TX 0x01u
#define CPCR_RX 0x02u
#define CPCR_RXCSUM 0x20u
#define CPCR_VLAN 0x40u
#define TPPOLL_NORMAL 0x40u
#define EE_UNLOCKED 0xc0u
#define BMCR_RESET 0x8000u
#define BMCR_RESTART 0x0200u

/* descriptors of C+ mode, first word */
#define D_OWN 0x80000000u
#define D_EOR 0x40000000u
#define D_FS 0x20000000u
#define D_LS 0x10000000u
#define TX_LGSEN 0x08000000u
#define TX_IPCS 0x00040000u
#define TX_UDPCS 0x00020000u
#define TX_TCPCS 0x00010000u
#define TX_TAGC 0x00020000u /* second word */
#define RX_TAVA 0x00010000u /* second word */
#define RX_MAR 0x04000000u
#define RX_PAM 0x02000000u
#define RX_BAR 0x01000000u

enum { FCS = 4, FRAME_MIN = 60, FRAME_MAX = 1792 - FCS, TX_MAX = 65536 + 128, TX_BUDGET = 64, ETH_HEADER = 14,
       DESC = 16, RING_MAX = 64, EE_WORDS = 64, PCI_TICK_NS = 30 };

typedef struct Rtl8139 {
    PciDevice pci; /* first member */
    Nic nic;
    uint8_t regs[REGS];
    uint16_t eeprom[EE_WORDS]; /* constant after realize */
    /* EEPROM's wires */
    uint8_t ee_in, ee_out;
    uint16_t ee_cmd;
    bool ee_reading;
    uint8_t tx_cur, rx_cur; /* descriptors of C+ mode */
    uint32_t tx_len;
    bool tx_bad;
    uint8_t tx_buf[TX_MAX];
    int64_t tctr; /* CLK_VIRTUAL when the counter was 0 */
    bool tx_stopped;
    Timer timer, tx_more;
    struct {
        uint64_t tx_ok, rx_ok, tx_err;
        uint32_t rx_err;
        uint16_t missed, align, one_col, many_col;
        uint64_t rx_phys, rx_broadcast;
        uint32_t rx_multicast;
        uint16_t aborted, underrun;
    } tally;
    /* wiring */
    IoRegion io, mmio;
} Rtl8139;

static Rtl8139 *rtl_of(Device *dev)
{
    return container_of(dev, Rtl8139, pci.dev);
}

static uint16_t get16(const Rtl8139 *s, unsigned at)
{
    return ld_le16(s->regs + at);
}
static uint32_t get32(const Rtl8139 *s, unsigned at)
{
    return ld_le32(s->regs + at);
}
static void put16(Rtl8139 *s, unsigned at, uint16_t val)
{
    st_le16(s->regs + at, val);
}
static void put32(Rtl8139 *s, unsigned at, uint32_t val)
{
    st_le32(s->regs + at, val);
}

static void update_irq(Rtl8139 *s)
{
    pci_set_irq(&s->pci, (get16(s, ISR) & get16(s, IMR)) != 0);
}

static void raise_int(Rtl8139 *s, uint16_t bits)
{
    put16(s, ISR, get16(s, ISR) | bits);
    update_irq(s);
}

static bool master(const Rtl8139 *s)
{
    return s->pci.config[PCI_COMMAND] & PCI_CMD_MASTER;
}

/* ---- EEPROM, timer, PHY ---- */

/* ee_write - "93C46 Command Register": EECS, EESK, EEDI in bits 3 to 1; EEDO in bit 0. */
static void ee_write(Rtl8139 *s, uint8_t old, uint8_t val)
{
    bool bit;

    if (!(val & 8)) {
        s->ee_in = s->ee_out = 0;
        s->ee_cmd = 0;
        s->ee_reading = false;
    } else if ((val & 4) && !(old & 4)) {
        if (s->ee_reading) {
            s->ee_cmd = (uint16_t)((s->ee_cmd + (s->ee_out == 16)) % EE_WORDS);
            s->ee_out = (uint8_t)(s->ee_out % 16 + 1);
        } else if (s->ee_in != 0 || (val & 2)) { /* waits for the start bit */
            s->ee_cmd = (uint16_t)(s->ee_cmd << 1 | (val >> 1 & 1));
            if (++s->ee_in == 9) {
                s->ee_reading = s->ee_cmd >> 6 == 6;
                s->ee_cmd %= EE_WORDS;
                s->ee_in = 0;
            }
        }
    }
    bit = !s->ee_reading || (s->ee_out != 0 && (s->eeprom[s->ee_cmd % EE_WORDS] >> (16 - s->ee_out) & 1));
    s->regs[CR9346] = (uint8_t)((val & 0xce) | bit);
}

static void arm_timer(Rtl8139 *s)
{
    if (get32(s, TIMERINT) != 0) {
        timer_arm(&s->timer, s->tctr + (int64_t)get32(s, TIMERINT) * PCI_TICK_NS);
    } else {
        timer_cancel(&s->timer);
    }
}

static void on_timer(void *opaque)
{
    raise_int(opaque, INT_TIMEOUT);
}

static void set_link(Rtl8139 *s)
{
    bool up = net_link(&s->nic.port);

    s->regs[MSR] = (uint8_t)((s->regs[MSR] & ~0x0cu) | (up ? 0x00 : 0x04)); /* "Inverse of Link status" */
    put16(s, BMSR, (uint16_t)(0x7809 | (up ? 0x24 : 0)));
    put16(s, ANLPAR, up ? 0x45e1 : 0);
}

static void on_link(void *opaque, bool up)
{
    Rtl8139 *s = opaque;

    set_link(s);
    put16(s, CSCR, (uint16_t)((get16(s, CSCR) & ~0x0008u) | (up ? 0x0008 : 0)));
    raise_int(s, INT_LINK);
}

/* ---- reception ---- */

static uint32_t rx_size(const Rtl8139 *s)
{
    return 8192u << (get32(s, RCR) >> 11 & 3);
}

/* rx_used - bytes of the ring buffer that the driver has not read. */
static uint32_t rx_used(const Rtl8139 *s)
{
    uint32_t size = rx_size(s);

    return (get16(s, CBR) - (get16(s, CAPR) + 16u)) & (size - 1);
}

static bool cplus_rx(const Rtl8139 *s)
{
    return get16(s, CPCR) & CPCR_RX;
}

static uint64_t rx_desc(const Rtl8139 *s)
{
    return (ld_le64(s->regs + RDSAR) & ~0xffull) + s->rx_cur * DESC;
}

static bool rtl_can_receive(void *opaque, size_t len)
{
    Rtl8139 *s = opaque;
    uint8_t d[4];

    if (!(s->regs[CR] & CR_RE) || !master(s) || len > FRAME_MAX) {
        return true; /* and it is lost */
    }
    if (cplus_rx(s)) {
        return dma_read(rx_desc(s), d, 4) && (ld_le32(d) & D_OWN);
    }
    return rx_used(s) + len + 4 + FCS + 8 < rx_size(s);
}

/* wanted - "Receive Configuration Register"; the kind of address as C+ descriptors tell it, 0: not wanted. */
static uint32_t wanted(Rtl8139 *s, const uint8_t *frame)
{
    uint32_t rcr = get32(s, RCR), hash;

    if (memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6) == 0) {
        return rcr & (RCR_AB | RCR_AAP) ? RX_BAR : 0;
    }
    if (frame[0] & 1) {
        hash = nic_hash(frame);
        return (rcr & RCR_AAP) || ((rcr & RCR_AM) && (s->regs[MAR + (hash >> 3)] >> (hash & 7) & 1)) ? RX_MAR : 0;
    }
    if (memcmp(frame, s->regs + IDR, 6) == 0) {
        return rcr & (RCR_APM | RCR_AAP) ? RX_PAM : 0;
    }
    return rcr & RCR_AAP ? D_FS : 0; /* no bit of its own */
}

/* ring_put - bytes at CBR, which goes around the buffer. */
static void ring_put(Rtl8139 *s, const uint8_t *p, uint32_t len, bool wrap)
{
    uint32_t size = rx_size(s), at = get16(s, CBR) & (size - 1), first = wrap ? MIN(len, size - at) : len;

    dma_write(get32(s, RBSTART) + (uint64_t)at, p, first);
    dma_write(get32(s, RBSTART), p + first, len - first);
    put16(s, CBR, (uint16_t)((at + len) & (size - 1)));
}

static void receive_ring(Rtl8139 *s, uint8_t *frame, uint32_t len, uint32_t kind)
{
    bool wrap = !(get32(s, RCR) & RCR_WRAP) || rx_size(s) == 65536;
    uint8_t head[4];

    if (rx_used(s) + len + 4 + 8 >= rx_size(s)) {
        s->tally.missed++;
        put32(s, MPC, MIN(get32(s, MPC) + 1, 0xffffffu));
        raise_int(s, INT_RXOVW);
        return;
    }
    st_le16(head, (uint16_t)(1 | (kind == RX_BAR ? 0x2000 : kind == RX_PAM ? 0x4000 : kind == RX_MAR ? 0x8000 : 0)));
    st_le16(head + 2, (uint16_t)len);
    ring_put(s, head, 4, true);
    ring_put(s, frame, len, wrap);
    put16(s, CBR, (uint16_t)(((get16(s, CBR) + 3u) & ~3u) & (rx_size(s) - 1)));
    raise_int(s, INT_ROK);
}

/* receive_desc - "C+ mode Rx descriptor"; frames are longer than a buffer only by mistake: they are cut. */
static void receive_desc(Rtl8139 *s, uint8_t *frame, uint32_t len, uint32_t kind)
{
    uint64_t at = rx_desc(s);
    uint32_t own, opts2 = 0, part;
    uint16_t cpcr = get16(s, CPCR);
    uint8_t d[DESC];

    if (!dma_read(at, d, sizeof(d)) || !((own = ld_le32(d)) & D_OWN)) {
        s->tally.missed++;
        put32(s, MPC, MIN(get32(s, MPC) + 1, 0xffffffu));
        raise_int(s, INT_RXOVW);
        return;
    }
    if ((cpcr & CPCR_VLAN) && ld_be16(frame + 12) == 0x8100 && len > ETH_HEADER + 4 + FCS) {
        opts2 = RX_TAVA | ld_le16(frame + 14);
        memmove(frame + 4, frame, 12);
        frame += 4;
        len -= 4;
    }
    part = MIN(len, own & 0x1fff);
    dma_write(ld_le64(d + 8), frame, part);
    own = (own & D_EOR) | D_FS | D_LS | (kind == D_FS ? 0 : kind) | len;
    if (cpcr & CPCR_RXCSUM) {
        InetCheck c = inet_check(frame, len - FCS);

        own |= c.l4 ? (c.udp ? 0x20000 : 0x10000) : c.ip ? 0x30000 : 0;
        own |= c.ip && !c.ip_good ? 0x8000 : 0;
        own |= c.l4 && !c.l4_good ? (c.udp ? 0x4000 : 0x2000) : 0;
    }
    st_le32(d, own);
    st_le32(d + 4, opts2);
    dma_write(at + 4, d + 4, 4);
    dma_write(at, d, 4); /* who sees it given back sees the rest */
    s->rx_cur = own & D_EOR ? 0 : (uint8_t)((s->rx_cur + 1) % RING_MAX);
    raise_int(s, INT_ROK);
}

static void rtl_receive(void *opaque, const uint8_t *frame, size_t len)
{
    Rtl8139 *s = opaque;
    static uint8_t buf[FRAME_MAX + FCS]; /* under the machine lock */
    uint32_t kind = s->regs[CR] & CR_RE && master(s) && len <= FRAME_MAX ? wanted(s, frame) : 0;

    if (kind == 0) {
        return;
    }
    trace_rtl8139_receive((unsigned)len);
    memcpy(buf, frame, len);
    if (len < FRAME_MIN) {
        memset(buf + len, 0, FRAME_MIN - len);
        len = FRAME_MIN;
    }
    st_le32(buf + len, (uint32_t)crc32(0, buf, (unsigned)len));
    s->tally.rx_ok++;
    s->tally.rx_phys += kind == RX_PAM;
    s->tally.rx_broadcast += kind == RX_BAR;
    s->tally.rx_multicast += kind == RX_MAR;
    if (cplus_rx(s)) {
        receive_desc(s, buf, (uint32_t)len + FCS, kind);
    } else {
        receive_ring(s, buf, (uint32_t)len + FCS, kind);
    }
}

/* ---- transmission ---- */

static void out(void *opaque, uint8_t *frame, size_t len)
{
    Rtl8139 *s = opaque;

    if (len < ETH_HEADER) {
        return;
    }
    trace_rtl8139_send((unsigned)len);
    s->tally.tx_ok++;
    if ((get32(s, TCR) & TCR_LOOP) == TCR_LOOP) {
        if (rtl_can_receive(s, len)) {
            rtl_receive(s, frame, len);
        }
    } else {
        net_send(&s->nic.port, frame, len);
    }
}

/* transmit_n - one of the four transmit registers. */
static void transmit_n(Rtl8139 *s, unsigned n)
{
    uint32_t tsd = get32(s, TSD + 4 * n), len = tsd & 0x1fff;

    if (!(s->regs[CR] & CR_TE) || !master(s) || len > FRAME_MAX) {
        return;
    }
    dma_read(get32(s, TSAD + 4 * n), s->tx_buf, len);
    put32(s, TSD + 4 * n, tsd | TSD_OWN | TSD_TOK);
    out(s, s->tx_buf, len);
    raise_int(s, INT_TOK);
}

/* offsets - of the IP and TCP or UDP headers in tx_buf; false when there is no IPv4. */
static bool offsets(const Rtl8139 *s, size_t *ip, size_t *l4)
{
    *ip = ETH_HEADER;
    if (s->tx_len >= 18 && ld_be16(s->tx_buf + 12) == 0x8100) {
        *ip += 4;
    }
    if (s->tx_len < *ip + 20 || s->tx_buf[*ip] >> 4 != 4 || ld_be16(s->tx_buf + *ip - 2) != 0x0800) {
        return false;
    }
    *l4 = *ip + (s->tx_buf[*ip] & 15) * 4u;
    return *l4 >= *ip + 20 && *l4 + 8 <= s->tx_len;
}

/* finish_frame - the descriptor with LS. The card makes the pseudo header's sum by itself. */
static void finish_frame(Rtl8139 *s, uint32_t opts1)
{
    static uint8_t room[2048 + 256]; /* under the machine lock */
    size_t ip = 0, l4 = 0, sum;
    uint8_t *p = s->tx_buf;
    bool v4 = offsets(s, &ip, &l4), tcp = v4 && p[ip + 9] == 6;

    if (v4 && (opts1 & TX_LGSEN) && tcp && l4 + 20 <= s->tx_len) {
        InetTso t = {
            .frame = p, .len = s->tx_len, .ip = ip, .l4 = l4, .header = l4 + (p[l4 + 12] >> 4) * 4u,
            .mss = opts1 >> 16 & 0x7ff, .v4 = true, .tcp = true, .ip_sum = ip + 10, .ip_end = l4 - 1,
            .l4_sum = l4 + 16, .sum_ip = true, .sum_l4 = true,
            .l4_seed = inet_fold(inet_sum(p + ip + 12, 8, 6)),
        };

        if (t.mss >= 32 && t.header >= l4 + 20 && t.header <= t.len && t.header <= 256) {
            st_be16(p + ip + 10, 0);
            st_be16(p + l4 + 16, 0);
            inet_segment(&t, room, out, s);
        }
        return;
    }
    if (v4 && (opts1 & (tcp ? TX_TCPCS : TX_UDPCS)) && !(opts1 & TX_LGSEN)) {
        sum = l4 + (tcp ? 16 : 6);
        if (sum + 2 <= s->tx_len && (tcp || p[ip + 9] == 17)) {
            size_t end = MIN((size_t)ip + ld_be16(p + ip + 2), (size_t)s->tx_len);

            if (end > l4) {
                st_be16(p + sum, inet_fold(inet_sum(p + ip + 12, 8, p[ip + 9] + (end - l4))));
                inet_put_sum(p, s->tx_len, l4, end - 1, sum);
            }
        }
    }
    if (v4 && (opts1 & TX_IPCS)) {
        st_be16(p + ip + 10, 0);
        inet_put_sum(p, s->tx_len, ip, l4 - 1, ip + 10);
    }
    out(s, p, s->tx_len);
}

/* add_tag - "VLAN tag" of the second word, whose bytes are as on the wire. */
static void add_tag(Rtl8139 *s, uint32_t opts2)
{
    if ((opts2 & TX_TAGC) && s->tx_len >= ETH_HEADER && s->tx_len + 4 <= TX_MAX) {
        memmove(s->tx_buf + 16, s->tx_buf + 12, s->tx_len - 12);
        st_be16(s->tx_buf + 12, 0x8100);
        st_le16(s->tx_buf + 14, (uint16_t)opts2);
        s->tx_len += 4;
    }
}

/* one_desc - false when the card does not own the next. */
static bool one_desc(Rtl8139 *s)
{
    uint64_t at = (ld_le64(s->regs + TSAD) & ~0xffull) + s->tx_cur * DESC;
    uint32_t opts1, len;
    uint8_t d[DESC];

    if (!dma_read(at, d, sizeof(d)) || !((opts1 = ld_le32(d)) & D_OWN)) {
        return false;
    }
    if (opts1 & D_FS) {
        s->tx_len = 0;
        s->tx_bad = false;
    }
    len = opts1 & 0xffff;
    if (len > TX_MAX - s->tx_len) {
        s->tx_bad = true;
    } else {
        dma_read(ld_le64(d + 8), s->tx_buf + s->tx_len, len);
        s->tx_len += len;
    }
    st_le32(d, opts1 & ~D_OWN);
    dma_write(at, d, 4);
    s->tx_cur = opts1 & D_EOR ? 0 : (uint8_t)((s->tx_cur + 1) % RING_MAX);
    if (opts1 & D_LS) {
        add_tag(s, ld_le32(d + 4));
        if (!s->tx_bad) {
            finish_frame(s, opts1);
        }
        s->tx_len = 0;
    }
    return true;
}

static void transmit_descs(Rtl8139 *s)
{
    unsigned budget = TX_BUDGET;
    bool more = true;

    s->tx_stopped = false;
    if (!(s->regs[CR] & CR_TE) || !(get16(s, CPCR) & CPCR_TX) || !master(s)) {
        return;
    }
    while (budget > 0 && more) {
        if (s->tx_len == 0 && !net_can_send(&s->nic.port)) {
            s->tx_stopped = true;
            break;
        }
        more = one_desc(s);
        budget--;
    }
    if (more && !s->tx_stopped) {
        timer_arm(&s->tx_more, clock_now(CLK_VIRTUAL));
    }
    raise_int(s, INT_TOK);
}

static void on_tx_more(void *opaque)
{
    transmit_descs(opaque);
}

static void on_can_send(void *opaque)
{
    Rtl8139 *s = opaque;

    if (s->tx_stopped) {
        transmit_descs(s);
    }
}

/* dump_tally - "Dump Tally Counter Command Register". */
static void dump_tally(Rtl8139 *s)
{
    uint8_t d[64] = { 0 };

    st_le64(d, s->tally.tx_ok);
    st_le64(d + 8, s->tally.rx_ok);
    st_le64(d + 16, s->tally.tx_err);
    st_le32(d + 24, s->tally.rx_err);
    st_le16(d + 28, s->tally.missed);
    st_le64(d + 40, s->tally.rx_phys);
    st_le64(d + 48, s->tally.rx_broadcast);
    st_le32(d + 56, s->tally.rx_multicast);
    dma_write(ld_le64(s->regs + TSD) & ~0x3full, d, sizeof(d));
    s->regs[TSD] &= (uint8_t)~8u;
}

/* ---- registers ---- */

static void soft_reset(Rtl8139 *s)
{
    timer_cancel(&s->timer);
    timer_cancel(&s->tx_more);
    memset(s->regs + TSD, 0, CR9346 - TSD);
    memset(s->regs + TIMERINT, 0, 4);
    memset(s->regs + CPCR, 0, REGS - CPCR);
    for (unsigned n = 0; n < 4; n++) {
        put32(s, TSD + 4 * n, TSD_OWN);
    }
    put16(s, CAPR, 0xfff0);
    put32(s, TCR, TCR_VERSION);
    s->regs[CR] = CR_BUFE;
    s->regs[CONFIG1] = 0x0c;
    s->tx_cur = s->rx_cur = 0;
    s->tx_len = 0;
    s->tx_bad = s->tx_stopped = false;
    s->tctr = clock_now(CLK_VIRTUAL);
    put16(s, BMCR, 0x3100);
    put16(s, ANAR, 0x05e1);
    put16(s, CSCR, 0x03c8);
    set_link(s);
    update_irq(s);
}

static uint64_t rtl_read(void *opaque, uint64_t offset, unsigned size)
{
    Rtl8139 *s = opaque;
    unsigned at = (unsigned)offset;
    uint8_t r[4] = { 0 };

    if (at <= CR && at + size > CR) {
        bool empty = !cplus_rx(s) && rx_used(s) == 0;

        s->regs[CR] = (uint8_t)((s->regs[CR] & ~CR_BUFE) | (empty ? CR_BUFE : 0));
    }
    if ((at & ~3u) == TCTR) {
        put32(s, TCTR, (uint32_t)((clock_now(CLK_VIRTUAL) - s->tctr) / PCI_TICK_NS));
    }
    if ((at & ~3u) == TSAD_ALL) {
        uint16_t all = 0;

        for (unsigned n = 0; n < 4; n++) {
            all |= (uint16_t)((get32(s, TSD + 4 * n) & TSD_OWN ? 1u : 0) << n |
                              (get32(s, TSD + 4 * n) & TSD_TOK ? 0x1000u : 0) << n);
        }
        put16(s, TSAD_ALL, all);
    }
    memcpy(r, s->regs + at, size);
    return ld_le32(r);
}

/* writable - bits of the byte at @at that a write changes. */
static uint8_t writable(const Rtl8139 *s, unsigned at)
{
    bool unlocked = (s->regs[CR9346] & EE_UNLOCKED) == EE_UNLOCKED;

    switch (at) {
    case IDR ... IDR + 5:
    case CONFIG3 ... CONFIG4:
        return unlocked ? 0xff : 0;
    case MAR ... RBSTART + 3:
    case CAPR ... CAPR + 1:
    case IMR ... IMR + 1:
    case RCR ... RCR + 3:
    case TIMERINT ... TIMERINT + 3:
    case MULINT ... MULINT + 1:
    case BMCR ... BMCR + 1:
    case ANAR ... ANAR + 1:
    case CSCR ... CSCR + 1:
    case CONFIG5:
    case RDSAR ... RDSAR + 8:
        return 0xff;
    case CR:
        return CR_RE | CR_TE;
    case TCR ... TCR + 2:
        return at == TCR + 2 ? 0x07 : 0xff; /* the version stays */
    case CONFIG1:
        return unlocked ? 0xff : 0;
    case CPCR:
        return 0x6b;
    default:
        return 0;
    }
}

static bool covers(unsigned at, unsigned size, unsigned first, unsigned len)
{
    return at < first + len && at + size > first;
}

/* written - what a write does beyond being kept. */
static void written(Rtl8139 *s, unsigned at, unsigned size, uint8_t tppoll)
{
    if (covers(at, size, TSD, 16)) {
        if ((get16(s, CPCR) & CPCR_TX) != 0) {
            if (covers(at, size, TSD, 4) && (s->regs[TSD] & 8)) {
                dump_tally(s);
            }
        } else if (!(get32(s, at & ~3u) & TSD_OWN)) {
            put32(s, at & ~3u, get32(s, at & ~3u) & 0x3f1fffu);
            transmit_n(s, (at - TSD) / 4);
        }
    }
    if (covers(at, size, TSAD, 8)) {
        s->tx_cur = 0;
    }
    if (covers(at, size, RDSAR, 8)) {
        s->rx_cur = 0;
    }
    if (covers(at, size, IMR, 4)) {
        update_irq(s);
    }
    if (covers(at, size, TIMERINT, 4)) {
        arm_timer(s);
    }
    if (covers(at, size, BMCR, 2)) {
        put16(s, BMCR, get16(s, BMCR) & BMCR_RESET ? 0x3100 : get16(s, BMCR) & (uint16_t)~BMCR_RESTART);
    }
    if (tppoll & TPPOLL_NORMAL) {
        transmit_descs(s);
    }
    if (covers(at, size, CR, 3) || covers(at, size, RCR, 4) || covers(at, size, ISR, 2) || covers(at, size, RDSAR, 8)) {
        net_accept(&s->nic.port);
    }
}

static void rtl_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Rtl8139 *s = opaque;
    unsigned at = (unsigned)offset;
    uint8_t tppoll = 0;

    trace_rtl8139_write(at, (uint32_t)value, size);
    for (unsigned n = 0; n < size; n++) {
        uint8_t val = (uint8_t)(value >> 8 * n), mask = writable(s, at + n);

        if (at + n == CR && (val & CR_RST)) {
            soft_reset(s);
            continue;
        }
        if (at + n == ISR || at + n == ISR + 1) {
            s->regs[at + n] &= (uint8_t)~val;
        } else if (at + n == CR9346) {
            ee_write(s, s->regs[CR9346], val);
        } else if (at + n == TPPOLL) {
            tppoll = val;
        } else if (at + n >= TCTR && at + n < TCTR + 4) {
            s->tctr = clock_now(CLK_VIRTUAL); /* "a write clears it" */
            arm_timer(s);
        } else if (at + n >= MPC && at + n < MPC + 4) {
            put32(s, MPC, 0);
        } else {
            s->regs[at + n] = (uint8_t)((s->regs[at + n] & ~mask) | (val & mask));
        }
    }
    written(s, at, size, tppoll);
}

static const IoOps rtl_ops = { .read = rtl_read, .write = rtl_write, .max_size = 4 };

/* ---- the device ---- */

static void describe(void *opaque, FILE *f)
{
    nic_describe(&((Rtl8139 *)opaque)->nic, "rtl8139", f);
}

static const NetPortOps rtl_port_ops = {
    .can_receive = rtl_can_receive, .receive = rtl_receive, .can_send = on_can_send, .link_changed = on_link,
    .describe = describe,
};

static bool rtl_realize(Device *dev, Error **errp)
{
    Rtl8139 *s = rtl_of(dev);
    PciDevice *d = &s->pci;

    timer_init(&s->timer, CLK_VIRTUAL, on_timer, s, &machine_lock_guard);
    timer_init(&s->tx_more, CLK_VIRTUAL, on_tx_more, s, &machine_lock_guard);
    if (!nic_plug(&s->nic, d, 0x10ec, 0x8139, 0x20, "pxe-rtl8139.rom", &rtl_port_ops, s, errp)) {
        return false;
    }
    st_le16(d->config + PCI_SUBSYS_VENDOR, 0x1af4);
    st_le16(d->config + PCI_SUBSYS, 0x1100);
    st_le16(d->config + PCI_STATUS, 0x0280);
    io_region_init(&s->io, &rtl_ops, s, "rtl8139-io", REGS);
    io_region_init(&s->mmio, &rtl_ops, s, "rtl8139-mmio", REGS);
    pci_bar(d, 0, &s->io, PCI_BAR_IO);
    pci_bar(d, 1, &s->mmio, 0);
    pci_ready(d);
    s->eeprom[0] = 0x8129;
    s->eeprom[1] = 0x10ec;
    s->eeprom[2] = 0x8139;
    for (unsigned n = 0; n < 3; n++) {
        s->eeprom[7 + n] = ld_le16(s->nic.mac + 2 * n);
    }
    return true;
}

static void rtl_unrealize(Device *dev)
{
    Rtl8139 *s = rtl_of(dev);

    timer_cancel(&s->timer);
    timer_cancel(&s->tx_more);
    nic_unplug(&s->nic, &s->pci);
}

static void rtl_reset(Device *dev)
{
    Rtl8139 *s = rtl_of(dev);

    pci_reset(&s->pci);
    memset(s->regs, 0, sizeof(s->regs));
    memset(&s->tally, 0, sizeof(s->tally));
    s->ee_in = s->ee_out = 0;
    s->ee_cmd = 0;
    s->ee_reading = false;
    memcpy(s->regs + IDR, s->nic.mac, 6);
    soft_reset(s);
}

static bool rtl_post_load(Device *dev, Error **errp)
{
    Rtl8139 *s = rtl_of(dev);

    pci_post_load(&s->pci);
    if (s->tx_len > TX_MAX) {
        error_set(errp, "%s: a frame of %u bytes", dev->id, s->tx_len);
        return false;
    }
    s->ee_in %= 9;
    s->ee_out %= 17;
    s->tx_cur %= RING_MAX;
    s->rx_cur %= RING_MAX;
    if (s->tx_stopped) {
        timer_arm(&s->tx_more, clock_now(CLK_VIRTUAL));
    }
    return true;
}

static const Property rtl_props[] = { NIC_PROPS(Rtl8139), PCI_PROPS(Rtl8139, "pxe-rtl8139.rom"), PROP_END };

static const StateField rtl_fields[] = {
    STATE_STRUCT(Rtl8139, pci, pci_fields), STATE_BYTES(Rtl8139, regs), STATE_U8(Rtl8139, ee_in),
    STATE_U8(Rtl8139, ee_out), STATE_U16(Rtl8139, ee_cmd), STATE_BOOL(Rtl8139, ee_reading), STATE_U8(Rtl8139, tx_cur),
    STATE_U8(Rtl8139, rx_cur), STATE_U32(Rtl8139, tx_len), STATE_BOOL(Rtl8139, tx_bad), STATE_BYTES(Rtl8139, tx_buf),
    STATE_U64(Rtl8139, tctr), STATE_BOOL(Rtl8139, tx_stopped), STATE_TIMER(Rtl8139, timer),
    STATE_TIMER(Rtl8139, tx_more), STATE_U64(Rtl8139, tally.tx_ok), STATE_U64(Rtl8139, tally.rx_ok),
    STATE_U64(Rtl8139, tally.tx_err), STATE_U32(Rtl8139, tally.rx_err), STATE_U16(Rtl8139, tally.missed),
    STATE_U64(Rtl8139, tally.rx_phys), STATE_U64(Rtl8139, tally.rx_broadcast),
    STATE_U32(Rtl8139, tally.rx_multicast), STATE_END,
};

extern const DeviceClass rtl8139_class;
const DeviceClass rtl8139_class = {
    .name = "rtl8139",
    .desc = "Realtek RTL8139C+ fast Ethernet",
    .size = sizeof(Rtl8139),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = rtl_props,
    .realize = rtl_realize,
    .unrealize = rtl_unrealize,
    .reset = rtl_reset,
    .fields = rtl_fields,
    .post_load = rtl_post_load,
};
