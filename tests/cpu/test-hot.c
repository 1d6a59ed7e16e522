/*
 * What a guest changes under code that is hot, so that it is translated code that must notice: permissions, accessed and dirty
 * bits, aliases, CR0.WP, SMAP, NX, segment limits, breakpoints, single steps. Handlers in the guest count what comes, and
 * mend it; each test knows how often that is, by Intel SDM vol. 3A, "Access Rights", "Limit Checking", vol. 3B, "Debug Exceptions".
 *
 * Memory is mapped one to one up to 4 MiB; page n from 4 MiB on is mapped by the table at PT.
 */
#include <stdlib.h>
#include "bus/memory.h"
#include "cpu/cpuid.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "tests/lib/guest.h"
#include "tests/test.h"

#define CODE(name, text)                                                                           \
    extern const uint8_t code_##name[], code_##name##_end[];                                       \
    __asm__(".pushsection .rodata\ncode_" #name ":\n" text "\ncode_" #name "_end:\n.popsection\n")
#define CODE32(name, text)                                                                         \
    extern const uint8_t code_##name[], code_##name##_end[];                                       \
    __asm__(".pushsection .rodata\n.code32\ncode_" #name ":\n" text "\ncode_" #name "_end:\n.code64\n.popsection\n")
#define PUT(at, name) guest_put(at, code_##name, (size_t)(code_##name##_end - code_##name))
#define RUN(name, handler) (PUT(HANDLER, handler), PUT(AT, name), run())

#define PT 0x3f3000 /* of 0x400000 to 0x5fffff */
#define AT 0x1000
#define IDT 0x2000
#define GDT 0x2c00
#define HANDLER 0x3000
#define TIMES 1000

static CpuState *c;

static int end(void **state)
{
    guest_end();
    return 0;
}

static void map(unsigned page, uint64_t pa, uint64_t bits)
{
    uint64_t e = pa | bits, pd = PT | 7;

    guest_put(0x3f2010, &pd, 8);
    guest_put(PT + 8 * page, &e, 8);
}

/* All exceptions go to HANDLER; interrupts come from nowhere. */
static int begin(void **state)
{
    uint64_t gdt[4] = { 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull, 0x0040930000000fffull }; /* the last: 4 KiB */

    c = guest_begin("max");
    guest_flat(c, 64, AT);
    guest_put(GDT, gdt, sizeof(gdt));
    c->gdtr = (DescTable){ GDT, sizeof(gdt) - 1 };
    c->idtr = (DescTable){ IDT, 32 * 16 - 1 };
    for (unsigned n = 0; n < 32; n++) {
        uint64_t gate[2] = { HANDLER | 8 << 16 | 0x8e0000000000ull, 0 };

        guest_put(IDT + n * 16, gate, 16);
    }
    c->regs[GPR_RSP] = 0x200000;
    c->regs[GPR_RBX] = 0x400000; /* page 0 */
    c->regs[GPR_RDX] = 0;
    c->regs[GPR_RSI] = PT;
    c->regs[GPR_RCX] = TIMES;
    return 0;
}

static int begin32(void **state)
{
    uint64_t gdt[4] = { 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull, 0x0040930000000fffull };

    c = guest_begin("max");
    guest_flat(c, 32, AT);
    guest_put(GDT, gdt, sizeof(gdt));
    c->gdtr = (DescTable){ GDT, sizeof(gdt) - 1 };
    c->idtr = (DescTable){ IDT, 32 * 8 - 1 };
    for (unsigned n = 0; n < 32; n++) {
        uint64_t gate = HANDLER | 8 << 16 | 0x8e0000000000ull;

        guest_put(IDT + n * 8, &gate, 8);
    }
    c->regs[GPR_RSP] = 0x200000;
    c->regs[GPR_RCX] = TIMES;
    return 0;
}

static void run(void)
{
    assert_true(guest_run(c, ~0ull >> 1));
    assert_int_equal(c->regs[GPR_RSP], 0x200000);
}

/* ---- pages ---- */

/* RBP counts, R12 gathers error codes; the page may be written and is present again. */
CODE(mend, "inc %rbp\n or (%rsp), %r12\n orl $3, (%rsi)\n invlpg (%rbx)\n add $8, %rsp\n iretq\n");
CODE(read_only, "1: andl $~2, (%rsi)\n invlpg (%rbx)\n mov (%rbx), %rax\n incq (%rbx)\n incq 8(%rbx)\n dec %ecx\n jnz 1b\n hlt\n");

static void pages_become_read_only(void **state)
{
    map(0, 0x100000, 7);
    RUN(read_only, mend);
    assert_int_equal(c->regs[GPR_RBP], TIMES);
    assert_int_equal(c->regs[GPR_R12], PF_P | PF_W);
    assert_int_equal(*guest_ram(0x100000) + *guest_ram(0x100001) * 256, TIMES);
    assert_int_equal(*guest_ram(0x100008) + *guest_ram(0x100009) * 256, TIMES);
}

CODE(absent, "1: andl $~1, (%rsi)\n invlpg (%rbx)\n mov (%rbx), %rax\n incq (%rbx)\n andl $~1, (%rsi)\n invlpg (%rbx)\n"
             " push (%rbx)\n pop %rdi\n dec %ecx\n jnz 1b\n hlt\n");

static void pages_go_and_come(void **state)
{
    map(0, 0x100000, 7);
    RUN(absent, mend);
    assert_int_equal(c->regs[GPR_RBP], 2 * TIMES);
    assert_int_equal(c->regs[GPR_R12], 0);
    assert_int_equal(c->regs[GPR_RDI], TIMES);
}

/* The access crosses into the page that is changed: nothing of it may be stored before the fault. */
CODE(crossing, "1: andl $~2, 8(%rsi)\n lea 0x1000(%rbx), %rdi\n invlpg (%rdi)\n mov %rcx, %rax\n mov 0xffc(%rbx), %edx\n"
               " mov %rax, 0xffc(%rbx)\n dec %ecx\n jnz 1b\n hlt\n");
CODE(mend_next, "inc %rbp\n or (%rsp), %r12\n mov 0xffc(%rbx), %eax\n xor %edx, %eax\n or %rax, %r13\n orl $2, 8(%rsi)\n"
                " lea 0x1000(%rbx), %rdi\n invlpg (%rdi)\n mov %rcx, %rax\n add $8, %rsp\n iretq\n");

static void stores_across_pages_are_whole(void **state)
{
    map(0, 0x100000, 7);
    map(1, 0x102000, 7);
    RUN(crossing, mend_next);
    assert_int_equal(c->regs[GPR_RBP], TIMES);
    assert_int_equal(c->regs[GPR_R12], PF_P | PF_W);
    assert_int_equal(c->regs[GPR_R13], 0);
}

CODE(accessed, "1: andl $~0x60, (%rsi)\n invlpg (%rbx)\n mov (%rbx), %rax\n mov (%rsi), %eax\n and $0x60, %eax\n add %eax, %edi\n"
               " mov %rax, (%rbx)\n mov (%rsi), %eax\n and $0x60, %eax\n add %eax, %ebp\n"
               " andl $~0x60, (%rsi)\n invlpg (%rbx)\n mov %rax, (%rbx)\n mov (%rsi), %eax\n and $0x60, %eax\n add %eax, %edx\n"
               " dec %ecx\n jnz 1b\n hlt\n");

static void accessed_and_dirty_bits(void **state)
{
    map(0, 0x100000, 7);
    RUN(accessed, mend);
    assert_int_equal(c->regs[GPR_RDI], TIMES * 0x20);
    assert_int_equal(c->regs[GPR_RBP], TIMES * 0x60);
    assert_int_equal(c->regs[GPR_RDX], TIMES * 0x60);
}

/* Two names of one page, and a third that may only read it. */
CODE(aliases, "1: mov %rcx, (%rbx)\n add 0x1000(%rbx), %rax\n inc %rcx\n mov %rcx, 0x1000(%rbx)\n add 0x2000(%rbx), %rdx\n"
              " lock decq (%rbx)\n mov 0x2000(%rbx), %rcx\n dec %rcx\n jnz 1b\n hlt\n");

static void aliases_see_each_other(void **state)
{
    map(0, 0x100000, 7);
    map(1, 0x100000, 7);
    map(2, 0x100000, 5);
    RUN(aliases, mend);
    assert_int_equal(c->regs[GPR_RAX], TIMES * (TIMES + 1) / 2);
    assert_int_equal(c->regs[GPR_RDX], TIMES * (TIMES + 3) / 2);
}

/* The page is another one after a CR3 write, global or not: only INVLPG makes a global one go. */
CODE(remap, "1: xorl $0x1000, (%rsi)\n mov %cr3, %rax\n mov %rax, %cr3\n add (%rbx), %rdx\n dec %ecx\n jnz 1b\n hlt\n");
CODE(remap_invlpg, "1: xorl $0x1000, (%rsi)\n mov (%rbx), %rax\n invlpg (%rbx)\n add (%rbx), %rdx\n dec %ecx\n jnz 1b\n hlt\n");

static void pages_are_mapped_anew(void **state)
{
    uint64_t one = 1, three = 3;

    guest_put(0x100000, &one, 8);
    guest_put(0x101000, &three, 8);
    map(0, 0x100000, 7);
    RUN(remap, mend);
    assert_int_equal(c->regs[GPR_RDX], TIMES / 2 * 4);
}

static void global_pages_are_mapped_anew(void **state)
{
    uint64_t one = 1, three = 3;

    guest_put(0x100000, &one, 8);
    guest_put(0x101000, &three, 8);
    c->cr4 |= CR4_PGE;
    map(0, 0x100000, 0x107);
    RUN(remap_invlpg, mend);
    assert_int_equal(c->regs[GPR_RDX], TIMES / 2 * 4);
}

/* A page that may not be executed any more, in the midst of calls. */
CODE(no_execute, "mov $0x402000, %edi\n1: orl $0x80000000, 0x14(%rsi)\n invlpg (%rdi)\n call *%rdi\n dec %ecx\n jnz 1b\n hlt\n");
CODE(mend_nx, "inc %rbp\n or (%rsp), %r12\n andl $0x7fffffff, 0x14(%rsi)\n invlpg (%rdi)\n add $8, %rsp\n iretq\n");

static void code_becomes_data(void **state)
{
    static const uint8_t inc_rax[] = { 0x48, 0xff, 0xc0, 0xc3 };

    guest_put(0x7000, inc_rax, sizeof(inc_rax));
    map(2, 0x7000, 7);
    RUN(no_execute, mend_nx);
    assert_int_equal(c->regs[GPR_RAX], TIMES);
    assert_int_equal(c->regs[GPR_RBP], TIMES);
    assert_int_equal(c->regs[GPR_R12], PF_P | PF_I);
}

/* CR0.WP: supervisor stores to a read-only page. */
CODE(protect, "1: andl $~2, (%rsi)\n invlpg (%rbx)\n mov %cr0, %rax\n btr $16, %rax\n mov %rax, %cr0\n incq (%rbx)\n"
              " bts $16, %rax\n mov %rax, %cr0\n incq (%rbx)\n dec %ecx\n jnz 1b\n mov (%rbx), %rdi\n hlt\n");

static void write_protection_is_switched(void **state)
{
    map(0, 0x100000, 7);
    RUN(protect, mend);
    assert_int_equal(c->regs[GPR_RDI], 2 * TIMES);
    assert_int_equal(c->regs[GPR_RBP], TIMES);
}

/* SMAP: the supervisor may not, but with AC; its own page at 5 it may. */
CODE(smap, "1: stac\n incq (%rbx)\n clac\n incq 0x5000(%rbx)\n mov (%rbx), %rax\n incq 0x5000(%rbx)\n dec %ecx\n jnz 1b\n hlt\n");
CODE(allow, "inc %rbp\n or (%rsp), %r12\n orl $0x40000, 0x18(%rsp)\n add $8, %rsp\n iretq\n");

static void user_pages_are_out_of_bounds(void **state)
{
    map(0, 0x100000, 7);
    map(5, 0x105000, 3);
    for (unsigned n = 0; n < 2; n++) { /* what code and tables are in is the supervisor's */
        uint64_t pd = n << 21 | 0x83;

        guest_put(0x3f2000 + 8 * n, &pd, 8);
    }
    c->cr4 |= CR4_SMAP;
    cpu_update_mode(c);
    RUN(smap, allow);
    assert_int_equal(c->regs[GPR_RBP], TIMES);
    assert_int_equal(c->regs[GPR_R12], PF_P);
    assert_int_equal(c->regs[GPR_RAX], TIMES);
}

/* ---- breakpoints, steps ---- */

/* After half of the rounds, stores to the second word trap; later, an instruction is a breakpoint, too. */
CODE(watch, "lea 4(%rbx), %rax\n mov %rax, %dr0\n lea 2f(%rip), %rax\n mov %rax, %dr1\n xor %edx, %edx\n"
            "1: incl (%rbx)\n incl 4(%rbx)\n mov 4(%rbx), %eax\n2: nop\n cmp $500, %ecx\n jne 3f\n mov $0xd0402, %eax\n mov %rax, %dr7\n"
            "3: cmp $250, %ecx\n jne 4f\n mov $0xd040a, %eax\n mov %rax, %dr7\n4: dec %ecx\n jnz 1b\n xor %eax, %eax\n mov %rax, %dr7\n hlt\n");
CODE(count_db, "mov %dr6, %rax\n test $1, %al\n jz 1f\n inc %rbp\n1: test $2, %al\n jz 2f\n inc %r12\n orl $0x10000, 16(%rsp)\n"
               "2: test $0x40, %ah\n jz 3f\n inc %r13\n3: xor %eax, %eax\n mov %rax, %dr6\n iretq\n");

static void breakpoints_in_hot_code(void **state)
{
    uint32_t n;

    map(0, 0x100000, 7);
    RUN(watch, count_db);
    memcpy(&n, guest_ram(0x100004), 4);
    assert_int_equal(n, TIMES);
    assert_int_equal(c->regs[GPR_RBP], 499);
    assert_int_equal(c->regs[GPR_R12], 249);
}

CODE(steps, "1: pushf\n orl $0x100, (%rsp)\n popf\n nop\n incl (%rbx)\n pushf\n andl $~0x100, (%rsp)\n popf\n incl (%rbx)\n"
            " dec %ecx\n jnz 1b\n hlt\n");

static void single_steps_in_hot_code(void **state)
{
    map(0, 0x100000, 7);
    RUN(steps, count_db);
    assert_int_equal(c->regs[GPR_R13], 5 * TIMES);
}

/* ---- segments ---- */

/* FS ends at 0xfff; the access that reaches beyond is skipped by the handler, which is told its length in EDX. */
CODE32(limits, "mov $0x18, %eax\n mov %eax, %fs\n1: incl %fs:0xffc\n mov $7, %edx\n incl %fs:0xffd\n mov $6, %edx\n"
               " mov %fs:0x1000, %eax\n mov $0xffe, %esi\n mov $3, %edx\n mov %fs:(%esi), %eax\n"
               " mov %fs:(%esi), %ax\n dec %ecx\n jnz 1b\n hlt\n");
CODE32(skip, "inc %ebp\n add $4, %esp\n add %edx, (%esp)\n iret\n");

static void limits_in_hot_code(void **state)
{
    uint32_t n = 0;

    guest_put(0xffc, &n, 4);
    RUN(limits, skip);
    memcpy(&n, guest_ram(0xffc), 4);
    assert_int_equal(n, TIMES);
    assert_int_equal(c->regs[GPR_RBP], 3 * TIMES);
}

/* DS is flat, or ends at 0xfff, by turns: one code in two modes. */
CODE32(turns, "1: test $1, %ecx\n mov $0x10, %eax\n jz 2f\n mov $0x18, %eax\n2: mov %eax, %ds\n mov $6, %edx\n mov 0x9000, %ebx\n"
              " movw $0x10, %ax\n mov %eax, %ds\n incl 0x9004\n dec %ecx\n jnz 1b\n hlt\n");
CODE32(skip_ss, "inc %ebp\n add $4, %esp\n add %edx, (%esp)\n iret\n");

static void segments_by_turns(void **state)
{
    uint32_t n = 0;

    guest_put(0x9004, &n, 4);
    RUN(turns, skip_ss);
    memcpy(&n, guest_ram(0x9004), 4);
    assert_int_equal(n, TIMES);
    assert_int_equal(c->regs[GPR_RBP], TIMES / 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
#define T32(f) cmocka_unit_test_setup_teardown(f, begin32, end)
    const struct CMUnitTest tests[] = {
        T(pages_become_read_only), T(pages_go_and_come), T(stores_across_pages_are_whole), T(accessed_and_dirty_bits),
        T(aliases_see_each_other), T(pages_are_mapped_anew), T(global_pages_are_mapped_anew), T(code_becomes_data),
        T(write_protection_is_switched), T(user_pages_are_out_of_bounds), T(breakpoints_in_hot_code),
        T(single_steps_in_hot_code), T32(limits_in_hot_code), T32(segments_by_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
