/*
 * Text consoles: the back end "vc" of character devices, a terminal (terminal.h) drawn on a screen of its
 * own. Keys typed while a viewer looks at that screen come here (view.h).
 *
 * The terminal and what was typed are under the character device's lock. Drawing is done when the
 * screen is refreshed, so what comes in a flood is drawn some sixty times a second and no more. The
 * cursor does not blink: a console that nobody writes to costs nothing.
 */
#include "ui/console.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "chardev/backends.h"
#include "chardev/registry.h"
#include "hw/display/screen.h"
#include "ui/keymap.h"
#include "ui/terminal.h"

enum { COLS = 80, ROWS = 24 };
enum { FOREGROUND = 7, BACKGROUND = 0 };

typedef struct Console {
    Chardev *chr;
    Screen *screen; /* machine lock */
    Terminal *term; /* lock, as the next */
    Inbox typed; /* what does not fit is lost, as on a keyboard whose buffer is full */
} Console;

/* ---- drawing ---- */

/* The first 16 as a VGA has them, then xterm's cube of 6 by 6 by 6 and its 24 greys. */
static uint32_t rgb(unsigned colour)
{
    static const uint32_t base[16] = {
        0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa,
        0x555555, 0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff,
    };
    static const uint8_t level[6] = { 0x00, 0x5f, 0x87, 0xaf, 0xd7, 0xff };

    if (colour < 16) {
        return base[colour];
    }
    if (colour >= 232) {
        return 0x010101u * (8 + 10 * (MIN(colour, 255u) - 232));
    }
    colour -= 16;
    return (uint32_t)level[colour / 36] << 16 | (uint32_t)level[colour / 6 % 6] << 8 | level[colour % 6];
}

static void draw_cell(Surface *s, unsigned row, unsigned col, const TermCell *cell, bool cursor)
{
    const uint8_t *glyph = glyph_find(cell->ch != 0 ? cell->ch : ' ');
    unsigned fg = cell->fg == TERMINAL_DEFAULT ? FOREGROUND : cell->fg;
    unsigned bg = cell->bg == TERMINAL_DEFAULT ? BACKGROUND : cell->bg;
    bool swap = ((cell->flags & CELL_REVERSE) != 0) != cursor;
    uint32_t *p = s->pixels + (size_t)row * GLYPH_HEIGHT * s->stride + (size_t)col * GLYPH_WIDTH;
    uint32_t ink, paper;

    if ((cell->flags & CELL_BOLD) && fg < 8) {
        fg += 8;
    }
    ink = rgb(swap ? bg : fg);
    paper = rgb(swap ? fg : bg);
    if (cell->flags & CELL_HIDDEN) {
        ink = paper;
    }
    for (unsigned y = 0; y < GLYPH_HEIGHT; y++, p += s->stride) {
        unsigned bits = glyph[y];

        if (y == GLYPH_HEIGHT - 2 && (cell->flags & CELL_UNDERLINE)) {
            bits = 0xff;
        }
        for (unsigned x = 0; x < GLYPH_WIDTH; x++) {
            p[x] = bits & (0x80u >> x) ? ink : paper;
        }
    }
}

/* draw - the rows that changed; *first and *end are the range of them. Lock held. */
static void draw(Console *c, Surface *s, unsigned *first, unsigned *end)
{
    unsigned rows = terminal_rows(c->term), cols = terminal_cols(c->term), crow, ccol;
    bool cursor = terminal_cursor(c->term, &crow, &ccol);

    surface_lock(s);
    for (unsigned row = 0; row < rows; row++) {
        const TermCell *cells = terminal_row(c->term, row);

        if (!terminal_take_dirty(c->term, row)) {
            continue;
        }
        for (unsigned col = 0; col < cols; col++) {
            draw_cell(s, row, col, &cells[col], cursor && row == crow && col == ccol);
        }
        *first = MIN(*first, row);
        *end = row + 1;
    }
    surface_unlock(s);
}

static void console_refresh(void *opaque)
{
    Console *c = opaque;
    Surface *s = screen_surface(c->screen);
    unsigned first = TERMINAL_SIDE_MAX, end = 0;
    bool bell;

    pthread_mutex_lock(&c->chr->lock);
    if (terminal_changed(c->term)) {
        draw(c, s, &first, &end);
    }
    bell = terminal_take_bell(c->term);
    pthread_mutex_unlock(&c->chr->lock);
    if (first < end) {
        screen_damage(c->screen, 0, first * GLYPH_HEIGHT, s->width, (end - first) * GLYPH_HEIGHT);
    }
    if (bell) {
        screen_bell(c->screen);
    }
}

static char *console_text(void *opaque)
{
    Console *c = opaque;
    char *text;

    pthread_mutex_lock(&c->chr->lock);
    text = terminal_text(c->term);
    pthread_mutex_unlock(&c->chr->lock);
    return text;
}

/* ---- keys ---- */

static void push(Chardev *chr)
{
    Console *c = chr->priv;

    inbox_push(chr, &c->typed);
}

static void on_answer(void *opaque, const char *text, size_t len)
{
    Console *c = opaque;

    inbox_put(&c->typed, text, len);
    chardev_kick_locked(c->chr);
}

