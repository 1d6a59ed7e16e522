/*
 * One connection of the NBD client to a server, for nbd-client.c; libnbd speaks the protocol.
 *
 * Many threads may have commands under way on it, and replies come in any order: one of those who wait, the driver, polls
 * the socket with no lock held, and wakes the others as theirs come. Who is done hands the driving on.
 */
#ifndef BLOCK_NBD_CONNECTION_H
#define BLOCK_NBD_CONNECTION_H

#include "block/nbd-client.h"

typedef struct NbdConnection NbdConnection;

typedef struct NbdCommand {
    enum { NBD_DO_READ, NBD_DO_WRITE, NBD_DO_FLUSH, NBD_DO_TRIM, NBD_DO_ZERO, NBD_DO_STATUS } op;
    uint64_t offset, len;
    void *buf;
    bool keep;             /* NBD_DO_ZERO: no hole */
    uint32_t alike, flags; /* NBD_DO_STATUS: what comes of it, bytes and NBD_STATE_*; 0 bytes: nothing was told */
} NbdCommand;

/* What the server said of the export. */
typedef struct NbdAbout {
    int64_t size, min, max; /* bytes: of the export; of a command, the least and the most. 0: it did not say */
    bool read_only, zero, trim, flush, status;
    bool shared;            /* several connections see the same */
} NbdAbout;

/* nbd_connection_open - and negotiate, in @ms at most each. @wake_fd: an eventfd (EFD_NONBLOCK) that is its own until it is
 * closed. NULL with errp. */
NbdConnection *nbd_connection_open(const NbdAddress *a, int wake_fd, int ms, struct Error **errp);
void nbd_connection_about(NbdConnection *k, NbdAbout *about);
/* nbd_connection_run - one command. 0, -errno, or -ENOTCONN: the connection is lost, for the others on it too. Any thread. */
int nbd_connection_run(NbdConnection *k, NbdCommand *c);
/* nbd_connection_close - nothing is under way; says good-bye to a server that is there. */
void nbd_connection_close(NbdConnection *k);
/* nbd_hurried - nbd_clients_hurry() was called. */
bool nbd_hurried(void);

#endif
