/*
 * The engine as a whole on small programs: modes, faults, paging, self-modifying code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cpu/flags.h"
#include "cpu/segment.h"
#include "tests/lib/guest.h"

#define CODE(name, text)                                                                           \
    extern const uint8_t code_##name[], code_##name##_end[];                                       \
    __asm__(".pushsection .rodata\ncode_" #name ":\n" text "\ncode_" #name "_end:\n.code64\n.popsection\n")
#define PUT(at, name) guest_put(at, code_##name, (size_t)(code_##name##_end - code_##name))

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

CODE(sum16, ".code16\n xorw %ax, %ax\n movw $100, %cx\n 1: addw %cx, %ax\n loop 1b\n hlt");

static void real_mode_sum(void **state)
{
    PUT(0x1000, sum16);
    guest_real(c, 0x1000);
    assert_true(guest_run(c, 1000));
    assert_int_equal(c->regs[GPR_RAX] & 0xffff, 5050);
    assert_int_equal(c->regs[GPR_RCX] & 0xffff, 0);
}

CODE(fib64, "movl $30, %edi\n call 1f\n hlt\n"
            "1: cmpl $2, %edi\n jb 2f\n push %rdi\n dec %edi\n call 1b\n pop %rdi\n push %rax\n"
            "sub $2, %edi\n call 1b\n pop %rdx\n add %rdx, %rax\n ret\n 2: mov %edi, %eax\n ret");

static void long_mode_calls(void **state)
{
    PUT(0x1000, fib64);
    guest_flat(c, 64, 0x1000);
    assert_true(guest_run(c, 100000000));
    assert_int_equal(c->regs[GPR_RAX], 832040);
    assert_int_equal(c->regs[GPR_RSP], 0x9000);
}

/* The store changes the immediate of the very next instruction. */
CODE(smc, "xorl %eax, %eax\n lea 1f(%rip), %rbx\n movl $0x1234, 1(%rbx)\n 1: movl $1, %eax\n hlt");

static void self_modifying_next(void **state)
{
    PUT(0x1000, smc);
    guest_flat(c, 64, 0x1000);
    assert_true(guest_run(c, 1000));
    assert_int_equal(c->regs[GPR_RAX], 0x1234);
}

/* A loop whose body is rewritten on every turn: 100 turns add 0..99. */
CODE(smc_loop, "xorl %eax, %eax\n xorl %ecx, %ecx\n lea 1f(%rip), %rbx\n 2: mov %ecx, 1(%rbx)\n"
               "1: addl $0x7fffffff, %eax\n inc %ecx\n cmp $100, %ecx\n jb 2b\n hlt");

static void self_modifying_loop(void **state)
{
    PUT(0x1000, smc_loop);
    guest_flat(c, 64, 0x1000);
    assert_true(guest_run(c, 10000));
    assert_int_equal(c->regs[GPR_RAX], 4950);
}

/* An IDT whose every gate leads to a HLT that can be told apart by RIP. */
static void make_idt64(void)
{
    uint8_t hlt[32];

    for (unsigned n = 0; n < 32; n++) {
        uint32_t at = 0x3000 + n;
        uint64_t gate[2] = { (at & 0xffff) | 8 << 16 | 0x8e0000000000ull | (uint64_t)(at >> 16) << 48, 0 };

        guest_put(0x2000 + n * 16, gate, 16);
        hlt[n] = 0xf4;
    }
    guest_put(0x3000, hlt, 32);
    uint64_t gdt[3] = { 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull };
    guest_put(0x2800, gdt, sizeof(gdt));
    c->idtr = (DescTable){ 0x2000, 0x1ff };
    c->gdtr = (DescTable){ 0x2800, 0x17 };
}

static uint64_t frame(unsigned n)
{
    uint64_t v;

    memcpy(&v, guest_ram(c->regs[GPR_RSP] + 8 * n), 8);
    return v;
}

CODE(pf, "movq $0x12345678, %rax\n nop\n movl %ecx, 4(%rax)\n hlt");