/* key_text - what a key sends, as terminfo's "linux" and "xterm" agree; its length. */
static size_t key_text(uint32_t keysym, unsigned mods, bool app_cursor, char out[16])
{
    static const struct {
        uint16_t keysym;
        const char *text;
    } keys[] = {
        { 0xff08, "\177" },     { 0xff09, "\t" },       { 0xfe20, "\33[Z" },    { 0xff0d, "\r" },
        { 0xff8d, "\r" },       { 0xff1b, "\33" },      { 0xff50, "\33[1~" },   { 0xff63, "\33[2~" },
        { 0xffff, "\33[3~" },   { 0xff57, "\33[4~" },   { 0xff55, "\33[5~" },   { 0xff56, "\33[6~" },
        { 0xff95, "\33[1~" },   { 0xff9e, "\33[2~" },   { 0xff9f, "\33[3~" },   { 0xff9c, "\33[4~" },
        { 0xff9a, "\33[5~" },   { 0xff9b, "\33[6~" },   { 0xffbe, "\33[[A" },   { 0xffbf, "\33[[B" },
        { 0xffc0, "\33[[C" },   { 0xffc1, "\33[[D" },   { 0xffc2, "\33[[E" },   { 0xffc3, "\33[17~" },
        { 0xffc4, "\33[18~" },  { 0xffc5, "\33[19~" },  { 0xffc6, "\33[20~" },  { 0xffc7, "\33[21~" },
        { 0xffc8, "\33[23~" },  { 0xffc9, "\33[24~" },
    };
    uint32_t arrow = keysym >= 0xff96 && keysym <= 0xff99 ? keysym - 0xff96 : keysym - 0xff51;
    size_t n = 0;
    uint32_t ch;

    if (arrow < 4) {
        return (size_t)snprintf(out, 16, "\33%c%c", app_cursor ? 'O' : '[', "DACB"[arrow]);
    }
    if (mods & SCREEN_ALT) {
        out[n++] = '\33';
    }
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        if (keys[k].keysym == keysym) {
            strcpy(out + n, keys[k].text);
            return n + strlen(keys[k].text);
        }
    }
    ch = keysym >= 0xffaa && keysym <= 0xffb9 ? keysym & 0x7f : keysym_unicode(keysym); /* keypad */
    if (ch == 0) {
        return 0;
    }
    if ((mods & SCREEN_CTRL) && (ch == ' ' || (ch >= '@' && ch <= 0x7e))) {
        ch &= 0x1f;
    }
    return n + utf8_put(ch, out + n);
}

/* scroll_by - how far a key scrolls; 0: it is for the line. */
static int scroll_by(const Console *c, uint32_t keysym)
{
    int page = (int)terminal_rows(c->term) - 1;

    switch (keysym) {
    case 0xff52:
    case 0xff97:
        return 1;
    case 0xff54:
    case 0xff99:
        return -1;
    case 0xff55:
    case 0xff9a:
        return page;
    case 0xff56:
    case 0xff9b:
        return -page;
    default:
        return 0;
    }
}

static void console_key(void *opaque, uint32_t keysym, unsigned mods)
{
    Console *c = opaque;
    char text[16];
    int lines = mods & SCREEN_CTRL ? scroll_by(c, keysym) : 0;
    size_t len;

    pthread_mutex_lock(&c->chr->lock);
    if (lines != 0) {
        terminal_scroll(c->term, lines);
    } else {
        len = key_text(keysym, mods, terminal_app_cursor(c->term), text);
        inbox_put(&c->typed, text, len);
        if (len > 0) {
            terminal_scroll(c->term, -TERMINAL_SCROLL_BACK); /* where it will show */
        }
    }
    pthread_mutex_unlock(&c->chr->lock);
    push(c->chr);
}

static const ScreenOps console_ops = { console_refresh, console_text, console_key };

/* ---- the back end ---- */

static size_t vc_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    Console *c = chr->priv;

    terminal_write(c->term, buf, len);
    return len;
}

/* side - cells of one side: from pixels, from characters, or @def. */
static unsigned side(OptList *l, const char *pixels, const char *chars, unsigned glyph, unsigned def)
{
    uint64_t px = opt_get_u64(l, pixels, SURFACE_MAX, 0);
    uint64_t n = opt_get_u64(l, chars, TERMINAL_SIDE_MAX, px > 0 ? px / glyph : def);

    if (n == 0 || n > TERMINAL_SIDE_MAX) {
        opt_bad(l, "%s and %s: a vc has 1 to %d characters each way", pixels, chars, TERMINAL_SIDE_MAX);
        n = def;
    }
    return (unsigned)n;
}

static bool vc_open(Chardev *chr, OptList *l, Error **errp)
{
    unsigned cols = side(l, "width", "cols", GLYPH_WIDTH, COLS);
    unsigned rows = side(l, "height", "rows", GLYPH_HEIGHT, ROWS);
    Surface *s = surface_new(cols * GLYPH_WIDTH, rows * GLYPH_HEIGHT);
    Console *c = xnew(Console);

    c->chr = chr;
    c->term = terminal_new(cols, rows, on_answer, c);
    if (c->term == NULL || s == NULL) {
        error_set(errp, "vc: no memory for %u by %u characters", cols, rows);
        terminal_free(c->term);
        surface_unref(s);
        free(c);
        return false;
    }
    chr->priv = c;
    chr->tty_in = true;
    machine_lock();
    c->screen = screen_new(chr->id, &console_ops, c);
    screen_set_surface(c->screen, s);
    machine_unlock();
    chardev_set_open(chr, true);
    return true;
}

static void vc_close(Chardev *chr)
{
    Console *c = chr->priv;

    pthread_mutex_lock(&chr->lock);
    chr->open = false;
    pthread_mutex_unlock(&chr->lock);
    machine_lock();
    screen_free(c->screen);
    machine_unlock();
    terminal_free(c->term);
    free(c);
    chr->priv = NULL;
}

const CharBackend chardev_vc = {
    .name = "vc",
    .help = "cols=,rows= or width=,height=: a text console (Ctrl-Alt-2 and so on show it)",
    .open = vc_open,
    .close = vc_close,
    .write = vc_write,
    .more = push,
};
