/*
 * Parallel NOR flash with eight data lines and the Intel command set, as firmware is kept in.
 *
 * Sources: JEDEC JESD68.01 "Common Flash Interface (CFI)"; Intel StrataFlash memory (28FxxxJ3) data sheet,
 * "Command Definitions" and "Status Register" (headings quoted); CFI publication 100 for the command set's code.
 *
 * While the array is read the chip is memory, which processors read and run code from without us. A command that shows
 * something else (status, codes, the query table) puts registers in its place, until "Read Array".
 *
 * What is programmed is seen at once and written to the image behind the guest's back, in order and one request at a
 * time; the board waits for the last one when the machine ends. Blocks have 4 KiB, and block locks do not outlive the
 * machine: the image has no place for them. Programs and erasures take no time, so there is nothing to suspend.
 */
#include "hw/block/pflash.h"

#include <string.h>
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "block/block.h"
#include "bus/lock.h"
#include "bus/state.h"
#include "hw/block/trace.h"

#define PFLASH_MAX (16u << 20)
#define PFLASH_BUFFER 256u /* bytes of one "Write to Buffer" */
#define MANUFACTURER 0x89
#define DEVICE_CODE 0x18

/* "Status Register" */
enum { SR_READY = 0x80, SR_ERASE_ERROR = 0x20, SR_PROGRAM_ERROR = 0x10, SR_LOCKED = 0x02 };

/* "Command Definitions" */
enum {
    CMD_LOCK = 0x01,
    CMD_PROGRAM_ALT = 0x10,
    CMD_ERASE = 0x20,
    CMD_PROGRAM = 0x40,
    CMD_CLEAR_STATUS = 0x50,
    CMD_LOCK_SETUP = 0x60,
    CMD_READ_STATUS = 0x70,
    CMD_READ_CODES = 0x90,
    CMD_READ_QUERY = 0x98,
    CMD_SUSPEND = 0xb0,
    CMD_CONFIRM = 0xd0, /* and "Resume" */
    CMD_BUFFER = 0xe8,
    CMD_READ_ARRAY = 0xff,
};

typedef enum FlashShow { SHOW_ARRAY, SHOW_STATUS, SHOW_CODES, SHOW_QUERY } FlashShow;

/* What the next write is. */
typedef enum FlashStep {
    STEP_COMMAND,
    STEP_PROGRAM,      /* the byte */
    STEP_ERASE,        /* the confirmation, in the block */
    STEP_LOCK,         /* lock or unlock */
    STEP_BUFFER_COUNT, /* bytes less one */
    STEP_BUFFER_DATA,
    STEP_BUFFER_CONFIRM,
} FlashStep;

typedef struct Pflash {
    Device dev; /* first member */
    /* properties */
    BlockBackend *blk;
    bool secure;
    /* guest-visible; the contents are device RAM at ram_offset */
    uint8_t show, step, status;
    bool buffer_bad; /* a byte did not fit the buffer's place */
    uint32_t buffer_left, buffer_base;
    uint8_t buffer[PFLASH_BUFFER];
    uint8_t locked[PFLASH_MAX / PFLASH_BLOCK / 8]; /* a bit a block */
    /* wiring and what follows from it */
    hwaddr end;
    uint64_t size, ram_offset;
    IoRegion array;      /* what is read without SMM, where writing needs SMM */
    IoRegion rom, regs;  /* one of them is mapped */
    IoRegion *mapped;
    uint8_t query[0x40];
    /* what the image lacks: [dirty, dirty_end), and the request for what was there before. Machine lock */
    uint64_t dirty, dirty_end;
    BlockReq *req;
    bool failed;
    Timer loaded; /* the machine's memory, which is loaded after devices, has the contents */
} Pflash;

static Pflash *flash_of(Device *dev)
{
    return container_of(dev, Pflash, dev);
}

/* ---- the image ---- */

static void flash_written(void *opaque, int ret, const uint8_t *data);

