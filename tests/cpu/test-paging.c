/*
 * Paging: the permission matrix, error codes, accessed and dirty bits, reserved bits, in the three
 * formats. Expected values follow Intel SDM vol. 3A, "Determination of Access Rights", "Page-Fault
 * Exceptions" and "Accessed and Dirty Flags", computed here from those rules alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cpu/tlb.h"
#include "tests/lib/guest.h"

enum Format { F_32, F_PAE, F_4LEVEL };

#define ROOT 0x100000u
#define LIN 0x40123000ull
#define TARGET 0x200000u

static CpuState *c;

static int begin(void **state)
{
    c = guest_begin("max");
    return 0;
}

static int end(void **state)
{
    guest_end();
    return 0;
}

/* One translation of LIN; @up and @leaf are the low flag bits of the upper entries and the last. */
static void map(enum Format f, uint64_t up, uint64_t leaf)
{
    uint64_t zero[512] = { 0 };

    for (unsigned n = 0; n < 4; n++) {
        guest_put(ROOT + n * 0x1000, zero, sizeof(zero));
    }
    guest_flat(c, 32, 0x1000);
    c->cr3 = ROOT;
    c->cr4 = f == F_32 ? CR4_PSE : CR4_PAE;
    c->efer = EFER_NXE | (f == F_4LEVEL ? EFER_LME | EFER_LMA : 0);
    if (f == F_32) {
        uint32_t pde = (ROOT + 0x1000) | (uint32_t)up, pte = TARGET | (uint32_t)leaf;

        guest_put(ROOT + (LIN >> 22) * 4, &pde, 4);
        guest_put(ROOT + 0x1000 + (LIN >> 12 & 1023) * 4, &pte, 4);
    } else {
        uint64_t pml4e = (ROOT + 0x1000) | up, pdpte = (ROOT + 0x2000) | (f == F_PAE ? 1 : up);
        uint64_t pde = (ROOT + 0x3000) | up, pte = TARGET | leaf;

        guest_put(ROOT, &pml4e, 8);
        guest_put(ROOT + 0x1000 + (LIN >> 30 & 511) * 8, &pdpte, 8);
        guest_put(ROOT + 0x2000 + (LIN >> 21 & 511) * 8, &pde, 8);
        guest_put(ROOT + 0x3000 + (LIN >> 12 & 511) * 8, &pte, 8);
        c->pdpte[LIN >> 30 & 3] = pdpte;
    }
    c->cr0 |= CR0_PG;
}

static uint64_t leaf_entry(enum Format f)
{
    uint64_t e = 0;

    memcpy(&e, guest_ram(f == F_32 ? ROOT + 0x1000 + (LIN >> 12 & 1023) * 4
                                   : ROOT + 0x3000 + (LIN >> 12 & 511) * 8), f == F_32 ? 4 : 8);
    return e;
}

/* The rules, as the manual gives them. */
static bool allowed(enum Format f, uint64_t up, uint64_t leaf, Access a, bool user, bool wp,
                    bool smep, bool smap_on)
{
    uint64_t both = up & leaf;
    bool u = (both & 4) != 0, w = (both & 2) != 0;
    bool nx = f != F_32 && ((up | leaf) >> 63);

    if (user && !u) {
        return false;
    }
    if (a == ACC_EXEC) {
        return !nx && (user || !(u && smep));
    }
    if (!user && u && smap_on) {
        return false;
    }
    if (a == ACC_WRITE) {
        return w || (!user && !wp);
    }
    return true;
}

