/*
 * A block becomes host code: one pass backward for the flags that are alive, one forward.
 */
#include "accel/jit/trans.h"

#include "accel/accel.h"
#include "accel/options.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- without memory ---- */

static void raw(Tr *t, const Plan *p)
{
    if (p->reads != 0 || (p->touches && (t->live_after & ~p->sets) != 0)) {
        flags_restore(t);
    }
    if (p->f & F_66) {
        put8(&t->e, 0x66);
    }
    if (p->f & F_W) {
        put8(&t->e, 0x48);
    }
    put8(&t->e, p->op);
    if (p->touches) {
        t->flags = FLAGS_HOST;
    }
}

/* A result in a host register @n, or to be stored to its slot. */
static unsigned target(const Plan *p)
{
    return in_slot(p->reg) ? H_S1 : host_reg(p->reg);
}

static void store_target(Tr *t, const Plan *p)
{
    if (in_slot(p->reg)) {
        emit_store(&t->e, H_S1, slot_of(p->reg));
    }
}

static void constant(Tr *t, const Plan *p)
{
    uint64_t v = plan_constant(t->insn);

    if (in_slot(p->reg) && is_imm32(v)) {
        emit_op(&t->e, F_W, 0xc7, 0, slot_of(p->reg));
        put32(&t->e, (uint32_t)v);
    } else {
        emit_const(&t->e, target(p), v);
        store_target(t, p);
    }
}

static void lea(Tr *t, const Plan *p)
{
    const Insn *i = t->insn;
    unsigned f = i->asize == 8 ? p->f : p->f & ~(unsigned)F_W;

    if (i->base == GPR_RIP || (i->base == GPR_ZERO && i->index == GPR_ZERO)) {
        uint64_t at = (i->base == GPR_RIP ? t->next : 0) + (uint64_t)(int64_t)i->disp;

        at = i->asize == 8 && i->opsize == 8 ? at : (uint32_t)at;
        if (i->opsize == 2) {
            emit_const(&t->e, H_S2, at);
        } else {
            emit_const(&t->e, target(p), at);
        }
    } else {
        unsigned b = i->base == GPR_ZERO ? RM_NONE : guest_value(t, i->base, H_S1);
        unsigned x = i->index == GPR_ZERO ? RM_NONE : guest_value(t, i->index, H_S2);

        emit_op(&t->e, i->opsize == 2 ? 0 : f, 0x8d, i->opsize == 2 ? H_S2 : target(p),
                MEM(b, x, i->scale, i->disp));
    }
    if (i->opsize == 2) { /* the rest of the register stays */
        guest_value(t, p->reg, H_S1);
        emit_op(&t->e, F_66, 0x89, H_S2, REG(target(p)));
    }
    store_target(t, p);
}

static void bswap(Tr *t, const Plan *p)
{
    unsigned r = guest_value(t, p->reg, H_S1);

    put8(&t->e, 0x40 | (p->f & F_W ? 8 : 0) | r >> 3);
    put8(&t->e, 0x0f);
    put8(&t->e, 0xc8 | (r & 7));
    store_target(t, p);
}

/* ---- the stack ---- */

static void push_value(Tr *t, const Plan *p, Cold *slow, unsigned n, unsigned f)
{
    mem_address_of(t, GPR_RSP, -(int)n);
    mem_check(t, n, true, slow);
    if (p->kind == PLAN_PUSH_I) {
        emit_op(&t->e, f, 0xc7, 0, MEM_OPERAND);
        put32(&t->e, (uint32_t)t->insn->imm);
    } else if (p->kind == PLAN_PUSH_M || p->kind == PLAN_PUSHF || in_slot(p->reg)) {
        mem_one(t);
        emit_load(&t->e, H_S2, p->kind == PLAN_PUSH ? slot_of(p->reg) : GS(jit.tmp[0]));
        emit_op(&t->e, f, 0x89, H_S2, MEM(H_S1, RM_NONE, 0, 0));
    } else {
        emit_op(&t->e, f, 0x89, host_reg(p->reg), MEM_OPERAND);
    }
    emit_op(&t->e, f, 0x8d, H_SP, MEM(H_SP, RM_NONE, 0, -(int)n));
}

static void pop_value(Tr *t, const Plan *p, Cold *slow, unsigned n, unsigned f)
{
    unsigned to = p->kind == PLAN_LEAVE ? H_S1 : target(p);

    mem_address_of(t, p->kind == PLAN_LEAVE ? GPR_RBP : GPR_RSP, 0);
    mem_check(t, n, false, slow);
    emit_op(&t->e, f, 0x8b, to, MEM_OPERAND);
    if (p->kind == PLAN_LEAVE) {
        emit_op(&t->e, f, 0x8d, H_SP, MEM(GPR_RBP, RM_NONE, 0, (int)n));
        emit_op(&t->e, F_W, 0x89, H_S1, REG(GPR_RBP));
        return;
    }
    if (p->reg == GPR_RSP) {
        return;
    }
    store_target(t, p);
    emit_op(&t->e, f, 0x8d, H_SP, MEM(H_SP, RM_NONE, 0, (int)n));
}

