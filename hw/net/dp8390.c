/*
 * The DP8390D of NE2000 boards: see dp8390.h. Frames and remote DMA go between the network, the chip's own memory and
 * the data port; no memory of the machine is touched.
 *
 * Not modelled: collisions and errors of the wire, the serial EEPROM's wires, which read as 0.
 */
#include "hw/net/dp8390.h"

#include <string.h>
#include <zlib.h>
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/net/nic.h"
#include "hw/net/trace.h"

/* "Register Address Assignments" */
enum { CR = 0x00, DATA = 0x10, RESET = 0x18 };
enum { P0_CLDA0 = 1, P0_CLDA1 = 2, P0_BNRY = 3, P0_TSR = 4, P0_NCR = 5, P0_FIFO = 6, P0_ISR = 7, P0_CRDA0 = 8, P0_CRDA1 = 9,
       P0_ID0 = 10, P0_ID1 = 11, P0_RSR = 12, P0_CNTR0 = 13 };
enum { W0_PSTART = 1, W0_PSTOP = 2, W0_BNRY = 3, W0_TPSR = 4, W0_TBCR0 = 5, W0_TBCR1 = 6, W0_ISR = 7, W0_RSAR0 = 8,
       W0_RSAR1 = 9, W0_RBCR0 = 10, W0_RBCR1 = 11, W0_RCR = 12, W0_TCR = 13, W0_DCR = 14, W0_IMR = 15 };
enum { P1_PAR0 = 1, P1_CURR = 7, P1_MAR0 = 8 };

#define CR_STP 0x01u
#define CR_STA 0x02u
#define CR_TXP 0x04u
#define CR_READ 0x08u
#define CR_WRITE 0x10u
#define CR_SEND 0x18u
#define CR_ABORT 0x20u
#define CR_RD 0x38u
#define ISR_PRX 0x01u
#define ISR_PTX 0x02u
#define ISR_OVW 0x10u
#define ISR_CNT 0x20u
#define ISR_RDC 0x40u
#define ISR_RST 0x80u
#define DCR_WTS 0x01u /* words at the data port */
#define RCR_AB 0x04u
#define RCR_AM 0x08u
#define RCR_PRO 0x10u
#define RCR_MON 0x20u
#define RCR_AR 0x02u
#define RSR_PRX 0x01u
#define RSR_CRC 0x02u
#define RSR_PHY 0x20u
#define RSR_DIS 0x40u
#define TSR_PTX 0x01u
#define TSR_CRS 0x10u
#define TCR_LB 0x06u
#define EE_UNLOCKED 0xc0u

enum { HEADER = 4, FCS = 4, FRAME_MIN = 60, FRAME_MAX = 1518, PAGE = 256, COUNTER_MAX = 192,
       AGAIN_NS = 50000 };

static void update_irq(Dp8390 *s)
{
    s->irq(s->opaque, (s->isr & s->imr & 0x7f) != 0);
}

static void raise_int(Dp8390 *s, unsigned bits)
{
    s->isr |= (uint8_t)bits;
    update_irq(s);
}

/* ---- the chip's memory ---- */

static uint8_t mem_get(const Dp8390 *s, uint16_t at)
{
    return at < DP8390_PROM ? s->prom[at] : at >> 14 == 1 ? s->ram[at & (DP8390_RAM - 1)] : 0xff;
}

static void mem_put(Dp8390 *s, uint16_t at, uint8_t val)
{
    if (at >> 14 == 1) {
        s->ram[at & (DP8390_RAM - 1)] = val;
    }
}

/* step - the address behind @at: the ring's first page follows its last ("Remote DMA", "Buffer Ring"). */
static uint16_t step(const Dp8390 *s, uint16_t at)
{
    at++;
    return at % PAGE == 0 && at / PAGE == s->pstop ? (uint16_t)(s->pstart * PAGE) : at;
}

/* ---- remote DMA ---- */

static void dma_done(Dp8390 *s)
{
    if (s->by_send) { /* "Send Packet": the packet has left the ring */
        s->by_send = false;
        s->bnry = s->send_next;
        net_accept(s->port);
    }
    raise_int(s, ISR_RDC);
}

static void dma_begin(Dp8390 *s, unsigned rd)
{
    s->by_send = false;
    s->crda = s->rsar;
    if (rd == CR_SEND) {
        uint16_t at = (uint16_t)(s->bnry * PAGE);

        s->by_send = true;
        s->crda = at;
        s->send_next = mem_get(s, (uint16_t)(at + 1));
        s->rbcr = (uint16_t)(mem_get(s, (uint16_t)(at + 2)) | mem_get(s, (uint16_t)(at + 3)) << 8);
    }
    if (s->rbcr == 0) {
        dma_done(s);
    }
}

