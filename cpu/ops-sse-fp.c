/*
 * SSE floating point: arithmetic, comparisons, conversions, moves and shuffles of singles and
 * doubles, and the legacy table. AVX's rows name the same handlers.
 *
 * Sources: Intel SDM vol. 1, chapters 10 to 12; vol. 2 under each instruction. The reciprocal
 * approximations run on the host where it is x86: their low bits differ between makers.
 */
#include "cpu/flags.h"
#include "cpu/vec.h"

typedef uint32_t Fn32(FpEnv *, uint32_t, uint32_t);
typedef uint64_t Fn64(FpEnv *, uint64_t, uint64_t);

/* ---- two sources, four shapes ---- */

static void fp_ps(CpuState *c, const Insn *i, Fn32 *fn)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg a, b, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned k = 0; k < vec_bytes(i) / 4; k++) {
        r.d[k] = fn(&e, a.d[k], b.d[k]);
    }
    vec_fp_done(c, &e);
    vec_put(c, i, i->reg, &r);
}

static void fp_pd(CpuState *c, const Insn *i, Fn64 *fn)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg a, b, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned k = 0; k < vec_bytes(i) / 8; k++) {
        r.q[k] = fn(&e, a.q[k], b.q[k]);
    }
    vec_fp_done(c, &e);
    vec_put(c, i, i->reg, &r);
}

static void fp_ss(CpuState *c, const Insn *i, Fn32 *fn)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 4);
    r = vec_src1(c, i);
    r.d[0] = fn(&e, r.d[0], b.d[0]);
    vec_fp_done(c, &e);
    vec_put128(c, i, i->reg, &r);
}

static void fp_sd(CpuState *c, const Insn *i, Fn64 *fn)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 8);
    r = vec_src1(c, i);
    r.q[0] = fn(&e, r.q[0], b.q[0]);
    vec_fp_done(c, &e);
    vec_put128(c, i, i->reg, &r);
}

#define FP4(name, f32, f64)                                                                        \
    void op_##name##ps(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        fp_ps(c, i, f32);                                                                          \
    }                                                                                              \
    void op_##name##pd(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        fp_pd(c, i, f64);                                                                          \
    }                                                                                              \
    void op_##name##ss(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        fp_ss(c, i, f32);                                                                          \
    }                                                                                              \
    void op_##name##sd(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        fp_sd(c, i, f64);                                                                          \
    }

/* Functions of the second source alone. */
static uint32_t sqrt32(FpEnv *e, uint32_t a, uint32_t b)
{
    return f32_sqrt(e, b);
}
static uint64_t sqrt64(FpEnv *e, uint64_t a, uint64_t b)
{
    return f64_sqrt(e, b);
}

FP4(add, f32_add, f64_add)
FP4(sub, f32_sub, f64_sub)
FP4(mul, f32_mul, f64_mul)
FP4(div, f32_div, f64_div)
FP4(min, f32_min, f64_min)
FP4(max, f32_max, f64_max)
FP4(sqrt, sqrt32, sqrt64)

/* ---- CMPPS and its kin ---- */

/* The relations for which predicate imm8[3:0] is true, as bits 1 << FpRel. */
#define REL_L (1 << FP_LESS)
#define REL_E (1 << FP_EQUAL)
#define REL_G (1 << FP_GREATER)
#define REL_U (1 << FP_UNORDERED)
static const uint8_t cmp_true[16] = {
    REL_E, REL_L, REL_L | REL_E, REL_U, REL_L | REL_G | REL_U, REL_E | REL_G | REL_U,
    REL_G | REL_U, REL_L | REL_E | REL_G, REL_E | REL_U, REL_L | REL_U, REL_L | REL_E | REL_U, 0,
    REL_L | REL_G, REL_G | REL_E, REL_G, 15,
};
/* Predicates 0 to 15 that are quiet; 16 to 31 are the same ones the other way round. */
#define CMP_QUIET 0x9999u

/* The predicate: five bits with VEX, three without. */
static unsigned cmp_predicate(const Insn *i)
{
    return (unsigned)i->imm & (insn_vex(i) ? 31 : 7);
}
static uint32_t cmp32(FpEnv *e, uint32_t a, uint32_t b, unsigned p)
{
    bool quiet = (CMP_QUIET >> (p & 15) & 1) != p >> 4;

    return cmp_true[p & 15] >> f32_compare(e, a, b, quiet) & 1 ? ~0u : 0;
}
static uint64_t cmp64(FpEnv *e, uint64_t a, uint64_t b, unsigned p)
{
    bool quiet = (CMP_QUIET >> (p & 15) & 1) != p >> 4;

    return cmp_true[p & 15] >> f64_compare(e, a, b, quiet) & 1 ? ~0ull : 0;
}