static void matrix(enum Format f)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        uint64_t up = 1 | (bits & 1 ? 2 : 0) | (bits & 2 ? 4 : 0);
        uint64_t leaf = 1 | (bits & 4 ? 2 : 0) | (bits & 8 ? 4 : 0);

        up |= bits & 16 && f != F_32 ? 1ull << 63 : 0;
        leaf |= bits & 32 && f != F_32 ? 1ull << 63 : 0;
        for (unsigned how = 0; how < 3 * 2 * 8; how++) {
            Access a = how % 3;
            bool user = how / 3 % 2, wp = how / 6 & 1, smep = how / 12 & 1, smap = how / 24 & 1;
            MmuMode mode = user ? MMU_USER : smap ? MMU_SUPER_SMAP : MMU_SUPER;
            bool want = allowed(f, up, leaf, a, user, wp, smep, smap), got;
            uint32_t err = 0;
            Translation t;

            if (f == F_PAE && (up >> 63)) {
                continue; /* PDPTEs have no NX here */
            }
            map(f, up, leaf);
            c->cr0 = (c->cr0 & ~CR0_WP) | (wp ? CR0_WP : 0);
            c->cr4 |= (smep ? CR4_SMEP : 0) | (smap ? CR4_SMAP : 0);
            got = mmu_walk(c, LIN + 5, a, mode, &t, &err);
            assert_int_equal(got, want);
            if (got) {
                assert_int_equal(t.pa, TARGET + 5);
                assert_int_equal(leaf_entry(f) & 0x60, a == ACC_WRITE ? 0x60 : 0x20);
            } else {
                bool fetch_bit = a == ACC_EXEC && (f != F_32 || smep);

                assert_int_equal(err, 1 | (a == ACC_WRITE ? 2 : 0) | (user ? 4 : 0) |
                                          (fetch_bit ? 16 : 0));
                assert_int_equal(leaf_entry(f) & 0x60, 0); /* a fault changes nothing */
            }
        }
    }
}

static void matrix_32bit(void **state)
{
    matrix(F_32);
}

static void matrix_pae(void **state)
{
    matrix(F_PAE);
}

static void matrix_4level(void **state)
{
    matrix(F_4LEVEL);
}

static void not_present_and_reserved(void **state)
{
    Translation t;
    uint32_t err;

    for (enum Format f = F_32; f <= F_4LEVEL; f++) {
        map(f, 7, 6);
        assert_false(mmu_walk(c, LIN, ACC_WRITE, MMU_USER, &t, &err));
        assert_int_equal(err, 6);
        map(f, 0, 7);
        if (f != F_PAE) {
            assert_false(mmu_walk(c, LIN, ACC_READ, MMU_SUPER, &t, &err));
            assert_int_equal(err, 0);
        }
    }
    for (enum Format f = F_PAE; f <= F_4LEVEL; f++) {
        map(f, 7, 7 | 1ull << 51); /* beyond MAXPHYADDR (46) */
        assert_false(mmu_walk(c, LIN, ACC_READ, MMU_SUPER, &t, &err));
        assert_int_equal(err, PF_P | PF_RSVD);
        map(f, 7, 7 | 1ull << 63);
        c->efer &= ~EFER_NXE; /* then bit 63 is reserved */
        assert_false(mmu_walk(c, LIN, ACC_READ, MMU_SUPER, &t, &err));
        assert_int_equal(err, PF_P | PF_RSVD);
    }
}

static void dirty_only_after_a_write(void **state)
{
    uint32_t err;
    Translation t;

    for (enum Format f = F_32; f <= F_4LEVEL; f++) {
        map(f, 7, 7);
        assert_true(mmu_walk(c, LIN, ACC_READ, MMU_SUPER, &t, &err));
        assert_false(t.writable); /* the next store must walk again to set the dirty bit */
        assert_true(mmu_walk(c, LIN, ACC_WRITE, MMU_SUPER, &t, &err));
        assert_true(t.writable);
        assert_true(mmu_walk(c, LIN, ACC_READ, MMU_SUPER, &t, &err));
        assert_true(t.writable);
    }
}

