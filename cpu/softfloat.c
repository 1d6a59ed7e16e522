/*
 * Soft float: unpack, round, pack, and the arithmetic of all formats.
 *
 * Sources: Intel SDM vol. 1, "Floating-Point Format", "Numeric Underflow Exception" (tiny after
 * rounding), "Masked Responses to Numeric Overflow", table "Rules for Handling NaNs".
 */
#include "cpu/softfloat-core.h"

const FpFormat fp_f16 = { 10, 5, 11, 15 };
const FpFormat fp_f32 = { 23, 8, 24, 127 };
const FpFormat fp_f64 = { 52, 11, 53, 1023 };
const FpFormat fp_f80 = { 63, 15, 64, 16383 };

const Float80 f80_indefinite = { 0xc000000000000000, 0xffff };
const Float80 f80_zero = { 0, 0 };
const Float80 f80_one = { 0x8000000000000000, 0x3fff };

FpEnv fp_env_x87(uint16_t fcw)
{
    static const uint8_t prec[4] = { 24, 64, 53, 64 }; /* 01b is reserved; the CPUs take it as 64 */

    return (FpEnv){ .rc = fcw >> 10 & 3, .prec = prec[fcw >> 8 & 3], .masks = fcw & 0x3f,
                    .x87 = true };
}

/* ---- unpack and pack ---- */

static FpNum fp_unpack_parts(bool sign, int32_t biased, int32_t top, int32_t bias, uint64_t frac)
{
    FpNum n = { .sign = sign, .frac = frac, .exp = biased - bias, .cls = FC_NORMAL };

    if (biased == top) {
        n.cls = frac << 1 == 0 ? FC_INF : frac & FP_QUIET ? FC_QNAN : FC_SNAN;
    } else if (biased == 0 && frac == 0) {
        n.cls = FC_ZERO;
    } else if (biased == 0) {
        unsigned shift = (unsigned)__builtin_clzll(frac);

        n.denorm = true;
        n.frac = frac << shift;
        n.exp = 1 - bias - (int32_t)shift;
    }
    return n;
}

FpNum fp_unpack(const FpEnv *e, const FpFormat *f, uint64_t bits)
{
    int32_t top = (1 << f->exp_bits) - 1;
    int32_t biased = (int32_t)(bits >> f->frac_bits) & top;
    uint64_t frac = bits << (63 - f->frac_bits) & ~FP_TOP;
    FpNum n = fp_unpack_parts(bits >> (f->frac_bits + f->exp_bits) & 1, biased, top, f->bias,
                              biased ? frac | FP_TOP : frac);

    return n.denorm && e->daz ? fp_zero(n.sign) : n;
}

uint64_t fp_pack(const FpFormat *f, FpNum n)
{
    uint64_t sign = (uint64_t)n.sign << (f->frac_bits + f->exp_bits);
    uint64_t top = (1ull << f->exp_bits) - 1, biased;

    if (n.cls == FC_ZERO) {
        return sign;
    }
    biased = n.cls != FC_NORMAL ? top : n.frac & FP_TOP ? (uint64_t)(n.exp + f->bias) : 0;
    return sign | biased << f->frac_bits | (n.frac & ~FP_TOP) >> (63 - f->frac_bits);
}

FpNum fp_unpack80(Float80 a)
{
    if (f80_is_unsupported(a)) {
        return (FpNum){ .cls = FC_BAD, .sign = a.sexp >> 15 };
    }
    return fp_unpack_parts(a.sexp >> 15, a.sexp & 0x7fff, 0x7fff, fp_f80.bias, a.frac);
}

Float80 fp_pack80(FpNum n)
{
    uint16_t sign = n.sign ? 0x8000 : 0;

    if (n.cls == FC_ZERO) {
        return (Float80){ 0, sign };
    }
    if (n.cls != FC_NORMAL) {
        return (Float80){ n.frac | FP_TOP, sign | 0x7fff };
    }
    return (Float80){ n.frac, sign | (n.frac & FP_TOP ? (n.exp + fp_f80.bias) & 0x7fff : 0) };
}

