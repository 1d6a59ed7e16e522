/*
 * Soft float: what only the x87 has - partial remainder, scaling, extraction, transcendentals.
 *
 * Sources: Intel SDM vol. 2 under FPREM, FPREM1, FSCALE, FXTRACT, FSIN and the others.
 * The transcendentals run the host's own instruction where the host is x86 (they are the only ones
 * whose last bit the manuals leave open); elsewhere they come from softfloat-trans.c.
 */
#include "cpu/softfloat-core.h"
#include <string.h>

/* ---- remainder ---- */

static bool fp_rem_special(FpEnv *e, FpNum a, FpNum b, FpNum *r)
{
    e->up = false;
    if (fp_nan2(e, a, b, r)) {
        return true;
    }
    if (a.cls == FC_INF || b.cls == FC_ZERO) {
        *r = fp_invalid(e);
        return true;
    }
    fp_note_denormal(e, a.denorm | b.denorm);
    *r = a;
    return a.cls == FC_ZERO || b.cls == FC_INF;
}

bool f80_rem(FpEnv *e, Float80 a80, Float80 b80, bool nearest, Float80 *rem, unsigned *quot)
{
    FpNum a = fp_unpack80(a80), b = fp_unpack80(b80), r;
    int32_t diff = a.exp - b.exp, exp = b.exp;
    bool complete = diff < 64;
    uint8_t prec = e->prec;
    u128 num, q, rest;

    *quot = 0;
    if (fp_rem_special(e, a, b, &r)) {
        if (r.cls != FC_NORMAL) {
            *rem = fp_pack80(r);
            return true;
        }
        complete = true;
        diff = -2;
    }
    e->prec = 64; /* exact, whatever the precision control */
    if (!complete) {
        /* One step takes away between 32 and 63 bits of the difference. */
        unsigned step = 32 + (unsigned)diff % 32;

        exp += diff - (int32_t)step;
        diff = (int32_t)step;
    }
    if (diff < -1 || (diff < 0 && !nearest)) {
        r = fp_round(e, &fp_f80, a.sign, a.exp, (u128)a.frac << 64);
        *rem = fp_pack80(r);
        e->prec = prec;
        return true;
    }
    if (diff < 0) { /* half a divisor at most matters: count in half units */
        q = 0;
        rest = a.frac;
        num = b.frac; /* |b| in the same unit is 2 * b.frac: half of it */
        exp = a.exp;
        if (rest > num) {
            rest = ((u128)b.frac << 1) - rest;
            q = 1;
            a.sign ^= 1;
        }
    } else {
        num = (u128)a.frac << diff;
        q = num / b.frac;
        rest = num % b.frac;
        if (nearest && complete && (rest << 1 > b.frac || (rest << 1 == b.frac && q & 1))) {
            rest = b.frac - rest;
            q++;
            a.sign ^= 1;
        }
    }
    r = rest ? fp_round(e, &fp_f80, a.sign, exp, rest << 64) : fp_zero(fp_unpack80(a80).sign);
    *rem = fp_pack80(r);
    *quot = complete ? (unsigned)q & 7 : 0;
    e->prec = prec;
    e->up = false;
    return complete;
}

/* ---- scale and extract ---- */

Float80 f80_scale(FpEnv *e, Float80 a80, Float80 b80)
{
    FpNum a = fp_unpack80(a80), b = fp_unpack80(b80), r;
    bool inexact, up, over;
    uint8_t prec = e->prec;
    int32_t n;

    e->up = false;
    if (fp_nan2(e, a, b, &r)) {
        return fp_pack80(r);
    }
    if (b.cls == FC_INF && a.cls == (b.sign ? FC_INF : FC_ZERO)) {
        return fp_pack80(fp_invalid(e));
    }
    fp_note_denormal(e, a.denorm | b.denorm);
    if (a.cls != FC_NORMAL) {
        return a80;
    }
    if (b.cls == FC_INF) {
        return fp_pack80(b.sign ? fp_zero(a.sign) : fp_inf(a.sign));
    }
    if (b.exp > 16 && b.cls == FC_NORMAL) {
        n = 1 << 17;
    } else {
        n = (int32_t)fp_int_part(b, RC_ZERO, &inexact, &up, &over);
    }
    e->prec = 64;
    r = fp_round(e, &fp_f80, a.sign, a.exp + (b.sign ? -n : n), (u128)a.frac << 64);
    e->prec = prec;
    return fp_pack80(r);
}

void f80_extract(FpEnv *e, Float80 a80, Float80 *exponent, Float80 *significand)
{
    FpNum a = fp_unpack80(a80), r;

    e->up = false;
    *significand = a80;
    if (fp_nan1(e, a, &r)) {
        *exponent = *significand = fp_pack80(r);
    } else if (a.cls == FC_INF) {
        *exponent = fp_pack80(fp_inf(false));
    } else if (a.cls == FC_ZERO) {
        e->flags |= FP_ZE;
        *exponent = fp_pack80(fp_inf(true));
    } else {
        fp_note_denormal(e, a.denorm);
        *exponent = int_to_f80(a.exp);
        a.exp = 0;
        *significand = fp_pack80(a);
    }
}

/* ---- transcendentals ---- */

#if defined(__x86_64__)

typedef struct __attribute__((packed)) HostFpu { /* FNSAVE's image */
    uint32_t fcw, fsw, ftw, fip, fcs, fdp, fds;
    uint8_t st[8][10];
} HostFpu;

#define HOST_OP(insn)                                                                              \
    __asm__ volatile("fninit\n\tfldt %1\n\tfldt %2\n\tfldcw %3\n\t" insn "\n\tfnsave %0"           \
                     : "=m"(img)                                                                   \
                     : "m"(b), "m"(a), "m"(fcw)                                                    \
                     : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")

bool f80_transcendental(FpEnv *e, uint16_t fcw, FpTrans op, Float80 a80, Float80 b80, Float80 *res,
                        Float80 *second)
{
    HostFpu img;
    uint8_t a[16], b[16];
    uint16_t fsw;

    memcpy(a, &a80.frac, 8);
    memcpy(a + 8, &a80.sexp, 2);
    memcpy(b, &b80.frac, 8);
    memcpy(b + 8, &b80.sexp, 2);
    switch (op) {
    case FT_F2XM1: HOST_OP("f2xm1"); break;
    case FT_FYL2X: HOST_OP("fyl2x"); break;
    case FT_FPTAN: HOST_OP("fptan"); break;
    case FT_FPATAN: HOST_OP("fpatan"); break;
    case FT_FYL2XP1: HOST_OP("fyl2xp1"); break;
    case FT_FSINCOS: HOST_OP("fsincos"); break;
    case FT_FSIN: HOST_OP("fsin"); break;
    default: HOST_OP("fcos"); break;
    }
    fsw = (uint16_t)img.fsw;
    e->flags |= fsw & 0x3f;
    e->up = fsw >> 9 & 1;
    memcpy(&res->frac, img.st[0], 8);
    memcpy(&res->sexp, img.st[0] + 8, 2);
    if (op == FT_FSINCOS || op == FT_FPTAN) {
        /* The pushed value is on top; the one that replaced ST(0) below it. */
        *second = *res;
        memcpy(&res->frac, img.st[1], 8);
        memcpy(&res->sexp, img.st[1] + 8, 2);
    }
    return !(fsw & 0x400);
}

#else

bool f80_transcendental(FpEnv *e, uint16_t fcw, FpTrans op, Float80 a, Float80 b, Float80 *res,
                        Float80 *second)
{
    (void)fcw;
    return f80_trans_portable(e, op, a, b, res, second);
}

#endif
