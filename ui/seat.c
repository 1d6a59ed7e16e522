/*
 * Seats: see seat.h.
 */
#include "ui/seat.h"

#include <stdlib.h>
#include "base/mem.h"
#include "hw/input/input.h"
#include "ui/key-queue.h"
#include "ui/keymap.h"
#include "ui/trace.h"

enum { HELD_MAX = 32, STROKES_MAX = 16 };
enum { KEY_LSHIFT = 0x2a, KEY_RSHIFT = 0x36, KEY_ALTGR = 0x138, KEY_CTRL = 0x1d, KEY_ALT = 0x38,
       KEY_NUM = 0x45, KEY_SPACE = 0x39 };

struct Seat {
    const Keymap *map;
    unsigned delay_ms;
    bool sync;
    uint8_t down[INPUT_KEYS / 8];
    struct {
        uint32_t keysym;
        uint16_t key;
    } held[HELD_MAX]; /* what made the keys go down: other modifiers may be held when they go up */
    unsigned held_count;
    unsigned buttons;
    Seat *next;
};

static Seat *seats; /* machine lock, as all here */

/* Where the guest's pointer is, as far as viewers could tell. */
static struct {
    bool known;
    unsigned x, y;
} pointer;

/* Num Lock was pressed by us, and the guest's lamp has not followed yet. */
static struct {
    bool waiting;
    int lamps; /* at that time */
} num_lock;

Seat *seat_new(const Keymap *map, unsigned delay_ms, bool sync)
{
    Seat *s = xnew(Seat);

    s->map = map;
    s->delay_ms = delay_ms;
    s->sync = sync;
    s->next = seats;
    seats = s;
    return s;
}

static bool holds(const Seat *s, unsigned key)
{
    return s->down[key / 8] >> (key % 8) & 1;
}

static bool anyone_holds(unsigned key)
{
    for (const Seat *s = seats; s != NULL; s = s->next) {
        if (holds(s, key)) {
            return true;
        }
    }
    return false;
}

static void put(const Seat *s, unsigned key, bool down)
{
    trace_seat_key(key, down);
    key_queue_put(key, down);
    key_queue_pause(s->delay_ms);
}

void seat_key(Seat *s, unsigned key, bool down)
{
    bool before;

    if (key == 0 || key >= INPUT_KEYS || holds(s, key) == down) {
        return; /* the guest's keyboard repeats by itself */
    }
    before = anyone_holds(key);
    s->down[key / 8] ^= (uint8_t)(1u << key % 8);
    if (anyone_holds(key) != before) {
        put(s, key, down);
    }
}

void seat_release(Seat *s)
{
    for (unsigned key = 0; key < INPUT_KEYS; key++) {
        seat_key(s, key, false);
    }
    s->held_count = 0;
    if (s->buttons != 0) {
        seat_move(s, 0, 0, 0, 0);
    }
}

