/*
 * QMP: VNC servers and their passwords.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <string.h>
#include <json-c/json.h>
#include "ui/vnc.h"

typedef struct Lists {
    Json *servers, *clients; /* of all servers; of the server at hand */
    Json *first;             /* query-vnc's answer */
} Lists;

static void add_address(Json *o, const VncAddress *a)
{
    json_add_text(o, "host", a->host);
    json_add_text(o, "service", a->service);
    json_add_text(o, "family", a->family);
    json_add_bool(o, "websocket", a->websocket);
}

static void add_server(void *opaque, const char *id, const char *auth, const VncAddress *a)
{
    Lists *l = opaque;
    Json *o = json_object_new_object(), *where = json_object_new_array();

    l->clients = json_object_new_array();
    if (l->first == NULL) {
        l->first = json_object_new_object();
        json_add_bool(l->first, "enabled", a->host != NULL);
        if (a->host != NULL) {
            json_add_text(l->first, "host", a->host);
            json_add_text(l->first, "service", a->service);
            json_add_text(l->first, "family", a->family);
            json_add_text(l->first, "auth", auth);
            json_add(l->first, "clients", json_object_get(l->clients));
        }
    }
    if (a->host != NULL) {
        Json *one = json_object_new_object();

        add_address(one, a);
        json_add_text(one, "auth", auth);
        json_object_array_add(where, one);
    }
    json_add_text(o, "id", id);
    json_add(o, "server", where);
    json_add(o, "clients", l->clients);
    json_add_text(o, "auth", auth);
    json_object_array_add(l->servers, o);
}

static void add_client(void *opaque, const VncAddress *a)
{
    Lists *l = opaque;
    Json *o = json_object_new_object();

    add_address(o, a);
    json_object_array_add(l->clients, o);
}

static Lists collect(void)
{
    Lists l = { .servers = json_object_new_array() };

    vnc_each(add_server, add_client, &l);
    return l;
}

bool qmp_query_vnc(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    Lists l = collect();

    *ret = l.first;
    if (*ret == NULL) {
        *ret = json_object_new_object();
        json_add_bool(*ret, "enabled", false);
    }
    json_object_put(l.servers);
    return true;
}

bool qmp_query_vnc_servers(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    Lists l = collect();

    json_object_put(l.first);
    *ret = l.servers;
    return true;
}

bool qmp_change_vnc_password(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    return vnc_set_password(NULL, qmp_str(args, "password"), errp);
}
#endif
