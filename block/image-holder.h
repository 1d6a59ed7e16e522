/*
 * Who has an image: the process that holds the locks of image-lock.h on a file. Looked for under /proc, by the broker
 * where there is one.
 */
#ifndef BLOCK_IMAGE_HOLDER_H
#define BLOCK_IMAGE_HOLDER_H

/* image_holder - "process 17 (qemu-img ...) uses it", for the file of @fd; NULL when nobody is found. Freed by the caller. */
char *image_holder(int fd);
/* image_holder_setup - the broker's service. Before broker_start(). */
void image_holder_setup(void);

#endif
