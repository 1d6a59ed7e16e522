/*
 * Inside -netdev socket, stream and dgram: a network that goes over a socket of the host (socket.c moves the frames).
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "chardev/address.h"
#include "net/backend.h"

typedef struct SocketNet {
    NetBackend b; /* first member */
    /* changed by the loop thread under the machine lock */
    int listen, fd;
    int out_fd;        /* datagrams: sends; else fd */
    bool stream, connecting, closed;
    char *what;        /* for info network */
    struct sockaddr_in self; /* multicast: what we sent comes back from here */
    bool have_self;
    struct sockaddr_storage to; /* datagrams: where they go, when the socket is not connected */
    socklen_t to_len;
    char *unlink;      /* a Unix socket's name, which is ours */
    /* stream: constant after open */
    bool events;       /* NETDEV_STREAM_CONNECTED and so on */
    SockAddr addr;     /* to connect to again */
    int64_t again_ns;  /* after so long; 0: not at all */
    /* loop thread */
    Timer again;
    uint8_t *in;
    size_t in_len;
    bool paused;
    /* under the machine lock */
    uint8_t *out;
    size_t out_len;
    bool posted;
} SocketNet;

/* socket_init - nothing is open. socket_start - the descriptors are there, or not yet (a server's, or connecting).
 * socket_fini - all of it, also after a failure. */
void socket_init(SocketNet *s);
void socket_start(SocketNet *s);
void socket_fini(SocketNet *s);
/* socket_mcast - @group's datagrams, on the interface with address @local (NULL: the usual one). */
bool socket_mcast(SocketNet *s, const struct sockaddr_in *group, const char *local, struct Error **errp);
bool socket_fd(SocketNet *s, const char *text, struct Error **errp);
void socket_close(NetBackend *b); /* of the types */
bool socket_stream(SocketNet *s, const SockAddr *a, bool server, struct Error **errp);

#endif
