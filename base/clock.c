/*
 * Clocks and timers. Each clock has a binary heap of pending timers, ordered by deadline and then
 * by the order of arming; one mutex covers all three. It is never held while a callback, a guard
 * or a wake function runs.
 *
 * Firing a guarded timer:  lock, look at the top, unlock; take its guard; lock, look again.
 * Whoever cancelled or freed the timer under the guard did so before that second look, and the
 * second look starts at the heap, not at the pointer found first.
 */
#include "base/clock.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "base/mem.h"

enum { WAKE_MAX = 4 };
#define HOST_POLL_NS NS_PER_SEC   /* CLK_HOST may jump: look again at least this often */
#define COUNTER_POLL_NS NS_PER_MS /* nobody tells when a counter will reach a value */

typedef struct Heap {
    Timer **t;
    int count, cap;
} Heap;

typedef enum Source {
    SRC_HOST,
    SRC_MANUAL,
    SRC_COUNTER,
} Source;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Heap heaps[CLK_COUNT];
static uint64_t arm_seq;
static struct {
    void (*fn)(void *opaque);
    void *opaque;
} wakes[WAKE_MAX]; /* under mutex */

/* Catching up (clock_catch_up()): who runs the timers says, each time that it goes to wait, how far CLK_VIRTUAL can have come when
 * it is awake again. Who reads a later value knows that the process stood still. */
#define CATCH_UP_SPEED 8
#define LATE_NS NS_PER_SEC             /* that the loop may be late for other reasons */
#define DEBT_MAX_NS (600 * NS_PER_SEC) /* what is missing beyond this is jumped over */

/* CLK_VIRTUAL. Written under the mutex inside an odd value of `ver`; readers retry (clock_now()).*/
static struct {
    unsigned ver;
    Source source;
    bool running;
    int64_t offset; /* running: value + debt - monotonic (or counter); stopped or manual: the value */
    int64_t debt, since; /* what is to be caught up with, as of this time of CLK_REAL; SRC_HOST only */
    int64_t horizon; /* INT64_MAX: nobody knows */
    bool catch_up;   /* constant once the clock runs */
    int64_t (*counter)(void *opaque);
    void *opaque;
} virt = { .horizon = INT64_MAX };

/* ---- reading ---- */

static int64_t host_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* debt_left - of @debt at @since, when CLK_REAL is @mono. */
static int64_t debt_left(int64_t debt, int64_t since, int64_t mono)
{
    return debt == 0 ? 0 : MAX(debt - (CATCH_UP_SPEED - 1) * (mono - since), 0);
}

static int64_t found_gap(void);

static int64_t virtual_now(void)
{
    for (;;) {
        unsigned ver = __atomic_load_n(&virt.ver, __ATOMIC_ACQUIRE);
        /* each acquire keeps the second look at `ver` behind it; pairs with virt_write() */
        Source source = __atomic_load_n(&virt.source, __ATOMIC_ACQUIRE);
        bool running = __atomic_load_n(&virt.running, __ATOMIC_ACQUIRE);
        int64_t value = __atomic_load_n(&virt.offset, __ATOMIC_ACQUIRE);
        int64_t (*counter)(void *) = __atomic_load_n(&virt.counter, __ATOMIC_ACQUIRE);
        void *opaque = __atomic_load_n(&virt.opaque, __ATOMIC_ACQUIRE);
        int64_t debt = __atomic_load_n(&virt.debt, __ATOMIC_ACQUIRE);
        int64_t since = __atomic_load_n(&virt.since, __ATOMIC_ACQUIRE);
        int64_t horizon = __atomic_load_n(&virt.horizon, __ATOMIC_ACQUIRE); /* pairs with settle_locked() */

        if ((ver & 1) != 0 || __atomic_load_n(&virt.ver, __ATOMIC_RELAXED) != ver) {
            continue;
        }
        if (source == SRC_COUNTER) {
            return value + counter(opaque);
        }
        if (source == SRC_HOST && running) {
            int64_t mono = host_ns(CLOCK_MONOTONIC);

            value += mono - debt_left(debt, since, mono);
            if (__builtin_expect(value > horizon, 0)) {
                return found_gap();
            }
        }
        return value;
    }
}

int64_t clock_now(ClockId clk)
{
    switch (clk) {
    case CLK_VIRTUAL:
        return virtual_now();
    case CLK_HOST:
        return host_ns(CLOCK_REALTIME);
    default:
        return host_ns(CLOCK_MONOTONIC);
    }
}

/* ---- changing CLK_VIRTUAL ---- */

static void wake_all(void)
{
    for (unsigned i = 0; i < WAKE_MAX; i++) {
        void (*fn)(void *);
        void *opaque;
        pthread_mutex_lock(&mutex);
        fn = wakes[i].fn;
        opaque = wakes[i].opaque;
        pthread_mutex_unlock(&mutex);
        if (fn != NULL) {
            fn(opaque);
        }
    }
}

