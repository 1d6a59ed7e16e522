/*
 * The e1000 through its registers and descriptors in memory, a fake peer at its port.
 */
#include "tests/device/fake-pci.h"

#include "base/mem.h"
#include "hw/net/e1000.h"
#include "hw/pci/pci.h"

enum { TX_RING = 0x1000, RX_RING = 0x2000, RING = 8, TX_BUF = 0x10000, RX_BUF = 0x40000, RX_SIZE = 2048 };
#define EOP 0x01000000u
#define IC 0x04000000u
#define TSE 0x04000000u
#define RS 0x08000000u
#define DEXT 0x20000000u
#define VLE 0x40000000u
#define IDE 0x80000000u
#define DATA (DEXT | 0x00100000u)

extern const DeviceClass e1000_class, e1000_82545em_class;

static uint32_t reg(uint32_t at)
{
    return (uint32_t)mem_in(FAKE_MMIO + at, 4);
}
static void set(uint32_t at, uint32_t val)
{
    mem_out(FAKE_MMIO + at, val, 4);
}

static int setup(void **state)
{
    fake_pci_setup(state);
    fake_card(&e1000_class, 1, 0);
    return 0;
}

static int setup_82545em(void **state)
{
    fake_pci_setup(state);
    fake_card(&e1000_82545em_class, 1, 0);
    return 0;
}

/* begin - both rings, promiscuous, all interrupts. */
static void begin(void)
{
    for (unsigned n = 0; n < RING; n++) {
        st_le64(ram(RX_RING + 16 * n), RX_BUF + n * RX_SIZE);
    }
    set(E1000_RDBAL, RX_RING);
    set(E1000_RDLEN, RING * 16);
    set(E1000_RDT, RING - 1);
    set(E1000_TDBAL, TX_RING);
    set(E1000_TDLEN, RING * 16);
    set(E1000_TCTL, E1000_TCTL_EN);
    set(E1000_RCTL, E1000_RCTL_EN | 0x8008); /* unicast promiscuous, broadcast */
    set(E1000_IMS, 0xffffffff);
    reg(E1000_ICR);
}

static void put_tx(unsigned n, uint32_t buf, uint32_t lower, uint32_t upper)
{
    st_le64(ram(TX_RING + 16 * n), buf);
    st_le32(ram(TX_RING + 16 * n + 8), lower);
    st_le32(ram(TX_RING + 16 * n + 12), upper);
}

/* make_tcp - an Ethernet, IPv4 and TCP header with @payload bytes, sums not filled in; the pseudo header's (with its
 * length if @with_len) is where TCP's goes. */
static void make_tcp(uint8_t *p, unsigned payload, bool with_len)
{
    static const uint8_t head[54] = {
        2, 0, 0, 0, 0, 1, 0x52, 0x54, 0, 1, 2, 3, 8, 0, 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15,
        10, 0, 2, 2, 0x30, 0x39, 0, 80, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x50, 0x19, 0x20, 0, 0, 0, 0, 0,
    };

    memcpy(p, head, sizeof(head));
    st_be16(p + 16, (uint16_t)(40 + payload));
    for (unsigned n = 0; n < payload; n++) {
        p[54 + n] = (uint8_t)(n * 7 + n / 256);
    }
    st_be16(p + 50, inet_fold(inet_sum(p + 26, 8, 6 + (with_len ? 20 + payload : 0))));
}

/* What its driver knows it by, and finds in its EEPROM. Software Developer's Manual (317453), "Device IDs". */
static void test_82545em(void **state)
{
    assert_int_equal(pci_config_read(pci_bus_find(fake_bus, PCI_DEVFN(1, 0)), 0, 4), 0x100f8086);
    set(E1000_EERD, 0x0d << 8 | 1);
    assert_int_equal(reg(E1000_EERD) >> 16, 0x100f);
}

