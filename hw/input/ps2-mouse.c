/*
 * PS/2 mouse: standard (three buttons), IntelliMouse (wheel), IntelliMouse Explorer (five buttons).
 *
 * Sources: IBM Personal System/2 Hardware Interface Technical Reference, "Auxiliary Device"
 * (headings quoted); Microsoft, "Device Support: Intellimouse Explorer" for the other two, which
 * drivers wake by three sample rates in a row. Not modelled: the resolution's effect (a count is a
 * pixel), and the sample rate's: a packet is made when there is movement and the last one was read.
 */
#include "hw/input/ps2.h"

#include "base/mem.h"
#include "hw/input/trace.h"

enum { MOUSE_ACK = 0xfa, MOUSE_RESEND = 0xfe };
#define MOUSE_BUFFER 8u   /* bytes: after that, movement is summed up */
#define MOUSE_SUM_MAX 4096 /* counts to remember for a guest that does not read */

static void mouse_answer(Ps2Mouse *m, uint8_t byte)
{
    ps2_put(&m->out, byte);
}

/* take - the part of *sum that a packet has room for. */
static int take(int32_t *sum, int min, int max)
{
    int v = MIN(MAX(*sum, min), max);

    *sum -= v;
    return v;
}

/* scaled - "Set Scaling 2:1" */
static int scaled(const Ps2Mouse *m, int v)
{
    static const uint8_t table[6] = { 0, 1, 1, 3, 6, 9 };
    int a = v < 0 ? -v : v;

    if (m->scale2 && !m->remote) {
        a = a < 6 ? table[a] : MIN(2 * a, 255);
    }
    return v < 0 ? -a : a;
}

/* mouse_packet - "Data Report" */
static void mouse_packet(Ps2Mouse *m)
{
    int dx = scaled(m, take(&m->dx, -255, 255)), dy = scaled(m, -take(&m->dy, -255, 255)), dz;

    mouse_answer(m, (uint8_t)(0x08 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) |
                              (dy < 0 ? 0x20 : 0)));
    mouse_answer(m, (uint8_t)dx);
    mouse_answer(m, (uint8_t)dy);
    if (m->type == 3) {
        dz = take(&m->dz, -127, 127);
        mouse_answer(m, (uint8_t)dz);
    } else if (m->type == 4) {
        dz = take(&m->dz, -7, 7);
        mouse_answer(m, (uint8_t)((dz & 0x0f) | (m->buttons & INPUT_SIDE ? 0x10 : 0) |
                                  (m->buttons & INPUT_EXTRA ? 0x20 : 0)));
    } else {
        m->dz = 0;
    }
    m->sent_buttons = m->buttons;
}

static void mouse_flush(Ps2Mouse *m)
{
    bool any = m->dx != 0 || m->dy != 0 || (m->dz != 0 && m->type != 0) ||
               m->buttons != m->sent_buttons;

    if (any && m->enabled && !m->remote && !m->wrap && m->command == 0 &&
        m->out.count + 4u <= MOUSE_BUFFER) {
        mouse_packet(m);
    }
}

void ps2_mouse_report(Ps2Mouse *m)
{
    if (m->enabled && !m->remote && !m->wrap && m->command == 0 && m->out.count == 0) {
        mouse_packet(m);
        m->changed(m->opaque);
    }
}

static int32_t sum(int32_t old, int d)
{
    int64_t v = (int64_t)old + d;

    return (int32_t)MIN(MAX(v, -MOUSE_SUM_MAX), MOUSE_SUM_MAX);
}

static void mouse_moved(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    Ps2Mouse *m = opaque;

    m->buttons = buttons & 0x1f;
    if (!m->enabled && !m->remote) { /* nothing is counted while it is off */
        m->sent_buttons = m->buttons;
        return;
    }
    m->dx = sum(m->dx, dx);
    m->dy = sum(m->dy, dy);
    m->dz = sum(m->dz, dz);
    mouse_flush(m);
    m->changed(m->opaque);
}

/* "Set Default" */
static void mouse_defaults(Ps2Mouse *m)
{
    m->rate = 100;
    m->resolution = 2; /* 4 counts a millimetre */
    m->scale2 = m->remote = m->enabled = m->wrap = false;
    m->dx = m->dy = m->dz = 0;
    m->sent_buttons = m->buttons;
}

void ps2_mouse_reset(Ps2Mouse *m)
{
    m->out = (Ps2Queue){ .count = 0 };
    m->command = m->last = 0;
    m->type = 0;
    memset(m->knock, 0, sizeof(m->knock));
    mouse_defaults(m);
}

/* mouse_knock - the sequences of sample rates that change what the mouse is. */
static void mouse_knock(Ps2Mouse *m, uint8_t rate)
{
    m->knock[2] = m->knock[1];
    m->knock[1] = m->knock[0];
    m->knock[0] = rate;
    if (m->knock[2] == 200 && m->knock[1] == 100 && rate == 80) {
        m->type = 3;
    } else if (m->knock[2] == 200 && m->knock[1] == 200 && rate == 80 && m->type == 3) {
        m->type = 4;
    }
}

