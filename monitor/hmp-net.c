/*
 * The human monitor: networks.
 */
#include "monitor/hmp-internal.h"

#include "base/error.h"
#include "bus/lock.h"
#include "net/backend.h"

void hmp_info_network(HmpSession *m, FILE *out, const Args *a)
{
    machine_lock();
    net_info(out);
    machine_unlock();
}

void hmp_info_usernet(HmpSession *m, FILE *out, const Args *a)
{
    net_user_info(out);
}

static void forward(FILE *out, const Args *a, bool add)
{
    const char *rule = arg_str(a, "rule");
    Error *err = NULL;

    if (!net_user_forward(arg_str(a, "netdev"), rule, add, &err)) {
        hmp_error(out, err);
    } else if (!add) {
        fprintf(out, "host forwarding rule for %s removed\n", rule);
    }
}

void hmp_hostfwd_add(HmpSession *m, FILE *out, const Args *a)
{
    forward(out, a, true);
}

void hmp_hostfwd_remove(HmpSession *m, FILE *out, const Args *a)
{
    forward(out, a, false);
}
