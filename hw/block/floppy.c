/*
 * A floppy drive. Formats: IBM PC, XT, AT and PS/2 technical references ("Diskette drive"); Linux fd(4) for the
 * less usual ones.
 */
#include "hw/block/floppy.h"

#include <string.h>
#include "base/mem.h"

/* The usual formats first within one size; those that hold an odd image are the ones marked. */
static const FloppyFormat formats[] = {
    { 40, 1, 8, RATE_250K, FLOPPY_360 },  /* 160K */
    { 40, 1, 9, RATE_250K, FLOPPY_360 },  /* 180K */
    { 40, 2, 8, RATE_250K, FLOPPY_360 },  /* 320K */
    { 40, 2, 9, RATE_250K, FLOPPY_360 },  /* 360K */
    { 41, 2, 10, RATE_250K, FLOPPY_360 }, /* 410K */
    { 80, 2, 9, RATE_250K, FLOPPY_144 },  /* 720K */
    { 80, 2, 10, RATE_250K, FLOPPY_144 }, /* 800K */
    { 80, 2, 15, RATE_500K, FLOPPY_120 }, /* 1.2M */
    { 80, 2, 18, RATE_500K, FLOPPY_144 }, /* 1.44M */
    { 80, 2, 20, RATE_500K, FLOPPY_144 }, /* 1.6M */
    { 80, 2, 21, RATE_500K, FLOPPY_144 }, /* 1.68M */
    { 82, 2, 21, RATE_500K, FLOPPY_144 }, /* 1.72M */
    { 80, 2, 36, RATE_1M, FLOPPY_288 },   /* 2.88M */
    { 80, 2, 40, RATE_1M, FLOPPY_288 },   /* 3.2M */
    { 80, 2, 48, RATE_1M, FLOPPY_288 },   /* 3.84M */
};
static const FloppyFormat usual[] = {
    { 80, 2, 18, RATE_500K, FLOPPY_144 },
    { 80, 2, 36, RATE_1M, FLOPPY_288 },
};

static uint64_t format_size(const FloppyFormat *f)
{
    return (uint64_t)f->tracks * f->heads * f->sectors * FLOPPY_SECTOR;
}

FloppyFormat floppy_guess(uint64_t bytes)
{
    for (unsigned n = 0; n < ARRAY_SIZE(formats); n++) {
        if (format_size(&formats[n]) == bytes) {
            return formats[n];
        }
    }
    return usual[bytes > format_size(&usual[0])];
}

void floppy_medium(FloppyDrive *d)
{
    d->changed = true;
    d->format = d->blk != NULL && blk_present(d->blk) ? floppy_guess(blk_size(d->blk))
                                                      : (FloppyFormat){ 0 };
}

bool floppy_type_parse(const char *text, FloppyType *type)
{
    static const struct {
        const char *name;
        FloppyType type;
    } names[] = {
        { "144", FLOPPY_144 }, { "288", FLOPPY_288 }, { "120", FLOPPY_120 },   { "auto", FLOPPY_AUTO },
        { "720", FLOPPY_720 }, { "360", FLOPPY_360 }, { "none", FLOPPY_NONE },
    };

    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        if (strcmp(names[n].name, text) == 0) {
            *type = names[n].type;
            return true;
        }
    }
    return false;
}

static bool double_step(const FloppyDrive *d)
{
    return d->format.tracks <= 42 && d->type != FLOPPY_360;
}

int floppy_logical_track(const FloppyDrive *d)
{
    unsigned track = d->track;

    if (double_step(d)) {
        if (track & 1) {
            return -1;
        }
        track /= 2;
    }
    return track < d->format.tracks ? (int)track : -1;
}

bool floppy_rate_ok(const FloppyDrive *d, unsigned rate)
{
    /* a drive for 1.2M turns faster, so that it reads what was written at 250 kbit/s at 300 */
    if (d->type == FLOPPY_120 && d->format.rate == RATE_250K) {
        return rate == RATE_300K || rate == RATE_250K;
    }
    return d->format.rate == rate;
}

uint64_t floppy_offset(const FloppyDrive *d, unsigned track, unsigned head, unsigned sector)
{
    return (((uint64_t)track * d->format.heads + head) * d->format.sectors + sector - 1) * FLOPPY_SECTOR;
}
