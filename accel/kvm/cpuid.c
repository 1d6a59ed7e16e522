/*
 * CPUID: what KVM can give of a model, and what it is told to answer.
 *
 * Only features that the reference has too are offered (cpu/features.inc), so that any instruction of the guest can be
 * run there and a saved state goes to another engine. Sources: api.rst 4.46 KVM_GET_SUPPORTED_CPUID, 4.20
 * KVM_SET_CPUID2; Intel SDM vol. 2A, "CPUID".
 */
#include "accel/kvm/internal.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "cpu/cpuid.h"

enum { ENTRIES = 256 };

static struct kvm_cpuid2 *new_list(void)
{
    struct kvm_cpuid2 *l = xalloc0(1, sizeof(*l) + ENTRIES * sizeof(l->entries[0]));

    l->nent = ENTRIES;
    return l;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *l, uint32_t leaf, uint32_t sub)
{
    for (unsigned n = 0; n < l->nent; n++) {
        if (l->entries[n].function == leaf && l->entries[n].index == sub) {
            return &l->entries[n];
        }
    }
    return NULL;
}

/* Features that need nothing of the kernel: our local APIC has them, or the guest is told so. */
static bool ours(unsigned f)
{
    return f == FEAT_X2APIC || f == FEAT_TSC_DEADLINE || f == FEAT_HYPERVISOR || f == FEAT_ARAT || f == FEAT_TSC_ADJUST ||
           f == FEAT_APIC || f == FEAT_MTRR || f == FEAT_MCE || f == FEAT_MCA;
}

static bool given(const struct kvm_cpuid2 *l, unsigned f)
{
    CpuFeaturePlace at = cpu_feature_place(f);
    const struct kvm_cpuid_entry2 *e;
    uint32_t word[4];

    if (ours(f)) {
        return true;
    }
    if (f == FEAT_KVMCLOCK) {
        at.leaf = 0x40000001; /* ours is at another place: cpu/features.inc */
    }
    e = find(l, at.leaf, at.sub);
    if (e == NULL) {
        return false;
    }
    word[0] = e->eax;
    word[1] = e->ebx;
    word[2] = e->ecx;
    word[3] = e->edx;
    return word[at.reg] >> at.bit & 1;
}

/* host_name - vendor, numbers and brand of the processor that this runs on. */
static void host_name(CpuModel *m)
{
    uint32_t r[4], *text = (uint32_t *)(void *)m->model_id;

    __cpuid(0, r[0], r[1], r[2], r[3]);
    memcpy(m->vendor, &r[1], 4);
    memcpy(m->vendor + 4, &r[3], 4);
    memcpy(m->vendor + 8, &r[2], 4);
    __cpuid(1, r[0], r[1], r[2], r[3]);
    m->stepping = r[0] & 15;
    m->model = (r[0] >> 4 & 15) | (r[0] >> 12 & 0xf0);
    m->family = (r[0] >> 8 & 15) == 15 ? 15 + (r[0] >> 20 & 0xff) : r[0] >> 8 & 15;
    for (unsigned n = 0; n < 3; n++) {
        __cpuid(0x80000002 + n, text[4 * n], text[4 * n + 1], text[4 * n + 2], text[4 * n + 3]);
    }
    m->model_id[48] = 0;
}

static bool limit(CpuModel *m, const struct kvm_cpuid2 *l, Error **errp)
{
    const struct kvm_cpuid_entry2 *sizes = find(l, 0x80000008, 0);
    bool all = m->host || strcmp(m->name, "max") == 0; /* means: what there is */
    char missing[512] = "";

    for (unsigned f = 1; f < FEAT_COUNT; f++) {
        if (!(m->features[f / 64] >> (f % 64) & 1) || given(l, f)) {
            continue;
        }
        m->features[f / 64] &= ~BIT64(f % 64);
        if (!all && strlen(missing) + 24 < sizeof(missing)) {
            strcat(missing, *missing ? " " : "");
            strcat(missing, cpu_feature_name(f));
        }
    }
    if (sizes != NULL && (sizes->eax & 0xff) >= 32) {
        m->phys_bits = MIN(m->phys_bits, sizes->eax & 0xff);
    }
    if (*missing != 0 && m->enforce) {
        error_set(errp, "cpu flags that KVM does not have on this host: %s", missing);
        return false;
    }
    if (*missing != 0) {
        report("warning: cpu flags that KVM does not have on this host are left out: %s", missing);
    }
    return true;
}

bool kvm_limit_model(CpuModel *m, Error **errp)
{
    struct kvm_cpuid2 *l = new_list();
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), r = fd < 0 ? -1 : ioctl(fd, KVM_GET_SUPPORTED_CPUID, l);
    bool ok = false;

    if (r < 0) {
        error_set_errno(errp, errno, "kvm: cannot ask /dev/kvm for its CPUID");
    } else {
        if (m->host || strcmp(m->name, "max") == 0) {
            host_name(m); /* its side channels, and what SYSENTER does, go by the vendor */
        }
        ok = limit(m, l, errp);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(l);
    return ok;
}

/* ---- what the guest finds ---- */

/* How many sub-leaves of @leaf to list; 0: it has none. */
static unsigned sub_leaves(uint32_t leaf)
{
    switch (leaf) {
    case 4: return 5;
    case 7: return 1;
    case 11: return 3;
    case 13: return 3;
    default: return 0;
    }
}

static void add(CpuState *c, struct kvm_cpuid2 *l, uint32_t leaf)
{
    unsigned subs = sub_leaves(leaf);

    for (unsigned sub = 0; sub < MAX(subs, 1u) && l->nent < ENTRIES; sub++) {
        CpuidRegs r = cpuid_leaf(c, leaf, sub);

        l->entries[l->nent++] = (struct kvm_cpuid_entry2){
            .function = leaf, .index = sub, .flags = subs != 0 ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = r.eax, .ebx = r.ebx, .ecx = r.ecx, .edx = r.edx,
        };
    }
}

static void add_range(CpuState *c, struct kvm_cpuid2 *l, uint32_t first, uint32_t last)
{
    for (uint32_t leaf = first; leaf <= last && l->nent < ENTRIES; leaf++) {
        add(c, l, leaf);
    }
}

int kvm_cpuid_set(CpuState *c)
{
    struct kvm_cpuid2 *l = new_list();
    int r;

    l->nent = 0;
    add_range(c, l, 0, MIN(c->model->level, 0x20u));
    add_range(c, l, 0x80000000, MIN(c->model->xlevel, 0x80000020u));
    if (cpu_has(c, FEAT_HYPERVISOR)) {
        add_range(c, l, 0x40000000, 0x40000010);
        add_range(c, l, 0x40000100, 0x40000101);
    }
    r = ioctl(c->kvm->fd, KVM_SET_CPUID2, l) < 0 ? -errno : 0;
    free(l);
    return r;
}
