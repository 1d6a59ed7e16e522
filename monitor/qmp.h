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

/* json_options - the members of the object in @text as sub-options of @l: those of an object inside of it with its name
 * and a point in front, null as an empty value. False in a build without json-c. */
struct OptList;
bool json_options(struct OptList *l, const char *text, struct Error **errp);

#endif
