/*
 * The qcow2 format: what its files share.
 *
 * Source: QEMU's published specification of the format ("qcow2", headings quoted). All fields of a file are
 * big-endian. Guest clusters are found through two levels of tables; each cluster of the file has a reference
 * count, found through two levels as well.
 *
 *   offset in the guest -> l1[] -> L2 table -> entry: host offset, or compressed data, or zeros, or nothing
 *   cluster of the file -> refcount table[] -> refcount block -> count
 *
 * Threads: requests come on several. `lock` is held for the tables and never across data I/O. A write that
 * allocates marks its guest cluster busy; others that need the same wait. Requests that overlap are kept apart
 * by block/request.c already.
 *
 * What is on the disk at a crash: tables are written at a flush (or when the cache is full) in this order, with a
 * flush of the host file between: data and refcounts, the table of those, then L2 tables, then L1. So a table never refers to a
 * cluster that is not accounted for, and clusters that were given up are reused only after the next flush: a
 * crash leaks clusters at worst. The dirty bit says that a writer has not come to its end: it is set before tables
 * change for the first time, and cleared when all is in the file. Who opens the image for writing next finds it set
 * after a crash and gives the leaked clusters back; so does QEMU. Version 2 has no such bit, and keeps its leaks.
 *
 * Data can lie in another file ("external data file"): then each cluster of the guest's has its place there, by the same
 * number, and no count. With "Extended L2 Entries" a cluster has 32 subclusters, each of which is data, zeros or nothing by
 * itself; below, a unit is one of those, or the cluster where there are none.
 *
 * Not there yet: encryption.
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include <pthread.h>
#include "base/mem.h"
#include "block/host-file.h"
#include "block/big-endian.h"
#include "block/image.h"

#define QCOW2_MAGIC 0x514649fbu

/* "Header": offsets of its fields */
enum { QH_VERSION = 4, QH_BACKING_OFFSET = 8, QH_BACKING_SIZE = 16, QH_CLUSTER_BITS = 20, QH_SIZE = 24,
       QH_CRYPT = 32, QH_L1_SIZE = 36, QH_L1_OFFSET = 40, QH_REFTABLE_OFFSET = 48,
       QH_REFTABLE_CLUSTERS = 56, QH_SNAPSHOTS = 60, QH_SNAPSHOTS_OFFSET = 64, QH_INCOMPATIBLE = 72,
       QH_COMPATIBLE = 80, QH_AUTOCLEAR = 88, QH_REFCOUNT_ORDER = 96, QH_LENGTH = 100,
       QH_COMPRESSION = 104, QH_V2_LENGTH = 72, QH_V3_LENGTH = 112 };

enum { INCOMPAT_DIRTY = 1, INCOMPAT_CORRUPT = 2, INCOMPAT_DATA_FILE = 4, INCOMPAT_COMPRESSION = 8,
       INCOMPAT_EXTENDED_L2 = 16 };
enum { COMPAT_LAZY_REFCOUNTS = 1 };
enum { AUTOCLEAR_BITMAPS = 1, AUTOCLEAR_RAW_DATA = 2 };

/* "Header extensions" */
#define QEXT_BACKING_FORMAT 0xe2792acau
#define QEXT_FEATURE_NAMES 0x6803f857u
#define QEXT_BITMAPS 0x23852875u
#define QEXT_DATA_FILE 0x44415441u

/* "L1 table entry", "L2 table entry", "Standard Cluster Descriptor" */
#define L2_COPIED (1ull << 63)     /* the reference count is exactly one */
#define L2_COMPRESSED (1ull << 62)
#define L2_ZERO 1ull
#define L2_OFFSET 0x00fffffffffffe00ull
#define REFTABLE_OFFSET 0xfffffffffffffe00ull

/* "Extended L2 Entries": subclusters of a cluster, and the bitmap that says that all are data, or zeros. */
enum { QCOW2_UNITS = 32, QCOW2_EXTENDED_BITS_MIN = 14 };
#define L2_ALL_DATA 0x00000000ffffffffull
#define L2_ALL_ZERO 0xffffffff00000000ull

/* An entry of an L2 table; `units` is 0 without extended ones. */
typedef struct QEntry {
    uint64_t desc, units;
} QEntry;

