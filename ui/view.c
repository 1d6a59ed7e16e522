/*
 * Views: see view.h.
 */
#include "ui/view.h"

#include <stdlib.h>
#include "base/mem.h"
#include "base/text.h"
#include "ui/keymap.h"
#include "ui/seat.h"

enum { LCTRL = 1, RCTRL = 2, LALT = 4, RALT = 8, LSHIFT = 16, RSHIFT = 32 };
enum { KEY_1 = 0x02, KEY_9 = 0x0a, KEY_INSERT = 0x152 };
enum { KEYSYM_INSERT = 0xff63, KEYSYM_RETURN = 0xff0d };

void view_open(View *v, ScreenListener *listener, Seat *seat, const Keymap *map)
{
    *v = (View){ .screen = screen_first(), .listener = listener, .seat = seat, .map = map };
    if (v->screen != NULL) {
        screen_listen(v->screen, listener);
    }
}

static void look_away(View *v)
{
    if (v->screen != NULL) {
        screen_unlisten(v->screen, v->listener);
    }
    v->screen = NULL;
}

void view_close(View *v)
{
    look_away(v);
    free(v->clipboard);
    v->clipboard = NULL;
}

void view_clipboard(View *v, char *text)
{
    free(v->clipboard);
    v->clipboard = text;
}

/* paste - a line end is what Return makes; other control characters are nothing that one can type. */
static void paste(View *v)
{
    const char *p = v->clipboard;
    uint32_t ch;

    while (p != NULL && (ch = utf8_next(&p)) != 0) {
        if (ch == '\n') {
            screen_key(v->screen, KEYSYM_RETURN, 0);
        } else if (ch >= ' ' || ch == '\t') { /* what a Tab stands for there is not known here */
            screen_key(v->screen, ch == '\t' ? ' ' : keysym_of(ch), 0);
        }
    }
}

void view_release(View *v)
{
    v->held = 0;
    seat_release(v->seat);
}

bool view_console(const View *v)
{
    return v->screen != NULL && screen_takes_keys(v->screen);
}

bool view_chord(const View *v)
{
    return (v->held & ~(unsigned)(LSHIFT | RSHIFT)) != 0;
}

bool view_show(View *v, unsigned n)
{
    Screen *s = screen_nth(n);

    if (s == NULL) {
        return false;
    }
    seat_release(v->seat); /* its ups come while it looks elsewhere */
    if (s != v->screen) {
        look_away(v);
        v->screen = s;
        screen_listen(s, v->listener);
    }
    return true;
}

/* modifier - which of the modifiers a key is; 0 for others. AltGr is none of them, it makes characters. */
static unsigned modifier(uint32_t keysym, unsigned key)
{
    static const struct {
        uint16_t keysym, key;
        unsigned mod;
    } mods[] = {
        { 0xffe3, 0x1d, LCTRL }, { 0xffe4, 0x11d, RCTRL }, { 0xffe9, 0x38, LALT }, { 0xffea, 0, RALT },
        { 0xffe1, 0x2a, LSHIFT }, { 0xffe2, 0x36, RSHIFT },
        { 0xffe7, 0, LALT }, /* Meta is what Alt says while Shift is held */
    };

    for (size_t n = 0; n < ARRAY_SIZE(mods); n++) {
        if (keysym == mods[n].keysym || (keysym == 0 && key != 0 && key == mods[n].key)) {
            return mods[n].mod;
        }
    }
    return 0;
}

/* digit - the screen that a key names, from 0: its place counts, also where a shifted character is on it. */
static bool digit(const View *v, uint32_t keysym, unsigned key, unsigned *n)
{
    KeyStroke stroke;

    if (key == 0 && keysym >= '1' && keysym <= '9') {
        *n = keysym - '1';
        return true;
    }
    if (key == 0 && v->map != NULL && keymap_lookup(v->map, keysym, &stroke, 1) > 0) {
        key = stroke.key;
    }
    *n = key - KEY_1;
    return key >= KEY_1 && key <= KEY_9;
}

void view_key(View *v, uint32_t keysym, unsigned key, bool down)
{
    unsigned mod = modifier(keysym, key), mods, n;

    v->held = down ? v->held | mod : v->held & ~mod;
    mods = (v->held & (LCTRL | RCTRL) ? SCREEN_CTRL : 0) | (v->held & (LALT | RALT) ? SCREEN_ALT : 0);
    if (down && mods == (SCREEN_CTRL | SCREEN_ALT) && digit(v, keysym, key, &n) &&
        (view_show(v, n) || view_console(v))) {
        return; /* to a console it would be a character */
    }
    if (view_console(v)) {
        if (down && (v->held & (LSHIFT | RSHIFT)) && (keysym == KEYSYM_INSERT || key == KEY_INSERT)) {
            paste(v);
        } else if (down && mod == 0) {
            screen_key(v->screen, keysym, mods);
        }
    } else if (!seat_room() && down) {
        return; /* the machine stands and takes no more */
    } else if (key != 0) {
        seat_key(v->seat, key, down);
    } else {
        seat_keysym(v->seat, keysym, down);
    }
}