/* ROUNDPS: imm8[1:0] is the mode unless imm8[2] takes MXCSR's; imm8[3] hides PE. */
static void round_mode(FpEnv *e, unsigned imm)
{
    e->rc = imm & 4 ? e->rc : imm & 3;
}
static void round_done(FpEnv *e, unsigned imm)
{
    e->flags &= imm & 8 ? ~FP_PE : 0xff;
}

/* Four shapes of an operation with an immediate: before, lane expressions, after. */
#define FP4_IMM(name, before, expr32, expr64, after)                                               \
    static void name##_do(CpuState *c, const Insn *i, unsigned size, unsigned n)                   \
    {                                                                                              \
        FpEnv env = fp_env_sse(c->mxcsr), *e = &env;                                               \
        unsigned imm = (unsigned)i->imm & 0xff;                                                    \
        VecReg a, b, r;                                                                            \
                                                                                                   \
        sse_check(c, i);                                                                           \
        b = vec_rm(c, i, n);                                                                       \
        r = a = vec_src1(c, i);                                                                    \
        (void)imm;                                                                                 \
        before;                                                                                    \
        for (unsigned k = 0; k < n / size; k++) {                                                  \
            if (size == 4) {                                                                       \
                r.d[k] = expr32;                                                                   \
            } else {                                                                               \
                r.q[k] = expr64;                                                                   \
            }                                                                                      \
        }                                                                                          \
        after;                                                                                     \
        vec_fp_done(c, e);                                                                         \
        if (n == size) {                                                                           \
            vec_put128(c, i, i->reg, &r);                                                          \
        } else {                                                                                   \
            vec_put(c, i, i->reg, &r);                                                             \
        }                                                                                          \
    }                                                                                              \
    void op_##name##ps(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        name##_do(c, i, 4, vec_bytes(i));                                                          \
    }                                                                                              \
    void op_##name##pd(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        name##_do(c, i, 8, vec_bytes(i));                                                          \
    }                                                                                              \
    void op_##name##ss(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        name##_do(c, i, 4, 4);                                                                     \
    }                                                                                              \
    void op_##name##sd(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        name##_do(c, i, 8, 8);                                                                     \
    }
FP4_IMM(cmp, , cmp32(e, a.d[k], b.d[k], cmp_predicate(i)), cmp64(e, a.q[k], b.q[k], cmp_predicate(i)), )
FP4_IMM(round, (void)a; round_mode(e, imm), f32_rint(e, b.d[k]), f64_rint(e, b.q[k]), round_done(e, imm))

/* ---- comparisons into RFLAGS ---- */

static void set_compare(CpuState *c, FpRel rel)
{
    static const uint8_t flags[4] = { FLAG_CF, FLAG_ZF, 0, FLAG_ZF | FLAG_PF | FLAG_CF };

    flags_set(c, flags[rel]);
}

#define COMI(name, size, f, compare, quiet)                                                        \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        FpEnv e = fp_env_sse(c->mxcsr);                                                            \
        FpRel rel;                                                                                 \
        VecReg b;                                                                                  \
                                                                                                   \
        sse_check(c, i);                                                                           \
        b = vec_rm(c, i, size);                                                                    \
        rel = compare(&e, c->xmm[i->reg].f[0], b.f[0], quiet);                                     \
        vec_fp_done(c, &e);                                                                        \
        set_compare(c, rel);                                                                       \
    }
COMI(comiss, 4, d, f32_compare, false)
COMI(ucomiss, 4, d, f32_compare, true)
COMI(comisd, 8, q, f64_compare, false)
COMI(ucomisd, 8, q, f64_compare, true)

/* ---- approximations ---- */

#if defined(__x86_64__)
#define HOST_APPROX(name, insn)                                                                    \
    static uint32_t name(uint32_t a)                                                               \
    {                                                                                              \
        float in, out;                                                                             \
        uint32_t r;                                                                                \
                                                                                                   \
        memcpy(&in, &a, 4);                                                                        \
        __asm__(insn " %1, %0" : "=x"(out) : "x"(in));                                             \
        memcpy(&r, &out, 4);                                                                       \
        return r;                                                                                  \
    }
HOST_APPROX(approx_rcp, "rcpss")
HOST_APPROX(approx_rsqrt, "rsqrtss")
#else
#define approx_rcp f32_rcp_approx
#define approx_rsqrt f32_rsqrt_approx
#endif

