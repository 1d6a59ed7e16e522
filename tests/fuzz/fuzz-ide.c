/*
 * Fuzz IDE: disks and a CD-ROM drive behind a PIIX3. The input is a program of port accesses,
 * whole commands and packets, bytes of guest memory where PRD tables lie, clock steps, the user's
 * hand on the tray, and saved states (also damaged ones).
 */
#include "hw/ide/ide.h"
#include "hw/ide/piix3-ide.h"
#include "hw/pci/pci.h"
#include "tests/fuzz/machine.h"

#define RAM (1u << 20)
#define BM 0xc000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Board board;
static Device *ide;
static BlockBackend *disc;
static char disc_path[32];

static void build(void)
{
    Error *err = NULL;

    fuzz_base(RAM);
    make_drive("a", 1 << 20);
    make_drive("b", 300 * 512);
    disc = make_drive_as((BlockParams){ .name = "cd", .read_only = true }, 700 * 2048, disc_path);
    board.pci = pci_bus_new(NULL, NULL);
    ide = device_new(&piix3_ide_class, NULL);
    piix3_ide_connect(ide, board.pci, (IrqLine){ 0 }, (IrqLine){ 0 });
    must(device_realize(ide, &err), err);
    plug_props(&board, "ide-hd", "drive=a,bus=ide.0,unit=0");
    plug_props(&board, "ide-hd", "drive=b,bus=ide.0,unit=1");
    plug_props(&board, "ide-cd", "drive=cd,bus=ide.1,unit=0");
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
        if (!save_and_load(in)) {
            piix3_ide_firmware(ide);
        }
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
