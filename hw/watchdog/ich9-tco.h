/* The TCO watchdog of the ICH9's LPC bridge. */
#ifndef HW_WATCHDOG_ICH9_TCO_H
#define HW_WATCHDOG_ICH9_TCO_H

#include <stdbool.h>
#include <stdint.h>
#include "base/clock.h"
#include "bus/state.h"

enum { TCO_SIZE = 0x20, TCO_WORDS = TCO_SIZE / 2 };

/* A member of the bridge. */
typedef struct Tco {
    uint16_t reg[TCO_WORDS]; /* as the data sheet has them, but for the counter */
    uint8_t stage;           /* 1: the first timeout is over */
    uint32_t left_ms;        /* of the counter, while it is halted */
    Timer timer;
    void (*first)(void *opaque);  /* the first timeout: an SMI, if wanted */
    void (*second)(void *opaque); /* the second: the board resets, if it may */
    void *opaque;
} Tco;
extern const StateField tco_fields[];

/* tco_init - fills in what a reset does not; tco_fini - no callback comes any more. */
void tco_init(Tco *t, void (*first)(void *opaque), void (*second)(void *opaque), void *opaque);
void tco_fini(Tco *t);
void tco_reset(Tco *t);
void tco_post_load(Tco *t);
/* tco_read, tco_write - @size bytes at @offset from TCOBASE; what is beyond TCO_SIZE is not there. */
uint32_t tco_read(Tco *t, unsigned offset, unsigned size);
void tco_write(Tco *t, unsigned offset, uint32_t val, unsigned size);

#endif
