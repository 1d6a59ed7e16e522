/*
 * virtserialport and virtconsole: ports of a virtio-serial device, each with a character device at the host's end.
 */
#include "hw/virtio/virtio-serial.h"

#include "base/error.h"
#include "base/mem.h"
#include "chardev/chardev.h"

static VirtSerialPort *port_of(Device *dev)
{
    return container_of(dev, VirtSerialPort, dev);
}

static size_t can_receive(void *opaque)
{
    return vserial_room(opaque);
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    vserial_give(opaque, buf, len);
}

static void on_event(void *opaque, CharEvent ev)
{
    if (ev == CHAR_OPENED || ev == CHAR_CLOSED) {
        vserial_host_open(opaque, ev == CHAR_OPENED);
    }
}

static const CharFront front = { .can_receive = can_receive, .receive = receive, .event = on_event };

static bool port_realize(Device *dev, Error **errp)
{
    VirtSerialPort *p = port_of(dev);
    VirtioSerial *s = p->bus_name != NULL ? device_bus_find(BUS_VSERIAL, p->bus_name, errp)
                                          : device_bus_nth(BUS_VSERIAL, 0);

    if (s == NULL) {
        if (p->bus_name == NULL) {
            error_set(errp, "No 'virtio-serial-bus' bus found for device '%s'", dev->cls->name);
        }
        return false;
    }
    if (!vserial_join(s, p, errp)) {
        return false;
    }
    if (p->chr != NULL && !chardev_attach(p->chr, &front, p, errp)) {
        vserial_leave(p);
        return false;
    }
    return true;
}

static bool console_realize(Device *dev, Error **errp)
{
    port_of(dev)->console = true;
    return port_realize(dev, errp);
}

static void port_unrealize(Device *dev)
{
    VirtSerialPort *p = port_of(dev);

    if (p->chr != NULL) {
        chardev_detach(p->chr, p);
    }
    vserial_leave(p);
}

static const Property port_props[] = {
    PROP_CHARDEV("chardev", VirtSerialPort, chr, "the host's end"),
    PROP_STR("name", VirtSerialPort, name, NULL, "what the guest finds it by"),
    PROP_U32("nr", VirtSerialPort, nr, UINT32_MAX, "its number; else the first that is free"),
    PROP_STR("bus", VirtSerialPort, bus_name, NULL, "the virtio-serial device's bus, as virtio-serial-bus.0"),
    PROP_END,
};

#define PORT_CLASS(cname, text, realize_)                                                          \
    {                                                                                              \
        .name = (cname), .desc = (text), .size = sizeof(VirtSerialPort), .bus = BUS_VSERIAL,       \
        .user_creatable = true, .props = port_props, .realize = (realize_), .unrealize = port_unrealize, \
    }

extern const DeviceClass virtserialport_class, virtconsole_class;
const DeviceClass virtserialport_class = PORT_CLASS("virtserialport", "port of a virtio-serial device", port_realize);
const DeviceClass virtconsole_class = PORT_CLASS("virtconsole", "console on a virtio-serial device", console_realize);
