/*
 * Protected mode: segment loads, limits, gates, task switches, virtual-8086 mode, debug registers,
 * SMM. Expected results are taken from the manual; the heading stands at each test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "bus/lock.h"
#include "bus/memory.h"
#include "cpu/cpuid.h"
#include "cpu/flags.h"
#include "cpu/segment.h"
#include "tests/lib/guest.h"

#define IDT 0x2000u
#define TSS 0x2400u
#define TSS2 0x2600u
#define GDT 0x2800u
#define HANDLERS 0x3000u
#define CODE 0x1000u
#define CODE2 0x1800u
#define STACK3 0xa000u /* SP at CPL 3 */
#define STACK0 0xb000u /* SP0 of the TSS */

/* Selectors. */
enum { CS0 = 0x08, DS0 = 0x10, CS3 = 0x1b, DS3 = 0x23, TR = 0x28, X = 0x30, Y = 0x38, TR2 = 0x40,
       CS16 = 0x48 };

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

static uint64_t desc(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static uint64_t gate(uint16_t sel, uint32_t off, unsigned access, unsigned params)
{
    return (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)params << 32 |
           (uint64_t)access << 40 | (uint64_t)(off >> 16) << 48;
}

static void set_desc(uint16_t sel, uint64_t d)
{
    guest_put(GDT + (sel & ~7u), &d, 8);
}

static void flat_load(Segment *s, uint16_t sel, unsigned access)
{
    Desc d;
    uint64_t v = desc(0, 0xfffff, access, 12);

    d = (Desc){ (uint32_t)v, (uint32_t)(v >> 32), 0, 0 };
    *s = desc_segment(sel, &d);
}

/* Flat 32-bit protected mode at @cpl (0 or 3), every exception leading to a HLT of its own. */
static void machine(unsigned cpl)
{
    uint8_t hlt[256];
    uint32_t tss[26] = { [1] = STACK0, [2] = DS0 };

    guest_flat(c, 32, CODE);
    set_desc(0, 0);
    set_desc(CS0, desc(0, 0xfffff, 0x9b, 12));
    set_desc(DS0, desc(0, 0xfffff, 0x93, 12));
    set_desc(CS3, desc(0, 0xfffff, 0xfb, 12));
    set_desc(DS3, desc(0, 0xfffff, 0xf3, 12));
    set_desc(TR, desc(TSS, 0x67, 0x8b, 0));
    set_desc(TR2, desc(TSS2, 0x67, 0x89, 0));
    set_desc(CS16, desc(0, 0xffff, 0x9b, 0));
    guest_put(TSS, tss, sizeof(tss));
    for (unsigned n = 0; n < 256; n++) {
        uint64_t g = gate(CS0, HANDLERS + n, 0xee, 0);

        if (n < 64) {
            guest_put(IDT + n * 8, &g, 8);
        }
        hlt[n] = 0xf4;
    }
    guest_put(HANDLERS, hlt, sizeof(hlt));
    c->gdtr = (DescTable){ GDT, 0x4f };
    c->idtr = (DescTable){ IDT, 64 * 8 - 1 };
    Desc d = { 0x24000067, 0x00008b00, 0, 0 };
    c->tr = desc_segment(TR, &d);
    flat_load(&c->segs[SEG_CS], cpl ? CS3 : CS0, cpl ? 0xfb : 0x9b);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        if (n != SEG_CS) {
            flat_load(&c->segs[n], cpl ? DS3 : DS0, cpl ? 0xf3 : 0x93);
        }
    }
    c->cpl = (uint8_t)cpl;
    c->regs[GPR_RSP] = cpl ? STACK3 : 0x9000;
    cpu_update_mode(c);
}

static void run(const char *bytes, size_t n)
{
    guest_put(CODE, bytes, n);
    assert_true(guest_run(c, 100000));
}
#define RUN(s) run(s, sizeof(s) - 1)

static uint32_t stack32(unsigned n)
{
    uint32_t v;

    memcpy(&v, guest_ram((uint32_t)c->regs[GPR_RSP] + 4 * n), 4);
    return v;
}

static int vector(void)
{
    return (int)c->regs[GPR_RIP] - 1 - (int)HANDLERS;
}

/* The handler of @vec runs, its frame names EIP @rip; with @error >= 0 that error code. */
static void expect_fault(int vec, long error, uint32_t rip)
{
    unsigned k = error >= 0;

    assert_int_equal(vector(), vec);
    if (k) {
        assert_int_equal(stack32(0), error);
    }
    assert_int_equal(stack32(k), rip);
}

