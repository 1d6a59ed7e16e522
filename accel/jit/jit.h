/*
 * The translator: hot blocks of the reference's cache as host code.
 *
 * A translation (Trans) belongs to a decoded block (accel/interp/block.h) at one linear address, in
 * one mode (its key). The guest's general registers are in the host's own while it runs, see emit.h;
 * all else is in CpuState, by its address or the GS segment's base. Every access to guest memory goes
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
#include "accel/options.h"

struct Error;

/* A jump between translations, to be linked when its target is known. Into another page it compares the
 * page's number before. */
typedef struct Site {
    struct Site *next;   /* of the target's incoming */
    struct Site *region_next;
    struct Trans *linked;
    uint8_t *disp;       /* of the jump, in the writable view */
    const uint8_t *stub; /* where it goes unlinked, likewise */
    const uint8_t *page; /* host address of the code page */
    uint8_t *id; /* the number, in the writable view; NULL: within a page */
    vaddr target;
    uint32_t key;
    bool host_flags;
    bool frameless; /* the target is to be a translation without frames */
} Site;

/* The number of a linear page of code at a host address in one mode. Another that hashes to the same entry gets
 * a new number. */
typedef struct PageId {
    vaddr page;
    const uint8_t *host;
    uint32_t key, id;
} PageId;
#define PAGE_ID_NONE 0xffffffffu
#define PAGE_ID_HASH 8192u

typedef struct Trans {
    struct Trans *next; /* of the block */
    struct Trans *region_next;
    Block *block; /* NULL: dropped */
    uint8_t *code, *cold; /* where it is, writable view */
    uint32_t code_bytes, cold_bytes;
    uint64_t runs; /* with x-count=on */
    Site *incoming;
    vaddr lin;
    uint32_t key;
    bool frameless; /* nothing but a Site goes there */
    uint8_t *host_entry, *slot_entry; /* by where the flags are; writable view */
    uint8_t *entry; /* from C: the flags are in the slot */
    uint8_t *guard[2]; /* of code in two pages: their numbers, in the writable view */
} Trans;

/* A part of the code cache, which is evicted as one: its code, its code out of line, its records. */
#define REGIONS 8
typedef struct Region {
    Trans *trans;
    Site *sites;
} Region;

/* An address space while it is another's turn. */
#define SPACES 12
typedef struct Space {
    uint64_t cr3, used;
    uint32_t gen; /* of Jit.gen[1]; 0: nothing is known */
    uint32_t key;
    uint32_t ids[PAGE_IDS]; /* JitState.page_id[MMU_USER], in the mode @key */
} Space;

/* Jit.stack_fill by mode, is it a write, and stack_class() of its bytes. */
enum { STACK_SIZES = 5 };
static inline unsigned stack_class(unsigned size)
{
    return size <= 8 ? 0 : size <= 64 ? 1 : size <= 128 ? 2 : size <= 256 ? 3 : 4;
}

