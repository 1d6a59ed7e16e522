/* New images, for create and convert. */
#ifndef IMG_CREATE_H
#define IMG_CREATE_H

#include "block/qcow2.h"
#include "block/vhdx.h"
#include "block/vmdk.h"
#include "img/img.h"

/* What -o says, of all formats. */
typedef struct NewImage {
    Qcow2Options q; /* size and backing file are every format's */
    VmdkOptions vmdk;
    VhdxOptions vhdx;
    bool no_cow;               /* what the host's file system may know: Btrfs not to copy on write, XFS */
    uint64_t extent_size_hint; /* how much to place at a time; 0: nothing was said */
    const char *text[8]; /* of VMDK's and VHDX's options, as they were given: only shown */
} NewImage;

/* new_image_options - from -o; backing file and size are there already. */
bool new_image_options(const char *format, OptList *l, NewImage *image, Error **errp);
bool new_image(const char *path, const char *format, const NewImage *image, Error **errp);
/* new_image_help - for -o help, all that -o takes for @format. */
bool new_image_help(const char *format, Error **errp);
/* new_image_behind - the format can have an image behind it. */
bool new_image_behind(const char *format);
/* img_preallocation - the argument of --preallocation=. img_preallocates - can @img? img_preallocate - what is behind @from. */
bool img_preallocation(const char *text, unsigned *how, Error **errp);
bool img_preallocates(const BlockImage *img, unsigned how, Error **errp);
bool img_preallocate(BlockImage *img, uint64_t from, unsigned how, Error **errp);
/* new_image_print - "Formatting ...", as front ends expect it. */
void new_image_print(const char *path, const char *format, const NewImage *image);

#endif
