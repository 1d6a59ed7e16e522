/* Pointers on serial lines, byte by byte: the SummaSketch tablet as gpm and X.Org drive it, the Microsoft mouse;
 * which pointer gets what. */
#include "tests/test.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/loop.h"
#include "base/optlist.h"
#include "bus/lock.h"
#include "bus/state.h"
#include "chardev/chardev.h"
#include "hw/input/input.h"
#include "ui/seat.h"

static Chardev *c;
static uint8_t got[4096];
static size_t got_len, room;

static size_t can(void *opaque)
{
    return MIN(room, sizeof(got) - got_len);
}

static void take(void *opaque, const uint8_t *buf, size_t len)
{
    memcpy(got + got_len, buf, len);
    got_len += len;
}

static const CharFront front = { can, take, NULL };

static void turn(void)
{
    for (int n = 0; n < 3; n++) {
        loop_turn(0);
    }
}

static void make(const char *name)
{
    autofree char *text = xasprintf("%s,id=t", name);
    OptList *l = opt_parse(text, "backend", NULL);

    c = chardev_new(l, NULL);
    opt_free(l);
    assert_non_null(c);
    machine_lock();
    assert_true(chardev_attach(c, &front, NULL, NULL));
    machine_unlock();
    got_len = 0;
    room = sizeof(got);
}

static int summa(void **state)
{
    make("summa");
    chardev_set_params(c, 9600, 'O', 8, 1);
    return 0;
}

static int mouse(void **state)
{
    make("msmouse");
    return 0;
}

static int gone(void **state)
{
    machine_lock();
    chardev_detach(c, NULL);
    machine_unlock();
    chardev_free(c);
    turn();
    return 0;
}

static void send(const char *bytes, size_t len)
{
    chardev_write(c, (const uint8_t *)bytes, len);
    turn();
}
#define SEND(text) send(text, sizeof(text) - 1)

static void step(void)
{
    clock_step(NS_PER_SEC);
    turn();
}

static void point(unsigned x, unsigned y, unsigned buttons)
{
    machine_lock();
    input_point(x, y, 0, buttons);
    machine_unlock();
    step();
}

static void expect(const void *want, size_t len)
{
    assert_int_equal(got_len, len);
    assert_memory_equal(got, want, len);
    got_len = 0;
}
#define EXPECT(...) expect((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static unsigned word(const uint8_t *p)
{
    assert_true(p[0] < 0x80 && p[1] < 0x80);
    return p[0] | (unsigned)p[1] << 7;
}

/* One report of five bytes. */
static void expect_report(uint8_t flags, unsigned x, unsigned y)
{
    assert_int_equal(got_len, 5);
    assert_int_equal(got[0], flags);
    assert_int_equal(word(got + 1), x);
    assert_int_equal(word(got + 3), y);
    got_len = 0;
}

enum { MAX_XY = 6000, TOP = INPUT_POINT_MAX };

/* What gpm writes and reads, and where its own border puts the pointer. */
static void test_gpm(void **state)
{
    chardev_set_params(c, 1200, 'N', 8, 1);
    SEND("*q"); /* for other mice */
    chardev_set_params(c, 9600, 'O', 8, 1);
    SEND("B");
    assert_int_equal(got_len, 0);
    SEND("z?");
    assert_true(got_len > 5 && got_len <= 16 && memcmp(got, "MM1201", 6) == 0); /* one FIFO full */
    got_len = 0;
    SEND("a");
    EXPECT(0x98, MAX_XY & 0x7f, MAX_XY >> 7, MAX_XY & 0x7f, MAX_XY >> 7);
    SEND("F@b");
    got_len = 0; /* where it is now */
    for (unsigned k = 0; k <= 10; k++) {
        unsigned x, y;

        point(TOP * k / 10, TOP * (10 - k) / 10, k & 7);
        if (k == 0) {
            got_len = 0; /* it stood there */
            continue;
        }
        assert_int_equal(got_len, 5);
        assert_int_equal(got[0], 0x98 | (k & 7));
        x = word(got + 1) - 100;
        y = word(got + 3) - 100;
        assert_in_range(x * 1000 / (MAX_XY - 200), k * 100 - 1, k * 100);
        assert_in_range(y * 1000 / (MAX_XY - 200), (10 - k) * 100 - (k < 10), (10 - k) * 100);
        got_len = 0;
    }
}