static uint8_t dma_byte(Dp8390 *s, uint8_t val)
{
    unsigned rd = s->cmd & CR_RD;

    if (s->rbcr == 0) {
        return s->latch;
    }
    if (rd == CR_WRITE) {
        mem_put(s, s->crda, val);
    } else if (rd == CR_READ || rd == CR_SEND) {
        s->latch = mem_get(s, s->crda);
    } else {
        return s->latch;
    }
    s->crda = step(s, s->crda);
    if (--s->rbcr == 0) {
        dma_done(s);
    }
    return s->latch;
}

/* data - an access of the data port. With words, a byte's access takes a word as well. */
static uint32_t data(Dp8390 *s, uint32_t val, unsigned size)
{
    unsigned count = s->dcr & DCR_WTS ? MAX(size, 2u) : size;
    uint32_t got = 0;

    for (unsigned n = 0; n < count; n++) {
        got |= (uint32_t)dma_byte(s, (uint8_t)(val >> 8 * n)) << 8 * n;
    }
    return got;
}

/* ---- reception ---- */

static bool listening(const Dp8390 *s)
{
    return (s->cmd & (CR_STP | CR_STA)) == CR_STA && !(s->tcr & TCR_LB);
}

/* ring_free - pages of the ring that a frame may take; 0 as well when the registers make no ring. A BNRY outside of it
 * is never reached: drivers leave it one page before the first, which stands for the last. */
static unsigned ring_free(const Dp8390 *s)
{
    unsigned bnry = s->bnry < s->pstart || s->bnry >= s->pstop ? s->pstop - 1u : s->bnry;

    if (s->pstart >= s->pstop || s->curr < s->pstart || s->curr >= s->pstop) {
        return 0;
    }
    return s->curr < bnry ? bnry - s->curr : s->pstop - s->pstart - (s->curr - bnry);
}

/* unread - the ring holds something, whether a driver leaves BNRY at CURR or one page before it. */
static bool unread(const Dp8390 *s)
{
    unsigned room = ring_free(s);

    return s->port->head != NULL || (room != 0 && s->pstop - s->pstart - room > 1);
}

/* on_again - Frames come in bursts here, and Debian's driver takes ten, then acknowledges PRX for those as well that it
 * has not looked at: on the wire the next one would tell it. */
static void on_again(void *opaque)
{
    Dp8390 *s = opaque;

    if (listening(s) && unread(s)) {
        raise_int(s, ISR_PRX);
    }
}

static unsigned pages(size_t len)
{
    return (unsigned)((MAX(len, (size_t)FRAME_MIN) + HEADER + FCS + PAGE - 1) / PAGE);
}

bool dp8390_can_receive(void *opaque, size_t len)
{
    Dp8390 *s = opaque;

    /* what can never be stored is lost; else it waits for the driver to move BNRY */
    return !listening(s) || (s->rcr & RCR_MON) || len > FRAME_MAX || ring_free(s) == 0 ||
           pages(len) >= (unsigned)(s->pstop - s->pstart) || pages(len) < ring_free(s);
}

/* wanted - "Address Recognition Logic"; RSR's bits. 0: not for this station. */
static uint8_t wanted(const Dp8390 *s, const uint8_t *frame)
{
    unsigned hash;

    if (frame[0] & 1) {
        if (memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6) == 0) {
            return s->rcr & RCR_AB ? RSR_PRX | RSR_PHY : 0;
        }
        hash = nic_hash(frame);
        return (s->rcr & RCR_AM) && (s->mar[hash >> 3] >> (hash & 7) & 1) ? RSR_PRX | RSR_PHY : 0;
    }
    return (s->rcr & RCR_PRO) || memcmp(frame, s->par, 6) == 0 ? RSR_PRX : 0;
}

static void count_missed(Dp8390 *s)
{
    s->counter[2] = (uint8_t)MIN(s->counter[2] + 1, COUNTER_MAX);
    if (s->counter[2] & 0x80) {
        raise_int(s, ISR_CNT);
    }
}

