/*
 * Registers between CpuState and the kernel.
 *
 * After a pull, `now` is what CpuState says, put into the kernel's words; a push puts CpuState into these words again and
 * tells the kernel only what differs. So whoever changes a parked processor (a debugger, a reset, a saved state) need
 * not say so.
 *
 * Sources: api.rst 4.2 KVM_GET_REGS and the sections named in internal.h; Intel SDM vol. 1, section 13.4 "XSAVE Area".
 */
#include "accel/kvm/internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include "base/mem.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "cpu/x87.h"

/* ---- general registers ---- */

static uint64_t *reg_at(struct kvm_regs *r, unsigned n)
{
    uint64_t *const at[16] = { (uint64_t *)&r->rax, (uint64_t *)&r->rcx, (uint64_t *)&r->rdx, (uint64_t *)&r->rbx,
                               (uint64_t *)&r->rsp, (uint64_t *)&r->rbp, (uint64_t *)&r->rsi, (uint64_t *)&r->rdi,
                               (uint64_t *)&r->r8,  (uint64_t *)&r->r9,  (uint64_t *)&r->r10, (uint64_t *)&r->r11,
                               (uint64_t *)&r->r12, (uint64_t *)&r->r13, (uint64_t *)&r->r14, (uint64_t *)&r->r15 };

    return at[n];
}

static void put_regs(const CpuState *c, struct kvm_regs *r)
{
    for (unsigned n = 0; n < 16; n++) {
        *reg_at(r, n) = c->regs[n];
    }
    r->rip = c->regs[GPR_RIP];
    r->rflags = rflags_get(c);
}

static void get_regs(CpuState *c, struct kvm_regs *r)
{
    for (unsigned n = 0; n < 16; n++) {
        c->regs[n] = *reg_at(r, n);
    }
    c->regs[GPR_RIP] = r->rip;
    rflags_put(c, r->rflags);
}

/* ---- segments and control registers ---- */

static struct kvm_segment put_segment(const Segment *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->attr & ATTR_TYPE,
        .s = (s->attr & ATTR_S) != 0,
        .dpl = (s->attr & ATTR_DPL) >> ATTR_DPL_SHIFT,
        .present = (s->attr & ATTR_P) != 0,
        .avl = (s->attr & ATTR_AVL) != 0,
        .l = (s->attr & ATTR_L) != 0,
        .db = (s->attr & ATTR_DB) != 0,
        .g = (s->attr & ATTR_G) != 0,
        .unusable = !(s->attr & ATTR_P),
    };
}

static void get_segment(Segment *s, const struct kvm_segment *k)
{
    s->selector = k->selector;
    s->base = k->base;
    s->limit = k->limit;
    s->attr = k->unusable ? 0 : (uint16_t)(k->type | k->s << 4 | k->dpl << ATTR_DPL_SHIFT | k->present << 7 |
                                           k->avl << 12 | k->l << 13 | k->db << 14 | k->g << 15);
    seg_update(s);
}

static const struct {
    uint8_t seg;
    uint16_t at;
} segments[SEG_COUNT] = {
    { SEG_ES, offsetof(struct kvm_sregs, es) }, { SEG_CS, offsetof(struct kvm_sregs, cs) },
    { SEG_SS, offsetof(struct kvm_sregs, ss) }, { SEG_DS, offsetof(struct kvm_sregs, ds) },
    { SEG_FS, offsetof(struct kvm_sregs, fs) }, { SEG_GS, offsetof(struct kvm_sregs, gs) },
};

static struct kvm_segment *segment_at(struct kvm_sregs *s, unsigned n)
{
    return (struct kvm_segment *)((uint8_t *)s + segments[n].at);
}

