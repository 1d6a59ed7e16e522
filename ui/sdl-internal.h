/*
 * Inside the window: what its two threads say to each other, and keys.
 */
#ifndef UI_SDL_INTERNAL_H
#define UI_SDL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include "hw/display/surface.h"
#include "ui/sdl.h"

enum { WINDOW_EVENTS_MAX = 256 };

typedef enum WindowEventKind {
    WINDOW_KEY,     /* .down, .keysym, .key */
    WINDOW_TEXT,    /* .keysym: a character was typed */
    WINDOW_POINT,   /* the pointer is at .x, .y of .w by .h; .buttons as RFB's */
    WINDOW_MOVE,    /* it moved by .x, .y and the wheel by .z */
    WINDOW_RELEASE, /* the keyboard is another window's now */
    WINDOW_CLOSE,
    WINDOW_DROP,    /* .file, owned */
} WindowEventKind;

typedef struct WindowEvent {
    WindowEventKind kind;
    bool down;
    bool printable;  /* the character comes as text, unless Control or Alt is held */
    uint32_t keysym; /* 0: none */
    unsigned key;    /* as in hw/input/input.h; 0: unknown */
    int x, y, z;
    unsigned w, h, buttons;
    char *file;
} WindowEvent;

/* What is to be shown. */
typedef struct WindowFrame {
    Surface *surface; /* a reference; NULL: nothing yet */
    unsigned left, top, right, bottom; /* what changed of it */
    bool console;     /* a text console: it has no pointer */
    bool absolute;    /* the guest takes positions */
} WindowFrame;

/* sdl-link.c, for the window's thread */

/* link_post - an event for the machine; waits while its queue is full. */
void link_post(const WindowEvent *e);
/* link_take - what is to be shown, if anything changed since the last call. */
bool link_take(WindowFrame *f);
/* link_setup - @wake is called, on the loop thread, when link_take() has something. Before the machine starts. */
void link_setup(void (*wake)(void), bool by_keysym);
/* link_name - the guest's, or NULL. After the first frame. */
const char *link_name(void);

/* sdl-keys.c */
struct SDL_Keysym;
void window_key(const struct SDL_Keysym *k, bool down, WindowEvent *e);

#endif
