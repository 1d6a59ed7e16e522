/*
 * VGA registers behind ports 3B0h-3DFh.
 *
 * Each group has an index and a data port; the attribute controller has one port for both and a flip-flop
 * that input status 1 resets. Not modelled: the vertical retrace interrupt (no PCI card wires it), the
 * light pen, 3C3h/46E8h (a PCI card is switched by its command register).
 */
#include "hw/display/vga.h"

#include "base/mem.h"
#include "hw/display/trace.h"

/* The bits that exist; the others read as 0. FreeVGA, "Sequencer/Graphics/Attribute Registers". */
static const uint8_t seq_bits[5] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gc_bits[9] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const uint8_t attr_bits[AR_COUNT] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

#define MISC_COLOR 0x01u /* I/O Address Select: the CRTC is at 3D4h, not 3B4h */

/* ---- attribute controller ---- */

static void attr_write(Vga *v, uint8_t val)
{
    unsigned index = v->attr_index & 0x1f;

    if (!v->attr_data) {
        v->attr_index = val & 0x3f; /* bit 5: Palette Address Source */
    } else if (index < AR_COUNT) {
        v->attr[index] = val & attr_bits[index];
    }
    v->attr_data = !v->attr_data;
}

static uint8_t attr_read(const Vga *v)
{
    unsigned index = v->attr_index & 0x1f;

    return index < AR_COUNT ? v->attr[index] : 0;
}

/* ---- DAC ---- */

/* A colour is taken over when its third byte comes. FreeVGA, "DAC Data Register". */
static void dac_write(Vga *v, uint8_t val)
{
    v->dac_latch[v->dac_sub++] = val;
    if (v->dac_sub == 3) {
        memcpy(&v->dac[v->dac_write * 3], v->dac_latch, 3);
        v->dac_sub = 0;
        v->dac_write++;
    }
}

static uint8_t dac_read(Vga *v)
{
    uint8_t val = v->dac[v->dac_read * 3 + v->dac_sub++];

    if (v->dac_sub == 3) {
        v->dac_sub = 0;
        v->dac_read++;
    }
    return v->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? val : val & 0x3f;
}

/* ---- CRTC ---- */

static void crtc_write(Vga *v, uint8_t val)
{
    unsigned n = v->crtc_index;

    if (n >= CR_COUNT) {
        return;
    }
    if (n <= CR_OVERFLOW && (v->crtc[CR_VRE] & 0x80)) { /* "CRTC Registers Protect Enable" */
        if (n == CR_OVERFLOW) { /* line compare bit 8 is not protected */
            v->crtc[n] = (uint8_t)((v->crtc[n] & ~0x10) | (val & 0x10));
        }
        return;
    }
    v->crtc[n] = val;
}

/* Registers 10h and 11h read as the light pen's, which is at 0, unless EVRA is set. */
static uint8_t crtc_read(const Vga *v)
{
    unsigned n = v->crtc_index;

    if ((n == CR_VRS || n == CR_VRE) && !(v->crtc[3] & 0x80)) {
        return 0;
    }
    return n < CR_COUNT ? v->crtc[n] : 0;
}

/* ---- the others ---- */

static void seq_write(Vga *v, uint8_t val)
{
    if (v->seq_index < ARRAY_SIZE(v->seq)) {
        v->seq[v->seq_index] = val & seq_bits[v->seq_index];
        vga_window_update(v);
    }
}

static void gc_write(Vga *v, uint8_t val)
{
    if (v->gc_index < ARRAY_SIZE(v->gc)) {
        v->gc[v->gc_index] = val & gc_bits[v->gc_index];
        vga_window_update(v);
    }
}

/* Does @port of 3Bxh/3Dxh answer? One of the two does. */
static bool crtc_answers(const Vga *v, unsigned port)
{
    return ((port & 0xf0) == 0xd0) == ((v->misc & MISC_COLOR) != 0);
}

