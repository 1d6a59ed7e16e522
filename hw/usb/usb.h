/*
 * USB: what a host controller, a hub and a device have to know of each other.
 *
 * A bus belongs to a controller and has ports, those of the controller and those of hubs. A device is plugged
 * into a port; all of them run at full speed. A transaction is one call of usb_transact() and ends at once:
 * a device that has nothing to say answers with USB_NAK and calls usb_wakeup() when it has.
 *
 * Source: Universal Serial Bus Specification 2.0, chapters 8 and 9. Not modelled: data toggles (nothing is
 * ever lost on this wire, so both ends always agree), low speed, isochronous endpoints.
 *
 * Machine lock held for all of it.
 */
#ifndef HW_USB_USB_H
#define HW_USB_USB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "bus/device.h"
#include "bus/state.h"

struct Error;
typedef struct UsbBus UsbBus;
typedef struct UsbDevice UsbDevice;
typedef struct UsbPort UsbPort;

enum { USB_PID_SETUP = 0x2d, USB_PID_IN = 0x69, USB_PID_OUT = 0xe1 };

/* What a transaction comes to, other than a number of bytes. */
enum { USB_NAK = -1, USB_STALL = -2, USB_BABBLE = -3 };

/* "Standard Device Requests"; bmRequestType is the high byte of what usb_request() makes. */
enum { USB_GET_STATUS = 0, USB_CLEAR_FEATURE = 1, USB_SET_FEATURE = 3, USB_SET_ADDRESS = 5,
       USB_GET_DESCRIPTOR = 6, USB_GET_CONFIGURATION = 8, USB_SET_CONFIGURATION = 9, USB_GET_INTERFACE = 10,
       USB_SET_INTERFACE = 11 };
enum { USB_DT_DEVICE = 1, USB_DT_CONFIG = 2, USB_DT_STRING = 3 };
enum { USB_TO_HOST = 0x80, USB_CLASS = 0x20, USB_INTERFACE = 1, USB_ENDPOINT = 2, USB_OTHER = 3 };

typedef struct UsbSetup {
    uint8_t type, request;
    uint16_t value, index, length;
} UsbSetup;

static inline unsigned usb_request(const UsbSetup *s)
{
    return (unsigned)s->type << 8 | s->request;
}

enum { USB_PACKET_0 = 64 };     /* "bMaxPacketSize0" */
enum { USB_PACKET_MAX = 64 };   /* of the other endpoints of our devices */
enum { USB_CONTROL_MAX = 256 }; /* bytes of data that a control transfer has here */

/* What a kind of device is; constant. */
typedef struct UsbClass {
    uint16_t vendor, product;
    uint8_t device_class;
    const char *product_name;
    const uint8_t *config; /* the configuration descriptor with all that belongs to it */
    uint16_t config_len;
    unsigned endpoints;    /* bit n: IN endpoint n is there */
    /* control - a request that the core does not know, in its data stage: bytes of @data that the host gets,
     * or has sent; how many (0 for none), or USB_STALL. May be NULL. */
    int (*control)(UsbDevice *d, const UsbSetup *s, uint8_t *data);
    /* in - IN transaction of an endpoint other than 0: how many bytes, at most USB_PACKET_MAX, or USB_NAK. */
    int (*in)(UsbDevice *d, unsigned ep, uint8_t *data);
    /* configured - after the configuration changed, or a reset (then it is 0). May be NULL. */
    void (*configured)(UsbDevice *d);
    /* find - of a hub: the device of @address behind it. May be NULL. */
    UsbDevice *(*find)(UsbDevice *d, unsigned address);
} UsbClass;

