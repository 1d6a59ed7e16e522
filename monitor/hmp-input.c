/*
 * The human monitor: keys and mice.
 */
#include "monitor/hmp-internal.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "hw/input/input.h"
#include "monitor/ops.h"
#include "ui/seat.h"

/* parse_keys - "ctrl-alt-f1"; a lone "-" or a last one is the key minus. How many; 0 after a message. */
static unsigned parse_keys(FILE *out, const char *text, unsigned keys[OP_KEYS_MAX])
{
    unsigned count = 0;

    for (;;) {
        size_t n = strcspn(text, "-");
        autofree char *name = xstrndup(text, n);

        keys[count] = input_key_named(strcmp(name, "<") == 0 ? "less" : name);
        if (keys[count] == 0) {
            fprintf(out, "Error: invalid parameter: %s\n", name);
            return 0;
        }
        count++;
        if (text[n] == '\0') {
            return count;
        }
        if (count == OP_KEYS_MAX) {
            fprintf(out, "Error: too many keys (at most %d)\n", OP_KEYS_MAX);
            return 0;
        }
        text += n + 1;
    }
}

void hmp_sendkey(HmpSession *m, FILE *out, const Args *a)
{
    int64_t ms = arg_int(a, "hold-time", OP_HOLD_MS);
    unsigned keys[OP_KEYS_MAX], count;
    Error *err = NULL;

    if (ms < 0 || ms > OP_HOLD_MS_MAX) {
        fprintf(out, "Error: '%" PRId64 "' is not a time in milliseconds (at most %d)\n", ms, OP_HOLD_MS_MAX);
        return;
    }
    count = parse_keys(out, arg_str(a, "keys"), keys);
    if (count > 0 && !op_keys(keys, count, (unsigned)ms, &err)) {
        hmp_error(out, err);
    }
}

static void move(int dx, int dy, int dz, int buttons)
{
    Seat *seat;

    machine_lock();
    seat = op_seat();
    seat_move(seat, dx, dy, dz, buttons < 0 ? seat_buttons(seat) : (unsigned)buttons);
    machine_unlock();
}

/* distance - as far as a mouse can be moved at once. */
static int distance(const Args *a, const char *name)
{
    return (int)MIN(MAX(arg_int(a, name, 0), SHRT_MIN), SHRT_MAX);
}

void hmp_mouse_move(HmpSession *m, FILE *out, const Args *a)
{
    move(distance(a, "dx"), distance(a, "dy"), distance(a, "dz"), -1);
}

void hmp_mouse_button(HmpSession *m, FILE *out, const Args *a)
{
    move(0, 0, 0, (int)(arg_int(a, "state", 0) & 7));
}

void hmp_mouse_set(HmpSession *m, FILE *out, const Args *a)
{
    int64_t index = arg_int(a, "index", 0);

    machine_lock();
    if (index < 0 || index > UINT_MAX || !input_mouse_select((unsigned)index)) {
        fprintf(out, "Error: Mouse at index '%" PRId64 "' not found\n", index);
    }
    machine_unlock();
}

void hmp_info_mice(HmpSession *m, FILE *out, const Args *a)
{
    machine_lock();
    if (input_mouse_next(NULL) == NULL) {
        fprintf(out, "No mouse devices connected\n");
    }
    for (const InputSink *s = input_mouse_next(NULL); s != NULL; s = input_mouse_next(s)) {
        fprintf(out, "%c Mouse #%u: %s%s\n", s == input_current() ? '*' : ' ', s->index, s->name,
                s->point != NULL ? " (absolute)" : "");
    }
    machine_unlock();
}
