/*
 * What translated code calls.
 */
#include "accel/jit/jit.h"

#include "cpu/flags.h"

bool jit_help(CpuState *c, const Insn *i, uint64_t next)
{
    const Jit *j = c->jit.cpu;

    c->insn = i;
    c->regs[GPR_RIP] = next;
    flags_set(c, flags_of_slot(c->jit.flags));
    i->exec(c, i);
    c->jit.flags = slot_of_flags(flags_get(c));
    c->insn = NULL;
    return c->jit.leave || c->careful || c->mmu != j->mmu || c->mode_key != j->mode_key;
}
