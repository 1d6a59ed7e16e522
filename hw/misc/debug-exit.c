/*
 * isa-debug-exit: a write of v ends the emulator with exit code (v << 1) | 1. For test images.
 */
#include "base/error.h"
#include "base/mem.h"
#include "bus/device.h"
#include "bus/memory.h"
#include "hw/board.h"

typedef struct DebugExit {
    Device dev;
    uint32_t io_base, io_size; /* properties: constant after realize */
    IoRegion io;
} DebugExit;



static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    DebugExit *s = opaque;
    Board *board = s->dev.board;

    if (board != NULL && board->exit_request != NULL) {
        board->exit_request((int)((uint32_t)val << 1 | 1));
    }
}

static const IoOps debug_exit_ops = {
    .read = debug_exit_read, .write = debug_exit_write, .max_size = 4, .unaligned = true,
};

static bool debug_exit_realize(Device *dev, struct Error **errp)
{
    DebugExit *s = container_of(dev, DebugExit, dev);

    if (s->io_size == 0 || s->io_size > 0x10000 || s->io_base > 0x10000 - s->io_size) {
        error_set(errp, "isa-debug-exit: iobase 0x%x, iosize 0x%x: not in the port space",
                  s->io_base, s->io_size);
        return false;
    }
    io_region_init(&s->io, &debug_exit_ops, s, "isa-debug-exit", s->io_size);
    return port_map(&s->io, (uint16_t)s->io_base, errp);
}

static void debug_exit_unrealize(Device *dev)
{
    port_unmap(&container_of(dev, DebugExit, dev)->io);
}

static const Property debug_exit_props[] = {
    PROP_U32("iobase", DebugExit, io_base, 0x501, "first port"),
    PROP_U32("iosize", DebugExit, io_size, 0x02, "number of ports"),
    PROP_END,
};

const DeviceClass debug_exit_class = {
    .name = "isa-debug-exit",
    .desc = "port that ends the emulator",
    .size = sizeof(DebugExit),
    .bus = BUS_ISA,
    .user_creatable = true,
    .props = debug_exit_props,
    .realize = debug_exit_realize,
    .unrealize = debug_exit_unrealize,
};
