/*
 * Processor models and the text of -cpu.
 *
 * The models of real processors are compared with the CPUID words that these processors give (data
 * sheets and public dumps), restricted to what the engine implements, which is what `max` has. What
 * a model leaves out or adds is listed with it. The generic ones are compared by the names of the
 * psABI's levels.
 */
#include <stdlib.h>
#include <unistd.h>
#include "cpu/cpuid.h"
#include "tests/test.h"

enum { EAX, EBX, ECX, EDX };
static const struct {
    const char *name;
    uint32_t leaf, sub;
    uint8_t reg, bit;
} flags[FEAT_COUNT] = {
#define FEAT(id, nm, lf, sb, rg, bt) [FEAT_##id] = { nm, lf, sb, rg, bt },
#include "cpu/features.inc"
#undef FEAT
};

static CpuModel model;

static bool given(unsigned f)
{
    return model.features[f / 64] >> (f % 64) & 1;
}

static void parse(const char *text)
{
    Error *err = NULL;

    if (!cpu_model_parse(text, true, &model, &err)) {
        print_error("%s: %s\n", text, error_text(err));
        fail();
    }
}

static void refuse(const char *text, const char *part)
{
    Error *err = NULL;

    assert_false(cpu_model_parse(text, true, &model, &err));
    expect_error(&err, part);
}

static bool has(const char *name)
{
    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        if (strcmp(flags[f].name, name) == 0) {
            return given(f);
        }
    }
    fail_msg("no flag %s", name);
    return false;
}

static bool in_words(const char *words, const char *w)
{
    size_t n = strlen(w);

    for (const char *s = words; (s = strstr(s, w)) != NULL; s += n) {
        if ((s == words || s[-1] == ' ') && (s[n] == ' ' || s[n] == 0)) {
            return true;
        }
    }
    return false;
}

static CpuidRegs ask(uint32_t leaf, uint32_t sub)
{
    CpuState *c = cpu_new(0, &model);
    CpuidRegs r = cpuid_leaf(c, leaf, sub);

    cpu_free(c);
    return r;
}

/* ---- real processors ---- */

typedef struct Real {
    const char *name, *vendor;
    uint32_t sig;         /* leaf 1 EAX */
    uint32_t d1, c1, b7;  /* leaf 1 EDX, ECX; leaf 7 EBX */
    uint32_t ed, ec, xs;  /* 80000001h EDX, ECX; leaf 0Dh subleaf 1 EAX */
    const char *without;  /* flags that the model leaves out */
    const char *with;     /* and has beyond the processor's: no silicon of that name is meant */
} Real;

#define INTEL "GenuineIntel"
#define AMD "AuthenticAMD"
static const Real reals[] = {
    { "486", INTEL, 0x480, 0x00000003, 0, 0, 0, 0, 0, "", "pse" },
    { "pentium", INTEL, 0x543, 0x008001bf, 0, 0, 0, 0, 0, "", "" },
    { "pentium3", INTEL, 0x673, 0x0387fbff, 0, 0, 0, 0, 0, "", "" },
    { "athlon", AMD, 0x662, 0x0383fbff, 0, 0, 0xc1c3fbff, 0, 0, "", "" },
    { "core2duo", INTEL, 0x6fb, 0xbfebfbff, 0x0000e3bd, 0, 0x20100800, 1, 0, "", "" },
    { "Nehalem", INTEL, 0x106a3, 0xbfebfbff, 0x009ce3bd, 0, 0x28100800, 1, 0, "rdtscp", "" },
    { "Westmere", INTEL, 0x206c1, 0xbfebfbff, 0x029ee3ff, 0, 0x2c100800, 1, 0,
      "rdtscp pcid pdpe1gb", "" },
    { "SandyBridge", INTEL, 0x206a1, 0xbfebfbff, 0x1fbae3ff, 0, 0x28100800, 1, 1, "pcid", "" },
    { "IvyBridge", INTEL, 0x306a9, 0xbfebfbff, 0x7fbae3ff, 0x281, 0x28100800, 1, 1, "pcid", "" },
    { "Haswell", INTEL, 0x306c4, 0xbfebfbff, 0x7ffafbff, 0x27ab, 0x2c100800, 0x21, 1,
      "tsc-adjust pdpe1gb", "" },
    { "Skylake-Client", INTEL, 0x506e3, 0xbfebfbff, 0x7ffafbbf, 0x029c6fbb, 0x2c100800, 0x121, 0xf,
      "tsc-adjust pdpe1gb clflushopt xsaves", "" },
    { "EPYC", AMD, 0x800f12, 0x178bfbff, 0x7ed8320b, 0x209c01a9, 0x2fd3fbff, 0x35c233ff, 0xf,
      "xsaves", "" },
};

