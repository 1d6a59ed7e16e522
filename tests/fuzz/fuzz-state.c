/* Saved states of a small device, from arbitrary bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bus/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Channel {
    uint16_t count;
    bool gate;
} Channel;

typedef struct Toy {
    uint8_t regs[4];
    bool on;
    Timer tick;
    Channel chan[2];
} Toy;

static const StateField channel_fields[] = { STATE_U16(Channel, count), STATE_BOOL(Channel, gate),
                                             STATE_END };
static const StateField fields[] = { STATE_BYTES(Toy, regs), STATE_BOOL(Toy, on),
                                     STATE_TIMER(Toy, tick), STATE_ARRAY(Toy, chan, channel_fields),
                                     STATE_END };

static void never(void *opaque)
{
    abort();
}

/* A good state first, so that the fuzzer changes that; the input is XORed over it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StateBuf b = { .data = NULL };
    Error *err = NULL;
    Toy t = { .on = true };

    timer_init(&t.tick, CLK_VIRTUAL, never, NULL, NULL);
    state_put(&b, "toy", 1, fields, &t);
    for (size_t i = 0; i < size && i < b.len; i++) {
        b.data[i] ^= data[i];
    }
    b.len = size > 0 && data[0] != 0 ? MIN(b.len, size) : b.len;
    b.pos = 0;
    if (!state_get(&b, "toy", 1, fields, &t, &err)) {
        error_free(err);
    }
    timer_cancel(&t.tick);
    state_buf_free(&b);
    return 0;
}
