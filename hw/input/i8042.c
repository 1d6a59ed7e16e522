/*
 * 8042 keyboard controller of a PC/AT with the auxiliary port of a PS/2, and a keyboard and a mouse
 * plugged in (ps2-kbd.c, ps2-mouse.c).
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary
 * Device Controller". A byte is in the output buffer as soon as that is free: the cable takes no
 * time. The controller's own answers go before bytes of the devices.
 */
#include "hw/input/i8042.h"

#include "base/mem.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/board.h"
#include "hw/input/ps2.h"
#include "hw/input/trace.h"

#define STATUS_OBF 0x01
#define STATUS_SYS 0x04
#define STATUS_CMD 0x08
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX 0x20

#define CTR_KBD_IRQ 0x01
#define CTR_AUX_IRQ 0x02
#define CTR_SYS 0x04
#define CTR_KBD_OFF 0x10
#define CTR_AUX_OFF 0x20
#define CTR_TRANSLATE 0x40

typedef struct I8042 {
    Device dev;
    uint8_t status, out; /* output buffer, valid while OBF */
    uint8_t command;     /* waits for its data byte at port 60h; 0 for none */
    uint8_t ram[32];     /* byte 0 is the controller command byte */
    bool release;        /* translating: F0h was taken, the next code gets bit 7 */
    bool answering;      /* `answer` waits for the output buffer */
    bool answer_aux;     /* it looks like the mouse's */
    uint8_t answer;
    Ps2Kbd kbd;
    Ps2Mouse mouse;
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

static void kbc_fill(I8042 *s, uint8_t val, bool aux)
{
    s->status = (uint8_t)((s->status & ~STATUS_AUX) | STATUS_OBF | (aux ? STATUS_AUX : 0));
    s->out = val;
}

/* kbc_from_kbd - the keyboard's next byte, as the system sees it; false when there is none (a break
 * prefix is kept until its code comes). */
static bool kbc_from_kbd(I8042 *s, uint8_t *val)
{
    while (s->kbd.out.count > 0) {
        *val = ps2_kbd_read(&s->kbd);
        if (!(s->ram[0] & CTR_TRANSLATE)) {
            return true;
        }
        if (*val == 0xf0) {
            s->release = true;
            continue;
        }
        *val = (uint8_t)(ps2_to_set1[*val] | (s->release ? 0x80 : 0));
        s->release = false;
        return true;
    }
    return false;
}

/* kbc_update - put the next byte into the output buffer if that is free, and drive the lines. */
static void kbc_update(void *opaque)
{
    I8042 *s = opaque;
    uint8_t val;

    if (!(s->status & STATUS_OBF)) {
        if (s->answering) {
            s->answering = false;
            kbc_fill(s, s->answer, s->answer_aux);
        } else if (!(s->ram[0] & CTR_KBD_OFF) && kbc_from_kbd(s, &val)) {
            kbc_fill(s, val, false);
        } else if (!(s->ram[0] & CTR_AUX_OFF) && s->mouse.out.count > 0) {
            kbc_fill(s, ps2_mouse_read(&s->mouse), true);
        }
    }
    kbc_update_irq(s);
}

static void kbc_put(I8042 *s, uint8_t val, bool aux)
{
    s->answering = true;
    s->answer = val;
    s->answer_aux = aux;
    kbc_update(s);
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
        kbc_put(s, s->ram[val & 0x1f], false);
        break;
    case 0x60 ... 0x7f: /* write controller RAM */
    case 0xd1:          /* write output port */
    case 0xd2:          /* write keyboard output buffer */
    case 0xd3:          /* write auxiliary output buffer */
    case 0xd4:          /* write to auxiliary device */
        s->command = val;
        break;
    case 0xa7:
        s->ram[0] |= CTR_AUX_OFF;
        break;
    case 0xa8:
        s->ram[0] &= (uint8_t)~CTR_AUX_OFF;
        kbc_update(s);
        break;
    case 0xa9: /* test auxiliary interface: no error */
        kbc_put(s, 0x00, false);
        break;
    case 0xaa: /* self test */
        s->status |= STATUS_SYS;
        s->ram[0] |= CTR_KBD_OFF | CTR_AUX_OFF;
        kbc_put(s, 0x55, false);
        break;
    case 0xab: /* test keyboard interface: no error */
        kbc_put(s, 0x00, false);
        break;
    case 0xad:
        s->ram[0] |= CTR_KBD_OFF;
        break;
    case 0xae:
        s->ram[0] &= (uint8_t)~CTR_KBD_OFF;
        kbc_update(s);
        break;
    case 0xc0: /* read input port: keyboard not locked */
        kbc_put(s, 0x80, false);
        break;
    case 0xd0: /* read output port */
        kbc_put(s, (uint8_t)(0x01 | (s->a20 == NULL || s->a20(s->gate) ? 0x02 : 0) |
                             (!(s->status & STATUS_OBF) ? 0 : s->status & STATUS_AUX ? 0x20 : 0x10)),
                false);
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
        kbc_update(s);
        break;
    case 0xd1:
        kbc_set_output_port(s, val);
        break;
    case 0xd2:
        kbc_put(s, val, false);
        break;
    case 0xd3:
        kbc_put(s, val, true);
        break;
    case 0xd4:
        s->ram[0] &= (uint8_t)~CTR_AUX_OFF;
        ps2_mouse_write(&s->mouse, val);
        break;
    default: /* to the keyboard, whose clock the controller lets go for it */
        s->ram[0] &= (uint8_t)~CTR_KBD_OFF;
        s->release = false;
        ps2_kbd_write(&s->kbd, val);
        break;
    }
}

