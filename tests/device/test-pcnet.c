/*
 * The PCnet-PCI II through its registers and descriptors in memory, a fake peer at its port.
 */
#include "tests/device/fake-pci.h"

#include <zlib.h>
#include "base/mem.h"
#include "hw/net/pcnet.h"
#include "hw/pci/pci.h"

enum { INIT_AT = 0x800, TX_RING = 0x1000, RX_RING = 0x2000, RING = 8, TX_BUF = 0x10000, RX_BUF = 0x40000,
       RX_SIZE = 1536 };
#define OWN 0x80u
#define STP 0x02u
#define ENP 0x01u

extern const DeviceClass pcnet_class;

static unsigned style;

static int setup(void **state)
{
    fake_pci_setup(state);
    fake_card(&pcnet_class, 0, 1);
    return 0;
}

static uint16_t csr(unsigned n)
{
    port_write(FAKE_IO + 0x12, n, 2);
    return (uint16_t)port_read(FAKE_IO + 0x10, 2);
}
static void set_csr(unsigned n, unsigned val)
{
    port_write(FAKE_IO + 0x12, n, 2);
    port_write(FAKE_IO + 0x10, val, 2);
}
static uint16_t bcr(unsigned n)
{
    port_write(FAKE_IO + 0x12, n, 2);
    return (uint16_t)port_read(FAKE_IO + 0x16, 2);
}

/* put_desc - descriptor @n of the ring at @ring. desc_flags, desc_status: of one that came back. */
static void put_desc(uint32_t ring, unsigned n, uint32_t buf, unsigned len, unsigned flags)
{
    uint8_t *d = ram(ring + n * (style == 0 ? 8 : 16));

    if (style == 0) {
        st_le32(d, buf | flags << 24);
        st_le16(d + 4, (uint16_t)-len);
        st_le16(d + 6, 0);
    } else {
        st_le32(d + (style == 3 ? 8 : 0), buf);
        st_le32(d + 4, flags << 24 | ((0u - len) & 0xffff));
        st_le32(d + (style == 3 ? 0 : 8), 0);
    }
}
static unsigned desc_flags(uint32_t ring, unsigned n)
{
    return style == 0 ? *ram(ring + 8 * n + 3) : *ram(ring + 16 * n + 7);
}
static uint32_t desc_status(uint32_t ring, unsigned n)
{
    return style == 0 ? ld_le16(ram(ring + 8 * n + 6)) : ld_le32(ram(ring + 16 * n + (style == 3 ? 0 : 8)));
}

/* begin - both rings, as a driver with software style @with does it; all interrupts. */
static void begin(unsigned with, uint16_t mode)
{
    uint8_t *b = ram(INIT_AT);
    unsigned at = with == 0 ? 2 : 4;

    style = with;
    port_read(FAKE_IO + 0x14, 2);
    set_csr(58, style);
    memset(b, 0, 28);
    st_le16(b, mode);
    memcpy(b + at, "\x52\x54\0\1\2\3", 6);
    if (style == 0) {
        st_le32(b + 16, RX_RING | 3u << 29);
        st_le32(b + 20, TX_RING | 3u << 29);
    } else {
        b[2] = b[3] = 3 << 4;
        st_le32(b + 20, RX_RING);
        st_le32(b + 24, TX_RING);
    }
    for (unsigned n = 0; n < RING; n++) {
        put_desc(RX_RING, n, RX_BUF + n * RX_SIZE, RX_SIZE, OWN);
        put_desc(TX_RING, n, 0, 0, 0);
    }
    set_csr(1, INIT_AT);
    set_csr(2, 0);
    set_csr(0, 0x0001);
    assert_int_equal(csr(0), 0x0181); /* IDON, INTR, INIT */
    set_csr(0, 0x0142);
    assert_int_equal(fake_irq, 0);
}

