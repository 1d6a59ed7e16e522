/*
 * How long an instruction takes with -icount shift=auto: what one lately took the host; less while the guest's time is
 * ahead of the host's, more while it is behind. Knows no clock: all times come from the caller.
 */
#ifndef ACCEL_PACE_H
#define ACCEL_PACE_H

#include <stdint.h>

#define PACE_UNIT 256            /* of Pace.cost, in a nanosecond */
#define PACE_SLICE 4096          /* instructions between two steps, at most */
#define PACE_STEP_NS 1000000     /* of the guest's time between two steps, at most; but for one instruction's */
#define PACE_AHEAD_NS 5000000    /* that the guest's time can get ahead of the host's */
#define PACE_SPEED 8             /* so many times as fast as instructions does it go at most, to make good for delays */

typedef struct Pace {
    uint64_t cost;      /* of an instruction, in 1/PACE_UNIT ns; PACE_COST_MIN to _MAX */
    uint64_t fraction;  /* of a nanosecond that is still to be stepped, in 1/PACE_UNIT */
    uint64_t insns, ns; /* the host's work of late: so many instructions took so long */
} Pace;
#define PACE_COST_MIN (PACE_UNIT / 16)
#define PACE_COST_MAX (PACE_UNIT * 16384ull)

/* pace_init - nothing is known yet; instructions take @cost until it is (taken into its range; 0: as on a usual host). */
void pace_init(Pace *p, uint64_t cost);

/* pace_step - the host has executed @insns instructions in @ns; before them the guest's time was @behind ns behind what
 * the host's is now (negative: ahead). By how many ns the guest's time goes on: 0 or more. */
int64_t pace_step(Pace *p, uint64_t insns, int64_t ns, int64_t behind);

/* pace_ns - what @insns instructions are going to take. pace_slice - how many may be executed before the next step. */
int64_t pace_ns(const Pace *p, uint64_t insns);
uint64_t pace_slice(const Pace *p);

#endif
