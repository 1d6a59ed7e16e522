/*
 * Options about drives.
 */
#include "machine/internal.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/json-options.h"
#include "base/mem.h"
#include "base/text.h"
#include "block/nbd-client.h"
#include "bus/device.h"
#include "machine/drives.h"

#define NO_PLACE 0xffffffffu

static const struct {
    const char *name;
    DriveIf iface;
    unsigned buses, units; /* places; 0: any number */
} interfaces[] = {
    { "ide", DRIVE_IDE, 2, 2 }, { "floppy", DRIVE_FLOPPY, 1, 2 }, { "virtio", DRIVE_VIRTIO, 1, 0 },
    { "none", DRIVE_NONE, 1, 0 }, { "pflash", DRIVE_PFLASH, 1, 2 },
};

/* The q35 board's IDE places are ports of its AHCI controller. */
static unsigned buses_of(const MachineConfig *cfg, unsigned which)
{
    return interfaces[which].iface == DRIVE_IDE && cfg->kind == PC_Q35 ? 6 : interfaces[which].buses;
}

static unsigned units_of(const MachineConfig *cfg, unsigned which)
{
    return interfaces[which].iface == DRIVE_IDE && cfg->kind == PC_Q35 ? 1 : interfaces[which].units;
}

static bool parse_if(const char *name, unsigned *which, Error **errp)
{
    static const char *const not_yet[] = { "sd", "mtd", "xen" };

    if (strcmp(name, "scsi") == 0) { /* no board here has an adapter of its own, as QEMU's have none */
        error_set(errp, "machine type does not support if=scsi,bus=0,unit=0");
        return false;
    }
    for (*which = 0; *which < ARRAY_SIZE(interfaces); ++*which) {
        if (strcmp(interfaces[*which].name, name) == 0) {
            break;
        }
    }
    for (size_t n = 0; n < ARRAY_SIZE(not_yet); n++) {
        if (strcmp(not_yet[n], name) == 0) {
            error_set(errp, "if=%s is not supported yet", name);
            return false;
        }
    }
    if (*which == ARRAY_SIZE(interfaces)) {
        error_set(errp, "unsupported bus type '%s'", name);
        return false;
    }
    return true;
}

/* next_place - the first free one behind those that were given. */
static void next_place(const MachineConfig *cfg, unsigned which, Drive *d, bool bus_given)
{
    unsigned units = units_of(cfg, which);

    for (d->unit = 0; drive_find(cfg, d->iface, d->bus, d->unit) != NULL; d->unit++) {
        if (units != 0 && d->unit + 1 == units) {
            if (bus_given) {
                d->unit = units;
                return;
            }
            d->bus++;
            d->unit = (unsigned)-1;
        }
    }
}

/* find_place - bus= and unit=, or index=, or the next one. */
static bool find_place(MachineConfig *cfg, OptList *l, unsigned which, Drive *d, Error **errp)
{
    unsigned units = units_of(cfg, which);
    unsigned index = (unsigned)opt_get_u64(l, "index", 255, NO_PLACE);
    unsigned bus = (unsigned)opt_get_u64(l, "bus", 255, NO_PLACE);
    unsigned unit = (unsigned)opt_get_u64(l, "unit", 255, NO_PLACE);

    if (index != NO_PLACE && (bus != NO_PLACE || unit != NO_PLACE)) {
        error_set(errp, "index cannot be used with bus and unit");
        return false;
    }
    d->bus = bus != NO_PLACE ? bus : 0;
    d->unit = unit;
    if (index != NO_PLACE) {
        d->bus = units != 0 ? index / units : 0;
        d->unit = units != 0 ? index % units : index;
        if (d->iface == DRIVE_FLOPPY) {
            d->bus = 0;
            d->unit = index;
        }
    } else if (unit == NO_PLACE) {
        next_place(cfg, which, d, bus != NO_PLACE);
    }
    if (units != 0 && (d->bus >= buses_of(cfg, which) || d->unit >= units)) {
        error_set(errp, "machine type does not support if=%s,bus=%u,unit=%u",
                  interfaces[which].name, d->bus, d->unit);
        return false;
    }
    if (drive_find(cfg, d->iface, d->bus, d->unit) != NULL) {
        error_set(errp, "drive with bus=%u, unit=%u (index=%u) exists", d->bus, d->unit,
                  d->bus * units + d->unit);
        return false;
    }
    return true;
}

