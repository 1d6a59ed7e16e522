/* doppel-nbd: its command line. */
#ifndef IMG_NBD_OPTIONS_H
#define IMG_NBD_OPTIONS_H

#include "block/image.h"

typedef struct NbdArgs {
    const char *file;
    const char *port, *bind, *socket;      /* as given, or NULL */
    const char *name, *description;        /* of the export; the second may be NULL */
    const char *format, *snapshot;         /* -f, -l; or NULL */
    const char *pid_file;
    unsigned shared; /* 0: any number of clients */
    uint64_t offset;
    unsigned flags;  /* IMAGE_* */
    BlockCache cache;
    BlockDetect detect_zeroes;
    bool persistent, verbose, read_only, overlay, depth, discard, fork, image_opts;
} NbdArgs;

/* nbd_take_args - the exit code, or -1: serve. */
int nbd_take_args(NbdArgs *a, int argc, char **argv);
/* nbd_open_image - the image that @a names; NULL, and it was said why. @a gets what the image's own options say. */
BlockImage *nbd_open_image(NbdArgs *a);

#endif
