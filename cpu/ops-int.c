/*
 * Integer arithmetic, logic, moves. Source: Intel SDM vol. 2, the instruction's own page.
 */
#include "cpu/operand.h"

#include "base/mem.h"

/* ---- the eight ALU operations in their six forms ---- */

#define DEF_BIN(op, bits)                                                                          \
    static void op##_rm_r_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        uint##bits##_t b = reg_get_##bits(c, i, i->reg);                                           \
        RMW(bits, alu_##op##_##bits(c, old, b));                                                   \
    }                                                                                              \
    static void op##_r_rm_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        uint##bits##_t b = rm_get_##bits(c, i);                                                    \
        reg_set_##bits(c, i, i->reg, alu_##op##_##bits(c, reg_get_##bits(c, i, i->reg), b));       \
    }                                                                                              \
    static void op##_rm_i_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        uint##bits##_t b = (uint##bits##_t)i->imm;                                                 \
        RMW(bits, alu_##op##_##bits(c, old, b));                                                   \
    }                                                                                              \
    static void op##_a_i_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        reg_set_##bits(c, i, GPR_RAX,                                                              \
                       alu_##op##_##bits(c, (uint##bits##_t)c->regs[GPR_RAX],                      \
                                         (uint##bits##_t)i->imm));                                 \
    }
#define DEF_BIN4(op) DEF_BIN(op, 8) DEF_BIN(op, 16) DEF_BIN(op, 32) DEF_BIN(op, 64)
DEF_BIN4(add)
DEF_BIN4(or)
DEF_BIN4(adc)
DEF_BIN4(sbb)
DEF_BIN4(and)
DEF_BIN4(sub)
DEF_BIN4(xor)

/* CMP and TEST: no result. */
#define DEF_CMP(name, op, bits)                                                                    \
    static void name##_rm_r_##bits(CpuState *c, const Insn *i)                                     \
    {                                                                                              \
        uint##bits##_t a = rm_get_##bits(c, i);                                                    \
        alu_##op##_##bits(c, a, reg_get_##bits(c, i, i->reg));                                     \
    }                                                                                              \
    static void name##_rm_i_##bits(CpuState *c, const Insn *i)                                     \
    {                                                                                              \
        alu_##op##_##bits(c, rm_get_##bits(c, i), (uint##bits##_t)i->imm);                         \
    }                                                                                              \
    static void name##_a_i_##bits(CpuState *c, const Insn *i)                                      \
    {                                                                                              \
        alu_##op##_##bits(c, (uint##bits##_t)c->regs[GPR_RAX], (uint##bits##_t)i->imm);            \
    }
DEF_CMP(cmp, sub, 8) DEF_CMP(cmp, sub, 16) DEF_CMP(cmp, sub, 32) DEF_CMP(cmp, sub, 64)
DEF_CMP(test, and, 8) DEF_CMP(test, and, 16) DEF_CMP(test, and, 32) DEF_CMP(test, and, 64)
#define DEF_CMP_R(bits)                                                                            \
    static void cmp_r_rm_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        uint##bits##_t b = rm_get_##bits(c, i);                                                    \
        alu_sub_##bits(c, reg_get_##bits(c, i, i->reg), b);                                        \
    }
DEF4(DEF_CMP_R)

/* ---- one operand ---- */

#define DEF_UN(op, bits)                                                                           \
    static void op##_rm_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        RMW(bits, alu_##op##_##bits(c, old));                                                      \
    }
#define DEF_UN4(op) DEF_UN(op, 8) DEF_UN(op, 16) DEF_UN(op, 32) DEF_UN(op, 64)
DEF_UN4(inc)
DEF_UN4(dec)
DEF_UN4(neg)
#define DEF_NOT(bits)                                                                              \
    static void not_rm_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        RMW(bits, (uint##bits##_t)~old);                                                           \
    }                                                                                              \
    static void inc_z_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, alu_inc_##bits(c, reg_get_##bits(c, i, i->reg)));             \
    }                                                                                              \
    static void dec_z_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, alu_dec_##bits(c, reg_get_##bits(c, i, i->reg)));             \
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function" /* inc_z_8, inc_z_64: no such encodings */
DEF4(DEF_NOT)
#pragma GCC diagnostic pop

/* ---- shifts and rotates ---- */

