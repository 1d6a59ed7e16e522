/*
 * What every logical unit says of itself: INQUIRY and its pages, REPORT LUNS, REQUEST SENSE. Source: SPC-4, 6.4, 6.33,
 * 6.39 and 7.8; SBC-3, 6.5 for the pages B0h to B2h.
 */
#include "hw/scsi/internal.h"

#include <string.h>
#include "base/mem.h"

enum { TYPE_DISK = 0x00, TYPE_CD = 0x05, TYPE_NONE = 0x7f, VERSION_SPC4 = 6 };
enum { UNMAP_BLOCKS_MAX = 1 << 22 };

static void put_padded(uint8_t *p, const char *s, unsigned len)
{
    for (unsigned n = 0; n < len; n++) {
        p[n] = (uint8_t)(s != NULL && *s != 0 ? *s++ : ' ');
    }
}

static const char *serial(const ScsiDisk *d)
{
    const char *s = d->serial != NULL ? d->serial : blk_serial(d->blk);

    return s != NULL ? s : "";
}

/* ---- vital product data ---- */

static unsigned page_serial(const ScsiDisk *d, uint8_t *p)
{
    unsigned len = (unsigned)MIN(strlen(serial(d)), (size_t)36);

    memcpy(p, serial(d), len);
    return len;
}

static uint8_t *designator(uint8_t *p, uint8_t code_set, uint8_t type, const void *data, unsigned len)
{
    p[0] = code_set;
    p[1] = type;
    p[3] = (uint8_t)len;
    memcpy(p + 4, data, len);
    return p + 4 + len;
}

/* SPC-4, 7.8.6: the user's name for it, and the world wide name. */
static unsigned page_identification(const ScsiDisk *d, uint8_t *p)
{
    const char *id = d->device_id != NULL ? d->device_id : *serial(d) != 0 ? serial(d) : blk_name(d->blk);
    uint8_t *start = p, wwn[8];

    if (*id != 0) {
        p = designator(p, 2, 0, id, (unsigned)MIN(strlen(id), (size_t)20));
    }
    if (d->wwn != 0) {
        st_be64(wwn, d->wwn);
        p = designator(p, 1, 3, wwn, sizeof(wwn));
    }
    return (unsigned)(p - start);
}

/* SBC-3, 6.5.3 "Block Limits VPD page" */
static unsigned page_limits(const ScsiDisk *d, uint8_t *p)
{
    st_be16(p + 2, (uint16_t)(d->disk.min_io / d->block));
    st_be32(p + 8, (uint32_t)(d->disk.opt_io / d->block));
    if (!d->cd) {
        if (disk_props_discards(&d->disk, d->blk)) {
            st_be32(p + 16, UNMAP_BLOCKS_MAX);
            st_be32(p + 20, SCSI_UNMAP_MAX);
            st_be32(p + 24, (uint32_t)(d->disk.granularity == DISK_SIZE_AUTO ? d->disk.physical : d->disk.granularity) / d->block);
        }
        st_be64(p + 32, SCSI_SAME_MAX);
    }
    return 60;
}

static unsigned page_characteristics(const ScsiDisk *d, uint8_t *p)
{
    st_be16(p, d->rotation_rate);
    return 60;
}

/* SBC-3, 6.5.4: what is unmapped may read as anything. */
static unsigned page_provisioning(const ScsiDisk *d, uint8_t *p)
{
    bool thin = disk_props_discards(&d->disk, d->blk);

    p[1] = thin ? 0x80 : 0; /* UNMAP */
    p[2] = thin ? 2 : 0;    /* thin provisioned */
    return 4;
}

static const struct {
    uint8_t code;
    bool disk; /* only */
    unsigned (*put)(const ScsiDisk *d, uint8_t *p);
} vpd[] = {
    { 0x80, false, page_serial }, { 0x83, false, page_identification }, { 0xb0, false, page_limits },
    { 0xb1, true, page_characteristics }, { 0xb2, true, page_provisioning },
};

static bool has_page(const ScsiDisk *d, unsigned n)
{
    return !(vpd[n].disk && d->cd) && !(vpd[n].code == 0x80 && *serial(d) == 0);
}

