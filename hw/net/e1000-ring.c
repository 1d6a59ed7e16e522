/*
 * Frames of the e1000: the rings of descriptors, offloads, filters.
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, "Receive and Transmit
 * Description" (headings quoted).
 */
#include "hw/net/e1000.h"

#include <zlib.h>
#include "base/log.h"
#include "base/mem.h"
#include "hw/net/trace.h"

enum { DESC = 16, TX_BUDGET = 64, MSS_MIN = 32, FRAME_MIN = 60, FCS = 4, ETH_HEADER = 14, VLAN_TAG = 4 };
enum { RX_NORMAL_MAX = 1518, RX_LONG_MAX = 16384 };

/* "Legacy Transmit Descriptor Format", "TCP/IP Context/Data Descriptor": bits of the second eight bytes' low half */
#define TX_EOP 0x01000000u
#define TX_IC 0x04000000u  /* of legacy ones */
#define TX_TSE 0x04000000u /* of the others */
#define TX_RS 0x08000000u
#define TX_RPS 0x10000000u
#define TX_DEXT 0x20000000u
#define TX_VLE 0x40000000u
#define TX_IDE 0x80000000u
#define TX_DTYP_DATA 0x00100000u
#define TX_DTYP 0x00f00000u
#define TX_CTX_TCP 0x01000000u
#define TX_CTX_IP 0x02000000u
#define TX_DD 0x01u
#define POPTS_IXSM 0x01u
#define POPTS_TXSM 0x02u

#define RCTL_UPE 0x00000008u
#define RCTL_MPE 0x00000010u
#define RCTL_LPE 0x00000020u
#define RCTL_LBM 0x000000c0u
#define RCTL_BAM 0x00008000u
#define RCTL_VFE 0x00040000u
#define RCTL_CFIEN 0x00080000u
#define RCTL_CFI 0x00100000u
#define RCTL_BSEX 0x02000000u
#define RCTL_SECRC 0x04000000u
#define RAH_AV 0x80000000u
#define PHY_LOOPBACK 0x4000u

#define RX_DD 0x01u
#define RX_EOP 0x02u
#define RX_IXSM 0x04u
#define RX_VP 0x08u
#define RX_TCPCS 0x20u
#define RX_IPCS 0x40u
#define RX_TCPE 0x20u /* of the errors */
#define RX_IPE 0x40u
#define RXCSUM_IPOFL 0x100u
#define RXCSUM_TUOFL 0x200u

void e1000_count(E1000 *s, uint32_t offset, uint32_t n)
{
    uint32_t *r = e1000_reg(s, offset);

    *r = *r > UINT32_MAX - n ? UINT32_MAX : *r + n;
}

void e1000_count64(E1000 *s, uint32_t offset, uint32_t n)
{
    uint32_t *low = e1000_reg(s, offset), *high = e1000_reg(s, offset + 4);
    uint64_t v = ((uint64_t)*high << 32 | *low) + n;

    *low = (uint32_t)v;
    *high = (uint32_t)(v >> 32);
}

/* count_size - "Packets Received/Transmitted (64 Bytes)" and the five behind it; @len without FCS. */
static void count_size(E1000 *s, uint32_t base, size_t len)
{
    static const uint16_t most[] = { 64, 127, 255, 511, 1023 };
    unsigned n = 0;

    while (n < ARRAY_SIZE(most) && len + FCS > most[n]) {
        n++;
    }
    e1000_count(s, base + 4 * n, 1);
}

static uint64_t ring_base(E1000 *s, uint32_t bal)
{
    return (uint64_t)*e1000_reg(s, bal + 4) << 32 | *e1000_reg(s, bal);
}

static bool master(const E1000 *s)
{
    return s->pci.config[PCI_COMMAND] & PCI_CMD_MASTER;
}

/* ---- transmission ---- */

static void send_frame(E1000 *s, uint8_t *frame, size_t len)
{
    e1000_count(s, E1000_TPT, 1);
    e1000_count(s, E1000_GPTC, 1);
    e1000_count64(s, E1000_TOTL, (uint32_t)len + FCS);
    e1000_count64(s, E1000_GOTCL, (uint32_t)len + FCS);
    count_size(s, E1000_PTC64, len);
    if (frame[0] & 1) {
        e1000_count(s, memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6) == 0 ? E1000_BPTC : E1000_MPTC, 1);
    }
    trace_e1000_send((unsigned)len);
    if ((s->phy[0] & PHY_LOOPBACK) || (*e1000_reg(s, E1000_RCTL) & RCTL_LBM)) {
        if (e1000_can_receive(s, len)) {
            e1000_receive(s, frame, len);
        }
        return;
    }
    net_send(&s->nic.port, frame, len);
}

