/*
 * The soft float against the host's own SSE and x87: results, flags and C1, over random operands
 * weighted to specials, denormals and rounding boundaries, in every rounding mode, precision
 * control, DAZ and FTZ. Exceptions are masked for SSE (the unmasked ones fault: test-diff does
 * them); for x87 random masks are tried, since FNSAVE reads the outcome without waiting.
 *
 * SOFTFLOAT_COUNT in the environment changes the operand pairs per function (default 20000).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cpu/softfloat.h"

#if defined(__x86_64__)

static uint64_t rng_state = 0x853c49e6748fea9bull;

static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * 0x2545f4914f6cdd1dull;
}

static uint64_t count(void)
{
    const char *s = getenv("SOFTFLOAT_COUNT");

    return s ? strtoull(s, NULL, 0) : 20000;
}

/* Bits that sit on boundaries: random, few bits, runs of ones, all ones above a point. */
static uint64_t rnd_frac(void)
{
    uint64_t r = rnd();

    switch (rnd() % 7) {
    case 0: return 0;
    case 1: return ~0ull;
    case 2: return 1ull << (r & 63) | 1ull << (r >> 8 & 63);
    case 3: return ~0ull << (r & 63);
    case 4: return ~0ull >> (r & 63);
    case 5: return r & ~0ull << (r >> 8 & 63);
    default: return r;
    }
}

/* A number of @ebits and @fbits; exponents near the middle are likely, so that operands meet. */
static uint64_t rnd_exp(unsigned ebits)
{
    uint64_t top = (1ull << ebits) - 1, r = rnd();

    switch (rnd() % 10) {
    case 0: return 0;
    case 1: return top;
    case 2: return r % 4;
    case 3: return top - r % 4;
    case 4: return r & top;
    case 5: return (top / 2 + r % 129 - 64) & top;
    case 6: return (top / 4 + r % 9 - 4) & top;
    case 7: return (top / 4 * 3 + r % 9 - 4) & top;
    default: return (top / 2 + r % 5 - 2) & top;
    }
}

static uint64_t rnd_float(unsigned ebits, unsigned fbits)
{
    uint64_t frac = rnd() % 2 ? rnd_frac() & ((1ull << fbits) - 1) : rnd_frac() >> (64 - fbits);

    return (rnd() & 1) << (ebits + fbits) | rnd_exp(ebits) << fbits | frac;
}

static uint32_t rnd32(void)
{
    return (uint32_t)rnd_float(8, 23);
}
static uint64_t rnd64(void)
{
    return rnd_float(11, 52);
}
static Float80 rnd80(void)
{
    uint16_t exp = (uint16_t)rnd_exp(15);
    uint64_t frac = rnd_frac();

    if (rnd() % 8) {
        frac = exp ? frac | 1ull << 63 : frac & ~(1ull << 63);
    }
    return (Float80){ frac, exp | (rnd() & 1 ? 0x8000 : 0) };
}

/* A near copy of a now and then: equal operands, and cancellation. */
#define NEAR(x, b) (rnd() % 6 ? (b) : (x) ^ (rnd() & 7 ? 0 : rnd() & 3))

static unsigned failures;

static void report(const char *name, uint32_t ctl, uint64_t a, uint64_t b, uint64_t c, uint64_t want,
                   unsigned wflags, uint64_t got, unsigned gflags)
{
    if (failures++ < 20) {
        printf("%s ctl %04x: %016llx %016llx %016llx: host %016llx/%02x, ours %016llx/%02x\n", name,
               ctl, (unsigned long long)a, (unsigned long long)b, (unsigned long long)c,
               (unsigned long long)want, wflags, (unsigned long long)got, gflags);
    }
}

static uint32_t rnd_mxcsr(void)
{
    uint32_t r = (uint32_t)rnd();

    return 0x1f80 | (r & 0x6000) | (r & 0x70000 ? 0 : r & 0x8040);
}