#define DEF_SHIFT(op, bits)                                                                        \
    static void op##_rm_i_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        unsigned n = (unsigned)i->imm & (bits == 64 ? 63 : 31);                                    \
        RMW(bits, alu_##op##_##bits(c, old, n));                                                   \
    }                                                                                              \
    static void op##_rm_1_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        RMW(bits, alu_##op##_##bits(c, old, 1));                                                   \
    }                                                                                              \
    static void op##_rm_cl_##bits(CpuState *c, const Insn *i)                                      \
    {                                                                                              \
        unsigned n = (unsigned)c->regs[GPR_RCX] & (bits == 64 ? 63 : 31);                          \
        RMW(bits, alu_##op##_##bits(c, old, n));                                                   \
    }
#define DEF_SHIFT4(op) DEF_SHIFT(op, 8) DEF_SHIFT(op, 16) DEF_SHIFT(op, 32) DEF_SHIFT(op, 64)
DEF_SHIFT4(rol)
DEF_SHIFT4(ror)
DEF_SHIFT4(rcl)
DEF_SHIFT4(rcr)
DEF_SHIFT4(shl)
DEF_SHIFT4(shr)
DEF_SHIFT4(sar)

/* SHLD, SHRD: for 16-bit operands a count above 16 is undefined; the operand pair is rotated as if
 * it were repeated, as current processors do. */
#define DEF_DSHIFT(bits)                                                                           \
    static uint##bits##_t do_shld_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b,          \
                                         unsigned n)                                               \
    {                                                                                              \
        uint##bits##_t r;                                                                          \
        bool cf;                                                                                   \
        if (n == 0) {                                                                              \
            return a;                                                                              \
        }                                                                                          \
        if (n > bits) {                                                                            \
            n -= bits;                                                                             \
            cf = b >> (bits - n) & 1;                                                              \
            r = (uint##bits##_t)(b << n | a >> (bits - n));                                        \
        } else {                                                                                   \
            cf = a >> (bits - n) & 1;                                                              \
            r = n == bits ? b : (uint##bits##_t)(a << n | b >> (bits - n));                        \
        }                                                                                          \
        lf_cf_of_##bits(c, r, cf, ((r ^ a) >> (bits - 1)) & 1);                                    \
        return r;                                                                                  \
    }                                                                                              \
    static uint##bits##_t do_shrd_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b,          \
                                         unsigned n)                                               \
    {                                                                                              \
        uint##bits##_t r;                                                                          \
        bool cf;                                                                                   \
        if (n == 0) {                                                                              \
            return a;                                                                              \
        }                                                                                          \
        if (n > bits) {                                                                            \
            n -= bits;                                                                             \
            cf = b >> (n - 1) & 1;                                                                 \
            r = (uint##bits##_t)(b >> n | a << (bits - n));                                        \
        } else {                                                                                   \
            cf = a >> (n - 1) & 1;                                                                 \
            r = n == bits ? b : (uint##bits##_t)(a >> n | b << (bits - n));                        \
        }                                                                                          \
        lf_cf_of_##bits(c, r, cf, ((r ^ a) >> (bits - 1)) & 1);                                    \
        return r;                                                                                  \
    }
DEF3(DEF_DSHIFT)

#define DEF_DSHIFT_FORMS(op, bits)                                                                 \
    static void op##_i_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        uint##bits##_t b = reg_get_##bits(c, i, i->reg);                                           \
        RMW(bits, do_##op##_##bits(c, old, b, (unsigned)i->imm & (bits == 64 ? 63 : 31)));         \
    }                                                                                              \
    static void op##_cl_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        uint##bits##_t b = reg_get_##bits(c, i, i->reg);                                           \
        unsigned n = (unsigned)c->regs[GPR_RCX] & (bits == 64 ? 63 : 31);                          \
        RMW(bits, do_##op##_##bits(c, old, b, n));                                                 \
    }
DEF_DSHIFT_FORMS(shld, 16) DEF_DSHIFT_FORMS(shld, 32) DEF_DSHIFT_FORMS(shld, 64)
DEF_DSHIFT_FORMS(shrd, 16) DEF_DSHIFT_FORMS(shrd, 32) DEF_DSHIFT_FORMS(shrd, 64)

/* ---- multiplication and division ---- */

static void mul_rm_8(CpuState *c, const Insn *i)
{
    uint16_t r = (uint16_t)((uint8_t)c->regs[GPR_RAX] * rm_get_8(c, i));

    reg16_set(c, GPR_RAX, r);
    lf_cf_of_8(c, (uint8_t)r, r >> 8 != 0, r >> 8 != 0);
}

static void imul_rm_8(CpuState *c, const Insn *i)
{
    int16_t r = (int16_t)((int8_t)c->regs[GPR_RAX] * (int8_t)rm_get_8(c, i));

    reg16_set(c, GPR_RAX, (uint16_t)r);
    lf_cf_of_8(c, (uint8_t)r, r != (int8_t)r, r != (int8_t)r);
}

#define DEF_MUL(bits, utype, stype)                                                                \
    static void mul_rm_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        utype r = (utype)(uint##bits##_t)c->regs[GPR_RAX] * rm_get_##bits(c, i);                   \
        uint##bits##_t lo = (uint##bits##_t)r, hi = (uint##bits##_t)(r >> bits);                   \
        reg_set_##bits(c, i, GPR_RAX, lo);                                                         \
        reg_set_##bits(c, i, GPR_RDX, hi);                                                         \
        lf_cf_of_##bits(c, lo, hi != 0, hi != 0);                                                  \
    }                                                                                              \
    static void imul_rm_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        stype r = (stype)(int##bits##_t)c->regs[GPR_RAX] * (int##bits##_t)rm_get_##bits(c, i);     \
        uint##bits##_t lo = (uint##bits##_t)r, hi = (uint##bits##_t)((utype)r >> bits);            \
        bool over = r != (int##bits##_t)lo;                                                        \
        reg_set_##bits(c, i, GPR_RAX, lo);                                                         \
        reg_set_##bits(c, i, GPR_RDX, hi);                                                         \
        lf_cf_of_##bits(c, lo, over, over);                                                        \
    }                                                                                              \
    static uint##bits##_t do_imul_##bits(CpuState *c, uint##bits##_t a, uint##bits##_t b)          \
    {                                                                                              \
        stype r = (stype)(int##bits##_t)a * (int##bits##_t)b;                                      \
        bool over = r != (int##bits##_t)r;                                                         \
        lf_cf_of_##bits(c, (uint##bits##_t)r, over, over);                                         \
        return (uint##bits##_t)r;                                                                  \
    }                                                                                              \
    static void imul_r_rm_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        uint##bits##_t b = rm_get_##bits(c, i);                                                    \
        reg_set_##bits(c, i, i->reg, do_imul_##bits(c, reg_get_##bits(c, i, i->reg), b));          \
    }                                                                                              \
    static void imul_r_rm_i_##bits(CpuState *c, const Insn *i)                                     \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, do_imul_##bits(c, rm_get_##bits(c, i),                        \
                                                    (uint##bits##_t)i->imm));                      \
    }                                                                                              \
    static void div_rm_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        uint##bits##_t d = rm_get_##bits(c, i);                                                    \
        utype n = (utype)(uint##bits##_t)c->regs[GPR_RDX] << bits |                                \
                  (uint##bits##_t)c->regs[GPR_RAX];                                                \
        if (d == 0 || n / d > (uint##bits##_t)-1) {                                                \
            cpu_raise(c, EXC_DE);                                                                  \
        }                                                                                          \
        reg_set_##bits(c, i, GPR_RAX, (uint##bits##_t)(n / d));                                    \
        reg_set_##bits(c, i, GPR_RDX, (uint##bits##_t)(n % d));                                    \
    }                                                                                              \
    static void idiv_rm_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        int##bits##_t d = (int##bits##_t)rm_get_##bits(c, i);                                      \
        utype un = (utype)(uint##bits##_t)c->regs[GPR_RDX] << bits |                               \
                   (uint##bits##_t)c->regs[GPR_RAX];                                               \
        stype n = (stype)un, q;                                                                    \
        if (d == 0 || (d == -1 && un == (utype)1 << (2 * bits - 1))) {                             \
            cpu_raise(c, EXC_DE);                                                                  \
        }                                                                                          \
        q = n / d;                                                                                 \
        if (q != (int##bits##_t)q) {                                                               \
            cpu_raise(c, EXC_DE);                                                                  \
        }                                                                                          \
        reg_set_##bits(c, i, GPR_RAX, (uint##bits##_t)q);                                          \
        reg_set_##bits(c, i, GPR_RDX, (uint##bits##_t)(n % d));                                    \
    }
DEF_MUL(16, uint32_t, int32_t)
DEF_MUL(32, uint64_t, int64_t)
DEF_MUL(64, unsigned __int128, __int128)

static void div_rm_8(CpuState *c, const Insn *i)
{
    uint8_t d = rm_get_8(c, i);
    uint16_t n = (uint16_t)c->regs[GPR_RAX];

    if (d == 0 || n / d > 0xff) {
        cpu_raise(c, EXC_DE);
    }
    reg16_set(c, GPR_RAX, (uint16_t)(n % d << 8 | n / d));
}

static void idiv_rm_8(CpuState *c, const Insn *i)
{
    int d = (int8_t)rm_get_8(c, i), n = (int16_t)c->regs[GPR_RAX];

    if (d == 0 || n / d != (int8_t)(n / d)) {
        cpu_raise(c, EXC_DE);
    }
    reg16_set(c, GPR_RAX, (uint16_t)((n % d & 0xff) << 8 | (n / d & 0xff)));
}

/* ---- moves ---- */

#define DEF_MOV(bits)                                                                              \
    static void mov_rm_r_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        rm_set_##bits(c, i, reg_get_##bits(c, i, i->reg));                                         \
    }                                                                                              \
    static void mov_r_rm_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, rm_get_##bits(c, i));                                         \
    }                                                                                              \
    static void mov_rm_i_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        rm_set_##bits(c, i, (uint##bits##_t)i->imm);                                               \
    }                                                                                              \
    static void mov_z_i_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)i->imm);                                      \
    }                                                                                              \
    static void mov_a_moffs_##bits(CpuState *c, const Insn *i)                                     \
    {                                                                                              \
        reg_set_##bits(c, i, GPR_RAX, ld_u##bits(c, i->seg, i->imm));                              \
    }                                                                                              \
    static void mov_moffs_a_##bits(CpuState *c, const Insn *i)                                     \
    {                                                                                              \
        st_u##bits(c, i->seg, i->imm, (uint##bits##_t)c->regs[GPR_RAX]);                           \
    }                                                                                              \
    static void xadd_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t b = reg_get_##bits(c, i, i->reg), was = 0;                                  \
        if (!insn_mem(i)) { /* the sum wins when both are one register */                          \
            was = reg_get_##bits(c, i, i->rm);                                                     \
            uint##bits##_t sum = alu_add_##bits(c, was, b);                                        \
            reg_set_##bits(c, i, i->reg, was);                                                     \
            reg_set_##bits(c, i, i->rm, sum);                                                      \
            return;                                                                                \
        }                                                                                          \
        RMW(bits, (was = old, alu_add_##bits(c, old, b)));                                         \
        reg_set_##bits(c, i, i->reg, was);                                                         \
    }                                                                                              \
    static void cmpxchg_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        uint##bits##_t a = (uint##bits##_t)c->regs[GPR_RAX], b = reg_get_##bits(c, i, i->reg);     \
        uint##bits##_t was = 0;                                                                    \
        if (!insn_mem(i)) { /* a register that does not match keeps its upper half, too */         \
            was = reg_get_##bits(c, i, i->rm);                                                     \
            alu_sub_##bits(c, a, was);                                                             \
            reg_set_##bits(c, i, was == a ? i->rm : GPR_RAX, was == a ? b : was);                  \
            return;                                                                                \
        }                                                                                          \
        RMW(bits, (was = old, alu_sub_##bits(c, a, old), old == a ? b : old));                     \
        if (was != a) {                                                                            \
            reg_set_##bits(c, i, GPR_RAX, was);                                                    \
        }                                                                                          \
    }
DEF4(DEF_MOV)

/* XCHG with memory locks without a prefix. */
#define DEF_XCHG(bits)                                                                             \
    static void xchg_rm_r_##bits(CpuState *c, const Insn *i)                                       \
    {                                                                                              \
        uint##bits##_t b = reg_get_##bits(c, i, i->reg), was = 0;                                  \
        Insn locked = *i;                                                                          \
        locked.flags |= INSN_LOCK;                                                                 \
        i = &locked;                                                                               \
        RMW(bits, (was = old, b));                                                                 \
        reg_set_##bits(c, i, i->reg, was);                                                         \
    }
DEF4(DEF_XCHG)

#define DEF_XCHG_A(bits)                                                                           \
    static void xchg_z_a_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        uint##bits##_t a = (uint##bits##_t)c->regs[GPR_RAX];                                       \
        if (i->reg != GPR_RAX) { /* 90 is NOP: the upper half stays */                             \
            reg_set_##bits(c, i, GPR_RAX, reg_get_##bits(c, i, i->reg));                           \
            reg_set_##bits(c, i, i->reg, a);                                                       \
        }                                                                                          \
    }                                                                                              \
    static void lea_##bits(CpuState *c, const Insn *i)                                             \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)insn_ea(c, i));                               \
    }                                                                                              \
    static void movzx_b_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, rm_get_8(c, i));                                              \
    }                                                                                              \
    static void movzx_w_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, rm_get_16(c, i));                                             \
    }                                                                                              \
    static void movsx_b_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)(int8_t)rm_get_8(c, i));                      \
    }                                                                                              \
    static void movsx_w_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)(int16_t)rm_get_16(c, i));                    \
    }                                                                                              \
    static void movsxd_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        int64_t v = bits == 16 ? (int64_t)rm_get_16(c, i) : (int32_t)rm_get_32(c, i);              \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)v);                                           \
    }                                                                                              \
    static void cmov_##bits(CpuState *c, const Insn *i)                                            \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i); /* read also when the condition is false */        \
        reg_set_##bits(c, i, i->reg, cond(c, i->opcode) ? v : reg_get_##bits(c, i, i->reg));       \
    }
