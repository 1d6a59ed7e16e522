/*
 * virtio-net: the device and its control queue. Source: VIRTIO 1.2, 5.1 "Network Device".
 */
#include "hw/virtio/virtio-net.h"

#include <string.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/lock.h"

/* 5.1.4 */
enum { C_MAC = 0, C_STATUS = 6, C_PAIRS = 8, C_MTU = 10, C_LEN = 12, C_SPEED = 12, C_DUPLEX = 16, C_LEN_SPEED = 20,
       LINK_UP = 1, ANNOUNCE = 2 };
/* 5.1.6.5 */
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_ANNOUNCE = 3, CLASS_MQ = 4, CLASS_OFFLOADS = 5, ACK_OK = 0,
       ACK_ERR = 1 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1, VLAN_ADD = 0, VLAN_DEL = 1 };
enum { QUEUE_SIZE = 256, CTRL_SIZE = 64 };
#define ANNOUNCE_NS (50 * NS_PER_MS)
#define OFFLOAD_BITS                                                                               \
    (BIT64(NET_F_GUEST_CSUM) | BIT64(NET_F_GUEST_TSO4) | BIT64(NET_F_GUEST_TSO6) | BIT64(NET_F_GUEST_ECN) |                \
     BIT64(NET_F_GUEST_UFO))

static VirtioNet *net_of(Device *dev)
{
    return container_of(dev, VirtioNet, virtio.pci.dev);
}

static VirtioNet *net_of_virtio(VirtioDevice *d)
{
    return container_of(d, VirtioNet, virtio);
}

/* ---- the control queue ---- */

static bool set_mode(VirtioNet *s, const VirtElem *e, unsigned cmd)
{
    unsigned extra = cmd > RXF_ALLMULTI ? NET_F_CTRL_RX_EXTRA : NET_F_CTRL_RX;
    uint8_t on;

    if (cmd >= RXF_COUNT || !virtio_has(&s->virtio, BIT64(extra)) || elem_read(e, 2, &on, 1) != 1) {
        return false;
    }
    s->rx_mode[cmd] = on != 0;
    return true;
}

/* take_table - a list of addresses at *@at, behind the @used ones of macs[]. */
static bool take_table(VirtioNet *s, const VirtElem *e, size_t *at, uint32_t used, uint32_t *count, uint8_t *all)
{
    uint8_t b[4];
    uint32_t n;

    if (elem_read(e, *at, b, 4) != 4) {
        return false;
    }
    n = ld_le32(b);
    *at += 4;
    if (n > (e->out_len - *at) / 6) {
        return false;
    }
    *all = n > VNET_MACS - used;
    *count = *all ? 0 : n;
    elem_read(e, *at, s->macs[used], 6ul * *count);
    *at += 6ul * n;
    return true;
}

static bool set_mac(VirtioNet *s, const VirtElem *e, unsigned cmd)
{
    size_t at = 2;
    uint8_t mac[6];

    if (cmd == MAC_ADDR_SET) {
        if (!virtio_has(&s->virtio, BIT64(NET_F_CTRL_MAC_ADDR)) || elem_read(e, at, mac, 6) != 6) {
            return false;
        }
        memcpy(s->virtio.config + C_MAC, mac, 6);
        return true;
    }
    return cmd == MAC_TABLE_SET && take_table(s, e, &at, 0, &s->uni_count, &s->uni_all) &&
           take_table(s, e, &at, s->uni_count, &s->multi_count, &s->multi_all);
}

static bool set_vlan(VirtioNet *s, const VirtElem *e, unsigned cmd)
{
    uint8_t b[2];
    unsigned vid;

    if (cmd > VLAN_DEL || !virtio_has(&s->virtio, BIT64(NET_F_CTRL_VLAN)) || elem_read(e, 2, b, 2) != 2 || (vid = ld_le16(b)) > 4095) {
        return false;
    }
    if (cmd == VLAN_ADD) {
        s->vlans[vid / 8] |= (uint8_t)(1 << vid % 8);
    } else {
        s->vlans[vid / 8] &= (uint8_t)~(1 << vid % 8);
    }
    return true;
}