/* SDM vol. 2, MOV to DS and SS; vol. 3A, "Privilege Level Checking When Accessing Data Segments". */
static void data_segment_loads(void **state)
{
    for (unsigned type = 0; type < 16; type++) {
        for (unsigned k = 0; k < 2 * 4 * 4 * 2 * 2; k++) {
            unsigned present = k & 1, dpl = k >> 1 & 3, rpl = k >> 3 & 3, cpl = k >> 5 & 1 ? 3 : 0;
            bool ss = k >> 6 & 1, code = type & 8, conforming = code && (type & 4), ok;
            uint16_t sel = (uint16_t)(X | rpl);
            int vec;

            machine(cpl);
            set_desc(X, desc(0x1234, 0xff, (present << 7) | dpl << 5 | 0x10 | type, 4));
            if (ss) {
                ok = rpl == cpl && dpl == cpl && !code && (type & 2);
                vec = ok ? present ? -1 : EXC_SS : EXC_GP;
            } else {
                ok = (!code || (type & 2)) && (conforming || (cpl <= dpl && rpl <= dpl));
                vec = ok ? present ? -1 : EXC_NP : EXC_GP;
            }
            c->regs[GPR_RAX] = sel;
            if (ss) {
                RUN("\x8e\xd0\xf4"); /* mov %ax, %ss; hlt */
            } else {
                RUN("\x8e\xd8\xcd\x30");
            }
            if (vec < 0 && !ss) {
                assert_int_equal(vector(), 0x30);
                assert_int_equal(c->segs[SEG_DS].selector, sel);
                assert_int_equal(c->segs[SEG_DS].base, 0x1234);
                assert_true(*guest_ram(GDT + X + 5) & 1); /* accessed */
            } else if (vec < 0 && cpl == 0) {
                assert_int_equal(c->regs[GPR_RIP], CODE + 3);
                assert_int_equal(c->segs[SEG_SS].selector, sel);
            } else if (vec < 0) {
                expect_fault(EXC_GP, 0, CODE + 2); /* HLT at CPL 3 */
                assert_int_equal(stack32(5), sel);
            } else {
                expect_fault(vec, sel & ~3, CODE);
            }
        }
    }
}

/* "Limit Checking": byte, word, dword at and past the limit; expand-down the other way round. */
static void limits(void **state)
{
    static const struct {
        unsigned access, flags;
        uint32_t limit, off;
        bool ok;
    } cases[] = {
        { 0x93, 4, 0xfff, 0xffc, true },  { 0x93, 4, 0xfff, 0xffd, false },
        { 0x93, 4, 0xfff, 0x1000, false }, { 0x93, 12, 0, 0xffc, true },
        { 0x93, 12, 0, 0xffd, false },     { 0x97, 4, 0xfff, 0xfff, false },
        { 0x97, 4, 0xfff, 0x1000, true },  { 0x97, 4, 0xfff, 0x12345, true },
        { 0x97, 0, 0xfff, 0xfffc, true },  { 0x97, 0, 0xfff, 0xfffd, false },
        { 0x91, 4, 0xfff, 0x10, true },
    };

    for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        machine(0);
        set_desc(X, desc(0x100000, cases[n].limit, cases[n].access, cases[n].flags));
        c->regs[GPR_RAX] = X;
        c->regs[GPR_RBX] = cases[n].off;
        RUN("\x8e\xd8\x8b\x0b\xcd\x30"); /* mov %ax, %ds; mov (%ebx), %ecx; int $0x30 */
        if (cases[n].ok) {
            assert_int_equal(vector(), 0x30);
        } else {
            expect_fault(EXC_GP, 0, CODE + 2);
        }
    }
    machine(0); /* a store to a read-only segment, a read of an execute-only one, a null one */
    set_desc(X, desc(0, 0xfffff, 0x91, 12));
    c->regs[GPR_RAX] = X;
    RUN("\x8e\xd8\xa3\x00\x50\x00\x00");
    expect_fault(EXC_GP, 0, CODE + 2);
    machine(0);
    c->regs[GPR_RAX] = 3;
    RUN("\x8e\xd8\xa1\x00\x50\x00\x00");
    expect_fault(EXC_GP, 0, CODE + 2);
}

