/*
 * -acpitable: a table of the user's. Source of the header: ACPI specification 6.4, "System Description Table Header".
 */
#include "machine/internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "hw/acpi/acpi.h"
#include "machine/boot.h"

enum { H_LENGTH = 4, H_REVISION = 8, H_OEM = 10, H_OEM_TABLE = 16, H_OEM_REVISION = 24, H_CREATOR = 28,
       H_CREATOR_REVISION = 32, H_SIZE = 36 };
enum { TABLE_MAX = 1 << 20 };

/* set_text - of the header: what is given of a field, and zeros. */
static void set_text(OptList *l, const char *key, uint8_t *field, size_t len)
{
    const char *text = opt_get_str(l, key, NULL);

    if (text != NULL) {
        memset(field, 0, len);
        memcpy(field, text, strnlen(text, len));
    }
}

static void set_number(OptList *l, const char *key, uint8_t *field)
{
    if (opt_has(l, key)) {
        st_le32(field, (uint32_t)opt_get_u64(l, key, UINT32_MAX, 0));
    }
}

/* header - what the options say of it. */
static void header(OptList *l, uint8_t *h)
{
    set_text(l, "sig", h, 4);
    if (opt_has(l, "rev")) {
        h[H_REVISION] = (uint8_t)opt_get_u64(l, "rev", UINT8_MAX, 0);
    }
    set_text(l, "oem_id", h + H_OEM, 6);
    set_text(l, "oem_table_id", h + H_OEM_TABLE, 8);
    set_number(l, "oem_rev", h + H_OEM_REVISION);
    set_text(l, "asl_compiler_id", h + H_CREATOR, 4);
    set_number(l, "asl_compiler_rev", h + H_CREATOR_REVISION);
}

/* read_files - those that @list names, ':' between, behind @skip bytes; NULL with errp. */
static uint8_t *read_files(const char *list, size_t skip, size_t *len, Error **errp)
{
    uint8_t *all = xnewn(uint8_t, skip + 1);

    *len = skip;
    for (const char *at = list; at != NULL; at = *at == ':' ? at + 1 : NULL) {
        size_t n = strcspn(at, ":"), got;
        autofree char *path = xstrndup(at, n);
        uint8_t *part = boot_read_file(path, "ACPI table", &got, errp);

        if (part == NULL || got > TABLE_MAX - *len) {
            if (part != NULL) {
                error_set(errp, "%s: more than 1 MiB", path);
            }
            free(part);
            free(all);
            return NULL;
        }
        all = xrealloc(all, *len + got + 1, 1);
        memcpy(all + *len, part, got);
        *len += got;
        free(part);
        at += n;
    }
    return all;
}

/* make_table - NULL with errp. */
static uint8_t *make_table(OptList *l, const char *data, const char *file, size_t *len, Error **errp)
{
    static const char usual[H_SIZE + 1] = "QEMU\0\0\0\0\1\0QEMUQEQEMUQEMU\1\0\0\0QEMU\1\0\0";
    uint8_t *t = read_files(data != NULL ? data : file, data != NULL ? H_SIZE : 0, len, errp);

    if (t == NULL) {
        return NULL;
    }
    if (*len < H_SIZE) {
        error_set(errp, "ACPI table claiming to have header is too short, available: %zu, expected: %d", *len, H_SIZE);
        free(t);
        return NULL;
    }
    if (data != NULL) {
        memcpy(t, usual, H_SIZE);
    }
    header(l, t);
    if (data == NULL && ld_le32(t + H_LENGTH) != *len) {
        report("warning: ACPI table has wrong length, header says %u, actual size %zu bytes", ld_le32(t + H_LENGTH), *len);
    }
    st_le32(t + H_LENGTH, (uint32_t)*len);
    return t;
}

bool opt_acpitable(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    FirmwareConfig *c = &((Parser *)opaque)->cfg->firmware;
    OptList *l = opt_parse(arg, NULL, errp);
    const char *data, *file;
    uint8_t *table = NULL, scratch[H_SIZE];
    size_t len = 0;

    if (l == NULL) {
        return false;
    }
    data = opt_get_str(l, "data", NULL);
    file = opt_get_str(l, "file", NULL);
    header(l, scratch); /* so that what is wrong, or unknown, is said before files are read */
    if ((data == NULL) == (file == NULL)) {
        opt_bad(l, "'-acpitable' requires one of 'data' or 'file'");
    } else if (c->table_count == ACPI_USER_MAX) {
        opt_bad(l, "more than %d tables", ACPI_USER_MAX);
    }
    if (opt_done(l, errp)) {
        table = make_table(l, data, file, &len, errp);
    }
    if (table != NULL) {
        c->tables = xrealloc(c->tables, c->table_count + 1, sizeof(*c->tables));
        c->tables[c->table_count++] = (FwFile){ .data = table, .len = len };
    }
    opt_free(l);
    return table != NULL;
}
