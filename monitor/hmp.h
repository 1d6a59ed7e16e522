/*
 * The human monitor: one table of commands, lines over a character device.
 */
#ifndef MONITOR_HMP_H
#define MONITOR_HMP_H

#include <stdbool.h>

struct Chardev;
struct Error;

/* hmp_open - a monitor on @c (borrowed): greeting, prompt, commands. Loop thread. */
bool hmp_open(struct Chardev *c, struct Error **errp);

#endif
