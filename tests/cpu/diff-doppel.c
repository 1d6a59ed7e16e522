/*
 * Doppel's side of the differential tests: one processor, the memory of tests/cpu/diff.h.
 */
#include "tests/cpu/diff-doppel.h"

#include "accel/accel.h"
#include "base/huge.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "tests/test.h"

static CpuState *cpu;
static CpuModel model;

static void nop_flush(CpuState *c)
{
}
static void nop_flush_all(CpuState *c, bool global)
{
}
static void nop_page(CpuState *c, vaddr page)
{
}
static void nop_written(CpuState *c, uint64_t off, unsigned len)
{
}
static const EngineOps no_engine = { .code_written = nop_written, .flush = nop_flush_all,
                                     .flush_page = nop_page, .exclusive_begin = nop_flush,
                                     .exclusive_end = nop_flush, .kick = nop_flush };

/* ---- a device that is like memory ---- */

static uint8_t device[PAGE_SIZE];
uint64_t diff_device_accesses;

static uint64_t device_read(void *opaque, uint64_t off, unsigned size)
{
    uint64_t v = 0;

    diff_device_accesses++;
    memcpy(&v, device + off, size);
    return v;
}

static void device_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    diff_device_accesses++;
    memcpy(device + off, &val, size);
}

static const IoOps device_ops = { .read = device_read, .write = device_write, .max_size = 8 };

static uint8_t *page_of(DiffPlace place, unsigned n)
{
    uint64_t at = diff_place[place].data + PAGE_SIZE * n;

    return place == PLACE_DEVICE && n == 1 ? device : ram_host() + PHYS_CODE + (at - DIFF_BASE);
}

void diff_doppel_put(DiffPlace place, const uint8_t *data)
{
    memcpy(page_of(place, 0), data, PAGE_SIZE);
    memcpy(page_of(place, 1), data + PAGE_SIZE, PAGE_SIZE);
}

void diff_doppel_get(DiffPlace place, uint8_t *data)
{
    memcpy(data, page_of(place, 0), PAGE_SIZE);
    memcpy(data + PAGE_SIZE, page_of(place, 1), PAGE_SIZE);
}

/* ---- the processor and its memory ---- */

static void table_entry(unsigned table, unsigned n, uint64_t v)
{
    memcpy(ram_host() + PHYS_TABLES + 0x1000 * table + 8 * n, &v, 8);
}

static void make_page_tables(void)
{
    const uint64_t user = 0x67; /* present, writable, user, accessed, dirty */

    table_entry(0, 0, (PHYS_TABLES + 0x1000) | user);
    table_entry(1, 0, (PHYS_TABLES + 0x2000) | user);
    table_entry(2, DIFF_BASE >> 21 & 511, (PHYS_TABLES + 0x3000) | user);
    table_entry(3, 0, PHYS_CODE | (user & ~2ull));
    table_entry(3, 4, PHYS_DATA | user);
    table_entry(3, 5, (PHYS_DATA + 0x1000) | user);
}

void diff_doppel_places(void)
{
    const uint64_t user = 0x67;

    table_entry(3, 7, (PHYS_CODE + 0x7000) | user);
    table_entry(3, 8, (PHYS_CODE + 0x8000) | (user & ~2ull));
    table_entry(3, 10, (PHYS_CODE + 0xa000) | user);
    table_entry(3, 11, (PHYS_CODE + 0xb000) | (user & ~4ull));
    table_entry(3, 13, (PHYS_CODE + 0xd000) | user);
    table_entry(3, 14, PHYS_DEVICE | user);
}

static void host_features(void)
{
    for (unsigned n = 1; n < FEAT_COUNT; n++) {
        if (cpu_host_has(n)) {
            model.features[n / 64] |= 1ull << (n % 64);
        }
    }
}

