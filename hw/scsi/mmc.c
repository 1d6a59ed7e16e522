/*
 * Commands of a CD-ROM drive: SFF-8020i, and from MMC-3 to MMC-5 what later systems ask for.
 *
 * A disc is one data track of 2048-byte sectors. Not modelled: audio, sub-channels, raw sectors
 * (their EDC and ECC), several sessions, recording: those commands are refused with sense 5/20h or
 * 5/24h, and the capabilities page does not claim them.
 *
 * After the user changed the disc the guest is told in two steps, as a drive would that was seen
 * with its tray open: first "medium not present, tray open" (2/3Ah/2), then "medium may have
 * changed" (6/28h/0). One that asks for events (GET EVENT STATUS NOTIFICATION) knows by then, and
 * gets only the second: Linux 6.1 would take the first for the change, clear it, and fail its
 * first read on the second.
 */
#include "hw/scsi/mmc.h"

#include <errno.h>
#include <string.h>
#include "base/mem.h"

#define CD_BLOCKS_MAX 405000u /* 90 minutes: what is longer is a DVD */
#define PROFILE_CD 0x0008
#define PROFILE_DVD 0x0010

enum { EVENT_NONE, EVENT_EJECT_REQUEST, EVENT_NEW_MEDIA, EVENT_MEDIA_REMOVAL };
enum { CHANGE_NONE, CHANGE_GONE, CHANGE_ATTENTION, CHANGE_COUNT };

uint32_t mmc_blocks(const MmcDrive *m)
{
    return (uint32_t)MIN(blk_size(m->blk) / CD_SECTOR, 0xffffffffull);
}

static bool loaded(const MmcDrive *m)
{
    return blk_present(m->blk) && !m->tray_open;
}

static bool is_dvd(const MmcDrive *m)
{
    return mmc_blocks(m) > CD_BLOCKS_MAX;
}

/* st_msf - minutes, seconds and frames of a block; the disc begins at 00:02:00. */
static void st_msf(uint8_t *p, uint32_t lba)
{
    lba += 150;
    p[0] = 0;
    p[1] = (uint8_t)MIN(lba / 75 / 60, 255u);
    p[2] = (uint8_t)(lba / 75 % 60);
    p[3] = (uint8_t)(lba % 75);
}

static void st_address(uint8_t *p, uint32_t lba, bool msf)
{
    if (msf) {
        st_msf(p, lba);
    } else {
        st_be32(p, lba);
    }
}

/* ---- about the drive ---- */

static ScsiTask cmd_request_sense(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    uint8_t *p = buf;
    ScsiSense s = m->sense;

    if (m->change_step == CHANGE_ATTENTION && s.key == SENSE_NONE) {
        m->change_step = CHANGE_NONE;
        s = (ScsiSense){ SENSE_ATTENTION, 0x28, 0 };
    }
    memset(p, 0, 18);
    p[0] = 0x70;
    p[2] = s.key;
    p[7] = 10;
    p[12] = s.asc;
    p[13] = s.ascq;
    return scsi_reply(18, cdb[4]);
}

static unsigned page_errors(const MmcDrive *m, uint8_t *p)
{
    static const uint8_t page[] = { 0x01, 6, 0x00, 5, 0, 0, 0, 0 };

    memcpy(p, page, sizeof(page));
    return sizeof(page);
}

static unsigned page_audio(const MmcDrive *m, uint8_t *p)
{
    memset(p, 0, 16);
    p[0] = 0x0e;
    p[1] = 14;
    p[2] = 0x04; /* IMMED */
    return 16;
}

/* MMC-3, "CD Capabilities and Mechanical Status Page" */
static unsigned page_capabilities(const MmcDrive *m, uint8_t *p)
{
    memset(p, 0, 20);
    p[0] = 0x2a;
    p[1] = 18;
    p[2] = 0x3b;                         /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
    p[4] = 0x70;                         /* mode 2 forms 1 and 2, multi-session */
    p[6] = (uint8_t)(0x29 | (m->locked ? 2 : 0)); /* tray, ejects, can be locked, is locked */
    st_be16(p + 8, 706 * 16);            /* KB/s, at most */
    st_be16(p + 12, 512);                /* buffer, KB */
    st_be16(p + 14, 706 * 16);
    return 20;
}

static const struct {
    uint8_t code;
    unsigned (*put)(const MmcDrive *m, uint8_t *p);
} pages[] = {
    { 0x01, page_errors }, { 0x0e, page_audio }, { 0x2a, page_capabilities },
};

