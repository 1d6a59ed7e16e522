/* Shared by the files of the floppy controller: fdc.c (registers, phases) and fdc-cmd.c (commands). */
#ifndef HW_BLOCK_FDC_INTERNAL_H
#define HW_BLOCK_FDC_INTERNAL_H

#include "base/clock.h"
#include "base/mem.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "bus/memory.h"
#include "hw/block/fdc.h"
#include "hw/block/floppy.h"

struct IsaDma;

#define BOOT_NONE 0xffffffffu

enum { FDC_DRIVES = 2, FDC_UNITS = 4 }; /* drives that exist; that the controller can name */

/* "Main status register" */
#define MSR_RQM 0x80
#define MSR_DIO 0x40
#define MSR_NON_DMA 0x20
#define MSR_BUSY 0x10

/* "Digital output register" */
#define DOR_DRIVE 0x03
#define DOR_RESET 0x04 /* 0: held in reset */
#define DOR_DMA_GATE 0x08

/* Status registers 0 to 3 */
#define ST0_SEEK_END 0x20
#define ST0_EQUIPMENT 0x10
#define ST0_ABNORMAL 0x40
#define ST0_INVALID 0x80
#define ST0_POLLED 0xc0
#define ST1_END 0x80
#define ST1_NO_DATA 0x04
#define ST1_WRITE_PROTECT 0x02
#define ST1_NO_ADDRESS_MARK 0x01
#define ST1_DATA_ERROR 0x20
#define ST2_WRONG_TRACK 0x10
#define ST2_DATA_ERROR 0x20

typedef enum FdcPhase {
    FDC_IDLE,    /* waits for a command's first byte */
    FDC_COMMAND, /* and for the others */
    FDC_EXECUTE,
    FDC_RESULT,
} FdcPhase;

/* What a transfer does with the sectors. */
typedef enum FdcWork {
    WORK_NONE,
    WORK_READ,
    WORK_WRITE,
    WORK_VERIFY,
    WORK_FORMAT,
    WORK_READ_ID,
} FdcWork;

typedef struct Fdc {
    Device dev;
    /* properties, wiring: constant after realize */
    uint32_t io_base, irq_number, dma_channel;
    char *type_text[FDC_DRIVES];
    uint32_t boot_index[FDC_DRIVES]; /* BOOT_NONE: not in the order */
    IrqLine irq;
    struct IsaDma *dma;
    /* registers */
    uint8_t dor, dsr, tdr, rate;
    uint8_t phase; /* FdcPhase */
    uint8_t fifo[16]; /* command bytes, then result bytes */
    uint8_t fifo_len, fifo_pos;
    /* "Configure", "Specify", "Lock" */
    uint8_t config, precomp, srt_hut, hlt, nd, perpendicular;
    bool lock;
    uint8_t pcn[FDC_UNITS];     /* present cylinder number */
    uint8_t seek_st0[FDC_UNITS]; /* what sense interrupt will say; valid where seek_done has the bit */
    uint8_t seek_done, seeking; /* a bit a unit */
    uint8_t seek_target;
    uint8_t polls;              /* units that the reset's sense interrupts have still to report */
    bool irq_pending;
    FloppyDrive drives[FDC_DRIVES];
    /* the transfer */
    uint8_t work;  /* FdcWork */
    uint8_t unit, head, multi_track;
    uint8_t c, h, r, n, eot; /* the sector ID in turn */
    bool deleted;            /* sectors with a deleted data mark are asked for */
    uint8_t left;            /* WORK_FORMAT: sectors; WORK_VERIFY: sectors, 0: up to EOT */
    uint8_t filler;
    bool tc;                 /* terminal count was reached */
    bool buf_ready;          /* the buffer can be filled or emptied by DMA or the FIFO */
    uint16_t buf_pos, buf_len;
    uint8_t buf[FLOPPY_SECTOR];
    BlockReq *req;           /* under way; never when the state is saved */
    Timer timer;             /* end of a reset, a seek, a command without a disk */
    uint8_t timer_for;       /* FdcPending */
    IoRegion io, io_dir;
} Fdc;

typedef enum FdcPending { PENDING_NONE, PENDING_RESET, PENDING_SEEK, PENDING_NO_DISK } FdcPending;

/* ---- fdc.c ---- */

void fdc_raise(Fdc *s);
void fdc_lower(Fdc *s);
/* fdc_result - the result phase, of @len bytes, with an interrupt where @irq. */
void fdc_result(Fdc *s, const uint8_t *bytes, unsigned len, bool irq);
/* fdc_buffer - the sector buffer waits to be emptied (reading) or filled: by DMA or by the processor. */
void fdc_buffer(Fdc *s, unsigned len);
void fdc_after(Fdc *s, FdcPending what, int64_t ns);

/* ---- fdc-cmd.c ---- */

/* fdc_command_len - bytes of the command that begins with @first, itself included. */
unsigned fdc_command_len(uint8_t first);
/* fdc_execute - the command in the FIFO. */
void fdc_execute(Fdc *s);
/* fdc_buffer_done - the buffer was emptied or filled, or terminal count came in the middle. */
void fdc_buffer_done(Fdc *s);
/* fdc_finish - end of a transfer: result phase with these status bits. */
void fdc_finish(Fdc *s, uint8_t st0, uint8_t st1, uint8_t st2);
/* fdc_seek_end - the head has arrived. */
void fdc_seek_end(Fdc *s);
FloppyDrive *fdc_drive(Fdc *s, unsigned unit);

#endif
