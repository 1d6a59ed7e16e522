/*
 * A translation in the making: shared by translate.c (the pass over a block), trans-mem.c (operands
 * in memory) and trans-flow.c (ways out).
 */
#ifndef ACCEL_JIT_TRANS_H
#define ACCEL_JIT_TRANS_H

#include "accel/jit/plan.h"
#include "accel/options.h"

/* Where the arithmetic flags are. */
typedef enum FlagsAt {
    FLAGS_HOST,
    FLAGS_SLOT,
    FLAGS_DEAD, /* nowhere: they will be set before they are read */
} FlagsAt;

/* Bytes that were checked, from the base register's value then; @sp is what it has moved since. */
#define FRAMES 4
typedef struct Frame {
    bool on, write;
    unsigned base, members;
    int64_t lo, hi, sp;
    size_t delta; /* offset in CpuState of what makes a host address of a linear one */
} Frame;

/* Code out of line. */
typedef struct Cold {
    enum {
        COLD_HELP,     /* the reference does the instruction */
        COLD_HELP_END, /* and is the end */
        COLD_EXIT,     /* a jump to @target, not linked yet */
        COLD_LEAVE,
        COLD_POLL,     /* there are requests; some do not matter now */
        COLD_FAR,      /* a jump or call to another page is not linked, or the page not where it was */
        COLD_FAR_LEAVE,
        COLD_WAY,      /* the other entry of the jump cache */
        COLD_FILL,     /* the TLB's entry, and again; or on to @slow */
        COLD_LOAD,     /* the vector or x87 registers */
        COLD_RET_FULL, /* the return stack begins anew */
        COLD_GROUP,    /* the instructions from @first on, each with its own check */
        COLD_FRAME,    /* on in a translation without frames */
        COLD_RET,      /* a RET that is not to the top of the return stack */
    } kind;
    unsigned froms;
    uint8_t *at;      /* where it is, once it is there */
    const Insn *insn;
    uint8_t *back, *once; /* FILL: try again; go on with another address */
    bool host_after;  /* HELP: the flags are wanted in the host's after it */
    const Frame *frame; /* GROUP: FRAMES of them, as they were at its beginning */
    bool vec, x87;    /* HELP: these are wanted in the host's; LOAD: which */
    bool idle, filled; /* HELP: the operand was checked before, nobody comes here; a FILL does */
    bool write, alone; /* FILL; of a group, which cannot use another address this once */
    unsigned ea, size; /* FILL: as in Tr, of @target; bytes */
    bool call;        /* FAR: @back is where it returns */
    Site *site;
    uint8_t *id, *link; /* FAR: of the site */
    struct Cold *slow; /* FILL, RET, WAY */
    const Insn *x87_last, *x87_mem; /* as in Tr */
    vaddr x87_next;
    unsigned first, last;
    FlagsAt flags_after; /* GROUP */
    vaddr target;     /* EXIT, LEAVE: linear address, which is RIP too; else of the next instruction */
    FlagsAt flags;
    uint8_t *from[8]; /* jumps here, by their displacements; not cleared */
} Cold;

#define MAX_COLD (BLOCK_INSNS * 9 + 16)

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
    bool vec_held, x87_held; /* the vector, x87 registers are in the host's for certain */
    const Insn *x87_last; /* the x87 pointers are not yet those of this one; NULL: they are */
    const Insn *x87_mem;  /* nor the operand's segment */
    vaddr x87_next;       /* behind x87_last */
    unsigned shadow;      /* instructions until interrupts are to be looked at again, after STI */
    const Insn *insn; /* the present one; its flags alive after it, and before it */
    vaddr next;       /* linear address behind it */
    uint8_t live_after, live_before;
    unsigned count;       /* of the block's instructions; what follows is translated elsewhere */
    const Plan *plans;    /* of these */
    const uint8_t *live;
    bool grouped;         /* r13 is the host address of the group's lowest byte, */
    int64_t group_off;    /* the stack pointer (or base register) being this much above that */
    int sp_owed;          /* by pushes and pops of the group; r15 has not moved by it yet */
    struct Cold *group;
    uint16_t framed; /* their base registers, bit by number */
    unsigned saves;
    const Frame *delta_here; /* whose delta is in r13 for the present instruction */
    /* What the address in r13 is, for the next check: any; off the stack pointer; a constant, or a frame's base register
     * and a constant, and not yet in r13. */
    enum { EA_ANY, EA_STACK, EA_CONST, EA_FRAME } ea;
    uint64_t ea_const;
    unsigned ea_base;
    Rm operand; /* of the last check */
    Cold cold[MAX_COLD]; /* from here on nothing is cleared for each */
    Frame frame[FRAMES], saved[BLOCK_INSNS][FRAMES]; /* the present ones; those of Cold.frame */
    unsigned colds;
} Tr;

/* ---- trans-mem.c ---- */

static inline Rm slot_of(unsigned guest)
{
    return GS_AT(offsetof(CpuState, regs) + 8 * guest);
}
/* guest_value - a guest register's value in a host register: its own, or @scratch. */
unsigned guest_value(Tr *t, unsigned guest, unsigned scratch);

/* flags_save - the flags to the slot, if they are alive and only in the host's. flags_restore - to
 * the host's. Scratch registers are kept by flags_restore(), r13 by flags_save(). */
void flags_save(Tr *t);
void flags_restore(Tr *t);

/* mem_address - r13 = linear address of the present instruction's memory operand (or of @disp from
 * the guest's register @base). */
void mem_address(Tr *t, bool moffs);
void mem_address_of(Tr *t, unsigned base, int disp);
/* mem_offset - r13 = the operand's offset in its segment. */
void mem_offset(Tr *t);
/* mem_check - r13, the address, becomes (where it is no constant) the offset in its page and r14 the page's
 * host address: t->operand; goes to @slow where the TLB does not have it. The host's flags are lost. */
