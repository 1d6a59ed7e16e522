/*
 * USB devices: control transfers and the standard requests. See usb.h.
 * Source: Universal Serial Bus Specification 2.0; headings quoted.
 */
#include "hw/usb/usb.h"

#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/usb/trace.h"

/* "Control Transfers": what the host is expected to do next with endpoint 0. */
enum { CONTROL_IDLE, CONTROL_IN, CONTROL_OUT, CONTROL_STATUS_IN, CONTROL_STATUS_OUT, CONTROL_STALLED };

enum { STRING_MAKER = 1, STRING_PRODUCT = 2, STRING_SERIAL = 3 };
enum { FEATURE_HALT = 0, FEATURE_REMOTE_WAKEUP = 1 };
enum { CONFIG_VALUE = 5, CONFIG_ATTRIBUTES = 7 }; /* offsets in the descriptor */
#define ATTRIBUTE_SELF_POWERED 0x40
#define ATTRIBUTE_REMOTE_WAKEUP 0x20

int usb_bytes(const UsbSetup *s, uint8_t *data, const void *from, size_t len)
{
    size_t n = MIN(MIN(len, (size_t)s->length), (size_t)USB_CONTROL_MAX);

    memcpy(data, from, n);
    return (int)n;
}

/* ---- descriptors ---- */

/* "Device": one configuration. */
static int get_device_descriptor(const UsbDevice *d, const UsbSetup *s, uint8_t *data)
{
    uint8_t t[18] = { 18, USB_DT_DEVICE, 0, 0, d->usb->device_class, 0, 0, USB_PACKET_0 };

    st_le16(t + 2, d->version == 1 ? 0x0110 : 0x0200);
    st_le16(t + 8, d->usb->vendor);
    st_le16(t + 10, d->usb->product);
    st_le16(t + 12, 0x0100);
    t[14] = STRING_MAKER;
    t[15] = STRING_PRODUCT;
    t[16] = d->serial != NULL ? STRING_SERIAL : 0;
    t[17] = 1;
    return usb_bytes(s, data, t, sizeof(t));
}

/* "String": UTF-16; ours are ASCII. */
static int get_string(const UsbDevice *d, const UsbSetup *s, uint8_t *data)
{
    static const uint8_t languages[] = { 4, USB_DT_STRING, 0x09, 0x04 }; /* English (United States) */
    const char *const strings[] = { NULL, "doppel", d->usb->product_name, d->serial };
    uint8_t t[2 + 2 * 126];
    unsigned n = s->value & 0xff, len = 0;

    if (n == 0) {
        return usb_bytes(s, data, languages, sizeof(languages));
    }
    if (n >= ARRAY_SIZE(strings) || strings[n] == NULL) {
        return USB_STALL;
    }
    for (const char *p = strings[n]; *p != '\0' && len < 126; p++, len++) {
        t[2 + 2 * len] = (uint8_t)*p & 0x7f;
        t[3 + 2 * len] = 0;
    }
    t[0] = (uint8_t)(2 + 2 * len);
    t[1] = USB_DT_STRING;
    return usb_bytes(s, data, t, t[0]);
}

static int get_descriptor(UsbDevice *d, const UsbSetup *s, uint8_t *data)
{
    switch (s->value >> 8) {
    case USB_DT_DEVICE:
        return get_device_descriptor(d, s, data);
    case USB_DT_CONFIG:
        return (s->value & 0xff) == 0 ? usb_bytes(s, data, d->usb->config, d->usb->config_len) : USB_STALL;
    case USB_DT_STRING:
        return get_string(d, s, data);
    default: /* "Device_Qualifier" too: a device that knows only full speed has none */
        return USB_STALL;
    }
}

/* ---- standard requests ---- */

static bool is_endpoint(const UsbDevice *d, unsigned index)
{
    unsigned n = index & 0x0f;

    return n == 0 || ((index & 0x80) && (d->usb->endpoints >> n & 1));
}

static int get_status(UsbDevice *d, const UsbSetup *s, uint8_t *data)
{
    uint8_t t[2] = { 0, 0 };

    switch (s->type & 0x1f) {
    case 0:
        t[0] = (uint8_t)((d->usb->config[CONFIG_ATTRIBUTES] & ATTRIBUTE_SELF_POWERED ? 1 : 0) |
                         (d->remote_wakeup ? 2 : 0));
        break;
    case USB_ENDPOINT:
        if (!is_endpoint(d, s->index)) {
            return USB_STALL;
        }
        t[0] = d->halted >> (s->index & 0x0f) & 1;
        break;
    default:
        break;
    }
    return usb_bytes(s, data, t, sizeof(t));
}

