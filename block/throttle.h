/*
 * How fast drives may be: bytes and operations in a second, for one drive or for a group of them together.
 *
 * Each limit is a bucket that leaks at the average rate. A request pours its size in, and may begin while the bucket is
 * not over its mark: a tenth of a second's worth, or, with a maximum, what that lets through in the time that a burst
 * may last. A burst of more than a second has a second bucket, which leaks at the maximum.
 *
 * Machine lock held.
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

struct Error;
struct OptList;

enum { LIMIT_BPS, LIMIT_BPS_READ, LIMIT_BPS_WRITE, LIMIT_IOPS, LIMIT_IOPS_READ, LIMIT_IOPS_WRITE, LIMITS };

typedef struct BlockLimits {
    struct {
        uint64_t average, max; /* of a second; 0: none */
        uint64_t length;       /* seconds that a burst may last, at least 1 */
    } of[LIMITS];
    uint64_t iops_size; /* an operation of more bytes counts as several; 0: never */
} BlockLimits;

extern const char *const limit_names[LIMITS]; /* "bps", "bps_rd", ..., as the monitors call them */

/* limits_check - do they make sense together? */
bool limits_check(const BlockLimits *l, struct Error **errp);
bool limits_any(const BlockLimits *l);

/* -object throttle-group, and object_add. del: false when there is none, or it is used. */
bool throttle_object_new(struct OptList *l, struct Error **errp);
bool throttle_object_del(const char *id);
bool throttle_object_used(const char *id);
/* throttle_object_take - its limits, and one more user; NULL: there is none. throttle_object_give - one less. */
const BlockLimits *throttle_object_take(const char *id);
void throttle_object_give(const char *id);

typedef struct Buckets {
    double level[LIMITS], burst[LIMITS];
    int64_t then; /* when they leaked last */
} Buckets;

/* buckets_take - a request may begin at @now: it is counted. Else how many ns it has to wait, at least 1. */
int64_t buckets_take(Buckets *b, const BlockLimits *l, bool write, uint64_t bytes, int64_t now);

#endif
