/*
 * Starting a kernel through the BIOS: an option ROM that takes over INT 19h, and the code by which
 * it is left for the kernel.
 *
 * Sources: BIOS Boot Specification 1.01, "INT 19h"; PCI Firmware Specification 3.0, "PC-compatible
 * Expansion ROM"; Intel SDM vol. 3, "Switching to Protected Mode".
 */
#include "machine/boot.h"

#include <string.h>
#include "base/mem.h"
#include "bus/memory.h"

#define LO(x) ((x) & 0xff), ((x) >> 8 & 0xff)
#define LONG(x) LO(x), LO((x) >> 16)

void boot_rom(uint8_t rom[BOOT_ROM_SIZE])
{
    static const uint8_t code[] = {
        0x55, 0xaa, BOOT_ROM_SIZE / 512,     /* signature, length */
        0x1e,                                /* push ds */
        0x50,                                /* push ax */
        0x31, 0xc0,                          /* xor ax, ax */
        0x8e, 0xd8,                          /* mov ds, ax */
        0xc7, 0x06, LO(0x19 * 4), LO(0x16),  /* mov word [19h * 4], 16h */
        0x8c, 0x0e, LO(0x19 * 4 + 2),        /* mov [19h * 4 + 2], cs */
        0x58,                                /* pop ax */
        0x1f,                                /* pop ds */
        0xcb,                                /* retf */
        0xfa,                                /* 16h: cli */
        0xfc,                                /* cld */
        0xba, LO(BOOT_ROM_PORT),             /* mov dx, BOOT_ROM_PORT */
        0xee,                                /* out dx, al */
        0xea, LO(0), LO(BOOT_START >> 4),    /* jmp BOOT_START */
    };
    uint8_t sum = 0;

    memset(rom, 0, BOOT_ROM_SIZE);
    memcpy(rom, code, sizeof(code));
    for (unsigned n = 0; n < BOOT_ROM_SIZE; n++) {
        sum = (uint8_t)(sum + rom[n]);
    }
    rom[BOOT_ROM_SIZE - 1] = (uint8_t)-sum;
}

/* start_real - Linux, Documentation/arch/x86/boot.rst, "RUNNING THE KERNEL" */
static void start_real(const Boot *b)
{
    const uint8_t code[] = {
        0xb8, LO(b->real),               /* mov ax, real */
        0x8e, 0xd8,                      /* mov ds, ax */
        0x8e, 0xc0,                      /* mov es, ax */
        0x8e, 0xe0,                      /* mov fs, ax */
        0x8e, 0xe8,                      /* mov gs, ax */
        0x8e, 0xd0,                      /* mov ss, ax */
        0xbc, LO(b->real_sp),            /* mov sp, real_sp */
        0xea, LO(0), LO(b->real + 0x20), /* jmp real + 20h : 0 */
    };

    dma_write(BOOT_START, code, sizeof(code));
}

/* start_flat - flat 32-bit protected mode, paging and interrupts off */
static void start_flat(const Boot *b)
{
    enum { FLAT = 0x20, JUMP_END = FLAT + 34, GDTR = 0x60 };
    const uint32_t rel = b->entry - (BOOT_START + JUMP_END);
    const uint8_t real[] = {
        0x66, 0x2e, 0x0f, 0x01, 0x16, LO(GDTR), /* lgdt [cs:GDTR], 32-bit base */
        0x0f, 0x20, 0xc0,                       /* mov eax, cr0 */
        0x0c, 0x01,                             /* or al, 1: PE */
        0x0f, 0x22, 0xc0,                       /* mov cr0, eax */
        0x66, 0xea, LONG(BOOT_START + FLAT), LO(BOOT_CS), /* jmp BOOT_CS:FLAT */
    };
    const uint8_t flat[] = {
        0x66, 0xb8, LO(BOOT_DS), /* mov ax, BOOT_DS */
        0x8e, 0xd8,              /* mov ds, ax */
        0x8e, 0xc0,              /* mov es, ax */
        0x8e, 0xe0,              /* mov fs, ax */
        0x8e, 0xe8,              /* mov gs, ax */
        0x8e, 0xd0,              /* mov ss, ax */
        0xb8, LONG(b->eax),      /* mov eax, ... */
        0xbb, LONG(b->ebx),      /* mov ebx, ... */
        0xbe, LONG(b->esi),      /* mov esi, ... */
        0xe9, LONG(rel),         /* jmp entry; JUMP_END */
    };
    const uint8_t gdtr[] = { LO(4 * 8 - 1), LONG(BOOT_GDT) };

    _Static_assert(sizeof(real) <= FLAT && FLAT + sizeof(flat) == JUMP_END && JUMP_END <= GDTR,
                   "the pieces follow each other");
    boot_place_gdt(false);
    dma_write(BOOT_START, real, sizeof(real));
    dma_write(BOOT_START + FLAT, flat, sizeof(flat));
    dma_write(BOOT_START + GDTR, gdtr, sizeof(gdtr));
}

void boot_place_start(const Boot *b)
{
    if (b->real != 0) {
        start_real(b);
    } else {
        start_flat(b);
    }
}
