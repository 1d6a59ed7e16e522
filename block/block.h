/*
 * Disk images and the requests of devices.
 *
 * A BlockBackend is what a device plugs in: a name (ide0-hd0, floppy0, the user's id=) and, perhaps,
 * a medium: an opened image. A device hands over a request and is called back on the event loop,
 * under the machine lock; the reading and writing is plain sequential code on worker threads.
 *
 *   device, machine lock held        worker thread              loop thread, machine lock held
 *   blk_read(blk, ..., done, s) ---> pread(), retried  -------> done(s, ret, data)
 *
 * Requests that overlap are done in the order in which they were made, also when the earlier one
 * was cancelled. A flush covers the writes that were completed before it was made. Under -icount
 * (block_setup()) the work is done at once and completes after a fixed time on the virtual clock.
 *
 * All functions here are for the loop thread or a thread that holds the machine lock, as they say.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clock.h"
#include "block/host-aio.h"
#include "block/throttle.h"

struct Error;
typedef struct BlockBackend BlockBackend;
typedef struct BlockReq BlockReq;

#define BLK_REQUEST_MAX (1u << 20) /* bytes of one request */

typedef enum BlockCache {
    BLK_WRITEBACK,    /* on stable storage after a flush */
    BLK_WRITETHROUGH, /* after each write */
    BLK_UNSAFE,       /* never asked for */
} BlockCache;

/* What is done when the host fails: werror= and rerror=. */
typedef enum BlockOnError {
    BLK_REPORT,  /* the guest's device says so */
    BLK_IGNORE,  /* all is said to be well; what was to be read is zeros */
    BLK_ENOSPC,  /* BLK_STOP when there is no space, else BLK_REPORT */
    BLK_STOP,    /* the request is held back, the machine stops: block_retry() */
} BlockOnError;

/* What is done with zeros that are written: detect-zeroes=. */
typedef enum BlockDetect {
    BLK_DETECT_OFF,
    BLK_DETECT_ON,    /* they are written as zeros, which keep their room on the host */
    BLK_DETECT_UNMAP, /* they need not */
} BlockDetect;

/* What a back end has met since block_retry(). */
typedef enum BlockIoStatus {
    BLK_OK,
    BLK_FAILED,
    BLK_NO_SPACE,
} BlockIoStatus;

typedef struct BlockParams {
    const char *name;   /* unique */
    const char *file;   /* NULL: no medium */
    const char *format; /* "raw"; NULL: guess, which must give raw */
    const char *serial; /* for the device that is given none; may be NULL */
    bool read_only;
    BlockCache cache;
    BlockOnError write_error, read_error;
    BlockDetect detect_zeroes;
    BlockLimits limits; /* lengths may be 0 where nothing is limited */
    const char *group;  /* which shares them, or NULL: a group of its own */
    HostAio aio;      /* who carries out its reads and writes */
    bool direct;      /* past the host's page cache */
    bool no_locks;    /* of the file: file.locking=off */
    bool force_share; /* read-only, though others write to it */
    bool snapshot;    /* nothing is written to the file: blk_commit() */
    bool copy_on_read; /* what was read from behind is kept in the image */
    bool discard;     /* what the guest does not need any more is given back */
} BlockParams;

/* ---- machine/ and monitor/ ---- */

/* block_setup - @guard is the machine lock; with @deterministic, requests take fixed virtual time.
 * Before the first request. */
void block_setup(const TimerGuard *guard, bool deterministic);
/* block_workers - make the threads that carry out requests now: a processor's thread, which would make them with the first
 * one, may not in the sandbox. Loop thread. */
void block_workers(void);
/* block_on_stop - @stop is called when a request is held back, machine lock held: to stop the machine soon. */
void block_on_stop(void (*stop)(void));
/* block_retry - start again what is held back: the machine goes on. block_held - there is such a request; the guest's
 * device waits for it, so its state cannot be saved. Both: loop thread, machine lock held. */
void block_retry(void);
bool block_held(void);
/* block_drain - wait until no request is under way, but for those that are held back; completions run here, and what they start is
 * waited for too. Loop thread, machine lock not held, processors parked. */
void block_drain(void);
/* block_timed_busy - deterministic, and a request is under way. Processors paused. */
bool block_timed_busy(void);
/* block_close_all - finish what is under way without calling back, flush, close all images and free
 * all back ends; no device is left. Loop thread. False when a flush failed (reported). */
