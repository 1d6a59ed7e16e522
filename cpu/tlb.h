/*
 * The fast path of memory accesses: one compare against the software TLB (CpuState.tlb).
 */
#ifndef CPU_TLB_H
#define CPU_TLB_H

#include "cpu/mmu.h"

static inline TlbEntry *tlb_slot(CpuState *c, MmuMode mode, vaddr lin)
{
    return &c->tlb[mode][lin >> PAGE_SHIFT & (TLB_SIZE - 1)];
}

#define TLB_NONE(slot) ((slot) == 1 ? 0ull : 0x1000ull) /* a tag that nothing matches */

#define TLB_PLAIN 0x800ull /* of info: stores go to RAM, but for what the page's tracker word asks */

/* large_bit - the bit of CpuState.large_seen for the page of 1 << @shift bytes at @lin. */
static inline unsigned large_bit(vaddr lin, unsigned shift)
{
    return (unsigned)(((lin >> shift) * 0x9e3779b97f4a7c15ull + shift * 0x7f4a7c15f39cc060ull) >> 52);
}

/* tlb_note_large - data or @code of the page at @lin is cached. */
static inline void tlb_note_large(CpuState *c, bool code, vaddr lin, const Translation *t)
{
    uint8_t *large = code ? &c->large_code[t->global][lin >> 63] : &c->large_data[t->global][lin >> 63];
    unsigned bit = large_bit(lin, t->shift);

    if (t->shift > PAGE_SHIFT) {
        *large = *large > t->shift ? *large : t->shift;
        c->large_seen[code][bit / 64] |= 1ull << bit % 64;
    }
}

/* tlb_forget_stack - CpuState.tlb_stack holds nothing. */
void tlb_forget_stack(CpuState *c);

/* tlb_enter - the page of @lin in @mode, which a walk found; not where accesses to it must be seen. */
static inline void tlb_enter(CpuState *c, vaddr lin, MmuMode mode, const Translation *t)
{
    unsigned n = lin >> PAGE_SHIFT & (TLB_SIZE - 1);
    TlbEntry *e = &c->tlb[mode][n];
    hwaddr page = t->pa & ~0xfffull;
    const FlatRange *r = flat_find(cpu_view(c), page);

    if (mode == MMU_USER_AC || c->watching || r == NULL || r->host == NULL || r->last - page < 0xfff) {
        return;
    }
    e->host = (uint64_t)(uintptr_t)(r->host + (page - r->first));
    e->rtag = lin & ~0xfffull;
    e->wtag = TLB_NONE(n);
    e->info = page | (uint64_t)t->shift << 1 | t->global;
    tlb_note_large(c, false, lin, t);
    c->tlb_used[mode] = true;
    if (!t->global) {
        if (c->tlb_logged < TLB_LOG) {
            c->tlb_log[c->tlb_logged] = (uint16_t)(mode << TLB_BITS | n);
        }
        c->tlb_logged += c->tlb_logged <= TLB_LOG;
    }
    ram_filled(flat_ram(r, page));
    e->info |= t->writable && r->writable ? TLB_PLAIN : 0;
    if (t->writable && r->writable &&
        __atomic_load_n(ram_tracker(flat_ram(r, page)), __ATOMIC_ACQUIRE) == 0) {
        e->wtag = e->rtag;
    }
}

/* tlb_rptr/tlb_wptr - host address of @n readable (plainly writable) bytes, or NULL. */
static inline void *tlb_rptr(CpuState *c, MmuMode mode, vaddr lin, unsigned n)
{
    const TlbEntry *e = tlb_slot(c, mode, lin);
    uint64_t d = lin ^ e->rtag;

    return d <= PAGE_SIZE - n ? (void *)(e->host + d) : NULL;
}
static inline void *tlb_wptr(CpuState *c, MmuMode mode, vaddr lin, unsigned n)
{
    const TlbEntry *e = tlb_slot(c, mode, lin);
    uint64_t d = lin ^ e->wtag;

    return d <= PAGE_SIZE - n ? (void *)(e->host + d) : NULL;
}

/* seg_check - limit and type of a segment that did not pass the quick test; raises #GP(0)/#SS(0),
 * or returns when the access is permitted after all (expand-down, wrap at 4 GiB). */
void seg_check(CpuState *c, unsigned seg, vaddr off, unsigned n, bool write);

/* seg_lin - linear address of an access of @n bytes at @off, segment checks done. */
static inline vaddr seg_lin(CpuState *c, unsigned seg, vaddr off, unsigned n, bool write)
{
    const Segment *s = &c->segs[seg];

    if (c->code64) {
        return seg >= SEG_FS ? s->base + off : off;
    }
    if (__builtin_expect((int64_t)off + (int64_t)n - 1 > (write ? s->write_last : s->read_last),
                         0)) {
        seg_check(c, seg, off, n, write);
    }
    return (uint32_t)(s->base + off);
}

/* rmw_ptr - host address where a read-modify-write of @n bytes may be done directly, or NULL: then
 * the page has been checked for writing and the caller uses loads and stores (for a locked
 * instruction with several processors inside an exclusive section). */
static inline void *rmw_ptr(CpuState *c, unsigned seg, vaddr off, unsigned n)
{
    vaddr lin = seg_lin(c, seg, off, n, true);
    void *p = tlb_wptr(c, c->mmu, lin, n);

    if (__builtin_expect(p == NULL, 0)) {
        lin_probe(c, lin, n, ACC_WRITE, c->mmu, seg);
        p = tlb_wptr(c, c->mmu, lin, n);
    }
    return p;
}

#endif
