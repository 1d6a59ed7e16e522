/*
 * What a translator may get wrong between instructions: returns that are not where calls came from, code that
 * changes under its translations, pages that are mapped anew, registers that stay in the host's.
 *
 * All of it again without each of the translator's tricks, without all of them, and in lockstep with the reference.
 *
 * Memory is mapped one to one up to 4 MiB; from 4 MiB on, pages are mapped by the table at PT.
 */
#include <stdlib.h>
#include "accel/options.h"
#include "bus/memory.h"
#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "tests/lib/guest.h"
#include "tests/test.h"

#define CODE(name, text)                                                                           \
    extern const uint8_t code_##name[], code_##name##_end[];                                       \
    __asm__(".pushsection .rodata\ncode_" #name ":\n" text "\ncode_" #name "_end:\n.popsection\n")
#define RUN(name) run(code_##name, (size_t)(code_##name##_end - code_##name))

#define PT 0x3f3000 /* of 0x400000 to 0x5fffff */
#define AT 0x1000   /* where code is put */

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

static void map(unsigned page, uint64_t pa)
{
    uint64_t e = pa | 7, pd = PT | 7;

    guest_put(0x3f2010, &pd, 8);
    guest_put(PT + 8 * page, &e, 8);
}

static void run(const uint8_t *code, size_t n)
{
    guest_put(AT, code, n);
    guest_flat(c, 64, AT);
    c->regs[GPR_RSP] = 0x200000;
    c->regs[GPR_RDX] = 0;
    assert_true(guest_run(c, ~0ull >> 1));
}

/* ---- returns ---- */

CODE(recursion, "mov $3, %ebx\n1: mov $20000, %ecx\n call 2f\n dec %ebx\n jnz 1b\n hlt\n"
                "2: inc %rax\n dec %ecx\n jz 3f\n call 2b\n inc %rdx\n3: ret\n");

static void recursion_deeper_than_the_return_stack(void **state)
{
    RUN(recursion);
    assert_int_equal(c->regs[GPR_RAX], 60000);
    assert_int_equal(c->regs[GPR_RDX], 3 * 19999);
    assert_int_equal(c->regs[GPR_RSP], 0x200000);
}

CODE(elsewhere, "mov $1000, %ecx\n"
                "1: call 2f\n int3\n2: lea 3f(%rip), %rax\n mov %rax, (%rsp)\n ret\n int3\n"
                "3: inc %rdx\n call 4f\n int3\n4: pop %rax\n inc %rsi\n lea 5f(%rip), %rax\n push %rax\n ret\n"
                "5: dec %ecx\n jnz 1b\n"
                " mov $100, %ecx\n lea 6f(%rip), %rax\n7: push %rax\n loop 7b\n ret\n"
                "6: inc %edi\n cmp $100, %edi\n je 8f\n ret\n8: hlt\n");

static void returns_to_elsewhere(void **state)
{
    RUN(elsewhere);
    assert_int_equal(c->regs[GPR_RDX], 1000);
    assert_int_equal(c->regs[GPR_RSI], 1000);
    assert_int_equal(c->regs[GPR_RDI], 100);
    assert_int_equal(c->regs[GPR_RSP], 0x200000);
}

/* Frames at all places in a page, so that every group of accesses crosses into the next at some time. */
CODE(frames, "mov $1024, %ecx\n mov $0x1111111111111111, %r13\n mov $2, %r14d\n mov $3, %r15d\n"
             "1: sub $8, %rsp\n mov %rcx, (%rsp)\n mov %r13, -8(%rsp)\n call 2f\n add (%rsp), %rdx\n dec %ecx\n jnz 1b\n hlt\n"
             "2: push %rbp\n push %r15\n push %r14\n push %r13\n push %rbx\n sub $24, %rsp\n mov %ecx, 8(%rsp)\n"
             " mov 32(%rsp), %r15\n add 40(%rsp), %r15\n mov %r15, (%rsp)\n xor %r13, %r13\n add 8(%rsp), %edi\n"
             " add (%rsp), %rsi\n add $24, %rsp\n pop %rbx\n pop %r13\n pop %r14\n pop %r15\n pop %rbp\n ret\n");

static void frames_across_pages(void **state)
{
    uint64_t sum = 1024 * 1025 / 2;

    RUN(frames);
    assert_int_equal(c->regs[GPR_RDX], sum);
    assert_int_equal(c->regs[GPR_RDI], sum);
    assert_int_equal(c->regs[GPR_RSI], 1024 * (0x1111111111111111ull + 2));
    assert_int_equal(c->regs[GPR_R13], 0x1111111111111111ull);
    assert_int_equal(c->regs[GPR_R14], 2);
    assert_int_equal(c->regs[GPR_R15], 3);
    assert_int_equal(c->regs[GPR_RSP], 0x200000 - 8 * 1024);
}

/* ---- code that changes ---- */

CODE(patched, "mov $100, %ecx\n1: call 3f\n2: mov $0, %eax\n add %rax, %rdx\n dec %ecx\n jnz 1b\n hlt\n"
              "3: mov %ecx, 2b+1(%rip)\n ret\n");

static void return_into_code_that_was_patched(void **state)
{
    RUN(patched);
    assert_int_equal(c->regs[GPR_RDX], 5050);
}

CODE(alias, "mov $100, %ecx\n lea 2f+1(%rip), %rbx\n add $0x3ff000, %rbx\n"
            "1: mov %ecx, (%rbx)\n2: mov $0, %eax\n add %rax, %rdx\n dec %ecx\n jnz 1b\n hlt\n");

static void patched_through_an_alias(void **state)
{
    map(0, AT);
    RUN(alias);
    assert_int_equal(c->regs[GPR_RDX], 5050);
}

CODE(beside, "mov $20000, %ecx\n1: incl data(%rip)\n call 2f\n add %rax, %rdx\n dec %ecx\n jnz 1b\n hlt\n"
             "2: mov $1, %eax\n ret\n .org code_beside + 0x800\ndata: .long 0\n");

static void stores_beside_code(void **state)
{
    uint32_t v;

    RUN(beside);
    memcpy(&v, guest_ram(AT + 0x800), 4);
    assert_int_equal(v, 20000);
    assert_int_equal(c->regs[GPR_RDX], 20000);
}

/* ---- pages that are mapped anew ---- */

CODE(crossing, "mov $100, %ecx\n mov $0x400ffd, %ebx\n mov $0x401000, %esi\n"
               "1: call *%rbx\n xorl $0xf000, 0x3f3008\n invlpg (%rsi)\n dec %ecx\n jnz 1b\n hlt\n");

static void second_page_of_an_instruction(void **state)
{
    static const uint8_t head[] = { 0x48, 0x05, 0x11 };            /* ADD RAX, imm32, */
    static const uint8_t a[] = { 0, 0, 0, 0xc3 }, b[] = { 1, 0, 0, 0xc3 }; /* which ends here; RET */

    guest_put(0x6ffd, head, sizeof(head));
    guest_put(0x7000, a, sizeof(a));
    guest_put(0x8000, b, sizeof(b));
    map(0, 0x6000);
    map(1, 0x7000);
    RUN(crossing);
    assert_int_equal(c->regs[GPR_RAX], 50 * (0x11 + 0x111));
}

CODE(second, "mov $100, %ecx\n mov $0x6ffd, %ebx\n"
             "1: call *%rbx\n mov %cl, 0x7000\n dec %ecx\n jnz 1b\n hlt\n");

static void store_to_the_second_page_of_an_instruction(void **state)
{
    static const uint8_t add[] = { 0x48, 0x05, 0x11, 0, 0, 0, 0xc3 };
    uint64_t want = 0x11;

    for (unsigned n = 100; n > 1; n--) {
        want += 0x11 + 0x100 * n;
    }
    guest_put(0x6ffd, add, sizeof(add));
    RUN(second);
    assert_int_equal(c->regs[GPR_RAX], want);
}

/* A direct call to 0x402000, which is two pages in turns. */
#define FAR_CALL(tell)                                                                             \
    "mov $200, %ecx\n mov $0x402000, %esi\n1: call . + 0x402000 - 0x100a\n xorl $0xf000, 0x3f3010\n" tell \
    " dec %ecx\n jnz 1b\n hlt\n"
CODE(far_invlpg, FAR_CALL("invlpg (%rsi)\n"));
CODE(far_cr3, FAR_CALL("mov %cr3, %rdi\n mov %rdi, %cr3\n"));

static void far(const uint8_t *code, size_t n)
{
    static const uint8_t one[] = { 0x48, 0xff, 0xc0, 0xc3 };       /* INC RAX; RET */
    static const uint8_t three[] = { 0x48, 0x83, 0xc0, 3, 0xc3 };  /* ADD RAX, 3; RET */

    guest_put(0x7000, one, sizeof(one));
    guest_put(0x8000, three, sizeof(three));
    map(2, 0x7000);
    run(code, n);
    assert_int_equal(c->regs[GPR_RAX], 100 * (1 + 3));
}

static void call_of_a_page_mapped_anew(void **state)
{
    far(code_far_invlpg, (size_t)(code_far_invlpg_end - code_far_invlpg));
    c->regs[GPR_RAX] = 0;
    far(code_far_cr3, (size_t)(code_far_cr3_end - code_far_cr3));
}

/* ---- what is no instruction ---- */

/* LOCK before an instruction that takes none, when it is hot: #UD, which nothing here handles. */
#define LOCKED(insn) "mov $100, %ecx\n mov $0x300000, %edi\n1: call 2f\n dec %ecx\n jns 1b\n hlt\n" \
                     "2: test %ecx, %ecx\n jnz 3f\n .byte 0xf0\n " insn "\n3: ret\n"
CODE(locked, LOCKED("cld"));
CODE(locked_string, LOCKED("stosb"));

static void lock_where_it_may_not_be(void **state)
{
    for (unsigned n = 0; n < 2; n++) {
        const uint8_t *code = n == 0 ? code_locked : code_locked_string;

        guest_put(AT, code, (size_t)(n == 0 ? code_locked_end - code_locked : code_locked_string_end - code_locked_string));
        guest_flat(c, 64, AT);
        c->regs[GPR_RSP] = 0x200000;
        for (unsigned k = 0; k < 8 && c->activity != CPU_SHUTDOWN; k++) {
            assert_false(guest_run(c, ~0ull >> 1));
        }
        assert_int_equal(c->activity, CPU_SHUTDOWN);
    }
}

/* ---- registers ---- */

/* All of them with themselves: the second result is what stays. */
#define SELF(r) " mov $3, %" r "\n xadd %" r ", %" r "\n add %" r ", %rdx\n xchg %" r ", %" r "\n cmpxchg %" r ", %" r "\n"
CODE(self, "mov $100, %esi\n1:" SELF("rbx") SELF("rdi") SELF("rbp") SELF("r8") SELF("r9") SELF("r10") SELF("r11") SELF("r12")
           SELF("r13") SELF("r14") SELF("r15") " dec %esi\n jnz 1b\n hlt\n");

static void exchanges_with_itself(void **state)
{
    RUN(self);
    assert_int_equal(c->regs[GPR_RDX], 100 * 11 * 6);
    assert_int_equal(c->regs[GPR_R10], 6);
}

CODE(held, "fninit\n mov $1000, %esi\n fld1\n fldz\n xorps %xmm1, %xmm1\n mov $1, %eax\n cvtsi2sd %eax, %xmm2\n"
           "1: fadd %st(1), %st\n addsd %xmm2, %xmm1\n xor %eax, %eax\n cpuid\n dec %esi\n jnz 1b\n"
           " fistpll 0x300000\n cvttsd2si %xmm1, %rdi\n fnstcw 0x300008\n fnstenv 0x300010\n hlt\n");

static void x87_and_sse_across_the_reference(void **state)
{
    uint64_t sum;
    uint16_t fsw;

    RUN(held);
    memcpy(&sum, guest_ram(0x300000), 8);
    memcpy(&fsw, guest_ram(0x300014), 2);
    assert_int_equal(sum, 1000);
    assert_int_equal(c->regs[GPR_RDI], 1000);
    assert_int_equal(fsw >> 11 & 7, 7); /* one is left on the stack */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(recursion_deeper_than_the_return_stack),
        T(returns_to_elsewhere),
        T(frames_across_pages),
        T(return_into_code_that_was_patched),
        T(patched_through_an_alias),
        T(stores_beside_code),
        T(second_page_of_an_instruction),
        T(store_to_the_second_page_of_an_instruction),
        T(call_of_a_page_mapped_anew),
        T(lock_where_it_may_not_be),
        T(x87_and_sse_across_the_reference),
        T(exchanges_with_itself),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    for (Trick t = 0; t < TRICKS; t++) {
        accel_options.off = 1u << t;
        failed += cmocka_run_group_tests_name(trick_info[t].name, tests, NULL, NULL);
    }
    accel_options.off = (1u << TRICKS) - 1;
    failed += cmocka_run_group_tests_name("all tricks", tests, NULL, NULL);
    accel_options.off = 0;
    cpu_host_hide(FEAT_BMI2, true);
    cpu_host_hide(FEAT_AVX, true);
    failed += cmocka_run_group_tests_name("a host without BMI2 and AVX", tests, NULL, NULL);
    cpu_host_hide(FEAT_BMI2, false);
    cpu_host_hide(FEAT_AVX, false);
    setenv("DOPPEL_ENGINE", "lockstep", 1);
    return failed + cmocka_run_group_tests_name("lockstep", tests, NULL, NULL);
}
