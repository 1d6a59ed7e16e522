/*
 * Input of the user: what ui/ and the monitor's sendkey put in, and who takes it.
 *
 * A key is named by its code of scan code set 1, with 100h for those that have an E0h prefix; two
 * keys that have no such code get one that is free. Machine lock held for all of it.
 */
#ifndef HW_INPUT_INPUT_H
#define HW_INPUT_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#define INPUT_E0 0x100u
#define INPUT_PAUSE 0x145u
#define INPUT_PRINT 0x137u
#define INPUT_KEYS 0x180u

enum { INPUT_LEFT = 1, INPUT_RIGHT = 2, INPUT_MIDDLE = 4, INPUT_SIDE = 8, INPUT_EXTRA = 16 };

enum { INPUT_SCROLL = 1, INPUT_NUM = 2, INPUT_CAPS = 4 }; /* lamps */

/* A keyboard or a mouse: what it does not have is NULL. */
typedef struct InputSink {
    const char *name; /* for `info mice` */
    void (*key)(void *opaque, unsigned key, bool down);
    /* Its buffer has room for any key. */
    bool (*ready)(void *opaque);
    /* Movement in pixels, right and down; wheel towards the user; all buttons that are held. */
    void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons);
    /* What the guest made the lamps show, INPUT_SCROLL...; -1: it never set them. */
    int (*leds)(void *opaque);
    void *opaque;
    struct InputSink *next; /* owned by input.c, as is the next */
    unsigned index;         /* what mouse_set names it by */
} InputSink;

/* input_add - from now on @s gets the events of its kinds; the one added last goes first. */
void input_add(InputSink *s);
void input_remove(InputSink *s);

/* input_key - a key goes down (again: ignored by keyboards, which repeat by themselves) or up. */
void input_key(unsigned key, bool down);
void input_mouse(int dx, int dy, int dz, unsigned buttons);

/* input_mouse_next - the mice, @prev NULL for the one that gets the events, then the others; NULL after the
 * last. input_mouse_select - the mouse @index is first from now on; false: there is none. */
const InputSink *input_mouse_next(const InputSink *prev);
bool input_mouse_select(unsigned index);

/* input_key_ready - the keyboard that gets the keys would lose none; true without a keyboard. */
bool input_key_ready(void);
/* input_leds - the lamps of the keyboard that gets the keys, as InputSink has them. */
int input_leds(void);

/* input_key_named - the key that sendkey calls @name ("a", "ctrl", "f1", "0x1c"); 0 for none. */
unsigned input_key_named(const char *name);

#endif
