/*
 * System management mode. Source: AMD APM vol. 2, chapter 10 "System-Management Mode", table "AMD64
 * SMM State-Save Area" (64-bit processors) and Intel SDM vol. 3C, "SMRAM State Save Map" for those
 * without long mode: only the fields below 0xFFFF that firmware reads are at the documented places.
 */
#include "cpu/cpuid.h"

#include "base/mem.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"

#define REVISION 0x00020064u /* SMBASE relocation, AMD64 layout */
#define SAVE 0x8000u         /* the area is at SMBASE + 8000h + offset 7E00h.. */

static const uint16_t seg_at[SEG_COUNT] = { 0x7e00, 0x7e10, 0x7e20, 0x7e30, 0x7e40, 0x7e50 };

static uint64_t get(CpuState *c, uint32_t off, unsigned n)
{
    return phys_ld(c, c->msr_smbase + SAVE + off, n);
}

static void put(CpuState *c, uint32_t off, uint64_t v, unsigned n)
{
    phys_st(c, c->msr_smbase + SAVE + off, v, n);
}

static void put_segment(CpuState *c, uint32_t off, const Segment *s)
{
    put(c, off, s->selector, 2);
    put(c, off + 2, s->attr, 2);
    put(c, off + 4, s->limit, 4);
    put(c, off + 8, s->base, 8);
}

static void get_segment(CpuState *c, uint32_t off, Segment *s)
{
    s->selector = (uint16_t)get(c, off, 2);
    s->attr = (uint16_t)get(c, off + 2, 2);
    s->limit = (uint32_t)get(c, off + 4, 4);
    s->base = get(c, off + 8, 8);
    seg_update(s);
}

void smm_enter(CpuState *c)
{
    bool halted = c->activity == CPU_HALTED;

    if (c->mid_repeat) {
        c->mid_repeat = false;
        c->rflags |= FLAG_RF;
    }
    c->in_smm = true; /* the save area is in SMRAM */
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        put_segment(c, seg_at[n], &c->segs[n]);
    }
    put(c, 0x7e64, c->gdtr.limit, 2);
    put(c, 0x7e68, c->gdtr.base, 8);
    put_segment(c, 0x7e70, &c->ldtr);
    put(c, 0x7e84, c->idtr.limit, 2);
    put(c, 0x7e88, c->idtr.base, 8);
    put_segment(c, 0x7e90, &c->tr);
    put(c, 0x7ec9, halted, 1);
    put(c, 0x7ed0, c->efer, 8);
    put(c, 0x7efc, REVISION, 4);
    put(c, 0x7f00, c->msr_smbase, 4);
    put(c, 0x7f48, c->cr4, 8);
    put(c, 0x7f50, c->cr3, 8);
    put(c, 0x7f58, c->cr0, 8);
    put(c, 0x7f60, c->dr[7], 8);
    put(c, 0x7f68, c->dr[6], 8);
    put(c, 0x7f70, rflags_get(c), 8);
    put(c, 0x7f78, c->regs[GPR_RIP], 8);
    for (unsigned n = 0; n < 16; n++) {
        put(c, 0x7ff8 - n * 8, c->regs[n], 8);
    }
    c->activity = CPU_RUNNING;
    c->nmi_blocked = true;
    c->efer = 0;
    c->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    c->cr4 = 0;
    c->dr[7] = 0x400;
    rflags_put(c, 2);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        Segment *s = &c->segs[n];

        s->selector = n == SEG_CS ? (uint16_t)(c->msr_smbase >> 4) : 0;
        s->base = n == SEG_CS ? c->msr_smbase : 0;
        s->limit = 0xffffffff;
        s->attr = ATTR_G | ATTR_P | ATTR_S | ATTR_WRITE | ATTR_ACCESSED;
        seg_update(s);
    }
    c->regs[GPR_RIP] = 0x8000;
    cpu_update_mode(c);
    tlb_flush(c, true);
}

void smm_leave(CpuState *c)
{
    uint64_t cr0 = get(c, 0x7f58, 8), cr4 = get(c, 0x7f48, 8), efer = get(c, 0x7ed0, 8);
    uint64_t smbase = get(c, 0x7f00, 4);

    for (unsigned n = 0; n < 16; n++) {
        c->regs[n] = get(c, 0x7ff8 - n * 8, 8);
    }
    c->regs[GPR_RIP] = get(c, 0x7f78, 8);
    rflags_put(c, get(c, 0x7f70, 8) & 0x3f7fd7);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        get_segment(c, seg_at[n], &c->segs[n]);
    }
    c->gdtr = (DescTable){ get(c, 0x7e68, 8), (uint16_t)get(c, 0x7e64, 2) };
    c->idtr = (DescTable){ get(c, 0x7e88, 8), (uint16_t)get(c, 0x7e84, 2) };
    get_segment(c, 0x7e70, &c->ldtr);
    get_segment(c, 0x7e90, &c->tr);
    c->dr[6] = get(c, 0x7f68, 8);
    c->dr[7] = get(c, 0x7f60, 8);
    c->cr3 = get(c, 0x7f50, 8);
    c->efer = efer & (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    c->cr4 = cr4;
    c->cr0 = (cr0 & 0xe005003f) | CR0_ET;
    c->activity = get(c, 0x7ec9, 1) & 1 ? CPU_HALTED : CPU_RUNNING;
    c->msr_smbase = smbase;
    c->cpl = (c->segs[SEG_SS].attr & ATTR_DPL) >> ATTR_DPL_SHIFT;
    c->in_smm = false;
    c->nmi_blocked = false;
    cpu_update_mode(c);
    tlb_flush(c, true);
}
