/*
 * The window, on the process's first thread: drawing, and what a person does to it. All SDL is called here,
 * but for SDL_PushEvent(), which any thread may call.
 */
#include <config.h>
#ifdef CONFIG_SDL
#include "ui/sdl.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "ui/keymap.h"
#include "ui/sdl-internal.h"
#include "ui/sdl-library.h"

enum { SCALE_MIN = 25, SCALE_MAX = 800, SCALE_STEP = 25 }; /* per cent */
enum { WAKE_FRAME, WAKE_END }; /* SDL_UserEvent.code */

typedef struct Window {
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture; /* as large as the surface */
    Surface *surface;     /* shown; a reference, NULL before the first frame */
    bool console, absolute; /* of the last frame */
    bool grabbed, full_screen;
    bool stretched;   /* the user gave it its size: the guest's modes leave it */
    unsigned scale;   /* per cent, otherwise */
    unsigned buttons; /* held, as RFB's */
    int x, y;         /* the pointer, in the window's coordinates */
    SDL_Rect place;   /* of the picture, in the window's coordinates */
} Window;

typedef struct Machine {
    pthread_t thread;
    int (*main)(void *opaque);
    void *opaque;
    int result;
} Machine;

static SdlOptions options; /* constant after sdl_init() */
static Uint32 wake_event;

static void wake(int code)
{
    SDL_Event e = { .user = { .type = wake_event, .code = code } };

    sdl.SDL_PushEvent(&e);
}

static void wake_frame(void)
{
    wake(WAKE_FRAME);
}

/* choose_driver - what the environment says; left alone, SDL would also end up drawing for nobody. */
static void choose_driver(void)
{
    bool x11 = getenv("DISPLAY") != NULL, wayland = getenv("WAYLAND_DISPLAY") != NULL;

    if (x11 || wayland) {
        sdl.SDL_SetHint(SDL_HINT_VIDEODRIVER, x11 && wayland ? "x11,wayland" : x11 ? "x11" : "wayland");
    }
}