/* ---- SSE ---- */

#define SSE_RUN(insn, r, a, b, mx)                                                                 \
    __asm__ volatile("ldmxcsr %2\n\t" insn "\n\tstmxcsr %2\n\tldmxcsr %3"                          \
                     : "=x"(r)                                                                     \
                     : "x"(b), "m"(mx), "m"(default_mxcsr), "0"(a)                                 \
                     : "memory")
typedef float V4f __attribute__((vector_size(16)));
static uint32_t default_mxcsr = 0x1f80;

static V4f vec(uint64_t q)
{
    uint64_t p[2] = { q, 0 };
    V4f v;

    memcpy(&v, p, 16);
    return v;
}
static uint64_t unvec(V4f v)
{
    uint64_t p[2];

    memcpy(p, &v, 16);
    return p[0];
}

/* One two-operand function: `call` computes from a, b and e; T masks the result's width. */
#define SSE_TEST(name, insn, rnd_a, rnd_b, T, call)                                                \
    static void name(void **state)                                                                 \
    {                                                                                              \
        uint64_t n = count();                                                                      \
                                                                                                   \
        (void)state;                                                                               \
        failures = 0;                                                                              \
        while (n--) {                                                                              \
            uint64_t a = rnd_a, b = NEAR(a, rnd_b);                                                \
            uint32_t mx = rnd_mxcsr(), ctl = mx;                                                   \
            FpEnv env = fp_env_sse(mx), *e = &env;                                                 \
            V4f r;                                                                                 \
            T want, got;                                                                           \
                                                                                                   \
            SSE_RUN(insn, r, vec(a), vec(b), mx);                                                  \
            want = (T)unvec(r);                                                                    \
            got = (T)(call);                                                                       \
            if (want != got || (mx & 0x3f) != env.flags) {                                         \
                report(insn, ctl, a, b, 0, want, mx & 0x3f, got, env.flags);                       \
            }                                                                                      \
        }                                                                                          \
        assert_int_equal(failures, 0);                                                             \
    }