/* put_pages - those asked for, or with 3Fh all; 0 when there is none of that code. */
static unsigned put_pages(MmcDrive *m, uint8_t *p, uint8_t code, bool changeable)
{
    unsigned total = 0;

    for (unsigned n = 0; n < ARRAY_SIZE(pages); n++) {
        if (code == 0x3f || code == pages[n].code) {
            unsigned len = pages[n].put(m, p + total);

            if (changeable) { /* nothing is */
                memset(p + total + 2, 0, len - 2);
            }
            total += len;
        }
    }
    return total;
}

static ScsiTask mode_sense(MmcDrive *m, const uint8_t *cdb, uint8_t *buf, unsigned header, uint32_t allocated)
{
    uint8_t control = cdb[2] >> 6;
    unsigned len;

    if (control == 3) {
        return scsi_illegal(0x39); /* saving parameters is not supported */
    }
    memset(buf, 0, header);
    len = put_pages(m, buf + header, cdb[2] & 0x3f, control == 1);
    if (len == 0) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    if (header == 8) {
        st_be16(buf, header + len - 2);
        buf[2] = loaded(m) ? 0x01 : 0x70; /* 120 mm data disc; no disc */
    } else {
        buf[0] = (uint8_t)(header + len - 1);
        buf[1] = loaded(m) ? 0x01 : 0x70;
    }
    return scsi_reply(header + len, allocated);
}

static ScsiTask cmd_mode_sense_6(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    return mode_sense(m, cdb, buf, 4, cdb[4]);
}

static ScsiTask cmd_mode_sense_10(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    return mode_sense(m, cdb, buf, 8, ld_be16(cdb + 7));
}

static ScsiTask cmd_mechanism_status(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    memset(buf, 0, 8);
    buf[1] = m->tray_open ? 0x10 : 0; /* door open */
    buf[5] = 1; /* one slot, no changer */
    return scsi_reply(8, ld_be16(cdb + 8));
}

/* MMC-5, "Features": code, version with persistent (2) and current (1), length, bytes. */
static const struct {
    uint16_t code;
    uint8_t flags, len;
    uint8_t data[8];
} features[] = {
    { 0x0000, 0x03, 8, { 0x00, PROFILE_DVD, 0, 0, 0x00, PROFILE_CD, 0, 0 } }, /* profile list */
    { 0x0001, 0x0b, 8, { 0, 0, 0, 2, 1, 0, 0, 0 } },    /* core: ATAPI, device busy events */
    { 0x0003, 0x07, 4, { 0x29, 0, 0, 0 } },             /* removable: tray, eject, lock */
    { 0x0010, 0x00, 8, { 0, 0, 0x08, 0, 0, 1, 1, 0 } }, /* random read, 2048 bytes */
    { 0x001d, 0x00, 0, { 0 } },                         /* multi-read */
    { 0x001e, 0x08, 4, { 0, 0, 0, 0 } },                /* CD read */
    { 0x001f, 0x00, 4, { 0, 0, 0, 0 } },                /* DVD read */
    { 0x0100, 0x03, 0, { 0 } },                         /* power management */
    { 0x0105, 0x03, 4, { 0, 0, 0, 0 } },                /* timeout */
};

static ScsiTask cmd_get_configuration(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    uint8_t *p = buf + 8, rt = cdb[1] & 3;
    unsigned from = ld_be16(cdb + 2);
    unsigned profile = !loaded(m) ? 0 : is_dvd(m) ? PROFILE_DVD : PROFILE_CD;

    if (rt == 3) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    memset(buf, 0, 8);
    st_be16(buf + 6, profile);
    for (unsigned n = 0; n < ARRAY_SIZE(features); n++) {
        unsigned code = features[n].code;
        bool current = (features[n].flags & 1) || (profile != 0 && code == 0x10) ||
                       (profile == PROFILE_CD && (code == 0x1d || code == 0x1e)) ||
                       (profile == PROFILE_DVD && code == 0x1f);

        if (code < from || (rt == 2 && code != from) || (rt == 1 && !current)) {
            continue;
        }
        st_be16(p, code);
        p[2] = (uint8_t)((features[n].flags & ~1u) | current);
        p[3] = features[n].len;
        memcpy(p + 4, features[n].data, features[n].len);
        if (code == 0) { /* which of the profiles is current */
            p[6] = profile == PROFILE_DVD;
            p[10] = profile == PROFILE_CD;
        }
        p += 4 + features[n].len;
    }
    st_be32(buf, (uint32_t)(p - buf) - 4);
    return scsi_reply((uint32_t)(p - buf), ld_be16(cdb + 7));
}

