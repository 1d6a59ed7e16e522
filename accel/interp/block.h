/*
 * Decoded blocks of one processor: straight runs of instructions, found by the host address of
 * their code and, faster, by linear address.
 *
 * A page of guest RAM that holds blocks is counted in its tracker word (bus/memory.h), so that
 * stores to it leave the fast path and blocks that they overlap are dropped at once. A block that is
 * dropped while its processor is in it has the rest of its instructions turned into ones that do
 * nothing and leave RIP behind the one that stored.
 */
#ifndef ACCEL_INTERP_BLOCK_H
#define ACCEL_INTERP_BLOCK_H

#include "cpu/insn.h"

#define BLOCK_INSNS 48

typedef struct Block {
    struct Block *hash_next;
    struct Block *page_next, *tail_next; /* of the pages that it begins and ends in */
    const uint8_t *host;  /* first byte of code */
    const uint8_t *host2; /* second page's bytes when the last instruction crosses, else NULL */
    uint32_t key;         /* CpuState.mode_key, without what only the lookup cares for */
    uint16_t bytes;
    uint16_t count;
    uint16_t runs;       /* the translator's: by the reference, so far */
    bool dead;           /* dropped; it stays in memory until all is */
    struct Trans *trans; /* the translator's: translations of this block */
    Insn insns[];
} Block;

/* Blocks by linear address: a set of entries a page, valid while gen is the cache's of their kind. */
#define JUMP_PAGES 64u
#define JUMP_WAYS 64u
typedef struct JumpEntry {
    vaddr lin;
    uint32_t key, gen;
    bool local; /* not by one global page, */
    bool global; /* nor by two */
    const Block *block;
} JumpEntry;

/* The first member of the engine's struct Engine, for block_find(). */
typedef struct JumpCache {
    uint32_t gen[2]; /* of what is global, and of what is not */
    bool full; /* everything was dropped: the arena starts anew at the next lookup */
    JumpEntry entry[JUMP_PAGES * JUMP_WAYS];
} JumpCache;

static inline unsigned jump_index(vaddr lin)
{
    return (unsigned)((lin >> PAGE_SHIFT & (JUMP_PAGES - 1)) * JUMP_WAYS +
                      ((lin ^ lin >> 6) & (JUMP_WAYS - 1)));
}

/* block_lookup - the block at CS:RIP by host address, built if need be. Raises fetch faults. NULL:
 * the code is not in RAM or ROM, use block_single(). */
const Block *block_lookup(CpuState *c, vaddr lin);

/* block_find - the same, quick where it was found lately. */
static inline const Block *block_find(CpuState *c, vaddr lin)
{
    const JumpCache *q = (const JumpCache *)c->engine;
    const JumpEntry *j = &q->entry[jump_index(lin)];

    if (__builtin_expect(j->lin == lin && j->gen == q->gen[j->local] && j->key == c->mode_key &&
                             !j->block->dead, 1)) {
        return j->block;
    }
    return block_lookup(c, lin);
}

/* block_global - the code of the block at @lin, which was found just now, is mapped by global pages. */
bool block_global(CpuState *c, vaddr lin);

/* block_at - the block of code at @host, by its key, if there is one. */
const Block *block_at(const CpuState *c, const uint8_t *host, uint32_t key);

/* block_single - decode the one instruction at CS:RIP, for careful execution and code outside of
 * memory; the record is the engine's until the next call. Raises fetch faults. */
const Insn *block_single(CpuState *c, vaddr lin);

/* block_fetch - host address of the code byte at @lin, or NULL outside of RAM and ROM. Raises fetch faults. */
const uint8_t *block_fetch(CpuState *c, vaddr lin);

/* block_limit - blocks of @c have at most @insns instructions: tests. */
void block_limit(CpuState *c, unsigned insns);
/* block_extend - for the translator: blocks of @c go on behind a conditional jump (if @far), and @dropped
 * is called for each block with translations that goes. */
void block_extend(CpuState *c, bool far, void (*dropped)(CpuState *c, Block *b));

bool block_init(CpuState *c, struct Error **errp);
void block_fini(CpuState *c);
void block_drop_all(CpuState *c);

/* EngineOps */
void block_code_written(CpuState *c, uint64_t ram_offset, unsigned len);
void block_flush(CpuState *c, bool global);
void block_flush_page(CpuState *c, vaddr page);
/* block_queue_drop - from another thread: have @c drop what overlaps. block_take_queue - do it. */
void block_queue_drop(CpuState *c, uint64_t ram_offset, uint64_t len);
void block_take_queue(CpuState *c);

#endif
