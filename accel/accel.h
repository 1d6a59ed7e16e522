/*
 * What runs the processors: one thread each, on one engine.
 *
 * A thread is either in guest code ("running") or parked. accel_pause() and exclusive sections park
 * all (others); the caller must not hold the machine lock, because a processor on its way out may
 * need it.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "cpu/cpu.h"

struct Error;

/* The processor whose thread this is; NULL elsewhere. */
extern _Thread_local CpuState *cpu_current;

typedef struct AccelOps {
    const char *name;
    bool (*cpu_init)(CpuState *c, struct Error **errp); /* make c->engine */
    void (*cpu_fini)(CpuState *c);
    /* Run guest code until a request or a halt makes the thread look around. */
    void (*run)(CpuState *c);
    /* Forget all code of @c; all processors are paused. */
    void (*drop_code)(CpuState *c);
    /* A store or DMA reached RAM that holds code: by @c itself, or (any thread) for @c to act on
     * before its next block. */
    void (*code_written)(CpuState *c, uint64_t ram_offset, unsigned len);
    void (*queue_drop)(CpuState *c, uint64_t ram_offset, uint64_t len);
    /* Linear addresses mean something else now: all (or all but global pages'), or one page. */
    void (*flush)(CpuState *c, bool global);
    void (*flush_page)(CpuState *c, vaddr page);
    /* Of EngineOps; NULL: as flush() of what is not global. */
    void (*switch_space)(CpuState *c, uint64_t space, bool keep);
    /* More for `info jit`; NULL: nothing. All processors are paused. */
    void (*info)(CpuState *c, FILE *out);
    void (*info_hot)(CpuState *c, FILE *out); /* and for `info jit -v` */
    /* Make @c, which may be in guest code, look at its requests. NULL: it does so by itself. Any thread. */
    void (*kick)(CpuState *c);
    /* Of MemListener: the views, or dirty_logged(), say something else now; and its collect(). NULL: nothing. */
    void (*map_changed)(void);
    void (*collect)(uint64_t ram_offset, uint64_t len);
    /* The loop's thread is about to look at @c, which is parked: CpuState has all of it after this. NULL: it always has. */
    void (*sync)(CpuState *c);
} AccelOps;

extern const AccelOps accel_interp, accel_jit, accel_lockstep, accel_kvm;

/* accel_init - the engine @ops for @count processors (borrowed, constant until accel_fini()).
 * They do not run yet. */
bool accel_init(const AccelOps *ops, CpuState **cpus, unsigned count, struct Error **errp);
void accel_fini(void); /* ends the threads */
const char *accel_name(void);
/* accel_info - what the engine says about itself, all processors. While paused. */
void accel_info(FILE *out, bool hot);
unsigned accel_cpu_count(void);
CpuState *accel_cpu(unsigned n);
/* accel_cpu_tid - the host's id of its thread; of the process before the first start. */
int accel_cpu_tid(unsigned n);

/* accel_pause - park all processors and wait until they are; nests. accel_resume - undo one
 * accel_pause(); the first call ever starts the threads. Loop thread, machine lock not held. */
void accel_pause(void);
void accel_resume(void);
bool accel_paused(void);

/* accel_drop_code - forget all code of all processors, which are parked. */
void accel_drop_code(void);

/* accel_take_protect - for engines, when REQ_PROTECT is set, before any guest code: fast write paths
 * to tracked pages go (the software TLB's here; an engine with others drops its own first). Own thread. */
void accel_take_protect(CpuState *c);

/* accel_hold - on a processor's thread: park it at the end of this instruction until
 * accel_release() (the guest asked for a reset or switched its power off). Nothing elsewhere.
 * accel_release - all held ones may run again. Any thread. */
void accel_hold(void);
void accel_release(void);

/* accel_debug_handler - @fn(opaque, c) is called on @c's thread, not running, when it hit a
 * breakpoint or watchpoint (@watch) or finished its step; the processor parks until
 * accel_debug_continue(). */
typedef enum DebugReason {
    DEBUG_BREAKPOINT,
    DEBUG_WATCHPOINT,
    DEBUG_STEP,
} DebugReason;
void accel_debug_handler(void (*fn)(void *opaque, CpuState *c, DebugReason why), void *opaque);
void accel_debug_continue(CpuState *c);
/* accel_debug_stop - for engines: @c is to park for the debugger at the next look at its requests. */
void accel_debug_stop(CpuState *c, DebugReason why);

/* accel_fail - for engines, on a processor's thread: it cannot go on, which was said; it parks until accel_release().
 * accel_fail_handler - who is told; called on that thread. */
void accel_fail(void);
void accel_fail_handler(void (*fn)(void));

/* Breakpoints on linear addresses. Only while paused; false when the table is full (or empty of
 * it). */
#define ACCEL_BREAKPOINTS 256
bool accel_breakpoint_add(vaddr addr);
bool accel_breakpoint_remove(vaddr addr);
void accel_breakpoints_clear(void);
bool accel_breakpoint_at(vaddr lin);          /* any thread while running: the table is constant */
bool accel_breakpoint_offset(unsigned offset); /* is there one at this page offset? */
extern unsigned accel_breakpoints;            /* how many */
/* accel_watch_changed - after engine_watches changed, while paused. */
void accel_watch_changed(void);

/* Statistics for `info jit`. */
typedef struct AccelStats {
    uint64_t blocks, decoded, dropped, resets;
    uint64_t decoded_bytes, decode_ticks; /* of the host's time-stamp counter, as all ticks here */
} AccelStats;
extern AccelStats accel_stats;

/* accel_count - any processor's thread adds @n to a counter of those. */
static inline void accel_count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* accel_ticks - now. accel_megabytes - a second, of @bytes in so many ticks. */
static inline uint64_t accel_ticks(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}
double accel_megabytes(uint64_t bytes, uint64_t ticks);

#endif
