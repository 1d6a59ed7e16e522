/*
 * The human monitor: disks for NBD clients.
 */
#include "monitor/hmp-internal.h"

#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "block/block.h"
#include "block/export.h"

enum { CLIENTS = 100 };

/* take_address - host:port, unix:path. */
static bool take_address(SockAddr *addr, const char *text, Error **errp)
{
    const char *colon = strrchr(text, ':');
    OptList *l = opt_new();
    bool ok = colon != NULL;

    *addr = (SockAddr){ .fd = -1 };
    if (strncmp(text, "unix:", 5) == 0) {
        opt_set(l, "path", text + 5);
    } else if (ok) {
        autofree char *host = xstrndup(text, (size_t)(colon - text));

        opt_set(l, "host", host);
        opt_set(l, "port", colon + 1);
    } else {
        error_set(errp, "error parsing address '%s'", text);
    }
    ok = ok && addr_take(addr, l, errp);
    opt_free(l);
    return ok;
}

typedef struct All {
    bool writable;
    Error *err;
} All;

static void add_drive(void *opaque, BlockBackend *b)
{
    All *all = opaque;
    BlockInfo i;
    ExportParams p;

    blk_info(b, &i);
    p = (ExportParams){ .id = i.name, .node = i.name, .writable = all->writable && !i.read_only };
    if (all->err == NULL && i.file != NULL && !i.is_node) {
        export_add(&p, &all->err);
    }
}

void hmp_nbd_server_start(HmpSession *m, FILE *out, const Args *a)
{
    All all = { .writable = arg_bool(a, "writable", false) };
    bool every = arg_bool(a, "all", false);
    SockAddr addr;

    if (all.writable && !every) {
        fprintf(out, "Error: -w only valid together with -a\n");
        return;
    }
    if (take_address(&addr, arg_str(a, "address"), &all.err) && export_start(&addr, CLIENTS, &all.err) && every) {
        blk_each(add_drive, &all);
        if (all.err != NULL) {
            export_stop(NULL);
        }
    }
    addr_free(&addr);
    if (all.err != NULL) {
        hmp_error(out, all.err);
    }
}

void hmp_nbd_server_add(HmpSession *m, FILE *out, const Args *a)
{
    const char *device = arg_str(a, "device"), *name = arg_str(a, "name");
    ExportParams p = { .id = name != NULL ? name : device, .node = device, .name = name,
                       .writable = arg_bool(a, "writable", false) };
    Error *err = NULL;

    if (!export_add(&p, &err)) {
        hmp_error(out, err);
    }
}

void hmp_nbd_server_remove(HmpSession *m, FILE *out, const Args *a)
{
    Error *err = NULL;

    if (!export_del(arg_str(a, "name"), arg_bool(a, "force", false), &err)) {
        hmp_error(out, err);
    }
}

void hmp_nbd_server_stop(HmpSession *m, FILE *out, const Args *a)
{
    Error *err = NULL;

    if (!export_stop(&err)) {
        hmp_error(out, err);
    }
}
