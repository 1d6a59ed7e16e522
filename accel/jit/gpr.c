/*
 * What translated code calls while the vector and x87 registers hold the guest's values: this file
 * is compiled for general registers only (Makefile), and calls nothing that is not.
 */
#include "accel/jit/jit.h"

#include "accel/interp/code-page.h"
#include "base/mem.h"
#include "cpu/tlb.h"

/* ---- TLB misses ---- */

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };

/* A paging-structure entry; 0 where it is not in memory, which is not present. */
static uint64_t table_entry(const CpuState *c, hwaddr pa, unsigned width)
{
    const FlatRange **last = &c->jit.cpu->last_range, *r = *last;

    pa &= c->a20_mask;
    if (r == NULL || pa < r->first || pa > r->last) {
        *last = r = flat_find(cpu_view(c), pa);
    }
    if (r == NULL || r->host == NULL || width - 1 > r->last - pa) {
        return 0;
    }
    return width == 8 ? *(const uint64_t *)(r->host + (pa - r->first))
                      : *(const uint32_t *)(r->host + (pa - r->first));
}

typedef struct Walk {
    hwaddr table;
    unsigned shift, step, width;
    uint64_t phys, rsvd;
} Walk;

static bool walk_start(const CpuState *c, vaddr lin, Walk *w)
{
    bool lm = (c->efer & EFER_LMA) != 0;

    w->phys = ((1ull << c->phys_bits) - 1) & ~0xfffull;
    if (!(c->cr4 & CR4_PAE)) {
        *w = (Walk){ c->cr3 & 0xfffff000u, 22, 10, 4, 0xfffff000u, 0 };
        return true;
    }
    w->width = 8;
    w->step = 9;
    w->rsvd = (lm ? 0x000ffffffffff000ull : 0x7ffffffffffff000ull) & ~w->phys;
    w->rsvd |= c->efer & EFER_NXE ? 0 : 1ull << 63;
    w->shift = lm ? 39 : 21;
    w->table = (lm ? c->cr3 : c->pdpte[lin >> 30 & 3]) & w->phys;
    return lm ? canonical(lin) : (c->pdpte[lin >> 30 & 3] & PTE_P) != 0;
}

/* Is entry @e at w->shift the last? *odd: it is one that the thorough walk must look at. */
static bool is_leaf(const CpuState *c, const Walk *w, uint64_t e, bool *odd)
{
    if (w->shift == PAGE_SHIFT) {
        return true;
    }
    if (!(e & PTE_PS) || (w->width == 4 && !(c->cr4 & CR4_PSE))) {
        return false;
    }
    *odd = w->shift > 30 || (w->shift == 30 && !cpu_has(c, FEAT_PDPE1GB)) ||
           (e & w->phys & ((1ull << w->shift) - 1) & ~0x1fffull) != 0 ||
           (w->width == 4 && (e & 0x3fe000));
    return true;
}

/* The simple case of mmu_walk(): permitted, and nothing to be set in the tables. */
static bool walk(const CpuState *c, vaddr lin, bool write, Translation *t)
{
    bool user = c->mmu == MMU_USER, odd = false, writable;
    uint64_t all = PTE_W | PTE_U, e;
    Walk w;

    if (!(c->cr0 & CR0_PG)) {
        *t = (Translation){ .pa = lin & c->a20_mask, .writable = true, .shift = PAGE_SHIFT };
        return true;
    }
    if (!walk_start(c, lin, &w)) {
        return false;
    }
    for (;; w.shift -= w.step) {
        e = table_entry(c, w.table + (lin >> w.shift & ((1u << w.step) - 1)) * w.width, w.width);
        if ((e & (PTE_P | PTE_A)) != (PTE_P | PTE_A) || (e & w.rsvd)) {
            return false;
        }
        all &= e;
        if (is_leaf(c, &w, e, &odd)) {
            break;
        }
        w.table = e & w.phys;
    }
    writable = (e & PTE_D) && ((all & PTE_W) || (!user && !(c->cr0 & CR0_WP)));
    if (odd || (user && !(all & PTE_U)) || (c->mmu == MMU_SUPER_SMAP && (all & PTE_U)) ||
        (write && !writable)) {
        return false;
    }
    t->pa = ((e & w.phys & ~((1ull << w.shift) - 1)) | (lin & ((1ull << w.shift) - 1))) &
            c->a20_mask;
    t->writable = writable;
    t->global = (e & PTE_G) && (c->cr4 & CR4_PGE);
    t->shift = (uint8_t)w.shift;
    return true;
}

