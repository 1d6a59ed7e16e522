/*
 * qcow2: bitmaps are added, removed, changed by hand (doppel-img bitmap). See qcow2-bitmap.h.
 */
#include "block/qcow2-bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include "base/error.h"

/* The one called @name, its bits in memory. NULL: it cannot be used. */
static Qcow2Bitmap *usable(Qcow2 *q, const char *name, Error **errp)
{
    Qcow2Bitmap *b = qcow2_bitmap_find(q, name);
    int r;

    if (b == NULL) {
        error_set(errp, "Dirty bitmap '%s' not found", name);
        return NULL;
    }
    if ((b->flags & BITMAP_IN_USE) && !b->kept_up) {
        error_set(errp, "Bitmap '%s' is inconsistent and cannot be used (a writer did not come to its end); it can be removed",
                  name);
        return NULL;
    }
    r = qcow2_bitmap_load(q, b);
    if (r != 0) {
        error_set_errno(errp, -r, "Could not read bitmap '%s'", name);
        return NULL;
    }
    return b;
}

/* Why there can be no bitmap @name of @granularity, or NULL. */
static bool allowed(const Qcow2 *q, const char *name, uint64_t granularity, Error **errp)
{
    Qcow2Bitmap b = { .granularity_bits = (uint8_t)__builtin_ctzll(granularity | 1ull << 63) };
    uint64_t bytes = qcow2_bitmap_bytes(&b, q->img->size);

    if (granularity < 1ull << GRANULARITY_BITS_MIN || granularity > 1ull << GRANULARITY_BITS_MAX || (granularity & (granularity - 1))) {
        error_set(errp, "Granularity must be power of 2 and at least 512");
    } else if (q->version < 3) {
        error_set(errp, "Can't make bitmap '%s' persistent: Cannot store dirty bitmaps in qcow2 v2 files", name);
    } else if (*name == 0 || strlen(name) > BITMAP_NAME_MAX) {
        error_set(errp, "Bitmap name must be 1 to %d bytes long", BITMAP_NAME_MAX);
    } else if (qcow2_bitmap_find(q, name) != NULL) {
        error_set(errp, "Bitmap already exists: %s", name);
    } else if (bytes > BITMAP_BYTES_MAX || qcow2_clusters(q, bytes) > BITMAP_TABLE_MAX || q->bitmap_count >= BITMAPS_MAX) {
        error_set(errp, "Bitmap '%s' would be too large: a larger granularity is needed", name);
    } else {
        return true;
    }
    return false;
}

