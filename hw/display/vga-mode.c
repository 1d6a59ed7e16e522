/*
 * From the registers to what is to be drawn, and from scan lines to addresses.
 * Sources: FreeVGA, "VGA Text Mode Operation", "CRT Controller Registers", "Attribute Controller
 * Registers". Left out: overscan, SLDIV (vertical counters at half speed), the cursor's skew in CRTC 0Bh.
 */
#include "hw/display/vga.h"

#include "base/mem.h"

/* ---- colours ---- */

/* Six bits to eight; the lowest bit fills up, so that 0 stays 0 and 3Fh becomes FFh. */
static unsigned eight_bits(unsigned c)
{
    c &= 0x3f;
    return c << 2 | (c & 1) * 3;
}

static uint32_t dac_color(const Vga *v, unsigned index)
{
    const uint8_t *c = &v->dac[(index & v->dac_mask) * 3];

    if (v->vbe[VBE_ENABLE] & VBE_8BIT_DAC) {
        return (uint32_t)c[0] << 16 | (uint32_t)c[1] << 8 | c[2];
    }
    return eight_bits(c[0]) << 16 | eight_bits(c[1]) << 8 | eight_bits(c[2]);
}

/* "Attribute Controller Registers": palette registers, and Color Select for the upper bits. */
static uint32_t attr_color(const Vga *v, unsigned n)
{
    unsigned c = v->attr[n & v->attr[AR_PLANES] & 0xf] & 0x3f, select = v->attr[AR_COLOR];

    if (v->attr[AR_MODE] & 0x80) { /* "Palette Bits 5-4 Select" */
        c = (c & 0xf) | (select & 3) << 4;
    }
    return dac_color(v, c | (select & 0xc) << 4);
}

static void palette(const Vga *v, VgaMode *m)
{
    bool wide = m->kind == VGA_256 || m->kind == VGA_LINEAR;

    if (m->kind == VGA_BLANK || (m->kind == VGA_LINEAR && m->bpp != 8)) {
        return;
    }
    for (unsigned n = 0; n < (wide ? 256u : 16u); n++) {
        m->palette[n] = wide ? dac_color(v, n) : attr_color(v, n);
    }
}

/* ---- modes ---- */

/* "Character Map Select Register": 8 KiB maps, the four even ones first. */
static unsigned font_offset(unsigned n)
{
    return (n & 3) * 0x4000 + (n >> 2 & 1) * 0x2000;
}

static void text_mode(const Vga *v, VgaMode *m)
{
    unsigned map = v->seq[SEQ_CHAR_MAP];

    m->kind = VGA_TEXT;
    m->char_width = v->seq[SEQ_CLOCK] & 0x01 ? 8 : 9;
    m->font[0] = font_offset((map & 3) | (map >> 2 & 4));
    m->font[1] = font_offset((map >> 2 & 3) | (map >> 3 & 4));
    m->blink = (v->attr[AR_MODE] & 0x08) != 0;
    m->line_graphics = (v->attr[AR_MODE] & 0x04) != 0;
    m->underline = v->crtc[CR_UNDERLINE] & 0x1f;
}

static void graphics_mode(const Vga *v, VgaMode *m)
{
    m->char_width = 8;
    m->kind = v->gc[GC_MODE] & 0x40 ? VGA_256 : v->gc[GC_MODE] & 0x20 ? VGA_CGA : VGA_PLANAR;
}

/* "Horizontal Pixel Panning Register": with nine dots, 8 is none and 0 is one. */
static unsigned panning(const Vga *v, const VgaMode *m)
{
    unsigned n = v->attr[AR_PAN] & 0xf;

    if (m->char_width == 9) {
        return n >= 8 ? 0 : n + 1;
    }
    return n & 7;
}

static void legacy_mode(const Vga *v, VgaMode *m)
{
    const uint8_t *cr = v->crtc;
    unsigned over = cr[CR_OVERFLOW];

    if (v->gc[GC_MISC] & 0x01) {
        graphics_mode(v, m);
    } else {
        text_mode(v, m);
    }
    m->chars = cr[CR_HDISP] + 1u;
    m->dot_width = v->seq[SEQ_CLOCK] & 0x08 ? 2 : 1;
    m->width = m->chars * m->char_width * m->dot_width;
    m->height = (cr[CR_VDISP] | (over & 0x02u) << 7 | (over & 0x40u) << 3) + 1;
    m->line_compare = cr[CR_LINE_COMPARE] | (over & 0x10u) << 4 | (cr[CR_MAX_SCAN] & 0x40u) << 3;
    m->start = ((unsigned)cr[CR_START_HIGH] << 8 | cr[CR_START_LOW]) + (cr[CR_PRESET] >> 5 & 3);
    m->pitch = cr[CR_OFFSET] * 2u;
    m->preset_row = cr[CR_PRESET] & 0x1f;
    m->rows = (cr[CR_MAX_SCAN] & 0x1f) + 1u;
    m->repeat = cr[CR_MAX_SCAN] & 0x80 ? 2 : 1;
    m->pan = panning(v, m);
    m->pan_split = v->attr[AR_MODE] & 0x20 ? 0 : m->pan;
    m->cr_mode = cr[CR_MODE];
    m->cr_underline = cr[CR_UNDERLINE] & 0x40;
}