static void large_pages(void **state)
{
    uint64_t big = 0x200000 | 0x87;
    uint32_t big32 = 0x87, err;
    Translation t;

    map(F_4LEVEL, 7, 7);
    guest_put(ROOT + 0x2000 + (LIN >> 21 & 511) * 8, &big, 8);
    assert_true(mmu_walk(c, LIN + 0x54321, ACC_WRITE, MMU_USER, &t, &err));
    assert_int_equal(t.pa, 0x200000 + ((LIN + 0x54321) & 0x1fffff));
    big |= 1 << 13; /* reserved in a 2 MiB entry */
    guest_put(ROOT + 0x2000 + (LIN >> 21 & 511) * 8, &big, 8);
    assert_false(mmu_walk(c, LIN, ACC_READ, MMU_USER, &t, &err));
    assert_int_equal(err, PF_P | PF_RSVD | PF_U);

    map(F_32, 7, 7);
    guest_put(ROOT + (LIN >> 22) * 4, &big32, 4);
    assert_true(mmu_walk(c, LIN + 7, ACC_READ, MMU_USER, &t, &err));
    assert_int_equal(t.pa, (LIN + 7) & 0x3fffff);
    big32 |= 1 << 13; /* PSE-36: bit 32 of the address */
    guest_put(ROOT + (LIN >> 22) * 4, &big32, 4);
    assert_true(mmu_walk(c, LIN + 7, ACC_READ, MMU_USER, &t, &err));
    assert_int_equal(t.pa, 0x100000000ull + ((LIN + 7) & 0x3fffff));
}

/* SDM vol. 2, INVLPG: "all TLB entries for the page", also of a large one cached in parts. */
static void invlpg_of_a_large_page(void **state)
{
    /* mov (%rbx), %eax; mov 0x5000(%rbx), %ecx; movl $0x87, (%rdi); invlpg 0x9000(%rbx);
     * mov (%rbx), %edx; mov 0x5000(%rbx), %esi; hlt: the PDE moves from frame 2 MiB to frame 0 */
    static const uint8_t code[] = {
        0x8b, 0x03, 0x8b, 0x8b, 0x00, 0x50, 0x00, 0x00, 0xc7, 0x07, 0x87, 0x00, 0x00, 0x00,
        0x0f, 0x01, 0xbb, 0x00, 0x90, 0x00, 0x00, 0x8b, 0x13, 0x8b, 0xb3, 0x00, 0x50, 0x00, 0x00, 0xf4,
    };
    uint32_t a = 0x11111111, b = 0x22222222, d = 0x33333333, e = 0x44444444;

    guest_put(0x1000, code, sizeof(code));
    guest_put(0x200000 + 0x20000, &a, 4);
    guest_put(0x200000 + 0x25000, &b, 4);
    guest_put(0x20000, &d, 4);
    guest_put(0x25000, &e, 4);
    guest_flat(c, 64, 0x1000);
    c->regs[GPR_RBX] = 0x220000;
    c->regs[GPR_RDI] = 0x3f2008; /* the second PDE */
    assert_true(guest_run(c, 100));
    assert_int_equal(c->regs[GPR_RAX], a);
    assert_int_equal(c->regs[GPR_RCX], b);
    assert_int_equal(c->regs[GPR_RDX], d);
    assert_int_equal(c->regs[GPR_RSI], e);
}

static uint32_t at_lin(void)
{
    uint32_t v;

    lin_read(c, LIN, &v, 4, MMU_SUPER, SEG_DS);
    return v;
}

#define TARGET2 0x201000u
#define KEEP (1ull << 63)

