/*
 * Fuzz the image formats: the input is a qcow2, VDI, VPC or VMDK file, in memory. It is opened, read, described, checked, written to,
 * enlarged and repaired. Names in it are not followed: an image that has one behind it is not opened, and its data
 * file is ours. Of an image whose clusters are too large for that, the input may be the start of each alone (TERSE).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "block/qcow2-bitmap.h"
#include "block/vmdk.h"
#include "machine/board.h"
#include "tests/fuzz/image-use.h"

#define FILE_MAX (1u << 20)
enum { TERSE = 128, TERSE_BYTES = 1024, TERSE_CLUSTER = 16384 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The program's end belongs to machine/main.c, which is not here. */
void machine_exit(int code)
{
}

/* A new bitmap, and what can be done to the first. */
static void use_bitmaps(BlockImage *img, unsigned how)
{
    const Qcow2 *q = img->priv;
    Qcow2BitmapEdit edit = how & 16 ? BITMAP_CLEAR : how & 32 ? BITMAP_REMOVE : BITMAP_DISABLE;
    char *name = q->bitmap_count != 0 ? xstrdup(q->bitmaps[0].name) : NULL;

    qcow2_bitmap_add(img, "new", how & 64 ? 512 : 0, NULL);
    if (name != NULL) {
        qcow2_bitmap_merge(img, "new", img, name, NULL);
        qcow2_bitmap_edit(img, name, edit, NULL);
    }
    qcow2_bitmaps_sync(img);
    free(name);
}

static void use(BlockImage *img, unsigned how)
{
    Qcow2Check c;

    image_use(img);
    if (img->fmt == &vmdk_format && img->size <= 1 << 24) {
        uint64_t errors;

        vmdk_check(img, &errors, NULL, NULL);
    }
    if (img->fmt == &qcow2_format && img->size <= 1 << 24) {
        qcow2_check(img, how & 4 ? QCOW2_FIX_LEAKS | QCOW2_FIX_ERRORS : 0, &c, NULL, NULL);
        if (!img->read_only && (how & 8)) {
            image_truncate(img, img->size + (1 << 20));
        }
        if (!img->read_only) {
            use_bitmaps(img, how);
        }
    }
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1, data_fd;
    static char path[32], data_path[32];
    bool vdi = size > 512 && ld_le32(data + 1 + 0x40) == 0xbeda107f;
    bool vpc = size > 512 && (memcmp(data + 1, "conectix", 8) == 0 || memcmp(data + size - 512, "conectix", 8) == 0);
    bool vmdk = size > 512 && (memcmp(data + 1, "KDMV", 4) == 0 || memcmp(data + 1, "# Disk", 6) == 0);
    Error *err = NULL;
    BlockImage *img;
    unsigned how;
    bool split;

    if (fd < 0) {
        fd = memfd_create("image", 0);
        data_fd = memfd_create("data", 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        snprintf(data_path, sizeof(data_path), "/proc/self/fd/%d", data_fd);
    }
    if (size < 100 || size > FILE_MAX || (!vdi && !vpc && !vmdk && ld_be64(data + 1 + QH_BACKING_OFFSET) != 0)) {
        return 0;
    }
    how = data[0];
    put_file(fd, data, size);
    split = !vdi && !vpc && !vmdk && ld_be32(data + 1 + QH_VERSION) >= 3 && (ld_be64(data + 1 + QH_INCOMPATIBLE) & INCOMPAT_DATA_FILE);
    if (split && ftruncate(data_fd, FILE_MAX) != 0) {
        abort();
    }
    img = image_open_split(path, vdi ? "vdi" : vpc ? "vpc" : vmdk ? "vmdk" : "qcow2",
                           (how & 1 || data[1] == '#' ? IMAGE_READ_ONLY : 0) | IMAGE_NO_BACKING,
                           how & 2 ? BLK_UNSAFE : BLK_WRITEBACK, split ? data_path : NULL, &err);
    error_free(err);
    if (img != NULL) {
        use(img, how);
        image_unref(img);
    }
    return 0;
}
