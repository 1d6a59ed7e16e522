/*
 * The code cache of a processor: memory, stubs.
 *
 * One memfd is mapped twice, writable and executable; no mapping is both. It is used from its start
 * to its end, then everything is dropped.
 */
#include "accel/jit/jit.h"

#include <stdlib.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"

#define CODE_BYTES (64u << 20)
#define RECORD_BYTES (32u << 20)

static bool map_code(Jit *j, Error **errp)
{
    int fd = memfd_create("doppel-code", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, CODE_BYTES) < 0) {
        error_set_errno(errp, errno, "no memory for translated code");
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    j->rw = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    j->rx = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    close(fd);
    if (j->rw == MAP_FAILED || j->rx == MAP_FAILED) {
        error_set_errno(errp, errno, "cannot map translated code");
        return false;
    }
    j->size = CODE_BYTES;
    return true;
}

bool jit_cache_init(CpuState *c, Error **errp)
{
    Jit *j = xnew(Jit);

    j->rw = j->rx = MAP_FAILED;
    c->jit.cpu = j;
    j->records = try_alloc0(1, RECORD_BYTES);
    if (j->records == NULL) {
        error_set(errp, "no memory for records of translated code");
        return false;
    }
    if (!map_code(j, errp)) {
        return false;
    }
    j->bmi2 = __builtin_cpu_supports("bmi2");
    j->strict = jit_strict;
    j->at = j->rw;
    jit_stubs(c, j);
    j->first = j->at;
    return true;
}

void jit_cache_fini(Jit *j)
{
    if (j == NULL) {
        return;
    }
    if (j->rw != MAP_FAILED) {
        munmap(j->rw, CODE_BYTES);
    }
    if (j->rx != MAP_FAILED) {
        munmap(j->rx, CODE_BYTES);
    }
    free(j->records);
    free(j);
}

bool jit_cache_full(const Jit *j)
{
    return j->at + JIT_ROOM > j->rw + j->size || j->used + (JIT_ROOM >> 2) > RECORD_BYTES;
}

void jit_cache_reset(Jit *j)
{
    j->at = j->first;
    j->used = 0;
}

void *jit_record(Jit *j, size_t n)
{
    void *p = j->records + j->used;

    j->used += (n + 15) & ~(size_t)15;
    memset(p, 0, n);
    return p;
}

/* ---- stubs ---- */

static const uint8_t saved[] = { 3, 5, 12, 13, 14, 15 }; /* callee-saved: rbx rbp r12-r15 */

static void transfer(Emit *e, bool store)
{
    for (unsigned n = 0; n <= 12; n++) {
        emit_op(e, F_W, store ? 0x89 : 0x8b, n == GPR_RSP ? H_SP : n,
                GS_AT(offsetof(CpuState, regs) + 8 * n));
    }
}

static void push_pop(Emit *e, unsigned reg, bool push)
{
    if (reg & 8) {
        put8(e, 0x41);
    }
    put8(e, (push ? 0x50 : 0x58) | (reg & 7));
}

static void adjust_rsp(Emit *e, int by)
{
    emit_op(e, F_W, 0x8d, H_RSP, MEM(H_RSP, RM_NONE, 0, by));
}

/* Registers to CpuState, then jit_help(c, r13, r14). */
static void call_help(Emit *e, CpuState *c, int align)
{
    transfer(e, true);
    emit_const(e, H_RDI, (uint64_t)(uintptr_t)c);
    emit_op(e, F_W, 0x89, H_S1, REG(H_RSI));
    emit_op(e, F_W, 0x89, H_S2, REG(H_RDX));
    adjust_rsp(e, -align);
    emit_const(e, H_RAX, (uint64_t)(uintptr_t)jit_help);
    emit_op(e, 0, 0xff, 2, REG(H_RAX));
    adjust_rsp(e, align);
}

static void back_to_c(Emit *e)
{
    adjust_rsp(e, 8);
    for (unsigned n = ARRAY_SIZE(saved); n-- > 0;) {
        push_pop(e, saved[n], false);
    }
    put8(e, 0xc3);
}

/* RIP from r14, the site from r13; the flags are in the slot, or in the host's flags. */
static uint8_t *link_stub(Emit *e, const Jit *j, bool host)
{
    uint8_t *start = e->p;

    emit_store(e, H_S1, GS(jit.site));
    emit_store(e, H_S2, GS(regs[GPR_RIP]));
    if (host) {
        emit_op(e, F_W, 0x89, H_RAX, REG(H_S1));
        put8(e, 0x9f);
        emit_op(e, F_0F, 0x90, 0, REG(H_RAX));
        emit_op(e, F_66, 0x89, H_RAX, GS(jit.flags));
        emit_op(e, F_W, 0x89, H_S1, REG(H_RAX));
    }
    emit_jump(e, JUMP_ALWAYS, j->leave);
    return start;
}

void jit_stubs(CpuState *c, Jit *j)
{
    Emit e = { j->at };
    uint8_t *out;

    j->enter = e.p; /* rdi: code, executable view */
    for (unsigned n = 0; n < ARRAY_SIZE(saved); n++) {
        push_pop(&e, saved[n], true);
    }
    adjust_rsp(&e, -8);
    emit_op(&e, F_W, 0x89, H_RDI, REG(H_S1));
    transfer(&e, false);
    emit_op(&e, 0, 0xff, 4, REG(H_S1));

    j->leave = e.p; /* RIP and flags are in CpuState */
    transfer(&e, true);
    back_to_c(&e);

    j->help = e.p; /* called: comes back unless code is to be left */
    call_help(&e, c, 8);
    emit_op(&e, 0, 0x84, H_RAX, REG(H_RAX));
    out = emit_jump(&e, 5, NULL);
    transfer(&e, false);
    put8(&e, 0xc3);
    emit_set_jump(out, e.p);
    adjust_rsp(&e, 8);
    back_to_c(&e);

    j->help_end = e.p; /* jumped to */
    call_help(&e, c, 0);
    back_to_c(&e);

    j->link_host = link_stub(&e, j, true);
    j->link_slot = link_stub(&e, j, false);

    j->zero_upper = e.p; /* called: bits 255:128 of all vector registers; they are in CpuState */
    emit_op(&e, F_0F, 0x57, 0, REG(0));
    for (unsigned n = 0; n < 16; n++) {
        emit_op(&e, F_0F, 0x11, 0, GS_AT(offsetof(CpuState, xmm) + n * sizeof(VecReg) + 16));
    }
    put8(&e, 0xc3);
    j->at = e.p;
}
