/*
 * Who else uses an image file: locks on single bytes, the ones QEMU takes (seen in /proc/locks), so that each keeps
 * the other out. Byte 100 + n is locked by whoever does n (reads and wants it consistent, writes, ..., resizes), byte
 * 200 + n by whoever does not bear that another does it. All are shared locks of the open file description: they
 * go with the last descriptor. Nothing is ever written there.
 */
#ifndef BLOCK_IMAGE_LOCK_H
#define BLOCK_IMAGE_LOCK_H

#include <stdbool.h>

struct Error;

/* image_lock - @fd, for writing or only reading; @share: bears every other (and reads). False with what the user
 * should know, the one who has it in it. A file system without locks is used without. */
bool image_lock(int fd, const char *file, bool write, bool share, struct Error **errp);
/* image_unlock - gives them all back. */
void image_unlock(int fd);

/* image_create_file - a file for a new image, locked for writing before what it held is gone, and empty. A descriptor, or
 * -1 with @errp. */
int image_create_file(const char *path, struct Error **errp);

#endif