static void test_identity(void **state)
{
    uint16_t sum = 0;

    assert_int_equal(pci_config_read(pci_bus_find(fake_bus, PCI_DEVFN(1, 0)), 0, 4), 0x100e8086);
    assert_int_equal(reg(E1000_RA), 0x01005452 & 0xffffffff);
    assert_int_equal(reg(E1000_RA + 4), 0x80000302);
    for (unsigned n = 0; n < 64; n++) {
        set(E1000_EERD, n << 8 | 1);
        assert_int_equal(reg(E1000_EERD) & 0x10, 0x10);
        sum = (uint16_t)(sum + (reg(E1000_EERD) >> 16));
    }
    assert_int_equal(sum, 0xbaba);
    port_write(FAKE_IO, E1000_STATUS, 4); /* by ports too */
    assert_int_equal(port_read(FAKE_IO + 4, 4), reg(E1000_STATUS));
    assert_true(reg(E1000_STATUS) & 2);
}

/* The EEPROM by its wires, as drivers of old do it, and a second word behind the first. */
static void test_microwire(void **state)
{
    static const unsigned command[] = { 1, 1, 0, 0, 0, 0, 0, 0, 1 }; /* start, READ, word 1 */
    uint32_t got = 0;

    set(E1000_EECD, 0x40);
    assert_true(reg(E1000_EECD) & 0x80); /* granted */
    set(E1000_EECD, 0x42);
    for (unsigned n = 0; n < ARRAY_SIZE(command); n++) {
        set(E1000_EECD, 0x42 | command[n] << 2);
        set(E1000_EECD, 0x43 | command[n] << 2);
        set(E1000_EECD, 0x42 | command[n] << 2);
    }
    assert_false(reg(E1000_EECD) & 8); /* the zero before the data */
    for (unsigned n = 0; n < 32; n++) {
        set(E1000_EECD, 0x43);
        got = got << 1 | (reg(E1000_EECD) >> 3 & 1);
        set(E1000_EECD, 0x42);
    }
    set(E1000_EECD, 0);
    assert_int_equal(got, 0x01000302);
}

static uint16_t phy(unsigned n)
{
    set(E1000_MDIC, 0x08000000 | 1 << 21 | n << 16);
    assert_int_equal(reg(E1000_MDIC) & 0x50000000, 0x10000000);
    return (uint16_t)reg(E1000_MDIC);
}

static void test_link(void **state)
{
    assert_int_equal(phy(2) << 16 | phy(3), 0x01410c20);
    assert_int_equal(phy(1) & 0x24, 0x24);
    set(E1000_MDIC, 0x08000000 | 2 << 21); /* no such PHY */
    assert_true(reg(E1000_MDIC) & 0x40000000);
    begin();
    assert_true(net_set_link("e1000.0", false, NULL));
    assert_int_equal(fake_irq, 1);
    assert_int_equal(reg(E1000_ICR), E1000_INT_LSC);
    assert_int_equal(fake_irq, 0);
    assert_false(reg(E1000_STATUS) & 2 || phy(1) & 4);
    net_send(&fake_peer.port, (const uint8_t[60]){ 0x52 }, 60); /* into a cable that is not there */
    assert_int_equal(reg(E1000_RDH), 0);
    assert_true(net_set_link("e1000.0", true, NULL));
    assert_true(reg(E1000_STATUS) & 2 && phy(1) & 4);
}

