/*
 * Fuzz SCSI: disks and a CD-ROM drive behind virtio-scsi and a driver that sets its rings up well. The input is a program
 * of commands, of task management, of buffers of odd sizes, of the user's hand on tray and size, clock steps, and saved
 * states (also damaged ones). What rings of every bad form do, fuzz-virtio tries.
 */
#include "tests/fuzz/machine.h"

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

#define RAM (1u << 20)
#define MODERN 0x80000000u

enum { RINGS = 0x10000, PAGE = 0x1000, AVAIL = 0x400, USED = 0x800, QUEUES = 3, SIZE = 32, REQUEST = 0x20000, DATA = 0x40000,
       DATA_LEN = 0x20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Board board;
static BlockBackend *disc, *disk;
static char disc_path[32];

static void build(void)
{
    fuzz_base(RAM);
    disk = make_drive_as((BlockParams){ .name = "a", .discard = true }, 1 << 20, NULL);
    make_drive_as((BlockParams){ .name = "b", .read_only = true }, 300 * 4096, NULL);
    disc = make_drive_as((BlockParams){ .name = "c", .read_only = true }, 700 * 2048, disc_path);
    board.pci = pci_bus_new(NULL, NULL);
    plug_props(&board, "virtio-scsi-pci", "");
    plug_props(&board, "scsi-hd", "drive=a,serial=abc,wwn=1234,dpofua=on");
    plug_props(&board, "scsi-hd", "drive=b,scsi-id=0,lun=2,logical_block_size=4096,physical_block_size=4096");
    plug_props(&board, "scsi-cd", "drive=c,scsi-id=1");
}

static void start(void)
{
    PciDevice *d = pci_bus_find(board.pci, PCI_DEVFN(1, 0));

    pci_config_write(d, PCI_BAR0 + 16, MODERN, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    memory_write(MODERN + 0x14, 0, 1);
    memory_write(MODERN + 0x14, 3, 1);
    memory_write(MODERN + 0x08, 0, 4);
    memory_write(MODERN + 0x0c, 6, 4);
    memory_write(MODERN + 0x08, 1, 4);
    memory_write(MODERN + 0x0c, 1, 4);
    memory_write(MODERN + 0x14, 11, 1);
    memset(ram_host() + RINGS, 0, QUEUES * PAGE);
    for (unsigned q = 0; q < QUEUES; q++) {
        uint32_t ring = RINGS + q * PAGE;

        memory_write(MODERN + 0x16, q, 2);
        memory_write(MODERN + 0x18, SIZE, 2);
        memory_write(MODERN + 0x20, ring, 4);
        memory_write(MODERN + 0x28, ring + AVAIL, 4);
        memory_write(MODERN + 0x30, ring + USED, 4);
        memory_write(MODERN + 0x1c, 1, 2);
    }
    memory_write(MODERN + 0x14, 15, 1);
}

static void desc(unsigned q, unsigned n, uint32_t addr, uint32_t len, bool write, bool more)
{
    uint8_t *d = ram_host() + RINGS + q * PAGE + 16 * n;

    st_le64(d, addr);
    st_le32(d + 8, len);
    st_le16(d + 12, (uint16_t)((write ? 2 : 0) | (more ? 1 : 0)));
    st_le16(d + 14, (uint16_t)(n + 1));
}

static void offer(unsigned q, unsigned head)
{
    uint8_t *a = ram_host() + RINGS + q * PAGE + AVAIL;
    uint16_t idx = ld_le16(a + 2);

    st_le16(a + 4 + 2 * (idx % SIZE), (uint16_t)head);
    st_le16(a + 2, (uint16_t)(idx + 1));
    memory_write(MODERN + 0x3000 + 4 * q, 0, 2);
}

static void put_lun(uint8_t *p, unsigned how)
{
    static const uint8_t luns[][4] = { { 1, 0, 0, 0 }, { 1, 0, 0x40, 2 }, { 1, 1, 0, 0 }, { 1, 0, 0, 7 }, { 1, 9, 0, 0 },
                                       { 0xc1, 1, 0, 0 } };

    memcpy(p, luns[how % ARRAY_SIZE(luns)], 4);
}

/* command - a CDB whose opcode is mostly one that there is, and whose numbers are mostly small. */
static void command(Input *in)
{
    static const uint8_t ops[] = { 0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1d, 0x1e, 0x25, 0x28, 0x2a, 0x2e, 0x2f,
                                   0x35, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x55, 0x5a, 0x88, 0x8a, 0x8e, 0x8f, 0x91, 0x93,
                                   0x9e, 0xa0, 0xa8, 0xaa, 0xad, 0xbd, 0xbe };
    unsigned how = (unsigned)take(in, 1), op = (unsigned)take(in, 1), n = (how >> 4) * 2 % SIZE;
    uint8_t *r = ram_host() + REQUEST + (n * 0x400);
    uint32_t len = how & 8 ? (uint32_t)take(in, 3) : (uint32_t)take(in, 1) * 512;

    memset(r, 0, 64);
    put_lun(r, how % 8);
    r[8] = (uint8_t)n;
    r[19] = op < 200 ? ops[op % ARRAY_SIZE(ops)] : (uint8_t)take(in, 1);
    r[20] = (uint8_t)take(in, 1);
    for (unsigned b = 2; b < 16; b += 2) { /* a byte of each two */
        r[19 + b + 1] = (uint8_t)take(in, 1);
    }
    if (op & 1) {
        r[19 + take(in, 1) % 16] = (uint8_t)take(in, 1);
    }
    desc(2, n, REQUEST + n * 0x400, 51, false, true);
    if (take(in, 1) & 1) { /* data to the device */
        uint8_t *p = ram_host() + DATA;

        for (unsigned b = 0; b < 40 && in->left > 0; b++) {
            p[b] = (uint8_t)take(in, 1);
        }
        desc(2, n + 1, DATA, len, false, true);
        desc(2, n + 2, REQUEST + n * 0x400 + 0x100, 108, true, false);
    } else {
        desc(2, n + 1, REQUEST + n * 0x400 + 0x100, 108, true, true);
        desc(2, n + 2, DATA + DATA_LEN, len, true, false);
    }
    offer(2, n);
}

static void manage(Input *in)
{
    uint8_t *r = ram_host() + REQUEST + 0x800;
    unsigned how = (unsigned)take(in, 1);

    memset(r, 0, 24);
    r[0] = how & 0x40 ? 1 : 0;
    r[4] = (uint8_t)(how % 9);
    put_lun(r + 8, (unsigned)take(in, 1));
    r[16] = (uint8_t)(take(in, 1) % SIZE);
    desc(0, 0, REQUEST + 0x800, how & 0x80 ? 16 : 24, false, true);
    desc(0, 1, REQUEST + 0xc00, 5, true, false);
    offer(0, 0);
}

static void user_hand(Input *in)
{
    unsigned op = (unsigned)take(in, 1);

    switch (op % 4) {
    case 0:
        blk_eject(disc, op & 8, NULL);
        break;
    case 1:
        blk_change(disc, disc_path, "raw", true, op & 8, NULL);
        break;
    case 2:
        blk_resize(disk, (op >> 2) * 8192 + 512, NULL);
        break;
    default:
        desc(1, 0, REQUEST + 0x8000, 16, true, false);
        offer(1, 0);
    }
}

static void step(Input *in)
{
    switch (take(in, 1) % 12) {
    case 0 ... 6:
        command(in);
        break;
    case 7:
        manage(in);
        break;
    case 8:
        user_hand(in);
        break;
    case 9: /* the sizes that the driver may choose */
        memory_write(MODERN + 0x2000 + 20 + (take(in, 1) & 7), take(in, 1), 1);
        break;
    case 10:
        clock_step((int64_t)(take(in, 3) & 0xfffff));
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
    blk_resize(disk, 1 << 20, NULL);
    devices_reset();
    start();
    for (unsigned n = 0; in.left > 0 && n < 512; n++) {
        step(&in);
    }
    return 0;
}
