/*
 * The types of -object.
 */
#include "machine/objects.h"

#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/secret.h"
#include "block/throttle.h"
#include "machine/memdev.h"
#include "net/backend.h"

static const struct {
    const char *name;
    bool (*make)(OptList *l, Error **errp);
    bool (*del)(const char *id); /* false: there is none of this type */
} types[] = {
    { "filter-dump", net_dump_new, net_dump_del },
    { "memory-backend-file", memdev_new_file, memdev_del },
    { "memory-backend-memfd", memdev_new_memfd, memdev_del },
    { "memory-backend-ram", memdev_new_ram, memdev_del },
    { "secret", secret_new, secret_del },
    { "throttle-group", throttle_object_new, throttle_object_del },
};

void object_help(FILE *out)
{
    fprintf(out, "List of user creatable objects:\n");
    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        fprintf(out, "  %s\n", types[n].name);
    }
}

bool object_type_known(const char *type, Error **errp)
{
    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        if (strcmp(types[n].name, type) == 0) {
            return true;
        }
    }
    error_set(errp, "object '%s' is not supported (there are filter-dump, memory-backend-file, -memfd and -ram, secret and throttle-group)", type);
    return false;
}

bool object_new(OptList *l, Error **errp)
{
    const char *type = opt_get_str(l, "qom-type", "");

    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        if (strcmp(types[n].name, type) == 0) {
            return types[n].make(l, errp);
        }
    }
    return object_type_known(type, errp);
}

bool object_del(const char *id, Error **errp)
{
    if (throttle_object_used(id) || memdev_used(id)) {
        error_set(errp, "object '%s' is in use, can not be deleted", id);
        return false;
    }
    for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
        if (types[n].del(id)) {
            return true;
        }
    }
    error_set(errp, "object '%s' not found", id);
    return false;
}
