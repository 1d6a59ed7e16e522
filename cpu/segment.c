/*
 * Descriptors and segment registers. Source: Intel SDM vol. 3A, chapter 3 "Protected-Mode Memory
 * Management" and chapter 5 "Protection"; vol. 2, MOV, LLDT, LTR.
 */
#include "cpu/segment.h"

#include "base/mem.h"
#include "cpu/tlb.h"

uint32_t sel_error(const CpuState *c, uint16_t sel)
{
    return (sel & ~3u) | (c->ext_event ? 1 : 0);
}

bool desc_try(CpuState *c, uint16_t sel, Desc *d)
{
    uint64_t base = c->gdtr.base;
    uint32_t limit = c->gdtr.limit;
    uint64_t v;

    if (sel & 4) {
        if (!(c->ldtr.attr & ATTR_P)) {
            return false;
        }
        base = c->ldtr.base;
        limit = c->ldtr.limit;
    }
    if ((sel | 7u) > limit) {
        return false;
    }
    d->lin = base + (sel & ~7u);
    if (!(c->efer & EFER_LMA)) {
        d->lin = (uint32_t)d->lin;
    }
    v = sys_ld64(c, d->lin);
    d->lo = (uint32_t)v;
    d->hi = (uint32_t)(v >> 32);
    d->up = 0;
    return true;
}

void desc_read(CpuState *c, uint16_t sel, Desc *d, int vec)
{
    if (!desc_try(c, sel, d)) {
        cpu_raise_err(c, vec, sel_error(c, sel));
    }
}

void desc_upper(CpuState *c, uint16_t sel, Desc *d)
{
    uint32_t limit = sel & 4 ? c->ldtr.limit : c->gdtr.limit;

    if ((sel & ~7u) + 15 > limit) {
        cpu_raise_err(c, EXC_GP, sel_error(c, sel));
    }
    d->up = sys_ld32(c, d->lin + 8);
    if (sys_ld32(c, d->lin + 12) & 0x1f00) {
        cpu_raise_err(c, EXC_GP, sel_error(c, sel));
    }
}

Segment desc_segment(uint16_t sel, const Desc *d)
{
    Segment s = { .selector = sel };

    s.base = (d->lo >> 16) | (d->hi & 0xff) << 16 | (d->hi & 0xff000000u) | (uint64_t)d->up << 32;
    s.limit = (d->lo & 0xffff) | (d->hi & 0xf0000);
    s.attr = d->hi >> 8 & 0xf0ff;
    if (s.attr & ATTR_G) {
        s.limit = s.limit << 12 | 0xfff;
    }
    seg_update(&s);
    return s;
}

void desc_accessed(CpuState *c, Desc *d)
{
    if (!(d->hi & 0x100)) {
        d->hi |= 0x100;
        sys_st(c, d->lin + 5, d->hi >> 8 & 0xff, 1);
    }
}

void seg_set_null(Segment *s, uint16_t sel)
{
    s->selector = sel;
    s->attr = 0;
    s->base = 0;
    s->limit = 0;
    seg_update(s);
}

void seg_load_real(CpuState *c, unsigned seg, uint16_t sel)
{
    Segment *s = &c->segs[seg];

    s->selector = sel;
    s->base = (uint32_t)sel << 4;
    if (c->rflags & FLAG_VM) {
        s->limit = 0xffff;
        s->attr = ATTR_P | ATTR_S | ATTR_WRITE | ATTR_ACCESSED | ATTR_DPL;
    } else if (seg == SEG_CS) {
        s->attr = (s->attr & ATTR_DB) | ATTR_P | ATTR_S | ATTR_WRITE | ATTR_ACCESSED;
    } else if (!(s->attr & ATTR_P)) { /* a null selector from protected mode becomes usable */
        s->attr = ATTR_P | ATTR_S | ATTR_WRITE | ATTR_ACCESSED;
        s->limit = 0xffff;
    }
    seg_update(s);
}

static void load_null(CpuState *c, unsigned seg, uint16_t sel)
{
    if (seg == SEG_SS) {
        if (!c->code64 || c->cpl == 3 || (sel & 3) != c->cpl) {
            cpu_raise_err(c, EXC_GP, c->ext_event ? 1 : 0);
        }
        seg_set_null(&c->segs[seg], sel);
        c->segs[seg].attr = (uint16_t)(c->cpl << ATTR_DPL_SHIFT);
        return;
    }
    seg_set_null(&c->segs[seg], sel);
}