/* X.Org's driver: no border; lower left and the other modes. */
static void test_xorg(void **state)
{
    SEND("B");
    SEND("z?");
    SEND("a");
    got_len = 0;
    SEND("0bzb@");
    step();
    got_len = 0;
    point(TOP, TOP, 0);
    expect_report(0x98, MAX_XY, MAX_XY);
    point(TOP / 2, 0, INPUT_LEFT | INPUT_MIDDLE);
    expect_report(0x9d, TOP / 2 * MAX_XY / TOP, 0);
    point(TOP / 2, 0, INPUT_LEFT | INPUT_MIDDLE); /* nothing new */
    assert_int_equal(got_len, 0);
    SEND("c1");
    step();
    got_len = 0;
    point(0, 0, 0);
    expect_report(0xb8, 0, MAX_XY);
    SEND("I\x40"); /* 20h lines */
    point(16 * TOP / MAX_XY, 0, 0);
    assert_int_equal(got_len, 0);
    point(40 * TOP / MAX_XY, 0, 0);
    assert_int_equal(got_len, 5);
}

static void test_request(void **state)
{
    SEND("bzbB");
    point(0, 0, 0);
    assert_false(input_absolute()); /* nobody listens */
    SEND("P");
    expect_report(0x98, 0, 0);
    assert_true(input_absolute());
    point(TOP, TOP, INPUT_RIGHT);
    assert_int_equal(got_len, 0);
    SEND("P");
    expect_report(0x9a, MAX_XY, MAX_XY);
    SEND("A");
    step();
    got_len = 0;
    point(0, TOP, INPUT_RIGHT); /* held, not pressed */
    point(0, TOP, 0);
    got_len = 0;
    point(0, 0, 0);
    assert_int_equal(got_len, 0);
    point(0, 0, INPUT_LEFT);
    expect_report(0x99, 0, 0);
}

static void test_resolutions(void **state)
{
    static const struct {
        char letter;
        unsigned max;
    } table[] = { { 'd', 1200 }, { 'e', 2400 }, { 'h', 6000 }, { 'j', 12000 }, { 'q', 12192 }, { 'l', 12 } };

    for (size_t n = 0; n < ARRAY_SIZE(table); n++) {
        send(&table[n].letter, 1);
        SEND("a");
        expect_report(0x98, table[n].max, table[n].max);
    }
    SEND("r\x20\x08\x58\x06");
    SEND("a");
    expect_report(0x98, 1056, 856);
    SEND("\0a");
    expect_report(0x98, MAX_XY, MAX_XY);
}

static void test_delta(void **state)
{
    SEND("bE@");
    step();
    got_len = 0;
    point(0, 0, 0);
    step();
    got_len = 0;
    point(100 * TOP / MAX_XY + 1, 50 * TOP / MAX_XY + 1, INPUT_LEFT);
    EXPECT(0x99, 100, 50);
    point(0, 50 * TOP / MAX_XY + 1, 0);
    EXPECT(0x88, 100, 0); /* to the left, y is not negative */
    point(300 * TOP / MAX_XY + 1, 0, 0);
    for (int n = 0; n < 4; n++) {
        step();
    }
    EXPECT(0x90, 127, 50, 0x98, 127, 0, 0x98, 46, 0);
}

static void test_line(void **state)
{
    chardev_set_params(c, 1200, 'O', 8, 1); /* it hears noise */
    SEND("z?aF@b");
    assert_int_equal(got_len, 0);
    chardev_set_params(c, 9600, 'N', 8, 1);
    SEND("z?a");
    assert_int_equal(got_len, 0);
    chardev_set_params(c, 9600, 'O', 8, 1);
    SEND("\1\x7f~{zX:\x01");
    assert_int_equal(got_len, 0);
    SEND(":\x7f");
    EXPECT(0x20);
    SEND("w");
    EXPECT(0x87);
    SEND("k");
    SEND("a\x7f");
    EXPECT('a', 0x7f);
    SEND("\0bzb@");
    assert_true(input_absolute());
    chardev_set_lines(c, false, false); /* closed */
    assert_false(input_absolute());
}

/* A reader that is slow gets whole reports, and not those that are out of date. */
static void test_slow(void **state)
{
    SEND("bzb@");
    step();
    got_len = 0;
    room = 2;
    for (unsigned k = 1; k < 100; k++) {
        machine_lock();
        input_point(k, k, 0, 0);
        machine_unlock();
    }
    room = sizeof(got);
    chardev_accept_input(c);
    step();
    step();
    assert_true(got_len % 5 == 0 && got_len <= 15);
    assert_int_equal(word(got + got_len - 4), 99 * MAX_XY / TOP);
}

