/*
 * fat:FOLDER - a folder of the host as a disk with a FAT file system, read-only.
 *
 *   fat:[12:|16:]FOLDER           a hard disk with one partition: FAT16 and 504 MiB, or FAT12 and 31.5
 *   fat:floppy:[12:]FOLDER        a floppy of 2.88 MB, or (12:) of 1.44; FAT12 both
 *
 * Names, sizes and places are what they were when it was opened; what a file holds is read when the guest reads it. A file
 * that is shorter then has zeros behind its end. Symbolic links are followed, a circle of them ends in an error; what is
 * neither a file nor a folder is left out.
 */
#ifndef BLOCK_FAT_H
#define BLOCK_FAT_H

#include <stdbool.h>
#include "block/host-file.h"

struct Error;
struct OptList;

/* fat_is_address - "fat:...". fat_open - it; a write to it fails (-EROFS). The caller owns it; NULL with errp. */
bool fat_is_address(const char *name);
RemoteFile *fat_open(const char *name, struct Error **errp);
/* fat_address - of the options of a node of the driver vvfat, their keys behind @prefix; freed by the caller. NULL with errp. */
char *fat_address(struct OptList *l, const char *prefix, struct Error **errp);

#endif
