/*
 * Two 8259A interrupt controllers, cascaded through IRQ 2 as in a PC/AT, with the edge/level
 * control registers of the PIIX (ports 4D0h and 4D1h).
 *
 * Sources: Intel 8259A data sheet (headings quoted); Intel 82371SB (PIIX3) data sheet, "ELCR1" and
 * "ELCR2". As in the PIIX3, LTIM of ICW1 is ignored: the ELCR decides line by line.
 * Not modelled: 8080 call mode, buffered mode. An edge stays latched when its line falls before
 * the acknowledge (the 8259A would answer a spurious IR7).
 */
#include "hw/intc/i8259.h"

#include <inttypes.h>
#include "base/mem.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/intc/trace.h"

typedef struct Pic {
    uint8_t irr, imr, isr;
    uint8_t lines;    /* input levels */
    uint8_t elcr;     /* bit n: level triggered */
    uint8_t base;     /* ICW2, bits 7:3 */
    uint8_t lowest;   /* IR of lowest priority; 7 after initialization */
    uint8_t icw_next; /* 0: operational; 2..4: that ICW is expected at A0=1 */
    uint8_t icw1;
    bool aeoi, rotate_aeoi, sfnm, special_mask, read_isr, poll;
} Pic;

typedef struct PicState {
    Device dev;
    Pic pic[2]; /* 0 is the master */
    IrqLine intr; /* wiring, constant after realize */
    uint64_t taken[16]; /* acknowledged, for info irq; not the guest's */
    IoRegion io[2], io_elcr;
} PicState;

#define ICW1_IC4 0x01
#define ICW1_SNGL 0x02
#define ICW1_INIT 0x10
#define ICW4_AEOI 0x02
#define ICW4_SFNM 0x10
#define OCW3_SELECT 0x08

/* Lines that cannot be level triggered: 0, 1, 2 and 8, 13 (PIIX3, "ELCR1", "ELCR2"). */
static const uint8_t pic_elcr_mask[2] = { 0xf8, 0xde };

/* pic_first - position of the highest-priority bit of @bits, 0 being IR lowest+1; 8 if none. */
static unsigned pic_first(const Pic *p, uint8_t bits)
{
    for (unsigned i = 0; i < 8; i++) {
        if (bits >> ((p->lowest + 1 + i) & 7) & 1) {
            return i;
        }
    }
    return 8;
}

/* pic_pending - the IR that asks for service, or -1. "Interrupt sequence", "Fully nested mode". */
static int pic_pending(const PicState *s, unsigned n)
{
    const Pic *p = &s->pic[n];
    uint8_t in_service = p->isr;
    unsigned req = pic_first(p, p->irr & (uint8_t)~p->imr);

    if (p->special_mask) {
        in_service &= (uint8_t)~p->imr; /* "Special mask mode": masked levels inhibit nothing */
    }
    if (p->sfnm && n == 0) {
        in_service &= (uint8_t)~0x04; /* "Special fully nested mode": the slave may ask again */
    }
    if (req >= pic_first(p, in_service)) {
        return -1;
    }
    return (int)((p->lowest + 1 + req) & 7);
}

static void pic_set_bit(Pic *p, unsigned ir, bool level)
{
    uint8_t bit = (uint8_t)BIT(ir);

    if (p->elcr & bit) {
        p->irr = (uint8_t)(level ? p->irr | bit : p->irr & ~bit);
    } else if (level && !(p->lines & bit)) {
        *(!(p->irr & bit) ? &irq_count.taken : p->imr & bit ? &irq_count.masked : &irq_count.merged) += 1;
        p->irr |= bit;
    }
    p->lines = (uint8_t)(level ? p->lines | bit : p->lines & ~bit);
}

static void pic_update(PicState *s)
{
    bool slave = pic_pending(s, 1) >= 0;

    /* The slave's INT is a level; a new request behind an old one must look like an edge. */
    if (!slave) {
        s->pic[0].irr &= (uint8_t)~0x04;
        s->pic[0].lines &= (uint8_t)~0x04;
    } else {
        s->pic[0].irr |= 0x04;
        s->pic[0].lines |= 0x04;
    }
    irq_set(&s->intr, pic_pending(s, 0) >= 0);
}

static void pic_set_irq(void *opaque, unsigned n, int level)
{
    PicState *s = opaque;

    if (n >= 16 || n == 2) {
        return;
    }
    trace_pic_irq(n, level);
    pic_set_bit(&s->pic[n >> 3], n & 7, level != 0);
    pic_update(s);
}

/* pic_accept - what INTA does to one chip: set ISR, clear an edge's IRR, automatic EOI. */
static void pic_accept(Pic *p, unsigned ir)
{
    uint8_t bit = (uint8_t)BIT(ir);

    if (!(p->elcr & bit)) {
        p->irr &= (uint8_t)~bit;
    }
    if (p->aeoi) {
        if (p->rotate_aeoi) {
            p->lowest = (uint8_t)ir;
        }
    } else {
        p->isr |= bit;
    }
}