bool block_close_all(void);

/* blk_new - a back end and its medium. Loop thread, or before the loop. */
BlockBackend *blk_new(const BlockParams *p, struct Error **errp);
BlockBackend *blk_find(const char *name); /* or NULL */
/* blk_free - a back end that no device uses, and its medium: waits for what is under way. blk_delete - the same for the
 * user: one that a device has loses its medium and its name now, and goes when the device does. Loop thread, machine lock
 * not held, processors parked. */
void blk_free(BlockBackend *b);
void blk_delete(BlockBackend *b);
/* blk_goes_too - it has no name any more, and goes when the device does that has it. Processors paused. */
void blk_goes_too(BlockBackend *b);
/* blk_will_share - the drive or node @name is opened like that from the start. Before it is. */
void blk_will_share(const char *name);
bool blk_shared(const char *name);
/* blk_each - all, in the order in which they were made. Loop thread. */
void blk_each(void (*fn)(void *opaque, BlockBackend *b), void *opaque);

/* blk_change - put another medium in: the tray opens, the medium changes, the tray closes. Refused
 * while the device holds the tray, unless @force. blk_eject - open the tray and take the medium
 * out. Both: loop thread, machine lock not held. */
bool blk_change(BlockBackend *b, const char *file, const char *format, bool read_only, bool force,
                struct Error **errp);
bool blk_eject(BlockBackend *b, bool force, struct Error **errp);

/* blk_tray - the user's hand on the tray alone: open or close it, which does nothing where there is none. As
 * blk_eject() otherwise. */
bool blk_tray(BlockBackend *b, bool open, bool force, struct Error **errp);

/* blk_resize - the medium to @size bytes; the device is told. blk_commit - what the medium holds goes to the one behind
 * it, and it is empty then. Both: loop thread, machine lock not held, processors parked. */
bool blk_resize(BlockBackend *b, uint64_t size, struct Error **errp);
bool blk_commit(BlockBackend *b, struct Error **errp);

typedef struct BlockCount {
    uint64_t bytes, operations, failed, invalid, ns;
} BlockCount;
/* blk_set_limits - of the drive's group; none of them: no limits, and of no group. blk_limits - NULL: none; *group (may be
 * NULL) is its name, borrowed. Loop thread, machine lock held. */
bool blk_set_limits(BlockBackend *b, const BlockLimits *l, const char *group, struct Error **errp);
const BlockLimits *blk_limits(const BlockBackend *b, const char **group);

/* What was asked for since the start. Bytes and operations that were done; ns: how long they took in all. */
typedef struct BlockStats {
    BlockCount read, write, flush, unmap;
    uint64_t highest; /* byte that was written */
    int64_t last_ns;  /* CLK_REAL when one ended; 0: none yet */
} BlockStats;
/* blk_stats - machine lock held. */
const BlockStats *blk_stats(const BlockBackend *b);

typedef struct BlockInfo {
    const char *name;
    const char *node;     /* of its medium */
    bool is_node;         /* `name` is a node's, and no drive's */
    const char *file;     /* NULL: no medium. Borrowed until the medium changes */
    const char *format;
    const char *attached; /* id of the device, or NULL */
    const char *backing;  /* behind it, or NULL */
    unsigned depth;       /* how many stand behind each other there */
    uint64_t size, used;  /* bytes: seen by the guest, taken on the host */
    uint32_t cluster_size; /* of its format, or 0 */
    BlockDetect detect_zeroes;
    bool direct, temporary, dirty;
    BlockCache cache;
    BlockIoStatus io_status;
    bool read_only, removable, has_tray, tray_open, locked;
} BlockInfo;
/* blk_info - for `info block`. Machine lock held. */
void blk_info(BlockBackend *b, BlockInfo *info);

/* ---- devices: machine lock held ---- */

/* What the back end asks of the device that uses it. Machine lock held; must not wait. */
typedef struct BlockDevOps {
    /* The medium came (blk_present()) or went. NULL: the medium is fixed, change and eject are
     * refused. */
    void (*medium_changed)(void *opaque);
    /* The user's hand on the tray: open or close. NULL: there is none (a floppy drive). */
    void (*set_tray)(void *opaque, bool open);
    bool (*tray_open)(void *opaque); /* NULL: there is no tray */
    bool (*locked)(void *opaque);    /* the guest holds the medium; NULL: never */
    void (*resized)(void *opaque); /* the medium has another size; may be NULL */
    void (*eject_request)(void *opaque); /* the user pressed the button of a locked tray; may be NULL */
} BlockDevOps;