typedef struct TxOut {
    E1000 *s;
    bool vlan;
} TxOut;

/* out - a finished frame, whose buffer has room for a tag. "802.1q VLAN Support". */
static void out(void *opaque, uint8_t *frame, size_t len)
{
    TxOut *o = opaque;
    static uint8_t tagged[2 * 6 + VLAN_TAG + 65536 + 512];

    if (len < ETH_HEADER) {
        return;
    }
    if (!o->vlan || len + VLAN_TAG > sizeof(tagged)) {
        send_frame(o->s, frame, len);
        return;
    }
    memcpy(tagged, frame, 12);
    st_be16(tagged + 12, (uint16_t)*e1000_reg(o->s, E1000_VET));
    st_be16(tagged + 14, o->s->tx_special);
    memcpy(tagged + 12 + VLAN_TAG, frame + 12, len - 12);
    send_frame(o->s, tagged, len + VLAN_TAG);
}

/* segment - "TCP Segmentation": the frame in tx_buf by the context. */
static void segment(E1000 *s, TxOut *o)
{
    const uint32_t *c = s->tx_ctx[1];
    static uint8_t room[65536 + 256]; /* under the machine lock */
    InetTso t = {
        .frame = s->tx_buf, .len = s->tx_len, .ip = c[0] & 0xff, .l4 = c[1] & 0xff,
        .header = c[3] >> 8 & 0xff, .mss = c[3] >> 16, .v4 = c[2] & TX_CTX_IP, .tcp = c[2] & TX_CTX_TCP,
        .ip_sum = c[0] >> 8 & 0xff, .ip_end = c[0] >> 16, .l4_sum = c[1] >> 8 & 0xff, .l4_end = c[1] >> 16,
        .sum_ip = s->tx_popts & POPTS_IXSM, .sum_l4 = s->tx_popts & POPTS_TXSM,
    };

    if (t.mss < MSS_MIN || t.header < ETH_HEADER || t.header > t.len) {
        log_guest("e1000: segmentation with %zu bytes of header, %zu of payload\n", t.header, t.mss);
        return;
    }
    if (t.l4_sum + 2 <= t.len) {
        t.l4_seed = ld_be16(s->tx_buf + t.l4_sum);
    }
    inet_segment(&t, room, out, o);
    e1000_count(s, E1000_TSCTC, 1);
}

/* finish_frame - the descriptor with EOP: @cmd, legacy ones with their offsets in @css and @cso. */
static void finish_frame(E1000 *s, uint32_t cmd, unsigned css, unsigned cso)
{
    TxOut o = { s, (cmd & TX_VLE) && (*e1000_reg(s, E1000_CTRL) & E1000_CTRL_VME) };
    const uint32_t *c = s->tx_ctx[0];

    if (s->tx_bad) {
        log_guest("e1000: a frame of more than %d bytes\n", E1000_TX_MAX);
    } else if ((cmd & (TX_DEXT | TX_TSE)) == (TX_DEXT | TX_TSE)) {
        segment(s, &o);
    } else {
        if (!(cmd & TX_DEXT) && (cmd & TX_IC)) {
            inet_put_sum(s->tx_buf, s->tx_len, css, 0, cso);
        } else if (cmd & TX_DEXT) {
            if (s->tx_popts & POPTS_TXSM) {
                inet_put_sum(s->tx_buf, s->tx_len, c[1] & 0xff, c[1] >> 16, c[1] >> 8 & 0xff);
            }
            if (s->tx_popts & POPTS_IXSM) {
                inet_put_sum(s->tx_buf, s->tx_len, c[0] & 0xff, c[0] >> 16, c[0] >> 8 & 0xff);
            }
        }
        out(&o, s->tx_buf, s->tx_len);
    }
    s->tx_len = 0;
    s->tx_bad = false;
}

static void add_data(E1000 *s, uint64_t addr, uint32_t len)
{
    if (len > E1000_TX_MAX - s->tx_len) {
        s->tx_bad = true;
        return;
    }
    dma_read(addr, s->tx_buf + s->tx_len, len);
    s->tx_len += len;
}