/* parse_cache - cache= stands for three switches, which can be given one by one too. */
static void parse_cache(OptList *l, Drive *d)
{
    static const struct {
        const char *name;
        bool writeback, direct, no_flush;
    } modes[] = {
        { "writeback", true, false, false }, { "none", true, true, false }, { "off", true, true, false },
        { "writethrough", false, false, false }, { "directsync", false, true, false },
        { "unsafe", true, false, true },
    };
    const char *cache = opt_get_str(l, "cache", "writeback");
    bool writeback, no_flush;
    unsigned n = 0;

    while (n < ARRAY_SIZE(modes) && strcmp(modes[n].name, cache) != 0) {
        n++;
    }
    if (n == ARRAY_SIZE(modes)) {
        opt_bad(l, "invalid cache option");
        n = 0;
    }
    writeback = opt_get_bool(l, "cache.writeback", modes[n].writeback);
    no_flush = opt_get_bool(l, "cache.no-flush", modes[n].no_flush);
    d->direct = opt_get_bool(l, "cache.direct", modes[n].direct);
    d->cache = no_flush ? BLK_UNSAFE : writeback ? BLK_WRITEBACK : BLK_WRITETHROUGH;
}

/* parse_aio - native is for files that are opened past the page cache. */
static void parse_aio(OptList *l, Drive *d)
{
    if (!host_aio_parse(opt_get_str(l, "aio", "threads"), &d->aio)) {
        opt_bad(l, "invalid aio option");
    } else if (d->aio == HOST_AIO_NATIVE && !d->direct) {
        opt_bad(l, "aio=native was specified, but it requires cache.direct=on, which was not specified.");
    }
}

static void parse_policies(OptList *l, Drive *d)
{
    static const char *const detects[] = { "off", "on", "unmap", NULL }; /* as BlockDetect */
    static const char *const locks[] = { "auto", "on", "off", NULL };
    const char *discard = opt_get_str(l, "discard", "ignore");

    parse_aio(l, d);
    d->discard = strcmp(discard, "unmap") == 0 || strcmp(discard, "on") == 0;
    if (!d->discard && strcmp(discard, "ignore") != 0 && strcmp(discard, "off") != 0) {
        opt_bad(l, "Invalid discard option");
    }
    d->detect_zeroes = (BlockDetect)opt_get_choice(l, "detect-zeroes", detects, 0);
    d->no_locks = opt_get_choice(l, "file.locking", locks, 0) == 2;
    d->force_share = opt_get_bool(l, "force-share", false);
    d->snapshot_said = opt_has(l, "snapshot");
    d->snapshot = opt_get_bool(l, "snapshot", false);
    d->copy_on_read = opt_get_bool(l, "copy-on-read", false);
    opt_get_bool(l, "boot", false); /* of old front ends; the firmware's order says it */
}

/* one_limit - of two names for the same. */
static uint64_t one_limit(OptList *l, const char *key, const char *old, uint64_t def)
{
    if (old != NULL && opt_has(l, key) && opt_has(l, old)) {
        opt_bad(l, "'%s' and its alias '%s' can't be used at the same time", key, old);
        opt_get_str(l, key, NULL); /* it is known, all the same */
    }
    return opt_get_u64(l, old != NULL && opt_has(l, old) ? old : key, UINT64_MAX, def);
}

/* parse_limits - throttling.bps-total= and so on, and the older bps=. */
static void parse_limits(OptList *l, Drive *d)
{
    static const char *const kinds[] = { "bps", "iops" }, *const of[] = { "total", "read", "write" };
    static const char *const olds[] = { "", "_rd", "_wr" };
    Error *err = NULL;

    for (unsigned n = 0; n < LIMITS; n++) {
        autofree char *key = xasprintf("throttling.%s-%s", kinds[n / 3], of[n % 3]);
        autofree char *max = xasprintf("%s-max", key), *length = xasprintf("%s-max-length", key);
        autofree char *old = xasprintf("%s%s", kinds[n / 3], olds[n % 3]), *old_max = xasprintf("%s_max", old);

        d->limits.of[n].average = one_limit(l, key, old, 0);
        d->limits.of[n].max = one_limit(l, max, old_max, 0);
        d->limits.of[n].length = one_limit(l, length, NULL, 1);
    }
    d->limits.iops_size = one_limit(l, "throttling.iops-size", "iops_size", 0);
    d->group = xstrdup(opt_get_str(l, "throttling.group", opt_get_str(l, "group", NULL)));
    if (!limits_check(&d->limits, &err)) {
        opt_bad(l, "%s", error_text(err));
        error_free(err);
    }
}

