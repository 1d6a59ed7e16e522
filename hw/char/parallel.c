/*
 * A parallel port: the standard (SPP) port of a PC/AT with a printer on it that takes each byte.
 *
 * Sources: IBM PC/AT technical reference, "Serial/Parallel Adapter"; IEEE 1284-1994, "Compatibility mode"
 * (STROBE, BUSY, ACK). Not modelled: bidirectional, EPP and ECP modes; the direction bit has no effect.
 */
#include "hw/char/parallel.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "chardev/chardev.h"
#include "hw/board.h"
#include "hw/char/trace.h"

/* Status; those of negative logic are high at rest */
#define STATUS_NOT_BUSY 0x80
#define STATUS_NOT_ACK 0x40
#define STATUS_SELECTED 0x10
#define STATUS_NOT_ERROR 0x08
#define STATUS_UNUSED 0x07
/* Control */
#define CTRL_STROBE 0x01
#define CTRL_INIT 0x04 /* 0: the printer is being reset */
#define CTRL_IRQ 0x10
#define CTRL_UNUSED 0xc0

#define PRINT_NS 5000      /* a fast printer */
#define RETRY_NS 1000000   /* the line takes nothing now */
#define PORT_AUTO 0xffffffffu

typedef struct Parallel {
    Device dev;
    uint32_t index, io_base, irq_number; /* properties: constant after realize */
    struct Chardev *chr;
    IrqLine irq;
    uint8_t data, control;
    bool busy;        /* a byte is with the printer */
    uint8_t printing; /* that byte */
    bool acked;       /* ACK has come since the status was read: IRQ */
    Timer timer;
    IoRegion io;
} Parallel;

static void parallel_update(Parallel *s)
{
    irq_set(&s->irq, s->acked && (s->control & CTRL_IRQ));
}

static void parallel_print(void *opaque)
{
    Parallel *s = opaque;

    if (chardev_write(s->chr, &s->printing, 1) == 0) {
        timer_arm(&s->timer, clock_now(CLK_VIRTUAL) + RETRY_NS);
        return;
    }
    s->busy = false;
    s->acked = true;
    parallel_update(s);
}

static uint8_t parallel_status(Parallel *s)
{
    s->acked = false;
    parallel_update(s);
    return (uint8_t)((s->busy ? 0 : STATUS_NOT_BUSY) | STATUS_NOT_ACK | STATUS_SELECTED | STATUS_NOT_ERROR |
                     STATUS_UNUSED);
}

static void parallel_control(Parallel *s, uint8_t val)
{
    uint8_t rise = val & (uint8_t)~s->control;

    s->control = val;
    if (!(val & CTRL_INIT)) {
        timer_cancel(&s->timer);
        s->busy = s->acked = false;
    } else if ((rise & CTRL_STROBE) && !s->busy) {
        trace_parallel_print(s->data);
        s->busy = true;
        s->printing = s->data;
        timer_arm(&s->timer, clock_now(CLK_VIRTUAL) + PRINT_NS);
    }
    parallel_update(s);
}

static uint64_t parallel_read(void *opaque, uint64_t offset, unsigned size)
{
    Parallel *s = opaque;

    switch (offset) {
    case 0: return s->data;
    case 1: return parallel_status(s);
    case 2: return s->control | CTRL_UNUSED;
    default: return 0xff;
    }
}

static void parallel_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Parallel *s = opaque;

    if (offset == 0) {
        s->data = (uint8_t)val;
    } else if (offset == 2) {
        parallel_control(s, (uint8_t)val & (uint8_t)~CTRL_UNUSED);
    }
}

static const IoOps parallel_ops = { .read = parallel_read, .write = parallel_write, .max_size = 1 };

void parallel_set_chardev(Device *dev, struct Chardev *chr)
{
    container_of(dev, Parallel, dev)->chr = chr;
}

static const CharFront parallel_front = { 0 }; /* a printer says nothing */

static bool parallel_realize(Device *dev, Error **errp)
{
    static const uint16_t ports[3] = { 0x378, 0x278, 0x3bc };
    Parallel *s = container_of(dev, Parallel, dev);
    Board *board = dev->board;

    if (s->index == PORT_AUTO) {
        s->index = 0;
    }
    if (s->index >= ARRAY_SIZE(ports)) {
        error_set(errp, "isa-parallel: index %u is not 0 to 2", s->index);
        return false;
    }
    if (s->io_base == PORT_AUTO) {
        s->io_base = ports[s->index];
    }
    if (s->irq_number > 15 || s->io_base > 0xfffc) {
        error_set(errp, "isa-parallel: irq %u, iobase 0x%x: not on an ISA bus", s->irq_number, s->io_base);
        return false;
    }
    timer_init(&s->timer, CLK_VIRTUAL, parallel_print, s, &machine_lock_guard);
    s->irq = board != NULL ? board->isa_irq[s->irq_number] : (IrqLine){ 0 };
    io_region_init(&s->io, &parallel_ops, s, "parallel", 3);
    if (!port_map(&s->io, (uint16_t)s->io_base, errp)) {
        return false;
    }
    if (s->chr != NULL && !chardev_attach(s->chr, &parallel_front, s, errp)) {
        port_unmap(&s->io);
        return false;
    }
    return true;
}

static void parallel_unrealize(Device *dev)
{
    Parallel *s = container_of(dev, Parallel, dev);

    timer_cancel(&s->timer);
    if (s->chr != NULL) {
        chardev_detach(s->chr, s);
    }
    port_unmap(&s->io);
}

static void parallel_reset(Device *dev)
{
    Parallel *s = container_of(dev, Parallel, dev);

    timer_cancel(&s->timer);
    s->data = 0;
    s->control = CTRL_INIT | 0x08; /* selected, not in reset */
    s->busy = s->acked = false;
    parallel_update(s);
}

static bool parallel_post_load(Device *dev, Error **errp)
{
    parallel_update(container_of(dev, Parallel, dev));
    return true;
}

static const Property parallel_props[] = {
    PROP_U32("index", Parallel, index, PORT_AUTO, "0 to 2: LPT1 to LPT3"),
    PROP_U32("iobase", Parallel, io_base, PORT_AUTO, "first of three ports"),
    PROP_U32("irq", Parallel, irq_number, 7, "ISA interrupt"),
    PROP_CHARDEV("chardev", Parallel, chr, "where the bytes go"),
    PROP_END,
};
static const StateField parallel_fields[] = {
    STATE_U8(Parallel, data),     STATE_U8(Parallel, control), STATE_BOOL(Parallel, busy),
    STATE_U8(Parallel, printing), STATE_BOOL(Parallel, acked), STATE_TIMER(Parallel, timer),
    STATE_END,
};

const DeviceClass parallel_class = {
    .name = "isa-parallel",
    .desc = "parallel port",
    .size = sizeof(Parallel),
    .bus = BUS_ISA,
    .user_creatable = true,
    .props = parallel_props,
    .realize = parallel_realize,
    .unrealize = parallel_unrealize,
    .reset = parallel_reset,
    .fields = parallel_fields,
    .post_load = parallel_post_load,
};
