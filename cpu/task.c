/*
 * Hardware task switches. Source: Intel SDM vol. 3A, chapter "Task Management": "Task Switching"
 * and the TSS formats.
 */
#include "cpu/segment.h"

#include "cpu/flags.h"

/* Where a TSS keeps what is saved and loaded. */
typedef struct TssLayout {
    unsigned size;  /* of a register: 2 or 4 */
    unsigned min;   /* smallest limit */
    unsigned ip, flags, gpr, seg, ldt;
} TssLayout;

static const TssLayout tss16 = { 2, 0x2b, 14, 16, 18, 34, 42 };
static const TssLayout tss32 = { 4, 0x67, 32, 36, 40, 72, 96 };

static const TssLayout *layout_of(unsigned type)
{
    return type & 8 ? &tss32 : &tss16;
}

static void tss_fault(CpuState *c, uint16_t sel)
{
    cpu_raise_err(c, EXC_TS, sel_error(c, sel));
}

static void save_old(CpuState *c, TaskSwitch how, uint64_t ret_rip)
{
    const TssLayout *l = layout_of(c->tr.attr);
    uint64_t fl = rflags_get(c);
    unsigned nseg = l->size == 4 ? 6 : 4;

    if (how == TASK_IRET) {
        fl &= ~FLAG_NT;
    }
    sys_st(c, c->tr.base + l->ip, ret_rip, l->size);
    sys_st(c, c->tr.base + l->flags, fl, l->size);
    for (unsigned n = 0; n < 8; n++) {
        sys_st(c, c->tr.base + l->gpr + n * l->size, c->regs[n], l->size);
    }
    for (unsigned n = 0; n < nseg; n++) {
        sys_st(c, c->tr.base + l->seg + n * l->size, c->segs[n].selector, 2);
    }
}

static void set_busy(CpuState *c, vaddr desc_lin, bool busy)
{
    uint8_t b = sys_ld8(c, desc_lin + 5);

    sys_st(c, desc_lin + 5, busy ? b | 2 : b & ~2, 1);
}

typedef struct NewTask {
    uint64_t ip, flags, gpr[8];
    uint16_t seg[6], ldt;
    uint32_t cr3;
    bool trap;
} NewTask;

static void read_new(CpuState *c, const Segment *tss, const TssLayout *l, NewTask *t)
{
    unsigned nseg = l->size == 4 ? 6 : 4;

    t->ip = l->size == 4 ? sys_ld32(c, tss->base + l->ip) : sys_ld16(c, tss->base + l->ip);
    t->flags = l->size == 4 ? sys_ld32(c, tss->base + l->flags) : sys_ld16(c, tss->base + l->flags);
    for (unsigned n = 0; n < 8; n++) {
        vaddr at = tss->base + l->gpr + n * l->size;

        t->gpr[n] = l->size == 4 ? sys_ld32(c, at) : 0xffff0000u | sys_ld16(c, at);
    }
    for (unsigned n = 0; n < 6; n++) {
        t->seg[n] = n < nseg ? sys_ld16(c, tss->base + l->seg + n * l->size) : 0;
    }
    t->ldt = sys_ld16(c, tss->base + l->ldt);
    t->cr3 = l->size == 4 ? sys_ld32(c, tss->base + 28) : 0;
    t->trap = l->size == 4 && (sys_ld16(c, tss->base + 100) & 1);
}

static void load_task_ldt(CpuState *c, uint16_t sel)
{
    Desc d;

    seg_set_null(&c->ldtr, sel);
    if ((sel & ~3) == 0) {
        return;
    }
    if ((sel & 4) || !desc_try(c, sel, &d) || desc_s(&d) || desc_type(&d) != SYS_LDT ||
        !desc_present(&d)) {
        tss_fault(c, sel);
    }
    c->ldtr = desc_segment(sel, &d);
}

static void load_task_cs(CpuState *c, uint16_t sel)
{
    unsigned rpl = sel & 3;
    Desc d;

    if ((sel & ~3) == 0 || !desc_try(c, sel, &d) || !desc_s(&d) || !(desc_type(&d) & ATTR_CODE) ||
        (desc_type(&d) & ATTR_DOWN ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl)) {
        tss_fault(c, sel);
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, sel));
    }
    cs_load(c, sel, &d, rpl);
}