DEF3(DEF_XCHG_A)

static void setcc(CpuState *c, const Insn *i)
{
    rm_set_8(c, i, cond(c, i->opcode));
}

static void bswap_16(CpuState *c, const Insn *i)
{
    reg16_set(c, i->reg, 0); /* undefined; zero is what processors give */
}

static void bswap_32(CpuState *c, const Insn *i)
{
    reg32_set(c, i->reg, __builtin_bswap32((uint32_t)c->regs[i->reg]));
}

static void bswap_64(CpuState *c, const Insn *i)
{
    c->regs[i->reg] = __builtin_bswap64(c->regs[i->reg]);
}

static void cbw_16(CpuState *c, const Insn *i)
{
    reg16_set(c, GPR_RAX, (uint16_t)(int8_t)c->regs[GPR_RAX]);
}

static void cbw_32(CpuState *c, const Insn *i)
{
    reg32_set(c, GPR_RAX, (uint32_t)(int16_t)c->regs[GPR_RAX]);
}

static void cbw_64(CpuState *c, const Insn *i)
{
    c->regs[GPR_RAX] = (uint64_t)(int32_t)c->regs[GPR_RAX];
}

static void cwd_16(CpuState *c, const Insn *i)
{
    reg16_set(c, GPR_RDX, (int16_t)c->regs[GPR_RAX] < 0 ? 0xffff : 0);
}

