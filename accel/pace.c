/*
 * -icount shift=auto: the cost of an instruction.
 *
 * What the host needs for one is the quotient of two sums, of which a window is kept by halving both. That alone would
 * keep the guest's time parallel to the host's; what is between them is taken away within about HORIZON_NS.
 */
#include "accel/pace.h"

#include "base/clock.h"
#include "base/mem.h"

#define WINDOW_NS (20ull * NS_PER_MS)
#define HORIZON_NS (20 * NS_PER_MS)
#define SAMPLE_NS (20 * NS_PER_MS) /* longer for one slice: the host did something else, which says nothing of its speed */
#define USUAL_NS 32

static uint64_t in_range(uint64_t cost)
{
    return MIN(MAX(cost, (uint64_t)PACE_COST_MIN), PACE_COST_MAX);
}

void pace_init(Pace *p, uint64_t cost)
{
    cost = in_range(cost != 0 ? cost : USUAL_NS * PACE_UNIT);
    *p = (Pace){ .cost = cost, .ns = WINDOW_NS / 4, .insns = WINDOW_NS / 4 * PACE_UNIT / cost };
}

/* faster - @cost, by what has to be made good for. */
static uint64_t faster(uint64_t cost, int64_t behind)
{
    int64_t by = MIN(MAX(HORIZON_NS + MIN(behind, PACE_SPEED * HORIZON_NS), HORIZON_NS / PACE_SPEED),
                     PACE_SPEED * HORIZON_NS);

    return in_range(cost * (uint64_t)by / HORIZON_NS);
}

int64_t pace_step(Pace *p, uint64_t insns, int64_t ns, int64_t behind)
{
    int64_t step;

    ns = MIN(MAX(ns, 0), SAMPLE_NS);
    p->insns += insns;
    p->ns += (uint64_t)ns;
    while (p->ns > WINDOW_NS) {
        p->ns /= 2;
        p->insns /= 2;
    }
    p->cost = faster(in_range(p->ns * PACE_UNIT / MAX(p->insns, 1ull)), MAX(behind, -HORIZON_NS) - ns);
    p->fraction += insns * p->cost;
    step = (int64_t)(p->fraction / PACE_UNIT);
    p->fraction %= PACE_UNIT;
    return MIN(step, MAX(behind, -PACE_AHEAD_NS) + PACE_AHEAD_NS);
}

int64_t pace_ns(const Pace *p, uint64_t insns)
{
    return (int64_t)((p->fraction + insns * p->cost) / PACE_UNIT);
}

uint64_t pace_slice(const Pace *p)
{
    return MIN(MAX((uint64_t)PACE_STEP_NS * PACE_UNIT / p->cost, 1ull), (uint64_t)PACE_SLICE);
}
