/*
 * The machine in the kernel: its memory slots, its dirty logs and its clocks.
 *
 * Slots follow the flat view that processors outside of SMM see. The first processor that finds the view changed sets
 * them, before it runs on; the others are parked meanwhile, as a slot that is replaced is gone for a moment. What is
 * not a whole page of host memory has no slot: accesses to it come here as MMIO, and the reference runs its code.
 *
 * Sources: api.rst 4.35 KVM_SET_USER_MEMORY_REGION, 4.8 KVM_GET_DIRTY_LOG, 4.37 KVM_SET_TSS_ADDR, 4.76
 * KVM_SET_IDENTITY_MAP_ADDR, 4.97 KVM_X86_SET_MSR_FILTER, 7.21 KVM_CAP_X86_USER_SPACE_MSR, 4.30 KVM_SET_CLOCK;
 * devices/vcpu.rst, "GROUP: KVM_VCPU_TSC_CTRL".
 */
#include "accel/kvm/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"

/* Four pages that KVM keeps for itself on some of Intel's processors. Nothing of ours is between the window of MSIs
 * (FEExxxxxh) and the largest flash (16 MiB below 4 GiB). */
#define IDENTITY_MAP 0xfeffc000ull
#define TSS_ADDR 0xfeffd000ull

typedef struct Slot {
    uint64_t base, size; /* 0: free */
    uint8_t *host;
    uint64_t ram;        /* offset in guest RAM; NOT_RAM: not of it */
    uint32_t flags;
    bool keep;
} Slot;
#define NOT_RAM UINT64_MAX

static struct {
    int dev, fd;
    unsigned slots_max;
    unsigned map_changes;  /* atomic */
    /* under lock. Order: the machine lock, this one, those of bus/ */
    pthread_mutex_t lock;
    unsigned slots_at;     /* map_changes that the slots are of; atomic */
    Slot *slots;
    unsigned slot_count;
    unsigned clock_at;     /* clock_stamp() of tsc_base; atomic */
    bool clock_known;
    bool bare_counter;     /* guests find the host's counter as it is; constant once processors are made */
    int64_t tsc_base;      /* the guest's counter at offset 0 is the host's plus this; atomic */
} vm = { .dev = -1, .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

int kvm_vm_fd(void)
{
    return vm.fd;
}

int kvm_dev_fd(void)
{
    return vm.dev;
}

bool kvm_has(int capability)
{
    return ioctl(vm.fd, KVM_CHECK_EXTENSION, capability) > 0;
}

/* ---- MSRs that are ours ---- */

/* Those that are no part of the processor's work, or that our local APIC and clocks have: the kernel leaves them to
 * cpu/msr.c, as on the other engines, and as it does with those that it does not know. IA32_ARCH_CAPABILITIES is the
 * kernel's: it knows what the guest's speculation does on this processor. */
static const struct {
    uint32_t first, last;
} ours[] = {
    { 0x10, 0x10 },   { 0x1b, 0x1b },   { 0x3a, 0x3b },   { 0x8b, 0x8b },   { 0xce, 0xce },   { 0xfe, 0xfe },
    { 0x179, 0x17a }, { 0x1a0, 0x1a0 }, { 0x1d9, 0x1d9 }, { 0x200, 0x20f }, { 0x250, 0x26f },
    { 0x2ff, 0x2ff }, { 0x400, 0x427 }, { 0x6e0, 0x6e0 }, { 0xda0, 0xda0 },
};
enum { FILTER_MSRS = 0xe00 };

static int leave_msrs(void)
{
    static uint8_t allow[FILTER_MSRS / 8];
    struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR,
                                  .args = { KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
                                            KVM_MSR_EXIT_REASON_FILTER } };
    struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };

    memset(allow, 0xff, sizeof(allow));
    for (size_t n = 0; n < ARRAY_SIZE(ours); n++) {
        for (uint32_t msr = ours[n].first; msr <= ours[n].last; msr++) {
            allow[msr / 8] &= (uint8_t)~BIT(msr % 8);
        }
    }
    filter.ranges[0] = (struct kvm_msr_filter_range){ .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                                                      .nmsrs = FILTER_MSRS, .base = 0, .bitmap = allow };
    return ioctl(vm.fd, KVM_ENABLE_CAP, &cap) < 0 || ioctl(vm.fd, KVM_X86_SET_MSR_FILTER, &filter) < 0 ? -errno : 0;
}

