/*
 * Options about what the guest's screen is made of.
 */
#include "machine/internal.h"

#include <stdio.h>
#include "base/error.h"
#include "base/text.h"
#include "base/mem.h"

static const struct {
    const char *name, *what;
    VgaChoice choice; /* VGA_CHOICE_DEFAULT: it does not exist here */
} cards[] = {
    { "none", "no graphics card", VGA_CHOICE_NONE },
    { "std", "standard VGA", VGA_CHOICE_STD },
    { "cirrus", NULL, VGA_CHOICE_DEFAULT },
    { "vmware", NULL, VGA_CHOICE_DEFAULT },
    { "qxl", NULL, VGA_CHOICE_DEFAULT },
    { "virtio", NULL, VGA_CHOICE_DEFAULT },
};

bool opt_vga(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    Nearest near;

    if (opt_is_help(arg)) {
        for (size_t n = 0; n < ARRAY_SIZE(cards); n++) {
            if (cards[n].what != NULL) {
                printf("%-20s %s%s\n", cards[n].name, cards[n].what,
                       cards[n].choice == VGA_CHOICE_STD ? " (default)" : "");
            }
        }
        p->done = true;
        return true;
    }
    nearest_init(&near, arg);
    for (size_t n = 0; n < ARRAY_SIZE(cards); n++) {
        if (strcmp(arg, cards[n].name) != 0) {
            nearest_offer(&near, cards[n].name);
        } else if (cards[n].what == NULL) {
            error_set(errp, "%s: not supported yet (only std and none)", arg);
            return false;
        } else {
            p->cfg->vga = cards[n].choice;
            return true;
        }
    }
    error_set(errp, "there is no graphics card '%s'; did you mean '%s'?", arg,
              near.best != NULL ? near.best : "std");
    return false;
}
