/*
 * Loading GnuTLS: see web-library.h.
 */
#include <config.h>
#ifdef CONFIG_GNUTLS
#include "ui/web-library.h"

#include <stddef.h>
#include "base/library.h"
#include "base/mem.h"

WebLibrary web_library;

static const LibrarySymbol symbols[] = {
    { "gnutls_hash_fast", offsetof(WebLibrary, gnutls_hash_fast) },
};

static const Library library = {
    .file = "libgnutls.so.30",
    .what = "VNC over WebSockets",
    .package = "libgnutls30",
    .symbols = symbols,
    .count = ARRAY_SIZE(symbols),
};

bool web_library_load(struct Error **errp)
{
    return web_library.gnutls_hash_fast != NULL || library_load(&library, &web_library, errp);
}

#endif
