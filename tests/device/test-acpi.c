/*
 * The ACPI tables: structure and checksums; and iasl's opinion of the DSDT, where it is installed.
 */
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>
#include "hw/acpi/acpi.h"
#include "hw/acpi/numa.h"

#define BASE 0x1fff0000u
#define VMGENID_BASE 0x12345000u

static const uint32_t ids[3] = { 0, 1, 300 };
static const uint8_t user_table[40] = "ABCD\50\0\0\0\1\xffUSERS TABLE", slic[36] = "SLIC\44\0\0\0\1\0OEMID1OEMTABL1";
static const AcpiTable user[] = { { user_table, sizeof(user_table) }, { slic, sizeof(slic) } };
static const uint32_t cpu_node[3] = { 1, 0, 300 };
static const NumaRange ranges[2] = { { 0, 0xa0000, 0 }, { 0x100000000, 0x40000000, 300 } };
static const uint8_t distance[4] = { 10, 30, 31, 10 };
static const NumaMap numa = { 2, cpu_node, ranges, 2, distance };
static const AcpiConfig config = {
    .cpus = 3, .apic_ids = ids, .pci_first = 0xe0000000, .pci_last = 0xfebfffff,
    .pci64_first = 0x100000000, .pci64_last = 0x1ffffffff, .pirq = { 10, 10, 11, 11 },
    .hpet = true, .kbd = true, .serial = { { 0x3f8, 4 }, { 0x2f8, 3 } }, .parallel = { { 0x378, 7 } }, .floppy = true,
    .pvpanic = 0x505, .vmgenid = true, .vmgenid_base = VMGENID_BASE, .user = user, .user_count = 2, .numa = &numa,
    .pm_base = 0x600, .gpe_base = 0xafe0, .hotplug_slots = 0xfffffff8, .acpi_enable = 0xf1, .acpi_disable = 0xf0,
};

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;

    while (n-- > 0) {
        s += *p++;
    }
    return s;
}

/* table - the one at guest address @at, checked. */
static const uint8_t *table(const uint8_t *block, size_t len, uint32_t at, const char *signature)
{
    const uint8_t *t;

    assert_in_range(at, BASE, BASE + len - 36);
    t = block + (at - BASE);
    assert_memory_equal(t, signature, 4);
    assert_in_range(ld_le32(t + 4), 36, len - (at - BASE));
    assert_int_equal(sum(t, ld_le32(t + 4)), 0);
    return t;
}

static void test_structure(void **state)
{
    AcpiTables t;
    const uint8_t *block, *rsdp = t.rsdp;
    size_t len;
    const uint8_t *rsdt, *xsdt, *fadt, *madt, *p;
    unsigned lapics = 0, x2apics = 0, overrides = 0;

    acpi_build(&t, &config, 0);
    len = t.len;
    acpi_free(&t);
    acpi_build(&t, &config, BASE);
    assert_int_equal(len, t.len); /* does not depend on the address */
    block = t.data;
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    rsdt = table(block, len, ld_le32(rsdp + 16), "RSDT");
    xsdt = table(block, len, (uint32_t)ld_le64(rsdp + 24), "XSDT");
    assert_int_equal(ld_le32(rsdt + 4), 36 + 7 * 4);
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(ld_le32(rsdt + 36 + 4 * i), ld_le64(xsdt + 36 + 8 * i));
    }
    fadt = table(block, len, ld_le32(rsdt + 36), "FACP");
    assert_int_equal(ld_le32(fadt + 4), 244);
    table(block, len, ld_le32(fadt + 40), "DSDT");
    assert_memory_equal(block + (ld_le32(fadt + 36) - BASE), "FACS", 4);
    assert_int_equal(ld_le32(fadt + 36) % 64, 0);
    assert_int_equal(ld_le32(fadt + 56), 0x600);
    assert_int_equal(ld_le64(fadt + 120), 0xcf9);
    madt = table(block, len, ld_le32(rsdt + 40), "APIC");
    for (p = madt + 44; p < madt + ld_le32(madt + 4); p += p[1]) {
        lapics += p[0] == 0;
        overrides += p[0] == 2;
        x2apics += p[0] == 9;
    }
    assert_ptr_equal(p, madt + ld_le32(madt + 4));
    assert_int_equal(lapics, 2);
    assert_int_equal(x2apics, 1);
    assert_int_equal(overrides, 2);
    table(block, len, ld_le32(rsdt + 44), "HPET");
    p = table(block, len, ld_le32(rsdt + 48), "SRAT");
    assert_int_equal(ld_le32(p + 4), 36 + 12 + 2 * 16 + 24 + 2 * 40);
    assert_int_equal(ld_le32(p + 36), 1);
    assert_memory_equal(p + 48, "\0\20\1\0\1\0\0\0\0\0\0\0\0\0\0\0", 16); /* local APIC 0, node 1, enabled */
    assert_memory_equal(p + 80, "\2\30\0\0\54\1\0\0\54\1\0\0\1\0\0\0", 16); /* x2APIC 300, node 300 */
    assert_memory_equal(p + 104, "\1\50\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\12\0", 20);
    assert_int_equal(ld_le32(p + 146), 300);
    assert_int_equal(ld_le64(p + 152), 0x100000000);
    assert_int_equal(ld_le64(p + 160), 0x40000000);
    assert_int_equal(ld_le32(p + 172), 1);
    p = table(block, len, ld_le32(rsdt + 52), "SLIT");
    assert_int_equal(ld_le64(p + 36), 2);
    assert_memory_equal(p + 44, distance, 4);
    p = table(block, len, ld_le32(rsdt + 56), "ABCD");
    assert_int_equal(ld_le32(p + 4), sizeof(user_table));
    assert_memory_equal(p + 10, user_table + 10, sizeof(user_table) - 10);
    assert_memory_equal(table(block, len, ld_le32(rsdt + 60), "SLIC") + 10, "OEMID1OEMTABL1", 14);
    assert_memory_equal(rsdt + 10, "OEMID1OEMTABL1", 14); /* Windows compares them */
    assert_memory_equal(fadt + 10, "OEMID1OEMTABL1", 14);
    assert_int_equal(block[t.vmgenid - 1], 0x0c); /* DWordPrefix */
    assert_int_equal(ld_le32(block + t.vmgenid), VMGENID_BASE);
    acpi_free(&t);
}

