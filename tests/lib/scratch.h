/*
 * A folder for a test's images.
 *
 * In memory where there is room: a hole that is punched into a dirty file on a disk waits until that is written, which
 * says nothing of us and takes nine tenths of the time.
 */
#ifndef TESTS_LIB_SCRATCH_H
#define TESTS_LIB_SCRATCH_H

/* scratch_new - an empty folder "doppel-@name-..." in /dev/shm, or in /tmp where that is too small or not there; the caller's. */
char *scratch_new(const char *name);
/* scratch_on_disk - the same in /tmp, which has what only a disk's file system does. */
char *scratch_on_disk(const char *name);
/* scratch_free - the folder, all that is in it and @dir; NULL: nothing. */
void scratch_free(char *dir);

#endif
