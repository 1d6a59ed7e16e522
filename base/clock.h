/*
 * Clocks and timers.
 *
 * Three clocks, all in nanoseconds: CLK_VIRTUAL (guest time: stops with the machine), CLK_HOST
 * (the host's wall clock, may jump), CLK_REAL (monotonic, never stops). Timers of all three are
 * kept in one process-wide queue and fire on the loop thread (timers_run(), called by base/loop).
 *
 * Two other sources for CLK_VIRTUAL serve tests and deterministic runs: manual (tests step it) and
 * a counter (instructions executed, -icount).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef enum ClockId {
    CLK_VIRTUAL,
    CLK_HOST,
    CLK_REAL,
    CLK_COUNT,
} ClockId;

#define NS_PER_SEC 1000000000ll
#define NS_PER_MS 1000000ll
#define NS_PER_US 1000ll

/* clock_now - current value of @clk in nanoseconds. CLK_VIRTUAL starts at 0. Any thread. */
int64_t clock_now(ClockId clk);

/* clock_run - start or stop CLK_VIRTUAL (initially stopped). Timers on it do not fire while it
 * is stopped. Called with the machine lock held. */
void clock_run(bool running);
bool clock_running(void);

/* clock_set_virtual - set CLK_VIRTUAL's value (loading a saved state). Only while stopped. */
void clock_set_virtual(int64_t ns);

/* clock_stamp - another number after CLK_VIRTUAL was started, stopped or set. Any thread. */
unsigned clock_stamp(void);

/* clock_catch_up - may CLK_VIRTUAL make good for a time in which the host did not run the process (SIGSTOP, a frozen
 * container) by going eight times as fast afterwards, instead of a jump? A guest's counters that wrap meanwhile, and
 * its watchdogs, then notice nothing. Not for guests that read a counter of the host's. Initially off; before the
 * clock runs. docs/decisions/016-stopped-processes.md */
void clock_catch_up(bool on);

/* clock_manual - from now on CLK_VIRTUAL moves only by clock_step(); it counts as running. */
void clock_manual(void);
/* clock_step - advance a manual clock by @ns, running each timer that falls due at its own
 * deadline, in order, on the calling thread. Only CLK_VIRTUAL timers run. */
void clock_step(int64_t ns);

/* clock_follow - a manual clock goes with the host's, until clock_manual(): eight times as fast until it has made good for
 * @behind ns (0 or more). Nothing steps it meanwhile. */
void clock_follow(int64_t behind);

/* clock_stepper - with @on, timers_run() and timers_wait() leave CLK_VIRTUAL to the thread that calls clock_step()
 * (-icount: the processor's). */
void clock_stepper(bool on);

/* clock_counter - CLK_VIRTUAL = @fn(opaque) from now on (NULL: back to the host's clock). */
void clock_counter(int64_t (*fn)(void *opaque), void *opaque);

typedef void TimerFn(void *opaque);
/* A guard is taken around the callbacks of the timers that name it (the machine lock). */
typedef struct TimerGuard {
    void (*lock)(void);
    void (*unlock)(void);
} TimerGuard;

typedef struct Timer {
    TimerFn *fn;
    void *opaque;
    const TimerGuard *guard; /* may be NULL */
    ClockId clk;
    int64_t deadline; /* ns on @clk; meaningful while pending */
    int slot;         /* index in the queue, -1 when not pending; owned by base/clock.c */
    uint64_t seq;     /* order of arming among equal deadlines; owned by base/clock.c */
} Timer;

/* timer_init - prepare @t; call once before anything else. The timer is not pending. */
void timer_init(Timer *t, ClockId clk, TimerFn *fn, void *opaque, const TimerGuard *guard);

/* timer_arm - call fn once when @t's clock reaches @deadline (absolute ns; a past one means the
 * next loop turn, never inside this call). Replaces a pending deadline. Cannot fail. Any thread. */
void timer_arm(Timer *t, int64_t deadline);

/* timer_cancel - no longer pending on return. The callback may still be running on the loop
 * thread unless the caller holds the timer's guard. Any thread. */
void timer_cancel(Timer *t);

/* timer_pending - true while armed and not yet fired. */
bool timer_pending(const Timer *t);

/* timers_run - run all that are due; returns ns until the next one, or -1 when none.
 * Loop thread. */
int64_t timers_run(void);

/* timers_wait - ns until the next timer is due (0: one is due now), or -1 when none is pending on
 * a running clock. Runs nothing. Any thread. */
int64_t timers_wait(void);

/* timers_run_virtual - run the CLK_VIRTUAL timers that are due, on the calling thread, which holds
 * no lock (an engine under -icount calls it at the end of a slice). */
void timers_run_virtual(void);

/* timers_wait_virtual - ns of the host's time until the next timer on CLK_VIRTUAL, which goes with the host's clock, is due:
 * 0: one is; -1: there is none. Runs nothing. The thread that runs them, which goes to wait for so long. */
int64_t timers_wait_virtual(void);

/* timers_next_virtual - deadline of the earliest CLK_VIRTUAL timer, or INT64_MAX. */
int64_t timers_next_virtual(void);

/* timers_set_wake - called (any thread, no lock of base/ held) when a timer becomes the earliest
 * of its clock, or a clock changes; base/loop.c uses it to re-arm its timerfd, -icount to end the
 * running slice. Adds to those already there (at most four; NULL removes the one of @opaque). */
void timers_set_wake(void (*wake)(void *opaque), void *opaque);

#endif