/* virt_write_debt - a new state; @debt ns of the value are still to come (0 but for SRC_HOST). */
static void virt_write_debt(Source source, bool running, int64_t offset, int64_t debt)
{
    __atomic_store_n(&virt.ver, virt.ver + 1, __ATOMIC_RELAXED);
    /* each release keeps the odd `ver` before it; pairs with virtual_now() */
    __atomic_store_n(&virt.source, source, __ATOMIC_RELEASE);
    __atomic_store_n(&virt.running, running, __ATOMIC_RELEASE);
    __atomic_store_n(&virt.offset, offset, __ATOMIC_RELEASE);
    __atomic_store_n(&virt.debt, debt, __ATOMIC_RELEASE);
    __atomic_store_n(&virt.since, debt != 0 ? host_ns(CLOCK_MONOTONIC) : 0, __ATOMIC_RELEASE);
    __atomic_store_n(&virt.horizon, INT64_MAX, __ATOMIC_RELAXED);
    __atomic_store_n(&virt.ver, virt.ver + 1, __ATOMIC_RELEASE);
}

static void virt_write(Source source, bool running, int64_t offset)
{
    virt_write_debt(source, running, offset, 0);
}

/* ---- catching up ---- */

void clock_catch_up(bool on)
{
    virt.catch_up = on;
}

/* The value at @mono, whatever the horizon. Under the mutex, running on SRC_HOST. */
static int64_t value_locked(int64_t mono)
{
    return virt.offset + mono - debt_left(virt.debt, virt.since, mono);
}

/* The value at @mono. If it is beyond the horizon, nobody ran meanwhile, and it goes on from there. */
static int64_t settle_locked(int64_t mono)
{
    int64_t value = value_locked(mono);

    if (value > virt.horizon) {
        int64_t debt = MIN(virt.offset + mono - virt.horizon, DEBT_MAX_NS);

        virt_write_debt(SRC_HOST, true, virt.offset, debt);
        value = virt.offset + mono - debt;
        __atomic_store_n(&virt.horizon, value + LATE_NS, __ATOMIC_RELEASE); /* behind `ver` */
    }
    return value;
}

static int64_t found_gap(void)
{
    int64_t value;

    pthread_mutex_lock(&mutex);
    value = virt.source == SRC_HOST && virt.running ? settle_locked(host_ns(CLOCK_MONOTONIC)) : virt.offset;
    pthread_mutex_unlock(&mutex);
    return value;
}

/* virtual_wait - who runs the timers goes to wait for CLK_VIRTUAL to go on by @ns (INT64_MAX: for something else); the ns that this
 * takes. Once more if the process stood still just here: the horizon must not be behind what others have read. */
static int64_t virtual_wait(int64_t ns)
{
    int64_t mono, value, left = 0;

    pthread_mutex_lock(&mutex);
    if (virt.source == SRC_HOST && virt.running) {
        do {
            mono = host_ns(CLOCK_MONOTONIC);
            value = settle_locked(mono);
            value = ns > INT64_MAX - LATE_NS - value || !virt.catch_up ? INT64_MAX : value + ns + LATE_NS;
            __atomic_store_n(&virt.horizon, value, __ATOMIC_RELAXED);
        } while (virt.catch_up && host_ns(CLOCK_MONOTONIC) - mono > LATE_NS / 2);
        left = debt_left(virt.debt, virt.since, mono);
    }
    pthread_mutex_unlock(&mutex);
    if (left / (CATCH_UP_SPEED - 1) * CATCH_UP_SPEED >= ns) {
        return (ns + CATCH_UP_SPEED - 1) / CATCH_UP_SPEED;
    }
    return ns - left;
}

void clock_run(bool running)
{
    int64_t now = virtual_now();

    pthread_mutex_lock(&mutex);
    if (virt.running != running) {
        int64_t offset = virt.offset, debt = 0;
        if (virt.source == SRC_HOST) { /* what is to be caught up with stays so */
            int64_t mono = host_ns(CLOCK_MONOTONIC);
            debt = running ? virt.debt : debt_left(virt.debt, virt.since, mono);
            offset = running ? now + debt - mono : now;
        }
        virt_write_debt(virt.source, running, offset, debt);
    }
    pthread_mutex_unlock(&mutex);
    wake_all();
}

unsigned clock_stamp(void)
{
    return __atomic_load_n(&virt.ver, __ATOMIC_ACQUIRE);
}

bool clock_running(void)
{
    return __atomic_load_n(&virt.running, __ATOMIC_RELAXED);
}

