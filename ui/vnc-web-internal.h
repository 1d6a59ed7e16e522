/*
 * Inside the web server of VNC: connections, and who may have one.
 */
#ifndef UI_VNC_WEB_INTERNAL_H
#define UI_VNC_WEB_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "ui/vnc-web.h"

enum { WEB_SECRET = 33 }; /* 128 bits in hexadecimal, and a NUL */

/* Who may have files and a screen, where not everyone may: whoever comes with the URL's token is given the session's
 * secret as a cookie, and the token is used up. */
typedef struct WebAccess {
    pthread_mutex_t lock;
    char token[WEB_SECRET];   /* "": none */
    char session[WEB_SECRET]; /* "": everyone may */
} WebAccess;

typedef struct WebConnection {
    struct VncWeb *web;
    struct WebConnection *next; /* loop thread */
    int fd;                     /* constant; closed by the loop thread at the end */
    char *peer;                 /* constant */
    WebAccess *access;
    const char *folder;         /* of the files, or NULL: none are served */
    pthread_t thread;
} WebConnection;

/* vnc-web-client.c: the thread's main function. */
void *web_thread(void *opaque);

/* vnc-web.c, for connections' threads */

/* web_client - make @fd a VNC client. */
void web_client(WebConnection *c, int fd);
/* web_leave - the thread's last call. */
void web_leave(WebConnection *c);
/* web_secret - 128 random bits. */
void web_secret(char out[WEB_SECRET]);

#endif
