/*
 * Finding, building and dropping decoded blocks.
 */
#include "accel/interp/block.h"

#include <pthread.h>
#include <stdlib.h>
#include "accel/accel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "cpu/disas.h"
#include "cpu/engine.h"
#include "cpu/mmu.h"

#define ARENA_BYTES (48u << 20)
#define HASH_SIZE 32768u
#define PAGE_HASH 8192u
#define QUEUE 64u
#define MAX_JUMPS 6u
#define HOT_WRITES 16   /* stores beside the code of a page before it is given up */

/* A page of RAM that holds blocks of this processor. */
typedef struct CodePage {
    struct CodePage *next;
    const uint8_t *host;
    Block *blocks;
    uint64_t granules; /* bit n: bytes [64n, 64n+64) hold code */
    unsigned writes;   /* that hit no code */
} CodePage;

/* A code page by linear address, so that building and misses need no walk. */
typedef struct FetchEntry {
    vaddr page;
    uint32_t key, gen;
    const uint8_t *host;
} FetchEntry;

struct Engine {
    JumpCache quick;
    FetchEntry fetch[64];
    Block *hash[HASH_SIZE];
    CodePage *pages[PAGE_HASH];
    Insn single; /* block_single()'s */
    uint8_t *arena;
    size_t used;
    pthread_mutex_t queue_lock;
    struct {
        uint64_t offset, len;
    } queue[QUEUE];
    unsigned queued;   /* more than QUEUE: drop everything */
    unsigned limit;    /* instructions of a block */
    bool extended;     /* see block_extend() */
    void (*dropped)(CpuState *c, Block *b);
};
typedef struct Engine Engine;

static unsigned host_hash(const uint8_t *host, uint32_t key)
{
    uint64_t h = ((uint64_t)(uintptr_t)host + key) * 0x9e3779b97f4a7c15ull;

    return (unsigned)(h >> 49);
}

static unsigned page_hash(const uint8_t *host)
{
    return (unsigned)((uint64_t)(uintptr_t)host >> PAGE_SHIFT) & (PAGE_HASH - 1);
}

static JumpEntry *jump_slot(Engine *e, vaddr lin)
{
    return &e->quick.entry[jump_index(lin)];
}

bool block_init(CpuState *c, struct Error **errp)
{
    Engine *e = xnew(Engine);

    e->arena = try_alloc0(1, ARENA_BYTES);
    if (e->arena == NULL) {
        free(e);
        error_set(errp, "no memory for decoded code (%u MiB)", ARENA_BYTES >> 20);
        return false;
    }
    e->quick.gen = 1;
    e->limit = BLOCK_INSNS;
    pthread_mutex_init(&e->queue_lock, NULL);
    c->engine = e;
    return true;
}

void block_limit(CpuState *c, unsigned insns)
{
    c->engine->limit = insns;
}

void block_extend(CpuState *c, void (*dropped)(CpuState *c, Block *b))
{
    c->engine->extended = true;
    c->engine->dropped = dropped;
}

void block_fini(CpuState *c)
{
    if (c->engine != NULL) {
        block_drop_all(c);
        pthread_mutex_destroy(&c->engine->queue_lock);
        free(c->engine->arena);
        free(c->engine);
        c->engine = NULL;
    }
}

/* ---- tracking of pages ---- */

static bool in_ram(const uint8_t *host)
{
    return host >= ram_host() && (uint64_t)(host - ram_host()) < ram_total();
}

static CodePage *find_page(Engine *e, const uint8_t *host)
{
    CodePage *p = e->pages[page_hash(host)];

    while (p != NULL && p->host != host) {
        p = p->next;
    }
    return p;
}

/* The page at @host gets its first block: from now on stores to it are seen. May wait for the other
 * processors, and while it does so all code may be dropped. */
