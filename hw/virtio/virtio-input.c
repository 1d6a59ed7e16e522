/*
 * virtio-keyboard, virtio-mouse and virtio-tablet. Source: VIRTIO 1.2, 5.8 "Input Device".
 *
 * Events are those of Linux' evdev (Linux, "Input event codes"): types, codes and values are its numbers.
 */
#include "hw/virtio/virtio.h"

#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/input/input.h"

enum { Q_EVENTS = 0, Q_STATUS = 1, QUEUE_SIZE = 64, EVENT = 8, WAITING = 128 };
/* 5.8.4: what the driver asks for in the first two bytes; the answer is behind the eighth */
enum { C_SELECT = 0, C_SUBSEL = 1, C_SIZE = 2, C_ANSWER = 8, C_LEN = 136, ANSWER_MAX = 128 };
enum { ID_NAME = 1, ID_DEVIDS = 3, EV_BITS = 0x11, ABS_INFO = 0x12 };
enum { EV_SYN = 0, EV_KEY = 1, EV_REL = 2, EV_ABS = 3, EV_LED = 0x11, EV_REP = 0x14 };
enum { REL_X = 0, REL_Y = 1, REL_WHEEL = 8, BTN_LEFT = 0x110, BTN_EXTRA = 0x114, LED_NUM = 0, LED_CAPS = 1, LED_SCROLL = 2,
       LEDS = 3 };
enum { BUS_VIRTUAL = 6, VENDOR = 0x0627 };

typedef enum Kind { KEYBOARD, MOUSE, TABLET } Kind;

typedef struct InputEvent {
    uint16_t type, code;
    uint32_t value;
} InputEvent;

typedef struct VirtioInput {
    VirtioDevice virtio; /* first member */
    InputSink sink;      /* wiring */
    Kind kind;           /* constant after realize */
    uint32_t count;      /* of events that wait for buffers */
    InputEvent waiting[WAITING];
    uint32_t buttons; /* that are held, as the driver knows */
    uint8_t leds;     /* bits of LED_* */
    bool leds_set;
} VirtioInput;

static VirtioInput *input_of(VirtioDevice *d)
{
    return container_of(d, VirtioInput, virtio);
}

/* Keys as evdev numbers them: most of those of scan code set 1 have the same number there. */
static const struct {
    uint16_t key, code;
} codes[] = {
    { 0x54, 99 }, { 0x64, 183 }, { 0x65, 184 }, { 0x66, 185 }, { 0x67, 186 }, { 0x68, 187 }, { 0x69, 188 }, { 0x6a, 189 },
    { 0x6b, 190 }, { 0x6c, 191 }, { 0x6d, 192 }, { 0x6e, 193 }, { 0x70, 93 }, { 0x73, 89 }, { 0x76, 194 }, { 0x77, 91 },
    { 0x78, 90 }, { 0x79, 92 }, { 0x7b, 94 }, { 0x7d, 124 }, { 0x7e, 121 }, { 0x110, 165 }, { 0x119, 163 }, { 0x11c, 96 },
    { 0x11d, 97 }, { 0x120, 113 }, { 0x122, 164 }, { 0x124, 166 }, { 0x12e, 114 }, { 0x130, 115 }, { 0x135, 98 },
    { INPUT_PRINT, 99 }, { 0x138, 100 }, { INPUT_PAUSE, 119 }, { 0x147, 102 }, { 0x148, 103 }, { 0x149, 104 }, { 0x14b, 105 },
    { 0x14d, 106 }, { 0x14f, 107 }, { 0x150, 108 }, { 0x151, 109 }, { 0x152, 110 }, { 0x153, 111 }, { 0x15b, 125 },
    { 0x15c, 126 }, { 0x15d, 127 }, { 0x15e, 116 }, { 0x15f, 142 }, { 0x163, 143 },
};

/* code_of - 0: there is none. */
static unsigned code_of(unsigned key)
{
    for (size_t n = 0; n < ARRAY_SIZE(codes); n++) {
        if (codes[n].key == key) {
            return codes[n].code;
        }
    }
    return key <= 0x53 || (key >= 0x56 && key <= 0x58) ? key : 0;
}

/* ---- events ---- */

