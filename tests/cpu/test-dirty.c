/*
 * The dirty log (bus/memory.h): what it reports, what it costs the processors, and that no store is
 * lost while processors store and someone else looks.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "accel/accel.h"
#include "base/error.h"
#include "bus/lock.h"
#include "bus/state.h"
#include "tests/lib/guest.h"

#define PAGES 8u
#define BLOCK_AT 0xc0000000u /* where the guest sees the block */

static CpuState *c[GUEST_CPUS];
static uint64_t block;
static IoRegion region;
static DirtyLog pages;

static int begin(void **state)
{
    guest_begin_many("max", 2, c);
    machine_lock();
    assert_true(ram_block_new("video", PAGES * PAGE_SIZE, &block, NULL));
    ram_region_init(&region, "video", block, PAGES * PAGE_SIZE);
    assert_true(mem_map(&region, BLOCK_AT, 0, false, NULL));
    dirty_log_start(&pages, block, PAGES * PAGE_SIZE);
    machine_unlock();
    return 0;
}

static int end(void **state)
{
    machine_lock();
    dirty_log_stop(&pages);
    mem_unmap(&region);
    ram_block_free(block);
    machine_unlock();
    guest_end();
    return 0;
}

/* The pages that a harvest reports. */
static uint64_t harvest_of(uint64_t first, uint64_t len)
{
    uint64_t map = 0;
    bool any;

    machine_lock();
    any = dirty_harvest(&pages, first, len, &map);
    machine_unlock();
    assert_int_equal(any, map != 0);
    return map;
}
static uint64_t harvest(void)
{
    return harvest_of(0, UINT64_MAX);
}

static void test_writers(void **state)
{
    uint32_t v = 1;
    StateBuf b = { 0 };

    assert_int_equal(ram_size(), GUEST_RAM); /* a block is no guest memory */
    assert_int_equal(ram_total(), GUEST_RAM + PAGES * PAGE_SIZE);
    assert_int_equal(harvest(), 0xff); /* at first, all */
    assert_int_equal(harvest(), 0);
    machine_lock();
    assert_true(dma_write(BLOCK_AT + 2 * PAGE_SIZE - 2, &v, 4));
    machine_unlock();
    assert_int_equal(harvest(), 0x06);
    assert_int_equal(harvest(), 0);
    mmio_write(&region, 5 * PAGE_SIZE, 0x55, 1);
    assert_int_equal(ram_host()[block + 5 * PAGE_SIZE], 0x55);
    assert_int_equal(harvest_of(0, 5 * PAGE_SIZE), 0); /* not asked for */
    assert_int_equal(harvest_of(6 * PAGE_SIZE - 1, 1), 0x20);
    machine_lock();
    ram_host()[block + PAGE_SIZE * 7] = 1;
    ram_stored(block + PAGE_SIZE * 7, 1);
    machine_unlock();
    assert_int_equal(harvest(), 0x80);

    /* saved with the guest's memory, and all dirty after a load */
    machine_lock();
    ram_save(&b);
    ram_host()[block + 5 * PAGE_SIZE] = 0;
    assert_true(ram_load(&b, NULL));
    machine_unlock();
    state_buf_free(&b);
    assert_int_equal(ram_host()[block + 5 * PAGE_SIZE], 0x55);
    assert_int_equal(harvest(), 0xff);
}

static void test_blocks(void **state)
{
    uint64_t a, b, d;
    Error *err = NULL;

    machine_lock();
    assert_true(ram_block_new("a", PAGE_SIZE, &a, NULL));
    assert_true(ram_block_new("b", PAGE_SIZE, &b, NULL));
    assert_int_equal(b, a + PAGE_SIZE);
    memset(ram_host() + a, 0xaa, PAGE_SIZE);
    ram_block_free(a);
    assert_true(ram_block_new("d", PAGE_SIZE, &d, NULL));
    assert_int_equal(d, a);
    assert_int_equal(ram_host()[d], 0); /* nothing of the owner before */
    assert_false(ram_block_new("e", 1ull << 40, &d, &err));
    assert_non_null(err);
    error_free(err);
    machine_unlock();
}

