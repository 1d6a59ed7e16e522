/*
 * `info jit`: what the translator did, and why the reference was called by its code.
 */
#include "accel/jit/jit.h"
#include "accel/accel.h"

#include <inttypes.h>
#include <stdlib.h>

#define MOST 24

typedef struct Entry {
    uint64_t count;
    unsigned cause, row;
} Entry;

static int by_count(const void *a, const void *b)
{
    uint64_t x = ((const Entry *)a)->count, y = ((const Entry *)b)->count;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* The @MOST greatest of them, in order. */
static unsigned greatest(const Jit *j, Entry *most)
{
    unsigned n = 0;

    for (unsigned cause = 0; cause < JIT_CAUSES; cause++) {
        for (unsigned row = 0; row < opcode_row_count(); row++) {
            Entry e = { j->helps[cause * opcode_row_count() + row], cause, row };

            if (e.count == 0 || (n == MOST && e.count <= most[n - 1].count)) {
                continue;
            }
            most[n < MOST ? n++ : n - 1] = e;
            qsort(most, n, sizeof(*most), by_count);
        }
    }
    return n;
}

/* MB a second of code that is decoded and translated. */
static double both(const Jit *j)
{
    double a = accel_megabytes(j->bytes, j->ticks), b = accel_megabytes(accel_stats.decoded_bytes, accel_stats.decode_ticks);

    return a > 0 && b > 0 ? 1 / (1 / a + 1 / b) : 0;
}

void jit_info(CpuState *c, FILE *out)
{
    static const char *const cause[] = { "not translated", "memory", "jump" };
    const Jit *j = c->jit.cpu;
    Entry most[MOST];
    unsigned n = greatest(j, most);

    fprintf(out, "cpu %u: %" PRIu64 " translations of %" PRIu64 " bytes in %" PRIu64 " and %" PRIu64 "; left %" PRIu64
                 " times; %" PRIu64 " look-ups\n",
            c->index, j->translations, j->bytes, j->code_bytes, j->cold_bytes, j->leaves, j->misses);
    fprintf(out, "translating: %.1f MB of guest code a second, decoding it: %.1f; both: %.1f\n",
            accel_megabytes(j->bytes, j->ticks), accel_megabytes(accel_stats.decoded_bytes, accel_stats.decode_ticks),
            both(j));
    fprintf(out, "code cache: %zu bytes in %u regions, %" PRIu64 " evicted\ncalls of the reference:\n", j->size,
            j->regions, j->evictions);
    for (unsigned k = 0; k < n; k++) {
        const OpRow *r = opcode_row_at(most[k].row);

        fprintf(out, "  %12" PRIu64 "  %-14s %s %s\n", most[k].count, cause[most[k].cause], r->name,
                r->operands != NULL ? r->operands : "");
    }
}
