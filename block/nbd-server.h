/*
 * An NBD server: images that others may use over a socket.
 *
 * A client has threads of its own, few of them: whoever holds the client's `turn` reads the next request, gives the
 * turn on, carries the request out and answers it. So requests of one client are done at the same time, a reply is
 * one piece, and a client has no more memory here than its threads and CLIENT_BYTES allow. Clients are hostile:
 * whatever they say, they lose their connection at worst.
 *
 * Source: nbd.h. Not spoken: TLS, the oldstyle negotiation, extended headers.
 */
#ifndef BLOCK_NBD_SERVER_H
#define BLOCK_NBD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "block/image.h"

struct Error;
typedef struct NbdServer NbdServer;

typedef struct NbdExportParams {
    const char *name;        /* what clients ask for; "" is the one that they get without asking */
    const char *description; /* or NULL */
    uint64_t offset;         /* where in the image it begins; it goes to the image's end */
    bool read_only;
    bool shared;    /* several clients may have it at a time: said to them, for they may then connect more than once */
    bool discard;   /* what clients trim is given back to the host */
    bool depth;     /* qemu:allocation-depth is told */
    BlockDetect detect_zeroes;
} NbdExportParams;

typedef struct NbdServerParams {
    unsigned max_clients; /* at a time; others wait. 0: many */
    bool verbose;         /* who comes and goes is told on stderr */
    /* gone - a client that had an export has left, and @left are still there. On a thread of the server; may be NULL. */
    void (*gone)(void *opaque, unsigned left);
    void *opaque;
} NbdServerParams;

NbdServer *nbd_server_new(const NbdServerParams *p);
/* nbd_server_add - an export; takes a reference to @img. False: there is one of that name, or @p->offset is behind its end. */
bool nbd_server_add(NbdServer *s, const NbdExportParams *p, BlockImage *img, struct Error **errp);
/* nbd_server_remove - an export; with @force, clients that have it are cut off, else it must have none. */
bool nbd_server_remove(NbdServer *s, const char *name, bool force, struct Error **errp);
/* nbd_server_listen - begin to accept clients at @fd, which is the server's from now on. 0 or -errno. */
int nbd_server_listen(NbdServer *s, int fd);
/* nbd_server_free - no client is left when it returns: they are cut off, and what they had under way is done. */
void nbd_server_free(NbdServer *s);

/* How a client is reached; tests have others than sockets. */
typedef struct NbdStream {
    ssize_t (*recv)(void *opaque, void *buf, size_t len);            /* some bytes; 0 at the end, or -errno */
    int (*send)(void *opaque, struct iovec *iov, unsigned count);    /* all of it: 0 or -errno; @iov is worn out */
    void (*negotiated)(void *opaque);                                /* it has an export now; or NULL */
    void (*cut)(void *opaque);                                       /* recv() and send() fail from now on. Any thread */
    void *opaque;
} NbdStream;

/* nbd_serve - one client, until it leaves; @threads at most work for it. True: it had an export. */
bool nbd_serve(NbdServer *s, const NbdStream *stream, unsigned threads);

#endif
