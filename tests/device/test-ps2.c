/* The 8042 with its keyboard and mouse, against IBM's PS/2 Technical Reference. */
#include "tests/device/fake.h"

#include "bus/state.h"
#include "hw/input/i8042.h"
#include "hw/input/input.h"

static Device *kbd;

/* bytes - everything that can be read at port 60h now, as text; aux bytes have a star. */
static const char *bytes(void)
{
    static char text[512];
    size_t at = 0;

    text[0] = '\0';
    for (unsigned n = 0; n < 64; n++) {
        uint8_t status = in8(0x64);

        if (!(status & 1)) {
            break;
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02x%s", at > 0 ? " " : "",
                               in8(0x60), status & 0x20 ? "*" : "");
    }
    return text;
}

static void command(uint8_t ctr)
{
    out8(0x64, 0x60);
    out8(0x60, ctr);
}

static void make(uint8_t ctr)
{
    kbd = fake_realize(fake_device(&i8042_class));
    command(ctr);
}

static const char *to_kbd(uint8_t val)
{
    out8(0x60, val);
    return bytes();
}
static const char *to_mouse(uint8_t val)
{
    out8(0x64, 0xd4);
    out8(0x60, val);
    return bytes();
}
static const char *press(unsigned key)
{
    input_key(key, true);
    return bytes();
}
static const char *release(unsigned key)
{
    input_key(key, false);
    return bytes();
}

static void test_controller(void **state)
{
    make(0x00);
    out8(0x64, 0x20);
    assert_string_equal(bytes(), "00");
    out8(0x64, 0xaa);
    assert_string_equal(bytes(), "55");
    out8(0x64, 0xab);
    assert_string_equal(bytes(), "00");
    out8(0x64, 0xa9);
    assert_string_equal(bytes(), "00");
    command(0x00);
    out8(0x64, 0xd2);
    out8(0x60, 0x42);
    assert_string_equal(bytes(), "42");
    out8(0x64, 0xd3);
    out8(0x60, 0x5a);
    assert_string_equal(bytes(), "5a*");
    out8(0x64, 0xad);
    input_key(0x1e, true);
    assert_string_equal(bytes(), ""); /* the keyboard waits */
    out8(0x64, 0xae);
    assert_string_equal(bytes(), "1c");
    input_key(0x1e, false);
    out8(0x64, 0x20); /* an answer waits for the buffer, and goes first */
    assert_string_equal(bytes(), "f0 00 1c");
}

static void test_interrupts(void **state)
{
    make(0x43);
    input_key(0x1e, true);
    assert_int_equal(fake_lines[1].level, 1);
    assert_int_equal(in8(0x60), 0x1e);
    assert_int_equal(fake_lines[1].level, 0);
    input_key(0x1e, false);
    input_key(0x30, true);
    assert_int_equal(fake_lines[1].rises, 2);
    assert_int_equal(in8(0x60), 0x9e);
    assert_int_equal(fake_lines[1].rises, 3); /* an edge for each byte */
    assert_int_equal(in8(0x60), 0x30);
    assert_int_equal(fake_lines[12].rises, 0);
    to_mouse(0xf4);
    fake_lines[12].rises = 0;
    input_mouse(1, 0, 0, 0);
    assert_int_equal(fake_lines[12].level, 1);
    assert_int_equal(fake_lines[1].level, 0);
    assert_string_equal(bytes(), "08* 01* 00*");
    assert_int_equal(fake_lines[12].rises, 3);
    assert_int_equal(fake_lines[12].level, 0);
    command(0x40);
    input_key(0x31, true);
    assert_int_equal(fake_lines[1].level, 0); /* interrupts off */
    devices_reset();
    assert_int_equal(in8(0x64) & 1, 0);
}

