/*
 * BMI1, BMI2, ADX, MOVBE. Source: Intel SDM vol. 2, the instruction's own page. BMI flags: SF and
 * ZF from the result, OF clear, CF as given there; AF and PF undefined.
 */
#include "cpu/operand.h"

#include "base/mem.h"

#define DEF_BMI(bits, wide)                                                                        \
    static void andn_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t r = ~reg_get_##bits(c, i, i->vvvv) & rm_get_##bits(c, i);                   \
        lf_logic_##bits(c, r);                                                                     \
        reg_set_##bits(c, i, i->reg, r);                                                           \
    }                                                                                              \
    static void bextr_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i), ctl = reg_get_##bits(c, i, i->vvvv);               \
        unsigned start = ctl & 0xff, len = ctl >> 8 & 0xff;                                        \
        v = start < bits ? v >> start : 0;                                                         \
        v = len < bits ? v & (((uint##bits##_t)1 << len) - 1) : v;                                 \
        lf_logic_##bits(c, v);                                                                     \
        reg_set_##bits(c, i, i->reg, v);                                                           \
    }                                                                                              \
    static void bls_##bits(CpuState *c, const Insn *i)                                             \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i), r;                                                 \
        unsigned op = i->modrm >> 3 & 7;                                                           \
        r = op == 1 ? v & (v - 1) : op == 2 ? v ^ (v - 1) : v & -v;                                \
        lf_cf_of_##bits(c, r, op == 3 ? v != 0 : v == 0, false);                                   \
        reg_set_##bits(c, i, i->vvvv, r);                                                          \
    }                                                                                              \
    static void bzhi_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i);                                                    \
        unsigned n = reg_get_##bits(c, i, i->vvvv) & 0xff;                                         \
        uint##bits##_t r = n < bits ? v & (((uint##bits##_t)1 << n) - 1) : v;                      \
        lf_cf_of_##bits(c, r, n > bits - 1, false);                                                \
        reg_set_##bits(c, i, i->reg, r);                                                           \
    }                                                                                              \
    static void pdep_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t src = reg_get_##bits(c, i, i->vvvv), mask = rm_get_##bits(c, i), r = 0;     \
        for (; mask != 0; mask &= mask - 1, src >>= 1) {                                           \
            r |= src & 1 ? mask & -mask : 0;                                                       \
        }                                                                                          \
        reg_set_##bits(c, i, i->reg, r);                                                           \
    }                                                                                              \
    static void pext_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t src = reg_get_##bits(c, i, i->vvvv), mask = rm_get_##bits(c, i), r = 0;     \
        for (uint##bits##_t bit = 1; mask != 0; mask &= mask - 1, bit <<= 1) {                     \
            r |= src & mask & -mask ? bit : 0;                                                     \
        }                                                                                          \
        reg_set_##bits(c, i, i->reg, r);                                                           \
    }                                                                                              \
    static void mulx_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        wide r = (wide)(uint##bits##_t)c->regs[GPR_RDX] * rm_get_##bits(c, i);                     \
        reg_set_##bits(c, i, i->vvvv, (uint##bits##_t)r);                                          \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)(r >> bits));                                 \
    }                                                                                              \
    static void rorx_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i);                                                    \
        unsigned n = (unsigned)i->imm & (bits - 1);                                                \
        reg_set_##bits(c, i, i->reg, n ? v >> n | v << (bits - n) : v);                            \
    }                                                                                              \
    static void sarx_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        int##bits##_t v = (int##bits##_t)rm_get_##bits(c, i);                                      \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)(v >> (c->regs[i->vvvv] & (bits - 1))));      \
    }                                                                                              \
    static void shlx_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i);                                                    \
        reg_set_##bits(c, i, i->reg, v << (c->regs[i->vvvv] & (bits - 1)));                        \
    }                                                                                              \
    static void shrx_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i);                                                    \
        reg_set_##bits(c, i, i->reg, v >> (c->regs[i->vvvv] & (bits - 1)));                        \
    }                                                                                              \
    static void adcx_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        wide r = (wide)reg_get_##bits(c, i, i->reg) + rm_get_##bits(c, i) + flag_cf(c);            \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)r);                                           \
        flag_set_cf(c, r >> bits & 1);                                                             \
    }                                                                                              \
    static void adox_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        wide r = (wide)reg_get_##bits(c, i, i->reg) + rm_get_##bits(c, i) + flag_of(c);            \
        uint64_t f = flags_get(c) & ~FLAG_OF;                                                      \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)r);                                           \
        flags_set(c, f | (r >> bits & 1 ? FLAG_OF : 0));                                           \
    }
