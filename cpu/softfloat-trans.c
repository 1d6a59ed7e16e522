/*
 * Soft float: the x87 transcendentals and the SSE reciprocals without the host's instructions.
 *
 * Sources: Intel SDM vol. 1, "Approximation of Pi" (the trigonometric ones reduce by a 66-bit pi),
 * "Transcendental Instruction Accuracy" (1 ulp); vol. 2 under each instruction for the tables of
 * zeros and infinities.
 *
 * Computed with 113-bit significands by series, so that the one rounding that matters is the last.
 * What is too small or large for that format keeps its exponent apart (Exact.exp). Outside of the
 * range where the manual defines F2XM1 and FYL2XP1, the result is of no meaning.
 */
#include "cpu/softfloat-core.h"

#include "base/mem.h"

#if __LDBL_MANT_DIG__ == 113
typedef long double Quad;
#else
typedef __float128 Quad;
#endif

typedef union QuadBits {
    Quad q;
    u128 bits;
} QuadBits;

typedef struct Exact {
    Quad v;      /* not 0 */
    int32_t exp; /* the value is v * 2^exp */
    bool exact;  /* no digits beyond v */
} Exact;

/* sig / 2^127 * 2^exp; bit 127 of sig is set. */
static Quad quad(bool sign, int exp, u128 sig)
{
    QuadBits b = { .bits = (u128)sign << 127 | (u128)(unsigned)(exp + 16383) << 112 |
                           sig << 1 >> 16 };

    return b.q;
}

static Quad quad_of(uint64_t hi, uint64_t lo, int exp)
{
    return quad(false, exp, (u128)hi << 64 | lo);
}

#define Q_LN2 quad_of(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af, -1)
#define Q_LOG2E quad_of(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e89, 0)
#define Q_PI quad_of(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, 1)

/* Magnitude of @a in [1, 2), its exponent left out. */
static Quad mantissa(FpNum a)
{
    return quad(false, 0, (u128)a.frac << 64);
}

static Float80 deliver(FpEnv *e, bool negate, Exact x)
{
    QuadBits b = { .q = x.v };
    bool sign = b.bits >> 127;
    int exp = (int)(b.bits >> 112 & 0x7fff) - 16383;
    u128 sig = (u128)1 << 127 | b.bits << 16 >> 1;

    return fp_pack80(fp_round(e, &fp_f80, sign ^ negate, exp + x.exp, sig | !x.exact));
}

static Exact inexact(Quad v)
{
    return (Exact){ v, 0, false };
}

/* ---- sine, cosine, tangent ---- */

static Quad sin_kernel(Quad r)
{
    Quad r2 = r * r, s = 1;

    for (int k = 14; k > 0; k--) {
        s = 1 - r2 / (2 * k * (2 * k + 1)) * s;
    }
    return r * s;
}

static Quad cos_kernel(Quad r)
{
    Quad r2 = r * r, s = 1;

    for (int k = 14; k > 0; k--) {
        s = 1 - r2 / (2 * k * (2 * k - 1)) * s;
    }
    return s;
}

/* |a| less the nearest multiple of pi/2, and which multiple. -40 <= a.exp < 63. */
static Quad reduce(FpNum a, unsigned *quadrant)
{
    /* pi/2 with the 66 bits of pi that the processor has, in units of 2^-65; a half turn is never
     * met exactly, since this is odd and has more bits than an operand. */
    const u128 half_pi = (u128)3 << 64 | 0x243f6a8885a308d3;
    u128 v, rest;
    bool below;

    *quadrant = 0;
    if (a.exp < -1) { /* less than pi/4 */
        return quad(false, a.exp, (u128)a.frac << 64);
    }
    v = (u128)a.frac << (a.exp + 2);
    rest = v % half_pi;
    *quadrant = (unsigned)(v / half_pi) & 3;
    below = rest > half_pi / 2;
    if (below) {
        rest = half_pi - rest;
        *quadrant = (*quadrant + 1) & 3;
    }
    return quad(below, 62 - (int)fp_clz128(rest), rest << fp_clz128(rest));
}

