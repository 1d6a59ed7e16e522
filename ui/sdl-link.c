/*
 * The window's half on the machine's side: what is shown goes to the window's thread, keys and pointer come
 * from it.
 */
#include <config.h>
#ifdef CONFIG_SDL
#include "ui/sdl-internal.h"

#include <pthread.h>
#include <stdlib.h>
#include "base/loop.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/input/input.h"
#include "ui/keymap.h"
#include "ui/seat.h"
#include "ui/view.h"

enum { KEYSYM_UP = 0xff52, KEYSYM_DOWN = 0xff54, WHEEL_LINES = 3 };
enum { WHEEL_UP = 8, WHEEL_DOWN = 16 }; /* RFB's buttons */

static struct {
    /* constant after link_setup() and sdl_open() */
    void (*wake)(void);
    bool by_keysym;
    const char *name;
    const Keymap *map;
    SdlHooks hooks;

    /* loop thread */
    View view;
    ScreenListener listener;
    Seat *seat; /* NULL: not open */

    pthread_mutex_t lock; /* the rest; nothing is waited for under it but `room` */
    pthread_cond_t room;  /* in events, or closing */
    bool closing;
    WindowFrame frame;
    bool changed; /* the frame, and the window's thread was woken */
    WindowEvent events[WINDOW_EVENTS_MAX];
    unsigned head, count;
    bool posted; /* the loop was told of events */
} win = { .lock = PTHREAD_MUTEX_INITIALIZER, .room = PTHREAD_COND_INITIALIZER };

/* ---- to the window ---- */

static void changed_locked(void)
{
    if (!win.changed) {
        win.changed = true;
        win.wake();
    }
}

static void on_surface(void *opaque, Surface *s)
{
    pthread_mutex_lock(&win.lock);
    surface_unref(win.frame.surface);
    win.frame.surface = surface_ref(s);
    win.frame.left = win.frame.top = 0;
    win.frame.right = s->width;
    win.frame.bottom = s->height;
    changed_locked();
    pthread_mutex_unlock(&win.lock);
}

static void on_damage(void *opaque, unsigned x, unsigned y, unsigned w, unsigned h)
{
    WindowFrame *f = &win.frame;

    pthread_mutex_lock(&win.lock);
    if (f->left >= f->right) {
        *f = (WindowFrame){ f->surface, x, y, x + w, y + h, f->console, f->absolute };
    } else {
        f->left = MIN(f->left, x);
        f->top = MIN(f->top, y);
        f->right = MAX(f->right, x + w);
        f->bottom = MAX(f->bottom, y + h);
    }
    changed_locked();
    pthread_mutex_unlock(&win.lock);
}

/* tell_pointer - what the window has to know of where the pointer goes. Machine lock held. */
static void tell_pointer(void)
{
    bool console = view_console(&win.view), absolute = input_absolute();

    pthread_mutex_lock(&win.lock);
    if (win.frame.console != console || win.frame.absolute != absolute) {
        win.frame.console = console;
        win.frame.absolute = absolute;
        changed_locked();
    }
    pthread_mutex_unlock(&win.lock);
}

/* ---- from the window; machine lock held ---- */

/* A text console gets characters as they are typed, and from keys only what is no character. The guest gets the
 * key's place: the host's, or by -k that of what the host's layout makes of it. */
static void apply_key(const WindowEvent *e)
{
    uint32_t keysym = e->keysym;
    unsigned key = e->key;
    KeyStroke stroke;

    if (view_console(&win.view)) {
        if (e->printable && !view_chord(&win.view)) {
            return;
        }
    } else if (win.by_keysym && e->printable && keymap_lookup(win.map, keysym, &stroke, 1) > 0) {
        key = stroke.key;
    }
    view_key(&win.view, keysym, key, e->down);
}

static void apply_point(const WindowEvent *e)
{
    unsigned wheel = e->z < 0 ? WHEEL_UP : e->z > 0 ? WHEEL_DOWN : 0;

    if (!input_absolute()) {
        return; /* a mouse is the guest's once a click has caught it */
    }
    seat_point(win.seat, (unsigned)e->x, (unsigned)e->y, e->w, e->h, e->buttons | wheel);
    if (wheel != 0) {
        seat_point(win.seat, (unsigned)e->x, (unsigned)e->y, e->w, e->h, e->buttons);
    }
}

/* scroll - a text console by the wheel. */
static void scroll(int z)
{
    for (unsigned n = 0; z != 0 && n < WHEEL_LINES; n++) {
        screen_key(win.view.screen, z < 0 ? KEYSYM_UP : KEYSYM_DOWN, SCREEN_CTRL);
    }
}

