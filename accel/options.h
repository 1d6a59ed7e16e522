/*
 * What `-accel tcg,...` asks of the engines.
 */
#ifndef ACCEL_OPTIONS_H
#define ACCEL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum Trick {
#define TRICK(id, name, help) TRICK_##id,
#include "accel/options.inc"
#undef TRICK
    TRICKS
} Trick;

typedef struct TrickInfo {
    const char *name, *help;
} TrickInfo;
extern const TrickInfo trick_info[TRICKS];

typedef struct AccelOptions {
    uint32_t off;      /* bit n: not that Trick */
    uint64_t tb_size;  /* bytes of translated code of all processors, at most; 0: as it likes */
    bool one_insn;     /* blocks of one instruction */
    bool count;        /* runs of each translation are counted, for `info jit -v` */
    bool perf_map;     /* -perfmap */
    bool single;       /* one processor at a time */
    uint64_t lockstep; /* a seed: accel/lockstep; 0: not that */
    unsigned lockstep_sample; /* one stretch of old code in so many is compared; 0: each */
} AccelOptions;

extern AccelOptions accel_options; /* constant after start-up; tests change it between engines */

static inline bool trick_on(Trick t)
{
    return !(accel_options.off >> t & 1);
}

#endif