void dp8390_receive(void *opaque, const uint8_t *frame, size_t len)
{
    Dp8390 *s = opaque;
    uint8_t head[HEADER], fcs[FCS], status = listening(s) && len <= FRAME_MAX ? wanted(s, frame) : 0;
    size_t full = MAX(len, (size_t)FRAME_MIN);
    unsigned next = s->curr + pages(len);
    static const uint8_t zero[FRAME_MIN];
    uint16_t at = (uint16_t)(s->curr * PAGE);
    uLong crc;

    if (status == 0) {
        return;
    }
    if (s->rcr & RCR_MON) { /* "Monitor Mode": looked at, not stored */
        s->rsr = status | RSR_DIS;
        count_missed(s);
        return;
    }
    if (pages(len) >= ring_free(s)) {
        count_missed(s);
        raise_int(s, ISR_OVW);
        return;
    }
    trace_dp8390_receive((unsigned)len, s->curr);
    next = next >= s->pstop ? next - (unsigned)(s->pstop - s->pstart) : next;
    head[0] = s->rsr = status;
    head[1] = (uint8_t)next;
    st_le16(head + 2, (uint16_t)(full + FCS));
    crc = crc32(crc32(0, frame, (unsigned)len), zero, (unsigned)(full - len));
    st_le32(fcs, (uint32_t)crc);
    for (size_t n = 0; n < HEADER + full + FCS; n++) {
        mem_put(s, at, n < HEADER ? head[n] : n < HEADER + len ? frame[n - HEADER] : n < HEADER + full ? 0
                       : fcs[n - HEADER - full]);
        at = step(s, at);
    }
    s->curr = (uint8_t)next;
    raise_int(s, ISR_PRX);
}

/* ---- transmission ---- */

/* loop_back - "Loopback Diagnostics": nothing is sent or stored; the FIFO keeps the end of what came back. The CRC
 * logic is busy with sending, so that reception ends with an error of it unless the frame brought its own. */
static void loop_back(Dp8390 *s, const uint8_t *frame, size_t len)
{
    static const uint8_t seen[4] = { 0, 0x53, 0x43, 0x03 }; /* TSR for each mode */
    bool own_crc = s->tcr & 1;
    uint32_t crc = (uint32_t)crc32(0, frame, (unsigned)len);
    size_t total = len + (own_crc ? 0 : FCS);

    s->fifo[0] = (uint8_t)total;
    s->fifo[1] = s->fifo[2] = (uint8_t)(total >> 8);
    s->fifo[3] = frame[len - 1 - (own_crc ? FCS : 0)];
    if (own_crc) {
        memcpy(s->fifo + 4, frame + len - FCS, FCS);
        crc = (uint32_t)crc32(0, frame, (unsigned)(len - FCS));
    } else {
        st_le32(s->fifo + 4, crc);
    }
    s->fifo_at = 0;
    s->tsr = seen[s->tcr >> 1 & 3];
    s->rsr = own_crc && ld_le32(s->fifo + 4) == crc ? RSR_PRX : RSR_CRC;
}

static void transmit(Dp8390 *s)
{
    uint8_t frame[FRAME_MAX + FCS];
    size_t len = MIN((size_t)s->tbcr, sizeof(frame));
    uint16_t at = (uint16_t)(s->tpsr * PAGE);

    for (size_t n = 0; n < len; n++) {
        frame[n] = mem_get(s, at++);
    }
    s->tsr = (uint8_t)(TSR_PTX | (net_link(s->port) ? 0 : TSR_CRS)); /* "Carrier Sense Lost" */
    if (len < NET_FRAME_MIN || s->tbcr > sizeof(frame)) {
        /* too short for an address, or the wire's jabber guard: nobody takes it */
    } else if (s->tcr & TCR_LB) {
        loop_back(s, frame, len);
    } else {
        size_t whole = s->tcr & 1 ? len - FCS : len; /* the driver appended the FCS itself */

        trace_dp8390_send((unsigned)whole);
        net_send(s->port, frame, whole);
    }
    raise_int(s, ISR_PTX);
}

/* ---- registers ---- */

static void write_cr(Dp8390 *s, uint8_t val)
{
    unsigned rd = val & CR_RD;

    if (!(val & (CR_STP | CR_STA))) {
        val |= s->cmd & (CR_STP | CR_STA); /* neither: it goes on as it is */
    }
    if (val & CR_STP) {
        s->isr |= ISR_RST;
    } else if (val & CR_STA) {
        s->isr &= (uint8_t)~ISR_RST;
    }
    s->cmd = val & (uint8_t)~CR_TXP;
    if (rd & CR_ABORT) {
        s->by_send = false;
    } else if (rd != 0) {
        dma_begin(s, rd);
    }
    if ((val & (CR_TXP | CR_STA | CR_STP)) == (CR_TXP | CR_STA)) {
        transmit(s);
    }
    update_irq(s);
    net_accept(s->port);
}