#define SSE_ARITH(T, p, suf, r) \
    SSE_TEST(p##_test_add, "add" suf " %1, %0", r(), r(), T, p##_add(e, (T)a, (T)b)) \
    SSE_TEST(p##_test_sub, "sub" suf " %1, %0", r(), r(), T, p##_sub(e, (T)a, (T)b)) \
    SSE_TEST(p##_test_mul, "mul" suf " %1, %0", r(), r(), T, p##_mul(e, (T)a, (T)b)) \
    SSE_TEST(p##_test_div, "div" suf " %1, %0", r(), r(), T, p##_div(e, (T)a, (T)b)) \
    SSE_TEST(p##_test_min, "min" suf " %1, %0", r(), r(), T, p##_min(e, (T)a, (T)b)) \
    SSE_TEST(p##_test_max, "max" suf " %1, %0", r(), r(), T, p##_max(e, (T)a, (T)b)) \
    SSE_TEST(p##_test_sqrt, "sqrt" suf " %1, %0", r(), r(), T, p##_sqrt(e, (T)b)) \
    SSE_TEST(p##_test_rint, "round" suf " $4, %1, %0", r(), r(), T, p##_rint(e, (T)b)) \
    SSE_TEST(p##_test_lt, "cmplt" suf " %1, %0", r(), r(), T, \
             p##_compare(e, (T)a, (T)b, false) == FP_LESS ? ~0ull : 0) \
    SSE_TEST(p##_test_eq, "cmpeq" suf " %1, %0", r(), r(), T, \
             p##_compare(e, (T)a, (T)b, true) == FP_EQUAL ? ~0ull : 0)
SSE_ARITH(uint32_t, f32, "ss", rnd32)
SSE_ARITH(uint64_t, f64, "sd", rnd64)

SSE_TEST(test_cvtss2sd, "cvtss2sd %1, %0", 0, rnd32(), uint64_t, f32_to_f64(e, (uint32_t)b))
SSE_TEST(test_cvtsd2ss, "cvtsd2ss %1, %0", 0, rnd64(), uint32_t, f64_to_f32(e, b))
SSE_TEST(test_cvtps2dq, "cvtps2dq %1, %0", 0, rnd32(), uint32_t, f32_to_int(e, (uint32_t)b, 32, e->rc))
SSE_TEST(test_cvttps2dq, "cvttps2dq %1, %0", 0, rnd32(), uint32_t,
         f32_to_int(e, (uint32_t)b, 32, RC_ZERO))
SSE_TEST(test_cvtpd2dq, "cvtpd2dq %1, %0", 0, rnd64(), uint32_t, f64_to_int(e, b, 32, e->rc))
SSE_TEST(test_cvtsd2si, "cvtsd2si %1, %%rax; movq %%rax, %0", 0, rnd64(), uint64_t,
         f64_to_int(e, b, 64, e->rc))
SSE_TEST(test_cvtss2si, "cvtss2si %1, %%rax; movq %%rax, %0", 0, rnd32(), uint64_t,
         f32_to_int(e, (uint32_t)b, 64, e->rc))
SSE_TEST(test_cvtsi2sd, "movq %1, %%rax; cvtsi2sd %%rax, %0", 0, rnd_frac(), uint64_t,
         int_to_f64(e, (int64_t)b))
SSE_TEST(test_cvtsi2ss, "movq %1, %%rax; cvtsi2ss %%rax, %0", 0, rnd_frac(), uint32_t,
         int_to_f32(e, (int64_t)b))
SSE_TEST(test_cvtph2ps, "vcvtph2ps %1, %0", 0, rnd_float(5, 10), uint32_t, f16_to_f32(e, (uint16_t)b))
SSE_TEST(test_cvtps2ph, "vcvtps2ph $4, %1, %0", 0,
         rnd() & 1 ? rnd32() : (rnd32() & 0x87ffffff) | 0x38000000, uint16_t,
         f32_to_f16(e, (uint32_t)b))

#define FMA_TEST(T, p, suf, r)                                                                     \
    static void p##_test_fma(void **state)                                                         \
    {                                                                                              \
        (void)state;                                                                               \
        failures = 0;                                                                              \
        if (!__builtin_cpu_supports("fma")) {                                                      \
            skip();                                                                                \
        }                                                                                          \
        for (uint64_t n = count() * 3; n--;) {                                                     \
            uint64_t a = r(), b = NEAR(a, r()), c = NEAR(a, r());                                  \
            uint32_t mx = rnd_mxcsr(), ctl = mx;                                                   \
            FpEnv env = fp_env_sse(mx);                                                            \
            T want, got;                                                                           \
            V4f v = vec(a), vb = vec(b), vc = vec(c);                                              \
                                                                                                   \
            switch (n % 3) {                                                                       \
            case 0: /* a = a * c + b */                                                            \
                __asm__ volatile("ldmxcsr %3\n\tvfmadd132" suf " %2, %1, %0\n\tstmxcsr %3\n\t"     \
                                 "ldmxcsr %4" : "+x"(v) : "x"(vb), "x"(vc), "m"(mx),               \
                                 "m"(default_mxcsr) : "memory");                                   \
                got = p##_fma(&env, (T)a, (T)c, (T)b, 0);                           \
                break;                                                                             \
            case 1: /* a = b * a - c */                                                            \
                __asm__ volatile("ldmxcsr %3\n\tvfmsub213" suf " %2, %1, %0\n\tstmxcsr %3\n\t"     \
                                 "ldmxcsr %4" : "+x"(v) : "x"(vb), "x"(vc), "m"(mx),               \
                                 "m"(default_mxcsr) : "memory");                                   \
                got = p##_fma(&env, (T)b, (T)a, (T)c, FMA_NEG_ADDEND);              \
                break;                                                                             \
            default: /* a = -(b * c) + a */                                                        \
                __asm__ volatile("ldmxcsr %3\n\tvfnmadd231" suf " %2, %1, %0\n\tstmxcsr %3\n\t"    \
                                 "ldmxcsr %4" : "+x"(v) : "x"(vb), "x"(vc), "m"(mx),               \
                                 "m"(default_mxcsr) : "memory");                                   \
                got = p##_fma(&env, (T)b, (T)c, (T)a, FMA_NEG_PRODUCT);             \
            }                                                                                      \
            want = (T)unvec(v);                                                                    \
            if (want != got || (mx & 0x3f) != env.flags) {                                         \
                report(n % 3 == 0 ? "fma132" : n % 3 == 1 ? "fma213" : "fma231", ctl, a, b, c,     \
                       want, mx & 0x3f, got, env.flags);                                           \
            }                                                                                      \
        }                                                                                          \
        assert_int_equal(failures, 0);                                                             \
    }
FMA_TEST(uint32_t, f32, "ss", rnd32)
FMA_TEST(uint64_t, f64, "sd", rnd64)

/* ---- x87 ---- */

typedef struct __attribute__((packed)) FpuImage {
    uint32_t fcw, fsw, ftw, fip, fcs, fdp, fds;
    uint8_t st[8][10];
} FpuImage;

/* ST(0) = a, ST(1) = b; `mem` is a 16-byte memory operand. */
#define X87_RUN(insn)                                                                              \
    __asm__ volatile("fninit\n\tfldt %2\n\tfldt %3\n\tfldcw %4\n\t" insn "\n\tfnsave %0"           \
                     : "=m"(img), "+m"(mem)                                                        \
                     : "m"(bb), "m"(aa), "m"(fcw)                                                  \
                     : "rax", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",          \
                       "st(7)", "memory")

static Float80 st_of(const FpuImage *img, unsigned n)
{
    Float80 r;

    memcpy(&r.frac, img->st[n], 8);
    memcpy(&r.sexp, img->st[n] + 8, 2);
    return r;
}
static void to_mem(uint8_t *p, Float80 a)
{
    memcpy(p, &a.frac, 8);
    memcpy(p + 8, &a.sexp, 2);
}
static uint16_t rnd_fcw(void)
{
    uint16_t r = (uint16_t)rnd();

    return 0x40 | (r & 0xf00) | (rnd() % 4 ? 0x3f : rnd() & 0x3f);
}

static void report80(const char *name, uint16_t fcw, Float80 a, Float80 b, Float80 want,
                     unsigned wsw, Float80 got, unsigned gsw)
{
    if (failures++ < 20) {
        printf("%s fcw %04x: %04x:%016llx %04x:%016llx: host %04x:%016llx/%04x, ours "
               "%04x:%016llx/%04x\n", name, fcw, a.sexp, (unsigned long long)a.frac, b.sexp,
               (unsigned long long)b.frac, want.sexp, (unsigned long long)want.frac, wsw, got.sexp,
               (unsigned long long)got.frac, gsw);
    }
}

/* `call` sets got from a, b, m (memory operand's low bits); what is blocked is not compared. */
#define X87_TEST(name, insn, index, memrnd, call)                                                  \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        failures = 0;                                                                              \
        for (uint64_t n = count(); n--;) {                                                         \
            Float80 a = rnd80(), b = rnd80(), want, got;                                           \
            uint16_t fcw = rnd_fcw();                                                              \
            uint8_t aa[16], bb[16];                                                                \
            uint64_t mem[2] = { memrnd, 0 }, m = mem[0];                                           \
            FpEnv env = fp_env_x87(fcw), *e = &env;                                                \
            FpuImage img;                                                                          \
            unsigned wsw, gsw, c2 = 0;                                                             \
                                                                                                   \
            if (rnd() % 6 == 0) {                                                                  \
                b = a;                                                                             \
                b.frac ^= rnd() & 1 ? 0 : 3;                                                       \
                b.sexp ^= rnd() & 1 ? 0 : 0x8000;                                                  \
            }                                                                                      \
            to_mem(aa, a);                                                                         \
            to_mem(bb, b);                                                                         \
            (void)m;                                                                               \
            X87_RUN(insn);                                                                         \
            want = st_of(&img, index);                                                             \
            got = call;                                                                            \
            wsw = img.fsw & 0x63f;                                                                 \
            if (fp_blocked(e)) {                                                                   \
                env.flags &= FP_PRE;                                                               \
                c2 = 0; env.up = false;                                                            \
                got = want;                                                                        \
            }                                                                                      \
            gsw = env.flags | (env.up ? 0x200u : 0) | c2;                                          \
            if (want.sexp != got.sexp || want.frac != got.frac || wsw != gsw) {                    \
                report80(insn, fcw, a, b, want, wsw, got, gsw);                                    \
            }                                                                                      \
        }                                                                                          \
        assert_int_equal(failures, 0);                                                             \
    }

X87_TEST(x87_add, "fadd %%st(1), %%st", 0, 0, f80_add(e, a, b))
X87_TEST(x87_sub, "fsub %%st(1), %%st", 0, 0, f80_sub(e, a, b))
X87_TEST(x87_mul, "fmul %%st(1), %%st", 0, 0, f80_mul(e, a, b))
X87_TEST(x87_div, "fdiv %%st(1), %%st", 0, 0, f80_div(e, a, b))
X87_TEST(x87_sqrt, "fsqrt", 0, 0, f80_sqrt(e, a))
X87_TEST(x87_rint, "frndint", 0, 0, f80_rint(e, a))
X87_TEST(x87_scale, "fscale", 0, 0, f80_scale(e, a, b))
X87_TEST(x87_flds, "flds %1", 0, rnd32(), f32_to_f80(e, (uint32_t)m))
X87_TEST(x87_fldl, "fldl %1", 0, rnd64(), f64_to_f80(e, m))

static Float80 rem80(FpEnv *e, Float80 a, Float80 b, bool nearest, unsigned *c2)
{
    unsigned q;
    Float80 r = { 0, 0 };

    *c2 = f80_rem(e, a, b, nearest, &r, &q) ? 0 : 0x400;
    e->up = q & 1;
    return r;
}
X87_TEST(x87_prem, "fprem", 0, 0, rem80(e, a, b, false, &c2))
X87_TEST(x87_prem1, "fprem1", 0, 0, rem80(e, a, b, true, &c2))

static Float80 extract(FpEnv *e, Float80 a, bool second)
{
    Float80 x, s;

    f80_extract(e, a, &x, &s);
    return second ? x : s;
}
X87_TEST(x87_xtract_s, "fxtract", 0, 0, extract(e, a, false))
X87_TEST(x87_xtract_x, "fxtract", fp_blocked(e) ? 0 : 1, 0, extract(e, a, true))

/* Stores: the memory result, as the low bits of a Float80 for the report. */
static Float80 as80(uint64_t v)
{
    return (Float80){ v, 0 };
}
#define X87_STORE(name, insn, T, call)                                                             \
    X87_TEST(name, insn "; xor %%eax, %%eax", stash_mem(&img, mem, sizeof(T)), rnd(),              \
             as80((T)store_blocked(e, (uint64_t)(call), m)))
static unsigned stash_mem(FpuImage *img, const uint64_t *mem, size_t n)
{
    memset(img->st[7], 0, 10);
    memcpy(img->st[7], mem, n);
    return 7;
}
static uint64_t store_blocked(FpEnv *e, uint64_t v, uint64_t m)
{
    if (fp_unmasked(e) & (FP_OE | FP_UE)) {
        return m;
    }
    return v;
}
X87_STORE(x87_fsts, "fsts %1", uint32_t, f80_to_f32(e, a))
X87_STORE(x87_fstl, "fstl %1", uint64_t, f80_to_f64(e, a))
X87_STORE(x87_fist, "fists %1", uint16_t, f80_to_int(e, a, 16, e->rc))
X87_STORE(x87_fistl, "fistl %1", uint32_t, f80_to_int(e, a, 32, e->rc))
X87_STORE(x87_fistq, "fistpq %1", uint64_t, f80_to_int(e, a, 64, e->rc))

static void x87_bcd(void **state)
{
    (void)state;
    for (uint64_t n = count(); n--;) {
        Float80 a = rnd() & 1 ? rnd80() : int_to_f80((int64_t)(rnd() >> (rnd() & 63))), b = a;
        uint16_t fcw = rnd_fcw() | 0x3f;
        uint8_t aa[16], bb[16], want[10], got[10];
        uint64_t mem[2] = { 0, 0 };
        FpEnv env = fp_env_x87(fcw);
        FpuImage img;

        to_mem(aa, a);
        to_mem(bb, b);
        X87_RUN("fbstp %1");
        memcpy(want, mem, 10);
        f80_to_bcd(&env, a, got);
        assert_memory_equal(want, got, 10);
        assert_int_equal(img.fsw & 0x23f, env.flags | (env.up ? 0x200 : 0));
        if (want[9] != 0xff) {
            X87_RUN("fbld %1");
            b = bcd_to_f80(got);
            assert_int_equal(b.frac, st_of(&img, 0).frac);
            assert_int_equal(b.sexp, st_of(&img, 0).sexp);
        }
    }
}

static void x87_compare(void **state)
{
    static const uint16_t codes[4] = { 0x100, 0x4000, 0, 0x4500 };

    (void)state;
    for (uint64_t n = count(); n--;) {
        Float80 a = rnd80(), b = rnd() % 4 ? rnd80() : a;
        uint16_t fcw = rnd_fcw() | 0x3f;
        uint8_t aa[16], bb[16];
        uint64_t mem[2] = { 0, 0 };
        bool quiet = n & 1;
        FpEnv env = fp_env_x87(fcw);
        FpuImage img;
        FpRel rel = f80_compare(&env, a, b, quiet);

        to_mem(aa, a);
        to_mem(bb, b);
        if (quiet) {
            X87_RUN("fucom");
        } else {
            X87_RUN("fcom");
        }
        assert_int_equal(img.fsw & 0x473f, codes[rel] | env.flags);
    }
}

#define T(f) cmocka_unit_test(f)
#define ARITH_TESTS(p)                                                                             \
    T(p##_test_add), T(p##_test_sub), T(p##_test_mul), T(p##_test_div), T(p##_test_min),           \
        T(p##_test_max), T(p##_test_sqrt), T(p##_test_rint), T(p##_test_lt), T(p##_test_eq),       \
        T(p##_test_fma)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARITH_TESTS(f32), ARITH_TESTS(f64), T(test_cvtss2sd), T(test_cvtsd2ss), T(test_cvtps2dq),
        T(test_cvttps2dq), T(test_cvtpd2dq), T(test_cvtsd2si), T(test_cvtss2si), T(test_cvtsi2sd),
        T(test_cvtsi2ss), T(test_cvtph2ps), T(test_cvtps2ph), T(x87_add), T(x87_sub), T(x87_mul),
        T(x87_div), T(x87_sqrt), T(x87_rint), T(x87_scale), T(x87_flds), T(x87_fldl), T(x87_prem),
        T(x87_prem1), T(x87_xtract_s), T(x87_xtract_x), T(x87_fsts), T(x87_fstl), T(x87_fist),
        T(x87_fistl), T(x87_fistq), T(x87_bcd), T(x87_compare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    printf("1..0 # SKIP the host is not x86\n");
    return 0;
}

#endif
