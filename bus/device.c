/*
 * The device base: instances of classes, their life, and the list of all that are realized.
 * Properties are in bus/property.c. All of it runs under the machine lock or before the machine.
 */
#include "bus/device.h"

#include <assert.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/internal-device.h"
#include "bus/lock.h"

typedef struct NamedBus {
    BusType type;
    const char *name;
    void *bus;
    struct NamedBus *next;
} NamedBus;

static Device *first; /* realized, in order */
static NamedBus *buses;

const DeviceClass *device_class_find(const char *name)
{
    for (const DeviceClass *const *c = device_classes; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0 ||
            ((*c)->alias != NULL && strcmp((*c)->alias, name) == 0)) {
            return *c;
        }
    }
    return NULL;
}

/* @name itself while no realized device has it, else with the first free number behind. */
static char *unique_id(const char *name)
{
    char *id = xstrdup(name);

    for (unsigned n = 1; device_find(id) != NULL; n++) {
        free(id);
        id = xasprintf("%s.%u", name, n);
    }
    return id;
}

Device *device_new(const DeviceClass *cls, const char *id)
{
    Device *dev;

    assert(cls->size >= sizeof(Device));
    dev = xalloc0(1, cls->size);
    dev->cls = cls;
    dev->id = id != NULL ? xstrdup(id) : NULL; /* a name is found when it is realized */
    dev->named = id != NULL;
    props_default(dev);
    props_apply_globals(dev);
    return dev;
}

bool device_realize(Device *dev, Error **errp)
{
    Device **p = &first;

    assert(machine_lock_held() && !dev->realized);
    if (dev->id == NULL) {
        dev->id = unique_id(dev->cls->name);
    } else if (device_find(dev->id) != NULL) {
        error_set(errp, "device id \"%s\" is taken already", dev->id);
        return false;
    }
    if (dev->cls->realize != NULL && !dev->cls->realize(dev, errp)) {
        return false;
    }
    if (dev->cls->reset != NULL) {
        dev->cls->reset(dev);
    }
    while (*p != NULL) {
        p = &(*p)->next;
    }
    *p = dev;
    dev->next = NULL;
    dev->realized = true;
    return true;
}

static void unrealize(Device *dev)
{
    for (Device **p = &first; *p != NULL; p = &(*p)->next) {
        if (*p == dev) {
            *p = dev->next;
            break;
        }
    }
    dev->next = NULL;
    dev->realized = false;
    if (dev->cls->unrealize != NULL) {
        dev->cls->unrealize(dev);
    }
}

void device_free(Device *dev)
{
    if (dev == NULL) {
        return;
    }
    if (dev->realized) {
        unrealize(dev);
    }
    props_free(dev);
    free(dev->id);
    free(dev);
}

void devices_free_all(void)
{
    while (first != NULL) {
        Device *last = first;
        while (last->next != NULL) {
            last = last->next;
        }
        device_free(last);
    }
}

void devices_reset(void)
{
    for (Device *d = first; d != NULL; d = d->next) {
        if (d->cls->reset != NULL && !d->gone) {
            d->cls->reset(d);
        }
    }
}

Device *device_find(const char *id)
{
    for (Device *d = first; d != NULL; d = d->next) {
        if (strcmp(d->id, id) == 0) {
            return d;
        }
    }
    return NULL;
}

Device *devices_first(void)
{
    return first;
}

/* ---- buses ---- */

void device_bus_add(BusType type, const char *name, void *bus)
{
    NamedBus *b = xnew(NamedBus), **end = &buses;

    *b = (NamedBus){ type, name, bus, NULL };
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = b;
}

void device_bus_remove(void *bus)
{
    for (NamedBus **p = &buses; *p != NULL; p = &(*p)->next) {
        if ((*p)->bus == bus) {
            NamedBus *gone = *p;

            *p = gone->next;
            free(gone);
            return;
        }
    }
}

void *device_bus_find(BusType type, const char *name, Error **errp)
{
    for (NamedBus *b = buses; b != NULL; b = b->next) {
        if (b->type == type && strcmp(b->name, name) == 0) {
            return b->bus;
        }
    }
    error_set(errp, "Bus '%s' not found", name);
    return NULL;
}

void *device_bus_nth(BusType type, unsigned n)
{
    for (NamedBus *b = buses; b != NULL; b = b->next) {
        if (b->type == type && n-- == 0) {
            return b->bus;
        }
    }
    return NULL;
}
