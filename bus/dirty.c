/*
 * The dirty log (bus/memory.h).
 *
 * A harvest and a store meet in this order:
 *   harvest: sets TRACK_LOG, asks the processors (protect), reads the pixels
 *   store:   writes the bytes, looks at the tracker word, clears TRACK_LOG when it is set
 * A store that saw the bit clear wrote its bytes before its processor answers the request, and the
 * page is reported until then; one that saw it set marks the page for the next harvest.
 */
#include "bus/internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/mem.h"
#include "bus/lock.h"

static void (*watch_fn)(void *opaque, uint64_t page_offset);
static void *watch_opaque; /* both constant while processors run */
static unsigned logs; /* that run; under the machine lock to change, atomic */
static DirtyLog *list; /* of them; under list_mutex, nothing is taken while it is held */
static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;

static uint32_t *tracker_of(const DirtyLog *log, uint64_t page)
{
    return ram_tracker(log->ram_offset + page * PAGE_SIZE);
}

bool dirty_logged(uint64_t ram_offset, uint64_t len)
{
    bool found = false;

    pthread_mutex_lock(&list_mutex);
    for (const DirtyLog *l = list; l != NULL && !found; l = l->next) {
        found = l->ram_offset < ram_offset + len && ram_offset < l->ram_offset + l->pages * PAGE_SIZE;
    }
    pthread_mutex_unlock(&list_mutex);
    return found;
}

static void list_changed(void)
{
    const MemListener *l = mem_listener();

    if (l->logs_changed != NULL) {
        l->logs_changed(l->opaque);
    }
}

void dirty_log_start(DirtyLog *log, uint64_t ram_offset, uint64_t size)
{
    assert(machine_lock_held() && (ram_offset | size) % PAGE_SIZE == 0);
    *log = (DirtyLog){ .ram_offset = ram_offset, .pages = size / PAGE_SIZE };
    log->late = xnewn(uint64_t, DIRTY_WORDS(size));
    __atomic_add_fetch(&logs, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&list_mutex);
    log->next = list;
    list = log;
    pthread_mutex_unlock(&list_mutex);
    list_changed();
}

void dirty_log_stop(DirtyLog *log)
{
    if (log->late == NULL) {
        return;
    }
    pthread_mutex_lock(&list_mutex);
    for (DirtyLog **p = &list; *p != NULL; p = &(*p)->next) {
        if (*p == log) {
            *p = log->next;
            break;
        }
    }
    pthread_mutex_unlock(&list_mutex);
    list_changed();
    for (uint64_t n = 0; n < log->pages; n++) {
        __atomic_and_fetch(tracker_of(log, n), ~(uint32_t)TRACK_LOG, __ATOMIC_SEQ_CST);
    }
    free(log->late);
    log->late = NULL;
    __atomic_sub_fetch(&logs, 1, __ATOMIC_SEQ_CST);
}

/* Have all processors given up the fast paths that the last harvests took away? */
static bool answered(const DirtyLog *log)
{
    const MemListener *l = mem_listener();

    return l->is_protected == NULL || l->is_protected(l->opaque, log->ticket);
}

static void late_forget(DirtyLog *log)
{
    memset(log->late, 0, DIRTY_WORDS(log->pages * PAGE_SIZE) * sizeof(uint64_t));
    log->any_late = false;
}

bool dirty_harvest(DirtyLog *log, uint64_t first, uint64_t len, uint64_t *map)
{
    const MemListener *l = mem_listener();
    uint64_t begin = first / PAGE_SIZE, end;
    bool any = false, fresh = false;

    if (len == 0 || begin >= log->pages) {
        return false;
    }
    end = len > UINT64_MAX - first ? log->pages : (first + len - 1) / PAGE_SIZE + 1;
    end = MIN(end, log->pages);
    if (l->collect != NULL) {
        l->collect(l->opaque, log->ram_offset + begin * PAGE_SIZE, (end - begin) * PAGE_SIZE);
    }
    if (log->any_late) {
        bool done = answered(log); /* before anyone reads the pixels */

        for (uint64_t n = 0; n < DIRTY_WORDS(log->pages * PAGE_SIZE); n++) {
            map[n] |= log->late[n];
            any |= log->late[n] != 0;
        }
        if (done) {
            late_forget(log);
        }
    }
    for (uint64_t n = begin; n < end; n++) {
        uint32_t *word = tracker_of(log, n);

        if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & TRACK_LOG)) {
            __atomic_or_fetch(word, TRACK_LOG, __ATOMIC_SEQ_CST);
            map[n / 64] |= 1ull << (n % 64);
            log->late[n / 64] |= 1ull << (n % 64);
            fresh = true;
        }
    }
    if (fresh) {
        log->any_late = true;
        log->ticket = l->protect != NULL ? l->protect(l->opaque) : 0;
        if (answered(log)) {
            late_forget(log);
        }
    }
    return any || fresh;
}

void dirty_mark(uint64_t ram_offset, uint64_t len)
{
    if ((__atomic_load_n(&logs, __ATOMIC_RELAXED) == 0 && watch_fn == NULL) || len == 0) {
        return;
    }
    for (uint64_t at = ram_offset & ~(uint64_t)(PAGE_SIZE - 1); at < ram_offset + len;
         at += PAGE_SIZE) {
        uint32_t *word = ram_tracker(at);

        if (__atomic_load_n(word, __ATOMIC_RELAXED) & TRACK_LOG) {
            __atomic_and_fetch(word, ~(uint32_t)TRACK_LOG, __ATOMIC_SEQ_CST);
        }
        if (__atomic_load_n(word, __ATOMIC_RELAXED) & TRACK_WATCH) {
            uint32_t was = __atomic_fetch_and(word, ~(uint32_t)TRACK_WATCH, __ATOMIC_SEQ_CST);

            if ((was & TRACK_WATCH) && watch_fn != NULL) {
                watch_fn(watch_opaque, at);
            }
        }
    }
}

void ram_watch(void (*fn)(void *opaque, uint64_t page_offset), void *opaque)
{
    watch_fn = fn;
    watch_opaque = opaque;
}

void ram_stored(uint64_t ram_offset, uint64_t len)
{
    mem_written(ram_offset, len);
}
