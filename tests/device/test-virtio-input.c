/*
 * The virtio keyboard, mouse and tablet by their queues and configuration, and a machine that is saved in between. With both
 * kinds of rings.
 */
#include "tests/device/fake-virtio.h"

#include "hw/input/input.h"

enum { EVENTS = 0, STATUS = 1, CONFIG = 0x2000, EV_SYN = 0, EV_KEY = 1, EV_REL = 2, EV_ABS = 3, EV_LED = 0x11 };

extern const DeviceClass virtio_keyboard_class, virtio_mouse_class, virtio_tablet_class;

static unsigned given, seen;

static int plug(void **state, const DeviceClass *cls)
{
    fake_pci_setup(state);
    vio_device(fake_device(cls));
    return 0;
}
static int keyboard(void **state)
{
    return plug(state, &virtio_keyboard_class);
}
static int mouse(void **state)
{
    return plug(state, &virtio_mouse_class);
}
static int tablet(void **state)
{
    return plug(state, &virtio_tablet_class);
}
VIO_SETUPS(keyboard)
VIO_SETUPS(mouse)
VIO_SETUPS(tablet)

static void begin(void)
{
    vio_begin(0);
    given = seen = 0;
}

/* room - for @count events more. */
static void room(unsigned count)
{
    while (count-- > 0) {
        vio_give(EVENTS, VIO_BUF + 8 * (given++ % 64), 8, true);
    }
}

/* comes - the next event is that, and an EV_SYN behind it if @sync. */
static void comes(unsigned type, unsigned code, int value, bool sync)
{
    const uint8_t *e = ram(VIO_BUF + 8 * (seen++ % 64));

    vio_done(EVENTS, 8);
    assert_int_equal(ld_le16(e), type);
    assert_int_equal(ld_le16(e + 2), code);
    assert_int_equal((int32_t)ld_le32(e + 4), value);
    if (sync) {
        comes(EV_SYN, 0, 0, false);
    }
}

static unsigned answer(unsigned select, unsigned sub)
{
    vio_set(CONFIG, select, 1);
    vio_set(CONFIG + 1, sub, 1);
    return vio_get(CONFIG + 2, 1);
}

static void test_config(void **state)
{
    char name[21] = "";

    begin();
    assert_int_equal(answer(1, 0), 20);
    for (unsigned n = 0; n < 20; n++) {
        name[n] = (char)vio_get(CONFIG + 8 + n, 1);
    }
    assert_string_equal(name, "QEMU Virtio Keyboard");
    vio_set(CONFIG + 8, 'X', 1);
    assert_int_equal(vio_get(CONFIG + 8, 1), 'Q'); /* the device's */
    fake_reload();
    assert_int_equal(vio_get(CONFIG + 2, 1), 20);
    assert_int_equal(vio_get(CONFIG + 9, 1), 'E');
    assert_int_equal(answer(3, 0), 8);
    assert_int_equal(vio_get(CONFIG + 8, 4), 0x06270006);
    assert_true(answer(0x11, EV_KEY) > 15);
    assert_int_equal(vio_get(CONFIG + 8, 1), 0xfe); /* keys 1 to 7 */
    assert_int_equal(answer(0x11, EV_LED), 1);
    assert_int_equal(answer(0x11, EV_ABS), 0);
    assert_int_equal(answer(0x12, 0), 0);
    assert_int_equal(answer(0xff, 0xff), 0);
}

static void test_keys(void **state)
{
    begin();
    room(2);
    input_key(0x1c, true);
    comes(EV_KEY, 28, 1, true);
    input_key(0x1c, false); /* waits for buffers, in a saved state too */
    input_key(INPUT_E0 | 0x48, true);
    vio_none(EVENTS);
    fake_reload();
    room(3);
    comes(EV_KEY, 28, 0, true);
    comes(EV_KEY, 103, 1, false);
    room(1);
    comes(EV_SYN, 0, 0, false);
    for (unsigned n = 0; n < 1000; n++) { /* a driver that does not keep up loses some, in pairs */
        input_key(2, n % 2 == 0);
    }
    assert_false(input_key_ready());
    for (unsigned n = 0; n < 64; n++) {
        room(2);
        comes(EV_KEY, 2, n % 2 == 0, true);
    }
    assert_true(input_key_ready());
    room(1);
    vio_none(EVENTS);
}

static void test_lamps(void **state)
{
    static const struct {
        uint16_t type, code;
        uint32_t value;
        int leds;
    } steps[] = {
        { EV_LED, 1, 1, INPUT_CAPS }, { EV_LED, 0, 1, INPUT_CAPS | INPUT_NUM }, { EV_LED, 1, 0, INPUT_NUM },
        { EV_LED, 77, 1, INPUT_NUM }, { EV_REL, 1, 1, INPUT_NUM },              { EV_LED, 2, 9, INPUT_NUM | INPUT_SCROLL },
    };

    begin();
    assert_int_equal(input_leds(), -1);
    for (unsigned n = 0; n < ARRAY_SIZE(steps); n++) {
        st_le16(ram(VIO_BUF), steps[n].type);
        st_le16(ram(VIO_BUF + 2), steps[n].code);
        st_le32(ram(VIO_BUF + 4), steps[n].value);
        vio_give(STATUS, VIO_BUF, 8, false);
        vio_done(STATUS, 0);
        assert_int_equal(input_leds(), steps[n].leds);
        fake_reload();
        assert_int_equal(input_leds(), steps[n].leds);
    }
    vio_give(STATUS, VIO_BUF, 7, false);
    vio_give(STATUS, FAKE_MMIO, 8, false);
    assert_int_equal(input_leds(), INPUT_NUM | INPUT_SCROLL);
}

static void test_mouse(void **state)
{
    begin();
    room(6);
    input_mouse(5, -7, 1, INPUT_RIGHT);
    comes(EV_REL, 0, 5, false);
    comes(EV_REL, 1, -7, false);
    comes(EV_REL, 8, -1, false);
    comes(EV_KEY, 0x111, 1, true);
    fake_reload(); /* it knows what is held */
    room(4);
    input_mouse(0, 0, 0, INPUT_RIGHT);
    input_mouse(1, 0, 0, 0);
    comes(EV_REL, 0, 1, false);
    comes(EV_KEY, 0x111, 0, true);
    vio_none(EVENTS);
    assert_int_equal(answer(0x11, EV_REL), 2);
}

static void test_tablet(void **state)
{
    begin();
    assert_true(input_absolute());
    room(7);
    input_point(100, INPUT_POINT_MAX, 0, INPUT_LEFT);
    comes(EV_ABS, 0, 100, false);
    comes(EV_ABS, 1, INPUT_POINT_MAX, false);
    comes(EV_KEY, 0x110, 1, true);
    assert_int_equal(answer(0x12, 1), 20);
    assert_int_equal(vio_get(CONFIG + 12, 4), INPUT_POINT_MAX);
    fake_reload();
    input_point(0, 0, 0, INPUT_LEFT);
    comes(EV_ABS, 0, 0, false);
    comes(EV_ABS, 1, 0, true);
    vio_set(0x14, 0, 1); /* reset: what follows is not for it */
    assert_false(input_absolute());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIO_TESTS(test_config, keyboard), VIO_TESTS(test_keys, keyboard), VIO_TESTS(test_lamps, keyboard),
        VIO_TESTS(test_mouse, mouse),     VIO_TESTS(test_tablet, tablet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
