/*
 * Options about the machine, its engine, processors, memory and time.
 */
#include "machine/internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/uuid.h"
#include "machine/memdev.h"
#include "machine/numa.h"

#pragma weak cpu_models_print
void cpu_models_print(FILE *out); /* cpu/ */

#define MAX_RAM (1ull << 46) /* more does not fit the process beside all else */
enum { MAX_CPUS = 255 };     /* an 8-bit APIC id, less the broadcast one */

/* ---- -machine ---- */

bool opt_machine(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    static const char *const ooa[] = { "auto", "on", "off", NULL };
    static const char *const accepted[] = { "dump-guest-core", "mem-merge", "suppress-vmdesc", "fd-bootchk" };
    Parser *p = opaque;
    MachineConfig *cfg = p->cfg;
    OptList *l = p->machine;
    const char *type, *accel;

    if (!opt_add(l, arg, "type", errp)) {
        return false;
    }
    type = opt_get_str(l, "type", NULL);
    accel_irqchip(p, l);
    cfg->hpet = opt_get_bool(l, "hpet", cfg->hpet);
    cfg->acpi = opt_get_bool(l, "acpi", cfg->acpi);
    cfg->graphics = opt_get_bool(l, "graphics", cfg->graphics);
    cfg->i8042 = opt_get_bool(l, "i8042", cfg->i8042);
    cfg->vmport = (OnOffAuto)opt_get_choice(l, "vmport", ooa, OOA_AUTO);
    cfg->smm = (OnOffAuto)opt_get_choice(l, "smm", ooa, OOA_AUTO);
    if (cfg->smm == OOA_OFF) {
        opt_bad(l, "smm=off: SMM cannot be switched off yet");
    }
    cfg->usb = opt_get_bool(l, "usb", cfg->usb);
    for (unsigned n = 0; n < ARRAY_SIZE(cfg->pflash); n++) {
        static const char *const keys[] = { "pflash0", "pflash1" };

        free(cfg->pflash[n]);
        cfg->pflash[n] = xstrdup(opt_get_str(l, keys[n], NULL));
    }
    for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
        opt_get_str(l, accepted[i], NULL); /* no effect on what the guest sees */
    }
    cfg->max_ram_below_4g = opt_get_size(l, "max-ram-below-4g", 1, cfg->max_ram_below_4g);
    if (opt_has(l, "memory-backend")) {
        free(cfg->memory_backend);
        cfg->memory_backend = xstrdup(opt_get_str(l, "memory-backend", ""));
    }
    accel = opt_get_str(l, "accel", NULL);
    if (accel != NULL) {
        p->machine_accel = true;
        str_list_free(&p->accels);
        if (!opt_accel(p, NULL, accel, errp)) {
            return false;
        }
    }
    return (type == NULL || machine_type(p, type, errp)) && opt_done(l, errp);
}

/* ---- -cpu ---- */

bool opt_cpu(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (opt_is_help(arg)) {
        if (cpu_models_print != NULL) {
            cpu_models_print(stdout);
        }
        p->done = true;
        return true;
    }
    free(p->cfg->cpu);
    p->cfg->cpu = xstrdup(arg);
    return true;
}

/* ---- -m, -smp ---- */

bool opt_memory(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    OptList *l = p->memory;
    uint64_t size;

    if (!opt_add(l, arg, "size", errp)) {
        return false;
    }
    size = opt_get_size(l, "size", 1 << 20, p->cfg->ram_size);
    if (opt_has(l, "slots") || opt_has(l, "maxmem")) {
        opt_get_str(l, "slots", NULL);
        opt_get_str(l, "maxmem", NULL);
        opt_bad(l, "slots= and maxmem=: memory hot-plug is not supported yet");
    }
    if (!opt_done(l, errp)) {
        return false;
    }
    if (size == 0) {
        error_set(errp, "a guest needs some memory");
        return false;
    }
    if (size > MAX_RAM) {
        char show[32];
        error_set(errp, "cannot set up guest memory: %s is more than the limit of 64T",
                  text_show_size(size, show));
        return false;
    }
    p->cfg->ram_size = (size + 4095) & ~4095ull;
    return true;
}

bool opt_numa(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    str_list_add(&((Parser *)opaque)->cfg->numa_args, arg);
    return true;
}

/* memory_short - -mem-path and -mem-prealloc, which say the same as an object does. */
static bool memory_short(MachineConfig *c, Error **errp)
{
    const char *other = c->memory_backend != NULL ? "-machine memory-backend=" : "-numa";

    if (c->mem_path != NULL && (c->memory_backend != NULL || c->numa_args.count != 0)) {
        error_set(errp, "-mem-path: not with %s; give mem-path= to its -object memory-backend-file", other);
        return false;
    }
    if (!c->none && (c->mem_path != NULL || c->mem_prealloc) && c->memory_backend == NULL && c->numa_args.count == 0) {
        if (!memdev_new_board(c->mem_path, c->ram_size, errp)) {
            return false;
        }
        c->memory_backend = xstrdup(MEMDEV_BOARD);
    }
    if (c->mem_prealloc) {
        memdev_prealloc_all();
    }
    return true;
}

