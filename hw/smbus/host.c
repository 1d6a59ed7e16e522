/*
 * An SMBus host controller's registers and its transactions: see smbus.h.
 *
 * A transaction takes no time: it is over when START was written. The exception are blocks that the ICH9 moves byte by
 * byte: each waits for the guest, which clears BYTE_DONE_STS. Not modelled: packet error codes, block process calls
 * (refused as illegal commands, by DEV_ERR), the slave interface, SMBALERT#.
 */
#include "hw/smbus/smbus.h"

#include <string.h>
#include "base/mem.h"

enum { R_STS = 0x00, R_CNT = 0x02, R_CMD = 0x03, R_ADD = 0x04, R_D0 = 0x05, R_D1 = 0x06, R_BLOCK = 0x07, R_AUX_CTL = 0x0d };

/* Host Status */
#define STS_BUSY 0x01
#define STS_INTR 0x02
#define STS_DEV_ERR 0x04
#define STS_FAILED 0x10
#define STS_IN_USE 0x40
#define STS_BYTE_DONE 0x80
#define STS_END 0x1e /* any way a transaction ends */
/* Host Control */
#define CNT_INTREN 0x01
#define CNT_KILL 0x02
#define CNT_PROTOCOL(cnt) ((cnt) >> 2 & 7)
#define CNT_LAST_BYTE 0x20
#define CNT_START 0x40
#define CNT_KEPT 0xbf
/* Auxiliary Control */
#define AUX_E32B 0x02 /* blocks go through the buffer */
#define AUX_KEPT 0x03

enum { QUICK, BYTE, BYTE_DATA, WORD_DATA, PROCESS_CALL, BLOCK, I2C_READ };

static void update_irq(SmbusHost *h)
{
    if (h->irq != NULL) {
        h->irq(h->opaque, (h->cnt & CNT_INTREN) && (h->sts & (STS_END | STS_BYTE_DONE)));
    }
}

static const SmbusSlave *addressed(const SmbusHost *h)
{
    for (unsigned n = 0; n < h->slaves; n++) {
        if (h->slave[n]->address == h->add >> 1) {
            return h->slave[n];
        }
    }
    return NULL;
}

static void end(SmbusHost *h, uint8_t why)
{
    h->bytewise = false;
    h->sts = (uint8_t)((h->sts & ~STS_BUSY) | why);
}

static void put(const SmbusSlave *s, const uint8_t *bytes, unsigned n)
{
    s->begin(s->opaque, false);
    while (n-- > 0) {
        s->put(s->opaque, *bytes++);
    }
}

/* reads - the direction of a block; an I2C read reads whatever bit 0 says. */
static bool reads(const SmbusHost *h)
{
    return (h->add & 1) || CNT_PROTOCOL(h->cnt) == I2C_READ;
}

/* simple - what has a fixed number of bytes: @out are written after the address, @in read into D0 and D1. */
static void simple(SmbusHost *h, const SmbusSlave *s, unsigned out, unsigned in)
{
    const uint8_t bytes[3] = { h->cmd, h->d0, h->d1 };

    if (out > 0) {
        put(s, bytes, out);
    }
    if (in > 0) {
        s->begin(s->opaque, true);
        h->d0 = s->get(s->opaque);
    }
    if (in > 1) {
        h->d1 = s->get(s->opaque);
    }
    end(h, STS_INTR);
}

/* step - the next byte of a block moves, and the guest is asked for more, or given it. LAST_BYTE says that it is the
 * last to be read; other blocks end with the count. */
static void step(SmbusHost *h, const SmbusSlave *s)
{
    if (reads(h)) {
        h->block[0] = s->get(s->opaque);
        h->last = h->cnt & CNT_LAST_BYTE;
    } else {
        s->put(s->opaque, h->block[0]);
    }
    h->moved++;
    h->last |= CNT_PROTOCOL(h->cnt) != I2C_READ && h->moved >= h->d0;
    h->sts |= STS_BYTE_DONE;
}

/* block_all - through the buffer, at once. */
static void block_all(SmbusHost *h, const SmbusSlave *s)
{
    for (unsigned n = 0; n < h->d0; n++) {
        if (h->add & 1) {
            h->block[n] = s->get(s->opaque);
        } else {
            s->put(s->opaque, h->block[n]);
        }
    }
    h->index = 0;
    end(h, STS_INTR);
}

static void block(SmbusHost *h, const SmbusSlave *s)
{
    bool i2c = CNT_PROTOCOL(h->cnt) == I2C_READ;
    uint8_t first[2] = { i2c ? h->d1 : h->cmd, h->d0 };

    put(s, first, reads(h) ? 1 : 2);
    if (reads(h)) {
        s->begin(s->opaque, true);
        h->d0 = i2c ? h->d0 : s->get(s->opaque);
    }
    if (!i2c && (h->d0 == 0 || h->d0 > SMBUS_BLOCK)) { /* SMBus 2.0, "Block Write/Read": 1 to 32 */
        end(h, STS_DEV_ERR);
    } else if (!i2c && (!h->ich9 || (h->aux & AUX_E32B))) {
        block_all(h, s);
    } else {
        h->moved = 0;
        h->last = false;
        h->bytewise = true;
        step(h, s);
    }
}