/* flash_store - write what the image lacks. One request at a time: the next has all that came meanwhile. */
static void flash_store(Pflash *s)
{
    uint64_t at = s->dirty, len = MIN(s->dirty_end - at, (uint64_t)BLK_REQUEST_MAX);

    if (s->req != NULL || len == 0) {
        return;
    }
    s->dirty += len;
    s->req = blk_write(s->blk, at, ram_host() + s->ram_offset + at, (uint32_t)len, flash_written, s);
}

static void flash_written(void *opaque, int ret, const uint8_t *data)
{
    Pflash *s = opaque;

    s->req = NULL;
    if (ret < 0 && !s->failed) {
        s->failed = true; /* once: there is no way to tell the guest any more */
        report("%s: cannot write the flash's contents: %s", blk_name(s->blk), strerror(-ret));
    }
    flash_store(s);
}

static void flash_changed(Pflash *s, uint64_t at, uint64_t len)
{
    if (s->dirty == s->dirty_end) {
        s->dirty = at;
        s->dirty_end = at + len;
    } else {
        s->dirty = MIN(s->dirty, at);
        s->dirty_end = MAX(s->dirty_end, at + len);
    }
    flash_store(s);
}

/* ---- programming ---- */

static bool flash_locked(const Pflash *s, uint64_t at)
{
    uint64_t block = at / PFLASH_BLOCK;

    return blk_read_only(s->blk) || (s->locked[block / 8] >> (block & 7) & 1);
}

/* flash_program - bits go from one to zero, never back. */
static void flash_program(Pflash *s, uint64_t at, const uint8_t *data, uint32_t len)
{
    uint8_t now[PFLASH_BUFFER];

    s->status |= SR_READY;
    if (flash_locked(s, at)) {
        s->status |= SR_PROGRAM_ERROR | SR_LOCKED;
        return;
    }
    memcpy(now, ram_host() + s->ram_offset + at, len);
    for (uint32_t n = 0; n < len; n++) {
        now[n] &= data[n];
    }
    ram_write(s->ram_offset + at, now, len);
    flash_changed(s, at, len);
}

static void flash_erase(Pflash *s, uint64_t at)
{
    uint8_t ones[PFLASH_BLOCK];

    s->status |= SR_READY;
    if (flash_locked(s, at)) {
        s->status |= SR_ERASE_ERROR | SR_LOCKED;
        return;
    }
    memset(ones, 0xff, sizeof(ones));
    at -= at % PFLASH_BLOCK;
    ram_write(s->ram_offset + at, ones, sizeof(ones));
    flash_changed(s, at, sizeof(ones));
}

/* flash_bad_sequence - "Command Sequence Error: SR.4 and SR.5 are set". */
static void flash_bad_sequence(Pflash *s)
{
    s->status |= SR_READY | SR_ERASE_ERROR | SR_PROGRAM_ERROR;
}

static void flash_lock(Pflash *s, uint64_t at, uint8_t how)
{
    uint64_t block = at / PFLASH_BLOCK;
    uint8_t bit = (uint8_t)(1u << (block & 7));

    if (how == CMD_LOCK) {
        s->locked[block / 8] |= bit;
    } else if (how == CMD_CONFIRM) {
        s->locked[block / 8] &= (uint8_t)~bit;
    } else {
        flash_bad_sequence(s);
    }
    s->status |= SR_READY;
}

static void flash_buffer_byte(Pflash *s, uint64_t at, uint8_t val)
{
    if (s->buffer_base == UINT32_MAX) {
        s->buffer_base = (uint32_t)(at - at % PFLASH_BUFFER);
    }
    if (at - s->buffer_base < PFLASH_BUFFER && at >= s->buffer_base) {
        s->buffer[at - s->buffer_base] = val;
    } else {
        s->buffer_bad = true;
    }
    if (--s->buffer_left == 0) {
        s->step = STEP_BUFFER_CONFIRM;
    }
}