static void test_send_legacy(void **state)
{
    begin();
    make_tcp(ram(TX_BUF), 10, true);
    st_be16(ram(TX_BUF) + 24, 0);
    put_tx(0, TX_BUF, 30 | RS, 0); /* in two pieces; the sum of the IP header */
    put_tx(1, TX_BUF + 30, 34 | RS | EOP | IC | 50u << 16, 34 << 8);
    set(E1000_TDT, 2);
    assert_int_equal(fake_peer.got, 1);
    assert_int_equal(fake_peer.len[0], 64);
    assert_memory_equal(fake_peer.frame[0], ram(TX_BUF), 50);
    assert_int_equal(inet_fold(inet_sum(fake_peer.frame[0] + 34, 30, inet_fold(inet_sum(fake_peer.frame[0] + 26, 8, 36)))), 0xffff);
    assert_int_equal(reg(E1000_TDH), 2);
    assert_int_equal(*ram(TX_RING + 12) & 1, 1);
    assert_int_equal(*ram(TX_RING + 28) & 1, 1);
    assert_int_equal(fake_irq, 1);
    assert_int_equal(reg(E1000_ICR), E1000_INT_TXDW | E1000_INT_TXQE);
    assert_int_equal(fake_irq, 0);
    assert_int_equal(reg(E1000_GPTC), 1);
    assert_int_equal(reg(E1000_GPTC), 0); /* cleared by reading */
}

/* One packet of 3000 bytes becomes segments whose sums are right. */
static void test_segments(void **state)
{
    unsigned done = 0;

    begin();
    make_tcp(ram(TX_BUF), 3000, false);
    st_le32(ram(TX_RING), 14 | 24 << 8 | 33u << 16);
    st_le32(ram(TX_RING + 4), 34 | 50 << 8);
    st_le32(ram(TX_RING + 8), 3000 | DEXT | TSE | 0x03000000);
    st_le32(ram(TX_RING + 12), 54u << 8 | 1400u << 16);
    put_tx(1, TX_BUF, 1000 | DATA | TSE, 3 << 8);
    put_tx(2, TX_BUF + 1000, 2054 | DATA | TSE | EOP | RS, 3 << 8);
    set(E1000_TDT, 3);
    assert_int_equal(fake_peer.got, 3);
    for (unsigned n = 0; n < 3; n++) {
        uint8_t *f = fake_peer.frame[n];
        InetCheck c = inet_check(f, fake_peer.len[n]);

        assert_int_equal(fake_peer.len[n], n < 2 ? 1454 : 254);
        assert_true(c.ip && c.ip_good && c.l4 && c.l4_good && !c.udp);
        assert_int_equal(ld_be16(f + 18), 0x1234 + n);
        assert_int_equal(ld_be32(f + 38), 0x1000 + done);
        assert_int_equal(f[47], n < 2 ? 0x10 : 0x19); /* PSH and FIN in the last one */
        assert_memory_equal(f + 54, ram(TX_BUF + 54 + done), fake_peer.len[n] - 54);
        done += (unsigned)fake_peer.len[n] - 54;
    }
    assert_int_equal(done, 3000);
}

static void test_send_refused(void **state)
{
    begin();
    put_tx(0, TX_BUF, 0xffff, 0); /* grows beyond any frame */
    put_tx(1, TX_BUF, 0xffff, 0);
    put_tx(2, TX_BUF, 100 | EOP | RS, 0);
    put_tx(3, TX_BUF, 60 | EOP | RS, 0);
    set(E1000_TDT, 4);
    assert_int_equal(fake_peer.got, 1);
    assert_int_equal(fake_peer.len[0], 60);
    set(E1000_TDT, 0xffff); /* no place in the ring */
    assert_int_equal(reg(E1000_TDH), 4);
    set(E1000_TDBAL, FAKE_MMIO); /* descriptors in its own registers: not reached */
    set(E1000_TDT, 6);
    assert_int_equal(reg(E1000_TDH), 6);
    assert_int_equal(reg(E1000_TCTL), E1000_TCTL_EN);
}

/* A peer that is full stops the card, and starts it again. */
static void test_flow_out(void **state)
{
    begin();
    for (unsigned n = 0; n < 4; n++) {
        put_tx(n, TX_BUF, 60 | EOP | RS, 0);
    }
    fake_peer.full = true;
    set(E1000_TDT, 4);
    assert_int_equal(reg(E1000_TDH), 0);
    fake_peer.full = false;
    net_accept(&fake_peer.port);
    assert_int_equal(fake_peer.got, 4);
    assert_int_equal(reg(E1000_TDH), 4);
}

