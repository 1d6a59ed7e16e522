/*
 * What the translator takes from the reference: requests, careful execution, faults, cold code.
 */
#ifndef ACCEL_INTERP_INTERP_H
#define ACCEL_INTERP_INTERP_H

#include "accel/interp/block.h"

static inline vaddr linear_rip(const CpuState *c)
{
    return c->code64 ? c->regs[GPR_RIP] : (uint32_t)(c->segs[SEG_CS].base + c->regs[GPR_RIP]);
}

/* linear_of - of the instruction @i, behind which RIP is. */
static inline vaddr linear_of(const CpuState *c, const Insn *i)
{
    return c->code64 ? insn_rip(c, i) : (uint32_t)(c->segs[SEG_CS].base + insn_rip(c, i));
}

static inline uint32_t requests(const CpuState *c)
{
    return __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST);
}

/* interp_take_requests - what CpuState.requests asks for, in priority order. False: leave the loop. */
bool interp_take_requests(CpuState *c);
/* interp_event - -icount's timers, breakpoints, careful state; true when it did something and the
 * caller looks around again. */
bool interp_event(CpuState *c);
/* interp_careful_step - one instruction with everything looked at around it. */
void interp_careful_step(CpuState *c);
/* interp_run_block - execute a block until it jumps or ends. interp_block - the same with logs; @b
 * may be NULL: one instruction outside of memory. */
void interp_run_block(CpuState *c, const Block *b);
void interp_block(CpuState *c, vaddr lin, const Block *b);
/* interp_after_fault - the loop's _setjmp() returned again: deliver the exception. */
void interp_after_fault(CpuState *c);

#endif