typedef struct Jit {
    uint8_t *rw, *rx;        /* two views of one memory: writable, executable */
    size_t size;
    uint32_t state;          /* Emit.state */
    uint8_t *at, *cold_at;   /* next free bytes, of code and of what is out of line; rw */
    uint8_t *first, *first_cold; /* first bytes behind the stubs */
    uint64_t huge;           /* chunks of HUGE_BYTES that were made huge pages */
    uint8_t *records;        /* Trans and Site */
    size_t used, record_bytes;
    Region region[REGIONS];
    unsigned regions, now;   /* how many; the one that code is added to */
    uint64_t evictions;      /* of regions */
    uint64_t code_bytes, cold_bytes; /* ever made */
    uint32_t gen[2];         /* upper part of JitState.stamp: supervisor code's, user code's */
    uint32_t last_gen;
    Space spaces[SPACES];
    uint64_t space_turns;
    uint32_t table_key[MMU_MODES]; /* the mode that page_id[] is of; KEY_NONE: it is clear */
    uint64_t space;
    bool super_local;        /* supervisor code was entered in a page that is not global, or is_upper() */
    uint64_t ret_saved[MMU_MODES]; /* JitState.ret_sp and ret_stamp by mode */
    uint32_t ret_stamps[MMU_MODES];
    uint32_t key;            /* of the translations that run */
    uint32_t mode_key;
    MmuMode mmu;
    bool bmi2, strict, alone; /* alone: tests; translations do not go on to others */
    bool avx;                /* the host has it */
    bool counting;           /* code counts instructions, and is left after a number of looks around */
    uint32_t vec_keys;       /* of KEY_VEC, what is translated at all */
    uint32_t last_id;
    PageId ids[PAGE_ID_HASH];
    uint8_t *ret_stack;
    uint64_t *helps;         /* calls of the reference, [cause][row] */
    uint64_t pages[256];     /* filter: pages with a number in page_id[], see jit_page_bits() */
    uint64_t starts[32768];  /* filter: host addresses where a translation begins */
    const FlatRange *last_range; /* where a page table was found last; NULL: nowhere, or in an old view */
    uint64_t translations, bytes, ticks, leaves, misses; /* bytes of guest code; ticks that translating it took */
    /* stubs, rw */
    uint8_t *enter, *leave, *help, *help_host, *help_end, *link_host, *link_slot, *fill_at[2], *fill[MMU_MODES][2],
        *stack_fill[MMU_MODES][2][STACK_SIZES],
        *load_vec, *load_x87, *string, *ret_miss, *way[MMU_MODES];
} Jit;

#define RET_BYTES (32u << 10) /* of a return stack */
#define JIT_ROOM (64u << 10) /* more than one translation takes */

/* jit_ret_base - the bottom of a mode's return stack. */
static inline uint8_t *jit_ret_base(const Jit *j, MmuMode mmu)
{
    return j->ret_stack + PAGE_SIZE + RET_BYTES * (mmu + 1) - 16;
}

/* Why the reference was called: it alone knows the instruction; the TLB has no fast path to the operand;
 * the target of a jump is not known. */
typedef enum JitCause { CAUSE_INSN, CAUSE_MEMORY, CAUSE_JUMP, JIT_CAUSES } JitCause;

/* ---- cache.c ---- */
bool jit_cache_init(CpuState *c, struct Error **errp);
void jit_cache_fini(Jit *j);
/* jit_cache_full - the present region is. jit_cache_next - to the next one, the oldest, which the caller has
 * evicted. */
bool jit_cache_full(const Jit *j);
void jit_cache_next(Jit *j);
/* jit_cache_ahead - before a translation is made. */
void jit_cache_ahead(Jit *j);
Trans *jit_new_trans(Jit *j);
Site *jit_new_site(Jit *j);
static inline void *jit_rx(const Jit *j, const uint8_t *rw)
{
    return j->rx + (rw - j->rw);
}

/* ---- stubs.c ---- */

/* host_reg - the host's register of a guest's that has one: not r9 to r11, which compilers use least. */
static inline unsigned host_reg(unsigned guest)
{
    return guest == GPR_RSP ? H_SP : guest >= GPR_R13 && guest <= GPR_R15 ? guest - 4 : guest;
}
void jit_stubs(CpuState *c, Jit *j);
/* jit_tlb_index - r14 = offset of the entry of r13 in a bank of the TLB; with RORX or without. */
void jit_tlb_index(Emit *e, bool bmi2);

/* ---- helper.c, called from translated code with everything in CpuState ---- */

/* jit_help - the reference executes the instruction at @i (a pointer, and its cause in bits 2:0); @next
 * is RIP behind it. True: leave translated code. */
bool jit_help(CpuState *c, uint64_t i, uint64_t next);
/* jit_help_end - the same at the end of a translation: where to go on, NULL to leave. */
const void *jit_help_end(CpuState *c, uint64_t i, uint64_t next);
/* jit_next - where to go on at CS:RIP, NULL to leave; the jump by which code was left is linked. */
const void *jit_next(CpuState *c);