/* vol. 3A, "Call Gates" and "Stack Switching": parameters are copied to the inner stack. */
static void call_gate_to_inner_level(void **state)
{
    machine(3);
    set_desc(X, gate(CS0, CODE2, 0xec, 2));
    /* push $0x11; push $0x22; lcall $X|3, $0; int $0x30 */
    guest_put(CODE2, "\xf4", 1);
    RUN("\x6a\x11\x6a\x22\x9a\x00\x00\x00\x00\x33\x00\xcd\x30");
    assert_int_equal(c->regs[GPR_RIP], CODE2 + 1);
    assert_int_equal(c->cpl, 0);
    assert_int_equal(c->segs[SEG_SS].selector, DS0);
    assert_int_equal(c->regs[GPR_RSP], STACK0 - 6 * 4);
    assert_int_equal(stack32(0), CODE + 11);
    assert_int_equal(stack32(1), CS3);
    assert_int_equal(stack32(2), 0x22);
    assert_int_equal(stack32(3), 0x11);
    assert_int_equal(stack32(4), STACK3 - 8);
    assert_int_equal(stack32(5), DS3);
}

/* RETF n to the outer level releases the parameters on both stacks; inner data segments go. */
static void return_to_outer_level(void **state)
{
    machine(3);
    set_desc(X, gate(CS0, CODE2, 0xec, 2));
    guest_put(CODE2, "\xb8\x10\x00\x00\x00\x8e\xc0\xca\x08\x00", 10); /* mov $DS0, %es; lret $8 */
    RUN("\x6a\x11\x6a\x22\x9a\x00\x00\x00\x00\x33\x00\xcd\x30");
    assert_int_equal(vector(), 0x30);
    assert_int_equal(stack32(0), CODE + 13);
    assert_int_equal(stack32(1), CS3);
    assert_int_equal(stack32(3), STACK3);
    assert_int_equal(c->segs[SEG_ES].selector, 0); /* DPL 0 is not for CPL 3 */
}

static void call_gate_checks(void **state)
{
    machine(3);
    set_desc(X, gate(CS0, CODE2, 0x8c, 0)); /* DPL 0 */
    RUN("\x9a\x00\x00\x00\x00\x33\x00");
    expect_fault(EXC_GP, X, CODE);
    machine(3);
    set_desc(X, gate(CS0, CODE2, 0x6c, 0)); /* not present */
    RUN("\x9a\x00\x00\x00\x00\x33\x00");
    expect_fault(EXC_NP, X, CODE);
    machine(3);
    set_desc(X, gate(DS0, CODE2, 0xec, 0)); /* no code segment */
    RUN("\x9a\x00\x00\x00\x00\x33\x00");
    expect_fault(EXC_GP, DS0, CODE);
    machine(3); /* JMP through a gate does not change the level */
    set_desc(X, gate(CS0, CODE2, 0xec, 0));
    RUN("\xea\x00\x00\x00\x00\x33\x00");
    expect_fault(EXC_GP, CS0, CODE);
}

/* A 286 gate pushes words. */
static void call_gate_286(void **state)
{
    machine(0);
    set_desc(X, gate(CS0, CODE2, 0x84, 0));
    guest_put(CODE2, "\xf4", 1);
    RUN("\x9a\x00\x00\x00\x00\x30\x00");
    assert_int_equal(c->regs[GPR_RIP], CODE2 + 1);
    assert_int_equal(c->regs[GPR_RSP], 0x9000 - 4);
    assert_int_equal(stack32(0), (CODE + 7) | CS0 << 16);
}

/* vol. 3A, "Software-generated interrupts": DPL of the gate against CPL; error code with IDT bit. */
static void int_n_needs_dpl(void **state)
{
    uint64_t g = gate(CS0, HANDLERS + 0x21, 0x8e, 0);

    machine(3);
    guest_put(IDT + 0x21 * 8, &g, 8);
    RUN("\x90\xcd\x21");
    expect_fault(EXC_GP, 0x21 * 8 + 2, CODE + 1);
    machine(3);
    RUN("\x90\xcd\x50"); /* beyond the limit of the IDT */
    expect_fault(EXC_GP, 0x50 * 8 + 2, CODE + 1);
}

