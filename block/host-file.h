/*
 * Reading and writing a host file or block device: whole ranges, interrupted calls repeated. 0 or -errno.
 *
 * A file that was opened with O_DIRECT takes only whole blocks at memory that is aligned: other requests go through a
 * buffer here, and a write of a part of a block reads the rest first, one such write in a block at a time. So two
 * that lie beside each other in one block never undo each other, in a hole neither.
 *
 * A flush that fails once has failed for good: the host may have dropped what it could not write, and would say of the
 * next flush that all is well.
 */
#ifndef BLOCK_HOST_FILE_H
#define BLOCK_HOST_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A file that is not on this host: what is called in place of the host. 0 or -errno, where nothing else is said. */
typedef struct RemoteFile RemoteFile;
typedef struct RemoteOps {
    int (*read)(RemoteFile *f, uint64_t offset, void *buf, size_t len); /* in bounds, as the next */
    int (*write)(RemoteFile *f, uint64_t offset, const void *buf, size_t len);
    int (*flush)(RemoteFile *f);
    int (*zero)(RemoteFile *f, uint64_t offset, uint64_t len, bool unmap); /* -ENOTSUP: zeros must be written */
    int (*discard)(RemoteFile *f, uint64_t offset, uint64_t len);
    uint64_t (*extent)(RemoteFile *f, uint64_t offset, uint64_t len, bool *hole);
    void (*close)(RemoteFile *f);
} RemoteOps;
struct RemoteFile {
    const RemoteOps *ops;
    uint64_t size;  /* bytes; it does not change */
    uint32_t align; /* of offsets and lengths: a power of two, at most 4096 */
};

typedef struct HostRange HostRange;
typedef struct HostFile {
    int fd;             /* or -1 */
    RemoteFile *remote; /* or NULL */
    uint32_t align; /* of offsets, lengths and memory; 1: any (no O_DIRECT) */
    uint64_t end;   /* not 0: a last block that is not whole ends here */
    int failed;     /* atomic: what a flush failed with, or 0 */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    HostRange *busy; /* under `lock`: blocks of which a part is being written */
} HostFile;

/* host_file_init - @fd becomes the file's; @direct: it was opened with O_DIRECT. -EINVAL: no alignment suits it. */
int host_file_init(HostFile *f, int fd, bool direct);
/* host_file_init_remote - @remote becomes the file's. */
void host_file_init_remote(HostFile *f, RemoteFile *remote);
/* host_file_fini - closes it. */
void host_file_fini(HostFile *f);

/* host_suits - a request for the host as it is: O_DIRECT or not. */
bool host_suits(const HostFile *f, uint64_t offset, const void *buf, size_t len);
/* host_read - what lies behind the end of the file reads as zeros. */
int host_read(const HostFile *f, uint64_t offset, void *buf, size_t len);
int host_write(HostFile *f, uint64_t offset, const void *buf, size_t len);
/* host_flush - data, and the size of the file, are on stable storage after it. */
int host_flush(HostFile *f);
/* host_zero - zeros; with @unmap by a hole, else by blocks that stay allocated, where the file system can. */
int host_zero(HostFile *f, uint64_t offset, uint64_t len, bool unmap);
/* host_extent - how much of [@offset, +@len) is alike: a hole, which reads as zeros, or not. At least 1 for @len >= 1. */
uint64_t host_extent(const HostFile *f, uint64_t offset, uint64_t len, bool *hole);
/* host_discard - the range may read as anything from now on; never fails. */
void host_discard(HostFile *f, uint64_t offset, uint64_t len);
/* host_allocate - room for the range, which reads as before. */
int host_allocate(HostFile *f, uint64_t offset, uint64_t len);
int host_truncate(HostFile *f, uint64_t size);

/* The calls that reach the host. Tests put others here, which fail, or lose what was not flushed. */
typedef struct HostCalls {
    ssize_t (*pread)(int fd, void *buf, size_t len, off_t at);
    ssize_t (*pwrite)(int fd, const void *buf, size_t len, off_t at);
    int (*fdatasync)(int fd);
    int (*fallocate)(int fd, int mode, off_t at, off_t len);
    int (*ftruncate)(int fd, off_t size);
} HostCalls;
extern const HostCalls host_system_calls;
extern const HostCalls *host_calls; /* changed only while nothing is under way */

#endif
