/*
 * Line editing: see line-edit.h. The terminal is told as little as possible: a character at the end is
 * itself, one taken off the end is "\b \b"; only changes in the middle need ECMA-48's erase in line.
 */
#include "monitor/line-edit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

enum { CTRL = 0x1f, ESC = 27, DEL = 127 };

void line_init(LineEdit *e, const char *prompt, void (*put)(void *opaque, const char *text, size_t len),
               void *opaque)
{
    memset(e, 0, sizeof(*e));
    e->prompt = prompt;
    e->put = put;
    e->opaque = opaque;
}

void line_fini(LineEdit *e)
{
    for (unsigned n = 0; n < e->history_count; n++) {
        free(e->history[n]);
    }
    free(e->fresh);
}

static void put(LineEdit *e, const char *text)
{
    e->put(e->opaque, text, strlen(text));
}

/* ---- UTF-8 ---- */

static bool continues(const LineEdit *e, size_t at)
{
    return at < e->len && ((uint8_t)e->text[at] & 0xc0) == 0x80;
}

static size_t before(const LineEdit *e, size_t at)
{
    do {
        at -= at > 0;
    } while (at > 0 && continues(e, at));
    return at;
}

static size_t after(const LineEdit *e, size_t at)
{
    do {
        at += at < e->len;
    } while (continues(e, at));
    return at;
}

/* columns - that the bytes from @from to @to take. */
static unsigned columns(const LineEdit *e, size_t from, size_t to)
{
    unsigned n = 0;

    for (; from < to; from++) {
        n += !continues(e, from);
    }
    return n;
}

/* ---- the cursor ---- */

static void move_to(LineEdit *e, size_t to)
{
    if (to > e->at) {
        e->put(e->opaque, e->text + e->at, to - e->at);
    }
    for (unsigned n = columns(e, to, e->at); n > 0; n--) {
        put(e, "\b");
    }
    e->at = to;
}

static bool blank(const LineEdit *e, size_t at)
{
    return e->text[at] == ' ';
}

static size_t word_left(const LineEdit *e)
{
    size_t at = e->at;

    while (at > 0 && blank(e, at - 1)) {
        at--;
    }
    while (at > 0 && !blank(e, at - 1)) {
        at--;
    }
    return at;
}

static size_t word_right(const LineEdit *e)
{
    size_t at = e->at;

    while (at < e->len && blank(e, at)) {
        at++;
    }
    while (at < e->len && !blank(e, at)) {
        at++;
    }
    return at;
}

/* ---- changes ---- */

/* cut - take out [from, to); the cursor is at one of its ends. */
static void cut(LineEdit *e, size_t from, size_t to)
{
    if (from >= to) {
        return;
    }
    if (to == e->len && e->at == to) { /* off the end */
        for (unsigned n = columns(e, from, to); n > 0; n--) {
            put(e, "\b \b");
        }
        e->len = e->at = from;
        e->text[e->len] = '\0';
        return;
    }
    move_to(e, from);
    memmove(e->text + from, e->text + to, e->len - to + 1);
    e->len -= to - from;
    put(e, "\33[K");
    move_to(e, e->len);
    move_to(e, from);
}

static void cut_and_keep(LineEdit *e, size_t from, size_t to)
{
    if (from < to) {
        memcpy(e->killed, e->text + from, to - from);
        e->killed[to - from] = '\0';
        cut(e, from, to);
    }
}

void line_insert(LineEdit *e, const char *text)
{
    size_t n = strlen(text), at = e->at;

    if (n > LINE_MAX_CHARS - e->len) {
        return;
    }
    memmove(e->text + at + n, e->text + at, e->len - at + 1);
    memcpy(e->text + at, text, n);
    e->len += n;
    if (at + n < e->len) {
        put(e, "\33[K");
    }
    move_to(e, e->len);
    move_to(e, at + n);
}

static void set_line(LineEdit *e, const char *text)
{
    move_to(e, e->len);
    cut(e, 0, e->len);
    line_insert(e, text);
}

void line_redraw(LineEdit *e)
{
    size_t at = e->at;

    put(e, e->prompt);
    if (e->hidden) {
        return;
    }
    e->at = 0;
    move_to(e, e->len);
    move_to(e, at);
}

void line_start(LineEdit *e)
{
    e->len = e->at = 0;
    e->text[0] = '\0';
    e->escape = 0;
    e->history_at = e->history_count;
    put(e, e->prompt);
}

/* ---- history ---- */

void line_remember(LineEdit *e, const char *text)
{
    const char *last = e->history_count > 0 ? e->history[e->history_count - 1] : "";

    if (text[strspn(text, " ")] == '\0' || strcmp(text, last) == 0) {
        return;
    }
    if (e->history_count == LINE_HISTORY) {
        free(e->history[0]);
        memmove(e->history, e->history + 1, (LINE_HISTORY - 1) * sizeof(e->history[0]));
        e->history_count--;
    }
    e->history[e->history_count++] = xstrdup(text);
}