static ScsiTask cmd_get_event_status(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    uint8_t *p = buf;

    if (!(cdb[1] & 1)) { /* no asynchronous notification */
        return scsi_illegal(ASC_BAD_FIELD);
    }
    memset(p, 0, 8);
    p[3] = 0x10; /* supported: media */
    if (cdb[4] & 0x10) {
        st_be16(p, 6);
        p[2] = 0x04;
        p[4] = m->media_event;
        p[5] = (uint8_t)((m->tray_open ? 1 : 0) | (loaded(m) ? 2 : 0));
        if (m->media_event == EVENT_NEW_MEDIA && m->change_step == CHANGE_GONE) {
            m->change_step = CHANGE_ATTENTION;
        }
        m->media_event = EVENT_NONE;
        return scsi_reply(8, ld_be16(cdb + 7));
    } else {
        st_be16(p, 2);
        p[2] = 0x80; /* no event of the classes asked for */
        return scsi_reply(4, ld_be16(cdb + 7));
    }
}

/* ---- the tray ---- */

static ScsiTask cmd_start_stop(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    bool start = cdb[4] & 1, load_eject = cdb[4] & 2;

    if ((cdb[4] & 0xf0) == 0 && load_eject && start && m->tray_open) {
        m->tray_open = false;
        blk_tray_moved(m->blk, false);
        if (blk_present(m->blk)) {
            m->change_step = CHANGE_ATTENTION;
            m->media_event = EVENT_NEW_MEDIA;
        }
    } else if ((cdb[4] & 0xf0) == 0 && load_eject && !start && !m->tray_open) {
        if (m->locked) {
            return scsi_check(SENSE_ILLEGAL, 0x53, 2); /* medium removal prevented */
        }
        m->tray_open = true;
        blk_tray_moved(m->blk, true);
        m->change_step = CHANGE_NONE;
        m->media_event = EVENT_MEDIA_REMOVAL;
    }
    return scsi_good();
}

static ScsiTask cmd_prevent_allow(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    m->locked = cdb[4] & 1;
    return scsi_good();
}

/* ---- about the disc ---- */

static ScsiTask cmd_nothing(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    return scsi_good();
}

static ScsiTask cmd_read_capacity(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    st_be32(buf, mmc_blocks(m) - 1);
    st_be32(buf + 4, CD_SECTOR);
    return scsi_reply(8, 8);
}

static unsigned put_track(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
    memset(p, 0, 8);
    p[1] = 0x14; /* ADR 1: position; control 4: data track */
    p[2] = track;
    st_address(p + 4, lba, msf);
    return 8;
}

static unsigned toc_tracks(MmcDrive *m, uint8_t *p, uint8_t first, bool msf)
{
    unsigned len = 4;

    p[2] = p[3] = 1; /* first and last track */
    if (first <= 1) {
        len += put_track(p + len, 1, 0, msf);
    }
    len += put_track(p + len, 0xaa, mmc_blocks(m), msf);
    return len;
}

/* One entry of the full TOC: what point @point says, in MSF as everything there. */
static unsigned put_point(uint8_t *p, uint8_t point, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t entry[11] = { 1, 0x14, 0, point, 0, 0, 0, 0, a, b, c };

    memcpy(p, entry, sizeof(entry));
    return sizeof(entry);
}

static unsigned toc_full(MmcDrive *m, uint8_t *p)
{
    uint8_t end[4];
    unsigned len = 4;

    st_msf(end, mmc_blocks(m));
    p[2] = p[3] = 1; /* first and last session */
    len += put_point(p + len, 0xa0, 1, 0, 0); /* first track; CD-ROM */
    len += put_point(p + len, 0xa1, 1, 0, 0); /* last track */
    len += put_point(p + len, 0xa2, end[1], end[2], end[3]);
    len += put_point(p + len, 1, 0, 2, 0);
    return len;
}