static void test_identity(void **state)
{
    PciDevice *d = pci_bus_find(fake_bus, PCI_DEVFN(1, 0));
    unsigned sum = 0;

    assert_int_equal(pci_config_read(d, 0, 4), 0x20001022);
    assert_int_equal(csr(0), 4);
    assert_int_equal(csr(88) | (uint32_t)csr(89) << 16, 0x02621003);
    assert_int_equal(in8(FAKE_IO) | in8(FAKE_IO + 1) << 8, 0x5452);
    assert_int_equal(port_read(FAKE_IO + 14, 2), 0x5757);
    for (unsigned n = 0; n < 16; n++) {
        sum += n == 12 || n == 13 ? 0 : in8((uint16_t)(FAKE_IO + n));
    }
    assert_int_equal(port_read(FAKE_IO + 12, 2), sum);
    assert_int_equal(bcr(4), 0x80c0); /* the link's LED */
    assert_true(net_set_link("pcnet.0", false, NULL));
    assert_int_equal(bcr(4), 0x00c0);
    assert_int_equal(bcr(20), 0x0200);
    assert_int_equal(csr(12) | csr(13) << 16, 0x01005452);
    mem_out(FAKE_MMIO + 0x10, 0, 4); /* now 32 bits wide */
    mem_out(FAKE_MMIO + 0x14, 88, 4);
    assert_int_equal(mem_in(FAKE_MMIO + 0x10, 4), 0x1003);
    assert_int_equal(port_read(FAKE_IO + 0x10, 2), 0);
    mem_in(FAKE_MMIO + 0x18, 4); /* a soft reset leaves that */
    mem_out(FAKE_MMIO + 0x14, 18, 4);
    assert_int_equal(mem_in(FAKE_MMIO + 0x1c, 4) & 0x80, 0x80);
}

static void send_and_receive(unsigned with)
{
    uint8_t *f = ram(TX_BUF), own[60] = { 0x52, 0x54, 0, 1, 2, 3, 2, 0, 0, 0, 0, 1, 8, 6, 0x77 };

    begin(with, 0);
    for (unsigned n = 0; n < 100; n++) {
        f[n] = (uint8_t)(n * 3);
    }
    put_desc(TX_RING, 0, TX_BUF, 30, OWN | STP); /* in two pieces */
    put_desc(TX_RING, 1, TX_BUF + 30, 70, OWN | ENP);
    fake_peer.got = 0;
    set_csr(0, 0x0048);
    assert_int_equal(fake_peer.got, 1);
    assert_int_equal(fake_peer.len[0], 100);
    assert_memory_equal(fake_peer.frame[0], f, 100);
    assert_int_equal(desc_flags(TX_RING, 0) << 8 | desc_flags(TX_RING, 1), STP << 8 | ENP);
    assert_int_equal(fake_irq, 1);
    assert_int_equal(csr(0), 0x02f3);
    set_csr(0, 0x0240);
    assert_int_equal(fake_irq, 0);
    net_send(&fake_peer.port, own, 20);
    assert_int_equal(fake_irq, 1);
    assert_int_equal(csr(0), 0x04f3);
    set_csr(0, 0x0440);
    assert_int_equal(fake_irq, 0);
    assert_int_equal(desc_flags(RX_RING, 0) & 0xbf, STP | ENP);
    assert_int_equal(desc_status(RX_RING, 0), 64);
    assert_memory_equal(ram(RX_BUF), own, sizeof(own));
    assert_int_equal(ld_le32(ram(RX_BUF + 60)), crc32(0, own, sizeof(own)));
    own[5] = 9; /* another's */
    net_send(&fake_peer.port, own, sizeof(own));
    memcpy(own, "\x01\x00\x5e\x00\x00\xfb", 6);
    net_send(&fake_peer.port, own, sizeof(own));
    assert_int_equal(desc_flags(RX_RING, 1), OWN);
    memset(own, 0xff, 6);
    net_send(&fake_peer.port, own, sizeof(own));
    assert_int_equal(desc_flags(RX_RING, 1) & 0x8f, STP | ENP);
}

static void test_styles(void **state)
{
    for (unsigned n = 0; n < 4; n++) {
        send_and_receive(n);
    }
}