static uint32_t rcp32(FpEnv *e, uint32_t a, uint32_t b)
{
    return approx_rcp(b);
}
static uint32_t rsqrt32(FpEnv *e, uint32_t a, uint32_t b)
{
    return approx_rsqrt(b);
}
void op_rcpps(CpuState *c, const Insn *i)
{
    fp_ps(c, i, rcp32);
}
void op_rcpss(CpuState *c, const Insn *i)
{
    fp_ss(c, i, rcp32);
}
void op_rsqrtps(CpuState *c, const Insn *i)
{
    fp_ps(c, i, rsqrt32);
}
void op_rsqrtss(CpuState *c, const Insn *i)
{
    fp_ss(c, i, rsqrt32);
}

/* ---- SSE3 horizontal ones ---- */

/* Element k of a lane pairs neighbours of a (first half) or b; `sub` of those that subtract. */
#define HADD(name, size, f, fn)                                                                    \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        FpEnv e = fp_env_sse(c->mxcsr);                                                            \
        unsigned m = 16 / size;                                                                    \
        VecReg a, b, r;                                                                            \
                                                                                                   \
        sse_check(c, i);                                                                           \
        b = vec_rm(c, i, vec_bytes(i));                                                            \
        a = vec_src1(c, i);                                                                        \
        for (unsigned k = 0; k < vec_bytes(i) / size; k++) {                                       \
            const VecReg *s = k % m < m / 2 ? &a : &b;                                             \
            unsigned at = k / m * m + 2 * (k % m) % m;                                             \
                                                                                                   \
            r.f[k] = fn(&e, s->f[at], s->f[at + 1]);                                               \
        }                                                                                          \
        vec_fp_done(c, &e);                                                                        \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
HADD(haddps, 4, d, f32_add)
HADD(haddpd, 8, q, f64_add)
HADD(hsubps, 4, d, f32_sub)
HADD(hsubpd, 8, q, f64_sub)

#define ADDSUB(name, size, f, add, sub)                                                            \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        FpEnv e = fp_env_sse(c->mxcsr);                                                            \
        VecReg a, b, r;                                                                            \
                                                                                                   \
        sse_check(c, i);                                                                           \
        b = vec_rm(c, i, vec_bytes(i));                                                            \
        a = vec_src1(c, i);                                                                        \
        for (unsigned k = 0; k < vec_bytes(i) / size; k++) {                                       \
            r.f[k] = k & 1 ? add(&e, a.f[k], b.f[k]) : sub(&e, a.f[k], b.f[k]);                    \
        }                                                                                          \
        vec_fp_done(c, &e);                                                                        \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
ADDSUB(addsubps, 4, d, f32_add, f32_sub)
ADDSUB(addsubpd, 8, q, f64_add, f64_sub)

/* ---- conversions ---- */

static void cvtsi2(CpuState *c, const Insn *i, bool wide)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    bool w = vec_wide(c, i);
    VecReg r;
    int64_t v;

    sse_check(c, i);
    if (insn_mem(i)) {
        v = w ? (int64_t)ld_u64(c, i->seg, insn_ea(c, i)) : (int32_t)ld_u32(c, i->seg, insn_ea(c, i));
    } else {
        v = w ? (int64_t)c->regs[i->rm] : (int32_t)c->regs[i->rm];
    }
    r = vec_src1(c, i);
    if (wide) {
        r.q[0] = int_to_f64(&e, v);
    } else {
        r.d[0] = int_to_f32(&e, v);
    }
    vec_fp_done(c, &e);
    vec_put128(c, i, i->reg, &r);
}
void op_cvtsi2ss(CpuState *c, const Insn *i)
{
    cvtsi2(c, i, false);
}
void op_cvtsi2sd(CpuState *c, const Insn *i)
{
    cvtsi2(c, i, true);
}

static void cvt2si(CpuState *c, const Insn *i, bool wide, bool truncate)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    unsigned rc = truncate ? RC_ZERO : e.rc, bits = vec_wide(c, i) ? 64 : 32;
    VecReg b;
    int64_t v;

    sse_check(c, i);
    b = vec_rm(c, i, wide ? 8 : 4);
    v = wide ? f64_to_int(&e, b.q[0], bits, rc) : f32_to_int(&e, b.d[0], bits, rc);
    vec_fp_done(c, &e);
    c->regs[i->reg] = bits == 64 ? (uint64_t)v : (uint32_t)v;
}
void op_cvtss2si(CpuState *c, const Insn *i)
{
    cvt2si(c, i, false, false);
}
void op_cvttss2si(CpuState *c, const Insn *i)
{
    cvt2si(c, i, false, true);
}
void op_cvtsd2si(CpuState *c, const Insn *i)
{
    cvt2si(c, i, true, false);
}
void op_cvttsd2si(CpuState *c, const Insn *i)
{
    cvt2si(c, i, true, true);
}

