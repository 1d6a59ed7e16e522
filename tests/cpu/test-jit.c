/*
 * The translator against the reference: random runs of instructions with forward jumps, from random
 * states; registers, flags, memory and the place and kind of the fault that ends each must agree.
 * Instructions that leave flags undefined are followed by one that sets them all.
 * A few of them with each of the translator's tricks switched off.
 *
 *   test-jit [--seed N] [--count N] [--only NAME]
 */
#include <stdlib.h>
#include "accel/accel.h"
#include "accel/interp/block.h"
#include "accel/jit/jit.h"
#include "cpu/cpuid.h"
#include "cpu/flags.h"
#include "tests/cpu/diff-doppel.h"
#include "tests/cpu/diff-gen.h"
#include "tests/test.h"

#define RUN_BYTES 512

static struct {
    uint64_t seed, count;
    const char *only; /* instructions of this name */

} opt = { .seed = 1, .count = 20000 };

static CpuState *cpu;

typedef struct Run {
    uint8_t code[RUN_BYTES];
    unsigned len;
    DiffState state;
    uint8_t data[DIFF_DATA_SIZE];
} Run;

typedef struct Outcome {
    DiffState s;
    uint8_t data[DIFF_DATA_SIZE];
    uint64_t fip, fdp;
    uint16_t fop, fcs, fds;
} Outcome;

static bool wanted(const OpRow *r, unsigned bits)
{
    if (opt.only != NULL && strcmp(opt.only, r->name) != 0) {
        return false;
    }
    static const char *const other[] = { "syscall", "sysenter", "xsave", "xrstor", "fxrstor" };
    unsigned odds = !(r->flags & OP_FPU) || opt.only != NULL ? 1 : r->map == MAP_1 ? 8 : 5;

    for (unsigned n = 0; n < ARRAY_SIZE(other); n++) {
        if (strncmp(r->name, other[n], strlen(other[n])) == 0) {
            return false;
        }
    }
    return diff_can_test(r, bits) && !(r->flags & OP_END) && diff_rnd() % odds == 0;
}

/* One instruction of any row that falls through, its operand where the data may be. */
static void add_insn(Run *r, const DecodeMode *m)
{
    DiffCase t;

    for (;;) {
        unsigned row = (unsigned)(diff_rnd() % opcode_row_count());

        if (!wanted(opcode_row_at(row), m->bits) || !diff_gen_insn(m, row, &t)) {
            continue;
        }
        if (insn_mem(&t.insn) && (t.insn.disp < -0x300 || t.insn.disp > 0x300) && diff_rnd() % 16) {
            continue;
        }
        break;
    }
    memcpy(r->code + r->len, t.code, t.len);
    r->len += t.len;
    if (diff_undefined_flags(&t, &r->state) != 0 || strstr(t.row->operands, "cl") != NULL ||
        strncmp(t.row->name, "sh", 2) == 0 || strncmp(t.row->name, "r", 1) == 0) {
        static const uint8_t cmp_ax[] = { 0x3d, 0x12, 0x34, 0x56, 0x78 }; /* CMP EAX, imm32 */

        memcpy(r->code + r->len, cmp_ax, sizeof(cmp_ax));
        r->len += sizeof(cmp_ax);
    }
}

/* An access by @base, which several in a row share, or one to the stack. */
static void add_member(Run *r, unsigned bits, unsigned base)
{
    static const uint8_t ops[] = { 0x8b, 0x89, 0x8b, 0x89, 0x01, 0x03, 0x39, 0x3b, 0x31, 0x13, 0x8a, 0x88,
                                   0x87, 0x84 };
    uint8_t *p = r->code + r->len, reg = (uint8_t)(diff_rnd() & (bits == 64 ? 15 : 7));

    if (diff_rnd() % 4 == 0) { /* PUSH, POP */
        if (reg & 8) {
            *p++ = 0x41;
        }
        *p++ = (uint8_t)((diff_rnd() % 2 ? 0x50 : 0x58) | (reg & 7));
    } else {
        if (bits == 64) {
            *p++ = (uint8_t)(0x40 | (diff_rnd() & 8) | (reg & 8) >> 1 | base >> 3);
        }
        *p++ = ops[diff_rnd() % sizeof(ops)];
        *p++ = (uint8_t)(0x40 | (reg & 7) << 3 | (base & 7));
        if ((base & 7) == GPR_RSP) {
            *p++ = 0x24;
        }
        *p++ = (uint8_t)(diff_rnd() & 0x3f);
    }
    r->len = (unsigned)(p - r->code);
}

