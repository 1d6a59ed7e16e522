/* Clocks, timers, the event loop. */
#include "tests/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/loop.h"

static int fired[64], fired_count;
static int64_t fired_at[64];

static void note(void *opaque)
{
    fired_at[fired_count] = clock_now(CLK_VIRTUAL);
    fired[fired_count++] = (int)(intptr_t)opaque;
}

static void test_virtual_stops(void **state)
{
    int64_t a;

    assert_false(clock_running());
    assert_int_equal(clock_now(CLK_VIRTUAL), 0);
    clock_set_virtual(5000);
    assert_int_equal(clock_now(CLK_VIRTUAL), 5000);
    clock_run(true);
    a = clock_now(CLK_VIRTUAL);
    while (clock_now(CLK_VIRTUAL) == a) {
    }
    assert_true(clock_now(CLK_VIRTUAL) > 5000);
    clock_run(false);
    a = clock_now(CLK_VIRTUAL);
    assert_int_equal(clock_now(CLK_VIRTUAL), a);
    clock_run(true);
    assert_true(clock_now(CLK_VIRTUAL) >= a);
    assert_true(clock_now(CLK_VIRTUAL) < a + NS_PER_SEC);
    clock_run(false);
}

static void test_stopped_clock_holds_timers(void **state)
{
    Timer t;

    fired_count = 0;
    timer_init(&t, CLK_VIRTUAL, note, NULL, NULL);
    timer_arm(&t, clock_now(CLK_VIRTUAL) - 1);
    assert_int_equal(timers_run(), -1);
    assert_int_equal(fired_count, 0);
    assert_true(timer_pending(&t));
    clock_run(true);
    timers_run();
    assert_int_equal(fired_count, 1);
    assert_false(timer_pending(&t));
    clock_run(false);
}

/* ahead - by how much CLK_VIRTUAL is further than since @virt and @real. */
static int64_t ahead(int64_t virt, int64_t real)
{
    return clock_now(CLK_VIRTUAL) - virt - (clock_now(CLK_REAL) - real);
}

/* The loop says that it will be back in 10 ms, and is not for 1.6 s: the clock stands after 1 s, and then makes good. */
static void test_catches_up(void **state)
{
    const struct timespec gap = { 1, 600 * NS_PER_MS };
    int64_t virt, real, now, last;
    Timer t;

    clock_catch_up(true);
    clock_run(true);
    virt = clock_now(CLK_VIRTUAL);
    real = clock_now(CLK_REAL);
    timer_init(&t, CLK_VIRTUAL, note, NULL, NULL);
    timer_arm(&t, virt + 10 * NS_PER_MS);
    assert_in_range(timers_wait(), 0, 10 * NS_PER_MS);
    nanosleep(&gap, NULL);
    last = clock_now(CLK_VIRTUAL);
    assert_true(last - virt < 1500 * NS_PER_MS); /* not 1.6 s */
    timer_arm(&t, clock_now(CLK_VIRTUAL) + 8 * NS_PER_MS);
    assert_in_range(timers_wait(), 0, 8 * NS_PER_MS);
    clock_run(false); /* what is missing stays so */
    clock_run(true);
    timers_wait();
    while ((now = clock_now(CLK_VIRTUAL)) - virt < clock_now(CLK_REAL) - real - NS_PER_MS) {
        assert_true(now >= last);
        assert_true(clock_now(CLK_REAL) - real < 20 * NS_PER_SEC);
        last = now;
        timers_wait();
    }
    clock_catch_up(false);
    clock_run(false);
    clock_run(true); /* nothing is missing now */
    virt = clock_now(CLK_VIRTUAL);
    real = clock_now(CLK_REAL);
    nanosleep(&(struct timespec){ 0, 20 * NS_PER_MS }, NULL);
    assert_in_range(ahead(virt, real) + 10 * NS_PER_MS, 0, 20 * NS_PER_MS); /* our thread may be held up between two looks */
    timer_cancel(&t);
    clock_run(false);
}

/* A manual clock goes with the host's for a while: eight times as fast until it has made good for what it was behind. A gap
 * in that is no jump; and then the clock stands again. */
