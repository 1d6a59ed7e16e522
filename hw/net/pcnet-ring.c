/*
 * PCnet-PCI II: the initialization block, descriptor rings, frames. Source: Am79C970A data sheet (headings quoted).
 *
 * Not modelled: look-ahead packets (LAPPEN), collisions and errors of the wire.
 */
#include "hw/net/pcnet.h"

#include <zlib.h>
#include "base/log.h"
#include "base/mem.h"
#include "hw/net/trace.h"

/* Descriptors as all software styles know them: the upper half of RMD1 and TMD1 of 32-bit ones. */
#define D_OWN 0x80000000u
#define D_ERR 0x40000000u
#define D_FCS 0x20000000u   /* transmit: ADD_FCS */
#define D_BUFF_RX 0x04000000u
#define D_STP 0x02000000u
#define D_ENP 0x01000000u
#define D_LTINT 0x10000000u /* transmit, with LTINTEN */
#define D_PAM 0x00400000u
#define D_LAFM 0x00200000u
#define D_BAM 0x00100000u
#define T2_BUFF 0x80000000u /* TMD2 */
#define T2_UFLO 0x40000000u
#define T2_LCAR 0x08000000u

enum { FRAME_MIN = 60, FRAME_MAX = 1518 + 4, BABBLE = 1518, TX_BUDGET = 64, BACKOFF_MAX = 4, RX_PARTS_MAX = 64,
       POLL_CLOCK_NS = 30 };

typedef struct Desc {
    uint64_t at;
    uint32_t addr, flags; /* flags: D_* */
    uint16_t size;        /* of the buffer */
    uint8_t raw[16];
} Desc;

static unsigned style(const Pcnet *s)
{
    return s->bcr[20] & 0xff;
}

static bool wide(const Pcnet *s)
{
    return style(s) != 0;
}

/* upper - "IADR": with 16-bit structures the highest byte of all addresses is CSR2's. */
static uint32_t upper(const Pcnet *s)
{
    return wide(s) ? 0 : (uint32_t)(s->csr[CSR_IADRH] & 0xff00) << 16;
}

static uint32_t csr32(const Pcnet *s, unsigned n)
{
    return s->csr[n] | (uint32_t)s->csr[n + 1] << 16;
}

static bool master(const Pcnet *s)
{
    return s->pci.config[PCI_COMMAND] & PCI_CMD_MASTER;
}

/* swap - "BSWP" turns the bytes of frames around, in words. */
static void swap(const Pcnet *s, uint8_t *p, size_t len)
{
    for (size_t n = 0; (s->csr[CSR_MASKS] & PCNET_BSWP) && n + 1 < len; n += 2) {
        uint8_t b = p[n];

        p[n] = p[n + 1];
        p[n + 1] = b;
    }
}

/* load - descriptor @n of the ring at CSR @base; false: it cannot be read ("MERR"). */
static bool load(Pcnet *s, unsigned base, unsigned n, Desc *d)
{
    unsigned size = wide(s) ? 16 : 8;
    uint32_t bcnt;

    d->at = csr32(s, base) + (uint64_t)n * size;
    if (!master(s) || !dma_read(d->at, d->raw, size)) {
        pcnet_raise(s, PCNET_MERR);
        return false;
    }
    if (!wide(s)) {
        d->addr = ld_le16(d->raw) | (uint32_t)d->raw[2] << 16 | upper(s);
        d->flags = (uint32_t)d->raw[3] << 24;
        bcnt = ld_le16(d->raw + 4);
    } else {
        d->addr = ld_le32(d->raw + (style(s) == 3 ? 8 : 0));
        d->flags = ld_le32(d->raw + 4) & 0xffff0000u;
        bcnt = ld_le32(d->raw + 4);
    }
    d->size = (uint16_t)(4096 - (bcnt & 0xfff)); /* two's complement */
    return true;
}

/* give_back - the descriptor's flags without OWN, after what @status is for: RMD2's length, TMD2's errors. */
static void give_back(Pcnet *s, Desc *d, uint32_t flags, uint32_t status, bool rx)
{
    flags &= ~D_OWN;
    if (!wide(s)) {
        st_le16(d->raw + 6, (uint16_t)(rx ? status : status >> 16));
        d->raw[3] = (uint8_t)(flags >> 24);
        dma_write(d->at + 6, d->raw + 6, 2);
        dma_write(d->at + 3, d->raw + 3, 1);
        return;
    }
    st_le32(d->raw, status);
    dma_write(d->at + (style(s) == 3 ? 0 : 8), d->raw, 4);
    st_le16(d->raw + 6, (uint16_t)(flags >> 16));
    dma_write(d->at + 6, d->raw + 6, 2); /* who sees it given back sees the rest */
}

