/*
 * Random code in all modes, translated and by the reference (accel/lockstep): bytes of any value, instructions of any
 * row, and loops, calls and stores that hit code. Memory is kept from run to run, so that translations grow old.
 *
 *   test-lockstep [--seed N] [--seconds N] [--bytes N] [--images N] [--off TRICK]
 *
 * --bytes: seconds of images that are bytes of any value alone. Without --seconds and --bytes, LOCKSTEP_SECONDS and
 * LOCKSTEP_BYTES of the environment, or a few images. With seconds, the seed is from the clock unless one is given; it
 * is printed. Every second image keeps flags exact (x-lazy-flags=off).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "accel/accel.h"
#include "accel/icount.h"
#include "accel/jit/jit.h"
#include "accel/lockstep/lockstep.h"
#include "accel/options.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/cpuid.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"
#include "tests/cpu/diff-gen.h"
#include "tests/test.h"

#define RAM (2u << 20)
#define HALT 0xf00u /* gates lead here */
#define GDT 0x800u
#define IDT 0xa00u
#define TSS 0x600u
#define CODE 0x10000u
#define CODE_BYTES 0x8000u
#define DATA 0x20000u
#define DATA_BYTES 0xc0000u
#define PML4 0x100000u /* and four tables behind it, which nothing is mapped to */
#define RUNS 40        /* of an image */
#define BUDGET 3000    /* instructions of a run, about */

static struct {
    uint64_t seed, seconds, bytes, images;
    bool only_bytes;
} opt = { .images = 60 };

static CpuState *c;
static CpuModel model;
static IoRegion ram;
static Timer limit;
static unsigned differences;

static void put(uint32_t at, const void *p, size_t n)
{
    machine_lock();
    assert_true(dma_write(at, p, n)); /* tells the engine */
    machine_unlock();
}

static void put_u64(uint32_t at, uint64_t v)
{
    put(at, &v, 8);
}

static void stop(void *opaque)
{
    cpu_request(c, REQ_STOP);
}

/* Tables that the guest stores to may be used as they were for a while, by either. */
static void differs(const CpuState *before)
{
    if (!(before->cr0 & CR0_PG) || before->cr3 == PML4) {
        differences++;
    } else {
        printf("(excused: page tables of its own)\n");
    }
    cpu_request(c, REQ_STOP);
}

static void begin(void)
{
    Error *err = NULL;

    assert_true(cpu_model_parse("max", true, &model, &err));
    assert_true(ram_create(RAM, &err));
    ram_region_init(&ram, "ram", 0, RAM);
    machine_lock();
    assert_true(mem_map(&ram, 0, 0, false, &err));
    machine_unlock();
    c = cpu_new(0, &model);
    icount_init(&(IcountOptions){ .on = true });
    accel_options.lockstep = opt.seed;
    accel_options.tb_size = 1 << 20; /* parts of it are given up all the time */
    assert_true(accel_init(&accel_lockstep, &c, 1, &err));
    cpu_current = c;
    lockstep_differs = differs;
    timer_init(&limit, CLK_VIRTUAL, stop, NULL, NULL);
}

/* ---- code ---- */

static uint64_t rnd(uint64_t n)
{
    return diff_rnd() % n;
}

/* One instruction of any row; the bytes it took. */
static unsigned any_insn(uint8_t *p, unsigned bits)
{
    DecodeMode m = { .bits = (uint8_t)bits, .protected_mode = true, .features = c->features };
    DiffCase t;

    while (!diff_gen_insn(&m, (unsigned)rnd(opcode_row_count()), &t)) {
    }
    memcpy(p, t.code, t.len);
    return t.len;
}

