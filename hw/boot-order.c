/*
 * The order in which firmware tries devices.
 */
#include "hw/boot-order.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/device.h"

typedef struct BootEntry {
    Device *dev;
    int32_t index;
    char *path;
    struct BootEntry *next; /* by rising index */
} BootEntry;

static BootEntry *entries;

bool boot_order_add(Device *dev, int32_t index, const char *path, Error **errp)
{
    BootEntry **p = &entries, *e;

    if (index < 0) {
        return true;
    }
    while (*p != NULL && (*p)->index < index) {
        p = &(*p)->next;
    }
    if (*p != NULL && (*p)->index == index) {
        error_set(errp, "bootindex %d is taken by '%s'", index, (*p)->dev->id);
        return false;
    }
    e = xnew(BootEntry);
    *e = (BootEntry){ dev, index, xstrdup(path), *p };
    *p = e;
    return true;
}

void boot_order_remove(Device *dev)
{
    for (BootEntry **p = &entries; *p != NULL;) {
        BootEntry *e = *p;

        if (e->dev != dev) {
            p = &e->next;
            continue;
        }
        *p = e->next;
        free(e->path);
        free(e);
    }
}

char *boot_order_text(bool strict, size_t *len)
{
    char *text = NULL;
    FILE *f;

    if (entries == NULL && !strict) {
        return NULL;
    }
    f = open_memstream(&text, len);
    if (f == NULL) {
        return NULL;
    }
    for (const BootEntry *e = entries; e != NULL; e = e->next) {
        fprintf(f, "%s%s", e == entries ? "" : "\n", e->path);
    }
    if (strict) {
        fprintf(f, "%sHALT", entries == NULL ? "" : "\n");
    }
    fputc(0, f);
    fclose(f);
    return text;
}