static uint32_t real_word(const Real *r, uint32_t leaf, unsigned reg, bool *known)
{
    *known = true;
    switch (leaf) {
    case 1: return reg == EDX ? r->d1 : r->c1;
    case 7: *known = reg == EBX; return r->b7;
    case 0x80000001: return reg == EDX ? r->ed : r->ec;
    case 13: return r->xs;
    default: *known = false; return 0;
    }
}

static void real_processors(void **state)
{
    uint64_t all[2];
    unsigned bad = 0;

    parse("max");
    memcpy(all, model.features, sizeof(all));
    for (unsigned k = 0; k < ARRAY_SIZE(reals); k++) {
        const Real *r = &reals[k];

        parse(r->name);
        assert_string_equal(model.vendor, r->vendor);
        assert_int_equal(ask(1, 0).eax, r->sig);
        if (strcmp(r->vendor, AMD) == 0) {
            assert_int_equal(ask(0x80000001, 0).eax, r->sig);
        }
        for (unsigned f = 1; f < FEAT_COUNT; f++) {
            bool known, want;
            uint32_t word = real_word(r, flags[f].leaf, flags[f].reg, &known);

            want = word >> flags[f].bit & 1 && all[f / 64] >> (f % 64) & 1;
            if (in_words(r->without, flags[f].name) || in_words(r->with, flags[f].name)) {
                want = !want;
            }
            if (known && want != given(f)) {
                print_error("%s: %s is %s\n", r->name, flags[f].name, want ? "missing" : "too much");
                bad++;
            }
        }
    }
    assert_int_equal(bad, 0);
}

/* ---- generic ones ---- */

static void all_of(const char *name, const char *words)
{
    char text[512], *save, *w;

    parse(name);
    snprintf(text, sizeof(text), "%s", words);
    for (w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        if (!has(w)) {
            fail_msg("%s has no %s", name, w);
        }
    }
}

/* x86-64 psABI, "Micro-Architecture Levels". LZCNT is called abm; OSXSAVE follows from CR4. */
#define LEVEL1 "cmov cx8 fpu fxsr mmx syscall sse sse2 lm "
#define LEVEL2 LEVEL1 "cx16 lahf-lm popcnt sse3 sse4.1 sse4.2 ssse3 "
#define LEVEL3 LEVEL2 "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave "

static void psabi_levels(void **state)
{
    all_of("qemu64", LEVEL1 "nx apic cx16");
    all_of("kvm64", LEVEL1 "nx apic cx16");
    all_of("x86-64-v2", LEVEL2);
    assert_false(has("avx"));
    all_of("x86-64-v3", LEVEL3);
    all_of("max", LEVEL3 "aes pclmulqdq sha-ni adx rdrand rdseed fsgsbase smep smap umip pcid invpcid "
                         "x2apic tsc-deadline rdtscp pdpe1gb xsaves erms fsrm");
    parse("qemu32");
    assert_false(has("lm"));
    parse("kvm32");
    assert_false(has("lm"));
}

static void immunity(void **state)
{
    static const char *const names[] = { "qemu64", "Haswell", "EPYC", "x86-64-v3", "max" };

    for (unsigned k = 0; k < ARRAY_SIZE(names); k++) {
        char text[64];
        uint64_t val;
        CpuState *c;

        parse(names[k]);
        assert_true(has("arch-capabilities") && has("spec-ctrl"));
        assert_true(ask(7, 0).edx >> 29 & 1);
        c = cpu_new(0, &model);
        assert_true(cpu_rdmsr(c, 0x10a, &val));
        assert_true(val & 1); /* RDCL_NO */
        cpu_free(c);
        snprintf(text, sizeof(text), "%s,-arch-capabilities", names[k]);
        parse(text);
        assert_false(ask(7, 0).edx >> 29 & 1);
        c = cpu_new(0, &model);
        assert_false(cpu_rdmsr(c, 0x10a, &val));
        cpu_free(c);
    }
    parse("pentium3"); /* knew nothing of all that */
    assert_false(has("arch-capabilities"));
}

