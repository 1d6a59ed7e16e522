/*
 * Jumps, calls, returns and the other ways out of a translation.
 *
 * A jump within the page is linked to its target's translation once that is known. Any other looks
 * its target up among those that were found since anything was mapped anew, then in the jump cache.
 */
#include "accel/jit/trans.h"

#include "cpu/mmu.h"

/* ---- looking up ---- */

/* The numbers of pages in the mode of the translation. */
static size_t page_ids(const Tr *t)
{
    return offsetof(CpuState, jit.page_id) + key_mmu(t->t->key) * sizeof(t->c->jit.page_id[0]);
}

/* A field of the entry that lookup() found. */
static Rm way(const Tr *t, size_t field)
{
    return GS_SCALED(H_S2, 3, offsetof(CpuState, jit.ways) + key_mmu(t->t->key) * sizeof(JitWays) + field);
}

void lookup(Tr *t, Cold *miss)
{
    Emit *e = &t->e;
    Cold *other;

    if (!trick_on(TRICK_JUMP_CACHE)) {
        cold_jump(t, miss, JUMP_ALWAYS);
        return;
    }
    other = cold_new(t, COLD_WAY);
    other->slow = miss;
    emit_op(e, 0, 0x69, H_S2, REG(H_S1)); /* IMUL */
    put32(e, WAY_HASH);
    emit_op(e, 0, 0xc1, 5, REG(H_S2)); /* SHR */
    put8(e, 32 - WAY_BITS);
    emit_op(e, F_W, 0x3b, H_S1, way(t, offsetof(JitWays, lin)));
    cold_jump(t, other, 5);
    other->back = e->p;
}

void emit_way(Tr *t, Cold *k)
{
    emit_jump(&t->e, JUMP_CALL, t->j->way[key_mmu(t->t->key)]);
    cold_jump(t, k->slow, 5);
    emit_jump(&t->e, JUMP_ALWAYS, k->back);
}

void jump_found(Tr *t)
{
    emit_op(&t->e, 0, 0xff, 4, way(t, offsetof(JitWays, code)));
}

static void call_found(Tr *t)
{
    emit_op(&t->e, 0, 0xff, 2, way(t, offsetof(JitWays, code)));
}

/* ---- direct ---- */

/* The number of the page of @lin now. */
static Rm page_id(const Tr *t, vaddr lin)
{
    return GS_AT(page_ids(t) + sizeof(uint32_t) * jit_page_slot(lin));
}

uint8_t *compare_number(Tr *t, vaddr lin, Cold *other)
{
    uint8_t *id;

    emit_op(&t->e, 0, 0x81, 7, page_id(t, lin)); /* CMP */
    id = t->e.p;
    put32(&t->e, PAGE_ID_NONE);
    cold_jump(t, other, 5);
    return id;
}

static bool same_page(const Tr *t, vaddr lin)
{
    return ((lin ^ t->t->lin) & ~(vaddr)(PAGE_SIZE - 1)) == 0;
}

/* A jump (call) to another page; the flags are in the slot. */
static void far_jump(Tr *t, vaddr lin, bool call)
{
    Cold *k = cold_new(t, COLD_FAR);

    k->target = lin;
    k->call = call;
    k->id = compare_number(t, lin, k);
    k->link = emit_jump(&t->e, call ? JUMP_CALL : JUMP_ALWAYS, NULL);
    k->back = t->e.p;
}

void emit_far(Tr *t, const Cold *k)
{
    Cold *leave = cold_new(t, COLD_FAR_LEAVE);
    Site *s = jit_new_site(t->j);

    s->disp = k->link;
    s->id = k->id;
    s->target = k->target;
    s->key = t->t->key;
    leave->site = s;
    leave->target = k->target;
    leave->call = k->call;
    leave->back = k->back;
    emit_const(&t->e, H_S1, k->target);
    lookup(t, leave);
    if (k->call) {
        call_found(t);
        emit_jump(&t->e, JUMP_ALWAYS, k->back);
    } else {
        jump_found(t);
    }
}

void emit_far_leave(Tr *t, const Cold *k)
{
    if (k->call) { /* where it returns to belongs on the return stack */
        uint8_t *over = emit_jump(&t->e, JUMP_CALL, NULL);

        emit_jump(&t->e, JUMP_ALWAYS, k->back);
        emit_set_jump(over, t->e.p);
    }
    k->site->stub = t->e.p;
    emit_set_jump(k->site->disp, t->e.p);
    emit_leave(t, k->site, k->target, false);
}

void exit_to(Tr *t, unsigned cc, vaddr lin)
{
    Cold *k;

    if (cc == JUMP_ALWAYS && !same_page(t, lin)) {
        flags_save(t);
        far_jump(t, lin, false);
        return;
    }
    k = cold_new(t, COLD_EXIT);
    k->target = lin;
    k->flags = t->flags;
    cold_jump(t, k, cc);
}

