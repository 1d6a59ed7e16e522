/*
 * The RTL8029AS through its ports, a fake peer at its port.
 */
#include "tests/device/fake-pci.h"

#include <zlib.h>
#include "base/mem.h"
#include "hw/net/nic.h"
#include "hw/pci/pci.h"

enum { TX_PAGE = 0x40, START = 0x46, STOP = 0x80 };

extern const DeviceClass ne2k_pci_class;

static int setup(void **state)
{
    fake_pci_setup(state);
    fake_card(&ne2k_pci_class, 0, -1);
    return 0;
}

static uint8_t reg(unsigned n)
{
    return in8((uint16_t)(FAKE_IO + n));
}
static void set(unsigned n, unsigned val)
{
    out8((uint16_t)(FAKE_IO + n), (uint8_t)val);
}

/* remote - set up remote DMA of @len bytes at @at; @cmd: 0Ah reads, 12h writes. */
static void remote(unsigned at, unsigned len, unsigned cmd)
{
    set(0, 0x22);
    set(0x0a, len & 0xff);
    set(0x0b, len >> 8);
    set(0x08, at & 0xff);
    set(0x09, at >> 8);
    set(0, cmd);
}

static void put(unsigned at, const uint8_t *p, unsigned len)
{
    remote(at, len, 0x12);
    for (unsigned n = 0; n < len; n += 2) {
        port_write(FAKE_IO + 0x10, ld_le16(p + n), 2);
    }
}

static void get(unsigned at, uint8_t *p, unsigned len)
{
    remote(at, len, 0x0a);
    for (unsigned n = 0; n < len; n += 2) {
        st_le16(p + n, (uint16_t)port_read(FAKE_IO + 0x10, 2));
    }
}

/* begin - as drivers do: words, broadcasts and its own address, all interrupts. */
static void begin(void)
{
    set(0, 0x21);
    set(0x0e, 0x49);
    set(0x0c, 0x04);
    set(0x0d, 0x00);
    set(0x01, START);
    set(0x02, STOP);
    set(0x03, STOP - 1);
    set(0, 0x61);
    for (unsigned n = 0; n < 6; n++) {
        set(1 + n, (const uint8_t[]){ 0x52, 0x54, 0, 1, 2, 3 }[n]);
    }
    set(7, START);
    set(0, 0x21);
    set(0x07, 0xff);
    set(0x0f, 0x7f);
    set(0, 0x22);
}

static uint8_t curr(void)
{
    uint8_t val;

    set(0, 0x62);
    val = reg(7);
    set(0, 0x22);
    return val;
}

static void test_identity(void **state)
{
    PciDevice *d = pci_bus_find(fake_bus, PCI_DEVFN(1, 0));
    uint8_t prom[16];

    assert_int_equal(pci_config_read(d, 0, 4), 0x802910ec);
    assert_int_equal(reg(0x0a), 'P');
    assert_int_equal(reg(0x0b), 'C');
    assert_int_equal(reg(0), 0x21);
    set(0x0e, 0x49);
    remote(0, 32, 0x0a);
    for (unsigned n = 0; n < 16; n++) { /* a byte's access takes a word */
        prom[n] = reg(0x10);
    }
    assert_memory_equal(prom, "\x52\x54\0\1\2\3", 6);
    assert_int_equal(prom[14] << 8 | prom[15], 0x5757);
    assert_int_equal(reg(7) & 0x40, 0x40); /* RDC */
    set(0x0e, 0x48);
    remote(0, 4, 0x0a);
    assert_int_equal(port_read(FAKE_IO + 0x10, 4), 0x54545252);
    set(0, 0xe2);
    assert_int_equal(reg(0x0e) | reg(0x0f) << 8, 0x8029);
}

