/*
 * The processor's state: creation, reset, modes, control registers.
 * Source: Intel SDM vol. 3A, chapter 2 "System Architecture Overview" and section "Processor State
 * After Reset".
 */
#include "cpu/cpu.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/huge.h"
#include "base/log.h"
#include "base/mem.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/flags.h"
#include "cpu/insn.h"
#include "cpu/segment.h"
#include "cpu/tape.h"
#include "cpu/tlb.h"

bool cpu_many;
const EngineOps *engine_ops;
unsigned engine_watch_count;
EngineWatch engine_watches[ENGINE_WATCHES];
static bool random_fixed;        /* set before the first processor runs */
static uint64_t random_state;

_Noreturn void cpu_raise(CpuState *c, int vector)
{
    c->exc_vector = vector;
    c->exc_has_error = false;
    c->exc_error = 0;
    _longjmp(c->fault_env, 1);
}

_Noreturn void cpu_raise_err(CpuState *c, int vector, uint32_t error)
{
    c->exc_vector = vector;
    c->exc_has_error = true;
    c->exc_error = error;
    _longjmp(c->fault_env, 1);
}

void cpu_request(CpuState *c, uint32_t bits)
{
    __atomic_or_fetch(&c->requests, bits, __ATOMIC_SEQ_CST);
    if (engine_ops != NULL) {
        engine_ops->kick(c);
    }
}

void cpu_unrequest(CpuState *c, uint32_t bits)
{
    __atomic_and_fetch(&c->requests, ~bits, __ATOMIC_SEQ_CST);
}

void cpu_request_init(CpuState *c)
{
    cpu_unrequest(c, REQ_SIPI);
    cpu_request(c, REQ_INIT);
}

/* SDM vol. 3, "8086 Emulation": A20M# masks bit 20 of every physical address that leaves the
 * processor; the TLB and decoded code are by address before the mask. */
void cpu_set_a20(CpuState *c, bool on)
{
    __atomic_store_n(&c->a20_masked, !on, __ATOMIC_SEQ_CST);
    cpu_request(c, REQ_A20);
}

void cpu_take_a20(CpuState *c)
{
    uint64_t mask;

    cpu_unrequest(c, REQ_A20);
    mask = __atomic_load_n(&c->a20_masked, __ATOMIC_SEQ_CST) ? ~BIT64(20) : ~0ull;
    if (mask != c->a20_mask) {
        c->a20_mask = mask;
        tlb_flush(c, true);
    }
}

CpuState *cpu_new(unsigned index, const CpuModel *model)
{
    CpuState *c = huge_alloc_low(sizeof(CpuState)); /* TLB and jump cache are used all over, all the time */

    decode_init();
    c->index = index;
    c->apic_id = index;
    c->model = model;
    c->features[0] = model->features[0];
    c->features[1] = model->features[1];
    c->phys_bits = (uint8_t)model->phys_bits;
    c->delivering = -1;
    c->a20_mask = ~0ull;
    memset(c->tlb_used, true, sizeof(c->tlb_used)); /* not cleared yet */
    tlb_forget_stack(c);
    cpu_reset(c, false);
    return c;
}

void cpu_free(CpuState *c)
{
    if (c != NULL) {
        flat_view_unref(c->view);
        flat_view_unref(c->view_smm);
        tlb_spaces_free(c);
        huge_free(c, sizeof(*c));
    }
}

static void reset_segments(CpuState *c)
{
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        Segment *s = &c->segs[n];

        s->selector = n == SEG_CS ? 0xf000 : 0;
        s->base = n == SEG_CS ? 0xffff0000u : 0;
        s->limit = 0xffff;
        s->attr = ATTR_P | ATTR_S | ATTR_WRITE | ATTR_ACCESSED | (n == SEG_CS ? ATTR_CODE : 0);
        seg_update(s);
    }
    seg_set_null(&c->ldtr, 0);
    c->ldtr.limit = 0xffff;
    c->ldtr.attr = ATTR_P | SYS_LDT;
    seg_set_null(&c->tr, 0);
    c->tr.limit = 0xffff;
    c->tr.attr = ATTR_P | SYS_TSS32_BUSY;
    c->gdtr = c->idtr = (DescTable){ 0, 0xffff };
}