/* 5.1.6.5.4: the driver has told where it is now. */
static bool announced(VirtioNet *s, unsigned cmd)
{
    uint16_t status = ld_le16(s->virtio.config + C_STATUS);

    if (cmd != 0 || !virtio_has(&s->virtio, BIT64(NET_F_GUEST_ANNOUNCE)) || !(status & ANNOUNCE)) {
        return false;
    }
    st_le16(s->virtio.config + C_STATUS, (uint16_t)(status & ~ANNOUNCE));
    return true;
}

/* 5.1.6.5.5: as many pairs are used from now on; the buffers of the others are given back. */
static bool set_pairs(VirtioNet *s, const VirtElem *e, unsigned cmd)
{
    uint8_t b[2];
    unsigned n;

    if (cmd != 0 || !virtio_has(&s->virtio, BIT64(NET_F_MQ)) || elem_read(e, 2, b, 2) != 2 || (n = ld_le16(b)) == 0 ||
        n > s->max_pairs) {
        return false;
    }
    vnet_unstash(s, false);
    s->pairs = (uint16_t)n;
    s->tx_waits &= (1u << n) - 1;
    vnet_transmit_all(s);
    return true;
}

/* offer_offloads - tell the peer what may come. */
static void offer_offloads(VirtioNet *s)
{
    static const unsigned bit[5] = { NET_F_GUEST_CSUM, NET_F_GUEST_TSO4, NET_F_GUEST_TSO6, NET_F_GUEST_ECN, NET_F_GUEST_UFO };
    unsigned offload = 0;

    for (unsigned n = 0; n < ARRAY_SIZE(bit); n++) {
        offload |= s->guest_offloads & BIT64(bit[n]) ? 1u << n : 0;
    }
    net_set_offload(&s->nic.port, offload);
}

/* 5.1.6.5.6.1: of those that were agreed on. */
static bool set_offloads(VirtioNet *s, const VirtElem *e, unsigned cmd)
{
    uint8_t b[8];
    uint64_t want;

    if (cmd != 0 || !virtio_has(&s->virtio, BIT64(NET_F_CTRL_GUEST_OFFLOADS)) || elem_read(e, 2, b, 8) != 8) {
        return false;
    }
    want = ld_le64(b);
    if (want & ~(s->virtio.guest_features & OFFLOAD_BITS)) {
        return false;
    }
    s->guest_offloads = want;
    offer_offloads(s);
    return true;
}

static bool command(VirtioNet *s, const VirtElem *e)
{
    uint8_t h[2];

    if (elem_read(e, 0, h, 2) != 2) {
        return false;
    }
    switch (h[0]) {
    case CLASS_RX: return set_mode(s, e, h[1]);
    case CLASS_MAC: return set_mac(s, e, h[1]);
    case CLASS_VLAN: return set_vlan(s, e, h[1]);
    case CLASS_ANNOUNCE: return announced(s, h[1]);
    case CLASS_MQ: return set_pairs(s, e, h[1]);
    case CLASS_OFFLOADS: return set_offloads(s, e, h[1]);
    default: return false;
    }
}

static void control(VirtioNet *s, VirtQueue *q)
{
    unsigned count = 0;
    VirtElem *e;

    do {
        if (count == VIRTIO_BATCH) {
            virtq_later(q);
            break;
        }
        while (count < VIRTIO_BATCH && (e = virtq_pop(q)) != NULL) {
            uint8_t ack = command(s, e) ? ACK_OK : ACK_ERR;

            virtq_push(e, (uint32_t)elem_write(e, 0, &ack, 1));
            virtq_notify(q);
            count++;
        }
    } while (virtq_wait(q));
    net_accept(&s->nic.port);
}

/* ---- queues ---- */

/* With tx=timer packets are collected: until it runs out, or there are as many as a burst. */
static void tx_kick(VirtioNet *s, unsigned pair)
{
    if (!s->tx_by_timer) {
        vnet_transmit(s, pair);
    } else if (++s->tx_kicks >= s->tx_burst) {
        timer_cancel(&s->tx_timer);
        vnet_transmit_all(s);
    } else if (!timer_pending(&s->tx_timer)) {
        timer_arm(&s->tx_timer, clock_now(CLK_VIRTUAL) + s->tx_timer_ns);
    }
}

