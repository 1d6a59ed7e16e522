/*
 * The telnet protocol, as far as a serial console needs it (RFC 854, 855, 856, 857, 858).
 */
#ifndef CHARDEV_TELNET_H
#define CHARDEV_TELNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Telnet {
    uint8_t state;
    uint8_t verb;    /* WILL, WONT, DO or DONT whose option is awaited */
    bool server;
    bool cr;         /* a CR came last, outside binary mode */
    uint8_t us, him; /* options in force or asked for, as bits */
} Telnet;

enum { TELNET_GREETING_MAX = 16 };

/* telnet_init - forget everything; returns the length of the greeting put into @out (a server's
 * wishes; none for a client). */
size_t telnet_init(Telnet *t, bool server, uint8_t out[TELNET_GREETING_MAX]);

/* telnet_input - take the protocol out of @len bytes, in place; returns how many are left. Answers
 * go to @reply, which has room for @len + 2 bytes; *breaks counts break commands. */
size_t telnet_input(Telnet *t, uint8_t *buf, size_t len, uint8_t *reply, size_t *reply_len,
                    unsigned *breaks);

#endif
