/*
 * usb-mouse and usb-tablet: five buttons and a wheel. The mouse can be used by firmware (boot interface), the
 * tablet tells where on the screen the pointer is.
 * Source: as hid.h; its appendix "Boot Interface Descriptors"; Universal Serial Bus HID Usage Tables 1.12.
 */
#include "hw/usb/hid.h"

#include "base/mem.h"

enum { MOVE_MAX = 127, SUM_MAX = 1 << 20 };

/* clang-format off */
#define BUTTONS_AND_POINTER                                                                        \
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01,             /* generic desktop: mouse */                   \
    0x09, 0x01, 0xa1, 0x00,                         /* pointer */                                  \
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05,             /* buttons 1 to 5 */                           \
    0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02,                                    \
    0x95, 0x01, 0x75, 0x03, 0x81, 0x01              /* three bits of nothing */

static const uint8_t mouse_descriptor[] = {
    BUTTONS_AND_POINTER,
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, /* X, Y, wheel: -127 to 127, relative */
    0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06,
    0xc0, 0xc0,
};
static const uint8_t tablet_descriptor[] = {
    BUTTONS_AND_POINTER,
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31,             /* X, Y: 0 to INPUT_POINT_MAX, absolute */
    0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02,
    0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06,
    0xc0, 0xc0,
};
/* clang-format on */
static const uint8_t mouse_config[] = HID_CONFIG(1, 2, sizeof(mouse_descriptor), 4, 8);
static const uint8_t tablet_config[] = HID_CONFIG(0, 0, sizeof(tablet_descriptor), 8, 8);

/* last - the event that a movement is added to; a new one where buttons change, so that no click is lost, or the
 * movement turns back (@fresh): the guest stops it at a border of its screen. */
static HidMove *last(UsbHid *h, unsigned buttons, bool fresh)
{
    fresh |= h->count > 0 && h->moves[h->count - 1].buttons != buttons;
    if (h->count == 0 || (fresh && h->count < HID_QUEUE)) {
        h->moves[h->count++] = (HidMove){ 0 };
    }
    h->moves[h->count - 1].buttons = (uint8_t)buttons;
    return &h->moves[h->count - 1];
}

static int32_t sum(int32_t old, int d)
{
    int64_t v = (int64_t)old + d;

    return (int32_t)MIN(MAX(v, -SUM_MAX), SUM_MAX);
}

static void on_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    UsbHid *h = opaque;
    HidMove *m = h->count > 0 ? &h->moves[h->count - 1] : NULL;

    m = last(h, buttons, m != NULL && ((int64_t)m->x * dx < 0 || (int64_t)m->y * dy < 0));
    m->x = sum(m->x, dx);
    m->y = sum(m->y, dy);
    m->z = sum(m->z, dz);
    usb_wakeup(&h->usb);
}

static void on_point(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    UsbHid *h = opaque;
    HidMove *m = last(h, buttons, false);

    m->x = (int32_t)x;
    m->y = (int32_t)y;
    m->z = sum(m->z, dz);
    usb_wakeup(&h->usb);
}

/* take - the part of *left that fits into a byte. */
static uint8_t take(int32_t *left)
{
    int32_t v = MIN(MAX(*left, -MOVE_MAX), MOVE_MAX);

    *left -= v;
    return (uint8_t)v;
}

static bool mouse_next(UsbHid *h)
{
    HidMove *m = &h->moves[0];

    if (h->count == 0) {
        return false;
    }
    h->report[0] = m->buttons; /* left, right, middle, side, extra: in that order */
    h->report[1] = take(&m->x);
    h->report[2] = take(&m->y);
    h->report[3] = (uint8_t)-take(&m->z); /* away from the user is positive */
    if (m->x == 0 && m->y == 0 && m->z == 0) {
        hid_drop(h);
    }
    return true;
}

static bool tablet_next(UsbHid *h)
{
    HidMove *m = &h->moves[0];

    if (h->count == 0) {
        return false;
    }
    h->report[0] = m->buttons;
    st_le16(h->report + 1, (uint16_t)m->x);
    st_le16(h->report + 3, (uint16_t)m->y);
    h->report[5] = (uint8_t)-take(&m->z);
    if (m->z == 0) {
        hid_drop(h);
    }
    return true;
}

#define POINTER_CLASS(text, name)                                                                  \
    .usb = { .vendor = 0x0627, .product = 0x0001, .product_name = (text), .config = name##_config, \
             .config_len = sizeof(name##_config), .endpoints = 1 << 1, .control = hid_control,     \
             .in = hid_in, .configured = hid_configured },                                         \
    .descriptor = name##_descriptor, .descriptor_len = sizeof(name##_descriptor), .next = name##_next

static const HidClass mouse_hid = {
    POINTER_CLASS("USB Mouse", mouse), .report_len = 4, .boot_len = 3, .motion_at = 1, .motion_len = 3,
};
static const HidClass tablet_hid = {
    POINTER_CLASS("USB Tablet", tablet), .report_len = 6, .motion_at = 5, .motion_len = 1,
};

static bool mouse_realize(Device *dev, struct Error **errp)
{
    static const InputSink sink = { .name = "QEMU HID Mouse", .mouse = on_mouse, .active = hid_active };

    return hid_realize(dev, &mouse_hid, &sink, errp);
}

static bool tablet_realize(Device *dev, struct Error **errp)
{
    static const InputSink sink = { .name = "QEMU HID Tablet", .point = on_point, .active = hid_active };

    return hid_realize(dev, &tablet_hid, &sink, errp);
}

static const Property pointer_props[] = { USB_PROPS(UsbHid), PROP_END };

HID_DEVICE(usb_mouse_class, "usb-mouse", "USB mouse", pointer_props, mouse_realize);
HID_DEVICE(usb_tablet_class, "usb-tablet", "USB tablet: the pointer is where the viewer's is", pointer_props,
           tablet_realize);
