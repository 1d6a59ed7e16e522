/*
 * Commands of a disk. Source: SBC-3, clause 5; SPC-4, clause 6 for those that all kinds share.
 *
 * Not modelled: reservations, protection information, the 32-byte commands, FORMAT UNIT: they are refused with sense
 * 5/20h.
 */
#include "hw/scsi/internal.h"

#include "base/mem.h"

/* ---- addresses ---- */

/* in_range - that many blocks are there from @lba on. */
static bool in_range(const ScsiDisk *d, uint64_t lba, uint64_t count)
{
    uint64_t blocks = scsi_blocks(d);

    return lba <= blocks && count <= blocks - lba;
}

/* range_of - what the command's fields say, by its group (SPC-4, 4.2.2): 6, 10, 12 or 16 bytes. */
static void range_of(const uint8_t *cdb, uint64_t *lba, uint64_t *count)
{
    switch (cdb[0] >> 5) {
    case 0:
        *lba = ld_be32(cdb) & 0x1fffff;
        *count = cdb[4] != 0 ? cdb[4] : 256;
        break;
    case 4:
        *lba = ld_be64(cdb + 2);
        *count = ld_be32(cdb + 10);
        break;
    case 5:
        *lba = ld_be32(cdb + 2);
        *count = ld_be32(cdb + 6);
        break;
    default:
        *lba = ld_be32(cdb + 2);
        *count = ld_be16(cdb + 7);
    }
}

enum { HOW_READ, HOW_WRITE, HOW_VERIFY, HOW_WRITE_VERIFY };

static ScsiTask transfer(ScsiDisk *d, const uint8_t *cdb, unsigned how)
{
    static const ScsiWhat what[] = { SCSI_READ, SCSI_WRITE, SCSI_VERIFY, SCSI_WRITE };
    ScsiTask t = { .what = what[how] };
    uint8_t flags = cdb[0] >> 5 == 0 ? 0 : cdb[1];

    range_of(cdb, &t.lba, &t.count);
    if (flags & 0xe0) { /* protection information */
        return scsi_illegal(ASC_BAD_FIELD);
    }
    if ((how == HOW_WRITE || how == HOW_WRITE_VERIFY) && blk_read_only(d->blk)) {
        return scsi_check(SENSE_PROTECT, 0x27, 0);
    }
    if (!in_range(d, t.lba, t.count)) {
        return scsi_illegal(ASC_BAD_LBA);
    }
    if (how == HOW_VERIFY && (flags & 0x06) != 0) {
        if ((flags & 0x06) != 0x02) { /* BYTCHK: byte by byte is the one that is known */
            return scsi_illegal(ASC_BAD_FIELD);
        }
        t.what = SCSI_COMPARE;
    }
    t.durable = how == HOW_WRITE_VERIFY || (how == HOW_WRITE && ((flags & 0x08) || !d->write_cache));
    return t.count == 0 ? scsi_good() : t;
}

static ScsiTask cmd_read(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    return transfer(d, cdb, HOW_READ);
}

static ScsiTask cmd_write(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    return transfer(d, cdb, HOW_WRITE);
}

static ScsiTask cmd_verify(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    return transfer(d, cdb, HOW_VERIFY);
}

static ScsiTask cmd_write_verify(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    return transfer(d, cdb, HOW_WRITE_VERIFY);
}

/* WRITE SAME: 0 blocks mean all that follow, which is more than the limits page allows. Whether what is unmapped reads as
 * zeros nobody promises, so the data are written with UNMAP too. */
static ScsiTask cmd_write_same(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    ScsiTask t = { .what = SCSI_SAME, .durable = !d->write_cache };

    range_of(cdb, &t.lba, &t.count);
    t.zeros = cdb[0] == 0x93 && (cdb[1] & 1);
    if ((cdb[1] & 0xf6) != 0 && (cdb[1] & 0xfe) != 0x08) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    if (blk_read_only(d->blk)) {
        return scsi_check(SENSE_PROTECT, 0x27, 0);
    }
    if (t.count == 0 || t.count > SCSI_SAME_MAX) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    return in_range(d, t.lba, t.count) ? t : scsi_illegal(ASC_BAD_LBA);
}

static ScsiTask cmd_sync(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    uint64_t lba, count;

    range_of(cdb, &lba, &count);
    return in_range(d, lba, count) ? (ScsiTask){ .what = SCSI_FLUSH } : scsi_illegal(ASC_BAD_LBA);
}

static ScsiTask cmd_unmap(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    uint32_t len = ld_be16(cdb + 7);

    if ((cdb[1] & 1) || !disk_props_discards(&d->disk, d->blk)) {
        return scsi_illegal(cdb[1] & 1 ? ASC_BAD_FIELD : ASC_BAD_OPCODE);
    }
    if (blk_read_only(d->blk)) {
        return scsi_check(SENSE_PROTECT, 0x27, 0);
    }
    if (len > 8 + 16 * SCSI_UNMAP_MAX) {
        return scsi_check(SENSE_ILLEGAL, 0x1a, 0);
    }
    return len == 0 ? scsi_good() : (ScsiTask){ .what = SCSI_TAKE, .len = len };
}

/* ---- about the disk ---- */