/* blk_attach - @ops and @opaque stay valid until blk_detach(); @id is the device's, for info block.
 * Fails when another device has it. */
bool blk_attach(BlockBackend *b, const char *id, const BlockDevOps *ops, void *opaque,
                struct Error **errp);
/* blk_detach - the device's requests are cancelled by now. NULL is fine. */
void blk_detach(BlockBackend *b);
/* blk_tray_moved - the guest moved the tray. */
void blk_tray_moved(BlockBackend *b, bool open);

/* For the device that has attached; blk_detach() takes them back. blk_set_policy - werror= and rerror=, as BlockOnError, or -1:
 * the drive's. blk_set_write_cache - off: what is written is on stable storage before @done. blk_share - other processes may
 * write to a raw image too. */
void blk_set_policy(BlockBackend *b, int write_error, int read_error);
void blk_set_write_cache(BlockBackend *b, bool on);
bool blk_write_cache(const BlockBackend *b);
bool blk_share(BlockBackend *b, struct Error **errp);

const char *blk_name(const BlockBackend *b);
bool blk_present(const BlockBackend *b);   /* there is a medium */
bool blk_read_only(const BlockBackend *b); /* of the medium; true when there is none */
/* blk_stops - an error of the host may stop the machine. */
bool blk_stops(const BlockBackend *b, bool write);
/* blk_size - bytes of the medium, a multiple of 512 (what the file lacks reads as zeros); 0: none. */
uint64_t blk_size(const BlockBackend *b);
const char *blk_serial(const BlockBackend *b); /* BlockParams.serial */
/* blk_wants_read_only - how a medium is opened when nobody says: as the first one was. */
bool blk_wants_read_only(const BlockBackend *b);

/*
 * Called once for each request that was not cancelled, never inside the call that made it. @ret is
 * 0 or -errno. @data is what was read (NULL for other requests, and when @ret is not 0), valid
 * during the call. Machine lock held.
 */
typedef void BlockDone(void *opaque, int ret, const uint8_t *data);

/*
 * blk_read, blk_write, blk_flush - start a request. @offset and @len are in bytes, @len at most
 * BLK_REQUEST_MAX; any alignment. What is to be written is copied before the call returns, so
 * neither side has to keep a buffer. Mistakes (no medium, beyond the end, read-only) are reported
 * by @done too. The result is valid until @done is called; never NULL.
 */
BlockReq *blk_read(BlockBackend *b, uint64_t offset, uint32_t len, BlockDone *done, void *opaque);
BlockReq *blk_write(BlockBackend *b, uint64_t offset, const void *data, uint32_t len,
                    BlockDone *done, void *opaque);
/* blk_write_buffer - the same, of a buffer that it takes over, whatever comes of it: blk_buffer(), NULL if there is no memory,
 * of @len bytes that the caller has filled. blk_buffer_free - of one that is not written after all. */
uint8_t *blk_buffer(uint32_t len);
void blk_buffer_free(uint8_t *buf, uint64_t len);
BlockReq *blk_write_buffer(BlockBackend *b, uint64_t offset, uint8_t *buf, uint32_t len, BlockDone *done, void *opaque);
BlockReq *blk_flush(BlockBackend *b, BlockDone *done, void *opaque);
/* blk_discard - the guest does not need [@offset, +@len) any more, of any length; nothing without discard=unmap. */
BlockReq *blk_discard(BlockBackend *b, uint64_t offset, uint64_t len, BlockDone *done, void *opaque);
/* blk_discards - it would do something. */
bool blk_discards(const BlockBackend *b);
/* blk_cancel - @done will not be called. Data of a write may get to the medium or not. NULL is
 * fine. */
void blk_cancel(BlockReq *req);

/* blk_pread - read at once, where nothing else runs yet (partition tables at start-up). 0 or -errno. */
int blk_pread(BlockBackend *b, uint64_t offset, void *buf, uint32_t len);

#endif
