/*
 * A VNC client's thread: it owns the connection, an rfbScreen of libvncserver with this one client, and
 * a frame buffer, which is what the client has been sent or will be.
 *
 * Messages are from a hostile peer. Only those that are wanted reach the library: no file transfer, no
 * scaling, no text chat. Nothing of the library is shared with another thread; why it is used as it is
 * here stands in docs/decisions/.
 *
 * Source: RFC 6143. What was added to it later is in vnc-extension.c.
 */
#include <config.h>
#ifdef CONFIG_VNC
#include "ui/vnc-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "hw/input/input.h"
#include "ui/trace.h"
#include "ui/vnc-handshake.h"
#include "ui/vnc-library.h"
#include "ui/vnc-viewer.h"

static rfbScreenInfo *model; /* what each client's screen begins as; constant after vnc_library_init() */

/* ---- the library's callbacks ---- */

static void quiet(const char *format, ...)
{
}

static void on_keysym(rfbBool down, rfbKeySym keysym, rfbClientPtr cl)
{
    Viewer *v = cl->clientData;

    vnc_post(v->c, &(VncEvent){ .kind = VNC_KEY, .down = down != 0, .keysym = keysym });
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr cl)
{
    Viewer *v = cl->clientData;

    vnc_post(v->c, &(VncEvent){ .kind = vnc_relative(v) ? VNC_MOVE : VNC_POINT,
                                .x = (uint16_t)x,
                                .y = (uint16_t)y,
                                .buttons = (uint16_t)buttons });
}

static rfbCursorPtr no_cursor(rfbClientPtr cl)
{
    return NULL;
}

static void on_cut_text(char *text, int len, rfbClientPtr cl)
{
    vnc_cut_text(cl->clientData, text, len, false);
}

static void on_cut_text_utf8(char *text, int len, rfbClientPtr cl)
{
    vnc_cut_text(cl->clientData, text, len, true);
}

/* Called with a lock of the library held that all threads share: only take a note. */
static rfbBool on_encoding(rfbClientPtr cl, void **data, int encoding)
{
    return vnc_wants(cl->clientData, encoding);
}

bool vnc_library_init(Error **errp)
{
    static rfbProtocolExtension extension = { .enablePseudoEncoding = on_encoding };
    int argc = 0;

    if (model != NULL) {
        return true;
    }
    if (!vnc_library_load(errp)) {
        return false;
    }
    rfbLog = rfbErr = quiet;
    extension.pseudoEncodings = vnc_pseudo_encodings();
    rfbRegisterProtocolExtension(&extension);
    model = rfbGetScreen(&argc, NULL, 640, 480, 8, 3, 4);
    if (model == NULL) {
        error_set(errp, "vnc: out of memory");
        return false;
    }
    model->socketState = RFB_SOCKET_READY; /* it has none, and shall not make any */
    model->depth = 24;
    model->serverFormat.depth = 24;
    model->serverFormat.redShift = 16;
    model->serverFormat.greenShift = 8;
    model->serverFormat.blueShift = 0;
    model->cursor = NULL; /* the guest draws its own */
    model->getCursorPtr = no_cursor;
    model->deferUpdateTime = 0;
    model->maxRectsPerUpdate = 1000;
    model->maxClientWait = VNC_STALL_MS;
    model->kbdAddEvent = on_keysym;
    model->ptrAddEvent = on_pointer;
    model->setXCutText = on_cut_text;
    model->setXCutTextUTF8 = on_cut_text_utf8;
    return true;
}

/* ---- the screen ---- */

static void set_geometry(Viewer *v)
{
    rfbScreenInfo *s = v->screen;

    s->width = (int)v->surface->width;
    s->height = (int)v->surface->height;
    s->paddedWidthInBytes = (int)v->surface->stride * 4;
    s->sizeInBytes = s->paddedWidthInBytes * s->height;
    s->frameBuffer = (char *)v->pixels;
}

