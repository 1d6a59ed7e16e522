/*
 * The translator: hot blocks of the reference's cache as host code.
 *
 * A translation (Trans) belongs to a decoded block (accel/interp/block.h) at one linear address, in
 * one mode (its key). The guest's general registers are in the host's own while it runs, see emit.h;
 * all else is in CpuState, which the GS segment's base points to. Every access to guest memory goes
 * through CpuState.tlb by one compare; where it does not match, the reference executes that one
 * instruction. So nothing is addressed but CpuState and what the TLB holds.
 *
 * Arithmetic flags are in the host's flags or in JitState.flags ("the slot"), statically known at
 * each instruction; a translation has an entry for each of the two.
 */
#ifndef ACCEL_JIT_JIT_H
#define ACCEL_JIT_JIT_H

#include "accel/interp/block.h"
#include "accel/jit/emit.h"

struct Error;

/* A jump between translations of one page, to be linked when its target is known. */
typedef struct Site {
    struct Site *next;   /* of the target's incoming */
    uint8_t *disp;       /* of the jump, in the writable view */
    const uint8_t *stub; /* where it goes unlinked, likewise */
    const uint8_t *page; /* host address of the code page */
    vaddr target;
    bool host_flags;
} Site;

typedef struct Trans {
    struct Trans *next; /* of the block */
    Site *incoming;
    vaddr lin;
    uint32_t key;
    uint8_t *host_entry, *slot_entry; /* by where the flags are; writable view */
} Trans;

typedef struct Jit {
    uint8_t *rw, *rx;        /* two views of one memory: writable, executable */
    size_t size;
    uint8_t *at;             /* next free byte; rw */
    uint8_t *first;          /* first byte behind the stubs */
    uint8_t *records;        /* Trans and Site */
    size_t used;
    uint32_t gen;            /* upper part of JitState.stamp */
    uint32_t key;            /* of the translation that runs */
    uint32_t mode_key;
    MmuMode mmu;
    bool bmi2, strict;
    /* stubs, rw */
    uint8_t *enter, *help, *help_end, *leave, *link_host, *link_slot, *zero_upper;
} Jit;

#define JIT_ROOM (64u << 10) /* more than one translation takes */

/* ---- cache.c ---- */
bool jit_cache_init(CpuState *c, struct Error **errp);
void jit_cache_fini(Jit *j);
void jit_cache_reset(Jit *j);
bool jit_cache_full(const Jit *j);
void *jit_record(Jit *j, size_t n);
void jit_stubs(CpuState *c, Jit *j);
static inline void *jit_rx(const Jit *j, const uint8_t *rw)
{
    return j->rx + (rw - j->rw);
}

/* ---- helper.c, called from translated code ---- */

/* jit_help - the reference executes @i; @next is RIP behind it. True: leave translated code. */
bool jit_help(CpuState *c, const Insn *i, uint64_t next);

/* ---- translate.c ---- */

/* jit_translate - a translation of @b at @lin in the present mode. NULL: not of this block. */
Trans *jit_translate(CpuState *c, Block *b, vaddr lin);

/* The key's parts. */
#define KEY_64 1u
#define KEY_MMU_SHIFT 1
#define KEY_SSE (1u << 8) /* SSE (AVX) instructions are allowed and their exceptions masked */
#define KEY_AVX (1u << 9)
#define KEY_BITS 10
#define KEY_SEG_SHIFT 3 /* bit n: segment n is flat (FS, GS: but for its base); bits 7:3 */

/* jit_vec_key - KEY_SSE and KEY_AVX as of now. */
static inline uint32_t jit_vec_key(const CpuState *c)
{
    if ((c->cr0 & (CR0_EM | CR0_TS)) || !(c->cr4 & CR4_OSFXSR) || (c->mxcsr & 0x1f80) != 0x1f80) {
        return 0;
    }
    return (c->cr4 & CR4_OSXSAVE) && (c->xcr0 & 7) == 7 ? KEY_SSE | KEY_AVX : KEY_SSE;
}

/* The host's MXCSR: the guest's while its code runs. */
#define MXCSR_HOST 0x1f80u
static inline void mxcsr_set(uint32_t v)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
}
static inline uint32_t mxcsr_get(void)
{
    uint32_t v;

    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

/* CpuState.jit.flags to RFLAGS and back. */
static inline uint16_t slot_of_flags(uint64_t f)
{
    return (uint16_t)((f & 0xd5) << 8 | (f & FLAG_OF ? 1 : 0));
}
static inline uint64_t flags_of_slot(uint16_t s)
{
    return (s >> 8 & 0xd5) | (s & 1 ? FLAG_OF : 0);
}

static inline unsigned jit_jump_index(vaddr lin)
{
    return (unsigned)(lin ^ lin >> PAGE_SHIFT) & (JUMP_SIZE - 1);
}

/* jit_run_once - the translation at CS:RIP, made if need be, until it leaves its code: tests. Faults
 * go to fault_env. False: there is none in this mode. Flags are exact at faults with jit_strict. */
bool jit_run_once(CpuState *c);
extern bool jit_strict; /* tests: flags are exact at every fault and look around */

#endif
