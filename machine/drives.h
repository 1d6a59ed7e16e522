/*
 * Drives of the command line: -drive, -hda to -hdd, -cdrom, -fda, -fdb and the bare word. Each
 * becomes a block back end; one with an interface other than none gets a device too.
 */
#ifndef MACHINE_DRIVES_H
#define MACHINE_DRIVES_H

#include <stdbool.h>
#include <stddef.h>
#include "block/block.h"

struct Error;
struct MachineConfig;
struct OptList;

typedef enum DriveIf {
    DRIVE_NONE, /* for a -device */
    DRIVE_IDE,
    DRIVE_FLOPPY,
    DRIVE_VIRTIO,
    DRIVE_PFLASH,
} DriveIf;

typedef struct Drive {
    DriveIf iface;
    unsigned bus, unit; /* place on the interface; unit alone with none */
    bool cdrom;
    char *id;           /* of the back end: the user's or made from the place */
    char *file;         /* or NULL: no medium */
    char *format;       /* or NULL: not said */
    char *serial;       /* or NULL */
    bool read_only;
    BlockCache cache;
    BlockOnError write_error, read_error;
    BlockDetect detect_zeroes;
    BlockLimits limits;
    char *group; /* or NULL */
    HostAio aio;
    bool direct, copy_on_read, no_locks, force_share, discard;
    bool snapshot, snapshot_said; /* not said: as -snapshot has it */
    char *from;         /* the option, for messages */
} Drive;

/* drive_flash - what the firmware's flash @unit is given: the id of if=pflash's drive, or the node of -machine pflashN=.
 * NULL: there is none. */
const char *drive_flash(const struct MachineConfig *cfg, unsigned unit);
/* drives_open - make the back ends; and an empty CD-ROM and floppy drive, unless not wanted. */
bool drives_open(struct MachineConfig *cfg, struct Error **errp);
/* drives_plug - devices for those on IDE and for those of virtio. Machine lock held, board made. */
bool drives_plug(const struct MachineConfig *cfg, struct Error **errp);
/* drive_find - of that place, or NULL. */
const Drive *drive_find(const struct MachineConfig *cfg, DriveIf iface, unsigned bus,
                        unsigned unit);
/* drive_open - its back end; @snapshots: -snapshot. drive_hot_add - of the options @l (drive_add): if=none alone. */
bool drive_open(const Drive *d, bool snapshots, struct Error **errp);
bool drive_hot_add(struct OptList *l, struct Error **errp);
void drives_free(struct MachineConfig *cfg);

#endif