/* ---- initialization ---- */

static uint16_t ring_length(unsigned code, unsigned max)
{
    return (uint16_t)(1u << MIN(code, max));
}

void pcnet_initialize(Pcnet *s)
{
    uint32_t at = csr32(s, CSR_IADRL), rx, tx;
    uint8_t b[28];
    bool w = wide(s);

    if (!master(s) || !dma_read(w ? at : (at & 0xffffff) | upper(s), b, w ? 28 : 24)) {
        pcnet_raise(s, PCNET_MERR);
        return;
    }
    s->csr[CSR_MODE] = ld_le16(b);
    if (w) {
        s->rx_len = ring_length(b[2] >> 4, 9);
        s->tx_len = ring_length(b[3] >> 4, 9);
        rx = ld_le32(b + 20);
        tx = ld_le32(b + 24);
    } else {
        s->rx_len = ring_length(b[19] >> 5, 7);
        s->tx_len = ring_length(b[23] >> 5, 7);
        rx = (ld_le32(b + 16) & 0xffffff) | upper(s);
        tx = (ld_le32(b + 20) & 0xffffff) | upper(s);
    }
    for (unsigned n = 0; n < 3; n++) {
        s->csr[CSR_PADR + n] = ld_le16(b + (w ? 4 : 2) + 2 * n);
    }
    for (unsigned n = 0; n < 4; n++) {
        s->csr[CSR_LADRF + n] = ld_le16(b + (w ? 12 : 8) + 2 * n);
    }
    s->csr[CSR_BADR] = (uint16_t)rx;
    s->csr[CSR_BADR + 1] = (uint16_t)(rx >> 16);
    s->csr[CSR_BADX] = (uint16_t)tx;
    s->csr[CSR_BADX + 1] = (uint16_t)(tx >> 16);
    s->rx_at = s->tx_at = 0;
    pcnet_raise(s, PCNET_IDON);
}

/* ---- transmission ---- */

static void take(Pcnet *s, const uint8_t *frame, size_t len);

static void forget(Pcnet *s)
{
    s->tx_begun = false;
    s->tx_bytes = 0;
}

/* send_frame - what was collected, "Transmit FCS Generation" and "Automatic Pad Generation" as asked for. */
static void send_frame(Pcnet *s)
{
    bool own_fcs = (s->csr[CSR_MODE] & PCNET_DXMTFCS) && !s->tx_add_fcs && !(s->csr[CSR_TEST] & PCNET_APAD_XMT);
    size_t len = s->tx_bytes - (own_fcs ? MIN(s->tx_bytes, (uint32_t)PCNET_FCS) : 0);

    if ((s->csr[CSR_TEST] & PCNET_APAD_XMT) && len < FRAME_MIN) {
        memset(s->tx_buf + len, 0, FRAME_MIN - len);
        len = FRAME_MIN;
    }
    if (len + PCNET_FCS > BABBLE) {
        pcnet_raise(s, PCNET_BABL); /* and it goes on */
    }
    if (len < NET_FRAME_MIN || len > FRAME_MAX) {
        return;
    }
    trace_pcnet_send((unsigned)len);
    if (s->csr[CSR_MODE] & PCNET_LOOP) {
        take(s, s->tx_buf, len);
    } else {
        net_send(&s->nic.port, s->tx_buf, len);
    }
}

static void next_tx(Pcnet *s)
{
    s->tx_at = s->tx_at + 1 >= s->tx_len ? 0 : (uint16_t)(s->tx_at + 1);
}

/* underflow - "BUFF": the frame's next buffer is not the controller's. */
static void underflow(Pcnet *s, Desc *d)
{
    give_back(s, d, d->flags | D_ERR, T2_BUFF | T2_UFLO, false);
    forget(s);
    next_tx(s);
    if (!(s->csr[CSR_MASKS] & PCNET_DXSUFLO)) {
        s->csr[0] &= (uint16_t)~PCNET_TXON;
    }
    pcnet_raise(s, PCNET_TINT);
}