static void test_scan_codes(void **state)
{
    make(0x00);
    assert_string_equal(press(0x1e), "1c"); /* A in set 2 */
    assert_string_equal(release(0x1e), "f0 1c");
    assert_string_equal(press(0x41), "83"); /* F7 */
    assert_string_equal(press(0x148), "e0 75");
    assert_string_equal(release(0x148), "e0 f0 75");
    assert_string_equal(press(INPUT_PRINT), "e0 12 e0 7c");
    assert_string_equal(release(INPUT_PRINT), "e0 f0 7c e0 f0 12");
    assert_string_equal(press(INPUT_PAUSE), "e1 14 77 e1 f0 14 f0 77");
    assert_string_equal(release(INPUT_PAUSE), "");
    command(0x40); /* translated */
    assert_string_equal(press(0x1c), "1c");
    assert_string_equal(release(0x1c), "9c");
    assert_string_equal(press(0x11d), "e0 1d");
    assert_string_equal(press(INPUT_PAUSE), "e0 46 e0 c6"); /* Ctrl-Break */
    assert_string_equal(release(0x11d), "e0 9d");
    release(INPUT_PAUSE);
    assert_string_equal(press(INPUT_PAUSE), "e1 1d 45 e1 9d c5");
    press(0x38);
    assert_string_equal(press(INPUT_PRINT), "54"); /* SysRq */
    assert_string_equal(release(INPUT_PRINT), "d4");
    release(0x38);
    command(0x00);
    assert_string_equal(to_kbd(0xf0), "fa");
    assert_string_equal(to_kbd(0x01), "fa");
    assert_string_equal(press(0x39), "39");
    assert_string_equal(release(0x39), "b9");
    to_kbd(0xf0);
    assert_string_equal(to_kbd(0x03), "fa");
    assert_string_equal(press(0x2c), "1a");
    assert_string_equal(release(0x2c), ""); /* typematic only */
    assert_string_equal(press(0x2a), "12");
    assert_string_equal(release(0x2a), "f0 12");
    assert_string_equal(to_kbd(0xf8), "fa"); /* all make and break */
    press(0x148);
    assert_string_equal(release(0x148), "f0 63");
    assert_string_equal(to_kbd(0xfd), "fa"); /* but this one */
    assert_string_equal(to_kbd(0x63), "fa");
    press(0x148);
    assert_string_equal(release(0x148), "");
    to_kbd(0xf0);
    assert_string_equal(to_kbd(0x00), "fa 03");
    to_kbd(0xf0);
    assert_string_equal(to_kbd(0x07), "fe");
}

static void test_kbd_commands(void **state)
{
    make(0x40);
    assert_string_equal(to_kbd(0xff), "fa aa");
    assert_string_equal(to_kbd(0xf2), "fa ab 41"); /* 83h, translated */
    command(0x00);
    assert_string_equal(to_kbd(0xf2), "fa ab 83");
    assert_string_equal(to_kbd(0xee), "ee");
    assert_string_equal(to_kbd(0xfe), "ee"); /* resend */
    assert_string_equal(to_kbd(0xed), "fa");
    assert_string_equal(to_kbd(0x07), "fa");
    assert_string_equal(to_kbd(0xed), "fa");
    assert_string_equal(to_kbd(0xf5), "fa"); /* a command in place of the argument */
    assert_string_equal(press(0x10), "");     /* and now it is off */
    assert_string_equal(to_kbd(0xf4), "fa");
    assert_string_equal(release(0x10), "f0 15");
    assert_string_equal(to_kbd(0xf1), "fe");
    for (unsigned n = 0x02; n < 0x20; n++) { /* more than the buffer holds */
        input_key(n, true);
    }
    assert_string_equal(bytes(), "16 1e 26 25 2e 36 3d 3e 46 45 4e 55 66 0d 15 1d 24 00");
    assert_string_equal(press(0x30), "32");
}

static void test_typematic(void **state)
{
    make(0x00);
    to_kbd(0xf3);
    assert_string_equal(to_kbd(0x20), "fa"); /* 500 ms, 30 a second */
    assert_string_equal(press(0x1e), "1c");
    clock_step(499 * NS_PER_MS);
    assert_string_equal(bytes(), "");
    clock_step(2 * NS_PER_MS);
    assert_string_equal(bytes(), "1c");
    clock_step(34 * NS_PER_MS);
    assert_string_equal(bytes(), "1c");
    clock_step(NS_PER_SEC); /* nobody reads: one waits */
    assert_string_equal(bytes(), "1c 1c");
    assert_string_equal(press(0x1e), "");
    assert_string_equal(release(0x1e), "f0 1c");
    clock_step(NS_PER_SEC);
    assert_string_equal(bytes(), "");
}

