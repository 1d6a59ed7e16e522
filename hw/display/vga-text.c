/*
 * Text modes: cells of a character and an attribute, glyphs from plane 2, a cursor.
 * Source: FreeVGA, "VGA Text Mode Operation"; IBM TR for the rates of blinking.
 *
 * A row of cells is a run of scan lines that share an address; panning, a preset row and a split screen
 * make partial ones. Each cell is remembered, so that only those that changed are drawn.
 */
#include "hw/display/vga.h"

#include <stdlib.h>
#include "base/mem.h"

#define GLYPH_BYTES 32u /* in plane 2, whatever the height */

/* A cell as it is remembered. */
#define CELL_CURSOR BIT(16)
#define CELL_HIDDEN BIT(17) /* blinking, and now dark */
#define CELL_SHOWN BIT(18)  /* the surface has it */
#define CELL_SHAPE_SHIFT 20 /* the cursor's scan rows, five bits each */

typedef struct TextRow {
    unsigned y, lines; /* of the picture */
    unsigned counter, row, pan; /* first scan row */
} TextRow;

/* The row of cells that begins at @l, which moves on behind it. */
static TextRow take_row(const VgaMode *m, VgaLine *l)
{
    TextRow r = { l->y, 0, l->counter, l->row, l->pan };
    unsigned row = l->row;

    do {
        r.lines++;
        row = l->row;
        vga_line_next(m, l);
    } while (l->y < m->height && l->y != m->line_compare + 1 && l->counter == r.counter &&
             (l->repeat != 0 || l->row == ((row + 1) & 0x1f)));
    return r;
}

static unsigned columns(const VgaMode *m, const TextRow *r)
{
    return m->chars + (r->pan != 0); /* a part of one more at the right */
}

static bool cursor_on(const Vga *v)
{
    const uint8_t *cr = v->crtc;

    return !(cr[CR_CURSOR_START] & 0x20) &&
           (cr[CR_CURSOR_START] & 0x1f) <= (cr[CR_CURSOR_END] & 0x1f) && (vga_frames(v) & 16) == 0;
}

/* What a blink is made of, for one refresh. */
typedef struct TextState {
    unsigned cursor; /* the counter's value where the cursor is; UINT_MAX: not to be seen */
    bool dark;       /* blinking characters are */
} TextState;

static uint32_t cell_at(const Vga *v, const VgaMode *m, const TextState *t, const TextRow *r,
                        unsigned counter)
{
    unsigned at = vga_address(m, counter, r->row) * 4;
    uint32_t cell = ld_le16(v->ram + at) | CELL_SHOWN; /* planes 0 and 1 */

    if ((counter & 0xffff) == t->cursor) {
        cell |= CELL_CURSOR | (v->crtc[CR_CURSOR_START] & 0x1fu) << CELL_SHAPE_SHIFT |
                (v->crtc[CR_CURSOR_END] & 0x1fu) << (CELL_SHAPE_SHIFT + 5);
    }
    if (m->blink && (cell & 0x8000) && t->dark) {
        cell |= CELL_HIDDEN;
    }
    return cell;
}

typedef struct CellInk {
    const uint8_t *glyph; /* NULL: empty */
    uint32_t fg, bg;
    unsigned cursor_first, cursor_last; /* scan rows; none when first > last */
    unsigned underline;
    bool ninth; /* the ninth dot is as the eighth */
} CellInk;

static CellInk cell_ink(const Vga *v, const VgaMode *m, uint32_t cell)
{
    unsigned ch = cell & 0xff, attr = cell >> 8 & 0xff;
    unsigned back = m->blink ? attr >> 4 & 7 : attr >> 4;
    CellInk ink = {
        .glyph = &v->fonts[attr >> 3 & 1][ch * GLYPH_BYTES],
        .fg = m->palette[attr & 0xf],
        .bg = m->palette[back],
        .cursor_first = 1,
        .underline = (attr & 0x77) == 0x01 ? m->underline : 32,
        .ninth = m->line_graphics && ch >= 0xc0 && ch <= 0xdf,
    };

    if (cell & CELL_CURSOR) {
        ink.cursor_first = cell >> CELL_SHAPE_SHIFT & 0x1f;
        ink.cursor_last = cell >> (CELL_SHAPE_SHIFT + 5) & 0x1f;
    }
    if (cell & CELL_HIDDEN) { /* but a cursor there is seen */
        ink.glyph = NULL;
        ink.underline = 32;
    }
    return ink;
}

/* One scan row of a cell to @out, dots doubled where the dot clock is halved. */
static void cell_line(const VgaMode *m, const CellInk *ink, unsigned row, uint32_t *out)
{
    unsigned bits = ink->glyph != NULL ? (unsigned)ink->glyph[row] << 1 : 0; /* bit 8: the first dot */

    if (ink->ninth) {
        bits |= bits >> 1 & 1;
    }
    if (row == ink->underline || (row >= ink->cursor_first && row <= ink->cursor_last)) {
        bits = 0x1ff;
    }
    for (unsigned n = 0; n < m->char_width; n++) {
        uint32_t c = bits & 0x100 ? ink->fg : ink->bg;

        for (unsigned k = 0; k < m->dot_width; k++) {
            *out++ = c;
        }
        bits <<= 1;
    }
}

