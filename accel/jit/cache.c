/*
 * The code cache of a processor and its return stack: memory.
 *
 * One memfd is mapped twice, writable and executable; no mapping is both. It is used region by
 * region; behind the last comes the first again, whose code goes.
 */
#include "accel/jit/jit.h"

#include <stdlib.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "accel/accel.h"
#include "accel/options.h"
#include "base/error.h"
#include "base/huge.h"
#include "base/mem.h"
#include "cpu/cpuid.h"

#define CODE_BYTES (64u << 20) /* where tb-size= does not say it */
#define CODE_LEAST (512u << 10)

/* Three eighths are for code in line, the rest for what is out of line. */
static size_t hot_bytes(const Jit *j)
{
    return j->size / 8 * 3;
}

/* A processor's share of tb-size=. */
static size_t code_bytes(void)
{
    uint64_t all = accel_options.tb_size;

    if (all == 0) {
        return CODE_BYTES;
    }
    all = all / MAX(accel_cpu_count(), 1u) & ~(uint64_t)(PAGE_SIZE * 8 - 1);
    return (size_t)MIN(MAX(all, (uint64_t)CODE_LEAST), (uint64_t)1 << 30); /* jumps reach 2 GiB */
}

static bool map_code(Jit *j, Error **errp)
{
    int fd = memfd_create("doppel-code", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)j->size) < 0) {
        error_set_errno(errp, errno, "no memory for translated code");
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    j->rw = huge_map(j->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    j->rx = huge_map(j->size, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    close(fd);
    if (j->rw == NULL || j->rx == NULL) {
        error_set_errno(errp, errno, "cannot map translated code");
        return false;
    }
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
    j->size = code_bytes();
    if (trick_on(TRICK_LOW_STATE) && (uintptr_t)c + sizeof(*c) <= INT32_MAX) {
        j->state = (uint32_t)(uintptr_t)c;
    }
    j->record_bytes = j->size / 2;
    j->records = huge_try_low(j->record_bytes); /* low, so that their addresses are short in code */
    if (j->records == NULL) {
        error_set(errp, "no memory for records of translated code");
        return false;
    }
    j->helps = xnewn(uint64_t, JIT_CAUSES * opcode_row_count());
    if (!map_code(j, errp) || !map_stack(j, errp) || !jit_perf_open(errp)) {
        return false;
    }
    for (unsigned m = 0; m < MMU_MODES; m++) {
        j->table_key[m] = KEY_NONE;
    }
    j->bmi2 = cpu_host_has(FEAT_BMI2);
    j->avx = cpu_host_has(FEAT_AVX) && __builtin_cpu_supports("avx"); /* and the kernel keeps its registers */
    j->vec_keys = (trick_on(TRICK_X87) ? KEY_X87 : 0) | (trick_on(TRICK_SSE) ? KEY_SSE : 0) |
                  (j->avx && trick_on(TRICK_SSE) && trick_on(TRICK_AVX) ? KEY_AVX : 0);
    j->strict = jit_strict || !trick_on(TRICK_LAZY_FLAGS);
    j->at = j->rw;
    jit_stubs(c, j);
    j->first = j->at;
    jit_perf_note(j, j->rw, (size_t)(j->first - j->rw), "stubs-of-cpu-", c->index);
    j->cold_at = j->first_cold = j->rw + hot_bytes(j);
    j->regions = MAX((unsigned)MIN((hot_bytes(j) - JIT_ROOM) / (2 * JIT_ROOM), (size_t)REGIONS), 1u);
    return true;
}

void jit_cache_fini(Jit *j)
{
    if (j == NULL) {
        return;
    }
    if (j->rw != NULL) {
        munmap(j->rw, j->size);
    }
    if (j->rx != NULL) {
        munmap(j->rx, j->size);
    }
    if (j->ret_stack != MAP_FAILED) {
        munmap(j->ret_stack, MMU_MODES * RET_BYTES + 2 * PAGE_SIZE);
    }
    free(j->helps);
    huge_free(j->records, j->record_bytes);
    free(j);
}

/* What is used next goes to huge pages: translated code is spread over more pages than the host's TLB knows. */
void jit_cache_ahead(Jit *j)
{
    uint8_t *at[2] = { j->at, j->cold_at };

    for (unsigned n = 0; n < 2; n++) {
        size_t chunk = (size_t)(at[n] + JIT_ROOM - j->rw) / HUGE_BYTES;

        if (chunk < MIN(j->size / HUGE_BYTES, 64u) && !(j->huge >> chunk & 1)) {
            j->huge |= 1ull << chunk;
            j->rw[chunk * HUGE_BYTES + HUGE_BYTES - 1] = 0; /* there is something to collapse */
            huge_collapse(j->rw + chunk * HUGE_BYTES, HUGE_BYTES);
            huge_collapse(j->rx + chunk * HUGE_BYTES, HUGE_BYTES);
        }
    }
}

/* Where region @n begins, of @bytes that all share. */
static size_t part(const Jit *j, size_t bytes, unsigned n)
{
    return bytes / j->regions * n & ~(size_t)63;
}

bool jit_cache_full(const Jit *j)
{
    size_t hot = (size_t)(j->first_cold - j->first), cold = (size_t)(j->rw + j->size - j->first_cold);

    return j->at + JIT_ROOM > j->first + part(j, hot, j->now + 1) ||
           j->cold_at + JIT_ROOM > j->first_cold + part(j, cold, j->now + 1) ||
           j->used + (JIT_ROOM >> 2) > part(j, j->record_bytes, j->now + 1);
}

void jit_cache_next(Jit *j)
{
    j->now = (j->now + 1) % j->regions;
    j->at = j->first + part(j, (size_t)(j->first_cold - j->first), j->now);
    j->cold_at = j->first_cold + part(j, (size_t)(j->rw + j->size - j->first_cold), j->now);
    j->used = part(j, j->record_bytes, j->now);
    j->region[j->now] = (Region){ NULL, NULL };
}

static void *record(Jit *j, size_t n)
{
    void *p = j->records + j->used;

    j->used += (n + 15) & ~(size_t)15;
    memset(p, 0, n);
    return p;
}

Trans *jit_new_trans(Jit *j)
{
    Trans *t = record(j, sizeof(*t));

    t->region_next = j->region[j->now].trans;
    j->region[j->now].trans = t;
    return t;
}

Site *jit_new_site(Jit *j)
{
    Site *s = record(j, sizeof(*s));

    s->region_next = j->region[j->now].sites;
    j->region[j->now].sites = s;
    return s;
}
