/*
 * What the entries of the jump cache, the return stacks and the links between pages are worth: stamps.
 *
 * Supervisor code is taken to be in global pages and in the upper half of the address space; where that was ever
 * untrue, it goes whenever user code does.
 */
#include "accel/jit/jit.h"

#include "base/mem.h"

void jit_clear_jumps(CpuState *c)
{
    memset(c->jit.jump, 0, sizeof(c->jit.jump));
}

void jit_set_stamp(CpuState *c, uint32_t key)
{
    c->jit.stamp = c->jit.cpu->gen[key_user(key)] << KEY_BITS | key;
}

/* Nothing of user code (and @all: of supervisor code) that was entered in the jump cache or on the return
 * stack is valid any more. */
void jit_new_generation(CpuState *c, bool all)
{
    Jit *j = c->jit.cpu;
    uint32_t old = c->jit.stamp;

    if (j->last_gen >> (32 - KEY_BITS - 1)) {
        j->last_gen = 0;
        jit_clear_jumps(c);
        memset(j->ret_stamps, 0, sizeof(j->ret_stamps));
        c->jit.ret_stamp = 0;
        all = true;
    }
    memset(c->jit.page_id[1], 0, sizeof(c->jit.page_id[1]));
    memset(j->spaces, 0, sizeof(j->spaces));
    j->gen[1] = ++j->last_gen;
    if (all) {
        j->gen[0] = j->last_gen;
        memset(c->jit.page_id[0], 0, sizeof(c->jit.page_id[0]));
        j->super_local = false;
        memset(j->pages, 0, sizeof(j->pages));
    } else {
        memset(j->pages, 0, sizeof(j->pages) / 2);
    }
    jit_set_stamp(c, j->key);
    c->jit.leave |= c->jit.stamp != old;
}

void jit_flush(CpuState *c, bool global)
{
    block_flush(c, global);
    if (c->jit.cpu != NULL) {
        c->jit.cpu->last_range = NULL; /* the view may be another */
        jit_new_generation(c, global || c->jit.cpu->super_local || !trick_on(TRICK_GLOBAL_CODE));
    }
}

/* What is known of @space goes to the front, to be that of the present one; 0: nothing. */
static uint32_t take_space(Jit *j, uint64_t space, bool keep)
{
    uint32_t gen = 0;
    unsigned n = 0;

    for (unsigned k = 0; k < SPACES; k++) {
        if (j->spaces[k].cr3 == space && keep) {
            gen = j->spaces[k].gen;
        } else if (!keep && ((j->spaces[k].cr3 ^ space) & 0xfff) == 0) {
            continue; /* all of this PCID goes */
        } else {
            j->spaces[n++] = j->spaces[k];
        }
    }
    memset(&j->spaces[n], 0, (SPACES - n) * sizeof(j->spaces[0]));
    return gen;
}

void jit_switch_space(CpuState *c, uint64_t space, bool keep)
{
    Jit *j = c->jit.cpu;
    uint32_t gen;

    if (j == NULL || j->super_local || !trick_on(TRICK_SPACES) || !trick_on(TRICK_GLOBAL_CODE) || j->last_gen >> (32 - KEY_BITS - 1)) {
        jit_flush(c, false);
    } else {
        block_flush(c, false);
        memmove(&j->spaces[1], &j->spaces[0], (SPACES - 1) * sizeof(j->spaces[0]));
        j->spaces[0].cr3 = j->space;
        j->spaces[0].gen = j->gen[1];
        gen = take_space(j, space, keep);
        j->gen[1] = gen != 0 ? gen : ++j->last_gen;
        memset(c->jit.page_id[1], 0, sizeof(c->jit.page_id[1]));
        jit_set_stamp(c, j->key);
    }
    if (j != NULL) {
        j->space = space;
    }
}

/* Where kernels use to be, with 64-bit addresses and with 32-bit ones. */
bool jit_is_upper(vaddr lin)
{
    return lin >> 63 || lin >> 31 == 1;
}

/* The bit of Jit.pages that stands for a page, among others. */
uint64_t *jit_page_bits(Jit *j, vaddr lin, uint64_t *bit)
{
    unsigned half = ARRAY_SIZE(j->pages) / 2;
    unsigned n = (unsigned)(lin >> PAGE_SHIFT ^ lin >> 25) & (half * 64 - 1);

    *bit = 1ull << (n & 63);
    return &j->pages[(jit_is_upper(lin) ? half : 0) + n / 64];
}

void jit_flush_page(CpuState *c, vaddr page)
{
    Jit *j = c->jit.cpu;
    uint64_t bit;

    block_flush_page(c, page);
    if (j != NULL && (*jit_page_bits(j, page, &bit) & bit)) {
        jit_new_generation(c, jit_is_upper(page) || j->super_local || !trick_on(TRICK_GLOBAL_CODE));
    }
}
