/* The 8254 timer and port 61h, against the Intel 8254 data sheet. One clock is 838.095 ns. */
#include "tests/device/fake.h"
#include "tests/device/slow.h"

#include "bus/state.h"
#include "hw/timer/i8254.h"

static Device *pit;

static void make(void)
{
    pit = fake_device(&i8254_class);
    pit_connect(pit, fake_line(0));
    fake_realize(pit);
}

static int64_t virtual_ns;

static int64_t virtual_counter(void *opaque)
{
    return virtual_ns;
}

/* step - to just behind @clocks from now. */
static void step(uint64_t clocks)
{
    clock_step((int64_t)(clocks * NS_PER_SEC / PIT_HZ) + 1);
}

static uint16_t count(unsigned n)
{
    uint8_t low;

    out8(0x43, (uint8_t)(n << 6));
    low = in8((uint16_t)(0x40 + n));
    return (uint16_t)(low | in8((uint16_t)(0x40 + n)) << 8);
}

static void test_mode0(void **state)
{
    make();
    out8(0x43, 0x30);
    assert_int_equal(fake_lines[0].level, 0); /* "OUT will be initially low" */
    out8(0x40, 1000 & 0xff);
    out8(0x40, 1000 >> 8);
    step(400);
    assert_in_range(count(0), 598, 601);
    assert_int_equal(fake_lines[0].level, 0);
    step(600);
    assert_int_equal(fake_lines[0].level, 1);
    step(10000);
    assert_int_equal(fake_lines[0].rises, 1);
    out8(0x40, 10); /* the first byte stops the count and lowers OUT */
    assert_int_equal(fake_lines[0].level, 0);
}

static void test_mode2(void **state)
{
    make();
    out8(0x43, 0x34);
    out8(0x40, 11932 & 0xff); /* 100 Hz */
    out8(0x40, 11932 >> 8);
    clock_step(NS_PER_SEC);
    assert_in_range(fake_lines[0].rises, 100, 101);
    assert_int_equal(fake_lines[0].level, 1);
    assert_in_range(count(0), 1, 11932);
    /* a new count waits for the end of the period */
    fake_lines[0].rises = 0;
    out8(0x40, 1193 & 0xff);
    out8(0x40, 1193 >> 8);
    out8(0x43, 0xe2); /* status of counter 0: null count */
    assert_int_equal(in8(0x40) & 0x7f, 0x40 | 0x34);
    clock_step(NS_PER_SEC);
    assert_in_range(fake_lines[0].rises, 985, 1001);
}

static void test_mode3(void **state)
{
    make();
    out8(0x43, 0x36);
    out8(0x40, 0);
    out8(0x40, 0); /* 65536: 18.2 Hz */
    assert_int_equal(fake_lines[0].level, 1);
    step(32768 + 10);
    assert_int_equal(fake_lines[0].level, 0);
    step(32768);
    assert_int_equal(fake_lines[0].level, 1);
    clock_step(10 * NS_PER_SEC);
    assert_in_range(fake_lines[0].rises, 182, 184);
}

static void test_mode4(void **state)
{
    make();
    out8(0x43, 0x38);
    assert_int_equal(fake_lines[0].level, 1);
    out8(0x40, 100);
    out8(0x40, 0);
    step(99);
    assert_int_equal(fake_lines[0].falls, 0);
    step(5);
    assert_int_equal(fake_lines[0].falls, 1); /* one strobe */
    assert_int_equal(fake_lines[0].level, 1);
    step(1000000);
    assert_int_equal(fake_lines[0].falls, 1);
}

static void test_channel2(void **state)
{
    make();
    out8(0x61, 0x00);
    out8(0x43, 0xb0); /* mode 0, as TSC calibration uses it */
    out8(0x42, 0xff);
    out8(0x42, 0xff);
    step(1000);
    assert_int_equal(count(2), 0xffff); /* gate low: no counting */
    out8(0x61, 0x01);
    step(1000);
    assert_in_range(count(2), 0xffff - 1001, 0xffff - 999);
    assert_int_equal(in8(0x61) & 0x20, 0);
    step(65535);
    assert_int_equal(in8(0x61) & 0x20, 0x20);
    assert_int_equal(in8(0x61) & 0x0f, 0x01);
    /* mode 1: retriggerable by the gate */
    out8(0x61, 0x00);
    out8(0x43, 0xb2);
    out8(0x42, 100);
    out8(0x42, 0);
    assert_int_equal(in8(0x61) & 0x20, 0x20);
    out8(0x61, 0x01);
    assert_int_equal(in8(0x61) & 0x20, 0);
    step(101);
    assert_int_equal(in8(0x61) & 0x20, 0x20);
}

static void test_latch_bcd_refresh(void **state)
{
    uint8_t low, first;
    unsigned changes = 0;

    make();
    out8(0x43, 0x35); /* mode 2, BCD */
    out8(0x40, 0x00);
    out8(0x40, 0x10); /* 1000 */
    step(1);
    assert_in_range(count(0), 0x998, 0x1000);
    out8(0x43, 0x00); /* latched: stands still */
    step(300);
    low = in8(0x40);
    assert_in_range(low | in8(0x40) << 8, 0x990, 0x1000);
    out8(0x43, 0xc2); /* read-back: status first, then the count */
    assert_int_equal(in8(0x40) & 0x3f, 0x35);
    in8(0x40);
    in8(0x40);
    first = in8(0x61) & 0x10;
    for (unsigned i = 0; i < 40; i++) {
        clock_step(1000);
        changes += (in8(0x61) & 0x10) != first;
        first = in8(0x61) & 0x10;
    }
    assert_in_range(changes, 2, 3); /* every 15 us */
}

