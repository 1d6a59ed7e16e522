/*
 * 82093AA I/O APIC with 24 pins and the EOI register of later parts (version 20h).
 *
 * Sources: Intel 82093AA data sheet (headings quoted); Intel ICH9 data sheet, "EOIR - EOI
 * Register". Polarity is stored and not used: boards drive the inputs with asserted = 1.
 */
#include "hw/intc/ioapic.h"

#include <inttypes.h>
#include "base/mem.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/intc/lapic.h"
#include "hw/intc/trace.h"

/* "IOREDTBL[23:0] - I/O redirection table registers" */
#define RTE_VECTOR 0xffull
#define RTE_MODE_SHIFT 8
#define RTE_LOGICAL BIT64(11)
#define RTE_STATUS BIT64(12)
#define RTE_REMOTE_IRR BIT64(14)
#define RTE_LEVEL BIT64(15)
#define RTE_MASKED BIT64(16)
#define RTE_WRITABLE 0xff0000000001afffull /* all but delivery status, remote IRR, reserved */

typedef struct IoapicState {
    Device dev;
    uint32_t version; /* property: constant after realize */
    uint64_t base;    /* property: constant after realize */
    uint64_t rte[IOAPIC_PINS];
    uint32_t lines;  /* input levels */
    uint8_t select;  /* IOREGSEL */
    uint8_t id;      /* bits 27:24 of register 0 */
    LapicBus *bus;   /* wiring */
    uint64_t sent[IOAPIC_PINS]; /* messages, for info irq; not the guest's */
    IoRegion io;
} IoapicState;

/* ioapic_send - the message of pin @n. */
static void ioapic_send(IoapicState *s, unsigned n)
{
    uint64_t rte = s->rte[n];
    unsigned mode = rte >> RTE_MODE_SHIFT & 7;
    LapicMsg msg = {
        .dest = (uint32_t)(rte >> 56),
        .logical = (rte & RTE_LOGICAL) != 0,
        .mode = (uint8_t)mode,
        .vector = rte & RTE_VECTOR,
        /* "Delivery mode": NMI, SMI, INIT and ExtINT are edge, whatever the trigger bit. */
        .level = (rte & RTE_LEVEL) != 0 && mode <= LAPIC_LOWEST,
    };

    s->sent[n]++;
    trace_ioapic_send(n, msg.vector, msg.dest, msg.mode);
    if (msg.dest == 0xff) {
        msg.dest = LAPIC_BROADCAST;
    }
    /* "Remote IRR": set when a local APIC accepts the level interrupt */
    if (lapic_deliver(s->bus, &msg) && msg.level) {
        s->rte[n] |= RTE_REMOTE_IRR;
    }
}

/* ioapic_service - an unmasked level pin that is asserted and was not sent yet. */
static void ioapic_service(IoapicState *s, unsigned n)
{
    uint64_t rte = s->rte[n];

    if ((rte & RTE_LEVEL) && !(rte & (RTE_MASKED | RTE_REMOTE_IRR)) && (s->lines >> n & 1)) {
        ioapic_send(s, n);
    }
}

static void ioapic_set_irq(void *opaque, unsigned n, int level)
{
    IoapicState *s = opaque;
    uint32_t was = s->lines;

    if (n >= IOAPIC_PINS) {
        return;
    }
    s->lines = level ? was | BIT(n) : was & ~BIT(n);
    if (s->rte[n] & RTE_LEVEL) {
        ioapic_service(s, n);
    } else if (level && !(was >> n & 1)) {
        if (s->rte[n] & RTE_MASKED) {
            irq_count.masked++; /* "Interrupt mask": it is neither delivered nor held pending */
        } else {
            ioapic_send(s, n);
        }
    }
}

/* ioapic_eoi - a local APIC's EOI broadcast, or a write of the EOI register. */
static void ioapic_eoi(void *opaque, unsigned vector)
{
    IoapicState *s = opaque;

    trace_ioapic_eoi(vector);
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        if ((s->rte[n] & RTE_REMOTE_IRR) && (s->rte[n] & RTE_VECTOR) == vector) {
            s->rte[n] &= ~RTE_REMOTE_IRR;
            ioapic_service(s, n);
        }
    }
}

static uint32_t ioapic_read_reg(const IoapicState *s)
{
    unsigned n;

    switch (s->select) {
    case 0x00: /* IOAPICID */
    case 0x02: /* IOAPICARB: loaded with the ID */
        return (uint32_t)s->id << 24;
    case 0x01: /* IOAPICVER */
        return (IOAPIC_PINS - 1) << 16 | s->version;
    case 0x10 ... 0x10 + 2 * IOAPIC_PINS - 1:
        n = (s->select - 0x10u) / 2;
        return (uint32_t)(s->select & 1 ? s->rte[n] >> 32 : s->rte[n]);
    default:
        return 0;
    }
}

