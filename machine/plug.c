/*
 * Devices that the user plugs in and pulls out: see plug.h.
 *
 * A card goes in steps: the guest is asked (device_del), lets go of it (its eject register, on some processor's thread,
 * where the card is reset and leaves its bus), and the loop frees it with all processors paused: one of them may have
 * looked up its registers just before.
 */
#include "machine/plug.h"

#include <stdlib.h>
#include "accel/accel.h"
#include "base/error.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"
#include "block/node.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/board.h"
#include "hw/pci/pci.h"
#include "machine/pc.h"

#define PERIPHERAL "/machine/peripheral/"

static Device **gone; /* those that wait for unplug_now(); under the machine lock */
static size_t gone_count;

/* ---- models ---- */

void plug_list(FILE *out)
{
    static const char *const buses[] = { NULL, "ISA", "PCI", "IDE", "usb-bus", "SCSI", "virtio-serial-bus" };

    for (const DeviceClass *const *c = device_classes; *c != NULL; c++) {
        if (!(*c)->user_creatable) {
            continue;
        }
        fprintf(out, "name \"%s\"", (*c)->name);
        if (buses[(*c)->bus] != NULL) {
            fprintf(out, ", bus %s", buses[(*c)->bus]);
        }
        if ((*c)->alias != NULL) {
            fprintf(out, ", alias \"%s\"", (*c)->alias);
        }
        if ((*c)->desc != NULL) {
            fprintf(out, ", desc \"%s\"", (*c)->desc);
        }
        fprintf(out, "\n");
    }
}

const DeviceClass *plug_class(const char *name, Error **errp)
{
    const DeviceClass *cls = device_class_find(name);
    Nearest near;

    if (cls != NULL && cls->user_creatable) {
        return cls;
    }
    if (cls != NULL) {
        error_set(errp, "'%s' is part of the board and cannot be added", name);
        return NULL;
    }
    nearest_init(&near, name);
    for (const DeviceClass *const *c = device_classes; *c != NULL; c++) {
        if ((*c)->user_creatable) {
            nearest_offer(&near, (*c)->name);
        }
    }
    if (near.best != NULL) {
        error_set(errp, "there is no device model '%s'; did you mean '%s'?", name, near.best);
    } else {
        error_set(errp, "there is no device model '%s'", name);
    }
    return NULL;
}

/* ---- in ---- */

static bool set_property(void *opaque, const char *key, const char *value, Error **errp)
{
    return device_set(opaque, key, value, errp);
}

static Device *make(const DeviceClass *cls, OptList *l, Error **errp)
{
    Device *dev = device_new(cls, opt_get_str(l, "id", NULL));

    dev->board = pc_board();
    if (!opt_each_unused(l, set_property, dev, errp) || !device_realize(dev, errp)) {
        device_free(dev);
        return NULL;
    }
    return dev;
}

bool plug_device(OptList *l, Error **errp)
{
    const char *driver = opt_get_str(l, "driver", ""), *id = opt_get_str(l, "id", NULL);

    if (id != NULL && device_find(id) != NULL) {
        error_set(errp, "-device %s: id '%s' is taken", driver, id);
        return false;
    }
    if (make(device_class_find(driver), l, errp) == NULL) {
        error_prepend(errp, "-device %s: ", driver);
        return false;
    }
    return true;
}

/* can_come_and_go - whether a device of the class can while the machine is there. */
static bool can_come_and_go(const DeviceClass *cls, Error **errp)
{
    static const char *const fixed[] = { [BUS_ISA] = "isa.0", [BUS_IDE] = "ide.0" };

    if (cls->bus < ARRAY_SIZE(fixed) && fixed[cls->bus] != NULL) {
        error_set(errp, "Bus '%s' does not support hotplugging", fixed[cls->bus]);
    } else if (cls->no_hotplug || cls->bus == BUS_NONE || !cls->user_creatable) {
        error_set(errp, "Device '%s' does not support hotplugging", cls->name);
    } else {
        return true;
    }
    return false;
}

static PciDevice *card_of(Device *dev)
{
    return dev->cls->bus == BUS_PCI ? container_of(dev, PciDevice, dev) : NULL;
}

/* bus_cannot - an error that names @d's bus. */
static bool bus_cannot(const PciDevice *d, Error **errp)
{
    const char *name = pci_bus_name(d->bus) != NULL ? pci_bus_name(d->bus) : pc_board()->pci_name;

    if (name != NULL) {
        error_set(errp, "Bus '%s' does not support hotplugging", name);
    } else {
        error_set(errp, "Bus 'pci.0' does not support hotplugging: there is no ACPI");
    }
    return false;
}

