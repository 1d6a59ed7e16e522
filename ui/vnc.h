/*
 * VNC: the screen, keyboard and pointer over the network (RFB 3.3 to 3.8).
 */
#ifndef UI_VNC_H
#define UI_VNC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct Error;
struct Keymap;

/* What viewers may do to the machine's power, where power-control=on. Any thread. */
typedef struct VncPowerOps {
    void (*powerdown)(void);
    void (*reset)(void);
} VncPowerOps;

/* vnc_setup - the guest's name (NULL: none; borrowed), for the viewer's title, and the layout of -k. Before
 * the others. */
void vnc_setup(const char *name, const struct Keymap *map, const VncPowerOps *power);
/* vnc_check - whether @spec, the argument of -vnc, is one; looks at no socket. */
bool vnc_check(const char *spec, struct Error **errp);
/* vnc_open - serve at @spec; "none" serves nowhere. Loop thread, without the machine lock. */
bool vnc_open(const char *spec, struct Error **errp);
/* vnc_open_default - on the first free port of the loopback from 5900, and say so on stdout. */
bool vnc_open_default(struct Error **errp);
/* vnc_close_all - stop serving; at the end, after loop_run(). */
void vnc_close_all(void);

/* vnc_set_password - of the server @id (NULL: the first one), which must ask for one. vnc_expire_password - from
 * @when on CLK_HOST on it lets nobody in. vnc_change - serve at @spec instead of where the first server is. */
bool vnc_set_password(const char *id, const char *password, struct Error **errp);
bool vnc_expire_password(const char *id, int64_t when, struct Error **errp);
bool vnc_change(const char *spec, struct Error **errp);

/* Where a server or a client is: "127.0.0.1", "5900", "ipv4"; a path is both host and service of "unix". */
typedef struct VncAddress {
    const char *host, *service, *family; /* host NULL: nowhere */
    bool websocket;
} VncAddress;
/* vnc_each - for QMP: each server (@auth: none or vnc), and after it its clients. Loop thread. */
void vnc_each(void (*server)(void *opaque, const char *id, const char *auth, const VncAddress *a),
              void (*client)(void *opaque, const VncAddress *a), void *opaque);

/* vnc_info - for `info vnc`. */
void vnc_info(FILE *out);

#endif
