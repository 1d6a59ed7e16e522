/*
 * Model-specific registers. Source: Intel SDM vol. 4; AMD APM vol. 2, appendix A.
 * An unknown one reads 0 and ignores writes, and is reported by -d guest_errors.
 */
#include "cpu/cpuid.h"

#include "base/log.h"
#include "base/mem.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"
#include "cpu/tape.h"

/* IA32_ARCH_CAPABILITIES of the models that have it: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY,
 * SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO,
 * GDS_NO, RFDS_NO, ITS_NO: nothing of a host's caches is shared with translated speculation here. */
#define ARCH_CAPS                                                                                  \
    (BIT64(0) | BIT64(1) | BIT64(3) | BIT64(4) | BIT64(5) | BIT64(6) | BIT64(8) | BIT64(13) |      \
     BIT64(14) | BIT64(15) | BIT64(20) | BIT64(24) | BIT64(26) | BIT64(27) | BIT64(62))

enum { RO = 1, CANON = 2 }; /* read-only; must be canonical */

/* Registers that are a field of CpuState and no more. */
typedef struct MsrField {
    uint32_t msr;
    uint16_t offset; /* in CpuState */
    uint8_t flags;
    uint64_t valid;  /* bits that may be set, others #GP */
} MsrField;
#define F(n, field, fl, valid) { n, offsetof(CpuState, field), fl, valid }

static const MsrField fields[] = {
    F(0x3a, msr_feature_control, RO, ~0ull),
    F(0x48, msr_spec_ctrl, 0, 0x7),
    F(0x8b, msr_bios_sign, 0, ~0ull),
    F(0xce, msr_platform_info, RO, ~0ull),
    F(0x174, msr_sysenter_cs, 0, ~0ull),
    F(0x175, msr_sysenter_esp, CANON, ~0ull),
    F(0x176, msr_sysenter_eip, CANON, ~0ull),
    F(0x17a, msr_mcg_status, 0, ~0ull),
    F(0x1a0, msr_misc_enable, 0, ~0ull),
    F(0x1d9, msr_debugctl, 0, ~0ull),
    F(0x2ff, msr_mtrr_def, 0, 0xcff),
    F(0xda0, msr_xss, 0, 0),
    F(0xc0000081, msr_star, 0, ~0ull),
    F(0xc0000082, msr_lstar, CANON, ~0ull),
    F(0xc0000083, msr_cstar, CANON, ~0ull),
    F(0xc0000084, msr_fmask, 0, 0xffffffff),
    F(0xc0000102, msr_kernel_gs_base, CANON, ~0ull),
    F(0xc0000103, msr_tsc_aux, 0, 0xffffffff),
};
#undef F

static const uint32_t mtrr_fix[11] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                       0x26b, 0x26c, 0x26d, 0x26e, 0x26f };

static uint64_t *array_msr(CpuState *c, uint32_t msr)
{
    if (msr >= 0x200 && msr < 0x210) {
        return &c->msr_mtrr_phys[msr - 0x200];
    }
    if (msr >= 0x400 && msr < 0x400 + ARRAY_SIZE(c->msr_mc)) {
        return &c->msr_mc[msr - 0x400];
    }
    for (unsigned n = 0; n < 11; n++) {
        if (mtrr_fix[n] == msr) {
            return &c->msr_mtrr_fix[n];
        }
    }
    return NULL;
}

static const MsrField *find_field(uint32_t msr)
{
    for (unsigned n = 0; n < ARRAY_SIZE(fields); n++) {
        if (fields[n].msr == msr) {
            return &fields[n];
        }
    }
    return NULL;
}

static bool apic_msr(uint32_t msr)
{
    return msr == 0x1b || msr == 0x6e0 || (msr >= 0x800 && msr < 0x900);
}

static bool apic_read(CpuState *c, uint32_t msr, uint64_t *val)
{
    uint64_t ok;

    if (tape_read(c, TAPE_MSR_READ, msr, val)) {
        return tape_read(c, TAPE_MSR_OK, msr, &ok) && ok;
    }
    *val = 0;
    ok = c->hooks.apic_rdmsr(c, msr, val);
    tape_was(c, TAPE_MSR_READ, msr, *val);
    return tape_was(c, TAPE_MSR_OK, msr, ok);
}

static bool apic_write(CpuState *c, uint32_t msr, uint64_t val)
{
    uint64_t ok;

    if (tape_write(c, TAPE_MSR_WRITE, msr, val)) {
        return tape_read(c, TAPE_MSR_OK, msr, &ok) && ok;
    }
    return tape_was(c, TAPE_MSR_OK, msr, c->hooks.apic_wrmsr(c, msr, val));
}

