/*
 * Translations for people: `-d out_asm`, `-perfmap`, and the hottest ones in `info jit -v`.
 */
#include "accel/jit/jit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "cpu/disas.h"

#define HOTTEST 10

typedef struct Text {
    const uint8_t *p, *end;
    uint64_t addr;
    unsigned bits;
} Text;

/* The next instruction's line; false at the end. */
static bool next_line(Text *t, char *line, size_t size)
{
    char text[160];
    unsigned len;

    if (t->p >= t->end) {
        return false;
    }
    len = disas_one(t->bits, t->addr, t->p, (unsigned)MIN(t->end - t->p, 15), text, sizeof(text));
    snprintf(line, size, "%0*" PRIx64 "  %s", t->bits == 64 ? 12 : 8, (uint64_t)(t->addr & 0xffffffffffff), text);
    t->p += len;
    t->addr += len;
    return true;
}

static Text host_text(const Jit *j, const uint8_t *rw, unsigned n)
{
    return (Text){ rw, rw + n, (uint64_t)(uintptr_t)jit_rx(j, rw), 64 };
}

static Text guest_text(const Trans *t)
{
    const Block *b = t->block;
    unsigned n = b->host2 != NULL ? 0 : b->bytes;

    return (Text){ b->host, b->host + n, t->lin, t->key & KEY_64 ? 64 : 32 };
}

void jit_log_out(CpuState *c, const Trans *t)
{
    const Jit *j = c->jit.cpu;
    Text part[2] = { host_text(j, t->code, t->code_bytes), host_text(j, t->cold, t->cold_bytes) };
    char line[200];

    log_lock();
    fprintf(log_file(), "----------------\nOUT: cpu %u, for %016" PRIx64 ", key %x: [size=%u+%u]\n", c->index, t->lin,
            t->key, t->code_bytes, t->cold_bytes);
    for (unsigned n = 0; n < 2; n++) {
        fputs(n == 1 ? "  -- out of line\n" : "", log_file());
        while (next_line(&part[n], line, sizeof(line))) {
            fprintf(log_file(), "%s\n", line);
        }
    }
    log_unlock();
}

static int by_runs(const void *a, const void *b)
{
    uint64_t x = (*(const Trans *const *)a)->runs, y = (*(const Trans *const *)b)->runs;

    return x < y ? 1 : x > y ? -1 : 0;
}

static void show(const Jit *j, const Trans *t, FILE *out)
{
    Text guest = guest_text(t), host = host_text(j, t->code, t->code_bytes);
    char left[200] = "", right[200] = "";

    fprintf(out, "%016" PRIx64 ": %" PRIu64 " runs, %u instructions, %u bytes in %u and %u\n", t->lin, t->runs, t->block->count,
            t->block->bytes, t->code_bytes, t->cold_bytes);
    for (;;) {
        bool l = next_line(&guest, left, sizeof(left)), r = next_line(&host, right, sizeof(right));

        if (!l && !r) {
            return;
        }
        fprintf(out, "  %-60s  %s\n", l ? left : "", r ? right : "");
    }
}

void jit_info_hot(CpuState *c, FILE *out)
{
    const Jit *j = c->jit.cpu;
    const Trans *most[HOTTEST + 1];
    unsigned n = 0;

    if (!accel_options.count) {
        fprintf(out, "(runs are counted with -accel tcg,x-count=on)\n");
        return;
    }
    for (unsigned r = 0; r < j->regions; r++) {
        for (const Trans *t = j->region[r].trans; t != NULL; t = t->region_next) {
            if (t->block == NULL || t->runs == 0) {
                continue;
            }
            most[n] = t;
            qsort(most, n + 1, sizeof(*most), by_runs);
            n += n < HOTTEST;
        }
    }
    fprintf(out, "cpu %u: the hottest translations\n", c->index);
    for (unsigned k = 0; k < n; k++) {
        show(j, most[k], out);
    }
}

/* ---- -perfmap: what perf reads, one for all processors ---- */

static FILE *perf_map;

bool jit_perf_open(struct Error **errp)
{
    char path[64];

    if (!accel_options.perf_map || perf_map != NULL) {
        return true;
    }
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    perf_map = host_fopen(path, "w");
    if (perf_map == NULL) {
        error_set_errno(errp, errno, "-perfmap: cannot open %s", path);
        return false;
    }
    setvbuf(perf_map, NULL, _IOLBF, 0);
    return true;
}

void jit_perf_note(const Jit *j, const uint8_t *rw, size_t n, const char *what, uint64_t lin)
{
    if (perf_map != NULL && n != 0) {
        fprintf(perf_map, "%" PRIx64 " %zx %s%" PRIx64 "\n", (uint64_t)(uintptr_t)jit_rx(j, rw), n, what, lin);
    }
}
