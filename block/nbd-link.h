/* Between the files of the NBD server: see nbd-server.h. */
#ifndef BLOCK_NBD_LINK_H
#define BLOCK_NBD_LINK_H

#include <pthread.h>
#include "block/nbd-server.h"

enum { NBD_THREADS_MAX = 8 };

typedef struct NbdExport {
    unsigned refs; /* atomic */
    char *name, *description;
    BlockImage *img;
    uint64_t offset, size; /* of what clients see, in the image */
    bool read_only, shared, discard, depth;
    BlockDetect detect_zeroes;
    bool removed; /* with `next` under the server's lock */
    struct NbdExport *next;
} NbdExport;

/* Contexts of block status, by the numbers that clients get. */
enum { NBD_CONTEXT_ALLOCATION, NBD_CONTEXT_DEPTH, NBD_CONTEXTS };

typedef struct NbdLink {
    NbdServer *server;
    NbdStream stream;
    /* negotiated, then constant */
    NbdExport *exp;
    bool fixed, no_zeroes, structured;
    bool contexts[NBD_CONTEXTS];
    /* transmission */
    pthread_mutex_t turn;      /* to read the next request; outside `lock` */
    pthread_mutex_t send_lock; /* a leaf: a reply is one piece */
    pthread_mutex_t lock;      /* a leaf, of the fields below */
    pthread_cond_t room;
    uint64_t bytes;            /* that requests under way hold */
    unsigned waiting;          /* threads that want the turn */
    unsigned threads, threads_max;
    pthread_t workers[NBD_THREADS_MAX];
    bool ending;    /* under `turn` */
    bool confined;  /* in the sandbox: constant after nbd_prepare() */
    struct NbdLink *next; /* under the server's lock */
} NbdLink;

/* nbd-server.c: the export called @name (@len bytes), a reference, or NULL. nbd_exports - references to all, @count of
 * them; the array is the caller's too. */
NbdExport *nbd_export_find(NbdServer *s, const uint8_t *name, size_t len);
NbdExport **nbd_exports(NbdServer *s, unsigned *count);
void nbd_export_unref(NbdExport *e);

/* nbd_recv - all of it, or false. nbd_send - the same; false: the connection is cut. Lock-free and locked. */
bool nbd_recv(NbdLink *l, void *buf, size_t len);
bool nbd_skip(NbdLink *l, uint64_t len);
bool nbd_send(NbdLink *l, const void *head, size_t head_len, const void *data, size_t len);

/* nbd_negotiate - true: the client has an export and sends requests from now on. */
bool nbd_negotiate(NbdLink *l);
/* nbd_flags - the export's transmission flags. */
uint16_t nbd_flags(const NbdLink *l, const NbdExport *e);
/* nbd_prepare - before a client says anything: the thread, and others for it where they cannot be made later, are
 * confined. nbd_transmit - requests, until the client goes; nothing if it was not @negotiated. */
void nbd_prepare(NbdLink *l);
void nbd_transmit(NbdLink *l, bool negotiated);

#endif
