/* VPC (VHD): making an image. What is done with one, image.h does. */
#ifndef BLOCK_VPC_H
#define BLOCK_VPC_H

#include "block/image.h"

extern const ImageFormat vpc_format;

typedef struct VpcOptions {
    uint64_t size;
    bool fixed;      /* the data as they are, and a footer; else blocks as they are written */
    bool exact_size; /* else the size that cylinders, heads and sectors can say, which is not less */
} VpcOptions;

/* vpc_create - make the file anew. */
bool vpc_create(const char *path, const VpcOptions *o, struct Error **errp);

/* vpc_block - bytes of a block of an image that has blocks, or 0. */
uint32_t vpc_block(const BlockImage *img);

#endif
