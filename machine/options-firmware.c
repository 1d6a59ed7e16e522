/*
 * Options that go to the firmware: -boot, -smbios, -fw_cfg, -option-rom.
 */
#include "machine/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/uuid.h"
#include "machine/boot.h"

#define FW_NAME_MAX 55

void firmware_config_init(FirmwareConfig *f)
{
    *f = (FirmwareConfig){ .boot = { .splash_time = -1, .reboot_timeout = -2 } };
}

static void files_free(FwFile *f, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        free(f[n].name);
        free(f[n].data);
    }
    free(f);
}

void firmware_config_fini(FirmwareConfig *f)
{
    free(f->boot.splash);
    for (unsigned n = 0; n < SMBIOS_FIELDS; n++) {
        free(f->smbios_text[n]);
    }
    for (unsigned n = 0; n < f->smbios.oem_count; n++) {
        free(f->oem[n]);
    }
    free(f->oem);
    files_free(f->files, f->file_count);
    files_free(f->tables, f->table_count);
    files_free(f->roms, f->rom_count);
    free(f->rom_index);
}

/* ---- -boot ---- */

bool boot_order_check(const char *letters, char out[BOOT_ORDER_MAX + 1], Error **errp)
{
    char clean[BOOT_ORDER_MAX + 1] = "";
    size_t len = strlen(letters);

    if (len > BOOT_ORDER_MAX) {
        error_set(errp, "boot order '%s': at most %d devices", letters, BOOT_ORDER_MAX);
        return false;
    }
    for (size_t n = 0; n < len; n++) {
        if (strchr("acdn", letters[n]) == NULL) {
            error_set(errp, "boot order '%s': '%c' is none of a (floppy), c (disk), d (CD) and n "
                            "(network)", letters, letters[n]);
            return false;
        }
        if (strchr(letters, letters[n]) != letters + n) {
            error_set(errp, "boot order '%s': '%c' is there twice", letters, letters[n]);
            return false;
        }
        clean[n] = letters[n];
    }
    memcpy(out, clean, sizeof(clean));
    return true;
}

static int32_t boot_time(OptList *l, const char *key, int32_t def)
{
    return opt_has(l, key) ? (int32_t)opt_get_u64(l, key, 0xffff, 0) : def;
}

bool opt_boot(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    BootConfig *b = &p->cfg->firmware.boot;
    OptList *l = p->boot;
    const char *timeout;

    if (!opt_add(l, arg, "order", errp)) {
        return false;
    }
    if (!boot_order_check(opt_get_str(l, "order", ""), b->order, errp) ||
        !boot_order_check(opt_get_str(l, "once", ""), b->once, errp)) {
        error_prepend(errp, "-boot: ");
        return false;
    }
    b->menu = opt_get_bool(l, "menu", b->menu);
    b->strict = opt_get_bool(l, "strict", b->strict);
    free(b->splash);
    b->splash = xstrdup(opt_get_str(l, "splash", NULL));
    b->splash_time = boot_time(l, "splash-time", -1);
    timeout = opt_get_str(l, "reboot-timeout", NULL);
    if (timeout != NULL && strcmp(timeout, "-1") == 0) {
        b->reboot_timeout = -1;
    } else {
        b->reboot_timeout = boot_time(l, "reboot-timeout", -2);
    }
    return opt_done(l, errp);
}

/* ---- -smbios ---- */

static bool smbios_oem(FirmwareConfig *f, const char *key, const char *value, Error **errp)
{
    uint8_t *data = NULL;
    size_t len;

    if (f->smbios.oem_count == 255) {
        error_set(errp, "-smbios type=11: more than 255 strings");
        return false;
    }
    if (strcmp(key, "path") == 0) {
        data = boot_read_file(value, "smbios string", &len, errp);
        if (data == NULL) {
            return false;
        }
    } else if (strcmp(key, "value") != 0) {
        error_set(errp, "-smbios type=11: unknown key '%s' (there are value and path)", key);
        return false;
    }
    f->oem = xrealloc(f->oem, f->smbios.oem_count + 1, sizeof(*f->oem));
    f->oem[f->smbios.oem_count++] = data != NULL ? (char *)data : xstrdup(value);
    f->smbios.oem = (const char *const *)f->oem;
    return true;
}

static bool smbios_oem_pair(void *opaque, const char *key, const char *value, Error **errp)
{
    return smbios_oem(opaque, key, value, errp);
}

static void smbios_release(SmbiosConfig *s, OptList *l)
{
    const char *text = opt_get_str(l, "release", NULL);
    unsigned major, minor;
    char end;

    if (text == NULL) {
        return;
    }
    if (sscanf(text, "%u.%u%c", &major, &minor, &end) != 2 || major > 255 || minor > 255) {
        opt_bad(l, "release=%s: not two numbers up to 255, as 1.0", text);
        return;
    }
    s->release[0] = (uint8_t)major;
    s->release[1] = (uint8_t)minor;
}

static void smbios_uuid(MachineConfig *cfg, OptList *l)
{
    const char *text = opt_get_str(l, "uuid", NULL);

    if (text == NULL) {
        return;
    }
    if (!uuid_parse(text, cfg->uuid)) {
        opt_bad(l, "uuid=%s: not a UUID", text);
    } else {
        cfg->have_uuid = true;
    }
}

