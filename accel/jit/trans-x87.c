/*
 * x87 instructions as themselves, on the guest's register stack in the host's.
 *
 * All exceptions are masked (KEY_X87), so that none is ever pending. The instruction and operand
 * pointers are not the host's but stored to CpuState: that of the last instruction only, before
 * anything could look at them.
 */
#include "accel/jit/trans.h"

#define SELECTOR(seg) GS_AT(offsetof(CpuState, segs) + (seg) * sizeof(Segment) + offsetof(Segment, selector))

static void copy_selector(Emit *e, unsigned seg, Rm to)
{
    emit_op(e, F_0F, 0xb7, H_S1, SELECTOR(seg)); /* MOVZX */
    emit_op(e, F_66, 0x89, H_S1, to);
}

void x87_pointers_of(Tr *t, const Insn *last, const Insn *mem, vaddr next)
{
    Emit *e = &t->e;

    if (last == NULL) {
        return;
    }
    emit_op(e, F_66, 0xc7, 0, GS(fop));
    emit_imm(e, (last->opcode & 7u) << 8 | last->modrm, 2);
    emit_const(e, H_S1, t->code64 ? next - last->len : (uint32_t)(next - last->len));
    emit_store(e, H_S1, GS(fip));
    copy_selector(e, SEG_CS, GS(fcs));
    if (mem != NULL) {
        copy_selector(e, mem->seg, GS(fds));
    }
}

void x87_pointers(Tr *t)
{
    x87_pointers_of(t, t->x87_last, t->x87_mem, t->x87_next);
    t->x87_last = t->x87_mem = NULL;
}

static void track(Tr *t, const Plan *p)
{
    if (p->control) {
        return;
    }
    t->x87_last = t->insn;
    t->x87_next = t->next;
    if (p->mem) {
        t->x87_mem = t->insn;
        mem_offset(t);
        emit_store(&t->e, H_S1, GS(fdp));
    }
}

/* FLDCW: a word that does not mask all exceptions is the reference's. */
static void load_control(Tr *t, Cold *slow)
{
    Emit *e = &t->e;

    emit_op(e, F_0F, 0xb7, H_S1, MEM_OPERAND);
    emit_op(e, F_W, 0x89, H_S1, REG(H_S2));
    emit_op(e, 0, 0xf7, 2, REG(H_S2)); /* NOT */
    emit_op(e, F_BRM, 0xf6, 0, REG(H_S2)); /* TEST */
    put8(e, 0x3f);
    cold_jump(t, slow, 5);
    emit_store(e, H_S1, GS(jit.tmp[0]));
    emit_op(e, 0, 0xd9, 5, GS(jit.tmp[0]));
}

static void memory(Tr *t, const Plan *p)
{
    Cold *slow = cold_help(t);

    mem_flags(t);
    mem_address(t, false);
    mem_check(t, p->size, p->write, slow);
    if (p->op == 0xd9 && p->ext == 5) {
        load_control(t, slow);
    } else {
        emit_op(&t->e, 0, p->op, p->ext, MEM_OPERAND);
    }
    slow->back = t->e.p; /* the reference's pointers are overwritten with the same */
    slow->host_after = t->flags == FLAGS_HOST;
}

void x87_insn(Tr *t, const Plan *p)
{
    x87_need(t);
    if (p->mem) {
        memory(t, p);
    } else {
        if (p->reads != 0) {
            flags_restore(t);
        }
        put8(&t->e, p->op);
        put8(&t->e, t->insn->modrm);
        if (p->touches) {
            t->flags = FLAGS_HOST;
        }
    }
    track(t, p);
}