/* new_surface - another frame buffer, and the client is told its size. False: no memory. */
static bool new_surface(Viewer *v, Surface *s)
{
    size_t tiles = (size_t)((s->width + 64 * VNC_TILE - 1) / (64 * VNC_TILE)) *
                   ((s->height + VNC_TILE - 1) / VNC_TILE);
    uint32_t *pixels = try_newn(uint32_t, (size_t)s->stride * s->height);
    uint64_t *dirty = try_newn(uint64_t, tiles);
    bool resized = v->surface == NULL || v->surface->width != s->width ||
                   v->surface->height != s->height;

    free(v->pixels);
    free(v->dirty);
    surface_unref(v->surface);
    v->pixels = pixels;
    v->dirty = dirty;
    v->surface = s;
    if (pixels == NULL || dirty == NULL) {
        return false;
    }
    if (v->cl != NULL) {
        set_geometry(v);
        sraRgnDestroy(v->cl->modifiedRegion);
        v->cl->modifiedRegion = sraRgnCreateRect(0, 0, (int)s->width, (int)s->height);
        sraRgnMakeEmpty(v->cl->copyRegion);
        v->cl->newFBSizePending = v->cl->newFBSizePending || (resized && v->cl->useNewFBSize);
    }
    return true;
}

/* update_tile - copy a tile; true if it differed. Surface lock held. */
static bool update_tile(Viewer *v, unsigned x, unsigned y)
{
    unsigned w = MIN((unsigned)VNC_TILE, v->surface->width - x);
    unsigned h = MIN((unsigned)VNC_TILE, v->surface->height - y);
    bool changed = false;

    for (unsigned line = y; line < y + h; line++) {
        size_t at = (size_t)line * v->surface->stride + x;

        if (memcmp(v->pixels + at, v->surface->pixels + at, w * 4) != 0) {
            memcpy(v->pixels + at, v->surface->pixels + at, w * 4);
            changed = true;
        }
    }
    return changed;
}

/* update_row - look at the dirty tiles of a row; mark the runs of those that changed. */
static void update_row(Viewer *v, const uint64_t *dirty, unsigned y)
{
    unsigned cols = (v->surface->width + VNC_TILE - 1) / VNC_TILE, run = 0;
    uint64_t changed[SURFACE_MAX / VNC_TILE / 64] = { 0 };

    surface_lock(v->surface);
    for (unsigned col = 0; col < cols; col++) {
        if ((dirty[col / 64] >> (col % 64) & 1) && update_tile(v, col * VNC_TILE, y)) {
            changed[col / 64] |= BIT64(col % 64);
        }
    }
    surface_unlock(v->surface);
    for (unsigned col = 0; col <= cols; col++) {
        if (col < cols && (changed[col / 64] >> (col % 64) & 1)) {
            run++;
        } else if (run > 0) {
            rfbMarkRectAsModified(v->screen, (int)((col - run) * VNC_TILE), (int)y,
                                  (int)(col * VNC_TILE), (int)(y + VNC_TILE));
            run = 0;
        }
    }
}

/* fetch - bring the frame buffer up to what the screen shows. False: no memory. */
static bool fetch(Viewer *v)
{
    VncClient *c = v->c;
    Surface *fresh = NULL;
    unsigned words, rows;

    pthread_mutex_lock(&c->lock);
    c->woken = false;
    words = c->dirty_words;
    rows = c->dirty_rows;
    if (c->surface != v->surface) {
        fresh = surface_ref(c->surface);
    } else {
        memcpy(v->dirty, c->dirty, (size_t)words * rows * sizeof(uint64_t));
    }
    memset(c->dirty, 0, (size_t)words * rows * sizeof(uint64_t));
    pthread_mutex_unlock(&c->lock);
    if (fresh != NULL) {
        if (!new_surface(v, fresh)) {
            return false;
        }
        surface_copy(v->surface, v->pixels, v->surface->stride, 0, 0, v->surface->width,
                     v->surface->height);
        return true;
    }
    for (unsigned row = 0; row < rows; row++) {
        const uint64_t *line = v->dirty + (size_t)row * words;
        uint64_t any = 0;

        for (unsigned n = 0; n < words; n++) {
            any |= line[n];
        }
        if (any != 0) {
            update_row(v, line, row * VNC_TILE);
        }
    }
    return true;
}

/* ---- messages ---- */

