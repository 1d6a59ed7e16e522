/*
 * The SMBus hosts of ICH9 and PIIX4 and the modules' EEPROMs behind them, as drivers use them; what the EEPROMs say against
 * JEDEC 21-C, annex J, and the board's memory.
 */
#include "tests/device/fake.h"

#include "base/mem.h"
#include "bus/state.h"
#include "hw/pci/pci.h"
#include "hw/pci/piix4-pm.h"
#include "hw/smbus/smbus.h"

enum { BASE = 0x700, STS = BASE, CNT = BASE + 2, CMD = BASE + 3, ADD = BASE + 4, D0 = BASE + 5, D1 = BASE + 6, DATA = BASE + 7,
       AUX = BASE + 13 };
enum { QUICK = 0, BYTE = 1, BYTE_DATA = 2, WORD = 3, PROCESS = 4, BLOCK = 5, I2C = 6 };
enum { INTR = 2, DEV_ERR = 4, FAILED = 16, BYTE_DONE = 128, BUSY = 1, START = 0x40, LAST = 0x20, INTREN = 1 };
#define RAM (1536ull << 20) /* a module of 1 GiB, one of 512 MiB */

static PciBus *bus;
static Device *ich9, *piix4;
static unsigned pirq;

static void set_pirq(void *opaque, unsigned n, int level)
{
    pirq = (unsigned)level;
}

static int setup(void **state)
{
    fake_setup(state);
    bus = pci_bus_new(set_pirq, NULL);
    fake_board.pci = bus;
    pirq = 0;
    return 0;
}

static int setup_ich9(void **state)
{
    setup(state);
    ich9 = fake_device(&ich9_smb_class);
    ich9_smb_connect(ich9, bus);
    fake_realize(ich9);
    assert_true(smbus_eeproms(ich9_smb_host(ich9), &fake_board, RAM, NULL));
    PciDevice *d = pci_bus_find(bus, PCI_DEVFN(31, 3));
    assert_int_equal(pci_config_read(d, 0, 4), 0x29308086);
    pci_config_write(d, PCI_BAR0 + 16, BASE, 4);
    pci_config_write(d, PCI_COMMAND, PCI_CMD_IO, 2);
    pci_config_write(d, 0x40, 1, 1);
    return 0;
}

static int setup_piix4(void **state)
{
    setup(state);
    piix4 = fake_device(&piix4_pm_class);
    piix4_pm_connect(piix4, bus, fake_line(20), fake_line(9), fake_line(21));
    fake_realize(piix4);
    assert_true(smbus_eeproms(piix4_pm_smbus(piix4), &fake_board, RAM, NULL));
    PciDevice *d = pci_bus_find(bus, PCI_DEVFN(1, 3));
    pci_config_write(d, 0x90, BASE, 4);
    pci_config_write(d, 0xd2, 0x09, 1);
    return 0;
}

static int teardown(void **state)
{
    devices_free_all();
    pci_bus_free(bus);
    return 0;
}

/* go - a transaction with @address, read or written; how it ended. */
static uint8_t go(unsigned protocol, unsigned address, bool read, unsigned cmd)
{
    uint8_t sts;

    out8(STS, 0xff);
    out8(ADD, (uint8_t)(address << 1 | read));
    out8(CMD, (uint8_t)cmd);
    out8(CNT, (uint8_t)(START | protocol << 2));
    sts = in8(STS) & 0x9f;
    return sts;
}

static uint8_t byte(unsigned address, unsigned at)
{
    assert_int_equal(go(BYTE_DATA, address, true, at), INTR);
    return in8(D0);
}

/* module - the bytes that a module says it has. Byte 31 in the order of annex J: bit 7 is 512 MiB. */
static uint64_t module(unsigned address)
{
    static const unsigned mib[8] = { 1024, 2048, 4096, 8192, 16384, 128, 256, 512 };
    unsigned density = byte(address, 31), ranks = (byte(address, 5) & 7) + 1, n = 0, sum = 0;
    unsigned rows = byte(address, 3), columns = byte(address, 4), banks = byte(address, 17);

    for (unsigned i = 0; i < 63; i++) {
        sum += byte(address, i);
    }
    assert_int_equal(byte(address, 63), sum & 0xff);
    if (density == 0) {
        return 0;
    }
    assert_int_equal(byte(address, 2), 8); /* DDR2 */
    while (!(density >> n & 1)) {
        n++;
    }
    assert_int_equal(density, 1u << n);
    assert_int_equal((uint64_t)banks << (rows + columns + 3), (uint64_t)mib[n] << 20); /* 8 bytes wide */
    return (uint64_t)ranks * mib[n] << 20;
}

