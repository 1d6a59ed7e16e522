/*
 * The human monitor: memory, as numbers, characters and instructions.
 */
#include "monitor/hmp-internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "accel/accel.h"
#include "base/error.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/disas.h"
#include "cpu/mmu.h"
#include "hw/virtio/virtio-balloon.h"

/* x and xp: /fmt is count, format (x d u o c i) and size (b h w g). */
typedef struct Format {
    unsigned count, size;
    char how;
} Format;

static bool parse_format(const char *s, Format *f)
{
    char *end;

    *f = (Format){ 1, 4, 'x' };
    if (*s >= '0' && *s <= '9') {
        f->count = (unsigned)strtoul(s, &end, 10);
        s = end;
    }
    for (; *s != 0; s++) {
        static const char sizes[] = "bhwg";
        const char *p = strchr(sizes, *s);

        if (p != NULL) {
            f->size = 1u << (p - sizes);
        } else if (strchr("xduoci", *s) != NULL) {
            f->how = *s;
        } else {
            return false;
        }
    }
    if (f->how == 'c') {
        f->size = 1;
    }
    return f->count <= 4096;
}

/* take_format - what is given behind "/", if there is anything. */
static bool take_format(FILE *out, const Args *a, Format *f)
{
    const char *text = arg_str(a, "fmt");

    if (text != NULL && !parse_format(text + 1, f)) {
        fprintf(out, "Error: the format is /COUNT, one of x d u o c i, and one of b h w g\n");
        return false;
    }
    return true;
}

static bool read_guest(CpuState *c, vaddr addr, bool physical, uint8_t *buf, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        hwaddr pa = addr + k;

        if ((!physical && !mmu_peek(c, addr + k, &pa)) || !mem_peek(pa, buf + k, 1, c->in_smm)) {
            return false;
        }
    }
    return true;
}

static void dump_code(CpuState *c, FILE *out, vaddr addr, bool physical, unsigned count)
{
    char text[160];

    while (count-- > 0) {
        uint8_t buf[15];
        unsigned avail = 15, len;

        while (avail > 0 && !read_guest(c, addr, physical, buf, avail)) {
            avail--;
        }
        if (avail == 0) {
            fprintf(out, "Cannot access memory\n");
            return;
        }
        len = disas_one(c->mode_bits, addr, buf, avail, text, sizeof(text));
        fprintf(out, "0x%0*" PRIx64 ":  ", c->mode_bits == 64 ? 16 : 8, addr);
        for (unsigned k = 0; k < len; k++) {
            fprintf(out, "%02x ", buf[k]);
        }
        fprintf(out, "%*s %s\n", len < 8 ? (int)(8 - len) * 3 : 0, "", text);
        addr += len;
    }
}

static void print_char(FILE *out, uint8_t ch)
{
    if (ch == '\n' || ch == '\r') {
        fprintf(out, "'\\%c'", ch == '\n' ? 'n' : 'r');
    } else if (ch == '\'' || ch == '\\') {
        fprintf(out, "'\\%c'", ch);
    } else if (ch >= 32 && ch < 127) {
        fprintf(out, "'%c'", ch);
    } else {
        fprintf(out, "'\\x%02x'", ch);
    }
}

static void print_value(FILE *out, uint64_t v, const Format *f)
{
    static const uint8_t octal[] = { 0, 3, 6, 0, 11, 0, 0, 0, 22 };
    static const uint8_t decimal[] = { 0, 3, 5, 0, 10, 0, 0, 0, 20 };
    int pad = 64 - 8 * (int)f->size;

    switch (f->how) {
    case 'x': fprintf(out, " 0x%0*" PRIx64, (int)f->size * 2, v); break;
    case 'o': fprintf(out, " 0%0*" PRIo64, octal[f->size], v); break;
    case 'c':
        fputc(' ', out);
        print_char(out, (uint8_t)v);
        break;
    case 'd': fprintf(out, " %*" PRId64, decimal[f->size], (int64_t)(v << pad) >> pad); break;
    default: fprintf(out, " %*" PRIu64, decimal[f->size], v);
    }
}

static void dump_data(CpuState *c, FILE *out, vaddr addr, bool physical, const Format *f)
{
    unsigned line = f->size == 1 ? 8 : 16 / f->size;

    for (unsigned n = 0; n < f->count; n++, addr += f->size) {
        uint64_t v = 0;

        if (n % line == 0) {
            fprintf(out, "%s%016" PRIx64 ":", n ? "\n" : "", addr);
        }
        if (!read_guest(c, addr, physical, (uint8_t *)&v, f->size)) {
            fprintf(out, " Cannot access memory\n");
            return;
        }
        print_value(out, v, f);
    }
    fprintf(out, "\n");
}

