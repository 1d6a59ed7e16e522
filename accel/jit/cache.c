/*
 * The code cache of a processor and its return stack: memory.
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
#include "base/huge.h"
#include "base/mem.h"

#define CODE_BYTES (64u << 20)
#define HOT_BYTES (24u << 20) /* of these; the rest is for what is out of line */
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
    j->rw = huge_map(CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    j->rx = huge_map(CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    close(fd);
    if (j->rw == NULL || j->rx == NULL) {
        error_set_errno(errp, errno, "cannot map translated code");
        return false;
    }
    j->size = CODE_BYTES;
    return true;
}

/* The return stacks, with a page around them that nothing may touch. */
static bool map_stack(Jit *j, Error **errp)
{
    j->ret_stack = mmap(NULL, MMU_MODES * RET_BYTES + 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (j->ret_stack == MAP_FAILED ||
        mprotect(j->ret_stack + PAGE_SIZE, MMU_MODES * RET_BYTES, PROT_READ | PROT_WRITE) < 0) {
        error_set_errno(errp, errno, "no memory for a return stack");
        return false;
    }
    return true;
}

bool jit_cache_init(CpuState *c, Error **errp)
{
    Jit *j = xnew(Jit);

    j->ret_stack = MAP_FAILED;
    c->jit.cpu = j;
    j->records = try_alloc0(1, RECORD_BYTES);
    if (j->records == NULL) {
        error_set(errp, "no memory for records of translated code");
        return false;
    }
    j->helps = xnewn(uint64_t, JIT_CAUSES * opcode_row_count());
    if (!map_code(j, errp) || !map_stack(j, errp)) {
        return false;
    }
    for (unsigned m = 0; m < MMU_MODES; m++) {
        j->table_key[m] = KEY_NONE;
    }
    j->bmi2 = __builtin_cpu_supports("bmi2");
    j->avx = __builtin_cpu_supports("avx");
    j->vec_keys = (trick_on(TRICK_X87) ? KEY_X87 : 0) | (trick_on(TRICK_SSE) ? KEY_SSE : 0) |
                  (trick_on(TRICK_SSE) && trick_on(TRICK_AVX) ? KEY_AVX : 0);
    j->strict = jit_strict || !trick_on(TRICK_LAZY_FLAGS);
    j->at = j->rw;
    jit_stubs(c, j);
    j->first = j->at;
    j->cold_at = j->first_cold = j->rw + HOT_BYTES;
    return true;
}

void jit_cache_fini(Jit *j)
{
    if (j == NULL) {
        return;
    }
    if (j->rw != NULL) {
        munmap(j->rw, CODE_BYTES);
    }
    if (j->rx != NULL) {
        munmap(j->rx, CODE_BYTES);
    }
    if (j->ret_stack != MAP_FAILED) {
        munmap(j->ret_stack, MMU_MODES * RET_BYTES + 2 * PAGE_SIZE);
    }
    free(j->helps);
    free(j->records);
    free(j);
}

/* What is used next goes to huge pages: translated code is spread over more pages than the host's TLB knows. */
void jit_cache_ahead(Jit *j)
{
    uint8_t *at[2] = { j->at, j->cold_at };

    for (unsigned n = 0; n < 2; n++) {
        size_t chunk = (size_t)(at[n] + JIT_ROOM - j->rw) / HUGE_BYTES;

        if (!(j->huge >> chunk & 1) && chunk < CODE_BYTES / HUGE_BYTES) {
            j->huge |= 1ull << chunk;
            j->rw[chunk * HUGE_BYTES + HUGE_BYTES - 1] = 0; /* there is something to collapse */
            huge_collapse(j->rw + chunk * HUGE_BYTES, HUGE_BYTES);
            huge_collapse(j->rx + chunk * HUGE_BYTES, HUGE_BYTES);
        }
    }
}

bool jit_cache_full(const Jit *j)
{
    return j->at + JIT_ROOM > j->first_cold || j->cold_at + JIT_ROOM > j->rw + j->size ||
           j->used + (JIT_ROOM >> 2) > RECORD_BYTES;
}

void jit_cache_reset(Jit *j)
{
    j->at = j->first;
    j->cold_at = j->first_cold;
    j->used = 0;
}

void *jit_record(Jit *j, size_t n)
{
    void *p = j->records + j->used;

    j->used += (n + 15) & ~(size_t)15;
    memset(p, 0, n);
    return p;
}