static void vbe_mode(const Vga *v, VgaMode *m)
{
    uint32_t pitch = vga_vbe_pitch(v);

    m->bpp = v->vbe[VBE_BPP];
    m->width = v->vbe[VBE_XRES];
    m->height = v->vbe[VBE_YRES];
    m->bytes = pitch;
    if (m->bpp == 4) { /* planes, by the VGA's means */
        m->kind = VGA_PLANAR;
        m->char_width = 8;
        m->dot_width = 1;
        m->chars = m->width / 8;
        m->rows = m->repeat = 1;
        m->start = v->vbe[VBE_Y_OFFSET] * pitch + v->vbe[VBE_X_OFFSET] / 8u;
        m->pan = m->pan_split = v->vbe[VBE_X_OFFSET] & 7;
        m->pitch = pitch;
        m->line_compare = UINT32_MAX;
        m->cr_mode = 0xe3;
        return;
    }
    m->kind = VGA_LINEAR;
    m->base = (uint64_t)v->vbe[VBE_Y_OFFSET] * pitch +
              (uint64_t)v->vbe[VBE_X_OFFSET] * ((m->bpp + 7) / 8);
    m->big_endian = v->big_endian;
}

void vga_mode(const Vga *v, VgaMode *m)
{
    memset(m, 0, sizeof(*m)); /* it is compared as bytes */
    if (vga_vbe_on(v)) {
        vbe_mode(v, m);
    } else {
        legacy_mode(v, m);
    }
    /* "Palette Address Source" 0, or "Screen Disable": nothing is shown */
    if (!(v->attr_index & 0x20) || (!vga_vbe_on(v) && (v->seq[SEQ_CLOCK] & 0x20))) {
        const Surface *s = screen_surface(v->screen); /* its size stays */

        memset(m, 0, sizeof(*m));
        m->width = s->width;
        m->height = s->height;
    }
    palette(v, m);
}

void vga_ram_range(const Vga *v, const VgaMode *m, uint64_t *first, uint64_t *len)
{
    if (m->kind == VGA_LINEAR) {
        *first = MIN(m->base, v->ram_bytes);
        *len = (uint64_t)m->bytes * m->height;
    } else if (m->bpp == 4) {
        *first = MIN(4ull * m->start, v->ram_bytes);
        *len = 4ull * m->bytes * m->height + 4;
    } else { /* 64 KiB a plane */
        *first = 0;
        *len = 0x40000;
    }
    *len = MIN(*len, v->ram_bytes - *first);
}

/* ---- scan lines ---- */

/*
 * "CRTC Mode Control Register": the counter is shifted in word mode, and two of the address's bits may
 * come from the scan row instead. In doubleword mode a VGA shifts by two; chain-4 memory lies without
 * the holes of that here (vga.h), so the counter is used as it is.
 */
unsigned vga_address(const VgaMode *m, unsigned counter, unsigned row)
{
    unsigned at = counter;

    if (m->bpp == 4) {
        return counter;
    }
    at &= 0xffff;
    if (!m->cr_underline && !(m->cr_mode & 0x40)) {
        at = (at << 1 | (at >> (m->cr_mode & 0x20 ? 15 : 13) & 1)) & 0xffff;
    }
    if (!(m->cr_mode & 0x01)) {
        at = (at & ~0x2000u) | (row & 1) << 13;
    }
    if (!(m->cr_mode & 0x02)) {
        at = (at & ~0x4000u) | (row & 2) << 13;
    }
    return at;
}

void vga_line_first(const VgaMode *m, VgaLine *l)
{
    *l = (VgaLine){ .counter = m->start, .row = m->preset_row, .pan = m->pan };
}

void vga_line_next(const VgaMode *m, VgaLine *l)
{
    if (l->y++ == m->line_compare) { /* "Split screen": the next line begins at address 0 */
        l->counter = l->row = l->repeat = 0;
        l->pan = m->pan_split;
        return;
    }
    if (++l->repeat < m->repeat) {
        return;
    }
    l->repeat = 0;
    if (l->row == m->rows - 1) {
        l->row = 0;
        l->counter += m->pitch;
    } else {
        l->row = (l->row + 1) & 0x1f; /* a preset row beyond the last counts round */
    }
}
