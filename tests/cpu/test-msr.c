/*
 * Model-specific registers, and the XSAVE family's rules: what faults, in which order, and the
 * compacted form. Instructions are decoded and executed one by one.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cpu/cpuid.h"
#include "cpu/insn.h"
#include "cpu/segment.h"
#include "tests/lib/guest.h"
#include "tests/test.h"

static CpuState *c;

static int begin(void **state)
{
    c = guest_begin("max");
    guest_flat(c, 64, 0x1000);
    c->cr4 |= CR4_OSXSAVE;
    return 0;
}

static int end(void **state)
{
    guest_end();
    return 0;
}

static uint64_t rd(uint32_t msr)
{
    uint64_t v = 0;

    assert_true(cpu_rdmsr(c, msr, &v));
    return v;
}

#define OK(msr, v)                                                                                 \
    do {                                                                                           \
        assert_true(cpu_wrmsr(c, msr, v));                                                         \
        assert_int_equal(rd(msr), v);                                                              \
    } while (0)
#define GP(msr, v) assert_false(cpu_wrmsr(c, msr, v))

static void canonical_addresses(void **state)
{
    static const uint32_t msrs[] = { 0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101,
                                     0xc0000102 };

    for (unsigned n = 0; n < ARRAY_SIZE(msrs); n++) {
        OK(msrs[n], 0x00007fffffffffffull);
        OK(msrs[n], 0xffff800000000000ull);
        GP(msrs[n], 0x0000800000000000ull);
        GP(msrs[n], 0x7fffffffffffffffull);
        assert_int_equal(rd(msrs[n]), 0xffff800000000000ull); /* what faults changes nothing */
    }
}

static void reserved_bits(void **state)
{
    assert_true(cpu_wrmsr(c, 0xc0000080, EFER_SCE | EFER_LME | EFER_NXE));
    assert_true(rd(0xc0000080) & EFER_LMA);
    GP(0xc0000080, EFER_LME | 2);
    GP(0xc0000080, EFER_LME | 1ull << 16);
    GP(0xc0000080, EFER_SCE); /* LME may not change under paging */
    OK(0x277, 0x0007040600070406ull);
    GP(0x277, 0x0007040600070402ull); /* types 2, 3 and above 7 */
    GP(0x277, 0x0307040600070406ull);
    GP(0x277, 0x0008040600070406ull);
    OK(0x48, 7);
    GP(0x48, 8);
    OK(0x2ff, 0xc06);
    GP(0x2ff, 0x1006);
    GP(0x2ff, 0xc02);
    OK(0x200, 0x80000006ull);
    GP(0x200, 0x80000002ull);
    GP(0x200, 0x80000106ull);
    GP(0x200, 1ull << c->phys_bits);
    OK(0x201, 0x3f80000800ull);
    GP(0x201, 0x3f80000400ull);
    OK(0x250, 0x0606060606060606ull);
    GP(0x250, 0x0606060706060606ull);
    GP(0xc0000084, 1ull << 32);
    GP(0xc0000103, 1ull << 32);
    OK(0xda0, 0);
    GP(0xda0, 1); /* no supervisor state components */
    GP(0xda0, 0x100);
    GP(0xfe, 0);
    GP(0x10a, 0);
    GP(0x179, 0);
    GP(0xce, 0);
}

static void tsc_and_adjust(void **state)
{
    uint64_t before, adjust = rd(0x3b), tsc;

    before = rd(0x10);
    assert_true(cpu_wrmsr(c, 0x10, before + 1000000000)); /* moves both */
    assert_in_range(rd(0x3b) - adjust, 990000000, 1000000000);
    adjust = rd(0x3b);
    tsc = rd(0x10);
    assert_true(cpu_wrmsr(c, 0x3b, adjust + 5000000000)); /* likewise */
    assert_in_range(rd(0x10) - tsc, 5000000000, 5100000000);
    assert_int_equal(rd(0x3b), adjust + 5000000000);
}

/* Unknown registers: 0, ignored, reported at most a hundred times a second. */
static void unknown_ones(void **state)
{
    char path[] = "/tmp/doppel-test-XXXXXX", line[256];
    int fd = mkstemp(path);
    unsigned lines = 0;
    uint64_t v = 1;
    Error *err = NULL;
    FILE *f;

    assert_true(fd >= 0);
    close(fd);
    assert_true(log_open(path, &err));
    log_mask_bits = LOG_GUEST_ERRORS;
    for (uint32_t msr = 0x12340000; msr < 0x12340000 + 1000; msr++) {
        assert_true(cpu_wrmsr(c, msr, 77));
        v = 1;
        assert_true(cpu_rdmsr(c, msr, &v));
        assert_int_equal(v, 0);
    }
    log_mask_bits = 0;
    fflush(log_file());
    f = fopen(path, "r");
    while (fgets(line, sizeof(line), f) != NULL) {
        if (lines++ == 0) {
            assert_non_null(strstr(line, "write of unknown msr 12340000"));
        }
    }
    fclose(f);
    unlink(path);
    assert_in_range(lines, 100, 305); /* a second may end meanwhile */
}

