/*
 * What back ends see of a Chardev. A back end either has descriptors (chardev/stream.c moves the
 * bytes) or its own write() (null, file, ring buffer, a device that answers by itself).
 *
 * Threads: open, close, hangup, filter run on the loop thread. write runs on any thread, under
 * c->lock. Fields marked "lock" are under c->lock; others belong to the loop thread, or to the
 * front end's lock (`guard`), which is taken before c->lock.
 */
#ifndef CHARDEV_BACKEND_H
#define CHARDEV_BACKEND_H

#include <pthread.h>
#include <sys/types.h>
#include "base/clock.h"
#include "base/optlist.h"
#include "chardev/chardev.h"

enum {
    CHAR_FRONTS = 4,
    CHAR_OUT_MAX = 64 * 1024, /* bytes queued for a slow peer */
    CHAR_READ_MAX = 4096,
};

typedef struct CharBackend {
    const char *name; /* as typed after -chardev */
    const char *alias;
    const char *help;
    /* Take the sub-options of @l and open. On failure close() is not called. */
    bool (*open)(Chardev *c, OptList *l, struct Error **errp);
    void (*close)(Chardev *c);
    /* Takes bytes (lock); how many. NULL: the stream's descriptors do it. */
    size_t (*write)(Chardev *c, const uint8_t *buf, size_t len);
    /* The stream ended or broke. NULL: it is closed for good. */
    void (*hangup)(Chardev *c);
    /* Change @len bytes just read, in place; returns how many are left. May be NULL. */
    size_t (*filter)(Chardev *c, uint8_t *buf, size_t len);
    /* 0xff is sent twice (telnet). */
    bool (*doubles_ff)(const Chardev *c);
    void (*set_params)(Chardev *c, unsigned baud, char parity, unsigned data, unsigned stop);
    void (*set_break)(Chardev *c, bool on);
    void (*set_lines)(Chardev *c, bool dtr, bool rts);
    char *(*describe)(Chardev *c); /* NULL: the name */
    /* The front end may have room again, or is new. Loop thread, under the guard. May be NULL. */
    void (*more)(Chardev *c);
    /* Of a back end that is itself a device: what of @priv a snapshot saves (lock), and what makes it true again,
     * whatever was loaded; machine lock held. NULL for others. */
    const struct StateField *fields;
    void (*loaded)(Chardev *c);
} CharBackend;

/* What a back end that is itself a device, or has a person at it, wants the front end to read. Under c->lock. */
typedef struct Inbox {
    uint8_t bytes[4096];
    size_t len;
} Inbox;

/* inbox_put - all of @buf or, when there is no room, nothing (lock). inbox_push - hand on what the front end has
 * room for; the guard is held, and the lock is not. */
bool inbox_put(Inbox *in, const void *buf, size_t len);
void inbox_push(Chardev *c, Inbox *in);

/* One front end, and under a mux the input that waits for it. Under the guard. */
typedef struct Front {
    const CharFront *fe; /* NULL: free */
    void *opaque;
    bool told_open; /* CHAR_OPENED was delivered */
    uint8_t *fifo;  /* mux only */
    size_t fifo_len, fifo_cap;
} Front;

/* How to write to a descriptor without blocking. */
typedef enum OutKind {
    OUT_NONBLOCK, /* write(): the description is non-blocking, or never blocks */
    OUT_SOCKET,   /* send() with MSG_DONTWAIT */
    OUT_CAREFUL,  /* ask poll() first, and write little */
} OutKind;

struct Chardev {
    const CharBackend *be;
    char *id;
    void *priv; /* the back end's */

    Front fronts[CHAR_FRONTS];
    unsigned front_count;
    int focus; /* index of the front end that gets input, -1: none */
    bool mux;
    bool escaped;             /* mux: the escape character was the last one */
    bool stamp, stamp_at_bol; /* lock; mux: put the time before each line */

    pthread_mutex_t lock;
    bool open;          /* lock; a peer is there */
    bool broken;        /* lock; writing failed: hang up */
    int in_fd, out_fd;  /* lock to change, loop thread; -1: none */
    OutKind out_kind;   /* lock */
    uint8_t *out;       /* lock; queued bytes */
    size_t out_len, out_cap; /* lock */
    int log_fd;         /* lock */

    bool held;   /* no room at the front end: not reading */
    bool in_eof; /* nothing more will come, output goes on */
    bool tty_in; /* a person types here: a mux may drop what nobody reads */
    bool watching_in, watching_out, watching_both;

    bool kicked; /* lock; chardev_kick() posted and not yet served */
    bool dead;   /* freed when the kick was served */
    Chardev *next;
};

/* chardev_backends - NULL-terminated (chardev/create.c). */
extern const CharBackend *const chardev_backends[];

/* chardev_lock_front/unlock - the guard of front ends, if there is one. */
void chardev_lock_front(void);
void chardev_unlock_front(void);
/* chardev_quit - what Ctrl-A x does. */
void chardev_quit(void);

/* chardev_kick - look at @c again on the loop thread: send, tell events, change watches. Any thread. */
void chardev_kick(Chardev *c);

/* chardev_set_open - a peer came or went; tells the front ends. Loop thread. */
void chardev_set_open(Chardev *c, bool open);

/* chardev_room/chardev_input - for back ends: what the front end can take now, and hand it over
 * (the guard is held; what does not fit is dropped). chardev_event likewise. */
size_t chardev_room(Chardev *c);
size_t front_room(const Front *f); /* of one front end; 0: it takes nothing */
void chardev_input(Chardev *c, const uint8_t *buf, size_t len);
void chardev_event(Chardev *c, CharEvent ev);

/* mux_room/mux_input/mux_push - chardev/mux.c. */
size_t mux_room(Chardev *c);
void mux_input(Chardev *c, const uint8_t *buf, size_t len);
void mux_push(Chardev *c); /* hand on what waits */
void mux_set_focus(Chardev *c, int focus);

/* stream_set - the descriptors from now on (-1: none), owned by the back end. Loop thread. */
void stream_set(Chardev *c, int in_fd, int out_fd);
/* stream_update - register with the loop what there is to wait for. Loop thread. */
void stream_update(Chardev *c);
/* stream_write - queue and send (lock). stream_flush - send what is queued (lock). */
size_t stream_write(Chardev *c, const uint8_t *buf, size_t len);
void stream_flush(Chardev *c);
/* stream_write_raw - queue bytes that are not the front end's (telnet's answers), no doubling. */
void stream_write_raw(Chardev *c, const uint8_t *buf, size_t len);
/* stream_drain - at exit: send what is queued, waiting up to @ms. */
void stream_drain(Chardev *c, int ms);

#endif