/* ticking - a PIT of 1000 Hz whose guest will look when it likes. */
static void ticking(const char *policy)
{
    pit = fake_device(&i8254_class);
    pit_connect(pit, slow_line);
    assert_true(device_set(pit, "lost_tick_policy", policy, NULL));
    fake_realize(pit);
    out8(0x43, 0x34);
    out8(0x40, 0xa9);
    out8(0x40, 0x04);
    slow_begin();
}

/* late - let 10 periods pass before the loop looks at its timers; then 20 ms that the guest attends. */
static unsigned late(const char *policy)
{
    unsigned n;

    ticking(policy);
    clock_step(NS_PER_MS * 3 / 2);
    virtual_ns = clock_now(CLK_VIRTUAL) + 10 * NS_PER_MS;
    slow_begin();
    clock_counter(virtual_counter, NULL);
    machine_unlock();
    timers_run_virtual();
    machine_lock();
    clock_manual();
    n = slow_attend(200);
    device_free(pit);
    return n;
}

/* unattended - nobody looks for @ms, then somebody does for 20 ms; @masked: the guest kept them away. */
static unsigned unattended(const char *policy, unsigned ms, bool masked)
{
    unsigned n;

    ticking(policy);
    slow_masked = masked;
    clock_step(ms * NS_PER_MS + NS_PER_MS / 2);
    slow_masked = false;
    n = slow_attend(200);
    device_free(pit);
    return n;
}

/* The host has so little time that most of a period passes between two lines of the model: no tick is forgotten. */
static int64_t busy_counter(void *opaque)
{
    return virtual_ns += 300 * NS_PER_US;
}

static void slow_host(uint8_t mode)
{
    int64_t begin;
    unsigned n;

    ticking("delay");
    out8(0x43, (uint8_t)(0x30 | mode << 1));
    out8(0x40, 0xa9);
    out8(0x40, 0x04);
    begin = virtual_ns = clock_now(CLK_VIRTUAL);
    slow_begin();
    clock_counter(busy_counter, NULL);
    for (unsigned i = 0; i < 300; i++) {
        machine_unlock();
        timers_run_virtual();
        machine_lock();
        slow_seen += slow_unseen;
        slow_unseen = false;
        irq_tell_done();
    }
    clock_manual();
    n = slow_attend(3000);
    assert_in_range(n, (clock_now(CLK_VIRTUAL) - begin) / NS_PER_MS - 2, (clock_now(CLK_VIRTUAL) - begin) / NS_PER_MS + 1);
    device_free(pit);
}

static void test_slow_host(void **state)
{
    slow_host(2);
    slow_host(3);
}

static void test_unseen_ticks(void **state)
{
    assert_in_range(unattended("discard", 10, false), 20, 22);
    assert_in_range(unattended("delay", 10, false), 29, 31);
    assert_in_range(unattended("delay", 10, true), 29, 31);
    assert_in_range(unattended("delay", 1100, true), 20, 22); /* who masks for so long does not count */
}

/* What is to be made up for ends with the tick that it is of, and is part of a saved state. */
static void test_unseen_ticks_end(void **state)
{
    StateBuf b = { 0 };
    int64_t then;

    ticking("delay");
    clock_step(NS_PER_MS * 21 / 2);
    then = clock_now(CLK_VIRTUAL);
    devices_save(&b);
    assert_in_range(slow_attend(200), 29, 31);
    for (unsigned i = 0; i < 2; i++) {
        clock_set_virtual(then);
        b.pos = 0;
        assert_true(devices_load(&b, NULL));
        slow_begin();
        assert_in_range(i == 0 ? slow_attend(200) : 29, 28, 31);
    }
    out8(0x43, 0x34); /* another tick: 500 Hz */
    out8(0x40, 0x52);
    out8(0x40, 0x09);
    slow_begin();
    assert_in_range(slow_attend(200), 9, 11);
    state_buf_free(&b);
}

static void test_lost_ticks(void **state)
{
    Error *err = NULL;

    assert_in_range(late("discard"), 20, 22);
    assert_in_range(late("delay"), 29, 31);
    pit = fake_device(&i8254_class);
    assert_true(device_set(pit, "lost_tick_policy", "merge", NULL));
    assert_false(device_realize(pit, &err));
    expect_error(&err, "lost_tick_policy=merge");
    device_free(pit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_lost_ticks), FAKE_TEST(test_unseen_ticks), FAKE_TEST(test_unseen_ticks_end), FAKE_TEST(test_slow_host),
        FAKE_TEST(test_mode0), FAKE_TEST(test_mode2), FAKE_TEST(test_mode3),
        FAKE_TEST(test_mode4), FAKE_TEST(test_channel2), FAKE_TEST(test_latch_bcd_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