static void reset_fpu(CpuState *c)
{
    memset(c->fpr, 0, sizeof(c->fpr));
    memset(c->xmm, 0, sizeof(c->xmm));
    c->fcw = 0x40;
    c->fsw = 0;
    c->fptag = 0xff; /* 5555h: zero, not empty */
    c->fop = 0;
    c->fip = c->fdp = 0;
    c->fcs = c->fds = 0;
    c->mxcsr = 0x1f80;
    c->xcr0 = XCR0_X87;
}

static void reset_msrs(CpuState *c)
{
    c->msr_star = c->msr_lstar = c->msr_cstar = c->msr_fmask = 0;
    c->msr_kernel_gs_base = c->msr_tsc_aux = 0;
    c->msr_sysenter_cs = c->msr_sysenter_esp = c->msr_sysenter_eip = 0;
    c->msr_pat = 0x0007040600070406ull;
    c->msr_misc_enable = 1; /* fast strings */
    c->msr_smbase = 0x30000;
    c->msr_feature_control = 1;
    c->msr_mtrr_def = 0;
    memset(c->msr_mtrr_fix, 0, sizeof(c->msr_mtrr_fix));
    memset(c->msr_mtrr_phys, 0, sizeof(c->msr_mtrr_phys));
    memset(c->msr_mc, 0, sizeof(c->msr_mc));
    c->msr_mcg_status = c->msr_spec_ctrl = c->msr_xss = c->msr_debugctl = 0;
    c->tsc_adjust = 0;
    c->kvm_wall = c->kvm_system = 0;
}

void cpu_reset(CpuState *c, bool init)
{
    if (log_on(LOG_CPU_RESET)) {
        log_lock();
        cpu_dump(c, log_file());
        log_unlock();
    }
    memset(c->regs, 0, sizeof(c->regs));
    c->regs[GPR_RIP] = 0xfff0;
    c->regs[GPR_RDX] = c->model->family << 8 | (c->model->model & 15) << 4 | c->model->stepping;
    rflags_put(c, 2);
    reset_segments(c);
    /* INIT leaves CD and NW, the floating-point state and the MSRs alone. */
    c->cr0 = CR0_ET | (init ? c->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW);
    c->cr2 = c->cr3 = c->cr4 = c->efer = 0;
    memset(c->dr, 0, sizeof(c->dr));
    c->dr[6] = 0xffff0ff0;
    c->dr[7] = 0x400;
    if (!init) {
        reset_fpu(c);
        reset_msrs(c);
    }
    c->cpl = 0;
    c->inhibit_irq = c->inhibit_db = c->mid_repeat = c->nmi_blocked = c->in_smm = false;
    c->pending_db = 0;
    c->delivering = -1;
    c->ext_event = false;
    c->insn = NULL;
    c->activity = c->index == 0 ? CPU_RUNNING : CPU_WAIT_SIPI;
    cpu_update_mode(c);
    if (engine_ops != NULL && c->engine != NULL) {
        tlb_flush(c, true);
    }
}

void cpu_update_mode(CpuState *c)
{
    bool pe = (c->cr0 & CR0_PE) != 0, vm = (c->rflags & FLAG_VM) != 0;

    if (!pe) {
        c->cpl = 0;
    } else if (vm) {
        c->cpl = 3;
    }
    c->code64 = (c->efer & EFER_LMA) && (c->segs[SEG_CS].attr & ATTR_L);
    c->mode_bits = c->code64 ? 64 : c->segs[SEG_CS].attr & ATTR_DB && !vm ? 32 : 16;
    c->stack64 = c->code64;
    c->stack32 = !c->code64 && (c->segs[SEG_SS].attr & ATTR_DB) && !vm;
    if (c->cpl == 3) {
        c->mmu = (c->cr0 & CR0_AM) && (c->rflags & FLAG_AC) ? MMU_USER_AC : MMU_USER;
    } else {
        c->mmu = (c->cr4 & CR4_SMAP) && !(c->rflags & FLAG_AC) ? MMU_SUPER_SMAP : MMU_SUPER;
    }
    c->mode_key = (c->mode_bits == 64 ? 2u : c->mode_bits == 32 ? 1u : 0u) | (pe && !vm ? 4u : 0u) |
                  (c->cpl == 3 ? 8u : 0u) | (c->in_smm ? 16u : 0u);
    cpu_update_careful(c);
}

