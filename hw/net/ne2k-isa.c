/*
 * An NE2000 on the ISA bus. Source: National Semiconductor AN-729 (ports, address PROM). The chip: hw/net/dp8390.c.
 */
#include "hw/net/dp8390.h"
#include "hw/net/nic.h"

#include "base/error.h"
#include "base/mem.h"
#include "hw/board.h"

typedef struct Ne2kIsa {
    Device dev; /* first member */
    uint32_t io_base, irq_number; /* properties: constant after realize */
    Nic nic;
    Dp8390 core;
    IoRegion io;
    IrqLine irq;
} Ne2kIsa;

static Ne2kIsa *ne2k_of(Device *dev)
{
    return container_of(dev, Ne2kIsa, dev);
}

static const IoOps ne2k_ops = { .read = dp8390_read, .write = dp8390_write, .max_size = 2 };

static void set_irq(void *opaque, int level)
{
    irq_set(&((Ne2kIsa *)opaque)->irq, level);
}

static void describe(void *opaque, FILE *out)
{
    nic_describe(&container_of(opaque, Ne2kIsa, core)->nic, "ne2k_isa", out);
}

static const NetPortOps port_ops = { .can_receive = dp8390_can_receive, .receive = dp8390_receive,
                                     .describe = describe };

static bool ne2k_realize(Device *dev, Error **errp)
{
    Ne2kIsa *s = ne2k_of(dev);
    const Board *board = dev->board;
    char path[40];

    if (s->irq_number > 15 || s->io_base > 0x10000 - DP8390_PORTS) {
        error_set(errp, "ne2k_isa: irq %u, iobase 0x%x: not on an ISA bus", s->irq_number, s->io_base);
        return false;
    }
    io_region_init(&s->io, &ne2k_ops, &s->core, "ne2k_isa", DP8390_PORTS);
    if (!port_map(&s->io, (uint16_t)s->io_base, errp)) {
        return false;
    }
    snprintf(path, sizeof(path), "/isa/ethernet@%04x", s->io_base);
    if (!nic_init(&s->nic, dev, path, &port_ops, &s->core, errp)) {
        port_unmap(&s->io);
        return false;
    }
    s->irq = board->isa_irq[s->irq_number];
    s->core.port = &s->nic.port;
    s->core.irq = set_irq;
    s->core.opaque = s;
    dp8390_init(&s->core, s->nic.mac);
    return true;
}

static void ne2k_unrealize(Device *dev)
{
    Ne2kIsa *s = ne2k_of(dev);

    dp8390_fini(&s->core);
    nic_fini(&s->nic, dev);
    port_unmap(&s->io);
}

static void ne2k_reset(Device *dev)
{
    dp8390_reset(&ne2k_of(dev)->core);
}

static bool ne2k_post_load(Device *dev, Error **errp)
{
    dp8390_post_load(&ne2k_of(dev)->core);
    return true;
}

static const Property ne2k_props[] = {
    PROP_U32("iobase", Ne2kIsa, io_base, 0x300, "first of 32 ports"),
    PROP_U32("irq", Ne2kIsa, irq_number, 9, "ISA interrupt"),
    NIC_PROPS(Ne2kIsa), PROP_END,
};

static const StateField ne2k_fields[] = { STATE_STRUCT(Ne2kIsa, core, dp8390_fields), STATE_END };

extern const DeviceClass ne2k_isa_class;
const DeviceClass ne2k_isa_class = {
    .name = "ne2k_isa",
    .desc = "NE2000 on the ISA bus",
    .size = sizeof(Ne2kIsa),
    .bus = BUS_ISA,
    .user_creatable = true,
    .props = ne2k_props,
    .realize = ne2k_realize,
    .unrealize = ne2k_unrealize,
    .reset = ne2k_reset,
    .fields = ne2k_fields,
    .post_load = ne2k_post_load,
};
