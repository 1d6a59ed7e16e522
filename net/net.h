/*
 * Networks: ports that are plugged into each other in pairs, a card's into a back end's (user, socket, tap,
 * hubport). What one sends, the other receives; what it cannot take yet waits in its queue, and the sender
 * is told to pause. The machine lock is held for all of it.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/clock.h"

struct Error;
struct OptList;
struct NetDump;
typedef struct NetPort NetPort;

enum { NET_FRAME_MIN = 14, NET_FRAME_MAX = 65536 + 64, NET_MTU_FRAME = 1514 };

/* What a port's owner does. */
typedef struct NetPortOps {
    /* Whether a frame of @len bytes can be taken now; NULL: always. When that changes the owner calls net_accept(). */
    bool (*can_receive)(void *opaque, size_t len);
    void (*receive)(void *opaque, const uint8_t *frame, size_t len); /* without FCS; NET_FRAME_MIN bytes or more */
    /* A frame whose sums, or segments, are to be made as virtio's header @h of 10 bytes says (VIRTIO 1.2, 5.1.6). False:
     * it cannot do that now. NULL: never. */
    bool (*receive_vnet)(void *opaque, const uint8_t *h, const uint8_t *frame, size_t len);
    /* Which packets the peer takes by receive_vnet(), NET_OFFLOAD_*, from now on; false: there is nothing of the kind. NULL:
     * never. */
    bool (*set_offload)(void *opaque, unsigned offload);
    void (*can_send)(void *opaque);              /* net_can_send() is true again; may be NULL */
    void (*link_changed)(void *opaque, bool up); /* may be NULL */
    void (*describe)(void *opaque, FILE *out);   /* behind "name: index=0," in info network */
} NetPortOps;

/* What a card takes in packets with virtio's header: sums that are to be made, large packets of TCP and UDP. */
enum { NET_OFFLOAD_CSUM = 1, NET_OFFLOAD_TSO4 = 2, NET_OFFLOAD_TSO6 = 4, NET_OFFLOAD_ECN = 8, NET_OFFLOAD_UFO = 16 };
enum { NET_VNET_HEADER = 10, NET_QUEUES_MAX = 16 };

struct NetPort {
    const NetPortOps *ops;
    void *opaque;
    char *name;
    NetPort *peer;    /* NULL: nothing is plugged in */
    bool card;        /* of the machine: takes nothing while that is stopped */
    bool link_down;   /* set_link */
    bool busy;        /* receives right now; a ring of hubs ends there */
    bool peer_waits;  /* the peer is told when the queue is empty */
    struct NetFrame *head, **tail; /* what the owner could not take yet */
    size_t queued, queued_bytes;
    uint64_t dropped;
    unsigned queues;  /* a back end's, 0 or 1: one */
    unsigned queue;   /* of which of them the frame is that is sent by this port, or was sent last */
    bool sums_good;   /* a back end's: sums in what it sends were made in this process */
    Timer resume;     /* a card's: when the machine runs on */
    struct NetDump *dumps;
    NetPort *next_card;
};

/* net_port_init - @name is copied. net_port_fini - unplugs it and drops what waits. */
void net_port_init(NetPort *p, const char *name, const NetPortOps *ops, void *opaque, bool card);
void net_port_fini(NetPort *p);
/* net_plug - both must be free. net_unplug - a port without a peer is fine. */
void net_plug(NetPort *a, NetPort *b);
void net_unplug(NetPort *p);

/* net_send - @p's owner sends a frame to whoever is plugged in. */
void net_send(NetPort *p, const uint8_t *frame, size_t len);
/* net_send_vnet - the same with virtio's header, for a peer that makes sums and segments. False: there is no such peer
 * now, or somebody wants to see whole frames: they are made by the caller. */
bool net_send_vnet(NetPort *p, const uint8_t *h, const uint8_t *frame, size_t len);
/* net_queues - of the back end called @id; 1 when there is none. */
uint16_t net_queues(const char *id);
/* net_set_offload - what @p's owner takes of such packets from its peer; false: that has none (yet or any more). */
bool net_set_offload(NetPort *p, unsigned offload);
/* net_can_send - false: the peer does not keep up, ops->can_send() will be called. */
bool net_can_send(NetPort *p);
/* net_accept - @p's owner may be able to receive again. */
void net_accept(NetPort *p);

/* net_link - whether the cable of @p carries something. net_set_link - of the port called @name. */
bool net_link(const NetPort *p);
bool net_set_link(const char *name, bool up, struct Error **errp);

/* net_cards - the first card; the others by next_card. net_find_card - by name; NULL. */
NetPort *net_cards(void);
NetPort *net_find_card(const char *name);

/* net_identity - addresses of cards that were given none are made of the machine's name or uuid (NULL: neither),
 * so that they are the same at each start and differ from another machine's. Before the first card. */
void net_identity(const char *name, const uint8_t uuid[16]);
/* net_mac - a card's address, from @text, or the first that is free of those that are made up (NULL).
 * net_mac_release - the card is gone. */
bool net_mac(const char *text, uint8_t mac[6], struct Error **errp);
void net_mac_release(const uint8_t mac[6]);
void net_mac_text(const uint8_t mac[6], char text[18]);

/* net_info - for info network. */
void net_info(FILE *out);

#endif
