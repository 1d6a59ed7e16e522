/*
 * Mode pages of a disk. Source: SPC-4, 6.9 to 6.12 and 7.5; SBC-3, 6.4. Only the write cache can be switched.
 */
#include "hw/scsi/internal.h"

#include <string.h>
#include "base/mem.h"

enum { MODE_SENSE_10 = 0x5a, MODE_SELECT_10 = 0x55 };
enum { PAGE_CACHING = 0x08, WCE = 0x04 };
enum { CURRENT = 0, CHANGEABLE = 1, SAVED = 3 };
enum { LIST_MAX = 512 }; /* bytes of MODE SELECT's parameters */

static unsigned page_errors(const ScsiDisk *d, uint8_t *p)
{
    p[0] = 0x01;
    p[1] = 10;
    p[2] = 0x80; /* bad blocks are replaced when they are written */
    return 12;
}

/* What firmware and old systems make cylinders, heads and sectors of. */
static unsigned page_geometry(const ScsiDisk *d, uint8_t *p)
{
    uint64_t cyls = MIN(MAX(scsi_blocks(d) / (255 * 63), 1u), 0xffffffu);

    p[0] = 0x04;
    st_be32(p + 1, (uint32_t)cyls); /* three bytes; the first one's place is the length's */
    p[1] = 22;
    p[5] = 255;
    st_be16(p + 20, d->rotation_rate > 1 ? d->rotation_rate : 5400);
    return 24;
}

static unsigned page_caching(const ScsiDisk *d, uint8_t *p)
{
    p[0] = PAGE_CACHING;
    p[1] = 18;
    p[2] = d->write_cache ? WCE : 0;
    return 20;
}

static unsigned page_control(const ScsiDisk *d, uint8_t *p)
{
    p[0] = 0x0a;
    p[1] = 10;
    p[3] = 0x10; /* commands may be done in any order */
    return 12;
}

static const struct {
    uint8_t code, changeable; /* bits of byte 2 */
    unsigned (*put)(const ScsiDisk *d, uint8_t *p);
} pages[] = {
    { 0x01, 0, page_errors }, { 0x04, 0, page_geometry }, { PAGE_CACHING, WCE, page_caching },
    { 0x0a, 0, page_control },
};

/* put_page - as @control has it; its length. */
static unsigned put_page(const ScsiDisk *d, unsigned n, uint8_t control, uint8_t *p)
{
    unsigned len = pages[n].put(d, p);

    if (control == CHANGEABLE) {
        memset(p + 2, 0, len - 2);
        p[2] = pages[n].changeable;
    }
    return len;
}

static uint8_t *put_descriptor(const ScsiDisk *d, uint8_t *p)
{
    st_be32(p, (uint32_t)MIN(scsi_blocks(d), 0xffffffffull));
    st_be32(p + 4, d->block);
    p[4] = 0;
    return p + 8;
}

ScsiTask scsi_mode_sense(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    bool ten = cdb[0] == MODE_SENSE_10, described = !(cdb[1] & 8);
    uint8_t control = cdb[2] >> 6, code = cdb[2] & 0x3f, *p = buf + (ten ? 8 : 4), *first;
    uint8_t device = (uint8_t)((blk_read_only(d->blk) ? 0x80 : 0) | (d->dpofua ? 0x10 : 0));

    if (control == SAVED) {
        return scsi_illegal(0x39);
    }
    if (cdb[3] != 0 && cdb[3] != 0xff) { /* there are no subpages */
        return scsi_illegal(ASC_BAD_FIELD);
    }
    memset(buf, 0, 256);
    if (described) {
        p = put_descriptor(d, p);
    }
    first = p;
    for (unsigned n = 0; n < ARRAY_SIZE(pages); n++) {
        if (code == 0x3f || code == pages[n].code) {
            p += put_page(d, n, control, p);
        }
    }
    if (p == first && code != 0x00) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    if (ten) {
        st_be16(buf, (uint32_t)(p - buf) - 2);
        buf[3] = device;
        st_be16(buf + 6, described ? 8 : 0);
        return scsi_reply((uint32_t)(p - buf), ld_be16(cdb + 7));
    }
    buf[0] = (uint8_t)(p - buf - 1);
    buf[2] = device;
    buf[3] = described ? 8 : 0;
    return scsi_reply((uint32_t)(p - buf), cdb[4]);
}

ScsiTask scsi_mode_select(ScsiDisk *d, const uint8_t *cdb)
{
    uint32_t len = cdb[0] == MODE_SELECT_10 ? ld_be16(cdb + 7) : cdb[4];

    if ((cdb[1] & 0x11) != 0x10) { /* pages in the standard's format, not to be kept */
        return scsi_illegal(ASC_BAD_FIELD);
    }
    if (len > LIST_MAX) {
        return scsi_check(SENSE_ILLEGAL, 0x1a, 0);
    }
    return len == 0 ? scsi_good() : (ScsiTask){ .what = SCSI_TAKE, .len = len };
}

/* check_page - a page as the guest would have it: only what can be changed differs. */
static bool check_page(const ScsiDisk *d, const uint8_t *page, uint32_t len, bool *cache)
{
    uint8_t is[32] = { 0 };

    for (unsigned n = 0; n < ARRAY_SIZE(pages); n++) {
        if ((page[0] & 0x3f) == pages[n].code) {
            if (pages[n].put(d, is) != len) {
                return false;
            }
            is[2] = (uint8_t)((is[2] & ~pages[n].changeable) | (page[2] & pages[n].changeable));
            if (memcmp(is + 2, page + 2, len - 2) != 0) {
                return false;
            }
            if (pages[n].code == PAGE_CACHING) {
                *cache = page[2] & WCE;
            }
            return true;
        }
    }
    return false;
}

ScsiTask scsi_mode_selected(ScsiDisk *d, const uint8_t *cdb, const uint8_t *list, uint32_t len)
{
    bool ten = cdb[0] == MODE_SELECT_10, cache = d->write_cache, was = cache;
    uint32_t at = ten ? 8 : 4, described = len < at ? 0 : ten ? ld_be16(list + 6) : list[3];

    if (len < at || described > len - at || (described != 0 && described != 8)) {
        return scsi_check(SENSE_ILLEGAL, 0x1a, 0); /* parameter list length error */
    }
    if (described == 8 && (ld_be32(list + at + 4) & 0xffffff) != d->block) {
        return scsi_illegal(ASC_BAD_PARAMETER);
    }
    for (at += described; at < len;) {
        uint32_t size;

        if (len - at < 3 || list[at + 1] + 2u > len - at) {
            return scsi_check(SENSE_ILLEGAL, 0x1a, 0);
        }
        size = list[at + 1] + 2u;
        if (!check_page(d, list + at, size, &cache)) {
            return scsi_illegal(ASC_BAD_PARAMETER);
        }
        at += size;
    }
    d->write_cache = cache;
    return was && !cache ? (ScsiTask){ .what = SCSI_FLUSH } : scsi_good();
}
