/*
 * virtio-net: the device and its control queue. Source: VIRTIO 1.2, 5.1 "Network Device".
 */
#include "hw/virtio/virtio-net.h"

#include <string.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/lock.h"

enum { C_MAC = 0, C_STATUS = 6, C_LEN = 12, LINK_UP = 1 };       /* 5.1.4 */
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, ACK_OK = 0, ACK_ERR = 1 }; /* 5.1.6.5 */
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1, VLAN_ADD = 0, VLAN_DEL = 1 };
enum { QUEUE_SIZE = 256, CTRL_SIZE = 64 };

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
    uint8_t on;

    if (cmd >= RXF_COUNT || elem_read(e, 2, &on, 1) != 1) {
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
        if (elem_read(e, at, mac, 6) != 6) {
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

    if (cmd > VLAN_DEL || elem_read(e, 2, b, 2) != 2 || (vid = ld_le16(b)) > 4095) {
        return false;
    }
    if (cmd == VLAN_ADD) {
        s->vlans[vid / 8] |= (uint8_t)(1 << vid % 8);
    } else {
        s->vlans[vid / 8] &= (uint8_t)~(1 << vid % 8);
    }
    return true;
}

static bool command(VirtioNet *s, const VirtElem *e)
{
    uint8_t h[2];

    if (elem_read(e, 0, h, 2) != 2) {
        return false;
    }
    return h[0] == CLASS_RX    ? set_mode(s, e, h[1])
           : h[0] == CLASS_MAC ? set_mac(s, e, h[1])
                               : h[0] == CLASS_VLAN && set_vlan(s, e, h[1]);
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
static void tx_kick(VirtioNet *s)
{
    if (s->tx_by_timer && ++s->tx_kicks < s->tx_burst) {
        if (!timer_pending(&s->tx_timer)) {
            timer_arm(&s->tx_timer, clock_now(CLK_VIRTUAL) + s->tx_timer_ns);
        }
        return;
    }
    timer_cancel(&s->tx_timer);
    vnet_transmit(s);
}

static void on_tx_timer(void *opaque)
{
    vnet_transmit(opaque);
}

static void net_kick(VirtioDevice *d, VirtQueue *q)
{
    VirtioNet *s = net_of_virtio(d);

    switch (q->index) {
    case VNET_RX: net_accept(&s->nic.port); break;
    case VNET_TX: tx_kick(s); break;
    default: control(s, q); break;
    }
}

static void net_started(VirtioDevice *d, bool on)
{
    if (on) {
        net_accept(&net_of_virtio(d)->nic.port);
    }
}

static void set_link(VirtioNet *s)
{
    st_le16(s->virtio.config + C_STATUS, net_link(&s->nic.port) ? LINK_UP : 0);
}

static void net_dev_reset(VirtioDevice *d)
{
    VirtioNet *s = net_of_virtio(d);

    timer_cancel(&s->tx_timer);
    vnet_unstash(s, true);
    s->tx_waits = false;
    s->tx_kicks = 0;
    memset(s->rx_mode, 0, sizeof(s->rx_mode));
    s->rx_mode[RXF_PROMISC] = 1; /* until a driver says otherwise; older ones cannot */
    s->uni_count = s->multi_count = 0;
    s->uni_all = s->multi_all = 0;
    memset(s->vlans, 0, sizeof(s->vlans));
    memcpy(d->config + C_MAC, s->nic.mac, 6);
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

    if (s->tx_waits) {
        vnet_transmit(s);
    }
}

static void describe(void *opaque, FILE *out)
{
    nic_describe(&((VirtioNet *)opaque)->nic, "virtio-net-pci", out);
}

static const NetPortOps port_ops = {
    .can_receive = vnet_can_receive, .receive = vnet_receive, .can_send = on_can_send, .link_changed = on_link,
    .describe = describe,
};

/* ---- the device ---- */

static uint64_t features(const VirtioNet *s)
{
    const struct {
        bool on;
        unsigned bit;
    } all[] = {
        { true, NET_F_MAC },           { true, NET_F_STATUS },
        { s->csum, NET_F_CSUM },       { s->csum && s->tso4, NET_F_HOST_TSO4 },
        { s->csum && s->tso6, NET_F_HOST_TSO6 }, { s->mrg, NET_F_MRG_RXBUF },
        { s->ctrl_vq, NET_F_CTRL_VQ }, { s->ctrl_vq && s->ctrl_rx, NET_F_CTRL_RX },
        { s->ctrl_vq && s->ctrl_rx, NET_F_CTRL_RX_EXTRA }, { s->ctrl_vq && s->ctrl_vlan, NET_F_CTRL_VLAN },
        { s->ctrl_vq && s->ctrl_mac, NET_F_CTRL_MAC_ADDR },
    };
    uint64_t bits = 0;

    for (size_t n = 0; n < ARRAY_SIZE(all); n++) {
        bits |= all[n].on ? BIT64(all[n].bit) : 0;
    }
    return bits;
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
    if (!virtio_ids(d, VIRTIO_ID_NET, 0, &device, &revision, errp)) {
        return false;
    }
    timer_init(&s->tx_timer, CLK_VIRTUAL, on_tx_timer, s, &machine_lock_guard);
    if (!nic_plug(&s->nic, &d->pci, 0x1af4, device, revision, "pxe-virtio.rom", &port_ops, s, errp)) {
        return false;
    }
    virtio_init(d, &virtio_ops, features(s), C_LEN);
    virtio_add_queue(d, QUEUE_SIZE);
    virtio_add_queue(d, QUEUE_SIZE);
    if (s->ctrl_vq) {
        virtio_add_queue(d, CTRL_SIZE);
    }
    virtio_plug(d, VIRTIO_ID_NET);
    return true;
}

static void net_unrealize(Device *dev)
{
    VirtioNet *s = net_of(dev);

    virtio_unplug(&s->virtio);
    timer_cancel(&s->tx_timer);
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
    set_link(s);
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
    PROP_BOOL("mrg_rxbuf", VirtioNet, mrg, true, "a packet may take several of its buffers"),
    PROP_BOOL("ctrl_vq", VirtioNet, ctrl_vq, true, "a control queue"),
    PROP_BOOL("ctrl_rx", VirtioNet, ctrl_rx, true, "which says what is received"),
    PROP_BOOL("ctrl_vlan", VirtioNet, ctrl_vlan, true, "and of which VLANs"),
    PROP_BOOL("ctrl_mac_addr", VirtioNet, ctrl_mac, true, "and sets the address"),
    VIRTIO_PROPS(VirtioNet, 4),
    PCI_PROPS_AT(VirtioNet, virtio.pci, "pxe-virtio.rom"),
    PROP_END,
};

static const StateField net_fields[] = {
    STATE_STRUCT(VirtioNet, virtio, virtio_fields), STATE_BYTES(VirtioNet, rx_mode), STATE_U32(VirtioNet, uni_count),
    STATE_U32(VirtioNet, multi_count), STATE_U8(VirtioNet, uni_all), STATE_U8(VirtioNet, multi_all),
    STATE_BYTES(VirtioNet, macs), STATE_BYTES(VirtioNet, vlans), STATE_BOOL(VirtioNet, tx_waits),
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
