/*
 * SMART: a disk that is in health, with an empty error log and a log of its last self-test.
 *
 * Source: ATA/ATAPI-6, 8.54. The attributes are vendor specific; these are the few that every tool
 * knows by the same numbers.
 */
#include "hw/ide/internal.h"

#include "base/mem.h"

enum { SMART_READ_DATA = 0xd0, SMART_READ_THRESHOLDS = 0xd1, SMART_AUTOSAVE = 0xd2,
       SMART_SAVE = 0xd3, SMART_TEST = 0xd4, SMART_READ_LOG = 0xd5, SMART_ENABLE = 0xd8,
       SMART_DISABLE = 0xd9, SMART_STATUS = 0xda };

static const struct {
    uint8_t id, flags, value, threshold;
} attributes[] = {
    { 1, 0x03, 100, 6 },   /* read error rate */
    { 3, 0x03, 100, 0 },   /* spin-up time */
    { 5, 0x03, 100, 36 },  /* reallocated sectors */
    { 9, 0x03, 100, 0 },   /* power-on hours */
    { 12, 0x03, 100, 0 },  /* power cycles */
    { 194, 0x02, 100, 0 }, /* temperature */
};

/* The last byte makes the sum of all 512 zero. */
static void send_checked(IdeDrive *d)
{
    uint8_t sum = 0;

    for (unsigned n = 0; n < IDE_SECTOR - 1; n++) {
        sum = (uint8_t)(sum + d->buf[n]);
    }
    d->buf[IDE_SECTOR - 1] = (uint8_t)-sum;
    ide_send(d, IDE_SECTOR);
}

static void read_data(IdeDrive *d)
{
    memset(d->buf, 0, IDE_SECTOR);
    d->buf[0] = 1; /* revision of the structure */
    for (unsigned n = 0; n < ARRAY_SIZE(attributes); n++) {
        uint8_t *p = d->buf + 2 + 12 * n;

        p[0] = attributes[n].id;
        p[1] = attributes[n].flags;
        p[3] = p[4] = attributes[n].value;
        p[5] = attributes[n].id == 194 ? 31 : 0;
    }
    d->buf[362] = 0x02;             /* off-line collection: completed without error */
    st_le16(d->buf + 364, 1);       /* seconds that it takes */
    d->buf[367] = 0x19;             /* immediate off-line, abort on command, self-test */
    st_le16(d->buf + 368, 0x0003);
    d->buf[370] = 1;                /* error log */
    d->buf[372] = 1;                /* minutes of a short, an extended self-test */
    d->buf[373] = 1;
    send_checked(d);
}

static void read_thresholds(IdeDrive *d)
{
    memset(d->buf, 0, IDE_SECTOR);
    d->buf[0] = 1;
    for (unsigned n = 0; n < ARRAY_SIZE(attributes); n++) {
        d->buf[2 + 12 * n] = attributes[n].id;
        d->buf[3 + 12 * n] = attributes[n].threshold;
    }
    send_checked(d);
}

static void read_log(IdeDrive *d)
{
    memset(d->buf, 0, IDE_SECTOR);
    switch (d->now.count == 1 ? d->now.lba[0] : 0xff) {
    case 0: /* the directory: sectors of each log */
        d->buf[0] = 1;
        st_le16(d->buf + 2 * 1, 1);
        st_le16(d->buf + 2 * 6, 1);
        ide_send(d, IDE_SECTOR);
        break;
    case 1: /* summary error log */
        d->buf[0] = 1;
        send_checked(d);
        break;
    case 6: /* self-test log */
        d->buf[0] = 1;
        if (d->smart_test != 0) {
            d->buf[2] = d->smart_test;
            d->buf[508] = 1;
        }
        send_checked(d);
        break;
    default:
        ide_fail(d, ER_ABRT);
        break;
    }
}

/* Tests pass at once. 127 would end one that runs. */
static void self_test(IdeDrive *d)
{
    switch (d->now.lba[0] & 0x7f) {
    case 1 ... 2:
        d->smart_test = d->now.lba[0];
        ide_end(d);
        break;
    case 0:
    case 127:
        ide_end(d);
        break;
    default:
        ide_fail(d, ER_ABRT);
        break;
    }
}

void ata_smart(IdeDrive *d)
{
    uint8_t sub = d->now.feature;

    if (d->now.lba[1] != 0x4f || d->now.lba[2] != 0xc2 || (!d->smart && sub != SMART_ENABLE)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    switch (sub) {
    case SMART_READ_DATA:
        read_data(d);
        break;
    case SMART_READ_THRESHOLDS:
        read_thresholds(d);
        break;
    case SMART_READ_LOG:
        read_log(d);
        break;
    case SMART_TEST:
        self_test(d);
        break;
    case SMART_ENABLE:
    case SMART_DISABLE:
        d->smart = sub == SMART_ENABLE;
        ide_end(d);
        break;
    case SMART_AUTOSAVE:
    case SMART_SAVE:
    case SMART_STATUS: /* 4Fh and C2h left in place: no threshold was exceeded */
        ide_end(d);
        break;
    default:
        ide_fail(d, ER_ABRT);
        break;
    }
}
