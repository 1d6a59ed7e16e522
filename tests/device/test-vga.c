/* The VGA's registers, its window on video memory and the dispi interface, against FreeVGA (pages named). */
#include "tests/device/vga-modes.h"

#include <unistd.h>

#define WIN 0xa0000u

static uint8_t peek(hwaddr addr)
{
    return (uint8_t)mem_in(addr, 1);
}
static void poke(hwaddr addr, uint8_t val)
{
    mem_out(addr, val, 1);
}

/* ---- registers ---- */

/* "Attribute Controller Registers": 3C0h is index and data in turn; 3DAh makes it index. */
static void test_attribute_flip_flop(void **state)
{
    set_mode(&mode_03);
    in8(0x3da);
    out8(0x3c0, 0x03);
    out8(0x3c0, 0x2a);
    out8(0x3c0, 0x04); /* index again */
    in8(0x3da);        /* and once more */
    out8(0x3c0, 0x05);
    out8(0x3c0, 0x15);
    in8(0x3da);
    out8(0x3c0, 0x03);
    assert_int_equal(in8(0x3c0), 0x03);
    assert_int_equal(in8(0x3c1), 0x2a);
    in8(0x3da);
    out8(0x3c0, 0x05);
    assert_int_equal(in8(0x3c1), 0x15);
    in8(0x3ba); /* the mono port does not answer, and resets nothing */
    out8(0x3c0, 0x3f); /* so this is data */
    in8(0x3da);
    out8(0x3c0, 0x05);
    assert_int_equal(in8(0x3c1), 0x3f);
    in8(0x3da);
    out8(0x3c0, 0x20 | 0x12); /* Palette Address Source is read back */
    assert_int_equal(in8(0x3c0), 0x32);
    out8(0x3c0, 0xff);
    assert_int_equal(in8(0x3c1), 0x3f); /* only bits that exist */
}

/* "DAC Registers" */
static void test_dac(void **state)
{
    dac(10, 1, 2, 3);
    out8(0x3c9, 4); /* the index went on */
    out8(0x3c9, 5);
    out8(0x3c7, 11);
    assert_int_equal(in8(0x3c7), 3); /* reading */
    assert_int_equal(in8(0x3c9), 0); /* not taken over before the third byte */
    out8(0x3c8, 11);
    assert_int_equal(in8(0x3c7), 0);
    assert_int_equal(in8(0x3c8), 11);
    out8(0x3c9, 0x7f);
    out8(0x3c9, 5);
    out8(0x3c9, 6);
    assert_int_equal(in8(0x3c8), 12);
    out8(0x3c7, 10);
    for (unsigned n = 1; n < 4; n++) {
        assert_int_equal(in8(0x3c9), n);
    }
    assert_int_equal(in8(0x3c9), 0x3f); /* six bits */
    out8(0x3c6, 0x5a);
    assert_int_equal(in8(0x3c6), 0x5a);
    dispi(VBE_ENABLE, VBE_8BIT_DAC);
    dac(200, 0xff, 0x81, 0x01);
    out8(0x3c7, 200);
    assert_int_equal(in8(0x3c9), 0xff);
    assert_int_equal(in8(0x3c9), 0x81);
}

