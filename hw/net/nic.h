/*
 * What network cards share: their port, address and properties.
 */
#ifndef HW_NET_NIC_H
#define HW_NET_NIC_H

#include "hw/pci/pci.h"
#include "net/net.h"

typedef struct Nic {
    NetPort port;
    char *netdev, *mac_text; /* properties */
    uint32_t bootindex;
    uint8_t mac[6]; /* as bought; constant after realize */
} Nic;

#define NIC_BOOT_NONE UINT32_MAX
#define NIC_PROPS(S)                                                                               \
    PROP_STR("netdev", S, nic.netdev, NULL, "the -netdev that it is plugged into"),                \
    PROP_STR("mac", S, nic.mac_text, NULL, "its address; else made of the machine's name or uuid"), \
    PROP_U32("bootindex", S, nic.bootindex, NIC_BOOT_NONE, "place in the firmware's boot order")

/* nic_init - take the netdev= and mac= of @dev, which is @nic, and give it a port. Firmware knows it as @path, which is
 * copied. nic_fini mirrors it. */
bool nic_init(Nic *nic, Device *dev, const char *path, const NetPortOps *ops, void *opaque, struct Error **errp);
void nic_fini(Nic *nic, Device *dev);
/* nic_plug - pci_plug() of a card, whose ROM may be missing when it is the usual one, @rom; then nic_init(). */
bool nic_plug(Nic *nic, PciDevice *d, uint16_t vendor, uint16_t device, uint8_t revision, const char *rom,
              const NetPortOps *ops, void *opaque, struct Error **errp);
/* nic_unplug - mirrors it; the card is gone from its bus. */
void nic_unplug(Nic *nic, PciDevice *d);

/* nic_describe - for NetPortOps. */
void nic_describe(const Nic *nic, const char *model, FILE *out);

/* nic_hash - where a group's address stands in a hash table of 64 bits: the upper six bits of its CRC, whose most
 * significant bit comes first (RTL8139, DP8390). */
unsigned nic_hash(const uint8_t mac[6]);

/* ---- arithmetic of Internet checksums (RFC 1071) ---- */

/* inet_sum - the sum of big-endian 16-bit words from @p, an odd byte at the end as if followed by 0, not yet
 * folded, added to @sum. inet_fold - to 16 bits, not complemented. */
uint64_t inet_sum(const uint8_t *p, size_t len, uint64_t sum);
uint16_t inet_fold(uint64_t sum);

static inline uint16_t ld_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline void st_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline uint32_t ld_be32(const uint8_t *p)
{
    return (uint32_t)ld_be16(p) << 16 | ld_be16(p + 2);
}
static inline void st_be32(uint8_t *p, uint32_t v)
{
    st_be16(p, (uint16_t)(v >> 16));
    st_be16(p + 2, (uint16_t)v);
}

/* inet_check - what a receiving card can say of a frame: whether it has an IPv4 header's sum and a TCP or UDP
 * sum (not in fragments), and whether they are right. */
typedef struct InetCheck {
    bool ip, ip_good, l4, l4_good, udp;
} InetCheck;
InetCheck inet_check(const uint8_t *frame, size_t len);

/* A packet that is sent in segments, by TCP or UDP headers that are the same but for lengths and numbers. */
typedef struct InetTso {
    uint8_t *frame;   /* headers and payload; headers are changed */
    size_t len;       /* of all */
    size_t ip, l4;    /* offsets of the IP and TCP or UDP header */
    size_t header;    /* bytes of headers */
    size_t mss;       /* payload of a segment */
    bool v4, tcp;
    size_t ip_sum, ip_end, l4_sum, l4_end; /* where sums are put, and the last byte they are made of (0: the end) */
    bool sum_ip, sum_l4;
    uint16_t l4_seed; /* the sum of the pseudo header without its length */
} InetTso;
/* inet_segment - call @send for each segment; returns how many. The frame at @send is in @room, which takes
 * header + mss bytes. */
unsigned inet_segment(InetTso *t, uint8_t *room, void (*send)(void *opaque, uint8_t *frame, size_t len), void *opaque);
/* inet_put_sum - complement of the sum of [@start, @end] (0: to the end) at @at, if all that is in the frame. */
void inet_put_sum(uint8_t *frame, size_t len, size_t start, size_t end, size_t at);

#endif
