/*
 * AVX, AVX2, F16C: what SSE has no counterpart of, and the table of all VEX vector instructions.
 *
 * Source: Intel SDM vol. 2 under each instruction; vol. 1, "Programming with AVX, FMA and AVX2",
 * "VEX-encoded GPR instructions" excepted (cpu/ops-bmi.c).
 */
#include "cpu/flags.h"
#include "cpu/vec.h"

/* ---- zeroing, broadcasts, lanes ---- */

static void op_vzero(CpuState *c, const Insn *i)
{
    unsigned regs = c->code64 ? 16 : 8;

    sse_check(c, i);
    for (unsigned n = 0; n < regs; n++) {
        if (insn_l256(i)) {
            c->xmm[n].q[0] = c->xmm[n].q[1] = 0;
        }
        c->xmm[n].q[2] = c->xmm[n].q[3] = 0;
    }
}

#define BROADCAST(name, size, f)                                                                   \
    static void op_##name(CpuState *c, const Insn *i)                                              \
    {                                                                                              \
        VecReg s, r;                                                                               \
                                                                                                   \
        sse_check(c, i);                                                                           \
        s = vec_rm(c, i, size);                                                                    \
        for (unsigned k = 0; k < vec_bytes(i) / size; k++) {                                       \
            r.f[k] = s.f[0];                                                                       \
        }                                                                                          \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
BROADCAST(broadcastb, 1, b)
BROADCAST(broadcastw, 2, w)
BROADCAST(broadcastd, 4, d)
BROADCAST(broadcastq, 8, q)

static void op_broadcast128(CpuState *c, const Insn *i)
{
    VecReg s;

    sse_check(c, i);
    s = vec_rm(c, i, 16);
    s.q[2] = s.q[0];
    s.q[3] = s.q[1];
    vec_put(c, i, i->reg, &s);
}

static void op_insert128(CpuState *c, const Insn *i)
{
    VecReg s, r;

    sse_check(c, i);
    s = vec_rm(c, i, 16);
    r = vec_src1(c, i);
    memcpy(&r.q[i->imm & 1 ? 2 : 0], s.q, 16);
    vec_put(c, i, i->reg, &r);
}

static void op_extract128(CpuState *c, const Insn *i)
{
    VecReg r = { 0 };

    sse_check(c, i);
    memcpy(r.q, &c->xmm[i->reg].q[i->imm & 1 ? 2 : 0], 16);
    if (insn_mem(i)) {
        st_bytes(c, i->seg, insn_ea(c, i), &r, 16);
    } else {
        c->xmm[i->rm] = r;
    }
}

/* VPERM2F128: each half is one of four halves, or zero. */
static void op_perm2x128(CpuState *c, const Insn *i)
{
    VecReg a, b, r = { 0 };

    sse_check(c, i);
    b = vec_rm(c, i, 32);
    a = vec_src1(c, i);
    for (unsigned k = 0; k < 2; k++) {
        unsigned sel = (unsigned)(i->imm >> 4 * k) & 15;

        if (!(sel & 8)) {
            memcpy(&r.q[2 * k], &(sel & 2 ? &b : &a)->q[sel & 1 ? 2 : 0], 16);
        }
    }
    vec_put(c, i, i->reg, &r);
}

/* ---- permutes ---- */

/* VPERMILPS/PD by a vector (from @by) or an immediate: within 128-bit lanes. */
static void op_permilps(CpuState *c, const Insn *i)
{
    VecReg a, by, r;

    sse_check(c, i);
    by = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned k = 0; k < vec_bytes(i) / 4; k++) {
        r.d[k] = a.d[(k & 4) + (by.d[k] & 3)];
    }
    vec_put(c, i, i->reg, &r);
}
static void op_permilpd(CpuState *c, const Insn *i)
{
    VecReg a, by, r;

    sse_check(c, i);
    by = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned k = 0; k < vec_bytes(i) / 8; k++) {
        r.q[k] = a.q[(k & 2) + (by.q[k] >> 1 & 1)];
    }
    vec_put(c, i, i->reg, &r);
}
static void op_permilpd_imm(CpuState *c, const Insn *i)
{
    VecReg a, r;

    sse_check(c, i);
    a = vec_rm(c, i, vec_bytes(i));
    for (unsigned k = 0; k < vec_bytes(i) / 8; k++) {
        r.q[k] = a.q[(k & 2) + (i->imm >> k & 1)];
    }
    vec_put(c, i, i->reg, &r);
}

static void op_permd(CpuState *c, const Insn *i) /* VPERMPS too */
{
    VecReg s, by, r;

    sse_check(c, i);
    s = vec_rm(c, i, 32);
    by = vec_src1(c, i);
    for (unsigned k = 0; k < 8; k++) {
        r.d[k] = s.d[by.d[k] & 7];
    }
    vec_put(c, i, i->reg, &r);
}
static void op_permq(CpuState *c, const Insn *i) /* VPERMPD too */
{
    VecReg s, r;

    sse_check(c, i);
    s = vec_rm(c, i, 32);
    for (unsigned k = 0; k < 4; k++) {
        r.q[k] = s.q[i->imm >> 2 * k & 3];
    }
    vec_put(c, i, i->reg, &r);
}

/* ---- variable shifts ---- */