unsigned pic_ack(Device *dev)
{
    PicState *s = container_of(dev, PicState, dev);
    int ir = pic_pending(s, 0), ir2;
    unsigned vector;

    if (ir < 0) {
        vector = s->pic[0].base + 7u; /* "the 8259A will issue an interrupt level 7" */
    } else if (ir != 2) {
        pic_accept(&s->pic[0], (unsigned)ir);
        s->taken[ir]++;
        vector = s->pic[0].base + (unsigned)ir;
    } else {
        ir2 = pic_pending(s, 1);
        pic_accept(&s->pic[0], 2);
        if (ir2 < 0) {
            ir2 = 7;
        } else {
            pic_accept(&s->pic[1], (unsigned)ir2);
            s->taken[8 + ir2]++;
        }
        vector = s->pic[1].base + (unsigned)ir2;
    }
    pic_update(s);
    trace_pic_ack(vector);
    if (s->pic[0].aeoi && irq_done_wanted()) {
        irq_tell_done();
    }
    return vector;
}

/* "Initialization Command Word 1": what a) to f) say. */
static void pic_icw1(Pic *p, uint8_t val)
{
    p->icw1 = val;
    p->irr &= p->elcr & p->lines; /* the edge sense circuit is reset */
    p->imr = 0;
    p->isr = 0;
    p->lowest = 7;
    p->special_mask = false;
    p->read_isr = false;
    p->poll = false;
    p->aeoi = false;
    p->rotate_aeoi = false;
    p->sfnm = false;
    p->icw_next = 2;
}

/* "Operation Command Word 2" */
static void pic_ocw2(Pic *p, uint8_t val)
{
    unsigned ir = val & 7, first;

    switch (val >> 5) {
    case 0: /* rotate in automatic EOI mode, clear */
        p->rotate_aeoi = false;
        break;
    case 4: /* rotate in automatic EOI mode, set */
        p->rotate_aeoi = true;
        break;
    case 1: /* non-specific EOI */
    case 5: /* rotate on non-specific EOI */
        first = pic_first(p, p->special_mask ? p->isr & (uint8_t)~p->imr : p->isr);
        if (first < 8) {
            ir = (p->lowest + 1 + first) & 7;
            p->isr &= (uint8_t)~BIT(ir);
            if (val >> 5 == 5) {
                p->lowest = (uint8_t)ir;
            }
        }
        break;
    case 3: /* specific EOI */
        p->isr &= (uint8_t)~BIT(ir);
        break;
    case 7: /* rotate on specific EOI */
        p->isr &= (uint8_t)~BIT(ir);
        p->lowest = (uint8_t)ir;
        break;
    case 6: /* set priority */
        p->lowest = (uint8_t)ir;
        break;
    default: /* 2: no operation */
        break;
    }
}

/* "Operation Command Word 3" */
static void pic_ocw3(Pic *p, uint8_t val)
{
    if (val & 0x40) {
        p->special_mask = (val & 0x20) != 0;
    }
    p->poll = (val & 0x04) != 0;
    if (!p->poll && (val & 0x02)) {
        p->read_isr = val & 0x01;
    }
}

static void pic_write_data(Pic *p, uint8_t val)
{
    switch (p->icw_next) {
    case 2:
        p->base = val & 0xf8;
        p->icw_next = p->icw1 & ICW1_SNGL ? (p->icw1 & ICW1_IC4 ? 4 : 0) : 3;
        break;
    case 3: /* cascade wiring: fixed in a PC */
        p->icw_next = p->icw1 & ICW1_IC4 ? 4 : 0;
        break;
    case 4:
        p->aeoi = (val & ICW4_AEOI) != 0;
        p->sfnm = (val & ICW4_SFNM) != 0;
        p->icw_next = 0;
        break;
    default:
        p->imr = val; /* OCW1 */
        break;
    }
}

static uint64_t pic_read(PicState *s, unsigned n, uint64_t offset)
{
    Pic *p = &s->pic[n];
    int ir;

    if (p->poll) { /* "Poll command": the read acts as an INTA */
        p->poll = false;
        ir = pic_pending(s, n);
        if (ir < 0) {
            return 0;
        }
        pic_accept(p, (unsigned)ir);
        pic_update(s);
        return 0x80u | (unsigned)ir;
    }
    if (offset == 1) {
        return p->imr;
    }
    return p->read_isr ? p->isr : p->irr;
}

static void pic_write(PicState *s, unsigned n, uint64_t offset, uint8_t val)
{
    Pic *p = &s->pic[n];

    trace_pic_write(n, (unsigned)offset, val);
    if (offset == 1) {
        pic_write_data(p, val);
    } else if (val & ICW1_INIT) {
        pic_icw1(p, val);
    } else if (val & OCW3_SELECT) {
        pic_ocw3(p, val);
    } else {
        pic_ocw2(p, val);
    }
    pic_update(s);
    if (irq_done_wanted()) { /* an EOI, a new mask */
        irq_tell_done();
    }
}