static void test_follows(void **state)
{
    int64_t virt, real, now;
    Timer t;

    clock_manual();
    clock_catch_up(true);
    timer_init(&t, CLK_VIRTUAL, note, NULL, NULL);
    virt = clock_now(CLK_VIRTUAL);
    real = clock_now(CLK_REAL);
    timer_arm(&t, virt + 160 * NS_PER_MS);
    clock_follow(200 * NS_PER_MS);
    assert_true(timers_wait_virtual() <= 20 * NS_PER_MS);
    do {
        now = clock_now(CLK_VIRTUAL) - virt;
        assert_true(now <= 8 * (clock_now(CLK_REAL) - real));
    } while (now < 300 * NS_PER_MS);
    assert_true(clock_now(CLK_REAL) - real >= 100 * NS_PER_MS);
    assert_int_equal(timers_wait_virtual(), 0);
    timer_arm(&t, clock_now(CLK_VIRTUAL) + NS_PER_MS);
    timers_wait_virtual();
    virt = clock_now(CLK_VIRTUAL);
    nanosleep(&(struct timespec){ 1, 600 * NS_PER_MS }, NULL);
    assert_true(clock_now(CLK_VIRTUAL) - virt < 1500 * NS_PER_MS);
    timer_cancel(&t);
    assert_int_equal(timers_wait_virtual(), -1);
    clock_manual();
    virt = clock_now(CLK_VIRTUAL);
    nanosleep(&(struct timespec){ 0, NS_PER_MS }, NULL);
    assert_int_equal(clock_now(CLK_VIRTUAL), virt);
    clock_catch_up(false);
}

static int64_t counter_value(void *opaque)
{
    return *(int64_t *)opaque;
}

static void test_counter(void **state)
{
    int64_t value = 100;
    Timer t;

    fired_count = 0;
    clock_counter(counter_value, &value);
    clock_run(true);
    assert_int_equal(clock_now(CLK_VIRTUAL), 100);
    timer_init(&t, CLK_VIRTUAL, note, NULL, NULL);
    timer_arm(&t, 150);
    assert_int_equal(timers_next_virtual(), 150);
    timers_run_virtual();
    assert_int_equal(fired_count, 0);
    value = 150;
    timers_run_virtual();
    assert_int_equal(fired_count, 1);
    clock_set_virtual(1000);
    assert_int_equal(clock_now(CLK_VIRTUAL), 1000);
    clock_run(false);
    clock_counter(NULL, NULL);
    assert_int_equal(clock_now(CLK_VIRTUAL), 1000);
}

/* From here on the clock is manual. */
static void test_step_order(void **state)
{
    enum { N = 50 };
    Timer t[N];
    int64_t start;

    clock_manual();
    start = clock_now(CLK_VIRTUAL);
    fired_count = 0;
    for (int i = 0; i < N; i++) {
        timer_init(&t[i], CLK_VIRTUAL, note, (void *)(intptr_t)i, NULL);
        timer_arm(&t[i], start + ((i * 37) % N) * 10 + 10);
    }
    for (int i = 0; i < N; i += 5) {
        timer_cancel(&t[i]);
    }
    clock_step(10 * N + 5);
    assert_int_equal(fired_count, N - N / 5);
    for (int i = 0; i < fired_count; i++) {
        assert_int_equal(fired_at[i], t[fired[i]].deadline);
        assert_true(i == 0 || fired_at[i] > fired_at[i - 1]);
        assert_true(fired[i] % 5 != 0);
    }
    assert_int_equal(clock_now(CLK_VIRTUAL), start + 10 * N + 5);
    assert_int_equal(timers_next_virtual(), INT64_MAX);
}

static void test_equal_deadlines_keep_order(void **state)
{
    Timer t[8];
    int64_t at = clock_now(CLK_VIRTUAL) + 100;

    fired_count = 0;
    for (int i = 0; i < 8; i++) {
        timer_init(&t[i], CLK_VIRTUAL, note, (void *)(intptr_t)i, NULL);
        timer_arm(&t[i], at);
    }
    timer_arm(&t[0], at); /* re-armed: goes last */
    clock_step(100);
    assert_int_equal(fired_count, 8);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(fired[i], i + 1);
    }
    assert_int_equal(fired[7], 0);
}

static int periods;
static void periodic(void *opaque)
{
    Timer *t = opaque;
    periods++;
    timer_arm(t, t->deadline + 10);
}

