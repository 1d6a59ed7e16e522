/*
 * Floating point as x86 computes it, in portable integer C.
 *
 * Sources: Intel SDM vol. 1, "Programming with the x87 FPU" (chapter 8), "Programming with SSE"
 * (chapters 10 to 12), "Operating on SNaNs and QNaNs", "Floating-Point Exceptions".
 * The test tests/unit/test-softfloat.c compares every function with the host processor.
 *
 * Operands are bit patterns: uint16_t (half), uint32_t (single), uint64_t (double), Float80 (x87).
 * Functions add to env->flags what the processor would flag. Where an exception is unmasked:
 *  - SSE (env->x87 false) never writes a result then, so the value returned is meaningless;
 *  - x87 overflow and underflow return the result with its exponent wrapped by 24576, as the
 *    processor delivers it to a register. fp_blocked() tells when nothing is to be delivered.
 */
#ifndef CPU_SOFTFLOAT_H
#define CPU_SOFTFLOAT_H

#include "cpu/cpu.h"

/* Exception bits, in the places of MXCSR, FSW and FCW's masks. */
#define FP_IE 0x01
#define FP_DE 0x02
#define FP_ZE 0x04
#define FP_OE 0x08
#define FP_UE 0x10
#define FP_PE 0x20
#define FP_PRE (FP_IE | FP_DE | FP_ZE) /* found before the computation */

/* Rounding control, as in MXCSR.RC and FCW.RC. */
enum { RC_NEAREST, RC_DOWN, RC_UP, RC_ZERO };

typedef struct FpEnv {
    uint8_t rc;    /* RC_NEAREST.. */
    uint8_t prec;  /* x87: significand bits of results, 24, 53 or 64 */
    uint8_t masks; /* masked exceptions: FP_* */
    bool x87;      /* x87 rules of NaN choice and result delivery */
    bool daz, ftz;
    uint8_t flags; /* out: FP_*, accumulated */
    bool up;       /* out: the last rounding increased the magnitude (x87: C1) */
} FpEnv;

static inline FpEnv fp_env_sse(uint32_t mxcsr)
{
    return (FpEnv){ .rc = mxcsr >> 13 & 3, .masks = mxcsr >> 7 & 0x3f, .daz = mxcsr >> 6 & 1,
                    .ftz = mxcsr >> 15 & 1 };
}
FpEnv fp_env_x87(uint16_t fcw);

/* fp_unmasked - flagged exceptions that are not masked. */
static inline uint8_t fp_unmasked(const FpEnv *e)
{
    return e->flags & ~e->masks;
}
/* fp_blocked - an unmasked exception stands before the computation: no result, no later flags. */
static inline bool fp_blocked(const FpEnv *e)
{
    return (fp_unmasked(e) & FP_PRE) != 0;
}

extern const Float80 f80_indefinite, f80_zero, f80_one;

/* Arithmetic: add sub mul div, and sqrt. The f80 ones honour env->prec. */
uint32_t f32_add(FpEnv *e, uint32_t a, uint32_t b);
uint32_t f32_sub(FpEnv *e, uint32_t a, uint32_t b);
uint32_t f32_mul(FpEnv *e, uint32_t a, uint32_t b);
uint32_t f32_div(FpEnv *e, uint32_t a, uint32_t b);
uint32_t f32_sqrt(FpEnv *e, uint32_t a);
uint64_t f64_add(FpEnv *e, uint64_t a, uint64_t b);
uint64_t f64_sub(FpEnv *e, uint64_t a, uint64_t b);
uint64_t f64_mul(FpEnv *e, uint64_t a, uint64_t b);
uint64_t f64_div(FpEnv *e, uint64_t a, uint64_t b);
uint64_t f64_sqrt(FpEnv *e, uint64_t a);
Float80 f80_add(FpEnv *e, Float80 a, Float80 b);
Float80 f80_sub(FpEnv *e, Float80 a, Float80 b);
Float80 f80_mul(FpEnv *e, Float80 a, Float80 b);
Float80 f80_div(FpEnv *e, Float80 a, Float80 b);
Float80 f80_sqrt(FpEnv *e, Float80 a);

/* Fused a * b + c with @neg bits: FMA_NEG_PRODUCT and FMA_NEG_ADDEND negate those (not NaNs).
 * The result for NaNs is the first of a, b, c that is one. */
enum { FMA_NEG_PRODUCT = 1, FMA_NEG_ADDEND = 2 };
uint32_t f32_fma(FpEnv *e, uint32_t a, uint32_t b, uint32_t c, unsigned neg);
uint64_t f64_fma(FpEnv *e, uint64_t a, uint64_t b, uint64_t c, unsigned neg);

