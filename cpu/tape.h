/*
 * What comes to a processor from outside while it executes - reads of ports and devices, the time-stamp counter,
 * random numbers, its local APIC - recorded, and played to another that executes the same again (accel/lockstep).
 * Nothing reaches a device from one that plays: its writes are compared with those recorded.
 *
 * CpuState.tape is NULL but for this, and looked at only where a device is reached anyway.
 */
#ifndef CPU_TAPE_H
#define CPU_TAPE_H

#include "cpu/cpu.h"

typedef enum TapeKind {
    TAPE_PORT_IN,
    TAPE_PORT_OUT,
    TAPE_MMIO_READ,
    TAPE_MMIO_WRITE,
    TAPE_TSC,
    TAPE_RANDOM,
    TAPE_CR8_READ,
    TAPE_CR8_WRITE,
    TAPE_MSR_READ, /* of the local APIC; the value, then TAPE_MSR_OK */
    TAPE_MSR_WRITE,
    TAPE_MSR_OK,
} TapeKind;

#define TAPE_EVENTS 4096

typedef struct CpuTape {
    bool playing;
    bool full;     /* more than TAPE_EVENTS: not to be played */
    bool differs;  /* what plays asked for something else; .at is the event that it should have been */
    bool writing;  /* what was begun to be recorded last is a write */
    unsigned count, at;
    void (*played)(struct CpuTape *t, unsigned n); /* event @n was played: memory that it changed; NULL: none did */
    struct {
        uint8_t kind;
        uint64_t addr, val;
    } event[TAPE_EVENTS];
    struct { /* what was asked for instead */
        uint8_t kind;
        uint64_t addr, val;
    } wrong;
} CpuTape;

/* tape_name - of a kind of event. */
const char *tape_name(unsigned kind);

/* tape_rewind - to its start, to record or to be played. */
void tape_rewind(CpuTape *t, bool playing);

/* tape_read - true and *val where @c plays; else the caller reads, and tape_was() returns and records the value.
 * tape_write - true where the write is not to be done. */
bool tape_event(CpuState *c, TapeKind kind, uint64_t addr, uint64_t *val);
void tape_record(CpuTape *t, TapeKind kind, uint64_t addr, uint64_t val);

static inline bool tape_read(CpuState *c, TapeKind kind, uint64_t addr, uint64_t *val)
{
    return __builtin_expect(c->tape != NULL, 0) && tape_event(c, kind, addr, val);
}

static inline uint64_t tape_was(CpuState *c, TapeKind kind, uint64_t addr, uint64_t val)
{
    if (__builtin_expect(c->tape != NULL, 0)) {
        tape_record(c->tape, kind, addr, val);
    }
    return val;
}

static inline bool tape_write(CpuState *c, TapeKind kind, uint64_t addr, uint64_t val)
{
    if (__builtin_expect(c->tape != NULL, 0)) {
        if (tape_event(c, kind, addr, &val)) {
            return true;
        }
        tape_record(c->tape, kind, addr, val);
    }
    return false;
}

/* tape_plays - @c must not reach what is outside of it. */
static inline bool tape_plays(const CpuState *c)
{
    return c->tape != NULL && c->tape->playing;
}

#endif
