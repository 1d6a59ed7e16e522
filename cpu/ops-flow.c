/*
 * Control flow and the stack. Source: Intel SDM vol. 2, the instruction's own page.
 */
#include "cpu/operand.h"

#include "base/mem.h"
#include "cpu/segment.h"

/* ---- the stack ---- */

static uint64_t sp_mask(const CpuState *c)
{
    return c->stack64 ? ~0ull : c->stack32 ? 0xffffffffull : 0xffff;
}

static void sp_set(CpuState *c, uint64_t sp)
{
    if (c->stack64) {
        c->regs[GPR_RSP] = sp;
    } else if (c->stack32) {
        c->regs[GPR_RSP] = (uint32_t)sp;
    } else {
        reg16_set(c, GPR_RSP, (uint16_t)sp);
    }
}

static void push(CpuState *c, uint64_t v, unsigned size)
{
    uint64_t sp = (c->regs[GPR_RSP] - size) & sp_mask(c);

    switch (size) {
    case 2: st_u16(c, SEG_SS, sp, (uint16_t)v); break;
    case 4: st_u32(c, SEG_SS, sp, (uint32_t)v); break;
    default: st_u64(c, SEG_SS, sp, v); break;
    }
    sp_set(c, sp);
}

static uint64_t stack_load(CpuState *c, uint64_t sp, unsigned size)
{
    sp &= sp_mask(c);
    return size == 2 ? ld_u16(c, SEG_SS, sp) : size == 4 ? ld_u32(c, SEG_SS, sp)
                                                         : ld_u64(c, SEG_SS, sp);
}

static uint64_t stack_top(CpuState *c, unsigned size)
{
    return stack_load(c, c->regs[GPR_RSP], size);
}

static void drop(CpuState *c, unsigned n)
{
    sp_set(c, c->regs[GPR_RSP] + n);
}

#define DEF_STACK(bits)                                                                            \
    static void push_z_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        push(c, c->regs[i->reg], bits / 8);                                                        \
    }                                                                                              \
    static void pop_z_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        uint64_t v = stack_top(c, bits / 8);                                                       \
        drop(c, bits / 8);                                                                         \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)v);                                           \
    }                                                                                              \
    static void push_rm_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        push(c, rm_get_##bits(c, i), bits / 8);                                                    \
    }                                                                                              \
    static void push_i_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        push(c, i->imm, bits / 8);                                                                 \
    }                                                                                              \
    static void pop_rm_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        uint64_t v = stack_top(c, bits / 8), sp = c->regs[GPR_RSP];                                \
        drop(c, bits / 8); /* an address made with rSP uses its value after the pop */             \
        if (!insn_mem(i)) {                                                                        \
            reg_set_##bits(c, i, i->rm, (uint##bits##_t)v);                                        \
            return;                                                                                \
        }                                                                                          \
        vaddr ea = insn_ea(c, i);                                                                  \
        uint64_t after = c->regs[GPR_RSP];                                                         \
        c->regs[GPR_RSP] = sp; /* in case the store faults */                                      \
        st_u##bits(c, i->seg, ea, (uint##bits##_t)v);                                              \
        c->regs[GPR_RSP] = after;                                                                  \
    }                                                                                              \
    static void leave_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        uint64_t v = stack_load(c, c->regs[GPR_RBP], bits / 8);                                    \
        sp_set(c, c->regs[GPR_RBP] + bits / 8);                                                    \
        reg_set_##bits(c, i, GPR_RBP, (uint##bits##_t)v);                                          \
    }                                                                                              \
    static void enter_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        unsigned level = i->imm2 & 31, size = bits / 8;                                            \
        uint64_t mask = sp_mask(c), sp = c->regs[GPR_RSP] - size, frame = sp;                      \
        uint64_t bp = c->regs[GPR_RBP];                                                            \
        st_u##bits(c, SEG_SS, sp & mask, (uint##bits##_t)bp);                                      \
        for (unsigned n = 1; n < level; n++) {                                                     \
            bp -= size;                                                                            \
            sp -= size;                                                                            \
            st_u##bits(c, SEG_SS, sp & mask, ld_u##bits(c, SEG_SS, bp & mask));                    \
        }                                                                                          \
        if (level > 0) {                                                                           \
            sp -= size;                                                                            \
            st_u##bits(c, SEG_SS, sp & mask, (uint##bits##_t)frame);                               \
        }                                                                                          \
        sp -= i->imm;                                                                              \
        mem_probe_write(c, SEG_SS, sp & mask, size);                                               \
        reg_set_##bits(c, i, GPR_RBP, (uint##bits##_t)frame);                                      \
        sp_set(c, sp);                                                                             \
    }                                                                                              \
    static void pushf_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        uint64_t f = rflags_get(c) & ~(FLAG_VM | FLAG_RF);                                         \
        if ((c->rflags & FLAG_VM) && (c->rflags & FLAG_IOPL) != FLAG_IOPL) {                       \
            if (bits != 16 || !(c->cr4 & CR4_VME)) {                                               \
                cpu_gp0(c);                                                                        \
            }                                                                                      \
            f = (f & ~FLAG_IF) | FLAG_IOPL | (f & FLAG_VIF ? FLAG_IF : 0);                         \
        }                                                                                          \
        push(c, f, bits / 8);                                                                      \
    }
