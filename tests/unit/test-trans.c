/*
 * The portable transcendentals and reciprocals (cpu/softfloat-trans.c) against the host's
 * instructions. Both promise 1 ulp, so they may differ by two (on the host it was written on: one); the cases of the manual's tables
 * (zeros, infinities, NaNs) agree in value and flags. The reciprocals are compared with division.
 *
 * TRANS_COUNT in the environment: operands a function (default 40000).
 */
#include <math.h>
#include <stdlib.h>
#include "cpu/softfloat.h"
#include "tests/test.h"

static uint64_t rng_state = 0x2545f4914f6cdd1dull;

static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * 0x9e3779b97f4a7c15ull;
}

static uint64_t count(void)
{
    const char *s = getenv("TRANS_COUNT");

    return s ? strtoull(s, NULL, 0) : 40000;
}

static float as_float(uint32_t v)
{
    float f;

    memcpy(&f, &v, 4);
    return f;
}

static void reciprocals(void **state)
{
    const double limit = 1.5 / 4096;

    for (uint64_t n = count(); n--;) {
        uint32_t a = (uint32_t)(rnd() & 0x7fffff) | (uint32_t)(1 + rnd() % 252) << 23;
        double x = as_float(a), rcp = as_float(f32_rcp_approx(a)), rs = as_float(f32_rsqrt_approx(a));

        assert_true(fabs(rcp * x - 1) <= limit);
        assert_true(fabs(rs * sqrt(x) - 1) <= limit);
    }
    assert_int_equal(f32_rcp_approx(0), 0x7f800000);
    assert_int_equal(f32_rcp_approx(0x80000001), 0xff800000); /* a denormal counts as zero */
    assert_int_equal(f32_rcp_approx(0x7f800000), 0);
    assert_int_equal(f32_rcp_approx(0x7f000000), 0);          /* the result would be denormal */
    assert_int_equal(f32_rsqrt_approx(0), 0x7f800000);
    assert_int_equal(f32_rsqrt_approx(0x80000000), 0xff800000);
    assert_int_equal(f32_rsqrt_approx(0xbf800000), 0xffc00000);
    assert_int_equal(f32_rsqrt_approx(0x7f800000), 0);
}

#if defined(__x86_64__)

static Float80 make(unsigned sign, int exp, uint64_t frac)
{
    return (Float80){ frac | 1ull << 63, (uint16_t)(sign << 15 | (unsigned)(exp + 16383)) };
}

static uint64_t rnd_frac(void)
{
    switch (rnd() % 6) {
    case 0: return 0;
    case 1: return ~0ull << (rnd() & 63);
    case 2: return ~0ull >> (rnd() & 63);
    default: return rnd();
    }
}

/* An exponent from @lo to @hi; mostly near zero. */
static Float80 rnd80(int lo, int hi)
{
    int exp = rnd() & 1 ? (int)(rnd() % 12) - 8 : lo + (int)(rnd() % (uint64_t)(hi - lo + 1));

    exp = exp < lo ? lo : exp > hi ? hi : exp;
    return make(rnd() & 1, exp, rnd_frac());
}

/* Distance of two finite numbers in ulps of the smaller; many where signs differ. */
static uint64_t ulps(Float80 a, Float80 b)
{
    unsigned __int128 x, y;

    if ((a.sexp ^ b.sexp) & 0x8000) {
        return UINT64_MAX;
    }
    x = (unsigned __int128)(a.sexp & 0x7fff) << 63 | (a.frac & ~(1ull << 63));
    y = (unsigned __int128)(b.sexp & 0x7fff) << 63 | (b.frac & ~(1ull << 63));
    x = x > y ? x - y : y - x;
    return x > UINT64_MAX ? UINT64_MAX : (uint64_t)x;
}

typedef struct Domain {
    const char *name;
    FpTrans op;
    int lo_a, hi_a, lo_b, hi_b;
} Domain;

static const Domain domains[] = {
    { "f2xm1", FT_F2XM1, -16380, -1, 0, 0 },
    { "fyl2x", FT_FYL2X, -16382, 16383, -16300, 16300 },
    { "fyl2xp1", FT_FYL2XP1, -16000, -2, -300, 300 },
    { "fpatan", FT_FPATAN, -16382, 16383, -16382, 16383 },
    { "fsin", FT_FSIN, -16382, 62, 0, 0 },
    { "fcos", FT_FCOS, -16382, 62, 0, 0 },
    { "fsincos", FT_FSINCOS, -16382, 62, 0, 0 },
    { "fptan", FT_FPTAN, -16382, 62, 0, 0 },
};

/* Near a multiple of pi/2, where the reduction shows. */
static Float80 near_pi(void)
{
    uint16_t fcw = 0x37f;
    FpEnv e = fp_env_x87(fcw);
    Float80 half_pi = { 0xc90fdaa22168c234 + rnd() % 3, 0x3fff };

    return f80_mul(&e, half_pi, int_to_f80((int64_t)(rnd() >> (1 + rnd() % 62))));
}

static bool trig(FpTrans op)
{
    return op == FT_FSIN || op == FT_FCOS || op == FT_FSINCOS || op == FT_FPTAN;
}