static void load_task_ss(CpuState *c, uint16_t sel)
{
    Desc d;

    if ((sel & ~3) == 0 || !desc_try(c, sel, &d) || !desc_s(&d) ||
        (desc_type(&d) & (ATTR_CODE | ATTR_WRITE)) != ATTR_WRITE || desc_dpl(&d) != c->cpl ||
        (sel & 3u) != c->cpl) {
        tss_fault(c, sel);
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_SS, sel_error(c, sel));
    }
    desc_accessed(c, &d);
    c->segs[SEG_SS] = desc_segment(sel, &d);
}

static void load_task_data(CpuState *c, unsigned seg, uint16_t sel)
{
    unsigned type;
    Desc d;

    if ((sel & ~3) == 0) {
        return;
    }
    if (!desc_try(c, sel, &d)) {
        tss_fault(c, sel);
    }
    type = desc_type(&d);
    if (!desc_s(&d) || (type & (ATTR_CODE | ATTR_WRITE)) == ATTR_CODE ||
        ((type & (ATTR_CODE | ATTR_DOWN)) != (ATTR_CODE | ATTR_DOWN) &&
         ((sel & 3u) > desc_dpl(&d) || c->cpl > desc_dpl(&d)))) {
        tss_fault(c, sel);
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, sel));
    }
    desc_accessed(c, &d);
    c->segs[seg] = desc_segment(sel, &d);
}

/* Load the segments of the new task. Faults here belong to the new task: its registers and CS:EIP
 * are in place already. */
static void load_segments(CpuState *c, const NewTask *t)
{
    static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    if (t->flags & FLAG_VM) {
        c->cpl = 3;
        for (unsigned n = 0; n < SEG_COUNT; n++) {
            seg_load_real(c, n, t->seg[n]);
        }
        cpu_update_mode(c);
        return;
    }
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        seg_set_null(&c->segs[n], t->seg[n]);
    }
    c->cpl = t->seg[SEG_CS] & 3;
    load_task_ss(c, t->seg[SEG_SS]);
    load_task_cs(c, t->seg[SEG_CS]);
    for (unsigned n = 0; n < 4; n++) {
        load_task_data(c, data[n], t->seg[data[n]]);
    }
    cpu_update_mode(c);
}

void task_switch(CpuState *c, uint16_t sel, Desc *d, TaskSwitch how, uint64_t ret_rip,
                 bool push_error, uint32_t error)
{
    const TssLayout *l = layout_of(desc_type(d));
    Segment tss = desc_segment(sel, d);
    uint16_t old_sel = c->tr.selector;
    vaddr old_desc = c->gdtr.base + (old_sel & ~7u);
    NewTask t;

    if (tss.limit < l->min) {
        tss_fault(c, sel);
    }
    read_new(c, &tss, l, &t); /* faults belong to the old task */
    lin_probe(c, c->tr.base, layout_of(c->tr.attr)->min + 1, ACC_WRITE, mmu_system(c), SEG_DS);
    if (how == TASK_JMP || how == TASK_IRET) {
        set_busy(c, old_desc, false);
    }
    save_old(c, how, ret_rip);
    if (how == TASK_CALL || how == TASK_INT) {
        sys_st(c, tss.base, old_sel, 2);
        t.flags |= FLAG_NT;
    }
    if (how != TASK_IRET) {
        set_busy(c, d->lin, true);
    }
    tss.attr |= 2;
    c->tr = tss;
    c->cr0 |= CR0_TS;
    c->dr[7] &= ~0x155ull; /* local breakpoints */
    if (l->size == 4 && (c->cr0 & CR0_PG)) {
        cpu_set_cr3(c, t.cr3);
    }
    for (unsigned n = 0; n < 8; n++) {
        c->regs[n] = t.gpr[n];
    }
    c->regs[GPR_RIP] = t.ip;
    c->insn_faults_here = true; /* a fault from here on pushes the new task's EIP */
    rflags_put(c, t.flags & (l->size == 4 ? 0x3f7fd7 : 0x7fd7));
    load_task_ldt(c, t.ldt);
    load_segments(c, &t);
    if (push_error) {
        Stack s = stack_current(c);

        stack_push(c, &s, error, l->size);
        stack_commit(c, &s);
    }
    if (t.trap) {
        c->pending_db |= 1u << 15; /* DR6.BT */
    }
}
