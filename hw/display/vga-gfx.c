/*
 * Graphics modes out of four planes. Source: FreeVGA, "VGA Graphics Modes", "Graphics Mode Register".
 */
#include "hw/display/vga.h"

#include "base/mem.h"

/* Each bit of a byte to a byte of its own, the first dot lowest. */
static uint64_t spread(uint8_t b)
{
    /* a copy of b in each byte, one bit kept in each, and that made 1 */
    uint64_t v = (b * 0x0101010101010101ull) & 0x0102040810204080ull;

    return (((v + 0x7f7f7f7f7f7f7f7full) | v) >> 7) & 0x0101010101010101ull;
}

static uint64_t spread_table[256];

static void make_table(void)
{
    for (unsigned n = 0; n < 256; n++) {
        spread_table[n] = spread((uint8_t)n);
    }
}

/* The colours of the eight dots that the four bytes at @p make. */
static void eight_dots(const VgaMode *m, const uint8_t *p, uint32_t *out)
{
    switch (m->kind) {
    case VGA_PLANAR: {
        uint64_t c = spread_table[p[0]] | spread_table[p[1]] << 1 | spread_table[p[2]] << 2 |
                     spread_table[p[3]] << 3;

        for (unsigned n = 0; n < 8; n++, c >>= 8) {
            out[n] = m->palette[c & 0xf];
        }
        break;
    }
    case VGA_CGA: /* planes 0 and 2 have four dots, 1 and 3 the next */
        for (unsigned n = 0; n < 8; n++) {
            unsigned shift = 6 - 2 * (n & 3), plane = n >> 2;

            out[n] = m->palette[(p[plane] >> shift & 3) | (p[plane + 2] >> shift & 3) << 2];
        }
        break;
    default: /* 256 colours: each plane a pixel of two dots */
        for (unsigned n = 0; n < 8; n++) {
            out[n] = m->palette[p[n / 2]];
        }
        break;
    }
}

/* Was the memory of this line written? */
static bool line_dirty(const Vga *v, const VgaMode *m, const VgaLine *l)
{
    uint64_t first = vga_address(m, l->counter, l->row);
    uint64_t last = vga_address(m, l->counter + m->chars, l->row);

    if (last < first || last - first > 2 * m->chars) { /* it wraps */
        return vga_dirty(v, 0, m->bpp == 4 ? v->ram_bytes : 0x40000);
    }
    return vga_dirty(v, first * 4, (last - first + 1) * 4);
}

static void draw_line(Vga *v, const VgaMode *m, const VgaLine *l, VgaDamage *d)
{
    uint32_t dots[8], *out = v->line;
    unsigned pan = l->pan * m->dot_width;

    for (unsigned n = 0; n < m->chars + (l->pan != 0); n++) {
        uint64_t at = vga_address(m, l->counter + n, l->row) * 4ull;

        if (m->dot_width == 1) {
            eight_dots(m, v->ram + (at & (v->ram_bytes - 1)), out);
            out += 8;
            continue;
        }
        eight_dots(m, v->ram + (at & (v->ram_bytes - 1)), dots);
        for (unsigned k = 0; k < 8; k++, out += 2) {
            out[0] = out[1] = dots[k];
        }
    }
    vga_put_line(d, 0, l->y, v->line + pan, m->width);
}

void vga_draw_graphics(Vga *v, const VgaMode *m, VgaDamage *d)
{
    VgaLine l;

    if (spread_table[1] == 0) {
        make_table();
    }
    for (vga_line_first(m, &l); l.y < m->height; vga_line_next(m, &l)) {
        if (line_dirty(v, m, &l)) {
            draw_line(v, m, &l, d);
        }
    }
}
