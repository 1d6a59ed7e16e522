/*
 * Reading and writing a host file or block device. See host-file.h.
 */
#include "block/host-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"

#define ALIGN_MAX 4096u

const HostCalls host_system_calls = {
    .pread = pread, .pwrite = pwrite, .fdatasync = fdatasync, .fallocate = fallocate, .ftruncate = ftruncate,
};
const HostCalls *host_calls = &host_system_calls;

struct HostRange {
    uint64_t start, end;
    HostRange *next;
};

/* find_align - the smallest block that can be read; a kernel says so by EINVAL. */
static uint32_t find_align(int fd)
{
    void *buf = NULL;
    uint32_t align = 512;

    if (posix_memalign(&buf, ALIGN_MAX, 2 * ALIGN_MAX) != 0) {
        return 0;
    }
    while (align <= ALIGN_MAX && pread(fd, (uint8_t *)buf + (align & (ALIGN_MAX - 1)), align, 0) < 0) {
        align *= 2;
    }
    free(buf);
    return align <= ALIGN_MAX ? align : 0;
}

int host_file_init(HostFile *f, int fd, bool direct)
{
    *f = (HostFile){ .fd = fd, .align = direct ? find_align(fd) : 1 };
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->idle, NULL);
    return f->align != 0 ? 0 : -EINVAL;
}

void host_file_init_remote(HostFile *f, RemoteFile *remote)
{
    *f = (HostFile){ .fd = -1, .remote = remote, .align = remote->align };
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->idle, NULL);
}

void host_file_fini(HostFile *f)
{
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->idle);
    if (f->remote != NULL) {
        f->remote->ops->close(f->remote);
    }
    if (f->fd >= 0) {
        close(f->fd);
    }
}

/* ---- elsewhere ---- */

/* inside - how many of @len bytes at @offset the remote file has. */
static uint64_t inside(const RemoteFile *r, uint64_t offset, uint64_t len)
{
    return offset >= r->size ? 0 : MIN(len, r->size - offset);
}

static int remote_read(const HostFile *f, uint64_t offset, uint8_t *p, size_t len)
{
    size_t n = (size_t)inside(f->remote, offset, len);

    memset(p + n, 0, len - n);
    return n > 0 ? f->remote->ops->read(f->remote, offset, p, n) : 0;
}

static int remote_write(const HostFile *f, uint64_t offset, const uint8_t *p, size_t len)
{
    return inside(f->remote, offset, len) != len ? -ENOSPC : f->remote->ops->write(f->remote, offset, p, len);
}

static uint64_t remote_extent(const HostFile *f, uint64_t offset, uint64_t len, bool *hole)
{
    uint64_t start = offset & ~(uint64_t)(f->align - 1), n = inside(f->remote, offset, len), got;

    *hole = n == 0;
    if (n == 0) {
        return len;
    }
    got = f->remote->ops->extent(f->remote, start, (offset - start + n + f->align - 1) & ~(uint64_t)(f->align - 1), hole);
    return got > offset - start ? MIN(n, got - (offset - start)) : n;
}

/* ---- as the host takes it ---- */

