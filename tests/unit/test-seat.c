/* Layouts, seats, the queue of keys: what the guest's keyboard and mouse are told. */
#include "tests/test.h"

#include <stdlib.h>
#include "base/clock.h"
#include "hw/input/input.h"
#include "ui/key-queue.h"
#include "ui/keymap.h"
#include "ui/seat.h"

/* ---- a keyboard and a mouse that write down ---- */

static char log_text[4096];
static int lamps = -1;
static bool ready = true;
static int dx, dy, dz;
static unsigned buttons;

static void on_key(void *opaque, unsigned key, bool down)
{
    size_t n = strlen(log_text);

    snprintf(log_text + n, sizeof(log_text) - n, "%s%s%x", n > 0 ? " " : "", down ? "" : "-", key);
}

static void on_mouse(void *opaque, int x, int y, int z, unsigned b)
{
    dx += x;
    dy += y;
    dz += z;
    buttons = b;
}

static int on_leds(void *opaque)
{
    return lamps;
}

static bool on_ready(void *opaque)
{
    return ready;
}

static InputSink sink = { .name = "test", .key = on_key, .mouse = on_mouse, .ready = on_ready,
                          .leds = on_leds };

static void expect_keys_(const char *want, const char *file, int line)
{
    if (strcmp(log_text, want) != 0) {
        print_error("%s:%d: got \"%s\", not \"%s\"\n", file, line, log_text, want);
        fail();
    }
    log_text[0] = '\0';
}
#define expect_keys(want) expect_keys_((want), __FILE__, __LINE__)

static void type(Seat *s, uint32_t keysym)
{
    seat_keysym(s, keysym, true);
    seat_keysym(s, keysym, false);
}

/* ---- layouts ---- */

static void expect_stroke(const char *layout, uint32_t keysym, unsigned key, bool shift, bool altgr)
{
    KeyStroke k[8] = { { 0 } };
    unsigned n = keymap_lookup(keymap_find(layout), keysym, k, 8);

    if (n == 0 || k[0].key != key || k[0].shift != shift || k[0].altgr != altgr) {
        print_error("%s: keysym %x: %u ways, key %x shift %d altgr %d\n", layout, keysym, n, k[0].key,
                    k[0].shift, k[0].altgr);
        fail();
    }
}

static void test_layouts(void **state)
{
    KeyStroke k[4];

    assert_null(keymap_find("xx"));
    assert_null(keymap_find(""));
    expect_stroke("en-us", 'a', 0x1e, false, false);
    expect_stroke("en-us", 'A', 0x1e, true, false);
    expect_stroke("en-us", '@', 0x03, true, false);
    expect_stroke("en-us", '\\', 0x2b, false, false);
    expect_stroke("de", 'z', 0x15, false, false);
    expect_stroke("de", 'y', 0x2c, false, false);
    expect_stroke("de", '@', 0x10, false, true);
    expect_stroke("de", 0x20ac, 0x12, false, true);
    expect_stroke("de", 0x010020ac, 0x12, false, true);
    expect_stroke("de", 0xdf, 0x0c, false, false);
    expect_stroke("de", '|', 0x56, false, true);
    expect_stroke("de", 0xfe51, 0x0d, false, false); /* dead_acute */
    expect_stroke("fr", 'a', 0x10, false, false);
    expect_stroke("fr", '1', 0x02, true, false);
    expect_stroke("fr", 0xe9, 0x03, false, false);
    expect_stroke("ru", 0x6c6, 0x1e, false, false);     /* Cyrillic_ef */
    expect_stroke("ru", 0x01000444, 0x1e, false, false); /* the same */
    expect_stroke("ru", 0x6e6, 0x1e, true, false);
    expect_stroke("ru", 'q', 0x10, false, false); /* the guest's other group */
    expect_stroke("en-us", 0xffe3, 0x1d, false, false);
    expect_stroke("en-us", 0xff13, INPUT_PAUSE, false, false);
    assert_int_equal(keymap_lookup(keymap_find("en-us"), 0xe9, k, 4), 0);
    assert_int_equal(keymap_lookup(keymap_find("en-us"), 0x6c6, k, 4), 0);
    for (uint32_t keysym = 0; keysym < 0x10000; keysym++) {
        assert_in_range(keymap_lookup(keymap_find("de"), keysym, k, 2), 0, 2);
        assert_int_equal(keymap_lookup(keymap_find("th"), keysym | 0xffff0000, k, 0), 0);
    }
}