/* "CRT Controller Registers": protection, EVRA; "I/O Address Select" */
static void test_crtc(void **state)
{
    set_mode(&mode_03);
    assert_int_equal(in8(0x3b5), 0xff);
    crtc(0x11, 0x8e);
    crtc(0x00, 0x11); /* protected */
    crtc(0x07, 0x00); /* but for bit 4 */
    out8(0x3d4, 0x00);
    assert_int_equal(in8(0x3d5), 0x5f);
    out8(0x3d4, 0x07);
    assert_int_equal(in8(0x3d5), 0x1f & ~0x10);
    crtc(0x08, 0x33); /* not protected */
    assert_int_equal(in8(0x3d5), 0x33);
    crtc(0x11, 0x0e);
    crtc(0x00, 0x11);
    assert_int_equal(in8(0x3d5), 0x11);
    out8(0x3d4, 0x11);
    assert_int_equal(in8(0x3d5), 0x0e);
    crtc(0x03, 0x02); /* EVRA off: 10h and 11h are the light pen's */
    out8(0x3d4, 0x11);
    assert_int_equal(in8(0x3d5), 0);
    out8(0x3d4, 0x30);
    out8(0x3d5, 0xff); /* no such register */
    assert_int_equal(in8(0x3d5), 0);
    out8(0x3c2, 0x66); /* to 3B4h */
    assert_int_equal(in8(0x3d4), 0xff);
    assert_int_equal(in8(0x3b4), 0x30);
    assert_int_equal(in8(0x3cc), 0x66);
    out8(0x3ba, 0x03); /* feature control is read at 3CAh */
    assert_int_equal(in8(0x3ca), 0x03);
    assert_int_equal(in8(0x3c2) & 0x10, 0x10); /* "Input Status #0": switch sense */
}

/* Register bits that exist, and 16-bit writes of index and data. */
static void test_masks(void **state)
{
    static const uint8_t seq_mask[5] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
    static const uint8_t gc_mask[9] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };

    for (unsigned n = 0; n < 5; n++) {
        port_write(0x3c4, 0xff00 | n, 2);
        assert_int_equal(port_read(0x3c4, 2), (unsigned)seq_mask[n] << 8 | n);
    }
    for (unsigned n = 0; n < 9; n++) {
        port_write(0x3ce, 0xff00 | n, 2);
        assert_int_equal(port_read(0x3ce, 2), (unsigned)gc_mask[n] << 8 | n);
    }
    out8(0x3c4, 0xff);
    assert_int_equal(in8(0x3c4), 7);
}

/* ---- the window ---- */

/* "Memory Map Select", "RAM Enable" */
static void test_memory_map(void **state)
{
    static const hwaddr at[4] = { 0xa0000, 0xa8000, 0xb0000, 0xb8000 };
    /* which of them answers with each map: bit n */
    static const uint8_t answers[4] = { 0xf, 0x3, 0x4, 0x8 };

    set_mode(&mode_12);
    for (uint8_t map = 0; map < 4; map++) {
        gc(GC_MISC, (uint8_t)(map << 2 | 1));
        for (unsigned n = 0; n < 4; n++) {
            poke(at[n], 0x5a);
            poke(at[n] + 1, 0xa5);
            assert_int_equal(peek(at[n]), answers[map] >> n & 1 ? 0x5a : 0xff);
        }
    }
    gc(GC_MISC, 0x05);
    out8(0x3c2, 0xe1);
    assert_int_equal(peek(WIN), 0xff);
    out8(0x3c2, 0xe3);
    assert_int_equal(peek(WIN + 1), 0xa5);
}

static void planes_set(unsigned offset, uint32_t val)
{
    gc(GC_MODE, 0);
    gc(GC_BIT_MASK, 0xff);
    gc(GC_ENABLE_SR, 0);
    gc(GC_ROTATE, 0);
    for (unsigned p = 0; p < 4; p++) {
        seq(SEQ_MAP_MASK, (uint8_t)(1 << p));
        poke(WIN + offset, (uint8_t)(val >> 8 * p));
    }
    seq(SEQ_MAP_MASK, 0xf);
}
static uint32_t planes_get(unsigned offset)
{
    uint32_t val = 0;

    gc(GC_MODE, 0);
    for (unsigned p = 0; p < 4; p++) {
        gc(GC_READ_MAP, (uint8_t)p);
        val |= (uint32_t)peek(WIN + offset) << 8 * p;
    }
    gc(GC_READ_MAP, 0);
    return val;
}

