/*
 * The human monitor: a text typed on the guest's keyboard, by the layout of -k, at the pace at which the guest
 * takes it.
 */
#include "monitor/hmp-internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "monitor/ops.h"
#include "ui/keymap.h"
#include "ui/seat.h"

#define RETRY_NS (10 * NS_PER_MS)

enum { TYPE_MAX = 4096, KEYSYM_RETURN = 0xff0d, KEYSYM_TAB = 0xff09, KEYSYM_ESCAPE = 0xff1b };

/* What is still to be typed; machine lock. */
static uint32_t queue[TYPE_MAX];
static unsigned queued, done;
static Timer timer;
static bool timer_made;

static void type_some(void *opaque)
{
    while (done < queued && seat_room()) {
        seat_keysym(op_seat(), queue[done], true);
        seat_keysym(op_seat(), queue[done], false);
        done++;
    }
    if (done < queued) {
        timer_arm(&timer, clock_now(CLK_REAL) + RETRY_NS);
    } else {
        done = queued = 0;
    }
}

/* next_keysym - the character at *@s, which is put behind it: with \n, \t, \e, \\ and \" as in C. 0: none. */
static uint32_t next_keysym(const char **s)
{
    const uint8_t *p = (const uint8_t *)*s;
    unsigned more = *p < 0xc0 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? *p : *p & (0x3fu >> more);

    if (*p == '\\' && p[1] != '\0') {
        *s += 2;
        switch (p[1]) {
        case 'n':
            return KEYSYM_RETURN;
        case 't':
            return KEYSYM_TAB;
        case 'e':
            return KEYSYM_ESCAPE;
        default:
            return p[1] == '\\' || p[1] == '"' ? p[1] : 0;
        }
    }
    for (*s += 1; more > 0; more--, *s += 1) {
        if (((uint8_t)**s & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | ((uint8_t)**s & 0x3f);
    }
    return c < 0x20 || (c >= 0x7f && c < 0xa0) ? 0 : keysym_of(c);
}

void hmp_type(HmpSession *m, FILE *out, const Args *a)
{
    autofree char *line = xstrdup(arg_str(a, "text"));
    const char *text = line;
    size_t len = strlen(line);
    uint32_t *keysyms;
    unsigned count = 0;

    if (len >= 2 && line[0] == '"' && line[len - 1] == '"') {
        line[len - 1] = '\0';
        text++;
    }
    keysyms = xnewn(uint32_t, len);
    while (*text != '\0') {
        const char *start = text;
        uint32_t keysym = next_keysym(&text);
        KeyStroke stroke;

        if (keysym == 0 || keymap_lookup(op_keymap(), keysym, &stroke, 1) == 0) {
            fprintf(out, "Error: type: the keyboard layout (-k) has no '%.*s'\n", (int)(text - start), start);
            free(keysyms);
            return;
        }
        keysyms[count++] = keysym;
    }
    machine_lock();
    if (count > TYPE_MAX - queued) {
        fprintf(out, "Error: type: too much is waiting to be typed\n");
    } else {
        memcpy(queue + queued, keysyms, count * sizeof(*keysyms));
        queued += count;
        if (!timer_made) {
            timer_init(&timer, CLK_REAL, type_some, NULL, &machine_lock_guard);
            timer_made = true;
        }
        if (!timer_pending(&timer)) {
            type_some(NULL);
        }
    }
    machine_unlock();
    free(keysyms);
}
