/*
 * USB devices of people: what keyboard, mouse and tablet have in common.
 * Source: USB Device Class Definition for Human Interface Devices 1.11. Machine lock held for all of it.
 */
#ifndef HW_USB_HID_H
#define HW_USB_HID_H

#include "hw/input/input.h"
#include "hw/usb/usb.h"

enum { HID_REPORT_MAX = 8, HID_QUEUE = 32, HID_KEYS = 16 };

typedef struct UsbHid UsbHid;

/* What a kind of them is; constant. */
typedef struct HidClass {
    UsbClass usb; /* first member */
    const uint8_t *descriptor; /* "Report Descriptor" */
    uint16_t descriptor_len;
    uint8_t report_len, boot_len;     /* bytes of a report, by the protocol */
    uint8_t motion_at, motion_len;    /* those of them that say what has changed since the last one */
    bool (*next)(UsbHid *h);          /* the next event into h->report; false: there is none */
    void (*output)(UsbHid *h, uint8_t val); /* "Set_Report"; may be NULL */
} HidClass;

/* Of a pointer: to (x, y), or by it; wheel towards the user; buttons as INPUT_*. */
typedef struct HidMove {
    int32_t x, y, z;
    uint8_t buttons;
} HidMove;

struct UsbHid {
    UsbDevice usb; /* first member */
    InputSink sink; /* wiring */
    bool polled;      /* the guest reads it, since it was configured */
    uint8_t protocol; /* 0 boot, 1 report */
    uint8_t idle;     /* 4 ms: a report that often also when nothing changes; 0: none */
    int64_t reported; /* CLK_VIRTUAL, when the last one was */
    uint8_t report[HID_REPORT_MAX];
    /* events that wait: moves of a pointer, or keys: their usage, and 100h for those that go up */
    uint8_t count;
    HidMove moves[HID_QUEUE];
    uint16_t keys[HID_QUEUE];
    uint8_t down[HID_KEYS]; /* usages of keys that are held, but for modifiers; 0 behind them */
    uint8_t leds;
    bool leds_set;
};
extern const StateField usb_hid_fields[];

/* hid_realize - for a class's realize: @sink without its opaque. The rest for the class as they are. */
bool hid_realize(Device *dev, const HidClass *cls, const InputSink *sink, struct Error **errp);
void hid_unrealize(Device *dev);
void hid_reset(Device *dev);
bool hid_post_load(Device *dev, struct Error **errp);
int hid_control(UsbDevice *d, const UsbSetup *s, uint8_t *data);
int hid_in(UsbDevice *d, unsigned ep, uint8_t *data);
void hid_configured(UsbDevice *d);
/* hid_active - the guest listens to it; for sinks. */
bool hid_active(void *opaque);
/* hid_drop - forget the event that waits longest. */
void hid_drop(UsbHid *h);

/* The configuration descriptor: one interface, with one endpoint of @packet bytes every @ms milliseconds. */
#define HID_CONFIG(subclass, protocol, descriptor_len, packet, ms)                                 \
    {                                                                                              \
        9, 2, 34, 0, 1, 1, 0, 0xa0, 50,                       /* wakes the host; 100 mA */         \
        9, 4, 0, 0, 1, 3, (subclass), (protocol), 0,                                               \
        9, 0x21, 0x11, 0x01, 0, 1, 0x22, (descriptor_len), 0, /* HID 1.11 */                       \
        7, 5, 0x81, 3, (packet), 0, (ms)                                                           \
    }

#define HID_DEVICE(var, cname, text, props_, realize_)                                             \
    const DeviceClass var = {                                                                      \
        .name = (cname), .desc = (text), .size = sizeof(UsbHid), .bus = BUS_USB,                   \
        .user_creatable = true, .props = (props_), .realize = (realize_),                          \
        .unrealize = hid_unrealize, .reset = hid_reset, .fields = usb_hid_fields,                  \
        .post_load = hid_post_load,                                                                \
    }

#endif
