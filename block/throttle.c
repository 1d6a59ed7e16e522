/*
 * How fast drives may be. See throttle.h.
 */
#include "block/throttle.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

const char *const limit_names[LIMITS] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr" };

#define VALUE_MAX 1000000000000000ull

bool limits_any(const BlockLimits *l)
{
    bool any = false;

    for (unsigned n = 0; n < LIMITS; n++) {
        any |= l->of[n].average != 0;
    }
    return any;
}

/* both - the limit @n of all, and one of those for reads or writes alone. */
static bool both(const BlockLimits *l, unsigned n)
{
    return (l->of[n].average != 0 && (l->of[n + 1].average != 0 || l->of[n + 2].average != 0)) ||
           (l->of[n].max != 0 && (l->of[n + 1].max != 0 || l->of[n + 2].max != 0));
}

bool limits_check(const BlockLimits *l, Error **errp)
{
    if (both(l, LIMIT_BPS) || both(l, LIMIT_IOPS)) {
        error_set(errp, "bps/iops/max total values and read/write values cannot be used at the same time");
        return false;
    }
    if (l->iops_size != 0 && l->of[LIMIT_IOPS].average == 0 && l->of[LIMIT_IOPS_READ].average == 0 &&
        l->of[LIMIT_IOPS_WRITE].average == 0) {
        error_set(errp, "iops size requires an iops value to be set");
        return false;
    }
    for (unsigned n = 0; n < LIMITS; n++) {
        uint64_t average = l->of[n].average, max = l->of[n].max, length = l->of[n].length;

        if (average > VALUE_MAX || max > VALUE_MAX) {
            error_set(errp, "bps/iops/max values must be within [0, %llu]", VALUE_MAX);
        } else if (length == 0) {
            error_set(errp, "the burst length cannot be 0");
        } else if (length > 1 && max == 0) {
            error_set(errp, "burst length set without burst rate");
        } else if (max != 0 && average == 0) {
            error_set(errp, "bps_max/iops_max require corresponding bps/iops values");
        } else if (max != 0 && max < average) {
            error_set(errp, "bps_max/iops_max cannot be lower than bps/iops");
        } else if (max != 0 && length > VALUE_MAX / max) {
            error_set(errp, "burst length too high for this burst rate");
        } else {
            continue;
        }
        return false;
    }
    return true;
}

/* applies - to reads, writes, or both. */
static bool applies(unsigned n, bool write)
{
    return n % 3 == 0 || (n % 3 == 2) == write;
}

/* leak - what has run out since. */
static void leak(Buckets *b, const BlockLimits *l, int64_t now)
{
    double s = (double)(now - b->then) / NS_PER_SEC;

    b->then = now;
    for (unsigned n = 0; n < LIMITS; n++) {
        b->level[n] = MAX(b->level[n] - (double)l->of[n].average * s, 0);
        b->burst[n] = MAX(b->burst[n] - (double)l->of[n].max * s, 0);
    }
}

/* over - seconds until the bucket @n is down to its mark. */
static double over(const Buckets *b, const BlockLimits *l, unsigned n)
{
    double average = (double)l->of[n].average, max = (double)l->of[n].max;
    double mark = max != 0 ? max * (double)l->of[n].length : average / 10, s;

    if (average == 0) {
        return 0;
    }
    s = (b->level[n] - mark) / average;
    if (s <= 0 && l->of[n].length > 1) {
        s = (b->burst[n] - max / 10) / max;
    }
    return MAX(s, 0);
}

int64_t buckets_take(Buckets *b, const BlockLimits *l, bool write, uint64_t bytes, int64_t now)
{
    double wait = 0;

    leak(b, l, now);
    for (unsigned n = 0; n < LIMITS; n++) {
        wait = applies(n, write) ? MAX(wait, over(b, l, n)) : wait;
    }
    if (wait > 0) {
        return (int64_t)(wait * NS_PER_SEC) + 1;
    }
    for (unsigned n = 0; n < LIMITS; n++) {
        double units = n < LIMIT_IOPS ? (double)bytes
                       : l->iops_size != 0 && bytes > l->iops_size ? (double)bytes / (double)l->iops_size : 1;

        if (applies(n, write)) {
            b->level[n] += units;
            b->burst[n] += l->of[n].length > 1 ? units : 0;
        }
    }
    return 0;
}
