/*
 * What `info lapic` shows, in QEMU's shape. Source: Intel SDM vol. 3, "Advanced Programmable Interrupt
 * Controller (APIC)". Processors are paused.
 */
#include "hw/intc/lapic-internal.h"

#include <inttypes.h>

static const char *const modes[8] = { "Fixed", "LowPri", "SMI", "...", "NMI", "INIT", "SIPI", "ExtINT" };

static void print_lvt(const LapicState *s, FILE *out, const char *name, unsigned n)
{
    static const char *const timers[4] = { "one-shot", "periodic", "tsc-deadline", "?" };
    uint32_t v = reg_get(&s->lvt[n]);
    bool lint = n == LVT_LINT0 || n == LVT_LINT1;

    fprintf(out, "%s\t 0x%08x %s %-5s %-6s %-7s %-12s %-6s", name, v,
            lint && v & BIT(13) ? "active-lo" : "active-hi", lint && v & LVT_LEVEL ? "level" : "edge",
            v & LVT_MASKED ? "masked" : "", v & BIT(12) ? "pending" : "",
            n == LVT_TIMER ? timers[v >> LVT_TIMER_SHIFT & 3] : "", modes[v >> LVT_MODE_SHIFT & 7]);
    if ((v >> LVT_MODE_SHIFT & 7) == 0) {
        fprintf(out, " (vec %u)", v & LVT_VECTOR);
    }
    fprintf(out, "\n");
}

static void print_bits(const LapicState *s, FILE *out, const char *name, const uint32_t *words)
{
    bool any = false;

    fprintf(out, "%s\t ", name);
    for (unsigned v = 0; v < 256; v++) {
        if (bits_test(words, v)) {
            fprintf(out, "%u%s ", v, bits_test(s->tmr, v) ? "(level)" : "");
            any = true;
        }
    }
    fprintf(out, "%s\n", any ? "" : "(none)");
}

void lapic_info(Device *dev, const char *topic, FILE *out)
{
    static const uint8_t divide[8] = { 2, 4, 8, 16, 32, 64, 128, 1 };
    static const char *const shorthand[4] = { "no-shorthand", "self", "all-self", "all" };
    LapicState *s = container_of(dev, LapicState, dev);
    uint32_t svr = reg_get(&s->svr), icr = (uint32_t)s->icr;

    if (strcmp(topic, "lapic") != 0) {
        return;
    }
    print_lvt(s, out, "LVT0", LVT_LINT0);
    print_lvt(s, out, "LVT1", LVT_LINT1);
    print_lvt(s, out, "LVTPC", LVT_PERF);
    print_lvt(s, out, "LVTERR", LVT_ERROR);
    print_lvt(s, out, "LVTTHMR", LVT_THERMAL);
    print_lvt(s, out, "LVTT", LVT_TIMER);
    fprintf(out, "Timer\t DCR=0x%x (divide by %u) initial_count = %u current_count = %u\n", s->divide,
            divide[(s->divide & 3) | (s->divide >> 1 & 4)], s->initial, lapic_timer_read(s, true));
    fprintf(out, "SPIV\t 0x%08x APIC %s, focus=off, spurious vec %u\n", svr,
            svr & SVR_ENABLE ? "enabled" : "disabled", svr & 0xff);
    fprintf(out, "ICR\t 0x%08x %s %s %s %s\n", icr, icr & BIT(11) ? "logical" : "physical",
            icr & BIT(15) ? "level" : "edge", icr & BIT(14) ? "assert" : "de-assert",
            shorthand[icr >> 18 & 3]);
    fprintf(out, "ICR2\t 0x%08x\n", (uint32_t)(s->icr >> 32));
    fprintf(out, "ESR\t 0x%08x\n", s->esr);
    print_bits(s, out, "ISR", s->isr);
    print_bits(s, out, "IRR", s->irr);
    fprintf(out, "\nTPR 0x%02x DFR 0x%02x LDR 0x%02x PPR 0x%02x\n", reg_get(&s->tpr),
            reg_get(&s->dfr) >> 28, reg_get(&s->ldr) >> 24, lapic_ppr(s));
}
