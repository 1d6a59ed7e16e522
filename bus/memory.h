/*
 * Guest-physical memory and I/O ports.
 *
 * Guest RAM is one memfd mapped shared. The memory map is a set of regions with priorities; a
 * transaction changes it and publishes an immutable flat view (one for normal mode, one for SMM).
 * Its only listeners are the engines (TLBs, later KVM slots).
 *
 * A page is written through an engine's fast path only while its tracker word is zero; every other
 * writer (device DMA, the loader, a saved state) goes through dma_write(), which tells the engines.
 */
#ifndef BUS_MEMORY_H
#define BUS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Error;
typedef uint64_t hwaddr;

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u

/* What a device does when its registers are accessed. @offset is from the region's start; @size is
 * 1, 2, 4 or 8. Accesses wider than max_size or narrower than min_size, or unaligned ones where
 * `unaligned` is false, are split or widened by the bus, lowest address first.
 * Called with the machine lock held unless `lockless`. */
typedef struct IoOps {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t val, unsigned size);
    uint8_t min_size; /* 0 means 1 */
    uint8_t max_size; /* 0 means 4 */
    bool unaligned;
    bool lockless;
} IoOps;

typedef enum RegionKind {
    REGION_IO,    /* device registers */
    REGION_RAM,   /* part of guest RAM, at ram_offset */
    REGION_ROM,   /* host memory that the guest can read and execute; writes are dropped, or go to
                     ops->write when ops is set (flash) */
} RegionKind;

typedef struct IoRegion {
    const char *name; /* constant; shown by `info mtree` and in overlap errors */
    RegionKind kind;
    const IoOps *ops;
    void *opaque;
    uint64_t size;     /* bytes (ports: ports) */
    uint8_t *host;     /* RAM, ROM: first byte; NULL for REGION_IO */
    uint64_t ram_offset; /* REGION_RAM: from the start of guest RAM */
    /* where it is mapped; owned by bus/memory.c */
    hwaddr base;
    int priority;
    bool smm_only; /* present only in the SMM view */
    bool mapped;
    struct IoRegion *next;
} IoRegion;

void io_region_init(IoRegion *r, const IoOps *ops, void *opaque, const char *name, uint64_t size);
void ram_region_init(IoRegion *r, const char *name, uint64_t ram_offset, uint64_t size);
void rom_region_init(IoRegion *r, const char *name, uint8_t *host, uint64_t size);

/* ---- guest RAM ---- */

/* ram_create - @size bytes (a multiple of 4096) of zeroed guest RAM in a memfd. Once a process. */
bool ram_create(uint64_t size, struct Error **errp);
void ram_destroy(void);
uint64_t ram_size(void);
int ram_fd(void);
uint8_t *ram_host(void); /* start of the mapping; NULL before ram_create() */

/* ram_block_new - RAM of a device (video RAM): zeroed, behind the guest's, of the same kind: it can be
 * mapped by ram_region_init(), has tracker words, is in the saved state; ram_size() does not count it.
 * @size is a multiple of 4096. ram_block_free - when the device goes. Machine lock held.
 * ram_total - the end of the last block. */
bool ram_block_new(const char *name, uint64_t size, uint64_t *offset, struct Error **errp);
void ram_block_free(uint64_t offset);
uint64_t ram_total(void);

/* One word a page of guest RAM. Bits: */
enum {
    TRACK_CODE = 1 << 0,        /* unit of a count: processors that hold code of this page */
    TRACK_CODE_MASK = 0xffff,
    TRACK_LOG = 1 << 16,        /* its next store goes to the dirty log, which clears the bit */
    TRACK_WATCH = 1 << 17,      /* its next store is told to ram_watch()'s, which clears the bit */
};
/* ram_tracker - the word of the page at @ram_offset; accessed with __atomic builtins. */
uint32_t *ram_tracker(uint64_t ram_offset);
/* ram_filled - a processor's TLB got an entry for it. What often does goes to huge pages of the host. General
 * registers only. */
void ram_filled(uint64_t ram_offset);

