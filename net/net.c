/*
 * Ports, their queues, and the cards' addresses: see net.h.
 */
#include "net/net.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "net/backend.h"

enum { QUEUE_FRAMES = 4096, QUEUE_BYTES = 8 << 20 };

/* A frame that waits. */
typedef struct NetFrame {
    struct NetFrame *next;
    size_t len;
    unsigned queue;
    bool vnet; /* there is a header */
    uint8_t header[NET_VNET_HEADER];
    uint8_t data[];
} NetFrame;

/* under the machine lock */
static NetPort *cards;
static uint32_t identity; /* 0: none */
static uint8_t made_up[256]; /* addresses that cards have */

/* ---- plugging ---- */

static void on_resume(void *opaque)
{
    net_accept(opaque);
}

void net_port_init(NetPort *p, const char *name, const NetPortOps *ops, void *opaque, bool card)
{
    NetPort **end = &cards;

    *p = (NetPort){ .ops = ops, .opaque = opaque, .name = xstrdup(name), .card = card };
    p->tail = &p->head;
    if (card) {
        timer_init(&p->resume, CLK_VIRTUAL, on_resume, p, &machine_lock_guard);
        while (*end != NULL) {
            end = &(*end)->next_card;
        }
        *end = p;
    }
}

static void drop_queue(NetPort *p)
{
    while (p->head != NULL) {
        NetFrame *f = p->head;

        p->head = f->next;
        free(f);
    }
    p->tail = &p->head;
    p->queued = p->queued_bytes = 0;
}

void net_port_fini(NetPort *p)
{
    if (p->ops == NULL) {
        return;
    }
    net_unplug(p);
    if (p->card) {
        NetPort **at = &cards;

        timer_cancel(&p->resume);
        while (*at != p) {
            at = &(*at)->next_card;
        }
        *at = p->next_card;
    }
    free(p->name);
    *p = (NetPort){ .ops = NULL };
}

void net_plug(NetPort *a, NetPort *b)
{
    a->peer = b;
    b->peer = a;
}

static void tell_link(NetPort *p)
{
    if (p->ops->link_changed != NULL) {
        p->ops->link_changed(p->opaque, net_link(p));
    }
}

void net_unplug(NetPort *p)
{
    NetPort *peer = p->peer;

    if (peer == NULL) {
        return;
    }
    p->peer = peer->peer = NULL;
    drop_queue(p);
    drop_queue(peer);
    p->peer_waits = peer->peer_waits = false;
    if (peer->ops->can_send != NULL) {
        peer->ops->can_send(peer->opaque); /* into nothing */
    }
}

NetPort *net_cards(void)
{
    return cards;
}

NetPort *net_find_card(const char *name)
{
    NetPort *p = cards;

    while (p != NULL && strcmp(p->name, name) != 0) {
        p = p->next_card;
    }
    return p;
}

/* ---- frames ---- */

static bool takes(NetPort *p, size_t len)
{
    if (p->card && !clock_running()) { /* nothing changes in a machine that is stopped */
        timer_arm(&p->resume, clock_now(CLK_VIRTUAL));
        return false;
    }
    return p->ops->can_receive == NULL || p->ops->can_receive(p->opaque, len);
}

/* deliver - @h: virtio's header, or NULL. */
static void deliver(NetPort *p, const uint8_t *h, const uint8_t *frame, size_t len)
{
    p->busy = true;
    if (h == NULL) {
        p->ops->receive(p->opaque, frame, len);
    } else if (!p->ops->receive_vnet(p->opaque, h, frame, len)) {
        p->dropped++; /* it does not take such packets any more */
    }
    p->busy = false;
}

static void enqueue(NetPort *p, const uint8_t *h, const uint8_t *frame, size_t len)
{
    NetFrame *f;

    if (p->queued >= QUEUE_FRAMES || len > QUEUE_BYTES - p->queued_bytes ||
        (f = try_alloc0(1, sizeof(*f) + len)) == NULL) {
        p->dropped++;
        return;
    }
    f->len = len;
    f->queue = p->peer->queue;
    f->vnet = h != NULL;
    if (h != NULL) {
        memcpy(f->header, h, NET_VNET_HEADER);
    }
    memcpy(f->data, frame, len);
    *p->tail = f;
    p->tail = &f->next;
    p->queued++;
    p->queued_bytes += len;
}

static void send_frame(NetPort *p, const uint8_t *h, const uint8_t *frame, size_t len)
{
    NetPort *peer = p->peer;

    if (peer == NULL || len < NET_FRAME_MIN || len > NET_FRAME_MAX || !net_link(p) || peer->busy) {
        p->dropped++;
        return;
    }
    if (p->dumps != NULL) {
        net_dump_frame(p->dumps, frame, len);
    }
    if (peer->dumps != NULL) {
        net_dump_frame(peer->dumps, frame, len);
    }
    if (peer->head != NULL || !takes(peer, len)) {
        enqueue(peer, h, frame, len);
        return;
    }
    deliver(peer, h, frame, len);
}

void net_send(NetPort *p, const uint8_t *frame, size_t len)
{
    send_frame(p, NULL, frame, len);
}

bool net_send_vnet(NetPort *p, const uint8_t *h, const uint8_t *frame, size_t len)
{
    NetPort *peer = p->peer;

    if (!p->card) { /* to a card, which asked for such packets: they wait as all do, and dumps show them as they are */
        if (peer == NULL || peer->ops->receive_vnet == NULL) {
            return false;
        }
        send_frame(p, h, frame, len);
        return true;
    }
    return peer != NULL && peer->ops->receive_vnet != NULL && p->dumps == NULL && peer->dumps == NULL && net_link(p) &&
           peer->head == NULL && peer->ops->receive_vnet(peer->opaque, h, frame, len);
}

