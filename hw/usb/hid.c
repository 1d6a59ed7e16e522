/*
 * USB devices of people: see hid.h; headings of its source quoted.
 */
#include "hw/usb/hid.h"

#include <string.h>
#include "base/clock.h"
#include "base/mem.h"

enum { DT_HID = 0x21, DT_REPORT = 0x22 };
enum { HID_DESCRIPTOR_AT = 18, HID_DESCRIPTOR_LEN = 9 }; /* in the configuration descriptor */
#define HID_REQUEST_IN(n) ((USB_TO_HOST | USB_CLASS | USB_INTERFACE) << 8 | (n))
#define HID_REQUEST_OUT(n) ((USB_CLASS | USB_INTERFACE) << 8 | (n))
#define IDLE_UNIT (4 * NS_PER_MS)

static UsbHid *hid_of(UsbDevice *d)
{
    return container_of(d, UsbHid, usb);
}

static const HidClass *class_of(const UsbHid *h)
{
    return container_of(h->usb.usb, HidClass, usb);
}

bool hid_active(void *opaque)
{
    const UsbHid *h = opaque;

    return h->polled && h->usb.configuration != 0;
}

void hid_drop(UsbHid *h)
{
    h->count--;
    memmove(h->moves, h->moves + 1, h->count * sizeof(h->moves[0]));
    memmove(h->keys, h->keys + 1, h->count * sizeof(h->keys[0]));
}

/* ---- reports ---- */

static unsigned report_len(const UsbHid *h)
{
    return h->protocol == 0 ? class_of(h)->boot_len : class_of(h)->report_len;
}

static void stand_still(UsbHid *h)
{
    memset(h->report + class_of(h)->motion_at, 0, class_of(h)->motion_len);
}

int hid_in(UsbDevice *d, unsigned ep, uint8_t *data)
{
    UsbHid *h = hid_of(d);
    int64_t now = clock_now(CLK_VIRTUAL);

    if (!h->polled) { /* the guest begins to use it */
        h->polled = true;
        input_first(&h->sink);
    }
    if (!class_of(h)->next(h)) {
        if (h->idle == 0 || now - h->reported < h->idle * IDLE_UNIT) {
            return USB_NAK;
        }
        stand_still(h);
    }
    h->reported = now;
    memcpy(data, h->report, report_len(h));
    return (int)report_len(h);
}

/* ---- requests ---- */

int hid_control(UsbDevice *d, const UsbSetup *s, uint8_t *data)
{
    UsbHid *h = hid_of(d);
    const HidClass *cls = class_of(h);

    switch (usb_request(s)) {
    case (USB_TO_HOST | USB_INTERFACE) << 8 | USB_GET_DESCRIPTOR:
        if (s->value >> 8 == DT_REPORT) {
            return usb_bytes(s, data, cls->descriptor, cls->descriptor_len);
        }
        return s->value >> 8 == DT_HID ? usb_bytes(s, data, d->usb->config + HID_DESCRIPTOR_AT, HID_DESCRIPTOR_LEN)
                                       : USB_STALL;
    case HID_REQUEST_IN(0x01): /* "Get_Report": of input, or what the lamps are */
        if (s->value >> 8 == 2 && cls->output != NULL) {
            return usb_bytes(s, data, &h->leds, 1);
        }
        stand_still(h);
        return s->value >> 8 == 1 ? usb_bytes(s, data, h->report, report_len(h)) : USB_STALL;
    case HID_REQUEST_IN(0x02):
        return usb_bytes(s, data, &h->idle, 1);
    case HID_REQUEST_IN(0x03):
        return usb_bytes(s, data, &h->protocol, 1);
    case HID_REQUEST_OUT(0x09): /* "Set_Report" */
        if (cls->output == NULL || s->value >> 8 != 2 || s->length == 0) {
            return USB_STALL;
        }
        cls->output(h, data[0]);
        return 0;
    case HID_REQUEST_OUT(0x0a): /* "Set_Idle" */
        h->idle = (uint8_t)(s->value >> 8);
        return 0;
    case HID_REQUEST_OUT(0x0b): /* "Set_Protocol": those that boot from it have two */
        if (cls->boot_len == 0 || s->value > 1) {
            return USB_STALL;
        }
        h->protocol = (uint8_t)s->value;
        return 0;
    default:
        return USB_STALL;
    }
}

/* ---- the device ---- */

void hid_configured(UsbDevice *d)
{
    UsbHid *h = hid_of(d);

    h->polled = false;
    h->protocol = 1;
    h->idle = 0;
    h->reported = clock_now(CLK_VIRTUAL);
    h->count = 0;
    memset(h->report, 0, sizeof(h->report));
    memset(h->moves, 0, sizeof(h->moves));
    memset(h->keys, 0, sizeof(h->keys));
    memset(h->down, 0, sizeof(h->down));
    h->leds = 0;
    h->leds_set = false;
}

bool hid_realize(Device *dev, const HidClass *cls, const InputSink *sink, struct Error **errp)
{
    UsbHid *h = container_of(dev, UsbHid, usb.dev);

    if (!usb_plug(&h->usb, &cls->usb, errp)) {
        return false;
    }
    h->sink = *sink;
    h->sink.opaque = h;
    input_add(&h->sink);
    return true;
}

void hid_unrealize(Device *dev)
{
    UsbHid *h = container_of(dev, UsbHid, usb.dev);

    input_remove(&h->sink);
    usb_unplug(&h->usb);
}

void hid_reset(Device *dev)
{
    usb_device_reset(&container_of(dev, UsbHid, usb.dev)->usb);
}

static const StateField hid_move_fields[] = {
    STATE_U32(HidMove, x), STATE_U32(HidMove, y), STATE_U32(HidMove, z), STATE_U8(HidMove, buttons), STATE_END,
};

const StateField usb_hid_fields[] = {
    STATE_STRUCT(UsbHid, usb, usb_device_fields), STATE_BOOL(UsbHid, polled), STATE_U8(UsbHid, protocol),
    STATE_U8(UsbHid, idle), STATE_U64(UsbHid, reported), STATE_BYTES(UsbHid, report), STATE_U8(UsbHid, count),
    STATE_ARRAY(UsbHid, moves, hid_move_fields), STATE_BYTES(UsbHid, keys), STATE_BYTES(UsbHid, down),
    STATE_U8(UsbHid, leds), STATE_BOOL(UsbHid, leds_set), STATE_END,
};

bool hid_post_load(Device *dev, struct Error **errp)
{
    UsbHid *h = container_of(dev, UsbHid, usb.dev);

    h->count = (uint8_t)MIN(h->count, HID_QUEUE);
    h->protocol = class_of(h)->boot_len == 0 || h->protocol > 0;
    if (h->polled) {
        input_first(&h->sink);
    }
    return usb_device_post_load(dev, errp);
}
