/*
 * VMDK: what its files have in common, and making an image. What is done with one, image.h does.
 *
 *   vmdk.c         the image: its extents one behind the other
 *   vmdk-text.c    the descriptor
 *   vmdk-sparse.c  an extent that has grains
 *   vmdk-create.c  a new image
 */
#ifndef BLOCK_VMDK_H
#define BLOCK_VMDK_H

#include <pthread.h>
#include "block/image.h"

#define VMDK_SECTOR 512u
#define VMDK_TEXT_MAX (1u << 20) /* bytes of a descriptor */
#define VMDK_EXTENTS_MAX 1024u   /* each is an open file */
#define VMDK_NO_PARENT 0xffffffffu

extern const ImageFormat vmdk_format;

/* The header of a sparse extent ("Hosted Sparse Extent Header"), lowest byte first. */
enum { MH_MAGIC = 0, MH_VERSION = 4, MH_FLAGS = 8, MH_CAPACITY = 12, MH_GRAIN = 20, MH_TEXT = 28, MH_TEXT_SIZE = 36,
       MH_PER_TABLE = 44, MH_RGD = 48, MH_GD = 56, MH_OVERHEAD = 64, MH_UNCLEAN = 72, MH_NEWLINES = 73, MH_COMPRESS = 77,
       MH_BYTES = 512 };
enum { MF_NEWLINES = 1, MF_REDUNDANT = 2, MF_ZEROED = 4, MF_COMPRESSED = 1 << 16, MF_MARKERS = 1 << 17 };
#define VMDK_MAGIC "KDMV"

/* One line of the descriptor. */
typedef struct VmdkLine {
    char access[12], type[16], *name; /* RW, RDONLY, NOACCESS; name may be NULL */
    uint64_t sectors, offset;         /* offset: in the file, in sectors */
} VmdkLine;

typedef struct VmdkText {
    char *text; /* all of it, NUL at the end */
    uint32_t cid, parent_cid;
    uint32_t cid_at, cid_digits; /* where it stands in the text, to be changed there */
    char *create_type, *parent;  /* parent: parentFileNameHint, or NULL */
    VmdkLine *line;
    unsigned lines;
} VmdkText;

/* vmdk_text_parse - takes @text over; NULL or what is wrong with it. vmdk_text_fini - also after an error. */
const char *vmdk_text_parse(VmdkText *t, char *text);
void vmdk_text_fini(VmdkText *t);

typedef enum VmdkKind { VMDK_FLAT, VMDK_SPARSE, VMDK_ZERO } VmdkKind;

/* Up to per_table grains: where they are. */
typedef struct VmdkTable {
    uint32_t *entry;         /* sectors, host order; NULL: not read yet */
    uint32_t dirty_from, dirty_to;
} VmdkTable;

typedef struct VmdkExtent {
    /* constant */
    VmdkKind kind;
    const char *type;     /* as the descriptor has it */
    char *file;           /* path; NULL for zeros */
    uint64_t start, size; /* bytes of the disk */
    bool read_only;
    uint64_t flat_at;     /* byte of the file that is its first */
    uint32_t grain, per_table, tables; /* grain: bytes */
    bool compressed, zeroed;
    uint32_t *dir, *spare; /* sectors where the tables are; spare: their copies, or NULL */
    HostFile *host;        /* the image's, or `own` */
    HostFile own;
    pthread_mutex_t lock; /* for what follows; held over the writing of a new grain */
    VmdkTable *table;
    uint64_t next; /* byte of the file where the next grain goes */
    bool dirty;
} VmdkExtent;

typedef struct Vmdk {
    VmdkText text;
    uint64_t text_at; /* in the file */
    VmdkExtent *extent;
    unsigned extents;
    pthread_mutex_t lock; /* for what follows */
    bool touched;         /* the content's number has changed since it was opened */
} Vmdk;

/* ---- an extent with grains (vmdk-sparse.c); offsets are the extent's ---- */

/* vmdk_sparse_open - @e->host, file and size (0: what the header says) are there. NULL, or what is wrong with it. */
const char *vmdk_sparse_open(VmdkExtent *e, uint64_t file_size, bool write);
void vmdk_sparse_fini(VmdkExtent *e);
int vmdk_sparse_read(BlockImage *img, VmdkExtent *e, uint64_t offset, uint8_t *buf, uint32_t len);
/* vmdk_sparse_write - @buf NULL: zeros. */
int vmdk_sparse_write(BlockImage *img, VmdkExtent *e, uint64_t offset, const uint8_t *buf, uint64_t len, bool unmap);
int vmdk_sparse_discard(VmdkExtent *e, uint64_t offset, uint64_t len);
int vmdk_sparse_flush(VmdkExtent *e, bool sync);
int vmdk_sparse_status(BlockImage *img, VmdkExtent *e, uint64_t offset, uint64_t len, ImageRange *r);
/* vmdk_sparse_check - counts what does not make sense in its tables. */
int vmdk_sparse_check(VmdkExtent *e, uint64_t *errors, void (*say)(void *opaque, const char *line), void *opaque);

/* ---- for the tools ---- */

/* vmdk_parent - the file behind, as the image names it, or NULL. */
const char *vmdk_parent(const BlockImage *img);
/* vmdk_grain - bytes of a grain of its first extent, or 0. */
uint32_t vmdk_grain(const BlockImage *img);
/* vmdk_compressed - it is written best by whole grains. */
bool vmdk_compressed(const BlockImage *img);
int vmdk_check(BlockImage *img, uint64_t *errors, void (*say)(void *opaque, const char *line), void *opaque);
/* vmdk_beside - the path of what an image at @file calls @name. */
char *vmdk_beside(const char *file, const char *name);

typedef struct VmdkOptions {
    uint64_t size;
    unsigned subformat;          /* of vmdk_subformats */
    const char *adapter, *hw_version, *tools_version; /* as they stand in the descriptor */
    bool zeroed;
    const char *backing_file; /* or NULL */
} VmdkOptions;
extern const char *const vmdk_subformats[];
extern const char *const vmdk_adapters[];
bool vmdk_is_flat(unsigned subformat);

/* vmdk_create - make the files anew. */
bool vmdk_create(const char *path, const VmdkOptions *o, struct Error **errp);

#endif