static void cwd_32(CpuState *c, const Insn *i)
{
    reg32_set(c, GPR_RDX, (int32_t)c->regs[GPR_RAX] < 0 ? 0xffffffffu : 0);
}

static void cwd_64(CpuState *c, const Insn *i)
{
    c->regs[GPR_RDX] = (int64_t)c->regs[GPR_RAX] < 0 ? ~0ull : 0;
}

/* ---- bits ---- */

/* BT and kin with a register index reach beyond the operand in memory. */
#define DEF_BT(bits, shift)                                                                        \
    static vaddr bt_offset_##bits(CpuState *c, const Insn *i)                                      \
    {                                                                                              \
        int64_t n = (int##bits##_t)c->regs[i->reg];                                                \
        vaddr ea = insn_ea(c, i) + (uint64_t)((n >> shift) * (bits / 8));                          \
        return i->asize == 8 ? ea : i->asize == 4 ? (uint32_t)ea : (uint16_t)ea;                   \
    }                                                                                              \
    static uint##bits##_t bt_new_##bits(CpuState *c, uint##bits##_t old, unsigned n, unsigned how) \
    {                                                                                              \
        uint##bits##_t mask = (uint##bits##_t)((uint##bits##_t)1 << n);                            \
        flag_set_cf(c, old >> n & 1);                                                              \
        return how == 1 ? old | mask : how == 2 ? old & (uint##bits##_t)~mask : old ^ mask;        \
    }                                                                                              \
    static void bt_rm_i_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        flag_set_cf(c, rm_get_##bits(c, i) >> (i->imm & (bits - 1)) & 1);                          \
    }                                                                                              \
    static void btx_rm_i_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        unsigned n = (unsigned)i->imm & (bits - 1), how = (i->modrm >> 3 & 7) - 4u;                \
        RMW(bits, bt_new_##bits(c, old, n, how));                                                  \
    }                                                                                              \
    static void bt_rm_r_##bits(CpuState *c, const Insn *i)                                         \
    {                                                                                              \
        unsigned n = (unsigned)c->regs[i->reg] & (bits - 1);                                       \
        uint##bits##_t v = insn_mem(i) ? ld_u##bits(c, i->seg, bt_offset_##bits(c, i))             \
                                       : reg_get_##bits(c, i, i->rm);                              \
        flag_set_cf(c, v >> n & 1);                                                                \
    }                                                                                              \
    static void btx_rm_r_##bits(CpuState *c, const Insn *i)                                        \
    {                                                                                              \
        unsigned n = (unsigned)c->regs[i->reg] & (bits - 1), how = (i->opcode >> 3 & 7) - 4u;      \
        RMW_AT(bits, bt_offset_##bits(c, i), bt_new_##bits(c, old, n, how));                       \
    }
DEF_BT(16, 4)
DEF_BT(32, 5)
DEF_BT(64, 6)

#define DEF_BSF(bits, clz, ctz)                                                                    \
    static void bsf_##bits(CpuState *c, const Insn *i)                                             \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i);                                                    \
        if (v != 0) { /* a zero source leaves the destination, as all processors do */             \
            reg_set_##bits(c, i, i->reg, (uint##bits##_t)ctz);                                     \
        }                                                                                          \
        flags_set(c, (flags_get(c) & ~FLAG_ZF) | (v == 0 ? FLAG_ZF : 0));                          \
    }                                                                                              \
    static void bsr_##bits(CpuState *c, const Insn *i)                                             \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i);                                                    \
        if (v != 0) {                                                                              \
            reg_set_##bits(c, i, i->reg, (uint##bits##_t)(bits - 1 - (clz)));                      \
        }                                                                                          \
        flags_set(c, (flags_get(c) & ~FLAG_ZF) | (v == 0 ? FLAG_ZF : 0));                          \
    }
DEF_BSF(16, __builtin_clz(v) - 16, __builtin_ctz(v))
DEF_BSF(32, __builtin_clz(v), __builtin_ctz(v))
DEF_BSF(64, __builtin_clzll(v), __builtin_ctzll(v))

#define DEF_COUNT(bits, lz, tz, pop)                                                               \
    static void tzcnt_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i), r = v == 0 ? bits : (uint##bits##_t)(tz);          \
        reg_set_##bits(c, i, i->reg, r);                                                           \
        flags_set(c, (v == 0 ? FLAG_CF : 0) | (r == 0 ? FLAG_ZF : 0));                             \
    }                                                                                              \
    static void lzcnt_##bits(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i), r = v == 0 ? bits : (uint##bits##_t)(lz);          \
        reg_set_##bits(c, i, i->reg, r);                                                           \
        flags_set(c, (v == 0 ? FLAG_CF : 0) | (r == 0 ? FLAG_ZF : 0));                             \
    }                                                                                              \
    static void popcnt_##bits(CpuState *c, const Insn *i)                                          \
    {                                                                                              \
        uint##bits##_t v = rm_get_##bits(c, i);                                                    \
        reg_set_##bits(c, i, i->reg, (uint##bits##_t)(pop));                                       \
        flags_set(c, v == 0 ? FLAG_ZF : 0);                                                        \
    }
