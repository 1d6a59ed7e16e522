/* What a file looks like by its first bytes. */
#ifndef BLOCK_PROBE_H
#define BLOCK_PROBE_H

#include <stddef.h>
#include <stdint.h>

/* image_probe - name of the format whose header @head is (constant), or NULL: raw. */
const char *image_probe(const uint8_t *head, size_t len);

#endif