static void track_page(CpuState *c, const uint8_t *host)
{
    Engine *e = c->engine;
    CodePage *p = xnew(CodePage);
    uint32_t *word;

    p->host = host;
    p->next = e->pages[page_hash(host)];
    e->pages[page_hash(host)] = p;
    word = ram_tracker((uint64_t)(host - ram_host()));
    if ((__atomic_fetch_add(word, TRACK_CODE, __ATOMIC_SEQ_CST) & TRACK_CODE_MASK) == 0) {
        engine_ops->exclusive_begin(c);
        for (unsigned k = 0; k < accel_cpu_count(); k++) {
            tlb_protect(accel_cpu(k), (uint64_t)(uintptr_t)host);
        }
        engine_ops->exclusive_end(c);
    }
}

static void untrack_page(Engine *e, CodePage *p)
{
    CodePage **link = &e->pages[page_hash(p->host)];

    while (*link != p) {
        link = &(*link)->next;
    }
    *link = p->next;
    __atomic_fetch_sub(ram_tracker((uint64_t)(p->host - ram_host())), TRACK_CODE,
                       __ATOMIC_SEQ_CST);
    free(p);
}

/* ---- dropping ---- */

static void exec_nothing(CpuState *c, const Insn *i)
{
}

static void unhash(CpuState *c, Block *b)
{
    Engine *e = c->engine;
    const Insn *now = c->insn;
    bool inside = now >= b->insns && now < b->insns + b->count;

    Block **link = &e->hash[host_hash(b->host, b->key)];

    while (*link != NULL && *link != b) {
        link = &(*link)->hash_next;
    }
    if (*link == b) {
        *link = b->hash_next;
    }
    for (unsigned n = inside ? (unsigned)(now - b->insns) + 1 : b->count; n < b->count; n++) {
        b->insns[n].exec = exec_nothing;
        b->insns[n].end = now->end;
    }
    if (b->trans != NULL) {
        e->dropped(c, b);
    }
    accel_stats.dropped++;
}

static bool overlaps(const Block *b, const uint8_t *lo, const uint8_t *hi)
{
    return (b->host < hi && lo < b->host + b->bytes) || b->host2 != NULL;
}

/* Drop the blocks of @p that overlap [lo, hi) (all when lo is NULL); frees p when none is left. */
static void drop_in_page(CpuState *c, CodePage *p, const uint8_t *lo, const uint8_t *hi)
{
    Engine *e = c->engine;
    Block **link = &p->blocks;

    p->granules = 0;
    while (*link != NULL) {
        Block *b = *link;

        if (lo == NULL || overlaps(b, lo, hi)) {
            *link = b->page_next;
            unhash(c, b);
        } else {
            unsigned first = (unsigned)(b->host - p->host) / 64;
            unsigned last = MIN((unsigned)(b->host + b->bytes - 1 - p->host) / 64, 63u);

            for (unsigned g = first; g <= last; g++) {
                p->granules |= 1ull << g;
            }
            link = &b->page_next;
        }
    }
    e->quick.gen++;
    if (p->blocks == NULL) {
        untrack_page(e, p);
    }
}

static void drop_range(CpuState *c, uint64_t ram_offset, uint64_t len)
{
    Engine *e = c->engine;
    const uint8_t *lo = ram_host() + ram_offset, *end = lo + len;

    while (lo < end) {
        const uint8_t *page = ram_host() + ((uint64_t)(lo - ram_host()) & ~0xfffull);
        const uint8_t *hi = MIN(end, page + PAGE_SIZE);
        CodePage *p = find_page(e, page);

        if (p != NULL) {
            unsigned first = (unsigned)(lo - page) / 64, last = (unsigned)(hi - 1 - page) / 64;
            uint64_t mask = (~0ull >> (63 - (last - first))) << first;

            if (p->granules & mask) {
                drop_in_page(c, p, lo, hi);
            } else if (++p->writes >= HOT_WRITES) {
                drop_in_page(c, p, NULL, NULL);
            }
        }
        lo = hi;
    }
}

void block_code_written(CpuState *c, uint64_t ram_offset, unsigned len)
{
    drop_range(c, ram_offset, len);
}