DEF3(DEF_STACK)

/* PUSHA and POPA: the stored SP is the one before. */
static void pusha(CpuState *c, const Insn *i)
{
    uint64_t mask = sp_mask(c), sp = c->regs[GPR_RSP];
    unsigned size = i->opsize;

    for (unsigned n = 0; n < 8; n++) {
        uint64_t at = (sp - (n + 1) * size) & mask;

        if (size == 2) {
            st_u16(c, SEG_SS, at, (uint16_t)c->regs[n]);
        } else {
            st_u32(c, SEG_SS, at, (uint32_t)c->regs[n]);
        }
    }
    sp_set(c, sp - 8 * size);
}

static void popa(CpuState *c, const Insn *i)
{
    unsigned size = i->opsize;
    uint64_t v[8];

    for (unsigned n = 0; n < 8; n++) {
        v[7 - n] = stack_load(c, c->regs[GPR_RSP] + n * size, size);
    }
    for (unsigned n = 0; n < 8; n++) {
        if (n == GPR_RSP) {
            continue;
        }
        if (size == 2) {
            reg16_set(c, n, (uint16_t)v[n]);
        } else {
            reg32_set(c, n, (uint32_t)v[n]);
        }
    }
    drop(c, 8 * size);
}

static void popf(CpuState *c, const Insn *i)
{
    uint64_t f = stack_top(c, i->opsize), old = rflags_get(c);
    uint64_t mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;
    unsigned iopl = (unsigned)(old & FLAG_IOPL) >> 12;

    if (i->opsize > 2) {
        mask |= FLAG_AC | FLAG_ID;
    }
    if (!(c->cr0 & CR0_PE) || c->cpl == 0) {
        mask |= FLAG_IOPL | FLAG_IF;
    } else if (old & FLAG_VM) {
        if (iopl == 3) {
            mask |= FLAG_IF;
        } else if (i->opsize == 2 && (c->cr4 & CR4_VME)) {
            if (((f & FLAG_IF) && (old & FLAG_VIP)) || (f & FLAG_TF)) {
                cpu_gp0(c);
            }
            old = (old & ~FLAG_VIF) | (f & FLAG_IF ? FLAG_VIF : 0);
        } else {
            cpu_gp0(c);
        }
    } else if (c->cpl <= iopl) {
        mask |= FLAG_IF;
    }
    drop(c, i->opsize);
    if (i->opsize > 2) {
        old &= ~FLAG_RF;
    }
    rflags_put(c, (old & ~mask) | (f & mask));
    cpu_update_mode(c);
}

/* ---- near jumps, calls, returns ---- */

/* The new instruction pointer, cut to the operand size and checked. */
static uint64_t check_rip(CpuState *c, uint64_t rip, unsigned opsize)
{
    if (c->code64) {
        if (!canonical(rip)) {
            cpu_gp0(c);
        }
        return rip;
    }
    rip = opsize == 2 ? (uint16_t)rip : (uint32_t)rip;
    if (rip > c->segs[SEG_CS].limit) {
        cpu_gp0(c);
    }
    return rip;
}

