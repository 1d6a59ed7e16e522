/*
 * What a running machine can be asked for. The requests return at once, from any thread; the loop
 * thread acts on them.
 */
#ifndef MACHINE_RUN_H
#define MACHINE_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include "machine/action.h"

/* machine_exit_request - end the process with @code (isa-debug-exit). */
void machine_exit_request(int code);
/* machine_quit - end the process with success, since the user wants it: @reason as QMP's SHUTDOWN names it
 * ("host-qmp-quit"). Loop thread. */
void machine_quit(const char *reason);
/* machine_reset_user - machine_reset_request() by the user. */
void machine_reset_user(void);
/* machine_reset_request - the guest asks: reset the board, or what -action reboot= says. */
void machine_reset_request(void);
/* machine_shutdown_request - the guest switched its power off: end, or what -action shutdown= says. */
void machine_shutdown_request(void);
/* machine_watchdog_expired - a watchdog was not fed: what -action watchdog= says. */
void machine_watchdog_expired(void);
/* machine_guest_panicked - the guest says that it panicked: what -action panic= says; @crash_loaded: that its crash kernel
 * sees to it, which is only told. */
void machine_guest_panicked(bool crash_loaded);
/* machine_powerdown_request - press the power button (monitor, signal). */
void machine_powerdown_request(void);

/* What follows runs on the loop thread without the machine lock. */

typedef enum RunState {
    RUN_PRELAUNCH, /* -S before the first start, or reset while it was stopped */
    RUN_RUNNING,
    RUN_PAUSED,    /* stop */
    RUN_SHUTDOWN,  /* powered off, with -action shutdown=pause */
    RUN_DEBUG,     /* held by the debugger */
    RUN_IO_ERROR,  /* a disk's request failed, and is made again by vm_start() */
    RUN_WATCHDOG,  /* -action watchdog=pause */
    RUN_PANICKED,  /* -action panic=pause */
    RUN_INTERNAL_ERROR, /* the engine cannot go on */
} RunState;

/* vm_start - let processors and CLK_VIRTUAL run; nothing if they do. vm_stop - park them, for the
 * reason @why. */
void vm_start(void);
void vm_stop(RunState why);
RunState vm_state(void);
const char *vm_state_name(RunState s); /* as `info status` writes it */

/* What main() tells about the command line, and how the board resets. */
typedef struct RunConfig {
    const char *name;              /* of the guest, or NULL; lives as long as the machine */
    uint8_t uuid[16];              /* zeros when none was given */
    Actions actions;
    void (*board_reset)(void);     /* all processors parked, machine lock held */
    void (*board_powerdown)(void); /* the power button, machine lock held */
    void (*board_nmi)(void);       /* to all processors, machine lock held */
    void (*exit)(int code);
} RunConfig;
void run_setup(const RunConfig *cfg);

/* vm_actions - what is done when something happens; may be changed. */
Actions *vm_actions(void);

/* vm_name - of -name, or NULL. vm_uuid - 16 bytes. Constant after run_setup(). */
const char *vm_name(void);
const uint8_t *vm_uuid(void);
void vm_uuid_text(char text[37]);

#endif
