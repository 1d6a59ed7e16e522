/*
 * What the files of bus/ share among themselves.
 */
#ifndef BUS_INTERNAL_H
#define BUS_INTERNAL_H

#include "bus/memory.h"

/* region_read/region_write - one access by the region's rules (splitting, widening); bytes outside
 * the region, and regions without a handler, read as ones. @size is 1, 2, 4 or 8. Takes the
 * machine lock unless held or the region is lockless. */
uint64_t region_read(IoRegion *r, uint64_t offset, unsigned size);
void region_write(IoRegion *r, uint64_t offset, uint64_t val, unsigned size);

/* all_ones - what an access of @size bytes reads where nobody answers. */
static inline uint64_t all_ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;
}

/* mem_view - the current view without taking a reference; machine lock held. */
const FlatView *mem_view(bool smm);

/* mem_written - tell the dirty log and the listener; machine lock held. */
void mem_written(uint64_t ram_offset, uint64_t len);
/* mem_listener - the listener; its members may be NULL. Machine lock held. */
const MemListener *mem_listener(void);

#endif
