/*
 * An interrupt controller whose guest does not always look, for tests of timers that make up for lost ticks.
 */
#ifndef TESTS_DEVICE_SLOW_H
#define TESTS_DEVICE_SLOW_H

#include "tests/device/fake.h"

static bool slow_unseen, slow_masked; /* an edge was noted; none is let through */
static unsigned slow_seen, slow_level;

static void slow_set(void *opaque, unsigned n, int level)
{
    if (level && !slow_level) {
        *(!slow_unseen ? &irq_count.taken : slow_masked ? &irq_count.masked : &irq_count.merged) += 1;
        slow_unseen = true;
    }
    slow_level = (unsigned)level;
}

static const IrqLine slow_line = { .fn = slow_set };

/* slow_begin - the guest has seen nothing yet. */
static inline void slow_begin(void)
{
    slow_seen = slow_level = 0;
    slow_unseen = slow_masked = false;
}

/* slow_attend - the guest looks every 100 us, @times times, and ends what it found; how many ticks it has seen since slow_begin(). */
static inline unsigned slow_attend(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        slow_seen += slow_unseen;
        slow_unseen = false;
        if (irq_done_wanted()) {
            irq_tell_done();
        }
        clock_step(NS_PER_MS / 10);
    }
    return slow_seen;
}

#endif
