/*
 * Options about what the guest's screen is made of and where it is shown.
 */
#include "machine/internal.h"

#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/text.h"
#include "base/mem.h"
#include "base/optlist.h"
#include "base/secret.h"
#include "ui/keymap.h"
#include "ui/vnc.h"

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

bool opt_display(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    static const char *const not_yet[] = { "sdl", "gtk", "curses", "cocoa", "dbus", "spice-app",
                                           "egl-headless" };
    Parser *p = opaque;

    if (opt_is_help(arg)) {
        printf("Available display backend types:\nnone\nvnc\n");
        p->done = true;
        return true;
    }
    if (strncmp(arg, "vnc=", 4) == 0) {
        return opt_vnc(opaque, def, arg + 4, errp);
    }
    if (strcmp(arg, "none") == 0) {
        p->cfg->no_display = true;
        return true;
    }
    for (size_t n = 0; n < ARRAY_SIZE(not_yet); n++) {
        if (strncmp(arg, not_yet[n], strcspn(arg, ",")) == 0) {
            error_set(errp, "not supported yet (there are none and vnc=host:display)");
            return false;
        }
    }
    error_set(errp, "unknown display (there are none and vnc=host:display)");
    return false;
}

bool opt_vnc(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (!vnc_check(arg, errp)) {
        return false;
    }
    str_list_add(&p->cfg->vnc, arg);
    return true;
}

bool opt_keymap(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;

    if (opt_is_help(arg)) {
        keymap_list(stdout);
        p->done = true;
        return true;
    }
    p->cfg->keymap = keymap_find(arg);
    if (p->cfg->keymap == NULL) {
        error_set(errp, "there is no such layout ('help' lists)");
        return false;
    }
    return true;
}

/* -object type,...: there are secrets. */
bool opt_object(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    OptList *l;
    const char *type;
    bool ok;

    if (opt_is_help(arg)) {
        printf("List of user creatable objects:\n  secret\n");
        p->done = true;
        return true;
    }
    l = opt_parse(arg, "qom-type", errp);
    if (l == NULL) {
        return false;
    }
    type = opt_get_str(l, "qom-type", "");
    ok = strcmp(type, "secret") == 0;
    if (!ok) {
        error_set(errp, "object '%s' is not supported (there is secret)", type);
    }
    ok = ok && secret_new(l, errp);
    opt_free(l);
    return ok;
}
