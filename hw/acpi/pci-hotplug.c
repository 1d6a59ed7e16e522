/*
 * PCI hot-plug by ACPI: see pci-hotplug.h.
 *
 * A bit of the first two registers is the guest's once it has read it: the event method tells its operating system of
 * each slot one time. What it was asked to let go of stays asked for (`asked`) until it does, or until a reset.
 */
#include "hw/acpi/pci-hotplug.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "hw/board.h"
#include "hw/pci/pci.h"

enum { SLOTS = 32 };
#define AGAIN_NS (5 * NS_PER_SEC) /* after which a guest that did nothing may be asked again */

typedef struct PciHotplug {
    Device dev; /* first member */
    uint32_t up, down, asked;
    int64_t asked_at[SLOTS]; /* CLK_REAL; not saved */
    /* wiring */
    PciBus *bus;
    const PciHotplugOps *ops;
    void *opaque;
    IoRegion io;
} PciHotplug;

static PciHotplug *hotplug_of(Device *dev)
{
    return container_of(dev, PciHotplug, dev);
}

void pci_hotplug_connect(Device *dev, PciBus *bus, const PciHotplugOps *ops, void *opaque)
{
    PciHotplug *s = hotplug_of(dev);

    s->bus = bus;
    s->ops = ops;
    s->opaque = opaque;
}

static bool stays(const PciDevice *d)
{
    return d->dev.cls->no_hotplug || !d->dev.cls->user_creatable;
}

uint32_t pci_hotplug_slots(Device *dev)
{
    PciHotplug *s = hotplug_of(dev);
    uint32_t slots = 0xfffffffe; /* slot 0 is the host bridge's */

    for (unsigned devfn = 0; devfn < 256; devfn++) {
        const PciDevice *d = pci_bus_find(s->bus, devfn);

        if (d != NULL && stays(d)) {
            slots &= ~BIT(devfn >> 3);
        }
    }
    return slots;
}

void pci_hotplug_added(Device *dev, PciDevice *d)
{
    PciHotplug *s = hotplug_of(dev);

    s->up |= BIT(d->devfn >> 3);
    s->ops->event(s->opaque);
}

bool pci_hotplug_request(Device *dev, PciDevice *d, Error **errp)
{
    PciHotplug *s = hotplug_of(dev);
    unsigned slot = d->devfn >> 3;
    int64_t now = clock_now(CLK_REAL);

    if ((s->asked & BIT(slot)) && now - s->asked_at[slot] < AGAIN_NS) {
        error_set(errp, "Device %s is already in the process of unplug", d->dev.id);
        return false;
    }
    s->asked_at[slot] = now;
    s->asked |= BIT(slot);
    s->down |= BIT(slot);
    s->ops->event(s->opaque);
    return true;
}

static void eject(PciHotplug *s, uint32_t slots)
{
    for (unsigned devfn = 8; devfn < 256; devfn++) {
        PciDevice *d = pci_bus_find(s->bus, devfn);

        if (d != NULL && (slots & BIT(devfn >> 3)) && !stays(d)) {
            pci_hide(d);
            s->ops->ejected(s->opaque, d);
        }
    }
    s->asked &= ~slots;
    s->up &= ~slots;
    s->down &= ~slots;
}

void pci_hotplug_reset_cards(Device *dev)
{
    eject(hotplug_of(dev), hotplug_of(dev)->asked);
}

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    PciHotplug *s = opaque;
    uint32_t val = 0;

    switch (offset) {
    case PCIHP_UP:
        val = s->up;
        s->up = 0;
        break;
    case PCIHP_DOWN:
        val = s->down;
        s->down = 0;
        break;
    case PCIHP_REMOVABLE:
        val = pci_hotplug_slots(&s->dev);
        break;
    default:
        break;
    }
    return val;
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PciHotplug *s = opaque;

    if (offset == PCIHP_EJECT) {
        eject(s, (uint32_t)val & pci_hotplug_slots(&s->dev));
    } else {
        log_guest("acpi-pci-hotplug: write of register %u, which is read-only\n", (unsigned)offset);
    }
}

static const IoOps hotplug_ops = { .read = hotplug_read, .write = hotplug_write, .min_size = 4, .max_size = 4 };

static bool hotplug_realize(Device *dev, Error **errp)
{
    PciHotplug *s = hotplug_of(dev);

    io_region_init(&s->io, &hotplug_ops, s, "acpi-pci-hotplug", PCIHP_SIZE);
    return port_map(&s->io, PCIHP_BASE, errp);
}

static void hotplug_unrealize(Device *dev)
{
    port_unmap(&hotplug_of(dev)->io);
}

static void hotplug_reset(Device *dev)
{
    PciHotplug *s = hotplug_of(dev);

    s->up = s->down = s->asked = 0;
}

static const StateField hotplug_fields[] = {
    STATE_U32(PciHotplug, up), STATE_U32(PciHotplug, down), STATE_U32(PciHotplug, asked), STATE_END,
};

const DeviceClass pci_hotplug_class = {
    .name = "acpi-pci-hotplug",
    .desc = "ACPI's registers for PCI hot-plug",
    .size = sizeof(PciHotplug),
    .realize = hotplug_realize,
    .unrealize = hotplug_unrealize,
    .reset = hotplug_reset,
    .fields = hotplug_fields,
};