bool sdl_init(const SdlOptions *opts, Error **errp)
{
    static const int ours[] = { SIGINT, SIGTERM, SIGHUP }; /* for the machine's loop */
    sigset_t set;

    if (!sdl_library_load(errp)) {
        return false;
    }
    sigemptyset(&set);
    for (size_t n = 0; n < ARRAY_SIZE(ours); n++) {
        sigaddset(&set, ours[n]);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sdl.SDL_SetMainReady();
    sdl.SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    sdl.SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    sdl.SDL_SetHint(SDL_HINT_MOUSE_FOCUS_CLICKTHROUGH, "1");
    sdl.SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    sdl.SDL_SetHint(SDL_HINT_WINDOWS_NO_CLOSE_ON_ALT_F4, "1");
    sdl.SDL_SetHint(SDL_HINT_ALLOW_ALT_TAB_WHILE_GRABBED, "0");
    choose_driver();
    if (!opts->gl) {
        sdl.SDL_SetHint(SDL_HINT_RENDER_DRIVER, "software");
    }
    if (sdl.SDL_Init(SDL_INIT_VIDEO) != 0) {
        error_set(errp, "cannot open a window: %s", sdl.SDL_GetError());
        return false;
    }
    options = *opts;
    wake_event = sdl.SDL_RegisterEvents(1);
    link_setup(wake_frame, opts->by_keysym);
    return true;
}

/* ---- drawing ---- */

/* place_picture - in the middle of the window, as large as fits, in the guest's proportions. */
static void place_picture(Window *w)
{
    int ww, wh, sw = (int)w->surface->width, sh = (int)w->surface->height;

    sdl.SDL_GetWindowSize(w->window, &ww, &wh);
    if ((int64_t)ww * sh > (int64_t)wh * sw) {
        w->place.h = wh;
        w->place.w = MAX((int)((int64_t)wh * sw / sh), 1);
    } else {
        w->place.w = ww;
        w->place.h = MAX((int)((int64_t)ww * sh / sw), 1);
    }
    w->place.x = (ww - w->place.w) / 2;
    w->place.y = (wh - w->place.h) / 2;
}

/* draw - the window's coordinates are not pixels where the host's display is a fine one. */
static void draw(Window *w)
{
    int ww, wh, pw, ph;
    SDL_Rect at = w->place;

    sdl.SDL_GetWindowSize(w->window, &ww, &wh);
    if (w->texture == NULL || ww <= 0 || wh <= 0 ||
        sdl.SDL_GetRendererOutputSize(w->renderer, &pw, &ph) != 0) {
        return;
    }
    at.x = at.x * pw / ww;
    at.w = at.w * pw / ww;
    at.y = at.y * ph / wh;
    at.h = at.h * ph / wh;
    sdl.SDL_SetTextureScaleMode(w->texture, at.w % (int)w->surface->width == 0 ? SDL_ScaleModeNearest
                                                                               : SDL_ScaleModeLinear);
    sdl.SDL_SetRenderDrawColor(w->renderer, 0, 0, 0, 255);
    sdl.SDL_RenderClear(w->renderer);
    sdl.SDL_RenderCopy(w->renderer, w->texture, NULL, &at);
    sdl.SDL_RenderPresent(w->renderer);
}

static void set_title(Window *w)
{
    const char *name = link_name();
    autofree char *title = xasprintf("doppel%s%s%s%s", name != NULL ? " (" : "", name != NULL ? name : "",
                                     name != NULL ? ")" : "",
                                     w->grabbed ? " - Press Ctrl-Alt-G to release the mouse" : "");

    sdl.SDL_SetWindowTitle(w->window, title);
}

/* set_cursor - the guest that takes positions draws a pointer of its own. */
static void set_cursor(const Window *w)
{
    sdl.SDL_ShowCursor(w->absolute && !w->console && !options.show_cursor ? SDL_DISABLE : SDL_ENABLE);
}

static void set_size(Window *w)
{
    if (!w->stretched && !w->full_screen) {
        sdl.SDL_SetWindowSize(w->window, (int)(w->surface->width * w->scale / 100),
                              (int)(w->surface->height * w->scale / 100));
    }
    place_picture(w);
}

static bool open_window(Window *w)
{
    w->window = sdl.SDL_CreateWindow("doppel", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED,
                                     (int)w->surface->width, (int)w->surface->height,
                                     SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI |
                                         (w->full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0));
    w->renderer = w->window != NULL ? sdl.SDL_CreateRenderer(w->window, -1, 0) : NULL;
    if (w->renderer == NULL) {
        report("cannot open a window: %s", sdl.SDL_GetError());
        return false;
    }
    set_title(w);
    return true;
}

/* new_surface - takes over the reference. */
static bool new_surface(Window *w, Surface *s)
{
    bool first = w->window == NULL;

    surface_unref(w->surface);
    w->surface = s;
    if (first && !open_window(w)) {
        return false;
    }
    if (w->texture != NULL) {
        sdl.SDL_DestroyTexture(w->texture);
    }
    w->texture = sdl.SDL_CreateTexture(w->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING,
                                       (int)s->width, (int)s->height);
    set_size(w);
    return w->texture != NULL;
}

static void release_grab(Window *w)
{
    if (w->grabbed) {
        w->grabbed = false;
        sdl.SDL_SetRelativeMouseMode(SDL_FALSE);
        sdl.SDL_SetWindowKeyboardGrab(w->window, SDL_FALSE);
        set_title(w);
    }
}

static void grab(Window *w)
{
    w->grabbed = true;
    if (!w->absolute) {
        sdl.SDL_SetRelativeMouseMode(SDL_TRUE);
    }
    sdl.SDL_SetWindowKeyboardGrab(w->window, SDL_TRUE);
    set_title(w);
}

/* on_frame - the machine has something to show. False: it cannot be shown. */
static bool on_frame(Window *w)
{
    WindowFrame f;
    SDL_Rect r;
    bool ok = true;

    if (!link_take(&f) || f.surface == NULL) {
        return true;
    }
    if (f.surface != w->surface) {
        ok = new_surface(w, surface_ref(f.surface));
        f.left = f.top = 0;
        f.right = f.surface->width;
        f.bottom = f.surface->height;
    }
    if (f.console != w->console || f.absolute != w->absolute) {
        w->console = f.console;
        w->absolute = f.absolute;
        release_grab(w);
        set_cursor(w);
    }
    if (ok && f.left < f.right) {
        r = (SDL_Rect){ (int)f.left, (int)f.top, (int)(f.right - f.left), (int)(f.bottom - f.top) };
        surface_lock(f.surface);
        sdl.SDL_UpdateTexture(w->texture, &r, f.surface->pixels + (size_t)f.top * f.surface->stride + f.left,
                              (int)f.surface->stride * 4);
        surface_unlock(f.surface);
        draw(w);
    }
    surface_unref(f.surface);
    return ok;
}

/* ---- keys ---- */

static void set_scale(Window *w, unsigned scale)
{
    w->scale = MAX((unsigned)SCALE_MIN, MIN(scale, (unsigned)SCALE_MAX));
    w->stretched = false;
    set_size(w);
    draw(w);
}

static void toggle_full_screen(Window *w)
{
    w->full_screen = !w->full_screen;
    sdl.SDL_SetWindowFullscreen(w->window, w->full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    set_size(w);
}

/* hot_key - with Ctrl and Alt, what is done to the window itself. */
static bool hot_key(Window *w, const SDL_Keysym *k)
{
    if (!(k->mod & KMOD_LCTRL) || !(k->mod & KMOD_LALT)) {
        return false;
    }
    switch (k->sym) {
    case SDLK_f:
        toggle_full_screen(w);
        return true;
    case SDLK_g:
        if (w->grabbed) {
            release_grab(w);
        } else if (!w->console) {
            grab(w);
        }
        return true;
    case SDLK_u:
        set_scale(w, 100);
        return true;
    case SDLK_PLUS:
    case SDLK_EQUALS:
    case SDLK_KP_PLUS:
        set_scale(w, w->scale + SCALE_STEP);
        return true;
    case SDLK_MINUS:
    case SDLK_KP_MINUS:
        set_scale(w, w->scale - MIN(w->scale, (unsigned)SCALE_STEP));
        return true;
    default:
        return false;
    }
}

static void on_key(Window *w, const SDL_KeyboardEvent *k)
{
    bool down = k->type == SDL_KEYDOWN;
    WindowEvent e;

    if (down && hot_key(w, &k->keysym)) {
        return;
    }
    window_key(&k->keysym, down, &e);
    link_post(&e);
}

static void on_text(const char *text)
{
    uint32_t ch;

    while ((ch = utf8_next(&text)) != 0) {
        link_post(&(WindowEvent){ .kind = WINDOW_TEXT, .keysym = keysym_of(ch) });
    }
}

/* ---- the pointer ---- */

static void put_point(const Window *w, int wheel)
{
    int64_t px = (int64_t)(w->x - w->place.x) * (int)w->surface->width / w->place.w;
    int64_t py = (int64_t)(w->y - w->place.y) * (int)w->surface->height / w->place.h;

    link_post(&(WindowEvent){
        .kind = WINDOW_POINT,
        .x = (int)MAX(0, MIN(px, (int64_t)w->surface->width - 1)),
        .y = (int)MAX(0, MIN(py, (int64_t)w->surface->height - 1)),
        .z = wheel,
        .w = w->surface->width,
        .h = w->surface->height,
        .buttons = w->buttons,
    });
}

static void put_move(const Window *w, int dx, int dy, int wheel)
{
    link_post(&(WindowEvent){ .kind = WINDOW_MOVE, .x = dx, .y = dy, .z = wheel, .buttons = w->buttons });
}

static bool relative(const Window *w)
{
    return w->grabbed && !w->absolute;
}

static void on_button(Window *w, const SDL_MouseButtonEvent *b)
{
    static const uint16_t bits[] = { [SDL_BUTTON_LEFT] = 1, [SDL_BUTTON_MIDDLE] = 2, [SDL_BUTTON_RIGHT] = 4,
                                     [SDL_BUTTON_X1] = 0x80, [SDL_BUTTON_X2] = 0x100 };
    unsigned bit = b->button < ARRAY_SIZE(bits) ? bits[b->button] : 0;
    bool down = b->type == SDL_MOUSEBUTTONDOWN;

    if (down && !w->absolute && !w->grabbed && !w->console) {
        grab(w); /* this click was for the window */
        return;
    }
    w->buttons = down ? w->buttons | bit : w->buttons & ~bit;
    if (relative(w)) {
        put_move(w, 0, 0, 0);
    } else {
        w->x = b->x;
        w->y = b->y;
        put_point(w, 0);
    }
}

static void on_wheel(Window *w, const SDL_MouseWheelEvent *e)
{
    int towards = e->direction == SDL_MOUSEWHEEL_FLIPPED ? e->y : -e->y; /* the user */
    int step = towards < 0 ? -1 : 1;

    for (int n = 0; n != towards && n * step < 16; n += step) {
        if (relative(w)) {
            put_move(w, 0, 0, step);
        } else {
            put_point(w, step);
        }
    }
}

/* ---- events ---- */

static void on_window(Window *w, const SDL_WindowEvent *e)
{
    switch (e->event) {
    case SDL_WINDOWEVENT_RESIZED: /* by the user or the host, not by SDL_SetWindowSize() */
        w->stretched = !w->full_screen;
        break;
    case SDL_WINDOWEVENT_SIZE_CHANGED:
        place_picture(w);
        draw(w);
        break;
    case SDL_WINDOWEVENT_EXPOSED:
        draw(w);
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        release_grab(w);
        w->buttons = 0;
        link_post(&(WindowEvent){ .kind = WINDOW_RELEASE });
        break;
    case SDL_WINDOWEVENT_CLOSE:
        if (!options.keep_open) {
            link_post(&(WindowEvent){ .kind = WINDOW_CLOSE });
        }
        break;
    default:
        break;
    }
}

static void on_event(Window *w, const SDL_Event *e)
{
    switch (e->type) {
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        on_key(w, &e->key);
        break;
    case SDL_TEXTINPUT:
        on_text(e->text.text);
        break;
    case SDL_MOUSEMOTION:
        if (relative(w)) {
            put_move(w, e->motion.xrel, e->motion.yrel, 0);
        } else {
            w->x = e->motion.x;
            w->y = e->motion.y;
            put_point(w, 0);
        }
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        on_button(w, &e->button);
        break;
    case SDL_MOUSEWHEEL:
        on_wheel(w, &e->wheel);
        break;
    case SDL_WINDOWEVENT:
        on_window(w, &e->window);
        break;
    case SDL_RENDER_TARGETS_RESET:
    case SDL_RENDER_DEVICE_RESET:
        draw(w);
        break;
    case SDL_DROPFILE:
        link_post(&(WindowEvent){ .kind = WINDOW_DROP, .file = xstrdup(e->drop.file) });
        sdl.SDL_free(e->drop.file);
        break;
    default:
        break;
    }
}

/* ---- life ---- */

static void *machine_thread(void *opaque)
{
    Machine *m = opaque;

    m->result = m->main(m->opaque);
    wake(WAKE_END);
    return NULL;
}

/* run - until the machine is at its end. */
static void run(Window *w)
{
    SDL_Event e;

    for (;;) {
        if (sdl.SDL_WaitEvent(&e) == 0) {
            continue;
        }
        if (e.type == wake_event && e.user.code == WAKE_END) {
            return;
        }
        if (e.type == wake_event) {
            if (!on_frame(w)) {
                link_post(&(WindowEvent){ .kind = WINDOW_CLOSE });
            }
        } else if (w->window != NULL) {
            on_event(w, &e);
        }
    }
}

int sdl_main(int (*machine)(void *opaque), void *opaque)
{
    Machine m = { .main = machine, .opaque = opaque };
    Window w = { .scale = 100, .full_screen = options.full_screen };
    int r = pthread_create(&m.thread, NULL, machine_thread, &m);

    if (r != 0) {
        report("no thread for the machine: %s", strerror(r));
        return 1;
    }
    run(&w);
    pthread_join(m.thread, NULL);
    surface_unref(w.surface);
    if (w.texture != NULL) {
        sdl.SDL_DestroyTexture(w.texture);
    }
    if (w.renderer != NULL) {
        sdl.SDL_DestroyRenderer(w.renderer);
    }
    if (w.window != NULL) {
        sdl.SDL_DestroyWindow(w.window);
    }
    sdl.SDL_Quit();
    return m.result;
}

#endif
