/*
 * The VGA's window at A0000h-BFFFFh: from an address and a byte to four planes.
 * Sources: FreeVGA, "Accessing the Video Memory", "Graphics Registers", "Sequencer Registers".
 *
 * Where an access is nothing but a byte of linear memory (chain-4 or a VBE bank, write mode 0, no
 * function, all planes), the window shows video memory as RAM, and what it does costs nothing here. Such
 * reads do not load the latches.
 */
#include "hw/display/vga.h"

#include "base/mem.h"
#include "bus/lock.h"
#include "hw/display/trace.h"

#define PRIORITY_IO 1     /* above RAM; SMRAM (hw/pci/i440fx.c) is above both */
#define PRIORITY_DIRECT 2
#define WINDOW_BASE 0xa0000u
#define DIRECT_SIZE 0x10000u

#define MISC_RAM 0x02u       /* "RAM Enable" */
#define MISC_PAGE_LOW 0x20u  /* "Odd/Even Page Select", 1 for the low page */
#define MEMORY_SEQUENTIAL 0x04u /* SEQ_MEMORY: "O/E Dis." */
#define MEMORY_CHAIN4 0x08u
#define MODE_ODD_EVEN 0x10u  /* GC_MODE: "Host O/E" */
#define MODE_COMPARE 0x08u
#define MISC_CHAIN_OE 0x02u  /* GC_MISC */

/* Byte p is all ones where bit p of the index is set. */
static const uint32_t plane_mask[16] = {
    0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
    0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};

/* A VBE mode with packed pixels is linear whatever the VGA registers say. */
static bool linear(const Vga *v)
{
    return (v->seq[SEQ_MEMORY] & MEMORY_CHAIN4) || (vga_vbe_on(v) && v->vbe[VBE_BPP] > 4);
}

/* Where in the display's 64 or 128 KiB the window's byte @offset lies; false where the memory map
 * select leaves it to others. */
static bool window_address(const Vga *v, uint32_t offset, uint32_t *at)
{
    if (!(v->misc & MISC_RAM)) {
        return false;
    }
    switch (v->gc[GC_MISC] >> 2 & 3) {
    case 0: /* A0000h-BFFFFh */
        *at = offset;
        return true;
    case 1: /* A0000h-AFFFFh */
        *at = offset;
        return offset < 0x10000;
    case 2: /* B0000h-B7FFFh */
        *at = offset - 0x10000;
        return offset >= 0x10000 && offset < 0x18000;
    default: /* B8000h-BFFFFh */
        *at = offset - 0x18000;
        return offset >= 0x18000;
    }
}

/* An access by the processor: a byte of video memory in chain-4 (@linear), or a byte of each plane. */
typedef struct VgaSpot {
    bool linear;
    uint32_t at;   /* linear: in video memory; else in a plane */
    bool odd;      /* the processor's A0 */
} VgaSpot;

static bool find_spot(const Vga *v, uint32_t offset, VgaSpot *s)
{
    uint32_t at, bank = vga_vbe_on(v) ? (uint32_t)v->vbe[VBE_BANK] << 16 : 0;

    if (!window_address(v, offset, &at)) {
        return false;
    }
    s->linear = linear(v);
    s->odd = at & 1;
    if (s->linear) {
        s->at = (bank + at) & (v->ram_bytes - 1);
        return true;
    }
    if (v->gc[GC_MISC] & MISC_CHAIN_OE) { /* "A0 ... replaced by a higher-order address bit" */
        bool high = (v->gc[GC_MISC] >> 2 & 3) == 0 ? (at & 0x10000) != 0
                                                   : !(v->misc & MISC_PAGE_LOW);

        at = (at & 0xfffe) | high;
    }
    s->at = (bank + (at & 0xffff)) & (v->ram_bytes / 4 - 1);
    return true;
}

/* "Read Mode 1": a bit is 1 where all planes that are cared for have the compare colour. */
static uint8_t compare(const Vga *v)
{
    uint32_t differ = (v->latch ^ plane_mask[v->gc[GC_COMPARE]]) & plane_mask[v->gc[GC_DONT_CARE]];

    differ |= differ >> 16;
    differ |= differ >> 8;
    return (uint8_t)~differ;
}

