/*
 * pcie-root-port: a port of the root complex with a slot, whose card may come and go.
 *
 * Source: PCI Express Base Specification 2.0, "PCI Express Capability Structure", 6.7 "PCI Express Hot-Plug Support"
 * (registers and events quoted). The slot has an attention button, which device_add and device_del press, indicators, and a power
 * controller. Commands are completed at once. The card goes when its power and its power indicator are off: no one
 * may pull it before. IDs: QEMU's 1b36:000c, as guests know it.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "hw/board.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci-bridge.h"
#include "hw/pci/trace.h"

enum { CAP_FLAGS = 0x02, SLOT_IMPLEMENTED = 0x0100 };
enum { LINK_CAP = 0x0c, LINK_STATUS = 0x12, LINK_ACTIVE = 0x2000 };
#define LINK_CAP_ACTIVE BIT(20) /* "Data Link Layer Link Active Reporting Capable" */
enum { SLOT_CAP = 0x14, SLOT_CTL = 0x18, SLOT_STS = 0x1a, ROOT_CTL = 0x1c };
enum { SC_BUTTON = 0x01, SC_POWER = 0x02, SC_ATTENTION = 0x08, SC_INDICATOR = 0x10, SC_HOTPLUG = 0x40 };
enum { CTL_HPIE = 0x20, CTL_INDICATOR = 0x300, INDICATOR_ON = 0x100, INDICATOR_BLINK = 0x200, INDICATOR_OFF = 0x300,
       CTL_ATTENTION_OFF = 0xc0, CTL_POWER_OFF = 0x400, CTL_DLLSC = 0x1000, CTL_MASK = 0x17ff };
enum { STS_BUTTON = 0x01, STS_PRESENCE = 0x08, STS_COMMAND = 0x10, STS_PRESENT = 0x40, STS_DLLSC = 0x100, STS_EVENTS = 0x11f };
#define AGAIN_NS (5 * NS_PER_SEC) /* after which a guest that did nothing may be asked again */

typedef struct RootPort {
    PciBridge bridge; /* first member */
    uint8_t port, chassis;
    uint16_t slot;
    bool hotplug;
    uint8_t cap;      /* constant after realize */
    uint16_t ctl;     /* slot control before the guest's write */
    bool asked;       /* the button was pressed, and the card is still there */
    bool raised;      /* an interrupt was told of events that are still there */
    int64_t asked_at; /* CLK_REAL; not saved */
} RootPort;

static RootPort *port_of(Device *dev)
{
    return container_of(dev, RootPort, bridge.pci.dev);
}

static uint8_t *reg(RootPort *s, unsigned at)
{
    return s->bridge.pci.config + s->cap + at;
}

static void set_bits(RootPort *s, unsigned at, unsigned bits, bool on)
{
    unsigned v = ld_le16(reg(s, at));

    st_le16(reg(s, at), (uint16_t)(on ? v | bits : v & ~bits));
}

/* "Hot-Plug Events and Interrupts": the events that are there and wanted. */
static void update_irq(RootPort *s)
{
    PciDevice *d = &s->bridge.pci;
    unsigned ctl = ld_le16(reg(s, SLOT_CTL)), sts = ld_le16(reg(s, SLOT_STS)) & STS_EVENTS;
    unsigned wanted = (ctl & 0x1f) | (ctl & CTL_DLLSC ? STS_DLLSC : 0);
    bool now = (ctl & CTL_HPIE) && (sts & wanted) != 0;

    if (now && !s->raised) {
        msi_notify(d, 0);
    }
    s->raised = now;
    pci_set_irq(d, now);
}

/* "Presence Detect", and the link that the card trains when it has power. */
static void set_link(RootPort *s)
{
    bool active = (ld_le16(reg(s, SLOT_STS)) & STS_PRESENT) &&
                  (!s->hotplug || !(ld_le16(reg(s, SLOT_CTL)) & CTL_POWER_OFF));

    if (active != ((ld_le16(reg(s, LINK_STATUS)) & LINK_ACTIVE) != 0)) {
        set_bits(s, LINK_STATUS, LINK_ACTIVE, active);
        set_bits(s, SLOT_STS, STS_DLLSC, true);
    }
}