/* What firmware does with the script: tables built for 0 and linked by it are those built for BASE. @over: a sum is
 * put over what the field holds (OVMF); else corrected by it (SeaBIOS). */
static void load(bool over)
{
    AcpiConfig unplaced = config;
    AcpiTables t, want;
    uint8_t *script, *rsdp;
    size_t len;
    unsigned allocated = 0, written = 0;

    unplaced.vmgenid_base = 0;
    acpi_build(&t, &unplaced, 0);
    acpi_build(&want, &config, BASE);
    acpi_clear_sums(&t);
    rsdp = t.rsdp;
    script = acpi_loader(&t, &len);
    assert_int_equal(len % 128, 0);
    for (const uint8_t *e = script; e < script + len; e += 128) {
        bool of_rsdp = strcmp((const char *)e + 4, "etc/acpi/rsdp") == 0;
        uint8_t *file = of_rsdp ? rsdp : t.data;
        size_t file_len = of_rsdp ? ACPI_RSDP_SIZE : t.len;
        uint32_t at;

        if (strcmp((const char *)e + 4, "etc/vmgenid_guid") == 0) { /* a page of its own */
            assert_int_equal(ld_le32(e), 1);
            assert_int_equal(ld_le32(e + 60), 4096);
            allocated++;
            continue;
        }
        if (strcmp((const char *)e + 4, "etc/vmgenid_addr") == 0) { /* whose address the device is told */
            assert_int_equal(ld_le32(e), 4);
            assert_string_equal((const char *)e + 60, "etc/vmgenid_guid");
            assert_memory_equal(e + 116, "\0\0\0\0\0\0\0\0\10", 9);
            written++;
            continue;
        }
        assert_true(of_rsdp || strcmp((const char *)e + 4, "etc/acpi/tables") == 0);
        switch (ld_le32(e)) {
        case 1:
            assert_int_equal(BASE % ld_le32(e + 60), 0);
            assert_int_equal(e[64], of_rsdp ? 2 : 1); /* FSEG; anywhere high */
            allocated++;
            break;
        case 2:
            at = ld_le32(e + 116);
            if (strcmp((const char *)e + 60, "etc/vmgenid_guid") == 0) {
                assert_int_equal(at, t.vmgenid);
                st_le32(file + at, ld_le32(file + at) + VMGENID_BASE);
                break;
            }
            assert_string_equal((const char *)e + 60, "etc/acpi/tables");
            assert_in_range(at, 0, file_len - e[120]);
            if (e[120] == 8) {
                st_le64(file + at, ld_le64(file + at) + BASE);
            } else {
                assert_int_equal(e[120], 4);
                st_le32(file + at, ld_le32(file + at) + BASE);
            }
            break;
        case 3:
            assert_in_range(ld_le32(e + 64) + ld_le32(e + 68), 1, file_len);
            at = ld_le32(e + 60);
            file[at] = (uint8_t)((over ? 0 : file[at]) - sum(file + ld_le32(e + 64), ld_le32(e + 68)));
            break;
        default:
            fail_msg("command %u", ld_le32(e));
        }
    }
    assert_int_equal(allocated, 3);
    assert_int_equal(written, 1);
    assert_memory_equal(rsdp, want.rsdp, ACPI_RSDP_SIZE);
    assert_int_equal(t.len, want.len);
    assert_memory_equal(t.data, want.data, want.len);
    free(script);
    acpi_free(&t);
    acpi_free(&want);
}

static void test_loader(void **state)
{
    load(false);
    load(true);
}

static void test_iasl(void **state)
{
    AcpiTables t;
    const uint8_t *rsdt, *fadt, *dsdt;
    char dir[] = "/tmp/doppel-acpi.XXXXXX", cmd[400];
    FILE *f;
    int rc;

    if (system("command -v iasl >/dev/null 2>&1") != 0) {
        SKIP_TEST("iasl (package acpica-tools) is not installed");
    }
    acpi_build(&t, &config, BASE);
    rsdt = table(t.data, t.len, ld_le32(t.rsdp + 16), "RSDT");
    fadt = table(t.data, t.len, ld_le32(rsdt + 36), "FACP");
    dsdt = table(t.data, t.len, ld_le32(fadt + 40), "DSDT");
    assert_non_null(mkdtemp(dir));
    snprintf(cmd, sizeof(cmd), "%s/dsdt.aml", dir);
    f = fopen(cmd, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(dsdt, 1, ld_le32(dsdt + 4), f), ld_le32(dsdt + 4));
    fclose(f);
    /* disassemble, and compile what came out: without an error or a warning, but for the form of vmgenid's name */
    snprintf(cmd, sizeof(cmd),
             "cd %s && iasl -d dsdt.aml >log 2>&1 && iasl -we -vw 6035 -p again dsdt.dsl >>log 2>&1 && "
             "! grep -q 'Could not parse\\|ACPI Error' log || { cat log; false; }", dir);
    rc = system(cmd);
    snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(rc, 0);
    acpi_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_loader), cmocka_unit_test(test_iasl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
