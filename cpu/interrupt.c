/*
 * Interrupt and exception delivery. Source: Intel SDM vol. 3A, chapter 6 "Interrupt and Exception
 * Handling" ("Error Code", "Exception and interrupt priority", "64-bit mode", table 6-5 for double
 * faults); vol. 2, INT n; vol. 3B, "Virtual-8086 Mode Extensions".
 */
#include "cpu/segment.h"

#include "base/log.h"
#include "cpu/flags.h"
#include "cpu/tape.h"

static bool is_soft(IntKind k)
{
    return k == INT_SOFT || k == INT_SOFT_EXC;
}

static void idt_fault(CpuState *c, unsigned vector)
{
    cpu_raise_err(c, EXC_GP, vector * 8 + 2 + (c->ext_event ? 1 : 0));
}

static void deliver_real(CpuState *c, unsigned vector, uint64_t ret_rip)
{
    Stack s = stack_current(c);
    uint32_t vec;

    if (vector * 4 + 3 > c->idtr.limit) {
        cpu_raise_err(c, EXC_GP, vector * 8 + 2);
    }
    vec = sys_ld32(c, c->idtr.base + vector * 4);
    stack_push(c, &s, rflags_get(c), 2);
    stack_push(c, &s, c->segs[SEG_CS].selector, 2);
    stack_push(c, &s, ret_rip, 2);
    stack_commit(c, &s);
    c->rflags &= ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    seg_load_real(c, SEG_CS, (uint16_t)(vec >> 16));
    c->regs[GPR_RIP] = vec & 0xffff;
    cpu_update_mode(c);
}

/* INT n in virtual-8086 mode with CR4.VME and the redirection bit clear: like real mode. */
static void deliver_vme(CpuState *c, unsigned vector, uint64_t ret_rip)
{
    uint32_t vec = sys_ld16(c, vector * 4) | (uint32_t)sys_ld16(c, vector * 4 + 2) << 16;
    Stack s = stack_current(c);
    uint64_t fl = rflags_get(c);
    bool virtual_if = (fl & FLAG_IOPL) != FLAG_IOPL;

    if (virtual_if) {
        fl = (fl & ~FLAG_IF) | FLAG_IOPL | (fl & FLAG_VIF ? FLAG_IF : 0);
    }
    stack_push(c, &s, fl, 2);
    stack_push(c, &s, c->segs[SEG_CS].selector, 2);
    stack_push(c, &s, ret_rip, 2);
    stack_commit(c, &s);
    c->rflags &= ~((virtual_if ? FLAG_VIF : FLAG_IF) | FLAG_TF);
    seg_load_real(c, SEG_CS, (uint16_t)(vec >> 16));
    c->regs[GPR_RIP] = vec & 0xffff;
    cpu_update_mode(c);
}

/* True when the TSS's redirection bitmap sends @vector to the virtual-8086 program. */
static bool vme_redirects(CpuState *c, unsigned vector)
{
    uint16_t iomap;

    if ((c->tr.attr & ATTR_TYPE) != SYS_TSS32_BUSY || c->tr.limit < 0x67) {
        return false;
    }
    iomap = sys_ld16(c, c->tr.base + 0x66);
    if (iomap < 32u || iomap - 32u + vector / 8 > c->tr.limit) {
        return false;
    }
    return !(sys_ld8(c, c->tr.base + iomap - 32 + vector / 8) >> (vector & 7) & 1);
}

typedef struct IdtGate {
    uint16_t sel;
    uint64_t off;
    unsigned type, ist;
} IdtGate;

static void read_idt(CpuState *c, unsigned vector, IntKind kind, IdtGate *g)
{
    bool lm = (c->efer & EFER_LMA) != 0;
    unsigned width = lm ? 16 : 8, type;
    uint32_t lo, hi;
    vaddr at = c->idtr.base + vector * width;

    if (vector * width + width - 1 > c->idtr.limit) {
        idt_fault(c, vector);
    }
    lo = sys_ld32(c, at);
    hi = sys_ld32(c, at + 4);
    type = hi >> 8 & 0x1f;
    if (lm ? type != SYS_INT32 && type != SYS_TRAP32
           : type != SYS_TASK_GATE && type != SYS_INT16 && type != SYS_TRAP16 &&
                 type != SYS_INT32 && type != SYS_TRAP32) {
        idt_fault(c, vector);
    }
    if (is_soft(kind) && (hi >> 13 & 3) < c->cpl) {
        idt_fault(c, vector);
    }
    if (!(hi & 0x8000)) {
        cpu_raise_err(c, EXC_NP, vector * 8 + 2 + (c->ext_event ? 1 : 0));
    }
    g->type = type;
    g->sel = (uint16_t)(lo >> 16);
    g->off = (lo & 0xffff) | (hi & 0xffff0000u);
    g->ist = 0;
    if (lm) {
        g->off |= (uint64_t)sys_ld32(c, at + 8) << 32;
        g->ist = hi & 7;
    } else if (!(type & 8)) {
        g->off &= 0xffff;
    }
}