static void on_tx_timer(void *opaque)
{
    vnet_transmit_all(opaque);
}

/* control_index - 5.1.2: behind all pairs, or behind the first when the driver knows no others. */
static unsigned control_index(const VirtioNet *s)
{
    return virtio_has(&s->virtio, BIT64(NET_F_MQ)) ? 2u * s->max_pairs : 2;
}

static void net_kick(VirtioDevice *d, VirtQueue *q)
{
    VirtioNet *s = net_of_virtio(d);

    if (q->index == control_index(s) && s->ctrl_vq) {
        control(s, q);
    } else if (q->index / 2u >= s->pairs) {
        return; /* one that is not in use */
    } else if (q->index & 1) {
        tx_kick(s, q->index / 2u);
    } else {
        net_accept(&s->nic.port);
    }
}

static void net_started(VirtioDevice *d, bool on)
{
    VirtioNet *s = net_of_virtio(d);

    if (on) {
        s->guest_offloads = d->guest_features & OFFLOAD_BITS;
        offer_offloads(s);
        net_accept(&s->nic.port);
    }
}

static void set_link(VirtioNet *s)
{
    uint16_t announce = ld_le16(s->virtio.config + C_STATUS) & ANNOUNCE;

    st_le16(s->virtio.config + C_STATUS, (uint16_t)((net_link(&s->nic.port) ? LINK_UP : 0) | announce));
}

static void net_dev_reset(VirtioDevice *d)
{
    VirtioNet *s = net_of_virtio(d);

    timer_cancel(&s->tx_timer);
    timer_cancel(&s->announce_timer);
    vnet_unstash(s, true);
    s->tx_waits = 0;
    s->tx_kicks = 0;
    s->pairs = 1;
    if (s->guest_offloads != 0) {
        s->guest_offloads = 0;
        offer_offloads(s);
    }
    memset(s->rx_mode, 0, sizeof(s->rx_mode));
    s->rx_mode[RXF_PROMISC] = 1; /* until a driver says otherwise; older ones cannot */
    s->uni_count = s->multi_count = 0;
    s->uni_all = s->multi_all = 0;
    memset(s->vlans, 0, sizeof(s->vlans));
    memcpy(d->config + C_MAC, s->nic.mac, 6);
    st_le16(d->config + C_STATUS, 0);
    set_link(s);
}

/* 5.1.4.1: a legacy driver sets its address there. */
static bool net_config_writable(VirtioDevice *d, unsigned offset, unsigned len)
{
    return !virtio_has(d, VIRTIO_F_VERSION_1 | BIT64(NET_F_CTRL_MAC_ADDR)) && offset + len <= 6;
}

static const VirtioOps virtio_ops = {
    .reset = net_dev_reset, .started = net_started, .kick = net_kick, .config_writable = net_config_writable,
};

/* ---- the port ---- */

static void on_link(void *opaque, bool up)
{
    VirtioNet *s = opaque;

    set_link(s);
    virtio_config_changed(&s->virtio);
}

static void on_can_send(void *opaque)
{
    VirtioNet *s = opaque;

    for (unsigned n = 0; n < s->pairs; n++) {
        if (s->tx_waits & 1u << n) {
            vnet_transmit(s, n);
        }
    }
}

/* on_announce - after the machine came from elsewhere: others must learn where its address is now. */
static void on_announce(void *opaque)
{
    VirtioNet *s = opaque;

    st_le16(s->virtio.config + C_STATUS, ld_le16(s->virtio.config + C_STATUS) | ANNOUNCE);
    virtio_config_changed(&s->virtio);
}

static void describe(void *opaque, FILE *out)
{
    nic_describe(&((VirtioNet *)opaque)->nic, "virtio-net-pci", out);
}

static const NetPortOps port_ops = {
    .can_receive = vnet_can_receive, .receive = vnet_receive, .receive_vnet = vnet_receive_vnet,
    .can_send = on_can_send, .link_changed = on_link,
    .describe = describe,
};

/* ---- the device ---- */

