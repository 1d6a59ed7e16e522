/*
 * 8042 keyboard controller of a PC/AT with the auxiliary port's commands of a PS/2, and nothing
 * plugged in: each byte to the keyboard times out, the auxiliary interface fails its test.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary
 * Device Controller". Not modelled yet: keyboard and mouse.
 */
#include "hw/input/i8042.h"

#include "base/mem.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/board.h"
#include "hw/input/trace.h"

#define STATUS_OBF 0x01
#define STATUS_SYS 0x04
#define STATUS_CMD 0x08
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX 0x20
#define STATUS_TIMEOUT 0x40

#define CTR_KBD_IRQ 0x01
#define CTR_AUX_IRQ 0x02
#define CTR_SYS 0x04

typedef struct I8042 {
    Device dev;
    uint8_t status, out; /* output buffer, valid while OBF */
    uint8_t command;     /* waits for its data byte at port 60h; 0 for none */
    uint8_t ram[32];     /* byte 0 is the controller command byte */
    void (*set_a20)(Device *gate, bool on); /* wiring */
    bool (*a20)(Device *gate);
    Device *gate;
    IoRegion io_data, io_command;
} I8042;

static void kbc_update_irq(I8042 *s)
{
    Board *board = s->dev.board;
    bool full = (s->status & STATUS_OBF) != 0, aux = (s->status & STATUS_AUX) != 0;

    if (board != NULL) {
        irq_set(&board->isa_irq[1], full && !aux && (s->ram[0] & CTR_KBD_IRQ));
        irq_set(&board->isa_irq[12], full && aux && (s->ram[0] & CTR_AUX_IRQ));
    }
}

static void kbc_put(I8042 *s, uint8_t val, uint8_t flags)
{
    s->status = (uint8_t)((s->status & ~(STATUS_AUX | STATUS_TIMEOUT)) | STATUS_OBF | flags);
    s->out = val;
    kbc_update_irq(s);
}

static void kbc_set_output_port(I8042 *s, uint8_t val)
{
    Board *board = s->dev.board;

    if (s->set_a20 != NULL) {
        s->set_a20(s->gate, (val & 0x02) != 0);
    }
    if (!(val & 0x01) && board != NULL && board->reset_request != NULL) {
        board->reset_request(); /* bit 0 low: system reset */
    }
}

static void kbc_command(I8042 *s, uint8_t val)
{
    Board *board = s->dev.board;

    trace_kbc_command(val);
    s->command = 0;
    switch (val) {
    case 0x20 ... 0x3f: /* read controller RAM */
        kbc_put(s, s->ram[val & 0x1f], 0);
        break;
    case 0x60 ... 0x7f: /* write controller RAM */
    case 0xd1:          /* write output port */
    case 0xd2:          /* write keyboard output buffer */
    case 0xd3:          /* write auxiliary output buffer */
    case 0xd4:          /* write to auxiliary device */
        s->command = val;
        break;
    case 0xa7:
        s->ram[0] |= 0x20;
        break;
    case 0xa8:
        s->ram[0] &= (uint8_t)~0x20;
        break;
    case 0xa9: /* test auxiliary interface: clock line stuck low, for there is none */
        kbc_put(s, 0x01, 0);
        break;
    case 0xaa: /* self test */
        s->status |= STATUS_SYS;
        kbc_put(s, 0x55, 0);
        break;
    case 0xab: /* test keyboard interface: no error */
        kbc_put(s, 0x00, 0);
        break;
    case 0xad:
        s->ram[0] |= 0x10;
        break;
    case 0xae:
        s->ram[0] &= (uint8_t)~0x10;
        break;
    case 0xc0: /* read input port: keyboard not locked */
        kbc_put(s, 0x80, 0);
        break;
    case 0xd0: /* read output port */
        kbc_put(s, (uint8_t)(0x01 | (s->a20 == NULL || s->a20(s->gate) ? 0x02 : 0) |
                             (s->status & STATUS_OBF ? 0x10 : 0)), 0);
        break;
    case 0xdd: /* A20 off and on, as HP's and others' controllers have it */
    case 0xdf:
        if (s->set_a20 != NULL) {
            s->set_a20(s->gate, val == 0xdf);
        }
        break;
    case 0xf0 ... 0xff: /* pulse output port: bit 0 of the mask low resets */
        if (!(val & 0x01) && board != NULL && board->reset_request != NULL) {
            board->reset_request();
        }
        break;
    default:
        break;
    }
}

