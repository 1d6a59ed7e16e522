/*
 * Expressions of the human monitor: C's operators on 64-bit unsigned numbers, registers as $rax.
 */
#include "monitor/hmp-internal.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/flags.h"

enum { DEPTH_MAX = 64 };

typedef struct Expr {
    const HmpSession *m;
    const char *p;
    unsigned depth;
    Error **errp;
} Expr;

typedef struct RegName {
    const char *name;
    uint16_t offset;
    uint8_t size;
} RegName;

#define REG(name, field, size) { name, offsetof(CpuState, field), size }
#define GPR(n, x)                                                                                  \
    REG("r" x, regs[n], 8), REG("e" x, regs[n], 4), REG(x, regs[n], 2)
#define SEG(n, x)                                                                                  \
    REG(x, segs[n].selector, 2), REG(x ".base", segs[n].base, 8), REG(x ".limit", segs[n].limit, 4)

static const RegName names[] = {
    GPR(GPR_RAX, "ax"), GPR(GPR_RCX, "cx"), GPR(GPR_RDX, "dx"), GPR(GPR_RBX, "bx"),
    GPR(GPR_RSP, "sp"), GPR(GPR_RBP, "bp"), GPR(GPR_RSI, "si"), GPR(GPR_RDI, "di"),
    REG("r8", regs[GPR_R8], 8), REG("r9", regs[GPR_R9], 8), REG("r10", regs[GPR_R10], 8),
    REG("r11", regs[GPR_R11], 8), REG("r12", regs[GPR_R12], 8), REG("r13", regs[GPR_R13], 8),
    REG("r14", regs[GPR_R14], 8), REG("r15", regs[GPR_R15], 8), GPR(GPR_RIP, "ip"),
    SEG(SEG_ES, "es"), SEG(SEG_CS, "cs"), SEG(SEG_SS, "ss"), SEG(SEG_DS, "ds"),
    SEG(SEG_FS, "fs"), SEG(SEG_GS, "gs"),
    REG("cr0", cr0, 8), REG("cr2", cr2, 8), REG("cr3", cr3, 8), REG("cr4", cr4, 8),
    REG("efer", efer, 8),
};

static uint64_t expression(Expr *e);

static uint64_t wrong(Expr *e, const char *text)
{
    if (*e->errp == NULL) {
        error_set(e->errp, "%s", text);
    }
    return 0;
}

static void blanks(Expr *e)
{
    e->p += strspn(e->p, " \t");
}

static uint64_t reg(Expr *e)
{
    size_t len = strspn(e->p, "abcdefghijklmnopqrstuvwxyz0123456789.");
    const CpuState *c = hmp_cpu(e->m);
    uint64_t val = 0;

    if (len == 2 && memcmp(e->p, "pc", 2) == 0) { /* the linear address */
        e->p += len;
        return c->regs[GPR_RIP] + (c->code64 ? 0 : c->segs[SEG_CS].base);
    }
    if ((len == 6 && memcmp(e->p, "eflags", 6) == 0) ||
        (len == 6 && memcmp(e->p, "rflags", 6) == 0)) {
        e->p += len;
        return rflags_get(c);
    }
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        if (strlen(names[n].name) == len && memcmp(names[n].name, e->p, len) == 0) {
            memcpy(&val, (const char *)c + names[n].offset, names[n].size);
            e->p += len;
            return val;
        }
    }
    return wrong(e, "no such register");
}

static uint64_t number(Expr *e)
{
    char *end;
    uint64_t val = strtoull(e->p, &end, 0);

    if (end == e->p || !isdigit((unsigned char)*e->p)) {
        return wrong(e, *e->p == 0 ? "the expression ends too early" : "no number");
    }
    e->p = end;
    return val;
}

static uint64_t unary(Expr *e)
{
    uint64_t val;

    blanks(e);
    if (++e->depth > DEPTH_MAX) {
        return wrong(e, "nested too deeply");
    }
    switch (*e->p) {
    case '+': e->p++; val = unary(e); break;
    case '-': e->p++; val = -unary(e); break;
    case '~': e->p++; val = ~unary(e); break;
    case '$': e->p++; val = reg(e); break;
    case '\'':
        val = (uint8_t)e->p[1];
        if (val == 0 || e->p[2] != '\'') {
            val = wrong(e, "a character is written 'x'");
        } else {
            e->p += 3;
        }
        break;
    case '(':
        e->p++;
        val = expression(e);
        blanks(e);
        if (*e->p != ')') {
            val = wrong(e, "')' expected");
        } else {
            e->p++;
        }
        break;
    default: val = number(e);
    }
    e->depth--;
    blanks(e);
    return val;
}

/* The binary operators, by rising precedence. */
static const char *const levels[] = { "|", "^", "&", "<>", "+-", "*/%" };

static uint64_t apply(Expr *e, char op, uint64_t a, uint64_t b)
{
    switch (op) {
    case '|': return a | b;
    case '^': return a ^ b;
    case '&': return a & b;
    case '<': return b < 64 ? a << b : 0;
    case '>': return b < 64 ? a >> b : 0;
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    default:
        if (b == 0) {
            if (*e->errp == NULL) {
                error_set(e->errp, "division by zero");
            }
            return 0;
        }
        return op == '/' ? a / b : a % b;
    }
}

static uint64_t binary(Expr *e, unsigned level)
{
    uint64_t val, right;

    if (level == ARRAY_SIZE(levels)) {
        return unary(e);
    }
    val = binary(e, level + 1);
    while (*e->errp == NULL && *e->p != 0 && strchr(levels[level], *e->p) != NULL) {
        char op = *e->p++;

        if ((op == '<' || op == '>') && *e->p++ != op) {
            e->p--;
            return wrong(e, "no such operator");
        }
        right = binary(e, level + 1);
        val = apply(e, op, val, right);
    }
    return val;
}

static uint64_t expression(Expr *e)
{
    return binary(e, 0);
}

bool hmp_expr(const HmpSession *m, const char **text, uint64_t *val, Error **errp)
{
    Error *err = NULL;
    Expr e = { .m = m, .p = *text, .errp = &err };

    *val = expression(&e);
    *text = e.p;
    if (err != NULL) {
        error_move(errp, err);
        return false;
    }
    return true;
}
