/*
 * Loading libvncserver: see vnc-library.h.
 */
#include <config.h>
#ifdef CONFIG_VNC
#define VNC_LIBRARY_SELF
#include "ui/vnc-library.h"

#include <stddef.h>
#include "base/library.h"
#include "base/mem.h"

VncLibrary vnc_library;

static const LibrarySymbol symbols[] = {
#define SYMBOL(name) { #name, offsetof(VncLibrary, name) },
    VNC_LIBRARY(SYMBOL, SYMBOL)
#undef SYMBOL
};

static const Library library = {
    .file = "libvncserver.so.1",
    .what = "VNC",
    .package = "libvncserver1",
    .symbols = symbols,
    .count = ARRAY_SIZE(symbols),
};

bool vnc_library_load(struct Error **errp)
{
    return library_load(&library, &vnc_library, errp);
}

#endif
