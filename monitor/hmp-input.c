/*
 * The human monitor: keys and mice.
 */
#include "monitor/hmp-internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
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

void hmp_sendkey(HmpSession *m, FILE *out, char *arg)
{
    const char *names = hmp_word(&arg), *hold = hmp_word(&arg);
    unsigned keys[OP_KEYS_MAX], count;
    uint64_t ms = OP_HOLD_MS;
    Error *err = NULL;

    if (*names == '\0') {
        fprintf(out, "sendkey: string expected\nTry \"help sendkey\" for more information\n");
        return;
    }
    if (*hold != '\0' && !text_u64(hold, OP_HOLD_MS_MAX, &ms)) {
        fprintf(out, "Error: '%s' is not a time in milliseconds (at most %d)\n", hold, OP_HOLD_MS_MAX);
        return;
    }
    count = parse_keys(out, names, keys);
    if (count == 0) {
        return;
    }
    if (!op_keys(keys, count, (unsigned)ms, &err)) {
        hmp_error(out, err);
    }
}

/* number - the next word, which may be missing; false after a message. */
static bool number(FILE *out, char **arg, const char *command, bool needed, int *value)
{
    const char *w = hmp_word(arg);
    char *end;
    long v = strtol(w, &end, 0);

    if (*w == '\0' && !needed) {
        *value = 0;
        return true;
    }
    if (*w == '\0' || *end != '\0' || v > SHRT_MAX || v < SHRT_MIN) {
        fprintf(out, "Error: %s: '%s' is not a number (help %s)\n", command, w, command);
        return false;
    }
    *value = (int)v;
    return true;
}

static void move(int dx, int dy, int dz, int buttons)
{
    Seat *seat;

    machine_lock();
    seat = op_seat();
    seat_move(seat, dx, dy, dz, buttons < 0 ? seat_buttons(seat) : (unsigned)buttons);
    machine_unlock();
}

void hmp_mouse_move(HmpSession *m, FILE *out, char *arg)
{
    int dx, dy, dz;

    if (number(out, &arg, "mouse_move", true, &dx) && number(out, &arg, "mouse_move", true, &dy) &&
        number(out, &arg, "mouse_move", false, &dz)) {
        move(dx, dy, dz, -1);
    }
}

void hmp_mouse_button(HmpSession *m, FILE *out, char *arg)
{
    int state;

    if (number(out, &arg, "mouse_button", true, &state)) {
        move(0, 0, 0, state & 7);
    }
}

void hmp_mouse_set(HmpSession *m, FILE *out, char *arg)
{
    int index;

    if (!number(out, &arg, "mouse_set", true, &index)) {
        return;
    }
    machine_lock();
    if (!input_mouse_select((unsigned)index)) {
        fprintf(out, "Error: Mouse at index '%d' not found\n", index);
    }
    machine_unlock();
}

void hmp_info_mice(HmpSession *m, FILE *out, char *arg)
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
