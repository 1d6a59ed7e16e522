/*
 * Loading libvncserver: see vnc-library.h.
 */
#include <config.h>
#ifdef CONFIG_VNC
#define VNC_LIBRARY_SELF
#include "ui/vnc-library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"

VncLibrary vnc_library;

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
#define SYMBOL(name) { #name, offsetof(VncLibrary, name) },
    VNC_LIBRARY(SYMBOL, SYMBOL)
#undef SYMBOL
};

bool vnc_library_load(Error **errp)
{
    static const char file[] = "libvncserver.so.1"; /* the interface that our headers are of */
    static void *handle;

    if (handle != NULL) {
        return true;
    }
    handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        error_set(errp, "VNC needs %s (Debian: apt-get install libvncserver1): %s", file, dlerror());
        return false;
    }
    for (size_t n = 0; n < ARRAY_SIZE(symbols); n++) {
        void *p = dlsym(handle, symbols[n].name);

        if (p == NULL) {
            error_set(errp, "%s has no %s: it is not the version that this program was built for", file,
                      symbols[n].name);
            dlclose(handle);
            handle = NULL;
            return false;
        }
        memcpy((char *)&vnc_library + symbols[n].offset, &p, sizeof(p));
    }
    return true;
}

#endif
