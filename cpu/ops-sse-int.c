/*
 * SSE integer instructions of odd shapes: moves, shuffles, inserts, extracts, and the legacy table
 * (the regular ones are in cpu/vec-int.inc). PCMPxSTRx and CRC32 are in cpu/ops-sse-str.c.
 *
 * Source: Intel SDM vol. 2 under each instruction.
 */
#include "cpu/vec.h"
#include "cpu/flags.h"

/* ---- whole-register moves ---- */

static void load(CpuState *c, const Insn *i, bool align)
{
    unsigned n = vec_bytes(i);
    VecReg v;

    sse_check(c, i);
    if (insn_mem(i)) {
        vaddr ea = insn_ea(c, i);

        if (align) {
            check_aligned(c, i->seg, ea, n);
        }
        ld_bytes(c, i->seg, ea, &v, n);
    } else {
        v = c->xmm[i->rm];
    }
    vec_put(c, i, i->reg, &v);
}

static void store(CpuState *c, const Insn *i, bool align)
{
    unsigned n = vec_bytes(i);

    sse_check(c, i);
    if (insn_mem(i)) {
        vaddr ea = insn_ea(c, i);

        if (align) {
            check_aligned(c, i->seg, ea, n);
        }
        st_bytes(c, i->seg, ea, &c->xmm[i->reg], n);
    } else {
        VecReg v = c->xmm[i->reg];

        vec_put(c, i, i->rm, &v);
    }
}

void op_vload_aligned(CpuState *c, const Insn *i) /* MOVAPS, MOVDQA, MOVNTDQA */
{
    load(c, i, true);
}
void op_vload(CpuState *c, const Insn *i) /* MOVUPS, MOVDQU, LDDQU */
{
    load(c, i, false);
}
void op_vstore_aligned(CpuState *c, const Insn *i) /* MOVAPS, MOVDQA, MOVNTDQ, MOVNTPS */
{
    store(c, i, true);
}
void op_vstore(CpuState *c, const Insn *i)
{
    store(c, i, false);
}

/* ---- MOVD, MOVQ, MOVNTI ---- */

void op_movd_load(CpuState *c, const Insn *i)
{
    VecReg v = { 0 };

    sse_check(c, i);
    if (!insn_mem(i)) {
        v.q[0] = vec_wide(c, i) ? c->regs[i->rm] : (uint32_t)c->regs[i->rm];
    } else if (vec_wide(c, i)) {
        v.q[0] = ld_u64(c, i->seg, insn_ea(c, i));
    } else {
        v.q[0] = ld_u32(c, i->seg, insn_ea(c, i));
    }
    vec_put128(c, i, i->reg, &v);
}

void op_movd_store(CpuState *c, const Insn *i)
{
    uint64_t v = c->xmm[i->reg].q[0];

    sse_check(c, i);
    if (!insn_mem(i)) {
        c->regs[i->rm] = vec_wide(c, i) ? v : (uint32_t)v;
    } else if (vec_wide(c, i)) {
        st_u64(c, i->seg, insn_ea(c, i), v);
    } else {
        st_u32(c, i->seg, insn_ea(c, i), (uint32_t)v);
    }
}

void op_movq_load(CpuState *c, const Insn *i)
{
    VecReg v = { 0 };

    sse_check(c, i);
    v.q[0] = insn_mem(i) ? ld_u64(c, i->seg, insn_ea(c, i)) : c->xmm[i->rm].q[0];
    vec_put128(c, i, i->reg, &v);
}

void op_movq_store(CpuState *c, const Insn *i)
{
    VecReg v = { .q = { c->xmm[i->reg].q[0] } };

    sse_check(c, i);
    if (insn_mem(i)) {
        st_u64(c, i->seg, insn_ea(c, i), v.q[0]);
    } else {
        vec_put128(c, i, i->rm, &v);
    }
}

