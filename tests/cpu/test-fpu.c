/*
 * What test-diff cannot see from user mode: when FPU and vector instructions are not available,
 * pending exceptions and FERR#, state images in real mode, instruction and operand pointers.
 */
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/insn.h"
#include "cpu/mmu.h"
#include "tests/test.h"

static CpuState *cpu;
static int ferr_level;

static void nop_flush(CpuState *c)
{
}
static void nop_flush_all(CpuState *c, bool global)
{
}
static void nop_page(CpuState *c, vaddr page)
{
}
static void nop_written(CpuState *c, uint64_t off, unsigned len)
{
}
static const EngineOps no_engine = { .code_written = nop_written, .flush = nop_flush_all,
                                     .flush_page = nop_page, .exclusive_begin = nop_flush,
                                     .exclusive_end = nop_flush, .kick = nop_flush };

static void on_ferr(CpuState *c, bool on)
{
    ferr_level = on;
}

static int setup_all(void **state)
{
    static CpuModel model = { .features = { ~0ull, ~0ull }, .phys_bits = 40 };
    static IoRegion ram;

    engine_ops = &no_engine;
    assert_true(ram_create(1 << 20, NULL));
    machine_lock();
    ram_region_init(&ram, "ram", 0, 1 << 20);
    assert_true(mem_map(&ram, 0, 0, false, NULL));
    machine_unlock();
    cpu = cpu_new(0, &model);
    cpu_take_view(cpu);
    cpu->hooks.ferr = on_ferr;
    return 0;
}

static int teardown_all(void **state)
{
    cpu_free(cpu);
    return 0;
}

/* Flat segments without paging; CS:IP 0:1000h (real mode: CS 0100h, so base 1000h). */
static int setup(void **state)
{
    cpu_reset(cpu, false);
    cpu->cr0 = CR0_PE | CR0_NE | CR0_ET;
    cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    cpu->fcw = 0x37f;
    cpu->fptag = 0;
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        cpu->segs[n] = (Segment){ .selector = (uint16_t)(8 + 8 * n), .limit = 0xffffffff,
                                  .attr = ATTR_P | ATTR_S | ATTR_WRITE | ATTR_DB | ATTR_G |
                                          (n == SEG_CS ? ATTR_CODE : 0) };
        seg_update(&cpu->segs[n]);
    }
    cpu_update_mode(cpu);
    cpu->regs[GPR_RIP] = 0x1000;
    cpu->regs[GPR_RBX] = 0x2000;
    memset(ram_host() + 0x2000, 0, 1024);
    ferr_level = -1;
    return 0;
}

static void real_mode(void)
{
    cpu->cr0 &= ~CR0_PE;
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        cpu->segs[n] = (Segment){ .selector = 0x100, .base = 0x1000, .limit = 0xffff,
                                  .attr = ATTR_P | ATTR_S | ATTR_WRITE |
                                          (n == SEG_CS ? ATTR_CODE : 0) };
        seg_update(&cpu->segs[n]);
    }
    cpu_update_mode(cpu);
}

/* Execute one instruction; the vector it raised, or -1. */
static __attribute__((noinline)) int run(const char *bytes, unsigned n)
{
    DecodeMode m = { .bits = cpu->mode_bits, .protected_mode = (cpu->cr0 & CR0_PE) != 0,
                     .features = cpu->features };
    static CpuState *c;
    static Insn i;

    c = cpu;
    decode_insn(&m, (const uint8_t *)bytes, n, &i);
    c->insn = &i;
    if (_setjmp(c->fault_env) == 0) {
        c->regs[GPR_RIP] += i.len;
        i.exec(c, &i);
        return -1;
    }
    c->regs[GPR_RIP] -= i.len;
    return c->exc_vector;
}
#define RUN(text) run(text "\x90\x90\x90\x90\x90\x90\x90\x90", 15)

