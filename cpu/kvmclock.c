/*
 * KVM's clock for guests, on every engine. Source: Linux, Documentation/virt/kvm/x86/msr.rst (MSR_KVM_WALL_CLOCK_NEW,
 * MSR_KVM_SYSTEM_TIME_NEW and the older numbers of both) and cpuid.rst (KVM_FEATURE_CLOCKSOURCE2, _STABLE_BIT).
 *
 * The guest names a place in its memory, where it finds how its time-stamp counter becomes nanoseconds. That is CLK_VIRTUAL
 * here, of which the counter is a fixed multiple: what is written stays true until the guest sets its counter.
 */
#include "cpu/cpuid.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cpu/mmu.h"
#include "cpu/tape.h"

enum { WALL_OLD = 0x11, SYSTEM_OLD = 0x12, WALL_NEW = 0x4b564d00, SYSTEM_NEW = 0x4b564d01 };
enum { WALL_SIZE = 12, SYSTEM_SIZE = 32 };
#define SYSTEM_ENABLE 1ull
#define TSC_STABLE 1u /* PVCLOCK_TSC_STABLE_BIT: alike on all processors */

/* @len bytes of RAM at guest-physical @pa, all in one piece. */
static bool is_ram(CpuState *c, hwaddr pa, unsigned len)
{
    const FlatRange *r = flat_find(cpu_view(c), pa);

    return r != NULL && r->host != NULL && r->writable && len - 1 <= r->last - pa;
}

/* struct pvclock_wall_clock: version, seconds, nanoseconds; the time at which CLK_VIRTUAL was 0. */
static void put_wall(CpuState *c, hwaddr pa)
{
    uint64_t ns;

    if (!is_ram(c, pa, WALL_SIZE)) {
        return;
    }
    if (!tape_read(c, TAPE_TSC, 1, &ns)) {
        ns = (uint64_t)(c->hooks.wall_ns != NULL ? c->hooks.wall_ns() - clock_now(CLK_VIRTUAL) : 0);
        tape_was(c, TAPE_TSC, 1, ns);
    }
    phys_st(c, pa, 1, 4);
    phys_st(c, pa + 4, ns / NS_PER_SEC, 4);
    phys_st(c, pa + 8, ns % NS_PER_SEC, 4);
    phys_st(c, pa, 2, 4);
}

/* struct pvclock_vcpu_time_info: ns = system_time + ((tsc - tsc_timestamp) << tsc_shift) * mul / 2^32. */
static void put_system(CpuState *c, hwaddr pa)
{
    uint32_t version;

    if (!is_ram(c, pa, SYSTEM_SIZE)) {
        return;
    }
    version = (uint32_t)phys_ld(c, pa, 4) | 1;
    phys_st(c, pa, version, 4);
    phys_st(c, pa + 4, 0, 4);
    phys_st(c, pa + 8, (uint64_t)c->tsc_offset, 8); /* the counter at system_time 0 */
    phys_st(c, pa + 16, 0, 8);
    phys_st(c, pa + 24, ((uint64_t)NS_PER_SEC << 32) / cpu_tsc_hz(), 4);
    phys_st(c, pa + 28, TSC_STABLE << 8, 4); /* tsc_shift 0, flags */
    phys_st(c, pa, version + 1, 4);
}

bool kvmclock_msr(const CpuState *c, uint32_t msr)
{
    return cpu_has(c, FEAT_KVMCLOCK) && cpu_has(c, FEAT_HYPERVISOR) &&
           (msr == WALL_OLD || msr == SYSTEM_OLD || msr == WALL_NEW || msr == SYSTEM_NEW);
}

uint64_t kvmclock_read(const CpuState *c, uint32_t msr)
{
    return msr == WALL_OLD || msr == WALL_NEW ? c->kvm_wall : c->kvm_system;
}

void kvmclock_write(CpuState *c, uint32_t msr, uint64_t val)
{
    if (msr == WALL_OLD || msr == WALL_NEW) {
        c->kvm_wall = val;
        put_wall(c, val & ~3ull);
    } else {
        c->kvm_system = val;
        kvmclock_update(c);
    }
}

void kvmclock_update(CpuState *c)
{
    if (c->kvm_system & SYSTEM_ENABLE) {
        put_system(c, c->kvm_system & ~3ull);
    }
}
