/*
 * Reading and writing a host file or block device.
 */
#include "block/host-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"

int host_read(int fd, uint64_t offset, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)offset);

        if (n == 0) {
            memset(p, 0, len);
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int host_write(int fd, uint64_t offset, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n == 0 ? -EIO : -errno;
        }
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int host_flush(int fd)
{
    int r;

    do {
        r = fdatasync(fd);
    } while (r != 0 && errno == EINTR);
    return r != 0 ? -errno : 0;
}

int host_zero(int fd, uint64_t offset, uint64_t len)
{
    static const uint8_t zeros[65536];

    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0 &&
        lseek(fd, 0, SEEK_END) >= (off_t)(offset + len)) {
        return 0;
    }
    while (len > 0) {
        size_t n = (size_t)MIN(len, sizeof(zeros));
        int r = host_write(fd, offset, zeros, n);

        if (r != 0) {
            return r;
        }
        offset += n;
        len -= n;
    }
    return 0;
}

uint64_t host_extent(int fd, uint64_t offset, uint64_t len, bool *hole)
{
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA), end;

    *hole = (data < 0 && errno == ENXIO) || data > (off_t)offset;
    if (data < 0) { /* nothing but a hole up to the end, or a file system that does not tell */
        return len;
    }
    end = *hole ? data : lseek(fd, data, SEEK_HOLE);
    return end > (off_t)offset ? MIN(len, (uint64_t)end - offset) : len;
}

void host_discard(int fd, uint64_t offset, uint64_t len)
{
    int r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len);

    (void)r; /* a file system without holes keeps the bytes */
}
