/*
 * Input of the user: see input.h.
 */
#include "hw/input/input.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

static InputSink *sinks; /* machine lock */
static unsigned last_x, last_y; /* of input_point() */
static InputSink *held_at[INPUT_KEYS]; /* the keyboard at which a key is held, or NULL */

void input_add(InputSink *s)
{
    static unsigned last;

    s->index = ++last;
    s->next = sinks;
    sinks = s;
}

void input_remove(InputSink *s)
{
    for (InputSink **p = &sinks; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    for (unsigned key = 0; key < INPUT_KEYS; key++) {
        held_at[key] = held_at[key] != s ? held_at[key] : NULL;
    }
}

static bool is_pointer(const InputSink *s)
{
    return s->mouse != NULL || s->point != NULL;
}

static bool is_active(const InputSink *s)
{
    return s->active == NULL || s->active(s->opaque);
}

/* keyboard - the one that has the keys. */
static InputSink *keyboard(void)
{
    for (InputSink *s = sinks; s != NULL; s = s->next) {
        if (s->key != NULL && is_active(s)) {
            return s;
        }
    }
    return NULL;
}

void input_key(unsigned key, bool down)
{
    InputSink *s;

    if (key == 0 || key >= INPUT_KEYS) {
        return;
    }
    s = held_at[key] != NULL ? held_at[key] : keyboard();
    held_at[key] = down ? s : NULL;
    if (s != NULL) {
        s->key(s->opaque, key, down);
    }
}

/* first_pointer - the one that has what the pointer does, of those with @relative the one for movements. */
static InputSink *first_pointer(bool relative)
{
    for (InputSink *s = sinks; s != NULL; s = s->next) {
        if (is_pointer(s) && is_active(s) && (!relative || s->mouse != NULL)) {
            return s;
        }
    }
    return NULL;
}

const InputSink *input_current(void)
{
    return first_pointer(false);
}

bool input_absolute(void)
{
    const InputSink *s = first_pointer(false);

    return s != NULL && s->point != NULL;
}

void input_point(unsigned x, unsigned y, int dz, unsigned buttons)
{
    InputSink *s = first_pointer(false);

    if (s != NULL && s->point != NULL) {
        last_x = MIN(x, (unsigned)INPUT_POINT_MAX);
        last_y = MIN(y, (unsigned)INPUT_POINT_MAX);
        s->point(s->opaque, last_x, last_y, dz, buttons);
    }
}

void input_mouse(int dx, int dy, int dz, unsigned buttons)
{
    bool here = dx == 0 && dy == 0 && input_absolute();
    InputSink *s = here ? NULL : first_pointer(true);

    if (here) {
        input_point(last_x, last_y, dz, buttons); /* buttons and wheel belong to who has the position */
    } else if (s != NULL) {
        s->mouse(s->opaque, dx, dy, dz, buttons);
    }
}

void input_first(InputSink *s)
{
    for (InputSink **p = &sinks; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            s->next = sinks;
            sinks = s;
            return;
        }
    }
}

const InputSink *input_mouse_next(const InputSink *prev)
{
    const InputSink *s = prev == NULL ? sinks : prev->next;

    while (s != NULL && !is_pointer(s)) {
        s = s->next;
    }
    return s;
}

bool input_mouse_select(unsigned index)
{
    for (InputSink *s = sinks; s != NULL; s = s->next) {
        if (s->index == index && is_pointer(s)) {
            input_first(s);
            return true;
        }
    }
    return false;
}

bool input_key_ready(void)
{
    const InputSink *s = keyboard();

    return s == NULL || s->ready == NULL || s->ready(s->opaque);
}

int input_leds(void)
{
    const InputSink *s = keyboard();

    return s != NULL && s->leds != NULL ? s->leds(s->opaque) : -1;
}

static void (*on_lamps)(void);

void input_on_lamps(void (*fn)(void))
{
    on_lamps = fn;
}

void input_lamps_changed(void)
{
    if (on_lamps != NULL) {
        on_lamps();
    }
}