void block_queue_drop(CpuState *c, uint64_t ram_offset, uint64_t len)
{
    Engine *e = c->engine;
    bool any = false;

    for (uint64_t at = ram_offset & ~0xfffull; at < ram_offset + len && !any; at += PAGE_SIZE) {
        any = __atomic_load_n(ram_tracker(at), __ATOMIC_SEQ_CST) & TRACK_CODE_MASK;
    }
    if (!any) {
        return;
    }
    pthread_mutex_lock(&e->queue_lock);
    if (e->queued < QUEUE) {
        e->queue[e->queued].offset = ram_offset;
        e->queue[e->queued].len = len;
    }
    e->queued += e->queued <= QUEUE;
    pthread_mutex_unlock(&e->queue_lock);
    cpu_request(c, REQ_CODE_DROP);
}

void block_take_queue(CpuState *c)
{
    Engine *e = c->engine;

    pthread_mutex_lock(&e->queue_lock);
    if (e->queued > QUEUE) {
        e->queued = 0;
        pthread_mutex_unlock(&e->queue_lock);
        block_drop_all(c);
        return;
    }
    for (unsigned n = 0; n < e->queued; n++) {
        drop_range(c, e->queue[n].offset, e->queue[n].len);
    }
    e->queued = 0;
    pthread_mutex_unlock(&e->queue_lock);
}

void block_drop_all(CpuState *c)
{
    Engine *e = c->engine;

    for (unsigned h = 0; h < PAGE_HASH; h++) {
        while (e->pages[h] != NULL) {
            drop_in_page(c, e->pages[h], NULL, NULL);
        }
    }
    for (unsigned h = 0; h < HASH_SIZE; h++) { /* ROM blocks are in no page */
        while (e->hash[h] != NULL) {
            unhash(c, e->hash[h]);
        }
    }
    e->quick.gen++;
    e->quick.full = true; /* the arena is reused once nothing of it is being executed */
}

static void reclaim(Engine *e)
{
    e->quick.full = false;
    e->used = 0;
    accel_stats.resets++;
}

void block_flush(CpuState *c)
{
    if (c->engine != NULL) {
        c->engine->quick.gen++;
    }
}

void block_flush_page(CpuState *c, vaddr page)
{
    Engine *e = c->engine;

    /* a block that starts in the page before may reach into this one */
    for (unsigned k = 0; k < 2; k++, page -= PAGE_SIZE) {
        memset(&e->quick.entry[(page >> PAGE_SHIFT & (JUMP_PAGES - 1)) * JUMP_WAYS], 0,
               JUMP_WAYS * sizeof(JumpEntry));
        e->fetch[page >> PAGE_SHIFT & 63].gen = 0;
    }
}

/* ---- building ---- */

/* Host address of the code byte at @lin, or NULL outside of RAM and ROM. */
static const uint8_t *fetch_host(CpuState *c, vaddr lin)
{
    Engine *e = c->engine;
    FetchEntry *f = &e->fetch[lin >> PAGE_SHIFT & 63];
    vaddr page = lin & ~0xfffull;
    hwaddr pa;

    if (f->gen != e->quick.gen || f->page != page || f->key != c->mode_key) {
        const uint8_t *host = mmu_fetch(c, page, &pa);

        if (host == NULL) {
            return NULL;
        }
        f->page = page;
        f->key = c->mode_key;
        f->gen = e->quick.gen;
        f->host = host;
    }
    return f->host + (lin & 0xfff);
}

static vaddr next_page_lin(const CpuState *c, vaddr lin)
{
    vaddr next = (lin & ~0xfffull) + PAGE_SIZE;

    return c->efer & EFER_LMA ? next : (uint32_t)next;
}

/* Decode one instruction at @lin whose offset in CS is @rip. @host2 is set when it takes bytes of
 * the next page. Raises #GP(0) past the CS limit and fetch faults. */
