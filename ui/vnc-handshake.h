/*
 * The handshake of an RFB connection.
 */
#ifndef UI_VNC_HANDSHAKE_H
#define UI_VNC_HANDSHAKE_H

#include <stdbool.h>

struct VncAuth;

/* vnc_handshake - from ProtocolVersion to ClientInit; ServerInit is next. Blocks for a bounded time. False:
 * hang up. @minor is 3, 7 or 8; @shared is what the client asks for. */
bool vnc_handshake(int fd, struct VncAuth *auth, unsigned *minor, bool *shared);

#endif
