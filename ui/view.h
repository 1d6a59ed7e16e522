/*
 * A view: which screen somebody looks at, and where the keys go that he presses: to the guest, or to the
 * text console that he sees. Ctrl-Alt-1 to Ctrl-Alt-9 choose the screen.
 * Loop thread, machine lock held for all of it.
 */
#ifndef UI_VIEW_H
#define UI_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include "hw/display/screen.h"

struct Keymap;
struct Seat;

typedef struct View {
    Screen *screen; /* NULL: there is none */
    ScreenListener *listener;
    struct Seat *seat;
    const struct Keymap *map;
    unsigned held; /* modifiers, each key by itself */
    char *clipboard; /* what Shift-Insert types into a text console; owned, may be NULL */
} View;

/* view_open - look at the first screen: @listener (borrowed) hears of it, and of those shown later in its place.
 * @seat (borrowed) acts on the guest; @map says where keysyms are on the keyboard. view_close - look away. */
void view_open(View *v, ScreenListener *listener, struct Seat *seat, const struct Keymap *map);
void view_close(View *v);

/* view_chord - he holds Control or Alt. */
bool view_chord(const View *v);
/* view_show - screen @n, from 0. False: there is none. What the seat holds in the guest is let go. */
bool view_show(View *v, unsigned n);
/* view_release - he looks away for a moment: nothing is held any more. */
void view_release(View *v);
/* view_console - a text console is shown: the guest gets nothing. */
bool view_console(const View *v);

/* view_clipboard - takes over @text, UTF-8. */
void view_clipboard(View *v, char *text);

/* view_key - a key by its keysym (0: unknown) and its place (0: unknown), of which the guest gets the place if
 * it is known. While the queue of keys is full, the guest gets none (seat_room()). */
void view_key(View *v, uint32_t keysym, unsigned key, bool down);

#endif
