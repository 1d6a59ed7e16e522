/*
 * QMP: what the machine is made of.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <json-c/json.h>
#include "accel/accel.h"
#include "accel/kvm/kvm.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "chardev/chardev.h"
#include "cpu/cpuid.h"
#include "hw/board.h"
#include "hw/pci/pci.h"
#include "hw/virtio/virtio-balloon.h"
#include "machine/memdev.h"
#include "machine/pc.h"
#include "machine/run.h"

bool qmp_query_target(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_object();
    json_add_text(*ret, "arch", "x86_64");
    return true;
}

bool qmp_query_name(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_object();
    json_add_text(*ret, "name", vm_name());
    return true;
}

bool qmp_query_uuid(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    char text[37];

    vm_uuid_text(text);
    *ret = json_object_new_object();
    json_add_text(*ret, "UUID", text);
    return true;
}

bool qmp_query_vm_generation_id(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    const uint8_t *id = pc_generation_id();
    char text[UUID_TEXT];

    if (id == NULL) {
        error_set(errp, "VM Generation ID device not found");
        return false;
    }
    uuid_text(id, text);
    *ret = json_object_new_object();
    json_add_text(*ret, "guid", text);
    return true;
}

static void list_memdev(void *opaque, const MemdevInfo *i)
{
    Json *d = json_object_new_object();

    json_add_bool(d, "prealloc", i->prealloc);
    json_object_object_add(d, "host-nodes", json_object_new_array());
    json_add_int(d, "size", (int64_t)i->size);
    json_add_bool(d, "merge", i->merge);
    json_add_bool(d, "dump", i->dump);
    json_add_text(d, "policy", "default");
    json_add_bool(d, "share", i->share);
    json_add_text(d, "id", i->id);
    json_add_bool(d, "reserve", i->reserve);
    json_object_array_add(opaque, d);
}

bool qmp_query_memdev(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    memdev_each(list_memdev, *ret);
    return true;
}

/* "present": this program could use it, whatever the host has. */
bool qmp_query_kvm(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_object();
    json_add_bool(*ret, "enabled", kvm_used());
    json_add_bool(*ret, "present", true);
    return true;
}

/* add_machine - `pc` is one board with one set of chips: it has no versions. */
static void add_machine(Json *list, const char *name, const char *cpu, unsigned cpu_max)
{
    Json *o = json_object_new_object();

    json_add_text(o, "name", name);
    if (strcmp(name, "pc") == 0) {
        json_add_bool(o, "is-default", true);
    }
    if (cpu != NULL) {
        json_add_text(o, "default-cpu-type", cpu);
        json_add_text(o, "default-ram-id", "pc.ram");
    }
    json_add_int(o, "cpu-max", cpu_max);
    json_add_bool(o, "hotpluggable-cpus", false);
    json_add_bool(o, "numa-mem-supported", false);
    json_add_bool(o, "deprecated", false);
    json_object_array_add(list, o);
}

bool qmp_query_machines(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    add_machine(*ret, "pc", "max-x86_64-cpu", 255);
    add_machine(*ret, "q35", "max-x86_64-cpu", 255);
    add_machine(*ret, "isapc", "486-x86_64-cpu", 1);
    add_machine(*ret, "none", NULL, 1);
    return true;
}

bool qmp_query_current_machine(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_object();
    json_add_bool(*ret, "wakeup-suspend-support", false);
    return true;
}

static void add_model(void *opaque, const char *name)
{
    autofree char *type = xasprintf("%s-x86_64-cpu", name);
    Json *o = json_object_new_object();

    json_add_text(o, "name", name);
    json_add_text(o, "typename", type);
    json_add(o, "unavailable-features", json_object_new_array());
    json_add_bool(o, "static", false);
    json_add_bool(o, "migration-safe", strcmp(name, "max") != 0 && strcmp(name, "host") != 0);
    json_add_bool(o, "deprecated", false);
    json_object_array_add(opaque, o);
}

bool qmp_query_cpu_definitions(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    cpu_models_each(add_model, *ret);
    return true;
}

bool qmp_query_cpus_fast(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        autofree char *path = xasprintf("/machine/unattached/device[%u]", n);
        Json *o = json_object_new_object(), *props = json_object_new_object();
        unsigned core, thread, package;

        cpu_place(n, &package, &core, &thread);
        json_add_int(o, "cpu-index", n);
        json_add_text(o, "qom-path", path);
        json_add_int(o, "thread-id", accel_cpu_tid(n));
        json_add_int(props, "socket-id", package);
        json_add_int(props, "core-id", core);
        json_add_int(props, "thread-id", thread);
        json_add(o, "props", props);
        json_add_text(o, "target", "x86_64");
        json_object_array_add(*ret, o);
    }
    return true;
}

