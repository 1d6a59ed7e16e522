/*
 * Every user-mode instruction of the tables against the host's processor: random instances with
 * random registers, flags, FPU state and memory; registers, defined flags, memory and faults must
 * agree. See tests/cpu/diff.h for the memory that both sides see.
 *
 *   test-diff [--engine jit] [--seed N] [--count N] [--only NAME] [--bits 16|32|64] [--verbose]
 * --count (or DIFF_COUNT in the environment) is instances a row and mode. Undefined flags are left out (diff-gen.c); instruction and
 * data pointers of the x87 too, which processors keep differently.
 */
#include <stdlib.h>
#include "accel/accel.h"
#include "accel/interp/block.h"
#include "accel/jit/jit.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "tests/cpu/diff-gen.h"
#include "tests/test.h"

#define PHYS_CODE 0x100000u
#define PHYS_DATA 0x104000u
#define PHYS_TABLES 0x10000u

static struct {
    uint64_t seed, count, only_row;
    const char *only;
    unsigned bits;
    bool verbose, jit;
} opt = { .seed = 1, .count = 500 };

static CpuState *cpu;
static CpuModel model;

/* ---- doppel's side ---- */

static void nop_flush(CpuState *c)
{
}
static void nop_page(CpuState *c, vaddr page)
{
}
static void nop_written(CpuState *c, uint64_t off, unsigned len)
{
}
static const EngineOps no_engine = { .code_written = nop_written, .flush = nop_flush,
                                     .flush_page = nop_page, .exclusive_begin = nop_flush,
                                     .exclusive_end = nop_flush, .kick = nop_flush };

static void table_entry(unsigned table, unsigned n, uint64_t v)
{
    memcpy(ram_host() + PHYS_TABLES + 0x1000 * table + 8 * n, &v, 8);
}

static void make_page_tables(void)
{
    const uint64_t user = 0x67; /* present, writable, user, accessed, dirty */

    table_entry(0, 0, (PHYS_TABLES + 0x1000) | user);
    table_entry(1, 0, (PHYS_TABLES + 0x2000) | user);
    table_entry(2, DIFF_BASE >> 21 & 511, (PHYS_TABLES + 0x3000) | user);
    table_entry(3, 0, PHYS_CODE | (user & ~2ull));
    table_entry(3, 4, PHYS_DATA | user);
    table_entry(3, 5, (PHYS_DATA + 0x1000) | user);
}

static void host_features(void)
{
    static const struct {
        uint32_t leaf, sub;
        uint8_t reg, bit;
    } where[] = {
        { 0 },
#define EAX 0
#define EBX 1
#define ECX 2
#define EDX 3
#define FEAT(id, name, leaf, sub, reg, bit) { leaf, sub, reg, bit },
#include "cpu/features.inc"
#undef FEAT
    };

    for (unsigned n = 1; n < FEAT_COUNT; n++) {
        uint32_t v = diff_host_cpuid(where[n].leaf, where[n].sub, where[n].reg);

        if (v >> where[n].bit & 1) {
            model.features[n / 64] |= 1ull << (n % 64);
        }
    }
}

static void setup_cpu(void)
{
    static IoRegion ram;

    engine_ops = &no_engine;
    assert_true(ram_create(4 << 20, NULL));
    machine_lock();
    ram_region_init(&ram, "ram", 0, 4 << 20);
    assert_true(mem_map(&ram, 0, 0, false, NULL));
    machine_unlock();
    make_page_tables();
    memset(ram_host() + PHYS_CODE, 0xcc, 4096);
    host_features();
    model.phys_bits = 40;
    cpu = cpu_new(0, &model);
    if (opt.jit) {
        jit_strict = true;
        assert_true(accel_init(&accel_jit, &cpu, 1, NULL));
        block_limit(cpu, 1);
        cpu_current = cpu;
    }
    cpu_take_view(cpu);
    cpu->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_WP | CR0_MP | CR0_ET | CR0_AM;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_UMIP;
    cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    cpu->cr3 = PHYS_TABLES;
    cpu->tr.limit = 0; /* no I/O permission map */
    cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
}

