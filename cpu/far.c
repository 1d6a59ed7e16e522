/*
 * Far jumps, calls and returns, call gates, IRET. Source: Intel SDM vol. 2, JMP, CALL, RET, IRET;
 * vol. 3A, "Control Transfers between Code Segments with Call Gates".
 */
#include "cpu/segment.h"

#include "cpu/flags.h"

static uint64_t size_mask(unsigned opsize)
{
    return opsize == 8 ? ~0ull : opsize == 4 ? 0xffffffffull : 0xffff;
}

static void gp_sel(CpuState *c, uint16_t sel)
{
    cpu_raise_err(c, EXC_GP, sel_error(c, sel));
}

/* A code segment's new RIP must be canonical (64-bit) or inside the limit. */
static void check_target(CpuState *c, const Desc *d, uint64_t off)
{
    if ((c->efer & EFER_LMA) && (d->hi >> 21 & 1)) {
        if (!canonical(off)) {
            cpu_gp0(c);
        }
    } else if ((uint32_t)off > desc_segment(0, d).limit) {
        cpu_gp0(c);
    }
}

static void check_long_code(CpuState *c, uint16_t sel, const Desc *d)
{
    if ((c->efer & EFER_LMA) && (d->hi >> 21 & 1) && (d->hi >> 22 & 1)) {
        gp_sel(c, sel); /* L and D both set */
    }
}

static bool is_code(const Desc *d)
{
    return desc_s(d) && (desc_type(d) & ATTR_CODE);
}

/* The checks that JMP and CALL to a code segment share; returns nothing, raises. */
static void check_direct(CpuState *c, uint16_t sel, const Desc *d)
{
    bool conforming = desc_type(d) & ATTR_DOWN;

    check_long_code(c, sel, d);
    if (conforming ? desc_dpl(d) > c->cpl : (sel & 3u) > c->cpl || desc_dpl(d) != c->cpl) {
        gp_sel(c, sel);
    }
    if (!desc_present(d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, sel));
    }
}

static void real_far(CpuState *c, uint16_t sel, uint64_t off)
{
    if (off > c->segs[SEG_CS].limit && off > 0xffff) {
        cpu_gp0(c);
    }
    seg_load_real(c, SEG_CS, sel);
    c->regs[GPR_RIP] = off;
}

/* A call gate's contents. */
typedef struct Gate {
    uint16_t sel;
    uint64_t off;
    unsigned size;   /* of what is pushed: 2, 4, 8 */
    unsigned params;
} Gate;

static Gate read_gate(CpuState *c, uint16_t sel, Desc *d)
{
    bool lm = (c->efer & EFER_LMA) != 0;
    Gate g;

    if (desc_dpl(d) < c->cpl || (sel & 3u) > desc_dpl(d)) {
        gp_sel(c, sel);
    }
    if (!desc_present(d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, sel));
    }
    if (lm) {
        desc_upper(c, sel, d);
    }
    g.sel = (uint16_t)(d->lo >> 16);
    g.off = (d->lo & 0xffff) | (d->hi & 0xffff0000u) | (uint64_t)d->up << 32;
    g.size = lm ? 8 : desc_type(d) == SYS_CALL32 ? 4 : 2;
    g.params = d->hi & 31;
    if (g.size == 2) {
        g.off &= 0xffff;
    }
    return g;
}

/* Read and check the code segment that a call gate names. */
static void gate_code(CpuState *c, const Gate *g, Desc *code)
{
    if ((g->sel & ~3) == 0) {
        cpu_gp0(c);
    }
    desc_read(c, g->sel, code, EXC_GP);
    if (!is_code(code) || desc_dpl(code) > c->cpl) {
        gp_sel(c, g->sel);
    }
    if ((c->efer & EFER_LMA) && (!(code->hi >> 21 & 1) || (code->hi >> 22 & 1))) {
        gp_sel(c, g->sel);
    }
    if (!desc_present(code)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, g->sel));
    }
}

