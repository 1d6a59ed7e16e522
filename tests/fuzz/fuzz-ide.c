/*
 * Fuzz IDE: disks and a CD-ROM drive behind a PIIX3. The input is a program of port accesses,
 * whole commands and packets, bytes of guest memory where PRD tables lie, clock steps, the user's
 * hand on the tray, and saved states (also damaged ones).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "block/block.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/board.h"
#include "hw/ide/ide.h"
#include "hw/ide/piix3-ide.h"
#include "hw/pci/pci.h"
#include "machine/board.h"
#include "tests/fuzz/input.h"

#define RAM (1u << 20)
#define BM 0xc000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Board board;
static IoRegion low;
static Device *ide;
static BlockBackend *disc;
static char disc_path[32];

/* The program's end belongs to machine/main.c, which is not here. */
void machine_exit(int code)
{
}

static void must(bool ok, Error *err)
{
    if (!ok) {
        error_report(err);
        exit(1);
    }
}

static BlockBackend *make_drive(const char *name, size_t size, bool read_only, char path[32])
{
    int fd = memfd_create(name, 0);
    Error *err = NULL;
    BlockBackend *b;

    snprintf(path, 32, "/proc/self/fd/%d", fd);
    must(fd >= 0 && ftruncate(fd, (off_t)size) == 0, NULL);
    b = blk_new(&(BlockParams){ .name = name, .file = path, .format = "raw",
                                .read_only = read_only }, &err);
    must(b != NULL, err);
    return b;
}

static void plug(const char *driver, const char *drive, const char *bus, const char *unit)
{
    Device *dev = device_new(device_class_find(driver), NULL);
    Error *err = NULL;

    dev->board = &board;
    must(device_set(dev, "drive", drive, &err) && device_set(dev, "bus", bus, &err) &&
         device_set(dev, "unit", unit, &err) && device_realize(dev, &err), err);
}

static void *find_drive(const char *id, Error **errp)
{
    return blk_find(id);
}

static void build(void)
{
    Error *err = NULL;
    char path[32];

    clock_manual();
    machine_lock();
    block_setup(&machine_lock_guard, true);
    device_set_drive_resolver(find_drive);
    must(ram_create(RAM, &err), err);
    ram_region_init(&low, "low", 0, RAM);
    must(mem_map(&low, 0, 0, false, &err), err);
    make_drive("a", 1 << 20, false, path);
    make_drive("b", 300 * 512, false, path);
    disc = make_drive("cd", 700 * 2048, true, disc_path);
    board.pci = pci_bus_new(NULL, NULL);
    ide = device_new(&piix3_ide_class, NULL);
    piix3_ide_connect(ide, board.pci, (IrqLine){ 0 }, (IrqLine){ 0 });
    must(device_realize(ide, &err), err);
    plug("ide-hd", "a", "ide.0", "0");
    plug("ide-hd", "b", "ide.0", "1");
    plug("ide-cd", "cd", "ide.1", "0");
}

/* ---- the program ---- */

static void access_port(Input *in)
{
    static const uint16_t bases[] = { 0x1f0, 0x170, 0x3f6, 0x376, BM, BM + 8 };
    unsigned op = (unsigned)take(in, 1);
    uint16_t port = (uint16_t)(bases[op % 6] + (op % 6 == 2 || op % 6 == 3 ? 0 : op >> 5));
    unsigned size = 1u << take(in, 1) % 3;

    if (op & 8) {
        port_read(port, size);
    } else {
        port_write(port, (uint32_t)take(in, size), size);
    }
}

/* A command with its registers, and a bus master that is started beside it. */
static void whole_command(Input *in)
{
    uint16_t base = take(in, 1) & 1 ? 0x170 : 0x1f0;
    uint64_t regs = take(in, 8);

    port_write(base + 6, (uint8_t)(regs >> 40), 1);
    for (unsigned n = 0; n < 5; n++) {
        port_write((uint16_t)(base + 1 + n), (uint8_t)(regs >> 8 * n), 1);
    }
    port_write(base + 7, (uint8_t)(regs >> 48), 1);
    if (regs >> 56 & 1) {
        uint16_t bm = base == 0x170 ? BM + 8 : BM;

        port_write(bm, 0, 1);
        port_write(bm + 4, (uint32_t)(regs >> 57) << 3, 4);
        port_write(bm, regs >> 63 ? 9 : 1, 1);
    }
}

static void whole_packet(Input *in)
{
    uint8_t how = (uint8_t)take(in, 1);

    port_write(0x176, 0xa0, 1);
    port_write(0x171, how & 1, 1);
    port_write(0x174, how & 2 ? 0 : 0xfe, 1);
    port_write(0x175, how & 4 ? 0x08 : 0xff, 1);
    port_write(0x177, 0xa0, 1);
    for (unsigned n = 0; n < 3; n++) {
        port_write(0x170, (uint32_t)take(in, 4), 4);
    }
}

static void data_port(Input *in)
{
    unsigned op = (unsigned)take(in, 1);
    uint16_t base = op & 1 ? 0x170 : 0x1f0;

    for (unsigned n = 0; n < (op >> 2) * 8; n++) {
        if (op & 2) {
            port_write(base, n, 4);
        } else {
            port_read(base, 4);
        }
    }
}

static void user_hand(Input *in)
{
    unsigned op = (unsigned)take(in, 1);

    if (op & 1) {
        blk_eject(disc, op & 2, NULL);
    } else {
        blk_change(disc, disc_path, "raw", true, op & 2, NULL);
    }
}

static void state(Input *in)
{
    StateBuf b = { 0 };
    unsigned at = (unsigned)take(in, 3), n = (unsigned)take(in, 1);

    block_drain();
    devices_save(&b);
    if (n != 0 && b.len > 0) {
        b.data[at % b.len] ^= (uint8_t)n;
    }
    b.pos = 0;
    if (!devices_load(&b, NULL)) {
        devices_reset();
        piix3_ide_firmware(ide);
    }
    state_buf_free(&b);
}

static void step(Input *in)
{
    switch (take(in, 1) % 12) {
    case 0 ... 2:
        access_port(in);
        break;
    case 3 ... 4:
        whole_command(in);
        break;
    case 5 ... 6:
        whole_packet(in);
        break;
    case 7:
        data_port(in);
        break;
    case 8: { /* guest memory: a PRD, or half of one */
        uint64_t at = take(in, 2), v = take(in, 8);

        dma_write(at & 0x3ff, &v, 8);
        break;
    }
    case 9:
        clock_step((int64_t)(take(in, 3) & 0xfffff));
        break;
    case 10:
        user_hand(in);
        break;
    default:
        state(in);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };

    if (ide == NULL) {
        build();
    }
    block_drain();
    blk_change(disc, disc_path, "raw", true, true, NULL);
    devices_reset();
    piix3_ide_firmware(ide);
    memset(ram_host(), 0, 4096);
    for (unsigned n = 0; in.left > 0 && n < 1024; n++) {
        step(&in);
    }
    return 0;
}
