/* Sub-options written as a JSON object. */
#ifndef BASE_JSON_OPTIONS_H
#define BASE_JSON_OPTIONS_H

#include <stdbool.h>

struct Error;
struct OptList;
struct json_object;

/* json_options - the members of the object in @text as sub-options of @l: those of an object inside of it with its name
 * and a point in front, null as an empty value. False in a build without json-c. */
struct OptList;
bool json_options(struct OptList *l, const char *text, struct Error **errp);
/* json_tree - the same of an object that was read already, whose names begin with @prefix; null is an empty value. In builds
 * with JSON. */
bool json_tree(struct OptList *l, struct json_object *object, const char *prefix, struct Error **errp);

#endif
