/*
 * The script by which firmware places ACPI tables in guest memory.
 *
 * Interface: the fw_cfg file "etc/table-loader", read alike by SeaBIOS (romfile_loader) and OVMF:
 * entries of 128 bytes, a command and its fields, names of files in 56 bytes. A pointer field
 * holds an offset into the file it points to, to which the file's address is added. A checksum is
 * corrected by what the range sums up to (SeaBIOS), or becomes what makes up for the range as it is (OVMF): its field
 * has to be 0.
 */
#include "hw/acpi/acpi.h"

#include "base/mem.h"
#include "hw/misc/vmgenid.h"

enum { ENTRY_SIZE = 128, FILE_NAME = 56 };
enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3, WRITE_POINTER = 4 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

static const char tables_file[] = "etc/acpi/tables", rsdp_file[] = "etc/acpi/rsdp";

typedef struct Script {
    uint8_t *data;
    unsigned count;
} Script;

static uint8_t *entry(Script *s, uint32_t command, const char *file)
{
    uint8_t *e = s->data + (size_t)ENTRY_SIZE * s->count++;

    st_le32(e, command);
    memcpy(e + 4, file, strlen(file));
    return e + 4 + FILE_NAME;
}

static void allocate(Script *s, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t *e = entry(s, ALLOCATE, file);

    st_le32(e, align);
    e[4] = zone;
}

/* add_pointer - into the tables, from @file. */
static void add_pointer(Script *s, const char *file, uint32_t offset, uint8_t size)
{
    uint8_t *e = entry(s, ADD_POINTER, file);

    memcpy(e, tables_file, sizeof(tables_file));
    st_le32(e + FILE_NAME, offset);
    e[FILE_NAME + 4] = size;
}

/* add_vmgenid - a page for its file; the tables and the device are told where it is. */
static void add_vmgenid(Script *s, uint32_t offset)
{
    static const char file[] = VMGENID_FILE;
    uint8_t *e;

    allocate(s, file, VMGENID_BLOB, ZONE_HIGH);
    e = entry(s, ADD_POINTER, tables_file);
    memcpy(e, file, sizeof(file));
    st_le32(e + FILE_NAME, offset);
    e[FILE_NAME + 4] = 4;
    e = entry(s, WRITE_POINTER, VMGENID_ADDR_FILE);
    memcpy(e, file, sizeof(file));
    e[FILE_NAME + 8] = 8; /* all of the file there is this address */
}

static void add_checksum(Script *s, const char *file, uint32_t at, uint32_t start, uint32_t len)
{
    uint8_t *e = entry(s, ADD_CHECKSUM, file);

    st_le32(e, at);
    st_le32(e + 4, start);
    st_le32(e + 8, len);
}

void acpi_clear_sums(AcpiTables *t)
{
    for (unsigned i = 0; i < t->table_count; i++) {
        t->data[t->tables[i] + 9] = 0;
    }
    t->rsdp[8] = t->rsdp[32] = 0;
}

uint8_t *acpi_loader(const AcpiTables *t, size_t *len)
{
    Script s = { .data = xnewn(uint8_t, ENTRY_SIZE * (9 + t->link_count + t->table_count)) };

    allocate(&s, rsdp_file, 16, ZONE_FSEG);
    allocate(&s, tables_file, 64, ZONE_HIGH);
    for (unsigned i = 0; i < t->link_count; i++) {
        add_pointer(&s, tables_file, t->links[i].offset, t->links[i].size);
    }
    if (t->vmgenid != 0) {
        add_vmgenid(&s, t->vmgenid);
    }
    for (unsigned i = 0; i < t->table_count; i++) {
        uint32_t at = t->tables[i];

        add_checksum(&s, tables_file, at + 9, at, ld_le32(t->data + at + 4));
    }
    add_pointer(&s, rsdp_file, 16, 4); /* "Root System Description Pointer (RSDP) Structure" */
    add_pointer(&s, rsdp_file, 24, 8);
    add_checksum(&s, rsdp_file, 8, 0, 20);
    add_checksum(&s, rsdp_file, 32, 0, ACPI_RSDP_SIZE);
    *len = (size_t)ENTRY_SIZE * s.count;
    return s.data;
}
