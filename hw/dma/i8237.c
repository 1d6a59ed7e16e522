/*
 * The two 8237A DMA controllers of a PC/AT: channels 0 to 3 move bytes, 4 cascades the first controller, 5 to 7
 * move words.
 *
 * Sources: Intel 8237A data sheet (headings quoted); IBM PC/AT technical reference, "DMA controller" and "Page
 * register addresses"; Intel 82371SB (PIIX3) data sheet, "DMA registers". Not modelled: memory-to-memory
 * transfers, compressed timing, and the extended write timing, which no PC uses.
 */
#include "hw/dma/i8237.h"

#include "base/error.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/dma/trace.h"

/* "Mode register" */
#define MODE_TYPE 0x0c /* of transfer */
#define MODE_WRITE 0x04 /* device to memory */
#define MODE_READ 0x08
#define MODE_AUTO 0x10
#define MODE_DOWN 0x20

#define COMMAND_DISABLE 0x04 /* "Command register" */

typedef struct DmaChannel {
    uint16_t base_address, base_count;
    uint16_t address, count; /* current */
    uint8_t mode, page;
} DmaChannel;

static const StateField channel_fields[] = {
    STATE_U16(DmaChannel, base_address), STATE_U16(DmaChannel, base_count),
    STATE_U16(DmaChannel, address),      STATE_U16(DmaChannel, count),
    STATE_U8(DmaChannel, mode),          STATE_U8(DmaChannel, page),
    STATE_END,
};

typedef struct DmaClient {
    void (*ready)(void *opaque);
    void *opaque;
} DmaClient;

struct IsaDma {
    Device dev;
    DmaChannel channels[8];
    uint8_t command[2], mask[2];
    uint8_t status[2];   /* bits 3:0, terminal counts */
    uint8_t request[2];  /* software requests */
    uint8_t high_byte[2]; /* the flip-flop: 1, the next access is the high byte */
    uint8_t scratch[16]; /* page registers that belong to no channel */
    uint8_t dreq;        /* driven by the devices */
    DmaClient clients[8]; /* wiring */
    IoRegion io[2], io_page;
};

IsaDma *i8237_dma(Device *dev)
{
    return container_of(dev, IsaDma, dev);
}

/* ---- transfers ---- */

bool isa_dma_ready(const IsaDma *d, unsigned n)
{
    unsigned k = n >> 2;

    return (d->dreq >> n & 1) && !(d->mask[k] >> (n & 3) & 1) && !(d->command[k] & COMMAND_DISABLE) &&
           (k == 1 || !(d->mask[1] & 1)); /* the first controller is behind channel 4 */
}

static void dma_poll(IsaDma *d)
{
    for (unsigned n = 0; n < 8; n++) {
        if (n != 4 && d->clients[n].ready != NULL && isa_dma_ready(d, n)) {
            d->clients[n].ready(d->clients[n].opaque);
        }
    }
}

void isa_dma_connect(IsaDma *d, unsigned n, void (*ready)(void *opaque), void *opaque)
{
    d->clients[n] = (DmaClient){ ready, opaque };
    if (ready == NULL) {
        d->dreq &= (uint8_t)~BIT(n);
    }
}

void isa_dma_request(IsaDma *d, unsigned n, bool on)
{
    d->dreq = (uint8_t)(on ? d->dreq | BIT(n) : d->dreq & ~BIT(n));
    if (on && d->clients[n].ready != NULL && isa_dma_ready(d, n)) {
        d->clients[n].ready(d->clients[n].opaque);
    }
}

/* dma_address - of the next byte or word: the page register gives bits 23:16, or 23:17 for words, which do not
 * carry over. */
static hwaddr dma_address(const DmaChannel *c, unsigned n)
{
    return n < 4 ? (hwaddr)c->page << 16 | c->address
                 : (hwaddr)(c->page & 0xfe) << 16 | (hwaddr)c->address << 1;
}

/* dma_terminal - "Terminal count": note it, and begin anew or stop. */
static void dma_terminal(IsaDma *d, unsigned n)
{
    DmaChannel *c = &d->channels[n];

    trace_dma_terminal(n);
    d->status[n >> 2] |= (uint8_t)BIT(n & 3);
    d->request[n >> 2] &= (uint8_t)~BIT(n & 3);
    if (c->mode & MODE_AUTO) { /* "Autoinitialize" */
        c->address = c->base_address;
        c->count = c->base_count;
    } else {
        d->mask[n >> 2] |= (uint8_t)BIT(n & 3);
    }
}

