/*
 * Every user-mode instruction of the tables against the host's processor: random instances with
 * random registers, flags, FPU state and memory; registers, defined flags, memory and faults must
 * agree. See tests/cpu/diff.h for the memory that both sides see.
 *
 * Two of three operands are put by the end of a page, across it or behind it, where another page of memory, nothing, or a page
 * that is not writable, the supervisor's or a device's follows; what is counted of these is what was accessed there.
 *
 *   test-diff [--engine interp|jit] [--seed N] [--count N] [--only NAME] [--bits 16|32|64] [--verbose]
 * --count (or DIFF_COUNT in the environment) is instances a row and mode on the translator; the reference alone has a third of it.
 * --seed 0 (or DIFF_SEED=0) takes one from the clock; it is printed. Undefined flags are left out (diff-gen.c); instruction and
 * data pointers of the x87 too, which processors keep differently.
 */
#include <stdlib.h>
#include <time.h>
#include "accel/accel.h"
#include "accel/interp/block.h"
#include "accel/jit/plan.h"
#include "bus/memory.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "tests/cpu/diff-doppel.h"
#include "tests/cpu/diff-gen.h"
#include "tests/test.h"

static struct {
    uint64_t seed, count, only_row;
    const char *only;
    unsigned bits;
    bool verbose, jit;
} opt = { .count = 740 };

static CpuState *cpu;
static uint8_t data[DIFF_DATA_SIZE], host_data[DIFF_DATA_SIZE], our_data[DIFF_DATA_SIZE]; /* before; after */

/* Of each place: instances that had an operand there; in them, operands across the page's end; faults there. */
typedef struct PlaceCount {
    uint64_t there, across, faults;
} PlaceCount;
static PlaceCount counted[PLACES];
static uint64_t instances;
static unsigned row_reached; /* places of an operand of the row, as bits */

/* ---- doppel's side ---- */

