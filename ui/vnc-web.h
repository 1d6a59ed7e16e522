/*
 * VNC for browsers: WebSockets, and noVNC's files over HTTP.
 *
 * A connection is a thread that speaks HTTP and WebSocket to the browser; what is RFB of it goes through a pair of
 * sockets, whose other end is a VNC client like any other.
 */
#ifndef UI_VNC_WEB_H
#define UI_VNC_WEB_H

#include <stdbool.h>
#include "chardev/address.h"

struct Error;
typedef struct VncWeb VncWeb;

/* vnc_web_open - listen at @addr. @files: serve noVNC's files, and let only browsers in that were given the URL; else
 * WebSockets alone, for all. @client gets a connection that begins, on the loop thread: @fd is its to close, @peer
 * borrowed. Loop thread, as all here. */
VncWeb *vnc_web_open(const SockAddr *addr, bool files,
                     void (*client)(void *opaque, int fd, const char *peer), void *opaque,
                     struct Error **errp);
/* vnc_web_close - no connection begins any more, those that are there end. Its memory goes when the last thread has
 * ended, at once with @wait (the loop is over). NULL is fine. */
void vnc_web_close(VncWeb *w, bool wait);

/* vnc_web_where - "127.0.0.1:5700"; borrowed. */
const char *vnc_web_where(const VncWeb *w);
/* vnc_web_url - lets one browser in; NULL where no files are served. Freed by the caller. */
char *vnc_web_url(VncWeb *w);

#endif
