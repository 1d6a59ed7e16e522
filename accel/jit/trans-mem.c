/*
 * Registers, flags and memory operands of the instruction being translated.
 */
#include "accel/jit/trans.h"

#include "accel/options.h"

unsigned guest_value(Tr *t, unsigned guest, unsigned scratch)
{
    if (!in_slot(guest)) {
        return host_reg(guest);
    }
    emit_load(&t->e, scratch, slot_of(guest));
    return scratch;
}

/* ---- flags ---- */

void flags_save(Tr *t)
{
    if (t->flags == FLAGS_HOST) {
        emit_flags_save(&t->e, H_S2);
        t->flags = FLAGS_SLOT;
    }
}

void flags_restore(Tr *t)
{
    if (t->flags == FLAGS_SLOT) {
        emit_flags_restore(&t->e);
        t->flags = FLAGS_HOST;
    }
}

void mem_flags(Tr *t)
{
    if (t->live_before != 0) {
        flags_save(t);
    } else {
        t->flags = FLAGS_DEAD;
    }
}

/* ---- addresses ---- */

static void add_segment(Tr *t, unsigned seg)
{
    if (seg >= SEG_FS) {
        emit_op(&t->e, t->code64 ? F_W : 0, 0x03, H_S1,
                GS_AT(offsetof(CpuState, segs) + seg * sizeof(Segment) + offsetof(Segment, base)));
    }
}

/* The address may be in a frame. */
static bool frame_base(Tr *t, unsigned base, int disp)
{
    if (base >= GPR_ZERO || !(t->framed >> base & 1)) {
        return false;
    }
    t->ea = EA_FRAME;
    t->ea_base = base;
    t->ea_const = (uint64_t)(int64_t)disp;
    return true;
}

static void address(Tr *t, bool moffs, bool lazy)
{
    const Insn *i = t->insn;
    unsigned base = i->base, index = i->index, f = i->asize == 8 ? F_W : 0;

    t->ea = EA_ANY;
    if (moffs || base == GPR_RIP || (base == GPR_ZERO && index == GPR_ZERO)) {
        uint64_t at = moffs ? i->imm : (base == GPR_RIP ? t->next : 0) + (uint64_t)(int64_t)i->disp;

        t->ea = EA_CONST;
        t->ea_const = i->asize == 8 ? at : (uint32_t)at;
        if (!lazy) {
            mem_fixed(t);
        }
    } else {
        unsigned b, x;

        if (lazy && index == GPR_ZERO && i->asize == (t->code64 ? 8 : 4) && frame_base(t, base, i->disp)) {
            return;
        }
        b = base == GPR_ZERO ? RM_NONE : guest_value(t, base, H_S1);
        x = index == GPR_ZERO ? RM_NONE : guest_value(t, index, H_S2);

        if (x == RM_NONE && i->disp == 0) {
            emit_op(&t->e, f, 0x8b, H_S1, REG(b));
        } else {
            emit_op(&t->e, f, 0x8d, H_S1, MEM(b, x, i->scale, i->disp));
        }
        t->ea = base == GPR_RSP && x == RM_NONE ? EA_STACK : EA_ANY;
    }
}

void mem_fixed(Tr *t)
{
    if (t->ea == EA_CONST) {
        emit_const(&t->e, H_S1, t->ea_const);
    } else if (t->ea == EA_FRAME) {
        emit_op(&t->e, t->code64 ? F_W : 0, 0x8d, H_S1, MEM(host_reg(t->ea_base), RM_NONE, 0, (int)(int64_t)t->ea_const));
    }
    t->ea = EA_ANY;
}

void mem_address(Tr *t, bool moffs)
{
    bool flat = t->insn->seg < SEG_FS;

    address(t, moffs, flat);
    if (!flat) {
        add_segment(t, t->insn->seg);
        t->ea = EA_ANY;
    }
}

void mem_offset(Tr *t)
{
    address(t, false, false);
}

