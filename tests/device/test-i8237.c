/*
 * The DMA controllers, by the 8237A data sheet: registers through the flip-flop, transfers of bytes and words in
 * all directions, terminal count, autoinitialization, masks, page registers.
 */
#include "tests/device/fake.h"

#include "hw/dma/i8237.h"

static IsaDma *dma;
static unsigned ready_calls;

static void ready(void *opaque)
{
    ready_calls++;
}

static void ram(void)
{
    static IoRegion r;

    if (ram_host() == NULL) {
        assert_true(ram_create(16 << 20, NULL));
    }
    memset(ram_host(), 0, 1 << 20);
    if (!r.mapped) {
        ram_region_init(&r, "ram", 0, 16 << 20);
        assert_true(mem_map(&r, 0, 0, false, NULL));
    }
}

static void make(void)
{
    ram();
    dma = i8237_dma(fake_realize(fake_device(&i8237_class)));
    ready_calls = 0;
}

/* program - channel @n for @count units at @addr; the mask stays set. */
static void program(unsigned n, uint8_t mode, uint32_t addr, unsigned count)
{
    static const uint8_t page[8] = { 0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a };
    unsigned base = n < 4 ? 0 : 0xc0, step = n < 4 ? 1 : 2, c = n & 3;
    uint32_t a = n < 4 ? addr : addr >> 1;

    out8((uint16_t)(base + 0xc * step), 0);
    out8((uint16_t)(base + 0xb * step), (uint8_t)(mode | c));
    out8((uint16_t)(base + 2 * c * step), (uint8_t)a);
    out8((uint16_t)(base + 2 * c * step), (uint8_t)(a >> 8));
    out8((uint16_t)(base + (2 * c + 1) * step), (uint8_t)(count - 1));
    out8((uint16_t)(base + (2 * c + 1) * step), (uint8_t)((count - 1) >> 8));
    out8(page[n], (uint8_t)(addr >> 16));
}

static void unmask(unsigned n)
{
    out8(n < 4 ? 0x0a : 0xd4, n & 3);
}

static void test_registers(void **state)
{
    make();
    program(1, 0x44, 0x23456, 0x1234);
    out8(0x0c, 0);
    assert_int_equal(in8(0x02), 0x56);
    assert_int_equal(in8(0x02), 0x34);
    assert_int_equal(in8(0x03), 0x33);
    assert_int_equal(in8(0x03), 0x12);
    assert_int_equal(in8(0x83), 0x02);
    out8(0x84, 0x5a); /* belongs to no channel: keeps what is written */
    assert_int_equal(in8(0x84), 0x5a);
    assert_int_equal(in8(0x0f) & 0x0f, 0x0f); /* all masked by the reset */
    out8(0x0e, 0);
    assert_int_equal(in8(0x0f) & 0x0f, 0);
    out8(0x0a, 0x06);
    assert_int_equal(in8(0x0f) & 0x0f, 4);
    out8(0x0d, 0); /* "Master clear" */
    assert_int_equal(in8(0x0f) & 0x0f, 0x0f);
}

static void test_device_to_memory(void **state)
{
    uint8_t data[10] = "0123456789";
    bool tc;

    make();
    program(2, 0x44, 0x21000, 6);
    isa_dma_connect(dma, 2, ready, NULL);
    isa_dma_request(dma, 2, true);
    assert_false(isa_dma_ready(dma, 2));
    assert_int_equal(isa_dma_put(dma, 2, data, 4, &tc), 0); /* masked, and so is the cascade */
    unmask(2);
    assert_int_equal(ready_calls, 0);
    unmask(4);
    assert_int_equal(ready_calls, 1);
    assert_int_equal(isa_dma_put(dma, 2, data, 4, &tc), 4);
    assert_false(tc);
    assert_int_equal(in8(0x08), 0x40); /* the request, no terminal count */
    assert_int_equal(isa_dma_put(dma, 2, data + 4, 6, &tc), 2);
    assert_true(tc);
    assert_memory_equal(ram_host() + 0x21000, "012345\0\0", 8);
    assert_int_equal(in8(0x08), 0x44);
    assert_int_equal(in8(0x08), 0x40); /* reading cleared it */
    assert_int_equal(in8(0x0f) & 0x0f, 0x0f); /* masked by terminal count */
    out8(0x0c, 0);
    assert_int_equal(in8(0x04), 0x06); /* the address went on */
    assert_int_equal(in8(0x04), 0x10);
    assert_int_equal(in8(0x05), 0xff); /* "from zero to FFFFH" */
    assert_int_equal(in8(0x05), 0xff);
}

static void test_memory_to_device(void **state)
{
    uint8_t data[4];
    bool tc;

    make();
    memcpy(ram_host() + 0x30000, "abcdefgh", 8);
    unmask(4);
    program(3, 0x48 | 0x20, 0x30003, 4); /* downwards */
    isa_dma_request(dma, 3, true);
    unmask(3);
    assert_int_equal(isa_dma_get(dma, 3, data, 4, &tc), 4);
    assert_true(tc);
    assert_memory_equal(data, "dcba", 4);

    program(3, 0x58, 0x30004, 2); /* autoinitialize */
    unmask(3);
    assert_int_equal(isa_dma_get(dma, 3, data, 4, &tc), 2);
    assert_true(tc);
    assert_int_equal(isa_dma_get(dma, 3, data + 2, 2, &tc), 2);
    assert_memory_equal(data, "efef", 4);

    program(3, 0x40, 0x30000, 4); /* verify: nothing moves, but it counts */
    unmask(3);
    assert_int_equal(isa_dma_put(dma, 3, "WXYZ", 4, &tc), 4);
    assert_true(tc);
    assert_memory_equal(ram_host() + 0x30000, "abcd", 4);
}

static void test_words_and_wrap(void **state)
{
    bool tc;

    make();
    program(5, 0x44, 0x3fffe, 2); /* the page gives bits 23:17, and the address does not carry into it */
    isa_dma_request(dma, 5, true);
    unmask(5);
    assert_int_equal(isa_dma_put(dma, 5, "1234", 4, &tc), 4);
    assert_true(tc);
    assert_memory_equal(ram_host() + 0x3fffe, "12", 2);
    assert_memory_equal(ram_host() + 0x20000, "34", 2);

    unmask(4);
    program(1, 0x44, 0x2ffff, 2);
    isa_dma_request(dma, 1, true);
    unmask(1);
    assert_int_equal(isa_dma_put(dma, 1, "xy", 2, &tc), 2);
    assert_int_equal(ram_host()[0x2ffff], 'x');
    assert_int_equal(ram_host()[0x20000], 'y'); /* within the page of 64 KiB */

    program(1, 0x44, 0x1000, 2);
    unmask(1);
    out8(0x08, 0x04); /* "Command register": controller disabled */
    assert_int_equal(isa_dma_put(dma, 1, "xy", 2, &tc), 0);
    isa_dma_request(dma, 1, false);
    out8(0x08, 0);
    assert_int_equal(isa_dma_put(dma, 1, "xy", 2, &tc), 0); /* no request */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_registers),
        FAKE_TEST(test_device_to_memory),
        FAKE_TEST(test_memory_to_device),
        FAKE_TEST(test_words_and_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