/* What a unit is. */
typedef enum QKind {
    Q_NOTHING, /* what is behind shows */
    Q_ZERO,
    Q_DATA,
    Q_PACKED, /* with the whole cluster */
    Q_DAMAGED,
} QKind;

/* Limits that no sensible image comes near: what is read into memory is bounded by them. */
#define QCOW2_L1_MAX (32u << 20)      /* bytes */
#define QCOW2_REFTABLE_MAX (8u << 20) /* bytes */
enum { QCOW2_SNAPSHOTS_MAX = 65536 };

/* A table of the file in memory: an L2 table or a refcount block, one cluster. */
typedef struct QTable {
    uint64_t offset; /* in the file; 0: unused */
    uint8_t *data;   /* as in the file */
    uint64_t used;   /* when it was needed last */
    uint32_t from, to; /* bytes that have changed since it was written; to 0: none */
    bool refcounts;
    struct QTable *next; /* of the same hash */
} QTable;

enum { QTABLE_HASH = 1024 };
#define QTABLE_BYTES (32u << 20) /* what the tables in memory may take, but for dirty ones */

/* Guest clusters that a write allocates. */
typedef struct QBusy {
    uint64_t cluster, count;
    struct QBusy *next;
} QBusy;

/* Clusters that are no longer needed, by number. */
typedef struct QGone {
    uint64_t *cluster;
    size_t count;
} QGone;

typedef struct Qcow2 {
    BlockImage *img;
    /* constant while it is open */
    unsigned version, cluster_bits, l2_bits; /* entries of an L2 table: 1 << l2_bits */
    unsigned unit_bits;                      /* bytes of a unit: 1 << unit_bits */
    bool extended;                           /* entries of the L2 tables */
    unsigned refcount_order;                 /* bits of a count: 1 << refcount_order */
    unsigned block_bits;                     /* counts of a refcount block: 1 << block_bits */
    uint32_t cluster_size;
    uint8_t compression;                     /* 0 zlib, 1 zstd */
    char *backing_file, *backing_format;     /* as named in the file, or NULL */
    char *data_name;                         /* the same; of the file with the data */
    BlockImage *data_file;                   /* that, or NULL */
    HostFile *data;                          /* where data lie: there, or in the image */
    bool data_raw;                           /* that file is to be the disk, for those who know nothing of this one */
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* a cluster is no longer busy */
    QBusy *busy;
    uint64_t incompatible, compatible;
    uint64_t l1_offset, *l1; /* host order */
    uint32_t l1_size;
    bool l1_dirty;
    uint64_t reftable_offset, *reftable;
    uint32_t reftable_size;  /* entries */
    uint32_t reftable_clusters; /* of the table that the header names, at reftable_offset */
    uint64_t reftable_next;  /* where it goes at the next flush, having grown; 0: it stays */
    bool reftable_dirty;
    bool counts_first;       /* a count went up: it must be durable before a table that needs it */
    bool data_first;         /* the same of data that a changed L2 table leads to */
    bool broken;             /* what the header says is not known any more: nothing is written */
    uint32_t snapshots;
    uint64_t snapshots_offset;
    uint64_t free_hint;      /* no free cluster below, of those with a refcount block */
    uint64_t reserve, reserve_count; /* clusters that are counted, and nobody's yet */
    uint64_t end;            /* first cluster behind all that are in use */
    uint64_t packed;         /* where the next compressed cluster goes, if not at the start of a cluster */
    uint64_t touched;        /* bytes: the file was never written from there on, and reads as zeros */
    unsigned active;         /* data transfers under way: nothing is given up meanwhile */
    uint64_t *pending;       /* clusters to be given up after the next flush */
    size_t pending_count;
    struct Qcow2Bitmap *bitmaps; /* qcow2-bitmap.c */
    unsigned bitmap_count;
    uint64_t directory, directory_bytes; /* of those, in the file */
    uint64_t autoclear;      /* features that are kept up */
    bool keeps_up;           /* some bitmap gets the writes; read without the lock */
    bool bitmaps_changed;    /* there are others than in the file, or with other flags */
    QGone bitmaps_gone;      /* what removed ones took */
    bool unsure;             /* something failed, or was found dirty and not repaired: the dirty bit stays */
    QTable *tables[QTABLE_HASH];
    uint64_t clock, table_count;
} Qcow2;

