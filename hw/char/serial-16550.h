/*
 * 16550A UART core; serial-isa.c puts it on ports and an ISA interrupt.
 */
#ifndef HW_CHAR_SERIAL_16550_H
#define HW_CHAR_SERIAL_16550_H

#include <stdbool.h>
#include <stdint.h>
#include "base/clock.h"
#include "bus/irq.h"
#include "bus/state.h"

struct Chardev;
struct Error;

#define UART_FIFO 16

/* Under the machine lock, as all of a device. */
typedef struct Uart {
    uint16_t divisor;
    uint8_t ier, lcr, mcr, scr, fcr;
    uint8_t msr;       /* with its delta bits */
    uint8_t rx[UART_FIFO], rx_err[UART_FIFO]; /* LSR bits 4:2 of each character */
    uint8_t rx_head, rx_count;
    uint8_t tx[UART_FIFO];
    uint8_t tx_count;  /* not taken by the back end yet */
    bool overrun, thre_pending, timeout;
    Timer rx_timer;    /* character timeout */
    Timer tx_timer;    /* the back end did not take all: try again */
    struct Chardev *chr; /* wiring, constant after uart_init() */
    IrqLine irq;
} Uart;

/* uart_init - attach to @chr (NULL: nobody listens) and drive @irq. */
bool uart_init(Uart *u, struct Chardev *chr, IrqLine irq, struct Error **errp);
void uart_fini(Uart *u);
void uart_reset(Uart *u);
uint8_t uart_read(Uart *u, unsigned reg);
void uart_write(Uart *u, unsigned reg, uint8_t val);
void uart_post_load(Uart *u);
extern const StateField uart_fields[];

#endif