/* memory_finish - what objects and nodes make of the guest's memory. */
bool memory_finish(Parser *p, Error **errp)
{
    MachineConfig *c = p->cfg;

    if (!memory_short(c, errp)) {
        return false;
    }
    if (c->memory_backend != NULL && c->numa_args.count == 0) {
        Memdev *m = memdev_find(c->memory_backend);

        if (m == NULL) {
            error_set(errp, "Memory backend '%s' not found", c->memory_backend);
            return false;
        }
        if (opt_has(p->memory, "size") && c->ram_size != memdev_size(m)) {
            error_set(errp, "Machine memory size does not match the size of the memory backend");
            return false;
        }
        c->ram_size = memdev_size(m);
        return memdev_take(m, errp);
    }
    return numa_finish(c, errp);
}

static unsigned smp_get(OptList *l, const char *key)
{
    uint64_t v = opt_get_u64(l, key, UINT32_MAX, 0);

    if (v == 0 && opt_has(l, key)) {
        opt_bad(l, "%s=0: at least one is needed", key);
    }
    if (v > MAX_CPUS) {
        opt_bad(l, "%s=%llu: at most %d processors", key, (unsigned long long)v, MAX_CPUS);
        v = 1;
    }
    return (unsigned)v;
}

/* What is not given is derived: processors from the topology, else cores before sockets. */
bool opt_smp(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    MachineConfig *c = p->cfg;
    OptList *l = p->smp;
    unsigned cpus, max, sockets, dies, cores, threads, product;

    if (!opt_add(l, arg, "cpus", errp)) {
        return false;
    }
    cpus = smp_get(l, "cpus");
    max = smp_get(l, "maxcpus");
    sockets = smp_get(l, "sockets");
    dies = MAX(1u, smp_get(l, "dies"));
    cores = smp_get(l, "cores");
    threads = smp_get(l, "threads");
    if (smp_get(l, "clusters") > 1) {
        opt_bad(l, "clusters=: not on this machine");
    }
    if (!opt_done(l, errp)) {
        return false;
    }
    if (max == 0 && cpus == 0) {
        max = MAX(1u, sockets) * dies * MAX(1u, cores) * MAX(1u, threads);
    } else if (max == 0) {
        max = cpus;
    }
    if (threads == 0 && cores != 0 && sockets != 0) {
        threads = MAX(1u, max / (sockets * dies * cores));
    }
    threads = MAX(1u, threads);
    if (cores == 0) {
        sockets = MAX(1u, sockets);
        cores = MAX(1u, max / (sockets * dies * threads));
    } else if (sockets == 0) {
        sockets = MAX(1u, max / (dies * cores * threads));
    }
    product = sockets * dies * cores * threads;
    cpus = cpus == 0 ? max : cpus;
    if (product != max) {
        error_set(errp,
                  "sockets %u * dies %u * cores %u * threads %u is %u, not the %u processors "
                  "asked for",
                  sockets, dies, cores, threads, product, max);
        return false;
    }
    if (max > MAX_CPUS) {
        error_set(errp, "%u processors; at most %d are possible", max, MAX_CPUS);
        return false;
    }
    if (cpus > max) {
        error_set(errp, "%u processors of at most %u", cpus, max);
        return false;
    }
    c->cpus = cpus;
    c->maxcpus = max;
    c->sockets = sockets;
    c->dies = dies;
    c->cores = cores;
    c->threads = threads;
    return true;
}

/* ---- time ---- */

bool opt_icount(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    IcountOptions *o = &((Parser *)opaque)->cfg->icount;
    OptList *l = opt_parse(arg, "shift", errp);
    const char *shift, *rr;
    bool ok;

    if (l == NULL) {
        return false;
    }
    shift = opt_get_str(l, "shift", NULL);
    rr = opt_get_str(l, "rr", NULL);
    o->on = true;
    o->adapt = shift != NULL && strcmp(shift, "auto") == 0;
    if (shift == NULL) {
        opt_bad(l, "shift= is missing");
    } else if (!o->adapt) {
        o->shift = (unsigned)opt_get_u64(l, "shift", 10, 0);
    }
    if (rr != NULL) {
        opt_bad(l, "rr=%s: record and replay are not supported yet", rr);
    }
    o->align = opt_get_bool(l, "align", false);
    o->sleep = opt_get_bool(l, "sleep", o->adapt || o->align);
    if (o->adapt && o->align) {
        opt_bad(l, "align=on: not with shift=auto");
    }
    if (!o->sleep && (o->adapt || o->align)) {
        opt_bad(l, "sleep=off: not with %s", o->adapt ? "shift=auto" : "align=on");
    }
    ok = opt_done(l, errp);
    opt_free(l);
    return ok;
}

