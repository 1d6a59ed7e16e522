/*
 * What translated code calls when the reference is to do something.
 */
#include "accel/jit/jit.h"

#include "accel/interp/interp.h"
#include "cpu/flags.h"

static void run(CpuState *c, uint64_t tagged, uint64_t next)
{
    const Insn *i = (const Insn *)(uintptr_t)(tagged & ~7ull);

    c->jit.cpu->helps[(tagged & 7) * opcode_row_count() + i->row]++;
    c->insn = i;
    c->regs[GPR_RIP] = next;
    flags_set(c, flags_of_slot(c->jit.flags));
    i->exec(c, i);
    c->jit.flags = slot_of_flags(flags_get(c));
    c->insn = NULL;
}

bool jit_help(CpuState *c, uint64_t i, uint64_t next)
{
    const Jit *j = c->jit.cpu;

    uint32_t drops = c->tlb_drops;

    c->jit.ret_sp += 8; /* a fault does not return to the stub's caller */
    run(c, i, next);
    if (c->jit.leave || c->tlb_drops != drops || c->regs[GPR_RIP] != next || jit_vec_key(c) != (j->key & KEY_VEC) ||
        c->careful || c->mmu != j->mmu || c->mode_key != j->mode_key) {
        return true;
    }
    c->jit.poll = c->rflags & FLAG_IF ? ~0u : ~(uint32_t)REQ_INTR;
    c->jit.ret_sp -= 8;
    return false;
}

const void *jit_help_end(CpuState *c, uint64_t i, uint64_t next)
{
    run(c, i, next);
    c->jit.site = NULL;
    return c->mid_repeat && c->jit.cpu->counting ? NULL : jit_find(c);
}

const void *jit_next(CpuState *c)
{
    c->jit.cpu->misses++;
    return jit_find(c);
}