static void do_descriptor(E1000 *s, const uint8_t d[DESC])
{
    uint32_t lower = ld_le32(d + 8), upper = ld_le32(d + 12);

    if (!(lower & TX_DEXT)) { /* "Legacy" */
        if (s->tx_len == 0) {
            s->tx_popts = 0;
        }
        s->tx_special = (uint16_t)(upper >> 16);
        add_data(s, ld_le64(d), lower & 0xffff);
        if (lower & TX_EOP) {
            finish_frame(s, lower, upper >> 8 & 0xff, lower >> 16 & 0xff);
        }
        return;
    }
    if ((lower & TX_DTYP) != TX_DTYP_DATA) { /* "Context" */
        uint32_t *c = s->tx_ctx[(lower & TX_TSE) != 0];

        for (unsigned n = 0; n < 4; n++) {
            c[n] = ld_le32(d + 4 * n);
        }
        return;
    }
    if (s->tx_len == 0) { /* "POPTS is only valid in the first data descriptor" */
        s->tx_popts = (uint8_t)(upper >> 8);
    }
    s->tx_special = (uint16_t)(upper >> 16);
    add_data(s, ld_le64(d), lower & 0xfffff);
    if (lower & TX_EOP) {
        finish_frame(s, lower, 0, 0);
    }
}

/* written_back - "Transmit Descriptor Write Back": status, and the interrupt at once or delayed. */
static void written_back(E1000 *s, uint64_t at, const uint8_t d[DESC], uint32_t *causes)
{
    uint32_t lower = ld_le32(d + 8);
    uint8_t status = (uint8_t)(d[12] | TX_DD);
    int64_t now = clock_now(CLK_VIRTUAL), when;

    if (!(lower & (TX_RS | TX_RPS))) {
        return;
    }
    dma_write(at + 12, &status, 1);
    if (!(lower & TX_IDE) || *e1000_reg(s, E1000_TIDV) == 0) {
        *causes |= E1000_INT_TXDW;
        return;
    }
    if (!timer_pending(&s->tx_delay)) {
        s->tx_first = now;
    }
    when = now + (int64_t)(*e1000_reg(s, E1000_TIDV) & 0xffff) * 1024;
    if (*e1000_reg(s, E1000_TADV) != 0) {
        when = MIN(when, s->tx_first + (int64_t)(*e1000_reg(s, E1000_TADV) & 0xffff) * 1024);
    }
    timer_arm(&s->tx_delay, when);
}

void e1000_transmit(E1000 *s)
{
    uint32_t count = *e1000_reg(s, E1000_TDLEN) / DESC, causes = 0;
    uint32_t *tdh = e1000_reg(s, E1000_TDH), tdt = *e1000_reg(s, E1000_TDT);
    uint64_t base = ring_base(s, E1000_TDBAL);
    unsigned budget = MIN(count, (uint32_t)TX_BUDGET);
    uint8_t d[DESC];

    s->tx_stopped = false;
    if (!(*e1000_reg(s, E1000_TCTL) & E1000_TCTL_EN) || !master(s) || count == 0 || *tdh >= count || tdt >= count) {
        return;
    }
    while (*tdh != tdt && budget > 0) {
        uint64_t at = base + (uint64_t)*tdh * DESC;

        if (s->tx_len == 0 && !net_can_send(&s->nic.port)) {
            s->tx_stopped = true;
            break;
        }
        dma_read(at, d, sizeof(d));
        do_descriptor(s, d);
        *tdh = *tdh + 1 == count ? 0 : *tdh + 1;
        written_back(s, at, d, &causes);
        budget--;
    }
    if (*tdh == tdt) {
        causes |= E1000_INT_TXQE;
    } else if (!s->tx_stopped) {
        timer_arm(&s->tx_more, clock_now(CLK_VIRTUAL));
    }
    if (causes != 0) {
        e1000_raise(s, causes);
    }
}

/* ---- reception ---- */

static uint32_t buffer_size(E1000 *s)
{
    uint32_t rctl = *e1000_reg(s, E1000_RCTL), size = 2048u >> (rctl >> 16 & 3);

    return rctl & RCTL_BSEX && size != 2048 ? size * 16 : size;
}

static uint32_t rx_count(E1000 *s)
{
    return *e1000_reg(s, E1000_RDLEN) / DESC;
}

