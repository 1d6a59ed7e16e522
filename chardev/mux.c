/*
 * The mux: several front ends on one line. All of them write; the one with the focus reads.
 * The escape character (Ctrl-A unless -echr says otherwise) and a letter command it:
 *
 *   h ?  help     x  end the program     c  next front end     b  send a break
 *   t    time stamps on/off              s  write disks back   the character itself: send it
 *
 * The escape must work also while the guest does not read its line, so input is taken into a queue
 * a front end. When that is full, a terminal's input is dropped (but for escapes); a pipe or file
 * is held back, since nobody types there.
 */
#include "chardev/backend.h"

#include <stdlib.h>
#include "base/mem.h"

enum { FIFO_MAX = 64 * 1024 };

static int escape_char = 1;

void chardev_set_echr(int c)
{
    escape_char = c;
}

size_t mux_room(Chardev *c)
{
    const Front *f;

    if (c->tty_in) {
        return CHAR_READ_MAX; /* the escape works even where nobody is attached */
    }
    if (c->focus < 0) {
        return 0;
    }
    f = &c->fronts[c->focus];
    return FIFO_MAX - f->fifo_len;
}

void mux_push(Chardev *c)
{
    for (int i = 0; i < CHAR_FRONTS; i++) {
        Front *f = &c->fronts[i];
        while (f->fe != NULL && f->fifo_len > 0) {
            size_t n = MIN(f->fifo_len, front_room(f));
            if (n == 0) {
                break;
            }
            f->fe->receive(f->opaque, f->fifo, n);
            if (f->fifo_len < n) {
                break; /* detached by what it received */
            }
            f->fifo_len -= n;
            memmove(f->fifo, f->fifo + n, f->fifo_len);
        }
    }
}

static void put(Chardev *c, uint8_t byte)
{
    Front *f;

    if (c->focus < 0) {
        return;
    }
    f = &c->fronts[c->focus];
    if (f->fifo_len == FIFO_MAX) {
        return;
    }
    if (f->fifo_len == f->fifo_cap) {
        f->fifo_cap = MAX(256, 2 * f->fifo_cap);
        f->fifo = xrealloc(f->fifo, f->fifo_cap, 1);
    }
    f->fifo[f->fifo_len++] = byte;
}

void mux_set_focus(Chardev *c, int focus)
{
    if (focus == c->focus) {
        return;
    }
    chardev_event(c, CHAR_FOCUS_OUT);
    c->focus = focus;
    chardev_event(c, CHAR_FOCUS_IN);
}

void chardev_mux_focus(Chardev *c, void *opaque)
{
    chardev_lock_front();
    for (int i = 0; i < CHAR_FRONTS; i++) {
        if (c->fronts[i].fe != NULL && c->fronts[i].opaque == opaque) {
            mux_set_focus(c, i);
            break;
        }
    }
    chardev_unlock_front();
}

static void next_front(Chardev *c)
{
    for (int k = 1; k <= CHAR_FRONTS && c->focus >= 0; k++) {
        int i = (c->focus + k) % CHAR_FRONTS;
        if (c->fronts[i].fe != NULL) {
            mux_set_focus(c, i);
            return;
        }
    }
}

static void say(Chardev *c, const char *text)
{
    chardev_write(c, (const uint8_t *)text, strlen(text));
}

static void help(Chardev *c)
{
    char name[16], line[64];
    static const char *const rows[][2] = {
        { "h", "this help" },
        { "x", "end the emulator" },
        { "s", "write changed disk data back to the files" },
        { "t", "time stamps on or off" },
        { "b", "send a break" },
        { "c", "switch between the console and the monitor" },
    };

    if (escape_char > 0 && escape_char < 27) {
        snprintf(name, sizeof(name), "C-%c", escape_char - 1 + 'a');
    } else {
        snprintf(name, sizeof(name), "<0x%02x>", escape_char);
    }
    say(c, "\r\n");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        snprintf(line, sizeof(line), "%s %-4s  %s\r\n", name, rows[i][0], rows[i][1]);
        say(c, line);
    }
    snprintf(line, sizeof(line), "%s %-4s  send %s\r\n", name, name, name);
    say(c, line);
}

/* The letter behind an escape character. */
static void command(Chardev *c, uint8_t ch)
{
    switch (ch) {
    case 'h':
    case '?':
        help(c);
        break;
    case 'x':
        say(c, "doppel: Terminated\r\n");
        chardev_quit();
        break;
    case 'c':
        next_front(c);
        break;
    case 'b':
        chardev_event(c, CHAR_BREAK);
        break;
    case 't':
        pthread_mutex_lock(&c->lock);
        c->stamp = !c->stamp;
        pthread_mutex_unlock(&c->lock);
        break;
    case 's':
        break; /* block/ writes through, there is nothing to write back */
    default:
        if (ch == escape_char) {
            put(c, ch);
        }
        break;
    }
}

void mux_input(Chardev *c, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (c->escaped) {
            c->escaped = false;
            mux_push(c); /* what came before belongs to the old focus */
            command(c, buf[i]);
        } else if (escape_char != 0 && buf[i] == escape_char) {
            c->escaped = true;
        } else {
            put(c, buf[i]);
        }
    }
    mux_push(c);
}
