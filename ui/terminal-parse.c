/*
 * What a terminal reads: UTF-8, control characters, escape sequences. Every byte has its place in a
 * state machine; what is not known is read to its end and has no effect.
 *
 * Sources: ECMA-48, "Control functions"; DEC VT100 User Guide, "Programmer Information"; DEC VT220
 * Programmer Reference Manual, "Control sequences"; console_codes(4) for the colours.
 */
#include "ui/terminal-internal.h"

#include <stdio.h>
#include "base/mem.h"

enum { REPLACEMENT = 0xfffd };

/* DEC Special Graphics: 5Fh to 7Eh (VT220 manual, "DEC Special Graphics Character Set"). */
static const uint16_t graphics[32] = {
    0x00a0, 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b,
    0x2518, 0x2510, 0x250c, 0x2514, 0x253c, 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c,
    0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7,
};

static void answer(Terminal *t, const char *text)
{
    if (t->answer != NULL) {
        t->answer(t->opaque, text, strlen(text));
    }
}

static void print(Terminal *t, uint32_t ch)
{
    if (ch >= 0x5f && ch <= 0x7e && t->cur.graphics[t->cur.shifted]) {
        ch = graphics[ch - 0x5f];
    }
    term_put(t, ch);
}

/* control - a character of C0, which works in the middle of a sequence too. */
static void control(Terminal *t, uint8_t b)
{
    switch (b) {
    case '\b':
        term_move(t, (int)t->cur.row, (int)t->cur.col - 1);
        break;
    case '\t':
        term_tab(t, 1);
        break;
    case '\n':
    case '\v':
    case '\f':
        if (t->newline) {
            t->cur.col = 0;
        }
        term_index(t, false);
        break;
    case '\r':
        term_move(t, (int)t->cur.row, 0);
        break;
    case 0x0e: /* SO, SI */
    case 0x0f:
        t->cur.shifted = b == 0x0e;
        break;
    case '\a':
        t->bell = true;
        break;
    default:
        break;
    }
}

/* ---- CSI ---- */

/* arg - parameter @n, @def where it is missing or 0. */
static int arg(const Terminal *t, unsigned n, unsigned def)
{
    return (int)(n < t->param_count && t->params[n] != 0 ? t->params[n] : def);
}

static void erase_display(Terminal *t, unsigned how)
{
    unsigned from = how == 0 ? t->cur.row + 1 : 0, to = how == 1 ? t->cur.row : t->rows;

    if (how > 2) {
        t->history = how == 3 && t->back == 0 ? 0 : t->history;
        return;
    }
    if (how < 2) {
        term_erase(t, t->cur.row, how == 0 ? t->cur.col : 0, how == 0 ? t->cols : t->cur.col + 1);
    }
    for (unsigned row = from; row < to; row++) {
        term_erase(t, row, 0, t->cols);
    }
}

static void erase_line(Terminal *t, unsigned how)
{
    if (how <= 2) {
        term_erase(t, t->cur.row, how == 0 ? t->cur.col : 0, how == 1 ? t->cur.col + 1 : t->cols);
    }
}

/* rgb_index - the nearest of xterm's colour cube. */
static unsigned rgb_index(unsigned r, unsigned g, unsigned b)
{
    return 16 + 36 * ((MIN(r, 255u) * 5 + 127) / 255) + 6 * ((MIN(g, 255u) * 5 + 127) / 255) +
           (MIN(b, 255u) * 5 + 127) / 255;
}

/* extended_colour - what stands behind 38 and 48: 5;index or 2;r;g;b. How many parameters it took. */
static unsigned extended_colour(const Terminal *t, unsigned n, unsigned *colour)
{
    unsigned kind = n < t->param_count ? t->params[n] : 0;

    if (kind == 5 && n + 1 < t->param_count) {
        *colour = MIN(t->params[n + 1], 255u);
        return 2;
    }
    if (kind == 2 && n + 3 < t->param_count) {
        *colour = rgb_index(t->params[n + 1], t->params[n + 2], t->params[n + 3]);
        return 4;
    }
    return t->param_count; /* no telling what the rest means */
}

static unsigned set_flag(unsigned flags, unsigned flag, bool on)
{
    return on ? flags | flag : flags & ~flag;
}

