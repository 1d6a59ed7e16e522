/*
 * The back ends; chardev/create.c has the table of them.
 */
#ifndef CHARDEV_BACKENDS_H
#define CHARDEV_BACKENDS_H

#include "chardev/backend.h"

extern const CharBackend chardev_null, chardev_file, chardev_pipe, chardev_ringbuf; /* simple.c */
extern const CharBackend chardev_stdio;                                             /* stdio.c */
extern const CharBackend chardev_pty, chardev_serial;                               /* tty.c */
extern const CharBackend chardev_socket;                                            /* socket.c */
extern const CharBackend chardev_summa;                                             /* summa.c */
extern const CharBackend chardev_msmouse;                                           /* msmouse.c */
extern const CharBackend chardev_vc;                                                /* ui/console.c */

#endif
