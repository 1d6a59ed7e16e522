/*
 * Screens: what a graphics card or a text console shows and who looks at it. A card makes a screen and
 * fills its surface when asked; the user interface (ui/) listens to it. hw/ declares this, ui/ uses it,
 * and makes screens itself for text consoles (ui/console.c).
 *
 * Nothing is drawn for a screen that nobody looks at. While someone listens, the card is asked to
 * bring the surface up to date some 60 times a second, less often when nothing changes.
 * The machine lock is held for all of it, callbacks included, unless it says otherwise.
 */
#ifndef HW_DISPLAY_SCREEN_H
#define HW_DISPLAY_SCREEN_H

#include <stdbool.h>
#include "hw/display/surface.h"

typedef struct Screen Screen;

enum { SCREEN_CTRL = 1, SCREEN_ALT = 2 };

/* What the card does. */
typedef struct ScreenOps {
    /* Draw what has changed since the last call into the surface (under its lock, or into a new one
     * that is given to screen_set_surface()) and report it by screen_damage(). Loop thread. */
    void (*refresh)(void *opaque);
    /* The text screen as UTF-8, each line ended by '\n', without blanks at line ends; NULL when it
     * shows graphics. Freed by the caller. May be NULL. */
    char *(*text)(void *opaque);
    /* A key goes down while this screen is looked at: an X11 keysym, and SCREEN_CTRL and SCREEN_ALT as they
     * are held. NULL for a graphics card's, whose keys are the guest's. */
    void (*key)(void *opaque, uint32_t keysym, unsigned mods);
} ScreenOps;

/* Who looks. */
typedef struct ScreenListener {
    void (*surface)(void *opaque, Surface *s); /* another surface; borrowed for the call */
    void (*damage)(void *opaque, unsigned x, unsigned y, unsigned w, unsigned h);
    void (*bell)(void *opaque); /* may be NULL */
    void *opaque;
    struct ScreenListener *next; /* owned by screen.c */
} ScreenListener;

/* screen_new - a screen called @name (borrowed: the card's id), black, 640 by 480. It goes to the end of the
 * list of screens, where text consoles stand behind graphics cards. screen_free - take it out of the list; its listeners are forgotten. */
Screen *screen_new(const char *name, const ScreenOps *ops, void *opaque);
void screen_free(Screen *s);

/* screen_first/next - all screens in order; NULL after the last. */
Screen *screen_first(void);
Screen *screen_next(const Screen *s);
const char *screen_name(const Screen *s);

/* screen_set_surface - show @surface from now on; takes over the caller's reference. Tells the listeners,
 * for whom all of it has changed. */
void screen_set_surface(Screen *s, Surface *surface);
/* screen_surface - what is shown; borrowed until the lock is given back. Never NULL. */
Surface *screen_surface(const Screen *s);
/* screen_damage - a rectangle of the surface, clipped to it, has changed; the pixels are there already. */
void screen_damage(Screen *s, unsigned x, unsigned y, unsigned w, unsigned h);

/* screen_bell - ring at those who look. */
void screen_bell(Screen *s);

/* screen_refresh - have the card draw now (before a screen dump). Loop thread. */
void screen_refresh(Screen *s);
/* screen_text - the text screen (see ScreenOps), or NULL. */
char *screen_text(Screen *s);
/* screen_takes_keys - it is a text console. screen_key - see ScreenOps; only for such. */
bool screen_takes_keys(const Screen *s);
void screen_key(Screen *s, uint32_t keysym, unsigned mods);
/* screen_nth - screen @n of the list, from 0; NULL: there are fewer. screen_find - by its name, or its number
 * from 1, which is what Ctrl-Alt and that digit show. */
Screen *screen_nth(unsigned n);
Screen *screen_find(const char *name);

/* screen_listen - from now on @l (borrowed) hears of @s; it is given the surface at once.
 * screen_unlisten - and no longer. */
void screen_listen(Screen *s, ScreenListener *l);
void screen_unlisten(Screen *s, ScreenListener *l);

#endif