#define CODE(name, text)                                                                           \
    extern const uint8_t code_##name[], code_##name##_end[];                                       \
    __asm__(".pushsection .rodata\ncode_" #name ":\n" text "\ncode_" #name "_end:\n.popsection\n")

/* Store a counter to a word of each page in turn, rcx times: plainly, locked, by string moves. */
CODE(stores, "1: mov %ecx, %edi\n and $7, %edi\n shl $12, %edi\n add %rbx, %rdi\n"
             "mov %rcx, (%rdi)\n lock incq 8(%rdi)\n lea 16(%rdi), %rdi\n mov %rcx, %rax\n"
             "stosq\n stosq\n xchg %rax, 64(%rdi)\n dec %rcx\n jnz 1b\n hlt");

static void program(unsigned cpu, uint64_t rbx, uint64_t rcx)
{
    uint32_t at = 0x1000 + cpu * 0x400;

    guest_put(at, code_stores, (size_t)(code_stores_end - code_stores));
    guest_flat(c[cpu], 64, at);
    c[cpu]->activity = CPU_RUNNING;
    c[cpu]->regs[GPR_RBX] = rbx;
    c[cpu]->regs[GPR_RCX] = rcx;
}

static void copy_dirty(uint8_t *shadow, uint64_t map)
{
    for (unsigned n = 0; n < PAGES; n++) {
        if (map >> n & 1) {
            memcpy(shadow + n * PAGE_SIZE, ram_host() + block + n * PAGE_SIZE, PAGE_SIZE);
        }
    }
}

/* Two processors store as fast as they can, this thread harvests and copies what is dirty. What it
 * has in the end is what is there. */
static void test_nothing_lost(void **state)
{
    uint8_t *shadow = calloc(PAGES, PAGE_SIZE);
    unsigned looks = 0;

    for (unsigned round = 0; round < 30; round++) {
        machine_lock();
        mem_unmap(&region); /* block over RAM that the flat test page tables reach */
        assert_true(mem_map(&region, 0x200000, 1, false, NULL));
        machine_unlock();
        for (unsigned k = 0; k < 2; k++) {
            program(k, 0x200000 + 256 * k, 5000 + round * 997);
        }
        accel_resume();
        do {
            uint64_t map = harvest();

            copy_dirty(shadow, map);
            looks++;
            if (round & 1) {
                sched_yield();
            }
        } while (*(volatile CpuActivity *)&c[0]->activity == CPU_RUNNING ||
                 *(volatile CpuActivity *)&c[1]->activity == CPU_RUNNING);
        accel_pause();
        copy_dirty(shadow, harvest());
        assert_memory_equal(shadow, ram_host() + block, PAGES * PAGE_SIZE);
        assert_int_equal(harvest(), 0); /* paused: one harvest has all */
    }
    assert_true(looks > 30);
    free(shadow);
}

static unsigned collects, changes;

static void note_collect(void *opaque, uint64_t ram_offset, uint64_t len)
{
    collects++;
    assert_true(ram_offset == block + 2 * PAGE_SIZE && len == 3 * PAGE_SIZE);
    dirty_mark(block + 4 * PAGE_SIZE, 1);
}

static void note_change(void *opaque)
{
    changes++;
}

/* An engine whose stores pass by the tracker words tells them before the harvest looks. */
static void test_collect(void **state)
{
    static const MemListener listener = { .collect = note_collect, .logs_changed = note_change };
    DirtyLog more;

    harvest();
    mem_set_listener(&listener);
    assert_int_equal(harvest_of(2 * PAGE_SIZE, 3 * PAGE_SIZE), 1 << 4);
    assert_int_equal(collects, 1);
    assert_true(dirty_logged(block + PAGES * PAGE_SIZE - 1, 2));
    assert_false(dirty_logged(block + PAGES * PAGE_SIZE, PAGE_SIZE) || dirty_logged(0, block));
    machine_lock();
    dirty_log_start(&more, 0, PAGE_SIZE);
    assert_true(changes == 1 && dirty_logged(0, block) && !dirty_logged(PAGE_SIZE, PAGE_SIZE));
    dirty_log_stop(&more);
    assert_true(changes == 2 && !dirty_logged(0, PAGE_SIZE));
    machine_unlock();
}

/* A harvest that finds nothing asks nothing of the processors; one that finds something asks once. */
static void test_quiet(void **state)
{
    harvest();
    c[0]->requests = c[1]->requests = 0;
    assert_int_equal(harvest(), 0);
    assert_int_equal(c[0]->requests | c[1]->requests, 0);
    mmio_write(&region, 0, 1, 1);
    assert_int_equal(harvest(), 1);
    assert_int_equal(c[0]->requests, REQ_PROTECT);
    assert_int_equal(c[1]->requests, REQ_PROTECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writers, begin, end),
        cmocka_unit_test_setup_teardown(test_blocks, begin, end),
        cmocka_unit_test_setup_teardown(test_quiet, begin, end),
        cmocka_unit_test_setup_teardown(test_collect, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_lost, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
