/*
 * Where an external interrupt may come: the instruction after STI and MOV SS (SDM vol. 2, STI, MOV;
 * vol. 3A, "Masking Exceptions and Interrupts When Switching Stacks"), and between the iterations of
 * a repeated string instruction (vol. 3B, "Instruction-Breakpoint Exception Condition", RF).
 *
 * A page of device memory raises the interrupt input when it is read for the n-th time.
 */
#include "bus/lock.h"
#include "cpu/cpuid.h"
#include "cpu/flags.h"
#include "tests/lib/guest.h"
#include "tests/test.h"

#define CODE(name, text)                                                                           \
    extern const uint8_t code_##name[], code_##name##_end[];                                       \
    __asm__(".pushsection .rodata\ncode_" #name ":\n" text "\ncode_" #name "_end:\n.popsection\n")
#define START(name) start(code_##name, (size_t)(code_##name##_end - code_##name))

#define IO_PAGE 0x3e0000
#define VECTOR 0x18
#define HANDLERS 0x3000 /* one HLT a vector */
#define IRETQ 0x3100

static CpuState *c;
static IoRegion io;
static int reads_left; /* until the input is raised; 0: never */
static unsigned acks;

static uint64_t io_read(void *opaque, uint64_t off, unsigned size)
{
    if (reads_left > 0 && --reads_left == 0) {
        cpu_request(c, REQ_INTR);
    }
    return 0x10; /* also a selector for SS */
}

static void io_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
}

static const IoOps io_ops = { .read = io_read, .write = io_write, .max_size = 8 };

static int ack(CpuState *cpu)
{
    acks++;
    cpu_unrequest(cpu, REQ_INTR);
    return VECTOR;
}

static int begin(void **state)
{
    c = guest_begin("max");
    io_region_init(&io, &io_ops, NULL, "raise", 0x1000);
    machine_lock();
    assert_true(mem_map(&io, IO_PAGE, 1, false, NULL));
    machine_unlock();
    reads_left = 0;
    acks = 0;
    return 0;
}

static int end(void **state)
{
    machine_lock();
    mem_unmap(&io);
    machine_unlock();
    guest_end();
    return 0;
}

static void start(const uint8_t *code, size_t n)
{
    static const uint8_t iretq[] = { 0x48, 0xcf };
    uint64_t gdt[3] = { 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull };
    uint8_t hlt[32];

    guest_put(0x1000, code, n);
    guest_flat(c, 64, 0x1000);
    for (unsigned k = 0; k < 32; k++) {
        uint32_t at = HANDLERS + k;
        uint64_t gate[2] = { at | 8 << 16 | 0x8e0000000000ull, 0 };

        guest_put(0x2000 + k * 16, gate, 16);
        hlt[k] = 0xf4;
    }
    guest_put(HANDLERS, hlt, 32);
    guest_put(IRETQ, iretq, 2);
    guest_put(0x2800, gdt, sizeof(gdt));
    c->idtr = (DescTable){ 0x2000, 0x1ff };
    c->gdtr = (DescTable){ 0x2800, 0x17 };
    c->hooks.ack_interrupt = ack;
}

static uint64_t frame(unsigned n)
{
    uint64_t v;

    memcpy(&v, guest_ram(c->regs[GPR_RSP] + 8 * n), 8);
    return v;
}

/* Stopped in the handler of @vector, which returns to @first, or to @last or between: engines look for interrupts at the end of
 * what they execute as one. */
static void expect_handler_within(unsigned vector, uint64_t first, uint64_t last)
{
    assert_true(guest_run(c, 1000000));
    assert_int_equal(c->regs[GPR_RIP], HANDLERS + vector + 1);
    assert_in_range(frame(0), first, last);
}

static void expect_handler(unsigned vector, uint64_t rip)
{
    expect_handler_within(vector, rip, rip);
}

static void handler_returns(void)
{
    c->regs[GPR_RIP] = IRETQ;
    c->activity = CPU_RUNNING;
}

CODE(sti, "cli\n sti\n nop\n nop\n hlt\n");

static void sti_delays_by_one(void **state)
{
    START(sti);
    cpu_request(c, REQ_INTR);
    expect_handler(VECTOR, 0x1003);
    assert_false(frame(2) & FLAG_RF);
    assert_int_equal(acks, 1);
}

CODE(sti_cli, "sti\n cli\n nop\n hlt\n");

static void sti_cli_lets_nothing_in(void **state)
{
    START(sti_cli);
    cpu_request(c, REQ_INTR);
    assert_true(guest_run(c, 100));
    assert_int_equal(c->regs[GPR_RIP], 0x1004);
    assert_int_equal(acks, 0);
}

CODE(sti_hlt, "sti\n hlt\n nop\n hlt\n");

