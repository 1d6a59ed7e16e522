/*
 * A text terminal: bytes go in, a grid of characters comes out. UTF-8; the control functions of
 * ECMA-48 that terminfo's "linux" and "xterm" use, as a DEC VT100 and VT220 carry them out.
 *
 * Knows nothing of pixels, screens and locks: whoever has one keeps it to himself.
 */
#ifndef UI_TERMINAL_H
#define UI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TERMINAL_SIDE_MAX = 1000, TERMINAL_SCROLL_BACK = 10000 };
enum { TERMINAL_DEFAULT = 256 }; /* a colour that no SGR has set */

enum { CELL_BOLD = 1, CELL_UNDERLINE = 2, CELL_REVERSE = 4, CELL_HIDDEN = 8, CELL_SECOND = 16 };

typedef struct TermCell {
    uint32_t ch; /* Unicode; 0: never written, a blank */
    unsigned fg : 9, bg : 9; /* of the 256 of xterm, or TERMINAL_DEFAULT */
    unsigned flags : 8;      /* CELL_SECOND: the right half of the character before it */
} TermCell;

typedef struct Terminal Terminal;

/* terminal_new - an empty one. NULL: no memory, or a side that is 0 or above TERMINAL_SIDE_MAX. @answer gets
 * what it is asked for (reports of its kind and the cursor's place), inside terminal_write(). */
Terminal *terminal_new(unsigned cols, unsigned rows,
                       void (*answer)(void *opaque, const char *text, size_t len), void *opaque);
void terminal_free(Terminal *t); /* NULL is fine */

void terminal_write(Terminal *t, const uint8_t *buf, size_t len);

unsigned terminal_cols(const Terminal *t);
unsigned terminal_rows(const Terminal *t);

/* terminal_row - a row as it is seen now, scrolled back or not; terminal_cols() cells. */
const TermCell *terminal_row(const Terminal *t, unsigned row);
/* terminal_take_dirty - has what is seen of @row changed since the last call for it? The cursor counts. */
bool terminal_take_dirty(Terminal *t, unsigned row);
/* terminal_changed - is any row dirty? */
bool terminal_changed(const Terminal *t);
/* terminal_take_bell - has the bell rung since the last call? */
bool terminal_take_bell(Terminal *t);
/* terminal_cursor - where it is seen; false: nowhere. */
bool terminal_cursor(const Terminal *t, unsigned *row, unsigned *col);

/* terminal_scroll - look @lines further back (negative: forth); within what there is. */
void terminal_scroll(Terminal *t, int lines);
/* terminal_app_cursor - arrow keys shall send ESC O instead of ESC [ (DECCKM). */
bool terminal_app_cursor(const Terminal *t);

/* terminal_text - what is seen as UTF-8, a line for each row, without blanks at line ends. Freed by the caller. */
char *terminal_text(const Terminal *t);

/* utf8_put - @ch to @out, at most 4 bytes; how many. */
unsigned utf8_put(uint32_t ch, char out[4]);

#endif
