/*
 * Interrupt lines: see irq.h.
 */
#include "bus/irq.h"

__thread IrqCount irq_count;
