/*
 * Operands of integer instructions by width: registers, ModRM operands, read-modify-write.
 */
#ifndef CPU_OPERAND_H
#define CPU_OPERAND_H

#include "cpu/alu.h"
#include "cpu/engine.h"
#include "cpu/access.h"

#define DEF_REG(bits)                                                                              \
    static inline uint##bits##_t reg_get_##bits(CpuState *c, const Insn *i, unsigned n)            \
    {                                                                                              \
        return (uint##bits##_t)c->regs[n];                                                         \
    }
DEF_REG(16)
DEF_REG(32)
DEF_REG(64)
#undef DEF_REG
static inline uint8_t reg_get_8(CpuState *c, const Insn *i, unsigned n)
{
    return reg8_get(c, i, n);
}
static inline void reg_set_8(CpuState *c, const Insn *i, unsigned n, uint8_t v)
{
    reg8_set(c, i, n, v);
}
static inline void reg_set_16(CpuState *c, const Insn *i, unsigned n, uint16_t v)
{
    reg16_set(c, n, v);
}
static inline void reg_set_32(CpuState *c, const Insn *i, unsigned n, uint32_t v)
{
    reg32_set(c, n, v);
}
static inline void reg_set_64(CpuState *c, const Insn *i, unsigned n, uint64_t v)
{
    c->regs[n] = v;
}

/* rm_get_N - the ModRM operand's value; rm_set_N - store it. */
#define DEF_RM(bits)                                                                               \
    static inline uint##bits##_t rm_get_##bits(CpuState *c, const Insn *i)                         \
    {                                                                                              \
        return insn_mem(i) ? ld_u##bits(c, i->seg, insn_ea(c, i)) : reg_get_##bits(c, i, i->rm);   \
    }                                                                                              \
    static inline void rm_set_##bits(CpuState *c, const Insn *i, uint##bits##_t v)                 \
    {                                                                                              \
        if (insn_mem(i)) {                                                                         \
            st_u##bits(c, i->seg, insn_ea(c, i), v);                                               \
        } else {                                                                                   \
            reg_set_##bits(c, i, i->rm, v);                                                        \
        }                                                                                          \
    }
DEF_RM(8)
DEF_RM(16)
DEF_RM(32)
DEF_RM(64)
#undef DEF_RM


/* RMW - the ModRM operand becomes EXPR, in which `old` is its value. Flags are set by EXPR, which
 * a locked instruction may evaluate again after another processor intervened: CF of ADC and SBB is
 * restored in between. Memory that is not plain RAM is loaded and stored inside an exclusive
 * section when locked. */
#define RMW(bits, EXPR) RMW_AT(bits, insn_ea(c, i), EXPR)
/* RMW_AT - the same with the memory operand at offset AT instead of the ModRM one. */
#define RMW_AT(bits, AT, EXPR)                                                                     \
    do {                                                                                           \
        uint##bits##_t old, new_;                                                                  \
        if (!insn_mem(i)) {                                                                        \
            old = reg_get_##bits(c, i, i->rm);                                                     \
            new_ = (EXPR);                                                                         \
            reg_set_##bits(c, i, i->rm, new_);                                                     \
            break;                                                                                 \
        }                                                                                          \
        vaddr off_ = (AT);                                                                         \
        uint##bits##_t *p_ = rmw_ptr(c, i->seg, off_, bits / 8);                                   \
        bool locked_ = cpu_many && (i->flags & INSN_LOCK);                                         \
        if (p_ != NULL && !locked_) {                                                              \
            old = shared_ld##bits(p_);                                                             \
            new_ = (EXPR);                                                                         \
            shared_st##bits(p_, new_);                                                             \
        } else if (p_ != NULL && (((uintptr_t)p_ & 63) <= 64 - bits / 8)) {                        \
            uint64_t res_ = c->lf_result;                                                          \
            uint32_t aux_ = c->lf_aux;                                                             \
            old = __atomic_load_n(p_, __ATOMIC_RELAXED);                                           \
            do {                                                                                   \
                c->lf_result = res_;                                                               \
                c->lf_aux = aux_;                                                                  \
                new_ = (EXPR);                                                                     \
            } while (!__atomic_compare_exchange_n(p_, &old, new_, false, __ATOMIC_SEQ_CST,         \
                                                  __ATOMIC_SEQ_CST));                              \
        } else {                                                                                   \
            if (locked_) {                                                                         \
                engine_ops->exclusive_begin(c);                                                    \
            }                                                                                      \
            old = ld_u##bits(c, i->seg, off_);                                                     \
            new_ = (EXPR);                                                                         \
            st_u##bits(c, i->seg, off_, new_);                                                     \
            if (locked_) {                                                                         \
                engine_ops->exclusive_end(c);                                                      \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* For handlers of three sizes: DEF3(F) expands F(16) F(32) F(64). */
#define DEF3(F) F(16) F(32) F(64)
#define DEF4(F) F(8) F(16) F(32) F(64)

#endif
