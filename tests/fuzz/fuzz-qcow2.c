/*
 * Fuzz qcow2: see image-file.h. The image is checked and repaired, and its bitmaps are edited as well.
 */
#include "tests/fuzz/image-file.h"

#include "block/qcow2-bitmap.h"

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

static void more(BlockImage *img, unsigned how)
{
    Qcow2Check c;

    qcow2_check(img, how & HOW_REPAIR ? QCOW2_FIX_LEAKS | QCOW2_FIX_ERRORS : 0, &c, NULL, NULL);
    if (!img->read_only) {
        use_bitmaps(img, how);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= SIZE_MIN && ld_be64(data + 1 + QH_BACKING_OFFSET) == 0) {
        bool split = ld_be32(data + 1 + QH_VERSION) >= 3 && (ld_be64(data + 1 + QH_INCOMPATIBLE) & INCOMPAT_DATA_FILE);

        fuzz_image(data, size, "qcow2", split, more);
    }
    return 0;
}
