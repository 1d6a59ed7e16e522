/*
 * Groups: instructions in a row that reach memory by one base register with constant displacements, as
 * pushes, pops and the fields of a structure do. All of their bytes are checked at once, against one page;
 * where that fails, which need not be a fault, a copy of them with a check each does their work.
 *
 * Within a group r13 is the host address of its lowest byte and r14 is free. What stands between its members
 * may not need r13, nor change the base register.
 */
#include "accel/jit/trans.h"

#define SPAN 1024 /* bytes of a group, at most */

typedef struct Group {
    unsigned base, members, last;
    int64_t lo, hi, sp; /* of the bytes, from the base register's first value; the stack pointer now */
    bool write;
} Group;

static bool pushes(PlanKind k)
{
    return k == PLAN_PUSH || k == PLAN_PUSH_I || k == PLAN_CALL;
}

/* Not of the stack by a ModRM operand. */
static bool is_stack(PlanKind k)
{
    return pushes(k) || k == PLAN_POP || k == PLAN_RET;
}

/* What @reg was is not known behind it, but for what a push or pop moves. */
static bool loses(const Plan *p, unsigned reg)
{
    return is_stack(p->kind) ? p->kind == PLAN_POP && p->reg == reg : (p->written >> reg & 1) != 0;
}

/* Both scratch registers are needed for operands. */
static bool bmi_crowded(const Plan *p, const Insn *i)
{
    return p->reg_op && in_slot(p->reg) && in_slot(i->vvvv);
}

/* A member: its bytes are [*at, *at + size) from the base register's value now. */
static bool member(const Tr *t, const Plan *p, const Insn *i, unsigned *base, int64_t *at)
{
    unsigned width = t->code64 ? 8 : 4;

    if (is_stack(p->kind)) {
        *base = GPR_RSP;
        *at = pushes(p->kind) ? -(int64_t)width : 0;
        return p->kind == PLAN_CALL || p->kind == PLAN_RET ? t->x87_last == NULL
                                                           : p->kind != PLAN_POP || p->reg != GPR_RSP;
    }
    *base = i->base;
    *at = i->disp;
    return (p->kind == PLAN_OP || (p->kind == PLAN_BMI && !bmi_crowded(p, i))) && p->mem && !p->moffs &&
           p->align == 0 && i->base < GPR_ZERO && i->index == GPR_ZERO && i->seg < SEG_FS && i->asize == width;
}

/* It may stand between members. */
static bool harmless(const Tr *t, const Plan *p, const Insn *i)
{
    switch (p->kind) {
    case PLAN_NOP: case PLAN_RAW:
        return true;
    case PLAN_JCC:
        return t->x87_last == NULL;
    case PLAN_OP:
        return !p->mem && !op_needs_r13(p);
    case PLAN_BMI:
        return !p->mem && !bmi_crowded(p, i);
    case PLAN_LEA:
        return !in_slot(p->reg) && !in_slot(i->base) && !in_slot(i->index) && i->opsize != 2;
    case PLAN_CONST:
        return !in_slot(p->reg) || is_imm32(plan_constant(i));
    case PLAN_BSWAP:
        return !in_slot(p->reg);
    default:
        return false;
    }
}

