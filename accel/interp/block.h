/*
 * Decoded blocks of one processor: straight runs of instructions, found by the host address of
 * their code and, faster, by linear address.
 *
 * A page of guest RAM that holds blocks is counted in its tracker word (bus/memory.h), so that
 * stores to it leave the fast path and blocks that they overlap are dropped at once. A dropped
 * block's instructions are turned into ones that do nothing and step RIP back: the processor that
 * is in the middle of it walks out of its end with RIP right behind the instruction that stored.
 */
#ifndef ACCEL_INTERP_BLOCK_H
#define ACCEL_INTERP_BLOCK_H

#include "cpu/insn.h"

#define BLOCK_INSNS 48

typedef struct Block {
    struct Block *hash_next;
    struct Block *page_next;
    const uint8_t *host;  /* first byte of code */
    const uint8_t *host2; /* second page's bytes when the last instruction crosses, else NULL */
    uint32_t key;         /* CpuState.mode_key, without what only the lookup cares for */
    uint16_t bytes;
    uint16_t count;
    Insn insns[];
} Block;

/* block_find - the block at CS:RIP, built if need be. Raises fetch faults. NULL: the code is not
 * in RAM or ROM, use block_single(). */
const Block *block_find(CpuState *c, vaddr lin);
/* block_single - decode the one instruction at CS:RIP, for careful execution and code outside of
 * memory; the record is the engine's until the next call. Raises fetch faults. */
const Insn *block_single(CpuState *c, vaddr lin);

bool block_init(CpuState *c, struct Error **errp);
void block_fini(CpuState *c);
void block_drop_all(CpuState *c);
/* block_reclaim - at a point where no block is being executed: empty the arena if it is full. */
void block_reclaim(CpuState *c);

/* EngineOps */
void block_code_written(CpuState *c, uint64_t ram_offset, unsigned len);
void block_flush(CpuState *c);
void block_flush_page(CpuState *c, vaddr page);
/* block_queue_drop - from another thread: have @c drop what overlaps. block_take_queue - do it. */
void block_queue_drop(CpuState *c, uint64_t ram_offset, uint64_t len);
void block_take_queue(CpuState *c);

#endif