DEF_COUNT(16, __builtin_clz(v) - 16, __builtin_ctz(v), __builtin_popcount(v))
DEF_COUNT(32, __builtin_clz(v), __builtin_ctz(v), __builtin_popcount(v))
DEF_COUNT(64, __builtin_clzll(v), __builtin_ctzll(v), __builtin_popcountll(v))

/* ---- decimal adjust: SDM vol. 2, DAA, DAS, AAA, AAS, AAM, AAD ---- */

static void daa_das(CpuState *c, const Insn *i)
{
    bool sub = i->opcode == 0x2f, cf = flag_cf(c), af = flag_af(c);
    uint8_t al = (uint8_t)c->regs[GPR_RAX], old = al;
    bool adjust = (al & 15) > 9 || af, high = old > 0x99 || cf;

    if (adjust) {
        cf = sub ? cf || al < 6 : cf || al > 0xf9;
        al = (uint8_t)(sub ? al - 6 : al + 6);
    }
    if (high) {
        al = (uint8_t)(sub ? al - 0x60 : al + 0x60);
        cf = true;
    } else if (!sub) {
        cf = false;
    }
    c->regs[GPR_RAX] = (c->regs[GPR_RAX] & ~0xffull) | al;
    lf_cf_of_8(c, al, cf, false);
    c->lf_aux |= adjust ? LF_AF : 0;
}

static void aaa_aas(CpuState *c, const Insn *i)
{
    bool sub = i->opcode == 0x3f;
    uint16_t ax = (uint16_t)c->regs[GPR_RAX];
    bool adjust = (ax & 15) > 9 || flag_af(c);

    if (adjust) {
        ax = (uint16_t)(sub ? ax - 0x106 : ax + 0x106);
    }
    ax &= 0xff0f;
    reg16_set(c, GPR_RAX, ax);
    lf_cf_of_8(c, (uint8_t)ax, adjust, false);
    c->lf_aux |= adjust ? LF_AF : 0;
}

static void aam(CpuState *c, const Insn *i)
{
    uint8_t al = (uint8_t)c->regs[GPR_RAX], n = (uint8_t)i->imm;

    if (n == 0) {
        cpu_raise(c, EXC_DE);
    }
    reg16_set(c, GPR_RAX, (uint16_t)(al / n << 8 | al % n));
    lf_logic_8(c, al % n);
}

static void aad(CpuState *c, const Insn *i)
{
    uint16_t ax = (uint16_t)c->regs[GPR_RAX];
    uint8_t al = (uint8_t)(ax + (ax >> 8) * (uint8_t)i->imm);

    reg16_set(c, GPR_RAX, al);
    lf_logic_8(c, al);
}

static void salc(CpuState *c, const Insn *i)
{
    c->regs[GPR_RAX] = (c->regs[GPR_RAX] & ~0xffull) | (flag_cf(c) ? 0xff : 0);
}

