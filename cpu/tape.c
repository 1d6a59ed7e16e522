/*
 * Recording and playing what comes to a processor from outside.
 */
#include "cpu/tape.h"

static bool is_write(TapeKind k)
{
    return k == TAPE_PORT_OUT || k == TAPE_MMIO_WRITE || k == TAPE_CR8_WRITE || k == TAPE_MSR_WRITE;
}

const char *tape_name(unsigned kind)
{
    static const char *const names[] = { "port read", "port write", "device read", "device write", "TSC", "random number",
                                         "CR8 read", "CR8 write", "APIC MSR read", "APIC MSR write", "APIC MSR" };

    return names[kind];
}

void tape_rewind(CpuTape *t, bool playing)
{
    t->playing = playing;
    t->at = 0;
    t->differs = false;
    if (!playing) {
        t->count = 0;
        t->full = false;
    }
}

bool tape_event(CpuState *c, TapeKind kind, uint64_t addr, uint64_t *val)
{
    CpuTape *t = c->tape;
    bool write = is_write(kind);

    if (!t->playing) {
        t->writing = write;
        return false;
    }
    if (t->differs || t->at == t->count || t->event[t->at].kind != kind || t->event[t->at].addr != addr ||
        (write && t->event[t->at].val != *val)) {
        if (!t->differs) {
            t->differs = true;
            t->wrong.kind = kind;
            t->wrong.addr = addr;
            t->wrong.val = write ? *val : 0;
        }
        *val = write ? *val : 0;
        return true;
    }
    *val = t->event[t->at++].val;
    if (t->played != NULL) {
        t->played(t, t->at - 1);
    }
    return true;
}

void tape_record(CpuTape *t, TapeKind kind, uint64_t addr, uint64_t val)
{
    if (t->playing) {
        return;
    }
    if (t->count == TAPE_EVENTS) {
        t->full = true;
        return;
    }
    t->event[t->count].kind = kind;
    t->event[t->count].addr = addr;
    t->event[t->count++].val = val;
}