/* Lane-wise conversion of `count` elements: reads `in` bytes; a narrow result zeroes the rest of
 * its XMM register. */
#define CONVERT(name, count, in, dst, expr, put)                                                   \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        FpEnv e = fp_env_sse(c->mxcsr);                                                            \
        VecReg s, r = { 0 };                                                                       \
                                                                                                   \
        sse_check(c, i);                                                                           \
        s = vec_rm(c, i, in);                                                                      \
        for (unsigned k = 0; k < (count); k++) {                                                   \
            r.dst[k] = expr;                                                                       \
        }                                                                                          \
        vec_fp_done(c, &e);                                                                        \
        put(c, i, i->reg, &r);                                                                     \
    }
#define DWORDS (vec_bytes(i) / 4)
#define QWORDS (vec_bytes(i) / 8)
CONVERT(cvtdq2ps, DWORDS, vec_bytes(i), d, int_to_f32(&e, (int32_t)s.d[k]), vec_put)
CONVERT(cvtps2dq, DWORDS, vec_bytes(i), d, (uint32_t)f32_to_int(&e, s.d[k], 32, e.rc), vec_put)
CONVERT(cvttps2dq, DWORDS, vec_bytes(i), d, (uint32_t)f32_to_int(&e, s.d[k], 32, RC_ZERO), vec_put)
CONVERT(cvtdq2pd, QWORDS, vec_bytes(i) / 2, q, int_to_f64(&e, (int32_t)s.d[k]), vec_put)
CONVERT(cvtps2pd, QWORDS, vec_bytes(i) / 2, q, f32_to_f64(&e, s.d[k]), vec_put)
CONVERT(cvtpd2ps, QWORDS, vec_bytes(i), d, f64_to_f32(&e, s.q[k]), vec_put128)
CONVERT(cvtpd2dq, QWORDS, vec_bytes(i), d, (uint32_t)f64_to_int(&e, s.q[k], 32, e.rc), vec_put128)
CONVERT(cvttpd2dq, QWORDS, vec_bytes(i), d, (uint32_t)f64_to_int(&e, s.q[k], 32, RC_ZERO), vec_put128)

void op_cvtss2sd(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 4);
    r = vec_src1(c, i);
    r.q[0] = f32_to_f64(&e, b.d[0]);
    vec_fp_done(c, &e);
    vec_put128(c, i, i->reg, &r);
}

void op_cvtsd2ss(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 8);
    r = vec_src1(c, i);
    r.d[0] = f64_to_f32(&e, b.q[0]);
    vec_fp_done(c, &e);
    vec_put128(c, i, i->reg, &r);
}

/* ---- scalar moves ---- */

/* From memory the rest of the register is cleared; between registers it stays (VEX: is vvvv's). */
#define MOV_SCALAR(name, size, f, st)                                                              \
    void op_##name##_load(CpuState *c, const Insn *i)                                              \
    {                                                                                              \
        VecReg v;                                                                                  \
                                                                                                   \
        sse_check(c, i);                                                                           \
        v = vec_rm(c, i, size);                                                                    \
        vec_put128(c, i, i->reg, &v);                                                              \
    }                                                                                              \
    void op_##name##_store(CpuState *c, const Insn *i)                                             \
    {                                                                                              \
        sse_check(c, i);                                                                           \
        st(c, i->seg, insn_ea(c, i), c->xmm[i->reg].f[0]);                                         \
    }                                                                                              \
    void op_##name##_reg(CpuState *c, const Insn *i)                                               \
    {                                                                                              \
        VecReg v = vec_src1(c, i);                                                                 \
                                                                                                   \
        sse_check(c, i);                                                                           \
        v.f[0] = c->xmm[i->rm].f[0];                                                               \
        vec_put128(c, i, i->reg, &v);                                                              \
    }                                                                                              \
    void op_##name##_reg_rev(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        VecReg v = c->xmm[insn_vex(i) ? i->vvvv : i->rm];                                          \
                                                                                                   \
        sse_check(c, i);                                                                           \
        v.f[0] = c->xmm[i->reg].f[0];                                                              \
        vec_put128(c, i, i->rm, &v);                                                               \
    }
MOV_SCALAR(movss, 4, d, st_u32)
MOV_SCALAR(movsd, 8, q, st_u64)