static void test_spd(void **state)
{
    assert_int_equal(module(0x50), 1024ull << 20);
    assert_int_equal(module(0x51), 512ull << 20);
    for (unsigned n = 0x52; n < 0x58; n++) {
        assert_int_equal(module(n), 0);
    }
}

static void test_spd_sizes(void **state)
{
    static const unsigned modules[][2] = { { 127, 0 }, { 128, 1 }, { 4096, 1 }, { 6144, 2 }, { 32768, 8 }, { 65536, 8 } };
    uint8_t spd[SPD_SIZE];

    for (unsigned i = 0; i < ARRAY_SIZE(modules); i++) {
        for (unsigned n = 0; n < SPD_MODULES; n++) {
            spd_make(spd, (uint64_t)modules[i][0] << 20, n);
            assert_int_equal(spd[2] != 0, n < modules[i][1]);
        }
    }
}

static void test_protocols(void **state)
{
    assert_int_equal(go(QUICK, 0x50, false, 0), INTR);
    assert_int_equal(go(QUICK, 0x30, false, 0), DEV_ERR);
    assert_int_equal(go(BYTE_DATA, 0x58, true, 0), DEV_ERR);
    assert_int_equal(go(BYTE, 0x50, false, 2), INTR); /* the place for what follows */
    assert_int_equal(go(BYTE, 0x50, true, 99), INTR);
    assert_int_equal(in8(D0), 8);
    assert_int_equal(go(BYTE, 0x50, true, 99), INTR);
    assert_int_equal(in8(D0), 14); /* rows: the next one */
    assert_int_equal(go(WORD, 0x51, true, 0), INTR);
    assert_int_equal(in8(D0) | in8(D1) << 8, 0x0880);
    out8(D0, 0x55);
    assert_int_equal(go(BYTE_DATA, 0x50, false, 2), INTR); /* write-protected */
    assert_int_equal(byte(0x50, 2), 8);
    assert_int_equal(go(7, 0x50, true, 0), DEV_ERR);
    out8(CNT, START | BYTE_DATA << 2); /* the end was not taken note of */
    assert_int_equal(in8(STS) & 0x1f, DEV_ERR);
}

static void test_buffer(void **state)
{
    out8(AUX, 2);
    /* byte 4 is 10: that many follow, as the SMBus has it */
    assert_int_equal(go(BLOCK, 0x50, true, 4), INTR);
    assert_int_equal(in8(D0), 10);
    in8(CNT);
    assert_int_equal(in8(DATA), 0x60); /* byte 5 */
    assert_int_equal(in8(DATA), 64);
    assert_int_equal(go(BLOCK, 0x50, true, 0), DEV_ERR); /* 128 is too many */
    out8(D0, 33);
    assert_int_equal(go(BLOCK, 0x50, false, 0), DEV_ERR);
    in8(CNT);
    for (unsigned n = 0; n < 40; n++) { /* it goes round */
        out8(DATA, (uint8_t)n);
    }
    assert_int_equal(in8(DATA), 8);
}

/* What i2c-i801 does to read bytes 0 to @len - 1. */
static void i2c_read(unsigned len)
{
    out8(STS, 0xff);
    out8(ADD, 0x50 << 1 | 1);
    out8(D1, 0);
    out8(CNT, (uint8_t)(INTREN | START | I2C << 2 | (len == 1 ? LAST : 0)));
    for (unsigned n = 0; n < len; n++) {
        assert_int_equal(in8(STS) & 0x9f, BYTE_DONE | BUSY);
        assert_int_equal(pirq, 1);
        assert_int_equal(in8(DATA), n == 0 ? 128 : n <= 2 ? 8 : n == 3 ? 14 : 10);
        if (n + 2 == len) {
            out8(CNT, INTREN | I2C << 2 | LAST);
        }
        out8(STS, BYTE_DONE);
    }
    assert_int_equal(in8(STS) & 0x9f, INTR);
    assert_int_equal(pirq, 1);
    out8(STS, INTR);
    assert_int_equal(pirq, 0);
}

