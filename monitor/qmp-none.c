/* QMP in a build without json-c. */
#include <config.h>
#ifndef CONFIG_JSON
#include "monitor/qmp.h"

#include "base/error.h"

bool qmp_open(struct Chardev *c, bool pretty, Error **errp)
{
    error_set(errp, "this build has no QMP: it was made without json-c");
    return false;
}
#else
typedef int qmp_is_there; /* a translation unit is not empty */
#endif
