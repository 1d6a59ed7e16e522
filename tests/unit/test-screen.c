/* Surfaces and screens: geometry, copies, who is told what and when the card is asked to draw. */
#include "tests/test.h"

#include <stdlib.h>
#include "base/clock.h"
#include "bus/lock.h"
#include "hw/display/screen.h"

static unsigned refreshes, surfaces, damages, last[4];
static bool draws;
static Screen *screen;

static void refresh(void *opaque)
{
    refreshes++;
    if (draws) {
        screen_damage(screen, 600, 470, 100, 100);
    }
}

static void see_surface(void *opaque, Surface *s)
{
    surfaces++;
    last[2] = s->width;
    last[3] = s->height;
}

static void see_damage(void *opaque, unsigned x, unsigned y, unsigned w, unsigned h)
{
    damages++;
    last[0] = x;
    last[1] = y;
    last[2] = w;
    last[3] = h;
}

static void test_surface(void **state)
{
    Surface *s = surface_new(13, 7);
    uint32_t copy[7 * 20] = { 0 };

    assert_null(surface_new(0, 1));
    assert_null(surface_new(1, SURFACE_MAX + 1));
    assert_int_equal(s->stride, 16);
    for (unsigned n = 0; n < 16 * 7; n++) {
        s->pixels[n] = n + 1;
    }
    surface_copy(s, copy, 20, 11, 5, 100, 100); /* clipped to 2 by 2 */
    assert_int_equal(copy[5 * 20 + 11], 5 * 16 + 11 + 1);
    assert_int_equal(copy[6 * 20 + 12], 6 * 16 + 12 + 1);
    assert_int_equal(copy[6 * 20 + 13], 0);
    assert_int_equal(copy[4 * 20 + 11], 0);
    surface_copy(s, copy, 20, 13, 0, 1, 1); /* outside: nothing */
    surface_ref(s);
    surface_unref(s);
    surface_unref(s);
    surface_unref(NULL);
}

/* Run the timers for @ms of real time. */
static void run_timers(int ms)
{
    int64_t end = clock_now(CLK_REAL) + ms * NS_PER_MS;

    while (clock_now(CLK_REAL) < end) {
        timers_run();
    }
}

static void test_screen(void **state)
{
    static const ScreenOps ops = { .refresh = refresh };
    ScreenListener a = { see_surface, see_damage, NULL, NULL }, b = a;

    screen = screen_new("card", &ops, NULL);
    assert_ptr_equal(screen_first(), screen);
    assert_null(screen_next(screen));
    assert_null(screen_text(screen));
    run_timers(60);
    assert_int_equal(refreshes, 0); /* nobody looks: nothing is drawn */

    machine_lock();
    screen_listen(screen, &a);
    assert_int_equal(surfaces, 1);
    assert_int_equal(last[2], 640);
    screen_listen(screen, &b);
    draws = true;
    screen_refresh(screen);
    assert_int_equal(damages, 2); /* both hear of it, clipped to the surface */
    assert_int_equal(last[0], 600);
    assert_int_equal(last[2], 40);
    assert_int_equal(last[3], 10);
    screen_unlisten(screen, &b);
    screen_set_surface(screen, surface_new(800, 600));
    assert_int_equal(surfaces, 3);
    assert_int_equal(last[2], 800);
    draws = false;
    machine_unlock();

    refreshes = 0;
    while (refreshes < 3) {
        timers_run();
    }
    machine_lock();
    screen_unlisten(screen, &a);
    refreshes = 0;
    machine_unlock();
    run_timers(60);
    assert_int_equal(refreshes, 0);
    screen_free(screen);
    assert_null(screen_first());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_surface),
        cmocka_unit_test(test_screen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