/* Moves and arithmetic between registers and memory near a register; pushes and pops. */
static unsigned plain_insn(uint8_t *p, unsigned bits)
{
    static const uint8_t ops[] = { 0x8b, 0x89, 0x01, 0x03, 0x29, 0x2b, 0x31, 0x33, 0x39, 0x3b, 0x85, 0x8a, 0x88, 0x11,
                                   0x13, 0x87, 0x8d, 0x63 };
    uint8_t *at = p, r = (uint8_t)rnd(256);

    if (r < 48) {
        *p++ = (uint8_t)(0x50 | (r & 15));
        return 1;
    }
    if (bits == 64 && rnd(2)) {
        *p++ = (uint8_t)(0x40 | rnd(16));
    } else if (rnd(16) == 0) {
        *p++ = 0x66;
    }
    *p++ = ops[rnd(sizeof(ops))];
    *p++ = (uint8_t)(rnd(3) == 0 ? 0xc0 | rnd(64) : 0x40 | rnd(64));
    if ((p[-1] & 0xc7) == 0x44) {
        *p++ = (uint8_t)rnd(256);
    }
    if ((p[-1] & 0xc0) != 0xc0) {
        *p++ = (uint8_t)rnd(256);
    }
    return (unsigned)(p - at);
}

/* Operands by one base register, with displacements of any size, between moves of that by constants that take it
 * anywhere and back: what frames are made of. */
typedef struct Theme {
    unsigned base, left; /* instructions */
    int64_t moved;
    bool far;
} Theme;

static int32_t theme_disp(const Theme *t)
{
    int64_t to = (int64_t)rnd(96) - 32;

    return (int32_t)(uint32_t)(uint64_t)(rnd(8) ? to - t->moved : to + (rnd(2) ? 0 : (int64_t)rnd(1024) - 512));
}

static unsigned theme_move(uint8_t *p, unsigned bits, Theme *t)
{
    static const int64_t far[] = { 0x1000, 0x40000000, 0x7fffffff, -0x80000000ll, -0x7ffffff0, -0x40000000, 0x3fffff00 };
    int64_t by = t->far && rnd(2) ? far[rnd(ARRAY_SIZE(far))] + (int64_t)rnd(32) : (int64_t)rnd(128) - 64;
    int32_t imm = (int32_t)(uint32_t)(uint64_t)(rnd(3) == 0 ? -t->moved : by);
    unsigned n = 0, kind = (unsigned)rnd(3), rex = bits == 64 ? 0x48 | t->base >> 3 : 0, b = t->base & 7;

    if (rex != 0) {
        p[n++] = (uint8_t)(kind == 2 ? rex | (rex & 1) << 2 : rex);
    }
    p[n++] = kind == 2 ? 0x8d : 0x81;
    p[n++] = (uint8_t)(kind == 2 ? 0x80 | b << 3 | b : 0xc0 | (kind == 1 ? 5 : 0) << 3 | b);
    if (kind == 2 && b == GPR_RSP) {
        p[n++] = 0x24;
    }
    memcpy(p + n, &imm, 4);
    t->moved += kind == 1 ? -(int64_t)imm : imm;
    return n + 4;
}

static unsigned theme_insn(uint8_t *p, unsigned bits, Theme *t)
{
    static const uint8_t ops[] = { 0x8b, 0x89, 0x01, 0x03, 0x39, 0x31, 0x33, 0x8a, 0x88, 0x11, 0x85, 0x83 };
    unsigned n = 0, op = ops[rnd(sizeof(ops))], reg = (unsigned)rnd(bits == 64 ? 16 : 8), r = (unsigned)rnd(8);
    int32_t disp;

    if (r == 0) {
        return theme_move(p, bits, t);
    }
    if (r == 1 && t->base == GPR_RSP) {
        bool push = rnd(2);

        t->moved += (push ? -1 : 1) * (int)bits / 8;
        p[0] = (uint8_t)((push ? 0x50 : 0x58) | rnd(8));
        return 1;
    }
    disp = theme_disp(t);
    if (r == 2) { /* MOVDQU, MOVD */
        p[n++] = rnd(2) ? 0xf3 : 0x66;
    }
    if (bits == 64) {
        p[n++] = (uint8_t)(0x40 | rnd(2) << 3 | reg >> 3 << 2 | t->base >> 3);
    }
    if (r == 2) {
        p[n++] = 0x0f;
        op = rnd(2) ? 0x6f : 0x7f;
    }
    p[n++] = (uint8_t)op;
    p[n++] = (uint8_t)(0x80 | (reg & 7) << 3 | (t->base & 7));
    if ((t->base & 7) == GPR_RSP) {
        p[n++] = 0x24;
    }
    memcpy(p + n, &disp, 4);
    n += 4;
    if (op == 0x83) {
        p[n++] = (uint8_t)rnd(256);
    }
    if (op != 0x83 && op != 0x89 && op != 0x88 && op != 0x01 && op != 0x39 && op != 0x31 && op != 0x11 && op != 0x85 &&
        op != 0x7f && r != 2 && reg == t->base) {
        t->left = 0; /* it is elsewhere */
    }
    return n;
}