bool qmp_query_iothreads(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    return true;
}

bool qmp_query_memory_size(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_object();
    json_add_int(*ret, "base-memory", (int64_t)ram_size());
    json_add_int(*ret, "plugged-memory", 0);
    return true;
}

static void add_chardev(void *opaque, Chardev *c)
{
    autofree char *text = chardev_describe(c);
    Json *o = json_object_new_object();

    json_add_text(o, "label", chardev_id(c));
    json_add_text(o, "filename", text);
    json_add_bool(o, "frontend-open", chardev_has_front(c));
    json_object_array_add(opaque, o);
}

bool qmp_query_chardev(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    chardev_each(add_chardev, *ret);
    return true;
}

bool qmp_query_chardev_backends(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    const char *name;

    *ret = json_object_new_array();
    for (unsigned n = 0; (name = chardev_backend_name(n)) != NULL; n++) {
        Json *o = json_object_new_object();

        json_add_text(o, "name", name);
        json_object_array_add(*ret, o);
    }
    return true;
}

/* ---- PCI ---- */

static Json *pci_regions(PciDevice *d)
{
    Json *list = json_object_new_array();

    for (unsigned n = 0; n < ARRAY_SIZE(d->bars); n++) {
        const PciBar *bar = &d->bars[n];
        Json *o;

        if (bar->region == NULL) {
            continue;
        }
        o = json_object_new_object();
        json_add_int(o, "bar", n);
        json_add_text(o, "type", bar->type & PCI_BAR_IO ? "io" : "memory");
        json_add_int(o, "address", bar->mapped ? (int64_t)bar->base : -1);
        json_add_int(o, "size", (int64_t)bar->region->size);
        if (!(bar->type & PCI_BAR_IO)) {
            json_add_bool(o, "prefetch", bar->type & PCI_BAR_PREFETCH);
            json_add_bool(o, "mem_type_64", bar->type & PCI_BAR_64);
        }
        json_object_array_add(list, o);
    }
    return list;
}

static Json *pci_devices(PciBus *bus, unsigned number);

static void add_range(Json *o, const char *name, uint64_t base, uint64_t limit)
{
    Json *range = json_object_new_object();

    json_add_int(range, "base", (int64_t)base);
    json_add_int(range, "limit", (int64_t)limit);
    json_add(o, name, range);
}

static Json *pci_bridge(PciDevice *d, unsigned number)
{
    Json *o = json_object_new_object(), *bus = json_object_new_object();
    const uint8_t *c = d->config;

    json_add_int(bus, "number", number);
    json_add_int(bus, "secondary", c[PCI_SECONDARY]);
    json_add_int(bus, "subordinate", c[PCI_SUBORDINATE]);
    add_range(bus, "io_range", (c[PCI_IO_BASE] & 0xf0u) << 8, (c[PCI_IO_LIMIT] & 0xf0u) << 8 | 0xfff);
    add_range(bus, "memory_range", (uint32_t)(ld_le16(c + PCI_MEM_BASE) & 0xfff0) << 16,
              (uint32_t)(ld_le16(c + PCI_MEM_LIMIT) & 0xfff0) << 16 | 0xfffff);
    add_range(bus, "prefetchable_range",
              (uint64_t)ld_le32(c + PCI_PREF_BASE_HIGH) << 32 | (uint32_t)(ld_le16(c + PCI_PREF_BASE) & 0xfff0) << 16,
              (uint64_t)ld_le32(c + PCI_PREF_LIMIT_HIGH) << 32 | (uint32_t)(ld_le16(c + PCI_PREF_LIMIT) & 0xfff0) << 16 | 0xfffff);
    json_add(o, "bus", bus);
    if (c[PCI_SECONDARY] != 0) {
        json_add(o, "devices", pci_devices(d->below, c[PCI_SECONDARY]));
    }
    return o;
}

