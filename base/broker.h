/*
 * What the process opens once it has confined itself (sandbox.h): another process, forked before, opens it and hands
 * the descriptor over. Without a broker all of this happens in the caller's own process.
 *
 * The broker opens files and directories, not devices but disks and terminals, nothing under /proc and /sys, and sockets;
 * it runs nothing.
 */
#ifndef BASE_BROKER_H
#define BASE_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct Error;

enum { BROKER_MAX = 8192 }; /* bytes of a request, and of an answer */

/* host_open - as open(2); O_CLOEXEC and O_NOCTTY are added. A descriptor, or -errno, which errno is too. Any thread, as
 * all of these. */
int host_open(const char *path, int flags, mode_t mode);
/* host_fopen - as fopen(3), modes r, w, a with b; NULL with errno. */
FILE *host_fopen(const char *path, const char *mode);
/* host_unlink, host_mkdir, host_rename - 0 or -errno, which errno is too. */
int host_unlink(const char *path);
int host_mkdir(const char *path); /* for the user alone */
int host_rename(const char *from, const char *to);

/* Services that other rooms have. */
typedef enum BrokerOp {
    BROKER_OPEN, /* the broker's own, as the next */
    BROKER_NAME,
    BROKER_SOCKET, /* chardev/address.c */
    BROKER_HOLDER, /* block/image-holder.c */
    BROKER_OPS,
} BrokerOp;

/* A service: @req comes from a process that may be an attacker's by now. It answers in @out (at most BROKER_MAX bytes,
 * *out_len of them) and with a descriptor or what it likes that is negative. */
typedef int BrokerFn(const void *req, size_t len, void *out, size_t *out_len);
/* broker_register - @fn is the service @op. Before broker_start(). */
void broker_register(BrokerOp op, BrokerFn *fn);
/* broker_call - the service @op, in the broker's process if there is one. Its result; a descriptor is the caller's. */
int broker_call(BrokerOp op, const void *req, size_t len, void *out, size_t *out_len);
/* broker_active - there is a broker's process. */
bool broker_active(void);

/* broker_start - fork it, before there are threads; it ends with this process. */
bool broker_start(struct Error **errp);

#endif
