/*
 * System instructions. Source: Intel SDM vol. 2, the instruction's own page.
 */
#include "cpu/operand.h"

#include <time.h>
#include "base/log.h"
#include "base/mem.h"
#include "cpu/cpuid.h"
#include "cpu/segment.h"
#include "cpu/tape.h"

static void need_cpl0(CpuState *c)
{
    if (c->cpl != 0) {
        cpu_gp0(c);
    }
}

/* ---- control and debug registers ---- */

static void mov_r_cr(CpuState *c, const Insn *i)
{
    uint64_t v = 0;

    switch (i->reg) {
    case 0: v = c->cr0; break;
    case 2: v = c->cr2; break;
    case 3: v = c->cr3; break;
    case 4: v = c->cr4; break;
    case 8: v = 0; break;
    default: cpu_ud(c);
    }
    need_cpl0(c);
    if (i->reg == 8 && c->hooks.get_cr8 != NULL && !tape_read(c, TAPE_CR8_READ, 0, &v)) {
        v = tape_was(c, TAPE_CR8_READ, 0, c->hooks.get_cr8(c));
    }
    c->regs[i->rm] = c->code64 ? v : (uint32_t)v;
}

static void mov_cr_r(CpuState *c, const Insn *i)
{
    uint64_t v = c->code64 ? c->regs[i->rm] : (uint32_t)c->regs[i->rm];

    if (i->reg != 0 && i->reg != 2 && i->reg != 3 && i->reg != 4 && i->reg != 8) {
        cpu_ud(c);
    }
    need_cpl0(c);
    switch (i->reg) {
    case 0: cpu_set_cr0(c, v); break;
    case 2: c->cr2 = v; break;
    case 3: cpu_set_cr3(c, v); break;
    case 4: cpu_set_cr4(c, v); break;
    default:
        if (v & ~15ull) {
            cpu_gp0(c);
        }
        if (c->hooks.set_cr8 != NULL && !tape_write(c, TAPE_CR8_WRITE, 0, v)) {
            c->hooks.set_cr8(c, (uint8_t)v);
        }
    }
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. */
static unsigned dr_number(CpuState *c, const Insn *i)
{
    unsigned n = i->reg;

    if (n >= 8 || ((n == 4 || n == 5) && (c->cr4 & CR4_DE))) {
        cpu_ud(c);
    }
    need_cpl0(c);
    if (c->dr[7] & (1u << 13)) { /* general detect */
        c->dr[6] |= 1u << 13;
        c->dr[7] &= ~(1ull << 13);
        cpu_raise(c, EXC_DB);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

static void mov_r_dr(CpuState *c, const Insn *i)
{
    c->regs[i->rm] = c->dr[dr_number(c, i)];
}

static void mov_dr_r(CpuState *c, const Insn *i)
{
    unsigned n = dr_number(c, i);
    uint64_t v = c->code64 ? c->regs[i->rm] : (uint32_t)c->regs[i->rm];

    if (n >= 6 && v >> 32) {
        cpu_gp0(c);
    }
    cpu_set_dr(c, n, v);
}

static void smsw(CpuState *c, const Insn *i)
{
    if ((c->cr4 & CR4_UMIP) && c->cpl != 0) {
        cpu_gp0(c);
    }
    if (insn_mem(i)) {
        st_u16(c, i->seg, insn_ea(c, i), (uint16_t)c->cr0);
    } else if (i->opsize == 2) {
        reg16_set(c, i->rm, (uint16_t)c->cr0);
    } else {
        c->regs[i->rm] = i->opsize == 4 ? (uint32_t)c->cr0 : c->cr0;
    }
}

static void lmsw(CpuState *c, const Insn *i)
{
    uint16_t v;

    need_cpl0(c);
    v = rm_get_16(c, i);
    /* PE can be set but not cleared */
    cpu_set_cr0(c, (c->cr0 & ~0xeull) | (v & 0xf) | (c->cr0 & CR0_PE));
}

static void clts(CpuState *c, const Insn *i)
{
    need_cpl0(c);
    c->cr0 &= ~CR0_TS;
    cpu_update_mode(c);
}

/* ---- descriptor tables ---- */

static void store_table(CpuState *c, const Insn *i, const DescTable *t)
{
    vaddr ea = insn_ea(c, i);

    if ((c->cr4 & CR4_UMIP) && c->cpl != 0) {
        cpu_gp0(c);
    }
    mem_probe_write(c, i->seg, ea, c->code64 ? 10 : 6);
    st_u16(c, i->seg, ea, t->limit);
    if (c->code64) {
        st_u64(c, i->seg, ea + 2, t->base);
    } else {
        st_u32(c, i->seg, ea + 2, (uint32_t)t->base);
    }
}

static void load_table(CpuState *c, const Insn *i, DescTable *t)
{
    vaddr ea = insn_ea(c, i);
    uint16_t limit;
    uint64_t base;

    need_cpl0(c);
    limit = ld_u16(c, i->seg, ea);
    if (c->code64) {
        base = ld_u64(c, i->seg, ea + 2);
        if (!canonical(base)) {
            cpu_gp0(c);
        }
    } else {
        base = ld_u32(c, i->seg, ea + 2) & (i->opsize == 2 ? 0xffffffu : 0xffffffffu);
    }
    t->limit = limit;
    t->base = base;
}

static void sgdt(CpuState *c, const Insn *i)
{
    store_table(c, i, &c->gdtr);
}

static void sidt(CpuState *c, const Insn *i)
{
    store_table(c, i, &c->idtr);
}

static void lgdt(CpuState *c, const Insn *i)
{
    load_table(c, i, &c->gdtr);
}

static void lidt(CpuState *c, const Insn *i)
{
    load_table(c, i, &c->idtr);
}

static void store_selector(CpuState *c, const Insn *i, uint16_t sel)
{
    if ((c->cr4 & CR4_UMIP) && c->cpl != 0) {
        cpu_gp0(c);
    }
    if (insn_mem(i)) {
        st_u16(c, i->seg, insn_ea(c, i), sel);
    } else if (i->opsize == 2) {
        reg16_set(c, i->rm, sel);
    } else {
        c->regs[i->rm] = sel;
    }
}

static void sldt(CpuState *c, const Insn *i)
{
    store_selector(c, i, c->ldtr.selector);
}

static void str_(CpuState *c, const Insn *i)
{
    store_selector(c, i, c->tr.selector);
}

static void lldt(CpuState *c, const Insn *i)
{
    need_cpl0(c);
    load_ldt(c, rm_get_16(c, i));
}

static void ltr(CpuState *c, const Insn *i)
{
    need_cpl0(c);
    load_tr(c, rm_get_16(c, i));
}

static void set_zf(CpuState *c, bool zf)
{
    flags_set(c, (flags_get(c) & ~FLAG_ZF) | (zf ? FLAG_ZF : 0));
}

/* What LAR, LSL, VERR and VERW ask: is the descriptor visible at this privilege? */
static bool visible(CpuState *c, uint16_t sel, Desc *d, uint32_t system_types)
{
    unsigned type;

    if ((sel & ~3) == 0 || !desc_try(c, sel, d)) {
        return false;
    }
    type = desc_type(d);
    if (!desc_s(d)) {
        return (system_types >> type & 1) && desc_dpl(d) >= c->cpl && desc_dpl(d) >= (sel & 3u);
    }
    return (type & (ATTR_CODE | ATTR_DOWN)) == (ATTR_CODE | ATTR_DOWN) ||
           (desc_dpl(d) >= c->cpl && desc_dpl(d) >= (sel & 3u));
}

static void lar(CpuState *c, const Insn *i)
{
    uint32_t types = c->efer & EFER_LMA ? 0x1a04 : 0x1a3e; /* LDT, TSS, call gates, task gate */
    Desc d;

    if (!visible(c, rm_get_16(c, i), &d, types)) {
        set_zf(c, false);
        return;
    }
    set_zf(c, true);
    if (i->opsize == 2) {
        reg16_set(c, i->reg, d.hi & 0xff00);
    } else {
        c->regs[i->reg] = d.hi & 0x00f0ff00;
    }
}

static void lsl(CpuState *c, const Insn *i)
{
    uint32_t types = c->efer & EFER_LMA ? 0x0a04 : 0x0a0e, limit;
    Desc d;

    if (!visible(c, rm_get_16(c, i), &d, types)) {
        set_zf(c, false);
        return;
    }
    set_zf(c, true);
    limit = desc_segment(0, &d).limit;
    if (i->opsize == 2) {
        reg16_set(c, i->reg, (uint16_t)limit);
    } else {
        c->regs[i->reg] = limit;
    }
}

static void verr(CpuState *c, const Insn *i)
{
    Desc d;

    set_zf(c, visible(c, rm_get_16(c, i), &d, 0) &&
                  (!(desc_type(&d) & ATTR_CODE) || (desc_type(&d) & ATTR_WRITE)));
}

static void verw(CpuState *c, const Insn *i)
{
    Desc d;

    set_zf(c, visible(c, rm_get_16(c, i), &d, 0) &&
                  (desc_type(&d) & (ATTR_CODE | ATTR_WRITE)) == ATTR_WRITE);
}

static void arpl(CpuState *c, const Insn *i)
{
    uint16_t src = (uint16_t)c->regs[i->reg], dst = rm_get_16(c, i);
    bool lower = (dst & 3) < (src & 3);

    if (insn_mem(i)) {
        mem_probe_write(c, i->seg, insn_ea(c, i), 2);
    }
    if (lower) {
        rm_set_16(c, i, (uint16_t)((dst & ~3) | (src & 3)));
    }
    set_zf(c, lower);
}

/* ---- TLB and caches ---- */

static void invlpg(CpuState *c, const Insn *i)
{
    vaddr ea = insn_ea(c, i);

    need_cpl0(c);
    ea += c->code64 && i->seg < SEG_FS ? 0 : c->segs[i->seg].base;
    tlb_flush_page(c, c->code64 ? ea : (uint32_t)ea);
}

static void invpcid(CpuState *c, const Insn *i)
{
    uint64_t type = c->code64 ? c->regs[i->reg] : (uint32_t)c->regs[i->reg], d[2];

    need_cpl0(c);
    ld_bytes(c, i->seg, insn_ea(c, i), d, 16);
    if (type > 3 || (type < 2 && (d[0] >> 12)) || (type == 0 && !canonical(d[1])) ||
        (type < 2 && !(c->cr4 & CR4_PCIDE) && (d[0] & 0xfff))) {
        cpu_gp0(c);
    }
    if (type == 0 && d[0] == (c->cr3 & 0xfff)) {
        tlb_flush_page(c, d[1]);
    } else {
        tlb_flush(c, type == 2);
    }
}

static void wbinvd(CpuState *c, const Insn *i)
{
    need_cpl0(c);
}

/* ---- processor control ---- */

static void hlt(CpuState *c, const Insn *i)
{
    need_cpl0(c);
    c->activity = CPU_HALTED;
}

static void cli(CpuState *c, const Insn *i)
{
    unsigned iopl = (unsigned)(c->rflags & FLAG_IOPL) >> 12;

    if (!(c->cr0 & CR0_PE) || c->cpl <= iopl) {
        if (!(c->rflags & FLAG_VM) || iopl == 3) {
            c->rflags &= ~FLAG_IF;
            return;
        }
    }
    if (c->cpl == 3 && (c->cr4 & (c->rflags & FLAG_VM ? CR4_VME : CR4_PVI))) {
        c->rflags &= ~FLAG_VIF;
        return;
    }
    cpu_gp0(c);
}

static void sti(CpuState *c, const Insn *i)
{
    unsigned iopl = (unsigned)(c->rflags & FLAG_IOPL) >> 12;

    if (!(c->cr0 & CR0_PE) || (c->cpl <= iopl && (!(c->rflags & FLAG_VM) || iopl == 3))) {
        if (!(c->rflags & FLAG_IF)) {
            c->rflags |= FLAG_IF;
            c->inhibit_irq = c->careful = true;
        }
        return;
    }
    if (c->cpl == 3 && (c->cr4 & (c->rflags & FLAG_VM ? CR4_VME : CR4_PVI)) &&
        !(c->rflags & FLAG_VIP)) {
        c->rflags |= FLAG_VIF;
        return;
    }
    cpu_gp0(c);
}

static void stac_clac(CpuState *c, const Insn *i)
{
    if (c->cpl != 0) {
        cpu_ud(c);
    }
    c->rflags = i->modrm == 0xcb ? c->rflags | FLAG_AC : c->rflags & ~FLAG_AC;
    cpu_update_mode(c);
}

static void cpuid_insn(CpuState *c, const Insn *i)
{
    CpuidRegs r = cpuid_leaf(c, (uint32_t)c->regs[GPR_RAX], (uint32_t)c->regs[GPR_RCX]);

    c->regs[GPR_RAX] = r.eax;
    c->regs[GPR_RBX] = r.ebx;
    c->regs[GPR_RCX] = r.ecx;
    c->regs[GPR_RDX] = r.edx;
}

static void rdmsr(CpuState *c, const Insn *i)
{
    uint64_t v;

    need_cpl0(c);
    if (!cpu_rdmsr(c, (uint32_t)c->regs[GPR_RCX], &v)) {
        cpu_gp0(c);
    }
    c->regs[GPR_RAX] = (uint32_t)v;
    c->regs[GPR_RDX] = v >> 32;
}

static void wrmsr(CpuState *c, const Insn *i)
{
    uint64_t v = (uint32_t)c->regs[GPR_RAX] | c->regs[GPR_RDX] << 32;

    need_cpl0(c);
    if (!cpu_wrmsr(c, (uint32_t)c->regs[GPR_RCX], v)) {
        cpu_gp0(c);
    }
}

static void rdtsc(CpuState *c, const Insn *i)
{
    uint64_t t;

    if ((c->cr4 & CR4_TSD) && c->cpl != 0) {
        cpu_gp0(c);
    }
    t = cpu_read_tsc(c);
    c->regs[GPR_RAX] = (uint32_t)t;
    c->regs[GPR_RDX] = t >> 32;
    if (i->opcode == 0x01) { /* RDTSCP */
        c->regs[GPR_RCX] = (uint32_t)c->msr_tsc_aux;
    }
}

static void rdpmc(CpuState *c, const Insn *i)
{
    if (!(c->cr4 & CR4_PCE) && c->cpl != 0) {
        cpu_gp0(c);
    }
    cpu_gp0(c); /* no counters */
}

static void rdpid(CpuState *c, const Insn *i)
{
    c->regs[i->rm] = c->msr_tsc_aux;
}

static void random_insn(CpuState *c, const Insn *i)
{
    uint64_t v = cpu_random(c);

    if (i->opsize == 2) {
        reg16_set(c, i->rm, (uint16_t)v);
    } else {
        c->regs[i->rm] = i->opsize == 4 ? (uint32_t)v : v;
    }
    flags_set(c, FLAG_CF);
}

static void monitor(CpuState *c, const Insn *i)
{
    need_cpl0(c);
    ld_u8(c, i->seg, c->regs[GPR_RAX]);
}

static void mwait(CpuState *c, const Insn *i)
{
    need_cpl0(c); /* returns at once: any store may have ended the wait */
}

/* ---- segment bases ---- */

static void fsgsbase(CpuState *c, const Insn *i)
{
    unsigned op = i->modrm >> 3 & 7, seg = op & 1 ? SEG_GS : SEG_FS;

    if (!(c->cr4 & CR4_FSGSBASE)) {
        cpu_ud(c);
    }
    if (op < 2) {
        c->regs[i->rm] = i->opsize == 8 ? c->segs[seg].base : (uint32_t)c->segs[seg].base;
        return;
    }
    uint64_t v = i->opsize == 8 ? c->regs[i->rm] : (uint32_t)c->regs[i->rm];
    if (!canonical(v)) {
        cpu_gp0(c);
    }
    c->segs[seg].base = v;
}

static void swapgs(CpuState *c, const Insn *i)
{
    uint64_t v = c->segs[SEG_GS].base;

    need_cpl0(c);
    c->segs[SEG_GS].base = c->msr_kernel_gs_base;
    c->msr_kernel_gs_base = v;
}

/* ---- fast system calls ---- */

static void flat_segment(CpuState *c, unsigned seg, uint16_t sel, uint16_t attr)
{
    Segment *s = &c->segs[seg];

    s->selector = sel;
    s->base = 0;
    s->limit = 0xffffffff;
    s->attr = attr;
    seg_update(s);
}

#define CODE_ATTR (ATTR_G | ATTR_P | ATTR_S | ATTR_CODE | ATTR_WRITE | ATTR_ACCESSED)
#define DATA_ATTR (ATTR_G | ATTR_DB | ATTR_P | ATTR_S | ATTR_WRITE | ATTR_ACCESSED)

static void syscall_insn(CpuState *c, const Insn *i)
{
    uint16_t sel = (uint16_t)(c->msr_star >> 32) & 0xfffc;

    if (!(c->efer & EFER_SCE) || !(c->cr0 & CR0_PE) || !c->code64) {
        cpu_ud(c);
    }
    c->regs[GPR_RCX] = c->regs[GPR_RIP];
    c->regs[GPR_R11] = rflags_get(c) & ~FLAG_RF;
    c->regs[GPR_RIP] = c->msr_lstar;
    rflags_put(c, rflags_get(c) & ~(c->msr_fmask | FLAG_RF));
    flat_segment(c, SEG_CS, sel, CODE_ATTR | ATTR_L);
    flat_segment(c, SEG_SS, sel + 8, DATA_ATTR);
    c->cpl = 0;
    cpu_update_mode(c);
}

static void sysret(CpuState *c, const Insn *i)
{
    uint16_t sel = (uint16_t)(c->msr_star >> 48);

    if (!(c->efer & EFER_SCE) || !(c->cr0 & CR0_PE) || !c->code64) {
        cpu_ud(c);
    }
    need_cpl0(c);
    if (i->opsize == 8) {
        if (!canonical(c->regs[GPR_RCX])) {
            cpu_gp0(c);
        }
        flat_segment(c, SEG_CS, (uint16_t)((sel + 16) | 3), CODE_ATTR | ATTR_L | ATTR_DPL);
        c->regs[GPR_RIP] = c->regs[GPR_RCX];
    } else {
        flat_segment(c, SEG_CS, sel | 3, CODE_ATTR | ATTR_DB | ATTR_DPL);
        c->regs[GPR_RIP] = (uint32_t)c->regs[GPR_RCX];
    }
    flat_segment(c, SEG_SS, (uint16_t)((sel + 8) | 3), DATA_ATTR | ATTR_DPL);
    rflags_put(c, (c->regs[GPR_R11] & 0x3c7fd7) | 2);
    c->cpl = 3;
    cpu_update_mode(c);
}

static void sysenter(CpuState *c, const Insn *i)
{
    uint16_t sel = (uint16_t)c->msr_sysenter_cs & 0xfffc;
    bool lm = (c->efer & EFER_LMA) != 0;

    if (!(c->cr0 & CR0_PE) || sel == 0) {
        cpu_gp0(c);
    }
    c->rflags &= ~(FLAG_VM | FLAG_IF);
    flat_segment(c, SEG_CS, sel, CODE_ATTR | (lm ? ATTR_L : ATTR_DB));
    flat_segment(c, SEG_SS, sel + 8, DATA_ATTR);
    c->regs[GPR_RSP] = lm ? c->msr_sysenter_esp : (uint32_t)c->msr_sysenter_esp;
    c->regs[GPR_RIP] = lm ? c->msr_sysenter_eip : (uint32_t)c->msr_sysenter_eip;
    c->cpl = 0;
    cpu_update_mode(c);
}

static void sysexit(CpuState *c, const Insn *i)
{
    uint16_t sel = (uint16_t)c->msr_sysenter_cs & 0xfffc;
    bool wide = i->opsize == 8;

    if (!(c->cr0 & CR0_PE) || c->cpl != 0 || sel == 0) {
        cpu_gp0(c);
    }
    if (wide && (!canonical(c->regs[GPR_RCX]) || !canonical(c->regs[GPR_RDX]))) {
        cpu_gp0(c);
    }
    flat_segment(c, SEG_CS, (uint16_t)((sel + (wide ? 32 : 16)) | 3),
                 CODE_ATTR | ATTR_DPL | (wide ? ATTR_L : ATTR_DB));
    flat_segment(c, SEG_SS, (uint16_t)((sel + (wide ? 40 : 24)) | 3), DATA_ATTR | ATTR_DPL);
    c->regs[GPR_RSP] = wide ? c->regs[GPR_RCX] : (uint32_t)c->regs[GPR_RCX];
    c->regs[GPR_RIP] = wide ? c->regs[GPR_RDX] : (uint32_t)c->regs[GPR_RDX];
    c->cpl = 3;
    cpu_update_mode(c);
}

static void rsm(CpuState *c, const Insn *i)
{
    if (!c->in_smm) {
        cpu_ud(c);
    }
    smm_leave(c);
}

#define R1(op, name, ops, fl, h) { MAP_1, op, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define RF(op, name, ops, fl, h) { MAP_0F, op, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define RFX(op, ext, name, ops, fl, h) { MAP_0F, op, P_ANY, ext, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define RFM(op, pfx, ext, rm, feat, name, fl, h) { MAP_0F, op, pfx, ext, rm, feat, fl, name, "", h }

/* clang-format off */
const OpRow op_rows_sys[] = {
    RF(0x20, "mov", "Ry,Cy", OP_F64 | OP_END, X1(mov_r_cr)), RF(0x22, "mov", "Cy,Ry", OP_F64 | OP_END, X1(mov_cr_r)),
    RF(0x21, "mov", "Ry,Dy", OP_F64 | OP_END, X1(mov_r_dr)), RF(0x23, "mov", "Dy,Ry", OP_F64 | OP_END, X1(mov_dr_r)),
    RFX(0x00, 0, "sldt", "Ev", OP_PROT, X1(sldt)), RFX(0x00, 1, "str", "Ev", OP_PROT, X1(str_)),
    RFX(0x00, 2, "lldt", "Ew", OP_PROT, X1(lldt)), RFX(0x00, 3, "ltr", "Ew", OP_PROT, X1(ltr)),
    RFX(0x00, 4, "verr", "Ew", OP_PROT, X1(verr)), RFX(0x00, 5, "verw", "Ew", OP_PROT, X1(verw)),
    RFX(0x01, 0, "sgdt", "Ms", OP_MEM, X1(sgdt)), RFX(0x01, 1, "sidt", "Ms", OP_MEM, X1(sidt)),
    RFX(0x01, 2, "lgdt", "Ms", OP_MEM, X1(lgdt)), RFX(0x01, 3, "lidt", "Ms", OP_MEM, X1(lidt)),
    RFX(0x01, 4, "smsw", "Ev", 0, X1(smsw)), RFX(0x01, 6, "lmsw", "Ew", OP_END, X1(lmsw)),
    RFX(0x01, 7, "invlpg", "M", OP_MEM | OP_END, X1(invlpg)),
    RFM(0x01, P_NONE, 1, 0, FEAT_MONITOR, "monitor", 0, X1(monitor)), RFM(0x01, P_NONE, 1, 1, FEAT_MONITOR, "mwait", OP_END, X1(mwait)),
    RFM(0x01, P_NONE, 1, 2, FEAT_SMAP, "clac", OP_END, X1(stac_clac)), RFM(0x01, P_NONE, 1, 3, FEAT_SMAP, "stac", OP_END, X1(stac_clac)),
    RFM(0x01, P_ANY, 7, 0, FEAT_LM, "swapgs", OP_O64, X1(swapgs)), RFM(0x01, P_ANY, 7, 1, FEAT_RDTSCP, "rdtscp", OP_IO, X1(rdtsc)),
    RF(0x02, "lar", "Gv,Ew", OP_PROT, X1(lar)), RF(0x03, "lsl", "Gv,Ew", OP_PROT, X1(lsl)),
    R1(0x63, "arpl", "Ew,Gw", OP_I64 | OP_PROT, X1(arpl)),
    RF(0x06, "clts", "", OP_END, X1(clts)), RF(0x08, "invd", "", OP_END, X1(wbinvd)), RF(0x09, "wbinvd", "", OP_END, X1(wbinvd)),
    RF(0xa2, "cpuid", "", OP_END, X1(cpuid_insn)),
    { MAP_0F, 0x31, P_ANY, EXT_ANY, EXT_ANY, FEAT_TSC, OP_IO, "rdtsc", "", X1(rdtsc) },
    { MAP_0F, 0x32, P_ANY, EXT_ANY, EXT_ANY, FEAT_MSR, OP_IO, "rdmsr", "", X1(rdmsr) },
    { MAP_0F, 0x30, P_ANY, EXT_ANY, EXT_ANY, FEAT_MSR, OP_END, "wrmsr", "", X1(wrmsr) },
    RF(0x33, "rdpmc", "", OP_END, X1(rdpmc)),
    R1(0xf4, "hlt", "", OP_END, X1(hlt)), R1(0xfa, "cli", "", 0, X1(cli)), R1(0xfb, "sti", "", OP_END, X1(sti)),
    { MAP_0F, 0x05, P_ANY, EXT_ANY, EXT_ANY, FEAT_SYSCALL, OP_END, "syscall", "", X1(syscall_insn) },
    { MAP_0F, 0x07, P_ANY, EXT_ANY, EXT_ANY, FEAT_SYSCALL, OP_END, "sysret", "", X1(sysret) },
    { MAP_0F, 0x34, P_ANY, EXT_ANY, EXT_ANY, FEAT_SEP, OP_END, "sysenter", "", X1(sysenter) },
    { MAP_0F, 0x35, P_ANY, EXT_ANY, EXT_ANY, FEAT_SEP, OP_END, "sysexit", "", X1(sysexit) },
    { MAP_0F, 0xaa, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, OP_END, "rsm", "", X1(rsm) },
    { MAP_0F38, 0x82, P_66, EXT_ANY, EXT_ANY, FEAT_INVPCID, OP_MEM | OP_F64 | OP_END | OP_PROT, "invpcid", "Gy,Mdq", X1(invpcid) },
    { MAP_0F, 0xae, P_F3, 0, EXT_ANY, FEAT_FSGSBASE, OP_REG | OP_O64, "rdfsbase", "Ry", X1(fsgsbase) },
    { MAP_0F, 0xae, P_F3, 1, EXT_ANY, FEAT_FSGSBASE, OP_REG | OP_O64, "rdgsbase", "Ry", X1(fsgsbase) },
    { MAP_0F, 0xae, P_F3, 2, EXT_ANY, FEAT_FSGSBASE, OP_REG | OP_O64, "wrfsbase", "Ry", X1(fsgsbase) },
    { MAP_0F, 0xae, P_F3, 3, EXT_ANY, FEAT_FSGSBASE, OP_REG | OP_O64, "wrgsbase", "Ry", X1(fsgsbase) },
    { MAP_0F, 0xc7, P_F3, 7, EXT_ANY, FEAT_RDPID, OP_REG | OP_F64, "rdpid", "Ry", X1(rdpid) },
    { MAP_0F, 0xc7, P_NONE, 6, EXT_ANY, FEAT_RDRAND, OP_REG, "rdrand", "Rv", X1(random_insn) },
    { MAP_0F, 0xc7, P_66, 6, EXT_ANY, FEAT_RDRAND, OP_REG, "rdrand", "Rv", X1(random_insn) },
    { MAP_0F, 0xc7, P_NONE, 7, EXT_ANY, FEAT_RDSEED, OP_REG, "rdseed", "Rv", X1(random_insn) },
    { MAP_0F, 0xc7, P_66, 7, EXT_ANY, FEAT_RDSEED, OP_REG, "rdseed", "Rv", X1(random_insn) },
    { .name = NULL },
};
/* clang-format on */
