/*
 * isa-debugcon: one port whose writes go to a character device and whose reads give a fixed byte,
 * by which firmware knows it is there (Bochs' port E9h hack).
 */
#include "base/error.h"
#include "base/mem.h"
#include "bus/device.h"
#include "bus/memory.h"
#include "chardev/chardev.h"

typedef struct DebugCon {
    Device dev;
    uint32_t io_base, readback; /* properties: constant after realize */
    Chardev *chr;
    IoRegion io;
} DebugCon;



static uint64_t debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((DebugCon *)opaque)->readback;
}

static void debugcon_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    uint8_t byte = (uint8_t)val;

    chardev_write(((DebugCon *)opaque)->chr, &byte, 1);
}

/* What the peer sends goes nowhere. */
static size_t debugcon_can_receive(void *opaque)
{
    return 4096;
}

static void debugcon_receive(void *opaque, const uint8_t *buf, size_t len)
{
}

static const CharFront debugcon_front = {
    .can_receive = debugcon_can_receive, .receive = debugcon_receive,
};

static const IoOps debugcon_ops = { .read = debugcon_read, .write = debugcon_write, .max_size = 1 };

static bool debugcon_realize(Device *dev, struct Error **errp)
{
    DebugCon *s = container_of(dev, DebugCon, dev);

    if (s->chr == NULL) {
        error_set(errp, "isa-debugcon: needs a chardev");
        return false;
    }
    if (s->io_base > 0xffff) {
        error_set(errp, "isa-debugcon: iobase 0x%x is not a port", s->io_base);
        return false;
    }
    io_region_init(&s->io, &debugcon_ops, s, "isa-debugcon", 1);
    if (!port_map(&s->io, (uint16_t)s->io_base, errp)) {
        return false;
    }
    if (!chardev_attach(s->chr, &debugcon_front, s, errp)) {
        port_unmap(&s->io);
        return false;
    }
    return true;
}

static void debugcon_unrealize(Device *dev)
{
    DebugCon *s = container_of(dev, DebugCon, dev);

    chardev_detach(s->chr, s);
    port_unmap(&s->io);
}

static const Property debugcon_props[] = {
    PROP_U32("iobase", DebugCon, io_base, 0xe9, "port"),
    PROP_CHARDEV("chardev", DebugCon, chr, "where the bytes go"),
    PROP_U32("readback", DebugCon, readback, 0xe9, "what a read gives"),
    PROP_END,
};

const DeviceClass debugcon_class = {
    .name = "isa-debugcon",
    .desc = "debug console port",
    .size = sizeof(DebugCon),
    .bus = BUS_ISA,
    .user_creatable = true,
    .props = debugcon_props,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
