/*
 * PIIX3 IDE, an ATA disk and an ATAPI CD-ROM drive through their ports, against ATA/ATAPI-6, MMC
 * and the bus master's specification. Images are temporary files; requests take fixed virtual time.
 */
#include "tests/device/fake.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "block/block.h"
#include "bus/state.h"
#include "hw/ide/ide.h"
#include "hw/ide/piix3-ide.h"
#include "hw/pci/pci.h"

#define SECTORS 2048u
#define CD_BLOCKS 300u
#define BM 0xc000
#define RAM (1u << 20)

static PciBus *pci;
static IoRegion low;
static Device *ide, *hd, *cd;
static char disk_path[64], disc_path[64];
static BlockBackend *disk, *disc;

static void make_image(char path[64], size_t size, unsigned unit)
{
    uint8_t *data = xnewn(uint8_t, size);
    int fd;

    strcpy(path, "/tmp/doppel-ide-XXXXXX");
    fd = mkstemp(path);
    for (size_t n = 0; n < size; n++) { /* each unit (sector) is told from the others */
        data[n] = (uint8_t)(n / unit * 7 + n % unit);
    }
    assert_int_equal(write(fd, data, size), size);
    close(fd);
    free(data);
}

static uint8_t disk_byte(unsigned sector, unsigned n)
{
    return (uint8_t)(sector * 7 + n);
}

static Device *plug(const char *driver, const char *drive, const char *bus)
{
    Device *dev = fake_device(device_class_find(driver));

    assert_true(device_set(dev, "drive", drive, NULL));
    assert_true(device_set(dev, "bus", bus, NULL));
    return fake_realize(dev);
}

static void *find_drive(const char *id, Error **errp)
{
    return blk_find(id);
}

static int setup(void **state)
{
    BlockParams hp = { .name = "disk", .file = disk_path, .format = "raw", .discard = true };
    BlockParams cp = { .name = "disc", .file = disc_path, .format = "raw", .read_only = true };

    fake_setup(state);
    block_setup(&machine_lock_guard, true);
    device_set_drive_resolver(find_drive);
    if (ram_host() == NULL) {
        assert_true(ram_create(RAM, NULL));
        ram_region_init(&low, "low", 0, RAM);
        assert_true(mem_map(&low, 0, 0, false, NULL));
    }
    memset(ram_host(), 0, RAM);
    make_image(disk_path, SECTORS * 512, 512);
    make_image(disc_path, CD_BLOCKS * 2048, 2048);
    disk = blk_new(&hp, NULL);
    disc = blk_new(&cp, NULL);
    pci = pci_bus_new(NULL, NULL);
    ide = fake_device(&piix3_ide_class);
    piix3_ide_connect(ide, pci, fake_line(14), fake_line(15));
    fake_realize(ide);
    piix3_ide_firmware(ide);
    hd = plug("ide-hd", "disk", "ide.0");
    cd = plug("ide-cd", "disc", "ide.1");
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    machine_unlock();
    assert_true(block_close_all());
    machine_lock();
    pci_bus_free(pci);
    unlink(disk_path);
    unlink(disc_path);
    return 0;
}

/* ---- helpers: channel 0 is at 1F0h, 1 at 170h ---- */

#define PRI 0x1f0
#define SEC 0x170
#define ST_OK 0x50
#define ST_ASK 0x58

static uint8_t alt(uint16_t base)
{
    return in8(base + 0x206);
}

static void wait_idle(uint16_t base)
{
    for (unsigned n = 0; n < 10000 && (alt(base) & 0x80); n++) {
        clock_step(50000);
    }
    assert_false(alt(base) & 0x80);
}

/* command - with a 28-bit address. */
static void command(uint16_t base, uint8_t cmd, uint32_t lba, uint8_t count)
{
    out8(base + 6, (uint8_t)(0xe0 | (lba >> 24 & 15)));
    out8(base + 2, count);
    out8(base + 3, (uint8_t)lba);
    out8(base + 4, (uint8_t)(lba >> 8));
    out8(base + 5, (uint8_t)(lba >> 16));
    out8(base + 7, cmd);
}

static void command48(uint16_t base, uint8_t cmd, uint64_t lba, uint16_t count)
{
    out8(base + 6, 0x40);
    out8(base + 2, (uint8_t)(count >> 8));
    out8(base + 3, (uint8_t)(lba >> 24));
    out8(base + 4, (uint8_t)(lba >> 32));
    out8(base + 5, (uint8_t)(lba >> 40));
    out8(base + 2, (uint8_t)count);
    out8(base + 3, (uint8_t)lba);
    out8(base + 4, (uint8_t)(lba >> 8));
    out8(base + 5, (uint8_t)(lba >> 16));
    out8(base + 7, cmd);
}

/* take_irq - the line of @n was raised once since the last call; reading Status lowers it. */
static void take_irq(unsigned n)
{
    assert_int_equal(fake_lines[n].level, 1);
    assert_int_equal(fake_lines[n].rises, 1);
    in8(n == 14 ? PRI + 7 : SEC + 7);
    assert_int_equal(fake_lines[n].level, 0);
    fake_lines[n].rises = 0;
}

