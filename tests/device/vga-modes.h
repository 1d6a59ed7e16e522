/*
 * Registers of the IBM modes, as IBM TR ("Video Subsystem", BIOS mode tables) and FreeVGA give them, and
 * a VGA card on a fake board, for the tests of it.
 */
#ifndef TESTS_DEVICE_VGA_MODES_H
#define TESTS_DEVICE_VGA_MODES_H

#include "tests/device/fake.h"

#include <stdlib.h>
#include "hw/display/vga.h"
#include "hw/pci/pci.h"

typedef struct ModeTable {
    uint8_t misc, seq[5], crtc[25], gc[9], attr[21];
} ModeTable;

#define PALETTE16 0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f

static const ModeTable mode_03 = { /* text, 80 by 25, 9 by 16 dots */
    0x67, { 3, 0, 3, 0, 2 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e,
      0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff }, { PALETTE16, 0x0c, 0, 0x0f, 8, 0 },
};
static const ModeTable mode_07 = { /* the same, monochrome */
    0x66, { 3, 0, 3, 0, 2 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e,
      0x8f, 0x28, 0x0d, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x10, 0x0a, 0, 0xff },
    { 0, 8, 8, 8, 8, 8, 8, 8, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x0e, 0, 0x0f, 8, 0 },
};
static const ModeTable mode_04 = { /* 320 by 200, 4 colours */
    0x63, { 3, 9, 3, 0, 2 },
    { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f,
      0x14, 0, 0x96, 0xb9, 0xa2, 0xff },
    { 0, 0, 0, 0, 0, 0x30, 0x0f, 0, 0xff },
    { 0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 3, 0, 0 },
};
static const ModeTable mode_0d = { /* 320 by 200, 16 colours */
    0x63, { 3, 9, 0xf, 0, 6 },
    { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f,
      0x14, 0, 0x96, 0xb9, 0xe3, 0xff },
    { 0, 0, 0, 0, 0, 0, 5, 0xf, 0xff }, { PALETTE16, 1, 0, 0x0f, 0, 0 },
};
static const ModeTable mode_12 = { /* 640 by 480, 16 colours */
    0xe3, { 3, 1, 0xf, 0, 6 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c, 0xdf,
      0x28, 0, 0xe7, 0x04, 0xe3, 0xff },
    { 0, 0, 0, 0, 0, 0, 5, 0xf, 0xff }, { PALETTE16, 1, 0, 0x0f, 0, 0 },
};
static const ModeTable mode_13 = { /* 320 by 200, 256 colours */
    0x63, { 3, 1, 0xf, 0, 0xe },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f,
      0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x40, 5, 0xf, 0xff },
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0x0f, 0, 0 },
};

static Device *card;
static uint16_t crtc_port = 0x3d4;

static inline void seq(uint8_t n, uint8_t val)
{
    out8(0x3c4, n);
    out8(0x3c5, val);
}
static inline void gc(uint8_t n, uint8_t val)
{
    out8(0x3ce, n);
    out8(0x3cf, val);
}
static inline void crtc(uint8_t n, uint8_t val)
{
    out8(crtc_port, n);
    out8((uint16_t)(crtc_port + 1), val);
}
static inline void attr(uint8_t n, uint8_t val)
{
    in8((uint16_t)(crtc_port + 6));
    out8(0x3c0, n);
    out8(0x3c0, val);
    out8(0x3c0, 0x20);
}
static inline void dispi(uint16_t n, uint16_t val)
{
    port_write(0x1ce, n, 2);
    port_write(0x1cf, val, 2);
}
static inline uint16_t dispi_in(uint16_t n)
{
    port_write(0x1ce, n, 2);
    return (uint16_t)port_read(0x1cf, 2);
}
static inline void dac(uint8_t n, uint8_t r, uint8_t g, uint8_t b)
{
    out8(0x3c8, n);
    out8(0x3c9, r);
    out8(0x3c9, g);
    out8(0x3c9, b);
}

static inline void set_mode(const ModeTable *t)
{
    out8(0x3c2, t->misc);
    crtc_port = t->misc & 1 ? 0x3d4 : 0x3b4;
    for (uint8_t n = 0; n < 5; n++) {
        seq(n, t->seq[n]);
    }
    crtc(0x11, 0); /* take the protection away */
    for (uint8_t n = 0; n < 25; n++) {
        crtc(n, t->crtc[n]);
    }
    for (uint8_t n = 0; n < 9; n++) {
        gc(n, t->gc[n]);
    }
    for (uint8_t n = 0; n < 21; n++) {
        attr(n, t->attr[n]);
    }
}

static inline int vga_setup(void **state)
{
    fake_setup(state);
    if (ram_host() == NULL) {
        assert_true(ram_create(2 << 20, NULL));
    }
    fake_board.pci = pci_bus_new(NULL, NULL);
    assert_true(pci_bus_map(fake_board.pci, NULL));
    card = fake_device(&vga_pci_class);
    assert_true(device_set(card, "romfile", "", NULL));
    fake_realize(card);
    crtc_port = 0x3d4;
    return 0;
}

static inline int vga_teardown(void **state)
{
    fake_teardown(state);
    pci_bus_unmap(fake_board.pci);
    pci_bus_free(fake_board.pci);
    assert_null(screen_first());
    return 0;
}

#define VGA_TEST(f) cmocka_unit_test_setup_teardown(f, vga_setup, vga_teardown)

#define LFB 0xe0000000u
#define MMIO 0xe2000000u

/* Put the BARs where firmware would. */
static inline void map_bars(void)
{
    PciDevice *d = pci_bus_find(fake_board.pci, PCI_DEVFN(1, 0));

    assert_non_null(d);
    pci_config_write(d, PCI_BAR0, LFB, 4);
    pci_config_write(d, PCI_BAR0 + 8, MMIO, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_IO, 2);
}

#endif
