/*
 * Page walks. Source: Intel SDM vol. 3A, chapter 4: "32-Bit Paging", "PAE Paging", "4-Level
 * Paging", "Access Rights", "Page-Fault Exceptions", "Accessed and Dirty Flags".
 * Not modelled: protection keys, 5-level paging.
 */
#include "cpu/mmu.h"

#include "base/log.h"
#include "base/mem.h"
#include "bus/shared.h"
#include "cpu/engine.h"
#include "cpu/tape.h"

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)

/* A walk in progress. */
typedef struct Walk {
    hwaddr at[4];      /* where each entry was read */
    uint64_t entry[4];
    unsigned levels;
    unsigned width;    /* bytes of an entry */
    bool w, u, nx;
    hwaddr page;       /* base of the page */
    unsigned shift;    /* of the page: 12, 21, 22, 30 */
} Walk;

static uint8_t *phys_host(CpuState *c, hwaddr pa, unsigned n, const FlatRange **range)
{
    const FlatRange *r = flat_find(cpu_view(c), pa);

    *range = r;
    if (r == NULL || r->host == NULL || n - 1 > r->last - pa) {
        return NULL;
    }
    return r->host + (pa - r->first);
}

uint64_t phys_ld(CpuState *c, hwaddr pa, unsigned n)
{
    const FlatRange *r;
    uint8_t *p = phys_host(c, pa, n, &r);
    uint64_t v = 0;

    if (p != NULL) {
        shared_copy(&v, p, n);
        return v;
    }
    if (r == NULL) {
        return ~0ull >> (64 - 8 * n);
    }
    if (tape_read(c, TAPE_MMIO_READ, pa, &v)) {
        return v;
    }
    return tape_was(c, TAPE_MMIO_READ, pa, mmio_read(r->region, r->offset + (pa - r->first), n));
}

void phys_st(CpuState *c, hwaddr pa, uint64_t val, unsigned n)
{
    const FlatRange *r;
    uint8_t *p = phys_host(c, pa, n, &r);

    if (p != NULL && r->writable) {
        uint64_t ram = r->region->ram_offset + r->offset + (pa - r->first);

        shared_copy(p, &val, n);
        engine_stored(c, ram, n);
    } else if (r != NULL && !tape_write(c, TAPE_MMIO_WRITE, pa, val & ~0ull >> (64 - 8 * n))) {
        mmio_write(r->region, r->offset + (pa - r->first), val, n);
        if (__atomic_load_n(&c->requests, __ATOMIC_RELAXED) & REQ_MAP_CHANGED) {
            cpu_see_view(c); /* the next access may be to what this one has put there (flash) */
        }
    }
}

/* Set @bits in a paging-structure entry as the hardware does: a locked update that leaves the entry
 * alone when another processor changed it meanwhile. */