static void flush(VirtioInput *s)
{
    VirtQueue *q = &s->virtio.queues[Q_EVENTS];
    unsigned sent = 0;
    VirtElem *e;

    while (sent < s->count && ((e = virtq_pop(q)) != NULL || (virtq_wait(q) && (e = virtq_pop(q)) != NULL))) {
        const InputEvent *ev = &s->waiting[sent++];
        uint8_t b[EVENT];

        st_le16(b, ev->type);
        st_le16(b + 2, ev->code);
        st_le32(b + 4, ev->value);
        virtq_push(e, (uint32_t)elem_write(e, 0, b, EVENT));
    }
    if (sent > 0) {
        s->count -= sent;
        memmove(s->waiting, s->waiting + sent, s->count * sizeof(s->waiting[0]));
        virtq_notify(q);
    }
}

/* tell - @count events that belong together; those of a driver that does not keep up are lost as a whole. */
static bool tell(VirtioInput *s, const InputEvent *events, unsigned count)
{
    if (!virtio_running(&s->virtio) || count + 1 > WAITING - s->count) {
        return false;
    }
    memcpy(s->waiting + s->count, events, count * sizeof(events[0]));
    s->count += count;
    s->waiting[s->count++] = (InputEvent){ EV_SYN, 0, 0 };
    flush(s);
    return true;
}

static void on_key(void *opaque, unsigned key, bool down)
{
    const InputEvent ev = { EV_KEY, (uint16_t)code_of(key), down };

    if (ev.code != 0) {
        tell(opaque, &ev, 1);
    }
}

static bool on_ready(void *opaque)
{
    return WAITING - ((VirtioInput *)opaque)->count >= 2;
}

static int on_leds(void *opaque)
{
    const VirtioInput *s = opaque;

    return !s->leds_set ? -1
                        : (s->leds & BIT(LED_NUM) ? INPUT_NUM : 0) | (s->leds & BIT(LED_CAPS) ? INPUT_CAPS : 0) |
                              (s->leds & BIT(LED_SCROLL) ? INPUT_SCROLL : 0);
}

static bool on_active(void *opaque)
{
    return virtio_running(&((VirtioInput *)opaque)->virtio);
}

/* pointer - @count events of where it is, with the wheel and the buttons that changed. */
static void pointer(VirtioInput *s, InputEvent *ev, unsigned count, int dz, unsigned buttons)
{
    static const uint8_t order[] = { INPUT_LEFT, INPUT_RIGHT, INPUT_MIDDLE, INPUT_SIDE, INPUT_EXTRA };

    if (dz != 0) {
        ev[count++] = (InputEvent){ EV_REL, REL_WHEEL, (uint32_t)-dz }; /* away from the user is positive */
    }
    for (unsigned n = 0; n < ARRAY_SIZE(order); n++) {
        if ((buttons ^ s->buttons) & order[n]) {
            ev[count++] = (InputEvent){ EV_KEY, (uint16_t)(BTN_LEFT + n), (buttons & order[n]) != 0 };
        }
    }
    if (count > 0 && tell(s, ev, count)) {
        s->buttons = buttons;
    }
}

static void on_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    InputEvent ev[8];
    unsigned count = 0;

    if (dx != 0) {
        ev[count++] = (InputEvent){ EV_REL, REL_X, (uint32_t)dx };
    }
    if (dy != 0) {
        ev[count++] = (InputEvent){ EV_REL, REL_Y, (uint32_t)dy };
    }
    pointer(opaque, ev, count, dz, buttons);
}

static void on_point(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    InputEvent ev[8] = { { EV_ABS, REL_X, x }, { EV_ABS, REL_Y, y } };

    pointer(opaque, ev, 2, dz, buttons);
}

/* take_status - the lamps. */
static void take_status(VirtioInput *s, VirtQueue *q)
{
    unsigned count = 0;
    VirtElem *e;

    do {
        while (count < VIRTIO_BATCH && (e = virtq_pop(q)) != NULL) {
            uint8_t b[EVENT];

            if (elem_read(e, 0, b, EVENT) == EVENT && ld_le16(b) == EV_LED && ld_le16(b + 2) < LEDS &&
                s->kind == KEYBOARD) {
                unsigned bit = BIT(ld_le16(b + 2));

                s->leds = (uint8_t)(ld_le32(b + 4) != 0 ? s->leds | bit : s->leds & ~bit);
                s->leds_set = true;
                input_lamps_changed();
            }
            virtq_push(e, 0);
            count++;
        }
        if (count == VIRTIO_BATCH) {
            virtq_later(q);
            break;
        }
    } while (virtq_wait(q));
    if (count > 0) {
        virtq_notify(q);
    }
}

