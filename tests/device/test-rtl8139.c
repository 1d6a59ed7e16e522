/*
 * The RTL8139C+ through its registers, its ring buffer and its descriptors, a fake peer at its port.
 */
#include "tests/device/fake-pci.h"

#include <zlib.h>

enum { TSD = 0x10, TSAD = 0x20, RBSTART = 0x30, CR = 0x37, CAPR = 0x38, CBR = 0x3a, IMR = 0x3c, ISR = 0x3e, TCR = 0x40,
       RCR = 0x44, MPC = 0x4c, TIMERINT = 0x54, TCTR = 0x48, TPPOLL = 0xd9, CPCR = 0xe0, RDSAR = 0xe4 };
enum { ROK = 1, TOK = 4, OVW = 0x10, TIMEOUT = 0x4000, OWN_BIT = 0x2000, RX = 0x20000, TX = 0x40000, TX_RING = 0x1000,
       RX_RING = 0x2000, RING_SIZE = 8192 };
#define D_OWN 0x80000000u
#define D_EOR 0x40000000u
#define D_FS 0x20000000u
#define D_LS 0x10000000u

extern const DeviceClass rtl8139_class;

static int setup(void **state)
{
    fake_pci_setup(state);
    fake_card(&rtl8139_class, 0, 1);
    return 0;
}

static uint32_t reg(uint32_t at, unsigned size)
{
    return (uint32_t)mem_in(FAKE_MMIO + at, size);
}
static void set(uint32_t at, uint32_t val, unsigned size)
{
    mem_out(FAKE_MMIO + at, val, size);
}

/* begin - the ring buffer, frames for it and to all, all interrupts. */
static void begin(void)
{
    set(CR, 0x10, 1);
    assert_false(reg(CR, 1) & 0x10);
    set(RBSTART, RX, 4);
    set(CR, 0x0c, 1);
    set(RCR, 0x0a, 4);
    set(IMR, 0xffff, 2);
    set(ISR, 0xffff, 2);
    fake_irq = 0;
}

static void comes(uint8_t to, size_t len)
{
    static uint8_t f[2048];

    memset(f, 0x33, sizeof(f));
    memcpy(f, "\x52\x54\0\1\2\3", 6);
    f[5] = to;
    net_send(&fake_peer.port, f, len);
}

static void test_identity(void **state)
{
    assert_int_equal(pci_config_read(pci_bus_find(fake_bus, PCI_DEVFN(1, 0)), 0, 4), 0x813910ec);
    assert_int_equal(reg(0, 4), 0x01005452);
    assert_int_equal(reg(4, 2), 0x0302);
    assert_int_equal(port_read(FAKE_IO, 4), 0x01005452);
    assert_int_equal(reg(CR, 1), 1); /* the buffer is empty */
    assert_int_equal(reg(TSD, 4) & OWN_BIT, OWN_BIT);
}

static void test_send(void **state)
{
    begin();
    for (unsigned n = 0; n < 6; n++) {
        memset(ram(TX), (int)(0x40 + n), 100);
        set(TSAD + 4 * (n % 4), TX, 4);
        set(TSD + 4 * (n % 4), 60 + n, 4);
        assert_int_equal(fake_peer.got, n + 1);
        assert_int_equal(fake_peer.len[n], 60 + n);
        assert_int_equal(fake_peer.frame[n][59], 0x40 + n);
        assert_int_equal(reg(TSD + 4 * (n % 4), 4) & 0xa000, 0xa000);
        assert_int_equal(fake_irq, 1);
        assert_int_equal(reg(ISR, 2), TOK);
        set(ISR, TOK, 2);
        assert_int_equal(fake_irq, 0);
        fake_reload();
    }
    set(TSD, 0x1fff, 4); /* longer than frames are */
    assert_int_equal(fake_peer.got, 6);
    set(CR, 8, 1);
    set(TSD + 4, 60, 4); /* off */
    assert_int_equal(fake_peer.got, 6);
}