/* A driver that says nothing is noticed in time; with DPOLL it is not. */
static void test_polling(void **state)
{
    begin(2, 0);
    clock_step(NS_PER_SEC);
    put_desc(TX_RING, 0, TX_BUF, 60, OWN | STP | ENP);
    clock_step(40 * NS_PER_MS);
    assert_int_equal(fake_peer.got, 1);
    set_csr(4, 0x1000);
    clock_step(100 * NS_PER_MS);
    put_desc(TX_RING, 1, TX_BUF, 60, OWN | STP | ENP);
    clock_step(NS_PER_SEC);
    assert_int_equal(fake_peer.got, 1);
    set_csr(0, 0x0008);
    assert_int_equal(fake_peer.got, 2);
}

static void test_flow_out(void **state)
{
    begin(3, 0);
    for (unsigned n = 0; n < RING; n++) {
        put_desc(TX_RING, n, TX_BUF, 60, OWN | STP | ENP);
    }
    fake_peer.full = true;
    set_csr(0, 0x0048);
    assert_int_equal(desc_flags(TX_RING, 0), OWN | STP | ENP);
    fake_peer.full = false;
    net_accept(&fake_peer.port);
    assert_int_equal(fake_peer.got, RING);
}

/* Frames wait while the driver has no buffers, and come when it has given some, in order. */
static void test_flow_in(void **state)
{
    uint8_t f[60] = { 0x52, 0x54, 0, 1, 2, 3 };

    begin(2, 0);
    for (f[20] = 0; f[20] < 10; f[20]++) {
        net_send(&fake_peer.port, f, sizeof(f));
    }
    assert_false(net_can_send(&fake_peer.port));
    put_desc(RX_RING, 0, RX_BUF, RX_SIZE, OWN);
    put_desc(RX_RING, 1, RX_BUF + RX_SIZE, RX_SIZE, OWN);
    put_desc(RX_RING, 2, RX_BUF + 2 * RX_SIZE, RX_SIZE, OWN);
    clock_step(5 * NS_PER_MS);
    assert_true(net_can_send(&fake_peer.port));
    assert_int_equal(ram(RX_BUF + 7 * RX_SIZE)[20], 7);
    assert_int_equal(ram(RX_BUF)[20], 8);
    assert_int_equal(ram(RX_BUF + RX_SIZE)[20], 9);
    assert_int_equal(desc_flags(RX_RING, 2), OWN);
    assert_int_equal(csr(112), 0); /* none missed */
}

/* A long frame takes several buffers; one that finds too few ends with an error. */
static void test_parts(void **state)
{
    static uint8_t f[1000] = { 0x52, 0x54, 0, 1, 2, 3 };

    begin(3, 0);
    for (unsigned n = 0; n < RING; n++) {
        put_desc(RX_RING, n, RX_BUF + n * RX_SIZE, n < 3 ? 400 : 100, n < 5 ? OWN : 0);
    }
    f[999] = 0x77;
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(desc_flags(RX_RING, 0), STP);
    assert_int_equal(desc_flags(RX_RING, 1), 0);
    assert_int_equal(desc_flags(RX_RING, 2) & 0x8f, ENP);
    assert_int_equal(desc_status(RX_RING, 2), 1004);
    assert_int_equal(ram(RX_BUF + 2 * RX_SIZE)[199], 0x77);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(desc_flags(RX_RING, 4), 0x44); /* ERR, BUFF */
    put_desc(TX_RING, 0, TX_BUF, 60, OWN | STP); /* and out: the second half never comes */
    set_csr(0, 0x0048);
    assert_int_equal(fake_peer.got, 0);
    assert_int_equal(desc_status(TX_RING, 0), 0xc0000000); /* BUFF, UFLO */
    assert_int_equal(csr(0) & 0x30, 0x20); /* the transmitter is off */
}