uint16_t net_queues(const char *id)
{
    NetBackend *b = id != NULL && *id != '\0' ? net_backend_find(id) : NULL;

    return b != NULL && b->port.queues > 1 ? (uint16_t)b->port.queues : 1;
}

bool net_set_offload(NetPort *p, unsigned offload)
{
    NetPort *peer = p->peer;

    return peer != NULL && peer->ops->set_offload != NULL && peer->ops->set_offload(peer->opaque, offload);
}

bool net_can_send(NetPort *p)
{
    NetPort *peer = p->peer;

    if (peer == NULL || (peer->head == NULL && takes(peer, NET_MTU_FRAME))) {
        return true;
    }
    peer->peer_waits = true;
    return false;
}

void net_accept(NetPort *p)
{
    if (p->busy) {
        return; /* its receive() looks around by itself */
    }
    while (p->head != NULL) {
        NetFrame *f = p->head;

        p->peer->queue = f->queue;
        if (!takes(p, f->len)) {
            break;
        }
        p->head = f->next;
        p->tail = p->head == NULL ? &p->head : p->tail;
        p->queued--;
        p->queued_bytes -= f->len;
        deliver(p, f->vnet ? f->header : NULL, f->data, f->len);
        free(f);
    }
    if (p->peer_waits && p->head == NULL && p->peer != NULL && takes(p, NET_MTU_FRAME)) {
        p->peer_waits = false;
        if (p->peer->ops->can_send != NULL) {
            p->peer->ops->can_send(p->peer->opaque);
        }
    }
}

/* ---- link ---- */

bool net_link(const NetPort *p)
{
    return !p->link_down && (p->peer == NULL || !p->peer->link_down);
}

bool net_set_link(const char *name, bool up, Error **errp)
{
    NetBackend *b = net_backend_find(name);
    NetPort *p = b != NULL ? &b->port : net_find_card(name);

    if (p == NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
        return false;
    }
    p->link_down = !up;
    tell_link(p);
    if (p->peer != NULL) {
        tell_link(p->peer);
    }
    return true;
}

/* ---- addresses ---- */

void net_identity(const char *name, const uint8_t uuid[16])
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (unsigned n = 0; uuid != NULL && n < 16; n++) {
        h = (h ^ uuid[n]) * 16777619u;
    }
    for (; uuid == NULL && name != NULL && *name != '\0'; name++) {
        h = (h ^ (uint8_t)*name) * 16777619u;
    }
    identity = h == 2166136261u ? 0 : h ^ h >> 24;
}

void net_mac_text(const uint8_t mac[6], char text[18])
{
    snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
    for (unsigned n = 0; n < 6; n++) {
        char *end;
        unsigned long v = strtoul(text, &end, 16);

        if (end == text || end - text > 2 || *text == '+' || *text == '-' || *text == ' ' ||
            (n < 5 ? *end != ':' && *end != '-' : *end != '\0')) {
            return false;
        }
        mac[n] = (uint8_t)v;
        text = end + 1;
    }
    return true;
}

/* make_mac - address number @n of this machine; QEMU's for one that has no name. */
static void make_mac(unsigned n, uint8_t mac[6])
{
    uint32_t low = identity != 0 ? identity + n * 0x10001u : 0x123456 + n;

    memcpy(mac, (const uint8_t[]){ 0x52, 0x54, 0x00, (uint8_t)(low >> 16), (uint8_t)(low >> 8), (uint8_t)low }, 6);
}

/* count_mac - of the addresses that are made, @mac is one more card's, or one less. */
static void count_mac(const uint8_t mac[6], int by)
{
    for (unsigned n = 0; n < ARRAY_SIZE(made_up); n++) {
        uint8_t made[6];

        make_mac(n, made);
        if (memcmp(made, mac, 6) == 0) {
            made_up[n] = (uint8_t)(made_up[n] + by);
        }
    }
}

void net_mac_release(const uint8_t mac[6])
{
    count_mac(mac, -1);
}

bool net_mac(const char *text, uint8_t mac[6], Error **errp)
{
    unsigned n = 0;

    if (text == NULL || *text == '\0') {
        while (n < ARRAY_SIZE(made_up) - 1 && made_up[n] != 0) {
            n++;
        }
        make_mac(n, mac);
        count_mac(mac, 1);
        return true;
    }
    if (!parse_mac(text, mac)) {
        error_set(errp, "'%s' is no MAC address as 52:54:00:12:34:56", text);
        return false;
    }
    if (mac[0] & 1) {
        error_set(errp, "%s is a group's address, no card's", text);
        return false;
    }
    count_mac(mac, 1);
    return true;
}

/* ---- info network ---- */

void net_port_print(const NetPort *p, const char *indent, FILE *out)
{
    fprintf(out, "%s%s: index=0,", indent, p->name);
    p->ops->describe(p->opaque, out);
    if (p->link_down) {
        fprintf(out, ",link=off");
    }
    if (p->dropped != 0) {
        fprintf(out, ",dropped=%llu", (unsigned long long)p->dropped);
    }
    fputc('\n', out);
}

void net_info(FILE *out)
{
    net_hubs_print(out);
    for (const NetPort *p = cards; p != NULL; p = p->next_card) {
        const NetBackend *b = p->peer != NULL ? container_of(p->peer, NetBackend, port) : NULL;

        if (b != NULL && b->type == &net_hubport) {
            continue; /* is among its hub's */
        }
        net_port_print(p, "", out);
        if (b != NULL) {
            net_port_print(p->peer, " \\ ", out);
        }
    }
    for (const NetBackend *b = net_backend_first(); b != NULL; b = b->next) {
        if (b->port.peer == NULL && b->type != &net_hubport) {
            net_port_print(&b->port, "", out);
        }
    }
}
