/*
 * Opens the character devices of a configuration and gives them to ports and monitors.
 */
#include "machine/internal.h"

#include "base/error.h"
#include "base/mem.h"
#include "chardev/chardev.h"

static bool add_monitor(MachineConfig *cfg, Chardev *c, MonitorKind kind, Error **errp)
{
    if (cfg->monitor_count == MONITOR_MAX) {
        error_set(errp, "at most %d monitors", MONITOR_MAX);
        return false;
    }
    cfg->monitor_kind[cfg->monitor_count] = kind;
    cfg->monitors[cfg->monitor_count++] = c;
    return true;
}

static bool uses_stdio(const char *text)
{
    return strcmp(text, "stdio") == 0 || strcmp(text, "mon:stdio") == 0 ||
           strncmp(text, "stdio,", 6) == 0;
}

/* "-opt text: " before a failure. */
static bool failed(const char *opt, const char *text, Error **errp)
{
    error_prepend(errp, "-%s %s: ", opt, text);
    return false;
}

static bool open_chardevs(MachineConfig *cfg, Error **errp)
{
    for (size_t i = 0; i < cfg->chardev_args.count; i++) {
        const char *text = cfg->chardev_args.s[i];
        OptList *l = opt_parse(text, "backend", errp);
        Chardev *c = l != NULL ? chardev_new(l, errp) : NULL;
        opt_free(l);
        if (c == NULL) {
            return failed("chardev", text, errp);
        }
    }
    return true;
}

static bool open_serial(MachineConfig *cfg, unsigned n, const char *text, Error **errp)
{
    autofree char *id = xasprintf("serial%u", n);
    Chardev *c;

    if (strcmp(text, "none") == 0) {
        return true; /* no such port */
    }
    c = chardev_from_legacy(text, id, errp);
    if (c == NULL) {
        return false;
    }
    cfg->serial[n] = c;
    cfg->serial_port[n] = true;
    return strncmp(text, "mon:", 4) != 0 || add_monitor(cfg, c, MONITOR_HUMAN, errp);
}

/* open_parallel - the ports that were asked for; LPT1 is there without a line unless somebody chose. */
static bool open_parallel(MachineConfig *cfg, Error **errp)
{
    cfg->parallel_port[0] = !cfg->parallel_given && !cfg->nodefaults && !cfg->none;
    for (unsigned n = 0; n < cfg->parallel_args.count; n++) {
        const char *text = cfg->parallel_args.s[n];
        autofree char *id = xasprintf("parallel%u", n);

        if (strcmp(text, "none") == 0) {
            continue;
        }
        cfg->parallel[n] = chardev_from_legacy(text, id, errp);
        if (cfg->parallel[n] == NULL) {
            return failed("parallel", text, errp);
        }
        cfg->parallel_port[n] = true;
    }
    return true;
}

/* open_mons - -mon and -qmp; what -qmp makes are called as those of -monitor, and counted with them. */
static bool open_mons(MachineConfig *cfg, Error **errp)
{
    unsigned made = (unsigned)cfg->monitor_args.count;

    for (size_t i = 0; i < cfg->mon_args.count; i++) {
        const char *row = cfg->mon_args.s[i], *text = row + 2;
        autofree char *id = xasprintf("compat_monitor%u", made);
        bool by_id = row[1] == '=';
        Chardev *c = by_id ? chardev_find(text) : chardev_from_legacy(text, id, errp);

        made += !by_id;
        if (c == NULL && by_id) {
            error_set(errp, "there is no chardev '%s'", text);
        }
        if (c == NULL || !add_monitor(cfg, c, (MonitorKind)(row[0] - '0'), errp)) {
            return failed(by_id ? "mon" : row[0] - '0' == MONITOR_QMP ? "qmp" : "qmp-pretty", text, errp);
        }
    }
    return true;
}

bool config_open(MachineConfig *cfg, Error **errp)
{
    const StrList *const lists[] = { &cfg->chardev_args, &cfg->serial_args, &cfg->parallel_args,
                                     &cfg->monitor_args };

    for (size_t k = 0; k < ARRAY_SIZE(lists) && cfg->daemonize; k++) {
        for (size_t i = 0; i < lists[k]->count; i++) {
            if (uses_stdio(lists[k]->s[i])) {
                error_set(errp, "stdio cannot be used with -daemonize");
                return false;
            }
        }
    }
    for (size_t i = 0; i < cfg->mon_args.count && cfg->daemonize; i++) {
        if (uses_stdio(cfg->mon_args.s[i] + 2)) {
            error_set(errp, "stdio cannot be used with -daemonize");
            return false;
        }
    }
    if (!open_chardevs(cfg, errp)) {
        return false;
    }
    /* monitors first, since text consoles are numbered in this order */
    for (unsigned i = 0; i < cfg->monitor_args.count; i++) {
        autofree char *id = xasprintf("compat_monitor%u", i);
        Chardev *c = chardev_from_legacy(cfg->monitor_args.s[i], id, errp);
        if (c == NULL || !add_monitor(cfg, c, MONITOR_HUMAN, errp)) {
            return failed("monitor", cfg->monitor_args.s[i], errp);
        }
    }
    for (unsigned i = 0; i < cfg->serial_args.count; i++) {
        if (!open_serial(cfg, i, cfg->serial_args.s[i], errp)) {
            return failed("serial", cfg->serial_args.s[i], errp);
        }
    }
    if (!open_parallel(cfg, errp)) {
        return false;
    }
    return open_mons(cfg, errp);
}