static inline uint64_t qcow2_clusters(const Qcow2 *q, uint64_t bytes)
{
    return (bytes >> q->cluster_bits) + ((bytes & (q->cluster_size - 1)) != 0);
}

/* qcow2_l1_entries - that a guest's disk of @size takes. */
static inline uint64_t qcow2_l1_entries(const Qcow2 *q, uint64_t size)
{
    unsigned bits = q->cluster_bits + q->l2_bits;

    return (size >> bits) + ((size & ((1ull << bits) - 1)) != 0);
}

/* Everything below: under `lock`, 0 or -errno, unless it says otherwise. */

/* ---- qcow2-table.c: tables in memory, the order in which they reach the file ---- */

/* table_get - the table at @offset, read if need be; @fresh: it is new, all zeros, and dirty. The pointer is valid
 * until the next table_get(). */
int table_get(Qcow2 *q, uint64_t offset, bool refcounts, bool fresh, QTable **t);
/* qcow2_flush_locked - all tables to the file, in order; with @sync data and tables are on stable storage. */
int qcow2_flush_locked(Qcow2 *q, bool sync);
/* table_changed - [@at, +@len) of its bytes are others than in the file. Any thread that has it. */
static inline void table_changed(QTable *t, uint64_t at, uint64_t len)
{
    t->from = t->to == 0 ? (uint32_t)at : MIN(t->from, (uint32_t)at);
    t->to = MAX(t->to, (uint32_t)(at + len));
}
/* tables_reserve - the next @n tables come without a flush. */
int tables_reserve(Qcow2 *q, uint64_t n);
/* tables_drop - forget the table at @offset, changed or not. tables_free - all. */
void tables_drop(Qcow2 *q, uint64_t offset);
void tables_free(Qcow2 *q);

/* ---- qcow2-refcount.c ---- */

/* Count @n of a refcount block in memory; what a count can be at most. */
uint64_t count_get(const Qcow2 *q, const uint8_t *block, uint64_t n);
void count_set(const Qcow2 *q, uint8_t *block, uint64_t n, uint64_t val);
uint64_t count_max(const Qcow2 *q);

int refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *count);
/* reftable_publish - the refcount table to the file, and the header to it if it has moved; from the flush, when all
 * blocks are in the file. */
int reftable_publish(Qcow2 *q, bool sync);
/* refcount_last - behind the last cluster with a count in block @n, 0 when there is none. */
int refcount_last(Qcow2 *q, uint32_t n, uint64_t *cluster);
/* refcount_set - of a cluster that has a refcount block. */
int refcount_set(Qcow2 *q, uint64_t cluster, uint64_t count);
/* refcount_add - @delta 1 or -1. */
int refcount_add(Qcow2 *q, uint64_t cluster, int delta);
/* qcow2_alloc - @n contiguous clusters with count 1; the offset of the first. */
int qcow2_alloc(Qcow2 *q, uint64_t n, uint64_t *offset);
/* qcow2_settle - the reserve is given back, and all is in the file: the counts are those that tables need. */
int qcow2_settle(Qcow2 *q);
/* qcow2_alloc_run - the same for at most *n, at least one: as many as are free in a row, or at the end of the file. */
int qcow2_alloc_run(Qcow2 *q, uint64_t *n, uint64_t *offset);
/* qcow2_give_up - one reference less, once the tables that no longer hold it are in the file. */
void qcow2_give_up(Qcow2 *q, uint64_t cluster);
/* qcow2_take_back - the one reference to a new cluster that no table has held: at once, so that what was written of its
 * data before the host's disk was full does not keep it full. */
void qcow2_take_back(Qcow2 *q, uint64_t cluster);
int qcow2_give_up_now(Qcow2 *q); /* all of those; from the flush */

/* ---- qcow2-map.c ---- */

