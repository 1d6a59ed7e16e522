/*
 * A disk and what it may hold: random operations on an image, and the same on a model, which knows for each sector what
 * the last flush left and what was written since. After a crash the image must hold one of those in each, and its
 * snapshots what they held.
 *
 * The model can lie in memory that is shared with a process that is killed: it never says less than what may be.
 */
#ifndef TESTS_LIB_DISK_MODEL_H
#define TESTS_LIB_DISK_MODEL_H

#include "block/qcow2.h"

#define SECTOR 512u
#define SECTORS 4096u /* of the largest disk */
#define KEPT 12u      /* values of a sector since the last flush */
#define SNAPSHOTS 3u

typedef struct Cell {
    uint32_t value[KEPT]; /* [0] is flushed; 0 is zeros */
    unsigned count;
} Cell;

typedef struct ModelSnapshot {
    char name[16];
    bool there, going; /* going: being deleted */
    uint32_t sectors, value[SECTORS];
} ModelSnapshot;

typedef struct DiskModel {
    uint64_t seed;
    Cell cell[SECTORS];
    uint32_t sectors, larger; /* larger: it may have grown to that */
    uint32_t next, serial;
    ModelSnapshot snapshot[SNAPSHOTS];
} DiskModel;

extern DiskModel *disk; /* what the functions below work with; its seed is the caller's */

uint64_t rnd(void);
/* model_create - a new image at @path, raw with version 0 or what its backing_format says then, and its model. A data file, if
 * there shall be one, lies at @o->data_file. model_data - where the image at @path is looked for that of; NULL if it has none. */
void model_create(const char *path, const Qcow2Options *o);
char *model_data(const char *path);
BlockImage *model_open(const char *path, bool read_only);
/* model_op - a random operation on both; 0 or -errno. model_settled - all is on stable storage. */
int model_op(BlockImage *img);
void model_settled(void);
/* model_check - the image at @path after a crash: no errors, nothing but what it may hold; opened for writing once, no
 * leaks either. @qemu: qemu-img looks as well. */
void model_check(const char *path, bool qemu);
/* model_learn - what it holds is what it held; the model goes on from there. */
void model_learn(const char *path);

#endif
