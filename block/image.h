/*
 * An opened image. Counted references: a request holds one, so that a medium that is ejected is
 * closed when its last request is done. The functions may block: worker threads, or at start-up.
 *
 * What the bytes of a file mean is a format's matter: one ImageFormat table each (raw.c, qcow2*.c), which stands
 * on the host file (host-file.h). Functions of a format may run on several threads at once.
 */
#ifndef BLOCK_IMAGE_H
#define BLOCK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "block/block.h"
#include "block/host-aio.h"
#include "block/host-file.h"

typedef struct BlockImage BlockImage;

/* What a range of an image holds: blk status, for map, convert and sparse copies. */
enum {
    IMAGE_DATA = 1,      /* bytes that were written */
    IMAGE_ZERO = 2,      /* known to read as zeros */
    IMAGE_ALLOCATED = 4, /* by this image, not by one behind it */
    IMAGE_OFFSET = 8,    /* lies unchanged in the file, at `offset` */
};
typedef struct ImageRange {
    uint64_t len; /* bytes from the offset asked for on that are alike */
    unsigned flags;
    uint64_t offset; /* in the host file */
    const char *file; /* another file than the image's own, or NULL */
} ImageRange;

typedef struct ImageFormat {
    const char *name;
    /* probe - does a file that begins with @head (@len bytes, at most 4096) look like it? NULL: never. */
    bool (*probe)(const uint8_t *head, size_t len);
    /* open - img->host is open, img->file_size known; sets img->size. */
    bool (*open)(BlockImage *img, struct Error **errp);
    /* writable - an image that was opened read-only is written to from now on; img->host is new. NULL: nothing to do. */
    bool (*writable)(BlockImage *img, struct Error **errp);
    void (*close)(BlockImage *img); /* flushed before; may be NULL */
    /* 0 or -errno, in bounds of img->size */
    int (*read)(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len);
    int (*write)(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len);
    /* zero - @unmap: the host need not keep room for it. */
    int (*zero)(BlockImage *img, uint64_t offset, uint64_t len, bool unmap);
    /* discard - what can be given back easily of the range, and reads as zeros then; NULL: nothing can. */
    int (*discard)(BlockImage *img, uint64_t offset, uint64_t len);
    int (*flush)(BlockImage *img);
    /* status - of the range at @offset (below img->size), at most @len bytes of it. */
    int (*status)(BlockImage *img, uint64_t offset, uint64_t len, ImageRange *r);
    /* map - [@offset, +@len) lies in a row in a host file, at *at of *file, and is read there, or written, without any more ado;
     * it stays so until unmap (NULL: nothing to do). False: it does not, or is not known. NULL: never. Without errors. */
    bool (*map)(BlockImage *img, uint64_t offset, uint32_t len, bool write, uint64_t *at, const HostFile **file);
    void (*unmap)(BlockImage *img);
    /* truncate - to a larger size, or a smaller one: what is cut off is zeros when the disk grows again. NULL: cannot. -ENOTSUP and
     * -EFBIG leave all as it was. */
    int (*truncate)(BlockImage *img, uint64_t size);
} ImageFormat;

struct BlockImage {
    unsigned refs; /* atomic */
    HostFile host;
    char *file;    /* as the user named it */
    const ImageFormat *fmt;
    const char *format; /* its name */
    void *priv;         /* the format's */
    BlockImage *backing; /* what shows through, or NULL; owned */
    uint64_t file_size; /* bytes of the host file when it was opened */
    uint64_t size; /* bytes, a multiple of 512 */
    unsigned flags; /* IMAGE_* of image_open_with() */
    const char *data; /* while it is opened: that of image_open_split(), or NULL */
    bool read_only;
    bool temporary; /* image_overlay() */
    bool guessed;  /* nobody said that it is raw: sector 0 must not become another format's header */
    BlockCache cache;
};

extern const ImageFormat raw_format, qcow2_format;

/* image_open - the text of an error is what QEMU says where it says one. */
BlockImage *image_open(const char *file, const char *format, bool read_only, BlockCache cache,
                       struct Error **errp);
