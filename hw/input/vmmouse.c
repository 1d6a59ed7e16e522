/*
 * VMware's mouse (ABSPOINTER commands of its port). Events of four words wait in a queue; that there are some is told
 * by a report of the PS/2 mouse, whose contents the guest does not look at.
 *
 *   word 0  buttons (20h left, 10h right, 08h middle), 10000h: a movement, not a position
 *   word 1  X, 0 to FFFFh of the screen's width; 2  Y; 3  wheel, towards the user
 *
 * Sources: xf86-input-vmmouse, vmmouse_defs.h; the kernel's vmmouse driver, for what its commands mean.
 */
#include "hw/input/vmmouse.h"

#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/state.h"
#include "hw/input/i8042.h"
#include "hw/input/input.h"
#include "hw/input/trace.h"
#include "hw/misc/vmport.h"

enum { COMMAND_DATA = 39, COMMAND_STATUS = 40, COMMAND_COMMAND = 41 };
#define POINTER_ENABLE 0x45414552u
#define POINTER_DISABLE 0x000000f5u
#define POINTER_RELATIVE 0x4c455252u
#define POINTER_ABSOLUTE 0x53424152u
#define POINTER_ID 0x3442554au
#define STATUS_ERROR 0xffff0000u
#define EVENT_RELATIVE 0x10000u
enum { BUTTON_LEFT = 0x20, BUTTON_RIGHT = 0x10, BUTTON_MIDDLE = 0x08 };
enum { EVENT_WORDS = 4, QUEUE_WORDS = 64 * EVENT_WORDS, DATA_MAX = 6 };

typedef struct VmMouse {
    Device dev;
    uint16_t count; /* words that wait */
    uint32_t queue[QUEUE_WORDS];
    bool on;        /* it was enabled, and has not been misused since */
    bool asked;     /* the guest said which events it wants: */
    bool absolute;
    Device *i8042;  /* wiring */
    InputSink sink;
    bool added;     /* the sink: only while the guest wants events */
} VmMouse;

/* ---- events ---- */

static uint32_t to_buttons(unsigned buttons)
{
    return (buttons & INPUT_LEFT ? BUTTON_LEFT : 0u) | (buttons & INPUT_RIGHT ? BUTTON_RIGHT : 0u) |
           (buttons & INPUT_MIDDLE ? BUTTON_MIDDLE : 0u);
}

/* put - an event. Positions with the same buttons in a row are one; what does not fit is lost. */
static void put(VmMouse *s, uint32_t flags, uint32_t x, uint32_t y, int z)
{
    uint32_t *last = s->count >= EVENT_WORDS ? s->queue + s->count - EVENT_WORDS : NULL, *e = s->queue + s->count;

    if (last != NULL && last[0] == flags && last[3] == 0 && z == 0 && !(flags & EVENT_RELATIVE)) {
        e = last; /* nobody saw the place before */
    } else if (s->count + EVENT_WORDS > QUEUE_WORDS) {
        return;
    } else {
        s->count += EVENT_WORDS;
    }
    e[0] = flags;
    e[1] = x;
    e[2] = y;
    e[3] = (uint32_t)z;
    i8042_mouse_report(s->i8042);
}

static void on_point(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    put(opaque, to_buttons(buttons), x * 2 + 1, y * 2 + 1, dz);
}

static void on_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    put(opaque, to_buttons(buttons) | EVENT_RELATIVE, (uint32_t)dx, (uint32_t)dy, dz);
}

/* plug - there is such a mouse while the guest wants its events, and then it is the first. */
static void plug(VmMouse *s, bool there)
{
    if (s->added) {
        input_remove(&s->sink);
    }
    s->added = there;
    if (there) {
        s->sink.point = s->absolute ? on_point : NULL;
        s->sink.mouse = s->absolute ? NULL : on_mouse;
        input_add(&s->sink);
    }
}

/* ---- the guest's commands ---- */

static void switch_off(VmMouse *s)
{
    s->on = s->asked = false;
    s->count = 0;
    plug(s, false);
}

static void command(VmMouse *s, uint32_t what)
{
    trace_vmmouse_command(what);
    switch (what) {
    case POINTER_ENABLE:
        switch_off(s);
        s->on = true;
        s->queue[0] = POINTER_ID;
        s->count = 1;
        break;
    case POINTER_DISABLE:
        switch_off(s);
        break;
    case POINTER_RELATIVE:
    case POINTER_ABSOLUTE:
        s->asked = true;
        s->absolute = what == POINTER_ABSOLUTE;
        plug(s, s->on);
        break;
    default:
        break;
    }
}

/* data - @words from the queue; more than there are is a misuse. */
static void data(VmMouse *s, uint32_t words, VmportCall *call)
{
    uint32_t *const out[DATA_MAX] = { &call->eax, &call->ebx, &call->ecx, &call->edx, &call->esi, &call->edi };

    if (words == 0 || words > DATA_MAX || words > s->count) {
        switch_off(s);
        call->eax = STATUS_ERROR;
        return;
    }
    for (uint32_t n = 0; n < words; n++) {
        *out[n] = s->queue[n];
    }
    s->count = (uint16_t)(s->count - words);
    memmove(s->queue, s->queue + words, s->count * sizeof(s->queue[0]));
}

bool vmmouse_call(void *opaque, VmportCall *call)
{
    VmMouse *s = container_of((Device *)opaque, VmMouse, dev);

    switch (call->command) {
    case COMMAND_DATA:
        data(s, call->ebx, call);
        return true;
    case COMMAND_STATUS:
        call->eax = s->on ? s->count : STATUS_ERROR;
        return true;
    case COMMAND_COMMAND:
        command(s, call->ebx);
        call->eax = 0;
        return true;
    default:
        return false;
    }
}

/* ---- the device ---- */

void vmmouse_connect(Device *dev, Device *i8042)
{
    container_of(dev, VmMouse, dev)->i8042 = i8042;
}

static bool vmmouse_realize(Device *dev, struct Error **errp)
{
    VmMouse *s = container_of(dev, VmMouse, dev);

    s->sink = (InputSink){ .name = "vmmouse", .opaque = s };
    return true;
}

static void vmmouse_unrealize(Device *dev)
{
    plug(container_of(dev, VmMouse, dev), false);
}

static void vmmouse_reset(Device *dev)
{
    VmMouse *s = container_of(dev, VmMouse, dev);

    switch_off(s);
    memset(s->queue, 0, sizeof(s->queue));
    s->absolute = true;
}

static const StateField vmmouse_fields[] = {
    STATE_U16(VmMouse, count), STATE_BYTES(VmMouse, queue), STATE_BOOL(VmMouse, on), STATE_BOOL(VmMouse, asked),
    STATE_BOOL(VmMouse, absolute), STATE_END,
};

static bool vmmouse_post_load(Device *dev, struct Error **errp)
{
    VmMouse *s = container_of(dev, VmMouse, dev);

    if (s->count > QUEUE_WORDS) {
        error_set(errp, "vmmouse: %u words in its queue", s->count);
        return false;
    }
    plug(s, s->on && s->asked);
    return true;
}

const DeviceClass vmmouse_class = {
    .name = "vmmouse",
    .desc = "VMware's mouse",
    .size = sizeof(VmMouse),
    .bus = BUS_ISA,
    .realize = vmmouse_realize,
    .unrealize = vmmouse_unrealize,
    .reset = vmmouse_reset,
    .fields = vmmouse_fields,
    .post_load = vmmouse_post_load,
};