static bool occupied(const RootPort *s)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        if (pci_bus_find(s->bridge.pci.below, fn) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- cards that come and go ---- */

static void port_added(void *opaque, PciDevice *d)
{
    RootPort *s = opaque;

    if ((d->devfn & 7) != 0) {
        return; /* function 0 comes last */
    }
    set_bits(s, SLOT_STS, STS_PRESENT | STS_PRESENCE, true);
    if (ld_le16(reg(s, SLOT_CTL)) & CTL_POWER_OFF) {
        set_bits(s, SLOT_STS, STS_BUTTON, true); /* who puts a card in presses it: it is to have power */
    }
    set_link(s);
    update_irq(s);
}

static void eject(RootPort *s)
{
    const Board *board = s->bridge.pci.dev.board;

    for (unsigned fn = 0; fn < 8; fn++) {
        PciDevice *d = pci_bus_find(s->bridge.pci.below, fn);

        if (d != NULL && !d->dev.cls->no_hotplug) {
            pci_hide(d);
            board->ejected(&d->dev);
        }
    }
    s->asked = false;
    set_bits(s, SLOT_STS, STS_PRESENT, occupied(s));
    set_bits(s, SLOT_STS, STS_PRESENCE, true);
    set_link(s);
    update_irq(s);
}

static bool is_off(unsigned ctl)
{
    return (ctl & CTL_POWER_OFF) && (ctl & CTL_INDICATOR) == INDICATOR_OFF;
}

static bool port_request(void *opaque, PciDevice *d, Error **errp)
{
    RootPort *s = opaque;
    unsigned ctl = ld_le16(reg(s, SLOT_CTL));
    int64_t now = clock_now(CLK_REAL);

    if (s->asked && now - s->asked_at < AGAIN_NS) {
        error_set(errp, "Device %s is already in the process of unplug", d->dev.id);
        return false;
    }
    if ((ctl & CTL_INDICATOR) == INDICATOR_BLINK) {
        error_set(errp, "Hot-unplug failed: guest is busy (power indicator blinking)");
        return false;
    }
    if (is_off(ctl)) { /* nobody uses it */
        eject(s);
        return true;
    }
    s->asked = true;
    s->asked_at = now;
    set_bits(s, SLOT_STS, STS_BUTTON, true);
    update_irq(s);
    return true;
}

static const PciBusPlug port_plug = { .added = port_added, .request = port_request };

/* ---- the function ---- */

static void port_written(PciBridge *b, unsigned offset, unsigned len)
{
    RootPort *s = container_of(b, RootPort, bridge);
    unsigned at = s->cap + SLOT_CTL, was = s->ctl, ctl;

    if (!s->hotplug || offset >= at + 4 || offset + len <= at) {
        return;
    }
    ctl = ld_le16(reg(s, SLOT_CTL));
    s->ctl = (uint16_t)ctl;
    if (offset < at + 2) {
        trace_pcie_slot(s->slot, was, ctl);
        set_bits(s, SLOT_STS, STS_COMMAND, true); /* "Command Completed" */
        set_link(s);
        if (is_off(ctl) && !is_off(was) && occupied(s)) {
            eject(s);
            return;
        }
    }
    update_irq(s);
}

/* capabilities - Express with a slot, and a message. */
static void capabilities(RootPort *s)
{
    PciDevice *d = &s->bridge.pci;
    uint32_t slot = (uint32_t)(s->slot & 0x1fff) << 19;

    msi_init(d, 0, 1, MSI_64 | MSI_MASKABLE);
    s->cap = pcie_cap(d, PCIE_ROOT_PORT);
    set_bits(s, CAP_FLAGS, SLOT_IMPLEMENTED, true);
    st_le32(reg(s, LINK_CAP), ld_le32(reg(s, LINK_CAP)) | LINK_CAP_ACTIVE | (uint32_t)s->port << 24);
    if (s->hotplug) {
        slot |= SC_BUTTON | SC_POWER | SC_ATTENTION | SC_INDICATOR | SC_HOTPLUG;
        st_le16(d->wmask + s->cap + SLOT_CTL, CTL_MASK);
        st_le16(d->w1c + s->cap + SLOT_STS, STS_EVENTS);
    }
    st_le32(reg(s, SLOT_CAP), slot);
    st_le16(d->wmask + s->cap + ROOT_CTL, 0x000f);
}

static bool chassis_free(const RootPort *s, Error **errp)
{
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        const RootPort *other = d->cls == s->bridge.pci.dev.cls ? port_of(d) : NULL;

        if (other != NULL && other->chassis == s->chassis && other->slot == s->slot) {
            error_set(errp, "Can't add chassis slot, error -16: chassis %u, slot %u is that of '%s'", s->chassis, s->slot,
                      d->id);
            return false;
        }
    }
    return true;
}