/* ---- rounding ---- */

/* Round the top @prec bits of a normalised fraction; *exp grows when the carry leaves the top. */
static uint64_t fp_round_frac(const FpEnv *e, bool sign, unsigned prec, u128 frac, int32_t *exp,
                              bool *inexact, bool *up)
{
    unsigned drop = 128 - prec;
    u128 kept = frac >> drop, rest = frac << prec;

    *inexact = rest != 0;
    *up = fp_round_up(e->rc, sign, kept & 1, (uint64_t)(rest >> 127), rest << 1 != 0);
    kept += *up;
    if (kept >> prec) {
        kept >>= 1;
        ++*exp;
    }
    return (uint64_t)kept << (64 - prec);
}

static FpNum fp_overflow(FpEnv *e, const FpFormat *f, unsigned prec, bool sign)
{
    bool to_inf = e->rc == RC_NEAREST || e->rc == (sign ? RC_DOWN : RC_UP);

    e->flags |= FP_OE | FP_PE;
    e->up = to_inf;
    if (to_inf) {
        return fp_inf(sign);
    }
    return (FpNum){ .cls = FC_NORMAL, .sign = sign, .exp = f->bias, .frac = ~0ull << (64 - prec) };
}

static FpNum fp_underflow(FpEnv *e, const FpFormat *f, unsigned prec, bool sign, int32_t exp,
                          u128 frac)
{
    FpNum n = { .cls = FC_NORMAL, .sign = sign, .exp = 1 - f->bias };
    bool inexact;

    if (e->ftz) {
        e->flags |= FP_UE | FP_PE;
        return fp_zero(sign);
    }
    frac = fp_shift_jam(frac, (unsigned)(n.exp - exp));
    /* A carry into bit 127 gives the smallest normal number: no overflow of fp_round_frac(). */
    n.frac = fp_round_frac(e, sign, prec, frac, &n.exp, &inexact, &e->up);
    e->flags |= inexact ? FP_UE | FP_PE : 0;
    if (n.frac == 0) {
        n.cls = FC_ZERO;
    }
    return n;
}

/* Out of range even with the exponent wrapped: FSCALE only. */
static FpNum fp_massive(FpEnv *e, bool sign, bool tiny)
{
    e->flags |= FP_PE;
    e->up = !tiny;
    return tiny ? fp_zero(sign) : fp_inf(sign);
}

FpNum fp_round(FpEnv *e, const FpFormat *f, bool sign, int32_t exp, u128 frac)
{
    unsigned shift = fp_clz128(frac), prec = e->x87 && f == &fp_f80 ? e->prec : f->prec;
    FpNum n = { .cls = FC_NORMAL, .sign = sign };
    int32_t emin = 1 - f->bias;
    uint8_t unmasked;
    bool inexact;

    frac <<= shift;
    exp -= (int32_t)shift;
    n.exp = exp;
    n.frac = fp_round_frac(e, sign, prec, frac, &n.exp, &inexact, &e->up);
    if (n.exp >= emin && n.exp <= f->bias) {
        e->flags |= inexact ? FP_PE : 0;
        return n;
    }
    if (e->x87 && !(e->masks & (n.exp < emin ? FP_UE : FP_OE))) {
        e->flags |= n.exp < emin ? FP_UE : FP_OE;
        if (f != &fp_f80) { /* FST: nothing is stored, nothing rounded */
            e->up = false;
            return n;
        }
        e->flags |= inexact ? FP_PE : 0;
        n.exp += n.exp < emin ? 24576 : -24576;
        return n.exp < emin || n.exp > f->bias ? fp_massive(e, sign, n.exp < emin) : n;
    }
    unmasked = (n.exp > f->bias ? FP_OE : FP_UE) & ~e->masks;
    if (unmasked) { /* SSE: no result; PE tells of the significand alone */
        e->flags |= unmasked | (inexact ? FP_PE : 0);
        return n;
    }
    if (n.exp > f->bias) {
        return fp_overflow(e, f, prec, sign);
    }
    return fp_underflow(e, f, prec, sign, exp, frac);
}

