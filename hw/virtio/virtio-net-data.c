/*
 * virtio-net: packets. Source: VIRTIO 1.2, 5.1.6 "Device Operation".
 *
 * The networks behind take whole frames: sums are made and packets cut into segments here, and what comes in is not
 * marked.
 */
#include "hw/virtio/virtio-net.h"

#include <string.h>
#include "base/log.h"
#include "base/mem.h"

enum { H_FLAGS = 0, H_GSO = 1, H_GSO_SIZE = 4, H_CSUM_START = 6, H_CSUM_OFFSET = 8, H_BUFFERS = 10, H_SHORT = 10,
       H_LONG = 12 };
enum { NEEDS_CSUM = 1, DATA_VALID = 2 };
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_UDP = 3, GSO_TCPV6 = 4, GSO_ECN = 0x80 };
enum { ETH_HEADER = 14, VLAN_TAG = 4, MSS_MIN = 8, TCP_MIN = 20 };

/* header - 5.1.6: a legacy driver's has no number of buffers, unless they are merged. */
static unsigned header(const VirtioNet *s)
{
    return virtio_has(&s->virtio, VIRTIO_F_VERSION_1 | BIT64(NET_F_MRG_RXBUF)) ? H_LONG : H_SHORT;
}

/* ---- out ---- */

static void send_segment(void *opaque, uint8_t *frame, size_t len)
{
    VirtioNet *s = opaque;

    net_send(&s->nic.port, frame, len);
}

/* ip_at - where the IP header is: behind a VLAN's tag, if there is one. */
static size_t ip_at(const uint8_t *frame, size_t len)
{
    return len > ETH_HEADER + VLAN_TAG && ld_be16(frame + 12) == 0x8100 ? ETH_HEADER + VLAN_TAG : ETH_HEADER;
}

/* send_segments - 5.1.6.2: a large TCP packet, by the header in front of it. */
static bool send_segments(VirtioNet *s, const uint8_t *h, uint8_t *frame, size_t len)
{
    size_t ip = ip_at(frame, len), l4 = ld_le16(h + H_CSUM_START), mss = ld_le16(h + H_GSO_SIZE);
    bool v4 = (h[H_GSO] & ~GSO_ECN) == GSO_TCPV4;
    size_t fixed = v4 ? 20 : 40;
    InetTso t = { .frame = frame, .len = len, .ip = ip, .l4 = l4, .mss = mss, .v4 = v4, .tcp = true,
                  .ip_sum = ip + 10, .ip_end = l4 - 1, .l4_sum = l4 + 16, .sum_ip = v4, .sum_l4 = true };

    if (!(h[H_FLAGS] & NEEDS_CSUM) || mss < MSS_MIN || l4 < ip + fixed || l4 + TCP_MIN > len) {
        return false;
    }
    t.header = l4 + 4u * (frame[l4 + 12] >> 4);
    if (t.header < l4 + TCP_MIN || t.header > len || t.header + mss > sizeof(s->segment)) {
        return false;
    }
    if (v4) {
        st_be16(frame + t.ip_sum, 0); /* the driver's is the whole packet's */
    }
    /* so is the length in the sum that it put in TCP's place */
    t.l4_seed = inet_fold(inet_sum(frame + ip + (v4 ? 12 : 8), v4 ? 8 : 32, 6));
    inet_segment(&t, s->segment, send_segment, s);
    return true;
}

static bool send_packet(VirtioNet *s, const uint8_t *h, uint8_t *frame, size_t len)
{
    size_t start = ld_le16(h + H_CSUM_START);

    if (((h[H_FLAGS] & NEEDS_CSUM) || h[H_GSO] == GSO_UDP) && net_send_vnet(&s->nic.port, h, frame, len)) {
        return true; /* the peer does the rest */
    }
    switch (h[H_GSO] & ~GSO_ECN) {
    case GSO_TCPV4:
    case GSO_TCPV6:
        return send_segments(s, h, frame, len);
    case GSO_NONE:
        if (h[H_FLAGS] & NEEDS_CSUM) {
            if (start + ld_le16(h + H_CSUM_OFFSET) + 2 > len) {
                return false;
            }
            inet_put_sum(frame, len, start, 0, start + ld_le16(h + H_CSUM_OFFSET));
        }
        net_send(&s->nic.port, frame, len);
        return true;
    default:
        return false;
    }
}

