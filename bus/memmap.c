/*
 * The memory map: regions with priorities, and the two immutable flat views made of them.
 *
 * A view is built region by region, highest priority first; each takes what is still free:
 *
 *   priority 1          [ VGA ]
 *   priority 0   [        RAM         ]
 *   view         [ RAM ][ VGA ][ RAM  ]    sorted by address, looked up by bisection
 *
 * Regions and views change under the machine lock only. Readers on other threads take a
 * reference under view_mutex, which is held for a few instructions.
 */
#include "bus/internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"

static IoRegion *regions;    /* all mapped ones; machine lock */
static unsigned depth;       /* of mem_begin(); machine lock */
static bool dirty;           /* machine lock */
static MemListener listener; /* machine lock */
static FlatView *views[2];   /* machine lock and view_mutex to change, either to read */
static pthread_mutex_t view_mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- building a view ---- */

typedef struct Builder {
    FlatRange *r; /* sorted, disjoint */
    unsigned count, cap;
} Builder;

static void insert_at(Builder *b, unsigned at, FlatRange range)
{
    if (b->count == b->cap) {
        b->cap = MAX(32u, b->cap * 2);
        b->r = xrealloc(b->r, b->cap, sizeof(*b->r));
    }
    memmove(&b->r[at + 1], &b->r[at], (b->count - at) * sizeof(*b->r));
    b->r[at] = range;
    b->count++;
}

static FlatRange range_of(IoRegion *reg, hwaddr first, hwaddr last)
{
    uint64_t offset = first - reg->base;

    return (FlatRange){ .first = first,
                        .last = last,
                        .region = reg,
                        .offset = offset,
                        .host = reg->host != NULL ? reg->host + offset : NULL,
                        .writable = reg->kind == REGION_RAM };
}

/* Give @reg every address of its span that no earlier region took. */
static void add_region(Builder *b, IoRegion *reg)
{
    hwaddr at = reg->base, last = reg->base + (reg->size - 1);

    for (unsigned i = 0; i < b->count; i++) {
        hwaddr taken_first = b->r[i].first, taken_last = b->r[i].last;
        if (taken_last < at) {
            continue;
        }
        if (taken_first > last) {
            insert_at(b, i, range_of(reg, at, last));
            return;
        }
        if (taken_first > at) {
            insert_at(b, i, range_of(reg, at, taken_first - 1));
            i++;
        }
        if (taken_last >= last) {
            return;
        }
        at = taken_last + 1;
    }
    insert_at(b, b->count, range_of(reg, at, last));
}

static int by_priority(const void *a, const void *b)
{
    const IoRegion *ra = *(IoRegion *const *)a, *rb = *(IoRegion *const *)b;

    return (rb->priority > ra->priority) - (rb->priority < ra->priority);
}

static FlatView *build(bool smm)
{
    Builder b = { .r = NULL };
    IoRegion **sorted;
    FlatView *v;
    size_t n = 0;

    for (IoRegion *r = regions; r != NULL; r = r->next) {
        n++;
    }
    sorted = xnewn(IoRegion *, n);
    n = 0;
    for (IoRegion *r = regions; r != NULL; r = r->next) {
        if (smm || !r->smm_only) {
            sorted[n++] = r;
        }
    }
    qsort(sorted, n, sizeof(*sorted), by_priority);
    for (size_t i = 0; i < n; i++) {
        add_region(&b, sorted[i]);
    }
    free(sorted);

    v = xalloc0(1, sizeof(*v) + b.count * sizeof(v->ranges[0]));
    v->refs = 1;
    v->count = b.count;
    if (b.count != 0) {
        memcpy(v->ranges, b.r, b.count * sizeof(*b.r));
    }
    free(b.r);
    return v;
}

static void publish(void)
{
    FlatView *old[2];

    for (int smm = 0; smm < 2; smm++) {
        FlatView *v = build(smm != 0);
        pthread_mutex_lock(&view_mutex);
        old[smm] = views[smm];
        views[smm] = v;
        pthread_mutex_unlock(&view_mutex);
    }
    if (listener.map_changed != NULL) {
        listener.map_changed(listener.opaque);
    }
    flat_view_unref(old[0]);
    flat_view_unref(old[1]);
}

/* ---- views ---- */

static const FlatView empty_view = { .refs = 1, .count = 0 };

const FlatView *mem_view(bool smm)
{
    assert(machine_lock_held());
    return views[smm] != NULL ? views[smm] : &empty_view;
}

FlatView *flat_view(bool smm)
{
    FlatView *v;

    pthread_mutex_lock(&view_mutex);
    if (views[smm] == NULL) { /* nothing was ever mapped */
        views[smm] = xalloc0(1, sizeof(*v));
        views[smm]->refs = 1;
    }
    v = views[smm];
    __atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&view_mutex);
    return v;
}

void flat_view_unref(FlatView *v)
{
    if (v != NULL && __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free(v);
    }
}

void mem_each(bool smm, void (*fn)(void *opaque, const FlatRange *r), void *opaque)
{
    FlatView *v = flat_view(smm);

    for (unsigned i = 0; i < v->count; i++) {
        fn(opaque, &v->ranges[i]);
    }
    flat_view_unref(v);
}

/* ---- transactions ---- */

void mem_begin(void)
{
    assert(machine_lock_held());
    depth++;
}

void mem_commit(void)
{
    assert(machine_lock_held() && depth > 0);
    if (--depth == 0 && dirty) {
        dirty = false;
        publish();
    }
}

bool mem_map(IoRegion *r, hwaddr base, int priority, bool smm_only, Error **errp)
{
    hwaddr last = base + (r->size - 1);

    if (r->size == 0 || last < base) {
        error_set(errp, "%s: 0x%llx bytes at 0x%llx do not fit the address space", r->name,
                  (unsigned long long)r->size, (unsigned long long)base);
        return false;
    }
    if (r->mapped) {
        error_set(errp, "%s is mapped already", r->name);
        return false;
    }
    for (IoRegion *o = regions; o != NULL; o = o->next) {
        if (o->priority == priority && o->base <= last && base <= o->base + (o->size - 1)) {
            error_set(errp, "%s at 0x%llx-0x%llx overlaps %s at 0x%llx-0x%llx", r->name,
                      (unsigned long long)base, (unsigned long long)last, o->name,
                      (unsigned long long)o->base, (unsigned long long)(o->base + (o->size - 1)));
            return false;
        }
    }
    mem_begin();
    r->base = base;
    r->priority = priority;
    r->smm_only = smm_only;
    r->mapped = true;
    r->next = regions;
    regions = r;
    dirty = true;
    mem_commit();
    return true;
}

void mem_unmap(IoRegion *r)
{
    if (!r->mapped) {
        return;
    }
    mem_begin();
    for (IoRegion **p = &regions; *p != NULL; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    r->mapped = false;
    r->next = NULL;
    dirty = true;
    mem_commit();
}

void mem_set_listener(const MemListener *l)
{
    listener = l != NULL ? *l : (MemListener){ .opaque = NULL };
}

const MemListener *mem_listener(void)
{
    return &listener;
}

void mem_written(uint64_t ram_offset, uint64_t len)
{
    dirty_mark(ram_offset, len);
    if (listener.written != NULL) {
        listener.written(listener.opaque, ram_offset, len);
    }
}
