/*
 * Lockstep: the translator checked against the reference while a guest runs (`-accel tcg,x-lockstep=SEED`).
 *
 * A stretch of translated code runs from a copy of the processor's state, with what it reads from devices, the TSC
 * and the local APIC on a tape (cpu/tape.h), and with the pages of RAM noted that it writes. Then those pages are put
 * back, and a second processor executes as many instructions by the reference, reading from the tape. All registers
 * and pages must be the same then. Interrupts are taken between stretches. Their lengths, and what is thrown away
 * before some of them, are random, from the seed; with -icount a run is a function of the seed and its input.
 */
#ifndef ACCEL_LOCKSTEP_LOCKSTEP_H
#define ACCEL_LOCKSTEP_LOCKSTEP_H

#include "cpu/tape.h"

typedef struct StepStats {
    uint64_t stretches, insns; /* compared */
    uint64_t skipped;          /* not: not chosen; DMA, a repeated instruction half done, too much on the tape */
    uint64_t undefined;        /* nor these: flags that are undefined were read */
    uint64_t live;             /* blocks that only the reference can run */
    uint64_t accessed;         /* differences in accessed bits of page tables, which is no mistake */
    uint64_t differences;
} StepStats;
extern StepStats lockstep_stats;

/* What to do after a difference was reported; NULL: the process ends with status 3. Tests. */
extern void (*lockstep_differs)(const CpuState *before);

/* lockstep_seed - what is random begins anew. */
void lockstep_seed(uint64_t seed);

/* ---- ram.c: the pages written ---- */

bool step_ram_init(struct Error **errp);
void step_ram_fini(void);
/* step_ram_sync - what was written until now is how memory is. False: not ready, everything was copied. */
void step_ram_sync(void);
/* step_ram_rollback - what was written since goes to a copy of its own, and memory is as it was. False: too
 * much was, or not by the processor alone; nothing is done. */
bool step_ram_rollback(CpuState *c);
/* step_ram_compare - the first byte that differs from what was rolled back, or -1. *accessed counts
 * accessed bits that do. */
int64_t step_ram_compare(uint8_t *was, uint8_t *is, uint64_t *accessed);
/* step_ram_foreign - DMA landed. */
void step_ram_foreign(void);

/* step_ram_adopt - what was rolled back is how memory is, after all. */
void step_ram_adopt(CpuState *c);

/* ---- undefined.c ---- */

/* step_undefined - the flags that @i leaves undefined; @cl: CL before it. */
uint64_t step_undefined(const struct Insn *i, uint8_t cl);

/* ---- report.c ---- */

/* step_compare - the first difference in the states to @text; false: there is none. */
bool step_compare(CpuState *translated, CpuState *reference, uint64_t undefined, char *text, size_t size);

#endif