static void smbios_fields(FirmwareConfig *f, unsigned type, OptList *l)
{
    for (unsigned n = 0; n < SMBIOS_FIELDS; n++) {
        const char *text = smbios_keys[n].type == type ? opt_get_str(l, smbios_keys[n].key, NULL)
                                                       : NULL;

        if (text != NULL) {
            free(f->smbios_text[n]);
            f->smbios_text[n] = xstrdup(text);
            f->smbios.field[n] = f->smbios_text[n];
        }
    }
}

bool opt_smbios(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    MachineConfig *cfg = ((Parser *)opaque)->cfg;
    FirmwareConfig *f = &cfg->firmware;
    OptList *l = opt_parse(arg, NULL, errp);
    uint64_t type;
    bool ok;

    if (l == NULL) {
        return false;
    }
    type = opt_get_u64(l, "type", 255, 255);
    if (opt_has(l, "file")) {
        opt_bad(l, "file= is not supported yet");
    } else if (!opt_has(l, "type")) {
        opt_bad(l, "type= is missing");
    } else if (type > 3 && type != 11) {
        opt_bad(l, "type=%u is not supported (0, 1, 2, 3 and 11 are)", (unsigned)type);
    }
    smbios_fields(f, (unsigned)type, l);
    if (type == 0) {
        f->smbios.bios = true;
        f->smbios.uefi = opt_get_bool(l, "uefi", f->smbios.uefi);
        smbios_release(&f->smbios, l);
    } else if (type == 1) {
        smbios_uuid(cfg, l);
    } else if (type == 2) {
        f->smbios.board = true;
    }
    ok = type != 11 || opt_each_unused(l, smbios_oem_pair, f, errp);
    ok = ok && opt_done(l, errp);
    opt_free(l);
    return ok;
}

/* ---- files for fw_cfg ---- */

static FwFile *files_add(FwFile **files, size_t *count, const char *name)
{
    FwFile *f;

    *files = xrealloc(*files, *count + 1, sizeof(**files));
    f = *files + (*count)++;
    *f = (FwFile){ .name = xstrdup(name) };
    return f;
}

bool opt_fw_cfg(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    FirmwareConfig *c = &((Parser *)opaque)->cfg->firmware;
    OptList *l = opt_parse(arg, "name", errp);
    const char *name, *path, *text;
    bool ok = false;
    FwFile *f;

    if (l == NULL) {
        return false;
    }
    name = opt_get_str(l, "name", "");
    path = opt_get_str(l, "file", NULL);
    text = opt_get_str(l, "string", NULL);
    if (opt_has(l, "gen_id")) {
        opt_bad(l, "gen_id= is not supported");
    } else if (*name == 0 || strlen(name) > FW_NAME_MAX) {
        opt_bad(l, "the name '%s' does not have 1 to %d characters", name, FW_NAME_MAX);
    } else if ((path != NULL) == (text != NULL)) {
        opt_bad(l, "%s: give either file= or string=", name);
    }
    if (!opt_done(l, errp)) {
        goto out;
    }
    if (strncmp(name, "opt/", 4) != 0) {
        report("warning: -fw_cfg %s: names of one's own should begin with opt/", name);
    }
    f = files_add(&c->files, &c->file_count, name);
    if (path != NULL) {
        f->data = boot_read_file(path, "fw_cfg", &f->len, errp);
        ok = f->data != NULL;
    } else {
        f->data = (uint8_t *)xstrdup(text);
        f->len = strlen(text);
        ok = true;
    }
out:
    opt_free(l);
    return ok;
}

bool opt_option_rom(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    MachineConfig *cfg = ((Parser *)opaque)->cfg;
    FirmwareConfig *c = &cfg->firmware;
    OptList *l = opt_parse(arg, "romfile", errp);
    const char *name, *base;
    int32_t index;
    bool ok = false;

    if (l == NULL) {
        return false;
    }
    name = opt_get_str(l, "romfile", "");
    index = opt_has(l, "bootindex") ? (int32_t)opt_get_u64(l, "bootindex", INT32_MAX, 0) : -1;
    base = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
    if (*base == 0 || strlen(base) > FW_NAME_MAX - strlen("genroms/")) {
        opt_bad(l, "'%s' is not the name of a file", name);
    }
    if (opt_done(l, errp)) {
        autofree char *path = rom_find(cfg, name);
        FwFile *f = files_add(&c->roms, &c->rom_count, base);

        c->rom_index = xrealloc(c->rom_index, c->rom_count, sizeof(*c->rom_index));
        c->rom_index[c->rom_count - 1] = index;
        f->data = boot_read_file(path != NULL ? path : name, "option rom", &f->len, errp);
        ok = f->data != NULL;
        if (ok && (f->len < 3 || f->len > 0x20000 || ld_le16(f->data) != 0xaa55)) {
            error_set(errp, "-option-rom %s: not an option ROM of at most 128 KiB", name);
            ok = false;
        }
    }
    opt_free(l);
    return ok;
}
