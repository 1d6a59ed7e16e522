/*
 * The window: a screen, keyboard and pointer by SDL 2.
 *
 * SDL wants the process's first thread. So the machine, loop and all, runs on a second one where there is a
 * window, and the two talk by queues (sdl-link.c): neither waits for what the other does.
 */
#ifndef UI_SDL_H
#define UI_SDL_H

#include <stdbool.h>

struct Error;
struct Keymap;

typedef struct SdlOptions {
    bool on;
    bool asked;       /* by name; else a window is tried and VNC takes its place */
    bool full_screen; /* at the start */
    bool keep_open;   /* window-close=off */
    bool show_cursor; /* the host's, also where the guest draws its own */
    bool gl;          /* the host's graphics card draws; without one that is slower than the processor by itself */
    bool by_keysym;   /* keys by what the host's layout makes of them, placed by -k */
} SdlOptions;

/* sdl_init - open the display. First thread, before any other. */
bool sdl_init(const SdlOptions *opts, struct Error **errp);
/* sdl_main - run @machine on a thread of its own and the window on this one, until @machine returns; what it
 * returned. First thread, after sdl_init(). */
int sdl_main(int (*machine)(void *opaque), void *opaque);

/* What is done about the window; loop thread, machine lock not held. */
typedef struct SdlHooks {
    void (*close)(void);
    void (*drop)(const char *file); /* a file was dropped on it */
} SdlHooks;

/* sdl_open - show the first screen, when there is one. @name: the guest's, or NULL; all borrowed. sdl_close - and no
 * longer. Loop thread, without the machine lock. */
void sdl_open(const char *name, const struct Keymap *map, const SdlHooks *hooks);
void sdl_close(void);

#endif