/* features - large packets for the guest, and UDP's from it, need a peer that knows them. */
static uint64_t features(VirtioNet *s)
{
    bool vnet = net_set_offload(&s->nic.port, 0), sums = s->nic.port.peer != NULL && s->nic.port.peer->sums_good;
    bool csum = s->guest_csum && (vnet || sums);
    const struct {
        bool on;
        unsigned bit;
    } all[] = {
        { true, NET_F_MAC },
        { s->status, NET_F_STATUS },
        { s->csum, NET_F_CSUM },
        { s->csum && s->gso, NET_F_GSO },
        { s->csum && s->tso4, NET_F_HOST_TSO4 },
        { s->csum && s->tso6, NET_F_HOST_TSO6 },
        { s->csum && s->ecn && (s->tso4 || s->tso6), NET_F_HOST_ECN },
        { s->csum && s->ufo && vnet, NET_F_HOST_UFO },
        { csum, NET_F_GUEST_CSUM },
        { csum && vnet && s->guest_tso4, NET_F_GUEST_TSO4 },
        { csum && vnet && s->guest_tso6, NET_F_GUEST_TSO6 },
        { csum && vnet && s->guest_ecn && (s->guest_tso4 || s->guest_tso6), NET_F_GUEST_ECN },
        { csum && vnet && s->guest_ufo, NET_F_GUEST_UFO },
        { s->mrg, NET_F_MRG_RXBUF },
        { s->mtu != 0, NET_F_MTU },
        { s->speed != UINT32_MAX || s->duplex != NULL, NET_F_SPEED_DUPLEX },
        { s->ctrl_vq, NET_F_CTRL_VQ },
        { s->ctrl_vq && s->ctrl_rx, NET_F_CTRL_RX },
        { s->ctrl_vq && s->ctrl_rx_extra, NET_F_CTRL_RX_EXTRA },
        { s->ctrl_vq && s->ctrl_vlan, NET_F_CTRL_VLAN },
        { s->ctrl_vq && s->ctrl_mac, NET_F_CTRL_MAC_ADDR },
        { s->ctrl_vq && s->ctrl_offloads && csum, NET_F_CTRL_GUEST_OFFLOADS },
        { s->ctrl_vq && s->announce && s->status, NET_F_GUEST_ANNOUNCE },
        { s->ctrl_vq && s->mq, NET_F_MQ },
    };
    uint64_t bits = 0;

    for (size_t n = 0; n < ARRAY_SIZE(all); n++) {
        bits |= all[n].on ? BIT64(all[n].bit) : 0;
    }
    return bits;
}

static bool size_ok(const char *name, unsigned size, Error **errp)
{
    if (size < 256 || size > VIRTIO_RING_MAX || (size & (size - 1)) != 0) {
        error_set(errp, "%s=%u: want a power of two from 256 to %d", name, size, VIRTIO_RING_MAX);
        return false;
    }
    return true;
}

/* check_props - what contradicts itself, or is of no known kind. */
static bool check_props(VirtioNet *s, Error **errp)
{
    if (s->duplex != NULL && strcmp(s->duplex, "half") != 0 && strcmp(s->duplex, "full") != 0) {
        error_set(errp, "duplex=%s: want half or full", s->duplex);
        return false;
    }
    if (s->mtu != 0 && s->mtu < 68) {
        error_set(errp, "host_mtu=%u: at least 68", s->mtu);
        return false;
    }
    if (s->mq && !s->ctrl_vq) {
        error_set(errp, "mq=on needs ctrl_vq=on");
        return false;
    }
    return size_ok("rx_queue_size", s->rx_size, errp) && size_ok("tx_queue_size", s->tx_size, errp);
}

/* add_queues - and what of config[] does not change. */
static void add_queues(VirtioNet *s)
{
    VirtioDevice *d = &s->virtio;

    for (unsigned n = 0; n < s->max_pairs; n++) {
        virtio_add_queue(d, s->rx_size);
        virtio_add_queue(d, s->tx_size);
    }
    if (s->ctrl_vq) {
        virtio_add_queue(d, CTRL_SIZE);
    }
    st_le16(d->config + C_PAIRS, s->max_pairs);
    st_le16(d->config + C_MTU, s->mtu);
    if (d->config_len > C_LEN) {
        st_le32(d->config + C_SPEED, s->speed);
        d->config[C_DUPLEX] = s->duplex == NULL ? 0xff : strcmp(s->duplex, "full") == 0;
    }
}