/* image_open_chain - the image behind another, read-only, from the format's open(): a plain file name, never a
 * protocol. Chains have an end. @flags (IMAGE_*) beside those of the image that is being opened. */
BlockImage *image_open_chain(const char *path, const char *format, unsigned flags, struct Error **errp);
/* image_open_with - the same by flags. */
enum {
    IMAGE_READ_ONLY = 1,
    IMAGE_NO_BACKING = 2,  /* not even if the file names one */
    IMAGE_FORCE_SHARE = 4, /* others may write to it meanwhile; with IMAGE_READ_ONLY, for the whole chain */
    IMAGE_NO_LOCK = 8,     /* the caller has locked it, or the user wants no locks; for the whole chain */
    IMAGE_DIRECT = 16,     /* past the host's page cache; for the whole chain */
    IMAGE_AS_IT_IS = 32,   /* a writer does not repair it first: to check it */
    IMAGE_NATIVE = 64,     /* aio=native and aio=io_uring: image_map() and host-aio.h have them done so */
    IMAGE_URING = 128,
};
BlockImage *image_open_with(const char *file, const char *format, unsigned flags, BlockCache cache,
                            struct Error **errp);
/* image_open_data - a file with nothing but data of @img, which is named in it: opened as that is, raw, from the format's
 * open(); a plain file name, never a protocol. */
BlockImage *image_open_data(const BlockImage *img, const char *path, struct Error **errp);
/* image_open_split - as image_open_with(), but such data are in the file @data, whatever the image says. */
BlockImage *image_open_split(const char *file, const char *format, unsigned flags, BlockCache cache, const char *data,
                             struct Error **errp);
/* image_overlay - an image of as many bytes in front of @behind, which it takes over unless it fails: nothing is written
 * to that; what is written is gone with the image. */
BlockImage *image_overlay(BlockImage *behind, struct Error **errp);
/* image_make_writable - one that was opened read-only, and of a chain, say. Nothing else uses it meanwhile. */
bool image_make_writable(BlockImage *img, struct Error **errp);
BlockImage *image_ref(BlockImage *img);
void image_unref(BlockImage *img); /* closes with the last one; NULL is fine */

/* 0 or -errno. In bounds of `size`, which the caller checks. */
int image_read(BlockImage *img, uint64_t offset, uint8_t *buf, uint32_t len);
int image_write(BlockImage *img, uint64_t offset, const uint8_t *buf, uint32_t len);
int image_zero(BlockImage *img, uint64_t offset, uint64_t len);
/* image_zero_keep - and the host keeps room for it, where it had. */
int image_zero_keep(BlockImage *img, uint64_t offset, uint64_t len);
/* image_discard - the guest does not need the range any more: parts of it read as zeros then. */
int image_discard(BlockImage *img, uint64_t offset, uint64_t len);
int image_flush(BlockImage *img);
/* image_map - see ImageFormat; also, the host takes it as it is in p->buf: the rest of *p that says what and where. image_unmap
 * - after it. */
bool image_map(BlockImage *img, uint64_t offset, AioPiece *p);
void image_unmap(BlockImage *img);
/* image_aio - what its flags say. */
HostAio image_aio(const BlockImage *img);
/* image_aio_flags - the other way round. */
unsigned image_aio_flags(HostAio aio);
/* image_status - see ImageFormat; @chain: what images behind hold counts as this one's. */
int image_status(BlockImage *img, uint64_t offset, uint64_t len, bool chain, ImageRange *r);
/* image_truncate - to another size; what is behind a smaller one is lost. */
int image_truncate(BlockImage *img, uint64_t size);

/* image_commit - write what @img, and those between, hold to @base, which is behind it, is opened for writing, and grows
 * if need be. @progress (may be NULL) is told of each piece, and how much of it had to be moved.
 * @img stays as it is. */
int image_commit(BlockImage *img, BlockImage *base, void (*progress)(void *opaque, uint64_t bytes, uint64_t moved), void *opaque);

/* image_format_find - by name; NULL with errp that says what is known and what is not yet. */
const ImageFormat *image_format_find(const char *name, struct Error **errp);

#endif