/* An interrupt from CPL 3 pushes SS:ESP of the outer level; IF goes with an interrupt gate only. */
static void interrupt_switches_stack(void **state)
{
    uint64_t trap = gate(CS0, HANDLERS + 0x31, 0xef, 0);

    machine(3);
    c->rflags |= FLAG_IF;
    RUN("\xcd\x30");
    assert_int_equal(stack32(0), CODE + 2);
    assert_int_equal(stack32(1), CS3);
    assert_true(stack32(2) & FLAG_IF);
    assert_int_equal(stack32(3), STACK3);
    assert_int_equal(stack32(4), DS3);
    assert_false(c->rflags & FLAG_IF);
    machine(3);
    guest_put(IDT + 0x31 * 8, &trap, 8);
    c->rflags |= FLAG_IF;
    RUN("\xcd\x31");
    assert_true(c->rflags & FLAG_IF);
}

/* vol. 3A, table "Double fault": #NP in the delivery of #GP is a double fault; then triple. */
static void double_and_triple_fault(void **state)
{
    uint64_t none = 0;

    machine(0);
    guest_put(IDT + EXC_GP * 8, &none, 8);
    c->regs[GPR_RAX] = 0x1000;
    RUN("\x8e\xd8");
    expect_fault(EXC_DF, 0, CODE);
    machine(0);
    guest_put(IDT + EXC_GP * 8, &none, 8);
    guest_put(IDT + EXC_DF * 8, &none, 8);
    c->regs[GPR_RAX] = 0x1000;
    guest_put(CODE, "\x8e\xd8", 2);
    assert_false(guest_run(c, 1000));
    assert_int_equal(c->activity, CPU_SHUTDOWN);
}

/* ---- tasks: vol. 3A, "Task Switching" ---- */

static void second_task(uint32_t eip, uint32_t eflags)
{
    uint32_t tss[26] = { 0 };

    tss[8] = eip;
    tss[9] = eflags;
    for (unsigned n = 0; n < 8; n++) {
        tss[10 + n] = 0x100 + n;
    }
    tss[14] = 0xc000; /* ESP */
    tss[18] = DS0;
    tss[19] = CS0;
    tss[20] = tss[21] = tss[22] = tss[23] = DS0;
    guest_put(TSS2, tss, sizeof(tss));
}

static void task_by_jump(void **state)
{
    uint32_t saved[26];

    machine(0);
    second_task(CODE2, 2);
    guest_put(CODE2, "\xf4", 1);
    c->regs[GPR_RBX] = 0xbeef;
    RUN("\xea\x00\x00\x00\x00\x40\x00");
    assert_int_equal(c->regs[GPR_RIP], CODE2 + 1);
    assert_int_equal(c->tr.selector, TR2);
    assert_int_equal(c->regs[GPR_RBX], 0x103);
    assert_int_equal(c->regs[GPR_RSP], 0xc000);
    assert_true(c->cr0 & CR0_TS);
    assert_int_equal(*guest_ram(GDT + TR + 5), 0x89);  /* the old one is free */
    assert_int_equal(*guest_ram(GDT + TR2 + 5), 0x8b); /* the new one is busy */
    memcpy(saved, guest_ram(TSS), sizeof(saved));
    assert_int_equal(saved[8], CODE + 7);
    assert_int_equal(saved[13], 0xbeef);
    assert_int_equal(saved[19] & 0xffff, CS0);
}

static void task_by_call_and_back(void **state)
{
    machine(0);
    second_task(CODE2, 2);
    guest_put(CODE2, "\xcf", 1); /* iret: NT is set, back to the caller */
    c->regs[GPR_RBX] = 0xbeef;
    RUN("\x9a\x00\x00\x00\x00\x40\x00\xf4");
    assert_int_equal(c->regs[GPR_RIP], CODE + 8);
    assert_int_equal(c->regs[GPR_RBX], 0xbeef);
    assert_int_equal(c->tr.selector, TR);
    assert_false(c->rflags & FLAG_NT);
    assert_int_equal(*guest_ram(GDT + TR2 + 5), 0x89);
    uint16_t link;
    memcpy(&link, guest_ram(TSS2), 2);
    assert_int_equal(link, TR);
}

static void task_gate_in_the_idt(void **state)
{
    uint64_t g = gate(TR2, 0, 0x85, 0);

    machine(0);
    second_task(CODE2, 2);
    guest_put(CODE2, "\xf4", 1);
    guest_put(IDT + EXC_GP * 8, &g, 8);
    c->regs[GPR_RAX] = 0x1000;
    RUN("\x8e\xd8");
    assert_int_equal(c->regs[GPR_RIP], CODE2 + 1);
    assert_int_equal(stack32(0), 0x1000); /* the error code is on the new stack */
    assert_true(c->rflags & FLAG_NT);
    uint32_t eip;
    memcpy(&eip, guest_ram(TSS + 32), 4);
    assert_int_equal(eip, CODE); /* the faulting instruction */
}

