/*
 * Options about devices and where their lines go.
 */
#include "machine/internal.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/json-options.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/device.h"
#include "chardev/chardev.h"
#include "machine/plug.h"

/* ---- -device, -global ---- */

bool opt_device(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    MachineConfig *cfg = p->cfg;
    const DeviceClass *cls;
    const char *driver;
    OptList *l;

    if (opt_is_help(arg)) {
        plug_list(stdout);
        p->done = true;
        return true;
    }
    l = arg[0] == '{' ? opt_new() : opt_parse(arg, "driver", errp);
    if (l == NULL || (arg[0] == '{' && !json_options(l, arg, errp))) {
        opt_free(l);
        return false;
    }
    driver = opt_get_str(l, "driver", "");
    cls = plug_class(driver, errp);
    if (cls == NULL || opt_wants_help(l)) {
        if (cls != NULL) {
            device_help(cls, stdout);
            p->done = true;
        }
        opt_free(l);
        return cls != NULL;
    }
    cfg->devices = xrealloc(cfg->devices, cfg->device_count + 1, sizeof(*cfg->devices));
    cfg->devices[cfg->device_count++] = l;
    return true;
}

bool opt_usbdevice(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    static const char *const names[][2] = {
        { "tablet", "usb-tablet" }, { "mouse", "usb-mouse" }, { "keyboard", "usb-kbd" },
    };
    Parser *p = opaque;

    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        if (strcmp(arg, names[n][0]) == 0) {
            p->cfg->usb = true;
            return opt_device(opaque, def, names[n][1], errp);
        }
    }
    error_set(errp, "there is no USB device '%s' yet (there are tablet, mouse and keyboard)", arg);
    return false;
}

bool opt_watchdog(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    if (!opt_is_help(arg) && strcmp(arg, "ib700") != 0 && strcmp(arg, "i6300esb") != 0) {
        error_set(errp, "there is no watchdog '%s' (there are ib700 and i6300esb)", arg);
        return false;
    }
    return opt_device(opaque, def, arg, errp);
}

bool opt_global(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    const char *dot = strchr(arg, '.'), *eq = strchr(arg, '=');
    bool ok;

    if (eq != NULL && dot != NULL && dot < eq) {
        autofree char *driver = xstrndup(arg, (size_t)(dot - arg));
        autofree char *prop = xstrndup(dot + 1, (size_t)(eq - dot) - 1);
        return device_set_global(driver, prop, eq + 1, errp);
    }
    OptList *l = opt_parse(arg, NULL, errp);
    if (l == NULL) {
        return false;
    }
    const char *driver = opt_get_str(l, "driver", NULL), *prop = opt_get_str(l, "property", NULL);
    const char *value = opt_get_str(l, "value", NULL);
    ok = opt_done(l, errp);
    if (ok && (driver == NULL || prop == NULL || value == NULL)) {
        error_set(errp, "want driver.property=value");
        ok = false;
    }
    ok = ok && device_set_global(driver, prop, value, errp);
    opt_free(l);
    return ok;
}

/* ---- lines: kept now, opened by config_open() ---- */

bool opt_chardev(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (opt_is_help(arg)) {
        chardev_help(stdout);
        p->done = true;
        return true;
    }
    str_list_add(&p->cfg->chardev_args, arg);
    return true;
}

bool opt_serial(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    p->serial_given = true;
    if (strncmp(arg, "mon:", 4) == 0) {
        p->monitor_given = true; /* it is on this line */
    }
    if (p->cfg->serial_args.count == SERIAL_MAX) {
        error_set(errp, "a PC has at most %d serial ports", SERIAL_MAX);
        return false;
    }
    str_list_add(&p->cfg->serial_args, arg);
    return true;
}

bool opt_summa(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    p->summa = true;
    return true;
}

bool opt_parallel(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    p->cfg->parallel_given = true;
    if (strncmp(arg, "mon:", 4) == 0) {
        error_set(errp, "a monitor cannot be on a parallel port");
        return false;
    }
    if (p->cfg->parallel_args.count == PARALLEL_MAX) {
        error_set(errp, "a PC has at most %d parallel ports", PARALLEL_MAX);
        return false;
    }
    str_list_add(&p->cfg->parallel_args, arg);
    return true;
}

bool opt_monitor(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    p->monitor_given = true;
    if (strcmp(arg, "none") != 0) {
        str_list_add(&p->cfg->monitor_args, arg);
    }
    return true;
}

/* add_mon - remember a monitor until character devices are there; @by is '=' for an id, ':' for a new line. */
static void add_mon(Parser *p, MonitorKind kind, char by, const char *text)
{
    autofree char *row = xasprintf("%u%c%s", (unsigned)kind, by, text);

    str_list_add(&p->cfg->mon_args, row);
}

bool opt_qmp(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    if (strcmp(arg, "none") != 0) {
        add_mon(opaque, (MonitorKind)def->user, ':', arg);
    }
    return true;
}

bool opt_mon(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    static const char *const modes[] = { "readline", "control", NULL };
    Parser *p = opaque;
    OptList *l = opt_parse(arg, "chardev", errp);
    bool ok, control, pretty;
    const char *id;

    if (l == NULL) {
        return false;
    }
    p->monitor_given = true;
    id = opt_get_str(l, "chardev", NULL);
    if (id == NULL) {
        opt_bad(l, "chardev= is missing");
    }
    control = opt_get_choice(l, "mode", modes, 0) == 1;
    pretty = opt_get_bool(l, "pretty", false);
    if (pretty && !control) {
        opt_bad(l, "pretty=on is for mode=control");
    }
    opt_get_bool(l, "default", false);
    opt_get_str(l, "id", NULL);
    ok = opt_done(l, errp);
    if (ok) {
        add_mon(p, !control ? MONITOR_HUMAN : pretty ? MONITOR_QMP_PRETTY : MONITOR_QMP, '=', id);
    }
    opt_free(l);
    return ok;
}

bool opt_echr(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    uint64_t c;

    if (!text_u64(arg, 255, &c)) {
        error_set(errp, "not a character's number, 0 to 255");
        return false;
    }
    chardev_set_echr((int)c);
    return true;
}

/* ---- -readconfig ---- */

static bool config_group(void *opaque, const char *group, OptList *l, Error **errp)
{
    static const char *const options[][2] = {
        { "machine", "machine" },       { "memory", "m" },        { "smp-opts", "smp" },
        { "device", "device" },         { "drive", "drive" },         { "blockdev", "blockdev" }, { "chardev", "chardev" }, { "mon", "mon" },
        { "global", "global" },         { "name", "name" },       { "rtc", "rtc" },
        { "accel", "accel" },           { "msg", "msg" },         { "icount", "icount" },
        { "overcommit", "overcommit" },  { "netdev", "netdev" },
    };
    autofree char *text = opt_text(l);
    Nearest near;

    opt_free(l);
    nearest_init(&near, group);
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (strcmp(options[i][0], group) == 0) {
            const OptionDef *d = options_find(machine_options, options[i][1]);
            return d->handle(opaque, d, text, errp);
        }
        nearest_offer(&near, options[i][0]);
    }
    if (near.best != NULL) {
        error_set(errp, "unknown group; did you mean [%s]?", near.best);
    } else {
        error_set(errp, "this group is not supported yet");
    }
    return false;
}

bool opt_readconfig(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    return config_read(arg, config_group, opaque, errp);
}