static int64_t low(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Add @p to the group. False: it is not one of it. */
static bool join(const Tr *t, Group *g, const Plan *p, const Insn *i)
{
    int64_t at, lo, hi, size = is_stack(p->kind) ? (t->code64 ? 8 : 4) : p->size;
    unsigned base;

    if (!member(t, p, i, &base, &at) || base != g->base) {
        return false;
    }
    at += g->sp;
    lo = g->members == 0 ? at : low(g->lo, at);
    hi = g->members == 0 ? at + size : -low(-g->hi, -(at + size));
    if (hi - lo > SPAN) {
        return false;
    }
    g->lo = lo;
    g->hi = hi;
    g->write |= p->write || pushes(p->kind);
    g->sp += pushes(p->kind) ? -size : is_stack(p->kind) ? size : 0;
    g->members++;
    return true;
}

static bool find(const Tr *t, unsigned n, Group *g)
{
    int64_t at;

    *g = (Group){ .last = n };
    if (!member(t, &t->plans[n], &t->b->insns[n], &g->base, &at)) {
        return false;
    }
    for (unsigned k = n; k < t->count; k++) {
        const Plan *p = &t->plans[k];

        if (join(t, g, p, &t->b->insns[k])) {
            g->last = k;
        } else if (!harmless(t, p, &t->b->insns[k])) {
            break;
        }
        if (loses(p, g->base)) {
            break;
        }
    }
    return g->members >= 2;
}

unsigned group_members(const Tr *t, unsigned n)
{
    Group g;

    return trick_on(TRICK_COALESCE) && find(t, n, &g) ? g.members : 0;
}

unsigned group_begin(Tr *t, unsigned n)
{
    unsigned w = t->code64 ? F_W : 0, base;
    const Frame *f;
    Group g;
    Cold *k;

    if (!trick_on(TRICK_COALESCE) || !find(t, n, &g)) {
        return 0;
    }
    trans_at(t, n);
    f = frame_of(t, g.base, g.lo, (unsigned)(g.hi - g.lo), g.write);
    if (f != NULL) {
        if (t->delta_here != f) {
            emit_load(&t->e, H_S1, GS_AT(f->delta));
        }
        emit_op(&t->e, F_W, 0x8d, H_S1, MEM(H_S1, host_reg(g.base), 0, (int)g.lo));
        t->grouped = true;
        t->group_off = -g.lo;
        t->group = NULL;
        return g.last;
    }
    mem_flags(t);
    k = cold_new(t, COLD_GROUP);
    k->frame = memcpy(t->saved[t->saves++], t->frame, sizeof(t->frame));
    k->first = n;
    k->last = g.last;
    k->flags = t->flags;
    k->vec = t->vec_held;
    k->x87 = t->x87_held;
    k->x87_last = t->x87_last;
    k->x87_mem = t->x87_mem;
    k->x87_next = t->x87_next;
    base = guest_value(t, g.base, H_S1);
    emit_op(&t->e, w, 0x8d, H_S1, MEM(base, RM_NONE, 0, (int)g.lo));
    t->ea = g.base == GPR_RSP ? EA_STACK : EA_ANY;
    mem_check_group(t, (unsigned)(g.hi - g.lo), g.write, k);
    t->grouped = true;
    t->group_off = -g.lo;
    t->group = k;
    return g.last;
}

void group_pay(Tr *t)
{
    if (t->sp_owed != 0) {
        emit_op(&t->e, t->code64 ? F_W : 0, 0x8d, H_SP, MEM(H_SP, RM_NONE, 0, t->sp_owed));
        t->sp_owed = 0;
    }
}

/* A push or pop, or an instruction that does not name the stack pointer but in the address of a member. */
bool group_passes(const Tr *t, const Plan *p)
{
    const Insn *i = t->insn;

    switch (p->kind) {
    case PLAN_PUSH: case PLAN_PUSH_I: case PLAN_POP:
        return p->reg != GPR_RSP || p->kind == PLAN_PUSH_I;
    case PLAN_NOP: case PLAN_RAW:
        return true;
    case PLAN_OP:
        return (!p->reg_op || p->reg != GPR_RSP) && (p->mem || p->rm != GPR_RSP);
    case PLAN_LEA:
        return p->reg != GPR_RSP && i->base != GPR_RSP;
    case PLAN_CONST:
        return p->reg != GPR_RSP;
    default:
        return false; /* jumps among them, which may leave */
    }
}

void group_end(Tr *t)
{
    group_pay(t);
    t->grouped = false;
    if (t->group != NULL) {
        t->group->back = t->e.p;
        t->group->flags_after = t->flags;
    }
}

void emit_group(Tr *t, const Cold *k)
{
    frames_set(t, k->frame);
    t->flags = k->flags;
    t->vec_held = k->vec;
    t->x87_held = k->x87;
    t->x87_last = k->x87_last;
    t->x87_mem = k->x87_mem;
    t->x87_next = k->x87_next;
    for (unsigned n = k->first; n <= k->last; n++) {
        trans_at(t, n);
        trans_insn(t, &t->plans[n]);
    }
    if (t->flags == FLAGS_HOST && k->flags_after == FLAGS_SLOT) {
        emit_flags_save(&t->e, H_S2);
    } else if (t->flags == FLAGS_SLOT && k->flags_after == FLAGS_HOST) {
        emit_flags_restore(&t->e);
    }
    emit_jump(&t->e, JUMP_ALWAYS, k->back);
}