/* PUSH and POP in a group. */
static void stack_grouped(Tr *t, const Plan *p, int n, unsigned f)
{
    Rm rm = MEM(H_S1, RM_NONE, 0, (int)t->group_off - (p->kind == PLAN_POP ? 0 : n));

    switch (p->kind) {
    case PLAN_PUSH_I:
        emit_op(&t->e, f, 0xc7, 0, rm);
        put32(&t->e, (uint32_t)t->insn->imm);
        break;
    case PLAN_PUSH:
        emit_op(&t->e, f, 0x89, guest_value(t, p->reg, H_S2), rm);
        break;
    default:
        emit_op(&t->e, f, 0x8b, in_slot(p->reg) ? H_S2 : host_reg(p->reg), rm);
        if (in_slot(p->reg)) {
            emit_store(&t->e, H_S2, slot_of(p->reg));
        }
        break;
    }
    n = p->kind == PLAN_POP ? n : -n;
    t->group_off += n;
    t->sp_owed += n;
    if (!trick_on(TRICK_STACK_MOVES)) {
        group_pay(t);
    }
}

static void stack(Tr *t, const Plan *p)
{
    unsigned n = t->code64 ? 8 : 4, f = t->code64 ? F_W : 0;
    Cold *slow;

    if (t->grouped) {
        stack_grouped(t, p, (int)n, f);
        return;
    }
    slow = cold_help(t);
    if (!frame_operand(t, p)) {
        mem_flags(t);
    }
    if (p->kind == PLAN_PUSHF) {
        pushf_image(t);
    } else if (p->kind == PLAN_PUSH_M) {
        mem_address(t, false);
        mem_check(t, n, false, slow);
        emit_op(&t->e, f, 0x8b, H_S1, MEM_OPERAND);
        emit_store(&t->e, H_S1, GS(jit.tmp[0]));
    }
    if (p->kind >= PLAN_POP) {
        pop_value(t, p, slow, n, f);
    } else {
        push_value(t, p, slow, n, f);
    }
    slow->host_after = t->flags == FLAGS_HOST;
    slow->back = t->e.p;
}

/* ---- the passes ---- */

/* One more instruction has begun; r14 is free before each. */
static void count(Tr *t)
{
    emit_load(&t->e, H_S2, GS(jit.count));
    emit_op(&t->e, F_W, 0x8d, H_S2, MEM(H_S2, RM_NONE, 0, 1));
    emit_store(&t->e, H_S2, GS(jit.count));
}

static void insn(Tr *t, const Plan *p)
{
    if (t->j->counting) {
        count(t);
    }
    if (t->sp_owed != 0 && !group_passes(t, p)) {
        group_pay(t);
    }
    switch (p->kind) {
    case PLAN_HELP: case PLAN_END:
        x87_pointers(t);
        flags_save(t);
        emit_help(t, t->insn, t->next, p->kind == PLAN_END ? t->j->help_end : t->j->help, CAUSE_INSN);
        t->flags = FLAGS_SLOT;
        t->vec_held = t->x87_held = false;
        break;
    case PLAN_NOP:
        break;
    case PLAN_OP:
        op_insn(t, p);
        break;
    case PLAN_RAW:
        raw(t, p);
        break;
    case PLAN_LEA:
        lea(t, p);
        break;
    case PLAN_CONST:
        constant(t, p);
        break;
    case PLAN_BSWAP:
        bswap(t, p);
        break;
    case PLAN_BMI:
        bmi_insn(t, p);
        break;
    case PLAN_VEC:
        vec_insn(t, p);
        break;
    case PLAN_VZERO:
        vec_zero_upper(t);
        break;
    case PLAN_X87:
        x87_insn(t, p);
        break;
    case PLAN_DIV:
        div_insn(t, p);
        break;
    case PLAN_STRING:
        x87_pointers(t);
        system_insn(t, p);
        break;
    case PLAN_BT:
        bt_insn(t, p);
        break;
    case PLAN_CLI: case PLAN_STI: case PLAN_DF: case PLAN_SWAPGS: case PLAN_FENCE:
    case PLAN_SELECTOR:
        system_insn(t, p);
        break;
    case PLAN_PUSHF: case PLAN_PUSH: case PLAN_PUSH_I: case PLAN_PUSH_M: case PLAN_POP: case PLAN_LEAVE:
        stack(t, p);
        break;
    default:
        x87_pointers(t);
        flow_insn(t, p);
        break;
    }
}

