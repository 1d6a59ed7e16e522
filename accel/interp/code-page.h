/*
 * Inside of the decoded blocks: the cache of one processor, and the pages of RAM that hold blocks.
 * For accel/interp and the translator's way past the tracking of a store that is beside code.
 */
#ifndef ACCEL_INTERP_CODE_PAGE_H
#define ACCEL_INTERP_CODE_PAGE_H

#include <pthread.h>
#include "accel/interp/block.h"
#include "base/mem.h"

#define HASH_SIZE 131072u
#define PAGE_HASH 8192u
#define QUEUE 64u
#define HOT_WRITES 4096 /* stores beside the code of a page before it is given up */

/* A page of RAM that holds blocks of this processor. */
typedef struct CodePage {
    struct CodePage *next;
    const uint8_t *host;
    Block *blocks;     /* that begin here */
    Block *tails;      /* whose only instruction ends here */
    uint64_t granules; /* bit n: bytes [64n, 64n+64) hold code */
    unsigned writes;   /* that hit no code */
} CodePage;

/* A code page by linear address, so that building and misses need no walk. */
typedef struct FetchEntry {
    vaddr page;
    uint32_t key, gen;
    bool global;
    const uint8_t *host;
} FetchEntry;

typedef struct Engine {
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
} Engine;

static inline unsigned host_hash(const uint8_t *host, uint32_t key)
{
    uint64_t h = ((uint64_t)(uintptr_t)host + key) * 0x9e3779b97f4a7c15ull;

    return (unsigned)(h >> 47);
}

static inline bool in_ram(const uint8_t *host)
{
    return host >= ram_host() && (uint64_t)(host - ram_host()) < ram_total();
}

static inline const uint8_t *page_of(const uint8_t *host)
{
    return ram_host() + ((uint64_t)(host - ram_host()) & ~0xfffull);
}

static inline unsigned page_hash(const uint8_t *host)
{
    return (unsigned)((uint64_t)(uintptr_t)host >> PAGE_SHIFT) & (PAGE_HASH - 1);
}

/* code_page - the page at @host, NULL where it holds no blocks. */
static inline CodePage *code_page(Engine *e, const uint8_t *host)
{
    CodePage *p = e->pages[page_hash(host)];

    while (p != NULL && p->host != host) {
        p = p->next;
    }
    return p;
}

/* granules_of - the bits of bytes [first, last] of a page. */
static inline uint64_t granules_of(unsigned first, unsigned last)
{
    return (~0ull >> (63 - (last / 64 - first / 64))) << first / 64;
}

/* code_page_ready - track the pages at @host and (unless NULL) @host2, which will get a block. May wait
 * for the other processors, and while it does so all code may be dropped. */
void code_page_ready(CpuState *c, const uint8_t *host, const uint8_t *host2);
/* code_page_enter - @b was built; its pages are tracked. */
void code_page_enter(CpuState *c, Block *b);

#endif
