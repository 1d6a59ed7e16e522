/*
 * A line that a person types: keys of emacs and readline, history. Pure text: bytes of a terminal go in,
 * bytes for it come out.
 *
 * Whoever sends just characters and line ends gets back just these: programs read the monitor too.
 */
#ifndef MONITOR_LINE_EDIT_H
#define MONITOR_LINE_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_MAX_CHARS = 1024, LINE_HISTORY = 100 };

typedef enum LineResult {
    LINE_MORE,
    LINE_DONE,     /* `text` is it, and the terminal is at the start of the next */
    LINE_COMPLETE, /* Tab: see line_complete() */
    LINE_ABANDON,  /* Ctrl-C: as LINE_DONE, but nothing is to be done with it */
} LineResult;

typedef struct LineEdit {
    char text[LINE_MAX_CHARS + 1]; /* UTF-8, ends with NUL */
    size_t len, at;                /* bytes; the cursor */
    char killed[LINE_MAX_CHARS + 1];
    char *history[LINE_HISTORY]; /* the oldest first */
    unsigned history_count, history_at; /* history_at == history_count: the line that is new */
    char *fresh;       /* that line while an old one is looked at */
    unsigned escape;   /* inside an escape sequence: 1 after ESC, 2 after ESC [ or ESC O */
    unsigned escape_arg;
    const char *prompt;
    bool hidden; /* a password: not shown, not kept in the history */
    void (*put)(void *opaque, const char *text, size_t len);
    void *opaque;
} LineEdit;

void line_init(LineEdit *e, const char *prompt, void (*put)(void *opaque, const char *text, size_t len),
               void *opaque);
void line_fini(LineEdit *e);

/* line_byte - the next byte of the terminal; line ends are '\r' or '\n'. */
LineResult line_byte(LineEdit *e, uint8_t b);
/* line_start - an empty line; shows the prompt. What was done goes into the history. */
void line_start(LineEdit *e);
/* line_redraw - prompt and line again, after something else was printed. */
void line_redraw(LineEdit *e);
/* line_remember - as if @text had been typed once. */
void line_remember(LineEdit *e, const char *text);
/* line_insert - as if typed. */
void line_insert(LineEdit *e, const char *text);

#endif
