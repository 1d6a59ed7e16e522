/*
 * MMX: moves and odd shapes, and the table of all MMX forms (those of cpu/vec-int.inc included).
 *
 * Sources: Intel SDM vol. 1, chapter 9, "Programming with Intel MMX Technology"; vol. 2 under each
 * instruction.
 */
#include "cpu/vec.h"

static void op_emms(CpuState *c, const Insn *i)
{
    mmx_check(c);
    mmx_enter(c);
    c->fptag = 0;
}

/* MOVD/MOVQ between MMX and general registers or memory. */
static void op_mmx_movd_load(CpuState *c, const Insn *i)
{
    bool wide = i->flags & INSN_W;
    uint64_t v;

    mmx_check(c);
    if (insn_mem(i)) {
        v = mmx_rm(c, i, wide ? 8 : 4);
    } else {
        v = wide ? c->regs[i->rm] : (uint32_t)c->regs[i->rm];
    }
    mmx_enter(c);
    mmx_put(c, i->reg, v);
}

static void op_mmx_movd_store(CpuState *c, const Insn *i)
{
    bool wide = i->flags & INSN_W;
    uint64_t v = c->fpr[i->reg & 7].frac;

    mmx_check(c);
    if (!insn_mem(i)) {
        c->regs[i->rm] = wide ? v : (uint32_t)v;
    } else if (wide) {
        st_u64(c, i->seg, insn_ea(c, i), v);
    } else {
        st_u32(c, i->seg, insn_ea(c, i), (uint32_t)v);
    }
    mmx_enter(c);
}

static void op_mmx_movq_load(CpuState *c, const Insn *i)
{
    uint64_t v;

    mmx_check(c);
    v = mmx_rm(c, i, 8);
    mmx_enter(c);
    mmx_put(c, i->reg, v);
}

static void op_mmx_movq_store(CpuState *c, const Insn *i)
{
    uint64_t v = c->fpr[i->reg & 7].frac;

    mmx_check(c);
    if (insn_mem(i)) {
        st_u64(c, i->seg, insn_ea(c, i), v);
    }
    mmx_enter(c);
    if (!insn_mem(i)) {
        mmx_put(c, i->rm, v);
    }
}

static void op_pshufw(CpuState *c, const Insn *i)
{
    uint64_t v, r = 0;

    mmx_check(c);
    v = mmx_rm(c, i, 8);
    for (unsigned k = 0; k < 4; k++) {
        r |= (v >> 16 * (i->imm >> 2 * k & 3) & 0xffff) << 16 * k;
    }
    mmx_enter(c);
    mmx_put(c, i->reg, r);
}

static void op_mmx_pinsrw(CpuState *c, const Insn *i)
{
    unsigned shift = 16 * (i->imm & 3);
    uint64_t v = c->fpr[i->reg & 7].frac, w;

    mmx_check(c);
    w = insn_mem(i) ? ld_u16(c, i->seg, insn_ea(c, i)) : (uint16_t)c->regs[i->rm];
    mmx_enter(c);
    mmx_put(c, i->reg, (v & ~(0xffffull << shift)) | w << shift);
}

static void op_mmx_pextrw(CpuState *c, const Insn *i)
{
    mmx_check(c);
    mmx_enter(c);
    c->regs[i->reg] = (uint16_t)(c->fpr[i->rm & 7].frac >> 16 * (i->imm & 3));
}

static void op_mmx_pmovmskb(CpuState *c, const Insn *i)
{
    uint64_t v = c->fpr[i->rm & 7].frac;
    unsigned r = 0;

    mmx_check(c);
    mmx_enter(c);
    for (unsigned k = 0; k < 8; k++) {
        r |= (unsigned)(v >> (8 * k + 7) & 1) << k;
    }
    c->regs[i->reg] = r;
}

/* PALIGNR: bytes of the pair destination:source from byte imm8 on. */
static void op_mmx_palignr(CpuState *c, const Insn *i)
{
    unsigned shift = 8 * (uint8_t)i->imm;
    unsigned __int128 v;

    mmx_check(c);
    v = (unsigned __int128)c->fpr[i->reg & 7].frac << 64 | mmx_rm(c, i, 8);
    mmx_enter(c);
    mmx_put(c, i->reg, shift < 128 ? (uint64_t)(v >> shift) : 0);
}

