/*
 * Who may look: the password of a VNC server. Set on the loop thread, asked for on clients' threads.
 */
#ifndef UI_VNC_AUTH_H
#define UI_VNC_AUTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { VNC_PASSWORD_MAX = 8, VNC_CHALLENGE = 16 };

typedef struct VncAuth {
    bool on;              /* constant: a password is asked for */
    pthread_mutex_t lock; /* the rest */
    bool set;             /* nobody comes in before there is one */
    char password[VNC_PASSWORD_MAX + 1];
    int64_t expires;      /* CLK_HOST; INT64_MAX: never */
    unsigned failures;    /* since the last success */
} VncAuth;

void vnc_auth_init(VncAuth *a, bool on, const char *password);
void vnc_auth_fini(VncAuth *a);
/* vnc_auth_set - NULL: there is none, which lets nobody in. vnc_auth_expire - @when on CLK_HOST. */
void vnc_auth_set(VncAuth *a, const char *password);
void vnc_auth_expire(VncAuth *a, int64_t when);

/* vnc_auth_challenge - bytes that nobody can foresee. False: the host has none. */
bool vnc_auth_challenge(uint8_t challenge[VNC_CHALLENGE]);
/* vnc_auth_check - whether @response to @challenge shows the password; if not, *@wait_ms is how long the answer
 * shall be kept back. Source: RFC 6143, "VNC Authentication". Any thread. */
bool vnc_auth_check(VncAuth *a, const uint8_t challenge[VNC_CHALLENGE],
                    const uint8_t response[VNC_CHALLENGE], unsigned *wait_ms);

#endif
