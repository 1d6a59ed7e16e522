/*
 * -icount: guest time is the number of instructions executed, shifted. One processor; its thread
 * moves the virtual clock and runs the timers that fall due, so a run is a function of its input.
 */
#ifndef ACCEL_ICOUNT_H
#define ACCEL_ICOUNT_H

#include "cpu/cpu.h"

extern bool icount_on; /* constant after start-up */

/* icount_init - 2^shift nanoseconds an instruction; 0 to 10. Before the first processor runs. */
void icount_init(unsigned shift);
/* icount_due - the clock has to move before the next block. icount_advance - move it. Processor
 * thread, machine lock not held. */
bool icount_due(const CpuState *c);
void icount_advance(CpuState *c);
/* icount_idle - a halted processor goes to the next timer; false when there is none. */
bool icount_idle(void);

#endif