static void make_run(Run *r, const DecodeMode *m)
{
    unsigned n = 1 + (unsigned)(diff_rnd() % 24);
    unsigned base = (unsigned)(diff_rnd() & (m->bits == 64 ? 15 : 7)), members = diff_rnd() % 3 ? 0 : 4;
    int jump = -1;

    memset(r, 0, sizeof(*r));
    while (n-- > 0 && r->len < RUN_BYTES - 64) {
        if (jump >= 0 && r->len - (unsigned)jump < 100 && diff_rnd() % 3 == 0) {
            r->code[jump - 1] = (uint8_t)(r->len - (unsigned)jump); /* it leads here */
            jump = -1;
        }
        if (jump < 0 && diff_rnd() % 6 == 0) {
            r->code[r->len++] = diff_rnd() % 8 == 0 ? 0xeb : (uint8_t)(0x70 | (diff_rnd() & 15));
            r->code[r->len++] = 0;
            jump = (int)r->len;
        }
        if (members != 0 && diff_rnd() % members != 0 && opt.only == NULL) {
            add_member(r, m->bits, base);
        } else {
            add_insn(r, m);
        }
    }
    r->code[r->len++] = 0xf4; /* HLT faults at CPL 3 */
}

static void make_state(Run *r, unsigned bits)
{
    DiffCase t = { .row = opcode_row_at(0) };

    diff_gen_state(&t, bits, &r->state, r->data);
    r->state.rflags &= ~FLAG_DF;
    for (unsigned n = 0; n < (bits == 64 ? 16 : 8); n++) {
        if (diff_rnd() % 4) {
            r->state.gpr[n] = DIFF_DATA + 0x400 + diff_rnd() % 0x1800;
            if (diff_rnd() % 8 == 0) { /* by the end of a page */
                r->state.gpr[n] = DIFF_DATA + 0x1000 * (1 + diff_rnd() % 2) - diff_rnd() % 96;
            }
        } else if (diff_rnd() % 2) {
            r->state.gpr[n] = diff_rnd() % 128;
        }
    }
}

static void begin(const Run *r)
{
    diff_doppel_load(&r->state);
    memcpy(ram_host() + PHYS_DATA, r->data, sizeof(r->data));
    cpu->insn = NULL;
    cpu->insn_faults_here = false;
    cpu->exc_vector = -1;
    cpu->fip = cpu->fdp = 0;
    cpu->fop = cpu->fcs = cpu->fds = 0;
}

static void finish(Outcome *o)
{
    if (cpu->exc_vector >= 0 && cpu->insn != NULL) {
        cpu->regs[GPR_RIP] -= cpu->insn->len;
    }
    o->s.vector = cpu->exc_vector;
    o->s.error = cpu->exc_has_error ? cpu->exc_error : 0;
    o->s.cr2 = cpu->cr2;
    diff_doppel_store(&o->s);
    o->fip = cpu->fip;
    o->fdp = cpu->fdp;
    o->fop = cpu->fop;
    o->fcs = cpu->fcs;
    o->fds = cpu->fds;
    memcpy(o->data, ram_host() + PHYS_DATA, sizeof(o->data));
}

static __attribute__((noinline)) void run_reference(const Run *r, const DecodeMode *m, Outcome *o)
{
    static Insn i;

    begin(r);
    if (_setjmp(cpu->fault_env) == 0) {
        for (;;) {
            decode_insn(m, ram_host() + PHYS_CODE + (cpu->regs[GPR_RIP] - DIFF_BASE), 15, &i);
            cpu->insn = &i;
            cpu->regs[GPR_RIP] += i.len;
            i.exec(cpu, &i);
        }
    }
    finish(o);
}

static __attribute__((noinline)) void run_jit(const Run *r, Outcome *o)
{
    begin(r);
    if (_setjmp(cpu->fault_env) == 0) {
        for (;;) {
            assert_true(jit_run_once(cpu, false));
        }
    }
    finish(o);
}

static bool same(const Outcome *a, const Outcome *b, unsigned bits, bool end)
{
    uint64_t mask = bits == 64 ? ~0ull : 0xffffffff;
    bool exact = jit_strict || end; /* else a fault may find them overdue */

    for (unsigned n = 0; n < 16; n++) {
        if ((a->s.gpr[n] ^ b->s.gpr[n]) & mask) {
            printf("register %u: %lx, jit %lx\n", n, (long)a->s.gpr[n], (long)b->s.gpr[n]);
            return false;
        }
    }
    if (a->s.vector != b->s.vector || a->s.rip != b->s.rip || a->s.error != b->s.error ||
        (a->s.vector == EXC_PF && a->s.cr2 != b->s.cr2)) {
        printf("vector %d at %lx, jit %d at %lx\n", a->s.vector, (long)a->s.rip, b->s.vector,
               (long)b->s.rip);
        return false;
    }
    if (exact && ((a->s.rflags ^ b->s.rflags) & (FLAGS_ARITH | FLAG_DF))) {
        printf("flags %lx, jit %lx\n", (long)a->s.rflags, (long)b->s.rflags);
        return false;
    }
    if (memcmp(a->s.fx, b->s.fx, sizeof(a->s.fx)) != 0 ||
        memcmp(a->s.ymmh, b->s.ymmh, sizeof(a->s.ymmh)) != 0) {
        printf("floating point\n");
        return false;
    }
    if (a->fip != b->fip || a->fdp != b->fdp || a->fop != b->fop || a->fcs != b->fcs ||
        a->fds != b->fds) {
        printf("x87 pointers: fip %lx, jit %lx; fdp %lx, jit %lx; fop %x, jit %x\n", (long)a->fip,
               (long)b->fip, (long)a->fdp, (long)b->fdp, a->fop, b->fop);
        return false;
    }
    if (memcmp(a->data, b->data, sizeof(a->data)) != 0) {
        printf("memory\n");
        return false;
    }
    return true;
}

