/*
 * The human monitor: what the page tables of the current processor map (info mem, info tlb).
 * Source: Intel SDM vol. 3, "Paging". Read as the processor would, without setting bits.
 */
#include "monitor/hmp-internal.h"

#include <inttypes.h>
#include "accel/accel.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "cpu/cpu.h"
#include "cpu/mmu.h"

/* Entries looked at: tables that lead to themselves describe more pages than anybody reads. */
enum { ENTRIES_MAX = 4 << 20, LINES_MAX = 1 << 16 };

/* Bits of an entry */
enum { E_P = 1, E_W = 2, E_U = 4, E_PWT = 8, E_PCD = 16, E_A = 32, E_D = 64, E_PS = 128, E_G = 256 };
#define E_NX (1ull << 63)

typedef struct Level {
    uint8_t shift, bits, size;
} Level;

static const Level levels32[] = { { 22, 10, 4 }, { 12, 10, 4 }, { 0 } };
static const Level levels_pae[] = { { 30, 2, 8 }, { 21, 9, 8 }, { 12, 9, 8 }, { 0 } };
static const Level levels64[] = { { 39, 9, 8 }, { 30, 9, 8 }, { 21, 9, 8 }, { 12, 9, 8 }, { 0 } };

typedef struct Scan {
    CpuState *c;
    FILE *out;
    /* @rights: E_U and E_W of all levels */
    void (*page)(struct Scan *s, uint64_t lin, uint64_t entry, unsigned shift, unsigned rights);
    unsigned entries, lines;
    /* info mem: the range so far */
    uint64_t start, end;
    unsigned rights;
} Scan;

static bool is_leaf(const Scan *s, const Level *l, uint64_t entry)
{
    bool large = l->shift == 21 || l->shift == 30 ? l->shift == 21 || s->c->efer & EFER_LMA
                 : l->shift == 22                 ? (s->c->cr4 & CR4_PSE) != 0
                                                  : false;

    return l->shift == 12 || (large && (entry & E_PS));
}

static void scan(Scan *s, const Level *l, uint64_t table, uint64_t base, unsigned rights)
{
    for (unsigned n = 0; n < 1u << l->bits && s->lines < LINES_MAX; n++) {
        uint64_t entry = 0, lin = base | (uint64_t)n << l->shift;
        unsigned all;

        if (++s->entries > ENTRIES_MAX) {
            return;
        }
        if (!mem_peek(table + n * l->size, &entry, l->size, s->c->in_smm) || !(entry & E_P)) {
            continue;
        }
        /* the four entries that PAE's CR3 points to have no rights */
        all = l->shift == 30 && l->bits == 2 ? rights : rights & (unsigned)entry;
        if (is_leaf(s, l, entry)) {
            s->page(s, lin & 1ull << 47 ? lin | 0xffffull << 48 : lin, entry, l->shift, all);
        } else {
            scan(s, l + 1, entry & 0x000ffffffffff000ull, lin, all);
        }
    }
}

static void scan_all(Scan *s)
{
    const CpuState *c = s->c;
    const Level *l = c->efer & EFER_LMA ? levels64 : c->cr4 & CR4_PAE ? levels_pae : levels32;

    if (!(c->cr0 & CR0_PG)) {
        fprintf(s->out, "PG disabled\n");
        return;
    }
    scan(s, l, c->cr3 & (l == levels_pae ? 0xffffffe0ull : 0x000ffffffffff000ull), 0, E_U | E_W);
}

static void end_scan(const Scan *s)
{
    if (s->entries > ENTRIES_MAX || s->lines >= LINES_MAX) {
        fprintf(s->out, "(there is more: it is not shown)\n");
    }
}

static void print_page(Scan *s, uint64_t lin, uint64_t e, unsigned shift, unsigned rights)
{
    uint64_t pa = e & 0x000ffffffffff000ull & ~((1ull << shift) - 1);

    s->lines++;
    fprintf(s->out, "%016" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c%c%c\n", lin, pa,
            e & E_NX ? 'X' : '-', e & E_G ? 'G' : '-', shift > 12 ? 'P' : '-', e & E_D ? 'D' : '-',
            e & E_A ? 'A' : '-', e & E_PCD ? 'C' : '-', e & E_PWT ? 'T' : '-', e & E_U ? 'U' : '-',
            e & E_W ? 'W' : '-');
}

static void end_range(Scan *s)
{
    if (s->end != s->start) {
        s->lines++;
        fprintf(s->out, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c\n", s->start, s->end,
                s->end - s->start, s->rights & E_U ? 'u' : '-', s->rights & E_W ? 'w' : '-');
    }
}

static void add_page(Scan *s, uint64_t lin, uint64_t e, unsigned shift, unsigned rights)
{
    if (lin != s->end || rights != s->rights || s->end == s->start) {
        end_range(s);
        s->start = lin;
        s->rights = rights;
    }
    s->end = lin + (1ull << shift);
}

void hmp_info_tlb(HmpSession *m, FILE *out, const Args *a)
{
    Scan s = { .c = hmp_cpu(m), .out = out, .page = print_page };

    accel_pause();
    scan_all(&s);
    accel_resume();
    end_scan(&s);
}

void hmp_info_mem(HmpSession *m, FILE *out, const Args *a)
{
    Scan s = { .c = hmp_cpu(m), .out = out, .page = add_page };

    accel_pause();
    scan_all(&s);
    accel_resume();
    end_range(&s);
    end_scan(&s);
}
