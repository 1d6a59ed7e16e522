/*
 * qcow2: a change of much metadata that happens at once, or not at all.
 *
 * New counts, tables and lists are written to clusters that neither the old state nor the new one uses; then one
 * write of the header's sector leads to all of them. A crash at any instant leaves the old state or the new one,
 * without a leak: what was written for a change that did not happen is counted nowhere.
 *
 * Under the image's lock, with no data transfer under way. 0 or -errno.
 */
#ifndef BLOCK_QCOW2_SHADOW_H
#define BLOCK_QCOW2_SHADOW_H

#include "block/qcow2.h"

typedef struct Shadow {
    Qcow2 *q;
    /* counts as they will be: a block each of the file's, read when it is needed */
    uint8_t **blocks;
    bool *dirty, *moved; /* has changed; has its new place */
    uint64_t *reftable;
    uint32_t count;      /* of these four */
    uint64_t hint, end;  /* clusters: where to look for free ones; behind all */
    uint64_t *gone;      /* clusters that nothing refers to any more */
    size_t gone_count;
    /* what the header will say; the beginner sets them before shadow_commit() */
    uint64_t *l1; /* owned */
    uint32_t l1_size;
    uint64_t size; /* of the guest's disk */
    uint32_t snapshots;
    uint64_t snapshots_offset;
} Shadow;

/* shadow_begin - from the state of @q, which is flushed. */
int shadow_begin(Shadow *s, Qcow2 *q);
/* shadow_end - free what it took; without a commit nothing has changed. */
void shadow_end(Shadow *s);
/* shadow_tree - @delta (1 or -1) for all that the L1 table @l1 refers to: tables and data, not itself. */
int shadow_tree(Shadow *s, const uint64_t *l1, uint32_t l1_size, int delta);
/* shadow_give_up - the clusters of a table of @bytes at @offset. */
int shadow_give_up(Shadow *s, uint64_t offset, uint64_t bytes);
/* shadow_put - write @bytes to free clusters, counted; *offset is 0 for no bytes. */
int shadow_put(Shadow *s, const void *data, uint64_t bytes, uint64_t *offset);
/* shadow_commit - make it so. The old L1 table's clusters are the caller's matter. */
int shadow_commit(Shadow *s);

#endif
