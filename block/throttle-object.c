/*
 * -object throttle-group: limits that the nodes share that name it. See throttle.h.
 */
#include "block/throttle.h"

#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"

typedef struct Object {
    char *id;
    BlockLimits limits;
    unsigned users;
    struct Object *next;
} Object;

static Object *objects; /* loop thread */

static Object *find(const char *id)
{
    Object *o = objects;

    while (o != NULL && strcmp(o->id, id) != 0) {
        o = o->next;
    }
    return o;
}

/* one - "limits.bps-total", or as it was called first, "x-bps-total". */
static uint64_t one(OptList *l, const char *name, uint64_t def)
{
    autofree char *key = xasprintf("limits.%s", name), *old = xasprintf("x-%s", name);

    return opt_get_u64(l, key, UINT64_MAX, opt_get_u64(l, old, UINT64_MAX, def));
}

static void take(OptList *l, BlockLimits *limits)
{
    static const char *const names[LIMITS] = { "bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write" };

    for (unsigned n = 0; n < LIMITS; n++) {
        autofree char *max = xasprintf("%s-max", names[n]), *length = xasprintf("%s-max-length", names[n]);

        limits->of[n].average = one(l, names[n], 0);
        limits->of[n].max = one(l, max, 0);
        limits->of[n].length = one(l, length, 1);
    }
    limits->iops_size = one(l, "iops-size", 0);
}

bool throttle_object_new(OptList *l, Error **errp)
{
    const char *id = opt_get_str(l, "id", NULL);
    BlockLimits limits = { 0 };
    Object *o;

    opt_get_str(l, "qom-type", NULL);
    take(l, &limits);
    if (!opt_done(l, errp)) {
        return false;
    }
    if (id == NULL) {
        error_set(errp, "Parameter 'id' is missing");
        return false;
    }
    if (find(id) != NULL) {
        error_set(errp, "attempt to add duplicate property '%s' to object (type 'container')", id);
        return false;
    }
    if (!limits_check(&limits, errp)) {
        return false;
    }
    o = xnew(Object);
    *o = (Object){ .id = xstrdup(id), .limits = limits, .next = objects };
    objects = o;
    return true;
}

bool throttle_object_del(const char *id)
{
    for (Object **p = &objects; *p != NULL; p = &(*p)->next) {
        Object *o = *p;

        if (strcmp(o->id, id) == 0 && o->users == 0) {
            *p = o->next;
            free(o->id);
            free(o);
            return true;
        }
    }
    return false;
}

bool throttle_object_used(const char *id)
{
    const Object *o = find(id);

    return o != NULL && o->users > 0;
}

const BlockLimits *throttle_object_take(const char *id)
{
    Object *o = find(id);

    if (o == NULL) {
        return NULL;
    }
    o->users++;
    return &o->limits;
}

void throttle_object_give(const char *id)
{
    find(id)->users--;
}