static Json *pci_device(PciDevice *d, unsigned number)
{
    Json *o = json_object_new_object(), *cls = json_object_new_object(), *id = json_object_new_object();
    uint16_t code = ld_le16(d->config + PCI_CLASS);

    json_add_int(o, "bus", number);
    json_add_int(o, "slot", d->devfn >> 3);
    json_add_int(o, "function", d->devfn & 7);
    json_add_text(cls, "desc", pci_class_name(code));
    json_add_int(cls, "class", code);
    json_add(o, "class_info", cls);
    json_add_int(id, "vendor", ld_le16(d->config + PCI_VENDOR));
    json_add_int(id, "device", ld_le16(d->config + PCI_DEVICE));
    json_add_int(id, "subsystem-vendor", ld_le16(d->config + PCI_SUBSYS_VENDOR));
    json_add_int(id, "subsystem", ld_le16(d->config + PCI_SUBSYS));
    json_add(o, "id", id);
    if (d->config[PCI_INT_PIN] != 0) {
        json_add_int(o, "irq", d->config[PCI_INT_LINE]);
    }
    json_add_int(o, "irq_pin", d->config[PCI_INT_PIN]);
    json_add_text(o, "qdev_id", d->dev.id);
    json_add(o, "regions", pci_regions(d));
    if (d->below != NULL) {
        json_add(o, "pci_bridge", pci_bridge(d, number));
    }
    return o;
}

static Json *pci_devices(PciBus *bus, unsigned number)
{
    Json *list = json_object_new_array();

    for (unsigned devfn = 0; devfn < 256; devfn++) {
        PciDevice *d = pci_bus_find(bus, devfn);

        if (d != NULL) {
            json_object_array_add(list, pci_device(d, number));
        }
    }
    return list;
}

bool qmp_query_pci(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    machine_lock();
    if (accel_cpu_count() > 0 && pc_board()->pci != NULL) {
        Json *bus = json_object_new_object();

        json_add_int(bus, "bus", 0);
        json_add(bus, "devices", pci_devices(pc_board()->pci, 0));
        json_object_array_add(*ret, bus);
    }
    machine_unlock();
    return true;
}

/* ---- kinds of devices ---- */

bool qmp_qom_list_types(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    static const char *const parents[] = {
        [BUS_NONE] = "device", [BUS_ISA] = "isa-device", [BUS_PCI] = "pci-device", [BUS_IDE] = "ide-device",
        [BUS_USB] = "usb-device", [BUS_VSERIAL] = "virtio-serial-port", [BUS_SCSI] = "scsi-device",
    };
    const char *implements = qmp_str(args, "implements");

    *ret = json_object_new_array();
    for (const DeviceClass *const *c = device_classes; *c != NULL; c++) {
        const char *parent = parents[(*c)->bus];
        Json *o;

        if (implements != NULL && strcmp(implements, "device") != 0 && strcmp(implements, parent) != 0 &&
            strcmp(implements, (*c)->name) != 0) {
            continue;
        }
        o = json_object_new_object();
        json_add_text(o, "name", (*c)->name);
        json_add_text(o, "parent", parent);
        json_object_array_add(*ret, o);
    }
    return true;
}

static Json *property_json(const Property *p)
{
    static const char *const types[] = {
        [PT_U8] = "uint8",   [PT_U16] = "uint16", [PT_U32] = "uint32",  [PT_U64] = "uint64",
        [PT_SIZE] = "size",  [PT_BOOL] = "bool",  [PT_STR] = "str",     [PT_CHARDEV] = "str",
        [PT_DRIVE] = "str",
    };
    Json *o = json_object_new_object();

    json_add_text(o, "name", p->name);
    json_add_text(o, "type", types[p->type]);
    json_add_text(o, "description", p->help);
    if (p->type == PT_BOOL) {
        json_add_bool(o, "default-value", p->def != 0);
    } else if (p->type < PT_BOOL) {
        json_add(o, "default-value", json_object_new_uint64(p->def));
    } else if (p->type == PT_STR) {
        json_add_text(o, "default-value", p->def_str);
    }
    return o;
}

bool qmp_device_list_properties(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    const char *name = qmp_str(args, "typename");
    const DeviceClass *c = device_class_find(name);

    if (c == NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
        return false;
    }
    *ret = json_object_new_array();
    for (const Property *p = c->props; p != NULL && p->name != NULL; p++) {
        json_object_array_add(*ret, property_json(p));
    }
    return true;
}

/* ---- the balloon ---- */

bool qmp_balloon(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    bool ok;

    machine_lock();
    ok = balloon_set(qmp_int(args, "value", 0), errp);
    machine_unlock();
    return ok;
}

bool qmp_query_balloon(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    uint64_t bytes;
    bool ok;

    machine_lock();
    ok = balloon_get(&bytes, errp);
    machine_unlock();
    if (ok) {
        *ret = json_object_new_object();
        json_add_int(*ret, "actual", (int64_t)bytes);
    }
    return ok;
}
#endif