/* page3_read - "RTL8029AS: Register Table"; CONFIG0 tells twisted pair, CONFIG3 full duplex. */
static uint8_t page3_read(const Dp8390 *s, unsigned reg)
{
    switch (reg) {
    case 1:
        return s->config[0];
    case 3:
        return s->config[1];
    case 5:
    case 6:
        return s->config[reg - 3];
    case 14:
        return 0x29; /* 8029ASID0, 8029ASID1 */
    case 15:
        return 0x80;
    default:
        return 0xff;
    }
}

static uint8_t reg_read(Dp8390 *s, unsigned reg)
{
    uint8_t val;

    if (reg == CR) {
        return s->cmd;
    }
    switch (s->cmd >> 6) {
    case 1:
        return reg < P1_CURR ? s->par[reg - P1_PAR0] : reg == P1_CURR ? s->curr : s->mar[reg - P1_MAR0];
    case 2: /* "Page 2": what page 0 was written with */
        return reg == W0_PSTART ? s->pstart : reg == W0_PSTOP ? s->pstop : reg == W0_TPSR ? s->tpsr
               : reg == W0_RCR  ? s->rcr | 0xc0
               : reg == W0_TCR  ? s->tcr | 0xe0
               : reg == W0_DCR  ? s->dcr | 0x80
               : reg == W0_IMR  ? s->imr | 0x80
                                : 0xff;
    case 3:
        return s->realtek ? page3_read(s, reg) : 0xff;
    default:
        break;
    }
    switch (reg) {
    case P0_CLDA0:
        return 0;
    case P0_CLDA1:
        return s->curr;
    case P0_BNRY:
        return s->bnry;
    case P0_TSR:
        return s->tsr;
    case P0_NCR:
        return 0;
    case P0_FIFO:
        val = s->fifo[s->fifo_at];
        s->fifo_at = (uint8_t)((s->fifo_at + 1) % DP8390_FIFO);
        return val;
    case P0_ISR:
        return s->isr;
    case P0_CRDA0:
        return (uint8_t)s->crda;
    case P0_CRDA1:
        return (uint8_t)(s->crda >> 8);
    case P0_ID0: /* 8029ID0, 8029ID1 */
        return s->realtek ? 'P' : 0xff;
    case P0_ID1:
        return s->realtek ? 'C' : 0xff;
    case P0_RSR:
        return s->rsr;
    default: /* "cleared when read" */
        val = s->counter[reg - P0_CNTR0];
        s->counter[reg - P0_CNTR0] = 0;
        return val;
    }
}

static void page0_write(Dp8390 *s, unsigned reg, uint8_t val)
{
    switch (reg) {
    case W0_PSTART:
        s->pstart = val;
        break;
    case W0_PSTOP:
        s->pstop = val;
        break;
    case W0_BNRY:
        s->bnry = val;
        break;
    case W0_TPSR:
        s->tpsr = val;
        break;
    case W0_TBCR0:
        s->tbcr = (uint16_t)((s->tbcr & 0xff00) | val);
        break;
    case W0_TBCR1:
        s->tbcr = (uint16_t)((s->tbcr & 0x00ff) | val << 8);
        break;
    case W0_ISR: /* RST follows the command */
        s->isr &= (uint8_t)~(val & 0x7f);
        if ((val & ISR_PRX) && unread(s)) {
            timer_arm(&s->again, clock_now(CLK_VIRTUAL) + AGAIN_NS);
        }
        break;
    case W0_RSAR0:
        s->rsar = (uint16_t)((s->rsar & 0xff00) | val);
        break;
    case W0_RSAR1:
        s->rsar = (uint16_t)((s->rsar & 0x00ff) | val << 8);
        break;
    case W0_RBCR0:
        s->rbcr = (uint16_t)((s->rbcr & 0xff00) | val);
        break;
    case W0_RBCR1:
        s->rbcr = (uint16_t)((s->rbcr & 0x00ff) | val << 8);
        break;
    case W0_RCR:
        s->rcr = val & 0x3f;
        break;
    case W0_TCR:
        s->tcr = val & 0x1f;
        break;
    case W0_DCR:
        s->dcr = val & 0x7f;
        break;
    default:
        s->imr = val & 0x7f;
        break;
    }
    update_irq(s);
    net_accept(s->port);
}