/* MOVNTI is a general-register instruction: no SSE state, so none of SSE's checks. */
void op_movnti(CpuState *c, const Insn *i)
{
    if (vec_wide(c, i)) {
        st_u64(c, i->seg, insn_ea(c, i), c->regs[i->reg]);
    } else {
        st_u32(c, i->seg, insn_ea(c, i), (uint32_t)c->regs[i->reg]);
    }
}

void op_maskmovdqu(CpuState *c, const Insn *i)
{
    const VecReg *v = &c->xmm[i->reg], *mask = &c->xmm[i->rm];
    vaddr di = c->regs[GPR_RDI];

    sse_check(c, i);
    for (unsigned pass = 0; pass < 2; pass++) { /* every byte is checked before one is written */
        for (unsigned k = 0; k < 16; k++) {
            vaddr at = di + k;

            at = i->asize == 8 ? at : i->asize == 4 ? (uint32_t)at : (uint16_t)at;
            if (!(mask->b[k] & 0x80)) {
                continue;
            }
            if (pass == 0) {
                mem_probe_write(c, i->seg, at, 1);
            } else {
                st_u8(c, i->seg, at, v->b[k]);
            }
        }
    }
}

/* ---- shuffles by an immediate ---- */

/* Four elements of field f a lane, chosen by imm8; `lane` elements a lane, from element `from`. */
#define SHUFFLE_IMM(name, f, lane, from)                                                           \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        VecReg s, r;                                                                               \
                                                                                                   \
        sse_check(c, i);                                                                           \
        s = vec_rm(c, i, vec_bytes(i));                                                            \
        r = s;                                                                                     \
        for (unsigned o = from; o < vec_bytes(i) / sizeof(s.f[0]); o += lane) {                    \
            for (unsigned k = 0; k < 4; k++) {                                                     \
                r.f[o + k] = s.f[o + (i->imm >> 2 * k & 3)];                                       \
            }                                                                                      \
        }                                                                                          \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
SHUFFLE_IMM(pshufd, d, 4, 0)
SHUFFLE_IMM(pshuflw, w, 8, 0)
SHUFFLE_IMM(pshufhw, w, 8, 4)

/* PSLLDQ and PSRLDQ; i->rm is the source, VEX.vvvv (or rm itself) the destination. */
static void byte_shift(CpuState *c, const Insn *i, bool left)
{
    unsigned by = (uint8_t)i->imm > 15 ? 16 : (uint8_t)i->imm;
    const VecReg *s = &c->xmm[i->rm];
    VecReg r = { 0 };

    sse_check(c, i);
    for (unsigned o = 0; o < vec_bytes(i); o += 16) {
        if (left) {
            memcpy(r.b + o + by, s->b + o, 16 - by);
        } else {
            memcpy(r.b + o, s->b + o + by, 16 - by);
        }
    }
    vec_put(c, i, insn_vex(i) ? i->vvvv : i->rm, &r);
}
void op_pslldq(CpuState *c, const Insn *i)
{
    byte_shift(c, i, true);
}
void op_psrldq(CpuState *c, const Insn *i)
{
    byte_shift(c, i, false);
}

void op_palignr(CpuState *c, const Insn *i)
{
    unsigned by = (uint8_t)i->imm;
    VecReg a, b, r = { 0 };

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned o = 0; o < vec_bytes(i); o += 16) {
        for (unsigned k = 0; k < 16; k++) {
            unsigned from = k + by;

            r.b[o + k] = from < 16 ? b.b[o + from] : from < 32 ? a.b[o + from - 16] : 0;
        }
    }
    vec_put(c, i, i->reg, &r);
}

/* ---- blends ---- */

void op_pblendw(CpuState *c, const Insn *i)
{
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    r = vec_src1(c, i);
    for (unsigned k = 0; k < vec_bytes(i) / 2; k++) {
        if (i->imm >> (k & 7) & 1) {
            r.w[k] = b.w[k];
        }
    }
    vec_put(c, i, i->reg, &r);
}

