/*
 * READ LOG EXT: the directory, and what a queued command that failed left (SATA).
 *
 * Source: ATA8-ACS, 7.25 "READ LOG EXT" and annex A, "Log page definitions"; Serial ATA 3.1, 13.7.4 "Queued Error Log".
 */
#include "hw/ide/internal.h"

#include <string.h>
#include "base/mem.h"

enum { LOG_DIRECTORY = 0x00, LOG_QUEUE_ERROR = 0x10 };

void ata_read_log(IdeDrive *d)
{
    unsigned count = d->now.count | (unsigned)d->hob.count << 8, page = d->now.lba[1] | (unsigned)d->hob.lba[1] << 8;
    uint8_t *p = d->buf, sum = 0;

    if (!d->bus->sata || count != 1 || page != 0 || (d->now.lba[0] != LOG_DIRECTORY && d->now.lba[0] != LOG_QUEUE_ERROR)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    memset(p, 0, IDE_SECTOR);
    if (d->now.lba[0] == LOG_DIRECTORY) {
        st_le16(p, 1); /* version */
        st_le16(p + 2 * LOG_QUEUE_ERROR, 1);
    } else {
        memcpy(p, d->queue_log, sizeof(d->queue_log));
        if (!d->queue_failed) {
            p[0] |= 0x80; /* it was not a queued command */
        }
        d->queue_failed = false;
        for (unsigned n = 0; n < IDE_SECTOR - 1; n++) {
            sum = (uint8_t)(sum + p[n]);
        }
        p[IDE_SECTOR - 1] = (uint8_t)-sum;
    }
    d->ext = true;
    ide_send(d, IDE_SECTOR);
}