void mem_address_of(Tr *t, unsigned base, int disp)
{
    unsigned f = t->code64 ? F_W : 0;

    if (frame_base(t, base, disp)) {
        return;
    }
    if (disp == 0) {
        emit_op(&t->e, f, 0x8b, H_S1, REG(host_reg(base)));
    } else {
        emit_op(&t->e, f, 0x8d, H_S1, MEM(host_reg(base), RM_NONE, 0, disp));
    }
    t->ea = base == GPR_RSP ? EA_STACK : EA_ANY;
}

size_t tlb_offset(const Tr *t, vaddr page, size_t field)
{
    return offsetof(CpuState, tlb) + (size_t)t->mmu * sizeof(t->c->tlb[0]) +
           (page >> PAGE_SHIFT & (TLB_SIZE - 1)) * sizeof(TlbEntry) + field;
}

size_t stack_offset(const Tr *t, size_t field)
{
    return offsetof(CpuState, tlb_stack) + (size_t)t->mmu * sizeof(TlbStack) + field;
}

static size_t tag_field(bool write)
{
    return write ? offsetof(TlbEntry, wtag) : offsetof(TlbEntry, rtag);
}

/* What a check leaves: offset and page in r13 and r14; both in r13; nothing. */
typedef enum Take { TAKE_TWO, TAKE_ONE, TAKE_NONE } Take;

/* r13 is the offset in the page, @host its host address. */
static void take_host(Tr *t, Rm host, Take take)
{
    if (take == TAKE_ONE) {
        emit_op(&t->e, F_W, 0x03, H_S1, host); /* ADD */
    } else if (take == TAKE_TWO) {
        emit_load(&t->e, H_S2, host);
    }
    t->operand = MEM(H_S1, take == TAKE_ONE ? RM_NONE : H_S2, 0, 0);
}

static void check_any(Tr *t, unsigned size, bool write, Take take, Cold *miss)
{
    Emit *e = &t->e;

    jit_tlb_index(e, t->j->bmi2);
    emit_op(e, F_W, 0x33, H_S1, GS_IDX(H_S2, tlb_offset(t, 0, tag_field(write))));
    emit_op(e, F_W, 0x81, 7, REG(H_S1)); /* CMP */
    put32(e, PAGE_SIZE - size);
    cold_jump(t, miss, 7); /* JA */
    take_host(t, GS_IDX(H_S2, tlb_offset(t, 0, offsetof(TlbEntry, host))), take);
}

static void check_stack(Tr *t, unsigned size, Take take, Cold *miss)
{
    Emit *e = &t->e;

    emit_op(e, F_W, 0x33, H_S1, GS_AT(stack_offset(t, offsetof(TlbStack, tag))));
    emit_op(e, F_W, 0x81, 7, REG(H_S1)); /* CMP */
    put32(e, PAGE_SIZE - size);
    cold_jump(t, miss, 7); /* JA */
    take_host(t, GS_AT(stack_offset(t, offsetof(TlbStack, host))), take);
}

/* All bytes are in one page. */
static void check_const(Tr *t, bool write, Cold *miss)
{
    vaddr page = t->ea_const & ~(vaddr)(PAGE_SIZE - 1);
    Rm tag = GS_AT(tlb_offset(t, page, tag_field(write)));
    Emit *e = &t->e;

    if (page == (uint64_t)(int64_t)(int32_t)page) {
        emit_op(e, F_W, 0x81, 7, tag); /* CMP */
        put32(e, (uint32_t)page);
    } else {
        emit_const(e, H_S1, page);
        emit_op(e, F_W, 0x3b, H_S1, tag);
    }
    cold_jump(t, miss, 5);
    emit_load(e, H_S2, GS_AT(tlb_offset(t, page, offsetof(TlbEntry, host))));
    t->operand = MEM(H_S2, RM_NONE, 0, (int)(t->ea_const - page));
}