static void every_model_of_the_list(void **state)
{
    char *text = NULL, *save, *line;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    unsigned n = 0;

    cpu_models_print(f);
    fclose(f);
    for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char name[64];
        uint32_t sig, fam;

        if (sscanf(line, "x86 %63s", name) != 1) {
            continue;
        }
        parse(name);
        n++;
        sig = ask(1, 0).eax;
        fam = (sig >> 8 & 15) + ((sig >> 8 & 15) == 15 ? sig >> 20 & 0xff : 0);
        assert_int_equal(fam, model.family);
        assert_int_equal((sig >> 4 & 15) | (sig >> 12 & 0xf0), model.model);
        assert_int_equal(sig & 15, model.stepping);
        assert_int_equal(ask(0, 0).eax, model.level);
        assert_int_equal(strlen(model.vendor), 12);
        if (model.xlevel) {
            assert_int_equal(ask(0x80000000, 0).eax, model.xlevel);
        }
    }
    free(text);
    assert_true(n >= 19);
}

/* ---- the text ---- */

static void words(void **state)
{
    parse("qemu64,+avx,-sse3");
    assert_true(has("avx"));
    assert_false(has("sse3"));
    parse("qemu64,avx=on,sse3=off,xsave=yes");
    assert_true(has("avx") && has("xsave"));
    assert_false(has("sse3"));
    parse("qemu64,+sse4_1,+sse4-2,tsc_deadline=on");
    assert_true(has("sse4.1") && has("sse4.2") && has("tsc-deadline"));
    parse("max,-lahf_lm,-pni,-lzcnt,-xd");
    assert_false(has("lahf-lm") || has("sse3") || has("abm") || has("nx"));
    parse("haswell"); /* case does not matter */
    assert_string_equal(model.name, "Haswell");
    parse("max,vendor=AuthenticAMD,family=25,model=33,stepping=2,level=7,xlevel=0x80000008,"
          "model-id=An Engine,phys-bits=39");
    assert_string_equal(model.vendor, "AuthenticAMD");
    assert_int_equal(ask(1, 0).eax, 0x00a20f12);
    assert_int_equal(ask(0, 0).eax, 7);
    assert_int_equal(ask(0, 0).ebx, 0x68747541);
    assert_int_equal(ask(0x80000000, 0).eax, 0x80000008);
    assert_int_equal(ask(0x80000008, 0).eax & 0xff, 39);
    assert_int_equal(ask(0x80000002, 0).eax, 0x45206e41); /* "An E" */
    assert_int_equal(ask(11, 0).ebx, 0);                  /* AMD: above the level, zeros */
}

static void wrong_words(void **state)
{
    refuse("Nehalm", "did you mean 'Nehalem'");
    refuse("no-such-thing-at-all", "unable to find CPU model 'no-such-thing-at-all'");
    refuse("host", "needs KVM");
    refuse("max,+avx3", "did you mean 'avx'");
    refuse("max,famly=6", "did you mean 'family'");
    refuse("max,avx=maybe", "'maybe' is not on or off");
    refuse("max,vendor=short", "12 letters");
    refuse("max,family=x", "cpu family 'x'");
    refuse("max,stepping=16", "up to 15");
    refuse("max,phys-bits=20", "phys-bits");
    refuse("max,+vmx,+rtm,enforce", "vmx rtm");
    refuse("max,enforce,svm=on", "svm");
}