static void test_alone(void **state)
{
    KeyStroke k[4];

    assert_int_equal(keymap_lookup(keymap_find("de"), '^', k, 4) > 0, true);
    assert_true(k[0].dead);
    assert_int_equal(k[0].key, 0x29);
    assert_true(keymap_lookup(keymap_find("en-us"), '^', k, 4) > 0);
    assert_false(k[0].dead);
}

/* ---- seats ---- */

static void test_shift(void **state)
{
    Seat *s = seat_new(keymap_find("en-us"), 0, true);

    type(s, 'a');
    expect_keys("1e -1e");
    type(s, 'A');
    expect_keys("2a 1e -2a -1e");
    seat_keysym(s, 0xffe2, true); /* Shift_R */
    type(s, 'B');
    type(s, '7');
    seat_keysym(s, 0xffe2, false);
    expect_keys("36 30 -30 -36 8 36 -8 -36");
    seat_keysym(s, 'x', true);
    seat_keysym(s, 'x', true); /* the viewer repeats */
    seat_keysym(s, 'X', false);
    expect_keys("2d -2d");
    type(s, 0x12345678);
    expect_keys("");
    seat_free(s);
}

static void test_caps(void **state)
{
    Seat *s = seat_new(keymap_find("de"), 0, true);

    lamps = INPUT_CAPS;
    type(s, 'A');
    type(s, 'a');
    type(s, '1');
    type(s, '!');
    expect_keys("1e -1e 2a 1e -2a -1e 2 -2 2a 2 -2a -2");
    type(s, 0xfc);
    type(s, 0xdc); /* udiaeresis, Udiaeresis */
    expect_keys("2a 1a -2a -1a 1a -1a");
    lamps = -1;
    seat_free(s);
}

static void test_num_lock(void **state)
{
    Seat *s = seat_new(keymap_find("en-us"), 0, true), *no = seat_new(keymap_find("en-us"), 0, false);

    type(s, 0xffb7); /* the guest never set the lamps: nobody knows */
    expect_keys("47 -47");
    lamps = 0;
    type(no, 0xffb7); /* lock-key-sync=off */
    expect_keys("47 -47");
    type(s, 0xffb7);
    type(s, 0xffb8);
    expect_keys("45 -45 47 -47 48 -48");
    lamps = INPUT_NUM; /* now the guest shows it */
    type(s, 0xffb9);
    expect_keys("49 -49");
    type(s, 0xff97); /* KP_Up */
    expect_keys("45 -45 48 -48");
    lamps = 0;
    type(s, 0xff97);
    type(s, 0xffab); /* KP_Add is the same in both */
    expect_keys("48 -48 4e -4e");
    lamps = -1;
    seat_free(no);
    seat_free(s);
}

static void test_altgr(void **state)
{
    Seat *s = seat_new(keymap_find("de"), 0, true);

    type(s, '@');
    expect_keys("138 10 -138 -10");
    seat_keysym(s, 0xfe03, true); /* ISO_Level3_Shift */
    type(s, '@');
    seat_keysym(s, 0xfe03, false);
    expect_keys("138 10 -10 -138");
    seat_keysym(s, 0xffe3, true); /* Control_L and Alt_L */
    seat_keysym(s, 0xffe9, true);
    type(s, '@');
    seat_keysym(s, 0xffe9, false);
    seat_keysym(s, 0xffe3, false);
    expect_keys("1d 38 10 -10 -38 -1d");
    type(s, '^');
    expect_keys("29 -29 39 -39");
    seat_free(s);
}

static void test_two_seats(void **state)
{
    Seat *a = seat_new(keymap_find("en-us"), 0, true), *b = seat_new(keymap_find("en-us"), 0, true);

    seat_key(a, 0x1d, true);
    seat_key(b, 0x1d, true);
    seat_key(b, 0x2e, true);
    expect_keys("1d 2e");
    seat_key(b, INPUT_KEYS, true);
    seat_key(b, 0, true);
    seat_key(b, UINT32_MAX, true);
    seat_free(b);
    expect_keys("-2e");
    seat_free(a);
    expect_keys("-1d");
    seat_free(NULL);
}

/* ---- the pointer ---- */

