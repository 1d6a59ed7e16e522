/*
 * USB buses: ports, and what is plugged into them. See usb.h.
 */
#include "hw/usb/usb.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"

void usb_bus_init(UsbBus *bus, const char *id)
{
    unsigned number = 0;

    while (device_bus_nth(BUS_USB, number) != NULL) {
        number++;
    }
    bus->number = number;
    bus->ports = NULL;
    bus->name = id != NULL ? xasprintf("%s.0", id) : xasprintf("usb-bus.%u", number);
    device_bus_add(BUS_USB, bus->name, bus);
}

void usb_bus_fini(UsbBus *bus)
{
    device_bus_remove(bus);
    free(bus->name);
    bus->name = NULL;
}

void usb_port_add(UsbPort *port, UsbBus *bus, UsbPort *parent, unsigned n, const UsbPortOps *ops, void *opaque)
{
    UsbPort **end = &bus->ports;

    *port = (UsbPort){ .bus = bus, .ops = ops, .opaque = opaque, .n = n };
    port->depth = parent != NULL ? parent->depth + 1 : 0;
    port->path = parent != NULL ? xasprintf("%s.%u", parent->path, n + 1) : xasprintf("%u", n + 1);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = port;
}

void usb_port_remove(UsbPort *port)
{
    if (port->dev != NULL) {
        usb_unplug(port->dev);
    }
    for (UsbPort **p = &port->bus->ports; *p != NULL; p = &(*p)->next) {
        if (*p == port) {
            *p = port->next;
            break;
        }
    }
    free(port->path);
    port->path = NULL;
}

/* ---- plugging in ---- */

static unsigned free_ports(const UsbBus *bus, UsbPort **first)
{
    unsigned count = 0;

    for (UsbPort *p = bus->ports; p != NULL; p = p->next) {
        if (p->dev == NULL && count++ == 0) {
            *first = p;
        }
    }
    return count;
}

static UsbPort *named_port(const UsbBus *bus, const char *name, Error **errp)
{
    for (UsbPort *p = bus->ports; p != NULL; p = p->next) {
        if (strcmp(p->path, name) == 0) {
            if (p->dev == NULL) {
                return p;
            }
            error_set(errp, "usb port %s (bus %s) is in use by %s", name, bus->name, p->dev->dev.id);
            return NULL;
        }
    }
    error_set(errp, "usb port %s (bus %s) not found", name, bus->name);
    return NULL;
}

/* add_hub - at the last free port, so that there are more. */
static bool add_hub(UsbBus *bus, const Device *for_dev, Error **errp)
{
    Device *hub = device_new(&usb_hub_class, NULL);

    hub->board = for_dev->board;
    if (!device_set(hub, "bus", bus->name, errp) || !device_realize(hub, errp)) {
        device_free(hub);
        return false;
    }
    return true;
}

static UsbPort *find_port(UsbDevice *d, UsbBus *bus, Error **errp)
{
    UsbPort *port = NULL;
    unsigned count;

    if (d->port_name != NULL) {
        return named_port(bus, d->port_name, errp);
    }
    count = free_ports(bus, &port);
    if (count == 1 && d->dev.cls != &usb_hub_class) {
        if (!add_hub(bus, &d->dev, errp)) {
            return NULL;
        }
        count = free_ports(bus, &port);
    }
    if (count == 0) {
        error_set(errp, "tried to attach usb device %s to a bus with no free ports", d->usb->product_name);
        return NULL;
    }
    return port;
}

bool usb_plug(UsbDevice *d, const UsbClass *usb, Error **errp)
{
    UsbBus *bus = d->bus_name != NULL ? device_bus_find(BUS_USB, d->bus_name, errp) : device_bus_nth(BUS_USB, 0);

    d->usb = usb;
    if (d->version != 1 && d->version != 2) {
        error_set(errp, "usb_version=%u: not 1 or 2", d->version);
        return false;
    }
    if (bus == NULL) {
        if (d->bus_name == NULL) {
            error_set(errp, "No 'usb-bus' bus found for device '%s' (add -usb before it)", d->dev.cls->name);
        }
        return false;
    }
    d->port = find_port(d, bus, errp);
    if (d->port == NULL) {
        return false;
    }
    if (usb->find != NULL && d->port->depth >= USB_DEPTH_MAX) {
        error_set(errp, "usb port %s (bus %s): no more than %d hubs behind each other", d->port->path, bus->name,
                  USB_DEPTH_MAX);
        d->port = NULL;
        return false;
    }
    d->port->dev = d;
    d->port->ops->attached(d->port->opaque, d->port->n);
    return true;
}

void usb_unplug(UsbDevice *d)
{
    UsbPort *port = d->port;

    if (port != NULL) {
        d->port = NULL;
        port->dev = NULL;
        port->ops->attached(port->opaque, port->n);
    }
}

void usb_print(FILE *out)
{
    const UsbBus *bus;

    if (device_bus_nth(BUS_USB, 0) == NULL) {
        fprintf(out, "USB support not enabled\n");
    }
    for (unsigned n = 0; (bus = device_bus_nth(BUS_USB, n)) != NULL; n++) {
        for (const UsbPort *p = bus->ports; p != NULL; p = p->next) {
            if (p->dev != NULL) {
                fprintf(out, "  Device %u.%u, Port %s, Speed 12 Mb/s, Product %s%s%s\n", bus->number,
                        p->dev->address, p->path, p->dev->usb->product_name, p->dev->dev.named ? ", ID: " : "",
                        p->dev->dev.named ? p->dev->dev.id : "");
            }
        }
    }
}