bool qcow2_bitmap_add(BlockImage *img, const char *name, uint64_t granularity, Error **errp)
{
    Qcow2 *q = img->priv;
    Qcow2Bitmap *more;
    bool ok;

    pthread_mutex_lock(&q->lock);
    granularity = granularity != 0 ? granularity : MAX(4096u, MIN(q->cluster_size, 65536u));
    ok = allowed(q, name, granularity, errp);
    if (ok) {
        Qcow2Bitmap b = { .granularity_bits = (uint8_t)__builtin_ctzll(granularity), .flags = BITMAP_AUTO };

        b.bits = try_newn(uint64_t, qcow2_bitmap_bytes(&b, img->size) / 8 + 1);
        more = b.bits == NULL ? NULL : realloc(q->bitmaps, (q->bitmap_count + 1) * sizeof(Qcow2Bitmap));
        if (more == NULL) {
            free(b.bits);
            error_set(errp, "Could not add bitmap '%s': no memory", name);
            ok = false;
        } else {
            b.name = xstrdup(name);
            b.changed = b.kept_up = true;
            q->bitmaps = more;
            q->bitmaps[q->bitmap_count++] = b;
            q->bitmaps_changed = q->keeps_up = true;
        }
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

bool qcow2_bitmap_edit(BlockImage *img, const char *name, Qcow2BitmapEdit what, Error **errp)
{
    Qcow2 *q = img->priv;
    Qcow2Bitmap *b;
    int r = 0;

    pthread_mutex_lock(&q->lock);
    b = what == BITMAP_REMOVE ? qcow2_bitmap_find(q, name) : usable(q, name, errp);
    if (b == NULL && what == BITMAP_REMOVE) {
        error_set(errp, "Dirty bitmap '%s' not found", name);
    }
    if (b != NULL && what == BITMAP_REMOVE) {
        r = qcow2_bitmap_remove(q, b);
        if (r != 0) {
            error_set_errno(errp, -r, "Could not remove bitmap '%s'", name);
        }
    } else if (b != NULL && what == BITMAP_CLEAR) {
        memset(b->bits, 0, qcow2_bitmap_bytes(b, img->size));
        b->changed = true;
    } else if (b != NULL) {
        b->flags = (b->flags & ~(uint32_t)BITMAP_AUTO) | (what == BITMAP_ENABLE ? BITMAP_AUTO : 0);
        q->bitmaps_changed = true;
    }
    pthread_mutex_unlock(&q->lock);
    return b != NULL && r == 0;
}

/* Every run of set bits of @from, in @to. */
static void merge(Qcow2Bitmap *to, const uint64_t *from, unsigned from_bits, uint64_t size)
{
    uint64_t bits = (size >> from_bits) + ((size & ((1ull << from_bits) - 1)) != 0);

    for (uint64_t n = 0; n < bits; n++) {
        if (from[n / 64] == 0) {
            n |= 63;
        } else if (from[n / 64] >> n % 64 & 1) {
            qcow2_bitmap_mark(to, n << from_bits, MIN(1ull << from_bits, size - (n << from_bits)));
        }
    }
}

bool qcow2_bitmap_merge(BlockImage *img, const char *name, BlockImage *src, const char *from, Error **errp)
{
    Qcow2 *q = img->priv, *s = src->priv;
    Qcow2Bitmap *b, *f;
    uint64_t *copy = NULL;
    unsigned bits = 0;
    uint64_t bytes;

    pthread_mutex_lock(&s->lock);
    f = usable(s, from, errp);
    if (f != NULL) {
        bytes = qcow2_bitmap_bytes(f, src->size) / 8 * 8 + 8;
        bits = f->granularity_bits;
        copy = try_newn(uint64_t, bytes / 8);
        if (copy == NULL) {
            error_set(errp, "Could not merge bitmap '%s': no memory", from);
        } else {
            memcpy(copy, f->bits, qcow2_bitmap_bytes(f, src->size));
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (copy == NULL) {
        return false;
    }
    pthread_mutex_lock(&q->lock);
    b = usable(q, name, errp);
    if (b != NULL && img->size != src->size) {
        error_set(errp, "Bitmaps are of different sizes (destination size is %llu and source size is %llu) and can't be merged",
                  (unsigned long long)img->size, (unsigned long long)src->size);
        b = NULL;
    }
    if (b != NULL) {
        merge(b, copy, bits, img->size);
    }
    pthread_mutex_unlock(&q->lock);
    free(copy);
    return b != NULL;
}

bool qcow2_bitmaps_copy(BlockImage *img, BlockImage *src, bool skip_broken, Error **errp)
{
    const Qcow2 *s = src->priv; /* only its bits change, by being read */

    for (unsigned n = 0; n < s->bitmap_count; n++) {
        const Qcow2Bitmap *b = &s->bitmaps[n];

        if ((b->flags & BITMAP_IN_USE) && skip_broken) {
            report("Skipping inconsistent bitmap '%s'", b->name);
        } else if (b->flags & BITMAP_IN_USE) {
            error_set(errp, "Cannot copy inconsistent bitmap '%s' (--skip-broken-bitmaps leaves it out)", b->name);
            return false;
        } else if (!qcow2_bitmap_add(img, b->name, 1ull << b->granularity_bits, errp) ||
                   !qcow2_bitmap_merge(img, b->name, src, b->name, errp) ||
                   (!(b->flags & BITMAP_AUTO) && !qcow2_bitmap_edit(img, b->name, BITMAP_DISABLE, errp))) {
            return false;
        }
    }
    return true;
}

int qcow2_bitmaps_sync(BlockImage *img)
{
    Qcow2 *q = img->priv;
    int r;

    pthread_mutex_lock(&q->lock);
    r = q->broken ? -EIO : qcow2_bitmaps_store(q);
    r = r == 0 ? qcow2_flush_locked(q, true) : r; /* what they took before is given up */
    pthread_mutex_unlock(&q->lock);
    return r;
}

uint64_t qcow2_bitmaps_measure(const BlockImage *img, uint32_t cluster_size)
{
    const Qcow2 *q = img->priv;
    uint64_t all = 0, directory = 0, mask = cluster_size - 1;

    for (unsigned n = 0; n < q->bitmap_count; n++) {
        uint64_t clusters = (qcow2_bitmap_bytes(&q->bitmaps[n], img->size) + mask) / cluster_size;

        all += clusters * cluster_size + ((clusters * 8 + mask) & ~mask);
        directory += (24 + strlen(q->bitmaps[n].name) + 7) & ~7ull;
    }
    return all + ((directory + mask) & ~mask);
}
