/* Between block/backend.c and block/request.c. */
#ifndef BLOCK_INTERNAL_H
#define BLOCK_INTERNAL_H

#include "block/block.h"
#include "block/image.h"

struct BlockBackend {
    char *name;
    BlockImage *img; /* under the machine lock; NULL: no medium */
    BlockCache cache;
    char *serial;
    bool read_only;  /* how media are opened */
    BlockOnError write_error, read_error;
    BlockDetect detect_zeroes;
    bool direct, no_locks, discard;
    BlockStats stats; /* under the machine lock */
    BlockIoStatus io_status; /* under the machine lock */
    char *attached;  /* id of the device */
    bool used;       /* by a device */
    const BlockDevOps *ops;
    void *opaque;
    BlockBackend *next;
};

/* The machine lock, whether this thread has it or not. */
void block_lock(void);
void block_unlock(void);

/* requests_fini - wait for all without calling back, end the threads. Machine lock not held. */
void requests_fini(void);

#endif
