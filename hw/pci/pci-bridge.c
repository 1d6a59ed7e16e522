/*
 * Bridges: see pci-bridge.h; and the two that lead to a bus of conventional PCI.
 *
 * Sources: PCI-to-PCI Bridge Architecture Specification 1.2, "Configuration Space Header Format"; PCI Express Base
 * Specification 2.0, "PCI Express Capability Structure". Not modelled: the ISA and VGA bits of the bridge control register
 * (no card behind a bridge has legacy addresses that could be hidden), the secondary bus's errors, SHPC.
 */
#include "hw/pci/pci-bridge.h"

#include "base/error.h"
#include "base/mem.h"

enum { TYPE1 = 0x01, CONTROL_MASK = 0x0b5f, SECONDARY_RESET = 0x40, CAP_PCIE = 0x10, CAP_PCIE_SIZE = 0x3c };
#define IO_16 0x00
#define PREF_64 0x0001

const StateField pci_bridge_fields[] = {
    STATE_STRUCT(PciBridge, pci, pci_fields), STATE_U16(PciBridge, control), STATE_END,
};

static void bridge_written(PciDevice *d, unsigned offset, unsigned len)
{
    PciBridge *b = container_of(d, PciBridge, pci);
    uint16_t control = ld_le16(d->config + PCI_BRIDGE_CONTROL);

    if (offset < PCI_IO_LIMIT_HIGH + 2 && offset + len > PCI_IO_BASE) {
        pci_bus_moved(d->below);
    }
    if ((control & SECONDARY_RESET) && !(b->control & SECONDARY_RESET)) {
        pci_bus_reset_cards(d->below);
    }
    b->control = control;
    if (b->written != NULL) {
        b->written(b, offset, len);
    }
}

void pci_bridge_init(PciBridge *b, unsigned first, unsigned last)
{
    PciDevice *d = &b->pci;

    d->config[PCI_HEADER] |= TYPE1;
    memset(d->wmask + PCI_PRIMARY, 0xff, 4); /* bus numbers, and the secondary latency timer */
    d->config[PCI_IO_BASE] = d->config[PCI_IO_LIMIT] = IO_16;
    d->wmask[PCI_IO_BASE] = d->wmask[PCI_IO_LIMIT] = 0xf0;
    st_le16(d->w1c + PCI_SEC_STATUS, 0xf900);
    st_le16(d->wmask + PCI_MEM_BASE, 0xfff0);
    st_le16(d->wmask + PCI_MEM_LIMIT, 0xfff0);
    st_le16(d->config + PCI_PREF_BASE, PREF_64);
    st_le16(d->config + PCI_PREF_LIMIT, PREF_64);
    st_le16(d->wmask + PCI_PREF_BASE, 0xfff0);
    st_le16(d->wmask + PCI_PREF_LIMIT, 0xfff0);
    st_le32(d->wmask + PCI_PREF_BASE_HIGH, UINT32_MAX);
    st_le32(d->wmask + PCI_PREF_LIMIT_HIGH, UINT32_MAX);
    st_le16(d->wmask + PCI_BRIDGE_CONTROL, CONTROL_MASK);
    st_le16(d->w1c + PCI_BRIDGE_CONTROL, 0x0400); /* discard timer status */
    d->config_written = bridge_written;
    d->below = pci_bus_below(d, d->dev.id, first, last);
    device_bus_add(BUS_PCI, d->dev.id, d->below);
}

void pci_bridge_remove(PciBridge *b)
{
    PciBus *bus = b->pci.below;

    device_bus_remove(bus);
    b->pci.below = NULL;
    pci_remove(&b->pci);
    pci_bus_free(bus);
}

void pci_bridge_reset(PciBridge *b)
{
    b->control = 0;
    pci_reset(&b->pci);
}

void pci_bridge_post_load(PciBridge *b)
{
    pci_post_load(&b->pci);
}

uint8_t pcie_cap(PciDevice *d, unsigned type)
{
    uint8_t at = pci_add_cap(d, CAP_PCIE, 0, CAP_PCIE_SIZE);

    st_le16(d->config + at + 0x02, (uint16_t)(2 | type << 4));
    st_le32(d->config + at + 0x04, 0x8000);       /* role-based error reporting */
    st_le16(d->wmask + at + 0x08, 0x00ff);        /* device control: errors to report, payload size; of no effect */
    st_le16(d->w1c + at + 0x0a, 0x000f);
    st_le32(d->config + at + 0x0c, 0x0001 | 1 << 4); /* link: 2.5 GT/s, one lane */
    st_le16(d->wmask + at + 0x10, 0x00c8);
    st_le16(d->config + at + 0x12, 0x0001 | 1 << 4);
    return at;
}

