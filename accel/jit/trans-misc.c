/*
 * Divisions, string instructions, the interrupt flag and other short system instructions.
 */
#include "accel/jit/trans.h"

/* ---- DIV, IDIV of 32 and 64 bits ---- */

static void shift(Tr *t, unsigned f, unsigned ext, unsigned reg, unsigned by)
{
    emit_op(&t->e, f, 0xc1, ext, REG(reg));
    put8(&t->e, by);
}

/* A quotient that may not fit is the reference's: for DIV, where the upper half is not below the
 * divisor; for IDIV, unless the dividend is the sign-extended lower half and the divisor neither 0 nor -1. */
static void div_check(Tr *t, unsigned f, bool is_signed, unsigned by, Cold *slow)
{
    Emit *e = &t->e;

    if (!is_signed) {
        emit_op(e, f, 0x3b, H_RDX, REG(by)); /* CMP */
        cold_jump(t, slow, 3); /* JAE */
        return;
    }
    emit_op(e, f, 0x89, H_RAX, REG(H_S2));
    shift(t, f, 7, H_S2, f & F_W ? 63 : 31); /* SAR */
    emit_op(e, f, 0x3b, H_S2, REG(H_RDX));
    cold_jump(t, slow, 5);
    emit_op(e, f, 0x8d, H_S2, MEM(by, RM_NONE, 0, 1)); /* 0 and -1 are 1 and 0 now */
    emit_op(e, f, 0x83, 7, REG(H_S2));
    put8(e, 1);
    cold_jump(t, slow, 6); /* JBE */
}

void div_insn(Tr *t, const Plan *p)
{
    Cold *slow = cold_help(t);
    unsigned by = p->rm, f = p->f & F_W;

    mem_flags(t);
    if (p->mem) {
        mem_address(t, false);
        mem_check(t, p->size, false, slow);
        emit_op(&t->e, f, 0x8b, H_S1, MEM_OPERAND);
        by = H_S1;
    } else {
        by = guest_value(t, by, H_S1);
    }
    div_check(t, f, p->ext == 7, by, slow);
    emit_op(&t->e, f, 0xf7, p->ext, REG(by));
    t->flags = FLAGS_HOST;
    slow->back = t->e.p;
    slow->host_after = true;
}

/* ---- BT, BTS, BTR, BTC of a bit anywhere ---- */

void bt_insn(Tr *t, const Plan *p)
{
    Cold *slow = cold_help(t);
    unsigned f = p->f & F_W, reg;

    if ((t->live_after & ~p->sets) != 0) {
        flags_save(t);
    }
    mem_flags(t);
    mem_address(t, false);
    mem_fixed(t);
    reg = guest_value(t, p->reg, H_S2);
    emit_op(&t->e, F_W, f ? 0x89 : 0x63, f ? reg : H_S2, f ? REG(H_S2) : REG(reg)); /* MOV, MOVSXD */
    shift(t, F_W, 7, H_S2, f ? 6 : 5);
    emit_op(&t->e, t->code64 ? F_W : 0, 0x8d, H_S1, MEM(H_S1, H_S2, f ? 3 : 2, 0));
    mem_check(t, p->size, p->write, slow);
    mem_one(t);
    reg = guest_value(t, p->reg, H_S2);
    emit_op(&t->e, 0, 0x89, reg, REG(H_S2));
    emit_op(&t->e, 0, 0x83, 4, REG(H_S2)); /* AND */
    put8(&t->e, f ? 63 : 31);
    if ((t->live_after & ~p->sets) != 0) {
        flags_restore(t);
    }
    emit_op(&t->e, p->f, p->op, H_S2, MEM(H_S1, RM_NONE, 0, 0));
    t->flags = FLAGS_HOST;
    slow->back = t->e.p;
    slow->host_after = true;
}

/* ---- strings ---- */

static void string(Tr *t, const Plan *p)
{
    mem_flags(t);
    emit_const(&t->e, H_S1, (uint64_t)(uintptr_t)t->insn);
    emit_const(&t->e, H_S2, t->next);
    emit_jump(&t->e, JUMP_CALL, t->j->string);
    if (p->touches) {
        t->flags = FLAGS_SLOT;
    }
    t->vec_held = t->x87_held = false; /* the reference may have been called */
}

/* ---- RFLAGS ---- */

static void rflags_change(Tr *t, bool set, uint32_t bits)
{
    emit_op(&t->e, 0, 0x81, set ? 1 : 4, GS(rflags)); /* OR, AND */
    put32(&t->e, set ? bits : ~bits);
}

static void set_poll(Tr *t, uint32_t requests)
{
    emit_op(&t->e, 0, 0xc7, 0, GS(jit.poll));
    put32(&t->e, requests);
}

void pushf_image(Tr *t)
{
    Emit *e = &t->e;

    _Static_assert(FLAG_OF == 1 << 11, "its place");
    emit_op(e, F_0F, 0xb7, H_S1, GS(jit.flags));
    emit_op(e, 0, 0x89, H_S1, REG(H_S2));
    shift(t, 0, 5, H_S1, 8);
    emit_op(e, 0, 0x81, 4, REG(H_S1));
    put32(e, (uint32_t)(FLAGS_ARITH & 0xff));
    emit_op(e, 0, 0x83, 4, REG(H_S2));
    put8(e, 1);
    shift(t, 0, 4, H_S2, 11);
    emit_op(e, 0, 0x09, H_S2, REG(H_S1));
    emit_op(e, F_W, 0x0b, H_S1, GS(rflags));
    emit_op(e, F_W, 0x81, 4, REG(H_S1));
    put32(e, ~(uint32_t)(FLAG_RF | FLAG_VM));
    emit_op(e, F_W, 0x83, 1, REG(H_S1));
    put8(e, 2);
    emit_store(e, H_S1, GS(jit.tmp[0]));
}

static void swapgs(Tr *t)
{
    Rm base = GS_AT(offsetof(CpuState, segs) + SEG_GS * sizeof(Segment) + offsetof(Segment, base));

    emit_load(&t->e, H_S1, base);
    emit_load(&t->e, H_S2, GS(msr_kernel_gs_base));
    emit_store(&t->e, H_S2, base);
    emit_store(&t->e, H_S1, GS(msr_kernel_gs_base));
}

void system_insn(Tr *t, const Plan *p)
{
    switch (p->kind) {
    case PLAN_STRING:
        string(t, p);
        break;
    case PLAN_CLI:
        mem_flags(t);
        rflags_change(t, false, FLAG_IF);
        set_poll(t, ~(uint32_t)REQ_INTR);
        break;
    case PLAN_STI:
        mem_flags(t);
        rflags_change(t, true, FLAG_IF);
        set_poll(t, ~0u);
        t->shadow = 2;
        break;
    case PLAN_DF:
        mem_flags(t);
        rflags_change(t, t->insn->opcode & 1, FLAG_DF);
        break;
    case PLAN_FENCE:
        put8(&t->e, 0x0f);
        put8(&t->e, 0xae);
        put8(&t->e, t->insn->modrm);
        break;
    case PLAN_SELECTOR:
        emit_op(&t->e, F_0F, 0xb7, in_slot(t->insn->rm) ? H_S1 : host_reg(t->insn->rm),
                GS_AT(offsetof(CpuState, segs) + (t->insn->modrm >> 3 & 7) * sizeof(Segment) +
                      offsetof(Segment, selector)));
        if (in_slot(t->insn->rm)) {
            emit_store(&t->e, H_S1, slot_of(t->insn->rm));
        }
        break;
    default:
        swapgs(t);
        break;
    }
}