/* ---- NaNs ---- */

FpNum fp_invalid(FpEnv *e)
{
    e->flags |= FP_IE;
    e->up = false;
    return (FpNum){ .cls = FC_QNAN, .sign = true, .frac = FP_TOP | FP_QUIET };
}

static FpNum fp_quiet(FpNum a)
{
    a.cls = FC_QNAN;
    a.frac |= FP_TOP | FP_QUIET;
    return a;
}

bool fp_nan1(FpEnv *e, FpNum a, FpNum *r)
{
    if (!fp_is_nan(a)) {
        return false;
    }
    e->up = false;
    if (a.cls == FC_BAD) {
        *r = fp_invalid(e);
        return true;
    }
    e->flags |= a.cls == FC_SNAN ? FP_IE : 0;
    *r = fp_quiet(a);
    return true;
}

/* x87: a quiet NaN before a signalling one, then the larger significand, then the positive one. */
static FpNum fp_choose_x87(FpNum a, FpNum b)
{
    if (!fp_is_nan(b)) {
        return a;
    }
    if (!fp_is_nan(a)) {
        return b;
    }
    if (a.cls != b.cls) {
        return a.cls == FC_QNAN ? a : b;
    }
    if (a.frac != b.frac) {
        return a.frac > b.frac ? a : b;
    }
    return a.sign ? b : a;
}

bool fp_nan2(FpEnv *e, FpNum a, FpNum b, FpNum *r)
{
    if (!fp_is_nan(a) && !fp_is_nan(b)) {
        return false;
    }
    if (a.cls == FC_BAD || b.cls == FC_BAD) {
        *r = fp_invalid(e);
        return true;
    }
    e->up = false;
    e->flags |= a.cls == FC_SNAN || b.cls == FC_SNAN ? FP_IE : 0;
    *r = fp_quiet(e->x87 ? fp_choose_x87(a, b) : fp_is_nan(a) ? a : b);
    return true;
}

/* ---- arithmetic ---- */

/* The sum of two products or numbers as 127-bit fractions (bit 127 clear, as is bit 0). */
static FpNum fp_add_frac(FpEnv *e, const FpFormat *f, bool asign, int32_t aexp, u128 a, bool bsign,
                         int32_t bexp, u128 b)
{
    int32_t exp = aexp > bexp ? aexp : bexp;

    if (aexp > bexp) {
        b = fp_shift_jam(b, (unsigned)(aexp - bexp));
    } else {
        a = fp_shift_jam(a, (unsigned)(bexp - aexp));
    }
    if (asign == bsign) {
        return fp_round(e, f, asign, exp + 1, a + b);
    }
    if (a == b) {
        e->up = false;
        return fp_zero(e->rc == RC_DOWN);
    }
    return a > b ? fp_round(e, f, asign, exp + 1, a - b) : fp_round(e, f, bsign, exp + 1, b - a);
}

/* What is exact already, rounded to the precision in force (x87 zero operands). */
static FpNum fp_again(FpEnv *e, const FpFormat *f, FpNum a)
{
    return a.cls == FC_NORMAL ? fp_round(e, f, a.sign, a.exp, (u128)a.frac << 64) : a;
}

static FpNum fp_add(FpEnv *e, const FpFormat *f, FpNum a, FpNum b)
{
    FpNum r;

    e->up = false;
    if (fp_nan2(e, a, b, &r)) {
        return r;
    }
    if (a.cls == FC_INF && b.cls == FC_INF && a.sign != b.sign) {
        return fp_invalid(e);
    }
    fp_note_denormal(e, a.denorm | b.denorm);
    if (a.cls == FC_INF || b.cls == FC_INF) {
        return a.cls == FC_INF ? a : b;
    }
    if (a.cls == FC_ZERO && b.cls == FC_ZERO) {
        return fp_zero(a.sign == b.sign ? a.sign : e->rc == RC_DOWN);
    }
    if (a.cls == FC_ZERO || b.cls == FC_ZERO) {
        return fp_again(e, f, a.cls == FC_ZERO ? b : a);
    }
    return fp_add_frac(e, f, a.sign, a.exp, (u128)a.frac << 63, b.sign, b.exp, (u128)b.frac << 63);
}