static uint8_t crtc_port_read(Vga *v, unsigned port)
{
    if (!crtc_answers(v, port)) {
        return 0xff;
    }
    switch (port & 0xf) {
    case 4:
        return v->crtc_index;
    case 5:
        return crtc_read(v);
    case 0xa: /* input status 1 */
        v->attr_data = false;
        return vga_retrace(v);
    default:
        return 0xff;
    }
}

static void crtc_port_write(Vga *v, unsigned port, uint8_t val)
{
    if (!crtc_answers(v, port)) {
        return;
    }
    switch (port & 0xf) {
    case 4:
        v->crtc_index = val & 0x3f;
        break;
    case 5:
        crtc_write(v, val);
        break;
    case 0xa:
        v->feature = val & 0x03;
        break;
    default:
        break;
    }
}

static uint8_t port_3cx_read(Vga *v, unsigned port)
{
    switch (port & 0xf) {
    case 0x0:
        return v->attr_index;
    case 0x1:
        return attr_read(v);
    case 0x2:
        return 0x10; /* input status 0: "Switch Sense", a colour display is there */
    case 0x4:
        return v->seq_index;
    case 0x5:
        return v->seq_index < ARRAY_SIZE(v->seq) ? v->seq[v->seq_index] : 0;
    case 0x6:
        return v->dac_mask;
    case 0x7:
        return v->dac_state;
    case 0x8:
        return v->dac_write;
    case 0x9:
        return dac_read(v);
    case 0xa:
        return v->feature;
    case 0xc:
        return v->misc;
    case 0xe:
        return v->gc_index;
    case 0xf:
        return v->gc_index < ARRAY_SIZE(v->gc) ? v->gc[v->gc_index] : 0;
    default:
        return 0xff;
    }
}

static void port_3cx_write(Vga *v, unsigned port, uint8_t val)
{
    switch (port & 0xf) {
    case 0x0:
        attr_write(v, val);
        break;
    case 0x2:
        v->misc = val & 0xef;
        vga_window_update(v);
        break;
    case 0x4:
        v->seq_index = val & 0x07;
        break;
    case 0x5:
        seq_write(v, val);
        break;
    case 0x6:
        v->dac_mask = val;
        break;
    case 0x7: /* the colour that reads start with */
        v->dac_read = val;
        v->dac_sub = 0;
        v->dac_state = 3;
        break;
    case 0x8:
        v->dac_write = val;
        v->dac_sub = 0;
        v->dac_state = 0;
        break;
    case 0x9:
        dac_write(v, val);
        break;
    case 0xe:
        v->gc_index = val & 0x0f;
        break;
    case 0xf:
        gc_write(v, val);
        break;
    default:
        break;
    }
}

uint8_t vga_port_read(Vga *v, unsigned port)
{
    uint8_t val = (port & 0xf0) == 0xc0 ? port_3cx_read(v, port) : crtc_port_read(v, port);

    trace_vga_port_read(port, val);
    return val;
}

void vga_port_write(Vga *v, unsigned port, uint8_t val)
{
    trace_vga_port_write(port, val);
    if ((port & 0xf0) == 0xc0) {
        port_3cx_write(v, port, val);
    } else {
        crtc_port_write(v, port, val);
    }
}

void vga_mask_registers(Vga *v)
{
    for (unsigned n = 0; n < ARRAY_SIZE(v->seq); n++) {
        v->seq[n] &= seq_bits[n];
    }
    for (unsigned n = 0; n < ARRAY_SIZE(v->gc); n++) {
        v->gc[n] &= gc_bits[n];
    }
    for (unsigned n = 0; n < AR_COUNT; n++) {
        v->attr[n] &= attr_bits[n];
    }
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    const VgaPorts *p = opaque;

    return vga_port_read(p->vga, p->base + (unsigned)offset);
}

static void ports_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    const VgaPorts *p = opaque;

    vga_port_write(p->vga, p->base + (unsigned)offset, (uint8_t)val);
}

const IoOps vga_port_ops = { .read = ports_read, .write = ports_write, .max_size = 1 };
