/*
 * The inside of the soft float: numbers unpacked to one form for all formats.
 *
 *   value = (-1)^sign * frac / 2^63 * 2^exp, bit 63 of frac set
 *
 * Results come from fp_round() in the same form, except that a denormal result keeps exp at the
 * format's smallest and has bit 63 clear; fp_pack() makes the biased exponent from that.
 */
#ifndef CPU_SOFTFLOAT_CORE_H
#define CPU_SOFTFLOAT_CORE_H

#include "cpu/softfloat.h"

typedef unsigned __int128 u128;

typedef enum FpClass {
    FC_ZERO,
    FC_NORMAL,
    FC_INF,
    FC_QNAN,
    FC_SNAN,
    FC_BAD, /* x87: unnormal, pseudo-NaN, pseudo-infinity */
} FpClass;

typedef struct FpNum {
    uint64_t frac;
    int32_t exp;
    uint8_t cls; /* FpClass */
    bool sign;
    bool denorm; /* operand was denormal (DE) */
} FpNum;

typedef struct FpFormat {
    uint8_t frac_bits; /* stored below the integer bit */
    uint8_t exp_bits;
    uint8_t prec; /* significand bits, integer bit included */
    int16_t bias; /* also the largest exponent */
} FpFormat;

extern const FpFormat fp_f16, fp_f32, fp_f64, fp_f80;

#define FP_TOP (1ull << 63)
#define FP_QUIET (1ull << 62)

FpNum fp_unpack(const FpEnv *e, const FpFormat *f, uint64_t bits);
uint64_t fp_pack(const FpFormat *f, FpNum n);
FpNum fp_unpack80(Float80 a);
Float80 fp_pack80(FpNum n);

/* fp_round - the exact value frac / 2^127 * 2^exp (sticky below; any leading zeros, not 0) as a
 * number of format @f, with flags. */
FpNum fp_round(FpEnv *e, const FpFormat *f, bool sign, int32_t exp, u128 frac);

/* fp_nan1/fp_nan2 - true when an operand is NaN or unsupported: *r is the result. */
bool fp_nan1(FpEnv *e, FpNum a, FpNum *r);
bool fp_nan2(FpEnv *e, FpNum a, FpNum b, FpNum *r);
FpNum fp_invalid(FpEnv *e); /* IE, default NaN */

static inline void fp_note_denormal(FpEnv *e, bool denorm)
{
    e->flags |= denorm ? FP_DE : 0;
}
static inline bool fp_is_nan(FpNum a)
{
    return a.cls >= FC_QNAN;
}
static inline FpNum fp_zero(bool sign)
{
    return (FpNum){ .cls = FC_ZERO, .sign = sign };
}
static inline FpNum fp_inf(bool sign)
{
    return (FpNum){ .cls = FC_INF, .sign = sign, .frac = FP_TOP };
}
/* fp_shift_jam - right shift that keeps lost bits as a sticky bit 0. */
static inline u128 fp_shift_jam(u128 v, unsigned n)
{
    if (n == 0) {
        return v;
    }
    return n > 127 ? v != 0 : v >> n | ((v << (128 - n)) != 0);
}
static inline unsigned fp_clz128(u128 v)
{
    uint64_t hi = v >> 64;

    return hi ? (unsigned)__builtin_clzll(hi) : 64 + (unsigned)__builtin_clzll((uint64_t)v);
}
/* fp_round_up - does a magnitude with this last kept bit and this discarded part (as a fraction of
 * 2^64) round away from zero? */
static inline bool fp_round_up(unsigned rc, bool sign, bool odd, bool half, bool below)
{
    switch (rc) {
    case RC_NEAREST:
        return half && (below || odd);
    case RC_DOWN:
        return sign && (half || below);
    case RC_UP:
        return !sign && (half || below);
    default:
        return false;
    }
}
/* fp_int_part - |a| rounded to an integer, saturated at 2^64 - 1 with *over set; *inexact tells
 * whether it changed, *up whether it grew. Not for NaN and infinity. */
uint64_t fp_int_part(FpNum a, unsigned rc, bool *inexact, bool *up, bool *over);

#endif
