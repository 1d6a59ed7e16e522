/*
 * What an image holds, written to one behind it. See image.h.
 */
#include "block/image.h"

#include <errno.h>
#include <stdlib.h>
#include "base/mem.h"

#define CHUNK (1u << 20)
#define ZEROS_MAX (64u << 20) /* at a time, so that progress is seen */

/* above - what [@at, +@len) holds in the images above @base: r->flags 0 when nothing. */
static int above(BlockImage *img, const BlockImage *base, uint64_t at, uint64_t len, ImageRange *r)
{
    int ret = 0;

    *r = (ImageRange){ .len = len };
    for (BlockImage *i = img; i != base && ret == 0; i = i->backing) {
        if (at >= i->size) { /* an image that is smaller hides what is behind it */
            r->flags = IMAGE_ALLOCATED | IMAGE_ZERO;
            return 0;
        }
        ret = image_status(i, at, MIN(r->len, i->size - at), false, r);
        if (r->flags & IMAGE_ALLOCATED) {
            return ret;
        }
    }
    r->flags = 0;
    return ret;
}

static int commit_range(BlockImage *img, BlockImage *base, uint64_t at, const ImageRange *range, uint8_t *buf)
{
    int r = 0;

    if (range->flags & IMAGE_ZERO) {
        return image_zero(base, at, range->len);
    }
    for (uint64_t n = 0; n < range->len && r == 0; n += CHUNK) {
        uint32_t len = (uint32_t)MIN(CHUNK, range->len - n);

        r = image_read(img, at + n, buf, len);
        r = r == 0 ? image_write(base, at + n, buf, len) : r;
    }
    return r;
}

int image_commit(BlockImage *img, BlockImage *base, void (*progress)(void *opaque, uint64_t bytes, uint64_t moved),
                 void *opaque)
{
    uint64_t old = base->size;
    uint8_t *buf = try_newn(uint8_t, CHUNK);
    int r = buf == NULL ? -ENOMEM : img->size > old ? image_truncate(base, img->size) : 0;

    for (uint64_t at = 0; at < img->size && r == 0;) {
        ImageRange range;

        r = above(img, base, at, (at < old ? MIN(old, img->size) : img->size) - at, &range);
        if (r == 0 && range.flags == 0 && at >= old && base->backing != NULL) {
            range.flags = IMAGE_ZERO; /* where the base had ended, not what is behind it */
        }
        range.len = MIN(range.len, ZEROS_MAX);
        r = r == 0 && range.flags != 0 ? commit_range(img, base, at, &range, buf) : r;
        at += range.len;
        if (progress != NULL) {
            progress(opaque, range.len, range.flags & IMAGE_DATA ? range.len : 0);
        }
    }
    free(buf);
    return r == 0 ? image_flush(base) : r;
}