static void set_seg(unsigned n, uint16_t sel, unsigned bits, bool code)
{
    Segment *s = &cpu->segs[n];

    s->selector = sel;
    s->base = bits == 16 ? DIFF_BASE : 0;
    s->limit = bits == 16 ? 0xffff : 0xffffffff;
    s->attr = ATTR_P | ATTR_DPL | ATTR_S | ATTR_WRITE | ATTR_ACCESSED | (code ? ATTR_CODE : 0) |
              (bits != 16 ? ATTR_G : 0);
    s->attr |= bits == 64 && code ? ATTR_L : bits == 16 ? 0 : ATTR_DB;
    seg_update(s);
}

static void set_mode(unsigned bits)
{
    set_seg(SEG_CS, diff_host_cs(bits), bits, true);
    set_seg(SEG_SS, bits == 16 ? diff_host_ds(16) : 0x2b, bits, false);
    set_seg(SEG_DS, diff_host_ds(bits), bits, false);
    set_seg(SEG_ES, diff_host_ds(bits), bits, false);
    for (unsigned n = SEG_FS; n <= SEG_GS; n++) {
        cpu->segs[n] = (Segment){ .base = n == SEG_GS && bits == 64 ? DIFF_GS_BASE : 0 };
        seg_update(&cpu->segs[n]);
    }
    cpu->cpl = 3;
    cpu_update_mode(cpu);
}

