/*
 * What all disks' -device options have in common. See disk-props.h.
 */
#include "hw/block/disk-props.h"

#include <string.h>
#include "base/error.h"
#include "base/mem.h"

static int choice(const char *value, const char *const *names)
{
    int n = 0;

    while (names[n] != NULL && strcmp(names[n], value) != 0) {
        n++;
    }
    return names[n] != NULL ? n : -1;
}

/* on_error - as BlockOnError, or -1: as the drive has it. */
static bool on_error(const char *key, const char *value, int *to, Error **errp)
{
    static const char *const names[] = { "report", "ignore", "enospc", "stop", "auto", NULL };
    int n = choice(value, names);

    if (n < 0) {
        error_set(errp, "Parameter '%s' does not accept value '%s'", key, value);
    }
    *to = n == 4 ? -1 : n;
    return n >= 0;
}

static bool is_block(uint64_t n, uint32_t largest)
{
    return n >= 512 && n <= largest && (n & (n - 1)) == 0;
}

bool disk_props_check(DiskProps *p, uint32_t largest, Error **errp)
{
    const struct {
        const char *key;
        uint64_t bytes;
    } multiples[] = { { "min_io_size", p->min_io }, { "opt_io_size", p->opt_io },
                      { "discard_granularity", p->granularity == DISK_SIZE_AUTO ? 0 : p->granularity } };

    p->logical = p->logical != 0 ? p->logical : 512;
    p->physical = p->physical != 0 ? p->physical : 512;
    if (!is_block(p->logical, largest) || !is_block(p->physical, largest)) {
        error_set(errp, "logical_block_size=%llu, physical_block_size=%llu: powers of two from 512 to %u",
                  (unsigned long long)p->logical, (unsigned long long)p->physical, largest);
        return false;
    }
    if (p->logical > p->physical) {
        error_set(errp, "logical_block_size > physical_block_size not supported");
        return false;
    }
    for (unsigned n = 0; n < ARRAY_SIZE(multiples); n++) {
        if (multiples[n].bytes % p->logical != 0) {
            error_set(errp, "%s must be a multiple of logical_block_size", multiples[n].key);
            return false;
        }
    }
    if (p->min_io / p->logical > UINT16_MAX) {
        error_set(errp, "min_io_size must not exceed %u logical blocks", UINT16_MAX);
        return false;
    }
    if (p->opt_io > UINT32_MAX || p->granularity > UINT32_MAX) {
        error_set(errp, "opt_io_size=%llu, discard_granularity=%llu: at most %u", (unsigned long long)p->opt_io,
                  (unsigned long long)p->granularity, UINT32_MAX);
        return false;
    }
    return true;
}

bool disk_props_attach(DiskProps *p, BlockBackend *b, const char *id, const BlockDevOps *ops, void *opaque, Error **errp)
{
    static const char *const caches[] = { "off", "on", "auto", NULL };
    int write_error, read_error, cache = choice(p->write_cache, caches);

    if (!on_error("werror", p->write_error, &write_error, errp) || !on_error("rerror", p->read_error, &read_error, errp)) {
        return false;
    }
    if (cache < 0) {
        error_set(errp, "Parameter 'write-cache' does not accept value '%s'", p->write_cache);
        return false;
    }
    if (!blk_attach(b, id, ops, opaque, errp)) {
        return false;
    }
    if (p->share_rw && !blk_share(b, errp)) {
        blk_detach(b);
        return false;
    }
    blk_set_policy(b, write_error, read_error);
    if (cache != 2) {
        blk_set_write_cache(b, cache);
    }
    p->cache = blk_write_cache(b);
    return true;
}

bool disk_props_discards(const DiskProps *p, const BlockBackend *b)
{
    return blk_discards(b) && p->granularity != 0;
}