struct UsbDevice {
    Device dev; /* first member */
    const UsbClass *usb;
    UsbPort *port; /* NULL while it is not plugged in */
    /* properties (USB_PROPS) */
    char *bus_name, *port_name, *serial;
    uint32_t version;
    /* state; all of it is in usb_device_fields */
    uint8_t address, new_address; /* the new one counts from the status stage on */
    uint8_t configuration;
    bool remote_wakeup;
    uint16_t halted;              /* bit n: IN endpoint n */
    uint8_t setup[8];             /* of the control transfer under way */
    uint8_t stage;                /* CONTROL_* of usb.c */
    uint16_t data_len, data_at;
    uint8_t data[USB_CONTROL_MAX];
};
extern const StateField usb_device_fields[];

#define USB_PROPS(S)                                                                               \
    PROP_STR("bus", S, usb.bus_name, NULL, "the bus, as usb-bus.0"),                                \
    PROP_STR("port", S, usb.port_name, NULL, "the port: 1, or 1.2 for port 2 of the hub at port 1"), \
    PROP_STR("serial", S, usb.serial, NULL, "serial number that the guest reads"),                  \
    PROP_U32("usb_version", S, usb.version, 2, "version of USB that it claims: 1 or 2")

/* usb_plug - for a class's realize: into the port that the properties name, else the first free one; when
 * that is the last one of the bus, a hub goes there first. usb_unplug - for unrealize. */
bool usb_plug(UsbDevice *d, const UsbClass *usb, struct Error **errp);
void usb_unplug(UsbDevice *d);
/* usb_device_reset - a reset of the bus at this device, and its power-on. usb_device_post_load - for post_load. */
void usb_device_reset(UsbDevice *d);
bool usb_device_post_load(Device *dev, struct Error **errp);

/* usb_transact - one transaction. OUT and SETUP: @len bytes of @data; how many were taken. IN: at most
 * @len bytes into @data (room for USB_PACKET_MAX at least); how many, or USB_BABBLE when the device sends more. */
int usb_transact(UsbDevice *d, uint8_t pid, unsigned ep, uint8_t *data, unsigned len);
/* usb_find - @d itself, or the device behind it, that listens to @address; NULL for none, and for no device. */
UsbDevice *usb_find(UsbDevice *d, unsigned address);
/* usb_wakeup - it has something to say: polling goes on, and a suspended bus is woken where the host allowed it. */
void usb_wakeup(UsbDevice *d);
/* usb_bytes - @len bytes of @from as the answer to a request, no more than are asked for. */
int usb_bytes(const UsbSetup *s, uint8_t *data, const void *from, size_t len);

/* ---- ports and buses: for controllers and hubs ---- */

/* What the owner of a port is told; @n is the port's number from 0. */
typedef struct UsbPortOps {
    void (*attached)(void *opaque, unsigned n); /* plugged in, or not any more: port->dev */
    void (*wakeup)(void *opaque, unsigned n);   /* usb_wakeup() of what is there, or behind it */
} UsbPortOps;

struct UsbPort {
    UsbBus *bus;
    UsbDevice *dev; /* NULL: free */
    const UsbPortOps *ops;
    void *opaque;
    unsigned n;
    char *path;     /* "1.2" */
    unsigned depth; /* hubs before it */
    UsbPort *next; /* of the bus */
};

enum { USB_DEPTH_MAX = 5 }; /* "Bus Topology": tiers of hubs */

struct UsbBus {
    char *name;
    unsigned number;
    UsbPort *ports;
};

/* usb_bus_init - a bus called after its controller's id, or usb-bus.N without one; known to -device by that name. */
void usb_bus_init(UsbBus *bus, const char *id);
void usb_bus_fini(UsbBus *bus);
/* usb_port_add - @parent is the hub's own port, NULL at a controller. usb_port_remove - what is in it is unplugged. */
void usb_port_add(UsbPort *port, UsbBus *bus, UsbPort *parent, unsigned n, const UsbPortOps *ops, void *opaque);
void usb_port_remove(UsbPort *port);
/* usb_print - for `info usb`. */
void usb_print(FILE *out);

extern const DeviceClass usb_hub_class;

#endif
