/* Exports of the machine's disks: see export.h. */
#include "block/export.h"

#include <stdlib.h>
#include <string.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/event.h"
#include "base/mem.h"
#include "block/internal.h"
#include "block/nbd-server.h"
#include "block/node.h"

typedef struct Export {
    char *id, *name, *node;
    struct Export *next;
} Export;

/* loop thread */
static NbdServer *server;
static char *socket_path; /* of the server, or NULL */
static bool single;       /* one client at a time */
static Export *exports;

bool export_start(const SockAddr *a, unsigned max, Error **errp)
{
    const NbdServerParams p = { .max_clients = max };
    int fd, r;

    if (server != NULL) {
        error_set(errp, "NBD server already running");
        return false;
    }
    fd = addr_listen(a, errp);
    if (fd < 0) {
        return false;
    }
    server = nbd_server_new(&p);
    r = nbd_server_listen(server, fd);
    if (r != 0) {
        error_set_errno(errp, -r, "cannot serve NBD");
        nbd_server_free(server);
        server = NULL;
        return false;
    }
    socket_path = a->abstract ? NULL : xstrdup(a->path);
    single = max == 1;
    return true;
}

static void forget(Export *e)
{
    Export **p = &exports;
    const EventField fields[] = { EV_STR("id", e->id), EV_END };

    while (*p != e) {
        p = &(*p)->next;
    }
    *p = e->next;
    event_emit("BLOCK_EXPORT_DELETED", fields);
    free(e->id);
    free(e->name);
    free(e->node);
    free(e);
}

bool export_stop(Error **errp)
{
    if (server == NULL) {
        error_set(errp, "NBD server not running");
        return false;
    }
    nbd_server_free(server);
    server = NULL;
    while (exports != NULL) {
        forget(exports);
    }
    if (socket_path != NULL) {
        host_unlink(socket_path);
    }
    free(socket_path);
    socket_path = NULL;
    return true;
}

void exports_free(void)
{
    if (server != NULL) {
        export_stop(NULL);
    }
}

static Export *find(const char *id)
{
    Export *e = exports;

    while (e != NULL && strcmp(e->id, id) != 0) {
        e = e->next;
    }
    return e;
}

/* Who looks for the drive whose medium is a node called so. */
typedef struct Look {
    const char *node;
    BlockBackend *found;
} Look;

static void is_it(void *opaque, BlockBackend *b)
{
    Look *l = opaque;

    if (b->node != NULL && strcmp(b->node, l->node) == 0) {
        l->found = b;
    }
}

/* find_image - of a node, or of a drive unless only nodes are meant: a reference; @e gets what its writes are like. */
static BlockImage *find_image(const ExportParams *p, NbdExportParams *e, const char **node, Error **errp)
{
    Look l = { .node = p->node };

    if (node_known(p->node) || !p->node_only) {
        l.found = blk_find(p->node); /* nodes that devices use have one, too */
    } else {
        blk_each(is_it, &l);
    }
    if (l.found == NULL && !node_known(p->node)) {
        error_set(errp, "Cannot find device='%s' nor node-name='%s'", p->node_only ? "" : p->node, p->node);
        return NULL;
    }
    *node = l.found != NULL && l.found->node != NULL ? l.found->node : p->node;
    if (l.found == NULL) {
        return node_image(p->node, errp);
    }
    if (l.found->img == NULL) {
        error_set(errp, "Device '%s' has no medium", p->node);
        return NULL;
    }
    e->discard = l.found->discard;
    e->detect_zeroes = l.found->detect_zeroes;
    return image_ref(l.found->img);
}

bool export_add(const ExportParams *p, Error **errp)
{
    NbdExportParams e = { .name = p->name != NULL ? p->name : p->node, .description = p->description,
                          .read_only = !p->writable, .shared = !single, .depth = p->depth };
    const char *node;
    BlockImage *img;
    bool ok;

    if (server == NULL) {
        error_set(errp, "NBD server not running");
        return false;
    }
    if (find(p->id) != NULL) {
        error_set(errp, "Block export id '%s' is already in use", p->id);
        return false;
    }
    img = find_image(p, &e, &node, errp);
    if (img == NULL) {
        return false;
    }
    if (p->writable && img->read_only) {
        error_set(errp, "Cannot export read-only node '%s' for writing", node);
        ok = false;
    } else {
        ok = nbd_server_add(server, &e, img, errp);
    }
    image_unref(img); /* the export has its own */
    if (ok) {
        Export *made = xnew(Export), **end = &exports;

        *made = (Export){ .id = xstrdup(p->id), .name = xstrdup(e.name), .node = xstrdup(node) };
        while (*end != NULL) {
            end = &(*end)->next;
        }
        *end = made;
    }
    return ok;
}

bool export_del(const char *id, bool hard, Error **errp)
{
    Export *e = find(id);

    if (e == NULL) {
        error_set(errp, server == NULL ? "NBD server not running" : "Export '%s' is not found", id);
        return false;
    }
    if (!nbd_server_remove(server, e->name, hard, errp)) {
        return false;
    }
    forget(e);
    return true;
}

void exports_each(void (*fn)(void *opaque, const char *id, const char *node), void *opaque)
{
    for (const Export *e = exports; e != NULL; e = e->next) {
        fn(opaque, e->id, e->node);
    }
}
