/*
 * What is done when something happens to the machine: -action, -no-reboot, set-action.
 */
#ifndef MACHINE_ACTION_H
#define MACHINE_ACTION_H

#include <stdbool.h>
#include <stdint.h>

struct Error;

typedef enum ActionOn {
    ON_REBOOT,   /* the machine is reset, by the guest or the user */
    ON_SHUTDOWN, /* it switched its power off */
    ON_WATCHDOG, /* a watchdog was not fed */
    ON_PANIC,    /* the guest says that it panicked */
    ACTION_EVENTS
} ActionOn;

/* Their names, in the order of the values. */
#define REBOOT_ACTIONS "reset|shutdown"
#define SHUTDOWN_ACTIONS "poweroff|pause"
#define WATCHDOG_ACTIONS "reset|shutdown|poweroff|pause|debug|none|inject-nmi"
#define PANIC_ACTIONS "shutdown|pause|none|exit-failure"

enum { REBOOT_RESET, REBOOT_SHUTDOWN };
enum { SHUTDOWN_POWEROFF, SHUTDOWN_PAUSE };
enum { WATCHDOG_RESET, WATCHDOG_SHUTDOWN, WATCHDOG_POWEROFF, WATCHDOG_PAUSE, WATCHDOG_DEBUG, WATCHDOG_NONE,
       WATCHDOG_NMI };
enum { PANIC_SHUTDOWN, PANIC_PAUSE, PANIC_NONE, PANIC_EXIT };

typedef struct Actions {
    uint8_t on[ACTION_EVENTS]; /* one of the values above each */
} Actions;

/* actions_init - what is done where nobody says otherwise. */
void actions_init(Actions *a);
/* action_event - the name of @on. action_name - of what @a says of it. */
const char *action_event(ActionOn on);
enum { ACTION_NAME = 16 };
void action_name(const Actions *a, ActionOn on, char text[ACTION_NAME]);
/* action_set - @what (NULL: as it is) becomes what is done on @on; an error lists what there is. */
bool action_set(Actions *a, ActionOn on, const char *what, struct Error **errp);

#endif