static bool system_target(CpuState *c, uint16_t sel, Desc *d, bool *gate)
{
    unsigned type = desc_type(d);
    bool lm = (c->efer & EFER_LMA) != 0;

    *gate = type == SYS_CALL32 || (type == SYS_CALL16 && !lm);
    return *gate || (!lm && (type == SYS_TASK_GATE || type == SYS_TSS16 || type == SYS_TSS32));
}

/* JMP or CALL to a TSS or through a task gate. */
static void far_task(CpuState *c, uint16_t sel, Desc *d, TaskSwitch how)
{
    unsigned type;

    if (desc_dpl(d) < c->cpl || desc_dpl(d) < (sel & 3u)) {
        gp_sel(c, sel);
    }
    if (!desc_present(d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, sel));
    }
    if (desc_type(d) == SYS_TASK_GATE) {
        sel = (uint16_t)(d->lo >> 16);
        if (sel & 4) {
            gp_sel(c, sel);
        }
        desc_read(c, sel, d, EXC_GP);
        type = desc_type(d);
        if (desc_s(d) || (type != SYS_TSS16 && type != SYS_TSS32)) {
            gp_sel(c, sel);
        }
        if (!desc_present(d)) {
            cpu_raise_err(c, EXC_NP, sel_error(c, sel));
        }
    }
    task_switch(c, sel, d, how, c->regs[GPR_RIP], false, 0);
    if (c->regs[GPR_RIP] > c->segs[SEG_CS].limit) {
        cpu_gp0(c);
    }
}

void far_jump(CpuState *c, uint16_t sel, uint64_t off, unsigned opsize)
{
    bool gate = false;
    Desc d;

    off &= size_mask(opsize);
    if (real_or_vm86(c)) {
        real_far(c, sel, off);
        cpu_update_mode(c);
        return;
    }
    if ((sel & ~3) == 0) {
        cpu_gp0(c);
    }
    desc_read(c, sel, &d, EXC_GP);
    if (is_code(&d)) {
        check_direct(c, sel, &d);
        check_target(c, &d, off);
        cs_load(c, sel, &d, c->cpl);
        c->regs[GPR_RIP] = off;
        return;
    }
    if (desc_s(&d) || !system_target(c, sel, &d, &gate)) {
        gp_sel(c, sel);
    }
    if (!gate) {
        far_task(c, sel, &d, TASK_JMP);
        return;
    }
    Gate g = read_gate(c, sel, &d);
    Desc code;
    gate_code(c, &g, &code);
    if (!(desc_type(&code) & ATTR_DOWN) && desc_dpl(&code) != c->cpl) {
        gp_sel(c, g.sel);
    }
    check_target(c, &code, g.off);
    cs_load(c, g.sel, &code, c->cpl);
    c->regs[GPR_RIP] = g.off;
}

/* CALL through a gate to a more privileged level. */
static void call_inner(CpuState *c, const Gate *g, Desc *code)
{
    unsigned cpl = desc_dpl(code);
    Stack old = stack_current(c);
    Stack s = g->size == 8 ? inner_stack64(c, cpl, 0) : inner_stack(c, cpl);
    uint64_t params[31];

    for (unsigned n = 0; n < (g->size == 8 ? 0 : g->params); n++) {
        params[n] = stack_peek(c, &old, (uint64_t)n * g->size, g->size);
    }
    stack_push(c, &s, c->segs[SEG_SS].selector, g->size);
    stack_push(c, &s, c->regs[GPR_RSP], g->size);
    for (unsigned n = g->size == 8 ? 0 : g->params; n-- > 0;) {
        stack_push(c, &s, params[n], g->size);
    }
    stack_push(c, &s, c->segs[SEG_CS].selector, g->size);
    stack_push(c, &s, c->regs[GPR_RIP], g->size);
    check_target(c, code, g->off);
    c->segs[SEG_SS] = s.ss;
    cs_load(c, g->sel, code, cpl);
    stack_commit(c, &s);
    c->regs[GPR_RIP] = g->off;
}