#define FLD1 "\xd9\xe8"
#define FWAIT "\x9b"
#define FADD_M32_EBX "\xd8\x03"
#define PADDB_MM "\x0f\xfc\xc1"
#define ADDPS "\x0f\x58\xc1"
#define VADDPS "\xc5\xf0\x58\xc2"
#define DIVSS "\xf3\x0f\x5e\xc1"

static void test_nm(void **state)
{
    cpu->cr0 |= CR0_TS;
    assert_int_equal(RUN(FLD1), EXC_NM);
    assert_int_equal(RUN(PADDB_MM), EXC_NM);
    assert_int_equal(RUN(ADDPS), EXC_NM);
    assert_int_equal(RUN(VADDPS), EXC_NM);
    assert_int_equal(RUN(FWAIT), -1); /* needs MP as well */
    cpu->cr0 |= CR0_MP;
    assert_int_equal(RUN(FWAIT), EXC_NM);
    cpu->cr0 &= ~CR0_TS;
    assert_int_equal(RUN(FLD1), -1);
    cpu->cr0 |= CR0_EM;
    assert_int_equal(RUN(FLD1), EXC_NM);
    assert_int_equal(RUN(FWAIT), -1);
}

static void test_ud(void **state)
{
    cpu->cr0 |= CR0_EM;
    assert_int_equal(RUN(PADDB_MM), EXC_UD);
    assert_int_equal(RUN(ADDPS), EXC_UD);
    assert_int_equal(RUN(VADDPS), -1); /* VEX forms do not look at EM */
    cpu->cr0 &= ~CR0_EM;
    cpu->cr4 &= ~CR4_OSFXSR;
    assert_int_equal(RUN(ADDPS), EXC_UD);
    assert_int_equal(RUN(PADDB_MM), -1);
    cpu->cr4 &= ~CR4_OSXSAVE;
    assert_int_equal(RUN(VADDPS), EXC_UD);
    cpu->cr4 |= CR4_OSXSAVE;
    cpu->xcr0 = XCR0_X87 | XCR0_SSE;
    assert_int_equal(RUN(VADDPS), EXC_UD);
    real_mode();
    assert_int_equal(RUN(VADDPS), EXC_UD);
}

static void test_xm(void **state)
{
    cpu->mxcsr = 0x1f80 & ~0x200u; /* ZE unmasked */
    cpu->xmm[0].d[0] = 0x3f800000;
    assert_int_equal(RUN(DIVSS), EXC_XM);
    assert_int_equal(cpu->mxcsr & 0x3f, 4);
    assert_int_equal(cpu->xmm[0].d[0], 0x3f800000);
    cpu->cr4 &= ~CR4_OSXMMEXCPT;
    assert_int_equal(RUN(DIVSS), EXC_UD);
}

/* 1 / 0 with ZE unmasked: the fault comes at the next waiting instruction. */
static void divide_by_zero(void)
{
    cpu->fcw = 0x37f & ~4;
    assert_int_equal(RUN(FLD1), -1);
    assert_int_equal(RUN("\xd8\x33"), -1); /* fdiv m32 [ebx] */
    assert_true(cpu->fsw & 0x80);
}

static void test_mf(void **state)
{
    divide_by_zero();
    assert_int_equal(RUN("\xdf\xe0"), -1); /* fnstsw ax does not wait */
    assert_int_equal(cpu->regs[GPR_RAX] & 0x8084, 0x8084);
    assert_int_equal(RUN(FWAIT), EXC_MF);
    assert_int_equal(RUN(FLD1), EXC_MF);
    assert_int_equal(RUN(PADDB_MM), EXC_MF);
    assert_int_equal(RUN(ADDPS), -1);
    assert_int_equal(RUN("\xdb\xe2"), -1); /* fnclex */
    assert_int_equal(RUN(FWAIT), -1);
    assert_int_equal(ferr_level, -1); /* never asked for with NE set */
}

