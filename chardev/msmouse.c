/*
 * Microsoft serial mouse with Logitech's third button: 1200 baud, 7 data bits, no parity. It is fed by the line:
 * when RTS comes on while DTR is, it says "M3". A report is 3 bytes of which the first has bit 6 set: left, right,
 * the upper two bits of dY and dX, then their lower six; a fourth when the middle button is or was held.
 *
 * Source: Microsoft, "Serial Mouse" hardware notes; Logitech, "Technical Reference & Programming Guide", "Microsoft
 * compatible data format". Not modelled: the Plug and Play identification after "M3".
 */
#include "chardev/backends.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/state.h"
#include "chardev/registry.h"
#include "hw/input/input.h"

enum { STEP_MAX = 127, PENDING_MAX = 4096 };

typedef struct MsMouse {
    Chardev *chr;
    InputSink sink; /* machine lock */
    Inbox out;      /* lock, as all below */
    int dx, dy;     /* not yet reported */
    unsigned buttons, sent;
    bool dtr, rts;
} MsMouse;

static int step(int *left)
{
    int by = MAX(-STEP_MAX, MIN(STEP_MAX, *left));

    *left -= by;
    return by;
}

/* send_report - what there is, a report at a time: the next when this one was read. Lock held. */
static void send_report(MsMouse *m)
{
    bool middle = ((m->buttons | m->sent) & INPUT_MIDDLE) != 0;
    uint8_t r[4];
    unsigned dx, dy;

    if (!m->dtr || !m->rts || m->out.len > 0 || (m->dx == 0 && m->dy == 0 && m->buttons == m->sent)) {
        return;
    }
    dx = (unsigned)step(&m->dx);
    dy = (unsigned)step(&m->dy);
    r[0] = (uint8_t)(0x40 | (m->buttons & INPUT_LEFT ? 0x20 : 0) | (m->buttons & INPUT_RIGHT ? 0x10 : 0) |
                     (dy >> 6 & 3) << 2 | (dx >> 6 & 3));
    r[1] = dx & 0x3f;
    r[2] = dy & 0x3f;
    r[3] = m->buttons & INPUT_MIDDLE ? 0x20 : 0;
    m->sent = m->buttons;
    inbox_put(&m->out, r, middle ? 4 : 3);
}

static void push(Chardev *chr)
{
    MsMouse *m = chr->priv;
    size_t before;

    do {
        inbox_push(chr, &m->out);
        pthread_mutex_lock(&chr->lock);
        before = m->out.len;
        send_report(m);
        before = m->out.len - before;
        pthread_mutex_unlock(&chr->lock);
    } while (before > 0 && chardev_room(chr) > 0);
}

static void on_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    MsMouse *m = opaque;

    pthread_mutex_lock(&m->chr->lock);
    m->dx = MAX(-PENDING_MAX, MIN(PENDING_MAX, m->dx + MAX(-PENDING_MAX, MIN(PENDING_MAX, dx))));
    m->dy = MAX(-PENDING_MAX, MIN(PENDING_MAX, m->dy + MAX(-PENDING_MAX, MIN(PENDING_MAX, dy))));
    m->buttons = buttons;
    pthread_mutex_unlock(&m->chr->lock);
    push(m->chr);
}

static bool is_active(void *opaque)
{
    MsMouse *m = opaque;
    bool on;

    pthread_mutex_lock(&m->chr->lock);
    on = m->dtr && m->rts;
    pthread_mutex_unlock(&m->chr->lock);
    return on;
}

/* Under the machine lock, as all that a port does. */
static void msmouse_lines(Chardev *chr, bool dtr, bool rts)
{
    MsMouse *m = chr->priv;
    bool start;

    pthread_mutex_lock(&chr->lock);
    start = dtr && rts && !(m->dtr && m->rts);
    m->dtr = dtr;
    m->rts = rts;
    if (start) {
        m->out.len = 0;
        m->dx = m->dy = 0;
        inbox_put(&m->out, "M3", 2);
    }
    pthread_mutex_unlock(&chr->lock);
    if (start) {
        input_first(&m->sink);
        chardev_kick(chr);
    }
}

static size_t msmouse_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return len; /* it does not listen */
}

static bool msmouse_open(Chardev *chr, OptList *l, Error **errp)
{
    MsMouse *m = xnew(MsMouse);

    m->chr = chr;
    m->sink = (InputSink){ .name = "Microsoft serial mouse", .mouse = on_mouse, .active = is_active, .opaque = m };
    chr->priv = m;
    machine_lock();
    input_add(&m->sink);
    machine_unlock();
    chardev_set_open(chr, true);
    return true;
}

static void msmouse_close(Chardev *chr)
{
    MsMouse *m = chr->priv;

    pthread_mutex_lock(&chr->lock);
    chr->open = false;
    pthread_mutex_unlock(&chr->lock);
    machine_lock();
    input_remove(&m->sink);
    machine_unlock();
    free(m);
    chr->priv = NULL;
}

static const StateField msmouse_fields[] = {
    STATE_U32(MsMouse, dx), STATE_U32(MsMouse, dy), STATE_U32(MsMouse, buttons), STATE_U32(MsMouse, sent),
    STATE_BOOL(MsMouse, dtr), STATE_BOOL(MsMouse, rts), STATE_END,
};

static void msmouse_loaded(Chardev *chr)
{
    MsMouse *m = chr->priv;

    pthread_mutex_lock(&chr->lock);
    m->dx = MIN(MAX(m->dx, -PENDING_MAX), PENDING_MAX);
    m->dy = MIN(MAX(m->dy, -PENDING_MAX), PENDING_MAX);
    m->out.len = 0;
    pthread_mutex_unlock(&chr->lock);
}

const CharBackend chardev_msmouse = {
    .name = "msmouse",
    .help = "a Microsoft serial mouse",
    .open = msmouse_open,
    .close = msmouse_close,
    .write = msmouse_write,
    .set_lines = msmouse_lines,
    .fields = msmouse_fields,
    .loaded = msmouse_loaded,
    .more = push,
};
