/*
 * What devices that read and write memory by themselves do when a guest points them at registers: their own, and those of
 * another card. Each access is refused and counted, no register changes, and the card works once it is set up again.
 */
#include "tests/device/fake-virtio.h"
#include "tests/device/victim.h"

#include "hw/net/e1000.h"

enum { BUFS = 0x60000, RX_RING = 0x2000, TX_RING = 0x1000, INIT = 0x800, RING = 8, LEN = 60, PIECES = 0x1000 };

extern const DeviceClass rtl8139_class, pcnet_class, virtio_net_class;

/* A card: where its BARs are, how a driver starts it with rings and buffers of its choice (one frame goes out at once), and
 * a register with what it has after that. */
typedef struct Card {
    const DeviceClass *cls;
    int io, mmio;
    void (*start)(uint32_t rx, uint32_t tx, uint32_t buf);
    uint32_t reg;
} Card;

static void set(uint32_t at, uint32_t val, unsigned size)
{
    mem_out(FAKE_MMIO + at, val, size);
}

/* put - where it is memory. */
static void put(uint32_t at, const void *p, unsigned len)
{
    if (at < FAKE_RAM) {
        memcpy(ram(at), p, len);
    }
}

static void start_e1000(uint32_t rx, uint32_t tx, uint32_t buf)
{
    static const uint32_t regs[] = { E1000_RDLEN, RING * 16, E1000_TDLEN, RING * 16, E1000_TCTL, E1000_TCTL_EN };

    set(E1000_CTRL, 1u << 26, 4); /* reset */
    for (unsigned n = 0; n < RING; n++) {
        uint8_t d[16] = { 0 };

        st_le64(d, buf + PIECES * n);
        put(rx + 16 * n, d, 16);
        st_le32(d + 8, 0x09000000 | LEN);
        put(tx + 16 * n, d, 16);
    }
    set(E1000_RDBAL, rx, 4);
    set(E1000_TDBAL, tx, 4);
    for (unsigned n = 0; n < ARRAY_SIZE(regs); n += 2) {
        set(regs[n], regs[n + 1], 4);
    }
    set(E1000_RCTL, E1000_RCTL_EN | 0x8008, 4);
    set(E1000_RDT, RING - 1, 4);
    set(E1000_TDT, 1, 4);
}

static void start_rtl8139(uint32_t rx, uint32_t tx, uint32_t buf)
{
    set(0x37, 0x10, 1);
    for (unsigned n = 0; n < RING; n++) {
        uint8_t d[16] = { 0 };

        st_le64(d + 8, buf + PIECES * n);
        st_le32(d, 0x80000000 | 1600);
        put(rx + 16 * n, d, 16);
        st_le32(d, n > 0 ? 0 : 0xb0000000 | LEN);
        put(tx + 16 * n, d, 16);
    }
    set(0xe0, 3, 2);
    set(0x20, tx, 4);
    set(0xe4, rx, 4);
    set(0x37, 0x0c, 1);
    set(0x44, 0x0f, 4);
    set(0xd9, 0x40, 1);
}

static void start_pcnet(uint32_t rx, uint32_t tx, uint32_t buf)
{
    static const uint16_t regs[][2] = { { 58, 2 }, { 1, INIT }, { 2, 0 }, { 0, 1 }, { 0, 0x142 }, { 0, 8 } };
    uint8_t b[28] = { 0 };

    mem_in(FAKE_MMIO + 0x14, 2); /* reset */
    for (unsigned n = 0; n < RING; n++) {
        uint8_t d[16] = { 0 };

        st_le32(d, buf + PIECES * n);
        st_le32(d + 4, 0x8000f000 | ((0u - 1536) & 0xfff));
        put(rx + 16 * n, d, 16);
        st_le32(d + 4, (n > 0 ? 0 : 0x8300f000) | (0x1000 - LEN));
        put(tx + 16 * n, d, 16);
    }
    st_le32(b, 0x30308000);
    st_le32(b + 20, rx);
    st_le32(b + 24, tx);
    put(INIT, b, sizeof(b));
    for (unsigned n = 0; n < ARRAY_SIZE(regs); n++) {
        set(0x12, regs[n][0], 2);
        set(0x10, regs[n][1], 2);
    }
}