static void jmp_rel(CpuState *c, const Insn *i)
{
    c->regs[GPR_RIP] = check_rip(c, c->regs[GPR_RIP] + i->imm, i->opsize);
}

static void jcc(CpuState *c, const Insn *i)
{
    if (cond(c, i->opcode)) {
        c->regs[GPR_RIP] = check_rip(c, c->regs[GPR_RIP] + i->imm, i->opsize);
    }
}

static void call_rel(CpuState *c, const Insn *i)
{
    uint64_t to = check_rip(c, c->regs[GPR_RIP] + i->imm, i->opsize);

    push(c, c->regs[GPR_RIP], i->opsize);
    c->regs[GPR_RIP] = to;
}

static uint64_t rm_value(CpuState *c, const Insn *i)
{
    return i->opsize == 8 ? rm_get_64(c, i) : i->opsize == 4 ? rm_get_32(c, i) : rm_get_16(c, i);
}

static void jmp_rm(CpuState *c, const Insn *i)
{
    c->regs[GPR_RIP] = check_rip(c, rm_value(c, i), i->opsize);
}

static void call_rm(CpuState *c, const Insn *i)
{
    uint64_t to = check_rip(c, rm_value(c, i), i->opsize);

    push(c, c->regs[GPR_RIP], i->opsize);
    c->regs[GPR_RIP] = to;
}

static void ret_near(CpuState *c, const Insn *i)
{
    uint64_t to = check_rip(c, stack_top(c, i->opsize), i->opsize);

    drop(c, i->opsize + (unsigned)i->imm);
    c->regs[GPR_RIP] = to;
}

/* LOOP, LOOPE, LOOPNE, JrCXZ: the count register has the address size. */
static void loop_jcxz(CpuState *c, const Insn *i)
{
    uint64_t mask = i->asize == 8 ? ~0ull : i->asize == 4 ? 0xffffffffull : 0xffff;
    uint64_t n = c->regs[GPR_RCX] & mask, to = c->regs[GPR_RIP];
    bool take;

    if (i->opcode == 0xe3) {
        take = n == 0;
    } else {
        n = (n - 1) & mask;
        take = n != 0 && (i->opcode == 0xe2 || flag_zf(c) == (i->opcode == 0xe1));
    }
    if (take) {
        to = check_rip(c, to + i->imm, i->opsize);
    }
    if (i->opcode != 0xe3) {
        c->regs[GPR_RCX] = i->asize == 2 ? (c->regs[GPR_RCX] & ~0xffffull) | n : n;
    }
    c->regs[GPR_RIP] = to;
}

/* ---- far ---- */

static void far_pointer(CpuState *c, const Insn *i, uint16_t *sel, uint64_t *off)
{
    vaddr ea = insn_ea(c, i);
    uint64_t mask = i->asize == 8 ? ~0ull : i->asize == 4 ? 0xffffffffull : 0xffff;

    *off = i->opsize == 8   ? ld_u64(c, i->seg, ea)
           : i->opsize == 4 ? ld_u32(c, i->seg, ea)
                            : ld_u16(c, i->seg, ea);
    *sel = ld_u16(c, i->seg, (ea + i->opsize) & mask);
}

static void jmp_far_i(CpuState *c, const Insn *i)
{
    far_jump(c, i->imm2, i->imm, i->opsize);
}

static void call_far_i(CpuState *c, const Insn *i)
{
    far_call(c, i->imm2, i->imm, i->opsize);
}

static void jmp_far_m(CpuState *c, const Insn *i)
{
    uint64_t off;
    uint16_t sel;

    far_pointer(c, i, &sel, &off);
    far_jump(c, sel, off, i->opsize);
}

static void call_far_m(CpuState *c, const Insn *i)
{
    uint64_t off;
    uint16_t sel;

    far_pointer(c, i, &sel, &off);
    far_call(c, sel, off, i->opsize);
}