void mem_check(Tr *t, unsigned size, bool write, Cold *slow);
/* mem_check_group - the same for a group, at @k where there is none for all of it; r13 becomes its host address. */
void mem_check_group(Tr *t, unsigned size, bool write, Cold *k);
/* mem_check_frame - the flags are lost; @f's bytes, to @slow if they are not all in one page that is known. */
void mem_check_frame(Tr *t, const Frame *f, Cold *slow);
/* mem_fixed - after mem_address(): r13 is the address, even where it is a constant. */
void mem_fixed(Tr *t);
/* tlb_offset, stack_offset - of a field of the TLB's entry of @page, of CpuState.tlb_stack. */
size_t tlb_offset(const Tr *t, vaddr page, size_t field);
size_t stack_offset(const Tr *t, size_t field);
#define MEM_OPERAND (t->operand)
/* mem_one - both into r13; r14 is free. */
void mem_one(Tr *t);

/* cold_new - a new piece out of line; cold_jump - a jump to it. */
Cold *cold_new(Tr *t, int kind);
void cold_jump(Tr *t, Cold *k, unsigned cc);
/* cold_help - the present instruction by the reference, and back (at k->back, set by the caller). */
Cold *cold_help(Tr *t);
Cold *cold_help_end(Tr *t);
void emit_help(Tr *t, const Insn *i, vaddr next, const uint8_t *stub, JitCause cause);

/* mem_flags - before a check: the host's flags will be lost. */
void mem_flags(Tr *t);

/* ---- translate.c ---- */
/* trans_at - make instruction @n of the block the present one. trans_insn - translate it. */
void trans_at(Tr *t, unsigned n);
void trans_insn(Tr *t, const Plan *p);

/* ---- trans-op.c ---- */
void op_insn(Tr *t, const Plan *p);
/* op_needs_r13 - PLAN_OP without memory uses r13 as scratch. */
bool op_needs_r13(const Plan *p);

/* ---- trans-group.c ---- */
/* group_begin - instructions from @n on reach memory by one base register: their one check. The last of
 * them, or 0: there is no such group. group_end - behind the last. */
unsigned group_begin(Tr *t, unsigned n);
void group_end(Tr *t);
/* group_pay - r15 becomes the stack pointer again, flags untouched. group_passes - @p does not care. */
void group_pay(Tr *t);
bool group_passes(const Tr *t, const Plan *p);
void emit_group(Tr *t, const Cold *k);

/* group_members - of the group that would begin at instruction @n, 0: none. */
unsigned group_members(const Tr *t, unsigned n);

/* ---- trans-frame.c ---- */
/* frame_begin - before instruction @n: what it and the following ones reach by its base register is checked, if there
 * is enough of it. The host's flags are lost then. frame_move - behind an instruction. */
void frame_begin(Tr *t, unsigned n);
void frame_move(Tr *t, const Plan *p);
/* frames_none - at first. frames_set - as they were once. */
void frames_none(Tr *t);
void frames_set(Tr *t, const Frame *then);
/* frame_of - the frame of so many bytes at @base plus @disp, NULL: they were not checked. frame_operand - those of the
 * present instruction were, which does not cost the flags then. */
const Frame *frame_of(const Tr *t, unsigned base, int64_t disp, unsigned size, bool write);
bool frame_operand(const Tr *t, const Plan *p);
void emit_frame(Tr *t, const Cold *k);

/* ---- trans-vec.c ---- */
void bmi_insn(Tr *t, const Plan *p);
void vec_insn(Tr *t, const Plan *p);
void vec_zero_upper(Tr *t);
/* vec_need, x87_need - these registers are in the host's from here on; the host's flags are lost. */
void vec_need(Tr *t);
void x87_need(Tr *t);

/* ---- trans-x87.c ---- */
void x87_insn(Tr *t, const Plan *p);
/* x87_pointers - what is owed to the x87 instruction and operand pointers. */
void x87_pointers(Tr *t);
void x87_pointers_of(Tr *t, const Insn *last, const Insn *mem, vaddr next);

/* ---- trans-misc.c ---- */
void div_insn(Tr *t, const Plan *p);
void bt_insn(Tr *t, const Plan *p);
void system_insn(Tr *t, const Plan *p);
/* pushf_image - the image that PUSHF pushes to JitState.tmp[0]; flags are in the slot. */
void pushf_image(Tr *t);

/* ---- trans-flow.c ---- */
/* exit_to - go on at linear address @lin, if @cc. */
void exit_to(Tr *t, unsigned cc, vaddr lin);
/* flow_insn - PLAN_JCC and the kinds behind it. */
void flow_insn(Tr *t, const Plan *p);
void poll_here(Tr *t, vaddr lin);
void emit_colds(Tr *t);
/* lookup - r13 is a linear address: r14 = index of its entry in JitWays, made from the jump cache's if need be; to
 * @miss where there is none. The host's flags are lost. */
void lookup(Tr *t, Cold *miss);
void jump_found(Tr *t);
/* compare_number - to @other unless the page of @lin has a number, which is to be written to what it returns. */
uint8_t *compare_number(Tr *t, vaddr lin, Cold *other);
void emit_leave(Tr *t, Site *s, vaddr lin, bool host);

void emit_exit(Tr *t, const Cold *k);
void emit_far(Tr *t, const Cold *k);
void emit_way(Tr *t, Cold *k);
void emit_far_leave(Tr *t, const Cold *k);

/* ---- trans-cold.c ---- */
void emit_cold(Tr *t, Cold *k);

#endif