static void expect_move_(int x, int y, int z, unsigned b, int line)
{
    if (dx != x || dy != y || dz != z || buttons != b) {
        print_error("line %d: %d,%d,%d buttons %x\n", line, dx, dy, dz, buttons);
        fail();
    }
    dx = dy = dz = 0;
}
#define expect_move(x, y, z, b) expect_move_((x), (y), (z), (b), __LINE__)

static void test_pointer(void **state)
{
    Seat *s = seat_new(NULL, 0, false), *t = seat_new(NULL, 0, false);

    seat_point(s, 50, 60, 640, 480, 0); /* the first: nobody knows from where */
    expect_move(0, 0, 0, 0);
    seat_point(s, 0, 0, 640, 480, 0);
    expect_move(-50 - 640, -60 - 480, 0, 0);
    seat_point(s, 0, 100, 640, 480, 0); /* along the border: nothing more */
    expect_move(0, 100, 0, 0);
    for (unsigned n = 1; n < 400; n++) {
        seat_point(s, n * 7919 % 638 + 1, n * 104729 % 478 + 1, 640, 480, 0);
    }
    seat_point(s, 320, 240, 640, 480, 0);
    expect_move(320, 140, 0, 0);
    seat_point(t, 321, 240, 640, 480, 1 | 4); /* another one goes on from there */
    expect_move(1, 0, 0, INPUT_LEFT | INPUT_RIGHT);
    seat_point(s, 321, 240, 640, 480, 2);
    expect_move(0, 0, 0, INPUT_LEFT | INPUT_RIGHT | INPUT_MIDDLE);
    seat_point(s, 321, 240, 640, 480, 0x10);
    seat_point(s, 321, 240, 640, 480, 0x10); /* held: not again */
    expect_move(0, 0, 1, INPUT_LEFT | INPUT_RIGHT);
    seat_point(s, 321, 240, 640, 480, 0x08);
    expect_move(0, 0, -1, INPUT_LEFT | INPUT_RIGHT);
    seat_free(t);
    expect_move(0, 0, 0, 0);
    seat_point(s, 60000, 60000, 640, 480, 0);
    expect_move(639 - 321 + 640, 479 - 240 + 480, 0, 0);
    seat_point(s, 5, 5, 0, 0, 0);
    expect_move(0, 0, 0, 0);
    seat_free(s);
}

/* ---- the queue ---- */

static void test_queue(void **state)
{
    key_queue_put(1, true);
    key_queue_pause(10);
    key_queue_put(1, false);
    key_queue_put(2, true);
    expect_keys("1");
    clock_step(9 * NS_PER_MS);
    expect_keys("");
    clock_step(NS_PER_MS);
    expect_keys("-1 2");
    assert_int_equal(key_queue_room(), KEY_QUEUE_MAX);

    ready = false; /* a slow guest */
    key_queue_put(2, false);
    clock_step(20 * NS_PER_MS);
    expect_keys("");
    ready = true;
    clock_step(2 * NS_PER_MS);
    expect_keys("-2");

    ready = false; /* one that does not read at all */
    for (unsigned n = 0; n < 20; n++) {
        key_queue_put(n + 1, true);
    }
    clock_step(300 * NS_PER_MS);
    assert_int_equal(key_queue_room(), KEY_QUEUE_MAX);
    log_text[0] = '\0';
    ready = true;

    key_queue_pause(1);
    for (unsigned n = 0; n < 3 * KEY_QUEUE_MAX; n++) {
        key_queue_put(1, n & 1);
    }
    assert_int_equal(key_queue_room(), 0);
    clock_step(NS_PER_MS);
    assert_int_equal(key_queue_room(), KEY_QUEUE_MAX);
    log_text[0] = '\0';
}

static void test_delay(void **state)
{
    Seat *s = seat_new(keymap_find("en-us"), 10, true);

    type(s, 'A');
    expect_keys("2a");
    clock_step(20 * NS_PER_MS);
    expect_keys("1e -2a");
    clock_step(20 * NS_PER_MS);
    expect_keys("-1e");
    seat_free(s);
}

static int setup(void **state)
{
    clock_manual();
    input_add(&sink);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),   cmocka_unit_test(test_alone),
        cmocka_unit_test(test_shift),     cmocka_unit_test(test_caps),
        cmocka_unit_test(test_num_lock),  cmocka_unit_test(test_altgr),
        cmocka_unit_test(test_two_seats), cmocka_unit_test(test_pointer),
        cmocka_unit_test(test_queue),     cmocka_unit_test(test_delay),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
