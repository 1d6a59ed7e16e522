/*
 * VNC passwords: see vnc-auth.h. Only the first eight characters count, that is how the protocol is. The
 * answer to a wrong one waits, twice as long each time.
 */
#include <config.h>
#ifdef CONFIG_VNC
#include "ui/vnc-auth.h"

#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/mem.h"
#include "ui/vnc-library.h"

enum { WAIT_MS = 250, WAIT_DOUBLINGS = 4 };

void vnc_auth_init(VncAuth *a, bool on, const char *password)
{
    memset(a, 0, sizeof(*a));
    a->on = on;
    a->expires = INT64_MAX;
    pthread_mutex_init(&a->lock, NULL);
    vnc_auth_set(a, password);
}

void vnc_auth_fini(VncAuth *a)
{
    explicit_bzero(a->password, sizeof(a->password));
    pthread_mutex_destroy(&a->lock);
}

void vnc_auth_set(VncAuth *a, const char *password)
{
    pthread_mutex_lock(&a->lock);
    explicit_bzero(a->password, sizeof(a->password));
    a->set = password != NULL && *password != '\0';
    if (a->set) {
        memcpy(a->password, password, strnlen(password, VNC_PASSWORD_MAX));
    }
    pthread_mutex_unlock(&a->lock);
}

void vnc_auth_expire(VncAuth *a, int64_t when)
{
    pthread_mutex_lock(&a->lock);
    a->expires = when;
    pthread_mutex_unlock(&a->lock);
}

bool vnc_auth_challenge(uint8_t challenge[VNC_CHALLENGE])
{
    return getrandom(challenge, VNC_CHALLENGE, 0) == VNC_CHALLENGE;
}

bool vnc_auth_check(VncAuth *a, const uint8_t challenge[VNC_CHALLENGE],
                    const uint8_t response[VNC_CHALLENGE], unsigned *wait_ms)
{
    char password[VNC_PASSWORD_MAX + 1];
    uint8_t want[VNC_CHALLENGE], differs = 0;
    bool good;

    memcpy(want, challenge, sizeof(want));
    pthread_mutex_lock(&a->lock);
    memcpy(password, a->password, sizeof(password));
    good = a->set && clock_now(CLK_HOST) < a->expires;
    pthread_mutex_unlock(&a->lock);
    rfbEncryptBytes(want, password);
    explicit_bzero(password, sizeof(password));
    for (size_t n = 0; n < sizeof(want); n++) { /* takes as long wherever they differ */
        differs |= want[n] ^ response[n];
    }
    good = good && differs == 0;
    pthread_mutex_lock(&a->lock);
    *wait_ms = WAIT_MS << MIN(a->failures, (unsigned)WAIT_DOUBLINGS);
    a->failures = good ? 0 : a->failures + 1;
    pthread_mutex_unlock(&a->lock);
    return good;
}

#endif
