/*
 * Starting a kernel, with and without firmware: -kernel, -initrd, -append.
 *
 * A loader turns files into pieces of guest memory and the state in which the boot processor
 * enters. Both are put in place by every reset of the board (boot_reset()).
 */
#ifndef MACHINE_BOOT_H
#define MACHINE_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct CpuState;
struct Error;

/* Low memory, as the loaders share it out. */
#define BOOT_PAGES 0x80000u  /* page tables of the 64-bit entry */
#define BOOT_PARAMS 0x90000u /* zero page, multiboot or PVH information */
#define BOOT_GDT 0x91000u
/* Selectors of the flat segments: Linux' __BOOT_CS and __BOOT_DS; others may use them too. */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_CMDLINE 0x92000u
#define BOOT_CMDLINE_MAX 0x8000u /* with the terminating 0 */
#define BOOT_LOW_END 0x9fc00u    /* where the EBDA would begin */
#define BOOT_HIGH 0x100000u

enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

typedef struct E820Entry {
    uint64_t addr, len;
    uint32_t type;
} E820Entry;

#define E820_MAX 16

/* What the board tells a loader. */
typedef struct BootInput {
    const char *kernel, *initrd, *append; /* initrd, append: NULL for none */
    uint64_t high_end; /* end of usable RAM below 4 GiB (ACPI tables lie behind) */
    const E820Entry *e820;
    unsigned e820_count;
    uint64_t rsdp; /* guest-physical address, 0 without ACPI */
    bool long_mode; /* the processor has it */
    bool firmware;  /* the BIOS runs first: Linux starts by its real-mode setup code */
} BootInput;

/* One piece of guest memory: @len bytes of @data, then @zeros zero bytes. */
typedef struct BootPiece {
    uint64_t addr, len, zeros;
    uint8_t *data; /* owned */
} BootPiece;

typedef struct Boot {
    BootPiece *pieces;
    unsigned count;
    uint32_t entry; /* flat 32-bit protected mode, paging off; with cr3 64-bit mode */
    uint32_t cr3;   /* page tables (4 levels) for an entry in 64-bit mode, else 0 */
    uint32_t eax, ebx, esi;
    /* A real-mode kernel: the segment it lies at, its stack pointer; 0 for any other. It is entered
     * 20h paragraphs higher. Only through firmware. */
    uint16_t real, real_sp;
} Boot;

/* The option ROM through which firmware starts a kernel: it hooks INT 19h, where it writes BOOT_ROM_PORT, upon
 * which the board calls boot_place() and boot_place_start(), and jumps to BOOT_START in real mode. */
#define BOOT_ROM_SIZE 512
#define BOOT_ROM_PORT 0x5f0u
#define BOOT_START 0x8f000u
void boot_rom(uint8_t rom[BOOT_ROM_SIZE]);
/* boot_place_start - write the real-mode code that enters the kernel in the state which it expects.
 * Machine lock held. */
void boot_place_start(const Boot *b);

/* boot_needs_bios - a Linux kernel that can only be started by its real-mode setup code. */
bool boot_needs_bios(const char *path);

/* boot_load - look at the kernel file and load it as what it is: bzImage, multiboot, PVH ELF, or
 * (anything else) a flat image at 1 MiB. @b is empty before; boot_free() after a failure too. */
bool boot_load(Boot *b, const BootInput *in, struct Error **errp);
void boot_free(Boot *b);
/* boot_place - write the pieces to guest memory. Machine lock held. */
void boot_place(const Boot *b);
/* boot_reset - write the pieces and set @c, which has just been reset. Machine lock held, @c
 * stopped. */
void boot_reset(const Boot *b, struct CpuState *c);

/* ---- for the loaders ---- */

/* boot_add - a piece of memory at @addr; takes ownership of @data (malloc; may be NULL with len 0).
 * False when it does not lie in RAM: below BOOT_LOW_END or between 1 MiB and in->high_end. */
bool boot_add(Boot *b, const BootInput *in, uint64_t addr, uint8_t *data, uint64_t len,
              uint64_t zeros, const char *what, struct Error **errp);
/* boot_read_file - whole file, at most 4 GiB. @what is "kernel", "initrd", ... in the message. */
uint8_t *boot_read_file(const char *path, const char *what, size_t *len, struct Error **errp);
/* boot_place_gdt - four descriptors at BOOT_GDT, the code's for long or for protected mode. */
void boot_place_gdt(bool long_mode);
/* boot_highest - end of the highest piece above 1 MiB, at least 1 MiB. */
uint64_t boot_highest(const Boot *b);

typedef enum BootMatch {
    BOOT_NO,    /* not that format: *errp is untouched */
    BOOT_YES,
    BOOT_FAILED, /* that format, and wrong: *errp is set */
} BootMatch;
/* Each gets the kernel's bytes; @file stays the caller's. */
BootMatch boot_linux(Boot *b, const BootInput *in, const uint8_t *file, size_t len,
                     struct Error **errp);
BootMatch boot_multiboot(Boot *b, const BootInput *in, const uint8_t *file, size_t len,
                         struct Error **errp);
BootMatch boot_pvh(Boot *b, const BootInput *in, const uint8_t *file, size_t len,
                   struct Error **errp);

#endif
