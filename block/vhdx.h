/*
 * VHDX: what its files have in common, and making an image. What is done with one, image.h does.
 *
 *   vhdx.c         the image: blocks
 *   vhdx-open.c    headers, regions, metadata
 *   vhdx-log.c     the log: what is written to it, and written again after a crash
 *   vhdx-create.c  a new image
 */
#ifndef BLOCK_VHDX_H
#define BLOCK_VHDX_H

#include <pthread.h>
#include "block/image.h"

#define VHDX_MIB (1ull << 20)
#define VHDX_PAGE 4096u /* in which the log counts, and a table is written */
enum { VHDX_HEADER_1 = 64 << 10, VHDX_HEADER_2 = 128 << 10, VHDX_REGIONS_1 = 192 << 10, VHDX_REGIONS_2 = 256 << 10,
       VHDX_REGIONS_BYTES = 64 << 10, VHDX_BLOCK_MIN = 1 << 20, VHDX_BLOCK_MAX = 256 << 20 };
/* The header's fields ("Headers"), lowest byte first, as all are. */
enum { XH_SUM = 4, XH_SEQUENCE = 8, XH_FILE_GUID = 16, XH_DATA_GUID = 32, XH_LOG_GUID = 48, XH_LOG_VERSION = 64, XH_VERSION = 66,
       XH_LOG_LENGTH = 68, XH_LOG_OFFSET = 72, XH_BYTES = 4096 };
/* States of a block, in the lowest bits of its entry; the place is in those from 20 on. */
enum { XB_NOT_PRESENT = 0, XB_UNDEFINED = 1, XB_ZERO = 2, XB_UNMAPPED = 3, XB_PRESENT = 6, XB_PARTIAL = 7, XB_STATE = 7 };
#define VHDX_PLACE(entry) ((entry) & ~(VHDX_MIB - 1))
enum { XM_PARAMETERS, XM_SIZE, XM_DISK_ID, XM_LOGICAL, XM_PHYSICAL, XM_PARENT, XM_ITEMS };
extern const uint8_t vhdx_item_guid[XM_ITEMS][16], vhdx_bat_guid[16], vhdx_metadata_guid[16];

extern const ImageFormat vhdx_format;

/* A log that has to be written again: from the entry at `tail`, `entries` of them. */
typedef struct VhdxReplay {
    uint64_t tail;
    unsigned entries;
    uint64_t last; /* bytes that the file has then, at least */
} VhdxReplay;

typedef struct Vhdx {
    /* constant */
    HostFile *host;
    uint32_t block;
    uint64_t blocks, chunk; /* of the disk; so many share a map of sectors, whose entry follows theirs */
    uint64_t bat_at, bat_bytes, meta_at, meta_bytes; /* bat_bytes: of what is used, whole pages */
    uint64_t log_at;
    uint32_t log_bytes;
    VhdxReplay replay; /* of an image that is only read: read through it */
    pthread_mutex_t lock; /* for what follows; held over the writing of a new block */
    uint64_t *bat;        /* host order */
    uint64_t next;        /* byte of the file where the next block goes */
    uint8_t *dirty;       /* a bit a page of the table */
    bool any_dirty, touched; /* touched: the header says that the image is in use */
    uint64_t sequence;    /* of the header that counts */
    unsigned current;     /* which of both */
    uint8_t file_guid[16], data_guid[16], log_guid[16];
    uint64_t log_next, log_sequence; /* where in the log, and which */
} Vhdx;

/* vhdx_crc - CRC-32C of @len bytes, four of which, at @sum_at, count as zeros (UINT32_MAX: none). */
uint32_t vhdx_crc(const uint8_t *p, size_t len, size_t sum_at);
/* vhdx_guid - a new one. */
int vhdx_guid(uint8_t guid[16]);

/* vhdx_open_file - all but the lock; NULL, or what is wrong with it. @write: the log is written again, and empty then. */
const char *vhdx_open_file(Vhdx *v, HostFile *host, uint64_t file_size, bool write, uint64_t *disk_size);
/* vhdx_write_header - with the next number, in place of the one that does not count; it is on stable storage then. */
int vhdx_write_header(Vhdx *v);

/* vhdx_log_find - what is in the log; NULL, or what is wrong with it. */
const char *vhdx_log_find(Vhdx *v, uint64_t file_size);
/* vhdx_log_replay - write it again. vhdx_log_read - read @len bytes through it; vhdx_log_inside - it has nothing but what
 * belongs to the two ranges that are read so. */
int vhdx_log_replay(Vhdx *v, uint64_t file_size);
int vhdx_log_read(const Vhdx *v, uint64_t offset, void *buf, size_t len);
bool vhdx_log_inside(const Vhdx *v);
/* vhdx_log_write - pages of the table: @page[], @count of them (at most VHDX_LOG_PAGES), on stable storage after it. */
enum { VHDX_LOG_PAGES = 60 };
int vhdx_log_write(Vhdx *v, const uint32_t *page, unsigned count);

/* vhdx_block - bytes of a block, or 0 of another format's image. */
uint32_t vhdx_block(const BlockImage *img);

typedef struct VhdxOptions {
    uint64_t size;
    bool fixed;
    uint32_t block_size; /* 0: by the size */
    uint32_t log_size;   /* rounded up to MiB */
    bool not_zero;       /* block_state_zero=off: new blocks are not there, instead of zeros */
    uint32_t sector;     /* logical; 0: 512 */
} VhdxOptions;

/* vhdx_create - make the file anew. */
bool vhdx_create(const char *path, const VhdxOptions *o, struct Error **errp);

#endif
