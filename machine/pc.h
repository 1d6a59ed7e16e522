/*
 * The boards "pc", "q35" and "isapc": a chipset, or none, and the ISA chips of every PC.
 */
#ifndef MACHINE_PC_H
#define MACHINE_PC_H

#include <stdbool.h>
#include <stdint.h>

struct BlockBackend;
struct Board;
struct Chardev;
struct CpuState;
struct Error;

#define PC_SERIAL_MAX 4
#define PC_PARALLEL_MAX 3
#define PC_FLASH_MAX (8u << 20) /* of both */
#define PC_RAM_BELOW_4G 0xe0000000u

typedef enum PcKind {
    PC_I440FX, /* "pc" */
    PC_Q35,
    PC_ISA,    /* "isapc": no chipset, and with it no PCI, I/O APIC, ACPI, HPET, one processor */
} PcKind;

typedef struct PcConfig {
    uint64_t ram_size;         /* bytes, a multiple of 4096, at least 1 MiB */
    uint64_t max_ram_below_4g; /* 0: PC_RAM_BELOW_4G */
    const struct NumaConfig *numa; /* NULL: of one piece; borrowed for good */
    unsigned cpus;
    struct CpuState **cpu;     /* made by the caller, index and apic_id set */
    /* NULL for none; borrowed until pc_complete(). With a kernel, bios is used only where the
     * kernel is so old that it needs one. */
    const char *kernel, *initrd, *append, *bios;
    const char *flash[2]; /* drives or nodes: the flash that ends at 4 GiB, the one below it; NULL for none */
    PcKind kind;
    bool hpet, acpi;  /* false on PC_ISA */
    bool graphics;    /* the user may look at a screen (fw_cfg tells firmware when not) */
    bool kernel_bios; /* kernels start through the BIOS, which sets the screen up */
    const struct FirmwareConfig *firmware; /* NULL: nothing asked for; borrowed for good */
    unsigned sockets, cores, threads;      /* 0: one package a processor */
    const struct CpuModel *model;          /* for SMBIOS; may be NULL */
    bool no_i8042;
    bool vmport;      /* VMware's port, and its mouse where there is an 8042 */
    const uint8_t *uuid;       /* 16 bytes for fw_cfg, or NULL */
    const char *rtc_base;      /* utc (or NULL), localtime, a date, or @ and seconds since 1970 */
    const char *rtc_clock;     /* host (or NULL), rt, vm */
    bool rtc_slew;             /* make up for lost periodic interrupts */
    struct BlockBackend *floppy[2]; /* drives A and B; NULL: not there */
    struct Chardev *serial[PC_SERIAL_MAX]; /* COM1..COM4 */
    bool serial_port[PC_SERIAL_MAX];       /* the port exists also without a Chardev */
    struct Chardev *parallel[PC_PARALLEL_MAX]; /* LPT1..LPT3 */
    bool parallel_port[PC_PARALLEL_MAX];
} PcConfig;

/* pc_build - make guest RAM (unless there is some already) and the board's devices. Undoes nothing on failure:
 * the process ends then. Machine lock held; once a process. */
bool pc_build(const PcConfig *cfg, struct Error **errp);
/* pc_complete - once all devices are plugged in: tables for firmware and guest, and the kernel. */
bool pc_complete(struct Error **errp);
/* pc_reset - devices, processors, firmware's or the loader's state. Machine lock held, processors
 * stopped. Also to be called once after pc_complete(). */
void pc_reset(void);
/* pc_free - take the board apart again (tests). */
void pc_free(void);

/* pc_writes_late - there is a device whose writes are done when the guest was told so: a flash. Its last ones need
 * block_drain(). */
bool pc_writes_late(void);

/* pc_board - for Device.board of what is plugged in later. */
struct Board *pc_board(void);
/* pc_hotplug - the device by which cards come and go (hw/acpi/pci-hotplug.h); NULL without ACPI. */
struct Device *pc_hotplug(void);
/* pc_loaded - once a saved state is there, guest memory included. Machine lock held. */
void pc_loaded(void);
/* pc_generation_id - 16 bytes of the vmgenid device; NULL when there is none. */
const uint8_t *pc_generation_id(void);
/* pc_numa - its nodes, or NULL; *cpus: how many processors it has. */
const struct NumaConfig *pc_numa(unsigned *cpus);
/* pc_power_button, pc_nmi - from the monitor or a signal. Machine lock held. */
void pc_power_button(void);
void pc_nmi(void);
/* pc_boot_set - what the firmware tries from the next reset on: letters checked by boot_order_check(). */
void pc_boot_set(const char *letters);

#endif