/* The same chip on the ISA bus: its ports, no RTL8029AS, its interrupt. */
static void test_isa(void **state)
{
    enum { ISA_IO = 0x300, ISA_IRQ = 9 };
    static const uint8_t to_prom[][2] = { { 0x00, 0x21 }, { 0x0e, 0x49 }, { 0x0f, 0x40 }, { 0x0a, 32 }, { 0x0b, 0 },
                                          { 0x08, 0 }, { 0x09, 0 }, { 0x00, 0x0a } };
    static const uint8_t prom[16] = { 0x52, 0x54, 0, 10, 11, 12, [14] = 0x57, 0x57 };
    Device *dev = fake_device(device_class_find("ne2k_isa")), *other = fake_device(dev->cls);

    assert_true(device_set(dev, "mac", "52:54:00:0a:0b:0c", NULL));
    fake_realize(dev);
    assert_int_equal(in8(ISA_IO + 0x0a), 0xff); /* the RTL8029AS says 'P' */
    for (unsigned n = 0; n < ARRAY_SIZE(to_prom); n++) {
        out8((uint16_t)(ISA_IO + to_prom[n][0]), to_prom[n][1]);
    }
    for (unsigned n = 0; n < 16; n++) {
        assert_int_equal(fake_lines[ISA_IRQ].level, 0);
        assert_int_equal(port_read(ISA_IO + 0x10, 2), prom[n] * 0x101);
    }
    assert_int_equal(fake_lines[ISA_IRQ].level, 1);
    out8(ISA_IO + 7, 0x40);
    assert_int_equal(fake_lines[ISA_IRQ].level, 0);
    assert_false(device_realize(other, NULL)); /* its ports are taken */
    device_free(other);
}

static void test_memory(void **state)
{
    static const uint8_t data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    uint8_t back[8];

    begin();
    put(0x4000, data, 8);
    assert_int_equal(reg(7), 0x40);
    assert_int_equal(fake_irq, 1);
    set(7, 0x40);
    assert_int_equal(fake_irq, 0);
    get(0x4000, back, 8);
    assert_memory_equal(back, data, 8);
    put(0x7ffc, data, 8); /* around the ring */
    get(0x4600, back, 4);
    assert_memory_equal(back, data + 4, 4);
    put(0, data, 8); /* the PROM is one; behind the memory there is nothing */
    put(0xc000, data, 8);
    get(0, back, 2);
    assert_int_equal(back[0], 0x52);
    get(0xc000, back, 2);
    assert_int_equal(back[0], 0xff);
    remote(0x4000, 2, 0x12);
    for (unsigned n = 0; n < 100; n++) { /* no more than was asked for */
        port_write(FAKE_IO + 0x10, 0xeeee, 2);
    }
    get(0x4002, back, 2);
    assert_int_equal(back[0], 3);
}

static void test_send(void **state)
{
    uint8_t f[64] = { 2, 0, 0, 0, 0, 1, 0x52, 0x54, 0, 1, 2, 3, 8, 0, 0x45 };

    begin();
    put(TX_PAGE << 8, f, sizeof(f));
    set(7, 0xff);
    set(4, TX_PAGE);
    set(5, sizeof(f));
    set(6, 0);
    set(0, 0x26);
    assert_int_equal(fake_peer.got, 1);
    assert_int_equal(fake_peer.len[0], sizeof(f));
    assert_memory_equal(fake_peer.frame[0], f, sizeof(f));
    assert_int_equal(reg(4), 1);
    assert_int_equal(reg(0), 0x22); /* TXP is over */
    assert_int_equal(reg(7), 2);
    assert_int_equal(fake_irq, 1);
    set(7, 2);
    assert_int_equal(fake_irq, 0);
    set(6, 0xff); /* longer than any frame: over at once, and nobody hears it */
    set(0, 0x26);
    assert_int_equal(fake_peer.got, 1);
    assert_int_equal(reg(7), 2);
    set(6, 0);
    assert_true(net_set_link("ne2k_pci.0", false, NULL));
    set(0, 0x26);
    assert_int_equal(fake_peer.got, 1);
    assert_int_equal(reg(4), 0x11); /* carrier lost */
    assert_true(net_set_link("ne2k_pci.0", true, NULL));
}

/* "Loopback Diagnostics", mode 1: what comes back is in the FIFO, and nowhere else. */
static void test_loopback(void **state)
{
    uint8_t f[64] = { 0x52, 0x54, 0, 1, 2, 3 }, got[8];

    begin();
    f[63] = 0xa5;
    put(TX_PAGE << 8, f, sizeof(f));
    set(7, 0xff);
    set(0x0d, 2);
    set(4, TX_PAGE);
    set(5, sizeof(f));
    set(0, 0x26);
    assert_int_equal(fake_peer.got, 0);
    assert_int_equal(curr(), START);
    assert_int_equal(reg(4) << 16 | reg(12) << 8 | reg(7), 0x530202);
    for (unsigned n = 0; n < 8; n++) {
        got[n] = reg(6);
    }
    assert_int_equal(got[0] << 24 | got[1] << 16 | got[2] << 8 | got[3], 68u << 24 | 0xa5);
    assert_int_equal(ld_le32(got + 4), crc32(0, f, sizeof(f)));
    net_send(&fake_peer.port, f, sizeof(f)); /* and the wire is not heard */
    assert_int_equal(curr(), START);
}

