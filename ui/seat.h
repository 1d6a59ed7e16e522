/*
 * A seat: somebody with a keyboard and a pointer (a VNC client, the monitor). What the seats do together
 * is what the guest's keyboard and mouse do; a seat that goes away lets go of what it held.
 * Machine lock held for all of it.
 */
#ifndef UI_SEAT_H
#define UI_SEAT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Seat Seat;
struct Keymap;

enum { SEAT_STEP = 8 }; /* one call makes at most this many keys go down and up */

/* seat_new - @map (-k) is for seat_keysym(); after each key @delay_ms pass before the next; with @sync
 * the guest's Num Lock is switched to what the keypad's keysyms say. seat_free - releases everything; NULL is fine. */
Seat *seat_new(const struct Keymap *map, unsigned delay_ms, bool sync);
void seat_free(Seat *s);

/* seat_release - lets go of all keys and buttons that it holds. */
void seat_release(Seat *s);

/* seat_key - a key by its place on the keyboard, as in hw/input/input.h. */
void seat_key(Seat *s, unsigned key, bool down);
/* seat_keysym - an X11 keysym: presses the key that makes it in the guest, with the Shift, AltGr or lock
 * state that it needs there. */
void seat_keysym(Seat *s, uint32_t keysym, bool down);
/* seat_room - whether all keys of one more call find room in the queue. */
bool seat_room(void);

/* Buttons as RFB numbers them: bit 0 left, 1 middle, 2 right, 3 wheel up, 4 wheel down, 7 back, 8 forward. */

/* seat_point - the pointer is at (@x, @y) of a screen of @w by @h pixels. A guest that has a relative mouse
 * gets the exact difference, and at a border enough more to push its pointer against it. */
void seat_point(Seat *s, unsigned x, unsigned y, unsigned w, unsigned h, unsigned buttons);
/* seat_move - the pointer moves. */
void seat_move(Seat *s, int dx, int dy, int dz, unsigned buttons);
/* seat_buttons - those it holds down. */
unsigned seat_buttons(const Seat *s);

#endif
