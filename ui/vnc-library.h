/*
 * libvncserver, loaded when the first VNC server is opened: it and what it drags in (GnuTLS among others)
 * cost every start milliseconds, and most machines are looked at by nobody. The names of its functions
 * stand for pointers here.
 */
#ifndef UI_VNC_LIBRARY_H
#define UI_VNC_LIBRARY_H

#include <config.h>
#ifdef CONFIG_VNC
#include <rfb/rfb.h>
#include <rfb/rfbregion.h>
#include <stdbool.h>

struct Error;

/* All that is used of it: F for functions, V for variables. */
#define VNC_LIBRARY(F, V)                                                                          \
    F(rfbClientConnectionGone)                                                                     \
    F(rfbCloseClient)                                                                              \
    F(rfbEncryptBytes)                                                                             \
    F(rfbGetScreen)                                                                                \
    F(rfbMarkRectAsModified)                                                                       \
    F(rfbNewClient)                                                                                \
    F(rfbProcessClientMessage)                                                                     \
    F(rfbReadExact)                                                                                \
    F(rfbRegisterProtocolExtension)                                                                \
    F(rfbScreenCleanup)                                                                            \
    F(rfbUpdateClient)                                                                             \
    F(rfbWriteExact)                                                                               \
    F(sraRgnCreateRect)                                                                            \
    F(sraRgnDestroy)                                                                               \
    F(sraRgnEmpty)                                                                                 \
    F(sraRgnMakeEmpty)                                                                             \
    V(rfbErr)                                                                                      \
    V(rfbLog)

#define VNC_LIBRARY_POINTER(name) __typeof__(name) *name;
typedef struct VncLibrary {
    VNC_LIBRARY(VNC_LIBRARY_POINTER, VNC_LIBRARY_POINTER)
} VncLibrary;
#undef VNC_LIBRARY_POINTER

extern VncLibrary vnc_library; /* constant after vnc_library_load() */

/* vnc_library_load - open it, once. Loop thread. */
bool vnc_library_load(struct Error **errp);

#ifndef VNC_LIBRARY_SELF
#define rfbClientConnectionGone vnc_library.rfbClientConnectionGone
#define rfbCloseClient vnc_library.rfbCloseClient
#define rfbEncryptBytes vnc_library.rfbEncryptBytes
#define rfbGetScreen vnc_library.rfbGetScreen
#define rfbMarkRectAsModified vnc_library.rfbMarkRectAsModified
#define rfbNewClient vnc_library.rfbNewClient
#define rfbProcessClientMessage vnc_library.rfbProcessClientMessage
#define rfbReadExact vnc_library.rfbReadExact
#define rfbRegisterProtocolExtension vnc_library.rfbRegisterProtocolExtension
#define rfbScreenCleanup vnc_library.rfbScreenCleanup
#define rfbUpdateClient vnc_library.rfbUpdateClient
#define rfbWriteExact vnc_library.rfbWriteExact
#define sraRgnCreateRect vnc_library.sraRgnCreateRect
#define sraRgnDestroy vnc_library.sraRgnDestroy
#define sraRgnEmpty vnc_library.sraRgnEmpty
#define sraRgnMakeEmpty vnc_library.sraRgnMakeEmpty
#define rfbErr (*vnc_library.rfbErr)
#define rfbLog (*vnc_library.rfbLog)
#endif
#endif

#endif