/* ---- gpr.c, called with the vector and x87 registers in the host's ---- */

/* jit_fill - what an access to @lin needs that had no TLB entry: it has one now; or the reference must
 * see it; or JitState.once holds what to use for this access alone. */
enum { FILL_NONE, FILL_AGAIN, FILL_ONCE };
unsigned jit_fill(CpuState *c, vaddr lin, uint64_t write);
/* jit_fill_stack - the same for CpuState.tlb_stack. */
unsigned jit_fill_stack(CpuState *c, vaddr lin, uint64_t write);
/* jit_x87_pack, jit_x87_unpack - CpuState to JitState.x87 and back. */
void jit_x87_pack(CpuState *c);
void jit_x87_unpack(CpuState *c);
/* jit_string - MOVS, CMPS, STOS, LODS, SCAS with 32- or 64-bit addresses, repeated or not. */
enum { STRING_DONE, STRING_HELP, STRING_LEAVE }; /* HELP: the reference does what is left */
unsigned jit_string(CpuState *c, const Insn *i, uint64_t next);

/* ---- stamp.c ---- */
void jit_clear_jumps(CpuState *c);
/* jit_clear_ways - nothing is found at once in @mmu any more. */
void jit_clear_ways(CpuState *c, MmuMode mmu);
/* jit_set_stamp - JitState.stamp of @key now. */
void jit_set_stamp(CpuState *c, uint32_t key);
/* jit_new_generation - nothing that is known of user code (and @all: of supervisor code) is valid any more. */
void jit_new_generation(CpuState *c, bool all);
/* jit_page_bits - the word and *bit of Jit.pages that stand for a page, among others. */
uint64_t *jit_page_bits(Jit *j, vaddr lin, uint64_t *bit);
/* jit_is_upper - where kernels use to be, with 64-bit addresses and with 32-bit ones. */
bool jit_is_upper(vaddr lin);
void jit_flush(CpuState *c, bool global);
void jit_flush_page(CpuState *c, vaddr page);
void jit_switch_space(CpuState *c, uint64_t space, bool keep);

/* ---- jit.c ---- */

/* jit_find - the translation to go on with at CS:RIP, or NULL. Raises fetch faults. */
const void *jit_find(CpuState *c);
/* jit_known - what begins @off bytes into @b, at @lin, is translated in the present mode. */
bool jit_known(CpuState *c, const Block *b, unsigned off, vaddr lin);
/* jit_info - for `info jit`. */
void jit_info(CpuState *c, FILE *out);

/* ---- show.c ---- */

/* jit_log_out - for -d out_asm. jit_info_hot - for `info jit -v`. */
void jit_log_out(CpuState *c, const Trans *t);
void jit_info_hot(CpuState *c, FILE *out);
/* jit_perf_open - -perfmap's file, if asked for. jit_perf_note - @n bytes at @rw are @what of @lin. */
bool jit_perf_open(struct Error **errp);
void jit_perf_note(const Jit *j, const uint8_t *rw, size_t n, const char *what, uint64_t lin);

/* ---- translate.c ---- */

/* jit_translate - a translation of @b at @lin in the present mode; @frameless: see trans-frame.c. NULL: not of this
 * block. */
Trans *jit_translate(CpuState *c, Block *b, vaddr lin, bool frameless);

/* The key's parts. */
#define KEY_64 1u
#define KEY_MMU_SHIFT 1
#define KEY_SSE (1u << 8) /* SSE (AVX) instructions are allowed and their exceptions masked */
#define KEY_AVX (1u << 9)
#define KEY_X87 (1u << 10) /* so are x87 and MMX instructions */
#define KEY_CPL0 (1u << 11)
#define KEY_BITS 12
#define KEY_NONE (1u << KEY_BITS)
#define KEY_SEG_SHIFT 3 /* bit n: segment n is flat (FS, GS: but for its base); bits 7:3 */
#define KEY_VEC (KEY_SSE | KEY_AVX | KEY_X87)