/* MOVLPS, MOVHPS and the register forms: quadword `to` of the first source replaced. */
static void mov_half(CpuState *c, const Insn *i, unsigned to, unsigned from)
{
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 8);
    r = vec_src1(c, i);
    r.q[to] = b.q[from];
    vec_put128(c, i, i->reg, &r);
}
void op_movlps_load(CpuState *c, const Insn *i)
{
    mov_half(c, i, 0, 0);
}
void op_movhps_load(CpuState *c, const Insn *i) /* MOVLHPS too */
{
    mov_half(c, i, 1, 0);
}
void op_movhlps(CpuState *c, const Insn *i)
{
    mov_half(c, i, 0, 1);
}
void op_movlps_store(CpuState *c, const Insn *i)
{
    sse_check(c, i);
    st_u64(c, i->seg, insn_ea(c, i), c->xmm[i->reg].q[0]);
}
void op_movhps_store(CpuState *c, const Insn *i)
{
    sse_check(c, i);
    st_u64(c, i->seg, insn_ea(c, i), c->xmm[i->reg].q[1]);
}

static void dup(CpuState *c, const Insn *i, unsigned odd)
{
    VecReg s, r;

    sse_check(c, i);
    s = vec_rm(c, i, vec_bytes(i));
    for (unsigned k = 0; k < DWORDS; k++) {
        r.d[k] = s.d[(k & ~1u) | odd];
    }
    vec_put(c, i, i->reg, &r);
}
void op_movsldup(CpuState *c, const Insn *i)
{
    dup(c, i, 0);
}
void op_movshdup(CpuState *c, const Insn *i)
{
    dup(c, i, 1);
}

void op_movddup(CpuState *c, const Insn *i)
{
    VecReg s, r;

    sse_check(c, i);
    s = vec_rm(c, i, insn_l256(i) ? 32 : 8);
    r.q[0] = r.q[1] = s.q[0];
    r.q[2] = r.q[3] = s.q[2];
    vec_put(c, i, i->reg, &r);
}

void op_movmskps(CpuState *c, const Insn *i)
{
    unsigned r = 0;

    sse_check(c, i);
    for (unsigned k = 0; k < DWORDS; k++) {
        r |= c->xmm[i->rm].d[k] >> 31 << k;
    }
    c->regs[i->reg] = r;
}
void op_movmskpd(CpuState *c, const Insn *i)
{
    unsigned r = 0;

    sse_check(c, i);
    for (unsigned k = 0; k < QWORDS; k++) {
        r |= (unsigned)(c->xmm[i->rm].q[k] >> 63) << k;
    }
    c->regs[i->reg] = r;
}

/* ---- shuffles ---- */

void op_shufps(CpuState *c, const Insn *i)
{
    VecReg a, b, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned k = 0; k < DWORDS; k++) {
        r.d[k] = (k & 2 ? b : a).d[(k & 4) + (i->imm >> 2 * (k & 3) & 3)];
    }
    vec_put(c, i, i->reg, &r);
}

void op_shufpd(CpuState *c, const Insn *i)
{
    VecReg a, b, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned k = 0; k < QWORDS; k++) {
        r.q[k] = (k & 1 ? b : a).q[(k & 2) + (i->imm >> k & 1)];
    }
    vec_put(c, i, i->reg, &r);
}

#define BLEND(name, size, f)                                                                       \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        VecReg b, r;                                                                               \
                                                                                                   \
        sse_check(c, i);                                                                           \
        b = vec_rm(c, i, vec_bytes(i));                                                            \
        r = vec_src1(c, i);                                                                        \
        for (unsigned k = 0; k < vec_bytes(i) / size; k++) {                                       \
            r.f[k] = i->imm >> k & 1 ? b.f[k] : r.f[k];                                            \
        }                                                                                          \
        vec_put(c, i, i->reg, &r);                                                                 \
    }
BLEND(blendps, 4, d)
BLEND(blendpd, 8, q)

void op_insertps(CpuState *c, const Insn *i)
{
    unsigned imm = (unsigned)i->imm;
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 4);
    r = vec_src1(c, i);
    r.d[imm >> 4 & 3] = b.d[insn_mem(i) ? 0 : imm >> 6 & 3];
    for (unsigned k = 0; k < 4; k++) {
        r.d[k] = imm >> k & 1 ? 0 : r.d[k];
    }
    vec_put128(c, i, i->reg, &r);
}

/* ---- dot products: products chosen by imm8[7:4], summed in pairs, written by imm8[3:0] ---- */

/* The sums are stages of their own: an unmasked exception of one keeps the next from flagging. */
void op_dpps(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    VecReg a, b, p, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    for (unsigned k = 0; k < DWORDS; k++) {
        p.d[k] = i->imm >> (4 + (k & 3)) & 1 ? f32_mul(&e, a.d[k], b.d[k]) : 0;
    }
    vec_fp_done(c, &e);
    for (unsigned k = 0; k < DWORDS; k += 2) {
        p.d[k] = f32_add(&e, p.d[k], p.d[k + 1]);
    }
    vec_fp_done(c, &e);
    for (unsigned k = 0; k < DWORDS; k += 4) {
        p.d[k] = f32_add(&e, p.d[k], p.d[k + 2]);
    }
    vec_fp_done(c, &e);
    for (unsigned k = 0; k < DWORDS; k++) {
        r.d[k] = i->imm >> (k & 3) & 1 ? p.d[k & 4] : 0;
    }
    vec_put(c, i, i->reg, &r);
}