/* The page of @lin in the TLB. */
static bool fill(CpuState *c, vaddr lin, bool write)
{
    const TlbEntry *e = tlb_slot(c, c->mmu, lin);
    Translation t;

    if (c->mmu == MMU_USER_AC || (!c->code64 && lin >> 32) || !walk(c, lin, write, &t)) {
        return false;
    }
    tlb_enter(c, lin, c->mmu, &t);
    return (write ? e->wtag : e->rtag) == (lin & ~(vaddr)(PAGE_SIZE - 1));
}

static bool present(CpuState *c, vaddr lin)
{
    return tlb_rptr(c, c->mmu, lin, 1) != NULL || fill(c, lin, false);
}

/* A load that crosses into another page reads a copy of both ends; not past 4 GiB, which is past the segment's limit
 * (fill() refuses). */
static bool crossing_load(CpuState *c, vaddr lin)
{
    unsigned room = PAGE_SIZE - (lin & (PAGE_SIZE - 1)), max = sizeof(c->jit.bytes) / 2;
    vaddr next = lin + room;
    const uint8_t *from;

    if (!trick_on(TRICK_ONCE) || room >= max || !present(c, lin) || !present(c, next)) {
        return false;
    }
    from = tlb_rptr(c, c->mmu, lin, 1); /* the second may have taken its place */
    if (from == NULL) {
        return false;
    }
    for (unsigned n = 0; n < room; n++) {
        c->jit.bytes[n] = from[n];
    }
    from = tlb_rptr(c, c->mmu, next, 1);
    for (unsigned n = 0; n < max; n++) {
        c->jit.bytes[room + n] = from[n];
    }
    c->jit.once[1] = lin & (PAGE_SIZE - 1); /* which may be looked at for its alignment */
    c->jit.once[0] = (uint64_t)(uintptr_t)c->jit.bytes - c->jit.once[1];
    return true;
}

/* A store to a page that is tracked for this processor's code alone, but not to code. */
static bool beside_code(CpuState *c, vaddr lin)
{
    const TlbEntry *e = tlb_slot(c, c->mmu, lin);
    unsigned off = lin & (PAGE_SIZE - 1), widest = 32;
    CodePage *p;

    if (!trick_on(TRICK_ONCE) || e->rtag != lin - off || !(e->info & TLB_PLAIN) || off > PAGE_SIZE - widest ||
        __atomic_load_n(ram_tracker(e->host - (uint64_t)(uintptr_t)ram_host()), __ATOMIC_ACQUIRE) !=
            TRACK_CODE) {
        return false;
    }
    p = code_page(c->engine, (const uint8_t *)(uintptr_t)e->host);
    if (p == NULL || (p->granules & granules_of(off, off + widest - 1)) || ++p->writes >= HOT_WRITES) {
        return false;
    }
    c->jit.once[0] = e->host;
    c->jit.once[1] = off;
    return true;
}

unsigned jit_fill(CpuState *c, vaddr lin, uint64_t write)
{
    const TlbEntry *e = tlb_slot(c, c->mmu, lin);

    if ((write ? e->wtag : e->rtag) == (lin & ~(vaddr)(PAGE_SIZE - 1))) {
        return !write && crossing_load(c, lin) ? FILL_ONCE : FILL_NONE;
    }
    if (write && beside_code(c, lin)) {
        return FILL_ONCE;
    }
    return fill(c, lin, write) ? FILL_AGAIN : write && beside_code(c, lin) ? FILL_ONCE : FILL_NONE;
}

unsigned jit_fill_stack(CpuState *c, vaddr lin, uint64_t write)
{
    const TlbEntry *e = tlb_slot(c, c->mmu, lin);
    vaddr page = lin & ~(vaddr)(PAGE_SIZE - 1);
    unsigned widest = 32;
    TlbStack *s = &c->tlb_stack[c->mmu];

    if ((write ? e->wtag : e->rtag) != page) {
        unsigned done = jit_fill(c, lin, write);

        if (done != FILL_AGAIN) {
            return done;
        }
    }
    if (s->tag == page) {
        return jit_fill(c, lin, write); /* it crosses pages */
    }
    if (e->wtag == page) {
        *s = (TlbStack){ page, e->host, e->host - page };
        return FILL_AGAIN;
    }
    if (lin - page > PAGE_SIZE - widest) {
        return jit_fill(c, lin, write);
    }
    c->jit.once[0] = e->host;
    c->jit.once[1] = lin - page;
    return FILL_ONCE;
}

/* ---- x87 ---- */