static void apply(const WindowEvent *e)
{
    bool console = view_console(&win.view);

    switch (e->kind) {
    case WINDOW_KEY:
        apply_key(e);
        break;
    case WINDOW_TEXT:
        if (console) {
            view_key(&win.view, e->keysym, 0, true);
            view_key(&win.view, e->keysym, 0, false);
        }
        break;
    case WINDOW_POINT:
        if (console) {
            scroll(e->z);
        } else {
            apply_point(e);
        }
        break;
    case WINDOW_MOVE:
        if (!console) {
            seat_move(win.seat, e->x, e->y, e->z, e->buttons);
        }
        break;
    case WINDOW_RELEASE:
        view_release(&win.view);
        break;
    case WINDOW_CLOSE:
    case WINDOW_DROP:
        break; /* on_events() */
    }
}

static bool take_event(WindowEvent *e)
{
    bool any;

    pthread_mutex_lock(&win.lock);
    any = win.count > 0;
    if (any) {
        *e = win.events[win.head];
        win.head = (win.head + 1) % WINDOW_EVENTS_MAX;
        win.count--;
        pthread_cond_signal(&win.room);
    } else {
        win.posted = false;
    }
    pthread_mutex_unlock(&win.lock);
    return any;
}

static void on_events(void *opaque)
{
    WindowEvent e;

    while (take_event(&e)) {
        if (win.seat == NULL) {
            /* closed */
        } else if (e.kind == WINDOW_CLOSE) {
            win.hooks.close();
        } else if (e.kind == WINDOW_DROP) {
            win.hooks.drop(e.file);
        } else {
            machine_lock();
            apply(&e);
            tell_pointer();
            machine_unlock();
        }
        free(e.file);
    }
}

/* ---- opening and closing ---- */

void sdl_open(const char *name, const Keymap *map, const SdlHooks *hooks)
{
    win.name = xstrdup(name); /* stays: the window outlives the machine */
    win.map = map;
    win.hooks = *hooks;
    win.listener = (ScreenListener){ .surface = on_surface, .damage = on_damage };
    machine_lock();
    win.seat = seat_new(map, 0, false);
    view_open(&win.view, &win.listener, win.seat, map);
    tell_pointer();
    machine_unlock();
}

void sdl_close(void)
{
    if (win.seat != NULL) {
        machine_lock();
        view_close(&win.view);
        seat_free(win.seat);
        win.seat = NULL;
        machine_unlock();
    }
    pthread_mutex_lock(&win.lock);
    win.closing = true;
    surface_unref(win.frame.surface);
    win.frame.surface = NULL;
    while (win.count > 0) {
        free(win.events[win.head].file);
        win.head = (win.head + 1) % WINDOW_EVENTS_MAX;
        win.count--;
    }
    pthread_cond_broadcast(&win.room);
    pthread_mutex_unlock(&win.lock);
}

/* ---- on the window's thread ---- */

void link_setup(void (*wake)(void), bool by_keysym)
{
    win.wake = wake;
    win.by_keysym = by_keysym;
}

const char *link_name(void)
{
    return win.name;
}

bool link_take(WindowFrame *f)
{
    bool any;

    pthread_mutex_lock(&win.lock);
    any = win.changed;
    if (any) {
        *f = win.frame;
        f->surface = f->surface != NULL ? surface_ref(f->surface) : NULL;
        win.frame.left = win.frame.right = 0;
        win.changed = false;
    }
    pthread_mutex_unlock(&win.lock);
    return any;
}

/* merged - a pointer that is still on its way: only where it is now matters. Lock held. */
static bool merged(const WindowEvent *e)
{
    WindowEvent *last = &win.events[(win.head + win.count - 1) % WINDOW_EVENTS_MAX];

    if (win.count == 0 || last->kind != e->kind || last->buttons != e->buttons || last->z != 0 || e->z != 0) {
        return false;
    }
    if (e->kind == WINDOW_POINT) {
        *last = *e;
    } else if (e->kind == WINDOW_MOVE) {
        last->x += e->x;
        last->y += e->y;
    }
    return e->kind == WINDOW_POINT || e->kind == WINDOW_MOVE;
}

void link_post(const WindowEvent *e)
{
    bool tell;

    pthread_mutex_lock(&win.lock);
    if (merged(e)) {
        pthread_mutex_unlock(&win.lock);
        return;
    }
    while (win.count == WINDOW_EVENTS_MAX && !win.closing) {
        pthread_cond_wait(&win.room, &win.lock);
    }
    if (win.closing) {
        pthread_mutex_unlock(&win.lock);
        free(e->file);
        return;
    }
    win.events[(win.head + win.count++) % WINDOW_EVENTS_MAX] = *e;
    tell = !win.posted;
    win.posted = true;
    pthread_mutex_unlock(&win.lock);
    if (tell) {
        loop_post(on_events, NULL);
    }
}

#endif
