/* Local and I/O APIC, against the Intel SDM vol. 3 and the 82093AA data sheet. */
#include "tests/device/fake.h"

#include <stdlib.h>
#include "accel/accel.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"

#define CPUS 4

static CpuState *cpus[CPUS];
static Device *lapics[CPUS], *ioapic;
static LapicBus *bus;

static int setup(void **state)
{
    fake_setup(state);
    bus = lapic_bus_new(CPUS);
    for (unsigned i = 0; i < CPUS; i++) {
        cpus[i] = xnew(CpuState);
        cpus[i]->index = i;
        cpus[i]->apic_id = i;
        cpus[i]->phys_bits = 40;
        memset(cpus[i]->features, 0xff, sizeof(cpus[i]->features));
        lapics[i] = fake_device(&lapic_class);
        lapic_connect(lapics[i], bus, cpus[i]);
        fake_realize(lapics[i]);
    }
    assert_true(lapic_bus_map(bus, NULL));
    ioapic = fake_device(&ioapic_class);
    ioapic_connect(ioapic, bus);
    fake_realize(ioapic);
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    lapic_bus_unmap(bus);
    lapic_bus_free(bus);
    for (unsigned i = 0; i < CPUS; i++) {
        free(cpus[i]);
    }
    return 0;
}

static uint32_t rd(unsigned n, unsigned reg)
{
    return (uint32_t)lapic_mmio_read(cpus[n], reg, 4);
}
static void wr(unsigned n, unsigned reg, uint32_t val)
{
    lapic_mmio_write(cpus[n], reg, val, 4);
}
static bool intr(unsigned n)
{
    return (cpus[n]->requests & REQ_INTR) != 0;
}
static int ack(unsigned n)
{
    return cpus[n]->hooks.ack_interrupt(cpus[n]);
}
static void enable_all(void)
{
    for (unsigned i = 0; i < CPUS; i++) {
        wr(i, 0xf0, 0x1ff);
        wr(i, 0xd0, 1u << (24 + i)); /* flat logical IDs */
    }
}

static void test_reset_state(void **state)
{
    assert_int_equal(rd(0, 0x30), 0x50014);
    assert_int_equal(rd(2, 0x20), 2u << 24);
    assert_int_equal(rd(0, 0xf0), 0xff);
    assert_int_equal(rd(0, 0xe0), 0xffffffff);
    assert_int_equal(rd(0, 0x350), 0x10000);
    assert_int_equal(rd(0, 0x380), 0);
    wr(0, 0x350, 0x700); /* software disabled: masks stay */
    assert_int_equal(rd(0, 0x350), 0x10700);
    lapic_deliver(bus, &(LapicMsg){ .dest = 0, .vector = 0x40 });
    assert_false(intr(0));
}

static void test_priority_and_eoi(void **state)
{
    enable_all();
    lapic_deliver(bus, &(LapicMsg){ .dest = 0, .vector = 0x41 });
    assert_true(intr(0));
    assert_false(intr(1));
    assert_int_equal(rd(0, 0x220), 0x2);
    assert_int_equal(ack(0), 0x41);
    assert_false(intr(0));
    assert_int_equal(rd(0, 0x120), 0x2);
    assert_int_equal(rd(0, 0xa0), 0x40);
    lapic_deliver(bus, &(LapicMsg){ .dest = 0, .vector = 0x4f }); /* same class: waits */
    assert_false(intr(0));
    lapic_deliver(bus, &(LapicMsg){ .dest = 0, .vector = 0x81 });
    assert_true(intr(0));
    assert_int_equal(ack(0), 0x81);
    wr(0, 0xb0, 0);
    assert_false(intr(0));
    wr(0, 0xb0, 0);
    assert_true(intr(0));
    wr(0, 0x80, 0x40); /* TPR */
    assert_false(intr(0));
    assert_int_equal(ack(0), -1); /* withdrawn */
    cpus[0]->hooks.set_cr8(cpus[0], 3);
    assert_int_equal(rd(0, 0x80), 0x30);
    assert_true(intr(0));
    assert_int_equal(ack(0), 0x4f);
    wr(0, 0xb0, 0);
    assert_int_equal(rd(0, 0xa0), 0x30);
}

