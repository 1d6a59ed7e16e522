/* qcow2: the data path, for the format's table in qcow2.c. Each takes the lock itself. */
#ifndef BLOCK_QCOW2_DATA_H
#define BLOCK_QCOW2_DATA_H

#include "block/image.h"

int qcow2_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len);
int qcow2_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len);
int qcow2_zero(BlockImage *img, uint64_t offset, uint64_t len, bool unmap);
int qcow2_discard(BlockImage *img, uint64_t offset, uint64_t len);
bool qcow2_map(BlockImage *img, uint64_t offset, uint32_t len, bool write, uint64_t *at, const HostFile **file);
void qcow2_unmap(BlockImage *img);
int qcow2_status(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r);

#endif
