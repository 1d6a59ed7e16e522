/*
 * virtio-net: inside. Source: VIRTIO 1.2, 5.1 "Network Device".
 */
#ifndef HW_VIRTIO_VIRTIO_NET_H
#define HW_VIRTIO_VIRTIO_NET_H

#include "hw/net/nic.h"
#include "hw/virtio/virtio.h"

/* 5.1.3, "Feature bits" */
enum { NET_F_CSUM = 0, NET_F_GUEST_CSUM = 1, NET_F_CTRL_GUEST_OFFLOADS = 2, NET_F_MTU = 3, NET_F_MAC = 5, NET_F_GSO = 6,
       NET_F_GUEST_TSO4 = 7, NET_F_GUEST_TSO6 = 8, NET_F_GUEST_ECN = 9, NET_F_GUEST_UFO = 10, NET_F_HOST_TSO4 = 11,
       NET_F_HOST_TSO6 = 12, NET_F_HOST_ECN = 13, NET_F_HOST_UFO = 14, NET_F_MRG_RXBUF = 15, NET_F_STATUS = 16,
       NET_F_CTRL_VQ = 17, NET_F_CTRL_RX = 18, NET_F_CTRL_VLAN = 19, NET_F_CTRL_RX_EXTRA = 20, NET_F_GUEST_ANNOUNCE = 21,
       NET_F_MQ = 22, NET_F_CTRL_MAC_ADDR = 23, NET_F_SPEED_DUPLEX = 63 };

/* Pairs of queues stand before the control queue: receiveq1, transmitq1, receiveq2, ... (5.1.2) */
enum { VNET_PAIRS = NET_QUEUES_MAX, VNET_MACS = 64, VNET_STASH = 64, VNET_PACKET_MAX = 65536 + 64 };

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
    uint16_t pairs;           /* that the driver uses */
    uint64_t guest_offloads;  /* feature bits of what it takes now */
    struct {
        VirtElem *e[VNET_STASH]; /* buffers of a receive queue that were taken for the next packets; not saved */
        unsigned count;
    } stash[VNET_PAIRS];
    /* what goes out */
    uint32_t tx_waits; /* a bit for each pair: the peer does not keep up, or the timer runs */
    uint32_t tx_kicks;
    Timer tx_timer, announce_timer;
    uint8_t packet[VNET_PACKET_MAX], segment[VNET_PACKET_MAX];
    /* properties */
    char *tx;
    uint32_t tx_timer_ns, tx_burst;
    uint16_t mtu, rx_size, tx_size;
    uint32_t speed;
    char *duplex;
    bool csum, gso, tso4, tso6, ecn, ufo, guest_csum, guest_tso4, guest_tso6, guest_ecn, guest_ufo, announce, mrg, status,
         ctrl_vq, ctrl_rx, ctrl_rx_extra, ctrl_vlan, ctrl_mac, ctrl_offloads, mq;
    /* constant after realize */
    bool tx_by_timer;
    uint16_t max_pairs;
} VirtioNet;

/* vnet_transmit - send what the driver has put into pair @n. vnet_transmit_all - into any. */
void vnet_transmit(VirtioNet *s, unsigned n);
void vnet_transmit_all(VirtioNet *s);
/* NetPortOps of the card. */
bool vnet_can_receive(void *opaque, size_t len);
void vnet_receive(void *opaque, const uint8_t *frame, size_t len);
bool vnet_receive_vnet(void *opaque, const uint8_t *h, const uint8_t *frame, size_t len);
/* vnet_unstash - give taken buffers back to the driver's side, or (@drop) forget them. */
void vnet_unstash(VirtioNet *s, bool drop);

#endif
