/*
 * Options about what the guest's screen is made of and where it is shown.
 */
#include "machine/internal.h"
#include "machine/objects.h"

#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/text.h"
#include "base/mem.h"
#include "base/optlist.h"
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

/* take_window - "sdl,..." or "gtk,...". */
static bool take_window(MachineConfig *cfg, OptList *l, bool gtk, Error **errp)
{
    static const char *const gl[] = { "off", "on", "core", "es", NULL };
    static const char *const gtk_only[] = { "grab-on-hover", "show-tabs", "show-menubar", "zoom-to-fit" };
    const char *mod = opt_get_str(l, "grab-mod", "lctrl-lalt");

    cfg->sdl.on = cfg->sdl.asked = true;
    cfg->no_display = false;
    cfg->sdl.full_screen = opt_get_bool(l, "full-screen", cfg->sdl.full_screen);
    cfg->sdl.keep_open = !opt_get_bool(l, "window-close", !cfg->sdl.keep_open);
    cfg->sdl.show_cursor = opt_get_bool(l, "show-cursor", false);
    cfg->sdl.gl = opt_get_choice(l, "gl", gl, 0) != 0;
    if (strcmp(mod, "lctrl-lalt") != 0) {
        opt_bad(l, "grab-mod=%s: not supported yet (only lctrl-lalt)", mod);
    }
    for (size_t n = 0; gtk && n < ARRAY_SIZE(gtk_only); n++) {
        if (opt_get_bool(l, gtk_only[n], false)) {
            opt_bad(l, "%s=on: this is SDL's window, which has no such thing", gtk_only[n]);
        }
    }
    if (!opt_done(l, errp)) {
        return false;
    }
    if (gtk) {
        report("-display gtk: the window is SDL's here");
    }
    return true;
}

static bool take_display(MachineConfig *cfg, OptList *l, Error **errp)
{
    static const char *const not_yet[] = { "curses", "cocoa", "dbus", "spice-app", "egl-headless" };
    const char *type = opt_get_str(l, "type", "");
    bool gtk = strcmp(type, "gtk") == 0;

    cfg->sdl.on = false;
    if (gtk || strcmp(type, "sdl") == 0) {
        return take_window(cfg, l, gtk, errp);
    }
    if (strcmp(type, "none") == 0) {
        cfg->no_display = true;
        return opt_done(l, errp);
    }
    if (strcmp(type, "web") == 0) {
        str_list_add(&cfg->vnc, "none,websocket=on,web=on");
        return opt_done(l, errp);
    }
    for (size_t n = 0; n < ARRAY_SIZE(not_yet); n++) {
        if (strcmp(type, not_yet[n]) == 0) {
            error_set(errp, "not supported yet (there are sdl, none, web and vnc=host:display)");
            return false;
        }
    }
    error_set(errp, "unknown display (there are sdl, none, web and vnc=host:display)");
    return false;
}

bool opt_display(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    OptList *l;
    bool ok;

    if (opt_is_help(arg)) {
        printf("Available display backend types:\nnone\nsdl\ngtk\nvnc\nweb\n");
        p->done = true;
        return true;
    }
    if (strncmp(arg, "vnc=", 4) == 0) {
        return opt_vnc(opaque, def, arg + 4, errp);
    }
    l = opt_parse(arg, "type", errp);
    ok = l != NULL && take_display(p->cfg, l, errp);
    opt_free(l);
    return ok;
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
    p->cfg->sdl.by_keysym = true;
    return true;
}

/* -object type,...: what belongs to a network is made when that is. */
bool opt_object(void *opaque, const OptionDef *def, const char *arg, Error **errp)
{
    Parser *p = opaque;
    OptList *l;
    bool ok;

    if (opt_is_help(arg)) {
        object_help(stdout);
        p->done = true;
        return true;
    }
    l = opt_parse(arg, "qom-type", errp);
    if (l == NULL) {
        return false;
    }
    if (strcmp(opt_get_str(l, "qom-type", ""), "filter-dump") == 0) {
        ok = opt_filter_dump(p, arg);
    } else {
        ok = object_new(l, errp);
    }
    opt_free(l);
    return ok;
}
