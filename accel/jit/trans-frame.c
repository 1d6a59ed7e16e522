/*
 * Frames: what a translation reaches by the stack pointer with constant displacements, while that moves by constants
 * only. All of it is checked at once, against CpuState.tlb_stack; then each access is the host's at the stack pointer
 * plus TlbStack.delta, with the flags untouched. Where that check fails, for a stack across the end of a page
 * mostly, code goes on in a translation that has no frames.
 *
 * CpuState.tlb_stack stays as it was checked: only the check of an access by the stack pointer fills it, of which
 * there are no others in a frame, and translated code is left where the reference changed it (jit_help()).
 */
#include "accel/jit/trans.h"

#define FRAME_SPAN 512 /* bytes, at most */

/* By how much an instruction moves the stack pointer. False: not by a constant, or C is called that may do more. */
static bool moves_sp(const Tr *t, const Plan *p, const Insn *i, int64_t *by)
{
    int width = t->code64 ? 8 : 4;
    bool full = i->opsize == width, alu = p->kind == PLAN_OP && !(p->f & F_0F) && (p->op == 0x81 || p->op == 0x83);

    *by = 0;
    switch (p->kind) {
    case PLAN_HELP: case PLAN_END: case PLAN_STRING: case PLAN_SELECTOR: case PLAN_LEAVE:
        return false;
    case PLAN_PUSH: case PLAN_PUSH_I: case PLAN_PUSH_M: case PLAN_PUSHF:
        *by = -width;
        return true;
    case PLAN_POP:
        *by = width;
        return p->reg != GPR_RSP;
    case PLAN_LEA:
        *by = p->reg == GPR_RSP ? i->disp : 0;
        return p->reg != GPR_RSP || (full && i->asize == width && i->base == GPR_RSP && i->index == GPR_ZERO);
    case PLAN_VEC:
        return !p->g_write || (i->reg != GPR_RSP && i->rm != GPR_RSP);
    default:
        break;
    }
    if (alu && !p->mem && p->rm == GPR_RSP && full && (p->ext == 0 || p->ext == 5)) {
        *by = p->ext == 0 ? (int32_t)i->imm : -(int64_t)(int32_t)i->imm;
        return true;
    }
    return !plan_writes(p, i, GPR_RSP);
}

/* The bytes that an instruction reaches from the stack pointer's value before it. */
static bool stack_operand(const Tr *t, const Plan *p, const Insn *i, int64_t *at, unsigned *size)
{
    unsigned width = t->code64 ? 8 : 4;

    *size = width;
    *at = 0;
    switch (p->kind) {
    case PLAN_PUSH: case PLAN_PUSH_I: case PLAN_CALL:
        *at = -(int64_t)width;
        return true;
    case PLAN_POP: case PLAN_RET:
        return true;
    case PLAN_OP: case PLAN_BMI: case PLAN_VEC:
        *at = i->disp;
        *size = p->size;
        return p->mem && p->align == 0 && !p->moffs && i->base == GPR_RSP && i->index == GPR_ZERO &&
               i->seg < SEG_FS && i->asize == width;
    default:
        return false;
    }
}

/* One more operand, at @at with the stack pointer at @sp, which with 32 bits may not leave the page in between. */
static bool join(const Tr *t, Frame *f, int64_t at, unsigned size, int64_t sp)
{
    int64_t first = t->code64 || at < sp ? at : sp, end = t->code64 || at + (int64_t)size > sp ? at + (int64_t)size : sp + 1;
    int64_t lo = f->members == 0 || first < f->lo ? first : f->lo;
    int64_t hi = f->members == 0 || end > f->hi ? end : f->hi;

    if (hi - lo > FRAME_SPAN) {
        return false;
    }
    f->lo = lo;
    f->hi = hi;
    f->members++;
    return true;
}

static Frame find(const Tr *t, unsigned n)
{
    Frame f = { 0 };
    int64_t sp = 0, at, by;
    unsigned size;

    for (unsigned k = n; k < t->count; k++) {
        const Plan *p = &t->plans[k];
        const Insn *i = &t->b->insns[k];

        if (stack_operand(t, p, i, &at, &size)) {
            join(t, &f, sp + at, size, sp);
        }
        if (!moves_sp(t, p, i, &by)) {
            break;
        }
        sp += by;
    }
    return f;
}

void frame_begin(Tr *t, unsigned n)
{
    const Insn *i = &t->b->insns[n];
    unsigned size;
    int64_t at;
    Frame f;
    Cold *k;

    if (t->frame.on || t->t->frameless || !trick_on(TRICK_FRAME) || !stack_operand(t, &t->plans[n], i, &at, &size)) {
        return;
    }
    f = find(t, n);
    if (f.members < 2 || f.members == group_members(t, n)) {
        return;
    }
    trans_at(t, n);
    mem_flags(t);
    k = cold_new(t, COLD_FRAME);
    k->target = t->next - i->len;
    k->target = t->code64 ? k->target : (uint32_t)k->target;
    k->x87_last = t->x87_last;
    k->x87_mem = t->x87_mem;
    k->x87_next = t->x87_next;
    mem_check_frame(t, (int)f.lo, (unsigned)(f.hi - f.lo), k);
    t->frame = f;
    t->frame.on = true;
}

bool frame_covers(const Tr *t, int64_t disp, unsigned size)
{
    int64_t at = t->frame.sp + disp;

    return t->frame.on && at >= t->frame.lo && at + (int64_t)size <= t->frame.hi;
}

bool frame_operand(const Tr *t, const Plan *p)
{
    unsigned size;
    int64_t at;

    return stack_operand(t, p, t->insn, &at, &size) && frame_covers(t, at, size);
}

void frame_move(Tr *t, const Plan *p)
{
    int64_t by;

    if (t->frame.on && moves_sp(t, p, t->insn, &by)) {
        t->frame.sp += by;
    } else {
        t->frame.on = false;
    }
}

void emit_frame(Tr *t, const Cold *k)
{
    Site *s = jit_new_site(t->j);

    x87_pointers_of(t, k->x87_last, k->x87_mem, k->x87_next);
    s->disp = emit_jump(&t->e, JUMP_ALWAYS, NULL);
    s->stub = t->e.p;
    emit_set_jump(s->disp, s->stub);
    s->page = t->b->host - (t->t->lin & 0xfff);
    s->target = k->target;
    s->key = t->t->key;
    s->frameless = true;
    emit_leave(t, s, k->target, false);
}