/* dma_move - one unit; @write: from the device. */
static void dma_move(const DmaChannel *c, unsigned n, uint8_t *buf, unsigned unit, bool write)
{
    uint8_t type = c->mode & MODE_TYPE;

    if (write && type == MODE_WRITE) {
        dma_write(dma_address(c, n), buf, unit);
    } else if (!write && type == MODE_READ) {
        dma_read(dma_address(c, n), buf, unit);
    } else if (!write) {
        memset(buf, 0xff, unit);
    }
}

static uint32_t dma_transfer(IsaDma *d, unsigned n, uint8_t *buf, uint32_t len, bool write, bool *tc)
{
    DmaChannel *c = &d->channels[n];
    unsigned unit = n < 4 ? 1 : 2;
    uint32_t done = 0;

    *tc = false;
    while (len - done >= unit && !*tc && isa_dma_ready(d, n)) {
        dma_move(c, n, buf + done, unit, write);
        done += unit;
        c->address = (uint16_t)(c->mode & MODE_DOWN ? c->address - 1 : c->address + 1);
        *tc = c->count-- == 0; /* "the count goes from zero to FFFFH" */
        if (*tc) {
            dma_terminal(d, n);
        }
    }
    return done;
}

uint32_t isa_dma_put(IsaDma *d, unsigned n, const void *buf, uint32_t len, bool *tc)
{
    return dma_transfer(d, n, (uint8_t *)buf, len, true, tc);
}

uint32_t isa_dma_get(IsaDma *d, unsigned n, void *buf, uint32_t len, bool *tc)
{
    return dma_transfer(d, n, buf, len, false, tc);
}

/* ---- registers ---- */

/* dma_half - the byte of a 16-bit register that the flip-flop stands at; it toggles. */
static unsigned dma_half(IsaDma *d, unsigned k)
{
    unsigned shift = d->high_byte[k] ? 8 : 0;

    d->high_byte[k] ^= 1;
    return shift;
}

static void dma_master_clear(IsaDma *d, unsigned k)
{
    d->command[k] = d->status[k] = d->request[k] = d->high_byte[k] = 0;
    d->mask[k] = 0x0f; /* "Master clear": as a hardware reset */
}

static uint8_t dma_read_reg(IsaDma *d, unsigned k, unsigned reg)
{
    DmaChannel *c = &d->channels[k * 4 + (reg >> 1 & 3)];
    uint8_t val;

    switch (reg) {
    case 0 ... 7:
        return (uint8_t)((reg & 1 ? c->count : c->address) >> dma_half(d, k));
    case 8: /* "Status register": reading clears the terminal counts */
        val = (uint8_t)(d->status[k] | (d->dreq >> (4 * k) & 0x0f) << 4 | d->request[k] << 4);
        d->status[k] = 0;
        return val;
    case 0xf: /* PIIX3: all masks */
        return d->mask[k] | 0xf0;
    default: /* temporary register, and what can only be written */
        return 0;
    }
}

static void dma_write_channel(IsaDma *d, unsigned k, unsigned reg, uint8_t val)
{
    DmaChannel *c = &d->channels[k * 4 + (reg >> 1)];
    uint16_t *base = reg & 1 ? &c->base_count : &c->base_address;
    unsigned shift = dma_half(d, k);

    *base = (uint16_t)((*base & ~(0xff << shift)) | val << shift);
    *(reg & 1 ? &c->count : &c->address) = *base; /* written together */
}

static void dma_write_reg(IsaDma *d, unsigned k, unsigned reg, uint8_t val)
{
    uint8_t bit = (uint8_t)BIT(val & 3);

    switch (reg) {
    case 0 ... 7: dma_write_channel(d, k, reg, val); return;
    case 8: d->command[k] = val; break;
    case 9: d->request[k] = val & 4 ? d->request[k] | bit : d->request[k] & (uint8_t)~bit; break;
    case 0xa: d->mask[k] = val & 4 ? d->mask[k] | bit : d->mask[k] & (uint8_t)~bit; break;
    case 0xb: d->channels[k * 4 + (val & 3)].mode = val & 0xfc; break;
    case 0xc: d->high_byte[k] = 0; break;
    case 0xd: dma_master_clear(d, k); break;
    case 0xe: d->mask[k] = 0; break;
    default: d->mask[k] = val & 0x0f;
    }
    dma_poll(d);
}