/* ---- XSAVE and its kin ---- */

#define AREA 0x8000
static const uint8_t xsave[] = { 0x0f, 0xae, 0x27 }, xrstor[] = { 0x0f, 0xae, 0x2f },
                     xsavec[] = { 0x0f, 0xc7, 0x27 }, xsaves[] = { 0x0f, 0xc7, 0x2f },
                     xrstors[] = { 0x0f, 0xc7, 0x1f }, xgetbv[] = { 0x0f, 0x01, 0xd0 },
                     xsetbv[] = { 0x0f, 0x01, 0xd1 };

/* Execute three bytes with RDI = @at, EDX:EAX = @mask. The vector of the fault, or -1. */
static __attribute__((noinline)) int run(const uint8_t *code, uint64_t at, uint64_t mask)
{
    static Insn i;
    static CpuState *volatile cpu;
    DecodeMode m = { .bits = 64, .protected_mode = true, .features = c->features };
    uint8_t buf[15] = { code[0], code[1], code[2] };

    cpu = c;
    if (decode_insn(&m, buf, 15, &i) != DECODE_OK) {
        return EXC_UD;
    }
    c->regs[GPR_RDI] = at;
    c->regs[GPR_RAX] = (uint32_t)mask;
    c->regs[GPR_RDX] = mask >> 32;
    c->insn = &i;
    if (_setjmp(c->fault_env) == 0) {
        i.exec(c, &i);
        return -1;
    }
    return cpu->exc_vector;
}

static uint64_t area(unsigned off)
{
    uint64_t v;

    memcpy(&v, guest_ram(AREA + off), 8);
    return v;
}

static void area_set(unsigned off, uint64_t v)
{
    memcpy(guest_ram(AREA + off), &v, 8);
}

static void xsave_faults(void **state)
{
    static const uint8_t *const all[] = { xsave, xrstor, xsavec, xsaves, xrstors };

    c->xcr0 = 7;
    memset(guest_ram(AREA), 0, 4096);
    for (unsigned n = 0; n < ARRAY_SIZE(all); n++) {
        c->cr4 &= ~CR4_OSXSAVE;
        c->cr0 |= CR0_TS;
        assert_int_equal(run(all[n], AREA + 8, 7), EXC_UD);
        c->cr4 |= CR4_OSXSAVE;
        assert_int_equal(run(all[n], AREA + 8, 7), EXC_NM);
        c->cr0 &= ~CR0_TS;
        assert_int_equal(run(all[n], AREA + 8, 7), EXC_GP);  /* 64-byte alignment */
        assert_int_equal(run(all[n], AREA + 32, 7), EXC_GP);
        assert_int_equal(run(all[n], 0x400000, 7), EXC_PF);
    }
    c->cpl = 3;
    assert_int_equal(run(xsaves, AREA, 7), EXC_GP);
    assert_int_equal(run(xrstors, AREA, 7), EXC_GP);
    assert_int_equal(run(xsetbv, AREA, 7), EXC_GP);
    c->cpl = 0;
}

static void xcr0_rules(void **state)
{
    static const struct {
        uint64_t val;
        int vector;
    } t[] = { { 1, -1 }, { 3, -1 }, { 7, -1 }, { 0, EXC_GP }, { 2, EXC_GP }, { 5, EXC_GP },
              { 6, EXC_GP }, { 15, EXC_GP }, { 1ull << 63 | 7, EXC_GP } };

    for (unsigned n = 0; n < ARRAY_SIZE(t); n++) {
        c->regs[GPR_RCX] = 0;
        assert_int_equal(run(xsetbv, AREA, t[n].val), t[n].vector);
        if (t[n].vector < 0) {
            assert_int_equal(run(xgetbv, AREA, 0), -1);
            assert_int_equal(c->regs[GPR_RAX], t[n].val);
        }
    }
    c->regs[GPR_RCX] = 1;
    assert_int_equal(run(xsetbv, AREA, 7), EXC_GP);
    assert_int_equal(run(xgetbv, AREA, 0), -1); /* XINUSE */
    c->regs[GPR_RCX] = 2;
    assert_int_equal(run(xgetbv, AREA, 0), EXC_GP);
}