static unsigned jump(uint8_t *p)
{
    static const uint8_t short_ops[] = { 0xeb, 0xe2, 0xe3, 0x70, 0x72, 0x74, 0x75, 0x78, 0x7c, 0x7d };
    uint8_t r = (uint8_t)rnd(8);
    int32_t rel = (int32_t)rnd(0x4000) - 0x2000;

    if (r < 3) {
        *p = short_ops[rnd(sizeof(short_ops))];
        p[1] = (uint8_t)rnd(256);
        return 2;
    }
    if (r < 4) {
        *p = 0xc3;
        return 1;
    }
    if (r < 5) { /* indirect, by a register that may point to code */
        p[0] = 0xff;
        p[1] = (uint8_t)((rnd(2) ? 0xd0 : 0xe0) | rnd(8));
        return 2;
    }
    *p = r < 7 ? 0xe8 : 0xe9;
    memcpy(p + 1, &rel, 4);
    return 5;
}

static void make_code(unsigned bits)
{
    static uint8_t code[CODE_BYTES + 64];
    unsigned wild = opt.only_bytes ? 0 : (unsigned)rnd(4);
    Theme t = { 0 };

    for (unsigned n = 0; n < CODE_BYTES;) {
        unsigned r = (unsigned)rnd(16);

        if (wild == 3 && t.left == 0) {
            t = (Theme){ .base = rnd(3) ? (unsigned)rnd(bits == 64 ? 16 : 8) : GPR_RSP, .left = 1 + (unsigned)rnd(16),
                         .far = rnd(2) };
        }
        if (wild == 3 && bits != 16 && r != 0) {
            t.left--;
            n += theme_insn(code + n, bits, &t);
        } else if (wild == 0 || r == 0) {
            code[n++] = (uint8_t)rnd(256);
        } else if (r < 4) {
            n += any_insn(code + n, bits);
        } else if (r < 6) {
            n += jump(code + n);
        } else {
            n += plain_insn(code + n, bits);
        }
    }
    put(CODE, code, CODE_BYTES);
}

/* ---- modes ---- */

/* Gates to HLT, a TSS; the first 1 MiB mapped one to one, the third and fourth by pages to anywhere. */
static void tables(bool wide)
{
    uint32_t tss[26] = { 0, 0x8000, wide ? 0 : 0x10 };

    tss[25] = 0x68u << 16;
    put_u64(GDT, 0);
    put_u64(GDT + 8, wide ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull);
    put_u64(GDT + 16, 0x00cf93000000ffffull);
    put_u64(GDT + 24, wide ? 0x00affb000000ffffull : 0x00cffb000000ffffull);
    put_u64(GDT + 32, 0x00cff3000000ffffull);
    put_u64(GDT + 40, 0x00008b0000000067ull | (uint64_t)TSS << 16);
    put_u64(GDT + 48, 0);
    for (unsigned n = 0; n < 32; n++) {
        uint64_t gate = HALT | 8 << 16 | 0xee0000000000ull;

        put_u64(IDT + n * (wide ? 16 : 8), gate);
        if (wide) {
            put_u64(IDT + n * 16 + 8, 0);
        }
    }
    put(HALT, "\xf4", 1);
    put(TSS, tss, sizeof(tss));
    put_u64(PML4, (PML4 + 0x1000) | 7);
    put_u64(PML4 + 0x1000, (PML4 + 0x2000) | 7);
    put_u64(PML4 + 0x2000, (PML4 + 0x4000) | 7);
    put_u64(PML4 + 0x2008, (PML4 + 0x3000) | 7);
    put_u64(PML4 + 0x2ff8, (PML4 + 0x3000) | 7);
}

