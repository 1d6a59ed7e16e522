/*
 * -object: things that are no devices, made at start or by the monitors.
 */
#ifndef MACHINE_OBJECTS_H
#define MACHINE_OBJECTS_H

#include <stdbool.h>
#include <stdio.h>

struct Error;
struct OptList;

/* object_type_known - false with an error that lists the types. object_help - list them. */
bool object_type_known(const char *type, struct Error **errp);
void object_help(FILE *out);

/* object_new - from qom-type=, id= and those of the type; all must be known. Loop thread, no lock held. */
bool object_new(struct OptList *l, struct Error **errp);
/* object_del - the one called @id, of whatever type. */
bool object_del(const char *id, struct Error **errp);

#endif
