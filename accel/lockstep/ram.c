/*
 * Memory in lockstep: a second copy of RAM, and which pages were written since it was true.
 *
 * Each page's first store is told by bus/dirty.c; both processors' fast paths to it are taken back before it counts
 * as clean again (accel/lockstep/lockstep.c does that).
 */
#include "accel/lockstep/lockstep.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "cpu/engine.h"

#define MAX_PAGES 1024u /* of a stretch */
#define MAX_DMA 256u    /* writes by devices in one */
#define DMA_BYTES (4u << 20)

/* A device's write: in the access that the tape's event .event is. */
typedef struct DmaWrite {
    unsigned event;
    uint64_t offset;
    size_t len, at; /* its bytes in ram.dma_bytes */
} DmaWrite;

static struct {
    uint8_t *copy;      /* of RAM; all of it is mapped, what is touched is there */
    uint64_t total;
    uint32_t *written;  /* pages, in order; each at most once */
    uint32_t count;     /* atomic */
    uint32_t *rolled;   /* that were rolled back, and how the first had left them */
    unsigned rolled_count;
    uint8_t *first;
    DmaWrite dma[MAX_DMA];
    unsigned dma_count, dma_played;
    uint8_t *dma_bytes;
    size_t dma_used;
    bool ready, dma_full;
} ram;

static void note(void *opaque, uint64_t page_offset)
{
    uint32_t n = __atomic_fetch_add(&ram.count, 1, __ATOMIC_SEQ_CST);

    if (n < ram.total / PAGE_SIZE) {
        ram.written[n] = (uint32_t)(page_offset / PAGE_SIZE);
    }
}

bool step_ram_init(struct Error **errp)
{
    ram.first = xnewn(uint8_t, MAX_PAGES * PAGE_SIZE);
    ram.rolled = xnewn(uint32_t, MAX_PAGES);
    ram.dma_bytes = xnewn(uint8_t, DMA_BYTES);
    return true;
}

void step_ram_fini(void)
{
    ram_watch(NULL, NULL);
    for (uint64_t at = 0; ram.ready && at < ram.total; at += PAGE_SIZE) {
        __atomic_and_fetch(ram_tracker(at), ~(uint32_t)TRACK_WATCH, __ATOMIC_SEQ_CST);
    }
    if (ram.copy != NULL) {
        munmap(ram.copy, ram.total);
    }
    free(ram.written);
    free(ram.rolled);
    free(ram.first);
    free(ram.dma_bytes);
    memset(&ram, 0, sizeof(ram));
}

static void arm(uint64_t page)
{
    __atomic_or_fetch(ram_tracker(page * PAGE_SIZE), TRACK_WATCH, __ATOMIC_SEQ_CST);
}

/* At the first stretch: only now all devices have their memory. */
static void begin(void)
{
    static const uint8_t zero[PAGE_SIZE];

    ram.total = ram_total();
    ram.copy = mmap(NULL, ram.total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ram.copy == MAP_FAILED) {
        report("x-lockstep: no memory for a copy of the guest's");
        abort(); /* a test's engine: nothing to go on with */
    }
    ram.written = xnewn(uint32_t, ram.total / PAGE_SIZE);
    ram_watch(note, NULL);
    for (uint64_t page = 0; page < ram.total / PAGE_SIZE; page++) {
        const uint8_t *host = ram_host() + page * PAGE_SIZE;

        arm(page);
        if (memcmp(host, zero, PAGE_SIZE) != 0) {
            memcpy(ram.copy + page * PAGE_SIZE, host, PAGE_SIZE);
        }
    }
    ram.ready = true;
}

void step_ram_sync(void)
{
    uint32_t n;

    if (!ram.ready) {
        begin();
    }
    n = __atomic_exchange_n(&ram.count, 0, __ATOMIC_SEQ_CST);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t at = (uint64_t)ram.written[k] * PAGE_SIZE;

        arm(ram.written[k]); /* first: what is stored while it is copied counts */
        memcpy(ram.copy + at, ram_host() + at, PAGE_SIZE);
    }
    ram.dma_count = ram.dma_played = 0;
    ram.dma_used = 0;
    ram.dma_full = false;
}

void step_ram_dma(const CpuTape *t, uint64_t offset, uint64_t len)
{
    DmaWrite *w = &ram.dma[ram.dma_count];

    if (ram.dma_count == MAX_DMA || len > DMA_BYTES - ram.dma_used) {
        ram.dma_full = true;
        return;
    }
    /* A write is on the tape before the device sees it, what was read after. */
    *w = (DmaWrite){ t->writing && t->count > 0 ? t->count - 1 : t->count, offset, len, ram.dma_used };
    memcpy(ram.dma_bytes + w->at, ram_host() + offset, len);
    ram.dma_used += len;
    ram.dma_count++;
}

