/*
 * Reading and writing a host file or block device: whole ranges, interrupted calls repeated. 0 or -errno.
 */
#ifndef BLOCK_HOST_FILE_H
#define BLOCK_HOST_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* host_read - what lies behind the end of the file reads as zeros. */
int host_read(int fd, uint64_t offset, void *buf, size_t len);
int host_write(int fd, uint64_t offset, const void *buf, size_t len);
/* host_flush - data, and the size of the file, are on stable storage after it. */
int host_flush(int fd);
/* host_zero - zeros, by a hole where the file system can. */
int host_zero(int fd, uint64_t offset, uint64_t len);
/* host_extent - how much of [@offset, +@len) is alike: a hole, which reads as zeros, or not. At least 1 for @len >= 1. */
uint64_t host_extent(int fd, uint64_t offset, uint64_t len, bool *hole);
/* host_discard - the range may read as anything from now on; never fails. */
void host_discard(int fd, uint64_t offset, uint64_t len);

#endif
