/*
 * Between the terminal's grid (terminal.c) and what reads the bytes (terminal-parse.c).
 */
#ifndef UI_TERMINAL_INTERNAL_H
#define UI_TERMINAL_INTERNAL_H

#include "ui/terminal.h"

enum { PARAMS_MAX = 16, PARAM_LIMIT = 32767 };

typedef enum TermState {
    TS_GROUND,
    TS_ESC,
    TS_ESC_SKIP, /* one byte more, without effect */
    TS_CHARSET,  /* the byte that names the set; `designate` is which of G0 and G1 */
    TS_HASH,     /* ESC # */
    TS_CSI,
    TS_CSI_SKIP, /* nonsense up to the final byte */
    TS_STRING,   /* OSC, DCS, ...: up to BEL or ST */
    TS_STRING_ESC,
} TermState;

typedef struct TermCursor {
    unsigned row, col;
    TermCell pen; /* colours and flags of what is written */
    bool graphics[2]; /* G0, G1 are the DEC Special Graphics */
    bool shifted;     /* SO: G1 is in use */
    bool origin;      /* DECOM */
    bool wrap_next;   /* the last column was written: the next character starts a line */
} TermCursor;

struct Terminal {
    unsigned cols, rows;
    void (*answer)(void *opaque, const char *text, size_t len);
    void *opaque;

    TermCell *lines;  /* a ring of `line_count` lines: scroll-back, then the rows */
    unsigned line_count;
    unsigned base;    /* the ring's line that is row 0 */
    unsigned history; /* lines before it, at most TERMINAL_SCROLL_BACK */
    unsigned back;    /* how far the view is scrolled back, at most `history` */
    TermCell *other;  /* what the alternate screen covers, NULL: it is not shown */
    bool *dirty;      /* a row each */
    bool changed;

    TermCursor cur, saved;
    unsigned top, bottom; /* the scroll region, both inclusive */
    bool insert, newline, autowrap, cursor_on, app_cursor;
    bool *tabs; /* a column each */
    uint32_t last; /* character for REP */

    TermState state;
    unsigned params[PARAMS_MAX], param_count;
    char prefix; /* '?', '>', ...; 0: none */
    bool designate;
    uint32_t utf8;
    bool bell; /* it rang, and nobody took it */
    unsigned utf8_left;
    uint32_t utf8_min;
};

/* terminal.c: what the parser does to the grid. Rows and columns count from 0. */
void term_reset(Terminal *t);
void term_put(Terminal *t, uint32_t ch);
void term_move(Terminal *t, int row, int col); /* clipped; rows by DECOM */
void term_index(Terminal *t, bool up);         /* down or up a line, scrolling at the margins */
void term_scroll_lines(Terminal *t, unsigned top, unsigned bottom, int n); /* n > 0: text goes up */
void term_erase(Terminal *t, unsigned row, unsigned from, unsigned to);    /* [from, to) */
void term_shift_cells(Terminal *t, int n); /* n > 0: insert blanks, < 0: delete characters */
void term_tab(Terminal *t, int n);
void term_alternate(Terminal *t, bool on);
void term_save(Terminal *t);
void term_restore(Terminal *t);

#endif