static void start_virtio(uint32_t rx, uint32_t tx, uint32_t buf)
{
    vio_begin_at(0, 0, 7, rx >= FAKE_RAM ? rx : 0);
    if (tx >= FAKE_RAM) {
        vio_begin_at(0, 1, 7, tx);
    }
    vio_give(0, buf, 1600, true);
    vio_give(1, buf, LEN + 12, false);
}

static const Card cards[] = {
    { &e1000_class, 1, 0, start_e1000, E1000_RDLEN },
    { &rtl8139_class, 0, 1, start_rtl8139, 0x44 },
    { &pcnet_class, 0, 1, start_pcnet, 0 },
    { &virtio_net_class, 0, 4, start_virtio, 0x12 },
    { &virtio_net_class, 0, 4, start_virtio, 0x12 }, /* with packed rings */
};

static void frame_in(void)
{
    static uint8_t f[LEN] = { 0x52, 0x54, 0, 1, 2, 3 };

    net_send(&fake_peer.port, f, sizeof(f));
}

static void one_card(const Card *c, const char *name)
{
    static const uint32_t there[] = { FAKE_MMIO, VICTIM_RX, VICTIM_TX };
    Device *card = fake_device(c->cls);
    uint64_t before;
    uint32_t reg;

    assert_true(!vio_packed || device_set(card, "packed", "on", NULL));
    fake_plug(card, c->io, c->mmio);
    victim_plug();
    c->start(RX_RING, TX_RING, BUFS);
    assert_int_equal(fake_peer.got, 1);
    reg = (uint32_t)mem_in(FAKE_MMIO + c->reg, 2);
    before = victim_sum();
    for (unsigned n = 0; n < ARRAY_SIZE(there); n++) {
        for (unsigned what = 0; what < 3; what++) { /* the receive ring, that of transmission, buffers */
            uint64_t count = dma_refused();

            fake_peer.got = 0;
            c->start(what == 0 ? there[n] : RX_RING, what == 1 ? there[n] : TX_RING, what == 2 ? there[n] : BUFS);
            frame_in();
            clock_step(NS_PER_MS);
            if (dma_refused() == count) {
                fail_msg("%s: nothing was refused in case %u at 0x%x", name, what, there[n]);
            }
            assert_int_equal(victim_sum(), before);
        }
    }
    fake_peer.got = 0;
    before = dma_refused();
    c->start(RX_RING, TX_RING, BUFS);
    assert_int_equal(fake_peer.got, 1);
    assert_int_equal(mem_in(FAKE_MMIO + c->reg, 2), reg);
    frame_in();
    assert_memory_equal(ram(BUFS + (c->mmio == 4 ? 12 : 0)), "\x52\x54\0\1\2\3", 6);
    assert_int_equal(dma_refused(), before);
}

#define CARD_TEST(n)                                                                               \
    static void test_card_##n(void **state)                                                        \
    {                                                                                              \
        one_card(&cards[n], cards[n].cls->name);                                                   \
    }
CARD_TEST(0)
CARD_TEST(1)
CARD_TEST(2)
CARD_TEST(3)
CARD_TEST(4)

static int setup(void **state)
{
    vio_packed = false;
    return fake_pci_setup(state);
}

static int setup_packed(void **state)
{
    vio_packed = true;
    return fake_pci_setup(state);
}

#define T(f, s) cmocka_unit_test_setup_teardown(f, s, fake_pci_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_card_0, setup), T(test_card_1, setup),        T(test_card_2, setup),
        T(test_card_3, setup), T(test_card_4, setup_packed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