void clock_set_virtual(int64_t ns)
{
    pthread_mutex_lock(&mutex);
    if (virt.source == SRC_COUNTER) {
        ns -= virt.counter(virt.opaque);
    } else if (virt.source == SRC_HOST && virt.running) {
        ns -= host_ns(CLOCK_MONOTONIC);
    }
    virt_write(virt.source, virt.running, ns);
    pthread_mutex_unlock(&mutex);
    wake_all();
}

void clock_manual(void)
{
    int64_t now = virtual_now();

    pthread_mutex_lock(&mutex);
    virt_write(SRC_MANUAL, true, now);
    pthread_mutex_unlock(&mutex);
}

void clock_follow(int64_t behind)
{
    int64_t now = virtual_now();

    pthread_mutex_lock(&mutex);
    virt_write_debt(SRC_HOST, true, now + behind - host_ns(CLOCK_MONOTONIC), behind);
    pthread_mutex_unlock(&mutex);
}

void clock_counter(int64_t (*fn)(void *opaque), void *opaque)
{
    int64_t now = virtual_now();

    pthread_mutex_lock(&mutex);
    if (fn != NULL) {
        /* readers must not see the new source with the old function: fn first */
        __atomic_store_n(&virt.counter, fn, __ATOMIC_RELEASE);
        __atomic_store_n(&virt.opaque, opaque, __ATOMIC_RELEASE);
        virt_write(SRC_COUNTER, virt.running, 0);
    } else {
        virt_write(SRC_HOST, virt.running, virt.running ? now - host_ns(CLOCK_MONOTONIC) : now);
    }
    pthread_mutex_unlock(&mutex);
    wake_all();
}

/* ---- the heap (all under the mutex) ---- */

static bool before(const Timer *a, const Timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->seq < b->seq;
}

static void place(Heap *h, Timer *t, int i)
{
    h->t[i] = t;
    t->slot = i;
}

static void sift_up(Heap *h, Timer *t, int i)
{
    while (i > 0 && before(t, h->t[(i - 1) / 2])) {
        place(h, h->t[(i - 1) / 2], i);
        i = (i - 1) / 2;
    }
    place(h, t, i);
}

static void sift_down(Heap *h, Timer *t, int i)
{
    for (;;) {
        int child = 2 * i + 1;
        if (child + 1 < h->count && before(h->t[child + 1], h->t[child])) {
            child++;
        }
        if (child >= h->count || !before(h->t[child], t)) {
            break;
        }
        place(h, h->t[child], i);
        i = child;
    }
    place(h, t, i);
}

static void heap_insert(Heap *h, Timer *t)
{
    if (h->count == h->cap) {
        h->cap = MAX(16, h->cap * 2);
        h->t = xrealloc(h->t, (size_t)h->cap, sizeof(*h->t));
    }
    h->count++;
    sift_up(h, t, h->count - 1);
}

static void heap_remove(Heap *h, Timer *t)
{
    int i = t->slot;
    Timer *last = h->t[--h->count];

    t->slot = -1;
    if (last != t) {
        sift_up(h, last, i);
        sift_down(h, last, last->slot);
    }
}

/* ---- timers ---- */

void timer_init(Timer *t, ClockId clk, TimerFn *fn, void *opaque, const TimerGuard *guard)
{
    *t = (Timer){ .fn = fn, .opaque = opaque, .guard = guard, .clk = clk, .slot = -1 };
}

void timer_arm(Timer *t, int64_t deadline)
{
    Heap *h = &heaps[t->clk];
    bool first;

    pthread_mutex_lock(&mutex);
    if (t->slot >= 0) {
        heap_remove(h, t);
    }
    t->deadline = deadline;
    t->seq = arm_seq++;
    heap_insert(h, t);
    first = t->slot == 0;
    pthread_mutex_unlock(&mutex);
    if (first) {
        wake_all();
    }
}

void timer_cancel(Timer *t)
{
    pthread_mutex_lock(&mutex);
    if (t->slot >= 0) {
        heap_remove(&heaps[t->clk], t);
    }
    pthread_mutex_unlock(&mutex);
}

bool timer_pending(const Timer *t)
{
    bool pending;

    pthread_mutex_lock(&mutex);
    pending = t->slot >= 0;
    pthread_mutex_unlock(&mutex);
    return pending;
}

/* The earliest timer of @clk that is due at @now, or NULL. Under the mutex. */
static Timer *due_locked(ClockId clk, int64_t now)
{
    Heap *h = &heaps[clk];

    return h->count > 0 && h->t[0]->deadline <= now ? h->t[0] : NULL;
}

