/*
 * Lockstep: are two states of a processor the same? By the table of saved fields (cpu/dump.c).
 */
#include "accel/lockstep/lockstep.h"

#include "base/mem.h"
#include "cpu/flags.h"

static const char *const reg_names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8",  "r9",
                                         "r10", "r11", "r12", "r13", "r14", "r15", "zero", "rip" };

/* Flags in one form; what is no state, away. */
static void canonical(CpuState *c, uint64_t undefined)
{
    flags_set(c, flags_get(c) & ~undefined);
    c->insns = c->icount_last = 0;
    c->requests = 0;
    c->sipi_vector = 0;
}

static void bytes(char *text, size_t size, const uint8_t *p, size_t n)
{
    size_t at = 0;

    for (size_t k = n; k-- > 0 && at + 3 < size;) {
        at += (size_t)snprintf(text + at, size - at, "%02x", p[k]);
    }
}

static bool fields(const StateField *f, const uint8_t *a, const uint8_t *b, const char *prefix, char *text, size_t size)
{
    char name[80], x[70], y[70];

    for (; f->name != NULL; f++) {
        size_t unit = f->sub != NULL ? f->size : MIN(f->size, 8u);

        if (f->sub == NULL && f->size > 8 && f->offset == offsetof(CpuState, xmm) && *prefix == '\0') {
            unit = 32;
        }
        for (size_t n = 0; n < f->size * f->count; n += unit) {
            const uint8_t *p = a + f->offset + n, *q = b + f->offset + n;

            snprintf(name, sizeof(name), f->size * f->count > unit ? "%s%s[%zu]" : "%s%s", prefix, f->name, n / unit);
            if (f->sub != NULL) {
                snprintf(name + strlen(name), sizeof(name) - strlen(name), ".");
                if (fields(f->sub, p, q, name, text, size)) {
                    return true;
                }
            } else if (memcmp(p, q, unit) != 0) {
                bytes(x, sizeof(x), p, unit);
                bytes(y, sizeof(y), q, unit);
                if (f->offset == offsetof(CpuState, regs) && *prefix == '\0' && n / 8 < ARRAY_SIZE(reg_names)) {
                    snprintf(name, sizeof(name), "%s", reg_names[n / 8]);
                }
                snprintf(text, size, "%s: translated %s, reference %s", name, x, y);
                return true;
            }
        }
    }
    return false;
}

bool step_compare(CpuState *translated, CpuState *reference, uint64_t undefined, char *text, size_t size)
{
    uint64_t f = flags_get(translated) & ~undefined, g = flags_get(reference) & ~undefined;

    if (f != g) {
        snprintf(text, size, "flags: translated %03lx, reference %03lx", (long)f, (long)g);
        return true;
    }
    canonical(translated, undefined);
    canonical(reference, undefined);
    return fields(cpu_fields, (const uint8_t *)translated, (const uint8_t *)reference, "", text, size);
}
