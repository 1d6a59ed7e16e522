/*
 * Processor models and CPUID. Source: Intel SDM vol. 2A, "CPUID-CPU Identification"; AMD APM
 * vol. 3, appendix E; the vendors' data sheets of the models named.
 */
#include "cpu/cpuid.h"

#include <stdlib.h>
#include <strings.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

enum { EAX, EBX, ECX, EDX };

typedef struct FeatureInfo {
    const char *name;
    uint32_t leaf;
    uint8_t sub, reg, bit;
} FeatureInfo;

static const FeatureInfo info[FEAT_COUNT] = {
#define FEAT(id, nm, lf, sb, rg, bt) [FEAT_##id] = { nm, lf, sb, rg, bt },
#include "cpu/features.inc"
#undef FEAT
};

static unsigned topo_cpus = 1, topo_cores = 1, topo_threads = 1; /* set at start-up */
static bool host_known; /* likewise */

/* A row of the model table; features are a base set by name and more flags. */
typedef struct ModelRow {
    const char *name, *base; /* base: another row whose features come first, or NULL */
    const char *features;
    const char *vendor, *model_id;
    unsigned family, model, stepping;
    uint32_t level, xlevel;
    unsigned phys_bits;
    const char *desc;
} ModelRow;

#define INTEL "GenuineIntel"
#define AMD "AuthenticAMD"
#define P6_SET "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36"
/* What makes a guest leave out its side-channel mitigations; `-arch-capabilities` takes it away. */
#define IMMUNE " arch-capabilities spec-ctrl"