static void decode_at(CpuState *c, vaddr lin, uint64_t rip, const uint8_t *host,
                      const uint8_t **host2, Insn *i)
{
    DecodeMode m = { c->mode_bits, (c->cr0 & CR0_PE) && !(c->rflags & FLAG_VM), c->features };
    unsigned room = PAGE_SIZE - (lin & 0xfff), avail = MIN(room, 15u);
    uint64_t limit_room = 15;
    uint8_t buf[15];
    DecodeResult res;

    if (c->mode_bits != 64) {
        uint32_t limit = c->segs[SEG_CS].limit;

        limit_room = rip > limit ? 0 : MIN((uint64_t)limit - rip + 1, 15ull);
        avail = (unsigned)MIN((uint64_t)avail, limit_room);
    }
    *host2 = NULL;
    res = decode_insn(&m, host, avail, i);
    if (res != DECODE_MORE) {
        return;
    }
    if (avail == limit_room) {
        cpu_gp0(c);
    }
    memcpy(buf, host, avail);
    *host2 = fetch_host(c, next_page_lin(c, lin));
    if (*host2 == NULL) {
        cpu_gp0(c);
    }
    memcpy(buf + avail, *host2, 15 - avail);
    res = decode_insn(&m, buf, (unsigned)limit_room, i);
    if (res == DECODE_MORE) {
        cpu_gp0(c);
    }
}

static const uint8_t *page_of(const uint8_t *host)
{
    return ram_host() + ((uint64_t)(host - ram_host()) & ~0xfffull);
}

/* Before a block is built at @host: there is room for it, and its page is tracked. No block is being
 * executed now. */
static void prepare(CpuState *c, const uint8_t *host)
{
    Engine *e = c->engine;

    if (e->used + sizeof(Block) + BLOCK_INSNS * sizeof(Insn) > ARENA_BYTES) {
        block_drop_all(c);
    }
    while (in_ram(host) && find_page(e, page_of(host)) == NULL) {
        track_page(c, page_of(host));
    }
    if (e->quick.full) {
        reclaim(e);
    }
}

static void enter_page(CpuState *c, Block *b, const uint8_t *host, unsigned bytes)
{
    const uint8_t *page;
    CodePage *p;

    if (!in_ram(host)) {
        return;
    }
    page = page_of(host);
    p = find_page(c->engine, page);
    for (unsigned g = (unsigned)(host - page) / 64;
         g <= MIN((unsigned)(host - page + bytes - 1) / 64, 63u); g++) {
        p->granules |= 1ull << g;
    }
    b->page_next = p->blocks;
    p->blocks = b;
}

/* @jumps: conditional ones in the block. Code behind one is likely to be translated again from the
 * target of another, so that their number is bounded. */
static bool ends_block(const Engine *e, const Insn *i, const OpRow *row, unsigned *jumps)
{
    if (e->extended && (row->flags & (OP_CC | OP_END)) == (OP_CC | OP_END)) {
        return ++*jumps == MAX_JUMPS;
    }
    if (e->extended && (row->flags & OP_IO) && row->map == MAP_1 && row->op >= 0xa4 && row->op <= 0xaf) {
        return false; /* a string instruction */
    }
    if (e->extended && row->map == MAP_1 && row->op == 0xfb) {
        return false; /* STI: the next instruction belongs to it */
    }
    return (row->flags & (OP_END | OP_IO)) != 0;
}

/* A block whose last instruction crosses into another page is listed only under its first; so that
 * stores to the second page are seen too, such instructions stand alone in their block and are
 * found again only while both pages' bytes are the ones decoded. */
static bool same_code(CpuState *c, const Block *b, vaddr lin)
{
    if (b->host2 == NULL) {
        return true;
    }
    return fetch_host(c, next_page_lin(c, lin)) == b->host2 && b->insns[0].len == b->bytes &&
           memcmp(b->insns + 1, b->host2, b->bytes - (PAGE_SIZE - (lin & 0xfff))) == 0;
}