/* ---- flags ---- */

static void cmc(CpuState *c, const Insn *i)
{
    flag_set_cf(c, !flag_cf(c));
}

static void clc(CpuState *c, const Insn *i)
{
    flag_set_cf(c, false);
}

static void stc(CpuState *c, const Insn *i)
{
    flag_set_cf(c, true);
}

static void cld(CpuState *c, const Insn *i)
{
    c->rflags &= ~FLAG_DF;
}

static void std(CpuState *c, const Insn *i)
{
    c->rflags |= FLAG_DF;
}

static void lahf(CpuState *c, const Insn *i)
{
    uint64_t f = (flags_get(c) & 0xd5) | 2;

    c->regs[GPR_RAX] = (c->regs[GPR_RAX] & ~0xff00ull) | f << 8;
}

static void sahf(CpuState *c, const Insn *i)
{
    flags_set(c, (c->regs[GPR_RAX] >> 8 & 0xd5) | (flags_get(c) & FLAG_OF));
}

static void nop(CpuState *c, const Insn *i)
{
}

static void xlat(CpuState *c, const Insn *i)
{
    vaddr off = c->regs[GPR_RBX] + (uint8_t)c->regs[GPR_RAX];

    off = i->asize == 8 ? off : i->asize == 4 ? (uint32_t)off : (uint16_t)off;
    c->regs[GPR_RAX] = (c->regs[GPR_RAX] & ~0xffull) | ld_u8(c, i->seg, off);
}

/* ---- wide compare and exchange ---- */

static void cmpxchg8b(CpuState *c, const Insn *i)
{
    uint64_t a = (uint32_t)c->regs[GPR_RAX] | c->regs[GPR_RDX] << 32;
    uint64_t b = (uint32_t)c->regs[GPR_RBX] | c->regs[GPR_RCX] << 32, was = 0;

    RMW(64, (was = old, old == a ? b : old));
    flags_set(c, (flags_get(c) & ~FLAG_ZF) | (was == a ? FLAG_ZF : 0));
    if (was != a) {
        reg32_set(c, GPR_RAX, (uint32_t)was);
        reg32_set(c, GPR_RDX, (uint32_t)(was >> 32));
    }
}

static void cmpxchg16b(CpuState *c, const Insn *i)
{
    vaddr off = insn_ea(c, i);
    uint64_t m[2], want[2] = { c->regs[GPR_RAX], c->regs[GPR_RDX] };
    uint64_t b[2] = { c->regs[GPR_RBX], c->regs[GPR_RCX] };
    bool locked = cpu_many, same;

    check_aligned(c, i->seg, off, 16);
    mem_probe_write(c, i->seg, off, 16);
    if (locked) {
        engine_ops->exclusive_begin(c);
    }
    ld_bytes(c, i->seg, off, m, 16);
    same = m[0] == want[0] && m[1] == want[1];
    st_bytes(c, i->seg, off, same ? b : m, 16);
    if (locked) {
        engine_ops->exclusive_end(c);
    }
    flags_set(c, (flags_get(c) & ~FLAG_ZF) | (same ? FLAG_ZF : 0));
    if (!same) {
        c->regs[GPR_RAX] = m[0];
        c->regs[GPR_RDX] = m[1];
    }
}

/* ---- the table ---- */

#define R1(op, name, ops, fl, h) { MAP_1, op, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define R1X(op, ext, name, ops, fl, h) { MAP_1, op, P_ANY, ext, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define RF(op, name, ops, fl, h) { MAP_0F, op, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, fl, name, ops, h }
#define RFX(op, ext, name, ops, fl, h) { MAP_0F, op, P_ANY, ext, EXT_ANY, FEAT_NONE, fl, name, ops, h }