static void no_irq(unsigned n)
{
    assert_int_equal(fake_lines[n].level, 0);
    assert_int_equal(fake_lines[n].rises, 0);
}

static void read_words(uint16_t base, uint8_t *buf, unsigned bytes)
{
    for (unsigned n = 0; n < bytes; n += 2) {
        st_le16(buf + n, (uint16_t)port_read(base, 2));
    }
}

static uint16_t word(const uint8_t *id, unsigned n)
{
    return ld_le16(id + 2 * n);
}

/* ---- registers ---- */

static void test_presence(void **state)
{
    PciDevice *d = pci_bus_find(pci, PCI_DEVFN(1, 1));

    assert_int_equal(pci_config_read(d, 0, 4), 0x70108086);
    assert_int_equal(pci_config_read(d, 8, 4) >> 8, 0x010180);
    assert_int_equal(pci_config_read(d, 0x20, 4), 0xc001);
    /* both drives hear a register; the absent slave has status 0 */
    out8(PRI + 6, 0xa0);
    out8(PRI + 2, 0x55);
    assert_int_equal(in8(PRI + 2), 0x55);
    assert_int_equal(in8(PRI + 7), ST_OK);
    out8(PRI + 6, 0xb0);
    assert_int_equal(in8(PRI + 7), 0);
    command(PRI, 0xec, 0, 0);
    out8(PRI + 6, 0xf0);
    out8(PRI + 7, 0xec); /* to nobody */
    /* the decode bit takes the ports away */
    pci_config_write(d, 0x41, 0, 1);
    assert_int_equal(in8(PRI + 7), 0xff);
    assert_int_equal(in8(SEC + 6) & 0xa0, 0xa0);
    pci_config_write(d, 0x41, 0x80, 1);
    assert_int_not_equal(in8(PRI + 6), 0xff);
}

static void test_signature(void **state)
{
    out8(PRI + 2, 9);
    out8(0x3f6, 4);
    assert_int_equal(alt(PRI), 0x80);
    out8(PRI + 3, 7); /* not heard */
    out8(0x3f6, 0);
    assert_int_equal(in8(PRI + 1), 1);
    assert_int_equal(in8(PRI + 2), 1);
    assert_int_equal(in8(PRI + 3), 1);
    assert_int_equal(in8(PRI + 4), 0);
    assert_int_equal(in8(PRI + 5), 0);
    no_irq(14);
    out8(0x376, 4);
    out8(0x376, 0);
    assert_int_equal(in8(SEC + 4), 0x14);
    assert_int_equal(in8(SEC + 5), 0xeb);
    assert_int_equal(in8(SEC + 7), 0);
    command(SEC, 0xec, 0, 0); /* IDENTIFY DEVICE of a packet device */
    assert_int_equal(alt(SEC) & 1, 1);
    assert_int_equal(in8(SEC + 1) & 4, 4);
    assert_int_equal(in8(SEC + 5), 0xeb);
    take_irq(15);
    command(PRI, 0x90, 0, 0);
    take_irq(14);
    assert_int_equal(in8(PRI + 1), 1);
    command(PRI, 0x08, 0, 0); /* DEVICE RESET is not for disks */
    assert_int_equal(in8(PRI + 1), 4);
    take_irq(14);
}

static void test_identify(void **state)
{
    uint8_t id[512];

    command(PRI, 0xec, 0, 0);
    take_irq(14);
    assert_int_equal(alt(PRI), ST_ASK);
    read_words(PRI, id, 512);
    no_irq(14);
    assert_int_equal(alt(PRI), ST_OK);
    assert_memory_equal(id + 54, "EQUMH RADDSI K ", 14);
    assert_memory_equal(id + 20, "MQ0000", 6);
    assert_int_equal(word(id, 1), 2048 / (16 * 63));
    assert_int_equal(word(id, 3), 16);
    assert_int_equal(word(id, 6), 63);
    assert_int_equal(ld_le32(id + 120), SECTORS);
    assert_int_equal(ld_le64(id + 200), SECTORS);
    assert_int_equal(word(id, 88) >> 8, 0x20);
    /* SET FEATURES, transfer mode MWDMA 2, shows there */
    out8(PRI + 1, 3);
    command(PRI, 0xef, 0, 0x22);
    take_irq(14);
    command(PRI, 0xec, 0, 0);
    take_irq(14);
    read_words(PRI, id, 512);
    assert_int_equal(word(id, 63), 0x0407);
    assert_int_equal(word(id, 88) >> 8, 0);
    out8(PRI + 1, 3);
    command(PRI, 0xef, 0, 0x23);
    assert_int_equal(in8(PRI + 1), 4);
    command(PRI, 0xff, 0, 0);
    assert_int_equal(alt(PRI) & 1, 1);
}

/* ---- PIO ---- */