static void examine(HmpSession *m, FILE *out, const Args *a, bool physical)
{
    vaddr addr = (uint64_t)arg_int(a, "addr", 0);
    Format f = { 1, 4, 'x' };

    if (!take_format(out, a, &f)) {
        return;
    }
    accel_pause();
    if (f.how == 'i') {
        dump_code(hmp_cpu(m), out, addr, physical, f.count);
    } else {
        dump_data(hmp_cpu(m), out, addr, physical, &f);
    }
    accel_resume();
}

void hmp_x(HmpSession *m, FILE *out, const Args *a)
{
    examine(m, out, a, false);
}

void hmp_xp(HmpSession *m, FILE *out, const Args *a)
{
    examine(m, out, a, true);
}

void hmp_print(HmpSession *m, FILE *out, const Args *a)
{
    uint64_t val = (uint64_t)arg_int(a, "value", 0);
    Format f = { 1, 8, 'x' };

    if (!take_format(out, a, &f)) {
        return;
    }
    switch (f.how) {
    case 'o': fprintf(out, "0%" PRIo64 "\n", val); break;
    case 'd': fprintf(out, "%" PRId64 "\n", (int64_t)val); break;
    case 'u': fprintf(out, "%" PRIu64 "\n", val); break;
    case 'c':
        print_char(out, (uint8_t)val);
        fputc('\n', out);
        break;
    default: fprintf(out, "0x%" PRIx64 "\n", val);
    }
}

/* take_port - "/fmt port". The size of a port access is 1, 2 or 4 bytes. */
static bool take_port(FILE *out, const Args *a, unsigned *port, unsigned *size)
{
    uint64_t val = (uint64_t)arg_int(a, "port", 0);
    Format f = { 1, 1, 'x' };

    if (!take_format(out, a, &f)) {
        return false;
    }
    if (val > 0xffff || f.size > 4) {
        fprintf(out, "Error: a port is at most 0xffff, and of one of the sizes b h w\n");
        return false;
    }
    *port = (unsigned)val;
    *size = f.size;
    return true;
}

void hmp_i(HmpSession *m, FILE *out, const Args *a)
{
    static const char suffix[] = { 0, 'b', 'w', 0, 'l' };
    unsigned port, size;

    if (take_port(out, a, &port, &size)) {
        uint32_t val;

        machine_lock();
        val = port_read((uint16_t)port, size);
        machine_unlock();
        fprintf(out, "port%c[0x%04x] = 0x%0*x\n", suffix[size], port, (int)size * 2, val);
    }
}

void hmp_o(HmpSession *m, FILE *out, const Args *a)
{
    unsigned port, size;

    if (take_port(out, a, &port, &size)) {
        machine_lock();
        port_write((uint16_t)port, (uint32_t)arg_int(a, "value", 0), size);
        machine_unlock();
    }
}

/* ---- addresses ---- */

void hmp_gva2gpa(HmpSession *m, FILE *out, const Args *a)
{
    hwaddr pa;
    bool ok;

    accel_pause();
    ok = mmu_peek(hmp_cpu(m), (uint64_t)arg_int(a, "addr", 0), &pa);
    accel_resume();
    if (ok) {
        fprintf(out, "gpa: %#" PRIx64 "\n", pa);
    } else {
        fprintf(out, "Unmapped\n");
    }
}

void hmp_gpa2hva(HmpSession *m, FILE *out, const Args *a)
{
    hwaddr addr = (uint64_t)arg_int(a, "addr", 0);
    FlatView *view = flat_view(false);
    const FlatRange *r = flat_find(view, addr);

    if (r == NULL) {
        fprintf(out, "Error: No memory is mapped at address 0x%" PRIx64 "\n", addr);
    } else if (r->region->kind != REGION_RAM) {
        fprintf(out, "Error: Memory at address 0x%" PRIx64 " is not RAM\n", addr);
    } else {
        fprintf(out, "Host virtual address for 0x%" PRIx64 " (%s) is %p\n", addr, r->region->name,
                (void *)(ram_host() + flat_ram(r, addr)));
    }
    flat_view_unref(view);
}

void hmp_info_memory_size_summary(HmpSession *m, FILE *out, const Args *a)
{
    fprintf(out, "base memory: %" PRIu64 "\nplugged memory: 0\n", ram_size());
}

/* ---- the balloon ---- */

void hmp_balloon(HmpSession *m, FILE *out, const Args *a)
{
    int64_t mib = arg_int(a, "target", 0);
    Error *err = NULL;

    machine_lock();
    if (!balloon_set(mib > INT64_MAX >> 20 ? INT64_MAX : mib << 20, &err)) {
        hmp_error(out, err);
    }
    machine_unlock();
}

void hmp_info_balloon(HmpSession *m, FILE *out, const Args *a)
{
    Error *err = NULL;
    uint64_t bytes;

    machine_lock();
    if (balloon_get(&bytes, &err)) {
        fprintf(out, "balloon: actual=%llu\n", (unsigned long long)(bytes >> 20));
    } else {
        hmp_error(out, err);
    }
    machine_unlock();
}