/* read_all - ends early at the end of the file, behind which is nothing but zeros. */
static int read_all(const HostFile *f, uint64_t offset, uint8_t *p, size_t len)
{
    if (f->remote != NULL) {
        return remote_read(f, offset, p, len);
    }
    while (len > 0) {
        ssize_t n = host_calls->pread(f->fd, p, len, (off_t)offset);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0 || (n > 0 && (size_t)n < len && n % f->align != 0)) {
            memset(p + n, 0, len - (size_t)n);
            return 0;
        }
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int write_all(const HostFile *f, uint64_t offset, const uint8_t *p, size_t len)
{
    if (f->remote != NULL) {
        return remote_write(f, offset, p, len);
    }
    while (len > 0) {
        ssize_t n = host_calls->pwrite(f->fd, p, len, (off_t)offset);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n == 0 ? -EIO : -errno;
        }
        if (n > 0) {
            n = n > (ssize_t)f->align ? n / f->align * f->align : n;
            p += n;
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* ---- whole blocks ---- */

static uint64_t down(const HostFile *f, uint64_t v)
{
    return v & ~(uint64_t)(f->align - 1);
}

static uint64_t up(const HostFile *f, uint64_t v)
{
    return down(f, v + f->align - 1);
}

bool host_suits(const HostFile *f, uint64_t offset, const void *buf, size_t len)
{
    return ((offset | len | (uintptr_t)buf) & (f->align - 1)) == 0;
}

static void take_range(HostFile *f, HostRange *mine)
{
    const HostRange *r;

    pthread_mutex_lock(&f->lock);
    do {
        for (r = f->busy; r != NULL && (r->start >= mine->end || mine->start >= r->end); r = r->next) {
        }
        if (r != NULL) {
            pthread_cond_wait(&f->idle, &f->lock);
        }
    } while (r != NULL);
    mine->next = f->busy;
    f->busy = mine;
    pthread_mutex_unlock(&f->lock);
}

static void give_range(HostFile *f, HostRange *mine)
{
    HostRange **p = &f->busy;

    pthread_mutex_lock(&f->lock);
    while (*p != mine) {
        p = &(*p)->next;
    }
    *p = mine->next;
    pthread_cond_broadcast(&f->idle);
    pthread_mutex_unlock(&f->lock);
}

static uint8_t *bounce_new(const HostFile *f, size_t len)
{
    void *p = NULL;

    return posix_memalign(&p, ALIGN_MAX, MAX(len, f->align)) == 0 ? p : NULL;
}

static int read_bounced(const HostFile *f, uint64_t offset, void *buf, size_t len)
{
    uint64_t start = down(f, offset);
    size_t all = (size_t)(up(f, offset + len) - start);
    uint8_t *b = bounce_new(f, all);
    int r = b == NULL ? -ENOMEM : read_all(f, start, b, all);

    if (r == 0) {
        memcpy(buf, b + (offset - start), len);
    }
    free(b);
    return r;
}

static int write_bounced(HostFile *f, uint64_t offset, const void *buf, size_t len)
{
    HostRange mine = { .start = down(f, offset), .end = up(f, offset + len) };
    size_t all = (size_t)(mine.end - mine.start), align = f->align;
    bool part = mine.start != offset || mine.end != offset + len;
    uint8_t *b = bounce_new(f, all);
    int r = 0;

    if (b == NULL) {
        return -ENOMEM;
    }
    if (part) {
        take_range(f, &mine);
    }
    if (mine.start != offset || all == align) {
        r = part ? read_all(f, mine.start, b, align) : 0;
    }
    if (r == 0 && mine.end != offset + len && all > align) {
        r = read_all(f, mine.end - align, b + all - align, align);
    }
    if (r == 0) {
        memcpy(b + (offset - mine.start), buf, len);
        r = write_all(f, mine.start, b, all);
    }
    if (r == 0 && f->end != 0 && mine.end > f->end) {
        r = host_truncate(f, f->end); /* the last block is not whole */
    }
    if (part) {
        give_range(f, &mine);
    }
    free(b);
    return r;
}

/* ---- requests ---- */

int host_read(const HostFile *f, uint64_t offset, void *buf, size_t len)
{
    return len == 0                       ? 0
           : host_suits(f, offset, buf, len) ? read_all(f, offset, buf, len)
                                          : read_bounced(f, offset, buf, len);
}

int host_write(HostFile *f, uint64_t offset, const void *buf, size_t len)
{
    return len == 0                       ? 0
           : host_suits(f, offset, buf, len) ? write_all(f, offset, buf, len)
                                          : write_bounced(f, offset, buf, len);
}

int host_flush(HostFile *f)
{
    int r = __atomic_load_n(&f->failed, __ATOMIC_RELAXED);

    if (r != 0 || f->remote != NULL) {
        return r != 0 ? r : f->remote->ops->flush(f->remote);
    }
    do {
        r = host_calls->fdatasync(f->fd);
    } while (r != 0 && errno == EINTR);
    if (r == 0) {
        return 0;
    }
    r = -errno;
    if (f->align == 1) { /* with O_DIRECT the host keeps nothing that it could drop */
        __atomic_store_n(&f->failed, r, __ATOMIC_RELAXED);
    }
    return r;
}

/* punch - a hole, or zeros; only whole blocks of a file that was opened with O_DIRECT, since the rest of one may be
 * written. */
static int punch(HostFile *f, int how, uint64_t offset, uint64_t len)
{
    if (((offset | len) & (f->align - 1)) != 0) {
        return -EINVAL;
    }
    if (f->remote != NULL) {
        return inside(f->remote, offset, len) != len ? -ENOSPC
                                                     : f->remote->ops->zero(f->remote, offset, len, how == FALLOC_FL_PUNCH_HOLE);
    }
    return host_calls->fallocate(f->fd, how | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0 ? 0 : -errno;
}

int host_zero(HostFile *f, uint64_t offset, uint64_t len, bool unmap)
{
    static const uint8_t zeros[65536] __attribute__((aligned(ALIGN_MAX)));

    if (punch(f, unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, offset, len) == 0 &&
        (f->remote != NULL || lseek(f->fd, 0, SEEK_END) >= (off_t)(offset + len))) {
        return 0;
    }
    while (len > 0) {
        size_t n = (size_t)MIN(len, sizeof(zeros));
        int r = host_write(f, offset, zeros, n);

        if (r != 0) {
            return r;
        }
        offset += n;
        len -= n;
    }
    return 0;
}

uint64_t host_extent(const HostFile *f, uint64_t offset, uint64_t len, bool *hole)
{
    off_t data, end;

    if (f->remote != NULL) {
        return remote_extent(f, offset, len, hole);
    }
    data = lseek(f->fd, (off_t)offset, SEEK_DATA);
    *hole = (data < 0 && errno == ENXIO) || data > (off_t)offset;
    if (data < 0) { /* nothing but a hole up to the end, or a file system that does not tell */
        return len;
    }
    end = *hole ? data : lseek(f->fd, data, SEEK_HOLE);
    return end > (off_t)offset ? MIN(len, (uint64_t)end - offset) : len;
}

void host_discard(HostFile *f, uint64_t offset, uint64_t len)
{
    uint64_t start = up(f, offset), end = down(f, offset + len);
    int r = 0;

    if (f->remote == NULL) {
        r = punch(f, FALLOC_FL_PUNCH_HOLE, offset, len);
    } else if (start < end && inside(f->remote, start, end - start) == end - start) {
        r = f->remote->ops->discard(f->remote, start, end - start);
    }
    (void)r; /* a file system without holes keeps the bytes */
}

int host_allocate(HostFile *f, uint64_t offset, uint64_t len)
{
    return f->remote != NULL ? -EOPNOTSUPP : host_calls->fallocate(f->fd, 0, (off_t)offset, (off_t)len) == 0 ? 0 : -errno;
}

int host_truncate(HostFile *f, uint64_t size)
{
    if (f->remote != NULL) { /* its size is the server's */
        return size == f->remote->size ? 0 : -ENOTSUP;
    }
    return host_calls->ftruncate(f->fd, (off_t)size) == 0 ? 0 : -errno;
}
