/*
 * A build without SDL: a window is refused by name.
 */
#include <config.h>
#ifndef CONFIG_SDL
#include "base/error.h"
#include "ui/sdl.h"

bool sdl_init(const SdlOptions *opts, Error **errp)
{
    error_set(errp, "this doppel was built without SDL (Debian: apt-get install libsdl2-dev, then "
                    "./configure)");
    return false;
}

int sdl_main(int (*machine)(void *opaque), void *opaque)
{
    return machine(opaque);
}

void sdl_open(const char *name, const struct Keymap *map, const SdlHooks *hooks)
{
}

void sdl_close(void)
{
}

#endif
