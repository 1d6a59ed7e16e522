/*
 * Vector registers are the host's own of the same number, from the first use until C is called.
 */
#include "accel/jit/trans.h"

#include "cpu/vec.h"

static void emit_vex(Emit *e, const Plan *p, unsigned reg, unsigned vvvv, Rm rm)
{
    unsigned map = p->f & F_0F ? 1 : p->f & F_0F38 ? 2 : 3;
    unsigned pp = p->f & F_66 ? 1 : p->f & F_F3 ? 2 : p->f & F_F2 ? 3 : 0;
    bool b = rm.kind != RM_GS && (rm.base & 8);
    bool x = rm.kind == RM_MEM && rm.index != RM_NONE && (rm.index & 8);
    bool gs = rm.kind >= RM_GS && e->state == 0;
    uint8_t *at;

    if (gs) {
        put8(e, 0x65);
    }
    put8(e, 0xc4);
    put8(e, (reg & 8 ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | map);
    put8(e, (p->f & F_W ? 0x80 : 0) | (~vvvv & 15) << 3 | (p->l256 ? 4 : 0) | pp);
    /* opcode, ModRM and the rest as in the legacy form without its prefixes */
    at = e->p;
    rm.base &= rm.base == RM_NONE ? 0xff : 7;
    if (rm.kind == RM_MEM) {
        rm.index &= rm.index == RM_NONE ? 0xff : 7;
    }
    emit_op(e, 0, p->op, reg & 7, rm);
    if (gs) { /* it wrote the segment prefix once more */
        memmove(at, at + 1, (size_t)(e->p - at - 1));
        e->p--;
    }
}

static void need(Tr *t, bool x87)
{
    Cold *k = cold_new(t, COLD_LOAD);

    mem_flags(t);
    k->x87 = x87;
    emit_op(&t->e, 0, 0x80, 7, x87 ? GS(jit.x87_held) : GS(jit.vec_held)); /* CMP */
    put8(&t->e, 0);
    cold_jump(t, k, 4);
    k->back = t->e.p;
}

void vec_need(Tr *t)
{
    if (!t->vec_held) {
        need(t, false);
        t->vec_held = true;
    }
}

void x87_need(Tr *t)
{
    if (!t->x87_held) {
        need(t, true);
        t->x87_held = true;
    }
}

/* The general register of an operand: its own, or @scratch. */
static unsigned general(Tr *t, unsigned guest, unsigned scratch, bool load)
{
    if (in_slot(guest)) {
        if (load) {
            emit_load(&t->e, scratch, slot_of(guest));
        }
        return scratch;
    }
    return host_reg(guest);
}

static Rm operand(Tr *t, const Plan *p, Cold *slow)
{
    const Insn *i = t->insn;

    if (!p->mem) {
        return REG(p->g_rm ? general(t, i->rm, H_S1, !p->g_write) : i->rm);
    }
    mem_address(t, false);
    if (p->align) {
        mem_fixed(t);
    }
    mem_check(t, p->size, p->write, slow);
    if (p->align) {
        emit_op(&t->e, F_BRM, 0xf6, 0, REG(H_S1));
        put8(&t->e, p->align - 1u);
        cold_jump(t, slow, 5);
    }
    return MEM_OPERAND;
}

void vec_insn(Tr *t, const Plan *p)
{
    const Insn *i = t->insn;
    unsigned reg = p->has_ext ? p->ext : i->reg;
    Cold *slow = NULL;
    Rm rm;

    vec_need(t);
    if (p->mem) {
        slow = cold_help(t);
        mem_flags(t);
    }
    rm = operand(t, p, slow);
    if (p->g_reg && p->mem && in_slot(i->reg) && !p->g_write) {
        mem_one(t);
        rm = MEM(H_S1, RM_NONE, 0, 0);
    }
    if (p->g_reg) {
        reg = general(t, i->reg, H_S2, !p->g_write);
    }
    if (p->vex) {
        emit_vex(&t->e, p, reg, i->vvvv, rm);
    } else {
        emit_op(&t->e, p->f, p->op, reg, rm);
    }
    if (p->imm) {
        put8(&t->e, (uint8_t)(strchr(opcode_row(i)->operands, 'L') != NULL
                                  ? i->is4 << 4 | (i->imm & 15) : i->imm));
    }
    if (p->g_write) {
        unsigned g = p->g_reg ? i->reg : i->rm;

        if (in_slot(g)) {
            emit_store(&t->e, p->g_reg ? H_S2 : H_S1, slot_of(g));
        }
    }
    if (p->touches) {
        t->flags = FLAGS_HOST;
    }
    if (slow != NULL) {
        slow->back = t->e.p;
        slow->host_after = t->flags == FLAGS_HOST;
    }
}

/* VZEROUPPER */
void vec_zero_upper(Tr *t)
{
    static const uint8_t vzeroupper[] = { 0xc5, 0xf8, 0x77 };

    vec_need(t);
    memcpy(t->e.p, vzeroupper, sizeof(vzeroupper));
    t->e.p += sizeof(vzeroupper);
}

/* ---- BMI: general registers, VEX ---- */

/* The source: where both scratch registers hold others, from memory. */
static Rm bmi_source(Tr *t, const Plan *p, bool crowded, Cold **slow)
{
    const Insn *i = t->insn;

    if (!p->mem) {
        return in_slot(i->rm) ? slot_of(i->rm) : REG(host_reg(i->rm));
    }
    if (t->grouped) {
        return MEM(H_S1, RM_NONE, 0, (int)(i->disp + t->group_off));
    }
    *slow = cold_help(t);
    mem_flags(t);
    mem_address(t, false);
    mem_check(t, p->size, false, *slow);
    if (crowded) {
        emit_op(&t->e, p->f & F_W, 0x8b, H_S1, MEM_OPERAND);
        emit_store(&t->e, H_S1, GS(jit.tmp[0]));
        return GS(jit.tmp[0]);
    }
    mem_one(t);
    return MEM(H_S1, RM_NONE, 0, 0);
}

void bmi_insn(Tr *t, const Plan *p)
{
    const Insn *i = t->insn;
    bool slot0 = p->reg_op && in_slot(p->reg), slot1 = in_slot(i->vvvv);
    Cold *slow = NULL;
    Rm rm = bmi_source(t, p, slot0 && slot1, &slow);
    unsigned h0 = p->reg, h1 = host_reg(i->vvvv);

    if (p->reg_op) {
        h0 = slot0 ? (slot1 ? H_S1 : H_S2) : host_reg(p->reg);
    }
    if (slot1) {
        h1 = H_S2;
        emit_load(&t->e, H_S2, slot_of(i->vvvv));
    }
    emit_vex(&t->e, p, h0, h1, rm);
    emit_imm(&t->e, i->imm, p->imm);
    if (p->vvvv_w && slot1) {
        emit_store(&t->e, h1, slot_of(i->vvvv));
    }
    if (p->reg_w && slot0) {
        emit_store(&t->e, h0, slot_of(p->reg));
    }
    if (p->touches) {
        t->flags = FLAGS_HOST;
    }
    if (slow != NULL) {
        slow->back = t->e.p;
        slow->host_after = t->flags == FLAGS_HOST;
    }
}