/* Frames one behind the other, around the end, until there is no room; a machine that was loaded goes on there. */
static void test_ring(void **state)
{
    unsigned at = 0, count = 0;

    begin();
    for (unsigned n = 0; n < 20; n++) {
        unsigned len = 61 + n * 70, total = 4 + len + 4;
        uint8_t head[4];

        comes(3, len);
        assert_int_equal(fake_irq, 1);
        set(ISR, ROK, 2);
        assert_int_equal(fake_irq, 0);
        assert_false(reg(CR, 1) & 1);
        for (unsigned k = 0; k < 4; k++) {
            head[k] = *ram(RX + (at + k) % RING_SIZE);
        }
        assert_int_equal(ld_le32(head), (len + 4) << 16 | 0x4001);
        at = (at + total + 3) / 4 * 4 % RING_SIZE;
        assert_int_equal(reg(CBR, 2), at);
        fake_reload();
        set(CAPR, (at - 16) & 0xffff, 2);
        assert_true(reg(CR, 1) & 1);
    }
    while (net_can_send(&fake_peer.port) && count < 100) {
        comes(3, 1000);
        count++;
    }
    assert_int_equal(count, 7);
    set(CAPR, (at + 1008 - 16) & 0xffff, 2);
    assert_true(net_can_send(&fake_peer.port));
    comes(4, 60); /* for somebody else */
    assert_int_equal(reg(CBR, 2), (at + 7 * 1008) % RING_SIZE);
}

static void put_desc(uint32_t ring, unsigned n, uint32_t opts, uint64_t buf)
{
    st_le32(ram(ring + 16 * n), opts);
    st_le32(ram(ring + 16 * n + 4), 0);
    st_le64(ram(ring + 16 * n + 8), buf);
}

static void test_cplus(void **state)
{
    begin();
    set(CPCR, 3, 2);
    set(TSAD, TX_RING, 4);
    set(RDSAR, RX_RING, 4);
    for (unsigned n = 0; n < 4; n++) {
        put_desc(RX_RING, n, D_OWN | (n == 3 ? D_EOR : 0) | 1600, RX + n * 2048);
    }
    for (unsigned n = 0; n < 9; n++) {
        unsigned at = n % 4;

        comes(3, 100 + n);
        assert_int_equal(ld_le32(ram(RX_RING + 16 * at)), (at == 3 ? D_EOR : 0) | D_FS | D_LS | 0x02000000 | (104 + n));
        assert_int_equal(ld_le32(ram(RX + at * 2048 + 100 + n)), crc32(0, ram(RX + at * 2048), 100 + n));
        fake_reload();
        put_desc(RX_RING, at, D_OWN | (at == 3 ? D_EOR : 0) | 1600, RX + at * 2048);
    }
    for (unsigned n = 0; n < 3; n++) { /* a frame of two pieces, the second one after a reload */
        memset(ram(TX), (int)n, 100);
        put_desc(TX_RING, 2 * n, D_OWN | D_FS | 50, TX);
        set(TPPOLL, 0x40, 1);
        assert_int_equal(fake_peer.got, n);
        fake_reload();
        put_desc(TX_RING, 2 * n + 1, D_OWN | D_LS | (n == 2 ? D_EOR : 0) | 50, TX);
        set(TPPOLL, 0x40, 1);
        assert_int_equal(fake_peer.got, n + 1);
        assert_int_equal(fake_peer.len[n], 100);
        assert_int_equal(ld_le32(ram(TX_RING + 32 * n)) & D_OWN, 0);
    }
    for (unsigned n = 0; n < 64; n++) { /* a frame without an end */
        put_desc(TX_RING, n, D_OWN | (n == 0 ? D_FS : 0) | 0xffff, TX);
    }
    set(TPPOLL, 0x40, 1);
    clock_step(NS_PER_MS);
    assert_int_equal(fake_peer.got, 3);
}

/* A peer that is full stops descriptors, and starts them again. */
static void test_flow(void **state)
{
    begin();
    set(CPCR, 1, 2);
    set(TSAD, TX_RING, 4);
    put_desc(TX_RING, 0, D_OWN | D_FS | D_LS | D_EOR | 60, TX);
    fake_peer.full = true;
    set(TPPOLL, 0x40, 1);
    assert_int_equal(fake_peer.got, 0);
    fake_reload();
    fake_peer.full = false;
    net_accept(&fake_peer.port);
    assert_int_equal(fake_peer.got, 1);
}

static void test_timer(void **state)
{
    begin();
    set(TCTR, 0, 4);
    set(TIMERINT, 1000, 4);
    clock_step(15000);
    assert_int_equal(reg(TCTR, 4), 500);
    fake_reload();
    clock_step(14970);
    assert_int_equal(fake_irq, 0);
    clock_step(60);
    assert_int_equal(reg(ISR, 2), TIMEOUT);
    assert_int_equal(fake_irq, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, fake_pci_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_identity), T(test_send), T(test_ring), T(test_cplus), T(test_flow), T(test_timer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
