/*
 * GnuTLS, loaded when the first web server of VNC is opened.
 */
#ifndef UI_WEB_LIBRARY_H
#define UI_WEB_LIBRARY_H

#include <config.h>
#ifdef CONFIG_GNUTLS
#include <gnutls/gnutls.h>
#include <gnutls/crypto.h>
#include <stdbool.h>

struct Error;

typedef struct WebLibrary {
    __typeof__(gnutls_hash_fast) *gnutls_hash_fast;
} WebLibrary;

extern WebLibrary web_library; /* constant after web_library_load() */

/* web_library_load - open it. Loop thread. */
bool web_library_load(struct Error **errp);
#endif

#endif
