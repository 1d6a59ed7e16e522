/*
 * The human monitor: what `info` shows of the machine.
 */
#include "monitor/hmp-internal.h"

#include <inttypes.h>
#include <string.h>
#include "accel/accel.h"
#include "accel/icount.h"
#include "accel/kvm/kvm.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "chardev/chardev.h"
#include "config.h"
#include "hw/board.h"
#include "hw/pci/pci.h"
#include "hw/usb/usb.h"
#include "machine/memdev.h"
#include "machine/numa.h"
#include "machine/pc.h"
#include "machine/run.h"
#include "machine/snapshot.h"
#include "monitor/line-edit.h"

void hmp_info_version(HmpSession *m, FILE *out, const Args *a)
{
    fprintf(out, "%s (doppel %s)\n", QEMU_COMPAT_VERSION, DOPPEL_VERSION);
}

void hmp_info_status(HmpSession *m, FILE *out, const Args *a)
{
    fprintf(out, "VM status: %s\n", vm_state_name(vm_state()));
}

void hmp_info_kvm(HmpSession *m, FILE *out, const Args *a)
{
    kvm_info(out);
}

void hmp_info_history(HmpSession *m, FILE *out, const Args *a)
{
    for (unsigned n = 0; m->history != NULL && n < m->history->history_count; n++) {
        fprintf(out, "%u: '%s'\n", n, m->history->history[n]);
    }
}

void hmp_info_name(HmpSession *m, FILE *out, const Args *a)
{
    if (vm_name() != NULL) {
        fprintf(out, "%s\n", vm_name());
    }
}

void hmp_info_uuid(HmpSession *m, FILE *out, const Args *a)
{
    char text[37];

    vm_uuid_text(text);
    fprintf(out, "%s\n", text);
}

void hmp_info_vm_generation_id(HmpSession *m, FILE *out, const Args *a)
{
    const uint8_t *id = pc_generation_id();
    char text[UUID_TEXT];

    if (id == NULL) {
        fprintf(out, "Error: VM Generation ID device not found\n");
        return;
    }
    uuid_text(id, text);
    fprintf(out, "%s\n", text);
}

void hmp_info_registers(HmpSession *m, FILE *out, const Args *a)
{
    bool all = arg_bool(a, "all", false);

    accel_pause();
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        if (all || n == m->cpu) {
            fprintf(out, "\nCPU#%u\n", n);
            cpu_dump(accel_cpu(n), out);
        }
    }
    accel_resume();
}

void hmp_info_cpus(HmpSession *m, FILE *out, const Args *a)
{
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        fprintf(out, "%c CPU #%u: %s\n", n == m->cpu ? '*' : ' ', n,
                accel_cpu(n)->activity == CPU_RUNNING ? "running" : "(halted)");
    }
}

void hmp_info_qtree(HmpSession *m, FILE *out, const Args *a)
{
    machine_lock();
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        fprintf(out, "dev: %s, id \"%s\"\n", d->cls->name, d->id);
        device_print_props(d, out);
        if (d->cls->print != NULL) {
            d->cls->print(d, out);
        }
    }
    machine_unlock();
}

static void print_range(void *opaque, const FlatRange *r)
{
    fprintf(opaque, "  %016" PRIx64 "-%016" PRIx64 " (%s): %s @%016" PRIx64 "\n", r->first, r->last,
            r->region->kind == REGION_RAM   ? "ram"
            : r->region->kind == REGION_ROM ? "rom"
                                            : "i/o",
            r->region->name, r->offset);
}

static void print_ports(void *opaque, const IoRegion *r)
{
    fprintf(opaque, "  %016" PRIx64 "-%016" PRIx64 " (i/o): %s\n", r->base, r->base + r->size - 1,
            r->name);
}

void hmp_info_mtree(HmpSession *m, FILE *out, const Args *a)
{
    machine_lock();
    fprintf(out, "address-space: memory\n");
    mem_each(false, print_range, out);
    fprintf(out, "address-space: I/O\n");
    port_each(print_ports, out);
    machine_unlock();
}

static void print_chardev(void *opaque, Chardev *c)
{
    autofree char *text = chardev_describe(c);

    fprintf(opaque, "%s: filename=%s\n", chardev_id(c), text);
}

void hmp_info_chardev(HmpSession *m, FILE *out, const Args *a)
{
    chardev_each(print_chardev, out);
}

void hmp_info_jit(HmpSession *m, FILE *out, const Args *a)
{
    fprintf(out, "engine: %s\nblocks decoded: %" PRIu64 " (%" PRIu64 " instructions)\n"
                 "blocks dropped: %" PRIu64 "\ncache resets: %" PRIu64 "\n",
            accel_name(), accel_stats.blocks, accel_stats.decoded, accel_stats.dropped,
            accel_stats.resets);
    accel_pause();
    accel_info(out, arg_bool(a, "all", false));
    icount_info(out);
    accel_resume();
}

void hmp_info_statehash(HmpSession *m, FILE *out, const Args *a)
{
    accel_pause();
    fprintf(out, "%016" PRIx64 "\n", snapshot_hash());
    accel_resume();
}

/* ask - every device, what it has to say about @topic. */
static void ask(const char *topic, FILE *out)
{
    accel_pause();
    machine_lock();
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        if (d->cls->info != NULL) {
            d->cls->info(d, topic, out);
        }
    }
    machine_unlock();
    accel_resume();
}

void hmp_info_pic(HmpSession *m, FILE *out, const Args *a)
{
    ask("pic", out);
}

void hmp_info_irq(HmpSession *m, FILE *out, const Args *a)
{
    ask("irq", out);
}

void hmp_info_lapic(HmpSession *m, FILE *out, const Args *a)
{
    autofree char *id = xasprintf("apic%u", m->cpu);
    Device *d;

    accel_pause();
    machine_lock();
    d = device_find(id);
    if (d != NULL && d->cls->info != NULL) {
        fprintf(out, "dumping local APIC state for CPU %u\n\n", m->cpu);
        d->cls->info(d, "lapic", out);
    }
    machine_unlock();
    accel_resume();
}

void hmp_info_usb(HmpSession *m, FILE *out, const Args *a)
{
    machine_lock();
    usb_print(out);
    machine_unlock();
}

void hmp_info_pci(HmpSession *m, FILE *out, const Args *a)
{
    machine_lock();
    if (pc_board()->pci != NULL) {
        pci_bus_print(pc_board()->pci, out);
    }
    machine_unlock();
}

void hmp_info_numa(HmpSession *m, FILE *out, const Args *a)
{
    unsigned cpus;
    const NumaConfig *n = pc_numa(&cpus);

    numa_print(n, cpus, out);
}

static void print_memdev(void *opaque, const MemdevInfo *i)
{
    static const char *const words[] = { "false", "true" };

    fprintf(opaque, "memory backend: %s\n  size:  %" PRIu64 "\n  merge: %s\n  dump: %s\n  prealloc: %s\n  share: %s\n"
            "  reserve: %s\n  policy: default\n  host nodes: \n\n", i->id, i->size, words[i->merge], words[i->dump],
            words[i->prealloc], words[i->share], words[i->reserve]);
}

void hmp_info_memdev(HmpSession *m, FILE *out, const Args *a)
{
    memdev_each(print_memdev, out);
}