static void mouse_argument(Ps2Mouse *m, uint8_t command, uint8_t val)
{
    if (command == 0xe8 && val <= 3) {
        m->resolution = val;
    } else if (command == 0xf3 && (val == 10 || val == 20 || val == 40 || val == 60 || val == 80 ||
                                   val == 100 || val == 200)) {
        m->rate = val;
        mouse_knock(m, val);
    } else {
        mouse_answer(m, MOUSE_RESEND); /* "invalid argument"; a second one would be an error */
        return;
    }
    mouse_answer(m, MOUSE_ACK);
}

/* "Status Request" */
static void mouse_status(Ps2Mouse *m)
{
    mouse_answer(m, (uint8_t)((m->remote ? 0x40 : 0) | (m->enabled ? 0x20 : 0) |
                              (m->scale2 ? 0x10 : 0) | (m->buttons & INPUT_LEFT ? 4 : 0) |
                              (m->buttons & INPUT_MIDDLE ? 2 : 0) |
                              (m->buttons & INPUT_RIGHT ? 1 : 0)));
    mouse_answer(m, m->resolution);
    mouse_answer(m, m->rate);
}

static void mouse_command(Ps2Mouse *m, uint8_t val)
{
    uint8_t last = m->last;

    if (val == 0xfe) {
        mouse_answer(m, last);
        return;
    }
    m->out.count = 0; /* "any command ... clears what was not sent" */
    if (val == 0xff) {
        ps2_mouse_reset(m);
        mouse_answer(m, MOUSE_ACK);
        mouse_answer(m, 0xaa);
        mouse_answer(m, 0x00);
        return;
    }
    mouse_answer(m, MOUSE_ACK);
    switch (val) {
    case 0xe6:
    case 0xe7:
        m->scale2 = val == 0xe7;
        break;
    case 0xe8:
    case 0xf3:
        m->command = val;
        break;
    case 0xe9:
        mouse_status(m);
        break;
    case 0xea:
        m->remote = false;
        break;
    case 0xeb: /* read data */
        mouse_packet(m);
        break;
    case 0xec:
        break;
    case 0xee:
        m->wrap = true;
        break;
    case 0xf0:
        m->remote = true;
        m->dx = m->dy = m->dz = 0;
        break;
    case 0xf2:
        mouse_answer(m, m->type);
        break;
    case 0xf4:
        m->enabled = true;
        m->dx = m->dy = m->dz = 0;
        break;
    case 0xf5:
        m->enabled = false;
        break;
    case 0xf6:
        mouse_defaults(m);
        break;
    default:
        m->out.count = 0;
        mouse_answer(m, MOUSE_RESEND);
        break;
    }
}

void ps2_mouse_write(Ps2Mouse *m, uint8_t val)
{
    uint8_t command = m->command;

    trace_ps2_mouse_write(val);
    m->command = 0;
    if (m->wrap && val != 0xff && val != 0xec) { /* "Set Wrap Mode": each byte comes back */
        mouse_answer(m, val);
    } else if (m->wrap && val == 0xec) {
        m->wrap = false;
        mouse_answer(m, MOUSE_ACK);
    } else if (command != 0) {
        mouse_argument(m, command, val);
    } else {
        mouse_command(m, val);
    }
    m->changed(m->opaque);
}

uint8_t ps2_mouse_read(Ps2Mouse *m)
{
    uint8_t val = ps2_get(&m->out);

    if (val != MOUSE_RESEND) {
        m->last = val;
    }
    mouse_flush(m);
    return val;
}

void ps2_mouse_init(Ps2Mouse *m, void (*changed)(void *opaque), void *opaque)
{
    m->changed = changed;
    m->opaque = opaque;
    m->sink = (InputSink){ .name = "QEMU PS/2 Mouse", .mouse = mouse_moved, .opaque = m };
    input_add(&m->sink);
}

void ps2_mouse_fini(Ps2Mouse *m)
{
    input_remove(&m->sink);
}

const StateField ps2_mouse_fields[] = {
    STATE_STRUCT(Ps2Mouse, out, ps2_queue_fields), STATE_U8(Ps2Mouse, command),
    STATE_U8(Ps2Mouse, last), STATE_U8(Ps2Mouse, type), STATE_BYTES(Ps2Mouse, knock),
    STATE_U8(Ps2Mouse, rate), STATE_U8(Ps2Mouse, resolution), STATE_BOOL(Ps2Mouse, scale2),
    STATE_BOOL(Ps2Mouse, remote), STATE_BOOL(Ps2Mouse, enabled), STATE_BOOL(Ps2Mouse, wrap),
    STATE_U8(Ps2Mouse, buttons), STATE_U8(Ps2Mouse, sent_buttons), STATE_U32(Ps2Mouse, dx),
    STATE_U32(Ps2Mouse, dy), STATE_U32(Ps2Mouse, dz), STATE_END,
};

void ps2_mouse_post_load(Ps2Mouse *m)
{
    m->out.head %= PS2_QUEUE;
    m->out.count = (uint8_t)MIN(m->out.count, PS2_QUEUE);
    m->type = m->type == 3 || m->type == 4 ? m->type : 0;
    m->dx = sum(m->dx, 0);
    m->dy = sum(m->dy, 0);
    m->dz = sum(m->dz, 0);
}
