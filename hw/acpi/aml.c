/*
 * AML writer: see aml.h. Section names are those of the ACPI specification 6.4.
 */
#include "hw/acpi/aml.h"

#include <assert.h>
#include <stdlib.h>
#include "base/mem.h"

void aml_free(Aml *a)
{
    free(a->data);
    *a = (Aml){ 0 };
}

void aml_bytes(Aml *a, const void *p, size_t n)
{
    if (n > a->cap - a->len) {
        a->cap = MAX(2 * a->cap, a->len + n + 256);
        a->data = xrealloc(a->data, a->cap, 1);
    }
    memcpy(a->data + a->len, p, n);
    a->len += n;
}

void aml_byte(Aml *a, uint8_t b)
{
    aml_bytes(a, &b, 1);
}

static void aml_le(Aml *a, uint64_t val, unsigned size)
{
    aml_bytes(a, &val, size); /* the host is little-endian */
}

/* "Data Objects Encoding" */
void aml_int(Aml *a, uint64_t val)
{
    if (val <= 1) {
        aml_byte(a, (uint8_t)val); /* ZeroOp, OneOp */
    } else if (val <= 0xff) {
        aml_byte(a, 0x0a);
        aml_le(a, val, 1);
    } else if (val <= 0xffff) {
        aml_byte(a, 0x0b);
        aml_le(a, val, 2);
    } else if (val <= 0xffffffff) {
        aml_byte(a, 0x0c);
        aml_le(a, val, 4);
    } else {
        aml_byte(a, 0x0e);
        aml_le(a, val, 8);
    }
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* "EISAID": three letters of five bits, four hexadecimal digits, most significant byte first. */
void aml_eisaid(Aml *a, const char *id)
{
    uint32_t v = (uint32_t)(id[0] - 0x40) << 26 | (uint32_t)(id[1] - 0x40) << 21 |
                 (uint32_t)(id[2] - 0x40) << 16 | hex_digit(id[3]) << 12 |
                 hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);

    aml_byte(a, 0x0c);
    aml_le(a, __builtin_bswap32(v), 4);
}

void aml_string(Aml *a, const char *s)
{
    aml_byte(a, 0x0d);
    aml_bytes(a, s, strlen(s) + 1);
}

/* "Name Objects Encoding": segments padded with '_'. */
void aml_name(Aml *a, const char *path)
{
    unsigned count = 1;

    if (*path == '\\') {
        aml_byte(a, '\\');
        path++;
    }
    for (const char *p = path; *p != '\0'; p++) {
        count += *p == '.';
    }
    if (count == 2) {
        aml_byte(a, 0x2e); /* DualNamePrefix */
    } else if (count > 2) {
        aml_byte(a, 0x2f); /* MultiNamePrefix */
        aml_byte(a, (uint8_t)count);
    }
    while (count-- > 0) {
        char seg[4] = { '_', '_', '_', '_' };
        size_t n = strcspn(path, ".");

        memcpy(seg, path, MIN(n, sizeof(seg)));
        aml_bytes(a, seg, 4);
        path += n + (path[n] == '.');
    }
}

void aml_name_op(Aml *a, const char *name)
{
    aml_byte(a, 0x08);
    aml_name(a, name);
}

void aml_name_int(Aml *a, const char *name, uint64_t val)
{
    aml_name_op(a, name);
    aml_int(a, val);
}

void aml_name_eisaid(Aml *a, const char *name, const char *id)
{
    aml_name_op(a, name);
    aml_eisaid(a, id);
}

void aml_name_string(Aml *a, const char *name, const char *s)
{
    aml_name_op(a, name);
    aml_string(a, s);
}

/* ---- packages ---- */

/* "Package Length Encoding": we leave four bytes and squeeze them at the end. */
static void aml_open(Aml *a)
{
    assert(a->depth < AML_DEPTH);
    a->open[a->depth++] = a->len;
    aml_le(a, 0, 4);
}

