/* The 8259A pair, against the Intel 8259A data sheet. */
#include "tests/device/fake.h"

#include "hw/intc/i8259.h"

enum { INTR = 32 };
static Device *pic;

static void raise_irq(unsigned n)
{
    IrqLine l = pic_input(pic, n);
    irq_set(&l, 1);
}
static void lower_irq(unsigned n)
{
    IrqLine l = pic_input(pic, n);
    irq_set(&l, 0);
}

static void make(uint8_t icw4)
{
    pic = fake_device(&i8259_class);
    pic_connect(pic, fake_line(INTR));
    fake_realize(pic);
    out8(0x20, 0x11);
    out8(0x21, 0x20);
    out8(0x21, 0x04);
    out8(0x21, icw4);
    out8(0xa0, 0x11);
    out8(0xa1, 0x28);
    out8(0xa1, 0x02);
    out8(0xa1, 0x01);
}

static void test_nesting(void **state)
{
    make(0x01);
    raise_irq(4);
    assert_int_equal(fake_lines[INTR].level, 1);
    assert_int_equal(in8(0x20), 0x10); /* IRR */
    assert_int_equal(pic_ack(pic), 0x24);
    assert_int_equal(fake_lines[INTR].level, 0);
    out8(0x20, 0x0b);
    assert_int_equal(in8(0x20), 0x10); /* ISR */
    raise_irq(6); /* lower priority: waits */
    assert_int_equal(fake_lines[INTR].level, 0);
    raise_irq(1); /* higher: at once */
    assert_int_equal(fake_lines[INTR].level, 1);
    assert_int_equal(pic_ack(pic), 0x21);
    out8(0x20, 0x20); /* non-specific EOI ends IR1 */
    assert_int_equal(in8(0x20), 0x10);
    assert_int_equal(fake_lines[INTR].level, 0);
    out8(0x20, 0x64); /* specific EOI of IR4 */
    assert_int_equal(in8(0x20), 0);
    assert_int_equal(pic_ack(pic), 0x26);
    out8(0x20, 0x20);
    assert_int_equal(fake_lines[INTR].level, 0);
}

/* edge - what the counts of edges go up by: taken, merged, masked. */
static void edge(unsigned n, unsigned taken, unsigned merged, unsigned masked)
{
    const IrqCount before = irq_count;

    raise_irq(n);
    lower_irq(n);
    assert_int_equal(irq_count.taken - before.taken, taken);
    assert_int_equal(irq_count.merged - before.merged, merged);
    assert_int_equal(irq_count.masked - before.masked, masked);
}

static void test_edges_are_counted(void **state)
{
    make(0x01);
    edge(0, 1, 0, 0);
    edge(0, 0, 1, 0);
    assert_int_equal(pic_ack(pic), 0x20);
    edge(0, 1, 0, 0); /* in service, and the next one waits */
    out8(0x21, 0x01);
    edge(0, 0, 0, 1);
    out8(0x20, 0x20);
    out8(0x21, 0);
    assert_int_equal(pic_ack(pic), 0x20);
    out8(0x20, 0x20);
    out8(0x21, 0x01);
    edge(0, 1, 0, 0); /* a mask does not keep it from being latched */
    edge(0, 0, 0, 1);
}

static void test_slave_and_spurious(void **state)
{
    make(0x01);
    assert_int_equal(pic_ack(pic), 0x27); /* nothing: default IR7 */
    assert_int_equal(in8(0x20) | in8(0xa0), 0);
    raise_irq(12);
    assert_int_equal(fake_lines[INTR].level, 1);
    assert_int_equal(pic_ack(pic), 0x2c);
    out8(0xa0, 0x20);
    out8(0x20, 0x20);
    lower_irq(12);
    raise_irq(9);
    raise_irq(10);
    assert_int_equal(pic_ack(pic), 0x29);
    out8(0x20, 0x20); /* the master alone: the slave still has IR1 in service */
    assert_int_equal(fake_lines[INTR].level, 0);
    out8(0xa0, 0x20);
    assert_int_equal(fake_lines[INTR].level, 1);
    assert_int_equal(pic_ack(pic), 0x2a);
}

static void test_mask_and_special_mask(void **state)
{
    make(0x01);
    out8(0x21, 0x08);
    raise_irq(3);
    assert_int_equal(fake_lines[INTR].level, 0);
    out8(0x21, 0x00);
    assert_int_equal(fake_lines[INTR].level, 1);
    assert_int_equal(pic_ack(pic), 0x23);
    raise_irq(5);
    assert_int_equal(fake_lines[INTR].level, 0);
    out8(0x20, 0x68);  /* special mask mode */
    out8(0x21, 0x08);  /* mask the one in service: the others come through */
    assert_int_equal(fake_lines[INTR].level, 1);
    out8(0x20, 0x48);
    assert_int_equal(fake_lines[INTR].level, 0);
}

static void test_rotation(void **state)
{
    make(0x01);
    out8(0x20, 0xc3); /* set priority: IR3 lowest, IR4 highest */
    raise_irq(1);
    raise_irq(5);
    assert_int_equal(pic_ack(pic), 0x25);
    out8(0x20, 0xa0); /* rotate on non-specific EOI: IR5 lowest, IR6 highest */
    raise_irq(6);
    assert_int_equal(pic_ack(pic), 0x26);
    out8(0x20, 0xe6); /* rotate on specific EOI */
    assert_int_equal(pic_ack(pic), 0x21);
}

static void test_auto_eoi_and_poll(void **state)
{
    make(0x03);
    raise_irq(4);
    assert_int_equal(pic_ack(pic), 0x24);
    out8(0x20, 0x0b);
    assert_int_equal(in8(0x20), 0);
    raise_irq(5);
    out8(0x20, 0x0c); /* poll */
    assert_int_equal(in8(0x20), 0x85);
    out8(0x20, 0x0c);
    assert_int_equal(in8(0x20), 0x00);
}

static void test_level(void **state)
{
    make(0x01);
    out8(0x4d0, 0xff);
    out8(0x4d1, 0xff);
    assert_int_equal(in8(0x4d0), 0xf8);
    assert_int_equal(in8(0x4d1), 0xde);
    raise_irq(10);
    assert_int_equal(pic_ack(pic), 0x2a);
    out8(0xa0, 0x20);
    out8(0x20, 0x20);
    assert_int_equal(fake_lines[INTR].level, 1); /* still asserted */
    lower_irq(10);
    assert_int_equal(fake_lines[INTR].level, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_nesting), FAKE_TEST(test_edges_are_counted), FAKE_TEST(test_slave_and_spurious),
        FAKE_TEST(test_mask_and_special_mask), FAKE_TEST(test_rotation),
        FAKE_TEST(test_auto_eoi_and_poll), FAKE_TEST(test_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