/* Too small for the series to matter: a, rounded as if a little less (or more) than it. */
static Float80 near(FpEnv *e, FpNum a, bool more)
{
    u128 v = (u128)a.frac << 64;

    return fp_pack80(fp_round(e, &fp_f80, a.sign, a.exp, more ? v | 1 : v - 1));
}

static Float80 trig(FpEnv *e, FpTrans op, FpNum a)
{
    unsigned n;
    Quad r, s, c;

    if (a.exp < -40) {
        return op == FT_FCOS ? near(e, (FpNum){ .frac = FP_TOP }, false) : near(e, a, op == FT_FPTAN);
    }
    r = reduce(a, &n);
    switch (op) {
    case FT_FPTAN:
        s = sin_kernel(r);
        c = cos_kernel(r);
        return deliver(e, a.sign, inexact(n & 1 ? -c / s : s / c));
    case FT_FCOS:
        return deliver(e, n == 1 || n == 2, inexact(n & 1 ? sin_kernel(r) : cos_kernel(r)));
    default:
        return deliver(e, a.sign ^ (n >= 2), inexact(n & 1 ? cos_kernel(r) : sin_kernel(r)));
    }
}

/* FSIN, FCOS, FSINCOS, FPTAN. */
static bool trig_insn(FpEnv *e, FpTrans op, FpNum a, Float80 *res, Float80 *second)
{
    if (a.cls == FC_INF) {
        *res = *second = fp_pack80(fp_invalid(e));
        return true;
    }
    if (a.cls == FC_NORMAL && a.exp >= 63) {
        *res = fp_pack80(a);
        return false;
    }
    fp_note_denormal(e, a.denorm);
    if (a.cls == FC_ZERO) {
        *res = op == FT_FCOS ? f80_one : fp_pack80(a);
        *second = f80_one;
        return true;
    }
    *second = op == FT_FSINCOS ? trig(e, FT_FCOS, a) : f80_one;
    *res = trig(e, op, a);
    return true;
}

/* ---- exponential and logarithm ---- */

/* 2^a - 1, |a| <= 1. */
static Float80 f2xm1(FpEnv *e, FpNum a)
{
    Quad y, s = 1;

    if (a.cls != FC_NORMAL) {
        return fp_pack80(a);
    }
    fp_note_denormal(e, a.denorm);
    if (a.exp >= 0) {
        a.exp -= a.exp == 0 && a.frac == FP_TOP && a.sign; /* 1 gives 1, -1 gives -1/2 */
        return fp_pack80(a);
    }
    y = (a.sign ? -mantissa(a) : mantissa(a)) * Q_LN2;
    if (a.exp < -80) {
        return deliver(e, false, (Exact){ y, a.exp, false });
    }
    y *= quad(false, a.exp, (u128)1 << 127);
    for (int k = 30; k > 1; k--) {
        s = 1 + y / k * s;
    }
    return deliver(e, false, inexact(y * s));
}

/* 2 * atanh(s) / ln 2 / s, |s| < 0.18 */
static Quad log2_kernel(Quad s)
{
    Quad s2 = s * s, sum = 0;

    for (int k = 22; k >= 0; k--) {
        sum = sum * s2 + (Quad)1 / (2 * k + 1);
    }
    return 2 * sum * Q_LOG2E;
}

/* log2(a), positive and not 1. */
static Exact log2_of(FpNum a)
{
    const uint64_t sqrt2 = 0xb504f333f9de6484;
    bool high = a.frac > sqrt2;
    Quad m = quad(false, high ? -1 : 0, (u128)a.frac << 64), s = (m - 1) / (m + 1);
    int exp = a.exp + high;

    if (a.frac == FP_TOP) {
        return (Exact){ a.exp, 0, true };
    }
    return inexact(exp + s * log2_kernel(s));
}