/* ---- pci-bridge, pcie-pci-bridge ---- */

typedef struct PlainBridge {
    PciBridge bridge; /* first member */
    uint8_t chassis;
    bool shpc;
    char *msi;
} PlainBridge;

static PlainBridge *plain_of(Device *dev)
{
    return container_of(dev, PlainBridge, bridge.pci.dev);
}

/* refuse - what these bridges do not have. */
static bool refuse(const PlainBridge *s, Error **errp)
{
    if (s->shpc) {
        error_set(errp, "shpc=on: the bridge's hot-plug controller is not supported yet");
    } else if (strcmp(s->msi, "auto") != 0 && strcmp(s->msi, "off") != 0) {
        error_set(errp, "msi=%s: the bridge has no interrupt of its own (auto and off are there)", s->msi);
    } else {
        return true;
    }
    return false;
}

static bool pci_bridge_realize(Device *dev, Error **errp)
{
    PlainBridge *s = plain_of(dev);

    if (s->chassis == 0) {
        error_set(errp, "Bridge chassis not specified. Each bridge is required to be assigned a unique chassis id > 0.");
        return false;
    }
    if (!refuse(s, errp) || !pci_plug(&s->bridge.pci, 0x1b36, 0x0001, 0x060400, 0, 0, errp)) {
        return false;
    }
    pci_bridge_init(&s->bridge, 0, 31);
    pci_ready(&s->bridge.pci);
    return true;
}

static bool pcie_pci_bridge_realize(Device *dev, Error **errp)
{
    PlainBridge *s = plain_of(dev);

    if (!refuse(s, errp) || !pci_plug(&s->bridge.pci, 0x1b36, 0x000e, 0x060400, 0, 0, errp)) {
        return false;
    }
    pci_bridge_init(&s->bridge, 0, 31);
    pcie_cap(&s->bridge.pci, PCIE_TO_PCI);
    pci_ready(&s->bridge.pci);
    return true;
}

static void plain_unrealize(Device *dev)
{
    pci_bridge_remove(&plain_of(dev)->bridge);
}

static void plain_reset(Device *dev)
{
    pci_bridge_reset(&plain_of(dev)->bridge);
}

static bool plain_post_load(Device *dev, Error **errp)
{
    pci_bridge_post_load(&plain_of(dev)->bridge);
    return true;
}

#define MSI_PROP PROP_STR("msi", PlainBridge, msi, "auto", "auto or off: there is none")

static const Property pci_bridge_props[] = {
    PCI_PROPS_AT(PlainBridge, bridge.pci, NULL),
    PROP_U8("chassis_nr", PlainBridge, chassis, 0, "number of the chassis; to be given"),
    PROP_BOOL("shpc", PlainBridge, shpc, false, "standard hot-plug controller; off is there"),
    MSI_PROP,
    PROP_END,
};

static const Property pcie_pci_bridge_props[] = {
    PCI_PROPS_AT(PlainBridge, bridge.pci, NULL), MSI_PROP, PROP_END,
};

static const StateField plain_fields[] = { STATE_STRUCT(PlainBridge, bridge, pci_bridge_fields), STATE_END };

#define PLAIN_BRIDGE(n, d, p, r)                                                                   \
    {                                                                                              \
        .name = (n), .desc = (d), .size = sizeof(PlainBridge), .bus = BUS_PCI, .user_creatable = true, \
        .no_hotplug = true, .props = (p), .realize = (r), .unrealize = plain_unrealize,            \
        .reset = plain_reset, .fields = plain_fields, .post_load = plain_post_load,                \
    }

extern const DeviceClass pci_bridge_class, pcie_pci_bridge_class;
const DeviceClass pci_bridge_class =
    PLAIN_BRIDGE("pci-bridge", "Standard PCI Bridge", pci_bridge_props, pci_bridge_realize);
const DeviceClass pcie_pci_bridge_class =
    PLAIN_BRIDGE("pcie-pci-bridge", "PCI Express to PCI bridge", pcie_pci_bridge_props, pcie_pci_bridge_realize);
