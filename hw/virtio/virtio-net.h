/*
 * virtio-net: inside. Source: VIRTIO 1.2, 5.1 "Network Device".
 */
#ifndef HW_VIRTIO_VIRTIO_NET_H
#define HW_VIRTIO_VIRTIO_NET_H

#include "hw/net/nic.h"
#include "hw/virtio/virtio.h"

/* 5.1.3, "Feature bits" */
enum { NET_F_CSUM = 0, NET_F_MAC = 5, NET_F_HOST_TSO4 = 11, NET_F_HOST_TSO6 = 12,
       NET_F_MRG_RXBUF = 15, NET_F_STATUS = 16, NET_F_CTRL_VQ = 17, NET_F_CTRL_RX = 18, NET_F_CTRL_VLAN = 19,
       NET_F_CTRL_RX_EXTRA = 20, NET_F_CTRL_MAC_ADDR = 23 };

enum { VNET_RX = 0, VNET_TX = 1, VNET_CTRL = 2, VNET_MACS = 64, VNET_STASH = 64, VNET_PACKET_MAX = 65536 + 64 };

/* 5.1.6.5.1, "Packet Receive Filtering" */
enum { RXF_PROMISC, RXF_ALLMULTI, RXF_ALLUNI, RXF_NOMULTI, RXF_NOUNI, RXF_NOBCAST, RXF_COUNT };

typedef struct VirtioNet {
    VirtioDevice virtio; /* first member */
    Nic nic;
    /* what comes in */
    uint8_t rx_mode[RXF_COUNT];
    uint32_t uni_count, multi_count; /* of macs[]; the others stand behind */
    uint8_t uni_all, multi_all;      /* there were too many */
    uint8_t macs[VNET_MACS][6];
    uint8_t vlans[4096 / 8];
    VirtElem *stash[VNET_STASH]; /* buffers that were taken for the next packets; not saved */
    unsigned stash_count;
    /* what goes out */
    bool tx_waits;   /* the peer does not keep up, or the timer runs */
    uint32_t tx_kicks;
    Timer tx_timer;
    uint8_t packet[VNET_PACKET_MAX], segment[VNET_PACKET_MAX];
    /* properties */
    char *tx;
    uint32_t tx_timer_ns, tx_burst, mtu;
    bool csum, tso4, tso6, mrg, ctrl_vq, ctrl_rx, ctrl_vlan, ctrl_mac;
    bool tx_by_timer; /* constant after realize */
} VirtioNet;

/* vnet_transmit - send what the driver has put in. */
void vnet_transmit(VirtioNet *s);
/* NetPortOps of the card. */
bool vnet_can_receive(void *opaque, size_t len);
void vnet_receive(void *opaque, const uint8_t *frame, size_t len);
/* vnet_unstash - give taken buffers back to the driver's side, or (@drop) forget them. */
void vnet_unstash(VirtioNet *s, bool drop);

#endif