static void message(Viewer *v)
{
    rfbClientRec *cl = v->cl;
    uint8_t type;
    ssize_t n = recv(v->c->fd, &type, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        rfbCloseClient(cl);
        return;
    }
    switch (type) {
    case rfbSetPixelFormat:
    case rfbSetEncodings:
    case rfbFramebufferUpdateRequest:
    case rfbKeyEvent:
    case rfbPointerEvent:
    case rfbClientCutText:
    case VNC_SET_DESKTOP_SIZE:
        rfbProcessClientMessage(cl);
        break;
    default:
        if (!vnc_message(v, type)) {
            rfbCloseClient(cl);
        }
    }
    cl->cursorWasChanged = FALSE; /* the viewer keeps its own */
    cl->cursorWasMoved = FALSE;
    if (!v->c->lossy) {
        cl->tightQualityLevel = cl->turboQualityLevel = -1; /* no JPEG */
    }
    vnc_acknowledge(v);
}

/* ---- life ---- */

/* open_library - a screen of the library with this client, past the handshake. The library writes its greeting
 * when it meets a client and looks first whether that speaks HTTP, for 100 ms: so it meets a socket of
 * ours where "RFB " lies ready, and the client's takes that one's place. */
static bool open_library(Viewer *v, unsigned minor)
{
    int pair[2];

    v->screen = malloc(sizeof(*v->screen)); /* rfbScreenCleanup() frees it */
    if (v->screen == NULL) {
        return false;
    }
    *v->screen = *model;
    pthread_mutex_init(&v->screen->cursorMutex, NULL);
    v->screen->desktopName = v->name;
    v->screen->xvpHook = v->c->power ? vnc_on_xvp : NULL;
    set_geometry(v);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return false;
    }
    if (pair[0] >= FD_SETSIZE || send(pair[1], "RFB ", 4, MSG_NOSIGNAL) != 4) {
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    v->cl = rfbNewClient(v->screen, pair[0]);
    close(pair[1]);
    if (v->cl == NULL) {
        return false;
    }
    v->cl->clientData = v;
    if (dup3(v->c->fd, v->cl->sock, O_CLOEXEC) < 0) {
        return false;
    }
    v->cl->protocolMajorVersion = 3;
    v->cl->protocolMinorVersion = (int)minor;
    v->cl->state = RFB_INITIALISATION_SHARED;
    rfbProcessClientMessage(v->cl); /* sends ServerInit */
    return v->cl->sock >= 0 && v->cl->state == RFB_NORMAL;
}

static void close_library(Viewer *v)
{
    if (v->cl != NULL) {
        rfbClientConnectionGone(v->cl);
    }
    if (v->screen != NULL) {
        rfbScreenCleanup(v->screen);
    }
}

/* serve - until one side hangs up. Damage is of interest while the client waits for an update. */
static void serve(Viewer *v)
{
    while (v->cl->sock >= 0) {
        bool waits = !sraRgnEmpty(v->cl->requestedRegion);
        struct pollfd p[2] = {
            { .fd = v->c->fd, .events = POLLIN },
            { .fd = waits ? v->c->wake_fd : -1, .events = POLLIN },
        };
        uint64_t times;

        if (poll(p, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        if (p[1].revents != 0 && read(v->c->wake_fd, &times, sizeof(times)) > 0 && !fetch(v)) {
            return;
        }
        if (p[0].revents != 0) {
            message(v);
        }
        if (p[1].revents != 0 && v->cl->sock >= 0) {
            vnc_notify(v);
        }
        if (v->cl->sock >= 0) {
            rfbUpdateClient(v->cl);
        }
    }
}

void *vnc_client_thread(void *opaque)
{
    VncClient *c = opaque;
    Viewer v = { .c = c, .lamps = -1 };
    unsigned minor = 0;
    bool shared = true;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, "vnc");
    sandbox_thread(SANDBOX_VIEWER);
    if (vnc_handshake(c->fd, c->auth, &minor, &shared) && vnc_join_in(c, !shared)) {
        v.name = c->guest_name != NULL ? xasprintf("QEMU (%s)", c->guest_name) : xstrdup("QEMU");
        trace_vnc_client_ready(c->peer, minor, shared);
        if (fetch(&v) && open_library(&v, minor)) {
            serve(&v);
        }
        close_library(&v);
    }
    free(v.pixels);
    free(v.dirty);
    free(v.name);
    surface_unref(v.surface);
    shutdown(c->fd, SHUT_RDWR);
    vnc_leave(c);
    return NULL;
}

#endif