static ScsiTask cmd_capacity_10(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    st_be32(buf, (uint32_t)MIN(scsi_blocks(d) - 1, 0xffffffffull));
    st_be32(buf + 4, d->block);
    return scsi_reply(8, 8);
}

static ScsiTask cmd_service_in(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    unsigned exp = 0;

    if ((cdb[1] & 31) != 0x10) { /* READ CAPACITY (16) is the one that is there */
        return scsi_illegal(ASC_BAD_FIELD);
    }
    while (d->block << exp < d->disk.physical) {
        exp++;
    }
    memset(buf, 0, 32);
    st_be64(buf, scsi_blocks(d) - 1);
    st_be32(buf + 8, d->block);
    buf[13] = (uint8_t)exp;
    buf[14] = disk_props_discards(&d->disk, d->blk) ? 0x80 : 0;
    return scsi_reply(32, ld_be32(cdb + 10));
}

static ScsiTask cmd_nothing(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    return scsi_good();
}

static ScsiTask cmd_start_stop(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    if ((cdb[4] & 0xf0) == 0) { /* else a power condition, all of which are the same here */
        d->stopped = !(cdb[4] & 1);
        return d->stopped && !blk_read_only(d->blk) ? (ScsiTask){ .what = SCSI_FLUSH } : scsi_good();
    }
    return scsi_good();
}

static ScsiTask cmd_diagnostic(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    return (cdb[1] & 4) && ld_be16(cdb + 3) == 0 ? scsi_good() : scsi_illegal(ASC_BAD_FIELD); /* the self-test */
}

static ScsiTask cmd_mode_select(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    return scsi_mode_select(d, cdb);
}

/* ---- the table ---- */

enum { NEEDS_START = 1 };

static const struct {
    uint8_t op, flags;
    ScsiTask (*run)(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf);
} commands[] = {
    { 0x00, NEEDS_START, cmd_nothing }, /* TEST UNIT READY */
    { 0x01, NEEDS_START, cmd_nothing }, /* REZERO UNIT */
    { 0x08, NEEDS_START, cmd_read },
    { 0x0a, NEEDS_START, cmd_write },
    { 0x15, 0, cmd_mode_select },
    { 0x1a, 0, scsi_mode_sense },
    { 0x1b, 0, cmd_start_stop },
    { 0x1d, 0, cmd_diagnostic },
    { 0x1e, 0, cmd_nothing }, /* PREVENT ALLOW MEDIUM REMOVAL */
    { 0x25, NEEDS_START, cmd_capacity_10 },
    { 0x28, NEEDS_START, cmd_read },
    { 0x2a, NEEDS_START, cmd_write },
    { 0x2b, NEEDS_START, cmd_nothing }, /* SEEK */
    { 0x2e, NEEDS_START, cmd_write_verify },
    { 0x2f, NEEDS_START, cmd_verify },
    { 0x35, NEEDS_START, cmd_sync },
    { 0x41, NEEDS_START, cmd_write_same },
    { 0x42, NEEDS_START, cmd_unmap },
    { 0x55, 0, cmd_mode_select },
    { 0x5a, 0, scsi_mode_sense },
    { 0x88, NEEDS_START, cmd_read },
    { 0x8a, NEEDS_START, cmd_write },
    { 0x8e, NEEDS_START, cmd_write_verify },
    { 0x8f, NEEDS_START, cmd_verify },
    { 0x91, NEEDS_START, cmd_sync },
    { 0x93, NEEDS_START, cmd_write_same },
    { 0x9e, NEEDS_START, cmd_service_in },
    { 0xa8, NEEDS_START, cmd_read },
    { 0xaa, NEEDS_START, cmd_write },
    { 0xae, NEEDS_START, cmd_write_verify },
    { 0xaf, NEEDS_START, cmd_verify },
};

ScsiTask sbc_command(ScsiDisk *d, const uint8_t *cdb, uint8_t *buf)
{
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        if (commands[n].op == cdb[0]) {
            if ((commands[n].flags & NEEDS_START) && d->stopped) {
                return scsi_check(SENSE_NOT_READY, 0x04, 2); /* START UNIT is needed */
            }
            return commands[n].run(d, cdb, buf);
        }
    }
    return scsi_illegal(ASC_BAD_OPCODE);
}

/* unmap_check - the list's lengths agree, and each range is there; the task is to unmap them one by one. */
static ScsiTask unmap_check(ScsiDisk *d, const uint8_t *list, uint32_t len)
{
    uint32_t bytes = len < 8 ? 0 : ld_be16(list + 2);

    if (len < 8 || bytes > len - 8) {
        return scsi_check(SENSE_ILLEGAL, 0x1a, 0);
    }
    for (uint32_t at = 8; at + 16 <= 8 + bytes; at += 16) {
        if (!in_range(d, ld_be64(list + at), ld_be32(list + at + 8))) {
            return scsi_illegal(ASC_BAD_LBA);
        }
    }
    return (ScsiTask){ .what = SCSI_UNMAP, .len = bytes / 16, .durable = !d->write_cache };
}

ScsiTask sbc_parameters(ScsiDisk *d, const uint8_t *cdb, const uint8_t *list, uint32_t len)
{
    return cdb[0] == 0x42 ? unmap_check(d, list, len) : scsi_mode_selected(d, cdb, list, len);
}
