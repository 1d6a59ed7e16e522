/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline.
 *
 * Source: Intel SDM vol. 3, "APIC Timer". Virtual clock, 1 GHz before the divider. Its fields have
 * a lock of their own, since the processor's thread and the loop's both re-arm it.
 */
#include "hw/intc/lapic-internal.h"

#include "cpu/cpuid.h"

enum { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_DEADLINE };

/* A guest may ask for a tick every nanosecond; it gets at most one in this time. */
#define LAPIC_MIN_PERIOD_NS 20000

/* "Divide Configuration Register": as a shift. */
static unsigned apic_timer_shift(const LapicState *s)
{
    unsigned v = (s->divide & 3) | (s->divide >> 1 & 4);

    return (v + 1) & 7;
}
static unsigned apic_timer_mode(const LapicState *s)
{
    return reg_get(&s->lvt[LVT_TIMER]) >> LVT_TIMER_SHIFT & 3;
}
static int64_t apic_timer_period(const LapicState *s)
{
    return (int64_t)s->initial << apic_timer_shift(s); /* 1 tick is 1 ns: LAPIC_TIMER_HZ */
}

/* apic_timer_count - the current count register. */
static uint32_t apic_timer_count(const LapicState *s)
{
    uint64_t ticks;

    if (s->initial == 0 || apic_timer_mode(s) == TIMER_DEADLINE) {
        return 0;
    }
    ticks = (uint64_t)(clock_now(CLK_VIRTUAL) - s->timer_start) >> apic_timer_shift(s);
    if (apic_timer_mode(s) == TIMER_PERIODIC) {
        ticks %= s->initial;
    }
    return ticks >= s->initial ? 0 : (uint32_t)(s->initial - ticks);
}

/* apic_timer_schedule - arm for the next time the count reaches zero. */
static void apic_timer_schedule(LapicState *s)
{
    int64_t now = clock_now(CLK_VIRTUAL), period = apic_timer_period(s), next;

    if (s->initial == 0) {
        timer_cancel(&s->timer);
        return;
    }
    next = s->timer_start + period;
    if (apic_timer_mode(s) == TIMER_PERIODIC) {
        if (next <= now) {
            next = s->timer_start + ((now - s->timer_start) / period + 1) * period;
        }
        next = MAX(next, now + MIN(period, (int64_t)LAPIC_MIN_PERIOD_NS));
        if (period < LAPIC_MIN_PERIOD_NS) {
            next = MAX(next, now + LAPIC_MIN_PERIOD_NS);
        }
    }
    timer_arm(&s->timer, next);
}

static void lapic_timer_fired(void *opaque)
{
    LapicState *s = opaque;
    bool fire = true;

    pthread_mutex_lock(&s->timer_lock);
    switch (apic_timer_mode(s)) {
    case TIMER_PERIODIC:
        fire = s->initial != 0;
        if (fire) {
            apic_timer_schedule(s);
        }
        break;
    case TIMER_DEADLINE:
        fire = s->tsc_deadline != 0;
        s->tsc_deadline = 0;
        break;
    default:
        /* Re-armed meanwhile by the processor? Then this is the old deadline's late call. */
        fire = s->initial != 0 && clock_now(CLK_VIRTUAL) >= s->timer_start + apic_timer_period(s);
        break;
    }
    pthread_mutex_unlock(&s->timer_lock);
    if (fire) {
        lapic_local(s, LVT_TIMER);
    }
}

void lapic_timer_set_initial(LapicState *s, uint32_t val)
{
    pthread_mutex_lock(&s->timer_lock);
    if (apic_timer_mode(s) != TIMER_DEADLINE) { /* "writes to the initial-count register are ignored" */
        s->initial = val;
        s->timer_start = clock_now(CLK_VIRTUAL);
        apic_timer_schedule(s);
    }
    pthread_mutex_unlock(&s->timer_lock);
}

void lapic_timer_set_divide(LapicState *s, uint32_t val)
{
    uint32_t left;

    pthread_mutex_lock(&s->timer_lock);
    left = apic_timer_count(s);
    s->divide = val & 0xb;
    if (left != 0) { /* go on from the same count at the new rate */
        s->timer_start = clock_now(CLK_VIRTUAL) -
                         ((int64_t)(s->initial - left) << apic_timer_shift(s));
        apic_timer_schedule(s);
    }
    pthread_mutex_unlock(&s->timer_lock);
}

void lapic_timer_set_lvt(LapicState *s, uint32_t val)
{
    unsigned was;

    pthread_mutex_lock(&s->timer_lock);
    was = apic_timer_mode(s);
    reg_set(&s->lvt[LVT_TIMER], val);
    if (was != apic_timer_mode(s)) {
        if (was == TIMER_DEADLINE || apic_timer_mode(s) == TIMER_DEADLINE) {
            s->initial = 0;
            s->tsc_deadline = 0;
            timer_cancel(&s->timer);
        } else if (s->initial != 0) {
            /* one-shot that has expired stays so; a running count goes on in the new mode */
            if (apic_timer_mode(s) == TIMER_PERIODIC && !timer_pending(&s->timer)) {
                s->initial = 0;
            } else {
                apic_timer_schedule(s);
            }
        }
    }
    pthread_mutex_unlock(&s->timer_lock);
}

void lapic_timer_set_deadline(LapicState *s, uint64_t tsc)
{
    uint64_t now, ns;

    pthread_mutex_lock(&s->timer_lock);
    if (apic_timer_mode(s) == TIMER_DEADLINE) {
        s->tsc_deadline = tsc;
        if (tsc == 0) {
            timer_cancel(&s->timer);
        } else {
            now = cpu_tsc(s->cpu);
            ns = 0;
            if (tsc > now) {
                unsigned __int128 t = (unsigned __int128)(tsc - now) * NS_PER_SEC;
                uint64_t hz = MAX(cpu_tsc_hz(), 1ull);

                t = (t + hz - 1) / hz;
                ns = t > INT64_MAX / 2 ? INT64_MAX / 2 : (uint64_t)t;
            }
            timer_arm(&s->timer, clock_now(CLK_VIRTUAL) + (int64_t)ns);
        }
    }
    pthread_mutex_unlock(&s->timer_lock);
}

uint32_t lapic_timer_read(LapicState *s, bool current)
{
    uint32_t val;

    pthread_mutex_lock(&s->timer_lock);
    val = current ? apic_timer_count(s) : s->initial;
    pthread_mutex_unlock(&s->timer_lock);
    return val;
}

uint64_t lapic_timer_deadline(LapicState *s)
{
    uint64_t val;

    pthread_mutex_lock(&s->timer_lock);
    val = s->tsc_deadline;
    pthread_mutex_unlock(&s->timer_lock);
    return val;
}

void lapic_timer_reset(LapicState *s)
{
    pthread_mutex_lock(&s->timer_lock);
    s->divide = 0;
    s->initial = 0;
    s->tsc_deadline = 0;
    timer_cancel(&s->timer);
    pthread_mutex_unlock(&s->timer_lock);
}

void lapic_timer_init(LapicState *s)
{
    pthread_mutex_init(&s->timer_lock, NULL);
    timer_init(&s->timer, CLK_VIRTUAL, lapic_timer_fired, s, NULL);
}

void lapic_timer_fini(LapicState *s)
{
    timer_cancel(&s->timer);
    pthread_mutex_destroy(&s->timer_lock);
}