static void test_ipis(void **state)
{
    enable_all();
    wr(0, 0x310, 2u << 24);
    wr(0, 0x300, 0x55);
    assert_int_equal(ack(2), 0x55);
    wr(0, 0x310, 0x0a000000); /* logical, flat: 1 and 3 */
    wr(0, 0x300, 0x856);
    assert_true(intr(1) && intr(3) && !intr(0));
    assert_int_equal(ack(1), 0x56);
    assert_int_equal(ack(3), 0x56);
    for (unsigned i = 0; i < CPUS; i++) {
        wr(i, 0xb0, 0);
    }
    wr(1, 0x300, 0xc0057); /* all but self */
    assert_true(intr(0) && intr(2) && intr(3) && !intr(1));
    wr(1, 0x300, 0x40058); /* self */
    assert_int_equal(ack(1), 0x58);
    wr(0, 0x300, 0xc0400); /* NMI */
    assert_true((cpus[1]->requests & REQ_NMI) && !(cpus[0]->requests & REQ_NMI));
    wr(0, 0x310, 3u << 24);
    wr(0, 0x300, 0xc500);
    assert_true(cpus[3]->requests & REQ_INIT);
    cpus[3]->requests = 0;
    wr(0, 0x300, 0x8500); /* de-assert: nothing */
    assert_int_equal(cpus[3]->requests, 0);
    cpus[3]->hooks.init_done(cpus[3]);
    assert_int_equal(rd(3, 0xf0), 0xff);
    wr(0, 0x300, 0x69a);
    assert_true(cpus[3]->requests & REQ_SIPI);
    assert_int_equal(cpus[3]->sipi_vector, 0x9a);
    /* cluster model */
    for (unsigned i = 0; i < CPUS; i++) {
        wr(i, 0xf0, 0x1ff);
        wr(i, 0xe0, 0x0fffffff);
        wr(i, 0xd0, (i / 2) << 28 | 1u << (24 + i % 2));
    }
    cpus[2]->requests = cpus[3]->requests = 0;
    wr(0, 0x310, 0x12000000);
    wr(0, 0x300, 0x861);
    assert_true(intr(3) && !intr(2));
}

static void test_lowest_priority(void **state)
{
    enable_all();
    wr(0, 0x80, 0x50);
    wr(1, 0x80, 0x20);
    wr(2, 0x80, 0x10);
    wr(3, 0x80, 0x60);
    lapic_deliver(bus, &(LapicMsg){ .dest = 0x0b, .logical = true, .mode = LAPIC_LOWEST,
                                    .vector = 0x90 });
    assert_true(intr(1) && !intr(0) && !intr(2) && !intr(3)); /* 2 was not named */
}

static void test_errors(void **state)
{
    enable_all();
    wr(0, 0x370, 0xfe);
    wr(0, 0x300, 0x40005); /* vector below 16 */
    assert_int_equal(rd(0, 0x280), 0);
    wr(0, 0x280, 0);
    assert_int_equal(rd(0, 0x280), 0x20);
    assert_int_equal(ack(0), 0xfe);
    rd(0, 0x3f0); /* no such register */
    wr(0, 0x280, 0);
    assert_int_equal(rd(0, 0x280), 0x80);
    wr(0, 0x280, 0);
    assert_int_equal(rd(0, 0x280), 0);
}

static void test_timer(void **state)
{
    enable_all();
    wr(0, 0x3e0, 0x3); /* divide by 16 */
    wr(0, 0x320, 0xef);
    wr(0, 0x380, 1000); /* 16 us */
    clock_step(8000);
    assert_int_equal(rd(0, 0x390), 500);
    clock_step(7999);
    assert_false(intr(0));
    clock_step(1);
    assert_int_equal(ack(0), 0xef);
    wr(0, 0xb0, 0);
    assert_int_equal(rd(0, 0x390), 0);
    clock_step(NS_PER_MS);
    assert_false(intr(0));
    wr(0, 0x320, 0x200ef); /* periodic */
    wr(0, 0x380, 62500);   /* 1 ms */
    for (unsigned i = 0; i < 10; i++) {
        clock_step(NS_PER_MS);
        assert_int_equal(ack(0), 0xef);
        wr(0, 0xb0, 0);
    }
    wr(0, 0x380, 0);
    clock_step(10 * NS_PER_MS);
    assert_false(intr(0));
    wr(0, 0x320, 0x100ef); /* masked: counts, does not interrupt */
    wr(0, 0x380, 100);
    clock_step(NS_PER_MS);
    assert_false(intr(0));
}

static void test_tsc_deadline(void **state)
{
    uint64_t val, deadline;

    enable_all();
    wr(0, 0x320, 0x400ee);
    /* the host's TSC runs on while the virtual clock stands: 5 ms from now, roughly */
    deadline = cpu_tsc(cpus[0]) + cpu_tsc_hz() / 200;
    assert_true(cpus[0]->hooks.apic_wrmsr(cpus[0], 0x6e0, deadline));
    assert_true(cpus[0]->hooks.apic_rdmsr(cpus[0], 0x6e0, &val));
    assert_true(val == deadline);
    clock_step(100 * NS_PER_US);
    assert_false(intr(0));
    clock_step(5 * NS_PER_MS);
    assert_int_equal(ack(0), 0xee);
    cpus[0]->hooks.apic_rdmsr(cpus[0], 0x6e0, &val);
    assert_int_equal(val, 0);
    wr(0, 0xb0, 0);
    cpus[0]->hooks.apic_wrmsr(cpus[0], 0x6e0, UINT64_MAX);
    cpus[0]->hooks.apic_wrmsr(cpus[0], 0x6e0, 0);
    clock_step(NS_PER_SEC);
    assert_false(intr(0));
}