static void check_stack_desc(CpuState *c, uint16_t sel, const Desc *d, unsigned cpl, int vec)
{
    if ((sel & 3) != cpl || !desc_s(d) || (desc_type(d) & (ATTR_CODE | ATTR_WRITE)) != ATTR_WRITE ||
        desc_dpl(d) != cpl) {
        cpu_raise_err(c, vec, sel_error(c, sel));
    }
    if (!desc_present(d)) {
        cpu_raise_err(c, EXC_SS, sel_error(c, sel));
    }
}

void seg_load(CpuState *c, unsigned seg, uint16_t sel)
{
    Desc d;

    if (real_or_vm86(c)) {
        seg_load_real(c, seg, sel);
        if (seg == SEG_SS) {
            cpu_update_mode(c);
        }
        return;
    }
    if ((sel & ~3) == 0) {
        load_null(c, seg, sel);
    } else {
        desc_read(c, sel, &d, EXC_GP);
        if (seg == SEG_SS) {
            check_stack_desc(c, sel, &d, c->cpl, EXC_GP);
        } else {
            unsigned type = desc_type(&d);

            if (!desc_s(&d) || (type & (ATTR_CODE | ATTR_WRITE)) == ATTR_CODE) {
                cpu_raise_err(c, EXC_GP, sel_error(c, sel));
            }
            if ((type & (ATTR_CODE | ATTR_DOWN)) != (ATTR_CODE | ATTR_DOWN) &&
                ((sel & 3u) > desc_dpl(&d) || c->cpl > desc_dpl(&d))) {
                cpu_raise_err(c, EXC_GP, sel_error(c, sel));
            }
            if (!desc_present(&d)) {
                cpu_raise_err(c, EXC_NP, sel_error(c, sel));
            }
        }
        desc_accessed(c, &d);
        c->segs[seg] = desc_segment(sel, &d);
    }
    if (seg == SEG_SS) {
        cpu_update_mode(c);
    }
}

void seg_check_outer(CpuState *c, unsigned seg)
{
    Segment *s = &c->segs[seg];
    unsigned type = s->attr & ATTR_TYPE;
    bool data = !(type & ATTR_CODE) || !(type & ATTR_DOWN); /* data or non-conforming code */

    if ((s->attr & ATTR_P) && data && (s->attr & ATTR_DPL) >> ATTR_DPL_SHIFT < c->cpl) {
        seg_set_null(s, 0);
    } else if (!(s->attr & ATTR_P) && (s->selector & ~3) == 0 && c->cpl == 3) {
        s->selector = 0;
    }
}

void load_ldt(CpuState *c, uint16_t sel)
{
    Desc d;

    if ((sel & ~3) == 0) {
        seg_set_null(&c->ldtr, sel);
        return;
    }
    if (sel & 4) {
        cpu_raise_err(c, EXC_GP, sel_error(c, sel));
    }
    desc_read(c, sel, &d, EXC_GP);
    if (desc_s(&d) || desc_type(&d) != SYS_LDT) {
        cpu_raise_err(c, EXC_GP, sel_error(c, sel));
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, sel));
    }
    if (c->efer & EFER_LMA) {
        desc_upper(c, sel, &d);
    }
    c->ldtr = desc_segment(sel, &d);
}

void load_tr(CpuState *c, uint16_t sel)
{
    unsigned type;
    Desc d;

    if ((sel & ~3) == 0 || (sel & 4)) {
        cpu_raise_err(c, EXC_GP, (sel & ~3) == 0 ? 0 : sel_error(c, sel));
    }
    desc_read(c, sel, &d, EXC_GP);
    type = desc_type(&d);
    if (desc_s(&d) || !(type == SYS_TSS32 || (type == SYS_TSS16 && !(c->efer & EFER_LMA)))) {
        cpu_raise_err(c, EXC_GP, sel_error(c, sel));
    }
    if (!desc_present(&d)) {
        cpu_raise_err(c, EXC_NP, sel_error(c, sel));
    }
    if (c->efer & EFER_LMA) {
        desc_upper(c, sel, &d);
    }
    d.hi |= 0x200; /* busy */
    sys_st(c, d.lin + 5, d.hi >> 8 & 0xff, 1);
    c->tr = desc_segment(sel, &d);
}

void cs_load(CpuState *c, uint16_t sel, Desc *d, unsigned cpl)
{
    desc_accessed(c, d);
    c->segs[SEG_CS] = desc_segment((uint16_t)((sel & ~3) | cpl), d);
    c->cpl = (uint8_t)cpl;
    cpu_update_mode(c);
}