static void input_kick(VirtioDevice *d, VirtQueue *q)
{
    if (q->index == Q_EVENTS) {
        flush(input_of(d));
    } else {
        take_status(input_of(d), q);
    }
}

/* ---- what it is ---- */

static void set_bit(uint8_t *bits, unsigned n, unsigned *size)
{
    bits[n / 8] |= (uint8_t)BIT(n % 8);
    *size = MAX(*size, n / 8 + 1);
}

/* event_bits - which codes of event type @type it has. */
static unsigned event_bits(const VirtioInput *s, unsigned type, uint8_t *bits)
{
    unsigned size = 0;

    if (s->kind == KEYBOARD && type == EV_KEY) {
        for (unsigned key = 1; key < INPUT_KEYS; key++) {
            if (code_of(key) != 0) {
                set_bit(bits, code_of(key), &size);
            }
        }
    } else if (s->kind == KEYBOARD && type == EV_REP) {
        size = 1;
    } else if (s->kind == KEYBOARD && type == EV_LED) {
        for (unsigned n = 0; n < LEDS; n++) {
            set_bit(bits, n, &size);
        }
    } else if (s->kind != KEYBOARD && type == EV_KEY) {
        for (unsigned n = BTN_LEFT; n <= BTN_EXTRA; n++) {
            set_bit(bits, n, &size);
        }
    } else if (s->kind != KEYBOARD && type == EV_REL) {
        set_bit(bits, REL_WHEEL, &size);
    }
    if ((s->kind == MOUSE && type == EV_REL) || (s->kind == TABLET && type == EV_ABS)) {
        set_bit(bits, REL_X, &size);
        set_bit(bits, REL_Y, &size);
    }
    return size;
}

static void answer(VirtioInput *s)
{
    static const char *const names[] = { "QEMU Virtio Keyboard", "QEMU Virtio Mouse", "QEMU Virtio Tablet" };
    uint8_t *c = s->virtio.config, *u = c + C_ANSWER;
    unsigned size = 0;

    memset(u, 0, ANSWER_MAX);
    switch (c[C_SELECT]) {
    case ID_NAME:
        size = (unsigned)strlen(names[s->kind]);
        memcpy(u, names[s->kind], size);
        break;
    case ID_DEVIDS:
        size = 8;
        st_le16(u, BUS_VIRTUAL);
        st_le16(u + 2, VENDOR);
        st_le16(u + 4, (uint16_t)(s->kind + 1));
        st_le16(u + 6, 1);
        break;
    case EV_BITS:
        size = event_bits(s, c[C_SUBSEL], u);
        break;
    case ABS_INFO:
        if (s->kind == TABLET && c[C_SUBSEL] <= REL_Y) {
            size = 20; /* min, max, fuzz, flat, resolution */
            st_le32(u + 4, INPUT_POINT_MAX);
        }
        break;
    default:
        break;
    }
    c[C_SIZE] = (uint8_t)size;
}

static bool input_config_writable(VirtioDevice *d, unsigned offset, unsigned len)
{
    return offset + len <= C_SIZE;
}

static void input_config_written(VirtioDevice *d, unsigned offset, unsigned len)
{
    answer(input_of(d));
}

/* ---- the device ---- */

static void input_dev_reset(VirtioDevice *d)
{
    VirtioInput *s = input_of(d);

    s->count = 0;
    s->buttons = 0;
    s->leds = 0;
    s->leds_set = false;
    memset(d->config, 0, C_LEN);
    if (s->kind == KEYBOARD) {
        input_lamps_changed();
    }
}

static const VirtioOps virtio_ops = {
    .reset = input_dev_reset, .kick = input_kick, .config_writable = input_config_writable,
    .config_written = input_config_written,
};