static void test_x2apic(void **state)
{
    const CpuHooks *h = &cpus[0]->hooks;
    uint64_t val;

    assert_false(h->apic_rdmsr(cpus[0], 0x802, &val)); /* #GP in xAPIC mode */
    assert_true(h->apic_rdmsr(cpus[0], 0x1b, &val));
    assert_int_equal(val, 0xfee00900);
    for (unsigned i = 0; i < CPUS; i++) {
        cpus[i]->hooks.apic_rdmsr(cpus[i], 0x1b, &val);
        assert_true(cpus[i]->hooks.apic_wrmsr(cpus[i], 0x1b, val | 0x400));
        assert_true(cpus[i]->hooks.apic_wrmsr(cpus[i], 0x80f, 0x1ff));
    }
    assert_int_equal(rd(0, 0x30), 0xffffffff); /* the page is gone */
    assert_true(cpus[3]->hooks.apic_rdmsr(cpus[3], 0x80d, &val));
    assert_int_equal(val, 8);
    assert_true(h->apic_wrmsr(cpus[0], 0x830, 3ull << 32 | 0x77));
    assert_int_equal(ack(3), 0x77);
    assert_true(h->apic_wrmsr(cpus[0], 0x830, 6ull << 32 | 0x878)); /* cluster 0: 1 and 2 */
    assert_true(intr(1) && intr(2) && !intr(3));
    assert_true(h->apic_wrmsr(cpus[0], 0x83f, 0x99));
    assert_int_equal(ack(0), 0x99);
    assert_false(h->apic_wrmsr(cpus[0], 0x80b, 1));
    assert_true(h->apic_wrmsr(cpus[0], 0x80b, 0));
    assert_false(h->apic_wrmsr(cpus[0], 0x80e, 0)); /* no DFR */
    assert_false(h->apic_wrmsr(cpus[0], 0x1b, 0xfee00900)); /* not back to xAPIC */
    assert_true(h->apic_wrmsr(cpus[0], 0x1b, 0xfee00100));
    assert_false(h->apic_wrmsr(cpus[0], 0x1b, 0xfee00d00)); /* not in one step */
    assert_true(h->apic_wrmsr(cpus[0], 0x1b, 0xfee00900));
    assert_int_equal(rd(0, 0xf0), 0xff);
}

/* "Relocating the Local APIC Registers": for the processor that did it alone. */
static void test_moved_page(void **state)
{
    FlatView *v;

    cpu_current = cpus[1];
    assert_int_equal(mem_in(0xfee00020, 4), 1u << 24);
    assert_true(cpus[1]->hooks.apic_wrmsr(cpus[1], 0x1b, 0xfed40800));
    assert_int_equal(mem_in(0xfed40020, 4), 1u << 24);
    assert_int_equal(mem_in(0xfee00020, 4), 0xffffffff);
    mem_out(0xfed40080, 0x20, 4);
    assert_int_equal(rd(1, 0x80), 0x20);
    cpu_current = cpus[0];
    assert_int_equal(mem_in(0xfee00020, 4), 0);
    assert_int_equal(mem_in(0xfed40020, 4), 0xffffffff);
    assert_true(cpus[0]->hooks.apic_wrmsr(cpus[0], 0x1b, 0xfed40900)); /* both */
    assert_int_equal(mem_in(0xfed40020, 4), 0);
    cpu_current = cpus[1];
    assert_int_equal(mem_in(0xfed40020, 4), 1u << 24);
    devices_reset();
    assert_int_equal(mem_in(0xfee00020, 4), 1u << 24);
    v = flat_view(false);
    assert_null(flat_find(v, 0xfed40020));
    flat_view_unref(v);
    cpu_current = NULL;
}

