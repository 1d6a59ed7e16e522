/*
 * A CD-ROM drive's commands, whoever brings them: a packet on IDE or SATA (hw/ide/atapi.c), or a SCSI bus.
 */
#ifndef HW_SCSI_MMC_H
#define HW_SCSI_MMC_H

#include "block/block.h"
#include "hw/scsi/task.h"

enum { CD_SECTOR = 2048, MMC_REPLY_MAX = 4 + 2048 };

typedef struct MmcDrive {
    BlockBackend *blk; /* constant after realize */
    /* saved: mmc_fields */
    ScsiSense sense;   /* of the last command, for drives that are asked for it */
    bool tray_open, locked;
    uint8_t media_event; /* for GET EVENT STATUS NOTIFICATION */
    uint8_t change_step; /* of a changed medium: what the guest is to be told yet */
} MmcDrive;
extern const StateField mmc_fields[];

/* mmc_command - what @cdb (16 bytes) asks for; a reply is in @buf, of MMC_REPLY_MAX bytes. INQUIRY is the caller's. */
ScsiTask mmc_command(MmcDrive *m, const uint8_t *cdb, uint8_t *buf);
/* mmc_medium_error - what a read that failed with @ret ends with. */
ScsiTask mmc_medium_error(const MmcDrive *m, int ret);
uint32_t mmc_blocks(const MmcDrive *m); /* of the medium */
void mmc_reset(MmcDrive *m);
/* mmc_state_ok - a state that was loaded can be. */
bool mmc_state_ok(const MmcDrive *m);

/* What the back end asks of the drive; the opaque pointer is the MmcDrive. */
extern const BlockDevOps mmc_block_ops;

#endif
