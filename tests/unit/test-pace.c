/* -icount shift=auto: does the guest's time keep to that of a host whose speed is anything? */
#include "tests/test.h"

#include "accel/pace.h"
#include "base/clock.h"

/* A host: what an instruction takes it now, how long it has run, and where the guest's time is. */
static struct {
    double insn_ns;
    int64_t real, guest;
    int64_t last; /* of `real`, at the last step */
    int64_t ahead, behind; /* the most that there was */
    Pace p;
} h;

static void begin(double insn_ns)
{
    memset(&h, 0, sizeof(h));
    h.insn_ns = insn_ns;
    pace_init(&h.p, 0);
}

static void forget_worst(void)
{
    h.ahead = h.behind = 0;
}

static void step(uint64_t insns)
{
    int64_t by = pace_step(&h.p, insns, h.real - h.last, h.real - h.guest);

    assert_true(by >= 0);
    h.last = h.real;
    h.guest += by;
    h.ahead = MAX(h.ahead, h.guest - h.real);
    h.behind = MAX(h.behind, h.real - h.guest);
}

/* As many slices of the processor as take @ns. */
static void work(int64_t ns)
{
    int64_t end = h.real + ns;

    while (h.real < end) {
        uint64_t insns = pace_slice(&h.p);

        assert_in_range(insns, 1, PACE_SLICE);
        h.real += (int64_t)((double)insns * h.insn_ns) + 1;
        step(insns);
    }
}

/* A host of each speed: after three seconds nothing is more than a ms off, and what instructions take is right. */
static void test_speeds(void **state)
{
    static const double speeds[] = { 0.25, 1, 7.5, 20, 90, 1000, 15000 };

    for (unsigned n = 0; n < ARRAY_SIZE(speeds); n++) {
        begin(speeds[n]);
        work(3 * NS_PER_SEC);
        forget_worst();
        work(10 * NS_PER_SEC);
        assert_true(h.ahead < NS_PER_MS && h.behind < NS_PER_MS);
        assert_true((double)h.p.cost > 0.9 * speeds[n] * PACE_UNIT && (double)h.p.cost < 1.1 * speeds[n] * PACE_UNIT);
    }
}

/* It becomes two hundred times as fast, or as slow, again and again: some ms, which go. */
static void test_changes(void **state)
{
    begin(10);
    for (unsigned n = 0; n < 50; n++) {
        h.insn_ns = n % 2 != 0 ? 10 : 2000;
        work(NS_PER_SEC / 5);
        assert_true(h.guest - h.real < NS_PER_MS && h.real - h.guest < NS_PER_MS);
    }
    assert_true(h.ahead <= PACE_AHEAD_NS && h.behind < 70 * NS_PER_MS);
}

/* Another process has the processor for 4 of 8 ms: the guest's time jumps by nothing, and keeps up. */
static void test_shared(void **state)
{
    begin(20);
    for (unsigned n = 0; n < 1000; n++) {
        work(4 * NS_PER_MS);
        h.real += 4 * NS_PER_MS;
        if (n == 100) {
            forget_worst();
        }
    }
    assert_true(h.ahead <= PACE_AHEAD_NS && h.behind < 10 * NS_PER_MS);
}

/* The process stands still for a minute: it is made good, at PACE_SPEED times the host's speed at most. */
static void test_gap(void **state)
{
    int64_t real, guest;

    begin(20);
    work(NS_PER_SEC);
    h.real += 60 * NS_PER_SEC;
    work(NS_PER_MS);
    real = h.real;
    guest = h.guest;
    work(NS_PER_SEC);
    assert_true(h.guest - guest < (PACE_SPEED + 1) * (h.real - real));
    assert_true(h.guest - guest > (PACE_SPEED - 1) * (h.real - real));
    work(10 * NS_PER_SEC);
    forget_worst();
    work(NS_PER_SEC);
    assert_true(h.ahead < NS_PER_MS && h.behind < NS_PER_MS);
}

/* Between two steps the guest's time never goes on by more than a ms, also where an instruction was slow just now. */
static void test_step_is_short(void **state)
{
    begin(15000);
    work(NS_PER_SEC);
    assert_true(pace_ns(&h.p, pace_slice(&h.p)) <= PACE_STEP_NS);
    h.insn_ns = 1;
    work(NS_PER_SEC);
    assert_true(h.ahead <= PACE_AHEAD_NS);
}

/* Values that only a damaged state can have do no harm. */
static void test_nonsense(void **state)
{
    static const int64_t behind[] = { INT64_MIN, -1, 0, 1, INT64_MAX - PACE_AHEAD_NS };
    static const uint64_t costs[] = { 1, UINT64_MAX };

    for (unsigned n = 0; n < ARRAY_SIZE(costs); n++) {
        pace_init(&h.p, costs[n]);
        assert_in_range(h.p.cost, PACE_COST_MIN, PACE_COST_MAX);
        for (unsigned k = 0; k < ARRAY_SIZE(behind); k++) {
            assert_true(pace_step(&h.p, 0, INT64_MIN, behind[k]) >= 0);
            assert_true(pace_step(&h.p, PACE_SLICE, INT64_MAX, behind[k]) >= 0);
            assert_in_range(h.p.cost, PACE_COST_MIN, PACE_COST_MAX);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_speeds),  cmocka_unit_test(test_changes),       cmocka_unit_test(test_shared),
        cmocka_unit_test(test_gap),     cmocka_unit_test(test_step_is_short), cmocka_unit_test(test_nonsense),
    };

    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