void seat_free(Seat *s)
{
    if (s == NULL) {
        return;
    }
    seat_release(s);
    for (Seat **p = &seats; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    free(s);
}

bool seat_room(void)
{
    return key_queue_room() >= 4 * SEAT_STEP;
}

/* ---- keysyms ---- */

/* best - the way that fits what is held already, else the simplest. */
static const KeyStroke *best(const KeyStroke *strokes, unsigned count, bool caps)
{
    bool shift = anyone_holds(KEY_LSHIFT) || anyone_holds(KEY_RSHIFT), altgr = anyone_holds(KEY_ALTGR);

    for (unsigned n = 0; n < count; n++) {
        if (strokes[n].plain || ((strokes[n].shift ^ (strokes[n].letter && caps)) == shift &&
                                 strokes[n].altgr == altgr)) {
            return &strokes[n];
        }
    }
    return strokes;
}

/* A keypad's keysym says whether Num Lock is on at the viewer. */
static void match_num_lock(Seat *s, bool digits)
{
    int lamps = input_leds();

    if (num_lock.waiting && lamps != num_lock.lamps) {
        num_lock.waiting = false;
    }
    if (lamps >= 0 && ((lamps & INPUT_NUM) != 0) == (digits == num_lock.waiting)) {
        put(s, KEY_NUM, true);
        put(s, KEY_NUM, false);
        num_lock.waiting = !num_lock.waiting;
        num_lock.lamps = lamps;
    }
}

static bool is_keypad(unsigned key)
{
    return key >= 0x47 && key <= 0x53 && key != 0x4a && key != 0x4e;
}

/* with_modifiers - press @k with Shift and AltGr as it needs them; they are afterwards as before. */
static void with_modifiers(Seat *s, const KeyStroke *k, bool caps)
{
    bool shift = k->shift ^ (k->letter && caps);
    bool left = anyone_holds(KEY_LSHIFT), right = anyone_holds(KEY_RSHIFT);
    bool altgr = k->altgr && !anyone_holds(KEY_ALTGR) &&
                 !(anyone_holds(KEY_CTRL) && anyone_holds(KEY_ALT)); /* what some send for AltGr */

    if (k->plain) {
        seat_key(s, k->key, true);
        return;
    }
    if (shift && !left && !right) {
        put(s, KEY_LSHIFT, true);
    }
    if (!shift && left) {
        put(s, KEY_LSHIFT, false);
    }
    if (!shift && right) {
        put(s, KEY_RSHIFT, false);
    }
    if (altgr) {
        put(s, KEY_ALTGR, true);
    }
    seat_key(s, k->key, true);
    if (k->dead) {
        seat_key(s, k->key, false);
    }
    if (altgr) {
        put(s, KEY_ALTGR, false);
    }
    if (shift && !left && !right) {
        put(s, KEY_LSHIFT, false);
    }
    if (k->dead) {
        seat_key(s, KEY_SPACE, true);
    }
    if (!shift && left) {
        put(s, KEY_LSHIFT, true);
    }
    if (!shift && right) {
        put(s, KEY_RSHIFT, true);
    }
}

static void keysym_up(Seat *s, uint32_t keysym, const KeyStroke *strokes, unsigned count)
{
    unsigned key = 0;

    for (unsigned n = 0; n < s->held_count && key == 0; n++) {
        if (s->held[n].keysym == keysym) {
            key = s->held[n].key;
        }
    }
    for (unsigned n = 0; n < count && key == 0; n++) { /* 'A' went down, and without Shift 'a' goes up */
        key = holds(s, strokes[n].key) ? strokes[n].key : 0;
    }
    if (key == 0) {
        return;
    }
    seat_key(s, key, false);
    for (unsigned n = 0; n < s->held_count;) {
        if (s->held[n].key == key) {
            s->held[n] = s->held[--s->held_count];
        } else {
            n++;
        }
    }
}

void seat_keysym(Seat *s, uint32_t keysym, bool down)
{
    KeyStroke strokes[STROKES_MAX];
    unsigned count = keymap_lookup(s->map, keysym, strokes, STROKES_MAX);
    int lamps = input_leds();
    bool caps = lamps >= 0 && (lamps & INPUT_CAPS);
    const KeyStroke *k;

    trace_seat_keysym(keysym, down, count);
    if (!down) {
        keysym_up(s, keysym, strokes, count);
        return;
    }
    if (count == 0 || s->held_count == HELD_MAX) {
        return;
    }
    k = best(strokes, count, caps);
    if (holds(s, k->dead ? KEY_SPACE : k->key)) {
        return;
    }
    if (s->sync && k->plain && is_keypad(k->key)) {
        match_num_lock(s, k->keypad);
    }
    with_modifiers(s, k, caps);
    s->held[s->held_count].keysym = keysym;
    s->held[s->held_count++].key = k->dead ? KEY_SPACE : k->key;
}

/* ---- pointer ---- */

static unsigned to_input(unsigned buttons)
{
    return (buttons & 1 ? INPUT_LEFT : 0) | (buttons & 2 ? INPUT_MIDDLE : 0) |
           (buttons & 4 ? INPUT_RIGHT : 0) | (buttons & 0x80 ? INPUT_SIDE : 0) |
           (buttons & 0x100 ? INPUT_EXTRA : 0);
}

static unsigned all_buttons(void)
{
    unsigned all = 0;

    for (const Seat *o = seats; o != NULL; o = o->next) {
        all |= to_input(o->buttons);
    }
    return all;
}

unsigned seat_buttons(const Seat *s)
{
    return s->buttons;
}

/* wheel - its steps are buttons that go down. */
static int wheel(const Seat *s, unsigned buttons)
{
    unsigned fresh = buttons & ~s->buttons;

    return (fresh & 0x10 ? 1 : 0) - (fresh & 0x08 ? 1 : 0);
}

void seat_move(Seat *s, int dx, int dy, int dz, unsigned buttons)
{
    dz += wheel(s, buttons);
    s->buttons = buttons;
    input_mouse(dx, dy, dz, all_buttons());
}

/* One axis: the difference, and at a border that was not touched before the whole side more. */
static int axis(unsigned from, unsigned to, unsigned side)
{
    int d = pointer.known ? (int)to - (int)from : 0;
    bool fresh = !pointer.known || from != to;

    if (fresh && to == 0) {
        d -= (int)side;
    } else if (fresh && to == side - 1) {
        d += (int)side;
    }
    return d;
}

/* middle - of a pixel, so that whoever cuts off and whoever rounds come back to it. */
static unsigned middle(unsigned at, unsigned side)
{
    return (unsigned)((2ull * at + 1) * (INPUT_POINT_MAX + 1) / (2ull * side));
}

static void point_absolute(Seat *s, unsigned x, unsigned y, unsigned w, unsigned h, unsigned buttons)
{
    int dz = wheel(s, buttons);

    s->buttons = buttons;
    pointer.known = false; /* a relative mouse moves from where nobody knows */
    input_point(middle(x, w), middle(y, h), dz, all_buttons());
}

void seat_point(Seat *s, unsigned x, unsigned y, unsigned w, unsigned h, unsigned buttons)
{
    int dx, dy;

    if (w == 0 || h == 0) {
        return;
    }
    x = MIN(x, w - 1);
    y = MIN(y, h - 1);
    if (input_absolute()) {
        point_absolute(s, x, y, w, h, buttons);
        return;
    }
    dx = axis(pointer.x, x, w);
    dy = axis(pointer.y, y, h);
    pointer.known = true;
    pointer.x = x;
    pointer.y = y;
    if (dx != 0 || dy != 0 || buttons != s->buttons) {
        seat_move(s, dx, dy, 0, buttons);
    }
}