/* send_chain - the packet in @e; what is no packet is dropped. */
static void send_chain(VirtioNet *s, const VirtElem *e)
{
    unsigned head = header(s);
    uint8_t h[H_LONG] = { 0 };
    size_t len = e->out_len - MIN(e->out_len, head);

    if (len < NET_FRAME_MIN || len > sizeof(s->packet) || elem_read(e, 0, h, head) != head ||
        elem_read(e, head, s->packet, len) != len || !send_packet(s, h, s->packet, len)) {
        log_guest("%s: a packet of %zu bytes that cannot be sent", s->virtio.pci.dev.id, len);
    }
}

void vnet_transmit(VirtioNet *s, unsigned n)
{
    VirtQueue *q = &s->virtio.queues[2 * n + 1];
    unsigned sent = 0;
    VirtElem *e;

    s->tx_waits &= ~(1u << n);
    s->tx_kicks = 0;
    s->nic.port.queue = n;
    virtq_quiet(q);
    do {
        while (sent < VIRTIO_BATCH && net_can_send(&s->nic.port) && (e = virtq_pop(q)) != NULL) {
            send_chain(s, e);
            virtq_push(e, 0);
            sent++;
        }
        if (sent == VIRTIO_BATCH) { /* others want the machine too */
            timer_arm(&s->tx_timer, clock_now(CLK_VIRTUAL));
        }
        if (sent == VIRTIO_BATCH || !net_can_send(&s->nic.port)) { /* can_send() comes when the peer keeps up again */
            s->tx_waits |= 1u << n;
            break;
        }
    } while (virtq_wait(q));
    if (sent > 0) {
        virtq_notify(q);
    }
}

void vnet_transmit_all(VirtioNet *s)
{
    for (unsigned n = 0; n < s->pairs; n++) {
        vnet_transmit(s, n);
    }
}

/* ---- in ---- */

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 6) == 0;
}

/* wanted - 5.1.6.5.1 and 5.1.6.5.3: whether the driver wants a frame. */
static bool wanted(const VirtioNet *s, const uint8_t *f)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    unsigned first = f[0] & 1 ? s->uni_count : 0, count = f[0] & 1 ? s->multi_count : s->uni_count;

    if (s->rx_mode[RXF_PROMISC]) {
        return true;
    }
    if (virtio_has(&s->virtio, BIT64(NET_F_CTRL_VLAN)) && ld_be16(f + 12) == 0x8100) {
        unsigned vid = ld_be16(f + 14) & 0xfff;

        if (!(s->vlans[vid / 8] >> (vid % 8) & 1)) {
            return false;
        }
    }
    if (same(f, broadcast)) {
        return !s->rx_mode[RXF_NOBCAST];
    }
    if (f[0] & 1 ? s->rx_mode[RXF_NOMULTI] : s->rx_mode[RXF_NOUNI]) {
        return false;
    }
    if (f[0] & 1 ? s->rx_mode[RXF_ALLMULTI] || s->multi_all
                 : s->rx_mode[RXF_ALLUNI] || s->uni_all || same(f, s->virtio.config)) {
        return true;
    }
    for (unsigned n = 0; n < count; n++) {
        if (same(f, s->macs[first + n])) {
            return true;
        }
    }
    return false;
}

void vnet_unstash(VirtioNet *s, bool drop)
{
    for (unsigned n = 0; n < VNET_PAIRS; n++) {
        while (s->stash[n].count > 0) {
            VirtElem *e = s->stash[n].e[--s->stash[n].count];

            if (drop) {
                virtq_drop(e);
            } else {
                virtq_unpop(e);
            }
        }
    }
}

/* pair_of - the receive queue for what the peer sends. */
static unsigned pair_of(const VirtioNet *s)
{
    return s->nic.port.peer != NULL ? s->nic.port.peer->queue % s->pairs : 0;
}

/* take_buffers - have room for @len bytes in the stash: in one chain, or in several that are merged. */
static bool take_buffers(VirtioNet *s, unsigned pair, size_t len)
{
    VirtQueue *q = &s->virtio.queues[2 * pair];
    bool merge = virtio_has(&s->virtio, BIT64(NET_F_MRG_RXBUF));
    size_t room = 0;

    for (unsigned n = 0; n < (merge ? VNET_STASH : 1); n++) {
        if (n == s->stash[pair].count) {
            VirtElem *e = virtq_pop(q);

            if (e == NULL && (!virtq_wait(q) || (e = virtq_pop(q)) == NULL)) {
                return false;
            }
            s->stash[pair].e[s->stash[pair].count++] = e;
        }
        room += s->stash[pair].e[n]->in_len;
        if (room >= len) {
            virtq_quiet(q);
            return true;
        }
    }
    return s->stash[pair].count > 0; /* it does not fit at all: dropped by vnet_receive() */
}