static void test_vlan_out(void **state)
{
    begin();
    set(E1000_CTRL, reg(E1000_CTRL) | E1000_CTRL_VME);
    make_tcp(ram(TX_BUF), 10, true);
    put_tx(0, TX_BUF, 64 | EOP | RS | VLE, 0x2005u << 16);
    set(E1000_TDT, 1);
    assert_int_equal(fake_peer.len[0], 68);
    assert_int_equal(ld_be32(fake_peer.frame[0] + 12), 0x81002005);
    assert_memory_equal(fake_peer.frame[0] + 16, ram(TX_BUF + 12), 52);
    set(E1000_VFTA, 1u << 5); /* and back: of VLAN 5, and none of VLAN 6 */
    set(E1000_RCTL, reg(E1000_RCTL) | 0x40000);
    net_send(&fake_peer.port, fake_peer.frame[0], 68);
    assert_int_equal(reg(E1000_RDH), 1);
    assert_int_equal(*ram(RX_RING + 12) & 0x0b, 0x0b);
    assert_int_equal(ld_le16(ram(RX_RING + 14)), 0x2005);
    assert_memory_equal(ram(RX_BUF), ram(TX_BUF), 64);
    fake_peer.frame[0][15] = 6;
    net_send(&fake_peer.port, fake_peer.frame[0], 68);
    assert_int_equal(reg(E1000_RDH), 1);
}

static void test_receive(void **state)
{
    static const uint8_t small[14] = { 0x52, 0x54, 0, 1, 2, 3, 2, 0, 0, 0, 0, 1, 0x08, 0x06 };

    begin();
    net_send(&fake_peer.port, small, sizeof(small));
    assert_int_equal(fake_irq, 1);
    assert_true(reg(E1000_ICR) & E1000_INT_RXT0);
    assert_int_equal(fake_irq, 0);
    assert_int_equal(ld_le16(ram(RX_RING + 8)), 64); /* padded, with its FCS */
    assert_int_equal(*ram(RX_RING + 12) & 3, 3);
    assert_memory_equal(ram(RX_BUF), small, sizeof(small));
    assert_int_equal(reg(E1000_RDH), 1);
    assert_int_equal(reg(E1000_GPRC), 1);
}

static void test_receive_sums(void **state)
{
    uint8_t f[114];

    begin();
    set(E1000_RXCSUM, 0x300);
    make_tcp(f, 60, true);
    inet_put_sum(f, 114, 34, 0, 50);
    inet_put_sum(f, 114, 14, 33, 24);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(*ram(RX_RING + 12), 0x63);
    assert_int_equal(*ram(RX_RING + 13), 0);
    f[100] ^= 1;
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(*ram(RX_RING + 28), 0x63);
    assert_int_equal(*ram(RX_RING + 29), 0x20);
    f[20] ^= 8;
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(*ram(RX_RING + 45), 0x40); /* a fragment now */
}

static void test_filter(void **state)
{
    uint8_t f[60] = { 0x52, 0x54, 0, 1, 2, 3 };

    begin();
    set(E1000_RCTL, E1000_RCTL_EN);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(reg(E1000_RDH), 1); /* its own */
    f[5] = 4;
    net_send(&fake_peer.port, f, sizeof(f));
    memset(f, 0xff, 6);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(reg(E1000_RDH), 1);
    set(E1000_RCTL, E1000_RCTL_EN | 0x8000);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(reg(E1000_RDH), 2);
    memcpy(f, "\x01\x00\x5e\x00\x00\xfb", 6); /* the hash of mDNS: FB0h */
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(reg(E1000_RDH), 2);
    set(E1000_MTA + (0xfb0 >> 5) * 4, 1u << (0xfb0 & 31));
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(reg(E1000_RDH), 3);
}