static void sgr(Terminal *t)
{
    TermCell *pen = &t->cur.pen;

    for (unsigned n = 0; n < MAX(t->param_count, 1u); n++) {
        unsigned p = n < t->param_count ? t->params[n] : 0, colour = TERMINAL_DEFAULT;

        switch (p) {
        case 0:
            *pen = (TermCell){ .fg = TERMINAL_DEFAULT, .bg = TERMINAL_DEFAULT };
            break;
        case 1:
        case 21: /* double underline or not bold: nobody agrees */
        case 22:
            pen->flags = set_flag(pen->flags, CELL_BOLD, p == 1) & 0xff;
            break;
        case 4:
        case 24:
            pen->flags = set_flag(pen->flags, CELL_UNDERLINE, p == 4) & 0xff;
            break;
        case 7:
        case 27:
            pen->flags = set_flag(pen->flags, CELL_REVERSE, p == 7) & 0xff;
            break;
        case 8:
        case 28:
            pen->flags = set_flag(pen->flags, CELL_HIDDEN, p == 8) & 0xff;
            break;
        case 30 ... 37:
            pen->fg = (p - 30) & 7;
            break;
        case 40 ... 47:
            pen->bg = (p - 40) & 7;
            break;
        case 90 ... 97:
            pen->fg = (p - 90 + 8) & 15;
            break;
        case 100 ... 107:
            pen->bg = (p - 100 + 8) & 15;
            break;
        case 38:
            n += extended_colour(t, n + 1, &colour);
            pen->fg = colour & 0x1ff;
            break;
        case 48:
            n += extended_colour(t, n + 1, &colour);
            pen->bg = colour & 0x1ff;
            break;
        case 39:
            pen->fg = TERMINAL_DEFAULT;
            break;
        case 49:
            pen->bg = TERMINAL_DEFAULT;
            break;
        default:
            break;
        }
    }
}

static void private_mode(Terminal *t, unsigned mode, bool on)
{
    switch (mode) {
    case 1:
        t->app_cursor = on;
        break;
    case 6:
        t->cur.origin = on;
        term_move(t, on ? (int)t->top : 0, 0);
        break;
    case 7:
        t->autowrap = on;
        t->cur.wrap_next = false;
        break;
    case 25:
        t->cursor_on = on;
        term_move(t, (int)t->cur.row, (int)t->cur.col); /* draw it */
        break;
    case 47:
    case 1047:
        term_alternate(t, on);
        break;
    case 1048:
    case 1049:
        if (on) {
            term_save(t);
        }
        if (mode == 1049) {
            term_alternate(t, on);
        }
        if (!on) {
            term_restore(t);
        }
        break;
    default:
        break;
    }
}

static void set_modes(Terminal *t, bool on)
{
    for (unsigned n = 0; n < t->param_count; n++) {
        if (t->prefix == '?') {
            private_mode(t, t->params[n], on);
        } else if (t->prefix == 0 && t->params[n] == 4) {
            t->insert = on;
        } else if (t->prefix == 0 && t->params[n] == 20) {
            t->newline = on;
        }
    }
}

static void status_report(Terminal *t)
{
    char text[32];

    if (arg(t, 0, 0) == 5) {
        answer(t, "\33[0n");
    } else if (arg(t, 0, 0) == 6) {
        unsigned row = t->cur.row - (t->cur.origin ? t->top : 0);

        snprintf(text, sizeof(text), "\33[%u;%uR", row + 1, t->cur.col + 1);
        answer(t, text);
    }
}

static void set_region(Terminal *t)
{
    unsigned top = (unsigned)arg(t, 0, 1) - 1, bottom = MIN((unsigned)arg(t, 1, t->rows), t->rows) - 1;

    if (top < bottom) {
        t->top = top;
        t->bottom = bottom;
        term_move(t, t->cur.origin ? (int)top : 0, 0);
    }
}

static void clear_tabs(Terminal *t)
{
    if (arg(t, 0, 0) == 0) {
        t->tabs[t->cur.col] = false;
    } else if (arg(t, 0, 0) == 3) {
        memset(t->tabs, 0, t->cols * sizeof(*t->tabs));
    }
}

/* move_rows - CUU and CUD stop at a margin that they start inside of. */
static void move_rows(Terminal *t, int by, bool first_column)
{
    int row = (int)t->cur.row, to = row + by;

    if (by < 0 && row >= (int)t->top) {
        to = MAX(to, (int)t->top);
    } else if (by > 0 && row <= (int)t->bottom) {
        to = MIN(to, (int)t->bottom);
    }
    term_move(t, to, first_column ? 0 : (int)t->cur.col);
}

