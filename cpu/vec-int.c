/*
 * The integer vector instructions of cpu/vec-int.inc: a kernel each, and the handlers made of it.
 * Source: Intel SDM vol. 2 under each instruction.
 */
#include "cpu/vec.h"

/* ---- saturation ---- */

static inline uint8_t sat_s8(int32_t v)
{
    return (uint8_t)(v > 127 ? 127 : v < -128 ? -128 : v);
}
static inline uint8_t sat_u8(int32_t v)
{
    return (uint8_t)(v > 255 ? 255 : v < 0 ? 0 : v);
}
static inline uint16_t sat_s16(int32_t v)
{
    return (uint16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
}
static inline uint16_t sat_u16(int32_t v)
{
    return (uint16_t)(v > 65535 ? 65535 : v < 0 ? 0 : v);
}

/* ---- one lane from two: x and y have type T, taken from field f ---- */

#define LANES(name, T, f, expr)                                                                    \
    static void k_##name(VecReg *r, const VecReg *a, const VecReg *b, unsigned n)                  \
    {                                                                                              \
        for (unsigned k = 0; k < n / sizeof(T); k++) {                                             \
            T x = (T)a->f[k], y = (T)b->f[k];                                                      \
                                                                                                   \
            (void)x;                                                                               \
            r->f[k] = (__typeof__(r->f[k]))(expr);                                                 \
        }                                                                                          \
    }
#define MIN(x, y) ((x) < (y) ? (x) : (y))
#define MAX(x, y) ((x) > (y) ? (x) : (y))
#define SIGN(x, y) ((y) < 0 ? -(x) : (y) == 0 ? 0 : (x))

LANES(paddb, uint8_t, b, x + y)
LANES(paddw, uint16_t, w, x + y)
LANES(paddd, uint32_t, d, x + y)
LANES(paddq, uint64_t, q, x + y)
LANES(psubb, uint8_t, b, x - y)
LANES(psubw, uint16_t, w, x - y)
LANES(psubd, uint32_t, d, x - y)
LANES(psubq, uint64_t, q, x - y)
LANES(paddsb, int8_t, b, sat_s8(x + y))
LANES(paddsw, int16_t, w, sat_s16(x + y))
LANES(paddusb, uint8_t, b, sat_u8(x + y))
LANES(paddusw, uint16_t, w, sat_u16(x + y))
LANES(psubsb, int8_t, b, sat_s8(x - y))
LANES(psubsw, int16_t, w, sat_s16(x - y))
LANES(psubusb, uint8_t, b, sat_u8(x - y))
LANES(psubusw, uint16_t, w, sat_u16(x - y))
LANES(pand, uint64_t, q, x & y)
LANES(pandn, uint64_t, q, ~x & y)
LANES(por, uint64_t, q, x | y)
LANES(pxor, uint64_t, q, x ^ y)
LANES(pcmpeqb, uint8_t, b, x == y ? -1 : 0)
LANES(pcmpeqw, uint16_t, w, x == y ? -1 : 0)
LANES(pcmpeqd, uint32_t, d, x == y ? -1 : 0)
LANES(pcmpeqq, uint64_t, q, x == y ? -1 : 0)
LANES(pcmpgtb, int8_t, b, x > y ? -1 : 0)
LANES(pcmpgtw, int16_t, w, x > y ? -1 : 0)
LANES(pcmpgtd, int32_t, d, x > y ? -1 : 0)
LANES(pcmpgtq, int64_t, q, x > y ? -1 : 0)
LANES(pminub, uint8_t, b, MIN(x, y))
LANES(pminsb, int8_t, b, MIN(x, y))
LANES(pminuw, uint16_t, w, MIN(x, y))
LANES(pminsw, int16_t, w, MIN(x, y))
LANES(pminud, uint32_t, d, MIN(x, y))
LANES(pminsd, int32_t, d, MIN(x, y))
LANES(pmaxub, uint8_t, b, MAX(x, y))
LANES(pmaxsb, int8_t, b, MAX(x, y))
LANES(pmaxuw, uint16_t, w, MAX(x, y))
LANES(pmaxsw, int16_t, w, MAX(x, y))
LANES(pmaxud, uint32_t, d, MAX(x, y))
LANES(pmaxsd, int32_t, d, MAX(x, y))
LANES(pavgb, uint8_t, b, (x + y + 1) >> 1)
LANES(pavgw, uint16_t, w, (x + y + 1) >> 1)
LANES(pmullw, int16_t, w, x * y)
LANES(pmulhw, int16_t, w, (x * y) >> 16)
LANES(pmulhuw, uint16_t, w, ((uint32_t)x * y) >> 16)
LANES(pmulhrsw, int16_t, w, (((x * y) >> 14) + 1) >> 1)
LANES(pmulld, uint32_t, d, x * y)
LANES(pmuludq, uint64_t, q, (x & 0xffffffff) * (y & 0xffffffff))
LANES(pmuldq, int64_t, q, (int64_t)(int32_t)x * (int32_t)y)
LANES(psignb, int8_t, b, SIGN(x, y))
LANES(psignw, int16_t, w, SIGN(x, y))
LANES(psignd, int32_t, d, y < 0 ? 0 - (uint32_t)x : y == 0 ? 0 : (uint32_t)x)
LANES(pabsb, int8_t, b, y < 0 ? -y : y)
LANES(pabsw, int16_t, w, y < 0 ? -y : y)
LANES(pabsd, int32_t, d, y < 0 ? 0 - (uint32_t)y : (uint32_t)y)

/* ---- kernels that work within 128-bit lanes (64-bit for MMX) ---- */

/* `body` fills result elements of the lane that starts at element o and has m elements. */
#define LANE_WISE(name, f, body)                                                                   \
    static void k_##name(VecReg *r, const VecReg *a, const VecReg *b, unsigned n)                  \
    {                                                                                              \
        unsigned m = (n < 16 ? n : 16) / sizeof(r->f[0]);                                          \
                                                                                                   \
        for (unsigned o = 0; o < n / sizeof(r->f[0]); o += m) {                                    \
            body                                                                                   \
        }                                                                                          \
    }
#define UNPACK(name, f, high)                                                                      \
    LANE_WISE(name, f, for (unsigned k = 0; k < m / 2; k++) {                                      \
        r->f[o + 2 * k] = a->f[o + k + (high ? m / 2 : 0)];                                        \
        r->f[o + 2 * k + 1] = b->f[o + k + (high ? m / 2 : 0)];                                    \
    })
UNPACK(punpcklbw, b, false)
UNPACK(punpcklwd, w, false)
UNPACK(punpckldq, d, false)
UNPACK(punpcklqdq, q, false)
UNPACK(punpckhbw, b, true)
UNPACK(punpckhwd, w, true)
UNPACK(punpckhdq, d, true)
UNPACK(punpckhqdq, q, true)

/* Narrow: m results, the low half from a, the high half from b; wide elements are T in field g. */
#define PACK(name, f, T, g, sat)                                                                   \
    LANE_WISE(name, f, for (unsigned k = 0; k < m / 2; k++) {                                      \
        r->f[o + k] = sat((T)a->g[o / 2 + k]);                                                     \
        r->f[o + m / 2 + k] = sat((T)b->g[o / 2 + k]);                                             \
    })
PACK(packsswb, b, int16_t, w, sat_s8)
PACK(packuswb, b, int16_t, w, sat_u8)
PACK(packssdw, w, int32_t, d, sat_s16)
PACK(packusdw, w, int32_t, d, sat_u16)

#define HORIZONTAL(name, f, T, expr)                                                               \
    LANE_WISE(name, f, for (unsigned k = 0; k < m; k++) {                                          \
        const VecReg *s = k < m / 2 ? a : b;                                                       \
        T x = (T)s->f[o + 2 * k % m];                                                              \
        T y = (T)s->f[o + 2 * k % m + 1];                                                          \
        r->f[o + k] = (__typeof__(r->f[0]))(expr);                                                 \
    })
HORIZONTAL(phaddw, w, uint16_t, x + y)
HORIZONTAL(phaddd, d, uint32_t, x + y)
HORIZONTAL(phaddsw, w, int16_t, sat_s16(x + y))
HORIZONTAL(phsubw, w, uint16_t, x - y)
HORIZONTAL(phsubd, d, uint32_t, x - y)
HORIZONTAL(phsubsw, w, int16_t, sat_s16(x - y))

LANE_WISE(pshufb, b, for (unsigned k = 0; k < m; k++) {
    r->b[o + k] = b->b[o + k] & 0x80 ? 0 : a->b[o + (b->b[o + k] & (m - 1))];
})

static void k_pmaddwd(VecReg *r, const VecReg *a, const VecReg *b, unsigned n)
{
    for (unsigned k = 0; k < n / 4; k++) {
        uint32_t lo = (uint32_t)((int16_t)a->w[2 * k] * (int16_t)b->w[2 * k]);
        uint32_t hi = (uint32_t)((int16_t)a->w[2 * k + 1] * (int16_t)b->w[2 * k + 1]);

        r->d[k] = lo + hi;
    }
}

static void k_pmaddubsw(VecReg *r, const VecReg *a, const VecReg *b, unsigned n)
{
    for (unsigned k = 0; k < n / 2; k++) {
        r->w[k] = sat_s16(a->b[2 * k] * (int8_t)b->b[2 * k] +
                          a->b[2 * k + 1] * (int8_t)b->b[2 * k + 1]);
    }
}

static void k_psadbw(VecReg *r, const VecReg *a, const VecReg *b, unsigned n)
{
    for (unsigned k = 0; k < n; k += 8) {
        unsigned sum = 0;

        for (unsigned m = k; m < k + 8; m++) {
            sum += a->b[m] > b->b[m] ? a->b[m] - b->b[m] : b->b[m] - a->b[m];
        }
        r->q[k / 8] = sum;
    }
}

/* ---- shifts: one count for all lanes ---- */

#define SHIFT(name, T, f, expr, over)                                                              \
    static void s_##name(VecReg *r, const VecReg *a, uint64_t by, unsigned n)                      \
    {                                                                                              \
        for (unsigned k = 0; k < n / sizeof(T); k++) {                                             \
            T x = (T)a->f[k];                                                                      \
                                                                                                   \
            (void)x;                                                                               \
            r->f[k] = (__typeof__(r->f[k]))(by < 8 * sizeof(T) ? (expr) : (over));                 \
        }                                                                                          \
    }
SHIFT(psrlw, uint16_t, w, x >> by, 0)
SHIFT(psrld, uint32_t, d, x >> by, 0)
SHIFT(psrlq, uint64_t, q, x >> by, 0)
SHIFT(psraw, int16_t, w, x >> by, x >> 15)
SHIFT(psrad, int32_t, d, x >> by, x >> 31)
SHIFT(psllw, uint16_t, w, x << by, 0)
SHIFT(pslld, uint32_t, d, x << by, 0)
SHIFT(psllq, uint64_t, q, x << by, 0)

/* ---- handlers ---- */

static void vec2(CpuState *c, const Insn *i, VecKernel *kernel)
{
    VecReg a, b, r;

    sse_check(c, i);
    b = vec_rm(c, i, vec_bytes(i));
    a = vec_src1(c, i);
    kernel(&r, &a, &b, vec_bytes(i));
    vec_put(c, i, i->reg, &r);
}

static void mmx2(CpuState *c, const Insn *i, VecKernel *kernel, unsigned size)
{
    VecReg a, b, r;

    mmx_check(c);
    b.q[0] = mmx_rm(c, i, size);
    a.q[0] = c->fpr[i->reg & 7].frac;
    kernel(&r, &a, &b, 8);
    mmx_enter(c);
    mmx_put(c, i->reg, r.q[0]);
}

typedef void ShiftKernel(VecReg *r, const VecReg *a, uint64_t by, unsigned n);

static void vec_shift(CpuState *c, const Insn *i, ShiftKernel *kernel)
{
    VecReg a, r;
    uint64_t by;

    sse_check(c, i);
    by = vec_rm(c, i, 16).q[0];
    a = vec_src1(c, i);
    kernel(&r, &a, by, vec_bytes(i));
    vec_put(c, i, i->reg, &r);
}

static void vec_shift_imm(CpuState *c, const Insn *i, ShiftKernel *kernel)
{
    VecReg r;

    sse_check(c, i);
    kernel(&r, &c->xmm[i->rm], (uint8_t)i->imm, vec_bytes(i));
    vec_put(c, i, insn_vex(i) ? i->vvvv : i->rm, &r);
}

static void mmx_shift(CpuState *c, const Insn *i, ShiftKernel *kernel, bool imm)
{
    unsigned reg = imm ? i->rm : i->reg;
    VecReg a, r;
    uint64_t by;

    mmx_check(c);
    by = imm ? (uint8_t)i->imm : mmx_rm(c, i, 8);
    a.q[0] = c->fpr[reg & 7].frac;
    kernel(&r, &a, by, 8);
    mmx_enter(c);
    mmx_put(c, reg, r.q[0]);
}

#define VEC2(name, map, op, sse)                                                                   \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        vec2(c, i, k_##name);                                                                      \
    }
#define VEC2M(name, map, op, mmx, sse)                                                             \
    VEC2(name, map, op, sse)                                                                       \
    void op_mmx_##name(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        /* The low unpacks read only 32 bits of memory. */                                         \
        mmx2(c, i, k_##name, (map) == MAP_0F && (op) < 0x63 ? 4 : 8);                              \
    }
#define VEC1M(name, map, op) VEC2M(name, map, op, , )
#define VSHIFT(name, op, imm_op, ext)                                                              \
    void op_##name(CpuState *c, const Insn *i)                                                     \
    {                                                                                              \
        vec_shift(c, i, s_##name);                                                                 \
    }                                                                                              \
    void op_##name##_imm(CpuState *c, const Insn *i)                                               \
    {                                                                                              \
        vec_shift_imm(c, i, s_##name);                                                             \
    }                                                                                              \
    void op_mmx_##name(CpuState *c, const Insn *i)                                                 \
    {                                                                                              \
        mmx_shift(c, i, s_##name, false);                                                          \
    }                                                                                              \
    void op_mmx_##name##_imm(CpuState *c, const Insn *i)                                           \
    {                                                                                              \
        mmx_shift(c, i, s_##name, true);                                                           \
    }
#include "cpu/vec-int.inc"
