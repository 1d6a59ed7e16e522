/*
 * SCSI disks and CD-ROM drives behind virtio-scsi, command by command, against SPC-4, SBC-3 and VIRTIO 1.2's section 5.6.
 * Images are temporary files; requests take fixed virtual time.
 */
#include "tests/device/fake.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/mem.h"
#include "block/block.h"
#include "bus/state.h"
#include "hw/pci/pci.h"
#include "hw/scsi/task.h"

enum { MODERN = 0x80000000u, RINGS = 0x10000, PAGE = 0x1000, AVAIL = 0x400, USED = 0x800, SIZE = 64, RAM = 4 << 20,
       REQ = 0x20000, RESP = 0x28000, DATA = 0x100000, BLOCKS = 8192 };
enum { CONTROL, EVENTS, COMMANDS };

static PciBus *bus;
static IoRegion low;
static char disk_path[64], disc_path[64];
static BlockBackend *disk, *disc;
static Device *hd;
static unsigned seen[3]; /* used entries that were looked at */

static uint8_t *ram(uint32_t at)
{
    return ram_host() + at;
}

static void set(uint32_t at, uint32_t val, unsigned size)
{
    mem_out(MODERN + at, val, size);
}

static void make_image(char path[64], size_t size)
{
    uint8_t *data = xnewn(uint8_t, size);
    int fd;

    strcpy(path, "/tmp/doppel-scsi-XXXXXX");
    fd = mkstemp(path);
    for (size_t n = 0; n < size; n++) {
        data[n] = (uint8_t)(n / 512 * 7 + n % 512);
    }
    assert_int_equal(write(fd, data, size), size);
    close(fd);
    free(data);
}

static void *find_drive(const char *id, Error **errp)
{
    return blk_find(id);
}

static Device *plug(const char *driver, const char *const *props)
{
    Device *dev = fake_device(device_class_find(driver));

    for (; *props != NULL; props += 2) {
        assert_true(device_set(dev, props[0], props[1], NULL));
    }
    return fake_realize(dev);
}

