/*
 * -icount: guest time is the number of instructions executed, times what one takes. One processor; its thread moves the
 * virtual clock and runs the timers that fall due. With a constant shift and without sleep a run is a function of its
 * input. docs/decisions/017-icount-and-the-host.md
 */
#ifndef ACCEL_ICOUNT_H
#define ACCEL_ICOUNT_H

#include <stdio.h>
#include "cpu/cpu.h"

typedef struct IcountOptions {
    bool on;
    bool adapt;     /* shift=auto: the guest's time keeps to the host's. With sleep, without align */
    unsigned shift; /* else: 2^shift ns an instruction; 0 to 10 */
    bool align;     /* the guest waits when its time is ahead of the host's; the user is told when it is behind. With sleep */
    bool sleep;     /* a halted processor waits in the host's time; else the next timer is due at once */
} IcountOptions;

extern bool icount_on; /* constant after start-up */

/* icount_init - before the first processor runs. */
void icount_init(const IcountOptions *options);
/* icount_due - the clock has to move before the next block. icount_advance - move it; with align it may take some
 * milliseconds. Processor thread, machine lock not held. */
bool icount_due(const CpuState *c);
void icount_advance(CpuState *c);

/* icount_idle - a halted processor lets time go on and runs timers. What it can sleep for if they gave it nothing to do:
 * ns, -1 until it is woken; 0: ask again. icount_wake - it is about to execute again. Processor thread, machine lock not
 * held. */
int64_t icount_idle(CpuState *c);
void icount_wake(void);

/* icount_run - the machine goes on, or stops: the guest's time is as far behind the host's afterwards as before.
 * Processors paused; the clock runs. */
void icount_run(bool on);

/* What a saved state keeps, so that the guest's time goes on as it went: 0 where that is no part of it. */
typedef struct IcountState {
    int64_t behind; /* ns that the guest's time is behind the host's */
    uint64_t cost;  /* of an instruction: Pace.cost */
} IcountState;
/* icount_save - while paused. icount_load - before icount_run(). */
IcountState icount_save(void);
void icount_load(const IcountState *s);

/* icount_info - for `info jit`, as QEMU has it; nothing without -icount. While paused. */
void icount_info(FILE *out);

#endif