/* PBLENDVB and its kin: the mask is XMM0 or, with VEX, the register in the immediate. */
#define BLENDV(name, T, f)                                                                         \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        VecReg b, r, mask = c->xmm[insn_vex(i) ? i->is4 : 0];                                      \
                                                                                                   \
        sse_check(c, i);                                                                           \
        b = vec_rm(c, i, vec_bytes(i));                                                            \
        r = vec_src1(c, i);                                                                        \
        for (unsigned k = 0; k < vec_bytes(i) / sizeof(T); k++) {                                  \
            if ((T)mask.f[k] < 0) {                                                                \
                r.f[k] = b.f[k];                                                                   \
            }                                                                                      \
        }                                                                                          \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
BLENDV(pblendvb, int8_t, b)
BLENDV(blendvps, int32_t, d)
BLENDV(blendvpd, int64_t, q)

/* ---- widening moves ---- */

#define PMOVX(name, T, f, U, g)                                                                    \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        unsigned n = vec_bytes(i) / sizeof(U);                                                     \
        VecReg s, r;                                                                               \
                                                                                                   \
        sse_check(c, i);                                                                           \
        s = vec_rm(c, i, n * sizeof(T));                                                           \
        for (unsigned k = 0; k < n; k++) {                                                         \
            r.g[k] = (U)(T)s.f[k];                                                                 \
        }                                                                                          \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
PMOVX(pmovsxbw, int8_t, b, uint16_t, w)
PMOVX(pmovsxbd, int8_t, b, uint32_t, d)
PMOVX(pmovsxbq, int8_t, b, uint64_t, q)
PMOVX(pmovsxwd, int16_t, w, uint32_t, d)
PMOVX(pmovsxwq, int16_t, w, uint64_t, q)
PMOVX(pmovsxdq, int32_t, d, uint64_t, q)
PMOVX(pmovzxbw, uint8_t, b, uint16_t, w)
PMOVX(pmovzxbd, uint8_t, b, uint32_t, d)
PMOVX(pmovzxbq, uint8_t, b, uint64_t, q)
PMOVX(pmovzxwd, uint16_t, w, uint32_t, d)
PMOVX(pmovzxwq, uint16_t, w, uint64_t, q)
PMOVX(pmovzxdq, uint32_t, d, uint64_t, q)

/* ---- inserts and extracts ---- */

static void insert(CpuState *c, const Insn *i, unsigned size)
{
    unsigned at = (i->imm & (16 / size - 1)) * size;
    VecReg r;
    uint64_t v;

    sse_check(c, i);
    if (!insn_mem(i)) {
        v = c->regs[i->rm];
    } else {
        v = 0;
        ld_bytes(c, i->seg, insn_ea(c, i), &v, size);
    }
    r = vec_src1(c, i);
    memcpy(r.b + at, &v, size);
    vec_put128(c, i, i->reg, &r);
}
void op_pinsrb(CpuState *c, const Insn *i)
{
    insert(c, i, 1);
}
void op_pinsrw(CpuState *c, const Insn *i)
{
    insert(c, i, 2);
}
void op_pinsrd(CpuState *c, const Insn *i)
{
    insert(c, i, vec_wide(c, i) ? 8 : 4);
}

static void extract(CpuState *c, const Insn *i, unsigned size)
{
    unsigned at = (i->imm & (16 / size - 1)) * size;
    uint64_t v = 0;

    sse_check(c, i);
    memcpy(&v, c->xmm[i->reg].b + at, size);
    if (insn_mem(i)) {
        st_bytes(c, i->seg, insn_ea(c, i), &v, size);
    } else {
        c->regs[i->rm] = v;
    }
}
void op_pextrb(CpuState *c, const Insn *i)
{
    extract(c, i, 1);
}
void op_pextrw(CpuState *c, const Insn *i)
{
    extract(c, i, 2);
}
void op_pextrd(CpuState *c, const Insn *i) /* EXTRACTPS too, which ignores W */
{
    extract(c, i, vec_wide(c, i) ? 8 : 4);
}
void op_extractps(CpuState *c, const Insn *i)
{
    extract(c, i, 4);
}
void op_pextrw_reg(CpuState *c, const Insn *i) /* 0F C5: the operands the other way round */
{
    sse_check(c, i);
    c->regs[i->reg] = c->xmm[i->rm].w[i->imm & 7];
}