/* ---- commands ---- */

static void flash_command(Pflash *s, uint8_t cmd)
{
    switch (cmd) {
    case CMD_PROGRAM:
    case CMD_PROGRAM_ALT:
        s->step = STEP_PROGRAM;
        s->show = SHOW_STATUS;
        break;
    case CMD_ERASE:
        s->step = STEP_ERASE;
        s->show = SHOW_STATUS;
        break;
    case CMD_LOCK_SETUP:
        s->step = STEP_LOCK;
        s->show = SHOW_STATUS;
        break;
    case CMD_BUFFER:
        s->step = STEP_BUFFER_COUNT;
        s->status |= SR_READY; /* "Extended Status Register": the buffer is free */
        s->show = SHOW_STATUS;
        break;
    case CMD_CLEAR_STATUS:
        /* All of it: firmware (EDK2) takes the chip for a flash only when its status reads 00h right after this.
         * "Ready" comes back with the next operation. */
        s->status = 0;
        break;
    case CMD_READ_STATUS:
    case CMD_SUSPEND:
    case CMD_CONFIRM:
        s->show = SHOW_STATUS;
        break;
    case CMD_READ_CODES:
        s->show = SHOW_CODES;
        break;
    case CMD_READ_QUERY:
        s->show = SHOW_QUERY;
        break;
    case CMD_READ_ARRAY:
    default: /* "Reserved" */
        s->show = SHOW_ARRAY;
        break;
    }
}

static void flash_buffer_start(Pflash *s, uint8_t val)
{
    s->buffer_left = val + 1u;
    s->buffer_base = UINT32_MAX;
    s->buffer_bad = false;
    memset(s->buffer, 0xff, sizeof(s->buffer));
    s->step = STEP_BUFFER_DATA;
}

/* flash_update - memory, or registers in its place. */
static void flash_update(Pflash *s)
{
    IoRegion *want = s->show == SHOW_ARRAY && s->step == STEP_COMMAND ? &s->rom : &s->regs;

    if (want == s->mapped) {
        return;
    }
    mem_begin();
    if (s->mapped != NULL) {
        mem_unmap(s->mapped);
    }
    /* the place is this chip's own since realize: it cannot fail */
    s->mapped = mem_map(want, s->end - s->size, s->secure ? 1 : 0, s->secure, NULL) ? want : NULL;
    mem_commit();
}

static void flash_write(void *opaque, uint64_t at, uint64_t val, unsigned size)
{
    Pflash *s = opaque;
    uint8_t v = (uint8_t)val;

    trace_pflash_write(at, v, s->step);
    switch ((FlashStep)s->step) {
    case STEP_COMMAND:
        flash_command(s, v);
        break;
    case STEP_PROGRAM:
        s->step = STEP_COMMAND;
        flash_program(s, at, &v, 1);
        break;
    case STEP_ERASE:
        s->step = STEP_COMMAND;
        if (v == CMD_CONFIRM) {
            flash_erase(s, at);
        } else {
            flash_bad_sequence(s);
        }
        break;
    case STEP_LOCK:
        s->step = STEP_COMMAND;
        flash_lock(s, at, v);
        break;
    case STEP_BUFFER_COUNT:
        flash_buffer_start(s, v);
        break;
    case STEP_BUFFER_DATA:
        flash_buffer_byte(s, at, v);
        break;
    case STEP_BUFFER_CONFIRM:
        s->step = STEP_COMMAND;
        if (v == CMD_CONFIRM && !s->buffer_bad) {
            flash_program(s, s->buffer_base, s->buffer, PFLASH_BUFFER);
        } else {
            flash_bad_sequence(s);
        }
        break;
    }
    flash_update(s);
}

