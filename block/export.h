/*
 * Exports: disks and nodes of the machine that others may use, by the one NBD server that it can have (nbd-server.h).
 * Loop thread; machine lock not held.
 */
#ifndef BLOCK_EXPORT_H
#define BLOCK_EXPORT_H

#include "chardev/address.h"

typedef struct ExportParams {
    const char *id;   /* unique */
    const char *node; /* a drive or a node */
    const char *name, *description; /* for clients; NULL: the node's, and none */
    bool node_only;   /* a drive's name is none for it */
    bool writable, depth;
} ExportParams;

/* export_start - begin to accept clients at @a, at most @max at a time (0: many). export_stop - the end of that and of all exports. */
bool export_start(const SockAddr *a, unsigned max, struct Error **errp);
bool export_stop(struct Error **errp);
bool export_add(const ExportParams *p, struct Error **errp);
/* export_del - with @hard, clients that have it are cut off; else it must have none. */
bool export_del(const char *id, bool hard, struct Error **errp);
void exports_each(void (*fn)(void *opaque, const char *id, const char *node), void *opaque);
/* exports_free - the program ends. */
void exports_free(void);

#endif