CpuState *diff_doppel_init(void)
{
    static IoRegion ram, io;

    engine_ops = &no_engine;
    assert_true(ram_create(4 << 20, NULL));
    machine_lock();
    ram_region_init(&ram, "ram", 0, 4 << 20);
    assert_true(mem_map(&ram, 0, 0, false, NULL));
    io_region_init(&io, &device_ops, NULL, "like memory", sizeof(device));
    assert_true(mem_map(&io, PHYS_DEVICE, 0, false, NULL));
    machine_unlock();
    make_page_tables();
    memset(ram_host() + PHYS_CODE, 0xcc, 4096);
    host_features();
    model.phys_bits = 40;
    huge_low = false; /* the host's processor is given addresses from all of the first 4 GiB */
    cpu = cpu_new(0, &model);
    cpu_take_view(cpu);
    cpu->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_WP | CR0_MP | CR0_ET | CR0_AM;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_UMIP;
    cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    cpu->cr3 = PHYS_TABLES;
    cpu->tr.limit = 0; /* no I/O permission map */
    cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    return cpu;
}

static void set_seg(unsigned n, uint16_t sel, unsigned bits, bool code)
{
    Segment *s = &cpu->segs[n];

    s->selector = sel;
    s->base = bits == 16 ? DIFF_BASE : 0;
    s->limit = bits == 16 ? 0xffff : 0xffffffff;
    s->attr = ATTR_P | ATTR_DPL | ATTR_S | ATTR_WRITE | ATTR_ACCESSED | (code ? ATTR_CODE : 0) |
              (bits != 16 ? ATTR_G : 0);
    s->attr |= bits == 64 && code ? ATTR_L : bits == 16 ? 0 : ATTR_DB;
    seg_update(s);
}

void diff_doppel_mode(unsigned bits)
{
    set_seg(SEG_CS, diff_host_cs(bits), bits, true);
    set_seg(SEG_SS, bits == 16 ? diff_host_ds(16) : 0x2b, bits, false);
    set_seg(SEG_DS, diff_host_ds(bits), bits, false);
    set_seg(SEG_ES, diff_host_ds(bits), bits, false);
    for (unsigned n = SEG_FS; n <= SEG_GS; n++) {
        cpu->segs[n] = (Segment){ .base = n == SEG_GS && bits == 64 ? DIFF_GS_BASE : 0 };
        seg_update(&cpu->segs[n]);
    }
    cpu->cpl = 3;
    cpu_update_mode(cpu);
}

void diff_doppel_load(const DiffState *s)
{
    memcpy(cpu->regs, s->gpr, sizeof(s->gpr));
    cpu->regs[GPR_ZERO] = 0;
    cpu->regs[GPR_RIP] = s->rip;
    rflags_put(cpu, s->rflags);
    memcpy(&cpu->fcw, s->fx, 2);
    memcpy(&cpu->fsw, s->fx + 2, 2);
    cpu->fptag = s->fx[4];
    memcpy(&cpu->mxcsr, s->fx + 24, 4);
    for (unsigned n = 0; n < 8; n++) {
        Float80 *v = &cpu->fpr[((cpu->fsw >> 11) + n) & 7];

        memcpy(&v->frac, s->fx + 32 + 16 * n, 8);
        memcpy(&v->sexp, s->fx + 40 + 16 * n, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(&cpu->xmm[n].b[0], s->fx + 160 + 16 * n, 16);
        memcpy(&cpu->xmm[n].b[16], s->ymmh + 16 * n, 16);
    }
    cpu_update_mode(cpu);
}

void diff_doppel_store(DiffState *s)
{
    memcpy(s->gpr, cpu->regs, sizeof(s->gpr));
    s->rip = cpu->regs[GPR_RIP];
    s->rflags = rflags_get(cpu);
    memcpy(s->fx, &cpu->fcw, 2);
    memcpy(s->fx + 2, &cpu->fsw, 2);
    s->fx[4] = cpu->fptag;
    memcpy(s->fx + 24, &cpu->mxcsr, 4);
    for (unsigned n = 0; n < 8; n++) {
        const Float80 *v = &cpu->fpr[((cpu->fsw >> 11) + n) & 7];

        memcpy(s->fx + 32 + 16 * n, &v->frac, 8);
        memcpy(s->fx + 40 + 16 * n, &v->sexp, 2);
    }
    for (unsigned n = 0; n < 16; n++) {
        memcpy(s->fx + 160 + 16 * n, &cpu->xmm[n].b[0], 16);
        memcpy(s->ymmh + 16 * n, &cpu->xmm[n].b[16], 16);
    }
}

void diff_doppel_jit(void)
{
    assert_true(accel_init(&accel_jit, &cpu, 1, NULL));
    cpu_current = cpu;
}