static void test_pio_read(void **state)
{
    uint8_t buf[512];

    command(PRI, 0x20, 5, 3);
    assert_int_equal(alt(PRI), 0x80);
    no_irq(14);
    for (unsigned s = 5; s < 8; s++) {
        wait_idle(PRI);
        assert_int_equal(alt(PRI), ST_ASK);
        take_irq(14);
        read_words(PRI, buf, 512);
        assert_int_equal(buf[0], disk_byte(s, 0));
        assert_int_equal(buf[511], disk_byte(s, 511));
    }
    assert_int_equal(alt(PRI), ST_OK);
    no_irq(14);
    assert_int_equal(port_read(PRI, 2), 0); /* nothing more */
    /* 32-bit accesses, nIEN, a whole 256 sectors */
    out8(0x3f6, 2);
    command(PRI, 0x20, 0, 0);
    for (unsigned s = 0; s < 256; s++) {
        wait_idle(PRI);
        for (unsigned n = 0; n < 512; n += 4) {
            st_le32(buf + n, port_read(PRI, 4));
        }
        assert_int_equal(buf[9], disk_byte(s, 9));
    }
    assert_int_equal(alt(PRI), ST_OK);
    no_irq(14);
    in8(PRI + 7);
    out8(0x3f6, 0);
    /* beyond the end */
    command(PRI, 0x20, SECTORS - 1, 2);
    assert_int_equal(in8(PRI + 1), 0x10);
    take_irq(14);
    command48(PRI, 0x24, SECTORS, 1);
    assert_int_equal(in8(PRI + 1), 0x10);
}

static void test_chs(void **state)
{
    uint8_t buf[512];

    out8(PRI + 6, 0xa1); /* head 1 */
    out8(PRI + 2, 1);
    out8(PRI + 3, 2);
    out8(PRI + 4, 1);
    out8(PRI + 5, 0);
    out8(PRI + 7, 0x20);
    wait_idle(PRI);
    read_words(PRI, buf, 512);
    assert_int_equal(buf[0], disk_byte((1 * 16 + 1) * 63 + 1, 0));
    out8(PRI + 3, 0); /* there is no sector 0 */
    out8(PRI + 7, 0x20);
    assert_int_equal(in8(PRI + 1), 0x10);
    in8(PRI + 7);
    /* another translation: 4 heads, 17 sectors */
    out8(PRI + 6, 0xa3);
    out8(PRI + 2, 17);
    out8(PRI + 7, 0x91);
    out8(PRI + 6, 0xa2);
    out8(PRI + 2, 1);
    out8(PRI + 3, 17);
    out8(PRI + 4, 3);
    out8(PRI + 7, 0x20);
    wait_idle(PRI);
    read_words(PRI, buf, 512);
    assert_int_equal(buf[0], disk_byte((3 * 4 + 2) * 17 + 16, 0));
}

static void test_multiple(void **state)
{
    uint8_t buf[8192];

    command(PRI, 0xc4, 0, 4); /* not set yet */
    assert_int_equal(in8(PRI + 1), 4);
    command(PRI, 0xc6, 0, 3);
    assert_int_equal(in8(PRI + 1), 4);
    command(PRI, 0xc6, 0, 8);
    in8(PRI + 7);
    fake_lines[14].rises = 0;
    command48(PRI, 0x29, 100, 20);
    for (unsigned s = 100; s < 120; s += 8) {
        unsigned n = MIN(8u, 120 - s);

        wait_idle(PRI);
        take_irq(14);
        read_words(PRI, buf, n * 512);
        assert_int_equal(buf[n * 512 - 1], disk_byte(s + n - 1, 511));
    }
    no_irq(14);
    assert_int_equal(alt(PRI), ST_OK);
}

static void write_block(uint8_t fill, unsigned bytes)
{
    for (unsigned n = 0; n < bytes; n += 2) {
        port_write(PRI, fill | (uint32_t)(fill + 1) << 8, 2);
    }
}

static void test_pio_write(void **state)
{
    uint8_t buf[1024];

    command(PRI, 0x30, 50, 2);
    assert_int_equal(alt(PRI), ST_ASK);
    no_irq(14); /* none for the first block */
    write_block(0x11, 512);
    assert_int_equal(alt(PRI), 0x80);
    wait_idle(PRI);
    take_irq(14);
    write_block(0x22, 512);
    wait_idle(PRI);
    take_irq(14);
    assert_int_equal(alt(PRI), ST_OK);
    assert_int_equal(blk_pread(disk, 50 * 512, buf, 1024), 0);
    assert_int_equal(buf[0], 0x11);
    assert_int_equal(buf[1023], 0x23);
    /* write cache off: the end waits for a flush */
    out8(PRI + 1, 0x82);
    command(PRI, 0xef, 0, 0);
    wait_idle(PRI);
    take_irq(14);
    command(PRI, 0x30, 50, 1);
    write_block(0x33, 512);
    clock_step(100000);
    assert_int_equal(alt(PRI), 0x80);
    clock_step(100000);
    assert_int_equal(alt(PRI), ST_OK);
    take_irq(14);
    command(PRI, 0xe7, 0, 0);
    wait_idle(PRI);
    take_irq(14);
}

