/*
 * The terminal's grid: see terminal.h. Lines are a ring, so that scrolling copies nothing; what leaves at
 * the top is the scroll-back.
 */
#include "ui/terminal-internal.h"

#include <stdlib.h>
#include "base/mem.h"

enum { TAB = 8 };

Terminal *terminal_new(unsigned cols, unsigned rows,
                       void (*answer)(void *opaque, const char *text, size_t len), void *opaque)
{
    Terminal *t;

    if (cols == 0 || rows == 0 || cols > TERMINAL_SIDE_MAX || rows > TERMINAL_SIDE_MAX) {
        return NULL;
    }
    t = xnew(Terminal);
    t->cols = cols;
    t->rows = rows;
    t->answer = answer;
    t->opaque = opaque;
    t->line_count = rows + TERMINAL_SCROLL_BACK;
    t->lines = try_newn(TermCell, (size_t)t->line_count * cols);
    t->dirty = xnewn(bool, rows);
    t->tabs = xnewn(bool, cols);
    if (t->lines == NULL) {
        terminal_free(t);
        return NULL;
    }
    term_reset(t);
    return t;
}

void terminal_free(Terminal *t)
{
    if (t != NULL) {
        free(t->lines);
        free(t->other);
        free(t->dirty);
        free(t->tabs);
        free(t);
    }
}

unsigned terminal_cols(const Terminal *t)
{
    return t->cols;
}

unsigned terminal_rows(const Terminal *t)
{
    return t->rows;
}

/* ---- lines ---- */

static TermCell *ring_line(const Terminal *t, unsigned n)
{
    return t->lines + (size_t)(n % t->line_count) * t->cols;
}

static TermCell *line(const Terminal *t, unsigned row)
{
    return ring_line(t, t->base + row);
}

static TermCell blank(const Terminal *t)
{
    return (TermCell){ .fg = t->cur.pen.fg, .bg = t->cur.pen.bg }; /* erasing keeps the background */
}

/* touch - @row of the page looks different; all the view when it is scrolled back. */
static void touch(Terminal *t, unsigned row)
{
    t->changed = true;
    if (row + t->back < t->rows) {
        t->dirty[row + t->back] = true;
    }
}

static void touch_all(Terminal *t)
{
    t->changed = true;
    for (unsigned row = 0; row < t->rows; row++) {
        t->dirty[row] = true;
    }
}

void term_erase(Terminal *t, unsigned row, unsigned from, unsigned to)
{
    TermCell *l = line(t, row);

    for (unsigned col = from; col < to && col < t->cols; col++) {
        l[col] = blank(t);
    }
    touch(t, row);
}

/* scroll_page - the whole page goes up a line, into the scroll-back. A view that is scrolled back stays. */
static void scroll_page(Terminal *t)
{
    t->base = (t->base + 1) % t->line_count;
    t->history = MIN(t->history + 1, (unsigned)TERMINAL_SCROLL_BACK);
    t->back = t->back > 0 ? MIN(t->back + 1, t->history) : 0;
    term_erase(t, t->rows - 1, 0, t->cols);
}

void term_scroll_lines(Terminal *t, unsigned top, unsigned bottom, int n)
{
    unsigned height = bottom - top + 1, by = MIN((unsigned)abs(n), height);
    size_t size = t->cols * sizeof(TermCell);

    if (n > 0 && top == 0 && bottom == t->rows - 1 && t->other == NULL) {
        for (unsigned k = 0; k < by; k++) {
            scroll_page(t);
        }
        touch_all(t);
        return;
    }
    for (unsigned k = 0; k < height - by; k++) {
        unsigned to = n > 0 ? top + k : bottom - k;

        memcpy(line(t, to), line(t, n > 0 ? to + by : to - by), size);
    }
    for (unsigned k = 0; k < by; k++) {
        term_erase(t, n > 0 ? bottom - k : top + k, 0, t->cols);
    }
    touch_all(t);
}

void term_index(Terminal *t, bool up)
{
    unsigned edge = up ? t->top : t->bottom, *row = &t->cur.row;

    t->cur.wrap_next = false;
    if (*row == edge) {
        term_scroll_lines(t, t->top, t->bottom, up ? -1 : 1);
    } else if (up && *row > 0) {
        touch(t, (*row)--);
    } else if (!up && *row < t->rows - 1) {
        touch(t, (*row)++);
    }
    touch(t, *row);
}

