/*
 * The device base: a device model is a struct (Device first) plus one static table, DeviceClass.
 * From that table come -device X,help, info qtree, saved state and hot-plug; there is no other
 * registration. All classes stand in machine/device-list.inc.
 */
#ifndef BUS_DEVICE_H
#define BUS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct Error;
struct StateField;
typedef struct Device Device;

typedef enum PropType {
    PT_U8,
    PT_U16,
    PT_U32,
    PT_U64,  /* also sizes with suffix when PROP_SIZE */
    PT_SIZE,
    PT_BOOL, /* on/off, yes/no, true/false, y/n */
    PT_STR,  /* char *, owned by the device */
    PT_CHARDEV, /* struct Chardev *, by id; resolved through device_set_resolver() */
    PT_DRIVE,   /* struct BlockBackend *, by name; likewise */
} PropType;

typedef struct Property {
    const char *name; /* QEMU's spelling; '_' and '-' compare equal */
    PropType type;
    size_t offset;
    uint64_t def;        /* numbers, booleans */
    const char *def_str; /* strings; may be NULL */
    const char *help;    /* one line */
} Property;

#define PROP_NUM_(T, pt, S, f, d, n, h)                                                            \
    {                                                                                              \
        .name = (n), .type = (pt), .offset = offsetof(S, f) + 0 * sizeof((T *)0 == &((S *)0)->f),   \
        .def = (d), .help = (h)                                                                    \
    }
#define PROP_U8(n, S, f, d, h) PROP_NUM_(uint8_t, PT_U8, S, f, d, n, h)
#define PROP_U16(n, S, f, d, h) PROP_NUM_(uint16_t, PT_U16, S, f, d, n, h)
#define PROP_U32(n, S, f, d, h) PROP_NUM_(uint32_t, PT_U32, S, f, d, n, h)
#define PROP_U64(n, S, f, d, h) PROP_NUM_(uint64_t, PT_U64, S, f, d, n, h)
#define PROP_SIZE(n, S, f, d, h) PROP_NUM_(uint64_t, PT_SIZE, S, f, d, n, h)
#define PROP_BOOL(n, S, f, d, h) PROP_NUM_(bool, PT_BOOL, S, f, d, n, h)
#define PROP_STR(n, S, f, d, h)                                                                    \
    {                                                                                              \
        .name = (n), .type = PT_STR, .offset = offsetof(S, f), .def_str = (d), .help = (h)         \
    }
#define PROP_CHARDEV(n, S, f, h)                                                                   \
    {                                                                                              \
        .name = (n), .type = PT_CHARDEV, .offset = offsetof(S, f), .help = (h)                     \
    }
#define PROP_DRIVE(n, S, f, h)                                                                     \
    {                                                                                              \
        .name = (n), .type = PT_DRIVE, .offset = offsetof(S, f), .help = (h)                       \
    }
#define PROP_END                                                                                   \
    {                                                                                              \
        .name = NULL                                                                               \
    }

typedef enum BusType {
    BUS_NONE, /* made by the board only */
    BUS_ISA,  /* pluggable with -device, ports and ISA interrupts */
    BUS_PCI,
    BUS_IDE,
    BUS_USB,
    BUS_SCSI,
    BUS_VSERIAL, /* ports of virtio-serial */
} BusType;

typedef struct DeviceClass {
    const char *name;  /* what users type after -device: QEMU's spelling */
    const char *alias; /* second spelling, or NULL */
    const char *desc;  /* one line for -device help */
    size_t size;
    BusType bus;
    bool user_creatable; /* with -device */
    bool no_hotplug;     /* it does not come or go while the machine runs */
    const Property *props;             /* may be NULL */
    const struct StateField *fields;   /* what a snapshot saves; NULL: has no state */
    unsigned version;                  /* of the saved layout; 1 if 0 */
    /* Map ports and memory, take lines. Machine lock held. On failure undoes what it did. */
    bool (*realize)(Device *dev, struct Error **errp);
    void (*unrealize)(Device *dev); /* mirrors realize backwards; may be NULL */
    void (*reset)(Device *dev);     /* power-on and reset; cannot fail; may be NULL */
    void (*pre_save)(Device *dev);  /* bring fields up to date; may be NULL */
    /* Derive what is not saved; false with errp when the loaded values cannot be. May be NULL. */
    bool (*post_load)(Device *dev, struct Error **errp);
    void (*print)(Device *dev, FILE *out); /* extra lines of info qtree; may be NULL */
    /* What the monitor's `info TOPIC` shows of it ("pic", "lapic", "irq"): nothing for topics that are not its
     * own. Processors are paused. May be NULL. */
    void (*info)(Device *dev, const char *topic, FILE *out);
} DeviceClass;

struct Device {
    const DeviceClass *cls;
    char *id;      /* the user's id=, or the board's fixed name; unique in saved state */
    void *board;   /* what the board gave to find lines and buses; set before realize */
    Device *next;  /* list of all realized devices, in order of realize */
    bool realized;
    bool named;    /* its id was given, not made up */
    Device *parent; /* whose bus it is plugged into, where that can go: it goes with it; else NULL */
    bool loaded;   /* its saved state was read (bus/state.c) */
    bool gone;     /* the guest has let go of it; it is freed soon, and not saved */
};

/* device_new - zeroed instance with default properties; @id is copied (NULL: class name, made
 * unique by a number). Never fails. */
Device *device_new(const DeviceClass *cls, const char *id);
/* device_set - property from text; an unknown name or a bad value is named in the error, with the
 * nearest known spelling. Only before realize. */
bool device_set(Device *dev, const char *name, const char *value, struct Error **errp);
/* device_realize - call the class, then reset, then put it on the list. Machine lock held. */
bool device_realize(Device *dev, struct Error **errp);
/* device_free - unrealize if needed, free properties and the instance. NULL is fine. */
void device_free(Device *dev);
void devices_free_all(void); /* in reverse order of realize */
void devices_reset(void);    /* in order of realize */
Device *device_find(const char *id);
Device *devices_first(void);

/* device_classes - table of all classes (machine/device-list.inc), NULL-terminated. */
extern const DeviceClass *const device_classes[];
const DeviceClass *device_class_find(const char *name);
/* device_help - print "  prop=<type>  - help (default: x)" lines for -device X,help. */
void device_help(const DeviceClass *cls, FILE *out);
/* device_print_props - "  name = value" lines of a device, for info qtree. */
void device_print_props(Device *dev, FILE *out);
/* prop_field - where @dev has it. */
void *prop_field(Device *dev, const Property *p);
/* device_set_global - remember -global driver.prop=value; applied by device_new(). */
bool device_set_global(const char *driver, const char *prop, const char *value, struct Error **errp);
/* device_set_resolver - how PT_CHARDEV text becomes a pointer (filled in by chardev/). */
void device_set_resolver(void *(*chardev)(const char *id, struct Error **errp));
/* device_set_drive_resolver - the same for PT_DRIVE (filled in by block/). */
void device_set_drive_resolver(void *(*drive)(const char *id, struct Error **errp));

/* Buses that devices are plugged into by name (`bus=ide.0`): what their controller makes known.
 * @name is constant while it is known. Machine lock held. */
void device_bus_add(BusType type, const char *name, void *bus);
void device_bus_remove(void *bus);
/* device_bus_find - NULL with errp when there is none of that name. device_bus_nth - in the order
 * in which they were made known; NULL after the last. */
void *device_bus_find(BusType type, const char *name, struct Error **errp);
void *device_bus_nth(BusType type, unsigned n);

#endif
