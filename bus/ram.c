/*
 * Guest RAM: one memfd, mapped shared and without reserve, so a guest may be given more than the
 * host has free and pays only for what it touches. The tracker has one word a page.
 */
#include "bus/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/text.h"

/* Constant between ram_create() and ram_destroy(). */
static struct {
    int fd;
    uint64_t size;
    uint8_t *host;
    uint32_t *tracker;
    size_t tracker_bytes;
} ram = { .fd = -1 };

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
    if (size > INT64_MAX) {
        err = EFBIG;
        goto fail;
    }
    ram.fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (ram.fd < 0 || ftruncate(ram.fd, (off_t)size) < 0) {
        err = errno;
        goto fail;
    }
    ram.host = map(size, MAP_SHARED, ram.fd);
    ram.tracker_bytes = size / PAGE_SIZE * sizeof(*ram.tracker);
    ram.tracker = ram.host != NULL ? map(ram.tracker_bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1) : NULL;
    if (ram.tracker == NULL) {
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
        munmap(ram.host, ram.size);
    }
    if (ram.fd >= 0) {
        close(ram.fd);
    }
    ram.fd = -1;
    ram.size = 0;
    ram.host = NULL;
    ram.tracker = NULL;
}

uint64_t ram_size(void)
{
    return ram.size;
}

int ram_fd(void)
{
    return ram.fd;
}

uint8_t *ram_host(void)
{
    return ram.host;
}

uint32_t *ram_tracker(uint64_t ram_offset)
{
    return &ram.tracker[ram_offset >> PAGE_SHIFT];
}
