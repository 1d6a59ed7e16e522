/*
 * Guest RAM in a saved state. Section "ram": u64 size, u64 size with
 * the blocks of devices, then runs of pages that are not all zero,
 * { u64 first page, u64 pages, bytes }, then a run of no pages. Holes of the memfd are skipped
 * without being touched, so a large and mostly unused guest saves quickly.
 */
#include "bus/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/internal-state.h"
#include "bus/internal.h"
#include "bus/ram-back.h"

enum { RAM_VERSION = 2 };

static bool page_is_zero(const uint8_t *p)
{
    /* equal to itself shifted by eight zero bytes: all are zero */
    return ld_le64(p) == 0 && memcmp(p, p + 8, PAGE_SIZE - 8) == 0;
}

static void put_run(StateBuf *b, uint64_t first, uint64_t end)
{
    if (first < end) {
        state_u64(b, first);
        state_u64(b, end - first);
        state_bytes(b, ram_host() + first * PAGE_SIZE, (end - first) * PAGE_SIZE);
    }
}

/* The non-zero pages of [page, end). */
static void put_data(StateBuf *b, uint64_t page, uint64_t end)
{
    uint64_t run = page;

    for (; page < end; page++) {
        if (page_is_zero(ram_host() + page * PAGE_SIZE)) {
            put_run(b, run, page);
            run = page + 1;
        }
    }
    put_run(b, run, end);
}

/* next_data - where [at, end), which @fd has at @place, is not a hole; end when there is no more. *hole: where that ends. */
static uint64_t next_data(int fd, uint64_t place, uint64_t at, uint64_t end, uint64_t *hole)
{
    off_t data = fd >= 0 ? lseek(fd, (off_t)place, SEEK_DATA) : -1, stop;

    if (data < 0 && fd >= 0 && errno == ENXIO) {
        return end; /* only a hole is left */
    }
    data = data < 0 ? (off_t)place : data; /* nobody can tell: look at every page */
    stop = fd >= 0 ? lseek(fd, data, SEEK_HOLE) : -1;
    *hole = stop < 0 ? end : MIN(end, at + ((uint64_t)stop - place));
    return MIN(end, at + ((uint64_t)data - place));
}

void ram_save(StateBuf *b)
{
    uint64_t size = ram_total(), at = 0;

    state_section_begin(b, "ram", RAM_VERSION);
    state_u64(b, ram_size());
    state_u64(b, ram_total());
    while (at < size) {
        uint64_t place, end, hole, data;
        int fd = ram_backing(at, &place, &end);

        hole = end;
        data = next_data(fd, place, at, end, &hole);
        put_data(b, data / PAGE_SIZE, data < end ? (hole + PAGE_SIZE - 1) / PAGE_SIZE : data / PAGE_SIZE);
        at = data < end ? hole : end;
    }
    state_u64(b, 0);
    state_u64(b, 0);
}

static bool take_u64(StateBuf *b, uint64_t *v)
{
    const void *p = state_take(b, sizeof(*v));

    if (p != NULL) {
        *v = ld_le64(p);
    }
    return p != NULL;
}

/* Every page becomes zero, and its memory goes back to the host. */
static void ram_clear(void)
{
    if (!ram_punch(0, ram_total())) {
        memset(ram_host(), 0, ram_total());
    }
}

bool ram_load(StateBuf *b, Error **errp)
{
    uint64_t size, total, first, count, pages = ram_total() / PAGE_SIZE;

    if (!state_section_open(b, "ram", RAM_VERSION, errp)) {
        return false;
    }
    if (!take_u64(b, &size) || size != ram_size()) {
        error_set(errp, "the saved state is of a guest with another memory size");
        return false;
    }
    if (!take_u64(b, &total) || total != ram_total()) {
        error_set(errp, "the saved state is of a guest with another amount of device memory");
        return false;
    }
    ram_clear();
    for (;;) {
        const void *p = NULL;
        if (!take_u64(b, &first) || !take_u64(b, &count)) {
            error_set(errp, "saved state ends inside guest memory");
            return false;
        }
        if (count == 0) {
            break;
        }
        if (first < pages && count <= pages - first) {
            p = state_take(b, count * PAGE_SIZE);
        }
        if (p == NULL) {
            error_set(errp, "saved state has a bad run of memory pages");
            return false;
        }
        memcpy(ram_host() + first * PAGE_SIZE, p, count * PAGE_SIZE);
    }
    mem_written(0, ram_total());
    return true;
}