static void rates(uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t all[3] = { a, b, c };

    for (unsigned n = 0; n < 3; n++) {
        assert_string_equal(to_mouse(0xf3), "fa*");
        assert_string_equal(to_mouse(all[n]), "fa*");
    }
}

static void test_mouse(void **state)
{
    make(0x00);
    assert_string_equal(to_mouse(0xff), "fa* aa* 00*");
    assert_string_equal(to_mouse(0xf2), "fa* 00*");
    input_mouse(5, 5, 0, 0);
    assert_string_equal(bytes(), ""); /* off */
    assert_string_equal(to_mouse(0xf4), "fa*");
    input_mouse(5, 3, 0, INPUT_LEFT);
    assert_string_equal(bytes(), "29* 05* fd*"); /* up is positive */
    input_mouse(0, 0, 1, INPUT_LEFT);
    assert_string_equal(bytes(), ""); /* no wheel */
    input_mouse(-300, 0, 0, 0);
    assert_string_equal(bytes(), "18* 01* 00* 18* d3* 00*"); /* -255, then -45 */
    assert_string_equal(to_mouse(0xe9), "fa* 20* 02* 64*");
    assert_string_equal(to_mouse(0xe8), "fa*");
    assert_string_equal(to_mouse(0x04), "fe*");
    assert_string_equal(to_mouse(0xe7), "fa*");
    input_mouse(4, 0, 0, 0);
    assert_string_equal(bytes(), "08* 06* 00*");
    assert_string_equal(to_mouse(0xe6), "fa*");
    rates(200, 100, 80);
    assert_string_equal(to_mouse(0xf2), "fa* 03*");
    input_mouse(0, 0, -1, INPUT_MIDDLE);
    assert_string_equal(bytes(), "0c* 00* 00* ff*");
    rates(200, 200, 80);
    assert_string_equal(to_mouse(0xf2), "fa* 04*");
    input_mouse(0, 0, 1, INPUT_SIDE);
    assert_string_equal(bytes(), "08* 00* 00* 11*");
    assert_string_equal(to_mouse(0xf0), "fa*"); /* remote */
    input_mouse(2, 0, 0, 0);
    assert_string_equal(bytes(), "");
    assert_string_equal(to_mouse(0xeb), "fa* 08* 02* 00* 00*");
    assert_string_equal(to_mouse(0xee), "fa*"); /* wrap */
    assert_string_equal(to_mouse(0xf2), "f2*");
    assert_string_equal(to_mouse(0xec), "fa*");
    assert_string_equal(to_mouse(0xf6), "fa*");
    assert_string_equal(to_mouse(0xe0), "fe*");
    out8(0x64, 0xa7);
    out8(0x64, 0x20);
    assert_string_equal(bytes(), "20");
}

static void test_saved(void **state)
{
    StateBuf b = { 0 };

    make(0x40);
    to_kbd(0xed);
    to_kbd(7);
    to_mouse(0xf4);
    input_key(0x1e, true);
    input_key(0x30, true);
    input_mouse(1, 2, 0, INPUT_RIGHT);
    devices_save(&b);
    devices_reset();
    b.pos = 0;
    assert_true(devices_load(&b, NULL));
    assert_string_equal(bytes(), "1e 30 2a* 01* fe*");
    state_buf_free(&b);
}

static void test_names(void **state)
{
    assert_int_equal(input_key_named("a"), 0x1e);
    assert_int_equal(input_key_named("ctrl_r"), 0x11d);
    assert_int_equal(input_key_named("0x9d"), 0x11d);
    assert_int_equal(input_key_named("nonesuch"), 0);
    assert_int_equal(input_key_named("0x1234"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_controller), FAKE_TEST(test_interrupts), FAKE_TEST(test_scan_codes),
        FAKE_TEST(test_kbd_commands), FAKE_TEST(test_typematic), FAKE_TEST(test_mouse),
        FAKE_TEST(test_saved), FAKE_TEST(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
