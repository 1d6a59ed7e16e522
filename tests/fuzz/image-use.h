/* What the fuzzers of image formats do with any image that opened. */
#ifndef TESTS_FUZZ_IMAGE_USE_H
#define TESTS_FUZZ_IMAGE_USE_H

#include "base/mem.h"
#include "block/image.h"

/* image_use - read, described, written to in eight places, flushed. */
static inline void image_use(BlockImage *img)
{
    static uint8_t buf[65536];
    uint64_t size = MIN(img->size, 1ull << 40);

    for (uint64_t n = 0; n < 8 && size >= sizeof(buf); n++) {
        uint64_t at = (size - sizeof(buf)) / 8 * n & ~511ull;
        ImageRange r;

        image_status(img, at, 1 << 20, true, &r);
        image_read(img, at, buf, sizeof(buf));
        if (!img->read_only) {
            image_write(img, at + 512, buf, 3000 & ~511);
            image_zero(img, at, 8192);
        }
    }
    image_flush(img);
}

#endif