/* y * x, y a number with its exponent apart. */
static Float80 times(FpEnv *e, FpNum y, Exact x)
{
    x.v *= mantissa(y);
    x.exp += y.exp;
    return deliver(e, y.sign, x);
}

/* @y times a logarithm whose sign (and whether it is zero or infinite) is all that matters. */
static Float80 log_special(FpEnv *e, FpNum y, FpNum log)
{
    if ((y.cls == FC_INF && log.cls == FC_ZERO) || (y.cls == FC_ZERO && log.cls == FC_INF)) {
        return fp_pack80(fp_invalid(e));
    }
    if (y.cls == FC_INF || log.cls == FC_INF) {
        return fp_pack80(fp_inf(y.sign ^ log.sign));
    }
    return fp_pack80(fp_zero(y.sign ^ log.sign));
}

static Float80 fyl2x(FpEnv *e, FpNum x, FpNum y)
{
    FpNum log = fp_zero(false);

    if (x.sign && x.cls != FC_ZERO) {
        return fp_pack80(fp_invalid(e));
    }
    if (x.cls == FC_ZERO) {
        if (y.cls == FC_NORMAL) {
            e->flags |= FP_ZE;
        }
        log = fp_inf(true);
    } else if (x.cls == FC_INF) {
        log = fp_inf(false);
    } else if (x.exp != 0 || x.frac != FP_TOP) {
        log = (FpNum){ .cls = FC_NORMAL, .sign = x.exp < 0 };
    }
    if (!(e->flags & FP_ZE) && !(y.cls == FC_INF && log.cls == FC_ZERO) &&
        !(y.cls == FC_ZERO && log.cls == FC_INF)) {
        fp_note_denormal(e, x.denorm || y.denorm);
    }
    if (y.cls != FC_NORMAL || log.cls != FC_NORMAL) {
        return log_special(e, y, log);
    }
    return times(e, y, log2_of(x));
}

static Float80 fyl2xp1(FpEnv *e, FpNum x, FpNum y)
{
    Quad v, s;

    if (!(y.cls == FC_INF && x.cls == FC_ZERO) && !(y.cls == FC_ZERO && x.cls == FC_INF)) {
        fp_note_denormal(e, x.denorm || y.denorm);
    }
    if (x.cls != FC_NORMAL || y.cls != FC_NORMAL) {
        return log_special(e, y, x);
    }
    v = x.sign ? -mantissa(x) : mantissa(x);
    if (x.exp < -80) {
        return times(e, y, (Exact){ v * Q_LOG2E, x.exp, false });
    }
    if (x.exp >= 0) { /* out of the range that is defined */
        return fp_pack80(y);
    }
    v *= quad(false, x.exp, (u128)1 << 127);
    s = v / (2 + v);
    return times(e, y, inexact(s * log2_kernel(s)));
}

/* ---- arc tangent ---- */

/* atan(t), 0 < t <= 1, by the nearest eighth: atan(t) = atan(c) + atan((t - c) / (1 + t c)). */
static Quad atan_kernel(Quad t)
{
    static const struct {
        uint64_t hi, lo;
        int exp;
    } eighths[8] = { /* atan(1/8) to atan(8/8) */
        { 0xfeadd4d5617b6e32, 0xc897989f3e888ef8, -4 },
        { 0xfadbafc96406eb15, 0x6dc79ef5f7a217e6, -3 },
        { 0xb7b0ca0f26f78473, 0x8aa32122dcfe4483, -2 },
        { 0xed63382b0dda7b45, 0x6fe445ecbc3a8d03, -2 },
        { 0x8f005d5ef7f59f9b, 0x5c835e1665c43748, -1 },
        { 0xa4bc7d1934f70924, 0x19a87f2a457dac9f, -1 },
        { 0xb8053e2bc2319e73, 0xcb2da55210a4443d, -1 },
        { 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, -1 },
    };
    int k = (int)(t * 8 + (Quad)0.5);
    Quad c = (Quad)k / 8, u = (t - c) / (1 + t * c), u2 = u * u, sum = 0;

    for (int n = 14; n >= 0; n--) {
        sum = (Quad)1 / (2 * n + 1) - u2 * sum;
    }
    u *= sum;
    return k == 0 ? u : quad_of(eighths[k - 1].hi, eighths[k - 1].lo, eighths[k - 1].exp) + u;
}