static void deliver_task_gate(CpuState *c, const IdtGate *g, bool has_error, uint32_t error,
                              uint64_t ret_rip)
{
    unsigned type;
    Desc d;

    if (g->sel & 4) {
        cpu_raise_err(c, EXC_GP, sel_error(c, g->sel));
    }
    desc_read(c, g->sel, &d, EXC_GP);
    type = desc_type(&d);
    if (desc_s(&d) || (type != SYS_TSS16 && type != SYS_TSS32)) {
        cpu_raise_err(c, EXC_GP, sel_error(c, g->sel));
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, g->sel));
    }
    task_switch(c, g->sel, &d, TASK_INT, ret_rip, has_error, error);
    if (c->regs[GPR_RIP] > c->segs[SEG_CS].limit) {
        cpu_gp0(c);
    }
}

static void push_frame(CpuState *c, Stack *s, unsigned size, bool with_stack, bool has_error,
                       uint32_t error, uint64_t ret_rip)
{
    if (c->rflags & FLAG_VM) {
        stack_push(c, s, c->segs[SEG_GS].selector, size);
        stack_push(c, s, c->segs[SEG_FS].selector, size);
        stack_push(c, s, c->segs[SEG_DS].selector, size);
        stack_push(c, s, c->segs[SEG_ES].selector, size);
    }
    if (with_stack) {
        stack_push(c, s, c->segs[SEG_SS].selector, size);
        stack_push(c, s, c->regs[GPR_RSP], size);
    }
    stack_push(c, s, rflags_get(c), size);
    stack_push(c, s, c->segs[SEG_CS].selector, size);
    stack_push(c, s, ret_rip, size);
    if (has_error) {
        stack_push(c, s, error, size);
    }
}

/* The gate's code segment, checked; returns the CPL of the handler. */
static unsigned gate_target(CpuState *c, const IdtGate *g, Desc *d)
{
    bool lm = (c->efer & EFER_LMA) != 0;
    unsigned dpl;

    if ((g->sel & ~3) == 0) {
        cpu_raise_err(c, EXC_GP, c->ext_event ? 1 : 0);
    }
    desc_read(c, g->sel, d, EXC_GP);
    dpl = desc_dpl(d);
    if (!desc_s(d) || !(desc_type(d) & ATTR_CODE) || dpl > c->cpl) {
        cpu_raise_err(c, EXC_GP, sel_error(c, g->sel));
    }
    if (lm && (!(d->hi >> 21 & 1) || (d->hi >> 22 & 1))) {
        cpu_raise_err(c, EXC_GP, sel_error(c, g->sel));
    }
    if (!desc_present(d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, g->sel));
    }
    if ((c->rflags & FLAG_VM) && ((desc_type(d) & ATTR_DOWN) || dpl != 0)) {
        cpu_raise_err(c, EXC_GP, sel_error(c, g->sel));
    }
    return desc_type(d) & ATTR_DOWN ? c->cpl : dpl;
}

