/*
 * QMP: how the machine is.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <json-c/json.h>
#include "machine/run.h"

bool qmp_query_status(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    static const char *const names[] = {
        [RUN_PRELAUNCH] = "prelaunch", [RUN_RUNNING] = "running", [RUN_PAUSED] = "paused",
        [RUN_SHUTDOWN] = "shutdown",   [RUN_DEBUG] = "debug", [RUN_IO_ERROR] = "io-error",
        [RUN_WATCHDOG] = "watchdog", [RUN_PANICKED] = "guest-panicked",
        [RUN_INTERNAL_ERROR] = "internal-error",
    };

    *ret = json_object_new_object();
    json_add_text(*ret, "status", names[vm_state()]);
    json_add_bool(*ret, "singlestep", false);
    json_add_bool(*ret, "running", vm_state() == RUN_RUNNING);
    return true;
}

bool qmp_set_action(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    for (ActionOn on = 0; on < ACTION_EVENTS; on++) {
        Json *what = json_object_object_get(args, action_event(on));

        if (what != NULL && !action_set(vm_actions(), on, json_object_get_string(what), errp)) {
            return false;
        }
    }
    return true;
}
#endif