static int set_feature(UsbDevice *d, const UsbSetup *s, bool on)
{
    unsigned n = s->index & 0x0f;

    if ((s->type & 0x1f) == 0 && s->value == FEATURE_REMOTE_WAKEUP &&
        (d->usb->config[CONFIG_ATTRIBUTES] & ATTRIBUTE_REMOTE_WAKEUP)) {
        d->remote_wakeup = on;
        return 0;
    }
    if ((s->type & 0x1f) == USB_ENDPOINT && s->value == FEATURE_HALT && is_endpoint(d, s->index)) {
        if (n != 0) {
            d->halted = (uint16_t)(on ? d->halted | 1u << n : d->halted & ~(1u << n));
        }
        return 0;
    }
    return USB_STALL;
}

static int set_configuration(UsbDevice *d, unsigned value)
{
    if (value != 0 && value != d->usb->config[CONFIG_VALUE]) {
        return USB_STALL;
    }
    d->configuration = (uint8_t)value;
    d->halted = 0;
    if (d->usb->configured != NULL) {
        d->usb->configured(d);
    }
    return 0;
}

static int standard_request(UsbDevice *d, const UsbSetup *s, uint8_t *data)
{
    uint8_t zero = 0;

    switch (s->request) {
    case USB_GET_STATUS:
        return get_status(d, s, data);
    case USB_CLEAR_FEATURE:
        return set_feature(d, s, false);
    case USB_SET_FEATURE:
        return set_feature(d, s, true);
    case USB_SET_ADDRESS:
        d->new_address = s->value & 0x7f;
        return s->value > 127 ? USB_STALL : 0;
    case USB_GET_DESCRIPTOR:
        return get_descriptor(d, s, data);
    case USB_GET_CONFIGURATION:
        return usb_bytes(s, data, &d->configuration, 1);
    case USB_SET_CONFIGURATION:
        return set_configuration(d, s->value & 0xff);
    case USB_GET_INTERFACE: /* there are no alternate settings */
        return d->configuration != 0 ? usb_bytes(s, data, &zero, 1) : USB_STALL;
    case USB_SET_INTERFACE:
        return d->configuration != 0 && s->value == 0 ? 0 : USB_STALL;
    default:
        return USB_STALL;
    }
}

/* request - the class's own, and those standard ones that it takes before the core (an interface's descriptors). */
static int request(UsbDevice *d, const UsbSetup *s)
{
    int n = d->usb->control != NULL ? d->usb->control(d, s, d->data) : USB_STALL;

    if (n == USB_STALL && (s->type & 0x60) == 0) {
        n = standard_request(d, s, d->data);
    }
    trace_usb_request(usb_request(s), s->value, s->index, s->length, n);
    return n;
}

/* ---- control transfers ---- */

static UsbSetup setup_of(const UsbDevice *d)
{
    return (UsbSetup){ d->setup[0], d->setup[1], ld_le16(d->setup + 2), ld_le16(d->setup + 4),
                       ld_le16(d->setup + 6) };
}

static int control_setup(UsbDevice *d, const uint8_t *data, unsigned len)
{
    UsbSetup s;
    int n;

    if (len != sizeof(d->setup)) {
        return USB_STALL;
    }
    memcpy(d->setup, data, sizeof(d->setup));
    s = setup_of(d);
    d->data_at = d->data_len = 0;
    d->new_address = d->address;
    if (!(s.type & USB_TO_HOST) && s.length > 0) { /* the request waits for its data */
        d->stage = s.length <= USB_CONTROL_MAX ? CONTROL_OUT : CONTROL_STALLED;
        d->data_len = MIN(s.length, (uint16_t)USB_CONTROL_MAX);
        return (int)len;
    }
    n = request(d, &s);
    d->data_len = (uint16_t)MAX(n, 0);
    d->stage = n < 0 ? CONTROL_STALLED : s.type & USB_TO_HOST ? CONTROL_IN : CONTROL_STATUS_IN;
    return (int)len; /* "a function may not NAK or STALL a SETUP" */
}

