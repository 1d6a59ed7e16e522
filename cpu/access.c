/*
 * Memory accesses of instructions: the slow path behind the TLB, and the segment checks.
 * Sources: Intel SDM vol. 3A, chapter 5 "Protection" ("Limit Checking", "Type Checking") and
 * section 3.3.7.1 "Canonical Addressing".
 */
#include "cpu/access.h"
#include "cpu/tlb.h"

#include "base/log.h"
#include "base/mem.h"
#include "cpu/engine.h"

static void tlb_drop(TlbEntry *e, unsigned n)
{
    e->rtag = e->wtag = TLB_NONE(n);
    e->info = 0;
}

void tlb_forget_stack(CpuState *c)
{
    /* what a stack at STACK_NONE itself would be in, which should be a fault */
    static uint8_t nowhere[PAGE_SIZE] __attribute__((aligned(4096)));

    c->tlb_drops++;
    for (unsigned m = 0; m < MMU_MODES; m++) {
        c->tlb_stack[m] = (TlbStack){ STACK_NONE, (uint64_t)(uintptr_t)nowhere, (uint64_t)(uintptr_t)nowhere - STACK_NONE };
    }
}

/* Every entry, of the modes that have any. */
static void tlb_scan(CpuState *c, bool global)
{
    for (unsigned m = 0; m < MMU_MODES; m++) {
        for (unsigned n = 0; n < TLB_SIZE && c->tlb_used[m]; n++) {
            if (global || !(c->tlb[m][n].info & 1)) {
                tlb_drop(&c->tlb[m][n], n);
            }
        }
        c->tlb_used[m] &= !global;
    }
}

static void tlb_empty(CpuState *c, bool global)
{
    tlb_forget_stack(c);
    if (global || c->tlb_logged > TLB_LOG) {
        tlb_scan(c, global);
    } else {
        for (unsigned k = 0; k < c->tlb_logged; k++) {
            unsigned m = c->tlb_log[k] >> TLB_BITS, n = c->tlb_log[k] & (TLB_SIZE - 1);

            if (!(c->tlb[m][n].info & 1)) {
                tlb_drop(&c->tlb[m][n], n);
            }
        }
    }
    c->tlb_logged = 0;
    for (unsigned k = 0; k <= global; k++) {
        memset(c->large_data[k], 0, sizeof(c->large_data[k]));
    }
    if (global) {
        memset(c->large_seen[0], 0, sizeof(c->large_seen[0]));
        tlb_spaces_drop(c);
    }
}

void tlb_flush(CpuState *c, bool global)
{
    tlb_empty(c, global);
    if (!global) {
        tlb_spaces_drop(c); /* INVPCID of another, CR3 without PCIDs */
    }
    for (unsigned k = 0; k <= global; k++) {
        memset(c->large_code[k], 0, sizeof(c->large_code[k]));
    }
    if (global) {
        memset(c->large_seen[1], 0, sizeof(c->large_seen[1]));
    }
    engine_ops->flush(c, global);
}

void tlb_switch(CpuState *c, uint64_t space, bool keep)
{
    tlb_space_leave(c, c->cr3);
    tlb_empty(c, false);
    tlb_space_enter(c, space, keep);
    engine_ops->switch_space(c, space, keep);
}

/* Every 4 KiB part of the large page at @lin that is cached. SDM vol. 2, INVLPG. */
static void flush_large(CpuState *c, vaddr lin, unsigned shift)
{
    for (unsigned m = 0; m < MMU_MODES; m++) {
        for (unsigned n = 0; n < TLB_SIZE && c->tlb_used[m]; n++) {
            TlbEntry *e = &c->tlb[m][n];
            unsigned size = e->info >> 1 & 63;

            if (size > PAGE_SHIFT && size <= shift && (e->rtag ^ lin) >> size == 0) {
                tlb_drop(e, n);
            }
        }
    }
}

/* Is @lin perhaps in a large page of which data or @code was cached? */
static bool in_large(const CpuState *c, bool code, vaddr lin)
{
    static const uint8_t shifts[] = { 21, 22, 30 };

    for (unsigned k = 0; k < ARRAY_SIZE(shifts); k++) {
        unsigned bit = large_bit(lin, shifts[k]);

        if (c->large_seen[code][bit / 64] >> bit % 64 & 1) {
            return true;
        }
    }
    return false;
}

