/* The MC146818, against its data sheet. */
#include "tests/device/fake.h"

#include <time.h>
#include "hw/rtc/mc146818.h"

static Device *rtc;

static uint8_t get(uint8_t index)
{
    out8(0x70, index);
    return in8(0x71);
}
static void put(uint8_t index, uint8_t val)
{
    out8(0x70, index);
    out8(0x71, val);
}

static void make(const char *base)
{
    rtc = fake_device(&mc146818_class);
    rtc_connect(rtc, fake_line(8));
    assert_true(device_set(rtc, "base", base, NULL));
    fake_realize(rtc);
}

static void test_time(void **state)
{
    make("2024-02-28T23:59:58");
    assert_int_equal(get(0x0d), 0x80); /* valid RAM and time */
    assert_int_equal(get(0x00), 0x58);
    assert_int_equal(get(0x02), 0x59);
    assert_int_equal(get(0x04), 0x23);
    assert_int_equal(get(0x06), 4); /* Wednesday; Sunday is 1 */
    assert_int_equal(get(0x07), 0x28);
    assert_int_equal(get(0x08), 0x02);
    assert_int_equal(get(0x09), 0x24);
    assert_int_equal(get(0x32), 0x20);
    clock_step(2 * NS_PER_SEC);
    assert_int_equal(get(0x07), 0x29); /* leap year */
    assert_int_equal(get(0x04), 0x00);
    put(0x0b, 0x06); /* binary */
    clock_step(3600 * NS_PER_SEC * 13);
    assert_int_equal(get(0x04), 13);
    put(0x0b, 0x04); /* 12 hours */
    assert_int_equal(get(0x04), 0x81);
    put(0x0b, 0x00);
    clock_step(3600 * NS_PER_SEC * 11);
    assert_int_equal(get(0x04), 0x12); /* midnight is 12 am */
}

static void test_set(void **state)
{
    make("2000-01-01");
    put(0x0b, 0x82); /* SET: the clock stands */
    put(0x00, 0x10);
    put(0x02, 0x20);
    put(0x04, 0x15);
    put(0x07, 0x31);
    put(0x08, 0x12);
    put(0x09, 0x99);
    put(0x32, 0x19);
    clock_step(5 * NS_PER_SEC);
    assert_int_equal(get(0x00), 0x10);
    put(0x0b, 0x02);
    assert_int_equal(get(0x00), 0x10);
    clock_step(NS_PER_SEC / 2 + 1); /* first update after half a second */
    assert_int_equal(get(0x00), 0x11);
    assert_int_equal(get(0x09), 0x99);
    put(0x50, 0xab); /* CMOS RAM */
    assert_int_equal(get(0x50), 0xab);
    assert_int_equal(get(0x70), 0); /* index is 7 bits, the NMI mask is not ours */
}

static void test_update_interrupt(void **state)
{
    make("2000-01-01T00:00:00");
    get(0x0c);
    put(0x0b, 0x12);
    clock_step(NS_PER_SEC);
    assert_int_equal(fake_lines[8].level, 1);
    assert_int_equal(get(0x0c) & 0x90, 0x90);
    assert_int_equal(fake_lines[8].level, 0);
    clock_step(3 * NS_PER_SEC);
    assert_int_equal(fake_lines[8].rises, 2);
    put(0x0b, 0x02);
    get(0x0c);
    assert_int_equal(fake_lines[8].level, 0);
    /* UIP rises 244 us before the update */
    clock_step(NS_PER_SEC - 200 * NS_PER_US);
    assert_int_equal(get(0x0a) & 0x80, 0x80);
    clock_step(201 * NS_PER_US);
    assert_int_equal(get(0x0a) & 0x80, 0);
}

static void test_alarm(void **state)
{
    make("2000-01-01T10:00:00");
    put(0x01, 0x05);
    put(0x03, 0xff); /* don't care */
    put(0x05, 0x10);
    put(0x0b, 0x22);
    get(0x0c);
    clock_step(4 * NS_PER_SEC);
    assert_int_equal(fake_lines[8].level, 0);
    clock_step(NS_PER_SEC);
    assert_int_equal(fake_lines[8].level, 1);
    assert_int_equal(get(0x0c) & 0xa0, 0xa0);
    clock_step(60 * NS_PER_SEC);
    assert_int_equal(fake_lines[8].rises, 2);
}

