/*
 * VMware's port 5658h: see vmport.h. EAX holds a magic number, ECX the command; answers come in EAX to EDI.
 *
 * Source: VMware's open-vm-tools, backdoor_def.h (numbers) and its description of the calling convention; the
 * kernel's drivers for it. Here are the version (how a guest finds out that the port is there) and the size of memory;
 * the mouse's commands are in hw/input/vmmouse.c. What is unknown is answered with all ones, as VMware does.
 */
#include "hw/misc/vmport.h"

#include "base/mem.h"
#include "bus/memory.h"
#include "cpu/cpu.h"
#include "hw/misc/trace.h"

enum { VMPORT = 0x5658, COMMAND_VERSION = 10, COMMAND_RAM_SIZE = 20 };
#define MAGIC 0x564d5868u /* "VMXh" */
enum { VERSION = 6, PRODUCT_ESX = 2 };

typedef struct Vmport {
    Device dev;
    VmportFn *fn; /* wiring */
    void *opaque;
    IoRegion io;
} Vmport;

extern _Thread_local CpuState *cpu_current; /* whose registers they are; accel/ sets it */

void vmport_connect(Device *dev, VmportFn *fn, void *opaque)
{
    Vmport *s = container_of(dev, Vmport, dev);

    s->fn = fn;
    s->opaque = opaque;
}

static bool vmport_call(Vmport *s, VmportCall *call)
{
    switch (call->command) {
    case COMMAND_VERSION:
        call->eax = VERSION;
        call->ebx = MAGIC;
        call->ecx = PRODUCT_ESX;
        return true;
    case COMMAND_RAM_SIZE:
        call->eax = (uint32_t)MIN(ram_size(), (uint64_t)UINT32_MAX);
        return true;
    default:
        return s->fn != NULL && s->fn(s->opaque, call);
    }
}

/* answer - what a command does not answer with keeps its high half. */
static void answer(CpuState *c, unsigned reg, uint32_t val)
{
    if ((uint32_t)c->regs[reg] != val) {
        c->regs[reg] = val;
    }
}

static uint64_t vmport_read(void *opaque, uint64_t offset, unsigned size)
{
    CpuState *c = cpu_current; /* NULL: the monitor reads the port */
    VmportCall call;

    if (c == NULL || size != 4 || (uint32_t)c->regs[GPR_RAX] != MAGIC) {
        return UINT32_MAX;
    }
    call = (VmportCall){
        .command = (uint16_t)c->regs[GPR_RCX], .eax = (uint32_t)c->regs[GPR_RAX],
        .ebx = (uint32_t)c->regs[GPR_RBX], .ecx = (uint32_t)c->regs[GPR_RCX],
        .edx = (uint32_t)c->regs[GPR_RDX], .esi = (uint32_t)c->regs[GPR_RSI],
        .edi = (uint32_t)c->regs[GPR_RDI],
    };
    if (!vmport_call(opaque, &call)) {
        return UINT32_MAX;
    }
    answer(c, GPR_RBX, call.ebx);
    answer(c, GPR_RCX, call.ecx);
    answer(c, GPR_RDX, call.edx);
    answer(c, GPR_RSI, call.esi);
    answer(c, GPR_RDI, call.edi);
    trace_vmport(call.command, call.eax);
    return call.eax;
}

static const IoOps vmport_ops = { .read = vmport_read, .max_size = 4, .unaligned = true };

static bool vmport_realize(Device *dev, struct Error **errp)
{
    Vmport *s = container_of(dev, Vmport, dev);

    io_region_init(&s->io, &vmport_ops, s, "vmport", 4);
    return port_map(&s->io, VMPORT, errp);
}

static void vmport_unrealize(Device *dev)
{
    port_unmap(&container_of(dev, Vmport, dev)->io);
}

const DeviceClass vmport_class = {
    .name = "vmport",
    .desc = "VMware's port",
    .size = sizeof(Vmport),
    .bus = BUS_ISA,
    .realize = vmport_realize,
    .unrealize = vmport_unrealize,
};
