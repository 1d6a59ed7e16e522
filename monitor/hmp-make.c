/*
 * The human monitor: what is made of options while the machine runs.
 */
#include "monitor/hmp-internal.h"

#include "base/error.h"
#include "base/optlist.h"
#include "chardev/chardev.h"
#include "machine/drives.h"
#include "machine/objects.h"
#include "machine/plug.h"
#include "monitor/ops.h"
#include "net/backend.h"

/* make - what the options in @a describe, by @fn; their first word may be the value of @implied. */
static void make(FILE *out, const Args *a, const char *implied, bool (*fn)(OptList *l, Error **errp),
                 void (*help)(FILE *out))
{
    const char *text = arg_str(a, "options");
    Error *err = NULL;
    OptList *l;

    if (opt_is_help(text)) {
        help(out);
        return;
    }
    l = opt_parse(text, implied, &err);
    if (l == NULL || !fn(l, &err)) {
        hmp_error(out, err);
    }
    opt_free(l);
}

static bool new_netdev(OptList *l, Error **errp)
{
    return net_backend_new(l, NULL, errp) != NULL;
}

void hmp_netdev_add(HmpSession *m, FILE *out, const Args *a)
{
    make(out, a, "type", new_netdev, net_backend_help);
}

static bool new_chardev(OptList *l, Error **errp)
{
    return op_chardev_add(l, errp) != NULL;
}

void hmp_chardev_add(HmpSession *m, FILE *out, const Args *a)
{
    make(out, a, "backend", new_chardev, chardev_help);
}

void hmp_device_add(HmpSession *m, FILE *out, const Args *a)
{
    make(out, a, "driver", plug_hot, plug_list);
}

void hmp_drive_add(HmpSession *m, FILE *out, const Args *a)
{
    OptList *l;
    Error *err = NULL;

    if (arg_bool(a, "node", false)) {
        fprintf(out, "Error: drive_add -n is not supported yet\n");
        return;
    }
    l = opt_parse(arg_str(a, "options"), "file", &err);
    if (l == NULL || !drive_hot_add(l, &err)) {
        hmp_error(out, err);
    } else {
        fprintf(out, "OK\n");
    }
    opt_free(l);
}

void hmp_drive_del(HmpSession *m, FILE *out, const Args *a)
{
    Error *err = NULL;

    if (!op_drive_del(arg_str(a, "id"), &err)) {
        hmp_error(out, err);
    }
}

void hmp_object_add(HmpSession *m, FILE *out, const Args *a)
{
    make(out, a, "qom-type", object_new, object_help);
}