static void test_periodic(void **state)
{
    Timer t;

    periods = 0;
    timer_init(&t, CLK_VIRTUAL, periodic, &t, NULL);
    timer_arm(&t, clock_now(CLK_VIRTUAL) + 10);
    clock_step(100);
    assert_int_equal(periods, 10);
    timer_cancel(&t);
    clock_step(100);
    assert_int_equal(periods, 10);
}

static void rearm_past(void *opaque)
{
    periods++;
    timer_arm(opaque, 0);
}

static void test_past_rearm_ends(void **state)
{
    Timer t;

    periods = 0;
    timer_init(&t, CLK_REAL, rearm_past, &t, NULL);
    timer_arm(&t, 0);
    assert_int_equal(timers_run(), 0);
    assert_int_equal(periods, 1);
    timer_cancel(&t);
}

/* A timer that somebody cancels and frees while the firing thread waits for the guard. */
static pthread_mutex_t guard_mutex = PTHREAD_MUTEX_INITIALIZER;
static Timer *victim;
static bool guard_entered;

static void victim_guard_lock(void)
{
    /* The thread that fires has decided on the timer; the holder of the guard gets in first. */
    pthread_mutex_lock(&guard_mutex);
    guard_entered = true;
    if (victim != NULL) {
        timer_cancel(victim);
        memset(victim, 0xee, sizeof(*victim));
        free(victim);
        victim = NULL;
    }
}

static void victim_guard_unlock(void)
{
    pthread_mutex_unlock(&guard_mutex);
}

static void test_cancel_under_guard(void **state)
{
    static const TimerGuard guard = { victim_guard_lock, victim_guard_unlock };
    Timer other;

    fired_count = 0;
    victim = xnew(Timer);
    timer_init(victim, CLK_VIRTUAL, note, (void *)1, &guard);
    timer_arm(victim, clock_now(CLK_VIRTUAL));
    timer_init(&other, CLK_VIRTUAL, note, (void *)2, NULL);
    timer_arm(&other, clock_now(CLK_VIRTUAL));
    timers_run();
    assert_true(guard_entered);
    assert_int_equal(fired_count, 1);
    assert_int_equal(fired[0], 2);
    assert_int_equal(pthread_mutex_trylock(&guard_mutex), 0);
    pthread_mutex_unlock(&guard_mutex);
}

/* ---- the loop ---- */

static unsigned calls, last_events;
static int order[16], order_count;

static void on_fd(void *opaque, int fd, unsigned events)
{
    char c;
    calls++;
    last_events = events;
    if ((events & LOOP_READ) && read(fd, &c, 1) == 0) {
        loop_fd_remove(fd);
    }
}

static void on_post(void *opaque)
{
    order[order_count++] = (int)(intptr_t)opaque;
}

static void quit_now(void *opaque)
{
    loop_quit();
}

static void test_loop_fd(void **state)
{
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    calls = 0;
    assert_int_equal(loop_fd_set(sv[0], LOOP_READ, on_fd, NULL), 0);
    loop_turn(0);
    assert_int_equal(calls, 0);
    assert_int_equal(write(sv[1], "x", 1), 1);
    loop_turn(-1);
    assert_int_equal(calls, 1);
    assert_int_equal(last_events, LOOP_READ);
    assert_int_equal(loop_fd_set(sv[0], LOOP_WRITE, on_fd, NULL), 0);
    loop_turn(-1);
    assert_int_equal(last_events, LOOP_WRITE);
    assert_int_equal(loop_fd_set(sv[0], LOOP_READ, on_fd, NULL), 0);
    close(sv[1]);
    loop_turn(-1);
    assert_true(last_events & LOOP_HANGUP);
    calls = 0;
    loop_turn(0); /* removed by the callback */
    assert_int_equal(calls, 0);
    close(sv[0]);
}

static int pair_a[2], pair_b[2];
static void remove_other(void *opaque, int fd, unsigned events)
{
    calls++;
    loop_fd_remove(pair_a[0]);
    loop_fd_remove(pair_b[0]);
}