static void map_pages(void)
{
    for (unsigned n = 0; n < 512; n++) {
        put_u64(PML4 + 0x4000 + 8 * n, n < 256 ? n << 12 | 7 : 0);
    }
    for (unsigned n = 0; n < 512; n++) {
        uint64_t frame = rnd(3) ? DATA / 4096 + rnd(DATA_BYTES / 4096) : CODE / 4096 + rnd(CODE_BYTES / 4096);

        put_u64(PML4 + 0x3000 + 8 * n, frame << 12 | (rnd(8) ? 7 : rnd(8)) | (rnd(16) ? 0 : 1ull << 63));
    }
}

static void segment(unsigned seg, uint16_t sel)
{
    Desc d = { ld_le32(ram_host() + GDT + (sel & ~7)), ld_le32(ram_host() + GDT + (sel & ~7) + 4), 0, 0 };

    c->segs[seg] = desc_segment(sel, &d);
}

static void enter(unsigned mode)
{
    bool wide = mode & 1, user = mode & 2;

    tables(wide);
    c->gdtr = (DescTable){ GDT, 55 };
    c->idtr = (DescTable){ IDT, wide ? 511 : 255 };
    Desc d = { 0x00000067 | TSS << 16, 0x00008b00, 0, 0 };
    c->tr = desc_segment(40, &d);
    c->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_MP | (mode & 8 ? CR0_WP : 0);
    c->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_PGE;
    c->xcr0 = 7;
    if (wide || (mode & 16)) {
        c->cr3 = PML4;
        c->cr4 |= CR4_PAE;
        if (wide) {
            c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
        } else {
            c->efer = EFER_NXE;
            c->pdpte[0] = (PML4 + 0x2000) | 1;
            c->pdpte[1] = c->pdpte[3] = c->pdpte[0]; /* their last 2 MiB, and the first of 4 GiB, are memory */
        }
        c->cr0 |= CR0_PG;
    }
    segment(SEG_CS, user ? 27 : 8);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        if (n != SEG_CS) {
            segment(n, user ? 35 : 16);
        }
    }
    c->cpl = user ? 3 : 0;
}

static uint64_t some_value(void)
{
    switch (rnd(9)) {
    case 0: case 1: case 2:
        return DATA + rnd(DATA_BYTES);
    case 3:
        return CODE + rnd(CODE_BYTES);
    case 4:
        return 0x200000 + rnd(0x200000);
    case 5:
        return DATA + 0x1000 * rnd(DATA_BYTES / 0x1000) - rnd(64);
    case 6:
        return rnd(256);
    case 7: /* the ends of 4 GiB, and of the halves */
        return ((rnd(2) << 31) + rnd(64) - rnd(128)) & (rnd(4) ? 0xffffffff : ~0ull);
    default:
        return diff_rnd();
    }
}

static void run(unsigned mode)
{
    uint64_t bits = FLAGS_ARITH | FLAG_DF | FLAG_IF | FLAG_IOPL | FLAG_AC;

    cpu_reset(c, false);
    if (mode & 0x80) {
        seg_load_real(c, SEG_CS, 0x1000);
        c->cr4 = CR4_OSFXSR;
    } else {
        enter(mode);
    }
    for (unsigned n = 0; n < 16; n++) {
        c->regs[n] = some_value();
    }
    c->regs[GPR_RSP] = DATA + 0x10000 + rnd(0x10000) * (rnd(4) ? 8 : 1);
    c->regs[GPR_RIP] = (mode & 0x80 ? 0 : CODE) + rnd(CODE_BYTES);
    c->mxcsr = 0x1f80;
    c->fcw = 0x37f;
    rflags_put(c, 2 | (diff_rnd() & bits & ~(rnd(8) ? FLAG_DF | FLAG_AC : 0ull)));
    cpu_update_mode(c);
    cpu_update_careful(c);
    tlb_flush(c, true);
    c->icount_last = c->insns;
    timer_arm(&limit, clock_now(CLK_VIRTUAL) + BUDGET);
    while (c->activity == CPU_RUNNING && timer_pending(&limit) && differences == 0) {
        accel_lockstep.run(c);
    }
    timer_cancel(&limit);
    cpu_unrequest(c, ~0u);
}

