/*
 * What a board offers to the devices that plug into it: interrupt lines, the PCI bus, and what
 * only the machine can do. Device.board points to one; the board fills it before any realize.
 */
#ifndef HW_BOARD_H
#define HW_BOARD_H

#include <stdbool.h>
#include "bus/irq.h"

struct Device;
struct IsaDma;
struct PciBus;
struct FwCfg;

typedef struct Board {
    IrqLine isa_irq[16];   /* inputs of the ISA interrupts; IRQ 2 is not connected */
    unsigned cpus;         /* processors */
    struct PciBus *pci;    /* NULL on a board without PCI */
    const char *pci_name;  /* as bus= has it; NULL: pci.0 */
    struct FwCfg *fw_cfg;  /* may be NULL */
    /* The path of a ROM file, freed by the caller; NULL when there is none. May be NULL. */
    char *(*rom_find)(const char *name);
    struct IsaDma *isa_dma; /* may be NULL */
    bool complete; /* what is plugged in from now on comes while the machine runs */
    /* pci_hide() was called for the card: free it when processors are paused. */
    void (*ejected)(struct Device *dev);
    /* Requests to the machine; any thread; they return at once. May be NULL. */
    void (*exit_request)(int code);
    void (*reset_request)(void);
    void (*shutdown_request)(void);
    void (*watchdog_expired)(void);
    void (*guest_panicked)(bool crash_loaded); /* @crash_loaded: its crash kernel sees to it */
} Board;

#endif