static void deliver_protected(CpuState *c, unsigned vector, IntKind kind, bool has_error,
                              uint32_t error, uint64_t ret_rip)
{
    bool lm = (c->efer & EFER_LMA) != 0, vm = (c->rflags & FLAG_VM) != 0, switched;
    unsigned cpl, size;
    IdtGate g;
    Stack s;
    Desc d;

    read_idt(c, vector, kind, &g);
    if (g.type == SYS_TASK_GATE) {
        deliver_task_gate(c, &g, has_error, error, ret_rip);
        return;
    }
    cpl = gate_target(c, &g, &d);
    switched = cpl < c->cpl || g.ist != 0;
    size = lm ? 8 : g.type & 8 ? 4 : 2;
    if (switched) {
        s = lm ? inner_stack64(c, cpl, g.ist) : inner_stack(c, cpl);
    } else {
        s = stack_current(c);
    }
    if (lm) {
        s.wide = true;
        s.mask = ~0ull;
        s.sp &= ~15ull;
    }
    push_frame(c, &s, size, switched || lm, has_error, error, ret_rip);
    if (lm ? !canonical(g.off) : (uint32_t)g.off > desc_segment(0, &d).limit) {
        cpu_raise_err(c, EXC_GP, c->ext_event ? 1 : 0);
    }
    if (switched && (cpl < c->cpl || !lm)) {
        c->segs[SEG_SS] = s.ss;
    }
    c->rflags &= ~(FLAG_TF | FLAG_VM | FLAG_RF | FLAG_NT);
    if (!(g.type & 1)) {
        c->rflags &= ~FLAG_IF;
    }
    if (vm) {
        seg_set_null(&c->segs[SEG_DS], 0);
        seg_set_null(&c->segs[SEG_ES], 0);
        seg_set_null(&c->segs[SEG_FS], 0);
        seg_set_null(&c->segs[SEG_GS], 0);
    }
    cs_load(c, g.sel, &d, cpl);
    stack_commit(c, &s);
    c->regs[GPR_RIP] = g.off;
}

void interrupt_deliver(CpuState *c, unsigned vector, IntKind kind, bool has_error, uint32_t error,
                       uint64_t ret_rip)
{
    if (log_on(LOG_INT)) {
        log_line("cpu %u: interrupt %02x%s error %04x at %04x:%016lx cpl %u cr2 %016lx rax %016lx\n",
                 c->index, vector,
                 kind == INT_EXTERNAL ? " (external)" : is_soft(kind) ? " (software)" : "",
                 has_error ? error : 0, c->segs[SEG_CS].selector, (unsigned long)ret_rip, c->cpl,
                 (unsigned long)c->cr2, (unsigned long)c->regs[GPR_RAX]);
    }
    if (c->mid_repeat) { /* SDM vol. 3B, "Instruction-Breakpoint Exception Condition" and RF */
        c->mid_repeat = false;
        c->rflags |= FLAG_RF;
    }
    c->delivering = (int)vector;
    c->delivering_soft = kind != INT_FAULT;
    c->ext_event = !is_soft(kind);
    if (!(c->cr0 & CR0_PE)) {
        deliver_real(c, vector, ret_rip);
    } else if ((c->rflags & FLAG_VM) && is_soft(kind) && kind == INT_SOFT && (c->cr4 & CR4_VME) &&
               vme_redirects(c, vector)) {
        deliver_vme(c, vector, ret_rip);
    } else if ((c->rflags & FLAG_VM) && kind == INT_SOFT && (c->rflags & FLAG_IOPL) != FLAG_IOPL) {
        c->ext_event = false;
        cpu_gp0(c);
    } else {
        deliver_protected(c, vector, kind, has_error, error, ret_rip);
    }
    c->delivering = -1;
    c->ext_event = false;
}

/* Classes of table 6-5: 0 benign, 1 contributory, 2 page fault. */
static int fault_class(int vec)
{
    switch (vec) {
    case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP:
        return 1;
    case EXC_PF:
        return 2;
    default:
        return 0;
    }
}

static void triple_fault(CpuState *c)
{
    c->delivering = -1;
    c->ext_event = false;
    c->activity = CPU_SHUTDOWN;
    log_guest("cpu %u: triple fault at %04x:%016lx\n", c->index, c->segs[SEG_CS].selector,
              (unsigned long)c->regs[GPR_RIP]);
    if (c->hooks.shutdown != NULL && !tape_plays(c)) {
        c->hooks.shutdown(c);
    }
}

void exception_dispatch(CpuState *c)
{
    int vec = c->exc_vector, first = c->delivering;

    if (first >= 0 && !c->delivering_soft) {
        int a = fault_class(first), b = fault_class(vec);

        if (first == EXC_DF && b != 0) {
            triple_fault(c);
            return;
        }
        if ((a == 1 && b == 1) || (a == 2 && b != 0)) {
            vec = EXC_DF;
            c->exc_error = 0;
            c->exc_has_error = true;
        }
    }
    /* A fault in the delivery of an event has the event's return address; otherwise RIP is the
     * faulting instruction's (the engine put it back). */
    if (vec != EXC_DB && vec != EXC_BP && vec != EXC_OF) {
        c->rflags |= FLAG_RF; /* faults push RF so that the restart passes a code breakpoint */
    }
    interrupt_deliver(c, (unsigned)vec, INT_FAULT, c->exc_has_error && (c->cr0 & CR0_PE),
                      c->exc_error, c->regs[GPR_RIP]);
}