/* ram_watch - @fn is called, on any thread, when a page that has TRACK_WATCH was stored to; NULL: no more. The
 * caller sets the bits. */
void ram_watch(void (*fn)(void *opaque, uint64_t page_offset), void *opaque);

/* ---- the dirty log ---- */

/*
 * Which pages of a piece of RAM were stored to since the last look. A page whose TRACK_LOG bit is clear
 * is dirty; the first store to a clean one finds its tracker word set, leaves the fast path and clears
 * the bit, and the stores after it are as fast as ever. A harvest sets the bits again and asks the
 * processors to give up their fast paths to those pages, which they do at their next look around.
 *
 * Nobody waits: a page goes on being reported until all processors have answered, so what a slow one
 * still stores on its old fast path is seen by the next harvest. With the processors paused one harvest
 * has everything. Without a dirty page a harvest reads one word a page and disturbs no processor.
 * All under the machine lock.
 */
typedef struct DirtyLog {
    uint64_t ram_offset, pages;
    uint64_t *late;  /* pages whose harvest some processor has not answered */
    bool any_late;
    uint64_t ticket; /* of the last request to the processors */
    struct DirtyLog *next;
} DirtyLog;

/* dirty_log_start - log RAM at @ram_offset, @size bytes, both multiples of 4096; at first all of it is
 * dirty. Logs may not overlap. dirty_log_stop - a log that was never started is fine. */
void dirty_log_start(DirtyLog *log, uint64_t ram_offset, uint64_t size);
void dirty_log_stop(DirtyLog *log);
/* dirty_harvest - set bit n of @map (DIRTY_WORDS(size) words, not cleared before) where page n of the log
 * may have changed, of those that overlap [@first, @first + @len) bytes of it; true when there are any.
 * Read the pixels after it. */
#define DIRTY_WORDS(size) (((size) / PAGE_SIZE + 63) / 64)
bool dirty_harvest(DirtyLog *log, uint64_t first, uint64_t len, uint64_t *map);
/* dirty_logged - is any of [@ram_offset, +@len) logged? Any thread. */
bool dirty_logged(uint64_t ram_offset, uint64_t len);
/* dirty_mark - [ram_offset, +len) was stored to, after the bytes landed. Any thread. */
void dirty_mark(uint64_t ram_offset, uint64_t len);
/* ram_stored - for a device that stored to its own RAM through ram_host(), after the bytes landed. */
void ram_stored(uint64_t ram_offset, uint64_t len);

/* ---- the memory map ---- */

/* A range of the flat view. */
typedef struct FlatRange {
    hwaddr first, last; /* inclusive */
    IoRegion *region;
    uint64_t offset; /* of `first` inside the region */
    uint8_t *host;   /* of `first`, or NULL when it is I/O */
    bool writable;   /* stores go straight to host memory (RAM) */
} FlatRange;

typedef struct FlatView {
    unsigned refs; /* atomic */
    unsigned count;
    FlatRange ranges[];
} FlatView;

/* mem_begin/mem_commit - bracket changes; the outermost commit publishes new views and calls the
 * listener. mem_map/mem_unmap outside a bracket are a transaction by themselves. Higher priority
 * hides lower; equal priorities may not overlap (mem_map reports both names). Machine lock held. */
void mem_begin(void);
void mem_commit(void);
bool mem_map(IoRegion *r, hwaddr base, int priority, bool smm_only, struct Error **errp);
void mem_unmap(IoRegion *r);