/* "Read Identifier Codes": the chip's, and in each block whether it is locked. */
static uint8_t flash_code(const Pflash *s, uint64_t at)
{
    switch (at % PFLASH_BLOCK) {
    case 0:
        return MANUFACTURER;
    case 1:
        return DEVICE_CODE;
    case 2:
        return s->locked[at / PFLASH_BLOCK / 8] >> (at / PFLASH_BLOCK & 7) & 1;
    default:
        return 0;
    }
}

static uint64_t flash_read(void *opaque, uint64_t at, unsigned size)
{
    Pflash *s = opaque;

    switch ((FlashShow)s->show) {
    case SHOW_STATUS:
        return s->status;
    case SHOW_CODES:
        return flash_code(s, at);
    case SHOW_QUERY:
        return at < sizeof(s->query) ? s->query[at] : 0;
    default:
        return ram_host()[s->ram_offset + at];
    }
}

static const IoOps flash_ops = { .read = flash_read, .write = flash_write, .max_size = 1 };

/* flash_query - JESD68.01, "CFI Query Identification String" and what follows it. */
static void flash_query(Pflash *s)
{
    static const uint8_t head[] = {
        'Q', 'R', 'Y', 0x01, 0x00, /* command set: Intel's extended one */
        0x31, 0x00,                /* its table */
        0, 0, 0, 0,                /* no other command set */
        0x27, 0x36, 0, 0,          /* 2.7 V to 3.6 V, no programming voltage */
        0, 0, 0, 0, 0, 0, 0, 0,    /* programs and erasures take no time */
    };
    uint32_t blocks = (uint32_t)(s->size / PFLASH_BLOCK) - 1;
    uint8_t log2_size = 0;

    while ((1ull << log2_size) < s->size) {
        log2_size++;
    }
    memcpy(s->query + 0x10, head, sizeof(head));
    s->query[0x27] = log2_size;
    s->query[0x2a] = 8; /* bytes of the write buffer: 2^8 */
    s->query[0x2c] = 1; /* one region, of blocks alike */
    st_le16(s->query + 0x2d, (uint16_t)blocks);
    st_le16(s->query + 0x2f, PFLASH_BLOCK / 256);
    memcpy(s->query + 0x31, "PRI10", 5);
    s->query[0x36] = 0x08; /* blocks can be locked one by one */
}

/* ---- life ---- */

void pflash_connect(Device *dev, hwaddr end)
{
    flash_of(dev)->end = end;
}

uint64_t pflash_size(Device *dev)
{
    return flash_of(dev)->size;
}

const uint8_t *pflash_bytes(Device *dev)
{
    return ram_host() + flash_of(dev)->ram_offset;
}

static void flash_loaded(void *opaque)
{
    Pflash *s = opaque;

    flash_changed(s, 0, s->size);
}

/* flash_load - the contents, from the image. */
static bool flash_load(Pflash *s, Error **errp)
{
    for (uint64_t at = 0; at < s->size;) {
        uint32_t len = (uint32_t)MIN(s->size - at, (uint64_t)BLK_REQUEST_MAX);
        int r = blk_pread(s->blk, at, ram_host() + s->ram_offset + at, len);

        if (r < 0) {
            error_set_errno(errp, -r, "%s: cannot read it", blk_name(s->blk));
            return false;
        }
        at += len;
    }
    return true;
}

static bool flash_map(Pflash *s, Error **errp)
{
    hwaddr base = s->end - s->size;

    rom_region_init(&s->rom, "system.flash", ram_host() + s->ram_offset, s->size);
    s->rom.ops = &flash_ops;
    s->rom.opaque = s;
    io_region_init(&s->regs, &flash_ops, s, "system.flash", s->size);
    rom_region_init(&s->array, "system.flash", ram_host() + s->ram_offset, s->size);
    if (s->secure && !mem_map(&s->array, base, 0, false, errp)) {
        return false;
    }
    if (!mem_map(&s->rom, base, s->secure ? 1 : 0, s->secure, errp)) {
        if (s->secure) {
            mem_unmap(&s->array);
        }
        return false;
    }
    s->mapped = &s->rom;
    return true;
}