/* l2_find - the L2 entry of @guest (an offset); 0 where there is no table. */
int l2_find(Qcow2 *q, uint64_t guest, QEntry *entry);
/* l2_get, l2_put - entry @n of a table in memory. Any thread that has it. */
QEntry l2_get(const Qcow2 *q, const uint8_t *table, uint64_t n);
void l2_put(const Qcow2 *q, uint8_t *table, uint64_t n, QEntry entry);
/* l2_change - the same of a table that the next flush writes. */
void l2_change(const Qcow2 *q, QTable *t, uint64_t n, QEntry entry);
/* qcow2_has_place - a cluster with a place for its data, whatever is there. qcow2_owns - and nobody else has it. */
bool qcow2_has_place(const Qcow2 *q, QEntry entry);
bool qcow2_owns(const Qcow2 *q, QEntry entry);
/* qcow2_kind - of the unit that has the guest's byte @offset; @entry is its cluster's. */
QKind qcow2_kind(const Qcow2 *q, QEntry entry, uint64_t offset);
/* qcow2_place - of the guest's byte @offset, in the file with the data. */
uint64_t qcow2_place(const Qcow2 *q, QEntry entry, uint64_t offset);
/* l2_absent - bytes from @guest on for which there is no L2 table, 0 when there is one. */
uint64_t l2_absent(Qcow2 *q, uint64_t guest);
/* l2_set - set it; makes or copies the table. @data: a crash may leave the entry only with the data that it leads to. */
int l2_set(Qcow2 *q, uint64_t guest, QEntry entry, bool data);
/* compressed_clusters - "Compressed Clusters Descriptor": the first and last cluster that its sectors touch. */
uint64_t compressed_clusters(const Qcow2 *q, uint64_t desc, uint64_t *last);
/* qcow2_free_entry - what @entry referred to is no longer needed. */
void qcow2_free_entry(Qcow2 *q, QEntry entry);
/* qcow2_new_places - for at most *n clusters of the guest's from @guest on, in a row: as many as there are. Two ways back,
 * for one that no table has held: qcow2_take_back() or qcow2_give_up(), both by qcow2_no_place(). */
int qcow2_new_places(Qcow2 *q, uint64_t guest, uint64_t *n, uint64_t *offset);
void qcow2_no_place(Qcow2 *q, uint64_t offset, bool at_once);
/* qcow2_place_all - each cluster of [@from, @to) that has no place gets one; what it reads as stays the same only where
 * there is nothing behind. */
int qcow2_place_all(Qcow2 *q, uint64_t from, uint64_t to);

/* ---- qcow2.c ---- */

/* qcow2_write_header - fields that change: L1, refcount table, snapshots, features. */
int qcow2_write_header(Qcow2 *q);
/* What the header says of the tables and the disk's size. */
typedef struct QHeader {
    uint64_t l1_offset, reftable_offset, snapshots_offset, size;
    uint32_t l1_size, reftable_size, reftable_clusters, snapshots;
} QHeader;
QHeader qcow2_header(const Qcow2 *q);
/* qcow2_change_header - to what @q says now, on stable storage; when that fails @q says what @before does again. If it
 * is not even known what the file says then, nothing is written to the image any more. */
int qcow2_change_header(Qcow2 *q, const QHeader *before);
/* qcow2_set_dirty - the dirty bit alone, in the file as well; on stable storage before it returns. */
int qcow2_set_dirty(Qcow2 *q, bool dirty);

/* ---- qcow2-check.c ---- */

typedef struct Qcow2Check {
    uint64_t corruptions, leaks, errors; /* errors: could not look */
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t total, allocated, compressed, fragmented; /* guest clusters */
    uint64_t end; /* of what is in use, bytes */
} Qcow2Check;

/* qcow2_check - compare the counts with what refers to each cluster. @fix: QCOW2_FIX_*. @report (may be NULL) gets
 * a line for each finding. Takes the lock itself. */
enum { QCOW2_FIX_LEAKS = 1, QCOW2_FIX_ERRORS = 2 };
int qcow2_check(BlockImage *img, unsigned fix, Qcow2Check *result,
                void (*report)(void *opaque, const char *line), void *opaque);

/* ---- qcow2-snapshot.c: take the lock themselves; no request may be under way ---- */

/* "Snapshots": an entry of the list. */
typedef struct Qcow2Snapshot {
    char *id, *name;
    uint64_t l1_offset;
    uint32_t l1_size;
    uint32_t sec, nsec;   /* when it was made */
    uint64_t clock_ns;    /* how long the guest had run */
    uint64_t state_bytes; /* of the machine's state that it holds */
    uint64_t size;        /* of the disk; UINT64_MAX: as it is now */
    uint64_t icount;      /* UINT64_MAX: not counted */
    uint8_t *extra;       /* bytes behind the known ones, kept */
    uint32_t extra_bytes;
} Qcow2Snapshot;

