/*
 * The reference engine: executes decoded blocks by their handlers.
 *
 * A fault unwinds to the loop by longjmp (cpu/cpu.h); RIP is put back to the faulting instruction
 * and the exception delivered from there. Events are looked at between blocks; `careful` state
 * (single step, debug registers, interrupt shadows) executes one instruction at a time.
 */
#include "accel/accel.h"
#include "accel/icount.h"
#include "accel/interp/interp.h"
#include "accel/interp/block.h"
#include "base/log.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"

/* Deliver an external event. RIP is the return address already. */
static void deliver(CpuState *c, unsigned vector)
{
    c->insn = NULL;
    c->activity = CPU_RUNNING;
    interrupt_deliver(c, vector, INT_EXTERNAL, false, 0, c->regs[GPR_RIP]);
}

/* INIT and SIPI: SDM vol. 3A, "MP Initialization Protocol". */
static void take_init(CpuState *c)
{
    cpu_unrequest(c, REQ_INIT); /* what comes while it is carried out is for afterwards */
    cpu_reset(c, true);
    if (c->hooks.init_done != NULL) {
        c->hooks.init_done(c);
    }
    c->activity = c->index == 0 ? CPU_RUNNING : CPU_WAIT_SIPI;
}

static void take_sipi(CpuState *c)
{
    Segment *cs = &c->segs[SEG_CS];
    uint8_t vec;

    cpu_unrequest(c, REQ_SIPI);
    vec = __atomic_load_n(&c->sipi_vector, __ATOMIC_SEQ_CST);
    if (c->activity != CPU_WAIT_SIPI) {
        return;
    }
    cs->selector = (uint16_t)(vec << 8);
    cs->base = (uint32_t)vec << 12;
    seg_update(cs);
    c->regs[GPR_RIP] = 0;
    c->activity = CPU_RUNNING;
    cpu_update_mode(c);
}

bool interp_take_requests(CpuState *c)
{
    uint32_t r = requests(c);

    if (r & REQ_STOP) {
        return false;
    }
    if (r & REQ_MAP_CHANGED) {
        cpu_unrequest(c, REQ_MAP_CHANGED);
        cpu_take_view(c);
    }
    if (r & REQ_CODE_DROP) {
        cpu_unrequest(c, REQ_CODE_DROP);
        block_take_queue(c);
    }
    if (r & REQ_PROTECT) {
        accel_take_protect(c);
    }
    if (r & REQ_TLB_FLUSH) {
        cpu_unrequest(c, REQ_TLB_FLUSH);
        tlb_flush(c, true);
    }
    if (r & REQ_A20) {
        cpu_take_a20(c);
    }
    if (r & REQ_INIT) {
        take_init(c);
    }
    if (requests(c) & REQ_SIPI) { /* also one that came since */
        take_sipi(c);
    }
    if (c->inhibit_irq || c->activity == CPU_WAIT_SIPI || c->activity == CPU_SHUTDOWN) {
        return true;
    }
    r = requests(c);
    if ((r & REQ_SMI) && !c->in_smm) {
        cpu_unrequest(c, REQ_SMI);
        smm_enter(c);
    } else if ((r & REQ_NMI) && !c->nmi_blocked) {
        cpu_unrequest(c, REQ_NMI);
        c->nmi_blocked = true;
        deliver(c, EXC_NMI);
    } else if ((r & REQ_INTR) && (c->rflags & FLAG_IF)) {
        int vec = c->hooks.ack_interrupt != NULL ? c->hooks.ack_interrupt(c) : -1;

        if (vec >= 0) {
            deliver(c, (unsigned)vec);
        } else {
            cpu_unrequest(c, REQ_INTR);
        }
    }
    return true;
}

/* Deliver the debug traps of the instruction before. SDM vol. 3B, "Debug Exceptions". */
static void debug_trap(CpuState *c)
{
    uint32_t db = c->pending_db;

    c->pending_db = 0;
    if (db & PENDING_WATCH) {
        accel_debug_stop(c, DEBUG_WATCHPOINT);
        db &= ~PENDING_WATCH;
    }
    if (db != 0) {
        c->dr[6] |= db;
        c->insn = NULL;
        interrupt_deliver(c, EXC_DB, INT_FAULT, false, 0, c->regs[GPR_RIP]);
    }
    cpu_update_careful(c);
}

/* Instruction breakpoints of DR0-3 are faults before the instruction. */
static void check_code_breakpoints(CpuState *c, vaddr lin)
{
    uint32_t hit = 0;

    if ((c->rflags & FLAG_RF) || c->mid_repeat || !(c->dr[7] & 0xff)) {
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        if ((c->dr[7] >> (2 * n) & 3) && (c->dr[7] >> (16 + 4 * n) & 15) == 0 && c->dr[n] == lin) {
            hit |= 1u << n;
        }
    }
    if (hit) {
        c->dr[6] |= hit;
        c->insn = NULL;
        cpu_raise(c, EXC_DB);
    }
}