void trans_insn(Tr *t, const Plan *p)
{
    insn(t, p);
    frame_move(t, p);
}

static bool ends(const Plan *p)
{
    return p->kind == PLAN_END || p->kind > PLAN_JCC;
}

static bool touches_memory(const Plan *p)
{
    return p->mem || p->kind == PLAN_HELP || p->kind == PLAN_END ||
           (p->kind >= PLAN_X87 && p->kind <= PLAN_LEAVE) || p->kind >= PLAN_CALL;
}

/* Where the flags had better be at the start: in the slot if that is where they go first. */
static FlagsAt first_use(const Plan *plans, const uint8_t *live, unsigned n)
{
    if (live[0] == 0) {
        return FLAGS_DEAD;
    }
    for (unsigned k = 0; k < n; k++) {
        if (touches_memory(&plans[k])) {
            return FLAGS_SLOT;
        }
        if (plans[k].reads != 0 || plans[k].touches) {
            return FLAGS_HOST;
        }
    }
    return FLAGS_HOST;
}

/* An instruction in two pages: either may be mapped anew. */
static void guard(Tr *t)
{
    vaddr second = (t->t->lin & ~0xfffull) + PAGE_SIZE;
    Cold *miss;

    t->t->host_entry = t->e.p;
    emit_flags_save(&t->e, H_S2);
    t->t->slot_entry = t->e.p;
    t->next = t->t->lin;
    second = t->code64 ? second : (uint32_t)second;
    miss = cold_new(t, COLD_LEAVE);
    t->t->guard[0] = compare_number(t, t->t->lin, miss);
    t->t->guard[1] = compare_number(t, second, miss);
}

static void entries(Tr *t, FlagsAt at)
{
    if (t->b->host2 != NULL) {
        guard(t);
        t->t->entry = t->e.p;
        if (at == FLAGS_HOST) {
            emit_flags_restore(&t->e);
        }
        t->flags = at;
        return;
    }
    t->t->host_entry = t->t->slot_entry = t->e.p;
    if (at == FLAGS_HOST) {
        emit_flags_restore(&t->e);
        t->t->host_entry = t->e.p;
    } else if (at == FLAGS_SLOT) {
        emit_flags_save(&t->e, H_S2);
        t->t->slot_entry = t->e.p;
    }
    t->t->entry = t->t->slot_entry;
    t->flags = at;
}

void trans_at(Tr *t, unsigned n)
{
    vaddr start = t->t->lin;

    t->insn = &t->b->insns[n];
    t->next = t->code64 ? start + t->insn->end : (uint32_t)(start + t->insn->end);
    t->live_before = t->live[n];
    t->live_after = t->live[n + 1];
}

/* Look around before an instruction at @at where the flags are not in the host's, at the latest before one
 * that may leave. */
static void poll(Tr *t, const Plan *p, unsigned k, vaddr at)
{
    bool last = ends(p) || p->kind == PLAN_JCC || p->kind == PLAN_LOOP || p->kind == PLAN_CLI || p->kind == PLAN_STI;

    if (t->shadow != 0) {
        if (--t->shadow != 0) {
            return; /* the instruction behind STI */
        }
        t->polled = false;
    }
    if (!t->polled && last && t->flags == FLAGS_HOST && t->live[k] != 0) {
        flags_save(t);
    }
    if (!t->polled && (t->flags != FLAGS_HOST || t->live[k] == 0)) {
        poll_here(t, at);
    }
}

/* Code that may be part of a loop: it goes back, or where it is not known. A RET to the top of the return stack
 * undoes a CALL; the others look around themselves. */
static bool loops(const Tr *t)
{
    bool all = !trick_on(TRICK_FEW_POLLS) || !trick_on(TRICK_RETURN_STACK) || t->j->counting || t->j->strict;

    for (unsigned k = 0; k < t->count; k++) {
        const Insn *i = &t->b->insns[k];
        vaddr end = t->t->lin + i->end, to = end + i->imm;
        bool back = (t->code64 ? to : (uint32_t)to) <= end;

        all |= (uint32_t)end < i->len && !t->code64; /* it goes on at 0 */

        switch (t->plans[k].kind) {
        case PLAN_CLI: case PLAN_STI: case PLAN_HELP: case PLAN_STRING: case PLAN_CALL: case PLAN_CALL_RM: case PLAN_JMP_RM:
            all = true;
            break;
        case PLAN_JCC: case PLAN_JMP: case PLAN_LOOP:
            all |= back;
            break;
        default:
            break;
        }
    }
    return all;
}

