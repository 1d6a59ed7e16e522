/*
 * ib700: the watchdog of iBASE's IB700 board. Source: IB700 User's Manual, "Watchdog Timer Configuration": a write to port
 * 443h starts it, or starts it anew, with 30 - 2 n seconds for the value n (0 to 15); a write to port 441h stops it.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/device.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/board.h"
#include "hw/watchdog/trace.h"

enum { PORT_STOP = 0x441, PORT_START = 0x443 };

typedef struct Ib700 {
    Device dev;
    IoRegion stop, start;
    Timer timer;
} Ib700;

static void on_zero(void *opaque)
{
    Ib700 *s = opaque;
    Board *board = s->dev.board;

    trace_watchdog_zero("ib700", 0);
    if (board != NULL && board->watchdog_expired != NULL) {
        board->watchdog_expired();
    }
}

static uint64_t ib700_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0xff; /* they are for writing */
}

static void ib700_start(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    Ib700 *s = opaque;

    timer_arm(&s->timer, clock_now(CLK_VIRTUAL) + (int64_t)(30 - 2 * (val & 15)) * 1000000000);
}

static void ib700_stop(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    timer_cancel(&((Ib700 *)opaque)->timer);
}

static const IoOps start_ops = { .read = ib700_read, .write = ib700_start, .max_size = 1 };
static const IoOps stop_ops = { .read = ib700_read, .write = ib700_stop, .max_size = 1 };

static bool ib700_realize(Device *dev, struct Error **errp)
{
    Ib700 *s = container_of(dev, Ib700, dev);

    timer_init(&s->timer, CLK_VIRTUAL, on_zero, s, &machine_lock_guard);
    io_region_init(&s->stop, &stop_ops, s, "ib700-stop", 1);
    io_region_init(&s->start, &start_ops, s, "ib700-start", 1);
    if (!port_map(&s->stop, PORT_STOP, errp)) {
        return false;
    }
    if (!port_map(&s->start, PORT_START, errp)) {
        port_unmap(&s->stop);
        return false;
    }
    return true;
}

static void ib700_unrealize(Device *dev)
{
    Ib700 *s = container_of(dev, Ib700, dev);

    timer_cancel(&s->timer);
    port_unmap(&s->start);
    port_unmap(&s->stop);
}

static void ib700_reset(Device *dev)
{
    timer_cancel(&container_of(dev, Ib700, dev)->timer);
}

static const StateField ib700_fields[] = { STATE_TIMER(Ib700, timer), STATE_END };

extern const DeviceClass ib700_class;
const DeviceClass ib700_class = {
    .name = "ib700",
    .desc = "watchdog of iBASE's IB700 board",
    .size = sizeof(Ib700),
    .bus = BUS_ISA,
    .user_creatable = true,
    .fields = ib700_fields,
    .realize = ib700_realize,
    .unrealize = ib700_unrealize,
    .reset = ib700_reset,
};