static void op_movntq(CpuState *c, const Insn *i)
{
    mmx_check(c);
    st_u64(c, i->seg, insn_ea(c, i), c->fpr[i->reg & 7].frac);
    mmx_enter(c);
}

static void op_maskmovq(CpuState *c, const Insn *i)
{
    uint64_t v = c->fpr[i->reg & 7].frac, mask = c->fpr[i->rm & 7].frac;
    vaddr di = c->regs[GPR_RDI];

    mmx_check(c);
    for (unsigned pass = 0; pass < 2; pass++) { /* every byte is checked before one is written */
        for (unsigned k = 0; k < 8; k++) {
            vaddr at = di + k;

            at = i->asize == 8 ? at : i->asize == 4 ? (uint32_t)at : (uint16_t)at;
            if (!(mask >> (8 * k + 7) & 1)) {
                continue;
            }
            if (pass == 0) {
                mem_probe_write(c, i->seg, at, 1);
            } else {
                st_u8(c, i->seg, at, (uint8_t)(v >> 8 * k));
            }
        }
    }
    mmx_enter(c);
}

static void op_movq2dq(CpuState *c, const Insn *i)
{
    VecReg r = { .q = { c->fpr[i->rm & 7].frac } };

    sse_check(c, i);
    x87_check_pending(c);
    mmx_enter(c);
    vec_put(c, i, i->reg, &r);
}

static void op_movdq2q(CpuState *c, const Insn *i)
{
    sse_check(c, i);
    x87_check_pending(c);
    mmx_enter(c);
    mmx_put(c, i->reg, c->xmm[i->rm].q[0]);
}

/* ---- conversions between MMX and XMM ---- */

static void cvtpi2ps(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg r = c->xmm[i->reg];
    uint64_t v;

    sse_check(c, i);
    x87_check_pending(c);
    v = mmx_rm(c, i, 8);
    r.d[0] = int_to_f32(&e, (int32_t)v);
    r.d[1] = int_to_f32(&e, (int32_t)(v >> 32));
    vec_fp_done(c, &e);
    mmx_enter(c);
    vec_put(c, i, i->reg, &r);
}

static void cvtpi2pd(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg r = c->xmm[i->reg];
    uint64_t v;

    sse_check(c, i);
    if (!insn_mem(i)) { /* "if the source operand is a memory location, no transition occurs" */
        x87_check_pending(c);
    }
    v = mmx_rm(c, i, 8);
    r.q[0] = int_to_f64(&e, (int32_t)v);
    r.q[1] = int_to_f64(&e, (int32_t)(v >> 32));
    if (!insn_mem(i)) {
        mmx_enter(c);
    }
    vec_put(c, i, i->reg, &r);
}

static void cvt2pi(CpuState *c, const Insn *i, bool wide, bool truncate)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    unsigned rc = truncate ? RC_ZERO : e.rc;
    uint32_t lo, hi;
    VecReg v;

    sse_check(c, i);
    x87_check_pending(c);
    v = vec_rm(c, i, wide ? 16 : 8);
    if (wide) {
        lo = (uint32_t)f64_to_int(&e, v.q[0], 32, rc);
        hi = (uint32_t)f64_to_int(&e, v.q[1], 32, rc);
    } else {
        lo = (uint32_t)f32_to_int(&e, v.d[0], 32, rc);
        hi = (uint32_t)f32_to_int(&e, v.d[1], 32, rc);
    }
    vec_fp_done(c, &e);
    mmx_enter(c);
    mmx_put(c, i->reg, lo | (uint64_t)hi << 32);
}
static void cvtps2pi(CpuState *c, const Insn *i)
{
    cvt2pi(c, i, false, false);
}
static void cvttps2pi(CpuState *c, const Insn *i)
{
    cvt2pi(c, i, false, true);
}
static void cvtpd2pi(CpuState *c, const Insn *i)
{
    cvt2pi(c, i, true, false);
}
static void cvttpd2pi(CpuState *c, const Insn *i)
{
    cvt2pi(c, i, true, true);
}

/* ---- the table ---- */

