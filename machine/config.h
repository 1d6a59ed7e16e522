/*
 * What the command line asks for. config_parse() fills it without touching the outside world but
 * for looking at the files that are named; config_open() then opens the character devices; after
 * that it is constant, and the board is built from it.
 */
#ifndef MACHINE_CONFIG_H
#define MACHINE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "accel/icount.h"
#include "accel/kvm/kvm.h"
#include "accel/options.h"
#include "machine/action.h"
#include "machine/firmware.h"
#include "machine/pc.h"
#include "ui/sdl.h"

struct Error;
struct OptList;
struct Chardev;

enum { SERIAL_MAX = 4, PARALLEL_MAX = 3, MONITOR_MAX = 8 };

typedef enum AccelKind {
    ACCEL_DEFAULT, /* the best one built in */
    ACCEL_INTERP,  /* -accel interp: the reference interpreter */
    ACCEL_JIT,     /* -accel tcg or doppel: the translator */
    ACCEL_KVM,     /* -accel kvm */
} AccelKind;

typedef enum OnOffAuto {
    OOA_AUTO,
    OOA_ON,
    OOA_OFF,
} OnOffAuto;

typedef enum RtcBase {
    RTC_UTC,
    RTC_LOCALTIME,
    RTC_DATE, /* rtc_start holds it */
} RtcBase;

typedef enum MonitorKind {
    MONITOR_HUMAN,
    MONITOR_QMP,
    MONITOR_QMP_PRETTY,
} MonitorKind;

/* Words kept as they were typed. */
typedef struct StrList {
    char **s;
    size_t count;
} StrList;

typedef enum VgaChoice {
    VGA_CHOICE_DEFAULT, /* -vga was not given */
    VGA_CHOICE_NONE,
    VGA_CHOICE_STD,
} VgaChoice;

typedef struct MachineConfig {
    const char *program; /* argv[0] without folders */

    /* machine, processor, memory */
    bool none;  /* -M none: no board at all */
    PcKind kind;
    bool hpet, acpi, graphics, i8042, usb;
    char *pflash[2]; /* -machine pflash0=, pflash1=: nodes; or NULL */
    OnOffAuto vmport, smm;
    AccelKind accel;
    AccelOptions accel_options;
    KvmHost kvm;   /* ACCEL_KVM: what the host's can */
    char *cpu; /* model and features as typed, or NULL */
    uint64_t ram_size; /* bytes, a multiple of 4096 */
    uint64_t max_ram_below_4g; /* 0: the board's */
    char *memory_backend; /* -machine memory-backend=, or NULL */
    char *mem_path;       /* -mem-path, or NULL */
    bool mem_prealloc;
    struct NumaConfig *numa; /* NULL: no -numa */
    unsigned cpus, maxcpus, sockets, dies, cores, threads; /* maxcpus = product of the rest */

    /* boot */
    char *kernel, *initrd, *append; /* or NULL */
    char *bios;      /* path of the image, found over the search path; NULL with -M none */
    StrList rom_dirs; /* -L */
    FirmwareConfig firmware;

    /* time */
    RtcBase rtc_base;
    int64_t rtc_start; /* RTC_DATE: seconds since 1970-01-01 UTC */
    bool rtc_vm;       /* clock=vm: the RTC follows CLK_VIRTUAL, else the host's clock */
    bool rtc_rt;       /* clock=rt: or CLK_REAL */
    bool rtc_slew;     /* driftfix=slew */
    IcountOptions icount;

    /* lines; filled by config_open() */
    struct Chardev *serial[SERIAL_MAX]; /* NULL: the port is there only if serial_port[] is set */
    bool serial_port[SERIAL_MAX];       /* COM1.. exists */
    struct Chardev *parallel[PARALLEL_MAX];
    bool parallel_port[PARALLEL_MAX];   /* LPT1.. exists */
    bool parallel_given;
    struct Chardev *monitors[MONITOR_MAX];
    MonitorKind monitor_kind[MONITOR_MAX];
    unsigned monitor_count;

    /* devices */
    struct OptList **devices; /* -device, in order; "driver" is a known class */
    size_t device_count;
    struct OptList **blockdevs; /* -blockdev, in order */
    size_t blockdev_count;
    struct Drive *drives; /* machine/drives.h */
    size_t drive_count;
    bool nodefaults;
    struct NicSpec *nics; /* machine/network.h; filled by network_open() */
    size_t nic_count;
    VgaChoice vga;

    /* running */
    bool snapshot; /* of all drives */
    Actions actions; /* machine/action.h */
    bool stopped, nographic, daemonize;
    enum { SANDBOX_AUTO, SANDBOX_ON, SANDBOX_OFF } sandbox; /* -sandbox; auto: on where the kernel can */
    char *gdb;     /* where the gdb stub listens, as a legacy chardev string; NULL: none */
    char *name;    /* of the guest, or NULL */
    char *process; /* -name process=, or NULL */
    uint8_t uuid[16];
    bool have_uuid;
    char *pidfile;
    char *incoming; /* file:PATH of a saved state, or NULL */

    /* display */
    StrList vnc;          /* arguments of -vnc; none and !no_display: a default one */
    bool no_display;      /* -display none, -nographic */
    SdlOptions sdl;
    const struct Keymap *keymap; /* -k */

    /* kept between config_parse() and config_open() */
    StrList chardev_args, serial_args, parallel_args, monitor_args;
    StrList numa_args;
    StrList net_args;  /* machine/network.c: a kind and an argument */
    StrList mon_args;  /* -qmp and -mon: a MonitorKind as a digit, then '=' and an id, or ':' and a -qmp's argument */
} MachineConfig;

/* config_new - the defaults. config_free - NULL is fine; the character devices stay. */
MachineConfig *config_new(void);
void config_free(MachineConfig *cfg);

/* config_parse - take the command line. *done: something was listed (help, version) and the
 * program should end with success. */
bool config_parse(MachineConfig *cfg, int argc, char **argv, bool *done, struct Error **errp);

/* config_open - make the character devices and give them to ports and monitors. Loop thread. */
bool config_open(MachineConfig *cfg, struct Error **errp);

/* config_version - the lines of --version. config_usage - of --help. */
void config_version(const MachineConfig *cfg, FILE *out);
void config_usage(const MachineConfig *cfg, FILE *out);

/* rom_find - the path of a firmware or ROM file: @name itself when it is a file, else in the -L
 * folders and those of the distribution's packages. NULL when there is none; freed by the caller. */
char *rom_find(const MachineConfig *cfg, const char *name);
/* rom_dirs_print - the folders that are searched, for -L help. */
void rom_dirs_print(const MachineConfig *cfg, FILE *out);

/* str_list_add - append a copy. */
void str_list_add(StrList *l, const char *s);
void str_list_free(StrList *l);

#endif
