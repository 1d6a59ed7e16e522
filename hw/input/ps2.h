/*
 * Keyboard and mouse at the far end of a PS/2 cable. Neither knows its controller: it takes bytes by
 * ps2_*_write(), and has bytes to send in `out`, of which `changed` tells. Machine lock held.
 */
#ifndef HW_INPUT_PS2_H
#define HW_INPUT_PS2_H

#include <stdbool.h>
#include <stdint.h>
#include "base/clock.h"
#include "bus/state.h"
#include "hw/input/input.h"

#define PS2_QUEUE 64u

/* Bytes on their way to the controller. Answers to commands always have room; what the user does
 * takes at most `limit`, as much as the device's own buffer holds. */
typedef struct Ps2Queue {
    uint8_t data[PS2_QUEUE];
    uint8_t head, count;
} Ps2Queue;
extern const StateField ps2_queue_fields[];

static inline void ps2_put(Ps2Queue *q, uint8_t byte)
{
    if (q->count < PS2_QUEUE) {
        q->data[(q->head + q->count++) % PS2_QUEUE] = byte;
    }
}
static inline uint8_t ps2_get(Ps2Queue *q)
{
    uint8_t byte = q->data[q->head % PS2_QUEUE];

    if (q->count > 0) {
        q->head = (uint8_t)((q->head + 1) % PS2_QUEUE);
        q->count--;
    }
    return byte;
}

typedef struct Ps2Kbd {
    Ps2Queue out;
    uint8_t command;   /* waits for its argument; 0 for none */
    uint8_t last;      /* last byte sent, for Resend */
    uint8_t set;       /* scan code set, 1 to 3 */
    uint8_t leds;      /* bit 0 scroll, 1 num, 2 caps */
    uint8_t rate;      /* typematic, as by command F3h */
    bool leds_set;     /* by the guest, since power-on; not saved */
    bool enabled;
    bool overrun;      /* the buffer was full: told once */
    uint8_t type3[256];  /* of set 3: KBD_BREAK, KBD_REPEAT by scan code */
    uint8_t down[INPUT_KEYS / 8];
    uint16_t repeating; /* key, or 0 */
    Timer repeat;
    void (*changed)(void *opaque); /* wiring */
    void *opaque;
    InputSink sink;
} Ps2Kbd;
extern const StateField ps2_kbd_fields[];

void ps2_kbd_init(Ps2Kbd *k, void (*changed)(void *opaque), void *opaque);
void ps2_kbd_fini(Ps2Kbd *k);
void ps2_kbd_reset(Ps2Kbd *k);  /* power-on */
void ps2_kbd_write(Ps2Kbd *k, uint8_t byte);
uint8_t ps2_kbd_read(Ps2Kbd *k); /* the next byte of `out`, which is not empty */
void ps2_kbd_post_load(Ps2Kbd *k);

typedef struct Ps2Mouse {
    Ps2Queue out;
    uint8_t command;
    uint8_t last;
    uint8_t type;       /* ID: 0 standard, 3 IntelliMouse, 4 Explorer */
    uint8_t knock[3];   /* last sample rates, newest first */
    uint8_t rate, resolution;
    bool scale2, remote, enabled, wrap;
    uint8_t buttons, sent_buttons;
    int32_t dx, dy, dz; /* not yet sent; dy downwards */
    void (*changed)(void *opaque); /* wiring */
    void *opaque;
    InputSink sink;
} Ps2Mouse;
extern const StateField ps2_mouse_fields[];

void ps2_mouse_init(Ps2Mouse *m, void (*changed)(void *opaque), void *opaque);
void ps2_mouse_fini(Ps2Mouse *m);
void ps2_mouse_reset(Ps2Mouse *m);
void ps2_mouse_write(Ps2Mouse *m, uint8_t byte);
uint8_t ps2_mouse_read(Ps2Mouse *m);
/* ps2_mouse_report - a report that nothing has moved, where the guest takes reports and none is on its way. */
void ps2_mouse_report(Ps2Mouse *m);
void ps2_mouse_post_load(Ps2Mouse *m);

/* ps2_to_set1 - what an 8042 that translates makes of a set 2 code (F0h is its affair). */
extern const uint8_t ps2_to_set1[256];

#endif