void emit_leave(Tr *t, Site *s, vaddr lin, bool host)
{
    emit_const(&t->e, H_S1, (uint64_t)(uintptr_t)s);
    emit_const(&t->e, H_S2, lin);
    emit_jump(&t->e, JUMP_ALWAYS, host ? t->j->link_host : t->j->link_slot);
}

void emit_exit(Tr *t, const Cold *k)
{
    Site *s;

    if (!same_page(t, k->target)) { /* a conditional jump */
        t->flags = k->flags;
        flags_save(t);
        far_jump(t, k->target, false);
        return;
    }
    s = jit_new_site(t->j);
    s->disp = k->from[0];
    s->stub = t->e.p;
    s->page = t->b->host - (t->t->lin & 0xfff);
    s->target = k->target;
    s->key = t->t->key;
    s->host_flags = k->flags == FLAGS_HOST;
    emit_leave(t, s, k->target, s->host_flags);
}

void emit_colds(Tr *t)
{
    for (unsigned n = 0; n < t->colds; n++) { /* which may add more */
        emit_cold(t, &t->cold[n]);
    }
}

/* ---- looking around ---- */

static Cold *leave_at(Tr *t, int kind, vaddr lin)
{
    Cold *k = cold_new(t, kind);

    k->target = lin;
    k->x87_last = t->x87_last;
    k->x87_mem = t->x87_mem;
    k->x87_next = t->x87_next;
    return k;
}

void poll_here(Tr *t, vaddr lin)
{
    Cold *k = leave_at(t, COLD_POLL, lin);

    emit_op(&t->e, 0, 0x83, 7, GS(requests)); /* CMP */
    put8(&t->e, 0);
    cold_jump(t, k, 5);
    k->back = t->e.p;
    if (t->j->counting) {
        emit_op(&t->e, 0, 0x83, 5, GS(jit.budget)); /* SUB */
        put8(&t->e, 1);
        cold_jump(t, leave_at(t, COLD_LEAVE, lin), 8); /* JS */
    }
    if (t->flags == FLAGS_HOST) {
        t->flags = FLAGS_DEAD;
    }
    t->polled = true;
}

/* ---- instructions ---- */

static vaddr branch_target(const Tr *t)
{
    vaddr to = t->next + t->insn->imm;

    return t->code64 ? to : (uint32_t)to;
}

static bool target_is_good(const Tr *t)
{
    return !t->code64 || canonical(branch_target(t));
}

static unsigned width(const Tr *t)
{
    return t->code64 ? 8 : 4;
}

static void move_sp(Tr *t, int by)
{
    emit_op(&t->e, t->code64 ? F_W : 0, 0x8d, H_SP, MEM(H_SP, RM_NONE, 0, by));
}

static bool is_small(const Tr *t)
{
    return is_imm32(t->next);
}

/* The return address to the return stack. */
static void push_pair(Tr *t)
{
    Emit *e = &t->e;
    Cold *full;

    if (!trick_on(TRICK_RETURN_STACK)) {
        return;
    }
    full = cold_new(t, COLD_RET_FULL);
    emit_op(e, F_W, 0x3b, H_RSP, GS(jit.ret_limit));
    cold_jump(t, full, 2); /* JB */
    full->back = e->p;
    if (is_small(t)) {
        put8(e, 0x68); /* PUSH imm32 */
        put32(e, (uint32_t)t->next);
    } else {
        if (!t->code64) { /* else it is in r14 */
            emit_const(e, H_S2, t->next);
        }
        put8(e, 0x41);
        put8(e, 0x56); /* PUSH r14 */
    }
}

/* The return address to the guest's stack and to the return stack. */
static void push_return(Tr *t, Cold *slow)
{
    Emit *e = &t->e;
    Rm to;

    if (t->grouped) {
        to = MEM(H_S1, RM_NONE, 0, (int)t->group_off - (int)width(t));
    } else {
        mem_address_of(t, GPR_RSP, -(int)width(t));
        mem_check(t, width(t), true, slow);
        to = MEM_OPERAND;
    }
    if (!t->code64 || is_small(t)) {
        emit_op(e, t->code64 ? F_W : 0, 0xc7, 0, to);
        put32(e, (uint32_t)t->next);
    } else {
        if (!t->grouped) {
            mem_one(t);
            to = MEM(H_S1, RM_NONE, 0, 0);
        }
        emit_const(e, H_S2, t->next);
        emit_store(e, H_S2, to);
    }
    move_sp(t, -(int)width(t));
    push_pair(t);
}

/* Where a RET that found its pair comes to. */
static void returned(Tr *t)
{
    emit_op(&t->e, F_W, 0x8d, H_RSP, MEM(H_RSP, RM_NONE, 0, 8));
    exit_to(t, JUMP_ALWAYS, t->next);
}

