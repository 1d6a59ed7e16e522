/*
 * The back ends there are: see backend.h.
 */
#include "net/backend.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"
#include "bus/lock.h"

static const NetBackendType *const types[] = { &net_user, &net_tap, &net_bridge, &net_socket, &net_stream, &net_dgram,
                                              &net_hubport };

static NetBackend *backends; /* changed by the loop thread under the machine lock */

static const NetBackendType *find_type(const char *name, Error **errp)
{
    static const char *const absent[] = { "vde", "vhost-user", "vhost-vdpa", "l2tpv3", "netmap", "vmnet-host", "vmnet-shared", "vmnet-bridged" };
    autofree char *hint = NULL;
    Nearest near;

    nearest_init(&near, name);
    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        if (strcmp(types[n]->name, name) == 0) {
            return types[n];
        }
        nearest_offer(&near, types[n]->name);
    }
    for (size_t n = 0; n < ARRAY_SIZE(absent); n++) {
        if (strcmp(absent[n], name) == 0) {
            error_set(errp, "type '%s' is not supported yet (help lists those that are)", name);
            return NULL;
        }
    }
    hint = nearest_hint(&near);
    error_set(errp, "there is no network type '%s'%s", name, hint);
    return NULL;
}

bool net_backend_type_known(const char *name)
{
    return find_type(name, NULL) != NULL;
}

void net_backend_help(FILE *out)
{
    fprintf(out, "Available netdev backend types:\n");
    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        fprintf(out, "%-10s %s\n", types[n]->name, types[n]->help);
    }
}

static void finish(NetBackend *b)
{
    free(b->id);
    if (b->type->lingers) {
        loop_post_always(free, b);
    } else {
        free(b);
    }
}

NetBackend *net_backend_new(OptList *l, const char *id, Error **errp)
{
    const NetBackendType *type = find_type(opt_get_str(l, "type", ""), errp);
    NetBackend *b, **end = &backends;

    id = opt_get_str(l, "id", id);
    if (type == NULL) {
        return NULL;
    }
    if (id == NULL || *id == '\0') {
        error_set(errp, "id= is missing");
        return NULL;
    }
    if (net_backend_find(id) != NULL) {
        error_set(errp, "id '%s' is taken", id);
        return NULL;
    }
    b = xalloc0(1, type->size);
    b->type = type;
    b->id = xstrdup(id);
    if (!type->open(b, l, errp)) {
        finish(b);
        return NULL;
    }
    machine_lock();
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = b;
    machine_unlock();
    return b;
}

void net_backend_free(NetBackend *b)
{
    NetBackend **at = &backends;

    machine_lock();
    while (*at != b) {
        at = &(*at)->next;
    }
    *at = b->next;
    net_dumps_close(&b->port);
    net_port_fini(&b->port);
    machine_unlock();
    b->type->close(b);
    finish(b);
}

bool net_backend_del(const char *id, Error **errp)
{
    NetBackend *b = net_backend_find(id);

    if (b == NULL) {
        error_set_class(errp, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
        return false;
    }
    net_backend_free(b);
    return true;
}

NetBackend *net_backend_find(const char *id)
{
    NetBackend *b = backends;

    while (b != NULL && strcmp(b->id, id) != 0) {
        b = b->next;
    }
    return b;
}

NetBackend *net_backend_first(void)
{
    return backends;
}

void net_close_all(void)
{
    while (backends != NULL) {
        net_backend_free(backends);
    }
}
