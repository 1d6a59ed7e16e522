/*
 * Any bytes as guest code, in every mode: whatever a guest executes, the process neither crashes nor
 * hangs. A run is bounded by virtual time (-icount's clock): a timer asks the processor to stop.
 */
#include <stdlib.h>
#include <string.h>
#include "accel/accel.h"
#include "accel/icount.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "cpu/cpuid.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM (1u << 20)
#define CODE 0x1000u
#define GDT 0x800u
#define IDT 0xa00u
#define TSS 0x600u
#define PML4 0xf0000u
#define BUDGET 3000 /* instructions */

static CpuState *c;
static Timer limit;

static void stop(void *opaque)
{
    cpu_request(c, REQ_STOP);
}

static void set_up(void)
{
    static CpuModel model;
    static IoRegion ram;
    Error *err = NULL;

    if (!cpu_model_parse("max", true, &model, &err) || !ram_create(RAM, &err)) {
        abort();
    }
    ram_region_init(&ram, "ram", 0, RAM);
    machine_lock();
    if (!mem_map(&ram, 0, 0, false, &err)) {
        abort();
    }
    machine_unlock();
    c = cpu_new(0, &model);
    icount_init(&(IcountOptions){ .on = true });
    if (!accel_init(&accel_interp, &c, 1, &err)) {
        abort();
    }
    cpu_current = c;
    timer_init(&limit, CLK_VIRTUAL, stop, NULL, NULL);
}

static void put64(uint32_t at, uint64_t v)
{
    st_le64(ram_host() + at, v);
}

/* Tables for protected and long mode: gates to HLT, a TSS, everything mapped for everyone. */
static void tables(bool wide)
{
    put64(GDT, 0);
    put64(GDT + 8, wide ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull);
    put64(GDT + 16, 0x00cf93000000ffffull);
    put64(GDT + 24, wide ? 0x00affb000000ffffull : 0x00cffb000000ffffull);
    put64(GDT + 32, 0x00cff3000000ffffull);
    put64(GDT + 40, 0x00008b0000000067ull | (uint64_t)TSS << 16);
    put64(GDT + 48, 0);
    for (unsigned n = 0; n < 32; n++) {
        uint64_t gate = 0xf00 | 8 << 16 | 0xee0000000000ull;

        if (wide) {
            put64(IDT + n * 16, gate);
            put64(IDT + n * 16 + 8, 0);
        } else {
            put64(IDT + n * 8, gate);
        }
    }
    ram_host()[0xf00] = 0xf4;
    st_le32(ram_host() + TSS + 4, 0x8000);
    st_le32(ram_host() + TSS + 8, wide ? 0 : 0x10);
    st_le16(ram_host() + TSS + 0x66, 0x68);
    put64(PML4, (PML4 + 0x1000) | 7);
    put64(PML4 + 0x1000, (PML4 + 0x2000) | 7);
    put64(PML4 + 0x2000, 0x87);
}

static void segment(unsigned seg, uint16_t sel)
{
    Desc d = { ld_le32(ram_host() + GDT + (sel & ~7)), ld_le32(ram_host() + GDT + (sel & ~7) + 4), 0, 0 };

    c->segs[seg] = desc_segment(sel, &d);
}

static void enter(unsigned mode)
{
    bool wide = mode & 1, user = mode & 2;

    tables(wide);
    c->gdtr = (DescTable){ GDT, 55 };
    c->idtr = (DescTable){ IDT, wide ? 511 : 255 };
    Desc d = { 0x00000067 | TSS << 16, 0x00008b00, 0, 0 };
    c->tr = desc_segment(40, &d);
    c->cr0 = CR0_PE | CR0_ET | (mode & 4 ? CR0_NE : 0) | (mode & 8 ? CR0_WP : 0);
    c->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    c->xcr0 = 7;
    if (wide || (mode & 16)) {
        c->cr3 = PML4;
        c->cr4 |= CR4_PAE;
        if (wide) {
            c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
        } else {
            c->pdpte[0] = (PML4 + 0x2000) | 1;
        }
        c->cr0 |= CR0_PG;
    }
    segment(SEG_CS, user ? 27 : 8);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        if (n != SEG_CS) {
            segment(n, user ? 35 : 16);
        }
    }
    c->cpl = user ? 3 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (c == NULL) {
        set_up();
    }
    if (size < 4 || size > 600) {
        return 0;
    }
    machine_lock();
    memset(ram_host(), 0, 0x10000);
    cpu_reset(c, false);
    if (data[0] & 0x80) {
        seg_load_real(c, SEG_CS, 0);
        c->cr4 = CR4_OSFXSR;
    } else {
        enter(data[0]);
    }
    for (unsigned n = 0; n < 16; n++) { /* addresses, small numbers, extremes */
        uint64_t v = data[1 + n % 3] * 0x0101010101010101ull;

        c->regs[n] = n % 3 == 0 ? 0x2000 + n * 64 : n % 3 == 1 ? data[1 + n % 3] : v;
    }
    c->regs[GPR_RSP] = 0x7000;
    c->regs[GPR_RIP] = CODE;
    rflags_put(c, 2 | (data[1] & 1 ? FLAG_TF : 0) | (data[1] & 2 ? FLAG_IF : 0) |
                      (uint64_t)(data[1] >> 2 & 3) << 12 | (data[1] & 16 ? FLAG_AC : 0));
    memcpy(ram_host() + CODE, data + 4, size - 4);
    cpu_update_mode(c);
    machine_unlock();
    accel_drop_code();
    tlb_flush(c, true);
    c->icount_last = c->insns;
    timer_arm(&limit, clock_now(CLK_VIRTUAL) + BUDGET);
    while (c->activity == CPU_RUNNING && timer_pending(&limit)) {
        accel_interp.run(c);
    }
    timer_cancel(&limit);
    cpu_unrequest(c, ~0u);
    return 0;
}
