/*
 * The human monitor: which processor, what is booted from, saving the machine, gdb.
 */
#include "monitor/hmp-internal.h"

#include <inttypes.h>
#include <string.h>
#include "accel/accel.h"
#include "base/error.h"
#include "bus/lock.h"
#include "machine/firmware.h"
#include "machine/pc.h"
#include "machine/run.h"
#include "machine/snapshot.h"
#include "monitor/gdbstub.h"

void hmp_set_cpu(HmpSession *m, FILE *out, const Args *a)
{
    int64_t n = arg_int(a, "index", 0);

    if (n < 0 || n >= accel_cpu_count()) {
        fprintf(out, "Error: there is no processor '%" PRId64 "' (0 to %u)\n", n, accel_cpu_count() - 1);
        return;
    }
    m->cpu = (unsigned)n;
}

void hmp_migrate(HmpSession *m, FILE *out, const Args *a)
{
    const char *uri = arg_str(a, "uri");
    Error *err = NULL;

    if (strncmp(uri, "file:", 5) != 0 || uri[5] == '\0') {
        fprintf(out, "Error: migrate: only file:PATH is there yet\n");
        return;
    }
    vm_stop(RUN_PAUSED);
    if (!snapshot_to_file(uri + 5, &err)) {
        hmp_error(out, err);
    }
}

void hmp_boot_set(HmpSession *m, FILE *out, const Args *a)
{
    char order[BOOT_ORDER_MAX + 1];
    Error *err = NULL;

    if (!boot_order_check(arg_str(a, "letters"), order, &err)) {
        hmp_error(out, err);
        return;
    }
    machine_lock();
    pc_boot_set(order);
    machine_unlock();
    fprintf(out, "boot device list now set to %s\n", order);
}

void hmp_gdbserver(HmpSession *m, FILE *out, const Args *a)
{
    const char *where = arg_str(a, "device") != NULL ? arg_str(a, "device") : "tcp::1234";
    Error *err = NULL;

    if (strcmp(where, "none") == 0) {
        gdb_close();
        fprintf(out, "Disabled gdbserver\n");
    } else if (gdb_open(where, &err)) {
        fprintf(out, "Waiting for gdb connection on device '%s'\n", where);
    } else {
        hmp_error(out, err);
    }
}