/* "2006-06-17T16:01:21" or "2006-06-17", in UTC. */
static bool parse_date(const char *s, int64_t *out)
{
    struct tm tm = { .tm_isdst = 0 };
    const char *end = strptime(s, "%Y-%m-%d", &tm);

    if (end != NULL && *end == 'T') {
        end = strptime(end + 1, "%H:%M:%S", &tm);
    }
    if (end == NULL || *end != '\0' || !isdigit((unsigned char)s[0])) {
        return false;
    }
    *out = timegm(&tm);
    return true;
}

bool opt_rtc(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    static const char *const clocks[] = { "host", "rt", "vm", NULL };
    static const char *const fixes[] = { "none", "slew", NULL };
    Parser *p = opaque;
    MachineConfig *c = p->cfg;
    const char *base;

    if (!opt_add(p->rtc, arg, NULL, errp)) {
        return false;
    }
    base = opt_get_str(p->rtc, "base", "utc");
    if (strcmp(base, "utc") == 0) {
        c->rtc_base = RTC_UTC;
    } else if (strcmp(base, "localtime") == 0) {
        c->rtc_base = RTC_LOCALTIME;
    } else if (parse_date(base, &c->rtc_start)) {
        c->rtc_base = RTC_DATE;
    } else {
        opt_bad(p->rtc, "base=%s: not utc, localtime or a date such as 2006-06-17T16:01:21", base);
    }
    c->rtc_vm = opt_get_choice(p->rtc, "clock", clocks, 0) == 2;
    c->rtc_rt = opt_get_choice(p->rtc, "clock", clocks, 0) == 1;
    c->rtc_slew = opt_get_choice(p->rtc, "driftfix", fixes, 0) == 1;
    return opt_done(p->rtc, errp);
}

/* ---- what is done when something happens ---- */

bool opt_action(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    OptList *l = opt_parse(arg, NULL, errp);
    bool ok = l != NULL;

    for (ActionOn on = 0; ok && on < ACTION_EVENTS; on++) {
        ok = action_set(&p->cfg->actions, on, opt_get_str(l, action_event(on), NULL), errp);
    }
    ok = ok && opt_done(l, errp);
    opt_free(l);
    return ok;
}

bool opt_watchdog_action(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    return action_set(&((Parser *)opaque)->cfg->actions, ON_WATCHDOG, arg, errp);
}

/* ---- names ---- */

bool opt_name(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (!opt_add(p->name, arg, "guest", errp)) {
        return false;
    }
    free(p->cfg->name);
    free(p->cfg->process);
    p->cfg->name = xstrdup(opt_get_str(p->name, "guest", NULL));
    p->cfg->process = xstrdup(opt_get_str(p->name, "process", NULL));
    opt_get_bool(p->name, "debug-threads", false); /* threads have names anyway */
    return opt_done(p->name, errp);
}

bool opt_uuid(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    MachineConfig *cfg = ((Parser *)opaque)->cfg;

    if (!uuid_parse(arg, cfg->uuid)) {
        error_set(errp, "a UUID looks like 550e8400-e29b-41d4-a716-446655440000");
        return false;
    }
    cfg->have_uuid = true;
    return true;
}

bool opt_msg(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    static const char *const levels[] = { "warning", "info", NULL };
    Parser *p = opaque;

    if (!opt_add(p->msg, arg, NULL, errp)) {
        return false;
    }
    report_setup(p->cfg->program, opt_get_choice(p->msg, "level", levels, 0) == 1,
                 opt_get_bool(p->msg, "timestamp", false));
    opt_get_bool(p->msg, "guest-name", false);
    return opt_done(p->msg, errp);
}

bool opt_overcommit(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (!opt_add(p->overcommit, arg, NULL, errp)) {
        return false;
    }
    if (opt_get_bool(p->overcommit, "mem-lock", false)) {
        opt_bad(p->overcommit, "mem-lock=on: not supported yet");
    }
    opt_get_bool(p->overcommit, "cpu-pm", false);
    return opt_done(p->overcommit, errp);
}

/* ---- -sandbox ---- */

bool opt_sandbox(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    static const char *const denied[] = { "obsolete", "elevateprivileges", "spawn", "resourcecontrol" };
    Parser *p = opaque;
    OptList *l = opt_parse(arg, "enable", errp);
    bool ok;

    if (l == NULL) {
        return false;
    }
    p->cfg->sandbox = opt_get_bool(l, "enable", true) ? SANDBOX_ON : SANDBOX_OFF;
    for (size_t n = 0; n < ARRAY_SIZE(denied); n++) {
        const char *value = opt_get_str(l, denied[n], "deny");

        if (strcmp(value, "deny") != 0) {
            opt_bad(l, "%s=%s: only deny is there, and is always so", denied[n], value);
        }
    }
    ok = opt_done(l, errp);
    opt_free(l);
    return ok;
}
