/* The parallel port and its printer through the ports, by the PC/AT's technical reference. */
#include "tests/device/fake.h"

#include "base/optlist.h"
#include "bus/state.h"
#include "chardev/chardev.h"
#include "hw/char/parallel.h"

static Chardev *line;
static Device *port;

static void nothing(void)
{
}

static int setup(void **state)
{
    OptList *l = opt_parse("ringbuf,id=line,size=16", "backend", NULL);

    fake_setup(state);
    chardev_setup(&machine_lock_guard, nothing);
    line = chardev_new(l, NULL);
    assert_non_null(line);
    opt_free(l);
    port = fake_device(&parallel_class);
    parallel_set_chardev(port, line);
    fake_realize(port);
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    chardev_free(line);
    return 0;
}

/* print - as a driver does: data, STROBE on and off. */
static void print(uint8_t val, uint8_t control)
{
    out8(0x378, val);
    out8(0x37a, control | 1);
    out8(0x37a, control);
}

static void test_print(void **state)
{
    uint8_t got[16];

    assert_int_equal(in8(0x379) & 0xf8, 0xd8); /* not busy, no ACK, paper, selected, no error */
    print('A', 0x0c);
    assert_int_equal(in8(0x379) & 0x80, 0); /* busy */
    print('x', 0x0c);                       /* a strobe meanwhile is lost */
    clock_step(10000);
    assert_int_equal(in8(0x379) & 0x80, 0x80);
    print('B', 0x0c);
    clock_step(10000);
    assert_int_equal(chardev_ringbuf_read(line, got, sizeof(got)), 2);
    assert_memory_equal(got, "AB", 2);
    assert_int_equal(in8(0x378), 'B');
    assert_int_equal(in8(0x37a) & 0x3f, 0x0c);
    assert_int_equal(fake_lines[7].rises, 0);
}

static void test_interrupt(void **state)
{
    print('A', 0x1c);
    assert_int_equal(fake_lines[7].level, 0);
    clock_step(10000);
    assert_int_equal(fake_lines[7].level, 1); /* ACK */
    in8(0x379);
    assert_int_equal(fake_lines[7].level, 0);
    print('B', 0x1c);
    clock_step(10000);
    assert_int_equal(fake_lines[7].level, 1);
    out8(0x37a, 0x0c);
    assert_int_equal(fake_lines[7].level, 0);
}

static void test_init_and_state(void **state)
{
    StateBuf b = { 0 }, in;
    uint8_t got[16];

    print('A', 0x0c);
    out8(0x37a, 0x08); /* INIT: the byte is forgotten */
    assert_int_equal(in8(0x379) & 0x80, 0x80);
    out8(0x37a, 0x0c);
    clock_step(10000);
    assert_int_equal(chardev_ringbuf_read(line, got, sizeof(got)), 0);

    print('S', 0x1c);
    devices_save(&b);
    out8(0x37a, 0x08);
    in = (StateBuf){ .data = b.data, .len = b.len };
    assert_true(devices_load(&in, NULL));
    assert_int_equal(in8(0x379) & 0x80, 0);
    clock_step(10000);
    assert_int_equal(chardev_ringbuf_read(line, got, sizeof(got)), 1);
    assert_int_equal(got[0], 'S');
    assert_int_equal(fake_lines[7].level, 1);
    state_buf_free(&b);
}

#define PARALLEL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARALLEL_TEST(test_print),
        PARALLEL_TEST(test_interrupt),
        PARALLEL_TEST(test_init_and_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