/* flat_view - the current view, with a reference that flat_view_unref() gives back. Any thread. */
FlatView *flat_view(bool smm);
void flat_view_unref(FlatView *v);
/* flat_find - the range that holds @addr, or NULL (unassigned: reads give all ones). */
static inline const FlatRange *flat_find(const FlatView *v, hwaddr addr)
{
    unsigned lo = 0, hi = v->count;

    while (lo < hi) { /* the first range that ends at or after addr */
        unsigned mid = lo + (hi - lo) / 2;
        if (v->ranges[mid].last < addr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < v->count && v->ranges[lo].first <= addr ? &v->ranges[lo] : NULL;
}

/* flat_ram - the RAM offset of @addr, which is in @r, which is RAM. */
static inline uint64_t flat_ram(const FlatRange *r, hwaddr addr)
{
    return r->region->ram_offset + r->offset + (addr - r->first);
}

/* The engines' listener. map_changed: views were published; running processors must drop what they
 * cached before they return to guest code. written: someone other than a processor's fast path
 * wrote guest RAM at [ram_offset, +len), after the bytes landed. protect: tracker words that were
 * zero are not any more; processors must drop their fast paths to such pages. Returns a number that
 * is_protected() takes: true once all have done it, or will before they store again. protect may be NULL.
 * collect: stores that pass by the tracker words (KVM's) to [ram_offset, +len) are to be told by dirty_mark(), up to now;
 * logs_changed: dirty_logged() answers otherwise. Both may be NULL. Machine lock held for all. */
typedef struct MemListener {
    void (*map_changed)(void *opaque);
    void (*written)(void *opaque, uint64_t ram_offset, uint64_t len);
    void *opaque;
    uint64_t (*protect)(void *opaque);
    bool (*is_protected)(void *opaque, uint64_t ticket);
    void (*collect)(void *opaque, uint64_t ram_offset, uint64_t len);
    void (*logs_changed)(void *opaque);
} MemListener;
void mem_set_listener(const MemListener *l); /* NULL: none */

/* mmio_read/mmio_write - one access of 1, 2, 4 or 8 bytes to a range that is not plain RAM;
 * @offset is inside the region. Takes the machine lock itself unless the caller holds it or the
 * region is lockless. Unassigned: pass NULL, reads give all ones. */
uint64_t mmio_read(IoRegion *r, uint64_t offset, unsigned size);
void mmio_write(IoRegion *r, uint64_t offset, uint64_t val, unsigned size);

/* dma_read/dma_write - copy between host memory and guest-physical memory, for devices. Only RAM
 * (and, reading, ROM) is reached: device registers are refused, so no device can program itself.
 * False when any byte was not RAM (those read as 0xff, writes to them are dropped). @len is
 * checked against address wrap. Machine lock held. dma_refused - how many were for device registers
 * since the start (-d guest_errors names them). */
bool dma_read(hwaddr addr, void *buf, uint64_t len);
bool dma_write(hwaddr addr, const void *buf, uint64_t len);
uint64_t dma_refused(void);

/* ram_write - store to guest RAM that is not at its place in the map (a bridge shows something else
 * there for reads), and tell the engines. In bounds. Machine lock held. */
void ram_write(uint64_t ram_offset, const void *buf, uint64_t len);

/* ram_discard - whole pages of guest RAM in [@addr, @addr + @len) that the guest does without: the host has them back, and
 * they read as zeros. What is no RAM is passed over. Machine lock held. */
void ram_discard(hwaddr addr, uint64_t len);

/* mem_peek/mem_poke - for debuggers and the monitor: like dma_*, any thread, ROM may be poked. */
bool mem_peek(hwaddr addr, void *buf, uint64_t len, bool smm);
bool mem_poke(hwaddr addr, const void *buf, uint64_t len, bool smm);

/* mem_each - call @fn for every range of the current view (`info mtree`). */
void mem_each(bool smm, void (*fn)(void *opaque, const FlatRange *r), void *opaque);

/* ---- I/O ports ---- */

/* port_map - answer for ports [base, base + r->size). Reports both names on overlap.
 * Machine lock held. */
bool port_map(IoRegion *r, uint16_t base, struct Error **errp);
void port_unmap(IoRegion *r);
/* port_read/port_write - a processor's IN/OUT of 1, 2 or 4 bytes. An access that straddles regions
 * is split into bytes. Unassigned ports read as ones. Takes the machine lock unless held. */
uint32_t port_read(uint16_t port, unsigned size);
void port_write(uint16_t port, uint32_t val, unsigned size);
void port_each(void (*fn)(void *opaque, const IoRegion *r), void *opaque);

#endif