static void page_fault_frame(void **state)
{
    PUT(0x1000, pf);
    guest_flat(c, 64, 0x1000);
    make_idt64();
    assert_true(guest_run(c, 1000));
    assert_int_equal(c->regs[GPR_RIP], 0x3000 + EXC_PF + 1);
    assert_int_equal(c->cr2, 0x1234567c);
    assert_int_equal(frame(0), 2); /* write, supervisor, not present */
    assert_int_equal(frame(1), 0x1008);
    assert_int_equal(frame(4), 0x9000);
    assert_true(frame(3) & FLAG_RF);
}

CODE(de, "xorl %ecx, %ecx\n divl %ecx\n hlt");
CODE(ud, "nop\n ud2");
CODE(gp, "movq $0x8000000000000000, %rax\n movl (%rax), %ecx");

static void exceptions_have_exact_rip(void **state)
{
    static const struct {
        const uint8_t *code, *end;
        unsigned vec, rip, error;
    } cases[] = {
        { code_de, code_de_end, EXC_DE, 0x1002, 0 },
        { code_ud, code_ud_end, EXC_UD, 0x1001, 0 },
        { code_gp, code_gp_end, EXC_GP, 0x100a, 1 },
    };

    for (unsigned n = 0; n < 3; n++) {
        guest_put(0x1000, cases[n].code, (size_t)(cases[n].end - cases[n].code));
        guest_flat(c, 64, 0x1000);
        make_idt64();
        assert_true(guest_run(c, 1000));
        assert_int_equal(c->regs[GPR_RIP], 0x3001 + cases[n].vec);
        assert_int_equal(frame(cases[n].error), cases[n].rip);
        if (cases[n].error) {
            assert_int_equal(frame(0), 0);
        }
    }
}

/* TF: the trap comes after the instruction that follows POPF. */
CODE(tf, "pushf\n orl $0x100, (%rsp)\n popf\n nop\n nop\n hlt");

static void single_step_trap(void **state)
{
    PUT(0x1000, tf);
    guest_flat(c, 64, 0x1000);
    make_idt64();
    assert_true(guest_run(c, 1000));
    assert_int_equal(c->regs[GPR_RIP], 0x3001 + EXC_DB);
    assert_int_equal(frame(0), 0x1000 + 1 + 7 + 1 + 1);
    assert_true(c->dr[6] & 0x4000);
}

static void triple_fault_shuts_down(void **state)
{
    PUT(0x1000, ud);
    guest_flat(c, 64, 0x1000);
    c->idtr = (DescTable){ 0, 0 };
    assert_false(guest_run(c, 1000));
    assert_int_equal(c->activity, CPU_SHUTDOWN);
}

CODE(rep, "cld\n lea 0x100000, %rdi\n mov $0x30000, %ecx\n mov $0xaa, %al\n rep stosb\n"
          "lea 0x100001, %rsi\n lea 0x150003, %rdi\n mov $0x4001, %ecx\n rep movsq\n hlt");

static void string_runs(void **state)
{
    PUT(0x1000, rep);
    guest_flat(c, 64, 0x1000);
    assert_true(guest_run(c, 1000000));
    assert_int_equal(c->regs[GPR_RDI], 0x150003 + 0x4001 * 8);
    assert_int_equal(c->regs[GPR_RCX], 0);
    for (unsigned n = 0; n < 0x4001 * 8; n++) {
        assert_int_equal(*guest_ram(0x150003 + n), 0xaa);
    }
    assert_int_equal(*guest_ram(0x150002), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(real_mode_sum, begin, end),
        cmocka_unit_test_setup_teardown(long_mode_calls, begin, end),
        cmocka_unit_test_setup_teardown(self_modifying_next, begin, end),
        cmocka_unit_test_setup_teardown(self_modifying_loop, begin, end),
        cmocka_unit_test_setup_teardown(page_fault_frame, begin, end),
        cmocka_unit_test_setup_teardown(exceptions_have_exact_rip, begin, end),
        cmocka_unit_test_setup_teardown(single_step_trap, begin, end),
        cmocka_unit_test_setup_teardown(triple_fault_shuts_down, begin, end),
        cmocka_unit_test_setup_teardown(string_runs, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
