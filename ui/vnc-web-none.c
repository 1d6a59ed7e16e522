/*
 * A build without GnuTLS: the options refuse what would need it.
 */
#include <config.h>
#if defined(CONFIG_VNC) && !defined(CONFIG_GNUTLS)
#include "base/error.h"
#include "ui/vnc-web.h"

VncWeb *vnc_web_open(const SockAddr *addr, bool files,
                     void (*client)(void *opaque, int fd, const char *peer), void *opaque,
                     Error **errp)
{
    error_set(errp, "this doppel was built without GnuTLS");
    return NULL;
}

void vnc_web_close(VncWeb *w, bool wait)
{
}

const char *vnc_web_where(const VncWeb *w)
{
    return "";
}

char *vnc_web_url(VncWeb *w)
{
    return NULL;
}

#endif
