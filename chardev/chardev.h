/*
 * Character devices: where a serial line, a debug port or a monitor goes. A back end (stdio, file,
 * socket, pty, ...) is opened from -chardev or a legacy string; one front end (a UART, a monitor,
 * a mux) attaches to it.
 *
 * Threads: everything here runs on the loop thread or under the machine lock, whichever the front
 * end is on; chardev_write() may be called from any thread and never blocks.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct Error;
typedef struct Chardev Chardev;

typedef enum CharEvent {
    CHAR_OPENED, /* a peer is there (at once for back ends that are always open) */
    CHAR_CLOSED, /* the peer went away */
    CHAR_BREAK,  /* a break was received */
    CHAR_FOCUS_IN, /* a mux gave this front end the keyboard */
    CHAR_FOCUS_OUT,
} CharEvent;

/* What a front end offers. All callbacks run on the loop thread with the machine lock held. */
typedef struct CharFront {
    size_t (*can_receive)(void *opaque); /* bytes it can take now; 0 holds input back */
    void (*receive)(void *opaque, const uint8_t *buf, size_t len); /* len <= can_receive() */
    void (*event)(void *opaque, CharEvent ev);                    /* may be NULL */
} CharFront;

/* chardev_attach - make @fe the front end (NULL detaches). False when one is attached already;
 * a mux takes up to four. */
bool chardev_attach(Chardev *c, const CharFront *fe, void *opaque, struct Error **errp);
void chardev_detach(Chardev *c, void *opaque);

/* chardev_write - queue bytes for the peer. Returns how many were taken (bytes for a peer that is
 * not connected are dropped and count as taken); never blocks. NULL c takes everything. */
size_t chardev_write(Chardev *c, const uint8_t *buf, size_t len);

/* chardev_accept_input - the front end has room again. */
void chardev_accept_input(Chardev *c);

/* chardev_set_params - line parameters, for back ends that are real lines; parity 'N','E','O'. */
void chardev_set_params(Chardev *c, unsigned baud, char parity, unsigned data_bits,
                        unsigned stop_bits);
void chardev_set_break(Chardev *c, bool on);

#endif