static void test_periodic(void **state)
{
    unsigned n = 0;

    make("2000-01-01");
    put(0x0a, 0x26); /* 1024 Hz */
    put(0x0b, 0x42);
    for (unsigned i = 0; i < 1000; i++) {
        clock_step(NS_PER_MS);
        n += (get(0x0c) & 0xc0) == 0xc0;
    }
    assert_in_range(n, 990, 1000);
    put(0x0b, 0x02);
    get(0x0c);
    fake_lines[8].rises = 0;
    clock_step(NS_PER_SEC);
    assert_int_equal(fake_lines[8].rises, 0);
    assert_int_equal(get(0x0c) & 0x40, 0x40); /* PF also without PIE */
}

/* interrupts - how many the guest takes in @ms, reading register C at once. */
static unsigned interrupts(unsigned ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ms * 16; i++) {
        clock_step(NS_PER_MS / 16);
        if (fake_lines[8].level) {
            get(0x0c);
            n++;
        }
    }
    return n;
}

static void make_ticking(const char *policy)
{
    rtc = fake_device(&mc146818_class);
    rtc_connect(rtc, fake_line(8));
    assert_true(device_set(rtc, "lost_tick_policy", policy, NULL));
    fake_realize(rtc);
    put(0x0a, 0x2a); /* 64 Hz */
    put(0x0b, 0x42);
    get(0x0c);
}

/* A guest that looked away for a second misses 64 ticks. */
static void test_lost_ticks(void **state)
{
    unsigned n;

    make_ticking("discard");
    clock_step(NS_PER_SEC);
    assert_in_range(interrupts(1000), 64, 65);
    device_free(rtc);
    make_ticking("slew");
    clock_step(NS_PER_SEC);
    n = interrupts(250);
    assert_in_range(n, 40, 5 * 17); /* faster than 64 Hz, but no burst */
    n += interrupts(2750);
    assert_in_range(n, 4 * 64 - 1, 4 * 64 + 1); /* all are there in the end */
    clock_step(NS_PER_SEC);
    put(0x0b, 0x02); /* no more of them wanted: nothing is left over */
    get(0x0c);
    put(0x0b, 0x42);
    assert_in_range(interrupts(1000), 63, 65);
}

/* clock=host: the date is the host's, whatever the virtual clock does. */
static void test_host_clock(void **state)
{
    Error *err = NULL;
    time_t now;
    struct tm tm;
    unsigned sec, min;

    rtc = fake_device(&mc146818_class);
    assert_true(device_set(rtc, "clock", "host", NULL));
    fake_realize(rtc);
    put(0x0b, 0x06);
    clock_step(3600 * NS_PER_SEC);
    sec = get(0);
    min = get(2);
    now = time(NULL);
    gmtime_r(&now, &tm);
    assert_in_range((unsigned)(tm.tm_min * 60 + tm.tm_sec - (int)(min * 60 + sec) + 3600) % 3600,
                    0, 2);
    put(0x0b, 0x16); /* update interrupts come by it as well */
    get(0x0c);
    clock_step(NS_PER_SEC);
    device_free(rtc);
    rtc = fake_device(&mc146818_class);
    assert_true(device_set(rtc, "clock", "sundial", NULL));
    assert_false(device_realize(rtc, &err));
    expect_error(&err, "clock=sundial");
    device_free(rtc);
    rtc = fake_device(&mc146818_class);
    assert_true(device_set(rtc, "lost_tick_policy", "none", NULL));
    assert_false(device_realize(rtc, &err));
    expect_error(&err, "lost_tick_policy=none");
    device_free(rtc);
}

static void test_bad_date(void **state)
{
    Error *err = NULL;

    rtc = fake_device(&mc146818_class);
    assert_true(device_set(rtc, "base", "yesterday", NULL));
    assert_false(device_realize(rtc, &err));
    expect_error(&err, "yesterday");
    device_free(rtc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_time), FAKE_TEST(test_set), FAKE_TEST(test_update_interrupt),
        FAKE_TEST(test_alarm), FAKE_TEST(test_periodic), FAKE_TEST(test_bad_date),
        FAKE_TEST(test_lost_ticks), FAKE_TEST(test_host_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
