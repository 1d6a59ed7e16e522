/*
 * The handshake of an RFB connection.
 */
#ifndef UI_VNC_HANDSHAKE_H
#define UI_VNC_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct VncAuth;

/* vnc_handshake - from ProtocolVersion to ClientInit; ServerInit is next. Blocks for a bounded time. False:
 * hang up. @minor is 3, 7 or 8; @shared is what the client asks for. */
bool vnc_handshake(int fd, struct VncAuth *auth, unsigned *minor, bool *shared);

/* vnc_wait_for - until the socket is ready for @events of poll() or CLK_REAL is @deadline, false. vnc_give - send all
 * of @buf by then. */
bool vnc_wait_for(int fd, short events, int64_t deadline);
bool vnc_give(int fd, const void *buf, size_t n, int64_t deadline);

#endif
