/* VDI: making an image. What is done with one, image.h does. */
#ifndef BLOCK_VDI_H
#define BLOCK_VDI_H

#include "block/image.h"

#define VDI_BLOCK (1u << 20)

extern const ImageFormat vdi_format;

/* vdi_create - make the file anew; @whole: static, with a place for each block. */
bool vdi_create(const char *path, uint64_t size, bool whole, struct Error **errp);

#endif