bool kvm_vm_open(Error **errp)
{
    struct kvm_enable_cap failures = { .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = { 1 } };
    uint64_t map = IDENTITY_MAP;
    int r;

    vm.dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm.dev < 0) {
        error_set_errno(errp, errno, "kvm: cannot open /dev/kvm");
        return false;
    }
    do {
        vm.fd = ioctl(vm.dev, KVM_CREATE_VM, 0);
    } while (vm.fd < 0 && errno == EINTR);
    if (vm.fd < 0) {
        error_set_errno(errp, errno, "kvm: cannot make a machine");
        return false;
    }
    if (ioctl(vm.fd, KVM_SET_TSS_ADDR, TSS_ADDR) < 0 || ioctl(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &map) < 0) {
        error_set_errno(errp, errno, "kvm: cannot set up a machine");
        return false;
    }
    r = leave_msrs();
    if (r < 0) {
        error_set_errno(errp, -r, "kvm: cannot have the MSRs that are not the kernel's");
        return false;
    }
    if (kvm_has(KVM_CAP_EXIT_ON_EMULATION_FAILURE)) { /* also where the guest's program would get #UD */
        ioctl(vm.fd, KVM_ENABLE_CAP, &failures);
    }
    r = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    vm.slots_max = r > 0 ? (unsigned)r : 32;
    vm.map_changes = 1;
    return true;
}

void kvm_vm_close(void)
{
    if (vm.fd >= 0) {
        close(vm.fd);
    }
    if (vm.dev >= 0) {
        close(vm.dev);
    }
    free(vm.slots);
    vm.slots = NULL;
    vm.slot_count = 0;
    vm.slots_at = 0;
    vm.clock_known = false;
    vm.dev = vm.fd = -1;
}

/* ---- memory slots ---- */

void kvm_map_changed(void)
{
    __atomic_add_fetch(&vm.map_changes, 1, __ATOMIC_SEQ_CST);
}

bool kvm_slots_stale(void)
{
    return __atomic_load_n(&vm.slots_at, __ATOMIC_ACQUIRE) != __atomic_load_n(&vm.map_changes, __ATOMIC_SEQ_CST);
}

/* slot_of - the whole pages of @r that lie alike in the host's memory; size 0: none. */
static Slot slot_of(const FlatRange *r)
{
    hwaddr first = (r->first + PAGE_SIZE - 1) & ~(hwaddr)(PAGE_SIZE - 1);
    hwaddr end = (r->last + 1) & ~(hwaddr)(PAGE_SIZE - 1);
    Slot s = { .base = first, .ram = NOT_RAM };

    if (r->host == NULL || end <= first || ((uintptr_t)(r->host + (first - r->first)) & (PAGE_SIZE - 1)) != 0) {
        return s;
    }
    s.size = end - first;
    s.host = r->host + (first - r->first);
    if (r->writable) {
        s.ram = flat_ram(r, first);
        s.flags = dirty_logged(s.ram, s.size) ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    } else {
        s.flags = KVM_MEM_READONLY;
    }
    return s;
}

