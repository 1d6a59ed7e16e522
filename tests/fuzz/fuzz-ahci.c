/*
 * Fuzz AHCI: a disk and a CD-ROM drive behind a controller. The input is a program of register writes, of commands whose
 * headers, FISes and tables are mostly right, of bytes of those structures, of the user's hand on the tray, clock steps,
 * and saved states (also damaged ones).
 */
#include "tests/fuzz/machine.h"

#include "hw/pci/pci.h"

#define RAM (1u << 20)
#define ABAR 0xe0000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIST = 0x10000, FIS = 0x12000, TABLES = 0x20000, TABLE_SIZE = 0x800, DATA = 0x40000 };
enum { IS = 0x10, IE = 0x14, CMD = 0x18, SCTL = 0x2c, SERR = 0x30, SACT = 0x34, CI = 0x38 };

static Board board;
static BlockBackend *disc;
static char disc_path[32];

static void build(void)
{
    fuzz_base(RAM);
    make_drive_as((BlockParams){ .name = "a", .discard = true }, 1 << 20, NULL);
    disc = make_drive_as((BlockParams){ .name = "c", .read_only = true }, 700 * 2048, disc_path);
    board.pci = pci_bus_new(NULL, NULL);
    plug_props(&board, "ich9-ahci", "");
    plug_props(&board, "ide-hd", "drive=a,bus=ide.0");
    plug_props(&board, "ide-cd", "drive=c,bus=ide.1");
}

static void set(unsigned port, unsigned at, uint32_t val)
{
    memory_write(ABAR + 0x100 + 0x80 * port + at, val, 4);
}

static void start(void)
{
    PciDevice *d = pci_bus_find(board.pci, PCI_DEVFN(1, 0));

    pci_config_write(d, PCI_BAR0 + 20, ABAR, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    memory_write(ABAR + 4, 0x80000002, 4);
    for (unsigned p = 0; p < 2; p++) {
        set(p, 0, LIST + p * 0x1000);
        set(p, 8, FIS + p * 0x1000);
        set(p, CMD, 0x10);
        set(p, IE, 0xffffffff);
        set(p, CMD, 0x11);
    }
}

static void access_register(Input *in)
{
    unsigned how = (unsigned)take(in, 1), at = (unsigned)take(in, 1) & ~3u;
    uint32_t base = how & 0x10 ? ABAR : ABAR + 0x100 + 0x80 * (how % 3);

    if (how & 0x80) {
        memory_read(base + at % 0x80, 1u << how / 32 % 3);
    } else {
        memory_write(base + at % 0x80, take(in, 4), 4);
    }
}

/* restart - what drivers do after an error. */
static void restart(Input *in)
{
    unsigned how = (unsigned)take(in, 1), p = how & 1;

    set(p, CMD, 0x10);
    set(p, SERR, 0xffffffff);
    set(p, IS, 0xffffffff);
    if (how & 2) {
        set(p, SCTL, 0x301);
        set(p, SCTL, 0x300);
    }
    set(p, CMD, how & 4 ? 0x18 : 0x10);
    set(p, CMD, 0x11);
}

static void command(Input *in)
{
    static const uint8_t commands[] = { 0x60, 0x61, 0x60, 0x61, 0x25, 0x35, 0x24, 0x34, 0x2f, 0xec, 0xa0, 0xa0, 0xa0, 0xa0, 0xa1,
                                        0xea, 0x06, 0x3d, 0xef, 0x90, 0x08, 0xc8, 0xca, 0x29, 0x39, 0xc6, 0xb0, 0x27, 0x42 };
    unsigned how = (unsigned)take(in, 1), p = how & 1, slot = (unsigned)take(in, 1) % 32, op = (unsigned)take(in, 1);
    uint8_t *h = ram_host() + LIST + p * 0x1000 + 32 * slot, *t = ram_host() + TABLES + slot % 8 * TABLE_SIZE;
    unsigned regions = (unsigned)take(in, 1) % 9;
    uint32_t count = (uint32_t)take(in, 1);

    memset(h, 0, 32);
    st_le32(h, 5 | regions << 16 | (how & 0x20 ? 0x20 : 0));
    st_le32(h + 8, TABLES + slot % 8 * TABLE_SIZE);
    memset(t, 0, 0x80);
    t[0] = 0x27;
    t[1] = how & 2 ? (uint8_t)take(in, 1) : 0x80;
    t[2] = op < 200 ? commands[op % ARRAY_SIZE(commands)] : (uint8_t)take(in, 1);
    t[4] = (uint8_t)take(in, 1);
    t[5] = (uint8_t)take(in, 1);
    t[7] = (uint8_t)(0x40 | (take(in, 1) & 0x8f));
    t[15] = t[1] & 0x80 ? 0 : (uint8_t)take(in, 1);
    if (t[2] == 0x60 || t[2] == 0x61) {
        t[3] = (uint8_t)count;
        t[12] = (uint8_t)((how & 4 ? take(in, 1) : slot) << 3);
    } else {
        t[3] = (uint8_t)take(in, 1);
        t[12] = (uint8_t)count;
        t[13] = how & 8 ? (uint8_t)take(in, 1) : 0;
    }
    if (t[2] == 0xa0) {
        for (unsigned n = 0; n < 12; n++) {
            t[0x40 + n] = (uint8_t)take(in, 1);
        }
        t[5] = (uint8_t)take(in, 1);
    }
    for (unsigned n = 0; n < regions; n++) {
        st_le64(t + 0x80 + 16 * n, DATA + n * 0x4000);
        st_le32(t + 0x80 + 16 * n + 12, how & 0x10 ? (uint32_t)take(in, 4) : (uint32_t)take(in, 2) * 16 - 1);
    }
    set(p, SACT, t[2] == 0x60 || t[2] == 0x61 ? 1u << slot : 0);
    if (!(how & 0x40)) {
        set(p, CI, 1u << slot);
    }
}

static void step(Input *in)
{
    switch (take(in, 1) % 12) {
    case 0:
        access_register(in);
        break;
    case 1:
        restart(in);
        break;
    case 2 ... 7:
        command(in);
        break;
    case 8: { /* bytes of the structures */
        uint64_t at = take(in, 2), v = take(in, 8);

        dma_write(at & 1 ? LIST + at % 0x2000 : TABLES + at % (8 * TABLE_SIZE), &v, 8);
        break;
    }
    case 9:
        clock_step((int64_t)(take(in, 3) & 0xfffff));
        break;
    case 10:
        if (take(in, 1) & 1) {
            blk_eject(disc, true, NULL);
        } else {
            blk_change(disc, disc_path, "raw", true, true, NULL);
        }
        break;
    default:
        if (!save_and_load(in)) {
            start();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };

    if (board.pci == NULL) {
        build();
    }
    block_drain();
    blk_change(disc, disc_path, "raw", true, true, NULL);
    devices_reset();
    memset(ram_host() + LIST, 0, DATA - LIST);
    start();
    for (unsigned n = 0; in.left > 0 && n < 512; n++) {
        step(&in);
    }
    return 0;
}