void op_pmovmskb(CpuState *c, const Insn *i)
{
    uint32_t r = 0;

    sse_check(c, i);
    for (unsigned k = 0; k < vec_bytes(i); k++) {
        r |= (uint32_t)(c->xmm[i->rm].b[k] >> 7) << k;
    }
    c->regs[i->reg] = r;
}

/* ---- the rest of SSE4.1 ---- */

void op_ptest(CpuState *c, const Insn *i)
{
    uint64_t both = 0, only = 0;
    VecReg b;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    for (unsigned k = 0; k < vec_bytes(i) / 8; k++) {
        both |= b.q[k] & c->xmm[i->reg].q[k];
        only |= b.q[k] & ~c->xmm[i->reg].q[k];
    }
    flags_set(c, (both ? 0 : FLAG_ZF) | (only ? 0 : FLAG_CF));
}

void op_phminposuw(CpuState *c, const Insn *i)
{
    VecReg s, r = { 0 };
    unsigned best = 0;

    sse_check(c, i);
    s = vec_rm(c, i, 16);
    for (unsigned k = 1; k < 8; k++) {
        best = s.w[k] < s.w[best] ? k : best;
    }
    r.w[0] = s.w[best];
    r.w[1] = (uint16_t)best;
    vec_put128(c, i, i->reg, &r);
}

/* MPSADBW: imm8[1:0] picks four bytes of the second source, imm8[2] the start in the first; the
 * high lane uses imm8[5:3]. */
void op_mpsadbw(CpuState *c, const Insn *i)
{
    VecReg a, b, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned lane = 0; lane < vec_bytes(i) / 16; lane++) {
        unsigned sel = (unsigned)(i->imm >> 3 * lane) & 7;
        const uint8_t *pa = a.b + 16 * lane + (sel & 4), *pb = b.b + 16 * lane + (sel & 3) * 4;

        for (unsigned k = 0; k < 8; k++) {
            unsigned sum = 0;

            for (unsigned m = 0; m < 4; m++) {
                sum += pa[k + m] > pb[m] ? pa[k + m] - pb[m] : pb[m] - pa[k + m];
            }
            r.w[8 * lane + k] = (uint16_t)sum;
        }
    }
    vec_put(c, i, i->reg, &r);
}

/* ---- the table ---- */

