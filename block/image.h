/*
 * An opened image. Counted references: a request holds one, so that a medium that is ejected is
 * closed when its last request is done. The functions may block: worker threads, or at start-up.
 */
#ifndef BLOCK_IMAGE_H
#define BLOCK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "block/block.h"

typedef struct BlockImage {
    unsigned refs; /* atomic */
    int fd;
    char *file;    /* as the user named it */
    const char *format;
    uint64_t size; /* bytes, a multiple of 512 */
    bool read_only;
    bool guessed;  /* nobody said that it is raw: sector 0 must not become another format's header */
    BlockCache cache;
} BlockImage;

/* image_open - the text of an error is what QEMU says where it says one. */
BlockImage *image_open(const char *file, const char *format, bool read_only, BlockCache cache,
                       struct Error **errp);
BlockImage *image_ref(BlockImage *img);
void image_unref(BlockImage *img); /* closes with the last one; NULL is fine */

/* 0 or -errno. In bounds of `size`, which the caller checks. */
int image_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len);
int image_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len);
int image_flush(BlockImage *img);

#endif
