/*
 * VHDX: the log. Source: [MS-VHDX], "Log", "Log Replay".
 *
 * A ring of entries, each of which says what pages of the file should hold. The table of blocks is written only after an
 * entry that says the same is on stable storage, so that it is whole after a crash. Here each entry is its own tail: all
 * that came before it is in its place by then.
 */
#include "block/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include "base/mem.h"

/* An entry's fields, and those of a descriptor */
enum { LE_SUM = 4, LE_LENGTH = 8, LE_TAIL = 12, LE_SEQUENCE = 16, LE_COUNT = 24, LE_GUID = 32, LE_FLUSHED = 48, LE_LAST = 56,
       LE_HEADER = 64, LD_TRAILING = 4, LD_LEADING = 8, LD_OFFSET = 16, LD_SEQUENCE = 24, LD_BYTES = 32 };
enum { DATA_HIGH = 4, DATA_BYTES = 8, DATA_LOW = 4092 };
#define REACH (1ull << 47) /* no file is longer */
#define LOG_MAX (64u << 20) /* that is looked through */

/* ring - read or write at @at of the log, which begins again behind its end. */
static int ring(const Vhdx *v, uint64_t at, uint8_t *buf, uint32_t len, bool write)
{
    uint32_t n = (uint32_t)MIN(len, v->log_bytes - at);
    int r = write ? host_write(v->host, v->log_at + at, buf, n) : host_read(v->host, v->log_at + at, buf, n);

    if (r == 0 && n < len) {
        r = write ? host_write(v->host, v->log_at, buf + n, len - n) : host_read(v->host, v->log_at, buf + n, len - n);
    }
    return r;
}

static bool is_data(const uint8_t *desc)
{
    return memcmp(desc, "desc", 4) == 0;
}

/* descriptors_ok - of a whole entry. */
static bool descriptors_ok(const uint8_t *e, uint32_t len)
{
    uint32_t count = ld_le32(e + LE_COUNT), head = (LE_HEADER + count * LD_BYTES + VHDX_PAGE - 1) & ~(VHDX_PAGE - 1), used = head;
    uint64_t sequence = ld_le64(e + LE_SEQUENCE), last = ld_le64(e + LE_LAST);

    for (uint32_t n = 0; n < count; n++) {
        const uint8_t *d = e + LE_HEADER + n * LD_BYTES;
        uint64_t at = ld_le64(d + LD_OFFSET), bytes = is_data(d) ? VHDX_PAGE : ld_le64(d + LD_LEADING);

        if ((!is_data(d) && memcmp(d, "zero", 4) != 0) || ld_le64(d + LD_SEQUENCE) != sequence || at % VHDX_PAGE != 0 ||
            bytes % VHDX_PAGE != 0 || at > last || bytes > last - at) {
            return false;
        }
        if (is_data(d)) {
            const uint8_t *data = e + used;

            if (used > len - VHDX_PAGE || memcmp(data, "data", 4) != 0 || ld_le32(data + DATA_HIGH) != sequence >> 32 ||
                ld_le32(data + DATA_LOW) != (uint32_t)sequence) {
                return false;
            }
            used += VHDX_PAGE;
        }
    }
    return used == len;
}

/* read_entry - the one at @at of the log, if there is one that is whole; freed by the caller. *work: so many bytes more
 * may be read. */
static uint8_t *read_entry(const Vhdx *v, uint64_t at, uint64_t *work)
{
    uint8_t h[LE_HEADER], *e = NULL;
    uint32_t len, count;
    bool ok = ring(v, at, h, sizeof(h), false) == 0 && memcmp(h, "loge", 4) == 0 && memcmp(h + LE_GUID, v->log_guid, 16) == 0;

    len = ld_le32(h + LE_LENGTH);
    count = ld_le32(h + LE_COUNT);
    ok = ok && len != 0 && len % VHDX_PAGE == 0 && len <= v->log_bytes && ld_le64(h + LE_SEQUENCE) != 0 &&
         ld_le32(h + LE_TAIL) < v->log_bytes && ld_le32(h + LE_TAIL) % VHDX_PAGE == 0 && count <= (len - LE_HEADER) / LD_BYTES &&
         ld_le64(h + LE_LAST) <= REACH && ld_le64(h + LE_FLUSHED) <= REACH && len <= *work;
    if (!ok) {
        return NULL;
    }
    *work -= len;
    e = try_newn(uint8_t, len);
    if (e != NULL && ring(v, at, e, len, false) == 0 && memcmp(e, h, LE_HEADER) == 0 &&
        vhdx_crc(e, len, LE_SUM) == ld_le32(e + LE_SUM) && descriptors_ok(e, len)) {
        return e;
    }
    free(e);
    return NULL;
}