static ScsiTask inquiry_vpd(const ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    uint32_t len = 0;

    memset(buf, 0, 256);
    buf[0] = d->cd ? TYPE_CD : TYPE_DISK;
    buf[1] = cdb[2];
    if (cdb[2] == 0) {
        for (unsigned n = 0; n < ARRAY_SIZE(vpd); n++) {
            if (has_page(d, n)) {
                buf[5 + len++] = vpd[n].code;
            }
        }
        len++; /* page 00h itself, in front */
        st_be16(buf + 2, len);
        return scsi_reply(4 + len, ld_be16(cdb + 3));
    }
    for (unsigned n = 0; n < ARRAY_SIZE(vpd); n++) {
        if (vpd[n].code == cdb[2] && has_page(d, n)) {
            len = vpd[n].put(d, buf + 4);
            st_be16(buf + 2, len);
            return scsi_reply(4 + len, ld_be16(cdb + 3));
        }
    }
    return scsi_illegal(ASC_BAD_FIELD);
}

/* ---- the commands ---- */

/* @d NULL: there is no such unit, though its target is. */
ScsiTask scsi_inquiry(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    if (cdb[1] & ~1u || (!(cdb[1] & 1) && cdb[2] != 0)) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    if (d != NULL && (cdb[1] & 1)) {
        return inquiry_vpd(d, cdb, buf);
    }
    memset(buf, 0, 96);
    buf[0] = d == NULL ? TYPE_NONE : d->cd ? TYPE_CD : TYPE_DISK;
    buf[2] = VERSION_SPC4;
    buf[3] = 0x12; /* hierarchical numbers, format 2 */
    if (d == NULL) {
        buf[4] = 36 - 5;
        return scsi_reply(36, ld_be16(cdb + 3));
    }
    buf[1] = d->cd || d->removable ? 0x80 : 0;
    buf[4] = 96 - 5;
    buf[7] = 0x02; /* tasks can be queued */
    put_padded(buf + 8, d->vendor, 8);
    put_padded(buf + 16, d->product, 16);
    put_padded(buf + 32, d->ver, 4);
    st_be16(buf + 58, 0x00a0);                   /* SAM-5 */
    st_be16(buf + 60, 0x0460);                   /* SPC-4 */
    st_be16(buf + 62, d->cd ? 0x03a0 : 0x04c0);  /* MMC-5, SBC-3 */
    return scsi_reply(96, ld_be16(cdb + 3));
}

/* REPORT LUNS: SPC-4, 6.33. LUN 0 is there even when it is no unit. */
ScsiTask scsi_report_luns(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    uint32_t allocated = ld_be32(cdb + 6), len = 8;
    unsigned last = 0;

    if (cdb[2] > 2) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    memset(buf, 0, SCSI_BUF);
    if (cdb[2] != 1) { /* 1: well-known ones alone, of which there are none */
        len += 8;
        for (const ScsiDisk *u = d->bus->first; u != NULL && len + 8 <= SCSI_BUF; u = u->next) {
            if (u->channel == d->channel && u->id == d->id && u->lun != last) {
                st_be16(buf + len, u->lun < 256 ? u->lun : 0x4000 | u->lun);
                last = u->lun;
                len += 8;
            }
        }
    }
    st_be32(buf, len - 8);
    return scsi_reply(len, allocated);
}

void scsi_put_sense(uint8_t *buf, ScsiSense sense, uint64_t lba)
{
    memset(buf, 0, SCSI_SENSE_LEN);
    buf[0] = 0x70;
    if (lba <= UINT32_MAX) {
        buf[0] |= 0x80;
        st_be32(buf + 3, (uint32_t)lba);
    }
    buf[2] = sense.key;
    buf[7] = SCSI_SENSE_LEN - 8;
    buf[12] = sense.asc;
    buf[13] = sense.ascq;
}

/* Descriptor format where it is asked for: SPC-4, 4.5.2. */
ScsiTask scsi_request_sense(const uint8_t *cdb, uint8_t *buf, ScsiSense sense)
{
    if (cdb[1] & 1) {
        memset(buf, 0, 8);
        buf[0] = 0x72;
        buf[1] = sense.key;
        buf[2] = sense.asc;
        buf[3] = sense.ascq;
        return scsi_reply(8, cdb[4]);
    }
    scsi_put_sense(buf, sense, UINT64_MAX);
    return scsi_reply(SCSI_SENSE_LEN, cdb[4]);
}