void interp_careful_step(CpuState *c)
{
    vaddr lin = linear_rip(c);
    bool trap = (c->rflags & FLAG_TF) != 0, step = c->debug_step;
    const Insn *i;

    check_code_breakpoints(c, lin);
    i = block_single(c, lin);
    c->inhibit_irq = c->inhibit_db = false;
    c->rflags &= ~FLAG_RF;
    c->insn = i;
    insn_pass(c, i);
    i->exec(c, i);
    c->insn = NULL;
    c->insns++;
    if (trap && i->opcode != 0xcc && i->opcode != 0xcd && i->opcode != 0xf1) {
        c->pending_db |= 1u << 14; /* DR6.BS */
    }
    if (c->pending_db && !c->inhibit_db) {
        debug_trap(c);
    }
    if (step) {
        c->debug_step = false;
        accel_debug_stop(c, DEBUG_STEP);
    }
    cpu_update_careful(c);
}

void interp_run_block(CpuState *c, const Block *b)
{
    const Insn *i = b->insns, *end = i + b->count;

    if (!c->code64 && (c->regs[GPR_RIP] + b->bytes - 1 > c->segs[SEG_CS].limit ||
                       c->regs[GPR_RIP] + b->bytes > UINT32_MAX)) {
        interp_careful_step(c); /* the segment ends inside of the block; or EIP goes on at 0 behind it */
        return;
    }
    const uint64_t start = c->regs[GPR_RIP];
    do {
        c->insn = i;
        c->regs[GPR_RIP] = start + i->end;
        i->exec(c, i);
        if (c->regs[GPR_RIP] != start + i->end || c->careful) { /* a jump, which need not be the last one */
            i++;
            break;
        }
    } while (++i != end);
    c->insns += (uint64_t)(i - b->insns);
}

void interp_after_fault(CpuState *c)
{
    c->insns++; /* a guest that only faults must not stop the time of -icount */
    if (c->insn != NULL && !c->insn_faults_here) {
        c->regs[GPR_RIP] = insn_rip(c, c->insn);
    }
    c->insn_faults_here = false;
    c->insn = NULL;
    exception_dispatch(c);
    cpu_update_careful(c);
}

/* -d exec and -d cpu. */
static void log_block(CpuState *c, vaddr lin, const Block *b)
{
    if (log_on(LOG_EXEC)) {
        log_line("cpu %u: block %016lx, %u instructions, key %02x\n", c->index,
                 (unsigned long)lin, b->count, c->mode_key);
    }
    if (log_on(LOG_CPU)) {
        log_lock();
        cpu_dump(c, log_file());
        log_unlock();
    }
}

bool interp_event(CpuState *c)
{
    vaddr lin;

    if (__builtin_expect(icount_on, 0) && icount_due(c)) {
        icount_advance(c);
        return true;
    }
    lin = linear_rip(c);
    if (__builtin_expect(accel_breakpoints != 0, 0) && !c->debug_pass && accel_breakpoint_at(lin)) {
        c->debug_pass = true;
        accel_debug_stop(c, DEBUG_BREAKPOINT);
        return true;
    }
    c->debug_pass = false;
    c->insn = NULL;
    if (__builtin_expect(c->careful, 0)) {
        interp_careful_step(c);
        return true;
    }
    return false;
}

void interp_block(CpuState *c, vaddr lin, const Block *b)
{
    if (__builtin_expect(b == NULL, 0)) {
        interp_careful_step(c);
        return;
    }
    if (log_on(LOG_EXEC | LOG_CPU)) {
        log_block(c, lin, b);
    }
    interp_run_block(c, b);
}

static __attribute__((noinline)) void loop(CpuState *c)
{
    for (;;) {
        vaddr lin;

        if (__builtin_expect(requests(c) != 0, 0) && !interp_take_requests(c)) {
            return;
        }
        if (__builtin_expect(c->activity != CPU_RUNNING, 0)) {
            return;
        }
        if (interp_event(c)) {
            continue;
        }
        lin = linear_rip(c);
        interp_block(c, lin, block_find(c, lin));
    }
}

/* The frame of the setjmp must stay until the loop is left: the loop is a function of its own. */
static void interp_run(CpuState *c)
{
    if (_setjmp(c->fault_env) == 0) {
        loop(c);
    } else {
        interp_after_fault(c);
        loop(c);
    }
}

const AccelOps accel_interp = {
    .name = "interp",
    .cpu_init = block_init,
    .cpu_fini = block_fini,
    .run = interp_run,
    .drop_code = block_drop_all,
    .code_written = block_code_written,
    .queue_drop = block_queue_drop,
    .flush = block_flush,
    .flush_page = block_flush_page,
};
