/*
 * Socket addresses of character devices: unix paths, TCP hosts and ports, inherited descriptors.
 */
#ifndef CHARDEV_ADDRESS_H
#define CHARDEV_ADDRESS_H

#include <stdbool.h>
#include "base/optlist.h"

typedef struct SockAddr {
    char *path;        /* unix; else NULL */
    bool abstract;     /* unix: not in the file system */
    char *host, *port; /* TCP; host may be empty */
    unsigned to;       /* server: last port to try; 0: only that one */
    int family;        /* AF_UNSPEC, AF_INET, AF_INET6 */
    int fd;            /* inherited, else -1 */
} SockAddr;

/* addr_take - from path=, host=, port=, fd=, to=, ipv4=, ipv6=, abstract= of @l. */
bool addr_take(SockAddr *a, OptList *l, struct Error **errp);
void addr_free(SockAddr *a);

/* addr_setup - listening and connecting are services of the broker from now on. Before all others and the broker. */
void addr_setup(void);

/* addr_listen - a listening descriptor, or -1 with @errp. */
int addr_listen(const SockAddr *a, struct Error **errp);
/* addr_connect - a descriptor; with @async the connection may still be in progress (*pending).
 * Looking a host name up blocks. */
int addr_connect(const SockAddr *a, bool async, bool *pending, struct Error **errp);

/* addr_show - "unix:/path" or "tcp:127.0.0.1:4444"; freed by the caller. */
char *addr_show(const SockAddr *a);
/* addr_show_fd - the local (or peer's) address of a TCP socket as "host:port"; NULL for others. */
char *addr_show_fd(int fd, bool peer);

#endif