static FpNum fp_sub(FpEnv *e, const FpFormat *f, FpNum a, FpNum b)
{
    b.sign ^= !fp_is_nan(b);
    return fp_add(e, f, a, b);
}

static FpNum fp_mul(FpEnv *e, const FpFormat *f, FpNum a, FpNum b)
{
    bool sign = a.sign ^ b.sign;
    FpNum r;

    e->up = false;
    if (fp_nan2(e, a, b, &r)) {
        return r;
    }
    if ((a.cls == FC_INF && b.cls == FC_ZERO) || (a.cls == FC_ZERO && b.cls == FC_INF)) {
        return fp_invalid(e);
    }
    fp_note_denormal(e, a.denorm | b.denorm);
    if (a.cls == FC_INF || b.cls == FC_INF) {
        return fp_inf(sign);
    }
    if (a.cls == FC_ZERO || b.cls == FC_ZERO) {
        return fp_zero(sign);
    }
    return fp_round(e, f, sign, a.exp + b.exp + 1, (u128)a.frac * b.frac);
}

static FpNum fp_div(FpEnv *e, const FpFormat *f, FpNum a, FpNum b)
{
    bool sign = a.sign ^ b.sign;
    u128 num, quot, rest;
    FpNum r;

    e->up = false;
    if (fp_nan2(e, a, b, &r)) {
        return r;
    }
    if (a.cls == b.cls && a.cls != FC_NORMAL) {
        return fp_invalid(e); /* 0/0, inf/inf */
    }
    if (b.cls == FC_ZERO && a.cls == FC_NORMAL) {
        e->flags |= FP_ZE; /* before DE: not both */
        return fp_inf(sign);
    }
    fp_note_denormal(e, a.denorm | b.denorm);
    if (a.cls == FC_INF || b.cls == FC_ZERO) {
        return fp_inf(sign);
    }
    if (a.cls == FC_ZERO || b.cls == FC_INF) {
        return fp_zero(sign);
    }
    num = (u128)a.frac << 63;
    quot = num / b.frac << 63;
    rest = num % b.frac << 63;
    quot |= rest / b.frac;
    return fp_round(e, f, sign, a.exp - b.exp + 1, quot | (rest % b.frac != 0));
}