static void ret_far(CpuState *c, const Insn *i)
{
    far_return(c, i->opsize, (uint16_t)i->imm);
}

static void iret(CpuState *c, const Insn *i)
{
    do_iret(c, i->opsize);
}

/* ---- software interrupts ---- */

static void int_n(CpuState *c, const Insn *i)
{
    interrupt_deliver(c, (uint8_t)i->imm, INT_SOFT, false, 0, c->regs[GPR_RIP]);
}

static void int3(CpuState *c, const Insn *i)
{
    interrupt_deliver(c, EXC_BP, INT_SOFT_EXC, false, 0, c->regs[GPR_RIP]);
}

static void into(CpuState *c, const Insn *i)
{
    if (flag_of(c)) {
        interrupt_deliver(c, EXC_OF, INT_SOFT_EXC, false, 0, c->regs[GPR_RIP]);
    }
}

static void int1(CpuState *c, const Insn *i)
{
    interrupt_deliver(c, EXC_DB, INT_ICEBP, false, 0, c->regs[GPR_RIP]);
}

static void bound(CpuState *c, const Insn *i)
{
    vaddr ea = insn_ea(c, i);
    int32_t v, lo, hi;

    if (i->opsize == 2) {
        v = (int16_t)c->regs[i->reg];
        lo = (int16_t)ld_u16(c, i->seg, ea);
        hi = (int16_t)ld_u16(c, i->seg, ea + 2);
    } else {
        v = (int32_t)c->regs[i->reg];
        lo = (int32_t)ld_u32(c, i->seg, ea);
        hi = (int32_t)ld_u32(c, i->seg, ea + 4);
    }
    if (v < lo || v > hi) {
        cpu_raise(c, EXC_BR);
    }
}

static void ud2(CpuState *c, const Insn *i)
{
    cpu_ud(c);
}

/* ---- segment registers ---- */

static void after_ss(CpuState *c)
{
    c->inhibit_irq = c->inhibit_db = c->careful = true;
}

static void mov_rm_seg(CpuState *c, const Insn *i)
{
    uint16_t sel = c->segs[(i->modrm >> 3) & 7].selector;

    if (insn_mem(i)) {
        st_u16(c, i->seg, insn_ea(c, i), sel);
    } else if (i->opsize == 2) {
        reg16_set(c, i->rm, sel);
    } else {
        c->regs[i->rm] = sel;
    }
}

static void mov_seg_rm(CpuState *c, const Insn *i)
{
    unsigned seg = (i->modrm >> 3) & 7;

    if (seg == SEG_CS) {
        cpu_ud(c);
    }
    seg_load(c, seg, rm_get_16(c, i));
    if (seg == SEG_SS) {
        after_ss(c);
    }
}

static unsigned push_seg_number(const Insn *i)
{
    return i->opcode >> 3 & 7; /* 06 0E 16 1E, and 0F A0 (FS: 4), 0F A8 (GS: 5) */
}

static void push_seg(CpuState *c, const Insn *i)
{
    uint16_t sel = c->segs[push_seg_number(i)].selector;
    uint64_t sp = (c->regs[GPR_RSP] - i->opsize) & sp_mask(c);

    if (i->opsize == 8) {
        push(c, sel, 8);
        return;
    }
    st_u16(c, SEG_SS, sp, sel); /* a 32-bit push writes 16 bits: SDM vol. 2, PUSH */
    sp_set(c, sp);
}

static void pop_seg(CpuState *c, const Insn *i)
{
    unsigned seg = push_seg_number(i);
    uint16_t sel = (uint16_t)stack_top(c, i->opsize == 2 ? 2 : i->opsize);
    uint64_t sp = c->regs[GPR_RSP] + i->opsize;
    bool wide = c->stack64, wide32 = c->stack32;

    seg_load(c, seg, sel);
    if (wide) {
        c->regs[GPR_RSP] = sp;
    } else if (wide32) {
        c->regs[GPR_RSP] = (uint32_t)sp;
    } else {
        reg16_set(c, GPR_RSP, (uint16_t)sp);
    }
    if (seg == SEG_SS) {
        after_ss(c);
    }
}