void far_call(CpuState *c, uint16_t sel, uint64_t off, unsigned opsize)
{
    Stack s = stack_current(c);
    bool gate = false;
    Desc d;

    off &= size_mask(opsize);
    if (real_or_vm86(c)) {
        stack_push(c, &s, c->segs[SEG_CS].selector, opsize);
        stack_push(c, &s, c->regs[GPR_RIP], opsize);
        real_far(c, sel, off);
        stack_commit(c, &s);
        cpu_update_mode(c);
        return;
    }
    if ((sel & ~3) == 0) {
        cpu_gp0(c);
    }
    desc_read(c, sel, &d, EXC_GP);
    if (is_code(&d)) {
        check_direct(c, sel, &d);
        stack_push(c, &s, c->segs[SEG_CS].selector, opsize);
        stack_push(c, &s, c->regs[GPR_RIP], opsize);
        check_target(c, &d, off);
        cs_load(c, sel, &d, c->cpl);
        stack_commit(c, &s);
        c->regs[GPR_RIP] = off;
        return;
    }
    if (desc_s(&d) || !system_target(c, sel, &d, &gate)) {
        gp_sel(c, sel);
    }
    if (!gate) {
        far_task(c, sel, &d, TASK_CALL);
        return;
    }
    Gate g = read_gate(c, sel, &d);
    Desc code;
    gate_code(c, &g, &code);
    if (!(desc_type(&code) & ATTR_DOWN) && desc_dpl(&code) < c->cpl) {
        call_inner(c, &g, &code);
        return;
    }
    stack_push(c, &s, c->segs[SEG_CS].selector, g.size);
    stack_push(c, &s, c->regs[GPR_RIP], g.size);
    check_target(c, &code, g.off);
    cs_load(c, g.sel, &code, c->cpl);
    stack_commit(c, &s);
    c->regs[GPR_RIP] = g.off;
}

/* What a return to an outer level has in common between RETF and IRET: SS:SP come from the inner
 * stack, data segments that the outer level may not see become unusable. */
static void check_return_code(CpuState *c, uint16_t cs, Desc *d)
{
    unsigned rpl = cs & 3;

    if ((cs & ~3) == 0) {
        cpu_gp0(c);
    }
    desc_read(c, cs, d, EXC_GP);
    if (!is_code(d) || rpl < c->cpl) {
        gp_sel(c, cs);
    }
    check_long_code(c, cs, d);
    if (desc_type(d) & ATTR_DOWN ? desc_dpl(d) > rpl : desc_dpl(d) != rpl) {
        gp_sel(c, cs);
    }
    if (!desc_present(d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, cs));
    }
}

static Segment outer_ss(CpuState *c, uint16_t ss, unsigned rpl, const Desc *code)
{
    Segment s;
    Desc d;

    if ((ss & ~3) == 0) {
        if (!(c->efer & EFER_LMA) || !(code->hi >> 21 & 1) || rpl == 3 || (ss & 3u) != rpl) {
            cpu_gp0(c);
        }
        seg_set_null(&s, ss);
        s.attr = (uint16_t)(rpl << ATTR_DPL_SHIFT);
        return s;
    }
    desc_read(c, ss, &d, EXC_GP);
    if ((ss & 3u) != rpl || !desc_s(&d) ||
        (desc_type(&d) & (ATTR_CODE | ATTR_WRITE)) != ATTR_WRITE || desc_dpl(&d) != rpl) {
        gp_sel(c, ss);
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_SS, sel_error(c, ss));
    }
    desc_accessed(c, &d);
    return desc_segment(ss, &d);
}

static void drop_inner_segments(CpuState *c)
{
    static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    for (unsigned n = 0; n < 4; n++) {
        seg_check_outer(c, data[n]);
    }
}