static void test_other_commands(void **state)
{
    uint8_t buf[512], sum = 0;

    command(PRI, 0x40, 0, 0);
    wait_idle(PRI);
    take_irq(14);
    command(PRI, 0xf8, 0, 0);
    assert_int_equal(in8(PRI + 3) | in8(PRI + 4) << 8, SECTORS - 1);
    take_irq(14);
    command(PRI, 0xe5, 0, 0);
    assert_int_equal(in8(PRI + 2), 0xff);
    take_irq(14);
    command(PRI, 0xe0, 0, 0);
    wait_idle(PRI);
    take_irq(14);
    command(PRI, 0xe5, 0, 0);
    assert_int_equal(in8(PRI + 2), 0);
    take_irq(14);
    /* SMART: status in place, data with a checksum, a log that is not there */
    out8(PRI + 1, 0xda);
    command(PRI, 0xb0, 0xc24f00, 0);
    assert_int_equal(in8(PRI + 4), 0x4f);
    assert_int_equal(in8(PRI + 5), 0xc2);
    take_irq(14);
    out8(PRI + 1, 0xd0);
    command(PRI, 0xb0, 0xc24f00, 1);
    take_irq(14);
    read_words(PRI, buf, 512);
    for (unsigned n = 0; n < 512; n++) {
        sum = (uint8_t)(sum + buf[n]);
    }
    assert_int_equal(sum, 0);
    out8(PRI + 1, 0xd0);
    command(PRI, 0xb0, 0, 1); /* without the signature */
    assert_int_equal(in8(PRI + 1), 4);
}

/* A reset in the middle: nothing comes later. */
static void test_reset_during_read(void **state)
{
    command(PRI, 0x20, 5, 3);
    out8(0x3f6, 4);
    out8(0x3f6, 0);
    clock_step(1000000);
    assert_int_equal(alt(PRI), ST_OK);
    no_irq(14);
}

/* ---- bus master ---- */

static void prd(unsigned n, uint32_t addr, uint32_t count, bool last)
{
    st_le32(ram_host() + 0x1000 + 8 * n, addr);
    st_le32(ram_host() + 0x1004 + 8 * n, count | (last ? 0x80000000u : 0));
}

static void bm_start(uint8_t dir)
{
    port_write(BM + 4, 0x1000, 4);
    out8(BM + 2, 0x06);
    out8(BM, dir);
    out8(BM, dir | 1);
}

static void test_dma_read(void **state)
{
    prd(0, 0x20000, 512, false);
    prd(1, 0x30000, 1024, true);
    command(PRI, 0xc8, 7, 3);
    bm_start(8);
    assert_int_equal(in8(BM + 2), 0x01);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2), 0x04); /* normal completion: all PRDs used */
    take_irq(14);
    assert_int_equal(alt(PRI), ST_OK);
    assert_int_equal(in8(BM), 9);
    out8(BM, 0);
    out8(BM + 2, 4);
    assert_int_equal(in8(BM + 2), 0);
    assert_int_equal(ram_host()[0x20000], disk_byte(7, 0));
    assert_int_equal(ram_host()[0x20200], 0);
    assert_int_equal(ram_host()[0x30000], disk_byte(8, 0));
    assert_int_equal(ram_host()[0x303ff], disk_byte(9, 511));
}

static void test_dma_write_larger_table(void **state)
{
    uint8_t buf[1024];

    memset(ram_host() + 0x40000, 0x77, 2048);
    prd(0, 0x40000, 0, true); /* 64 KiB */
    bm_start(0);              /* before the command */
    command48(PRI, 0x35, 20, 2);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2), 0x05); /* interrupt and active: the table was larger */
    take_irq(14);
    out8(BM, 0);
    assert_int_equal(in8(BM + 2), 0x04);
    assert_int_equal(blk_pread(disk, 20 * 512, buf, 1024), 0);
    assert_int_equal(buf[1023], 0x77);
}

/* A table that is too short: neither interrupt nor active; the rest goes on with a second table. */
static void test_dma_short_table(void **state)
{
    prd(0, 0x20000, 700, true);
    command(PRI, 0xc8, 7, 3);
    bm_start(8);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2), 0);
    no_irq(14);
    assert_int_equal(alt(PRI) & 0x89, 0x08);
    out8(BM, 0);
    prd(0, 0x30000, 2000, true);
    bm_start(8);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2), 0x05);
    take_irq(14);
    assert_int_equal(ram_host()[0x20000 + 699], disk_byte(8, 187));
    assert_int_equal(ram_host()[0x30000], disk_byte(8, 188));
    assert_int_equal(ram_host()[0x30000 + 1536 - 701], disk_byte(9, 511));
}