static void check(Tr *t, unsigned size, bool write, Take take, Cold *miss)
{
    miss->ea = t->ea;
    miss->size = size;
    if (t->ea == EA_STACK) {
        check_stack(t, size, take, miss);
    } else if (t->ea == EA_CONST) {
        check_const(t, write, miss);
    } else {
        check_any(t, size, write, take, miss);
    }
    t->ea = EA_ANY;
}

static bool stack_page(void)
{
    return trick_on(TRICK_STACK_PAGE) && trick_on(TRICK_TLB_FILL);
}

static Cold *new_fill(Tr *t, bool write, Cold *slow)
{
    Cold *fill = cold_new(t, COLD_FILL);

    fill->write = write;
    slow->filled = true;
    slow->idle = false;
    fill->slow = slow;
    fill->back = t->e.p;
    fill->target = t->ea_const;
    return fill;
}

/* The operand was checked with its frame. */
static bool frame_access(Tr *t, unsigned size, bool write, Cold *slow)
{
    const Frame *f = frame_of(t, t->ea_base, (int64_t)t->ea_const, size, write);
    bool here = f != NULL && t->delta_here == f;

    if (f == NULL) {
        return false;
    }
    if (!here) {
        emit_load(&t->e, H_S2, GS_AT(f->delta));
    }
    t->operand = MEM(host_reg(f->base), here ? H_S1 : H_S2, 0, (int)(int64_t)t->ea_const);
    t->ea = EA_ANY;
    slow->idle = slow->kind == COLD_HELP && !slow->filled;
    return true;
}

void mem_check(Tr *t, unsigned size, bool write, Cold *slow)
{
    bool inside = (t->ea_const & (PAGE_SIZE - 1)) <= PAGE_SIZE - size;
    Cold *fill;

    if (t->ea == EA_FRAME && frame_access(t, size, write, slow)) {
        return;
    }
    if (t->ea == EA_FRAME) {
        mem_fixed(t);
    }
    if (t->ea == EA_CONST && (!trick_on(TRICK_CONST_ADDRESS) || !inside)) {
        mem_fixed(t);
    }
    if (t->ea == EA_STACK && !stack_page()) {
        t->ea = EA_ANY;
    }
    fill = new_fill(t, write, slow);
    check(t, size, write, TAKE_TWO, fill);
    fill->once = t->e.p;
}

void mem_check_group(Tr *t, unsigned size, bool write, Cold *k)
{
    Cold *miss = k;

    if (t->ea == EA_STACK && stack_page() && !t->frame[0].on) {
        miss = new_fill(t, write, k);
        miss->alone = true;
    } else {
        t->ea = EA_ANY;
    }
    check(t, size, write, TAKE_ONE, miss);
}

void mem_check_frame(Tr *t, const Frame *f, Cold *slow)
{
    bool stack = f->base == GPR_RSP && stack_page();
    unsigned size = (unsigned)(f->hi - f->lo);
    Emit *e = &t->e;
    Cold *fill;

    if (!t->code64) { /* the upper half is 0: it will be after a move */
        emit_op(e, 0, 0x89, host_reg(f->base), REG(H_S1));
        emit_op(e, F_W, 0x3b, H_S1, REG(host_reg(f->base)));
        cold_jump(t, slow, 5);
    }
    emit_op(e, F_W, 0x8d, H_S1, MEM(host_reg(f->base), RM_NONE, 0, (int)f->lo));
    t->ea = stack ? EA_STACK : EA_ANY;
    fill = new_fill(t, f->write, slow);
    fill->alone = true;
    check(t, size, f->write, stack ? TAKE_NONE : TAKE_ONE, fill);
    if (!stack) {
        if (f->lo != 0) {
            emit_op(e, F_W, 0x8d, H_S1, MEM(H_S1, RM_NONE, 0, (int)-f->lo));
        }
        emit_op(e, F_W, 0x2b, H_S1, REG(host_reg(f->base))); /* SUB */
        emit_store(e, H_S1, GS_AT(f->delta));
    }
}

void mem_one(Tr *t)
{
    emit_op(&t->e, F_W, 0x8d, H_S1, t->operand);
}
