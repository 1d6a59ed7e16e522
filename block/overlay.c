/*
 * snapshot=on: what is written goes to a new image in front of the user's, which has no name and ends with the
 * process. See image.h.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/error.h"

/* temporary - a name of a file that is there now, where many bytes may go: not /tmp, which is often memory. */
static char *temporary(Error **errp)
{
    const char *dir = getenv("TMPDIR");
    char *path;
    int fd;

    if (dir == NULL || *dir == 0 || strcmp(dir, "/tmp") == 0) {
        dir = "/var/tmp";
    }
    path = xasprintf("%s/vl.XXXXXX", dir);
    fd = mkstemp(path);
    if (fd < 0) {
        error_set_errno(errp, errno, "Could not get temporary filename in '%s'", dir);
        free(path);
        return NULL;
    }
    close(fd);
    return path;
}

BlockImage *image_overlay(BlockImage *behind, Error **errp)
{
    const Qcow2Options o = { .size = behind->size, .version = 3, .cluster_size = 65536, .refcount_bits = 16 };
    autofree char *path = temporary(errp);
    BlockImage *img = NULL;

    if (path == NULL) {
        return NULL;
    }
    if (qcow2_create(path, &o, errp)) {
        img = image_open_with(path, "qcow2", IMAGE_NO_BACKING, BLK_UNSAFE, errp);
    }
    unlink(path);
    if (img != NULL) {
        img->backing = behind;
        img->temporary = true;
    }
    return img;
}
