/*
 * Inside the VNC server: a server (listener, clients, the screen it shows) on the loop thread, and a
 * thread for each client. docs/decisions/ says why.
 */
#ifndef UI_VNC_INTERNAL_H
#define UI_VNC_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/clock.h"
#include "chardev/address.h"
#include "hw/display/screen.h"
#include "ui/seat.h"
#include "ui/vnc-auth.h"
#include "ui/vnc-web.h"
#include "ui/view.h"

enum {
    VNC_PORT = 5900,     /* and the display's number */
    VNC_WEB_PORT = 5700,
    VNC_CLIENTS_MAX = 32,
    VNC_EVENTS_MAX = 64,     /* of one client that the loop has not come to */
    VNC_TILE = 32,           /* pixels a side: what is looked at when something in it changed */
    VNC_HANDSHAKE_MS = 10000,
    VNC_STALL_MS = 30000,    /* in the middle of a message, either way */
};

struct VncServer;

typedef enum VncEventKind {
    VNC_KEY,
    VNC_POINT,
    VNC_MOVE,
    VNC_CUT_TEXT, /* .text */
    VNC_POWER,    /* .key: of VncPower */
} VncEventKind;

typedef enum VncPower { VNC_SHUTDOWN = 2, VNC_RESET = 4 } VncPower; /* as xvp numbers them */

typedef struct VncEvent {
    VncEventKind kind;
    bool down;
    uint32_t keysym; /* 0: not known */
    unsigned key;    /* as in hw/input/input.h; 0: only the keysym is known */
    uint16_t x, y, buttons;
    char *text; /* UTF-8, owned */
} VncEvent;

typedef enum VncShare { /* share= */
    VNC_ALLOW_EXCLUSIVE,
    VNC_FORCE_SHARED,
    VNC_IGNORE,
} VncShare;

typedef struct VncClient {
    struct VncServer *server; /* constant, as these */
    VncAuth *auth;
    int fd;                   /* the connection; closed by the loop thread at the end */
    int wake_fd;              /* eventfd: there is damage */
    const char *guest_name;   /* or NULL */
    bool power, lossy;        /* power-control=, lossy= */
    char *peer;               /* "127.0.0.1:4711" */
    pthread_t thread;

    /* loop thread */
    struct VncClient *next;
    Seat *seat;     /* once the handshake is over, as the next */
    View view;
    ScreenListener listener;
    bool exclusive;

    pthread_mutex_t lock; /* the rest; nothing is waited for under it but `room` and `start` */
    pthread_cond_t room;  /* in events, or closing */
    pthread_cond_t start; /* surface came, or closing */
    bool closing;
    bool want_exclusive;  /* of the client's ClientInit */
    Surface *surface;     /* to be shown; a reference */
    uint64_t *dirty;      /* a bit for each tile of it, by rows of `dirty_words` */
    unsigned dirty_words, dirty_rows;
    bool woken;           /* wake_fd was written */
    int lamps;            /* of the guest's keyboard, as input_leds() says */
    bool bell;            /* is to be rung */
    VncEvent events[VNC_EVENTS_MAX];
    unsigned head, count;
    bool posted;          /* the loop was told of events */
} VncClient;

/* vnc-client.c: the thread's main function. */
void *vnc_client_thread(void *opaque);
/* vnc_library_init - what libvncserver has of globals; once, before any client. */
bool vnc_library_init(struct Error **errp);

/* vnc.c, for clients' threads */

/* vnc_post - an event for the guest; waits while the queue is full. */
void vnc_post(VncClient *c, const VncEvent *e);
/* vnc_join_in - the handshake is over: wait for a surface. False: the client is not wanted. */
bool vnc_join_in(VncClient *c, bool exclusive);
/* vnc_leave - the thread's last call. */
void vnc_leave(VncClient *c);

/* vnc-options.c */
typedef struct VncOptions {
    bool none;
    SockAddr addr;
    bool websocket; /* there is a web server, at: */
    SockAddr web_addr; /* without a port: 5700 and the display's number */
    bool web;       /* it serves pages too */
    VncShare share;
    unsigned key_delay_ms;
    bool lock_key_sync;
    bool power, lossy;
    bool password; /* is asked for */
    char *secret;  /* id of the one that it is, or NULL */
    char *id;
} VncOptions;
bool vnc_options_parse(VncOptions *o, const char *spec, struct Error **errp);
void vnc_options_free(VncOptions *o);

typedef struct VncServer {
    struct VncServer *next;
    VncOptions opts;
    VncAuth auth;
    char *id;
    int listen_fd; /* -1: none */
    char *where;   /* "127.0.0.1:5900" or a path; NULL: nowhere */
    const char *family;
    VncClient *clients; /* the newest first */
    unsigned client_count;
    Surface *empty; /* what is shown without a screen */
    Timer retry;
    VncWeb *web; /* NULL: none */
} VncServer;

extern VncServer *vnc_servers; /* loop thread */

/* vnc.c, for clients, on the loop thread */

/* vnc_client_gone - its thread is at its end, or will be after vnc_hang_up(): free it, and its server where that waits
 * for its last client. */
void vnc_client_gone(VncClient *c);
/* vnc_tell - an event of QMP about a client. */
void vnc_tell(const char *event, const VncClient *c);

/* vnc-clients.c, for servers, on the loop thread */

/* vnc_hang_up - the client's thread will end soon. vnc_client_free - wait for that, and free it. */
void vnc_hang_up(VncClient *c);
void vnc_client_free(VncClient *c);
/* vnc_take_client - @fd, of the server @opaque, is a client from now on, or closed where there is no room; @peer is
 * copied. vnc_on_connect - somebody is at the server's socket. */
void vnc_take_client(void *opaque, int fd, const char *peer);
void vnc_on_connect(void *opaque, int listen_fd, unsigned events);
/* vnc_on_retry - of the server's timer: the queue of keys may have room again. */
void vnc_on_retry(void *opaque);

#endif
