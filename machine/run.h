/*
 * What a running machine can be asked for. All return at once, from any thread; the loop thread
 * acts on them.
 */
#ifndef MACHINE_RUN_H
#define MACHINE_RUN_H

/* machine_exit_request - end the process with @code (isa-debug-exit). */
void machine_exit_request(int code);
/* machine_reset_request - reset the board, or exit under -no-reboot. */
void machine_reset_request(void);
/* machine_shutdown_request - the guest switched its power off: end, or stop under -no-shutdown. */
void machine_shutdown_request(void);
/* machine_powerdown_request - press the power button (monitor, signal). */
void machine_powerdown_request(void);

#endif
