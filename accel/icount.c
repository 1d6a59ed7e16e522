/*
 * Guest time by instructions.
 */
#include "accel/icount.h"

#include "base/clock.h"
#include "base/mem.h"

#define SLICE 4096 /* instructions between clock updates at the most */

bool icount_on;
static unsigned icount_shift;

void icount_init(unsigned shift)
{
    icount_on = true;
    icount_shift = shift;
    clock_manual();
    clock_stepper(true);
}

bool icount_due(const CpuState *c)
{
    uint64_t done = c->insns - c->icount_last;
    int64_t next;

    if (done >= SLICE) {
        return true;
    }
    next = timers_next_virtual();
    return next != INT64_MAX && next - clock_now(CLK_VIRTUAL) <= (int64_t)(done << icount_shift);
}

void icount_advance(CpuState *c)
{
    uint64_t done = c->insns - c->icount_last;

    c->icount_last = c->insns;
    clock_step((int64_t)(done << icount_shift));
}

bool icount_idle(void)
{
    int64_t next = timers_next_virtual();

    if (next == INT64_MAX) {
        return false;
    }
    clock_step(MAX(next - clock_now(CLK_VIRTUAL), 0));
    return true;
}