static void ioapic_write_rte(IoapicState *s, unsigned n, bool high, uint32_t val)
{
    uint64_t mask = RTE_WRITABLE & (high ? 0xffffffff00000000ull : 0xffffffffull);
    uint64_t bits = (high ? (uint64_t)val << 32 : val) & mask;

    s->rte[n] = (s->rte[n] & ~mask) | bits;
    if (!(s->rte[n] & RTE_LEVEL)) {
        s->rte[n] &= ~RTE_REMOTE_IRR; /* "undefined for edge"; Linux clears it this way */
    }
    ioapic_service(s, n);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    IoapicState *s = opaque;
    uint32_t val = 0;

    if ((offset & ~3ull) == 0x00) {
        val = s->select;
    } else if ((offset & ~3ull) == 0x10) {
        val = ioapic_read_reg(s);
    }
    return val >> (offset & 3) * 8;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    IoapicState *s = opaque;

    if (offset == 0x00) {
        s->select = (uint8_t)val;
    } else if (offset == 0x10 && size == 4) {
        trace_ioapic_write(s->select, (uint32_t)val);
        if (s->select == 0) {
            s->id = val >> 24 & 0xf;
        } else if (s->select >= 0x10 && s->select < 0x10 + 2 * IOAPIC_PINS) {
            ioapic_write_rte(s, (s->select - 0x10u) / 2, s->select & 1, (uint32_t)val);
        }
    } else if (offset == 0x40 && s->version >= 0x20) {
        ioapic_eoi(s, (uint8_t)val);
    }
}

static const IoOps ioapic_ops = { .read = ioapic_read, .write = ioapic_write, .max_size = 4 };

void ioapic_connect(Device *dev, LapicBus *bus)
{
    IoapicState *s = container_of(dev, IoapicState, dev);

    s->bus = bus;
    lapic_bus_on_eoi(bus, ioapic_eoi, s);
}

IrqLine ioapic_input(Device *dev, unsigned n)
{
    return (IrqLine){ ioapic_set_irq, container_of(dev, IoapicState, dev), n };
}

static bool ioapic_realize(Device *dev, struct Error **errp)
{
    IoapicState *s = container_of(dev, IoapicState, dev);

    io_region_init(&s->io, &ioapic_ops, s, "ioapic", 0x1000);
    return mem_map(&s->io, s->base, 10, false, errp);
}

static void ioapic_unrealize(Device *dev)
{
    mem_unmap(&container_of(dev, IoapicState, dev)->io);
}

static void ioapic_reset(Device *dev)
{
    IoapicState *s = container_of(dev, IoapicState, dev);

    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        s->rte[n] = RTE_MASKED;
    }
    s->select = 0;
    s->id = 0;
}

static const Property ioapic_props[] = {
    PROP_U32("version", IoapicState, version, 0x20, "version register (0x11 has no EOI register)"),
    PROP_U64("base", IoapicState, base, 0xfec00000, "guest-physical address"),
    PROP_END,
};
static const StateField ioapic_fields[] = {
    STATE_BYTES(IoapicState, rte), STATE_U32(IoapicState, lines), STATE_U8(IoapicState, select),
    STATE_U8(IoapicState, id), STATE_END,
};

static void ioapic_print_bits(FILE *out, const char *name, uint32_t bits)
{
    fprintf(out, "  %-8s", name);
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        if (bits >> n & 1) {
            fprintf(out, " %u", n);
        }
    }
    fprintf(out, "%s\n", bits == 0 ? " (none)" : "");
}

static void ioapic_info_pic(const IoapicState *s, FILE *out)
{
    static const char *const modes[8] = { "fixed", "lowest", "smi", "...", "nmi", "init", "...", "extint" };
    uint32_t remote = 0;

    fprintf(out, "ioapic0: ver=0x%x id=0x%02x sel=0x%02x\n", s->version, s->id, s->select);
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        uint64_t rte = s->rte[n];

        remote |= rte & RTE_REMOTE_IRR ? BIT(n) : 0;
        fprintf(out, "  pin %-2u 0x%016" PRIx64 " dest=%x vec=%-3u %s %-5s %-6s %-6s %s\n", n, rte,
                (unsigned)(rte >> 56), (unsigned)(rte & RTE_VECTOR),
                rte & BIT64(13) ? "active-lo" : "active-hi", rte & RTE_LEVEL ? "level" : "edge",
                rte & RTE_MASKED ? "masked" : "", modes[rte >> RTE_MODE_SHIFT & 7],
                rte & RTE_LOGICAL ? "logical" : "physical");
    }
    ioapic_print_bits(out, "IRR", s->lines);
    ioapic_print_bits(out, "Remote IRR", remote);
}

static void ioapic_info(Device *dev, const char *topic, FILE *out)
{
    const IoapicState *s = container_of(dev, IoapicState, dev);

    if (strcmp(topic, "pic") == 0) {
        ioapic_info_pic(s, out);
    } else if (strcmp(topic, "irq") == 0) {
        fprintf(out, "IRQ statistics for ioapic:\n");
        for (unsigned n = 0; n < IOAPIC_PINS; n++) {
            if (s->sent[n] != 0) {
                fprintf(out, "%2u: %" PRIu64 "\n", n, s->sent[n]);
            }
        }
    }
}

const DeviceClass ioapic_class = {
    .name = "ioapic",
    .desc = "82093AA I/O APIC",
    .size = sizeof(IoapicState),
    .props = ioapic_props,
    .realize = ioapic_realize,
    .unrealize = ioapic_unrealize,
    .reset = ioapic_reset,
    .fields = ioapic_fields,
    .info = ioapic_info,
};