/* clang-format off */
static const ModelRow models[] = {
    { "486", NULL, "fpu vme pse", INTEL, "", 4, 8, 0, 1, 0, 32, "Intel 486 DX" },
    { "pentium", NULL, "fpu vme de pse tsc msr mce cx8 mmx", INTEL, "", 5, 4, 3, 1, 0, 32, "Intel Pentium MMX" },
    { "pentium2", NULL, P6_SET " mmx fxsr", INTEL, "", 6, 5, 2, 2, 0, 36, "Intel Pentium II" },
    { "pentium3", NULL, P6_SET " mmx fxsr sse", INTEL, "", 6, 7, 3, 3, 0, 36, "Intel Pentium III" },
    { "athlon", NULL, P6_SET " mmx fxsr sse mmxext syscall", AMD, "AMD Athlon(tm) Processor", 6, 6, 2, 1, 0x80000008, 36, "AMD Athlon" },
    { "coreduo", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 monitor nx", INTEL, "Genuine Intel(R) CPU           T2600  @ 2.16GHz", 6, 14, 8, 10, 0x80000008, 32, "Intel Core Duo" },
    { "n270", "coreduo", "ssse3 movbe", INTEL, "Intel(R) Atom(TM) CPU N270   @ 1.60GHz", 6, 28, 2, 10, 0x80000008, 32, "Intel Atom N270" },
    { "qemu32", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 hypervisor", INTEL, "QEMU Virtual CPU version 2.5+", 6, 6, 3, 4, 0x80000004, 36, "generic 32-bit" },
    { "kvm32", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 hypervisor", INTEL, "Common 32-bit KVM processor", 15, 6, 1, 5, 0x80000008, 36, "generic 32-bit" },
    { "qemu64", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 cx16 hypervisor syscall nx lm lahf-lm", AMD, "QEMU Virtual CPU version 2.5+", 15, 107, 1, 13, 0x8000000a, 40, "generic 64-bit" },
    { "kvm64", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 cx16 hypervisor syscall nx lm", INTEL, "Common KVM processor", 15, 6, 1, 13, 0x80000008, 40, "generic 64-bit" },
    { "core2duo", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 monitor ssse3 cx16 syscall nx lm lahf-lm", INTEL, "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz", 6, 15, 11, 10, 0x80000008, 36, "Intel Core 2 Duo T7700" },
    { "Conroe", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 ssse3 syscall nx lm lahf-lm", INTEL, "Intel Celeron_4x0 (Conroe/Merom Class Core 2)", 6, 15, 3, 10, 0x80000008, 40, "Intel Core 2" },
    { "Penryn", "Conroe", "cx16 sse4.1", INTEL, "Intel Core 2 Duo P9xxx (Penryn Class Core 2)", 6, 23, 3, 10, 0x80000008, 40, "Intel Core 2 (45 nm)" },
    { "Nehalem", "Penryn", "sse4.2 popcnt", INTEL, "Intel Core i7 9xx (Nehalem Class Core i7)", 6, 26, 3, 11, 0x80000008, 40, "Intel Core, 1st generation" },
    { "Westmere", "Nehalem", "aes pclmulqdq arat", INTEL, "Westmere E56xx/L56xx/X56xx (Nehalem-C)", 6, 44, 1, 11, 0x80000008, 40, "Intel Westmere" },
    { "SandyBridge", "Westmere", "x2apic tsc-deadline xsave avx rdtscp xsaveopt", INTEL, "Intel Xeon E312xx (Sandy Bridge)", 6, 42, 1, 13, 0x80000008, 40, "Intel Core, 2nd generation" },
    { "IvyBridge", "SandyBridge", "f16c rdrand fsgsbase smep erms", INTEL, "Intel Xeon E3-12xx v2 (Ivy Bridge)", 6, 58, 9, 13, 0x80000008, 40, "Intel Core, 3rd generation" },
    { "Haswell", "IvyBridge", "fma pcid movbe bmi1 avx2 bmi2 invpcid abm", INTEL, "Intel Core Processor (Haswell)", 6, 60, 4, 13, 0x80000008, 40, "Intel Core, 4th generation" },
    { "Haswell-noTSX", "Haswell", "", INTEL, "Intel Core Processor (Haswell, no TSX)", 6, 60, 1, 13, 0x80000008, 40, "Intel Core, 4th generation" },
    { "Broadwell", "Haswell", "rdseed adx smap 3dnowprefetch", INTEL, "Intel Core Processor (Broadwell)", 6, 61, 2, 13, 0x80000008, 40, "Intel Core, 5th generation" },
    { "Skylake-Client", "Broadwell", "xsavec xgetbv1", INTEL, "Intel Core Processor (Skylake)", 6, 94, 3, 13, 0x80000008, 40, "Intel Core, 6th generation" },
    { "Skylake-Server", "Skylake-Client", "pdpe1gb clwb clflushopt", INTEL, "Intel Xeon Processor (Skylake)", 6, 85, 4, 13, 0x80000008, 46, "Intel Xeon Scalable" },
    { "phenom", "qemu64", "monitor popcnt mmxext pdpe1gb rdtscp abm cr8legacy", AMD, "AMD Phenom(tm) 9550 Quad-Core Processor", 16, 2, 3, 5, 0x8000001a, 48, "AMD Phenom" },
    { "Opteron_G1", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 syscall nx lm", AMD, "AMD Opteron 240 (Gen 1 Class Opteron)", 15, 6, 1, 5, 0x80000008, 40, "AMD Opteron" },
    { "Opteron_G2", "Opteron_G1", "cx16 lahf-lm", AMD, "AMD Opteron 22xx (Gen 2 Class Opteron)", 15, 6, 1, 5, 0x80000008, 40, "AMD Opteron" },
    { "Opteron_G3", "Opteron_G2", "monitor popcnt rdtscp abm", AMD, "AMD Opteron 23xx (Gen 3 Class Opteron)", 16, 2, 3, 5, 0x80000008, 48, "AMD Opteron" },
    { "Opteron_G4", "Opteron_G3", "ssse3 sse4.1 sse4.2 aes pclmulqdq xsave avx pdpe1gb 3dnowprefetch", AMD, "AMD Opteron 62xx class CPU", 21, 1, 2, 13, 0x8000001a, 48, "AMD Opteron" },
    { "Opteron_G5", "Opteron_G4", "fma f16c", AMD, "AMD Opteron 63xx class CPU", 21, 2, 0, 13, 0x8000001a, 48, "AMD Opteron" },
    { "EPYC", NULL, P6_SET " clflush mmx fxsr sse sse2 sse3 pclmulqdq monitor ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand arat fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt sha-ni xsaveopt xsavec xgetbv1 lahf-lm cr8legacy abm 3dnowprefetch syscall nx mmxext pdpe1gb rdtscp lm", AMD, "AMD EPYC Processor", 23, 1, 2, 13, 0x8000001f, 48, "AMD EPYC" },
    { "x86-64-v2", "qemu64", "ssse3 sse4.1 sse4.2 popcnt", INTEL, "x86-64-v2", 15, 6, 1, 13, 0x80000008, 40, "x86-64 psABI level 2" },
    { "x86-64-v2-AES", "x86-64-v2", "aes", INTEL, "x86-64-v2-AES", 15, 6, 1, 13, 0x80000008, 40, "x86-64 psABI level 2 with AES" },
    { "x86-64-v3", "x86-64-v2-AES", "xsave avx avx2 bmi1 bmi2 f16c fma movbe abm", INTEL, "x86-64-v3", 15, 6, 1, 13, 0x80000008, 40, "x86-64 psABI level 3" },
    { "base", NULL, "", INTEL, "", 6, 6, 3, 13, 0x80000008, 40, "no flags at all" },
    { "max", "*", "", INTEL, "doppel max processor", 6, 143, 8, 0x15, 0x80000008, 46, "all that this engine implements (default)" },
};
/* clang-format on */

static bool same_name(const char *a, size_t n, const char *b)
{
    for (size_t k = 0; k < n; k++) {
        char x = a[k], y = b[k];

        x = x == '_' || x == '.' ? '-' : x;
        y = y == '_' || y == '.' ? '-' : y;
        if (x != y || y == 0) {
            return false;
        }
    }
    return b[n] == 0;
}

/* Other spellings of a flag, as front ends write them. */
static const struct {
    const char *alias, *name;
} aliases[] = { { "pni", "sse3" }, { "sse4-1", "sse4.1" }, { "sse4-2", "sse4.2" },
                { "lzcnt", "abm" }, { "xd", "nx" }, { "sha", "sha-ni" }, { "pclmuldq", "pclmulqdq" },
                { "i64", "lm" }, { "clflushopt", "clflushopt" } };

unsigned cpu_feature_find(const char *name, size_t n)
{
    for (unsigned a = 0; a < ARRAY_SIZE(aliases); a++) {
        if (same_name(name, n, aliases[a].alias)) {
            name = aliases[a].name;
            n = strlen(name);
            break;
        }
    }
    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        if (same_name(name, n, info[f].name)) {
            return f;
        }
    }
    return FEAT_NONE;
}

const char *cpu_feature_name(unsigned feature)
{
    return info[feature].name;
}

CpuFeaturePlace cpu_feature_place(unsigned feature)
{
    const FeatureInfo *i = &info[feature];

    return (CpuFeaturePlace){ i->leaf, i->sub, i->reg, i->bit };
}

void cpu_model_allow_host(void)
{
    host_known = true;
}

/* Flags that exist on processors but not here: known by name, never given. */
static const char *const unimplemented[] = {
    "acpi", "ss", "tm", "ht", "pbe", "dtes64", "ds-cpl", "vmx", "smx", "est", "tm2", "cid", "xtpr",
    "pdcm", "dca", "osxsave", "hle", "rtm", "mpx", "avx512f", "avx512dq", "avx512cd", "avx512bw",
    "avx512vl", "avx512ifma", "avx512vbmi", "avx512-vnni", "pku", "ospke", "la57", "svm", "npt",
    "nrip-save", "sse4a", "misalignsse", "3dnow", "3dnowext", "fxsr-opt", "xop", "fma4", "tbm",
    "topoext", "perfctr-core", "invtsc", "ssbd", "stibp", "md-clear", "ibpb", "virt-ssbd",
    "amd-ssbd", "kvm", "kvm-pv-eoi", "kvm-pv-unhalt", "vaes", "vpclmulqdq", "gfni",
    "intel-pt", "vmware-cpuid-freq", "migratable", "hypervisor", "l3-cache", "pmu", "extapic",
    "cmp-legacy", "ds", "phe", "amd-stibp", "wbnoinvd", "clzero", "osvw", "skinit", "wdt",
};

static bool known_unimplemented(const char *name, size_t n)
{
    for (unsigned k = 0; k < ARRAY_SIZE(unimplemented); k++) {
        if (same_name(name, n, unimplemented[k])) {
            return true;
        }
    }
    return n > 3 && (strncmp(name, "hv", 2) == 0 || strncmp(name, "kvm", 3) == 0);
}

static void set_feature(CpuModel *m, unsigned f, bool on)
{
    if (on) {
        m->features[f / 64] |= 1ull << (f % 64);
    } else {
        m->features[f / 64] &= ~(1ull << (f % 64));
    }
}

static bool has_feature(const CpuModel *m, unsigned f)
{
    return m->features[f / 64] >> (f % 64) & 1;
}

/* Flags that a row never gives by itself: nothing behind them here. */
static bool excluded(unsigned f)
{
    return f == FEAT_SSE4A || f == FEAT_INVTSC || f == FEAT_HT || f == FEAT_MONITOR;
}

static void add_words(CpuModel *m, const char *words)
{
    while (*words != 0) {
        size_t n = strcspn(words, " ");
        unsigned f = cpu_feature_find(words, n);

        if (f != FEAT_NONE && !excluded(f)) {
            set_feature(m, f, true);
        }
        words += n + strspn(words + n, " ");
    }
}

static const ModelRow *find_model(const char *name, size_t n)
{
    for (unsigned k = 0; k < ARRAY_SIZE(models); k++) {
        if (strlen(models[k].name) == n && strncasecmp(models[k].name, name, n) == 0) {
            return &models[k];
        }
    }
    return NULL;
}

static void add_row(CpuModel *m, const ModelRow *r)
{
    if (r->base != NULL && strcmp(r->base, "*") == 0) {
        for (unsigned f = 1; f < FEAT_COUNT; f++) {
            set_feature(m, f, !excluded(f));
        }
    } else if (r->base != NULL) {
        add_row(m, find_model(r->base, strlen(r->base)));
    }
    add_words(m, r->features);
}

static void copy_text(char *dst, size_t size, const char *src, size_t n)
{
    n = MIN(n, size - 1);
    memcpy(dst, src, n);
    dst[n] = 0;
}

static void fill_model(CpuModel *m, const ModelRow *r)
{
    memset(m, 0, sizeof(*m));
    copy_text(m->name, sizeof(m->name), r->name, strlen(r->name));
    copy_text(m->vendor, sizeof(m->vendor), r->vendor, strlen(r->vendor));
    copy_text(m->model_id, sizeof(m->model_id), r->model_id, strlen(r->model_id));
    m->family = r->family;
    m->model = r->model;
    m->stepping = r->stepping;
    m->level = r->level;
    m->xlevel = r->xlevel;
    m->phys_bits = r->phys_bits;
    add_row(m, r);
    set_feature(m, FEAT_KVMCLOCK, has_feature(m, FEAT_HYPERVISOR));
    if (r->level >= 7 && has_feature(m, FEAT_LM)) {
        add_words(m, IMMUNE);
    }
}

/* One "key=value" of -cpu. False with errp on a bad value or an unknown key. */
static bool set_value(CpuModel *m, const char *key, size_t kn, const char *val, size_t vn,
                      bool *handled, struct Error **errp)
{
    static const struct {
        const char *key;
        size_t offset;
        unsigned long max;
    } numbers[] = {
        { "family", offsetof(CpuModel, family), 270 },   { "model", offsetof(CpuModel, model), 255 },
        { "stepping", offsetof(CpuModel, stepping), 15 }, { "level", offsetof(CpuModel, level), 0xffff },
        { "min-level", offsetof(CpuModel, level), 0xffff },
        { "xlevel", offsetof(CpuModel, xlevel), 0xffffffff },
        { "min-xlevel", offsetof(CpuModel, xlevel), 0xffffffff },
        { "phys-bits", offsetof(CpuModel, phys_bits), 52 },
    };
    char text[64];

    *handled = true;
    copy_text(text, sizeof(text), val, vn);
    if (same_name(key, kn, "vendor")) {
        if (vn != 12) {
            error_set(errp, "cpu vendor '%.*s' is not 12 letters", (int)vn, val);
            return false;
        }
        copy_text(m->vendor, sizeof(m->vendor), val, vn);
        return true;
    }
    if (same_name(key, kn, "model-id")) {
        copy_text(m->model_id, sizeof(m->model_id), val, vn);
        return true;
    }
    for (unsigned k = 0; k < ARRAY_SIZE(numbers); k++) {
        unsigned long v;
        char *end;

        if (!same_name(key, kn, numbers[k].key)) {
            continue;
        }
        v = strtoul(text, &end, 0);
        if (*text == 0 || *end != 0 || v > numbers[k].max ||
            (same_name(key, kn, "phys-bits") && v < 32)) {
            error_set(errp, "cpu %.*s '%s' is not a number up to %lu", (int)kn, key, text,
                      numbers[k].max);
            return false;
        }
        memcpy((char *)m + numbers[k].offset, &(unsigned){ (unsigned)v }, sizeof(unsigned));
        return true;
    }
    *handled = false;
    return true;
}

/* ", did you mean ...": the nearest known flag, or key of a value. */
static void unknown_flag(const char *w, size_t n, struct Error **errp)
{
    static const char *const keys[] = { "vendor", "family", "model", "stepping", "level", "xlevel",
                                        "model-id", "phys-bits", "check", "enforce" };
    char text[64];
    autofree char *hint = NULL;
    Nearest near;

    copy_text(text, sizeof(text), w, n);
    nearest_init(&near, text);
    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        nearest_offer(&near, info[f].name);
    }
    for (unsigned k = 0; k < ARRAY_SIZE(keys); k++) {
        nearest_offer(&near, keys[k]);
    }
    hint = nearest_hint(&near);
    error_set(errp, "cpu flag '%s' is not known%s", text, hint);
}

static void unknown_model(const char *name, size_t n, struct Error **errp)
{
    char text[64];
    Nearest near;

    copy_text(text, sizeof(text), name, n);
    nearest_init(&near, text);
    for (unsigned k = 0; k < ARRAY_SIZE(models); k++) {
        nearest_offer(&near, models[k].name);
    }
    if (near.best != NULL) {
        error_set(errp, "unable to find CPU model '%s'; did you mean '%s'?", text, near.best);
    } else {
        error_set(errp, "unable to find CPU model '%s' (-cpu help lists them)", text);
    }
}

/* Collects names of flags that cannot be given, for one line at the end. */
typedef struct Missing {
    char text[512];
} Missing;

static bool apply_word(CpuModel *m, const char *w, size_t n, Missing *missing,
                       struct Error **errp)
{
    const char *eq = memchr(w, '=', n);
    size_t kn = eq != NULL ? (size_t)(eq - w) : n;
    bool on = true, handled = false;
    unsigned f;

    if (*w == '+' || *w == '-') {
        on = *w == '+';
        w++;
        kn--;
        n--;
    } else if (eq != NULL) {
        if (!set_value(m, w, kn, eq + 1, n - kn - 1, &handled, errp) || handled) {
            return errp == NULL || *errp == NULL;
        }
        char text[8];

        copy_text(text, sizeof(text), eq + 1, n - kn - 1);
        if (!text_bool(text, &on) && (cpu_feature_find(w, kn) || known_unimplemented(w, kn))) {
            error_set(errp, "cpu flag %.*s: '%s' is not on or off", (int)kn, w, text);
            return false;
        }
    } else if (same_name(w, n, "check")) {
        m->check = true;
        return true;
    } else if (same_name(w, n, "enforce")) {
        m->enforce = true;
        return true;
    }
    f = cpu_feature_find(w, kn);
    if (f == FEAT_NONE || (on && excluded(f))) {
        if (f == FEAT_NONE && !known_unimplemented(w, kn)) {
            unknown_flag(w, kn, errp);
            return false;
        }
        if (on && strlen(missing->text) + kn + 2 < sizeof(missing->text)) {
            strcat(missing->text, *missing->text ? " " : "");
            strncat(missing->text, w, kn);
        }
        return true;
    }
    set_feature(m, f, on);
    return true;
}

bool cpu_model_parse(const char *text, bool long_mode, CpuModel *m, struct Error **errp)
{
    size_t n = strcspn(text, ",");
    const ModelRow *r = find_model(text, n);
    Missing missing = { "" };

    bool host = r == NULL && n == 4 && strncmp(text, "host", 4) == 0;

    if (host && !host_known) {
        error_set(errp, "cpu model 'host' needs KVM; use -cpu max");
        return false;
    }
    if (host) {
        r = find_model("max", 3);
    }
    if (r == NULL) {
        unknown_model(text, n, errp);
        return false;
    }
    fill_model(m, r);
    m->host = host;
    if (!long_mode) {
        set_feature(m, FEAT_LM, false);
    }
    for (text += n; *text == ','; text += n) {
        text++;
        n = strcspn(text, ",");
        if (n > 0 && !apply_word(m, text, n, &missing, errp)) {
            return false;
        }
    }
    if (*missing.text != 0) {
        if (m->enforce) {
            error_set(errp, "cpu flags that this engine does not have: %s", missing.text);
            return false;
        }
        report("warning: cpu flags that this engine does not have are left out: %s", missing.text);
    }
    return true;
}

void cpu_models_print(FILE *out)
{
    fprintf(out, "Available CPUs:\n");
    for (unsigned k = 0; k < ARRAY_SIZE(models); k++) {
        fprintf(out, "x86 %-20s  %s\n", models[k].name, models[k].desc);
    }
    fprintf(out, "\nRecognized CPUID flags:\n ");
    for (unsigned f = 1, col = 0; f < FEAT_COUNT; f++) {
        if (excluded(f)) {
            continue;
        }
        col += (unsigned)strlen(info[f].name) + 1;
        if (col > 76) {
            fprintf(out, "\n ");
            col = (unsigned)strlen(info[f].name) + 1;
        }
        fprintf(out, " %s", info[f].name);
    }
    fprintf(out, "\n");
}

void cpu_models_each(void (*fn)(void *opaque, const char *name), void *opaque)
{
    for (unsigned k = 0; k < ARRAY_SIZE(models); k++) {
        fn(opaque, models[k].name);
    }
}

void cpu_place(unsigned n, unsigned *package, unsigned *core, unsigned *thread)
{
    unsigned threads = MAX(topo_threads, 1u), cores = MAX(topo_cores, 1u);

    *thread = n % threads;
    *core = n / threads % cores;
    *package = n / threads / cores;
}

void cpu_topology(unsigned cpus, unsigned cores, unsigned threads)
{
    topo_cpus = cpus;
    topo_cores = cores;
    topo_threads = threads;
}

/* ---- leaves ---- */

/* The flag bits of one register of a leaf. */
static uint32_t flag_word(const CpuState *c, uint32_t leaf, unsigned sub, unsigned reg)
{
    uint32_t v = 0;

    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        if (info[f].leaf == leaf && info[f].sub == sub && info[f].reg == reg && cpu_has(c, f)) {
            v |= 1u << info[f].bit;
        }
    }
    return v;
}

static uint32_t letters(const char *s)
{
    return ld_le32(s);
}

static unsigned log2_up(unsigned n)
{
    unsigned b = 0;

    while ((1u << b) < n) {
        b++;
    }
    return b;
}

static uint32_t signature(const CpuModel *m)
{
    unsigned fam = MIN(m->family, 15u);

    return (m->family - fam) << 20 | (m->model >> 4) << 16 | fam << 8 | (m->model & 15) << 4 |
           m->stepping;
}

static CpuidRegs leaf1(CpuState *c)
{
    unsigned logical = topo_cores * topo_threads;
    CpuidRegs r = { .eax = signature(c->model) };

    r.ebx = c->apic_id << 24 | (logical & 0xff) << 16 | (cpu_has(c, FEAT_CLFLUSH) ? 8 << 8 : 0);
    r.ecx = flag_word(c, 1, 0, ECX) | (c->cr4 & CR4_OSXSAVE ? 1u << 27 : 0);
    r.edx = flag_word(c, 1, 0, EDX) | (logical > 1 ? 1u << 28 : 0);
    return r;
}

/* Deterministic cache parameters: 32 KiB L1, 1 MiB L2, 16 MiB L3, 64-byte lines. */
static CpuidRegs leaf4(uint32_t sub)
{
    static const struct {
        unsigned type, level, ways, sets;
        bool shared;
    } caches[] = { { 1, 1, 8, 64, false }, { 2, 1, 8, 64, false }, { 3, 2, 16, 1024, false },
                   { 3, 3, 16, 16384, true } };
    CpuidRegs r = { 0 };

    if (sub < ARRAY_SIZE(caches)) {
        unsigned share = caches[sub].shared ? topo_cores * topo_threads : topo_threads;

        r.eax = caches[sub].type | caches[sub].level << 5 | 1 << 8 |
                (((1u << log2_up(share)) - 1) & 0xfff) << 14 |
                (((1u << log2_up(topo_cores)) - 1) & 0x3f) << 26;
        r.ebx = 63 | (caches[sub].ways - 1) << 22;
        r.ecx = caches[sub].sets - 1;
    }
    return r;
}

static CpuidRegs leaf11(CpuState *c, uint32_t sub)
{
    CpuidRegs r = { .ecx = sub & 0xff, .edx = c->apic_id };

    if (sub == 0) {
        r.eax = log2_up(topo_threads);
        r.ebx = topo_threads;
        r.ecx |= 1 << 8;
    } else if (sub == 1) {
        r.eax = log2_up(topo_threads) + log2_up(topo_cores);
        r.ebx = topo_cores * topo_threads;
        r.ecx |= 2 << 8;
    }
    return r;
}

static CpuidRegs leaf13(CpuState *c, uint32_t sub)
{
    bool avx = cpu_has(c, FEAT_AVX);
    CpuidRegs r = { 0 };

    if (!cpu_has(c, FEAT_XSAVE)) {
        return r;
    }
    if (sub == 0) {
        r.eax = XCR0_X87 | XCR0_SSE | (avx ? XCR0_AVX : 0);
        r.ebx = c->xcr0 & XCR0_AVX ? 0x340 : 0x240;
        r.ecx = avx ? 0x340 : 0x240;
    } else if (sub == 1) {
        r.eax = flag_word(c, 13, 1, EAX);
        r.ebx = c->xcr0 & XCR0_AVX ? 0x340 : 0x240;
    } else if (sub == 2 && avx) {
        r.eax = 256;
        r.ebx = 576;
    }
    return r;
}

static CpuidRegs brand(const CpuModel *m, unsigned part)
{
    const char *s = m->model_id + part * 16;

    return (CpuidRegs){ letters(s), letters(s + 4), letters(s + 8), letters(s + 12) };
}

static CpuidRegs extended(CpuState *c, uint32_t leaf)
{
    const CpuModel *m = c->model;
    bool amd = strcmp(m->vendor, AMD) == 0;
    CpuidRegs r = { 0 };

    switch (leaf) {
    case 0x80000000:
        r.eax = m->xlevel;
        if (amd) {
            r.ebx = letters(m->vendor);
            r.edx = letters(m->vendor + 4);
            r.ecx = letters(m->vendor + 8);
        }
        break;
    case 0x80000001:
        r.eax = amd ? signature(m) : 0;
        r.ecx = flag_word(c, leaf, 0, ECX);
        r.edx = flag_word(c, leaf, 0, EDX);
        if (amd) { /* AMD repeats leaf 1's flags here */
            r.edx |= flag_word(c, 1, 0, EDX) & 0x0183f3ff;
        }
        break;
    case 0x80000002: case 0x80000003: case 0x80000004:
        r = brand(m, leaf - 0x80000002);
        break;
    case 0x80000005: /* AMD64 APM volume 3, E.4.3: KiB, ways, lines a tag, bytes of a line; kernels divide by the ways */
        r.ecx = r.edx = amd ? 64u << 24 | 2 << 16 | 1 << 8 | 64 : 0;
        break;
    case 0x80000006:
        r.ecx = 1024 << 16 | 8 << 12 | 64;
        break;
    case 0x80000007:
        r.edx = 1u << 8; /* the counter never changes its rate nor stops */
        break;
    case 0x80000008:
        r.eax = m->phys_bits | (cpu_has(c, FEAT_LM) ? 48 : 32) << 8;
        r.ecx = amd && topo_cores * topo_threads > 1 ? topo_cores * topo_threads - 1 : 0;
        break;
    }
    return r;
}

/* Ours at 40000000h, KVM's at the next place where guests look for it: its clock is all that there is of it. */
#define KVM_LEAF 0x40000100u
static CpuidRegs hypervisor(const CpuState *c, uint32_t leaf)
{
    bool kvm = cpu_has(c, FEAT_KVMCLOCK);

    switch (leaf) {
    case 0x40000000: return (CpuidRegs){ 0x40000010, letters("dopp"), letters("eldo"), letters("ppel") };
    case 0x40000010: return (CpuidRegs){ (uint32_t)(cpu_tsc_hz() / 1000), 1000000, 0, 0 }; /* frequencies in kHz */
    case KVM_LEAF: return kvm ? (CpuidRegs){ KVM_LEAF + 1, letters("KVMK"), letters("VMKV"), letters("M\0\0\0") } : (CpuidRegs){ 0 };
    case KVM_LEAF + 1: /* the old clock, the new one, alike on all processors */
        return (CpuidRegs){ kvm ? 1u | flag_word(c, leaf, 0, EAX) | 1u << 24 : 0, 0, 0, 0 };
    default: return (CpuidRegs){ 0 };
    }
}

CpuidRegs cpuid_leaf(CpuState *c, uint32_t leaf, uint32_t sub)
{
    const CpuModel *m = c->model;
    CpuidRegs r = { 0 };

    if (leaf >= 0x80000000u && leaf <= m->xlevel) {
        return extended(c, leaf);
    }
    if (leaf >= 0x40000000u && leaf <= 0x400001ffu && cpu_has(c, FEAT_HYPERVISOR)) {
        return hypervisor(c, leaf);
    }
    if (leaf > m->level) {
        leaf = m->level; /* Intel answers with the highest basic leaf */
        if (strcmp(m->vendor, AMD) == 0) {
            return r;
        }
    }
    switch (leaf) {
    case 0:
        r = (CpuidRegs){ m->level, letters(m->vendor), letters(m->vendor + 8),
                         letters(m->vendor + 4) };
        break;
    case 1: r = leaf1(c); break;
    case 2: r.eax = 1; r.edx = 0xff; break; /* "use leaf 4" */
    case 4: r = leaf4(sub); break;
    case 6: r.eax = flag_word(c, 6, 0, EAX); break;
    case 7:
        if (sub == 0) {
            r.ebx = flag_word(c, 7, 0, EBX);
            r.ecx = flag_word(c, 7, 0, ECX);
            r.edx = flag_word(c, 7, 0, EDX);
        }
        break;
    case 11: r = leaf11(c, sub); break;
    case 13: r = leaf13(c, sub); break;
    case 0x15: /* TSC = crystal * EBX / EAX */
        r = cpu_tsc_hz() % 25000000 == 0 ? (CpuidRegs){ 1, (uint32_t)(cpu_tsc_hz() / 25000000), 25000000, 0 }
                                         : (CpuidRegs){ 25000, (uint32_t)(cpu_tsc_hz() / 1000), 25000000, 0 };
        break;
    }
    return r;
}
