/*
 * Files dropped on the window.
 */
#ifndef MACHINE_DROP_H
#define MACHINE_DROP_H

/* drop_file - put @file into the CD drive if it is a disc's image, into the floppy drive if it has a floppy's size.
 * What is wrong is said on stderr. Loop thread, without the machine lock. */
void drop_file(const char *file);

#endif