void tlb_flush_page(CpuState *c, vaddr lin)
{
    unsigned n = lin >> PAGE_SHIFT & (TLB_SIZE - 1), half = lin >> 63;
    unsigned large = MAX(c->large_data[0][half], c->large_data[1][half]);

    tlb_forget_stack(c);
    for (unsigned m = 0; m < MMU_MODES; m++) {
        tlb_drop(&c->tlb[m][n], n);
    }
    if (large != 0 && in_large(c, false, lin)) {
        flush_large(c, lin, large);
    }
    if ((c->large_code[0][half] | c->large_code[1][half]) && in_large(c, true, lin)) {
        memset(c->large_code, 0, sizeof(c->large_code));
        memset(c->large_seen[1], 0, sizeof(c->large_seen[1]));
        engine_ops->flush(c, true);
    } else {
        engine_ops->flush_page(c, lin & ~0xfffull);
    }
}

void tlb_protect(CpuState *c, uint64_t host)
{
    tlb_forget_stack(c);
    for (unsigned m = 0; m < MMU_MODES; m++) {
        for (unsigned n = 0; n < TLB_SIZE && c->tlb_used[m]; n++) {
            if (c->tlb[m][n].host == host) {
                c->tlb[m][n].wtag = TLB_NONE(n);
            }
        }
    }
}

void tlb_protect_tracked(CpuState *c)
{
    tlb_forget_stack(c);
    for (unsigned m = 0; m < MMU_MODES; m++) {
        for (unsigned n = 0; n < TLB_SIZE && c->tlb_used[m]; n++) {
            TlbEntry *e = &c->tlb[m][n];

            if (e->wtag != TLB_NONE(n) &&
                __atomic_load_n(ram_tracker(e->host - (uint64_t)(uintptr_t)ram_host()),
                                __ATOMIC_RELAXED) != 0) {
                e->wtag = TLB_NONE(n);
            }
        }
    }
}

static void renew_view(CpuState *c)
{
    flat_view_unref(c->view);
    flat_view_unref(c->view_smm);
    c->view = flat_view(false);
    c->view_smm = flat_view(true);
}

void cpu_take_view(CpuState *c)
{
    renew_view(c);
    tlb_flush(c, true);
}

void cpu_see_view(CpuState *c)
{
    renew_view(c);
    tlb_empty(c, true);
}

/* Translate one page for data, filling the TLB. Raises #PF. */
static hwaddr translate(CpuState *c, vaddr lin, Access access, MmuMode mode)
{
    Translation t;
    uint32_t err;

    if (!mmu_walk(c, lin, access, mode, &t, &err)) {
        c->cr2 = lin;
        if (log_on(LOG_MMU)) {
            log_line("cpu %u: page fault at %016lx, error %02x, rip %016lx\n", c->index,
                     (unsigned long)lin, err, (unsigned long)c->regs[GPR_RIP]);
        }
        cpu_raise_err(c, EXC_PF, err);
    }
    tlb_enter(c, lin, mode, &t);
    return t.pa;
}

static void phys_read_bytes(CpuState *c, hwaddr pa, uint8_t *buf, unsigned n)
{
    const FlatRange *r = flat_find(cpu_view(c), pa);

    if (r != NULL && r->host != NULL && n - 1 <= r->last - pa) {
        shared_copy(buf, r->host + (pa - r->first), n);
        return;
    }
    while (n > 0) {
        unsigned k = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        uint64_t v = phys_ld(c, pa, k);

        memcpy(buf, &v, k);
        buf += k;
        pa += k;
        n -= k;
    }
}

static void phys_write_bytes(CpuState *c, hwaddr pa, const uint8_t *buf, unsigned n)
{
    const FlatRange *r = flat_find(cpu_view(c), pa);

    if (r != NULL && r->writable && n - 1 <= r->last - pa) {
        uint64_t ram = flat_ram(r, pa);

        shared_copy(r->host + (pa - r->first), buf, n);
        engine_stored(c, ram, n);
        return;
    }
    while (n > 0) {
        unsigned k = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        uint64_t v = 0;

        memcpy(&v, buf, k);
        phys_st(c, pa, v, k);
        buf += k;
        pa += k;
        n -= k;
    }
}

