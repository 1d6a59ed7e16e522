/*
 * Code out of line: what is rarely needed, behind the translation.
 */
#include "accel/jit/trans.h"

Cold *cold_new(Tr *t, int kind)
{
    Cold *k = &t->cold[t->colds++];

    memset(k, 0, offsetof(Cold, from));
    k->kind = kind;
    k->insn = t->insn;
    k->target = t->next;
    return k;
}

void cold_jump(Tr *t, Cold *k, unsigned cc)
{
    uint8_t *disp = emit_jump(&t->e, cc, k->at);

    if (k->at == NULL) {
        k->from[k->froms++] = disp;
    }
}

Cold *cold_help(Tr *t)
{
    Cold *k = cold_new(t, COLD_HELP);

    k->vec = t->vec_held;
    k->x87 = t->x87_held;
    k->x87_last = t->x87_last;
    k->x87_mem = t->x87_mem;
    k->x87_next = t->x87_next;
    return k;
}

Cold *cold_help_end(Tr *t)
{
    return cold_new(t, COLD_HELP_END);
}

void emit_help(Tr *t, const Insn *i, vaddr next, const uint8_t *stub, JitCause cause)
{
    emit_const(&t->e, H_S1, (uint64_t)(uintptr_t)i | cause);
    emit_const(&t->e, H_S2, next);
    emit_jump(&t->e, stub == t->j->help_end ? JUMP_ALWAYS : JUMP_CALL, stub);
}

static void load_unless(Tr *t, size_t held, const uint8_t *stub)
{
    uint8_t *skip;

    emit_op(&t->e, 0, 0x80, 7, GS_AT(held)); /* CMP */
    put8(&t->e, 0);
    skip = emit_jump(&t->e, 5, NULL);
    emit_jump(&t->e, JUMP_CALL, stub);
    emit_set_jump(skip, t->e.p);
}

static void emit_cold_help(Tr *t, const Cold *k)
{
    bool host;

    x87_pointers_of(t, k->x87_last, k->x87_mem, k->x87_next);
    host = k->host_after && !k->vec && !k->x87;
    emit_help(t, k->insn, k->target, host ? t->j->help_host : t->j->help, CAUSE_MEMORY);
    if (k->vec) {
        load_unless(t, offsetof(CpuState, jit.vec_held), t->j->load_vec);
    }
    if (k->x87) {
        load_unless(t, offsetof(CpuState, jit.x87_held), t->j->load_x87);
    }
    if (k->host_after && !host) {
        emit_flags_restore(&t->e);
    }
    emit_jump(&t->e, JUMP_ALWAYS, k->back);
}

/* r13 is the address xor the tag, r14 the entry's offset. What the fill cannot do, Cold.slow does, right here mostly. */
static void emit_fill(Tr *t, const Cold *k)
{
    const Jit *j = t->j;

    if (trick_on(TRICK_TLB_FILL)) {
        if (k->alone) { /* that page, but not all of it: the fill could do nothing */
            emit_op(&t->e, F_W, 0x81, 7, REG(H_S1)); /* CMP */
            put32(&t->e, PAGE_SIZE);
            cold_jump(t, k->slow, 2); /* JB */
        }
        if (k->ea == EA_CONST) {
            emit_const(&t->e, H_S1, k->target);
        }
        emit_jump(&t->e, JUMP_CALL, k->ea == EA_CONST ? j->fill_at[k->write]
                                    : k->ea == EA_STACK ? j->stack_fill[t->mmu][k->write][stack_class(k->size)]
                                                        : j->fill[t->mmu][k->write]);
        emit_jump(&t->e, JUMP_ALWAYS, k->back);
        if (k->alone) {
            cold_jump(t, k->slow, JUMP_ALWAYS);
        } else {
            emit_jump(&t->e, JUMP_ALWAYS, k->once);
        }
    }
    if (k->slow->at == NULL) {
        k->slow->filled = false;
        emit_cold(t, k->slow);
    } else {
        cold_jump(t, k->slow, JUMP_ALWAYS);
    }
}

/* r13 is where the RET goes. The pair on top goes; they begin anew at the bottom. */
static void emit_ret(Tr *t, Cold *k)
{
    Emit *e = &t->e;

    emit_op(e, 0, 0x83, 7, GS(requests)); /* CMP */
    put8(e, 0);
    cold_jump(t, k->slow, 5);
    emit_op(e, F_W, 0x8d, H_RSP, MEM(H_RSP, RM_NONE, 0, 16));
    emit_op(e, F_W, 0x3b, H_RSP, GS(jit.ret_base));
    emit_op(e, F_W | F_0F, 0x47, H_RSP, GS(jit.ret_base)); /* CMOVA */
    lookup(t, k->slow);
    emit_op(e, t->code64 ? F_W : 0, 0x8d, H_SP,
            MEM(H_SP, RM_NONE, 0, (int)((t->code64 ? 8 : 4) + (unsigned)k->insn->imm)));
    jump_found(t);
}

void emit_cold(Tr *t, Cold *k)
{
    if ((k->idle && k->froms == 0) || k->filled || k->at != NULL) {
        return;
    }
    k->at = t->e.p;
    for (unsigned n = 0; n < k->froms; n++) {
        emit_set_jump(k->from[n], t->e.p);
    }
    switch (k->kind) {
    case COLD_HELP:
        emit_cold_help(t, k);
        break;
    case COLD_HELP_END:
        emit_help(t, k->insn, k->target, t->j->help_end, CAUSE_JUMP);
        break;
    case COLD_EXIT:
        emit_exit(t, k);
        break;
    case COLD_FAR:
        emit_far(t, k);
        break;
    case COLD_WAY:
        emit_way(t, k);
        break;
    case COLD_FAR_LEAVE:
        emit_far_leave(t, k);
        break;
    case COLD_POLL:
        emit_op(&t->e, 0, 0x8b, H_S1, GS(requests));
        emit_op(&t->e, 0, 0x85, H_S1, GS(jit.poll));
        emit_jump(&t->e, 4, k->back);
        /* fall through */
    case COLD_LEAVE:
        x87_pointers_of(t, k->x87_last, k->x87_mem, k->x87_next);
        emit_leave(t, NULL, k->target, false);
        break;
    case COLD_FILL:
        emit_fill(t, k);
        break;
    case COLD_LOAD:
        emit_jump(&t->e, JUMP_CALL, k->x87 ? t->j->load_x87 : t->j->load_vec);
        emit_jump(&t->e, JUMP_ALWAYS, k->back);
        break;
    case COLD_RET_FULL:
        emit_load(&t->e, H_RSP, GS(jit.ret_base));
        emit_jump(&t->e, JUMP_ALWAYS, k->back);
        break;
    case COLD_GROUP:
        emit_group(t, k);
        break;
    case COLD_FRAME:
        emit_frame(t, k);
        break;
    case COLD_RET:
        emit_ret(t, k);
        break;
    }
}