static bool net_realize(Device *dev, Error **errp)
{
    VirtioNet *s = net_of(dev);
    VirtioDevice *d = &s->virtio;
    uint16_t device;
    uint8_t revision;

    s->tx_by_timer = s->tx != NULL && strcmp(s->tx, "timer") == 0;
    if (s->tx != NULL && !s->tx_by_timer && strcmp(s->tx, "bh") != 0) {
        error_set(errp, "tx=%s: want bh or timer", s->tx);
        return false;
    }
    if (s->tx_burst == 0) {
        error_set(errp, "x-txburst=0: at least 1");
        return false;
    }
    if (!check_props(s, errp)) {
        return false;
    }
    s->max_pairs = s->mq ? net_queues(s->nic.netdev) : 1;
    if (d->vectors == UINT32_MAX) { /* one for each queue, one for the configuration, one to spare as it was always */
        d->vectors = s->mq ? 2u * s->max_pairs + 2 : 4;
    }
    if (!virtio_ids(d, VIRTIO_ID_NET, 0, &device, &revision, errp)) {
        return false;
    }
    timer_init(&s->tx_timer, CLK_VIRTUAL, on_tx_timer, s, &machine_lock_guard);
    timer_init(&s->announce_timer, CLK_VIRTUAL, on_announce, s, &machine_lock_guard);
    s->pairs = 1;
    if (!nic_plug(&s->nic, &d->pci, 0x1af4, device, revision, "pxe-virtio.rom", &port_ops, s, errp)) {
        return false;
    }
    virtio_init(d, &virtio_ops, features(s), s->speed != UINT32_MAX || s->duplex != NULL ? C_LEN_SPEED : C_LEN);
    add_queues(s);
    virtio_plug(d, VIRTIO_ID_NET);
    return true;
}

static void net_unrealize(Device *dev)
{
    VirtioNet *s = net_of(dev);

    virtio_unplug(&s->virtio);
    timer_cancel(&s->tx_timer);
    timer_cancel(&s->announce_timer);
    vnet_unstash(s, true);
    nic_unplug(&s->nic, &s->virtio.pci);
}

static void net_reset(Device *dev)
{
    virtio_reset(&net_of(dev)->virtio);
}

static void net_pre_save(Device *dev)
{
    vnet_unstash(net_of(dev), false);
}

static bool net_post_load(Device *dev, Error **errp)
{
    VirtioNet *s = net_of(dev);

    if (s->uni_count > VNET_MACS || s->multi_count > VNET_MACS - s->uni_count) {
        error_set(errp, "%s: more addresses than there are places", dev->id);
        return false;
    }
    if (s->pairs == 0 || s->pairs > s->max_pairs || (s->guest_offloads & ~OFFLOAD_BITS)) {
        error_set(errp, "%s: %u pairs of queues in use, of %u", dev->id, s->pairs, s->max_pairs);
        return false;
    }
    set_link(s);
    offer_offloads(s);
    if (virtio_has(&s->virtio, BIT64(NET_F_GUEST_ANNOUNCE))) {
        timer_arm(&s->announce_timer, clock_now(CLK_VIRTUAL) + ANNOUNCE_NS);
    }
    if (s->tx_waits) { /* that peer is another one now */
        timer_arm(&s->tx_timer, clock_now(CLK_VIRTUAL));
    }
    return virtio_post_load(&s->virtio, errp);
}