void jit_x87_pack(CpuState *c)
{
    uint8_t *p = c->jit.x87;
    uint16_t tag = 0;

    for (unsigned n = 0; n < 8; n++) {
        const Float80 *v = &c->fpr[((c->fsw >> 11) + n) & 7];

        memcpy(p + 28 + 10 * n, &v->frac, 8);
        memcpy(p + 36 + 10 * n, &v->sexp, 2);
        tag |= (uint16_t)(c->fptag >> n & 1 ? 0 : 3u << 2 * n);
    }
    memcpy(p, &c->fcw, 2);
    memcpy(p + 4, &c->fsw, 2);
    memcpy(p + 8, &tag, 2);
}

void jit_x87_unpack(CpuState *c)
{
    const uint8_t *p = c->jit.x87;
    uint16_t tag;

    memcpy(&c->fcw, p, 2);
    memcpy(&c->fsw, p + 4, 2);
    memcpy(&tag, p + 8, 2);
    c->fptag = 0;
    for (unsigned n = 0; n < 8; n++) {
        Float80 *v = &c->fpr[((c->fsw >> 11) + n) & 7];

        memcpy(&v->frac, p + 28 + 10 * n, 8);
        memcpy(&v->sexp, p + 36 + 10 * n, 2);
        c->fptag |= (uint8_t)((tag >> 2 * n & 3) != 3 ? 1u << n : 0);
    }
}

/* ---- string instructions ---- */

typedef struct Str {
    uint64_t di, si, left, mask; /* offsets; elements; of the address size */
    unsigned size, op;
    bool down, repne;
} Str;

/* Host address of an element and, in *n, no more elements than are in its page. NULL: the reference. */
static uint8_t *element(CpuState *c, const Str *s, vaddr lin, bool write, uint64_t *n)
{
    unsigned off = lin & (PAGE_SIZE - 1);
    uint64_t room = s->down ? off / s->size + 1 : (PAGE_SIZE - off) / s->size;
    void *p = write ? tlb_wptr(c, c->mmu, lin, s->size) : tlb_rptr(c, c->mmu, lin, s->size);

    if (p == NULL && fill(c, lin, write)) {
        p = write ? tlb_wptr(c, c->mmu, lin, s->size) : tlb_rptr(c, c->mmu, lin, s->size);
    }
    *n = MIN(*n, room);
    return p;
}

#define BY_SIZE(s, ins)                                                                            \
    switch ((s)->size) {                                                                           \
    case 1: ins("b"); break;                                                                       \
    case 2: ins("w"); break;                                                                       \
    case 4: ins("l"); break;                                                                       \
    default: ins("q"); break;                                                                      \
    }

static void copy(const Str *s, uint8_t *d, uint8_t *from, uint64_t n)
{
#define UP(x) __asm__ volatile("rep movs" x : "+D"(d), "+S"(from), "+c"(n) : : "memory")
#define DOWN(x) __asm__ volatile("std\n\trep movs" x "\n\tcld" : "+D"(d), "+S"(from), "+c"(n) : : "memory", "cc")
    if (s->down) {
        BY_SIZE(s, DOWN)
    } else {
        BY_SIZE(s, UP)
    }
#undef UP
#undef DOWN
}

static void store(const Str *s, uint8_t *d, uint64_t v, uint64_t n)
{
#define UP(x) __asm__ volatile("rep stos" x : "+D"(d), "+c"(n) : "a"(v) : "memory")
#define DOWN(x) __asm__ volatile("std\n\trep stos" x "\n\tcld" : "+D"(d), "+c"(n) : "a"(v) : "memory", "cc")
    if (s->down) {
        BY_SIZE(s, DOWN)
    } else {
        BY_SIZE(s, UP)
    }
#undef UP
#undef DOWN
}

/* Repeated comparisons; how many elements, and the flags in the form of JitState.flags. */
#define COMPARISON(ins, ...)                                                                       \
    __asm__ volatile("testb %b[down], %b[down]\n\tjz 1f\n\tstd\n1:\t" ins                         \
                     "\n\tlahf\n\tseto %%al\n\tcld"                                              \
                     : __VA_ARGS__, "+D"(d), "+c"(left)                                            \
                     : [down] "r"(s->down) : "memory", "cc")
#define CMPS_E(x) COMPARISON("repe cmps" x, "=&a"(ax), "+S"(from))
#define CMPS_NE(x) COMPARISON("repne cmps" x, "=&a"(ax), "+S"(from))
#define SCAS_E(x) COMPARISON("repe scas" x, "+a"(ax))
#define SCAS_NE(x) COMPARISON("repne scas" x, "+a"(ax))

static uint64_t compare(const Str *s, uint8_t *d, uint8_t *from, uint64_t n, uint16_t *flags)
{
    uint64_t left = n, ax = 0;

    if (s->repne) {
        BY_SIZE(s, CMPS_NE)
    } else {
        BY_SIZE(s, CMPS_E)
    }
    *flags = (uint16_t)ax;
    return n - left;
}

