/*
 * Back ends of networks, as -netdev makes them: a table of types (net/backend.c) and the list of those there are.
 */
#ifndef NET_BACKEND_H
#define NET_BACKEND_H

#include "base/optlist.h"
#include "net/net.h"

typedef struct NetBackend NetBackend;

typedef struct NetBackendType {
    const char *name;
    const char *help;
    size_t size; /* of the struct whose first member is a NetBackend */
    /* Take the sub-options, fill in ports' operations by net_backend_init(). Loop thread, no lock. On failure
     * undoes what it did. */
    bool (*open)(NetBackend *b, OptList *l, struct Error **errp);
    /* Its port is unplugged. It frees the struct's members, not the struct. Loop thread, no lock. */
    void (*close)(NetBackend *b);
    bool lingers; /* the struct is freed after the posted calls */
} NetBackendType;

struct NetBackend {
    const NetBackendType *type;
    char *id;
    NetPort port;
    NetBackend *next;
};

extern const NetBackendType net_user, net_socket, net_stream, net_dgram, net_tap, net_bridge, net_hubport;

/* net_backend_new - from type=, id= and those of the type; all must be known. @id: used without id= in @l.
 * Loop thread, no lock held. */
NetBackend *net_backend_new(OptList *l, const char *id, struct Error **errp);
/* net_backend_free - unplugs it first. */
void net_backend_free(NetBackend *b);
bool net_backend_del(const char *id, struct Error **errp);
NetBackend *net_backend_find(const char *id);
NetBackend *net_backend_first(void);
void net_close_all(void);
void net_backend_help(FILE *out);
bool net_backend_type_known(const char *name);

/* net_hub_port - a port of hub @hub for @peer's owner (old -net); made as needed. */
NetBackend *net_hub_port(unsigned hub, struct Error **errp);
/* net_hub_print - `info network` of the hubs. */
void net_hubs_print(FILE *out);
/* net_port_print - one line of info network. */
void net_port_print(const NetPort *p, const char *indent, FILE *out);

/* ---- user ---- */

/* net_user_forward - hostfwd_add, hostfwd_remove: on the network called @id (NULL: the first). */
bool net_user_forward(const char *id, const char *rule, bool add, struct Error **errp);
void net_user_info(FILE *out);
/* net_user_available - this build has it, and the library is installed. */
bool net_user_available(void);

/* ---- dump ---- */

/* net_dump_new - -object filter-dump: id=, netdev=, file=, maxlen=. Loop thread, no lock. */
bool net_dump_new(OptList *l, struct Error **errp);
/* net_dump_del - whether there was one called @id. */
bool net_dump_del(const char *id);
void net_dump_frame(struct NetDump *d, const uint8_t *frame, size_t len);
void net_dumps_close(NetPort *p);

#endif