static bool pflash_realize(Device *dev, Error **errp)
{
    Pflash *s = flash_of(dev);

    if (s->blk == NULL || !blk_present(s->blk)) {
        error_set(errp, "%s: a flash needs an image", s->blk != NULL ? blk_name(s->blk) : dev->id);
        return false;
    }
    s->size = blk_size(s->blk);
    if (s->size == 0 || s->size > PFLASH_MAX || s->size % PFLASH_BLOCK != 0) {
        error_set(errp, "%s: a flash of %llu bytes is not 4 KiB to 16 MiB in blocks of 4 KiB", blk_name(s->blk),
                  (unsigned long long)s->size);
        return false;
    }
    if (!blk_attach(s->blk, dev->id, NULL, NULL, errp)) {
        return false;
    }
    if (!ram_block_new(dev->id, s->size, &s->ram_offset, errp)) {
        blk_detach(s->blk);
        return false;
    }
    timer_init(&s->loaded, CLK_REAL, flash_loaded, s, &machine_lock_guard);
    flash_query(s);
    if (!flash_load(s, errp) || !flash_map(s, errp)) {
        ram_block_free(s->ram_offset);
        blk_detach(s->blk);
        return false;
    }
    return true;
}

static void pflash_unrealize(Device *dev)
{
    Pflash *s = flash_of(dev);

    timer_cancel(&s->loaded);
    if (s->mapped != NULL) {
        mem_unmap(s->mapped);
    }
    if (s->secure) {
        mem_unmap(&s->array);
    }
    blk_cancel(s->req);
    ram_block_free(s->ram_offset);
    blk_detach(s->blk);
}

static void pflash_reset(Device *dev)
{
    Pflash *s = flash_of(dev);

    s->show = SHOW_ARRAY;
    s->step = STEP_COMMAND;
    s->status = SR_READY;
    memset(s->locked, 0, sizeof(s->locked));
    flash_update(s);
}

static bool pflash_post_load(Device *dev, Error **errp)
{
    Pflash *s = flash_of(dev);

    if (s->show > SHOW_QUERY || s->step > STEP_BUFFER_CONFIRM || s->buffer_left > PFLASH_BUFFER ||
        (s->step == STEP_BUFFER_DATA && s->buffer_left == 0) ||
        (s->step >= STEP_BUFFER_DATA && s->buffer_base != UINT32_MAX &&
         (s->buffer_base % PFLASH_BUFFER != 0 || s->buffer_base >= s->size)) ||
        (s->step == STEP_BUFFER_CONFIRM && s->buffer_base == UINT32_MAX)) {
        error_set(errp, "%s: registers that cannot be", dev->id);
        return false;
    }
    flash_update(s);
    if (!blk_read_only(s->blk)) {
        timer_arm(&s->loaded, clock_now(CLK_REAL));
    }
    return true;
}

static const Property pflash_props[] = {
    PROP_DRIVE("drive", Pflash, blk, "its contents"),
    PROP_BOOL("secure", Pflash, secure, false, "only the processor in SMM may write to it"),
    PROP_END,
};

static const StateField pflash_fields[] = {
    STATE_U8(Pflash, show), STATE_U8(Pflash, step), STATE_U8(Pflash, status), STATE_BOOL(Pflash, buffer_bad),
    STATE_U32(Pflash, buffer_left), STATE_U32(Pflash, buffer_base), STATE_BYTES(Pflash, buffer),
    STATE_BYTES(Pflash, locked), STATE_END,
};

const DeviceClass pflash_class = {
    .name = "cfi.pflash01",
    .desc = "parallel NOR flash",
    .size = sizeof(Pflash),
    .bus = BUS_NONE,
    .props = pflash_props,
    .realize = pflash_realize,
    .unrealize = pflash_unrealize,
    .reset = pflash_reset,
    .fields = pflash_fields,
    .post_load = pflash_post_load,
};