static void test_mouse(void **state)
{
    machine_lock();
    input_mouse(1, 1, 0, 0); /* not powered */
    machine_unlock();
    turn();
    assert_int_equal(got_len, 0);
    chardev_set_lines(c, true, false);
    chardev_set_lines(c, true, true);
    turn();
    EXPECT('M', '3');
    machine_lock();
    input_mouse(5, -3, 0, INPUT_LEFT);
    input_mouse(-200, 64, 0, INPUT_RIGHT);
    input_mouse(0, 0, 0, INPUT_MIDDLE);
    input_mouse(0, 0, 0, 0);
    machine_unlock();
    EXPECT(0x6c, 0x05, 0x3d, /* left; 5, -3 */
           0x56, 0x01, 0x00, 0x52, 0x37, 0x00, /* right; -127 and -73, 64 */
           0x40, 0x00, 0x00, 0x20, 0x40, 0x00, 0x00, 0x00 /* middle */);
}

static void rel(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    *(unsigned *)opaque = (unsigned)(dx & 0xff) | buttons << 8;
}

/* The tablet comes first once the guest uses it; movements still go to a mouse, buttons to the position. */
static void test_order(void **state)
{
    unsigned moved = 0;
    InputSink ps2 = { .name = "ps2", .mouse = rel, .opaque = &moved };
    Seat *s;

    machine_lock();
    input_add(&ps2);
    assert_ptr_equal(input_current(), &ps2);
    machine_unlock();
    SEND("bzb@");
    machine_lock();
    assert_true(input_absolute());
    assert_string_equal(input_current()->name, "SummaSketch tablet");
    input_mouse(7, 0, 0, 0);
    assert_int_equal(moved, 7);
    s = seat_new(NULL, 0, false);
    seat_point(s, 0, 0, 800, 600, 0);
    machine_unlock();
    step();
    got_len = 0;
    machine_lock();
    seat_point(s, 799, 599, 800, 600, 4);
    machine_unlock();
    step();
    expect_report(0x9a, MAX_XY - MAX_XY / 1600 - 1, MAX_XY - MAX_XY / 1200);
    machine_lock();
    seat_free(s); /* lets go */
    machine_unlock();
    step();
    expect_report(0x98, MAX_XY - MAX_XY / 1600 - 1, MAX_XY - MAX_XY / 1200);
    assert_int_equal(moved, 7);
    machine_lock();
    assert_true(input_mouse_select(ps2.index));
    assert_false(input_absolute());
    input_remove(&ps2);
    machine_unlock();
}

/* A machine that was saved finds its tablet as it was, whatever the new one did before. */
static void test_saved(void **state)
{
    StateBuf b = { 0 };

    SEND("F@b");
    point(100, 100, 0);
    machine_lock();
    chardevs_save(&b);
    machine_unlock();
    got_len = 0;
    send("\0", 1); /* reset */
    point(200, 200, 0);
    assert_int_equal(got_len, 0);
    machine_lock();
    b.pos = 0;
    assert_true(chardevs_load(&b, NULL));
    assert_true(input_absolute());
    machine_unlock();
    point(INPUT_POINT_MAX, 0, 1);
    assert_int_equal(got_len, 5);
    assert_int_equal(got[0] & 0x87, 0x81);
    machine_lock();
    b.pos = 0;
    b.len -= 1;
    assert_false(chardevs_load(&b, NULL));
    machine_unlock();
    state_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gpm, summa, gone),
        cmocka_unit_test_setup_teardown(test_xorg, summa, gone),
        cmocka_unit_test_setup_teardown(test_request, summa, gone),
        cmocka_unit_test_setup_teardown(test_resolutions, summa, gone),
        cmocka_unit_test_setup_teardown(test_delta, summa, gone),
        cmocka_unit_test_setup_teardown(test_line, summa, gone),
        cmocka_unit_test_setup_teardown(test_slow, summa, gone),
        cmocka_unit_test_setup_teardown(test_mouse, mouse, gone),
        cmocka_unit_test_setup_teardown(test_order, summa, gone),
        cmocka_unit_test_setup_teardown(test_saved, summa, gone),
    };

    loop_init();
    clock_manual();
    chardev_setup(&machine_lock_guard, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