static void recall(LineEdit *e, int by)
{
    unsigned to = e->history_at + (unsigned)by;

    if (to > e->history_count) { /* before the first, or behind the new one */
        return;
    }
    if (e->history_at == e->history_count) {
        free(e->fresh);
        e->fresh = xstrdup(e->text);
    }
    e->history_at = to;
    set_line(e, to == e->history_count ? e->fresh : e->history[to]);
}

/* ---- bytes ---- */

static LineResult control(LineEdit *e, uint8_t b)
{
    switch (b) {
    case 'A' & CTRL:
        move_to(e, 0);
        break;
    case 'B' & CTRL:
        move_to(e, before(e, e->at));
        break;
    case 'C' & CTRL:
        put(e, "^C\n");
        return LINE_ABANDON;
    case 'D' & CTRL:
        cut(e, e->at, after(e, e->at));
        break;
    case 'E' & CTRL:
        move_to(e, e->len);
        break;
    case 'F' & CTRL:
        move_to(e, after(e, e->at));
        break;
    case '\b':
    case DEL:
        cut(e, before(e, e->at), e->at);
        break;
    case '\t':
        return LINE_COMPLETE;
    case '\r':
    case '\n':
        put(e, "\n");
        line_remember(e, e->text);
        return LINE_DONE;
    case 'K' & CTRL:
        cut_and_keep(e, e->at, e->len);
        break;
    case 'L' & CTRL:
        put(e, "\33[H\33[2J");
        line_redraw(e);
        break;
    case 'N' & CTRL:
        recall(e, 1);
        break;
    case 'P' & CTRL:
        recall(e, -1);
        break;
    case 'U' & CTRL:
        cut_and_keep(e, 0, e->at);
        break;
    case 'W' & CTRL:
        cut_and_keep(e, word_left(e), e->at);
        break;
    case 'Y' & CTRL:
        line_insert(e, e->killed);
        break;
    case ESC:
        e->escape = 1;
        break;
    default:
        break;
    }
    return LINE_MORE;
}

/* A key of the cursor block: ESC [ or ESC O and a letter, or a number and '~'. */
static void cursor_key(LineEdit *e, uint8_t b)
{
    static const struct {
        uint8_t number, as;
    } numbers[] = { { 1, 'H' }, { 7, 'H' }, { 4, 'F' }, { 8, 'F' }, { 3, '~' } };

    if (b == '~') {
        b = 0;
        for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
            b = numbers[n].number == e->escape_arg ? numbers[n].as : b;
        }
    }
    switch (b) {
    case 'A':
        recall(e, -1);
        break;
    case 'B':
        recall(e, 1);
        break;
    case 'C':
        move_to(e, after(e, e->at));
        break;
    case 'D':
        move_to(e, before(e, e->at));
        break;
    case 'H':
        move_to(e, 0);
        break;
    case 'F':
        move_to(e, e->len);
        break;
    case '~':
        cut(e, e->at, after(e, e->at));
        break;
    default:
        break;
    }
}

static void escaped(LineEdit *e, uint8_t b)
{
    if (e->escape == 1) {
        e->escape = b == '[' || b == 'O' ? 2 : 0;
        e->escape_arg = 0;
        switch (b) {
        case 'b':
            move_to(e, word_left(e));
            break;
        case 'f':
            move_to(e, word_right(e));
            break;
        case 'd':
            cut_and_keep(e, e->at, word_right(e));
            break;
        case DEL:
            cut_and_keep(e, word_left(e), e->at);
            break;
        default:
            break;
        }
    } else if (b >= '0' && b <= '9') {
        e->escape_arg = (e->escape_arg * 10 + (b - '0')) % 1000;
    } else if (b == ';') {
        e->escape_arg = 0; /* a modifier follows: ESC [ 1 ; 5 C */
    } else if (b >= 0x40) {
        e->escape = 0;
        cursor_key(e, b);
    }
}

static LineResult hidden_byte(LineEdit *e, uint8_t b)
{
    if (b == '\r' || b == '\n' || b == ('C' & CTRL)) {
        put(e, "\n");
        return b == ('C' & CTRL) ? LINE_ABANDON : LINE_DONE;
    }
    if (b == ('U' & CTRL)) {
        e->len = 0;
    } else if (b == '\b' || b == DEL) {
        e->len = before(e, e->len);
    } else if (b >= 32 && e->len < LINE_MAX_CHARS) {
        e->text[e->len++] = (char)b;
    }
    e->at = e->len;
    e->text[e->len] = '\0';
    return LINE_MORE;
}

LineResult line_byte(LineEdit *e, uint8_t b)
{
    if (e->hidden) {
        return hidden_byte(e, b);
    }
    if (e->escape != 0 && (b >= 32 || b == ESC)) {
        escaped(e, b);
        return LINE_MORE;
    }
    e->escape = 0; /* a line end or a control character ends what was no sequence */
    if (b < 32 || b == DEL) {
        return control(e, b);
    }
    line_insert(e, (char[]){ (char)b, '\0' });
    return LINE_MORE;
}
