/*
 * Files of option ROMs, as cards' romfile= names them.
 */
#ifndef HW_MISC_ROM_FILE_H
#define HW_MISC_ROM_FILE_H

#include <stddef.h>
#include <stdint.h>

struct Device;
struct Error;

/* rom_file_read - the bytes of the ROM file @name of @dev, found by its board (Board.rom_find), followed by zeroes up
 * to *@padded bytes, a power of two from 2 KiB on; *@len of them are the file's. Whole pages, freed by the caller. NULL
 * with errp where there is no such file (the package that has it is named), or none of 1 byte to 16 MiB. */
uint8_t *rom_file_read(struct Device *dev, const char *name, size_t *len, size_t *padded, struct Error **errp);

/* rom_file_base - @name without its folders, as fw_cfg calls the ROM; points into @name. */
const char *rom_file_base(const char *name);

#endif