static int slot_set(unsigned n, const Slot *s)
{
    struct kvm_userspace_memory_region region = {
        .slot = n, .flags = s->flags, .guest_phys_addr = s->base, .memory_size = s->size,
        .userspace_addr = (uintptr_t)s->host,
    };

    return ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static bool same_place(const Slot *a, const Slot *b)
{
    return a->base == b->base && a->size == b->size && a->host == b->host && a->ram == b->ram &&
           !((a->flags ^ b->flags) & KVM_MEM_READONLY);
}

static Slot *slot_find(const Slot *want)
{
    for (unsigned n = 0; n < vm.slot_count; n++) {
        if (vm.slots[n].size != 0 && same_place(&vm.slots[n], want)) {
            return &vm.slots[n];
        }
    }
    return NULL;
}

static void mark_all(const Slot *s)
{
    if (s->flags & KVM_MEM_LOG_DIRTY_PAGES) {
        dirty_mark(s->ram, s->size);
    }
}

/* slot_drop - what was stored to it since the last look is dirty. */
static int slot_drop(Slot *s)
{
    Slot none = { .base = s->base };
    int r = slot_set((unsigned)(s - vm.slots), &none);

    mark_all(s);
    s->size = 0;
    return r;
}

static int slot_add(const Slot *want)
{
    unsigned n = 0;

    while (n < vm.slot_count && vm.slots[n].size != 0) {
        n++;
    }
    if (n == vm.slots_max) {
        return 0; /* it goes without: slow, but right */
    }
    if (n == vm.slot_count) {
        vm.slots = xrealloc(vm.slots, ++vm.slot_count, sizeof(*vm.slots));
    }
    vm.slots[n] = *want;
    mark_all(want); /* nothing is known of before */
    return slot_set(n, want);
}

/* Whether the log is kept of a slot that is there. What was stored before is not known afterwards. */
static int slot_flags(Slot *s, uint32_t flags)
{
    int r = 0;

    if (s->flags != flags) {
        mark_all(s);
        s->flags = flags;
        r = slot_set((unsigned)(s - vm.slots), s);
        mark_all(s);
    }
    return r;
}

static int update_locked(const FlatView *view)
{
    int r = 0;

    for (unsigned n = 0; n < vm.slot_count; n++) {
        vm.slots[n].keep = false;
    }
    for (unsigned n = 0; n < view->count; n++) {
        Slot want = slot_of(&view->ranges[n]), *have = want.size != 0 ? slot_find(&want) : NULL;

        if (have != NULL) {
            have->keep = true;
        }
    }
    for (unsigned n = 0; n < vm.slot_count && r == 0; n++) {
        if (vm.slots[n].size != 0 && !vm.slots[n].keep) {
            r = slot_drop(&vm.slots[n]);
        }
    }
    for (unsigned n = 0; n < view->count && r == 0; n++) {
        Slot want = slot_of(&view->ranges[n]), *have = want.size != 0 ? slot_find(&want) : NULL;

        if (have != NULL) {
            r = slot_flags(have, want.flags);
        } else if (want.size != 0) {
            r = slot_add(&want);
        }
    }
    return r;
}

int kvm_slots_update(CpuState *c)
{
    FlatView *view;
    unsigned at;
    int r = 0;

    engine_ops->exclusive_begin(c);
    pthread_mutex_lock(&vm.lock);
    at = __atomic_load_n(&vm.map_changes, __ATOMIC_SEQ_CST);
    if (vm.slots_at != at) {
        view = flat_view(false);
        r = update_locked(view);
        flat_view_unref(view);
        __atomic_store_n(&vm.slots_at, at, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&vm.lock);
    engine_ops->exclusive_end(c);
    return r;
}

void kvm_slots_info(FILE *out)
{
    unsigned used = 0, logged = 0;

    pthread_mutex_lock(&vm.lock);
    for (unsigned n = 0; n < vm.slot_count; n++) {
        used += vm.slots[n].size != 0;
        logged += vm.slots[n].size != 0 && (vm.slots[n].flags & KVM_MEM_LOG_DIRTY_PAGES);
    }
    pthread_mutex_unlock(&vm.lock);
    fprintf(out, "memory slots: %u, of which %u with a dirty log\n", used, logged);
}

/* ---- the dirty log ---- */

static void collect_slot(unsigned n)
{
    const Slot *s = &vm.slots[n];
    uint64_t pages = s->size / PAGE_SIZE;
    autofree uint64_t *map = xnewn(uint64_t, (pages + 63) / 64);
    struct kvm_dirty_log log = { .slot = n, .dirty_bitmap = map };

    if (ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log) < 0) {
        dirty_mark(s->ram, s->size); /* not known: all of it */
        return;
    }
    for (uint64_t p = 0; p < pages; p++) {
        if (map[p / 64] >> (p % 64) & 1) {
            dirty_mark(s->ram + p * PAGE_SIZE, PAGE_SIZE);
        }
    }
}

void kvm_collect(uint64_t ram_offset, uint64_t len)
{
    pthread_mutex_lock(&vm.lock);
    for (unsigned n = 0; n < vm.slot_count; n++) {
        const Slot *s = &vm.slots[n];

        if (s->size != 0 && (s->flags & KVM_MEM_LOG_DIRTY_PAGES) && s->ram < ram_offset + len &&
            ram_offset < s->ram + s->size) {
            collect_slot(n);
        }
    }
    pthread_mutex_unlock(&vm.lock);
}

/* ---- time ---- */

static int64_t counter_of(int64_t ns)
{
    return (int64_t)((__int128)ns * (int64_t)cpu_tsc_hz() / NS_PER_SEC);
}

static int64_t host_counter(void)
{
    return (int64_t)accel_ticks();
}

int64_t kvm_tsc_now(CpuState *c)
{
    if (vm.bare_counter || !clock_running() || __atomic_load_n(&vm.clock_at, __ATOMIC_ACQUIRE) != clock_stamp()) {
        return counter_of(clock_now(CLK_VIRTUAL));
    }
    return host_counter() + __atomic_load_n(&vm.tsc_base, __ATOMIC_RELAXED);
}

/* CLK_VIRTUAL was stopped or set: from here on the counter goes on from where it is. */
static void clock_restart(unsigned stamp)
{
    int64_t now = clock_now(CLK_VIRTUAL);
    struct kvm_clock_data clock = { .clock = (uint64_t)now };

    __atomic_store_n(&vm.tsc_base, counter_of(now) - host_counter(), __ATOMIC_RELAXED);
    ioctl(vm.fd, KVM_SET_CLOCK, &clock);
    vm.clock_known = true;
    __atomic_store_n(&vm.clock_at, stamp, __ATOMIC_RELEASE);
}

static int offset_call(const KvmCpu *k, unsigned long call, uint64_t *offset)
{
    struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)offset };

    return ioctl(k->fd, call, &attr);
}

