/*
 * VBE modes with packed pixels: 8 bits through the palette, 15 to 32 bits as they are.
 */
#include "hw/display/vga.h"

#include "base/mem.h"

static void line_8(const VgaMode *m, const uint8_t *p, uint32_t *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        out[i] = m->palette[p[i]];
    }
}

static uint16_t pixel_16(const VgaMode *m, const uint8_t *p)
{
    return m->big_endian ? __builtin_bswap16(ld_le16(p)) : ld_le16(p);
}

/* Five or six bits to eight: the upper ones again at the bottom. */
static void line_15(const VgaMode *m, const uint8_t *p, uint32_t *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t v = pixel_16(m, p + 2 * i), r = v >> 10 & 31, g = v >> 5 & 31, b = v & 31;

        out[i] = (r << 3 | r >> 2) << 16 | (g << 3 | g >> 2) << 8 | (b << 3 | b >> 2);
    }
}

static void line_16(const VgaMode *m, const uint8_t *p, uint32_t *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t v = pixel_16(m, p + 2 * i), r = v >> 11, g = v >> 5 & 63, b = v & 31;

        out[i] = (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2);
    }
}

static void line_24(const VgaMode *m, const uint8_t *p, uint32_t *out, unsigned n)
{
    unsigned red = m->big_endian ? 0 : 2;

    for (unsigned i = 0; i < n; i++, p += 3) {
        out[i] = (uint32_t)p[red] << 16 | (uint32_t)p[1] << 8 | p[2 - red];
    }
}

static void line_32(const VgaMode *m, const uint8_t *p, uint32_t *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t v = ld_le32(p + 4 * i);

        out[i] = (m->big_endian ? __builtin_bswap32(v) : v) & 0xffffff;
    }
}

void vga_draw_linear(Vga *v, const VgaMode *m, VgaDamage *d)
{
    unsigned pixel = (m->bpp + 7) / 8;

    for (unsigned y = 0; y < m->height; y++) {
        uint64_t at = m->base + (uint64_t)y * m->bytes;
        unsigned n = m->width;

        if (!vga_dirty(v, at, (uint64_t)n * pixel)) {
            continue;
        }
        if (at >= v->ram_bytes || (uint64_t)n * pixel > v->ram_bytes - at) { /* offsets too large */
            memset(v->line, 0, (size_t)n * 4);
            n = at < v->ram_bytes ? (unsigned)((v->ram_bytes - at) / pixel) : 0;
        }
        switch (m->bpp) {
        case 8:
            line_8(m, v->ram + at, v->line, n);
            break;
        case 15:
            line_15(m, v->ram + at, v->line, n);
            break;
        case 16:
            line_16(m, v->ram + at, v->line, n);
            break;
        case 24:
            line_24(m, v->ram + at, v->line, n);
            break;
        default:
            line_32(m, v->ram + at, v->line, n);
            break;
        }
        vga_put_line(d, 0, y, v->line, m->width);
    }
}
