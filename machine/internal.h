/*
 * Between the files that read the command line.
 */
#ifndef MACHINE_INTERNAL_H
#define MACHINE_INTERNAL_H

#include "base/options.h"
#include "base/optlist.h"
#include "machine/config.h"

/* What is collected while the words are read. */
typedef struct Parser {
    MachineConfig *cfg;
    OptList *machine, *memory, *smp, *name, *msg, *rtc, *overcommit, *boot; /* options that merge */
    StrList accels;     /* -accel, in order */
    bool machine_accel, option_accel; /* -machine accel=, -accel were given */
    bool irqchip_kernel, irqchip_split; /* kernel-irqchip=on, split */
    bool serial_given, monitor_given, no_parallel, summa;
    char *bios;         /* -bios as typed */
    bool done;
} Parser;

typedef bool OptHandler(void *opaque, const OptionDef *def, const char *arg, struct Error **errp);

extern const OptionDef machine_options[];

/* machine/options-accel.c */
OptHandler opt_accel, opt_enable_kvm;
/* machine/options-machine.c */
OptHandler opt_machine, opt_cpu, opt_memory, opt_numa, opt_smp, opt_icount,
    opt_rtc, opt_action, opt_watchdog_action, opt_name, opt_msg, opt_overcommit, opt_uuid, opt_sandbox;
/* machine/options-device.c */
OptHandler opt_device, opt_watchdog, opt_usbdevice, opt_global, opt_chardev, opt_serial, opt_parallel, opt_monitor, opt_mon,
    opt_qmp,
    opt_readconfig, opt_echr;
/* machine/network.c; -nic and -net are told apart by their user value */
OptHandler opt_netdev, opt_net;
enum { NET_NET, NET_NIC };
bool opt_filter_dump(Parser *p, const char *arg);
/* machine/options-display.c */
OptHandler opt_vga, opt_display, opt_vnc, opt_keymap, opt_object, opt_summa;
/* machine/options-firmware.c */
OptHandler opt_boot, opt_smbios, opt_fw_cfg, opt_option_rom, opt_acpitable;
/* machine/options-drive.c */
OptHandler opt_blockdev, opt_drive, opt_disk;
enum { DISK_CD = 4, DISK_FLOPPY = 8, DISK_PFLASH = 16 }; /* with the index, what opt_disk() adds */
bool opt_disk_word(void *opaque, const char *text, struct Error **errp);
/* machine/options-board.c */
/* machine_type - -machine type=; "help" lists, and nothing else is done then. */
bool machine_type(Parser *p, const char *type, struct Error **errp);
/* machine_look_ahead - which board it is, since places of drives depend on it and may come before -machine. */
void machine_look_ahead(MachineConfig *cfg, int argc, char **argv);
/* board_finish - what the board cannot have is refused, and what it has by default is set. */
bool board_finish(Parser *p, struct Error **errp);
/* machine/options.c: finish what needs to be seen as a whole */
/* options-accel.c: the engine, and kernel-irqchip= as -machine and -accel have it */
bool accel_finish(Parser *p, struct Error **errp);
bool memory_finish(Parser *p, struct Error **errp); /* options-machine.c */
void accel_irqchip(Parser *p, struct OptList *l);

#endif
