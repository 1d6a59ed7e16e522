/*
 * The table of what can be done when something happens to the machine.
 */
#include "machine/action.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "base/error.h"

static const struct {
    const char *name, *choices;
    uint8_t usual;
} events[ACTION_EVENTS] = {
    [ON_REBOOT] = { "reboot", REBOOT_ACTIONS, REBOOT_RESET },
    [ON_SHUTDOWN] = { "shutdown", SHUTDOWN_ACTIONS, SHUTDOWN_POWEROFF },
    [ON_WATCHDOG] = { "watchdog", WATCHDOG_ACTIONS, WATCHDOG_RESET },
    [ON_PANIC] = { "panic", PANIC_ACTIONS, PANIC_SHUTDOWN },
};

void actions_init(Actions *a)
{
    for (unsigned on = 0; on < ACTION_EVENTS; on++) {
        a->on[on] = events[on].usual;
    }
}

const char *action_event(ActionOn on)
{
    return events[on].name;
}

void action_name(const Actions *a, ActionOn on, char text[ACTION_NAME])
{
    const char *at = events[on].choices;

    for (unsigned k = 0; k < a->on[on]; k++) {
        at = strchr(at, '|') + 1;
    }
    snprintf(text, ACTION_NAME, "%.*s", (int)strcspn(at, "|"), at);
}

bool action_set(Actions *a, ActionOn on, const char *what, Error **errp)
{
    const char *at = what != NULL ? events[on].choices : NULL;
    uint8_t k = 0;

    while (at != NULL && (strcspn(at, "|") != strlen(what) || strncmp(at, what, strlen(what)) != 0)) {
        at = strchr(at, '|');
        at = at != NULL ? at + 1 : NULL;
        k++;
    }
    if (at != NULL) {
        a->on[on] = k;
    } else if (what != NULL) {
        error_set(errp, "%s=%s: not %s", events[on].name, what, events[on].choices);
    }
    return at != NULL || what == NULL;
}