/* `check`: one line on stderr for all of them. */
static void check_reports_once(void **state)
{
    FILE *tmp = tmpfile();
    char text[256] = "";
    int old;

    fflush(stderr);
    old = dup(2);
    assert_true(dup2(fileno(tmp), 2) >= 0);
    parse("max,+vmx,+rtm,check,-svm");
    fflush(stderr);
    assert_true(dup2(old, 2) >= 0);
    close(old);
    rewind(tmp);
    assert_true(fread(text, 1, sizeof(text) - 1, tmp) > 0);
    fclose(tmp);
    assert_non_null(strstr(text, "vmx rtm\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void i386_has_no_long_mode(void **state)
{
    assert_true(cpu_model_parse("max", false, &model, NULL));
    assert_false(has("lm"));
    assert_false(ask(0x80000001, 0).edx >> 29 & 1);
    assert_int_equal(ask(0x80000008, 0).eax >> 8 & 0xff, 32);
}

/* ---- leaves ---- */

static void limits(void **state)
{
    parse("Haswell");
    assert_int_not_equal(ask(13, 0).eax, 0);
    assert_int_equal(ask(0x20, 0).eax, ask(13, 0).eax);
    assert_int_equal(ask(0x80000100, 0).eax, ask(13, 0).eax); /* Intel: the highest basic leaf */
    parse("pentium");
    assert_int_equal(ask(7, 0).ebx, ask(1, 0).ebx);
    parse("EPYC");
    assert_int_equal(ask(0x20, 0).eax, 0);
}

static void topology_and_caches(void **state)
{
    unsigned n = 0;

    cpu_topology(8, 4, 2);
    parse("max");
    assert_int_equal(ask(1, 0).ebx >> 16 & 0xff, 8);
    assert_true(ask(1, 0).edx >> 28 & 1);
    assert_int_equal(ask(11, 0).ecx >> 8, 1);
    assert_int_equal(ask(11, 0).ebx, 2);
    assert_int_equal(ask(11, 0).eax, 1);
    assert_int_equal(ask(11, 1).ecx >> 8, 2);
    assert_int_equal(ask(11, 1).ebx, 8);
    assert_int_equal(ask(11, 1).eax, 3);
    assert_int_equal(ask(11, 2).ebx, 0);
    for (CpuidRegs r; ((r = ask(4, n)).eax & 31) != 0; n++) {
        unsigned sharing = (r.eax >> 14 & 0xfff) + 1;

        assert_int_equal((r.eax >> 26) + 1, 4);
        assert_true(sharing == 2 || sharing == 8);
        assert_int_equal((r.ebx & 0xfff) + 1, 64);
    }
    assert_int_equal(n, 4);
    cpu_topology(1, 1, 1);
    assert_false(ask(1, 0).edx >> 28 & 1);
}

static void xsave_leaf(void **state)
{
    parse("max");
    assert_int_equal(ask(13, 0).eax, XCR0_X87 | XCR0_SSE | XCR0_AVX);
    assert_int_equal(ask(13, 0).ecx, 576 + 256);
    assert_int_equal(ask(13, 0).ebx, 576); /* XCR0 is 1 after reset */
    assert_int_equal(ask(13, 1).eax, 0xf);
    assert_int_equal(ask(13, 1).ecx | ask(13, 1).edx, 0); /* nothing in IA32_XSS */
    assert_int_equal(ask(13, 2).eax, 256);
    assert_int_equal(ask(13, 2).ebx, 576);
    assert_int_equal(ask(13, 2).ecx, 0);
    parse("max,-avx");
    assert_int_equal(ask(13, 0).eax, XCR0_X87 | XCR0_SSE);
    assert_int_equal(ask(13, 2).eax, 0);
    parse("max,-xsave");
    assert_int_equal(ask(13, 0).eax, 0);
}

static void frequencies(void **state)
{
    CpuidRegs r;

    parse("max");
    r = ask(0x15, 0);
    assert_int_equal((uint64_t)r.ecx * r.ebx / r.eax, cpu_tsc_hz());
    r = ask(0x40000000, 0);
    assert_true(r.eax >= 0x40000010);
    assert_int_equal(ask(0x40000010, 0).eax, cpu_tsc_hz() / 1000);
    r = ask(0x40000100, 0); /* KVM's clock, both its MSRs, stable */
    assert_int_equal(r.eax, 0x40000101);
    assert_memory_equal(&r.ebx, "KVMK", 4);
    assert_int_equal(ask(0x40000101, 0).eax, 0x01000009);
    parse("max,-kvmclock");
    assert_int_equal(ask(0x40000100, 0).eax, 0);
    parse("qemu64");
    assert_int_equal(ask(0x40000101, 0).eax, 0x01000009);
    parse("max,-hypervisor");
    assert_int_not_equal(ask(0x40000000, 0).eax, 0x40000010);
    assert_int_not_equal(ask(0x40000101, 0).eax, 0x01000009);
}

/* An engine on the host's counter, with the host's processor to offer. The last test: neither is taken back. */
static void on_the_host(void **state)
{
    CpuidRegs r;

    refuse("host", "needs KVM");
    cpu_model_allow_host();
    parse("host,-avx");
    assert_true(model.host);
    parse("max");
    assert_false(model.host);
    cpu_tsc_set_hz(2596148000);
    r = ask(0x15, 0);
    assert_int_equal((uint64_t)r.ecx * r.ebx / r.eax, 2596148000);
    assert_int_equal(ask(0x40000010, 0).eax, 2596148);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_processors),
        cmocka_unit_test(psabi_levels),
        cmocka_unit_test(immunity),
        cmocka_unit_test(every_model_of_the_list),
        cmocka_unit_test(words),
        cmocka_unit_test(wrong_words),
        cmocka_unit_test(check_reports_once),
        cmocka_unit_test(i386_has_no_long_mode),
        cmocka_unit_test(limits),
        cmocka_unit_test(topology_and_caches),
        cmocka_unit_test(xsave_leaf),
        cmocka_unit_test(frequencies),
        cmocka_unit_test(on_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
