/* Random instructions of a table row, and random states for them. */
#ifndef TESTS_CPU_DIFF_GEN_H
#define TESTS_CPU_DIFF_GEN_H

#include "cpu/insn.h"
#include "tests/cpu/diff.h"

typedef struct DiffCase {
    uint8_t code[32];
    unsigned len;
    Insn insn;
    const OpRow *row;
    DecodeResult decoded;
} DiffCase;

void diff_seed(uint64_t seed);
uint64_t diff_rnd(void);

/* diff_can_test - false for rows whose effect differs by design (time, identity, segments...). */
bool diff_can_test(const OpRow *row, unsigned bits);
/* diff_put_at - where the operands of the next case are. */
void diff_put_at(DiffPlace place);
/* diff_gen_insn - bytes of row number @n; false when none was found that decodes to it. */
bool diff_gen_insn(const DecodeMode *m, unsigned n, DiffCase *t);
/* diff_gen_state - registers that make the instruction's memory operand likely to hit the data. */
void diff_gen_state(const DiffCase *t, unsigned bits, DiffState *s, uint8_t *data);
/* diff_operand_at - offset of the memory operand within the data pages. */
uint64_t diff_operand_at(const DiffCase *t, unsigned bits, const DiffState *s);
/* diff_undefined_flags - RFLAGS bits that the manuals leave undefined after this case. */
uint64_t diff_undefined_flags(const DiffCase *t, const DiffState *before);
/* diff_excused - the outcomes may differ: processors do, or nothing is promised. @h is the host's. */
bool diff_excused(const DiffCase *t, const DiffState *before, const DiffState *h,
                  const DiffState *d);
/* diff_is_string - the host may trap within: between iterations, or elements of a gather. */
bool diff_is_string(const DiffCase *t);

#endif
