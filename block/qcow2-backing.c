/*
 * qcow2: what stands behind the image, by name; and an image that holds nothing of its own any more.
 */
#include "block/qcow2-shadow.h"

#include <errno.h>
#include <stdlib.h>

char *qcow2_backing_path(const BlockImage *img, const char *name)
{
    const char *slash = strrchr(img->file, '/');

    if (strncmp(name, "file:", 5) == 0) {
        name += 5;
    }
    return *name == '/' || slash == NULL ? xstrdup(name)
                                         : xasprintf("%.*s/%s", (int)(slash - img->file), img->file, name);
}

static size_t put_extension(uint8_t *c, size_t at, const uint8_t *ext, uint32_t len)
{
    memcpy(c + at, ext, 8 + len);
    return at + 8 + ((len + 7u) & ~7u);
}

/* put_extensions - those of the old first cluster @old into @c, with another one of @type, or none. The one with features'
 * names is only for reading by people, and left out unless @names. *end: behind them. */
static bool put_extensions(const Qcow2 *q, uint8_t *c, const uint8_t *old, uint32_t type, const void *ext, uint32_t len,
                           bool names, size_t *end)
{
    uint32_t head = q->version < 3 ? QH_V2_LENGTH : ld_be32(old + QH_LENGTH);
    uint8_t mine[8 + 24] = { 0 };
    size_t at = head, max = q->cluster_size;

    if (len != 0) {
        st_be32(mine, type);
        st_be32(mine + 4, len);
        memcpy(mine + 8, ext, len);
        at = put_extension(c, at, mine, len);
    }
    for (uint64_t from = head; from <= max - 8 && ld_be32(old + from) != 0;) {
        uint32_t is = ld_be32(old + from), size = ld_be32(old + from + 4);

        if (size > max - from - 8) {
            return false;
        }
        if (is != type && (names || is != QEXT_FEATURE_NAMES)) {
            if (at + 16 + size + 7 > max) {
                return false;
            }
            at = put_extension(c, at, old + from, size);
        }
        from += 8 + ((size + 7ull) & ~7ull);
    }
    *end = at + 8;
    return *end <= max;
}

/* place_name - behind the extensions, and not where the old name is. 0: no room. */
static size_t place_name(const Qcow2 *q, const uint8_t *old, size_t end, size_t len)
{
    uint64_t at = ld_be64(old + QH_BACKING_OFFSET), bytes = ld_be32(old + QH_BACKING_SIZE);
    size_t start = MAX(end, 512u);

    if (q->cluster_size == 512) {
        start = end; /* one sector, which is written at once */
    } else if (at != 0 && at < start + len && start < at + bytes) {
        start = at + bytes;
    }
    return start + len <= q->cluster_size ? start : 0;
}

int qcow2_rewrite_header(Qcow2 *q, uint32_t type, const void *ext, uint32_t len, const char *name)
{
    BlockImage *img = q->img;
    size_t name_len = name != NULL ? strlen(name) : 0, end = 0, at = 0;
    uint8_t *old = try_newn(uint8_t, q->cluster_size), *c = try_newn(uint8_t, q->cluster_size);
    bool ok = false;
    int r = old == NULL || c == NULL ? -ENOMEM : host_read(&img->host, 0, old, q->cluster_size);

    if (r == 0 && q->version >= 3 && ld_be32(old + QH_LENGTH) > q->cluster_size - 8) {
        r = -EIO;
    }
    /* First the name, where nothing refers to it; then one sector changes. The names of features go if they would
     * have to move. */
    for (unsigned names = 1; r == 0 && !ok && names < 2; names--) {
        memset(c, 0, q->cluster_size);
        memcpy(c, old, q->version < 3 ? QH_V2_LENGTH : ld_be32(old + QH_LENGTH));
        ok = put_extensions(q, c, old, type, ext, len, names, &end) &&
             (q->cluster_size == 512 || end <= 512 || (names && memcmp(c + 512, old + 512, end - 512) == 0));
    }
    if (r == 0 && (!ok || (name_len != 0 && (at = place_name(q, old, end, name_len)) == 0))) {
        r = -ENOSPC;
    }
    if (r == 0) {
        st_be64(c + QH_BACKING_OFFSET, at);
        st_be32(c + QH_BACKING_SIZE, (uint32_t)name_len);
        if (q->version >= 3) {
            st_be64(c + QH_AUTOCLEAR, q->autoclear);
        }
        if (at >= 512) {
            r = host_write(&img->host, at, name, name_len);
            r = r == 0 ? host_flush(&img->host) : r;
        } else if (name_len != 0) {
            memcpy(c + at, name, name_len);
        }
        r = r == 0 ? host_write(&img->host, 0, c, 512) : r;
        r = r == 0 ? host_flush(&img->host) : r;
    }
    free(old);
    free(c);
    return r;
}

int qcow2_set_backing(BlockImage *img, const char *file, const char *format)
{
    Qcow2 *q = img->priv;
    size_t len = file != NULL ? strlen(file) : 0, format_len = format != NULL ? strlen(format) : 0;
    int r = len > 1023 || format_len > 15 || (len != 0 && q->data_raw) ? -EINVAL : 0; /* raw data hide all */

    pthread_mutex_lock(&q->lock);
    r = r == 0 ? qcow2_flush_locked(q, true) : r;
    r = r == 0 ? qcow2_rewrite_header(q, QEXT_BACKING_FORMAT, format, (uint32_t)format_len, file) : r;
    if (r == 0) {
        free(q->backing_file);
        free(q->backing_format);
        q->backing_file = len != 0 ? xstrdup(file) : NULL;
        q->backing_format = format_len != 0 ? xstrdup(format) : NULL;
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

int qcow2_make_empty(BlockImage *img)
{
    Qcow2 *q = img->priv;
    Shadow s = { 0 };
    int r;

    pthread_mutex_lock(&q->lock);
    r = qcow2_settle(q);
    if (r == 0) {
        r = shadow_begin(&s, q);
        r = r == 0 ? shadow_tree(&s, q->l1, q->l1_size, -1) : r;
        r = r == 0 ? shadow_give_up(&s, q->l1_offset, q->l1_size * 8ull) : r;
        if (r == 0) {
            memset(s.l1, 0, s.l1_size * 8ull);
            r = shadow_commit(&s);
        }
        shadow_end(&s);
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}