bool vnet_can_receive(void *opaque, size_t len)
{
    VirtioNet *s = opaque;

    return virtio_running(&s->virtio) ? take_buffers(s, pair_of(s), len + header(s)) : true; /* dropped */
}

/* fill - chains of the stash with @h and @frame, as many as it takes; how many, 0: they do not fit. */
static unsigned fill(VirtioNet *s, unsigned pair, const uint8_t *h, unsigned head, const uint8_t *frame, size_t len,
                     uint32_t *written)
{
    size_t done = 0;
    unsigned n = 0;

    while (done < len && n < s->stash[pair].count) {
        const VirtElem *e = s->stash[pair].e[n];
        size_t at = n == 0 ? elem_write(e, 0, h, head) : 0, part = MIN(len - done, e->in_len - MIN(at, e->in_len));

        part = elem_write(e, at, frame + done, part);
        written[n++] = (uint32_t)(at + part);
        done += part;
        if (part == 0) {
            return 0;
        }
    }
    return done == len ? n : 0;
}

/* receive - @given: virtio's header of 10 bytes. */
static void receive(VirtioNet *s, const uint8_t *given, const uint8_t *frame, size_t len)
{
    uint8_t h[H_LONG] = { 0 }, buffers[2];
    uint32_t written[VNET_STASH];
    unsigned head = header(s), pair = pair_of(s), count;
    VirtQueue *q = &s->virtio.queues[2 * pair];

    if (!virtio_running(&s->virtio) || !wanted(s, frame) || !take_buffers(s, pair, len + head)) {
        return;
    }
    memcpy(h, given, H_SHORT);
    h[H_FLAGS] &= s->guest_offloads & BIT64(NET_F_GUEST_CSUM) ? NEEDS_CSUM | DATA_VALID : 0;
    st_le16(h + H_BUFFERS, 1);
    count = fill(s, pair, h, head, frame, len, written);
    if (count == 0) {
        log_guest("%s: a packet of %zu bytes does not fit into a buffer", s->virtio.pci.dev.id, len);
        return;
    }
    if (count > 1) {
        st_le16(buffers, (uint16_t)count);
        elem_write(s->stash[pair].e[0], H_BUFFERS, buffers, sizeof(buffers));
    }
    virtq_push_all(s->stash[pair].e, written, count);
    s->stash[pair].count -= count;
    memmove(s->stash[pair].e, s->stash[pair].e + count, s->stash[pair].count * sizeof(s->stash[pair].e[0]));
    virtq_notify(q);
}

void vnet_receive(void *opaque, const uint8_t *frame, size_t len)
{
    VirtioNet *s = opaque;
    uint8_t h[H_SHORT] = { 0 };

    /* 5.1.6.4: who made the sums is in this process, so they are right; only a modern driver knows that flag */
    if (virtio_has(&s->virtio, VIRTIO_F_VERSION_1) && (s->guest_offloads & BIT64(NET_F_GUEST_CSUM)) &&
        s->nic.port.peer != NULL && s->nic.port.peer->sums_good) {
        h[H_FLAGS] = DATA_VALID;
    }
    receive(s, h, frame, len);
}

/* vnet_receive_vnet - what the driver takes, and a header whose offsets are in the packet: drivers trust the device. */
bool vnet_receive_vnet(void *opaque, const uint8_t *h, const uint8_t *frame, size_t len)
{
    static const uint8_t bit[8] = { 0, NET_F_GUEST_TSO4, 0, NET_F_GUEST_UFO, NET_F_GUEST_TSO6, 0, 0, 0 };
    VirtioNet *s = opaque;
    unsigned gso = h[H_GSO] & ~GSO_ECN;

    if ((h[H_FLAGS] & NEEDS_CSUM) && (!(s->guest_offloads & BIT64(NET_F_GUEST_CSUM)) ||
                                      (size_t)ld_le16(h + H_CSUM_START) + ld_le16(h + H_CSUM_OFFSET) + 2 > len)) {
        return false;
    }
    if (gso != GSO_NONE && (gso > 7 || bit[gso] == 0 || !(s->guest_offloads & BIT64(bit[gso])))) {
        return false;
    }
    if ((h[H_GSO] & GSO_ECN) && !(s->guest_offloads & BIT64(NET_F_GUEST_ECN))) {
        return false;
    }
    receive(s, h, frame, len);
    return true;
}
