/*
 * What main() asks of a board.
 */
#ifndef MACHINE_BOARD_H
#define MACHINE_BOARD_H

#include "machine/config.h"

struct Chardev;

/* board_build - make memory, chips and processors as @cfg says; nothing runs yet. Loop thread,
 * no lock held. */
bool board_build(const MachineConfig *cfg, struct Error **errp);
/* board_start - let the processors and CLK_VIRTUAL run. */
void board_start(void);
/* board_destroy - stop the processors and free everything. */
void board_destroy(void);

/* board_none - for -machine none: the monitors have something to start and stop. */
void board_none(const MachineConfig *cfg);

/* monitor_open - a monitor on @c. */
bool monitor_open(struct Chardev *c, MonitorKind kind, struct Error **errp);

/* machine_exit - end the program with @code; the first call wins. Any thread. */
void machine_exit(int code);

#endif
