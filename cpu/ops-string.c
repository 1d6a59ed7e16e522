/*
 * String instructions and port I/O. Source: Intel SDM vol. 2, MOVS, CMPS, SCAS, LODS, STOS, INS,
 * OUTS, REP, IN, OUT; vol. 1, "I/O Permission Bit Map".
 *
 * A repeated instruction runs in the handler until it is done, an interrupt is requested, or it
 * faults; then RIP points at it again and the count registers say how far it came. Runs that stay
 * in two plain pages are copied at once.
 */
#include "cpu/operand.h"

#include "base/mem.h"
#include "cpu/segment.h"
#include "cpu/tape.h"

static uint64_t amask(const Insn *i)
{
    return i->asize == 8 ? ~0ull : i->asize == 4 ? 0xffffffffull : 0xffff;
}

static void reg_advance(CpuState *c, const Insn *i, unsigned reg, int64_t by)
{
    uint64_t v = c->regs[reg] + (uint64_t)by;

    c->regs[reg] = i->asize == 2 ? (c->regs[reg] & ~0xffffull) | (v & 0xffff)
                   : i->asize == 4 ? (uint32_t)v : v;
}

static uint64_t ld_n(CpuState *c, unsigned seg, vaddr off, unsigned n)
{
    return n == 1 ? ld_u8(c, seg, off) : n == 2 ? ld_u16(c, seg, off) : n == 4 ? ld_u32(c, seg, off)
                                                                              : ld_u64(c, seg, off);
}

static void st_n(CpuState *c, unsigned seg, vaddr off, uint64_t v, unsigned n)
{
    switch (n) {
    case 1: st_u8(c, seg, off, (uint8_t)v); break;
    case 2: st_u16(c, seg, off, (uint16_t)v); break;
    case 4: st_u32(c, seg, off, (uint32_t)v); break;
    default: st_u64(c, seg, off, v); break;
    }
}

static void alu_cmp_n(CpuState *c, uint64_t a, uint64_t b, unsigned n)
{
    switch (n) {
    case 1: alu_sub_8(c, (uint8_t)a, (uint8_t)b); break;
    case 2: alu_sub_16(c, (uint16_t)a, (uint16_t)b); break;
    case 4: alu_sub_32(c, (uint32_t)a, (uint32_t)b); break;
    default: alu_sub_64(c, a, b); break;
    }
}

/* One element of the operation in the low bits of the opcode. */
typedef void StepFn(CpuState *c, const Insn *i, unsigned size);

static int64_t step_of(const CpuState *c, unsigned size)
{
    return c->rflags & FLAG_DF ? -(int64_t)size : (int64_t)size;
}

static void step_movs(CpuState *c, const Insn *i, unsigned size)
{
    uint64_t v = ld_n(c, i->seg, c->regs[GPR_RSI] & amask(i), size);

    st_n(c, SEG_ES, c->regs[GPR_RDI] & amask(i), v, size);
    reg_advance(c, i, GPR_RSI, step_of(c, size));
    reg_advance(c, i, GPR_RDI, step_of(c, size));
}

static void step_cmps(CpuState *c, const Insn *i, unsigned size)
{
    uint64_t a = ld_n(c, i->seg, c->regs[GPR_RSI] & amask(i), size);
    uint64_t b = ld_n(c, SEG_ES, c->regs[GPR_RDI] & amask(i), size);

    alu_cmp_n(c, a, b, size);
    reg_advance(c, i, GPR_RSI, step_of(c, size));
    reg_advance(c, i, GPR_RDI, step_of(c, size));
}

static void step_stos(CpuState *c, const Insn *i, unsigned size)
{
    st_n(c, SEG_ES, c->regs[GPR_RDI] & amask(i), c->regs[GPR_RAX], size);
    reg_advance(c, i, GPR_RDI, step_of(c, size));
}

static void step_lods(CpuState *c, const Insn *i, unsigned size)
{
    uint64_t v = ld_n(c, i->seg, c->regs[GPR_RSI] & amask(i), size);

    switch (size) {
    case 1: c->regs[GPR_RAX] = (c->regs[GPR_RAX] & ~0xffull) | v; break;
    case 2: reg16_set(c, GPR_RAX, (uint16_t)v); break;
    default: c->regs[GPR_RAX] = v; break;
    }
    reg_advance(c, i, GPR_RSI, step_of(c, size));
}

static void step_scas(CpuState *c, const Insn *i, unsigned size)
{
    uint64_t b = ld_n(c, SEG_ES, c->regs[GPR_RDI] & amask(i), size);

    alu_cmp_n(c, c->regs[GPR_RAX], b, size);
    reg_advance(c, i, GPR_RDI, step_of(c, size));
}

/* ---- ports ---- */