static void test_byte_by_byte(void **state)
{
    i2c_read(1);
    i2c_read(5);
    assert_int_equal(go(BLOCK, 0x50, true, 4), BYTE_DONE | BUSY);
    assert_int_equal(in8(D0), 10);
    for (unsigned n = 0; n < 10; n++) {
        assert_int_equal(in8(STS) & BYTE_DONE, BYTE_DONE);
        out8(STS, BYTE_DONE);
    }
    assert_int_equal(in8(STS) & 0x9f, INTR);
    out8(D0, 2);
    assert_int_equal(go(BLOCK, 0x50, false, 0), BYTE_DONE | BUSY);
    out8(CNT, 2); /* KILL */
    assert_int_equal(in8(STS) & 0x1f, FAILED);
    assert_int_equal(go(BYTE, 0x50, true, 0), INTR);
}

static void test_semaphore_and_enable(void **state)
{
    PciDevice *d = pci_bus_find(bus, PCI_DEVFN(31, 3));

    out8(STS, 0x40);
    assert_int_equal(in8(STS) & 0x40, 0);
    assert_int_equal(in8(STS) & 0x40, 0x40);
    pci_config_write(d, 0x40, 0, 1);
    assert_int_equal(go(QUICK, 0x50, false, 0), 0);
    pci_config_write(d, 0x40, 9, 1); /* SSRESET */
    assert_int_equal(pci_config_read(d, 0x40, 1), 1);
    assert_int_equal(in8(CMD), 0);
}

static void test_state(void **state)
{
    StateBuf b = { 0 };

    assert_int_equal(go(BLOCK, 0x50, true, 4), BYTE_DONE | BUSY);
    out8(STS, BYTE_DONE);
    devices_save(&b);
    devices_reset();
    assert_int_equal(in8(STS), 0xff); /* its BAR is gone */
    b.pos = 0;
    assert_true(devices_load(&b, NULL));
    state_buf_free(&b);
    assert_int_equal(in8(DATA), 64); /* byte 6 */
    for (unsigned n = 1; n < 10; n++) {
        assert_int_equal(in8(STS) & 0x9f, BYTE_DONE | BUSY);
        out8(STS, BYTE_DONE);
    }
    assert_int_equal(in8(STS) & 0x9f, INTR);
}

static void test_piix4(void **state)
{
    PciDevice *d = pci_bus_find(bus, PCI_DEVFN(1, 3));

    assert_int_equal(module(0x50), 1024ull << 20);
    assert_int_equal(go(BLOCK, 0x50, true, 4), INTR); /* always by the buffer */
    assert_int_equal(in8(D0), 10);
    assert_int_equal(go(PROCESS, 0x50, false, 4), DEV_ERR);
    assert_int_equal(go(I2C, 0x50, true, 4), DEV_ERR);
    assert_int_equal(in8(STS) & 0x40, 0);
    assert_int_equal(fake_lines[9].level, 0);
    out8(STS, 0xff);
    out8(CNT, START | BYTE << 2 | INTREN);
    assert_int_equal(fake_lines[9].level, 1);
    out8(STS, INTR);
    assert_int_equal(fake_lines[9].level, 0);
    pci_config_write(d, 0xd2, 0x08, 1); /* not enabled */
    assert_int_equal(in8(STS), 0xff);
    pci_config_write(d, 0xd2, 0x09, 1);
    assert_int_equal(go(QUICK, 0x50, false, 0), INTR);
}

#define ICH9(f) cmocka_unit_test_setup_teardown(f, setup_ich9, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ICH9(test_spd), cmocka_unit_test(test_spd_sizes), ICH9(test_protocols), ICH9(test_buffer), ICH9(test_byte_by_byte),
        ICH9(test_semaphore_and_enable), ICH9(test_state), cmocka_unit_test_setup_teardown(test_piix4, setup_piix4, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
