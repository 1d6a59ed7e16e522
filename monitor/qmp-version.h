/*
 * The version that QMP tells, from ./configure's one triple.
 */
#ifndef MONITOR_QMP_VERSION_H
#define MONITOR_QMP_VERSION_H

#include "base/json.h"

/* qmp_version - {"qemu": {...}, "package": "doppel-..."}; the caller's. */
Json *qmp_version(void);

#endif
