/*
 * How an instruction handler reaches its operands: registers, effective addresses, memory.
 *
 * Memory accesses raise the guest's fault themselves (longjmp). A store that spans two pages checks
 * both before a byte is written. @off is the offset within the segment, already wrapped at the
 * address size (insn_ea()).
 */
#ifndef CPU_ACCESS_H
#define CPU_ACCESS_H

#include <string.h>
#include "bus/shared.h"
#include "cpu/insn.h"
#include "cpu/tlb.h"

/* insn_ea - offset of the memory operand within its segment. */
static inline vaddr insn_ea(const CpuState *c, const Insn *i)
{
    vaddr ea = c->regs[i->base] + (c->regs[i->index] << i->scale) + (int64_t)i->disp;

    if (i->asize == 8) {
        return ea;
    }
    return i->asize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* Loads and stores of 1, 2, 4 and 8 bytes, and of @n <= 64 bytes. */
#define DEF_ACCESS(bits)                                                                           \
    uint##bits##_t ld_slow_u##bits(CpuState *c, unsigned seg, vaddr lin);                          \
    void st_slow_u##bits(CpuState *c, unsigned seg, vaddr lin, uint##bits##_t v);                  \
    static inline uint##bits##_t ld_u##bits(CpuState *c, unsigned seg, vaddr off)                  \
    {                                                                                              \
        vaddr lin = seg_lin(c, seg, off, bits / 8, false);                                         \
        const void *p = tlb_rptr(c, c->mmu, lin, bits / 8);                                        \
                                                                                                   \
        if (__builtin_expect(p != NULL, 1)) {                                                      \
            return shared_ld##bits(p);                                                             \
        }                                                                                          \
        return ld_slow_u##bits(c, seg, lin);                                                       \
    }                                                                                              \
    static inline void st_u##bits(CpuState *c, unsigned seg, vaddr off, uint##bits##_t v)          \
    {                                                                                              \
        vaddr lin = seg_lin(c, seg, off, bits / 8, true);                                          \
        void *p = tlb_wptr(c, c->mmu, lin, bits / 8);                                              \
                                                                                                   \
        if (__builtin_expect(p != NULL, 1)) {                                                      \
            shared_st##bits(p, v);                                                                 \
            return;                                                                                \
        }                                                                                          \
        st_slow_u##bits(c, seg, lin, v);                                                           \
    }
DEF_ACCESS(8)
DEF_ACCESS(16)
DEF_ACCESS(32)
DEF_ACCESS(64)
#undef DEF_ACCESS
void ld_bytes(CpuState *c, unsigned seg, vaddr off, void *buf, unsigned n);
void st_bytes(CpuState *c, unsigned seg, vaddr off, const void *buf, unsigned n);

/* mem_probe_write - raise now what a store of @n bytes would raise; used before state is changed
 * by handlers that store after they compute (FSAVE, FXSAVE, XSAVE, ENTER). Any n up to 4096. */
void mem_probe_write(CpuState *c, unsigned seg, vaddr off, unsigned n);
void mem_probe_read(CpuState *c, unsigned seg, vaddr off, unsigned n);

/* check_aligned - #GP(0) unless the linear address of the operand is a multiple of @align (SSE's
 * aligned forms; SDM vol. 3, "Exceptions type 1"). */
void check_aligned(CpuState *c, unsigned seg, vaddr off, unsigned align);

/* General registers of each width. 8-bit numbers 4..7 without REX are AH, CH, DH, BH. */
static inline uint8_t reg8_get(const CpuState *c, const Insn *i, unsigned n)
{
    return n >= 4 && n < 8 && !(i->flags & INSN_REX) ? (uint8_t)(c->regs[n - 4] >> 8)
                                                    : (uint8_t)c->regs[n];
}
static inline void reg8_set(CpuState *c, const Insn *i, unsigned n, uint8_t v)
{
    if (n >= 4 && n < 8 && !(i->flags & INSN_REX)) {
        c->regs[n - 4] = (c->regs[n - 4] & ~0xff00ull) | (uint64_t)v << 8;
    } else {
        c->regs[n] = (c->regs[n] & ~0xffull) | v;
    }
}
static inline void reg16_set(CpuState *c, unsigned n, uint16_t v)
{
    c->regs[n] = (c->regs[n] & ~0xffffull) | v;
}
static inline void reg32_set(CpuState *c, unsigned n, uint32_t v)
{
    c->regs[n] = v; /* upper half cleared, also outside 64-bit mode where it is not visible */
}

#endif