static ScsiTask cmd_read_toc(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    uint8_t format = cdb[2] & 15, *p = buf;
    bool msf = cdb[1] & 2;
    unsigned len;

    if (format == 0) {
        format = cdb[9] >> 6; /* where SFF-8020i has it */
    }
    memset(p, 0, 4);
    if (format == 0 && (cdb[6] <= 1 || cdb[6] == 0xaa)) {
        len = toc_tracks(m, p, cdb[6], msf);
    } else if (format == 1) {
        p[2] = p[3] = 1;
        len = 4 + put_track(p + 4, 1, 0, msf);
    } else if (format == 2 && cdb[6] <= 1) {
        len = toc_full(m, p);
    } else {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    st_be16(p, len - 2);
    return scsi_reply(len, ld_be16(cdb + 7));
}

static ScsiTask cmd_read_disc_information(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    uint8_t *p = buf;

    if (cdb[1] & 7) {
        return scsi_illegal(ASC_BAD_FIELD);
    }
    memset(p, 0, 34);
    st_be16(p, 32);
    p[2] = 0x0e; /* last session complete, disc finalised */
    p[3] = 1;    /* first track; sessions; first and last track of the last session */
    p[4] = 1;
    p[5] = 1;
    p[6] = 1;
    p[7] = 0x20; /* unrestricted use */
    memset(p + 16, 0xff, 8); /* no lead-in or lead-out to come */
    return scsi_reply(34, ld_be16(cdb + 7));
}

/* MMC-3, "READ DVD STRUCTURE": one layer, read-only, no copy protection. */
static ScsiTask cmd_read_dvd_structure(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    uint8_t *p = buf;
    unsigned len = 4;

    if (!is_dvd(m)) {
        return scsi_check(SENSE_ILLEGAL, 0x30, 2); /* cannot read medium: incompatible format */
    }
    memset(p, 0, 4 + 2048);
    switch (cdb[6] == 0 ? cdb[7] : 0xfe) {
    case 0x00: /* physical format */
        p[4] = 0x01;  /* DVD-ROM, version 1 */
        p[5] = 0x0f;  /* 120 mm, no maximum rate */
        p[6] = 0x01;  /* one layer, embossed */
        st_be32(p + 8, 0x30000);
        st_be32(p + 12, 0x30000 + mmc_blocks(m) - 1);
        len += 2048;
        break;
    case 0x01: /* copyright */
        len += 4;
        break;
    case 0x04: /* manufacturer */
        len += 2048;
        break;
    default:
        return scsi_illegal(ASC_BAD_FIELD);
    }
    st_be16(p, len - 2);
    return scsi_reply(len, ld_be16(cdb + 8));
}

/* ---- reading ---- */

static ScsiTask read_blocks(MmcDrive *m, uint32_t lba, uint32_t count)
{
    uint32_t total = mmc_blocks(m);

    if (lba > total || count > total - lba) {
        return scsi_illegal(ASC_BAD_LBA);
    } else {
        return scsi_read(lba, count);
    }
}

static ScsiTask cmd_read_10(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    return read_blocks(m, ld_be32(cdb + 2), ld_be16(cdb + 7));
}

static ScsiTask cmd_read_12(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    return read_blocks(m, ld_be32(cdb + 2), ld_be32(cdb + 6));
}

static ScsiTask cmd_read_cd(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    uint32_t count = ld_be32(cdb + 5) & 0xffffff;
    uint8_t type = cdb[1] >> 2 & 7;

    if ((cdb[9] & 0xf8) == 0 && cdb[10] == 0) {
        return scsi_good(); /* nothing of the sectors is wanted */
    } else if ((cdb[9] & 0xfe) != 0x10 || cdb[10] != 0) {
        return scsi_illegal(ASC_BAD_FIELD);
    } else if (type != 0 && type != 2) {
        return scsi_illegal(0x64); /* illegal mode for this track: it is mode 1 */
    } else {
        return read_blocks(m, ld_be32(cdb + 2), count);
    }
}

static ScsiTask cmd_seek(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    if (ld_be32(cdb + 2) >= mmc_blocks(m)) {
        return scsi_illegal(ASC_BAD_LBA);
    } else {
        return scsi_good();
    }
}

/* ---- the table ---- */

enum { NEEDS_DISC = 1, NO_ATTENTION = 2 };

typedef struct PacketCommand {
    uint8_t op;
    uint8_t flags;
    ScsiTask (*run)(MmcDrive *m, const uint8_t *cdb, uint8_t *buf);
} PacketCommand;

static const PacketCommand commands[] = {
    { 0x00, NEEDS_DISC, cmd_nothing }, /* TEST UNIT READY */
    { 0x03, NO_ATTENTION, cmd_request_sense },
    { 0x1a, 0, cmd_mode_sense_6 },
    { 0x1b, 0, cmd_start_stop },
    { 0x1e, 0, cmd_prevent_allow },
    { 0x25, NEEDS_DISC, cmd_read_capacity },
    { 0x28, NEEDS_DISC, cmd_read_10 },
    { 0x2b, NEEDS_DISC, cmd_seek },
    { 0x43, NEEDS_DISC, cmd_read_toc },
    { 0x46, NO_ATTENTION, cmd_get_configuration },
    { 0x4a, NO_ATTENTION, cmd_get_event_status },
    { 0x51, NEEDS_DISC, cmd_read_disc_information },
    { 0x5a, 0, cmd_mode_sense_10 },
    { 0xa8, NEEDS_DISC, cmd_read_12 },
    { 0xad, NEEDS_DISC, cmd_read_dvd_structure },
    { 0xbb, 0, cmd_nothing }, /* SET CD SPEED */
    { 0xbd, 0, cmd_mechanism_status },
    { 0xbe, NEEDS_DISC, cmd_read_cd },
};

/* changed - tell the guest of a changed disc, a step a command; true when this command did. */
static bool changed(MmcDrive *m, const PacketCommand *c, ScsiTask *t)
{
    if (m->change_step == CHANGE_GONE && (c->flags & NEEDS_DISC)) {
        m->change_step = CHANGE_ATTENTION;
        *t = scsi_check(SENSE_NOT_READY, 0x3a, 2);
        return true;
    }
    if (m->change_step == CHANGE_ATTENTION && !(c->flags & NO_ATTENTION) && loaded(m)) {
        m->change_step = CHANGE_NONE;
        *t = scsi_check(SENSE_ATTENTION, 0x28, 0);
        return true;
    }
    return false;
}

ScsiTask mmc_command(MmcDrive *m, const uint8_t *cdb, uint8_t *buf)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        const PacketCommand *c = &commands[i];
        ScsiTask t;

        if (c->op != cdb[0]) {
            continue;
        }
        if (changed(m, c, &t)) {
            return t;
        }
        if ((c->flags & NEEDS_DISC) && (!loaded(m) || mmc_blocks(m) == 0)) {
            return scsi_check(SENSE_NOT_READY, 0x3a, m->tray_open ? 2 : 1);
        }
        return c->run(m, cdb, buf);
    }
    return scsi_illegal(ASC_BAD_OPCODE);
}