static void start(void)
{
    PciDevice *d = pci_bus_find(bus, PCI_DEVFN(1, 0));

    pci_config_write(d, PCI_BAR0 + 16, MODERN, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
    set(0x14, 0, 1);
    set(0x14, 3, 1);
    set(0x08, 0, 4);
    set(0x0c, 6, 4); /* F_HOTPLUG, F_CHANGE */
    set(0x08, 1, 4);
    set(0x0c, 1, 4);
    set(0x14, 11, 1);
    memset(ram(RINGS), 0, 3 * PAGE);
    memset(seen, 0, sizeof(seen));
    for (unsigned q = 0; q < 3; q++) {
        set(0x16, q, 2);
        set(0x18, SIZE, 2);
        set(0x20, RINGS + q * PAGE, 4);
        set(0x28, RINGS + q * PAGE + AVAIL, 4);
        set(0x30, RINGS + q * PAGE + USED, 4);
        set(0x1c, 1, 2);
    }
    set(0x14, 15, 1);
}

static int setup(void **state)
{
    static const char *const none[] = { NULL };
    static const char *const a[] = { "drive", "disk", "serial", "12345", "wwn", "0x5000c50015ea71ac", "dpofua", "on", NULL };
    static const char *const c[] = { "drive", "disc", "scsi-id", "1", NULL };

    fake_setup(state);
    block_setup(&machine_lock_guard, true);
    device_set_drive_resolver(find_drive);
    if (ram_host() == NULL) {
        assert_true(ram_create(RAM, NULL));
        ram_region_init(&low, "low", 0, RAM);
        assert_true(mem_map(&low, 0, 0, false, NULL));
    }
    memset(ram_host(), 0, RAM);
    make_image(disk_path, BLOCKS * 512);
    make_image(disc_path, 300 * 2048);
    disk = blk_new(&(BlockParams){ .name = "disk", .file = disk_path, .format = "raw", .discard = true }, NULL);
    disc = blk_new(&(BlockParams){ .name = "disc", .file = disc_path, .format = "raw", .read_only = true }, NULL);
    bus = pci_bus_new(NULL, NULL);
    fake_board.pci = bus;
    plug("virtio-scsi-pci", none);
    hd = plug("scsi-hd", a);
    plug("scsi-cd", c);
    start();
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    machine_unlock();
    assert_true(block_close_all());
    machine_lock();
    pci_bus_free(bus);
    unlink(disk_path);
    unlink(disc_path);
    return 0;
}

/* ---- rings ---- */

static void desc(unsigned q, unsigned n, uint32_t addr, uint32_t len, bool write, bool more)
{
    uint8_t *d = ram(RINGS + q * PAGE + 16 * n);

    st_le64(d, addr);
    st_le32(d + 8, len);
    st_le16(d + 12, (uint16_t)((write ? 2 : 0) | (more ? 1 : 0)));
    st_le16(d + 14, (uint16_t)(n + 1));
}

static void offer(unsigned q, unsigned head)
{
    uint8_t *a = ram(RINGS + q * PAGE + AVAIL);
    uint16_t idx = ld_le16(a + 2);

    st_le16(a + 4 + 2 * (idx % SIZE), (uint16_t)head);
    st_le16(a + 2, (uint16_t)(idx + 1));
    set(0x3000 + 4 * q, 0, 2);
}

static unsigned used(unsigned q)
{
    return ld_le16(ram(RINGS + q * PAGE + USED + 2));
}

static void wait_used(unsigned q)
{
    for (unsigned n = 0; n < 20000 && used(q) == seen[q]; n++) {
        clock_step(50000);
    }
    assert_int_equal((uint16_t)(seen[q] + 1), used(q));
    seen[q]++;
}

/* A command's answer. */
typedef struct Got {
    uint8_t response, status, key, asc, ascq;
    uint32_t residual, written;
} Got;

static void put_lun(uint8_t *p, unsigned target, unsigned lun)
{
    p[0] = 1;
    p[1] = (uint8_t)target;
    st_be16(p + 2, lun);
}

/* send - a command of chain @slot, at most four at a time; data are at DATA + slot MiB / 2. */
static void send_slot(unsigned slot, unsigned target, unsigned lun, const uint8_t *cdb, unsigned cdb_len, uint32_t out, uint32_t in)
{
    uint8_t *r = ram(REQ + slot * 0x1000);
    unsigned n = slot * 4;
    uint32_t data = DATA + slot * 0x80000;

    memset(r, 0, 51);
    put_lun(r, target, lun);
    st_le64(r + 8, 0x1000 + slot);
    memcpy(r + 19, cdb, cdb_len);
    memset(ram(RESP + slot * 0x1000), 0xee, 108);
    desc(COMMANDS, n, REQ + slot * 0x1000, 51, false, true);
    if (out > 0) {
        desc(COMMANDS, n + 1, data, out, false, true);
        desc(COMMANDS, n + 2, RESP + slot * 0x1000, 108, true, false);
    } else {
        desc(COMMANDS, n + 1, RESP + slot * 0x1000, 108, true, in > 0);
        desc(COMMANDS, n + 2, data, in, true, false);
    }
    offer(COMMANDS, n);
}

static Got got_slot(unsigned slot)
{
    const uint8_t *p = ram(RESP + slot * 0x1000);
    Got g = { .response = p[11], .status = p[10], .residual = ld_le32(p + 4) };

    g.written = ld_le32(ram(RINGS + COMMANDS * PAGE + USED + 4 + 8 * ((used(COMMANDS) - 1) % SIZE) + 4));
    if (ld_le32(p) >= 18) {
        g.key = p[12 + 2];
        g.asc = p[12 + 12];
        g.ascq = p[12 + 13];
    }
    return g;
}

static Got send_to(unsigned target, unsigned lun, const uint8_t *cdb, unsigned cdb_len, uint32_t out, uint32_t in)
{
    send_slot(0, target, lun, cdb, cdb_len, out, in);
    wait_used(COMMANDS);
    return got_slot(0);
}

#define CMD(target, out, in, ...)                                                                  \
    send_to((target), 0, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), (out), (in))