/* "Write Mode 0": rotate, set/reset where enabled, logical operation, bit mask, map mask. */
static void test_write_mode_0(void **state)
{
    static const struct {
        uint8_t rotate, set, enable, bits, map, val;
        uint32_t want; /* with the latches at 0x0ff055aa */
    } t[] = {
        { 0, 0, 0, 0xff, 0xf, 0x3c, 0x3c3c3c3c },
        { 3, 0, 0, 0xff, 0xf, 0x81, 0x30303030 },              /* rotated right by 3 */
        { 0, 0x5, 0xf, 0xff, 0xf, 0x00, 0x00ff00ff },          /* set/reset alone */
        { 0, 0x4, 0x6, 0xff, 0xf, 0x3c, 0x3cff003c },          /* on planes 1 and 2 */
        { 0, 0, 0, 0x0f, 0xf, 0xcc, 0x0cfc5cac },              /* bit mask: low halves only */
        { 0x08, 0, 0, 0xff, 0xf, 0x3c, 0x0c301428 },           /* and */
        { 0x10, 0, 0, 0xff, 0xf, 0x3c, 0x3ffc7dbe },           /* or */
        { 0x18, 0, 0, 0xff, 0xf, 0x3c, 0x33cc6996 },           /* xor */
        { 0x1a, 0, 0, 0xf0, 0xf, 0xf0, 0x3fc0659a },           /* xor 3ch in the upper halves */
        { 0, 0, 0, 0xff, 0x9, 0x3c, 0x3cf0553c },              /* map mask */
    };

    set_mode(&mode_12);
    for (unsigned n = 0; n < ARRAY_SIZE(t); n++) {
        planes_set(7, 0x0ff055aa);
        gc(GC_ROTATE, t[n].rotate);
        gc(GC_SET_RESET, t[n].set);
        gc(GC_ENABLE_SR, t[n].enable);
        gc(GC_BIT_MASK, t[n].bits);
        seq(SEQ_MAP_MASK, t[n].map);
        peek(WIN + 7); /* load the latches */
        poke(WIN + 7, t[n].val);
        assert_int_equal(planes_get(7), t[n].want);
    }
}

/* "Write Mode 1", "Write Mode 2", "Write Mode 3" */
static void test_write_modes(void **state)
{
    set_mode(&mode_12);
    planes_set(0, 0x12345678);
    planes_set(1, 0);
    gc(GC_MODE, 1);
    gc(GC_BIT_MASK, 0x00); /* of no effect */
    peek(WIN);
    poke(WIN + 1, 0xff);
    assert_int_equal(planes_get(1), 0x12345678);

    planes_set(2, 0xffffffff);
    peek(WIN + 2);
    gc(GC_MODE, 2);
    gc(GC_BIT_MASK, 0x81);
    gc(GC_ENABLE_SR, 0xf); /* of no effect */
    gc(GC_ROTATE, 3);      /* nor the rotation */
    poke(WIN + 2, 0x05);
    gc(GC_ENABLE_SR, 0);
    assert_int_equal(planes_get(2), 0x7eff7eff);

    planes_set(3, 0x00ff00ff);
    peek(WIN + 3);
    gc(GC_MODE, 3);
    gc(GC_SET_RESET, 0x3);
    gc(GC_BIT_MASK, 0x3c);
    gc(GC_ROTATE, 4);
    poke(WIN + 3, 0xc3); /* rotated: 3c; and with the mask: 3c */
    assert_int_equal(planes_get(3), 0x00c33cff);
}

/* "Read Mode 1": bits where the planes that are cared for match Color Compare. */
static void test_read_mode_1(void **state)
{
    set_mode(&mode_12);
    planes_set(9, 0xf0f0cc0f); /* plane 0: 0f, 1: cc, 2 and 3: f0 */
    gc(GC_MODE, 8);
    gc(GC_COMPARE, 0x1); /* plane 0 set, the others clear */
    gc(GC_DONT_CARE, 0xf);
    assert_int_equal(peek(WIN + 9), 0x03);
    gc(GC_DONT_CARE, 0x1);
    assert_int_equal(peek(WIN + 9), 0x0f);
    gc(GC_DONT_CARE, 0x0);
    assert_int_equal(peek(WIN + 9), 0xff);
    gc(GC_COMPARE, 0xe);
    gc(GC_DONT_CARE, 0xc);
    assert_int_equal(peek(WIN + 9), 0xf0);
}

