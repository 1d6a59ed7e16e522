/*
 * Libraries opened at run time: see library.h.
 */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>
#include "base/error.h"
#include "base/sandbox.h"

bool library_load(const Library *l, void *table, Error **errp)
{
    void *handle = sandbox_on() ? NULL : dlopen(l->file, RTLD_NOW | RTLD_LOCAL);

    if (sandbox_on()) {
        error_set(errp, "%s needs %s, which cannot be loaded any more: start with it, or without -sandbox", l->what,
                  l->file);
        return false;
    }
    if (handle == NULL) {
        error_set(errp, "%s needs %s (Debian: apt-get install %s): %s", l->what, l->file, l->package, dlerror());
        return false;
    }
    for (size_t n = 0; n < l->count; n++) {
        void *p = dlsym(handle, l->symbols[n].name);

        if (p == NULL) {
            error_set(errp, "%s has no %s: it is not the version that this program was built for", l->file,
                      l->symbols[n].name);
            dlclose(handle);
            return false;
        }
        memcpy((char *)table + l->symbols[n].offset, &p, sizeof(p));
    }
    return true;
}