/* Comparison. A quiet one flags IE for signalling NaNs only. */
typedef enum FpRel { FP_LESS, FP_EQUAL, FP_GREATER, FP_UNORDERED } FpRel;
FpRel f32_compare(FpEnv *e, uint32_t a, uint32_t b, bool quiet);
FpRel f64_compare(FpEnv *e, uint64_t a, uint64_t b, bool quiet);
FpRel f80_compare(FpEnv *e, Float80 a, Float80 b, bool quiet);

/* MINPS and MAXPS: the second operand when either is NaN or both are zero. */
uint32_t f32_min(FpEnv *e, uint32_t a, uint32_t b);
uint32_t f32_max(FpEnv *e, uint32_t a, uint32_t b);
uint64_t f64_min(FpEnv *e, uint64_t a, uint64_t b);
uint64_t f64_max(FpEnv *e, uint64_t a, uint64_t b);

/* Round to an integral value by env->rc. The caller drops FP_PE for ROUNDPS's imm8[3]. */
uint32_t f32_rint(FpEnv *e, uint32_t a);
uint64_t f64_rint(FpEnv *e, uint64_t a);
Float80 f80_rint(FpEnv *e, Float80 a);

/* Between formats. f16_to_f32 and f32_to_f16 are VCVTPH2PS and VCVTPS2PH. */
uint32_t f16_to_f32(FpEnv *e, uint16_t a);
uint16_t f32_to_f16(FpEnv *e, uint32_t a);
uint64_t f32_to_f64(FpEnv *e, uint32_t a);
uint32_t f64_to_f32(FpEnv *e, uint64_t a);
Float80 f32_to_f80(FpEnv *e, uint32_t a);
Float80 f64_to_f80(FpEnv *e, uint64_t a);
uint32_t f80_to_f32(FpEnv *e, Float80 a);
uint64_t f80_to_f64(FpEnv *e, Float80 a);

/* To a signed integer of @bits 16, 32 or 64, rounded by @rc; sign-extended. What does not fit is
 * IE and the integer indefinite, 1 << (bits - 1). */
int64_t f32_to_int(FpEnv *e, uint32_t a, unsigned bits, unsigned rc);
int64_t f64_to_int(FpEnv *e, uint64_t a, unsigned bits, unsigned rc);
int64_t f80_to_int(FpEnv *e, Float80 a, unsigned bits, unsigned rc);
uint32_t int_to_f32(FpEnv *e, int64_t v);
uint64_t int_to_f64(FpEnv *e, int64_t v);
Float80 int_to_f80(int64_t v); /* always exact */

/* Packed decimal of FBLD and FBSTP: ten bytes, little-endian. */
Float80 bcd_to_f80(const uint8_t bcd[10]);
void f80_to_bcd(FpEnv *e, Float80 a, uint8_t bcd[10]);

/* FPREM (@nearest false), FPREM1: *quot takes the low three bits of the quotient; false when the
 * reduction is incomplete (C2=1). */
bool f80_rem(FpEnv *e, Float80 a, Float80 b, bool nearest, Float80 *rem, unsigned *quot);
/* FSCALE: a * 2^trunc(b). FXTRACT: exponent and significand of a. */
Float80 f80_scale(FpEnv *e, Float80 a, Float80 b);
void f80_extract(FpEnv *e, Float80 a, Float80 *exponent, Float80 *significand);

/* Classes for FXAM and for callers that look at bits. */
static inline bool f80_is_nan(Float80 a)
{
    return (a.sexp & 0x7fff) == 0x7fff && a.frac << 1;
}
static inline bool f80_is_unsupported(Float80 a)
{
    return (a.sexp & 0x7fff) && !(a.frac >> 63);
}

/* f80_transcendental - FSIN and the like; see softfloat-x87.c. @b is ST(1). *second takes the
 * second result (FSINCOS's cosine, FPTAN's 1.0). False: C2=1, operand out of range. */
typedef enum FpTrans { FT_F2XM1, FT_FYL2X, FT_FPTAN, FT_FPATAN, FT_FYL2XP1, FT_FSINCOS, FT_FSIN,
                       FT_FCOS } FpTrans;
bool f80_transcendental(FpEnv *e, uint16_t fcw, FpTrans op, Float80 a, Float80 b, Float80 *res,
                        Float80 *second);
/* f80_trans_portable - the same without the host's instructions: within 1 ulp of the exact value,
 * where the period of the trigonometric ones is the processor's 66-bit pi. */
bool f80_trans_portable(FpEnv *e, FpTrans op, Float80 a, Float80 b, Float80 *res, Float80 *second);

/* RCPSS and RSQRTSS, portably: relative error at most 1.5 * 2^-12. No flags. */
uint32_t f32_rcp_approx(uint32_t a);
uint32_t f32_rsqrt_approx(uint32_t a);

#endif
