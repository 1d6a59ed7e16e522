/*
 * The machine protocol: QMP, JSON over a character device.
 */
#ifndef MONITOR_QMP_H
#define MONITOR_QMP_H

#include <stdbool.h>

struct Chardev;
struct Error;

/* qmp_open - a monitor for programs on @c (borrowed); @pretty: replies in several lines. Loop thread. */
bool qmp_open(struct Chardev *c, bool pretty, struct Error **errp);

#endif