/* DATA SET MANAGEMENT: what is trimmed reads as zeros, what lies beside it stays; nonsense is refused. */
static void test_trim(void **state)
{
    uint8_t id[512], buf[512];

    command(PRI, 0xec, 0, 0);
    read_words(PRI, id, 512);
    take_irq(14);
    assert_int_equal(word(id, 169), 1);
    assert_int_equal(word(id, 105), 1);
    st_le64(ram_host() + 0x40000, 16 | 8ull << 48);
    st_le64(ram_host() + 0x40000 + 8, 100 | 0ull << 48); /* nothing */
    st_le64(ram_host() + 0x40000 + 504, (SECTORS - 8) | 8ull << 48);
    prd(0, 0x40000, 512, true);
    out8(PRI + 1, 1);
    command48(PRI, 0x06, 0, 1);
    bm_start(0);
    clock_step(1000000);
    take_irq(14);
    out8(BM, 0);
    out8(BM + 2, 4);
    assert_int_equal(alt(PRI), ST_OK);
    for (unsigned n = 14; n < 26; n++) {
        assert_int_equal(blk_pread(disk, n * 512, buf, 512), 0);
        assert_int_equal(buf[1], n >= 16 && n < 24 ? 0 : disk_byte(n, 1));
    }
    assert_int_equal(blk_pread(disk, (SECTORS - 1) * 512, buf, 512), 0);
    assert_int_equal(buf[1], 0);
    st_le64(ram_host() + 0x40000, (SECTORS - 8) | 9ull << 48); /* beyond the end */
    command48(PRI, 0x06, 0, 1);
    bm_start(0);
    clock_step(1000000);
    take_irq(14);
    assert_int_equal(alt(PRI) & 1, 1);
    assert_int_equal(in8(PRI + 1) & 0x10, 0x10);
    out8(BM, 0);
    out8(BM + 2, 6);
    out8(PRI + 1, 0); /* not TRIM */
    command48(PRI, 0x06, 0, 1);
    take_irq(14);
    assert_int_equal(in8(PRI + 1), 4);
}

/* Another size of the medium is the disk's at once. */
static void test_resize(void **state)
{
    machine_unlock();
    assert_true(blk_resize(disk, SECTORS * 1024, NULL));
    machine_lock();
    command48(PRI, 0x27, 0, 0); /* READ NATIVE MAX ADDRESS EXT */
    take_irq(14);
    assert_int_equal(in8(PRI + 3) | in8(PRI + 4) << 8, SECTORS * 2 - 1);
    command48(PRI, 0x24, SECTORS * 2 - 1, 1);
    wait_idle(PRI);
    assert_int_equal(alt(PRI), ST_ASK);
}

static void test_dma_errors(void **state)
{
    prd(0, 0xe0000000, 512, true); /* no memory there */
    command(PRI, 0xc8, 7, 1);
    bm_start(8);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2), 0x02);
    no_irq(14);
    out8(BM, 0);
    out8(BM + 2, 2);
    assert_int_equal(in8(BM + 2), 0);
    out8(0x3f6, 4);
    out8(0x3f6, 0);
    /* the table itself is nowhere */
    command(PRI, 0xc8, 7, 1);
    port_write(BM + 4, 0xfffffff0, 4);
    out8(BM, 9);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2), 0x02);
    out8(BM, 0);
    out8(0x3f6, 4);
    out8(0x3f6, 0);
    /* stopped while the disk reads */
    prd(0, 0x50000, 512, true);
    command(PRI, 0xc8, 7, 1);
    bm_start(8);
    out8(BM, 0);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2) & 7, 0);
    assert_int_equal(ram_host()[0x50000], 0);
    /* wrong direction: nothing moves */
    bm_start(0);
    clock_step(1000000);
    assert_int_equal(in8(BM + 2) & 7, 1);
    out8(BM, 0);
    /* bus mastering off, then on */
    pci_config_write(pci_bus_find(pci, PCI_DEVFN(1, 1)), PCI_COMMAND, PCI_CMD_IO, 2);
    bm_start(8);
    clock_step(1000000);
    no_irq(14);
    pci_config_write(pci_bus_find(pci, PCI_DEVFN(1, 1)), PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MASTER, 2);
    clock_step(1000000);
    take_irq(14);
    assert_int_equal(ram_host()[0x50000], disk_byte(7, 0));
}

/* Two-byte pieces, a table that fills its 64 KiB and wraps: bounded, and right as far as it goes. */
static void test_dma_hostile_table(void **state)
{
    for (unsigned n = 0; n < 8192; n++) {
        st_le32(ram_host() + 0x60000 + 8 * n, 0x20000 + 2 * (n & 0xff));
        st_le32(ram_host() + 0x60004 + 8 * n, 2);
    }
    command(PRI, 0xc8, 0, 64);
    port_write(BM + 4, 0x60000, 4);
    out8(BM, 9);
    clock_step(10000000);
    assert_int_equal(in8(BM + 2), 0x05);
    take_irq(14);
    assert_int_equal(ram_host()[0x20000], disk_byte(63, 0));
}

/* ---- ATAPI ---- */

