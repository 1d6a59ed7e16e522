/*
 * FMA3. The opcode says it all: high nibble the order of operands (9: 132, A: 213, B: 231), low
 * nibble the operation; VEX.W the element size. The rows are in cpu/ops-avx.c.
 * Source: Intel SDM vol. 1, "Fused-Multiply-ADD (FMA) Extensions"; vol. 2 under VFMADD132PD etc.
 */
#include "cpu/vec.h"

/* What is negated, by the opcode's low nibble / 2 for 8 to F; the alternating ones come before. */
static unsigned fma_sign(uint8_t opcode, unsigned lane)
{
    static const uint8_t neg[4] = { 0, FMA_NEG_ADDEND, FMA_NEG_PRODUCT,
                                    FMA_NEG_PRODUCT | FMA_NEG_ADDEND };
    unsigned low = opcode & 15;

    if (low < 8) { /* 6 FMADDSUB: subtract in even lanes; 7 FMSUBADD: in odd ones */
        return (lane & 1) == (low & 1) ? FMA_NEG_ADDEND : 0;
    }
    return neg[(low - 8) / 2];
}

static void fma_lanes(CpuState *c, const Insn *i, unsigned size, unsigned n)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    const VecReg *a, *b, *add;
    VecReg rm, dst, r;

    sse_check(c, i);
    rm = vec_rm(c, i, n);
    dst = r = c->xmm[i->reg];
    switch (i->opcode >> 4) {
    case 9:
        a = &dst;
        b = &rm;
        add = &c->xmm[i->vvvv];
        break;
    case 10:
        a = &c->xmm[i->vvvv];
        b = &dst;
        add = &rm;
        break;
    default:
        a = &c->xmm[i->vvvv];
        b = &rm;
        add = &dst;
    }
    for (unsigned k = 0; k < n / size; k++) {
        unsigned neg = fma_sign(i->opcode, k);

        if (size == 4) {
            r.d[k] = f32_fma(&e, a->d[k], b->d[k], add->d[k], neg);
        } else {
            r.q[k] = f64_fma(&e, a->q[k], b->q[k], add->q[k], neg);
        }
    }
    vec_fp_done(c, &e);
    if (n == size) {
        vec_put128(c, i, i->reg, &r);
    } else {
        vec_put(c, i, i->reg, &r);
    }
}

void op_fma_packed(CpuState *c, const Insn *i)
{
    fma_lanes(c, i, i->flags & INSN_W ? 8 : 4, vec_bytes(i));
}

void op_fma_scalar(CpuState *c, const Insn *i)
{
    unsigned size = i->flags & INSN_W ? 8 : 4;

    fma_lanes(c, i, size, size);
}