DEF_BMI(32, uint64_t)
DEF_BMI(64, unsigned __int128)

#define DEF_MOVBE(bits)                                                                            \
    static void movbe_r_m_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, __builtin_bswap##bits(ld_u##bits(c, i->seg, insn_ea(c, i)))); \
    }                                                                                              \
    static void movbe_m_r_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        st_u##bits(c, i->seg, insn_ea(c, i), __builtin_bswap##bits(reg_get_##bits(c, i, i->reg))); \
    }
DEF3(DEF_MOVBE)

#define X2(f) { f##_32, f##_32, f##_64 }
#define V38(op, pfx, ext, feat, name, ops, h) { MAP_0F38, op, pfx, ext, EXT_ANY, feat, OP_VEX | OP_L0, name, ops, X2(h) }

/* clang-format off */
const OpRow op_rows_bmi[] = {
    V38(0xf2, P_NONE, EXT_ANY, FEAT_BMI1, "andn", "Gy,By,Ey", andn),
    V38(0xf7, P_NONE, EXT_ANY, FEAT_BMI1, "bextr", "Gy,Ey,By", bextr),
    V38(0xf3, P_NONE, 1, FEAT_BMI1, "blsr", "By,Ey", bls), V38(0xf3, P_NONE, 2, FEAT_BMI1, "blsmsk", "By,Ey", bls),
    V38(0xf3, P_NONE, 3, FEAT_BMI1, "blsi", "By,Ey", bls),
    V38(0xf5, P_NONE, EXT_ANY, FEAT_BMI2, "bzhi", "Gy,Ey,By", bzhi),
    V38(0xf5, P_F2, EXT_ANY, FEAT_BMI2, "pdep", "Gy,By,Ey", pdep), V38(0xf5, P_F3, EXT_ANY, FEAT_BMI2, "pext", "Gy,By,Ey", pext),
    V38(0xf6, P_F2, EXT_ANY, FEAT_BMI2, "mulx", "Gy,By,Ey", mulx),
    V38(0xf7, P_F3, EXT_ANY, FEAT_BMI2, "sarx", "Gy,Ey,By", sarx), V38(0xf7, P_66, EXT_ANY, FEAT_BMI2, "shlx", "Gy,Ey,By", shlx),
    V38(0xf7, P_F2, EXT_ANY, FEAT_BMI2, "shrx", "Gy,Ey,By", shrx),
    { MAP_0F3A, 0xf0, P_F2, EXT_ANY, EXT_ANY, FEAT_BMI2, OP_VEX | OP_L0 | OP_NOVVVV, "rorx", "Gy,Ey,Ib", X2(rorx) },
    { MAP_0F38, 0xf6, P_66, EXT_ANY, EXT_ANY, FEAT_ADX, 0, "adcx", "Gy,Ey", X2(adcx) },
    { MAP_0F38, 0xf6, P_F3, EXT_ANY, EXT_ANY, FEAT_ADX, 0, "adox", "Gy,Ey", X2(adox) },
    { MAP_0F38, 0xf0, P_NONE, EXT_ANY, EXT_ANY, FEAT_MOVBE, OP_MEM, "movbe", "Gv,Mv", X3(movbe_r_m) },
    { MAP_0F38, 0xf0, P_66, EXT_ANY, EXT_ANY, FEAT_MOVBE, OP_MEM, "movbe", "Gv,Mv", X3(movbe_r_m) },
    { MAP_0F38, 0xf1, P_NONE, EXT_ANY, EXT_ANY, FEAT_MOVBE, OP_MEM, "movbe", "Mv,Gv", X3(movbe_m_r) },
    { MAP_0F38, 0xf1, P_66, EXT_ANY, EXT_ANY, FEAT_MOVBE, OP_MEM, "movbe", "Mv,Gv", X3(movbe_m_r) },
    { .name = NULL },
};
/* clang-format on */
