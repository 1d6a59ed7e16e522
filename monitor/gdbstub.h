/*
 * The gdb stub: GDB Remote Serial Protocol over a character device. One stub a process, for one debugger at a time.
 */
#ifndef MONITOR_GDBSTUB_H
#define MONITOR_GDBSTUB_H

#include <stdbool.h>

struct Error;

/* gdb_open - serve on @where, as -gdb takes it, and no more where it was. Loop thread without the machine lock.
 * gdb_close - serve no more; the machine runs on if a debugger had stopped it. False: there was no stub. */
bool gdb_open(const char *where, struct Error **errp);
bool gdb_close(void);

#endif
