/*
 * Packed rings, on the entropy device: who wants to be told of what, a machine that is saved in the middle of a turn, and
 * drivers that do not keep the rules. What drivers that do keep them see, real guests judge (tests/system/test_virtio.py).
 */
#include "tests/device/fake-virtio.h"

enum { TABLE = VIO_BUF + 0x10000, BUF = VIO_BUF, SIZE = VIO_SIZE };
enum { ENABLE = 0, DISABLE = 1, DESC = 2, WRAP = 0x8000 };
#define INDIRECT_DESC (1u << 28)
#define EVENT_IDX (1u << 29)

extern const DeviceClass virtio_rng_class;

static int setup(void **state)
{
    fake_pci_setup(state);
    vio_packed = true;
    vio_device(fake_device(&virtio_rng_class));
    return 0;
}

/* event - what the driver wants to hear of. asked - what the device does. */
static void event(unsigned place, unsigned flags)
{
    st_le16(vio_ring(0, VIO_AVAIL), (uint16_t)place);
    st_le16(vio_ring(0, VIO_AVAIL + 2), (uint16_t)flags);
}
static uint32_t asked(void)
{
    return ld_le32(vio_ring(0, VIO_USED));
}

/* irq - it was raised since; lowers it. */
static bool irq(void)
{
    bool was = fake_irq;

    vio_get(0x1000, 1);
    return was;
}

static const VioBuf three[] = { { BUF, 10, true }, { BUF + 0x100, 20, true }, { BUF + 0x200, 30, true } };

static void test_turns(void **state)
{
    vio_begin(INDIRECT_DESC);
    for (unsigned n = 0; n < 5 * SIZE; n++) {
        int id = (int)vio_put(0, three, 1 + n % 3);
        uint32_t len;

        vio_kick(0);
        assert_int_equal(vio_used(0, &len), id);
        assert_int_equal(len, n % 3 == 0 ? 10 : n % 3 == 1 ? 30 : 60);
        vio_none(0);
        assert_true(irq());
        fake_reload();
    }
    assert_false(vio_broken());
}

/* Several at once, in one turn and the next. */
static void test_many(void **state)
{
    vio_begin(0);
    for (unsigned turn = 0; turn < 3; turn++) {
        vio_put(0, three, 3);
        vio_put(0, three, 2);
        vio_put(0, three, 2);
        vio_kick(0);
        vio_done(0, 60);
        vio_done(0, 30);
        vio_done(0, 30);
        vio_none(0);
    }
}

/* "Indirect Flag": all that the table has, whatever is in its links. */
static void test_tables(void **state)
{
    vio_begin(INDIRECT_DESC);
    for (unsigned n = 0; n < 2 * SIZE; n++) {
        const VioBuf table = { TABLE, 16 * 3, false };

        for (unsigned k = 0; k < 3; k++) {
            vio_desc(ram(TABLE), k, &three[k], n & 1 ? VIO_NEXT : 0, 77);
        }
        vio_put_flags(0, &table, 1, VIO_INDIRECT);
        vio_kick(0);
        vio_done(0, 60);
    }
}

/* A ring may have any size. */
static void test_size(void **state)
{
    vio_begin(0);
    vio_set(0x14, 0, 1);
    vio_set(0x16, 0, 2);
    vio_set(0x18, 7, 2);
    assert_int_equal(vio_get(0x18, 2), 8); /* not before it is agreed on */
    vio_set(0x14, 3, 1);
    vio_set(0x08, 1, 4);
    vio_set(0x0c, 5, 4);
    vio_set(0x14, 11, 1);
    vio_set(0x18, 7, 2);
    assert_int_equal(vio_get(0x18, 2), 7);
    vio_set(0x20, VIO_RINGS, 4);
    vio_set(0x28, VIO_RINGS + VIO_AVAIL, 4);
    vio_set(0x30, VIO_RINGS + VIO_USED, 4);
    vio_set(0x1c, 1, 2);
    vio_set(0x14, 15, 1);
    for (unsigned n = 0; n < 21; n++) {
        vio_desc(vio_ring(0, 0), n % 7, three, n / 7 % 2 == 0 ? VIO_PACKED_AVAIL : VIO_PACKED_USED, 5);
        vio_kick(0);
        assert_int_equal(ld_le16(vio_ring(0, 16 * (n % 7) + 14)) & ~VIO_WRITE, n / 7 % 2 == 0 ? 0x8080 : 0);
        fake_reload();
    }
}

static void test_wants(void **state)
{
    vio_begin(0);
    event(0, DISABLE);
    vio_give(0, BUF, 10, true);
    vio_done(0, 10);
    assert_false(irq());
    assert_int_equal(asked(), ENABLE << 16); /* every kick */
    event(0, ENABLE);
    vio_give(0, BUF, 10, true);
    vio_done(0, 10);
    assert_true(irq());
    event(7, DESC); /* which was not agreed on */
    vio_give(0, BUF, 10, true);
    assert_true(irq());
}