static void forward(Tr *t)
{
    const Plan *p = t->plans;
    unsigned last = 0;

    t->polled = !loops(t);
    for (unsigned k = 0; k < t->count; k++) {
        p = &t->plans[k];
        if (!t->grouped) {
            poll(t, p, k, k == 0 ? t->t->lin : t->next);
        }
        if (t->polled && t->shadow == 0 && !t->grouped) {
            frame_begin(t, k);
            last = group_begin(t, k);
        }
        trans_at(t, k);
        trans_insn(t, p);
        if (t->grouped && k == last) {
            group_end(t);
        }
    }
    if (!ends(p)) {
        x87_pointers(t);
        exit_to(t, JUMP_ALWAYS, t->next);
    }
}

/* The plans, and the flags that are alive before each. */
static void make_plans(const Tr *t, Plan *plans, uint8_t *live)
{
    const Block *b = t->b;

    live[b->count] = FL_ALL;
    for (unsigned k = b->count; k-- > 0;) {
        Plan *p = &plans[k];

        plan_insn(&b->insns[k], t->t->key, p);
        live[k] = (uint8_t)((live[k + 1] & ~(t->j->strict ? 0 : p->sets)) | p->reads);
        if (p->kind >= PLAN_JCC) {
            live[k] = FL_ALL;
        }
        if (p->kind == PLAN_STI && k + 1u == b->count) {
            *p = (Plan){ .kind = PLAN_END, .reads = FL_ALL, .written = 0xffff }; /* the next one is in its shadow */
            live[k] = FL_ALL;
        }
    }
}

/* How many instructions there are to what was translated already, which is not again: programs are larger than
 * the host's caches as it is. The flags that are alive there do not change, since these bytes belong to the block. */
static unsigned until_known(const Tr *t, const Plan *plans)
{
    const Block *b = t->b;
    unsigned k = 1;

    while (k < b->count && (plans[k - 1].kind == PLAN_STI || !trick_on(TRICK_JOIN) ||
                            !jit_known(t->c, b, b->insns[k - 1].end, t->t->lin + b->insns[k - 1].end))) {
        k++;
    }
    return k;
}

static void made(const Tr *t)
{
    Jit *j = t->j;

    j->bytes += t->b->insns[t->count - 1].end;
    j->code_bytes += t->t->code_bytes;
    j->cold_bytes += t->t->cold_bytes;
    jit_perf_note(j, t->t->code, t->t->code_bytes, "guest-", t->t->lin);
    jit_perf_note(j, t->t->cold, t->t->cold_bytes, "guest-cold-", t->t->lin);
    if (log_on(LOG_OUT_ASM)) {
        jit_log_out(t->c, t->t);
    }
}

/* x-count=on: one more run. Both scratch registers are free at the start. */
static void count_run(Tr *t)
{
    Rm runs = MEM(H_S1, RM_NONE, 0, 0);

    if (accel_options.count) {
        emit_const(&t->e, H_S1, (uint64_t)(uintptr_t)&t->t->runs);
        emit_load(&t->e, H_S2, runs);
        emit_op(&t->e, F_W, 0x8d, H_S2, MEM(H_S2, RM_NONE, 0, 1));
        emit_store(&t->e, H_S2, runs);
    }
}

Trans *jit_translate(CpuState *c, Block *b, vaddr lin, bool frameless)
{
    static _Thread_local Tr tr; /* too large for the stack */
    Jit *j = c->jit.cpu;
    Plan plans[BLOCK_INSNS];
    uint8_t live[BLOCK_INSNS + 1];
    Tr *t = &tr;

    if (!c->code64 && lin + b->bytes - 1 > 0xffffffff) {
        return NULL;
    }
    memset(t, 0, offsetof(Tr, cold));
    frames_none(t);
    t->colds = 0;
    t->e = (Emit){ j->at, j->state };
    t->c = c;
    t->j = j;
    t->b = b;
    t->code64 = c->code64;
    t->mmu = c->mmu;
    t->t = jit_new_trans(j);
    t->t->block = b;
    t->t->lin = lin;
    t->t->key = j->key;
    t->t->frameless = frameless;
    t->plans = plans;
    t->live = live;
    make_plans(t, plans, live);
    t->count = until_known(t, plans);
    entries(t, first_use(plans, live, t->count));
    count_run(t);
    forward(t);
    t->t->code = j->at;
    t->t->code_bytes = (uint32_t)(t->e.p - j->at);
    j->at = t->e.p;
    t->e.p = t->t->cold = j->cold_at;
    emit_colds(t);
    t->t->cold_bytes = (uint32_t)(t->e.p - j->cold_at);
    j->cold_at = t->e.p;
    made(t);
    return t->t;
}