/* Load RSP of the level returned to: its width is that of the new stack segment. */
static void set_outer_sp(CpuState *c, uint64_t sp, uint16_t release)
{
    if (c->stack64) {
        c->regs[GPR_RSP] = sp + release;
    } else if (c->stack32) {
        c->regs[GPR_RSP] = (uint32_t)(sp + release);
    } else {
        c->regs[GPR_RSP] = (c->regs[GPR_RSP] & ~0xffffull) | ((sp + release) & 0xffff);
    }
}

void far_return(CpuState *c, unsigned opsize, uint16_t release)
{
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(c, &s, opsize);
    uint16_t cs = (uint16_t)stack_pop(c, &s, opsize);
    Desc d;

    if (real_or_vm86(c)) {
        real_far(c, cs, rip);
        s.sp = (s.sp & ~s.mask) | ((s.sp + release) & s.mask);
        stack_commit(c, &s);
        cpu_update_mode(c);
        return;
    }
    check_return_code(c, cs, &d);
    s.sp = (s.sp & ~s.mask) | ((s.sp + release) & s.mask);
    if ((cs & 3u) == c->cpl) {
        check_target(c, &d, rip);
        cs_load(c, cs, &d, c->cpl);
        stack_commit(c, &s);
        c->regs[GPR_RIP] = rip;
        return;
    }
    uint64_t sp = stack_pop(c, &s, opsize);
    uint16_t ss = (uint16_t)stack_pop(c, &s, opsize);
    Segment seg = outer_ss(c, ss, cs & 3, &d);
    check_target(c, &d, rip);
    c->segs[SEG_SS] = seg;
    cs_load(c, cs, &d, cs & 3);
    set_outer_sp(c, sp, release);
    c->regs[GPR_RIP] = rip;
    drop_inner_segments(c);
}

/* ---- IRET ---- */

static void iret_real(CpuState *c, unsigned opsize)
{
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(c, &s, opsize);
    uint16_t cs = (uint16_t)stack_pop(c, &s, opsize);
    uint64_t fl = stack_pop(c, &s, opsize), old = rflags_get(c), mask;

    mask = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT;
    if (opsize == 4) {
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    }
    if (old & FLAG_VM) {
        mask &= ~FLAG_IOPL;
    }
    real_far(c, cs, rip);
    stack_commit(c, &s);
    rflags_put(c, (old & ~mask) | (fl & mask));
    cpu_update_mode(c);
}

/* Virtual-8086 mode with VME and IOPL < 3: SDM vol. 3B, "Virtual-8086 Mode Extensions". */
static void iret_vme(CpuState *c)
{
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(c, &s, 2);
    uint16_t cs = (uint16_t)stack_pop(c, &s, 2);
    uint64_t fl = stack_pop(c, &s, 2), old = rflags_get(c), mask;

    if (((fl & FLAG_IF) && (old & FLAG_VIP)) || (fl & FLAG_TF)) {
        cpu_gp0(c);
    }
    mask = FLAGS_ARITH | FLAG_DF | FLAG_NT | FLAG_TF;
    real_far(c, cs, rip);
    stack_commit(c, &s);
    old = (old & ~(mask | FLAG_VIF)) | (fl & mask) | (fl & FLAG_IF ? FLAG_VIF : 0);
    rflags_put(c, old);
    cpu_update_mode(c);
}

static void iret_to_vm86(CpuState *c, Stack *s, uint64_t rip, uint16_t cs, uint64_t fl)
{
    uint64_t sp = stack_pop(c, s, 4);
    uint16_t sel[SEG_COUNT];

    sel[SEG_CS] = cs;
    sel[SEG_SS] = (uint16_t)stack_pop(c, s, 4);
    sel[SEG_ES] = (uint16_t)stack_pop(c, s, 4);
    sel[SEG_DS] = (uint16_t)stack_pop(c, s, 4);
    sel[SEG_FS] = (uint16_t)stack_pop(c, s, 4);
    sel[SEG_GS] = (uint16_t)stack_pop(c, s, 4);
    rflags_put(c, fl & 0x3f7fd7);
    c->cpl = 3;
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        seg_load_real(c, n, sel[n]);
    }
    c->regs[GPR_RSP] = (uint32_t)sp;
    c->regs[GPR_RIP] = (uint16_t)rip;
    cpu_update_mode(c);
}

