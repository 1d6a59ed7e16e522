/* New images, for create and convert. */
#ifndef IMG_CREATE_H
#define IMG_CREATE_H

#include "block/qcow2.h"
#include "img/img.h"

/* new_image_options - from -o; backing file and size are there already. */
bool new_image_options(const char *format, OptList *l, Qcow2Options *o, Error **errp);
bool new_image(const char *path, const char *format, const Qcow2Options *o, Error **errp);
/* new_image_print - "Formatting ...", as front ends expect it. */
void new_image_print(const char *path, const char *format, const Qcow2Options *o);

#endif