static int control_in(UsbDevice *d, uint8_t *data, unsigned max)
{
    unsigned n;

    switch (d->stage) {
    case CONTROL_IN:
        n = MIN(max, (unsigned)(d->data_len - d->data_at));
        memcpy(data, d->data + d->data_at, n);
        d->data_at = (uint16_t)(d->data_at + n);
        return (int)n; /* and a packet of no bytes ends a transfer that is shorter than asked for */
    case CONTROL_OUT:  /* the status stage; all data came? */
        if (d->data_at < d->data_len) {
            d->stage = CONTROL_STALLED;
            return USB_STALL;
        }
        d->stage = CONTROL_IDLE;
        return 0;
    case CONTROL_STATUS_IN:
        d->stage = CONTROL_IDLE;
        d->address = d->new_address;
        return 0;
    default:
        return USB_STALL;
    }
}

static int control_out(UsbDevice *d, const uint8_t *data, unsigned len)
{
    UsbSetup s = setup_of(d);

    if (d->stage == CONTROL_IN) { /* the status stage, also where not all data were fetched */
        d->stage = CONTROL_IDLE;
        return (int)len;
    }
    if (d->stage != CONTROL_OUT || d->data_at == d->data_len || len > (unsigned)(d->data_len - d->data_at)) {
        d->stage = CONTROL_STALLED;
        return USB_STALL;
    }
    memcpy(d->data + d->data_at, data, len);
    d->data_at = (uint16_t)(d->data_at + len);
    if (d->data_at == d->data_len && request(d, &s) < 0) {
        d->stage = CONTROL_STALLED;
        return USB_STALL;
    }
    return (int)len;
}

int usb_transact(UsbDevice *d, uint8_t pid, unsigned ep, uint8_t *data, unsigned len)
{
    int n;

    switch (pid) {
    case USB_PID_SETUP:
        n = ep == 0 ? control_setup(d, data, len) : USB_STALL;
        break;
    case USB_PID_OUT:
        n = ep == 0 ? control_out(d, data, len) : USB_STALL;
        break;
    default:
        if (ep == 0) {
            n = control_in(d, data, MIN(len, (unsigned)USB_PACKET_0));
        } else if (d->configuration == 0 || !(d->usb->endpoints >> ep & 1) || (d->halted >> ep & 1)) {
            n = USB_STALL;
        } else {
            n = d->usb->in(d, ep, data);
            n = n > (int)len ? USB_BABBLE : n;
        }
        break;
    }
    if (n != USB_NAK) {
        trace_usb_transact(d->address, pid, ep, len, n);
    }
    return n;
}

UsbDevice *usb_find(UsbDevice *d, unsigned address)
{
    if (d == NULL || d->address == address) {
        return d;
    }
    return d->usb->find != NULL ? d->usb->find(d, address) : NULL;
}

void usb_wakeup(UsbDevice *d)
{
    if (d->port != NULL) {
        d->port->ops->wakeup(d->port->opaque, d->port->n);
    }
}

void usb_device_reset(UsbDevice *d)
{
    d->address = d->new_address = 0;
    d->remote_wakeup = false;
    d->stage = CONTROL_IDLE;
    d->data_at = d->data_len = 0;
    memset(d->setup, 0, sizeof(d->setup));
    memset(d->data, 0, sizeof(d->data));
    set_configuration(d, 0);
}

const StateField usb_device_fields[] = {
    STATE_U8(UsbDevice, address), STATE_U8(UsbDevice, new_address), STATE_U8(UsbDevice, configuration),
    STATE_BOOL(UsbDevice, remote_wakeup), STATE_U16(UsbDevice, halted), STATE_BYTES(UsbDevice, setup),
    STATE_U8(UsbDevice, stage), STATE_U16(UsbDevice, data_len), STATE_U16(UsbDevice, data_at),
    STATE_BYTES(UsbDevice, data), STATE_END,
};

bool usb_device_post_load(Device *dev, Error **errp)
{
    UsbDevice *d = container_of(dev, UsbDevice, dev);

    if (d->data_len > USB_CONTROL_MAX || d->data_at > d->data_len || d->stage > CONTROL_STALLED ||
        (d->configuration != 0 && d->configuration != d->usb->config[CONFIG_VALUE])) {
        error_set(errp, "%s: no such state of a USB device", dev->id);
        return false;
    }
    d->address &= 0x7f;
    d->new_address &= 0x7f;
    return true;
}