ScsiTask mmc_medium_error(const MmcDrive *m, int ret)
{
    if (ret == -ENOMEDIUM || m->tray_open) {
        return scsi_check(SENSE_NOT_READY, 0x3a, m->tray_open ? 2 : 1);
    }
    if (ret == -EINVAL) { /* the medium that came instead is smaller */
        return scsi_illegal(ASC_BAD_LBA);
    }
    return scsi_check(SENSE_MEDIUM_ERROR, 0x11, 0); /* unrecovered read error */
}

/* ---- the user's hand ---- */

static void medium_changed(void *opaque)
{
    MmcDrive *m = opaque;

    if (blk_present(m->blk)) {
        m->change_step = CHANGE_GONE;
        m->media_event = EVENT_NEW_MEDIA;
    } else {
        m->change_step = CHANGE_NONE;
        m->media_event = EVENT_MEDIA_REMOVAL;
        m->locked = false; /* taken out by force: there is nothing left to hold */
    }
}

static void set_tray(void *opaque, bool open)
{
    ((MmcDrive *)opaque)->tray_open = open;
}

static bool tray_open(void *opaque)
{
    return ((MmcDrive *)opaque)->tray_open;
}

static bool locked(void *opaque)
{
    return ((MmcDrive *)opaque)->locked;
}

static void eject_request(void *opaque)
{
    ((MmcDrive *)opaque)->media_event = EVENT_EJECT_REQUEST;
}

const BlockDevOps mmc_block_ops = {
    .medium_changed = medium_changed, .set_tray = set_tray, .tray_open = tray_open,
    .locked = locked, .eject_request = eject_request,
};

/* ---- state ---- */

void mmc_reset(MmcDrive *m)
{
    m->sense = (ScsiSense){ 0 };
    m->locked = false;
    m->media_event = EVENT_NONE;
    m->change_step = CHANGE_NONE;
}

bool mmc_state_ok(const MmcDrive *m)
{
    return m->change_step < CHANGE_COUNT;
}

const StateField mmc_fields[] = {
    STATE_STRUCT(MmcDrive, sense, scsi_sense_fields), STATE_BOOL(MmcDrive, tray_open),
    STATE_BOOL(MmcDrive, locked), STATE_U8(MmcDrive, media_event), STATE_U8(MmcDrive, change_step), STATE_END,
};