static bool port_realize(Device *dev, Error **errp)
{
    RootPort *s = port_of(dev);

    if (!chassis_free(s, errp) || !pci_plug(&s->bridge.pci, 0x1b36, 0x000c, 0x060400, 0, 1, errp)) {
        return false;
    }
    pci_bridge_init(&s->bridge, 0, 0);
    s->bridge.written = port_written;
    capabilities(s);
    if (s->hotplug) {
        pci_bus_set_plug(s->bridge.pci.below, &port_plug, s);
    }
    pci_ready(&s->bridge.pci);
    return true;
}

static void port_unrealize(Device *dev)
{
    pci_bridge_remove(&port_of(dev)->bridge);
}

/* What is in the slot at power-on has power. */
static void port_reset(Device *dev)
{
    RootPort *s = port_of(dev);
    bool card = occupied(s);

    s->asked = s->raised = false;
    pci_bridge_reset(&s->bridge);
    set_bits(s, SLOT_STS, STS_PRESENT, card);
    if (s->hotplug) {
        st_le16(reg(s, SLOT_CTL), (uint16_t)(CTL_ATTENTION_OFF | (card ? INDICATOR_ON : INDICATOR_OFF | CTL_POWER_OFF)));
    }
    s->ctl = ld_le16(reg(s, SLOT_CTL));
    set_bits(s, LINK_STATUS, LINK_ACTIVE, card);
}

static bool port_post_load(Device *dev, Error **errp)
{
    RootPort *s = port_of(dev);
    uint16_t ctl = ld_le16(reg(s, SLOT_CTL)) & CTL_MASK;

    st_le16(reg(s, SLOT_CTL), s->hotplug ? ctl : 0);
    s->ctl = ld_le16(reg(s, SLOT_CTL));
    pci_bridge_post_load(&s->bridge);
    return true;
}

static const Property port_props[] = {
    PCI_PROPS_AT(RootPort, bridge.pci, NULL),
    PROP_U8("port", RootPort, port, 0, "number of the port"),
    PROP_U8("chassis", RootPort, chassis, 0, "number of the chassis"),
    PROP_U16("slot", RootPort, slot, 0, "number of the slot, of its own in the chassis"),
    PROP_BOOL("hotplug", RootPort, hotplug, true, "the card may come and go while the machine runs"),
    PROP_END,
};

static const StateField port_fields[] = {
    STATE_STRUCT(RootPort, bridge, pci_bridge_fields), STATE_BOOL(RootPort, asked), STATE_BOOL(RootPort, raised), STATE_END,
};

extern const DeviceClass pcie_root_port_class;
const DeviceClass pcie_root_port_class = {
    .name = "pcie-root-port",
    .desc = "PCI Express Root Port",
    .size = sizeof(RootPort),
    .bus = BUS_PCI,
    .user_creatable = true,
    .no_hotplug = true,
    .props = port_props,
    .realize = port_realize,
    .unrealize = port_unrealize,
    .reset = port_reset,
    .fields = port_fields,
    .post_load = port_post_load,
};