/* ---- control registers: SDM vol. 2, MOV to CRn; vol. 3A, "Control Registers" ---- */

static bool load_pdptes(CpuState *c, uint64_t cr3)
{
    uint64_t rsvd = 0x1e6ull | (~((1ull << c->phys_bits) - 1)), e[4];

    for (unsigned n = 0; n < 4; n++) {
        e[n] = phys_ld(c, ((cr3 & 0xffffffe0u) + n * 8) & c->a20_mask, 8);
        if ((e[n] & 1) && (e[n] & rsvd)) {
            return false;
        }
    }
    memcpy(c->pdpte, e, sizeof(e));
    return true;
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

void cpu_set_cr0(CpuState *c, uint64_t val)
{
    uint64_t old = c->cr0, efer = c->efer;

    if (val >> 32 || ((val & CR0_PG) && !(val & CR0_PE)) || ((val & CR0_NW) && !(val & CR0_CD))) {
        cpu_gp0(c);
    }
    val = (val & 0xe005003f) | CR0_ET;
    if ((val ^ old) & CR0_PG) {
        if (val & CR0_PG) {
            if (efer & EFER_LME) {
                if (!(c->cr4 & CR4_PAE) || (c->segs[SEG_CS].attr & ATTR_L)) {
                    cpu_gp0(c);
                }
                efer |= EFER_LMA;
            }
        } else {
            if (c->code64 || (c->cr4 & CR4_PCIDE)) {
                cpu_gp0(c);
            }
            efer &= ~EFER_LMA;
        }
    }
    if (pae_paging(val, c->cr4, efer) && ((val ^ old) & (CR0_PG | CR0_CD | CR0_NW)) &&
        !load_pdptes(c, c->cr3)) {
        cpu_gp0(c);
    }
    c->cr0 = val;
    c->efer = efer;
    cpu_update_mode(c);
    if ((val ^ old) & (CR0_PG | CR0_PE | CR0_WP)) {
        tlb_flush(c, true);
    }
}

void cpu_set_cr3(CpuState *c, uint64_t val)
{
    bool keep = (c->cr4 & CR4_PCIDE) && (val >> 63);

    if (c->cr4 & CR4_PCIDE) {
        val &= ~(1ull << 63);
    }
    if ((c->efer & EFER_LMA) && (val >> c->phys_bits)) {
        cpu_gp0(c);
    }
    if (pae_paging(c->cr0, c->cr4, c->efer) && !load_pdptes(c, val)) {
        cpu_gp0(c);
    }
    if (keep && c->cr3 == val) {
        return;
    }
    if (c->cr4 & CR4_PCIDE) {
        tlb_switch(c, val, keep);
        c->cr3 = val;
    } else {
        c->cr3 = val;
        tlb_flush(c, false);
    }
}

static uint64_t cr4_valid(const CpuState *c)
{
    static const struct {
        uint8_t feature;
        uint64_t bits;
    } table[] = {
        { FEAT_VME, CR4_VME | CR4_PVI }, { FEAT_TSC, CR4_TSD },   { FEAT_DE, CR4_DE },
        { FEAT_PSE, CR4_PSE },           { FEAT_PAE, CR4_PAE },   { FEAT_MCE, CR4_MCE },
        { FEAT_PGE, CR4_PGE },           { FEAT_FXSR, CR4_OSFXSR }, { FEAT_SSE, CR4_OSXMMEXCPT },
        { FEAT_UMIP, CR4_UMIP },         { FEAT_FSGSBASE, CR4_FSGSBASE },
        { FEAT_PCID, CR4_PCIDE },        { FEAT_XSAVE, CR4_OSXSAVE }, { FEAT_SMEP, CR4_SMEP },
        { FEAT_SMAP, CR4_SMAP },
    };
    uint64_t valid = CR4_PCE;

    for (unsigned n = 0; n < ARRAY_SIZE(table); n++) {
        valid |= cpu_has(c, table[n].feature) ? table[n].bits : 0;
    }
    return valid;
}

void cpu_set_cr4(CpuState *c, uint64_t val)
{
    uint64_t old = c->cr4, diff = val ^ old;

    if (val & ~cr4_valid(c)) {
        cpu_gp0(c);
    }
    if ((c->efer & EFER_LMA) && !(val & CR4_PAE)) {
        cpu_gp0(c);
    }
    if ((diff & val & CR4_PCIDE) && (!(c->efer & EFER_LMA) || (c->cr3 & 0xfff))) {
        cpu_gp0(c);
    }
    if (pae_paging(c->cr0, val, c->efer) && (diff & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
        !load_pdptes(c, c->cr3)) {
        cpu_gp0(c);
    }
    c->cr4 = val;
    cpu_update_mode(c);
    if (diff & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PCIDE)) {
        tlb_flush(c, true);
    }
}

bool cpu_set_efer(CpuState *c, uint64_t val)
{
    uint64_t valid = (cpu_has(c, FEAT_SYSCALL) ? EFER_SCE : 0) |
                     (cpu_has(c, FEAT_LM) ? EFER_LME | EFER_LMA : 0) |
                     (cpu_has(c, FEAT_NX) ? EFER_NXE : 0);

    if ((val & ~valid) || ((c->cr0 & CR0_PG) && ((val ^ c->efer) & EFER_LME))) {
        return false;
    }
    c->efer = (val & ~EFER_LMA) | (c->efer & EFER_LMA);
    tlb_flush(c, true);
    cpu_update_mode(c);
    return true;
}

void cpu_set_dr(CpuState *c, unsigned n, uint64_t val)
{
    if (n == 6) {
        val = (val & 0xe00f) | 0xffff0ff0;
    } else if (n == 7) {
        val = (val & 0xffff2fff) | 0x400;
    }
    c->dr[n] = val;
    cpu_update_careful(c);
    tlb_flush(c, true); /* watched pages stay out of the TLB */
}

void cpu_update_careful(CpuState *c)
{
    bool data = false;

    for (unsigned n = 0; n < 4; n++) {
        data |= (c->dr[7] >> (2 * n) & 3) && (c->dr[7] >> (16 + 4 * n) & 3) != 0;
    }
    c->watching = data || engine_watch_count != 0;
    c->careful = (c->rflags & FLAG_TF) || (c->dr[7] & 0xff) || c->debug_step || c->inhibit_irq ||
                 c->watching || c->pending_db ||
                 (c->rflags & FLAG_RF); /* RF lasts for one instruction */
}

#define TSC_HZ 2000000000ull
static uint64_t tsc_hz = TSC_HZ; /* set before the first processor runs */

void cpu_tsc_set_hz(uint64_t hz)
{
    tsc_hz = hz;
}

uint64_t cpu_tsc_hz(void)
{
    return tsc_hz;
}

uint64_t cpu_tsc(CpuState *c)
{
    int64_t raw = c->hooks.tsc_now != NULL ? c->hooks.tsc_now(c) : clock_now(CLK_VIRTUAL) * (int64_t)(TSC_HZ / NS_PER_SEC);

    return (uint64_t)(raw + c->tsc_offset);
}

uint64_t cpu_read_tsc(CpuState *c)
{
    uint64_t v;

    return tape_read(c, TAPE_TSC, 0, &v) ? v : tape_was(c, TAPE_TSC, 0, cpu_tsc(c));
}

void cpu_random_seed(uint64_t seed)
{
    random_fixed = true;
    random_state = seed;
}

uint64_t cpu_random_state(void)
{
    return random_state;
}

void cpu_random_set_state(uint64_t state)
{
    random_state = state;
}

static uint64_t random_new(void)
{
    uint64_t v = 0;

    if (!random_fixed && getrandom(&v, sizeof(v), 0) == sizeof(v)) {
        return v;
    }
    /* splitmix64 (public domain, Vigna): reproducible runs */
    v = __atomic_add_fetch(&random_state, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
    v = (v ^ v >> 27) * 0x94d049bb133111ebull;
    return v ^ v >> 31;
}

uint64_t cpu_random(CpuState *c)
{
    uint64_t v;

    return tape_read(c, TAPE_RANDOM, 0, &v) ? v : tape_was(c, TAPE_RANDOM, 0, random_new());
}
