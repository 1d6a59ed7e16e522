/* Between the files of hw/scsi: what a logical unit is. */
#ifndef HW_SCSI_INTERNAL_H
#define HW_SCSI_INTERNAL_H

#include "block/block.h"
#include "hw/block/disk-props.h"
#include "hw/scsi/mmc.h"
#include "hw/scsi/scsi.h"

enum { SCSI_BUF = 4096, SCSI_UNMAP_MAX = 255 }; /* bytes of a reply; ranges of an UNMAP */
#define SCSI_SAME_MAX 65536u /* blocks of a WRITE SAME */

struct ScsiDisk {
    Device dev; /* first member */
    /* properties: constant after realize */
    BlockBackend *blk;
    char *bus_name, *serial, *vendor, *product, *ver, *device_id;
    uint32_t channel, id, lun, bootindex;
    DiskProps disk;
    uint16_t rotation_rate;
    uint64_t wwn;
    bool removable, dpofua;
    /* wiring */
    ScsiBus *bus;
    ScsiDisk *next; /* on the bus, in order of place */
    bool cd;
    uint32_t block; /* bytes: what the guest addresses */
    ScsiReq *first; /* under way */
    /* saved */
    ScsiSense attention; /* that the next command is told; key 0: nothing */
    bool write_cache, stopped;
    MmcDrive mmc; /* of a CD */
};

/* blocks of the medium */
static inline uint64_t scsi_blocks(const ScsiDisk *d)
{
    return blk_size(d->blk) / d->block;
}

/* spc.c: what all units know. @buf has SCSI_BUF bytes. */
ScsiTask scsi_inquiry(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf);
ScsiTask scsi_report_luns(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf);
ScsiTask scsi_request_sense(const uint8_t *cdb, uint8_t *buf, ScsiSense sense);
/* scsi_put_sense - fixed format, SCSI_SENSE_LEN bytes; @lba goes into the information field unless it does not fit. */
void scsi_put_sense(uint8_t *buf, ScsiSense sense, uint64_t lba);
/* mode.c */
ScsiTask scsi_mode_sense(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf);
ScsiTask scsi_mode_select(ScsiDisk *d, const uint8_t *cdb);
ScsiTask scsi_mode_selected(ScsiDisk *d, const uint8_t *cdb, const uint8_t *list, uint32_t len);
/* sbc.c: a disk's commands, and what a parameter list that was asked for says. */
ScsiTask sbc_command(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf);
ScsiTask sbc_parameters(ScsiDisk *d, const uint8_t *cdb, const uint8_t *list, uint32_t len);

#endif