/* tell_added - the guest looks at function 0, when the slot is complete. */
static bool tell_added(Device *dev, Error **errp)
{
    PciDevice *d = card_of(dev);
    const PciBusPlug *plug;
    void *opaque;

    if (d == NULL) {
        return true;
    }
    plug = pci_bus_plug(d->bus, &opaque);
    if (plug != NULL) {
        plug->added(opaque, d);
        return true;
    }
    if (pci_bus_name(d->bus) != NULL || pc_hotplug() == NULL) {
        return bus_cannot(d, errp);
    }
    if (!(pci_hotplug_slots(pc_hotplug()) & BIT(d->devfn >> 3))) {
        error_set(errp, "slot %x of bus 'pci.0' does not support hotplugging", d->devfn >> 3);
        return false;
    }
    if ((d->devfn & 7) == 0) {
        pci_hotplug_added(pc_hotplug(), d);
    }
    return true;
}

static bool plug_locked(const DeviceClass *cls, OptList *l, Error **errp)
{
    const char *id = opt_get_str(l, "id", NULL);
    Device *dev;

    if (id != NULL && device_find(id) != NULL) {
        error_set(errp, "Duplicate device ID '%s'", id);
        return false;
    }
    dev = make(cls, l, errp);
    if (dev != NULL && !tell_added(dev, errp)) {
        device_free(dev); /* no processor can have mapped it yet */
        dev = NULL;
    }
    return dev != NULL;
}

bool plug_hot(OptList *l, Error **errp)
{
    const char *driver = opt_get_str(l, "driver", NULL);
    const DeviceClass *cls;
    bool ok;

    if (driver == NULL) {
        error_set(errp, "Parameter 'driver' is missing");
        return false;
    }
    cls = plug_class(driver, errp);
    if (cls == NULL || !can_come_and_go(cls, errp)) {
        return false;
    }
    accel_pause(); /* nobody looks at a card that is half made, or at one that failed */
    machine_lock();
    ok = plug_locked(cls, l, errp);
    machine_unlock();
    accel_resume();
    return ok;
}

/* ---- out ---- */

/* child_of - a device that is plugged into @dev's bus. */
static Device *child_of(const Device *dev)
{
    Device *d = devices_first();

    while (d != NULL && d->parent != dev) {
        d = d->next;
    }
    return d;
}

/* A drive that was made by itself goes with the device; a node stays. */
static void release_drives(Device *dev)
{
    for (const Property *p = dev->cls->props; p != NULL && p->name != NULL; p++) {
        BlockBackend *b = p->type == PT_DRIVE ? *(BlockBackend **)prop_field(dev, p) : NULL;

        if (b != NULL && !node_known(blk_name(b))) {
            blk_goes_too(b);
        }
    }
}

static void free_and_tell(Device *dev)
{
    autofree char *id = xstrdup(dev->id), *path = NULL;
    bool named = dev->named;

    for (Device *child; (child = child_of(dev)) != NULL;) {
        free_and_tell(child);
    }
    release_drives(dev);
    device_free(dev);
    path = xasprintf("%s%s", named ? PERIPHERAL : "/machine/peripheral-anon/", id);
    event_emit("DEVICE_DELETED", (const EventField[]){ EV_STR("device", named ? id : NULL), EV_STR("path", path), EV_END });
}

void unplug_now(void)
{
    machine_lock();
    if (gone_count == 0) {
        machine_unlock();
        return;
    }
    machine_unlock();
    accel_pause();
    machine_lock();
    while (gone_count > 0) {
        free_and_tell(gone[--gone_count]);
    }
    free(gone);
    gone = NULL;
    machine_unlock();
    accel_resume();
}

static void on_gone(void *opaque)
{
    unplug_now();
}

void unplug_soon(Device *dev)
{
    dev->gone = true;
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        d->gone |= d->parent != NULL && d->parent->gone; /* parents come before their children */
    }
    gone = xrealloc(gone, gone_count + 1, sizeof(*gone));
    gone[gone_count++] = dev;
    loop_post(on_gone, NULL);
}

static Device *find(const char *id, Error **errp)
{
    size_t skip = strncmp(id, PERIPHERAL, strlen(PERIPHERAL)) == 0 ? strlen(PERIPHERAL) : 0;
    Device *dev = device_find(id + skip);

    if (dev == NULL || dev->gone || !dev->named || !dev->cls->user_creatable) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
        return NULL;
    }
    return dev;
}

/* request - the guest is asked to let go of a card. */
static bool request(PciDevice *d, Error **errp)
{
    void *opaque;
    const PciBusPlug *plug = pci_bus_plug(d->bus, &opaque);

    if (plug != NULL) {
        return plug->request(opaque, d, errp);
    }
    if (pci_bus_name(d->bus) != NULL || pc_hotplug() == NULL) {
        return bus_cannot(d, errp);
    }
    return pci_hotplug_request(pc_hotplug(), d, errp);
}

static bool unplug_locked(const char *id, Error **errp)
{
    Device *dev = find(id, errp);

    if (dev == NULL || !can_come_and_go(dev->cls, errp)) {
        return false;
    }
    if (card_of(dev) != NULL) {
        return request(card_of(dev), errp);
    }
    unplug_soon(dev);
    return true;
}

bool unplug_device(const char *id, Error **errp)
{
    bool ok;

    machine_lock();
    ok = unplug_locked(id, errp);
    machine_unlock();
    return ok;
}