#define ALU_ROWS(base, ext, name, op, lk)                                                          \
    R1(base + 0, name, "Eb,Gb", lk, X1(op##_rm_r_8)), R1(base + 1, name, "Ev,Gv", lk, X3(op##_rm_r)), \
    R1(base + 2, name, "Gb,Eb", 0, X1(op##_r_rm_8)), R1(base + 3, name, "Gv,Ev", 0, X3(op##_r_rm)),   \
    R1(base + 4, name, "al,Ib", 0, X1(op##_a_i_8)), R1(base + 5, name, "rAX,Iz", 0, X3(op##_a_i)),    \
    R1X(0x80, ext, name, "Eb,Ib", lk, X1(op##_rm_i_8)),                                            \
    R1X(0x81, ext, name, "Ev,Iz", lk, X3(op##_rm_i)),                                              \
    R1X(0x82, ext, name, "Eb,Ib", lk | OP_I64, X1(op##_rm_i_8)),                                   \
    R1X(0x83, ext, name, "Ev,Is", lk, X3(op##_rm_i))

#define SHIFT_ROWS(ext, name, op)                                                                  \
    R1X(0xc0, ext, name, "Eb,Ib", 0, X1(op##_rm_i_8)), R1X(0xc1, ext, name, "Ev,Ib", 0, X3(op##_rm_i)), \
    R1X(0xd0, ext, name, "Eb,1", 0, X1(op##_rm_1_8)), R1X(0xd1, ext, name, "Ev,1", 0, X3(op##_rm_1)),   \
    R1X(0xd2, ext, name, "Eb,cl", 0, X1(op##_rm_cl_8)), R1X(0xd3, ext, name, "Ev,cl", 0, X3(op##_rm_cl))

/* clang-format off */
const OpRow op_rows_int[] = {
    ALU_ROWS(0x00, 0, "add", add, OP_LOCK), ALU_ROWS(0x08, 1, "or", or, OP_LOCK),
    ALU_ROWS(0x10, 2, "adc", adc, OP_LOCK), ALU_ROWS(0x18, 3, "sbb", sbb, OP_LOCK),
    ALU_ROWS(0x20, 4, "and", and, OP_LOCK), ALU_ROWS(0x28, 5, "sub", sub, OP_LOCK),
    ALU_ROWS(0x30, 6, "xor", xor, OP_LOCK), ALU_ROWS(0x38, 7, "cmp", cmp, 0),
    SHIFT_ROWS(0, "rol", rol), SHIFT_ROWS(1, "ror", ror), SHIFT_ROWS(2, "rcl", rcl),
    SHIFT_ROWS(3, "rcr", rcr), SHIFT_ROWS(4, "shl", shl), SHIFT_ROWS(5, "shr", shr),
    SHIFT_ROWS(6, "shl", shl), SHIFT_ROWS(7, "sar", sar),
    R1(0x40, "inc", "Zv", OP_I64, X3(inc_z)), R1(0x48, "dec", "Zv", OP_I64, X3(dec_z)),
    R1X(0xfe, 0, "inc", "Eb", OP_LOCK, X1(inc_rm_8)), R1X(0xff, 0, "inc", "Ev", OP_LOCK, X3(inc_rm)),
    R1X(0xfe, 1, "dec", "Eb", OP_LOCK, X1(dec_rm_8)), R1X(0xff, 1, "dec", "Ev", OP_LOCK, X3(dec_rm)),
    R1(0x84, "test", "Eb,Gb", 0, X1(test_rm_r_8)), R1(0x85, "test", "Ev,Gv", 0, X3(test_rm_r)),
    R1(0xa8, "test", "al,Ib", 0, X1(test_a_i_8)), R1(0xa9, "test", "rAX,Iz", 0, X3(test_a_i)),
    R1X(0xf6, 0, "test", "Eb,Ib", 0, X1(test_rm_i_8)), R1X(0xf7, 0, "test", "Ev,Iz", 0, X3(test_rm_i)),
    R1X(0xf6, 1, "test", "Eb,Ib", 0, X1(test_rm_i_8)), R1X(0xf7, 1, "test", "Ev,Iz", 0, X3(test_rm_i)),
    R1X(0xf6, 2, "not", "Eb", OP_LOCK, X1(not_rm_8)), R1X(0xf7, 2, "not", "Ev", OP_LOCK, X3(not_rm)),
    R1X(0xf6, 3, "neg", "Eb", OP_LOCK, X1(neg_rm_8)), R1X(0xf7, 3, "neg", "Ev", OP_LOCK, X3(neg_rm)),
    R1X(0xf6, 4, "mul", "Eb", 0, X1(mul_rm_8)), R1X(0xf7, 4, "mul", "Ev", 0, X3(mul_rm)),
    R1X(0xf6, 5, "imul", "Eb", 0, X1(imul_rm_8)), R1X(0xf7, 5, "imul", "Ev", 0, X3(imul_rm)),
    R1X(0xf6, 6, "div", "Eb", 0, X1(div_rm_8)), R1X(0xf7, 6, "div", "Ev", 0, X3(div_rm)),
    R1X(0xf6, 7, "idiv", "Eb", 0, X1(idiv_rm_8)), R1X(0xf7, 7, "idiv", "Ev", 0, X3(idiv_rm)),
    R1(0x69, "imul", "Gv,Ev,Iz", 0, X3(imul_r_rm_i)), R1(0x6b, "imul", "Gv,Ev,Is", 0, X3(imul_r_rm_i)),
    RF(0xaf, "imul", "Gv,Ev", 0, X3(imul_r_rm)),
    R1(0x88, "mov", "Eb,Gb", 0, X1(mov_rm_r_8)), R1(0x89, "mov", "Ev,Gv", 0, X3(mov_rm_r)),
    R1(0x8a, "mov", "Gb,Eb", 0, X1(mov_r_rm_8)), R1(0x8b, "mov", "Gv,Ev", 0, X3(mov_r_rm)),
    R1X(0xc6, 0, "mov", "Eb,Ib", 0, X1(mov_rm_i_8)), R1X(0xc7, 0, "mov", "Ev,Iz", 0, X3(mov_rm_i)),
    R1(0xb0, "mov", "Zb,Ib", 0, X1(mov_z_i_8)), R1(0xb8, "mov", "Zv,Iv", 0, X3(mov_z_i)),
    R1(0xa0, "mov", "al,Ob", 0, X1(mov_a_moffs_8)), R1(0xa1, "mov", "rAX,Ov", 0, X3(mov_a_moffs)),
    { MAP_1, 0xa2, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, 0, "mov", "Ob,al", X1(mov_moffs_a_8) },
    R1(0xa3, "mov", "Ov,rAX", 0, X3(mov_moffs_a)),
    R1(0x86, "xchg", "Eb,Gb", OP_LOCK, X1(xchg_rm_r_8)), R1(0x87, "xchg", "Ev,Gv", OP_LOCK, X3(xchg_rm_r)),
    { MAP_1, 0x90, P_F3, EXT_ANY, EXT_ANY, FEAT_NONE, OP_IO | OP_NOREXB, "pause", "", X1(nop) },
    R1(0x90, "xchg", "Zv,rAX", 0, X3(xchg_z_a)),
    R1(0x8d, "lea", "Gv,M", OP_MEM, X3(lea)),
    R1(0x63, "movsxd", "Gv,Ed", OP_O64, X3(movsxd)),
    RF(0xb6, "movzx", "Gv,Eb", 0, X3(movzx_b)), RF(0xb7, "movzx", "Gv,Ew", 0, X3(movzx_w)),
    RF(0xbe, "movsx", "Gv,Eb", 0, X3(movsx_b)), RF(0xbf, "movsx", "Gv,Ew", 0, X3(movsx_w)),
    { MAP_0F, 0x40, P_ANY, EXT_ANY, EXT_ANY, FEAT_CMOV, OP_CC, "cmovcc", "Gv,Ev", X3(cmov) },
    { MAP_0F, 0x90, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, OP_CC, "setcc", "Eb", X1(setcc) },
    RF(0xc8, "bswap", "Zv", 0, X3(bswap)),
    R1(0x98, "cbw", "", 0, X3(cbw)), R1(0x99, "cwd", "", 0, X3(cwd)),
    { MAP_0F, 0xbc, P_F3, EXT_ANY, EXT_ANY, FEAT_BMI1, 0, "tzcnt", "Gv,Ev", X3(tzcnt) },
    { MAP_0F, 0xbd, P_F3, EXT_ANY, EXT_ANY, FEAT_ABM, 0, "lzcnt", "Gv,Ev", X3(lzcnt) },
    { MAP_0F, 0xb8, P_F3, EXT_ANY, EXT_ANY, FEAT_POPCNT, 0, "popcnt", "Gv,Ev", X3(popcnt) },
    RF(0xbc, "bsf", "Gv,Ev", 0, X3(bsf)), RF(0xbd, "bsr", "Gv,Ev", 0, X3(bsr)),
    RF(0xa4, "shld", "Ev,Gv,Ib", 0, X3(shld_i)), RF(0xa5, "shld", "Ev,Gv,cl", 0, X3(shld_cl)),
    RF(0xac, "shrd", "Ev,Gv,Ib", 0, X3(shrd_i)), RF(0xad, "shrd", "Ev,Gv,cl", 0, X3(shrd_cl)),
    RF(0xa3, "bt", "Ev,Gv", 0, X3(bt_rm_r)), RF(0xab, "bts", "Ev,Gv", OP_LOCK, X3(btx_rm_r)),
    RF(0xb3, "btr", "Ev,Gv", OP_LOCK, X3(btx_rm_r)), RF(0xbb, "btc", "Ev,Gv", OP_LOCK, X3(btx_rm_r)),
    RFX(0xba, 4, "bt", "Ev,Ib", 0, X3(bt_rm_i)), RFX(0xba, 5, "bts", "Ev,Ib", OP_LOCK, X3(btx_rm_i)),
    RFX(0xba, 6, "btr", "Ev,Ib", OP_LOCK, X3(btx_rm_i)), RFX(0xba, 7, "btc", "Ev,Ib", OP_LOCK, X3(btx_rm_i)),
    RF(0xc0, "xadd", "Eb,Gb", OP_LOCK, X1(xadd_8)), RF(0xc1, "xadd", "Ev,Gv", OP_LOCK, X3(xadd)),
    RF(0xb0, "cmpxchg", "Eb,Gb", OP_LOCK, X1(cmpxchg_8)), RF(0xb1, "cmpxchg", "Ev,Gv", OP_LOCK, X3(cmpxchg)),
    { MAP_0F, 0xc7, P_ANY, 1, EXT_ANY, FEAT_CX16, OP_LOCK | OP_MEM | OP_W1, "cmpxchg16b", "Mdq", X1(cmpxchg16b) },
    { MAP_0F, 0xc7, P_ANY, 1, EXT_ANY, FEAT_CX8, OP_LOCK | OP_MEM | OP_W0, "cmpxchg8b", "Mq", X1(cmpxchg8b) },
    R1(0x27, "daa", "", OP_I64, X1(daa_das)), R1(0x2f, "das", "", OP_I64, X1(daa_das)),
    R1(0x37, "aaa", "", OP_I64, X1(aaa_aas)), R1(0x3f, "aas", "", OP_I64, X1(aaa_aas)),
    R1(0xd4, "aam", "Ib", OP_I64, X1(aam)), R1(0xd5, "aad", "Ib", OP_I64, X1(aad)),
    R1(0xd6, "salc", "", OP_I64, X1(salc)), R1(0xd7, "xlat", "", 0, X1(xlat)),
    R1(0xf5, "cmc", "", 0, X1(cmc)), R1(0xf8, "clc", "", 0, X1(clc)), R1(0xf9, "stc", "", 0, X1(stc)),
    R1(0xfc, "cld", "", 0, X1(cld)), R1(0xfd, "std", "", 0, X1(std)),
    { MAP_1, 0x9f, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, OP_I64, "lahf", "", X1(lahf) },
    { MAP_1, 0x9e, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, OP_I64, "sahf", "", X1(sahf) },
    { MAP_1, 0x9f, P_ANY, EXT_ANY, EXT_ANY, FEAT_LAHF_LM, OP_O64, "lahf", "", X1(lahf) },
    { MAP_1, 0x9e, P_ANY, EXT_ANY, EXT_ANY, FEAT_LAHF_LM, OP_O64, "sahf", "", X1(sahf) },
    RF(0x1f, "nop", "Ev", 0, X1(nop)), RF(0x1e, "nop", "Ev", 0, X1(nop)), RF(0x1d, "nop", "Ev", 0, X1(nop)),
    RF(0x1c, "nop", "Ev", 0, X1(nop)), RF(0x1b, "nop", "Ev", 0, X1(nop)), RF(0x1a, "nop", "Ev", 0, X1(nop)),
    RF(0x19, "nop", "Ev", 0, X1(nop)),
    { .name = NULL },
};
/* clang-format on */