static uint64_t dma_read_first(void *opaque, uint64_t offset, unsigned size)
{
    return dma_read_reg(opaque, 0, (unsigned)offset);
}

static void dma_write_first(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    trace_dma_write(0, (unsigned)offset, (uint8_t)val);
    dma_write_reg(opaque, 0, (unsigned)offset, (uint8_t)val);
}

/* The second controller hangs one address line higher: its registers stand at every other port. */
static uint64_t dma_read_second(void *opaque, uint64_t offset, unsigned size)
{
    return dma_read_reg(opaque, 1, (unsigned)offset >> 1);
}

static void dma_write_second(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    trace_dma_write(1, (unsigned)offset >> 1, (uint8_t)val);
    dma_write_reg(opaque, 1, (unsigned)offset >> 1, (uint8_t)val);
}

/* dma_page - the register at port 80h + @n: a channel's page, or one that only keeps what is written. */
static uint8_t *dma_page(IsaDma *d, unsigned n)
{
    static const int8_t channel[16] = { -1, 2, 3, 1, -1, -1, -1, 0, -1, 6, 7, 5, -1, -1, -1, 4 };

    return channel[n] >= 0 ? &d->channels[channel[n]].page : &d->scratch[n];
}

static uint64_t dma_read_page(void *opaque, uint64_t offset, unsigned size)
{
    return *dma_page(opaque, (unsigned)offset);
}

static void dma_write_page(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    *dma_page(opaque, (unsigned)offset) = (uint8_t)val;
}

static const IoOps first_ops = { .read = dma_read_first, .write = dma_write_first, .max_size = 1 };
static const IoOps second_ops = { .read = dma_read_second, .write = dma_write_second, .max_size = 1 };
static const IoOps page_ops = { .read = dma_read_page, .write = dma_write_page, .max_size = 1 };

/* ---- device ---- */

static bool i8237_realize(Device *dev, Error **errp)
{
    IsaDma *d = container_of(dev, IsaDma, dev);

    io_region_init(&d->io[0], &first_ops, d, "dma1", 16);
    io_region_init(&d->io[1], &second_ops, d, "dma2", 32);
    io_region_init(&d->io_page, &page_ops, d, "dma-page", 16);
    return port_map(&d->io[0], 0x00, errp) && port_map(&d->io[1], 0xc0, errp) &&
           port_map(&d->io_page, 0x80, errp);
}

static void i8237_unrealize(Device *dev)
{
    IsaDma *d = container_of(dev, IsaDma, dev);

    port_unmap(&d->io_page);
    port_unmap(&d->io[1]);
    port_unmap(&d->io[0]);
}

static void i8237_reset(Device *dev)
{
    IsaDma *d = container_of(dev, IsaDma, dev);

    for (unsigned n = 0; n < 8; n++) {
        d->channels[n] = (DmaChannel){ .page = 0 };
    }
    dma_master_clear(d, 0);
    dma_master_clear(d, 1);
    memset(d->scratch, 0, sizeof(d->scratch));
}

static const StateField i8237_fields[] = {
    STATE_ARRAY(IsaDma, channels, channel_fields),
    STATE_BYTES(IsaDma, command),
    STATE_BYTES(IsaDma, mask),
    STATE_BYTES(IsaDma, status),
    STATE_BYTES(IsaDma, request),
    STATE_BYTES(IsaDma, high_byte),
    STATE_BYTES(IsaDma, scratch),
    STATE_U8(IsaDma, dreq),
    STATE_END,
};

const DeviceClass i8237_class = {
    .name = "i8237",
    .desc = "8237A DMA controller pair",
    .size = sizeof(IsaDma),
    .realize = i8237_realize,
    .unrealize = i8237_unrealize,
    .reset = i8237_reset,
    .fields = i8237_fields,
};
