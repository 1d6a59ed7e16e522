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

enum { INPUT_POINT_MAX = 0x7fff };

enum { INPUT_SCROLL = 1, INPUT_NUM = 2, INPUT_CAPS = 4 }; /* lamps */

/* A keyboard or a mouse: what it does not have is NULL. */
typedef struct InputSink {
    const char *name; /* for `info mice` */
    void (*key)(void *opaque, unsigned key, bool down);
    /* Its buffer has room for any key. */
    bool (*ready)(void *opaque);
    /* Movement in pixels, right and down; wheel towards the user; all buttons that are held. */
    void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons);
    /* The pointer is there, 0 to INPUT_POINT_MAX of the screen's width and height; wheel; all buttons that are held. */
    void (*point)(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons);
    /* The guest listens to it. NULL: always. */
    bool (*active)(void *opaque);
    /* What the guest made the lamps show, INPUT_SCROLL...; -1: it never set them. */
    int (*leds)(void *opaque);
    void *opaque;
    struct InputSink *next; /* owned by input.c, as is the next */
    unsigned index;         /* what mouse_set names it by */
} InputSink;

/* input_add - from now on @s gets the events of its kinds; the one added last goes first. */
void input_add(InputSink *s);
void input_remove(InputSink *s);

/* input_key - a key goes down (again: ignored by keyboards, which repeat by themselves) or up, which the keyboard
 * is told at which it went down. */
void input_key(unsigned key, bool down);
void input_mouse(int dx, int dy, int dz, unsigned buttons);

/* input_absolute - whether what the pointer does goes to a device that takes positions. input_point - the
 * pointer is there; only while input_absolute(). */
bool input_absolute(void);
void input_point(unsigned x, unsigned y, int dz, unsigned buttons);
/* input_first - from now on @s comes before the others: the guest has just begun to use it. */
void input_first(InputSink *s);

/* input_current - what gets what the pointer does; NULL: nothing does. input_mouse_next - mice and tablets,
 * @prev NULL for the first one; NULL after the last. input_mouse_select - the mouse @index is first from now on; false: there is none. */
const InputSink *input_current(void);
const InputSink *input_mouse_next(const InputSink *prev);
bool input_mouse_select(unsigned index);

/* input_key_ready - the keyboard that gets the keys would lose none; true without a keyboard. */
bool input_key_ready(void);
/* input_leds - the lamps of the keyboard that gets the keys, as InputSink has them. */
int input_leds(void);
/* input_on_lamps - @fn is called when what input_leds() says may have changed; one, NULL for none.
 * input_lamps_changed - a keyboard's word that it did. */
void input_on_lamps(void (*fn)(void));
void input_lamps_changed(void);

/* input_usage - the usage of the USB's keyboard page that @key has; 0 for none. input_key_of_usage - and back. */
unsigned input_usage(unsigned key);
unsigned input_key_of_usage(unsigned usage);

/* input_key_named - the key that sendkey calls @name ("a", "ctrl", "f1", "0x1c"); 0 for none. */
unsigned input_key_named(const char *name);
/* input_key_name - name @n of those that it knows, NULL after the last. */
const char *input_key_name(unsigned n);

#endif
