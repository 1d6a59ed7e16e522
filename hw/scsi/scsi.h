/*
 * A SCSI bus: logical units (scsi-hd, scsi-cd) behind a host adapter that brings commands and moves the data.
 *
 * Sources: SAM-5 (tasks, status, task management), SPC-4, SBC-3; sections are quoted by their names. All under the
 * machine lock.
 */
#ifndef HW_SCSI_SCSI_H
#define HW_SCSI_SCSI_H

#include "bus/device.h"
#include "hw/scsi/task.h"

enum { SCSI_CDB_MAX = 32, SCSI_SENSE_LEN = 18 };
/* SAM-5, "Status codes" */
enum { STATUS_GOOD = 0, STATUS_CHECK = 2 };

typedef struct ScsiDisk ScsiDisk;
typedef struct ScsiBus ScsiBus;
typedef struct ScsiReq ScsiReq;

/* What the adapter does for a command that it brought. */
typedef struct ScsiReqOps {
    /* put - @buf to the guest's buffer from @at on. get - from its other buffer. Inside what in_len and out_len say;
     * false: that is not memory. */
    bool (*put)(ScsiReq *r, uint32_t at, const void *buf, uint32_t len);
    bool (*get)(ScsiReq *r, uint32_t at, void *buf, uint32_t len);
    /* done - the command ended, as the fields below say; @r is the adapter's to free. May be called inside of
     * scsi_start(). */
    void (*done)(ScsiReq *r);
} ScsiReqOps;

typedef enum ScsiEnd {
    SCSI_END_STATUS,  /* see `status` */
    SCSI_END_OVERRUN, /* the guest's buffers are smaller than the command */
    SCSI_END_FAULT,   /* or no memory */
} ScsiEnd;

struct ScsiReq {
    /* the adapter's */
    const ScsiReqOps *ops;
    uint8_t cdb[SCSI_CDB_MAX];
    uint32_t in_len, out_len; /* bytes that the guest has room for, and gives */
    uint64_t tag;
    /* what came of it */
    ScsiEnd end;
    uint8_t status;
    uint32_t moved; /* bytes */
    uint8_t sense[SCSI_SENSE_LEN], sense_len;
    /* the unit's */
    ScsiDisk *unit;
    ScsiReq *next; /* of the unit's that are under way */
    ScsiTask task;
    uint64_t at, total; /* bytes of the medium, from task.lba on */
    uint32_t piece;
    struct BlockReq *blk;
    uint8_t *data; /* WRITE SAME: a piece full of it; UNMAP: the ranges */
};

/* What the bus tells its adapter. Any may be NULL. */
typedef struct ScsiBusOps {
    void (*came)(void *opaque, ScsiDisk *d);
    void (*going)(void *opaque, ScsiDisk *d);
    void (*changed)(void *opaque, ScsiDisk *d, uint8_t asc, uint8_t ascq); /* a parameter: SPC-4's code for it */
} ScsiBusOps;

struct ScsiBus {
    char *name, *path; /* the user's, firmware's */
    const ScsiBusOps *ops;
    void *opaque;
    unsigned max_channel, max_id, max_lun;
    ScsiDisk *first;
    Device *owner;
};

/* scsi_bus_init - known as ID.0 where @owner has been given a name, else as scsi.N. @path is the adapter's. */
void scsi_bus_init(ScsiBus *bus, Device *owner, const char *path, const ScsiBusOps *ops, void *opaque);
void scsi_bus_fini(ScsiBus *bus);

/* scsi_unit - of that place; NULL: there is none. scsi_target - some unit of the target. */
ScsiDisk *scsi_unit(ScsiBus *bus, unsigned channel, unsigned id, unsigned lun);
ScsiDisk *scsi_target(ScsiBus *bus, unsigned channel, unsigned id);
void scsi_place(const ScsiDisk *d, unsigned *channel, unsigned *id, unsigned *lun);
/* scsi_start - carry out @r, which unit @lun of the target of @any is to do. */
void scsi_start(ScsiDisk *any, unsigned lun, ScsiReq *r);
/* scsi_cancel - done() will not be called. Data of a write may be written or not. */
void scsi_cancel(ScsiReq *r);
/* scsi_unit_reset - SAM-5, "Logical unit reset"; the adapter has ended its tasks. */
void scsi_unit_reset(ScsiDisk *d);

extern const DeviceClass scsi_hd_class, scsi_cd_class;

#endif
