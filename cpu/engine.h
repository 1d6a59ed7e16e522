/*
 * What the processor asks of the engine that runs it, and the TLB maintenance that engines and
 * system instructions share. Declared here, filled in by accel/.
 */
#ifndef CPU_ENGINE_H
#define CPU_ENGINE_H

#include "cpu/cpu.h"

typedef struct EngineOps {
    /* A processor stored to a page whose tracker word is not zero, after the bytes landed. */
    void (*code_written)(CpuState *c, uint64_t ram_offset, unsigned len);
    /* Linear addresses may mean something else now: all, or one page. */
    void (*flush)(CpuState *c);
    void (*flush_page)(CpuState *c, vaddr page);
    /* Run alone: no other processor executes guest code between the two. May be nested in none. */
    void (*exclusive_begin)(CpuState *c);
    void (*exclusive_end)(CpuState *c);
    /* Wake @c out of HLT or make it look at its requests. Any thread. */
    void (*kick)(CpuState *c);
} EngineOps;

extern const EngineOps *engine_ops; /* set once before the first processor runs */

#endif