static uint64_t kbc_read_data(void *opaque, uint64_t offset, unsigned size)
{
    I8042 *s = opaque;

    uint8_t val = s->out;

    s->status &= (uint8_t)~(STATUS_OBF | STATUS_AUX);
    kbc_update_irq(s); /* falls before the next byte raises it: the inputs take edges */
    kbc_update(s);
    return val;
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

void i8042_mouse_report(Device *dev)
{
    ps2_mouse_report(&container_of(dev, I8042, dev)->mouse);
}

static bool kbc_realize(Device *dev, struct Error **errp)
{
    I8042 *s = container_of(dev, I8042, dev);

    ps2_kbd_init(&s->kbd, kbc_update, s);
    ps2_mouse_init(&s->mouse, kbc_update, s);
    io_region_init(&s->io_data, &kbc_data_ops, s, "i8042-data", 1);
    io_region_init(&s->io_command, &kbc_command_ops, s, "i8042-cmd", 1);
    if (port_map(&s->io_data, 0x60, errp)) {
        if (port_map(&s->io_command, 0x64, errp)) {
            return true;
        }
        port_unmap(&s->io_data);
    }
    ps2_mouse_fini(&s->mouse);
    ps2_kbd_fini(&s->kbd);
    return false;
}

static void kbc_unrealize(Device *dev)
{
    I8042 *s = container_of(dev, I8042, dev);

    port_unmap(&s->io_command);
    port_unmap(&s->io_data);
    ps2_mouse_fini(&s->mouse);
    ps2_kbd_fini(&s->kbd);
}

static void kbc_reset(Device *dev)
{
    I8042 *s = container_of(dev, I8042, dev);

    s->status = STATUS_UNLOCKED | STATUS_SYS;
    s->out = 0;
    s->command = 0;
    s->release = s->answering = s->answer_aux = false;
    s->answer = 0;
    ps2_kbd_reset(&s->kbd);
    ps2_mouse_reset(&s->mouse);
    memset(s->ram, 0, sizeof(s->ram));
    s->ram[0] = CTR_SYS | CTR_TRANSLATE | CTR_AUX_OFF;
    kbc_update_irq(s);
}

static const StateField kbc_fields[] = {
    STATE_U8(I8042, status), STATE_U8(I8042, out), STATE_U8(I8042, command),
    STATE_BYTES(I8042, ram), STATE_BOOL(I8042, release), STATE_BOOL(I8042, answering),
    STATE_BOOL(I8042, answer_aux), STATE_U8(I8042, answer),
    STATE_STRUCT(I8042, kbd, ps2_kbd_fields), STATE_STRUCT(I8042, mouse, ps2_mouse_fields),
    STATE_END,
};

static bool kbc_post_load(Device *dev, struct Error **errp)
{
    I8042 *s = container_of(dev, I8042, dev);

    ps2_kbd_post_load(&s->kbd);
    ps2_mouse_post_load(&s->mouse);
    return true;
}

const DeviceClass i8042_class = {
    .name = "i8042",
    .desc = "8042 keyboard controller",
    .size = sizeof(I8042),
    .bus = BUS_ISA,
    .realize = kbc_realize,
    .unrealize = kbc_unrealize,
    .reset = kbc_reset,
    .fields = kbc_fields,
    .post_load = kbc_post_load,
};
