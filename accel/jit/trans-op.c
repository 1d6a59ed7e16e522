/*
 * Instructions of ModRM operands on general registers: copied, with their operands replaced.
 */
#include "accel/jit/trans.h"

static Rm reg_operand(const Plan *p, unsigned guest, unsigned scratch)
{
    return REG(in_slot(guest) ? scratch : host_reg(guest));
}

/* A byte register 4..7 without REX is AH..BH. */
static bool is_high(const Plan *p, unsigned byte_flag, unsigned n)
{
    return (p->f & F_HIGH) && (p->f & byte_flag) && n >= 4;
}

/* The ModRM operand, a register in memory, may be named there. 32-bit results would leave its upper half; XADD of one
 * with itself writes it twice. */
static bool slot_operand(const Plan *p)
{
    bool twice = p->reg_op && p->reg_w && p->rm_w && p->reg == p->rm;
    bool bits = (p->f & F_0F) && (p->op & 0xc7) == 0x83 && p->op >= 0xa3; /* BT and kin reach beyond */

    return in_slot(p->rm) && !bits && !twice && (!p->rm_w || (p->f & F_W)) && (p->op & 0xfe) != 0x86 && p->op != 0x63;
}

bool op_needs_r13(const Plan *p)
{
    return in_slot(p->rm) && !slot_operand(p);
}

static void op_registers(Tr *t, const Plan *p)
{
    bool memory = slot_operand(p);
    bool both = p->reg_op && in_slot(p->reg) && p->reg == p->rm && !memory;
    unsigned reg = p->ext, rs = both ? H_S1 : H_S2, f = p->f & ~(unsigned)F_LOCKED;
    Rm rm = is_high(p, F_BRM, p->rm) ? REG(p->rm) : memory ? slot_of(p->rm) : reg_operand(p, p->rm, H_S1);

    if (in_slot(p->rm) && !memory && (both || !(p->rm_w && p->fresh))) {
        emit_load(&t->e, H_S1, slot_of(p->rm));
    }
    if (p->reg_op) {
        if (in_slot(p->reg) && !both && !(p->reg_w && p->fresh)) {
            emit_load(&t->e, H_S2, slot_of(p->reg));
        }
        reg = is_high(p, F_BREG, p->reg) ? p->reg : reg_operand(p, p->reg, rs).base;
    }
    if (!is_high(p, F_BRM, p->rm) && !(p->reg_op && is_high(p, F_BREG, p->reg))) {
        f &= ~(unsigned)F_HIGH;
    }
    emit_op(&t->e, f, p->op, reg, rm);
    emit_imm(&t->e, t->insn->imm, p->imm);
    if (in_slot(p->reg) && p->reg_w && !both) {
        emit_store(&t->e, H_S2, slot_of(p->reg));
    }
    if (in_slot(p->rm) && !memory && (p->rm_w || (both && p->reg_w))) {
        emit_store(&t->e, H_S1, slot_of(p->rm));
    }
}

/* XCHG rL, rH */
static void swap_bytes(Tr *t, unsigned low)
{
    put8(&t->e, 0x86);
    put8(&t->e, 0xc0 | (low + 4) << 3 | low);
}

static Rm op_address(Tr *t, const Plan *p, Cold *slow)
{
    if (!frame_operand(t, p)) {
        mem_flags(t);
    }
    mem_address(t, p->moffs);
    if (p->align) {
        mem_fixed(t);
    }
    mem_check(t, p->size, p->write, slow);
    if (p->align) {
        emit_op(&t->e, F_BRM, 0xf6, 0, REG(H_S1)); /* TEST */
        put8(&t->e, p->align - 1u);
        cold_jump(t, slow, 5);
    }
    return MEM_OPERAND;
}

static void op_memory(Tr *t, const Plan *p)
{
    bool high = p->reg_op && is_high(p, F_BREG, p->reg);
    bool need = p->reads != 0 || (p->touches && (t->live_after & ~p->sets) != 0);
    Cold *slow = t->grouped ? NULL : cold_help(t);
    unsigned reg = p->ext, f = p->f & ~(unsigned)F_HIGH;
    Rm rm = slow != NULL ? op_address(t, p, slow)
                         : MEM(H_S1, RM_NONE, 0, (int)(t->insn->disp + t->group_off));

    if (p->reg_op) {
        reg = high ? p->reg - 4u : p->reg;
        if ((in_slot(reg) || high) && slow != NULL) {
            mem_one(t);
            rm = MEM(H_S1, RM_NONE, 0, 0);
        }
        reg = in_slot(reg) && p->reg_w && p->fresh ? H_S2 : guest_value(t, reg, H_S2);
    }
    if (need) {
        flags_restore(t);
    }
    if (high) {
        swap_bytes(t, p->reg - 4u);
    }
    emit_op(&t->e, f, p->op, reg, rm);
    emit_imm(&t->e, t->insn->imm, p->imm);
    if (high) {
        swap_bytes(t, p->reg - 4u);
    }
    if (p->reg_op && p->reg_w && in_slot(p->reg)) {
        emit_store(&t->e, H_S2, slot_of(p->reg));
    }
    if (p->touches || need) {
        t->flags = FLAGS_HOST;
    }
    if (slow != NULL) {
        slow->back = t->e.p;
        slow->host_after = t->flags == FLAGS_HOST;
    }
}

void op_insn(Tr *t, const Plan *p)
{
    if (p->mem) {
        op_memory(t, p);
        return;
    }
    if (p->reads != 0 || (p->touches && (t->live_after & ~p->sets) != 0)) {
        flags_restore(t);
    }
    op_registers(t, p);
    if (p->touches) {
        t->flags = FLAGS_HOST;
    }
}