/* qcow2_snapshots_read - all of them, to be freed by qcow2_snapshots_free(); *bytes of the file they take. Does not
 * take the lock. */
int qcow2_snapshots_read(Qcow2 *q, Qcow2Snapshot **list, uint32_t *count, uint64_t *bytes);
/* qcow2_snapshot_l1 - its L1 table, in host order; to be freed. -EIO: it lies outside of the file. */
int qcow2_snapshot_l1(const Qcow2 *q, const Qcow2Snapshot *sn, uint64_t **l1);
void qcow2_snapshots_free(Qcow2Snapshot *list, uint32_t count);
/* 0 or -errno; -ENOENT: there is none of that name (or, for apply and view, id). Each is durable when it returns. */
int qcow2_snapshot_create(BlockImage *img, const char *name);
int qcow2_snapshot_apply(BlockImage *img, const char *name);
int qcow2_snapshot_delete(BlockImage *img, const char *name);
/* qcow2_snapshot_view - an image opened read-only shows the snapshot from now on. */
int qcow2_snapshot_view(BlockImage *img, const char *name);

/* ---- qcow2-backing.c ---- */

/* qcow2_rewrite_header - the extension @type anew (no @len: it goes), the autoclear bits, and the name of the image behind;
 * on stable storage. -ENOSPC: no room in the first cluster. All tables are in the file. */
int qcow2_rewrite_header(Qcow2 *q, uint32_t type, const void *ext, uint32_t len, const char *name);
/* The others take the lock themselves. */

/* qcow2_backing_path - @name as an image in the file of @img means it: relative to its folder. To be freed. */
char *qcow2_backing_path(const BlockImage *img, const char *name);
/* qcow2_set_backing - another name (NULL or "": none) and format, at once, on stable storage; -ENOSPC: the name is
 * too long. What is behind the opened image stays as it is. */
int qcow2_set_backing(BlockImage *img, const char *file, const char *format);
/* qcow2_make_empty - the image holds nothing of its own: what is behind shows. */
int qcow2_make_empty(BlockImage *img);

/* ---- qcow2-compress.c ---- */

/* qcow2_read_packed - the whole cluster of the compressed @entry into @out. Without the lock. */
int qcow2_read_packed(Qcow2 *q, QEntry entry, uint8_t *out);

/* A thread's means to compress. */
typedef struct Qcow2Packer Qcow2Packer;
Qcow2Packer *qcow2_packer_new(void);
void qcow2_packer_free(Qcow2Packer *p);
/* qcow2_compress - a cluster at @in to less than one at @out; -ENOSPC: it does not get smaller. Without the lock. */
int qcow2_compress(const Qcow2 *q, Qcow2Packer *p, const uint8_t *in, uint8_t *out, uint32_t *len);
/* qcow2_write_compressed - what that made, for the guest's cluster at @offset, where nothing is yet (-EEXIST). Takes
 * the lock itself. */
int qcow2_write_compressed(BlockImage *img, uint64_t offset, const uint8_t *data, uint32_t len);

/* ---- qcow2-create.c ---- */

typedef struct Qcow2Options {
    uint64_t size;
    unsigned version;       /* 2 or 3 */
    uint32_t cluster_size;  /* 512 to 2 MiB, a power of two */
    unsigned refcount_bits; /* 1 to 64, a power of two */
    bool lazy_refcounts;
    unsigned preallocation; /* QCOW2_PREALLOC_* */
    unsigned compression;
    const char *backing_file, *backing_format; /* or NULL */
    const char *data_file; /* which is made too; or NULL */
    bool data_raw;
    bool extended_l2;
    const char *compat; /* the version as the user wrote it, or NULL; only shown */
    bool whole; /* of another format's image: static, or fixed */
    bool exact_size; /* of a VPC image */
} Qcow2Options;
enum { QCOW2_PREALLOC_OFF, QCOW2_PREALLOC_METADATA, QCOW2_PREALLOC_FALLOC, QCOW2_PREALLOC_FULL };

/* qcow2_preallocate - places in the file for what is behind @from (@how: QCOW2_PREALLOC_*, not OFF), all of which reads as
 * zeros. 0 or -errno. */
int qcow2_preallocate(BlockImage *img, uint64_t from, unsigned how);
/* qcow2_create - make the file anew. */
bool qcow2_create(const char *path, const Qcow2Options *o, struct Error **errp);

#endif
