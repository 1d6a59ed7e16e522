/*
 * What the processor asks of the engine that runs it, and the TLB maintenance that engines and
 * system instructions share. Declared here, filled in by accel/.
 */
#ifndef CPU_ENGINE_H
#define CPU_ENGINE_H

#include "bus/memory.h"
#include "cpu/cpu.h"

typedef struct EngineOps {
    /* A processor stored to a page that holds code, after the bytes landed. */
    void (*code_written)(CpuState *c, uint64_t ram_offset, unsigned len);
    /* Linear addresses may mean something else now: all (or all but global pages'), or one page. */
    void (*flush)(CpuState *c, bool global);
    void (*flush_page)(CpuState *c, vaddr page);
    /* CR3 names another address space, @space with its PCID in bits 11:0; what was known of it may be used
     * again if @keep. */
    void (*switch_space)(CpuState *c, uint64_t space, bool keep);
    /* Run alone: no other processor executes guest code between the two. May be nested in none. */
    void (*exclusive_begin)(CpuState *c);
    void (*exclusive_end)(CpuState *c);
    /* Wake @c out of HLT or make it look at its requests. Any thread. */
    void (*kick)(CpuState *c);
} EngineOps;

extern const EngineOps *engine_ops; /* set once before the first processor runs */

/* engine_stored - a processor stored @n bytes of one page of RAM, which have landed. */
static inline void engine_stored(CpuState *c, uint64_t ram, unsigned n)
{
    uint32_t word = __atomic_load_n(ram_tracker(ram), __ATOMIC_RELAXED);

    if (__builtin_expect(word != 0, 0)) {
        dirty_mark(ram, n);
        if (word & TRACK_CODE_MASK) {
            engine_ops->code_written(c, ram, n);
        }
    }
}

/* Watchpoints of the debugger, on linear addresses; changed only while all processors are paused. */
#define ENGINE_WATCHES 16
typedef struct EngineWatch {
    vaddr addr;
    uint64_t len;
    bool on_read, on_write;
} EngineWatch;
extern EngineWatch engine_watches[ENGINE_WATCHES];
extern unsigned engine_watch_count;

/* PENDING_WATCH - bit in CpuState.pending_db: a debugger's watchpoint was hit, at watch_addr. */
#define PENDING_WATCH (1u << 31)

/* More than one processor: LOCK means something. Constant after start-up. */
extern bool cpu_many;

#endif