void term_move(Terminal *t, int row, int col)
{
    int first = t->cur.origin ? (int)t->top : 0, end = t->cur.origin ? (int)t->bottom : (int)t->rows - 1;

    touch(t, t->cur.row);
    t->cur.row = (unsigned)MAX(first, MIN(end, row));
    t->cur.col = (unsigned)MAX(0, MIN((int)t->cols - 1, col));
    t->cur.wrap_next = false;
    touch(t, t->cur.row);
}

void term_shift_cells(Terminal *t, int n)
{
    TermCell *l = line(t, t->cur.row);
    unsigned col = t->cur.col, by = MIN((unsigned)abs(n), t->cols - col);
    size_t keep = (t->cols - col - by) * sizeof(TermCell);

    t->cur.wrap_next = false;
    if (n > 0) {
        memmove(l + col + by, l + col, keep);
        term_erase(t, t->cur.row, col, col + by);
    } else {
        memmove(l + col, l + col + by, keep);
        term_erase(t, t->cur.row, t->cols - by, t->cols);
    }
}

void term_tab(Terminal *t, int n)
{
    unsigned *col = &t->cur.col;

    t->cur.wrap_next = false;
    for (; n > 0 && *col < t->cols - 1; n--) {
        do {
            ++*col;
        } while (*col < t->cols - 1 && !t->tabs[*col]);
    }
    for (; n < 0 && *col > 0; n++) {
        do {
            --*col;
        } while (*col > 0 && !t->tabs[*col]);
    }
    touch(t, t->cur.row);
}

/* ---- characters ---- */

/* Columns of a character: those of East Asian Width W and F (UAX 11) and of pictographs are two. */
static unsigned width_of(uint32_t ch)
{
    static const struct {
        uint32_t lo, hi;
        unsigned width;
    } ranges[] = {
        { 0x0300, 0x036f, 0 },   { 0x1100, 0x115f, 2 },   { 0x200b, 0x200f, 0 },
        { 0x202a, 0x202e, 0 },   { 0x20d0, 0x20ff, 0 },   { 0x2e80, 0x303e, 2 },
        { 0x3041, 0xa4cf, 2 },   { 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 },
        { 0xfe00, 0xfe0f, 0 },   { 0xfe30, 0xfe6f, 2 },   { 0xfeff, 0xfeff, 0 },
        { 0xff00, 0xff60, 2 },   { 0xffe0, 0xffe6, 2 },   { 0x1f300, 0x1f64f, 2 },
        { 0x1f900, 0x1f9ff, 2 }, { 0x20000, 0x3fffd, 2 },
    };

    for (size_t n = 0; ch >= 0x300 && n < ARRAY_SIZE(ranges) && ch >= ranges[n].lo; n++) {
        if (ch <= ranges[n].hi) {
            return ranges[n].width;
        }
    }
    return 1;
}

void term_put(Terminal *t, uint32_t ch)
{
    unsigned width = MIN(width_of(ch), t->cols);
    TermCursor *c = &t->cur;
    TermCell *l;

    if (width == 0) {
        return; /* marks that join the character before are not drawn */
    }
    if (c->wrap_next || (t->autowrap && c->col + width > t->cols)) {
        touch(t, c->row);
        c->col = 0;
        term_index(t, false);
    }
    c->col = MIN(c->col, t->cols - width);
    if (t->insert) {
        term_shift_cells(t, (int)width);
    }
    l = line(t, c->row);
    if (c->col > 0 && (l[c->col].flags & CELL_SECOND)) { /* no half of a wide one stays */
        l[c->col - 1].ch = 0;
    }
    if (c->col + width < t->cols) {
        l[c->col + width].flags &= ~CELL_SECOND & 0xffu;
    }
    for (unsigned k = 0; k < width; k++) {
        l[c->col + k] = c->pen;
        l[c->col + k].ch = k == 0 ? ch : 0;
        l[c->col + k].flags |= k == 0 ? 0 : CELL_SECOND;
    }
    t->last = ch;
    c->wrap_next = t->autowrap && c->col + width == t->cols;
    c->col = MIN(c->col + width, t->cols - 1);
    touch(t, c->row);
}

