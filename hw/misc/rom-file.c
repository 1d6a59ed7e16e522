/*
 * Files of option ROMs: see rom-file.h.
 */
#include "hw/misc/rom-file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/device.h"
#include "hw/board.h"

enum { ROM_MAX = 16 << 20, ROM_MIN = 2048 };

static uint8_t *read_all(const Device *dev, const char *path, size_t *len, size_t *padded, Error **errp)
{
    FILE *f = host_fopen(path, "rb");
    uint8_t *rom = NULL;
    struct stat st;

    if (f == NULL || fstat(fileno(f), &st) != 0) {
        error_set_errno(errp, errno, "%s: cannot read '%s'", dev->id, path);
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > ROM_MAX) {
        error_set(errp, "%s: '%s' is no ROM of 1 byte to 16 MiB", dev->id, path);
    } else {
        *len = (size_t)st.st_size;
        *padded = ROM_MIN;
        while (*padded < *len) {
            *padded *= 2;
        }
        rom = xalloc_pages(*padded); /* an engine may map it */
        if (fread(rom, 1, *len, f) != *len) {
            error_set(errp, "%s: cannot read '%s'", dev->id, path);
            free(rom);
            rom = NULL;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return rom;
}

uint8_t *rom_file_read(Device *dev, const char *name, size_t *len, size_t *padded, Error **errp)
{
    const Board *board = dev->board;
    autofree char *path = board->rom_find != NULL ? board->rom_find(name) : xstrdup(name);

    if (path == NULL) {
        error_set(errp, "%s: no file '%s'; it is in the package %s (or give its folder with -L, or "
                  "romfile= for none)", dev->id, name, strncmp(name, "vgabios", 7) == 0 ? "seabios" : "ipxe-qemu");
        return NULL;
    }
    return read_all(dev, path, len, padded, errp);
}

const char *rom_file_base(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash != NULL ? slash + 1 : name;
}
