/* Without libnbd there is no NBD client. */
#include "block/nbd-client.h"

#include <config.h>
#include "base/error.h"

#ifndef CONFIG_LIBNBD
RemoteFile *nbd_client_open(const char *name, bool *read_only, Error **errp)
{
    error_set(errp, "Could not open '%s': this doppel was built without libnbd", name);
    return NULL;
}

void nbd_clients_hurry(void)
{
}
#endif