/* "Chain Odd/Even", "Odd/Even Page Select" */
static void test_odd_even(void **state)
{
    set_mode(&mode_03);
    mem_out(0xb8000, 0x1f41, 2);
    mem_out(0xb8002, 0x2e42, 2);
    assert_int_equal(mem_in(0xb8000, 4), 0x2e421f41);
    /* planes 0 and 1, at even offsets */
    seq(SEQ_MEMORY, 6);
    gc(GC_MODE, 0);
    gc(GC_MISC, 0x0d);
    gc(GC_READ_MAP, 0);
    assert_int_equal(mem_in(0xb8000, 4), 0x00420041);
    gc(GC_READ_MAP, 1);
    assert_int_equal(mem_in(0xb8000, 4), 0x002e001f);
    /* the other page is at odd ones */
    gc(GC_MISC, 0x0e);
    gc(GC_MODE, 0x10);
    seq(SEQ_MEMORY, 2);
    out8(0x3c2, 0x47);
    assert_int_equal(mem_in(0xb8000, 4), 0);
    mem_out(0xb8000, 0x5a, 1);
    out8(0x3c2, 0x67);
    assert_int_equal(peek(0xb8000), 0x41);
    /* planes 2 and 3 with a map mask and read map of theirs */
    seq(SEQ_MAP_MASK, 0xc);
    poke(0xb8000, 0x77);
    poke(0xb8001, 0x88);
    assert_int_equal(mem_in(0xb8000, 2), 0x1f41);
    gc(GC_READ_MAP, 2);
    assert_int_equal(mem_in(0xb8000, 2), 0x8877);
}

/* "Chain 4": the address's low bits choose the plane; such memory is plain RAM for the processor. */
static void test_chain_4(void **state)
{
    FlatView *v;

    set_mode(&mode_13);
    v = flat_view(false);
    assert_true(flat_find(v, WIN)->writable);
    assert_int_equal(flat_find(v, WIN)->last, 0xaffff);
    flat_view_unref(v);
    for (unsigned n = 0; n < 8; n++) {
        mem_out(WIN + n, 0x10 + n, 1);
    }
    assert_int_equal(mem_in(WIN, 8), 0x1716151413121110);
    seq(SEQ_MEMORY, 6); /* unchained: four pixels an address */
    v = flat_view(false);
    assert_false(flat_find(v, WIN)->writable);
    flat_view_unref(v);
    assert_int_equal(planes_get(0), 0x13121110);
    assert_int_equal(planes_get(1), 0x17161514);
    /* chained again, but not plain: the map mask holds planes back */
    seq(SEQ_MEMORY, 0xe);
    seq(SEQ_MAP_MASK, 0x5);
    for (unsigned n = 0; n < 8; n++) {
        poke(WIN + n, 0xee);
    }
    seq(SEQ_MAP_MASK, 0xf);
    assert_int_equal(mem_in(WIN, 8), 0x17ee15ee13ee11ee);
    /* a bit mask, with latches */
    gc(GC_BIT_MASK, 0xf0);
    peek(WIN);
    poke(WIN + 1, 0xaa);
    gc(GC_BIT_MASK, 0xff);
    assert_int_equal(peek(WIN + 1), 0xa1);
}

/* ---- retrace ---- */

/* Mode 3: 449 lines of 100 characters of 9 dots at 28.322 MHz, 31.778 us each; vertical retrace in lines
 * 412 and 413, 400 lines are shown. "Input Status #1 Register". */