#define assert_good(g)                                                                             \
    do {                                                                                           \
        Got g_ = (g);                                                                              \
        assert_int_equal(g_.response, 0);                                                          \
        assert_int_equal(g_.status, 0);                                                            \
    } while (0)
#define assert_sense(g, k, a, q)                                                                   \
    do {                                                                                           \
        Got g_ = (g);                                                                              \
        assert_int_equal(g_.response, 0);                                                          \
        assert_int_equal(g_.status, 2);                                                            \
        assert_int_equal(g_.key << 16 | g_.asc << 8 | g_.ascq, (k) << 16 | (a) << 8 | (q));         \
    } while (0)

/* ready - what every driver does first: the unit attention is taken. */
static void ready(unsigned target)
{
    assert_sense(CMD(target, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0);
    assert_good(CMD(target, 0, 0, 0x00, 0, 0, 0, 0, 0));
}

/* ---- what they say of themselves ---- */

static void test_inquiry(void **state)
{
    uint8_t *p = ram(DATA);

    assert_good(CMD(0, 0, 96, 0x12, 0, 0, 0, 96, 0)); /* told before the unit attention, which stays */
    assert_int_equal(p[0], 0);
    assert_int_equal(p[1], 0);
    assert_memory_equal(p + 8, "QEMU    QEMU HARDDISK   2.5+", 28);
    assert_good(CMD(0, 0, 255, 0x12, 1, 0, 0, 255, 0));
    assert_memory_equal(p, "\0\0\0\x06\x00\x80\x83\xb0\xb1\xb2", 10);
    assert_good(CMD(0, 0, 255, 0x12, 1, 0x80, 0, 255, 0));
    assert_memory_equal(p, "\0\x80\0\x05" "12345", 9);
    assert_good(CMD(0, 0, 255, 0x12, 1, 0x83, 0, 255, 0));
    assert_memory_equal(p, "\0\x83\0\x15\x02\0\0\x05" "12345\x01\x03\0\x08\x50\0\xc5\0\x15\xea\x71\xac", 25);
    assert_good(CMD(0, 0, 255, 0x12, 1, 0xb0, 0, 255, 0));
    assert_int_equal(ld_be16(p + 2), 60);
    assert_int_equal(ld_be32(p + 24), 255); /* ranges of an UNMAP */
    assert_good(CMD(0, 0, 255, 0x12, 1, 0xb2, 0, 255, 0));
    assert_int_equal(p[5], 0x80);
    assert_sense(CMD(0, 0, 255, 0x12, 1, 0x42, 0, 255, 0), 5, 0x24, 0);
    assert_sense(CMD(0, 0, 255, 0x12, 0, 0x80, 0, 255, 0), 5, 0x24, 0);
    assert_int_equal(CMD(0, 0, 96, 0x12, 0, 0, 0, 36, 0).residual, 60);
    ready(0);
    assert_good(CMD(1, 0, 96, 0x12, 0, 0, 0, 96, 0));
    assert_int_equal(p[0], 5);
    assert_int_equal(p[1], 0x80);
    assert_good(CMD(1, 0, 255, 0x12, 1, 0, 0, 255, 0));
    assert_memory_equal(p, "\x05\0\0\x03\x00\x83\xb0", 7);
}

/* Numbers that no unit has: of a target that is there, and of none. */
static void test_no_unit(void **state)
{
    static const uint8_t inquiry[] = { 0x12, 0, 0, 0, 36, 0 }, ready_cdb[6] = { 0 }, sense[] = { 3, 0, 0, 0, 18, 0 };
    static const uint8_t luns[12] = { 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64 };
    static const char *const more[] = { "drive", "more", "scsi-id", "0", "lun", "300", NULL };

    blk_new(&(BlockParams){ .name = "more", .file = disc_path, .format = "raw", .read_only = true }, NULL);
    plug("scsi-hd", more);
    assert_good(send_to(0, 7, inquiry, 6, 0, 36));
    assert_int_equal(*ram(DATA), 0x7f);
    assert_sense(send_to(0, 7, ready_cdb, 6, 0, 0), 5, 0x25, 0);
    assert_good(send_to(0, 7, sense, 6, 0, 18));
    assert_int_equal(ram(DATA)[12], 0x25);
    assert_int_equal(send_to(9, 0, ready_cdb, 6, 0, 0).response, 3);
    assert_good(send_to(0, 0, luns, 12, 0, 64));
    assert_memory_equal(ram(DATA), "\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\x41\x2c\0\0\0\0\0\0", 24);
    assert_good(send_to(0, 300, inquiry, 6, 0, 36));
    assert_int_equal(*ram(DATA), 0);
}

static void test_capacity_and_modes(void **state)
{
    uint8_t *p = ram(DATA);

    ready(0);
    assert_good(CMD(0, 0, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    assert_memory_equal(p, "\0\0\x1f\xff\0\0\x02\0", 8);
    assert_good(CMD(0, 0, 32, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0));
    assert_memory_equal(p, "\0\0\0\0\0\0\x1f\xff\0\0\x02\0", 12);
    assert_int_equal(p[14], 0x80); /* can be unmapped */
    assert_good(CMD(0, 0, 255, 0x1a, 0, 0x3f, 0, 255, 0));
    assert_int_equal(p[2], 0x10); /* FUA */
    assert_int_equal(p[3], 8);
    assert_int_equal(ld_be32(p + 4), BLOCKS);
    assert_good(CMD(0, 0, 255, 0x1a, 8, 8, 0, 255, 0));
    assert_int_equal(p[4], 8);
    assert_int_equal(p[6], 4); /* write cache */
    assert_good(CMD(0, 0, 255, 0x1a, 8, 0x48, 0, 255, 0));
    assert_int_equal(p[6], 4); /* which can be changed */
    assert_sense(CMD(0, 0, 255, 0x1a, 8, 0xc8, 0, 255, 0), 5, 0x39, 0);
    assert_sense(CMD(0, 0, 255, 0x1a, 8, 0x33, 0, 255, 0), 5, 0x24, 0);
    assert_good(CMD(0, 0, 24, 0x1a, 8, 8, 0, 24, 0));
    p[0] = 0;
    p[6] = 0;
    assert_good(CMD(0, 24, 0, 0x15, 0x10, 0, 0, 24, 0));
    assert_good(CMD(0, 0, 24, 0x1a, 8, 8, 0, 24, 0));
    assert_int_equal(p[6], 0);
    p[0] = 0;
    p[7] = 1; /* this cannot */
    assert_sense(CMD(0, 24, 0, 0x15, 0x10, 0, 0, 24, 0), 5, 0x26, 0);
    assert_sense(CMD(0, 3, 0, 0x15, 0x10, 0, 0, 3, 0), 5, 0x1a, 0);
    assert_sense(CMD(0, 24, 0, 0x15, 0x11, 0, 0, 24, 0), 5, 0x24, 0);
    assert_sense(CMD(0, 0, 0, 0xff, 0, 0, 0, 0, 0), 5, 0x20, 0);
}

/* ---- data ---- */

static uint8_t disk_byte(unsigned block, unsigned n)
{
    return (uint8_t)(block * 7 + n);
}

static void test_reads(void **state)
{
    const uint8_t *p = ram(DATA);
    Got g;

    ready(0);
    assert_good(CMD(0, 0, 1024, 0x08, 0, 0, 5, 2, 0));
    assert_int_equal(p[0], disk_byte(5, 0));
    assert_int_equal(p[1023], disk_byte(6, 511));
    assert_good(CMD(0, 0, 512, 0x28, 0, 0, 0, 0x10, 1, 0, 0, 1, 0));
    assert_int_equal(p[9], disk_byte(0x1001, 9));
    assert_good(CMD(0, 0, 512, 0xa8, 0, 0, 0, 0x10, 2, 0, 0, 0, 1, 0, 0));
    assert_int_equal(p[9], disk_byte(0x1002, 9));
    assert_good(CMD(0, 0, 512, 0x88, 0, 0, 0, 0, 0, 0, 0, 0x1f, 0xff, 0, 0, 0, 1, 0, 0));
    assert_int_equal(p[9], disk_byte(0x1fff, 9));
    assert_good(CMD(0, 0, 3 << 19, 0x28, 0, 0, 0, 0, 1, 0, 0x0c, 0, 0)); /* in pieces */
    for (unsigned n = 0; n < 3072; n++) {
        assert_int_equal(p[512 * n + 77], disk_byte(n + 1, 77));
    }
    assert_good(CMD(0, 0, 0, 0x28, 0, 0, 0, 0, 1, 0, 0, 0, 0));
    assert_sense(CMD(0, 0, 1024, 0x28, 0, 0, 0, 0x1f, 0xff, 0, 0, 2, 0), 5, 0x21, 0);
    assert_sense(CMD(0, 0, 512, 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0), 5, 0x21, 0);
    assert_sense(CMD(0, 0, 512, 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0), 5, 0x24, 0);
    g = CMD(0, 0, 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0);
    assert_int_equal(g.response, 1); /* the buffer is too small */
    assert_int_equal(g.residual, 512);
    g = CMD(0, 0, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0);
    assert_int_equal(g.response, 0);
    assert_int_equal(g.residual, 1024);
    assert_int_equal(g.written, 108 + 1024);
}

static void file_bytes(const char *path, unsigned block, uint8_t *buf, size_t len)
{
    int fd = open(path, O_RDONLY);

    assert_int_equal(pread(fd, buf, len, block * 512), len);
    close(fd);
}

static void test_writes(void **state)
{
    uint8_t *p = ram(DATA), buf[4096];

    ready(0);
    for (unsigned n = 0; n < 2048; n++) {
        p[n] = (uint8_t)(n * 3);
    }
    assert_good(CMD(0, 1024, 0, 0x2a, 8, 0, 0, 0, 9, 0, 0, 2, 0));
    file_bytes(disk_path, 9, buf, 1024);
    assert_memory_equal(buf, p, 1024);
    assert_good(CMD(0, 512, 0, 0x0a, 0, 0, 30, 1, 0));
    assert_good(CMD(0, 512, 0, 0xae, 0, 0, 0, 0, 31, 0, 0, 0, 1, 0, 0));
    file_bytes(disk_path, 30, buf, 1024);
    assert_memory_equal(buf, p, 512);
    assert_memory_equal(buf + 512, p, 512);
    assert_good(CMD(0, 0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    assert_good(CMD(0, 0, 0, 0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0, 0)); /* VERIFY */
    assert_good(CMD(0, 1024, 0, 0x2f, 2, 0, 0, 0, 9, 0, 0, 2, 0));
    p[1000] ^= 1;
    assert_sense(CMD(0, 1024, 0, 0x2f, 2, 0, 0, 0, 9, 0, 0, 2, 0), 14, 0x1d, 0);
    assert_good(CMD(0, 512, 0, 0x41, 0, 0, 0, 0, 100, 0, 0, 4, 0)); /* WRITE SAME */
    file_bytes(disk_path, 100, buf, 2048);
    for (unsigned n = 0; n < 4; n++) {
        assert_memory_equal(buf + 512 * n, p, 512);
    }
    assert_good(CMD(0, 0, 0, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 101, 0, 0, 0, 2, 0, 0)); /* zeros, without data */
    file_bytes(disk_path, 100, buf, 2048);
    assert_memory_equal(buf, p, 512);
    assert_int_equal(buf[512], 0);
    assert_int_equal(buf[1535], 0);
    assert_memory_equal(buf + 1536, p, 512);
    assert_sense(CMD(0, 512, 0, 0x41, 0, 0, 0, 0, 100, 0, 0, 0, 0), 5, 0x24, 0);
    assert_int_equal(CMD(0, 100, 0, 0x41, 0, 0, 0, 0, 100, 0, 0, 4, 0).response, 1);
    assert_int_equal(CMD(0, 512, 0, 0x2a, 0, 0, 0, 0, 9, 0, 0, 2, 0).response, 1);
}

static void test_unmap(void **state)
{
    uint8_t *p = ram(DATA), buf[1024];

    ready(0);
    memset(p, 0, 40);
    st_be16(p, 38);
    st_be16(p + 2, 32);
    st_be64(p + 8, 16);
    st_be32(p + 16, 8);
    st_be64(p + 24, 4096);
    st_be32(p + 32, 1024);
    assert_good(CMD(0, 40, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0));
    file_bytes(disk_path, 16, buf, 512);
    assert_int_equal(buf[5], 0);
    file_bytes(disk_path, 4096, buf, 512);
    assert_int_equal(buf[5], 0);
    file_bytes(disk_path, 15, buf, 512);
    assert_int_equal(buf[5], disk_byte(15, 5));
    st_be64(p + 24, BLOCKS - 8);
    assert_sense(CMD(0, 40, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0), 5, 0x21, 0);
    assert_sense(CMD(0, 4, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 4, 0), 5, 0x1a, 0);
    assert_sense(CMD(0, 40, 0, 0x42, 1, 0, 0, 0, 0, 0, 0, 40, 0), 5, 0x24, 0);
}

static void test_stop(void **state)
{
    ready(0);
    assert_good(CMD(0, 0, 0, 0x1b, 0, 0, 0, 0, 0));
    assert_sense(CMD(0, 0, 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2, 4, 2);
    assert_good(CMD(0, 0, 0, 0x1b, 0, 0, 0, 1, 0));
    assert_good(CMD(0, 0, 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
}

static void test_cd(void **state)
{
    uint8_t *p = ram(DATA);

    ready(1);
    assert_good(CMD(1, 0, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    assert_memory_equal(p, "\0\0\x01\x2b\0\0\x08\0", 8);
    assert_good(CMD(1, 0, 4096, 0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0));
    assert_int_equal(p[0], disk_byte(12, 0));
    assert_good(CMD(1, 0, 12, 0x43, 2, 0, 0, 0, 0, 1, 0, 12, 0));
    assert_int_equal(p[3], 1);
    assert_good(CMD(1, 0, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0));
    assert_int_equal(p[5], 2);
    assert_sense(CMD(1, 512, 0, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 5, 0x20, 0);
    assert_good(CMD(1, 0, 0, 0x1e, 0, 0, 0, 1, 0));
    assert_sense(CMD(1, 0, 0, 0x1b, 0, 0, 0, 2, 0), 5, 0x53, 2);
    assert_good(CMD(1, 0, 0, 0x1e, 0, 0, 0, 0, 0));
    assert_good(CMD(1, 0, 0, 0x1b, 0, 0, 0, 2, 0));
    assert_sense(CMD(1, 0, 0, 0x00, 0, 0, 0, 0, 0), 2, 0x3a, 2);
}

/* ---- tasks, events, state ---- */

static uint8_t manage(unsigned what, unsigned target, unsigned lun, uint64_t tag)
{
    uint8_t *r = ram(REQ + 0x7000);

    memset(r, 0, 25);
    st_le32(r + 4, what);
    put_lun(r + 8, target, lun);
    st_le64(r + 16, tag);
    r[24] = 0xee;
    desc(CONTROL, 0, REQ + 0x7000, 24, false, true);
    desc(CONTROL, 1, REQ + 0x7018, 1, true, false);
    offer(CONTROL, 0);
    wait_used(CONTROL);
    return r[24];
}

static void test_tasks(void **state)
{
    static const uint8_t read[10] = { 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0 };

    ready(0);
    send_slot(1, 0, 0, read, 10, 0, 512);
    send_slot(2, 0, 0, read, 10, 0, 512);
    send_slot(3, 0, 0, read, 10, 0, 512);
    assert_int_equal(used(COMMANDS), seen[COMMANDS]);
    assert_int_equal(manage(6, 0, 0, 0x1002), 10); /* QUERY TASK */
    assert_int_equal(manage(6, 0, 0, 0x1000), 0);
    assert_int_equal(manage(0, 0, 0, 0x1002), 0);  /* ABORT TASK */
    wait_used(COMMANDS);
    assert_int_equal(got_slot(2).response, 2);
    assert_int_equal(manage(5, 0, 0, 0), 0);       /* LOGICAL UNIT RESET */
    assert_int_equal(used(COMMANDS), seen[COMMANDS] + 2);
    seen[COMMANDS] += 2;
    assert_int_equal(got_slot(1).response, 4);
    assert_int_equal(got_slot(3).response, 4);
    ready(0);
    clock_step(1000000000);
    assert_int_equal(used(COMMANDS), seen[COMMANDS]);
    assert_int_equal(manage(5, 0, 9, 0), 12);
    assert_int_equal(manage(5, 9, 0, 0), 3);
    assert_int_equal(manage(77, 0, 0, 0), 11);
    send_slot(1, 0, 0, read, 10, 0, 512);
    assert_int_equal(manage(4, 0, 0, 0), 0); /* I_T NEXUS RESET */
    wait_used(COMMANDS);
    assert_int_equal(got_slot(1).response, 4);
}

static void test_events(void **state)
{
    uint8_t *e = ram(REQ + 0x6000);

    ready(0);
    machine_unlock();
    assert_true(blk_resize(disk, BLOCKS * 1024, NULL)); /* with no buffer to put it into */
    machine_lock();
    assert_int_equal(used(EVENTS), 0);
    desc(EVENTS, 0, REQ + 0x6000, 16, true, false);
    offer(EVENTS, 0);
    wait_used(EVENTS);
    assert_int_equal(ld_le32(e), 0x80000000); /* missed */
    assert_sense(CMD(0, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x2a, 9);
    offer(EVENTS, 0);
    machine_unlock();
    assert_true(blk_resize(disk, BLOCKS * 512, NULL));
    machine_lock();
    wait_used(EVENTS);
    assert_int_equal(ld_le32(e), 3);
    assert_int_equal(e[4], 1);
    assert_int_equal(ld_le32(e + 12), 0x092a);
    offer(EVENTS, 0);
    device_free(hd);
    hd = NULL;
    wait_used(EVENTS);
    assert_int_equal(ld_le32(e), 1);
    assert_int_equal(ld_le32(e + 12), 2); /* removed */
    assert_int_equal(CMD(0, 0, 0, 0x00, 0, 0, 0, 0, 0).response, 3);
}

/* What the driver may choose, and what it may not. */
static void test_sizes(void **state)
{
    assert_int_equal(mem_in(MODERN + 0x2000 + 20, 4), 96);
    assert_int_equal(mem_in(MODERN + 0x2000 + 24, 4), 32);
    set(0x2000, 7, 4);
    assert_int_equal(mem_in(MODERN + 0x2000, 4), 1);
    set(0x2000 + 24, 0x10000000, 4);
    offer(COMMANDS, 0);
    assert_int_equal(mem_in(MODERN + 0x14, 1) & 64, 64); /* needs a reset */
    start();
    ready(0);
}

static void test_state(void **state)
{
    StateBuf b = { 0 };
    uint8_t *p = ram(DATA);

    ready(0);
    assert_good(CMD(0, 0, 24, 0x1a, 8, 8, 0, 24, 0));
    p[0] = p[6] = 0;
    assert_good(CMD(0, 24, 0, 0x15, 0x10, 0, 0, 24, 0));
    assert_good(CMD(0, 0, 0, 0x1b, 0, 0, 0, 0, 0));
    machine_unlock();
    block_drain();
    machine_lock();
    devices_save(&b);
    devices_reset();
    b.pos = 0;
    assert_true(devices_load(&b, NULL));
    state_buf_free(&b);
    assert_sense(CMD(0, 0, 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2, 4, 2);
    assert_good(CMD(0, 0, 24, 0x1a, 8, 8, 0, 24, 0));
    assert_int_equal(p[6], 0);
}

#define SCSI_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCSI_TEST(test_inquiry), SCSI_TEST(test_no_unit), SCSI_TEST(test_capacity_and_modes), SCSI_TEST(test_reads),
        SCSI_TEST(test_writes), SCSI_TEST(test_unmap), SCSI_TEST(test_stop), SCSI_TEST(test_cd), SCSI_TEST(test_tasks),
        SCSI_TEST(test_events), SCSI_TEST(test_sizes), SCSI_TEST(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