static void load_far(CpuState *c, const Insn *i)
{
    static const uint8_t low[] = { SEG_ES, SEG_DS };
    static const uint8_t high[] = { [2] = SEG_SS, [4] = SEG_FS, [5] = SEG_GS };
    unsigned seg = i->opcode >= 0xc4 ? low[i->opcode - 0xc4] : high[i->opcode & 7];
    uint64_t off;
    uint16_t sel;

    far_pointer(c, i, &sel, &off);
    seg_load(c, seg, sel);
    if (i->opsize == 2) {
        reg16_set(c, i->reg, (uint16_t)off);
    } else {
        c->regs[i->reg] = off;
    }
}

#define R1(op, name, ops, fl, h) { MAP_1, op, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define R1X(op, ext, name, ops, fl, h) { MAP_1, op, P_ANY, ext, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define RF(op, name, ops, fl, h) { MAP_0F, op, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, fl, name, ops, h }

/* clang-format off */
const OpRow op_rows_flow[] = {
    R1(0x50, "push", "Zv", OP_D64, X3(push_z)), R1(0x58, "pop", "Zv", OP_D64, X3(pop_z)),
    R1X(0xff, 6, "push", "Ev", OP_D64, X3(push_rm)), R1X(0x8f, 0, "pop", "Ev", OP_D64, X3(pop_rm)),
    R1(0x68, "push", "Iz", OP_D64, X3(push_i)), R1(0x6a, "push", "Is", OP_D64, X3(push_i)),
    R1(0x60, "pusha", "", OP_I64, X1(pusha)), R1(0x61, "popa", "", OP_I64, X1(popa)),
    R1(0x9c, "pushf", "", OP_D64, X3(pushf)), R1(0x9d, "popf", "", OP_D64 | OP_END, X1(popf)),
    R1(0xc8, "enter", "Iw,Ib", OP_D64, X3(enter)), R1(0xc9, "leave", "", OP_D64, X3(leave)),
    R1(0xe9, "jmp", "Jz", OP_F64 | OP_END, X1(jmp_rel)), R1(0xeb, "jmp", "Jb", OP_F64 | OP_END, X1(jmp_rel)),
    R1(0x70, "jcc", "Jb", OP_F64 | OP_END | OP_CC, X1(jcc)),
    RF(0x80, "jcc", "Jz", OP_F64 | OP_END | OP_CC, X1(jcc)),
    R1(0xe8, "call", "Jz", OP_F64 | OP_END, X1(call_rel)),
    R1X(0xff, 4, "jmp", "Ev", OP_F64 | OP_END, X1(jmp_rm)), R1X(0xff, 2, "call", "Ev", OP_F64 | OP_END, X1(call_rm)),
    R1(0xc3, "ret", "", OP_F64 | OP_END, X1(ret_near)), R1(0xc2, "ret", "Iw", OP_F64 | OP_END, X1(ret_near)),
    R1(0xe0, "loopne", "Jb", OP_F64 | OP_END, X1(loop_jcxz)), R1(0xe1, "loope", "Jb", OP_F64 | OP_END, X1(loop_jcxz)),
    R1(0xe2, "loop", "Jb", OP_F64 | OP_END, X1(loop_jcxz)), R1(0xe3, "jrcxz", "Jb", OP_F64 | OP_END, X1(loop_jcxz)),
    R1(0xea, "ljmp", "Ap", OP_I64 | OP_END, X1(jmp_far_i)), R1(0x9a, "lcall", "Ap", OP_I64 | OP_END, X1(call_far_i)),
    R1X(0xff, 5, "ljmp", "Mp", OP_MEM | OP_END, X1(jmp_far_m)), R1X(0xff, 3, "lcall", "Mp", OP_MEM | OP_END, X1(call_far_m)),
    R1(0xcb, "lret", "", OP_END, X1(ret_far)), R1(0xca, "lret", "Iw", OP_END, X1(ret_far)),
    R1(0xcf, "iret", "", OP_END, X1(iret)),
    R1(0xcc, "int3", "", OP_END, X1(int3)), R1(0xcd, "int", "Ib", OP_END, X1(int_n)),
    R1(0xce, "into", "", OP_END | OP_I64, X1(into)), R1(0xf1, "int1", "", OP_END, X1(int1)),
    R1(0x62, "bound", "Gv,M", OP_I64 | OP_MEM, X1(bound)),
    RF(0x0b, "ud2", "", OP_END, X1(ud2)), RF(0xb9, "ud1", "Gv,Ev", OP_END, X1(ud2)), RF(0xff, "ud0", "Gv,Ev", OP_END, X1(ud2)),
    { MAP_1, 0x8c, P_ANY, 0, EXT_ANY, FEAT_NONE, 0, "mov", "Ev,Sw", X1(mov_rm_seg) },
    { MAP_1, 0x8c, P_ANY, 1, EXT_ANY, FEAT_NONE, 0, "mov", "Ev,Sw", X1(mov_rm_seg) },
    { MAP_1, 0x8c, P_ANY, 2, EXT_ANY, FEAT_NONE, 0, "mov", "Ev,Sw", X1(mov_rm_seg) },
    { MAP_1, 0x8c, P_ANY, 3, EXT_ANY, FEAT_NONE, 0, "mov", "Ev,Sw", X1(mov_rm_seg) },
    { MAP_1, 0x8c, P_ANY, 4, EXT_ANY, FEAT_NONE, 0, "mov", "Ev,Sw", X1(mov_rm_seg) },
    { MAP_1, 0x8c, P_ANY, 5, EXT_ANY, FEAT_NONE, 0, "mov", "Ev,Sw", X1(mov_rm_seg) },
    { MAP_1, 0x8e, P_ANY, 0, EXT_ANY, FEAT_NONE, OP_END, "mov", "Sw,Ew", X1(mov_seg_rm) },
    { MAP_1, 0x8e, P_ANY, 2, EXT_ANY, FEAT_NONE, OP_END, "mov", "Sw,Ew", X1(mov_seg_rm) },
    { MAP_1, 0x8e, P_ANY, 3, EXT_ANY, FEAT_NONE, OP_END, "mov", "Sw,Ew", X1(mov_seg_rm) },
    { MAP_1, 0x8e, P_ANY, 4, EXT_ANY, FEAT_NONE, OP_END, "mov", "Sw,Ew", X1(mov_seg_rm) },
    { MAP_1, 0x8e, P_ANY, 5, EXT_ANY, FEAT_NONE, OP_END, "mov", "Sw,Ew", X1(mov_seg_rm) },
    R1(0x06, "push", "es", OP_I64, X1(push_seg)), R1(0x0e, "push", "cs", OP_I64, X1(push_seg)),
    R1(0x16, "push", "ss", OP_I64, X1(push_seg)), R1(0x1e, "push", "ds", OP_I64, X1(push_seg)),
    R1(0x07, "pop", "es", OP_I64 | OP_END, X1(pop_seg)), R1(0x17, "pop", "ss", OP_I64 | OP_END, X1(pop_seg)),
    R1(0x1f, "pop", "ds", OP_I64 | OP_END, X1(pop_seg)),
    RF(0xa0, "push", "fs", OP_D64, X1(push_seg)), RF(0xa8, "push", "gs", OP_D64, X1(push_seg)),
    RF(0xa1, "pop", "fs", OP_D64 | OP_END, X1(pop_seg)), RF(0xa9, "pop", "gs", OP_D64 | OP_END, X1(pop_seg)),
    R1(0xc4, "les", "Gv,Mp", OP_I64 | OP_MEM | OP_END, X1(load_far)), R1(0xc5, "lds", "Gv,Mp", OP_I64 | OP_MEM | OP_END, X1(load_far)),
    RF(0xb2, "lss", "Gv,Mp", OP_MEM | OP_END, X1(load_far)), RF(0xb4, "lfs", "Gv,Mp", OP_MEM | OP_END, X1(load_far)),
    RF(0xb5, "lgs", "Gv,Mp", OP_MEM | OP_END, X1(load_far)),
    { .name = NULL },
};
/* clang-format on */
