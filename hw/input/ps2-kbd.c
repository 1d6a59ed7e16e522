/*
 * PS/2 keyboard with 102 keys and the three of Windows: scan code sets 1, 2 and 3.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard (101- and
 * 102-key)" (headings quoted). Not modelled: the shift codes that a real one puts around the grey
 * keys while Num Lock or Shift is on; the half second of the basic assurance test.
 */
#include "hw/input/ps2.h"

#include "base/mem.h"
#include "bus/lock.h"
#include "hw/input/trace.h"

#define KBD_BUFFER 16u /* bytes of the keyboard's own buffer */
#define KBD_LONGEST 8u /* bytes of a key: Pause */
#define KBD_BREAK 1u
#define KBD_REPEAT 2u
enum { KBD_ACK = 0xfa, KBD_RESEND = 0xfe };
enum { LSHIFT = 0x2a, RSHIFT = 0x36, CTRL = 0x1d, ALT = 0x38 };

/* clang-format off */
const uint8_t ps2_to_set1[256] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
    0x80, 0x81, 0x82, 0x41, 0x54, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f,
    0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f,
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf,
    0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf,
    0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf,
    0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef,
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
};

/* "Scan Code Set 3", by key: 00h-5Fh plain ones, then those with a prefix */
static const uint8_t set3_plain[0x60] = {
    0x00, 0x08, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d,
    0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x11, 0x1c, 0x1b,
    0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5c, 0x1a, 0x22, 0x21, 0x2a,
    0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7e, 0x19, 0x29, 0x14, 0x07, 0x0f, 0x17, 0x1f, 0x27,
    0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x76, 0x5f, 0x6c, 0x75, 0x7d, 0x84, 0x6b, 0x73, 0x74, 0x7c, 0x69,
    0x72, 0x7a, 0x70, 0x71, 0x57, 0x00, 0x13, 0x56, 0x5e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const struct {
    uint8_t key, code;
} set3_prefixed[] = {
    { 0x1c, 0x79 }, { 0x1d, 0x58 }, { 0x35, 0x77 }, { 0x37, 0x57 }, { 0x38, 0x39 }, { 0x45, 0x62 },
    { 0x47, 0x6e }, { 0x48, 0x63 }, { 0x49, 0x6f }, { 0x4b, 0x61 }, { 0x4d, 0x6a }, { 0x4f, 0x65 },
    { 0x50, 0x60 }, { 0x51, 0x6d }, { 0x52, 0x67 }, { 0x53, 0x64 }, { 0x5b, 0x8b }, { 0x5c, 0x8c },
    { 0x5d, 0x8d },
};
/* "Scan Code Set 3", keys that are not typematic: make and break; make only */
static const uint8_t set3_break[] = { 0x11, 0x12, 0x14, 0x19, 0x59 };
static const uint8_t set3_make[] = {
    0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39, 0x3f, 0x47, 0x4f, 0x56, 0x57, 0x58, 0x5e,
    0x5f, 0x62, 0x65, 0x67, 0x69, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75,
    0x76, 0x77, 0x79, 0x7a, 0x7d, 0x7e, 0x84,
};
/* clang-format on */

static void kbd_default_types(Ps2Kbd *k)
{
    memset(k->type3, KBD_REPEAT, sizeof(k->type3));
    for (unsigned n = 0; n < ARRAY_SIZE(set3_break); n++) {
        k->type3[set3_break[n]] = KBD_BREAK;
    }
    for (unsigned n = 0; n < ARRAY_SIZE(set3_make); n++) {
        k->type3[set3_make[n]] = 0;
    }
}

static uint8_t set3_code(unsigned key)
{
    if (key < ARRAY_SIZE(set3_plain)) {
        return set3_plain[key];
    }
    for (unsigned n = 0; n < ARRAY_SIZE(set3_prefixed); n++) {
        if ((set3_prefixed[n].key | INPUT_E0) == key) {
            return set3_prefixed[n].code;
        }
    }
    return 0;
}

/* set2_code - the inverse of the controller's translation; of two candidates the higher is real. */
static uint8_t set2_code(unsigned code1)
{
    for (unsigned n = 0x84; n > 0; n--) {
        if (ps2_to_set1[n] == code1) {
            return (uint8_t)n;
        }
    }
    return 0;
}

/* ---- sending ---- */

/* A sequence goes into the buffer as a whole or not at all. "Keyboard Buffer": when it is full, an
 * overrun code takes the place of what is lost. */
static void kbd_send(Ps2Kbd *k, const uint8_t *bytes, unsigned n)
{
    if (k->out.count + n > KBD_BUFFER) {
        if (!k->overrun) {
            ps2_put(&k->out, k->set == 1 ? 0xff : 0x00);
            k->overrun = true;
        }
    } else {
        for (unsigned i = 0; i < n; i++) {
            ps2_put(&k->out, bytes[i]);
        }
    }
    k->changed(k->opaque);
}
#define SEND(k, ...)                                                                               \
    kbd_send((k), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static bool kbd_is_down(const Ps2Kbd *k, unsigned key)
{
    return k->down[key / 8] >> (key % 8) & 1;
}

static bool kbd_held(const Ps2Kbd *k, unsigned key)
{
    return kbd_is_down(k, key) || kbd_is_down(k, key | INPUT_E0);
}

/* kbd_pause - no break code, and another code with Ctrl. */
static void kbd_pause(Ps2Kbd *k, bool down)
{
    bool ctrl = kbd_held(k, CTRL);

    if (!down) {
        return;
    }
    if (k->set == 1 && ctrl) {
        SEND(k, 0xe0, 0x46, 0xe0, 0xc6);
    } else if (k->set == 1) {
        SEND(k, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    } else if (ctrl) {
        SEND(k, 0xe0, 0x7e, 0xe0, 0xf0, 0x7e);
    } else {
        SEND(k, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    }
}

/* kbd_print - Print Screen, or SysRq with Alt. */
static void kbd_print(Ps2Kbd *k, bool down)
{
    bool plain = !kbd_held(k, CTRL) && !kbd_is_down(k, LSHIFT) && !kbd_is_down(k, RSHIFT);

    if (kbd_held(k, ALT)) {
        if (k->set == 1) {
            SEND(k, down ? 0x54 : 0xd4);
        } else if (down) {
            SEND(k, 0x84);
        } else {
            SEND(k, 0xf0, 0x84);
        }
    } else if (k->set == 1) {
        if (!plain) {
            SEND(k, 0xe0, down ? 0x37 : 0xb7);
        } else if (down) {
            SEND(k, 0xe0, 0x2a, 0xe0, 0x37);
        } else {
            SEND(k, 0xe0, 0xb7, 0xe0, 0xaa);
        }
    } else if (down) {
        if (plain) {
            SEND(k, 0xe0, 0x12, 0xe0, 0x7c);
        } else {
            SEND(k, 0xe0, 0x7c);
        }
    } else if (plain) {
        SEND(k, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
    } else {
        SEND(k, 0xe0, 0xf0, 0x7c);
    }
}

/* kbd_code - the codes of a key that has nothing special. */
static void kbd_code(Ps2Kbd *k, unsigned key, bool down)
{
    uint8_t bytes[4], code = key & 0x7f;
    unsigned n = 0;

    if (k->set == 3) {
        code = set3_code(key);
        if (code == 0 || (!down && !(k->type3[code] & KBD_BREAK))) {
            return;
        }
    } else {
        if (key & INPUT_E0) {
            bytes[n++] = 0xe0;
        }
        if (k->set == 2) {
            code = set2_code(code);
        } else if (!down) {
            code |= 0x80;
        }
    }
    if (!down && k->set != 1) {
        bytes[n++] = 0xf0;
    }
    bytes[n++] = code;
    kbd_send(k, bytes, n);
}

static void kbd_key_codes(Ps2Kbd *k, unsigned key, bool down)
{
    if (key == INPUT_PAUSE && k->set != 3) {
        kbd_pause(k, down);
    } else if (key == INPUT_PRINT && k->set != 3) {
        kbd_print(k, down);
    } else {
        kbd_code(k, key, down);
    }
}

/* ---- keys ---- */

/* "Set Typematic Rate/Delay": period = (8 + A) * 2^B * 4.17 ms, delay = (1 + C) * 250 ms */
static int64_t kbd_period(const Ps2Kbd *k)
{
    return (int64_t)(8 + (k->rate & 7)) * (1 << (k->rate >> 3 & 3)) * 4170 * NS_PER_US;
}
static int64_t kbd_delay(const Ps2Kbd *k)
{
    return (1 + (k->rate >> 5 & 3)) * 250 * NS_PER_MS;
}

static void kbd_stop_repeat(Ps2Kbd *k)
{
    k->repeating = 0;
    timer_cancel(&k->repeat);
}

static bool kbd_repeats(const Ps2Kbd *k, unsigned key)
{
    return key != INPUT_PAUSE && (k->set != 3 || (k->type3[set3_code(key)] & KBD_REPEAT));
}

static void kbd_repeat(void *opaque)
{
    Ps2Kbd *k = opaque;

    if (k->repeating != 0 && k->enabled && kbd_is_down(k, k->repeating)) {
        if (k->out.count == 0) { /* a guest that does not read gets no more of the same */
            kbd_key_codes(k, k->repeating, true);
        }
        timer_arm(&k->repeat, clock_now(CLK_VIRTUAL) + kbd_period(k));
    }
}

static void kbd_key(void *opaque, unsigned key, bool down)
{
    Ps2Kbd *k = opaque;

    trace_ps2_key(key, down);
    if (down == kbd_is_down(k, key)) {
        return;
    }
    k->down[key / 8] ^= (uint8_t)(1u << key % 8);
    if (!down && k->repeating == key) {
        kbd_stop_repeat(k);
    }
    if (!k->enabled) {
        return;
    }
    kbd_key_codes(k, key, down);
    if (down && kbd_repeats(k, key)) {
        k->repeating = (uint16_t)key;
        timer_arm(&k->repeat, clock_now(CLK_VIRTUAL) + kbd_delay(k));
    }
}

/* ---- commands ---- */

/* "Set Default" */
static void kbd_defaults(Ps2Kbd *k)
{
    k->out = (Ps2Queue){ .count = 0 };
    k->overrun = false;
    k->rate = 0x2b; /* 10.9 a second after half a second */
    kbd_default_types(k);
    kbd_stop_repeat(k);
}

void ps2_kbd_reset(Ps2Kbd *k)
{
    kbd_defaults(k);
    k->command = 0;
    k->leds = 0;
    k->leds_set = false;
    k->set = 2;
    k->last = 0;
    k->enabled = true;
    memset(k->down, 0, sizeof(k->down));
}

static void kbd_answer(Ps2Kbd *k, uint8_t byte)
{
    ps2_put(&k->out, byte);
}

static void kbd_argument(Ps2Kbd *k, uint8_t command, uint8_t val)
{
    uint8_t set = k->set;

    switch (command) {
    case 0xed:
        k->leds = val & 7;
        k->leds_set = true;
        input_lamps_changed();
        break;
    case 0xf0:
        if (val > 3) {
            kbd_answer(k, KBD_RESEND);
            return;
        }
        k->set = val != 0 ? val : k->set;
        break;
    case 0xf3:
        k->rate = val & 0x7f;
        break;
    case 0xfb ... 0xfd: /* set 3: one key typematic, make/break, make */
        k->type3[val] = command == 0xfb ? KBD_REPEAT : command == 0xfc ? KBD_BREAK : 0;
        k->command = command; /* "followed by one or more scan codes" */
        break;
    default:
        break;
    }
    kbd_answer(k, KBD_ACK);
    if (command == 0xf0 && val == 0) {
        kbd_answer(k, set);
    }
}

static void kbd_command(Ps2Kbd *k, uint8_t val)
{
    uint8_t last = k->last;

    switch (val) {
    case 0xed:
    case 0xf0:
    case 0xf3:
    case 0xfb ... 0xfd:
        k->command = val;
        kbd_answer(k, KBD_ACK);
        break;
    case 0xee: /* echo */
        kbd_answer(k, 0xee);
        break;
    case 0xf2: /* ID */
        kbd_answer(k, KBD_ACK);
        kbd_answer(k, 0xab);
        kbd_answer(k, 0x83);
        break;
    case 0xf4:
        k->out.count = 0;
        k->enabled = true;
        kbd_answer(k, KBD_ACK);
        break;
    case 0xf5:
    case 0xf6:
        kbd_defaults(k);
        k->enabled = val == 0xf6;
        kbd_answer(k, KBD_ACK);
        break;
    case 0xf7 ... 0xfa: /* set 3: all keys typematic, make/break, make, typematic/make/break */
        memset(k->type3, val == 0xf7 ? KBD_REPEAT : val == 0xf8 ? KBD_BREAK :
               val == 0xf9 ? 0 : KBD_BREAK | KBD_REPEAT, sizeof(k->type3));
        kbd_answer(k, KBD_ACK);
        break;
    case 0xfe:
        kbd_answer(k, last);
        break;
    case 0xff:
        ps2_kbd_reset(k);
        kbd_answer(k, KBD_ACK);
        kbd_answer(k, 0xaa); /* "Basic Assurance Test" passed */
        break;
    default:
        kbd_answer(k, KBD_RESEND);
        break;
    }
}

void ps2_kbd_write(Ps2Kbd *k, uint8_t val)
{
    uint8_t command = k->command;

    trace_ps2_kbd_write(val);
    k->command = 0;
    if (command != 0 && val < 0xed) {
        kbd_argument(k, command, val);
    } else {
        kbd_command(k, val); /* also in place of an argument */
    }
    k->changed(k->opaque);
}

uint8_t ps2_kbd_read(Ps2Kbd *k)
{
    uint8_t val = ps2_get(&k->out);

    if (val != KBD_RESEND) {
        k->last = val;
    }
    if (k->out.count == 0) {
        k->overrun = false;
    }
    return val;
}

/* ---- life ---- */

static bool kbd_ready(void *opaque)
{
    const Ps2Kbd *k = opaque;

    return k->out.count + KBD_LONGEST <= KBD_BUFFER;
}

static int kbd_leds(void *opaque)
{
    const Ps2Kbd *k = opaque;

    return k->leds_set ? k->leds : -1;
}

void ps2_kbd_init(Ps2Kbd *k, void (*changed)(void *opaque), void *opaque)
{
    k->changed = changed;
    k->opaque = opaque;
    k->sink = (InputSink){ .name = "QEMU PS/2 Keyboard", .key = kbd_key, .ready = kbd_ready,
                           .leds = kbd_leds, .opaque = k };
    timer_init(&k->repeat, CLK_VIRTUAL, kbd_repeat, k, &machine_lock_guard);
    input_add(&k->sink);
}

void ps2_kbd_fini(Ps2Kbd *k)
{
    input_remove(&k->sink);
    timer_cancel(&k->repeat);
}

const StateField ps2_queue_fields[] = {
    STATE_BYTES(Ps2Queue, data), STATE_U8(Ps2Queue, head), STATE_U8(Ps2Queue, count), STATE_END,
};
const StateField ps2_kbd_fields[] = {
    STATE_STRUCT(Ps2Kbd, out, ps2_queue_fields), STATE_U8(Ps2Kbd, command),
    STATE_U8(Ps2Kbd, last), STATE_U8(Ps2Kbd, set), STATE_U8(Ps2Kbd, leds), STATE_U8(Ps2Kbd, rate),
    STATE_BOOL(Ps2Kbd, enabled), STATE_BOOL(Ps2Kbd, overrun), STATE_BYTES(Ps2Kbd, type3),
    STATE_BYTES(Ps2Kbd, down), STATE_U16(Ps2Kbd, repeating), STATE_TIMER(Ps2Kbd, repeat),
    STATE_END,
};

void ps2_kbd_post_load(Ps2Kbd *k)
{
    k->out.head %= PS2_QUEUE;
    k->out.count = (uint8_t)MIN(k->out.count, PS2_QUEUE);
    k->set = k->set >= 1 && k->set <= 3 ? k->set : 2;
    k->leds_set = k->leds != 0;
    if (k->repeating >= INPUT_KEYS) {
        kbd_stop_repeat(k);
    }
}