static void put_sregs(CpuState *c, struct kvm_sregs *s)
{
    uint64_t base = 0;

    memset(s, 0, sizeof(*s));
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        *segment_at(s, n) = put_segment(&c->segs[segments[n].seg]);
    }
    s->ldt = put_segment(&c->ldtr);
    s->tr = put_segment(&c->tr);
    if ((c->cr0 & CR0_PE) && !(c->rflags & FLAG_VM)) {
        s->ss.dpl = c->cpl; /* also of a null one */
    }
    s->gdt = (struct kvm_dtable){ .base = c->gdtr.base, .limit = c->gdtr.limit };
    s->idt = (struct kvm_dtable){ .base = c->idtr.base, .limit = c->idtr.limit };
    s->cr0 = c->cr0;
    s->cr2 = c->cr2;
    s->cr3 = c->cr3;
    s->cr4 = c->cr4;
    s->efer = c->efer;
    s->cr8 = c->hooks.get_cr8 != NULL ? c->hooks.get_cr8(c) : 0;
    if (c->hooks.apic_rdmsr != NULL) {
        c->hooks.apic_rdmsr(c, 0x1b, &base);
    }
    if (!(c->efer & EFER_LMA)) {
        s->cs.l = 0; /* means nothing there, and is refused */
    }
    s->apic_base = base & ~0x400ull; /* x2APIC mode is known here alone */
}

/* The page-directory pointers, which a processor keeps: SDM vol. 3A, "PDPTE Registers". */
static void get_pdptes(CpuState *c)
{
    if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA)) {
        for (unsigned n = 0; n < 4; n++) {
            c->pdpte[n] = phys_ld(c, (c->cr3 & 0xffffffe0u) + n * 8, 8);
        }
    }
}

static void get_sregs(CpuState *c, struct kvm_sregs *s)
{
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        get_segment(&c->segs[segments[n].seg], segment_at(s, n));
    }
    get_segment(&c->ldtr, &s->ldt);
    get_segment(&c->tr, &s->tr);
    c->gdtr = (DescTable){ .base = s->gdt.base, .limit = s->gdt.limit };
    c->idtr = (DescTable){ .base = s->idt.base, .limit = s->idt.limit };
    c->cr0 = s->cr0;
    c->cr2 = s->cr2;
    c->cr3 = s->cr3;
    c->cr4 = s->cr4;
    c->efer = s->efer;
    c->cpl = s->ss.dpl;
    get_pdptes(c);
}

/* ---- what is between instructions ---- */

static void put_events(const CpuState *c, struct kvm_vcpu_events *e)
{
    memset(e, 0, sizeof(*e));
    e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    e->nmi.masked = c->nmi_blocked;
    e->interrupt.shadow = !c->inhibit_irq ? 0 : c->inhibit_db ? KVM_X86_SHADOW_INT_MOV_SS : KVM_X86_SHADOW_INT_STI;
}

