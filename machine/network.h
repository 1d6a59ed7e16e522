/*
 * From -netdev, -nic and -net to back ends, hubs and cards.
 */
#ifndef MACHINE_NETWORK_H
#define MACHINE_NETWORK_H

#include <stdbool.h>
#include "machine/config.h"

struct Error;

/* A card that -nic, -net nic or nothing asked for. */
typedef struct NicSpec {
    char *model, *mac, *addr, *id; /* may be NULL but the first */
    char *netdev;                  /* id of what it is plugged into, or NULL */
} NicSpec;

/* network_open - make the back ends. Loop thread, no lock, character devices are there. */
bool network_open(MachineConfig *cfg, struct Error **errp);
/* network_plug - make the cards. Machine lock held. */
bool network_plug(const MachineConfig *cfg, struct Error **errp);
void network_free(MachineConfig *cfg);

#endif