static void test_receive(void **state)
{
    uint8_t f[60] = { 0x52, 0x54, 0, 1, 2, 3, 2, 0, 0, 0, 0, 1, 8, 6, 0x77 }, back[68];

    begin();
    net_send(&fake_peer.port, f, 20); /* padded */
    assert_int_equal(fake_irq, 1);
    assert_int_equal(reg(7), 1);
    assert_int_equal(curr(), START + 1);
    get(START << 8, back, sizeof(back));
    assert_int_equal(ld_le32(back), 64u << 16 | (START + 1) << 8 | 0x01);
    assert_memory_equal(back + 4, f, sizeof(f));
    assert_int_equal(ld_le32(back + 64), crc32(0, f, sizeof(f)));
    f[5] = 4; /* another's */
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(curr(), START + 1);
    set(0x0c, 0x14);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(curr(), START + 2);
    memset(f, 0xff, 6);
    net_send(&fake_peer.port, f, sizeof(f));
    get((START + 2) << 8, back, 4);
    assert_int_equal(back[0], 0x21);
    memcpy(f, "\x01\x00\x5e\x00\x00\xfb", 6);
    set(0x0c, 0x0c);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(curr(), START + 3);
    set(0, 0x62);
    set(8 + (nic_hash(f) >> 3), 1u << (nic_hash(f) & 7));
    set(0, 0x22);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(curr(), START + 4);
    set(0x0c, 0x2c); /* monitor */
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(curr(), START + 4);
    assert_int_equal(reg(0x0f), 1);
    assert_int_equal(reg(0x0f), 0); /* cleared by reading */
}

/* Frames wait while the ring is full, come when BNRY moves, and are told of again when PRX was acknowledged too early. */
static void test_flow(void **state)
{
    static uint8_t f[1514] = { 0x52, 0x54, 0, 1, 2, 3 };
    uint8_t head[4];

    begin();
    for (f[20] = 0; f[20] < 12; f[20]++) {
        net_send(&fake_peer.port, f, sizeof(f));
    }
    assert_int_equal(curr(), START + 9 * 6); /* 58 pages, six for each */
    assert_false(net_can_send(&fake_peer.port));
    set(7, 1);
    assert_int_equal(fake_irq, 0);
    clock_step(50000);
    assert_int_equal(fake_irq, 1);
    set(3, START + 17); /* the first three were read */
    get((START + 54) << 8, head, 4);
    assert_int_equal(head[1], START + 54 + 6 - (STOP - START)); /* it goes on at the first page */
    assert_int_equal(curr(), START + 12 * 6 - (STOP - START));
    set(3, curr() - 1); /* all were read */
    assert_true(net_can_send(&fake_peer.port));
    set(7, 0x7f);
    clock_step(50000);
    assert_int_equal(fake_irq, 0);
    set(0, 0x21);
    assert_int_equal(reg(7) & 0x80, 0x80);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(curr(), START + 12 * 6 - (STOP - START));
}

/* Registers that make no ring, and the whole range of them, do nothing bad. */
static void test_nonsense(void **state)
{
    uint8_t f[1514] = { 0x52, 0x54, 0, 1, 2, 3 };

    for (unsigned n = 0; n < 256; n += 5) {
        begin();
        set(1, n);
        set(2, 255 - n);
        set(3, n * 7);
        set(0, 0x62);
        set(7, n * 3);
        set(0, 0x22);
        net_send(&fake_peer.port, f, sizeof(f));
        set(4, n);
        set(6, 5);
        set(0, 0x26);
        set(0, 0x1a); /* Send Packet */
        port_read(FAKE_IO + 0x10, 4);
        net_unplug(&fake_peer.port);
        net_plug(&fake_peer.port, net_find_card("ne2k_pci.0"));
    }
}

static void test_reset(void **state)
{
    uint8_t f[60] = { 0x52, 0x54, 0, 1, 2, 3 };

    begin();
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(fake_irq, 1);
    reg(0x18);
    set(0x18, 0);
    assert_int_equal(fake_irq, 0);
    assert_int_equal(reg(7) & 0x81, 0x80);
    assert_int_equal(reg(0) & 3, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fake_pci_teardown)
    const struct CMUnitTest tests[] = {
        T(test_identity), T(test_isa), T(test_memory), T(test_send),     T(test_loopback),
        T(test_receive),  T(test_flow),   T(test_nonsense), T(test_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
