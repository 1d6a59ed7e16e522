/*
 * Paging and the software TLB. Source: Intel SDM vol. 3A, chapter 4 "Paging".
 */
#ifndef CPU_MMU_H
#define CPU_MMU_H

#include "cpu/cpu.h"

typedef enum Access {
    ACC_READ,
    ACC_WRITE,
    ACC_EXEC,
} Access;

/* Error-code bits of #PF. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

typedef struct Translation {
    hwaddr pa;       /* of the byte asked for */
    bool writable;   /* a store in this mode is permitted and the dirty bit is set */
    bool global;
    uint8_t shift;   /* of the page: 12, 21, 22 or 30 */
} Translation;

/* mmu_walk - translate @lin for @access in @mode, setting accessed and dirty bits. False: *err is
 * the #PF error code; nothing was changed. */
bool mmu_walk(CpuState *c, vaddr lin, Access access, MmuMode mode, Translation *t, uint32_t *err);

/* mmu_peek - translate without side effects, ignoring permissions (debuggers). */
bool mmu_peek(CpuState *c, vaddr lin, hwaddr *pa);

/* mmu_fetch - host pointer and guest-physical address of the code page that holds @lin, for
 * execution at the present privilege, and is it mapped by a global page; NULL when it is not RAM or
 * ROM (*pa is still set).
 * Raises #PF, or #GP(0) for a non-canonical address. */
const uint8_t *mmu_fetch(CpuState *c, vaddr lin, hwaddr *pa, bool *global);

/* lin_read/lin_write - @n bytes at a linear address in @mode, any alignment; raise #PF. @seg only
 * chooses #SS or #GP for a non-canonical address. */
void lin_read(CpuState *c, vaddr lin, void *buf, unsigned n, MmuMode mode, unsigned seg);
void lin_write(CpuState *c, vaddr lin, const void *buf, unsigned n, MmuMode mode, unsigned seg);
/* lin_probe - raise what an access of @n bytes would raise. */
void lin_probe(CpuState *c, vaddr lin, unsigned n, Access access, MmuMode mode, unsigned seg);

/* mmu_system - the mode of implicit supervisor accesses (descriptor tables, TSS). */
static inline MmuMode mmu_system(const CpuState *c)
{
    return c->cr4 & CR4_SMAP ? MMU_SUPER_SMAP : MMU_SUPER;
}
uint8_t sys_ld8(CpuState *c, vaddr lin);
uint16_t sys_ld16(CpuState *c, vaddr lin);
uint32_t sys_ld32(CpuState *c, vaddr lin);
uint64_t sys_ld64(CpuState *c, vaddr lin);
void sys_st(CpuState *c, vaddr lin, uint64_t val, unsigned n);

/* Guest-physical accesses by the processor itself (SMM state, page tables). */
uint64_t phys_ld(CpuState *c, hwaddr pa, unsigned n);
void phys_st(CpuState *c, hwaddr pa, uint64_t val, unsigned n);

/* tlb_flush - drop everything (@global) or all but global pages. */
void tlb_flush(CpuState *c, bool global);
void tlb_flush_page(CpuState *c, vaddr lin);
/* tlb_switch - CR3 becomes @space, with PCIDs; CpuState.cr3 is the old one still. What the TLB holds of that
 * is put aside, and what it had of @space comes back where @keep. The engine keeps what it knows by itself. */
void tlb_switch(CpuState *c, uint64_t space, bool keep);
/* cpu/tlb-space.c: put aside what is there of @cr3; have it back (@keep) or forget what was put aside of this
 * PCID; forget everything. tlb_spaces_free: with the processor. */
void tlb_space_leave(CpuState *c, uint64_t cr3);
void tlb_space_enter(CpuState *c, uint64_t cr3, bool keep);
void tlb_spaces_drop(CpuState *c);
void tlb_spaces_free(CpuState *c);
extern bool tlb_spaces_on; /* off: nothing is put aside. Constant after start-up */
/* tlb_protect - take the fast write path from every entry of the RAM page at host address @host;
 * @c is this thread's, or parked. */
void tlb_protect(CpuState *c, uint64_t host);
/* tlb_protect_tracked - the same for every page whose tracker word is not zero. Own thread. */
void tlb_protect_tracked(CpuState *c);
/* cpu_take_view - adopt the newest flat views; flushes. Own thread. */
void cpu_take_view(CpuState *c);
/* cpu_see_view - the same for data alone, inside of an instruction: REQ_MAP_CHANGED stays for the code. */
void cpu_see_view(CpuState *c);

static inline FlatView *cpu_view(const CpuState *c)
{
    return c->in_smm ? c->view_smm : c->view;
}

static inline bool canonical(vaddr a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

#endif