static uint64_t scan(const Str *s, uint8_t *d, uint64_t v, uint64_t n, uint16_t *flags)
{
    uint64_t left = n, ax = v;

    if (s->repne) {
        BY_SIZE(s, SCAS_NE)
    } else {
        BY_SIZE(s, SCAS_E)
    }
    *flags = (uint16_t)ax;
    return n - left;
}

static void load(CpuState *c, const Str *s, const uint8_t *from)
{
    switch (s->size) {
    case 1: memcpy(&c->regs[GPR_RAX], from, 1); break;
    case 2: memcpy(&c->regs[GPR_RAX], from, 2); break;
    case 4: c->regs[GPR_RAX] = 0; memcpy(&c->regs[GPR_RAX], from, 4); break; /* clears the upper half */
    default: memcpy(&c->regs[GPR_RAX], from, 8); break;
    }
}

enum { MOVS = 0xa4, CMPS = 0xa6, STOS = 0xaa, LODS = 0xac, SCAS = 0xae };

/* As much as lies in one page (each). False: the reference. *stop: the comparison ended it. */
static bool chunk(CpuState *c, const Insn *i, Str *s, bool *stop)
{
    bool src = s->op != STOS && s->op != SCAS, dst = s->op != LODS;
    vaddr base = i->seg >= SEG_FS ? c->segs[i->seg].base : 0;
    uint8_t *d = NULL, *from = NULL;
    uint64_t n = s->left;
    int64_t by;

    if (src) {
        vaddr lin = s->si + base;

        from = element(c, s, c->code64 ? lin : (uint32_t)lin, false, &n);
    }
    if (dst) {
        d = element(c, s, s->di, s->op == MOVS || s->op == STOS, &n);
    }
    if ((src && from == NULL) || (dst && d == NULL)) {
        return false;
    }
    switch (s->op) {
    case MOVS: copy(s, d, from, n); break;
    case STOS: store(s, d, c->regs[GPR_RAX], n); break;
    case LODS: load(c, s, from + (s->down ? -(int64_t)(n - 1) : (int64_t)(n - 1)) * (int64_t)s->size); break;
    case CMPS: n = compare(s, d, from, n, &c->jit.flags); break;
    default: n = scan(s, d, c->regs[GPR_RAX], n, &c->jit.flags); break;
    }
    if (s->op == CMPS || s->op == SCAS) {
        *stop = ((c->jit.flags >> 8 & FLAG_ZF) != 0) == s->repne;
    }
    by = (s->down ? -(int64_t)n : (int64_t)n) * (int64_t)s->size;
    s->si = (s->si + (uint64_t)by) & s->mask;
    s->di = (s->di + (uint64_t)by) & s->mask;
    s->left -= n;
    return true;
}

static void put_back(CpuState *c, const Str *s, bool rep)
{
    if (s->op != STOS && s->op != SCAS) {
        c->regs[GPR_RSI] = s->si;
    }
    if (s->op != LODS) {
        c->regs[GPR_RDI] = s->di;
    }
    if (rep) {
        c->regs[GPR_RCX] = s->left;
    }
}

unsigned jit_string(CpuState *c, const Insn *i, uint64_t next)
{
    uint64_t mask = i->asize == 8 ? ~0ull : 0xffffffff;
    bool rep = (i->flags & (INSN_REP | INSN_REPNE)) != 0, stop = false, asked = false;
    uint64_t count = rep ? c->regs[GPR_RCX] & mask : 1;
    Str s = { .di = c->regs[GPR_RDI] & mask, .si = c->regs[GPR_RSI] & mask, .left = count,
              .mask = mask, .op = i->opcode & 0xfe, .size = i->opcode & 1 ? i->opsize : 1,
              .down = (c->rflags & FLAG_DF) != 0, .repne = (i->flags & INSN_REPNE) != 0 };
    bool good = i->asize == 8 || i->seg < SEG_FS || c->segs[i->seg].base == 0;

    c->mid_repeat = false;
    while (s.left != 0 && good && !stop && !asked) {
        good = chunk(c, i, &s, &stop);
        asked = (__atomic_load_n(&c->requests, __ATOMIC_RELAXED) & c->jit.poll) != 0;
    }
    if (s.left != count) {
        put_back(c, &s, rep);
    }
    if (s.left == 0 || stop) {
        return STRING_DONE;
    }
    if (!good) {
        return STRING_HELP;
    }
    c->regs[GPR_RIP] = next - i->len;
    c->mid_repeat = true;
    c->jit.ret_sp += 8; /* the stub does not return */
    return STRING_LEAVE;
}