static void draw_cell(const Vga *v, const VgaMode *m, const TextRow *r, unsigned column, uint32_t cell,
                      VgaDamage *d)
{
    CellInk ink = cell_ink(v, m, cell);
    unsigned width = m->char_width * m->dot_width, pan = r->pan * m->dot_width;
    unsigned skip = column == 0 ? pan : 0, x = column * width - (pan - skip);
    uint32_t dots[18];

    for (unsigned n = 0; n < r->lines; n++) {
        unsigned row = (r->row + n / m->repeat) & 0x1f;

        cell_line(m, &ink, row, dots);
        vga_put_line(d, x, r->y + n, dots + skip, width - skip);
    }
}

/* The glyphs that are in use; true when they have changed. */
static bool take_fonts(Vga *v, const VgaMode *m)
{
    bool changed = false;

    for (unsigned f = 0; f < 2; f++) {
        for (unsigned n = 0; n < sizeof(v->fonts[f]); n++) {
            uint8_t b = v->ram[(m->font[f] + n) * 4 + 2];

            changed |= v->fonts[f][n] != b;
            v->fonts[f][n] = b;
        }
    }
    return changed;
}

static bool make_cells(Vga *v, size_t n)
{
    if (n > v->cell_room) {
        uint32_t *cells = try_newn(uint32_t, n * 2);

        if (cells == NULL) {
            return false;
        }
        for (unsigned k = 0; k < v->cell_room; k++) {
            cells[k] = v->cells[k];
        }
        free(v->cells);
        v->cells = cells;
        v->cell_room = (unsigned)n * 2;
    }
    return true;
}

void vga_draw_text(Vga *v, const VgaMode *m, VgaDamage *d)
{
    bool dirty = vga_dirty(v, 0, 0x40000);
    TextState t = { .cursor = UINT32_MAX, .dark = (vga_frames(v) & 32) != 0 };
    size_t n = 0;
    VgaLine l;

    if (dirty && take_fonts(v, m)) {
        v->redraw = true;
    }
    for (unsigned k = 0; v->redraw && k < v->cell_room; k++) {
        v->cells[k] = 0;
    }
    if (cursor_on(v)) {
        t.cursor = (unsigned)v->crtc[CR_CURSOR_HIGH] << 8 | v->crtc[CR_CURSOR_LOW];
    }
    for (vga_line_first(m, &l); l.y < m->height;) {
        TextRow r = take_row(m, &l);

        for (unsigned x = 0; x < columns(m, &r); x++, n++) {
            uint32_t cell = cell_at(v, m, &t, &r, r.counter + x);

            if (!make_cells(v, n + 1)) {
                return;
            }
            if (v->cells[n] != cell) {
                v->cells[n] = cell;
                draw_cell(v, m, &r, x, cell, d);
            }
        }
    }
}

/* ---- as text ---- */

/* IBM code page 437, 80h to FFh; below 20h it has pictures. */
static const uint16_t cp437_low[32] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9,
    0x2642, 0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7,
    0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const uint16_t cp437_high[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8,
    0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2,
    0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1,
    0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd,
    0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562,
    0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534,
    0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560,
    0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393,
    0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6,
    0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0,
    0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

static char *put_utf8(char *p, unsigned ch)
{
    unsigned u = ch < 32 ? cp437_low[ch] : ch < 127 ? ch : ch == 127 ? 0x2302 : cp437_high[ch - 128];

    if (u < 0x80) {
        *p++ = (char)u;
    } else if (u < 0x800) {
        *p++ = (char)(0xc0 | u >> 6);
        *p++ = (char)(0x80 | (u & 0x3f));
    } else {
        *p++ = (char)(0xe0 | u >> 12);
        *p++ = (char)(0x80 | (u >> 6 & 0x3f));
        *p++ = (char)(0x80 | (u & 0x3f));
    }
    return p;
}

char *vga_text(void *opaque)
{
    const Vga *v = opaque;
    TextState none = { .cursor = UINT32_MAX };
    char *text, *p;
    VgaMode m;
    VgaLine l;
    size_t rows = 0;

    vga_mode(v, &m);
    if (m.kind != VGA_TEXT) {
        return NULL;
    }
    for (vga_line_first(&m, &l); l.y < m.height; rows++) {
        take_row(&m, &l);
    }
    text = try_newn(char, rows * (m.chars * 3 + 1) + 1);
    if (text == NULL) {
        return NULL;
    }
    p = text;
    for (vga_line_first(&m, &l); l.y < m.height;) {
        TextRow r = take_row(&m, &l);
        char *line = p;

        for (unsigned x = 0; x < m.chars; x++) {
            p = put_utf8(p, cell_at(v, &m, &none, &r, r.counter + x) & 0xff);
        }
        while (p > line && p[-1] == ' ') {
            p--;
        }
        *p++ = '\n';
    }
    *p = '\0';
    return text;
}
