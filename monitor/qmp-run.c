/*
 * QMP: running, stopping and ending the machine; its memory.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <json-c/json.h>
#include "accel/accel.h"
#include "machine/run.h"
#include "monitor/ops.h"

bool qmp_query_status(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    static const char *const names[] = {
        [RUN_PRELAUNCH] = "prelaunch", [RUN_RUNNING] = "running", [RUN_PAUSED] = "paused",
        [RUN_SHUTDOWN] = "shutdown",   [RUN_DEBUG] = "debug",
    };

    *ret = json_object_new_object();
    json_add_text(*ret, "status", names[vm_state()]);
    json_add_bool(*ret, "singlestep", false);
    json_add_bool(*ret, "running", vm_state() == RUN_RUNNING);
    return true;
}

bool qmp_stop(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    vm_stop(RUN_PAUSED);
    return true;
}

bool qmp_cont(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    return op_cont(errp);
}

bool qmp_quit(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    machine_quit("host-qmp-quit");
    return true;
}

/* A machine without a processor (-M none) has nothing to reset or to press. */
static bool has_board(Error **errp)
{
    if (accel_cpu_count() == 0) {
        error_set(errp, "there is no board (-machine none)");
    }
    return accel_cpu_count() > 0;
}

bool qmp_system_reset(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    if (!has_board(errp)) {
        return false;
    }
    machine_reset_user();
    return true;
}

bool qmp_system_powerdown(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    machine_powerdown_request();
    return true;
}

bool qmp_inject_nmi(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    if (!has_board(errp)) {
        return false;
    }
    op_nmi();
    return true;
}

static bool save(CpuState *c, Json *args, Error **errp)
{
    int64_t size = qmp_int(args, "size", 0);

    if (size < 0) {
        error_set(errp, "Parameter 'size' expects a number of bytes");
        return false;
    }
    return op_memory_save(c, (uint64_t)qmp_int(args, "val", 0), (uint64_t)size, qmp_str(args, "filename"),
                          errp);
}

bool qmp_memsave(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    int64_t cpu = qmp_int(args, "cpu-index", 0);

    if (cpu < 0 || cpu >= accel_cpu_count()) {
        error_set(errp, "Parameter 'cpu-index' expects a CPU number");
        return false;
    }
    return save(accel_cpu((unsigned)cpu), args, errp);
}

bool qmp_pmemsave(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    return has_board(errp) && save(NULL, args, errp);
}
#endif