/* parse_on_error - what is done when the host fails. */
static void parse_on_error(OptList *l, Drive *d)
{
    static const char *const names[] = { "report", "ignore", "enospc", "stop" }; /* as BlockOnError */
    static const char *const keys[] = { "werror", "rerror" };
    BlockOnError *const to[] = { &d->write_error, &d->read_error };

    for (unsigned w = 0; w < 2; w++) {
        const char *v = opt_get_str(l, keys[w], NULL);
        unsigned n = 0;

        *to[w] = w == 0 && d->iface != DRIVE_FLOPPY ? BLK_ENOSPC : BLK_REPORT;
        if (v == NULL || strcmp(v, "auto") == 0) {
            continue;
        }
        while (n < ARRAY_SIZE(names) && strcmp(names[n], v) != 0) {
            n++;
        }
        if (d->iface == DRIVE_FLOPPY) {
            opt_bad(l, "fdc doesn't support drive option %s", keys[w]);
        } else if (n == ARRAY_SIZE(names) || (w == 1 && n == BLK_ENOSPC)) {
            opt_bad(l, "'%s' invalid %s error action", v, w == 0 ? "write" : "read");
        } else {
            *to[w] = n;
        }
    }
}

/* Known elsewhere, and not here yet. */
static bool unknown_key(void *opaque, const char *key, const char *value, Error **errp)
{
    static const char *const not_yet[] = { "file.", "driver",
                                           "backing.", "l2-cache", "cache.", "node-name", "stats",
                                           "cyls", "heads", "secs", "trans", "addr",
                                           "encrypt", "lazy-refcounts", "pass-discard",
                                           "overlap-check", "auto-read-only",
                                           "size", "offset" };

    for (size_t n = 0; n < ARRAY_SIZE(not_yet); n++) {
        if (strncmp(key, not_yet[n], strlen(not_yet[n])) == 0) {
            error_set(errp, "%s= is not supported yet", key);
            return false;
        }
    }
    error_set(errp, "Block format 'raw' does not support the option '%s'", key);
    return false;
}

static const char *interface_name(DriveIf iface)
{
    unsigned n = 0;

    while (interfaces[n].iface != iface) {
        n++;
    }
    return interfaces[n].name;
}

static void make_id(Drive *d)
{
    if (d->iface == DRIVE_IDE) {
        d->id = xasprintf("ide%u-%s%u", d->bus, d->cdrom ? "cd" : "hd", d->unit);
    } else {
        d->id = xasprintf("%s%u", interface_name(d->iface), d->unit);
    }
}

/* nbd_name - the name of what driver=nbd, or file.driver=nbd, says; NULL without an error: neither was given. */
static char *nbd_name(OptList *l, Error **errp)
{
    static const char *const prefixes[] = { "", "file." };

    for (size_t n = 0; n < ARRAY_SIZE(prefixes); n++) {
        autofree char *key = xasprintf("%sdriver", prefixes[n]);
        const char *driver = opt_get_str(l, key, NULL);

        if (driver != NULL && strcmp(driver, "nbd") == 0) {
            return nbd_address_take(l, prefixes[n], errp);
        }
        if (driver != NULL) {
            error_set(errp, "%s=%s is not supported yet (nbd is)", key, driver);
            return NULL;
        }
    }
    return NULL;
}

