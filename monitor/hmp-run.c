/*
 * The human monitor: running, stopping, saving and ending the machine.
 */
#include "monitor/hmp-internal.h"

#include <stdlib.h>
#include <string.h>
#include "accel/accel.h"
#include "base/error.h"
#include "bus/lock.h"
#include "machine/firmware.h"
#include "machine/pc.h"
#include "machine/run.h"
#include "machine/snapshot.h"
#include "monitor/ops.h"

void hmp_quit(HmpSession *m, FILE *out, char *arg)
{
    machine_quit("host-qmp-quit");
}

void hmp_stop(HmpSession *m, FILE *out, char *arg)
{
    vm_stop(RUN_PAUSED);
}

void hmp_cont(HmpSession *m, FILE *out, char *arg)
{
    Error *err = NULL;

    if (!op_cont(&err)) {
        hmp_error(out, err);
    }
}

void hmp_reset(HmpSession *m, FILE *out, char *arg)
{
    machine_reset_user();
}

void hmp_powerdown(HmpSession *m, FILE *out, char *arg)
{
    machine_powerdown_request();
}

void hmp_set_cpu(HmpSession *m, FILE *out, char *arg)
{
    char *end;
    unsigned long n = strtoul(arg, &end, 0);

    if (*arg == 0 || *end != 0 || n >= accel_cpu_count()) {
        fprintf(out, "Error: there is no processor '%s' (0 to %u)\n", arg, accel_cpu_count() - 1);
        return;
    }
    m->cpu = (unsigned)n;
}

void hmp_migrate(HmpSession *m, FILE *out, char *arg)
{
    Error *err = NULL;

    if (strncmp(arg, "file:", 5) != 0 || arg[5] == 0) {
        fprintf(out, "Error: migrate: only file:PATH is there yet\n");
        return;
    }
    vm_stop(RUN_PAUSED);
    if (!snapshot_to_file(arg + 5, &err)) {
        hmp_error(out, err);
    }
}

void hmp_nmi(HmpSession *m, FILE *out, char *arg)
{
    op_nmi();
}

void hmp_boot_set(HmpSession *m, FILE *out, char *arg)
{
    char order[BOOT_ORDER_MAX + 1];
    Error *err = NULL;

    if (*arg == 0) {
        hmp_usage(out, "boot_set");
    } else if (!boot_order_check(arg, order, &err)) {
        hmp_error(out, err);
    } else {
        machine_lock();
        pc_boot_set(order);
        machine_unlock();
        fprintf(out, "boot device list now set to %s\n", order);
    }
}