/* A run of entries with numbers that follow each other. */
typedef struct Run {
    uint64_t from, sequence, flushed; /* sequence: of the last */
    VhdxReplay replay;
    uint64_t end;
    bool valid; /* the tail that its last entry names is in it */
} Run;

/* read_run - from @at of the log on. */
static Run read_run(const Vhdx *v, uint64_t at, uint64_t *work)
{
    Run run = { .from = at, .end = at };
    uint64_t total = 0, first = 0, tail = 0, place = at;
    uint8_t *e;

    while (total < v->log_bytes && (e = read_entry(v, place, work)) != NULL) {
        uint64_t sequence = ld_le64(e + LE_SEQUENCE);
        uint32_t len = ld_le32(e + LE_LENGTH);

        if ((total != 0 && sequence != run.sequence + 1) || len > v->log_bytes - total) {
            free(e);
            break;
        }
        first = total == 0 ? sequence : first;
        tail = ld_le32(e + LE_TAIL);
        run.sequence = sequence;
        run.flushed = ld_le64(e + LE_FLUSHED);
        run.replay.last = MAX(run.replay.last, ld_le64(e + LE_LAST));
        total += len;
        place = (place + len) % v->log_bytes;
        run.end = at + total;
        free(e);
    }
    if (total == 0) {
        return run;
    }
    for (place = at, total = run.end - at; total > 0;) { /* is the tail one of them? */
        uint8_t h[LE_HEADER];

        if (ring(v, place, h, sizeof(h), false) != 0 || ld_le32(h + LE_LENGTH) == 0 || ld_le32(h + LE_LENGTH) > total) {
            break;
        }
        if (place == tail) {
            run.valid = true;
            run.replay.tail = tail;
            run.replay.entries = (unsigned)(run.sequence - first + 1);
            break;
        }
        first++;
        total -= ld_le32(h + LE_LENGTH);
        place = (place + ld_le32(h + LE_LENGTH)) % v->log_bytes;
    }
    return run;
}

const char *vhdx_log_find(Vhdx *v, uint64_t file_size)
{
    uint64_t work = v->log_bytes * 4ull;
    Run best = { 0 };

    if (v->log_bytes > LOG_MAX) {
        return "its log has to be written again, and is too large";
    }
    for (uint64_t at = 0; at < v->log_bytes;) {
        Run run = read_run(v, at, &work);

        if (run.valid && run.sequence > best.sequence) {
            best = run;
        }
        at = run.valid ? MAX(run.end, at + VHDX_PAGE) : at + VHDX_PAGE;
    }
    if (best.valid && best.flushed > file_size) {
        return "it is shorter than it was: its end is missing";
    }
    v->replay = best.replay;
    return NULL;
}

/* each - call @fn for each descriptor of the log that has to be written again, with its 4 KiB (NULL: zeros). */
static int each(const Vhdx *v, int (*fn)(void *opaque, uint64_t at, uint64_t bytes, const uint8_t *data), void *opaque)
{
    uint64_t at = v->replay.tail, work = UINT64_MAX;
    int r = 0;

    for (unsigned n = 0; n < v->replay.entries && r == 0; n++) {
        uint8_t *e = read_entry(v, at, &work), page[VHDX_PAGE];
        uint32_t count = e != NULL ? ld_le32(e + LE_COUNT) : 0, len = e != NULL ? ld_le32(e + LE_LENGTH) : 0;
        uint32_t used = (LE_HEADER + count * LD_BYTES + VHDX_PAGE - 1) & ~(VHDX_PAGE - 1);

        r = e == NULL ? -EIO : 0;
        for (uint32_t k = 0; k < count && r == 0; k++) {
            const uint8_t *d = e + LE_HEADER + k * LD_BYTES;

            if (!is_data(d)) {
                r = fn(opaque, ld_le64(d + LD_OFFSET), ld_le64(d + LD_LEADING), NULL);
                continue;
            }
            memcpy(page, d + LD_LEADING, 8);
            memcpy(page + DATA_BYTES, e + used + DATA_BYTES, DATA_LOW - DATA_BYTES);
            memcpy(page + DATA_LOW, d + LD_TRAILING, 4);
            used += VHDX_PAGE;
            r = fn(opaque, ld_le64(d + LD_OFFSET), VHDX_PAGE, page);
        }
        at = (at + len) % v->log_bytes;
        free(e);
    }
    return r;
}

