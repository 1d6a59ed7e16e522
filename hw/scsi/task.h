/*
 * What a SCSI command comes to: an end, a reply, or a transfer that whoever brought the command carries out. And how
 * numbers lie in commands and replies: the highest byte first.
 */
#ifndef HW_SCSI_TASK_H
#define HW_SCSI_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/state.h"

/* SPC-4, 4.5 "Sense data" */
typedef struct ScsiSense {
    uint8_t key, asc, ascq;
} ScsiSense;
extern const StateField scsi_sense_fields[];

enum { SENSE_NONE = 0, SENSE_NOT_READY = 2, SENSE_MEDIUM_ERROR = 3, SENSE_ILLEGAL = 5, SENSE_ATTENTION = 6,
       SENSE_PROTECT = 7, SENSE_MISCOMPARE = 14 };
enum { ASC_BAD_OPCODE = 0x20, ASC_BAD_LBA = 0x21, ASC_BAD_FIELD = 0x24, ASC_BAD_LUN = 0x25, ASC_BAD_PARAMETER = 0x26 };

typedef enum ScsiWhat {
    SCSI_GOOD,
    SCSI_CHECK,  /* `sense` says why not */
    SCSI_REPLY,  /* `len` bytes of the buffer */
    SCSI_READ,   /* `count` blocks from `lba` on, to the guest */
    SCSI_WRITE,  /* the same, from the guest */
    SCSI_VERIFY, /* are they readable? */
    SCSI_COMPARE, /* and what the guest gives? */
    SCSI_SAME,   /* one block from the guest, to all of them; or zeros when `zeros` */
    SCSI_FLUSH,
    SCSI_TAKE,   /* `len` bytes from the guest are the command's parameters */
    SCSI_UNMAP,  /* `len` ranges, which were such parameters */
} ScsiWhat;

typedef struct ScsiTask {
    ScsiWhat what;
    ScsiSense sense;
    uint32_t len;
    uint64_t lba, count;
    bool durable; /* the end waits for the medium */
    bool zeros;
} ScsiTask;

static inline ScsiTask scsi_good(void)
{
    return (ScsiTask){ .what = SCSI_GOOD };
}
static inline ScsiTask scsi_check(uint8_t key, uint8_t asc, uint8_t ascq)
{
    return (ScsiTask){ .what = SCSI_CHECK, .sense = { key, asc, ascq } };
}
static inline ScsiTask scsi_illegal(uint8_t asc)
{
    return scsi_check(SENSE_ILLEGAL, asc, 0);
}
/* scsi_reply - @len bytes, of which the guest wants @allocated. */
static inline ScsiTask scsi_reply(uint32_t len, uint32_t allocated)
{
    return (ScsiTask){ .what = SCSI_REPLY, .len = len < allocated ? len : allocated };
}
static inline ScsiTask scsi_read(uint64_t lba, uint64_t count)
{
    return (ScsiTask){ .what = SCSI_READ, .lba = lba, .count = count };
}

static inline void st_be16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void st_be32(uint8_t *p, uint32_t v)
{
    st_be16(p, v >> 16);
    st_be16(p + 2, v);
}
static inline void st_be64(uint8_t *p, uint64_t v)
{
    st_be32(p, (uint32_t)(v >> 32));
    st_be32(p + 4, (uint32_t)v);
}
static inline uint32_t ld_be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}
static inline uint32_t ld_be32(const uint8_t *p)
{
    return ld_be16(p) << 16 | ld_be16(p + 2);
}
static inline uint64_t ld_be64(const uint8_t *p)
{
    return (uint64_t)ld_be32(p) << 32 | ld_be32(p + 4);
}

#endif
