/*
 * Going into the background, and the pid file.
 */
#ifndef MACHINE_DAEMON_H
#define MACHINE_DAEMON_H

#include <stdbool.h>

struct Error;

/* daemon_fork - the caller goes on in a child of its own session; the parent stays until
 * daemon_ready() and then ends with success, or with 1 if the child ends before. Call before any
 * thread or descriptor of ours exists. */
bool daemon_fork(struct Error **errp);
/* daemon_ready - release the parent and let go of the terminal. Nothing without daemon_fork(). */
bool daemon_ready(struct Error **errp);

/* pidfile_make - lock and write; pidfile_remove - at exit. */
bool pidfile_make(const char *path, struct Error **errp);
void pidfile_remove(void);

#endif
