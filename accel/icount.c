/*
 * Guest time by instructions, and how it keeps to the host's: shift=auto, align, sleep.
 *
 * `origin` is the moment of CLK_REAL at which a guest's time that was never behind would have been 0.
 */
#include "accel/icount.h"

#include <inttypes.h>
#include <time.h>
#include "accel/pace.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#define ALIGN_NS (3 * NS_PER_MS)      /* ahead by more: the guest waits */
#define ALIGN_WAIT_NS (10 * NS_PER_MS) /* at once; requests to the processor wait too */
#define LATE_REPORTS 100              /* to the user, at most */
#define LATE_EVERY_NS (2 * NS_PER_SEC)
#define BEHIND_MAX_NS (1000000 * NS_PER_SEC) /* a saved state is believed */

bool icount_on;
static IcountOptions options;

/* Of the processor's thread; of others while it is paused. */
static Pace pace;
static int64_t origin;
static int64_t sampled;        /* CLK_REAL at the last step; adapt */
static bool following;         /* halted: the clock goes with the host's */
static bool running;           /* the machine */
static int64_t stopped_behind; /* while not */
static struct {
    int64_t delay, advance; /* the most that there was; align */
    int64_t seconds, at;    /* what was reported last, and when */
    unsigned reports;
} late;

void icount_init(const IcountOptions *o)
{
    icount_on = true;
    options = *o;
    pace_init(&pace, 0);
    clock_manual();
    clock_stepper(true);
}

/* keeps_to_host - the guest's time is more than a function of its input. */
static bool keeps_to_host(void)
{
    return options.adapt || options.align;
}

static int64_t behind_at(int64_t real)
{
    return real - origin - clock_now(CLK_VIRTUAL);
}

/* behind_now - also of a machine that is stopped. */
static int64_t behind_now(void)
{
    return running ? behind_at(clock_now(CLK_REAL)) : stopped_behind;
}

/* ---- executing ---- */

static int64_t ns_of(uint64_t insns)
{
    return options.adapt ? pace_ns(&pace, insns) : (int64_t)(insns << options.shift);
}

bool icount_due(const CpuState *c)
{
    uint64_t done = c->insns - c->icount_last;
    int64_t next;

    if (done >= (options.adapt ? pace_slice(&pace) : PACE_SLICE)) {
        return true;
    }
    next = timers_next_virtual();
    return next != INT64_MAX && next - clock_now(CLK_VIRTUAL) <= ns_of(done);
}

static int64_t adapted(uint64_t done)
{
    int64_t now = clock_now(CLK_REAL), took = now - sampled;

    sampled = now;
    return pace_step(&pace, done, took, behind_at(now));
}

/* tell_late - in full seconds, when they change. */
static void tell_late(int64_t behind, int64_t now)
{
    int64_t seconds = behind / NS_PER_SEC;

    if (seconds == late.seconds || now - late.at < LATE_EVERY_NS || late.reports == LATE_REPORTS) {
        return;
    }
    late.seconds = seconds;
    late.at = now;
    late.reports++;
    report("-icount align=on: the guest's time is %" PRId64 " to %" PRId64 " s behind the host's", seconds, seconds + 1);
}

static void align(void)
{
    int64_t now = clock_now(CLK_REAL), behind = behind_at(now);
    struct timespec wait = { .tv_nsec = MIN(-behind, ALIGN_WAIT_NS) };

    late.delay = MAX(late.delay, behind);
    late.advance = MAX(late.advance, -behind);
    if (behind < -ALIGN_NS) {
        nanosleep(&wait, NULL);
    } else {
        tell_late(MAX(behind, 0), now);
    }
}

void icount_advance(CpuState *c)
{
    uint64_t done = c->insns - c->icount_last;

    c->icount_last = c->insns;
    clock_step(options.adapt ? adapted(done) : ns_of(done));
    if (options.align) {
        align();
    }
}

/* ---- halted ---- */

static int64_t jump(void)
{
    int64_t next = timers_next_virtual();

    if (next == INT64_MAX) {
        return -1;
    }
    clock_step(MAX(next - clock_now(CLK_VIRTUAL), 0));
    return 0;
}

int64_t icount_idle(CpuState *c)
{
    if (!options.sleep) {
        return jump();
    }
    if (!following) {
        icount_advance(c);
        following = true;
        clock_follow(keeps_to_host() ? MAX(behind_at(clock_now(CLK_REAL)), 0) : 0);
        return 0;
    }
    timers_run_virtual();
    return timers_wait_virtual();
}

void icount_wake(void)
{
    if (following) {
        clock_manual();
        following = false;
        sampled = clock_now(CLK_REAL);
    }
}

/* ---- the machine stops and goes on ---- */

void icount_run(bool on)
{
    int64_t now = clock_now(CLK_REAL);

    running = on;
    if (on) {
        origin = now - clock_now(CLK_VIRTUAL) - stopped_behind;
        sampled = now;
    } else {
        stopped_behind = behind_at(now);
    }
}

IcountState icount_save(void)
{
    if (!keeps_to_host()) {
        return (IcountState){ 0 };
    }
    return (IcountState){ .behind = behind_now(), .cost = options.adapt ? pace.cost : 0 };
}

void icount_load(const IcountState *s)
{
    stopped_behind = keeps_to_host() ? MIN(MAX(s->behind, -BEHIND_MAX_NS), BEHIND_MAX_NS) : 0;
    pace_init(&pace, s->cost);
}

static void show(FILE *out, const char *name, int64_t ns)
{
    fprintf(out, "%-19s ", name);
    if (ns < 0) {
        fprintf(out, "NA\n");
    } else {
        fprintf(out, "%lld ms\n", ns / NS_PER_MS);
    }
}

void icount_info(FILE *out)
{
    if (!icount_on) {
        return;
    }
    fprintf(out, "Host - Guest clock  %lld ms\n", behind_now() / NS_PER_MS);
    show(out, "Max guest delay", options.align ? late.delay : -1);
    show(out, "Max guest advance", options.align ? late.advance : -1);
}