static void test_retrace(void **state)
{
    const int64_t line = 100 * 9 * 1000000ll / 28322, frame = line * 449;
    unsigned shown = 0, retrace = 0;

    set_mode(&mode_03);
    clock_step(frame - clock_now(CLK_VIRTUAL) % frame);
    for (unsigned n = 0; n < 449; n++) {
        uint8_t v = in8(0x3da);

        shown += !(v & 1);
        retrace += (v & 8) != 0;
        assert_int_equal((v & 8) != 0, n == 412 || n == 413);
        assert_int_equal(v & 1, n >= 400);
        clock_step(line);
    }
    assert_int_equal(shown, 400);
    assert_int_equal(retrace, 2);
    /* inside of a line: 80 of 100 characters are shown */
    clock_step(line * 79 / 100);
    assert_int_equal(in8(0x3da) & 1, 0);
    clock_step(line * 2 / 100);
    assert_int_equal(in8(0x3da), 1);
    clock_step(line - line * 79 / 100 - line * 2 / 100 + 1);
    assert_int_equal(in8(0x3da) & 1, 0);
    /* registers that make no picture: there is a retrace all the same */
    for (uint8_t n = 0; n < 25; n++) {
        crtc(0x11, 0);
        crtc(n, 0);
    }
    retrace = 0;
    for (unsigned n = 0; n < 2000; n++) {
        retrace += (in8(0x3da) & 8) != 0;
        clock_step(20000);
    }
    assert_in_range(retrace, 1, 400);
}

/* ---- dispi ---- */

static void test_dispi(void **state)
{
    map_bars();
    assert_int_equal(dispi_in(VBE_ID), 0xb0c5);
    dispi(VBE_ID, 0xb0c0);
    assert_int_equal(dispi_in(VBE_ID), 0xb0c0);
    dispi(VBE_ID, 0x1234);
    assert_int_equal(dispi_in(VBE_ID), 0xb0c0);
    assert_int_equal(dispi_in(VBE_MEMORY), 256);
    dispi(VBE_MEMORY, 1);
    assert_int_equal(dispi_in(VBE_MEMORY), 256);
    assert_int_equal(port_read(0x1d0, 2), 256); /* the aligned twin of the data port */

    dispi(VBE_XRES, 800);
    dispi(VBE_YRES, 600);
    dispi(VBE_BPP, 32);
    dispi(VBE_ENABLE, VBE_GETCAPS);
    assert_int_equal(dispi_in(VBE_XRES), 16000);
    assert_int_equal(dispi_in(VBE_YRES), 12000);
    assert_int_equal(dispi_in(VBE_BPP), 32);
    mem_out(LFB, 0x11223344, 4);
    dispi(VBE_ENABLE, VBE_ENABLED | VBE_LFB | VBE_NOCLEAR);
    assert_int_equal(mem_in(LFB, 4), 0x11223344);
    assert_int_equal(dispi_in(VBE_XRES), 800);
    assert_int_equal(dispi_in(VBE_VIRT_WIDTH), 800);
    assert_int_equal(dispi_in(VBE_VIRT_HEIGHT), 16777216 / 3200);
    dispi(VBE_VIRT_WIDTH, 1000);
    assert_int_equal(dispi_in(VBE_VIRT_WIDTH), 1000);
    dispi(VBE_VIRT_WIDTH, 10); /* narrower than the picture */
    assert_int_equal(dispi_in(VBE_VIRT_WIDTH), 800);
    dispi(VBE_ENABLE, 0);
    dispi(VBE_ENABLE, VBE_ENABLED);
    assert_int_equal(mem_in(LFB, 4), 0); /* cleared */

    /* what cannot be becomes what can */
    dispi(VBE_ENABLE, 0);
    dispi(VBE_XRES, 16001);
    dispi(VBE_YRES, 60000);
    dispi(VBE_BPP, 77);
    dispi(VBE_ENABLE, VBE_ENABLED);
    assert_int_equal(dispi_in(VBE_BPP), 8);
    assert_int_equal(dispi_in(VBE_XRES), 16000);
    assert_true(dispi_in(VBE_YRES) * 16000u <= 16777216);
    assert_int_equal(dispi_in(100), 0);
    dispi(100, 1);
}