/* Square root by digits, two bits of the operand a step: 66 bits of root and a sticky bit. */
static u128 fp_root_frac(u128 operand)
{
    u128 root = 0, rest = 0;

    for (unsigned n = 0; n < 66; n++) {
        u128 trial = root << 2 | 1;

        rest = rest << 2 | operand >> 126;
        operand <<= 2;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    return root << 62 | (rest != 0);
}

static FpNum fp_sqrt(FpEnv *e, const FpFormat *f, FpNum a)
{
    FpNum r;

    e->up = false;
    if (fp_nan1(e, a, &r)) {
        return r;
    }
    if (a.sign && a.cls != FC_ZERO) {
        return fp_invalid(e);
    }
    fp_note_denormal(e, a.denorm);
    if (a.cls != FC_NORMAL) {
        return a;
    }
    return fp_round(e, f, false, (a.exp - (a.exp & 1)) / 2,
                    fp_root_frac((u128)a.frac << (a.exp & 1 ? 64 : 63)));
}

/* ---- fused multiply-add ---- */

static bool fp_nan3(FpEnv *e, const FpNum v[3], FpNum *r)
{
    bool product_bad = (v[0].cls == FC_INF && v[1].cls == FC_ZERO) ||
                       (v[0].cls == FC_ZERO && v[1].cls == FC_INF);

    for (unsigned n = 0; n < 3; n++) {
        e->flags |= v[n].cls == FC_SNAN ? FP_IE : 0;
    }
    for (unsigned n = 0; n < 3; n++) {
        if (fp_is_nan(v[n])) {
            *r = fp_quiet(v[n]);
            return true;
        }
    }
    if (product_bad) {
        *r = fp_invalid(e);
    }
    return product_bad;
}

static FpNum fp_fma(FpEnv *e, const FpFormat *f, const FpNum v[3], unsigned neg)
{
    FpNum a = v[0], b = v[1], c = v[2], r;
    bool psign = a.sign ^ b.sign ^ (neg & FMA_NEG_PRODUCT);
    bool csign = c.sign ^ ((neg & FMA_NEG_ADDEND) != 0);
    bool pinf = a.cls == FC_INF || b.cls == FC_INF;
    u128 product;

    if (fp_nan3(e, v, &r)) {
        return r;
    }
    if (pinf && c.cls == FC_INF && psign != csign) {
        return fp_invalid(e);
    }
    fp_note_denormal(e, a.denorm | b.denorm | c.denorm);
    if (pinf || c.cls == FC_INF) {
        return fp_inf(pinf ? psign : csign);
    }
    if (a.cls == FC_ZERO || b.cls == FC_ZERO) {
        if (c.cls == FC_ZERO) {
            return fp_zero(psign == csign ? psign : e->rc == RC_DOWN);
        }
        c.sign = csign;
        return fp_again(e, f, c);
    }
    product = (u128)a.frac * b.frac; /* its low 128 - 2 * 53 bits are 0 */
    if (c.cls == FC_ZERO) {
        return fp_round(e, f, psign, a.exp + b.exp + 1, product);
    }
    return fp_add_frac(e, f, psign, a.exp + b.exp + 1, product >> 1, csign, c.exp,
                       (u128)c.frac << 63);
}

uint32_t f32_fma(FpEnv *e, uint32_t a, uint32_t b, uint32_t c, unsigned neg)
{
    FpNum v[3] = { fp_unpack(e, &fp_f32, a), fp_unpack(e, &fp_f32, b), fp_unpack(e, &fp_f32, c) };

    return (uint32_t)fp_pack(&fp_f32, fp_fma(e, &fp_f32, v, neg));
}

uint64_t f64_fma(FpEnv *e, uint64_t a, uint64_t b, uint64_t c, unsigned neg)
{
    FpNum v[3] = { fp_unpack(e, &fp_f64, a), fp_unpack(e, &fp_f64, b), fp_unpack(e, &fp_f64, c) };

    return fp_pack(&fp_f64, fp_fma(e, &fp_f64, v, neg));
}

/* ---- comparison ---- */

static FpRel fp_compare(FpEnv *e, FpNum a, FpNum b, bool quiet)
{
    bool less;

    e->up = false;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        if (!quiet || a.cls > FC_QNAN || b.cls > FC_QNAN) {
            e->flags |= FP_IE;
        }
        return FP_UNORDERED;
    }
    fp_note_denormal(e, a.denorm | b.denorm);
    if (a.cls == FC_ZERO && b.cls == FC_ZERO) {
        return FP_EQUAL;
    }
    if (a.cls == FC_ZERO || b.cls == FC_ZERO || a.sign != b.sign) {
        return (a.cls == FC_ZERO ? !b.sign : a.sign) ? FP_LESS : FP_GREATER;
    }
    if (a.cls == b.cls && a.exp == b.exp && a.frac == b.frac) {
        return FP_EQUAL;
    }
    if (a.cls != b.cls) {
        less = b.cls == FC_INF;
    } else {
        less = a.exp < b.exp || (a.exp == b.exp && a.frac < b.frac);
    }
    return less != a.sign ? FP_LESS : FP_GREATER;
}