bool cpu_rdmsr(CpuState *c, uint32_t msr, uint64_t *val)
{
    const MsrField *f = find_field(msr);
    uint64_t *a;

    if (f != NULL) {
        memcpy(val, (char *)c + f->offset, 8);
        return true;
    }
    if (apic_msr(msr) && c->hooks.apic_rdmsr != NULL) {
        return apic_read(c, msr, val);
    }
    a = array_msr(c, msr);
    if (a != NULL) {
        *val = *a;
        return true;
    }
    if (kvmclock_msr(c, msr)) {
        *val = kvmclock_read(c, msr);
        return true;
    }
    switch (msr) {
    case 0x10: *val = cpu_read_tsc(c); return true;
    case 0x3b: *val = c->tsc_adjust; return true;
    case 0x10a: *val = ARCH_CAPS; return cpu_has(c, FEAT_ARCH_CAPABILITIES);
    case 0xfe: *val = 0x508; return true; /* MTRRcap: 8 variable, fixed, WC */
    case 0x179: *val = 10; return true;  /* MCG_CAP: ten banks */
    case 0x277: *val = c->msr_pat; return true;
    case 0xc0000080: *val = c->efer; return true;
    case 0xc0000100: *val = c->segs[SEG_FS].base; return true;
    case 0xc0000101: *val = c->segs[SEG_GS].base; return true;
    default:
        log_guest("cpu %u: read of unknown msr %08x\n", c->index, msr);
        *val = 0;
        return true;
    }
}

static bool pat_valid(uint64_t v)
{
    for (unsigned n = 0; n < 8; n++, v >>= 8) {
        unsigned t = v & 0xff;

        if (t == 2 || t == 3 || t > 7) {
            return false;
        }
    }
    return true;
}

/* SDM vol. 3A, "Memory Type Range Registers": types 2, 3 and above 6 are reserved. */
static bool mtrr_type_valid(uint64_t t)
{
    return t == 0 || t == 1 || (t >= 4 && t <= 6);
}

static bool mtrr_valid(const CpuState *c, uint32_t msr, uint64_t v)
{
    uint64_t above = ~((1ull << c->phys_bits) - 1);

    if (msr >= 0x200 && msr < 0x210) {
        return msr & 1 ? !(v & (above | 0x7ff))
                       : !(v & (above | 0xf00)) && mtrr_type_valid(v & 0xff);
    }
    for (unsigned n = 0; msr != 0x2ff && n < 8; n++) {
        if (!mtrr_type_valid(v >> 8 * n & 0xff)) {
            return false;
        }
    }
    return msr != 0x2ff || mtrr_type_valid(v & 0xff);
}

static bool is_mtrr(uint32_t msr)
{
    return (msr >= 0x200 && msr < 0x210) || (msr >= 0x250 && msr < 0x270) || msr == 0x2ff;
}

static bool set_base(CpuState *c, unsigned seg, uint64_t val)
{
    if (!canonical(val)) {
        return false;
    }
    c->segs[seg].base = val;
    return true;
}

bool cpu_wrmsr(CpuState *c, uint32_t msr, uint64_t val)
{
    const MsrField *f = find_field(msr);
    uint64_t *a, now;

    if (is_mtrr(msr) && !mtrr_valid(c, msr, val)) {
        return false;
    }
    if (f != NULL) {
        if ((f->flags & RO) || (val & ~f->valid) || ((f->flags & CANON) && !canonical(val))) {
            return false;
        }
        memcpy((char *)c + f->offset, &val, 8);
        return true;
    }
    if (apic_msr(msr) && c->hooks.apic_wrmsr != NULL) {
        return apic_write(c, msr, val);
    }
    a = array_msr(c, msr);
    if (a != NULL) {
        *a = val;
        return true;
    }
    if (kvmclock_msr(c, msr)) {
        kvmclock_write(c, msr, val);
        return true;
    }
    switch (msr) {
    case 0x10:
        now = cpu_read_tsc(c);
        c->tsc_offset += (int64_t)(val - now);
        c->tsc_adjust += val - now;
        kvmclock_update(c);
        return true;
    case 0x3b:
        c->tsc_offset += (int64_t)(val - c->tsc_adjust);
        c->tsc_adjust = val;
        kvmclock_update(c);
        return true;
    case 0x49: case 0x10b: /* PRED_CMD, FLUSH_CMD: nothing is shared */
        return true;
    case 0x10a: case 0xfe: case 0x179:
        return false;
    case 0x277:
        if (!pat_valid(val)) {
            return false;
        }
        c->msr_pat = val;
        return true;
    case 0xc0000080: return cpu_set_efer(c, val);
    case 0xc0000100: return set_base(c, SEG_FS, val);
    case 0xc0000101: return set_base(c, SEG_GS, val);
    default:
        log_guest("cpu %u: write of unknown msr %08x: %016lx\n", c->index, msr, (unsigned long)val);
        return true;
    }
}
