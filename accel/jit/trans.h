/*
 * A translation in the making: shared by translate.c (the pass over a block), trans-mem.c (operands
 * in memory) and trans-flow.c (ways out).
 */
#ifndef ACCEL_JIT_TRANS_H
#define ACCEL_JIT_TRANS_H

#include "accel/jit/plan.h"

/* Where the arithmetic flags are. */
typedef enum FlagsAt {
    FLAGS_HOST,
    FLAGS_SLOT,
    FLAGS_DEAD, /* nowhere: they will be set before they are read */
} FlagsAt;

/* Code out of line. */
typedef struct Cold {
    enum { COLD_HELP, COLD_HELP_END, COLD_EXIT, COLD_LEAVE } kind;
    uint8_t *from[3]; /* jumps here, by their displacements */
    unsigned froms;
    const Insn *insn; /* HELP */
    uint8_t *back;
    bool host_after;  /* the flags are wanted in the host's after it */
    vaddr target;     /* EXIT, LEAVE: linear address, which is RIP too */
    FlagsAt flags;
    uint16_t x_dirty, x_dirty_whole; /* vector registers to be stored before the help */
    uint16_t x_held, x_whole;        /* and loaded after it */
} Cold;

#define MAX_COLD (BLOCK_INSNS * 2 + 8)

typedef struct Tr {
    Emit e; /* first: emitters take it */
    CpuState *c;
    Jit *j;
    Block *b;
    Trans *t;
    bool code64;
    MmuMode mmu;
    FlagsAt flags;
    bool polled;
    uint16_t x_held, x_whole, x_dirty; /* vector registers in the host's; with 256 bits; newer there */
    const Insn *insn; /* the present one; its flags alive after it, and before it */
    vaddr next;       /* linear address behind it */
    uint8_t live_after, live_before;
    Cold cold[MAX_COLD];
    unsigned colds;
} Tr;

/* ---- trans-mem.c ---- */

static inline bool in_slot(unsigned guest)
{
    return guest >= GPR_R13 && guest <= GPR_R15;
}
static inline Rm slot_of(unsigned guest)
{
    return GS_AT(offsetof(CpuState, regs) + 8 * guest);
}
/* host_reg - the host's register of a guest's that has one. */
static inline unsigned host_reg(unsigned guest)
{
    return guest == GPR_RSP ? H_SP : guest;
}
/* guest_value - a guest register's value in a host register: its own, or @scratch. */
unsigned guest_value(Tr *t, unsigned guest, unsigned scratch);

/* flags_save - the flags to the slot, if they are alive and only in the host's. flags_restore - to
 * the host's. Scratch registers are kept by flags_restore(), not by flags_save(). */
void flags_save(Tr *t);
void flags_restore(Tr *t);
void emit_flags_restore(Tr *t);
void emit_flags_save(Tr *t);

/* mem_address - r13 = linear address of the present instruction's memory operand (or of @disp from
 * the guest's register @base). */
void mem_address(Tr *t, bool moffs);
void mem_address_of(Tr *t, unsigned base, int disp);
/* mem_check - r13, an address, becomes the offset in its page and r14 the page's host address; goes
 * to @slow where the TLB does not have it. The host's flags are lost. */
void mem_check(Tr *t, unsigned size, bool write, Cold *slow);
#define MEM_OPERAND MEM(H_S1, H_S2, 0, 0)
/* mem_one - both into r13; r14 is free. */
void mem_one(Tr *t);

/* cold_new - a new piece out of line; cold_jump - a jump to it. */
Cold *cold_new(Tr *t, int kind);
void cold_jump(Tr *t, Cold *k, unsigned cc);
/* cold_help - the present instruction by the reference, and back (at k->back, set by the caller). */
Cold *cold_help(Tr *t);
Cold *cold_help_end(Tr *t);
void emit_help(Tr *t, const Insn *i, vaddr next, bool end);

/* mem_flags - before a check: the host's flags will be lost. */
void mem_flags(Tr *t);

/* ---- trans-vec.c ---- */
void bmi_insn(Tr *t, const Plan *p);
void vec_insn(Tr *t, const Plan *p);
void vec_zero_upper(Tr *t);
/* vec_store, vec_load - registers by bit, of 128 and of 256 bits. vec_spill - what is newer in the
 * host's. vec_forget - and hold none. */
void vec_store(Tr *t, uint16_t half, uint16_t whole);
void vec_load(Tr *t, uint16_t half, uint16_t whole);
void vec_spill(Tr *t);
void vec_forget(Tr *t);

/* ---- trans-flow.c ---- */
/* exit_to - go on at linear address @lin, if @cc. */
void exit_to(Tr *t, unsigned cc, vaddr lin);
/* flow_insn - PLAN_JCC and the kinds behind it. */
void flow_insn(Tr *t, const Plan *p);
void poll_here(Tr *t, vaddr lin);
void emit_colds(Tr *t);

#endif