/* A multiple of pi/4. */
static Float80 quarter_pis(FpEnv *e, bool sign, int n)
{
    return deliver(e, sign, inexact(Q_PI / 4 * n));
}

static Float80 fpatan(FpEnv *e, FpNum x, FpNum y)
{
    bool steep;
    int diff = y.exp - x.exp;
    Quad t;

    fp_note_denormal(e, x.denorm || y.denorm);
    if (y.cls == FC_INF) {
        return quarter_pis(e, y.sign, x.cls != FC_INF ? 2 : x.sign ? 3 : 1);
    }
    if (y.cls == FC_ZERO || x.cls == FC_INF) {
        return x.sign ? quarter_pis(e, y.sign, 4) : fp_pack80(fp_zero(y.sign));
    }
    if (x.cls == FC_ZERO) {
        return quarter_pis(e, y.sign, 2);
    }
    t = mantissa(y) / mantissa(x);
    if (diff < -70 && !x.sign) { /* the quotient, a little less */
        QuadBits b = { .q = t };

        b.bits -= 1;
        return deliver(e, y.sign, (Exact){ b.q, diff, false });
    }
    diff = diff > 200 ? 200 : diff < -200 ? -200 : diff;
    t *= quad(false, diff, (u128)1 << 127);
    steep = t > 1;
    t = atan_kernel(steep ? 1 / t : t);
    t = steep ? Q_PI / 2 - t : t;
    return deliver(e, y.sign, inexact(x.sign ? Q_PI - t : t));
}

bool f80_trans_portable(FpEnv *e, FpTrans op, Float80 a80, Float80 b80, Float80 *res,
                        Float80 *second)
{
    FpNum a = fp_unpack80(a80), b = fp_unpack80(b80), r;
    bool binary = op == FT_FYL2X || op == FT_FPATAN || op == FT_FYL2XP1, done = true;
    uint8_t prec = e->prec;

    e->up = false;
    if (binary ? fp_nan2(e, b, a, &r) : fp_nan1(e, a, &r)) {
        *res = *second = fp_pack80(r);
        return true;
    }
    e->prec = 64; /* precision control does not apply */
    switch (op) {
    case FT_F2XM1: *res = f2xm1(e, a); break;
    case FT_FYL2X: *res = fyl2x(e, a, b); break;
    case FT_FYL2XP1: *res = fyl2xp1(e, a, b); break;
    case FT_FPATAN: *res = fpatan(e, a, b); break;
    default: done = trig_insn(e, op, a, res, second); break;
    }
    e->prec = prec;
    return done;
}

/* ---- reciprocals ---- */

/* Twelve bits of the exact result: within the promised 1.5 * 2^-12. */
static uint32_t twelve_bits(uint32_t r)
{
    return (r & 0x7f800000) == 0x7f800000 ? r : (r + 0x400) & ~0x7ffu;
}

uint32_t f32_rcp_approx(uint32_t a)
{
    FpEnv e = { .daz = true, .ftz = true, .masks = 0x3f };

    return twelve_bits(f32_div(&e, 0x3f800000, a));
}

uint32_t f32_rsqrt_approx(uint32_t a)
{
    FpEnv e = { .daz = true, .ftz = true, .masks = 0x3f };

    return twelve_bits(f32_div(&e, 0x3f800000, f32_sqrt(&e, a)));
}
