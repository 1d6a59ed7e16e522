/*
 * Port 92h: A20 gate and fast reset, as of the PS/2 and every PC since.
 *
 * Source: Intel 82371SB data sheet, "Port 92 register".
 */
#include "hw/misc/port92.h"

#include "base/mem.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/board.h"

#define P92_RESET 0x01
#define P92_A20 0x02

typedef struct Port92 {
    Device dev;
    uint8_t val;
    void (*a20)(void *opaque, bool on); /* wiring */
    void *opaque;
    IoRegion io;
} Port92;

void port92_connect(Device *dev, void (*a20)(void *opaque, bool on), void *opaque)
{
    Port92 *s = container_of(dev, Port92, dev);

    s->a20 = a20;
    s->opaque = opaque;
}

void port92_set_a20(Device *dev, bool on)
{
    Port92 *s = container_of(dev, Port92, dev);
    uint8_t old = s->val;

    s->val = (uint8_t)((s->val & ~P92_A20) | (on ? P92_A20 : 0));
    if (((old ^ s->val) & P92_A20) && s->a20 != NULL) {
        s->a20(s->opaque, on);
    }
}

bool port92_a20(Device *dev)
{
    return (container_of(dev, Port92, dev)->val & P92_A20) != 0;
}

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((Port92 *)opaque)->val;
}

static void port92_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Port92 *s = opaque;
    Board *board = s->dev.board;
    bool reset = (val & P92_RESET) && !(s->val & P92_RESET);

    port92_set_a20(&s->dev, (val & P92_A20) != 0);
    s->val = (uint8_t)((val & ~P92_A20) | (s->val & P92_A20));
    if (reset && board != NULL && board->reset_request != NULL) {
        board->reset_request(); /* "a 0 to 1 transition pulses INIT" */
    }
}

static const IoOps port92_ops = { .read = port92_read, .write = port92_write, .max_size = 1 };

static bool port92_realize(Device *dev, struct Error **errp)
{
    Port92 *s = container_of(dev, Port92, dev);

    io_region_init(&s->io, &port92_ops, s, "port92", 1);
    return port_map(&s->io, 0x92, errp);
}

static void port92_unrealize(Device *dev)
{
    port_unmap(&container_of(dev, Port92, dev)->io);
}

/* A20 is open after reset, as kernels that are started without firmware expect. */
static void port92_reset(Device *dev)
{
    Port92 *s = container_of(dev, Port92, dev);

    s->val &= P92_A20;
    port92_set_a20(dev, true);
}

static const StateField port92_fields[] = { STATE_U8(Port92, val), STATE_END };

static bool port92_post_load(Device *dev, struct Error **errp)
{
    Port92 *s = container_of(dev, Port92, dev);

    if (s->a20 != NULL) {
        s->a20(s->opaque, (s->val & P92_A20) != 0);
    }
    return true;
}

const DeviceClass port92_class = {
    .name = "port92",
    .desc = "port 92h: A20 gate and fast reset",
    .size = sizeof(Port92),
    .realize = port92_realize,
    .unrealize = port92_unrealize,
    .reset = port92_reset,
    .fields = port92_fields,
    .post_load = port92_post_load,
};