static uint64_t pic_read_master(void *opaque, uint64_t offset, unsigned size)
{
    return pic_read(opaque, 0, offset);
}
static uint64_t pic_read_slave(void *opaque, uint64_t offset, unsigned size)
{
    return pic_read(opaque, 1, offset);
}
static void pic_write_master(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    pic_write(opaque, 0, offset, (uint8_t)val);
}
static void pic_write_slave(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    pic_write(opaque, 1, offset, (uint8_t)val);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    PicState *s = opaque;

    return s->pic[offset & 1].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    PicState *s = opaque;
    Pic *p = &s->pic[offset & 1];
    uint8_t now_level;

    p->elcr = (uint8_t)val & pic_elcr_mask[offset & 1];
    /* A level line's request is its level. */
    now_level = p->elcr;
    p->irr = (uint8_t)((p->irr & ~now_level) | (p->lines & now_level));
    pic_update(s);
}

static const IoOps pic_ops[2] = {
    { .read = pic_read_master, .write = pic_write_master, .max_size = 1 },
    { .read = pic_read_slave, .write = pic_write_slave, .max_size = 1 },
};
static const IoOps elcr_ops = { .read = elcr_read, .write = elcr_write, .max_size = 1 };

void pic_connect(Device *dev, IrqLine intr)
{
    container_of(dev, PicState, dev)->intr = intr;
}

IrqLine pic_input(Device *dev, unsigned n)
{
    return (IrqLine){ pic_set_irq, container_of(dev, PicState, dev), n };
}

static bool pic_realize(Device *dev, struct Error **errp)
{
    PicState *s = container_of(dev, PicState, dev);

    io_region_init(&s->io[0], &pic_ops[0], s, "pic", 2);
    io_region_init(&s->io[1], &pic_ops[1], s, "pic2", 2);
    io_region_init(&s->io_elcr, &elcr_ops, s, "elcr", 2);
    if (!port_map(&s->io[0], 0x20, errp)) {
        return false;
    }
    if (!port_map(&s->io[1], 0xa0, errp)) {
        goto fail_slave;
    }
    if (!port_map(&s->io_elcr, 0x4d0, errp)) {
        goto fail_elcr;
    }
    return true;
fail_elcr:
    port_unmap(&s->io[1]);
fail_slave:
    port_unmap(&s->io[0]);
    return false;
}

static void pic_unrealize(Device *dev)
{
    PicState *s = container_of(dev, PicState, dev);

    port_unmap(&s->io_elcr);
    port_unmap(&s->io[1]);
    port_unmap(&s->io[0]);
}

static void pic_reset(Device *dev)
{
    PicState *s = container_of(dev, PicState, dev);

    for (unsigned n = 0; n < 2; n++) {
        uint8_t lines = s->pic[n].lines; /* driven by others */

        s->pic[n] = (Pic){ .lines = lines, .lowest = 7, .imr = 0xff };
    }
    pic_update(s);
}

static const StateField pic_chip_fields[] = {
    STATE_U8(Pic, irr), STATE_U8(Pic, imr), STATE_U8(Pic, isr), STATE_U8(Pic, lines),
    STATE_U8(Pic, elcr), STATE_U8(Pic, base), STATE_U8(Pic, lowest), STATE_U8(Pic, icw_next),
    STATE_U8(Pic, icw1), STATE_BOOL(Pic, aeoi), STATE_BOOL(Pic, rotate_aeoi),
    STATE_BOOL(Pic, sfnm), STATE_BOOL(Pic, special_mask), STATE_BOOL(Pic, read_isr),
    STATE_BOOL(Pic, poll), STATE_END,
};
static const StateField pic_fields[] = { STATE_ARRAY(PicState, pic, pic_chip_fields), STATE_END };

static bool pic_post_load(Device *dev, struct Error **errp)
{
    PicState *s = container_of(dev, PicState, dev);

    for (unsigned n = 0; n < 2; n++) {
        s->pic[n].lowest &= 7;
        s->pic[n].base &= 0xf8;
        s->pic[n].elcr &= pic_elcr_mask[n];
    }
    pic_update(s);
    return true;
}

static void pic_info(Device *dev, const char *topic, FILE *out)
{
    const PicState *s = container_of(dev, PicState, dev);

    if (strcmp(topic, "pic") == 0) {
        for (int n = 1; n >= 0; n--) {
            const Pic *p = &s->pic[n];

            fprintf(out, "pic%d: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x rr_sel=%u elcr=%02x "
                         "fnm=%u\n", n, p->irr, p->imr, p->isr, (p->lowest + 1) & 7, p->base,
                    p->read_isr, p->elcr, p->sfnm);
        }
    } else if (strcmp(topic, "irq") == 0) {
        fprintf(out, "IRQ statistics for isa-i8259:\n");
        for (unsigned n = 0; n < 16; n++) {
            if (s->taken[n] != 0) {
                fprintf(out, "%2u: %" PRIu64 "\n", n, s->taken[n]);
            }
        }
    }
}

const DeviceClass i8259_class = {
    .name = "isa-i8259",
    .desc = "8259A interrupt controller pair",
    .size = sizeof(PicState),
    .realize = pic_realize,
    .unrealize = pic_unrealize,
    .reset = pic_reset,
    .fields = pic_fields,
    .post_load = pic_post_load,
    .info = pic_info,
};
