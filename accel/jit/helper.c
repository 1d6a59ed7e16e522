/*
 * What translated code calls.
 */
#include "accel/jit/jit.h"

#include "cpu/flags.h"

bool jit_help(CpuState *c, const Insn *i, uint64_t next)
{
    const Jit *j = c->jit.cpu;
    bool sse = (j->key & KEY_SSE) != 0;

    if (sse) {
        c->mxcsr = mxcsr_get();
        if ((c->mxcsr & ~0x3fu) != MXCSR_HOST) {
            mxcsr_set(MXCSR_HOST); /* C does not round as the guest likes */
        }
    }
    c->insn = i;
    c->regs[GPR_RIP] = next;
    flags_set(c, flags_of_slot(c->jit.flags));
    i->exec(c, i);
    c->jit.flags = slot_of_flags(flags_get(c));
    c->insn = NULL;
    if (sse) {
        mxcsr_set(c->mxcsr);
    }
    return c->jit.leave || jit_vec_key(c) != (j->key & (KEY_SSE | KEY_AVX)) || c->careful || c->mmu != j->mmu || c->mode_key != j->mode_key;
}