/* clang-format off */
static const struct {
    const char *name;
    uint16_t key;
} names[] = {
    { "esc", 0x01 }, { "1", 0x02 }, { "2", 0x03 }, { "3", 0x04 }, { "4", 0x05 }, { "5", 0x06 },
    { "6", 0x07 }, { "7", 0x08 }, { "8", 0x09 }, { "9", 0x0a }, { "0", 0x0b }, { "minus", 0x0c },
    { "equal", 0x0d }, { "backspace", 0x0e }, { "tab", 0x0f }, { "q", 0x10 }, { "w", 0x11 },
    { "e", 0x12 }, { "r", 0x13 }, { "t", 0x14 }, { "y", 0x15 }, { "u", 0x16 }, { "i", 0x17 },
    { "o", 0x18 }, { "p", 0x19 }, { "bracket_left", 0x1a }, { "bracket_right", 0x1b },
    { "ret", 0x1c }, { "ctrl", 0x1d }, { "a", 0x1e }, { "s", 0x1f }, { "d", 0x20 }, { "f", 0x21 },
    { "g", 0x22 }, { "h", 0x23 }, { "j", 0x24 }, { "k", 0x25 }, { "l", 0x26 },
    { "semicolon", 0x27 }, { "apostrophe", 0x28 }, { "grave_accent", 0x29 }, { "shift", 0x2a },
    { "backslash", 0x2b }, { "z", 0x2c }, { "x", 0x2d }, { "c", 0x2e }, { "v", 0x2f },
    { "b", 0x30 }, { "n", 0x31 }, { "m", 0x32 }, { "comma", 0x33 }, { "dot", 0x34 },
    { "slash", 0x35 }, { "shift_r", 0x36 }, { "asterisk", 0x37 }, { "kp_multiply", 0x37 },
    { "alt", 0x38 }, { "spc", 0x39 }, { "caps_lock", 0x3a }, { "f1", 0x3b }, { "f2", 0x3c },
    { "f3", 0x3d }, { "f4", 0x3e }, { "f5", 0x3f }, { "f6", 0x40 }, { "f7", 0x41 }, { "f8", 0x42 },
    { "f9", 0x43 }, { "f10", 0x44 }, { "num_lock", 0x45 }, { "scroll_lock", 0x46 },
    { "kp_7", 0x47 }, { "kp_8", 0x48 }, { "kp_9", 0x49 }, { "kp_subtract", 0x4a },
    { "kp_4", 0x4b }, { "kp_5", 0x4c }, { "kp_6", 0x4d }, { "kp_add", 0x4e }, { "kp_1", 0x4f },
    { "kp_2", 0x50 }, { "kp_3", 0x51 }, { "kp_0", 0x52 }, { "kp_decimal", 0x53 },
    { "less", 0x56 }, { "f11", 0x57 }, { "f12", 0x58 }, { "kp_enter", 0x11c },
    { "ctrl_r", 0x11d }, { "kp_divide", 0x135 }, { "print", INPUT_PRINT },
    { "sysrq", INPUT_PRINT }, { "alt_r", 0x138 }, { "pause", INPUT_PAUSE }, { "home", 0x147 },
    { "up", 0x148 }, { "pgup", 0x149 }, { "left", 0x14b }, { "right", 0x14d }, { "end", 0x14f },
    { "down", 0x150 }, { "pgdn", 0x151 }, { "insert", 0x152 }, { "delete", 0x153 },
    { "meta_l", 0x15b }, { "meta_r", 0x15c }, { "menu", 0x15d }, { "compose", 0x15d },
};
/* clang-format on */

const char *input_key_name(unsigned n)
{
    return n < ARRAY_SIZE(names) ? names[n].name : NULL;
}

unsigned input_key_named(const char *name)
{
    char *end;
    unsigned long v;

    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        if (strcmp(names[n].name, name) == 0) {
            return names[n].key;
        }
    }
    if (strncmp(name, "0x", 2) != 0) {
        return 0;
    }
    v = strtoul(name, &end, 16); /* sendkey's numbers: bit 7 stands for the prefix */
    return *end == '\0' && v <= 0xff ? (unsigned)((v & 0x7f) | (v & 0x80 ? INPUT_E0 : 0)) : 0;
}
