/*
 * What the MMX, SSE and AVX handlers share: availability checks, operands, result registers.
 *
 * One handler serves the legacy 128-bit, the VEX.128 and the VEX.256 form of an instruction: the
 * first source is the destination register or, with VEX, VEX.vvvv; the legacy form leaves bits
 * 255:128 of its destination, the VEX.128 form clears them.
 *
 * Sources: Intel SDM vol. 2A, "Exceptions and Classification of SSE/AVX instructions"; vol. 1, "Effect of MMX, x87
 * FPU, FXSAVE, and FXRSTOR Instructions on the x87 FPU Tag Word".
 */
#ifndef CPU_VEC_H
#define CPU_VEC_H

#include <string.h>
#include "cpu/access.h"
#include "cpu/softfloat.h"
#include "cpu/x87.h"

/* ---- SSE and AVX ---- */

/* sse_check - #UD and #NM of SSE and AVX instructions; before operands are touched. */
static inline void sse_check(CpuState *c, const Insn *i)
{
    if (insn_vex(i)) {
        if (!(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & (XCR0_SSE | XCR0_AVX)) != (XCR0_SSE | XCR0_AVX)) {
            cpu_ud(c);
        }
    } else if ((c->cr0 & CR0_EM) || !(c->cr4 & CR4_OSFXSR)) {
        cpu_ud(c);
    }
    if (c->cr0 & CR0_TS) {
        cpu_raise(c, EXC_NM);
    }
}

static inline unsigned vec_bytes(const Insn *i)
{
    return insn_l256(i) ? 32 : 16;
}

/* vec_rm - ModRM.rm's operand: a register, or @n bytes of memory (aligned to 16 where a legacy
 * form reads 16). Bytes beyond @n of a memory operand are 0. */
static inline VecReg vec_rm(CpuState *c, const Insn *i, unsigned n)
{
    VecReg v;
    vaddr ea;

    if (!insn_mem(i)) {
        return c->xmm[i->rm];
    }
    memset(&v, 0, sizeof(v));
    ea = insn_ea(c, i);
    if (n == 16 && !insn_vex(i)) {
        check_aligned(c, i->seg, ea, 16);
    }
    ld_bytes(c, i->seg, ea, &v, n);
    return v;
}

/* vec_src1 - the first source: VEX.vvvv, or the destination. */
static inline VecReg vec_src1(const CpuState *c, const Insn *i)
{
    return c->xmm[insn_vex(i) ? i->vvvv : i->reg];
}

/* vec_put - write an XMM or YMM register as the instruction's encoding says. */
static inline void vec_put(CpuState *c, const Insn *i, unsigned reg, const VecReg *v)
{
    memcpy(&c->xmm[reg], v, vec_bytes(i));
    if (insn_vex(i) && !insn_l256(i)) {
        c->xmm[reg].q[2] = c->xmm[reg].q[3] = 0;
    }
}
/* vec_put128 - the same for results of 128 bits whatever VEX.L says (scalars). */
static inline void vec_put128(CpuState *c, const Insn *i, unsigned reg, const VecReg *v)
{
    c->xmm[reg].q[0] = v->q[0];
    c->xmm[reg].q[1] = v->q[1];
    if (insn_vex(i)) {
        c->xmm[reg].q[2] = c->xmm[reg].q[3] = 0;
    }
}

/* vec_fp_done - accumulate an operation's flags in MXCSR; #XM (#UD without CR4.OSXMMEXCPT) when
 * one is unmasked. Call before the result is written. */
