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
    uint64_t unchosen;         /* not: by lot */
    uint64_t skipped;          /* nor these: a repeated instruction half done, too much on the tape, too many pages */
    uint64_t dma;              /* writes by devices within stretches, played again */
    uint64_t late;             /* stretches that end where flags differ that are set again before they are read */
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
/* step_ram_dma - a device wrote, in the access that @t records. step_ram_play - it does it again, when @t has played
 * event @n: tape's `played`. */
void step_ram_dma(const CpuTape *t, uint64_t offset, uint64_t len);
void step_ram_play(CpuTape *t, unsigned n);
/* step_ram_before - RAM as it was when the stretch began. */
const uint8_t *step_ram_before(uint64_t offset);
/* step_ram_level - the bits of @mask of a byte of RAM may differ: as the first had it, if all others are the same. */
void step_ram_level(uint64_t offset, uint8_t mask);

/* step_ram_adopt - what was rolled back is how memory is, after all. */
void step_ram_adopt(CpuState *c);

/* ---- flags.c ---- */

/* step_dead - arithmetic flags that the instructions from @lin on, in @bits-bit code, set before one reads them or jumps:
 * what the translator does not keep up to date (x-lazy-flags). The instructions as they are, or as they were when the
 * stretch began: a store into those that follow comes too late for it. */
uint64_t step_dead(CpuState *c, uint64_t lin, unsigned bits);
/* step_flags - FL_* of accel/jit/plan.h as in RFLAGS. */
uint64_t step_flags(uint8_t f);

/* ---- undefined.c ---- */

/* step_undefined - the flags that @i leaves undefined; @cl: CL before it. */
uint64_t step_undefined(const struct Insn *i, uint8_t cl);

/* ---- report.c ---- */

/* step_compare - the first difference in the states to @text; false: there is none. */
bool step_compare(CpuState *translated, CpuState *reference, uint64_t undefined, char *text, size_t size);

#endif
