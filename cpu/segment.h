/*
 * Segmentation: descriptors, segment register loads, far transfers, tasks, interrupts.
 * Source: Intel SDM vol. 3A, chapters 3, 5, 6 and 8 ("Task Management" in older editions 7).
 */
#ifndef CPU_SEGMENT_H
#define CPU_SEGMENT_H

#include "cpu/cpu.h"
#include "cpu/mmu.h"

/* System descriptor types. */
enum {
    SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5,
    SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS32 = 9, SYS_TSS32_BUSY = 11, SYS_CALL32 = 12,
    SYS_INT32 = 14, SYS_TRAP32 = 15,
};

typedef struct Desc {
    uint32_t lo, hi;
    uint32_t up;   /* bits 63:32 of the base or offset of a 16-byte descriptor */
    vaddr lin;     /* where it was read */
} Desc;

static inline bool real_or_vm86(const CpuState *c)
{
    return !(c->cr0 & CR0_PE) || (c->rflags & FLAG_VM);
}
static inline unsigned desc_type(const Desc *d)
{
    return d->hi >> 8 & 15;
}
static inline unsigned desc_dpl(const Desc *d)
{
    return d->hi >> 13 & 3;
}
static inline bool desc_s(const Desc *d)
{
    return d->hi >> 12 & 1;
}
static inline bool desc_present(const Desc *d)
{
    return d->hi >> 15 & 1;
}

/* desc_try - read the descriptor of @sel; false when beyond its table or the LDT is unusable. */
bool desc_try(CpuState *c, uint16_t sel, Desc *d);
/* desc_read - the same, raising @vec(sel & ~3 | ext) instead. */
void desc_read(CpuState *c, uint16_t sel, Desc *d, int vec);
/* desc_upper - read the second half of a 16-byte system descriptor; raises #GP(sel). */
void desc_upper(CpuState *c, uint16_t sel, Desc *d);
/* desc_segment - the Segment that a descriptor describes. */
Segment desc_segment(uint16_t sel, const Desc *d);
/* desc_accessed - set the accessed bit in memory if it is not. */
void desc_accessed(CpuState *c, Desc *d);

/* sel_error - error code for @sel: low bits replaced by the EXT bit of the event in delivery. */
uint32_t sel_error(const CpuState *c, uint16_t sel);

/* seg_load - MOV/POP/LxS to a segment register other than CS, in any mode. */
void seg_load(CpuState *c, unsigned seg, uint16_t sel);
/* seg_load_real - real-mode and virtual-8086 load. */
void seg_load_real(CpuState *c, unsigned seg, uint16_t sel);
/* seg_set_null - an unusable segment. */
void seg_set_null(Segment *s, uint16_t sel);
/* seg_check_outer - after a return to an outer level: unusable where DPL < CPL. */
void seg_check_outer(CpuState *c, unsigned seg);
/* load_ldt, load_tr - LLDT, LTR. */
void load_ldt(CpuState *c, uint16_t sel);
void load_tr(CpuState *c, uint16_t sel);

/* cs_load - set CS from a checked descriptor with CPL @cpl, and RIP. */
void cs_load(CpuState *c, uint16_t sel, Desc *d, unsigned cpl);

/* A stack that is pushed to or popped from before it becomes the current one. */
typedef struct Stack {
    Segment ss;
    uint64_t sp;
    uint64_t mask; /* of the stack pointer: 16, 32 or 64 bits */
    MmuMode mode;
    bool wide;     /* 64-bit mode: no segment */
    bool fresh;    /* a switched-to stack: its faults carry the selector */
} Stack;
Stack stack_current(CpuState *c);
void stack_push(CpuState *c, Stack *s, uint64_t val, unsigned size);
uint64_t stack_pop(CpuState *c, Stack *s, unsigned size);
/* stack_peek - @n bytes above the stack pointer. */
uint64_t stack_peek(CpuState *c, const Stack *s, uint64_t n, unsigned size);
/* stack_commit - the stack pointer register takes s->sp. */
void stack_commit(CpuState *c, const Stack *s);

/* inner_stack - SS:SP of level @cpl from the present TSS; checks the selector, raises #TS. */
Stack inner_stack(CpuState *c, unsigned cpl);
/* inner_stack64 - RSPn or ISTn (ist 1..7) of a 64-bit TSS. */
Stack inner_stack64(CpuState *c, unsigned cpl, unsigned ist);

void far_jump(CpuState *c, uint16_t sel, uint64_t off, unsigned opsize);
void far_call(CpuState *c, uint16_t sel, uint64_t off, unsigned opsize);
void far_return(CpuState *c, unsigned opsize, uint16_t release);
void do_iret(CpuState *c, unsigned opsize);

/* How a task is entered. */
typedef enum TaskSwitch {
    TASK_JMP,
    TASK_CALL,
    TASK_IRET,
    TASK_INT,
} TaskSwitch;
/* task_switch - to the TSS of @sel whose descriptor is @d. @ret_rip is saved as the old EIP;
 * @push_error: an error code goes onto the new stack. */
void task_switch(CpuState *c, uint16_t sel, Desc *d, TaskSwitch how, uint64_t ret_rip,
                 bool push_error, uint32_t error);

/* Kinds of interrupt, for EXT bit, DPL checks and return address. */
typedef enum IntKind {
    INT_EXTERNAL, /* INTR and NMI */
    INT_FAULT,    /* processor exceptions */
    INT_SOFT,     /* INT n */
    INT_SOFT_EXC, /* INT3, INTO */
    INT_ICEBP,    /* INT1: like a software one, without DPL check */
} IntKind;

/* interrupt_deliver - through the IDT (or the real-mode table); @ret_rip is pushed. Raises what
 * delivery raises. */
void interrupt_deliver(CpuState *c, unsigned vector, IntKind kind, bool has_error, uint32_t error,
                       uint64_t ret_rip);
/* exception_dispatch - deliver the exception in c->exc_*, after cpu_raise() unwound: escalates to
 * double and triple fault. */
void exception_dispatch(CpuState *c);

#endif
