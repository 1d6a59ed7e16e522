/*
 * Frames: what a translation reaches by one base register with constant displacements, while that moves by constants
 * only. All of it is checked at once, for the stack pointer against CpuState.tlb_stack; then each access is the host's
 * at that register plus what makes a host address of a linear one, with the flags untouched. Where that check fails, at
 * the end of a page mostly, code goes on in a translation that has no frames.
 *
 * What was checked stays valid: CpuState.tlb_stack is filled by the check of an access by the stack pointer alone, of
 * which there are no others in its frame, and translated code is left where the reference dropped anything from the
 * TLB (jit_help()).
 */
#include "accel/jit/trans.h"

#define FRAME_SPAN 512       /* bytes, at most */
#define FRAME_REACH (1 << 30) /* from the register, at most: both ends are displacements of the host's */

/* By how much an instruction moves @reg. False: not by a constant, or C is called that may do more. */
static bool moves(const Tr *t, const Plan *p, const Insn *i, unsigned reg, int64_t *by)
{
    int width = t->code64 ? 8 : 4;
    bool full = i->opsize == width;

    *by = 0;
    if (!(p->written >> reg & 1)) {
        return true;
    }
    switch (p->kind) {
    case PLAN_PUSH: case PLAN_PUSH_I: case PLAN_PUSH_M: case PLAN_PUSHF:
        *by = -width;
        return true;
    case PLAN_POP:
        *by = width;
        return p->reg != reg;
    case PLAN_LEA:
        *by = i->disp;
        return full && i->asize == width && i->base == reg && i->index == GPR_ZERO;
    case PLAN_OP:
        *by = p->ext == 0 ? (int32_t)i->imm : -(int64_t)(int32_t)i->imm;
        return full && !(p->f & F_0F) && !p->mem && p->rm == reg && (p->op == 0x81 || p->op == 0x83) &&
               (p->ext == 0 || p->ext == 5);
    default:
        return false;
    }
}

/* The bytes that an instruction reaches from its base register's value before it. */
static bool operand(const Tr *t, const Plan *p, const Insn *i, unsigned *base, int64_t *at, unsigned *size)
{
    unsigned width = t->code64 ? 8 : 4;

    *base = GPR_RSP;
    *size = width;
    *at = 0;
    switch (p->kind) {
    case PLAN_PUSH: case PLAN_PUSH_I: case PLAN_CALL:
        *at = -(int64_t)width;
        return true;
    case PLAN_POP: case PLAN_RET:
        return true;
    case PLAN_OP: case PLAN_BMI: case PLAN_VEC:
        *base = i->base;
        *at = i->disp;
        *size = p->size;
        return p->mem && p->align == 0 && !p->moffs && i->base < GPR_ZERO && i->index == GPR_ZERO && !in_slot(i->base) &&
               i->seg < SEG_FS && i->asize == width;
    default:
        return false;
    }
}

/* One more operand, at @at with the base register at @sp, which with 32 bits may not leave the page in between, nor
 * begin outside of it: an address that wraps would be another with 64 bits. */
static void join(const Tr *t, Frame *f, int64_t at, unsigned size, int64_t sp)
{
    int64_t first = t->code64 || at < sp ? at : sp, end = t->code64 || at + (int64_t)size > sp ? at + (int64_t)size : sp + 1;
    bool begun = f->members > 0 || !t->code64;
    int64_t lo = !begun || first < f->lo ? first : f->lo;
    int64_t hi = !begun || end > f->hi ? end : f->hi;

    if (hi - lo <= FRAME_SPAN && lo > -FRAME_REACH && hi < FRAME_REACH) {
        f->lo = lo;
        f->hi = hi;
        f->members++;
    }
}

static Frame find(const Tr *t, unsigned n, unsigned base)
{
    Frame f = { .base = base, .write = base == GPR_RSP, .lo = 0, .hi = 1 }; /* with 32 bits the page is the register's own */
    int64_t sp = 0, at, by;
    unsigned size, b;

    for (unsigned k = n; k < t->count; k++) {
        const Plan *p = &t->plans[k];
        const Insn *i = &t->b->insns[k];

        if (operand(t, p, i, &b, &at, &size) && b == base) {
            join(t, &f, sp + at, size, sp);
            f.write |= p->write;
        }
        if (!moves(t, p, i, base, &by)) {
            break;
        }
        sp += by;
    }
    return f;
}

/* The one for @base: the first is the stack pointer's. NULL: all are in use. */
static Frame *place(Tr *t, unsigned base)
{
    for (unsigned n = base != GPR_RSP; n < (base == GPR_RSP ? 1 : FRAMES); n++) {
        if (!t->frame[n].on) {
            return &t->frame[n];
        }
    }
    return NULL;
}

/* That of @base which is on. */
static const Frame *present(const Tr *t, unsigned base)
{
    if (!(t->framed >> base & 1)) {
        return NULL;
    }
    for (unsigned n = 0; n < FRAMES; n++) {
        if (t->frame[n].on && t->frame[n].base == base) {
            return &t->frame[n];
        }
    }
    return NULL;
}

void frame_begin(Tr *t, unsigned n)
{
    const Insn *i = &t->b->insns[n];
    unsigned size, base;
    Frame f, *to;
    int64_t at;
    Cold *k;

    if (t->t->frameless || !trick_on(TRICK_FRAME) || !operand(t, &t->plans[n], i, &base, &at, &size) ||
        present(t, base) != NULL || (to = place(t, base)) == NULL) {
        return;
    }
    f = find(t, n, base);
    if (f.members < 2 || f.members <= group_members(t, n)) {
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
    f.delta = base == GPR_RSP ? stack_offset(t, offsetof(TlbStack, delta))
                              : offsetof(CpuState, jit.delta) + 8 * (size_t)(to - t->frame);
    mem_check_frame(t, &f, k);
    *to = f;
    to->on = true;
    t->framed |= (uint16_t)(1u << base);
    t->delta_here = base == GPR_RSP || t->plans[n].kind == PLAN_VEC ? NULL : to;
}

const Frame *frame_of(const Tr *t, unsigned base, int64_t disp, unsigned size, bool write)
{
    const Frame *f = present(t, base);

    if (f == NULL || (write && !f->write) || (!t->code64 && (f->sp < f->lo || f->sp >= f->hi))) {
        return NULL; /* with 32 bits: the register is elsewhere now, and may have wrapped */
    }
    return f->sp + disp >= f->lo && f->sp + disp + (int64_t)size <= f->hi ? f : NULL;
}

bool frame_operand(const Tr *t, const Plan *p)
{
    unsigned size, base;
    int64_t at;

    return operand(t, p, t->insn, &base, &at, &size) && frame_of(t, base, at, size, p->write) != NULL;
}

void frame_move(Tr *t, const Plan *p)
{
    int64_t by = 0;

    t->delta_here = NULL;
    for (unsigned n = 0; n < FRAMES && (t->framed & p->written); n++) {
        Frame *f = &t->frame[n];

        if (f->on && !moves(t, p, t->insn, f->base, &by)) {
            f->on = false;
            t->framed &= (uint16_t)~(1u << f->base);
        }
        f->sp += by;
    }
}

void frames_none(Tr *t)
{
    t->framed = 0;
    for (unsigned n = 0; n < FRAMES; n++) {
        t->frame[n].on = false;
    }
}

void frames_set(Tr *t, const Frame *then)
{
    memcpy(t->frame, then, sizeof(t->frame));
    t->framed = 0;
    for (unsigned n = 0; n < FRAMES; n++) {
        t->framed |= (uint16_t)(t->frame[n].on ? 1u << t->frame[n].base : 0);
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
