/*
 * Lockstep: flags that nobody will read. A translation that sets a flag again before anything reads it leaves it as it
 * was: a stretch that ends in between (a look around, a fault) has an old one, which is no mistake.
 */
#include "accel/jit/plan.h"
#include "accel/lockstep/lockstep.h"
#include "base/mem.h"
#include "cpu/flags.h"
#include "cpu/mmu.h"

uint64_t step_flags(uint8_t f)
{
    return (f & FL_CF ? FLAG_CF : 0) | (f & FL_PF ? FLAG_PF : 0) | (f & FL_AF ? FLAG_AF : 0) |
           (f & FL_ZF ? FLAG_ZF : 0) | (f & FL_SF ? FLAG_SF : 0) | (f & FL_OF ? FLAG_OF : 0);
}

/* The bytes at @lin, as many as can be read; @before: as they were when the stretch began. */
static unsigned fetch(CpuState *c, vaddr lin, bool before, uint8_t *code, unsigned n)
{
    unsigned done = 0;

    while (done < n) {
        unsigned part = MIN(n - done, PAGE_SIZE - (unsigned)((lin + done) & (PAGE_SIZE - 1)));
        const FlatRange *r;
        hwaddr pa;

        if (!mmu_peek(c, lin + done, &pa) || (r = flat_find(cpu_view(c), pa)) == NULL || r->host == NULL) {
            break;
        }
        if (before && r->region->kind == REGION_RAM) {
            memcpy(code + done, step_ram_before(r->region->ram_offset + r->offset + (pa - r->first)), part);
        } else {
            memcpy(code + done, r->host + (pa - r->first), part);
        }
        done += part;
    }
    return done;
}

static uint8_t dead_from(CpuState *c, vaddr lin, unsigned bits, bool before)
{
    DecodeMode m = { .bits = (uint8_t)bits, .protected_mode = true, .features = c->features };
    uint32_t key = (bits == 64 ? KEY_64 : 0) | 31u << KEY_SEG_SHIFT | KEY_VEC | KEY_CPL0;
    uint8_t code[15], read = 0, dead = 0;
    Plan p = { .kind = PLAN_NOP };
    Insn i;

    while (p.kind < PLAN_JCC && (read | dead) != FL_ALL &&
           decode_insn(&m, code, fetch(c, lin, before, code, sizeof(code)), &i) == DECODE_OK) {
        plan_insn(&i, key, &p);
        read |= p.reads & ~dead;
        if (p.kind < PLAN_JCC) {
            dead |= p.sets & ~read;
        }
        lin = bits == 64 ? lin + i.len : (uint32_t)(lin + i.len);
    }
    return dead;
}

uint64_t step_dead(CpuState *c, uint64_t lin, unsigned bits)
{
    return step_flags(dead_from(c, lin, bits, false) | dead_from(c, lin, bits, true));
}
