/*
 * QMP: keys, mice, the screen.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <json-c/json.h>
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/input/input.h"
#include "machine/run.h"
#include "monitor/ops.h"
#include "ui/seat.h"

enum { EVENTS_MAX = 256 };

bool qmp_query_mice(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    machine_lock();
    for (const InputSink *m = input_mouse_next(NULL); m != NULL; m = input_mouse_next(m)) {
        Json *o = json_object_new_object();

        json_add_text(o, "name", m->name);
        json_add_int(o, "index", m->index);
        json_add_bool(o, "current", m == input_current());
        json_add_bool(o, "absolute", m->point != NULL);
        json_object_array_add(*ret, o);
    }
    machine_unlock();
    return true;
}

/* take_key - {"type": "qcode", "data": "a"}, or a scan code as a number. */
static bool take_key(Json *v, const char *where, unsigned *key, Error **errp)
{
    char number[32];
    bool by_number;

    if (json_object_get_type(v) != json_type_object) {
        error_set(errp, "Invalid parameter type for '%.*s', expected: object", (int)strlen(where) - 1, where);
        return false;
    }
    by_number = json_object_get_type(qmp_member(v, "data")) == json_type_int;
    if (!qmp_check("type:number|qcode data:any", v, where, errp)) {
        return false;
    }
    by_number = strcmp(qmp_str(v, "type"), "number") == 0;
    if (!qmp_check(by_number ? "type:str data:int" : "type:str data:str", v, where, errp)) {
        return false;
    }
    snprintf(number, sizeof(number), "0x%llx", (unsigned long long)qmp_int(v, "data", 0));
    *key = input_key_named(by_number ? number : qmp_str(v, "data"));
    if (*key == 0) {
        error_set(errp, "Parameter '%s' does not accept value '%s'", "data", qmp_str(v, "data"));
        return false;
    }
    return true;
}

bool qmp_send_key(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    Json *list = qmp_member(args, "keys");
    size_t count = json_object_array_length(list);
    int64_t hold = qmp_int(args, "hold-time", OP_HOLD_MS);
    unsigned keys[OP_KEYS_MAX];

    if (count > OP_KEYS_MAX) {
        error_set(errp, "too many keys (at most %d)", OP_KEYS_MAX);
        return false;
    }
    if (hold < 0 || hold > OP_HOLD_MS_MAX) {
        error_set(errp, "Parameter 'hold-time' is a time in milliseconds (at most %d)", OP_HOLD_MS_MAX);
        return false;
    }
    for (size_t n = 0; n < count; n++) {
        autofree char *where = xasprintf("keys[%zu].", n);

        if (!take_key(json_object_array_get_idx(list, n), where, &keys[n], errp)) {
            return false;
        }
    }
    return count == 0 || op_keys(keys, (unsigned)count, (unsigned)hold, errp);
}

/* ---- input-send-event ---- */

typedef struct Moves {
    int dx, dy, dz;
    unsigned buttons; /* of a seat */
    bool moved, placed;
} Moves;

static int64_t place[2]; /* where the pointer was put last; loop thread */

static bool take_button(Json *data, Moves *m, const char *where, Error **errp)
{
    static const struct {
        const char *name;
        unsigned bit;
        int dz;
    } buttons[] = {
        { "left", 1, 0 },   { "middle", 2, 0 }, { "right", 4, 0 },  { "wheel-up", 0, -1 },
        { "wheel-down", 0, 1 }, { "side", 0x80, 0 }, { "extra", 0x100, 0 },
    };
    bool down;

    if (!qmp_check("down:bool button:left|middle|right|wheel-up|wheel-down|side|extra", data, where, errp)) {
        return false;
    }
    down = qmp_bool(data, "down", false);
    for (size_t n = 0; n < ARRAY_SIZE(buttons); n++) {
        if (strcmp(buttons[n].name, qmp_str(data, "button")) == 0) {
            m->buttons = down ? m->buttons | buttons[n].bit : m->buttons & ~buttons[n].bit;
            m->dz += down ? buttons[n].dz : 0;
        }
    }
    m->moved = true;
    return true;
}