static void test_virtual_wire(void **state)
{
    Device *pic = fake_device(&i8259_class);
    IrqLine irq;

    pic_connect(pic, lapic_lint0(lapics[0]));
    lapic_bus_set_pic(bus, pic_ack, pic);
    fake_realize(pic);
    out8(0x20, 0x11);
    out8(0x21, 0x30);
    out8(0x21, 0x04);
    out8(0x21, 0x01);
    irq = pic_input(pic, 3);
    irq_set(&irq, 1);
    assert_false(intr(0)); /* LINT0 is masked */
    lapic_virtual_wire(lapics[0]);
    assert_true(intr(0));
    assert_int_equal(ack(0), 0x33);
    assert_false(intr(0));
    out8(0x20, 0x20);
    irq_set(&irq, 0);
    /* APIC disabled altogether: INTR goes straight to the processor */
    assert_true(cpus[0]->hooks.apic_wrmsr(cpus[0], 0x1b, 0xfee00100));
    irq_set(&irq, 1);
    assert_true(intr(0));
    out8(0x21, 0xff);
    assert_false(intr(0)); /* withdrawn */
    assert_int_equal(ack(0), -1);
}

/* ---- I/O APIC ---- */

static void io_write(unsigned reg, uint32_t val)
{
    mem_out(0xfec00000, reg, 4);
    mem_out(0xfec00010, val, 4);
}
static uint32_t io_read(unsigned reg)
{
    mem_out(0xfec00000, reg, 4);
    return (uint32_t)mem_in(0xfec00010, 4);
}
static void pin(unsigned n, int level)
{
    IrqLine l = ioapic_input(ioapic, n);
    irq_set(&l, level);
}

/* A processor without an APIC has its pin for good. */
static void test_no_apic(void **state)
{
    IrqLine lint0 = lapic_lint0(lapics[0]);
    uint64_t val;

    cpus[0]->features[FEAT_APIC / 64] &= ~BIT64(FEAT_APIC % 64);
    devices_reset();
    assert_true(cpus[0]->hooks.apic_rdmsr(cpus[0], 0x1b, &val));
    assert_int_equal(val & 0x800, 0);
    assert_false(cpus[0]->hooks.apic_wrmsr(cpus[0], 0x1b, 0xfee00900));
    irq_set(&lint0, 1);
    assert_true(intr(0));
}

static void test_ioapic_edge(void **state)
{
    enable_all();
    assert_int_equal(io_read(1), 0x170020);
    assert_int_equal(io_read(0x10 + 2 * 4), 0x10000);
    pin(4, 1); /* masked: lost */
    io_write(0x10 + 2 * 4 + 1, 1u << 24);
    io_write(0x10 + 2 * 4, 0x62);
    assert_false(intr(1));
    pin(4, 0);
    pin(4, 1);
    assert_int_equal(ack(1), 0x62);
    wr(1, 0xb0, 0);
    assert_false(intr(1));
}

static void test_ioapic_counts_edges(void **state)
{
    IrqCount at = irq_count;

    enable_all();
    io_write(0x10 + 2 * 2 + 1, 1u << 24);
    for (unsigned i = 0; i < 4; i++) { /* noted; and again, in service; merged; masked */
        io_write(0x10 + 2 * 2, 0x30 | (i == 3 ? 0x10000 : 0));
        pin(2, 1);
        pin(2, 0);
        if (i == 0) {
            assert_int_equal(ack(1), 0x30);
        }
    }
    assert_int_equal(irq_count.taken - at.taken, 2);
    assert_int_equal(irq_count.merged - at.merged, 1);
    assert_int_equal(irq_count.masked - at.masked, 1);
}

static void test_ioapic_level(void **state)
{
    enable_all();
    io_write(0x10 + 2 * 10 + 1, 2u << 24);
    io_write(0x10 + 2 * 10, 0x8063);
    pin(10, 1);
    assert_int_equal(io_read(0x10 + 2 * 10), 0xc063); /* remote IRR */
    assert_int_equal(ack(2), 0x63);
    assert_int_equal(rd(2, 0x1b0), 0x8); /* TMR */
    assert_false(intr(2));
    wr(2, 0xb0, 0); /* still asserted: again */
    assert_true(intr(2));
    assert_int_equal(ack(2), 0x63);
    pin(10, 0);
    wr(2, 0xb0, 0);
    assert_false(intr(2));
    assert_int_equal(io_read(0x10 + 2 * 10), 0x8063);
    pin(10, 1);
    ack(2);
    mem_out(0xfec00040, 0x63, 4); /* EOI register */
    assert_true(rd(2, 0x230) & 8);
    /* masking a pin keeps it quiet */
    io_write(0x10 + 2 * 10, 0x18063);
    pin(10, 0);
    pin(10, 1);
    wr(2, 0xb0, 0);
    assert_int_equal(ack(2), 0x63); /* the one that was under way */
    wr(2, 0xb0, 0);
    assert_false(intr(2));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reset_state), T(test_priority_and_eoi), T(test_ipis), T(test_lowest_priority),
        T(test_errors), T(test_timer), T(test_tsc_deadline), T(test_x2apic),
        T(test_virtual_wire), T(test_no_apic), T(test_moved_page), T(test_ioapic_edge), T(test_ioapic_counts_edges),
        T(test_ioapic_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
