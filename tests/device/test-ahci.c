/*
 * The AHCI controller with a disk and a CD-ROM drive, by its registers and command lists, against AHCI 1.3.1 and Serial
 * ATA 3.1. Images are temporary files; requests take fixed virtual time.
 */
#include "tests/device/fake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/mem.h"
#include "block/block.h"
#include "block/host-file.h"
#include "bus/state.h"
#include "hw/ide/ide.h"
#include "hw/pci/pci.h"

enum { SECTORS = 8192, RAM = 8 << 20, LIST = 0x10000, FIS = 0x11000, TABLES = 0x20000, TABLE_SIZE = 0x1000, DATA = 0x100000,
       DATA_STEP = 0x20000 };
#define ABAR 0xe0000000u
enum { IS = 0x10, IE = 0x14, CMD = 0x18, TFD = 0x20, SIG = 0x24, SSTS = 0x28, SCTL = 0x2c, SERR = 0x30, SACT = 0x34, CI = 0x38 };

static PciBus *bus;
static IoRegion low;
static char disk_path[64], disc_path[64];
static BlockBackend *disk;
static int irq;
static PciDevice *card;

static void set_pirq(void *opaque, unsigned pirq, int level)
{
    irq = level;
}

static uint8_t *ram(uint32_t at)
{
    return ram_host() + at;
}

static uint32_t hba(uint32_t at)
{
    return (uint32_t)mem_in(ABAR + at, 4);
}

static void set_hba(uint32_t at, uint32_t val)
{
    mem_out(ABAR + at, val, 4);
}

static uint32_t get(unsigned port, uint32_t at)
{
    return hba(0x100 + 0x80 * port + at);
}

static void set(unsigned port, uint32_t at, uint32_t val)
{
    set_hba(0x100 + 0x80 * port + at, val);
}

/* ---- a medium with a place that cannot be read ---- */

static off_t bad = -1;

static ssize_t bad_pread(int fd, void *buf, size_t len, off_t at)
{
    if (bad >= at && bad < at + (off_t)len) {
        errno = EIO;
        return -1;
    }
    return pread(fd, buf, len, at);
}

static HostCalls calls;

static void make_image(char path[64], size_t size)
{
    uint8_t *data = xnewn(uint8_t, size);
    int fd;

    strcpy(path, "/tmp/doppel-ahci-XXXXXX");
    fd = mkstemp(path);
    for (size_t n = 0; n < size; n++) {
        data[n] = (uint8_t)(n / 512 * 7 + n % 512);
    }
    assert_int_equal(write(fd, data, size), size);
    close(fd);
    free(data);
}

static uint8_t disk_byte(unsigned sector, unsigned n)
{
    return (uint8_t)(sector * 7 + n);
}

static void *find_drive(const char *id, Error **errp)
{
    return blk_find(id);
}

static void plug(const char *driver, const char *drive, const char *where)
{
    Device *dev = fake_device(device_class_find(driver));

    assert_true(device_set(dev, "drive", drive, NULL));
    assert_true(device_set(dev, "bus", where, NULL));
    fake_realize(dev);
}

static void start(unsigned port)
{
    set(port, 0x00, LIST + port * 0x4000);
    set(port, 0x08, FIS + port * 0x4000);
    set(port, CMD, 0x10);
    set(port, SERR, 0xffffffff);
    set(port, IS, 0xffffffff);
    set(port, IE, 0x7dc000ff);
    set(port, CMD, 0x11);
    set_hba(0x08, 0xffffffff);
}