static __attribute__((noinline)) void run_doppel(const DiffCase *t, DiffState *s)
{
    static CpuState *c; /* survives the jump */

    c = cpu;
    diff_doppel_load(s);
    c->insn = &t->insn;
    c->insn_faults_here = false;
    c->exc_vector = -1;
    if (_setjmp(c->fault_env) == 0) {
        if (opt.jit) {
            accel_jit.code_written(c, PHYS_CODE + (DIFF_CODE - DIFF_BASE), 15);
            assert_true(jit_run_once(c, true));
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
    diff_doppel_store(s);
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
    bool hidden;

    if (h->vector != d->vector) {
        DIFFER("vector: host %d (error %x, cr2 %llx), ours %d (error %x, cr2 %llx)", h->vector,
               h->error, (ull)h->cr2, d->vector, d->error, (ull)d->cr2);
    }
    /* The host's kernel hides whether one of its own pages is present; ours of the supervisor's is. */
    hidden = h->cr2 >= 0x7ffffffff000 || (h->cr2 & ~0xfffull) == diff_place[PLACE_SUPERVISOR].data + PAGE_SIZE;
    if (h->vector == EXC_PF && (h->error ^ d->error) & (hidden ? ~1u : ~0u)) {
        DIFFER("page fault error: host %x, ours %x (cr2 %llx, %llx)", h->error, d->error,
               (ull)h->cr2, (ull)d->cr2);
    }
    if (d->vector == EXC_PF && (d->cr2 & ~0xfffull) == diff_place[PLACE_SUPERVISOR].data + PAGE_SIZE && !(d->error & 1)) {
        DIFFER("page fault error: ours %x, of a page that is present", d->error);
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
        our_data[off + k] = host_data[off + k];
    }
}

static void level_memory(const DiffCase *t, DiffPlace place, unsigned bits, const DiffState *before, const DiffState *h)
{
    const Insn *i = &t->insn;
    uint64_t at = diff_operand_at(t, bits, before);
    uint64_t sp = cpu->segs[SEG_SS].base - diff_place[place].data +
                  (cpu->code64    ? h->gpr[GPR_RSP]
                   : cpu->stack32 ? (uint32_t)h->gpr[GPR_RSP]
                                  : (uint16_t)h->gpr[GPR_RSP]);

    if (h->vector >= 0) {
        return;
    }
    if (strncmp(t->row->name, "pushf", 5) == 0 && sp + 1 < DIFF_DATA_SIZE) { /* TF is ours */
        host_data[sp + 1] &= 0xfe;
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

/* What the instance had to do with the page behind its place's edge. */
static void count_place(const DiffCase *t, DiffPlace place, unsigned bits, const DiffState *before, const DiffState *d,
                        uint64_t accesses)
{
    uint64_t at = diff_operand_at(t, bits, before), edge = diff_place[place].edge, page = diff_place[place].data + edge;
    bool fault = d->vector == EXC_PF && (d->cr2 & ~0xfffull) == page;
    bool across = false, there = fault || diff_device_accesses != accesses;
    Plan p;

    if (edge == 0) {
        return;
    }
    if (insn_mem(&t->insn)) {
        plan_insn(&t->insn, (bits == 64 ? KEY_64 : 0) | 31u << KEY_SEG_SHIFT | KEY_VEC, &p);
        across = at < edge && (there || at + (p.mem ? p.size : t->insn.opsize) > edge);
        there |= across || (place != PLACE_NONE && at >= edge && at < edge + PAGE_SIZE);
    }
    row_reached |= there ? 1u << place : 0;
    counted[place].there += there;
    counted[place].across += across;
    counted[place].faults += fault;
}

static DiffPlace some_place(void)
{
    uint64_t r = diff_rnd() >> 16;

    return r % 3 == 0 ? PLACE_ANY : PLACE_ACROSS + (r >> 8) % (PLACES - PLACE_ACROSS);
}

/* One instance; true when both sides agree. */
static bool run_case(const DecodeMode *m, unsigned row, uint64_t seed, bool *made, bool *ran, bool show)
{
    DiffState before, h, d;
    DiffPlace place;
    DiffCase t;
    Where w;
    uint64_t accesses = diff_device_accesses;
    bool bad;

    diff_seed(seed);
    place = some_place();
    diff_put_at(place);
    *made = diff_gen_insn(m, row, &t);
    *ran = false;
    if (!*made) {
        return true;
    }
    diff_gen_state(&t, m->bits, &before, data);
    h = d = before;
    if (seed % 8 == 0) {
        tlb_flush(cpu, true);
    }
    diff_doppel_put(place, data);
    memcpy(ram_host() + PHYS_CODE + (DIFF_CODE - DIFF_BASE), t.code, 15);
    run_doppel(&t, &d);
    diff_doppel_get(place, our_data);
    count_place(&t, place, m->bits, &before, &d, accesses);
    if (SANITIZED) {
        *ran = true;
        return true;
    }
    diff_host_put(place, data);
    diff_host_run(m->bits, t.code, diff_is_string(&t), &h);
    diff_host_get(place, host_data);
    *ran = h.vector < 0;
    if (diff_excused(&t, &before, &h, &d)) {
        return true;
    }
    level_memory(&t, place, m->bits, &before, &h);
    bad = differ(&t, m->bits, &before, &h, &d, &w);
    if (!bad && memcmp(our_data, host_data, sizeof(data)) != 0) {
        unsigned k = 0;

        while (our_data[k] == host_data[k]) {
            k++;
        }
        snprintf(w.text, sizeof(w.text), "memory at %llx: was %02x, host %02x %02x, ours %02x %02x",
                 (ull)diff_place[place].data + k, data[k], host_data[k], host_data[k + 1], our_data[k], our_data[k + 1]);
        bad = true;
    }
    if (bad && show) {
        print_case(&t, m->bits, &before, &w, seed);
    }
    return !bad;
}

static void diff_mode(unsigned bits)
{
    DecodeMode m = { .bits = (uint8_t)bits, .protected_mode = true, .features = cpu->features };
    unsigned rows = 0, bad_rows = 0, unmade = 0, faulting = 0, reached = 0, reached_all = 0;
    uint64_t cases = 0, bad = 0, count = opt.jit ? opt.count : (opt.count + 2) / 3;

    memset(counted, 0, sizeof(counted));
    if (!diff_host_has(bits)) {
        SKIP_TEST("no %u-bit segments on this host", bits);
    }
    if ((opt.bits != 0 && opt.bits != bits) || (opt.jit && bits == 16)) {
        skip();
    }
    if (!SANITIZED) {
        diff_host_signals();
    }
    diff_doppel_mode(bits);
    for (unsigned row = 0; row < opcode_row_count(); row++) {
        const OpRow *r = opcode_row_at(row);
        unsigned row_bad = 0, row_made = 0, row_ran = 0;

        row_reached = 0;
        if (!diff_can_test(r, bits) || (opt.only && strcmp(opt.only, r->name) != 0)) {
            continue;
        }
        for (uint64_t n = 0; n < count && row_made + 5 > n / 8; n++) {
            uint64_t seed = (opt.seed << 40) + ((uint64_t)row << 24) + n;
            bool made, ran;

            if (!run_case(&m, row, seed, &made, &ran, row_bad < 2)) {
                row_bad++;
            }
            row_made += made;
            row_ran += ran;
        }
        rows++;
        reached += row_reached != 0;
        reached_all += row_reached == (1u << PLACES) - 2;
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
    for (DiffPlace p = PLACE_ACROSS; p < PLACES; p++) {
        printf("    operands behind a page's end, %-17s %8llu, across it %8llu, faults %8llu\n", diff_place[p].name,
               (ull)counted[p].there, (ull)counted[p].across, (ull)counted[p].faults);
        assert_true(opt.only != NULL || counted[p].across > cases / 200);
    }
    printf("    %u rows had an operand there, %u of them in all five places\n", reached, reached_all);
    instances += cases;
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
    const char *why, *engine = NULL;
    int bad = 0;

    opt.seed = getenv("DIFF_SEED") != NULL ? strtoull(getenv("DIFF_SEED"), NULL, 0) : 0;
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
            engine = val;
        } else if (strcmp(argv[n], "--only") == 0) {
            opt.only = val;
        }
    }
    if (opt.seed == 0) {
        opt.seed = (uint64_t)time(NULL) % 0xffffff + 1;
    }
    if (!diff_host_init(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    if (SANITIZED) {
        printf("SKIP: comparison with the host: the sanitizer's shadow memory makes random addresses "
               "valid there; our handlers ran alone\n");
    }
    printf("seed %llu\n", (ull)opt.seed);
    cpu = diff_doppel_init();
    diff_doppel_places();
    if (engine == NULL || strcmp(engine, "interp") == 0) {
        bad = cmocka_run_group_tests_name("handlers", tests, NULL, NULL);
    }
    if (engine == NULL || strcmp(engine, "jit") == 0) {
        opt.jit = jit_strict = true;
        diff_doppel_jit();
        block_limit(cpu, 1);
        bad += cmocka_run_group_tests_name("translator", tests, NULL, NULL);
    }
    printf("%llu instances in all, seed %llu\n", (ull)instances, (ull)opt.seed);
    return bad;
}