/* SDM vol. 3A, 4.10.4.1, "MOV to CR3": what is known of a PCID goes, but with bit 63; INVLPG is for the present PCID only. */
static void translations_by_pcid(void **state)
{
    uint32_t first = 0x11111111, second = 0x22222222;
    uint64_t other = TARGET2 | 7;

    guest_put(TARGET, &first, 4);
    guest_put(TARGET2, &second, 4);
    map(F_4LEVEL, 7, 7);
    c->cr4 |= CR4_PCIDE;
    tlb_flush(c, true);
    cpu_set_cr3(c, ROOT | 1);
    assert_int_equal(at_lin(), first);
    guest_put(ROOT + 0x3000 + (LIN >> 12 & 511) * 8, &other, 8);
    cpu_set_cr3(c, ROOT | 2);
    assert_int_equal(at_lin(), second); /* it is PCID 1's alone */
    tlb_flush_page(c, LIN);
    cpu_set_cr3(c, ROOT | 1 | KEEP);
    assert_int_equal(at_lin(), first); /* kept: the walk would find the other */
    tlb_flush_page(c, LIN);
    assert_int_equal(at_lin(), second);

    other = TARGET | 7; /* and back */
    guest_put(ROOT + 0x3000 + (LIN >> 12 & 511) * 8, &other, 8);
    cpu_set_cr3(c, ROOT | 2 | KEEP);
    cpu_set_cr3(c, ROOT | 1); /* without bit 63 */
    assert_int_equal(at_lin(), first);
    other = TARGET2 | 7;
    guest_put(ROOT + 0x3000 + (LIN >> 12 & 511) * 8, &other, 8);
    cpu_set_cr3(c, ROOT | 2);
    tlb_flush(c, true); /* INVPCID of all, CR4, ... */
    cpu_set_cr3(c, ROOT | 1 | KEEP);
    assert_int_equal(at_lin(), second);
}

/* What was put aside is writable no more where a page is looked at meanwhile. */
static void put_aside_while_a_page_became_tracked(void **state)
{
    uint32_t v = 1, *word = ram_tracker(TARGET);

    map(F_4LEVEL, 7, 7);
    c->cr4 |= CR4_PCIDE;
    tlb_flush(c, true);
    cpu_set_cr3(c, ROOT | 1);
    lin_write(c, LIN, &v, 4, MMU_SUPER, SEG_DS);
    assert_non_null(tlb_wptr(c, MMU_SUPER, LIN, 4));
    cpu_set_cr3(c, ROOT | 2);
    __atomic_fetch_add(word, TRACK_CODE, __ATOMIC_SEQ_CST);
    cpu_set_cr3(c, ROOT | 1 | KEEP);
    assert_non_null(tlb_rptr(c, MMU_SUPER, LIN, 4));
    assert_null(tlb_wptr(c, MMU_SUPER, LIN, 4));
    __atomic_fetch_sub(word, TRACK_CODE, __ATOMIC_SEQ_CST);
    cpu_set_cr3(c, ROOT | 2);
    cpu_set_cr3(c, ROOT | 1 | KEEP);
    lin_write(c, LIN, &v, 4, MMU_SUPER, SEG_DS);
    assert_non_null(tlb_wptr(c, MMU_SUPER, LIN, 4));
}

/* What was put aside goes when the memory map changes, also inside of an instruction. */
static void put_aside_while_the_map_changed(void **state)
{
    uint32_t v = 1;

    map(F_4LEVEL, 7, 7);
    c->cr4 |= CR4_PCIDE;
    tlb_flush(c, true);
    cpu_set_cr3(c, ROOT | 1);
    lin_write(c, LIN, &v, 4, MMU_SUPER, SEG_DS);
    cpu_set_cr3(c, ROOT | 2);
    cpu_see_view(c);
    cpu_set_cr3(c, ROOT | 1 | KEEP);
    assert_null(tlb_rptr(c, MMU_SUPER, LIN, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(matrix_32bit, begin, end),
        cmocka_unit_test_setup_teardown(matrix_pae, begin, end),
        cmocka_unit_test_setup_teardown(matrix_4level, begin, end),
        cmocka_unit_test_setup_teardown(not_present_and_reserved, begin, end),
        cmocka_unit_test_setup_teardown(dirty_only_after_a_write, begin, end),
        cmocka_unit_test_setup_teardown(large_pages, begin, end),
        cmocka_unit_test_setup_teardown(invlpg_of_a_large_page, begin, end),
        cmocka_unit_test_setup_teardown(translations_by_pcid, begin, end),
        cmocka_unit_test_setup_teardown(put_aside_while_a_page_became_tracked, begin, end),
        cmocka_unit_test_setup_teardown(put_aside_while_the_map_changed, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
