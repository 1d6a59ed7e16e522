/*
 * The human monitor. Lines are collected under the machine lock and executed on the loop without
 * it, since commands may stop the machine. Output that parsers know has QEMU's shape.
 */
#include "monitor/hmp.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "config.h"
#include "monitor/hmp-complete.h"
#include "monitor/hmp-history.h"
#include "monitor/hmp-internal.h"
#include "monitor/line-edit.h"

#define RETRY_NS 5000000
#define LIST_COLUMNS 80
#define PROMPT "(qemu) "

typedef struct Hmp {
    Chardev *chr;
    LineEdit line;
    bool busy, last_cr;
    bool hidden; /* another front end of the mux has the terminal */
    bool greeted;
    bool person; /* at a terminal: its lines are kept */
    char *unsent;       /* answers that the peer has not room for yet; loop thread */
    size_t unsent_len;
    Timer retry;
    HmpSession session;
} Hmp;

/* Nothing of an answer is lost on a slow reader: the rest waits, and the next command with it. */
static void put_bytes(Hmp *m, const char *s, size_t n)
{
    size_t took = m->unsent_len == 0 ? chardev_write(m->chr, (const uint8_t *)s, n) : 0;

    if (took < n) {
        m->unsent = xrealloc(m->unsent, m->unsent_len + n - took, 1);
        memcpy(m->unsent + m->unsent_len, s + took, n - took);
        m->unsent_len += n - took;
        timer_arm(&m->retry, clock_now(CLK_REAL) + RETRY_NS);
    }
}

static void put(Hmp *m, const char *s)
{
    while (*s != 0) {
        size_t n = strcspn(s, "\n");

        put_bytes(m, s, n);
        s += n;
        if (*s == '\n') {
            put_bytes(m, "\r\n", 2);
            s++;
        }
    }
}

static void retry(void *opaque)
{
    Hmp *m = opaque;
    size_t took = chardev_write(m->chr, (const uint8_t *)m->unsent, m->unsent_len);

    m->unsent_len -= took;
    if (m->unsent_len > 0) {
        memmove(m->unsent, m->unsent + took, m->unsent_len);
        timer_arm(&m->retry, clock_now(CLK_REAL) + RETRY_NS);
        return;
    }
    free(m->unsent);
    m->unsent = NULL;
    machine_lock();
    chardev_accept_input(m->chr);
    machine_unlock();
}

static void put_line(void *opaque, const char *text, size_t len)
{
    autofree char *copy = xstrndup(text, len);

    put(opaque, copy);
}

static void execute(Hmp *m)
{
    void (*ask)(HmpSession *s, FILE *out, char *text) = m->session.ask;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return;
    }
    if (ask != NULL) {
        m->session.ask = NULL;
        ask(&m->session, out, m->line.text);
        explicit_bzero(m->line.text, sizeof(m->line.text));
    } else {
        hmp_execute(&m->session, out, m->line.text);
    }
    fclose(out);
    put(m, text);
    free(text);
}

/* next_line - show what is asked for: a command or a password. */
static void next_line(Hmp *m)
{
    m->line.hidden = m->session.ask != NULL;
    m->line.prompt = m->line.hidden ? "Password: " : PROMPT;
    line_start(&m->line);
}

static void line_event(void *opaque)
{
    Hmp *m = opaque;

    if (m->person && m->session.ask == NULL) {
        history_keep(m->line.text);
    }
    execute(m);
    machine_lock();
    m->busy = false;
    next_line(m);
    chardev_accept_input(m->chr);
    machine_unlock();
}

/* list - what there is, and the line again. */
static void list(Hmp *m, const Completion *c)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return;
    }
    completion_print(c, out, LIST_COLUMNS);
    fclose(out);
    put(m, "\n");
    put(m, text);
    line_redraw(&m->line);
    free(text);
}

/* Tab, without the machine lock, since folders are read. */
static void complete_event(void *opaque)
{
    Hmp *m = opaque;
    autofree char *line = xstrndup(m->line.text, m->line.at);
    Completion c;

    hmp_complete(&c, line);
    machine_lock();
    if (c.count > 0) {
        size_t n = strlen(c.common), had = strlen(c.start);

        line_insert(&m->line, c.common + had);
        if (c.count == 1 && n > 0 && c.common[n - 1] != '/') {
            line_insert(&m->line, " ");
        } else if (n == had) {
            list(m, &c);
        }
    }
    m->busy = false;
    chardev_accept_input(m->chr);
    machine_unlock();
    completion_free(&c);
}

static size_t can_receive(void *opaque)
{
    Hmp *m = opaque;

    return m->busy || m->unsent_len > 0 ? 0 : 1;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    Hmp *m = opaque;

    for (size_t n = 0; n < len; n++) {
        uint8_t b = buf[n];

        if (b == '\n' && m->last_cr) {
            m->last_cr = false;
            continue;
        }
        m->last_cr = b == '\r';
        switch (line_byte(&m->line, b)) {
        case LINE_DONE:
            m->busy = true;
            loop_post(line_event, m);
            break;
        case LINE_COMPLETE:
            m->busy = true;
            loop_post(complete_event, m);
            break;
        case LINE_ABANDON:
            m->session.ask = NULL;
            next_line(m);
            break;
        default:
            break;
        }
    }
}

static void greet(Hmp *m)
{
    if (m->greeted) {
        line_redraw(&m->line);
        return;
    }
    put(m, "QEMU " QEMU_COMPAT_VERSION " monitor - type 'help' for more information\n");
    m->greeted = true;
    m->session.ask = NULL; /* whoever was asked is gone */
    next_line(m);
}

static void event(void *opaque, CharEvent ev)
{
    Hmp *m = opaque;

    if (ev == CHAR_OPENED) {
        m->greeted = false;
    }
    if (ev == CHAR_FOCUS_IN || ev == CHAR_FOCUS_OUT) {
        m->hidden = ev == CHAR_FOCUS_OUT;
    }
    if ((ev == CHAR_OPENED || ev == CHAR_FOCUS_IN) && !m->hidden) {
        greet(m);
    }
}

static const CharFront front = { can_receive, receive, event };

bool hmp_open(Chardev *c, Error **errp)
{
    Hmp *m = xnew(Hmp);

    m->chr = c;
    line_init(&m->line, PROMPT, put_line, m);
    m->session.history = &m->line;
    m->person = chardev_is_terminal(c);
    if (m->person) {
        history_load(&m->line);
    }
    timer_init(&m->retry, CLK_REAL, retry, m, NULL);
    m->hidden = chardev_is_mux(c) && chardev_has_front(c); /* the first one has the focus */
    if (!chardev_attach(c, &front, m, errp)) {
        line_fini(&m->line);
        free(m);
        return false;
    }
    return true;
}
