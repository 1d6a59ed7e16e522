/*
 * A build without libvncserver: VNC is refused by name.
 */
#include <config.h>
#ifndef CONFIG_VNC
#include "base/error.h"
#include "ui/vnc.h"

void vnc_setup(const char *name, const struct Keymap *map, const VncPowerOps *power)
{
}

static bool refuse(Error **errp)
{
    error_set(errp, "this doppel was built without VNC (Debian: apt-get install libvncserver-dev, "
                    "then ./configure)");
    return false;
}

bool vnc_open(const char *spec, Error **errp)
{
    return refuse(errp);
}

bool vnc_set_password(const char *id, const char *password, Error **errp)
{
    return refuse(errp);
}

bool vnc_expire_password(const char *id, int64_t when, Error **errp)
{
    return refuse(errp);
}

bool vnc_change(const char *spec, Error **errp)
{
    return refuse(errp);
}

bool vnc_open_default(Error **errp)
{
    return true; /* nothing was asked for */
}

void vnc_close_all(void)
{
}

void vnc_each(void (*server)(void *opaque, const char *id, const char *auth, const VncAddress *a),
              void (*client)(void *opaque, const VncAddress *a), void *opaque)
{
}

void vnc_info(FILE *out)
{
    fprintf(out, "None\n");
}

#endif
