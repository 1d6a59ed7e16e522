/*
 * Keys of the window. SDL's scan codes are usages of the USB's keyboard page, which say where a key is; its
 * key codes say what the host's layout makes of it.
 */
#include <config.h>
#ifdef CONFIG_SDL
#include "ui/sdl-internal.h"

#include "base/mem.h"
#include "hw/input/input.h"
#include "ui/keymap.h"
#include "ui/sdl-library.h"

/* X11 keysyms of the usages that are no characters; of the keypad's digits, what they are without Num Lock. */
static const uint16_t keysyms[] = {
    [0x28] = 0xff0d, 0xff1b, 0xff08, 0xff09, /* Return, Escape, Backspace, Tab */
    [0x39] = 0xffe5,                         /* Caps Lock */
    [0x3a] = 0xffbe, 0xffbf, 0xffc0, 0xffc1, 0xffc2, 0xffc3, 0xffc4, 0xffc5, 0xffc6, 0xffc7, 0xffc8, 0xffc9, /* F1... */
    [0x46] = 0xff61, 0xff14, 0xff13, /* Print Screen, Scroll Lock, Pause */
    [0x49] = 0xff63, 0xff50, 0xff55, 0xffff, 0xff57, 0xff56, /* Insert, Home, Page Up, Delete, End, Page Down */
    [0x4f] = 0xff53, 0xff51, 0xff54, 0xff52, /* right, left, down, up */
    [0x53] = 0xff7f, [0x58] = 0xff8d,        /* Num Lock, the keypad's Enter */
    [0x59] = 0xff9c, 0xff99, 0xff9b, 0xff96, 0xff9d, 0xff98, 0xff95, 0xff97, 0xff9a, 0xff9e, 0xff9f, /* 1 to 9, 0, dot */
    [0x65] = 0xff67,                         /* Menu */
    [0xe0] = 0xffe3, 0xffe1, 0xffe9, 0xffeb, 0xffe4, 0xffe2, 0xffea, 0xffec, /* left and right modifiers */
};

enum { KEYPAD_FIRST = 0x59, KEYPAD_LAST = 0x63, KEYSYM_ALTGR = 0xfe03 };

void window_key(const SDL_Keysym *k, bool down, WindowEvent *e)
{
    unsigned usage = (unsigned)k->scancode;
    bool digit = usage >= KEYPAD_FIRST && usage <= KEYPAD_LAST && (k->mod & KMOD_NUM);

    *e = (WindowEvent){ .kind = WINDOW_KEY, .down = down };
    e->key = input_key_of_usage(usage);
    if (usage < ARRAY_SIZE(keysyms) && !digit) {
        e->keysym = keysyms[usage];
    }
    if (k->sym == SDLK_MODE) {
        e->keysym = KEYSYM_ALTGR; /* the key makes characters, it is no Alt */
    } else if (e->keysym == 0) {
        e->printable = true;
        e->keysym = k->sym > 0 && !(k->sym & SDLK_SCANCODE_MASK) ? keysym_of((uint32_t)k->sym) : 0;
    }
}

#endif