/* edit_lines - IL and DL, which work inside the region only. */
static void edit_lines(Terminal *t, int n)
{
    if (t->cur.row >= t->top && t->cur.row <= t->bottom) {
        term_scroll_lines(t, t->cur.row, t->bottom, n);
        term_move(t, (int)t->cur.row, 0);
    }
}

static void csi_cursor(Terminal *t, uint8_t final, int n)
{
    int row = (int)t->cur.row, col = (int)t->cur.col, top = t->cur.origin ? (int)t->top : 0;

    switch (final) {
    case 'A':
    case 'F':
        move_rows(t, -n, final == 'F');
        break;
    case 'B':
    case 'e':
    case 'E':
        move_rows(t, n, final == 'E');
        break;
    case 'C':
    case 'a':
        term_move(t, row, col + n);
        break;
    case 'D':
        term_move(t, row, col - n);
        break;
    case 'G':
    case '`':
        term_move(t, row, n - 1);
        break;
    case 'd':
        term_move(t, top + n - 1, col);
        break;
    case 'H':
    case 'f':
        term_move(t, top + n - 1, arg(t, 1, 1) - 1);
        break;
    case 'I':
        term_tab(t, MIN(n, (int)t->cols));
        break;
    default: /* 'Z' */
        term_tab(t, -MIN(n, (int)t->cols));
        break;
    }
}

static void csi_edit(Terminal *t, uint8_t final, int n)
{
    switch (final) {
    case '@':
        term_shift_cells(t, n);
        break;
    case 'P':
        term_shift_cells(t, -n);
        break;
    case 'L':
        edit_lines(t, -n);
        break;
    case 'M':
        edit_lines(t, n);
        break;
    case 'S':
        term_scroll_lines(t, t->top, t->bottom, n);
        break;
    case 'T':
        term_scroll_lines(t, t->top, t->bottom, -n);
        break;
    case 'X':
        term_erase(t, t->cur.row, t->cur.col, t->cur.col + (unsigned)n);
        break;
    default: /* 'b' */
        for (n = MIN(n, (int)(t->cols * t->rows)); n > 0 && t->last != 0; n--) {
            term_put(t, t->last);
        }
        break;
    }
}

static void csi_other(Terminal *t, uint8_t final)
{
    switch (final) {
    case 'J':
        erase_display(t, (unsigned)arg(t, 0, 0));
        break;
    case 'K':
        erase_line(t, (unsigned)arg(t, 0, 0));
        break;
    case 'c':
        answer(t, t->prefix == 0 ? "\33[?6c" : t->prefix == '>' ? "\33[>0;0;0c" : ""); /* a VT102 */
        break;
    case 'g':
        clear_tabs(t);
        break;
    case 'm':
        sgr(t);
        break;
    case 'n':
        status_report(t);
        break;
    case 'r':
        set_region(t);
        break;
    case 's':
        term_save(t);
        break;
    case 'u':
        term_restore(t);
        break;
    default:
        break;
    }
}

static void csi(Terminal *t, uint8_t final)
{
    if (final == 'h' || final == 'l') {
        set_modes(t, final == 'h');
    } else if (t->prefix != 0 && final != 'c' && final != 'J' && final != 'K') {
        return;
    } else if (strchr("ABCDEFGHIZ`adef", final) != NULL) {
        csi_cursor(t, final, arg(t, 0, 1));
    } else if (strchr("@PLMSTXb", final) != NULL) {
        csi_edit(t, final, arg(t, 0, 1));
    } else {
        csi_other(t, final);
    }
}

static void csi_byte(Terminal *t, uint8_t b)
{
    if (b >= '0' && b <= '9') {
        unsigned *p = &t->params[t->param_count - (t->param_count > 0)];

        t->param_count += t->param_count == 0;
        *p = MIN(*p * 10 + (b - '0'), (unsigned)PARAM_LIMIT);
    } else if (b == ';' || b == ':') {
        t->param_count += t->param_count == 0;
        if (t->param_count == PARAMS_MAX) {
            t->state = TS_CSI_SKIP;
        } else {
            t->params[t->param_count++] = 0;
        }
    } else if (b >= '<' && b <= '?') {
        t->prefix = (char)b;
    } else if (b < 0x40) {
        t->state = TS_CSI_SKIP; /* with intermediate bytes there is none that we know */
    } else {
        t->state = TS_GROUND;
        csi(t, b);
    }
}

/* ---- ESC ---- */