static inline void vec_fp_done(CpuState *c, const FpEnv *e)
{
    c->mxcsr |= fp_blocked(e) ? e->flags & FP_PRE : e->flags;
    if (fp_unmasked(e)) {
        cpu_raise(c, c->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
    }
}

/* vec_wide - W selects 64 bits for general registers; outside of 64-bit mode VEX.W is ignored. */
static inline bool vec_wide(const CpuState *c, const Insn *i)
{
    return (i->flags & INSN_W) && c->code64;
}

/* A kernel computes @n bytes (8 for MMX, 16, 32) of *r from *a and *b, none of which overlap. */
typedef void VecKernel(VecReg *r, const VecReg *a, const VecReg *b, unsigned n);

/* ---- MMX ---- */

static inline void mmx_check(CpuState *c)
{
    if (c->cr0 & CR0_EM) {
        cpu_ud(c);
    }
    if (c->cr0 & CR0_TS) {
        cpu_raise(c, EXC_NM);
    }
    x87_check_pending(c);
}
/* mmx_enter - TOP is 0 and all registers valid after any MMX instruction. */
static inline void mmx_enter(CpuState *c)
{
    c->fsw &= (uint16_t)~FSW_TOP;
    c->fptag = 0xff;
}
static inline void mmx_put(CpuState *c, unsigned reg, uint64_t v)
{
    c->fpr[reg & 7] = (Float80){ v, 0xffff };
}
/* mmx_rm - ModRM.rm's operand: a register or @n bytes of memory. */
static inline uint64_t mmx_rm(CpuState *c, const Insn *i, unsigned n)
{
    if (!insn_mem(i)) {
        return c->fpr[i->rm & 7].frac;
    }
    return n == 4 ? ld_u32(c, i->seg, insn_ea(c, i)) : ld_u64(c, i->seg, insn_ea(c, i));
}

/* ---- handlers that more than one table names ---- */

#define VEC2(name, map, op, sse) ExecFn op_##name;
#define VEC2M(name, map, op, mmx, sse) ExecFn op_##name, op_mmx_##name;
#define VEC1M(name, map, op) ExecFn op_##name, op_mmx_##name;
#define VSHIFT(name, op, imm_op, ext) ExecFn op_##name, op_##name##_imm, op_mmx_##name, op_mmx_##name##_imm;
#include "cpu/vec-int.inc"
#undef VEC2
#undef VEC2M
#undef VEC1M
#undef VSHIFT

/* ops-sse-int.c */
ExecFn op_vload_aligned, op_vload, op_vstore_aligned, op_vstore;
ExecFn op_movd_load, op_movd_store, op_movq_load, op_movq_store;
ExecFn op_pshufd, op_pshufhw, op_pshuflw, op_pslldq, op_psrldq, op_pmovmskb, op_pinsrw, op_pextrw_reg;
ExecFn op_maskmovdqu, op_movnti;
ExecFn op_pmovsxbw, op_pmovsxbd, op_pmovsxbq, op_pmovsxwd, op_pmovsxwq, op_pmovsxdq;
ExecFn op_pmovzxbw, op_pmovzxbd, op_pmovzxbq, op_pmovzxwd, op_pmovzxwq, op_pmovzxdq;
ExecFn op_ptest, op_pblendw, op_palignr, op_mpsadbw, op_phminposuw;
ExecFn op_pextrb, op_pextrw, op_pextrd, op_pinsrb, op_pinsrd;
ExecFn op_pblendvb, op_blendvps, op_blendvpd;
ExecFn op_pcmpestrm, op_pcmpestri, op_pcmpistrm, op_pcmpistri;
ExecFn op_crc32_8, op_crc32_16, op_crc32_32, op_crc32_64;

/* ops-sse-fp.c */
#define FP4(name) ExecFn op_##name##ps, op_##name##pd, op_##name##ss, op_##name##sd;
FP4(add) FP4(sub) FP4(mul) FP4(div) FP4(min) FP4(max) FP4(sqrt) FP4(cmp) FP4(round)
#undef FP4
ExecFn op_rcpps, op_rcpss, op_rsqrtps, op_rsqrtss;
ExecFn op_haddps, op_haddpd, op_hsubps, op_hsubpd, op_addsubps, op_addsubpd;
ExecFn op_comiss, op_comisd, op_ucomiss, op_ucomisd;
ExecFn op_cvtsi2ss, op_cvtsi2sd, op_cvtss2si, op_cvtsd2si, op_cvttss2si, op_cvttsd2si;
ExecFn op_cvtps2pd, op_cvtpd2ps, op_cvtss2sd, op_cvtsd2ss;
ExecFn op_cvtdq2ps, op_cvtps2dq, op_cvttps2dq, op_cvtdq2pd, op_cvtpd2dq, op_cvttpd2dq;
ExecFn op_movss_load, op_movsd_load, op_movss_store, op_movsd_store, op_movss_reg, op_movsd_reg,
    op_movss_reg_rev, op_movsd_reg_rev;
ExecFn op_movlps_load, op_movlps_store, op_movhps_load, op_movhps_store, op_movhlps;
ExecFn op_movsldup, op_movshdup, op_movddup, op_movmskps, op_movmskpd;
ExecFn op_shufps, op_shufpd;
ExecFn op_blendps, op_blendpd, op_dpps, op_dppd, op_insertps, op_extractps;
ExecFn op_ldmxcsr, op_stmxcsr;

/* ops-fma.c */
ExecFn op_fma_packed, op_fma_scalar;

/* ops-crypto.c */
ExecFn op_aesenc, op_aesenclast, op_aesdec, op_aesdeclast, op_aesimc, op_aeskeygen, op_pclmulqdq;

#endif
