/*
 * The pages of RAM that hold decoded blocks: tracking them, and dropping blocks that were stored to.
 */
#include "accel/interp/code-page.h"

#include <stdlib.h>
#include "accel/accel.h"
#include "cpu/engine.h"
#include "cpu/mmu.h"

/* ---- tracking of pages ---- */

/* The page at @host gets its first block: from now on stores to it are seen. */
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
    b->dead = true;
    if (b->trans != NULL) {
        e->dropped(c, b);
    }
    accel_count(&accel_stats.dropped, 1);
}

/* The bytes of @b in its first page; the rest is in its second. */
static unsigned head_bytes(const Block *b)
{
    return b->host2 == NULL ? b->bytes
                            : PAGE_SIZE - (unsigned)((uintptr_t)b->host & (PAGE_SIZE - 1));
}

/* Take @b from the list of the other page that it is in, which stays tracked. */
static void leave_tail(Engine *e, Block *b)
{
    CodePage *p = b->host2 != NULL && in_ram(b->host2) ? code_page(e, b->host2) : NULL;

    for (Block **link = p != NULL ? &p->tails : NULL; link != NULL && *link != NULL;
         link = &(*link)->tail_next) {
        if (*link == b) {
            *link = b->tail_next;
            break;
        }
    }
}

static void leave_head(Engine *e, Block *b)
{
    CodePage *p = in_ram(b->host) ? code_page(e, page_of(b->host)) : NULL;

    for (Block **link = p != NULL ? &p->blocks : NULL; link != NULL && *link != NULL;
         link = &(*link)->page_next) {
        if (*link == b) {
            *link = b->page_next;
            break;
        }
    }
}

/* Blocks that end in @p and overlap [p->host, hi). */
static void drop_tails(CpuState *c, CodePage *p, const uint8_t *lo)
{
    Block **link = &p->tails;

    while (*link != NULL) {
        Block *b = *link;

        if (lo == NULL || lo < p->host + (b->bytes - head_bytes(b))) {
            *link = b->tail_next;
            leave_head(c->engine, b);
            unhash(c, b);
        } else {
            p->granules |= 1;
            link = &b->tail_next;
        }
    }
}

/* Drop the blocks of @p that overlap [lo, hi). All when lo is NULL: then the page is not tracked any more; else
 * it is, because code that is changed is likely to be executed again, and tracking costs a search. */
static void drop_in_page(CpuState *c, CodePage *p, const uint8_t *lo, const uint8_t *hi)
{
    Engine *e = c->engine;
    Block **link = &p->blocks;

    p->granules = 0;
    while (*link != NULL) {
        Block *b = *link;

        if (lo == NULL || (b->host < hi && lo < b->host + head_bytes(b))) {
            *link = b->page_next;
            leave_tail(e, b);
            unhash(c, b);
        } else {
            unsigned first = (unsigned)(b->host - p->host);

            p->granules |= granules_of(first, first + head_bytes(b) - 1);
            link = &b->page_next;
        }
    }
    drop_tails(c, p, lo);
    if (lo == NULL) {
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
        CodePage *p = code_page(e, page);

        if (p != NULL) {
            uint64_t mask = granules_of((unsigned)(lo - page), (unsigned)(hi - 1 - page));

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
    e->quick.gen[0]++;
    e->quick.gen[1]++;
    e->quick.full = true; /* the arena is reused once nothing of it is being executed */
}

/* ---- building ---- */

void code_page_ready(CpuState *c, const uint8_t *host, const uint8_t *host2)
{
    Engine *e = c->engine;

    while ((in_ram(host) && code_page(e, page_of(host)) == NULL) ||
           (host2 != NULL && in_ram(host2) && code_page(e, host2) == NULL)) {
        track_page(c, in_ram(host) && code_page(e, page_of(host)) == NULL ? page_of(host) : host2);
    }
}

void code_page_enter(CpuState *c, Block *b)
{
    CodePage *p;

    if (in_ram(b->host)) {
        unsigned first = (unsigned)(b->host - page_of(b->host));

        p = code_page(c->engine, page_of(b->host));
        p->granules |= granules_of(first, first + head_bytes(b) - 1);
        b->page_next = p->blocks;
        p->blocks = b;
    }
    if (b->host2 != NULL && in_ram(b->host2)) {
        p = code_page(c->engine, b->host2);
        p->granules |= 1;
        b->tail_next = p->tails;
        p->tails = b;
    }
}
