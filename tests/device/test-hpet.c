/* The HPET, against the IA-PC HPET specification 1.0a. 10 ns a tick. */
#include "tests/device/fake.h"
#include "tests/device/slow.h"

#include "hw/timer/hpet.h"

static bool legacy;

static void on_legacy(void *opaque, bool on)
{
    legacy = on;
}

static uint64_t get(unsigned reg)
{
    return mem_in(HPET_BASE + reg, 8);
}
static void put(unsigned reg, uint64_t val)
{
    mem_out(HPET_BASE + reg, val, 8);
}

static void make(void)
{
    IrqLine gsi[24];
    Device *dev = fake_device(&hpet_class);

    for (unsigned n = 0; n < 24; n++) {
        gsi[n] = fake_line(16 + n);
    }
    hpet_connect(dev, gsi, fake_line(0), fake_line(8), on_legacy, NULL);
    fake_realize(dev);
}

static void test_counter(void **state)
{
    make();
    assert_int_equal(get(0) >> 32, 10000000); /* femtoseconds */
    assert_int_equal(get(0) & 0xffff0000, 0x80860000);
    assert_int_equal(mem_in(HPET_BASE + 4, 4), 10000000);
    clock_step(NS_PER_MS);
    assert_int_equal(get(0xf0), 0);
    put(0x10, 1);
    clock_step(NS_PER_MS);
    assert_int_equal(get(0xf0), 100000);
    put(0x10, 0);
    clock_step(NS_PER_MS);
    assert_int_equal(get(0xf0), 100000);
    put(0xf0, 5);
    put(0x10, 1);
    clock_step(100);
    assert_int_equal(mem_in(HPET_BASE + 0xf0, 4), 15);
}

static void test_oneshot_legacy(void **state)
{
    make();
    put(0x10, 3);
    assert_true(legacy);
    put(0x100, 0x4 | 0x100); /* interrupt, 32 bits */
    mem_out(HPET_BASE + 0x108, 1000, 4);
    clock_step(9999);
    assert_int_equal(fake_lines[0].rises, 0);
    clock_step(2);
    assert_int_equal(fake_lines[0].rises, 1);
    assert_int_equal(fake_lines[0].level, 0);
    put(0x120, 0x4);
    put(0x128, get(0xf0) + 100);
    clock_step(1000);
    assert_int_equal(fake_lines[8].rises, 1);
    put(0x10, 1);
    assert_false(legacy);
}

static void test_periodic(void **state)
{
    make();
    put(0x10, 2);
    put(0x100, 0x4 | 0x8 | 0x40 | 0x100);
    put(0x108, 100000); /* first match at 1 ms */
    put(0x108, 100000); /* period */
    put(0x10, 3);
    clock_step(NS_PER_SEC);
    assert_in_range(fake_lines[0].rises, 999, 1000);
    put(0x100, 0x8);
    fake_lines[0].rises = 0;
    assert_in_range(timers_next_virtual() - clock_now(CLK_VIRTUAL), NS_PER_SEC / 2, NS_PER_SEC); /* it costs nothing */
    for (unsigned n = 0; n < 5; n++) {
        clock_step(777 * NS_PER_MS + 1234);
        assert_in_range(get(0x108) - get(0xf0), 1, 100000); /* and goes on */
        assert_int_equal(get(0x108) % 100000, 0);
    }
    assert_int_equal(fake_lines[0].rises, 0);
    put(0x100, 0x4 | 0x8);
    clock_step(NS_PER_SEC);
    assert_in_range(fake_lines[0].rises, 999, 1000);
}

static void test_level(void **state)
{
    make();
    assert_int_equal(get(0x140) >> 32, 0x00f00004);
    put(0x140, 0x4 | 0x2 | 20 << 9);
    put(0x148, 100);
    put(0x10, 1);
    clock_step(1001);
    assert_int_equal(fake_lines[16 + 20].level, 1);
    assert_int_equal(get(0x20), 4);
    put(0x20, 4);
    assert_int_equal(fake_lines[16 + 20].level, 0);
}

static void test_flood_is_limited(void **state)
{
    make();
    put(0x100, 0x4 | 0x8 | 0x40);
    put(0x108, 1); /* every 10 ns */
    put(0x10, 3);
    clock_step(10 * NS_PER_MS);
    assert_in_range(fake_lines[0].rises, 100, 600);
}

static int64_t busy_ns;

static int64_t busy_counter(void *opaque)
{
    return busy_ns += 700 * NS_PER_US;
}

/* The host has so little time that a period passes between two lines of the model: 32-bit ticks of 1 ms still come. */
static void test_slow_host(void **state)
{
    make();
    put(0x100, 0x4 | 0x8 | 0x40 | 0x100);
    put(0x108, 100000);
    put(0x108, 100000);
    put(0x10, 3);
    busy_ns = clock_now(CLK_VIRTUAL);
    clock_counter(busy_counter, NULL);
    for (unsigned i = 0; i < 100; i++) {
        machine_unlock();
        timers_run_virtual();
        machine_lock();
    }
    assert_in_range(fake_lines[0].rises, 40, 110);
    clock_manual();
}

/* unattended - ticks of 1 ms on the legacy route, or a level pin: nobody looks for 10 of them, then somebody does for
 * 20 ms. */
static unsigned unattended(const char *policy, bool level)
{
    Device *dev = fake_device(&hpet_class);
    IrqLine gsi[24] = { 0 };
    unsigned n;

    gsi[20] = slow_line;
    hpet_connect(dev, gsi, slow_line, slow_line, NULL, NULL);
    assert_true(device_set(dev, "lost_tick_policy", policy, NULL));
    fake_realize(dev);
    put(0x100, 0x4 | 0x8 | 0x40 | (level ? 0x2 | 20 << 9 : 0));
    put(0x108, 100000);
    put(0x108, 100000);
    slow_begin();
    put(0x10, level ? 1 : 3);
    clock_step(NS_PER_MS * 21 / 2);
    for (n = 0; n < 200; n++) {
        slow_attend(1);
        put(0x20, 1);
    }
    device_free(dev);
    return slow_seen;
}

static void test_unseen_ticks(void **state)
{
    Error *err = NULL;
    Device *dev;

    for (unsigned level = 0; level < 2; level++) {
        assert_in_range(unattended("discard", level), 20, 22);
        assert_in_range(unattended("delay", level), 29, 31);
    }
    dev = fake_device(&hpet_class);
    assert_true(device_set(dev, "lost_tick_policy", "slew", NULL));
    assert_false(device_realize(dev, &err));
    expect_error(&err, "hpet: lost_tick_policy=slew: not discard or delay");
    device_free(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_counter), FAKE_TEST(test_oneshot_legacy), FAKE_TEST(test_periodic),
        FAKE_TEST(test_level), FAKE_TEST(test_slow_host), FAKE_TEST(test_unseen_ticks),
        FAKE_TEST(test_flood_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