static void start(SmbusHost *h)
{
    const SmbusSlave *s = addressed(h);
    bool read = h->add & 1;

    h->sts |= STS_BUSY;
    if (s == NULL) {
        end(h, STS_DEV_ERR); /* "Unclaimed Cycle" */
        return;
    }
    switch (CNT_PROTOCOL(h->cnt)) {
    case QUICK:
        s->begin(s->opaque, read);
        end(h, STS_INTR);
        break;
    case BYTE:
        simple(h, s, read ? 0 : 1, read ? 1 : 0);
        break;
    case BYTE_DATA:
        simple(h, s, read ? 1 : 2, read ? 1 : 0);
        break;
    case WORD_DATA:
        simple(h, s, read ? 1 : 3, read ? 2 : 0);
        break;
    case BLOCK:
        block(h, s);
        break;
    case PROCESS_CALL:
    case I2C_READ:
        if (!h->ich9) {
            end(h, STS_DEV_ERR);
        } else if (CNT_PROTOCOL(h->cnt) == I2C_READ) {
            block(h, s);
        } else {
            simple(h, s, 3, 2);
        }
        break;
    default:
        end(h, STS_DEV_ERR); /* "Illegal Command Field" */
        break;
    }
}

static void write_cnt(SmbusHost *h, uint8_t val, bool enabled)
{
    h->cnt = val & CNT_KEPT;
    if ((val & CNT_KILL) && (h->sts & STS_BUSY)) {
        end(h, STS_FAILED);
    } else if ((val & CNT_START) && enabled && !(val & CNT_KILL) && !(h->sts & (STS_BUSY | STS_END))) {
        start(h); /* nothing starts before the end of the last one was taken note of */
    }
}

/* write_sts - bits are cleared by ones; BYTE_DONE_STS lets the next byte of a block go. */
static void write_sts(SmbusHost *h, uint8_t val)
{
    bool go = (h->sts & STS_BYTE_DONE) && (val & STS_BYTE_DONE) && h->bytewise;
    const SmbusSlave *s = addressed(h);

    if (val & STS_IN_USE) {
        h->in_use = false;
    }
    h->sts &= (uint8_t)~(val & (STS_END | STS_BYTE_DONE));
    if (go && (s == NULL || h->last)) {
        end(h, s == NULL ? STS_DEV_ERR : STS_INTR);
    } else if (go) {
        step(h, s);
    }
}

uint8_t smbus_read(SmbusHost *h, unsigned offset)
{
    uint8_t val;

    switch (offset) {
    case R_STS:
        val = h->sts | (h->in_use ? STS_IN_USE : 0);
        h->in_use = h->ich9; /* "after the first read, subsequent reads will return a 1" */
        return val;
    case R_CNT:
        h->index = 0; /* "a read to this register will clear the byte pointer" */
        return h->cnt;
    case R_CMD:
        return h->cmd;
    case R_ADD:
        return h->add;
    case R_D0:
        return h->d0;
    case R_D1:
        return h->d1;
    case R_BLOCK:
        if (h->bytewise) {
            return h->block[0];
        }
        val = h->block[h->index];
        h->index = (h->index + 1) % SMBUS_BLOCK;
        return val;
    case R_AUX_CTL:
        return h->aux;
    default:
        return 0;
    }
}

static void write_block(SmbusHost *h, uint8_t val)
{
    bool buffer = !h->ich9 || (h->aux & AUX_E32B);

    h->block[buffer ? h->index : 0] = val;
    h->index = buffer ? (h->index + 1) % SMBUS_BLOCK : 0;
}

void smbus_write(SmbusHost *h, unsigned offset, uint8_t val, bool enabled)
{
    switch (offset) {
    case R_STS:
        write_sts(h, val);
        break;
    case R_CNT:
        write_cnt(h, val, enabled);
        break;
    case R_CMD:
        h->cmd = val;
        break;
    case R_ADD:
        h->add = val;
        break;
    case R_D0:
        h->d0 = val;
        break;
    case R_D1:
        h->d1 = val;
        break;
    case R_BLOCK:
        write_block(h, val);
        break;
    case R_AUX_CTL:
        h->aux = h->ich9 ? val & AUX_KEPT : 0;
        break;
    default:
        break;
    }
    update_irq(h);
}

void smbus_add(SmbusHost *h, const SmbusSlave *s)
{
    if (h->slaves < SMBUS_SLAVES) {
        h->slave[h->slaves++] = s;
    }
}

void smbus_reset(SmbusHost *h)
{
    h->sts = h->cnt = h->cmd = h->add = h->d0 = h->d1 = h->aux = h->index = h->moved = 0;
    memset(h->block, 0, sizeof(h->block));
    h->bytewise = h->last = h->in_use = false;
    update_irq(h);
}

void smbus_post_load(SmbusHost *h)
{
    h->index %= SMBUS_BLOCK;
    h->bytewise &= h->ich9;
    h->cnt &= CNT_KEPT;
}

const StateField smbus_host_fields[] = {
    STATE_U8(SmbusHost, sts), STATE_U8(SmbusHost, cnt), STATE_U8(SmbusHost, cmd), STATE_U8(SmbusHost, add),
    STATE_U8(SmbusHost, d0), STATE_U8(SmbusHost, d1), STATE_U8(SmbusHost, aux), STATE_BYTES(SmbusHost, block),
    STATE_U8(SmbusHost, index), STATE_U8(SmbusHost, moved), STATE_BOOL(SmbusHost, bytewise), STATE_BOOL(SmbusHost, last),
    STATE_BOOL(SmbusHost, in_use),
    STATE_END,
};
