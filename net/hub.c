/*
 * Hubs: what comes in at one port goes out at all others. -netdev hubport, and what -net and vlan= mean.
 */
#include "net/backend.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"

typedef struct HubPort {
    NetBackend b; /* first member */
    unsigned hub;
} HubPort;

static HubPort *port_of(NetBackend *b)
{
    return container_of(b, HubPort, b);
}

static NetBackend *next_port(NetBackend *b)
{
    while (b != NULL && b->type != &net_hubport) {
        b = b->next;
    }
    return b;
}

static void hub_receive(void *opaque, const uint8_t *frame, size_t len)
{
    HubPort *from = opaque;

    for (NetBackend *b = next_port(net_backend_first()); b != NULL; b = next_port(b->next)) {
        if (b != &from->b && port_of(b)->hub == from->hub && !b->port.busy) {
            net_send(&b->port, frame, len);
        }
    }
}

static void hub_describe(void *opaque, FILE *out)
{
    fprintf(out, "type=hubport,hubid=%u", ((HubPort *)opaque)->hub);
}

static const NetPortOps hub_ops = { .receive = hub_receive, .describe = hub_describe };

static bool hub_open(NetBackend *b, OptList *l, Error **errp)
{
    HubPort *h = port_of(b);
    const char *netdev = opt_get_str(l, "netdev", NULL);
    NetBackend *peer = netdev != NULL ? net_backend_find(netdev) : NULL;

    if (!opt_has(l, "hubid")) {
        opt_bad(l, "hubid= is missing");
    }
    h->hub = (unsigned)opt_get_u64(l, "hubid", INT32_MAX, 0);
    if (!opt_done(l, errp)) {
        return false;
    }
    if (netdev != NULL && (peer == NULL || peer->port.peer != NULL)) {
        error_set(errp, "netdev '%s' %s", netdev, peer == NULL ? "is not there" : "is in use");
        return false;
    }
    machine_lock();
    net_port_init(&b->port, b->id, &hub_ops, h, false);
    if (peer != NULL) {
        net_plug(&b->port, &peer->port);
    }
    machine_unlock();
    return true;
}

static void hub_close(NetBackend *b)
{
}

const NetBackendType net_hubport = {
    .name = "hubport", .help = "a port of hub hubid=, which joins its ports' netdev= or cards",
    .size = sizeof(HubPort), .open = hub_open, .close = hub_close,
};

NetBackend *net_hub_port(unsigned hub, Error **errp)
{
    autofree char *id = NULL, *text = NULL;
    NetBackend *b;
    OptList *l;

    for (unsigned n = 0; id == NULL || net_backend_find(id) != NULL; n++) {
        free(id);
        id = xasprintf("hub%uport%u", hub, n);
    }
    text = xasprintf("hubport,hubid=%u", hub);
    l = opt_parse(text, "type", errp);
    b = l != NULL ? net_backend_new(l, id, errp) : NULL;
    opt_free(l);
    return b;
}

void net_hubs_print(FILE *out)
{
    unsigned hub = 0, next;

    for (bool more = true; more; hub = next) { /* in the order of their numbers */
        bool head = false;

        more = false;
        next = UINT32_MAX;
        for (NetBackend *b = next_port(net_backend_first()); b != NULL; b = next_port(b->next)) {
            unsigned h = port_of(b)->hub;

            if (h > hub && h < next) {
                next = h;
                more = true;
            }
            if (h != hub) {
                continue;
            }
            if (!head) {
                fprintf(out, "hub %u\n", hub);
                head = true;
            }
            fprintf(out, " \\ %s", b->id);
            if (b->port.peer != NULL) {
                net_port_print(b->port.peer, ": ", out);
            } else {
                fputc('\n', out);
            }
        }
    }
}
