/*
 * What all disks' -device options have in common: what is done when the host fails, the write cache, sizes that the guest
 * is told. Spelled as QEMU's.
 */
#ifndef HW_BLOCK_DISK_PROPS_H
#define HW_BLOCK_DISK_PROPS_H

#include "block/block.h"
#include "bus/device.h"

#define DISK_SIZE_AUTO UINT32_MAX

typedef struct DiskProps {
    /* properties */
    char *write_error, *read_error, *write_cache;
    bool share_rw;
    uint64_t logical, physical, min_io, opt_io; /* bytes; 0: not said, which disk_props_check() makes 512 of the first two */
    uint64_t granularity;                       /* bytes, or DISK_SIZE_AUTO */
    /* by disk_props_attach() */
    bool cache; /* the guest finds a write cache that is on */
} DiskProps;

/* What a drive with a medium that comes and goes has too. */
#define DISK_POLICY_PROPS(S, f)                                                                                        \
    PROP_STR("werror", S, f.write_error, "auto", "report, ignore, enospc or stop, when the host cannot write; auto: the drive's"), \
    PROP_STR("rerror", S, f.read_error, "auto", "the same, when it cannot read"),                                       \
    PROP_STR("write-cache", S, f.write_cache, "auto", "on, off; auto: on unless the drive has cache=writethrough"),      \
    PROP_BOOL("share-rw", S, f.share_rw, false, "other processes may write to the image too")

#define DISK_SIZE_PROPS(S, f)                                                                                          \
    PROP_SIZE("logical_block_size", S, f.logical, 0, "what the guest can address; 0: 512"),                             \
    PROP_SIZE("physical_block_size", S, f.physical, 0, "what it should write at once; 0: 512"),                          \
    PROP_SIZE("min_io_size", S, f.min_io, 0, "what it should write at least"),                                          \
    PROP_SIZE("opt_io_size", S, f.opt_io, 0, "what is best"),                                                           \
    PROP_SIZE("discard_granularity", S, f.granularity, DISK_SIZE_AUTO, "what can be discarded at least; 0: nothing")

/* disk_props_check - that they make sense, and fit each other; @largest: bytes of a block. */
bool disk_props_check(DiskProps *p, uint32_t largest, struct Error **errp);
/* disk_props_attach - blk_attach(), and the drive does as the device's properties say until blk_detach(). */
bool disk_props_attach(DiskProps *p, BlockBackend *b, const char *id, const BlockDevOps *ops, void *opaque, struct Error **errp);
/* disk_props_discards - the guest is told that it can discard. */
bool disk_props_discards(const DiskProps *p, const BlockBackend *b);

#endif
