/*
 * Packets: what is a CD-ROM drive's own on ATA, its INQUIRY; hw/scsi/mmc.c has the other commands.
 */
#include "hw/ide/internal.h"

#include <string.h>
#include "base/mem.h"
#include "hw/ide/trace.h"

static void put_padded(uint8_t *p, const char *s, unsigned len)
{
    for (unsigned n = 0; n < len; n++) {
        p[n] = (uint8_t)(*s != 0 ? *s++ : ' ');
    }
}

static ScsiTask inquiry(IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *p = d->buf;

    if (cdb[1] & 1) { /* no vital product data */
        return scsi_illegal(ASC_BAD_FIELD);
    }
    memset(p, 0, 36);
    p[0] = 0x05; /* CD-ROM */
    p[1] = 0x80; /* removable */
    p[3] = 0x21; /* ATAPI version 2, format 1 */
    p[4] = 31;
    put_padded(p + 8, "QEMU", 8);
    put_padded(p + 16, d->model, 16);
    put_padded(p + 32, d->ver, 4);
    return scsi_reply(36, cdb[4]);
}

void atapi_packet(IdeDrive *d, const uint8_t *cdb)
{
    ScsiTask t;

    trace_ide_packet(d->dev.id, cdb[0], d->now.lba[1] | (unsigned)d->now.lba[2] << 8,
                     d->packet_dma);
    t = cdb[0] == 0x12 ? inquiry(d, cdb) : mmc_command(&d->mmc, cdb, d->buf);
    switch (t.what) {
    case SCSI_CHECK:
        atapi_check(d, t.sense);
        break;
    case SCSI_REPLY:
        atapi_reply(d, t.len);
        break;
    case SCSI_READ:
        atapi_read(d, t.lba, t.count);
        break;
    default: /* a drive that only reads has nothing else to do */
        atapi_end(d);
    }
}