static void test_ferr(void **state)
{
    cpu->cr0 &= ~CR0_NE;
    divide_by_zero();
    assert_int_equal(ferr_level, 1);
    assert_int_equal(RUN(FWAIT), -1);
    assert_int_equal(RUN("\xdb\xe2"), -1); /* fnclex */
    assert_int_equal(ferr_level, 0);
}

static uint32_t mem32(unsigned at)
{
    uint32_t v;

    memcpy(&v, ram_host() + at, 4);
    return v;
}

static void test_pointers(void **state)
{
    assert_int_equal(RUN(FLD1), -1);
    assert_int_equal(RUN(FADD_M32_EBX), -1);
    assert_int_equal(cpu->fop, 0x003);
    assert_int_equal(cpu->fip, 0x1002);
    assert_int_equal(cpu->fcs, 16);
    assert_int_equal(cpu->fdp, 0x2000);
    assert_int_equal(cpu->fds, 32);
    assert_int_equal(RUN("\xd9\x33"), -1); /* fnstenv [ebx]: keeps them */
    assert_int_equal(mem32(0x200c), 0x1002);
    assert_int_equal(mem32(0x2010), 0x00030010);
    assert_int_equal(mem32(0x2014), 0x2000);
    assert_int_equal(mem32(0x2018), 0xffff0020);
    assert_int_equal(cpu->fcw, 0x37f);
}

static void test_real_images(void **state)
{
    real_mode();
    cpu->regs[GPR_RBX] = 0x1000; /* linear 2000h */
    assert_int_equal(RUN(FLD1), -1);
    assert_int_equal(RUN("\xd8\x07"), -1); /* fadd dword [bx] */
    assert_int_equal(RUN("\xd9\x37"), -1); /* fnstenv, 14 bytes */
    assert_int_equal(mem32(0x2006), 0x00072002); /* IP 1002h in segment 100h; opcode 007h */
    assert_int_equal(mem32(0x200a), 0x00002000);
    assert_int_equal(RUN("\x66\xd9\x37"), -1); /* 28 bytes */
    assert_int_equal(mem32(0x200c), 0xffff2002);
    assert_int_equal(mem32(0x2010), 0x00000007);
    assert_int_equal(mem32(0x2014), 0xffff2000);
    assert_int_equal(mem32(0x2018), 0);
    assert_int_equal(RUN("\xdd\x37"), -1); /* fnsave: as FNINIT after it */
    assert_int_equal(cpu->fcw, 0x37f);
    assert_int_equal(cpu->fptag, 0);
    assert_int_equal(RUN("\xdd\x27"), -1); /* frstor */
    assert_int_equal(cpu->fptag, 0x80);
    assert_int_equal(cpu->fpr[7].sexp, 0x3fff);
    assert_int_equal(cpu->fip, 0x2002);
}

static void test_xcr0(void **state)
{
    cpu->regs[GPR_RCX] = 0;
    cpu->regs[GPR_RAX] = 7;
    assert_int_equal(RUN("\x0f\x01\xd1"), -1); /* xsetbv */
    cpu->regs[GPR_RAX] = 5; /* AVX without SSE */
    assert_int_equal(RUN("\x0f\x01\xd1"), EXC_GP);
    cpu->regs[GPR_RAX] = 6; /* no x87 */
    assert_int_equal(RUN("\x0f\x01\xd1"), EXC_GP);
    cpu->regs[GPR_RAX] = 0;
    assert_int_equal(RUN("\x0f\x01\xd0"), -1); /* xgetbv */
    assert_int_equal(cpu->regs[GPR_RAX], 7);
    cpu->cr4 &= ~CR4_OSXSAVE;
    assert_int_equal(RUN("\x0f\x01\xd0"), EXC_UD);
    assert_int_equal(RUN("\x0f\xae\x23"), EXC_UD); /* xsave [ebx] */
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_nm), T(test_ud), T(test_xm), T(test_mf), T(test_ferr), T(test_pointers),
        T(test_real_images), T(test_xcr0),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