static void packet(const uint8_t *cdb, uint16_t limit, bool dma)
{
    out8(SEC + 6, 0xa0);
    out8(SEC + 1, dma);
    out8(SEC + 4, (uint8_t)limit);
    out8(SEC + 5, (uint8_t)(limit >> 8));
    out8(SEC + 7, 0xa0);
    assert_int_equal(alt(SEC) & 0x88, 0x08);
    assert_int_equal(in8(SEC + 2), 1);
    for (unsigned n = 0; n < 12; n += 2) {
        port_write(SEC, ld_le16(cdb + n), 2);
    }
}

/* fetch - all blocks of a PIO reply; bytes. Each block and the end has its interrupt. */
static unsigned fetch(uint8_t *buf, unsigned *blocks)
{
    unsigned total = 0;

    *blocks = 0;
    for (;;) {
        unsigned n;

        wait_idle(SEC);
        if (!(alt(SEC) & 0x08)) {
            break;
        }
        assert_int_equal(in8(SEC + 2), 2);
        n = in8(SEC + 4) | (unsigned)in8(SEC + 5) << 8;
        take_irq(15);
        read_words(SEC, buf + total, n);
        total += n;
        ++*blocks;
    }
    assert_int_equal(in8(SEC + 2), 3);
    take_irq(15);
    return total;
}

static unsigned ask(const uint8_t *cdb, uint8_t *buf)
{
    unsigned blocks;

    packet(cdb, 0xfffe, false);
    return fetch(buf, &blocks);
}

/* sense - key, asc and ascq as REQUEST SENSE gives them. */
static uint32_t sense(void)
{
    static const uint8_t cdb[12] = { 0x03, 0, 0, 0, 18 };
    uint8_t buf[64];

    assert_int_equal(ask(cdb, buf), 18);
    return (uint32_t)buf[2] << 16 | (uint32_t)buf[12] << 8 | buf[13];
}

static void unit_ready(uint32_t want)
{
    static const uint8_t cdb[12] = { 0 };
    uint8_t buf[64];

    ask(cdb, buf);
    assert_int_equal(alt(SEC) & 1, want != 0);
    if (want != 0) {
        assert_int_equal(in8(SEC + 1) >> 4, want >> 16);
    }
    assert_int_equal(sense(), want);
}

static void test_inquiry(void **state)
{
    static const uint8_t inquiry[12] = { 0x12, 0, 0, 0, 36 }, bad[12] = { 0xff };
    uint8_t buf[512];

    assert_int_equal(ask(inquiry, buf), 36);
    assert_int_equal(buf[0], 5);
    assert_memory_equal(buf + 8, "QEMU    QEMU DVD-ROM    2.5+", 28);
    ask(bad, buf);
    assert_int_equal(sense(), 0x052000);
    assert_int_equal(sense(), 0); /* once */
    command(SEC, 0xa1, 0, 0);
    take_irq(15);
    read_words(SEC, buf, 512);
    assert_int_equal(word(buf, 0), 0x8580);
}

static void test_cd_pio(void **state)
{
    static const uint8_t capacity[12] = { 0x25 };
    static const uint8_t read10[12] = { 0x28, 0, 0, 0, 0, 10, 0, 0, 5 };
    static const uint8_t read12[12] = { 0xa8, 0, 0, 0, 0, 10, 0, 0, 0, 2 };
    static const uint8_t end[12] = { 0x28, 0, 0, 0, 1, 0x2b, 0, 0, 2 };
    uint8_t buf[5 * 2048];
    unsigned blocks;

    assert_int_equal(ask(capacity, buf), 8);
    assert_int_equal(buf[2] << 8 | buf[3], CD_BLOCKS - 1);
    assert_int_equal(buf[6], 8);
    packet(read10, 4096, false); /* two sectors a block */
    assert_int_equal(fetch(buf, &blocks), 5 * 2048);
    assert_int_equal(blocks, 3);
    assert_int_equal(buf[0], (uint8_t)(10 * 7));
    assert_int_equal(buf[5 * 2048 - 1], (uint8_t)(14 * 7 + 2047));
    packet(read12, 1001, false); /* odd: one less */
    assert_int_equal(fetch(buf, &blocks), 2 * 2048);
    assert_int_equal(blocks, 6);
    packet(read12, 0, false); /* no room for data: aborted */
    assert_int_equal(alt(SEC) & 1, 1);
    assert_int_equal(in8(SEC + 1), 4);
    in8(SEC + 7);
    fake_lines[15].rises = 0;
    packet(end, 0xfffe, false);
    assert_int_equal(fetch(buf, &blocks), 0);
    assert_int_equal(sense(), 0x052100);
}

