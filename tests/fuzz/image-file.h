/*
 * Fuzz an image format: the input is what to do (1 byte) and a file of that format, in memory. It is opened, read, described,
 * written to, enlarged, and what else the format can. Names in it are not followed: an image that has one behind it is not opened, and its
 * data file is ours. Of an image whose clusters are too large for that, the input may be the start of each alone (TERSE).
 */
#ifndef TESTS_FUZZ_IMAGE_FILE_H
#define TESTS_FUZZ_IMAGE_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/log.h"
#include "machine/board.h"
#include "tests/fuzz/image-use.h"

#define SIZE_MIN 100u
#define FILE_MAX (1u << 20)
enum { HOW_READ_ONLY = 1, HOW_UNSAFE = 2, HOW_REPAIR = 4, HOW_ENLARGE = 8, TERSE = 128, TERSE_BYTES = 1024, TERSE_CLUSTER = 16384 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The program's end belongs to machine/main.c, which is not here. */
void machine_exit(int code)
{
}

/* put_file - the image, which begins behind the first byte. */
static void put_file(int fd, const uint8_t *data, size_t size)
{
    size_t step = data[0] & TERSE ? TERSE_BYTES : size;
    off_t to = 0;

    if (ftruncate(fd, 0) != 0) {
        abort();
    }
    for (size_t at = 1; at < size; at += step, to += TERSE_CLUSTER) {
        size_t n = MIN(step, size - at);

        if (to < FILE_MAX && pwrite(fd, data + at, n, to) != (ssize_t)n) {
            abort();
        }
    }
}

/* fuzz_image - the input as a file of @format, in two parts if @split; @more (may be NULL) is what else is done with it. */
static void fuzz_image(const uint8_t *data, size_t size, const char *format, bool split, void (*more)(BlockImage *img, unsigned how))
{
    static int fd = -1, data_fd;
    static char path[32], data_path[32];
    unsigned how;
    Error *err = NULL;
    BlockImage *img;

    if (size < SIZE_MIN || size > FILE_MAX) {
        return;
    }
    if (fd < 0) {
        fd = memfd_create("image", 0);
        data_fd = memfd_create("data", 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        snprintf(data_path, sizeof(data_path), "/proc/self/fd/%d", data_fd);
    }
    how = data[0];
    put_file(fd, data, size);
    if (split && ftruncate(data_fd, FILE_MAX) != 0) {
        abort();
    }
    img = image_open_split(path, format, (how & HOW_READ_ONLY || data[1] == '#' ? IMAGE_READ_ONLY : 0) | IMAGE_NO_BACKING,
                           how & HOW_UNSAFE ? BLK_UNSAFE : BLK_WRITEBACK, split ? data_path : NULL, &err);
    error_free(err);
    if (img != NULL) {
        image_use(img);
        if (!img->read_only && (how & HOW_ENLARGE)) {
            image_truncate(img, img->size + (1 << 20));
        }
        if (more != NULL && img->size <= 1 << 24) {
            more(img, how);
        }
        image_unref(img);
    }
}

#endif