static void call(Tr *t)
{
    vaddr to = branch_target(t);

    flags_save(t);
    push_return(t, cold_help_end(t));
    if (!trick_on(TRICK_RETURN_STACK)) {
        exit_to(t, JUMP_ALWAYS, to);
        return;
    }
    if (same_page(t, to)) {
        Cold *k = cold_new(t, COLD_EXIT);

        k->target = to;
        k->flags = t->flags;
        cold_jump(t, k, JUMP_CALL);
    } else {
        far_jump(t, to, true);
    }
    returned(t);
}

static void ret(Tr *t)
{
    Cold *slow = cold_help_end(t), *other;
    Rm from;

    flags_save(t);
    if (t->grouped) {
        from = MEM(H_S1, RM_NONE, 0, (int)t->group_off);
    } else {
        mem_address_of(t, GPR_RSP, 0);
        mem_check(t, width(t), false, slow);
        from = MEM_OPERAND;
    }
    emit_op(&t->e, t->code64 ? F_W : 0, 0x8b, H_S1, from);
    if (!trick_on(TRICK_RETURN_STACK)) {
        lookup(t, slow);
        move_sp(t, (int)(width(t) + (unsigned)t->insn->imm));
        jump_found(t);
        return;
    }
    other = cold_new(t, COLD_RET);
    emit_op(&t->e, F_W, 0x3b, H_S1, MEM(H_RSP, RM_NONE, 0, 8));
    other->slow = slow;
    cold_jump(t, other, 5);
    move_sp(t, (int)(width(t) + (unsigned)t->insn->imm));
    put8(&t->e, 0xc3);
}

/* r13 = the target of an indirect jump. */
static void load_target(Tr *t, const Plan *p, Cold *slow)
{
    unsigned f = t->code64 ? F_W : 0;

    if (p->mem) {
        mem_address(t, false);
        mem_check(t, width(t), false, slow);
        emit_op(&t->e, f, 0x8b, H_S1, MEM_OPERAND);
    } else {
        emit_op(&t->e, f, 0x8b, H_S1,
                in_slot(p->rm) ? slot_of(p->rm) : REG(host_reg(p->rm)));
    }
}

static void jump_rm(Tr *t, const Plan *p)
{
    Cold *slow = cold_help_end(t);

    flags_save(t);
    load_target(t, p, slow);
    lookup(t, slow);
    jump_found(t);
}

/* The target is looked up before anything is stored, so that the reference can do it all again. */
static void call_rm(Tr *t, const Plan *p)
{
    Cold *slow = cold_help_end(t), *slow2 = cold_help_end(t);
    Emit *e = &t->e;

    flags_save(t);
    load_target(t, p, slow);
    lookup(t, slow2);
    emit_load(e, H_S2, way(t, offsetof(JitWays, code)));
    emit_store(e, H_S2, GS(jit.tmp[0]));
    push_return(t, slow2);
    if (!trick_on(TRICK_RETURN_STACK)) {
        emit_op(e, 0, 0xff, 4, GS(jit.tmp[0]));
        return;
    }
    emit_op(e, 0, 0xff, 2, GS(jit.tmp[0]));
    returned(t);
}

/* LOOP, JRCXZ (JECXZ): no flags are read or written. */
static void loop_insn(Tr *t)
{
    bool wide = t->insn->asize == 8, loop = t->insn->opcode == 0xe2;
    Cold *k = cold_new(t, COLD_EXIT);

    k->target = branch_target(t);
    k->flags = t->flags;
    if (loop) {
        emit_op(&t->e, wide ? F_W : 0, 0x8d, H_RCX, MEM(H_RCX, RM_NONE, 0, -1));
    }
    if (!wide) {
        put8(&t->e, 0x67);
    }
    put8(&t->e, 0xe3); /* JRCXZ over the jump, or to it over another */
    put8(&t->e, loop ? 5 : 2);
    if (!loop) {
        put8(&t->e, 0xeb);
        put8(&t->e, 5);
    }
    cold_jump(t, k, JUMP_ALWAYS);
}

void flow_insn(Tr *t, const Plan *p)
{
    if ((p->kind <= PLAN_CALL) && !target_is_good(t)) {
        flags_save(t);
        emit_help(t, t->insn, t->next, t->j->help_end, CAUSE_INSN);
        return;
    }
    switch (p->kind) {
    case PLAN_LOOP:
        loop_insn(t);
        break;
    case PLAN_JCC:
        flags_restore(t);
        exit_to(t, t->insn->opcode & 15, branch_target(t));
        break;
    case PLAN_JMP:
        exit_to(t, JUMP_ALWAYS, branch_target(t));
        break;
    case PLAN_CALL:
        call(t);
        break;
    case PLAN_RET:
        ret(t);
        break;
    case PLAN_JMP_RM:
        jump_rm(t, p);
        break;
    default:
        call_rm(t, p);
        break;
    }
}