static int setup(void **state)
{
    fake_setup(state);
    block_setup(&machine_lock_guard, true);
    device_set_drive_resolver(find_drive);
    if (ram_host() == NULL) {
        assert_true(ram_create(RAM, NULL));
        ram_region_init(&low, "low", 0, RAM);
        assert_true(mem_map(&low, 0, 0, false, NULL));
    }
    memset(ram_host(), 0, RAM);
    make_image(disk_path, SECTORS * 512);
    make_image(disc_path, 300 * 2048);
    bad = -1;
    calls = host_system_calls;
    calls.pread = bad_pread;
    host_calls = &calls;
    disk = blk_new(&(BlockParams){ .name = "disk", .file = disk_path, .format = "raw", .discard = true }, NULL);
    blk_new(&(BlockParams){ .name = "disc", .file = disc_path, .format = "raw", .read_only = true }, NULL);
    bus = pci_bus_new(set_pirq, NULL);
    fake_board.pci = bus;
    fake_realize(fake_device(&ich9_ahci_class));
    plug("ide-hd", "disk", "ide.0");
    plug("ide-cd", "disc", "ide.1");
    card = pci_bus_find(bus, PCI_DEVFN(1, 0));
    pci_config_write(card, PCI_BAR0 + 20, ABAR, 4);
    pci_config_write(card, PCI_BAR0 + 16, 0xc000, 4);
    pci_config_write(card, PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    set_hba(0x04, 0x80000002);
    start(0);
    start(1);
    assert_int_equal(irq, 0);
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    machine_unlock();
    assert_true(block_close_all());
    machine_lock();
    host_calls = &host_system_calls;
    pci_bus_free(bus);
    unlink(disk_path);
    unlink(disc_path);
    return 0;
}

/* ---- commands ---- */

typedef struct Command {
    unsigned slot;
    uint8_t command;
    uint64_t lba;
    unsigned count; /* register; queued: the feature registers */
    unsigned feature;
    uint32_t size;  /* bytes of the table, in two regions where it is 1024 or more; 0: none */
    const uint8_t *packet;
} Command;

static uint32_t data_of(unsigned slot)
{
    return DATA + slot * DATA_STEP;
}

static bool queued(uint8_t command)
{
    return command == 0x60 || command == 0x61;
}

/* lay - header, FIS and table. */
static void lay(unsigned port, const Command *c)
{
    uint8_t *h = ram(LIST + port * 0x4000 + 32 * c->slot), *t = ram(TABLES + c->slot * TABLE_SIZE);
    unsigned regions = c->size == 0 ? 0 : c->size < 1024 ? 1 : 2;

    memset(h, 0, 32);
    memset(t, 0, 0x100);
    st_le32(h, 5 | (c->packet != NULL ? 0x20 : 0) | regions << 16);
    st_le32(h + 8, TABLES + c->slot * TABLE_SIZE);
    t[0] = 0x27;
    t[1] = 0x80;
    t[2] = c->command;
    for (unsigned n = 0; n < 3; n++) {
        t[4 + n] = (uint8_t)(c->lba >> 8 * n);
        t[8 + n] = (uint8_t)(c->lba >> (24 + 8 * n));
    }
    t[7] = 0x40;
    if (queued(c->command)) {
        t[3] = (uint8_t)c->count;
        t[11] = (uint8_t)(c->count >> 8);
        t[12] = (uint8_t)(c->slot << 3);
    } else {
        t[3] = (uint8_t)c->feature;
        t[12] = (uint8_t)c->count;
        t[13] = (uint8_t)(c->count >> 8);
    }
    if (c->packet != NULL) {
        memcpy(t + 0x40, c->packet, 12);
        t[5] = 0xfe;
        t[6] = 0xff;
    }
    for (unsigned n = 0; n < regions; n++) { /* the first one is of 514 bytes, to be crooked */
        st_le64(t + 0x80 + 16 * n, data_of(c->slot) + 514 * n);
        st_le32(t + 0x80 + 16 * n + 12, (regions == 1 ? c->size : n == 0 ? 514 : c->size - 514) - 1);
    }
}

static void issue(unsigned port, const Command *c)
{
    lay(port, c);
    if (queued(c->command)) {
        set(port, SACT, 1u << c->slot);
    }
    set(port, CI, 1u << c->slot);
}

/* wait_is - until one of @bits comes; all are cleared. */
static uint32_t wait_is(unsigned port, uint32_t bits)
{
    uint32_t is;

    for (unsigned n = 0; n < 20000 && !(get(port, IS) & bits); n++) {
        clock_step(50000);
    }
    is = get(port, IS);
    assert_true(is & bits);
    assert_int_equal(irq, 1);
    set(port, IS, is);
    set_hba(0x08, 1u << port);
    assert_int_equal(irq, 0);
    return is;
}

#define RUN(port, bits, ...)                                                                       \
    do {                                                                                           \
        issue((port), &(Command){ __VA_ARGS__ });                                                  \
        wait_is((port), (bits));                                                                   \
        assert_int_equal(get((port), CI), 0);                                                      \
    } while (0)

/* ---- tests ---- */

static void test_registers(void **state)
{
    assert_int_equal(hba(0), 0xc1141f05);
    assert_int_equal(hba(0x0c), 0x3f);
    assert_int_equal(hba(0x10), 0x10301);
    assert_int_equal(get(0, SIG), 0x00000101);
    assert_int_equal(get(1, SIG), 0xeb140101);
    assert_int_equal(get(2, SIG), 0xffffffff);
    assert_int_equal(get(0, SSTS), 0x113);
    assert_int_equal(get(2, SSTS), 0);
    assert_int_equal(get(0, TFD) & 0xff, 0x50);
    assert_int_equal(get(2, TFD), 0x7f);
    assert_int_equal(get(0, CMD), 0xc017);
    set(0, CMD, 0);
    assert_int_equal(get(0, CMD), 6);
    set(0, CI, 1); /* not while it is stopped */
    assert_int_equal(get(0, CI), 0);
    set(0, 0x00, 0xffffffff);
    assert_int_equal(get(0, 0x00), 0xfffffc00);
    set(0, 0x08, 0xffffffff);
    assert_int_equal(get(0, 0x08), 0xffffff00);
    mem_out(ABAR + 0x104, 0xaa, 1); /* a byte is no write */
    assert_int_equal(get(0, 0x04), 0);
    port_write(0xc010, 0x124, 4);
    assert_int_equal(port_read(0xc014, 4), 0x00000101);
    set_hba(0x04, 0x80000003);
    assert_int_equal(hba(0x04), 0x80000000);
    assert_int_equal(get(0, IE), 0);
}

static void test_identify(void **state)
{
    const uint8_t *p = ram(data_of(3));

    RUN(0, 2, .slot = 3, .command = 0xec, .size = 512); /* by a PIO setup FIS */
    assert_int_equal(ld_le16(p + 150), 31);
    assert_int_equal(ld_le16(p + 152), 0x0106);
    assert_int_equal(ld_le16(p + 186), 0);
    assert_int_equal(ld_le32(ram(LIST + 32 * 3 + 4)), 512); /* PRDBC */
    assert_int_equal(ram(FIS + 0x20)[0], 0x5f);
    assert_int_equal(ram(FIS + 0x20)[15], 0x50);
    assert_int_equal(get(0, TFD) & 0xff, 0x50);
    RUN(1, 2, .slot = 0, .command = 0xa1, .size = 512);
    assert_int_equal(ld_le16(ram(data_of(0))), 0x8580);
}

static void test_reads(void **state)
{
    const uint8_t *p = ram(data_of(0));

    RUN(0, 1, .command = 0x25, .lba = 9, .count = 8, .size = 4096);
    assert_int_equal(p[0], disk_byte(9, 0));
    assert_int_equal(p[4095], disk_byte(16, 511));
    assert_int_equal(ram(FIS + 0x40)[0], 0x34);
    assert_int_equal(ld_le32(ram(LIST + 4)), 4096);
    memset(ram(data_of(0)), 0, 4096);
    RUN(0, 2, .command = 0x24, .lba = 9, .count = 3, .size = 1536); /* by PIO */
    assert_int_equal(p[1535], disk_byte(11, 511));
    RUN(0, 4 | 8, .command = 0x60, .slot = 0, .lba = 100, .count = 8, .size = 4096);
    assert_int_equal(get(0, SACT), 0);
    assert_int_equal(p[4095], disk_byte(107, 511));
    assert_int_equal(ram(FIS + 0x58)[0], 0xa1);
    assert_int_equal(ld_le32(ram(FIS + 0x58 + 4)), 1);
}

static void test_writes(void **state)
{
    uint8_t buf[4096];

    memset(ram(data_of(0)), 0x5a, 4096);
    RUN(0, 1, .command = 0x35, .lba = 20, .count = 8, .size = 4096);
    assert_int_equal(blk_pread(disk, 20 * 512, buf, 4096), 0);
    assert_int_equal(buf[0] + buf[4095], 2 * 0x5a);
    memset(ram(data_of(0)), 0xa5, 4096);
    issue(0, &(Command){ .command = 0x34, .lba = 30, .count = 2, .size = 1024 }); /* by PIO: a block at a time */
    for (unsigned n = 0; n < 2000 && get(0, CI) != 0; n++) {
        clock_step(50000);
    }
    wait_is(0, 1);
    assert_int_equal(blk_pread(disk, 30 * 512, buf, 1024), 0);
    assert_int_equal(buf[0] + buf[1023], 2 * 0xa5);
    memset(ram(data_of(5)), 0x11, 2048);
    RUN(0, 8, .slot = 5, .command = 0x61, .lba = 40, .count = 4, .size = 2048);
    assert_int_equal(blk_pread(disk, 40 * 512, buf, 2048), 0);
    assert_int_equal(buf[0] + buf[2047], 0x22);
    RUN(0, 1, .command = 0xea);
}

/* 32 at a time, one more than the other way round. */
static void test_queue(void **state)
{
    for (unsigned n = 0; n < 32; n++) {
        lay(0, &(Command){ .slot = n, .command = 0x60, .lba = 100 * n, .count = 2, .size = 1024 });
    }
    set(0, SACT, 0xffffffff);
    set(0, CI, 0xffffffff);
    assert_int_equal(get(0, CI), 0); /* all were accepted */
    assert_int_equal(get(0, SACT), 0xffffffff);
    for (unsigned n = 0; n < 20000 && get(0, SACT) != 0; n++) {
        clock_step(50000);
    }
    wait_is(0, 8);
    for (unsigned n = 0; n < 32; n++) {
        assert_int_equal(ram(data_of(n))[1023], disk_byte(100 * n + 1, 511));
    }
}

/* One of the queued commands fails: the others are given up, and the log says which it was. */
static void test_queue_error(void **state)
{
    uint8_t *p = ram(data_of(1)), sum = 0;

    bad = 205 * 512;
    lay(0, &(Command){ .slot = 4, .command = 0x60, .lba = 200, .count = 8, .size = 4096 });
    lay(0, &(Command){ .slot = 7, .command = 0x60, .lba = 300, .count = 8, .size = 4096 });
    set(0, SACT, 0x90);
    set(0, CI, 0x90);
    assert_int_equal(wait_is(0, 1u << 30) & 9, 8);
    assert_int_equal(get(0, TFD) & 0xffff, 0x4051);
    assert_int_equal(get(0, SACT) & 0x10, 0x10);
    clock_step(1000000000);
    set(0, CI, 1); /* it has halted */
    assert_int_equal(get(0, CI), 1);
    set(0, CMD, 0x10);
    assert_int_equal(get(0, CI) | get(0, SACT), 0);
    set(0, CMD, 0x11);
    /* nothing is queued before the log was read */
    issue(0, &(Command){ .slot = 2, .command = 0x60, .lba = 0, .count = 1, .size = 512 });
    assert_int_equal(wait_is(0, 1u << 30) & 9, 1);
    assert_int_equal(get(0, TFD) & 0xffff, 0x0451);
    set(0, CMD, 0x10);
    set(0, CMD, 0x11);
    RUN(0, 2, .slot = 1, .command = 0x2f, .lba = 0x10, .count = 1, .size = 512);
    assert_int_equal(p[0], 4);
    assert_int_equal(p[2], 0x51);
    assert_int_equal(p[3], 0x40);
    assert_int_equal(p[4], 200);
    for (unsigned n = 0; n < 512; n++) {
        sum = (uint8_t)(sum + p[n]);
    }
    assert_int_equal(sum, 0);
    RUN(0, 8, .slot = 7, .command = 0x60, .lba = 300, .count = 8, .size = 4096);
    assert_int_equal(ram(data_of(7))[0], disk_byte(300, 0));
    /* beyond the end, and a tag that is not its slot's */
    issue(0, &(Command){ .slot = 7, .command = 0x60, .lba = SECTORS - 1, .count = 2, .size = 1024 });
    wait_is(0, 1u << 30);
    assert_int_equal(get(0, TFD) & 0xffff, 0x1051);
    set(0, CMD, 0x10);
    set(0, CMD, 0x11);
    RUN(0, 2, .slot = 1, .command = 0x2f, .lba = 0, .count = 1, .size = 512);
    assert_int_equal(p[0], 1);
    assert_int_equal(p[0x20], 1);
    RUN(0, 2, .slot = 1, .command = 0x2f, .lba = 0x10, .count = 1, .size = 512);
    lay(0, &(Command){ .slot = 7, .command = 0x60, .lba = 1, .count = 1, .size = 512 });
    ram(TABLES + 7 * TABLE_SIZE)[12] = 8 << 3;
    set(0, SACT, 0x80);
    set(0, CI, 0x80);
    wait_is(0, 1u << 30);
    assert_int_equal(get(0, TFD) & 0xffff, 0x0451);
}

static void test_errors(void **state)
{
    uint8_t *t = ram(TABLES);

    bad = 7 * 512;
    issue(0, &(Command){ .command = 0x25, .lba = 4, .count = 8, .size = 4096 });
    assert_int_equal(wait_is(0, 1u << 30) & 1, 1);
    assert_int_equal(get(0, TFD) & 0xffff, 0x4051);
    assert_int_equal(ram(FIS + 0x40)[4], 7); /* where it is */
    assert_int_equal(get(0, CI), 1);
    set(0, CMD, 0x10);
    set(0, CMD, 0x11);
    /* a table that is too short: it halts, and goes on after a reset */
    lay(0, &(Command){ .command = 0x25, .lba = 20, .count = 8, .size = 4096 });
    st_le32(t + 0x80 + 28, 100 - 1);
    set(0, CI, 1);
    wait_is(0, 1u << 24);
    clock_step(1000000000);
    assert_int_equal(get(0, CI), 1);
    set(0, CMD, 0);
    assert_int_equal(get(0, TFD) & 0x88, 0x80); /* it was in the middle of it */
    set(0, SCTL, 0x301);
    set(0, SCTL, 0x300);
    assert_int_equal(get(0, TFD) & 0xff, 0x50);
    assert_int_equal(get(0, SIG), 0x101);
    assert_int_equal(get(0, IS) & (1u << 6), 1u << 6); /* of SERR */
    start(0);
    RUN(0, 1, .command = 0x25, .lba = 20, .count = 8, .size = 4096);
    /* no memory: for the data, the table, the list */
    lay(0, &(Command){ .command = 0x25, .lba = 20, .count = 8, .size = 4096 });
    st_le64(t + 0x80, 0xfffffffffffffff0ull);
    set(0, CI, 1);
    wait_is(0, 1u << 29);
    set(0, CMD, 0);
    set(0, CMD, 8); /* what was BSY is overridden */
    assert_int_equal(get(0, TFD) & 0x88, 0);
    start(0);
    st_le32(ram(LIST + 8), 0xf0000000);
    set(0, CI, 1);
    wait_is(0, 1u << 29);
    start(0);
    set(0, CMD, 0);
    set(0, 0x04, 0xffff);
    set(0, CMD, 0x11);
    set(0, CI, 1);
    wait_is(0, 1u << 29);
    set(0, CMD, 0);
    set(0, 0x04, 0);
    start(0);
    /* no FIS of a host */
    lay(0, &(Command){ .command = 0x25, .lba = 20, .count = 8, .size = 4096 });
    t[0] = 0x34;
    set(0, CI, 1);
    wait_is(0, 1u << 29);
    set(0, CMD, 0);
    start(0);
    RUN(0, 1, .command = 0x25, .lba = 20, .count = 8, .size = 4096);
}

/* By a register FIS that is no command, as Linux does it. */
static void test_soft_reset(void **state)
{
    uint8_t *t = ram(TABLES);

    lay(0, &(Command){ .command = 0 });
    t[1] = 0;
    t[15] = 4;
    set(0, CI, 1);
    assert_int_equal(get(0, CI), 0);
    t[15] = 0;
    ram(FIS + 0x40)[0] = 0;
    set(0, CI, 1);
    assert_int_equal(get(0, CI), 0);
    assert_int_equal(ram(FIS + 0x40)[0], 0x34);
    assert_int_equal(get(0, SIG), 0x101);
    assert_int_equal(get(0, TFD) & 0xff, 0x50);
}

static void test_packets(void **state)
{
    static const uint8_t ready[12] = { 0 }, read[12] = { 0x28, 0, 0, 0, 0, 5, 0, 0, 2 }, inquiry[12] = { 0x12, 0, 0, 0, 36 };
    static const uint8_t no[12] = { 0x2a };

    RUN(1, 1, .command = 0xa0, .packet = ready);
    RUN(1, 1, .command = 0xa0, .packet = read, .feature = 1, .size = 4096);
    assert_int_equal(ram(data_of(0))[0], disk_byte(20, 0));
    assert_int_equal(ram(data_of(0))[4095], disk_byte(27, 511));
    RUN(1, 1, .command = 0xa0, .packet = inquiry, .size = 36); /* by PIO */
    assert_memory_equal(ram(data_of(0)) + 8, "QEMU    QEMU DVD-ROM", 20);
    issue(1, &(Command){ .command = 0xa0, .packet = no });
    wait_is(1, 1u << 30);
    assert_int_equal(get(1, TFD) & 0xffff, 0x5451);
    set(1, CMD, 0x10);
    set(1, CMD, 0x11);
    issue(1, &(Command){ .command = 0xec, .size = 512 }); /* a packet device refuses, and says what it is */
    wait_is(1, 1u << 30);
    assert_int_equal(ram(FIS + 0x4000 + 0x40)[5], 0x14);
    set(1, CMD, 0x10);
    set(1, CMD, 0x11);
    issue(1, &(Command){ .command = 0x60, .count = 1, .size = 512 });
    wait_is(1, 1u << 30);
}

/* The bus is not the card's to master: nothing happens, until it is. */
static void test_bus_master(void **state)
{
    pci_config_write(card, PCI_COMMAND, PCI_CMD_MEMORY, 2);
    issue(0, &(Command){ .command = 0x25, .lba = 9, .count = 8, .size = 4096 });
    clock_step(1000000000);
    assert_int_equal(get(0, CI), 1);
    pci_config_write(card, PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    wait_is(0, 1);
    issue(0, &(Command){ .command = 0x25, .lba = 9, .count = 8, .size = 4096 });
    pci_config_write(card, PCI_COMMAND, PCI_CMD_MEMORY, 2); /* in the middle */
    clock_step(1000000000);
    memset(ram(data_of(0)), 0, 4096);
    pci_config_write(card, PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    wait_is(0, 1);
}

static void test_state(void **state)
{
    StateBuf b = { 0 };

    bad = 205 * 512;
    issue(0, &(Command){ .slot = 4, .command = 0x60, .lba = 200, .count = 8, .size = 4096 });
    wait_is(0, 1u << 30);
    machine_unlock();
    block_drain();
    machine_lock();
    devices_save(&b);
    devices_reset();
    b.pos = 0;
    assert_true(devices_load(&b, NULL));
    state_buf_free(&b);
    assert_int_equal(get(0, SACT), 0x10);
    assert_int_equal(get(0, TFD) & 0xffff, 0x4051);
    set(0, CMD, 0x10);
    set(0, CMD, 0x11);
    RUN(0, 2, .slot = 1, .command = 0x2f, .lba = 0x10, .count = 1, .size = 512);
    assert_int_equal(*ram(data_of(1)), 4);
}

#define AHCI_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AHCI_TEST(test_registers), AHCI_TEST(test_identify), AHCI_TEST(test_reads), AHCI_TEST(test_writes), AHCI_TEST(test_queue),
        AHCI_TEST(test_queue_error), AHCI_TEST(test_errors), AHCI_TEST(test_soft_reset), AHCI_TEST(test_packets),
        AHCI_TEST(test_bus_master), AHCI_TEST(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
