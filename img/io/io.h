/*
 * doppel-io: commands on an opened image. Commands, arguments and output are qemu-io's.
 */
#ifndef IMG_IO_IO_H
#define IMG_IO_IO_H

#include <stdbool.h>
#include <stdint.h>
#include "block/image.h"

/* What the program works on. */
typedef struct IoState {
    BlockImage *img; /* or NULL */
    const char *format;
    bool misaligned, quit;
} IoState;

typedef struct IoCommand {
    const char *name, *args, *help;
    int min, max;   /* arguments, without options; max -1: any number */
    bool no_image;  /* goes without one */
    int (*run)(IoState *s, int argc, char **argv); /* 0, or a negative number when it failed */
} IoCommand;

extern const IoCommand io_commands[]; /* ends with a name of NULL */

/* io_open - @path becomes the image; false (and it is said why) when it cannot be opened. */
bool io_open(IoState *s, const char *path, unsigned flags, BlockCache cache);
/* io_number - "64k"; -1 (and it is said why) for what is no number. */
int64_t io_number(const char *text);
/* io_human - as numbers are shown: "64 KiB"; into @buf of 32 bytes. */
const char *io_human(double v, char buf[32]);

#endif
