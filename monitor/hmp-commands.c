/*
 * The human monitor's table of commands, and the two that list it.
 */
#include "monitor/hmp-internal.h"

#include <string.h>
#include "accel/accel.h"
#include "base/error.h"
#include "base/mem.h"

static const HmpCommand commands[] = {
#define HMP_COMMAND(name, alias, args, help, fn) { name, alias, args, help, fn },
#define HMP_INFO(name, args, help, fn)
#include "monitor/hmp-commands.inc"
#undef HMP_COMMAND
#undef HMP_INFO
    { 0 },
};

static const HmpCommand infos[] = {
#define HMP_COMMAND(name, alias, args, help, fn)
#define HMP_INFO(name, args, help, fn) { name, NULL, args, help, fn },
#include "monitor/hmp-commands.inc"
#undef HMP_COMMAND
#undef HMP_INFO
    { 0 },
};

/* Of QEMU's, as its `help` lists them; refused by name. */
static const char *const not_here[] = {
    "announce_self", "balloon", "block_job_cancel", "block_job_complete", "block_job_pause", "block_job_resume",
    "block_job_set_speed", "block_resize", "block_set_io_throttle", "block_stream", "calc_dirty_rate",
    "chardev-add", "chardev-change", "chardev-remove", "chardev-send-break", "client_migrate_info", "closefd",
    "commit", "delvm", "device_add", "device_del", "drive_add", "drive_backup", "drive_del", "drive_mirror",
    "dump-guest-memory", "dumpdtb", "exit_preconfig", "gdbserver", "getfd", "gpa2hpa", "gpa2hva", "gva2gpa",
    "loadvm", "mce", "migrate_cancel", "migrate_continue", "migrate_incoming",
    "migrate_pause", "migrate_recover", "migrate_set_capability", "migrate_set_parameter",
    "migrate_start_postcopy", "nbd_server_add", "nbd_server_remove", "nbd_server_start", "nbd_server_stop",
    "object_add", "object_del", "pcie_aer_inject_error", "qemu-io", "qom-get",
    "qom-list", "qom-set", "replay_break", "replay_delete_break", "replay_seek", "ringbuf_read",
    "ringbuf_write", "savevm", "singlestep", "snapshot_blkdev", "snapshot_blkdev_internal",
    "snapshot_delete_blkdev_internal", "stopcapture", "sum", "sync-profile", "system_wakeup", "trace-file",
    "watchdog_action", "wavcapture", "x_colo_lost_heartbeat",
    "info balloon", "info block-jobs", "info blockstats", "info capture", "info cryptodev", "info dump",
    "info hotpluggable-cpus", "info iothreads", "info memdev", "info memory-devices",
    "info memory_size_summary", "info migrate", "info migrate_capabilities", "info migrate_parameters",
    "info numa", "info opcount", "info profile", "info qdm", "info qom-tree", "info ramblock",
    "info rdma", "info replay", "info rocker", "info roms", "info sev", "info sgx", "info snapshots",
    "info spice", "info stats", "info sync-profile", "info tpm", "info usbhost", "info virtio",
    "info vm-generation-id",
};

bool hmp_not_here(const char *name)
{
    for (size_t n = 0; n < ARRAY_SIZE(not_here); n++) {
        if (strcmp(not_here[n], name) == 0) {
            return true;
        }
    }
    return false;
}

static const HmpCommand *find(const HmpCommand *table, const char *name)
{
    for (const HmpCommand *c = table; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0 || (c->alias != NULL && strcmp(c->alias, name) == 0)) {
            return c;
        }
    }
    return NULL;
}

const HmpCommand *hmp_find(const char *name)
{
    return find(commands, name);
}

const HmpCommand *hmp_find_info(const char *name)
{
    return find(infos, name);
}

const HmpCommand *hmp_table(bool info)
{
    return info ? infos : commands;
}

char *hmp_word(char **rest)
{
    char *w = *rest + strspn(*rest, " \t"), *end = w + strcspn(w, " \t");

    *rest = *end != 0 ? end + 1 : end;
    *end = 0;
    return w;
}

static void print_help(FILE *out, const char *prefix, const HmpCommand *c)
{
    fprintf(out, "%s%s%s%s%s%s -- %s\n", prefix, c->name, c->alias ? "|" : "",
            c->alias ? c->alias : "", *c->args ? " " : "", c->args, c->help);
}

void hmp_help(HmpSession *m, FILE *out, char *arg)
{
    const HmpCommand *c = find(commands, arg);

    if (*arg != 0 && strcmp(arg, "info") != 0) {
        if (c == NULL) {
            fprintf(out, "unknown command: '%s'\n", arg);
        } else {
            print_help(out, "", c);
        }
        return;
    }
    for (c = *arg ? infos : commands; c->name != NULL; c++) {
        print_help(out, *arg ? "info " : "", c);
    }
}

void hmp_info(HmpSession *m, FILE *out, char *arg)
{
    char *name = hmp_word(&arg);
    const HmpCommand *c = find(infos, name);

    if (*name == 0) {
        hmp_help(m, out, (char[]){ "info" });
    } else if (c == NULL) {
        autofree char *whole = xasprintf("info %s", name);

        if (hmp_not_here(whole)) {
            fprintf(out, "Error: %s: not implemented in doppel\n", whole);
        } else {
            fprintf(out, "unknown command: '%s'\n", whole);
        }
    } else {
        c->run(m, out, arg);
    }
}

void hmp_error(FILE *out, Error *err)
{
    if (err != NULL) {
        fprintf(out, "Error: %s\n", error_text(err));
        error_free(err);
    }
}

void hmp_usage(FILE *out, const char *name)
{
    const HmpCommand *c = find(commands, name);

    fprintf(out, "Error: usage: %s %s\n", c->name, c->args);
}

CpuState *hmp_cpu(const HmpSession *m)
{
    return accel_cpu(m->cpu);
}