static void busy_task_is_refused(void **state)
{
    machine(0);
    RUN("\xea\x00\x00\x00\x00\x28\x00"); /* jump to the running task */
    expect_fault(EXC_GP, TR, CODE);
    machine(0);
    set_desc(TR2, desc(TSS2, 0x66, 0x89, 0)); /* too short */
    RUN("\xea\x00\x00\x00\x00\x40\x00");
    expect_fault(EXC_TS, TR2, CODE);
}

/* ---- virtual-8086 mode: vol. 3B, chapter "8086 Emulation" ---- */

static void enter_vm86(unsigned iopl, const char *code, size_t n)
{
    uint32_t frame[9] = { 0x10, 0x500, FLAG_VM | iopl << 12 | 2, 0x800, 0x600, 0x11, 0x22, 0x33, 0x44 };

    machine(0);
    guest_put(0x5010, code, n);
    guest_put(0x8f00, frame, sizeof(frame));
    c->regs[GPR_RSP] = 0x8f00;
    RUN("\xcf");
}

static void vm86_enter_and_fault(void **state)
{
    enter_vm86(0, "\xfa", 1); /* cli with IOPL 0 */
    assert_int_equal(vector(), EXC_GP);
    assert_int_equal(stack32(0), 0);
    assert_int_equal(stack32(1), 0x10);
    assert_int_equal(stack32(2), 0x500);
    assert_true(stack32(3) & FLAG_VM);
    assert_int_equal(stack32(4), 0x800);
    assert_int_equal(stack32(5), 0x600);
    assert_int_equal(stack32(6), 0x11); /* ES DS FS GS */
    assert_int_equal(stack32(7), 0x22);
    assert_int_equal(stack32(8), 0x33);
    assert_int_equal(stack32(9), 0x44);
    assert_false(c->rflags & FLAG_VM);
    assert_int_equal(c->segs[SEG_DS].selector, 0);
}

static void vm86_int_and_segments(void **state)
{
    enter_vm86(0, "\xcd\x30", 2); /* INT n with IOPL < 3 */
    assert_int_equal(vector(), EXC_GP);
    enter_vm86(3, "\xcd\x30", 2); /* through the protected-mode IDT */
    assert_int_equal(vector(), 0x30);
    assert_int_equal(stack32(0), 0x12);
    /* mov $0x777, %ax; mov %ax, %ds; movb $0x5a, (0x10); int $0x30: base is selector * 16 */
    enter_vm86(3, "\xb8\x77\x07\x8e\xd8\xc6\x06\x10\x00\x5a\xcd\x30", 12);
    assert_int_equal(vector(), 0x30);
    assert_int_equal(*guest_ram(0x7770 + 0x10), 0x5a);
    enter_vm86(3, "\xa1\xff\xff", 3); /* a word at FFFF crosses the limit */
    assert_int_equal(vector(), EXC_GP);
}

/* ---- debug registers: vol. 3B, "Debug Registers" and "Debug Exceptions" ---- */

static void code_breakpoint_is_a_fault(void **state)
{
    machine(0);
    cpu_set_dr(c, 0, CODE + 1);
    cpu_set_dr(c, 7, 0x402);
    RUN("\x90\x90\xf4");
    expect_fault(EXC_DB, -1, CODE + 1);
    assert_int_equal(c->dr[6] & 15, 1);
    assert_false(stack32(2) & FLAG_RF); /* not for this one: "RF Flag" */
}

static void data_breakpoint_is_a_trap(void **state)
{
    machine(0);
    cpu_set_dr(c, 1, 0x5004);
    cpu_set_dr(c, 7, 0x400 | 8 | 0xdull << 20); /* G1, write, 4 bytes */
    /* mov 0x5004, %eax; movb $1, 0x5003; movb $1, 0x5006; hlt */
    RUN("\xa1\x04\x50\x00\x00\xc6\x05\x03\x50\x00\x00\x01\xc6\x05\x06\x50\x00\x00\x01\xf4");
    expect_fault(EXC_DB, -1, CODE + 19);
    assert_int_equal(c->dr[6] & 15, 2);
}

static void general_detect(void **state)
{
    machine(0);
    cpu_set_dr(c, 7, 0x2400);
    RUN("\x0f\x21\xc0");
    expect_fault(EXC_DB, -1, CODE);
    assert_true(c->dr[6] & 0x2000);
    assert_false(c->dr[7] & 0x2000);
}

