/*
 * Loading SDL: see sdl-library.h.
 */
#include <config.h>
#ifdef CONFIG_SDL
#include "ui/sdl-library.h"

#include <stddef.h>
#include "base/library.h"
#include "base/mem.h"

SdlLibrary sdl;

static const LibrarySymbol symbols[] = {
#define SYMBOL(name) { #name, offsetof(SdlLibrary, name) },
    SDL_LIBRARY(SYMBOL)
#undef SYMBOL
};

static const Library library = {
    .file = "libSDL2-2.0.so.0",
    .what = "a window",
    .package = "libsdl2-2.0-0",
    .symbols = symbols,
    .count = ARRAY_SIZE(symbols),
};

bool sdl_library_load(struct Error **errp)
{
    return library_load(&library, &sdl, errp);
}

#endif