void aml_end(Aml *a)
{
    uint8_t enc[4];
    size_t at, body, total, n;

    assert(a->depth > 0);
    at = a->open[--a->depth];
    body = a->len - at - 4;
    if (body + 1 < 0x40) {
        n = 1;
        enc[0] = (uint8_t)(body + 1);
    } else {
        n = body + 2 < 0x1000 ? 2 : body + 3 < 0x100000 ? 3 : 4;
        total = body + n;
        enc[0] = (uint8_t)((n - 1) << 6 | (total & 0xf));
        for (size_t i = 1; i < n; i++) {
            enc[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
        }
    }
    memcpy(a->data + at, enc, n);
    memmove(a->data + at + n, a->data + at + 4, body);
    a->len = at + n + body;
}

void aml_scope_begin(Aml *a, const char *path)
{
    aml_byte(a, 0x10);
    aml_open(a);
    aml_name(a, path);
}

void aml_device_begin(Aml *a, const char *name)
{
    aml_bytes(a, "\x5b\x82", 2);
    aml_open(a);
    aml_name(a, name);
}

void aml_package_begin(Aml *a, unsigned count)
{
    aml_byte(a, 0x12);
    aml_open(a);
    aml_byte(a, (uint8_t)count);
}

/* ---- code: "Term Objects Encoding" ---- */

void aml_method_begin(Aml *a, const char *name, unsigned args, bool serialized)
{
    aml_byte(a, 0x14);
    aml_open(a);
    aml_name(a, name);
    aml_byte(a, (uint8_t)(args | (serialized ? 8 : 0)));
}

void aml_else_begin(Aml *a)
{
    aml_byte(a, 0xa1);
    aml_open(a);
}

void aml_if_begin(Aml *a)
{
    aml_byte(a, 0xa0);
    aml_open(a);
}

static void aml_local(Aml *a, unsigned local)
{
    aml_byte(a, (uint8_t)(0x60 + local));
}

void aml_store_arg(Aml *a, unsigned arg, const char *name)
{
    aml_byte(a, 0x70);
    aml_byte(a, (uint8_t)(0x68 + arg));
    aml_name(a, name);
}

void aml_return_name(Aml *a, const char *name)
{
    aml_byte(a, 0xa4);
    aml_name(a, name);
}

void aml_return_int(Aml *a, uint64_t val)
{
    aml_byte(a, 0xa4);
    aml_int(a, val);
}

void aml_lnot_name(Aml *a, const char *name)
{
    aml_byte(a, 0x92);
    aml_name(a, name);
}

void aml_name_dword(Aml *a, const char *name, uint32_t val)
{
    aml_byte(a, 0x08);
    aml_name(a, name);
    aml_byte(a, 0x0c); /* DWordPrefix */
    aml_le(a, val, 4);
}

size_t aml_find_dword(const Aml *a, const char *name)
{
    for (size_t at = 0; at + 10 <= a->len; at++) {
        if (a->data[at] == 0x08 && memcmp(a->data + at + 1, name, 4) == 0 && a->data[at + 5] == 0x0c) {
            return at + 6;
        }
    }
    return 0;
}

void aml_return_address(Aml *a, const char *name, uint64_t offset)
{
    aml_byte(a, 0x72); /* Add (name, offset, Local0) */
    aml_name(a, name);
    aml_int(a, offset);
    aml_local(a, 0);
    aml_bytes(a, "\x70\x12\x04\x02\x00\x00\x61", 7); /* Store (Package (2) { 0, 0 }, Local1) */
    aml_bytes(a, "\x70\x60\x88\x61\x00\x00", 6);     /* Store (Local0, Index (Local1, 0)) */
    aml_bytes(a, "\xa4\x61", 2);                       /* Return (Local1) */
}

void aml_store_name(Aml *a, const char *name, unsigned local)
{
    aml_byte(a, 0x70);
    aml_name(a, name);
    aml_local(a, local);
}

void aml_store_int(Aml *a, uint64_t val, const char *name)
{
    aml_byte(a, 0x70);
    aml_int(a, val);
    aml_name(a, name);
}

void aml_and_local(Aml *a, unsigned local, uint64_t val)
{
    aml_byte(a, 0x7b);
    aml_local(a, local);
    aml_int(a, val);
    aml_byte(a, 0); /* no target */
}

void aml_notify(Aml *a, const char *name, unsigned code)
{
    aml_byte(a, 0x86);
    aml_name(a, name);
    aml_int(a, code);
}

void aml_io_fields(Aml *a, const char *region, uint16_t port, const char *const *names, unsigned count, unsigned size)
{
    aml_bytes(a, "\x5b\x80", 2); /* "DefOpRegion" */
    aml_name(a, region);
    aml_byte(a, 1); /* SystemIO */
    aml_int(a, port);
    aml_int(a, size * count);
    aml_bytes(a, "\x5b\x81", 2); /* "DefField" */
    aml_open(a);
    aml_name(a, region);
    aml_byte(a, size == 1 ? 0x41 : 0x43); /* ByteAcc or DWordAcc, NoLock, WriteAsZeros */
    for (unsigned n = 0; n < count; n++) {
        aml_name(a, names[n]);
        aml_byte(a, (uint8_t)(8 * size)); /* bits, as a package length */
    }
    aml_end(a);
}

/* ---- resources ---- */

/* "Buffer": its size, always as a word here, is patched at the end. */
void aml_resources_begin(Aml *a)
{
    aml_byte(a, 0x11);
    aml_open(a);
    aml_byte(a, 0x0b);
    aml_le(a, 0, 2);
}

void aml_resources_end(Aml *a)
{
    size_t start = a->open[a->depth - 1] + 4 + 3;

    aml_bytes(a, "\x79\x00", 2); /* "End Tag", checksum 0: not checked */
    st_le16(a->data + start - 2, (uint16_t)(a->len - start));
    aml_end(a);
}

void res_io(Aml *a, uint16_t first, uint16_t len)
{
    aml_bytes(a, "\x47\x01", 2); /* "I/O Port Descriptor", 16-bit decode */
    aml_le(a, first, 2);
    aml_le(a, first, 2);
    aml_byte(a, 1);
    aml_byte(a, (uint8_t)len);
}

void res_irq(Aml *a, unsigned irq)
{
    aml_byte(a, 0x22); /* "IRQ Descriptor" without flags: edge, active high */
    aml_le(a, BIT(irq), 2);
}

void res_dma8(Aml *a, unsigned channel)
{
    aml_byte(a, 0x2a);
    aml_byte(a, (uint8_t)BIT(channel));
    aml_byte(a, 0x00); /* compatible timing, 8 bits */
}

void res_memory32(Aml *a, bool writable, uint32_t base, uint32_t len)
{
    aml_byte(a, 0x86); /* "32-Bit Fixed Memory Range Descriptor" */
    aml_le(a, 9, 2);
    aml_byte(a, writable);
    aml_le(a, base, 4);
    aml_le(a, len, 4);
}

/* "Word/DWord/QWord Address Space Descriptor": minimum and maximum fixed, produced for the bus
 * below. @size 2, 4 or 8. */
static void res_range(Aml *a, unsigned size, uint8_t kind, uint8_t specific, uint64_t first,
                      uint64_t last)
{
    aml_byte(a, size == 2 ? 0x88 : size == 4 ? 0x87 : 0x8a);
    aml_le(a, 3 + 5 * size, 2);
    aml_byte(a, kind);
    aml_byte(a, 0x0c);
    aml_byte(a, specific);
    aml_le(a, 0, size); /* granularity */
    aml_le(a, first, size);
    aml_le(a, last, size);
    aml_le(a, 0, size); /* translation */
    aml_le(a, last - first + 1, size);
}

void res_bus_range(Aml *a, uint16_t first, uint16_t last)
{
    res_range(a, 2, 2, 0, first, last);
}

void res_io_range(Aml *a, uint16_t first, uint16_t last)
{
    res_range(a, 2, 1, 3, first, last);
}

void res_memory_range(Aml *a, bool cacheable, uint32_t first, uint32_t last)
{
    res_range(a, 4, 0, cacheable ? 3 : 1, first, last);
}

void res_memory_range64(Aml *a, uint64_t first, uint64_t last)
{
    res_range(a, 8, 0, 3, first, last);
}