static Block *build(CpuState *c, vaddr lin, const uint8_t *host, uint32_t key)
{
    Engine *e = c->engine;
    Block *b = (Block *)(e->arena + e->used);
    vaddr at = lin;
    uint64_t rip = c->regs[GPR_RIP];
    unsigned jumps = 0;

    b->host = host;
    b->host2 = NULL;
    b->key = key;
    b->count = 0;
    b->bytes = 0;
    b->runs = 0;
    b->trans = NULL;
    while (b->count < e->limit) {
        Insn *i = &b->insns[b->count];
        const uint8_t *second;

        if (b->count > 0 && (((at ^ lin) & ~0xfffull) || (lin & 0xfff) + b->bytes > PAGE_SIZE - 15 ||
                             (accel_breakpoints && accel_breakpoint_offset(at & 0xfff)))) {
            break;
        }
        decode_at(c, at, rip, host + b->bytes, &second, i);
        b->host2 = second;
        b->bytes = (uint16_t)(b->bytes + i->len);
        i->end = b->bytes;
        b->count++;
        at += i->len;
        rip += i->len;
        if (second != NULL || ends_block(e, i, opcode_row(i), &jumps)) {
            break;
        }
    }
    if (b->host2 != NULL) { /* keep the second page's bytes behind the record, for same_code() */
        memcpy(b->insns + 1, b->host2, b->bytes - (PAGE_SIZE - (lin & 0xfff)));
    }
    e->used += sizeof(Block) + (b->count + (b->host2 != NULL)) * sizeof(Insn);
    e->used = (e->used + 15) & ~15ull;
    b->hash_next = e->hash[host_hash(host, key)];
    e->hash[host_hash(host, key)] = b;
    enter_page(c, b, host, b->host2 != NULL ? PAGE_SIZE - (unsigned)(lin & 0xfff) : b->bytes);
    accel_stats.blocks++;
    accel_stats.decoded += b->count;
    if (log_on(LOG_IN_ASM)) {
        disas_log(c, lin, host, b->host2 != NULL ? 0 : b->bytes);
    }
    return b;
}

#define KEY_DECODE 7u /* the part of mode_key that decoding depends on */

const Block *block_lookup(CpuState *c, vaddr lin)
{
    Engine *e = c->engine;
    JumpEntry *j = jump_slot(e, lin);
    const uint8_t *host;
    Block *b;

    host = fetch_host(c, lin);
    if (host == NULL) {
        return NULL;
    }
    for (b = e->hash[host_hash(host, c->mode_key & KEY_DECODE)]; b != NULL; b = b->hash_next) {
        if (b->host == host && b->key == (c->mode_key & KEY_DECODE) && same_code(c, b, lin)) {
            break;
        }
    }
    if (b == NULL) {
        prepare(c, host);
        b = build(c, lin, host, c->mode_key & KEY_DECODE);
    }
    if (b->host2 == NULL) { /* crossing blocks are checked every time */
        j->lin = lin;
        j->key = c->mode_key;
        j->gen = e->quick.gen;
        j->block = b;
    }
    return b;
}

const Insn *block_single(CpuState *c, vaddr lin)
{
    Insn *i = &c->engine->single;
    const uint8_t *host = fetch_host(c, lin), *second;
    uint8_t buf[15];
    hwaddr pa;

    if (host != NULL) {
        decode_at(c, lin, c->regs[GPR_RIP], host, &second, i);
        return i;
    }
    mmu_fetch(c, lin, &pa);
    for (unsigned n = 0; n < 15; n++) {
        buf[n] = (uint8_t)phys_ld(c, (pa & ~0xfffull) | ((pa + n) & 0xfff), 1);
    }
    DecodeMode m = { c->mode_bits, (c->cr0 & CR0_PE) && !(c->rflags & FLAG_VM), c->features };
    if (decode_insn(&m, buf, 15, i) == DECODE_MORE) {
        cpu_gp0(c);
    }
    return i;
}