static void pte_set(CpuState *c, hwaddr at, uint64_t old, uint64_t bits, unsigned width)
{
    const FlatRange *r;
    uint8_t *p = phys_host(c, at, width, &r);

    if ((old & bits) == bits || p == NULL || !r->writable) {
        return;
    }
    if (width == 8) {
        __atomic_compare_exchange_n((uint64_t *)p, &old, old | bits, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
    } else {
        uint32_t old32 = (uint32_t)old;

        __atomic_compare_exchange_n((uint32_t *)p, &old32, (uint32_t)(old | bits), false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    uint64_t ram = r->region->ram_offset + r->offset + (at - r->first);
    engine_stored(c, ram, width);
}

static uint64_t walk_read(CpuState *c, Walk *w, hwaddr at)
{
    unsigned n = w->levels++;

    w->at[n] = at & c->a20_mask;
    w->entry[n] = phys_ld(c, w->at[n], w->width);
    return w->entry[n];
}

static uint64_t phys_mask(const CpuState *c)
{
    return (1ull << c->phys_bits) - 1;
}

/* Bits that must be 0 in a PAE or 4-level entry. */
static uint64_t reserved64(const CpuState *c, bool long_mode)
{
    uint64_t r = (long_mode ? 0x000fffffffffffffull : 0x7fffffffffffffffull) & ~phys_mask(c);

    return c->efer & EFER_NXE ? r : r | PTE_NX;
}

/* 0: mapped; else the P and RSVD bits of the error code, with 0x100 for "not present". */
static uint32_t walk64(CpuState *c, vaddr lin, Walk *w)
{
    bool lm = (c->efer & EFER_LMA) != 0;
    int shift = lm ? 39 : 21;
    hwaddr table = c->cr3 & phys_mask(c) & ~0xfffull;
    uint64_t rsvd = reserved64(c, lm), e;

    w->width = 8;
    w->w = w->u = true;
    if (!lm) {
        e = c->pdpte[lin >> 30 & 3];
        if (!(e & PTE_P)) {
            return 0x100;
        }
        table = e & phys_mask(c) & ~0xfffull;
    }
    for (;; shift -= 9) {
        bool leaf;

        e = walk_read(c, w, table + (lin >> shift & 511) * 8);
        if (!(e & PTE_P)) {
            return 0x100;
        }
        leaf = shift == 12 || (e & PTE_PS);
        if ((e & rsvd) || (shift == 39 && (e & PTE_PS)) ||
            (shift == 30 && (e & PTE_PS) && !cpu_has(c, FEAT_PDPE1GB)) ||
            (shift > 12 && leaf && (e & phys_mask(c) & ((1ull << shift) - 1) & ~0x1fffull))) {
            return PF_P | PF_RSVD;
        }
        w->w &= (e & PTE_W) != 0;
        w->u &= (e & PTE_U) != 0;
        w->nx |= (e & PTE_NX) != 0;
        if (leaf) {
            w->shift = (unsigned)shift;
            w->page = e & phys_mask(c) & ~((1ull << shift) - 1);
            return 0;
        }
        table = e & phys_mask(c) & ~0xfffull;
    }
}

static uint32_t walk32(CpuState *c, vaddr lin, Walk *w)
{
    uint64_t e;

    w->width = 4;
    e = walk_read(c, w, (c->cr3 & 0xfffff000u) + (lin >> 22 & 1023) * 4);
    if (!(e & PTE_P)) {
        return 0x100;
    }
    w->w = (e & PTE_W) != 0;
    w->u = (e & PTE_U) != 0;
    if ((e & PTE_PS) && (c->cr4 & CR4_PSE)) {
        uint64_t high = e >> 13 & 0xff; /* PSE-36: bits 39:32 of the address */

        if (e & (1u << 21) || (!cpu_has(c, FEAT_PSE36) && high) || (high << 32 & ~phys_mask(c))) {
            return PF_P | PF_RSVD;
        }
        w->shift = 22;
        w->page = (e & 0xffc00000u) | high << 32;
        return 0;
    }
    e = walk_read(c, w, (e & 0xfffff000u) + (lin >> 12 & 1023) * 4);
    if (!(e & PTE_P)) {
        return 0x100;
    }
    w->w &= (e & PTE_W) != 0;
    w->u &= (e & PTE_U) != 0;
    w->shift = 12;
    w->page = e & 0xfffff000u;
    return 0;
}

static bool permitted(const CpuState *c, const Walk *w, Access access, MmuMode mode)
{
    bool user = mode == MMU_USER || mode == MMU_USER_AC;

    if (user && !w->u) {
        return false;
    }
    if (access == ACC_EXEC) {
        return !w->nx && (user || !w->u || !(c->cr4 & CR4_SMEP));
    }
    if (!user && w->u && mode == MMU_SUPER_SMAP) {
        return false;
    }
    return access != ACC_WRITE || w->w || (!user && !(c->cr0 & CR0_WP));
}

bool mmu_walk(CpuState *c, vaddr lin, Access access, MmuMode mode, Translation *t, uint32_t *err)
{
    Walk w = { 0 };
    bool user = mode == MMU_USER || mode == MMU_USER_AC;
    unsigned leaf;
    uint32_t bad;

    if (!(c->cr0 & CR0_PG)) {
        t->pa = lin & c->a20_mask;
        t->writable = true;
        t->global = false;
        t->shift = PAGE_SHIFT;
        return true;
    }
    bad = c->cr4 & CR4_PAE ? walk64(c, lin, &w) : walk32(c, lin, &w);
    if (bad == 0 && !permitted(c, &w, access, mode)) {
        bad = PF_P;
    }
    if (bad != 0) {
        *err = (bad & 0xff) | (access == ACC_WRITE ? PF_W : 0) | (user ? PF_U : 0);
        if (access == ACC_EXEC && ((c->efer & EFER_NXE && c->cr4 & CR4_PAE) ||
                                   (c->cr4 & CR4_SMEP))) {
            *err |= PF_I;
        }
        return false;
    }
    leaf = w.levels - 1;
    for (unsigned n = 0; n < leaf; n++) {
        pte_set(c, w.at[n], w.entry[n], PTE_A, w.width);
    }
    pte_set(c, w.at[leaf], w.entry[leaf], access == ACC_WRITE ? PTE_A | PTE_D : PTE_A, w.width);
    t->pa = (w.page | (lin & ((1ull << w.shift) - 1))) & c->a20_mask;
    t->writable = (access == ACC_WRITE || (w.entry[leaf] & PTE_D)) &&
                  (w.w || (!user && !(c->cr0 & CR0_WP)));
    t->global = (w.entry[leaf] & PTE_G) && (c->cr4 & CR4_PGE);
    t->shift = (uint8_t)w.shift;
    return true;
}

bool mmu_peek(CpuState *c, vaddr lin, hwaddr *pa)
{
    Walk w = { 0 };

    if (!(c->cr0 & CR0_PG)) {
        *pa = lin & c->a20_mask;
        return true;
    }
    if ((c->cr4 & CR4_PAE ? walk64(c, lin, &w) : walk32(c, lin, &w)) & 0x100) {
        return false;
    }
    *pa = (w.page | (lin & ((1ull << w.shift) - 1))) & c->a20_mask;
    return true;
}
