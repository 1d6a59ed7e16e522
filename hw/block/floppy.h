/*
 * A floppy drive: the medium's geometry, where the head stands, the disk change line.
 */
#ifndef HW_BLOCK_FLOPPY_H
#define HW_BLOCK_FLOPPY_H

#include <stdbool.h>
#include <stdint.h>
#include "block/block.h"

#define FLOPPY_SECTOR 512u

/* Types of drives, as the CMOS byte 10h names them. */
typedef enum FloppyType {
    FLOPPY_NONE = 0,
    FLOPPY_360 = 1,
    FLOPPY_120 = 2,
    FLOPPY_720 = 3,
    FLOPPY_144 = 4,
    FLOPPY_288 = 5,
    FLOPPY_AUTO = 6, /* property: as the medium asks */
} FloppyType;

/* Data rates, as the controller's registers code them. */
enum { RATE_500K = 0, RATE_300K = 1, RATE_250K = 2, RATE_1M = 3 };

typedef struct FloppyFormat {
    uint8_t tracks, heads, sectors;
    uint8_t rate;
    FloppyType type; /* of a drive for it */
} FloppyFormat;

typedef struct FloppyDrive {
    BlockBackend *blk; /* property: constant after realize; NULL: there is no drive */
    FloppyType type;   /* constant after realize */
    FloppyFormat format; /* of the medium; tracks 0: no medium */
    /* saved */
    uint8_t track; /* where the head stands */
    bool changed;  /* DSKCHG */
} FloppyDrive;

/* floppy_guess - the format of a medium of @bytes bytes: an exact match, or the smallest usual one that
 * holds it. */
FloppyFormat floppy_guess(uint64_t bytes);
/* floppy_medium - a medium came or went: look at it, and set the change line. */
void floppy_medium(FloppyDrive *d);
/* floppy_type_parse - "144", "288", "120", "auto", "none" (also "360", "720"). False for others. */
bool floppy_type_parse(const char *text, FloppyType *type);

/* floppy_logical_track - the number that stands in the sector IDs under the head: a disk of 40 tracks in a
 * drive of 80 has one at every second place. -1: none there. */
int floppy_logical_track(const FloppyDrive *d);
/* floppy_rate_ok - is @rate (RATE_*) the one at which the medium was written? */
bool floppy_rate_ok(const FloppyDrive *d, unsigned rate);
/* floppy_offset - of a sector in the image; sectors count from 1. */
uint64_t floppy_offset(const FloppyDrive *d, unsigned track, unsigned head, unsigned sector);

#endif