/* Banks: 64 KiB of linear memory at A0000h. */
static void test_banks(void **state)
{
    FlatView *v;

    map_bars();
    set_mode(&mode_13);
    dispi(VBE_XRES, 640);
    dispi(VBE_YRES, 480);
    dispi(VBE_BPP, 8);
    dispi(VBE_ENABLE, VBE_ENABLED);
    for (uint16_t n = 0; n < 5; n++) {
        dispi(VBE_BANK, n);
        mem_out(WIN + 5, 0xa0u + n, 1);
    }
    for (unsigned n = 0; n < 5; n++) {
        assert_int_equal(mem_in(LFB + n * 65536 + 5, 1), 0xa0 + n);
    }
    assert_int_equal(dispi_in(VBE_BANK), 4);
    v = flat_view(false);
    assert_true(flat_find(v, WIN)->writable);
    flat_view_unref(v);
    dispi(VBE_BANK, 0xffff); /* beyond the memory: it wraps */
    mem_out(WIN, 0x77, 1);
    assert_int_equal(mem_in(LFB + 0xff0000, 1), 0x77);
    /* four bits a pixel: banks of each plane */
    dispi(VBE_ENABLE, 0);
    dispi(VBE_BPP, 4);
    dispi(VBE_ENABLE, VBE_ENABLED);
    seq(SEQ_MEMORY, 6);
    dispi(VBE_BANK, 1);
    seq(SEQ_MAP_MASK, 4);
    mem_out(WIN + 3, 0x99, 1);
    assert_int_equal(mem_in(LFB + 4 * 0x10003 + 2, 1), 0x99);
    dispi(VBE_ENABLE, 0);
}

/* BAR 2: QEMU's "Standard VGA" specification. */
static void test_mmio(void **state)
{
    uint8_t sum = 0, edid[128];

    map_bars();
    for (unsigned n = 0; n < 128; n++) {
        edid[n] = (uint8_t)mem_in(MMIO + n, 1);
        sum = (uint8_t)(sum + edid[n]);
    }
    assert_int_equal(sum, 0);
    assert_int_equal(ld_le64(edid), 0x00ffffffffffff00);
    assert_int_equal(edid[0x38] | (edid[0x3a] & 0xf0) << 4, 1280);
    assert_int_equal(edid[0x3b] | (edid[0x3d] & 0xf0) << 4, 800);
    assert_int_equal(mem_in(MMIO + 128, 4), 0);

    mem_out(MMIO + 0x400 + 0x04, 0x0f02, 2); /* 3C4h: index 2, data 0fh */
    out8(0x3c4, 2);
    assert_int_equal(in8(0x3c5), 0x0f);
    assert_int_equal(mem_in(MMIO + 0x405, 1), 0x0f);
    assert_int_equal(mem_in(MMIO + 0x500, 2), 0xb0c5);
    mem_out(MMIO + 0x502, 1024, 2);
    mem_out(MMIO + 0x504, 0x00100300, 4); /* two registers at once */
    assert_int_equal(dispi_in(VBE_XRES), 1024);
    assert_int_equal(dispi_in(VBE_YRES), 768);
    assert_int_equal(dispi_in(VBE_BPP), 16);
    assert_int_equal(mem_in(MMIO + 0x600, 4), 8);
    assert_int_equal(mem_in(MMIO + 0x604, 4), 0x1e1e1e1e);
    mem_out(MMIO + 0x604, 0x12345678, 4);
    assert_int_equal(mem_in(MMIO + 0x604, 4), 0x1e1e1e1e);
    mem_out(MMIO + 0x604, 0xbebebebe, 4);
    assert_int_equal(mem_in(MMIO + 0x604, 4), 0xbebebebe);
    assert_int_equal(mem_in(MMIO + 0x700, 4), 0xffffffff);
}

