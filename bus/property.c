/*
 * Properties of devices: text to field, defaults, -global, and the listing of -device X,help.
 */
#include "bus/device.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/internal-device.h"

/* A -global, kept for devices made later. Start-up only. */
typedef struct Global {
    char *driver, *prop, *value;
    struct Global *next;
} Global;

static Global *globals;
static void *(*resolve_chardev)(const char *id, Error **errp);
static void *(*resolve_drive)(const char *id, Error **errp);

static const char *const type_names[] = {
    [PT_U8] = "uint8",   [PT_U16] = "uint16",  [PT_U32] = "uint32",
    [PT_U64] = "uint64", [PT_SIZE] = "size",   [PT_BOOL] = "bool",
    [PT_STR] = "str",    [PT_CHARDEV] = "str", [PT_DRIVE] = "str",
};

static const Property *prop_find(const DeviceClass *cls, const char *name)
{
    for (const Property *p = cls->props; p != NULL && p->name != NULL; p++) {
        if (text_name_eq(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

void *prop_field(Device *dev, const Property *p)
{
    return (char *)dev + p->offset;
}

static uint64_t prop_max(PropType type)
{
    switch (type) {
    case PT_U8:
        return UINT8_MAX;
    case PT_U16:
        return UINT16_MAX;
    case PT_U32:
        return UINT32_MAX;
    default:
        return UINT64_MAX;
    }
}

static void put_number(void *field, PropType type, uint64_t v)
{
    switch (type) {
    case PT_U8:
        *(uint8_t *)field = (uint8_t)v;
        break;
    case PT_U16:
        *(uint16_t *)field = (uint16_t)v;
        break;
    case PT_U32:
        *(uint32_t *)field = (uint32_t)v;
        break;
    case PT_U64:
    case PT_SIZE:
        *(uint64_t *)field = v;
        break;
    case PT_BOOL:
        *(bool *)field = v != 0;
        break;
    default:
        break;
    }
}

void props_default(Device *dev)
{
    for (const Property *p = dev->cls->props; p != NULL && p->name != NULL; p++) {
        if (p->type == PT_STR) {
            *(char **)prop_field(dev, p) = xstrdup(p->def_str);
        } else {
            put_number(prop_field(dev, p), p->type, p->def);
        }
    }
}

void props_free(Device *dev)
{
    for (const Property *p = dev->cls->props; p != NULL && p->name != NULL; p++) {
        if (p->type == PT_STR) {
            free(*(char **)prop_field(dev, p));
        }
    }
}

static bool set_number(Device *dev, const Property *p, const char *value, Error **errp)
{
    uint64_t v;
    bool b;

    if (p->type == PT_BOOL) {
        if (!text_bool(value, &b)) {
            error_set(errp, "%s.%s: \"%s\" is neither on nor off", dev->cls->name, p->name, value);
            return false;
        }
        v = b;
    } else if (p->type == PT_SIZE) {
        if (!text_size(value, 1, &v)) {
            error_set(errp, "%s.%s: \"%s\" is not a size such as 64K or 2M", dev->cls->name,
                      p->name, value);
            return false;
        }
    } else if (!text_u64(value, prop_max(p->type), &v)) {
        error_set(errp, "%s.%s: \"%s\" is not a number from 0 to %llu", dev->cls->name, p->name,
                  value, (unsigned long long)prop_max(p->type));
        return false;
    }
    put_number(prop_field(dev, p), p->type, v);
    return true;
}

static void error_no_property(const DeviceClass *cls, const char *name, Error **errp)
{
    Nearest near;

    nearest_init(&near, name);
    for (const Property *p = cls->props; p != NULL && p->name != NULL; p++) {
        nearest_offer(&near, p->name);
    }
    if (near.best != NULL) {
        error_set(errp, "property '%s.%s' not found; did you mean '%s'?", cls->name, name,
                  near.best);
    } else {
        error_set(errp, "property '%s.%s' not found", cls->name, name);
    }
}

/* A back end, by its name. */
static bool set_back(Device *dev, const Property *p, const char *value,
                     void *(*resolve)(const char *id, Error **errp), const char *what, Error **errp)
{
    void *back;

    if (resolve == NULL) {
        error_set(errp, "%s.%s: no %s here", dev->cls->name, p->name, what);
        return false;
    }
    back = resolve(value, errp);
    if (back == NULL) {
        error_prepend(errp, "%s.%s: ", dev->cls->name, p->name);
        return false;
    }
    *(void **)prop_field(dev, p) = back;
    return true;
}

bool device_set(Device *dev, const char *name, const char *value, Error **errp)
{
    const Property *p = prop_find(dev->cls, name);

    if (p == NULL) {
        error_no_property(dev->cls, name, errp);
        return false;
    }
    switch (p->type) {
    case PT_STR:
        free(*(char **)prop_field(dev, p));
        *(char **)prop_field(dev, p) = xstrdup(value);
        return true;
    case PT_CHARDEV:
        return set_back(dev, p, value, resolve_chardev, "character devices", errp);
    case PT_DRIVE:
        return set_back(dev, p, value, resolve_drive, "drives", errp);
    default:
        return set_number(dev, p, value, errp);
    }
}

void device_set_resolver(void *(*chardev)(const char *id, Error **errp))
{
    resolve_chardev = chardev;
}

void device_set_drive_resolver(void *(*drive)(const char *id, Error **errp))
{
    resolve_drive = drive;
}

/* A known class must know the property and like the value; an unknown one is kept, since tools
 * pass globals for devices that this machine does not have. */
bool device_set_global(const char *driver, const char *prop, const char *value, Error **errp)
{
    const DeviceClass *cls = device_class_find(driver);
    Global **end = &globals, *g;

    if (cls != NULL) {
        const Property *p = prop_find(cls, prop);
        if (p == NULL || (p->type != PT_CHARDEV && p->type != PT_DRIVE)) { /* back ends may be made later */
            Device *scratch = xalloc0(1, cls->size);
            bool ok;
            scratch->cls = cls;
            ok = device_set(scratch, prop, value, errp);
            props_free(scratch);
            free(scratch);
            if (!ok) {
                return false;
            }
        }
    }
    g = xnew(Global);
    g->driver = xstrdup(driver);
    g->prop = xstrdup(prop);
    g->value = xstrdup(value);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = g;
    return true;
}

void props_apply_globals(Device *dev)
{
    for (const Global *g = globals; g != NULL; g = g->next) {
        const char *alias = dev->cls->alias;
        if (strcmp(g->driver, dev->cls->name) == 0 ||
            (alias != NULL && strcmp(g->driver, alias) == 0)) {
            Error *err = NULL;
            if (!device_set(dev, g->prop, g->value, &err)) {
                error_prepend(&err, "-global %s.%s: ", g->driver, g->prop);
                error_report(err);
            }
        }
    }
}

void device_help(const DeviceClass *cls, FILE *out)
{
    fprintf(out, "%s options:\n", cls->name);
    for (const Property *p = cls->props; p != NULL && p->name != NULL; p++) {
        char head[80];

        snprintf(head, sizeof(head), "%s=<%s>", p->name, type_names[p->type]);
        fprintf(out, "  %-22s - %s", head, p->help != NULL ? p->help : "");
        if (p->type == PT_BOOL) {
            fprintf(out, " (default: %s)", p->def != 0 ? "true" : "false");
        } else if (p->type <= PT_SIZE) {
            fprintf(out, " (default: %llu)", (unsigned long long)p->def);
        } else if (p->def_str != NULL) {
            fprintf(out, " (default: \"%s\")", p->def_str);
        }
        fputc('\n', out);
    }
}

void device_print_props(Device *dev, FILE *out)
{
    for (const Property *p = dev->cls->props; p != NULL && p->name != NULL; p++) {
        const void *field = prop_field(dev, p);
        uint64_t v = 0;

        switch (p->type) {
        case PT_STR:
            fprintf(out, "  %s = \"%s\"\n", p->name,
                    *(char *const *)field != NULL ? *(char *const *)field : "");
            continue;
        case PT_BOOL:
            fprintf(out, "  %s = %s\n", p->name, *(const bool *)field ? "true" : "false");
            continue;
        case PT_CHARDEV:
        case PT_DRIVE:
            fprintf(out, "  %s = %s\n", p->name, *(void *const *)field != NULL ? "(set)" : "\"\"");
            continue;
        case PT_U8:
            v = *(const uint8_t *)field;
            break;
        case PT_U16:
            v = *(const uint16_t *)field;
            break;
        case PT_U32:
            v = *(const uint32_t *)field;
            break;
        default:
            v = *(const uint64_t *)field;
            break;
        }
        fprintf(out, "  %s = %llu (0x%llx)\n", p->name, (unsigned long long)v, (unsigned long long)v);
    }
}
