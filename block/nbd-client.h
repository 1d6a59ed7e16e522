/*
 * The disk of an NBD server, as a file that formats stand on.
 *
 * Names: nbd:unix:PATH[:exportname=NAME], nbd:HOST:PORT[:exportname=NAME], nbd://HOST[:PORT]/[NAME], nbd+tcp:// likewise,
 * nbd+unix:///[NAME]?socket=PATH. A query of the last ones may hold reconnect-delay=SECONDS too: how long requests wait
 * for a lost server to come back before they fail (0: not at all).
 *
 * libnbd speaks the protocol. A connection carries many requests at a time, and their answers come in any order; where the
 * server lets several connections see the same, there are a few. Sockets come from the broker where there is one, so that a
 * connection can be made again in the sandbox.
 */
#ifndef BLOCK_NBD_CLIENT_H
#define BLOCK_NBD_CLIENT_H

#include "block/host-file.h"
#include "chardev/address.h"

typedef struct NbdAddress {
    SockAddr addr;
    char *export_name;
    unsigned reconnect_s;
} NbdAddress;

/* nbd_is_address - @name begins as one of those. nbd_address_parse - freed by nbd_address_free(), also after an error. */
bool nbd_is_address(const char *name);
bool nbd_address_parse(NbdAddress *a, const char *name, struct Error **errp);
void nbd_address_free(NbdAddress *a);
/* nbd_address_take - the name that stands for what @l says behind @prefix: server.type=, server.path=, server.host=,
 * server.port=, path=, host=, port=, export=, reconnect-delay=. Freed by the caller; NULL with errp. */
char *nbd_address_take(OptList *l, const char *prefix, struct Error **errp);

/* nbd_client_open - connects. *read_only: the server lets nobody write. NULL with errp. */
RemoteFile *nbd_client_open(const char *name, bool *read_only, struct Error **errp);
/* nbd_clients_hurry - the program ends: nobody waits for a server to come back any more. */
void nbd_clients_hurry(void);

#endif