static void set_counter(const KvmCpu *k, uint64_t offset)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } msrs = { .head = { .nmsrs = 1 }, .entry = { .index = 0x10 } };

    if (offset_call(k, KVM_SET_DEVICE_ATTR, &offset) < 0) { /* before Linux 5.16: near enough */
        msrs.entry.data = (uint64_t)host_counter() + offset;
        ioctl(k->fd, KVM_SET_MSRS, &msrs);
    }
}

/* A KVM that emulates may take an offset, and not add it. */
void kvm_clock_init(const KvmCpu *k)
{
    uint64_t offset = 0x123456789, got = offset;

    set_counter(k, offset);
    if (offset_call(k, KVM_GET_DEVICE_ATTR, &got) == 0) {
        vm.bare_counter = got != offset;
    }
}

void kvm_clock_info(FILE *out)
{
    fprintf(out, "time-stamp counter: %" PRIu64 " kHz%s\n", cpu_tsc_hz() / 1000,
            vm.bare_counter ? ", the host's as it is" : "");
}

void kvm_clock_sync(CpuState *c)
{
    KvmCpu *k = c->kvm;
    unsigned stamp = clock_stamp();
    uint64_t offset;

    if (!vm.clock_known || __atomic_load_n(&vm.clock_at, __ATOMIC_ACQUIRE) != stamp) {
        pthread_mutex_lock(&vm.lock);
        if (!vm.clock_known || vm.clock_at != stamp) {
            clock_restart(stamp);
        }
        pthread_mutex_unlock(&vm.lock);
    }
    if (vm.bare_counter) {
        c->tsc_offset = host_counter() - counter_of(clock_now(CLK_VIRTUAL));
        return;
    }
    offset = (uint64_t)(__atomic_load_n(&vm.tsc_base, __ATOMIC_RELAXED) + c->tsc_offset);
    if (!k->tsc_known || k->tsc_offset != offset) {
        set_counter(k, offset);
        k->tsc_offset = offset;
        k->tsc_known = true;
    }
}
