/*
 * The human monitor: a line is run; the commands that list commands.
 */
#include "monitor/hmp-internal.h"

#include <string.h>
#include "accel/accel.h"
#include "base/error.h"
#include "base/mem.h"
#include "monitor/hmp-args.h"

/* Of QEMU's, as its `help` lists them; refused by name. */
static const char *const not_here[] = {
    "announce_self", "block_job_cancel", "block_job_complete", "block_job_pause", "block_job_resume",
    "block_job_set_speed", "block_stream", "calc_dirty_rate",
    "chardev-change", "client_migrate_info", "closefd",
    "delvm", "drive_backup", "drive_mirror",
    "dump-guest-memory", "dumpdtb", "exit_preconfig", "getfd", "gpa2hpa", "loadvm", "mce", "migrate_cancel", "migrate_continue", "migrate_incoming",
    "migrate_pause", "migrate_recover", "migrate_set_capability", "migrate_set_parameter",
    "migrate_start_postcopy",
    "pcie_aer_inject_error", "qemu-io", "qom-get",
    "qom-list", "qom-set", "replay_break", "replay_delete_break", "replay_seek", "ringbuf_read",
    "ringbuf_write", "savevm", "singlestep", "snapshot_blkdev", "snapshot_blkdev_internal",
    "snapshot_delete_blkdev_internal", "stopcapture", "sum", "sync-profile", "system_wakeup", "trace-file",
    "wavcapture", "x_colo_lost_heartbeat",
    "info capture", "info cryptodev", "info dump",
    "info hotpluggable-cpus", "info iothreads", "info memory-devices",
    "info migrate", "info migrate_capabilities", "info migrate_parameters",
    "info opcount", "info profile", "info qdm", "info qom-tree", "info ramblock",
    "info rdma", "info replay", "info rocker", "info roms", "info sev", "info sgx", "info snapshots",
    "info spice", "info stats", "info sync-profile", "info tpm", "info usbhost", "info virtio",
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

/* ---- running ---- */

static void unknown(FILE *out, const char *name)
{
    if (hmp_not_here(name)) {
        fprintf(out, "Error: %s: not implemented in doppel\n", name);
    } else {
        fprintf(out, "unknown command: '%s'\n", name);
    }
}

static void run(HmpSession *m, FILE *out, const Command *c, const char *line, const char *at)
{
    Error *err = NULL;
    Args args;

    if (!command_can(c, &err)) {
        fprintf(out, "Error: %s: %s\n", c->name, error_text(err));
        error_free(err);
        return;
    }
    if (hmp_args_take(m, c, line, at, &args, out)) {
        if (c->run != NULL) {
            c->run(&args, &err);
            hmp_error(out, err);
        } else {
            c->hmp(m, out, &args);
        }
    }
    args_free(&args);
}

void hmp_execute(HmpSession *m, FILE *out, const char *line)
{
    const char *start = line + strspn(line, " \t"), *end = start + strcspn(start, " \t/"); /* x/4i */
    autofree char *name = xstrndup(start, (size_t)(end - start));
    const Command *c = command_find(COMMAND_HUMAN, name);
    const char *topic = end + strspn(end, " \t");

    if (*name == '\0') {
        return;
    }
    if (c == NULL) {
        unknown(out, name);
    } else if (strcmp(name, "info") != 0 || *topic == '\0') {
        run(m, out, c, line, end);
    } else { /* its topics have rows of their own */
        end = topic + strcspn(topic, " \t");
        autofree char *word = xstrndup(topic, (size_t)(end - topic));
        autofree char *whole = xasprintf("info %s", word);

        c = command_find(COMMAND_INFO, word);
        if (c != NULL) {
            run(m, out, c, line, end);
        } else {
            unknown(out, whole);
        }
    }
}

void hmp_error(FILE *out, Error *err)
{
    if (err != NULL) {
        fprintf(out, "Error: %s\n", error_text(err));
        error_free(err);
    }
}

CpuState *hmp_cpu(const HmpSession *m)
{
    return accel_cpu(m->cpu);
}

/* ---- help ---- */

static void print_help(FILE *out, const Command *c)
{
    fprintf(out, "%s%s%s%s", c->info ? "info " : "", c->name, c->alias ? "|" : "", c->alias ? c->alias : "");
    hmp_args_print(c, out);
    fprintf(out, " -- %s\n", c->help);
}

static void list(FILE *out, CommandKind kind)
{
    for (const Command *c = command_next(NULL, kind); c != NULL; c = command_next(c, kind)) {
        print_help(out, c);
    }
}

void hmp_help(HmpSession *m, FILE *out, const Args *a)
{
    const char *name = arg_str(a, "command"), *topic = arg_str(a, "topic");
    bool info = name != NULL && strcmp(name, "info") == 0;
    const Command *c = topic != NULL  ? command_find(COMMAND_INFO, topic)
                       : name != NULL ? command_find(COMMAND_HUMAN, name)
                                      : NULL;

    if (name == NULL || (info && topic == NULL)) {
        list(out, info ? COMMAND_INFO : COMMAND_HUMAN);
    } else if (c != NULL && info == c->info) {
        print_help(out, c);
    } else {
        fprintf(out, "unknown command: '%s%s%s'\n", name, topic != NULL ? " " : "", topic != NULL ? topic : "");
    }
}

void hmp_info(HmpSession *m, FILE *out, const Args *a)
{
    list(out, COMMAND_INFO);
}