static uint64_t fp_min_max(FpEnv *e, const FpFormat *f, uint64_t a, uint64_t b, FpRel want)
{
    FpNum x = fp_unpack(e, f, a), y = fp_unpack(e, f, b);
    FpRel rel = fp_compare(e, x, y, false);
    /* NaNs come through unchanged; denormals under DAZ come out as zero. */
    const FpNum *r = rel == want ? &x : &y;

    return r->cls == FC_ZERO ? fp_pack(f, *r) : rel == want ? a : b;
}

/* ---- the functions of each format ---- */

#define FORMAT_OPS(T, p, fmt)                                                                      \
    T p##_add(FpEnv *e, T a, T b)                                                                  \
    {                                                                                              \
        return (T)fp_pack(fmt, fp_add(e, fmt, fp_unpack(e, fmt, a), fp_unpack(e, fmt, b)));        \
    }                                                                                              \
    T p##_sub(FpEnv *e, T a, T b)                                                                  \
    {                                                                                              \
        return (T)fp_pack(fmt, fp_sub(e, fmt, fp_unpack(e, fmt, a), fp_unpack(e, fmt, b)));        \
    }                                                                                              \
    T p##_mul(FpEnv *e, T a, T b)                                                                  \
    {                                                                                              \
        return (T)fp_pack(fmt, fp_mul(e, fmt, fp_unpack(e, fmt, a), fp_unpack(e, fmt, b)));        \
    }                                                                                              \
    T p##_div(FpEnv *e, T a, T b)                                                                  \
    {                                                                                              \
        return (T)fp_pack(fmt, fp_div(e, fmt, fp_unpack(e, fmt, a), fp_unpack(e, fmt, b)));        \
    }                                                                                              \
    T p##_sqrt(FpEnv *e, T a)                                                                      \
    {                                                                                              \
        return (T)fp_pack(fmt, fp_sqrt(e, fmt, fp_unpack(e, fmt, a)));                             \
    }                                                                                              \
    FpRel p##_compare(FpEnv *e, T a, T b, bool quiet)                                              \
    {                                                                                              \
        return fp_compare(e, fp_unpack(e, fmt, a), fp_unpack(e, fmt, b), quiet);                   \
    }                                                                                              \
    T p##_min(FpEnv *e, T a, T b)                                                                  \
    {                                                                                              \
        return (T)fp_min_max(e, fmt, a, b, FP_LESS);                                               \
    }                                                                                              \
    T p##_max(FpEnv *e, T a, T b)                                                                  \
    {                                                                                              \
        return (T)fp_min_max(e, fmt, a, b, FP_GREATER);                                            \
    }

FORMAT_OPS(uint32_t, f32, &fp_f32)
FORMAT_OPS(uint64_t, f64, &fp_f64)

Float80 f80_add(FpEnv *e, Float80 a, Float80 b)
{
    return fp_pack80(fp_add(e, &fp_f80, fp_unpack80(a), fp_unpack80(b)));
}
Float80 f80_sub(FpEnv *e, Float80 a, Float80 b)
{
    return fp_pack80(fp_sub(e, &fp_f80, fp_unpack80(a), fp_unpack80(b)));
}
Float80 f80_mul(FpEnv *e, Float80 a, Float80 b)
{
    return fp_pack80(fp_mul(e, &fp_f80, fp_unpack80(a), fp_unpack80(b)));
}
Float80 f80_div(FpEnv *e, Float80 a, Float80 b)
{
    return fp_pack80(fp_div(e, &fp_f80, fp_unpack80(a), fp_unpack80(b)));
}
Float80 f80_sqrt(FpEnv *e, Float80 a)
{
    return fp_pack80(fp_sqrt(e, &fp_f80, fp_unpack80(a)));
}
FpRel f80_compare(FpEnv *e, Float80 a, Float80 b, bool quiet)
{
    return fp_compare(e, fp_unpack80(a), fp_unpack80(b), quiet);
}
