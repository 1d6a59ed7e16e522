/*
 * Pieces of host files that are read and written many at a time, without a thread for each: by io_uring (liburing), or by
 * Linux's own asynchronous I/O (io_submit(2)), which is for files that were opened with O_DIRECT.
 *
 * Set-up is not among the calls that a confined process may make: who wants an engine says so before. The ring takes nothing
 * but reads and writes, so that it is no way around the confinement (io_uring_register(2), IORING_REGISTER_RESTRICTIONS).
 */
#ifndef BLOCK_HOST_AIO_H
#define BLOCK_HOST_AIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Error;

typedef enum HostAio {
    HOST_AIO_THREADS, /* none of these */
    HOST_AIO_NATIVE,
    HOST_AIO_URING,
} HostAio;

typedef struct AioPiece {
    int fd;
    bool write;
    uint8_t *buf;
    uint32_t len;
    uint64_t offset;
    int64_t result; /* bytes, or -errno */
    void (*done)(struct AioPiece *p); /* on the engine's thread */
} AioPiece;

enum { AIO_DEPTH = 128 }; /* pieces of an engine that are under way at most */

/* host_aio_parse - "threads", "native" or "io_uring". */
bool host_aio_parse(const char *name, HostAio *aio);
/* host_aio_want - set the engine up, once. False: it was not built in, the kernel refuses it, or it is too late. Loop thread. */
bool host_aio_want(HostAio aio, struct Error **errp);
/* host_aio_threads - one for each engine that was set up, once. False: there is none for some. Any thread, one at a time. */
bool host_aio_threads(void);
bool host_aio_threads_made(void); /* are there all? Any thread, without a lock */
/* host_aio_start - false: as many as may be are under way, or there is no thread. Any thread. */
bool host_aio_start(HostAio aio, AioPiece *p);
/* host_aio_count - pieces that the engine has carried out. Any thread. */
uint64_t host_aio_count(HostAio aio);
/* host_aio_fini - nothing is under way any more: end the threads. */
void host_aio_fini(void);

#endif
