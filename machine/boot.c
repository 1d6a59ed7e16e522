/*
 * What all loaders of -kernel share: files, pieces of memory, the processor's state at entry.
 */
#include "machine/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/memory.h"
#include "cpu/cpu.h"

#define BOOT_FILE_MAX (4ull << 30)

static bool read_all(int fd, uint8_t *buf, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, buf + at, len - at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

uint8_t *boot_read_file(const char *path, const char *what, size_t *len, Error **errp)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint8_t *data = NULL;

    if (fd < 0 || fstat(fd, &st) < 0) {
        error_set_errno(errp, errno, "could not open %s file '%s'", what, path);
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        error_set_errno(errp, EISDIR, "could not open %s file '%s'", what, path);
        goto out;
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > BOOT_FILE_MAX) {
        error_set(errp, "%s file '%s' is not a regular file of at most 4 GiB", what, path);
        goto out;
    }
    *len = (size_t)st.st_size;
    data = try_newn(uint8_t, *len + 1); /* a 0 behind the text of a file */
    if (data == NULL) {
        error_set_errno(errp, ENOMEM, "could not read %s file '%s'", what, path);
    } else if (!read_all(fd, data, *len)) {
        error_set_errno(errp, errno, "could not read %s file '%s'", what, path);
        free(data);
        data = NULL;
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    return data;
}

/* in_ram - does [addr, addr + size) lie in memory that a kernel may have? */
static bool in_ram(const BootInput *in, uint64_t addr, uint64_t size)
{
    if (addr < BOOT_LOW_END) {
        return size <= BOOT_LOW_END - addr;
    }
    return addr >= BOOT_HIGH && addr <= in->high_end && size <= in->high_end - addr;
}

bool boot_add(Boot *b, const BootInput *in, uint64_t addr, uint8_t *data, uint64_t len,
              uint64_t zeros, const char *what, Error **errp)
{
    if (zeros > UINT64_MAX - len || !in_ram(in, addr, len + zeros)) {
        error_set(errp, "%s: %s of 0x%llx bytes at 0x%llx does not fit into memory", in->kernel,
                  what, (unsigned long long)(len + zeros), (unsigned long long)addr);
        free(data);
        return false;
    }
    b->pieces = xrealloc(b->pieces, b->count + 1, sizeof(*b->pieces));
    b->pieces[b->count++] = (BootPiece){ .addr = addr, .len = len, .zeros = zeros, .data = data };
    return true;
}

uint64_t boot_highest(const Boot *b)
{
    uint64_t end = BOOT_HIGH;

    for (unsigned i = 0; i < b->count; i++) {
        end = MAX(end, b->pieces[i].addr + b->pieces[i].len + b->pieces[i].zeros);
    }
    return end;
}

void boot_free(Boot *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        free(b->pieces[i].data);
    }
    free(b->pieces);
    *b = (Boot){ 0 };
}

/* A flat image, of no format that we know: at 1 MiB, entered at its first byte. */
static bool boot_flat(Boot *b, const BootInput *in, const uint8_t *file, size_t len, Error **errp)
{
    uint8_t *copy = xnewn(uint8_t, len + 1);

    memcpy(copy, file, len);
    b->entry = BOOT_HIGH;
    return boot_add(b, in, BOOT_HIGH, copy, len, 0, "image", errp);
}

bool boot_load(Boot *b, const BootInput *in, Error **errp)
{
    static BootMatch (*const loaders[])(Boot *, const BootInput *, const uint8_t *, size_t,
                                        Error **) = { boot_multiboot, boot_linux, boot_pvh };
    size_t len;
    uint8_t *file = boot_read_file(in->kernel, "kernel", &len, errp);
    BootMatch match = BOOT_NO;

    if (file == NULL) {
        return false;
    }
    if (len == 0) {
        error_set(errp, "%s: the kernel file is empty", in->kernel);
        free(file);
        return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(loaders) && match == BOOT_NO; i++) {
        match = loaders[i](b, in, file, len, errp);
    }
    if (match == BOOT_NO) {
        match = boot_flat(b, in, file, len, errp) ? BOOT_YES : BOOT_FAILED;
    }
    free(file);
    return match == BOOT_YES;
}

/* ---- at reset ---- */

static void write_zeros(uint64_t addr, uint64_t len)
{
    static const uint8_t zeros[65536];

    while (len > 0) {
        uint64_t n = MIN(len, sizeof(zeros));

        dma_write(addr, zeros, n);
        addr += n;
        len -= n;
    }
}

static void flat_segment(Segment *s, uint16_t selector, uint16_t attr)
{
    *s = (Segment){ .selector = selector, .attr = attr, .limit = 0xffffffff };
    seg_update(s);
}

void boot_place(const Boot *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        const BootPiece *p = &b->pieces[i];

        if (p->len > 0) {
            dma_write(p->addr, p->data, p->len);
        }
        write_zeros(p->addr + p->len, p->zeros);
    }
}

void boot_place_gdt(bool long_mode)
{
    /* null, unused, code and data of 4 GiB: SDM vol. 3, "Segment Descriptors" */
    uint64_t gdt[4] = { 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };

    if (long_mode) {
        gdt[2] = 0x00af9b000000ffff; /* L instead of D */
    }
    dma_write(BOOT_GDT, gdt, sizeof(gdt));
}

void boot_reset(const Boot *b, CpuState *c)
{
    bool long_mode = b->cr3 != 0;

    boot_place(b);
    boot_place_gdt(long_mode);
    flat_segment(&c->segs[SEG_CS], BOOT_CS, long_mode ? 0xa09b : 0xc09b);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        if (n != SEG_CS) {
            flat_segment(&c->segs[n], BOOT_DS, 0xc093);
        }
    }
    c->gdtr = (DescTable){ .base = BOOT_GDT, .limit = 4 * 8 - 1 };
    c->idtr = (DescTable){ .base = 0, .limit = 0 };
    c->cr0 = CR0_PE | CR0_ET;
    if (long_mode) { /* SDM vol. 3, "Initializing IA-32e Mode" */
        c->cr3 = b->cr3;
        c->cr4 = CR4_PAE;
        c->efer = EFER_LME | EFER_LMA;
        c->cr0 |= CR0_PG;
    }
    memset(c->regs, 0, sizeof(c->regs));
    c->regs[GPR_RAX] = b->eax;
    c->regs[GPR_RBX] = b->ebx;
    c->regs[GPR_RSI] = b->esi;
    c->regs[GPR_RIP] = b->entry;
    c->rflags = 2;
    cpu_update_mode(c);
}
