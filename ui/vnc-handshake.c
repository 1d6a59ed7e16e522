/*
 * The first words of an RFB connection: version, security type, ClientInit. They are ours and not
 * libvncserver's, since this is where limits, passwords and TLS belong.
 *
 * Source: RFC 6143, "Handshake Messages". On the client's thread.
 */
#include "ui/vnc-internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "base/mem.h"
#include "ui/vnc-auth.h"
#include "ui/vnc-handshake.h"

enum { SECURITY_NONE = 1, SECURITY_VNC = 2 };

bool vnc_wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd p = { .fd = fd, .events = events };
    int64_t left = deadline - clock_now(CLK_REAL);

    return left > 0 && poll(&p, 1, (int)(left / NS_PER_MS) + 1) != 0;
}

static bool take(int fd, void *buf, size_t n, int64_t deadline)
{
    uint8_t *p = buf;

    while (n > 0) {
        ssize_t r = recv(fd, p, n, MSG_DONTWAIT);

        if (r > 0) {
            p += r;
            n -= (size_t)r;
        } else if (r == 0 || (errno != EAGAIN && errno != EINTR) ||
                   !vnc_wait_for(fd, POLLIN, deadline)) {
            return false;
        }
    }
    return true;
}

bool vnc_give(int fd, const void *buf, size_t n, int64_t deadline)
{
    const uint8_t *p = buf;

    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (r >= 0) {
            p += r;
            n -= (size_t)r;
        } else if ((errno != EAGAIN && errno != EINTR) || !vnc_wait_for(fd, POLLOUT, deadline)) {
            return false;
        }
    }
    return true;
}

/* "ProtocolVersion": what is not 3.7 or 3.8 is 3.3. */
static bool version(int fd, unsigned *minor, int64_t deadline)
{
    static const char ours[] = "RFB 003.008\n";
    char theirs[13] = "";
    unsigned major;
    char end;

    if (!vnc_give(fd, ours, 12, deadline) || !take(fd, theirs, 12, deadline) ||
        sscanf(theirs, "RFB %3u.%3u%c", &major, minor, &end) != 3 || end != '\n' || major != 3) {
        return false;
    }
    *minor = *minor == 7 || *minor == 8 ? *minor : 3;
    return true;
}

/* refuse - "SecurityResult": failed; 3.8 wants to know why. */
static bool refuse(int fd, unsigned minor, const char *why, int64_t deadline)
{
    size_t n = strlen(why);
    uint8_t m[8] = { 0, 0, 0, 1, 0, 0, 0, (uint8_t)n };

    if (vnc_give(fd, m, minor == 8 ? 8 : 4, deadline) && minor == 8) {
        vnc_give(fd, why, n, deadline);
    }
    return false;
}

/* password - "VNC Authentication", and its result; the answer to a wrong one takes its time. */
static bool password(int fd, VncAuth *auth, unsigned minor, int64_t deadline)
{
    static const uint8_t good[4] = { 0 };
    uint8_t challenge[VNC_CHALLENGE], response[VNC_CHALLENGE];
    unsigned wait_ms;

    if (!vnc_auth_challenge(challenge) || !vnc_give(fd, challenge, sizeof(challenge), deadline) ||
        !take(fd, response, sizeof(response), deadline)) {
        return false;
    }
    if (vnc_auth_check(auth, challenge, response, &wait_ms)) {
        return vnc_give(fd, good, sizeof(good), deadline);
    }
    poll(&(struct pollfd){ .fd = fd }, 1, (int)wait_ms); /* hang_up() ends it */
    return refuse(fd, minor, "password check failed", deadline);
}

/* "Security" and "SecurityResult" */
static bool security(int fd, VncAuth *auth, unsigned minor, int64_t deadline)
{
    static const uint8_t good[4] = { 0 };
    uint8_t want = auth->on ? SECURITY_VNC : SECURITY_NONE, type;
    const uint8_t only[4] = { 0, 0, 0, want }, list[2] = { 1, want };

    if (minor == 3) {
        return vnc_give(fd, only, sizeof(only), deadline) &&
               (!auth->on || password(fd, auth, minor, deadline));
    }
    if (!vnc_give(fd, list, sizeof(list), deadline) || !take(fd, &type, 1, deadline)) {
        return false;
    }
    if (type != want) {
        return minor == 8 ? refuse(fd, minor, "no such type of security", deadline) : false;
    }
    if (auth->on) {
        return password(fd, auth, minor, deadline);
    }
    return minor == 7 || vnc_give(fd, good, sizeof(good), deadline);
}

bool vnc_handshake(int fd, VncAuth *auth, unsigned *minor, bool *shared)
{
    int64_t deadline = clock_now(CLK_REAL) + VNC_HANDSHAKE_MS * NS_PER_MS;
    uint8_t flag;

    if (!version(fd, minor, deadline) || !security(fd, auth, *minor, deadline) ||
        !take(fd, &flag, 1, deadline)) {
        return false;
    }
    *shared = flag != 0;
    return true;
}