#define MM(map, op, prefix, feat, flags, name, operands, fn)                                       \
    { map, op, prefix, EXT_ANY, EXT_ANY, FEAT_##feat, OP_FPU | (flags), name, operands, X1(fn) }

#define VEC2(name, map, op, sse)
#define VEC2M(name, map, op, mmx, sse)                                                             \
    MM(map, op, P_NONE, mmx, 0, #name,                                                             \
       (map) == MAP_0F && (op) < 0x63 ? "Pq,Qd" : "Pq,Qq", op_mmx_##name),
#define VEC1M(name, map, op) MM(map, op, P_NONE, SSSE3, 0, #name, "Pq,Qq", op_mmx_##name),
#define VSHIFT(name, op, imm_op, ext)                                                              \
    MM(MAP_0F, op, P_NONE, MMX, 0, #name, "Pq,Qq", op_mmx_##name),                                 \
    { MAP_0F, imm_op, P_NONE, ext, EXT_ANY, FEAT_MMX, OP_FPU | OP_REG, #name, "Nq,Ib",             \
      X1(op_mmx_##name##_imm) },

const OpRow op_rows_mmx[] = {
    /* clang-format off */
#include "cpu/vec-int.inc"
    MM(MAP_0F, 0x77, P_NONE, MMX, 0, "emms", "", op_emms),
    MM(MAP_0F, 0x6e, P_NONE, MMX, 0, "movd", "Pq,Ey", op_mmx_movd_load),
    MM(MAP_0F, 0x7e, P_NONE, MMX, 0, "movd", "Ey,Pq", op_mmx_movd_store),
    MM(MAP_0F, 0x6f, P_NONE, MMX, 0, "movq", "Pq,Qq", op_mmx_movq_load),
    MM(MAP_0F, 0x7f, P_NONE, MMX, 0, "movq", "Qq,Pq", op_mmx_movq_store),
    MM(MAP_0F, 0x70, P_NONE, SSE, 0, "pshufw", "Pq,Qq,Ib", op_pshufw),
    MM(MAP_0F, 0xc4, P_NONE, SSE, 0, "pinsrw", "Pq,Ed,Ib", op_mmx_pinsrw),
    MM(MAP_0F, 0xc5, P_NONE, SSE, OP_REG, "pextrw", "Gd,Nq,Ib", op_mmx_pextrw),
    MM(MAP_0F, 0xd7, P_NONE, SSE, OP_REG, "pmovmskb", "Gd,Nq", op_mmx_pmovmskb),
    MM(MAP_0F, 0xe7, P_NONE, SSE, OP_MEM, "movntq", "Mq,Pq", op_movntq),
    MM(MAP_0F, 0xf7, P_NONE, SSE, OP_REG, "maskmovq", "Pq,Nq", op_maskmovq),
    MM(MAP_0F3A, 0x0f, P_NONE, SSSE3, 0, "palignr", "Pq,Qq,Ib", op_mmx_palignr),
    MM(MAP_0F, 0xd6, P_F3, SSE2, OP_REG, "movq2dq", "Vdq,Nq", op_movq2dq),
    MM(MAP_0F, 0xd6, P_F2, SSE2, OP_REG, "movdq2q", "Pq,Uq", op_movdq2q),
    MM(MAP_0F, 0x2a, P_NONE, SSE, 0, "cvtpi2ps", "Vps,Qq", cvtpi2ps),
    MM(MAP_0F, 0x2a, P_66, SSE2, 0, "cvtpi2pd", "Vpd,Qq", cvtpi2pd),
    MM(MAP_0F, 0x2c, P_NONE, SSE, 0, "cvttps2pi", "Pq,Wq", cvttps2pi),
    MM(MAP_0F, 0x2c, P_66, SSE2, 0, "cvttpd2pi", "Pq,Wpd", cvttpd2pi),
    MM(MAP_0F, 0x2d, P_NONE, SSE, 0, "cvtps2pi", "Pq,Wq", cvtps2pi),
    MM(MAP_0F, 0x2d, P_66, SSE2, 0, "cvtpd2pi", "Pq,Wpd", cvtpd2pi),
    { 0 },
    /* clang-format on */
};