/* MOV SS holds off the single-step trap for one instruction: vol. 3A, "Masking Exceptions and
 * Interrupts When Switching Stacks". */
static void mov_ss_shadow(void **state)
{
    machine(0);
    c->rflags |= FLAG_TF;
    cpu_update_mode(c);
    RUN("\x8c\xd0\x8e\xd0\x90\x90\xf4"); /* mov %ss, %eax; mov %eax, %ss; nop; nop */
    expect_fault(EXC_DB, -1, CODE + 2); /* after the first instruction */
    machine(0);
    c->regs[GPR_RAX] = DS0;
    c->rflags |= FLAG_TF;
    cpu_update_mode(c);
    RUN("\x8e\xd0\x90\x90\xf4");
    expect_fault(EXC_DB, -1, CODE + 3);
}

/* ---- SMM: RSM restores what SMI saved ---- */

static void smi_and_rsm(void **state)
{
    machine(0);
    /* at SMBASE + 8000h: inc of a counter in memory, RSM */
    guest_put(0x38000, "\x66\xb8\x55\x00\x00\x00\xa2\x00\x50\x0f\xaa", 11);
    guest_put(0x5000, "\0", 1);
    c->regs[GPR_RAX] = 0x1234;
    c->rflags |= FLAG_IF;
    cpu_request(c, REQ_SMI);
    RUN("\xf4");
    assert_int_equal(c->regs[GPR_RIP], CODE + 1);
    assert_int_equal(*guest_ram(0x5000), 0x55);
    assert_int_equal(c->regs[GPR_RAX], 0x1234);
    assert_int_equal(c->segs[SEG_CS].selector, CS0);
    assert_true(c->rflags & FLAG_IF);
    assert_true(c->cr0 & CR0_PE);
    assert_false(c->in_smm);
    machine(0);
    RUN("\x0f\xaa"); /* RSM outside of SMM */
    expect_fault(EXC_UD, -1, CODE);
}

/* ---- A20M# ---- */

/* gate - a port whose writes drive A20M#, as port 92h's bit 1. */
static void gate_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    cpu_set_a20(opaque, (val & 2) != 0);
}

static void a20_gate(void **state)
{
    static const IoOps ops = { .write = gate_write };
    /* mov eax,[300000h]; out 92h,al (0); mov ebx,[300000h]; mov byte [100500h],77h;
     * mov al,2; out 92h,al; mov ecx,[300000h]; mov dl,[100500h]; hlt */
    static const char code[] = "\xa1\x00\x00\x30\x00\x30\xc0\xe6\x92\x8b\x1d\x00\x00\x30\x00"
                               "\xc6\x05\x00\x05\x10\x00\x77\xb0\x02\xe6\x92\x8b\x0d\x00\x00"
                               "\x30\x00\x8a\x15\x00\x05\x10\x00\xf4";
    IoRegion gate;

    machine(0);
    io_region_init(&gate, &ops, c, "gate", 1);
    machine_lock();
    assert_true(port_map(&gate, 0x92, NULL));
    machine_unlock();
    guest_put(0x200000, "\x22\x22\x22\x22", 4);
    guest_put(0x300000, "\x33\x33\x33\x33", 4);
    guest_put(0x100500, "\x11", 1);
    guest_put(0x500, "\x00", 1);
    RUN(code);
    assert_int_equal(c->regs[GPR_RBX], 0x22222222); /* 300000h is 200000h */
    assert_int_equal(c->regs[GPR_RCX], 0x33333333);
    assert_int_equal(c->regs[GPR_RDX] & 0xff, 0x11); /* the store went to 500h */
    assert_int_equal(*guest_ram(0x500), 0x77);
    assert_int_equal(c->a20_mask, ~0ull);
    machine_lock();
    port_unmap(&gate);
    machine_unlock();
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(data_segment_loads), T(limits), T(call_gate_to_inner_level), T(return_to_outer_level),
        T(call_gate_checks), T(call_gate_286), T(int_n_needs_dpl), T(interrupt_switches_stack),
        T(double_and_triple_fault), T(task_by_jump), T(task_by_call_and_back),
        T(task_gate_in_the_idt), T(busy_task_is_refused), T(vm86_enter_and_fault),
        T(vm86_int_and_segments), T(code_breakpoint_is_a_fault), T(data_breakpoint_is_a_trap),
        T(general_detect), T(mov_ss_shadow), T(smi_and_rsm), T(a20_gate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
