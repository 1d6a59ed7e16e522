/*
 * Several processors: litmus tests of the memory order (Intel SDM vol. 3A, "Examples Illustrating
 * the Memory-Ordering Principles") and a torture of locked instructions, on processor threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/lib/guest.h"

#define A_X 0x100000u
#define A_Y 0x180000u
#define A_R 0x200000u /* results of processor n at A_R + n * 0x40000 */
#define PROGRESS 0xe000u /* of processor n at + n * 64 */

static CpuState *c[GUEST_CPUS];
static unsigned cpus;

static unsigned rounds(unsigned usual)
{
    const char *s = getenv("DOPPEL_SMP_ROUNDS");

    return s != NULL ? (unsigned)atoi(s) : usual;
}

static int end(void **state)
{
    guest_end();
    return 0;
}

#define CODE(name, text)                                                                           \
    extern const uint8_t code_##name[], code_##name##_end[];                                       \
    __asm__(".pushsection .rodata\ncode_" #name ":\n" text "\ncode_" #name "_end:\n.popsection\n")

/* Turn %rcx of all processors starts together: each waits in r9 for the next one round the ring. */
#define TURNS(body)                                                                                \
    "xor %ecx, %ecx\n1: lea 1(%rcx), %rax\n mov %rax, (%r8)\n2: cmp %rax, (%r9)\n jb 2b\n" body    \
    "\ninc %rcx\n cmp %r10, %rcx\n jb 1b\n hlt"

CODE(store_load, TURNS("movq $1, (%rbx,%rcx,8)\n mfence\n mov (%rsi,%rcx,8), %rdx\n mov %rdx, (%rdi,%rcx,8)"));
CODE(store_lock_load, TURNS("movq $1, (%rbx,%rcx,8)\n lock addl $0, (%rsp)\n mov (%rsi,%rcx,8), %rdx\n mov %rdx, (%rdi,%rcx,8)"));
CODE(xchg_load, TURNS("mov $1, %edx\n xchg %rdx, (%rbx,%rcx,8)\n mov (%rsi,%rcx,8), %rdx\n mov %rdx, (%rdi,%rcx,8)"));
CODE(send, TURNS("movq $1, (%rbx,%rcx,8)\n movq $1, (%rsi,%rcx,8)"));
/* both values of a pair: y in bit 1, x in bit 0 */
CODE(receive, TURNS("mov (%rsi,%rcx,8), %rdx\n add %rdx, %rdx\n add (%rbx,%rcx,8), %rdx\n mov %rdx, (%rdi,%rcx,8)"));
CODE(load_store, TURNS("mov (%rsi,%rcx,8), %rdx\n movq $1, (%rbx,%rcx,8)\n mov %rdx, (%rdi,%rcx,8)"));
CODE(store_one, TURNS("movq $1, (%rbx,%rcx,8)"));

static void program(unsigned cpu, unsigned ring, const uint8_t *code, const uint8_t *code_end,
                    uint64_t rbx, uint64_t rsi, unsigned n)
{
    uint32_t at = 0x1000 + cpu * 0x400;

    guest_put(at, code, (size_t)(code_end - code));
    guest_flat(c[cpu], 64, at);
    c[cpu]->activity = CPU_RUNNING;
    c[cpu]->regs[GPR_RSP] = 0x9000 + cpu * 0x1000;
    c[cpu]->regs[GPR_RBX] = rbx;
    c[cpu]->regs[GPR_RSI] = rsi;
    c[cpu]->regs[GPR_RDI] = A_R + cpu * 0x40000;
    c[cpu]->regs[GPR_R8] = PROGRESS + cpu * 64;
    c[cpu]->regs[GPR_R9] = PROGRESS + (cpu + 1) % ring * 64;
    c[cpu]->regs[GPR_R10] = n;
}
#define PROGRAM(cpu, ring, name, rbx, rsi, n)                                                      \
    program(cpu, ring, code_##name, code_##name##_end, rbx, rsi, n)

static uint64_t result(unsigned cpu, unsigned n)
{
    uint64_t v;

    memcpy(&v, guest_ram(A_R + cpu * 0x40000 + n * 8), 8);
    return v;
}

static int begin2(void **state)
{
    cpus = 2;
    guest_begin_many("max", 2, c);
    return 0;
}

static int begin4(void **state)
{
    cpus = 4;
    guest_begin_many("max", 4, c);
    return 0;
}

/* "Loads may be reordered with earlier stores to different locations" - but not past a fence. */
static void store_buffering(const uint8_t *code, const uint8_t *code_end)
{
    unsigned n = rounds(10000);

    program(0, 2, code, code_end, A_X, A_Y, n);
    program(1, 2, code, code_end, A_Y, A_X, n);
    guest_go();
    for (unsigned k = 0; k < n; k++) {
        assert_false(result(0, k) == 0 && result(1, k) == 0);
    }
}

static void store_buffering_mfence(void **state)
{
    store_buffering(code_store_load, code_store_load_end);
}

static void store_buffering_lock(void **state)
{
    store_buffering(code_store_lock_load, code_store_lock_load_end);
}

static void store_buffering_xchg(void **state)
{
    store_buffering(code_xchg_load, code_xchg_load_end);
}

/* "Neither loads nor stores are reordered with like operations" */
static void message_passing(void **state)
{
    unsigned n = rounds(10000);

    PROGRAM(0, 2, send, A_X, A_Y, n);
    PROGRAM(1, 2, receive, A_X, A_Y, n);
    guest_go();
    for (unsigned k = 0; k < n; k++) {
        assert_int_not_equal(result(1, k), 2); /* y seen, x not */
    }
}

/* "Stores are not reordered with earlier loads" */
static void load_buffering(void **state)
{
    unsigned n = rounds(10000);

    PROGRAM(0, 2, load_store, A_X, A_Y, n);
    PROGRAM(1, 2, load_store, A_Y, A_X, n);
    guest_go();
    for (unsigned k = 0; k < n; k++) {
        assert_false(result(0, k) == 1 && result(1, k) == 1);
    }
}

/* "Stores are seen in a consistent order by other processors" */
static void independent_reads_of_independent_writes(void **state)
{
    unsigned n = rounds(200);

    PROGRAM(0, 4, store_one, A_X, 0, n);
    PROGRAM(1, 4, store_one, A_Y, 0, n);
    PROGRAM(2, 4, receive, A_X, A_Y, n); /* reads y, then x */
    PROGRAM(3, 4, receive, A_Y, A_X, n); /* reads x, then y */
    guest_go();
    for (unsigned k = 0; k < n; k++) {
        assert_false(result(2, k) == 2 && result(3, k) == 2);
    }
}

/* ---- locked instructions: every addition arrives ---- */

#define TIMES(body) "1: " body "\n dec %r10\n jnz 1b\n hlt"

CODE(inc, TIMES("lock incl (%rbx)"));
CODE(xadd, TIMES("mov $1, %eax\n lock xadd %eax, (%rbx)"));
CODE(adc, TIMES("stc\n lock adcl $0, (%rbx)"));
CODE(cmpxchg, TIMES("mov (%rbx), %eax\n 2: lea 1(%rax), %edx\n lock cmpxchg %edx, (%rbx)\n jne 2b"));
CODE(cmpxchg8b, TIMES("mov %rbx, %rsi\n mov (%rsi), %eax\n mov 4(%rsi), %edx\n"
                      "2: mov %eax, %ebx\n mov %edx, %ecx\n add $1, %ebx\n adc $0, %ecx\n"
                      "lock cmpxchg8b (%rsi)\n jne 2b\n mov %rsi, %rbx"));
CODE(cmpxchg16b, TIMES("mov %rbx, %rsi\n mov (%rsi), %rax\n mov 8(%rsi), %rdx\n"
                       "2: mov %rax, %rbx\n mov %rdx, %rcx\n add $1, %rbx\n adc $0, %rcx\n"
                       "lock cmpxchg16b (%rsi)\n jne 2b\n mov %rsi, %rbx"));
CODE(spinlock, TIMES("mov $1, %eax\n 2: xchg %eax, 64(%rbx)\n test %eax, %eax\n jnz 2b\n"
                     "incl (%rbx)\n movl $0, 64(%rbx)"));
CODE(bitlock, TIMES("2: lock btsl $5, 64(%rbx)\n jc 2b\n incl (%rbx)\n lock btrl $5, 64(%rbx)"));

static void torture(const uint8_t *code, const uint8_t *code_end, uint64_t at, unsigned n)
{
    uint64_t sum = 0;

    n = rounds(n) * 2 / cpus;
    guest_put(at, "\0\0\0\0\0\0\0\0", 8);
    for (unsigned k = 0; k < cpus; k++) {
        program(k, cpus, code, code_end, at, 0, n);
    }
    guest_go();
    memcpy(&sum, guest_ram(at), 4);
    assert_int_equal(sum, cpus * n);
}
#define TORTURE(name, at, n) torture(code_##name, code_##name##_end, at, n)

static void locked_read_modify_write(void **state)
{
    TORTURE(inc, A_X, 100000);
    TORTURE(xadd, A_X, 100000);
    TORTURE(adc, A_X, 100000);
    TORTURE(cmpxchg, A_X, 50000);
    TORTURE(cmpxchg8b, A_X, 50000);
}

static void locks_made_of_them(void **state)
{
    TORTURE(spinlock, A_X, 10000);
    TORTURE(bitlock, A_X, 10000);
}

/* Across a cache line, across a page, and the 16-byte form: one processor at a time. */
static void split_locks(void **state)
{
    TORTURE(inc, A_X + 62, 2000);
    TORTURE(inc, A_X + 0xffe, 2000);
    TORTURE(xadd, A_X + 0xfff, 2000);
    TORTURE(cmpxchg16b, A_X, 2000);
}

/* ---- code that another processor changes ---- */

/* What is called is executed while it is written: the immediate is aligned, so each value is whole. The writer goes on when
 * its value was seen. */
CODE(call_it, "mov $0x300000, %edi\n1: call *%rbx\n mov %rax, (%rsi)\n cmp %rax, %r10\n jne 1b\n hlt");
CODE(change_it, "xor %ecx, %ecx\n1: inc %ecx\n mov %ecx, 1(%rbx)\n2: pause\n cmp (%rsi), %rcx\n jne 2b\n cmp %rcx, %r10\n jne 1b\n hlt");

static void code_changed_by_another(void **state)
{
    static const uint8_t mov_ret[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* MOV EAX, imm32; RET */

    static const uint32_t places[] = { 0x7003, 0x6fff }; /* the second: its immediate is in the next page */

    for (unsigned k = 0; k < 2; k++) {
        guest_put(places[k], mov_ret, sizeof(mov_ret));
        guest_put(A_Y, "\0\0\0\0\0\0\0\0", 8);
        PROGRAM(0, 2, change_it, places[k], A_Y, rounds(2000));
        PROGRAM(1, 2, call_it, places[k], A_Y, rounds(2000));
        guest_go();
        assert_int_equal(c[0]->regs[GPR_RCX], rounds(2000));
        assert_int_equal(c[1]->regs[GPR_RAX], rounds(2000));
    }
}

/* A locked instruction that is split on one processor and aligned on the other. */
static void split_against_aligned(void **state)
{
    uint64_t v;

    guest_put(A_X + 0xff8, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    PROGRAM(0, 2, inc, A_X + 0xffe, 0, 3000);  /* 32 bits from ...ffe */
    PROGRAM(1, 2, inc, A_X + 0x1000, 0, 3000); /* its upper half and on */
    guest_go();
    memcpy(&v, guest_ram(A_X + 0xffe), 8);
    assert_int_equal((uint32_t)v, (3000 + (3000u << 16)));
}

#define T2(f) cmocka_unit_test_setup_teardown(f, begin2, end)
#define T4(f) cmocka_unit_test_setup_teardown(f, begin4, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T2(store_buffering_mfence), T2(store_buffering_lock), T2(store_buffering_xchg),
        T2(message_passing), T2(load_buffering),
        T4(independent_reads_of_independent_writes), T2(code_changed_by_another),
        T2(locked_read_modify_write), T2(locks_made_of_them), T2(split_locks),
        T2(split_against_aligned),
        T4(locked_read_modify_write), T4(locks_made_of_them), T4(split_locks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