static const Property net_props[] = {
    NIC_PROPS(VirtioNet),
    PROP_STR("tx", VirtioNet, tx, "bh", "bh: send at once; timer: collect packets"),
    PROP_U32("x-txtimer", VirtioNet, tx_timer_ns, 150000, "ns, how long tx=timer collects"),
    PROP_U32("x-txburst", VirtioNet, tx_burst, 256, "kicks after which tx=timer sends"),
    PROP_BOOL("csum", VirtioNet, csum, true, "the guest may leave sums out"),
    PROP_BOOL("host_tso4", VirtioNet, tso4, true, "and send large TCP packets over IPv4"),
    PROP_BOOL("host_tso6", VirtioNet, tso6, true, "and over IPv6"),
    PROP_BOOL("gso", VirtioNet, gso, true, "for drivers of before 1.0"),
    PROP_BOOL("host_ecn", VirtioNet, ecn, true, "also those with ECN"),
    PROP_BOOL("host_ufo", VirtioNet, ufo, true, "and large UDP packets, if the back end takes them"),
    PROP_BOOL("guest_csum", VirtioNet, guest_csum, true, "the guest takes packets whose sums are to be made"),
    PROP_BOOL("guest_tso4", VirtioNet, guest_tso4, true, "and large TCP packets over IPv4, if the back end has them"),
    PROP_BOOL("guest_tso6", VirtioNet, guest_tso6, true, "and over IPv6"),
    PROP_BOOL("guest_ecn", VirtioNet, guest_ecn, true, "also those with ECN"),
    PROP_BOOL("guest_ufo", VirtioNet, guest_ufo, true, "and large UDP packets"),
    PROP_BOOL("guest_announce", VirtioNet, announce, true, "it tells the network where it is after a migration"),
    PROP_BOOL("status", VirtioNet, status, true, "it sees whether there is a link"),
    PROP_BOOL("ctrl_guest_offloads", VirtioNet, ctrl_offloads, true, "it changes those while it runs"),
    PROP_BOOL("ctrl_rx_extra", VirtioNet, ctrl_rx_extra, true, "more modes of reception"),
    PROP_BOOL("mq", VirtioNet, mq, false, "as many pairs of queues as the back end has"),
    PROP_U16("rx_queue_size", VirtioNet, rx_size, QUEUE_SIZE, "buffers of a receive queue"),
    PROP_U16("tx_queue_size", VirtioNet, tx_size, QUEUE_SIZE, "buffers of a transmit queue"),
    PROP_U16("host_mtu", VirtioNet, mtu, 0, "the MTU that the guest is told; 0: none"),
    PROP_U32("speed", VirtioNet, speed, UINT32_MAX, "Mb/s that the guest is told"),
    PROP_STR("duplex", VirtioNet, duplex, NULL, "half or full, that the guest is told"),
    PROP_BOOL("mrg_rxbuf", VirtioNet, mrg, true, "a packet may take several of its buffers"),
    PROP_BOOL("ctrl_vq", VirtioNet, ctrl_vq, true, "a control queue"),
    PROP_BOOL("ctrl_rx", VirtioNet, ctrl_rx, true, "which says what is received"),
    PROP_BOOL("ctrl_vlan", VirtioNet, ctrl_vlan, true, "and of which VLANs"),
    PROP_BOOL("ctrl_mac_addr", VirtioNet, ctrl_mac, true, "and sets the address"),
    VIRTIO_PROPS(VirtioNet, UINT32_MAX),
    PCI_PROPS_AT(VirtioNet, virtio.pci, "pxe-virtio.rom"),
    PROP_END,
};

static const StateField net_fields[] = {
    STATE_STRUCT(VirtioNet, virtio, virtio_fields), STATE_BYTES(VirtioNet, rx_mode), STATE_U32(VirtioNet, uni_count),
    STATE_U32(VirtioNet, multi_count), STATE_U8(VirtioNet, uni_all), STATE_U8(VirtioNet, multi_all),
    STATE_BYTES(VirtioNet, macs), STATE_BYTES(VirtioNet, vlans), STATE_U32(VirtioNet, tx_waits), STATE_U16(VirtioNet, pairs),
    STATE_U64(VirtioNet, guest_offloads), STATE_TIMER(VirtioNet, announce_timer),
    STATE_U32(VirtioNet, tx_kicks), STATE_TIMER(VirtioNet, tx_timer), STATE_END,
};

extern const DeviceClass virtio_net_class;
const DeviceClass virtio_net_class = {
    .name = "virtio-net-pci",
    .alias = "virtio-net",
    .desc = "virtio network card",
    .size = sizeof(VirtioNet),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = net_props,
    .fields = net_fields,
    .realize = net_realize,
    .unrealize = net_unrealize,
    .reset = net_reset,
    .pre_save = net_pre_save,
    .post_load = net_post_load,
};