static void show(const char *name, unsigned fcw, Float80 a, Float80 b, Float80 want, unsigned wf,
                 Float80 got, unsigned gf)
{
    typedef unsigned long long ull;

    printf("%s fcw %04x: %04x:%016llx %04x:%016llx: host %04x:%016llx/%02x, ours %04x:%016llx/%02x\n",
           name, fcw, a.sexp, (ull)a.frac, b.sexp, (ull)b.frac, want.sexp, (ull)want.frac, wf,
           got.sexp, (ull)got.frac, gf);
}

static void compare(const Domain *d)
{
    unsigned bad = 0;
    uint64_t worst = 0;

    for (uint64_t n = count(); n--;) {
        uint16_t fcw = (uint16_t)(0x37f | (rnd() & 0xc00));
        Float80 a = rnd80(d->lo_a, d->hi_a), b = rnd80(d->lo_b, d->hi_b);
        Float80 want[2] = { a, a }, got[2] = { a, a };
        FpEnv h = fp_env_x87(fcw), p = h;
        uint64_t off;
        bool hd, pd;

        if (trig(d->op) && rnd() % 4 == 0) {
            a = near_pi();
        }
        if (d->op == FT_FYL2X) {
            a.sexp &= 0x7fff;
        }
        if (d->op == FT_FPATAN && rnd() & 1) { /* comparable operands */
            b.sexp = (uint16_t)((b.sexp & 0x8000) | ((a.sexp + rnd() % 140 - 70) & 0x7fff));
            if ((b.sexp & 0x7fff) == 0 || (b.sexp & 0x7fff) == 0x7fff) {
                continue;
            }
        }
        hd = f80_transcendental(&h, fcw, d->op, a, b, &want[0], &want[1]);
        pd = f80_trans_portable(&p, d->op, a, b, &got[0], &got[1]);
        off = ulps(want[0], got[0]);
        if (d->op == FT_FSINCOS || d->op == FT_FPTAN) {
            uint64_t more = ulps(want[1], got[1]);

            off = more > off ? more : off;
        }
        off = hd ? off : 0; /* C2=1: no result */
        worst = off > worst ? off : worst;
        if (hd != pd || off > 2 || ((h.flags ^ p.flags) & (FP_PRE | FP_OE))) {
            if (bad++ < 10) {
                show(d->name, fcw, a, b, want[0], h.flags, got[0], p.flags);
            }
        }
    }
    printf("%s: at most %llu ulp\n", d->name, (unsigned long long)worst);
    assert_int_equal(bad, 0);
}

static void functions(void **state)
{
    compare(*state);
}

/* Every pair of special operands. */
static void specials(void **state)
{
    static const Float80 v[] = {
        { 0, 0 }, { 0, 0x8000 }, { 1ull << 63, 0x3fff }, { 1ull << 63, 0xbfff },
        { 1ull << 63, 0x7fff }, { 1ull << 63, 0xffff }, { 0xc000000000000001, 0x7fff },
        { 0x8000000000000001, 0xffff }, { 1ull << 63, 0x4000 }, { 1ull << 63, 0xc000 },
        { 1ull << 63, 0x3ffd }, { 1ull << 63, 0xbffd }, { 0x1000, 0x3fff }, { 1ull << 63, 0x403e },
        { 1ull << 63, 0x7000 }, { 12345, 0 }, { 12345, 0x8000 },
    };
    unsigned bad = 0;

    for (unsigned k = 0; k < ARRAY_SIZE(domains); k++) {
        const Domain *d = &domains[k];
        bool binary = d->op == FT_FYL2X || d->op == FT_FPATAN || d->op == FT_FYL2XP1;

        for (unsigned n = 0; n < ARRAY_SIZE(v) * ARRAY_SIZE(v); n++) {
            Float80 a = v[n % ARRAY_SIZE(v)], b = v[n / ARRAY_SIZE(v)];
            unsigned ea = a.sexp & 0x7fff;
            Float80 want[2] = { a, a }, got[2] = { a, a };
            FpEnv h = fp_env_x87(0x37f), p = h;
            bool hd, pd;

            if ((!binary && n >= ARRAY_SIZE(v)) ||
                (d->op == FT_F2XM1 && ea > 0x3fff && !f80_is_nan(a)) ||
                (d->op == FT_FYL2XP1 && ea > 0x3ffd && !f80_is_nan(a))) {
                continue; /* the same again, or not defined */
            }
            hd = f80_transcendental(&h, 0x37f, d->op, a, b, &want[0], &want[1]);
            pd = f80_trans_portable(&p, d->op, a, b, &got[0], &got[1]);
            if (hd != pd || (hd && ulps(want[0], got[0]) > 1) ||
                ((d->op == FT_FSINCOS || d->op == FT_FPTAN) && hd && ulps(want[1], got[1]) > 1) ||
                ((h.flags ^ p.flags) & (FP_PRE | FP_OE))) {
                show(d->name, 0x37f, a, b, want[0], h.flags, got[0], p.flags);
                bad++;
            }
        }
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_SIZE(domains) + 2] = {
        cmocka_unit_test(reciprocals),
        cmocka_unit_test(specials),
    };

    for (unsigned k = 0; k < ARRAY_SIZE(domains); k++) {
        tests[k + 2] = (struct CMUnitTest){ domains[k].name, functions, NULL, NULL,
                                            (void *)&domains[k] };
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(reciprocals) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