#define SS(map, op, prefix, feat, flags, name, operands, fn)                                       \
    { map, op, prefix, EXT_ANY, EXT_ANY, FEAT_##feat, OP_FPU | (flags), name, operands, X1(fn) }

#define VEC2(name, map, op, sse) SS(map, op, P_66, sse, 0, #name, "Vx,Wx", op_##name),
#define VEC2M(name, map, op, mmx, sse) VEC2(name, map, op, sse)
#define VEC1M(name, map, op) VEC2(name, map, op, SSSE3)
#define VSHIFT(name, op, imm_op, ext)                                                              \
    VEC2(name, MAP_0F, op, SSE2)                                                                   \
    { MAP_0F, imm_op, P_66, ext, EXT_ANY, FEAT_SSE2, OP_FPU | OP_REG, #name, "Ux,Ib",              \
      X1(op_##name##_imm) },

const OpRow op_rows_sse_int[] = {
    /* clang-format off */
#include "cpu/vec-int.inc"
    SS(MAP_0F, 0x6e, P_66, SSE2, 0, "movd", "Vy,Ey", op_movd_load),
    SS(MAP_0F, 0x7e, P_66, SSE2, 0, "movd", "Ey,Vy", op_movd_store),
    SS(MAP_0F, 0x7e, P_F3, SSE2, 0, "movq", "Vq,Wq", op_movq_load),
    SS(MAP_0F, 0xd6, P_66, SSE2, 0, "movq", "Wq,Vq", op_movq_store),
    SS(MAP_0F, 0x6f, P_66, SSE2, 0, "movdqa", "Vx,Wx", op_vload_aligned),
    SS(MAP_0F, 0x6f, P_F3, SSE2, 0, "movdqu", "Vx,Wx", op_vload),
    SS(MAP_0F, 0x7f, P_66, SSE2, 0, "movdqa", "Wx,Vx", op_vstore_aligned),
    SS(MAP_0F, 0x7f, P_F3, SSE2, 0, "movdqu", "Wx,Vx", op_vstore),
    SS(MAP_0F, 0xf0, P_F2, SSE3, OP_MEM, "lddqu", "Vx,Mx", op_vload),
    SS(MAP_0F, 0xe7, P_66, SSE2, OP_MEM, "movntdq", "Mx,Vx", op_vstore_aligned),
    SS(MAP_0F, 0xc3, P_NONE, SSE2, OP_MEM, "movnti", "My,Gy", op_movnti),
    SS(MAP_0F, 0xf7, P_66, SSE2, OP_REG, "maskmovdqu", "Vdq,Udq", op_maskmovdqu),
    SS(MAP_0F, 0x70, P_66, SSE2, 0, "pshufd", "Vx,Wx,Ib", op_pshufd),
    SS(MAP_0F, 0x70, P_F3, SSE2, 0, "pshufhw", "Vx,Wx,Ib", op_pshufhw),
    SS(MAP_0F, 0x70, P_F2, SSE2, 0, "pshuflw", "Vx,Wx,Ib", op_pshuflw),
    { MAP_0F, 0x73, P_66, 3, EXT_ANY, FEAT_SSE2, OP_FPU | OP_REG, "psrldq", "Ux,Ib", X1(op_psrldq) },
    { MAP_0F, 0x73, P_66, 7, EXT_ANY, FEAT_SSE2, OP_FPU | OP_REG, "pslldq", "Ux,Ib", X1(op_pslldq) },
    SS(MAP_0F, 0xc4, P_66, SSE2, 0, "pinsrw", "Vdq,Ed,Ib", op_pinsrw),
    SS(MAP_0F, 0xc5, P_66, SSE2, OP_REG, "pextrw", "Gd,Udq,Ib", op_pextrw_reg),
    SS(MAP_0F, 0xd7, P_66, SSE2, OP_REG, "pmovmskb", "Gd,Ux", op_pmovmskb),

    SS(MAP_0F38, 0x10, P_66, SSE4_1, 0, "pblendvb", "Vdq,Wdq", op_pblendvb),
    SS(MAP_0F38, 0x14, P_66, SSE4_1, 0, "blendvps", "Vdq,Wdq", op_blendvps),
    SS(MAP_0F38, 0x15, P_66, SSE4_1, 0, "blendvpd", "Vdq,Wdq", op_blendvpd),
    SS(MAP_0F38, 0x17, P_66, SSE4_1, 0, "ptest", "Vx,Wx", op_ptest),
    SS(MAP_0F38, 0x20, P_66, SSE4_1, 0, "pmovsxbw", "Vx,Wq", op_pmovsxbw),
    SS(MAP_0F38, 0x21, P_66, SSE4_1, 0, "pmovsxbd", "Vx,Wd", op_pmovsxbd),
    SS(MAP_0F38, 0x22, P_66, SSE4_1, 0, "pmovsxbq", "Vx,Ww", op_pmovsxbq),
    SS(MAP_0F38, 0x23, P_66, SSE4_1, 0, "pmovsxwd", "Vx,Wq", op_pmovsxwd),
    SS(MAP_0F38, 0x24, P_66, SSE4_1, 0, "pmovsxwq", "Vx,Wd", op_pmovsxwq),
    SS(MAP_0F38, 0x25, P_66, SSE4_1, 0, "pmovsxdq", "Vx,Wq", op_pmovsxdq),
    SS(MAP_0F38, 0x2a, P_66, SSE4_1, OP_MEM, "movntdqa", "Vx,Mx", op_vload_aligned),
    SS(MAP_0F38, 0x30, P_66, SSE4_1, 0, "pmovzxbw", "Vx,Wq", op_pmovzxbw),
    SS(MAP_0F38, 0x31, P_66, SSE4_1, 0, "pmovzxbd", "Vx,Wd", op_pmovzxbd),
    SS(MAP_0F38, 0x32, P_66, SSE4_1, 0, "pmovzxbq", "Vx,Ww", op_pmovzxbq),
    SS(MAP_0F38, 0x33, P_66, SSE4_1, 0, "pmovzxwd", "Vx,Wq", op_pmovzxwd),
    SS(MAP_0F38, 0x34, P_66, SSE4_1, 0, "pmovzxwq", "Vx,Wd", op_pmovzxwq),
    SS(MAP_0F38, 0x35, P_66, SSE4_1, 0, "pmovzxdq", "Vx,Wq", op_pmovzxdq),
    SS(MAP_0F38, 0x41, P_66, SSE4_1, 0, "phminposuw", "Vdq,Wdq", op_phminposuw),

    SS(MAP_0F3A, 0x0e, P_66, SSE4_1, 0, "pblendw", "Vx,Wx,Ib", op_pblendw),
    SS(MAP_0F3A, 0x0f, P_66, SSSE3, 0, "palignr", "Vx,Wx,Ib", op_palignr),
    SS(MAP_0F3A, 0x14, P_66, SSE4_1, 0, "pextrb", "Ed,Vdq,Ib", op_pextrb),
    SS(MAP_0F3A, 0x15, P_66, SSE4_1, 0, "pextrw", "Ed,Vdq,Ib", op_pextrw),
    SS(MAP_0F3A, 0x16, P_66, SSE4_1, 0, "pextrd", "Ey,Vdq,Ib", op_pextrd),
    SS(MAP_0F3A, 0x20, P_66, SSE4_1, 0, "pinsrb", "Vdq,Ed,Ib", op_pinsrb),
    SS(MAP_0F3A, 0x22, P_66, SSE4_1, 0, "pinsrd", "Vdq,Ey,Ib", op_pinsrd),
    SS(MAP_0F3A, 0x42, P_66, SSE4_1, 0, "mpsadbw", "Vx,Wx,Ib", op_mpsadbw),
    SS(MAP_0F3A, 0x60, P_66, SSE4_2, 0, "pcmpestrm", "Vdq,Wdq,Ib", op_pcmpestrm),
    SS(MAP_0F3A, 0x61, P_66, SSE4_2, 0, "pcmpestri", "Vdq,Wdq,Ib", op_pcmpestri),
    SS(MAP_0F3A, 0x62, P_66, SSE4_2, 0, "pcmpistrm", "Vdq,Wdq,Ib", op_pcmpistrm),
    SS(MAP_0F3A, 0x63, P_66, SSE4_2, 0, "pcmpistri", "Vdq,Wdq,Ib", op_pcmpistri),
    { MAP_0F38, 0xf0, P_F2, EXT_ANY, EXT_ANY, FEAT_SSE4_2, 0, "crc32", "Gy,Eb", X1(op_crc32_8) },
    { MAP_0F38, 0xf1, P_F2, EXT_ANY, EXT_ANY, FEAT_SSE4_2, 0, "crc32", "Gy,Ev", X3(op_crc32) },
    { 0 },
    /* clang-format on */
};
