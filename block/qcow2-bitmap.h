/* qcow2: persistent dirty bitmaps, see qcow2-bitmap.c. Under the image's lock, 0 or -errno, unless it says otherwise. */
#ifndef BLOCK_QCOW2_BITMAP_H
#define BLOCK_QCOW2_BITMAP_H

#include "block/qcow2.h"

/* "Bitmap directory entry", flags */
enum { BITMAP_IN_USE = 1, BITMAP_AUTO = 2 };

/* What is believed of an image, and made: QEMU's limits. */
enum { BITMAPS_MAX = 65535, BITMAP_NAME_MAX = 1023, BITMAP_TABLE_MAX = 1 << 20 /* entries */, GRANULARITY_BITS_MIN = 9,
       GRANULARITY_BITS_MAX = 31 };
#define BITMAP_BYTES_MAX (512ull << 20) /* of one's bits */

typedef struct Qcow2Bitmap {
    char *name;
    uint32_t flags, table_size;
    uint8_t granularity_bits;
    bool kept_up; /* marked in use by us: it gets the writes */
    bool changed; /* differs from the file; set without the lock */
    uint64_t table_offset, entry; /* of its entry in the directory */
    uint64_t *bits; /* in memory, or NULL; set without the lock */
} Qcow2Bitmap;

/* qcow2_bitmaps_read - from the body of the header extension; not loaded. */
bool qcow2_bitmaps_read(Qcow2 *q, const uint8_t *ext, uint32_t len, struct Error **errp);
void qcow2_bitmaps_free(Qcow2 *q);
/* qcow2_bitmaps_begin - a writer keeps up those that want it; in the file they are in use. qcow2_bitmaps_store - at its
 * end: what changed goes to the file, and none is in use. */
int qcow2_bitmaps_begin(Qcow2 *q);
int qcow2_bitmaps_store(Qcow2 *q);
/* qcow2_bitmaps_room - there is memory for a disk of @size bytes, too; before it changes. qcow2_bitmaps_resized - it has. */
int qcow2_bitmaps_room(Qcow2 *q, uint64_t size);
void qcow2_bitmaps_resized(Qcow2 *q);
/* qcow2_bitmaps_mark - before [@offset, +@len) is written to. Without the lock. */
void qcow2_bitmaps_mark_kept(Qcow2 *q, uint64_t offset, uint64_t len);
static inline void qcow2_bitmaps_mark(Qcow2 *q, uint64_t offset, uint64_t len)
{
    if (q->keeps_up) {
        qcow2_bitmaps_mark_kept(q, offset, len);
    }
}
/* qcow2_bitmaps_refer - for check: all clusters that they take. -EINVAL: a table does not make sense. */
int qcow2_bitmaps_refer(Qcow2 *q, void (*refer)(void *opaque, uint64_t offset, uint64_t bytes, const char *what),
                        void *opaque);

/* One of them. qcow2_bitmap_bytes - of the bits for a disk of @size. */
Qcow2Bitmap *qcow2_bitmap_find(const Qcow2 *q, const char *name);
uint64_t qcow2_bitmap_bytes(const Qcow2Bitmap *b, uint64_t size);
int qcow2_bitmap_load(Qcow2 *q, Qcow2Bitmap *b);
void qcow2_bitmap_mark(Qcow2Bitmap *b, uint64_t offset, uint64_t len);
int qcow2_bitmap_remove(Qcow2 *q, Qcow2Bitmap *b);

/* ---- qcow2-bitmap-edit.c: take the lock themselves; errors in qemu-img's words ---- */

/* qcow2_bitmap_add - a new one, with no bits set, kept up from now on. @granularity 0: the cluster size, 4 to 64 KiB. */
bool qcow2_bitmap_add(BlockImage *img, const char *name, uint64_t granularity, struct Error **errp);
typedef enum Qcow2BitmapEdit { BITMAP_REMOVE, BITMAP_CLEAR, BITMAP_ENABLE, BITMAP_DISABLE } Qcow2BitmapEdit;
bool qcow2_bitmap_edit(BlockImage *img, const char *name, Qcow2BitmapEdit what, struct Error **errp);
/* qcow2_bitmap_merge - what is set in @from of @src is set in @name of @img too; @src may be @img. */
bool qcow2_bitmap_merge(BlockImage *img, const char *name, BlockImage *src, const char *from, struct Error **errp);
/* qcow2_bitmaps_copy - all of @src's in @img, too, where there are none of their names; @skip_broken: but for inconsistent
 * ones, which are an error else. */
bool qcow2_bitmaps_copy(BlockImage *img, BlockImage *src, bool skip_broken, struct Error **errp);
/* qcow2_bitmaps_sync - all that was edited to the file. */
int qcow2_bitmaps_sync(BlockImage *img);
/* qcow2_bitmaps_measure - bytes of a file with clusters of @cluster_size that the bitmaps of @img would take. */
uint64_t qcow2_bitmaps_measure(const BlockImage *img, uint32_t cluster_size);

#endif