static uint8_t window_read(Vga *v, uint32_t offset)
{
    unsigned plane = v->gc[GC_READ_MAP];
    VgaSpot s;

    if (!find_spot(v, offset, &s)) {
        return 0xff;
    }
    if (s.linear) {
        v->latch = ld_le32(v->ram + (s.at & ~3u));
        plane = s.at & 3;
    } else {
        v->latch = ld_le32(v->ram + 4 * s.at);
        if (v->gc[GC_MODE] & MODE_ODD_EVEN) {
            plane = (plane & 2) | s.odd;
        }
    }
    if (v->gc[GC_MODE] & MODE_COMPARE) {
        return compare(v);
    }
    return (uint8_t)(v->latch >> 8 * plane);
}

static uint8_t rotate(uint8_t val, unsigned n)
{
    return (uint8_t)(val >> n | val << (8 - n));
}

/* "Logical Operation" with the latches, then "Bit Mask": bits that are 0 come from the latches. */
static uint32_t combine(const Vga *v, uint32_t val, uint8_t bits)
{
    uint32_t mask = bits * 0x01010101u;

    switch (v->gc[GC_ROTATE] >> 3) {
    case 1:
        val &= v->latch;
        break;
    case 2:
        val |= v->latch;
        break;
    case 3:
        val ^= v->latch;
        break;
    default:
        break;
    }
    return (val & mask) | (v->latch & ~mask);
}

/* "Write Modes": what the four planes are to get. */
static uint32_t write_value(const Vga *v, uint8_t val)
{
    uint32_t set = plane_mask[v->gc[GC_SET_RESET]], enable = plane_mask[v->gc[GC_ENABLE_SR]];
    uint8_t bits = v->gc[GC_BIT_MASK], rotated = rotate(val, v->gc[GC_ROTATE] & 7);

    switch (v->gc[GC_MODE] & 3) {
    case 0:
        return combine(v, (rotated * 0x01010101u & ~enable) | (set & enable), bits);
    case 1:
        return v->latch;
    case 2:
        return combine(v, plane_mask[val & 0xf], bits);
    default:
        return combine(v, set, bits & rotated);
    }
}

static void window_write(Vga *v, uint32_t offset, uint8_t val)
{
    unsigned planes = v->seq[SEQ_MAP_MASK];
    uint32_t mask, at;
    VgaSpot s;

    if (!find_spot(v, offset, &s)) {
        return;
    }
    at = s.linear ? s.at & ~3u : 4 * s.at;
    if (s.linear) {
        planes = vga_vbe_on(v) ? 1u << (s.at & 3) : planes & 1u << (s.at & 3);
    } else if (!(v->seq[SEQ_MEMORY] & MEMORY_SEQUENTIAL)) {
        planes &= s.odd ? 0xa : 0x5;
    }
    mask = plane_mask[planes];
    st_le32(v->ram + at, (write_value(v, val) & mask) | (ld_le32(v->ram + at) & ~mask));
    ram_stored(v->ram_offset + at, 4);
}

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t val = 0;

    for (unsigned n = 0; n < size; n++) {
        val |= (uint64_t)window_read(opaque, (uint32_t)offset + n) << 8 * n;
    }
    return val;
}

static void io_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    for (unsigned n = 0; n < size; n++) {
        window_write(opaque, (uint32_t)offset + n, (uint8_t)(val >> 8 * n));
    }
}

const IoOps vga_window_ops = { .read = io_read, .write = io_write, .max_size = 8 };

/* ---- the window as plain memory ---- */

static bool is_plain(const Vga *v)
{
    unsigned mode = v->gc[GC_MODE];

    return linear(v) && (v->misc & MISC_RAM) && (v->gc[GC_MISC] >> 2 & 3) <= 1 &&
           (vga_vbe_on(v) || v->seq[SEQ_MAP_MASK] == 0xf) && (mode & (MODE_COMPARE | 3)) == 0 &&
           v->gc[GC_ENABLE_SR] == 0 && v->gc[GC_ROTATE] == 0 && v->gc[GC_BIT_MASK] == 0xff;
}

void vga_window_update(Vga *v)
{
    bool want = is_plain(v);
    uint32_t at = vga_vbe_on(v) ? ((uint32_t)v->vbe[VBE_BANK] << 16) & (v->ram_bytes - 1) : 0;

    if (want == v->direct.mapped && (!want || at == v->direct_at)) {
        return;
    }
    trace_vga_direct(want, at);
    mem_begin();
    if (v->direct.mapped) {
        mem_unmap(&v->direct);
    }
    if (want) {
        ram_region_init(&v->direct, "vga-direct", v->ram_offset + at, DIRECT_SIZE);
        v->direct_at = at;
        /* a second card's may be there: then this one goes on by registers */
        (void)!mem_map(&v->direct, WINDOW_BASE, PRIORITY_DIRECT, false, NULL);
    }
    mem_commit();
}