static void test_cd_dma(void **state)
{
    static const uint8_t read10[12] = { 0x28, 0, 0, 0, 0, 20, 0, 0, 2 };
    static const uint8_t capacity[12] = { 0x25 };

    prd(0, 0x20000, 4096, true);
    packet(read10, 0, true);
    no_irq(15);
    port_write(BM + 12, 0x1000, 4);
    out8(BM + 8, 9);
    clock_step(1000000);
    assert_int_equal(in8(BM + 10), 0x04);
    assert_int_equal(in8(SEC + 2), 3);
    take_irq(15);
    assert_int_equal(ram_host()[0x20000], (uint8_t)(20 * 7));
    assert_int_equal(ram_host()[0x20fff], (uint8_t)(21 * 7 + 2047));
    out8(BM + 8, 0);
    /* a reply that is not on the disc */
    prd(0, 0x30000, 8, true);
    packet(capacity, 0, true);
    out8(BM + 10, 4);
    out8(BM + 8, 9);
    clock_step(1000000);
    assert_int_equal(in8(BM + 10), 0x04);
    take_irq(15);
    assert_int_equal(ram_host()[0x30006], 8);
}

static void test_toc(void **state)
{
    static const uint8_t toc[12] = { 0x43, 2, 0, 0, 0, 0, 0, 0x10, 0 };
    static const uint8_t session[12] = { 0x43, 0, 1, 0, 0, 0, 0, 0x10, 0 };
    static const uint8_t full[12] = { 0x43, 2, 2, 0, 0, 0, 1, 0x10, 0 };
    static const uint8_t none[12] = { 0x43, 0, 0, 0, 0, 0, 2, 0x10, 0 };
    static const uint8_t mode[12] = { 0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0 };
    static const uint8_t all[12] = { 0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0 };
    static const uint8_t config[12] = { 0x46, 0, 0, 0, 0, 0, 0, 1, 0 };
    static const uint8_t info[12] = { 0x51, 0, 0, 0, 0, 0, 0, 1, 0 };
    uint8_t buf[512];
    unsigned n;

    assert_int_equal(ask(toc, buf), 20);
    assert_true(buf[9] == 0 && buf[10] == 2 && buf[11] == 0); /* 00:02:00 */
    assert_true(buf[14] == 0xaa && buf[17] == 0 && buf[18] == 6 && buf[19] == 0); /* 450 frames */
    assert_int_equal(ask(session, buf), 12);
    assert_int_equal(ask(full, buf), 48);
    assert_int_equal(buf[7], 0xa0);
    ask(none, buf);
    assert_int_equal(sense(), 0x052400);
    assert_int_equal(ask(mode, buf), 28);
    assert_int_equal(buf[8], 0x2a);
    assert_int_equal(ask(all, buf), 8 + 8 + 16 + 20);
    n = ask(config, buf);
    assert_int_equal(n, (buf[2] << 8 | buf[3]) + 4);
    assert_int_equal(buf[7], 8);
    assert_int_equal(ask(info, buf), 34);
}

/* What a guest sees of a disc that the user changes. */
static void test_media_change(void **state)
{
    static const uint8_t lock[12] = { 0x1e, 0, 0, 0, 1 }, unlock[12] = { 0x1e };
    static const uint8_t event[12] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 };
    static const uint8_t eject[12] = { 0x1b, 0, 0, 0, 2 }, load[12] = { 0x1b, 0, 0, 0, 3 };
    uint8_t buf[64];
    Error *err = NULL;

    unit_ready(0);
    assert_true(blk_eject(disc, false, NULL));
    unit_ready(0x023a02);
    assert_true(blk_change(disc, disc_path, "raw", true, false, NULL));
    unit_ready(0x023a02);
    unit_ready(0x062800);
    unit_ready(0);
    assert_true(blk_change(disc, disc_path, "raw", true, false, NULL));
    ask(event, buf);
    assert_int_equal(buf[4], 2); /* new media */
    assert_int_equal(buf[5], 2);
    unit_ready(0x062800); /* who asked for events is told once more, not twice */
    unit_ready(0);
    /* the guest holds the tray; the button shows as an event */
    ask(lock, buf);
    assert_false(blk_change(disc, disc_path, "raw", true, false, &err));
    expect_error(&err, "is locked");
    ask(event, buf);
    assert_int_equal(buf[4], 1); /* eject request */
    unit_ready(0);
    ask(eject, buf);
    assert_int_equal(sense(), 0x055302);
    ask(unlock, buf);
    ask(eject, buf);
    unit_ready(0x023a02);
    assert_true(blk_present(disc)); /* it lies in the open tray */
    ask(load, buf);
    unit_ready(0x062800);
    unit_ready(0);
    ask(lock, buf);
    assert_true(blk_change(disc, disc_path, "raw", true, true, NULL));
    unit_ready(0x023a02);
    unit_ready(0x062800);
    unit_ready(0);
}

/* ---- saved state ---- */

