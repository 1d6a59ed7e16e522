/*
 * usb-hub: eight ports, each with its own power switch.
 * Source: USB 2.0, chapter 11 "Hub Specification"; headings quoted.
 */
#include "hw/usb/usb.h"

#include <string.h>
#include "base/mem.h"

enum { HUB_PORTS = 8 };

/* "Port Status Field" and "Port Change Field" */
#define PORT_CONNECTION 0x0001
#define PORT_ENABLE 0x0002
#define PORT_SUSPEND 0x0004
#define PORT_POWER 0x0100
#define CHANGE_MASK 0x001f
#define CHANGE_RESET 0x0010

/* "Hub Class Feature Selectors" */
enum { FEATURE_CONNECTION = 0, FEATURE_ENABLE = 1, FEATURE_SUSPEND = 2, FEATURE_RESET = 4, FEATURE_POWER = 8,
       FEATURE_C_FIRST = 16, FEATURE_C_LAST = 20 };

#define HUB_IN(n) ((USB_TO_HOST | USB_CLASS) << 8 | (n))
#define HUB_OUT(n) (USB_CLASS << 8 | (n))
#define PORT_IN(n) ((USB_TO_HOST | USB_CLASS | USB_OTHER) << 8 | (n))
#define PORT_OUT(n) ((USB_CLASS | USB_OTHER) << 8 | (n))

typedef struct UsbHub {
    UsbDevice usb; /* first member */
    uint16_t status[HUB_PORTS], change[HUB_PORTS];
    UsbPort port[HUB_PORTS]; /* wiring */
} UsbHub;

static UsbHub *hub_of(UsbDevice *d)
{
    return container_of(d, UsbHub, usb);
}

/* changed - port @n has news for the status change endpoint. */
static void changed(UsbHub *h, unsigned n, uint16_t what)
{
    h->change[n] |= what & CHANGE_MASK;
    usb_wakeup(&h->usb);
}

static void power(UsbHub *h, unsigned n, bool on)
{
    bool there = h->port[n].dev != NULL;

    h->status[n] = on ? (uint16_t)(PORT_POWER | (there ? PORT_CONNECTION : 0)) : 0;
    h->change[n] = 0;
    if (on && there) {
        changed(h, n, PORT_CONNECTION);
    } else if (there) {
        usb_device_reset(h->port[n].dev);
    }
}

static void hub_attached(void *opaque, unsigned n)
{
    UsbHub *h = opaque;

    if (h->status[n] & PORT_POWER) {
        h->status[n] = (uint16_t)(PORT_POWER | (h->port[n].dev != NULL ? PORT_CONNECTION : 0));
        changed(h, n, PORT_CONNECTION);
    }
}

/* A device that wakes resumes its port, and the hub what is above it. */
static void hub_wakeup(void *opaque, unsigned n)
{
    UsbHub *h = opaque;

    if ((h->status[n] & PORT_SUSPEND) && h->port[n].dev->remote_wakeup) {
        h->status[n] &= (uint16_t)~PORT_SUSPEND;
        changed(h, n, PORT_SUSPEND);
    } else {
        usb_wakeup(&h->usb);
    }
}

static const UsbPortOps hub_port_ops = { .attached = hub_attached, .wakeup = hub_wakeup };

static UsbDevice *hub_find(UsbDevice *d, unsigned address)
{
    UsbHub *h = hub_of(d);
    UsbDevice *found = NULL;

    for (unsigned n = 0; n < HUB_PORTS && found == NULL; n++) {
        if ((h->status[n] & (PORT_ENABLE | PORT_SUSPEND)) == PORT_ENABLE) {
            found = usb_find(h->port[n].dev, address);
        }
    }
    return found;
}

/* ---- requests ---- */

static int set_port_feature(UsbHub *h, unsigned n, unsigned feature)
{
    bool there = (h->status[n] & PORT_CONNECTION) != 0;

    switch (feature) {
    case FEATURE_RESET:
        if (there && h->port[n].dev != NULL) {
            usb_device_reset(h->port[n].dev);
            h->status[n] = PORT_POWER | PORT_CONNECTION | PORT_ENABLE;
            changed(h, n, CHANGE_RESET);
        }
        return 0;
    case FEATURE_SUSPEND:
        h->status[n] |= h->status[n] & PORT_ENABLE ? PORT_SUSPEND : 0;
        return 0;
    case FEATURE_POWER:
        if (!(h->status[n] & PORT_POWER)) {
            power(h, n, true);
        }
        return 0;
    default:
        return USB_STALL;
    }
}

static int clear_port_feature(UsbHub *h, unsigned n, unsigned feature)
{
    switch (feature) {
    case FEATURE_ENABLE:
        h->status[n] &= (uint16_t)~(PORT_ENABLE | PORT_SUSPEND);
        return 0;
    case FEATURE_SUSPEND:
        if (h->status[n] & PORT_SUSPEND) {
            h->status[n] &= (uint16_t)~PORT_SUSPEND;
            changed(h, n, PORT_SUSPEND);
        }
        return 0;
    case FEATURE_POWER:
        power(h, n, false);
        return 0;
    case FEATURE_C_FIRST ... FEATURE_C_LAST:
        h->change[n] &= (uint16_t)~(1u << (feature - FEATURE_C_FIRST));
        return 0;
    default:
        return USB_STALL;
    }
}

