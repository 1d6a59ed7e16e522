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
    struct {
        BlockCache cache;
        BlockOnError write_error, read_error;
    } own; /* without a device */
    BlockDetect detect_zeroes;
    bool direct, no_locks, discard, copy_on_read;
    HostAio aio;
    struct ThrottleGroup *throttle; /* under the machine lock; or NULL */
    BlockStats stats; /* under the machine lock */
    BlockIoStatus io_status; /* under the machine lock */
    char *node;      /* name of the medium's node, made up; NULL: it is `name`, given by the user */
    bool is_node;    /* not a drive: made for a device that uses a node */
    bool doomed;     /* deleted while a device had it: goes with that */
    char *attached;  /* id of the device */
    bool used;       /* by a device */
    const BlockDevOps *ops;
    void *opaque;
    BlockBackend *next;
};

/* The machine lock, whether this thread has it or not. */
void block_lock(void);
void block_unlock(void);

/* throttle_group - a reference to the one called @name, made if need be; it takes the limits @l. throttle_unref - what
 * waits for a group that ends begins at once. Machine lock held. */
typedef struct ThrottleGroup ThrottleGroup;
ThrottleGroup *throttle_group(const char *name, const BlockLimits *l);
void throttle_unref(ThrottleGroup *g);
const BlockLimits *throttle_limits(const ThrottleGroup *g, const char **name);

/* blk_new_node - a back end for node @p->name, whose image is @img (a reference is taken). */
BlockBackend *blk_new_node(const BlockParams *p, BlockImage *img, struct Error **errp);
/* blk_share_checked - @img was opened so that others may write to it: only of raw ones that stays so. */
bool blk_share_checked(BlockImage *img, struct Error **errp);
/* blk_image_info - what BlockInfo says of an image. */
void blk_image_info(const BlockImage *img, BlockInfo *info);
/* node.c: node_auto_name - "#block001"; freed by the caller. nodes_free - all; their back ends are gone. */
char *node_auto_name(void);
void nodes_free(void);

/* requests_fini - wait for all without calling back, end the threads. Machine lock not held. */
void requests_fini(void);

#endif