static void kbc_data(I8042 *s, uint8_t val)
{
    uint8_t command = s->command;

    trace_kbc_data(val);
    s->command = 0;
    switch (command) {
    case 0x60 ... 0x7f:
        s->ram[command & 0x1f] = val;
        kbc_update_irq(s);
        break;
    case 0xd1:
        kbc_set_output_port(s, val);
        break;
    case 0xd2:
        kbc_put(s, val, 0);
        break;
    case 0xd3: /* without the interface the byte comes back from the keyboard's side */
        kbc_put(s, val ^ 0xff, 0);
        break;
    case 0xd4: /* no device: "general time-out" */
        kbc_put(s, 0xfe, STATUS_AUX | STATUS_TIMEOUT);
        break;
    default: /* to the keyboard, which is not there */
        kbc_put(s, 0xfe, STATUS_TIMEOUT);
        break;
    }
}

static uint64_t kbc_read_data(void *opaque, uint64_t offset, unsigned size)
{
    I8042 *s = opaque;

    s->status &= (uint8_t)~(STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT);
    kbc_update_irq(s);
    return s->out;
}

static void kbc_write_data(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    I8042 *s = opaque;

    s->status &= (uint8_t)~STATUS_CMD;
    kbc_data(s, (uint8_t)val);
}

static uint64_t kbc_read_status(void *opaque, uint64_t offset, unsigned size)
{
    return ((I8042 *)opaque)->status;
}

static void kbc_write_command(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    I8042 *s = opaque;

    s->status |= STATUS_CMD;
    kbc_command(s, (uint8_t)val);
}

static const IoOps kbc_data_ops = {
    .read = kbc_read_data, .write = kbc_write_data, .max_size = 1,
};
static const IoOps kbc_command_ops = {
    .read = kbc_read_status, .write = kbc_write_command, .max_size = 1,
};

void i8042_connect(Device *dev, void (*set_a20)(Device *gate, bool on), bool (*a20)(Device *gate),
                   Device *gate)
{
    I8042 *s = container_of(dev, I8042, dev);

    s->set_a20 = set_a20;
    s->a20 = a20;
    s->gate = gate;
}

static bool kbc_realize(Device *dev, struct Error **errp)
{
    I8042 *s = container_of(dev, I8042, dev);

    io_region_init(&s->io_data, &kbc_data_ops, s, "i8042-data", 1);
    io_region_init(&s->io_command, &kbc_command_ops, s, "i8042-cmd", 1);
    if (!port_map(&s->io_data, 0x60, errp)) {
        return false;
    }
    if (!port_map(&s->io_command, 0x64, errp)) {
        port_unmap(&s->io_data);
        return false;
    }
    return true;
}

static void kbc_unrealize(Device *dev)
{
    I8042 *s = container_of(dev, I8042, dev);

    port_unmap(&s->io_command);
    port_unmap(&s->io_data);
}

static void kbc_reset(Device *dev)
{
    I8042 *s = container_of(dev, I8042, dev);

    s->status = STATUS_UNLOCKED | STATUS_SYS;
    s->out = 0;
    s->command = 0;
    memset(s->ram, 0, sizeof(s->ram));
    s->ram[0] = CTR_SYS | 0x40 /* translate */ | 0x20 /* auxiliary off */;
    kbc_update_irq(s);
}

static const StateField kbc_fields[] = {
    STATE_U8(I8042, status), STATE_U8(I8042, out), STATE_U8(I8042, command),
    STATE_BYTES(I8042, ram), STATE_END,
};

const DeviceClass i8042_class = {
    .name = "i8042",
    .desc = "8042 keyboard controller",
    .size = sizeof(I8042),
    .bus = BUS_ISA,
    .realize = kbc_realize,
    .unrealize = kbc_unrealize,
    .reset = kbc_reset,
    .fields = kbc_fields,
};