/* one_tx - false when there is nothing to do. */
static bool one_tx(Pcnet *s)
{
    uint32_t part, status = 0;
    Desc d, next;

    if (!load(s, CSR_BADX, s->tx_at, &d) || !(d.flags & D_OWN)) {
        return false;
    }
    if (d.flags & D_STP) {
        forget(s);
        s->tx_begun = true;
        s->tx_add_fcs = d.flags & D_FCS;
        s->tx_wants_int = d.flags & D_LTINT;
    }
    if (!s->tx_begun) { /* no frame begins here: it is given back, and that is all */
        give_back(s, &d, d.flags, 0, false);
        next_tx(s);
        return true;
    }
    part = MIN(d.size, (uint32_t)PCNET_TX_MAX - s->tx_bytes);
    if (!dma_read(d.addr, s->tx_buf + s->tx_bytes, part)) {
        pcnet_raise(s, PCNET_MERR);
    }
    swap(s, s->tx_buf + s->tx_bytes, part);
    s->tx_bytes += part;
    if (!(d.flags & D_ENP)) {
        if (!load(s, CSR_BADX, s->tx_at + 1u >= s->tx_len ? 0 : s->tx_at + 1u, &next) || !(next.flags & D_OWN) ||
            s->tx_len == 1) {
            underflow(s, &d);
            return s->csr[0] & PCNET_TXON;
        }
        give_back(s, &d, d.flags, 0, false);
        next_tx(s);
        return true;
    }
    if (!net_link(&s->nic.port)) {
        status = T2_LCAR;
        d.flags |= D_ERR;
    }
    s->csr[CSR_TEST] |= PCNET_TXSTRT;
    send_frame(s);
    give_back(s, &d, d.flags, status, false);
    next_tx(s);
    if ((s->csr[CSR_EXT] & PCNET_LTINTEN) ? s->tx_wants_int
                                          : !(s->csr[CSR_EXT] & PCNET_TOKINTD) || (d.flags & D_ERR)) {
        pcnet_raise(s, PCNET_TINT);
    }
    forget(s);
    pcnet_update_irq(s);
    return true;
}

/* pcnet_schedule_poll - "Polling": each ring is looked at now and then. While nothing is found the time between doubles
 * up to 16 times what CSR47 says, so that an idle machine sleeps; a driver that never sets TDMD waits that much longer. */
void pcnet_schedule_poll(Pcnet *s)
{
    uint32_t ticks = 65536u - s->csr[CSR_POLLINT];
    bool tx = (s->csr[0] & PCNET_TXON) && !(s->csr[CSR_TEST] & PCNET_DPOLL);

    if ((!tx && s->nic.port.head == NULL) || (s->csr[CSR_EXT] & PCNET_SPND)) {
        return;
    }
    if (s->nic.port.head != NULL) {
        s->idle_polls = 0;
    }
    timer_arm(&s->poll, clock_now(CLK_VIRTUAL) +
                            ((int64_t)MAX(ticks, 1024u) * POLL_CLOCK_NS << MIN(s->idle_polls, (uint8_t)BACKOFF_MAX)));
}

void pcnet_transmit(Pcnet *s, bool polled)
{
    unsigned budget = TX_BUDGET;
    bool more = true, found = false;

    s->tx_stopped = false;
    if (!(s->csr[0] & PCNET_TXON) || (s->csr[CSR_EXT] & PCNET_SPND)) {
        return;
    }
    while (budget > 0 && more) {
        if (!s->tx_begun && !(s->csr[CSR_MODE] & PCNET_LOOP) && !net_can_send(&s->nic.port)) {
            s->tx_stopped = true;
            break;
        }
        more = one_tx(s);
        found = found || more;
        budget--;
    }
    s->idle_polls = found || !polled ? 0 : (uint8_t)MIN(s->idle_polls + 1, BACKOFF_MAX);
    if (more && !s->tx_stopped) {
        timer_arm(&s->poll, clock_now(CLK_VIRTUAL)); /* others want the machine too */
    } else {
        pcnet_schedule_poll(s);
    }
}

/* ---- reception ---- */

static bool listening(const Pcnet *s)
{
    return (s->csr[0] & PCNET_RXON) && !(s->csr[CSR_EXT] & PCNET_SPND);
}

bool pcnet_can_receive(void *opaque, size_t len)
{
    Pcnet *s = opaque;
    Desc d;

    if (!listening(s) || !master(s) || (s->csr[CSR_MODE] & PCNET_LOOP) || len > FRAME_MAX) {
        return true; /* and it is lost */
    }
    if (load(s, CSR_BADR, s->rx_at, &d) && (d.flags & D_OWN)) {
        return true;
    }
    if (!timer_pending(&s->poll)) { /* the driver says nothing when it gives buffers */
        timer_arm(&s->poll, clock_now(CLK_VIRTUAL) + (65536 - s->csr[CSR_POLLINT]) * (int64_t)POLL_CLOCK_NS);
    }
    return false;
}

