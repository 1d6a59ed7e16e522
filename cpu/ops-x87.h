/* Handlers of cpu/ops-x87-env.c that the x87 table names. */
#ifndef CPU_OPS_X87_H
#define CPU_OPS_X87_H

#include "cpu/insn.h"

ExecFn op_fwait, op_fldenv, op_fldcw, op_fnstenv, op_fnstcw, op_fsetpm, op_fnclex, op_fninit,
    op_frstor, op_fnsave, op_fnstsw_mem, op_fnstsw_ax;

#endif
