/*
 * A screen in a file, as a picture.
 */
#ifndef UI_SCREENDUMP_H
#define UI_SCREENDUMP_H

#include <stdbool.h>
#include "hw/display/screen.h"

struct Error;

typedef enum DumpFormat {
    DUMP_PPM, /* binary, "P6" */
    DUMP_PNG, /* needs libpng at build time */
} DumpFormat;

/* screendump_take - bring @screen up to date and copy it; NULL when there is no memory for that. To have
 * all that the guest stored, with the processors paused. Loop thread, machine lock held. */
Surface *screendump_take(Screen *screen);

/* screendump_write - write @surface to @path, which is replaced as a whole. May block. */
bool screendump_write(const Surface *surface, const char *path, DumpFormat format,
                      struct Error **errp);

#endif