void op_dppd(CpuState *c, const Insn *i)
{
    FpEnv e = fp_env_sse(c->mxcsr);
    uint64_t p[2], sum;
    VecReg a, b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 16);
    a = vec_src1(c, i);
    for (unsigned k = 0; k < 2; k++) {
        p[k] = i->imm >> (4 + k) & 1 ? f64_mul(&e, a.q[k], b.q[k]) : 0;
    }
    vec_fp_done(c, &e);
    sum = f64_add(&e, p[0], p[1]);
    vec_fp_done(c, &e);
    r.q[0] = i->imm & 1 ? sum : 0;
    r.q[1] = i->imm & 2 ? sum : 0;
    vec_put128(c, i, i->reg, &r);
}

/* ---- MXCSR ---- */

void op_ldmxcsr(CpuState *c, const Insn *i)
{
    uint32_t v;

    sse_check(c, i);
    v = ld_u32(c, i->seg, insn_ea(c, i));
    if (v & ~0xffffu) {
        cpu_gp0(c);
    }
    c->mxcsr = v;
}

void op_stmxcsr(CpuState *c, const Insn *i)
{
    sse_check(c, i);
    st_u32(c, i->seg, insn_ea(c, i), c->mxcsr);
}

/* ---- the table ---- */

#define SF(map, op, prefix, feat, flags, name, operands, fn)                                       \
    { map, op, prefix, EXT_ANY, EXT_ANY, FEAT_##feat, OP_FPU | (flags), name, operands, X1(fn) }
#define ROWS4(op, name)                                                                            \
    SF(MAP_0F, op, P_NONE, SSE, 0, #name "ps", "Vps,Wps", op_##name##ps),                          \
        SF(MAP_0F, op, P_66, SSE2, 0, #name "pd", "Vpd,Wpd", op_##name##pd),                       \
        SF(MAP_0F, op, P_F3, SSE, 0, #name "ss", "Vss,Wss", op_##name##ss),                        \
        SF(MAP_0F, op, P_F2, SSE2, 0, #name "sd", "Vsd,Wsd", op_##name##sd)
/* The same handler for PS and PD. */
#define ROWS2(op, name, flags, operands, fn)                                                       \
    SF(MAP_0F, op, P_NONE, SSE, flags, name "ps", operands, fn),                                   \
        SF(MAP_0F, op, P_66, SSE2, flags, name "pd", operands, fn)

const OpRow op_rows_sse_fp[] = {
    /* clang-format off */
    ROWS2(0x10, "movu", 0, "Vx,Wx", op_vload),
    ROWS2(0x11, "movu", 0, "Wx,Vx", op_vstore),
    SF(MAP_0F, 0x10, P_F3, SSE, OP_MEM, "movss", "Vss,Wss", op_movss_load),
    SF(MAP_0F, 0x10, P_F3, SSE, OP_REG, "movss", "Vss,Wss", op_movss_reg),
    SF(MAP_0F, 0x11, P_F3, SSE, OP_MEM, "movss", "Wss,Vss", op_movss_store),
    SF(MAP_0F, 0x11, P_F3, SSE, OP_REG, "movss", "Wss,Vss", op_movss_reg_rev),
    SF(MAP_0F, 0x10, P_F2, SSE2, OP_MEM, "movsd", "Vsd,Wsd", op_movsd_load),
    SF(MAP_0F, 0x10, P_F2, SSE2, OP_REG, "movsd", "Vsd,Wsd", op_movsd_reg),
    SF(MAP_0F, 0x11, P_F2, SSE2, OP_MEM, "movsd", "Wsd,Vsd", op_movsd_store),
    SF(MAP_0F, 0x11, P_F2, SSE2, OP_REG, "movsd", "Wsd,Vsd", op_movsd_reg_rev),
    ROWS2(0x12, "movl", OP_MEM, "Vq,Mq", op_movlps_load),
    SF(MAP_0F, 0x12, P_NONE, SSE, OP_REG, "movhlps", "Vdq,Udq", op_movhlps),
    SF(MAP_0F, 0x12, P_F3, SSE3, 0, "movsldup", "Vx,Wx", op_movsldup),
    SF(MAP_0F, 0x12, P_F2, SSE3, 0, "movddup", "Vx,Wq", op_movddup),
    ROWS2(0x13, "movl", OP_MEM, "Mq,Vq", op_movlps_store),
    SF(MAP_0F, 0x14, P_NONE, SSE, 0, "unpcklps", "Vx,Wx", op_punpckldq),
    SF(MAP_0F, 0x14, P_66, SSE2, 0, "unpcklpd", "Vx,Wx", op_punpcklqdq),
    SF(MAP_0F, 0x15, P_NONE, SSE, 0, "unpckhps", "Vx,Wx", op_punpckhdq),
    SF(MAP_0F, 0x15, P_66, SSE2, 0, "unpckhpd", "Vx,Wx", op_punpckhqdq),
    ROWS2(0x16, "movh", OP_MEM, "Vq,Mq", op_movhps_load),
    SF(MAP_0F, 0x16, P_NONE, SSE, OP_REG, "movlhps", "Vdq,Udq", op_movhps_load),
    SF(MAP_0F, 0x16, P_F3, SSE3, 0, "movshdup", "Vx,Wx", op_movshdup),
    ROWS2(0x17, "movh", OP_MEM, "Mq,Vq", op_movhps_store),
    ROWS2(0x28, "mova", 0, "Vx,Wx", op_vload_aligned),
    ROWS2(0x29, "mova", 0, "Wx,Vx", op_vstore_aligned),
    SF(MAP_0F, 0x2a, P_F3, SSE, 0, "cvtsi2ss", "Vss,Ey", op_cvtsi2ss),
    SF(MAP_0F, 0x2a, P_F2, SSE2, 0, "cvtsi2sd", "Vsd,Ey", op_cvtsi2sd),
    ROWS2(0x2b, "movnt", OP_MEM, "Mx,Vx", op_vstore_aligned),
    SF(MAP_0F, 0x2c, P_F3, SSE, 0, "cvttss2si", "Gy,Wss", op_cvttss2si),
    SF(MAP_0F, 0x2c, P_F2, SSE2, 0, "cvttsd2si", "Gy,Wsd", op_cvttsd2si),
    SF(MAP_0F, 0x2d, P_F3, SSE, 0, "cvtss2si", "Gy,Wss", op_cvtss2si),
    SF(MAP_0F, 0x2d, P_F2, SSE2, 0, "cvtsd2si", "Gy,Wsd", op_cvtsd2si),
    SF(MAP_0F, 0x2e, P_NONE, SSE, 0, "ucomiss", "Vss,Wss", op_ucomiss),
    SF(MAP_0F, 0x2e, P_66, SSE2, 0, "ucomisd", "Vsd,Wsd", op_ucomisd),
    SF(MAP_0F, 0x2f, P_NONE, SSE, 0, "comiss", "Vss,Wss", op_comiss),
    SF(MAP_0F, 0x2f, P_66, SSE2, 0, "comisd", "Vsd,Wsd", op_comisd),
    SF(MAP_0F, 0x50, P_NONE, SSE, OP_REG, "movmskps", "Gy,Ups", op_movmskps),
    SF(MAP_0F, 0x50, P_66, SSE2, OP_REG, "movmskpd", "Gy,Upd", op_movmskpd),
    ROWS4(0x51, sqrt),
    SF(MAP_0F, 0x52, P_NONE, SSE, 0, "rsqrtps", "Vps,Wps", op_rsqrtps),
    SF(MAP_0F, 0x52, P_F3, SSE, 0, "rsqrtss", "Vss,Wss", op_rsqrtss),
    SF(MAP_0F, 0x53, P_NONE, SSE, 0, "rcpps", "Vps,Wps", op_rcpps),
    SF(MAP_0F, 0x53, P_F3, SSE, 0, "rcpss", "Vss,Wss", op_rcpss),
    ROWS2(0x54, "and", 0, "Vx,Wx", op_pand),
    ROWS2(0x55, "andn", 0, "Vx,Wx", op_pandn),
    ROWS2(0x56, "or", 0, "Vx,Wx", op_por),
    ROWS2(0x57, "xor", 0, "Vx,Wx", op_pxor),
    ROWS4(0x58, add),
    ROWS4(0x59, mul),
    SF(MAP_0F, 0x5a, P_NONE, SSE2, 0, "cvtps2pd", "Vpd,Wps", op_cvtps2pd),
    SF(MAP_0F, 0x5a, P_66, SSE2, 0, "cvtpd2ps", "Vps,Wpd", op_cvtpd2ps),
    SF(MAP_0F, 0x5a, P_F3, SSE2, 0, "cvtss2sd", "Vsd,Wss", op_cvtss2sd),
    SF(MAP_0F, 0x5a, P_F2, SSE2, 0, "cvtsd2ss", "Vss,Wsd", op_cvtsd2ss),
    SF(MAP_0F, 0x5b, P_NONE, SSE2, 0, "cvtdq2ps", "Vps,Wdq", op_cvtdq2ps),
    SF(MAP_0F, 0x5b, P_66, SSE2, 0, "cvtps2dq", "Vdq,Wps", op_cvtps2dq),
    SF(MAP_0F, 0x5b, P_F3, SSE2, 0, "cvttps2dq", "Vdq,Wps", op_cvttps2dq),
    ROWS4(0x5c, sub),
    ROWS4(0x5d, min),
    ROWS4(0x5e, div),
    ROWS4(0x5f, max),
    SF(MAP_0F, 0x7c, P_66, SSE3, 0, "haddpd", "Vpd,Wpd", op_haddpd),
    SF(MAP_0F, 0x7c, P_F2, SSE3, 0, "haddps", "Vps,Wps", op_haddps),
    SF(MAP_0F, 0x7d, P_66, SSE3, 0, "hsubpd", "Vpd,Wpd", op_hsubpd),
    SF(MAP_0F, 0x7d, P_F2, SSE3, 0, "hsubps", "Vps,Wps", op_hsubps),
    SF(MAP_0F, 0xc2, P_NONE, SSE, 0, "cmpps", "Vps,Wps,Ib", op_cmpps),
    SF(MAP_0F, 0xc2, P_66, SSE2, 0, "cmppd", "Vpd,Wpd,Ib", op_cmppd),
    SF(MAP_0F, 0xc2, P_F3, SSE, 0, "cmpss", "Vss,Wss,Ib", op_cmpss),
    SF(MAP_0F, 0xc2, P_F2, SSE2, 0, "cmpsd", "Vsd,Wsd,Ib", op_cmpsd),
    SF(MAP_0F, 0xc6, P_NONE, SSE, 0, "shufps", "Vps,Wps,Ib", op_shufps),
    SF(MAP_0F, 0xc6, P_66, SSE2, 0, "shufpd", "Vpd,Wpd,Ib", op_shufpd),
    SF(MAP_0F, 0xd0, P_66, SSE3, 0, "addsubpd", "Vpd,Wpd", op_addsubpd),
    SF(MAP_0F, 0xd0, P_F2, SSE3, 0, "addsubps", "Vps,Wps", op_addsubps),
    SF(MAP_0F, 0xe6, P_F3, SSE2, 0, "cvtdq2pd", "Vpd,Wq", op_cvtdq2pd),
    SF(MAP_0F, 0xe6, P_F2, SSE2, 0, "cvtpd2dq", "Vdq,Wpd", op_cvtpd2dq),
    SF(MAP_0F, 0xe6, P_66, SSE2, 0, "cvttpd2dq", "Vdq,Wpd", op_cvttpd2dq),
    SF(MAP_0F3A, 0x08, P_66, SSE4_1, 0, "roundps", "Vps,Wps,Ib", op_roundps),
    SF(MAP_0F3A, 0x09, P_66, SSE4_1, 0, "roundpd", "Vpd,Wpd,Ib", op_roundpd),
    SF(MAP_0F3A, 0x0a, P_66, SSE4_1, 0, "roundss", "Vss,Wss,Ib", op_roundss),
    SF(MAP_0F3A, 0x0b, P_66, SSE4_1, 0, "roundsd", "Vsd,Wsd,Ib", op_roundsd),
    SF(MAP_0F3A, 0x0c, P_66, SSE4_1, 0, "blendps", "Vps,Wps,Ib", op_blendps),
    SF(MAP_0F3A, 0x0d, P_66, SSE4_1, 0, "blendpd", "Vpd,Wpd,Ib", op_blendpd),
    SF(MAP_0F3A, 0x17, P_66, SSE4_1, 0, "extractps", "Ed,Vps,Ib", op_extractps),
    SF(MAP_0F3A, 0x21, P_66, SSE4_1, 0, "insertps", "Vps,Wss,Ib", op_insertps),
    SF(MAP_0F3A, 0x40, P_66, SSE4_1, 0, "dpps", "Vps,Wps,Ib", op_dpps),
    SF(MAP_0F3A, 0x41, P_66, SSE4_1, 0, "dppd", "Vpd,Wpd,Ib", op_dppd),
    { MAP_0F, 0xae, P_NONE, 2, EXT_ANY, FEAT_SSE, OP_FPU | OP_MEM, "ldmxcsr", "Md", X1(op_ldmxcsr) },
    { MAP_0F, 0xae, P_NONE, 3, EXT_ANY, FEAT_SSE, OP_FPU | OP_MEM, "stmxcsr", "Md", X1(op_stmxcsr) },
    { 0 },
    /* clang-format on */
};