static void check_io(CpuState *c, uint16_t port, unsigned size)
{
    uint16_t map, bits;

    if (!(c->cr0 & CR0_PE) ||
        (!(c->rflags & FLAG_VM) && c->cpl <= (c->rflags & FLAG_IOPL) >> 12)) {
        return;
    }
    if ((c->tr.attr & ATTR_TYPE) != SYS_TSS32_BUSY || c->tr.limit < 0x67) {
        cpu_gp0(c);
    }
    map = sys_ld16(c, c->tr.base + 0x66);
    if ((uint32_t)map + port / 8 + 1 > c->tr.limit) {
        cpu_gp0(c);
    }
    bits = sys_ld16(c, c->tr.base + map + port / 8);
    if (bits >> (port & 7) & ((1u << size) - 1)) {
        cpu_gp0(c);
    }
}

static uint32_t in_port(CpuState *c, uint16_t port, unsigned size)
{
    uint64_t v;

    if (tape_read(c, TAPE_PORT_IN, port, &v)) {
        return (uint32_t)v;
    }
    return (uint32_t)tape_was(c, TAPE_PORT_IN, port, port_read(port, size));
}

static void out_port(CpuState *c, uint16_t port, uint32_t val, unsigned size)
{
    if (!tape_write(c, TAPE_PORT_OUT, port, val)) {
        port_write(port, val, size);
    }
}

static void step_ins(CpuState *c, const Insn *i, unsigned size)
{
    uint16_t port = (uint16_t)c->regs[GPR_RDX];
    vaddr off = c->regs[GPR_RDI] & amask(i);

    mem_probe_write(c, SEG_ES, off, size); /* the port may not be read twice */
    st_n(c, SEG_ES, off, in_port(c, port, size), size);
    reg_advance(c, i, GPR_RDI, step_of(c, size));
}

static void step_outs(CpuState *c, const Insn *i, unsigned size)
{
    uint64_t v = ld_n(c, i->seg, c->regs[GPR_RSI] & amask(i), size);

    out_port(c, (uint16_t)c->regs[GPR_RDX], (uint32_t)v, size);
    reg_advance(c, i, GPR_RSI, step_of(c, size));
}

/* ---- repetition ---- */

static bool interrupted(const CpuState *c)
{
    uint32_t r = __atomic_load_n(&c->requests, __ATOMIC_RELAXED);

    return (r & ~(uint32_t)REQ_INTR) || ((r & REQ_INTR) && (c->rflags & FLAG_IF)) || c->careful;
}

/* As many elements of MOVS or STOS as lie in plain pages, forward, at once. Returns how many. */
static uint64_t bulk(CpuState *c, const Insn *i, unsigned size, uint64_t count, bool movs)
{
    vaddr di = c->regs[GPR_RDI] & amask(i), si = c->regs[GPR_RSI] & amask(i), dl, sl = 0;
    uint64_t n, bytes;
    uint8_t *d, *s = NULL;

    if ((c->rflags & FLAG_DF) || count < 2) {
        return 0;
    }
    dl = seg_lin(c, SEG_ES, di, size, true);
    n = (PAGE_SIZE - (dl & 0xfff)) / size;
    if (movs) {
        sl = seg_lin(c, i->seg, si, size, false);
        n = MIN(n, (PAGE_SIZE - (sl & 0xfff)) / size);
    }
    n = MIN(n, count);
    if (n < 2 || di + n * size - 1 > amask(i) || (movs && si + n * size - 1 > amask(i))) {
        return 0;
    }
    bytes = n * size;
    if (!c->code64 && ((int64_t)(di + bytes - 1) > c->segs[SEG_ES].write_last ||
                       (movs && (int64_t)(si + bytes - 1) > c->segs[i->seg].read_last))) {
        return 0;
    }
    d = tlb_wptr(c, c->mmu, dl, (unsigned)bytes);
    if (d == NULL) {
        return 0;
    }
    if (movs) {
        s = tlb_rptr(c, c->mmu, sl, (unsigned)bytes);
        if (s == NULL || (d > s && d < s + bytes)) {
            return 0; /* overlapping upwards repeats a pattern: element by element */
        }
        shared_move(d, s, bytes);
        reg_advance(c, i, GPR_RSI, (int64_t)bytes);
    } else if (size == 1) {
        shared_fill(d, (uint8_t)c->regs[GPR_RAX], bytes);
    } else {
        for (uint64_t k = 0; k < n; k++) {
            shared_copy(d + k * size, &c->regs[GPR_RAX], size);
        }
    }
    reg_advance(c, i, GPR_RDI, (int64_t)bytes);
    return n;
}

static void count_down(CpuState *c, const Insn *i, uint64_t by)
{
    reg_advance(c, i, GPR_RCX, -(int64_t)by);
}

/* Turns in one go: then the engine has a look around, also where time is counted in instructions. */
#define REPEAT_BUDGET 16384u