/* wanted - "Address Matching"; the match as descriptors tell it, D_STP: promiscuous only. 0: not wanted. */
static uint32_t wanted(const Pcnet *s, const uint8_t *f)
{
    uint16_t mode = s->csr[CSR_MODE];
    unsigned hash;

    if (memcmp(f, "\xff\xff\xff\xff\xff\xff", 6) == 0) {
        return !(mode & PCNET_DRCVBC) ? D_BAM : mode & PCNET_PROM ? D_STP : 0;
    }
    if (f[0] & 1) {
        hash = (uint32_t)~crc32(0, f, 6) >> 26; /* "Logical Address Filter" */
        return s->csr[CSR_LADRF + hash / 16] >> hash % 16 & 1 ? D_LAFM : mode & PCNET_PROM ? D_STP : 0;
    }
    for (unsigned n = 0; n < 3; n++) {
        if (ld_le16(f + 2 * n) != s->csr[CSR_PADR + n]) {
            return mode & PCNET_PROM ? D_STP : 0;
        }
    }
    return !(mode & PCNET_DRCVPA) ? D_PAM : mode & PCNET_PROM ? D_STP : 0;
}

static void next_rx(Pcnet *s)
{
    s->rx_at = s->rx_at + 1 >= s->rx_len ? 0 : (uint16_t)(s->rx_at + 1);
}

static void count_missed(Pcnet *s)
{
    if (++s->csr[CSR_MFC] == 0) {
        s->csr[CSR_TEST] |= PCNET_MFCO;
    }
    pcnet_raise(s, PCNET_MISS);
}

/* store - into as many buffers as it takes, RX_PARTS_MAX at most: a driver with smaller ones gets the error of having
 * given too few. */
static void store(Pcnet *s, const uint8_t *data, size_t len, uint32_t match)
{
    size_t done = 0;
    uint32_t stp = D_STP;
    Desc d, next;

    if (!load(s, CSR_BADR, s->rx_at, &d) || !(d.flags & D_OWN)) {
        count_missed(s);
        return;
    }
    for (unsigned n = 0;; n++) {
        uint32_t part = (uint32_t)MIN(len - done, d.size);
        bool last = done + part == len;

        if (!dma_write(d.addr, data + done, part)) {
            pcnet_raise(s, PCNET_MERR);
        }
        done += part;
        next_rx(s);
        if (last) {
            give_back(s, &d, stp | D_ENP | (wide(s) ? match & ~D_STP : 0), (uint32_t)len, true);
            break;
        }
        if (n == RX_PARTS_MAX || s->rx_len == 1 || !load(s, CSR_BADR, s->rx_at, &next) || !(next.flags & D_OWN)) {
            give_back(s, &d, stp | D_ERR | D_BUFF_RX, 0, true);
            break;
        }
        give_back(s, &d, stp, 0, true);
        stp = 0;
        d = next;
    }
    pcnet_raise(s, PCNET_RINT);
}

static void take(Pcnet *s, const uint8_t *frame, size_t len)
{
    static uint8_t buf[FRAME_MAX + PCNET_FCS]; /* under the machine lock */
    uint32_t match = listening(s) && master(s) && len <= FRAME_MAX ? wanted(s, frame) : 0;
    uint16_t type = ld_be16(frame + 12);

    if (match == 0) {
        return;
    }
    trace_pcnet_receive((unsigned)len);
    memcpy(buf, frame, len);
    if (len < FRAME_MIN && !(s->csr[CSR_TEST2] & PCNET_RPA)) {
        memset(buf + len, 0, FRAME_MIN - len);
        len = FRAME_MIN;
    }
    if ((s->csr[CSR_TEST] & PCNET_ASTRP_RCV) && type < FRAME_MIN - NET_FRAME_MIN && len >= NET_FRAME_MIN + (size_t)type) {
        len = NET_FRAME_MIN + type; /* "Automatic Pad Stripping": padding and FCS */
    } else {
        st_le32(buf + len, (uint32_t)crc32(0, buf, (unsigned)len));
        len += PCNET_FCS;
    }
    swap(s, buf, len);
    store(s, buf, len, match);
}

void pcnet_receive(void *opaque, const uint8_t *frame, size_t len)
{
    Pcnet *s = opaque;

    if (!(s->csr[CSR_MODE] & PCNET_LOOP)) { /* "Loopback": the wire is not heard */
        take(s, frame, len);
    }
}
