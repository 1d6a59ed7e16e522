/*
 * doppel-img compare.
 */
#include "img/img.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (1u << 20)

/* differ - the first difference of the two in [@at, +@len), or -1; -errno below that. */
static int64_t differ(BlockImage *a, BlockImage *b, uint64_t at, uint32_t len, uint8_t *x, uint8_t *y)
{
    int r = at < a->size ? image_read(a, at, x, len) : (memset(x, 0, len), 0);

    r = r != 0 ? r : at < b->size ? image_read(b, at, y, len) : (memset(y, 0, len), 0);
    if (r != 0) {
        return r - 1;
    }
    if (memcmp(x, y, len) == 0) {
        return -1;
    }
    for (uint32_t n = 0;; n++) {
        if (x[n] != y[n]) {
            return (int64_t)(at + n);
        }
    }
}

/* same_zeros - neither has anything in the range: its length, else 0. */
static uint64_t same_zeros(BlockImage *a, BlockImage *b, uint64_t at, uint64_t end)
{
    uint64_t len = end - at;
    ImageRange r;

    for (BlockImage **p = (BlockImage *[]){ a, b, NULL }; *p != NULL; p++) {
        if (at >= (*p)->size) {
            continue;
        }
        if (image_status(*p, at, MIN(len, (*p)->size - at), true, &r) != 0 || !(r.flags & IMAGE_ZERO)) {
            return 0;
        }
        len = r.len;
    }
    return len;
}

static int compare(BlockImage *a, BlockImage *b, bool strict, bool quiet, Progress *progress)
{
    uint64_t small = MIN(a->size, b->size), end = MAX(a->size, b->size);
    uint8_t *x = xnewn(uint8_t, CHUNK), *y = xnewn(uint8_t, CHUNK);
    int64_t at = -1;
    int code = 0;

    if (strict && a->size != b->size) {
        if (!quiet) {
            printf("Strict mode: Image size mismatch!\n");
        }
        code = 1;
    }
    progress_start(progress, quiet, end);
    for (uint64_t n = 0; n < end && at == -1 && code == 0;) {
        uint64_t stop = n < small ? small : end, zeros = same_zeros(a, b, n, stop);

        if (zeros == 0) {
            zeros = MIN(CHUNK, stop - n);
            at = differ(a, b, n, (uint32_t)zeros, x, y);
        }
        n += zeros;
        progress_add(progress, zeros);
    }
    if (at == -1 && code == 0) {
        progress_end(progress);
    } else {
        progress_clear(progress);
    }
    free(x);
    free(y);
    if (at < -1) {
        report("error while reading: %s", strerror((int)-(at + 1)));
        return 4;
    }
    if (at >= 0) {
        code = 1;
        if (!quiet) {
            printf("Content mismatch at offset %" PRId64 "!\n", at);
        }
    }
    if (code == 0 && !quiet) {
        if (a->size != b->size) {
            printf("Warning: Image size mismatch!\n");
        }
        printf("Images are identical.\n");
    }
    return code;
}

int cmd_compare(int argc, char **argv)
{
    const char *format[2] = { NULL, NULL };
    bool strict = false, quiet = false;
    unsigned share = 0;
    ImgCache cache = { BLK_WRITEBACK, 0 };
    Progress progress = { .on = false };
    BlockImage *img[2] = { NULL, NULL };
    Error *err = NULL;
    int c, code = 2;

    optind = 1;
    while ((c = getopt(argc, argv, ":f:F:spqUT:")) != -1) {
        switch (c) {
        case 'f': format[0] = optarg; break;
        case 'F': format[1] = optarg; break;
        case 's': strict = true; break;
        case 'q': quiet = true; break;
        case 'p': progress.on = true; break;
        case 'U': share = IMAGE_FORCE_SHARE; break;
        case 'T':
            if (!img_cache(optarg, &cache, &err)) {
                img_fail(err);
                return 2;
            }
            break;
        default: img_usage("compare", "an option that it does not have"); return 2;
        }
    }
    if (argc - optind != 2) {
        img_usage("compare", "Expecting two image file names");
        return 2;
    }
    for (int n = 0; n < 2 && err == NULL; n++) {
        img[n] = img_open(argv[optind + n], format[n], IMAGE_READ_ONLY | share | cache.flags, cache.mode, &err);
    }
    if (err != NULL) {
        img_fail(err);
    } else {
        code = compare(img[0], img[1], strict, quiet, &progress);
    }
    image_unref(img[0]);
    image_unref(img[1]);
    return code;
}
