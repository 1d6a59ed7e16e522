/*
 * The gdb stub: GDB Remote Serial Protocol over a character device.
 */
#ifndef MONITOR_GDBSTUB_H
#define MONITOR_GDBSTUB_H

#include <stdbool.h>

struct Chardev;
struct Error;

/* gdbstub_open - serve one debugger at a time on @c (borrowed). One stub a process. Loop thread. */
bool gdbstub_open(struct Chardev *c, struct Error **errp);

#endif