/* ---- modes ---- */

void term_save(Terminal *t)
{
    t->saved = t->cur;
}

void term_restore(Terminal *t)
{
    touch(t, t->cur.row);
    t->cur = t->saved;
    touch(t, t->cur.row);
}

/* The alternate screen has no scroll-back; what it covers is put aside and comes back. */
void term_alternate(Terminal *t, bool on)
{
    size_t size = t->cols * sizeof(TermCell);

    if (on == (t->other != NULL)) {
        return;
    }
    if (on) {
        t->other = try_newn(TermCell, (size_t)t->cols * t->rows);
    }
    for (unsigned row = 0; t->other != NULL && row < t->rows; row++) {
        if (on) {
            memcpy(t->other + (size_t)row * t->cols, line(t, row), size);
            term_erase(t, row, 0, t->cols);
        } else {
            memcpy(line(t, row), t->other + (size_t)row * t->cols, size);
        }
    }
    if (!on) {
        free(t->other);
        t->other = NULL;
    }
    t->back = 0;
    touch_all(t);
}

void term_reset(Terminal *t)
{
    term_alternate(t, false);
    t->cur = (TermCursor){ .pen = { .fg = TERMINAL_DEFAULT, .bg = TERMINAL_DEFAULT } };
    t->saved = t->cur;
    t->top = 0;
    t->bottom = t->rows - 1;
    t->insert = t->newline = t->app_cursor = false;
    t->autowrap = t->cursor_on = true;
    t->last = 0;
    for (unsigned col = 0; col < t->cols; col++) {
        t->tabs[col] = col % TAB == 0;
    }
    for (unsigned row = 0; row < t->rows; row++) {
        term_erase(t, row, 0, t->cols);
    }
    t->back = 0;
    touch_all(t);
}

/* ---- the view ---- */

const TermCell *terminal_row(const Terminal *t, unsigned row)
{
    return ring_line(t, t->base + t->line_count - t->back + row);
}

bool terminal_take_dirty(Terminal *t, unsigned row)
{
    bool was = t->dirty[row];

    t->dirty[row] = false;
    if (row == t->rows - 1) {
        t->changed = false;
    }
    return was;
}

bool terminal_changed(const Terminal *t)
{
    return t->changed;
}

bool terminal_take_bell(Terminal *t)
{
    bool rang = t->bell;

    t->bell = false;
    return rang;
}

bool terminal_cursor(const Terminal *t, unsigned *row, unsigned *col)
{
    *row = t->cur.row + t->back;
    *col = t->cur.col;
    return t->cursor_on && *row < t->rows;
}

void terminal_scroll(Terminal *t, int lines)
{
    int most = t->other != NULL ? 0 : (int)t->history;
    unsigned back = (unsigned)MAX(0, MIN(most, (int)t->back + lines));

    if (back != t->back) {
        t->back = back;
        touch_all(t);
    }
}

bool terminal_app_cursor(const Terminal *t)
{
    return t->app_cursor;
}

unsigned utf8_put(uint32_t ch, char out[4])
{
    unsigned more = ch < 0x80 ? 0 : ch < 0x800 ? 1 : ch < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = { 0, 0xc0, 0xe0, 0xf0 };

    out[0] = (char)(lead[more] | ch >> 6 * more);
    for (unsigned n = 1; n <= more; n++) {
        out[n] = (char)(0x80 | (ch >> 6 * (more - n) & 0x3f));
    }
    return more + 1;
}

char *terminal_text(const Terminal *t)
{
    char *text = xnewn(char, ((size_t)t->cols * 4 + 1) * t->rows + 1), *p = text;

    for (unsigned row = 0; row < t->rows; row++) {
        const TermCell *l = terminal_row(t, row);
        char *end = p;

        for (unsigned col = 0; col < t->cols; col++) {
            if (l[col].flags & CELL_SECOND) {
                continue;
            }
            p += utf8_put(l[col].ch != 0 ? l[col].ch : ' ', p);
            end = p[-1] != ' ' ? p : end;
        }
        p = end;
        *p++ = '\n';
    }
    *p = '\0';
    return text;
}