static int write_again(void *opaque, uint64_t at, uint64_t bytes, const uint8_t *data)
{
    const Vhdx *v = opaque;

    return data != NULL ? host_write(v->host, at, data, VHDX_PAGE) : host_zero(v->host, at, bytes, true);
}

int vhdx_log_replay(Vhdx *v, uint64_t file_size)
{
    int r = v->replay.last > file_size ? host_truncate(v->host, v->replay.last) : 0;

    r = r == 0 ? each(v, write_again, v) : r;
    return r == 0 ? host_flush(v->host) : r;
}

typedef struct Window {
    uint64_t at, bytes;
    uint8_t *buf;
} Window;

static int show(void *opaque, uint64_t at, uint64_t bytes, const uint8_t *data)
{
    const Window *w = opaque;
    uint64_t from = MAX(at, w->at), to = MIN(at + bytes, w->at + w->bytes);

    if (from < to && data != NULL) {
        memcpy(w->buf + (from - w->at), data + (from - at), to - from);
    } else if (from < to) {
        memset(w->buf + (from - w->at), 0, to - from);
    }
    return 0;
}

int vhdx_log_read(const Vhdx *v, uint64_t offset, void *buf, size_t len)
{
    Window w = { offset, len, buf };
    int r = host_read(v->host, offset, buf, len);

    return r == 0 && v->replay.entries != 0 ? each(v, show, &w) : r;
}

static int is_inside(void *opaque, uint64_t at, uint64_t bytes, const uint8_t *data)
{
    const Vhdx *v = opaque;
    bool bat = at >= v->bat_at && bytes <= v->bat_bytes && at - v->bat_at <= v->bat_bytes - bytes;
    bool meta = at >= v->meta_at && bytes <= v->meta_bytes && at - v->meta_at <= v->meta_bytes - bytes;

    return bat || meta ? 0 : -EINVAL;
}

bool vhdx_log_inside(const Vhdx *v)
{
    return each(v, is_inside, (void *)v) == 0;
}

int vhdx_log_write(Vhdx *v, const uint32_t *page, unsigned count)
{
    uint32_t len = VHDX_PAGE * (1 + count);
    uint8_t *e = try_newn(uint8_t, len);
    uint64_t sequence = v->log_sequence + 1;
    int r;

    if (e == NULL) {
        return -ENOMEM;
    }
    memcpy(e, "loge", 4);
    st_le32(e + LE_LENGTH, len);
    st_le32(e + LE_TAIL, (uint32_t)v->log_next);
    st_le64(e + LE_SEQUENCE, sequence);
    st_le32(e + LE_COUNT, count);
    memcpy(e + LE_GUID, v->log_guid, 16);
    st_le64(e + LE_FLUSHED, v->next);
    st_le64(e + LE_LAST, v->next);
    for (unsigned n = 0; n < count; n++) {
        uint8_t *d = e + LE_HEADER + n * LD_BYTES, *data = e + VHDX_PAGE * (1 + n);
        const uint8_t *from = (const uint8_t *)v->bat + (uint64_t)page[n] * VHDX_PAGE;

        memcpy(d, "desc", 4);
        memcpy(d + LD_TRAILING, from + DATA_LOW, 4);
        memcpy(d + LD_LEADING, from, 8);
        st_le64(d + LD_OFFSET, v->bat_at + (uint64_t)page[n] * VHDX_PAGE);
        st_le64(d + LD_SEQUENCE, sequence);
        memcpy(data, "data", 4);
        st_le32(data + DATA_HIGH, (uint32_t)(sequence >> 32));
        memcpy(data + DATA_BYTES, from + DATA_BYTES, DATA_LOW - DATA_BYTES);
        st_le32(data + DATA_LOW, (uint32_t)sequence);
    }
    st_le32(e + LE_SUM, vhdx_crc(e, len, LE_SUM));
    r = ring(v, v->log_next, e, len, true);
    r = r == 0 ? host_flush(v->host) : r;
    if (r == 0) {
        v->log_sequence = sequence;
        v->log_next = (v->log_next + len) % v->log_bytes;
    }
    free(e);
    return r;
}
