/*
 * Devices that the user plugs in and pulls out: -device, device_add, device_del.
 */
#ifndef MACHINE_PLUG_H
#define MACHINE_PLUG_H

#include <stdbool.h>
#include <stdio.h>
#include "base/optlist.h"

struct Device;
struct DeviceClass;
struct Error;

/* plug_class - the model called @name, if users can have it. plug_list - all of those. */
const struct DeviceClass *plug_class(const char *name, struct Error **errp);
void plug_list(FILE *out);

/* plug_device - what a -device describes: everything but driver= and id= is a property. Machine lock held. */
bool plug_device(OptList *l, struct Error **errp);
/* plug_hot - the same while the machine is there, and the guest is told. Loop thread, no lock held. */
bool plug_hot(OptList *l, struct Error **errp);

/* unplug_device - the device called @id (or its path, /machine/peripheral/ID). The guest is asked to let go of a card;
 * DEVICE_DELETED is sent when it has. Others go at once. Loop thread, no lock held. */
bool unplug_device(const char *id, struct Error **errp);
/* unplug_soon - @dev answers no more (pci_hide()): it is freed by the loop when no processor can be about to call it.
 * Machine lock held. unplug_now - those that wait. Loop thread, no lock held. */
void unplug_soon(struct Device *dev);
void unplug_now(void);

#endif
