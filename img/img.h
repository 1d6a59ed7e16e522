/*
 * doppel-img: the commands, and what they share. Options, output and exit codes are qemu-img's.
 */
#ifndef IMG_IMG_H
#define IMG_IMG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "block/image.h"

typedef struct ImgCommand {
    const char *name, *args, *help;
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns the exit code */
} ImgCommand;

#define IMG_COMMAND(name, args, help, fn) int fn(int argc, char **argv);
#include "img/commands.inc"
#undef IMG_COMMAND

/* img_fail - print the error as "doppel-img: ..." and free it; returns 1. */
int img_fail(Error *err);
/* img_usage - a word that the command @name does not take; returns 1. */
int img_usage(const char *name, const char *why);
/* img_size - "20G" in bytes. */
bool img_size(const char *text, uint64_t *size, Error **errp);
/* img_snapshot_name - the argument of -l: a snapshot's name or number, or "snapshot.name=" and that. */
const char *img_snapshot_name(const char *arg);
/* img_output - the argument of --output. */
bool img_output(const char *text, bool *json, Error **errp);
/* img_json - @text as a JSON string on stdout, with its quotes. */
void img_json(const char *text);
/* img_human - "1.5 GiB"; into @buf of 32 bytes. */
const char *img_human(uint64_t bytes, char buf[32]);

/* A cache mode, of -t and -T. */
typedef struct ImgCache {
    BlockCache mode;
    unsigned flags; /* IMAGE_DIRECT */
} ImgCache;
/* img_view_snapshot - an image opened read-only shows the snapshot @name from now on. */
bool img_view_snapshot(BlockImage *img, const char *name, Error **errp);
/* img_cache - the argument. */
bool img_cache(const char *text, ImgCache *c, Error **errp);

struct Qcow2Snapshot;
/* img_print_snapshots - the table of info and snapshot -l. */
void img_print_snapshots(const struct Qcow2Snapshot *list, uint32_t count);

/* img_backing_name - the image behind, as @img itself names it, or NULL. */
const char *img_backing_name(const BlockImage *img);

/* img_open - the image that the user calls @file (of all commands but create): a name, options (--image-opts) or "json:{...}".
 * @format (NULL: is found out), @flags, @cache as for image_open_with(). The caller owns it; NULL with errp. */
BlockImage *img_open(const char *file, const char *format, unsigned flags, BlockCache cache, Error **errp);

/* How far a long command is. */
typedef enum ProgressStyle {
    PROGRESS_DEFAULT,
    PROGRESS_NONE,
    PROGRESS_PERCENT,  /* -p: "    (12.34/100%)" on stdout */
    PROGRESS_LINE,     /* a line a second */
    PROGRESS_JSON,     /* an object a line */
    PROGRESS_TERMINAL, /* one line that changes, where somebody looks on */
} ProgressStyle;
typedef struct Progress {
    bool on; /* -p */
    ProgressStyle style;
    uint64_t done, total; /* bytes */
    unsigned shown; /* hundredths of a per cent */
    uint64_t start_ns, shown_ns;
    bool drawn;
} Progress;
/* progress_start - p->on is set; @quiet: nothing is shown. progress_end - all is done. progress_clear - it ends before. */
void progress_start(Progress *p, bool quiet, uint64_t total);
void progress_add(Progress *p, uint64_t done);
void progress_end(Progress *p);
void progress_clear(Progress *p);
/* img_pace - wait until @ns after @begun, of the monotonic clock. */
void img_pace(const struct timespec *begun, uint64_t ns);
/* img_progress_style - the argument of --progress=. */
bool img_progress_style(const char *text, Error **errp);

#endif