/* @until: REPE/REPNE ends on ZF. @fast: bulk() applies, 1 MOVS, 2 STOS. */
static void repeat(CpuState *c, const Insn *i, StepFn *step, bool until, unsigned fast)
{
    unsigned size = i->opcode & 1 ? (i->opsize == 8 && fast == 3 ? 4 : i->opsize) : 1;

    c->mid_repeat = false;
    if (!(i->flags & (INSN_REP | INSN_REPNE))) {
        step(c, i, size);
        return;
    }
    for (unsigned budget = REPEAT_BUDGET;; budget--) {
        uint64_t left = c->regs[GPR_RCX] & amask(i), n = 0;

        if (left == 0) {
            return;
        }
        if ((fast == 1 || fast == 2) && !c->careful) {
            n = bulk(c, i, size, left, fast == 1);
            count_down(c, i, n);
        }
        if (n == 0) {
            step(c, i, size);
            count_down(c, i, 1);
            if (until && flag_zf(c) != ((i->flags & INSN_REP) != 0)) {
                return;
            }
        }
        if ((interrupted(c) || budget == 0) && (c->regs[GPR_RCX] & amask(i)) != 0) {
            c->regs[GPR_RIP] = insn_rip(c, i);
            c->mid_repeat = true;
            return;
        }
    }
}

static void movs(CpuState *c, const Insn *i)
{
    repeat(c, i, step_movs, false, 1);
}

static void cmps(CpuState *c, const Insn *i)
{
    repeat(c, i, step_cmps, true, 0);
}

static void stos(CpuState *c, const Insn *i)
{
    repeat(c, i, step_stos, false, 2);
}

static void lods(CpuState *c, const Insn *i)
{
    repeat(c, i, step_lods, false, 0);
}

static void scas(CpuState *c, const Insn *i)
{
    repeat(c, i, step_scas, true, 0);
}

static void ins(CpuState *c, const Insn *i)
{
    check_io(c, (uint16_t)c->regs[GPR_RDX], i->opcode & 1 ? MIN(i->opsize, 4) : 1);
    repeat(c, i, step_ins, false, 3);
}

static void outs(CpuState *c, const Insn *i)
{
    check_io(c, (uint16_t)c->regs[GPR_RDX], i->opcode & 1 ? MIN(i->opsize, 4) : 1);
    repeat(c, i, step_outs, false, 3);
}

static void port_in(CpuState *c, const Insn *i)
{
    unsigned size = i->opcode & 1 ? MIN(i->opsize, 4) : 1;
    uint16_t port = i->opcode & 8 ? (uint16_t)c->regs[GPR_RDX] : (uint8_t)i->imm;
    uint32_t v;

    check_io(c, port, size);
    v = in_port(c, port, size);
    switch (size) {
    case 1: c->regs[GPR_RAX] = (c->regs[GPR_RAX] & ~0xffull) | (v & 0xff); break;
    case 2: reg16_set(c, GPR_RAX, (uint16_t)v); break;
    default: c->regs[GPR_RAX] = v; break;
    }
}

static void port_out(CpuState *c, const Insn *i)
{
    unsigned size = i->opcode & 1 ? MIN(i->opsize, 4) : 1;
    uint16_t port = i->opcode & 8 ? (uint16_t)c->regs[GPR_RDX] : (uint8_t)i->imm;

    check_io(c, port, size);
    out_port(c, port, (uint32_t)(c->regs[GPR_RAX] & (~0ull >> (64 - 8 * size))), size);
}

#define R1(op, name, ops, fl, h) { MAP_1, op, P_ANY, EXT_ANY, EXT_ANY, FEAT_NONE, fl, name, ops, X1(h) }

/* clang-format off */
const OpRow op_rows_string[] = {
    R1(0xa4, "movsb", "Yb,Xb", OP_IO, movs), R1(0xa5, "movs", "Yv,Xv", OP_IO, movs),
    R1(0xa6, "cmpsb", "Xb,Yb", OP_IO, cmps), R1(0xa7, "cmps", "Xv,Yv", OP_IO, cmps),
    R1(0xaa, "stosb", "Yb,al", OP_IO, stos), R1(0xab, "stos", "Yv,rAX", OP_IO, stos),
    R1(0xac, "lodsb", "al,Xb", OP_IO, lods), R1(0xad, "lods", "rAX,Xv", OP_IO, lods),
    R1(0xae, "scasb", "al,Yb", OP_IO, scas), R1(0xaf, "scas", "rAX,Yv", OP_IO, scas),
    R1(0x6c, "insb", "Yb,dx", OP_IO, ins), R1(0x6d, "ins", "Yz,dx", OP_IO, ins),
    R1(0x6e, "outsb", "dx,Xb", OP_IO, outs), R1(0x6f, "outs", "dx,Xz", OP_IO, outs),
    R1(0xe4, "in", "al,Ib", OP_IO, port_in), R1(0xe5, "in", "eAX,Ib", OP_IO, port_in),
    R1(0xec, "in", "al,dx", OP_IO, port_in), R1(0xed, "in", "eAX,dx", OP_IO, port_in),
    R1(0xe6, "out", "Ib,al", OP_IO, port_out), R1(0xe7, "out", "Ib,eAX", OP_IO, port_out),
    R1(0xee, "out", "dx,al", OP_IO, port_out), R1(0xef, "out", "dx,eAX", OP_IO, port_out),
    { .name = NULL },
};
/* clang-format on */
