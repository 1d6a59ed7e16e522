/*
 * Ticks that a guest did not see: see lost-ticks.h.
 */
#include "hw/timer/lost-ticks.h"

#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "hw/timer/trace.h"

/* What is made up for: eight times the ticks of real time, no more than 4000 a second; after a pause of the guest's,
 * those of the last 100 ms in a row. */
#define SHARE 8
#define GAP_MIN_NS (250 * NS_PER_US)
#define BURST_NS (100 * NS_PER_MS)

/* Linux masks a line of the 8259 while it handles it. Who masks for longer than this does not count ticks. */
#define MASKED_MAX_NS NS_PER_SEC

static void add(uint32_t *to, uint64_t count)
{
    *to = (uint32_t)MIN(*to + MIN(count, LOST_TICKS_MAX), LOST_TICKS_MAX);
}

/* lost_ticks_done - an interrupt ended: the guest may have time for another. */
static void lost_ticks_done(void *opaque)
{
    LostTicks *t = opaque;
    int64_t now = clock_now(CLK_VIRTUAL);

    if (t->lost > 0 && now >= t->next) {
        t->next = MAX(t->next, now - BURST_NS) + MAX(t->period / SHARE, GAP_MIN_NS);
        t->lost--;
        trace_lost_ticks(t->lost);
        t->pulse(t->opaque);
        irq_watch(&t->watch, t->lost > 0);
    }
}

bool lost_ticks_init(LostTicks *t, const char *policy, const char *who, void (*pulse)(void *opaque), void *opaque,
                     struct Error **errp)
{
    t->delay = strcmp(policy, "delay") == 0;
    if (!t->delay && strcmp(policy, "discard") != 0) {
        error_set(errp, "%s: lost_tick_policy=%s: not discard or delay", who, policy);
        return false;
    }
    t->pulse = pulse;
    t->opaque = opaque;
    irq_watch_init(&t->watch, lost_ticks_done, t);
    return true;
}

void lost_ticks_late(LostTicks *t, uint64_t count)
{
    if (t->delay && count > 0) {
        add(&t->lost, count);
        irq_watch(&t->watch, true);
    }
}

void lost_ticks_seen(LostTicks *t, IrqCount before, int64_t period_ns)
{
    const bool taken = irq_count.taken != before.taken;

    t->period = period_ns;
    if (!taken && irq_count.merged != before.merged) {
        lost_ticks_late(t, 1);
    } else if (!taken && irq_count.masked != before.masked) {
        add(&t->masked, 1);
    } else {
        lost_ticks_late(t, t->masked <= MASKED_MAX_NS / period_ns ? t->masked : 0);
        t->masked = 0;
    }
}

void lost_ticks_clear(LostTicks *t)
{
    t->lost = 0;
    t->masked = 0;
    t->next = 0;
    irq_watch(&t->watch, false);
}

void lost_ticks_loaded(LostTicks *t)
{
    t->lost = MIN(t->lost, LOST_TICKS_MAX);
    t->masked = MIN(t->masked, LOST_TICKS_MAX);
    t->period = MAX(t->period, 0);
    irq_watch(&t->watch, t->lost > 0);
}

const StateField lost_ticks_fields[] = {
    STATE_U32(LostTicks, lost), STATE_U32(LostTicks, masked), STATE_U64(LostTicks, period),
    STATE_U64(LostTicks, next), STATE_END,
};