static void sti_hlt_waits_and_wakes(void **state)
{
    START(sti_hlt);
    cpu_request(c, REQ_INTR);
    assert_true(guest_run(c, 2)); /* HLT is reached first */
    if (acks == 0) {
        assert_int_equal(c->regs[GPR_RIP], 0x1002);
        c->activity = CPU_RUNNING; /* what the engine's thread does on a pending interrupt */
    }
    expect_handler(VECTOR, 0x1002);
}

CODE(sti_again, "sti\n nop\n mov 0x3e0000, %eax\n sti\n nop\n hlt\n");

static void no_shadow_where_if_was_set(void **state)
{
    START(sti_again);
    reads_left = 1;
    expect_handler_within(VECTOR, 0x1009, 0x100c);
}

CODE(popf, "pushf\n orl $0x200, (%rsp)\n popf\n nop\n hlt\n");

static void popf_has_no_shadow(void **state)
{
    START(popf);
    cpu_request(c, REQ_INTR);
    expect_handler(VECTOR, 0x1009);
}

CODE(mov_ss, "sti\n nop\n mov 0x3e0000, %ss\n nop\n nop\n hlt\n");

static void mov_ss_delays_by_one(void **state)
{
    START(mov_ss);
    reads_left = 1;
    expect_handler(VECTOR, 0x100a);
}

CODE(mov_ss_tf, "pushf\n orl $0x100, (%rsp)\n popf\n mov 0x3e0000, %ss\n nop\n nop\n hlt\n");

static void mov_ss_delays_the_step_trap(void **state)
{
    START(mov_ss_tf);
    expect_handler(EXC_DB, 0x1009 + 7 + 1); /* not after MOV SS itself */
}

CODE(rep, "sti\n mov $0x3e0000, %esi\n mov $0x8000, %edi\n mov $10, %ecx\n rep movsb\n nop\n hlt\n");
#define REP_AT 0x1010

static void rep_pushes_rf_between_iterations(void **state)
{
    START(rep);
    reads_left = 4;
    expect_handler(VECTOR, REP_AT);
    assert_true(frame(2) & FLAG_RF);
    assert_int_equal(c->regs[GPR_RCX], 6);
    assert_int_equal(c->regs[GPR_RDI], 0x8004);
    handler_returns();
    assert_true(guest_run(c, 100));
    assert_int_equal(c->regs[GPR_RIP], REP_AT + 4);
    assert_int_equal(c->regs[GPR_RCX], 0);
    assert_false(c->rflags & FLAG_RF); /* it lasts for one instruction */
}

static void rep_pushes_no_rf_after_the_last(void **state)
{
    START(rep);
    reads_left = 10;
    expect_handler_within(VECTOR, REP_AT + 2, REP_AT + 4);
    assert_false(frame(2) & FLAG_RF);
    assert_int_equal(c->regs[GPR_RCX], 0);
}

/* SDM vol. 3B: the breakpoint comes before the first iteration only. */
static void breakpoint_on_rep_comes_once(void **state)
{
    START(rep);
    cpu_set_dr(c, 0, REP_AT);
    cpu_set_dr(c, 7, 0x401);
    expect_handler(EXC_DB, REP_AT);
    assert_int_equal(c->regs[GPR_RCX], 10);
    assert_false(frame(2) & FLAG_RF); /* the one fault that does not push it: its handler sets it */
    *guest_ram(c->regs[GPR_RSP] + 18) |= 1;
    handler_returns();
    assert_true(guest_run(c, 1000));
    assert_int_equal(c->regs[GPR_RIP], REP_AT + 4);
    assert_int_equal(c->regs[GPR_RCX], 0);
}

CODE(rep_tf, "mov $0x8000, %edi\n mov $3, %ecx\n pushf\n orl $0x100, (%rsp)\n popf\n rep stosb\n"
             "nop\n hlt\n");

static void step_traps_between_iterations_push_rf(void **state)
{
    START(rep_tf);
    for (unsigned left = 2; left > 0; left--) {
        expect_handler(EXC_DB, 0x1013);
        assert_int_equal(c->regs[GPR_RCX], left);
        assert_true(frame(2) & FLAG_RF);
        handler_returns();
    }
    expect_handler(EXC_DB, 0x1015);
    assert_false(frame(2) & FLAG_RF);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(sti_delays_by_one), T(sti_cli_lets_nothing_in), T(sti_hlt_waits_and_wakes),
        T(no_shadow_where_if_was_set), T(popf_has_no_shadow), T(mov_ss_delays_by_one),
        T(mov_ss_delays_the_step_trap), T(rep_pushes_rf_between_iterations),
        T(rep_pushes_no_rf_after_the_last), T(breakpoint_on_rep_comes_once),
        T(step_traps_between_iterations_push_rf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
