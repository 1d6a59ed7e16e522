/*
 * pvpanic: the guest tells that its kernel died. Source: QEMU's published specification "PVPANIC DEVICE": a byte at port 505h,
 * or at offset 0 of BAR 0 of a PCI device 1b36:0011, which reads as the events that there are; a guest writes what happened.
 */
#include "hw/misc/pvpanic.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "hw/board.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/trace.h"
#include "hw/pci/pci.h"

enum { EVENT_PANICKED = 1, EVENT_CRASH_LOADED = 2, EVENTS = 3 };
enum { BAR_SIZE = 16 };

typedef struct Pvpanic {
    Device dev;
    uint16_t port;
    uint8_t events;
    IoRegion io;
} Pvpanic;

typedef struct PvpanicPci {
    PciDevice pci;
    uint8_t events;
    IoRegion mem;
} PvpanicPci;

/* ---- what both do ---- */

static void happened(const Device *dev, unsigned event)
{
    const Board *board = dev->board;

    trace_pvpanic_write(event);
    if (event & ~(unsigned)EVENTS) {
        log_guest("%s: unknown events 0x%x\n", dev->id, event);
    }
    if ((event & EVENTS) != 0 && board != NULL && board->guest_panicked != NULL) {
        board->guest_panicked(!(event & EVENT_PANICKED));
    }
}

/* ---- a port ---- */

static uint64_t port_in(void *opaque, uint64_t offset, unsigned size)
{
    return ((Pvpanic *)opaque)->events;
}

static void port_out(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    happened(&((Pvpanic *)opaque)->dev, (unsigned)val);
}

static const IoOps port_ops = { .read = port_in, .write = port_out, .max_size = 1 };

uint16_t pvpanic_port(const Device *dev)
{
    return container_of(dev, Pvpanic, dev)->port;
}

static bool pvpanic_realize(Device *dev, Error **errp)
{
    Pvpanic *s = container_of(dev, Pvpanic, dev);
    const Board *board = dev->board;
    uint8_t port[2];

    st_le16(port, s->port);
    io_region_init(&s->io, &port_ops, s, "pvpanic", 1);
    if (!port_map(&s->io, s->port, errp)) {
        return false;
    }
    if (board != NULL && board->fw_cfg != NULL &&
        !fw_cfg_add_file(board->fw_cfg, "etc/pvpanic-port", port, sizeof(port), errp)) {
        port_unmap(&s->io);
        return false;
    }
    return true;
}

static void pvpanic_unrealize(Device *dev)
{
    port_unmap(&container_of(dev, Pvpanic, dev)->io);
}

static const Property pvpanic_props[] = {
    PROP_U16("ioport", Pvpanic, port, 0x505, "the port"),
    PROP_U8("events", Pvpanic, events, EVENTS, "what a guest may tell: 1 it panicked, 2 its crash kernel runs"),
    PROP_END,
};

const DeviceClass pvpanic_class = {
    .name = "pvpanic",
    .desc = "port by which a guest tells that it panicked",
    .size = sizeof(Pvpanic),
    .bus = BUS_ISA,
    .user_creatable = true,
    .props = pvpanic_props,
    .realize = pvpanic_realize,
    .unrealize = pvpanic_unrealize,
};

/* ---- a card ---- */

static PvpanicPci *card_of(Device *dev)
{
    return container_of(dev, PvpanicPci, pci.dev);
}

static uint64_t card_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset == 0 ? ((PvpanicPci *)opaque)->events : 0;
}

static void card_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    if (offset == 0) {
        happened(&((PvpanicPci *)opaque)->pci.dev, (unsigned)val);
    }
}

static const IoOps card_ops = { .read = card_read, .write = card_write, .max_size = 1 };

static bool pvpanic_pci_realize(Device *dev, Error **errp)
{
    PvpanicPci *s = card_of(dev);
    PciDevice *d = &s->pci;

    if (!pci_plug(d, 0x1b36, 0x0011, 0x088000, 1, 0, errp)) {
        return false;
    }
    st_le16(d->config + PCI_SUBSYS_VENDOR, 0x1af4);
    st_le16(d->config + PCI_SUBSYS, 0x1100);
    io_region_init(&s->mem, &card_ops, s, "pvpanic", BAR_SIZE);
    pci_bar(d, 0, &s->mem, 0);
    pci_ready(d);
    return true;
}

static void pvpanic_pci_unrealize(Device *dev)
{
    pci_remove(&card_of(dev)->pci);
}

static void pvpanic_pci_reset(Device *dev)
{
    pci_reset(&card_of(dev)->pci);
}

static bool pvpanic_pci_post_load(Device *dev, Error **errp)
{
    pci_post_load(&card_of(dev)->pci);
    return true;
}

static const Property pvpanic_pci_props[] = {
    PCI_PROPS(PvpanicPci, NULL),
    PROP_U8("events", PvpanicPci, events, EVENTS, "what a guest may tell: 1 it panicked, 2 its crash kernel runs"),
    PROP_END,
};

static const StateField pvpanic_pci_fields[] = { STATE_STRUCT(PvpanicPci, pci, pci_fields), STATE_END };

const DeviceClass pvpanic_pci_class = {
    .name = "pvpanic-pci",
    .desc = "card by which a guest tells that it panicked",
    .size = sizeof(PvpanicPci),
    .bus = BUS_PCI,
    .user_creatable = true,
    .props = pvpanic_pci_props,
    .fields = pvpanic_pci_fields,
    .realize = pvpanic_pci_realize,
    .unrealize = pvpanic_pci_unrealize,
    .reset = pvpanic_pci_reset,
    .post_load = pvpanic_pci_post_load,
};
