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
struct StateBuf;
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
    size_t (*can_receive)(void *opaque); /* bytes it can take now; 0 holds input back;
                                             NULL: it only writes */
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
/* chardev_set_lines - the modem outputs, for back ends that are devices on a line. */
void chardev_set_lines(Chardev *c, bool dtr, bool rts);

/* ---- making and finding them; loop thread or start-up ---- */

struct OptList;
struct TimerGuard;

/* chardev_setup - @guard is taken around the callbacks of front ends (the machine lock; NULL for
 * none), @quit is called for the mux's Ctrl-A x. Before the first chardev_new(). */
void chardev_setup(const struct TimerGuard *guard, void (*quit)(void));

/* chardev_new - from the sub-options of -chardev: backend=, id=, mux=, logfile=, logappend= and
 * those of the back end. All of @l must be known. A server with wait=on serves the loop until
 * somebody connects, so this is for the loop thread with no lock held. */
Chardev *chardev_new(struct OptList *l, struct Error **errp);

/* chardev_from_legacy - what -serial and -monitor take: "stdio", "mon:stdio", "pty",
 * "tcp:host:port,server,nowait", "chardev:ID" (returns that one), ... The caller has handled
 * "none" if it means "no port"; here it is the same as "null". @id names the new one. */
Chardev *chardev_from_legacy(const char *text, const char *id, struct Error **errp);

Chardev *chardev_find(const char *id);
/* chardev_each - in order of making. */
void chardev_each(void (*fn)(void *opaque, Chardev *c), void *opaque);
const char *chardev_id(const Chardev *c);
/* chardev_describe - as `info chardev` shows it: "pty:/dev/pts/3". Freed by the caller. */
char *chardev_describe(Chardev *c);
/* chardev_has_front - somebody is attached. chardev_is_mux - more may be. */
bool chardev_has_front(const Chardev *c);
bool chardev_is_mux(const Chardev *c);
/* chardev_is_terminal - a person types there: a terminal or a text console. */
bool chardev_is_terminal(const Chardev *c);
/* chardev_is_open - a peer is there now. */
bool chardev_is_open(Chardev *c);

/* chardev_free - close it; its front ends must be detached. NULL is fine. */
void chardev_free(Chardev *c);
/* chardevs_close_all - at exit: send what is queued (at most a second), close, restore terminals. */
void chardevs_close_all(void);

/* chardev_backend_name - of back end @n, NULL after the last. */
const char *chardev_backend_name(unsigned n);
/* chardev_help - the names of the back ends, for -chardev help. */
void chardev_help(FILE *out);

/* chardevs_save, chardevs_load - the back ends that are devices, as devices_save() does the board's. Machine lock
 * held; the same lines as when it was saved. */
void chardevs_save(struct StateBuf *b);
bool chardevs_load(struct StateBuf *b, struct Error **errp);

/* ---- mux ---- */

/* chardev_set_echr - the escape character of all muxes (default 1, Ctrl-A; 0 turns it off). */
void chardev_set_echr(int c);
/* chardev_mux_focus - give the keyboard to the front end that was attached with @opaque. The first
 * one has it at the start. */
void chardev_mux_focus(Chardev *c, void *opaque);

/* ---- for the monitor ---- */

/* chardev_ringbuf_read - take up to @len of the oldest bytes; 0 when it is empty, -1 when @c is no
 * ring buffer. */
long chardev_ringbuf_read(Chardev *c, uint8_t *buf, size_t len);
/* chardev_inject - as if the peer had sent the bytes; returns how many the front end took. */
size_t chardev_inject(Chardev *c, const uint8_t *buf, size_t len);
/* chardev_inject_break - as if the peer had sent a break. */
void chardev_inject_break(Chardev *c);

#endif
