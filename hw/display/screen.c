/*
 * Screens: the list of them, who looks at them, and how often they are drawn.
 */
#include "hw/display/screen.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/lock.h"

/* After a change the next look is soon, since changes come in runs; then the eye has time. */
#define INTERVAL_BUSY_NS 16000000
#define INTERVAL_IDLE_NS 50000000
enum { IDLE_AFTER = 12 }; /* refreshes without a change */

struct Screen {
    const char *name;
    const ScreenOps *ops;
    void *opaque;
    Surface *surface;
    ScreenListener *listeners;
    Timer timer;    /* runs while there are listeners */
    unsigned quiet; /* refreshes since the last change */
    struct Screen *next;
};

static Screen *screens;

static void tick(void *opaque)
{
    Screen *s = opaque;

    if (s->listeners == NULL) {
        return;
    }
    s->quiet++;
    screen_refresh(s);
    timer_arm(&s->timer, clock_now(CLK_REAL) +
                             (s->quiet > IDLE_AFTER ? INTERVAL_IDLE_NS : INTERVAL_BUSY_NS));
}

Screen *screen_new(const char *name, const ScreenOps *ops, void *opaque)
{
    Screen *s = xnew(Screen), **p = &screens;

    s->name = name;
    s->ops = ops;
    s->opaque = opaque;
    s->surface = surface_new(640, 480);
    if (s->surface == NULL) {
        abort(); /* no memory for a megabyte, at start */
    }
    timer_init(&s->timer, CLK_REAL, tick, s, &machine_lock_guard);
    while (*p != NULL && (ops->key != NULL || (*p)->ops->key == NULL)) {
        p = &(*p)->next;
    }
    s->next = *p;
    *p = s;
    return s;
}

void screen_free(Screen *s)
{
    if (s == NULL) {
        return;
    }
    for (Screen **p = &screens; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    timer_cancel(&s->timer);
    surface_unref(s->surface);
    free(s);
}

Screen *screen_first(void)
{
    return screens;
}

Screen *screen_next(const Screen *s)
{
    return s->next;
}

const char *screen_name(const Screen *s)
{
    return s->name;
}

void screen_set_surface(Screen *s, Surface *surface)
{
    surface_unref(s->surface);
    s->surface = surface;
    s->quiet = 0;
    for (ScreenListener *l = s->listeners; l != NULL; l = l->next) {
        l->surface(l->opaque, surface);
    }
}

Surface *screen_surface(const Screen *s)
{
    return s->surface;
}

void screen_damage(Screen *s, unsigned x, unsigned y, unsigned w, unsigned h)
{
    if (x >= s->surface->width || y >= s->surface->height || w == 0 || h == 0) {
        return;
    }
    w = MIN(w, s->surface->width - x);
    h = MIN(h, s->surface->height - y);
    s->quiet = 0;
    for (ScreenListener *l = s->listeners; l != NULL; l = l->next) {
        l->damage(l->opaque, x, y, w, h);
    }
}

void screen_bell(Screen *s)
{
    for (ScreenListener *l = s->listeners; l != NULL; l = l->next) {
        if (l->bell != NULL) {
            l->bell(l->opaque);
        }
    }
}

void screen_refresh(Screen *s)
{
    s->ops->refresh(s->opaque);
}

char *screen_text(Screen *s)
{
    return s->ops->text != NULL ? s->ops->text(s->opaque) : NULL;
}

bool screen_takes_keys(const Screen *s)
{
    return s->ops->key != NULL;
}

void screen_key(Screen *s, uint32_t keysym, unsigned mods)
{
    s->ops->key(s->opaque, keysym, mods);
    if (s->listeners != NULL && s->quiet > 0) { /* whoever types looks at what comes of it */
        s->quiet = 0;
        timer_arm(&s->timer, clock_now(CLK_REAL) + INTERVAL_BUSY_NS);
    }
}

Screen *screen_nth(unsigned n)
{
    Screen *s = screens;

    for (; s != NULL && n > 0; n--) {
        s = s->next;
    }
    return s;
}

Screen *screen_find(const char *name)
{
    uint64_t n;

    for (Screen *s = screens; s != NULL; s = s->next) {
        if (strcmp(s->name, name) == 0) {
            return s;
        }
    }
    return text_u64(name, 1000, &n) && n > 0 ? screen_nth((unsigned)n - 1) : NULL;
}

void screen_listen(Screen *s, ScreenListener *l)
{
    if (s->listeners == NULL) {
        s->quiet = 0;
        timer_arm(&s->timer, clock_now(CLK_REAL));
    }
    l->next = s->listeners;
    s->listeners = l;
    l->surface(l->opaque, s->surface);
}

void screen_unlisten(Screen *s, ScreenListener *l)
{
    for (ScreenListener **p = &s->listeners; *p != NULL; p = &(*p)->next) {
        if (*p == l) {
            *p = l->next;
            break;
        }
    }
    if (s->listeners == NULL) {
        timer_cancel(&s->timer);
    }
}