static bool input_realize(Device *dev, Kind kind, const InputSink *sink, Error **errp)
{
    static const uint32_t classes[] = { 0x090000, 0x090200, 0x098000 };
    VirtioInput *s = container_of(dev, VirtioInput, virtio.pci.dev);
    VirtioDevice *d = &s->virtio;
    uint16_t device;
    uint8_t revision;

    if (!virtio_ids(d, VIRTIO_ID_INPUT, 0, &device, &revision, errp)) {
        return false;
    }
    if (!d->modern) {
        error_set(errp, "disable-modern=on: there are no drivers of before 1.0 for it");
        return false;
    }
    d->legacy = false; /* it came with 1.0 */
    if (!pci_plug(&d->pci, 0x1af4, 0x1040 + VIRTIO_ID_INPUT, classes[kind], 1, 1, errp)) {
        return false;
    }
    s->kind = kind;
    virtio_init(d, &virtio_ops, 0, C_LEN);
    virtio_add_queue(d, QUEUE_SIZE);
    virtio_add_queue(d, QUEUE_SIZE);
    virtio_plug(d, VIRTIO_ID_INPUT);
    s->sink = *sink;
    s->sink.opaque = s;
    input_add(&s->sink);
    return true;
}

static bool keyboard_realize(Device *dev, Error **errp)
{
    static const InputSink sink = { .name = "QEMU Virtio Keyboard", .key = on_key, .ready = on_ready, .leds = on_leds,
                                    .active = on_active };

    return input_realize(dev, KEYBOARD, &sink, errp);
}

static bool mouse_realize(Device *dev, Error **errp)
{
    static const InputSink sink = { .name = "QEMU Virtio Mouse", .mouse = on_mouse, .active = on_active };

    return input_realize(dev, MOUSE, &sink, errp);
}

static bool tablet_realize(Device *dev, Error **errp)
{
    static const InputSink sink = { .name = "QEMU Virtio Tablet", .point = on_point, .active = on_active };

    return input_realize(dev, TABLET, &sink, errp);
}

static void input_unrealize(Device *dev)
{
    VirtioInput *s = container_of(dev, VirtioInput, virtio.pci.dev);

    input_remove(&s->sink);
    virtio_unplug(&s->virtio);
    pci_remove(&s->virtio.pci);
}

static void input_reset(Device *dev)
{
    virtio_reset(&container_of(dev, VirtioInput, virtio.pci.dev)->virtio);
}

static bool input_post_load(Device *dev, Error **errp)
{
    VirtioInput *s = container_of(dev, VirtioInput, virtio.pci.dev);

    if (s->count > WAITING) {
        error_set(errp, "%s: %u events wait", dev->id, s->count);
        return false;
    }
    answer(s);
    input_lamps_changed();
    return virtio_post_load(&s->virtio, errp);
}

static const Property input_props[] = {
    VIRTIO_PROPS(VirtioInput, 2),
    PCI_PROPS_AT(VirtioInput, virtio.pci, NULL),
    PROP_END,
};

static const StateField event_fields[] = {
    STATE_U16(InputEvent, type), STATE_U16(InputEvent, code), STATE_U32(InputEvent, value), STATE_END,
};
static const StateField input_fields[] = {
    STATE_STRUCT(VirtioInput, virtio, virtio_fields), STATE_U32(VirtioInput, count),
    STATE_ARRAY(VirtioInput, waiting, event_fields), STATE_U32(VirtioInput, buttons), STATE_U8(VirtioInput, leds),
    STATE_BOOL(VirtioInput, leds_set), STATE_END,
};

#define INPUT_CLASS(cname, calias, text, realize_)                                                 \
    {                                                                                              \
        .name = (cname), .alias = (calias), .desc = (text), .size = sizeof(VirtioInput), .bus = BUS_PCI, \
        .user_creatable = true, .props = input_props, .fields = input_fields, .realize = (realize_),     \
        .unrealize = input_unrealize, .reset = input_reset, .post_load = input_post_load,          \
    }

extern const DeviceClass virtio_keyboard_class, virtio_mouse_class, virtio_tablet_class;
const DeviceClass virtio_keyboard_class = INPUT_CLASS("virtio-keyboard-pci", "virtio-keyboard", "virtio keyboard",
                                                      keyboard_realize);
const DeviceClass virtio_mouse_class = INPUT_CLASS("virtio-mouse-pci", "virtio-mouse", "virtio mouse", mouse_realize);
const DeviceClass virtio_tablet_class = INPUT_CLASS("virtio-tablet-pci", "virtio-tablet",
                                                    "virtio tablet: the pointer is where the viewer's is", tablet_realize);
