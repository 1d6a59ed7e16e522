/*
 * The human monitor: networks.
 */
#include "monitor/hmp-internal.h"

#include <string.h>
#include "base/error.h"
#include "base/optlist.h"
#include "bus/lock.h"
#include "net/backend.h"

void hmp_info_network(HmpSession *m, FILE *out, char *arg)
{
    machine_lock();
    net_info(out);
    machine_unlock();
}

void hmp_info_usernet(HmpSession *m, FILE *out, char *arg)
{
    net_user_info(out);
}

static void forward(FILE *out, char *arg, const char *name, bool add)
{
    const char *first = hmp_word(&arg), *second = hmp_word(&arg);
    bool two = *second != '\0';
    Error *err = NULL;

    if (*first == '\0') {
        hmp_usage(out, name);
    } else if (!net_user_forward(two ? first : NULL, two ? second : first, add, &err)) {
        hmp_error(out, err);
    } else if (!add) {
        fprintf(out, "host forwarding rule for %s removed\n", two ? second : first);
    }
}

void hmp_hostfwd_add(HmpSession *m, FILE *out, char *arg)
{
    forward(out, arg, "hostfwd_add", true);
}

void hmp_hostfwd_remove(HmpSession *m, FILE *out, char *arg)
{
    forward(out, arg, "hostfwd_remove", false);
}

void hmp_netdev_add(HmpSession *m, FILE *out, char *arg)
{
    Error *err = NULL;
    OptList *l;

    if (*arg == '\0') {
        hmp_usage(out, "netdev_add");
        return;
    }
    if (opt_is_help(arg)) {
        net_backend_help(out);
        return;
    }
    l = opt_parse(arg, "type", &err);
    if (l == NULL || net_backend_new(l, NULL, &err) == NULL) {
        hmp_error(out, err);
    }
    opt_free(l);
}

void hmp_netdev_del(HmpSession *m, FILE *out, char *arg)
{
    Error *err = NULL;

    if (*arg == '\0') {
        hmp_usage(out, "netdev_del");
    } else if (!net_backend_del(arg, &err)) {
        hmp_error(out, err);
    }
}

void hmp_set_link(HmpSession *m, FILE *out, char *arg)
{
    const char *name = hmp_word(&arg), *state = hmp_word(&arg);
    bool up = strcmp(state, "on") == 0, ok;
    Error *err = NULL;

    if (*name == '\0' || (!up && strcmp(state, "off") != 0)) {
        hmp_usage(out, "set_link");
        return;
    }
    machine_lock();
    ok = net_set_link(name, up, &err);
    machine_unlock();
    if (!ok) {
        hmp_error(out, err);
    }
}
