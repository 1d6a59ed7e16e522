/*
 * usb-kbd: a keyboard that firmware can use as well (boot interface): eight modifiers, six keys at once.
 * Source: as hid.h; its appendix "Keyboard: Boot Interface"; HID Usage Tables 1.12, "Keyboard/Keypad Page".
 */
#include "hw/usb/hid.h"

#include <string.h>
#include "base/mem.h"

enum { KEY_UP = 0x100, MODIFIERS = 0xe0, ROLL_OVER = 1, REPORT_KEYS = 6 };
enum { LED_NUM = 1, LED_CAPS = 2, LED_SCROLL = 4 };

/* clang-format off */
static const uint8_t kbd_descriptor[] = {
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,             /* generic desktop: keyboard */
    0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7,             /* modifiers */
    0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02,
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01,             /* reserved byte */
    0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x95, 0x05, 0x75, 0x01, 0x91, 0x02, /* lamps */
    0x95, 0x01, 0x75, 0x03, 0x91, 0x01,
    0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00,       /* six keys */
    0x15, 0x00, 0x26, 0xff, 0x00, 0x95, 0x06, 0x75, 0x08, 0x81, 0x00,
    0xc0,
};
/* clang-format on */

static const uint8_t kbd_config[] = HID_CONFIG(1, 1, sizeof(kbd_descriptor), 8, 8);

static void on_key(void *opaque, unsigned key, bool down)
{
    UsbHid *h = opaque;
    unsigned usage = input_usage(key);

    if (usage != 0 && h->count < HID_QUEUE) {
        h->keys[h->count++] = (uint16_t)(usage | (down ? 0 : KEY_UP));
        usb_wakeup(&h->usb);
    }
}

static bool on_ready(void *opaque)
{
    return ((UsbHid *)opaque)->count < HID_QUEUE;
}

static int on_leds(void *opaque)
{
    const UsbHid *h = opaque;

    return !h->leds_set ? -1
                        : (h->leds & LED_NUM ? INPUT_NUM : 0) | (h->leds & LED_CAPS ? INPUT_CAPS : 0) |
                              (h->leds & LED_SCROLL ? INPUT_SCROLL : 0);
}

/* press - a key into, or out of, those that are held: the first ones first. */
static void press(UsbHid *h, uint8_t usage, bool down)
{
    unsigned n = 0;

    while (n < HID_KEYS && h->down[n] != 0 && h->down[n] != usage) {
        n++;
    }
    if (n == HID_KEYS) {
        return; /* more than a person has fingers */
    }
    if (down) {
        h->down[n] = usage;
    } else if (h->down[n] == usage) {
        memmove(h->down + n, h->down + n + 1, HID_KEYS - 1 - n);
        h->down[HID_KEYS - 1] = 0;
    }
}

static bool kbd_next(UsbHid *h)
{
    uint8_t usage, bit;
    bool down;

    if (h->count == 0) {
        return false;
    }
    usage = (uint8_t)h->keys[0];
    down = !(h->keys[0] & KEY_UP);
    hid_drop(h);
    if (usage >= MODIFIERS && usage < MODIFIERS + 8) {
        bit = (uint8_t)(1u << (usage - MODIFIERS));
        h->report[0] = (uint8_t)(down ? h->report[0] | bit : h->report[0] & ~bit);
    } else {
        press(h, usage, down);
    }
    if (h->down[REPORT_KEYS] != 0) { /* "phantom condition" */
        memset(h->report + 2, ROLL_OVER, REPORT_KEYS);
    } else {
        memcpy(h->report + 2, h->down, REPORT_KEYS);
    }
    return true;
}

static void kbd_output(UsbHid *h, uint8_t val)
{
    h->leds = val & 0x1f;
    h->leds_set = true;
    input_lamps_changed();
}

static const HidClass kbd_hid = {
    .usb = { .vendor = 0x0627, .product = 0x0001, .product_name = "USB Keyboard", .config = kbd_config,
             .config_len = sizeof(kbd_config), .endpoints = 1 << 1, .control = hid_control, .in = hid_in,
             .configured = hid_configured },
    .descriptor = kbd_descriptor, .descriptor_len = sizeof(kbd_descriptor), .report_len = 8, .boot_len = 8,
    .next = kbd_next, .output = kbd_output,
};

static bool kbd_realize(Device *dev, struct Error **errp)
{
    static const InputSink sink = { .name = "QEMU HID Keyboard", .key = on_key, .ready = on_ready,
                                    .leds = on_leds, .active = hid_active };

    return hid_realize(dev, &kbd_hid, &sink, errp);
}

static const Property kbd_props[] = { USB_PROPS(UsbHid), PROP_END };

HID_DEVICE(usb_kbd_class, "usb-kbd", "USB keyboard", kbd_props, kbd_realize);