static void test_loop_removed_in_turn(void **state)
{
    assert_int_equal(pipe(pair_a), 0);
    assert_int_equal(pipe(pair_b), 0);
    loop_fd_set(pair_a[0], LOOP_READ, remove_other, NULL);
    loop_fd_set(pair_b[0], LOOP_READ, remove_other, NULL);
    assert_int_equal(write(pair_a[1], "x", 1), 1);
    assert_int_equal(write(pair_b[1], "x", 1), 1);
    calls = 0;
    loop_turn(-1);
    loop_turn(0);
    assert_int_equal(calls, 1);
    for (int i = 0; i < 2; i++) {
        close(pair_a[i]);
        close(pair_b[i]);
    }
}

static void test_loop_regular_file(void **state)
{
    int fd = open("/dev/null", O_RDONLY);

    calls = 0;
    assert_int_equal(loop_fd_set(fd, LOOP_READ, on_fd, NULL), 0);
    loop_turn(-1); /* always ready; the callback sees the end and removes it */
    assert_int_equal(calls, 1);
    loop_turn(0);
    assert_int_equal(calls, 1);
    close(fd);
}

static void *poster(void *opaque)
{
    for (intptr_t i = 0; i < 10; i++) {
        loop_post(on_post, (void *)i);
    }
    loop_post(quit_now, NULL);
    return NULL;
}

static void test_loop_post(void **state)
{
    pthread_t th;

    order_count = 0;
    pthread_create(&th, NULL, poster, NULL);
    loop_run();
    pthread_join(th, NULL);
    assert_int_equal(order_count, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(order[i], i);
    }
    assert_true(loop_thread());
}

static void *arm_soon(void *opaque)
{
    timer_arm(opaque, clock_now(CLK_REAL) + NS_PER_MS);
    return NULL;
}

static void test_loop_timer_from_thread(void **state)
{
    pthread_t th;
    Timer t;
    int64_t start = clock_now(CLK_REAL);

    timer_init(&t, CLK_REAL, quit_now, NULL, NULL);
    pthread_create(&th, NULL, arm_soon, &t);
    loop_run(); /* ends only when the timer wakes it */
    pthread_join(th, NULL);
    assert_true(clock_now(CLK_REAL) - start >= NS_PER_MS);
}

static void test_loop_timeout(void **state)
{
    int64_t start;

    loop_turn(0); /* takes what is left of earlier wake-ups */
    start = clock_now(CLK_REAL);
    loop_turn(2 * NS_PER_MS);
    assert_true(clock_now(CLK_REAL) - start >= 2 * NS_PER_MS);
    loop_turn(0);
}

static void test_loop_signal(void **state)
{
    order_count = 0;
    assert_int_equal(loop_signal(SIGUSR1, on_post, (void *)9), 0);
    assert_int_equal(loop_signal(SIGUSR2, on_post, (void *)8), 0);
    assert_true(loop_signal(0, on_post, NULL) < 0);
    kill(getpid(), SIGUSR1);
    loop_turn(-1);
    kill(getpid(), SIGUSR2);
    loop_turn(-1);
    assert_int_equal(order_count, 2);
    assert_int_equal(order[0], 9);
    assert_int_equal(order[1], 8);
}

static int setup_loop(void **state)
{
    return loop_init();
}

static int end_loop(void **state)
{
    loop_fini();
    return 0;
}

int main(void)
{
    const struct CMUnitTest clock_tests[] = {
        cmocka_unit_test(test_virtual_stops),
        cmocka_unit_test(test_stopped_clock_holds_timers),
        cmocka_unit_test(test_catches_up),
        cmocka_unit_test(test_follows),
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_step_order),
        cmocka_unit_test(test_equal_deadlines_keep_order),
        cmocka_unit_test(test_periodic),
        cmocka_unit_test(test_past_rearm_ends),
        cmocka_unit_test(test_cancel_under_guard),
    };
    const struct CMUnitTest loop_tests[] = {
        cmocka_unit_test(test_loop_fd),
        cmocka_unit_test(test_loop_removed_in_turn),
        cmocka_unit_test(test_loop_regular_file),
        cmocka_unit_test(test_loop_post),
        cmocka_unit_test(test_loop_timer_from_thread),
        cmocka_unit_test(test_loop_timeout),
        cmocka_unit_test(test_loop_signal),
    };
    int bad = cmocka_run_group_tests_name("clock", clock_tests, NULL, NULL);
    return bad + cmocka_run_group_tests_name("loop", loop_tests, setup_loop, end_loop);
}