static void get_events(CpuState *c, const struct kvm_vcpu_events *e)
{
    c->nmi_blocked = e->nmi.masked != 0;
    c->inhibit_irq = e->interrupt.shadow != 0;
    c->inhibit_db = (e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0;
    c->mid_repeat = false;
    c->pending_db = 0;
}

static void put_debug(const CpuState *c, struct kvm_debugregs *d)
{
    memset(d, 0, sizeof(*d));
    memcpy(d->db, c->dr, sizeof(d->db));
    d->dr6 = c->dr[6];
    d->dr7 = c->dr[7];
}

static void get_debug(CpuState *c, const struct kvm_debugregs *d)
{
    memcpy(c->dr, d->db, sizeof(d->db));
    c->dr[6] = d->dr6;
    c->dr[7] = d->dr7;
}

/* ---- x87, SSE, AVX ---- */

enum { XMM_AT = 160, HEADER_AT = 512, YMM_AT = 576 };

static void put_xsave(const CpuState *c, struct kvm_xsave *x)
{
    uint8_t *p = (uint8_t *)x->region;
    uint64_t parts = XCR0_X87 | XCR0_SSE | (cpu_has(c, FEAT_AVX) ? XCR0_AVX : 0);

    st_le16(p, c->fcw);
    st_le16(p + 2, c->fsw);
    st_le16(p + 4, c->fptag);
    st_le16(p + 6, c->fop);
    st_le64(p + 8, c->fip);
    st_le64(p + 16, c->fdp);
    st_le32(p + 24, c->mxcsr);
    for (unsigned n = 0; n < 8; n++) {
        Float80 v = x87_st(c, n);

        st_le64(p + 32 + 16 * n, v.frac);
        st_le64(p + 40 + 16 * n, v.sexp);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(p + XMM_AT + 16 * n, &c->xmm[n].q[0], 16);
        if (parts & XCR0_AVX) {
            memcpy(p + YMM_AT + 16 * n, &c->xmm[n].q[2], 16);
        }
    }
    st_le64(p + HEADER_AT, ld_le64(p + HEADER_AT) | parts);
}

static void get_x87(CpuState *c, const uint8_t *p)
{
    c->fcw = ld_le16(p);
    c->fsw = ld_le16(p + 2);
    c->fptag = p[4];
    c->fop = ld_le16(p + 6) & 0x7ff;
    c->fip = ld_le64(p + 8);
    c->fdp = ld_le64(p + 16);
    c->fcs = c->fds = 0;
    for (unsigned n = 0; n < 8; n++) {
        c->fpr[x87_phys(c, n)] = (Float80){ ld_le64(p + 32 + 16 * n), ld_le16(p + 40 + 16 * n) };
    }
}

/* A part whose bit is clear is as after a reset: SDM vol. 1, "XSAVE Header". */
static void get_xsave(CpuState *c, const struct kvm_xsave *x)
{
    static const uint8_t fresh[160] = { 0x7f, 0x03 };
    const uint8_t *p = (const uint8_t *)x->region;
    uint64_t parts = ld_le64(p + HEADER_AT);

    get_x87(c, parts & XCR0_X87 ? p : fresh);
    c->mxcsr = parts & (XCR0_SSE | XCR0_AVX) ? ld_le32(p + 24) : 0x1f80;
    for (unsigned n = 0; n < 16; n++) {
        memset(&c->xmm[n], 0, sizeof(c->xmm[n]));
        if (parts & XCR0_SSE) {
            memcpy(&c->xmm[n].q[0], p + XMM_AT + 16 * n, 16);
        }
        if (parts & XCR0_AVX) {
            memcpy(&c->xmm[n].q[2], p + YMM_AT + 16 * n, 16);
        }
    }
}

static void put_xcrs(const CpuState *c, struct kvm_xcrs *x)
{
    memset(x, 0, sizeof(*x));
    x->nr_xcrs = 1;
    x->xcrs[0].value = c->xcr0;
}

/* ---- MSRs ---- */

static const struct {
    uint32_t msr;
    uint16_t at;
    uint8_t feature;
} moved[] = {
#define M(n, field, f) { n, offsetof(CpuState, field), FEAT_##f }
    M(0x174, msr_sysenter_cs, SEP),       M(0x175, msr_sysenter_esp, SEP), M(0x176, msr_sysenter_eip, SEP),
    M(0x277, msr_pat, PAT),               M(0x48, msr_spec_ctrl, SPEC_CTRL),
    M(0xc0000081, msr_star, SYSCALL),     M(0xc0000082, msr_lstar, LM),    M(0xc0000083, msr_cstar, LM),
    M(0xc0000084, msr_fmask, LM),         M(0xc0000102, msr_kernel_gs_base, LM),
    M(0xc0000103, msr_tsc_aux, RDTSCP),
    M(0x4b564d00, kvm_wall, KVMCLOCK),    M(0x4b564d01, kvm_system, KVMCLOCK),
#undef M
};
_Static_assert(ARRAY_SIZE(moved) <= KVM_MSRS, "the list of an image is too short");

void kvm_regs_init(CpuState *c)
{
    KvmCpu *k = c->kvm;
    unsigned count = 0;

    for (size_t n = 0; n < ARRAY_SIZE(moved); n++) {
        if (cpu_has(c, moved[n].feature)) {
            k->now.msrs.entry[count].index = moved[n].msr;
            k->msr_at[count++] = moved[n].at;
        }
    }
    k->now.msrs.head.nmsrs = count;
}

static void put_msrs(const CpuState *c, KvmImage *i)
{
    for (unsigned n = 0; n < i->msrs.head.nmsrs; n++) {
        memcpy(&i->msrs.entry[n].data, (const uint8_t *)c + c->kvm->msr_at[n], 8);
    }
}

static void get_msrs(CpuState *c, const KvmImage *i)
{
    for (unsigned n = 0; n < i->msrs.head.nmsrs; n++) {
        memcpy((uint8_t *)c + c->kvm->msr_at[n], &i->msrs.entry[n].data, 8);
    }
}

/* ---- all of it ---- */

static void encode(CpuState *c, KvmImage *i)
{
    put_regs(c, &i->regs);
    put_sregs(c, &i->sregs);
    put_events(c, &i->events);
    put_debug(c, &i->debug);
    put_xsave(c, &i->xsave);
    put_xcrs(c, &i->xcrs);
    put_msrs(c, i);
}

/* One part of an image: its ioctls, and the feature it needs. */
typedef struct Part {
    const char *name;
    unsigned long get, set;
    size_t at, size;
    uint8_t feature;
} Part;
#define PART(what, member, f) { #what, KVM_GET_##what, KVM_SET_##what, offsetof(KvmImage, member), \
                                sizeof(((KvmImage *)0)->member), FEAT_##f }
/* In the order in which they are set: what CR4 and EFER may hold does not depend on the others; XCR0 has to be there
 * before the parts that it names; events come last, as setting registers forgets exceptions. */
static const Part parts[] = {
    PART(SREGS, sregs, NONE), PART(REGS, regs, NONE), PART(XCRS, xcrs, XSAVE), PART(XSAVE, xsave, NONE),
    PART(MSRS, msrs, NONE), PART(DEBUGREGS, debug, NONE), PART(VCPU_EVENTS, events, NONE),
};

static int part_call(KvmCpu *k, unsigned long call, void *data)
{
    int r = ioctl(k->fd, call, data);

    if (r < 0) {
        return -errno;
    }
    /* of MSRs it says how many were taken */
    return (call == KVM_SET_MSRS || call == KVM_GET_MSRS) && r != (int)((struct kvm_msrs *)data)->nmsrs ? -EINVAL : 0;
}

int kvm_regs_push(CpuState *c, const char **what)
{
    KvmCpu *k = c->kvm;

    k->want = k->now;
    encode(c, &k->want);
    for (size_t n = 0; n < ARRAY_SIZE(parts); n++) {
        const Part *p = &parts[n];
        uint8_t *want = (uint8_t *)&k->want + p->at;
        int r;

        if (!cpu_has(c, p->feature) || (k->known && memcmp(want, (uint8_t *)&k->now + p->at, p->size) == 0)) {
            continue;
        }
        r = part_call(k, p->set, want);
        if (r < 0) {
            *what = p->name;
            k->known = false;
            return r;
        }
    }
    k->known = true;
    return 0;
}

int kvm_regs_pull(CpuState *c, const char **what)
{
    KvmCpu *k = c->kvm;
    struct kvm_vcpu_events events;

    for (size_t n = 0; n < ARRAY_SIZE(parts); n++) {
        const Part *p = &parts[n];
        int r = cpu_has(c, p->feature) ? part_call(k, p->get, (uint8_t *)&k->now + p->at) : 0;

        if (r < 0) {
            *what = p->name;
            return r;
        }
    }
    get_regs(c, &k->now.regs);
    get_sregs(c, &k->now.sregs);
    get_events(c, &k->now.events);
    get_debug(c, &k->now.debug);
    get_xsave(c, &k->now.xsave);
    if (cpu_has(c, FEAT_XSAVE)) {
        c->xcr0 = k->now.xcrs.xcrs[0].value;
    }
    get_msrs(c, &k->now);
    cpu_update_mode(c);
    events = k->now.events;
    encode(c, &k->now);
    k->now.events = events; /* as they are: a push takes away what was about to be delivered */
    return 0;
}