static bool add_drive(MachineConfig *cfg, OptList *l, const char *from, Error **errp)
{
    static const char *const media[] = { "disk", "cdrom", NULL };
    Drive d = { .iface = DRIVE_IDE };
    const char *file = opt_get_str(l, "file", ""), *id = opt_get_str(l, "id", NULL);
    Error *err = NULL;
    autofree char *nbd = nbd_name(l, &err);
    unsigned which;

    if (err != NULL) {
        error_move(errp, err);
        return false;
    }
    if (!parse_if(opt_get_str(l, "if", "ide"), &which, errp)) {
        return false;
    }
    d.iface = interfaces[which].iface;
    d.cdrom = opt_get_choice(l, "media", media, 0) == 1;
    d.read_only = opt_get_bool(l, "read-only", opt_get_bool(l, "readonly", false));
    parse_cache(l, &d);
    parse_policies(l, &d);
    parse_on_error(l, &d);
    parse_limits(l, &d);
    if (!find_place(cfg, l, which, &d, errp)) {
        return false;
    }
    d.format = xstrdup(opt_get_str(l, "format", opt_has(l, "driver") ? "raw" : NULL));
    d.serial = xstrdup(opt_get_str(l, "serial", NULL));
    d.file = nbd != NULL ? xstrdup(nbd) : *file != 0 ? xstrdup(file) : NULL;
    d.from = xstrdup(from);
    if (id != NULL) {
        d.id = xstrdup(id);
    } else {
        make_id(&d);
    }
    cfg->drives = xrealloc(cfg->drives, cfg->drive_count + 1, sizeof(*cfg->drives));
    cfg->drives[cfg->drive_count++] = d;
    return opt_each_unused(l, unknown_key, NULL, errp) && opt_done(l, errp);
}

bool opt_blockdev(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    MachineConfig *cfg = ((Parser *)opaque)->cfg;
    OptList *l = *arg == '{' ? opt_new() : opt_parse(arg, "driver", errp);

    if (l == NULL || (*arg == '{' && !json_options(l, arg, errp))) {
        opt_free(l);
        return false;
    }
    cfg->blockdevs = xrealloc(cfg->blockdevs, cfg->blockdev_count + 1, sizeof(*cfg->blockdevs));
    cfg->blockdevs[cfg->blockdev_count++] = l;
    return true;
}

bool drive_hot_add(OptList *l, Error **errp)
{
    MachineConfig *cfg = config_new();
    bool ok = add_drive(cfg, l, "drive_add", errp);

    if (ok && cfg->drives[0].iface != DRIVE_NONE) {
        error_set(errp, "Can't hot-add drive to type %s", interface_name(cfg->drives[0].iface));
        ok = false;
    }
    ok = ok && drive_open(&cfg->drives[0], false, errp);
    config_free(cfg);
    return ok;
}

bool opt_drive(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    OptList *l = opt_parse(arg, "file", errp);
    autofree char *from = xasprintf("-drive %s", arg);
    bool ok;

    if (l == NULL) {
        return false;
    }
    ok = add_drive(p->cfg, l, from, errp);
    opt_free(l);
    return ok;
}

/* -hda to -hdd (user: the index), -cdrom, -fda, -fdb, -pflash: a file and where it goes; @index NULL: the next place. */
static bool add_file(MachineConfig *cfg, const char *name, const char *file, const char *key,
                     const char *value, const char *index, Error **errp)
{
    OptList *l = opt_new();
    autofree char *from = xasprintf("%s%s%s", name, *name != 0 ? " " : "", file);
    bool ok;

    opt_set(l, "file", file);
    if (index != NULL) {
        opt_set(l, "index", index);
    }
    opt_set(l, key, value);
    ok = add_drive(cfg, l, from, errp);
    opt_free(l);
    return ok;
}

bool opt_disk(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    autofree char *name = xasprintf("-%s", def->name);
    const char index[2] = { (char)('0' + (def->user & 3)), 0 };

    if (def->user == DISK_PFLASH) {
        return add_file(p->cfg, name, arg, "if", "pflash", NULL, errp);
    }
    if (def->user & DISK_FLOPPY) {
        return add_file(p->cfg, name, arg, "if", "floppy", index, errp);
    }
    return add_file(p->cfg, name, arg, "media", def->user & DISK_CD ? "cdrom" : "disk", index,
                    errp);
}

bool opt_disk_word(void *opaque, const char *text, Error **errp)
{
    return add_file(((Parser *)opaque)->cfg, "", text, "media", "disk", "0", errp);
}
