/*
 * The Bochs display interface ("dispi"): an index port at 1CEh and a 16-bit data port at 1CFh.
 * Source: QEMU's "Standard VGA" specification, and the interface's own description, "VBE Display API".
 */
#include "hw/display/vga.h"

#include "base/mem.h"
#include "hw/display/trace.h"

#define ID_FIRST 0xb0c0u
#define ID_LAST 0xb0c5u

uint32_t vga_vbe_pitch(const Vga *v)
{
    unsigned bpp = v->vbe[VBE_BPP];

    return bpp == 4 ? v->vbe[VBE_VIRT_WIDTH] / 8u
                    : v->vbe[VBE_VIRT_WIDTH] * ((bpp + 7u) / 8u);
}

/* Bytes of video memory that a line takes. */
static uint64_t line_bytes(const Vga *v)
{
    return vga_vbe_pitch(v) * (v->vbe[VBE_BPP] == 4 ? 4ull : 1ull);
}

/* The nearest mode that exists and fits the memory. */
static void fix(Vga *v)
{
    uint16_t *r = v->vbe;

    switch (r[VBE_BPP]) {
    case 4: case 8: case 15: case 16: case 24: case 32:
        break;
    default:
        r[VBE_BPP] = 8;
        break;
    }
    r[VBE_XRES] = (uint16_t)MAX(8u, MIN(r[VBE_XRES] & ~7u, VBE_MAX_XRES));
    r[VBE_VIRT_WIDTH] = (uint16_t)MAX(r[VBE_VIRT_WIDTH] & ~7u, (unsigned)r[VBE_XRES]);
    if (line_bytes(v) > v->ram_bytes) {
        r[VBE_VIRT_WIDTH] = r[VBE_XRES];
    }
    r[VBE_YRES] = (uint16_t)MAX(1u, MIN((unsigned)r[VBE_YRES], VBE_MAX_YRES));
    if (line_bytes(v) * r[VBE_YRES] > v->ram_bytes) {
        r[VBE_VIRT_WIDTH] = r[VBE_XRES];
        r[VBE_YRES] = (uint16_t)MIN(r[VBE_YRES], v->ram_bytes / line_bytes(v));
    }
    r[VBE_VIRT_HEIGHT] = (uint16_t)MIN(v->ram_bytes / line_bytes(v), 0xffffu);
}

static void enable(Vga *v, uint16_t val)
{
    bool was = vga_vbe_on(v);

    v->vbe[VBE_ENABLE] = val & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR);
    v->vbe[VBE_BANK] = 0;
    if (was || !vga_vbe_on(v)) {
        return;
    }
    v->vbe[VBE_VIRT_WIDTH] = 0;
    v->vbe[VBE_X_OFFSET] = v->vbe[VBE_Y_OFFSET] = 0;
    fix(v);
    if (!(val & VBE_NOCLEAR)) {
        uint64_t len = MIN(line_bytes(v) * v->vbe[VBE_YRES], v->ram_bytes);

        memset(v->ram, 0, len);
        ram_stored(v->ram_offset, len);
    }
}

uint16_t vga_vbe_read(Vga *v, unsigned index)
{
    if (index >= VBE_COUNT) {
        return 0;
    }
    if (v->vbe[VBE_ENABLE] & VBE_GETCAPS) {
        switch (index) {
        case VBE_XRES:
            return VBE_MAX_XRES;
        case VBE_YRES:
            return VBE_MAX_YRES;
        case VBE_BPP:
            return 32;
        default:
            break;
        }
    }
    return v->vbe[index];
}

void vga_vbe_write(Vga *v, unsigned index, uint16_t val)
{
    trace_vga_vbe_write(index, val);
    switch (index) {
    case VBE_ID:
        if (val >= ID_FIRST && val <= ID_LAST) {
            v->vbe[VBE_ID] = val;
        }
        return;
    case VBE_ENABLE:
        enable(v, val);
        break;
    case VBE_BANK:
        v->vbe[VBE_BANK] = (uint16_t)(val & ((v->ram_bytes >> 16) - 1));
        break;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP:
    case VBE_VIRT_WIDTH:
        v->vbe[index] = val;
        if (vga_vbe_on(v)) {
            fix(v);
        }
        break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        v->vbe[index] = val;
        return;
    default: /* VIRT_HEIGHT and VIDEO_MEMORY_64K only read */
        return;
    }
    vga_window_update(v);
}

/* The index is at 1CEh; the data at 1CFh, and for machines that need it aligned at 1D0h. */
static uint64_t vbe_read(void *opaque, uint64_t offset, unsigned size)
{
    Vga *v = opaque;

    return offset == 0 ? v->vbe_index : vga_vbe_read(v, v->vbe_index);
}

static void vbe_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Vga *v = opaque;

    if (offset == 0) {
        v->vbe_index = (uint16_t)val;
    } else {
        vga_vbe_write(v, v->vbe_index, (uint16_t)val);
    }
}

const IoOps vga_vbe_ops = { .read = vbe_read, .write = vbe_write, .max_size = 2, .unaligned = true };