static int hub_control(UsbDevice *d, const UsbSetup *s, uint8_t *data)
{
    static const uint8_t descriptor[] = {
        11, 0x29, HUB_PORTS, 0x09, 0x00, /* power and over-current by port */
        1, 0, 0, 0, 0xff, 0xff,          /* 2 ms; all removable */
    };
    static const uint8_t no_status[4] = { 0 };
    UsbHub *h = hub_of(d);
    unsigned n = (s->index & 0xffu) - 1;
    uint8_t t[4];

    switch (usb_request(s)) {
    case HUB_IN(USB_GET_DESCRIPTOR):
        return usb_bytes(s, data, descriptor, sizeof(descriptor));
    case HUB_IN(USB_GET_STATUS):
        return usb_bytes(s, data, no_status, sizeof(no_status));
    case HUB_OUT(USB_SET_FEATURE):
    case HUB_OUT(USB_CLEAR_FEATURE): /* changes of its power and current, of which there are none */
        return s->value <= 1 ? 0 : USB_STALL;
    case PORT_IN(USB_GET_STATUS):
        if (n >= HUB_PORTS) {
            return USB_STALL;
        }
        st_le16(t, h->status[n]);
        st_le16(t + 2, h->change[n]);
        return usb_bytes(s, data, t, sizeof(t));
    case PORT_OUT(USB_SET_FEATURE):
        return n < HUB_PORTS ? set_port_feature(h, n, s->value) : USB_STALL;
    case PORT_OUT(USB_CLEAR_FEATURE):
        return n < HUB_PORTS ? clear_port_feature(h, n, s->value) : USB_STALL;
    default:
        return USB_STALL;
    }
}

/* "Hub and Port Status Change Bitmap": bit 0 is the hub, bit 1 its first port. */
static int hub_in(UsbDevice *d, unsigned ep, uint8_t *data)
{
    UsbHub *h = hub_of(d);
    uint16_t map = 0;

    for (unsigned n = 0; n < HUB_PORTS; n++) {
        map |= (uint16_t)(h->change[n] != 0 ? 2u << n : 0);
    }
    st_le16(data, map);
    return map != 0 ? 2 : USB_NAK;
}

static void hub_configured(UsbDevice *d)
{
    for (unsigned n = 0; n < HUB_PORTS; n++) {
        power(hub_of(d), n, false); /* the host switches it on */
    }
}

/* ---- the device ---- */

static const uint8_t hub_config[] = {
    9, 2, 25, 0, 1, 1, 0, 0xe0, 0, /* has power of its own, wakes the host */
    9, 4, 0, 0, 1, 9, 0, 0, 0,
    7, 5, 0x81, 3, 2, 0, 0xff,
};

static const UsbClass hub_usb = {
    .vendor = 0x0409, .product = 0x55aa, .device_class = 9, .product_name = "USB Hub", .config = hub_config,
    .config_len = sizeof(hub_config), .endpoints = 1 << 1, .control = hub_control, .in = hub_in,
    .configured = hub_configured, .find = hub_find,
};

static bool hub_realize(Device *dev, struct Error **errp)
{
    UsbHub *h = container_of(dev, UsbHub, usb.dev);

    if (!usb_plug(&h->usb, &hub_usb, errp)) {
        return false;
    }
    for (unsigned n = 0; n < HUB_PORTS; n++) {
        usb_port_add(&h->port[n], h->usb.port->bus, h->usb.port, n, &hub_port_ops, h);
    }
    return true;
}

static void hub_unrealize(Device *dev)
{
    UsbHub *h = container_of(dev, UsbHub, usb.dev);

    for (unsigned n = HUB_PORTS; n > 0; n--) {
        usb_port_remove(&h->port[n - 1]);
    }
    usb_unplug(&h->usb);
}

static void hub_reset(Device *dev)
{
    usb_device_reset(&container_of(dev, UsbHub, usb.dev)->usb);
}

static const Property hub_props[] = { USB_PROPS(UsbHub), PROP_END };

static const StateField hub_fields[] = {
    STATE_STRUCT(UsbHub, usb, usb_device_fields), STATE_BYTES(UsbHub, status), STATE_BYTES(UsbHub, change),
    STATE_END,
};

const DeviceClass usb_hub_class = {
    .name = "usb-hub",
    .desc = "USB hub with 8 ports",
    .size = sizeof(UsbHub),
    .bus = BUS_USB,
    .user_creatable = true,
    .no_hotplug = true, /* with what is in it */
    .props = hub_props,
    .realize = hub_realize,
    .unrealize = hub_unrealize,
    .reset = hub_reset,
    .fields = hub_fields,
    .post_load = usb_device_post_load,
};
