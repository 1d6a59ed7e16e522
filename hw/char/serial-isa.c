/*
 * A 16550A on the ISA bus: COM1-COM4 of a PC.
 */
#include "hw/char/serial-isa.h"

#include "base/error.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "hw/board.h"
#include "hw/char/serial-16550.h"
#include "hw/char/trace.h"

typedef struct SerialIsa {
    Device dev;
    uint32_t index;    /* properties: constant after realize */
    uint32_t io_base, irq;
    struct Chardev *chr;
    Uart uart;
    IoRegion io;
} SerialIsa;

#define SERIAL_AUTO 0xffffffffu

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t val = uart_read(opaque, (unsigned)offset);

    trace_uart_read((unsigned)offset, val);
    return val;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    trace_uart_write((unsigned)offset, (uint8_t)val);
    uart_write(opaque, (unsigned)offset, (uint8_t)val);
}

static const IoOps serial_ops = { .read = serial_read, .write = serial_write, .max_size = 1 };

void serial_isa_set_chardev(Device *dev, struct Chardev *chr)
{
    container_of(dev, SerialIsa, dev)->chr = chr;
}

static bool serial_isa_realize(Device *dev, struct Error **errp)
{
    static const uint16_t port[4] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    static const uint8_t irq[4] = { 4, 3, 4, 3 };
    SerialIsa *s = container_of(dev, SerialIsa, dev);
    Board *board = dev->board;

    if (s->index == SERIAL_AUTO) {
        s->index = 0;
    }
    if (s->index > 3) {
        error_set(errp, "isa-serial: index %u is not 0 to 3", s->index);
        return false;
    }
    if (s->io_base == SERIAL_AUTO) {
        s->io_base = port[s->index];
    }
    if (s->irq == SERIAL_AUTO) {
        s->irq = irq[s->index];
    }
    if (s->irq > 15 || s->io_base > 0xfff8) {
        error_set(errp, "isa-serial: irq %u, iobase 0x%x: not on an ISA bus", s->irq, s->io_base);
        return false;
    }
    io_region_init(&s->io, &serial_ops, &s->uart, "serial", 8);
    if (!port_map(&s->io, (uint16_t)s->io_base, errp)) {
        return false;
    }
    if (!uart_init(&s->uart, s->chr, board != NULL ? board->isa_irq[s->irq] : (IrqLine){ 0 },
                   errp)) {
        port_unmap(&s->io);
        return false;
    }
    return true;
}

static void serial_isa_unrealize(Device *dev)
{
    SerialIsa *s = container_of(dev, SerialIsa, dev);

    uart_fini(&s->uart);
    port_unmap(&s->io);
}

static void serial_isa_reset(Device *dev)
{
    uart_reset(&container_of(dev, SerialIsa, dev)->uart);
}

static bool serial_isa_post_load(Device *dev, struct Error **errp)
{
    uart_post_load(&container_of(dev, SerialIsa, dev)->uart);
    return true;
}

static const Property serial_isa_props[] = {
    PROP_U32("index", SerialIsa, index, SERIAL_AUTO, "0 to 3: COM1 to COM4"),
    PROP_U32("iobase", SerialIsa, io_base, SERIAL_AUTO, "first of eight ports"),
    PROP_U32("irq", SerialIsa, irq, SERIAL_AUTO, "ISA interrupt"),
    PROP_CHARDEV("chardev", SerialIsa, chr, "where the line goes"),
    PROP_END,
};
static const StateField serial_isa_fields[] = { STATE_STRUCT(SerialIsa, uart, uart_fields),
                                                STATE_END };

const DeviceClass serial_isa_class = {
    .name = "isa-serial",
    .desc = "16550A serial port",
    .size = sizeof(SerialIsa),
    .bus = BUS_ISA,
    .user_creatable = true,
    .props = serial_isa_props,
    .realize = serial_isa_realize,
    .unrealize = serial_isa_unrealize,
    .reset = serial_isa_reset,
    .fields = serial_isa_fields,
    .post_load = serial_isa_post_load,
};