/* Run the earliest timer of @clk that is due at @now; false when there is none. */
static bool run_one(ClockId clk, int64_t now)
{
    const TimerGuard *guard;
    Timer *t;
    bool found;

    pthread_mutex_lock(&mutex);
    t = due_locked(clk, now);
    found = t != NULL;
    guard = found ? t->guard : NULL;
    pthread_mutex_unlock(&mutex);
    if (!found) {
        return false;
    }

    if (guard != NULL) {
        guard->lock();
    }
    pthread_mutex_lock(&mutex);
    t = due_locked(clk, now);
    if (t != NULL && t->guard == guard) {
        TimerFn *fn = t->fn;
        void *opaque = t->opaque;
        heap_remove(&heaps[clk], t);
        pthread_mutex_unlock(&mutex);
        fn(opaque); /* may free the timer */
    } else {
        pthread_mutex_unlock(&mutex); /* it went away meanwhile, another is first: look again */
    }
    if (guard != NULL) {
        guard->unlock();
    }
    return true;
}

/* At most as many as were pending at the start, so one that re-arms itself for the past cannot
 * keep the loop from its descriptors. */
static void run_clock(ClockId clk)
{
    int64_t now = clock_now(clk);
    int budget;

    pthread_mutex_lock(&mutex);
    budget = heaps[clk].count;
    pthread_mutex_unlock(&mutex);
    while (budget-- > 0 && (clk != CLK_VIRTUAL || clock_running()) && run_one(clk, now)) {
    }
}

static bool stepper; /* constant once the loop runs */

void clock_stepper(bool on)
{
    stepper = on;
}

int64_t timers_wait(void)
{
    int64_t best = -1;

    for (ClockId clk = stepper ? CLK_VIRTUAL + 1 : CLK_VIRTUAL; clk < CLK_COUNT; clk++) {
        int64_t deadline = 0, wait;
        bool any;

        pthread_mutex_lock(&mutex);
        any = heaps[clk].count > 0;
        if (any) {
            deadline = heaps[clk].t[0]->deadline;
        }
        pthread_mutex_unlock(&mutex);
        if (!any || (clk == CLK_VIRTUAL && !clock_running())) {
            if (clk == CLK_VIRTUAL) {
                virtual_wait(INT64_MAX);
            }
            continue;
        }
        if (__builtin_sub_overflow(deadline, clock_now(clk), &wait)) {
            wait = deadline < 0 ? 0 : INT64_MAX;
        }
        wait = MAX(wait, 0);
        if (clk == CLK_HOST) {
            wait = MIN(wait, HOST_POLL_NS);
        } else if (clk == CLK_VIRTUAL && wait > 0) {
            Source source = __atomic_load_n(&virt.source, __ATOMIC_RELAXED);
            if (source == SRC_MANUAL) {
                continue; /* only a step makes it due */
            }
            if (source == SRC_COUNTER) {
                wait = MIN(wait, COUNTER_POLL_NS);
            }
        }
        wait = clk == CLK_VIRTUAL ? virtual_wait(wait) : wait;
        best = best < 0 ? wait : MIN(best, wait);
    }
    return best;
}

int64_t timers_run(void)
{
    for (ClockId clk = stepper ? CLK_VIRTUAL + 1 : CLK_VIRTUAL; clk < CLK_COUNT; clk++) {
        run_clock(clk);
    }
    return timers_wait();
}

void timers_run_virtual(void)
{
    run_clock(CLK_VIRTUAL);
}

int64_t timers_next_virtual(void)
{
    int64_t next;

    pthread_mutex_lock(&mutex);
    next = heaps[CLK_VIRTUAL].count > 0 ? heaps[CLK_VIRTUAL].t[0]->deadline : INT64_MAX;
    pthread_mutex_unlock(&mutex);
    return next;
}

int64_t timers_wait_virtual(void)
{
    int64_t next = timers_next_virtual();

    if (next == INT64_MAX) {
        virtual_wait(INT64_MAX);
        return -1;
    }
    next -= clock_now(CLK_VIRTUAL);
    return next <= 0 ? 0 : virtual_wait(next);
}

void clock_step(int64_t ns)
{
    int64_t target = virtual_now() + ns, next;

    assert(virt.source == SRC_MANUAL);
    while ((next = timers_next_virtual()) <= target) {
        if (next > virtual_now()) {
            pthread_mutex_lock(&mutex);
            virt_write(SRC_MANUAL, true, next);
            pthread_mutex_unlock(&mutex);
        }
        run_one(CLK_VIRTUAL, virtual_now());
    }
    pthread_mutex_lock(&mutex);
    virt_write(SRC_MANUAL, true, target);
    pthread_mutex_unlock(&mutex);
}

void timers_set_wake(void (*wake)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < WAKE_MAX; i++) {
        bool match =
            wake == NULL ? wakes[i].fn != NULL && wakes[i].opaque == opaque : wakes[i].fn == NULL;
        if (match) {
            wakes[i].fn = wake;
            wakes[i].opaque = opaque;
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
}
