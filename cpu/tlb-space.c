/*
 * What the TLB held of address spaces that have a PCID, while it is another's turn. Source: Intel SDM vol. 3A, section 4.10.1
 * "Process-Context Identifiers (PCIDs)" and 4.10.4 "Invalidation of TLBs and Paging-Structure Caches".
 *
 * Entries are not tagged: they are put aside when CR3 goes, and back when it returns with bit 63 set. Only so many as the log of
 * filled slots lists. No record has the PCID that is in CR3, so that INVLPG need not look here; INVPCID of others drops all records.
 */
#include <stdlib.h>
#include <string.h>
#include "cpu/tlb.h"

#include "base/mem.h"

#define SPACES 8

typedef struct SavedEntry {
    TlbEntry e;
    unsigned slot; /* as in CpuState.tlb_log */
} SavedEntry;

typedef struct SavedSpace {
    uint64_t cr3, used;
    uint8_t large_data[2]; /* CpuState.large_data[0] */
    unsigned count; /* 0: nothing is known */
    SavedEntry entry[TLB_LOG];
} SavedSpace;

struct TlbSpaces {
    uint64_t turns;
    SavedSpace space[SPACES];
};

bool tlb_spaces_on = true;

void tlb_spaces_drop(CpuState *c)
{
    for (unsigned k = 0; c->tlb_spaces != NULL && k < SPACES; k++) {
        c->tlb_spaces->space[k].count = 0;
    }
}

void tlb_spaces_free(CpuState *c)
{
    free(c->tlb_spaces);
    c->tlb_spaces = NULL;
}

/* A record that is free, else the one that was put aside longest ago. */
static SavedSpace *oldest(struct TlbSpaces *all)
{
    SavedSpace *s = &all->space[0];

    for (unsigned k = 1; k < SPACES && s->count != 0; k++) {
        SavedSpace *o = &all->space[k];

        s = o->count == 0 || o->used < s->used ? o : s;
    }
    return s;
}

void tlb_space_leave(CpuState *c, uint64_t cr3)
{
    unsigned most = MIN(c->tlb_logged, TLB_LOG);
    SavedSpace *s;

    if (!tlb_spaces_on || most == 0) {
        return;
    }
    if (c->tlb_spaces == NULL) {
        c->tlb_spaces = calloc(1, sizeof(*c->tlb_spaces));
        if (c->tlb_spaces == NULL) { /* it was to save time only */
            return;
        }
    }
    s = oldest(c->tlb_spaces);
    s->cr3 = cr3;
    s->used = ++c->tlb_spaces->turns;
    s->count = 0;
    memcpy(s->large_data, c->large_data[0], sizeof(s->large_data));
    for (unsigned k = 0; k < most; k++) {
        unsigned n = c->tlb_log[k] & (TLB_SIZE - 1);
        const TlbEntry *e = &c->tlb[c->tlb_log[k] >> TLB_BITS][n];

        if (e->rtag != TLB_NONE(n) && !(e->info & 1)) {
            s->entry[s->count++] = (SavedEntry){ *e, c->tlb_log[k] };
        }
    }
}

/* The entries of @s where no other is; stores to a page whose tracker asks for it take the slow path. */
static void put_back(CpuState *c, SavedSpace *s)
{
    for (unsigned k = 0; k < s->count; k++) {
        unsigned m = s->entry[k].slot >> TLB_BITS, n = s->entry[k].slot & (TLB_SIZE - 1);
        TlbEntry *e = &c->tlb[m][n];

        if (e->rtag != TLB_NONE(n)) {
            continue;
        }
        *e = s->entry[k].e;
        if (e->wtag != TLB_NONE(n) &&
            __atomic_load_n(ram_tracker(e->host - (uint64_t)(uintptr_t)ram_host()), __ATOMIC_ACQUIRE) != 0) {
            e->wtag = TLB_NONE(n);
        }
        c->tlb_used[m] = true;
        c->tlb_log[c->tlb_logged++] = (uint16_t)s->entry[k].slot;
    }
    for (unsigned half = 0; half < 2; half++) {
        c->large_data[0][half] = MAX(c->large_data[0][half], s->large_data[half]);
    }
}

void tlb_space_enter(CpuState *c, uint64_t cr3, bool keep)
{
    for (unsigned k = 0; c->tlb_spaces != NULL && k < SPACES; k++) {
        SavedSpace *s = &c->tlb_spaces->space[k];

        if (((s->cr3 ^ cr3) & CR3_PCID) != 0 || s->count == 0) {
            continue;
        }
        if (keep && s->cr3 == cr3) {
            put_back(c, s);
        }
        s->count = 0;
    }
}