void step_ram_play(CpuTape *t, unsigned n)
{
    for (; ram.dma_played < ram.dma_count && ram.dma[ram.dma_played].event <= n; ram.dma_played++) {
        const DmaWrite *w = &ram.dma[ram.dma_played];

        memcpy(ram_host() + w->offset, ram.dma_bytes + w->at, w->len);
        dirty_mark(w->offset, w->len);
        lockstep_stats.dma++;
    }
}

const uint8_t *step_ram_before(uint64_t offset)
{
    return ram.copy + offset;
}

void step_ram_level(uint64_t offset, uint8_t mask)
{
    for (unsigned k = 0; k < ram.rolled_count; k++) {
        if (ram.rolled[k] == offset / PAGE_SIZE) {
            const uint8_t *first = ram.first + k * PAGE_SIZE + offset % PAGE_SIZE;
            uint8_t *second = ram_host() + offset;

            *second = ((*first ^ *second) & ~mask) == 0 ? *first : *second;
        }
    }
}

static void drop_code(CpuState *c, uint64_t at)
{
    if (__atomic_load_n(ram_tracker(at), __ATOMIC_SEQ_CST) & TRACK_CODE_MASK) {
        engine_ops->code_written(c, at, PAGE_SIZE);
    }
}

bool step_ram_rollback(CpuState *c)
{
    uint32_t n = __atomic_load_n(&ram.count, __ATOMIC_SEQ_CST);

    if (n > MAX_PAGES || ram.dma_full) {
        return false;
    }
    ram.rolled_count = n;
    memcpy(ram.rolled, ram.written, n * sizeof(*ram.rolled));
    __atomic_store_n(&ram.count, 0, __ATOMIC_SEQ_CST);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t at = (uint64_t)ram.rolled[k] * PAGE_SIZE;

        memcpy(ram.first + k * PAGE_SIZE, ram_host() + at, PAGE_SIZE);
        memcpy(ram_host() + at, ram.copy + at, PAGE_SIZE);
        arm(ram.rolled[k]);
        drop_code(c, at);
    }
    return true;
}

void step_ram_adopt(CpuState *c)
{
    uint32_t n = __atomic_load_n(&ram.count, __ATOMIC_SEQ_CST);

    for (uint32_t k = 0; k < n; k++) { /* what the second wrote */
        uint64_t at = (uint64_t)ram.written[k] * PAGE_SIZE;

        memcpy(ram_host() + at, ram.copy + at, PAGE_SIZE);
        drop_code(c, at);
    }
    for (unsigned k = 0; k < ram.rolled_count; k++) {
        uint64_t at = (uint64_t)ram.rolled[k] * PAGE_SIZE;

        memcpy(ram_host() + at, ram.first + k * PAGE_SIZE, PAGE_SIZE);
        memcpy(ram.copy + at, ram.first + k * PAGE_SIZE, PAGE_SIZE);
        drop_code(c, at);
    }
}

/* Byte @n of two pages, which differ there: it is the accessed bit of an entry that is present. */
static bool accessed_bit(const uint8_t *a, const uint8_t *b, unsigned n)
{
    return n % 4 == 0 && (a[n] ^ b[n]) == 0x20 && (a[n] & 1);
}

static int64_t differs(const uint8_t *a, const uint8_t *b, uint64_t *accessed)
{
    if (memcmp(a, b, PAGE_SIZE) == 0) {
        return -1;
    }
    for (unsigned n = 0; n < PAGE_SIZE; n++) {
        if (a[n] != b[n] && !accessed_bit(a, b, n)) {
            return n;
        }
        *accessed += a[n] != b[n];
    }
    return -1;
}

int64_t step_ram_compare(uint8_t *was, uint8_t *is, uint64_t *accessed)
{
    uint32_t n = __atomic_load_n(&ram.count, __ATOMIC_SEQ_CST);

    for (unsigned k = 0; k < ram.rolled_count; k++) {
        uint64_t at = (uint64_t)ram.rolled[k] * PAGE_SIZE;
        const uint8_t *a = ram.first + k * PAGE_SIZE, *b = ram_host() + at;
        int64_t d = differs(a, b, accessed);

        if (d >= 0) {
            *was = a[d];
            *is = b[d];
            return (int64_t)at + d;
        }
    }
    for (uint32_t k = 0; k < n; k++) { /* what only the second wrote */
        uint64_t at = (uint64_t)ram.written[k] * PAGE_SIZE;
        bool both = false;
        int64_t d;

        for (unsigned m = 0; m < ram.rolled_count && !both; m++) {
            both = ram.rolled[m] == ram.written[k];
        }
        d = both ? -1 : differs(ram.copy + at, ram_host() + at, accessed);
        if (d >= 0) {
            *was = ram.copy[at + (uint64_t)d];
            *is = ram_host()[at + (uint64_t)d];
            return (int64_t)at + d;
        }
    }
    return -1;
}