/* rx_free - descriptors that the card owns. */
static uint32_t rx_free(E1000 *s)
{
    uint32_t count = rx_count(s), rdh = *e1000_reg(s, E1000_RDH), rdt = *e1000_reg(s, E1000_RDT);

    if (rdh >= count || rdt >= count) {
        return 0;
    }
    return rdt >= rdh ? rdt - rdh : count - rdh + rdt;
}

static uint32_t rx_needed(E1000 *s, size_t len)
{
    uint32_t size = buffer_size(s);

    return (uint32_t)((MAX(len, (size_t)FRAME_MIN) + FCS + size - 1) / size);
}

bool e1000_can_receive(void *opaque, size_t len)
{
    E1000 *s = opaque;

    /* a card that is off loses what comes; one that has no buffers makes it wait, unless it never fits */
    return !(*e1000_reg(s, E1000_RCTL) & E1000_RCTL_EN) || rx_free(s) >= rx_needed(s, len) ||
           rx_needed(s, len) >= MAX(rx_count(s), 1u);
}

static bool vlan_wanted(E1000 *s, const uint8_t *frame)
{
    uint16_t tag = ld_be16(frame + 14);
    uint32_t rctl = *e1000_reg(s, E1000_RCTL);

    if (!(rctl & RCTL_VFE)) {
        return true;
    }
    if ((rctl & RCTL_CFIEN) && (tag & 0x1000) != (rctl & RCTL_CFI ? 0x1000 : 0)) {
        return false;
    }
    return *e1000_reg(s, E1000_VFTA + (tag >> 5 & 0x7f) * 4) >> (tag & 31) & 1;
}

/* wanted - "Receive Address Filtering". */
static bool wanted(E1000 *s, const uint8_t *frame)
{
    static const uint8_t shift[] = { 4, 3, 2, 0 };
    uint32_t rctl = *e1000_reg(s, E1000_RCTL), hash;

    if (frame[0] & 1) {
        if (memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6) == 0) {
            return rctl & (RCTL_BAM | RCTL_MPE);
        }
        hash = ((uint32_t)frame[5] << 8 | frame[4]) >> shift[rctl >> 12 & 3] & 0xfff;
        if ((rctl & RCTL_MPE) || (*e1000_reg(s, E1000_MTA + (hash >> 5) * 4) >> (hash & 31) & 1)) {
            return true;
        }
    } else if (rctl & RCTL_UPE) {
        return true;
    }
    for (uint32_t at = E1000_RA; at < E1000_RA_END; at += 8) {
        if ((*e1000_reg(s, at + 4) & RAH_AV) && ld_le32(frame) == *e1000_reg(s, at) &&
            ld_le16(frame + 4) == (uint16_t)*e1000_reg(s, at + 4)) {
            return true;
        }
    }
    return false;
}

/* check_sums - "Receive Packet Checksum Offloading": status and errors of the last descriptor. */
static void check_sums(E1000 *s, const uint8_t *frame, size_t len, uint8_t *status, uint8_t *errors)
{
    uint32_t rxcsum = *e1000_reg(s, E1000_RXCSUM);
    InetCheck c;

    if (!(rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL))) {
        *status |= RX_IXSM;
        return;
    }
    c = inet_check(frame, len);
    if (!c.ip && !c.l4) {
        *status |= RX_IXSM;
    }
    if (c.ip && (rxcsum & RXCSUM_IPOFL)) {
        *status |= RX_IPCS;
        *errors |= c.ip_good ? 0 : RX_IPE;
    }
    if (c.l4 && (rxcsum & RXCSUM_TUOFL)) {
        *status |= RX_TCPCS;
        *errors |= c.l4_good ? 0 : RX_TCPE;
    }
}

static void rx_interrupt(E1000 *s)
{
    uint32_t causes = 0, rdtr = *e1000_reg(s, E1000_RDTR) & 0xffff, radv = *e1000_reg(s, E1000_RADV) & 0xffff;
    int64_t now = clock_now(CLK_VIRTUAL), when;

    if (rx_free(s) <= rx_count(s) >> (1 + (*e1000_reg(s, E1000_RCTL) >> 8 & 3))) {
        causes |= E1000_INT_RXDMT0;
    }
    if (rdtr == 0) {
        e1000_raise(s, causes | E1000_INT_RXT0);
        return;
    }
    if (!timer_pending(&s->rx_delay)) {
        s->rx_first = now;
    }
    when = now + (int64_t)rdtr * 1024;
    timer_arm(&s->rx_delay, radv != 0 ? MIN(when, s->rx_first + (int64_t)radv * 1024) : when);
    if (causes != 0) {
        e1000_raise(s, causes);
    }
}