/* What is sent in loop-back comes in, once, and the wire sees none of it. */
static void test_loopback(void **state)
{
    begin(2, PCNET_LOOP | PCNET_PROM);
    for (unsigned n = 0; n < RING; n++) {
        put_desc(TX_RING, n, TX_BUF, 100, OWN | STP | ENP);
    }
    set_csr(0, 0x0048);
    assert_int_equal(fake_peer.got, 0);
    for (unsigned n = 0; n < RING; n++) {
        assert_int_equal(desc_flags(RX_RING, n) & 0x8f, STP | ENP);
        assert_int_equal(desc_status(RX_RING, n), 104);
    }
    net_send(&fake_peer.port, (const uint8_t[60]){ 0x52 }, 60);
    assert_int_equal(csr(0) & PCNET_MISS, 0);
}

/* Padding, and the driver's own FCS. */
static void test_pad(void **state)
{
    begin(2, 0);
    set_csr(4, 0x0800);
    put_desc(TX_RING, 0, TX_BUF, 20, OWN | STP | ENP);
    set_csr(0, 0x0048);
    assert_int_equal(fake_peer.len[0], 60);
    begin(2, PCNET_DXMTFCS);
    put_desc(TX_RING, 0, TX_BUF, 64, OWN | STP | ENP);
    put_desc(TX_RING, 1, TX_BUF, 64, OWN | STP | ENP | 0x20);
    set_csr(0, 0x0048);
    assert_int_equal(fake_peer.len[1], 60);
    assert_int_equal(fake_peer.len[2], 64);
}

/* Its rings, buffers and initialization block in its own registers: refused, an error is reported, nothing else. */
static void test_own_registers(void **state)
{
    begin(2, 0);
    put_desc(TX_RING, 0, FAKE_MMIO, 60, OWN | STP | ENP);
    put_desc(RX_RING, 0, FAKE_MMIO, RX_SIZE, OWN);
    set_csr(0, 0x0048);
    assert_true(csr(0) & PCNET_MERR);
    set_csr(0, 0x7f40);
    net_send(&fake_peer.port, (const uint8_t[60]){ 0x52, 0x54, 0, 1, 2, 3 }, 60);
    assert_true(csr(0) & PCNET_MERR);
    set_csr(0, 4);
    set_csr(1, 0);
    set_csr(2, FAKE_MMIO >> 16);
    set_csr(0, 0x0041);
    assert_int_equal(csr(0) & (PCNET_MERR | PCNET_IDON), PCNET_MERR);
    assert_int_equal(fake_irq, 1);
    set_csr(0, 4);
    assert_int_equal(fake_irq, 0);
}

/* Rings of any length that a driver writes there itself, and counters of them. */
static void test_lengths(void **state)
{
    begin(2, 0);
    set_csr(0, 4);
    for (unsigned len = 1; len < 65536; len += 4369) {
        set_csr(78, -len);
        set_csr(76, -len);
        set_csr(74, 0xffff);
        assert_int_equal(csr(74), 0xffff);
        assert_int_equal(csr(78), (uint16_t)-len);
    }
    set_csr(24, 0xfff0); /* at the end of memory */
    set_csr(25, 0xffff);
    set_csr(30, 0xfff8);
    set_csr(31, 0xffff);
    set_csr(0, 0x0042);
    net_send(&fake_peer.port, (const uint8_t[60]){ 0x52, 0x54, 0, 1, 2, 3 }, 60);
    assert_true(csr(0) & PCNET_MERR);
}

static void test_suspend(void **state)
{
    begin(2, 0);
    set_csr(5, PCNET_SPND);
    put_desc(TX_RING, 0, TX_BUF, 60, OWN | STP | ENP);
    set_csr(0, 0x0048);
    assert_int_equal(fake_peer.got, 0);
    set_csr(5, 0);
    assert_int_equal(fake_peer.got, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fake_pci_teardown)
    const struct CMUnitTest tests[] = {
        T(test_identity), T(test_styles),   T(test_polling), T(test_flow_out),      T(test_flow_in), T(test_parts),
        T(test_loopback), T(test_pad),      T(test_own_registers), T(test_lengths), T(test_suspend),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