/* An image, and runs of it; what to say about it. */
static void image(uint64_t seed)
{
    static const uint8_t modes[] = { 1, 1, 1 | 2, 1 | 8, 0, 2, 16, 16 | 2, 16 | 8, 1 | 2 | 8, 0x80 };
    unsigned mode;

    static uint8_t data[DATA_BYTES];

    diff_seed(seed);
    lockstep_seed(seed);
    accel_drop_code();
    c->jit.cpu->strict = !trick_on(TRICK_LAZY_FLAGS) || seed % 2 == 0;
    for (unsigned n = 0; n < DATA_BYTES; n += 8) {
        uint64_t v = rnd(4) ? 0 : some_value();

        memcpy(data + n, &v, 8);
    }
    put(DATA, data, DATA_BYTES);
    mode = modes[rnd(sizeof(modes))];
    tables(mode & 1);
    map_pages();
    make_code(mode & 0x80 ? 16 : mode & 1 ? 64 : 32);
    for (unsigned n = 0; n < RUNS && differences == 0; n++) {
        run(mode);
    }
    if (differences != 0) {
        printf("again: test-lockstep --seed %lu --images 1%s (mode %02x)\n", (unsigned long)seed,
               opt.only_bytes ? " --bytes 1" : "", mode);
        fail();
    }
}

/* Seeds that found something: LOCK before a string instruction; an interrupt between STI and the next. */
static const uint64_t found[] = { 1000723, 1000800 };

static void images(uint64_t seconds, const char *what)
{
    time_t end = time(NULL) + (time_t)seconds;
    StepStats was = lockstep_stats;
    uint64_t n = 0;

    do {
        image(opt.seed + n++);
    } while (seconds != 0 ? time(NULL) < end : n < opt.images);
    printf("%s: %lu images from seed %lu: %lu stretches of %lu instructions compared, %lu not; %lu by undefined flags; "
           "%lu blocks by the reference alone\n",
           what, (unsigned long)n, (unsigned long)opt.seed, (unsigned long)(lockstep_stats.stretches - was.stretches),
           (unsigned long)(lockstep_stats.insns - was.insns), (unsigned long)(lockstep_stats.skipped - was.skipped),
           (unsigned long)(lockstep_stats.undefined - was.undefined), (unsigned long)(lockstep_stats.live - was.live));
    assert_true(n < 8 || lockstep_stats.insns - was.insns > 1000);
}

static void random_code(void **state)
{
    begin();
    for (unsigned k = 0; k < ARRAY_SIZE(found) && opt.seed == 1; k++) {
        image(found[k]);
    }
    images(opt.seconds, "random code");
    opt.only_bytes = true;
    opt.images = (opt.images + 1) / 2;
    images(opt.bytes, "bytes");
    accel_fini();
    cpu_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_code) };
    const char *s = getenv("LOCKSTEP_SECONDS"), *b = getenv("LOCKSTEP_BYTES");

    opt.seconds = s != NULL ? strtoull(s, NULL, 0) : 0;
    opt.bytes = b != NULL ? strtoull(b, NULL, 0) : 0;
    for (int n = 1; n + 1 < argc; n += 2) {
        if (strcmp(argv[n], "--seed") == 0) {
            opt.seed = strtoull(argv[n + 1], NULL, 0);
        } else if (strcmp(argv[n], "--seconds") == 0) {
            opt.seconds = strtoull(argv[n + 1], NULL, 0);
        } else if (strcmp(argv[n], "--bytes") == 0) {
            opt.bytes = strtoull(argv[n + 1], NULL, 0);
        } else if (strcmp(argv[n], "--images") == 0) {
            opt.images = strtoull(argv[n + 1], NULL, 0);
        }
        for (Trick t = 0; t < TRICKS && strcmp(argv[n], "--off") == 0; t++) {
            accel_options.off |= strcmp(argv[n + 1], trick_info[t].name) == 0 ? 1u << t : 0;
        }
    }
    if (opt.seed == 0) {
        opt.seed = opt.seconds + opt.bytes != 0 ? (uint64_t)time(NULL) * 1000 : 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
