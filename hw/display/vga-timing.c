/*
 * Where the beam is. Programs poll input status 1 for the retrace, or time themselves by it: it follows
 * from the virtual clock and the CRTC's timing registers, so nothing needs to run for it.
 *
 * Sources: FreeVGA, "CRT Controller Registers" and "External Registers" (Input Status #1); IBM TR, clocks
 * of 25.175 and 28.322 MHz.
 */
#include "hw/display/vga.h"

#include "base/clock.h"
#include "base/mem.h"

typedef struct Timing {
    uint64_t line_ns, frame_ns;
    unsigned chars, lines; /* of a whole frame */
} Timing;

static void timing(const Vga *v, Timing *t)
{
    static const unsigned khz[4] = { 25175, 28322, 25175, 25175 };
    const uint8_t *cr = v->crtc;
    unsigned dots = v->seq[SEQ_CLOCK] & 0x01 ? 8 : 9;
    uint64_t clock = khz[v->misc >> 2 & 3];

    if (v->seq[SEQ_CLOCK] & 0x08) {
        clock /= 2;
    }
    t->chars = cr[CR_HTOTAL] + 5u;
    t->lines = (cr[CR_VTOTAL] | (cr[CR_OVERFLOW] & 0x01u) << 8 | (cr[CR_OVERFLOW] & 0x20u) << 4) + 2;
    t->line_ns = t->chars * dots * 1000000ull / clock;
    t->frame_ns = t->line_ns * t->lines;
    if (t->frame_ns < 4 * NS_PER_MS) { /* no monitor shows it: registers at reset */
        *t = (Timing){ 31778, 31778 * 449, 100, 449 };
    }
}

uint64_t vga_frames(const Vga *v)
{
    Timing t;

    timing(v, &t);
    return (uint64_t)clock_now(CLK_VIRTUAL) / t.frame_ns;
}

uint8_t vga_retrace(const Vga *v)
{
    const uint8_t *cr = v->crtc;
    unsigned line, at, shown, start, end_of;
    uint64_t in_frame;
    Timing t;
    uint8_t val = 0;

    timing(v, &t);
    in_frame = (uint64_t)clock_now(CLK_VIRTUAL) % t.frame_ns;
    line = (unsigned)(in_frame / t.line_ns);
    at = (unsigned)(in_frame % t.line_ns * t.chars / t.line_ns);
    shown = (cr[CR_VDISP] | (cr[CR_OVERFLOW] & 0x02u) << 7 | (cr[CR_OVERFLOW] & 0x40u) << 3) + 1;
    shown = MIN(shown, t.lines - 1);
    if (line >= shown || at > cr[CR_HDISP]) {
        val |= 0x01; /* "Display Disabled" */
    }
    start = cr[CR_VRS] | (cr[CR_OVERFLOW] & 0x04u) << 6 | (cr[CR_OVERFLOW] & 0x80u) << 2;
    if (start < shown || start >= t.lines) {
        start = shown; /* registers that make no sense: programs still wait for it */
    }
    /* the end is compared by its low four bits */
    end_of = start + (((cr[CR_VRE] & 0xf) - start - 1) & 0xf) + 1;
    if (line >= start && line < MIN(end_of, t.lines)) {
        val |= 0x08; /* "Vertical Retrace" */
    }
    return val;
}
