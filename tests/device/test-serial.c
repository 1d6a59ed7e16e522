/* The 16550A, against the PC16550D data sheet. */
#include "tests/device/fake.h"

#include "base/optlist.h"
#include "chardev/chardev.h"
#include "hw/char/serial-isa.h"

#define COM1 0x3f8
static Chardev *line;
static Device *uart;

static int setup(void **state)
{
    OptList *l;

    fake_setup(state);
    chardev_setup(&machine_lock_guard, NULL);
    l = opt_parse("ringbuf,id=line", "backend", NULL);
    line = chardev_new(l, NULL);
    opt_free(l);
    assert_non_null(line);
    uart = fake_device(&serial_isa_class);
    serial_isa_set_chardev(uart, line);
    fake_realize(uart);
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    chardev_free(line);
    return 0;
}

static size_t send_in(const char *text)
{
    return chardev_inject(line, (const uint8_t *)text, strlen(text));
}

static void test_reset_and_scratch(void **state)
{
    assert_int_equal(in8(COM1 + 1), 0);
    assert_int_equal(in8(COM1 + 2), 0x01);
    assert_int_equal(in8(COM1 + 5), 0x60);
    assert_int_equal(in8(COM1 + 6) & 0xf0, 0xb0);
    out8(COM1 + 7, 0x5a);
    assert_int_equal(in8(COM1 + 7), 0x5a);
    out8(COM1 + 3, 0x83);
    out8(COM1, 0x01);
    out8(COM1 + 1, 0x00);
    assert_int_equal(in8(COM1), 0x01);
    out8(COM1 + 3, 0x03);
    assert_int_equal(in8(COM1 + 1), 0);
}

static void test_transmit(void **state)
{
    uint8_t buf[8];

    out8(COM1 + 1, 0x02); /* THRE is there as soon as it is enabled */
    assert_int_equal(fake_lines[4].level, 1);
    assert_int_equal(in8(COM1 + 2), 0x02);
    assert_int_equal(fake_lines[4].level, 0); /* reading IIR resets it */
    out8(COM1, 'h');
    assert_int_equal(fake_lines[4].level, 1);
    out8(COM1, 'i');
    assert_int_equal(chardev_ringbuf_read(line, buf, sizeof(buf)), 2);
    assert_memory_equal(buf, "hi", 2);
    assert_int_equal(in8(COM1 + 5) & 0x60, 0x60);
    out8(COM1 + 1, 0x00);
    assert_int_equal(fake_lines[4].level, 0);
}

static void test_receive_no_fifo(void **state)
{
    out8(COM1 + 1, 0x01);
    assert_int_equal(send_in("ab"), 1);
    assert_int_equal(fake_lines[4].level, 1);
    assert_int_equal(in8(COM1 + 2), 0x04);
    assert_int_equal(in8(COM1 + 5) & 0x01, 1);
    assert_int_equal(in8(COM1), 'a');
    assert_int_equal(fake_lines[4].level, 0);
    assert_int_equal(in8(COM1 + 5) & 0x01, 0);
}

static void test_fifo_trigger_and_timeout(void **state)
{
    out8(COM1 + 2, 0x87); /* FIFO on, trigger at 8 */
    out8(COM1 + 1, 0x01);
    assert_int_equal(send_in("abc"), 3);
    assert_int_equal(fake_lines[4].level, 0);
    assert_int_equal(in8(COM1 + 2), 0xc1);
    clock_step(50 * NS_PER_MS); /* four characters' time at 9600 are 4 ms */
    assert_int_equal(fake_lines[4].level, 1);
    assert_int_equal(in8(COM1 + 2), 0xcc);
    assert_int_equal(in8(COM1), 'a');
    assert_int_equal(fake_lines[4].level, 0); /* a read restarts the timeout */
    clock_step(50 * NS_PER_MS);
    assert_int_equal(in8(COM1 + 2), 0xcc);
    assert_int_equal(send_in("defghi"), 6);
    assert_int_equal(in8(COM1 + 2), 0xc4);
    for (const char *p = "bcdefghi"; *p != '\0'; p++) {
        assert_int_equal(in8(COM1), *p);
    }
    assert_int_equal(fake_lines[4].level, 0);
    assert_int_equal(send_in("0123456789abcdefXYZ"), 16);
    out8(COM1 + 2, 0x83); /* clear it */
    assert_int_equal(in8(COM1 + 5) & 1, 0);
}

static void test_break(void **state)
{
    out8(COM1 + 2, 0x01);
    out8(COM1 + 1, 0x04);
    chardev_inject_break(line);
    assert_int_equal(in8(COM1 + 2), 0xc6);
    assert_int_equal(in8(COM1 + 5) & 0x91, 0x91);
    assert_int_equal(in8(COM1 + 5) & 0x90, 0);
    assert_int_equal(in8(COM1), 0);
}

static void test_loopback(void **state)
{
    out8(COM1 + 2, 0x07);
    out8(COM1 + 4, 0x1a); /* loop, RTS, OUT2: what Linux' probe writes */
    assert_int_equal(in8(COM1 + 6) & 0xf0, 0x90);
    assert_int_equal(in8(COM1 + 6) & 0x0f, 0); /* the deltas were read */
    out8(COM1 + 4, 0x15); /* DTR, OUT1 */
    assert_int_equal(in8(COM1 + 6) & 0xf0, 0x60);
    out8(COM1, 0x42);
    assert_int_equal(in8(COM1 + 5) & 1, 1);
    assert_int_equal(in8(COM1), 0x42);
    assert_int_equal(send_in("x"), 0);
    for (unsigned i = 0; i < 20; i++) {
        out8(COM1, (uint8_t)i);
    }
    assert_int_equal(in8(COM1 + 5) & 0x02, 0x02); /* overrun */
    assert_int_equal(in8(COM1 + 5) & 0x02, 0);
    out8(COM1 + 4, 0x00);
    assert_int_equal(in8(COM1 + 6) & 0x04, 0x04); /* RI went away: TERI */
}

static void test_bad_properties(void **state)
{
    Error *err = NULL;
    Device *dev = fake_device(&serial_isa_class);

    assert_true(device_set(dev, "index", "9", NULL));
    assert_false(device_realize(dev, &err));
    expect_error(&err, "index");
    device_free(dev);
    dev = fake_device(&serial_isa_class);
    assert_false(device_realize(dev, &err)); /* COM1 is taken */
    expect_error(&err, "serial");
    device_free(dev);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reset_and_scratch), T(test_transmit), T(test_receive_no_fifo),
        T(test_fifo_trigger_and_timeout), T(test_break), T(test_loopback),
        T(test_bad_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