/* store - @len bytes into as many buffers as it takes. */
static void store(E1000 *s, const uint8_t *data, size_t len, uint8_t status, uint8_t errors, uint16_t special,
                  uint16_t sum)
{
    uint64_t base = ring_base(s, E1000_RDBAL);
    uint32_t *rdh = e1000_reg(s, E1000_RDH), count = rx_count(s), size = buffer_size(s);

    for (size_t done = 0; done < len;) {
        uint64_t at = base + (uint64_t)*rdh * DESC;
        uint32_t part = (uint32_t)MIN(len - done, size);
        bool last = done + part == len;
        uint8_t d[DESC];

        dma_read(at, d, sizeof(d));
        dma_write(ld_le64(d), data + done, part);
        st_le16(d + 8, (uint16_t)part);
        st_le16(d + 10, last ? sum : 0);
        d[12] = RX_DD | (last ? RX_EOP | status : 0);
        d[13] = last ? errors : 0;
        st_le16(d + 14, last ? special : 0);
        dma_write(at + 8, d + 8, 4);
        dma_write(at + 12, d + 12, 4); /* a processor that sees DD sees the rest */
        *rdh = *rdh + 1 >= count ? 0 : *rdh + 1;
        done += part;
    }
}

static void count_received(E1000 *s, const uint8_t *frame, size_t len)
{
    e1000_count(s, E1000_TPR, 1);
    e1000_count(s, E1000_GPRC, 1);
    e1000_count64(s, E1000_TORL, (uint32_t)len + FCS);
    e1000_count64(s, E1000_GORCL, (uint32_t)len + FCS);
    count_size(s, E1000_PRC64, len);
    if (frame[0] & 1) {
        e1000_count(s, memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6) == 0 ? E1000_BPRC : E1000_MPRC, 1);
    }
}

void e1000_receive(void *opaque, const uint8_t *frame, size_t len)
{
    E1000 *s = opaque;
    static uint8_t buf[RX_LONG_MAX + FCS + VLAN_TAG]; /* under the machine lock */
    uint32_t rctl = *e1000_reg(s, E1000_RCTL);
    bool tagged = len >= ETH_HEADER + VLAN_TAG && ld_be16(frame + 12) == (uint16_t)*e1000_reg(s, E1000_VET);
    uint8_t status = 0, errors = 0;
    uint16_t special = 0, sum = 0;
    uint32_t pcss = *e1000_reg(s, E1000_RXCSUM) & 0xff;

    if (!(rctl & E1000_RCTL_EN) || !master(s)) {
        return;
    }
    if (len > (rctl & RCTL_LPE ? RX_LONG_MAX - FCS : RX_NORMAL_MAX)) {
        e1000_count(s, E1000_ROC, 1);
        return;
    }
    if (!wanted(s, frame) || (tagged && !vlan_wanted(s, frame))) {
        return;
    }
    if (rx_free(s) < rx_needed(s, len)) {
        e1000_count(s, E1000_MPC, 1);
        e1000_count(s, E1000_RNBC, 1);
        e1000_raise(s, E1000_INT_RXO);
        return;
    }
    count_received(s, frame, len);
    trace_e1000_receive((unsigned)len);
    if (tagged && (*e1000_reg(s, E1000_CTRL) & E1000_CTRL_VME)) {
        special = ld_be16(frame + 14);
        status |= RX_VP;
        memcpy(buf, frame, 12);
        memcpy(buf + 12, frame + 12 + VLAN_TAG, len - 12 - VLAN_TAG);
        len -= VLAN_TAG;
    } else {
        memcpy(buf, frame, len);
    }
    check_sums(s, buf, len, &status, &errors);
    if (len < FRAME_MIN) {
        memset(buf + len, 0, FRAME_MIN - len);
        len = FRAME_MIN;
    }
    if (pcss < len) {
        sum = inet_fold(inet_sum(buf + pcss, len - pcss, 0));
    }
    if (!(rctl & RCTL_SECRC)) {
        st_le32(buf + len, (uint32_t)crc32(0, buf, (unsigned)len));
        len += FCS;
    }
    store(s, buf, len, status, errors, special, sum);
    rx_interrupt(s);
}