static void esc(Terminal *t, uint8_t b)
{
    t->state = TS_GROUND;
    switch (b) {
    case '[':
        t->state = TS_CSI;
        memset(t->params, 0, sizeof(t->params));
        t->param_count = 0;
        t->prefix = 0;
        break;
    case ']': /* OSC, DCS, SOS, PM, APC */
    case 'P':
    case 'X':
    case '^':
    case '_':
        t->state = TS_STRING;
        break;
    case '(':
    case ')':
        t->state = TS_CHARSET;
        t->designate = b == ')';
        break;
    case '#':
        t->state = TS_HASH;
        break;
    case ' ':
    case '%':
    case '*':
    case '+':
        t->state = TS_ESC_SKIP;
        break;
    case '7':
        term_save(t);
        break;
    case '8':
        term_restore(t);
        break;
    case 'D':
        term_index(t, false);
        break;
    case 'E':
        t->cur.col = 0;
        term_index(t, false);
        break;
    case 'H':
        t->tabs[t->cur.col] = true;
        break;
    case 'M':
        term_index(t, true);
        break;
    case 'Z':
        answer(t, "\33[?6c");
        break;
    case 'c':
        term_reset(t);
        break;
    default:
        break;
    }
}

/* DECALN: a page full of E. */
static void fill(Terminal *t)
{
    for (unsigned row = 0; row < t->rows; row++) {
        t->cur.wrap_next = false;
        t->cur.row = row;
        for (t->cur.col = 0; t->cur.col < t->cols - 1;) {
            term_put(t, 'E');
        }
        term_put(t, 'E');
    }
    t->cur.wrap_next = false;
    term_move(t, 0, 0);
}

/* ---- bytes ---- */

/* ground - UTF-8 (RFC 3629): what is none is shown as a replacement character. */
static void ground(Terminal *t, uint8_t b)
{
    if (t->utf8_left > 0 && (b & 0xc0) == 0x80) {
        t->utf8 = t->utf8 << 6 | (b & 0x3f);
        if (--t->utf8_left == 0) {
            bool bad = t->utf8 < t->utf8_min || t->utf8 > 0x10ffff || (t->utf8 >> 11) == 0x1b ||
                       t->utf8 < 0xa0; /* C1 is not for printing */

            print(t, bad ? REPLACEMENT : t->utf8);
        }
        return;
    }
    if (t->utf8_left > 0) {
        t->utf8_left = 0;
        print(t, REPLACEMENT);
    }
    if (b < 0x80) {
        print(t, b);
        return;
    }
    t->utf8_left = b >= 0xf0 && b < 0xf5 ? 3 : b >= 0xe0 && b < 0xf0 ? 2 : b >= 0xc2 && b < 0xe0 ? 1 : 0;
    if (t->utf8_left == 0) {
        print(t, REPLACEMENT);
        return;
    }
    t->utf8 = b & (0x3fu >> t->utf8_left);
    t->utf8_min = t->utf8_left == 1 ? 0x80 : t->utf8_left == 2 ? 0x800 : 0x10000;
}

static void byte(Terminal *t, uint8_t b)
{
    if (t->state == TS_STRING || t->state == TS_STRING_ESC) {
        bool end = b == 7 || b == 0x18 || b == 0x1a || (t->state == TS_STRING_ESC && b == '\\');

        t->state = end ? TS_GROUND : b == 0x1b ? TS_STRING_ESC : TS_STRING;
        return;
    }
    if (b == 0x1b || b == 0x18 || b == 0x1a) { /* ESC starts anew, CAN and SUB give up */
        t->utf8_left = 0;
        t->state = b == 0x1b ? TS_ESC : TS_GROUND;
        return;
    }
    if (b < 0x20) {
        control(t, b);
        return;
    }
    if (b == 0x7f) {
        return;
    }
    switch (t->state) {
    case TS_ESC:
        esc(t, b);
        break;
    case TS_CHARSET:
        t->cur.graphics[t->designate] = b == '0';
        t->state = TS_GROUND;
        break;
    case TS_HASH:
        t->state = TS_GROUND;
        if (b == '8') {
            fill(t);
        }
        break;
    case TS_ESC_SKIP:
        t->state = TS_GROUND;
        break;
    case TS_CSI:
        csi_byte(t, b);
        break;
    case TS_CSI_SKIP:
        t->state = b >= 0x40 ? TS_GROUND : TS_CSI_SKIP;
        break;
    default:
        ground(t, b);
        break;
    }
}

void terminal_write(Terminal *t, const uint8_t *buf, size_t len)
{
    for (size_t n = 0; n < len; n++) {
        byte(t, buf[n]);
    }
}