static void test_events(void **state)
{
    vio_begin(EVENT_IDX);
    event(4 | WRAP, DESC);
    vio_give(0, BUF, 10, true); /* place 0 */
    assert_true(irq()); /* nobody knows what was before */
    assert_int_equal(asked(), (DESC << 16 | 1 | WRAP) & 0xffffffff);
    vio_put(0, three, 3);
    vio_kick(0); /* 1 to 3 */
    assert_false(irq());
    vio_put(0, three, 2);
    vio_kick(0); /* 4 and 5 */
    assert_true(irq());
    vio_give(0, BUF, 10, true);
    assert_false(irq());
    event(1, DESC); /* in the next turn */
    vio_put(0, three, 2); /* 7 and 0 */
    vio_kick(0);
    assert_false(irq());
    assert_int_equal(asked(), DESC << 16 | 1);
    fake_reload();
    vio_give(0, BUF, 10, true);
    assert_true(irq());
    event(2, DISABLE);
    vio_give(0, BUF, 10, true);
    assert_false(irq());
    event(2, DESC); /* it has passed */
    vio_give(0, BUF, 10, true);
    assert_false(irq());
}

/* It is offered where the user wants it, and to drivers of 1.0 and later. */
static void test_offer(void **state)
{
    vio_set(0x00, 1, 4);
    assert_int_equal(vio_get(0x04, 4), 5);
    vio_set(0x14, 3, 1);
    vio_set(0x08, 1, 4);
    vio_set(0x0c, 4, 4);
    vio_set(0x14, 11, 1);
    assert_int_equal(vio_get(0x14, 1), 3);
}

/* broken - @what was done: the device asks for a reset, does no more, and works again after one. */
static void broken(const char *what)
{
    if (!vio_broken()) {
        fail_msg("%s: the device goes on", what);
    }
    vio_give(0, BUF, 16, true);
    vio_none(0);
    vio_begin(INDIRECT_DESC);
    vio_give(0, BUF, 16, true);
    vio_done(0, 16);
    vio_begin(INDIRECT_DESC);
}

static void bad_table(const char *what, uint64_t at, uint32_t len, unsigned more)
{
    const VioBuf b[] = { { at, len, false }, { BUF, 8, false } };

    vio_put_flags(0, b, more == 0 ? 1 : 2, VIO_INDIRECT);
    vio_kick(0);
    broken(what);
}

static void test_bad_chains(void **state)
{
    VioBuf all[SIZE];

    vio_begin(INDIRECT_DESC);
    for (unsigned n = 0; n < SIZE; n++) {
        all[n] = three[0];
    }
    vio_put_flags(0, all, SIZE, VIO_NEXT);
    vio_kick(0);
    broken("a chain without an end");
    vio_put(0, (const VioBuf[]){ { BUF, 16, true }, { BUF, 16, false } }, 2);
    vio_kick(0);
    broken("to read behind to write");
    vio_put(0, (const VioBuf[]){ { BUF, UINT32_MAX, true }, { BUF, UINT32_MAX, true } }, 2);
    vio_kick(0);
    broken("8 GiB");
    bad_table("a table of odd length", TABLE, 17, 0);
    bad_table("an empty table", TABLE, 0, 0);
    bad_table("a table with one behind it", TABLE, 16, 1);
    bad_table("a table of 2 GiB", TABLE, 0x7ffffff0, 0);
    bad_table("a table that is not in memory", FAKE_RAM - 8, 16, 0);
    bad_table("a table in registers", FAKE_MMIO, 16, 0);
    vio_desc(ram(TABLE), 0, &three[0], VIO_INDIRECT, 0);
    bad_table("a table in a table", TABLE, 16, 0);
    vio_begin(0);
    vio_desc(ram(TABLE), 0, &three[0], 0, 0);
    bad_table("a table that was not agreed on", TABLE, 16, 0);
}

static void test_bad_buffers(void **state)
{
    vio_begin(0);
    vio_give(0, FAKE_MMIO, 16, true);
    vio_done(0, 0);
    vio_give(0, UINT64_MAX - 4, 16, true);
    vio_done(0, 0);
    assert_false(vio_broken());
}

/* The ring, or what one side tells the other, where there is no memory, or a device's registers. */
static void test_bad_rings(void **state)
{
    static const uint32_t at[][3] = {
        { FAKE_MMIO, VIO_RINGS + VIO_AVAIL, VIO_RINGS + VIO_USED }, { VIO_RINGS, 0xfffffff0, VIO_RINGS + VIO_USED },
        { VIO_RINGS, VIO_RINGS + VIO_AVAIL, FAKE_RAM - 2 }, { VIO_RINGS, FAKE_MMIO, FAKE_MMIO },
    };

    for (unsigned n = 0; n < ARRAY_SIZE(at); n++) {
        vio_begin(0);
        vio_set(0x14, 0, 1);
        vio_set(0x14, 3, 1);
        vio_set(0x08, 1, 4);
        vio_set(0x0c, 5, 4);
        vio_set(0x14, 0xb, 1);
        vio_set(0x16, 0, 2);
        for (unsigned k = 0; k < 3; k++) {
            vio_set(0x20 + 8 * k, at[n][k], 4);
        }
        vio_set(0x1c, 1, 2);
        vio_set(0x14, 0xf, 1);
        vio_give(0, BUF, 16, true);
        assert_true(vio_broken());
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, fake_pci_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_turns), T(test_many), T(test_tables), T(test_size), T(test_wants), T(test_events), T(test_offer),
        T(test_bad_chains), T(test_bad_buffers), T(test_bad_rings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
