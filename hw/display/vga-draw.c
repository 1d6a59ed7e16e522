/*
 * Refreshing the screen: what changed is found, drawn and reported. A line is made in a buffer and
 * compared with the surface, so that only pixels that differ are stored and reported.
 */
#include "hw/display/vga.h"

#include <stdlib.h>
#include "base/mem.h"
#include "hw/display/trace.h"

/* Rectangles of one refresh; neighbouring lines become one. */
struct VgaDamage {
    Surface *surface;
    unsigned count;
    struct {
        unsigned x0, y0, x1, y1; /* exclusive */
    } r[64];
};

static void damage_add(VgaDamage *d, unsigned x0, unsigned y, unsigned x1)
{
    unsigned n = d->count;

    for (unsigned i = n; i-- > 0 && n - i <= 4;) {
        if (y <= d->r[i].y1 && y + 1 >= d->r[i].y0 &&
            x0 <= d->r[i].x1 && x1 >= d->r[i].x0) {
            d->r[i].x0 = MIN(d->r[i].x0, x0);
            d->r[i].x1 = MAX(d->r[i].x1, x1);
            d->r[i].y0 = MIN(d->r[i].y0, y);
            d->r[i].y1 = MAX(d->r[i].y1, y + 1);
            return;
        }
    }
    if (n == ARRAY_SIZE(d->r)) { /* too many: the last one takes the rest in */
        n--;
        d->r[n].x0 = MIN(d->r[n].x0, x0);
        d->r[n].x1 = MAX(d->r[n].x1, x1);
        d->r[n].y0 = MIN(d->r[n].y0, y);
        d->r[n].y1 = MAX(d->r[n].y1, y + 1);
        return;
    }
    d->r[n].x0 = x0;
    d->r[n].x1 = x1;
    d->r[n].y0 = y;
    d->r[n].y1 = y + 1;
    d->count++;
}

void vga_put_line(VgaDamage *d, unsigned x, unsigned y, const uint32_t *pixels, unsigned n)
{
    Surface *s = d->surface;
    uint32_t *to;
    unsigned first = 0, last;

    if (y >= s->height || x >= s->width) {
        return;
    }
    n = MIN(n, s->width - x);
    to = s->pixels + (size_t)y * s->stride + x;
    if (memcmp(to, pixels, (size_t)n * 4) == 0) {
        return;
    }
    while (to[first] == pixels[first]) {
        first++;
    }
    for (last = n; to[last - 1] == pixels[last - 1]; last--) {
    }
    memcpy(to + first, pixels + first, (size_t)(last - first) * 4);
    damage_add(d, x + first, y, x + last);
}

bool vga_dirty(const Vga *v, uint64_t first, uint64_t len)
{
    if (v->redraw || len == 0 || first >= v->ram_bytes) {
        return v->redraw;
    }
    len = MIN(len, v->ram_bytes - first);
    for (uint64_t n = first / PAGE_SIZE; n <= (first + len - 1) / PAGE_SIZE; n++) {
        if (v->dirty[n / 64] >> (n % 64) & 1) {
            return true;
        }
    }
    return false;
}

static void draw_blank(Vga *v, const VgaMode *m, VgaDamage *d)
{
    if (v->redraw) {
        memset(v->line, 0, (size_t)m->width * 4);
        for (unsigned y = 0; y < m->height; y++) {
            vga_put_line(d, 0, y, v->line, m->width);
        }
    }
}

/* A buffer for one line, and a surface of the mode's size. False: the host has no memory for it. */
static bool make_room(Vga *v, const VgaMode *m)
{
    Surface *s = screen_surface(v->screen);

    if (m->width + 32 > v->line_room) {
        uint32_t *line = try_newn(uint32_t, m->width + 32);

        if (line == NULL) {
            return false;
        }
        free(v->line);
        v->line = line;
        v->line_room = m->width + 32;
    }
    if (s->width == m->width && s->height == m->height) {
        return true;
    }
    s = surface_new(m->width, m->height);
    if (s == NULL) {
        return false;
    }
    v->redraw = true;
    screen_set_surface(v->screen, s);
    return true;
}

static void draw(Vga *v, const VgaMode *m, VgaDamage *d)
{
    surface_lock(d->surface);
    switch (m->kind) {
    case VGA_BLANK:
        draw_blank(v, m, d);
        break;
    case VGA_TEXT:
        vga_draw_text(v, m, d);
        break;
    case VGA_LINEAR:
        vga_draw_linear(v, m, d);
        break;
    default:
        vga_draw_graphics(v, m, d);
        break;
    }
    surface_unlock(d->surface);
}

static void vga_refresh(void *opaque)
{
    Vga *v = opaque;
    uint64_t first, len;
    VgaDamage d;
    VgaMode m;
    bool changed;

    vga_mode(v, &m);
    if (memcmp(&m, &v->shown, sizeof(m)) != 0) {
        if (m.kind != v->shown.kind || m.width != v->shown.width || m.height != v->shown.height) {
            trace_vga_mode(m.kind, m.width, m.height, m.bpp);
        }
        v->redraw = true;
    }
    if (!make_room(v, &m)) {
        return;
    }
    vga_ram_range(v, &m, &first, &len);
    changed = dirty_harvest(&v->log, first, len, v->dirty);
    d.surface = screen_surface(v->screen);
    d.count = 0;
    if (changed || v->redraw || m.kind == VGA_TEXT) { /* text: its cursor blinks */
        draw(v, &m, &d);
    }
    if (changed) {
        memset(v->dirty, 0, DIRTY_WORDS(v->ram_bytes) * sizeof(uint64_t));
    }
    v->shown = m;
    v->redraw = false;
    for (unsigned n = 0; n < d.count; n++) {
        screen_damage(v->screen, d.r[n].x0, d.r[n].y0, d.r[n].x1 - d.r[n].x0,
                      d.r[n].y1 - d.r[n].y0);
    }
}

const ScreenOps vga_screen_ops = { .refresh = vga_refresh, .text = vga_text };