/* ---- stacks ---- */

Stack stack_current(CpuState *c)
{
    Stack s = { .ss = c->segs[SEG_SS], .sp = c->regs[GPR_RSP], .mode = c->mmu };

    s.wide = c->stack64;
    s.mask = c->stack64 ? ~0ull : c->stack32 ? 0xffffffffull : 0xffff;
    return s;
}

static vaddr stack_lin(CpuState *c, const Stack *s, uint64_t sp, unsigned size, bool write)
{
    uint64_t off = sp & s->mask;

    if (s->wide) {
        if (!canonical(off) || !canonical(off + size - 1)) {
            cpu_raise_err(c, EXC_SS, s->fresh ? sel_error(c, s->ss.selector) : 0);
        }
        return off;
    }
    if ((int64_t)off + size - 1 > (write ? s->ss.write_last : s->ss.read_last)) {
        bool down = (s->ss.attr & (ATTR_P | ATTR_CODE | ATTR_DOWN)) == (ATTR_P | ATTR_DOWN);
        uint64_t top = s->ss.attr & ATTR_DB ? 0xffffffffull : 0xffff;

        if (!down || off <= s->ss.limit || off + size - 1 > top) {
            cpu_raise_err(c, EXC_SS, s->fresh ? sel_error(c, s->ss.selector) : 0);
        }
    }
    return (uint32_t)(s->ss.base + off);
}

void stack_push(CpuState *c, Stack *s, uint64_t val, unsigned size)
{
    uint64_t sp = s->sp - size;

    lin_write(c, stack_lin(c, s, sp, size, true), &val, size, s->mode, SEG_SS);
    s->sp = (s->sp & ~s->mask) | (sp & s->mask);
}

uint64_t stack_peek(CpuState *c, const Stack *s, uint64_t n, unsigned size)
{
    uint64_t val = 0;

    lin_read(c, stack_lin(c, s, s->sp + n, size, false), &val, size, s->mode, SEG_SS);
    return val;
}

uint64_t stack_pop(CpuState *c, Stack *s, unsigned size)
{
    uint64_t val = stack_peek(c, s, 0, size);

    s->sp = (s->sp & ~s->mask) | ((s->sp + size) & s->mask);
    return val;
}

void stack_commit(CpuState *c, const Stack *s)
{
    uint64_t *rsp = &c->regs[GPR_RSP];

    *rsp = s->mask == 0xffff ? (*rsp & ~0xffffull) | (s->sp & 0xffff) : s->sp & s->mask;
}

static void tss_range(CpuState *c, uint32_t off, unsigned n)
{
    if (off + n - 1 > c->tr.limit || !(c->tr.attr & ATTR_P)) {
        cpu_raise_err(c, EXC_TS, sel_error(c, c->tr.selector));
    }
}

Stack inner_stack(CpuState *c, unsigned cpl)
{
    bool wide = (c->tr.attr & ATTR_CODE) != 0; /* 386 TSS */
    uint32_t off = wide ? 4 + cpl * 8 : 2 + cpl * 4;
    Stack s = { .fresh = true };
    uint16_t sel;
    Desc d;

    tss_range(c, off, wide ? 6 : 4);
    s.sp = wide ? sys_ld32(c, c->tr.base + off) : sys_ld16(c, c->tr.base + off);
    sel = sys_ld16(c, c->tr.base + off + (wide ? 4 : 2));
    if ((sel & ~3) == 0) {
        cpu_raise_err(c, EXC_TS, sel_error(c, sel));
    }
    desc_read(c, sel, &d, EXC_TS);
    check_stack_desc(c, sel, &d, cpl, EXC_TS);
    desc_accessed(c, &d);
    s.ss = desc_segment(sel, &d);
    s.mask = s.ss.attr & ATTR_DB ? 0xffffffffull : 0xffff;
    s.mode = cpl == 3 ? MMU_USER : mmu_system(c);
    return s;
}

Stack inner_stack64(CpuState *c, unsigned cpl, unsigned ist)
{
    uint32_t off = ist != 0 ? 0x1c + ist * 8 : 4 + cpl * 8;
    Stack s = { .fresh = false, .wide = true, .mask = ~0ull };

    tss_range(c, off, 8);
    s.sp = sys_ld64(c, c->tr.base + off);
    seg_set_null(&s.ss, (uint16_t)cpl);
    s.ss.attr = (uint16_t)(cpl << ATTR_DPL_SHIFT);
    s.mode = mmu_system(c);
    return s;
}
