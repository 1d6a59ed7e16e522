/*
 * A bare processor for tests.
 */
#include "tests/lib/guest.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "accel/accel.h"
#include "accel/jit/jit.h"
#include "accel/kvm/kvm.h"
#include "accel/options.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"

static IoRegion ram;
static CpuModel model;
static CpuState *cpus[GUEST_CPUS];
static unsigned count;

static bool use_kvm(void)
{
    const char *s = getenv("DOPPEL_ENGINE");

    return s != NULL && strcmp(s, "kvm") == 0;
}

/* The engine under test: the translator, or by DOPPEL_ENGINE=interp the reference, =lockstep both, =first the translator, which
 * has no patience: what is executed once is translated, too; =kvm the host's KVM, by hand: what it gets wrong is not ours. */
static const AccelOps *engine(void)
{
    const char *s = getenv("DOPPEL_ENGINE");

    jit_hot = s != NULL && strcmp(s, "first") == 0 ? 0 : 3;
    if (s != NULL && strcmp(s, "lockstep") == 0) {
        accel_options.lockstep = 1;
        return &accel_lockstep;
    }
    if (use_kvm()) {
        return &accel_kvm;
    }
    return s != NULL && strcmp(s, "interp") == 0 ? &accel_interp : &accel_jit;
}

static void begin_kvm(void)
{
    static bool looked;
    Error *err = NULL;
    KvmHost host;

    if (!looked) {
        looked = true;
        assert_true(kvm_host_probe(&host, &err));
        kvm_setup(&host);
    }
    assert_true(kvm_limit_model(&model, &err));
}

void guest_begin_many(const char *name, unsigned n, CpuState **out)
{
    Error *err = NULL;

    assert_true(cpu_model_parse(name, true, &model, &err));
    if (use_kvm()) {
        begin_kvm();
    }
    assert_true(ram_create(GUEST_RAM, &err));
    ram_region_init(&ram, "ram", 0, GUEST_RAM);
    machine_lock();
    assert_true(mem_map(&ram, 0, 0, false, &err));
    machine_unlock();
    count = n;
    for (unsigned k = 0; k < n; k++) {
        out[k] = cpus[k] = cpu_new(k, &model);
    }
    assert_true(accel_init(engine(), cpus, n, &err));
}

CpuState *guest_begin(const char *name)
{
    CpuState *c;

    guest_begin_many(name, 1, &c);
    cpu_current = c;
    return c;
}

void guest_go(void)
{
    bool all;

    accel_resume();
    do {
        all = true;
        for (unsigned k = 0; k < count; k++) {
            all &= cpus[k]->activity != CPU_RUNNING;
        }
        sched_yield();
    } while (!all);
    accel_pause();
}

void guest_end(void)
{
    accel_fini();
    for (unsigned k = 0; k < count; k++) {
        cpu_free(cpus[k]);
    }
    cpu_current = NULL;
    machine_lock();
    mem_unmap(&ram);
    machine_unlock();
    ram_destroy();
}

uint8_t *guest_ram(hwaddr at)
{
    return ram_host() + at;
}

void guest_put(hwaddr at, const void *bytes, size_t n)
{
    assert_true(at + n <= GUEST_RAM);
    machine_lock();
    assert_true(dma_write(at, bytes, n)); /* tells the engine, unlike a plain copy */
    machine_unlock();
}

void guest_real(CpuState *c, uint16_t ip)
{
    cpu_reset(c, false);
    seg_load_real(c, SEG_CS, 0);
    c->regs[GPR_RIP] = ip;
    c->regs[GPR_RSP] = 0x9000;
    cpu_update_mode(c);
}

static void flat(Segment *s, uint16_t sel, uint16_t attr)
{
    s->selector = sel;
    s->base = 0;
    s->limit = 0xffffffff;
    s->attr = (uint16_t)(attr | ATTR_P | ATTR_S | ATTR_G | ATTR_WRITE | ATTR_ACCESSED);
    seg_update(s);
}

void guest_flat(CpuState *c, unsigned bits, uint32_t ip)
{
    cpu_reset(c, false);
    c->cr0 = CR0_PE | CR0_ET | CR0_NE;
    flat(&c->segs[SEG_CS], 8, ATTR_CODE | (bits == 64 ? ATTR_L : ATTR_DB));
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        if (n != SEG_CS) {
            flat(&c->segs[n], 16, ATTR_DB);
        }
    }
    if (bits == 64) {
        uint64_t pml4 = 0x3f1007, pdpt = 0x3f2007, pd[2] = { 0x87, 0x200087 };

        guest_put(0x3f0000, &pml4, 8);
        guest_put(0x3f1000, &pdpt, 8);
        guest_put(0x3f2000, pd, 16);
        c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
        c->cr3 = 0x3f0000;
        c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
        c->cr0 |= CR0_PG | CR0_WP;
    }
    c->regs[GPR_RIP] = ip;
    c->regs[GPR_RSP] = 0x9000;
    cpu_update_mode(c);
    tlb_flush(c, true);
}

bool guest_run(CpuState *c, uint64_t limit)
{
    uint64_t end = c->insns + limit;

    while (c->activity == CPU_RUNNING && c->insns < end) {
        engine()->run(c);
    }
    if (engine()->sync != NULL) {
        engine()->sync(c);
    }
    return c->activity == CPU_HALTED;
}