static uint32_t config(unsigned reg)
{
    return pci_config_read(pci_bus_find(fake_board.pci, PCI_DEVFN(1, 0)), reg, 4);
}

static void test_pci(void **state)
{
    PciDevice *d = pci_bus_find(fake_board.pci, PCI_DEVFN(1, 0));

    assert_int_equal(config(0), 0x11111234);
    assert_int_equal(config(8) >> 8, 0x030000);
    assert_int_equal(config(PCI_SUBSYS_VENDOR), 0x11001af4);
    pci_config_write(d, PCI_BAR0, 0xffffffff, 4);
    assert_int_equal(config(PCI_BAR0), 0xff000008); /* 16 MiB, prefetchable */
    pci_config_write(d, PCI_BAR0 + 8, 0xffffffff, 4);
    assert_int_equal(config(PCI_BAR0 + 8), 0xfffff000);
    pci_config_write(d, PCI_ROM, 0xffffffff, 4);
    assert_int_equal(config(PCI_ROM), 0); /* romfile= */
}

/* ---- expansion ROM ---- */

static void test_rom(void **state)
{
    char path[] = "/tmp/doppel-rom-XXXXXX";
    int fd = mkstemp(path);
    Device *dev = fake_device(&vga_pci_class);
    uint8_t bytes[5000];
    Error *err = NULL;
    PciDevice *d;

    device_free(card);
    memset(bytes, 0x3c, sizeof(bytes));
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_true(device_set(dev, "romfile", path, NULL));
    assert_true(device_set(dev, "addr", "7.1", NULL));
    fake_realize(dev);
    d = pci_bus_find(fake_board.pci, PCI_DEVFN(7, 1));
    pci_config_write(d, PCI_ROM, 0xffffffff, 4);
    assert_int_equal(pci_config_read(d, PCI_ROM, 4), 0xffffe001); /* 8 KiB */
    pci_config_write(d, PCI_ROM, 0xfe000000, 4); /* not enabled */
    pci_config_write(d, PCI_COMMAND, PCI_CMD_MEMORY, 2);
    FlatView *v = flat_view(false);
    assert_null(flat_find(v, 0xfe000000));
    flat_view_unref(v);
    pci_config_write(d, PCI_ROM, 0xfe000001, 4);
    assert_int_equal(mem_in(0xfe000000, 4), 0x3c3c3c3c);
    assert_int_equal(mem_in(0xfe000000 + 4999, 2), 0x003c);
    mem_out(0xfe000000, 0, 4);
    assert_int_equal(mem_in(0xfe000000, 4), 0x3c3c3c3c);
    pci_config_write(d, PCI_COMMAND, 0, 2);
    v = flat_view(false);
    assert_null(flat_find(v, 0xfe000000));
    flat_view_unref(v);
    device_free(dev);
    close(fd);
    unlink(path);
    dev = fake_device(&vga_pci_class);
    assert_true(device_set(dev, "romfile", path, NULL));
    assert_false(device_realize(dev, &err)); /* and leaves nothing behind */
    expect_error(&err, path);
    assert_null(pci_bus_find(fake_board.pci, PCI_DEVFN(1, 0)));
    device_free(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VGA_TEST(test_attribute_flip_flop), VGA_TEST(test_dac),
        VGA_TEST(test_crtc),                VGA_TEST(test_masks),
        VGA_TEST(test_memory_map),          VGA_TEST(test_write_mode_0),
        VGA_TEST(test_write_modes),         VGA_TEST(test_read_mode_1),
        VGA_TEST(test_odd_even),            VGA_TEST(test_chain_4),
        VGA_TEST(test_retrace),             VGA_TEST(test_dispi),
        VGA_TEST(test_banks),               VGA_TEST(test_mmio),
        VGA_TEST(test_pci),                 VGA_TEST(test_rom),
    };
    return cmocka_run_group_tests_name("vga", tests, NULL, NULL);
}