static void reg_write(Dp8390 *s, unsigned reg, uint8_t val)
{
    trace_dp8390_write(s->cmd >> 6, reg, val);
    if (reg == CR) {
        write_cr(s, val);
        return;
    }
    switch (s->cmd >> 6) {
    case 0:
        page0_write(s, reg, val);
        break;
    case 1:
        if (reg < P1_CURR) {
            s->par[reg - P1_PAR0] = val;
        } else if (reg == P1_CURR) {
            s->curr = val;
        } else {
            s->mar[reg - P1_MAR0] = val;
        }
        net_accept(s->port);
        break;
    case 3:
        if (s->realtek && reg == 1) {
            s->config[0] = val & 0xce;
        } else if (s->realtek && (reg == 5 || reg == 6) && (s->config[0] & EE_UNLOCKED) == EE_UNLOCKED) {
            s->config[reg - 3] = val;
        }
        break;
    default:
        break;
    }
}

/* soft_reset - "Hardware Reset" and the port that does the same: what it does not name stays. */
static void soft_reset(Dp8390 *s)
{
    s->cmd = CR_ABORT | CR_STP;
    s->isr = (uint8_t)((s->isr & ~(ISR_PRX | ISR_PTX | ISR_RDC)) | ISR_RST);
    s->imr = 0;
    s->dcr &= 0x7d;
    s->tcr &= (uint8_t)~TCR_LB;
    s->by_send = false;
    s->rbcr = 0;
    timer_cancel(&s->again);
    update_irq(s);
}

uint64_t dp8390_read(void *opaque, uint64_t offset, unsigned size)
{
    Dp8390 *s = opaque;
    unsigned port = (unsigned)offset % DP8390_PORTS;
    uint32_t val = 0;

    if (port >= DATA && port < RESET) {
        return data(s, 0, size);
    }
    for (unsigned n = 0; n < size; n++) {
        unsigned at = (port + n) % DP8390_PORTS;

        if (at >= RESET) {
            soft_reset(s);
            val |= 0xffu << 8 * n;
        } else if (at < DATA) {
            val |= (uint32_t)reg_read(s, at) << 8 * n;
        }
    }
    return val;
}

void dp8390_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Dp8390 *s = opaque;
    unsigned port = (unsigned)offset % DP8390_PORTS;

    if (port >= DATA && port < RESET) {
        data(s, (uint32_t)val, size);
        return;
    }
    for (unsigned n = 0; n < size; n++) {
        if (port + n < DATA) { /* a write to the reset port ends what the read began */
            reg_write(s, port + n, (uint8_t)(val >> 8 * n));
        }
    }
}

/* ---- for the board ---- */

void dp8390_init(Dp8390 *s, const uint8_t mac[6])
{
    /* each byte twice, for the two halves of a word; 57h tells a card of 16 bits */
    for (unsigned n = 0; n < 16; n++) {
        s->prom[2 * n] = s->prom[2 * n + 1] = n < 6 ? mac[n] : n >= 14 ? 0x57 : 0;
    }
    timer_init(&s->again, CLK_VIRTUAL, on_again, s, &machine_lock_guard);
}

void dp8390_fini(Dp8390 *s)
{
    timer_cancel(&s->again);
}

void dp8390_reset(Dp8390 *s)
{
    memset(s, 0, offsetof(Dp8390, again));
    soft_reset(s);
}

void dp8390_post_load(Dp8390 *s)
{
    s->fifo_at %= DP8390_FIFO;
    update_irq(s);
}

const StateField dp8390_fields[] = {
    STATE_U8(Dp8390, cmd), STATE_U8(Dp8390, isr), STATE_U8(Dp8390, imr), STATE_U8(Dp8390, dcr), STATE_U8(Dp8390, rcr),
    STATE_U8(Dp8390, tcr), STATE_U8(Dp8390, tsr), STATE_U8(Dp8390, rsr), STATE_U8(Dp8390, pstart),
    STATE_U8(Dp8390, pstop), STATE_U8(Dp8390, bnry), STATE_U8(Dp8390, curr), STATE_U8(Dp8390, tpsr),
    STATE_U16(Dp8390, tbcr), STATE_U16(Dp8390, crda), STATE_U16(Dp8390, rbcr), STATE_U16(Dp8390, rsar),
    STATE_BOOL(Dp8390, by_send), STATE_U8(Dp8390, send_next), STATE_BYTES(Dp8390, par), STATE_BYTES(Dp8390, mar),
    STATE_BYTES(Dp8390, counter), STATE_BYTES(Dp8390, fifo), STATE_U8(Dp8390, fifo_at), STATE_BYTES(Dp8390, config),
    STATE_U8(Dp8390, latch), STATE_BYTES(Dp8390, ram),
    STATE_TIMER(Dp8390, again), STATE_END,
};