/* Frames wait while the ring is full, in order, and come when there is room. */
static void test_flow_in(void **state)
{
    uint8_t f[60] = { 0x52 };

    begin();
    for (f[20] = 0; f[20] < 10; f[20]++) {
        net_send(&fake_peer.port, f, sizeof(f));
    }
    assert_int_equal(reg(E1000_RDH), RING - 1);
    assert_false(net_can_send(&fake_peer.port));
    set(E1000_RDT, 3);
    assert_int_equal(reg(E1000_RDH), 2); /* three more */
    assert_true(net_can_send(&fake_peer.port));
    assert_int_equal(ram(RX_BUF + 7 * RX_SIZE)[20], 7);
    assert_int_equal(ram(RX_BUF)[20], 8);
    assert_int_equal(ram(RX_BUF + RX_SIZE)[20], 9);
}

/* A long frame takes several descriptors, if long ones are wanted. */
static void test_long(void **state)
{
    static uint8_t f[5000] = { 0x52 };

    begin();
    f[4999] = 0x77;
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(reg(E1000_RDH), 0);
    assert_int_equal(reg(E1000_ROC), 1);
    set(E1000_RCTL, reg(E1000_RCTL) | 0x04000020); /* and without FCS */
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(reg(E1000_RDH), 3);
    assert_int_equal(*ram(RX_RING + 12), 1);
    assert_int_equal(*ram(RX_RING + 44) & 3, 3);
    assert_int_equal(ld_le16(ram(RX_RING + 40)), 5000 - 4096);
    assert_int_equal(ram(RX_BUF + 2 * RX_SIZE)[903], 0x77);
}

static void test_moderation(void **state)
{
    uint8_t f[60] = { 0x52 };

    begin();
    set(E1000_ITR, 1000); /* 256 us */
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(fake_irq, 1);
    reg(E1000_ICR);
    net_send(&fake_peer.port, f, sizeof(f));
    assert_int_equal(fake_irq, 0);
    clock_step(255 * NS_PER_US);
    assert_int_equal(fake_irq, 0);
    clock_step(1 * NS_PER_US);
    assert_int_equal(fake_irq, 1);
    set(E1000_ITR, 0);
    reg(E1000_ICR);
    set(E1000_IMC, E1000_INT_RXDMT0);
    set(E1000_RDTR, 10); /* 10.24 us after the last frame, at most 20.48 us after the first */
    set(E1000_RADV, 20);
    for (unsigned n = 0; n < 3; n++) {
        net_send(&fake_peer.port, f, sizeof(f));
        clock_step(8000);
        assert_int_equal(fake_irq, n == 2);
    }
    reg(E1000_ICR);
    set(E1000_RDTR, 0);
    set(E1000_TIDV, 10);
    put_tx(0, TX_BUF, 60 | EOP | RS | IDE, 0);
    set(E1000_TDT, 1);
    assert_int_equal(reg(E1000_ICR), E1000_INT_TXQE);
    clock_step(10240);
    assert_int_equal(reg(E1000_ICR), E1000_INT_TXDW);
}

static void test_reset(void **state)
{
    begin();
    set(E1000_ICS, E1000_INT_RXT0);
    assert_int_equal(fake_irq, 1);
    set(E1000_CTRL, E1000_CTRL_RST);
    assert_int_equal(fake_irq, 0);
    assert_int_equal(reg(E1000_RCTL) | reg(E1000_TCTL) | reg(E1000_IMS) | reg(E1000_CTRL) >> 26, 0);
    assert_int_equal(reg(E1000_RA), 0x01005452);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fake_pci_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_82545em, setup_82545em, fake_pci_teardown), T(test_identity), T(test_microwire), T(test_link), T(test_send_legacy), T(test_segments), T(test_send_refused),
        T(test_flow_out), T(test_vlan_out), T(test_receive), T(test_receive_sums), T(test_filter), T(test_flow_in),
        T(test_long), T(test_moderation), T(test_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
