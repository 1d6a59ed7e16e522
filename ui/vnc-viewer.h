/*
 * What a VNC client's thread has, for the files that are run by it.
 */
#ifndef UI_VNC_VIEWER_H
#define UI_VNC_VIEWER_H

#include <config.h>
#ifdef CONFIG_VNC
#include <stdbool.h>
#include "ui/vnc-internal.h"
#include "ui/vnc-library.h"

enum { VNC_SET_DESKTOP_SIZE = 251 };

typedef struct Viewer {
    VncClient *c;
    rfbScreenInfo *screen;
    rfbClientRec *cl;
    char *name;            /* of the desktop */
    Surface *surface;      /* shown; a reference */
    uint32_t *pixels;      /* the client's copy of it, same geometry */
    uint64_t *dirty;       /* as VncClient's: work of this moment */
    unsigned noted;        /* extensions asked for and not acknowledged, a bit each */
    unsigned has;          /* those that it has */
    int lamps;             /* the last ones told */
} Viewer;

/* vnc-extension.c: what is not in RFC 6143 */

/* vnc_pseudo_encodings - those of extensions, 0 at the end. vnc_wants - the viewer asks for one; false: it is none
 * of these. */
int *vnc_pseudo_encodings(void);
bool vnc_wants(Viewer *v, int encoding);
/* vnc_acknowledge - tell the viewer what it asked for and has. */
void vnc_acknowledge(Viewer *v);
/* vnc_message - take a message of an extension; false: it is none. */
bool vnc_message(Viewer *v, uint8_t type);
/* vnc_on_xvp - the library's hook for power control; with one, it offers it. */
rfbBool vnc_on_xvp(rfbClientPtr cl, uint8_t version, uint8_t code);
/* vnc_cut_text - the viewer's clipboard, Latin-1 or UTF-8. */
void vnc_cut_text(Viewer *v, const char *text, int len, bool utf8);
/* vnc_notify - lamps and bell, as the loop says. */
void vnc_notify(Viewer *v);
/* vnc_relative - the viewer sends how far its pointer moved, not where it is. */
bool vnc_relative(const Viewer *v);
#endif

#endif