/* Flags that IRET may change at this privilege. */
static void iret_flags(CpuState *c, uint64_t fl, unsigned opsize, unsigned old_cpl)
{
    uint64_t mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT, old = rflags_get(c);

    if (opsize > 2) {
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    }
    if (old_cpl <= (old & FLAG_IOPL) >> 12) {
        mask |= FLAG_IF;
    }
    if (old_cpl == 0) {
        mask |= FLAG_IOPL | (opsize > 2 ? FLAG_VIF | FLAG_VIP : 0);
    }
    rflags_put(c, (old & ~mask) | (fl & mask));
}

static void iret_protected(CpuState *c, unsigned opsize)
{
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(c, &s, opsize);
    uint16_t cs = (uint16_t)stack_pop(c, &s, opsize);
    uint64_t fl = stack_pop(c, &s, opsize);
    bool lm = (c->efer & EFER_LMA) != 0;
    unsigned old_cpl = c->cpl;
    Segment ss = c->segs[SEG_SS];
    uint64_t sp = 0;
    bool outer;
    Desc d;

    if (opsize == 4 && (fl & FLAG_VM) && c->cpl == 0 && !lm) {
        iret_to_vm86(c, &s, rip, cs, fl);
        return;
    }
    check_return_code(c, cs, &d);
    outer = (cs & 3u) != c->cpl || c->code64; /* 64-bit mode always pops SS:RSP */
    if (outer) {
        uint16_t sel;

        sp = stack_pop(c, &s, opsize);
        sel = (uint16_t)stack_pop(c, &s, opsize);
        ss = outer_ss(c, sel, cs & 3, &d);
    }
    check_target(c, &d, rip);
    c->segs[SEG_SS] = ss;
    cs_load(c, cs, &d, cs & 3);
    if (outer) {
        set_outer_sp(c, sp, 0);
    } else {
        stack_commit(c, &s);
    }
    c->regs[GPR_RIP] = rip;
    iret_flags(c, fl, opsize, old_cpl);
    if (c->cpl != old_cpl) {
        drop_inner_segments(c);
    }
    cpu_update_mode(c);
}

static void iret_task(CpuState *c)
{
    uint16_t link = sys_ld16(c, c->tr.base);
    unsigned type;
    Desc d;

    if ((link & 4) || !desc_try(c, link, &d)) {
        cpu_raise_err(c, EXC_TS, sel_error(c, link));
    }
    type = desc_type(&d);
    if (desc_s(&d) || (type != SYS_TSS16_BUSY && type != SYS_TSS32_BUSY)) {
        cpu_raise_err(c, EXC_TS, sel_error(c, link));
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, link));
    }
    task_switch(c, link, &d, TASK_IRET, c->regs[GPR_RIP], false, 0);
    if (c->regs[GPR_RIP] > c->segs[SEG_CS].limit) {
        cpu_gp0(c);
    }
}

void do_iret(CpuState *c, unsigned opsize)
{
    c->nmi_blocked = false;
    if (!(c->cr0 & CR0_PE)) {
        iret_real(c, opsize);
    } else if (c->rflags & FLAG_VM) {
        if ((c->rflags & FLAG_IOPL) == FLAG_IOPL) {
            iret_real(c, opsize);
        } else if ((c->cr4 & CR4_VME) && opsize == 2) {
            iret_vme(c);
        } else {
            cpu_gp0(c);
        }
    } else if (c->rflags & FLAG_NT) {
        if (c->efer & EFER_LMA) {
            cpu_gp0(c);
        }
        iret_task(c);
    } else {
        iret_protected(c, opsize);
    }
}
