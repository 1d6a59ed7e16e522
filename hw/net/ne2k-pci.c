/*
 * Realtek RTL8029AS: an NE2000 on PCI. Source: RTL8029AS data sheet (headings quoted). The chip: hw/net/dp8390.c.
 */
#include "hw/net/dp8390.h"
#include "hw/net/nic.h"

#include "base/error.h"
#include "base/mem.h"

typedef struct Ne2kPci {
    PciDevice pci; /* first member */
    Nic nic;
    Dp8390 core;
    IoRegion io;
} Ne2kPci;

enum { IO_SIZE = 256 }; /* the 32 ports, eight times: what other machines' saved resources expect */

static Ne2kPci *ne2k_of(Device *dev)
{
    return container_of(dev, Ne2kPci, pci.dev);
}

static const IoOps ne2k_ops = { .read = dp8390_read, .write = dp8390_write, .max_size = 4 };

static void set_irq(void *opaque, int level)
{
    pci_set_irq(&((Ne2kPci *)opaque)->pci, level);
}

static void describe(void *opaque, FILE *out)
{
    nic_describe(&container_of(opaque, Ne2kPci, core)->nic, "ne2k_pci", out);
}

static const NetPortOps port_ops = { .can_receive = dp8390_can_receive, .receive = dp8390_receive,
                                     .describe = describe };

static bool ne2k_realize(Device *dev, Error **errp)
{
    Ne2kPci *s = ne2k_of(dev);
    PciDevice *d = &s->pci;

    if (!nic_plug(&s->nic, d, 0x10ec, 0x8029, 0, "pxe-ne2k_pci.rom", &port_ops, &s->core, errp)) {
        return false;
    }
    st_le16(d->config + PCI_SUBSYS_VENDOR, 0x1af4);
    st_le16(d->config + PCI_SUBSYS, 0x1100);
    st_le16(d->config + PCI_STATUS, 0x0200);
    s->core.port = &s->nic.port;
    s->core.irq = set_irq;
    s->core.opaque = s;
    s->core.realtek = true;
    dp8390_init(&s->core, s->nic.mac);
    io_region_init(&s->io, &ne2k_ops, &s->core, "ne2k_pci", IO_SIZE);
    pci_bar(d, 0, &s->io, PCI_BAR_IO);
    pci_ready(d);
    return true;
}

static void ne2k_unrealize(Device *dev)
{
    Ne2kPci *s = ne2k_of(dev);

    dp8390_fini(&s->core);
    nic_unplug(&s->nic, &s->pci);
}

static void ne2k_reset(Device *dev)
{
    Ne2kPci *s = ne2k_of(dev);

    pci_reset(&s->pci);
    dp8390_reset(&s->core);
}

static bool ne2k_post_load(Device *dev, Error **errp)
{
    Ne2kPci *s = ne2k_of(dev);

    pci_post_load(&s->pci);
    dp8390_post_load(&s->core);
    return true;
}

static const Property ne2k_props[] = { NIC_PROPS(Ne2kPci), PCI_PROPS(Ne2kPci, "pxe-ne2k_pci.rom"), PROP_END };

static const StateField ne2k_fields[] = {
    STATE_STRUCT(Ne2kPci, pci, pci_fields), STATE_STRUCT(Ne2kPci, core, dp8390_fields), STATE_END,
};

extern const DeviceClass ne2k_pci_class;
const DeviceClass ne2k_pci_class = {
    .name = "ne2k_pci",
    .desc = "Realtek RTL8029AS (NE2000)",
    .size = sizeof(Ne2kPci),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = ne2k_props,
    .realize = ne2k_realize,
    .unrealize = ne2k_unrealize,
    .reset = ne2k_reset,
    .fields = ne2k_fields,
    .post_load = ne2k_post_load,
};