/* jit_vec_key - KEY_SSE, KEY_AVX and KEY_X87 as of now. */
static inline uint32_t jit_vec_key(const CpuState *c)
{
    uint32_t key = 0;

    if (c->cr0 & (CR0_EM | CR0_TS)) {
        return 0;
    }
    if ((c->fcw & 0x3f) == 0x3f && !(c->fsw & 0x80)) {
        key |= KEY_X87;
    }
    if ((c->cr4 & CR4_OSFXSR) && (c->mxcsr & 0x1f80) == 0x1f80) {
        key |= (c->cr4 & CR4_OSXSAVE) && (c->xcr0 & 7) == 7 ? KEY_SSE | KEY_AVX : KEY_SSE;
    }
    return key & c->jit.cpu->vec_keys;
}

#define MXCSR_HOST 0x1f80u

/* CpuState.jit.flags to RFLAGS and back. */
static inline uint16_t slot_of_flags(uint64_t f)
{
    return (uint16_t)((f & 0xd5) << 8 | (f & FLAG_OF ? 1 : 0));
}
static inline uint64_t flags_of_slot(uint16_t s)
{
    return (s >> 8 & 0xd5) | (s & 1 ? FLAG_OF : 0);
}

static inline MmuMode key_mmu(uint32_t key)
{
    return (MmuMode)(key >> KEY_MMU_SHIFT & 3);
}

/* key_user - the key is that of user code (CPL 3), an index to what is kept twice. */
static inline unsigned key_user(uint32_t key)
{
    return key_mmu(key) == MMU_USER || key_mmu(key) == MMU_USER_AC;
}

/* jit_jump_good - the entry of the jump cache is valid in the present mode. */
static inline bool jit_jump_good(const CpuState *c, const JitJump *e)
{
    uint32_t now;

    memcpy(&now, (const uint8_t *)c->jit.page_id[c->jit.cpu->mmu] + e->slot, sizeof(now));
    return now == e->id;
}

/* jit_page_slot - of JitState.page_id[]. */
static inline unsigned jit_page_slot(vaddr lin)
{
    return (unsigned)(lin >> PAGE_SHIFT ^ lin >> (PAGE_SHIFT + 11)) & (PAGE_IDS - 1);
}

static inline unsigned jit_jump_index(vaddr lin)
{
    return (unsigned)(lin ^ lin >> PAGE_SHIFT) & (JUMP_SIZE - 1);
}

/* jit_way_index - of JitWays.lin[]. jit_way_none - an address that does not belong there. */
#define WAY_HASH 0x9e3779b1u
static inline unsigned jit_way_index(vaddr lin)
{
    return (uint32_t)lin * WAY_HASH >> (32 - WAY_BITS);
}
static inline vaddr jit_way_none(unsigned n)
{
    return n == 0; /* 0 belongs to entry 0, 1 does not */
}

/* jit_run_once - the translation at CS:RIP, made if need be, until it leaves its code: tests. @alone:
 * it goes on to no other that has to be looked for. Faults
 * go to fault_env. False: there is none in this mode. Flags are exact at faults with jit_strict. */
bool jit_run_once(CpuState *c, bool alone);
/* jit_chain - run translated code from CS:RIP on until it is left after @polls looks around, for accel/lockstep:
 * all code is translated at its first sight. False: none can be in this mode, nothing was done. */
bool jit_chain(CpuState *c, unsigned polls);
/* jit_mode - code can be translated in the present mode. */
bool jit_mode(const CpuState *c);
/* jit_counting - before the first: code counts in CpuState.jit.count. */
void jit_counting(CpuState *c);
extern bool jit_strict; /* tests: flags are exact at every fault and look around */
extern unsigned jit_hot; /* runs by the reference before a block is translated; tests: 0 */

#endif
