/*
 * Flags that an instruction leaves undefined, where processors and the reference may differ. Source: Intel SDM vol. 2,
 * "Flags Affected" of each.
 */
#include "accel/lockstep/lockstep.h"

#include "base/mem.h"
#include "cpu/insn.h"

typedef struct Undefined {
    uint64_t flags;
    bool shift, by_cl, by_one, narrow; /* narrow: SHL and kin, not rotations */
} Undefined;

static Undefined of_row(const OpRow *row)
{
    static const struct {
        const char *name;
        uint64_t flags;
    } table[] = {
        { "and", FLAG_AF }, { "or", FLAG_AF }, { "xor", FLAG_AF }, { "test", FLAG_AF },
        { "mul", FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF },
        { "imul", FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF },
        { "div", FLAGS_ARITH }, { "idiv", FLAGS_ARITH },
        { "shl", FLAG_AF }, { "shr", FLAG_AF }, { "sar", FLAG_AF }, { "sal", FLAG_AF },
        { "shld", FLAG_AF }, { "shrd", FLAG_AF },
        { "bsf", FLAGS_ARITH & ~FLAG_ZF }, { "bsr", FLAGS_ARITH & ~FLAG_ZF },
        { "bt", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF },
        { "bts", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF },
        { "btr", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF },
        { "btc", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF },
        { "aaa", FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF },
        { "aas", FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF },
        { "aam", FLAG_OF | FLAG_AF | FLAG_CF }, { "aad", FLAG_OF | FLAG_AF | FLAG_CF },
        { "daa", FLAG_OF }, { "das", FLAG_OF },
        { "andn", FLAG_AF | FLAG_PF }, { "bextr", FLAG_AF | FLAG_PF | FLAG_SF },
        { "blsi", FLAG_AF | FLAG_PF }, { "blsmsk", FLAG_AF | FLAG_PF },
        { "blsr", FLAG_AF | FLAG_PF }, { "bzhi", FLAG_AF | FLAG_PF },
        { "tzcnt", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF },
        { "lzcnt", FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF },
    };
    static const char *const shifts[] = { "shl", "shr", "sar", "sal", "shld", "shrd", "rol", "ror", "rcl", "rcr" };
    const char *operands = row->operands != NULL ? row->operands : "";
    Undefined u = { .by_cl = strstr(operands, "cl") != NULL, .by_one = strchr(operands, '1') != NULL,
                    .narrow = row->name[0] == 's' };

    for (unsigned k = 0; k < ARRAY_SIZE(table); k++) {
        if (strcmp(table[k].name, row->name) == 0) {
            u.flags = table[k].flags;
        }
    }
    for (unsigned k = 0; k < ARRAY_SIZE(shifts); k++) {
        u.shift |= strcmp(shifts[k], row->name) == 0;
    }
    return u;
}

uint64_t step_undefined(const Insn *i, uint8_t cl)
{
    static Undefined *rows;
    const Undefined *u;
    unsigned n;

    if (rows == NULL) {
        rows = xnewn(Undefined, opcode_row_count());
        for (unsigned k = 0; k < opcode_row_count(); k++) {
            rows[k] = of_row(opcode_row_at(k));
        }
    }
    u = &rows[i->row];
    if (!u->shift) {
        return u->flags;
    }
    n = (u->by_cl ? cl : u->by_one ? 1 : (uint8_t)i->imm) & (i->opsize == 8 ? 63 : 31);
    if (n == 0) {
        return 0;
    }
    if (n > 8u * i->opsize && u->narrow) {
        return FLAGS_ARITH; /* CF, and the result of SHLD */
    }
    return u->flags | (n != 1 ? FLAG_OF : 0);
}