static bool take_axis(Json *data, Moves *m, bool absolute, const char *where, Error **errp)
{
    bool y;
    int64_t value;

    if (!qmp_check("axis:x|y value:int", data, where, errp)) {
        return false;
    }
    y = strcmp(qmp_str(data, "axis"), "y") == 0;
    value = qmp_int(data, "value", 0);
    if (absolute) {
        if (value < 0 || value > INPUT_POINT_MAX) {
            error_set(errp, "Parameter '%svalue' is 0 to %d", where, INPUT_POINT_MAX);
            return false;
        }
        place[y] = value;
        m->placed = true;
    } else if (value < SHRT_MIN || value > SHRT_MAX) {
        error_set(errp, "Parameter '%svalue' is %d to %d", where, SHRT_MIN, SHRT_MAX);
        return false;
    } else {
        *(y ? &m->dy : &m->dx) = (int)value;
        m->moved = true;
    }
    return true;
}

/* flush - what the events so far did to the pointer. Machine lock held. */
static void flush(Moves *m)
{
    if (m->placed && input_absolute()) {
        seat_point(op_seat(), (unsigned)place[0], (unsigned)place[1], INPUT_POINT_MAX + 1, INPUT_POINT_MAX + 1,
                   m->buttons);
    }
    if (m->moved) {
        seat_move(op_seat(), m->dx, m->dy, m->dz, m->buttons);
    }
    *m = (Moves){ .buttons = m->buttons };
}

/* one - checks the event and, with @act, does it. */
static bool one(Json *event, size_t n, Moves *m, bool act, Error **errp)
{
    autofree char *where = xasprintf("events[%zu].", n), *inner = xasprintf("events[%zu].data.", n);
    autofree char *key_name = xasprintf("events[%zu].data.key.", n);
    const char *type;
    Json *data;

    if (json_object_get_type(event) != json_type_object) {
        error_set(errp, "Invalid parameter type for 'events[%zu]', expected: object", n);
        return false;
    }
    if (!qmp_check("type:key|btn|rel|abs data:dict", event, where, errp)) {
        return false;
    }
    type = qmp_str(event, "type");
    data = qmp_member(event, "data");
    if (strcmp(type, "btn") == 0) {
        return take_button(data, m, inner, errp);
    }
    if (strcmp(type, "key") == 0) {
        unsigned key;

        if (!qmp_check("key:dict down:bool", data, inner, errp) ||
            !take_key(qmp_member(data, "key"), key_name, &key, errp)) {
            return false;
        }
        if (act) {
            flush(m);
            seat_key(op_seat(), key, qmp_bool(data, "down", false));
        }
        return true;
    }
    return take_axis(data, m, strcmp(type, "abs") == 0, inner, errp);
}

bool qmp_input_send_event(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    Json *list = qmp_member(args, "events");
    size_t count = json_object_array_length(list);
    Moves m = { 0 };

    if (qmp_str(args, "device") != NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", qmp_str(args, "device"));
        return false;
    }
    if (count > EVENTS_MAX) {
        error_set(errp, "too many events (at most %d)", EVENTS_MAX);
        return false;
    }
    for (size_t n = 0; n < count; n++) { /* all are right before one is done */
        if (!one(json_object_array_get_idx(list, n), n, &m, false, errp)) {
            return false;
        }
    }
    if (vm_state() != RUN_RUNNING) {
        error_set(errp, "VM not running");
        return false;
    }
    machine_lock();
    m = (Moves){ .buttons = seat_buttons(op_seat()) };
    for (size_t n = 0; n < count; n++) {
        one(json_object_array_get_idx(list, n), n, &m, true, NULL);
    }
    flush(&m);
    machine_unlock();
    return true;
}

bool qmp_screendump(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    const char *format = qmp_str(args, "format");

    if (qmp_int(args, "head", 0) != 0) {
        error_set(errp, "Parameter 'head': a screen has one head, 0");
        return false;
    }
    return op_screendump(qmp_str(args, "device"), qmp_str(args, "filename"),
                         format != NULL && strcmp(format, "png") == 0 ? DUMP_PNG : DUMP_PPM, errp);
}
#endif