static void load_state(const DiffState *s)
{
    memcpy(cpu->regs, s->gpr, sizeof(s->gpr));
    cpu->regs[GPR_ZERO] = 0;
    cpu->regs[GPR_RIP] = s->rip;
    rflags_put(cpu, s->rflags);
    memcpy(&cpu->fcw, s->fx, 2);
    memcpy(&cpu->fsw, s->fx + 2, 2);
    cpu->fptag = s->fx[4];
    memcpy(&cpu->mxcsr, s->fx + 24, 4);
    for (unsigned n = 0; n < 8; n++) {
        Float80 *v = &cpu->fpr[((cpu->fsw >> 11) + n) & 7];

        memcpy(&v->frac, s->fx + 32 + 16 * n, 8);
        memcpy(&v->sexp, s->fx + 40 + 16 * n, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(&cpu->xmm[n].b[0], s->fx + 160 + 16 * n, 16);
        memcpy(&cpu->xmm[n].b[16], s->ymmh + 16 * n, 16);
    }
    cpu_update_mode(cpu);
}

static void store_state(DiffState *s)
{
    memcpy(s->gpr, cpu->regs, sizeof(s->gpr));
    s->rip = cpu->regs[GPR_RIP];
    s->rflags = rflags_get(cpu);
    memcpy(s->fx, &cpu->fcw, 2);
    memcpy(s->fx + 2, &cpu->fsw, 2);
    s->fx[4] = cpu->fptag;
    memcpy(s->fx + 24, &cpu->mxcsr, 4);
    for (unsigned n = 0; n < 8; n++) {
        const Float80 *v = &cpu->fpr[((cpu->fsw >> 11) + n) & 7];

        memcpy(s->fx + 32 + 16 * n, &v->frac, 8);
        memcpy(s->fx + 40 + 16 * n, &v->sexp, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(s->fx + 160 + 16 * n, &cpu->xmm[n].b[0], 16);
        memcpy(s->ymmh + 16 * n, &cpu->xmm[n].b[16], 16);
    }
}

static __attribute__((noinline)) void run_doppel(const DiffCase *t, DiffState *s)
{
    static CpuState *c; /* survives the jump */

    c = cpu;
    load_state(s);
    c->insn = &t->insn;
    c->insn_faults_here = false;
    c->exc_vector = -1;
    if (_setjmp(c->fault_env) == 0) {
        if (opt.jit) {
            accel_jit.code_written(c, PHYS_CODE + (DIFF_CODE - DIFF_BASE), 15);
            assert_true(jit_run_once(c));
        } else {
            c->regs[GPR_RIP] += t->insn.len;
            t->insn.exec(c, &t->insn);
        }
        s->vector = -1;
        s->error = 0;
    } else {
        c->regs[GPR_RIP] -= t->insn.len;
        s->vector = c->exc_vector;
        s->error = c->exc_has_error ? c->exc_error : 0;
        s->cr2 = c->cr2;
    }
    if (opt.jit) {
        diff_host_gs();
    }
    s->vector = c->exc_vector;
    store_state(s);
}

/* ---- comparison ---- */

static const char *const reg_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

typedef struct Where {
    char text[200];
} Where;

#define DIFFER(...)                                                                                \
    do {                                                                                           \
        snprintf(w->text, sizeof(w->text), __VA_ARGS__);                                           \
        return true;                                                                               \
    } while (0)
typedef unsigned long long ull;

static bool differ_fpu(const DiffState *h, const DiffState *d, Where *w)
{
    uint32_t hm, dm;

    if (memcmp(h->fx, d->fx, 5) != 0) {
        DIFFER("fcw/fsw/tag: host %02x%02x %02x%02x %02x, ours %02x%02x %02x%02x %02x", h->fx[1],
               h->fx[0], h->fx[3], h->fx[2], h->fx[4], d->fx[1], d->fx[0], d->fx[3], d->fx[2],
               d->fx[4]);
    }
    memcpy(&hm, h->fx + 24, 4);
    memcpy(&dm, d->fx + 24, 4);
    if (hm != dm) {
        DIFFER("mxcsr: host %04x, ours %04x", hm, dm);
    }
    for (unsigned n = 0; n < 24; n++) {
        ull a[2], b[2];

        memcpy(a, h->fx + 32 + 16 * n, 16);
        memcpy(b, d->fx + 32 + 16 * n, 16);
        if (n < 8) {
            a[1] &= 0xffff;
            b[1] &= 0xffff;
        }
        if (a[0] != b[0] || a[1] != b[1]) {
            DIFFER("%s%u: host %016llx:%016llx, ours %016llx:%016llx", n < 8 ? "st" : "xmm",
                   n < 8 ? n : n - 8, a[1], a[0], b[1], b[0]);
        }
    }
    for (unsigned n = 0; n < 16; n++) {
        if (memcmp(h->ymmh + 16 * n, d->ymmh + 16 * n, 16) != 0) {
            ull a[2], b[2];

            memcpy(a, h->ymmh + 16 * n, 16);
            memcpy(b, d->ymmh + 16 * n, 16);
            DIFFER("ymm%u high: host %016llx:%016llx, ours %016llx:%016llx", n, a[1], a[0], b[1],
                   b[0]);
        }
    }
    return false;
}

static bool differ(const DiffCase *t, unsigned bits, const DiffState *before, const DiffState *h,
                   const DiffState *d, Where *w)
{
    uint64_t mask = bits == 64 ? ~0ull : 0xffffffff;
    uint64_t flags = FLAGS_ARITH | FLAG_DF | FLAG_AC | FLAG_NT | FLAG_ID;

    if (h->vector != d->vector) {
        DIFFER("vector: host %d (error %x, cr2 %llx), ours %d (error %x, cr2 %llx)", h->vector,
               h->error, (ull)h->cr2, d->vector, d->error, (ull)d->cr2);
    }
    /* The host's kernel hides whether one of its own pages is present. */
    if (h->vector == EXC_PF && (h->error ^ d->error) & (h->cr2 >= 0x7ffffffff000 ? ~1u : ~0u)) {
        DIFFER("page fault error: host %x, ours %x (cr2 %llx, %llx)", h->error, d->error,
               (ull)h->cr2, (ull)d->cr2);
    }
    for (unsigned n = 0; n < 16; n++) {
        if (((h->gpr[n] ^ d->gpr[n]) & mask) != 0) {
            DIFFER("%s: host %016llx, ours %016llx", reg_names[n], (ull)(h->gpr[n] & mask),
                   (ull)(d->gpr[n] & mask));
        }
    }
    if (((h->rip ^ d->rip) & mask) != 0) {
        DIFFER("rip: host %016llx, ours %016llx", (ull)h->rip, (ull)d->rip);
    }
    if (h->vector < 0) {
        flags &= ~diff_undefined_flags(t, before);
    }
    if (((h->rflags ^ d->rflags) & flags) != 0) {
        DIFFER("flags: host %06llx, ours %06llx, differing %llx", (ull)h->rflags, (ull)d->rflags,
               (ull)((h->rflags ^ d->rflags) & flags));
    }
    return differ_fpu(h, d, w);
}

static void print_case(const DiffCase *t, unsigned bits, const DiffState *b, const Where *w,
                       uint64_t seed)
{
    printf("%-12s %2u-bit seed %llu: ", t->row->name, bits, (ull)seed);
    for (unsigned n = 0; n < t->len; n++) {
        printf("%02x ", t->code[n]);
    }
    printf("- %s\n", w->text);
    if (opt.verbose) {
        for (unsigned n = 0; n < 16; n++) {
            printf("  %s %016llx%s", reg_names[n], (ull)b->gpr[n], n % 4 == 3 ? "\n" : "");
        }
        printf("  flags %llx fcw %02x%02x fsw %02x%02x tag %02x mxcsr %02x%02x\n", (ull)b->rflags,
               b->fx[1], b->fx[0], b->fx[3], b->fx[2], b->fx[4], b->fx[25], b->fx[24]);
        for (unsigned n = 0; n < 24; n++) {
            ull v[2];

            memcpy(v, b->fx + 32 + 16 * n, 16);
            printf("  %s%u %016llx:%016llx", n < 8 ? "st" : "xmm", n < 8 ? n : n - 8, v[1], v[0]);
            printf(n % 2 ? "\n" : "");
        }
    }
}

/* Memory that differs for good reason: take the host's. */
static void level_range(uint64_t off, unsigned n)
{
    for (unsigned k = 0; k < n && off + k < DIFF_DATA_SIZE; k++) {
        ram_host()[PHYS_DATA + off + k] = diff_host_data()[off + k];
    }
}

static void level_memory(const DiffCase *t, unsigned bits, const DiffState *before, const DiffState *h)
{
    const Insn *i = &t->insn;
    uint64_t at = diff_operand_at(t, bits, before);
    uint64_t sp = cpu->segs[SEG_SS].base - DIFF_DATA +
                  (cpu->code64    ? h->gpr[GPR_RSP]
                   : cpu->stack32 ? (uint32_t)h->gpr[GPR_RSP]
                                  : (uint16_t)h->gpr[GPR_RSP]);

    if (h->vector >= 0) {
        return;
    }
    if (strncmp(t->row->name, "pushf", 5) == 0) { /* TF is ours */
        diff_host_data()[(sp + 1) % DIFF_DATA_SIZE] &= 0xfe;
    }
    if (t->row->name[0] == 'p' && strcmp(t->row->name, "push") == 0 && i->opsize == 4 &&
        (t->row->map == MAP_0F || t->row->op < 0x20)) { /* segments: AMD stores the zeros above */
        level_range(sp + 2, 2);
    }
    if (strstr(t->row->name, "xsave")) {
        level_range(at + 6, 18); /* pointers */
        level_range(at + 28, 4); /* MXCSR_MASK: AMD has bit 17 */
    }
    if (strcmp(t->row->name, "fnstenv") == 0 || strcmp(t->row->name, "fnsave") == 0) {
        level_range(at + (i->opsize == 2 ? 6 : 12),
                    i->opsize == 2 ? 8 : 16); /* instruction and data pointers */
    }
}

/* One instance; true when both sides agree. */
static bool run_case(const DecodeMode *m, unsigned row, uint64_t seed, bool *made, bool *ran, bool show)
{
    static uint8_t data[DIFF_DATA_SIZE];
    DiffState before, h, d;
    DiffCase t;
    Where w;
    bool bad;

    diff_seed(seed);
    *made = diff_gen_insn(m, row, &t);
    *ran = false;
    if (!*made) {
        return true;
    }
    diff_gen_state(&t, m->bits, &before, data);
    h = d = before;
    memcpy(ram_host() + PHYS_DATA, data, sizeof(data));
    memcpy(ram_host() + PHYS_CODE + (DIFF_CODE - DIFF_BASE), t.code, 15);
    run_doppel(&t, &d);
    if (SANITIZED) {
        *ran = true;
        return true;
    }
    memcpy(diff_host_data(), data, sizeof(data));
    diff_host_run(m->bits, t.code, diff_is_string(&t), &h);
    *ran = h.vector < 0;
    if (diff_excused(&t, &before, &h, &d)) {
        return true;
    }
    level_memory(&t, m->bits, &before, &h);
    bad = differ(&t, m->bits, &before, &h, &d, &w);
    if (!bad && memcmp(ram_host() + PHYS_DATA, diff_host_data(), sizeof(data)) != 0) {
        unsigned k = 0;

        while (ram_host()[PHYS_DATA + k] == diff_host_data()[k]) {
            k++;
        }
        snprintf(w.text, sizeof(w.text), "memory at %llx: was %02x, host %02x %02x, ours %02x %02x",
                 (ull)DIFF_DATA + k, data[k], diff_host_data()[k], diff_host_data()[k + 1],
                 ram_host()[PHYS_DATA + k], ram_host()[PHYS_DATA + k + 1]);
        bad = true;
    }
    if (bad && show) {
        print_case(&t, m->bits, &before, &w, seed);
    }
    return !bad;
}

static void diff_mode(unsigned bits)
{
    DecodeMode m = { .bits = (uint8_t)bits, .protected_mode = true, .features = model.features };
    unsigned rows = 0, bad_rows = 0, unmade = 0, faulting = 0;
    uint64_t cases = 0, bad = 0;

    if (!diff_host_has(bits)) {
        SKIP_TEST("no %u-bit segments on this host", bits);
    }
    if ((opt.bits != 0 && opt.bits != bits) || (opt.jit && bits == 16)) {
        skip();
    }
    if (!SANITIZED) {
        diff_host_signals();
    }
    set_mode(bits);
    for (unsigned row = 0; row < opcode_row_count(); row++) {
        const OpRow *r = opcode_row_at(row);
        unsigned row_bad = 0, row_made = 0, row_ran = 0;

        if (!diff_can_test(r, bits) || (opt.only && strcmp(opt.only, r->name) != 0)) {
            continue;
        }
        for (uint64_t n = 0; n < opt.count && row_made + 5 > n / 8; n++) {
            uint64_t seed = (opt.seed << 40) + ((uint64_t)row << 24) + n;
            bool made, ran;

            if (!run_case(&m, row, seed, &made, &ran, row_bad < 2)) {
                row_bad++;
            }
            row_made += made;
            row_ran += ran;
        }
        rows++;
        cases += row_made;
        bad += row_bad;
        bad_rows += row_bad != 0;
        unmade += row_made == 0;
        faulting += row_ran == 0;
        if (row_ran == 0 && opt.verbose) {
            printf("%s %s: %s\n", r->name, r->operands,
                   row_made ? "every instance faulted" : "no instance");
        }
        if (row_bad) {
            printf("    ... %u of %u\n", row_bad, row_made);
        }
    }
    printf("%u-bit: %u rows (%u without an instance, %u that always fault), %llu instances, %llu "
           "differ in %u rows\n", bits, rows, unmade, faulting, (ull)cases, (ull)bad, bad_rows);
    assert_int_equal(bad, 0);
}

static void diff_64(void **state)
{
    diff_mode(64);
}
static void diff_32(void **state)
{
    diff_mode(32);
}
static void diff_16(void **state)
{
    diff_mode(16);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diff_64),
        cmocka_unit_test(diff_32),
        cmocka_unit_test(diff_16),
    };
    const char *why;

    opt.jit = getenv("DOPPEL_ENGINE") != NULL && strcmp(getenv("DOPPEL_ENGINE"), "jit") == 0;
    if (getenv("DIFF_COUNT") != NULL) {
        opt.count = strtoull(getenv("DIFF_COUNT"), NULL, 0);
    } else if (SANITIZED) {
        opt.count = 100;
    }
    for (int n = 1; n < argc; n++) {
        const char *val = n + 1 < argc ? argv[n + 1] : "0";

        if (strcmp(argv[n], "--verbose") == 0) {
            opt.verbose = true;
        } else if (strcmp(argv[n], "--seed") == 0) {
            opt.seed = strtoull(val, NULL, 0);
        } else if (strcmp(argv[n], "--count") == 0) {
            opt.count = strtoull(val, NULL, 0);
        } else if (strcmp(argv[n], "--bits") == 0) {
            opt.bits = (unsigned)strtoul(val, NULL, 0);
        } else if (strcmp(argv[n], "--engine") == 0) {
            opt.jit = strcmp(val, "jit") == 0;
        } else if (strcmp(argv[n], "--only") == 0) {
            opt.only = val;
        }
    }
    if (!diff_host_init(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    if (SANITIZED) {
        printf("SKIP: comparison with the host: the sanitizer's shadow memory makes random addresses "
               "valid there; our handlers ran alone\n");
    }
    setup_cpu();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
