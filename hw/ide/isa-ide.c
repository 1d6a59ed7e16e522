/*
 * An IDE channel on the ISA bus: two places for drives, data by the processor only.
 * Source: ATA/ATAPI-6, clause 7 (registers); hw/ide/ide.h.
 */
#include "hw/ide/ide.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/board.h"

typedef struct IsaIde {
    Device dev; /* first member */
    uint32_t io_base, io_base2, irq; /* properties: constant after realize */
    IdeBus bus;
    char *name, *path;
    IoRegion command, control;
} IsaIde;

static IsaIde *isa_ide_of(Device *dev)
{
    return container_of(dev, IsaIde, dev);
}

static bool isa_ide_realize(Device *dev, Error **errp)
{
    IsaIde *s = isa_ide_of(dev);
    const Board *board = dev->board;
    unsigned n = 0;

    if (s->irq > 15 || s->io_base > 0xfff8 || s->io_base2 > 0xffff) {
        error_set(errp, "isa-ide: irq %u, iobase 0x%x, iobase2 0x%x: not on an ISA bus", s->irq, s->io_base, s->io_base2);
        return false;
    }
    io_region_init(&s->command, &ide_command_ops, &s->bus, "ide", 8);
    io_region_init(&s->control, &ide_control_ops, &s->bus, "ide-control", 1);
    if (!port_map(&s->command, (uint16_t)s->io_base, errp)) {
        return false;
    }
    if (!port_map(&s->control, (uint16_t)s->io_base2, errp)) {
        port_unmap(&s->command);
        return false;
    }
    while (device_bus_nth(BUS_IDE, n) != NULL) {
        n++;
    }
    s->name = xasprintf("ide.%u", n);
    s->path = xasprintf("/isa/ide@%04x/drive@0", s->io_base);
    ide_bus_init(&s->bus, s->name, s->path, board->isa_irq[s->irq], NULL, NULL);
    return true;
}

static void isa_ide_unrealize(Device *dev)
{
    IsaIde *s = isa_ide_of(dev);

    ide_bus_fini(&s->bus);
    port_unmap(&s->control);
    port_unmap(&s->command);
    free(s->name);
    free(s->path);
}

static void isa_ide_reset(Device *dev)
{
    ide_bus_reset(&isa_ide_of(dev)->bus);
}

static const Property isa_ide_props[] = {
    PROP_U32("iobase", IsaIde, io_base, 0x1f0, "first of eight ports: the command block"),
    PROP_U32("iobase2", IsaIde, io_base2, 0x3f6, "the port of the control block"),
    PROP_U32("irq", IsaIde, irq, 14, "ISA interrupt"),
    PROP_END,
};

static const StateField isa_ide_fields[] = { STATE_STRUCT(IsaIde, bus, ide_bus_fields), STATE_END };

const DeviceClass isa_ide_class = {
    .name = "isa-ide",
    .desc = "IDE channel on the ISA bus",
    .size = sizeof(IsaIde),
    .bus = BUS_ISA,
    .user_creatable = true,
    .props = isa_ide_props,
    .realize = isa_ide_realize,
    .unrealize = isa_ide_unrealize,
    .reset = isa_ide_reset,
    .fields = isa_ide_fields,
};
