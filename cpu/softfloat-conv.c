/*
 * Soft float: integral rounding, conversions between formats, integers and packed decimal.
 *
 * Sources: Intel SDM vol. 1, "Conversion of floating-point values", "Packed BCD Integers";
 * vol. 2 under VCVTPH2PS and VCVTPS2PH for what half precision ignores (DAZ, FTZ, DE).
 */
#include "cpu/softfloat-core.h"

/* ---- to integers ---- */

uint64_t fp_int_part(FpNum a, unsigned rc, bool *inexact, bool *up, bool *over)
{
    u128 v;
    uint64_t rest, val;

    *over = *inexact = *up = false;
    if (a.cls == FC_ZERO) {
        return 0;
    }
    if (a.exp >= 64) {
        *over = true;
        return ~0ull;
    }
    /* The integer in the high half, the fraction in the low one. */
    v = a.exp >= 63 ? (u128)a.frac << 64 : fp_shift_jam((u128)a.frac << 64, (unsigned)(63 - a.exp));
    val = (uint64_t)(v >> 64);
    rest = (uint64_t)v;
    *inexact = rest != 0;
    *up = fp_round_up(rc, a.sign, val & 1, rest >> 63, rest << 1 != 0);
    *over = *up && val == ~0ull;
    return val + *up;
}

static int64_t fp_to_int(FpEnv *e, FpNum a, unsigned bits, unsigned rc)
{
    bool inexact = false, up = false, over = true;
    uint64_t limit = (1ull << (bits - 1)) - 1, val = 0;

    e->up = false;
    if (a.cls <= FC_NORMAL) {
        val = fp_int_part(a, rc, &inexact, &up, &over);
    }
    if (over || val > limit + a.sign) {
        e->flags |= FP_IE;
        return (int64_t)(~0ull << (bits - 1));
    }
    e->flags |= inexact ? FP_PE : 0;
    e->up = up;
    return (int64_t)(a.sign ? -val : val);
}

int64_t f32_to_int(FpEnv *e, uint32_t a, unsigned bits, unsigned rc)
{
    return fp_to_int(e, fp_unpack(e, &fp_f32, a), bits, rc);
}
int64_t f64_to_int(FpEnv *e, uint64_t a, unsigned bits, unsigned rc)
{
    return fp_to_int(e, fp_unpack(e, &fp_f64, a), bits, rc);
}
int64_t f80_to_int(FpEnv *e, Float80 a, unsigned bits, unsigned rc)
{
    return fp_to_int(e, fp_unpack80(a), bits, rc);
}

/* ---- from integers ---- */

static FpNum fp_from_int(FpEnv *e, const FpFormat *f, int64_t v)
{
    uint64_t mag = v < 0 ? -(uint64_t)v : (uint64_t)v;

    return v == 0 ? fp_zero(false) : fp_round(e, f, v < 0, 63, (u128)mag << 64);
}

uint32_t int_to_f32(FpEnv *e, int64_t v)
{
    return (uint32_t)fp_pack(&fp_f32, fp_from_int(e, &fp_f32, v));
}
uint64_t int_to_f64(FpEnv *e, int64_t v)
{
    return fp_pack(&fp_f64, fp_from_int(e, &fp_f64, v));
}
Float80 int_to_f80(int64_t v)
{
    FpEnv e = { .x87 = true, .prec = 64, .masks = 0x3f };

    return fp_pack80(fp_from_int(&e, &fp_f80, v));
}

/* ---- integral rounding ---- */

static FpNum fp_rint(FpEnv *e, const FpFormat *f, FpNum a)
{
    bool inexact, up, over;
    uint64_t val;
    FpNum r;

    e->up = false;
    if (fp_nan1(e, a, &r)) {
        return r;
    }
    if (a.cls != FC_NORMAL || a.exp >= 63) {
        return a;
    }
    val = fp_int_part(a, e->rc, &inexact, &up, &over);
    if (val == 0) {
        r = fp_zero(a.sign);
    } else {
        FpEnv exact = { .masks = 0x3f };

        r = fp_round(&exact, f, a.sign, 63, (u128)val << 64);
    }
    e->flags |= inexact ? FP_PE : 0;
    e->up = up;
    return r;
}

uint32_t f32_rint(FpEnv *e, uint32_t a)
{
    return (uint32_t)fp_pack(&fp_f32, fp_rint(e, &fp_f32, fp_unpack(e, &fp_f32, a)));
}
uint64_t f64_rint(FpEnv *e, uint64_t a)
{
    return fp_pack(&fp_f64, fp_rint(e, &fp_f64, fp_unpack(e, &fp_f64, a)));
}
Float80 f80_rint(FpEnv *e, Float80 a)
{
    FpNum n = fp_unpack80(a);

    if (n.cls == FC_NORMAL) {
        fp_note_denormal(e, n.denorm);
    }
    return fp_pack80(fp_rint(e, &fp_f80, n));
}