static void header_rules(void **state)
{
    static const struct {
        uint64_t bv, comp, rest; /* rest: byte 16 on */
        bool plain, super;       /* XRSTOR and XRSTORS accept it */
    } t[] = {
        { 7, 0, 0, true, false },
        { 7, 1ull << 63 | 7, 0, true, true },
        { 3, 1ull << 63 | 7, 0, true, true },
        { 7, 1ull << 63 | 3, 0, false, false },
        { 7, 1ull << 63 | 15, 0, false, false },
        { 15, 0, 0, false, false },
        { 7, 7, 0, false, false },
        { 7, 0, 1, false, false },
        { 7, 1ull << 63 | 7, 1, false, false },
    };

    c->xcr0 = 7;
    memset(guest_ram(AREA), 0, 4096);
    for (unsigned n = 0; n < ARRAY_SIZE(t); n++) {
        area_set(512, t[n].bv);
        area_set(520, t[n].comp);
        area_set(528, t[n].rest);
        assert_int_equal(run(xrstor, AREA, 7), t[n].plain ? -1 : EXC_GP);
        assert_int_equal(run(xrstors, AREA, 7), t[n].super ? -1 : EXC_GP);
    }
}

static void xsaves_round_trip(void **state)
{
    VecReg saved[16];

    c->xcr0 = 7;
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned k = 0; k < 32; k++) {
            c->xmm[n].b[k] = (uint8_t)(n * 32 + k + 1);
        }
    }
    memcpy(saved, c->xmm, sizeof(saved));
    c->mxcsr = 0x1fa0;
    memset(guest_ram(AREA), 0xee, 4096);
    assert_int_equal(run(xsaves, AREA, ~0ull), -1);
    assert_int_equal(area(512) & 6, 6);
    assert_int_equal(area(520), 1ull << 63 | 7);
    assert_int_equal(area(528), 0xeeeeeeeeeeeeeeeeull); /* the rest of the header is not written */
    assert_int_equal(area(576), saved[0].q[2]);
    for (unsigned n = 2; n < 8; n++) {
        area_set(512 + 8 * n, 0);
    }
    memset(c->xmm, 0, sizeof(c->xmm));
    c->mxcsr = 0x1f80;
    assert_int_equal(run(xrstors, AREA, 6), -1);
    assert_memory_equal(c->xmm, saved, sizeof(saved));
    assert_int_equal(c->mxcsr, 0x1fa0);

    /* What is in its initial state is not in XSTATE_BV, and comes back so. */
    for (unsigned n = 0; n < 16; n++) {
        c->xmm[n].q[2] = c->xmm[n].q[3] = 0;
    }
    assert_int_equal(run(xsaves, AREA, 6), -1);
    assert_int_equal(area(512), 2);
    c->xmm[3].q[2] = 5;
    assert_int_equal(run(xrstors, AREA, 6), -1);
    assert_int_equal(c->xmm[3].q[2], 0);
    assert_int_equal(c->xmm[3].q[0], saved[3].q[0]);
}

/* Linux' Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW: the formula for guests. */
static int64_t guest_ns(uint64_t page)
{
    const uint8_t *p = guest_ram(page);
    uint64_t delta = cpu_tsc(c) - ld_le64(p + 8);

    assert_int_equal(ld_le32(p) & 1, 0); /* it is not being written */
    assert_int_equal(p[29] & 1, 1);
    delta = (int8_t)p[28] >= 0 ? delta << p[28] : delta >> -(int8_t)p[28];
    return (int64_t)(ld_le64(p + 16) + (uint64_t)((unsigned __int128)delta * ld_le32(p + 24) >> 32));
}

static int64_t day(void)
{
    return 1700000000ll * NS_PER_SEC + clock_now(CLK_VIRTUAL) + 123456789;
}

static void kvm_clock(void **state)
{
    int64_t before, ns;
    uint64_t v;

    c->hooks.wall_ns = day;
    OK(0x4b564d01, 0x3000 | 1);
    OK(0x12, 0x3000 | 1);
    for (unsigned n = 0; n < 3; n++) {
        before = clock_now(CLK_VIRTUAL);
        ns = guest_ns(0x3000);
        assert_in_range(ns, before, clock_now(CLK_VIRTUAL));
        v = ld_le32(guest_ram(0x3000));
        assert_true(cpu_wrmsr(c, n == 0 ? 0x10 : 0x3b, n * 1234567890123ull)); /* its counter is set: told anew */
        assert_true(ld_le32(guest_ram(0x3000)) > v);
    }
    OK(0x4b564d00, 0x4000);
    assert_int_equal(ld_le32(guest_ram(0x4004)), 1700000000);
    assert_int_equal(ld_le32(guest_ram(0x4008)), 123456789);
    assert_true(cpu_wrmsr(c, 0x4b564d01, ~0ull)); /* no memory is there */
    assert_true(cpu_wrmsr(c, 0x4b564d01, 0xfee00001));
    assert_true(cpu_wrmsr(c, 0x4b564d00, 0xffffffffffff));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(canonical_addresses), T(reserved_bits), T(tsc_and_adjust), T(kvm_clock), T(unknown_ones),
        T(xsave_faults), T(xcr0_rules), T(header_rules), T(xsaves_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