#define SHIFTV(name, T, f, expr, over)                                                             \
    static void op_##name(CpuState *c, const Insn *i)                                              \
    {                                                                                              \
        VecReg a, by, r;                                                                           \
                                                                                                   \
        sse_check(c, i);                                                                           \
        by = vec_rm(c, i, vec_bytes(i));                                                           \
        a = vec_src1(c, i);                                                                        \
        for (unsigned k = 0; k < vec_bytes(i) / sizeof(T); k++) {                                  \
            T x = (T)a.f[k];                                                                       \
                                                                                                   \
            r.f[k] = (__typeof__(r.f[k]))(by.f[k] < 8 * sizeof(T) ? (expr) : (over));              \
        }                                                                                          \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
SHIFTV(psllvd, uint32_t, d, x << by.d[k], 0)
SHIFTV(psllvq, uint64_t, q, x << by.q[k], 0)
SHIFTV(psrlvd, uint32_t, d, x >> by.d[k], 0)
SHIFTV(psrlvq, uint64_t, q, x >> by.q[k], 0)
SHIFTV(psravd, int32_t, d, x >> by.d[k], x >> 31)

/* ---- tests ---- */

static void vtest(CpuState *c, const Insn *i, uint64_t signs)
{
    uint64_t both = 0, only = 0;
    VecReg b;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    for (unsigned k = 0; k < vec_bytes(i) / 8; k++) {
        both |= b.q[k] & c->xmm[i->reg].q[k] & signs;
        only |= b.q[k] & ~c->xmm[i->reg].q[k] & signs;
    }
    flags_set(c, (both ? 0 : FLAG_ZF) | (only ? 0 : FLAG_CF));
}
static void op_vtestps(CpuState *c, const Insn *i)
{
    vtest(c, i, 0x8000000080000000);
}
static void op_vtestpd(CpuState *c, const Insn *i)
{
    vtest(c, i, 0x8000000000000000);
}

/* ---- masked loads and stores ---- */

static vaddr wrap(const Insn *i, vaddr ea)
{
    return i->asize == 8 ? ea : i->asize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

static bool lane_on(const VecReg *mask, unsigned size, unsigned k)
{
    return mask->b[size * k + size - 1] & 0x80;
}

static void mask_load(CpuState *c, const Insn *i, unsigned size)
{
    vaddr ea = insn_ea(c, i);
    VecReg r = { 0 };

    sse_check(c, i);
    for (unsigned k = 0; k < vec_bytes(i) / size; k++) {
        if (lane_on(&c->xmm[i->vvvv], size, k)) {
            ld_bytes(c, i->seg, wrap(i, ea + k * size), r.b + k * size, size);
        }
    }
    vec_put(c, i, i->reg, &r);
}

static void mask_store(CpuState *c, const Insn *i, unsigned size)
{
    vaddr ea = insn_ea(c, i);

    sse_check(c, i);
    for (unsigned pass = 0; pass < 2; pass++) { /* all lanes are checked before one is stored */
        for (unsigned k = 0; k < vec_bytes(i) / size; k++) {
            vaddr at = wrap(i, ea + k * size);

            if (!lane_on(&c->xmm[i->vvvv], size, k)) {
                continue;
            }
            if (pass == 0) {
                mem_probe_write(c, i->seg, at, size);
            } else {
                st_bytes(c, i->seg, at, c->xmm[i->reg].b + k * size, size);
            }
        }
    }
}
static void op_maskload_d(CpuState *c, const Insn *i)
{
    mask_load(c, i, 4);
}
static void op_maskload_q(CpuState *c, const Insn *i)
{
    mask_load(c, i, 8);
}
static void op_maskstore_d(CpuState *c, const Insn *i)
{
    mask_store(c, i, 4);
}
static void op_maskstore_q(CpuState *c, const Insn *i)
{
    mask_store(c, i, 8);
}

/* ---- gathers ---- */

/* Elements are loaded from the lowest up; each done one clears its mask element, so a fault leaves
 * what was done ("the instruction can be restarted"). */
static void gather(CpuState *c, const Insn *i, unsigned index_size, unsigned size)
{
    unsigned wide = index_size > size ? index_size : size, n = vec_bytes(i) / wide;
    VecReg *dst = &c->xmm[i->reg], *mask = &c->xmm[i->vvvv], index = c->xmm[i->index];

    sse_check(c, i);
    if (i->reg == i->vvvv || i->reg == i->index || i->vvvv == i->index) {
        cpu_ud(c);
    }
    for (unsigned k = 0; k < n; k++) {
        int64_t by = index_size == 8 ? (int64_t)index.q[k] : (int32_t)index.d[k];
        vaddr ea = c->regs[i->base] + ((uint64_t)by << i->scale) + (uint64_t)(int64_t)i->disp;

        if (lane_on(mask, size, k)) {
            uint64_t v = 0;

            ld_bytes(c, i->seg, wrap(i, ea), &v, size);
            memcpy(dst->b + k * size, &v, size);
        }
        memset(mask->b + k * size, 0, size);
    }
    memset(dst->b + n * size, 0, 32 - n * size);
    memset(mask, 0, 32);
}
static void op_gather_dd(CpuState *c, const Insn *i)
{
    gather(c, i, 4, 4);
}
static void op_gather_dq(CpuState *c, const Insn *i)
{
    gather(c, i, 4, 8);
}
static void op_gather_qd(CpuState *c, const Insn *i)
{
    gather(c, i, 8, 4);
}
static void op_gather_qq(CpuState *c, const Insn *i)
{
    gather(c, i, 8, 8);
}

/* ---- half precision ---- */

static void op_vcvtph2ps(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg s, r;

    sse_check(c, i);
    s = vec_rm(c, i, vec_bytes(i) / 2);
    for (unsigned k = 0; k < vec_bytes(i) / 4; k++) {
        r.d[k] = f16_to_f32(&e, s.w[k]);
    }
    vec_fp_done(c, &e);
    vec_put(c, i, i->reg, &r);
}

static void op_vcvtps2ph(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg r = { 0 };

    sse_check(c, i);
    e.rc = i->imm & 4 ? e.rc : i->imm & 3;
    for (unsigned k = 0; k < vec_bytes(i) / 4; k++) {
        r.w[k] = f32_to_f16(&e, c->xmm[i->reg].d[k]);
    }
    if (insn_mem(i)) {
        mem_probe_write(c, i->seg, insn_ea(c, i), vec_bytes(i) / 2);
    }
    vec_fp_done(c, &e);
    if (insn_mem(i)) {
        st_bytes(c, i->seg, insn_ea(c, i), &r, vec_bytes(i) / 2);
    } else {
        c->xmm[i->rm] = r;
    }
}

/* ---- the table ---- */

#define V(map, op, prefix, feat, flags, name, operands, fn)                                        \
    { map, op, prefix, EXT_ANY, EXT_ANY, FEAT_##feat, OP_FPU | OP_VEX | (flags), name, operands,   \
      X1(fn) }
/* 128 bits by AVX, 256 bits by AVX2. */
#define V12(map, op, prefix, flags, name, operands, fn)                                            \
    V(map, op, prefix, AVX, OP_L0 | (flags), name, operands, fn),                                  \
        V(map, op, prefix, AVX2, OP_L1 | (flags), name, operands, fn)
#define VEXT(op, ext, name, fn)                                                                    \
    { MAP_0F, op, P_66, ext, EXT_ANY, FEAT_AVX, OP_FPU | OP_VEX | OP_L0 | OP_REG, name, "Hx,Ux,Ib",\
      X1(fn) },                                                                                    \
    { MAP_0F, op, P_66, ext, EXT_ANY, FEAT_AVX2, OP_FPU | OP_VEX | OP_L1 | OP_REG, name,           \
      "Hx,Ux,Ib", X1(fn) }
#define VEC2(name, map, op, sse) V12(map, op, P_66, 0, "v" #name, "Vx,Hx,Wx", op_##name),
#define VEC2M(name, map, op, mmx, sse) VEC2(name, map, op, sse)
#define VEC1M(name, map, op) V12(map, op, P_66, OP_NOVVVV, "v" #name, "Vx,Wx", op_##name),
#define VSHIFT(name, op, imm_op, ext)                                                              \
    V12(MAP_0F, op, P_66, 0, "v" #name, "Vx,Hx,Wdq", op_##name),                                   \
        VEXT(imm_op, ext, "v" #name, op_##name##_imm),
/* Arithmetic in four shapes; PS and PD alike; moves without a first source. */
#define V4(op, name)                                                                               \
    V(MAP_0F, op, P_NONE, AVX, 0, "v" #name "ps", "Vx,Hx,Wx", op_##name##ps),                      \
        V(MAP_0F, op, P_66, AVX, 0, "v" #name "pd", "Vx,Hx,Wx", op_##name##pd),                    \
        V(MAP_0F, op, P_F3, AVX, 0, "v" #name "ss", "Vss,Hss,Wss", op_##name##ss),                 \
        V(MAP_0F, op, P_F2, AVX, 0, "v" #name "sd", "Vsd,Hsd,Wsd", op_##name##sd)
#define V2(op, name, flags, operands, fn)                                                          \
    V(MAP_0F, op, P_NONE, AVX, flags, name "ps", operands, fn),                                    \
        V(MAP_0F, op, P_66, AVX, flags, name "pd", operands, fn)
#define VMOV(prefix, op, flags, name, operands, fn)                                                \
    V(MAP_0F, op, prefix, AVX, OP_NOVVVV | (flags), name, operands, fn)
#define PMOVX(op, name, operands)                                                                  \
    V12(MAP_0F38, op, P_66, OP_NOVVVV, "v" #name, operands, op_##name)
#define FMA(op, name)                                                                              \
    V(MAP_0F38, op, P_66, FMA, OP_W0, name "ps", "Vx,Hx,Wx", op_fma_packed),                       \
        V(MAP_0F38, op, P_66, FMA, OP_W1, name "pd", "Vx,Hx,Wx", op_fma_packed)
#define FMAS(op, name)                                                                             \
    V(MAP_0F38, op, P_66, FMA, OP_W0, name "ss", "Vss,Hss,Wss", op_fma_scalar),                    \
        V(MAP_0F38, op, P_66, FMA, OP_W1, name "sd", "Vsd,Hsd,Wsd", op_fma_scalar)
#define FMA_SET(hi, order)                                                                         \
    FMA(hi + 0x6, "vfmaddsub" order), FMA(hi + 0x7, "vfmsubadd" order),                            \
        FMA(hi + 0x8, "vfmadd" order), FMAS(hi + 0x9, "vfmadd" order),                             \
        FMA(hi + 0xa, "vfmsub" order), FMAS(hi + 0xb, "vfmsub" order),                             \
        FMA(hi + 0xc, "vfnmadd" order), FMAS(hi + 0xd, "vfnmadd" order),                           \
        FMA(hi + 0xe, "vfnmsub" order), FMAS(hi + 0xf, "vfnmsub" order)

const OpRow op_rows_avx[] = {
    /* clang-format off */
#include "cpu/vec-int.inc"
    V2(0x10, "vmovu", OP_NOVVVV, "Vx,Wx", op_vload),
    V2(0x11, "vmovu", OP_NOVVVV, "Wx,Vx", op_vstore),
    VMOV(P_F3, 0x10, OP_MEM, "vmovss", "Vss,Wss", op_movss_load),
    V(MAP_0F, 0x10, P_F3, AVX, OP_REG, "vmovss", "Vss,Hss,Wss", op_movss_reg),
    VMOV(P_F3, 0x11, OP_MEM, "vmovss", "Wss,Vss", op_movss_store),
    V(MAP_0F, 0x11, P_F3, AVX, OP_REG, "vmovss", "Wss,Hss,Vss", op_movss_reg_rev),
    VMOV(P_F2, 0x10, OP_MEM, "vmovsd", "Vsd,Wsd", op_movsd_load),
    V(MAP_0F, 0x10, P_F2, AVX, OP_REG, "vmovsd", "Vsd,Hsd,Wsd", op_movsd_reg),
    VMOV(P_F2, 0x11, OP_MEM, "vmovsd", "Wsd,Vsd", op_movsd_store),
    V(MAP_0F, 0x11, P_F2, AVX, OP_REG, "vmovsd", "Wsd,Hsd,Vsd", op_movsd_reg_rev),
    V2(0x12, "vmovl", OP_MEM | OP_L0, "Vq,Hq,Mq", op_movlps_load),
    V(MAP_0F, 0x12, P_NONE, AVX, OP_REG | OP_L0, "vmovhlps", "Vdq,Hdq,Udq", op_movhlps),
    VMOV(P_F3, 0x12, 0, "vmovsldup", "Vx,Wx", op_movsldup),
    VMOV(P_F2, 0x12, 0, "vmovddup", "Vx,Wx", op_movddup),
    V2(0x13, "vmovl", OP_MEM | OP_L0 | OP_NOVVVV, "Mq,Vq", op_movlps_store),
    V(MAP_0F, 0x14, P_NONE, AVX, 0, "vunpcklps", "Vx,Hx,Wx", op_punpckldq),
    V(MAP_0F, 0x14, P_66, AVX, 0, "vunpcklpd", "Vx,Hx,Wx", op_punpcklqdq),
    V(MAP_0F, 0x15, P_NONE, AVX, 0, "vunpckhps", "Vx,Hx,Wx", op_punpckhdq),
    V(MAP_0F, 0x15, P_66, AVX, 0, "vunpckhpd", "Vx,Hx,Wx", op_punpckhqdq),
    V2(0x16, "vmovh", OP_MEM | OP_L0, "Vq,Hq,Mq", op_movhps_load),
    V(MAP_0F, 0x16, P_NONE, AVX, OP_REG | OP_L0, "vmovlhps", "Vdq,Hdq,Udq", op_movhps_load),
    VMOV(P_F3, 0x16, 0, "vmovshdup", "Vx,Wx", op_movshdup),
    V2(0x17, "vmovh", OP_MEM | OP_L0 | OP_NOVVVV, "Mq,Vq", op_movhps_store),
    V2(0x28, "vmova", OP_NOVVVV, "Vx,Wx", op_vload_aligned),
    V2(0x29, "vmova", OP_NOVVVV, "Wx,Vx", op_vstore_aligned),
    V(MAP_0F, 0x2a, P_F3, AVX, 0, "vcvtsi2ss", "Vss,Hss,Ey", op_cvtsi2ss),
    V(MAP_0F, 0x2a, P_F2, AVX, 0, "vcvtsi2sd", "Vsd,Hsd,Ey", op_cvtsi2sd),
    V2(0x2b, "vmovnt", OP_MEM | OP_NOVVVV, "Mx,Vx", op_vstore_aligned),
    VMOV(P_F3, 0x2c, 0, "vcvttss2si", "Gy,Wss", op_cvttss2si),
    VMOV(P_F2, 0x2c, 0, "vcvttsd2si", "Gy,Wsd", op_cvttsd2si),
    VMOV(P_F3, 0x2d, 0, "vcvtss2si", "Gy,Wss", op_cvtss2si),
    VMOV(P_F2, 0x2d, 0, "vcvtsd2si", "Gy,Wsd", op_cvtsd2si),
    VMOV(P_NONE, 0x2e, 0, "vucomiss", "Vss,Wss", op_ucomiss),
    VMOV(P_66, 0x2e, 0, "vucomisd", "Vsd,Wsd", op_ucomisd),
    VMOV(P_NONE, 0x2f, 0, "vcomiss", "Vss,Wss", op_comiss),
    VMOV(P_66, 0x2f, 0, "vcomisd", "Vsd,Wsd", op_comisd),
    VMOV(P_NONE, 0x50, OP_REG, "vmovmskps", "Gd,Ups", op_movmskps),
    VMOV(P_66, 0x50, OP_REG, "vmovmskpd", "Gd,Upd", op_movmskpd),
    VMOV(P_NONE, 0x51, 0, "vsqrtps", "Vx,Wx", op_sqrtps),
    VMOV(P_66, 0x51, 0, "vsqrtpd", "Vx,Wx", op_sqrtpd),
    V(MAP_0F, 0x51, P_F3, AVX, 0, "vsqrtss", "Vss,Hss,Wss", op_sqrtss),
    V(MAP_0F, 0x51, P_F2, AVX, 0, "vsqrtsd", "Vsd,Hsd,Wsd", op_sqrtsd),
    VMOV(P_NONE, 0x52, 0, "vrsqrtps", "Vx,Wx", op_rsqrtps),
    V(MAP_0F, 0x52, P_F3, AVX, 0, "vrsqrtss", "Vss,Hss,Wss", op_rsqrtss),
    VMOV(P_NONE, 0x53, 0, "vrcpps", "Vx,Wx", op_rcpps),
    V(MAP_0F, 0x53, P_F3, AVX, 0, "vrcpss", "Vss,Hss,Wss", op_rcpss),
    V2(0x54, "vand", 0, "Vx,Hx,Wx", op_pand),
    V2(0x55, "vandn", 0, "Vx,Hx,Wx", op_pandn),
    V2(0x56, "vor", 0, "Vx,Hx,Wx", op_por),
    V2(0x57, "vxor", 0, "Vx,Hx,Wx", op_pxor),
    V4(0x58, add),
    V4(0x59, mul),
    VMOV(P_NONE, 0x5a, 0, "vcvtps2pd", "Vx,Wx", op_cvtps2pd),
    VMOV(P_66, 0x5a, 0, "vcvtpd2ps", "Vdq,Wx", op_cvtpd2ps),
    V(MAP_0F, 0x5a, P_F3, AVX, 0, "vcvtss2sd", "Vsd,Hsd,Wss", op_cvtss2sd),
    V(MAP_0F, 0x5a, P_F2, AVX, 0, "vcvtsd2ss", "Vss,Hss,Wsd", op_cvtsd2ss),
    VMOV(P_NONE, 0x5b, 0, "vcvtdq2ps", "Vx,Wx", op_cvtdq2ps),
    VMOV(P_66, 0x5b, 0, "vcvtps2dq", "Vx,Wx", op_cvtps2dq),
    VMOV(P_F3, 0x5b, 0, "vcvttps2dq", "Vx,Wx", op_cvttps2dq),
    V4(0x5c, sub),
    V4(0x5d, min),
    V4(0x5e, div),
    V4(0x5f, max),
    VMOV(P_66, 0x6e, OP_L0, "vmovd", "Vy,Ey", op_movd_load),
    VMOV(P_66, 0x7e, OP_L0, "vmovd", "Ey,Vy", op_movd_store),
    VMOV(P_F3, 0x7e, OP_L0, "vmovq", "Vq,Wq", op_movq_load),
    VMOV(P_66, 0xd6, OP_L0, "vmovq", "Wq,Vq", op_movq_store),
    VMOV(P_66, 0x6f, 0, "vmovdqa", "Vx,Wx", op_vload_aligned),
    VMOV(P_F3, 0x6f, 0, "vmovdqu", "Vx,Wx", op_vload),
    VMOV(P_66, 0x7f, 0, "vmovdqa", "Wx,Vx", op_vstore_aligned),
    VMOV(P_F3, 0x7f, 0, "vmovdqu", "Wx,Vx", op_vstore),
    V12(MAP_0F, 0x70, P_66, OP_NOVVVV, "vpshufd", "Vx,Wx,Ib", op_pshufd),
    V12(MAP_0F, 0x70, P_F3, OP_NOVVVV, "vpshufhw", "Vx,Wx,Ib", op_pshufhw),
    V12(MAP_0F, 0x70, P_F2, OP_NOVVVV, "vpshuflw", "Vx,Wx,Ib", op_pshuflw),
    VEXT(0x73, 3, "vpsrldq", op_psrldq),
    VEXT(0x73, 7, "vpslldq", op_pslldq),
    VMOV(P_NONE, 0x77, OP_L0, "vzeroupper", "", op_vzero),
    VMOV(P_NONE, 0x77, OP_L1, "vzeroall", "", op_vzero),
    V(MAP_0F, 0x7c, P_66, AVX, 0, "vhaddpd", "Vx,Hx,Wx", op_haddpd),
    V(MAP_0F, 0x7c, P_F2, AVX, 0, "vhaddps", "Vx,Hx,Wx", op_haddps),
    V(MAP_0F, 0x7d, P_66, AVX, 0, "vhsubpd", "Vx,Hx,Wx", op_hsubpd),
    V(MAP_0F, 0x7d, P_F2, AVX, 0, "vhsubps", "Vx,Hx,Wx", op_hsubps),
    { MAP_0F, 0xae, P_NONE, 2, EXT_ANY, FEAT_AVX, OP_FPU | OP_VEX | OP_MEM | OP_L0 | OP_NOVVVV, "vldmxcsr", "Md", X1(op_ldmxcsr) },
    { MAP_0F, 0xae, P_NONE, 3, EXT_ANY, FEAT_AVX, OP_FPU | OP_VEX | OP_MEM | OP_L0 | OP_NOVVVV, "vstmxcsr", "Md", X1(op_stmxcsr) },
    V(MAP_0F, 0xc2, P_NONE, AVX, 0, "vcmpps", "Vx,Hx,Wx,Ib", op_cmpps),
    V(MAP_0F, 0xc2, P_66, AVX, 0, "vcmppd", "Vx,Hx,Wx,Ib", op_cmppd),
    V(MAP_0F, 0xc2, P_F3, AVX, 0, "vcmpss", "Vss,Hss,Wss,Ib", op_cmpss),
    V(MAP_0F, 0xc2, P_F2, AVX, 0, "vcmpsd", "Vsd,Hsd,Wsd,Ib", op_cmpsd),
    V(MAP_0F, 0xc4, P_66, AVX, OP_L0, "vpinsrw", "Vdq,Hdq,Ed,Ib", op_pinsrw),
    VMOV(P_66, 0xc5, OP_L0 | OP_REG, "vpextrw", "Gd,Udq,Ib", op_pextrw_reg),
    V(MAP_0F, 0xc6, P_NONE, AVX, 0, "vshufps", "Vx,Hx,Wx,Ib", op_shufps),
    V(MAP_0F, 0xc6, P_66, AVX, 0, "vshufpd", "Vx,Hx,Wx,Ib", op_shufpd),
    V(MAP_0F, 0xd0, P_66, AVX, 0, "vaddsubpd", "Vx,Hx,Wx", op_addsubpd),
    V(MAP_0F, 0xd0, P_F2, AVX, 0, "vaddsubps", "Vx,Hx,Wx", op_addsubps),
    V12(MAP_0F, 0xd7, P_66, OP_NOVVVV | OP_REG, "vpmovmskb", "Gd,Ux", op_pmovmskb),
    VMOV(P_F3, 0xe6, 0, "vcvtdq2pd", "Vx,Wx", op_cvtdq2pd),
    VMOV(P_F2, 0xe6, 0, "vcvtpd2dq", "Vdq,Wx", op_cvtpd2dq),
    VMOV(P_66, 0xe6, 0, "vcvttpd2dq", "Vdq,Wx", op_cvttpd2dq),
    VMOV(P_66, 0xe7, OP_MEM, "vmovntdq", "Mx,Vx", op_vstore_aligned),
    VMOV(P_F2, 0xf0, OP_MEM, "vlddqu", "Vx,Mx", op_vload),
    VMOV(P_66, 0xf7, OP_L0 | OP_REG, "vmaskmovdqu", "Vdq,Udq", op_maskmovdqu),

    V(MAP_0F38, 0x0c, P_66, AVX, OP_W0, "vpermilps", "Vx,Hx,Wx", op_permilps),
    V(MAP_0F38, 0x0d, P_66, AVX, OP_W0, "vpermilpd", "Vx,Hx,Wx", op_permilpd),
    V(MAP_0F38, 0x0e, P_66, AVX, OP_W0 | OP_NOVVVV, "vtestps", "Vx,Wx", op_vtestps),
    V(MAP_0F38, 0x0f, P_66, AVX, OP_W0 | OP_NOVVVV, "vtestpd", "Vx,Wx", op_vtestpd),
    V(MAP_0F38, 0x13, P_66, F16C, OP_W0 | OP_NOVVVV, "vcvtph2ps", "Vx,Wx", op_vcvtph2ps),
    V(MAP_0F38, 0x16, P_66, AVX2, OP_W0 | OP_L1, "vpermps", "Vx,Hx,Wx", op_permd),
    V(MAP_0F38, 0x17, P_66, AVX, OP_NOVVVV, "vptest", "Vx,Wx", op_ptest),
    V(MAP_0F38, 0x18, P_66, AVX, OP_W0 | OP_NOVVVV | OP_MEM, "vbroadcastss", "Vx,Wd", op_broadcastd),
    V(MAP_0F38, 0x18, P_66, AVX2, OP_W0 | OP_NOVVVV | OP_REG, "vbroadcastss", "Vx,Wd", op_broadcastd),
    V(MAP_0F38, 0x19, P_66, AVX, OP_W0 | OP_NOVVVV | OP_MEM | OP_L1, "vbroadcastsd", "Vx,Wq", op_broadcastq),
    V(MAP_0F38, 0x19, P_66, AVX2, OP_W0 | OP_NOVVVV | OP_REG | OP_L1, "vbroadcastsd", "Vx,Wq", op_broadcastq),
    V(MAP_0F38, 0x1a, P_66, AVX, OP_W0 | OP_NOVVVV | OP_MEM | OP_L1, "vbroadcastf128", "Vx,Mdq", op_broadcast128),
    PMOVX(0x20, pmovsxbw, "Vx,Wx"),
    PMOVX(0x21, pmovsxbd, "Vx,Wx"),
    PMOVX(0x22, pmovsxbq, "Vx,Wx"),
    PMOVX(0x23, pmovsxwd, "Vx,Wx"),
    PMOVX(0x24, pmovsxwq, "Vx,Wx"),
    PMOVX(0x25, pmovsxdq, "Vx,Wx"),
    V12(MAP_0F38, 0x2a, P_66, OP_NOVVVV | OP_MEM, "vmovntdqa", "Vx,Mx", op_vload_aligned),
    V(MAP_0F38, 0x2c, P_66, AVX, OP_W0 | OP_MEM, "vmaskmovps", "Vx,Hx,Mx", op_maskload_d),
    V(MAP_0F38, 0x2d, P_66, AVX, OP_W0 | OP_MEM, "vmaskmovpd", "Vx,Hx,Mx", op_maskload_q),
    V(MAP_0F38, 0x2e, P_66, AVX, OP_W0 | OP_MEM, "vmaskmovps", "Mx,Hx,Vx", op_maskstore_d),
    V(MAP_0F38, 0x2f, P_66, AVX, OP_W0 | OP_MEM, "vmaskmovpd", "Mx,Hx,Vx", op_maskstore_q),
    PMOVX(0x30, pmovzxbw, "Vx,Wx"),
    PMOVX(0x31, pmovzxbd, "Vx,Wx"),
    PMOVX(0x32, pmovzxbq, "Vx,Wx"),
    PMOVX(0x33, pmovzxwd, "Vx,Wx"),
    PMOVX(0x34, pmovzxwq, "Vx,Wx"),
    PMOVX(0x35, pmovzxdq, "Vx,Wx"),
    V(MAP_0F38, 0x36, P_66, AVX2, OP_W0 | OP_L1, "vpermd", "Vx,Hx,Wx", op_permd),
    V(MAP_0F38, 0x41, P_66, AVX, OP_L0 | OP_NOVVVV, "vphminposuw", "Vdq,Wdq", op_phminposuw),
    V(MAP_0F38, 0x45, P_66, AVX2, OP_W0, "vpsrlvd", "Vx,Hx,Wx", op_psrlvd),
    V(MAP_0F38, 0x45, P_66, AVX2, OP_W1, "vpsrlvq", "Vx,Hx,Wx", op_psrlvq),
    V(MAP_0F38, 0x46, P_66, AVX2, OP_W0, "vpsravd", "Vx,Hx,Wx", op_psravd),
    V(MAP_0F38, 0x47, P_66, AVX2, OP_W0, "vpsllvd", "Vx,Hx,Wx", op_psllvd),
    V(MAP_0F38, 0x47, P_66, AVX2, OP_W1, "vpsllvq", "Vx,Hx,Wx", op_psllvq),
    V(MAP_0F38, 0x58, P_66, AVX2, OP_W0 | OP_NOVVVV, "vpbroadcastd", "Vx,Wd", op_broadcastd),
    V(MAP_0F38, 0x59, P_66, AVX2, OP_W0 | OP_NOVVVV, "vpbroadcastq", "Vx,Wq", op_broadcastq),
    V(MAP_0F38, 0x5a, P_66, AVX2, OP_W0 | OP_NOVVVV | OP_MEM | OP_L1, "vbroadcasti128", "Vx,Mdq", op_broadcast128),
    V(MAP_0F38, 0x78, P_66, AVX2, OP_W0 | OP_NOVVVV, "vpbroadcastb", "Vx,Wb", op_broadcastb),
    V(MAP_0F38, 0x79, P_66, AVX2, OP_W0 | OP_NOVVVV, "vpbroadcastw", "Vx,Ww", op_broadcastw),
    V(MAP_0F38, 0x8c, P_66, AVX2, OP_W0 | OP_MEM, "vpmaskmovd", "Vx,Hx,Mx", op_maskload_d),
    V(MAP_0F38, 0x8c, P_66, AVX2, OP_W1 | OP_MEM, "vpmaskmovq", "Vx,Hx,Mx", op_maskload_q),
    V(MAP_0F38, 0x8e, P_66, AVX2, OP_W0 | OP_MEM, "vpmaskmovd", "Mx,Hx,Vx", op_maskstore_d),
    V(MAP_0F38, 0x8e, P_66, AVX2, OP_W1 | OP_MEM, "vpmaskmovq", "Mx,Hx,Vx", op_maskstore_q),
    V(MAP_0F38, 0x90, P_66, AVX2, OP_W0 | OP_MEM | OP_VSIB, "vpgatherdd", "Vx,Md,Hx", op_gather_dd),
    V(MAP_0F38, 0x90, P_66, AVX2, OP_W1 | OP_MEM | OP_VSIB, "vpgatherdq", "Vx,Mq,Hx", op_gather_dq),
    V(MAP_0F38, 0x91, P_66, AVX2, OP_W0 | OP_MEM | OP_VSIB, "vpgatherqd", "Vx,Md,Hx", op_gather_qd),
    V(MAP_0F38, 0x91, P_66, AVX2, OP_W1 | OP_MEM | OP_VSIB, "vpgatherqq", "Vx,Mq,Hx", op_gather_qq),
    V(MAP_0F38, 0x92, P_66, AVX2, OP_W0 | OP_MEM | OP_VSIB, "vgatherdps", "Vx,Md,Hx", op_gather_dd),
    V(MAP_0F38, 0x92, P_66, AVX2, OP_W1 | OP_MEM | OP_VSIB, "vgatherdpd", "Vx,Mq,Hx", op_gather_dq),
    V(MAP_0F38, 0x93, P_66, AVX2, OP_W0 | OP_MEM | OP_VSIB, "vgatherqps", "Vx,Md,Hx", op_gather_qd),
    V(MAP_0F38, 0x93, P_66, AVX2, OP_W1 | OP_MEM | OP_VSIB, "vgatherqpd", "Vx,Mq,Hx", op_gather_qq),
    FMA_SET(0x90, "132"),
    FMA_SET(0xa0, "213"),
    FMA_SET(0xb0, "231"),

    V(MAP_0F3A, 0x00, P_66, AVX2, OP_W1 | OP_L1 | OP_NOVVVV, "vpermq", "Vx,Wx,Ib", op_permq),
    V(MAP_0F3A, 0x01, P_66, AVX2, OP_W1 | OP_L1 | OP_NOVVVV, "vpermpd", "Vx,Wx,Ib", op_permq),
    V(MAP_0F3A, 0x02, P_66, AVX2, OP_W0, "vpblendd", "Vx,Hx,Wx,Ib", op_blendps),
    V(MAP_0F3A, 0x04, P_66, AVX, OP_W0 | OP_NOVVVV, "vpermilps", "Vx,Wx,Ib", op_pshufd),
    V(MAP_0F3A, 0x05, P_66, AVX, OP_W0 | OP_NOVVVV, "vpermilpd", "Vx,Wx,Ib", op_permilpd_imm),
    V(MAP_0F3A, 0x06, P_66, AVX, OP_W0 | OP_L1, "vperm2f128", "Vx,Hx,Wx,Ib", op_perm2x128),
    V(MAP_0F3A, 0x08, P_66, AVX, OP_NOVVVV, "vroundps", "Vx,Wx,Ib", op_roundps),
    V(MAP_0F3A, 0x09, P_66, AVX, OP_NOVVVV, "vroundpd", "Vx,Wx,Ib", op_roundpd),
    V(MAP_0F3A, 0x0a, P_66, AVX, 0, "vroundss", "Vss,Hss,Wss,Ib", op_roundss),
    V(MAP_0F3A, 0x0b, P_66, AVX, 0, "vroundsd", "Vsd,Hsd,Wsd,Ib", op_roundsd),
    V(MAP_0F3A, 0x0c, P_66, AVX, 0, "vblendps", "Vx,Hx,Wx,Ib", op_blendps),
    V(MAP_0F3A, 0x0d, P_66, AVX, 0, "vblendpd", "Vx,Hx,Wx,Ib", op_blendpd),
    V12(MAP_0F3A, 0x0e, P_66, 0, "vpblendw", "Vx,Hx,Wx,Ib", op_pblendw),
    V12(MAP_0F3A, 0x0f, P_66, 0, "vpalignr", "Vx,Hx,Wx,Ib", op_palignr),
    V(MAP_0F3A, 0x14, P_66, AVX, OP_L0 | OP_NOVVVV, "vpextrb", "Ed,Vdq,Ib", op_pextrb),
    V(MAP_0F3A, 0x15, P_66, AVX, OP_L0 | OP_NOVVVV, "vpextrw", "Ed,Vdq,Ib", op_pextrw),
    V(MAP_0F3A, 0x16, P_66, AVX, OP_L0 | OP_NOVVVV, "vpextrd", "Ey,Vdq,Ib", op_pextrd),
    V(MAP_0F3A, 0x17, P_66, AVX, OP_L0 | OP_NOVVVV, "vextractps", "Ed,Vps,Ib", op_extractps),
    V(MAP_0F3A, 0x18, P_66, AVX, OP_W0 | OP_L1, "vinsertf128", "Vx,Hx,Wdq,Ib", op_insert128),
    V(MAP_0F3A, 0x19, P_66, AVX, OP_W0 | OP_L1 | OP_NOVVVV, "vextractf128", "Wdq,Vx,Ib", op_extract128),
    V(MAP_0F3A, 0x1d, P_66, F16C, OP_W0 | OP_NOVVVV, "vcvtps2ph", "Wx,Vx,Ib", op_vcvtps2ph),
    V(MAP_0F3A, 0x20, P_66, AVX, OP_L0, "vpinsrb", "Vdq,Hdq,Ed,Ib", op_pinsrb),
    V(MAP_0F3A, 0x21, P_66, AVX, OP_L0, "vinsertps", "Vdq,Hdq,Wd,Ib", op_insertps),
    V(MAP_0F3A, 0x22, P_66, AVX, OP_L0, "vpinsrd", "Vdq,Hdq,Ey,Ib", op_pinsrd),
    V(MAP_0F3A, 0x38, P_66, AVX2, OP_W0 | OP_L1, "vinserti128", "Vx,Hx,Wdq,Ib", op_insert128),
    V(MAP_0F3A, 0x39, P_66, AVX2, OP_W0 | OP_L1 | OP_NOVVVV, "vextracti128", "Wdq,Vx,Ib", op_extract128),
    V(MAP_0F3A, 0x40, P_66, AVX, 0, "vdpps", "Vx,Hx,Wx,Ib", op_dpps),
    V(MAP_0F3A, 0x41, P_66, AVX, OP_L0, "vdppd", "Vdq,Hdq,Wdq,Ib", op_dppd),
    V12(MAP_0F3A, 0x42, P_66, 0, "vmpsadbw", "Vx,Hx,Wx,Ib", op_mpsadbw),
    V(MAP_0F3A, 0x46, P_66, AVX2, OP_W0 | OP_L1, "vperm2i128", "Vx,Hx,Wx,Ib", op_perm2x128),
    V(MAP_0F3A, 0x4a, P_66, AVX, OP_W0, "vblendvps", "Vx,Hx,Wx,Lx", op_blendvps),
    V(MAP_0F3A, 0x4b, P_66, AVX, OP_W0, "vblendvpd", "Vx,Hx,Wx,Lx", op_blendvpd),
    V12(MAP_0F3A, 0x4c, P_66, OP_W0, "vpblendvb", "Vx,Hx,Wx,Lx", op_pblendvb),
    V(MAP_0F3A, 0x60, P_66, AVX, OP_L0 | OP_NOVVVV, "vpcmpestrm", "Vdq,Wdq,Ib", op_pcmpestrm),
    V(MAP_0F3A, 0x61, P_66, AVX, OP_L0 | OP_NOVVVV, "vpcmpestri", "Vdq,Wdq,Ib", op_pcmpestri),
    V(MAP_0F3A, 0x62, P_66, AVX, OP_L0 | OP_NOVVVV, "vpcmpistrm", "Vdq,Wdq,Ib", op_pcmpistrm),
    V(MAP_0F3A, 0x63, P_66, AVX, OP_L0 | OP_NOVVVV, "vpcmpistri", "Vdq,Wdq,Ib", op_pcmpistri),
    { 0 },
    /* clang-format on */
};