/* In the middle of a PIO read and with a lock on the tray; then on from there. */
static void test_saved_state(void **state)
{
    static const uint8_t lock[12] = { 0x1e, 0, 0, 0, 1 };
    StateBuf b = { 0 };
    uint8_t buf[512];
    Error *err = NULL;
    BlockInfo info;

    ask(lock, buf);
    command(PRI, 0x20, 5, 3);
    wait_idle(PRI);
    take_irq(14);
    read_words(PRI, buf, 100);
    port_write(BM + 4, 0x1230, 4);
    devices_save(&b);
    devices_reset();
    piix3_ide_firmware(ide);
    b.pos = 0;
    if (!devices_load(&b, &err)) {
        print_error("%s\n", error_text(err));
        fail();
    }
    read_words(PRI, buf + 100, 412);
    assert_int_equal(buf[100], disk_byte(5, 100));
    assert_int_equal(buf[511], disk_byte(5, 511));
    take_irq(14);
    read_words(PRI, buf, 512);
    assert_int_equal(buf[0], disk_byte(6, 0));
    assert_int_equal(port_read(BM + 4, 4), 0x1230);
    blk_info(disc, &info);
    assert_true(info.locked);
    state_buf_free(&b);
}

/* ---- properties ---- */

static void refuse(const char *driver, const char *name, const char *value, const char *drive,
                   const char *why)
{
    Device *dev = fake_device(device_class_find(driver));
    Error *err = NULL;

    if (drive != NULL) {
        assert_true(device_set(dev, "drive", drive, NULL));
    }
    assert_true(name == NULL || device_set(dev, name, value, NULL));
    assert_false(device_realize(dev, &err));
    expect_error(&err, why);
    device_free(dev);
}

static void test_properties(void **state)
{
    char more[] = "/tmp/doppel-ide-XXXXXX"; /* the first disk's file is locked */
    BlockParams p = { .name = "more", .file = more, .format = "raw", .serial = "abc" };
    int fd = mkstemp(more);
    IdeGeometry g;

    assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0 && close(fd) == 0);
    assert_non_null(blk_new(&p, NULL));
    unlink(more);
    refuse("ide-hd", NULL, NULL, NULL, "No drive specified");
    refuse("ide-hd", NULL, NULL, "disk", "already in use");
    refuse("ide-hd", "unit", "2", "more", "Can't create IDE unit 2");
    refuse("ide-hd", "bus", "ide.7", "more", "Bus 'ide.7' not found");
    refuse("ide-hd", "bios-chs-trans", "x", "more", "bios-chs-trans=x");
    refuse("ide-hd", "heads", "17", "more", "heads=17");
    refuse("ide-hd", "serial", "123456789012345678901", "more", "more than 20");
    assert_true(ide_geometry(hd, &g));
    assert_int_equal(g.place, 0);
    assert_int_equal(g.translation, 0);
    assert_false(ide_geometry(cd, &g));
    assert_true(ide_geometry(plug("ide-hd", "more", "ide.1"), &g));
    assert_int_equal(g.place, 3);
}

/* A channel on the ISA bus: a disk is read by the processor; nothing moves its data otherwise. */
static void test_isa_channel(void **state)
{
    enum { BASE = 0x1e8, CONTROL = 0x3ee, IRQ = 11 };
    Device *isa = fake_device(&isa_ide_class), *second = fake_device(&isa_ide_class);
    uint8_t sector[512];

    device_free(hd);
    assert_false(device_realize(second, NULL)); /* the PIIX3's ports */
    device_free(second);
    assert_true(device_set(isa, "iobase", "0x1e8", NULL) && device_set(isa, "iobase2", "0x3ee", NULL) &&
                device_set(isa, "irq", "11", NULL));
    fake_realize(isa);
    hd = plug("ide-hd", "disk", "ide.2");
    assert_int_equal(in8(CONTROL), ST_OK);
    command(BASE, 0x20, 5, 1);
    for (unsigned n = 0; n < 100 && fake_lines[IRQ].level == 0; n++) {
        clock_step(50000);
    }
    assert_int_equal(fake_lines[IRQ].level, 1);
    assert_int_equal(in8(BASE + 7), ST_ASK);
    assert_int_equal(fake_lines[IRQ].level, 0);
    read_words(BASE, sector, sizeof(sector));
    for (unsigned n = 0; n < sizeof(sector); n++) {
        assert_int_equal(sector[n], disk_byte(5, n));
    }
    command(BASE, 0xc8, 5, 1); /* READ DMA: there is no bus master */
    assert_int_equal(in8(CONTROL), 0x51);
    assert_int_equal(in8(BASE + 1), 0x04);
    out8(CONTROL, 0x02); /* nIEN */
    assert_int_equal(fake_lines[IRQ].level, 0);
    assert_int_equal(fake_lines[14].rises, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_presence), T(test_signature), T(test_identify), T(test_pio_read), T(test_chs),
        T(test_multiple), T(test_pio_write), T(test_other_commands), T(test_reset_during_read),
        T(test_dma_read), T(test_dma_write_larger_table), T(test_dma_short_table),
        T(test_dma_errors), T(test_trim), T(test_resize), T(test_dma_hostile_table), T(test_inquiry), T(test_cd_pio),
        T(test_cd_dma), T(test_toc), T(test_media_change), T(test_saved_state),
        T(test_properties), T(test_isa_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