static void runs(unsigned bits, bool strict, uint64_t count)
{
    DecodeMode m = { .bits = (uint8_t)bits, .protected_mode = true, .features = cpu->features };
    static Outcome want, got;
    static Run r;
    uint64_t bad = 0, whole = 0;

    diff_doppel_mode(bits);
    jit_strict = strict;
    cpu->jit.cpu->strict = strict || !trick_on(TRICK_LAZY_FLAGS);
    for (uint64_t n = 0; n < count && bad < 5; n++) {
        diff_seed((opt.seed << 32) + n * 4 + bits / 32);
        make_run(&r, &m);
        make_state(&r, bits);
        memcpy(ram_host() + PHYS_CODE + (DIFF_CODE - DIFF_BASE), r.code, sizeof(r.code));
        accel_jit.code_written(cpu, PHYS_CODE + (DIFF_CODE - DIFF_BASE), sizeof(r.code));
        run_reference(&r, &m, &want);
        run_jit(&r, &got);
        bool end = want.s.rip == DIFF_CODE + r.len - 1;

        whole += end;
        if (!same(&want, &got, bits, end)) {
            bad++;
            printf("  %u-bit run %lu:", bits, (unsigned long)n);
            for (unsigned k = 0; k < r.len; k++) {
                printf(" %02x", r.code[k]);
            }
            printf("\n");
        }
    }
    printf("%u-bit, %s: %lu runs, %lu of them to their end, %lu differ\n", bits,
           strict ? "exact flags" : "lazy flags", (unsigned long)count, (unsigned long)whole,
           (unsigned long)bad);
    assert_int_equal(bad, 0);
}

static void runs_64(void **state)
{
    runs(64, false, opt.count);
}
static void runs_64_strict(void **state)
{
    runs(64, true, opt.count);
}
static void runs_32(void **state)
{
    runs(32, false, opt.count);
}
static void runs_32_strict(void **state)
{
    runs(32, true, opt.count);
}

static void runs_without_each_trick(void **state)
{
    for (Trick t = 0; t <= TRICKS; t++) {
        accel_fini();
        cpu_unrequest(cpu, REQ_STOP);
        accel_options.off = t == TRICKS ? (1u << TRICKS) - 1 : 1u << t;
        diff_doppel_jit();
        printf("without %s: ", t == TRICKS ? "all" : trick_info[t].name);
        runs(64, false, opt.count / 10);
        runs(32, false, opt.count / 10);
    }
}

/* Hosts that have less than this one. */
static void runs_on_lesser_hosts(void **state)
{
    static const char *const without[] = { "bmi2", "avx", "bmi1", "avx2", "sse4.1", "abm", "popcnt", "fma" };

    accel_options.off = 0;
    for (unsigned n = 0; n < ARRAY_SIZE(without); n++) {
        unsigned f = cpu_feature_find(without[n], strlen(without[n]));

        assert_int_not_equal(f, FEAT_NONE);
        cpu_host_hide(f, true);
        accel_fini();
        cpu_unrequest(cpu, REQ_STOP);
        diff_doppel_jit();
        printf("host without %s: ", without[n]);
        runs(64, false, opt.count / 10);
        runs(32, false, opt.count / 10);
        if (n >= 2) { /* the last ones: without BMI2 and AVX */
            cpu_host_hide(f, false);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_64),
        cmocka_unit_test(runs_64_strict),
        cmocka_unit_test(runs_32),
        cmocka_unit_test(runs_32_strict),
        cmocka_unit_test(runs_without_each_trick),
        cmocka_unit_test(runs_on_lesser_hosts),
    };
    const char *why;

    for (int n = 1; n + 1 < argc; n += 2) {
        if (strcmp(argv[n], "--seed") == 0) {
            opt.seed = strtoull(argv[n + 1], NULL, 0);
        } else if (strcmp(argv[n], "--count") == 0) {
            opt.count = strtoull(argv[n + 1], NULL, 0);
        } else if (strcmp(argv[n], "--only") == 0) {
            opt.only = argv[n + 1];
        }
    }
    if (!diff_host_init(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    cpu = diff_doppel_init();
    diff_doppel_jit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
