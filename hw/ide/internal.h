/*
 * Between the files of hw/ide: what a drive is.
 */
#ifndef HW_IDE_INTERNAL_H
#define HW_IDE_INTERNAL_H

#include "block/block.h"
#include "hw/block/disk-props.h"
#include "hw/ide/ide.h"
#include "hw/scsi/mmc.h"

#define IDE_SECTOR 512u
#define IDE_BUF_SIZE 65536u
#define IDE_DMA_CHUNK 262144u
#define IDE_MULTIPLE_MAX 16
#define SATA_TAGS 32
#define IDE_DATA_SET 0x06 /* DATA SET MANAGEMENT */

/* Status register */
#define ST_ERR 0x01 /* packet devices: CHK */
#define ST_DRQ 0x08
#define ST_DSC 0x10
#define ST_DF 0x20
#define ST_DRDY 0x40
#define ST_BSY 0x80
/* Error register */
#define ER_ABRT 0x04
#define ER_IDNF 0x10
#define ER_UNC 0x40
/* Device Control register */
#define CTL_NIEN 0x02
#define CTL_SRST 0x04
#define CTL_HOB 0x80
/* Device register */
#define DEV_SELECT 0x10
#define DEV_LBA 0x40
/* Interrupt reason of packet devices, in the Sector Count register */
#define IR_CD 0x01
#define IR_IO 0x02

typedef enum IdePhase {
    PH_IDLE,
    PH_PACKET,  /* waits for the twelve bytes of a packet */
    PH_PIO_IN,
    PH_PIO_OUT,
    PH_DMA_IN,
    PH_DMA_OUT,
    PH_VERIFY,
    PH_FLUSH,
    PH_COUNT,
} IdePhase;

/* A register that is written twice for a 48-bit command keeps what it held before. */
typedef struct IdeTaskFile {
    uint8_t feature, count, lba[3];
} IdeTaskFile;

typedef struct IdeDrive {
    Device dev; /* first member */

    /* properties: constant after realize */
    BlockBackend *blk;
    char *bus_name, *serial, *model, *ver, *translation;
    uint32_t unit, bootindex;
    uint64_t wwn;
    DiskProps disk;
    uint16_t rotation_rate;
    uint32_t cyls, heads, secs;

    IdeBus *bus; /* wiring */
    bool atapi;
    uint64_t sectors; /* of a disk; constant */

    /* registers, as the guest sees them */
    IdeTaskFile now, hob;
    uint8_t status, error;
    uint8_t head; /* bits 3:0 of the Device register */
    bool irq;    /* INTRQ is wanted */

    /* modes that commands set */
    uint8_t multiple; /* sectors of a block; 0: READ MULTIPLE is off */
    uint8_t mwdma, udma; /* chosen mode as a bit of IDENTIFY's words 63 and 88; 0: the other kind */
    bool write_cache, standby, smart;
    uint8_t smart_test; /* last self-test that was asked for */
    uint16_t cur_heads, cur_secs; /* INITIALIZE DEVICE PARAMETERS */

    /* the command that is under way */
    uint8_t command, phase;
    bool ext;       /* a 48-bit command */
    bool durable;   /* the end waits for the medium (FUA, write cache off) */
    bool careful;   /* after a read error: a block at a time, to know where it is */
    bool stream;    /* what follows the buffer comes from the medium */
    uint64_t pos;   /* next byte of the medium */
    uint64_t left;  /* bytes that the guest has not got or given */
    uint32_t block; /* bytes of one DRQ block */
    uint32_t buf_pos, buf_len, drq_end;
    uint8_t buf[IDE_BUF_SIZE];
    BlockReq *req;  /* never set in a saved state: block drains first */

    /* packet devices */
    MmcDrive mmc;
    bool packet_dma;

    /* queued commands of SATA: what the last one that failed left, until its log is read */
    bool queue_failed;
    uint8_t queue_log[16];
} IdeDrive;

static inline uint64_t ide_lba28(const IdeDrive *d)
{
    return (uint64_t)d->head << 24 | (uint32_t)d->now.lba[2] << 16 | (uint32_t)d->now.lba[1] << 8 |
           d->now.lba[0];
}

/* channel.c */
void ide_update_irq(IdeBus *bus);
/* ide_raise - the drive asserts INTRQ. */
void ide_raise(IdeDrive *d);
/* ide_begin - a command, whose registers are set, reaches the drive. ide_soft_reset - SRST was set or cleared.
 * ide_diagnostic - EXECUTE DEVICE DIAGNOSTIC. */
void ide_begin(IdeDrive *d, uint8_t command);
void ide_soft_reset(IdeBus *bus, bool begin);
void ide_diagnostic(IdeBus *bus);
/* ide_signature - registers and status after a reset. */
void ide_signature(IdeDrive *d);

/* transfer.c: the data phases. All but the first raise the interrupt where the protocol has one. */
void ide_forget(IdeDrive *d);                   /* a reset in the middle of anything */
void ide_end(IdeDrive *d);                      /* the command succeeded */
void ide_fail(IdeDrive *d, uint8_t error);      /* it did not */
void ide_send(IdeDrive *d, uint32_t len);       /* @len bytes of buf[], as one PIO block */
void ide_pio_in(IdeDrive *d, uint64_t bytes);   /* from `pos` of the medium, in blocks */
void ide_pio_out(IdeDrive *d, uint64_t bytes);
void ide_dma(IdeDrive *d, uint64_t bytes, bool in);
void ide_verify(IdeDrive *d, uint64_t bytes);
void ide_flush(IdeDrive *d);
void ide_dma_step(IdeDrive *d);
/* A DRQ block at once, for those that move more than a data port does. ide_block - where it is; 0: none is asked for.
 * ide_block_moved - it was read, or filled. */
uint32_t ide_block(IdeDrive *d, uint8_t **buf);
void ide_block_moved(IdeDrive *d);
uint32_t ide_data_read(IdeDrive *d, unsigned size);
void ide_data_write(IdeDrive *d, uint32_t val, unsigned size);

/* ata.c, identify.c, smart.c, log.c */
void ata_command(IdeDrive *d);
void ide_set_features(IdeDrive *d);
void ata_identify(IdeDrive *d);
void atapi_identify(IdeDrive *d);
void ata_smart(IdeDrive *d);
void ata_read_log(IdeDrive *d);

/* atapi.c: the protocol. atapi-cmd.c: the commands. */
void atapi_command(IdeDrive *d);                /* a byte in the Command register */
void atapi_next_block(IdeDrive *d);             /* the buffer holds more */
void atapi_end(IdeDrive *d);
void atapi_check(IdeDrive *d, ScsiSense sense);
void atapi_medium_error(IdeDrive *d, int ret);
void atapi_reply(IdeDrive *d, uint32_t len);    /* @len bytes of buf[] */
void atapi_read(IdeDrive *d, uint64_t lba, uint64_t count);
void atapi_packet(IdeDrive *d, const uint8_t *cdb);
#endif
