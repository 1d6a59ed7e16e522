/*
 * Guest RAM: one memfd, mapped shared and without reserve, so a guest may be given more than the
 * host has free and pays only for what it touches. The tracker has one word a page.
 *
 * Behind the main RAM lie the blocks of devices (video RAM). Address space for them is mapped from
 * the start, so that nothing ever moves; the file grows when a block is made.
 */
#include "bus/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/huge.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/ram-back.h"

/* Constant between ram_create() and ram_destroy(). */
static struct {
    int fd;
    uint64_t size;
    uint8_t *host;
    uint32_t *tracker;
    size_t tracker_bytes;
    uint16_t *fills; /* TLB entries made, by chunk of HUGE_BYTES; any processor, a count may be lost */
} ram = { .fd = -1 };

#define BLOCK_SPACE (1ull << 30) /* address space for blocks */
#define BUSY_FILLS 20000         /* TLB entries of a chunk before it is worth a huge page */
enum { BLOCKS = 16 };

/* The blocks, back to back, in order of address; under the machine lock. A free one keeps its
 * place and is given to the next that asks for its size. */
typedef struct Block {
    uint64_t offset, size;
    bool used;
} Block;
static Block blocks[BLOCKS];
static unsigned block_count;

static void *map(size_t len, int flags, int fd)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

bool ram_create(uint64_t size, Error **errp)
{
    char show[32];
    int err;

    text_show_size(size, show);
    if (size == 0 || size % PAGE_SIZE != 0) {
        error_set(errp, "cannot set up guest memory: %s is not a positive multiple of 4K", show);
        return false;
    }
    if (ram.host != NULL) {
        error_set(errp, "cannot set up guest memory: it is there already");
        return false;
    }
    if (size > INT64_MAX - BLOCK_SPACE) {
        err = EFBIG;
        goto fail;
    }
    ram.fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (ram.fd < 0 || ftruncate(ram.fd, (off_t)size) < 0) {
        err = errno;
        goto fail;
    }
    ram.host = huge_map(size + BLOCK_SPACE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram.fd);
    ram.fills = try_newn(uint16_t, size / HUGE_BYTES + 1);
    ram.tracker_bytes = (size + BLOCK_SPACE) / PAGE_SIZE * sizeof(*ram.tracker);
    ram.tracker = ram.host != NULL ? map(ram.tracker_bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1) : NULL;
    if (ram.tracker == NULL || ram.fills == NULL) {
        err = errno;
        goto fail;
    }
    ram.size = size;
    /* both are wishes: a kernel without huge pages, or a core dump with guest memory, is fine */
    madvise(ram.host, size, MADV_HUGEPAGE);
    madvise(ram.host, size, MADV_DONTDUMP);
    return true;

fail:
    error_set_errno(errp, err, "cannot set up guest memory: %s (%llu bytes)", show,
                    (unsigned long long)size);
    ram.size = size;
    ram_destroy();
    return false;
}

void ram_destroy(void)
{
    if (ram.tracker != NULL) {
        munmap(ram.tracker, ram.tracker_bytes);
    }
    if (ram.host != NULL) {
        munmap(ram.host, ram.size + BLOCK_SPACE);
    }
    ram_back_fini();
    if (ram.fd >= 0) {
        close(ram.fd);
    }
    ram.fd = -1;
    free(ram.fills);
    block_count = 0;
    ram.size = 0;
    ram.host = NULL;
    ram.tracker = NULL;
    ram.fills = NULL;
}

uint64_t ram_size(void)
{
    return ram.size;
}

uint64_t ram_total(void)
{
    const Block *last = block_count > 0 ? &blocks[block_count - 1] : NULL;

    return last != NULL ? last->offset + last->size : ram.size;
}

bool ram_block_new(const char *name, uint64_t size, uint64_t *offset, Error **errp)
{
    uint64_t at = ram_total();
    unsigned n = 0;

    assert(ram.host != NULL && size != 0 && size % PAGE_SIZE == 0);
    while (n < block_count && (blocks[n].used || blocks[n].size != size)) {
        n++;
    }
    if (n == block_count) {
        if (n == BLOCKS || size > ram.size + BLOCK_SPACE - at) {
            error_set(errp, "%s: no room for %llu bytes of device memory", name,
                      (unsigned long long)size);
            return false;
        }
        if (ftruncate(ram.fd, (off_t)(at + size)) < 0) {
            error_set_errno(errp, errno, "%s: no %llu bytes of device memory", name,
                            (unsigned long long)size);
            return false;
        }
        blocks[n] = (Block){ at, size, false };
        block_count++;
    }
    blocks[n].used = true;
    *offset = blocks[n].offset;
    return true;
}

void ram_block_free(uint64_t offset)
{
    for (unsigned n = 0; n < block_count; n++) {
        Block *b = &blocks[n];

        if (b->used && b->offset == offset) {
            b->used = false;
            if (fallocate(ram.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                          (off_t)b->size) < 0) {
                memset(ram.host + offset, 0, b->size);
            }
        }
    }
}

int ram_fd(void)
{
    return ram.fd;
}

uint8_t *ram_host(void)
{
    return ram.host;
}

void ram_filled(uint64_t ram_offset)
{
    uint64_t chunk = ram_offset / HUGE_BYTES;

    if (chunk < ram.size / HUGE_BYTES && __atomic_load_n(&ram.fills[chunk], __ATOMIC_RELAXED) < BUSY_FILLS &&
        __atomic_add_fetch(&ram.fills[chunk], 1, __ATOMIC_RELAXED) == BUSY_FILLS) {
        huge_collapse(ram.host + chunk * HUGE_BYTES, HUGE_BYTES);
    }
}

uint32_t *ram_tracker(uint64_t ram_offset)
{
    return &ram.tracker[ram_offset >> PAGE_SHIFT];
}