/* ---- between formats ---- */

static FpNum fp_convert(FpEnv *e, const FpFormat *to, FpNum a)
{
    FpNum r;

    e->up = false;
    if (fp_nan1(e, a, &r)) {
        return r;
    }
    fp_note_denormal(e, a.denorm);
    return a.cls == FC_NORMAL ? fp_round(e, to, a.sign, a.exp, (u128)a.frac << 64) : a;
}

uint64_t f32_to_f64(FpEnv *e, uint32_t a)
{
    return fp_pack(&fp_f64, fp_convert(e, &fp_f64, fp_unpack(e, &fp_f32, a)));
}
uint32_t f64_to_f32(FpEnv *e, uint64_t a)
{
    return (uint32_t)fp_pack(&fp_f32, fp_convert(e, &fp_f32, fp_unpack(e, &fp_f64, a)));
}
/* Loads widen exactly, whatever the precision control. */
static Float80 fp_widen(FpEnv *e, const FpFormat *from, uint64_t a)
{
    uint8_t prec = e->prec;
    FpNum r;

    e->prec = 64;
    r = fp_convert(e, &fp_f80, fp_unpack(e, from, a));
    e->prec = prec;
    return fp_pack80(r);
}
Float80 f32_to_f80(FpEnv *e, uint32_t a)
{
    return fp_widen(e, &fp_f32, a);
}
Float80 f64_to_f80(FpEnv *e, uint64_t a)
{
    return fp_widen(e, &fp_f64, a);
}

/* FST: a denormal operand is not flagged, the result's underflow is. */
static uint64_t fp_narrow(FpEnv *e, const FpFormat *to, Float80 a)
{
    FpNum n = fp_unpack80(a);

    n.denorm = false;
    return fp_pack(to, fp_convert(e, to, n));
}
uint32_t f80_to_f32(FpEnv *e, Float80 a)
{
    return (uint32_t)fp_narrow(e, &fp_f32, a);
}
uint64_t f80_to_f64(FpEnv *e, Float80 a)
{
    return fp_narrow(e, &fp_f64, a);
}

uint32_t f16_to_f32(FpEnv *e, uint16_t a)
{
    bool daz = e->daz;
    FpNum n;

    e->daz = false;
    n = fp_unpack(e, &fp_f16, a);
    e->daz = daz;
    n.denorm = false;
    return (uint32_t)fp_pack(&fp_f32, fp_convert(e, &fp_f32, n));
}

uint16_t f32_to_f16(FpEnv *e, uint32_t a)
{
    bool ftz = e->ftz;
    uint16_t r;

    e->ftz = false;
    r = (uint16_t)fp_pack(&fp_f16, fp_convert(e, &fp_f16, fp_unpack(e, &fp_f32, a)));
    e->ftz = ftz;
    return r;
}

/* ---- packed decimal ---- */

#define BCD_LIMIT 999999999999999999ull /* 18 digits */

Float80 bcd_to_f80(const uint8_t bcd[10])
{
    uint64_t val = 0;
    Float80 r;

    for (unsigned n = 9; n-- > 0;) {
        val = val * 100 + (bcd[n] >> 4) * 10u + (bcd[n] & 15);
    }
    r = int_to_f80((int64_t)val);
    r.sexp |= bcd[9] & 0x80 ? 0x8000 : 0;
    return r;
}

void f80_to_bcd(FpEnv *e, Float80 a, uint8_t bcd[10])
{
    static const uint8_t indefinite[10] = { [7] = 0xc0, 0xff, 0xff };
    FpNum n = fp_unpack80(a);
    bool inexact = false, up = false, over = true;
    uint64_t val = 0;

    e->up = false;
    if (n.cls <= FC_NORMAL) {
        val = fp_int_part(n, e->rc, &inexact, &up, &over);
    }
    if (over || val > BCD_LIMIT) {
        e->flags |= FP_IE;
        for (unsigned k = 0; k < 10; k++) {
            bcd[k] = indefinite[k];
        }
        return;
    }
    e->flags |= inexact ? FP_PE : 0;
    e->up = up;
    for (unsigned k = 0; k < 9; k++, val /= 100) {
        bcd[k] = (uint8_t)(val % 10 | val / 10 % 10 << 4);
    }
    bcd[9] = n.sign ? 0x80 : 0;
}