/* Faults that an access of @n bytes at @lin has before paging. */
static void check_linear(CpuState *c, vaddr lin, unsigned n, MmuMode mode, unsigned seg)
{
    if ((c->efer & EFER_LMA) && (!canonical(lin) || !canonical(lin + n - 1))) {
        cpu_raise_err(c, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
    }
    if (mode == MMU_USER_AC && n <= 8 && (lin & (n - 1))) {
        cpu_raise_err(c, EXC_AC, 0);
    }
}

/* An access that may leave the page: translate all of it, then run. Addresses wrap at 4 GiB
 * outside long mode. */
typedef struct Pieces {
    hwaddr pa[2];
    unsigned n[2];
} Pieces;

/* Data breakpoints: SDM vol. 3B, "Breakpoint Field Recognition". The trap follows the instruction. */
static void watch_access(CpuState *c, vaddr lin, unsigned n, bool write)
{
    for (unsigned k = 0; k < 4; k++) {
        unsigned type = c->dr[7] >> (16 + 4 * k) & 3, len = (c->dr[7] >> (18 + 4 * k) & 3) + 1;
        vaddr at;

        len = len == 3 ? 8 : len;
        at = c->dr[k] & ~(vaddr)(len - 1);
        if ((c->dr[7] >> (2 * k) & 3) && (type == 3 || (type == 1 && write)) && lin < at + len &&
            at < lin + n) {
            c->pending_db |= 1u << k;
            c->careful = true;
        }
    }
    for (unsigned k = 0; k < engine_watch_count; k++) {
        const EngineWatch *w = &engine_watches[k];

        if ((write ? w->on_write : w->on_read) && lin < w->addr + w->len && w->addr < lin + n) {
            c->pending_db |= PENDING_WATCH;
            c->watch_addr = w->addr;
            c->careful = true;
        }
    }
}

static void translate_all(CpuState *c, vaddr lin, unsigned n, Access access, MmuMode mode,
                          unsigned seg, Pieces *p)
{
    unsigned room = PAGE_SIZE - (lin & 0xfff);

    check_linear(c, lin, n, mode, seg);
    if (c->watching) {
        watch_access(c, lin, n, access == ACC_WRITE);
    }
    p->n[0] = MIN(n, room);
    p->n[1] = n - p->n[0];
    p->pa[0] = translate(c, lin, access, mode);
    if (p->n[1] != 0) {
        vaddr second = lin + room;

        p->pa[1] = translate(c, c->efer & EFER_LMA ? second : (uint32_t)second, access, mode);
    }
}

void lin_read(CpuState *c, vaddr lin, void *buf, unsigned n, MmuMode mode, unsigned seg)
{
    void *p = tlb_rptr(c, mode, lin, n), *q;
    unsigned room = PAGE_SIZE - (lin & 0xfff);
    Pieces pc;

    if (p != NULL) {
        shared_copy(buf, p, n);
        return;
    }
    if (n > room && (p = tlb_rptr(c, mode, lin, room)) != NULL &&
        (q = tlb_rptr(c, mode, lin + room, n - room)) != NULL) {
        shared_copy(buf, p, room);
        shared_copy((uint8_t *)buf + room, q, n - room);
        return;
    }
    translate_all(c, lin, n, ACC_READ, mode, seg, &pc);
    phys_read_bytes(c, pc.pa[0], buf, pc.n[0]);
    if (pc.n[1] != 0) {
        phys_read_bytes(c, pc.pa[1], (uint8_t *)buf + pc.n[0], pc.n[1]);
    }
}

void lin_write(CpuState *c, vaddr lin, const void *buf, unsigned n, MmuMode mode, unsigned seg)
{
    void *p = tlb_wptr(c, mode, lin, n), *q;
    unsigned room = PAGE_SIZE - (lin & 0xfff);
    Pieces pc;

    if (p != NULL) {
        shared_copy(p, buf, n);
        return;
    }
    if (n > room && (p = tlb_wptr(c, mode, lin, room)) != NULL &&
        (q = tlb_wptr(c, mode, lin + room, n - room)) != NULL) {
        shared_copy(p, buf, room);
        shared_copy(q, (const uint8_t *)buf + room, n - room);
        return;
    }
    translate_all(c, lin, n, ACC_WRITE, mode, seg, &pc);
    phys_write_bytes(c, pc.pa[0], buf, pc.n[0]);
    if (pc.n[1] != 0) {
        phys_write_bytes(c, pc.pa[1], (const uint8_t *)buf + pc.n[0], pc.n[1]);
    }
}

void lin_probe(CpuState *c, vaddr lin, unsigned n, Access access, MmuMode mode, unsigned seg)
{
    Pieces pc;

    translate_all(c, lin, n, access, mode, seg, &pc);
}

const uint8_t *mmu_fetch(CpuState *c, vaddr lin, hwaddr *pa, bool *global)
{
    MmuMode mode = c->cpl == 3 ? MMU_USER : MMU_SUPER;
    const FlatRange *r;
    Translation t;
    uint32_t err;

    if ((c->efer & EFER_LMA) && !canonical(lin)) {
        cpu_gp0(c);
    }
    if (!mmu_walk(c, lin, ACC_EXEC, mode, &t, &err)) {
        c->cr2 = lin;
        cpu_raise_err(c, EXC_PF, err);
    }
    tlb_note_large(c, true, lin, &t);
    *pa = t.pa;
    *global = t.global;
    r = flat_find(cpu_view(c), t.pa);
    if (r == NULL || r->host == NULL) {
        return NULL;
    }
    return r->host + (t.pa - r->first);
}

/* ---- segments ---- */

void seg_check(CpuState *c, unsigned seg, vaddr off, unsigned n, bool write)
{
    const Segment *s = &c->segs[seg];
    bool bad = false;
    uint64_t last = off + n - 1;

    if (!(c->cr0 & CR0_PE) || (c->rflags & FLAG_VM)) {
        bad = last > s->limit;
    } else if (!(s->attr & ATTR_P)) { /* a null selector */
        bad = true;
    } else if (write ? (s->attr & ATTR_CODE) || !(s->attr & ATTR_WRITE)
                     : (s->attr & (ATTR_CODE | ATTR_WRITE)) == ATTR_CODE) {
        bad = true;
    } else if ((s->attr & (ATTR_CODE | ATTR_DOWN)) == ATTR_DOWN) {
        uint64_t top = s->attr & ATTR_DB ? 0xffffffffull : 0xffff;

        bad = off <= s->limit || last > top;
    } else {
        bad = last > s->limit;
    }
    if (bad) {
        cpu_raise_err(c, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
    }
}

void seg_update(Segment *s)
{
    bool code = (s->attr & ATTR_CODE) != 0;

    s->read_last = s->write_last = -1;
    if (!(s->attr & ATTR_P) || (!code && (s->attr & ATTR_DOWN))) {
        return;
    }
    if (!code || (s->attr & ATTR_WRITE)) {
        s->read_last = s->limit;
    }
    if (!code && (s->attr & ATTR_WRITE)) {
        s->write_last = s->limit;
    }
}

#define DEF_SLOW(bits)                                                                             \
    uint##bits##_t ld_slow_u##bits(CpuState *c, unsigned seg, vaddr lin)                           \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        lin_read(c, lin, &v, bits / 8, c->mmu, seg);                                               \
        return v;                                                                                  \
    }                                                                                              \
    void st_slow_u##bits(CpuState *c, unsigned seg, vaddr lin, uint##bits##_t v)                   \
    {                                                                                              \
        lin_write(c, lin, &v, bits / 8, c->mmu, seg);                                              \
    }
DEF_SLOW(8)
DEF_SLOW(16)
DEF_SLOW(32)
DEF_SLOW(64)

void ld_bytes(CpuState *c, unsigned seg, vaddr off, void *buf, unsigned n)
{
    lin_read(c, seg_lin(c, seg, off, n, false), buf, n, c->mmu, seg);
}

void st_bytes(CpuState *c, unsigned seg, vaddr off, const void *buf, unsigned n)
{
    lin_write(c, seg_lin(c, seg, off, n, true), buf, n, c->mmu, seg);
}

void mem_probe_write(CpuState *c, unsigned seg, vaddr off, unsigned n)
{
    lin_probe(c, seg_lin(c, seg, off, n, true), n, ACC_WRITE, c->mmu, seg);
}

void mem_probe_read(CpuState *c, unsigned seg, vaddr off, unsigned n)
{
    lin_probe(c, seg_lin(c, seg, off, n, false), n, ACC_READ, c->mmu, seg);
}

void check_aligned(CpuState *c, unsigned seg, vaddr off, unsigned align)
{
    vaddr base = c->code64 && seg < SEG_FS ? 0 : c->segs[seg].base;

    if ((base + off) & (align - 1)) {
        cpu_gp0(c);
    }
}

/* ---- implicit supervisor accesses ---- */

uint8_t sys_ld8(CpuState *c, vaddr lin)
{
    uint8_t v;

    lin_read(c, lin, &v, 1, mmu_system(c), SEG_DS);
    return v;
}

uint16_t sys_ld16(CpuState *c, vaddr lin)
{
    uint16_t v;

    lin_read(c, lin, &v, 2, mmu_system(c), SEG_DS);
    return v;
}

uint32_t sys_ld32(CpuState *c, vaddr lin)
{
    uint32_t v;

    lin_read(c, lin, &v, 4, mmu_system(c), SEG_DS);
    return v;
}

uint64_t sys_ld64(CpuState *c, vaddr lin)
{
    uint64_t v;

    lin_read(c, lin, &v, 8, mmu_system(c), SEG_DS);
    return v;
}

void sys_st(CpuState *c, vaddr lin, uint64_t val, unsigned n)
{
    lin_write(c, lin, &val, n, mmu_system(c), SEG_DS);
}
